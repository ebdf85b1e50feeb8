//! CraneliteFrame: an image of a camera's bytes, of another size: cropped, turned and mirrored. Of pipelines (`pipeline/frames.rs`); no model has it.
//!
//! The bytes, and for each axis of the result two tables of i32: of each row the first row of the frame (or column, where it is transposed) that it is made
//! of, and weights of that and those after it. Then the numbers that stand for 0 to 255, for each channel or for all: f32, or integers of any
//! quantisation. Last, i32 `[1]`, the stride, where that is known with the call only; one beyond what fits ends the invocation. Numbers of a table that are
//! beyond the frame are moved into it.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::frame::{self, Frame, Resampling};
use crate::ops::attributes::Format;
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks, only_of_pipelines};
use crate::quantize::resample::MOST_TOTAL;
use crate::tensor::ElementType::{F32, I8, I16, I32, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub format: Format,
    pub width: usize,
    pub height: usize,
    /// Bytes from a row to the next one (the most of them, where the stride is an input): of chroma planes half of it for each byte, rounded up.
    pub stride: usize,
    /// Rows of the result are columns of the frame.
    pub transposed: bool,
    /// 3, or 1: the brightness.
    pub channels: usize,
    /// Blue is the first of three channels.
    pub bgr: bool,
    /// The sum of all weights of a pixel, by which sums are divided.
    pub total: usize,
    /// Halves are rounded to even numbers, and not up.
    pub ties_to_even: bool,
    /// Of each channel in the order of the result: what is where a table of the first rows or columns has a number below 0.
    pub fill: Vec<usize>,
}
fields!(format, width, height, stride, transposed, channels, bgr, total, ties_to_even, fill);

/// The most that offsets of 32 bits reach.
const MOST_BYTES: u128 = 1 << 31;

impl Attributes {
    fn frame(&self) -> Frame {
        let Attributes { format, width, height, stride, .. } = *self;
        Frame { format, width, height, stride }
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 6..=7, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, U8, I8, I16, I32], &[&[U8], &[I32], &[I32], &[I32], &[I32], T, &[I32]], &[T])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Err(only_of_pipelines())
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let Attributes { width, height, stride, .. } = *self;
        checks::at_least("width", width, 1)?;
        checks::at_least("height", height, 1)?;
        // Planes of chroma are no larger than the first one, and what rounding adds.
        if MOST_BYTES <= (width as u128 + 4) * 4 * height as u128 || MOST_BYTES <= (stride as u128 + 1) * (height as u128 + 1) * 2 {
            return Err(Diagnostic::new(Code::SHAPE, "the frame is too large").found(format!("{height} rows of {stride} bytes")));
        }
        let frame = self.frame();
        checks::at_least("stride", stride, frame.row_bytes())?;
        checks::shape("the frame", 0, s.input(0)?, &[frame.size_bytes()])?;
        let extents = if self.transposed { [width, height] } else { [height, width] };
        let mut size = vec![];
        for (i, extent) in [(1, extents[0]), (3, extents[1])] {
            let count = checks::vector("the table", s.input(i)?).map_err(|d| d.detail(format!("input {i}")))?;
            match s.input(i + 1)?.shape[..] {
                [rows, taps] if rows == count && 0 < taps && taps <= extent => size.push(count),
                _ => {
                    return Err(Diagnostic::new(Code::OPERAND, "the weights do not fit the table before them, or the frame")
                        .detail(format!("input {}", i + 1))
                        .expected(format!("{count} rows of 1 to {extent} weights"))
                        .found(format!("{:?}", s.input(i + 1)?.shape)));
                }
            }
        }
        if ![1, 3].contains(&self.channels) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`channels` must be 1 or 3").found(self.channels.to_string()));
        }
        let map = s.input(5)?;
        if map.shape != [1, 256] && map.shape != [self.channels, 256] {
            return Err(Diagnostic::new(Code::OPERAND, "there must be a number for each byte")
                .detail("input 5")
                .expected(format!("[1,256] or [{},256]", self.channels))
                .found(format!("{:?}", map.shape)));
        }
        if let Some(stride) = s.optional(6) {
            checks::shape("the stride", 6, stride.ty, &[1])?;
        }
        if !(1..=MOST_TOTAL).contains(&self.total) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`total` is out of range")
                .expected(format!("1 to {MOST_TOTAL}"))
                .found(self.total.to_string()));
        }
        let is_single = [2, 4].into_iter().all(|i| s.input(i).is_ok_and(|ty| ty.shape[1] == 1));
        if self.total == 1 && !is_single {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "weights of several pixels have a sum above 1").detail("total"));
        }
        if !self.fill.is_empty() && (self.fill.len() != self.channels || self.fill.iter().any(|v| 255 < *v)) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`fill` must be a byte for each channel").found(format!("{:?}", self.fill)));
        }
        checks::sized(vec![1, size[0], size[1], self.channels])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if cx.output_type(node, 0).element_count() == 0 {
            return Ok(());
        }
        let Attributes { transposed, bgr, total, ties_to_even, .. } = *self;
        frame::resample(cx, node, &Resampling { frame: self.frame(), transposed, bgr, total, ties_to_even, fill: &self.fill });
        Ok(())
    }
}
