//! Channels that leave: random graphs compute the same integers before and after, and no integer is outside of its interval.
//!
//! Not the arithmetic of operators, which has its own tests: both graphs are lowered and interpreted. The idea: weights, biases and zero points are such
//! that many channels are constant, saturated or not read, and inputs are the extremes that intervals are made of.

use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::channels::{Interval, Intervals};
use cranelite_graph::ops::{
    Op, Operand, Signature, add, average_pool_2d, concatenation, conv_2d, depthwise_conv_2d, fully_connected, hard_swish, leaky_relu,
    logistic, max_pool_2d, mean, mul, pad, quantize, relu, reshape, strided_slice, sub, transpose,
};
use cranelite_graph::rewrite::{self, PASSES, intervals};
use cranelite_graph::tensor::ElementType::{self, I8, I16, I32, I64, U8};
use cranelite_graph::tensor::{Quantization, TensorType};
use cranelite_graph::verify::verify;
use cranelite_tile::{ByteDot, Machine, interpret};
use std::sync::Arc;

#[allow(dead_code)]
#[path = "windows/support.rs"]
mod support;
use support::{integers, noise};

/// A graph in the making, and the numbers that decide about it.
struct Maker {
    graph: Graph,
    random: Vec<u64>,
    element: ElementType,
    /// Values that later nodes may read.
    images: Vec<ValueId>,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let random: Vec<u64> = noise(seed + 1, 60_000).collect();
        let mut m = Maker { graph: Graph { name: "channels".into(), ..Graph::default() }, random, element: I8, images: vec![] };
        m.element = m.pick(&[I8, I8, U8, I16]);
        let shape = [m.pick(&[1, 1, 2]), m.below(5) + 1, m.below(5) + 1, m.below(6) + 1];
        let ty = m.quantized(&shape);
        let x = m.graph.add_value(Value { name: "x".into(), ty, data: None });
        m.graph.inputs.push(x);
        m.images.push(x);
        for _ in 0..m.below(6) + 2 {
            m.node();
        }
        m.end();
        m
    }

    fn next(&mut self) -> u64 {
        self.random.pop().expect("enough numbers")
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    fn range(&self) -> Interval {
        Interval::of(self.element).expect("a quantised type")
    }

    fn quantized(&mut self, shape: &[usize]) -> TensorType {
        let Interval { low, high } = self.range();
        let zero = match self.element {
            I16 => 0,
            _ => match self.below(4) {
                0 | 1 => low,
                2 => high,
                _ => low + self.below(256) as i64,
            },
        };
        // With the last sums grow beyond 32 bits.
        let scale = if self.one_in(20) { 1e-6 } else { self.pick(&[0.02f32, 0.05, 0.11]) };
        let scale = scale * if self.element == I16 { 0.01 } else { 1.0 };
        TensorType::quantized(self.element, shape, scale, zero)
    }

    fn constant(&mut self, ty: TensorType, numbers: Vec<i64>) -> ValueId {
        let data = ty.element.integer_bytes(numbers);
        self.graph.add_value(Value { name: "constant".into(), ty, data: Some(data.into()) })
    }

    /// Adds a node if its operands fit, and says what it computes.
    fn add(&mut self, op: Op, inputs: Vec<Option<ValueId>>, ty: TensorType) -> Option<ValueId> {
        let operand = |v: ValueId| Operand { ty: self.graph.ty(v), data: self.graph.value(v).data.as_deref() };
        let signature = Signature { inputs: inputs.iter().map(|v| v.map(operand)).collect(), outputs: vec![&ty] };
        let shape = op.infer(&signature).ok()?.remove(0);
        if shape.contains(&0) || 4000 < shape.iter().product::<usize>() {
            return None;
        }
        let y = self.graph.add_value(Value { name: "y".into(), ty: TensorType { shape, ..ty }, data: None });
        let operator = self.graph.nodes.len() as u32;
        self.graph.nodes.push(Node { op, inputs, outputs: vec![y], operator, then: vec![] });
        // What cannot be lowered alone is none of ours.
        if lower(&self.graph, &machines()[0], Goal::Speed).is_err() {
            self.graph.nodes.pop();
            return None;
        }
        self.images.push(y);
        Some(y)
    }

    fn image(&mut self) -> ValueId {
        // Mostly the last.
        let n = self.images.len();
        let back = if self.one_in(3) { self.below(n) } else { 0 };
        self.images[n - 1 - back]
    }

    fn activation(&mut self) -> Activation {
        self.pick(&[Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1])
    }

    fn padding(&mut self, most: usize) -> Padding {
        if self.one_in(2) {
            return Padding::default();
        }
        let mut side = || self.below(most + 1);
        Padding { top: side(), bottom: side(), left: side(), right: side() }
    }

    /// Weights of so many outputs, each with `size` of them, of which the columns repeat after `depth`.
    fn weights(&mut self, outputs: usize, size: usize, depth: usize) -> (Vec<Vec<i64>>, i64) {
        let zero = if self.element == U8 { self.below(256) as i64 } else { 0 };
        let columns: Vec<bool> = (0..depth).map(|_| self.one_in(5)).collect();
        // Zeros that are no zero points are weights.
        let in_columns = if self.one_in(3) { 0 } else { zero };
        let rows = (0..outputs).map(|_| {
            let kind = self.below(6);
            let number = |m: &mut Maker, i: usize| match (kind, columns[i % depth]) {
                (_, true) => in_columns,
                (0 | 1, _) => zero,
                (2, _) => (zero + m.below(3) as i64 - 1).clamp(if zero == 0 && m.element != U8 { -127 } else { 0 }, 255),
                _ if m.element == U8 => m.below(256) as i64,
                _ => m.below(255) as i64 - 127,
            };
            (0..size).map(|i| number(self, i)).collect()
        });
        (rows.collect(), zero)
    }

    fn bias(&mut self, channels: usize) -> Option<ValueId> {
        if self.one_in(5) {
            return None;
        }
        let element = if self.element == I16 && !self.one_in(3) { I64 } else { I32 };
        let numbers = (0..channels)
            .map(|_| match self.below(6) {
                0 => 0,
                1 => 1 << 24,
                2 => -(1 << 24),
                3 => self.below(1 << 16) as i64 - (1 << 15),
                _ => self.below(1 << 11) as i64 - (1 << 10),
            })
            .collect();
        let v = self.constant(TensorType::new(element, [channels]), numbers);
        Some(v)
    }

    fn weight_type(&mut self, shape: &[usize], axis: usize, zero: i64) -> TensorType {
        let element = if self.element == U8 { U8 } else { I8 };
        let mut ty = TensorType::quantized(element, shape, 0.02, zero);
        if self.element != U8 && self.one_in(2) {
            let scales = (0..shape[axis]).map(|_| self.pick(&[0.003f32, 0.01, 0.04])).collect::<Vec<_>>();
            ty.quantization = Some(Arc::new(Quantization { zero_points: vec![0; scales.len()], scales, axis }));
        }
        ty
    }

    fn node(&mut self) {
        let x = self.image();
        let (ty, Interval { low, high }) = (self.graph.ty(x).clone(), self.range());
        let [n, h, w, c] = ty.shape[..] else { return };
        match self.below(18) {
            0..=4 => {
                let many = if self.one_in(8) { 24 } else { 0 };
                let (outputs, filter) = (self.below(7) + 1 + many, [self.pick(&[1, 1, 2, 3]), self.pick(&[1, 1, 2, 3])]);
                let depth = if c % 2 == 0 && self.one_in(8) { c / 2 } else { c };
                let (rows, zero) = self.weights(outputs, filter[0] * filter[1] * depth, depth);
                let shape = [outputs, filter[0], filter[1], depth];
                let weights = self.weight_type(&shape, 0, zero);
                let weights = self.constant(weights, rows.concat());
                let (padding, bias, y) = (self.padding(filter[0].min(filter[1]) - 1), self.bias(outputs), self.quantized(&[]));
                let stride = [self.below(2) + 1, self.below(2) + 1];
                let op = Op::Conv2d(conv_2d::Attributes { stride, dilation: [1, 1], padding, activation: self.activation() });
                self.add(op, vec![Some(x), Some(weights), bias], y);
            }
            5..=7 => {
                let (multiplier, filter) = (self.pick(&[1, 1, 2]), [self.pick(&[1, 2, 3]), self.pick(&[1, 2, 3])]);
                let channels = c * multiplier;
                let (rows, zero) = self.weights(channels, filter[0] * filter[1], 1);
                let numbers = (0..filter[0] * filter[1]).flat_map(|t| rows.iter().map(move |r| r[t])).collect();
                let weights = self.weight_type(&[1, filter[0], filter[1], channels], 3, zero);
                let weights = self.constant(weights, numbers);
                let (padding, bias, y) = (self.padding(filter[0].min(filter[1]) - 1), self.bias(channels), self.quantized(&[]));
                let (stride, activation) = ([self.below(2) + 1, self.below(2) + 1], self.activation());
                let attributes =
                    depthwise_conv_2d::Attributes { stride, dilation: [1, 1], padding, depth_multiplier: multiplier, activation };
                self.add(Op::DepthwiseConv2d(attributes), vec![Some(x), Some(weights), bias], y);
            }
            8 => {
                let a = average_pool_2d::Attributes(cranelite_graph::lower::window::Pooling {
                    filter: [2, 2],
                    stride: [self.below(2) + 1, 1],
                    padding: self.padding(1),
                    activation: self.activation(),
                });
                let op = if self.one_in(2) { Op::MaxPool2d(max_pool_2d::Attributes(a.0)) } else { Op::AveragePool2d(a) };
                self.add(op, vec![Some(x)], ty);
            }
            9 | 10 => {
                let Some(other) = self.images.iter().rev().copied().find(|v| *v != x && self.graph.ty(*v).shape == ty.shape) else {
                    return;
                };
                let (y, activation) = (self.quantized(&[]), self.activation());
                let op = match self.below(3) {
                    0 => Op::Sub(sub::Attributes(cranelite_graph::ops::sums::Attributes { activation, pot_scale_int16: false })),
                    1 => Op::Mul(mul::Attributes { activation, pot_scale_int16: false }),
                    _ => Op::Add(add::Attributes(cranelite_graph::ops::sums::Attributes { activation, pot_scale_int16: false })),
                };
                self.add(op, vec![Some(x), Some(other)], y);
            }
            11 => {
                let other = self.quantized(&[c]);
                let zero = other.zero_point();
                let numbers =
                    (0..c).map(|_| if self.one_in(2) { zero } else { low + self.below((high - low + 1) as usize) as i64 }).collect();
                let other = self.constant(other, numbers);
                let (y, activation) = (self.quantized(&[]), self.activation());
                let op = match self.one_in(2) {
                    true => Op::Mul(mul::Attributes { activation, pot_scale_int16: false }),
                    false => Op::Add(add::Attributes(cranelite_graph::ops::sums::Attributes { activation, pot_scale_int16: false })),
                };
                self.add(op, vec![Some(x), Some(other)], y);
            }
            12 => {
                let mut y = self.quantized(&[]);
                let op = match self.below(9) {
                    0 => Op::Relu(relu::Attributes(cranelite_graph::ops::clips::Attributes {})),
                    1 => Op::Quantize(quantize::Attributes {}),
                    2 => Op::LeakyRelu(leaky_relu::Attributes { alpha: 0.25 }),
                    3 => Op::HardSwish(hard_swish::Attributes(cranelite_graph::ops::curves::Attributes {})),
                    4 => {
                        y = TensorType::quantized(
                            self.element,
                            [],
                            if self.element == I16 { 1.0 / 32768.0 } else { 1.0 / 256.0 },
                            if self.element == I16 { 0 } else { low },
                        );
                        Op::Logistic(logistic::Attributes(cranelite_graph::ops::curves::Attributes {}))
                    }
                    _ => {
                        let padding = self.padding(2);
                        Op::Pad(pad::Attributes {
                            before: vec![0, padding.top, padding.left, 0],
                            after: vec![0, padding.bottom, padding.right, 0],
                        })
                    }
                };
                let y = if matches!(op, Op::Pad(_)) { ty } else { y };
                self.add(op, vec![Some(x)], y);
            }
            13 => {
                let axis = self.pick(&[3, 3, 1]);
                let fits = |v: &ValueId| {
                    let other = self.graph.ty(*v);
                    other.rank() == 4 && (0..4).all(|d| d == axis || other.shape[d] == ty.shape[d]) && other.quantization == ty.quantization
                };
                let parts: Vec<Option<ValueId>> = self.images.iter().copied().filter(fits).take(3).map(Some).collect();
                self.add(Op::Concatenation(concatenation::Attributes { axis, activation: Activation::None }), parts, ty);
            }
            14 => {
                let shape = match self.below(3) {
                    0 => vec![n, 1, h * w, c],
                    1 => vec![n, h, 1, w * c],
                    _ => vec![n, h * w * c],
                };
                self.add(Op::Reshape(reshape::Attributes { shape, is_checked: false }), vec![Some(x)], ty);
            }
            _ => {
                let op = match self.below(3) {
                    0 => Op::Transpose(transpose::Attributes { order: vec![0, 2, 1, 3] }),
                    1 => {
                        let count = vec![n, h.div_ceil(2), w, c];
                        Op::StridedSlice(strided_slice::Attributes {
                            first: vec![0; 4],
                            stride: vec![1, 2, 1, 1],
                            shape: count.clone(),
                            count,
                        })
                    }
                    _ => Op::Mean(mean::Attributes(cranelite_graph::ops::reductions::Attributes { axes: vec![1, 2], keep_dims: true })),
                };
                let y = if matches!(op, Op::Mean(_)) { self.quantized(&[]) } else { ty };
                self.add(op, vec![Some(x)], y);
            }
        }
    }

    /// A product at the end, and sometimes something else to be seen.
    fn end(&mut self) {
        let x = *self.images.last().expect("an image");
        let ty = self.graph.ty(x).clone();
        let depth = match self.one_in(2) {
            true => *ty.shape.last().expect("a dimension"),
            false => ty.element_count() / ty.shape[0],
        };
        let outputs = self.below(4) + 1;
        let (rows, _) = self.weights(outputs, depth, depth);
        let zero = if self.element == U8 { 7 } else { 0 };
        let weights = self.weight_type(&[outputs, depth], 0, zero);
        let weights = self.constant(weights, rows.concat());
        let (bias, y) = (self.bias(outputs), self.quantized(&[]));
        let op = Op::FullyConnected(fully_connected::Attributes {
            activation: Activation::None,
            keep_num_dims: false,
            asymmetric_quantize_inputs: false,
        });
        let y = self.add(op, vec![Some(x), Some(weights), bias], y).unwrap_or(x);
        self.graph.outputs.push(y);
        if self.one_in(4) {
            let other = self.image();
            self.graph.outputs.push(other);
        }
        if self.graph.inputs.contains(&y) {
            self.graph.outputs.clear();
        }
    }
}

