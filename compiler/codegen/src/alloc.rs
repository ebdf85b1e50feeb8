//! Register allocation for structured code.
//!
//! Not tied to an instruction set: it sees instructions that read and write virtual registers of two classes, and markers where loops
//! begin and end. The ideas: moves are coalesced wherever the two sides never hold different values at once (so accumulators stay in
//! place); what is left gets an interval, and intervals get registers from first to last; when there are not enough, the
//! interval whose uses weigh least (those in the innermost loops weigh most) goes to the frame, and the scan starts again. At last, what
//! was fetched from the frame for one instruction stays in its register for the next ones, as long as nobody else wants that.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Vector,
    General,
}

/// A virtual register; it may be written more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Virtual(pub u32);

/// What allocation must know of one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Reads `uses`, then writes `defs`; a register that is in both is changed in place.
    Op {
        uses: Vec<Virtual>,
        defs: Vec<Virtual>,
    },
    Move {
        to: Virtual,
        from: Virtual,
    },
    LoopBegin,
    LoopEnd,
}

/// Where a virtual register lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Register(u8),
    /// A slot of the frame, by number.
    Slot(u32),
}

#[derive(Debug, Default)]
pub struct Allocation {
    /// By virtual register.
    home: Vec<Option<Home>>,
    /// Register that stands for a virtual register with a slot during one instruction: (instruction, virtual) to register.
    stand_in: BTreeMap<(usize, Virtual), u8>,
    /// Stand-ins that hold the value already.
    kept: BTreeSet<(usize, Virtual)>,
    /// Vector slots come first.
    pub vector_slots: u32,
    pub general_slots: u32,
}

impl Allocation {
    pub fn home(&self, v: Virtual) -> Home {
        self.home[v.0 as usize].expect("every virtual register that occurs has a home")
    }
    /// The register that holds `v` while instruction `at` executes.
    pub fn register(&self, at: usize, v: Virtual) -> u8 {
        match self.home(v) {
            Home::Register(r) => r,
            Home::Slot(_) => self.stand_in[&(at, v)],
        }
    }
    /// Must `v`, which has a slot, be fetched before instruction `at`?
    pub fn is_fetched(&self, at: usize, v: Virtual) -> bool {
        !self.kept.contains(&(at, v))
    }
    /// Every register that ever holds `v`.
    pub fn registers_of(&self, v: Virtual) -> Vec<u8> {
        match self.home.get(v.0 as usize) {
            Some(Some(Home::Register(r))) => vec![*r],
            Some(Some(Home::Slot(_))) => self.stand_in.iter().filter(|s| s.0.1 == v).map(|s| *s.1).collect(),
            _ => vec![],
        }
    }
}

/// Registers of each class.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub vector: u8,
    pub general: u8,
}

/// More registers are needed in one instruction than there are.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

pub fn allocate(events: &[Event], classes: &[Class], registers: Registers) -> Result<Allocation, TooMany> {
    allocate_among(events, classes, registers, vec![ANY; classes.len()])
}

/// Every register.
pub const ANY: u64 = u64::MAX;

/// The same where some instructions cannot name every register: `allowed` has a bit per register, by virtual register.
pub fn allocate_among(events: &[Event], classes: &[Class], registers: Registers, allowed: Vec<u64>) -> Result<Allocation, TooMany> {
    let mut code = Code::new(events, classes, allowed);
    code.coalesce();
    let intervals = code.intervals();
    let mut spilled = vec![false; classes.len()];
    loop {
        match scan(&code, &intervals, &spilled, registers)? {
            Scan::Done(mut assigned) => {
                let kept =
                    if spilled.contains(&true) { keep(&code, &intervals, &spilled, registers, &mut assigned) } else { BTreeSet::new() };
                return Ok(code.allocation(&intervals, &spilled, assigned, kept));
            }
            Scan::Spill(root) => spilled[root.0 as usize] = true,
        }
    }
}

/// Where values live in code that has no registers yet, as `allocate` will find it.
pub struct Lives {
    /// By virtual register: the one that stands for all that are one with it, since moves between them do nothing.
    pub leaders: Vec<Virtual>,
    /// Of every leader that occurs: from which position to which it needs a place. Instruction `i` reads at 2·i and writes at 2·i + 1.
    pub intervals: Vec<(Virtual, usize, usize)>,
}

