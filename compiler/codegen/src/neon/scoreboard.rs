//! Modelled cycles of straight-line code and of loops.
//!
//! Not a measurement, and no caches, no predictions of jumps and no store that a later load reads. The ideas: an in-order core issues each instruction as soon
//! as its operands, its pipes and the width of the core allow, and none before its predecessor; an out-of-order core dispatches a number of
//! micro-operations per cycle into a window and issues the oldest whose operands and pipes are there (as `llvm-mca` simulates it).

mod loops;
#[cfg(test)]
mod tests;

use super::cores::{Core, Issue, Row};
use super::forms;
use super::kind::Kind;
use crate::alloc::Class;
pub use loops::{is_within, loops};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An instruction as a pipeline sees it. Registers of all classes, and flags, are numbers of one space.
#[derive(Clone, Debug)]
pub struct Timed {
    pub kind: Kind,
    pub reads: Vec<u32>,
    /// A register that is read too is changed in place.
    pub writes: Vec<u32>,
    /// The written register that is an address counted up: it is there after one cycle.
    pub address: Option<u32>,
}

/// Machine code as pipelines see it.
#[derive(Clone, Debug, Default)]
pub struct Code {
    pub steps: Vec<Timed>,
    /// Words that the table of forms does not have: they are taken for what is likely by their class.
    pub unknown: usize,
}

/// What the words are. General registers are 0 to 30, vector registers 32 to 63, the flags 64.
pub fn decode(words: &[u32]) -> Code {
    const FLAGS: u32 = 64;
    let mut known: BTreeMap<u32, Option<Timed>> = BTreeMap::new();
    let mut code = Code::default();
    for &word in words {
        let step = known.entry(word).or_insert_with(|| {
            let d = forms::decode(word)?;
            let (mut reads, mut writes, mut address) = (vec![], vec![], None);
            for (r, role) in d.registers.iter().zip(d.form.roles()) {
                let register = match role.class {
                    // The stack pointer does not change in a loop, and the zero register never.
                    Class::General if *r == 31 => continue,
                    Class::General => u32::from(*r),
                    Class::Vector => 32 + u32::from(*r),
                };
                if role.reads {
                    reads.push(register);
                }
                if role.writes {
                    writes.push(register);
                }
                if role.reads && role.writes && role.class == Class::General && d.form.kind.touches_memory() {
                    address = Some(register);
                }
            }
            if d.form.reads_flags() {
                reads.push(FLAGS);
            }
            if d.form.sets_flags() {
                writes.push(FLAGS);
            }
            Some(Timed { kind: d.form.kind, reads, writes, address })
        });
        code.unknown += usize::from(step.is_none());
        code.steps.push(step.clone().unwrap_or_else(|| likely(word)));
    }
    code
}

/// What a word is taken for by the class that its bits 25 to 28 tell: most words have the result at bit 0 and sources at bits 5 and 16.
fn likely(word: u32) -> Timed {
    let register = |at: u32, vector: bool| 32 * u32::from(vector) + (word >> at & 31);
    let general = |at: u32| Some(register(at, false)).filter(|r| *r != 31);
    let step = |kind, reads: Vec<Option<u32>>, writes: Vec<Option<u32>>| Timed {
        kind,
        reads: reads.into_iter().flatten().collect(),
        writes: writes.into_iter().flatten().collect(),
        address: None,
    };
    match word >> 25 & 0b1111 {
        0b1010 | 0b1011 => step(Kind::Branch, vec![], vec![]),
        class if class & 0b0101 == 0b0100 => {
            let (is_vector, is_load) = (word >> 26 & 1 == 1, word >> 22 & 1 == 1);
            let kind = match (is_vector, is_load) {
                (true, true) => Kind::LoadVector,
                (true, false) => Kind::StoreVector,
                (false, true) => Kind::Load,
                (false, false) => Kind::Store,
            };
            let data = if is_vector { Some(register(0, true)) } else { general(0) };
            if is_load { step(kind, vec![general(5)], vec![data]) } else { step(kind, vec![general(5), data], vec![]) }
        }
        class if class & 0b0111 == 0b0111 => {
            step(Kind::Add, [5, 16].map(|at| Some(register(at, true))).to_vec(), vec![Some(register(0, true))])
        }
        // Constants read nothing, other instructions with constants one register.
        0b1000 | 0b1001 if word >> 23 & 0b111 == 0b101 => step(Kind::Integer, vec![], vec![general(0)]),
        0b1000 | 0b1001 => step(Kind::Integer, vec![general(5)], vec![general(0)]),
        _ => step(Kind::Integer, vec![general(5), general(16)], vec![general(0)]),
    }
}

/// When pipes are free, and how much they did.
#[derive(Clone, Debug)]
struct PipeState {
    free: [u32; 32],
    load: [u32; 32],
}

/// The pipes of a set.
fn each(mut pipes: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let pipe = pipes.trailing_zeros();
        pipes &= pipes.wrapping_sub(1);
        (pipe < 32).then_some(pipe as usize)
    })
}

