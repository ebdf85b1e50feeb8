//! DEQUANTIZE: scale · (q − zero point) as f32.
//!
//! i8, u8, i16, and constants of i4 and i2, per tensor or per channel; f16 is only widened. The difference and its conversion are exact, so
//! that one multiplication in f32 rounds as the reference's in f64. Beyond the reference: i16 per channel.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::convert;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F16, F32, I2, I4, I8, I16, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I8, U8, I16, I4, I2, F16]], &[&[F32]])];
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

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        match cx.input_type(node, 0).element {
            F16 => convert::from_f16(cx, node),
            _ => convert::dequantize(cx, node)?,
        }
        Ok(())
    }
}
