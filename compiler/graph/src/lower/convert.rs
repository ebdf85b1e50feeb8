//! Between real numbers and integers: the vectors of QUANTIZE and DEQUANTIZE.
//!
//! Not requantisation, which stays in integers. CAST is here, too, whose numbers have no scale. The idea: scales and zero points per
//! channel are one more input, broadcast along all other dimensions.

use super::Context;
use super::elementwise::{Elementwise, Operand};
use super::math::copy_sign;
use super::pointwise::Pointwise;
use super::requantize::elem;
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::quantize::element_range;
use crate::quantize::quotient::{HALF, OVERFLOW, Quotient};
use crate::tensor::{ElementType, Quantization, TensorType};
use cranelite_tile::{Cond, Elem, KernelBuilder, Machine, Rounding, Unary, Value};

/// Scale and zero point of every lane: numbers in the code, or vectors that come as further inputs.
struct Parameters {
    quantization: Quantization,
    /// Positions of the inputs.
    scales: Option<usize>,
    zero_points: Option<usize>,
}

impl Parameters {
    /// Of one scale for all.
    fn of_tensor(ty: &TensorType) -> Self {
        let quantization = ty.quantization.as_deref().expect("quantisation, checked by infer").clone();
        Parameters { quantization, scales: None, zero_points: None }
    }

    /// Of `ty`; what differs from channel to channel becomes an input of `e`.
    fn new(cx: &mut Context, mut e: Elementwise, ty: &TensorType) -> (Elementwise, Self) {
        let mut p = Parameters::of_tensor(ty);
        let quantization = &p.quantization;
        let mut shape = vec![1; ty.rank()];
        let channels = quantization.scales.len();
        if 1 < channels {
            shape[quantization.axis] = channels;
            let scales = cx.constant_f32("scales", &quantization.scales);
            e = e.input(Operand::new(scales, Elem::F32, shape.clone()));
            p.scales = Some(1);
            if (1..channels).any(|c| quantization.zero_point(c) != quantization.zero_point(0)) {
                let zero_points: Vec<i32> = (0..channels).map(|c| quantization.zero_point(c) as i32).collect();
                let zero_points = cx.constant_i32("zero_points", &zero_points);
                e = e.input(Operand::new(zero_points, Elem::I32, shape));
                p.zero_points = Some(2);
            }
        }
        (e, p)
    }

    fn scale(&self, k: &mut KernelBuilder, x: &[Value]) -> Value {
        let ty = k.ty(x[0]).with_elem(Elem::F32);
        self.scales.map_or_else(|| k.float(ty, self.quantization.scales[0]), |i| x[i])
    }
    /// As i32 lanes; `None` where it is 0.
    fn zero_point(&self, k: &mut KernelBuilder, x: &[Value]) -> Option<Value> {
        let ty = k.ty(x[0]).with_elem(Elem::I32);
        match (self.zero_points, self.quantization.zero_point(0)) {
            (Some(i), _) => Some(x[i]),
            (None, 0) => None,
            (None, z) => Some(k.int(ty, z)),
        }
    }
}

pub fn dequantize(cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
    let ty = cx.input_type(node, 0);
    let name = format!("dequantize_{}", ty.element);
    // Elements that share bytes are constants, and become bytes when the model is compiled.
    let e = match ty.element.bytes() {
        Some(_) => Elementwise::of_node(cx, name, node),
        None => {
            let unpacked = cx.constant_input(node, 0).and_then(|data| ty.unpacked(data));
            let unpacked = unpacked.ok_or_else(|| cx.not_constant(node, 0, "the numbers of less than 8 bits"))?;
            let bytes: Vec<u8> = unpacked.into_iter().map(|v| v as u8).collect();
            let x = Operand::new(cx.constant("unpacked", bytes, 64), Elem::I8, ty.shape.clone());
            Elementwise::new(name, vec![x], Operand::of_value(cx, node.outputs[0]))
        }
    };
    let (e, p) = Parameters::new(cx, e, ty);
    e.lower(cx, |k, x, _| p.real(k, x));
    Ok(())
}

/// DEQUANTIZE where one scale serves all, of elements of whole bytes.
pub fn dequantized<'a>(x: &TensorType) -> Pointwise<'a> {
    if x.element == ElementType::F16 {
        return Pointwise::elements(|k, x| k.from_half(x[0])).unroll(1);
    }
    let p = Parameters::of_tensor(x);
    Pointwise::elements(move |k, x| p.real(k, x)).unroll(1)
}

