//! EXPAND_DIMS: the same bytes with one more axis, of size 1.
//!
//! Any element type of a fixed size. The axis is a constant.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::{Context, moves};
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
    const TYPES: &'static [Row] = &[Row::Same(types::SIZED)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let mut shape = source.signature.input(0)?.shape.clone();
        let axis = checks::axis(source.signature.constant_integer(1, "the axis")?, shape.len() + 1)?;
        shape.insert(axis, 1);
        Ok(Attributes { shape })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::same_elements(s.input(0)?, &self.shape)
    }

    fn is_view(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::same_bytes(cx, node);
        Ok(())
    }
}
