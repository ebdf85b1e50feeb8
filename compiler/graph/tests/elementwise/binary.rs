//! ADD, SUB, MUL: the reference's fixed point written out for one pair, and broadcasting against the definition.

use crate::support::{Input, bytes, f32_bytes, f32s, integers, machines, run};
use crate::{all_bytes, refusal, run_integers, zero_points};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::Activation;
use cranelite_graph::ops::{Op, add, mul, sub, sums};
use cranelite_graph::quantize::{
    calculate_activation_range_quantized, multiply_by_quantized_multiplier as multiply, quantize_multiplier, rounding_divide_by_pot,
};
use cranelite_graph::tensor::ElementType::{F32, I8, I16, U8, U32};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Add,
    Sub,
    Mul,
}
use Kind::{Add, Mul, Sub};

fn op(kind: Kind, activation: Activation, pot_scale_int16: bool) -> Op {
    match kind {
        Add => Op::Add(add::Attributes(sums::Attributes { activation, pot_scale_int16 })),
        Sub => Op::Sub(sub::Attributes(sums::Attributes { activation, pot_scale_int16 })),
        Mul => Op::Mul(mul::Attributes { activation, pot_scale_int16 }),
    }
}

/// Scale and zero point of both inputs and the output.
type Quantized = [(f32, i32); 3];

/// What the reference computes for one pair, with general scales.
fn expected(kind: Kind, element: ElementType, q: Quantized, activation: Activation, a: i64, b: i64) -> i64 {
    let [(sa, za), (sb, zb), (sy, zy)] = q;
    let (a, b) = (a as i32 - za, b as i32 - zb);
    let unclamped = if kind == Mul {
        let (m, s) = quantize_multiplier((sa * sb / sy) as f64);
        multiply(a.wrapping_mul(b), m, s)
    } else {
        let raise = if element == I16 { 15 } else { 20 };
        let twice = 2.0 * sa.max(sb) as f64;
        let term = |x: i32, s: f32| {
            let (m, shift) = quantize_multiplier(s as f64 / twice);
            multiply(x << raise, m, shift)
        };
        let (m, s) = quantize_multiplier(twice / ((1 << raise) as f64 * sy as f64));
        let (a, b) = (term(a, sa), term(b, sb));
        multiply(if kind == Add { a + b } else { a - b }, m, s)
    };
    let (low, high) = calculate_activation_range_quantized(activation, element, sy, zy).expect("a range");
    unclamped.wrapping_add(zy).max(low).min(high).into()
}

fn types(element: ElementType, shapes: [&[usize]; 2], q: Quantized) -> ([TensorType; 2], TensorType) {
    let of = |shape: &[usize], (s, z): (f32, i32)| TensorType::quantized(element, shape, s, z.into());
    ([of(shapes[0], q[0]), of(shapes[1], q[1])], of(&[], q[2]))
}

/// All 65536 pairs of bytes by broadcasting a column and a row.
fn check_all_pairs(kind: Kind, element: ElementType, q: Quantized, activation: Activation) {
    let ([a, b], y) = types(element, [&[256, 1], &[256]], q);
    let values = integers(&b, &all_bytes());
    let (shape, got) = run_integers(&op(kind, activation, true), &[(a, all_bytes()), (b, all_bytes())], &y);
    assert_eq!(shape, [256, 256]);
    for (i, got) in got.into_iter().enumerate() {
        let (x, z) = (values[i / 256], values[i % 256]);
        assert_eq!(got, expected(kind, element, q, activation, x, z), "{kind:?} {element} {q:?} {activation:?} of {x} and {z}");
    }
}

#[test]
fn all_pairs_of_bytes() {
    for kind in [Add, Sub, Mul] {
        for element in [I8, U8] {
            let z = zero_points(element);
            check_all_pairs(kind, element, [(0.1, z[1]), (0.037, z[3]), (0.09, z[0])], Activation::None);
            check_all_pairs(kind, element, [(0.02, z[4]), (0.02, z[0]), (0.05, z[2])], Activation::Relu6);
            check_all_pairs(kind, element, [(1e-4, z[0]), (0.5, z[4]), (0.003, z[3])], Activation::Relu);
        }
    }
}

