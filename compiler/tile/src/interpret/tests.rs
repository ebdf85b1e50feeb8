//! Semantics of every operation at its edges.

use super::*;
use crate::builder::KernelBuilder;
use crate::types::{Elem, Type};
use Elem::*;

/// A lane to and from bytes.
pub trait Lane: Copy + PartialEq + std::fmt::Debug {
    const ELEM: Elem;
    fn write(self, to: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Self;
}
macro_rules! lane {
    ($($t:ty = $e:ident),*) => { $(impl Lane for $t {
        const ELEM: Elem = $e;
        fn write(self, to: &mut Vec<u8>) { to.extend(self.to_le_bytes()) }
        fn read(bytes: &[u8]) -> Self { Self::from_le_bytes(bytes.try_into().unwrap()) }
    })* };
}
lane!(i8 = I8, u8 = U8, i16 = I16, u16 = U16, i32 = I32, u32 = U32, i64 = I64, f32 = F32, f64 = F64);

fn bytes<T: Lane>(lanes: &[T]) -> Vec<u8> {
    let mut b = vec![];
    lanes.iter().for_each(|l| l.write(&mut b));
    b
}
pub fn lanes<T: Lane>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(T::read).collect()
}

/// Loads each of `inputs` as a vector, applies `f`, stores the result.
fn apply<R: Lane>(inputs: &[(Type, Vec<u8>)], f: impl FnOnce(&mut KernelBuilder, &[Value]) -> Value) -> Result<Vec<R>, Fault> {
    let mut k = KernelBuilder::new("op");
    let args: Vec<Arg> = inputs.iter().map(|_| k.read("x")).collect();
    let out = k.write("out");
    let values: Vec<Value> = inputs.iter().zip(&args).map(|((ty, _), a)| k.load(*ty, a.at(0))).collect();
    let result = f(&mut k, &values);
    let size = k.ty(result).bytes() as usize;
    k.store(out.at(0), result);
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|(_, b)| b.clone()).collect();
    buffers.push(vec![0; size]);
    call(&k.finish(), &[], &mut buffers).map_err(|e| e.fault)?;
    Ok(lanes(buffers.last().unwrap()))
}
fn vector<T: Lane>(lanes: &[T]) -> (Type, Vec<u8>) {
    (T::ELEM.x(lanes.len()), bytes(lanes))
}
fn one<T: Lane, R: Lane>(a: &[T], f: impl FnOnce(&mut KernelBuilder, Value) -> Value) -> Vec<R> {
    apply(&[vector(a)], |k, v| f(k, v[0])).unwrap()
}
fn two<T: Lane, R: Lane>(a: &[T], b: &[T], f: impl FnOnce(&mut KernelBuilder, Value, Value) -> Value) -> Vec<R> {
    apply(&[vector(a), vector(b)], |k, v| f(k, v[0], v[1])).unwrap()
}
fn binary<T: Lane>(op: Binary, a: &[T], b: &[T]) -> Vec<T> {
    two(a, b, |k, a, b| k.binary(op, a, b))
}

#[test]
fn integers_wrap_and_division_is_total() {
    assert_eq!(binary(Binary::Add, &[127i8, -128, 5], &[1, -1, 6]), [-128, 127, 11]);
    assert_eq!(binary(Binary::Sub, &[0u8, 255], &[1, 255]), [255, 0]);
    assert_eq!(binary(Binary::Mul, &[i32::MIN, 65536, u32::MAX as i32], &[-1, 65536, -1]), [i32::MIN, 0, 1]);
    assert_eq!(binary(Binary::Mul, &[u32::MAX, 3], &[u32::MAX, 5]), [1, 15]);
    assert_eq!(binary(Binary::Mul, &[i64::MIN, 3], &[-1, i64::MAX]), [i64::MIN, i64::MAX - 2]);
    assert_eq!(binary(Binary::Div, &[7i32, -7, 7, i32::MIN, 9], &[2, 2, -2, -1, 0]), [3, -3, -3, i32::MIN, 0]);
    assert_eq!(binary(Binary::Rem, &[7i32, -7, 7, i32::MIN, 9], &[2, 2, -2, -1, 0]), [1, -1, 1, 0, 0]);
    assert_eq!(binary(Binary::Div, &[i64::MIN], &[-1]), [i64::MIN]);
    assert_eq!(binary(Binary::Div, &[u32::MAX], &[2]), [u32::MAX / 2]);
}

