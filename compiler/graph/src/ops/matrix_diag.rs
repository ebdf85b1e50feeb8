//! MATRIX_DIAG: matrices of zeros, with the vectors of the input on their diagonals.
//!
//! Any element type of whole bytes.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let Some(&n) = x.shape.last() else {
            return Err(Diagnostic::new(Code::OPERAND, "the input must have a dimension").found("a scalar"));
        };
        checks::sized([&x.shape[..], &[n]].concat())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let n = *x.shape.last().expect("infer has seen the shape");
        moves::fill(cx, node, 0);
        let rows: usize = x.shape[..x.rank() - 1].iter().product();
        let diagonal = Axis { count: n, from: 1, to: n as i64 + 1 };
        moves::of_node(cx, node, (0, 0), &[Axis { count: rows, from: n as i64, to: (n * n) as i64 }, diagonal]);
        Ok(())
    }
}
