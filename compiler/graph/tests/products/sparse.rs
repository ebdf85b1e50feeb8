//! Products with weights that are mostly zeros: activations permuted to those that are not, against plain loops.

use crate::reference::{Case, Kind, Operands, Want, program, run};
use crate::support::{f32_bytes, f32s, integers, machines, noise};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, conv_2d, fully_connected};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tile::text::print_kernel;
use cranelite_tile::{ByteDot, Machine, Permutes, Program};
use std::collections::BTreeSet;

/// Which weights stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// So many of every so many along the depth.
    Of(usize, usize),
    /// So many percent, anywhere.
    Percent(usize),
    /// The channels of every other sixteen alone, and of these a quarter.
    Channels,
}

impl Pattern {
    fn apply(self, case: &Case, w: &mut [u8]) {
        let depth: usize = case.filter[1..].iter().product();
        let size = w.len() / (depth * case.filter[0]);
        let ranks: Vec<u64> = noise(case.seed + 9, depth * case.filter[0]).collect();
        for i in 0..ranks.len() {
            let stays = match self {
                Pattern::Of(n, m) => {
                    let first = i / depth * depth + i % depth / m * m;
                    let end = (first + m).min(i / depth * depth + depth);
                    (first..end).filter(|&j| (ranks[j], j) < (ranks[i], i)).count() < n
                }
                Pattern::Percent(share) => ranks[i] % 100 < share as u64,
                Pattern::Channels => (i / depth / 16).is_multiple_of(2) && ranks[i].is_multiple_of(4),
            };
            if !stays {
                w[i * size..(i + 1) * size].fill(0);
            }
        }
    }
}

pub fn operands(case: &Case, pattern: Pattern) -> Operands {
    let mut p = case.operands();
    pattern.apply(case, &mut p.w.data);
    p
}

pub fn case(kind: Kind, input: [usize; 4], filter: [usize; 3], bias: bool) -> Case {
    let [outputs, height, width] = filter;
    Case {
        kind,
        input,
        filter: [outputs, height, width, input[3]],
        stride: [1; 2],
        dilation: [1; 2],
        padding: Padding::default(),
        activation: Activation::None,
        bias,
        seed: input.iter().chain(&filter).fold(7, |seed, n| seed * 31 + *n as u64),
        transposed: None,
    }
}

pub fn convolution(case: &Case) -> Op {
    Op::Conv2d(conv_2d::Attributes { stride: case.stride, dilation: case.dilation, padding: case.padding, activation: case.activation })
}

pub fn fully_connected(case: &Case) -> Op {
    let asymmetric_quantize_inputs = matches!(case.kind, Kind::Hybrid { asymmetric: true, .. });
    Op::FullyConnected(fully_connected::Attributes { activation: case.activation, keep_num_dims: false, asymmetric_quantize_inputs })
}

fn is_sparse(program: &Program) -> bool {
    program.kernels.iter().any(|k| k.name.ends_with("_select"))
}

/// What of the schedule a program has.
fn reached(case: &Case, machine: &Machine, program: &Program) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for k in program.kernels.iter().filter(|k| k.name.ends_with("_select")) {
        let text = print_kernel(k);
        let kind = match case.kind {
            Kind::Float if machine.permutes.words == 0 => "floats by bytes",
            Kind::Float if text.contains("widen") => "floats by short indices",
            Kind::Float => "floats",
            Kind::Int8 { .. } if text.contains("dot.2") => "bytes as pairs",
            Kind::Int8 { .. } => "bytes",
            Kind::Int16 { .. } => "16 bits",
            Kind::Hybrid { asymmetric: true, .. } => "quantised with an offset",
            _ => "quantised at run time",
        };
        let walk = if k.args.iter().any(|a| a.name == "walk") { "sorted" } else { "regular" };
        let tile = if k.name.contains("_1x1x") { "a pixel" } else { "pixels" };
        all.insert(format!("{kind}, {walk}, {tile}"));
        all.insert(format!("{kind} on {}", machine.vector_bytes));
        for (text_of, name) in [
            ("loop turn", if walk == "sorted" { "loop of turns" } else { "loop of tables" }),
            ("0..rest", "tables after turns"),
            ("loop s ", "loop of slots"),
            ("loop panel", "panels"),
            ("loop n ", "images"),
        ] {
            if text.contains(text_of) {
                all.insert(name.into());
            }
        }
        if text.contains("i8x16 = load w") {
            all.insert("short weights".into());
        }
        if text.contains("permute.64") {
            all.insert("long tables of bytes".into());
        }
        if text.contains(" first ") {
            all.insert("a panel that is not full".into());
        }
    }
    if is_sparse(program) && case.padding.top != 0 && program.kernels.iter().any(|k| !k.name.ends_with("_select")) {
        all.insert("borders".into());
    }
    if is_sparse(program) && case.dilation != [1, 1] {
        all.insert("taps that are apart".into());
    }
    if is_sparse(program) && case.filter[1..3] != [1, 1] {
        all.insert("taps".into());
    }
    all
}

