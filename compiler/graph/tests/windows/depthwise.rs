//! Depthwise convolutions against a loop that follows the definition.

use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines, noise, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, depthwise_conv_2d};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Case {
    shape: [usize; 4],
    multiplier: usize,
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
    activation: Activation,
}

impl Case {
    fn op(&self) -> Op {
        let Case { stride, dilation, padding, multiplier, activation, .. } = *self;
        Op::DepthwiseConv2d(depthwise_conv_2d::Attributes { stride, dilation, padding, depth_multiplier: multiplier, activation })
    }
    fn channels(&self) -> usize {
        self.shape[3] * self.multiplier
    }
    fn weights_shape(&self) -> [usize; 4] {
        [1, self.filter[0], self.filter[1], self.channels()]
    }
    fn outputs(&self) -> [usize; 2] {
        let p = self.padding;
        [(self.shape[1], p.top + p.bottom), (self.shape[2], p.left + p.right)]
            .iter()
            .enumerate()
            .map(|(i, (size, padding))| (size + padding - (self.filter[i] - 1) * self.dilation[i] - 1) / self.stride[i] + 1)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }

    /// Calls `f` for every result with image, output channel, and pairs of element and weight.
    fn results(&self, mut f: impl FnMut(usize, usize, &[(usize, usize)])) {
        let [n, h, w, c] = self.shape;
        let ([oh, ow], channels) = (self.outputs(), self.channels());
        for image in 0..n {
            for (oy, ox, oc) in (0..oh).flat_map(|y| (0..ow).flat_map(move |x| (0..channels).map(move |c| (y, x, c)))) {
                let mut pairs = vec![];
                for ky in 0..self.filter[0] {
                    for kx in 0..self.filter[1] {
                        let y = (oy * self.stride[0] + ky * self.dilation[0]).wrapping_sub(self.padding.top);
                        let x = (ox * self.stride[1] + kx * self.dilation[1]).wrapping_sub(self.padding.left);
                        if y < h && x < w {
                            pairs.push((((image * h + y) * w + x) * c + oc / self.multiplier, (ky * self.filter[1] + kx) * channels + oc));
                        }
                    }
                }
                f(image, oc, &pairs);
            }
        }
    }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::ReluN1To1), Just(Activation::Relu6)]
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![3 => 1usize..20, 1 => Just(24), 1 => Just(64), 1 => Just(40), 1 => 20usize..70];
    let multiplier = prop_oneof![3 => Just(1usize), 1 => 2usize..10];
    (
        (1usize..3, 1usize..12, 1usize..12, channels),
        multiplier,
        (1usize..6, 1usize..6),
        (1usize..4, 1usize..4),
        (1usize..3, 1usize..3),
        any::<[u8; 4]>(),
        activation(),
    )
        .prop_map(|((n, h, w, c), multiplier, (fh, fw), (sh, sw), (dh, dw), p, activation)| {
            let pad = |p: u8, f: usize| p as usize % (f + 1);
            let padding = Padding { top: pad(p[0], fh), bottom: pad(p[1], fh), left: pad(p[2], fw), right: pad(p[3], fw) };
            Case { shape: [n, h, w, c], multiplier, filter: [fh, fw], stride: [sh, sw], dilation: [dh, dw], padding, activation }
        })
        .prop_filter("the filter fits", |c| {
            let p = c.padding;
            (c.filter[0] - 1) * c.dilation[0] < c.shape[1] + p.top + p.bottom
                && (c.filter[1] - 1) * c.dilation[1] < c.shape[2] + p.left + p.right
        })
}

fn check_floats(case: &Case, seed: u64) {
    let x_ty = TensorType::new(ElementType::F32, case.shape);
    let w_ty = TensorType::new(ElementType::F32, case.weights_shape());
    let b_ty = TensorType::new(ElementType::F32, [case.channels()]);
    let (x, w, b) = (eighths(seed, x_ty.element_count()), eighths(seed + 1, w_ty.element_count()), eighths(seed + 2, case.channels()));
    let (low, high) = activation_range_float(case.activation);
    let mut expected = vec![];
    case.results(|_, c, pairs| {
        let sum: f32 = pairs.iter().map(|&(i, j)| x[i] * w[j]).sum();
        expected.push((sum + b[c]).max(low).min(high));
    });
    for m in machines() {
        let inputs = [
            Input::new(x_ty.clone(), f32_bytes(&x)),
            Input::constant(w_ty.clone(), f32_bytes(&w)),
            Input::constant(b_ty.clone(), f32_bytes(&b)),
        ];
        let (shape, got) = run(case.op(), &inputs, &x_ty, &m).unwrap();
        assert_eq!(shape[1..3], case.outputs());
        assert_eq!(f32s(&got), expected, "{case:?} on {m:?}");
    }
}

