//! Transcendental functions of f32 vectors, written out in tile operations.
//!
//! Not the tables of quantised operators: those are computed when the model is compiled, in f64. The idea: a fixed order of additions
//! and multiplications, so that every machine with the same choice of fused multiply-add gets the same bits; NaN comes out as NaN.

use cranelite_tile::{Arg, Cond, Elem, KernelBuilder, Machine, Rounding, Unary, Value};

/// `a · b + c`: fused where the machine does that in one instruction.
pub fn mul_add(k: &mut KernelBuilder, m: &Machine, a: Value, b: Value, c: Value) -> Value {
    if m.fma {
        k.fma(a, b, c)
    } else {
        let product = k.mul(a, b);
        k.add(product, c)
    }
}

/// e^x. Below 2^-126 results may be 0, above 2^127 infinite.
pub fn exp(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let bounded = clamp(k, x, Some(EXP_MIN), Some(EXP_MAX));
    let (y, power) = scaled_exp(k, m, bounded, 1.0);
    k.mul(y, power)
}

/// e^x for x ≤ 0 or NaN, as `exp`.
pub fn exp_of_negative(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let bounded = clamp(k, x, Some(EXP_MIN), None);
    let (y, power) = scaled_exp(k, m, bounded, 1.0);
    k.mul(y, power)
}

/// e^x of doubles, a few units of the last place off at most: for what is rounded to f32. NaN stays.
pub fn exp_double(k: &mut KernelBuilder, x: Value) -> Value {
    let ty = k.ty(x);
    let mut constant = |v: f64| k.double(ty, v);
    // Between these the power of two is a number; beyond them every f32 is passed.
    let [low, high, infinity] = [-708.0, 709.0, f64::INFINITY].map(&mut constant);
    // Adding 1.5 · 2^52 leaves an integer in the low bits; 1023 more makes it the exponent of 2^n.
    let [per_ln2, shift] = [std::f64::consts::LOG2_E, 6_755_399_441_055_744.0 + 1023.0].map(&mut constant);
    // ln 2 in two parts, of which the first times n is exact.
    let [ln2_high, ln2_low] = [f64::from_bits(0x3fe6_2e42_fee0_0000), 1.908_214_929_270_587_7e-10].map(&mut constant);
    let bounded = k.max(low, x);
    let bounded = k.min(high, bounded);
    let scaled = k.mul(bounded, per_ln2);
    let shifted = k.add(scaled, shift);
    let n = k.sub(shifted, shift);
    let (whole, rest) = (k.mul(n, ln2_high), k.mul(n, ln2_low));
    let r = k.sub(bounded, whole);
    let r = k.sub(r, rest);
    // Taylor's series for |r| ≤ ln 2 / 2, from r^13 down.
    let mut factorial = 6_227_020_800.0;
    let mut y = k.double(ty, 1.0 / factorial);
    for power in (1..=13).rev() {
        factorial /= f64::from(power);
        let (product, c) = (k.mul(y, r), k.double(ty, 1.0 / factorial));
        y = k.add(product, c);
    }
    let bits = k.bitcast(shifted, ty.with_elem(Elem::I64));
    let power = k.shl_imm(bits, 52);
    let power = k.bitcast(power, ty);
    let y = k.mul(y, power);
    let is_beyond = k.compare(Cond::Gt, x, high);
    k.select(is_beyond, infinity, y)
}

/// The bounds of `scaled_exp`: there its power of two is 0 and infinity.
const EXP_MIN: f32 = -88.0;
const EXP_MAX: f32 = 89.0;

/// `x` forced into low..=high; NaN stays.
fn clamp(k: &mut KernelBuilder, x: Value, low: Option<f32>, high: Option<f32>) -> Value {
    let ty = k.ty(x);
    let x = low.map_or(x, |low| {
        let low = k.float(ty, low);
        k.max(low, x)
    });
    high.map_or(x, |high| {
        let high = k.float(ty, high);
        k.min(high, x)
    })
}

