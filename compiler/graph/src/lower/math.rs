//! Transcendental functions of f32 vectors, written out in tile operations.
//!
//! Not the tables of quantised operators: those are computed when the model is compiled, in f64. The idea: a fixed order of additions
//! and multiplications, so that every machine with the same choice of fused multiply-add gets the same bits; NaN comes out as NaN.

use cranelite_tile::{Cond, Elem, KernelBuilder, Machine, Unary, Value};

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

/// e^(sign · x) as (y, 2^n): y = e^r with |r| ≤ ln 2 / 2 by a polynomial, 3e-9 off at most. The sign is 1 or −1.
fn scaled_exp(k: &mut KernelBuilder, m: &Machine, x: Value, sign: f32) -> (Value, Value) {
    let ty = k.ty(x);
    // Adding 1.5 · 2^23 leaves an integer in the low bits; 127 more makes it the exponent of 2^n.
    let (per_ln2, shift) = (k.float(ty, sign * std::f32::consts::LOG2_E), k.float(ty, 12_583_039.0));
    let shifted = mul_add(k, m, x, per_ln2, shift);
    let n = k.sub(shifted, shift);
    // ln 2 in two parts, of which the first times n is exact.
    let (ln2_high, ln2_low) = (k.float(ty, sign * -0.693_359_4), k.float(ty, sign * 2.121_944_4e-4));
    let r = mul_add(k, m, n, ln2_high, x);
    let r = mul_add(k, m, n, ln2_low, r);
    // From r^6 down; r has the sign of x.
    let coefficients = [1.381_453_9e-3, 8.368_745e-3, 4.166_839e-2, 1.666_652_1e-1, 4.999_999_4e-1, 1.0, 1.0];
    let mut y = k.float(ty, coefficients[0]);
    for (c, power) in coefficients[1..].iter().zip([5, 4, 3, 2, 1, 0]) {
        let c = k.float(ty, if power % 2 == 1 { sign * c } else { *c });
        y = mul_add(k, m, y, r, c);
    }
    let bits = k.bitcast(shifted, ty.with_elem(Elem::I32));
    let bits = k.shl_imm(bits, 23);
    (y, k.bitcast(bits, ty))
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

/// The hyperbolic tangent: an odd polynomial near 0, 1 − 2 / (e^2x + 1) beyond.
pub fn tanh(k: &mut KernelBuilder, m: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let magnitude = k.unary(Unary::Abs, x);
    let square = k.mul(x, x);
    let mut y = k.float(ty, -5.717_045e-3);
    for c in [2.065_058_8e-2, -5.374_35e-2, 1.333_149_1e-1, -3.333_328_4e-1] {
        let c = k.float(ty, c);
        y = mul_add(k, m, y, square, c);
    }
    let cube = k.mul(x, square);
    let near = mul_add(k, m, y, cube, x);
    let (one, two, limit) = (k.float(ty, 1.0), k.float(ty, 2.0), k.float(ty, 0.625));
    // From 10 on the result is 1.
    let bounded = clamp(k, magnitude, None, Some(10.0));
    let twice = k.add(bounded, bounded);
    let (e, power) = scaled_exp(k, m, twice, 1.0);
    let denominator = mul_add(k, m, e, power, one);
    let quotient = k.div(two, denominator);
    let far = k.sub(one, quotient);
    let far = copy_sign(k, far, x);
    let is_near = k.compare(Cond::Lt, magnitude, limit);
    k.select(is_near, near, far)
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
