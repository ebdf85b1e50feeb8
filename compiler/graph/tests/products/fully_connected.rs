//! FULLY_CONNECTED.

use crate::convolutions::activations;
use crate::reference::{Case, Kind, check};
use cranelite_graph::ops::attributes::Padding;
use cranelite_graph::ops::{Op, fully_connected};
use cranelite_graph::tensor::ElementType;
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
