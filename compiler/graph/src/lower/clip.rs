//! Operators that clamp and may rescale: RELU and its relatives, and QUANTIZE from integers.
//!
//! Not fused activations, which are part of their producer. The idea: between quantised tensors a clamp is a requantisation, and one
//! without effect is left out.

use super::Context;
use super::elementwise::Elementwise;
use super::pointwise::Pointwise;
use super::proved::{Affine, byte_values, float_of_byte};
use super::requantize::{INTEGER, Scale, Target, shift_range};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::ops::attributes::Activation;
use crate::ops::moves::SIGN;
use crate::ops::{Signature, checks};
use crate::quantize::{activation_range_float, multiply_by_quantized_multiplier, quantize_multiplier, relu_multiplier};
use crate::tensor::ElementType::I16;
use crate::tensor::TensorType;
use cranelite_tile::{Elem, KernelBuilder, Machine, Value};

/// Rules of an operator that is one clamp: integers are quantised per tensor, int16 without zero points.
pub fn infer(s: &Signature, activation: Activation) -> Result<Vec<Vec<usize>>, Diagnostic> {
    let (x, y) = (s.input(0)?, s.output(0));
    if checks::is_quantized(y.element) {
        checks::all_per_tensor(s)?;
        if y.element == I16 {
            checks::no_zero_point("the input", x)?;
            checks::no_zero_point("the output", y)?;
        }
        shift_range(&[multiplier(x, y).1])?;
        Target::new(y, activation)?;
    }
    Ok(vec![x.shape.clone()])
}

fn multiplier(x: &TensorType, y: &TensorType) -> (i32, i32) {
    quantize_multiplier(relu_multiplier(x.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0)))
}

/// Of floats.
pub fn pointwise<'a>(activation: Activation) -> Pointwise<'a> {
    let (low, high) = activation_range_float(activation);
    Pointwise::elements(move |k, x| {
        // Infinity passes a one-sided clamp, unlike a fused one.
        let ty = k.ty(x[0]);
        let (low_bound, high_bound) = (k.float(ty, low), k.float(ty, high));
        let clamped = k.max(low_bound, x[0]);
        if high < f32::MAX { k.min(high_bound, clamped) } else { clamped }
    })
}

/// Of integers.
pub fn lower(cx: &mut Context, node: &Node, activation: Activation) -> Result<(), Diagnostic> {
    let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
    let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node).unroll(4);
    let target = Target::new(y, activation)?;
    requantize(cx, e, x, multiplier(x, y), target);
    Ok(())
}

/// Integers of one quantisation into another.
pub fn requantize(cx: &mut Context, e: Elementwise, x: &TensorType, (multiplier, shift): (i32, i32), target: Target) {
    let zero_point = x.zero_point() as i32;
    let one = (multiplier, shift) == (1 << 30, 1);
    if one && super::requantize::elem(x.element) == Some(target.elem) && zero_point == target.zero_point {
        return e.lower(cx, |k, v, _| target.clamp(k, v[0]));
    }
    let (from, is_whole) = (super::requantize::elem(x.element), (i64::from(target.low), i64::from(target.high)) == target.elem.int_range());
    let signs = (from, target.elem, target.zero_point - zero_point);
    if one && is_whole && matches!(signs, (Some(Elem::I8), Elem::U8, 128) | (Some(Elem::U8), Elem::I8, -128)) {
        // Elements move as zero points do.
        return e.lower(cx, |k, v, _| {
            let ty = k.ty(v[0]);
            let (bytes, sign) = (k.bitcast(v[0], ty.with_elem(Elem::U8)), k.int(ty.with_elem(Elem::U8), SIGN.into()));
            let moved = k.xor(bytes, sign);
            k.bitcast(moved, ty.with_elem(target.elem))
        });
    }
    let (e, m) = (e.unroll(1), cx.machine);
    let affine = proved(m, x, (multiplier, shift), target).filter(|_| !one);
    if !one {
        cx.note_rescaling(affine.as_ref().map_or(INTEGER, Affine::form), 1);
    }
    if let Some(affine) = affine {
        return e.lower(cx, |k, v, _| {
            let term = float_of_byte(k, v[0]);
            affine.apply(k, m, &[term])
        });
    }
    e.lower(cx, |k, v, _| {
        let wide = k.widen(v[0], Elem::I32);
        let x = if zero_point == 0 { wide } else { minus(k, wide, zero_point) };
        let scaled = if one { x } else { Scale::constant(k, k.ty(x).lanes as usize, multiplier, shift).apply(k, x) };
        target.apply(k, scaled)
    });
}

/// The requantisation in f32, if it is the same for all bytes.
fn proved(m: &Machine, x: &TensorType, (multiplier, shift): (i32, i32), target: Target) -> Option<Affine> {
    let values = byte_values(super::requantize::elem(x.element)?).filter(|_| m.has_vectors())?;
    let differences: Vec<i32> = values.iter().map(|v| v - x.zero_point() as i32).collect();
    let wanted: Vec<i32> = differences.iter().map(|&d| multiply_by_quantized_multiplier(d, multiplier, shift)).collect();
    let factor = libm::scalbn(multiplier.into(), shift - 31);
    let floats = |v: &[i32]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
    Affine::of_one(m, &floats(&values), factor, &wanted, target)
}

fn minus(k: &mut KernelBuilder, x: Value, zero_point: i32) -> Value {
    let zero_point = k.int(k.ty(x), zero_point.into());
    k.sub(x, zero_point)
}