#[test]
fn bits_shifts_and_saturation() {
    assert_eq!(binary(Binary::And, &[-1i8, 6], &[5, 3]), [5, 2]);
    assert_eq!(binary(Binary::Or, &[0x80u8, 6], &[1, 3]), [0x81, 7]);
    assert_eq!(binary(Binary::Xor, &[-1i16, 6], &[-1, 3]), [0, 5]);
    assert_eq!(binary(Binary::Shl, &[1i8, 1, -1, 3], &[7, 8, 9, -1]), [-128, 1, -2, -128]);
    assert_eq!(binary(Binary::Shr, &[-128i8, -128, 64, -1], &[7, 9, 6, -1]), [-1, -64, 1, -1]);
    assert_eq!(binary(Binary::Shr, &[0x80u8, 0xff], &[7, 255]), [1, 1]);
    assert_eq!(binary(Binary::Shr, &[i64::MIN, -1], &[63, 64]), [-1, -1]);
    assert_eq!(one::<u32, u32>(&[u32::MAX], |k, a| k.shr_imm(a, 31)), [1]);
    assert_eq!(one::<i32, i32>(&[i32::MIN, 3], |k, a| k.shr_imm(a, 31)), [-1, 0]);
    assert_eq!(one::<i16, i16>(&[0x4001], |k, a| k.shl_imm(a, 1)), [-0x7ffe]);
    assert_eq!(binary(Binary::AddSat, &[127i8, -128, 5], &[1, -1, 6]), [127, -128, 11]);
    assert_eq!(binary(Binary::SubSat, &[0u8, 255], &[1, 5]), [0, 250]);
    assert_eq!(binary(Binary::AddSat, &[u16::MAX, 4], &[1, 5]), [u16::MAX, 9]);
    assert_eq!(binary(Binary::SubSat, &[i16::MIN, 4], &[1, 5]), [i16::MIN, -1]);
    let wide = apply::<i32>(&[vector(&[1i32])], |k, v| k.binary(Binary::AddSat, v[0], v[0]));
    assert!(matches!(wide, Err(Fault::IllFormed(_))));
}

#[test]
fn unary_integers() {
    assert_eq!(one::<i8, i8>(&[-128, 5], |k, a| k.unary(Unary::Neg, a)), [-128, -5]);
    assert_eq!(one::<u8, u8>(&[1, 0], |k, a| k.unary(Unary::Neg, a)), [255, 0]);
    assert_eq!(one::<i64, i64>(&[i64::MIN, -5], |k, a| k.unary(Unary::Abs, a)), [i64::MIN, 5]);
    assert_eq!(one::<i32, i32>(&[i32::MIN, -5], |k, a| k.unary(Unary::Abs, a)), [i32::MIN, 5]);
    assert_eq!(one::<u16, u16>(&[0, 0xff00], |k, a| k.unary(Unary::Not, a)), [0xffff, 0x00ff]);
    assert_eq!(one::<i8, i8>(&[0, 1, -1, 64], |k, a| k.unary(Unary::LeadingZeros, a)), [8, 7, 0, 1]);
    assert_eq!(one::<u32, u32>(&[0, 1, u32::MAX], |k, a| k.unary(Unary::LeadingZeros, a)), [32, 31, 0]);
    assert_eq!(one::<i64, i64>(&[0, 1, -1], |k, a| k.unary(Unary::LeadingZeros, a)), [64, 63, 0]);
}

#[test]
fn unary_floats() {
    assert_eq!(
        one::<f32, u32>(&[-0.0, f32::NEG_INFINITY], |k, a| {
            let v = k.unary(Unary::Abs, a);
            k.bitcast(v, U32.x(2))
        }),
        [0, 0x7f80_0000]
    );
    assert_eq!(one::<f64, u64bits>(&[0.0], |k, a| k.unary(Unary::Neg, a)), [u64bits(1 << 63)]);
    assert_eq!(one::<f32, f32>(&[2.5, 3.5, -2.5, 0.5], |k, a| k.unary(Unary::RoundEven, a)), [2.0, 4.0, -2.0, 0.0]);
    assert_eq!(one::<f32, f32>(&[2.5, -2.5], |k, a| k.unary(Unary::Floor, a)), [2.0, -3.0]);
    assert_eq!(one::<f64, f64>(&[2.5, -2.5], |k, a| k.unary(Unary::Ceil, a)), [3.0, -2.0]);
    assert_eq!(one::<f64, f64>(&[2.5, -2.5, 1e300], |k, a| k.unary(Unary::Trunc, a)), [2.0, -2.0, 1e300]);
    assert_eq!(one::<f32, f32>(&[2.0, 0.0], |k, a| k.unary(Unary::Sqrt, a)), [std::f32::consts::SQRT_2, 0.0]);
    assert!(one::<f64, f64>(&[-1.0], |k, a| k.unary(Unary::Sqrt, a))[0].is_nan());
    assert!(matches!(apply::<f32>(&[vector(&[1f32])], |k, v| k.unary(Unary::Not, v[0])), Err(Fault::IllFormed(_))));
}

