//! Convolutions of volumes, windows over any axes, and arrays with gaps against plain loops.

use crate::support::{Input, eighths, f32_bytes, f32s, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::Activation;
use cranelite_graph::ops::{
    Op, conv_3d, conv_3d_transpose, dilate, paddings, reduce_window, reduce_windows, stablehlo_pad, stablehlo_reduce_window, volumes,
};
use cranelite_graph::tensor::{ElementType, TensorType};

/// All tuples below a shape, in order.
fn tuples(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &n| all.into_iter().flat_map(|t| (0..n).map(move |i| [&t[..], &[i]].concat())).collect())
}

fn at(shape: &[usize], tuple: &[usize]) -> usize {
    shape.iter().zip(tuple).fold(0, |at, (n, i)| at * n + i)
}

struct Volume {
    input: [usize; 5],
    filter: [usize; 3],
    channels: usize,
    size: [usize; 3],
    stride: [usize; 3],
    dilation: [usize; 3],
    before: [usize; 3],
}

fn check(case: &Volume, is_transposed: bool, activation: Activation, constant: bool) {
    let (from, to) = (case.input[4], case.channels);
    let [d, h, w] = case.filter;
    let filter = if is_transposed { [d, h, w, to, from] } else { [d, h, w, from, to] };
    let attributes = volumes::Attributes {
        size: case.size.to_vec(),
        stride: case.stride.to_vec(),
        dilation: case.dilation.to_vec(),
        before: case.before.to_vec(),
        activation,
    };
    let op = match is_transposed {
        true => Op::Conv3dTranspose(conv_3d_transpose::Attributes(attributes)),
        false => Op::Conv3d(conv_3d::Attributes(attributes)),
    };
    let output = [case.input[0], case.size[0], case.size[1], case.size[2], to];
    let [x, f, b] = [(1, &case.input[..]), (2, &filter[..]), (3, &[to][..])].map(|(seed, shape)| eighths(seed, shape.iter().product()));
    let mut expected = vec![0f32; output.iter().product()];
    for n in 0..case.input[0] {
        for o in tuples(&case.size) {
            for tap in tuples(&case.filter) {
                let place = |i: usize| {
                    let [o, tap, stride, dilation, before] =
                        [o[i], tap[i], case.stride[i], case.dilation[i], case.before[i]].map(|n| n as i64);
                    let place = if is_transposed { o + before - tap * dilation } else { o * stride - before + tap * dilation };
                    let place = if is_transposed { (place % stride == 0).then_some(place / stride)? } else { place };
                    usize::try_from(place).ok().filter(|p| *p < case.input[i + 1])
                };
                let (Some(pd), Some(ph), Some(pw)) = (place(0), place(1), place(2)) else { continue };
                for i in 0..from {
                    for c in 0..to {
                        let channels = if is_transposed { [c, i] } else { [i, c] };
                        let product = x[at(&case.input, &[n, pd, ph, pw, i])] * f[at(&filter, &[&tap[..], &channels].concat())];
                        expected[at(&output, &[n, o[0], o[1], o[2], c])] += product;
                    }
                }
            }
        }
    }
    let (low, high) = cranelite_graph::quantize::activation_range_float(activation);
    expected.iter_mut().enumerate().for_each(|(i, v)| *v = (*v + b[i % to]).max(low).min(high));
    let tensor = |shape: &[usize], data: &[f32], constant| {
        let input = Input::new(TensorType::new(ElementType::F32, shape), f32_bytes(data));
        Input { constant, ..input }
    };
    for m in machines() {
        let inputs = [tensor(&case.input, &x, false), tensor(&filter, &f, constant), tensor(&[to], &b, constant)];
        let (shape, got) = run(op.clone(), &inputs, &TensorType::new(ElementType::F32, output), &m).unwrap();
        assert_eq!((shape, f32s(&got)), (output.to_vec(), expected.clone()), "{} transposed {is_transposed}", m.name);
    }
}

