//! Sums and differences of quantised tensors, in the fixed-point arithmetic of the reference.
//!
//! Not MUL, whose product needs no common scale. The idea: both operands are raised by some bits and brought to twice the larger of
//! their scales, added, and the sum is brought to the scale of the result: three requantisations, of which the operand with the
//! larger scale needs none, because half of it is a shift. Of bytes all pairs can be tried, so that most sums are two multiplications
//! in f32 with the same results.

use super::pointwise::Pointwise;
use super::proved::{Affine, FixedAffine, byte_values, float_of_byte, i32_lanes};
use super::requantize::{INTEGER, Scale, Target, shift_range};
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::attributes::Activation;
use crate::quantize::{checked_log2, multiply_by_quantized_multiplier, quantize_multiplier, shift_i16};
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Binary, KernelBuilder, Machine, Value};

/// How two operands come to one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// Zero point, multiplier and shift of each, and of the result.
    General { raise: u8, operands: [(i32, i32, i32); 2], result: (i32, i32) },
    /// Of int16 with scales that are powers of two: rounding shifts to the right, as `shift_i16`.
    PowerOfTwo { shifts: [u8; 2] },
}

impl Sum {
    pub fn new(inputs: [&TensorType; 2], output: &TensorType, pot_scale_int16: bool) -> Result<Sum, Diagnostic> {
        let all = [inputs[0], inputs[1], output];
        let scales = all.map(|t| t.scale().unwrap_or(1.0));
        let zero_points = all.map(|t| t.zero_point() as i32);
        let wide = output.element == ElementType::I16;
        if wide && pot_scale_int16 && zero_points == [0; 3] {
            let logs = scales.map(checked_log2);
            if let [Some((a, true)), Some((b, true)), Some((y, true))] = logs {
                return match (y - a, y - b) {
                    (0, s) | (s, 0) if (0..=31).contains(&s) => Ok(Sum::PowerOfTwo { shifts: [(y - a) as u8, (y - b) as u8] }),
                    _ => Err(Diagnostic::new(Code::SCALE, "scales of int16 that are powers of two do not fit each other")
                        .expected("one input with the scale of the output, none with a larger one")
                        .found(format!("2^{a} and 2^{b} to 2^{y}"))),
                };
            }
        }
        let raise = if wide { 15 } else { 20 };
        let twice_larger = 2.0 * f64::from(scales[0].max(scales[1]));
        let operand = |i: usize| {
            let (multiplier, shift) = quantize_multiplier(f64::from(scales[i]) / twice_larger);
            (zero_points[i], multiplier, shift)
        };
        let result = quantize_multiplier(twice_larger / (f64::from(1 << raise) * f64::from(scales[2])));
        shift_range(&[result.1])?;
        Ok(Sum::General { raise, operands: [operand(0), operand(1)], result })
    }

    /// Both operands as i32 lanes in their common scale, added or subtracted.
    fn combine(self, k: &mut KernelBuilder, x: &[Value], op: Binary) -> Value {
        let terms: Vec<Value> = (0..2).map(|i| self.term(k, x[i], i)).collect();
        k.binary(op, terms[0], terms[1])
    }

    fn term(self, k: &mut KernelBuilder, x: Value, i: usize) -> Value {
        let x = i32_lanes(k, x);
        let ty = k.ty(x);
        match self {
            Sum::PowerOfTwo { shifts } => match shifts[i] {
                0 => x,
                n @ 1..=15 => k.rounding_shr(x, n),
                _ => {
                    let (sign, one) = (k.shr_imm(x, 31), k.int(ty, 1));
                    k.or(sign, one)
                }
            },
            Sum::General { raise, operands, .. } => {
                let (zero_point, multiplier, shift) = operands[i];
                let zero_point = k.int(ty, zero_point.into());
                let x = k.sub(x, zero_point);
                if (multiplier, shift) == (1 << 30, 0) {
                    return k.shl_imm(x, raise - 1);
                }
                let raised = k.shl_imm(x, raise);
                Scale::constant(k, ty.lanes as usize, multiplier, shift).apply(k, raised)
            }
        }
    }

