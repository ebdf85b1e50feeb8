//! An operator and the one that reads its result, done together band by band, so that the result is only ever there in part.
//!
//! Not a schedule of an operator: whatever calls the two have are cut as threads would cut them (`ranged.rs`). The idea: a depthwise convolution
//! and the 1 × 1 convolution behind it both go through the image from the top, so a band of rows is read while it is still in the
//! second-level cache, and memory for one band is enough. A cut is possible where no iteration of any call reads or writes on both
//! sides of it; a filter of several rows looks over every cut, so it begins such a pair and never ends it. Each byte is
//! computed by the same iteration as before, from the same bytes.

#[cfg(test)]
mod tests;

use crate::arena;
use crate::machine::Machine;
use crate::moving;
use crate::program::*;
use crate::ranged::{self, Path, Ranged};
use crate::verify::{Group, Memory, is_in_bounds, span};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// More bands than this are more code than they are worth.
const MOST_BANDS: i64 = 32;
/// Calls of an operator that are looked at.
const MOST_CALLS: usize = 16;

/// Does pairs of operators in bands whose tensors do not fit the second-level cache, if no more than `most_bytes` of scratch are live at once then.
/// For programs whose steps have single calls and whose scratch has no places yet.
pub fn cut(program: &mut Program, machine: &Machine, most_bytes: u64) {
    let uses = uses(program);
    let mut at = 0;
    while let Some((first, second)) = pair(&program.schedule, at) {
        at = second.start;
        let calls = |steps: &Range<usize>| program.schedule[steps.clone()].iter().flat_map(Step::calls).cloned().collect::<Vec<Call>>();
        let Some(pair) = Pair::new(program, &uses, machine, calls(&first), calls(&second)) else { continue };
        let Some(banded) = pair.banded(program) else { continue };
        let (steps, count) = (first.start..second.end, banded.calls.len());
        let (kernels, size_bytes) = (program.kernels.len(), program.buffer(pair.result).size_bytes);
        program.kernels.extend(banded.kernels);
        program.buffers[pair.result.0 as usize].size_bytes = banded.size_bytes;
        let old: Vec<Step> = program.schedule.splice(steps.clone(), banded.calls.into_iter().map(Step::Call)).collect();
        at = steps.start + count;
        if most_bytes < arena::least_bytes(program) {
            program.schedule.splice(steps.start..at, old);
            program.kernels.truncate(kernels);
            program.buffers[pair.result.0 as usize].size_bytes = size_bytes;
            at = second.start;
        }
    }
}

/// How often each buffer is named by calls, views, conditions and checks.
fn uses(program: &Program) -> Vec<usize> {
    let mut uses = vec![0; program.buffers.len()];
    let views = program.buffers.iter().filter_map(|b| Some(b.view?.parent));
    let looks = Line::of(&program.schedule).moments.into_iter().filter_map(|m| m.looks_at);
    let all = program.calls().flat_map(|c| c.buffers.iter().copied()).chain(views).chain(looks);
    all.for_each(|b| uses[b.0 as usize] += 1);
    uses
}

/// The steps of the first two operators from `at` on that are calls and follow each other.
fn pair(schedule: &[Step], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let operator = |i: usize| match schedule.get(i) {
        Some(Step::Call(c)) => c.operator,
        _ => None,
    };
    let run = |start: usize| operator(start).map(|o| start..(start..).find(|i| operator(*i) != Some(o)).expect("an end"));
    (at..schedule.len()).find_map(|i| {
        let first = run(i)?;
        let second = run(first.end)?;
        Some((first, second))
    })
}

/// A call, and where it can be cut: between the iterations of a loop.
struct Cuttable {
    call: Call,
    /// What of it is the result.
    arg: Arg,
    /// None of a call that is left whole, which is one iteration.
    path: Option<Path>,
    iterations: i64,
    /// Of the loop's counter.
    step: i64,
    count: i64,
    /// Bytes of the result that the first iteration reads or writes; the next one is `stride` further on.
    bytes: Range<i64>,
    stride: i64,
}

