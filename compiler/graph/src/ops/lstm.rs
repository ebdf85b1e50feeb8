//! LSTM: one step of a layer of cells as of UNIDIRECTIONAL_SEQUENCE_LSTM, with the input [batch, ..]; or, with five inputs, the basic kernel.
//!
//! The basic kernel has the weights of all gates and of both products in one matrix [4 · cells, inputs + cells], in the order of gates i, g, f, o.
//! It is f32, or u8 with zero points 128 and an i16 memory with four integer bits, as the reference in every number. Its third and fourth
//! results, which are its scratch memory, are not written; what reads them is refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::gemm::Bias;
use crate::lower::lstm::{self, Layer, Material, Operands, Options};
use crate::lower::recurrent::{Sequence, Weights, floats, integers, not_empty, shaped};
use crate::lower::requantize::shift_range;
use crate::lower::{Context, copy};
use crate::ops::attributes::Curve;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{checked_log2, quantize_multiplier};
use crate::tensor::ElementType::{I16, I32, U8};
use crate::text::fields::fields;
use cranelite_schema::LSTMKernelType;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub basic: bool,
    pub activation: Curve,
    pub cell_clip: f32,
    pub proj_clip: f32,
    pub asymmetric_quantize_inputs: bool,
    pub inner_scales: Vec<f32>,
    pub inner_zero_points: Vec<i64>,
}
fields!(basic, activation, cell_clip, proj_clip, asymmetric_quantize_inputs, inner_scales, inner_zero_points);

const OPERANDS: Operands = Operands { first: 1, states: [18, 19], norms: Some(20), second: None };
/// Of the basic kernel: the last output, weights, bias, memory.
const LAST: usize = 1;
const WEIGHTS: usize = 2;
const BIAS: usize = 3;
const MEMORY: usize = 4;

impl Attributes {
    fn sequence(s: &Signature) -> Result<Sequence, Diagnostic> {
        let x = s.input(0)?;
        Sequence::of(x, false).filter(|_| x.rank() == 2).ok_or_else(|| {
            Diagnostic::new(Code::OPERAND, "the input has the wrong rank").expected("2 dimensions").found(format!("{:?}", x.shape))
        })
    }

    fn layer(&self, s: &Signature) -> Result<(Sequence, Layer<'_>), Diagnostic> {
        let sequence = Attributes::sequence(s)?;
        if self.basic {
            return Ok((sequence, self.basic_layer(s)?));
        }
        let options = Options {
            curve: self.activation,
            cell_clip: self.cell_clip,
            proj_clip: self.proj_clip,
            asymmetric: self.asymmetric_quantize_inputs,
            inner_scales: &self.inner_scales,
            inner_zero_points: &self.inner_zero_points,
        };
        Ok((sequence, Layer::new(s, &sequence, OPERANDS, options)?))
    }

