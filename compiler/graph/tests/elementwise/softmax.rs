//! SOFTMAX: integers against the reference's fixed point written out for one row, floats against f64.

use crate::refusal;
use crate::run_integers;
use crate::support::{Input, bytes, f32_bytes, f32s, integers, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, softmax};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::ElementType::{F32, I8, I16, I32, U8};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

fn op(beta: f32) -> Op {
    Op::Softmax(softmax::Attributes { beta })
}

fn result(from: ElementType, to: ElementType, shape: &[usize]) -> TensorType {
    match (from, to) {
        (I16, _) => TensorType::quantized(I16, shape, 1.0 / 32768.0, 0),
        (_, I16) => TensorType::quantized(I16, shape, 1.0 / 65536.0, -32768),
        (_, U8) => TensorType::quantized(U8, shape, 1.0 / 256.0, 0),
        _ => TensorType::quantized(I8, shape, 1.0 / 256.0, -128),
    }
}

/// gemmlowp's fixed point, as the reference uses it on a row of bytes.
fn row_of_bytes(x: &[i64], beta: f32, scale: f32, to: ElementType) -> Vec<i64> {
    let (m, s) = preprocess_softmax_scaling(beta, scale, SOFTMAX_SCALED_DIFF_INTEGER_BITS);
    let radius = calculate_input_radius(SOFTMAX_SCALED_DIFF_INTEGER_BITS, s, 31);
    let max = *x.iter().max().unwrap();
    let exp = |v: i64| {
        let d = (v - max) as i32;
        (-radius <= d).then(|| exp_on_negative_values(multiply_by_quantized_multiplier(d, m, s), SOFTMAX_SCALED_DIFF_INTEGER_BITS))
    };
    let sum: u32 = x.iter().filter_map(|&v| exp(v)).map(|e| rounding_divide_by_pot(e, 12) as u32).sum();
    let (reciprocal, over_unit) = get_reciprocal(sum as i32, SOFTMAX_ACCUMULATION_INTEGER_BITS);
    let (low, high) = element_range(to).unwrap();
    let bits = to.bits().unwrap() as i32;
    let of = |&v: &i64| {
        let exponent = over_unit + 31 - bits;
        let product = exp(v).map_or(0, |e| saturating_rounding_doubling_high_mul(reciprocal, e));
        let q = if exponent <= 31 { rounding_divide_by_pot(product, exponent) } else { 0 };
        (q + low).clamp(low, high).into()
    };
    x.iter().map(of).collect()
}

fn row_of_int16(x: &[i64], beta: f32, scale: f32) -> Vec<i64> {
    let (m, s) = softmax_multiplier_i16(beta, scale);
    let (exp_table, reciprocal_table) = (softmax_exp_lut_i16(), softmax_one_over_one_plus_x_lut_i16());
    let max = *x.iter().max().unwrap();
    let exp = |v: i64| {
        let scaled = multiply_by_quantized_multiplier((v - max) as i32, m, s).wrapping_add(32767);
        i64::from(lut_lookup_i16(scaled.clamp(-32768, 32767) as i16, &exp_table))
    };
    let sum: i64 = x.iter().map(|&v| exp(v)).sum();
    let headroom = (sum as u32).leading_zeros();
    let shifted = ((sum << (headroom - 1)) + (1 << 13)) >> 14;
    let argument = (shifted - (1 << 15) - (1 << 16)).clamp(-32768, 32767) as i16;
    let reciprocal = i64::from(lut_lookup_i16(argument, &reciprocal_table));
    let shift = 31 - headroom;
    x.iter().map(|&v| ((exp(v) * reciprocal + (1 << (shift - 1))) >> shift).clamp(0, 32767)).collect()
}

fn check(from: ElementType, to: ElementType, shape: &[usize], data: Vec<u8>, beta: f32, scale: f32) {
    let x = TensorType::quantized(from, shape, scale, if from == I16 { 0 } else { 5 });
    let y = result(from, to, shape);
    let depth = *shape.last().unwrap();
    let row = |r: &[i64]| if from == I16 { row_of_int16(r, beta, scale) } else { row_of_bytes(r, beta, scale, to) };
    let want: Vec<i64> = integers(&x, &data).chunks(depth.max(1)).flat_map(row).collect();
    let (_, got) = run_integers(&op(beta), &[(x, data)], &y);
    assert_eq!(got, want, "{from} to {to}, {shape:?}, beta {beta}, scale {scale}");
}