pub fn lives(events: &[Event], classes: &[Class]) -> Lives {
    let mut code = Code::new(events, classes, vec![ANY; classes.len()]);
    code.coalesce();
    let intervals = code.intervals().iter().map(|i| (i.root, i.start, i.end)).collect();
    Lives { leaders: code.leader.iter().map(|l| Virtual(*l)).collect(), intervals }
}

/// Two positions per instruction: it reads at 2·i and writes at 2·i + 1.
struct Code<'a> {
    events: &'a [Event],
    classes: &'a [Class],
    /// Loops as (first, last) instruction, inner ones after outer ones.
    loops: Vec<(usize, usize)>,
    /// Innermost loop around every instruction.
    loop_of: Vec<Option<usize>>,
    parent: Vec<Option<usize>>,
    depth: Vec<u32>,
    /// Union of coalesced registers: the representative of each.
    leader: Vec<u32>,
    /// Reads and writes of a representative, by position: (position, is a write), sorted.
    accesses: Vec<Vec<(usize, bool)>>,
    /// The registers that a representative may have, a bit for each.
    allowed: Vec<u64>,
}

struct Interval {
    root: Virtual,
    start: usize,
    end: usize,
    weight: Weight,
}

/// What a spill costs: the deepest loop with an access decides, so that nothing outside of a loop pushes out what goes round in it; then
/// accesses per length.
#[derive(Clone, Copy, Debug)]
struct Weight {
    depth: u32,
    density: f64,
}

impl Weight {
    const MOST: Weight = Weight { depth: u32::MAX, density: f64::INFINITY };

    fn order(&self, other: &Weight) -> std::cmp::Ordering {
        self.depth.cmp(&other.depth).then(self.density.total_cmp(&other.density))
    }
}

/// Registers of whole intervals, and of stand-ins during one instruction.
type Assigned = BTreeMap<(Option<usize>, Virtual), u8>;

enum Scan {
    Done(Assigned),
    Spill(Virtual),
}

impl<'a> Code<'a> {
    fn new(events: &'a [Event], classes: &'a [Class], allowed: Vec<u64>) -> Self {
        let mut loops: Vec<(usize, usize)> = vec![];
        let mut parent = vec![];
        let mut open: Vec<usize> = vec![];
        let mut loop_of = vec![None; events.len()];
        let mut depth = vec![0; events.len()];
        let mut accesses = vec![vec![]; classes.len()];
        for (i, e) in events.iter().enumerate() {
            match e {
                Event::LoopBegin => {
                    parent.push(open.last().copied());
                    loops.push((i, i));
                    open.push(loops.len() - 1);
                }
                Event::LoopEnd => {
                    let l = open.pop().expect("loops are nested");
                    loops[l].1 = i;
                }
                Event::Op { uses, defs } => {
                    uses.iter().for_each(|u| accesses[u.0 as usize].push((2 * i, false)));
                    defs.iter().for_each(|d| accesses[d.0 as usize].push((2 * i + 1, true)));
                }
                Event::Move { to, from } => {
                    accesses[from.0 as usize].push((2 * i, false));
                    accesses[to.0 as usize].push((2 * i + 1, true));
                }
            }
            loop_of[i] = open.last().copied();
            depth[i] = open.len() as u32;
        }
        let leader = (0..classes.len() as u32).collect();
        Code { events, classes, loops, loop_of, parent, depth, leader, accesses, allowed }
    }

    fn is_allowed(&self, root: Virtual, register: usize) -> bool {
        self.allowed[root.0 as usize] >> register & 1 == 1
    }

    fn root(&self, v: Virtual) -> Virtual {
        Virtual(self.leader[v.0 as usize])
    }

    /// Does the value of `v` matter right after `position`?
    fn live_after(&self, v: Virtual, position: usize) -> bool {
        let all = &self.accesses[v.0 as usize];
        let mut at = position;
        let mut around = self.loop_of[position / 2];
        loop {
            let last = around.map_or(usize::MAX, |l| 2 * self.loops[l].1 + 1);
            let ahead = &all[all.partition_point(|a| a.0 <= at)..all.partition_point(|a| a.0 <= last)];
            if let Some(read) = self.next_use(ahead, around) {
                return read;
            }
            let Some(l) = around else { return false };
            // Round the loop: what it reads before writing.
            let whole = &all[all.partition_point(|a| a.0 < 2 * self.loops[l].0)..all.partition_point(|a| a.0 <= last)];
            if self.next_use(whole, around) == Some(true) {
                return true;
            }
            at = last;
            around = self.parent[l];
        }
    }

