//! QUANTIZE: x / scale + zero point, rounded and clamped; from another quantisation: a rescaling of integers.
//!
//! f32 to i8, u8, i16, per tensor or per channel: a division in f32, halves away from zero. i8, u8, i16, i32 to i8, u8, i16, i32 per
//! tensor. NaN and what does not fit 32 bits is undefined in the reference; here it is what x86 makes of it. Beyond the reference: all
//! pairs of integer types.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{Target, elem, shift_range};
use crate::lower::{Context, clip, convert};
use crate::ops::moves::Moves;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{element_range, quantize_multiplier, requantize_multiplier};
use crate::tensor::ElementType::{F32, I8, I16, I32, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::Machine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32]], &[&[I8, U8, I16]]), Row::Of(&[&[I8, U8, I16, I32]], &[&[I8, U8, I16, I32]])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if x.element == F32 {
            checks::quantization("the output", &TensorType { shape: x.shape.clone(), ..y.clone() })?;
        } else {
            checks::all_per_tensor(s)?;
            shift_range(&[multiplier(x, y).1])?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.inputs[0].is_some_and(|x| x.ty.element == F32) && is_per_tensor(s.output(0))
    }

    fn pointwise<'a>(&self, m: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(convert::quantized(m, s.output(0))))
    }

    fn moves(&self, s: &Signature) -> Moves {
        // Of floats what does not fit is the smallest integer, which a zero point below 0 takes round to the largest.
        let wraps =
            s.inputs[0].is_some_and(|x| x.ty.element == F32) && s.output(0).quantization.as_ref().is_none_or(|q| q.zero_points[0] < 0);
        if wraps { Moves::None } else { Moves::Apart }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.own_type(node));
        if x.element == F32 {
            if is_per_tensor(y) {
                return pointwise::lower(cx, node);
            }
            convert::quantize(cx, node);
            return Ok(());
        }
        let (low, high) = element_range(y.element).expect("an integer, checked by infer");
        let elem = elem(y.element).expect("an integer, checked by infer");
        let target = Target { elem, zero_point: y.zero_point() as i32, low, high };
        let e = Elementwise::of_node(cx, format!("requantize_{}_{}", x.element, y.element), node).unroll(4);
        clip::requantize(cx, e, x, multiplier(x, y), target);
        Ok(())
    }
}

fn is_per_tensor(y: &TensorType) -> bool {
    y.quantization.as_ref().is_some_and(|q| q.is_per_tensor())
}

fn multiplier(x: &TensorType, y: &TensorType) -> (i32, i32) {
    quantize_multiplier(requantize_multiplier(x.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0)))
}
