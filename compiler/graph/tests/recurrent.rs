//! Recurrent operators, checked against plain loops on machines of all kinds: states over several invocations, sequences of any length, cells
//! that fill no vectors.

use cranelite_graph::graph::{Graph, Node, Origin, State, Value, ValueId};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::attributes::Curve;
use cranelite_graph::ops::{self, Op, Operand, Signature};
use cranelite_graph::quantize::{
    fixed_point_16, multiply_by_quantized_multiplier, quantize_multiplier, reciprocal_root, rounding_divide_by_pot,
};
use cranelite_graph::tensor::ElementType::{F32, I8, I16, I32, U8};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use cranelite_tile::{ByteDot, Machine, Program, Step, interpret, verify};
use std::sync::Arc;

fn machines() -> Vec<Machine> {
    vec![
        Machine::example(0, ByteDot::S16S16, false, false),
        Machine::example(16, ByteDot::S8S8, true, true),
        Machine::example(32, ByteDot::S16S16, true, false),
        Machine::example(64, ByteDot::U8S8, true, false),
    ]
}

/// Numbers that look random.
struct Source(u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| (self.next() % 2001) as f32 / 1000.0 * size - size).collect()
    }
    fn integers(&mut self, n: usize, low: i32, high: i32) -> Vec<i32> {
        (0..n).map(|_| low + (self.next() % (high - low + 1) as u64) as i32).collect()
    }
}

fn quantized(element: ElementType, shape: &[usize], scale: f32, zero_point: i64) -> TensorType {
    let q = Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 };
    TensorType { quantization: Some(Arc::new(q)), ..TensorType::new(element, shape) }
}

fn bytes(element: ElementType, v: &[i32]) -> Vec<u8> {
    match element {
        I8 | U8 => v.iter().map(|&v| v as u8).collect(),
        I16 => v.iter().flat_map(|&v| (v as i16).to_le_bytes()).collect(),
        _ => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn f32_bytes(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn f32s(v: &[u8]) -> Vec<f32> {
    v.chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect()
}

/// A graph of one node.
#[derive(Default)]
struct Maker {
    graph: Graph,
    inputs: Vec<Option<ValueId>>,
}

impl Maker {
    fn value(&mut self, ty: TensorType, data: Option<Vec<u8>>) -> ValueId {
        let id = self.graph.add_value(Value { name: "v".into(), ty, data: data.map(Into::into) });
        self.inputs.push(Some(id));
        id
    }
    fn input(&mut self, ty: TensorType) {
        let id = self.value(ty, None);
        self.graph.inputs.push(id);
    }
    fn floats(&mut self, shape: &[usize], v: &[f32]) {
        self.value(TensorType::new(F32, shape), Some(f32_bytes(v)));
    }
    fn integers(&mut self, ty: TensorType, v: &[i32]) {
        let data = bytes(ty.element, v);
        self.value(ty, Some(data));
    }
    fn state(&mut self, ty: TensorType) {
        let zero = if ty.element == I8 { ty.zero_point() as u8 } else { 0 };
        let initial = (zero != 0).then(|| vec![zero; ty.size_bytes()].into());
        let value = self.value(ty, None);
        self.graph.states.push(State { value, initial, origin: Origin::Tensor(0, value.0) });
    }
    fn absent(&mut self) {
        self.inputs.push(None);
    }
    /// An optional float constant.
    fn optional(&mut self, shape: &[usize], v: Option<&[f32]>) {
        match v {
            Some(v) => self.floats(shape, v),
            None => self.absent(),
        }
    }

    /// What `infer` says is wrong, or the graph.
    fn finish(mut self, op: Op, outputs: &[TensorType]) -> Result<Graph, String> {
        let operand = |v: &Option<ValueId>| v.map(|v| Operand { ty: self.graph.ty(v), data: self.graph.value(v).data.as_deref() });
        let signature = Signature { inputs: self.inputs.iter().map(operand).collect(), outputs: outputs.iter().collect() };
        let shapes = op.infer(&signature).map_err(|d| format!("{} {}", d.code.0, d.message))?;
        for (ty, shape) in outputs.iter().zip(shapes) {
            let id = self.graph.add_value(Value { name: "y".into(), ty: TensorType { shape, ..ty.clone() }, data: None });
            self.graph.outputs.push(id);
        }
        let node = Node { op, inputs: self.inputs, outputs: self.graph.outputs.clone(), operator: 0, then: vec![] };
        self.graph.nodes.push(node);
        cranelite_graph::verify::verify(&self.graph).unwrap();
        Ok(self.graph)
    }
}

fn lowered(graph: &Graph, machine: &Machine, goal: Goal) -> Program {
    let program = lower(graph, machine, goal).unwrap_or_else(|d| panic!("{}", d[0]));
    verify::verify(&program).unwrap_or_else(|e| panic!("{}\n{}", e[0], cranelite_tile::text::display(&program)));
    program
}

/// The first results of invocations with these inputs, one after the other, on every machine.
fn invoke(graph: &Graph, inputs: &[Vec<u8>], mut look: impl FnMut(&str, usize, &[Vec<u8>])) {
    for machine in machines() {
        for goal in [Goal::Speed, Goal::Size] {
            let program = lowered(graph, &machine, goal);
            let mut state = program.state().unwrap().initial;
            for (i, input) in inputs.iter().enumerate() {
                let mut results: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0xAA; graph.ty(*v).size_bytes()]).collect();
                let mut slices: Vec<&mut [u8]> = results.iter_mut().map(|r| &mut r[..]).collect();
                interpret::run_with_state(&program, &[input], &mut slices, &mut state, |_, _| {}).unwrap();
                look(&machine.name, i, &results);
            }
        }
    }
}

fn close(what: &str, found: &[u8], wanted: &[f32], tolerance: f32) {
    for (i, (f, w)) in f32s(found).iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance, "{what}: {f} at {i} instead of {w}");
    }
}