    /// Whether the accesses, all in loop `around`, read the value that was there before them (`true`) or certainly overwrite it.
    fn next_use(&self, accesses: &[(usize, bool)], around: Option<usize>) -> Option<bool> {
        // A write in a loop further in may be skipped, but it hides what follows it in that loop.
        let mut hidden: Vec<Option<usize>> = vec![];
        for &(p, write) in accesses {
            let here = self.loop_of[p / 2];
            match (write, here == around) {
                (true, true) => return Some(false),
                (true, false) => hidden.push(here),
                (false, _) if hidden.iter().any(|h| self.is_inside(here, *h)) => {}
                (false, _) => return Some(true),
            }
        }
        None
    }

    /// Is loop `inner` the same as `outer` or around it? (`None` is around everything.)
    fn is_inside(&self, mut inner: Option<usize>, outer: Option<usize>) -> bool {
        loop {
            if inner == outer {
                return true;
            }
            match inner {
                None => return false,
                Some(l) => inner = self.parent[l],
            }
        }
    }

    /// Do the two ever hold different values at once? The move at `at` is the one exception.
    fn conflict(&self, a: Virtual, b: Virtual, at: usize) -> bool {
        let writes_into = |x: Virtual, y: Virtual| {
            let writes = self.accesses[x.0 as usize].iter().filter(|w| w.1 && w.0 != 2 * at + 1);
            writes.clone().any(|w| self.live_after(y, w.0) || self.writes(y, w.0))
        };
        writes_into(a, b) || writes_into(b, a)
    }

    fn writes(&self, v: Virtual, position: usize) -> bool {
        self.accesses[v.0 as usize].binary_search(&(position, true)).is_ok()
    }

    fn coalesce(&mut self) {
        for (i, e) in self.events.iter().enumerate() {
            let Event::Move { to, from } = e else { continue };
            let (a, b) = (self.root(*to), self.root(*from));
            // The source may not be needed after the move, as the destination may change.
            if a == b || self.classes[a.0 as usize] != self.classes[b.0 as usize] || self.live_after(b, 2 * i + 1) || self.conflict(a, b, i)
            {
                continue;
            }
            let moved = std::mem::take(&mut self.accesses[b.0 as usize]);
            let all = &mut self.accesses[a.0 as usize];
            all.extend(moved);
            all.sort();
            all.dedup();
            self.allowed[a.0 as usize] &= self.allowed[b.0 as usize];
            self.leader.iter_mut().filter(|l| **l == b.0).for_each(|l| *l = a.0);
        }
    }

    fn intervals(&self) -> Vec<Interval> {
        let mut out = vec![];
        for v in 0..self.classes.len() as u32 {
            let all = &self.accesses[v as usize];
            let (Some(first), Some(last)) = (all.first(), all.last()) else { continue };
            let (mut start, mut end) = (first.0, last.0);
            // Alive around a loop, that is read there before it is certainly written: the whole loop.
            for (l, &(begin, finish)) in self.loops.iter().enumerate().rev() {
                let (b, f) = (2 * begin, 2 * finish + 1);
                let inside = &all[all.partition_point(|a| a.0 < b)..all.partition_point(|a| a.0 <= f)];
                if self.next_use(inside, Some(l)) == Some(true) {
                    start = start.min(b);
                    end = end.max(f);
                }
            }
            let depths = all.iter().map(|a| self.depth[a.0 / 2]);
            let density = depths.clone().map(weight_of_depth).sum::<f64>() / (end - start + 1) as f64;
            let weight = Weight { depth: depths.max().unwrap_or(0), density };
            out.push(Interval { root: Virtual(v), start, end, weight });
        }
        out.sort_by_key(|i| (i.start, i.root));
        out
    }

    fn allocation(&self, intervals: &[Interval], spilled: &[bool], assigned: Assigned, kept: BTreeSet<(usize, Virtual)>) -> Allocation {
        let mut out = Allocation { home: vec![None; self.classes.len()], ..Allocation::default() };
        let count =
            |class| intervals.iter().filter(|i| spilled[i.root.0 as usize] && self.classes[i.root.0 as usize] == class).count() as u32;
        (out.vector_slots, out.general_slots) = (count(Class::Vector), count(Class::General));
        let (mut vector, mut general) = (0, out.vector_slots);
        let mut of_root = vec![None; self.classes.len()];
        for i in intervals {
            let root = i.root.0 as usize;
            of_root[root] = Some(if spilled[root] {
                let next = if self.classes[root] == Class::Vector { &mut vector } else { &mut general };
                *next += 1;
                Home::Slot(*next - 1)
            } else {
                Home::Register(assigned[&(None, i.root)])
            });
        }
        for v in 0..self.classes.len() {
            out.home[v] = of_root[self.leader[v] as usize];
        }
        // Stand-ins were found for representatives; an instruction names members.
        for (i, e) in self.events.iter().enumerate() {
            if let Event::Op { uses, defs } = e {
                for &v in uses.iter().chain(defs) {
                    if let Some(&r) = assigned.get(&(Some(i), self.root(v))) {
                        out.stand_in.insert((i, v), r);
                    }
                    if kept.contains(&(i, self.root(v))) {
                        out.kept.insert((i, v));
                    }
                }
            }
        }
        out
    }
}

