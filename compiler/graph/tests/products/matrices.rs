//! Products of bytes as products of matrices, against plain loops: every depth around the groups of eight, odd numbers of pixels, panels of every width.

use crate::reference::{Case, Kind, Operands, Want, expect, program, run};
use crate::support::{f32s, integers, with_matrices};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, conv_2d, fully_connected};
use cranelite_graph::tensor::TensorType;
use cranelite_tile::pressure::pressure;
use cranelite_tile::text::print_kernel;
use std::collections::BTreeSet;

/// Of weights of u8 this makes a zero point of 128, which bytes with a sign do not have.
const SEED: u64 = 4224;

fn op(case: &Case) -> Op {
    let Case { stride, dilation, padding, activation, .. } = *case;
    Op::Conv2d(conv_2d::Attributes { stride, dilation, padding, activation })
}

fn plain(kind: Kind, input: [usize; 4], filter: [usize; 4]) -> Case {
    let activation = Activation::None;
    let padding = Padding::default();
    Case { kind, input, filter, stride: [1; 2], dilation: [1; 2], padding, activation, bias: true, seed: SEED, transposed: None }
}

/// Compares, and adds what of the schedule has been reached.
fn check(op: &Op, p: &Operands, shape: &[usize], want: &Want, all: &mut BTreeSet<&'static str>) {
    let machine = with_matrices();
    // Without memory to spare for activations of the other sign, with enough for all of them, and for about a third.
    let spare = [0, p.x.data.len(), p.x.data.len() / 3];
    for (goal, spare) in spare.map(|spare| (Goal::Speed, spare)).into_iter().chain([(Goal::Size, 0)]) {
        let (got_shape, got) = run(op, p, &machine, goal, spare).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(got_shape, shape);
        let ty = TensorType { shape: got_shape, ..p.result.clone() };
        match want {
            Want::Integers(want) => assert_eq!(&integers(&ty, &got), want, "{goal:?} {spare} {:?} {:?}", p.x.ty, p.w.ty),
            Want::Floats(want) => assert!(f32s(&got).iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-4 + 1e-5 * want.abs())),
        }
    }
    for kernel in spare.map(|spare| program(op, p, &machine, Goal::Speed, spare).kernels).concat() {
        let text = print_kernel(&kernel);
        all.extend(kernel.name.starts_with("move_").then_some("moved ahead"));
        if !text.contains("dot_matrix") {
            all.extend(text.contains("dot").then_some("groups of four"));
            continue;
        }
        all.insert("matrices");
        all.extend(text.contains("sums: read").then_some("sums ahead"));
        // Rows of two groups are interleaved, those of one stand behind each other, and the last pixel of an odd number stands twice.
        let words = [("concat", "one group"), ("group 8", "one pixel twice"), ("first", "part of a group"), ("xor", "moved in the loop")];
        all.extend(words.iter().filter(|w| text.contains(w.0)).map(|w| w.1));
        all.extend(text.contains("i8x32 = bitcast").then_some("two groups"));
        if text.contains("loop k ") {
            all.insert("a loop");
            let needed = pressure(&kernel, &machine);
            assert!(needed <= machine.vector_registers, "{} needs {needed} registers", kernel.name);
        }
        let panels = [("x4", "one vector"), ("x8", "two vectors"), ("x12", "three vectors"), ("x16", "four vectors")];
        all.extend(panels.iter().filter(|p| kernel.name.ends_with(p.0)).map(|p| p.1));
    }
}

fn check_case(case: &Case, all: &mut BTreeSet<&'static str>) {
    let p = case.operands();
    check(&op(case), &p, &case.output(), &case.convolution(&p), all);
}