/// `sign · x` as n · ln 2 + r with |r| ≤ ln 2 / 2: r, and n for [`power_of_two`]. The sign is 1 or −1.
fn split_exponent(k: &mut KernelBuilder, m: &Machine, x: Value, sign: f32) -> (Value, Value) {
    let ty = k.ty(x);
    // Adding 1.5 · 2^23 leaves an integer in the low bits; 127 more makes it the exponent of 2^n.
    let (per_ln2, shift) = (k.float(ty, sign * std::f32::consts::LOG2_E), k.float(ty, 12_583_039.0));
    let shifted = mul_add(k, m, x, per_ln2, shift);
    let n = k.sub(shifted, shift);
    // ln 2 in two parts, of which the first times n is exact. What is left over has the sign of x.
    let (ln2_high, ln2_low) = (k.float(ty, sign * -0.693_359_4), k.float(ty, sign * 2.121_944_4e-4));
    let r = mul_add(k, m, n, ln2_high, x);
    (mul_add(k, m, n, ln2_low, r), shifted)
}

/// 2^n.
fn power_of_two(k: &mut KernelBuilder, shifted: Value) -> Value {
    let ty = k.ty(shifted);
    let bits = k.bitcast(shifted, ty.with_elem(Elem::I32));
    let bits = k.shl_imm(bits, 23);
    k.bitcast(bits, ty)
}

/// e^(sign · x) as (y, 2^n): y = e^r with |r| ≤ ln 2 / 2 by a polynomial, 3e-9 off at most. The sign is 1 or −1.
fn scaled_exp(k: &mut KernelBuilder, m: &Machine, x: Value, sign: f32) -> (Value, Value) {
    let ty = k.ty(x);
    let (r, shifted) = split_exponent(k, m, x, sign);
    // From r^6 down.
    let coefficients = [1.381_453_9e-3, 8.368_745e-3, 4.166_839e-2, 1.666_652_1e-1, 4.999_999_4e-1, 1.0, 1.0];
    let mut y = k.float(ty, coefficients[0]);
    for (c, power) in coefficients[1..].iter().zip([5, 4, 3, 2, 1, 0]) {
        let c = k.float(ty, if power % 2 == 1 { sign * c } else { *c });
        y = mul_add(k, m, y, r, c);
    }
    (y, power_of_two(k, shifted))
}

/// 1 / (1 + e^−x).
pub fn logistic(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let one = k.float(k.ty(x), 1.0);
    // Below the bound the result would be denormal.
    let bounded = clamp(k, x, Some(-87.0), Some(87.0));
    let (y, power) = scaled_exp(k, m, bounded, -1.0);
    let denominator = mul_add(k, m, y, power, one);
    k.div(one, denominator)
}

/// The hyperbolic tangent of x: with e = e^(−2·|x|) − 1, which loses nothing near 0, its size is −e / (e + 2).
pub fn tanh(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let (two, minus_two) = (k.float(ty, 2.0), k.float(ty, -2.0));
    let magnitude = k.unary(Unary::Abs, x);
    // From 10 on the result is 1.
    let bounded = clamp(k, magnitude, None, Some(10.0));
    let exponent = k.mul(bounded, minus_two);
    let e = exp_less_one(k, m, exponent);
    let denominator = k.add(e, two);
    let quotient = k.div(e, denominator);
    let size = k.unary(Unary::Abs, quotient);
    copy_sign(k, size, x)
}

/// e^x − 1 of −87 ≤ x ≤ 0.
fn exp_less_one(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let (ty, one) = (k.ty(x), k.float(k.ty(x), 1.0));
    let (r, shifted) = split_exponent(k, m, x, 1.0);
    // (e^r − 1 − r) / r², fitted.
    let mut y = k.float(ty, 1.394_217e-3);
    for c in [8.367_439e-3, 4.166_634e-2, 1.666_653_6e-1, 0.5] {
        let c = k.float(ty, c);
        y = mul_add(k, m, y, r, c);
    }
    let above = k.mul(y, r);
    let y = mul_add(k, m, above, r, r);
    let power = power_of_two(k, shifted);
    let less = k.sub(power, one);
    mul_add(k, m, y, power, less)
}