/// Whether a result is what is wanted, floats within what another order of sums may change.
pub fn compare(case: &Case, machine: &Machine, p: &Operands, want: &Want, shape: Vec<usize>, got: &[u8]) {
    let context = || format!("{case:?} on {} {:?}", machine.name, machine.byte_dot);
    match want {
        Want::Integers(want) => {
            let ty = TensorType { shape, ..p.result.clone() };
            assert_eq!(&integers(&ty, got), want, "{}", context());
        }
        Want::Floats(want) => {
            for (i, (got, want)) in f32s(got).iter().zip(want).enumerate() {
                assert!((got - want).abs() <= 1e-4 + 1e-5 * want.abs(), "{}: {got} instead of {want} at {i}", context());
            }
        }
    }
}

/// Runs on every machine; adds to what has been reached.
fn check(op: &Op, case: &Case, p: &Operands, want: &Want, all: &mut BTreeSet<String>) {
    for machine in machines().iter().filter(|m| m.has_vectors()) {
        let (shape, got) = run(op, p, machine, Goal::Speed, 0).unwrap_or_else(|d| panic!("{d}"));
        compare(case, machine, p, want, shape, &got);
        all.extend(reached(case, machine, &program(op, p, machine, Goal::Speed, 0)));
    }
}

const PATTERNS: [Pattern; 8] = [
    Pattern::Percent(3),
    Pattern::Of(1, 4),
    Pattern::Percent(12),
    Pattern::Of(1, 8),
    Pattern::Percent(25),
    Pattern::Of(2, 4),
    Pattern::Channels,
    Pattern::Percent(50),
];
const INT8: Kind = Kind::Int8 { per_channel: true };
const INT16: Kind = Kind::Int16 { bias: ElementType::I64 };
const KINDS: [Kind; 6] = [
    Kind::Float,
    INT8,
    INT16,
    Kind::Hybrid { per_channel: true, asymmetric: false },
    Kind::Hybrid { per_channel: false, asymmetric: true },
    Kind::Int16 { bias: ElementType::I32 },
];

/// Single rows and several, units and depths that fill vectors and tables and such that do not.
#[test]
fn rows() {
    let mut all = BTreeSet::new();
    for (i, kind) in KINDS.into_iter().enumerate() {
        for (j, (depth, units)) in [(64, 64), (128, 48), (100, 33), (67, 40), (192, 20), (64, 16)].into_iter().enumerate() {
            for (k, pattern) in PATTERNS.into_iter().enumerate() {
                let rows = [1, 1, 3, 1, 17][(i + j + k) % 5];
                let case = Case {
                    activation: [Activation::None, Activation::Relu6][(i + k) % 2],
                    ..case(kind, [rows, 1, 1, depth], [units, 1, 1], (i + j) % 2 == 0)
                };
                let mut p = operands(&case, pattern);
                (p.x.ty.shape, p.w.ty.shape) = (vec![rows, depth], vec![units, depth]);
                check(&fully_connected(&case), &case, &p, &case.fully_connected(&p), &mut all);
            }
        }
    }
    println!("{all:#?}");
    let kinds = ["floats", "bytes", "bytes as pairs", "16 bits", "quantised with an offset", "quantised at run time"];
    let expected = kinds.iter().flat_map(|k| ["regular", "sorted"].map(|walk| format!("{k}, {walk}, a pixel")));
    let others = [
        "panels",
        "a panel that is not full",
        "long tables of bytes",
        "short weights",
        "loop of tables",
        "loop of turns",
        "tables after turns",
        "floats by bytes on 16",
        "floats by short indices on 32",
    ];
    let missing: Vec<String> = expected.chain(others.map(String::from)).filter(|e| !all.contains(e)).collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}

/// Images: batches, single rows and columns, strides, taps that are apart, windows without padding.
#[test]
fn images() {
    let mut all = BTreeSet::new();
    let inputs = [[1, 5, 7, 64], [2, 3, 3, 48], [1, 1, 19, 80], [3, 6, 1, 40], [1, 9, 9, 32]];
    // Convolutions with a scale for every channel quantise with an offset.
    let quantized = [false, true].map(|per_channel| Kind::Hybrid { per_channel, asymmetric: per_channel });
    for (i, kind) in KINDS[..3].iter().copied().chain(quantized).enumerate() {
        for (j, input) in inputs.into_iter().enumerate() {
            for (k, pattern) in PATTERNS.into_iter().enumerate().filter(|(k, _)| (i + j + k) % 2 == 0) {
                let taps = [[1, 1], [3, 3], [1, 1], [2, 3]][(i + k / 2) % 4];
                let taps = [taps[0].min(input[1]), taps[1].min(input[2])];
                let stride = [[1, 1], [2, 2], [1, 2]][(j + k) % 3];
                let dilation = if taps[1] == 3 && 5 <= input[2] { [1, 1 + k / 2 % 2] } else { [1, 1] };
                let outputs = [32, 40, 64][(i + k) % 3];
                let mut case = Case { stride, dilation, ..case(kind, input, [outputs, taps[0], taps[1]], j % 2 == 0) };
                if input[1] == 9 {
                    let padding = Padding { top: 1, bottom: 1, left: 1, right: 1 };
                    case = Case { stride: [1; 2], dilation: [1; 2], padding, filter: [outputs, 3, 3, input[3]], ..case };
                }
                let p = operands(&case, pattern);
                check(&convolution(&case), &case, &p, &case.convolution(&p), &mut all);
            }
        }
    }
    println!("{all:#?}");
    let kinds = ["floats", "bytes", "bytes as pairs", "16 bits", "quantised at run time"];
    let expected = kinds.iter().flat_map(|k| ["regular", "sorted"].map(|walk| format!("{k}, {walk}, pixels")));
    let missing: Vec<String> = expected
        .chain(["taps", "taps that are apart", "borders", "images", "loop of slots"].map(String::from))
        .filter(|e| !all.contains(e))
        .collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}

