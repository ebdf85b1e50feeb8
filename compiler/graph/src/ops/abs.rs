//! ABS: the magnitude of a number.
//!
//! f32; i32, where the magnitude of the smallest number is itself; i8, i16 quantised per tensor: the difference from the zero point, rescaled
//! if the scales differ by a multiplier that the reference computes in f32. int16 has zero points 0; without a quantisation it stands
//! for itself.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{INTEGER, Scale, Target, shift_range};
use crate::lower::{Context, table};
use crate::ops::attributes::Activation;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{multiply_by_quantized_multiplier, quantize_multiplier, relu_multiplier};
use crate::tensor::ElementType::{F32, I8, I16, I32};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Elem, Machine, Unary};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, I16, I32])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if is_rescaled(x) {
            checks::all_per_tensor(s)?;
            checks::no_zero_points_of_words(x, y)?;
            shift_range(&[multiplier(x, y).1])?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.inputs[0].is_some_and(|x| !is_rescaled(x.ty))
    }

    fn pointwise<'a>(&self, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(Pointwise::elements(|k, x| k.unary(Unary::Abs, x[0]))))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.own_type(node));
        if !is_rescaled(x) {
            return pointwise::lower(cx, node);
        }
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let ((multiplier, shift), from, to) = (multiplier(x, y), x.zero_point() as i32, y.zero_point() as i32);
        if y.element == I8 {
            let f = |q: i32| multiply_by_quantized_multiplier((q - from).abs(), multiplier, shift).wrapping_add(to);
            table::bytes(cx, e, &table::entries(y.element, f));
            return Ok(());
        }
        let target = Target::new(y, Activation::None)?;
        cx.note_rescaling(INTEGER, 1);
        e.lower(cx, |k, x, _| {
            let wide = k.widen(x[0], Elem::I32);
            let magnitude = k.unary(Unary::Abs, wide);
            let scaled = Scale::constant(k, k.ty(wide).lanes as usize, multiplier, shift).apply(k, magnitude);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

fn is_rescaled(x: &TensorType) -> bool {
    x.element == I8 || (x.element == I16 && x.quantization.is_some())
}

/// That of equal scales changes nothing.
fn multiplier(x: &TensorType, y: &TensorType) -> (i32, i32) {
    quantize_multiplier(relu_multiplier(x.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0)))
}
