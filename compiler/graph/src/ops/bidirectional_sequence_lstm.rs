//! BIDIRECTIONAL_SEQUENCE_LSTM: two layers of cells as of UNIDIRECTIONAL_SEQUENCE_LSTM, of which one walks over the sequence from its end. Their
//! results are two, or one behind the other in the rows of one. A second input is added by weights of its own, or is what the
//! backward layer reads.
//!
//! f32; f32 with i8 weights. Weights are constants, and matrices; there is no layer normalisation.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::lstm::{Layer, Operands, Options, concat};
use crate::lower::recurrent::{Both, Sequence};
use crate::ops::attributes::Curve;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Curve,
    pub cell_clip: f32,
    pub proj_clip: f32,
    pub merge_outputs: bool,
    pub time_major: bool,
    pub asymmetric_quantize_inputs: bool,
}
fields!(activation, cell_clip, proj_clip, merge_outputs, time_major, asymmetric_quantize_inputs);

const SECOND: usize = 39;
/// The forget gate's, which are always there.
const SECOND_WEIGHTS: usize = SECOND + 2;

impl Attributes {
    fn both(&self) -> Both {
        Both { second: SECOND, second_weights: SECOND_WEIGHTS, merge_outputs: self.merge_outputs }
    }

    fn layers(&self, s: &Signature) -> Result<(Sequence, [Layer<'_>; 2]), Diagnostic> {
        let x = s.input(0)?;
        let sequence = Sequence::of(x, self.time_major).filter(|_| x.rank() == 3).ok_or_else(|| {
            Diagnostic::new(Code::OPERAND, "the input has the wrong rank").expected("3 dimensions").found(format!("{:?}", x.shape))
        })?;
        if let Some(second) = s.optional(SECOND)
            && (second.ty.rank() != 3 || second.ty.shape[..2] != x.shape[..2])
        {
            return Err(Diagnostic::new(Code::OPERAND, "the second input does not fit the first")
                .detail(format!("input {SECOND}"))
                .expected(format!("[{}, {}, ..]", x.shape[0], x.shape[1]))
                .found(format!("{:?}", second.ty.shape)));
        }
        let options = Options {
            curve: self.activation,
            cell_clip: self.cell_clip,
            proj_clip: self.proj_clip,
            asymmetric: self.asymmetric_quantize_inputs,
            inner_scales: &[],
            inner_zero_points: &[],
        };
        let [forward, backward] = self.both().inputs(|i| s.optional(i).is_some());
        let layer = |[input, second]: [Option<usize>; 2], first, states, weights| {
            let at = Operands { first, states, norms: None, second: second.map(|second| [second, weights]) };
            let inputs = [&s.inputs[input.unwrap_or(0)..][..1], &s.inputs[1..]].concat();
            Layer::new(&Signature { inputs, outputs: s.outputs.clone() }, &sequence, at, options)
        };
        Ok((sequence, [layer(forward, 1, [35, 36], SECOND + 1)?, layer(backward, 18, [37, 38], SECOND + 5)?]))
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 48..=48, kept: Kept::All, outputs: 1..=2 };
    const TYPES: &'static [Row] = &[
        Row::Same(&[F32]),
        Row::Of(
            &concat::<48>(&[
                (&[F32], 1),
                (&[I8], 11),
                (&[F32], 4),
                (&[I8], 1),
                (&[F32], 1),
                (&[I8], 11),
                (&[F32], 4),
                (&[I8], 1),
                (&[F32], 6),
                (&[I8], 8),
            ]),
            &[&[F32]],
        ),
    ];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_bidirectional_sequence_lstmoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        Ok(Attributes {
            activation: Curve::decode(o.fused_activation_function())?,
            cell_clip: o.cell_clip(),
            proj_clip: o.proj_clip(),
            merge_outputs: o.merge_outputs(),
            time_major: o.time_major(),
            asymmetric_quantize_inputs: o.asymmetric_quantize_inputs(),
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::result_count(if self.merge_outputs { 1 } else { 2 }, s)?;
        let (_, layers) = self.layers(s)?;
        Ok(self.both().shapes(s.input(0)?, [layers[0].outputs, layers[1].outputs]))
    }

    fn writes(&self) -> Vec<usize> {
        vec![35, 36, 37, 38]
    }

    fn macs(&self, s: &Signature) -> u64 {
        self.layers(s).map_or(0, |(sequence, layers)| layers.iter().map(|l| l.macs(&sequence)).sum())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (sequence, layers) = self.layers(&cx.graph.signature(node))?;
        let inputs = self.both().inputs(|i| node.input(i).is_some());
        let row_bytes = [4 * layers[0].outputs, 4 * layers[1].outputs];
        for (i, layer) in layers.iter().enumerate() {
            let output = self.both().output(cx, node, row_bytes, i == 1);
            let buffers = inputs[i].map(|input| input.map(|input| cx.input(node, input)));
            layer.lower(cx, node, &Sequence { is_backward: i == 1, ..sequence }, buffers, output)?;
        }
        Ok(())
    }
}