/// QUANTIZE of f32 with a scale for each channel.
pub fn quantize(cx: &mut Context, node: &Node) {
    let ty = cx.own_type(node);
    let e = Elementwise::of_node(cx, format!("quantize_{}", ty.element), node);
    let (e, p) = Parameters::new(cx, e, ty);
    let target = elem(ty.element).expect("an integer, checked by infer");
    cx.note_rescaling(DIVISION, p.quantization.scales.len());
    e.lower(cx, |k, x, _| p.integer(k, x, None, target));
}

/// QUANTIZE of f32 where one scale serves all.
pub fn quantized<'a>(m: &Machine, y: &TensorType) -> Pointwise<'a> {
    let p = Parameters::of_tensor(y);
    let range = element_range(y.element).expect("an integer, checked by infer");
    let target = elem(y.element).expect("an integer, checked by infer");
    let q = &p.quantization;
    let proved = m.fma.then(|| Quotient::prove(q.scales[0], q.zero_points[0] as i32, range)).flatten();
    let form = if proved.is_some() { "quotient" } else { DIVISION };
    Pointwise::elements(move |k, x| p.integer(k, x, proved, target)).unroll(1).form(form)
}

const DIVISION: &str = "division";

impl Parameters {
    fn real(&self, k: &mut KernelBuilder, x: &[Value]) -> Value {
        let wide = k.widen(x[0], Elem::I32);
        let q = match self.zero_point(k, x) {
            Some(z) => k.sub(wide, z),
            None => wide,
        };
        let (real, scale) = (k.to_float(q, Elem::F32), self.scale(k, x));
        k.mul(real, scale)
    }

    /// f32 to 8 or 16 bits: halves away from zero by adding to the magnitude a half, then cutting.
    fn integer(&self, k: &mut KernelBuilder, x: &[Value], proved: Option<Quotient>, target: Elem) -> Value {
        let float = k.ty(x[0]);
        let quotient = match proved {
            Some(Quotient { high, low }) => {
                let (high, low) = (k.float(float, high), k.float(float, low));
                let rest = k.mul(x[0], low);
                k.fma(x[0], high, rest)
            }
            None => {
                let scale = self.scale(k, x);
                k.div(x[0], scale)
            }
        };
        let half = k.float(float, HALF);
        let half = copy_sign(k, half, x[0]);
        let sum = k.add(quotient, half);
        // NaN and what does not fit become the smallest integer, as on x86; the zero point may take it round to the largest.
        let (magnitude, limit, lowest) = (k.unary(Unary::Abs, sum), k.float(float, OVERFLOW), k.float(float, -OVERFLOW));
        let fits = k.compare(Cond::Lt, magnitude, limit);
        let sum = k.select(fits, sum, lowest);
        let q = k.convert(sum, Elem::I32, Rounding::TowardZero);
        let q = match self.zero_point(k, x) {
            Some(z) => k.add(q, z),
            None => q,
        };
        k.narrow_sat(q, target)
    }
}

/// A mask as bytes, 1 where it is true.
pub fn truth(k: &mut KernelBuilder, mask: Value) -> Value {
    let elem = match k.ty(mask).elem.bits() {
        8 => Elem::U8,
        16 => Elem::U16,
        32 => Elem::U32,
        _ => Elem::I64,
    };
    let ty = k.ty(mask).with_elem(elem);
    let (one, zero) = (k.int(ty, 1), k.int(ty, 0));
    let y = k.select(mask, one, zero);
    k.narrow(y, Elem::U8)
}

/// Bytes as a mask of lanes as long as those of `elem`: what is not zero is true.
pub fn mask(k: &mut KernelBuilder, truth: Value, elem: Elem) -> Value {
    let wide = match elem.bits() {
        8 => Elem::U8,
        16 => Elem::U16,
        32 => Elem::U32,
        _ => Elem::I64,
    };
    let wide = k.widen(truth, wide);
    let zero = k.int(k.ty(wide), 0);
    k.compare(Cond::Ne, wide, zero)
}