impl PipeState {
    fn new() -> PipeState {
        PipeState { free: [0; 32], load: [0; 32] }
    }
    /// The pipe of the set that is free first, of these the one that did least.
    fn pick(&self, free: &[u32; 32], pipes: u32, at: u32) -> usize {
        each(pipes).min_by_key(|&p| (free[p].max(at), self.load[p])).expect("a use names a pipe")
    }
    /// The first cycle from `at` on in which the instruction finds its pipes.
    fn available(&self, row: &Row, at: u32) -> u32 {
        let first = |pipes: u32| each(pipes).map(|p| self.free[p]).min().unwrap_or(0);
        let (mut at, mut all, mut is_shared) = (at, 0, false);
        for (pipes, _) in row.uses {
            at = at.max(first(*pipes));
            is_shared |= all & pipes != 0;
            all |= pipes;
        }
        // Two uses of one set need two pipes of it, if it has them.
        while is_shared && !self.fits(row, at) {
            at += 1;
        }
        at
    }
    fn fits(&self, row: &Row, at: u32) -> bool {
        let mut free = self.free;
        row.uses.iter().all(|&(pipes, cycles)| {
            let pipe = self.pick(&free, pipes, at);
            let fits = self.free[pipe] <= at;
            free[pipe] = free[pipe].max(at) + u32::from(cycles);
            fits
        })
    }
    fn take(&mut self, row: &Row, at: u32) {
        for &(pipes, cycles) in row.uses {
            let pipe = self.pick(&self.free, pipes, at);
            self.free[pipe] = self.free[pipe].max(at) + u32::from(cycles);
            self.load[pipe] += u32::from(cycles);
        }
    }
}

/// When a register's value is there, and for another addition to it.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    at: u32,
    sum: Option<(Kind, u32)>,
}

impl Ready {
    fn of(step: &Timed, row: &Row, register: u32, at: u32) -> Ready {
        if step.address == Some(register) {
            return Ready { at: at + 1, sum: None };
        }
        let sum = (row.accumulate != row.latency && step.reads.contains(&register)).then(|| (step.kind, at + u32::from(row.accumulate)));
        Ready { at: at + u32::from(row.latency), sum }
    }
    fn for_reader(&self, step: &Timed, register: u32) -> u32 {
        match self.sum {
            // As the sum alone, not as a factor too.
            Some((kind, early))
                if kind == step.kind && step.writes.contains(&register) && step.reads.iter().filter(|r| **r == register).count() == 1 =>
            {
                early
            }
            _ => self.at,
        }
    }
}

/// An in-order core while it issues one instruction after the other.
#[derive(Clone, Debug)]
pub struct InOrder {
    core: &'static Core,
    cycle: u32,
    issued: u8,
    blocked: u32,
    pipes: PipeState,
    ready: Vec<Ready>,
}

impl InOrder {
    pub fn new(core: &'static Core) -> InOrder {
        InOrder { core, cycle: 0, issued: 0, blocked: 0, pipes: PipeState::new(), ready: vec![] }
    }
    pub fn cycle(&self) -> u32 {
        self.cycle
    }
    fn of(&self, register: u32) -> Ready {
        self.ready.get(register as usize).copied().unwrap_or_default()
    }
    /// The first cycle in which it would issue if it were next.
    pub fn earliest(&self, step: &Timed) -> u32 {
        self.earliest_with(&self.core.row(step.kind), self.operands(step))
    }
    /// The first cycle in which its operands are there. It stays the same while instructions issue that have none of its registers.
    pub fn operands(&self, step: &Timed) -> u32 {
        let row = self.core.row(step.kind);
        let read = step.reads.iter().map(|&r| self.of(r).for_reader(step, r));
        // Results of one register come in order.
        let written = step.writes.iter().map(|&w| (self.of(w).at + 1).saturating_sub(Ready::of(step, &row, w, 0).at));
        read.chain(written).max().unwrap_or(0)
    }
    /// [`InOrder::earliest`] of an instruction whose operands are there from a cycle on.
    pub fn earliest_with(&self, row: &Row, operands: u32) -> u32 {
        let at = self.cycle.max(self.blocked).max(operands);
        let full =
            at == self.cycle && (self.issued > 0 && row.alone > 0 || self.issued + row.micro_ops.min(self.core.width) > self.core.width);
        self.pipes.available(row, if full { at + 1 } else { at })
    }
    pub fn issue(&mut self, step: &Timed) {
        let row = self.core.row(step.kind);
        let at = self.earliest(step);
        if at > self.cycle {
            (self.cycle, self.issued) = (at, 0);
        }
        self.issued += row.micro_ops.min(self.core.width);
        if row.alone > 0 {
            self.blocked = at + u32::from(row.alone);
        }
        self.pipes.take(&row, at);
        for &w in &step.writes {
            if self.ready.len() <= w as usize {
                self.ready.resize(w as usize + 1, Ready::default());
            }
            self.ready[w as usize] = Ready::of(step, &row, w, at);
        }
    }
}

/// What waits in an out-of-order core's window.
struct Waiting {
    step: usize,
    number: usize,
    /// Instructions that it waits for, with what it reads of them.
    sources: Vec<(usize, u32)>,
}