/// Scales of channels between a half and one of `scale`.
fn per_channel(scale: f32, channels: usize, seed: u64) -> Arc<Quantization> {
    let scales: Vec<f32> = noise(seed, channels).map(|n| scale * (0.5 + (n % 1000) as f32 / 2000.0)).collect();
    Arc::new(Quantization { zero_points: vec![0; scales.len()], scales, axis: 3 })
}

/// i8 with weights per channel, or u8 with zero points.
fn check_bytes(case: &Case, element: ElementType, small: bool, seed: u64) {
    let zw = if element == ElementType::I8 { 0 } else { 119 };
    let x = bytes(seed, case.shape.iter().product());
    let mut w = bytes(seed + 1, case.weights_shape().iter().product());
    if small {
        w.iter_mut().for_each(|w| *w = zw as u8 + *w % 64);
    }
    check_numbers(case, element, zw, [&x, &w], 0.07, seed);
}

fn check_numbers(case: &Case, element: ElementType, zw: i64, [x, w]: [&[u8]; 2], y_scale: f32, seed: u64) {
    let (zx, zy) = if element == ElementType::I8 { (-11, 5) } else { (140, 120) };
    let x_ty = TensorType::quantized(element, case.shape, 0.05, zx);
    let y_ty = TensorType::quantized(element, case.shape, y_scale, zy);
    let mut w_ty = TensorType::quantized(element, case.weights_shape(), 0.02, zw);
    if element == ElementType::I8 && case.channels() != 1 {
        w_ty.quantization = Some(per_channel(0.02, case.channels(), seed));
    }
    let bias: Vec<i32> = noise(seed + 2, case.channels()).map(|n| (n % 20001) as i32 - 10000).collect();
    let (xs, ws) = (integers(&x_ty, x), integers(&w_ty, w));
    let (low, high) = calculate_activation_range_quantized(case.activation, element, y_scale, zy as i32).unwrap();
    let mut expected = vec![];
    case.results(|_, c, pairs| {
        let sum: i64 = pairs.iter().map(|&(i, j)| (xs[i] - zx) * (ws[j] - zw)).sum();
        let scale = w_ty.quantization.as_ref().unwrap().scale(c);
        let real = if element == ElementType::I8 {
            convolution_multiplier(0.05, scale, y_scale)
        } else {
            convolution_multiplier_per_tensor(0.05, scale, y_scale)
        };
        let (multiplier, shift) = quantize_multiplier(real);
        let v = multiply_by_quantized_multiplier(sum as i32 + bias[c], multiplier, shift) + zy as i32;
        expected.push(i64::from(v.clamp(low, high)));
    });
    let bias: Vec<u8> = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
    for m in machines() {
        let b_ty = TensorType::new(ElementType::I32, [case.channels()]);
        let (x, w) = (Input::new(x_ty.clone(), x.to_vec()), Input::constant(w_ty.clone(), w.to_vec()));
        let (_, got) = run(case.op(), &[x, w, Input::constant(b_ty, bias.clone())], &y_ty, &m).unwrap();
        assert_eq!(integers(&y_ty, &got), expected, "{case:?} {element} on {m:?}");
    }
}

