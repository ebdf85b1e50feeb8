//! Slices that begin where indices say, and transforms of rows and columns, against plain loops.

use crate::support::{Input, eighths, f32_bytes, f32s, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, rfft2d, stablehlo_gather, stablehlo_scatter};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tile::Binary;

fn i32s(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}
fn input(shape: &[usize], numbers: &[i32]) -> Input {
    Input::new(TensorType::new(ElementType::I32, shape), i32s(numbers))
}
fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

/// Slices of [2, 1, width] of an array of [3, 4, 5] at pairs of a row's and a column's number; the middle axis is left out, and the axes of the
/// result are [2, pairs, width].
fn dims(width: usize) -> stablehlo_gather::Attributes {
    stablehlo_gather::Attributes {
        offset_dims: vec![0, 2],
        collapsed_slice_dims: vec![1],
        start_index_map: vec![1, 2],
        index_vector_dim: 1,
        slice_sizes: vec![2, 1, width],
    }
}

const PAIRS: [[i32; 2]; 5] = [[0, 0], [3, 1], [-2, 4], [9, -1], [1, i32::MAX]];

#[test]
fn gathered_slices_begin_inside() {
    let x: Vec<i32> = (0..60).collect();
    for width in [1, 3, 5] {
        let mut expected = vec![];
        for plane in 0..2 {
            for [row, column] in PAIRS {
                let (row, column) = (row.clamp(0, 3), column.clamp(0, 5 - width as i32));
                expected.extend((0..width as i32).map(|i| plane * 20 + row * 5 + column + i));
            }
        }
        for m in machines() {
            let inputs = [input(&[3, 4, 5], &x), input(&[5, 2], PAIRS.as_flattened())];
            let y = TensorType::new(ElementType::I32, []);
            let (shape, y) = run(Op::StablehloGather(dims(width)), &inputs, &y, &m).unwrap();
            assert_eq!((shape, numbers(&y)), (vec![2, 5, width], expected.clone()), "{}", m.name);
        }
    }
    let wrong = |a: stablehlo_gather::Attributes| {
        let inputs = [input(&[3, 4, 5], &x), input(&[5, 2], PAIRS.as_flattened())];
        let y = TensorType::new(ElementType::I32, []);
        run(Op::StablehloGather(a), &inputs, &y, &machines()[0]).err().map(|d| d.code)
    };
    let a = dims(3);
    for a in [
        dims(6),
        stablehlo_gather::Attributes { offset_dims: vec![0], ..a.clone() },
        stablehlo_gather::Attributes { offset_dims: vec![0, 9], ..a.clone() },
        stablehlo_gather::Attributes { collapsed_slice_dims: vec![0], ..a.clone() },
        stablehlo_gather::Attributes { start_index_map: vec![1, 3], ..a.clone() },
        stablehlo_gather::Attributes { start_index_map: vec![1, 1], ..a.clone() },
        stablehlo_gather::Attributes { index_vector_dim: 3, ..a },
    ] {
        assert_eq!(wrong(a.clone()), Some(Code::OPERAND), "{a:?}");
    }
}

