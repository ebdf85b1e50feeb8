//! The arena: which scratch buffer lies where, in the fewest bytes.
//!
//! Not the schedule and not the choice of kernels: both are given. The idea: what a program needs at each step is known when it is compiled, so
//! placing its buffers is packing intervals of time and size (`place.rs`), and how few bytes could do is known too.
//! An output whose kernel allows it takes the place of an input that is not needed afterwards.
//!
//! What is used in the turns of one loop alone, and written there first, is free between two turns; everything else that a loop uses lives in all of
//! them. The branches of a choice may have the same memory. States are the caller's, and have no place here.
//!
//! The program's own inputs and outputs are the caller's, or in the arena too: then inputs live from the beginning, and outputs to the end. Where several
//! programs must have them at the same places, they are at the beginning of the arena, and share it with nothing.

mod check;
mod holes;
pub mod place;
#[cfg(test)]
mod program_tests;
mod search;
#[cfg(test)]
mod tests;

pub use check::check;

use crate::program::*;
use crate::verify::Group;
use place::{Interval, Placement, place};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Partial placements that the search may look at: about a second at worst, and seldom more than some hundreds are needed.
const NODE_LIMIT: u64 = 200_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// A multiple of the alignment.
    pub arena_size_bytes: u64,
    /// No placement of these buffers under this schedule needs less: the largest sum of bytes live at one step, rounded up likewise.
    pub lower_bound_bytes: u64,
    /// That no placement is smaller is known, even if the bound is.
    pub is_optimal: bool,
    /// What the arena must be aligned to.
    pub align_bytes: u64,
    /// Of every buffer that has a place, in the order of the buffers.
    pub intervals: Vec<Life>,
    /// The first step at which most bytes are live; none if no scratch buffer is used.
    pub peak: Option<Peak>,
}

/// Life of a buffer in the arena, from its first to its last step of the schedule (inclusive); an output's ends after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub buffer: BufferId,
    pub size_bytes: u64,
    pub offset_bytes: u64,
    pub first_step: usize,
    pub last_step: usize,
    /// Whose place it takes at its first step.
    pub in_place_of: Option<BufferId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    pub step: usize,
    /// The largest first.
    pub buffers: Vec<(BufferId, u64)>,
}

/// Gives every scratch buffer that is used its offset; one that is not gets none.
pub fn plan(program: &mut Program) -> Plan {
    plan_of(program, |b| b.role == Role::Scratch)
}

/// As [`plan`], with inputs and outputs in the arena, each aligned to `align_bytes` where that costs a tenth of its bytes at most.
pub fn plan_with_io(program: &mut Program, align_bytes: u32) -> Plan {
    align_io(program, align_bytes);
    plan_of(program, |b| b.role == Role::Scratch || is_io(b))
}

/// As [`plan_with_io`], with inputs and outputs one after the other at the beginning of the arena and all else behind them: their places depend on
/// sizes alone, and are the same in every program for the model.
pub fn plan_behind_io(program: &mut Program, align_bytes: u32) -> Plan {
    align_io(program, align_bytes);
    let behind = plan_of(program, |b| b.role == Role::Scratch);
    let mut io: Vec<&mut Buffer> = program.buffers.iter_mut().filter(|b| is_io(b)).collect();
    io.sort_by_key(|b| b.role);
    let (mut end, mut align) = (0u64, behind.align_bytes);
    for b in io {
        let at = end.next_multiple_of(u64::from(b.align));
        b.offset_bytes = Some(at);
        (end, align) = (at + b.size_bytes, align.max(u64::from(b.align)));
    }
    let begin = end.next_multiple_of(align);
    for life in &behind.intervals {
        program.buffers[life.buffer.0 as usize].offset_bytes = Some(begin + life.offset_bytes);
    }
    let (buffers, intervals) = lives(program, |b| b.role == Role::Scratch || is_io(b));
    let life = |(&buffer, interval): (&BufferId, &Interval)| Life {
        buffer,
        size_bytes: interval.size_bytes,
        offset_bytes: program.buffer(buffer).offset_bytes.unwrap_or(0),
        first_step: interval.first,
        last_step: interval.last,
        in_place_of: behind.intervals.iter().find(|l| l.buffer == buffer).and_then(|l| l.in_place_of),
    };
    let arena_size_bytes = (begin + behind.arena_size_bytes).next_multiple_of(align);
    let lower_bound_bytes = fullest(&intervals).map_or(0, |(bytes, _)| bytes).next_multiple_of(align);
    Plan {
        arena_size_bytes,
        lower_bound_bytes,
        is_optimal: arena_size_bytes == lower_bound_bytes,
        align_bytes: align,
        peak: peak(&buffers, &intervals),
        intervals: buffers.iter().zip(&intervals).map(life).collect(),
    }
}

