//! CONCATENATION and RESHAPE against the definition.

use crate::support::{Input, bytes, integers, machines, run};
use crate::{all_bytes, refusal, run_integers};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::Activation;
use cranelite_graph::ops::{Op, concatenation, reshape};
use cranelite_graph::quantize::rescale_table_u8;
use cranelite_graph::tensor::ElementType::{F32, I4, I8, I16, I64, U8};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

fn concatenation(axis: usize) -> Op {
    Op::Concatenation(concatenation::Attributes { axis, activation: Activation::None })
}

fn check(element: ElementType, shapes: &[Vec<usize>], axis: usize) {
    let element_bytes = element.bits().unwrap() as usize / 8;
    let data: Vec<Vec<u8>> = shapes.iter().enumerate().map(|(i, s)| bytes(i as u64, s.iter().product::<usize>() * element_bytes)).collect();
    let rows: usize = shapes[0][..axis].iter().product();
    let mut want = vec![];
    for r in 0..rows {
        for d in &data {
            let n = d.len() / rows;
            want.extend(&d[r * n..r * n + n]);
        }
    }
    for m in machines() {
        let inputs: Vec<Input> =
            shapes.iter().zip(&data).map(|(s, d)| Input::new(TensorType::new(element, s.clone()), d.clone())).collect();
        let (shape, got) = run(concatenation(axis), &inputs, &TensorType::new(element, []), &m).unwrap();
        assert_eq!(shape[axis], shapes.iter().map(|s| s[axis]).sum::<usize>());
        assert_eq!(got, want, "{element} {shapes:?} along {axis}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn pieces_follow_each_other(shape in prop::collection::vec(prop_oneof![9 => 1usize..5, 1 => Just(0)], 1..5),
                                lengths in prop::collection::vec(prop_oneof![0usize..6, Just(70)], 1..9), axis: prop::sample::Index,
                                element in prop_oneof![Just(F32), Just(U8), Just(I64)]) {
        let axis = axis.index(shape.len());
        let shapes: Vec<Vec<usize>> = lengths.iter().map(|&n| { let mut s = shape.clone(); s[axis] = n; s }).collect();
        check(element, &shapes, axis);
    }
}

#[test]
fn long_rows() {
    check(I8, &[vec![2, 700], vec![2, 1], vec![2, 65], vec![2, 31]], 1);
    check(F32, &[vec![1000], vec![3], vec![257]], 0);
}

/// The same tensor may come twice.
#[test]
fn repeated_input() {
    use cranelite_graph::lower::{Goal, lower};
    let text = "graph \"g\"\ninputs %0\noutputs %1\n%0: i8[3,5] q(0.1, 0)\n%1: i8[3,10] q(0.1, 0) = concatenation %0, %0 {axis=1, activation=none} @0\n";
    let graph = cranelite_graph::text::parse(text).unwrap();
    let x = bytes(4, 15);
    for m in machines() {
        let program = lower(&graph, &m, Goal::Speed).unwrap();
        let mut y = vec![0; 30];
        cranelite_tile::interpret::run(&program, &[&x], &mut [&mut y]).unwrap();
        for r in 0..3 {
            assert_eq!(y[r * 10..r * 10 + 10], [&x[r * 5..r * 5 + 5], &x[r * 5..r * 5 + 5]].concat());
        }
    }
}

#[test]
fn uint8_is_rescaled() {
    for rows in [1, 4] {
        let ty = |s: f32, z: i64| TensorType::quantized(U8, [rows, 256 / rows], s, z);
        let y = ty(0.04, 100);
        let inputs = [(ty(0.04, 100), all_bytes()), (ty(0.1, 3), all_bytes()), (ty(0.001, 255), all_bytes())];
        let (_, got) = run_integers(&concatenation(1), &inputs, &y);
        let n = 256 / rows;
        for (i, got) in got.into_iter().enumerate() {
            let (row, at) = (i / (3 * n), i % (3 * n));
            let (input, q) = (at / n, row * n + at % n);
            let x = &inputs[input].0;
            let want = match input {
                0 => q as u8,
                _ => rescale_table_u8((x.scale().unwrap(), x.zero_point() as i32), (0.04, 100))[q],
            };
            assert_eq!(got, i64::from(want), "input {input}, {q}");
        }
    }
    assert_eq!(rescale_table_u8((0.1, 3), (0.1, 10))[..5], [7, 8, 9, 10, 11]);
}

#[test]
fn reshape_keeps_the_bytes() {
    let (x, data) = (TensorType::quantized(I16, [3, 8], 0.1, 0), bytes(1, 48));
    let y = TensorType::quantized(I16, [], 0.1, 0);
    let op = Op::Reshape(reshape::Attributes { shape: vec![2, 3, 4], is_checked: false });
    let (shape, got) = run_integers(&op, &[(x.clone(), data.clone())], &y);
    assert_eq!((shape, got), (vec![2, 3, 4], integers(&x, &data)));
    assert_eq!(
        refusal(&Op::Reshape(reshape::Attributes { shape: vec![5, 5], is_checked: false }), std::slice::from_ref(&x), &y),
        Some(Code::OPERAND)
    );
    assert_eq!(
        refusal(&Op::Reshape(reshape::Attributes { shape: vec![usize::MAX, 3], is_checked: false }), std::slice::from_ref(&x), &y),
        Some(Code::OPERAND)
    );
    assert_eq!(refusal(&op, &[x], &TensorType::new(I8, [])), Some(Code::TYPES));
}

#[test]
fn what_does_not_fit_is_refused() {
    let f = |shape: &[usize]| TensorType::new(F32, shape);
    assert_eq!(refusal(&concatenation(0), &[f(&[2, 3]), f(&[1, 3])], &f(&[])), None);
    assert_eq!(refusal(&concatenation(1), &[f(&[2, 3]), f(&[1, 3])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&concatenation(0), &[f(&[2]), f(&[2, 1])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&concatenation(2), &[f(&[2, 3])], &f(&[])), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(&concatenation(0), &[f(&[2]), TensorType::new(I16, [2])], &f(&[])), Some(Code::TYPES));
    assert_eq!(refusal(&concatenation(0), &[TensorType::new(I4, [2])], &TensorType::new(I4, [])), Some(Code::TYPES));
    let q = |s: f32| TensorType::quantized(I8, [4], s, 0);
    assert_eq!(refusal(&concatenation(0), &[q(0.1), q(0.2)], &q(0.1)), Some(Code::SCALE));
    let relu = Op::Concatenation(concatenation::Attributes { axis: 0, activation: Activation::Relu });
    assert_eq!(refusal(&relu, &[f(&[2])], &f(&[])), Some(Code::ATTRIBUTE));
}
