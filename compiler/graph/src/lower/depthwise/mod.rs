//! Depthwise convolution: every output channel sees one input channel.
//!
//! Not an operator and no arithmetic of numbers: `finish.rs` makes results of accumulators. The idea: with as many output as input
//! channels, vectors run over channels and the taps are written out (`stencil.rs`); with more output channels per input channel,
//! or with very large filters, an input value meets a vector of outputs in loops over the taps (`spread.rs`).

mod apart;
mod finish;
mod hybrid;
mod pack;
mod small;
mod spread;
mod stencil;
mod walk;

pub use finish::Finish;

use super::pad::{Axis as Margin, pad};
use super::pointwise::Destination;
use super::{Context, Goal, gemm};
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::attributes::Activation;
use crate::ops::attributes::Padding;
use crate::tensor::ElementType;
use cranelite_tile::{BufferId, ByteDot, Elem, Machine, Scalar};
use pack::Product;

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

/// A depthwise convolution in numbers.
pub struct Convolution {
    pub geometry: Geometry,
    pub source: Source,
    pub weights: Weights,
    pub finish: Finish,
}

impl Convolution {
    /// Writes the calls from `x` to `y`.
    pub fn lower(mut self, cx: &mut Context, x: BufferId, y: BufferId) -> Result<(), Diagnostic> {
        let g = &self.geometry;
        if 1 << 20 < g.taps() {
            return Err(Diagnostic::new(Code::FEATURE, "the filter is too large")
                .expected("at most 1048576 taps")
                .found(g.taps().to_string())
                .help("use a smaller filter"));
        }
        if let Some((product, weights)) = self.as_product(cx.machine) {
            let filter = gemm::Filter { data: &weights, ..product.filter };
            return gemm::lower(cx, &gemm::Product { filter, ..product }, x, &Destination::of_buffer(y));
        }
        let g = &self.geometry;
        if cx.goal == Goal::Size && g.multiplier == 1 && self.is_finite() {
            return small::lower(cx, &mut self, x, y);
        }
        if g.multiplier == 1 && g.taps() <= MAX_UNROLLED {
            return stencil::lower(cx, &mut self, x, y);
        }
        let x = if g.is_padded() { self.pad(cx, x) } else { x };
        spread::lower(cx, &mut self, x, y)
    }

    /// With one input channel it is a usual convolution, which is faster where runs of bytes are an operation of the emitter's; and its weights.
    fn as_product(&self, machine: &Machine) -> Option<(gemm::Product<'static>, Vec<u8>)> {
        let (g, Weights::Integer(w)) = (&self.geometry, &self.weights) else { return None };
        let Finish::Narrow { bias, references, target } = &self.finish else { return None };
        let input = match self.source.elem {
            Elem::I8 => ElementType::I8,
            Elem::U8 => ElementType::U8,
            _ => return None,
        };
        let is_byte = w.iter().all(|&w| i8::try_from(w).is_ok());
        if !matches!(machine.byte_dot, ByteDot::Runs { .. }) || g.channels != 1 || self.source.scales.is_some() || !is_byte {
            return None;
        }
        let axis = |i: usize, input, output, before: usize| gemm::Axis {
            input,
            filter: g.filter[i],
            output,
            stride: g.stride[i],
            dilation: g.dilation[i],
            before: before as i64,
            places: gemm::Places::all(output),
        };
        let taps = g.taps();
        let weights = (0..g.multiplier).flat_map(|o| (0..taps).map(move |t| w[t * g.multiplier + o] as i8 as u8)).collect();
        let filter = gemm::Filter { element: ElementType::I8, shape: [g.multiplier, g.filter[0], g.filter[1], 1], data: &[] };
        let product = gemm::Product {
            batch: g.images,
            rows: axis(0, g.height, g.out_height, g.padding.top),
            columns: axis(1, g.width, g.out_width, g.padding.left),
            channels: 1,
            filter,
            input,
            input_zero_point: self.source.zero_point.into(),
            weight_zero_point: 0,
            bias: gemm::Bias::Int(bias.iter().map(|b| i64::from(*b)).collect()),
            rescale: gemm::Rescale::Sum(references.clone()),
            activation: Activation::None,
            target: Some(*target),
        };
        Some((product, weights))
    }

    /// Padding may take part in the sums.
    fn is_finite(&self) -> bool {
        match &self.weights {
            Weights::Float(w) => !self.geometry.is_padded() || w.iter().all(|w| w.is_finite()),
            Weights::Integer(_) => true,
        }
    }

    /// The product of integers, after the bias and the scales have been prepared for it. `by_channel`: vectors run over channels.
    fn prepare(&mut self, cx: &mut Context, by_channel: bool) -> Result<Option<Product>, Diagnostic> {
        let Weights::Integer(w) = &self.weights else { return Ok(None) };
        let product = Product::choose(cx.machine, self.source, w);
        let product = if by_channel { product.apart(cx.machine, self.source, w, self.geometry.channels) } else { product };
        self.finish.prepare(cx.machine, self.source, product.zero, w, self.geometry.out_channels())?;
        if let Some(form) = self.finish.form() {
            cx.note_rescaling(form, self.geometry.out_channels());
        }
        Ok(Some(product))
    }

    /// Copies the input with its padding written out, and forgets the padding.
    fn pad(&mut self, cx: &mut Context, x: BufferId) -> BufferId {
        let (g, elem) = (&mut self.geometry, self.source.elem);
        let p = std::mem::take(&mut g.padding);
        let margins = [
            Margin { size: g.images, before: 0, after: 0 },
            Margin { size: g.height, before: p.top, after: p.bottom },
            Margin { size: g.width, before: p.left, after: p.right },
            Margin { size: g.channels, before: 0, after: 0 },
        ];
        g.height += p.top + p.bottom;
        g.width += p.left + p.right;
        let copy = cx.scratch("padded", (g.images * g.height * g.width * g.channels) as u64 * u64::from(elem.bytes()));
        let fill = if elem == Elem::F32 { Scalar::Float(0) } else { Scalar::Int(self.source.zero_point.into()) };
        pad(cx, x, copy, &margins, elem, fill);
        copy
    }
}

/// Activations that are quantised at run time: from f32 to i16 without zero point, one scale per image.
pub fn quantize_at_run_time(cx: &mut Context, g: &Geometry, x: BufferId) -> (Source, BufferId) {
    let (values, scales) = hybrid::quantize(cx, g.images, g.height * g.width * g.channels, x);
    (Source { elem: Elem::I16, zero_point: 0, scales: Some(scales) }, values)
}
