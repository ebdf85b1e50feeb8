//! BROADCAST_ARGS: the shape that two shapes are broadcast to.
//!
//! i32 and i64, of constants. Not handled: shapes known only at run time.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, copy};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[I32, I64], &[T, T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let shape = |i: usize| {
            let ty = s.input(i)?;
            if ty.element != s.output(0).element {
                return Err(Diagnostic::new(Code::TYPES, "a shape is not of the result's type").detail(format!("input {i}")));
            }
            s.constant_counts(i, "the shape", &[ty.element_count()])
        };
        Ok(Attributes { shape: checks::broadcast(&shape(0)?, &shape(1)?)? })
    }

    fn infer(&self, _: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        self.shape.iter().try_for_each(|&d| checks::dimension("a dimension", i64::try_from(d).unwrap_or(i64::MAX)).map(|_| ()))?;
        Ok(vec![vec![self.shape.len()]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let ty = cx.output_type(node, 0);
        copy::constant(cx, node, ty.element.integer_bytes(self.shape.iter().map(|&d| d as i64)));
        Ok(())
    }
}
