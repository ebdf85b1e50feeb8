//! Arithmetic of quantised numbers: every rounding, multiplier, clamp and table of the reference, one scalar function each.
//!
//! Not an operator and not a kernel: lowerings take parameters and tables from here, and emitters reproduce these functions lane by
//! lane. The idea to hold in mind: the oracle is TensorFlow Lite's reference kernels in their default build, so the i32 path rounds
//! *twice* (once at the high multiply, once at the shift), and nothing here may be more exact than they are.
//!
//! Which variant of the reference each function follows:
//!
//! | what | variant |
//! |---|---|
//! | i32 accumulators | `MultiplyByQuantizedMultiplier`, double rounding (the build without `TFLITE_SINGLE_ROUNDING`) |
//! | i64 accumulators (int16 activations with int64 bias) | 16-bit reduced multiplier, single rounding |
//! | FULLY_CONNECTED, 8-bit weights | the sum times the real scale in f64, rounded once, half away from zero (`multiply_by_real`) |
//! | LOGISTIC int8, uint8 | 256-entry table, computed in f32 (`table::lut_8bit`) |
//! | TANH int8, uint8 | 256-entry table, computed in f32 |
//! | TANH int16 | interpolation in the table of LOGISTIC (`table::tanh_i16`) |
//! | RSQRT int8 | five steps of Newton's method in fixed point (`fixed_point::reciprocal_root`) |
//! | RSQRT int16 | an interpolated 513-entry table, computed in f32 (`table::lut_i16_f32`) |
//! | EXP, LOG, ELU, GELU int8, uint8 | 256-entry table, computed in f32 |
//! | EXP, LOG int16 | an interpolated 513-entry table, computed in f32 |
//! | HARD_SWISH int8, uint8 | 16-bit fixed point (`HardSwish`) |
//! | LEAKY_RELU | the magnitude of a negative alpha is multiplied, then the sign changes |
//! | DIV int8, uint8 | a fixed-point reciprocal (`fixed_point::get_reciprocal`) |
//! | LOGISTIC int16 | interpolation in a 256-entry table of sigmoid(i/24) (`table::logistic_i16`) |
//! | SOFTMAX int8, uint8 | fixed-point exp in Q5.26 (`fixed_point`), not the float tables of the optimised kernel |
//! | SOFTMAX int16 | two interpolated 513-entry tables (`table::softmax_exp_lut_i16` and `..._reciprocal_...`) |
//! | L2_NORMALIZATION int8, uint8 | five steps of Newton's method in fixed point (`fixed_point::reciprocal_root`), at run time |
//! | LOG_SOFTMAX int8, uint8 | exponentials as in SOFTMAX, and a logarithm in fixed point (`fixed_point::log_of_sum`) |
//! | RESIZE_BILINEAR int8, int16 | places and weights in 1024ths (`places`), one rounding half away from zero; uint8 in f32, cut off after adding 0.5 |
//! | QUANTIZE f32 | division by the f32 scale, then round half away from zero |
//!
//! Where the C++ reference has undefined behaviour (overflow in a cast or a shift) these functions are total: casts saturate, NaN
//! becomes 0, additions and shifts wrap. One cast is that of the machine that recorded the goldens, x86: in QUANTIZE NaN and all that does
//! not fit 32 bits become `i32::MIN`, to which the zero point is added before the clamp.

pub mod doubles;
#[cfg(test)]
pub(crate) mod edges;
pub mod fixed_point;
pub mod fixed_point_16;
pub mod places;
pub mod products;
pub mod quotient;
pub mod resample;
pub mod steps;
pub mod table;

pub use fixed_point::*;
pub use table::*;

use crate::ops::attributes::Activation;
use crate::tensor::ElementType;

/// Rounds to the nearest integer, halves away from zero.
pub fn round_half_away(x: f64) -> f64 {
    libm::round(x)
}

/// Rounds to the nearest integer, halves to even ones, as NumPy does.
pub fn round_half_even(x: f64) -> f64 {
    libm::rint(x)
}

/// `round_half_away` in single precision.
pub fn round_half_away_f32(x: f32) -> f32 {
    libm::roundf(x)
}