/// Multipliers of one and more, and vanishing ones.
#[test]
fn extreme_scales() {
    for kind in [Add, Sub, Mul] {
        for q in [[(1.0, 3), (1.0, -5), (1e-7, 0)], [(1e-6, 3), (10.0, -5), (1000.0, 0)], [(1e-20, 0), (1e-20, 0), (1e10, 1)]] {
            check_all_pairs(kind, I8, q, Activation::None);
        }
    }
}

fn int16(data: &[u8]) -> Vec<i64> {
    data.chunks_exact(2).map(|b| i64::from(i16::from_le_bytes([b[0], b[1]]))).collect()
}

fn check_int16(kind: Kind, q: Quantized, pot: bool, seed: u64, reference: impl Fn(i64, i64) -> i64) {
    let n = 77;
    let ([a, b], y) = types(I16, [&[n], &[n]], q);
    let (mut x, mut z) = (bytes(seed, 2 * n), bytes(seed + 1, 2 * n));
    for (i, (p, q)) in [(-32768, -32768), (32767, 32767), (-32768, 32767), (0, -32768), (32767, 0)].into_iter().enumerate() {
        x[2 * i..2 * i + 2].copy_from_slice(&i16::to_le_bytes(p));
        z[2 * i..2 * i + 2].copy_from_slice(&i16::to_le_bytes(q));
    }
    let want: Vec<i64> = int16(&x).into_iter().zip(int16(&z)).map(|(a, b)| reference(a, b)).collect();
    let (_, got) = run_integers(&op(kind, Activation::None, pot), &[(a, x), (b, z)], &y);
    assert_eq!(got, want, "{kind:?} {q:?}");
}

#[test]
fn int16_in_general() {
    for kind in [Add, Sub, Mul] {
        for q in [[(0.01, 0), (0.003, 0), (0.02, 0)], [(3e-4, 0), (3e-4, 0), (1e-4, 0)], [(0.5, 0), (0.25, 0), (1.0, 0)]] {
            check_int16(kind, q, false, 5, |a, b| expected(kind, I16, q, Activation::None, a, b));
        }
    }
}

/// Sums of int16 with scales that are powers of two only shift.
#[test]
fn int16_with_powers_of_two() {
    for (q, shifts) in [([(0.25, 0), (0.25, 0), (0.25, 0)], (0, 0)), ([(0.25, 0), (0.03125, 0), (0.25, 0)], (0, 3))] {
        for kind in [Add, Sub] {
            check_int16(kind, q, true, 9, |a, b| {
                let (a, b) = (rounding_divide_by_pot(a as i32, shifts.0), rounding_divide_by_pot(b as i32, shifts.1));
                i64::from((if kind == Add { a + b } else { a - b }).clamp(-32768, 32767))
            });
        }
    }
    // By 16 and more, the mask of the reference's 16 bits loses the remainder, and every number becomes its sign, zero a one.
    for shift in [15, 16, 17, 30, 31] {
        let q = [(0.25, 0), (0.25 / (1u32 << shift) as f32, 0), (0.25, 0)];
        let small = |x: i64| if shift == 15 { rounding_divide_by_pot(x as i32, 15).into() } else { x.signum() | 1 };
        for kind in [Add, Sub] {
            check_int16(kind, q, true, 9, |a, b| (if kind == Add { a + small(b) } else { a - small(b) }).clamp(-32768, 32767));
            let swapped = [q[1], q[0], q[2]];
            check_int16(kind, swapped, true, 9, |a, b| (if kind == Add { small(a) + b } else { small(a) - b }).clamp(-32768, 32767));
        }
    }
    let ([a, b], y) = types(I16, [&[4], &[4]], [(0.5, 0), (0.25, 0), (0.25, 0)]);
    assert_eq!(refusal(&op(Add, Activation::None, true), &[a.clone(), b.clone()], &y), Some(Code::SCALE));
    assert_eq!(refusal(&op(Add, Activation::None, false), &[a, b], &y), None);
}