/// An LSTM.
#[derive(Clone, Copy, Debug)]
struct Shape {
    steps: usize,
    batch: usize,
    inputs: usize,
    cells: usize,
    outputs: usize,
    input_gate: bool,
    peepholes: bool,
    norms: bool,
    time_major: bool,
    cell_clip: f32,
    proj_clip: f32,
}

const PLAIN: Shape = Shape {
    steps: 3,
    batch: 1,
    inputs: 5,
    cells: 7,
    outputs: 7,
    input_gate: true,
    peepholes: false,
    norms: false,
    time_major: false,
    cell_clip: 0.0,
    proj_clip: 0.0,
};

fn shapes() -> Vec<Shape> {
    vec![
        PLAIN,
        Shape { steps: 1, inputs: 1, cells: 1, outputs: 1, ..PLAIN },
        Shape { steps: 2, batch: 3, cells: 19, outputs: 19, ..PLAIN },
        Shape { batch: 2, time_major: true, cells: 33, outputs: 33, peepholes: true, cell_clip: 0.4, ..PLAIN },
        Shape { batch: 2, cells: 16, outputs: 6, proj_clip: 0.2, ..PLAIN },
        Shape { batch: 2, input_gate: false, cells: 8, outputs: 8, peepholes: true, ..PLAIN },
        Shape { batch: 2, norms: true, cells: 21, outputs: 21, ..PLAIN },
        Shape { norms: true, input_gate: false, peepholes: true, cells: 17, outputs: 17, ..PLAIN },
        Shape { steps: 5, batch: 2, norms: true, cells: 9, outputs: 9, cell_clip: 0.3, time_major: true, ..PLAIN },
    ]
}

impl Shape {
    fn has_projection(&self) -> bool {
        self.cells != self.outputs
    }
    fn input_shape(&self) -> [usize; 3] {
        if self.time_major { [self.steps, self.batch, self.inputs] } else { [self.batch, self.steps, self.inputs] }
    }
    /// Where the row of a step is, in rows.
    fn row(&self, step: usize, b: usize) -> usize {
        if self.time_major { step * self.batch + b } else { b * self.steps + step }
    }
    fn gates(&self) -> std::ops::Range<usize> {
        if self.input_gate { 0..4 } else { 1..4 }
    }
    fn op(&self, inner_scales: &[f32], inner_zero_points: &[i64]) -> Op {
        Op::UnidirectionalSequenceLstm(ops::unidirectional_sequence_lstm::Attributes {
            activation: Curve::Tanh,
            cell_clip: self.cell_clip,
            proj_clip: self.proj_clip,
            time_major: self.time_major,
            asymmetric_quantize_inputs: false,
            inner_scales: inner_scales.to_vec(),
            inner_zero_points: inner_zero_points.to_vec(),
        })
    }
}

/// Weights of every gate, or of every gate but the cell's, or none.
struct Floats {
    input: Vec<Vec<f32>>,
    recurrent: Vec<Vec<f32>>,
    peephole: Vec<Vec<f32>>,
    bias: Vec<Vec<f32>>,
    norm: Vec<Vec<f32>>,
    projection: Vec<f32>,
    projection_bias: Vec<f32>,
}

impl Floats {
    fn new(s: &Shape, source: &mut Source) -> Floats {
        let mut each = |n: usize, size: f32| (0..4).map(|_| source.floats(n, size)).collect::<Vec<_>>();
        Floats {
            input: each(s.cells * s.inputs, 0.7),
            recurrent: each(s.cells * s.outputs, 0.5),
            peephole: each(s.cells, 0.5),
            bias: each(s.cells, 0.3),
            norm: each(s.cells, 1.0),
            projection: source.floats(s.outputs * s.cells, 0.6),
            projection_bias: source.floats(s.outputs, 0.1),
        }
    }

