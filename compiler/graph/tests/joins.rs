//! Concatenations of what other operators compute: the bytes that plain loops put together, and what memory and copies they cost.
//!
//! Operands become parts of the result, or the result begins where an operand begins; both only where nobody notices. A network whose every
//! tensor is an output has neither, and shows what each operand and result must be.

#[allow(dead_code)]
#[path = "windows/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "windows/support.rs"]
mod support;

use cranelite_graph::graph::{Graph, ValueId};
use cranelite_graph::lower::{Goal, Preferences, lower};
use cranelite_graph::ops::Op;
use cranelite_tile::arena::{self, Plan};
use cranelite_tile::{Machine, Program, interpret, parallel, verify};
use network::Network;
use proptest::prelude::*;
use support::{bytes, eighths, f32_bytes, f32s, machines, noise};

fn planned(graph: &Graph, machine: &Machine, goal: Goal, threads: usize, with_io: bool) -> (Program, Plan) {
    // Memory decides which convolutions have fewer multiplications, and with that how they are rounded: here graphs of different memory are compared.
    let mut program = lower(graph, machine, Preferences { winograd: false, ..goal.into() }).unwrap();
    parallel::divide(&mut program, threads);
    let plan = if with_io { arena::plan_with_io(&mut program, 16) } else { arena::plan(&mut program) };
    arena::check(&program).unwrap_or_else(|e| panic!("{e}"));
    verify::verify(&program).unwrap_or_else(|e| panic!("{}\n{}", e[0], cranelite_tile::text::display(&program)));
    (program, plan)
}

fn run(program: &Program, graph: &Graph, x: &[u8]) -> Vec<Vec<u8>> {
    let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0xAA; graph.ty(*v).size_bytes()]).collect();
    let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(|o| &mut o[..]).collect();
    interpret::run(program, &[x], &mut places).unwrap_or_else(|e| panic!("{e}"));
    outputs
}

/// What the definition says of a concatenation.
fn joined(graph: &Graph, of: &dyn Fn(ValueId) -> Vec<u8>, node: usize) -> Vec<u8> {
    let node = &graph.nodes[node];
    let Op::Concatenation(a) = &node.op else { panic!("no concatenation") };
    let rows: usize = graph.ty(node.outputs[0]).shape[..a.axis].iter().product();
    let mut all = vec![];
    for r in 0..rows {
        for v in node.inputs.iter().flatten() {
            let data = of(*v);
            let n = data.len() / rows;
            all.extend(&data[r * n..r * n + n]);
        }
    }
    all
}

/// Where results are decides how pixels are taken together, and so in which order floats are summed; what is at a wrong place is another number.
fn floats_alike(got: &[u8], expected: &[u8]) -> bool {
    let (got, expected) = (f32s(got), f32s(expected));
    let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
}

/// On every machine: as the definition says, and nobody notices where bytes are.
fn check(network: &Network, output: usize) {
    let graph = network.graph(output);
    let mut exposed = graph.clone();
    exposed.outputs = exposed.nodes.iter().map(|n| n.outputs[0]).collect();
    let size = graph.ty(graph.inputs[0]).size_bytes();
    let x = if network.integers { bytes(5, size) } else { f32_bytes(&eighths(5, size / 4)) };
    for (i, machine) in machines().iter().enumerate() {
        for goal in [Goal::Speed, Goal::Size] {
            let (program, _) = planned(&exposed, machine, goal, 1, false);
            let every = run(&program, &exposed, &x);
            let of = |v: ValueId| match exposed.outputs.iter().position(|o| *o == v) {
                Some(at) => every[at].clone(),
                None => x.clone(),
            };
            for (n, node) in graph.nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Concatenation(_))) {
                assert!(of(node.outputs[0]) == joined(&graph, &of, n), "{}: node {n}", machine.name);
            }
            for with_io in [false, true] {
                let (program, _) = planned(&graph, machine, goal, 1 + i % 2, with_io);
                let (got, expected) = (&run(&program, &graph, &x)[0], of(ValueId(output as u32)));
                let alike = if network.integers { *got == expected } else { floats_alike(got, &expected) };
                assert!(alike, "{} {goal:?}\n{}", machine.name, network.lines);
            }
        }
    }
}

