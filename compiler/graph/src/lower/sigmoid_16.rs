//! The curves of `quantize/fixed_point_16.rs` for vectors: 16-bit numbers in i32 lanes.
//!
//! Not the int16 operators LOGISTIC and TANH, which look their curves up (`table.rs`). The idea: the same operations lane by lane, with
//! selects in place of branches.

use crate::quantize::fixed_point_16::{EXP_OF_MINUS_EIGHTH, EXP_OF_MINUS_POWERS, GUESS, HALF, ONE, ONE_Q2, THIRD};
use cranelite_tile::{Cond, KernelBuilder, Unary, Value};

fn number(k: &mut KernelBuilder, like: Value, n: i32) -> Value {
    k.int(k.ty(like), n.into())
}

/// a · b / 2^15, to nearest with halves upwards, for what stays below 1.
pub fn mul(k: &mut KernelBuilder, a: Value, b: Value) -> Value {
    let (product, half) = (k.mul(a, b), number(k, a, 1 << 14));
    let sum = k.add(product, half);
    k.shr_imm(sum, 15)
}

fn mul_by(k: &mut KernelBuilder, a: Value, b: i32) -> Value {
    let b = number(k, a, b);
    mul(k, a, b)
}

fn add_number(k: &mut KernelBuilder, a: Value, b: i32) -> Value {
    let b = number(k, a, b);
    k.add(a, b)
}

/// exp(a) in Q0 for a ≤ 0 in Q(integer_bits).
fn exp_on_negative_values(k: &mut KernelBuilder, a: Value, integer_bits: u32) -> Value {
    let fractional_bits = 15 - integer_bits;
    let quarter = 1 << (fractional_bits - 2);
    let mask = number(k, a, quarter - 1);
    let low = k.and(a, mask);
    let below_quarter = add_number(k, low, -quarter);
    let x = k.shl_imm(below_quarter, integer_bits as u8);
    let x = add_number(k, x, 1 << 12);
    let x2 = mul(k, x, x);
    let (x3, x4) = (mul(k, x2, x), mul(k, x2, x2));
    let quartic = k.rounding_shr(x4, 2);
    let sum = k.add(quartic, x3);
    let third = mul_by(k, sum, THIRD);
    let sum = k.add(third, x2);
    let beyond_linear = k.rounding_shr(sum, 1);
    let sum = k.add(x, beyond_linear);
    let product = mul_by(k, sum, EXP_OF_MINUS_EIGHTH);
    let mut result = add_number(k, product, EXP_OF_MINUS_EIGHTH);
    let rest = k.sub(below_quarter, a);
    let zero = number(k, a, 0);
    for (factor, power) in EXP_OF_MINUS_POWERS.into_iter().zip(-2..).filter(|(_, power)| *power < integer_bits as i32) {
        let bit = number(k, a, 1 << (fractional_bits as i32 + power));
        let bit = k.and(rest, bit);
        let is_set = k.compare(Cond::Ne, bit, zero);
        let product = mul_by(k, result, factor);
        result = k.select(is_set, product, result);
    }
    if 5 < integer_bits {
        let least = number(k, a, -(1 << (20 - integer_bits)));
        let is_below = k.compare(Cond::Lt, a, least);
        result = k.select(is_below, zero, result);
    }
    let one = number(k, a, ONE);
    let is_zero = k.compare(Cond::Eq, a, zero);
    k.select(is_zero, one, result)
}

/// 2 / (1 + a) in Q2 for a in [0, 1).
fn two_over_one_plus(k: &mut KernelBuilder, a: Value) -> Value {
    let sum = add_number(k, a, ONE + 1);
    let half_denominator = k.shr_imm(sum, 1);
    let product = mul_by(k, half_denominator, GUESS[1]);
    let mut x = add_number(k, product, GUESS[0]);
    for _ in 0..3 {
        let product = mul(k, half_denominator, x);
        let one = number(k, a, ONE_Q2);
        let error = k.sub(one, product);
        let step = mul(k, x, error);
        let step = k.shl_imm(step, 2);
        x = k.add(x, step);
    }
    x
}

