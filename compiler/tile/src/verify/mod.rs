//! What must hold of a tile program before code is made of it: form, types, and a proof for every access of every call.
//!
//! Not a test run: nothing is executed, and what cannot be proved is refused even if it were harmless. Nothing here panics,
//! however malformed the program. Checked, in this order, the later ones only where the earlier ones hold:
//!
//! - `structure`: every value, counter and row is defined once and used where it is visible; loops, splits and clamps are possible;
//! - `types`: every operation has the types that its meaning needs;
//! - `memory`: buffers, views and roles are possible, arguments share bytes only where the kernel allows it, states share none, conditions and
//!   statuses are in their buffers, and nothing is read or looked at that not every way through the schedule has written before (whole buffers count, not
//!   bytes; what a loop's body writes counts behind a `repeat`, which has a turn at least, and not behind a `while`);
//! - `bounds`: with the call's parameters put in, every access lies in its buffer or its row, and what is compared or divided on the way
//!   fits the 64 bits in which code computes it. In a `repeat` the turn is a counter like any other, so one proof is for all turns; a loop whose count
//!   is read from memory has the most turns that the clamp leaves it;
//! - `in_place`: an argument that may be overwritten by another is read, at each byte, before that byte is written;
//! - `parallel`: of calls that may run at the same time, none writes what another one reads or writes.
//!
//! The last three are proofs about affine forms over the ranges of counters (`affine`).
//!
//! **What is proved.** Let a program be accepted, its inputs, outputs, arena and state be as large and as aligned as it says and overlap nowhere, and
//! 64 bytes behind its constants be readable. Then, whatever bytes inputs and state hold, whichever branches are taken, however often a `while`
//! goes round, and in whatever order the calls of a `parallel` run:
//!
//! - every load reads bytes of its argument (of a constant, 64 more), every store writes bytes of an argument that is written, which is never
//!   an input or a constant; the schedule reads the first byte of a condition and the first four of a status, which are there;
//! - two arguments of one call share bytes only where one is declared to be in place of the other, begins where that begins, and overwrites no byte
//!   before that was read; the calls of one `parallel` write no byte that another one reads or writes;
//! - no comparison or division of indices leaves 64 bits, and no parameter of a call leaves the values `param + turn · advance` of its turns.
//!
//! The ranges of the proof are those that code goes through: of a counter from 0 to its count by its step, of a turn from 0 to the number of turns, of a
//! clamped count up to the end of its clamp; of an index from a table what its range says, which all elements of the table that may be read keep; a parameter is the number that the call passes. Where a form does not say how
//! counters hang together, the proof takes more places than code can reach, never fewer.
//!
//! Of a kernel that calls a foreign function it is proved that its outputs share no byte with its inputs or with each other, that it is never called
//! beside other calls, and nothing of what the function does: all of the above holds as long as it reads its inputs and options and writes its outputs only.
//!
//! It is not proved that a `while` ends, nor that places in the arena keep what is still needed: the latter is `arena::check`'s theorem.
//!
//! **What emitters may rely on.** All of that: no access needs a check when the program runs. They must keep the order of memory accesses in the text, count
//! turns from 0, compute parameters in 64 bits, compare counts as signed numbers before the first turn where they are not constants, and look at
//! conditions and statuses in memory each time. They may not rely on the contents of memory, but that a buffer which is looked at was written, and
//! that an index from a table (`known`) lies in its range, as long as constants are those of the program (`Program::distrust_constants`).

mod accesses;
mod affine;
mod bounds;
mod in_place;
mod memory;
mod parallel;
mod structure;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use bounds::Memory;
pub(crate) use parallel::{Group, span};

use crate::program::*;
use crate::text::print_statement;
use affine::Given;
use std::collections::BTreeSet;
use std::fmt;

/// Bytes that can be read after a constant.
pub const CONST_SLACK_BYTES: u64 = 64;

