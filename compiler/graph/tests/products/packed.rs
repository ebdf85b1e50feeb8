//! Products of weights of at most sixteen numbers, which stay packed: the same bits as the product of the numbers themselves, which is compared with plain loops elsewhere.

use crate::reference::{Case, Kind, Operands, expect, program};
use crate::sparse::{case, convolution, fully_connected};
use crate::support::{machines, noise};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::Op;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::tensor::ElementType;
use cranelite_tile::compress::{Kept, can_stay_packed, keep_packed};
use cranelite_tile::text::print_kernel;
use cranelite_tile::{Buffer, Machine, Program, Role, interpret, verify};
use std::collections::BTreeSet;

const KINDS: [Kind; 6] = [
    Kind::Int8 { per_channel: true },
    Kind::Int16 { bias: ElementType::I64 },
    Kind::Hybrid { per_channel: true, asymmetric: false },
    Kind::Uint8,
    Kind::Int8Offset,
    Kind::Hybrid { per_channel: false, asymmetric: true },
];

/// The numbers of the weights: of four bits with a sign, or so many from anywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Numbers {
    FourBits,
    Some(usize),
}

fn operands(case: &Case, numbers: Numbers) -> Operands {
    let mut p = case.operands();
    let rank = noise(case.seed + 5, p.w.data.len());
    for (w, n) in p.w.data.iter_mut().zip(rank) {
        *w = match numbers {
            Numbers::FourBits => (n % 16) as u8,
            Numbers::Some(count) => (n % count as u64 * 97) as u8,
        };
        if numbers == Numbers::FourBits && case.kind != Kind::Uint8 {
            *w = w.wrapping_sub(8);
        }
    }
    p
}

fn outputs(program: &Program, p: &Operands) -> Vec<Vec<u8>> {
    let of = |b: &Buffer| matches!(b.role, Role::Output(_)).then(|| vec![0xAA; b.size_bytes as usize]);
    let mut outputs: Vec<Vec<u8>> = program.buffers.iter().filter_map(of).collect();
    let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(|o| &mut o[..]).collect();
    interpret::run(program, &[&p.x.data], &mut places).unwrap_or_else(|e| panic!("{e}"));
    outputs
}

/// What of the schedule a program has.
fn reached(kept: &Kept, machine: &Machine, program: &Program) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for k in program.kernels.iter().filter(|k| k.name.ends_with("_halves")) {
        let text = print_kernel(k);
        all.insert(format!("half floats on {}", machine.vector_bytes));
        all.extend(k.params.iter().any(|p| p.ends_with("_packed")).then(|| "a place that is a parameter".into()));
        all.extend(text.contains("loop panel").then(|| "panels".into()));
        all.extend(k.name.starts_with("depthwise").then(|| "depthwise".into()));
        all.extend(k.name.starts_with("across").then(|| "lanes along the depth".into()));
    }
    for k in program.kernels.iter().filter(|k| k.name.ends_with("_nibbles")) {
        let text = print_kernel(k);
        let looked_up = if text.contains("permute") { "looked up" } else { "shifted" };
        all.insert(format!("{looked_up} on {}", machine.vector_bytes));
        all.insert(format!("{looked_up}, {}", if text.contains("concat") { "units of one vector" } else { "units of two vectors" }));
        all.extend(k.params.iter().any(|p| p.ends_with("_packed")).then(|| "a place that is a parameter".into()));
        all.extend(text.contains("loop panel").then(|| "panels".into()));
        all.extend(text.contains("loop k").then(|| "a loop over the depth".into()));
    }
    all.extend(kept.values().any(|n| 1 < n.loads).then(|| "weights that are loaded again".into()));
    all.extend(kept.values().any(|n| n.loads == 1).then(|| "weights that are loaded once".into()));
    all
}

pub fn check(op: &Op, case: &Case, p: Operands, all: &mut BTreeSet<String>) {
    for machine in &machines() {
        let dense = program(op, &p, machine, Goal::Speed, 0);
        let kept = can_stay_packed(&[(&dense, machine)]);
        let bytes = |program: &Program| -> usize { verified(program, machine).iter().sum() };
        let mut packed = dense.clone();
        keep_packed(&mut packed, &kept);
        if kept.is_empty() {
            assert_eq!(packed, dense);
            continue;
        }
        for (data, nibbles) in &kept {
            assert!(nibbles.unpacked().starts_with(data), "{case:?}");
        }
        assert!(bytes(&packed) < bytes(&dense), "{case:?}");
        assert!(outputs(&packed, &p) == outputs(&dense, &p), "{}: {case:?}", machine.name);
        all.extend(reached(&kept, machine, &packed));
    }
}

