//! QUANTIZE and DEQUANTIZE against the scalar functions.

use crate::support::{Input, bytes, f32_bytes, f32s, integers, machines, run};
use crate::{all_bytes, refusal, run_integers, zero_points};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, dequantize, quantize};
use cranelite_graph::quantize as arithmetic;
use cranelite_graph::tensor::ElementType::{F16, F32, I8, I16, I32, U8};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use proptest::prelude::*;

const QUANTIZE: Op = Op::Quantize(quantize::Attributes {});
const DEQUANTIZE: Op = Op::Dequantize(dequantize::Attributes {});

fn per_channel(element: ElementType, shape: &[usize], axis: usize, same_zero: bool) -> TensorType {
    let n = shape[axis];
    let zero = |c: usize| if same_zero { 5 } else { [0, -7, 100][c % 3] + if element == U8 { 20 } else { 0 } };
    let scales = (0..n).map(|c| 0.01 * (c + 1) as f32).collect();
    let q = Quantization { scales, zero_points: (0..n).map(zero).collect(), axis };
    TensorType { quantization: Some(q.into()), ..TensorType::new(element, shape) }
}

/// The channel of element `i`.
fn channel(ty: &TensorType, i: usize) -> usize {
    let q = ty.quantization.as_ref().unwrap();
    i / ty.shape[q.axis + 1..].iter().product::<usize>() % ty.shape[q.axis].max(1)
}

fn check_quantize(ty: &TensorType, x: &[f32]) {
    let q = ty.quantization.as_ref().unwrap();
    let range = arithmetic::element_range(ty.element).unwrap();
    let of = |(i, &v): (usize, &f32)| {
        let c = if q.is_per_tensor() { 0 } else { channel(ty, i) };
        i64::from(arithmetic::quantize(v, q.scale(c), q.zero_point(c) as i32, range))
    };
    let want: Vec<i64> = x.iter().enumerate().map(of).collect();
    let (_, got) = run_integers(&QUANTIZE, &[(TensorType::new(F32, ty.shape.clone()), f32_bytes(x))], ty);
    for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
        assert_eq!(got, want, "{:?} as {ty:?}", x[i]);
    }
}

/// Ties, neighbours of ties, ends, and what does not fit anywhere.
fn difficult(scale: f32) -> Vec<f32> {
    let near = |v: f32| [v, f32::from_bits(v.to_bits() + 1), f32::from_bits(v.to_bits() - 1)];
    let halves = (-600..600).flat_map(|i| near((i as f32 + 0.5) * scale));
    let huge = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2147483648.0 * scale, -2147483648.0 * scale, 2147483500.0 * scale, 1e30, -1e30];
    halves.chain(huge).chain([0.0, -0.0, 1e-40, 0.49999997 * scale, -0.49999997 * scale, 8388609.0 * scale, f32::MAX]).collect()
}

#[test]
fn floats_to_integers() {
    for element in [I8, U8, I16] {
        for z in zero_points(element) {
            for scale in [1.0, 0.1, 0.003] {
                let x = difficult(scale);
                check_quantize(&TensorType::quantized(element, [x.len()], scale, z.into()), &x);
            }
        }
    }
}

#[test]
fn floats_to_integers_per_channel() {
    for element in [I8, U8, I16] {
        for (shape, axis) in [(&[3, 5, 7][..], 1), (&[2, 40], 1), (&[6, 3], 0), (&[9], 0)] {
            for same_zero in [true, false] {
                let ty = per_channel(element, shape, axis, same_zero);
                let mut x = crate::support::eighths(3, ty.element_count());
                x[0] = f32::NAN;
                x[1] = 1e30;
                x[2] = -1e30;
                check_quantize(&ty, &x);
            }
        }
    }
}

fn check_dequantize(ty: &TensorType, data: Vec<u8>) {
    let q = ty.quantization.as_ref().unwrap();
    let of = |(i, v): (usize, i64)| {
        let c = if q.is_per_tensor() { 0 } else { channel(ty, i) };
        arithmetic::dequantize(v as i32, q.scale(c), q.zero_point(c) as i32)
    };
    let want: Vec<f32> = integers(ty, &data).into_iter().enumerate().map(of).collect();
    for m in machines() {
        let (_, got) = run(DEQUANTIZE, &[Input::new(ty.clone(), data.clone())], &TensorType::new(F32, []), &m).unwrap();
        assert_eq!(f32s(&got), want, "{ty:?}");
    }
}

