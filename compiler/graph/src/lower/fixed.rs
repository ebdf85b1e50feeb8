//! Fixed-point numbers of 32 bits as gemmlowp computes with them, in tile operations.
//!
//! Not their meaning: that is `quantize/fixed_point.rs`, whose functions these repeat, operation by operation, for numbers that are known at run
//! time only.

use cranelite_tile::{Binary, Cond, KernelBuilder, Unary, Value};

fn int(k: &mut KernelBuilder, like: Value, n: i64) -> Value {
    k.int(k.ty(like), n)
}

/// x · 2^n, saturating.
fn shl_sat(k: &mut KernelBuilder, x: Value, n: u8) -> Value {
    let limit = 1i64 << (31 - n);
    let [limit, lowest, least, largest] = [limit, -limit, i64::from(i32::MIN), i64::from(i32::MAX)].map(|v| int(k, x, v));
    let (above, below) = (k.compare(Cond::Ge, x, limit), k.compare(Cond::Lt, x, lowest));
    let shifted = k.shl_imm(x, n);
    let shifted = k.select(below, least, shifted);
    k.select(above, largest, shifted)
}

/// (a + b) / 2 of two that are not negative, halves upwards.
fn half_sum(k: &mut KernelBuilder, a: Value, b: Value) -> Value {
    let (any, other) = (k.or(a, b), k.xor(a, b));
    let half = k.shr_imm(other, 1);
    k.sub(any, half)
}

/// `one_over_one_plus_x_for_x_in_0_1`.
fn one_over_one_plus_x(k: &mut KernelBuilder, a: Value) -> Value {
    let [largest, intercept, slope, one] = [i64::from(i32::MAX), 1_515_870_810, -1_010_580_540, 1 << 29].map(|v| int(k, a, v));
    let half_denominator = half_sum(k, a, largest);
    let product = k.mul_high_round(half_denominator, slope);
    let mut x = k.add(intercept, product);
    for _ in 0..3 {
        let product = k.mul_high_round(half_denominator, x);
        let error = k.sub(one, product);
        let step = k.mul_high_round(x, error);
        let step = shl_sat(k, step, 2);
        x = k.add(x, step);
    }
    shl_sat(k, x, 1)
}

/// `reciprocal_root` of what is not negative: the multiplier, and by how much to shift to the right.
pub fn reciprocal_root(k: &mut KernelBuilder, x: Value) -> (Value, Value) {
    let [zero, one] = [0, 1].map(|n| int(k, x, n));
    let (end, eleven, twelve) = (int(k, x, 1 << 29), int(k, x, 11), int(k, x, 12));
    let is_large = k.compare(Cond::Ge, x, end);
    let quarter = k.shr_imm(x, 2);
    let input = k.select(is_large, quarter, x);
    let right = k.select(is_large, twelve, eleven);
    let zeros = k.unary(Unary::LeadingZeros, input);
    let bits = k.sub(zeros, one);
    let pairs = k.shr_imm(bits, 1);
    let pairs = k.sub(pairs, one);
    let right = k.sub(right, pairs);
    let bits = k.shl_imm(pairs, 1);
    let input = k.binary(Binary::Shl, input, bits);
    let input = k.shr_imm(input, 1);
    let half_input = k.rounding_shr(input, 1);
    let half_three = int(k, x, (1 << 28) + (1 << 27));
    let mut y = int(k, x, 1 << 28);
    for _ in 0..5 {
        let square = k.mul_high_round(y, y);
        let cube = k.mul_high_round(square, y);
        let cube = shl_sat(k, cube, 6);
        let (more, less) = (k.mul_high_round(half_three, y), k.mul_high_round(half_input, cube));
        let next = k.sub(more, less);
        y = shl_sat(k, next, 3);
    }
    let half_root_of_2 = int(k, x, 1_518_500_250);
    let root = k.mul_high_round(y, half_root_of_2);
    let left = k.sub(zero, right);
    let left = k.max(left, zero);
    let root = k.binary(Binary::Shl, root, left);
    let right = k.max(right, zero);
    let largest = int(k, x, i64::from(i32::MAX));
    let is_small = k.compare(Cond::Le, x, one);
    (k.select(is_small, largest, root), k.select(is_small, zero, right))
}

