//! The numbers per column that go along with the weights: where accumulators start, and how they are rescaled.
//!
//! Not their use (`epilogue.rs`). The idea: zero points times sums of weights are known when the model is compiled, for every kind of
//! border pixel, and so are all scales.

use super::epilogue::Epilogue;
use super::geometry::Segment;
use super::numbers::{Form, Numbers};
use super::pack::{Filter, tap_sums};
use super::{Bias, Product};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::requantize::{Numbers as ScaleNumbers, WideScale};
use crate::quantize::element_range;
use crate::tensor::ElementType;
use cranelite_tile::{BufferId, Elem};
use std::ops::Range;

impl Bias {
    /// The constant bias that is a node's input, if it is there.
    pub fn of_node(cx: &Context, node: &Node, index: usize) -> Result<Bias, Diagnostic> {
        if node.input(index).is_none() {
            return Ok(Bias::None);
        }
        let data = cx.constant_input(node, index).ok_or_else(|| cx.not_constant(node, index, "the bias"))?;
        let ty = cx.input_type(node, index);
        Ok(match ty.element {
            ElementType::F32 => Bias::Float(words(data).map(f32::from_le_bytes).collect()),
            ElementType::I32 => Bias::Int(words(data).map(|b| i32::from_le_bytes(b).into()).collect()),
            _ => Bias::Int(words(data).map(i64::from_le_bytes).collect()),
        })
    }

    /// As `of_node`; a bias that is no constant is in the buffer.
    pub fn in_memory(cx: &mut Context, node: &Node, index: usize) -> Result<(Bias, Option<BufferId>), Diagnostic> {
        match node.input(index) {
            Some(_) if cx.constant_input(node, index).is_none() => Ok((Bias::None, Some(cx.input(node, index)))),
            _ => Ok((Bias::of_node(cx, node, index)?, None)),
        }
    }

    /// The starts of accumulators: those of some columns, and zeros until there are `padded`.
    pub(super) fn bytes(&self, accumulator: Elem, columns: Range<usize>, padded: usize) -> Vec<u8> {
        let column = |c: usize| match (accumulator, c < columns.end) {
            (Elem::F32, true) => self.float(c).to_le_bytes().to_vec(),
            (Elem::I64, true) => self.int(c).to_le_bytes().to_vec(),
            (_, true) => (self.int(c) as i32).to_le_bytes().to_vec(),
            (_, false) => vec![0; accumulator.bytes() as usize],
        };
        (columns.start..columns.start + padded).flat_map(column).collect()
    }

    pub(super) fn int(&self, channel: usize) -> i64 {
        match self {
            Bias::Int(all) => all[channel],
            _ => 0,
        }
    }
    fn float(&self, channel: usize) -> f32 {
        match self {
            Bias::Float(all) => all[channel],
            _ => 0.0,
        }
    }
}

fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks().0.iter().copied()
}

/// Whether sums of 16-bit activations times these 8-bit weights fit 32 bits at every step, the bias included.
pub fn fits_32_bits(filter: &Filter, bias: &Bias) -> bool {
    let depth: usize = filter.shape[1..].iter().product();
    (0..filter.shape[0]).all(|o| {
        let sum: i64 = filter.ints(o * depth..(o + 1) * depth).map(i64::abs).sum();
        sum.saturating_mul(1 << 15).saturating_add(bias.int(o).saturating_abs()) < 1 << 31
    })
}

/// The table of classes: one class for each rectangle, or one for all.
pub struct Classes {
    pub data: Vec<u8>,
    pub uniform: bool,
}