/// Compares by bits where -0.0 and 0.0 must differ.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(non_camel_case_types)]
struct u64bits(u64);
impl Lane for u64bits {
    const ELEM: Elem = F64;
    fn write(self, to: &mut Vec<u8>) {
        to.extend(self.0.to_le_bytes());
    }
    fn read(bytes: &[u8]) -> Self {
        u64bits(u64::from_le_bytes(bytes.try_into().unwrap()))
    }
}
fn bits(v: f64) -> u64bits {
    u64bits(v.to_bits())
}

#[test]
fn min_and_max_are_comparisons() {
    assert_eq!(binary(Binary::Min, &[-1i8, 3], &[1, -3]), [-1, -3]);
    assert_eq!(binary(Binary::Max, &[255u8, 3], &[1, 4]), [255, 4]);
    assert_eq!(binary(Binary::Max, &[u32::MAX, 3], &[1, 4]), [u32::MAX, 4]);
    // The second operand where neither is smaller.
    let (a, b) = ([0.0, -0.0, f64::NAN, 1.0].map(bits), [-0.0, 0.0, 1.0, f64::NAN].map(bits));
    assert_eq!(binary(Binary::Min, &a, &b), b);
    assert_eq!(binary(Binary::Max, &a, &b), b);
    assert_eq!(binary(Binary::Min, &[1f32, 2.0], &[2.0, 1.0]), [1.0, 1.0]);
    assert_eq!(binary(Binary::Max, &[1f32, 2.0], &[2.0, 1.0]), [2.0, 2.0]);
}

#[test]
fn float_arithmetic_rounds_once_per_operation() {
    assert_eq!(binary(Binary::Add, &[16777216f32], &[1.0]), [16777216.0]);
    assert_eq!(binary(Binary::Sub, &[1f64], &[1e-17]), [1.0]);
    assert_eq!(binary(Binary::Mul, &[0.1f32], &[0.1]), [0.1 * 0.1]);
    assert_eq!(binary(Binary::Div, &[1f64, 1.0, -1.0], &[3.0, 0.0, 0.0]), [1.0 / 3.0, f64::INFINITY, f64::NEG_INFINITY]);
    // (1 + 2^-12)^2 - (1 + 2^-11) = 2^-24 is lost when the product is rounded.
    let a = 1.0 + libm::scalbnf(1.0, -12);
    let c = -(1.0 + libm::scalbnf(1.0, -11));
    let fma = |v: [f32; 3]| apply::<f32>(&v.map(|v| vector(&[v])), |k, v| k.fma(v[0], v[1], v[2])).unwrap()[0];
    assert_eq!(fma([a, a, c]), libm::scalbnf(1.0, -24));
    assert_eq!(a * a + c, 0.0);
    // A double rounding by way of f64 would go down to even: 1 + 2^-24 + tiny must go up.
    assert_eq!(fma([1.0 + libm::scalbnf(1.0, -23), libm::scalbnf(1.0, -24), 1.0]), 1.0 + libm::scalbnf(1.0, -23));
    assert_eq!(fma([libm::scalbnf(1.0, -24), 1.0 + libm::scalbnf(1.0, -23), 1.0 + libm::scalbnf(1.0, -23)]), 1.0 + libm::scalbnf(1.0, -22));
    assert_eq!(fma([libm::scalbnf(1.0, -80), libm::scalbnf(1.0, -80), 1.0 + libm::scalbnf(1.0, -23)]), 1.0 + libm::scalbnf(1.0, -23));
    let a = 1.0 + libm::scalbn(1.0, -30);
    let wide = apply::<f64>(&[a, a, -1.0 - libm::scalbn(1.0, -29)].map(|v| vector(&[v])), |k, v| k.fma(v[0], v[1], v[2])).unwrap();
    assert_eq!(wide, [libm::scalbn(1.0, -60)]);
    let by_lane =
        apply::<f32>(&[vector(&[1f32, 2.0]), vector(&[0f32, 0.0, 3.0]), vector(&[10f32, 20.0])], |k, v| k.fma_lane(v[0], v[1], 2, v[2]));
    assert_eq!(by_lane.unwrap(), [31.0, 62.0]);
}