const PAIRS: [(ElementType, ElementType); 5] = [(I8, I8), (U8, U8), (I8, I16), (U8, I16), (I16, I16)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn integers_equal_the_reference(pair in 0usize..5, rows in 1usize..4, depth in 1usize..150, seed: u64,
                                    beta in prop_oneof![Just(1.0f32), 0.1f32..3.0], scale in 1e-4f32..1.0) {
        let (from, to) = PAIRS[pair];
        let size_bytes = rows * depth * from.bits().unwrap() as usize / 8;
        let scale = if from == I16 { scale / 64.0 } else { scale };
        check(from, to, &[rows, depth], bytes(seed, size_bytes), beta, scale);
    }

    #[test]
    fn floats_are_close(rows in 1usize..4, depth in 1usize..90, seed: u64, beta in prop_oneof![Just(1.0f32), -1.0f32..3.0], spread in 0.01f32..30.0) {
        let x: Vec<f32> = crate::support::eighths(seed, rows * depth).iter().map(|v| v * spread).collect();
        let ty = TensorType::new(F32, [rows, depth]);
        let want: Vec<f64> = x.chunks(depth).flat_map(|row| {
            let max = row.iter().copied().fold(f32::MIN, f32::max);
            let e: Vec<f64> = row.iter().map(|v| libm::exp(((v - max) * beta) as f64)).collect();
            let sum: f64 = e.iter().sum();
            // What overflows is not a number to compare.
            e.into_iter().map(move |e| if sum < 1e38 { e / sum } else { f64::NAN })
        }).collect();
        for m in machines() {
            let (_, got) = run(op(beta), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
            for (got, want) in f32s(&got).into_iter().zip(&want) {
                prop_assert!((got as f64 - want).abs() <= 1e-6 * want + 1e-30 || want.is_nan(), "{} for {}", got, want);
            }
        }
    }
}

/// Sums that overflow in the reference, and results that round to nothing.
#[test]
fn many_equal_elements() {
    for depth in [255, 256, 257, 511, 512, 513, 600, 4096, 8191] {
        for (from, to) in &PAIRS[..3] {
            check(*from, *to, &[depth], vec![77; depth], 1.0, 0.1);
        }
    }
    // A sum of more than 32 bits.
    let y = result(I8, I16, &[9000]);
    let (_, got) = run_integers(&op(1.0), &[(TensorType::quantized(I8, [9000], 0.1, 0), vec![3; 9000])], &y);
    assert_eq!(got, vec![-32768 + 7; 9000]);
}

#[test]
fn shapes_without_elements() {
    for shape in [&[0, 4][..], &[4, 0], &[0]] {
        for (from, to) in PAIRS {
            check(from, to, shape, vec![], 1.0, 0.1);
        }
    }
}

#[test]
fn special_floats() {
    let x = [1.0, f32::NEG_INFINITY, 1e30, 1e30, -1e30, f32::NAN, 0.0, 1.0, 2.0, f32::INFINITY];
    let ty = TensorType::new(F32, [5, 2]);
    for m in machines() {
        let (_, got) = run(op(1.0), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
        let got = f32s(&got);
        assert_eq!(got[..4], [1.0, 0.0, 0.5, 0.5]);
        assert!([4, 5, 8, 9].iter().all(|&i| got[i].is_nan()), "{got:?}");
        assert!((got[6] - 0.26894143).abs() < 1e-6);
    }
}

/// The reference cannot prepare a softmax of bytes whose β is as good as 0; i16 it can.
#[test]
fn a_beta_that_vanishes_is_refused() {
    let of = |element, scale, beta| refusal(&op(beta), &[TensorType::quantized(element, [4], scale, 0)], &result(element, element, &[4]));
    let scale = 1.0 / (1 << 20) as f32;
    for element in [I8, U8] {
        assert_eq!(of(element, 0.1, 0.0), Some(Code::ATTRIBUTE));
        assert_eq!(of(element, scale, 1.0 / 64.0), Some(Code::ATTRIBUTE));
        assert_eq!(of(element, scale, 1.0001 / 64.0), None);
    }
    assert_eq!(of(I16, 0.1, 0.0), None);
    let row = |n: usize| refusal(&op(1.0), &[TensorType::quantized(I16, [n], 0.1, 0)], &result(I16, I16, &[n]));
    assert_eq!((row(65_538), row(65_539)), (None, Some(Code::FEATURE)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = TensorType::quantized(I8, [4], 0.1, 0);
    assert_eq!(refusal(&op(1.0), std::slice::from_ref(&x), &result(I8, I8, &[4])), None);
    assert_eq!(refusal(&op(1.0), std::slice::from_ref(&x), &TensorType::quantized(I8, [4], 1.0 / 256.0, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op(1.0), std::slice::from_ref(&x), &TensorType::quantized(I8, [4], 1.0 / 250.0, -128)), Some(Code::SCALE));
    assert_eq!(refusal(&op(1.0), std::slice::from_ref(&x), &result(U8, U8, &[4])), Some(Code::TYPES));
    assert_eq!(refusal(&op(f32::NAN), std::slice::from_ref(&x), &result(I8, I8, &[4])), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(&op(1.0), &[TensorType { shape: vec![], ..x }], &result(I8, I8, &[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op(1.0), &[TensorType::new(I32, [4])], &TensorType::new(I32, [4])), Some(Code::TYPES));
    assert_eq!(refusal(&op(1.0), &[TensorType::quantized(I16, [4], 1e30, 0)], &result(I16, I16, &[4])), Some(Code::SCALE));
}