pub fn classes(
    p: &Product,
    n: &Numbers,
    epilogue: &Epilogue,
    channels: Range<usize>,
    width: usize,
    rectangles: &[(Segment, Segment)],
    absent: impl Fn(&(Segment, Segment)) -> usize,
) -> Classes {
    let (first, columns) = (channels.start, channels.len());
    let float = n.form == Form::Float;
    let asymmetric = matches!(epilogue, Epilogue::Hybrid { asymmetric: true, .. });
    let uniform =
        float || (n.sum_factor(p.weight_zero_point) == 0 && n.start(p.input_zero_point, p.weight_zero_point, 1, 0) == 0 && !asymmetric);
    // Sums of weights as the operation sees them, by tap.
    let sums: Vec<Vec<i64>> = if uniform { vec![] } else { channels.map(|o| tap_sums(&p.filter, o, n.weight_shift)).collect() };
    let sum = |column: usize, (row, col): &(Segment, Segment)| -> i64 {
        let taps = (row.first..row.end).flat_map(|y| (col.first..col.end).map(move |x| y * p.filter.shape[2] + x));
        if uniform { 0 } else { taps.map(|t| sums[column][t]).sum() }
    };
    let mut data = vec![];
    for rectangle in if uniform { &rectangles[..1] } else { rectangles } {
        let count = (rectangle.0.taps() * rectangle.1.taps() * p.filter.shape[3]) as i64;
        // Each absent element is 0 when it has been loaded, and what is made of it is summed.
        let absent = if n.flips() { n.sum_factor(p.weight_zero_point) * n.input_shift * absent(rectangle) as i64 } else { 0 };
        let start = |column: usize| {
            let start = n.start(p.input_zero_point, p.weight_zero_point, sum(column, rectangle), count);
            p.bias.int(first + column).wrapping_add(start).wrapping_add(absent)
        };
        for panel in (0..columns).step_by(width) {
            let columns = (panel..panel + width).map(|c| (c < columns).then_some(c));
            for c in columns.clone() {
                match n.accumulator {
                    Elem::F32 => data.extend_from_slice(&c.map_or(0.0, |c| p.bias.float(first + c)).to_le_bytes()),
                    Elem::I64 => data.extend_from_slice(&c.map_or(0, start).to_le_bytes()),
                    _ => data.extend_from_slice(&(c.map_or(0, start) as i32).to_le_bytes()),
                }
            }
            if asymmetric {
                data.extend(columns.flat_map(|c| (c.map_or(0, |c| sum(c, rectangle)) as i32).to_le_bytes()));
            }
        }
    }
    Classes { data, uniform }
}

/// The numbers per output channel behind the table of scales.
pub enum Scales {
    None,
    Sum(ScaleNumbers),
    Wide(Vec<(i32, i32)>),
    Hybrid(Vec<f32>),
}

impl Scales {
    /// The table of scales of some channels.
    pub fn table(&self, bias: &Bias, channels: Range<usize>, width: usize) -> Vec<u8> {
        let panels = channels
            .clone()
            .step_by(width)
            .map(|start| -> Vec<Option<usize>> { (start..start + width).map(|c| channels.contains(&c).then_some(c)).collect() });
        panels.flat_map(|channels| self.panel(bias, &channels)).collect()
    }

    /// Of the lanes of a panel: which channel each has.
    pub fn panel(&self, bias: &Bias, channels: &[Option<usize>]) -> Vec<u8> {
        match self {
            Scales::None => vec![],
            Scales::Sum(numbers) => numbers.table(channels),
            Scales::Wide(all) => {
                let (multipliers, shifts): (Vec<i32>, Vec<i32>) = channels.iter().map(|c| c.map_or((0, 0), |c| all[c])).unzip();
                WideScale::tables(&multipliers, &shifts).iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
            }
            Scales::Hybrid(all) => {
                let scales = channels.iter().map(|c| c.map_or(0.0, |c| all[c]));
                let bias = channels.iter().map(|c| c.map_or(0.0, |c| bias.float(c)));
                scales.chain(bias).flat_map(f32::to_le_bytes).collect()
            }
        }
    }
}

/// Between which bounds the sum of an output channel lies.
pub fn reach(p: &Product) -> Vec<(i64, i64)> {
    let (low, high) = element_range(p.input).unwrap_or((0, 0));
    let (low, high) = (i64::from(low) - p.input_zero_point, i64::from(high) - p.input_zero_point);
    let depth: usize = p.filter.shape[1..].iter().product();
    (0..p.filter.shape[0])
        .map(|o| {
            let (mut negative, mut positive) = (0, 0);
            for w in p.filter.ints(o * depth..(o + 1) * depth).map(|w| w - p.weight_zero_point) {
                if w < 0 { negative += w } else { positive += w }
            }
            let bias = p.bias.int(o);
            (bias.saturating_add(positive * low + negative * high), bias.saturating_add(positive * high + negative * low))
        })
        .collect()
}
