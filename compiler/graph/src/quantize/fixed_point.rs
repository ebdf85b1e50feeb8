//! Fixed-point numbers of 32 bits as gemmlowp computes with them: multiply, shift, exp, reciprocal, logistic.
//!
//! Not requantisation (the parent module) and not vector code. The idea: a raw `i32` in "Qm" stands for raw / 2^(31 − m); a product
//! of Qa and Qb is Q(a + b) and costs one rounding; every other operation either keeps m or rescales with saturation. The order of
//! operations is fixed, because each one rounds.

/// a · b / 2^31, to nearest with halves upwards, saturated in its only overflow, −1 · −1. (A tie of a negative product is
/// −2^30 modulo 2^31; the nudge and the truncating division of the reference move it towards zero.)
pub fn saturating_rounding_doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = a as i64 * b as i64;
    let nudge = if product >= 0 { 1i64 << 30 } else { 1 - (1i64 << 30) };
    ((product + nudge) / (1i64 << 31)) as i32
}

/// x / 2^exponent to nearest, halves away from zero. The exponent is 0 to 31.
pub fn rounding_divide_by_pot(x: i32, exponent: i32) -> i32 {
    let exponent = exponent.clamp(0, 31);
    let mask = ((1i64 << exponent) - 1) as i32;
    let remainder = x & mask;
    let threshold = (mask >> 1) + (x < 0) as i32;
    (x >> exponent) + (remainder > threshold) as i32
}

/// The same of an int16 `x`, as the reference computes it in 16 bits: from 16 on the mask has no bits of the remainder left, and the
/// result is −1 or 1.
pub fn shift_i16(x: i32, exponent: i32) -> i32 {
    if exponent < 16 { rounding_divide_by_pot(x, exponent) } else { (x >> 31) | 1 }
}

/// x · 2^exponent: saturating to the left, rounding to the right.
pub fn saturating_rounding_multiply_by_pot(x: i32, exponent: i32) -> i32 {
    if exponent <= 0 {
        return rounding_divide_by_pot(x, -exponent);
    }
    ((x as i64) << exponent.min(31)).clamp(i32::MIN as i64, i32::MAX as i64) as i32
}

/// (a + b) / 2, halves away from zero.
pub fn rounding_half_sum(a: i32, b: i32) -> i32 {
    let sum = a as i64 + b as i64;
    ((sum + if sum >= 0 { 1 } else { -1 }) / 2) as i32
}

use saturating_rounding_doubling_high_mul as mul;

/// exp(a) for a in [−1/4, 0), both Q0: a Taylor polynomial of degree 4 around −1/8.
fn exp_near_zero(a: i32) -> i32 {
    const EXP_OF_MINUS_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a.wrapping_add(1 << 28);
    let x2 = mul(x, x);
    let x3 = mul(x2, x);
    let x4 = mul(x2, x2);
    let cubic_and_quartic = mul(rounding_divide_by_pot(x4, 2).wrapping_add(x3), THIRD);
    let beyond_linear = rounding_divide_by_pot(cubic_and_quartic.wrapping_add(x2), 1);
    EXP_OF_MINUS_EIGHTH.wrapping_add(mul(EXP_OF_MINUS_EIGHTH, x.wrapping_add(beyond_linear)))
}

/// exp(−2^k) in Q0 for k = −2, −1, … 4.
const EXP_OF_MINUS_POWERS: [i32; 7] = [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];

/// exp(a) in Q0 for a ≤ 0 in Q(integer_bits), up to 29 integer bits: the part below 1/4 by the polynomial, the rest by one factor
/// per bit.
pub fn exp_on_negative_values(a: i32, integer_bits: u32) -> i32 {
    if a == 0 {
        return i32::MAX;
    }
    let integer_bits = integer_bits.min(29) as i32;
    let fractional_bits = 31 - integer_bits;
    if integer_bits > 5 && a < -(1 << (36 - integer_bits)) {
        return 0; // below −32
    }
    let quarter = 1 << (fractional_bits - 2);
    let below_quarter = (a & (quarter - 1)) - quarter;
    let mut result = exp_near_zero(saturating_rounding_multiply_by_pot(below_quarter, integer_bits));
    let rest = below_quarter.wrapping_sub(a);
    for (factor, power) in EXP_OF_MINUS_POWERS.into_iter().zip(-2..) {
        if integer_bits > power && rest & (1 << (fractional_bits + power)) != 0 {
            result = mul(result, factor);
        }
    }
    result
}