/// What is dense, or has weights whose zeros are not 0, or is small.
#[test]
fn others_stay_dense() {
    let machine = Machine::example(64, ByteDot::U8S8, true, false);
    let with = |case: &Case, pattern: Pattern, machine: &Machine, goal: Goal| {
        let mut p = operands(case, pattern);
        (p.x.ty.shape, p.w.ty.shape) = (vec![case.input[0], case.input[3]], vec![case.filter[0], case.input[3]]);
        is_sparse(&program(&fully_connected(case), &p, machine, goal, 0))
    };
    let sparse = |case: &Case, pattern| with(case, pattern, &machine, Goal::Speed);
    let row = |kind| case(kind, [1, 1, 1, 256], [64, 1, 1], true);
    for kind in KINDS {
        assert!(sparse(&row(kind), Pattern::Of(1, 8)), "{kind:?}");
        assert!(!sparse(&row(kind), Pattern::Percent(90)), "{kind:?}");
        assert!(!with(&row(kind), Pattern::Of(1, 8), &machine, Goal::Size), "{kind:?}");
        let without = Machine { permutes: Permutes::default(), ..machine.clone() };
        assert!(!with(&row(kind), Pattern::Of(1, 8), &without, Goal::Speed), "{kind:?}");
    }
    for kind in [Kind::Uint8, Kind::Int8Offset, Kind::Int16Words] {
        assert!(!sparse(&row(kind), Pattern::Of(1, 8)), "{kind:?}");
    }
    assert!(!sparse(&Case { filter: [8, 1, 1, 256], ..row(INT8) }, Pattern::Of(1, 8)), "few columns");
    let without_fma = Machine { fma: false, ..machine.clone() };
    assert!(!with(&row(Kind::Float), Pattern::Of(1, 8), &without_fma, Goal::Speed), "floats in the order of the reference");
    assert!(with(&row(INT8), Pattern::Of(1, 8), &without_fma, Goal::Speed));
}

/// What is not finite reaches the results whose weights are not zero, and makes no NaN of what the dense form has as a number.
#[test]
fn infinities() {
    for machine in machines().iter().filter(|m| m.has_vectors() && m.fma) {
        for pattern in [Pattern::Of(1, 4), Pattern::Percent(8)] {
            let case = case(Kind::Float, [1, 1, 1, 136], [64, 1, 1], false);
            let mut p = operands(&case, pattern);
            (p.x.ty.shape, p.w.ty.shape) = (vec![1, 136], vec![64, 136]);
            let op = fully_connected(&case);
            let mut reached = false;
            for place in [0, 17, 130, 135] {
                let mut x = vec![1.0; 136];
                x[place] = f32::INFINITY;
                p.x.data = f32_bytes(&x);
                reached |= is_sparse(&program(&op, &p, machine, Goal::Speed, 0));
                let (w, (_, got)) = (f32s(&p.w.data), run(&op, &p, machine, Goal::Speed, 0).unwrap_or_else(|d| panic!("{d}")));
                for (channel, y) in f32s(&got).into_iter().enumerate() {
                    let weight = w[channel * 136 + place];
                    if weight != 0.0 {
                        // What is infinite ends at the largest number, as in the reference.
                        assert_eq!(y, f32::MAX.copysign(weight), "{} {pattern:?}: {channel}", machine.name);
                    }
                }
            }
            // Where numbers of slots differ, it does not pay everywhere.
            let may_be_dense = machine.vector_bytes == 16 || matches!(pattern, Pattern::Percent(_));
            assert!(reached || may_be_dense, "{} {pattern:?}", machine.name);
        }
    }
}

/// Weights of u8 without a zero point of their own, half of which no i8 holds.
#[test]
fn bytes_without_sign() {
    for seed in [256, 1024, 256 * 77] {
        let case = Case { seed, ..case(Kind::Uint8, [1, 8, 14, 50], [31, 1, 1], true) };
        let p = operands(&case, Pattern::Percent(3));
        assert_eq!(p.w.ty.zero_point(), 0);
        check(&convolution(&case), &case, &p, &case.convolution(&p), &mut BTreeSet::new());
    }
}
