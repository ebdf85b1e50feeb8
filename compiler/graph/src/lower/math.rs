//! Transcendental functions of f32 vectors, written out in tile operations.
//!
//! Not the tables of quantised operators: those are computed when the model is compiled, in f64. The idea: a fixed order of additions
//! and multiplications, so that every machine with the same choice of fused multiply-add gets the same bits; NaN comes out as NaN.

use cranelite_tile::{Cond, KernelBuilder, Machine, Value};

/// `a · b + c`: fused where the machine does that in one instruction.
pub fn mul_add(k: &mut KernelBuilder, m: &Machine, a: Value, b: Value, c: Value) -> Value {
    if m.fma {
        k.fma(a, b, c)
    } else {
        let product = k.mul(a, b);
        k.add(product, c)
    }
}

/// Smallest argument whose exponential is no denormal.
const EXP_MIN: f32 = -87.336_54;
/// Largest argument with which `scaled_exp` stays below 2^128.
const EXP_MAX: f32 = 88.376_26;

/// e^x, at most one unit in the last place off. What would be denormal is 0.
pub fn exp(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let bounded = clamp(k, x, EXP_MIN, EXP_MAX);
    let y = scaled_exp(k, m, bounded);
    let (high, infinity) = (k.float(ty, EXP_MAX), k.float(ty, f32::INFINITY));
    let overflows = k.compare(Cond::Gt, x, high);
    let y = k.select(overflows, infinity, y);
    flush(k, x, y)
}

/// e^x for x ≤ 0 or NaN, as `exp`.
pub fn exp_of_negative(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let low = k.float(k.ty(x), EXP_MIN);
    let bounded = k.max(low, x);
    let y = scaled_exp(k, m, bounded);
    flush(k, x, y)
}

/// 0 instead of `y` where x is below the range of `scaled_exp`.
fn flush(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let ty = k.ty(x);
    let (low, zero) = (k.float(ty, EXP_MIN), k.float(ty, 0.0));
    let vanishes = k.compare(Cond::Lt, x, low);
    k.select(vanishes, zero, y)
}

/// `x` forced into low..=high; NaN stays.
fn clamp(k: &mut KernelBuilder, x: Value, low: f32, high: f32) -> Value {
    let ty = k.ty(x);
    let (low, high) = (k.float(ty, low), k.float(ty, high));
    let x = k.max(low, x);
    k.min(high, x)
}

/// e^x for x from EXP_MIN to EXP_MAX: 2^n · e^r with |r| ≤ ln 2 / 2, e^r by a polynomial.
fn scaled_exp(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    // Adding 1.5 · 2^23 leaves an integer in the low bits; 127 more makes it the exponent of 2^n.
    let (per_ln2, shift) = (k.float(ty, std::f32::consts::LOG2_E), k.float(ty, 12_583_039.0));
    let shifted = mul_add(k, m, x, per_ln2, shift);
    let n = k.sub(shifted, shift);
    // ln 2 in two parts, of which the first times n is exact.
    let (ln2_high, ln2_low) = (k.float(ty, -0.693_359_4), k.float(ty, 2.121_944_4e-4));
    let r = mul_add(k, m, n, ln2_high, x);
    let r = mul_add(k, m, n, ln2_low, r);
    let mut p = k.float(ty, 1.987_569_1e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        let c = k.float(ty, c);
        p = mul_add(k, m, p, r, c);
    }
    let (square, one) = (k.mul(r, r), k.float(ty, 1.0));
    let y = mul_add(k, m, p, square, r);
    let y = k.add(y, one);
    let bits = k.bitcast(shifted, ty.with_elem(cranelite_tile::Elem::I32));
    let bits = k.shl_imm(bits, 23);
    let power = k.bitcast(bits, ty);
    // Multiplying, not adding to the exponent, keeps NaN a NaN.
    k.mul(y, power)
}

/// 1 / (1 + e^−x).
pub fn logistic(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let minus = k.neg(x);
    // Below the bound the result would be denormal.
    let bounded = clamp(k, minus, -87.0, 87.0);
    let e = scaled_exp(k, m, bounded);
    let one = k.float(ty, 1.0);
    let denominator = k.add(e, one);
    k.div(one, denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::{ByteDot, Elem, interpret};

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
        line.chain(tiny).chain([0.0, -0.0, 88.376_26, 88.37627, 88.73, 1e30, -1e30, -87.336_54, -87.33655, -104.0]).collect()
    }

    #[test]
    fn exp_is_within_a_unit_in_the_last_place() {
        let x = samples();
        for ys in apply(exp, &x) {
            for (&x, y) in x.iter().zip(ys) {
                let want = libm::exp(x as f64);
                if x < EXP_MIN {
                    assert_eq!(y, 0.0, "{x}");
                } else if EXP_MAX < x {
                    assert_eq!(y, f32::INFINITY, "{x}");
                } else {
                    assert!((y as f64 - want).abs() < 1.3 * want * 2f64.powi(-23), "exp({x}) = {y}, not {want}");
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
                assert!((y as f64 - want).abs() <= 4.0 * want * 2f64.powi(-23) + 2e-38, "logistic({x}) = {y}, not {want}");
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
