//! Tables that replace functions of quantised numbers: 256 entries for 8 bits, interpolated ones for 16.
//!
//! Not fixed-point series (`fixed_point`). The idea: a table is computed when the model is compiled, in exactly the floating-point
//! operations of the reference, so that looking it up gives its integers.

use super::{checked_log2, exp_f32, quantize_multiplier, round_half_away, round_half_away_f32};
use crate::tensor::ElementType;

/// Entry `i` is the result for the input whose byte is `i` (so int8 inputs stand in the order 0 … 127, −128 … −1); results are
/// bytes of the same type. `None` for types that have no 8 bits.
///
/// All operations are in f32, the output scale is multiplied by its reciprocal, and the zero point is added before the cast.
pub fn lut_8bit(element: ElementType, input: (f32, i32), output: (f32, i32), function: impl Fn(f32) -> f32) -> Option<[u8; 256]> {
    let (min, max) = match element {
        ElementType::I8 => (-128, 127),
        ElementType::U8 => (0, 255),
        _ => return None,
    };
    let inverse_scale = 1.0 / output.0;
    let mut table = [0; 256];
    for q in min..=max {
        let x = input.0 * (q - input.1) as f32;
        let rescaled = round_half_away_f32(function(x) * inverse_scale);
        let quantized = (rescaled + output.1 as f32) as i32;
        table[q as u8 as usize] = quantized.clamp(min, max) as u8;
    }
    Some(table)
}

/// CONCATENATION of uint8 brings inputs to the output's quantisation in f32, with the reciprocal of the output scale.
pub fn rescale_table_u8(input: (f32, i32), output: (f32, i32)) -> [u8; 256] {
    let scale = input.0 * (1.0 / output.0);
    let bias = -input.1 as f32 * scale;
    std::array::from_fn(|q| {
        let rescaled = round_half_away_f32(q as f32 * scale + bias) as i32;
        rescaled.saturating_add(output.1).clamp(0, 255) as u8
    })
}

/// Sigmoid as the reference computes it in f32.
pub fn logistic_f32(x: f32) -> f32 {
    1.0 / (1.0 + exp_f32(-x))
}

/// How many quarter turns the last bit of an f32 with this exponent field is worth as an angle in radians, less multiples of 4; NaN of
/// infinities.
pub fn quarter_turns(exponent: u8) -> f64 {
    // 2 / π behind the point.
    const DIGITS: [u64; 3] = [0xA2F9_836E_4E44_1529, 0xFC27_57D1_F534_DDC0, 0xDB62_9599_3C43_9041];
    let power = i32::from(exponent.max(1)) - 150;
    match (exponent, power) {
        (255, _) => f64::NAN,
        (_, ..=1) => libm::scalbn(std::f64::consts::FRAC_2_PI, power),
        _ => {
            // The first of the digits that are worth less than 4.
            let (word, bit) = ((power as usize - 2) / 64, (power as usize - 2) % 64);
            let both = u128::from(DIGITS[word]) << 64 | u128::from(DIGITS[word + 1]);
            libm::scalbn((both << bit >> 64) as u64 as f64, -62)
        }
    }
}

/// The natural logarithm in f32, as exactly as `exp_f32`.
pub fn log_f32(x: f32) -> f32 {
    libm::log(x.into()) as f32
}

/// ELU as the reference computes it in f32.
pub fn elu_f32(x: f32) -> f32 {
    if x < 0.0 { libm::expm1(x.into()) as f32 } else { x }
}

/// GELU as the reference computes it in f32.
pub fn gelu_f32(x: f32, approximate: bool) -> f32 {
    if approximate {
        return 0.5 * x * (1.0 + tanh_f32(0.797_884_6 * (x + 0.044_715 * x * x * x)));
    }
    0.5 * x * libm::erfc(f64::from(x * -std::f32::consts::FRAC_1_SQRT_2)) as f32
}