#[test]
fn convolutions_of_volumes() {
    let case = |input, filter, channels, size, stride, dilation, before| Volume { input, filter, channels, size, stride, dilation, before };
    for is_transposed in [false, true] {
        check(&case([2, 3, 4, 5, 3], [2, 3, 1], 5, [3, 4, 5], [1; 3], [1; 3], [0, 1, 0]), is_transposed, Activation::None, true);
        check(&case([1, 4, 3, 5, 2], [3, 2, 3], 17, [2, 2, 3], [2, 1, 2], [1, 2, 1], [1, 0, 1]), is_transposed, Activation::Relu, true);
        check(&case([1, 2, 2, 3, 1], [1, 1, 2], 33, [5, 4, 7], [3, 2, 2], [1, 1, 2], [0, 0, 1]), is_transposed, Activation::Relu6, false);
        // Tiles of several outputs, and what is left of a row.
        check(&case([1, 2, 2, 47, 3], [2, 1, 3], 33, [2, 2, 47], [1; 3], [1; 3], [1, 0, 1]), is_transposed, Activation::Relu, true);
        check(&case([2, 1, 2, 37, 2], [1, 2, 2], 3, [1, 1, 18], [1, 1, 2], [1; 3], [0, 1, 0]), is_transposed, Activation::None, true);
        check(&case([1, 1, 1, 1, 4], [1, 1, 1], 1, [1, 1, 1], [1; 3], [1; 3], [0; 3]), is_transposed, Activation::None, false);
    }
}

fn i32_bytes(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}
fn i32s(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

struct Gaps<'a> {
    shape: &'a [usize],
    before: &'a [i64],
    after: &'a [i64],
    between: &'a [usize],
}

impl Gaps<'_> {
    /// The shape and the elements with gaps, which are filled with −7.
    fn apply(&self, x: &[i32]) -> (Vec<usize>, Vec<i32>) {
        let rank = self.shape.len();
        let step = |d: usize| self.between[d] as i64 + 1;
        let size = |d: usize| ((self.shape[d] as i64 - 1) * step(d) + 1).max(0) + self.before[d] + self.after[d];
        let shape: Vec<usize> = (0..rank).map(|d| size(d) as usize).collect();
        let mut y = vec![-7; shape.iter().product()];
        for t in tuples(self.shape) {
            let place: Option<Vec<usize>> =
                (0..rank).map(|d| usize::try_from(t[d] as i64 * step(d) + self.before[d]).ok().filter(|p| *p < shape[d])).collect();
            if let Some(place) = place {
                y[at(&shape, &place)] = x[at(self.shape, &t)];
            }
        }
        (shape, y)
    }
}

const GAPS: &[Gaps] = &[
    Gaps { shape: &[3, 4], before: &[1, 0], after: &[0, 2], between: &[0, 0] },
    Gaps { shape: &[2, 3, 5], before: &[0, 1, 0], after: &[1, 0, 3], between: &[1, 0, 2] },
    Gaps { shape: &[5], before: &[-3], after: &[-2], between: &[1] },
    Gaps { shape: &[4, 20], before: &[-1, -2], after: &[2, -1], between: &[2, 0] },
    Gaps { shape: &[2], before: &[5], after: &[-6], between: &[3] },
    Gaps { shape: &[1, 40], before: &[0, 0], after: &[0, 0], between: &[7, 0] },
];

