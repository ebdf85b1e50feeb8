//! RNN: one step of a layer of cells whose memory is their last output, h = activation(W x + R h + b); the input is [batch, ..].
//!
//! f32; f32 with i8 weights, for which vectors are quantised at run time. Weights and bias are constants; h is a state.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::recurrent::Sequence;
use crate::lower::rnn::{Layer, Operands};
use crate::ops::attributes::Curve;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, I8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Curve,
    pub asymmetric_quantize_inputs: bool,
}
fields!(activation, asymmetric_quantize_inputs);

impl Attributes {
    fn layer(&self, s: &Signature) -> Result<(Sequence, Layer), Diagnostic> {
        let x = s.input(0)?;
        let sequence = Sequence::of(x, false).filter(|_| x.rank() == 2).ok_or_else(|| {
            Diagnostic::new(Code::OPERAND, "the input has the wrong rank").expected("2 dimensions").found(format!("{:?}", x.shape))
        })?;
        let at = Operands { first: 1, second: None };
        Ok((sequence, Layer::new(s, &sequence, 0, at, self.activation, self.asymmetric_quantize_inputs)?))
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 5..=5, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32]), Row::Of(&[&[F32], &[I8], &[I8], &[F32]], &[&[F32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_rnnoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let activation = Curve::decode(o.fused_activation_function())?;
        Ok(Attributes { activation, asymmetric_quantize_inputs: o.asymmetric_quantize_inputs() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (sequence, layer) = self.layer(s)?;
        Ok(vec![vec![sequence.batch, layer.units]])
    }

    fn writes(&self) -> Vec<usize> {
        vec![4]
    }

    fn macs(&self, s: &Signature) -> u64 {
        self.layer(s).map_or(0, |(sequence, layer)| layer.macs(&sequence))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (sequence, layer) = self.layer(&cx.graph.signature(node))?;
        let y = cx.output(node, 0);
        layer.lower(cx, node, &sequence, [Some(0), None], (y, 4 * layer.units, 0))
    }
}
