//! BATCH_MATMUL.

use crate::reference::{Operands, Want, check, run};
use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::{Op, batch_matmul};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::ElementType::{F32, I8, I16, I32};
use cranelite_graph::tensor::{ElementType, TensorType};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Case {
    element: ElementType,
    result: ElementType,
    /// Batches of both sides.
    batches: [Vec<usize>; 2],
    rows: usize,
    depth: usize,
    columns: usize,
    adj: [bool; 2],
    constant: bool,
    seed: u64,
}

impl Case {
    fn op(&self) -> Op {
        Op::BatchMatmul(batch_matmul::Attributes { adj_x: self.adj[0], adj_y: self.adj[1], asymmetric_quantize_inputs: false })
    }

    fn shape(&self, side: usize) -> Vec<usize> {
        let size = if side == 0 { [self.rows, self.depth] } else { [self.depth, self.columns] };
        let size = if self.adj[side] { [size[1], size[0]] } else { size };
        self.batches[side].iter().copied().chain(size).collect()
    }

    fn operands(&self) -> Operands {
        let side = |side: usize| {
            let shape = self.shape(side);
            let seed = self.seed + side as u64;
            let count = shape.iter().product();
            match self.element {
                F32 => (TensorType::new(F32, shape), f32_bytes(&eighths(seed, count))),
                element => {
                    let zero_point = if element == I16 { 0 } else { (self.seed / 7 + side as u64 * 31) as i64 % 256 - 128 };
                    let ty = TensorType::quantized(element, shape, 0.03 + side as f32 * 0.01, zero_point);
                    let data = bytes(seed, ty.size_bytes());
                    (ty, data)
                }
            }
        };
        let spread = if self.element == I16 { 10.0 } else { 0.1 };
        let result = match self.result {
            F32 | I32 => TensorType::new(self.result, []),
            I16 => TensorType::quantized(I16, [], spread * (self.depth as f32).sqrt(), 0),
            element => TensorType::quantized(element, [], spread * (self.depth as f32).sqrt(), (self.seed % 100) as i64 - 50),
        };
        let ((x, x_data), (w, w_data)) = (side(0), side(1));
        let w = if self.constant { Input::constant(w, w_data) } else { Input::new(w, w_data) };
        Operands { x: Input::new(x, x_data), w, bias: None, result }
    }

    /// Shape of the result, and for each of its elements the pairs of elements whose products are summed.
    fn pairs(&self) -> (Vec<usize>, Vec<Vec<(usize, usize)>>) {
        let [left, right] = &self.batches;
        let rank = left.len().max(right.len());
        let dim = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |own| s[own]);
        let batches: Vec<usize> = (0..rank).map(|d| dim(left, d).max(dim(right, d))).collect();
        let mut all = vec![];
        for b in 0..batches.iter().product() {
            let matrix = |s: &[usize]| {
                let (mut rest, mut at, mut step) = (b, 0, 1);
                for d in (0..rank).rev() {
                    at += rest % batches[d] % dim(s, d) * step;
                    (rest, step) = (rest / batches[d], step * dim(s, d));
                }
                at
            };
            let (x, w) = (matrix(left) * self.rows * self.depth, matrix(right) * self.depth * self.columns);
            for (m, n) in (0..self.rows * self.columns).map(|i| (i / self.columns, i % self.columns)) {
                let pair = |k: usize| {
                    let a = if self.adj[0] { k * self.rows + m } else { m * self.depth + k };
                    let b = if self.adj[1] { n * self.depth + k } else { k * self.columns + n };
                    (x + a, w + b)
                };
                all.push((0..self.depth).map(pair).collect());
            }
        }
        (batches.into_iter().chain([self.rows, self.columns]).collect(), all)
    }

    fn want(&self, p: &Operands) -> (Vec<usize>, Want) {
        let (shape, pairs) = self.pairs();
        if self.element == F32 {
            let (x, w) = (f32s(&p.x.data), f32s(&p.w.data));
            return (shape, Want::Floats(pairs.iter().map(|all| all.iter().map(|&(a, b)| x[a] * w[b]).sum()).collect()));
        }
        let (x, w) = (integers(&p.x.ty, &p.x.data), integers(&p.w.ty, &p.w.data));
        let (x_zero, w_zero) = (p.x.ty.zero_point(), p.w.ty.zero_point());
        let sum = |all: &Vec<(usize, usize)>| -> i64 { all.iter().map(|&(a, b)| (x[a] - x_zero) * (w[b] - w_zero)).sum() };
        let scales = [&p.x.ty, &p.w.ty, &p.result].map(|ty| ty.scale().unwrap_or(1.0));
        let (m, s) = quantize_multiplier(convolution_multiplier_per_tensor(scales[0], scales[1], scales[2]));
        let rescaled = |sum: i64| match self.result {
            I32 => sum,
            I16 => i64::from(multiply_by_quantized_multiplier_64(sum, m, s)).clamp(-32768, 32767),
            _ => (i64::from(multiply_by_quantized_multiplier(sum as i32, m, s)) + p.result.zero_point()).clamp(-128, 127),
        };
        (shape, Want::Integers(pairs.iter().map(|all| rescaled(sum(all))).collect()))
    }

    fn check(&self) {
        let p = self.operands();
        let (shape, want) = self.want(&p);
        check(&self.op(), &p, &shape, &want);
    }
}