fn minus_magnitude(k: &mut KernelBuilder, a: Value) -> Value {
    let magnitude = k.unary(Unary::Abs, a);
    k.neg(magnitude)
}

/// 1 / (1 + exp(−a)) in Q0 for a in Q3.
pub fn logistic(k: &mut KernelBuilder, a: Value) -> Value {
    let n = minus_magnitude(k, a);
    let e = exp_on_negative_values(k, n, 3);
    let x = two_over_one_plus(k, e);
    let x = k.shl_imm(x, 1);
    let one = number(k, a, ONE);
    let of_positive = k.min(x, one);
    let of_negative = k.sub(one, of_positive);
    let (zero, half) = (number(k, a, 0), number(k, a, HALF));
    let (is_positive, is_zero) = (k.compare(Cond::Gt, a, zero), k.compare(Cond::Eq, a, zero));
    let result = k.select(is_positive, of_positive, of_negative);
    k.select(is_zero, half, result)
}

/// The hyperbolic tangent in Q0 of a in Q(integer_bits), up to 6 integer bits.
pub fn tanh(k: &mut KernelBuilder, a: Value, integer_bits: u32) -> Value {
    let n = minus_magnitude(k, a);
    let e = exp_on_negative_values(k, n, integer_bits + 1);
    let x = two_over_one_plus(k, e);
    let x = add_number(k, x, -ONE_Q2);
    let x = k.shl_imm(x, 2);
    let one = number(k, a, ONE);
    let of_positive = k.min(x, one);
    let of_negative = k.neg(of_positive);
    let zero = number(k, a, 0);
    let (is_negative, is_zero) = (k.compare(Cond::Lt, a, zero), k.compare(Cond::Eq, a, zero));
    let result = k.select(is_negative, of_negative, of_positive);
    k.select(is_zero, zero, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::fixed_point_16;
    use cranelite_tile::{Buffer, BufferId, Call, Elem, KernelId, Program, Role, Step, interpret};

    /// All numbers, and every format of the curve of a cell.
    #[test]
    fn vectors_compute_what_the_scalar_functions_say() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let input: Vec<u8> = all.iter().flat_map(|v| v.to_le_bytes()).collect();
        for bits in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)] {
            let mut k = KernelBuilder::new("curve");
            let (x, y) = (k.read("x"), k.write("y"));
            k.each("i", 1 << 16, 64, |k, i| {
                let v = k.load(Elem::I16.x(64), x.at(i * 2));
                let v = k.widen(v, Elem::I32);
                let v = match bits {
                    None => logistic(k, v),
                    Some(bits) => tanh(k, v, bits),
                };
                let v = k.narrow(v, Elem::I16);
                k.store(y.at(i * 2), v);
            });
            let buffer =
                |role| Buffer { name: "b".into(), role, size_bytes: 1 << 17, align: 2, data: None, view: None, offset_bytes: None };
            let program = Program {
                name: "curve".into(),
                buffers: vec![buffer(Role::Input(0)), buffer(Role::Output(0))],
                kernels: vec![k.finish()],
                schedule: vec![Step::Call(Call {
                    kernel: KernelId(0),
                    buffers: vec![BufferId(0), BufferId(1)],
                    params: vec![],
                    advance: vec![],
                    operator: None,
                })],
            };
            let mut output = vec![0; 1 << 17];
            interpret::run(&program, &[&input], &mut [&mut output]).unwrap();
            let wanted = |a: i16| bits.map_or_else(|| fixed_point_16::logistic(a), |bits| fixed_point_16::tanh(a, bits));
            for (a, found) in all.iter().zip(output.chunks(2)) {
                assert_eq!(i16::from_le_bytes([found[0], found[1]]), wanted(*a), "of {a}, {bits:?} bits");
            }
        }
    }
}