fn check_i16(case: &Case, wide: bool, seed: u64) {
    let x_ty = TensorType::quantized(ElementType::I16, case.shape, 0.001, 0);
    let y_ty = TensorType::quantized(ElementType::I16, case.shape, 0.002, 0);
    let w_ty = TensorType {
        quantization: Some(per_channel(0.02, case.channels(), seed)),
        ..TensorType::new(ElementType::I8, case.weights_shape())
    };
    let (x, w) = (bytes(seed, x_ty.size_bytes()), bytes(seed + 1, w_ty.size_bytes()));
    let bias: Vec<i64> = noise(seed + 2, case.channels()).map(|n| (n % 20_000_001) as i64 - 10_000_000).collect();
    let (xs, ws) = (integers(&x_ty, &x), integers(&w_ty, &w));
    let (low, high) = calculate_activation_range_quantized(case.activation, ElementType::I16, 0.002, 0).unwrap();
    let mut expected = vec![];
    case.results(|_, c, pairs| {
        let sum = pairs.iter().map(|&(i, j)| xs[i] * ws[j]).sum::<i64>() + bias[c];
        let (multiplier, shift) = quantize_multiplier(convolution_multiplier(0.001, w_ty.quantization.as_ref().unwrap().scale(c), 0.002));
        let v = if wide {
            multiply_by_quantized_multiplier_64(sum, multiplier, shift)
        } else {
            multiply_by_quantized_multiplier(sum as i32, multiplier, shift)
        };
        expected.push(i64::from(v.clamp(low, high)));
    });
    let (element, bias): (_, Vec<u8>) = match wide {
        true => (ElementType::I64, bias.iter().flat_map(|b| b.to_le_bytes()).collect()),
        false => (ElementType::I32, bias.iter().flat_map(|b| (*b as i32).to_le_bytes()).collect()),
    };
    for m in machines() {
        let b_ty = TensorType::new(element, [case.channels()]);
        let inputs = [Input::new(x_ty.clone(), x.clone()), Input::constant(w_ty.clone(), w.clone()), Input::constant(b_ty, bias.clone())];
        let (_, got) = run(case.op(), &inputs, &y_ty, &m).unwrap();
        assert_eq!(integers(&y_ty, &got), expected, "{case:?} wide {wide} on {m:?}");
    }
}

/// The reference's quantisation of one image at run time: values less the zero point, and the scale.
fn quantized_image(x: &[f32]) -> (Vec<i64>, f32) {
    let (low, high) = x.iter().fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
    if low == high {
        return (vec![0; x.len()], 1.0);
    }
    let scale = f64::from(high - low) / 255.0;
    let (low, high) = (f64::from(low), f64::from(high));
    let (from_low, from_high) = (-128.0 - low / scale, 127.0 - high / scale);
    let zero_point = if 128.0 + (low / scale).abs() < 127.0 + (high / scale).abs() { from_low } else { from_high };
    let zero_point = round_half_away(zero_point.clamp(-128.0, 127.0)) as i64;
    let inverse = 1.0 / scale as f32;
    let quantize = |v: &f32| (round_half_away_f32(v * inverse) as i64 + zero_point).clamp(-128, 127) - zero_point;
    (x.iter().map(quantize).collect(), scale as f32)
}