fn align_io(program: &mut Program, align_bytes: u32) {
    for b in program.buffers.iter_mut().filter(|b| is_io(b)) {
        let fits = |align: &u32| b.size_bytes.next_multiple_of(u64::from(*align)) * 10 <= b.size_bytes * 11;
        let align = std::iter::successors(Some(align_bytes), |a| Some(a / 2)).find(|a| *a <= 8 || fits(a));
        b.align = b.align.max(align.unwrap_or(8));
    }
}

fn is_io(b: &Buffer) -> bool {
    b.view.is_none() && matches!(b.role, Role::Input(_) | Role::Output(_))
}

fn plan_of(program: &mut Program, is_placed: fn(&Buffer) -> bool) -> Plan {
    let (buffers, intervals) = lives(program, is_placed);
    let mut placement = place(&intervals, NODE_LIMIT);
    let lower_bound_bytes = placement.lower_bound_bytes;
    let mut used = intervals.clone();
    if lower_bound_bytes < placement.size_bytes && intervals.iter().any(|i| i.in_place_of.is_some()) {
        // Sharing ties buffers together, which may cost more than it saves.
        let apart: Vec<Interval> = intervals.iter().map(|i| Interval { in_place_of: None, ..*i }).collect();
        let other = place(&apart, NODE_LIMIT);
        if other.size_bytes < placement.size_bytes {
            (placement, used) = (other, apart);
        }
    }
    let Placement { offsets_bytes, size_bytes, optimal, .. } = placement;
    let align_bytes = used.iter().map(|i| i.align).max().unwrap_or(1);
    let (arena_size_bytes, lower_bound_bytes) = (size_bytes.next_multiple_of(align_bytes), lower_bound_bytes.next_multiple_of(align_bytes));
    program.buffers.iter_mut().filter(|b| b.role != Role::State).for_each(|b| b.offset_bytes = None);
    for (&id, &offset) in buffers.iter().zip(&offsets_bytes) {
        program.buffers[id.0 as usize].offset_bytes = Some(offset);
    }
    let life = |(i, interval): (usize, &Interval)| Life {
        buffer: buffers[i],
        size_bytes: interval.size_bytes,
        offset_bytes: offsets_bytes[i],
        first_step: interval.first,
        last_step: interval.last,
        in_place_of: interval.in_place_of.map(|of| buffers[of]),
    };
    Plan {
        arena_size_bytes,
        lower_bound_bytes,
        is_optimal: arena_size_bytes == lower_bound_bytes || optimal && intervals.iter().all(|i| i.in_place_of.is_none()),
        align_bytes,
        peak: peak(&buffers, &intervals),
        intervals: used.iter().enumerate().map(life).collect(),
    }
}

/// A buffer named as an argument.
#[derive(Clone, Copy)]
struct Use {
    step: usize,
    /// In the step.
    call: usize,
    arg: usize,
    /// By its own name, not as a view.
    is_whole: bool,
}

