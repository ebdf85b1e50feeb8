//! Operators done together band by band: the bits that they have one after the other, on machines of every kind whose cache is too small.

#[allow(dead_code)]
#[path = "windows/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "windows/support.rs"]
mod support;

use cranelite_graph::graph::Graph;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite;
use cranelite_tile::{Machine, Program, Role, arena, interpret, parallel, verify};
use network::Network;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::cell::Cell;
use support::{bytes, eighths, f32_bytes, machines};

/// What comes first, and the 1 x 1 convolution behind it.
#[derive(Clone, Debug)]
struct Case {
    integers: bool,
    image: [usize; 3],
    filter: [usize; 2],
    stride: usize,
    outputs: usize,
    /// The first operator is a 1 x 1 convolution, too.
    pointwise: bool,
    /// The input is added to the result, where it has its shape.
    residual: bool,
    threads: usize,
    cache_bytes: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let image = (8usize..60, 1usize..20, prop::sample::select(vec![1, 3, 4, 8, 12, 16, 24, 33]));
    let window = (1usize..6, 1usize..6, 1usize..4);
    let rest = (any::<bool>(), prop::sample::select(vec![1, 4, 8, 16, 20, 40]), 0usize..4, any::<bool>(), 1usize..3, 10u32..15);
    (image, window, rest).prop_map(|((h, w, c), (fh, fw, stride), (integers, outputs, pointwise, residual, threads, cache))| Case {
        integers,
        image: [h, w, c],
        filter: [fh, fw],
        stride,
        outputs: if residual { c } else { outputs },
        pointwise: pointwise == 0,
        residual,
        threads,
        cache_bytes: 1 << cache,
    })
}

fn graph(case: &Case) -> Graph {
    let mut net = Network::new(case.integers, case.image);
    let first = if case.pointwise { net.conv(0, 1, case.outputs) } else { net.depthwise_by(0, case.filter, case.stride) };
    let mut last = net.conv(first, 1, case.outputs);
    if case.residual && net.shapes[last] == net.shapes[0] {
        last = net.add(last, 0);
    }
    let mut graph = net.graph(last);
    rewrite::all(&mut graph, |_, _| {});
    graph
}

fn planned(graph: &Graph, machine: &Machine, threads: usize) -> Program {
    let mut program = lower(graph, machine, Goal::Speed).expect("a program");
    parallel::divide(&mut program, threads);
    arena::plan(&mut program);
    arena::check(&program).expect("a sound plan");
    verify::verify(&program).unwrap_or_else(|e| panic!("{}\n{}", e[0], cranelite_tile::text::display(&program)));
    program
}

fn run(program: &Program, graph: &Graph, x: &[u8]) -> Vec<u8> {
    let mut output = vec![0xAA; graph.ty(graph.outputs[0]).size_bytes()];
    interpret::run(program, &[x], &mut [&mut output]).expect("it runs");
    output
}

fn scratch_bytes(program: &Program) -> u64 {
    program.buffers.iter().filter(|b| b.role == Role::Scratch).map(|b| b.size_bytes).sum()
}

#[test]
fn the_same_bits_in_bands() {
    let bands = Cell::new([0u32; 2]);
    let config = Config { cases: 60, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() };
    let check = |case: Case| {
        let graph = graph(&case);
        let size = graph.ty(graph.inputs[0]).size_bytes();
        let x = if case.integers { bytes(5, size) } else { f32_bytes(&eighths(5, size / 4)) };
        for machine in machines() {
            let [small, large] = [case.cache_bytes, 1 << 30].map(|l2_bytes| Machine { l2_bytes, ..machine.clone() });
            let (banded, whole) = (planned(&graph, &small, case.threads), planned(&graph, &large, case.threads));
            if scratch_bytes(&banded) < scratch_bytes(&whole) {
                let mut n = bands.get();
                n[usize::from(case.integers)] += 1;
                bands.set(n);
            }
            if run(&banded, &graph, &x) != run(&whole, &graph, &x) {
                return Err(TestCaseError::fail(format!("{}\n{}", machine.name, cranelite_tile::text::display(&banded))));
            }
        }
        Ok(())
    };
    if let Err(e) = TestRunner::new(config).run(&cases(), check) {
        panic!("{e}");
    }
    // Of floats and of bytes.
    println!("in bands: {:?}", bands.get());
    assert!(bands.get().iter().all(|n| 20 <= *n), "too few programs have bands: {:?}", bands.get());
}
