//! Small graphs of every shape, lowered for machines of every kind and for both goals, against plain loops.
//!
//! A case is a few small numbers (`cases.rs`), from a fixed seed, so that every run tries the same ones; what it must give comes from the
//! definitions of the operators (`evaluate.rs`). The graph is rewritten, lowered, proved and interpreted; one in a few cases is also
//! compiled and run at a feature level of this machine, which must give the interpreter's bits. A failure is shrunk to the smallest
//! numbers that still fail. The schedules that the cases are there for are counted (`paths.rs`): one that none reaches is a failure, too.
//!
//! `PROPTEST_CASES` says how many cases each test tries, and `PROPTEST_RNG_SEED` which ones.

mod cases;
mod evaluate;
mod paths;
#[allow(dead_code)]
#[path = "../../../compiler/graph/tests/products/reference.rs"]
mod reference;
#[allow(dead_code)]
#[path = "../../../compiler/graph/tests/windows/support.rs"]
mod support;

use cases::{Case, Family};
use cranelite_graph::graph::{Graph, Value, ValueId};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::moves::{self, Moves};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_graph::{rewrite, verify as graph_verify};
use cranelite_tests::differential::{self, native_levels};
use cranelite_tile::{Machine, Program, arena, interpret, verify};
use paths::Paths;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::cell::RefCell;

/// One in so many programs is also compiled and run.
const NATIVE: u64 = 8;

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn check_family(family: Family, cases: u32) {
    let given = from_environment("PROPTEST_CASES");
    let seed = from_environment("PROPTEST_RNG_SEED").unwrap_or(1);
    let config = Config {
        cases: given.unwrap_or(cases),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Config::default()
    };
    let paths = RefCell::new(Paths::of(family));
    let result = TestRunner::new(config).run(&cases::cases(family), |case| check(&case, &paths).map_err(TestCaseError::fail));
    if let Err(e) = result {
        panic!("{e}");
    }
    let paths = paths.into_inner();
    println!("{paths}");
    // Fewer cases are for finding something out.
    if given.is_none_or(|n| cases <= n) {
        let missing = paths.missing();
        assert!(missing.is_empty(), "no case of {family:?} reaches: {missing:?}");
    }
}

#[test]
fn convolutions() {
    check_family(Family::Convolution, 1500);
}
#[test]
fn depthwise_convolutions() {
    check_family(Family::Depthwise, 1000);
}
#[test]
fn fully_connected_products() {
    // A single row, and the rest of what few outputs are for, is rare on the machines that do that.
    check_family(Family::FullyConnected, 2400);
}
#[test]
fn transposed_convolutions() {
    check_family(Family::Transposed, 500);
}
#[test]
fn products_of_matrices() {
    check_family(Family::Matrices, 500);
}
#[test]
fn convolutions_at_run_time() {
    check_family(Family::RunTime, 800);
}
#[test]
fn poolings_and_means() {
    check_family(Family::Window, 800);
}
#[test]
fn copies() {
    check_family(Family::Copy, 500);
}
#[test]
fn convolutions_of_fewer_multiplications() {
    check_family(Family::Winograd, 700);
}

#[test]
fn products_of_sparse_weights() {
    check_family(Family::Sparse, 400);
}

fn check(case: &Case, paths: &RefCell<Paths>) -> Result<(), String> {
    let (graph, inputs) = case.graph();
    graph_verify::verify(&graph).map_err(|e| format!("the case itself: {}", e[0]))?;
    let expected = evaluate::evaluate(&graph, &inputs);
    let mut rewritten = graph.clone();
    let mut passes = vec![];
    rewrite::all(&mut rewritten, |name, _| passes.push(name));
    let machines = support::machines();
    let moved = moved(&rewritten);
    let variants = [Some((&rewritten, false)), moved.as_ref().map(|graph| (graph, true))];
    // Two machines per case; all of them over the cases.
    for machine in [case.seed as usize, case.seed as usize / 8 + 1].map(|i| &machines[i % machines.len()]) {
        for (goal, (rewritten, is_moved)) in
            [Goal::Speed, Goal::Size].into_iter().flat_map(|g| variants.into_iter().flatten().map(move |v| (g, v)))
        {
            let context = || format!("{goal:?} on {} {:?} {}, moved {is_moved}", machine.name, machine.byte_dot, machine.l2_bytes);
            let program = program(rewritten, machine, goal).map_err(|e| format!("{}: {e}", context()))?;
            let mut outputs: Vec<Vec<u8>> = expected.iter().map(|e| vec![0xaa; e.len()]).collect();
            let mut inputs = inputs.clone();
            let flip = |values: &[ValueId], all: &mut [Vec<u8>]| {
                let pairs = values.iter().zip(all).filter(|(v, _)| is_moved && graph.ty(**v).element == ElementType::I8);
                pairs.flat_map(|(_, bytes)| bytes).for_each(|b| *b ^= moves::SIGN);
            };
            flip(&graph.inputs, &mut inputs);
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let mut refs: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            interpret::run(&program, &inputs, &mut refs).map_err(|e| format!("{}: {e}", context()))?;
            flip(&graph.outputs, &mut outputs);
            compare(case, &graph, &program, &expected, &outputs).map_err(|e| format!("{}: {e}", context()))?;
            paths.borrow_mut().see(&paths::Sample { case, graph: rewritten, passes: &passes, is_moved, program: &program, goal });
        }
    }
    let levels = native_levels();
    if case.seed.is_multiple_of(NATIVE) && !levels.is_empty() {
        let target = &levels[(case.seed / NATIVE) as usize % levels.len()];
        let goal = [Goal::Speed, Goal::Size][(case.seed / NATIVE / levels.len() as u64 % 2) as usize];
        let context = |e: String| format!("compiled, {goal:?} at {}: {e}", target.level);
        let mut program = program(&rewritten, &target.machine, goal).map_err(context)?;
        arena::plan(&mut program);
        let elem = |v| cranelite_graph::lower::requantize::elem(graph.ty(v).element).expect("a type of results");
        let outputs = expected.iter().map(|e| vec![0x5a; e.len()]).collect();
        let run = differential::Case { program, inputs, outputs, elems: graph.outputs.iter().map(|v| elem(*v)).collect() };
        let interpreted = differential::expected(&run).map_err(context)?;
        compare(case, &graph, &run.program, &expected, &interpreted).map_err(context)?;
        for got in differential::native(&run, target).map_err(context)? {
            if let Some(difference) = differential::difference(&run, &interpreted, &got) {
                return Err(context(difference));
            }
        }
    }
    Ok(())
}

