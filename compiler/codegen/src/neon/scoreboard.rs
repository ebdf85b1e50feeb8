//! Modelled cycles of straight-line code and of loops.
//!
//! Not a measurement, and no caches, no predictions of jumps and no store that a later load reads. The ideas: an in-order core issues each instruction as soon
//! as its operands, its pipes and the width of the core allow, and none before its predecessor; an out-of-order core dispatches a number of
//! micro-operations per cycle into a window and issues the oldest whose operands and pipes are there (as `llvm-mca` simulates it).

use super::cores::{Core, Issue, Row};
use super::kind::Kind;
use std::collections::{BTreeMap, VecDeque};

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

/// When pipes are free, and how much they did.
#[derive(Clone, Debug)]
struct PipeState {
    free: [u32; 32],
    load: [u32; 32],
}

impl PipeState {
    fn new() -> PipeState {
        PipeState { free: [0; 32], load: [0; 32] }
    }
    /// The pipe of the set that is free first, of these the one that did least.
    fn pick(&self, free: &[u32; 32], pipes: u32, at: u32) -> usize {
        let all = (0..32).filter(|p| pipes >> p & 1 == 1);
        all.min_by_key(|&p| (free[p].max(at), self.load[p])).expect("a use names a pipe")
    }
    /// The first cycle from `at` on in which the instruction finds its pipes.
    fn available(&self, row: &Row, at: u32) -> u32 {
        let first = |pipes: u32| (0..32).filter(|p| pipes >> p & 1 == 1).map(|p| self.free[p]).min().unwrap_or(0);
        let mut at = row.uses.iter().fold(at, |at, (pipes, _)| at.max(first(*pipes)));
        // Two uses of one set need two pipes of it, if it has them.
        while !self.fits(row, at) {
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
        let row = self.core.row(step.kind);
        let mut at = self.cycle.max(self.blocked);
        for &r in &step.reads {
            at = at.max(self.of(r).for_reader(step, r));
        }
        // Results of one register come in order.
        for &w in &step.writes {
            at = at.max((self.of(w).at + 1).saturating_sub(Ready::of(step, &row, w, 0).at));
        }
        let full =
            at == self.cycle && (self.issued > 0 && row.alone > 0 || self.issued + row.micro_ops.min(self.core.width) > self.core.width);
        self.pipes.available(&row, if full { at + 1 } else { at })
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
    let mut pipes = PipeState::new();
    let mut micro_ops = 0;
    let mut alone = 0;
    for s in steps {
        let row = core.row(s.kind);
        pipes.take(&row, 0);
        micro_ops += if row.alone > 0 { 0 } else { u32::from(row.micro_ops) };
        alone += u32::from(row.alone);
    }
    let busiest = pipes.free.iter().max().copied().unwrap_or(0);
    f64::from(busiest).max(f64::from(alone) + f64::from(micro_ops) / f64::from(core.width))
}