/// The natural logarithm, of a mantissa between √½ and √2 by a polynomial.
pub fn log(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let (ty, int) = (k.ty(x), k.ty(x).with_elem(Elem::I32));
    let (zero, one, half) = (k.float(ty, 0.0), k.float(ty, 1.0), k.float(ty, 0.5));
    // Denormal numbers are raised first.
    let (least, power, raise) = (k.float(ty, f32::MIN_POSITIVE), k.float(ty, 8_388_608.0), k.float(ty, -23.0));
    let is_denormal = k.compare(Cond::Lt, x, least);
    let raised = k.mul(x, power);
    let (normal, raise) = (k.select(is_denormal, raised, x), k.select(is_denormal, raise, zero));
    let (bits, root) = (k.bitcast(normal, int), k.int(int, std::f32::consts::FRAC_1_SQRT_2.to_bits().into()));
    let above = k.sub(bits, root);
    let exponent = k.shr_imm(above, 23);
    let moved = k.shl_imm(exponent, 23);
    let mantissa = k.sub(bits, moved);
    let (mantissa, exponent) = (k.bitcast(mantissa, ty), k.to_float(exponent, Elem::F32));
    let (f, exponent) = (k.sub(mantissa, one), k.add(exponent, raise));
    // log(1 + f) = f − f²/2 + f³ · polynomial.
    let mut y = k.float(ty, 6.746_64e-2);
    for c in [-0.116_756_52, 0.118_881_62, -0.124_055_89, 0.142_195_52, -0.166_679_96, 0.200_021_2, -0.250_000_1, 0.333_333_13] {
        let c = k.float(ty, c);
        y = mul_add(k, m, y, f, c);
    }
    let square = k.mul(f, f);
    let (cube, halved) = (k.mul(square, f), k.mul(square, half));
    // ln 2 in two parts, of which the first times the exponent is exact.
    let (ln2_high, ln2_low) = (k.float(ty, 0.693_359_4), k.float(ty, -2.121_944_4e-4));
    let low = k.mul(exponent, ln2_low);
    let y = mul_add(k, m, y, cube, low);
    let y = k.sub(y, halved);
    let y = k.add(y, f);
    let y = mul_add(k, m, exponent, ln2_high, y);
    let (infinity, minus_infinity, nan) = (k.float(ty, f32::INFINITY), k.float(ty, f32::NEG_INFINITY), k.float(ty, f32::NAN));
    let (is_positive, is_zero) = (k.compare(Cond::Gt, x, zero), k.compare(Cond::Eq, x, zero));
    let other = k.select(is_zero, minus_infinity, nan);
    let y = k.select(is_positive, y, other);
    let is_infinite = k.compare(Cond::Eq, x, infinity);
    k.select(is_infinite, x, y)
}

/// x, of negative numbers e^x − 1.
pub fn elu(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let zero = k.float(k.ty(x), 0.0);
    let bounded = clamp(k, x, Some(-87.0), Some(0.0));
    let y = exp_less_one(k, m, bounded);
    let is_negative = k.compare(Cond::Lt, x, zero);
    k.select(is_negative, y, x)
}

/// x · Φ(x), with half the complementary error function of |x| / √2 as e^(−x²/2) times a polynomial of 1 / (1 + 0.4 · |x| / √2).
pub fn gelu(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let (zero, one, minus_half) = (k.float(ty, 0.0), k.float(ty, 1.0), k.float(ty, -0.5));
    let (magnitude, slope) = (k.unary(Unary::Abs, x), k.float(ty, 0.4 * std::f32::consts::FRAC_1_SQRT_2));
    let denominator = mul_add(k, m, magnitude, slope, one);
    let t = k.div(one, denominator);
    let mut y = k.float(ty, 0.5 * 0.041_252_54);
    for c in [-0.140_317_53, 0.083_985_24, 0.087_965_034, 0.079_757_11, 0.193_392_5, 0.201_887_88, 0.226_443_05, 0.225_634_23] {
        let c = k.float(ty, 0.5 * c);
        y = mul_add(k, m, y, t, c);
    }
    let y = k.mul(y, t);
    let half_square = k.mul(x, minus_half);
    let exponent = k.mul(half_square, x);
    let e = exp_of_negative(k, m, exponent);
    let tail = k.mul(y, e);
    let rest = k.sub(one, tail);
    let is_negative = k.compare(Cond::Lt, x, zero);
    let probability = k.select(is_negative, tail, rest);
    k.mul(x, probability)
}

