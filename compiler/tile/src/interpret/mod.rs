//! The meaning of tile programs, executed: every emitter must give the same bits.
//!
//! Not fast, and no proof: the verifier says whether form and types are right, but each access is looked at when it happens. The idea: each
//! operation is written once, in the plainest arithmetic that is exact; a program that does what it must not gets an error, never a panic.
//!
//! Beyond the bounds of arguments it checks what emitters rely on: arguments share bytes only as declared, nothing is read
//! in place after it was overwritten, and the shifts and multipliers of a requantisation are in their range.

mod execute;
mod lanes;
mod memory;
#[cfg(test)]
mod memory_tests;
mod prepare;
#[cfg(test)]
mod tests;

use crate::program::*;
use crate::verify;
use memory::{Bound, Segment, Window};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Position in the schedule; none when a kernel was called by itself.
    pub call: Option<usize>,
    /// Empty when the buffers given do not suit the program.
    pub kernel: String,
    pub fault: Fault,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, "call {call}, ")?;
        }
        if !self.kernel.is_empty() {
            write!(f, "kernel `{}`: ", self.kernel)?;
        }
        write!(f, "{}", self.fault)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{count} bytes at {at} of argument {arg}, which has {size}")]
    OutOfBounds { arg: u32, at: i64, count: usize, size: usize },
    #[error("{count} bytes at {at} of row {row}, which has {size}")]
    OutOfRow { row: u32, at: i64, count: usize, size: i64 },
    #[error("argument {0} is written, but its buffer is a constant or an input")]
    WriteOfFixed(u32),
    #[error("argument {written}, which is written, shares bytes with argument {other}")]
    Shared { written: u32, other: u32 },
    #[error("argument {arg} is read at {at} after it was overwritten in place")]
    Overwritten { arg: u32, at: i64 },
    #[error("a size or a dividend is {0}")]
    NegativeSize(i64),
    #[error("an index in the data is out of range")]
    OutOfRange,
    /// The program may never end.
    #[error("loops turn more than {TURNS_LIMIT} times, and the interpreter stops there")]
    TooManyTurns,
    #[error("an index does not fit 64 bits")]
    IndexOverflow,
    #[error("the shift {shift} is not in {low}..={high}")]
    Shift { shift: i64, low: i64, high: i64 },
    #[error("the lane {lane} of a segment of {segment} lanes")]
    Lane { lane: u64, segment: u32 },
    #[error("a multiplier is -2^31")]
    SmallestMultiplier,
    #[error("{given} parameters, not {expected}")]
    Parameters { expected: usize, given: usize },
    #[error("the function `{0}` is not the compiler's, and not there when programs are interpreted")]
    Foreign(String),
    #[error("buffers: {0}")]
    Buffers(String),
    #[error("ill-formed: {0}")]
    IllFormed(String),
}

/// What an observer may look at between two calls.
pub struct View<'v> {
    segments: &'v [Segment<'v>],
    windows: &'v [Window],
}

impl View<'_> {
    pub fn bytes(&self, buffer: BufferId) -> &[u8] {
        let w = &self.windows[buffer.0 as usize];
        &self.segments[w.segment].bytes()[w.start..w.start + w.size]
    }
}

/// Runs a program from inputs to outputs, which are in the order of the signature and exactly as large as their buffers.
/// In a planned program scratch buffers lie where the planner put them, else each has memory of its own.
pub fn run(program: &Program, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
    run_observed(program, inputs, outputs, |_, _| {})
}

/// As [`run`], calling `observe` after each call with its position in the schedule.
pub fn run_observed(
    program: &Program,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
    observe: impl FnMut(usize, &View),
) -> Result<(), Error> {
    run_with_state(program, inputs, outputs, &mut initial_state(program)?, observe)
}

/// The bytes of a new instance's state.
pub fn initial_state(program: &Program) -> Result<Vec<u8>, Error> {
    match verify::check_buffers(program).first() {
        None => Ok(program.state().ok_or_else(|| refuse("there is not so much memory for the state".into()))?.initial),
        Some(e) => Err(refuse(e.to_string())),
    }
}

/// As [`run_observed`], in an instance whose state is `state`, as large as [`initial_state`].
pub fn run_with_state(
    program: &Program,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
    state: &mut [u8],
    mut observe: impl FnMut(usize, &View),
) -> Result<(), Error> {
    if let Some(e) = verify::check_buffers(program).first() {
        return Err(refuse(e.to_string()));
    }
    let (mut segments, windows, mut in_arena) = bind(program, inputs, outputs, state).map_err(refuse)?;
    program.kernels.iter().try_for_each(well_formed)?;
    Run { turns: 0, program, segments: &mut segments, windows: &windows, observe: &mut observe }.steps(&program.schedule, 0, 0)?;
    for (b, w) in program.buffers.iter().zip(&windows) {
        if let (Role::Output(n), Some(_), None) = (b.role, b.offset_bytes, b.view)
            && let Some(output) = in_arena[n as usize].take()
        {
            output.copy_from_slice(&segments[w.segment].bytes()[w.start..w.start + w.size]);
        }
    }
    Ok(())
}

