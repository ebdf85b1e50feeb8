//! Depthwise convolution: every output channel sees one input channel.
//!
//! Not an operator and no arithmetic of numbers: `finish.rs` makes results of accumulators. The idea: with as many output as input
//! channels, vectors run over channels and the taps are written out (`stencil.rs`); with more output channels per input channel,
//! or with very large filters, an input value meets a vector of outputs in loops over the taps (`spread.rs`).

mod finish;
mod hybrid;
mod pack;
mod spread;
mod stencil;
mod walk;

pub use finish::Finish;

use super::Context;
use super::pad::{Axis as Margin, pad};
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::attributes::Padding;
use cranelite_tile::{BufferId, Elem, Scalar};

/// Sizes of a depthwise convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    /// Of the input.
    pub channels: usize,
    /// Output channels per input channel.
    pub multiplier: usize,
    pub out_height: usize,
    pub out_width: usize,
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
}

impl Geometry {
    pub fn out_channels(&self) -> usize {
        self.channels * self.multiplier
    }
    pub fn taps(&self) -> usize {
        self.filter[0] * self.filter[1]
    }
    fn is_padded(&self) -> bool {
        self.padding != Padding::default()
    }
}

/// Weights as [ky][kx][channel], with their zero point taken off.
#[derive(Clone, Debug)]
pub enum Weights {
    Float(Vec<f32>),
    Integer(Vec<i16>),
}

/// The input as it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub elem: Elem,
    /// What padding is filled with; of floats 0.
    pub zero_point: i32,
    /// A scale per image, where the activations were quantised at run time.
    pub scales: Option<BufferId>,
}

/// Filters of at most so many taps are written out.
const MAX_UNROLLED: usize = 49;

/// Writes the calls of a convolution from `x` to `y`.
pub fn lower(
    cx: &mut Context,
    g: &Geometry,
    source: Source,
    weights: &Weights,
    finish: Finish,
    x: BufferId,
    y: BufferId,
) -> Result<(), Diagnostic> {
    // Vertical pairs or quadruples of rows add zero taps; the last index in the sum stays far below 2^31 for any real filter.
    if 1 << 20 < g.taps() {
        return Err(Diagnostic::new(Code::FEATURE, "the filter is too large").expected("at most 1048576 taps").found(g.taps().to_string()));
    }
    if g.multiplier == 1 && g.taps() <= MAX_UNROLLED {
        stencil::lower(cx, g, source, weights, finish, x, y);
        return Ok(());
    }
    let (x, g) = if g.is_padded() { padded(cx, g, source, x) } else { (x, g.clone()) };
    spread::lower(cx, &g, source, weights, finish, x, y);
    Ok(())
}

/// Activations that are quantised at run time: from f32 to i16 without zero point, one scale per image.
pub fn quantize_at_run_time(cx: &mut Context, g: &Geometry, x: BufferId) -> (Source, BufferId) {
    let (values, scales) = hybrid::quantize(cx, g.images, g.height * g.width * g.channels, x);
    (Source { elem: Elem::I16, zero_point: 0, scales: Some(scales) }, values)
}

/// A copy of the input with its padding written out, and the geometry without padding.
fn padded(cx: &mut Context, g: &Geometry, source: Source, x: BufferId) -> (BufferId, Geometry) {
    let p = g.padding;
    let (height, width) = (p.top + g.height + p.bottom, p.left + g.width + p.right);
    let size = g.images * height * width * g.channels * source.elem.bytes() as usize;
    let copy = cx.scratch("padded", size as u64);
    let margins = [
        Margin { size: g.images, before: 0, after: 0 },
        Margin { size: g.height, before: p.top, after: p.bottom },
        Margin { size: g.width, before: p.left, after: p.right },
        Margin { size: g.channels, before: 0, after: 0 },
    ];
    let fill = match source.elem {
        Elem::F32 => Scalar::Float(0),
        _ => Scalar::Int(source.zero_point.into()),
    };
    pad(cx, x, copy, &margins, source.elem, fill);
    (copy, Geometry { height, width, padding: Padding::default(), ..g.clone() })
}