impl Cuttable {
    fn new(program: &Program, call: &Call, result: BufferId) -> Option<Cuttable> {
        let kernel = program.kernel(call.kernel);
        let arg = Arg(call.buffers.iter().position(|b| *b == result)? as u32);
        let all = span(kernel, call, arg)?;
        let candidates = ranged::candidates(kernel, &call.params);
        let cut = candidates.into_iter().find_map(|c| {
            let ranged = Ranged::new(kernel, std::slice::from_ref(&c.path));
            let iteration = |i: i64| {
                let range = i * c.step..((i + 1) * c.step).min(c.count);
                span(&ranged.kernel, &Call { params: ranged.params(kernel, &call.params, Some((&c.path, &range))), ..call.clone() }, arg)
            };
            let (bytes, next) = (iteration(0)?, iteration(1)?);
            let stride = next.start - bytes.start;
            let advances = 0 < stride && bytes.end - bytes.start <= stride;
            advances.then(|| Cuttable {
                call: call.clone(),
                arg,
                iterations: c.iterations(),
                path: Some(c.path),
                step: c.step,
                count: c.count,
                bytes,
                stride,
            })
        });
        let whole = Cuttable { call: call.clone(), arg, path: None, iterations: 1, step: 1, count: 1, bytes: all, stride: i64::MAX };
        Some(cut.unwrap_or(whole))
    }

    /// How many iterations come before byte `at` of the result, if none is on both sides of it.
    fn before(&self, at: i64) -> Option<i64> {
        let ahead = (at - self.bytes.start).max(0);
        let n = (ahead / self.stride + i64::from(ahead % self.stride != 0)).min(self.iterations);
        (n == 0 || self.bytes.end + (n - 1) * self.stride <= at).then_some(n)
    }
}

/// Two operators whose tensors are more than the second-level cache holds.
struct Pair {
    /// Of the first, which the second alone reads.
    result: BufferId,
    writers: Vec<Cuttable>,
    readers: Vec<Cuttable>,
    /// So many bands are small enough.
    count: i64,
}

/// The calls instead of those that there were, and what they need.
struct Banded {
    calls: Vec<Call>,
    kernels: Vec<Kernel>,
    /// Of the result.
    size_bytes: u64,
}

impl Pair {
    fn new(program: &Program, uses: &[usize], machine: &Machine, writers: Vec<Call>, readers: Vec<Call>) -> Option<Pair> {
        if MOST_CALLS < writers.len() || MOST_CALLS < readers.len() {
            return None;
        }
        let all = || writers.iter().chain(&readers);
        if all().any(|c| !c.advance.is_empty() || program.kernel(c.kernel).foreign.is_some()) {
            return None;
        }
        let [result] = written(program, &writers).into_iter().collect::<Vec<_>>()[..] else { return None };
        let buffer = program.buffer(result);
        let is_alone = uses[result.0 as usize] == writers.len() + readers.len();
        if buffer.role != Role::Scratch || buffer.view.is_some() || !is_alone || !all().all(|c| c.buffers.contains(&result)) {
            return None;
        }
        // What the bands of one operator read, those of the other do not write, but for the result.
        let roots = |buffers: BTreeSet<BufferId>| buffers.into_iter().map(|b| program.root(b).0).collect::<BTreeSet<_>>();
        let (sources, results) = (roots(read(program, &writers)), roots(written(program, &readers)));
        if sources.contains(&result) || !sources.is_disjoint(&results) || results.contains(&result) {
            return None;
        }
        let (mut tensors, mut constants) = (0, 0);
        for b in all().flat_map(|c| &c.buffers).collect::<BTreeSet<_>>() {
            let buffer = program.buffer(*b);
            *(if buffer.role == Role::Const { &mut constants } else { &mut tensors }) += buffer.size_bytes;
        }
        // The bands of a call keep their order, but come between those of others. All that the first operator writes is its result, band by band.
        let mut apart = Group::default();
        if !readers.iter().all(|c| apart.admits(program, program.kernel(c.kernel), c)) {
            return None;
        }
        // What stays in the cache anyway gains nothing, and constants are read in every band.
        let cache = u64::from(machine.l2_bytes);
        if tensors <= cache || cache / 4 < constants {
            return None;
        }
        let count = i64::try_from(tensors.div_ceil((cache / 4).max(1))).ok()?;
        let cuttable = |calls: Vec<Call>| calls.iter().map(|c| Cuttable::new(program, c, result)).collect::<Option<Vec<_>>>();
        Some(Pair { result, writers: cuttable(writers)?, readers: cuttable(readers)?, count })
    }