fn refuse(what: String) -> Error {
    Error { call: None, kernel: String::new(), fault: Fault::Buffers(what) }
}

/// Turns of loops whose number data decide, in one run.
const TURNS_LIMIT: u64 = 1 << 16;

/// A program while it runs.
struct Run<'r, 'a> {
    /// Of such loops so far.
    turns: u64,
    program: &'r Program,
    segments: &'r mut Vec<Segment<'a>>,
    windows: &'r [Window],
    observe: &'r mut dyn FnMut(usize, &View),
}

impl Run<'_, '_> {
    /// `first`: the number of the first call of the steps. Returns that of the next call after them.
    fn steps(&mut self, steps: &[Step], turn: u64, first: usize) -> Result<usize, Error> {
        let mut number = first;
        for step in steps {
            let own = step.bodies().map(|body| Line::of(body).moments.iter().map(|m| m.calls.len()).sum::<usize>());
            match step {
                Step::Call(_) | Step::Parallel(_) => {
                    for (i, call) in step.calls().iter().enumerate() {
                        self.call(call, turn, number + i)?;
                    }
                    number += step.calls().len();
                }
                Step::Check(status) => {
                    if self.look(*status, 4)? != [0; 4] {
                        return Err(Error { call: None, kernel: String::new(), fault: Fault::OutOfRange });
                    }
                }
                Step::Repeat { count, body } => {
                    for turn in 0..*count {
                        self.steps(body, turn, number)?;
                    }
                }
                Step::If { condition, then, otherwise } => {
                    if self.look(*condition, 1)? != [0] {
                        self.steps(then, turn, number)?;
                    } else {
                        self.steps(otherwise, turn, number + own[0])?;
                    }
                }
                Step::While { test, condition, body } => loop {
                    self.steps(test, turn, number)?;
                    if self.look(*condition, 1)? == [0] {
                        break;
                    }
                    self.turns += 1;
                    if TURNS_LIMIT < self.turns {
                        return Err(Error { call: None, kernel: String::new(), fault: Fault::TooManyTurns });
                    }
                    self.steps(body, turn, number + own[0])?;
                },
            }
            number += own[0] + own[1];
        }
        Ok(number)
    }

    fn call(&mut self, call: &Call, turn: u64, number: usize) -> Result<(), Error> {
        let kernel = self.program.kernels.get(call.kernel.0 as usize).ok_or_else(|| refuse(format!("no kernel {}", call.kernel.0)))?;
        let failed = |fault| Error { call: Some(number), kernel: kernel.name.clone(), fault };
        let moved;
        let call = if call.advance.is_empty() {
            call
        } else {
            let at = |(p, a): (&i64, &i64)| i64::try_from(i128::from(*p) + i128::from(*a) * i128::from(turn)).ok();
            let params = call.params.iter().zip(&call.advance).map(at).collect::<Option<Vec<i64>>>();
            moved = Call { params: params.ok_or_else(|| failed(Fault::IndexOverflow))?, ..call.clone() };
            &moved
        };
        one_call(kernel, call, self.segments, self.windows).map_err(failed)?;
        (self.observe)(number, &View { segments: self.segments, windows: self.windows });
        Ok(())
    }

    /// The first bytes of a buffer.
    fn look(&self, buffer: BufferId, count: usize) -> Result<&[u8], Error> {
        let w = self.windows.get(buffer.0 as usize).ok_or_else(|| refuse(format!("no buffer {}", buffer.0)))?;
        let bytes = &self.segments[w.segment].bytes()[w.start..w.start + w.size];
        bytes.get(..count).ok_or_else(|| refuse(format!("buffer {} is too small", buffer.0)))
    }
}

/// Calls one kernel on buffers of their own.
pub fn call(kernel: &Kernel, params: &[i64], buffers: &mut [Vec<u8>]) -> Result<(), Error> {
    well_formed(kernel)?;
    let windows: Vec<Window> = buffers.iter().enumerate().map(|(i, b)| Window { size: b.len(), ..Window::of_segment(i) }).collect();
    let mut segments: Vec<Segment> = buffers.iter_mut().map(|b| Segment::Changing(b)).collect();
    let ids = (0..windows.len() as u32).map(BufferId).collect();
    let call = Call { kernel: KernelId(0), buffers: ids, params: params.to_vec(), advance: vec![], operator: None };
    one_call(kernel, &call, &mut segments, &windows).map_err(|fault| Error { call: None, kernel: kernel.name.clone(), fault })
}