/// e^x in f32, correctly rounded in all but vanishingly few cases, as the C library that recorded the goldens does. A single
/// precision polynomial that is off by one unit would now and then move an entry of a table across a rounding boundary.
pub fn exp_f32(x: f32) -> f32 {
    libm::exp(x as f64) as f32
}

/// Smallest and largest integer of an integer type of at most 32 bits.
pub fn element_range(element: ElementType) -> Option<(i32, i32)> {
    use ElementType::*;
    Some(match element {
        I2 => (-2, 1),
        I4 => (-8, 7),
        U4 => (0, 15),
        I8 => (i8::MIN as i32, i8::MAX as i32),
        U8 => (0, u8::MAX as i32),
        I16 => (i16::MIN as i32, i16::MAX as i32),
        U16 => (0, u16::MAX as i32),
        I32 => (i32::MIN, i32::MAX),
        _ => return None,
    })
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Multipliers
// ---------------------------------------------------------------------------------------------------------------------------------

/// A real multiplier as (multiplier, shift) with real ≈ multiplier / 2^31 · 2^shift and multiplier in [2^30, 2^31).
///
/// Below about 2^-32 the result is (0, 0). Shifts above 30 are kept: only the single-rounding build saturates them. A multiplier
/// that is not finite, which the reference aborts on, has the shift 31, which no machine has.
pub fn quantize_multiplier(real: f64) -> (i32, i32) {
    if real == 0.0 || real.is_nan() {
        return (0, 0);
    }
    if real.is_infinite() {
        return (if real > 0.0 { i32::MAX } else { -i32::MAX }, 31);
    }
    let (fraction, mut shift) = libm::frexp(real);
    let mut fixed = round_half_away(fraction * (1i64 << 31) as f64) as i64;
    if fixed == 1 << 31 {
        fixed /= 2;
        shift += 1;
    }
    if shift < -31 {
        return (0, 0);
    }
    (fixed as i32, shift)
}

/// `quantize_multiplier` of a multiplier in [0, 1); `None` outside, or when it rounds up to 1, where the reference aborts.
pub fn quantize_multiplier_smaller_than_one_exp(real: f64) -> Option<(i32, i32)> {
    if !(0.0..1.0).contains(&real) {
        return None;
    }
    let (multiplier, shift) = quantize_multiplier(real);
    (shift <= 0).then_some((multiplier, shift))
}

/// Multiplier of CONV_2D and DEPTHWISE_CONV_2D per channel (int8, int16 activations), and of FULLY_CONNECTED but with int16 weights per
/// tensor: the product of the scales in f64.
pub fn convolution_multiplier(input_scale: f32, filter_scale: f32, output_scale: f32) -> f64 {
    input_scale as f64 * filter_scale as f64 / output_scale as f64
}

/// Multiplier of the per-tensor paths (uint8 convolutions, FULLY_CONNECTED with int16 weights): the product of the scales is rounded to
/// f32.
pub fn convolution_multiplier_per_tensor(input_scale: f32, filter_scale: f32, output_scale: f32) -> f64 {
    (input_scale * filter_scale) as f64 / output_scale as f64
}

/// Multiplier of QUANTIZE from integers: the quotient in f64.
pub fn requantize_multiplier(input_scale: f32, output_scale: f32) -> f64 {
    input_scale as f64 / output_scale as f64
}

/// Multiplier of RELU and RELU6: the quotient is rounded to f32.
pub fn relu_multiplier(input_scale: f32, output_scale: f32) -> f64 {
    (input_scale / output_scale) as f64
}

/// Multiplier and shift of MEAN over `count` elements: those of the scales divided by the count, in integers and toward zero, with
/// as many bits as the limits of the shift leave.
pub fn mean_multiplier(multiplier: i32, shift: i32, count: u64) -> (i32, i32) {
    let more = (63 - count.max(1).leading_zeros() as i32).min(32).min(31 + shift);
    let divided = ((multiplier as i128) << more) / count.max(1) as i128;
    (divided as i32, shift - more)
}

/// What each of so many factors of a product is rescaled by.
pub fn product_multiplier(input_scale: f32, output_scale: f32, count: u64) -> f64 {
    f64::from(input_scale) / libm::pow(f64::from(output_scale), 1.0 / count as f64)
}

/// Multiplier of MUL: product and quotient are rounded to f32.
pub fn mul_multiplier(a_scale: f32, b_scale: f32, output_scale: f32) -> f64 {
    (a_scale * b_scale / output_scale) as f64
}

/// Multiplier of DIV: product and quotient are rounded to f32.
pub fn div_multiplier(a_scale: f32, b_scale: f32, output_scale: f32) -> f64 {
    f64::from(a_scale / (b_scale * output_scale))
}

/// Multipliers of SQUARED_DIFFERENCE: of both operands, raised by 7 bits, to twice the larger scale, and of the square.
pub fn squared_difference_multipliers(a_scale: f32, b_scale: f32, output_scale: f32) -> [f64; 3] {
    let twice_larger = f64::from(2.0 * a_scale.max(b_scale));
    let square = twice_larger * twice_larger / f64::from((1 << 14) as f32 * output_scale);
    [f64::from(a_scale) / twice_larger, f64::from(b_scale) / twice_larger, square]
}

/// Multipliers of LEAKY_RELU and PRELU: of positive numbers, and of negative ones times alpha, or its integer. In f32.
pub fn leaky_multipliers(input_scale: f32, alpha: f32, output_scale: f32) -> [f64; 2] {
    [f64::from(input_scale / output_scale), f64::from(input_scale * alpha / output_scale)]
}

/// Multiplier of RSQRT of int8: root and product are rounded to f32.
pub fn rsqrt_multiplier(input_scale: f32, output_scale: f32) -> f64 {
    1.0 / f64::from(libm::sqrtf(input_scale) * output_scale)
}

/// x · multiplier / 2^31 · 2^shift for i32 with two roundings: halves up at the high multiply, then halves away from zero at the right
/// shift. A left shift comes first and wraps.
pub fn multiply_by_quantized_multiplier(x: i32, multiplier: i32, shift: i32) -> i32 {
    let (left, right) = (shift.max(0), (-shift).max(0));
    let shifted = x.wrapping_mul(1i32.wrapping_shl(left as u32));
    rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)
}