#[test]
fn fixed_point() {
    let high = |a: i32, b: i32| binary(Binary::MulHighRound, &[a], &[b])[0];
    assert_eq!(high(i32::MIN, i32::MIN), i32::MAX);
    assert_eq!(high(i32::MIN, i32::MAX), -i32::MAX);
    // Halves go up: 0.5 to 1, -0.5 to 0, -1.5 to -1.
    assert_eq!([high(1 << 15, 1 << 15), high(-(1 << 15), 1 << 15), high(-3 << 15, 1 << 15)], [1, 0, -1]);
    let shr = |a: i32, n: u8| one::<i32, i32>(&[a], |k, a| k.rounding_shr(a, n))[0];
    // Halves go away from zero.
    assert_eq!([shr(1, 1), shr(-1, 1), shr(-3, 1), shr(5, 2), shr(6, 2), shr(-6, 2), shr(-5, 2)], [1, -1, -2, 1, 2, -2, -1]);
    assert_eq!([shr(i32::MAX, 31), shr(i32::MIN, 31), shr(1 << 30, 31), shr(-(1 << 30), 31), shr(7, 0)], [1, -1, 1, -1, 7]);
    assert_eq!(one::<i64, i64>(&[i64::MAX, i64::MIN], |k, a| k.rounding_shr(a, 63)), [1, -1]);
    assert_eq!(one::<i8, i8>(&[127, -128, 64], |k, a| k.rounding_shr(a, 7)), [1, -1, 1]);
    assert_eq!(two::<i32, i64>(&[i32::MIN, -3], &[i32::MIN, 5], |k, a, b| k.mul_wide(a, b)), [1 << 62, -15]);
}

#[test]
fn requantization() {
    let run = |x: i32, multiplier: i32, shift: i32, range| {
        apply::<i32>(&[x, multiplier, shift].map(|v| vector(&[v])), |k, v| k.requantize(v[0], v[1], v[2], range)).map(|v| v[0])
    };
    let half = 1 << 30;
    assert_eq!(run(10, half, 0, ShiftRange::Any), Ok(5));
    assert_eq!(run(10, half, 3, ShiftRange::Any), Ok(40));
    assert_eq!(run(10, half, -1, ShiftRange::Right), Ok(3));
    assert_eq!(run(-10, half, -1, ShiftRange::Right), Ok(-3));
    // Two roundings: 2.5 to 3, then 1.5 to 2; one would make 1 of 1.25.
    assert_eq!(run(5, half, -1, ShiftRange::Any), Ok(2));
    assert_eq!(run(1 << 30, i32::MAX, 2, ShiftRange::Any), Ok(0), "the left shift wraps");
    assert_eq!(run(i32::MAX, i32::MAX, -31, ShiftRange::Right), Ok(1));
    assert_eq!(run(5, half, 0, ShiftRange::Right), Err(Fault::Shift { shift: 0, low: -31, high: -1 }));
    assert_eq!(run(5, half, 31, ShiftRange::Any), Err(Fault::Shift { shift: 31, low: -31, high: 30 }));
    assert_eq!(run(5, half, -2, ShiftRange::Uniform(-1)), Err(Fault::Shift { shift: -2, low: -1, high: -1 }));
    assert_eq!(run(5, 0, 0, ShiftRange::Right), Ok(0), "a lane that is no channel");
    assert_eq!(run(5, i32::MIN, -1, ShiftRange::Right), Err(Fault::SmallestMultiplier));
    assert_eq!(run(i32::MIN, -i32::MAX, 0, ShiftRange::Any), Ok(i32::MAX));
}