fn machines() -> [Machine; 3] {
    [
        Machine::example(32, ByteDot::S16S16, true, false),
        Machine::example(0, ByteDot::S16S16, false, false),
        Machine::example(64, ByteDot::U8S8, true, false),
    ]
}

fn results(graph: &Graph, inputs: &[Vec<u8>], machine: &Machine) -> Vec<Vec<u8>> {
    let program = lower(graph, machine, Goal::Speed).unwrap_or_else(|p| panic!("{p:?}"));
    cranelite_tile::verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}"));
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0; graph.ty(*v).size_bytes()]).collect();
    let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    interpret::run(&program, &inputs, &mut slices).unwrap_or_else(|e| panic!("{e}"));
    outputs
}

/// All that is lowest, all that is highest, both in turn, and noise.
fn inputs(ty: &TensorType, seed: u64) -> Vec<Vec<u8>> {
    let Interval { low, high } = Interval::of(ty.element).expect("a quantised type");
    let numbers = |f: &dyn Fn(usize, u64) -> i64| {
        let all: Vec<i64> = noise(seed, ty.element_count()).enumerate().map(|(i, n)| f(i, n)).collect();
        ty.element.integer_bytes(all)
    };
    vec![
        numbers(&|_, _| low),
        numbers(&|_, _| high),
        numbers(&|i, _| if i % 2 == 0 { low } else { high }),
        numbers(&|_, n| if n % 2 == 0 { low } else { high }),
        numbers(&|_, n| low + (n % (high - low + 1) as u64) as i64),
    ]
}