/// x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))).
pub fn gelu_by_tanh(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let (one, half, factor, cubic) = (k.float(ty, 1.0), k.float(ty, 0.5), k.float(ty, 0.797_884_6), k.float(ty, 0.044_715));
    let square = k.mul(x, x);
    let cube = k.mul(square, x);
    let sum = mul_add(k, m, cube, cubic, x);
    let argument = k.mul(sum, factor);
    let t = tanh(k, m, argument);
    let (t, halved) = (k.add(t, one), k.mul(x, half));
    k.mul(halved, t)
}

/// `a · x^n + b · x^(n − 1) + …` of f64 lanes.
fn polynomial(k: &mut KernelBuilder, m: &Machine, x: Value, coefficients: &[f64]) -> Value {
    let ty = k.ty(x);
    let mut y = k.double(ty, coefficients[0]);
    for &c in &coefficients[1..] {
        let c = k.double(ty, c);
        y = mul_add(k, m, y, x, c);
    }
    y
}

/// The sine of f32 lanes, or that of an angle so many quarter turns ahead. The table has the lower halves of
/// `quantize::quarter_turns` of each exponent, then the upper ones.
pub fn sine(k: &mut KernelBuilder, m: &Machine, x: Value, table: Arg, quarters: i64) -> Value {
    let (float, int, double) = (k.ty(x), k.ty(x).with_elem(Elem::I32), k.ty(x).with_elem(Elem::F64));
    let bits = k.bitcast(x, int);
    let (low, digits, first, zero) = (k.int(int, 0xFF), k.int(int, 0x7F_FFFF), k.int(int, 0x80_0000), k.int(int, 0));
    let exponent = k.shr_imm(bits, 23);
    let exponent = k.and(exponent, low);
    let is_denormal = k.compare(Cond::Eq, exponent, zero);
    let first = k.select(is_denormal, zero, first);
    let mantissa = k.and(bits, digits);
    let mantissa = k.or(mantissa, first);
    let mantissa = k.to_float(mantissa, Elem::F64);
    let index = k.narrow(exponent, Elem::U8);
    let (lower, upper) = (k.lookup(Elem::I32, table.at(0), index), k.lookup(Elem::I32, table.at(4 * 256), index));
    let scale = k.interleave(lower, upper);
    let scale = k.bitcast(scale, double);
    let turns = k.mul(mantissa, scale);
    let whole = k.unary(Unary::RoundEven, turns);
    let (rest, quarter) = (k.sub(turns, whole), k.double(double, std::f64::consts::FRAC_PI_2));
    let angle = k.mul(rest, quarter);
    let square = k.mul(angle, angle);
    let terms =
        |of: &[u64]| of.iter().map(|&n| (2..=n).fold(1.0, |f, i| f / i as f64) * if n % 4 < 2 { 1.0 } else { -1.0 }).collect::<Vec<_>>();
    let sine = polynomial(k, m, square, &terms(&[11, 9, 7, 5, 3, 1]));
    let sine = k.mul(sine, angle);
    let cosine = polynomial(k, m, square, &terms(&[12, 10, 8, 6, 4, 2, 0]));
    let (sine, cosine) = (k.to_float(sine, Elem::F32), k.to_float(cosine, Elem::F32));
    let (turn, ahead, one, top) =
        (k.convert(whole, Elem::I32, Rounding::TowardZero), k.int(int, quarters), k.int(int, 1), k.int(int, i32::MIN.into()));
    let turn = k.add(turn, ahead);
    let parity = k.and(turn, one);
    let is_odd = k.compare(Cond::Ne, parity, zero);
    let y = k.select(is_odd, cosine, sine);
    // Half a turn changes the sign; so does that of the angle, of an odd function.
    let mut sign = k.shl_imm(turn, 30);
    if quarters == 0 {
        sign = k.xor(sign, bits);
    }
    let (sign, y) = (k.and(sign, top), k.bitcast(y, int));
    let y = k.xor(y, sign);
    k.bitcast(y, float)
}