    /// The result's bytes, band by band.
    fn bands(&self, size_bytes: i64) -> Option<Vec<Range<i64>>> {
        let all = || self.writers.iter().chain(&self.readers);
        let finest = all().max_by_key(|c| c.iterations)?;
        let ends = (1..finest.iterations).map(|i| finest.bytes.start / finest.stride * finest.stride + i * finest.stride);
        let mut cuts: Vec<i64> = ends.filter(|at| all().all(|c| c.before(*at).is_some())).collect();
        cuts.push(size_bytes);
        let most = (size_bytes + self.count - 1) / self.count;
        let mut bands: Vec<Range<i64>> = vec![];
        let mut start = 0;
        while start < size_bytes {
            let end = *cuts.iter().rev().find(|c| start < **c && **c - start <= most).or(cuts.iter().find(|c| start < **c))?;
            bands.push(start..end);
            start = end;
        }
        ((2..=MOST_BANDS).contains(&(bands.len() as i64))).then_some(bands)
    }

    fn banded(&self, program: &Program) -> Option<Banded> {
        let bands = self.bands(i64::try_from(program.buffer(self.result).size_bytes).ok()?)?;
        let size_bytes = bands.iter().map(|b| (b.end - b.start) as u64).max()?;
        let mut banded = Banded { calls: vec![], kernels: vec![], size_bytes };
        let mut kernels: BTreeMap<(KernelId, Arg, Option<Path>), KernelId> = BTreeMap::new();
        for band in &bands {
            for c in self.writers.iter().chain(&self.readers) {
                let old = program.kernel(c.call.kernel);
                let (first, end) = (c.before(band.start)?, c.before(band.end)?);
                if first == end {
                    continue;
                }
                let ranged = Ranged::new(old, c.path.as_slice());
                let range = first * c.step..(end * c.step).min(c.count);
                let params = ranged.params(old, &c.call.params, c.path.as_ref().map(|p| (p, &range)));
                let mut call = Call { params, ..c.call.clone() };
                let bytes = span(&ranged.kernel, &call, c.arg)?;
                if bytes.start < band.start || band.end < bytes.end {
                    return None;
                }
                let id = *kernels.entry((c.call.kernel, c.arg, c.path.clone())).or_insert_with(|| {
                    banded.kernels.push(moving::with_offsets(&ranged.kernel, &[c.arg]));
                    KernelId((program.kernels.len() + banded.kernels.len() - 1) as u32)
                });
                let kernel = &banded.kernels[id.0 as usize - program.kernels.len()];
                call.kernel = id;
                call.params.push(-band.start);
                let memory = |b: &BufferId| if *b == self.result { Memory::of_bytes(size_bytes) } else { Memory::of(program, *b) };
                let memory: Vec<Memory> = call.buffers.iter().map(memory).collect();
                if !is_in_bounds(program, kernel, &call, 1, &memory) {
                    return None;
                }
                banded.calls.push(call);
            }
        }
        Some(banded)
    }
}

fn written(program: &Program, calls: &[Call]) -> BTreeSet<BufferId> {
    bound(program, calls, |a| a != Access::Read)
}

fn read(program: &Program, calls: &[Call]) -> BTreeSet<BufferId> {
    bound(program, calls, |a| a != Access::Write)
}

fn bound(program: &Program, calls: &[Call], is_meant: impl Fn(Access) -> bool) -> BTreeSet<BufferId> {
    let of_call = |c: &Call| {
        let args = program.kernel(c.kernel).args.iter().zip(c.buffers.clone());
        args.filter(|(a, _)| is_meant(a.access)).map(|(_, b)| b).collect::<Vec<_>>()
    };
    calls.iter().flat_map(of_call).collect()
}