    /// Before zero point and clamp.
    fn result(self, k: &mut KernelBuilder, sum: Value) -> Value {
        match self {
            Sum::PowerOfTwo { .. } => sum,
            Sum::General { result: (multiplier, shift), .. } => {
                Scale::constant(k, k.ty(sum).lanes as usize, multiplier, shift).apply(k, sum)
            }
        }
    }

    /// Operand `i` in the common scale, as the reference computes it.
    fn scalar_term(self, x: i32, i: usize) -> i32 {
        match self {
            Sum::PowerOfTwo { shifts } => shift_i16(x, shifts[i].into()),
            Sum::General { raise, operands, .. } => {
                let (zero_point, multiplier, shift) = operands[i];
                multiply_by_quantized_multiplier((x - zero_point) << raise, multiplier, shift)
            }
        }
    }

    /// What the reference makes of a sum of terms, before zero point and clamp.
    fn scalar_result(self, sum: i32) -> i32 {
        match self {
            Sum::PowerOfTwo { .. } => sum,
            Sum::General { result: (multiplier, shift), .. } => multiply_by_quantized_multiplier(sum, multiplier, shift),
        }
    }

    /// The result for all pairs of bytes, and the real factors.
    fn all_pairs(self, types: [&TensorType; 3], op: Binary, values: &[i32]) -> (Vec<i32>, [f64; 2]) {
        let [firsts, seconds] = [0, 1].map(|i| values.iter().map(|&v| self.scalar_term(v, i)).collect::<Vec<_>>());
        let mut wanted = Vec::with_capacity(values.len() * values.len());
        for a in firsts {
            wanted.extend(seconds.iter().map(|&b| self.scalar_result(if op == Binary::Sub { a - b } else { a + b })));
        }
        let [a, b, y] = types.map(|t| f64::from(t.scale().unwrap_or(1.0)));
        (wanted, [a / y, if op == Binary::Sub { -b / y } else { b / y }])
    }

    /// The sum in f32, if it is the same for all pairs of bytes.
    fn proved(self, m: &Machine, types: [&TensorType; 3], op: Binary, target: Target) -> Option<Affine> {
        let values = byte_values(target.elem)?;
        let (wanted, factors) = self.all_pairs(types, op, &values);
        let floats: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        Affine::of_two(m, [&floats, &floats], factors, &wanted, target)
    }

    /// The same in integers.
    fn proved_fixed(self, types: [&TensorType; 3], op: Binary, target: Target) -> Option<FixedAffine> {
        let values = byte_values(target.elem)?;
        let (wanted, factors) = self.all_pairs(types, op, &values);
        FixedAffine::of_two([&values, &values], factors, &wanted, target)
    }
}

/// `a op b` of quantised inputs, `op` being Add or Sub.
pub fn pointwise<'a>(
    m: &'a Machine,
    inputs: [&TensorType; 2],
    output: &TensorType,
    op: Binary,
    pot_scale_int16: bool,
    activation: Activation,
) -> Result<Pointwise<'a>, Diagnostic> {
    let sum = Sum::new(inputs, output, pot_scale_int16)?;
    let target = Target::new(output, activation)?;
    if m.mul_high_add
        && let Some(affine) = sum.proved_fixed([inputs[0], inputs[1], output], op, target)
    {
        return Ok(Pointwise::integers(affine.target(), FixedAffine::FORM, move |k, x| {
            let terms = [i32_lanes(k, x[0]), i32_lanes(k, x[1])];
            affine.rounded(k, terms)
        }));
    }
    let affine = if m.has_vectors() { sum.proved(m, [inputs[0], inputs[1], output], op, target) } else { None };
    Ok(match affine {
        Some(affine) => Pointwise::integers(affine.target(), affine.form(), move |k, x| {
            let terms = [float_of_byte(k, x[0]), float_of_byte(k, x[1])];
            affine.rounded(k, m, &terms)
        }),
        None => Pointwise::integers(target, INTEGER, move |k, x| {
            let total = sum.combine(k, x, op);
            sum.result(k, total)
        }),
    })
}
