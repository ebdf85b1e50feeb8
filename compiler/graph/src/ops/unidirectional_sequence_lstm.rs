//! UNIDIRECTIONAL_SEQUENCE_LSTM: a layer of cells with a memory, step by step over a sequence [batch, steps, ..] or [steps, batch, ..].
//!
//! With gates i, f, o = logistic(W x + R h + b), g = activation(W x + R h + b): c = f · c + i · g, h = o · activation(c). Options: no input
//! gate (i = 1 − f), peepholes (p · c in the sums of a gate), layer normalisation, a projection of h, limits of c and of the projection.
//! h and c are states, which the model's variable tensors name.
//!
//! f32; f32 with i8 weights, for which vectors are quantised at run time; i8 with i16 memory (five intermediate results), as the
//! reference in every number. Weights are constants, and matrices. Not supported: twelve intermediate results; integer peepholes beside a
//! projection to another number of outputs; cells without activation, which the reference multiplies by what is in its memory.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::lstm::{self, Layer, Operands, Options};
use crate::lower::recurrent::Sequence;
use crate::ops::attributes::Curve;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Curve,
    pub cell_clip: f32,
    pub proj_clip: f32,
    pub time_major: bool,
    pub asymmetric_quantize_inputs: bool,
    pub inner_scales: Vec<f32>,
    pub inner_zero_points: Vec<i64>,
}
fields!(activation, cell_clip, proj_clip, time_major, asymmetric_quantize_inputs, inner_scales, inner_zero_points);

const OPERANDS: Operands = Operands { first: 1, states: [18, 19], norms: Some(20), second: None };

impl Attributes {
    fn layer(&self, s: &Signature) -> Result<(Sequence, Layer<'_>), Diagnostic> {
        let x = s.input(0)?;
        let sequence = Sequence::of(x, self.time_major).filter(|_| x.rank() == 3).ok_or_else(|| {
            Diagnostic::new(Code::OPERAND, "the input has the wrong rank").expected("3 dimensions").found(format!("{:?}", x.shape))
        })?;
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
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 20..=24, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = lstm::TYPES;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_unidirectional_sequence_lstmoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let (inner_scales, inner_zero_points) = lstm::inner(source);
        Ok(Attributes {
            activation: Curve::decode(o.fused_activation_function())?,
            cell_clip: o.cell_clip(),
            proj_clip: o.proj_clip(),
            time_major: o.time_major(),
            asymmetric_quantize_inputs: o.asymmetric_quantize_inputs(),
            inner_scales,
            inner_zero_points,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if !matches!(s.inputs.len(), 20 | 24) {
            return Err(Diagnostic::new(Code::ARITY, "wrong number of inputs").expected("20 or 24").found(s.inputs.len().to_string()));
        }
        let (_, layer) = self.layer(s)?;
        let mut shape = s.input(0)?.shape.clone();
        shape[2] = layer.outputs;
        Ok(vec![shape])
    }

    fn writes(&self) -> Vec<usize> {
        OPERANDS.states.to_vec()
    }

    fn macs(&self, s: &Signature) -> u64 {
        self.layer(s).map_or(0, |(sequence, layer)| layer.macs(&sequence))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (sequence, layer) = self.layer(&cx.graph.signature(node))?;
        let (x, y) = (cx.input(node, 0), cx.output(node, 0));
        let row_bytes = cx.size_bytes(y) as usize / (sequence.batch * sequence.steps);
        layer.lower(cx, node, &sequence, [Some(x), None], (y, row_bytes, 0))
    }
}
