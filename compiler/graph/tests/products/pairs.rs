//! Products of bytes whose sums of two are kept in 16 bits, against plain loops: numbers at the ends of their range, and every depth.

use crate::reference::{Case, Kind, Operands, expect, program, run};
use crate::support::integers;
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, conv_2d};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use cranelite_tile::text::print_kernel;
use cranelite_tile::{ByteDot, Machine};
use std::collections::BTreeSet;
use std::sync::Arc;

fn op(case: &Case) -> Op {
    let Case { stride, dilation, padding, activation, .. } = *case;
    Op::Conv2d(conv_2d::Attributes { stride, dilation, padding, activation })
}

fn plain(kind: Kind, input: [usize; 4], filter: [usize; 4]) -> Case {
    let activation = Activation::None;
    let padding = Padding::default();
    Case { kind, input, filter, stride: [1; 2], dilation: [1; 2], padding, activation, bias: true, seed: 4321, transposed: None }
}

/// What weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weights {
    /// Anything from -127 to 127.
    Any,
    /// -127 and 127, all alike in an output channel.
    Largest,
    /// As `Largest`, and one -128 per output channel.
    OneLeast,
    /// -128 everywhere.
    Least,
}

/// Signs of weights change from channel to channel, and activations are as far from their zero point as they can be.
fn operands(case: &Case, weights: Weights) -> Operands {
    let mut p = case.operands();
    let depth: usize = case.filter[1..].iter().product();
    // Moved, where the model's have no sign.
    let sign = if p.w.ty.element == ElementType::U8 { 0x80 } else { 0 };
    for (i, b) in p.w.data.iter_mut().enumerate() {
        let (o, at) = (i / depth, i % depth);
        let largest = if o.is_multiple_of(2) { 127 } else { -127 };
        let w: i8 = match weights {
            Weights::Any => (*b as i8).max(-127),
            Weights::OneLeast if at == o * 7 % depth => -128,
            Weights::Largest | Weights::OneLeast => largest,
            Weights::Least => -128,
        };
        *b = w as u8 ^ sign;
    }
    if weights != Weights::Any {
        let least = if p.x.ty.element == ElementType::U8 { 0 } else { 0x80 };
        p.x.data.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 97 < 90 { least } else { least ^ 0xff });
        let scale = 0.05 * 0.01 * depth as f32 * 128.0;
        p.result.quantization = Some(Arc::new(Quantization::per_tensor(scale, p.result.zero_point())));
    }
    p
}

/// Compares, and adds what of the schedule has been reached.
fn check(case: &Case, weights: Weights, all: &mut BTreeSet<&'static str>) {
    let (machine, p) = (Machine::example(16, ByteDot::S8S8Pairs, true, true), operands(case, weights));
    let want = case.convolution(&p);
    // Without memory to spare for activations of the other sign, with enough for all of them, and for about a third.
    let spare = [0, p.x.data.len(), p.x.data.len() / 3];
    for (goal, spare) in spare.map(|spare| (Goal::Speed, spare)).into_iter().chain([(Goal::Size, 0)]) {
        let (shape, got) = run(&op(case), &p, &machine, goal, spare).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(shape, case.output());
        let ty = TensorType { shape, ..p.result.clone() };
        let crate::reference::Want::Integers(want) = &want else { panic!("integers") };
        assert_eq!(&integers(&ty, &got), want, "{goal:?} {spare} {weights:?} {case:?}");
    }
    let kernels = spare.map(|spare| program(&op(case), &p, &machine, Goal::Speed, spare).kernels);
    for kernel in kernels.concat() {
        let text = print_kernel(&kernel);
        all.extend(kernel.name.starts_with("move_").then_some("moved ahead"));
        let pairs = text.contains("mul") && text.contains("dot.2");
        all.insert(if pairs { "pairs" } else { "groups of four" });
        if pairs {
            assert!(weights != Weights::Least || case.filter[1..] == [1; 3], "{case:?}");
            all.extend(kernel.name.contains("_across").then_some("depth in lanes"));
            all.extend(text.contains("xor").then_some("moved in the loop"));
            let panels = [("x4", "one vector"), ("x8", "two vectors"), ("x12", "three vectors"), ("x16", "four vectors")];
            all.extend(panels.iter().filter(|p| kernel.name.ends_with(p.0)).map(|p| p.1));
            all.extend((kernel.name.contains("_1x1x")).then_some("one pixel"));
        }
    }
}

const WEIGHTS: [Weights; 4] = [Weights::Any, Weights::Largest, Weights::OneLeast, Weights::Least];

/// Depths around the chains of groups, and their rest; single rows and columns; few and many output channels.
#[test]
fn depths_and_numbers() {
    let mut all = BTreeSet::new();
    for depth in 1..=40 {
        for (i, weights) in WEIGHTS.into_iter().enumerate() {
            let kind = if (depth + i).is_multiple_of(3) { Kind::Uint8 } else { Kind::Int8 { per_channel: i % 2 == 0 } };
            let outputs = [3, 8, 12, 16, 33, 5][(depth + i) % 6];
            let input = [[1, 1, 1], [1, 1, 5], [1, 7, 1], [2, 2, 3]][(depth / 4 + i) % 4];
            check(&plain(kind, [input[0], input[1], input[2], depth], [outputs, 1, 1, depth]), weights, &mut all);
        }
    }
    for (depth, outputs) in [(64, 1), (131, 2), (200, 1), (126, 2)] {
        for weights in WEIGHTS {
            check(&plain(Kind::Int8 { per_channel: true }, [1, 3, 3, depth], [outputs, 1, 1, depth]), weights, &mut all);
        }
    }
    let expected = [
        "pairs",
        "groups of four",
        "depth in lanes",
        "moved in the loop",
        "moved ahead",
        "one vector",
        "two vectors",
        "three vectors",
        "four vectors",
        "one pixel",
    ];
    expect(&all, &expected);
}

/// Padding, strides larger than the window, groups, runs that end within a pair, batches.
#[test]
fn windows() {
    let mut all = BTreeSet::new();
    let pad = Padding { top: 1, bottom: 1, left: 1, right: 2 };
    let kinds = [Kind::Int8 { per_channel: true }, Kind::Uint8];
    for (i, weights) in WEIGHTS.into_iter().enumerate() {
        for (j, channels) in [1, 2, 3, 5, 8, 13].into_iter().enumerate() {
            let kind = kinds[(i + j) % 2];
            let outputs = [4, 10, 17][j % 3];
            check(&Case { padding: pad, ..plain(kind, [1, 5, 6, channels], [outputs, 3, 3, channels]) }, weights, &mut all);
            check(&Case { stride: [4, 3], ..plain(kind, [2, 9, 8, channels], [outputs, 2, 2, channels]) }, weights, &mut all);
            check(
                &Case { dilation: [2, 2], padding: pad, ..plain(kind, [1, 6, 7, channels], [outputs, 2, 3, channels]) },
                weights,
                &mut all,
            );
            check(&plain(kind, [1, 4, 4, 3 * channels], [3 * outputs, 3, 2, channels]), weights, &mut all);
        }
    }
    assert!(["pairs", "groups of four", "moved in the loop", "moved ahead"].iter().all(|e| all.contains(e)), "{all:?}");
}