/// Single rows and columns, few and many output channels; numbers at the ends of their range.
#[test]
fn depths_and_numbers() {
    let mut all = BTreeSet::new();
    for depth in 1..=50 {
        for i in 0..3 {
            let kind = [Kind::Int8 { per_channel: true }, Kind::Uint8, Kind::Int8 { per_channel: false }][(depth + i) % 3];
            let outputs = [16, 3, 8, 12, 33, 5, 20][(depth + i) % 7];
            let input = [[1, 1, 1], [1, 1, 5], [1, 7, 1], [2, 2, 3], [1, 1, 12]][(depth / 4 + i) % 5];
            let case = plain(kind, [input[0], input[1], input[2], depth], [outputs, 1, 1, depth]);
            let mut p = case.operands();
            if i == 2 {
                let least = if kind == Kind::Uint8 { 0 } else { 0x80 };
                p.w.data.iter_mut().enumerate().for_each(|(i, w)| *w = if i % 11 == 3 { least ^ 0xff } else { least });
                p.x.data.fill(least);
            }
            check(&op(&case), &p, &case.output(), &case.convolution(&p), &mut all);
        }
    }
    for depth in [64, 131, 200] {
        check_case(&plain(Kind::Int8 { per_channel: true }, [1, 3, 5, depth], [24, 1, 1, depth]), &mut all);
        for outputs in [4, 8, 12, 16] {
            check_case(&plain(Kind::Uint8, [1, 3, 12, depth], [outputs, 1, 1, depth]), &mut all);
        }
    }
    // Weights with a zero point, where the sums of activations are made ahead.
    let case = Case { seed: SEED + 1, ..plain(Kind::Uint8, [1, 2, 3, 64], [48, 1, 1, 64]) };
    let mut ahead = BTreeSet::new();
    check_case(&case, &mut ahead);
    assert!(ahead.contains("matrices") && ahead.contains("sums ahead"), "{ahead:?}");
    let expected = [
        "matrices",
        "groups of four",
        "one group",
        "two groups",
        "a loop",
        "part of a group",
        "one pixel twice",
        "moved in the loop",
        "moved ahead",
        "one vector",
        "two vectors",
        "three vectors",
        "four vectors",
    ];
    expect(&all, &expected);
}

/// Padding, strides larger than the window, groups, runs that end within a group, batches; activations that are quantised at run time.
#[test]
fn windows() {
    let mut all = BTreeSet::new();
    let pad = Padding { top: 1, bottom: 1, left: 1, right: 2 };
    let hybrid = |per_channel| Kind::Hybrid { per_channel, asymmetric: per_channel };
    let kinds = [Kind::Int8 { per_channel: true }, Kind::Uint8, hybrid(false), hybrid(true)];
    for (i, kind) in kinds.into_iter().enumerate() {
        for (j, channels) in [1, 3, 5, 8, 13, 16, 20].into_iter().enumerate() {
            let outputs = [4, 10, 17][(i + j) % 3];
            check_case(&Case { padding: pad, ..plain(kind, [1, 5, 6, channels], [outputs, 3, 3, channels]) }, &mut all);
            check_case(&Case { stride: [4, 3], ..plain(kind, [2, 9, 8, channels], [outputs, 2, 2, channels]) }, &mut all);
            let dilated = plain(kind, [1, 6, 7, channels], [outputs, 2, 3, channels]);
            check_case(&Case { dilation: [2, 2], padding: pad, ..dilated }, &mut all);
            if kind != hybrid(false) {
                check_case(&plain(kind, [1, 4, 4, 3 * channels], [3 * outputs, 3, 2, channels]), &mut all);
            }
        }
    }
    let expected = ["matrices", "one group", "two groups", "one pixel twice", "part of a group", "moved in the loop", "moved ahead"];
    expect(&all, &expected);
}

/// Rows of FULLY_CONNECTED are pixels; of one row, groups of four are multiplied.
#[test]
fn rows() {
    for rows in 1..=9 {
        let mut all = BTreeSet::new();
        for (depth, outputs) in [(32, 16), (37, 10), (64, 7)] {
            for kind in [Kind::Int8 { per_channel: false }, Kind::Hybrid { per_channel: false, asymmetric: false }] {
                let case = plain(kind, [rows, 1, 1, depth], [outputs, 1, 1, depth]);
                let mut p = case.operands();
                let (x, w) = (&mut p.x.ty.shape, &mut p.w.ty.shape);
                (*x, *w) = (vec![rows, depth], vec![outputs, depth]);
                let op = Op::FullyConnected(fully_connected::Attributes {
                    activation: Activation::None,
                    keep_num_dims: false,
                    asymmetric_quantize_inputs: false,
                });
                check(&op, &p, &[rows, outputs], &case.fully_connected(&p), &mut all);
            }
        }
        // Twice the last of three rows is too much.
        assert_eq!(all.contains("matrices"), !matches!(rows, 1 | 3), "{rows} rows: {all:?}");
    }
}
