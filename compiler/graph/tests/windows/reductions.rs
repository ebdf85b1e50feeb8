//! MEAN and PAD against loops that follow the definition.

use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, mean, pad, reductions};
use cranelite_graph::quantize::{
    mean_multiplier, multiply_by_quantized_multiplier, multiply_long_by_quantized_multiplier, quantize_multiplier,
};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

/// Every index of a shape, in order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &d| {
        all.iter().flat_map(|i: &Vec<usize>| (0..d).map(|x| [i.clone(), vec![x]].concat()).collect::<Vec<_>>()).collect()
    })
}
pub fn flat(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (d, i)| at * d + i)
}

/// The elements that go into each result.
pub fn groups(shape: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let mut groups = vec![vec![]; kept.iter().product()];
    for index in indices(shape) {
        let target: Vec<usize> = index.iter().enumerate().map(|(i, &x)| if axes.contains(&i) { 0 } else { x }).collect();
        groups[flat(&kept, &target)].push(flat(shape, &index));
    }
    groups
}

fn check_mean(shape: &[usize], axes: &[usize], scales: (f32, f32), zero_points: (i64, i64), seed: u64) {
    let op = |keep_dims| Op::Mean(mean::Attributes(reductions::Attributes { axes: axes.to_vec(), keep_dims }));
    let groups = groups(shape, axes);
    let count = groups[0].len();
    for element in [ElementType::I8, ElementType::U8, ElementType::I16] {
        let (zx, zy) = match element {
            ElementType::I16 => (0, 0),
            ElementType::U8 => (zero_points.0 + 128, zero_points.1 + 128),
            _ => zero_points,
        };
        let ty = TensorType::quantized(element, shape, scales.0, zx);
        let out = TensorType::quantized(element, shape, scales.1, zy);
        let data = bytes(seed, ty.size_bytes());
        let x = integers(&ty, &data);
        let (multiplier, shift) = quantize_multiplier(f64::from(scales.0) / f64::from(scales.1));
        let (multiplier, shift) = mean_multiplier(multiplier, shift, count as u64);
        let (low, high) = cranelite_graph::quantize::element_range(element).unwrap();
        let expected: Vec<i64> = groups
            .iter()
            .map(|g| {
                let sum = g.iter().map(|&i| x[i]).sum::<i64>() - zx * count as i64;
                (multiply_by_quantized_multiplier(sum as i32, multiplier, shift) + zy as i32).clamp(low, high).into()
            })
            .collect();
        for m in machines() {
            let (_, got) = run(op(true), &[Input::new(ty.clone(), data.clone())], &out, &m).unwrap();
            assert_eq!(integers(&out, &got), expected, "{shape:?} {axes:?} {element} on {m:?}");
        }
    }
    let ty = TensorType::new(ElementType::F32, shape);
    let x = eighths(seed, ty.element_count());
    let expected: Vec<f32> = groups.iter().map(|g| g.iter().map(|&i| x[i]).sum::<f32>() / count as f32).collect();
    for m in machines() {
        let (_, got) = run(op(false), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
        assert_eq!(f32s(&got), expected, "{shape:?} {axes:?} on {m:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn means(shape in prop::collection::vec(1usize..8, 1..5), axes in any::<[bool; 5]>(), inner in 1usize..50,
             scale in 0.01f32..0.1, zero in -128i64..128, other in -128i64..128, seed: u64) {
        let mut shape = shape;
        *shape.last_mut().unwrap() = inner;
        let axes: Vec<usize> = (0..shape.len()).filter(|&i| axes[i]).collect();
        check_mean(&shape, &axes, (0.05, scale), (zero, other), seed);
    }

    #[test]
    fn pads(shape in prop::collection::vec(1usize..5, 0..5), inner in 1usize..40, before in any::<[u8; 5]>(), after in any::<[u8; 5]>(), seed: u64) {
        let mut shape = shape;
        shape.push(inner);
        let few = |p: [u8; 5]| -> Vec<usize> { p[..shape.len()].iter().map(|&n| usize::from(n).saturating_sub(200) / 10).collect() };
        check_pad(&shape, few(before), few(after), seed);
    }
}

fn check_pad(shape: &[usize], before: Vec<usize>, after: Vec<usize>, seed: u64) {
    let padded: Vec<usize> = (0..shape.len()).map(|i| before[i] + shape[i] + after[i]).collect();
    for (ty, fill) in [
        (TensorType::quantized(ElementType::I8, shape, 0.1, -7), vec![(-7i8) as u8]),
        (TensorType::quantized(ElementType::U8, shape, 0.1, 200), vec![200]),
        (TensorType::new(ElementType::I8, shape), vec![0]),
        (TensorType::quantized(ElementType::I16, shape, 0.1, 0), vec![0; 2]),
        (TensorType::new(ElementType::F32, shape), vec![0; 4]),
        (TensorType::new(ElementType::I64, shape), vec![0; 8]),
        (TensorType::new(ElementType::Bool, shape), vec![0]),
    ] {
        let data = bytes(seed, ty.size_bytes());
        let mut expected = fill.repeat(padded.iter().product());
        let size = fill.len();
        for index in indices(shape) {
            let from = flat(shape, &index) * size;
            let moved: Vec<usize> = index.iter().zip(&before).map(|(i, b)| i + b).collect();
            let to = flat(&padded, &moved) * size;
            expected[to..to + size].copy_from_slice(&data[from..from + size]);
        }
        for m in machines() {
            let op = Op::Pad(pad::Attributes { before: before.clone(), after: after.clone() });
            let (shape, got) = run(op, &[Input::new(ty.clone(), data.clone())], &ty, &m).unwrap();
            assert_eq!((shape, got), (padded.clone(), expected.clone()), "{ty:?} {before:?} {after:?} on {m:?}");
        }
    }
}

/// Sums that need 32 bits, with an inner run that fits 16 and with one that does not.
#[test]
fn long_means() {
    for (shape, axes) in
        [(&[3, 40, 40, 5][..], &[1, 2][..]), (&[2, 9, 7, 300], &[1, 3]), (&[2, 5, 3, 70], &[1, 3]), (&[5000], &[0]), (&[4, 3], &[])]
    {
        check_mean(shape, axes, (0.05, 0.05), (3, -3), 11);
    }
}

/// The largest and smallest elements, whose sums need 64 bits: the mean of equal numbers is that number.
#[test]
fn means_of_64_bits() {
    let shapes: [(&[usize], &[usize]); 4] =
        [(&[1, 70_000, 3], &[1]), (&[70_001], &[0]), (&[2, 300, 5, 300], &[1, 3]), (&[65_537, 2], &[0])];
    for (shape, axes) in shapes {
        let (x, y) = (TensorType::quantized(ElementType::I16, shape, 0.5, 0), TensorType::quantized(ElementType::I16, shape, 0.5, 0));
        for element in [i16::MIN, i16::MAX, -3] {
            let data: Vec<u8> = std::iter::repeat_n(element.to_le_bytes(), x.element_count()).flatten().collect();
            for m in machines() {
                let op = Op::Mean(mean::Attributes(reductions::Attributes { axes: axes.to_vec(), keep_dims: false }));
                let (_, got) = run(op, &[Input::new(x.clone(), data.clone())], &y, &m).unwrap();
                assert!(integers(&y, &got).iter().all(|&v| v == i64::from(element)), "{element} of {shape:?} on {m:?}");
            }
        }
    }
    // Bytes reach as far with the zero point at the other end.
    let (x, y) = (TensorType::quantized(ElementType::U8, [8_421_505], 1.0, 255), TensorType::quantized(ElementType::U8, [1], 1.0, 255));
    let op = Op::Mean(mean::Attributes(reductions::Attributes { axes: vec![0], keep_dims: true }));
    let data = vec![0; x.element_count()];
    let (_, got) = run(op, &[Input::new(x, data)], &y, &machines()[6]).unwrap();
    assert_eq!(got, [0]);
}

/// Numbers without a pattern, among them some whose sum is no multiple of anything.
#[test]
fn long_sums_are_rounded_as_short_ones() {
    let ty = TensorType::quantized(ElementType::I16, [140_000, 2], 0.05, 0);
    let out = TensorType::quantized(ElementType::I16, [2], 0.07, 0);
    // Only positive ones, so that the sums are beyond 32 bits.
    let data: Vec<u8> = bytes(5, ty.size_bytes()).iter().enumerate().map(|(i, b)| if i % 2 == 1 { b & 0x7f } else { *b }).collect();
    let x = integers(&ty, &data);
    let (multiplier, shift) = quantize_multiplier(f64::from(0.05f32) / f64::from(0.07f32));
    let (multiplier, shift) = mean_multiplier(multiplier, shift, 140_000);
    let expected: Vec<i64> = (0..2)
        .map(|c| multiply_long_by_quantized_multiplier(x.iter().skip(c).step_by(2).sum(), multiplier, shift).clamp(-32768, 32767))
        .collect();
    for m in machines() {
        let op = Op::Mean(mean::Attributes(reductions::Attributes { axes: vec![0], keep_dims: false }));
        let (_, got) = run(op, &[Input::new(ty.clone(), data.clone())], &out, &m).unwrap();
        assert_eq!(integers(&out, &got), expected, "{m:?}");
    }
}

#[test]
fn scalars() {
    let ty = TensorType::new(ElementType::F32, []);
    let op = Op::Mean(mean::Attributes(reductions::Attributes { axes: vec![], keep_dims: false }));
    assert_eq!(run(op, &[Input::new(ty.clone(), f32_bytes(&[2.5]))], &ty, &machines()[1]), Ok((vec![], f32_bytes(&[2.5]))));
    let op = Op::Pad(pad::Attributes { before: vec![], after: vec![] });
    assert_eq!(run(op, &[Input::new(ty.clone(), f32_bytes(&[2.5]))], &ty, &machines()[1]), Ok((vec![], f32_bytes(&[2.5]))));
}

#[test]
fn impossible_ones_are_refused() {
    let code = |op: Op, x: &TensorType, y: &TensorType| {
        run(op, &[Input::new(x.clone(), vec![0; x.size_bytes()])], y, &machines()[1]).map(|r| r.0).map_err(|d| d.code)
    };
    let f32s = TensorType::new(ElementType::F32, [2, 0, 3]);
    let mean = |axes: &[usize]| Op::Mean(mean::Attributes(reductions::Attributes { axes: axes.to_vec(), keep_dims: false }));
    assert_eq!(code(mean(&[3]), &f32s, &f32s), Err(Code::ATTRIBUTE));
    assert_eq!(code(mean(&[1]), &f32s, &f32s), Err(Code::OPERAND));
    assert_eq!(code(mean(&[0]), &f32s, &f32s), Ok(vec![0, 3]));
    let plain = TensorType::new(ElementType::I8, [4]);
    assert_eq!(code(mean(&[0]), &plain, &plain), Err(Code::SCALE));
    let i16s = TensorType::quantized(ElementType::I16, [4], 0.1, 3);
    assert_eq!(code(mean(&[0]), &i16s, &i16s), Err(Code::SCALE));
    let f16s = TensorType::new(ElementType::F16, [4]);
    assert_eq!(code(mean(&[0]), &f16s, &f16s), Err(Code::TYPES));
    let pad = |before: Vec<usize>, after: Vec<usize>| Op::Pad(pad::Attributes { before, after });
    assert_eq!(code(pad(vec![1], vec![1]), &f32s, &f32s), Err(Code::OPERAND));
    assert_eq!(code(pad(vec![usize::MAX], vec![1]), &f16s, &f16s), Err(Code::SHAPE));
    assert_eq!(code(pad(vec![1 << 50], vec![1]), &f16s, &f16s), Err(Code::SHAPE));
    let text = TensorType::new(ElementType::String, [4]);
    assert_eq!(code(pad(vec![1], vec![1]), &text, &text), Err(Code::TYPES));
    let empty = TensorType::new(ElementType::F32, [0]);
    assert_eq!(code(pad(vec![1], vec![1]), &empty, &empty), Ok(vec![2]));
}