/// The buffers to place, and when they live: from the first call that names them to the last, but an input from the beginning, and an output to the end.
fn lives(program: &Program, is_placed: fn(&Buffer) -> bool) -> (Vec<BufferId>, Vec<Interval>) {
    let line = Line::of(&program.schedule);
    let mut uses: Vec<Vec<Use>> = vec![vec![]; program.buffers.len()];
    // Of those that calls with parameters that advance touch, which may be a part of the buffer only.
    let mut advances = vec![false; program.buffers.len()];
    for (step, moment) in line.moments.iter().enumerate() {
        for (call, c) in moment.calls.iter().enumerate() {
            for (arg, &b) in c.buffers.iter().enumerate() {
                let root = program.root(b).0;
                uses[root.0 as usize].push(Use { step, call, arg, is_whole: root == b });
                advances[root.0 as usize] |= c.advances();
            }
        }
        if let Some(b) = moment.looks_at {
            let root = program.root(b).0;
            uses[root.0 as usize].push(Use { step, call: 0, arg: 0, is_whole: false });
        }
    }
    // The caller writes an input that nobody reads, too.
    let is_placed = |&id: &BufferId| {
        let b = program.buffer(id);
        is_placed(b) && (is_io(b) || !uses[id.0 as usize].is_empty())
    };
    let ids: Vec<BufferId> = (0..program.buffers.len() as u32).map(BufferId).filter(is_placed).collect();
    // By buffer that has a place: the loops in all of whose turns it lives.
    let mut goes_round: Vec<Vec<Range<usize>>> = vec![];
    let mut intervals: Vec<Interval> = ids
        .iter()
        .map(|&id| {
            let (b, uses) = (program.buffer(id), &uses[id.0 as usize]);
            let (first, last) = (uses.first().map_or(0, |u| u.step), uses.last().map_or(0, |u| u.step));
            let (mut first, mut last) = match b.role {
                Role::Input(_) => (0, last),
                Role::Output(_) => (first, line.moments.len()),
                _ => (first, last),
            };
            // What a loop finds or leaves behind lives in all of its turns; inner loops come first. The caller wrote an input before all.
            let lives_on = advances[id.0 as usize] || matches!(b.role, Role::Input(_));
            let mut rounds = vec![];
            for turns in line.loops.iter().rev().filter(|l| uses.iter().any(|u| l.contains(&u.step))) {
                if first < turns.start || turns.end <= last || lives_on {
                    (first, last) = (first.min(turns.start), last.max(turns.end - 1));
                    rounds.push(turns.clone());
                }
            }
            goes_round.push(rounds);
            Interval { size_bytes: b.size_bytes, align: u64::from(b.align), first, last, in_place_of: None }
        })
        .collect();
    // Of two that could take the same place, the one that saves more does.
    let mut taken_by: Vec<Option<usize>> = vec![None; ids.len()];
    for (i, &id) in ids.iter().enumerate() {
        let Some(of) = place_to_take(program, &line, &uses, id).and_then(|of| ids.binary_search(&of).ok()) else { continue };
        // Elsewhere one of them lives on for the sake of another turn of a loop.
        let here = uses[id.0 as usize][0].step;
        let lives_on = |i: usize| goes_round[i].iter().any(|turns| turns.contains(&here));
        if intervals[i].first != here || intervals[of].last != here || lives_on(i) || lives_on(of) {
            continue;
        }
        let saving = |i: usize| intervals[i].size_bytes.min(intervals[of].size_bytes);
        if 0 < saving(i) && taken_by[of].is_none_or(|other| saving(other) < saving(i)) {
            taken_by[of] = Some(i);
        }
    }
    for (of, by) in taken_by.into_iter().enumerate() {
        if let Some(by) = by {
            intervals[by].in_place_of = Some(of);
        }
    }
    (ids, intervals)
}

/// The buffer which dies in the very step that first writes `id`, and whose place the kernels of that step let `id` take.
fn place_to_take(program: &Program, line: &Line, uses: &[Vec<Use>], id: BufferId) -> Option<BufferId> {
    let mine = &uses[id.0 as usize];
    let first = mine.first()?;
    let Moment { calls, turns, .. } = line.moments[first.step];
    let taken = |u: &Use| {
        let call = calls.get(u.call)?;
        Some(call.buffers[program.kernel(call.kernel).args[u.arg].in_place_of?.0 as usize])
    };
    let of = taken(first)?;
    if matches!(program.buffer(of).role, Role::Output(_)) {
        return None;
    }
    let theirs = &uses[of.0 as usize];
    if theirs.last()?.step != first.step {
        return None;
    }
    // Uses are in the order of the steps.
    let mine = &mine[..mine.partition_point(|u| u.step == first.step)];
    let theirs = &theirs[theirs.partition_point(|u| u.step < first.step)..];
    let once = |uses: &[Use], call: usize| uses.iter().filter(|u| u.call == call).count() == 1;
    let allowed = mine.iter().all(|u| u.is_whole && taken(u) == Some(of) && once(mine, u.call) && once(theirs, u.call));
    let ends = theirs.iter().all(|u| u.is_whole);
    // Calls that may run at the same time must not overwrite what another one of them still reads.
    let mut group = Group::default();
    if 1 < calls.len() {
        calls.iter().for_each(|c| group.add(program.kernel(c.kernel), c, turns));
    }
    (allowed && ends && group.is_apart_in_place(program, id, of)).then_some(of)
}

/// A concatenation that is about to follow a program's calls.
#[derive(Clone, Debug)]
pub struct Joining<'a> {
    pub whole: BufferId,
    /// What is written into the whole from the beginning.
    pub parts: &'a [BufferId],
    /// What is copied from, and which of that the whole may replace.
    pub copied: &'a [BufferId],
    pub overwritten: Option<BufferId>,
}