/// 1 / (1 + a) for a in [0, 1), Q0 to Q0: three Newton steps for the reciprocal of (1 + a) / 2 from the line 48/17 − 32/17 · x.
pub fn one_over_one_plus_x_for_x_in_0_1(a: i32) -> i32 {
    const ONE_Q2: i32 = 1 << 29;
    let half_denominator = rounding_half_sum(a, i32::MAX);
    let mut x = 1_515_870_810i32.wrapping_add(mul(half_denominator, -1_010_580_540));
    for _ in 0..3 {
        let error = ONE_Q2.wrapping_sub(mul(half_denominator, x));
        x = x.wrapping_add(saturating_rounding_multiply_by_pot(mul(x, error), 2));
    }
    saturating_rounding_multiply_by_pot(x, 1)
}

/// 1 / (1 + exp(−a)) in Q0 for a in Q(integer_bits).
pub fn logistic(a: i32, integer_bits: u32) -> i32 {
    if a == 0 {
        return 1 << 30;
    }
    let minus_magnitude = if a > 0 { a.wrapping_neg() } else { a };
    let of_magnitude = one_over_one_plus_x_for_x_in_0_1(exp_on_negative_values(minus_magnitude, integer_bits));
    if a > 0 { of_magnitude } else { i32::MAX - of_magnitude }
}

/// The reciprocal of a positive x with `integer_bits`: (r, n) with 1 / x ≈ r / 2^31 / 2^n and r in Q0.
pub fn get_reciprocal(x: i32, integer_bits: u32) -> (i32, i32) {
    let headroom = (x as u32).leading_zeros();
    let mantissa_minus_one = (x as u32).wrapping_shl(headroom).wrapping_sub(1 << 31) as i32;
    (one_over_one_plus_x_for_x_in_0_1(mantissa_minus_one), integer_bits as i32 - headroom as i32)
}

/// 1 / √x of a positive integer as a multiplier and a shift, for `multiply_by_quantized_multiplier`.
pub fn reciprocal_root(x: i32) -> (i32, i32) {
    if x <= 1 {
        return (i32::MAX, 0);
    }
    let (mut input, mut right) = (x, 11);
    while input >= 1 << 29 {
        input /= 4;
        right += 1;
    }
    let pairs = (input.leading_zeros() as i32 - 1) / 2 - 1;
    right -= pairs;
    input <<= 2 * pairs;
    // Newton's method in Q3, from 1: y · 3/2 − x / 2 · y³.
    let half_input = rounding_divide_by_pot(input >> 1, 1);
    let mut y = 1 << 28;
    for _ in 0..5 {
        let cube = saturating_rounding_multiply_by_pot(mul(mul(y, y), y), 6);
        let next = mul((1 << 28) + (1 << 27), y).wrapping_sub(mul(half_input, cube));
        y = saturating_rounding_multiply_by_pot(next, 3);
    }
    // √2 / 2 in Q0.
    let mut root = mul(y, 1_518_500_250);
    if right < 0 {
        root = root.wrapping_shl(-right as u32);
        right = 0;
    }
    (root, -right)
}