/// Cycle in which each of `turns` turns ends.
fn ends(steps: &[Timed], core: &'static Core, turns: usize) -> Vec<u32> {
    match core.issue {
        Issue::InOrder => {
            let mut state = InOrder::new(core);
            let one = |_| {
                steps.iter().for_each(|s| state.issue(s));
                state.cycle()
            };
            (0..turns).map(one).collect()
        }
        Issue::OutOfOrder { window } => out_of_order(steps, core, turns, usize::from(window)),
    }
}

fn out_of_order(steps: &[Timed], core: &'static Core, turns: usize, window: usize) -> Vec<u32> {
    let rows: Vec<Row> = steps.iter().map(|s| core.row(s.kind)).collect();
    let total = steps.len() * turns;
    // By number of instruction: the cycle in which it was issued.
    let mut issued: Vec<Option<u32>> = vec![None; total];
    let mut writer: BTreeMap<u32, usize> = BTreeMap::new();
    let mut pipes = PipeState::new();
    let (mut waiting, mut in_flight): (Vec<Waiting>, VecDeque<usize>) = (vec![], VecDeque::new());
    let (mut next, mut micro_ops, mut cycle) = (0, 0, 0);
    let mut out = vec![];
    // Micro-operations of the next instruction that were dispatched already.
    let mut part = 0;
    while out.len() < turns {
        while let Some(&first) = in_flight.front() {
            let step = first % steps.len();
            if issued[first].is_none_or(|at| at + u32::from(rows[step].latency) > cycle) {
                break;
            }
            in_flight.pop_front();
            micro_ops -= usize::from(rows[step].micro_ops);
            if step + 1 == steps.len() {
                out.push(cycle);
            }
        }
        waiting.retain(|w| {
            let (step, row) = (&steps[w.step], &rows[w.step]);
            let there = w.sources.iter().all(|&(source, register)| {
                let by = source % steps.len();
                issued[source].is_some_and(|at| Ready::of(&steps[by], &rows[by], register, at).for_reader(step, register) <= cycle)
            });
            let goes = there && pipes.fits(row, cycle);
            if goes {
                pipes.take(row, cycle);
                issued[w.number] = Some(cycle);
            }
            !goes
        });
        let mut room = usize::from(core.width);
        while next < total && room > 0 {
            let (step, count) = (next % steps.len(), usize::from(rows[next % steps.len()].micro_ops));
            if part == 0 && micro_ops + count > window {
                break;
            }
            let now = room.min(count - part);
            (room, part) = (room - now, part + now);
            if part < count {
                break;
            }
            part = 0;
            micro_ops += count;
            let sources = steps[step].reads.iter().filter_map(|r| writer.get(r).map(|w| (*w, *r))).collect();
            waiting.push(Waiting { step, number: next, sources });
            steps[step].writes.iter().for_each(|w| {
                writer.insert(*w, next);
            });
            in_flight.push_back(next);
            next += 1;
        }
        cycle += 1;
    }
    out
}

/// Cycles of one turn when the code is executed again and again.
pub fn cycles(steps: &[Timed], core: &'static Core) -> f64 {
    if steps.is_empty() {
        return 0.0;
    }
    // What fills the queues at first is a small part of so many instructions.
    let turns = (4000 / steps.len()).clamp(4, 40);
    turns_of(steps, core, turns)
}

pub(super) fn turns_of(steps: &[Timed], core: &'static Core, turns: usize) -> f64 {
    let ends = ends(steps, core, turns);
    let half = turns / 2;
    f64::from(ends[turns - 1] - ends[half - 1]) / (turns - half) as f64
}

/// Cycles of the code when it is executed once, until all of it has been issued (in order) or is done (out of order).
pub fn once(steps: &[Timed], core: &'static Core) -> u32 {
    if steps.is_empty() { 0 } else { ends(steps, core, 1)[0] }
}

/// Cycles that the pipes and the width of the core need at least, whatever the order.
pub fn bound(steps: &[Timed], core: &'static Core) -> f64 {
    let (mut micro_ops, mut alone) = (0, 0);
    let mut work: BTreeMap<u32, u32> = BTreeMap::new();
    for s in steps {
        let row = core.row(s.kind);
        row.uses.iter().for_each(|(pipes, cycles)| *work.entry(*pipes).or_default() += u32::from(*cycles));
        micro_ops += if row.alone > 0 { 0 } else { u32::from(row.micro_ops) };
        alone += u32::from(row.alone);
    }
    // Whatever can only be done by some pipes is done by them.
    let mut sets: BTreeSet<u32> = BTreeSet::new();
    for pipes in work.keys() {
        let more: Vec<u32> = sets.iter().map(|s| s | pipes).collect();
        sets.insert(*pipes);
        sets.extend(more);
    }
    let of = |set: u32| work.iter().filter(|w| w.0 & !set == 0).map(|w| f64::from(*w.1)).sum::<f64>() / f64::from(set.count_ones());
    let width = f64::from(alone) + f64::from(micro_ops) / f64::from(core.width);
    sets.into_iter().map(of).fold(width, f64::max)
}
