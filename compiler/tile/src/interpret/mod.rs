//! The meaning of tile programs, executed: every emitter must give the same bits.
//!
//! Not fast and not the verifier. The idea: each operation is written once, in the plainest arithmetic that is exact, and each access is
//! checked; a program that does what it must not gets an error, never a panic and never another program's bytes.
//!
//! Beyond the bounds of arguments it checks what emitters rely on: arguments share bytes only as declared, nothing is read
//! in place after it was overwritten, and the shifts of a requantisation are in their range.

mod execute;
mod lanes;
mod memory;
mod prepare;
#[cfg(test)]
mod tests;

use crate::program::*;
use memory::{Bound, FILLER, Segment, Window};
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
    #[error("argument {0} may only be written, but is read")]
    ReadOfWritten(u32),
    #[error("argument {0} may only be read, but is written")]
    WriteOfRead(u32),
    #[error("argument {0} is written, but its buffer is a constant or an input")]
    WriteOfFixed(u32),
    #[error("argument {written}, which is written, shares bytes with argument {other}")]
    Shared { written: u32, other: u32 },
    #[error("argument {arg} is read at {at} after it was overwritten in place")]
    Overwritten { arg: u32, at: i64 },
    #[error("a size or a dividend is {0}")]
    NegativeSize(i64),
    #[error("an index does not fit 64 bits")]
    IndexOverflow,
    #[error("the shift {shift} is not in {low}..={high}")]
    Shift { shift: i64, low: i64, high: i64 },
    #[error("no such operation: value {value} = {op}")]
    Type { value: u32, op: String },
    #[error("{given} parameters, not {expected}")]
    Parameters { expected: usize, given: usize },
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
    mut observe: impl FnMut(usize, &View),
) -> Result<(), Error> {
    let refuse = |what| Error { call: None, kernel: String::new(), fault: Fault::Buffers(what) };
    let (mut segments, windows) = bind(program, inputs, outputs).map_err(refuse)?;
    for (i, Step::Call(call)) in program.schedule.iter().enumerate() {
        let kernel = program.kernels.get(call.kernel.0 as usize).ok_or_else(|| refuse(format!("no kernel {}", call.kernel.0)))?;
        one_call(kernel, call, &mut segments, &windows).map_err(|fault| Error { call: Some(i), kernel: kernel.name.clone(), fault })?;
        observe(i, &View { segments: &segments, windows: &windows });
    }
    Ok(())
}

fn one_call(kernel: &Kernel, call: &Call, segments: &mut [Segment], windows: &[Window]) -> Result<(), Fault> {
    if call.buffers.len() != kernel.args.len() {
        return Err(Fault::Buffers(format!("{} arguments, not {}", call.buffers.len(), kernel.args.len())));
    }
    let windows = call.buffers.iter().map(|b| windows.get(b.0 as usize).copied()).collect::<Option<_>>();
    let windows = windows.ok_or_else(|| Fault::Buffers("no such buffer".into()))?;
    let prepared = prepare::prepare(kernel, &call.params)?;
    execute::execute(kernel, &prepared, &mut Bound::new(segments, &kernel.args, windows)?)
}

/// Calls one kernel on buffers of their own.
pub fn call(kernel: &Kernel, params: &[i64], buffers: &mut [Vec<u8>]) -> Result<(), Error> {
    let windows =
        buffers.iter().enumerate().map(|(i, b)| Window { segment: i, start: 0, size: b.len(), is_const: false }).collect::<Vec<_>>();
    let mut segments: Vec<Segment> = buffers.iter_mut().map(|b| Segment::Changing(b)).collect();
    let ids = (0..windows.len() as u32).map(BufferId).collect();
    let call = Call { kernel: KernelId(0), buffers: ids, params: params.to_vec(), operator: None };
    one_call(kernel, &call, &mut segments, &windows).map_err(|fault| Error { call: None, kernel: kernel.name.clone(), fault })
}

/// Memory for all buffers, and where in it each of them is.
fn bind<'a>(program: &'a Program, inputs: &[&'a [u8]], outputs: &'a mut [&mut [u8]]) -> Result<(Vec<Segment<'a>>, Vec<Window>), String> {
    let mut outputs: Vec<Option<&mut [u8]>> = outputs.iter_mut().map(|o| Some(&mut **o)).collect();
    let mut inputs: Vec<Option<&[u8]>> = inputs.iter().map(|i| Some(*i)).collect();
    // The arena is segment 0.
    let mut segments = vec![Segment::Owned(vec![])];
    let mut arena_size_bytes = 0;
    let mut windows = vec![Window { segment: 0, start: 0, size: 0, is_const: false }; program.buffers.len()];
    for (i, b) in program.buffers.iter().enumerate().filter(|(_, b)| b.view.is_none()) {
        let size = usize::try_from(b.size_bytes).map_err(|_| format!("`{}` is too large", b.name))?;
        let mut window = Window { segment: segments.len(), start: 0, size, is_const: b.role == Role::Const };
        let segment = match (b.role, &b.data, b.offset_bytes) {
            (Role::Const, Some(data), _) => Segment::Fixed(data),
            (Role::Const, None, _) => return Err(format!("constant `{}` has no contents", b.name)),
            (Role::Input(n), ..) => Segment::Fixed(
                inputs.get_mut(n as usize).and_then(Option::take).ok_or(format!("no input {n} is given, or it is used twice"))?,
            ),
            (Role::Output(n), ..) => Segment::Changing(
                outputs.get_mut(n as usize).and_then(Option::take).ok_or(format!("no output {n} is given, or it is used twice"))?,
            ),
            (Role::Scratch, _, Some(offset)) => {
                window = Window { segment: 0, start: offset as usize, ..window };
                arena_size_bytes = arena_size_bytes.max(offset.saturating_add(b.size_bytes));
                windows[i] = window;
                continue;
            }
            (Role::Scratch, _, None) => Segment::Owned(vec![FILLER; size]),
        };
        if segment.bytes().len() != size {
            return Err(format!("{} bytes are given for `{}`, which has {size}", segment.bytes().len(), b.name));
        }
        segments.push(segment);
        windows[i] = window;
    }
    segments[0] = Segment::Owned(vec![FILLER; arena_size_bytes as usize]);
    for (i, b) in program.buffers.iter().enumerate().filter(|(_, b)| b.view.is_some()) {
        let (root, offset) = program.root(BufferId(i as u32));
        let (root, size) = (windows[root.0 as usize], b.size_bytes);
        if (root.size as u64) < offset.saturating_add(size) {
            return Err(format!("view `{}` is not inside its parent", b.name));
        }
        windows[i] = Window { start: root.start + offset as usize, size: size as usize, ..root };
    }
    Ok((segments, windows))
}
