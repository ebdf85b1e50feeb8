//! REVERSE_SEQUENCE: the first elements along an axis, from the last of them to the first; how many is said for each index of another
//! axis.
//!
//! Any element type of whole bytes. The lengths are a constant. Not handled: lengths known only at run time.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub batch_axis: usize,
    /// Per index of the batch axis.
    pub lengths: Vec<usize>,
}
fields!(axis, batch_axis, lengths);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let rank = s.input(0)?.rank();
        let (axis, batch_axis) =
            source.operator.builtin_options_as_reverse_sequence_options().map_or((0, 0), |o| (o.seq_dim(), o.batch_dim()));
        let (axis, batch_axis) = (checks::axis(axis.into(), rank)?, checks::axis(batch_axis.into(), rank)?);
        let lengths = s.constant_counts(1, "the lengths", &[s.input(0)?.shape[batch_axis]])?;
        Ok(Attributes { axis, batch_axis, lengths })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis, self.batch_axis], x.rank())?;
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        if self.axis == self.batch_axis || self.lengths.len() != x.shape[self.batch_axis] || x.shape[self.axis] < longest {
            return Err(Diagnostic::new(Code::OPERAND, "the lengths do not fit the input")
                .expected(format!("one for each index of axis {}, of at most the size of axis {}", self.batch_axis, self.axis))
                .found(format!("{:?} for {:?}", self.lengths, x.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let strides = moves::strides(&x.shape);
        let stride = strides[self.axis];
        let mut b = 0;
        for equal in self.lengths.chunk_by(|a, b| a == b) {
            let length = equal[0];
            let mut axes = moves::axes(&x.shape, &strides);
            axes[self.batch_axis].count = equal.len();
            let first = b * strides[self.batch_axis] as usize;
            let (turned, kept) = (first + length.saturating_sub(1) * stride as usize, first + length * stride as usize);
            axes[self.axis] = Axis { count: length, from: -stride, to: stride };
            moves::of_node(cx, node, (turned, first), &axes);
            axes[self.axis] = Axis { count: x.shape[self.axis] - length, from: stride, to: stride };
            moves::of_node(cx, node, (kept, kept), &axes);
            b += equal.len();
        }
        Ok(())
    }
}