/// The rules of CAST, between types that have them; lanes of short floats are their bits, those of complex numbers 64 bits.
pub fn cast(k: &mut KernelBuilder, x: Value, from: ElementType, to: ElementType) -> Value {
    use ElementType::{Bool, Complex64, F16, F32};
    match (from, to) {
        _ if from == to => x,
        (F16, _) => {
            let real = k.from_half(x);
            cast(k, real, F32, to)
        }
        (Complex64, _) => {
            let parts = k.bitcast(x, Elem::F32.x(2 * k.ty(x).lanes as usize));
            let real = k.deinterleave(parts, 0);
            cast(k, real, F32, to)
        }
        (_, F16) => {
            let real = cast(k, x, from, F32);
            k.to_half(real)
        }
        (_, Complex64) => {
            let real = cast(k, x, from, F32);
            let zero = k.float(k.ty(real), 0.0);
            let parts = k.interleave(real, zero);
            k.bitcast(parts, k.ty(x).with_elem(Elem::I64))
        }
        (_, Bool) => {
            let ty = k.ty(x);
            let zero = if ty.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) };
            let mask = k.compare(Cond::Ne, x, zero);
            truth(k, mask)
        }
        _ => {
            let to = elem(to).expect("an element type checked by infer");
            match (k.ty(x).elem.is_float(), to.is_float()) {
                (true, true) if k.ty(x).elem == to => x,
                (true, true) => k.to_float(x, to),
                (true, false) => integer_of_float(k, x, to),
                (false, true) => float_of_integer(k, x, to),
                (false, false) => integer_of_integer(k, x, to),
            }
        }
    }
}

/// The low bits, or more bits with the sign.
fn integer_of_integer(k: &mut KernelBuilder, x: Value, to: Elem) -> Value {
    let from = k.ty(x).elem;
    if to.bits() < from.bits() {
        return k.narrow(x, to);
    }
    let as_wide = match to.bits() {
        _ if to.is_signed() == from.is_signed() || !from.is_signed() => to,
        16 => Elem::I16,
        _ => Elem::I32,
    };
    let wide = if from.bits() < to.bits() { k.widen(x, as_wide) } else { x };
    k.bitcast(wide, k.ty(x).with_elem(to))
}

fn float_of_integer(k: &mut KernelBuilder, x: Value, to: Elem) -> Value {
    match (k.ty(x).elem, to) {
        (Elem::U32, Elem::F32) => {
            // The upper half times 2^16 is exact, so that only the sum is rounded.
            let (ty, low) = (k.ty(x).with_elem(Elem::I32), k.int(k.ty(x), 0xFFFF));
            let (upper, lower) = (k.shr_imm(x, 16), k.and(x, low));
            let [upper, lower] = [upper, lower].map(|v| {
                let v = k.bitcast(v, ty);
                k.to_float(v, Elem::F32)
            });
            let power = k.float(k.ty(upper), 65536.0);
            let upper = k.mul(upper, power);
            k.add(upper, lower)
        }
        (Elem::U32, _) => {
            let wide = k.widen(x, Elem::I64);
            k.to_float(wide, to)
        }
        (Elem::I32 | Elem::I64, _) => k.to_float(x, to),
        _ => {
            let wide = k.widen(x, Elem::I32);
            k.to_float(wide, to)
        }
    }
}

/// Toward zero; what does not fit becomes the nearest integer, NaN the largest.
fn integer_of_float(k: &mut KernelBuilder, x: Value, to: Elem) -> Value {
    let float = k.ty(x);
    match to {
        Elem::I64 => {
            let end = k.float(float, (1u64 << 63) as f32);
            let x = k.min(x, end);
            k.convert(x, Elem::I64, Rounding::TowardZero)
        }
        Elem::U32 => {
            let (end, zero, half) = (k.float(float, (1u64 << 32) as f32), k.float(float, 0.0), k.float(float, (1u64 << 31) as f32));
            let x = k.min(x, end);
            let x = k.max(x, zero);
            // Moved down by half the range and, as integers, up again; small numbers would lose bits on the way.
            let is_upper = k.compare(Cond::Ge, x, half);
            let by = k.select(is_upper, half, zero);
            let moved = k.sub(x, by);
            let word = k.convert(moved, Elem::I32, Rounding::TowardZero);
            // Either nothing or the top bit, as the saturated negative of the float.
            let lift = k.neg(by);
            let lift = k.convert(lift, Elem::I32, Rounding::TowardZero);
            let word = k.xor(word, lift);
            k.bitcast(word, float.with_elem(Elem::U32))
        }
        _ => {
            let end = k.float(float, (1u64 << 31) as f32);
            let x = k.min(x, end);
            let word = k.convert(x, Elem::I32, Rounding::TowardZero);
            k.narrow_sat(word, to)
        }
    }
}