/// The same of a sum that needs more than 32 bits, such as the reference does not have, and a shift to the right (0 to −31): with the
/// same two roundings, and no overflow.
pub fn multiply_long_by_quantized_multiplier(x: i64, multiplier: i32, shift: i32) -> i64 {
    let product = i128::from(x) * i128::from(multiplier);
    let high = ((product + (1 << 30)) >> 31) as i64;
    let mask = (1i64 << -shift) - 1;
    let threshold = (mask >> 1) + i64::from(high < 0);
    (high >> -shift) + i64::from(threshold < high & mask)
}

/// x · scale to the nearest integer, halves away from zero, saturating.
pub fn multiply_by_real(x: i64, scale: f64) -> i32 {
    round_half_away(x as f64 * scale) as i32
}

/// The upper 16 bits of a multiplier, rounded: what the i64 variant multiplies by.
pub fn reduce_multiplier(multiplier: i32) -> i32 {
    if multiplier < 0x7FFF_0000 { multiplier.wrapping_add(1 << 15) >> 16 } else { 0x7FFF }
}

/// The same for an i64 accumulator of 48 bits: the multiplier keeps 16 bits, and halves round up, once.
pub fn multiply_by_quantized_multiplier_64(x: i64, multiplier: i32, shift: i32) -> i32 {
    let total_shift = 15 - shift;
    let product = x.wrapping_mul(reduce_multiplier(multiplier) as i64);
    if total_shift <= 0 {
        return product.wrapping_shl(-total_shift as u32) as i32;
    }
    let total_shift = total_shift.min(63);
    (product.wrapping_add(1 << (total_shift - 1)) >> total_shift) as i32
}

/// The same as three numbers, (product · x + addend) >> shift in 64 bits, of which the low 32 bits are the result.
pub fn wide_requantization(multiplier: i32, shift: i32) -> [i64; 3] {
    let (reduced, total_shift) = (reduce_multiplier(multiplier) as i64, 15 - shift);
    if total_shift <= 0 {
        return [reduced.wrapping_shl(-total_shift as u32), 0, 0];
    }
    let total_shift = total_shift.min(63);
    [reduced, 1 << (total_shift - 1), total_shift.into()]
}

