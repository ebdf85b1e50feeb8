//! The proof that calls which may run at the same time stay out of each other's way.
//!
//! Only for calls whose bounds have been proved. The idea: what an argument accesses is a few sets of the form "so many bytes, repeated at these
//! strides". Two such sets are apart if the distance between an element of the one and an element of the other never comes near 0; and
//! where it may, if it never comes near 0 modulo one of the strides: columns of an image interleave, but each stays in its
//! part of a row. Arguments that share no byte need no proof, and what is only read is no conflict.

use super::accesses::{Accesses, Binding, Event, collect};
use super::affine::{self, Given};
use super::memory::{Space, range};
use crate::program::*;
use std::ops::Range;

/// Sets of one argument beyond which they are taken as one without gaps.
const SETS_LIMIT: usize = 64;

/// The bytes `start + Σ stride · i + 0..length` for all `0 <= i < count`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    start: i128,
    length: i128,
    /// (stride, count), ascending; strides are positive and more than the length, counts more than 1.
    steps: Steps,
}

impl Set {
    fn new(start: i128, length: i128, mut steps: Steps) -> Set {
        steps.retain(|s| 1 < s.1);
        steps.sort_unstable();
        let mut set = Set { start, length, steps: vec![] };
        for (stride, count) in steps {
            // Without gaps, so far.
            if set.steps.is_empty() && stride <= set.length {
                set.length += stride * (count - 1);
            } else {
                set.steps.push((stride, count));
            }
        }
        set
    }

    /// Distance from the first to the last element along the steps that are no multiples of `modulus`.
    fn reach(&self, modulus: Option<i128>) -> i128 {
        let counts = |stride: i128| modulus.is_none_or(|m| stride % m != 0);
        self.steps.iter().filter(|s| counts(s.0)).map(|&(stride, count)| stride * (count - 1)).sum()
    }

    fn is_apart(&self, other: &Set) -> bool {
        let ahead = other.start - self.start;
        let far = |modulus: Option<i128>| {
            // The distances; those of elements that share bytes are more than -other.length and less than self.length.
            let (low, high) = (ahead - self.reach(modulus), ahead + other.reach(modulus));
            match modulus {
                None => self.length <= low || high <= -other.length,
                Some(m) => (self.length - 1 - low).div_euclid(m) < -(other.length - 1 + high).div_euclid(m),
            }
        };
        far(None) || self.steps.iter().chain(&other.steps).any(|s| far(Some(s.0)))
    }
}

/// (stride, count)
type Steps = Vec<(i128, i128)>;

/// What a call reads and writes, by argument.
struct Footprint {
    reads: Vec<Vec<Set>>,
    writes: Vec<Vec<Set>>,
}

impl Footprint {
    /// `None` when a number is too large.
    fn of(kernel: &Kernel, given: &Given) -> Option<Footprint> {
        let Accesses { reads, stores } = collect(kernel, given)?;
        let sets = |events: &[Event]| -> Option<Vec<Vec<Set>>> {
            (0..kernel.args.len() as u32).map(|a| merged(events.iter().filter(|e| e.arg == Arg(a)))).collect()
        };
        Some(Footprint { reads: sets(&reads)?, writes: sets(&stores)? })
    }
}

/// From the first byte of an argument that a call reads or writes to behind the last. `None` when a number is too large, or there is no byte.
pub fn span(kernel: &Kernel, call: &Call, arg: Arg) -> Option<Range<i64>> {
    let all = Footprint::of(kernel, &Given::of(kernel, call, 1))?;
    let sets = || [&all.reads, &all.writes].into_iter().flat_map(|of| &of[arg.0 as usize]);
    let (start, end) = (sets().map(|s| s.start).min()?, sets().map(|s| s.start + s.reach(None) + s.length).max()?);
    Some(i64::try_from(start).ok()?..i64::try_from(end).ok()?)
}

