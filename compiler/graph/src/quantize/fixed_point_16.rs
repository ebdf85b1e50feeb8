//! Fixed-point numbers of 16 bits as gemmlowp computes with them: exp, logistic, tanh.
//!
//! Not the same with 32 bits (`fixed_point.rs`), nor what kernels do (`lower/sigmoid_16.rs`). The idea: a raw `i16` in "Qm" stands for
//! raw / 2^(15 − m). No sum leaves 16 bits on the way, so all is computed in `i32`; a test goes through all numbers.

/// Constants of 32 bits, rounded to 16: exp(−2^k) for k = −2, −1, … 4.
pub const EXP_OF_MINUS_POWERS: [i32; 7] = [25520, 19875, 12055, 4435, 600, 11, 0];
pub const EXP_OF_MINUS_EIGHTH: i32 = 28918;
pub const THIRD: i32 = 10923;
/// 48/17 and −32/17 in Q2, between which lies the first guess of a reciprocal.
pub const GUESS: [i32; 2] = [23130, -15420];
pub const ONE: i32 = i16::MAX as i32;
/// In Q2.
pub const ONE_Q2: i32 = 1 << 13;
/// In Q0.
pub const HALF: i32 = 1 << 14;

/// a · b / 2^15, to nearest with halves upwards.
fn mul(a: i32, b: i32) -> i32 {
    ((a * b + (1 << 14)) >> 15).min(ONE)
}

/// x · 2^n, saturated.
fn shl(x: i32, n: u32) -> i32 {
    (x << n).clamp(i16::MIN.into(), ONE)
}

use super::fixed_point::rounding_divide_by_pot as shr;

/// exp(a) in Q0 for a ≤ 0 in Q(integer_bits).
fn exp_on_negative_values(a: i32, integer_bits: u32) -> i32 {
    let fractional_bits = 15 - integer_bits;
    let quarter = 1 << (fractional_bits - 2);
    let below_quarter = (a & (quarter - 1)) - quarter;
    let x = shl(below_quarter, integer_bits) + (1 << 12);
    let x2 = mul(x, x);
    let (x3, x4) = (mul(x2, x), mul(x2, x2));
    let beyond_linear = shr(mul(shr(x4, 2) + x3, THIRD) + x2, 1);
    let mut result = (EXP_OF_MINUS_EIGHTH + mul(EXP_OF_MINUS_EIGHTH, x + beyond_linear)).min(ONE);
    let rest = below_quarter - a;
    for (factor, power) in EXP_OF_MINUS_POWERS.into_iter().zip(-2..) {
        if power < integer_bits as i32 && rest & (1 << (fractional_bits as i32 + power)) != 0 {
            result = mul(result, factor);
        }
    }
    if 5 < integer_bits && a < -(1 << (20 - integer_bits)) {
        result = 0; // below −32
    }
    if a == 0 { ONE } else { result }
}

/// 2 / (1 + a) in Q2 for a in [0, 1), by three Newton steps.
fn two_over_one_plus(a: i32) -> i32 {
    let half_denominator = (a + ONE + 1) >> 1;
    let mut x = GUESS[0] + mul(half_denominator, GUESS[1]);
    for _ in 0..3 {
        let error = ONE_Q2 - mul(half_denominator, x);
        x += shl(mul(x, error), 2);
    }
    x
}

/// 1 / (1 + exp(−a)) in Q0 for a in Q3.
pub fn logistic(a: i16) -> i16 {
    let of_magnitude = shl(two_over_one_plus(exp_on_negative_values(-i32::from(a).abs(), 3)), 1);
    let result = match a {
        0 => HALF,
        1.. => of_magnitude,
        _ => ONE - of_magnitude,
    };
    result as i16
}

/// The hyperbolic tangent in Q0 of a in Q(integer_bits), up to 6 integer bits.
pub fn tanh(a: i16, integer_bits: u32) -> i16 {
    // Of twice the number: one integer bit more.
    let of_magnitude = shl(two_over_one_plus(exp_on_negative_values(-i32::from(a).abs(), integer_bits + 1)) - ONE_Q2, 2);
    (of_magnitude * i32::from(a).signum()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_close_to_the_real_ones() {
        for a in i16::MIN..=i16::MAX {
            let real = |bits: i32| f64::from(a) / f64::from(1 << (15 - bits));
            let error = f64::from(logistic(a)) / 32768.0 - 1.0 / (1.0 + libm::exp(-real(3)));
            assert!(error.abs() < 2e-3, "logistic of {a}: {error}");
            for bits in 0..=6 {
                let error = f64::from(tanh(a, bits as u32)) / 32768.0 - libm::tanh(real(bits));
                assert!(error.abs() < 3e-3, "tanh of {a} in Q{bits}: {error}");
            }
        }
    }

    /// Some numbers of gemmlowp's own functions.
    #[test]
    fn edges() {
        assert_eq!([logistic(0), tanh(0, 3)], [16384, 0]);
        assert_eq!([tanh(i16::MAX, 6), tanh(i16::MIN, 6)], [i16::MAX, -i16::MAX]);
    }
}