/// A loop is taken to run eight times.
fn weight_of_depth(depth: u32) -> f64 {
    (0..depth.min(12)).fold(1.0, |w, _| w * 8.0)
}

/// One pass over the intervals in the order of their beginnings.
fn scan(code: &Code, intervals: &[Interval], spilled: &[bool], registers: Registers) -> Result<Scan, TooMany> {
    // What must be in a register: whole intervals, and for one instruction the stand-ins of spilled ones.
    struct Wish {
        start: usize,
        end: usize,
        key: (Option<usize>, Virtual),
        weight: Weight,
    }
    let mut wishes: Vec<Wish> = intervals
        .iter()
        .filter(|i| !spilled[i.root.0 as usize])
        .map(|i| Wish { start: i.start, end: i.end, key: (None, i.root), weight: i.weight })
        .collect();
    for (i, e) in code.events.iter().enumerate() {
        let Event::Op { uses, defs } = e else { continue };
        let mut seen: Vec<Virtual> = vec![];
        for v in uses.iter().chain(defs).map(|&v| code.root(v)).filter(|v| spilled[v.0 as usize]) {
            if !seen.contains(&v) {
                seen.push(v);
                let read = uses.iter().any(|u| code.root(*u) == v);
                let written = defs.iter().any(|d| code.root(*d) == v);
                let (start, end) = (2 * i + usize::from(!read), 2 * i + usize::from(written));
                wishes.push(Wish { start, end, key: (Some(i), v), weight: Weight::MOST });
            }
        }
    }
    wishes.sort_by_key(|w| (w.start, w.end, w.key));

    let mut assigned = BTreeMap::new();
    for class in [Class::Vector, Class::General] {
        let limit = if class == Class::Vector { registers.vector } else { registers.general };
        // Per register the wish that holds it.
        let mut holder: Vec<Option<&Wish>> = vec![None; limit as usize];
        for w in wishes.iter().filter(|w| code.classes[w.key.1.0 as usize] == class) {
            for h in &mut holder {
                if h.is_some_and(|h| h.end < w.start) {
                    *h = None;
                }
            }
            let is_allowed = |r: usize| code.is_allowed(w.key.1, r);
            match (0..holder.len()).find(|&r| holder[r].is_none() && is_allowed(r)) {
                Some(r) => {
                    holder[r] = Some(w);
                    assigned.insert(w.key, r as u8);
                }
                None => {
                    let holders = (0..holder.len()).filter(|&r| is_allowed(r)).filter_map(|r| holder[r]);
                    let candidates = holders.chain([w]).filter(|c| c.key.0.is_none());
                    let lightest = candidates.min_by(|a, b| a.weight.order(&b.weight).then(b.end.cmp(&a.end)).then(a.key.cmp(&b.key)));
                    return lightest.map(|c| Scan::Spill(c.key.1)).ok_or(TooMany);
                }
            }
        }
    }
    Ok(Scan::Done(assigned))
}

/// One access to a spilled value.
enum Access {
    StandIn {
        at: usize,
        read: bool,
        written: bool,
    },
    /// The slot changes, and no register with it.
    Overwritten,
}

