//! BROADCAST_TO: the input, repeated along axes of size 1 and along new outer axes, in a given shape.
//!
//! Any element type of whole bytes. The shape is a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let rank = s.constant(1, "the shape")?.0.element_count();
        Ok(Attributes { shape: s.constant_counts(1, "the shape", &[rank])? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        match checks::broadcast(&x.shape, &self.shape) {
            Ok(shape) if shape == self.shape => checks::sized(shape),
            _ => Err(Diagnostic::new(Code::OPERAND, "the input cannot be broadcast to the shape")
                .expected("in every dimension, from the last, the same number, or 1 in the input")
                .found(format!("{:?} to {:?}", x.shape, self.shape))),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let added = self.shape.len() - x.rank();
        let mut from = vec![0; added];
        from.extend(x.shape.iter().zip(moves::strides(&x.shape)).map(|(&d, stride)| if d == 1 { 0 } else { stride }));
        let axes: Vec<Axis> = moves::axes(&self.shape, &from);
        moves::of_node(cx, node, (0, 0), &axes);
        Ok(())
    }
}
