//! RELU6: min(max(x, 0), 6).
//!
//! f32 (NaN stays NaN); i8, u8, i16 quantised per tensor. Input and output may have different scales: the reference rescales by a
//! multiplier that it computes in f32, then clamps.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::{Context, clip};
use crate::ops::attributes::Activation;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        clip::infer(s, Activation::Relu6)
    }

    fn clamp(&self) -> Option<Activation> {
        Some(Activation::Relu6)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        clip::lower(cx, node, "relu6", Activation::Relu6)
    }
}
