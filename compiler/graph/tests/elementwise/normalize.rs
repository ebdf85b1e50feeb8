//! Rows that are normalised against loops that follow the reference.

use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines, run};
use crate::{refusal, run_integers};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{
    Op, bitcast, bucketize, complex_abs, fake_quant, imag, l2_normalization, local_response_normalization, log_softmax, real,
};
use cranelite_graph::quantize::{
    calculate_input_radius, exp_on_negative_values, log_of_sum, log_softmax_reverse, multiply_by_quantized_multiplier,
    preprocess_softmax_scaling, reciprocal_root, rounding_divide_by_pot,
};
use cranelite_graph::tensor::{ElementType, TensorType};

const DEPTHS: [usize; 8] = [1, 2, 7, 16, 17, 33, 64, 100];

fn close(op: &Op, shape: &[usize], x: &[f32], expected: &[f32]) {
    let ty = TensorType::new(ElementType::F32, shape);
    for m in machines() {
        let (_, y) = run(op.clone(), &[Input::new(ty.clone(), f32_bytes(x))], &ty, &m).unwrap();
        for (i, (got, want)) in f32s(&y).into_iter().zip(expected).enumerate() {
            let fits = (got - want).abs() <= 1e-6 + 2e-6 * want.abs() || got.is_nan() && want.is_nan();
            assert!(fits, "{op:?} of {shape:?} on {}, element {i}: {got} instead of {want}", m.name);
        }
    }
}