fn cases() -> u64 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1500)
}

#[test]
fn random_graphs_keep_their_integers() {
    let (mut channels, mut products) = (0, 0);
    for seed in 0..cases() {
        let mut before = Maker::new(seed).graph;
        if before.outputs.is_empty() {
            continue;
        }
        let (_, dead) = PASSES.iter().find(|p| p.0 == "dead").expect("a pass");
        dead(&mut before);
        verify(&before).unwrap_or_else(|e| panic!("{seed}: {e:?}"));
        let mut alone = before.clone();
        let (_, run) = PASSES.iter().find(|p| p.0 == "channels").expect("a pass");
        let changed = run(&mut alone);
        assert_eq!(changed, alone != before, "{seed}");
        verify(&alone).unwrap_or_else(|e| panic!("{seed}: {e:?}"));
        let mut with_others = before.clone();
        rewrite::all(&mut with_others, |_, _| {});
        let size = |g: &Graph| g.nodes.iter().map(|n| g.ty(n.outputs[0]).shape.last().copied().unwrap_or(1)).sum::<usize>();
        channels += size(&before) - size(&alone);
        products += usize::from(changed);
        for (i, x) in inputs(before.ty(before.inputs[0]), seed).into_iter().enumerate() {
            let machine = &machines()[(seed as usize + i) % 3];
            let want = results(&before, std::slice::from_ref(&x), machine);
            for after in [&alone, &with_others] {
                assert_eq!(want, results(after, std::slice::from_ref(&x), machine), "case {seed}, input {i}");
            }
        }
    }
    println!("{channels} channels of {products} graphs have left");
    assert!(cases() < 1000 || cases() < channels as u64 && cases() / 4 < products as u64, "{channels} channels, {products} graphs");
}

