//! DENSIFY: a sparse constant as a dense one.
//!
//! Any element type of whole bytes. Sparse constants become dense ones when the model is read, so that nothing is left to do.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::same_bytes(cx, node);
        Ok(())
    }
}
