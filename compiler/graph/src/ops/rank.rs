//! RANK: the number of the input's dimensions, an i32.
//!
//! Of any tensor; the result is a constant.

use crate::diagnostic::Diagnostic;
use crate::graph::{Node, ValueId};
use crate::lower::{Context, copy};
use crate::ops::counts::Count;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::I32;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub rank: usize,
}
fields!(rank);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[types::SIZED], &[&[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { rank: source.signature.input(0)?.rank() })
    }

    fn counts(&self, _: &Signature, _: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        Ok(vec![None])
    }

    fn infer(&self, _: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![vec![]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        copy::constant(cx, node, I32.integer_bytes([self.rank as i64]));
        Ok(())
    }
}
