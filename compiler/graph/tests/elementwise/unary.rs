//! RELU, RELU6, LOGISTIC: every byte against the scalar functions.

use crate::support::{Input, f32_bytes, f32s, integers, machines, run};
use crate::{all_bytes, refusal, run_integers, zero_points};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::Activation;
use cranelite_graph::ops::{Op, clips, curves, logistic, relu, relu6};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::ElementType::{F32, I8, I16, U8};
use cranelite_graph::tensor::{ElementType, TensorType};

fn clamps() -> [(Op, Activation); 2] {
    [
        (Op::Relu(relu::Attributes(clips::Attributes {})), Activation::Relu),
        (Op::Relu6(relu6::Attributes(clips::Attributes {})), Activation::Relu6),
    ]
}

fn check_clamp(element: ElementType, from: (f32, i32), to: (f32, i32), data: Vec<u8>) {
    let ty = |(s, z): (f32, i32)| TensorType::quantized(element, [data.len() * 8 / element.bits().unwrap() as usize], s, z.into());
    for (op, activation) in clamps() {
        let (m, s) = quantize_multiplier(relu_multiplier(from.0, to.0));
        let range = calculate_activation_range_quantized(activation, element, to.0, to.1).unwrap();
        let want: Vec<i64> =
            integers(&ty(from), &data).into_iter().map(|q| requantize(q as i32, from.1, m, s, to.1, range).into()).collect();
        let (_, got) = run_integers(&op, &[(ty(from), data.clone())], &ty(to));
        assert_eq!(got, want, "{op:?} {element} {from:?} to {to:?}");
    }
}

#[test]
fn clamps_of_all_bytes() {
    for element in [I8, U8] {
        for from in zero_points(element) {
            for to in zero_points(element) {
                for scales in [(0.05, 0.05), (0.1, 0.037), (0.02, 0.5), (0.01, 1e-5)] {
                    check_clamp(element, (scales.0, from), (scales.1, to), all_bytes());
                }
            }
        }
    }
}

#[test]
fn clamps_of_int16() {
    let data: Vec<u8> = (i16::MIN..=i16::MAX).step_by(97).chain([i16::MAX]).flat_map(i16::to_le_bytes).collect();
    for scales in [(0.01, 0.01), (0.001, 0.0004), (0.003, 0.5)] {
        check_clamp(I16, (scales.0, 0), (scales.1, 0), data.clone());
    }
}

fn float(op: &Op, x: &[f32]) -> Vec<Vec<f32>> {
    let ty = TensorType::new(F32, [x.len()]);
    machines().iter().map(|m| f32s(&run(op.clone(), &[Input::new(ty.clone(), f32_bytes(x))], &ty, m).unwrap().1)).collect()
}

#[test]
fn clamps_of_floats() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1e-40, -1e-40, 5.5, 6.5, f32::MAX, f32::MIN, 3.0, -3.0];
    for got in float(&clamps()[0].0, &x) {
        assert!(got[0].is_nan());
        assert_eq!(got[1..], [f32::INFINITY, 0.0, 0.0, 0.0, 1e-40, 0.0, 5.5, 6.5, f32::MAX, 0.0, 3.0, 0.0]);
    }
    for got in float(&clamps()[1].0, &x) {
        assert!(got[0].is_nan());
        assert_eq!(got[1..], [6.0, 0.0, 0.0, 0.0, 1e-40, 0.0, 5.5, 6.0, 6.0, 0.0, 3.0, 0.0]);
    }
}

const LOGISTIC: Op = Op::Logistic(logistic::Attributes(curves::Attributes {}));

#[test]
fn logistic_of_all_bytes() {
    for element in [I8, U8] {
        for z in zero_points(element) {
            for scale in [0.003, 0.05, 0.4] {
                let (x, y) = (
                    TensorType::quantized(element, [256], scale, z.into()),
                    TensorType::quantized(element, [256], 1.0 / 256.0, -128 * i64::from(element == I8)),
                );
                let table = lut_8bit(element, (scale, z), (1.0 / 256.0, y.zero_point() as i32), logistic_f32).unwrap();
                assert_eq!(run_integers(&LOGISTIC, &[(x, all_bytes())], &y).1, integers(&y, &table));
            }
        }
    }
}

#[test]
fn logistic_of_all_int16() {
    let data: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    let (y, table) = (TensorType::quantized(I16, [1 << 16], 1.0 / 32768.0, 0), sigmoid_table_u16());
    for scale in [1.0 / 4096.0, 0.0003, 0.001, 1e-6, 0.1, 7.0, 174_762.0] {
        let (m, s) = logistic_multiplier_i16(scale);
        let want: Vec<i64> = (i16::MIN..=i16::MAX).map(|x| logistic_i16(x, m, s, &table).into()).collect();
        let x = TensorType::quantized(I16, [1 << 16], scale, 0);
        let machine = &machines()[if scale == 0.001 { 5 } else { 1 }];
        let got = run(LOGISTIC, &[Input::new(x, data.clone())], &y, machine).unwrap().1;
        assert_eq!(integers(&y, &got), want, "scale {scale}");
    }
}

#[test]
fn logistic_of_floats() {
    let x: Vec<f32> = (-120..=120).map(|i| i as f32 * 0.9).chain([f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, -0.0, 1e-40]).collect();
    for got in float(&LOGISTIC, &x) {
        for (&x, y) in x.iter().zip(got) {
            let want = 1.0 / (1.0 + libm::exp(-x as f64));
            assert!((y as f64 - want).abs() < 1e-6 * want + 1e-37, "{x}: {y} for {want}");
        }
    }
    assert!(float(&LOGISTIC, &[f32::NAN]).iter().all(|y| y[0].is_nan()));
}

#[test]
fn what_does_not_fit_is_refused() {
    let q = |e, s: f32, z| TensorType::quantized(e, [4], s, z);
    for (op, _) in clamps() {
        assert_eq!(refusal(&op, &[q(I8, 0.1, 0)], &q(U8, 0.1, 0)), Some(Code::TYPES));
        assert_eq!(refusal(&op, &[TensorType::new(I8, [4])], &q(I8, 0.1, 0)), Some(Code::SCALE));
        assert_eq!(refusal(&op, &[q(I16, 0.1, 1)], &q(I16, 0.1, 0)), Some(Code::SCALE));
        assert_eq!(refusal(&op, &[q(I8, 1e20, 0)], &q(I8, 1e-20, 0)), Some(Code::SCALE));
    }
    assert_eq!(refusal(&LOGISTIC, &[q(I8, 0.1, 0)], &q(I8, 1.0 / 255.0, -128)), Some(Code::SCALE));
    assert_eq!(refusal(&LOGISTIC, &[q(I16, 0.1, 0)], &q(I16, 1.0 / 32768.0, 5)), Some(Code::SCALE));
    assert_eq!(refusal(&LOGISTIC, &[q(I16, 174_763.0, 0)], &q(I16, 1.0 / 32768.0, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&LOGISTIC, &[q(I8, 0.1, 3)], &q(I8, 1.0 / 256.0, -128)), None);
}