/// The same graph with all activations of i8 as u8, where every operator takes them so: what one computes of moved bytes is what it computed, moved.
fn moved(graph: &Graph) -> Option<Graph> {
    let mut moved = graph.clone();
    let is_moved = |v: &ValueId| graph.ty(*v).element == ElementType::I8 && graph.value(*v).data.is_none();
    for (node, after) in graph.nodes.iter().zip(&mut moved.nodes) {
        let all = std::iter::once(node.op.moves(&graph.signature(node)));
        let all: Vec<Moves> = all.chain((0..node.then.len()).map(|i| node.then[i].op.moves(&graph.signature_of_step(node, i)))).collect();
        for step in after.then.iter_mut().filter(|t| t.from.element == ElementType::I8) {
            step.from = moves::moved(&step.from)?;
        }
        if all.contains(&Moves::None) {
            return None;
        }
    }
    for (v, value) in moved.values.iter_mut().enumerate().filter(|(v, _)| is_moved(&ValueId(*v as u32))) {
        value.ty = moves::moved(graph.ty(ValueId(v as u32)))?;
    }
    for i in 0..graph.nodes.len() {
        let steps: Vec<bool> = (0..graph.nodes[i].then.len())
            .map(|at| graph.nodes[i].then[at].op.moves(&graph.signature_of_step(&graph.nodes[i], at)) == Moves::Together)
            .collect();
        let own = graph.nodes[i].op.moves(&graph.signature(&graph.nodes[i])) == Moves::Together;
        let node = &mut moved.nodes[i];
        let mut operands: Vec<&mut ValueId> = if own { node.inputs.iter_mut().flatten().collect() } else { vec![] };
        operands.extend(node.then.iter_mut().zip(steps).filter(|(_, together)| *together).flat_map(|(t, _)| t.inputs.iter_mut().flatten()));
        for operand in operands {
            let value = graph.value(*operand);
            if let (ElementType::I8, Some(data)) = (value.ty.element, &value.data) {
                let data: Vec<u8> = data.iter().map(|b| b ^ moves::SIGN).collect();
                moved.values.push(Value { name: value.name.clone(), ty: moves::moved(&value.ty)?, data: Some(data.into()) });
                *operand = ValueId(moved.values.len() as u32 - 1);
            }
        }
    }
    (moved != *graph).then_some(moved)
}

fn program(graph: &Graph, machine: &Machine, goal: Goal) -> Result<Program, String> {
    let program = lower(graph, machine, goal).map_err(|d| d[0].to_string())?;
    verify::verify(&program).map_err(|e| format!("not proved: {}", e[0]))?;
    Ok(program)
}

/// Integers must be equal. So must floats, whose sums are exact here, unless activations are quantised at run time or transformed.
fn compare(case: &Case, graph: &Graph, program: &Program, expected: &[Vec<u8>], got: &[Vec<u8>]) -> Result<(), String> {
    for (&v, (want, got)) in graph.outputs.iter().zip(expected.iter().zip(got)) {
        let ty: &TensorType = graph.ty(v);
        let wrong = |i: usize, got: String, want: String| format!("{got} instead of {want} at {i} of {:?}", ty.shape);
        if ty.element == ElementType::F32 {
            let is_transformed = program.kernels.iter().any(|k| k.name.starts_with("winograd"));
            let slack = match is_transformed {
                true => 1e-3,
                false if case.is_hybrid() => 1e-5,
                false => 0.0,
            };
            for (i, (w, g)) in support::f32s(want).into_iter().zip(support::f32s(got)).enumerate() {
                let is_near = (w - g).abs() <= slack * (1.0 + w.abs());
                if !is_near {
                    return Err(wrong(i, g.to_string(), w.to_string()));
                }
            }
        } else if let Some(i) = (0..want.len()).find(|i| want[*i] != got[*i]) {
            let (all_want, all_got) = (support::integers(ty, want), support::integers(ty, got));
            let i = i * all_want.len() / want.len();
            return Err(wrong(i, all_got[i].to_string(), all_want[i].to_string()));
        }
    }
    Ok(())
}
