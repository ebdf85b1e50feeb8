//! Products of weights that are all half floats, which stay so: the same bits as the product of the floats, which is compared with plain loops elsewhere.

use crate::packed::{WINDOWS, check};
use crate::reference::{Case, Kind, Operands, expect, program};
use crate::sparse::{case, convolution, fully_connected};
use crate::support::machines;
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, depthwise_conv_2d};
use cranelite_tile::Machine;
use cranelite_tile::compress::can_stay_packed;
use half::f16;
use std::collections::BTreeSet;

/// With weights that float16 models could have, denormal ones among them.
fn operands(case: &Case) -> Operands {
    let mut p = case.operands();
    for (i, w) in p.w.data.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let x = f32::from_le_bytes(*w);
        *w = f16::from_f32(if i % 7 == 0 { x / 65536.0 } else { x }).to_f32().to_le_bytes();
    }
    p
}

/// One row and several, and depths and units that fill neither vectors nor panels.
#[test]
fn rows() {
    let mut all = BTreeSet::new();
    let sizes = [(1, 64, 64), (1, 130, 40), (1, 257, 70), (5, 100, 33), (17, 67, 96), (2, 640, 16), (1, 1200, 3), (40, 512, 1)];
    for (i, (rows, depth, units)) in sizes.into_iter().enumerate() {
        let activation = [Activation::None, Activation::Relu6][i % 2];
        let case = Case { activation, ..case(Kind::Float, [rows, 1, 1, depth], [units, 1, 1], i % 3 != 0) };
        let mut p = operands(&case);
        (p.x.ty.shape, p.w.ty.shape) = (vec![rows, depth], vec![units, depth]);
        check(&fully_connected(&case), &case, p, &mut all);
    }
    let reached = ["weights that are loaded once", "weights that are loaded again", "panels"];
    expect(&all, &[&["half floats on 16", "half floats on 32", "half floats on 64"], &reached[..]].concat());
}

/// Windows, strides that are wider than they, dilations, padding, batches, groups, single rows and columns.
#[test]
fn windows() {
    let mut all = BTreeSet::new();
    let padding = |n| Padding { top: n, bottom: n, left: n, right: n };
    let few_outputs = ([1, 9, 9, 32], [3, 7, 7], [1, 1], [1, 1], 3, 1);
    for (i, (input, filter, stride, dilation, pad, groups)) in WINDOWS.into_iter().chain([few_outputs]).enumerate() {
        let mut case = case(Kind::Float, input, filter, i % 3 != 0);
        case.filter[3] /= groups;
        (case.stride, case.dilation, case.padding) = (stride, dilation, padding(pad));
        check(&convolution(&case), &case, operands(&case), &mut all);
    }
    expect(&all, &["half floats on 16", "half floats on 32", "half floats on 64", "a place that is a parameter"]);
}

/// Each channel with a filter of its own, and several filters for each.
#[test]
fn depthwise() {
    let mut all = BTreeSet::new();
    for (input, [height, width], multiplier, stride) in
        [([1, 9, 7, 64], [3, 3], 1, [1, 1]), ([2, 8, 9, 45], [5, 5], 1, [2, 2]), ([1, 6, 1, 40], [3, 1], 4, [1, 1])]
    {
        let channels = input[3] * multiplier;
        let mut case = case(Kind::Float, input, [channels, height, width], true);
        case.filter[3] = 1;
        let mut p = operands(&case);
        p.w.ty.shape = vec![1, height, width, channels];
        let padding = Padding { top: height / 2, bottom: height / 2, left: width / 2, right: width / 2 };
        let attributes =
            depthwise_conv_2d::Attributes { stride, dilation: [1, 1], padding, activation: Activation::None, depth_multiplier: multiplier };
        check(&Op::DepthwiseConv2d(attributes), &case, p, &mut all);
    }
    expect(&all, &["half floats on 16", "half floats on 64", "depthwise"]);
}

/// What is no half float in some places, and what a machine without the instruction has.
#[test]
fn others_stay() {
    let case = case(Kind::Float, [1, 3, 3, 64], [64, 1, 1], true);
    for machine in &machines() {
        let stays = |p: &Operands, machine: &Machine| {
            can_stay_packed(&[(&program(&convolution(&case), p, machine, Goal::Speed, 0), machine)]).is_empty()
        };
        let mut p = operands(&case);
        assert_eq!(stays(&p, machine), !machine.half_floats, "{}", machine.name);
        assert!(stays(&p, &Machine { half_floats: false, ..machine.clone() }));
        // In every constant that weights become.
        p.w.data.as_chunks_mut::<4>().0.iter_mut().skip(3).step_by(13).for_each(|w| *w = 1.0001f32.to_le_bytes());
        assert!(stays(&p, machine));
    }
}
