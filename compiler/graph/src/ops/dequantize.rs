//! DEQUANTIZE: scale · (q − zero point) as f32.
//!
//! i8, u8, i16, and constants of i4 and i2, per tensor or per channel; f16 is only widened. The difference and its conversion are exact, so
//! that one multiplication in f32 rounds as the reference's in f64. Beyond the reference: i16 per channel.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::convert;
use crate::lower::pointwise::{self, Pointwise};
use crate::ops::moves::Moves;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F16, F32, I2, I4, I8, I16, U4, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::Machine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I8, U8, I16, I4, U4, I2, F16]], &[&[F32]])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if x.element != F16 {
            checks::quantization("the input", x)?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.inputs[0].is_some_and(|x| is_plain(x.ty))
    }

    fn pointwise<'a>(&self, _: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(convert::dequantized(s.input(0)?)))
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Apart
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if is_plain(cx.input_type(node, 0)) { pointwise::lower(cx, node) } else { convert::dequantize(cx, node) }
    }
}

/// Elements of whole bytes, and one scale for all.
fn is_plain(x: &TensorType) -> bool {
    x.element == F16 || (x.element.bytes().is_some() && x.quantization.as_ref().is_some_and(|q| q.is_per_tensor()))
}