/// Hyperbolic tangent as the reference computes it in f32.
pub fn tanh_f32(x: f32) -> f32 {
    libm::tanh(x.into()) as f32
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Interpolated tables of 16 bits
// ---------------------------------------------------------------------------------------------------------------------------------

/// Entries of an interpolated table: 512 steps and the end of the last.
pub const LUT_I16_SIZE: usize = 513;

macro_rules! lut_i16 {
    ($(#[$doc:meta])* $name:ident, $float:ident, $round:ident) => {
        $(#[$doc])*
        pub fn $name(input: ($float, i32), output: ($float, i32), function: impl Fn($float) -> $float) -> [i16; LUT_I16_SIZE] {
            const MIN: i32 = i16::MIN as i32;
            const MAX: i32 = i16::MAX as i32;
            let input_min = input.0 * (MIN - input.1) as $float;
            let input_max = input.0 * (MAX - input.1) as $float;
            let output_min = output.0 * (MIN - output.1) as $float;
            let output_max = output.0 * (MAX - output.1) as $float;
            let step = (input_max - input_min) / 512.0;
            let half_step = step / 2.0;
            let inverse_scale = 65536.0 / (output_max - output_min);
            let saturate = |v: $float| v.max(MIN as $float).min(MAX as $float) as i16;
            let mut table = [0; LUT_I16_SIZE];
            for (i, entry) in table.iter_mut().enumerate().take(512) {
                let start = input_min + i as $float * step;
                let value = function(start);
                let middle = function(start + half_step);
                let next = function(input_min + (i + 1) as $float * step);
                let sample = $round(value * inverse_scale);
                let line = $round((next * inverse_scale + sample) / 2.0);
                let error = line - $round(middle * inverse_scale);
                *entry = saturate(sample - $round(error / 2.0));
            }
            table[512] = saturate($round(function(input_max) * inverse_scale));
            table
        }
    };
}

lut_i16! {
    /// A function over 512 equal steps of the int16 range, each sample shifted by half of the error that a straight line has in the
    /// middle of its step. `input` and `output` are (scale, zero point) in f64.
    lut_i16, f64, round_half_away
}
lut_i16! {
    /// The same computed in f32.
    lut_i16_f32, f32, round_half_away_f32
}

/// Looks a value up in an interpolated table: the upper 9 bits choose the step, the lower 7 the place in it.
pub fn lut_lookup_i16(value: i16, table: &[i16; LUT_I16_SIZE]) -> i16 {
    let index = (256 + (value as i32 >> 7)) as usize;
    let base = table[index] as i32;
    // The slope is an int16 in the reference, too.
    let slope = (table[index + 1] as i32 - base) as i16 as i32;
    (base + ((slope * (value as i32 & 0x7F) + 64) >> 7)) as i16
}

/// exp over [−10, 0], of the int16 SOFTMAX.
pub fn softmax_exp_lut_i16() -> [i16; LUT_I16_SIZE] {
    lut_i16((10.0 / 65535.0, i16::MAX as i32), (2.0 / 65535.0, 0), libm::exp)
}

/// 1 / (1 + x) over [0, 1], of the int16 SOFTMAX.
pub fn softmax_one_over_one_plus_x_lut_i16() -> [i16; LUT_I16_SIZE] {
    lut_i16((1.0 / 65535.0, i16::MIN as i32), (2.0 / 65535.0, 0), |x| 1.0 / (1.0 + x))
}

/// (multiplier, shift) that bring a difference of int16 inputs to the range of `softmax_exp_lut_i16`.
pub fn softmax_multiplier_i16(beta: f32, input_scale: f32) -> (i32, i32) {
    quantize_multiplier((input_scale * beta) as f64 / (10.0 / 65535.0))
}

// ---------------------------------------------------------------------------------------------------------------------------------
// LOGISTIC of int16
// ---------------------------------------------------------------------------------------------------------------------------------

/// Indices at which the reference's table is one above the correctly rounded sigmoid(i / 24) · 2^16. Why it is so is not known;
/// its integers are what must come out.
const SIGMOID_ONE_HIGHER: [u8; 44] = [
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46, 49, 50, 54, 62, 63, 64,
    66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
];

/// sigmoid(i / 24) · 2^16 for i = 0 … 255.
pub fn sigmoid_table_u16() -> [u16; 256] {
    let mut table = [0; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        let exact = 65536.0 / (1.0 + libm::exp(-(i as f64) / 24.0));
        *entry = round_half_away(exact) as u16;
    }
    for i in SIGMOID_ONE_HIGHER {
        table[i as usize] += 1;
    }
    table
}

/// Scales from here on have no multiplier in 32 bits.
pub const LOGISTIC_I16_SCALE_END: f32 = ((1u64 << 31) as f64 / (4096.0 * 3.0)) as f32;

/// (multiplier, right shift) that bring an int16 input to steps of 1 / (3 · 4096), for `logistic_i16`.
pub fn logistic_multiplier_i16(input_scale: f32) -> (i32, i32) {
    if checked_log2(input_scale) == Some((-12, true)) { (3, 0) } else { doubled_multiplier(input_scale) }
}

fn doubled_multiplier(input_scale: f32) -> (i32, i32) {
    // The reference stops at 31 doublings, whatever is left.
    let mut multiplier = (input_scale as f64) * 4096.0 * 3.0;
    let mut shift = 0;
    while multiplier <= 32767.0 / 2.0 && shift <= 30 {
        shift += 1;
        multiplier *= 2.0;
    }
    (multiplier as i32, shift)
}

/// (multiplier, right shift) that bring an int16 input to steps of 1 / (3 · 4096), for `tanh_i16`.
pub fn tanh_multiplier_i16(input_scale: f32) -> (i32, i32) {
    match checked_log2(input_scale) {
        Some((-12, true)) => (3, 0),
        Some((-11, true)) => (6, 0),
        _ => doubled_multiplier(input_scale),
    }
}

/// TANH of one int16 with scale 2^-15 of the result: 2 · sigmoid(2x) − 1.
pub fn tanh_i16(x: i16, multiplier: i32, shift: i32, table: &[u16; 256]) -> i16 {
    let round = if shift > 0 { 1i32 << (shift - 1) } else { 0 };
    let scaled = (x as i32).wrapping_mul(multiplier).wrapping_add(round) >> shift;
    let magnitude = scaled.unsigned_abs();
    let result = match (magnitude >> 8) as usize {
        255.. => 0xFFFF << 8,
        i => {
            let (a, b) = (table[i] as i32, table[i + 1] as i32);
            (a << 8) + (magnitude & 0xFF) as i32 * (b - a)
        }
    };
    let half = 1 << 23;
    let centred = if scaled >= 0 { result - half + (1 << 7) } else { half - result + (1 << 7) - 1 };
    (centred >> 8) as i16
}

/// LOGISTIC of one int16 with scale 2^-15 of the result: linear between the entries of `sigmoid_table_u16`, negative inputs by
/// symmetry.
pub fn logistic_i16(x: i16, multiplier: i32, shift: i32, table: &[u16; 256]) -> i16 {
    let round = if shift > 0 { 1i32 << (shift - 1) } else { 0 };
    let scaled = (x as i32).wrapping_mul(multiplier).wrapping_add(round) >> shift;
    let magnitude = scaled.unsigned_abs();
    let index = (magnitude >> 9) as usize;
    let result = if index >= 255 {
        0x7FFF << 10
    } else {
        let (a, b) = (table[index] as u32, table[index + 1] as u32);
        (a << 9) + (magnitude & 0x1FF) * (b - a)
    };
    let result = if scaled >= 0 { result + (1 << 9) } else { (1 << 25) - result + (1 << 9) - 1 };
    (result >> 10) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_table_has_the_reference_entries() {
        let table = sigmoid_table_u16();
        // Spread over the table, including some that are one above the rounded value.
        for (i, want) in
            [(0, 32768), (1, 33451), (4, 35493), (24, 47911), (100, 64536), (128, 65221), (200, 65520), (254, 65534), (255, 65535)]
        {
            assert_eq!(table[i], want, "entry {i}");
        }
        let sum: u64 = table.iter().map(|&v| v as u64).sum();
        let weighted: u64 = table.iter().enumerate().map(|(i, &v)| i as u64 * v as u64).sum();
        assert_eq!((sum, weighted), (15670629, 2108062945));
        assert!(table.is_sorted());
    }

    #[test]
    fn logistic_of_int16_is_close() {
        let table = sigmoid_table_u16();
        for scale in [1.0 / 4096.0, 0.0003, 0.001, 1e-6] {
            let (m, s) = logistic_multiplier_i16(scale);
            for x in (i16::MIN..=i16::MAX).step_by(37) {
                let want = 32768.0 / (1.0 + libm::exp(-(x as f64 * scale as f64)));
                let got = logistic_i16(x, m, s, &table) as f64;
                assert!((got - want).abs() < 6.0, "scale {scale} x {x}: {got} for {want}");
            }
        }
        assert_eq!(logistic_multiplier_i16(1.0 / 4096.0), (3, 0));
    }

    #[test]
    fn logistic_of_int8() {
        let Some(table) = lut_8bit(ElementType::I8, (0.1, 0), (1.0 / 256.0, -128), logistic_f32) else { panic!("int8 has a table") };
        assert_eq!(table[0] as i8, 0);
        assert_eq!(table[127] as i8, 127);
        assert_eq!(table[128] as i8, -128);
        let sigmoid = 256.0 / (1.0 + libm::exp(-1.0));
        assert_eq!(table[10] as i8, round_half_away(sigmoid - 128.0) as i8);
        assert!(lut_8bit(ElementType::I16, (0.1, 0), (1.0, 0), |x| x).is_none());
    }

    #[test]
    fn identity_table_of_uint8() {
        let Some(table) = lut_8bit(ElementType::U8, (0.5, 3), (0.5, 3), |x| x) else { panic!("uint8 has a table") };
        assert!(table.iter().enumerate().all(|(i, &v)| i == v as usize));
    }

    #[test]
    fn softmax_tables_are_close() {
        let (exp, reciprocal) = (softmax_exp_lut_i16(), softmax_one_over_one_plus_x_lut_i16());
        for v in (i16::MIN..=i16::MAX).step_by(11) {
            let x = 10.0 / 65535.0 * (v as f64 - 32767.0);
            assert!((lut_lookup_i16(v, &exp) as f64 - 32767.5 * libm::exp(x)).abs() < 8.0, "exp at {v}");
            let x = (v as f64 + 32768.0) / 65535.0;
            assert!((lut_lookup_i16(v, &reciprocal) as f64 - 32767.5 / (1.0 + x)).abs() < 3.0, "1/(1+x) at {v}");
        }
        assert_eq!(exp[512], 32767);
        assert_eq!(reciprocal[0], 32767);
    }
}