#[test]
fn comparison_and_selection() {
    let pick = |cond| {
        two::<i8, i8>(&[1, 2, 3, -1], &[2, 2, 2, 2], |k, a, b| {
            let m = k.compare(cond, a, b);
            k.select(m, a, b)
        })
    };
    assert_eq!(pick(Cond::Lt), [1, 2, 2, -1]);
    assert_eq!(pick(Cond::Ge), [2, 2, 3, 2]);
    let truth = |cond, a: &[f32], b: &[f32]| -> Vec<u32> {
        two(a, b, |k, a, b| {
            let ty = U32.x(k.ty(a).lanes as usize);
            let (m, yes, no) = (k.compare(cond, a, b), k.int(ty, 1), k.int(ty, 0));
            k.select(m, yes, no)
        })
    };
    let (a, b) = ([1.0, f32::NAN, 0.0, 2.0], [2.0, f32::NAN, -0.0, 1.0]);
    assert_eq!(truth(Cond::Eq, &a, &b), [0, 0, 1, 0]);
    assert_eq!(truth(Cond::Ne, &a, &b), [1, 1, 0, 1]);
    assert_eq!(truth(Cond::Lt, &a, &b), [1, 0, 0, 0]);
    assert_eq!(truth(Cond::Le, &a, &b), [1, 0, 1, 0]);
    assert_eq!(truth(Cond::Gt, &a, &b), [0, 0, 0, 1]);
    assert_eq!(truth(Cond::Ge, &a, &b), [0, 0, 1, 1]);
    // 200 is no negative number.
    assert_eq!(
        two::<u8, u8>(&[200], &[100], |k, a, b| {
            let m = k.compare(Cond::Lt, a, b);
            k.select(m, a, b)
        }),
        [100]
    );
    let masks = two::<i32, i32>(&[1, 1, 3, 3], &[1, 2, 1, 2], |k, a, b| {
        let (eq, gt) = (k.compare(Cond::Eq, a, b), k.compare(Cond::Gt, a, b));
        let either = k.or(eq, gt);
        let neither = k.unary(Unary::Not, either);
        k.select(neither, a, b)
    });
    assert_eq!(masks, [1, 1, 1, 2]);
}

#[test]
fn dot_products() {
    let s8 = apply::<i32>(
        &[vector(&[10i32, i32::MAX]), vector(&[1i8, 2, 3, 4, -128, 0, 0, 0]), vector(&[5i8, 6, 7, 8, -128, 0, 0, 0])],
        |k, v| k.dot(4, v[0], v[1], v[2]),
    );
    assert_eq!(s8.unwrap(), [80, i32::MAX.wrapping_add(16384)]);
    // No saturation between the products.
    let u8s8 = apply::<i32>(&[vector(&[0i32]), vector(&[255u8; 4]), vector(&[127i8; 4])], |k, v| k.dot(4, v[0], v[1], v[2]));
    assert_eq!(u8s8.unwrap(), [4 * 255 * 127]);
    let s16 = apply::<i32>(&[vector(&[0i32]), vector(&[i16::MIN; 2]), vector(&[i16::MIN; 2])], |k, v| k.dot(2, v[0], v[1], v[2]));
    assert_eq!(s16.unwrap(), [i32::MIN]);
    let lane = apply::<i32>(&[vector(&[1i32, 2]), vector(&[0i16, 0, 3, 4]), vector(&[1i16, 10, 100, 1000])], |k, v| {
        k.dot_lane(2, v[0], v[1], 1, v[2])
    });
    assert_eq!(lane.unwrap(), [1 + 3 + 40, 2 + 300 + 4000]);
    let s8u8 = apply::<i32>(&[vector(&[0i32]), vector(&[-1i8; 4]), vector(&[255u8; 4])], |k, v| k.dot(4, v[0], v[1], v[2]));
    assert_eq!(s8u8.unwrap(), [-4 * 255]);
    let sixteen = apply::<i32>(&[vector(&[1i32]), vector(&[255u8; 16]), vector(&[255u8; 16])], |k, v| k.dot(16, v[0], v[1], v[2]));
    assert_eq!(sixteen.unwrap(), [1 + 16 * 255 * 255]);
    let one = apply::<i32>(&[vector(&[1i32, 2]), vector(&[i16::MIN, 3]), vector(&[i16::MAX, -4])], |k, v| k.dot(1, v[0], v[1], v[2]));
    assert_eq!(one.unwrap(), [1 - 32768 * 32767, -10]);
    // Rows (1, 0 …) and (1, 2, 0 …) by rows (3, 0 …) and (0, … 5), and once more of the least numbers.
    let row = |at: [usize; 2], v: [i8; 2]| {
        let mut row = [0; 8];
        at.iter().zip(v).for_each(|(at, v)| row[*at] += v);
        row
    };
    let a = [row([0, 0], [1, 0]), row([0, 7], [1, 2]), [i8::MIN; 8], [0; 8]].concat();
    let b = [row([0, 0], [3, 0]), row([0, 7], [0, 5]), [i8::MIN; 8], [1; 8]].concat();
    let matrix =
        apply::<i32>(&[vector(&[10i32, 20, 30, 40, i32::MAX, 0, 0, 0]), vector(&a), vector(&b)], |k, v| k.dot_matrix(v[0], v[1], v[2]));
    assert_eq!(matrix.unwrap(), [13, 20, 33, 50, i32::MAX.wrapping_add(1 << 17), -1024, 0, 0]);
    let wrong = apply::<i32>(&[vector(&[0i32]), vector(&[1i8; 2]), vector(&[1i8; 2])], |k, v| k.dot(2, v[0], v[1], v[2]));
    assert!(matches!(wrong, Err(Fault::IllFormed(_))));
}

