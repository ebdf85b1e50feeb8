//! FULLY_CONNECTED.

use crate::convolutions::activations;
use crate::reference::{Case, Kind, Want, check, run};
use crate::support::{Input, f32_bytes, machines};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, fully_connected};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

fn op(case: &Case, keep_num_dims: bool) -> Op {
    let asymmetric_quantize_inputs = matches!(case.kind, Kind::Hybrid { asymmetric: true, .. });
    Op::FullyConnected(fully_connected::Attributes { activation: case.activation, keep_num_dims, asymmetric_quantize_inputs })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Float),
        any::<bool>().prop_map(|per_channel| Kind::Int8 { per_channel }),
        Just(Kind::Int8Offset),
        Just(Kind::Uint8),
        Just(Kind::Uint8To16),
        Just(Kind::Int16 { bias: ElementType::I64 }),
        Just(Kind::Int16 { bias: ElementType::I32 }),
        Just(Kind::Int16Words),
        any::<[bool; 2]>().prop_map(|[per_channel, asymmetric]| Kind::Hybrid { per_channel, asymmetric }),
    ]
}

prop_compose! {
    fn cases()(kind in kinds(), rows in prop_oneof![Just(1usize), 1usize..20], depth in prop_oneof![1usize..40, 1usize..150],
               units in prop_oneof![1usize..12, 1usize..90], activation in activations(), bias: bool, seed: u32) -> Case {
        Case { kind, input: [rows, 1, 1, depth], filter: [units, 1, 1, depth], stride: [1, 1], dilation: [1, 1], padding: Padding::default(),
               activation, bias, seed: seed.into(), transposed: None }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_product(case in cases(), keep: bool) {
        let mut p = case.operands();
        let ([rows, .., depth], units) = (case.input, case.filter[0]);
        p.w.ty.shape = vec![units, depth];
        p.x.ty.shape = if keep { vec![1, rows, depth] } else { vec![rows, depth] };
        let shape = if keep { vec![1, rows, units] } else { vec![rows, units] };
        check(&op(&case, keep), &p, &shape, &case.fully_connected(&p));
    }

    #[test]
    fn any_product_with_weights_at_run_time(case in cases()) {
        let mut p = case.operands();
        let ([rows, .., depth], units) = (case.input, case.filter[0]);
        p.w.ty.shape = vec![units, depth];
        p.x.ty.shape = vec![rows, depth];
        p.w.constant = false;
        if matches!(case.kind, Kind::Int16 { .. }) {
            let d = run(&op(&case, false), &p, &machines()[0], Goal::Speed, 0).expect_err("not a constant");
            prop_assert!(d.to_string().contains("the weights must be a constant"), "{}", d);
        } else {
            check(&op(&case, false), &p, &[rows, units], &case.fully_connected(&p));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_product_with_a_bias_at_run_time(case in cases(), is_constant: bool) {
        let case = Case { bias: true, ..case };
        let mut p = case.operands();
        let ([rows, .., depth], units) = (case.input, case.filter[0]);
        (p.x.ty.shape, p.w.ty.shape) = (vec![rows, depth], vec![units, depth]);
        p.w.constant = is_constant;
        p.bias.as_mut().expect("a bias").constant = false;
        if matches!(case.kind, Kind::Int16 { .. } | Kind::Int16Words | Kind::Hybrid { .. }) {
            let d = run(&op(&case, false), &p, &machines()[0], Goal::Speed, 0).expect_err("not a constant");
            prop_assert!(d.to_string().contains("must be a constant"), "{}", d);
        } else {
            check(&op(&case, false), &p, &[rows, units], &case.fully_connected(&p));
        }
    }
}

/// Numbers in the middle between two integers, and what LiteRT 2.3.0 makes of them: the product is rounded before the offset is added.
#[test]
fn ties_at_run_time() {
    let kind = Kind::Hybrid { per_channel: false, asymmetric: true };
    let (shape, one) = ([1, 1, 1, 3], [1, 1]);
    let padding = Padding::default();
    let activation = Activation::None;
    let case =
        Case { kind, input: shape, filter: shape, stride: one, dilation: one, padding, activation, bias: false, seed: 1, transposed: None };
    for (numbers, want) in [([-120.0, 16.0, 12.0], 11.733334), ([-120.0, 20.0, -42.0], -42.274513)] {
        let mut p = case.operands();
        (p.x.ty.shape, p.x.data) = (vec![1, 3], f32_bytes(&numbers));
        p.w = Input::constant(TensorType::quantized(ElementType::I8, [1, 3], 1.0 / 127.0, 0), vec![0, 0, 127]);
        check(&op(&case, false), &p, &[1, 1], &Want::Floats(vec![want]));
    }
}

/// Weights of two and of four bits give what the same numbers in bytes give; those that are computed at run time are refused.
#[test]
fn weights_of_few_bits() {
    let kinds =
        [Kind::Int8 { per_channel: true }, Kind::Hybrid { per_channel: true, asymmetric: false }, Kind::Int16 { bias: ElementType::I64 }];
    for (kind, element, bits) in kinds.into_iter().flat_map(|kind| [(kind, ElementType::I4, 4), (kind, ElementType::I2, 2)]) {
        let one = [1, 1];
        let (padding, activation) = (Padding::default(), Activation::None);
        let (input, filter) = ([3, 1, 1, 7], [5, 1, 1, 7]);
        let case = Case { kind, input, filter, stride: one, dilation: one, padding, activation, bias: true, seed: 9, transposed: None };
        let mut p = case.operands();
        (p.x.ty.shape, p.w.ty.shape) = (vec![3, 7], vec![5, 7]);
        p.w.data.iter_mut().for_each(|b| *b = (((*b << (8 - bits)) as i8) >> (8 - bits)) as u8);
        let want = case.fully_connected(&p);
        let low = |(i, b): (usize, &u8)| (b & ((1 << bits) - 1)) << (i * bits);
        p.w.data = p.w.data.chunks(8 / bits).map(|all| all.iter().enumerate().map(low).sum()).collect();
        p.w.ty.element = element;
        check(&op(&case, false), &p, &[3, 5], &want);
        p.w.constant = false;
        let d = run(&op(&case, false), &p, &machines()[0], Goal::Speed, 0).expect_err("not a constant");
        assert!(d.to_string().contains("the weights must be a constant"), "{d}");
    }
}