/// ln(x) in Q5 of x ≥ 1 in Q12.
pub fn log_of_sum(x: i32) -> i32 {
    const LOG_2: i32 = 1_488_522_236;
    const FOURTH_ROOT_OF_HALF: i32 = 1_805_811_301;
    const ROOT_OF_HALF: i32 = 1_518_500_250;
    const QUARTER_Q6: i32 = 1 << 23;
    // x is 2^power · r, with r about 2^(-1/4) between two powers of two: the better of two ways to say it.
    let zeros = x.leading_zeros() as i32;
    let normal = saturating_rounding_multiply_by_pot(x, zeros - 1);
    let r_a = saturating_rounding_multiply_by_pot(mul(normal, ROOT_OF_HALF), 1);
    let power_a = saturating_rounding_multiply_by_pot(12 - zeros, 25).saturating_add(QUARTER_Q6);
    let headroom = mul(x, ROOT_OF_HALF).leading_zeros() as i32 - 1;
    let r_b = saturating_rounding_multiply_by_pot(x, headroom);
    let power_b = saturating_rounding_multiply_by_pot(12 - headroom, 25).saturating_sub(QUARTER_Q6);
    let (r, power) = (r_a.min(r_b), power_a.max(power_b));
    // The logarithm of r: a quotient of polynomials.
    let p = rounding_half_sum(r, FOURTH_ROOT_OF_HALF);
    let q = r.wrapping_sub(FOURTH_ROOT_OF_HALF);
    let q = q.wrapping_add(q);
    let square = mul(q, q);
    let numerator = mul(q, r).wrapping_add(mul(mul(q, square), 117_049_297));
    let polynomial = 1_057_819_769i32.wrapping_add(q).wrapping_add(mul(127_690_142, square));
    let denominator_minus_one = mul(p, polynomial).wrapping_add(mul(638_450_708, q));
    let quotient = mul(rounding_divide_by_pot(numerator, 6), one_over_one_plus_x_for_x_in_0_1(denominator_minus_one));
    saturating_rounding_multiply_by_pot(mul(power, LOG_2).wrapping_add(quotient), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn real(raw: i32, integer_bits: u32) -> f64 {
        raw as f64 / (1i64 << (31 - integer_bits)) as f64
    }

    #[test]
    fn high_multiply() {
        assert_eq!(mul(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(mul(i32::MIN, i32::MAX), -i32::MAX);
        assert_eq!(mul(1, 1 << 30), 1);
        assert_eq!(mul(-1, 1 << 30), 0);
        assert_eq!(mul(3, 1 << 30), 2);
        assert_eq!(mul(-3, 1 << 30), -1);
    }

    #[test]
    fn shifts() {
        for (x, e, want) in [(5, 1, 3), (-5, 1, -3), (4, 3, 1), (-4, 3, -1), (3, 3, 0), (-3, 3, 0), (7, 0, 7), (i32::MIN, 31, -1)] {
            assert_eq!(rounding_divide_by_pot(x, e), want, "{x} / 2^{e}");
        }
        assert_eq!(rounding_divide_by_pot(i32::MAX, 31), 1);
        assert_eq!(saturating_rounding_multiply_by_pot(1 << 29, 1), 1 << 30);
        assert_eq!(saturating_rounding_multiply_by_pot(1 << 30, 1), i32::MAX);
        assert_eq!(saturating_rounding_multiply_by_pot(-(1 << 30) - 1, 1), i32::MIN);
        assert_eq!(rounding_half_sum(1, 2), 2);
        assert_eq!(rounding_half_sum(-1, -2), -2);
    }

    #[test]
    fn special_points() {
        assert_eq!(exp_on_negative_values(0, 5), i32::MAX);
        assert_eq!(logistic(0, 4), 1 << 30);
        assert_eq!(exp_on_negative_values(i32::MIN, 12), 0);
        let (r, n) = get_reciprocal(3 << 19, 12);
        assert!((real(r, 0) / (1i64 << n) as f64 - 1.0 / 3.0).abs() < 1e-8, "{r} {n}");
    }

    #[test]
    fn logarithms() {
        assert_eq!(log_of_sum(1 << 19), 0);
        for x in [1.0, 1.5, 2.0, std::f64::consts::E, 10.0, 1000.0, 4095.0] {
            let got = real(log_of_sum((x * f64::from(1 << 19)) as i32), 5);
            assert!((got - libm::log(x)).abs() < 1e-5, "{x}: {got}");
        }
    }

    proptest! {
        #[test]
        fn exp_is_close(raw in i32::MIN..0, bits in 0u32..7) {
            let got = real(exp_on_negative_values(raw, bits), 0);
            prop_assert!((got - libm::exp(real(raw, bits))).abs() < 1e-6);
        }

        #[test]
        fn reciprocal_is_close(raw in 0..=i32::MAX) {
            let got = real(one_over_one_plus_x_for_x_in_0_1(raw), 0);
            prop_assert!((got - 1.0 / (1.0 + real(raw, 0))).abs() < 1e-8);
        }

        #[test]
        fn logistic_is_close(raw in (i32::MIN + 1)..=i32::MAX) {
            let got = real(logistic(raw, 4), 0);
            prop_assert!((got - 1.0 / (1.0 + libm::exp(-real(raw, 4)))).abs() < 1e-6);
        }
    }
}