    fn basic_layer(&self, s: &Signature) -> Result<Layer<'static>, Diagnostic> {
        let (x, last, w, bias, memory) = (s.input(0)?, s.input(LAST)?, s.input(WEIGHTS)?, s.input(BIAS)?, s.input(MEMORY)?);
        let (batch, inputs, cells) = (x.shape[0], x.shape[1], last.shape.last().copied().unwrap_or(0));
        for (what, n) in [("the batch", batch), ("the input", inputs), ("the state", cells)] {
            not_empty(what, n)?;
        }
        shaped("the last output", LAST, last, &[batch, cells])?;
        shaped("the weights", WEIGHTS, w, &[4 * cells, inputs + cells])?;
        shaped("the bias", BIAS, bias, &[4 * cells])?;
        shaped("the memory", MEMORY, memory, &[batch, cells])?;
        let mut basic = None;
        if x.element == U8 {
            checks::per_tensor("the weights", w)?;
            let (scale, _) = checks::per_tensor("the memory", s.output(1))?;
            if checked_log2(scale) != Some((-11, true)) {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the memory is not supported")
                    .expected("2^-11")
                    .found(scale.to_string()));
            }
            // Bytes stand for numbers from −1 to 1, whatever else their types say.
            let scale = bias.scale().ok_or_else(|| {
                Diagnostic::new(Code::SCALE, "the bias has no quantisation").detail(format!("input {BIAS}")).expected("one scale")
            })?;
            let numbers = quantize_multiplier(f64::from(4096.0 * scale));
            shift_range(&[numbers.1])?;
            basic = Some(numbers);
        }
        Ok(Layer::plain(x.element, inputs, cells, basic))
    }

    fn lower_basic(&self, cx: &mut Context, node: &Node, sequence: &Sequence, layer: &Layer) -> Result<(), Diagnostic> {
        if let Some(i) = (2..node.outputs.len()).find(|&i| cx.is_needed_later(node.outputs[i])) {
            return Err(Diagnostic::new(Code::FEATURE, "scratch memory of the operator is used").detail(format!("output {i}")));
        }
        let w = Weights::of_node(cx, node, &[WEIGHTS])?;
        let element_bytes = w.data.len() / (w.rows * w.depth);
        let zero_point = if layer.is_basic() { cx.input_type(node, WEIGHTS).zero_point() } else { 0 };
        // From the gates i, g, f, o to i, f, g, o.
        let gates = [0, 2, 1, 3];
        let part = |columns: std::ops::Range<usize>| {
            let rows = gates.iter().flat_map(|g| g * layer.cells..(g + 1) * layer.cells);
            let row = |r: usize| &w.data[(r * w.depth + columns.start) * element_bytes..(r * w.depth + columns.end) * element_bytes];
            Weights { depth: columns.len(), data: rows.flat_map(row).copied().collect(), zero_point, ..w.clone() }
        };
        let reordered = |v: Vec<i64>| gates.iter().flat_map(|g| v[g * layer.cells..(g + 1) * layer.cells].to_vec()).collect();
        let bias = match layer.is_basic() {
            true => Bias::Int(reordered(integers(cx, node, &[BIAS])?.unwrap_or_default())),
            false => {
                let v = floats(cx, node, &[BIAS])?.unwrap_or_default();
                Bias::Float(gates.iter().flat_map(|g| v[g * layer.cells..(g + 1) * layer.cells].to_vec()).collect())
            }
        };
        let material = Material::plain(part(0..layer.inputs), part(layer.inputs..w.depth), bias);
        let (x, y) = (cx.input(node, 0), cx.output(node, 0));
        let states = [LAST, MEMORY].map(|i| cx.input(node, i));
        layer.steps(cx, sequence, &material, x, states, (y, layer.cells * element_bytes, 0))?;
        let memory = cx.output(node, 1);
        copy::whole(cx, states[1], memory);
        Ok(())
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 5..=24, kept: Kept::All, outputs: 1..=4 };
    const TYPES: &'static [Row] =
        &[lstm::TYPES[0], lstm::TYPES[1], lstm::TYPES[2], Row::Of(&[&[U8], &[U8], &[U8], &[I32], &[I16]], &[&[U8], &[I16], &[U8], &[I16]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_lstmoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let (inner_scales, inner_zero_points) = lstm::inner(source);
        let basic = o.kernel_type() == LSTMKernelType::BASIC;
        Ok(Attributes {
            basic,
            activation: if basic { Curve::Tanh } else { Curve::decode(o.fused_activation_function())? },
            cell_clip: o.cell_clip(),
            proj_clip: o.proj_clip(),
            asymmetric_quantize_inputs: o.asymmetric_quantize_inputs(),
            inner_scales,
            inner_zero_points,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (inputs, outputs): (&[usize], usize) = if self.basic { (&[5], 4) } else { (&[20, 24], 1) };
        if !inputs.contains(&s.inputs.len()) || s.outputs.len() != outputs {
            return Err(Diagnostic::new(Code::ARITY, "wrong number of operands or results")
                .expected(format!("{inputs:?} operands, {outputs} results"))
                .found(format!("{} and {}", s.inputs.len(), s.outputs.len())));
        }
        let (sequence, layer) = self.layer(s)?;
        let row = |n: usize| vec![sequence.batch, n];
        Ok(match self.basic {
            true => [layer.cells, layer.cells, layer.inputs + layer.cells, 4 * layer.cells].map(row).to_vec(),
            false => vec![row(layer.outputs)],
        })
    }

    fn writes(&self) -> Vec<usize> {
        if self.basic { vec![LAST, MEMORY] } else { OPERANDS.states.to_vec() }
    }

    fn macs(&self, s: &Signature) -> u64 {
        self.layer(s).map_or(0, |(sequence, layer)| layer.macs(&sequence))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (sequence, layer) = self.layer(&cx.graph.signature(node))?;
        if self.basic {
            return self.lower_basic(cx, node, &sequence, &layer);
        }
        let (x, y) = (cx.input(node, 0), cx.output(node, 0));
        let row_bytes = cx.size_bytes(y) as usize / sequence.batch;
        layer.lower(cx, node, &sequence, [Some(x), None], (y, row_bytes, 0))
    }
}