    fn graph(&self, s: &Shape) -> Graph {
        let mut m = Maker::default();
        m.input(TensorType::new(F32, s.input_shape()));
        let given = |gate: usize| s.gates().contains(&gate);
        for g in 0..4 {
            m.optional(&[s.cells, s.inputs], given(g).then_some(&self.input[g]));
        }
        for g in 0..4 {
            m.optional(&[s.cells, s.outputs], given(g).then_some(&self.recurrent[g]));
        }
        for g in [0, 1, 3] {
            m.optional(&[s.cells], (given(g) && s.peepholes).then_some(&self.peephole[g]));
        }
        for g in 0..4 {
            m.optional(&[s.cells], given(g).then_some(&self.bias[g]));
        }
        m.optional(&[s.outputs, s.cells], s.has_projection().then_some(&self.projection));
        m.optional(&[s.outputs], s.has_projection().then_some(&self.projection_bias));
        m.state(TensorType::new(F32, [s.batch, s.outputs]));
        m.state(TensorType::new(F32, [s.batch, s.cells]));
        for g in 0..4 {
            m.optional(&[s.cells], (given(g) && s.norms).then_some(&self.norm[g]));
        }
        m.finish(s.op(&[], &[]), &[TensorType::new(F32, [])]).unwrap()
    }

    /// One invocation of a plain loop.
    fn run(&self, s: &Shape, x: &[f32], h: &mut [f32], c: &mut [f32]) -> Vec<f32> {
        let mut y = vec![0.0; s.steps * s.batch * s.outputs];
        for (step, b) in (0..s.steps).flat_map(|t| (0..s.batch).map(move |b| (t, b))) {
            let x = &x[s.row(step, b) * s.inputs..][..s.inputs];
            let (h, c) = (&mut h[b * s.outputs..][..s.outputs], &mut c[b * s.cells..][..s.cells]);
            let sums = |g: usize, h: &[f32], c: &[f32]| -> Vec<f32> {
                let dot = |w: &[f32], v: &[f32]| w.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
                let mut all: Vec<f32> = (0..s.cells)
                    .map(|i| {
                        let peephole = if s.peepholes && g != 2 { self.peephole[g][i] * c[i] } else { 0.0 };
                        dot(&self.input[g][i * s.inputs..][..s.inputs], x)
                            + dot(&self.recurrent[g][i * s.outputs..][..s.outputs], h)
                            + peephole
                    })
                    .collect();
                if s.norms {
                    let mean = all.iter().sum::<f32>() / s.cells as f32;
                    let variance = all.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / s.cells as f32;
                    all.iter_mut().zip(&self.norm[g]).for_each(|(v, w)| *v = (*v - mean) / (variance + 1e-8).sqrt() * w);
                }
                all.iter().zip(&self.bias[g]).map(|(v, b)| v + b).collect()
            };
            let logistic = |v: f32| 1.0 / (1.0 + libm::expf(-v));
            let clip = |v: f32, limit: f32| if 0.0 < limit { v.clamp(-limit, limit) } else { v };
            let [input, forget, new] = [0, 1, 2].map(|g| sums(g, h, c));
            for i in 0..s.cells {
                let f = logistic(forget[i]);
                let open = if s.input_gate { logistic(input[i]) } else { 1.0 - f };
                c[i] = clip(f * c[i] + open * libm::tanhf(new[i]), s.cell_clip);
            }
            let out = sums(3, h, c);
            let hidden: Vec<f32> = out.iter().zip(&*c).map(|(o, c)| logistic(*o) * libm::tanhf(*c)).collect();
            match s.has_projection() {
                true => {
                    for (o, h) in h.iter_mut().enumerate() {
                        let sum: f32 = self.projection[o * s.cells..][..s.cells].iter().zip(&hidden).map(|(a, b)| a * b).sum();
                        *h = clip(sum + self.projection_bias[o], s.proj_clip);
                    }
                }
                false => h.copy_from_slice(&hidden),
            }
            y[s.row(step, b) * s.outputs..][..s.outputs].copy_from_slice(h);
        }
        y
    }
}

#[test]
fn lstm_of_floats() {
    let mut source = Source(1);
    for s in shapes() {
        let weights = Floats::new(&s, &mut source);
        let graph = weights.graph(&s);
        let inputs: Vec<Vec<f32>> = (0..3).map(|_| source.floats(s.steps * s.batch * s.inputs, 1.0)).collect();
        let (mut h, mut c) = (vec![0.0; s.batch * s.outputs], vec![0.0; s.batch * s.cells]);
        let wanted: Vec<Vec<f32>> = inputs.iter().map(|x| weights.run(&s, x, &mut h, &mut c)).collect();
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|x| f32_bytes(x)).collect();
        invoke(&graph, &inputs, |m, i, y| close(&format!("{s:?}, invocation {i} on {m}"), &y[0], &wanted[i], 2e-5));
    }
}

/// Whole numbers that stand for an LSTM: weights of i8, a memory of i16.
struct Integers {
    input: Vec<Vec<i32>>,
    recurrent: Vec<Vec<i32>>,
    peephole: Vec<Vec<i32>>,
    bias: Vec<Vec<i32>>,
    norm: Vec<Vec<i32>>,
    projection: Vec<i32>,
    projection_bias: Vec<i32>,
}

const INPUT: (f32, i64) = (0.011, -5);
const OUTPUT: (f32, i64) = (0.0085, 9);
const HIDDEN: (f32, i64) = (0.0077, -7);
const WEIGHT: f32 = 0.0061;
const PEEPHOLE: f32 = 2.5e-5;
const NORM: f32 = 4e-5;
const CELL_LOG2: i32 = -12;