/// The angle of the point (x, y), of f32 lanes, in f64.
pub fn atan2(k: &mut KernelBuilder, m: &Machine, y: Value, x: Value) -> Value {
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};
    let [y, x] = [y, x].map(|v| k.to_float(v, Elem::F64));
    let ty = k.ty(x);
    let [zero, one] = [0.0, 1.0].map(|c| k.double(ty, c));
    let (a, b) = (k.unary(Unary::Abs, y), k.unary(Unary::Abs, x));
    let (least, most) = (k.min(a, b), k.max(a, b));
    let quotient = k.div(least, most);
    // 0 / 0 stands for 0, and two infinities for a diagonal.
    let (is_point, is_diagonal) = (k.compare(Cond::Eq, most, zero), k.compare(Cond::Eq, a, b));
    let quotient = k.select(is_diagonal, one, quotient);
    let quotient = k.select(is_point, zero, quotient);
    // Above tan(π/8) by what is left of π/4.
    let (limit, down, up) = (k.double(ty, 0.414_213_562_373_095), k.sub(quotient, one), k.add(quotient, one));
    let (turned, is_steep) = (k.div(down, up), k.compare(Cond::Gt, quotient, limit));
    let t = k.select(is_steep, turned, quotient);
    let eighth = k.double(ty, FRAC_PI_4);
    let start = k.select(is_steep, eighth, zero);
    let square = k.mul(t, t);
    let series = [
        0.030895138818561815,
        -0.05891082873640441,
        0.07568545239646254,
        -0.09079138117992078,
        0.11110450003251397,
        -0.14285693595935134,
        0.1999999968559927,
        -0.3333333333169687,
    ];
    let p = polynomial(k, m, square, &series);
    let cube = k.mul(square, t);
    let angle = mul_add(k, m, p, cube, t);
    let angle = k.add(angle, start);
    let [quarter, half] = [FRAC_PI_2, PI].map(|c| k.double(ty, c));
    let (is_upright, rest) = (k.compare(Cond::Gt, a, b), k.sub(quarter, angle));
    let angle = k.select(is_upright, rest, angle);
    let sign = copy_sign(k, one, x);
    let (is_left, rest) = (k.compare(Cond::Lt, sign, zero), k.sub(half, angle));
    let angle = k.select(is_left, rest, angle);
    let angle = copy_sign(k, angle, y);
    // NaN of one of them, which comparisons pass over.
    let sum = k.add(a, b);
    let is_number = k.compare(Cond::Eq, sum, sum);
    let angle = k.select(is_number, angle, sum);
    k.to_float(angle, Elem::F32)
}