fn some_network(seed: u64) -> (Network, usize) {
    let mut numbers = noise(seed, 1000);
    let mut pick = move |n: usize| numbers.next().unwrap() as usize % n;
    let mut net = Network::new(pick(3) != 0, [1 + pick(4), 1 + pick(5), [1, 3, 8, 16, 17][pick(5)]]);
    let mut pool = vec![0];
    for _ in 0..4 + pick(8) {
        let x = if pick(2) == 0 { pool[pool.len() - 1] } else { pool[pick(pool.len())] };
        let shape = net.shapes[x].unwrap();
        let y = match pick(10) {
            8 | 9 if 1 < shape[2] => {
                let first = pick(shape[2]);
                net.slice(x, 2, first, 1 + pick(shape[2] - first))
            }
            0 | 1 => net.conv(x, 1, [1, 4, 7, 16, 33][pick(5)]),
            2 => net.conv(x, 3, [2, 8, 19][pick(3)]),
            3 => net.depthwise(x),
            4 => net.pool(x),
            5 => match pool.iter().rev().copied().find(|v| *v != x && net.shapes[*v] == Some(shape)) {
                Some(other) => net.add(x, other),
                None => net.pool(x),
            },
            _ => {
                let axis = [2, 2, 2, 1, 0][pick(5)];
                let fits = |v: &usize| (0..3).all(|d| d == axis || net.shapes[*v].unwrap()[d] == shape[d]);
                let others: Vec<usize> = pool.iter().copied().filter(|v| *v != x && fits(v)).collect();
                let mut all: Vec<usize> = others.into_iter().rev().take(1 + pick(3)).collect();
                all.insert(pick(all.len() + 1), x);
                if 150 < all.iter().map(|v| net.shapes[*v].unwrap()[axis]).sum::<usize>() { net.pool(x) } else { net.join(&all, axis) }
            }
        };
        pool.push(y);
    }
    let output = *pool.last().unwrap();
    (net, output)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn nobody_notices(seed in any::<u64>()) {
        let (network, output) = some_network(seed);
        check(&network, output);
    }
}

/// The calls that only copy.
fn copies(program: &Program) -> usize {
    program.calls().filter(|c| program.kernel(c.kernel).name == "copy").count()
}

fn wide() -> Machine {
    machines().pop().unwrap()
}

/// Branches of a fire module write into their channels; there is no copy and no memory but that of the result.
#[test]
fn branches_write_where_they_belong() {
    for integers in [false, true] {
        let mut net = Network::new(integers, [6, 6, 16]);
        let squeeze = net.conv(0, 1, 8);
        let (a, b) = (net.conv(squeeze, 1, 32), net.conv(squeeze, 3, 32));
        let (c, d) = (net.depthwise(squeeze), net.pool(squeeze));
        let join = net.join(&[a, b, c, d], 2);
        let y = net.conv(join, 1, 4);
        check(&net, y);
        let (program, plan) = planned(&net.graph(y), &wide(), Goal::Speed, 1, false);
        assert_eq!(copies(&program), 0, "{}", cranelite_tile::text::display(&program));
        let element = if integers { 1 } else { 4 };
        assert!(plan.arena_size_bytes <= 36 * (80 + 8) * element + 64, "{}", plan.arena_size_bytes);
    }
}

/// Rows of images that follow each other are one run, which any kernel writes.
#[test]
fn outermost_axes_are_runs() {
    let mut net = Network::new(false, [5, 4, 3]);
    let (a, b) = (net.pool(0), net.depthwise(0));
    let c = net.add(a, b);
    let (d, e) = (net.pool(c), net.conv(c, 3, 3));
    let join = net.join(&[d, e, c], 0);
    let y = net.conv(join, 1, 2);
    check(&net, y);
    let (program, _) = planned(&net.graph(y), &wide(), Goal::Speed, 1, false);
    assert!(copies(&program) <= 1);
}