#[test]
fn scattered_elements_beyond_the_array_are_left_out() {
    let x: Vec<i32> = (0..60).map(|i| i * 7 % 11).collect();
    for width in [1, 3, 5] {
        let updates: Vec<i32> = (0..2 * 5 * width as i32).map(|i| i * 5 % 13 - 6).collect();
        for (combine, f) in [
            (None, (|_, update| update) as fn(i32, i32) -> i32),
            (Some(Binary::Add), |a, b| a + b),
            (Some(Binary::Mul), |a, b| a * b),
            (Some(Binary::Max), i32::max),
            (Some(Binary::Min), i32::min),
        ] {
            let mut expected = x.clone();
            for plane in 0..2 {
                for (n, [row, column]) in PAIRS.into_iter().enumerate() {
                    for i in 0..width {
                        let place = column.checked_add(i as i32).filter(|c| (0..4).contains(&row) && (0..5).contains(c));
                        if let Some(column) = place {
                            let at = (plane * 20 + row * 5 + column) as usize;
                            expected[at] = f(expected[at], updates[(plane as usize * 5 + n) * width + i]);
                        }
                    }
                }
            }
            let a = stablehlo_scatter::Attributes {
                update_window_dims: vec![0, 2],
                inserted_window_dims: vec![1],
                scatter_dims_to_operand_dims: vec![1, 2],
                index_vector_dim: 1,
                combine: stablehlo_scatter::Combine(combine),
            };
            for m in machines() {
                let inputs = [input(&[3, 4, 5], &x), input(&[5, 2], PAIRS.as_flattened()), input(&[2, 5, width], &updates)];
                let (_, y) = run(Op::StablehloScatter(a.clone()), &inputs, &TensorType::new(ElementType::I32, []), &m).unwrap();
                assert_eq!(numbers(&y), expected, "{combine:?} of {width} on {}", m.name);
            }
        }
    }
    // Whole rows, of which indices say the first axis alone, are runs.
    let a = stablehlo_scatter::Attributes {
        update_window_dims: vec![1],
        inserted_window_dims: vec![0],
        scatter_dims_to_operand_dims: vec![0],
        index_vector_dim: 1,
        combine: stablehlo_scatter::Combine(Some(Binary::Add)),
    };
    let updates: Vec<i32> = (0..3 * 37).collect();
    let expected: Vec<i32> = (0..2 * 37).map(|i| if i < 37 { 0 } else { (i - 37) + (i - 37 + 2 * 37) }).collect();
    for m in machines() {
        let inputs = [input(&[2, 37], &[0; 2 * 37]), input(&[3, 1], &[1, 2, 1]), input(&[3, 37], &updates)];
        let (_, y) = run(Op::StablehloScatter(a.clone()), &inputs, &TensorType::new(ElementType::I32, []), &m).unwrap();
        assert_eq!(numbers(&y), expected, "{}", m.name);
    }
}

#[test]
fn transforms_are_sums_of_waves() {
    for (shape, [rows, columns]) in [
        (vec![1, 16], [1, 16]),
        (vec![2, 3, 5], [4, 8]),
        (vec![1, 1], [1, 1]),
        (vec![3, 2], [1, 2]),
        (vec![2, 4], [2, 1]),
        (vec![1, 300], [1, 256]),
        (vec![20, 70], [16, 64]),
        (vec![0, 4], [1, 4]),
        (vec![2, 0], [2, 2]),
    ] {
        let ty = TensorType::new(ElementType::F32, shape.clone());
        let x = eighths(5, ty.element_count());
        let [outer @ .., height, width] = &shape[..] else { panic!() };
        let mut expected = vec![];
        for n in 0..outer.iter().product::<usize>() {
            for u in 0..rows {
                for v in 0..columns / 2 + 1 {
                    let (mut re, mut im) = (0f64, 0f64);
                    for i in 0..(*height).min(rows) {
                        for j in 0..(*width).min(columns) {
                            let turns = (u * i) as f64 / rows as f64 + (v * j) as f64 / columns as f64;
                            let (sin, cos) = libm::sincos(-2.0 * std::f64::consts::PI * turns);
                            let value = f64::from(x[(n * height + i) * width + j]);
                            re += value * cos;
                            im += value * sin;
                        }
                    }
                    expected.extend([re, im]);
                }
            }
        }
        for m in machines() {
            let op = Op::Rfft2d(rfft2d::Attributes { lengths: [rows, columns] });
            let (_, y) = run(op, &[Input::new(ty.clone(), f32_bytes(&x))], &TensorType::new(ElementType::Complex64, []), &m).unwrap();
            let y = f32s(&y);
            assert_eq!(y.len(), expected.len());
            for (got, want) in y.iter().zip(&expected) {
                assert!((f64::from(*got) - want).abs() < 1e-4 + 1e-5 * want.abs(), "{shape:?} on {}: {got} instead of {want}", m.name);
            }
        }
    }
    let code = |shape: &[usize], lengths| {
        let ty = TensorType::new(ElementType::F32, shape);
        let data = vec![0; ty.size_bytes()];
        let y = TensorType::new(ElementType::Complex64, []);
        run(Op::Rfft2d(rfft2d::Attributes { lengths }), &[Input::new(ty, data)], &y, &machines()[0]).err().map(|d| d.code)
    };
    assert_eq!(code(&[4], [1, 4]), Some(Code::OPERAND));
    assert_eq!(code(&[1, 4], [1, 6]), Some(Code::ATTRIBUTE));
    assert_eq!(code(&[1, 4], [0, 4]), Some(Code::ATTRIBUTE));
}