#[test]
fn no_integer_is_outside() {
    let mut narrow = 0;
    for seed in 0..cases() {
        let graph = Maker::new(seed).graph;
        let mut all = Graph { outputs: graph.nodes.iter().map(|n| n.outputs[0]).collect(), ..graph.clone() };
        all.outputs.sort();
        all.outputs.dedup();
        let known = intervals::of(&graph, &vec![true; graph.values.len()]);
        for (i, x) in inputs(graph.ty(graph.inputs[0]), seed).into_iter().enumerate() {
            let results = results(&all, &[x], &machines()[i % 2]);
            for (v, data) in all.outputs.iter().zip(&results) {
                let (ty, known) = (graph.ty(*v), known[v.0 as usize].as_ref().expect("an interval"));
                narrow += usize::from(i == 0 && *known != Intervals::All(Interval::of(ty.element).expect("a quantised type")));
                let channels = ty.shape.last().copied().unwrap_or(1);
                for (at, n) in integers(ty, data).into_iter().enumerate() {
                    let Interval { low, high } = known.at(at % channels);
                    assert!((low..=high).contains(&n), "case {seed}, input {i}, %{}: {n} at {at} is not in {low}..={high}", v.0);
                }
            }
        }
    }
    assert!(cases() < 1000 || cases() < narrow as u64, "{narrow}");
}

