//! FULLY_CONNECTED.

use crate::convolutions::activations;
use crate::reference::{Case, Kind, Want, check};
use crate::support::{Input, f32_bytes};
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
               activation, bias, seed: seed.into() }
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
}

/// Numbers in the middle between two integers, and what LiteRT 2.3.0 makes of them: the product is rounded before the offset is added.
#[test]
fn ties_at_run_time() {
    let kind = Kind::Hybrid { per_channel: false, asymmetric: true };
    let (shape, one) = ([1, 1, 1, 3], [1, 1]);
    let padding = Padding::default();
    let activation = Activation::None;
    let case = Case { kind, input: shape, filter: shape, stride: one, dilation: one, padding, activation, bias: false, seed: 1 };
    for (numbers, want) in [([-120.0, 16.0, 12.0], 11.733334), ([-120.0, 20.0, -42.0], -42.274513)] {
        let mut p = case.operands();
        (p.x.ty.shape, p.x.data) = (vec![1, 3], f32_bytes(&numbers));
        p.w = Input::constant(TensorType::quantized(ElementType::I8, [1, 3], 1.0 / 127.0, 0), vec![0, 0, 127]);
        check(&op(&case, false), &p, &[1, 1], &Want::Floats(vec![want]));
    }
}