/// The accesses of one argument.
fn merged<'a>(events: impl Iterator<Item = &'a Event<'a>>) -> Option<Vec<Set>> {
    // By steps: unrolled code has many accesses that differ by constants.
    let mut kinds: Vec<(Steps, Vec<(i128, i128)>)> = vec![];
    for e in events.filter(|e| 0 < e.bytes) {
        let mut start = e.at.constant;
        let mut steps = vec![];
        for &(counter, k) in e.at.terms() {
            let affine::Range { low, high, step } = range_of(e, counter)?;
            start += k * if 0 < k { low } else { high };
            steps.push((k.abs() * step, (high - low) / step + 1));
        }
        match kinds.iter_mut().find(|kind| kind.0 == steps) {
            Some(kind) => kind.1.push((start, start + e.bytes)),
            None => kinds.push((steps, vec![(start, start + e.bytes)])),
        }
    }
    let mut sets: Vec<Set> = vec![];
    for (steps, mut places) in kinds {
        places.sort_unstable();
        let mut apart: Vec<(i128, i128)> = vec![];
        for (start, end) in places {
            match apart.last_mut() {
                Some(last) if start <= last.1 => last.1 = end.max(last.1),
                _ => apart.push((start, end)),
            }
        }
        let length = apart[0].1 - apart[0].0;
        let starts: Vec<i128> = apart.iter().map(|p| p.0).collect();
        match progression(&starts).filter(|_| apart.iter().all(|p| p.1 - p.0 == length)) {
            Some(more) => sets.push(Set::new(apart[0].0, length, [steps, more].concat())),
            None => sets.extend(apart.iter().map(|p| Set::new(p.0, p.1 - p.0, steps.clone()))),
        }
    }
    sets.dedup();
    if SETS_LIMIT < sets.len() {
        let start = sets.iter().map(|s| s.start).min()?;
        let end = sets.iter().map(|s| s.start + s.reach(None) + s.length).max()?;
        sets = vec![Set::new(start, end - start, vec![])];
    }
    Some(sets)
}

fn range_of(e: &Event, counter: u32) -> Option<affine::Range> {
    e.scope.iter().find_map(|b| match b {
        Binding::Loop { counter: c, range } => (*c == counter).then_some(*range),
        Binding::Statement(known) => known.ranges.iter().find(|r| r.0 == counter).map(|r| r.1),
    })
}

/// Ascending numbers as the first one plus all sums of steps; `None` if they are none.
fn progression(numbers: &[i128]) -> Option<Steps> {
    let [first, second, ..] = numbers else { return Some(vec![]) };
    let stride = second - first;
    let run = numbers.windows(2).take_while(|w| w[1] - w[0] == stride).count() + 1;
    let runs = numbers.chunks(run);
    let alike = |r: &[i128]| r.len() == run && r.windows(2).all(|w| w[1] - w[0] == stride);
    if !runs.clone().all(alike) {
        return None;
    }
    let heads: Vec<i128> = runs.map(|r| r[0]).collect();
    let mut steps = progression(&heads)?;
    steps.push((stride, run as i128));
    Some(steps)
}

/// Calls of one step.
#[derive(Default)]
pub struct Group {
    members: Vec<Member>,
}

struct Member {
    buffers: Vec<BufferId>,
    access: Vec<Access>,
    footprint: Option<Footprint>,
}

/// Where the bytes of a buffer are.
type Place = (Space, u64, u64);
/// Numbers of two calls, each with that of an argument.
pub type Pair = [(usize, usize); 2];

impl Group {
    /// `turns`: how often the call is repeated.
    pub fn add(&mut self, kernel: &Kernel, call: &Call, turns: u64) {
        let access = kernel.args.iter().map(|a| a.access).collect();
        let footprint = Footprint::of(kernel, &Given::of(kernel, call, turns));
        self.members.push(Member { buffers: call.buffers.clone(), access, footprint });
    }

    /// Adds a call if it may run at the same time as the others, when all buffers have memory of their own.
    pub fn admits(&mut self, program: &Program, kernel: &Kernel, call: &Call) -> bool {
        self.add(kernel, call, 1);
        let last = self.members.len() - 1;
        let meets = (0..last).any(|i| self.meet(i, last, &|b| own(program, b)).is_some());
        if meets {
            self.members.pop();
        }
        !meets
    }

    /// Two calls, and an argument of each, that may meet: one of them writes where the other one reads or writes.
    pub fn conflict(&self, program: &Program) -> Option<Pair> {
        self.first_pair(&|b| range(program, b))
    }

    /// Whether none meet when all buffers have memory of their own, but `new` begins where `old` begins.
    pub fn is_apart_in_place(&self, program: &Program, new: BufferId, old: BufferId) -> bool {
        let place = |b: BufferId| own(program, if b == new { old } else { b });
        self.first_pair(&place).is_none()
    }

    fn first_pair(&self, place: &dyn Fn(BufferId) -> Place) -> Option<Pair> {
        let n = self.members.len();
        (0..n).find_map(|i| (i + 1..n).find_map(|j| self.meet(i, j, place)))
    }