fn well_formed(kernel: &Kernel) -> Result<(), Error> {
    match verify::check_kernel(kernel).first() {
        None => Ok(()),
        Some(e) => Err(Error { call: None, kernel: kernel.name.clone(), fault: Fault::IllFormed(e.to_string()) }),
    }
}

fn one_call(kernel: &Kernel, call: &Call, segments: &mut [Segment], windows: &[Window]) -> Result<(), Fault> {
    if call.buffers.len() != kernel.args.len() {
        return Err(Fault::Buffers(format!("{} arguments, not {}", call.buffers.len(), kernel.args.len())));
    }
    if let Some(foreign) = &kernel.foreign {
        return Err(Fault::Foreign(foreign.symbol.clone()));
    }
    let windows = call.buffers.iter().map(|b| windows.get(b.0 as usize).copied()).collect::<Option<_>>();
    let windows = windows.ok_or_else(|| Fault::Buffers("no such buffer".into()))?;
    let prepared = prepare::prepare(kernel, &call.params)?;
    execute::execute(kernel, &prepared, &mut Bound::new(segments, &kernel.args, windows)?)
}

/// Memory for all buffers, where in it each of them is, and the outputs that are to be copied from the arena.
type Memory<'a> = (Vec<Segment<'a>>, Vec<Window>, Vec<Option<&'a mut [u8]>>);

/// For a program of sound buffers.
fn bind<'a>(program: &'a Program, inputs: &[&'a [u8]], outputs: &'a mut [&mut [u8]], state: &'a mut [u8]) -> Result<Memory<'a>, String> {
    let mut outputs: Vec<Option<&mut [u8]>> = outputs.iter_mut().map(|o| Some(&mut **o)).collect();
    let end = |b: &Buffer| Some(b.offset_bytes? + b.size_bytes);
    let ends = |is_state: bool| program.buffers.iter().filter(|b| (b.role == Role::State) == is_state).filter_map(end).max().unwrap_or(0);
    if (state.len() as u64) < ends(true) {
        return Err(format!("{} bytes of state are given, not {}", state.len(), ends(true)));
    }
    // The arena is segment 0, the state segment 1.
    let mut segments = vec![Segment::fresh(ends(false))?, Segment::Changing(state)];
    let mut windows = vec![Window::of_segment(0); program.buffers.len()];
    for (b, window) in program.buffers.iter().zip(&mut windows).filter(|(b, _)| b.view.is_none()) {
        *window = Window { size: b.size_bytes as usize, is_const: b.role == Role::Const, ..Window::of_segment(segments.len()) };
        if let (Some(offset), false) = (b.offset_bytes, b.role == Role::Const) {
            *window = Window { segment: usize::from(b.role == Role::State), start: offset as usize, ..*window };
            let (is_given, size) = match b.role {
                Role::Input(n) => {
                    let input = inputs.get(n as usize).copied().unwrap_or_default();
                    segments[0].write(window.start, &input[..input.len().min(window.size)]);
                    (inputs.len() > n as usize, input.len())
                }
                Role::Output(n) => (outputs.len() > n as usize, outputs.get(n as usize).and_then(|o| Some(o.as_ref()?.len())).unwrap_or(0)),
                _ => continue,
            };
            if !is_given {
                return Err(format!("nothing is given for `{}`", b.name));
            }
            if size != window.size {
                return Err(format!("{size} bytes are given for `{}`, which has {}", b.name, window.size));
            }
            continue;
        }
        let given = match b.role {
            Role::Const => b.data.as_deref().map(Segment::Fixed),
            Role::Input(n) => inputs.get(n as usize).map(|i| Segment::Fixed(i)),
            Role::Output(n) => outputs.get_mut(n as usize).and_then(Option::take).map(Segment::Changing),
            Role::Scratch => Some(Segment::fresh(b.size_bytes)?),
            Role::State => return Err(format!("`{}` has no place", b.name)),
        };
        let segment = given.ok_or_else(|| format!("nothing is given for `{}`", b.name))?;
        if segment.bytes().len() != window.size {
            return Err(format!("{} bytes are given for `{}`, which has {}", segment.bytes().len(), b.name, window.size));
        }
        segments.push(segment);
    }
    for (i, b) in program.buffers.iter().enumerate().filter(|(_, b)| b.view.is_some()) {
        let (root, offset) = program.root(BufferId(i as u32));
        let root = windows[root.0 as usize];
        windows[i] = Window { start: root.start + offset as usize, size: b.size_bytes as usize, ..root };
    }
    Ok((segments, windows, outputs))
}