#[test]
fn rows_of_length_one() {
    let op = Op::L2Normalization(l2_normalization::Attributes {});
    for depth in DEPTHS {
        let mut x = eighths(depth as u64, 3 * depth);
        // A row of nothing has the least length.
        x[depth..2 * depth].fill(0.0);
        let rows = x.chunks(depth).flat_map(|row| {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
            row.iter().map(move |v| v / length)
        });
        close(&op, &[3, depth], &x, &rows.collect::<Vec<_>>());
        for (element, from, to) in [(ElementType::I8, 5, 0), (ElementType::I8, -128, 0), (ElementType::U8, 100, 128)] {
            let ty = TensorType::quantized(element, [3, depth], 0.1, from);
            let y = TensorType::quantized(element, [3, depth], 1.0 / 128.0, to);
            let mut data = bytes(depth as u64, 3 * depth);
            data[depth..2 * depth].fill(from as u8);
            let x = integers(&ty, &data);
            let expected: Vec<i64> = x
                .chunks(depth)
                .flat_map(|row| {
                    let (multiplier, shift) = reciprocal_root(row.iter().map(|v| (v - from).pow(2)).sum::<i64>() as i32);
                    row.iter().map(move |v| {
                        let v = (v - from) as i32;
                        let v = match element {
                            ElementType::U8 => multiply_by_quantized_multiplier(128 * v, multiplier, shift),
                            _ => multiply_by_quantized_multiplier(v, multiplier, shift + 7),
                        };
                        i64::from(if element == ElementType::U8 { (v + 128).clamp(0, 255) } else { v.clamp(-128, 127) })
                    })
                })
                .collect();
            assert_eq!(run_integers(&op, &[(ty, data)], &y), (vec![3, depth], expected));
        }
    }
    let bytes = |scale, zero| TensorType::quantized(ElementType::I8, [2, 40_000], scale, zero);
    assert_eq!(refusal(&op, &[bytes(1.0, 0)], &bytes(1.0, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op, &[bytes(1.0, 0)], &bytes(1.0 / 128.0, 1)), Some(Code::SCALE));
    assert_eq!(refusal(&op, &[bytes(1.0, 0)], &bytes(1.0 / 128.0, 0)), Some(Code::FEATURE));
    let scalar = TensorType::new(ElementType::F32, []);
    assert_eq!(refusal(&op, std::slice::from_ref(&scalar), &scalar), Some(Code::OPERAND));
}

#[test]
fn logarithms_of_probabilities() {
    let op = Op::LogSoftmax(log_softmax::Attributes {});
    for depth in DEPTHS {
        let x = eighths(depth as u64, 2 * depth);
        let rows = x.chunks(depth).flat_map(|row| {
            let max = row.iter().copied().fold(f32::MIN, f32::max);
            let log = libm::log(row.iter().map(|v| libm::exp(f64::from(v - max))).sum::<f64>());
            row.iter().map(move |v| (f64::from(v - max) - log) as f32)
        });
        close(&op, &[2, depth], &x, &rows.collect::<Vec<_>>());
        for scale in [1e-4, 0.01, 0.1, 0.9, 7.0] {
            for (element, zero) in [(ElementType::I8, 127i32), (ElementType::U8, 255)] {
                let ty = TensorType::quantized(element, [2, depth], scale, 3);
                let y = TensorType::quantized(element, [2, depth], 1.0 / 16.0, zero.into());
                let data = bytes(depth as u64 + 1, 2 * depth);
                let (multiplier, shift) = preprocess_softmax_scaling(1.0, scale, 5);
                let (back, back_shift) = log_softmax_reverse(multiplier, shift).unwrap();
                let least = -calculate_input_radius(5, shift, 31);
                let low = zero - 255;
                let expected: Vec<i64> = integers(&ty, &data)
                    .chunks(depth)
                    .flat_map(|row| {
                        let max = *row.iter().max().unwrap();
                        let difference = move |v: i64| (v - max) as i32;
                        let rescaled = move |v: i64| multiply_by_quantized_multiplier(difference(v), multiplier, shift);
                        let near = row.iter().filter(|v| least <= difference(**v));
                        let log = log_of_sum(near.map(|v| rounding_divide_by_pot(exp_on_negative_values(rescaled(*v), 5), 12)).sum());
                        let furthest = multiply_by_quantized_multiplier(log.wrapping_add(i32::MIN), back, back_shift).max(least - 1);
                        row.iter().map(move |v| {
                            let value = rounding_divide_by_pot(rescaled(*v).wrapping_sub(log), 22).saturating_add(zero);
                            i64::from(if furthest < difference(*v) { value.clamp(low, zero) } else { low })
                        })
                    })
                    .collect();
                assert_eq!(run_integers(&op, &[(ty, data)], &y), (vec![2, depth], expected), "scale {scale}");
            }
        }
    }
    let bytes = |depth, scale, zero| TensorType::quantized(ElementType::U8, [1, depth], scale, zero);
    assert_eq!(refusal(&op, &[bytes(8, 1.0, 0)], &bytes(8, 0.0625, 254)), Some(Code::SCALE));
    assert_eq!(refusal(&op, &[bytes(8, 1e-9, 0)], &bytes(8, 0.0625, 255)), Some(Code::SCALE));
    assert_eq!(refusal(&op, &[bytes(4096, 1.0, 0)], &bytes(4096, 0.0625, 255)), Some(Code::FEATURE));
}

#[test]
fn channels_next_to_each_other() {
    for (depth, radius) in [(1, 1), (5, 2), (16, 5), (33, 3), (7, 100), (4, 0)] {
        let (bias, alpha, beta) = (1.5, 0.25, 0.75);
        let op = Op::LocalResponseNormalization(local_response_normalization::Attributes { radius, bias, alpha, beta });
        let x = eighths(3, 2 * 3 * depth);
        let rows = x.chunks(depth).flat_map(|row| {
            (0..depth).map(move |c| {
                let near = &row[c.saturating_sub(radius)..(c + radius).min(depth)];
                let sum: f64 = near.iter().map(|v| f64::from(v * v)).sum();
                (f64::from(row[c]) * libm::pow(f64::from(bias) + f64::from(alpha) * sum, -f64::from(beta))) as f32
            })
        });
        close(&op, &[1, 2, 3, depth], &x, &rows.collect::<Vec<_>>());
    }
}

#[test]
fn nearest_of_few_numbers() {
    let op = |min, max, bits| Op::FakeQuant(fake_quant::Attributes { min, max, bits });
    let mut x = eighths(9, 37);
    x.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0]);
    for (min, max, bits) in [(-1.0f32, 3.0f32, 8), (0.0, 6.0, 4), (-7.3, 0.0, 16), (-0.1, 0.2, 1)] {
        let steps = ((1u32 << bits) - 1) as f32;
        let step = (max - min) / steps;
        let zero = (-min / step).round();
        let (low, high) = (-zero * step, (steps - zero) * step);
        let one = |v: f32| ((if low < v { v } else { low }).min(high) - low) * (1.0 / step);
        close(&op(min, max, bits), &[x.len()], &x, &x.iter().map(|v| one(*v).round() * step + low).collect::<Vec<_>>());
    }
    let ty = TensorType::new(ElementType::F32, [2]);
    for bad in [op(1.0, 2.0, 8), op(-2.0, -1.0, 8), op(0.0, 0.0, 8), op(-1.0, 1.0, 0), op(-1.0, 1.0, 17), op(f32::NAN, 1.0, 8)] {
        assert_eq!(refusal(&bad, std::slice::from_ref(&ty), &ty), Some(Code::ATTRIBUTE), "{bad:?}");
    }
}