/// The largest sum of bytes live at one step up to the concatenation, as in [`Plan::lower_bound_bytes`]. `is_kept`: what is needed afterwards.
pub fn least_bytes_joining(program: &Program, joining: &Joining, is_kept: impl Fn(BufferId) -> bool) -> u64 {
    let (ids, mut intervals) = lives(program, |b| b.role == Role::Scratch);
    let end = Line::of(&program.schedule).moments.len();
    let whole = program.buffer(joining.whole);
    let mut first = end;
    let [parts, copied] = [joining.parts, joining.copied].map(|buffers| buffers.iter().collect::<BTreeSet<_>>());
    // What lives on loses no place to what has taken it so far.
    let mut stays = vec![false; ids.len()];
    for (i, id) in ids.iter().enumerate() {
        let interval = &mut intervals[i];
        if parts.contains(id) {
            first = first.min(interval.first);
            (interval.size_bytes, interval.in_place_of, stays[i]) = (0, None, true);
        } else if copied.contains(id) || is_kept(*id) {
            (interval.last, stays[i]) = (end, true);
        }
    }
    for interval in &mut intervals {
        interval.in_place_of = interval.in_place_of.filter(|&of| !stays[of]);
    }
    let in_place_of = joining.overwritten.filter(|_| joining.parts.is_empty()).and_then(|b| ids.binary_search(&b).ok());
    let (size_bytes, align) = (whole.size_bytes, u64::from(whole.align));
    intervals.push(Interval { size_bytes, align, first, last: end, in_place_of });
    fullest(&intervals).map_or(0, |(bytes, _)| bytes)
}

/// The largest sum of bytes of a program live at one step, as in [`Plan::lower_bound_bytes`].
pub fn least_bytes(program: &Program) -> u64 {
    let (_, intervals) = lives(program, |b| b.role == Role::Scratch);
    fullest(&intervals).map_or(0, |(bytes, _)| bytes)
}

/// Of every scratch buffer that is used: the largest sum of bytes that are live at one step while it lives.
pub fn fullest_lives(program: &Program) -> BTreeMap<BufferId, u64> {
    let (ids, intervals) = lives(program, |b| b.role == Role::Scratch);
    let end = intervals.iter().map(|i| i.last + 1).max().unwrap_or(0);
    let mut live = vec![0u64; end + 1];
    for i in &intervals {
        live[i.first] = live[i.first].wrapping_add(i.size_bytes);
        live[i.last + 1] = live[i.last + 1].wrapping_sub(i.size_bytes);
    }
    let mut sum = 0u64;
    for bytes in &mut live {
        sum = sum.wrapping_add(*bytes);
        *bytes = sum;
    }
    let of = |(id, i): (BufferId, &Interval)| (id, live[i.first..=i.last].iter().copied().max().unwrap_or(0));
    ids.into_iter().zip(&intervals).map(of).collect()
}

/// The largest sum of bytes that are live at one step, and the first such step.
fn fullest(intervals: &[Interval]) -> Option<(u64, usize)> {
    let unit = intervals.iter().map(|i| i.align).min()?;
    let size = |i: &Interval| i.size_bytes.next_multiple_of(unit);
    // What is more than at the step before, and less.
    let mut changes: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for i in intervals {
        let shared = i.in_place_of.map_or(0, |of| size(i).min(size(&intervals[of])));
        changes.entry(i.first).or_default().0 += size(i) - shared;
        changes.entry(i.first + 1).or_default().0 += shared;
        changes.entry(i.last + 1).or_default().1 += size(i);
    }
    let (mut live, mut most) = (0, None);
    for (step, (more, less)) in changes {
        live = live + more - less;
        // The first step is one at which something begins.
        if most.is_none_or(|(bytes, _)| bytes < live) {
            most = Some((live, step));
        }
    }
    most
}

fn peak(buffers: &[BufferId], intervals: &[Interval]) -> Option<Peak> {
    let (_, step) = fullest(intervals)?;
    let live = buffers.iter().zip(intervals).filter(|(_, i)| i.first <= step && step <= i.last);
    let mut buffers: Vec<(BufferId, u64)> = live.map(|(&b, i)| (b, i.size_bytes)).collect();
    buffers.sort_by_key(|&(b, size)| (std::cmp::Reverse(size), b));
    Some(Peak { step, buffers })
}