prop_compose! {
    fn cases()(types in prop_oneof![Just((F32, F32)), Just((I8, I8)), Just((I8, I32)), Just((I16, I16))], batches in prop::collection::vec(1usize..4, 0..3),
               ones in [prop::collection::vec(any::<bool>(), 3), prop::collection::vec(any::<bool>(), 3)], lost in [0usize..3, 0..3],
               rows in 1usize..20, depth in prop_oneof![1usize..12, 1usize..70], columns in prop_oneof![1usize..20, 1usize..70],
               adj: [bool; 2], constant: bool, seed: u32) -> Case {
        // Dimensions of either side may be 1, and the first ones may be left out where they are.
        let side = |i: usize| -> Vec<usize> {
            let dims: Vec<usize> = batches.iter().zip(&ones[i]).map(|(&n, &one)| if one && !ones[1 - i].iter().all(|o| *o) { 1 } else { n }).collect();
            let lead = dims.iter().take(lost[i]).take_while(|n| **n == 1).count();
            dims[lead..].to_vec()
        };
        Case { element: types.0, result: types.1, batches: [side(0), side(1)], rows, depth, columns, adj, constant, seed: seed.into() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_batches(case in cases()) {
        case.check();
    }
}

#[test]
fn single_rows_and_columns() {
    for (element, result) in [(F32, F32), (I8, I8), (I8, I32), (I16, I16)] {
        for (rows, depth, columns) in [(1, 1, 1), (1, 33, 1), (1, 5, 40), (40, 5, 1), (7, 1, 19)] {
            for constant in [false, true] {
                let batches = [vec![2, 1], vec![3]];
                Case { element, result, batches, rows, depth, columns, adj: [false; 2], constant, seed: 77 }.check();
            }
        }
    }
}

/// The reference quantises rows of the left side; here they are few enough integers to be exact.
#[test]
fn integers_on_the_right_of_floats() {
    for (constant, asymmetric) in [(false, false), (true, false), (false, true), (true, true)] {
        let batches = [vec![2], vec![if constant { 1 } else { 2 }]];
        let case = Case { element: F32, result: F32, batches, rows: 3, depth: 2, columns: 3, adj: [false, true], constant, seed: 5 };
        let op = Op::BatchMatmul(batch_matmul::Attributes { adj_x: false, adj_y: true, asymmetric_quantize_inputs: asymmetric });
        let mut p = case.operands();
        // Every row has both ends of its range: without offset ±127, with one −128 and 127.
        let x: Vec<f32> = (0..12).map(|i| [if asymmetric { -128.0 } else { -127.0 }, 127.0][i % 2]).collect();
        p.x.data = f32_bytes(&x);
        p.w.ty = TensorType::quantized(I8, p.w.ty.shape.clone(), 0.5, 0);
        p.w.data = bytes(9, p.w.ty.element_count());
        let w = integers(&p.w.ty, &p.w.data);
        let (shape, pairs) = case.pairs();
        let sum = |all: &Vec<(usize, usize)>| all.iter().map(|&(a, b)| x[a] * w[b] as f32 * 0.5).sum();
        check(&op, &p, &shape, &Want::Floats(pairs.iter().map(sum).collect()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = Case {
        element: I8,
        result: I8,
        batches: [vec![2], vec![2]],
        rows: 2,
        depth: 3,
        columns: 4,
        adj: [false; 2],
        constant: false,
        seed: 1,
    };
    let refused = |case: &Case, change: &dyn Fn(&mut Operands), expected: &str| {
        let mut p = case.operands();
        change(&mut p);
        let d = run(&case.op(), &p, &machines()[0], Goal::Speed, 0).expect_err(expected);
        assert!(d.to_string().contains(expected), "{d}");
    };
    refused(&good, &|p| p.w.ty.shape = vec![2, 4, 3], "the sides of the product do not fit each other");
    refused(&good, &|p| p.w.ty.shape = vec![8], "a side of the product is no matrix");
    refused(&good, &|p| p.w.ty.shape = vec![3, 3, 4], "shapes of the inputs cannot be broadcast to each other");
    refused(&good, &|p| p.result.quantization = None, "the result has no quantisation");
    refused(&Case { depth: 40_000, ..good.clone() }, &|_| (), "the sums of products may not fit 32 bits");
    let words = Case { element: I16, result: I16, ..good };
    refused(&words, &|p| p.x.ty.quantization = TensorType::quantized(I16, [], 1.0, 1).quantization, "zero point of the left side");
}
