//! BITCAST: the same bytes as elements of another type.
//!
//! Any type of whole bytes. To smaller elements the result has one more axis, to larger ones one less.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::Bool;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[types::WHOLE_BYTES], &[types::WHOLE_BYTES])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if y.element == Bool && x.element != Bool {
            return Err(Diagnostic::new(Code::FEATURE, "other bytes than 0 and 1 are no truth values").help("compare with 0 instead"));
        }
        let bytes = |ty: &crate::tensor::TensorType| ty.element.bytes().expect("checked by the table");
        let (from, to) = (bytes(x), bytes(y));
        if from == to {
            return Ok(vec![x.shape.clone()]);
        }
        if to < from {
            return checks::sized([&x.shape[..], &[from / to]].concat());
        }
        match x.shape.split_last() {
            Some((&last, outer)) if last == to / from => Ok(vec![outer.to_vec()]),
            _ => Err(Diagnostic::new(Code::OPERAND, "the innermost axis is not one element of the result")
                .expected(format!("{} elements", to / from))
                .found(format!("{:?}", x.shape))),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::same_bytes(cx, node);
        Ok(())
    }
}
