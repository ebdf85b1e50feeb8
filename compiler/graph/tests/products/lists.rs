//! Products with weights that are mostly zeros, as lists of weights and pixels in lanes, against plain loops.

use crate::reference::{Case, Kind, Operands, Want, expect, program, run};
use crate::sparse::{Pattern, case, compare, convolution, fully_connected, operands};
use crate::support::{f32_bytes, f32s, integers, machines};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::Op;
use cranelite_graph::ops::attributes::Activation;
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tile::text::print_kernel;
use cranelite_tile::{ByteDot, Machine, Permutes, Program, Step};
use std::collections::BTreeSet;

/// Machines that have no other way to leave out zeros.
fn machines_with_lists() -> Vec<Machine> {
    let all = machines().into_iter().filter(|m| m.has_vectors() && !matches!(m.byte_dot, ByteDot::Runs { .. }));
    all.map(|m| Machine { permutes: Permutes::default(), ..m }).collect()
}

fn is_sparse(program: &Program) -> bool {
    program.kernels.iter().any(|k| k.name.starts_with("sparse_"))
}

/// What of the schedule a program has.
fn reached(case: &Case, program: &Program) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let is_integer = case.kind != Kind::Float;
    for k in program.kernels.iter().filter(|k| k.name.starts_with("sparse_")) {
        let text = print_kernel(k);
        let kind = match case.kind {
            Kind::Float => "floats",
            Kind::Int16 { .. } => "16 bits",
            Kind::Hybrid { .. } => "hybrid",
            _ => "bytes",
        };
        let products = match text.contains("dot") {
            true => "in groups",
            false if is_integer => "as floats",
            false => "by themselves",
        };
        all.insert(format!("{kind}, {products}"));
        all.extend(text.contains("i16x").then(|| "weights of 16 bits".to_owned()));
        all.extend(k.name.ends_with("_more").then(|| "blocks of the depth".to_owned()));
        all.insert(format!(
            "tile {}",
            k.name.trim_start_matches("sparse_f32_").trim_start_matches("sparse_int_").trim_end_matches("_more")
        ));
    }
    if is_sparse(program) {
        let tiles = program.schedule.iter().any(|s| matches!(s, Step::Repeat { .. }));
        let calls = program.calls().filter(|c| program.kernel(c.kernel).name.starts_with("results_of_lanes")).count();
        all.insert(if tiles { "many tiles" } else { "few tiles" }.into());
        all.extend((1 < calls).then(|| "several chunks or tiles".into()));
    }
    all
}

/// Runs on every machine, with and without memory to spare; adds to what has been reached.
fn check(op: &Op, case: &Case, p: &Operands, want: &Want, all: &mut BTreeSet<String>) {
    for machine in &machines_with_lists() {
        for spare in [0, 1 << 21] {
            let (shape, got) = run(op, p, machine, Goal::Speed, spare).unwrap_or_else(|d| panic!("{d}"));
            compare(case, machine, p, want, shape, &got);
            all.extend(reached(case, &program(op, p, machine, Goal::Speed, spare)));
        }
    }
}

const KINDS: [Kind; 8] = [
    Kind::Float,
    Kind::Int8 { per_channel: true },
    Kind::Uint8,
    Kind::Int16 { bias: ElementType::I64 },
    Kind::Hybrid { per_channel: true, asymmetric: false },
    Kind::Hybrid { per_channel: false, asymmetric: true },
    Kind::Int16 { bias: ElementType::I32 },
    Kind::Int8Offset,
];
const PATTERNS: [Pattern; 5] = [Pattern::Percent(8), Pattern::Of(1, 8), Pattern::Percent(25), Pattern::Channels, Pattern::Of(1, 4)];

/// Rows that fill vectors and tiles and such that do not, depths of several blocks, units of several chunks.
#[test]
fn rows() {
    let mut all = BTreeSet::new();
    for (i, kind) in KINDS.into_iter().enumerate() {
        for (j, (rows, depth, units)) in
            [(16, 64, 64), (37, 128, 70), (130, 20, 33), (67, 52, 5), (65, 640, 16), (291, 16, 9)].into_iter().enumerate()
        {
            let case = Case {
                activation: [Activation::None, Activation::Relu6][(i + j) % 2],
                ..case(kind, [rows, 1, 1, depth], [units, 1, 1], (i + j) % 3 != 0)
            };
            let mut p = operands(&case, PATTERNS[(i + j) % PATTERNS.len()]);
            (p.x.ty.shape, p.w.ty.shape) = (vec![rows, depth], vec![units, depth]);
            check(&fully_connected(&case), &case, &p, &case.fully_connected(&p), &mut all);
        }
    }
    let expected = [
        "floats, by themselves",
        "bytes, in groups",
        "bytes, as floats",
        "16 bits, in groups",
        "hybrid, in groups",
        "hybrid, as floats",
        "weights of 16 bits",
        "blocks of the depth",
        "many tiles",
        "few tiles",
        "several chunks or tiles",
    ];
    expect(&all, &expected);
}