#[test]
fn high_products() {
    let high = |a: i32, b: i32| two::<i32, i32>(&[a], &[b], |k, a, b| k.mul_high(a, b))[0];
    assert_eq!(high(i32::MIN, i32::MIN), 1 << 30);
    assert_eq!(high(-1, 1), -1);
    assert_eq!(high(1 << 20, 1 << 14), 4);
    assert_eq!(high(i32::MAX, i32::MIN), -(1 << 30));
}

#[test]
fn conversions() {
    let to = |a: &[f32], elem, rounding| {
        one::<f32, i32>(a, |k, a| {
            let v = k.convert(a, elem, rounding);
            k.widen(v, I32)
        })
    };
    let a = [2.5, 3.5, -2.5, 1e9, -1e9, f32::NAN, f32::INFINITY, 127.6];
    assert_eq!(to(&a, I8, Rounding::NearestEven), [2, 4, -2, 127, -128, 0, 127, 127]);
    assert_eq!(to(&a, I8, Rounding::TowardZero), [2, 3, -2, 127, -128, 0, 127, 127]);
    assert_eq!(to(&a, U8, Rounding::NearestEven), [2, 4, 0, 255, 0, 0, 255, 128]);
    assert_eq!(to(&a, U16, Rounding::TowardZero), [2, 3, 0, 65535, 0, 0, 65535, 127]);
    assert_eq!(
        one::<f32, i32>(&[2e9, 3e9, -3e9, f32::NAN], |k, a| k.convert(a, I32, Rounding::TowardZero)),
        [2_000_000_000, i32::MAX, i32::MIN, 0]
    );
    assert_eq!(
        one::<f64, u32>(&[3e9, -1.0, 4294967294.5], |k, a| k.convert(a, U32, Rounding::NearestEven)),
        [3_000_000_000, 0, 4294967294]
    );
    assert_eq!(one::<f64, i64>(&[1e30, -1e30, 0.5, 1.5], |k, a| k.convert(a, I64, Rounding::NearestEven)), [i64::MAX, i64::MIN, 0, 2]);
    // Ties to even, from all 64 bits at once.
    assert_eq!(one::<i32, f32>(&[16777217, 16777219, -5], |k, a| k.to_float(a, F32)), [16777216.0, 16777220.0, -5.0]);
    let odd = (1i64 << 54) + 1 + (1 << 30);
    assert_eq!(one::<i64, f32>(&[odd], |k, a| k.to_float(a, F32)), [(1i64 << 54) as f32 + libm::scalbnf(1.0, 31)]);
    assert_eq!(one::<u32, f64>(&[u32::MAX], |k, a| k.to_float(a, F64)), [4294967295.0]);
    assert_eq!(one::<u8, f32>(&[255], |k, a| k.to_float(a, F32)), [255.0]);
    assert_eq!(
        one::<f64, f32>(&[1.0 + libm::scalbn(1.0, -24), 1.0 + libm::scalbn(1.0, -24) + libm::scalbn(1.0, -50), 1e300], |k, a| k
            .to_float(a, F32)),
        [1.0, 1.0 + libm::scalbnf(1.0, -23), f32::INFINITY]
    );
    assert_eq!(one::<f32, f64>(&[0.1], |k, a| k.to_float(a, F64)), [f64::from(0.1f32)]);
}