/// QUANTIZE of one integer into another quantisation.
pub fn requantize(q: i32, input_zero_point: i32, multiplier: i32, shift: i32, output_zero_point: i32, range: (i32, i32)) -> i32 {
    let scaled = multiply_by_quantized_multiplier(q.wrapping_sub(input_zero_point), multiplier, shift);
    scaled.wrapping_add(output_zero_point).min(range.1).max(range.0)
}

/// RSQRT of one int8, whose multiplier is that of the scales. Numbers of zero and less, at which the reference stops or which it takes
/// for very small ones, give the largest integer.
pub fn rsqrt_i8(q: i8, input_zero_point: i32, (multiplier, shift): (i32, i32), output_zero_point: i32) -> i8 {
    const RAISE: i32 = 20;
    let value = i32::from(q) - input_zero_point;
    if value <= 0 {
        return i8::MAX;
    }
    let (root, root_shift) = reciprocal_root(value);
    let raised = multiply_by_quantized_multiplier(1, root, root_shift + RAISE);
    let scaled = multiply_by_quantized_multiplier(raised, multiplier, shift - RAISE);
    scaled.wrapping_add(output_zero_point).clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Real numbers to integers and back
// ---------------------------------------------------------------------------------------------------------------------------------

/// QUANTIZE of one f32.
pub fn quantize(value: f32, scale: f32, zero_point: i32, range: (i32, i32)) -> i32 {
    let quotient = value / scale;
    match quotient.abs() < 2_147_483_648.0 {
        true => (round_half_away_f32(quotient) as i32).wrapping_add(zero_point).clamp(range.0, range.1),
        false => quantized_overflow(zero_point, range),
    }
}

/// QUANTIZE of NaN and of what does not fit 32 bits: the lower end, or with a negative zero point the upper.
pub fn quantized_overflow(zero_point: i32, range: (i32, i32)) -> i32 {
    i32::MIN.wrapping_add(zero_point).clamp(range.0, range.1)
}

/// DEQUANTIZE of one integer. The reference multiplies in f64 per tensor and in f32 per channel; both round the same exact product
/// once, because an integer below 2^24 has an exact f32.
pub fn dequantize(q: i32, scale: f32, zero_point: i32) -> f32 {
    (scale as f64 * (q as i64 - zero_point as i64) as f64) as f32
}

/// The real numbers that the smallest and the largest integer stand for, computed in f32.
pub fn real_range(element: ElementType, (scale, zero_point): (f32, i32)) -> (f32, f32) {
    let (low, high) = element_range(element).unwrap_or((0, 0));
    let real = |q: i32| q.wrapping_sub(zero_point) as f32 * scale;
    (real(low), real(high))
}

/// By how much the logarithm to base 2 of 1 + i/n is above i/n, in units of 2^-16, for i from 0 to n.
pub fn log_2_table(n: usize) -> Vec<u16> {
    let bend = |i: usize| libm::log2(1.0 + i as f64 / n as f64) - i as f64 / n as f64;
    (0..=n).map(|i| round_half_up(65536.0 * bend(i)) as u16).collect()
}

/// Cosine and sine of an angle in units of 1/most.
pub fn root_of_one(angle: f64, most: i32) -> [i32; 2] {
    [libm::cos(angle), libm::sin(angle)].map(|x| round_half_up(f64::from(most) * x) as i32)
}

fn round_half_up(x: f64) -> f64 {
    libm::floor(0.5 + x)
}

pub fn f16_to_f32(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Fused activations
// ---------------------------------------------------------------------------------------------------------------------------------

/// The interval that a fused activation clamps f32 results to. Without activation the reference still clamps to finite numbers.
pub fn activation_range_float(activation: Activation) -> (f32, f32) {
    match activation {
        Activation::None => (f32::MIN, f32::MAX),
        Activation::Relu => (0.0, f32::MAX),
        Activation::ReluN1To1 => (-1.0, 1.0),
        Activation::Relu0To1 => (0.0, 1.0),
        Activation::Relu6 => (0.0, 6.0),
    }
}

/// The bounds that a fused activation has for integers that stand for themselves.
pub fn activation_range_integer(activation: Activation) -> (Option<i64>, Option<i64>) {
    match activation {
        Activation::None => (None, None),
        Activation::Relu => (Some(0), None),
        Activation::ReluN1To1 => (Some(-1), Some(1)),
        Activation::Relu0To1 => (Some(0), Some(1)),
        Activation::Relu6 => (Some(0), Some(6)),
    }
}

/// The interval that a fused activation clamps integers to; also that of RELU and RELU6 by themselves. `None` if the type is not a
/// quantised one or a bound does not fit 32 bits, which the reference refuses too.
pub fn calculate_activation_range_quantized(
    activation: Activation,
    element: ElementType,
    scale: f32,
    zero_point: i32,
) -> Option<(i32, i32)> {
    if !matches!(element, ElementType::I8 | ElementType::U8 | ElementType::I16) {
        return None;
    }
    let (min, max) = element_range(element)?;
    let bound = |real: f32| {
        let q = round_half_away_f32(real / scale);
        // 2^31 itself passes the reference's comparison and then saturates.
        (q >= i32::MIN as f32 && q <= i32::MAX as f32).then(|| zero_point.wrapping_add(q as i32))
    };
    Some(match activation {
        Activation::None => (min, max),
        Activation::Relu => (min.max(bound(0.0)?), max),
        Activation::ReluN1To1 => (min.max(bound(-1.0)?), max.min(bound(1.0)?)),
        Activation::Relu0To1 => (min.max(bound(0.0)?), max.min(bound(1.0)?)),
        Activation::Relu6 => (min.max(bound(0.0)?), max.min(bound(6.0)?)),
    })
}

// ---------------------------------------------------------------------------------------------------------------------------------
// HARD_SWISH in fixed point
// ---------------------------------------------------------------------------------------------------------------------------------

/// HARD_SWISH of bytes in 16 bits: x is raised by 7 bits, brought to the scale of the result, and multiplied by (x + 3) / 6 as a fraction.
#[derive(Clone, Copy, Debug)]
pub struct HardSwish {
    input_zero_point: i32,
    output_zero_point: i32,
    /// Multiplier of 16 bits and shift, to the scale of the result and to that of the fraction.
    output: (i32, i32),
    fraction: (i32, i32),
}

impl HardSwish {
    /// `None` where the reference stops: the result must not need a shift to the left.
    pub fn new(input: (f32, i32), output: (f32, i32)) -> Option<HardSwish> {
        let raised_scale = 1.0 / 128.0 * input.0;
        let short = |real: f32| {
            let (multiplier, shift) = quantize_multiplier(real.into());
            (if multiplier >= i32::MAX - (1 << 15) { i16::MAX.into() } else { (multiplier + (1 << 15)) >> 16 }, shift)
        };
        let all = HardSwish {
            input_zero_point: input.1,
            output_zero_point: output.1,
            output: short(raised_scale / output.0),
            fraction: short(raised_scale / (3.0 / 32768.0)),
        };
        (all.output.1 <= 0).then_some(all)
    }

    /// Before the clamp.
    pub fn apply(&self, q: i32) -> i32 {
        const MIN: i32 = i16::MIN as i32;
        const MAX: i32 = i16::MAX as i32;
        // As in 32 bits: to nearest, halves upwards but of negative products toward zero.
        let high_mul = |a: i32, b: i32| {
            let product = a * b;
            (product + if product >= 0 { 1 << 14 } else { 1 - (1 << 14) }) / (1 << 15)
        };
        let raised = (q - self.input_zero_point) << 7;
        let product = high_mul(raised, self.output.0);
        let (multiplier, shift) = self.fraction;
        let shifted = |x: i32, n: i32| ((i64::from(x) << n.min(31)).clamp(MIN.into(), MAX.into())) as i32;
        let mut fraction = raised;
        if 0 < shift {
            fraction = shifted(fraction, shift - 1);
        }
        fraction = high_mul(fraction, multiplier);
        if 0 < shift {
            fraction = shifted(fraction, 1);
        }
        fraction = rounding_divide_by_pot(fraction, -shift.min(0));
        let fraction = (fraction + (1 << 15)) >> 1;
        // Cut off toward zero, against the biases of the roundings before.
        let result = fraction * product / (1 << 15);
        rounding_divide_by_pot(result, -self.output.1) + self.output_zero_point
    }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// SOFTMAX in fixed point
// ---------------------------------------------------------------------------------------------------------------------------------

/// Integer bits of the argument of exp in the 8-bit SOFTMAX.
pub const SOFTMAX_SCALED_DIFF_INTEGER_BITS: u32 = 5;
/// Integer bits of the sum of exponentials in the 8-bit SOFTMAX.
pub const SOFTMAX_ACCUMULATION_INTEGER_BITS: u32 = 12;

/// (multiplier, shift) that bring a difference of 8-bit inputs to Q(integer_bits).(31 − integer_bits). The reference aborts when
/// the real multiplier is at most 1 (a tiny scale); here the shift is then zero or negative and the same functions apply.
pub fn preprocess_softmax_scaling(beta: f32, input_scale: f32, integer_bits: u32) -> (i32, i32) {
    let real = beta as f64 * input_scale as f64 * (1i64 << (31 - integer_bits)) as f64;
    let largest = ((1i64 << 31) - 1) as f64;
    quantize_multiplier(if real < largest { real } else { largest })
}

/// The largest difference of inputs that, scaled, still fits `total_signed_bits` (31 in SOFTMAX). SOFTMAX skips every difference
/// below minus this.
pub fn calculate_input_radius(integer_bits: u32, left_shift: i32, total_signed_bits: u32) -> i32 {
    let largest = ((1i64 << integer_bits) - 1) as f64 * (1i64 << (total_signed_bits - integer_bits)) as f64;
    libm::floor(libm::scalbn(largest, -left_shift)) as i32
}

/// The inverse of the multiplier and shift that bring differences to Q5, of LOG_SOFTMAX; `None` where the reference has none.
pub fn log_softmax_reverse(multiplier: i32, shift: i32) -> Option<(i32, i32)> {
    let reverse = (1..=31).contains(&shift).then(|| (1i64 << (31 - shift)) as f64 / f64::from(multiplier))?;
    quantize_multiplier_smaller_than_one_exp(reverse)
}

/// The least and the largest number of a range that has 0 in it, as the reference moves them so that 0 is one of `1 << bits` steps; and a step.
pub fn nudged_range(least: f32, largest: f32, bits: u32) -> (f32, f32, f32) {
    let steps = ((1i64 << bits) - 1) as f32;
    let step = (largest - least) / steps;
    let zero = round_half_away_f32((0.0 - least / step).clamp(0.0, steps));
    ((0.0 - zero) * step, (steps - zero) * step, step)
}

/// log2 rounded, and whether the argument is a power of two up to a thousandth of an octave; `None` for what is not positive.
pub fn checked_log2(x: f32) -> Option<(i32, bool)> {
    if x.is_nan() || x <= 0.0 {
        return None;
    }
    let log2 = libm::log(x as f64) as f32 * (1.0f32 / std::f32::consts::LN_2);
    let rounded = round_half_away_f32(log2);
    Some((rounded as i32, (log2 - rounded).abs() < 1e-3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn multiplier_edges() {
        assert_eq!(quantize_multiplier(0.0), (0, 0));
        assert_eq!(quantize_multiplier(1.0), (1 << 30, 1));
        assert_eq!(quantize_multiplier(0.5), (1 << 30, 0));
        assert_eq!(quantize_multiplier(0.25), (1 << 30, -1));
        assert_eq!(quantize_multiplier(0.75), (3 << 29, 0));
        // Rounds up to 2^31 and rolls over.
        assert_eq!(quantize_multiplier(1.0 - 1e-12), (1 << 30, 1));
        // 2^-32 has shift -31 and stays, 2^-33 is flushed.
        assert_eq!(quantize_multiplier(libm::scalbn(1.0, -32)), (1 << 30, -31));
        assert_eq!(quantize_multiplier(libm::scalbn(1.0, -33)), (0, 0));
        assert_eq!(quantize_multiplier(libm::scalbn(1.0, 40)), (1 << 30, 41));
        assert_eq!(quantize_multiplier(f64::NAN), (0, 0));
        assert_eq!(quantize_multiplier(f64::INFINITY), (i32::MAX, 31));
        assert_eq!(quantize_multiplier(-0.75), (-(3 << 29), 0));
    }

    #[test]
    fn smaller_than_one() {
        assert_eq!(quantize_multiplier_smaller_than_one_exp(0.25), Some((1 << 30, -1)));
        assert_eq!(quantize_multiplier_smaller_than_one_exp(1.0), None);
        assert_eq!(quantize_multiplier_smaller_than_one_exp(1.0 - 1e-12), None);
        assert_eq!(quantize_multiplier_smaller_than_one_exp(-0.1), None);
        assert_eq!(quantize_multiplier_smaller_than_one_exp(f64::NAN), None);
    }

    #[test]
    fn two_roundings_differ_from_one() {
        // 1 · 0.5 / 2: 0.5 becomes 1, then 1 / 2 becomes 1; rounding 0.25 once would give 0.
        assert_eq!(multiply_by_quantized_multiplier(1, 1 << 30, -1), 1);
        assert_eq!(multiply_by_quantized_multiplier(3, 1 << 30, -1), 1);
        // gemmlowp's nudge for negative products is 1 − 2^30 with truncating division: −0.5 becomes 0 at the high multiply.
        assert_eq!(multiply_by_quantized_multiplier(-1, 1 << 30, -1), 0);
        assert_eq!(multiply_by_quantized_multiplier(-3, 1 << 30, -1), -1);
        assert_eq!(multiply_by_quantized_multiplier(100, 1 << 30, 1), 100);
        assert_eq!(multiply_by_quantized_multiplier(100, 1 << 30, 3), 400);
        assert_eq!(multiply_by_quantized_multiplier(i32::MIN, i32::MAX, 0), -i32::MAX);
    }

    #[test]
    fn means() {
        assert_eq!(mean_multiplier(1 << 30, 1, 1), (1 << 30, 1));
        assert_eq!(mean_multiplier(1 << 30, 1, 4), (1 << 30, -1));
        assert_eq!(mean_multiplier(3 << 29, 0, 49), ((3i64 << 34).div_euclid(49) as i32, -5));
        // The shift ends at −31, and the multiplier loses bits instead.
        assert_eq!(mean_multiplier(1 << 30, -30, 16), (1 << 27, -31));
        assert_eq!(mean_multiplier(0, 0, 7), (0, -2));
    }

    #[test]
    fn long_sums_are_rescaled_as_short_ones() {
        for x in [0, 1, -1, 5, -5, 6, -6, 1 << 20, -(1 << 20), 123_456_789, -123_456_789, i32::MAX, -i32::MAX] {
            for (multiplier, shift) in [(1 << 30, 0), (1 << 30, -1), (1_518_500_250, -3), (i32::MAX, -17), (1 << 30, -31)] {
                let long = multiply_long_by_quantized_multiplier(x.into(), multiplier, shift);
                assert_eq!(long, multiply_by_quantized_multiplier(x, multiplier, shift).into(), "{x} {multiplier} {shift}");
            }
        }
        assert_eq!(multiply_long_by_quantized_multiplier(-32768 * 70_000, 1 << 30, -15), -35_000);
        assert_eq!(multiply_long_by_quantized_multiplier(3 << 46, 1 << 30, -31), 3 << 14);
    }

    #[test]
    fn sixty_four_bits() {
        assert_eq!(reduce_multiplier(1 << 30), 1 << 14);
        assert_eq!(reduce_multiplier(i32::MAX), 0x7FFF);
        assert_eq!(reduce_multiplier(0x7FFF_0000 - 1), 0x7FFF);
        assert_eq!(multiply_by_quantized_multiplier_64(1000, 1 << 30, 1), 1000);
        assert_eq!(multiply_by_quantized_multiplier_64(1, 1 << 30, 0), 1);
        assert_eq!(multiply_by_quantized_multiplier_64(-1, 1 << 30, 0), 0);
        assert_eq!(multiply_by_quantized_multiplier_64((1 << 47) - 1, 1 << 30, -31), 1 << 15);
    }

    #[test]
    fn real_to_integer() {
        let i8s = (-128, 127);
        assert_eq!(quantize(0.25, 0.5, 3, i8s), 4);
        assert_eq!(quantize(-0.25, 0.5, 3, i8s), 2);
        assert_eq!(quantize(1e9, 0.5, 3, i8s), 127);
        assert_eq!(quantize(-1e9, 0.5, -3, i8s), -128);
        for beyond in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.1e9, -1.1e9] {
            assert_eq!(quantize(beyond, 0.5, 3, i8s), -128);
            assert_eq!(quantize(beyond, 0.5, -3, i8s), 127);
        }
        assert_eq!(dequantize(-128, 0.1, 127), 0.1f32 * -255.0);
        assert_eq!(f16_to_f32(0x3C01), 1.0 + 1.0 / 1024.0);
        assert_eq!(f16_to_f32(1), 5.9604645e-8);
        assert_eq!(bf16_to_f32(0x3F80), 1.0);
    }

    #[test]
    fn activations() {
        use Activation::*;
        let range = |a, s, z| calculate_activation_range_quantized(a, ElementType::I8, s, z);
        assert_eq!(range(None, 0.1, 4), Some((-128, 127)));
        assert_eq!(range(Relu, 0.1, 4), Some((4, 127)));
        assert_eq!(range(Relu6, 0.1, 4), Some((4, 64)));
        assert_eq!(range(Relu6, 0.01, 4), Some((4, 127)));
        assert_eq!(range(ReluN1To1, 0.1, 4), Some((-6, 14)));
        assert_eq!(range(Relu6, 1e-12, 0), Option::None);
        assert_eq!(calculate_activation_range_quantized(Relu, ElementType::I32, 0.1, 0), Option::None);
        assert_eq!(activation_range_float(Relu6), (0.0, 6.0));
        assert_eq!(activation_range_float(None), (f32::MIN, f32::MAX));
    }

    #[test]
    fn softmax_parameters() {
        // beta · scale · 2^26 = 2^24: multiplier 2^30 with shift 25, radius 31 · 2^26 / 2^25.
        assert_eq!(preprocess_softmax_scaling(1.0, 0.25, 5), (1 << 30, 25));
        assert_eq!(calculate_input_radius(5, 25, 31), 62);
        assert_eq!(preprocess_softmax_scaling(1.0, 1e6, 5), quantize_multiplier(2147483647.0));
        let (_, shift) = preprocess_softmax_scaling(1.0, 1e-9, 5);
        assert!(shift <= 0);
        assert_eq!(calculate_input_radius(5, 0, 31), 31 << 26);
        assert_eq!(checked_log2(1.0 / 4096.0), Some((-12, true)));
        assert_eq!(checked_log2(0.3).map(|c| c.1), Some(false));
        assert_eq!(checked_log2(0.0), Option::None);
    }

    proptest! {
        #[test]
        fn three_numbers_say_the_same(x in any::<i64>(), m in any::<i32>(), s in -40..40) {
            let [product, addend, shift] = wide_requantization(m, s);
            let got = (x.wrapping_mul(product).wrapping_add(addend) >> shift) as i32;
            prop_assert_eq!(got, multiply_by_quantized_multiplier_64(x, m, s));
        }

        #[test]
        fn multiplier_is_close(real in 1e-9f64..1e9) {
            let (m, s) = quantize_multiplier(real);
            let back = libm::scalbn(m as f64, s - 31);
            prop_assert!((back - real).abs() <= real * libm::scalbn(1.0, -31));
            prop_assert!((1 << 30..=i32::MAX).contains(&m));
        }

        #[test]
        fn requantisation_is_close(x in -1_000_000i32..1_000_000, real in 1e-6f64..100.0) {
            let (m, s) = quantize_multiplier(real);
            let exact = x as f64 * real;
            let got = multiply_by_quantized_multiplier(x, m, s) as f64;
            prop_assert!((got - exact).abs() <= 1.0 + exact.abs() * 1e-8);
        }

        #[test]
        fn quantise_of_dequantise_is_identity(q in -128i32..128, scale in 1e-6f32..1e6, zero in -128i32..128) {
            prop_assert_eq!(quantize(dequantize(q, scale, zero), scale, zero, (-128, 127)), q);
        }
    }
}
