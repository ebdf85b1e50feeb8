//! BIDIRECTIONAL_SEQUENCE_RNN: two layers of cells as of UNIDIRECTIONAL_SEQUENCE_RNN, of which one walks over the sequence from its end. Their
//! results are two, or one behind the other in the rows of one. A second input is added by weights of its own, or is what the
//! backward layer reads.
//!
//! f32; f32 with i8 weights, where the reference walks over a sequence of batches as often as it has steps, with what it has kept so far: so do
//! we. Weights and biases are constants. Where the reference reads other memory than the second input's (one that the backward
//! layer reads of batches of sequences, one of another size in sequences of batches), it is refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::recurrent::{Both, Sequence};
use crate::lower::rnn::{Layer, Operands};
use crate::ops::attributes::Curve;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Curve,
    pub time_major: bool,
    pub merge_outputs: bool,
    pub asymmetric_quantize_inputs: bool,
}
fields!(activation, time_major, merge_outputs, asymmetric_quantize_inputs);

const SECOND: usize = 9;

impl Attributes {
    fn both(&self) -> Both {
        Both { second: SECOND, second_weights: SECOND + 1, merge_outputs: self.merge_outputs }
    }

    fn layers(&self, s: &Signature) -> Result<(Sequence, [Layer; 2]), Diagnostic> {
        let x = s.input(0)?;
        let sequence = Sequence::of(x, self.time_major).filter(|_| x.rank() == 3).ok_or_else(|| {
            Diagnostic::new(Code::OPERAND, "the input has the wrong rank").expected("3 dimensions").found(format!("{:?}", x.shape))
        })?;
        if let Some(second) = s.optional(SECOND) {
            let shape = &second.ty.shape;
            let fits = shape.len() == 3 && shape[..2] == x.shape[..2];
            let is_added = s.optional(SECOND + 1).is_some();
            if !fits || !is_added && !self.time_major || self.time_major && shape[2] != x.shape[2] {
                return Err(Diagnostic::new(Code::FEATURE, "the second input of the operator is not supported")
                    .detail(format!("input {SECOND}"))
                    .expected("steps, batch and, in sequences of batches, numbers as the first, and weights in batches of sequences")
                    .found(format!("{shape:?}")));
            }
        }
        let [forward, backward] = self.both().inputs(|i| s.optional(i).is_some());
        let layer = |[input, second]: [Option<usize>; 2], first, weights| {
            let at = Operands { first, second: second.map(|second| [second, weights]) };
            Layer::new(s, &sequence, input.unwrap_or(0), at, self.activation, self.asymmetric_quantize_inputs)
        };
        Ok((sequence, [layer(forward, 1, SECOND + 1)?, layer(backward, 5, SECOND + 2)?]))
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 12..=12, kept: Kept::All, outputs: 1..=2 };
    const TYPES: &'static [Row] = &[
        Row::Same(&[F32]),
        Row::Of(&[&[F32], &[I8], &[I8], &[F32], &[F32], &[I8], &[I8], &[F32], &[F32], &[F32], &[I8], &[I8]], &[&[F32]]),
    ];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_bidirectional_sequence_rnnoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        Ok(Attributes {
            activation: Curve::decode(o.fused_activation_function())?,
            time_major: o.time_major(),
            merge_outputs: o.merge_outputs(),
            asymmetric_quantize_inputs: o.asymmetric_quantize_inputs(),
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::result_count(if self.merge_outputs { 1 } else { 2 }, s)?;
        let (_, layers) = self.layers(s)?;
        Ok(self.both().shapes(s.input(0)?, layers.map(|l| l.units)))
    }

    fn writes(&self) -> Vec<usize> {
        vec![4, 8]
    }

    fn macs(&self, s: &Signature) -> u64 {
        self.layers(s).map_or(0, |(sequence, layers)| layers.iter().map(|l| l.macs(&sequence)).sum())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (sequence, layers) = self.layers(&cx.graph.signature(node))?;
        let inputs = self.both().inputs(|i| node.input(i).is_some());
        let row_bytes = layers.map(|l| 4 * l.units);
        for (i, layer) in layers.iter().enumerate() {
            let output = self.both().output(cx, node, row_bytes, i == 1);
            let walks = if self.time_major && cx.input_type(node, 1).element == I8 { sequence.steps } else { 1 };
            let sequence = Sequence { is_backward: i == 1, ..sequence };
            let walk = |cx: &mut Context| layer.lower(cx, node, &sequence, inputs[i], output);
            if walks == 1 { walk(cx)? } else { cx.repeat(walks, walk)? }
        }
        Ok(())
    }
}