/// Two shapes that can be broadcast to each other, with dimensions of 0 and 1 among them.
fn shapes() -> impl Strategy<Value = [Vec<usize>; 2]> {
    let dim = (prop_oneof![8 => 1usize..5, 1 => Just(0), 1 => Just(37)], 0u8..4);
    (prop::collection::vec(dim, 0..7), 0usize..3, any::<bool>()).prop_map(|(dims, cut, swap)| {
        let side = |bit: u8| dims.iter().map(|&(n, ones)| if ones & 3 == bit { 1 } else { n }).collect::<Vec<_>>();
        let (a, mut b) = (side(1), side(2));
        b.drain(..cut.min(b.len()));
        if swap { [b, a] } else { [a, b] }
    })
}

/// The element of a tensor of `shape` that belongs to the output's position `at`.
fn index(shape: &[usize], at: &[usize]) -> usize {
    let own = &at[at.len() - shape.len()..];
    shape.iter().zip(own).fold(0, |i, (&n, &p)| i * n + if n == 1 { 0 } else { p })
}

/// A constant that is read again for every few elements is repeated for long vectors.
#[test]
fn runs_of_few_elements() {
    for run_length in [1usize, 2, 3, 5, 17] {
        for count in [1usize, 7, 64, 96, 100] {
            for [outer, other] in [[1, 1], [2, 1], [3, 3]] {
                let shape = [outer, count, run_length];
                let x = crate::support::eighths(1, outer * count * run_length);
                let z = crate::support::eighths(2, run_length);
                let third = crate::support::eighths(3, other);
                let input = |shape: &[usize], data: &[f32]| Input::new(TensorType::new(F32, shape), f32_bytes(data));
                let constant = |shape: &[usize], data: &[f32]| Input { constant: true, ..input(shape, data) };
                for m in machines() {
                    let place = format!("{shape:?} on {}", m.name);
                    let inputs = [input(&shape, &x), constant(&[run_length], &z)];
                    let (_, got) = run(op(Sub, Activation::None, false), &inputs, &TensorType::new(F32, []), &m).unwrap();
                    let want: Vec<f32> = x.iter().enumerate().map(|(i, v)| v - z[i % run_length]).collect();
                    assert_eq!(f32s(&got), want, "{place}");
                    // The same for each part of the first dimension.
                    let inputs = [constant(&[other, 1, 1], &third), input(&shape, &x)];
                    let (_, got) = run(op(Mul, Activation::None, false), &inputs, &TensorType::new(F32, []), &m).unwrap();
                    let want: Vec<f32> = x.iter().enumerate().map(|(i, v)| third[i / (count * run_length) % other] * v).collect();
                    assert_eq!(f32s(&got), want, "{place}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn floats_are_broadcast([a, b] in shapes(), kind in prop_oneof![Just(Add), Just(Sub), Just(Mul)], relu: bool) {
        let data = |shape: &[usize], seed: u64| crate::support::eighths(seed, shape.iter().product());
        let (x, z) = (data(&a, 1), data(&b, 2));
        let activation = if relu { Activation::Relu } else { Activation::None };
        for m in machines() {
            let inputs = [(&a, &x), (&b, &z)].map(|(shape, data)| Input::new(TensorType::new(F32, shape.clone()), f32_bytes(data)));
            let (shape, got) = run(op(kind, activation, false), &inputs, &TensorType::new(F32, []), &m).unwrap();
            let count: usize = shape.iter().product();
            let got = f32s(&got);
            prop_assert_eq!(got.len(), count);
            for (i, got) in got.into_iter().enumerate() {
                let mut rest = i;
                let mut at: Vec<usize> = shape.iter().rev().map(|&n| { let p = rest % n; rest /= n; p }).collect();
                at.reverse();
                let (p, q) = (x[index(&a, &at)], z[index(&b, &at)]);
                let want = match kind { Add => p + q, Sub => p - q, Mul => p * q };
                prop_assert_eq!(got, if relu { want.max(0.0) } else { want }, "{:?} {:?} at {:?}", a, b, at);
            }
        }
    }

    #[test]
    fn random_quantisations(seed: u64, za in -128i32..128, zb in -128i32..128, zy in -128i32..128,
                            scales in prop::array::uniform3(1e-4f32..2.0), kind in prop_oneof![Just(Add), Just(Sub), Just(Mul)]) {
        let q = [(scales[0], za), (scales[1], zb), (scales[2], zy)];
        let ([a, b], y) = types(I8, [&[3, 41], &[3, 41]], q);
        let (x, z) = (bytes(seed, 123), bytes(!seed, 123));
        let want: Vec<i64> = x.iter().zip(&z).map(|(&a, &b)| expected(kind, I8, q, Activation::None, (a as i8).into(), (b as i8).into())).collect();
        let (_, got) = run_integers(&op(kind, Activation::None, false), &[(a, x), (b, z)], &y);
        prop_assert_eq!(got, want);
    }
}

/// Infinity and NaN pass as in the reference, which clamps to finite numbers.
#[test]
fn special_floats() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0];
    for (activation, want) in [
        (Activation::None, [f32::MAX, f32::MIN, f32::MAX, 0.0]),
        (Activation::Relu, [f32::MAX, 0.0, f32::MAX, 0.0]),
        (Activation::Relu6, [6.0, 0.0, 6.0, 0.0]),
    ] {
        for m in machines() {
            let input = || Input::new(TensorType::new(F32, [5]), f32_bytes(&x));
            let (_, got) = run(op(Add, activation, false), &[input(), input()], &TensorType::new(F32, []), &m).unwrap();
            let got = f32s(&got);
            assert!(got[0].is_nan());
            assert_eq!(got[1..], want);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let f = |shape: &[usize]| TensorType::new(F32, shape);
    let q = |s: f32, z: i64| TensorType::quantized(I8, [4], s, z);
    let plain = op(Add, Activation::None, false);
    assert_eq!(refusal(&plain, &[f(&[2, 3]), f(&[3, 2])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&plain, &[f(&[0]), f(&[3])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&plain, &[f(&[4]), q(0.1, 0)], &f(&[])), Some(Code::TYPES));
    assert_eq!(refusal(&plain, &[q(0.1, 0), q(0.1, 0)], &f(&[])), Some(Code::TYPES));
    assert_eq!(refusal(&plain, &[TensorType::new(U32, [4]), TensorType::new(U32, [4])], &TensorType::new(U32, [])), Some(Code::TYPES));
    assert_eq!(refusal(&plain, &[TensorType::new(I8, [4]), q(0.1, 0)], &q(0.1, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&plain, &[q(f32::NAN, 0), q(0.1, 0)], &q(0.1, 0)), Some(Code::QUANTIZATION));
    assert_eq!(refusal(&plain, &[q(0.1, 200), q(0.1, 0)], &q(0.1, 0)), Some(Code::QUANTIZATION));
    assert_eq!(refusal(&plain, &[q(1e30, 0), q(0.1, 0)], &q(1e-30, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op(Add, Activation::Relu6, false), &[q(1.0, 0), q(0.1, 0)], &q(1e-20, 0)), Some(Code::SCALE));
    let wide = |z: i64| TensorType::quantized(I16, [4], 0.1, z);
    assert_eq!(refusal(&op(Mul, Activation::None, false), &[wide(1), wide(0)], &wide(0)), Some(Code::SCALE));
    assert_eq!(refusal(&plain, &[q(0.1, 0), q(0.1, 0)], &q(0.1, 0)), None);
}