/// Images of one pixel after the other: batches, single rows and columns; convolutions quantise whole images.
#[test]
fn images() {
    let mut all = BTreeSet::new();
    let inputs = [[1, 5, 7, 64], [2, 6, 6, 48], [1, 1, 49, 80], [3, 26, 1, 40]];
    let quantized = [false, true].map(|per_channel| Kind::Hybrid { per_channel, asymmetric: per_channel });
    for (i, kind) in KINDS[..4].iter().copied().chain(quantized).enumerate() {
        for (j, input) in inputs.into_iter().enumerate() {
            let case = case(kind, input, [[32, 40, 66][(i + j) % 3], 1, 1], j % 2 == 0);
            let p = operands(&case, PATTERNS[(i + 2 * j) % 2]);
            check(&convolution(&case), &case, &p, &case.convolution(&p), &mut all);
        }
    }
    let expected = ["floats, by themselves", "bytes, as floats", "hybrid, as floats"];
    expect(&all, &expected);
}

/// What is dense, or for size, or has windows, stays as it is.
#[test]
fn others_stay_dense() {
    let machine = &machines_with_lists()[0];
    let sparse = |case: &Case, pattern, goal| is_sparse(&program(&convolution(case), &operands(case, pattern), machine, goal, 1 << 20));
    let plain = case(Kind::Float, [1, 12, 12, 64], [64, 1, 1], true);
    assert!(sparse(&plain, Pattern::Of(1, 8), Goal::Speed));
    assert!(!sparse(&plain, Pattern::Percent(90), Goal::Speed));
    assert!(!sparse(&plain, Pattern::Of(1, 8), Goal::Size));
    assert!(!sparse(&Case { stride: [2, 2], ..plain.clone() }, Pattern::Of(1, 8), Goal::Speed));
    assert!(!sparse(&case(Kind::Float, [1, 12, 12, 64], [64, 3, 3], true), Pattern::Of(1, 8), Goal::Speed));
}

/// Integers as floats only where their sums are exact.
#[test]
fn sums_that_floats_do_not_hold() {
    let machine = machines_with_lists().into_iter().find(|m| m.vector_bytes == 32 && m.byte_dot == ByteDot::S16S16).expect("one");
    for (weight, exact) in [(1i8, true), (127, false)] {
        let case = case(Kind::Int8 { per_channel: true }, [16, 1, 1, 8320], [64, 1, 1], false);
        let mut p = operands(&case, Pattern::Percent(0));
        (p.x.ty.shape, p.w.ty.shape) = (vec![16, 8320], vec![64, 8320]);
        p.w.data.iter_mut().step_by(8).for_each(|w| *w = weight as u8);
        p.x.data.fill(127);
        let op = fully_connected(&case);
        let program = program(&op, &p, &machine, Goal::Speed, 1 << 21);
        let as_floats = program.kernels.iter().any(|k| k.name.starts_with("sparse_f32"));
        assert_eq!(as_floats, exact, "{weight}");
        let (shape, got) = run(&op, &p, &machine, Goal::Speed, 1 << 21).unwrap_or_else(|d| panic!("{d}"));
        let Want::Integers(want) = case.fully_connected(&p) else { unreachable!("bytes") };
        assert_eq!(integers(&TensorType { shape, ..p.result.clone() }, &got), want, "{weight}");
    }
}

/// What is not finite reaches the results whose weights are not zero.
#[test]
fn infinities() {
    for machine in machines_with_lists() {
        let case = case(Kind::Float, [129, 1, 1, 128], [64, 1, 1], false);
        let mut p = operands(&case, Pattern::Of(1, 8));
        (p.x.ty.shape, p.w.ty.shape) = (vec![129, 128], vec![64, 128]);
        let mut x = vec![1.0; 129 * 128];
        x[128 * 128 + 17] = f32::INFINITY;
        p.x.data = f32_bytes(&x);
        let op = fully_connected(&case);
        assert!(is_sparse(&program(&op, &p, &machine, Goal::Speed, 1 << 20)), "{}", machine.name);
        let (w, (_, got)) = (f32s(&p.w.data), run(&op, &p, &machine, Goal::Speed, 1 << 20).unwrap_or_else(|d| panic!("{d}")));
        for (i, y) in f32s(&got).into_iter().enumerate() {
            let weight = w[i % 64 * 128 + 17];
            match i / 64 == 128 && weight != 0.0 {
                true => assert_eq!(y, f32::MAX.copysign(weight), "{}: {i}", machine.name),
                false => assert!(y.abs() < 1e6, "{}: {y} at {i}", machine.name),
            }
        }
    }
}
