//! Pooling against loops that follow the definition.

use crate::support::{Input, bytes, f32_bytes, f32s, integers, machines, run};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, average_pool_2d, l2_pool_2d, max_pool_2d, pools};
use cranelite_graph::quantize::calculate_activation_range_quantized;
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    shape: [usize; 4],
    filter: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    activation: Activation,
}

impl Case {
    fn op(&self, average: bool) -> Op {
        let Case { filter, stride, padding, activation, .. } = *self;
        let pooling = pools::Attributes { filter, stride, padding, activation };
        match average {
            true => Op::AveragePool2d(average_pool_2d::Attributes(pooling)),
            false => Op::MaxPool2d(max_pool_2d::Attributes(pooling)),
        }
    }

    /// Calls `f` with the indices of every window's elements, in the order of the results.
    fn windows(&self, mut f: impl FnMut(&[usize])) {
        let [n, h, w, c] = self.shape;
        let p = self.padding;
        let out = |size: usize, before: usize, after: usize, i: usize| (size + before + after - self.filter[i]) / self.stride[i] + 1;
        for b in 0..n {
            for oy in 0..out(h, p.top, p.bottom, 0) {
                for ox in 0..out(w, p.left, p.right, 1) {
                    for channel in 0..c {
                        let mut taps = vec![];
                        for ky in 0..self.filter[0] {
                            for kx in 0..self.filter[1] {
                                let (y, x) = (oy * self.stride[0] + ky, ox * self.stride[1] + kx);
                                if (p.top..p.top + h).contains(&y) && (p.left..p.left + w).contains(&x) {
                                    taps.push(((b * h + y - p.top) * w + x - p.left) * c + channel);
                                }
                            }
                        }
                        f(&taps);
                    }
                }
            }
        }
    }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::ReluN1To1), Just(Activation::Relu6)]
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![1usize..40, Just(64), Just(130)];
    ((1usize..3, 1usize..9, 1usize..9, channels), (1usize..6, 1usize..6), (1usize..4, 1usize..4), any::<[u8; 4]>(), activation())
        .prop_map(|((n, h, w, c), (fh, fw), (sh, sw), p, activation)| {
            let pad = |p: u8, f: usize| p as usize % f;
            let padding = Padding { top: pad(p[0], fh), bottom: pad(p[1], fh), left: pad(p[2], fw), right: pad(p[3], fw) };
            Case { shape: [n, h, w, c], filter: [fh, fw], stride: [sh, sw], padding, activation }
        })
        .prop_filter("the filter fits", |c| {
            let p = c.padding;
            c.filter[0] <= c.shape[1] + p.top + p.bottom && c.filter[1] <= c.shape[2] + p.left + p.right
        })
}

fn check_integers(case: &Case, element: ElementType, seed: u64) {
    let ty = TensorType::quantized(element, case.shape, 0.05, if element == ElementType::I16 { 0 } else { 9 });
    let data = bytes(seed, ty.size_bytes());
    let x = integers(&ty, &data);
    let (low, high) = calculate_activation_range_quantized(case.activation, element, 0.05, ty.zero_point() as i32).unwrap();
    for average in [true, false] {
        let mut expected = vec![];
        case.windows(|taps| {
            let (n, sum) = (taps.len() as i64, taps.iter().map(|&t| x[t]).sum::<i64>());
            let mean = if 0 < sum { (sum + n / 2) / n } else { (sum - n / 2) / n };
            let v = if average { mean } else { taps.iter().map(|&t| x[t]).max().unwrap() };
            expected.push(v.max(low.into()).min(high.into()));
        });
        for m in machines() {
            let (_, got) = run(case.op(average), &[Input::new(ty.clone(), data.clone())], &ty, &m).unwrap();
            assert_eq!(integers(&ty, &got), expected, "{case:?} {element} average {average} on {m:?}");
        }
    }
}