/// x to the power of y, of f32 lanes, as 2^(y · log2 x) in f64; what is special is C's.
pub fn pow(k: &mut KernelBuilder, m: &Machine, x: Value, y: Value) -> Value {
    let [x, y] = [x, y].map(|v| k.to_float(v, Elem::F64));
    let (ty, int) = (k.ty(x), k.ty(x).with_elem(Elem::I64));
    let [zero, one, half, infinity, nan] = [0.0, 1.0, 0.5, f64::INFINITY, f64::NAN].map(|c| k.double(ty, c));
    let base = k.unary(Unary::Abs, x);
    // log2 of a mantissa between √½ and √2: s = f / (2 + f) gives log(1 + f) = 2s + 2s³/3 + …
    let (bits, root) = (k.bitcast(base, int), k.int(int, std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64));
    let above = k.sub(bits, root);
    let exponent = k.shr_imm(above, 52);
    let moved = k.shl_imm(exponent, 52);
    let mantissa = k.sub(bits, moved);
    let (mantissa, exponent) = (k.bitcast(mantissa, ty), k.to_float(exponent, Elem::F64));
    let (down, up) = (k.sub(mantissa, one), k.add(mantissa, one));
    let s = k.div(down, up);
    let square = k.mul(s, s);
    let series: Vec<f64> = (0..9).rev().map(|i| 2.0 * std::f64::consts::LOG2_E / f64::from(2 * i + 1)).collect();
    let log = polynomial(k, m, square, &series);
    let log = mul_add(k, m, log, s, exponent);
    let (is_zero, is_infinite) = (k.compare(Cond::Eq, base, zero), k.compare(Cond::Eq, base, infinity));
    let minus_infinity = k.neg(infinity);
    let log = k.select(is_zero, minus_infinity, log);
    let log = k.select(is_infinite, infinity, log);
    let is_number = k.compare(Cond::Eq, x, x);
    let log = k.select(is_number, log, nan);
    let power = k.mul(y, log);
    // Beyond these all is 0 or infinite in f32.
    let [least, most] = [-200.0, 200.0].map(|c| k.double(ty, c));
    let power = k.max(least, power);
    let power = k.min(most, power);
    let whole = k.unary(Unary::RoundEven, power);
    let (rest, ln2) = (k.sub(power, whole), k.double(ty, std::f64::consts::LN_2));
    let rest = k.mul(rest, ln2);
    let factorials: Vec<f64> = (0..=10u32).rev().map(|n| (2..=n).fold(1.0, |f, i| f / f64::from(i))).collect();
    let e = polynomial(k, m, rest, &factorials);
    let (whole, bias) = (k.convert(whole, Elem::I32, Rounding::TowardZero), k.int(int.with_elem(Elem::I32), 1023));
    let whole = k.add(whole, bias);
    let whole = k.widen(whole, Elem::I64);
    let scale = k.shl_imm(whole, 52);
    let scale = k.bitcast(scale, ty);
    let magnitude = k.mul(e, scale);
    // 1 to any power, and any number to the power of 0, NaN too.
    let (is_one, is_nothing) = (k.compare(Cond::Eq, base, one), k.compare(Cond::Eq, y, zero));
    let magnitude = k.select(is_one, one, magnitude);
    // Odd powers have the sign of the base; powers that are not whole have no real value of a negative one.
    let (halved, whole_y) = (k.mul(y, half), k.unary(Unary::Trunc, y));
    let whole_half = k.unary(Unary::Trunc, halved);
    let (is_whole, is_odd) = (k.compare(Cond::Eq, y, whole_y), k.compare(Cond::Ne, halved, whole_half));
    let signed = copy_sign(k, magnitude, x);
    let odd = k.select(is_odd, signed, magnitude);
    let is_even = k.compare(Cond::Eq, y, y);
    let result = k.select(is_even, odd, nan);
    let fraction = k.select(is_whole, result, nan);
    let (is_negative, is_finite) = (k.compare(Cond::Lt, x, zero), k.compare(Cond::Lt, base, infinity));
    let is_negative = k.and(is_negative, is_finite);
    let positive = k.select(is_whole, result, magnitude);
    let result = k.select(is_negative, fraction, positive);
    // 1 to the power of NaN.
    let (is_unit, is_any) = (k.compare(Cond::Eq, x, one), is_nothing);
    let result = k.select(is_unit, one, result);
    let result = k.select(is_any, one, result);
    k.to_float(result, Elem::F32)
}

/// What is left of x after division by y toward zero, as C's `fmod`, of f32 lanes. Each step leaves less than y times the next power, and
/// is exact, since its quotient has 28 bits and the divisor 24.
pub fn modulo(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let [x, y] = [x, y].map(|v| k.to_float(v, Elem::F64));
    let ty = k.ty(x);
    let (infinity, nan, divisor) = (k.double(ty, f64::INFINITY), k.double(ty, f64::NAN), k.unary(Unary::Abs, y));
    let mut rest = k.unary(Unary::Abs, x);
    for step in (0..10).rev() {
        let power = k.double(ty, libm::scalbn(1.0, 28 * step));
        let by = k.mul(divisor, power);
        let quotient = k.div(rest, by);
        let quotient = k.unary(Unary::Trunc, quotient);
        let whole = k.mul(quotient, by);
        rest = k.sub(rest, whole);
    }
    let rest = copy_sign(k, rest, x);
    let (is_infinite, magnitude) = (k.compare(Cond::Eq, divisor, infinity), k.unary(Unary::Abs, x));
    let rest = k.select(is_infinite, x, rest);
    let is_finite = k.compare(Cond::Lt, magnitude, infinity);
    let rest = k.select(is_finite, rest, nan);
    k.to_float(rest, Elem::F32)
}

/// What is left of x after division by y downwards: `modulo` with the sign of y.
pub fn floor_modulo(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let (rest, zero) = (modulo(k, x, y), k.float(k.ty(x), 0.0));
    let (moved, below, by_negative) = (k.add(rest, y), k.compare(Cond::Lt, rest, zero), k.compare(Cond::Lt, y, zero));
    let (differs, is_rest) = (k.xor(below, by_negative), k.compare(Cond::Ne, rest, zero));
    let differs = k.and(differs, is_rest);
    k.select(differs, moved, rest)
}