#[test]
fn arrays_with_gaps() {
    for gaps in GAPS {
        let ty = TensorType::new(ElementType::I32, gaps.shape);
        let x: Vec<i32> = (0..ty.element_count() as i32).collect();
        let expected = gaps.apply(&x);
        let a = paddings::Attributes { before: gaps.before.to_vec(), after: gaps.after.to_vec(), between: gaps.between.to_vec() };
        for op in [Op::StablehloPad(stablehlo_pad::Attributes(a.clone())), Op::Dilate(dilate::Attributes(a.clone()))] {
            for m in machines() {
                let fill = Input::new(TensorType::new(ElementType::I32, []), i32_bytes(&[-7]));
                let (shape, y) = run(op.clone(), &[Input::new(ty.clone(), i32_bytes(&x)), fill], &ty, &m).unwrap();
                assert_eq!((shape, i32s(&y)), expected, "{a:?} on {}", m.name);
            }
        }
    }
    let a = |before: &[i64]| paddings::Attributes { before: before.to_vec(), after: vec![0], between: vec![0] };
    let code = |a, fill: &[usize]| {
        let [x, fill] = [&[2][..], fill]
            .map(|shape| Input::new(TensorType::new(ElementType::I32, shape), vec![0; 4 * shape.iter().product::<usize>()]));
        let y = x.ty.clone();
        run(Op::StablehloPad(stablehlo_pad::Attributes(a)), &[x, fill], &y, &machines()[0]).err().map(|d| d.code)
    };
    assert_eq!(code(a(&[-3]), &[]), Some(Code::SHAPE));
    assert_eq!(code(a(&[i64::MAX]), &[]), Some(Code::SHAPE));
    assert_eq!(code(a(&[0, 0]), &[]), Some(Code::ATTRIBUTE));
    assert_eq!(code(a(&[0]), &[2]), Some(Code::OPERAND));
}

#[test]
fn windows_over_any_axes() {
    use reduce_windows::Combine;
    for (gaps, window, strides, dilations) in [
        (&GAPS[0], vec![2, 1], vec![1, 1], vec![1, 1]),
        (&GAPS[1], vec![2, 2, 3], vec![1, 2, 1], vec![2, 1, 2]),
        (&GAPS[2], vec![3], vec![2], vec![1]),
        (&GAPS[3], vec![3, 5], vec![3, 1], vec![1, 3]),
        (&GAPS[5], vec![1, 1], vec![1, 1], vec![1, 1]),
        // Larger than the array: nothing.
        (&GAPS[4], vec![9], vec![1], vec![1]),
    ] {
        let ty = TensorType::new(ElementType::I32, gaps.shape);
        let x: Vec<i32> = (0..ty.element_count() as i32).map(|i| i * 37 % 101 - 50).collect();
        let (shape, seen) = gaps.apply(&x);
        let output: Vec<usize> = (0..shape.len())
            .map(|d| shape[d].checked_sub((window[d] - 1) * dilations[d] + 1).map_or(0, |rest| rest / strides[d] + 1))
            .collect();
        for (combine, f) in [
            (Combine::Add, i32::wrapping_add as fn(i32, i32) -> i32),
            (Combine::Mul, i32::wrapping_mul),
            (Combine::Min, i32::min),
            (Combine::Max, i32::max),
            (Combine::All, |a, b| i32::from(a != 0 && b != 0)),
            (Combine::Any, |a, b| i32::from(a != 0 || b != 0)),
        ] {
            let one = |o: Vec<usize>| {
                let taps = tuples(&window).into_iter();
                let places = taps.map(|t| (0..t.len()).map(|d| o[d] * strides[d] + t[d] * dilations[d]).collect::<Vec<_>>());
                places.fold(-7, |sum, p| f(sum, seen[at(&shape, &p)]))
            };
            let expected: Vec<i32> = tuples(&output).into_iter().map(one).collect();
            let a = reduce_windows::Attributes {
                window: window.clone(),
                strides: strides.clone(),
                dilations: dilations.clone(),
                base_dilations: gaps.between.iter().map(|b| b + 1).collect(),
                before: gaps.before.to_vec(),
                after: gaps.after.to_vec(),
                combine,
            };
            for op in [
                Op::ReduceWindow(reduce_window::Attributes(a.clone())),
                Op::StablehloReduceWindow(stablehlo_reduce_window::Attributes(a.clone())),
            ] {
                for m in machines() {
                    let start = Input::new(TensorType::new(ElementType::I32, []), i32_bytes(&[-7]));
                    let (got, y) = run(op.clone(), &[Input::new(ty.clone(), i32_bytes(&x)), start], &ty, &m).unwrap();
                    assert_eq!((got, i32s(&y)), (output.clone(), expected.clone()), "{a:?} on {}", m.name);
                }
            }
        }
    }
}