#[test]
fn widening_and_narrowing() {
    assert_eq!(one::<i8, i32>(&[-1, 127], |k, a| k.widen(a, I32)), [-1, 127]);
    assert_eq!(one::<u8, i16>(&[255], |k, a| k.widen(a, I16)), [255]);
    assert_eq!(one::<u32, i64>(&[u32::MAX], |k, a| k.widen(a, I64)), [i64::from(u32::MAX)]);
    assert_eq!(one::<i32, i8>(&[-1, 128, 384], |k, a| k.narrow(a, I8)), [-1, -128, -128]);
    assert_eq!(one::<i64, u16>(&[-1, 65536], |k, a| k.narrow(a, U16)), [65535, 0]);
    assert_eq!(one::<i32, i8>(&[-1, 128, -129], |k, a| k.narrow_sat(a, I8)), [-1, 127, -128]);
    assert_eq!(one::<i16, u8>(&[-1, 128, 256], |k, a| k.narrow_sat(a, U8)), [0, 128, 255]);
    assert_eq!(one::<u32, i32>(&[u32::MAX, 3], |k, a| k.narrow_sat(a, I32)), [i32::MAX, 3]);
    assert_eq!(one::<i32, u32>(&[-3], |k, a| k.bitcast(a, U32.x(1))), [-3i32 as u32]);
    assert_eq!(one::<f32, i32>(&[-0.0], |k, a| k.bitcast(a, I32.x(1))), [i32::MIN]);
    assert_eq!(one::<i32, i8>(&[0x0102_03ff], |k, a| k.bitcast(a, I8.x(4))), [-1, 3, 2, 1]);
    assert_eq!(one::<u8, i64>(&[1, 0, 0, 0, 0, 0, 0, 0x80], |k, a| k.bitcast(a, I64.x(1))), [i64::MIN + 1]);
}

#[test]
fn lanes_move() {
    let a = [1i16, 2, 3, 4];
    assert_eq!(one::<i16, i16>(&a, |k, a| k.lane(a, 2)), [3]);
    assert_eq!(one::<i16, i16>(&[7], |k, a| k.splat(a, 3)), [7, 7, 7]);
    assert_eq!(two::<i16, i16>(&a, &[9], |k, a, b| k.concat(a, b)), [1, 2, 3, 4, 9]);
    assert_eq!(one::<i16, i16>(&a, |k, a| k.slice(a, 1, 2)), [2, 3]);
    assert_eq!(two::<i16, i16>(&[1, 2], &[3, 4], |k, a, b| k.interleave(a, b)), [1, 3, 2, 4]);
    assert_eq!(one::<i16, i16>(&a, |k, a| k.deinterleave(a, 0)), [1, 3]);
    assert_eq!(one::<i16, i16>(&a, |k, a| k.deinterleave(a, 1)), [2, 4]);
}

#[test]
fn reduction_is_a_fixed_tree() {
    assert_eq!(one::<i8, i8>(&[100, 100, 100, 100], |k, a| k.reduce(Reduce::Add, a)), [-112]);
    assert_eq!(one::<u8, u8>(&[7, 200, 3, 9], |k, a| k.reduce(Reduce::Max, a)), [200]);
    assert_eq!(one::<i32, i32>(&[7], |k, a| k.reduce(Reduce::Min, a)), [7]);
    // (1e8 + 1) + (-1e8 + 1): upper half onto lower half gives (1e8 - 1e8) + (1 + 1).
    assert_eq!(one::<f32, f32>(&[1e8, 1.0, -1e8, 1.0], |k, a| k.reduce(Reduce::Add, a)), [2.0]);
    // lower < upper ? lower : upper, so NaN above wins and NaN below loses.
    assert!(one::<f32, f32>(&[1.0, f32::NAN], |k, a| k.reduce(Reduce::Min, a))[0].is_nan());
    assert_eq!(one::<f32, f32>(&[f32::NAN, 1.0], |k, a| k.reduce(Reduce::Min, a)), [1.0]);
    let each = apply::<f32>(&[vector(&[1e8f32, 1.0, -1e8, 1.0]), vector(&[1f32, 2.0, 3.0, 4.0])], |k, v| k.reduce_each(Reduce::Add, v));
    assert_eq!(each, Ok(vec![2.0, 10.0]));
    let three = apply::<i8>(&[vector(&[1i8, 2, 3])], |k, v| k.reduce(Reduce::Add, v[0]));
    assert!(matches!(three, Err(Fault::IllFormed(_))));
}
