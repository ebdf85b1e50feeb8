//! Convolutions of 3 × 3 floats with fewer multiplications, against loops in doubles: within the bound that the compiler promises, and within what
//! is asked of floats everywhere.

use crate::reference::{Case, Kind, Operands, program, run};
use crate::support::{f32_bytes, f32s, machines, noise};
use cranelite_graph::lower::{Goal, Preferences, lower};
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, conv_2d};
use cranelite_graph::quantize::activation_range_float;
use cranelite_tile::{ByteDot, Machine, Program};

/// The bound on the error may be so many times that of the direct form.
const MOST_EXCESS: f64 = 8.0;
const MUCH: usize = 1 << 22;

fn operator(case: &Case) -> Op {
    Op::Conv2d(conv_2d::Attributes { stride: case.stride, dilation: case.dilation, padding: case.padding, activation: case.activation })
}

/// Between -1 and 1.
fn floats(seed: u64, count: usize) -> Vec<f32> {
    noise(seed, count).map(|n| (n % (1 << 24)) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn case(input: [usize; 4], outputs: usize, padding: [usize; 4], activation: Activation, bias: bool) -> Case {
    let [top, bottom, left, right] = padding;
    Case {
        kind: Kind::Float,
        input,
        filter: [outputs, 3, 3, input[3]],
        stride: [1; 2],
        dilation: [1; 2],
        padding: Padding { top, bottom, left, right },
        activation,
        bias,
        seed: input.iter().chain(&padding).fold(outputs as u64, |seed, n| seed * 31 + *n as u64),
        transposed: None,
    }
}

/// With floats that are rounded.
fn operands(case: &Case) -> Operands {
    let mut p = case.operands();
    let numbers = |seed: u64, bytes: &[u8]| f32_bytes(&floats(seed, bytes.len() / 4));
    p.x.data = numbers(case.seed, &p.x.data);
    p.w.data = numbers(case.seed + 1, &p.w.data);
    if let Some(bias) = &mut p.bias {
        bias.data = numbers(case.seed + 2, &bias.data);
    }
    p
}

fn has(program: &Program, kernel: &str) -> bool {
    program.kernels.iter().any(|k| k.name.starts_with(kernel))
}

/// Bands of tiles.
fn bands(program: &Program) -> usize {
    let mut calls: Vec<&str> =
        program.calls().map(|c| &program.kernel(c.kernel).name[..]).map(|n| n.split('_').nth(1).unwrap_or(n)).collect();
    calls.dedup();
    calls.iter().filter(|n| **n == "input").count()
}

/// Results in doubles, of each the largest error that is promised, and the largest sum before the activation.
fn expected(case: &Case, p: &Operands) -> (Vec<(f64, f64)>, f64) {
    let (x, w) = (f32s(&p.x.data), f32s(&p.w.data));
    let [o, ..] = case.filter;
    let [n, h, width, c] = case.input;
    let [_, oh, ow, _] = case.output();
    let bias = p.bias.as_ref().map_or(vec![0.0; o], |b| f32s(&b.data));
    let largest = x.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
    let nu = (9 * c + 2) as f64 * f64::from(f32::EPSILON) / 2.0;
    let (low, high) = activation_range_float(case.activation);
    let (mut all, mut largest_sum) = (vec![], 0f64);
    for (b, y, x0, channel) in (0..n * oh * ow * o).map(|i| (i / o / ow / oh, i / o / ow % oh, i / o % ow, i % o)) {
        let mut sum = f64::from(bias[channel]);
        for (ky, kx) in (0..9).map(|t| (t / 3, t % 3)) {
            let (Some(iy), Some(ix)) = ((y + ky).checked_sub(case.padding.top), (x0 + kx).checked_sub(case.padding.left)) else { continue };
            if iy < h && ix < width {
                let (at, weight) = (((b * h + iy) * width + ix) * c, ((channel * 3 + ky) * 3 + kx) * c);
                sum += (0..c).map(|i| f64::from(x[at + i]) * f64::from(w[weight + i])).sum::<f64>();
            }
        }
        let weights: f64 = w[channel * 9 * c..(channel + 1) * 9 * c].iter().map(|w| f64::from(w.abs())).sum();
        let bound = MOST_EXCESS * nu / (1.0 - nu) * (weights * largest + f64::from(bias[channel].abs()));
        largest_sum = largest_sum.max(sum.abs());
        all.push((sum.clamp(f64::from(low), f64::from(high)), bound));
    }
    (all, largest_sum)
}

/// The largest share of the bound and of what is asked everywhere that an error has.
fn check(case: &Case, machine: &Machine, spare: usize) -> (f64, f64) {
    let p = operands(case);
    let (_, got) = run(&operator(case), &p, machine, Goal::Speed, spare).unwrap_or_else(|d| panic!("{d}"));
    let (want, largest) = expected(case, &p);
    let mut shares = (0f64, 0f64);
    for (i, (got, (want, bound))) in f32s(&got).into_iter().zip(&want).enumerate() {
        let error = (f64::from(got) - want).abs();
        let context = || format!("{case:?} on {} beside {spare}: {got} instead of {want} at {i}", machine.name);
        assert!(error <= *bound, "{}: beyond the bound", context());
        let slack = 1e-5 * largest + 1e-4 * want.abs();
        assert!(error <= slack, "{}", context());
        shares = (shares.0.max(error / bound), shares.1.max(error / slack));
    }
    shares
}

/// Batches, odd sizes, single rows and columns, channels that do not fill vectors, all kinds of padding, and every activation; with much memory
/// and with little.
#[test]
fn against_doubles() {
    let mut cases = vec![];
    let activations = [Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1];
    let paddings = [[0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 1, 3], [0, 2, 2, 0], [3, 3, 4, 4]];
    let sizes = [[1, 9, 13], [1, 8, 8], [3, 5, 6], [1, 1, 17], [2, 12, 1], [1, 2, 2], [1, 18, 4], [2, 7, 10]];
    let channels = [[16, 16], [20, 24], [33, 17], [16, 5], [48, 40], [64, 8], [24, 70]];
    for (i, [n, h, w]) in sizes.into_iter().enumerate() {
        for (j, [c, o]) in channels.into_iter().enumerate() {
            let padding = paddings[(i + j) % paddings.len()];
            if 3 <= h + padding[0] + padding[1] && 3 <= w + padding[2] + padding[3] {
                cases.push(case([n, h, w, c], o, padding, activations[(i + 2 * j) % 4], (i + j) % 3 != 0));
            }
        }
    }
    let (machines, mut reached) = (machines(), std::collections::BTreeMap::new());
    let mut shares = (0f64, 0f64);
    for (i, case) in cases.iter().enumerate() {
        for (j, machine) in machines.iter().enumerate().filter(|(j, _)| (i + j) % 4 == 0) {
            for spare in [MUCH, 12 << 10, 40 << 10] {
                let got = check(case, machine, spare);
                shares = (shares.0.max(got.0), shares.1.max(got.1));
                let program = program(&operator(case), &operands(case), machine, Goal::Speed, spare);
                for m in [2, 4] {
                    if has(&program, &format!("winograd_input_{m}x{m}")) {
                        *reached.entry((m, if bands(&program) == 1 { "one band" } else { "bands" }, j)).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    println!("{shares:?} {reached:?}");
    for key in [(2, "one band"), (2, "bands"), (4, "one band"), (4, "bands")] {
        assert!(reached.keys().any(|k| (k.0, k.1) == key), "no case reaches {key:?}: {reached:?}");
    }
    let by_machine: std::collections::BTreeSet<usize> = reached.keys().map(|k| k.2).collect();
    let with_cache: std::collections::BTreeSet<usize> = (0..machines.len()).filter(|i| 1 < machines[*i].l2_bytes).collect();
    assert!(by_machine.is_superset(&with_cache), "not on all machines: {reached:?}");
    assert!(shares.0 < 0.5, "the bound is no bound: {shares:?}");
}

fn wide() -> Machine {
    Machine::example(64, ByteDot::U8S8, true, false)
}

#[test]
fn the_user_decides() {
    let case = case([1, 16, 16, 32], 32, [1; 4], Activation::None, true);
    let p = operands(&case);
    assert!(has(&program(&operator(&case), &p, &wide(), Goal::Speed, MUCH), "winograd"));
    assert!(!has(&program(&operator(&case), &p, &wide(), Goal::Size, MUCH), "winograd"));
    let graph = crate::reference::graph(&operator(&case), &p, MUCH).expect("a graph").0;
    let direct = lower(&graph, &wide(), Preferences { winograd: false, ..Preferences::default() }).expect("a program");
    assert!(!has(&direct, "winograd") && has(&direct, "product"));
}

/// A layer is direct where the other form does not pay, has no memory, or is not as exact.
#[test]
fn others_stay_direct() {
    let usual = case([1, 16, 16, 32], 32, [1; 4], Activation::None, true);
    let direct = |case: &Case, spare: usize| !has(&program(&operator(case), &operands(case), &wide(), Goal::Speed, spare), "winograd");
    assert!(!direct(&usual, MUCH));
    assert!(direct(&usual, 0) && direct(&usual, 1000), "no memory");
    assert!(direct(&Case { filter: [32, 3, 3, 16], ..usual.clone() }, MUCH), "groups");
    assert!(direct(&Case { stride: [2; 2], ..usual.clone() }, MUCH), "a stride");
    assert!(direct(&Case { dilation: [2; 2], ..usual.clone() }, MUCH), "dilated");
    assert!(direct(&Case { filter: [32, 3, 1, 32], ..usual.clone() }, MUCH), "another filter");
    assert!(direct(&case([1, 16, 16, 3], 16, [1; 4], Activation::None, true), MUCH), "few channels");
    assert!(direct(&case([1, 2, 2, 512], 512, [1; 4], Activation::None, true), MUCH), "large weights of a small image");

    // Filters of one tap alone have a large bound with large tiles.
    let mut p = operands(&usual);
    let with = |p: &Operands, kernel: &str| has(&program(&operator(&usual), p, &wide(), Goal::Speed, MUCH), kernel);
    let depth = 9 * 32;
    let tap = |i: usize| if i % depth < 32 { 1.0 } else { 0.0 };
    p.w.data = f32_bytes(&(0..32 * depth).map(tap).collect::<Vec<f32>>());
    assert!(with(&p, "winograd_input_2x2") && !with(&p, "winograd_input_4x4"));
    p.w.data = f32_bytes(&vec![1.0; 32 * depth]);
    assert!(with(&p, "winograd_input_4x4"));
    p.w.data = f32_bytes(&vec![f32::MAX; 32 * depth]);
    assert!(!with(&p, "winograd"));
}