/// `layers` of so many new channels each; with a bottleneck, the last tensor is read through products of single pixels alone.
fn dense(integers: bool, layers: usize, new: usize, bottleneck: bool, new_first: bool) -> (Network, usize) {
    let mut net = Network::new(integers, [8, 8, 3]);
    let mut x = net.conv(0, 3, 16);
    for _ in 0..layers {
        let inner = if bottleneck { net.conv(x, 1, 2 * new) } else { x };
        let y = net.conv(inner, 3, new);
        x = net.join(&if new_first { [y, x] } else { [x, y] }, 2);
    }
    (net, x)
}

/// The last tensor, what is new in it, and what a layer has between: not twice the last tensor.
#[test]
fn dense_networks_need_their_last_tensor_once() {
    for (bottleneck, new_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let (net, x) = dense(true, 60, 4, bottleneck, new_first);
        let mut net = net;
        let y = net.conv(x, 1, 2);
        let graph = net.graph(y);
        let (program, plan) = planned(&graph, &wide(), Goal::Speed, 1, false);
        let last = 64 * (16 + 60 * 4);
        assert!(plan.arena_size_bytes <= last + 64 * (4 + 8) + 64, "{}", plan.arena_size_bytes);
        assert!(!bottleneck || copies(&program) == 0, "{} copies", copies(&program));
    }
    for bottleneck in [false, true] {
        for integers in [false, true] {
            let (net, x) = dense(integers, 5, 5, bottleneck, bottleneck);
            check(&net, x);
        }
    }
}

/// Both halves of an image's channels are read where they are: no copy, and no memory for them.
#[test]
fn halves_are_read_in_rows() {
    for integers in [false, true] {
        let mut net = Network::new(integers, [6, 6, 3]);
        let x = net.conv(0, 3, 32);
        let (a, b) = (net.slice(x, 2, 0, 16), net.slice(x, 2, 16, 16));
        let (c, d) = (net.conv(a, 1, 8), net.conv(b, 1, 16));
        let join = net.join(&[c, d], 2);
        let y = net.conv(join, 1, 4);
        check(&net, y);
        let (program, plan) = planned(&net.graph(y), &wide(), Goal::Speed, 1, false);
        let moves = program.calls().filter(|c| program.kernel(c.kernel).name.starts_with("move_")).count();
        assert_eq!(moves, 0, "{}", cranelite_tile::text::display(&program));
        let element = if integers { 1 } else { 4 };
        assert!(plan.arena_size_bytes <= 36 * (32 + 24) * element + 64, "{}", plan.arena_size_bytes);
    }
}

/// What is changed later is copied: the image takes a sum while a part of it is still needed.
#[test]
fn parts_of_what_changes_are_copied() {
    let mut net = Network::new(false, [4, 4, 8]);
    let x = net.conv(0, 1, 8);
    let part = net.slice(x, 2, 4, 4);
    let other = net.pool(x);
    let sum = net.add(x, other);
    let again = net.conv(sum, 1, 4);
    let y = net.add(again, part);
    check(&net, y);
}

/// Parts of parts, and parts of what becomes a part of a concatenation: their rows are not where they were.
#[test]
fn parts_of_parts() {
    for integers in [false, true] {
        let mut net = Network::new(integers, [2, 5, 9]);
        let a = net.slice(0, 2, 1, 8);
        let b = net.slice(a, 2, 2, 5);
        let c = net.slice(b, 2, 1, 2);
        let (d, e) = (net.conv(c, 1, 3), net.conv(a, 1, 2));
        let join = net.join(&[d, e], 2);
        let y = net.conv(join, 1, 4);
        check(&net, y);
        let mut net = Network::new(integers, [2, 5, 9]);
        let x = net.conv(0, 1, 8);
        let part = net.slice(x, 2, 4, 3);
        let other = net.conv(part, 1, 8);
        let join = net.join(&[x, other], 2);
        let y = net.conv(join, 1, 4);
        check(&net, y);
    }
}