impl Integers {
    fn new(s: &Shape, source: &mut Source) -> Integers {
        let mut each = |n: usize, most: i32| (0..4).map(|_| source.integers(n, -most, most)).collect::<Vec<_>>();
        Integers {
            input: each(s.cells * s.inputs, 127),
            recurrent: each(s.cells * s.outputs, 127),
            peephole: each(s.cells, 32767),
            bias: each(s.cells, 5000),
            norm: each(s.cells, 32767),
            projection: source.integers(s.outputs * s.cells, -127, 127),
            projection_bias: source.integers(s.outputs, -1000, 1000),
        }
    }

    fn inner(&self, s: &Shape) -> ([f32; 5], [i64; 5]) {
        let gate = if s.norms { 0.004 } else { 0.0 };
        let hidden = if s.has_projection() { HIDDEN } else { OUTPUT };
        ([gate, gate, gate, gate, hidden.0], [0, 0, 0, 0, hidden.1])
    }

    fn graph(&self, s: &Shape) -> Graph {
        let mut m = Maker::default();
        m.input(quantized(I8, &s.input_shape(), INPUT.0, INPUT.1));
        let given = |gate: usize| s.gates().contains(&gate);
        let mut optional = |ty: TensorType, v: Option<&Vec<i32>>| match v {
            Some(v) => m.integers(ty, v),
            None => m.absent(),
        };
        for g in 0..4 {
            optional(quantized(I8, &[s.cells, s.inputs], WEIGHT, 0), given(g).then_some(&self.input[g]));
        }
        for g in 0..4 {
            optional(quantized(I8, &[s.cells, s.outputs], WEIGHT, 0), given(g).then_some(&self.recurrent[g]));
        }
        for g in [0, 1, 3] {
            optional(quantized(I16, &[s.cells], PEEPHOLE, 0), (given(g) && s.peepholes).then_some(&self.peephole[g]));
        }
        for g in 0..4 {
            optional(TensorType::new(I32, [s.cells]), given(g).then_some(&self.bias[g]));
        }
        optional(quantized(I8, &[s.outputs, s.cells], WEIGHT, 0), s.has_projection().then_some(&self.projection));
        optional(TensorType::new(I32, [s.outputs]), s.has_projection().then_some(&self.projection_bias));
        m.state(quantized(I8, &[s.batch, s.outputs], OUTPUT.0, OUTPUT.1));
        m.state(quantized(I16, &[s.batch, s.cells], libm::exp2f(CELL_LOG2 as f32), 0));
        for g in 0..4 {
            match given(g) && s.norms {
                true => m.integers(quantized(I16, &[s.cells], NORM, 0), &self.norm[g]),
                false => m.absent(),
            }
        }
        let (scales, zero_points) = self.inner(s);
        m.finish(s.op(&scales, &zero_points), &[quantized(I8, &[], OUTPUT.0, OUTPUT.1)]).unwrap()
    }

