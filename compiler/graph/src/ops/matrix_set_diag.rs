//! MATRIX_SET_DIAG: the matrices of the first input, with the vectors of the second on their diagonals.
//!
//! Any element type of whole bytes.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::moves::{self, Axis};
use crate::lower::{Context, copy};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, diagonals) = (s.input(0)?, s.input(1)?);
        let [outer @ .., rows, columns] = &x.shape[..] else {
            return Err(Diagnostic::new(Code::OPERAND, "the input must be a matrix, or several")
                .detail("input 0")
                .found(format!("{:?}", x.shape)));
        };
        let expected = [outer, &[*rows.min(columns)]].concat();
        if diagonals.shape != expected {
            return Err(Diagnostic::new(Code::OPERAND, "the diagonals do not fit the matrices")
                .detail("input 1")
                .expected(format!("{expected:?}"))
                .found(format!("{:?}", diagonals.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, diagonals) = (cx.input_type(node, 0), cx.input_type(node, 1));
        if x.element_count() == 0 {
            return Ok(());
        }
        let (from, vectors, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        copy::whole(cx, from, to);
        let [.., rows, columns] = x.shape[..] else { unreachable!("infer has seen the shape") };
        let count = rows.min(columns);
        let axes = [
            Axis { count: diagonals.element_count() / count, from: count as i64, to: (rows * columns) as i64 },
            Axis { count, from: 1, to: columns as i64 + 1 },
        ];
        moves::elements(cx, vectors, to, x.element.bytes().expect("infer has seen the type"), (0, 0), &axes);
        Ok(())
    }
}