/// The quotient of f32 lanes, rounded down: divided in f64, as in the reference.
pub fn floor_quotient(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let [x, y] = [x, y].map(|v| k.to_float(v, Elem::F64));
    let quotient = k.div(x, y);
    let down = k.unary(Unary::Floor, quotient);
    k.to_float(down, Elem::F32)
}

/// A number without sign, with the sign of another.
pub fn copy_sign(k: &mut KernelBuilder, magnitude: Value, of: Value) -> Value {
    let ty = k.ty(of);
    let (bits, sign) = if ty.elem == Elem::F64 { (Elem::I64, i64::MIN) } else { (Elem::I32, i32::MIN.into()) };
    let bits = ty.with_elem(bits);
    let sign = k.int(bits, sign);
    let (of, magnitude) = (k.bitcast(of, bits), k.bitcast(magnitude, bits));
    let sign = k.and(of, sign);
    let v = k.or(sign, magnitude);
    k.bitcast(v, ty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::{ByteDot, interpret};

    /// Results for `x` on a machine with and without fma.
    fn apply(f: fn(&mut KernelBuilder, &Machine, Value) -> Value, x: &[f32]) -> Vec<Vec<f32>> {
        [true, false]
            .map(|fma| {
                let m = Machine::example(16, ByteDot::S16S16, fma, false);
                let mut k = KernelBuilder::new("f");
                let (a, b) = (k.read("x"), k.write("y"));
                k.each("i", x.len(), 1, |k, i| {
                    let v = k.load(Elem::F32.x(1), a.at(i * 4));
                    let y = f(k, &m, v);
                    k.store(b.at(i * 4), y);
                });
                let bytes = x.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
                let mut buffers = vec![bytes.clone(), bytes];
                interpret::call(&k.finish(), &[], &mut buffers).expect("within bounds");
                buffers[1].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            })
            .to_vec()
    }

    /// Bit patterns over the whole line, denser where something happens.
    fn samples() -> Vec<f32> {
        let line = (-9000..=9000).map(|i| i as f32 * 0.01);
        let tiny = (0..200).flat_map(|e| [f32::from_bits(e << 23 | 0x12345), -f32::from_bits(e << 23 | 0x54321)]);
        line.chain(tiny).chain([0.0, -0.0, 88.376_26, 88.5, 88.73, 1e30, -1e30, -87.336_54, -87.5, -87.7, -88.5, -104.0]).collect()
    }

    #[test]
    fn exp_is_within_a_unit_in_the_last_place() {
        let x = samples();
        for ys in apply(exp, &x) {
            for (&x, y) in x.iter().zip(ys) {
                let want = libm::exp(x as f64);
                if x < -87.68 {
                    assert_eq!(y, 0.0, "{x}");
                } else if 88.37 < x && y == f32::INFINITY {
                    assert!(88.376 < x, "{x}");
                } else if 88.72 < x {
                    assert_eq!(y, f32::INFINITY, "{x}");
                } else {
                    assert!((y as f64 - want).abs() < 1.3 * want * libm::scalbn(1.0, -23) + 1e-44, "exp({x}) = {y}, not {want}");
                }
            }
        }
    }

    #[test]
    fn logistic_is_close() {
        let x = samples();
        for ys in apply(logistic, &x) {
            for (&x, y) in x.iter().zip(ys) {
                let want = 1.0 / (1.0 + libm::exp(-x as f64));
                assert!((y as f64 - want).abs() <= 4.0 * want * libm::scalbn(1.0, -23) + 2e-38, "logistic({x}) = {y}, not {want}");
            }
        }
    }

    #[test]
    fn special_values() {
        let nan = f32::from_bits(0x7FC0_0001);
        let x = [nan, -nan, f32::INFINITY, f32::NEG_INFINITY];
        for y in apply(exp, &x) {
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[2..], [f32::INFINITY, 0.0]);
        }
        for y in apply(exp_of_negative, &x) {
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[3], 0.0);
        }
        for y in apply(logistic, &x) {
            assert!(y[0].is_nan() && y[1].is_nan());
            assert!(y[2] == 1.0 && y[3] < 2e-38);
        }
    }
}