fn check_hybrid(case: &Case, seed: u64) {
    let x_ty = TensorType::new(ElementType::F32, case.shape);
    let w_ty = TensorType {
        quantization: Some(per_channel(0.02, case.channels(), seed)),
        ..TensorType::new(ElementType::I8, case.weights_shape())
    };
    let (w, b) = (bytes(seed + 1, w_ty.size_bytes()), eighths(seed + 2, case.channels()));
    let image = case.shape[1..].iter().product::<usize>();
    // The first image is 0 throughout, the second has values of one sign only.
    let x: Vec<f32> = noise(seed, x_ty.element_count())
        .enumerate()
        .map(|(i, n)| if i < image && seed.is_multiple_of(4) { 0.0 } else { 0.3 + (n % 977) as f32 / 300.0 })
        .collect();
    let x: Vec<f32> = if seed.is_multiple_of(2) { x } else { x.iter().map(|v| v - 1.5).collect() };
    let images: Vec<(Vec<i64>, f32)> = x.chunks(image).map(quantized_image).collect();
    let ws = integers(&w_ty, &w);
    let (low, high) = activation_range_float(case.activation);
    let mut expected = vec![];
    case.results(|n, c, pairs| {
        let sum: i64 = pairs.iter().map(|&(i, j)| images[n].0[i - n * image] * ws[j]).sum();
        let scale = w_ty.quantization.as_ref().unwrap().scale(c) * images[n].1;
        expected.push((sum as f32 * scale + b[c]).max(low).min(high));
    });
    for m in machines() {
        let b_ty = TensorType::new(ElementType::F32, [case.channels()]);
        let inputs =
            [Input::new(x_ty.clone(), f32_bytes(&x)), Input::constant(w_ty.clone(), w.clone()), Input::constant(b_ty, f32_bytes(&b))];
        let (_, got) = run(case.op(), &inputs, &x_ty, &m).unwrap();
        assert_eq!(f32s(&got), expected, "{case:?} on {m:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn floats(case in case(), seed in 0u64..1 << 40) {
        check_floats(&case, seed);
    }

    #[test]
    fn signed_bytes(case in case(), seed in 0u64..1 << 40) {
        check_bytes(&case, ElementType::I8, false, seed);
    }

    #[test]
    fn unsigned_bytes(case in case(), small: bool, seed in 0u64..1 << 40) {
        check_bytes(&case, ElementType::U8, small, seed);
    }

    #[test]
    fn sixteen_bits(case in case(), wide: bool, seed in 0u64..1 << 40) {
        check_i16(&case, wide, seed);
    }

    #[test]
    fn quantised_at_run_time(case in case(), seed in 0u64..1 << 40) {
        check_hybrid(&case, seed);
    }
}

fn plain(shape: [usize; 4], multiplier: usize, filter: [usize; 2]) -> Case {
    let one = [1, 1];
    Case { shape, multiplier, filter, stride: one, dilation: one, padding: Padding::default(), activation: Activation::None }
}

/// Images of real networks' proportions: loops with and without a rest, odd rows, channels that do not fill their vectors.
#[test]
fn usual_shapes() {
    let same = Padding { top: 1, bottom: 1, left: 1, right: 1 };
    for (case, integers) in [
        (Case { padding: same, ..plain([1, 7, 7, 96], 1, [3, 3]) }, true),
        (Case { padding: same, ..plain([2, 9, 17, 24], 1, [3, 3]) }, true),
        (Case { padding: Padding { top: 0, bottom: 1, left: 0, right: 1 }, stride: [2, 2], ..plain([1, 16, 16, 32], 1, [3, 3]) }, true),
        (Case { padding: Padding { top: 2, bottom: 2, left: 2, right: 2 }, ..plain([1, 14, 14, 40], 1, [5, 5]) }, true),
        (Case { padding: Padding { top: 4, bottom: 4, left: 4, right: 4 }, dilation: [4, 4], ..plain([1, 9, 9, 16], 1, [3, 3]) }, true),
        // The keyword spotter's first layer, smaller.
        (Case { padding: Padding { top: 4, bottom: 5, left: 3, right: 3 }, stride: [2, 2], ..plain([1, 21, 18, 1], 8, [10, 8]) }, true),
        // Too large to be written out.
        (Case { padding: Padding { top: 3, bottom: 3, left: 5, right: 5 }, ..plain([1, 12, 20, 20], 1, [7, 19]) }, true),
        (Case { padding: Padding { top: 0, bottom: 0, left: 9, right: 0 }, ..plain([1, 3, 12, 5], 1, [1, 3]) }, true),
    ] {
        check_floats(&case, 5);
        if integers {
            check_bytes(&case, ElementType::I8, false, 6);
            check_bytes(&case, ElementType::U8, false, 7);
            check_i16(&case, true, 8);
            check_hybrid(&case, 9);
        }
    }
}

/// Sums of two products in 16 bits must not overflow: activations and weights as far from zero as can be, and weights of -128 here and there.
#[test]
fn ends_of_the_range() {
    let same = Padding { top: 1, bottom: 1, left: 1, right: 1 };
    for case in [
        Case { padding: same, ..plain([1, 5, 9, 8], 1, [3, 3]) },
        Case { padding: same, stride: [2, 2], ..plain([2, 5, 6, 12], 1, [3, 3]) },
        Case { padding: same, dilation: [2, 2], ..plain([1, 7, 8, 17], 1, [3, 3]) },
        Case { stride: [4, 3], ..plain([1, 9, 8, 3], 1, [2, 2]) },
        Case { padding: same, ..plain([1, 4, 1, 5], 1, [4, 1]) },
        plain([1, 1, 13, 24], 1, [1, 6]),
        plain([1, 3, 3, 2], 4, [3, 3]),
    ] {
        let channels = case.channels();
        for (element, sign) in [(ElementType::I8, 0), (ElementType::U8, 0x80)] {
            let x: Vec<u8> = (0..case.shape.iter().product()).map(|i: usize| if i % 41 < 38 { 0x80 ^ sign } else { 0x7f ^ sign }).collect();
            // No weight of -128 in a channel, one, two, all.
            for least in [0, 1, 2, usize::MAX] {
                let weight = |i: usize| match (i / channels, i % channels) {
                    (tap, c) if tap.wrapping_sub(c % 2) < least => 0x80,
                    (_, c) if c % 3 == 0 => 0x7f,
                    _ => 0x81,
                };
                let w: Vec<u8> = (0..case.weights_shape().iter().product()).map(|i| weight(i) ^ sign).collect();
                check_numbers(&case, element, sign.into(), [&x, &w], 1.2, 3);
            }
        }
    }
}

/// Numbers in the middle between two integers, and what LiteRT 2.3.0 makes of them: the product is rounded before the offset is added.
#[test]
fn ties_at_run_time() {
    for (numbers, want) in [([-120.0, 16.0, 12.0], 11.733334), ([-120.0, 20.0, -42.0], -42.274513)] {
        let case = plain([1, 1, 1, 3], 1, [1, 1]);
        let ty = TensorType::new(ElementType::F32, case.shape);
        let weights = TensorType::quantized(ElementType::I8, case.shape, 1.0 / 127.0, 0);
        let bias = Input::constant(TensorType::new(ElementType::F32, [3]), f32_bytes(&[0.0; 3]));
        let inputs = [Input::new(ty.clone(), f32_bytes(&numbers)), Input::constant(weights, vec![127; 3]), bias];
        for m in machines() {
            let (_, got) = run(case.op(), &inputs, &ty, &m).unwrap();
            assert!((f32s(&got)[2] - want).abs() < 1e-4, "{numbers:?} on {m:?}: {:?}", f32s(&got));
        }
    }
}

#[test]
fn impossible_convolutions_are_refused() {
    let good = plain([1, 4, 4, 2], 1, [3, 3]);
    let q = |element, shape: &[usize], zero_point| TensorType::quantized(element, shape, 0.1, zero_point);
    let code = |case: &Case, x: &TensorType, w: &TensorType, b: &TensorType, constant: bool| {
        let zeros = |ty: &TensorType| vec![0; ty.size_bytes()];
        let weights = Input { constant, ..Input::new(w.clone(), zeros(w)) };
        run(case.op(), &[Input::new(x.clone(), zeros(x)), weights, Input::constant(b.clone(), zeros(b))], x, &machines()[1])
            .map(|r| r.0)
            .map_err(|d| d.code)
    };
    use ElementType::*;
    let (x, w, b) = (q(I8, &good.shape, 3), q(I8, &good.weights_shape(), 0), TensorType::new(I32, [2]));
    assert_eq!(code(&good, &x, &w, &b, true), Ok(vec![1, 2, 2, 2]));
    assert_eq!(code(&good, &x, &w, &b, false), Ok(vec![1, 2, 2, 2]));
    assert_eq!(code(&good, &x, &q(I4, &good.weights_shape(), 0), &b, false), Err(Code::CONSTANT));
    assert_eq!(code(&good, &x, &q(I8, &good.weights_shape(), 1), &b, true), Err(Code::SCALE));
    assert_eq!(code(&good, &x, &q(I8, &[1, 3, 3, 3], 0), &b, true), Err(Code::OPERAND));
    assert_eq!(code(&good, &x, &q(I8, &[3, 3, 2], 0), &b, true), Err(Code::OPERAND));
    assert_eq!(code(&good, &x, &q(I8, &[1, 0, 3, 2], 0), &b, true), Err(Code::OPERAND));
    assert_eq!(code(&good, &x, &q(I8, &[1, 3, 3, 4], 0), &TensorType::new(I32, [4]), true), Err(Code::ATTRIBUTE));
    assert_eq!(code(&good, &x, &q(I8, &[1, 5, 3, 2], 0), &b, true), Err(Code::OPERAND));
    assert_eq!(code(&good, &x, &w, &TensorType::new(I32, [3]), true), Err(Code::OPERAND));
    assert_eq!(code(&good, &x, &w, &TensorType::new(I64, [2]), true), Err(Code::TYPES));
    assert_eq!(code(&good, &TensorType::new(I8, good.shape), &w, &b, true), Err(Code::SCALE));
    assert_eq!(code(&good, &q(I16, &good.shape, 1), &w, &TensorType::new(I64, [2]), true), Err(Code::SCALE));
    let mut wrong_axis = w.clone();
    wrong_axis.quantization = Some(Arc::new(Quantization { scales: vec![0.1; 3], zero_points: vec![0; 3], axis: 1 }));
    assert_eq!(code(&good, &x, &wrong_axis, &b, true), Err(Code::SCALE));
    let empty = Case { shape: [0, 4, 4, 2], ..good };
    assert_eq!(code(&empty, &q(I8, &empty.shape, 3), &w, &b, true), Ok(vec![0, 2, 2, 2]));
}