/// More problems than these help nobody: unrolled code repeats each of them.
const ERRORS_LIMIT: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Position in the schedule.
    pub call: Option<usize>,
    /// Index into the model's operators, if the call belongs to one.
    pub operator: Option<u32>,
    pub kernel: Option<String>,
    /// As in the kernel's text.
    pub statement: Option<String>,
    pub message: String,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let operator = self.operator.map_or(String::new(), |o| format!(" (operator {o})"));
        match (&self.kernel, self.call) {
            (Some(k), Some(c)) => write!(f, "kernel {k}, call {c}{operator}: ")?,
            (Some(k), None) => write!(f, "kernel {k}: ")?,
            (None, Some(c)) => write!(f, "call {c}{operator}: ")?,
            (None, None) => {}
        }
        if let Some(s) = &self.statement {
            write!(f, "`{s}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Error {
    fn of_program(message: String) -> Self {
        Error { call: None, operator: None, kernel: None, statement: None, message }
    }
    fn of_kernel(kernel: &Kernel, statement: Option<&Stmt>, message: String) -> Self {
        let statement = statement.map(|s| print_statement(kernel, s));
        Error { kernel: Some(kernel.name.clone()), statement, ..Error::of_program(message) }
    }
    fn in_call(self, index: usize, call: &Call) -> Self {
        Error { call: Some(index), operator: call.operator, ..self }
    }
}

/// Problems of a kernel's form and types: what can be said of it without a call.
pub(crate) fn check_kernel(kernel: &Kernel) -> Vec<Error> {
    let found = structure::check(kernel);
    if found.is_empty() { types::check(kernel) } else { found }
}

/// Whether every access of a call of a sound kernel stays in so much of its arguments. `turns`: how often the call is repeated.
pub(crate) fn is_in_bounds(program: &Program, kernel: &Kernel, call: &Call, turns: u64, memory: &[Memory]) -> bool {
    bounds::prove(program, kernel, call, turns, memory, &mut bounds::Tables::new()).is_empty()
}

/// Problems of buffers: their views, roles and sizes.
pub(crate) fn check_buffers(program: &Program) -> Vec<Error> {
    memory::check_buffers(program)
}

/// Every problem found, at most some twenty.
pub fn verify(program: &Program) -> Result<(), Vec<Error>> {
    let mut errors = vec![];
    // Kernels whose form is right; the others' calls cannot be looked at.
    let sound: Vec<bool> = program
        .kernels
        .iter()
        .map(|k| {
            let found = check_kernel(k);
            let sound = found.is_empty();
            errors.extend(found);
            sound
        })
        .collect();
    let problems = check_buffers(program);
    let buffers_are_sound = problems.is_empty();
    errors.extend(problems);
    if buffers_are_sound {
        errors.extend(memory::check_schedule(program));
        prove_calls(program, &sound, &mut errors);
        if errors.is_empty() {
            errors.extend(prove_groups(program));
        }
    }
    errors.dedup();
    errors.truncate(ERRORS_LIMIT);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn prove_calls(program: &Program, sound: &[bool], errors: &mut Vec<Error>) {
    // Equal calls up to the buffers' sizes have the same proof.
    let mut proved = BTreeSet::new();
    let mut tables_read = bounds::Tables::new();
    let line = Line::of(&program.schedule);
    for (i, (call, turns)) in line.moments.iter().flat_map(|m| m.calls.iter().map(|c| (c, m.turns))).enumerate() {
        if ERRORS_LIMIT <= errors.len() {
            return;
        }
        let Some(kernel) = program.kernels.get(call.kernel.0 as usize) else { continue };
        if !sound[call.kernel.0 as usize] || !memory::fits_kernel(program, kernel, call) {
            continue;
        }
        let sizes: Vec<bounds::Memory> = call.buffers.iter().map(|&b| bounds::Memory::of(program, b)).collect();
        // Where indices come from tables, those are part of the proof.
        let tables = if reads_tables(&kernel.body) { &call.buffers[..] } else { &[] };
        if !proved.insert((call.kernel, &call.params, &call.advance, turns, sizes.clone(), tables)) {
            continue;
        }
        let mut found = bounds::prove(program, kernel, call, turns, &sizes, &mut tables_read);
        if found.is_empty() {
            found.extend(in_place::prove(kernel, &Given::of(kernel, call, turns)));
        }
        errors.extend(found.into_iter().map(|e| e.in_call(i, call)));
    }
}

fn reads_tables(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Clamp { known, .. } => *known,
        Stmt::Loop(l) => reads_tables(&l.body),
        _ => false,
    })
}

/// For a program whose calls have been proved, one by one.
fn prove_groups(program: &Program) -> Vec<Error> {
    let mut errors = vec![];
    let mut first = 0;
    for Moment { calls, turns, .. } in Line::of(&program.schedule).moments {
        let mut group = Group::default();
        if 1 < calls.len() {
            calls.iter().for_each(|c| group.add(program.kernel(c.kernel), c, turns));
        }
        if let Some([(i, a), (j, b)]) = group.conflict(program) {
            let argument = |call: &Call, arg: usize| {
                let kernel = program.kernel(call.kernel);
                format!("{} of {}", kernel.args[arg].name, kernel.name)
            };
            let (x, y) = (argument(&calls[i], a), argument(&calls[j], b));
            let message = format!("{x} in call {} and {y} may meet, but the calls may run at the same time", first + i);
            errors.push(Error::of_kernel(program.kernel(calls[j].kernel), None, message).in_call(first + j, &calls[j]));
        }
        first += calls.len();
    }
    errors
}
