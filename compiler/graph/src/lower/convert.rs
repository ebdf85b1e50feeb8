//! Between real numbers and integers: the vectors of QUANTIZE and DEQUANTIZE.
//!
//! Not requantisation, which stays in integers. The idea: scales and zero points per channel are one more input, broadcast along all
//! other dimensions.

use super::Context;
use super::elementwise::{Elementwise, Operand};
use super::requantize::elem;
use crate::graph::Node;
use crate::quantize::element_range;
use crate::quantize::quotient::{HALF, OVERFLOW, Quotient};
use crate::tensor::{Quantization, TensorType};
use cranelite_tile::{Cond, Elem, KernelBuilder, Rounding, Unary, Value};

/// Scale and zero point of every lane: numbers in the code, or vectors that come as further inputs.
struct Parameters<'a> {
    quantization: &'a Quantization,
    /// Positions of the inputs.
    scales: Option<usize>,
    zero_points: Option<usize>,
}

impl<'a> Parameters<'a> {
    /// Of `ty`; what differs from channel to channel becomes an input of `e`.
    fn new(cx: &mut Context, mut e: Elementwise, ty: &'a TensorType) -> (Elementwise, Self) {
        let quantization = ty.quantization.as_deref().expect("quantisation, checked by infer");
        let mut p = Parameters { quantization, scales: None, zero_points: None };
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

pub fn dequantize(cx: &mut Context, node: &Node) {
    let ty = cx.input_type(node, 0);
    let e = Elementwise::of_node(cx, format!("dequantize_{}", ty.element), node);
    let (e, p) = Parameters::new(cx, e, ty);
    e.lower(cx, |k, x, _| {
        let wide = k.widen(x[0], Elem::I32);
        let q = match p.zero_point(k, x) {
            Some(z) => k.sub(wide, z),
            None => wide,
        };
        let (real, scale) = (k.to_float(q, Elem::F32), p.scale(k, x));
        k.mul(real, scale)
    });
}

/// f32 to 8 or 16 bits: halves away from zero by adding to the magnitude a half, then cutting.
pub fn quantize(cx: &mut Context, node: &Node) {
    let ty = cx.output_type(node, 0);
    let e = Elementwise::of_node(cx, format!("quantize_{}", ty.element), node);
    let (e, p) = Parameters::new(cx, e, ty);
    let range = element_range(ty.element).expect("an integer, checked by infer");
    let target = elem(ty.element).expect("an integer, checked by infer");
    let q = p.quantization;
    let proved = match cx.machine.fma && q.is_per_tensor() {
        true => Quotient::prove(q.scales[0], q.zero_points[0] as i32, range),
        false => None,
    };
    let form = if proved.is_some() { "quotient" } else { "division" };
    cx.note_rescaling(form, q.scales.len());
    e.lower(cx, |k, x, _| {
        let float = k.ty(x[0]);
        let quotient = match proved {
            Some(Quotient { high, low }) => {
                let (high, low) = (k.float(float, high), k.float(float, low));
                let rest = k.mul(x[0], low);
                k.fma(x[0], high, rest)
            }
            None => {
                let scale = p.scale(k, x);
                k.div(x[0], scale)
            }
        };
        let half = k.float(float, HALF);
        let half = with_sign_of(k, half, x[0]);
        let sum = k.add(quotient, half);
        // NaN and what does not fit become the smallest integer, as on x86; the zero point may take it round to the largest.
        let (magnitude, limit, lowest) = (k.unary(Unary::Abs, sum), k.float(float, OVERFLOW), k.float(float, -OVERFLOW));
        let fits = k.compare(Cond::Lt, magnitude, limit);
        let sum = k.select(fits, sum, lowest);
        let q = k.convert(sum, Elem::I32, Rounding::TowardZero);
        let q = match p.zero_point(k, x) {
            Some(z) => k.add(q, z),
            None => q,
        };
        k.narrow_sat(q, target)
    });
}

/// A positive float with the sign of another.
fn with_sign_of(k: &mut KernelBuilder, magnitude: Value, x: Value) -> Value {
    let (float, int) = (k.ty(x), k.ty(x).with_elem(Elem::I32));
    let (bits, top, magnitude) = (k.bitcast(x, int), k.int(int, i32::MIN.into()), k.bitcast(magnitude, int));
    let sign = k.and(bits, top);
    let bits = k.or(sign, magnitude);
    k.bitcast(bits, float)
}

/// Half precision to single: exponent and mantissa move, then a multiplication corrects the bias of the exponent, which also makes
/// denormals right; infinity and NaN keep the largest exponent.
pub fn from_f16(cx: &mut Context, node: &Node) {
    Elementwise::of_node(cx, "dequantize_f16", node).lower(cx, |k, x, _| {
        let half = k.widen(x[0], Elem::I32);
        let ty = k.ty(half);
        let (low, sign) = (k.int(ty, 0x7FFF), k.int(ty, 0x8000));
        let magnitude = k.and(half, low);
        let bits = k.shl_imm(magnitude, 13);
        let float = ty.with_elem(Elem::F32);
        let (real, power) = (k.bitcast(bits, float), k.float(float, f32::from_bits((127 + 112) << 23)));
        let real = k.mul(real, power);
        let (largest, exponent) = (k.int(ty, 0x7C00), k.int(ty, 0xFF << 23));
        let special = k.compare(Cond::Ge, magnitude, largest);
        let special_bits = k.or(bits, exponent);
        let bits = k.bitcast(real, ty);
        let bits = k.select(special, special_bits, bits);
        let sign = k.and(half, sign);
        let sign = k.shl_imm(sign, 16);
        let bits = k.or(bits, sign);
        k.bitcast(bits, float)
    });
}