fn check_floats(case: &Case, seed: u64) {
    let ty = TensorType::new(ElementType::F32, case.shape);
    let x = crate::support::eighths(seed, ty.element_count());
    let (low, high) = cranelite_graph::quantize::activation_range_float(case.activation);
    for average in [true, false] {
        let mut expected = vec![];
        case.windows(|taps| {
            let sum: f32 = taps.iter().map(|&t| x[t]).sum();
            let largest = taps.iter().map(|&t| x[t]).fold(f32::MIN, f32::max);
            expected.push((if average { sum / taps.len() as f32 } else { largest }).max(low).min(high));
        });
        for m in machines() {
            let (_, got) = run(case.op(average), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
            assert_eq!(f32s(&got), expected, "{case:?} average {average} on {m:?}");
        }
    }
}

/// Squares of eighths are exact, and so are their sums.
fn check_roots(case: &Case, seed: u64) {
    let Case { filter, stride, padding, activation, .. } = *case;
    let op = Op::L2Pool2d(l2_pool_2d::Attributes(pools::Attributes { filter, stride, padding, activation }));
    let ty = TensorType::new(ElementType::F32, case.shape);
    let x = crate::support::eighths(seed, ty.element_count());
    let (low, high) = cranelite_graph::quantize::activation_range_float(activation);
    let mut expected = vec![];
    case.windows(|taps| {
        let sum: f32 = taps.iter().map(|&t| x[t] * x[t]).sum();
        expected.push((sum / taps.len() as f32).sqrt().max(low).min(high));
    });
    for m in machines() {
        let (_, got) = run(op.clone(), &[Input::new(ty.clone(), f32_bytes(&x))], &ty, &m).unwrap();
        assert_eq!(f32s(&got), expected, "{case:?} on {m:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn integers_equal_the_definition(case in case(), seed: u64) {
        for element in [ElementType::I8, ElementType::U8, ElementType::I16] {
            check_integers(&case, element, seed);
        }
    }

    #[test]
    fn floats_equal_the_definition(case in case(), seed: u64) {
        check_floats(&case, seed);
    }

    #[test]
    fn roots_equal_the_definition(case in case(), seed: u64) {
        check_roots(&case, seed);
    }
}

/// Windows that are loops, sums that need 32 bits, quotients that need f64.
#[test]
fn large_windows() {
    let wide =
        |h, w, filter| Case { shape: [1, h, w, 3], filter, stride: [1, 1], padding: Padding::default(), activation: Activation::None };
    for (case, elements) in [
        (wide(7, 7, [7, 7]), &[ElementType::I8, ElementType::U8, ElementType::I16][..]),
        (wide(20, 30, [18, 30]), &[ElementType::I8, ElementType::U8, ElementType::I16]),
        (Case { padding: Padding { top: 4, bottom: 4, left: 4, right: 4 }, ..wide(6, 6, [9, 9]) }, &[ElementType::I8]),
    ] {
        for &e in elements {
            check_integers(&case, e, 7);
        }
        check_floats(&case, 8);
    }
}

/// The division rounds as integers do, at every sum of small windows.
#[test]
fn every_mean_of_two_and_three() {
    for (filter, sums) in [([1, 2], 2), ([1, 3], 3), ([1, 4], 4), ([1, 5], 5)] {
        let rows: Vec<Vec<u8>> = (-128 * sums..=127 * sums)
            .map(|s: i32| (0..sums).map(|i| (s.div_euclid(sums) + i32::from(i < s.rem_euclid(sums))) as i8 as u8).collect())
            .collect();
        let ty = TensorType::quantized(ElementType::I8, [1, rows.len(), sums as usize, 1], 1.0, 0);
        let case = Case {
            shape: [1, rows.len(), sums as usize, 1],
            filter,
            stride: [1, 1],
            padding: Padding::default(),
            activation: Activation::None,
        };
        let (_, got) = run(case.op(true), &[Input::new(ty.clone(), rows.concat())], &ty, &machines()[1]).unwrap();
        let expected: Vec<i64> =
            (-128 * sums..=127 * sums).map(|s: i32| i64::from(if 0 < s { (s + sums / 2) / sums } else { (s - sums / 2) / sums })).collect();
        assert_eq!(integers(&ty, &got), expected);
    }
}

#[test]
fn nan_is_skipped_by_the_maximum() {
    let case = Case { shape: [1, 1, 4, 1], filter: [1, 2], stride: [1, 2], padding: Padding::default(), activation: Activation::None };
    let ty = TensorType::new(ElementType::F32, case.shape);
    let x = f32_bytes(&[f32::NAN, 3.0, f32::NAN, f32::NEG_INFINITY]);
    let (shape, got) = run(case.op(false), &[Input::new(ty.clone(), x)], &ty, &machines()[1]).unwrap();
    assert_eq!((shape, f32s(&got)), (vec![1, 1, 2, 1], vec![3.0, f32::MIN]));
}

#[test]
fn impossible_poolings_are_refused() {
    let good = Case { shape: [1, 4, 4, 2], filter: [2, 2], stride: [1, 1], padding: Padding::default(), activation: Activation::None };
    let f32s = TensorType::new(ElementType::F32, good.shape);
    let try_it = |case: &Case, x: &TensorType, y: &TensorType| {
        run(case.op(true), &[Input::new(x.clone(), vec![0; x.size_bytes()])], y, &machines()[1]).map_err(|d| d.code)
    };
    assert!(try_it(&good, &f32s, &f32s).is_ok());
    assert_eq!(try_it(&Case { filter: [5, 1], ..good.clone() }, &f32s, &f32s), Err(Code::OPERAND));
    let padding = Padding { top: 2, ..Padding::default() };
    assert_eq!(try_it(&Case { padding, ..good.clone() }, &f32s, &f32s), Err(Code::OPERAND));
    assert_eq!(try_it(&good, &TensorType::new(ElementType::I32, good.shape), &f32s), Err(Code::TYPES));
    assert_eq!(try_it(&good, &TensorType::new(ElementType::F32, [4, 4, 2]), &f32s), Err(Code::OPERAND));
    let q = |zero_point| TensorType::quantized(ElementType::I8, good.shape, 0.1, zero_point);
    assert_eq!(try_it(&good, &q(0), &q(1)), Err(Code::SCALE));
    let empty = TensorType::new(ElementType::F32, [0, 4, 4, 2]);
    assert_eq!(try_it(&good, &empty, &f32s).map(|r| r.0), Ok(vec![0, 3, 3, 2]));
}