#[test]
fn parts_and_lengths_of_complex_numbers() {
    for count in [1, 3, 4, 17, 40] {
        let mut x = eighths(count, 2 * count as usize);
        (x[0], x[1]) = (3e30, -4e30);
        let ty = TensorType::new(ElementType::Complex64, [count as usize]);
        let y = TensorType::new(ElementType::F32, []);
        for m in machines() {
            let of = |op: Op| f32s(&run(op, &[Input::new(ty.clone(), f32_bytes(&x))], &y, &m).unwrap().1);
            assert_eq!(of(Op::Real(real::Attributes(complexes()))), x.iter().copied().step_by(2).collect::<Vec<_>>());
            assert_eq!(of(Op::Imag(imag::Attributes(complexes()))), x.iter().copied().skip(1).step_by(2).collect::<Vec<_>>());
            let lengths: Vec<f32> = x.chunks(2).map(|c| libm::hypot(f64::from(c[0]), f64::from(c[1])) as f32).collect();
            assert_eq!(of(Op::ComplexAbs(complex_abs::Attributes(complexes()))), lengths, "{}", m.name);
        }
    }
    let special = [(f32::INFINITY, f32::NAN), (f32::NAN, f32::NEG_INFINITY), (0.0, -0.0), (f32::MAX, f32::MAX)];
    let x: Vec<f32> = special.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let infinity = f32::INFINITY;
    for (element, bytes) in [
        (ElementType::Complex64, f32_bytes(&x)),
        (ElementType::Complex128, x.iter().flat_map(|v| if *v == f32::MAX { f64::MAX } else { f64::from(*v) }.to_le_bytes()).collect()),
    ] {
        let (ty, result) =
            (TensorType::new(element, [4]), if element == ElementType::Complex64 { ElementType::F32 } else { ElementType::F64 });
        for m in machines() {
            let op = Op::ComplexAbs(complex_abs::Attributes(complexes()));
            let (_, y) = run(op, &[Input::new(ty.clone(), bytes.clone())], &TensorType::new(result, []), &m).unwrap();
            let y: Vec<f64> = match result {
                ElementType::F32 => f32s(&y).into_iter().map(f64::from).collect(),
                _ => y.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            };
            assert_eq!(y, [infinity, infinity, 0.0, infinity].map(f64::from), "{element} on {}", m.name);
        }
    }
}

fn complexes() -> cranelite_graph::ops::complexes::Attributes {
    cranelite_graph::ops::complexes::Attributes {}
}

#[test]
fn buckets_between_boundaries() {
    let boundaries = vec![-2.0, 0.0, 0.0, 1.5];
    let op = Op::Bucketize(bucketize::Attributes { boundaries: boundaries.clone() });
    let x = [-3.0, -2.0, -0.5, -0.0, 0.0, 1.0, 1.5, 9.0, f32::NAN];
    let expected = vec![0, 1, 1, 3, 3, 3, 4, 4, 4];
    let y = TensorType::new(ElementType::I32, []);
    let of = |element, bytes: Vec<u8>| run_integers(&op, &[(TensorType::new(element, [9]), bytes)], &y).1;
    assert_eq!(of(ElementType::F32, f32_bytes(&x)), expected);
    assert_eq!(of(ElementType::F64, x.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect()), expected);
    let whole = [-3i64, -2, -1, 0, 0, 1, 2, 9, i64::from(i32::MAX)];
    let expected = vec![0, 1, 1, 3, 3, 3, 4, 4, 4];
    assert_eq!(of(ElementType::I32, whole.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect()), expected);
    assert_eq!(of(ElementType::I64, whole.iter().flat_map(|v| v.to_le_bytes()).collect()), expected);
    let none = Op::Bucketize(bucketize::Attributes { boundaries: vec![] });
    let ty = TensorType::new(ElementType::F32, [9]);
    assert_eq!(run_integers(&none, &[(ty.clone(), f32_bytes(&x))], &y).1, vec![0; 9]);
    for boundaries in [vec![1.0, 0.0], vec![f32::NAN, 1.0]] {
        assert_eq!(refusal(&Op::Bucketize(bucketize::Attributes { boundaries }), std::slice::from_ref(&ty), &y), Some(Code::ATTRIBUTE));
    }
}

#[test]
fn the_same_bytes() {
    let op = Op::Bitcast(bitcast::Attributes {});
    let ty = |element, shape: &[usize]| TensorType::new(element, shape);
    let data = bytes(4, 24);
    let words: Vec<i64> = data.chunks(4).map(|b| i64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect();
    let y = ty(ElementType::I32, &[]);
    assert_eq!(run_integers(&op, &[(ty(ElementType::F32, &[2, 3]), data.clone())], &y), (vec![2, 3], words.clone()));
    assert_eq!(run_integers(&op, &[(ty(ElementType::U8, &[6, 4]), data.clone())], &y), (vec![6], words.clone()));
    assert_eq!(run_integers(&op, &[(ty(ElementType::I64, &[3]), data)], &y), (vec![3, 2], words));
    assert_eq!(refusal(&op, &[ty(ElementType::U8, &[6, 2])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(&op, &[ty(ElementType::U8, &[])], &y), Some(Code::OPERAND));
    assert_eq!(refusal(&op, &[ty(ElementType::U8, &[2])], &ty(ElementType::Bool, &[2])), Some(Code::FEATURE));
}
