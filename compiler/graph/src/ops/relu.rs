//! RELU: max(x, 0).
//!
//! f32 (NaN stays NaN). Quantised i8, u8, i16 with the scales of input and output as they are: the reference rescales by a 32-bit
//! multiplier, then clamps.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::ops::{Arity, Operator, Signature, Source, checks};
use crate::tensor::ElementType;
use cranelite_tile::Elem;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: 1, outputs: 1 };
    const TYPES: &'static str = "f32";

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::one_element(s, &[ElementType::F32])?;
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        Elementwise::of_node(cx, "relu_f32", node).unroll(4).lower(cx, |k, x, _| {
            let zero = k.float(Elem::F32.x(k.ty(x[0]).lanes as usize), 0.0);
            k.max(zero, x[0])
        });
        Ok(())
    }
}
