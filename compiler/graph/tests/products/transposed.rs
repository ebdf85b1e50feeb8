//! TRANSPOSE_CONV.

use crate::convolutions::activations;
use crate::reference::{Case, Kind, check, run};
use crate::support::machines;
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, transpose_conv, transposed};
use cranelite_graph::tensor::ElementType;
use proptest::prelude::*;

fn op(case: &Case) -> Op {
    let Case { stride, padding, activation, .. } = *case;
    let before = [padding.top, padding.left];
    Op::TransposeConv(transpose_conv::Attributes(transposed::Attributes { shape: case.output().to_vec(), stride, before, activation }))
}

fn check_case(case: &Case) {
    let p = case.operands();
    check(&op(case), &p, &case.output(), &case.convolution(&p));
    // As inputs weights and bias mean the same.
    let mut p = p;
    p.w.constant = false;
    check(&op(case), &p, &case.output(), &case.convolution(&p));
    if let Some(bias) = &mut p.bias {
        (bias.constant, p.w.constant) = (false, case.seed.is_multiple_of(2));
        check(&op(case), &p, &case.output(), &case.convolution(&p));
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Float),
        any::<bool>().prop_map(|per_channel| Kind::Int8 { per_channel }),
        Just(Kind::Uint8),
        Just(Kind::Int16 { bias: ElementType::I64 }),
        Just(Kind::Int16 { bias: ElementType::I32 }),
    ]
}

prop_compose! {
    /// Results of any size: smaller than what the filters reach, and larger.
    fn cases()(kind in kinds(), batch in 1usize..3, size in [1usize..7, 1..9], filter in [1usize..6, 1..6], stride in [1usize..5, 1..5],
               before in [0usize..6, 0..6], result in [1usize..24, 1..24], channels in prop_oneof![1usize..10, Just(16), Just(20)],
               outputs in prop_oneof![1usize..12, 1usize..40], activation in activations(), bias: bool, seed: u32) -> Case {
        let padding = Padding { top: before[0] % filter[0], left: before[1] % filter[1], ..Padding::default() };
        Case { kind, input: [batch, size[0], size[1], channels], filter: [outputs, filter[0], filter[1], channels], stride, dilation: [1, 1],
               padding, activation, bias, seed: seed.into(), transposed: Some(result) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_transposed_convolution(case in cases()) {
        check_case(&case);
    }
}

fn plain(kind: Kind, filter: usize, stride: usize, before: usize, result: [usize; 2]) -> Case {
    Case {
        kind,
        input: [2, 3, 4, 5],
        filter: [6, filter, filter, 5],
        stride: [stride; 2],
        dilation: [1, 1],
        padding: Padding { top: before, left: before, ..Padding::default() },
        activation: Activation::None,
        bias: true,
        seed: 12345,
        transposed: Some(result),
    }
}

/// Phases without taps, phases that begin behind the first pixel of the image, and a result of which only a corner is reached.
#[test]
fn sparse_phases() {
    for kind in [Kind::Float, Kind::Int8 { per_channel: true }, Kind::Uint8, Kind::Int16 { bias: ElementType::I64 }] {
        check_case(&plain(kind, 2, 4, 0, [12, 16]));
        check_case(&plain(kind, 3, 3, 1, [7, 10]));
        check_case(&plain(kind, 3, 2, 2, [9, 1]));
        check_case(&plain(kind, 1, 1, 0, [1, 1]));
        check_case(&plain(kind, 3, 2, 0, [20, 30]));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = plain(Kind::Float, 3, 2, 1, [6, 8]);
    let refused = |change: &dyn Fn(&mut transposed::Attributes), expected: &str| {
        let Op::TransposeConv(mut a) = op(&case) else { unreachable!() };
        change(&mut a.0);
        let d = run(&Op::TransposeConv(a), &case.operands(), &machines()[0], Goal::Speed, 0).expect_err(expected);
        assert!(d.to_string().contains(expected), "{d}");
    };
    refused(&|a| a.shape[3] = 5, "the shape of the result does not fit image and filter");
    refused(&|a| a.shape[0] = 1, "the shape of the result does not fit image and filter");
    refused(&|a| a.shape = vec![2, 6], "the shape of the result does not fit image and filter");
    refused(&|a| a.before[1] = 3, "strides or padding are out of range");
    refused(&|a| a.stride[0] = 0, "strides or padding are out of range");
    let other = Case { filter: [6, 3, 3, 4], ..case.clone() };
    let d = run(&op(&case), &other.operands(), &machines()[0], Goal::Speed, 0).expect_err("channels");
    assert!(d.to_string().contains("channels of image and filter do not fit each other"), "{d}");
}