/// Sizes of the constants that a proved program reads.
fn verified(program: &Program, machine: &Machine) -> Vec<usize> {
    verify::verify(program).unwrap_or_else(|e| panic!("{}: {}", machine.name, e[0]));
    let read: BTreeSet<_> = program.calls().flat_map(|c| c.buffers.iter().map(|&b| program.root(b).0)).collect();
    read.into_iter().filter_map(|b| program.buffer(b).data.as_ref()).map(|data| data.len()).collect()
}

fn numbers(i: usize) -> Numbers {
    [Numbers::FourBits, Numbers::Some(16), Numbers::Some(5), Numbers::Some(2)][i % 4]
}

/// One row and several, and depths and units that fill neither groups nor panels.
#[test]
fn rows() {
    let mut all = BTreeSet::new();
    for (i, kind) in KINDS.into_iter().enumerate() {
        let sizes = [(1, 64, 64), (1, 130, 40), (1, 257, 70), (5, 100, 33), (17, 67, 96), (2, 640, 16), (1, 1200, 3)];
        for (j, (rows, depth, units)) in sizes.into_iter().enumerate() {
            let case = Case {
                activation: [Activation::None, Activation::Relu6][(i + j) % 2],
                ..case(kind, [rows, 1, 1, depth], [units, 1, 1], (i + j) % 3 != 0)
            };
            let mut p = operands(&case, numbers(i + j));
            (p.x.ty.shape, p.w.ty.shape) = (vec![rows, depth], vec![units, depth]);
            check(&fully_connected(&case), &case, p, &mut all);
        }
    }
    expect(
        &all,
        &[
            "looked up on 16",
            "looked up on 32",
            "looked up on 64",
            "shifted, units of two vectors",
            "looked up, units of two vectors",
            "weights that are loaded once",
            "weights that are loaded again",
            "panels",
            "a loop over the depth",
        ],
    );
}

/// Input, filter, stride, dilation, padding on all sides, groups.
type Window = ([usize; 4], [usize; 3], [usize; 2], [usize; 2], usize, usize);

pub const WINDOWS: [Window; 8] = [
    ([1, 9, 7, 40], [33, 1, 1], [1, 1], [1, 1], 0, 1),
    ([2, 8, 9, 24], [40, 3, 3], [1, 1], [1, 1], 1, 1),
    ([1, 11, 9, 13], [24, 5, 3], [2, 2], [1, 1], 2, 1),
    ([1, 9, 10, 30], [50, 1, 1], [3, 2], [1, 1], 0, 1),
    ([1, 9, 9, 8], [32, 3, 3], [1, 1], [2, 2], 2, 1),
    ([3, 8, 1, 30], [64, 3, 1], [1, 1], [1, 1], 0, 1),
    ([1, 1, 20, 16], [20, 1, 5], [1, 1], [1, 1], 0, 1),
    ([1, 6, 6, 64], [64, 3, 3], [1, 1], [1, 1], 1, 2),
];

/// Windows, strides that are wider than they, dilations, padding, batches, groups, single rows and columns.
#[test]
fn windows() {
    let mut all = BTreeSet::new();
    let padding = |n| Padding { top: n, bottom: n, left: n, right: n };
    // Convolutions have no zero points of weights of i8.
    for (i, kind) in KINDS.into_iter().filter(|k| *k != Kind::Int8Offset).enumerate() {
        for (j, (input, filter, stride, dilation, pad, groups)) in WINDOWS.into_iter().enumerate() {
            let mut case = case(kind, input, filter, (i + j) % 3 != 0);
            if let (Kind::Hybrid { per_channel, .. }, true) = (kind, groups != 1) {
                case.kind = Kind::Hybrid { per_channel, asymmetric: true };
            }
            case.filter[3] /= groups;
            (case.stride, case.dilation, case.padding) = (stride, dilation, padding(pad));
            check(&convolution(&case), &case, operands(&case, numbers(i + j)), &mut all);
        }
    }
    expect(
        &all,
        &[
            "looked up on 16",
            "looked up on 32",
            "looked up on 64",
            "shifted on 16",
            "shifted on 32",
            "shifted, units of one vector",
            "looked up, units of one vector",
            "a place that is a parameter",
        ],
    );
}

/// What has more numbers, and every constant of a machine without vectors, stays as it is.
#[test]
fn others_stay() {
    let case = case(Kind::Int8 { per_channel: true }, [1, 1, 1, 64], [64, 1, 1], true);
    for machine in &machines() {
        let all_numbers = program(&convolution(&case), &case.operands(), machine, Goal::Speed, 0);
        assert!(can_stay_packed(&[(&all_numbers, machine)]).is_empty());
        let few = program(&convolution(&case), &operands(&case, Numbers::FourBits), machine, Goal::Speed, 0);
        assert_eq!(can_stay_packed(&[(&few, machine)]).is_empty(), !machine.has_vectors(), "{}", machine.name);
    }
}