    fn meet(&self, i: usize, j: usize, place: &dyn Fn(BufferId) -> Place) -> Option<Pair> {
        let (x, y) = (&self.members[i], &self.members[j]);
        for a in 0..x.buffers.len() {
            for b in 0..y.buffers.len() {
                if x.access[a] == Access::Read && y.access[b] == Access::Read {
                    continue;
                }
                let (x_place, y_place) = (place(x.buffers[a]), place(y.buffers[b]));
                let share = x_place.0 == y_place.0 && x_place.1.max(y_place.1) < x_place.2.min(y_place.2);
                let apart = || {
                    let (x, y) = (x.footprint.as_ref()?, y.footprint.as_ref()?);
                    let ahead = i128::from(y_place.1) - i128::from(x_place.1);
                    let pairs = [(&x.writes[a], &y.writes[b]), (&x.writes[a], &y.reads[b]), (&x.reads[a], &y.writes[b])];
                    Some(pairs.into_iter().all(|(x, y)| all_apart(x, y, ahead)))
                };
                if share && apart() != Some(true) {
                    return Some([(i, a), (j, b)]);
                }
            }
        }
        None
    }
}

/// A buffer as part of its root, wherever that is.
fn own(program: &Program, b: BufferId) -> Place {
    let (root, offset) = program.root(b);
    (Space::Buffer(root), offset, offset + program.buffer(b).size_bytes)
}

/// Whether no set of the first meets one of the second, which begin `ahead` bytes further on.
fn all_apart(first: &[Set], second: &[Set], ahead: i128) -> bool {
    second.iter().map(|s| Set { start: s.start + ahead, ..s.clone() }).all(|s| first.iter().all(|f| f.is_apart(&s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(s: &Set) -> std::collections::BTreeSet<i128> {
        let mut starts = vec![s.start];
        for &(stride, count) in &s.steps {
            starts = starts.iter().flat_map(|&at| (0..count).map(move |i| at + stride * i)).collect();
        }
        starts.iter().flat_map(|&at| at..at + s.length).collect()
    }

    fn set() -> impl Strategy<Value = Set> {
        let steps = prop::collection::vec((prop::sample::select(vec![1, 2, 3, 4, 8, 12, 16, 24, 48]), 1i128..5), 0..4);
        (0i128..60, 1i128..9, steps).prop_map(|(start, length, steps)| Set::new(start, length, steps))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_apart_shares_no_byte(a in set(), b in set()) {
            let apart = a.is_apart(&b);
            prop_assert_eq!(apart, b.is_apart(&a));
            prop_assert!(!apart || bytes(&a).is_disjoint(&bytes(&b)));
        }

        #[test]
        fn gaps_are_closed_without_loss(start in 0i128..9, length in 1i128..9, steps in prop::collection::vec((1i128..20, 1i128..5), 0..4)) {
            let plain = Set { start, length, steps: steps.clone() };
            prop_assert_eq!(bytes(&plain), bytes(&Set::new(start, length, steps)));
        }
    }

    #[test]
    fn what_interleaves_is_apart() {
        // Two panels of 16 bytes of pixels of 64, in images of 10 pixels.
        let panel = |first: i128| Set::new(first * 16, 16, vec![(64, 10), (640, 10)]);
        assert!(panel(0).is_apart(&panel(1)) && panel(3).is_apart(&panel(0)) && !panel(2).is_apart(&panel(2)));
        // Rows, in two images.
        let rows = |first: i128, count| Set::new(first * 640, 640, vec![(640, count), (6400, 2)]);
        assert!(rows(0, 5).is_apart(&rows(5, 5)) && !rows(0, 6).is_apart(&rows(5, 5)));
        // An inner rectangle and the column beside it.
        let (inner, column) = (Set::new(704, 512, vec![(640, 8)]), Set::new(640, 64, vec![(640, 8)]));
        assert!(inner.is_apart(&column) && column.is_apart(&inner));
    }

    #[test]
    fn progressions() {
        assert_eq!(progression(&[7]), Some(vec![]));
        assert_eq!(progression(&[0, 2, 4, 10, 12, 14]), Some(vec![(10, 2), (2, 3)]));
        assert_eq!(progression(&[0, 2, 4, 10, 12]), None);
        assert_eq!(progression(&[0, 1, 3]), None);
    }
}