    fn run(&self, s: &Shape, x: &[i32], h: &mut [i32], c: &mut [i32]) -> Vec<i32> {
        let (inner, _) = self.inner(s);
        let times = |v: i32, scale: f64| {
            let (m, shift) = quantize_multiplier(scale);
            multiply_by_quantized_multiplier(v, m, shift)
        };
        let short = |v: i32| v.clamp(-32768, 32767);
        let mut y = vec![0; s.steps * s.batch * s.outputs];
        for (step, b) in (0..s.steps).flat_map(|t| (0..s.batch).map(move |b| (t, b))) {
            let x = &x[s.row(step, b) * s.inputs..][..s.inputs];
            let (h, c) = (&mut h[b * s.outputs..][..s.outputs], &mut c[b * s.cells..][..s.cells]);
            let gate = |g: usize, h: &[i32], c: &[i32]| -> Vec<i32> {
                let unit = if s.norms { inner[g] } else { libm::exp2f(-12.0) };
                let dot = |w: &[i32], v: &[i32], zero: i64| w.iter().zip(v).map(|(a, b)| a * (b - zero as i32)).sum::<i32>();
                let mut all: Vec<i32> = (0..s.cells)
                    .map(|i| {
                        let bias = if s.norms { 0 } else { self.bias[g][i] };
                        let a = bias + dot(&self.input[g][i * s.inputs..][..s.inputs], x, INPUT.1);
                        let r = dot(&self.recurrent[g][i * s.outputs..][..s.outputs], h, OUTPUT.1);
                        let mut sum = short(times(a, (WEIGHT * INPUT.0 / unit).into()));
                        sum = short(sum + times(r, (WEIGHT * OUTPUT.0 / unit).into()));
                        if s.peepholes && g != 2 {
                            let scale = (libm::exp2(CELL_LOG2.into()) * f64::from(PEEPHOLE) / f64::from(unit)) as f32;
                            sum = short(sum + times(self.peephole[g][i] * c[i], scale.into()));
                        }
                        sum
                    })
                    .collect();
                if s.norms {
                    let n = s.cells as i64;
                    let (sum, squares) = all.iter().fold((0i64, 0i64), |(s, q), &v| (s + i64::from(v), q + i64::from(v * v)));
                    let mean = (sum * 1024 / n) as i32;
                    let variance = squares * ((1 << 20) / n) - i64::from(mean) * i64::from(mean);
                    let mut variance = (variance / (1 << 20)) as i32;
                    if variance < 1 {
                        variance = ((10000.0 * NORM) as i32).max(1);
                    }
                    let (m, shift) = reciprocal_root(variance);
                    let (scale, scale_shift) = quantize_multiplier(NORM.into());
                    for (i, v) in all.iter_mut().enumerate() {
                        let scaled = multiply_by_quantized_multiplier(1024 * *v - mean, m, shift);
                        let sum = i64::from(scaled.wrapping_mul(self.norm[g][i]).wrapping_add(self.bias[g][i]));
                        let sum = ((if sum > 0 { sum + 512 } else { sum - 512 }) / 1024) as i32;
                        *v = short(multiply_by_quantized_multiplier(sum, scale, scale_shift + 12));
                    }
                }
                let curve = |v: i32| if g == 2 { fixed_point_16::tanh(v as i16, 3) } else { fixed_point_16::logistic(v as i16) };
                all.into_iter().map(|v| curve(v).into()).collect()
            };
            let [input, forget, new] = [0, 1, 2].map(|g| gate(g, h, c));
            for i in 0..s.cells {
                let open = if s.input_gate { input[i] } else { 32767 - forget[i] };
                let kept = rounding_divide_by_pot(forget[i] * c[i], 15);
                c[i] = short(kept + rounding_divide_by_pot(open * new[i], 30 + CELL_LOG2));
                if 0.0 < s.cell_clip {
                    let limit = (s.cell_clip / libm::exp2f(CELL_LOG2 as f32)) as i32;
                    c[i] = c[i].clamp(-limit, limit);
                }
            }
            let out = gate(3, h, c);
            let hidden = if s.has_projection() { HIDDEN } else { OUTPUT };
            let scale = (libm::exp2(-15.0) / f64::from(hidden.0) * libm::exp2(-15.0)) as f32;
            let sign = if s.has_projection() { -1 } else { 1 };
            let hidden: Vec<i32> = (0..s.cells)
                .map(|i| {
                    let curve = i32::from(fixed_point_16::tanh(c[i] as i16, (15 + CELL_LOG2) as u32));
                    (times(out[i] * curve, scale.into()) + sign * hidden.1 as i32).clamp(-128, 127)
                })
                .collect();
            match s.has_projection() {
                true => {
                    for (o, h) in h.iter_mut().enumerate() {
                        let row = &self.projection[o * s.cells..][..s.cells];
                        let sum: i32 = row.iter().zip(&hidden).map(|(a, b)| a * (b + HIDDEN.1 as i32)).sum();
                        let v = times(sum + self.projection_bias[o], (WEIGHT * HIDDEN.0 / OUTPUT.0).into()) + OUTPUT.1 as i32;
                        *h = v.clamp(-128, 127);
                        if 0.0 < s.proj_clip {
                            let limit = (s.proj_clip / OUTPUT.0) as i32;
                            *h = (*h).clamp(-limit, limit);
                        }
                    }
                }
                false => h.copy_from_slice(&hidden),
            }
            y[s.row(step, b) * s.outputs..][..s.outputs].copy_from_slice(h);
        }
        y
    }
}

#[test]
fn lstm_of_integers() {
    let mut source = Source(2);
    for s in shapes() {
        let weights = Integers::new(&s, &mut source);
        let graph = weights.graph(&s);
        let inputs: Vec<Vec<i32>> = (0..3).map(|_| source.integers(s.steps * s.batch * s.inputs, -128, 127)).collect();
        let (mut h, mut c) = (vec![OUTPUT.1 as i32; s.batch * s.outputs], vec![0; s.batch * s.cells]);
        let wanted: Vec<Vec<u8>> = inputs.iter().map(|x| bytes(I8, &weights.run(&s, x, &mut h, &mut c))).collect();
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|x| bytes(I8, x)).collect();
        if !(s.has_projection() && s.peepholes) {
            invoke(&graph, &inputs, |m, i, y| assert_eq!(y[0], wanted[i], "{s:?}, invocation {i} on {m}"));
        }
    }
}