/// `log_of_sum`.
pub fn log_of_sum(k: &mut KernelBuilder, x: Value) -> Value {
    let [one, integer_bits, quarter, largest] = [1, 12, 1 << 23, i64::from(i32::MAX)].map(|n| int(k, x, n));
    let [log_2, fourth_root_of_half, root_of_half] = [1_488_522_236, 1_805_811_301, 1_518_500_250].map(|n| int(k, x, n));
    let zeros_a = k.unary(Unary::LeadingZeros, x);
    let headroom_a = k.sub(zeros_a, one);
    let normal = k.binary(Binary::Shl, x, headroom_a);
    let normal = k.mul_high_round(normal, root_of_half);
    let r_a = shl_sat(k, normal, 1);
    let power = k.sub(integer_bits, zeros_a);
    let power = k.shl_imm(power, 25);
    let power_a = k.add(power, quarter);

    let z_b = k.mul_high_round(x, root_of_half);
    let zeros_b = k.unary(Unary::LeadingZeros, z_b);
    let headroom_b = k.sub(zeros_b, one);
    let shifted = k.binary(Binary::Shl, x, headroom_b);
    let saturates = k.compare(Cond::Gt, headroom_b, headroom_a);
    let r_b = k.select(saturates, largest, shifted);
    let power = k.sub(integer_bits, headroom_b);
    let power = k.shl_imm(power, 25);
    let power_b = k.sub(power, quarter);

    let (r, power) = (k.min(r_a, r_b), k.max(power_a, power_b));
    let p = half_sum(k, r, fourth_root_of_half);
    let q = k.sub(r, fourth_root_of_half);
    let q = k.add(q, q);
    let square = k.mul_high_round(q, q);
    let [alpha_n, alpha_d, alpha_i, alpha_f] = [117_049_297, 127_690_142, 1_057_819_769, 638_450_708].map(|n| int(k, x, n));
    let linear = k.mul_high_round(q, r);
    let cube = k.mul_high_round(q, square);
    let cube = k.mul_high_round(cube, alpha_n);
    let numerator = k.add(linear, cube);
    let sum = k.add(alpha_i, q);
    let product = k.mul_high_round(alpha_d, square);
    let sum = k.add(sum, product);
    let product = k.mul_high_round(p, sum);
    let other = k.mul_high_round(alpha_f, q);
    let denominator = k.add(product, other);
    let reciprocal = one_over_one_plus_x(k, denominator);
    let numerator = k.rounding_shr(numerator, 6);
    let whole = k.mul_high_round(power, log_2);
    let rest = k.mul_high_round(numerator, reciprocal);
    let log = k.add(whole, rest);
    shl_sat(k, log, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize;
    use cranelite_tile::{Elem, interpret};
    use proptest::prelude::*;

    fn both(f: impl Fn(&mut KernelBuilder, Value) -> [Value; 2], x: i32) -> [i32; 2] {
        let mut k = KernelBuilder::new("f");
        let (from, to) = (k.read("x"), k.write("y"));
        let v = k.load(Elem::I32.x(1), from.at(0));
        for (i, y) in f(&mut k, v).into_iter().enumerate() {
            k.store(to.at(4 * i), y);
        }
        let mut buffers = vec![x.to_le_bytes().to_vec(), vec![0; 8]];
        interpret::call(&k.finish(), &[], &mut buffers).expect("within bounds");
        [0, 4].map(|i| i32::from_le_bytes(buffers[1][i..i + 4].try_into().expect("four bytes")))
    }

    proptest! {
        #[test]
        fn roots_are_those_of_the_host(x in 0..=i32::MAX, shift in 0..31u32) {
            let x = x >> shift;
            let (root, shift) = quantize::reciprocal_root(x);
            let got = both(|k, x| reciprocal_root(k, x).into(), x);
            prop_assert_eq!(got, [root, -shift]);
        }

        #[test]
        fn logarithms_are_those_of_the_host(x in 1i32 << 19..=i32::MAX, shift in 0..12u32) {
            let x = (x >> shift).max(1 << 19);
            let got = both(|k, x| [log_of_sum(k, x), x], x);
            prop_assert_eq!(got[0], quantize::log_of_sum(x));
        }
    }
}
