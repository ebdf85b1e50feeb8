//! RELU and its relatives: operators that are one clamp.
//!
//! f32 (NaN stays NaN); i8, u8, i16 quantised per tensor. Input and output may have different scales: the reference rescales by a
//! multiplier that it computes in f32, then clamps.

use super::attributes::Activation;
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::{Context, clip};
use crate::tensor::ElementType::{F32, I8, U8};
use crate::text::fields::fields;
use cranelite_tile::Machine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Clip {
    types: &'static [Row],
    activation: Activation,
}

family! { Clip:
    /// max(x, 0)
    relu = Clip { types: &[Row::Same(types::REAL)], activation: Activation::Relu };
    /// min(max(x, 0), 1)
    relu_0_to_1 = Clip { types: &[Row::Same(&[F32, I8, U8])], activation: Activation::Relu0To1 };
    /// min(max(x, 0), 6)
    relu6 = Clip { types: &[Row::Same(types::REAL)], activation: Activation::Relu6 };
    /// min(max(x, −1), 1)
    relu_n1_to_1 = Clip { types: &[Row::Same(&[F32, I8, U8])], activation: Activation::ReluN1To1 };
}

impl Family for Clip {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        clip::infer(s, self.activation)
    }

    fn clamp(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn is_pointwise(&self, _: &Attributes, s: &Signature) -> bool {
        s.output(0).element == F32
    }

    fn pointwise<'a>(&self, _: &Attributes, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(clip::pointwise(self.activation)))
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if cx.own_type(node).element == F32 { pointwise::lower(cx, node) } else { clip::lower(cx, node, self.activation) }
    }
}