/// Stand-ins of a spilled value move to registers that are free from one access to the next, so that the later one need not be
/// fetched. Gives those, and changes the registers.
fn keep(
    code: &Code,
    intervals: &[Interval],
    spilled: &[bool],
    registers: Registers,
    assigned: &mut Assigned,
) -> BTreeSet<(usize, Virtual)> {
    let mut accesses: BTreeMap<Virtual, Vec<Access>> = BTreeMap::new();
    for (at, e) in code.events.iter().enumerate() {
        match e {
            Event::Op { uses, defs } => {
                let has = |all: &[Virtual], v| all.iter().any(|u| code.root(*u) == v);
                let mut roots: Vec<Virtual> = uses.iter().chain(defs).map(|&v| code.root(v)).filter(|v| spilled[v.0 as usize]).collect();
                roots.sort();
                roots.dedup();
                for v in roots {
                    accesses.entry(v).or_default().push(Access::StandIn { at, read: has(uses, v), written: has(defs, v) });
                }
            }
            Event::Move { to, .. } if spilled[code.root(*to).0 as usize] => {
                accesses.entry(code.root(*to)).or_default().push(Access::Overwritten);
            }
            _ => {}
        }
    }
    // Which positions are taken, by class and register.
    let (vectors, positions) = (registers.vector as usize, 2 * code.events.len());
    let mut taken = vec![vec![false; positions]; vectors + registers.general as usize];
    let index = |v: Virtual, r: u8| if code.classes[v.0 as usize] == Class::Vector { r as usize } else { vectors + r as usize };
    for i in intervals.iter().filter(|i| !spilled[i.root.0 as usize]) {
        taken[index(i.root, assigned[&(None, i.root)])][i.start..=i.end].fill(true);
    }
    let span = |at: usize, read: bool, written: bool| (2 * at + usize::from(!read), 2 * at + usize::from(written));
    for (&v, all) in &accesses {
        for a in all {
            if let Access::StandIn { at, read, written } = *a {
                let (start, end) = span(at, read, written);
                taken[index(v, assigned[&(Some(at), v)])][start..=end].fill(true);
            }
        }
    }

    let mut kept = BTreeSet::new();
    for (&v, all) in &accesses {
        let range = if code.classes[v.0 as usize] == Class::Vector { 0..registers.vector } else { 0..registers.general };
        for a in all {
            if let Access::StandIn { at, read, written } = *a {
                let (start, end) = span(at, read, written);
                taken[index(v, assigned[&(Some(at), v)])][start..=end].fill(false);
            }
        }
        let mut next = 0;
        while next < all.len() {
            let Access::StandIn { at, read, written } = all[next] else {
                next += 1;
                continue;
            };
            next += 1;
            let (start, mut end) = span(at, read, written);
            let mut group = vec![at];
            let is_free = |r: u8, from: usize, to: usize| !taken[index(v, r)][from..=to].contains(&true);
            let mut free: Vec<u8> = range.clone().filter(|&r| code.is_allowed(v, r.into()) && is_free(r, start, end)).collect();
            while let Some(&Access::StandIn { at, read: true, written }) = all.get(next) {
                let last = span(at, true, written).1;
                let still: Vec<u8> = free.iter().copied().filter(|&r| is_free(r, end, last)).collect();
                if still.is_empty() || code.loop_of[at] != code.loop_of[group[0]] {
                    break;
                }
                (free, end) = (still, last);
                group.push(at);
                next += 1;
            }
            taken[index(v, free[0])][start..=end].fill(true);
            kept.extend(group[1..].iter().map(|&at| (at, v)));
            assigned.extend(group.iter().map(|&at| ((Some(at), v), free[0])));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(uses: &[u32], defs: &[u32]) -> Event {
        Event::Op { uses: uses.iter().map(|&v| Virtual(v)).collect(), defs: defs.iter().map(|&v| Virtual(v)).collect() }
    }
    fn mv(to: u32, from: u32) -> Event {
        Event::Move { to: Virtual(to), from: Virtual(from) }
    }

    #[test]
    fn accumulator_stays_in_place() {
        // init; loop { a = load; next = inside; next += a; inside = next } use
        let events = [
            op(&[], &[0]),
            mv(1, 0),
            Event::LoopBegin,
            op(&[], &[2]),
            mv(3, 1),
            op(&[3, 2], &[3]),
            mv(1, 3),
            Event::LoopEnd,
            op(&[1], &[]),
        ];
        let a = allocate(&events, &[Class::Vector; 4], Registers { vector: 2, general: 1 }).unwrap();
        assert_eq!(a.home(Virtual(1)), a.home(Virtual(3)));
        assert_eq!(a.home(Virtual(0)), a.home(Virtual(1)));
        assert_ne!(a.home(Virtual(1)), a.home(Virtual(2)));
        assert_eq!(a.vector_slots + a.general_slots, 0);
    }

    #[test]
    fn value_needed_again_is_copied() {
        // bias; loop { acc = bias; acc += bias; use acc }
        let events = [op(&[], &[0]), Event::LoopBegin, mv(1, 0), op(&[1, 0], &[1]), op(&[1], &[]), Event::LoopEnd];
        let a = allocate(&events, &[Class::Vector; 2], Registers { vector: 2, general: 1 }).unwrap();
        assert_ne!(a.home(Virtual(0)), a.home(Virtual(1)));
    }

    #[test]
    fn what_was_fetched_stays_while_its_register_is_free() {
        // Outside of the loop v0 has a register from its first use on, until v2 and v3 need both.
        let events = [
            op(&[], &[0]),
            Event::LoopBegin,
            op(&[], &[1]),
            op(&[], &[2]),
            op(&[1, 2], &[]),
            Event::LoopEnd,
            op(&[0], &[]),
            op(&[0], &[]),
            op(&[], &[3]),
            op(&[], &[4]),
            op(&[3, 4], &[]),
            op(&[0], &[]),
        ];
        let a = allocate(&events, &[Class::Vector; 5], Registers { vector: 2, general: 1 }).unwrap_or_default();
        assert!(matches!(a.home(Virtual(0)), Home::Slot(_)));
        assert_eq!([6, 7, 11].map(|at| a.is_fetched(at, Virtual(0))), [true, false, true]);
        assert_eq!(a.register(6, Virtual(0)), a.register(7, Virtual(0)));
    }

    #[test]
    fn a_swap_round_a_loop_is_kept_apart() {
        // x, y; loop { t = x; x = y; y = t } use x, y
        let events = [op(&[], &[0]), op(&[], &[1]), Event::LoopBegin, mv(2, 0), mv(0, 1), mv(1, 2), Event::LoopEnd, op(&[0, 1], &[])];
        let a = allocate(&events, &[Class::General; 3], Registers { vector: 0, general: 3 }).unwrap();
        let homes: Vec<Home> = (0..3).map(|v| a.home(Virtual(v))).collect();
        assert!(homes[0] != homes[1] && homes[1] != homes[2] && homes[0] != homes[2], "{homes:?}");
    }

    #[test]
    fn accumulator_stays_in_place_inside_a_further_loop() {
        let events = [
            Event::LoopBegin,
            op(&[], &[0]),
            mv(1, 0),
            Event::LoopBegin,
            mv(3, 1),
            op(&[3], &[3]),
            mv(1, 3),
            Event::LoopEnd,
            op(&[1, 0], &[]),
            Event::LoopEnd,
        ];
        let a = allocate(&events, &[Class::Vector; 4], Registers { vector: 2, general: 1 }).unwrap();
        assert_eq!(a.home(Virtual(1)), a.home(Virtual(3)));
        assert_ne!(a.home(Virtual(0)), a.home(Virtual(1)));
    }

    #[test]
    fn who_needs_certain_registers_gets_them() {
        // v0 is there first and must leave register 0; v1 and v2 want that at once, so both live in the frame.
        let events = [op(&[], &[0]), op(&[], &[1]), op(&[], &[2]), op(&[0, 1], &[]), op(&[1], &[]), op(&[2], &[])];
        let registers = Registers { vector: 2, general: 1 };
        let a = allocate_among(&events, &[Class::Vector; 3], registers, vec![0b10, 0b01, 0b01]).unwrap_or_default();
        assert_eq!([a.register(3, Virtual(0)), a.register(3, Virtual(1)), a.register(5, Virtual(2))], [1, 0, 0]);
        assert_eq!(a.vector_slots, 2);
        let none = allocate_among(&events, &[Class::Vector; 3], registers, vec![ANY, 0, ANY]);
        assert_eq!(none.err(), Some(TooMany));
    }

    #[test]
    fn the_lightest_goes_to_the_frame() {
        // v0 is used outside only, v1 in a loop; one register.
        let events = [op(&[], &[0]), op(&[], &[1]), Event::LoopBegin, op(&[1], &[]), Event::LoopEnd, op(&[0], &[])];
        let a = allocate(&events, &[Class::Vector; 2], Registers { vector: 1, general: 1 }).unwrap_or_default();
        assert_eq!(a.vector_slots, 1);
        assert!(matches!(a.home(Virtual(0)), Home::Slot(_)) && matches!(a.home(Virtual(1)), Home::Register(0)));
        assert_eq!(a.register(5, Virtual(0)), 0);
        assert!(a.is_fetched(5, Virtual(0)));
        let none = allocate(&events, &[Class::Vector; 2], Registers { vector: 0, general: 1 });
        assert_eq!(none.err(), Some(TooMany));
    }
}