#[test]
fn integers_to_floats() {
    for element in [I8, U8] {
        for z in zero_points(element) {
            check_dequantize(&TensorType::quantized(element, [256], 0.0371, z.into()), all_bytes());
        }
    }
    let data: Vec<u8> = (i16::MIN..=i16::MAX).step_by(13).flat_map(i16::to_le_bytes).collect();
    check_dequantize(&TensorType::quantized(I16, [data.len() / 2], 3.3e-5, 0), data.clone());
    check_dequantize(&TensorType::quantized(I16, [data.len() / 2], 3.3e-5, -32768), data);
    for (shape, axis) in [(&[3, 5, 7][..], 1), (&[2, 40], 1), (&[6, 3], 0), (&[9], 0), (&[0, 4], 1)] {
        for same_zero in [true, false] {
            let ty = per_channel(U8, shape, axis, same_zero);
            check_dequantize(&ty, bytes(1, ty.size_bytes()));
        }
    }
}

#[test]
fn all_half_floats() {
    let data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let x = TensorType::new(F16, [1 << 16]);
    for m in [&machines()[0], &machines()[4]] {
        let (_, got) = run(DEQUANTIZE, &[Input::new(x.clone(), data.clone())], &TensorType::new(F32, []), m).unwrap();
        for (h, got) in (0..=u16::MAX).zip(f32s(&got)) {
            let want = arithmetic::f16_to_f32(h);
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{h:#x}: {got} for {want}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn between_quantisations(from in prop_oneof![Just(I8), Just(U8), Just(I16)], to in prop_oneof![Just(I8), Just(U8), Just(I16)],
                             scales in (1e-4f32..1.0, 1e-4f32..1.0), same: bool, z in (0i32..128, 0i32..128), seed: u64) {
        let scales = if same { (scales.0, scales.0) } else { scales };
        let (x, y) = (TensorType::quantized(from, [101], scales.0, z.0.into()), TensorType::quantized(to, [101], scales.1, z.1.into()));
        let data = bytes(seed, x.size_bytes());
        let (m, s) = arithmetic::quantize_multiplier(arithmetic::requantize_multiplier(scales.0, scales.1));
        let range = arithmetic::element_range(to).unwrap();
        let want: Vec<i64> = integers(&x, &data).into_iter().map(|q| arithmetic::requantize(q as i32, z.0, m, s, z.1, range).into()).collect();
        prop_assert_eq!(run_integers(&QUANTIZE, &[(x, data)], &y).1, want);
    }
}

/// i32 comes and goes whole.
#[test]
fn thirty_two_bits() {
    let x = TensorType::quantized(I32, [5], 0.5, 3);
    let data: Vec<u8> = [i32::MIN, -1000, 3, 77, i32::MAX].into_iter().flat_map(i32::to_le_bytes).collect();
    let y = TensorType::quantized(I8, [5], 1.0, -1);
    // i32::MIN − 3 wraps, as in the reference.
    assert_eq!(run_integers(&QUANTIZE, &[(x, data)], &y).1, [127, -128, -1, 36, 127]);
    let (x, y) = (TensorType::quantized(I16, [3], 0.5, 0), TensorType::quantized(I32, [3], 0.001, 0));
    let data: Vec<u8> = [-32768i16, 5, 32767].into_iter().flat_map(i16::to_le_bytes).collect();
    for m in machines() {
        let (_, got) = run(QUANTIZE, &[Input::new(x.clone(), data.clone())], &y, &m).unwrap();
        let got: Vec<i32> = got.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
        let (m, s) = arithmetic::quantize_multiplier(arithmetic::requantize_multiplier(0.5, 0.001));
        assert_eq!(got, [-32768, 5, 32767].map(|q| arithmetic::multiply_by_quantized_multiplier(q, m, s)));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let q = |e, s: f32, z| TensorType::quantized(e, [4], s, z);
    let f = TensorType::new(F32, [4]);
    assert_eq!(refusal(&QUANTIZE, std::slice::from_ref(&f), &TensorType::new(I8, [4])), Some(Code::SCALE));
    assert_eq!(refusal(&QUANTIZE, std::slice::from_ref(&f), &f), Some(Code::TYPES));
    assert_eq!(refusal(&QUANTIZE, std::slice::from_ref(&f), &per_channel(I8, &[5], 0, true)), Some(Code::QUANTIZATION));
    assert_eq!(refusal(&QUANTIZE, &[per_channel(I8, &[4], 0, true)], &q(I8, 0.1, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&QUANTIZE, &[q(I8, 1e9, 0)], &q(I8, 1e-9, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&DEQUANTIZE, &[TensorType::new(I8, [4])], &f), Some(Code::SCALE));
    assert_eq!(refusal(&DEQUANTIZE, &[q(I8, 0.1, 0)], &q(I8, 0.1, 0)), Some(Code::TYPES));
    assert_eq!(refusal(&DEQUANTIZE, std::slice::from_ref(&f), &f), Some(Code::TYPES));
}