/// However long the sequence is, kernels and calls are the same; what differs is how often they are repeated, and in batches the distance of rows,
/// which of a single step are one after the other.
#[test]
fn code_is_the_same_for_any_number_of_steps() {
    let mut source = Source(3);
    for (batch, few) in [(1, 1), (2, 2)] {
        let of = |source: &mut Source, steps: usize| {
            let s = Shape { steps, batch, cells: 20, outputs: 20, ..PLAIN };
            let all = [Floats::new(&s, source).graph(&s), Integers::new(&s, source).graph(&s)];
            machines().iter().flat_map(|m| all.iter().map(|g| lowered(g, m, Goal::Speed)).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let (one, many) = (of(&mut source, few), of(&mut source, 49));
        for (one, many) in one.iter().zip(&many) {
            assert!(one.kernels == many.kernels, "kernels for a batch of {batch}");
            let calls = |p: &Program| p.calls().map(|c| (c.kernel, c.advance.clone())).collect::<Vec<_>>();
            assert_eq!(calls(one), calls(many));
            let repeated = |p: &Program| match p.schedule[..] {
                [Step::Repeat { count, .. }] => count,
                _ => 0,
            };
            assert_eq!((repeated(one), repeated(many)), (few as u64, 49));
        }
    }
}

/// Plain loops of an RNN over a sequence, in rows from a place on.
#[allow(clippy::too_many_arguments)]
fn rnn(
    s: &Shape,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    h: &mut [f32],
    backward: bool,
    y: &mut [f32],
    (row, first): (usize, usize),
) {
    let units = s.cells;
    for (step, b) in (0..s.steps).flat_map(|t| (0..s.batch).map(move |b| (t, b))) {
        let at = s.row(if backward { s.steps - 1 - step } else { step }, b);
        let (x, h) = (&x[at * s.inputs..][..s.inputs], &mut h[b * units..][..units]);
        let dot = |w: &[f32], v: &[f32]| w.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
        let new: Vec<f32> =
            (0..units).map(|i| libm::tanhf(dot(&w[i * s.inputs..][..s.inputs], x) + dot(&r[i * units..][..units], h) + bias[i])).collect();
        h.copy_from_slice(&new);
        y[at * row + first..][..units].copy_from_slice(&new);
    }
}

/// Both directions of an RNN, in `calls` invocations; weights are as `weights` gives them: so many, of at most that size.
fn both_directions(
    source: &mut Source,
    s: &Shape,
    merge_outputs: bool,
    calls: usize,
    weights: impl Fn(&mut Source, usize, f32) -> Vec<f32>,
) {
    let (batch, units) = (s.batch, s.cells);
    let w = [0, 1].map(|_| [weights(source, units * s.inputs, 0.8), weights(source, units * units, 0.5), source.floats(units, 0.3)]);
    let mut m = Maker::default();
    m.input(TensorType::new(F32, s.input_shape()));
    for [input, recurrent, bias] in &w {
        m.floats(&[units, s.inputs], input);
        m.floats(&[units, units], recurrent);
        m.floats(&[units], bias);
        m.state(TensorType::new(F32, [batch, units]));
    }
    (0..3).for_each(|_| m.absent());
    let op = Op::BidirectionalSequenceRnn(ops::bidirectional_sequence_rnn::Attributes {
        activation: Curve::Tanh,
        time_major: s.time_major,
        merge_outputs,
        asymmetric_quantize_inputs: false,
    });
    let y = TensorType::new(F32, []);
    let graph = m.finish(op, &if merge_outputs { vec![y] } else { vec![y.clone(), y] }).unwrap();
    let inputs: Vec<Vec<f32>> = (0..calls).map(|_| source.floats(s.steps * batch * s.inputs, 1.0)).collect();
    let mut h = [vec![0.0; batch * units], vec![0.0; batch * units]];
    let wanted: Vec<Vec<Vec<f32>>> = inputs
        .iter()
        .map(|x| {
            let row = if merge_outputs { 2 * units } else { units };
            let mut y = vec![vec![0.0; s.steps * batch * row]; if merge_outputs { 1 } else { 2 }];
            for (i, [w, r, b]) in w.iter().enumerate() {
                let (to, first) = if merge_outputs { (0, i * units) } else { (i, 0) };
                rnn(s, w, r, b, x, &mut h[i], i == 1, &mut y[to], (row, first));
            }
            y
        })
        .collect();
    let inputs: Vec<Vec<u8>> = inputs.iter().map(|x| f32_bytes(x)).collect();
    invoke(&graph, &inputs, |m, i, y| {
        y.iter().zip(&wanted[i]).for_each(|(y, wanted)| close(&format!("{s:?}, invocation {i} on {m}"), y, wanted, 1e-5));
    });
}

#[test]
fn rnn_in_both_directions() {
    let mut source = Source(4);
    for (batch, time_major, merge_outputs, units) in [(1, false, true, 1), (2, false, true, 9), (3, true, false, 20), (2, false, false, 4)]
    {
        let s = Shape { batch, time_major, cells: units, outputs: units, ..PLAIN };
        both_directions(&mut source, &s, merge_outputs, 2, Source::floats);
    }
}

/// Products that are loops of their own elsewhere: many rows, and weights that are mostly zeros.
#[test]
fn rnn_of_sparse_weights() {
    let s = Shape { steps: 3, batch: 80, inputs: 64, time_major: true, cells: 64, outputs: 64, ..PLAIN };
    both_directions(&mut Source(6), &s, false, 1, |source, count, most| {
        source.floats(count, most).into_iter().enumerate().map(|(i, w)| if i % 11 == 0 { w } else { 0.0 }).collect()
    });
}

#[test]
fn svdf_of_floats_and_integers() {
    let mut source = Source(5);
    for (batch, inputs, units, rank, memory) in [(1, 1, 1, 1, 1), (1, 3, 5, 2, 4), (2, 7, 17, 1, 10), (3, 4, 16, 3, 2)] {
        let filters = units * rank;
        let op = |activation| Op::Svdf(ops::svdf::Attributes { rank, activation, asymmetric_quantize_inputs: false });
        let x: Vec<Vec<i32>> = (0..4).map(|_| source.integers(batch * inputs, -128, 127)).collect();
        let (features, times) = (source.integers(filters * inputs, -127, 127), source.integers(filters * memory, -32767, 32767));
        let bias = source.integers(units, -100_000, 100_000);

        let mut m = Maker::default();
        m.input(quantized(I8, &[batch, inputs], 0.02, -3));
        m.integers(quantized(I8, &[filters, inputs], 0.01, 0), &features);
        m.integers(quantized(I16, &[filters, memory], 3e-5, 0), &times);
        m.integers(TensorType::new(I32, [units]), &bias);
        m.state(quantized(I16, &[batch, memory * filters], 7e-4, 0));
        let graph = m.finish(op(Curve::Relu), &[quantized(I8, &[], 0.05, 4)]).unwrap();
        let mut state = vec![0; batch * filters * memory];
        let scales = [0.02f32 * 0.01 / 7e-4, 7e-4f32 * 3e-5 / 0.05].map(|s| quantize_multiplier(s.into()));
        let mut step = |x: &[i32]| -> Vec<i32> {
            let mut y = vec![];
            for b in 0..batch {
                let mut sums = bias.clone();
                for f in 0..filters {
                    let state = &mut state[(b * filters + f) * memory..][..memory];
                    state.rotate_left(1);
                    let sum = (0..inputs).map(|i| features[f * inputs + i] * (x[b * inputs + i] + 3)).sum();
                    state[memory - 1] = multiply_by_quantized_multiplier(sum, scales[0].0, scales[0].1).clamp(-32768, 32767);
                    let dot = state.iter().zip(&times[f * memory..]).fold(0i32, |sum, (a, b)| sum.wrapping_add(a * b));
                    sums[f / rank] = sums[f / rank].wrapping_add(dot);
                }
                y.extend(sums.iter().map(|&s| (multiply_by_quantized_multiplier(s, scales[1].0, scales[1].1) + 4).clamp(-128, 127)));
            }
            y
        };
        let wanted: Vec<Vec<u8>> = x.iter().map(|x| bytes(I8, &step(x))).collect();
        let inputs_of: Vec<Vec<u8>> = x.iter().map(|x| bytes(I8, x)).collect();
        invoke(&graph, &inputs_of, |m, i, y| assert_eq!(y[0], wanted[i], "invocation {i} on {m}"));

        let x: Vec<Vec<f32>> = (0..4).map(|_| source.floats(batch * inputs, 1.0)).collect();
        let (features, times) = (source.floats(filters * inputs, 0.5), source.floats(filters * memory, 0.5));
        let mut m = Maker::default();
        m.input(TensorType::new(F32, [batch, inputs]));
        m.floats(&[filters, inputs], &features);
        m.floats(&[filters, memory], &times);
        m.absent();
        m.state(TensorType::new(F32, [batch, memory * filters]));
        let graph = m.finish(op(Curve::None), &[TensorType::new(F32, [])]).unwrap();
        let mut state = vec![0.0; batch * filters * memory];
        let mut step = |x: &[f32]| -> Vec<f32> {
            let mut y = vec![0.0; batch * units];
            for (b, f) in (0..batch).flat_map(|b| (0..filters).map(move |f| (b, f))) {
                let state = &mut state[(b * filters + f) * memory..][..memory];
                state.rotate_left(1);
                state[memory - 1] = (0..inputs).map(|i| features[f * inputs + i] * x[b * inputs + i]).sum();
                y[b * units + f / rank] += state.iter().zip(&times[f * memory..]).map(|(a, b)| a * b).sum::<f32>();
            }
            y
        };
        let wanted: Vec<Vec<f32>> = x.iter().map(|x| step(x)).collect();
        let inputs_of: Vec<Vec<u8>> = x.iter().map(|x| f32_bytes(x)).collect();
        invoke(&graph, &inputs_of, |m, i, y| close(&format!("invocation {i} on {m}"), &y[0], &wanted[i], 2e-5));
    }
}

/// The basic kernel of bytes without sign, whose sums are rescaled with halves rounded up.
#[test]
fn basic_lstm_of_bytes() {
    let mut source = Source(7);
    for (batch, inputs, cells) in [(1, 1, 1), (2, 6, 19)] {
        let depth = inputs + cells;
        let (w, bias) = (source.integers(4 * cells * depth, 0, 255), source.integers(4 * cells, -9000, 9000));
        let byte = |shape: &[usize]| quantized(U8, shape, 1.0 / 128.0, 128);
        let memory = |shape: &[usize]| quantized(I16, shape, 1.0 / 2048.0, 0);
        let scale = 0.3 / 4096.0f32;
        let mut m = Maker::default();
        m.input(byte(&[batch, inputs]));
        m.state(byte(&[batch, cells]));
        m.integers(quantized(U8, &[4 * cells, depth], 0.01, 120), &w);
        m.integers(quantized(I32, &[4 * cells], scale, 0), &bias);
        m.state(memory(&[batch, cells]));
        let op = Op::Lstm(ops::lstm::Attributes {
            basic: true,
            activation: Curve::Tanh,
            cell_clip: 0.0,
            proj_clip: 0.0,
            asymmetric_quantize_inputs: false,
            inner_scales: vec![],
            inner_zero_points: vec![],
        });
        let mut graph = m.finish(op, &[byte(&[]), memory(&[]), byte(&[]), memory(&[])]).unwrap();
        graph.outputs.truncate(2);
        let x: Vec<Vec<i32>> = (0..3).map(|_| source.integers(batch * inputs, 0, 255)).collect();
        let (mut h, mut c) = (vec![0; batch * cells], vec![0; batch * cells]);
        let (multiplier, shift) = quantize_multiplier((4096.0 * scale).into());
        let short = |v: i32| v.clamp(-32768, 32767);
        let mul = |a: i32, b: i32| ((a * b + (1 << 14)) >> 15).min(32767);
        let mut step = |x: &[i32]| {
            let last = h.clone();
            for (b, i) in (0..batch).flat_map(|b| (0..cells).map(move |i| (b, i))) {
                let row: Vec<i32> = [&x[b * inputs..][..inputs], &last[b * cells..][..cells]].concat();
                let [input, new, forget, output] = [0, 1, 2, 3].map(|g| {
                    let w = &w[(g * cells + i) * depth..][..depth];
                    let sum = bias[g * cells + i] + w.iter().zip(&row).map(|(w, x)| (w - 120) * (x - 128)).sum::<i32>();
                    let high = ((i64::from(sum) * i64::from(multiplier) + (1 << 30)) >> 31) as i32;
                    let half = if shift < 0 { 1 << (-shift - 1) } else { 0 };
                    short((high + half) >> -shift) as i16
                });
                let [input, forget, output] = [input, forget, output].map(|v| i32::from(fixed_point_16::logistic(v)));
                let added = rounding_divide_by_pot(mul(input, fixed_point_16::tanh(new, 3).into()), 4);
                let memory = &mut c[b * cells + i];
                *memory = short(added + mul(forget, *memory));
                let curve = fixed_point_16::tanh(short(*memory * 2) as i16, 3);
                h[b * cells + i] = rounding_divide_by_pot(mul(output, curve.into()), 8).clamp(-128, 127) + 128;
            }
            [bytes(U8, &h), bytes(I16, &c)]
        };
        let wanted: Vec<_> = x.iter().map(|x| step(x)).collect();
        let inputs: Vec<Vec<u8>> = x.iter().map(|x| bytes(U8, x)).collect();
        invoke(&graph, &inputs, |m, i, y| assert_eq!(y, wanted[i], "invocation {i} on {m}"));
    }
}

/// What is wrong with an LSTM of which one thing is changed.
fn said(change: impl FnOnce(&mut Maker, &mut Shape)) -> String {
    let mut s = Shape { cells: 4, outputs: 4, ..PLAIN };
    let weights = Floats::new(&s, &mut Source(6));
    let graph = weights.graph(&s);
    let inputs = graph.nodes[0].inputs.clone();
    let mut m = Maker { graph: Graph { nodes: vec![], outputs: vec![], ..graph }, inputs };
    change(&mut m, &mut s);
    m.finish(s.op(&[], &[]), &[TensorType::new(F32, [])]).err().unwrap_or_default()
}

#[test]
fn what_is_wrong_is_refused() {
    let typed =
        |i: usize, shape: &'static [usize]| said(move |m, _| m.graph.value_mut(m.inputs[i].unwrap()).ty = TensorType::new(F32, shape));
    assert_eq!(typed(0, &[3, 5]), "E0203 the input has the wrong rank");
    assert_eq!(typed(0, &[1, 0, 5]), "E0203 the sequence is empty");
    assert_eq!(typed(2, &[4, 6]), "E0203 the shape of the input weights is wrong");
    assert_eq!(typed(6, &[4]), "E0301 recurrent weights that are a diagonal are not supported");
    assert_eq!(typed(14, &[5]), "E0203 the shape of the bias is wrong");
    assert_eq!(typed(18, &[2, 4]), "E0203 the size of the state of the outputs is wrong");
    assert_eq!(typed(19, &[2, 4]), "E0203 the size of the state of the cells is wrong");
    let absent = |i: usize| said(move |m, _| m.inputs[i] = None);
    assert_eq!(absent(1), "E0203 the recurrent weights of the input gate must not be there");
    assert_eq!(absent(2), "E0203 the weights of the forget gate must be there");
    assert_eq!(absent(15), "E0203 the bias of the output gate must be there");
    let alone = said(|m, _| m.inputs[9] = m.inputs[12]);
    assert_eq!(alone, "E0203 the peephole weights of the input gate must not be there");
    assert_eq!(said(|m, _| m.inputs[17] = m.inputs[12]), "E0203 the projection's bias must not be there");
    assert_eq!(said(|m, _| m.inputs.truncate(22)), "E0205 wrong number of inputs");
    assert_eq!(said(|_, s| s.cell_clip = -1.0), "E0204 a limit of a clip is negative");
    assert_eq!(said(|_, _| {}), "");
}
