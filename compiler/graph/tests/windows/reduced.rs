//! Reductions but for means of quantised numbers, and walks along an axis, against loops in the order of the reference.

use crate::reductions::{flat, groups, indices};
use crate::support::{Input, bytes, f32_bytes, f32s, integers, machines, noise, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{
    Op, Operand, Signature, arg_max, arg_min, cumsum, extremes, mean, reduce_all, reduce_any, reduce_max, reduce_min, reduce_prod,
    reductions, sum,
};
use cranelite_graph::quantize::{
    element_range, multiply_by_quantized_multiplier, multiply_by_quantized_multiplier_64, product_multiplier, quantize_multiplier,
};
use cranelite_graph::tensor::ElementType::{self, Bool, F32, I8, I16, I32, I64, U8};
use cranelite_graph::tensor::TensorType;
use proptest::prelude::*;

const KINDS: [fn(reductions::Attributes) -> Op; 7] = [
    |a| Op::Mean(mean::Attributes(a)),
    |a| Op::Sum(sum::Attributes(a)),
    |a| Op::ReduceProd(reduce_prod::Attributes(a)),
    |a| Op::ReduceMax(reduce_max::Attributes(a)),
    |a| Op::ReduceMin(reduce_min::Attributes(a)),
    |a| Op::ReduceAny(reduce_any::Attributes(a)),
    |a| Op::ReduceAll(reduce_all::Attributes(a)),
];
const MEAN: usize = 0;
const SUM: usize = 1;
const PROD: usize = 2;
const MAX: usize = 3;
const MIN: usize = 4;
const ANY: usize = 5;
const ALL: usize = 6;

fn op(kind: usize, axes: &[usize]) -> Op {
    KINDS[kind](reductions::Attributes { axes: axes.to_vec(), keep_dims: false })
}

fn of_all_machines(op: &Op, x: &TensorType, data: &[u8], y: &TensorType) -> Vec<u8> {
    let run = |m| run(op.clone(), &[Input::new(x.clone(), data.to_vec())], y, m).unwrap_or_else(|d| panic!("{op:?} of {x:?}: {d}")).1;
    let machines = machines();
    let first = run(&machines[0]);
    machines.iter().for_each(|m| assert_eq!(run(m), first, "{op:?} of {x:?} on {}", m.name));
    first
}

fn longs(element: ElementType, bytes: &[u8]) -> Vec<i64> {
    let size = element.bytes().unwrap();
    let long = |b: &[u8]| {
        let mut all = [if element != U8 && element != Bool && 127 < b[size - 1] { 255 } else { 0 }; 8];
        all[..size].copy_from_slice(b);
        i64::from_le_bytes(all)
    };
    bytes.chunks_exact(size).map(long).collect()
}

fn check_integers(shape: &[usize], axes: &[usize], seed: u64) {
    let groups = groups(shape, axes);
    for (kind, elements) in [
        (MEAN, &[I32, I64][..]),
        (SUM, &[I32, I64]),
        (PROD, &[I32, I64]),
        (MAX, &[I8, U8, I16, I32, I64]),
        (MIN, &[I8, U8, I16, I32, I64]),
        (ANY, &[Bool]),
        (ALL, &[Bool]),
    ] {
        for &element in elements {
            let ty = TensorType::new(element, shape);
            let data: Vec<u8> = match element {
                Bool => noise(seed, ty.size_bytes()).map(|n| u8::from(n % 5 == 0 || kind == ALL && n % 7 != 0)).collect(),
                _ => bytes(seed, ty.size_bytes()),
            };
            let x = longs(element, &data);
            let of = |g: &Vec<usize>| {
                let all = g.iter().map(|&i| x[i]);
                match kind {
                    // Sums have 64 bits, and what is stored of them is their low bits.
                    MEAN => all.fold(0i64, i64::wrapping_add).wrapping_div(g.len() as i64),
                    SUM => all.fold(0, i64::wrapping_add),
                    PROD => all.fold(1, i64::wrapping_mul),
                    MAX => all.max().unwrap(),
                    MIN => all.min().unwrap(),
                    ANY => all.max().unwrap(),
                    _ => all.min().unwrap(),
                }
            };
            let expected = element.integer_bytes(groups.iter().map(of));
            assert_eq!(of_all_machines(&op(kind, axes), &ty, &data, &ty), expected, "{kind} of {ty:?} along {axes:?}");
        }
    }
}

fn check_floats(shape: &[usize], axes: &[usize], seed: u64) {
    let (groups, ty) = (groups(shape, axes), TensorType::new(F32, shape));
    let is_all = axes.len() == shape.len();
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    let choose = |n: u64| if n.is_multiple_of(3) { special[(n / 3 % 4) as usize] } else { (n % 129) as f32 / 8.0 - 8.0 };
    let x: Vec<f32> = noise(seed, ty.element_count()).map(choose).collect();
    for kind in [MAX, MIN] {
        let better = |a: f32, b: f32| if kind == MAX { b < a } else { a < b };
        let start = if kind == MAX { f32::MIN } else { f32::MAX };
        let of = |g: &Vec<usize>| {
            // The reference begins with the first element where all become one.
            let (first, rest) = if is_all { (x[g[0]], &g[1..]) } else { (start, &g[..]) };
            rest.iter().fold(first, |so_far, &i| if better(x[i], so_far) { x[i] } else { so_far })
        };
        let got = f32s(&of_all_machines(&op(kind, axes), &ty, &f32_bytes(&x), &ty));
        let expected: Vec<f32> = groups.iter().map(of).collect();
        assert!(
            got.iter().zip(&expected).all(|(a, b)| a == b || a.is_nan() && b.is_nan()),
            "{got:?} instead of {expected:?}: {kind} of {x:?}, {shape:?} along {axes:?}"
        );
    }
    // Exact whatever the order.
    let x: Vec<f32> = noise(seed, ty.element_count()).map(|n| [1.0, -1.0, 2.0, 0.5, 1.0, 1.0, 1.0][(n % 7) as usize]).collect();
    for kind in [SUM, PROD] {
        let of = |g: &Vec<usize>| g.iter().fold(if kind == SUM { 0.0 } else { 1.0 }, |v, &i| if kind == SUM { v + x[i] } else { v * x[i] });
        let got = f32s(&of_all_machines(&op(kind, axes), &ty, &f32_bytes(&x), &ty));
        assert_eq!(got, groups.iter().map(of).collect::<Vec<f32>>(), "{kind} of {shape:?} along {axes:?}");
    }
}

fn check_quantized(shape: &[usize], axes: &[usize], scales: (f32, f32), zero_points: (i64, i64), seed: u64) {
    let groups = groups(shape, axes);
    let count = groups[0].len();
    for element in [I8, U8, I16] {
        let (zx, zy) = match element {
            I16 => (0, 0),
            U8 => (zero_points.0 + 128, zero_points.1 + 128),
            _ => zero_points,
        };
        let (ty, out) = (TensorType::quantized(element, shape, scales.0, zx), TensorType::quantized(element, shape, scales.1, zy));
        let (data, (low, high)) = (bytes(seed, ty.size_bytes()), element_range(element).unwrap());
        let x = integers(&ty, &data);
        let (multiplier, shift) = quantize_multiplier(f64::from(scales.0) / f64::from(scales.1));
        let sum = |g: &Vec<usize>| {
            let sum = g.iter().map(|&i| x[i]).sum::<i64>() - zx * count as i64;
            (multiply_by_quantized_multiplier(sum as i32, multiplier, shift) + zy as i32).clamp(low, high).into()
        };
        let expected: Vec<i64> = groups.iter().map(sum).collect();
        assert_eq!(integers(&out, &of_all_machines(&op(SUM, axes), &ty, &data, &out)), expected, "sum of {ty:?} along {axes:?}");
        if element == U8 {
            continue;
        }
        let (multiplier, shift) = quantize_multiplier(product_multiplier(scales.0, scales.1, count as u64));
        let rescale = |v: i64| i64::from(multiply_by_quantized_multiplier_64(v, multiplier, shift));
        let product = |g: &Vec<usize>| {
            let product = g[1..].iter().fold(x[g[0]] - zx, |v, &i| rescale(v * (x[i] - zx)));
            ((rescale(product) as i32).wrapping_add(zy as i32)).clamp(low, high).into()
        };
        let expected: Vec<i64> = groups.iter().map(product).collect();
        assert_eq!(integers(&out, &of_all_machines(&op(PROD, axes), &ty, &data, &out)), expected, "product of {ty:?} along {axes:?}");
    }
}

fn check_walks(shape: &[usize], axis: usize, seed: u64) {
    let line = |index: &[usize]| -> Vec<usize> {
        (0..shape[axis])
            .map(|i| {
                let mut at = index.to_vec();
                at[axis] = i;
                flat(shape, &at)
            })
            .collect()
    };
    for element in [I32, I64] {
        let ty = TensorType::new(element, shape);
        let data = bytes(seed, ty.size_bytes());
        let x = longs(element, &data);
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let of = |i: &Vec<usize>| {
                let before = |at: usize| if reverse { i[axis] < at } else { at < i[axis] };
                let counts = |at: &usize| before(*at) || (!exclusive && *at == i[axis]);
                let line = line(i);
                (0..shape[axis]).filter(counts).fold(0i64, |v, at| v.wrapping_add(x[line[at]]))
            };
            let expected = element.integer_bytes(indices(shape).iter().map(of));
            let op = Op::Cumsum(cumsum::Attributes { axis, exclusive, reverse });
            assert_eq!(of_all_machines(&op, &ty, &data, &ty), expected, "{op:?} of {shape:?}");
        }
    }
    for element in [I8, U8, I16, I32, Bool, F32] {
        let ty = TensorType::new(element, shape);
        // Few different ones, so that some are equal.
        let few = |n: u64| if element == Bool { n % 2 } else { n % 4 * 255 };
        let x: Vec<i64> = noise(seed, ty.element_count()).map(|n| few(n) as i64 - if element == F32 { 300 } else { 0 }).collect();
        let data = match element {
            F32 => f32_bytes(&x.iter().map(|&v| v as f32).collect::<Vec<_>>()),
            _ => element.integer_bytes(x.iter().copied()),
        };
        let x = if element == F32 { x } else { longs(element, &data) };
        let mut kept = shape.to_vec();
        kept[axis] = 1;
        for (index, sign) in [(I32, 1), (I64, -1)] {
            let of = |i: &Vec<usize>| {
                let best = line(i).iter().map(|&at| x[at] * sign).max().unwrap();
                line(i).iter().position(|&at| x[at] * sign == best).unwrap() as i64
            };
            let expected = index.integer_bytes(indices(&kept).iter().map(of));
            let a = extremes::Attributes { axis };
            let op = if sign == 1 { Op::ArgMax(arg_max::Attributes(a)) } else { Op::ArgMin(arg_min::Attributes(a)) };
            assert_eq!(of_all_machines(&op, &ty, &data, &TensorType::new(index, [])), expected, "{op:?} of {element} {shape:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn reduced(shape in prop::collection::vec(1usize..6, 1..5), axes in any::<[bool; 5]>(), inner in 1usize..40,
               scale in 0.01f32..2.0, zero in -128i64..128, other in -128i64..128, seed: u64) {
        let mut shape = shape;
        *shape.last_mut().unwrap() = inner;
        let axes: Vec<usize> = (0..shape.len()).filter(|&i| axes[i]).collect();
        check_integers(&shape, &axes, seed);
        check_floats(&shape, &axes, seed);
        check_quantized(&shape, &axes, (0.05, scale), (zero, other), seed);
        check_walks(&shape, axes.first().copied().unwrap_or(0), seed);
    }
}

#[test]
fn long_ones() {
    for (shape, axes) in [(&[3000][..], &[0][..]), (&[2, 300, 7], &[1]), (&[9, 70], &[0]), (&[1, 1], &[0, 1]), (&[1], &[]), (&[], &[])] {
        check_integers(shape, axes, 3);
        check_floats(shape, axes, 3);
        check_quantized(shape, axes, (0.5, 0.4), (1, 2), 3);
    }
}

/// NaN is better than nothing, and nothing is better than NaN at the beginning.
#[test]
fn extremes_of_odd_floats() {
    let odd = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 0.0, -0.0, 1.0, f32::MIN, f32::MAX];
    for count in 1..70usize {
        // Of all of these, and of few of them, so that rows of nothing but NaN or infinities occur.
        for few in [1, 2, 3, 8] {
            let rows = 9;
            let x: Vec<f32> = noise((8 * count + few) as u64, rows * count).map(|n| odd[(n % few as u64) as usize]).collect();
            let ty = TensorType::new(F32, [rows, count]);
            let find = |better: fn(f32, f32) -> bool| {
                let of = |row: &[f32]| (1..count).fold(0, |best, i| if better(row[i], row[best]) { i } else { best }) as i64;
                I32.integer_bytes(x.chunks(count).map(of))
            };
            let a = extremes::Attributes { axis: 1 };
            let cases = [
                (Op::ArgMax(arg_max::Attributes(a.clone())), find(|a, b| a > b)),
                (Op::ArgMin(arg_min::Attributes(a)), find(|a, b| a < b)),
            ];
            for (op, expected) in cases {
                assert_eq!(of_all_machines(&op, &ty, &f32_bytes(&x), &TensorType::new(I32, [])), expected, "{op:?} of {x:?}");
            }
        }
    }
}

/// As the reference: what changes no other number.
#[test]
fn of_no_elements() {
    let none = |kind, element, axes: &[usize]| {
        of_all_machines(&op(kind, axes), &TensorType::new(element, [2, 0]), &[], &TensorType::new(element, []))
    };
    assert_eq!(none(SUM, I32, &[1]), I32.integer_bytes([0, 0]));
    assert_eq!(none(PROD, I64, &[0, 1]), I64.integer_bytes([1]));
    assert_eq!(none(MAX, I16, &[1]), I16.integer_bytes([-32768, -32768]));
    assert_eq!(f32s(&none(MIN, F32, &[1])), [f32::MAX; 2]);
    assert_eq!(f32s(&none(PROD, F32, &[1])), [1.0; 2]);
    assert_eq!((none(ANY, Bool, &[1]), none(ALL, Bool, &[1])), (vec![0, 0], vec![1, 1]));
    assert_eq!(none(SUM, F32, &[0]), []);
    let q = TensorType::quantized(I8, [2, 0], 0.1, 3);
    for kind in [MEAN, PROD] {
        let refused = run(op(kind, &[1]), &[Input::new(q.clone(), vec![])], &q, &machines()[1]);
        assert_eq!(refused.map_err(|d| d.code), Err(Code::OPERAND));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |op: Op, x: &TensorType, y: &TensorType| {
        op.infer(&Signature { inputs: vec![Some(Operand { ty: x, data: None })], outputs: vec![y] }).err().map(|d| d.code)
    };
    let f = TensorType::new(F32, [2, 3]);
    let q = |element, scale, zero_point| TensorType::quantized(element, [2, 3], scale, zero_point);
    assert_eq!(refusal(op(SUM, &[1]), &f, &f), None);
    assert_eq!(refusal(op(SUM, &[2]), &f, &f), Some(Code::ATTRIBUTE));
    assert_eq!([[1, 0], [1, 1]].map(|axes| refusal(op(SUM, &axes), &f, &f)), [Some(Code::ATTRIBUTE); 2]);
    assert_eq!(refusal(op(ANY, &[1]), &f, &f), Some(Code::TYPES));
    assert_eq!(refusal(op(PROD, &[1]), &q(U8, 0.1, 0), &q(U8, 0.1, 0)), Some(Code::TYPES));
    assert_eq!(refusal(op(MAX, &[1]), &q(I8, 0.1, 0), &q(I8, 0.2, 0)), Some(Code::SCALE));
    assert_eq!(refusal(op(SUM, &[1]), &TensorType::new(I8, [2, 3]), &q(I8, 0.2, 0)), Some(Code::SCALE));
    assert_eq!(refusal(op(SUM, &[1]), &q(I16, 0.1, 1), &q(I16, 0.2, 0)), Some(Code::SCALE));
    let arg_max = |axis| Op::ArgMax(arg_max::Attributes(extremes::Attributes { axis }));
    let index = TensorType::new(I32, []);
    assert_eq!(refusal(arg_max(2), &f, &index), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(arg_max(1), &TensorType::new(F32, [2, 0]), &index), Some(Code::OPERAND));
    assert_eq!(refusal(arg_max(1), &TensorType::new(I64, [2, 3]), &index), Some(Code::TYPES));
    assert_eq!(refusal(Op::Cumsum(cumsum::Attributes { axis: 2, exclusive: false, reverse: false }), &f, &f), Some(Code::ATTRIBUTE));
}
