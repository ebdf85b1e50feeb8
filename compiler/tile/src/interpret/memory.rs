//! The bytes a kernel sees: segments of memory, and arguments bound to parts of them.
//!
//! Not lanes. The idea: an argument is a window into a segment, and no byte is reached but through a check of that window; so
//! two arguments can share bytes (views, in place) just as they will in the compiled program.

use super::Fault;
use crate::program::{Access, Arg, KernelArg};
use std::borrow::Cow;

/// Readable bytes after a constant.
const SLACK_BYTES: usize = 64;
/// What nothing may depend on: fresh scratch, and bytes after a constant.
pub const FILLER: u8 = 0xa5;

pub enum Segment<'a> {
    Fixed(&'a [u8]),
    Changing(&'a mut [u8]),
    Owned(Vec<u8>),
}

impl Segment<'_> {
    pub fn fresh(size_bytes: u64) -> Result<Self, String> {
        let mut bytes = vec![];
        let size = usize::try_from(size_bytes).ok().filter(|&size| bytes.try_reserve_exact(size).is_ok());
        bytes.resize(size.ok_or_else(|| format!("no memory for {size_bytes} bytes"))?, FILLER);
        Ok(Segment::Owned(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Segment::Fixed(b) => b,
            Segment::Changing(b) => b,
            Segment::Owned(b) => b,
        }
    }
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(all) = self.bytes_mut() {
            all[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Segment::Fixed(_) => None,
            Segment::Changing(b) => Some(b),
            Segment::Owned(b) => Some(b),
        }
    }
}

/// The window of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub segment: usize,
    pub start: usize,
    pub size: usize,
    /// Reads may pass the end.
    pub is_const: bool,
}

impl Window {
    pub fn of_segment(segment: usize) -> Self {
        Window { segment, start: 0, size: 0, is_const: false }
    }

    fn overlaps(&self, other: &Window) -> bool {
        let (end, other_end) = (self.start + self.size, other.start + other.size);
        self.segment == other.segment && self.start.max(other.start) < end.min(other_end)
    }
}

/// The arguments of one call.
pub struct Bound<'m, 'a> {
    segments: &'m mut [Segment<'a>],
    windows: Vec<Window>,
    /// By argument: the written argument in whose place it lies, if any.
    overwritten_by: Vec<Option<usize>>,
    /// By argument: which bytes were written, of those that overwrite another.
    written: Vec<Vec<bool>>,
}

impl<'m, 'a> Bound<'m, 'a> {
    /// Arguments share bytes only as they declare.
    pub fn new(segments: &'m mut [Segment<'a>], args: &[KernelArg], windows: Vec<Window>) -> Result<Self, Fault> {
        let mut overwritten_by = vec![None; args.len()];
        let mut written = vec![vec![]; args.len()];
        for (w, arg) in args.iter().enumerate().filter(|(_, a)| a.access != Access::Read) {
            for other in (0..args.len()).filter(|&o| o != w && windows[w].overlaps(&windows[o])) {
                let declared = arg.in_place_of == Some(Arg(other as u32)) && windows[w].start == windows[other].start;
                let reverse = args[other].in_place_of == Some(Arg(w as u32)) && windows[w].start == windows[other].start;
                if !declared && !reverse {
                    return Err(Fault::Shared { written: w as u32, other: other as u32 });
                }
                if declared {
                    overwritten_by[other] = Some(w);
                    written[w] = vec![false; windows[w].size];
                }
            }
        }
        Ok(Bound { segments, windows, overwritten_by, written })
    }

    /// `count` bytes at `at` of an argument.
    pub fn read(&self, arg: usize, at: i64, count: usize) -> Result<Cow<'_, [u8]>, Fault> {
        let window = &self.windows[arg];
        let slack = if window.is_const { SLACK_BYTES } else { 0 };
        let from = within(arg, at, count, window.size, slack)?;
        if let Some(w) = self.overwritten_by[arg] {
            let written = &self.written[w];
            if written[from.min(written.len())..(from + count).min(written.len())].contains(&true) {
                return Err(Fault::Overwritten { arg: arg as u32, at });
            }
        }
        let bytes = self.segments[window.segment].bytes();
        let from = window.start + from;
        if let Some(inside) = bytes.get(from..from + count) {
            return Ok(Cow::Borrowed(inside));
        }
        let mut long = bytes[from.min(bytes.len())..].to_vec();
        long.resize(count, FILLER);
        Ok(Cow::Owned(long))
    }

    pub fn write(&mut self, arg: usize, at: i64, count: usize) -> Result<&mut [u8], Fault> {
        let window = &self.windows[arg];
        let from = within(arg, at, count, window.size, 0)?;
        if let Some(written) = self.written[arg].get_mut(from..from + count) {
            written.fill(true);
        }
        let from = window.start + from;
        let segment = self.segments[window.segment].bytes_mut().ok_or(Fault::WriteOfFixed(arg as u32))?;
        Ok(&mut segment[from..from + count])
    }
}

fn within(arg: usize, at: i64, count: usize, size: usize, slack: usize) -> Result<usize, Fault> {
    match usize::try_from(at) {
        Ok(from) if from.checked_add(count).is_some_and(|end| end <= size + slack) => Ok(from),
        _ => Err(Fault::OutOfBounds { arg: arg as u32, at, count, size }),
    }
}