/// Of one product whose window is the whole image: each output channel has an input with which it is as small, or as large, as its interval says.
#[test]
fn products_reach_the_ends_of_their_intervals() {
    let mut inner = 0;
    for seed in 0..1000 {
        let mut m = Maker::new(seed);
        let element = m.element;
        let (h, w, c, outputs) = (m.below(3) + 1, m.below(3) + 1, m.below(4) + 1, m.below(4) + 1);
        m.graph = Graph { name: "product".into(), ..Graph::default() };
        m.images.clear();
        let ty = m.quantized(&[1, h, w, c]);
        let x = m.graph.add_value(Value { name: "x".into(), ty, data: None });
        m.graph.inputs.push(x);
        let y = m.quantized(&[]);
        let (activation, is_depthwise) = (m.activation(), m.one_in(3));
        let (channels, size) = if is_depthwise { (c, h * w) } else { (outputs, h * w * c) };
        let (rows, zero) = m.weights(channels, size, size);
        let (bias, shape) = (m.bias(channels), if is_depthwise { [1, h, w, c] } else { [channels, h, w, c] });
        let weights = m.weight_type(&shape, if is_depthwise { 3 } else { 0 }, zero);
        let numbers = match is_depthwise {
            true => (0..size).flat_map(|t| rows.iter().map(move |r| r[t])).collect(),
            false => rows.concat(),
        };
        let weights = m.constant(weights, numbers);
        let (stride, dilation, padding) = ([1, 1], [1, 1], Padding::default());
        let op = match is_depthwise {
            true => Op::DepthwiseConv2d(depthwise_conv_2d::Attributes { stride, dilation, padding, depth_multiplier: 1, activation }),
            false if m.one_in(2) => {
                Op::FullyConnected(fully_connected::Attributes { activation, keep_num_dims: false, asymmetric_quantize_inputs: false })
            }
            false => Op::Conv2d(conv_2d::Attributes { stride, dilation, padding, activation }),
        };
        if matches!(op, Op::FullyConnected(_)) {
            m.graph.value_mut(weights).ty.shape = vec![channels, size];
        }
        // Of sums that may overflow nothing is said.
        let Some(y) = m.add(op, vec![Some(x), Some(weights), bias], y).filter(|y| m.graph.ty(*y).scale() > Some(1e-5)) else { continue };
        m.graph.outputs.push(y);
        let known = intervals::of(&m.graph, &vec![true; m.graph.values.len()]);
        let (known, Interval { low, high }) = (known[y.0 as usize].as_ref().expect("an interval"), m.range());
        for (channel, row) in rows.iter().enumerate() {
            let extreme = |largest: bool| {
                let number = |i: usize| {
                    let weight = match is_depthwise {
                        true if i % c != channel => zero,
                        true => row[i / c],
                        false => row[i],
                    };
                    if (zero < weight) == largest { high } else { low }
                };
                let data = element.integer_bytes((0..h * w * c).map(number));
                integers(m.graph.ty(y), &results(&m.graph, &[data], &machines()[0])[0])[channel]
            };
            let reached = Interval::new(extreme(false), extreme(true));
            assert_eq!(reached, known.at(channel), "case {seed}, channel {channel} of {:?}", m.graph.nodes[0].op);
            inner += usize::from(low < reached.low && reached.high < high && reached.point().is_none());
        }
    }
    assert!(100 < inner, "{inner} intervals have both ends inside of their type");
}
