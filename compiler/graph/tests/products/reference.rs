//! Products as the definition says: one loop per index, and `quantize.rs` for the rounding.

use crate::support::{Input, bytes, eighths, f32_bytes, f32s, integers, machines, noise};
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::graph::{Graph, Node, Value};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, Operand, Signature, pad};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use cranelite_tile::{Machine, Program, interpret, verify};
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

/// Element types of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Float,
    Int8 {
        per_channel: bool,
    },
    /// FULLY_CONNECTED only: weights with a zero point.
    Int8Offset,
    Uint8,
    /// FULLY_CONNECTED only: with an int16 result.
    Uint8To16,
    Int16 {
        bias: ElementType,
    },
    /// FULLY_CONNECTED only: int16 weights.
    Int16Words,
    Hybrid {
        per_channel: bool,
        asymmetric: bool,
    },
}

impl Kind {
    pub fn input(self) -> ElementType {
        match self {
            Kind::Float | Kind::Hybrid { .. } => ElementType::F32,
            Kind::Int8 { .. } | Kind::Int8Offset => ElementType::I8,
            Kind::Uint8 | Kind::Uint8To16 => ElementType::U8,
            Kind::Int16 { .. } | Kind::Int16Words => ElementType::I16,
        }
    }
    fn weight(self) -> ElementType {
        match self {
            Kind::Float => ElementType::F32,
            Kind::Uint8 | Kind::Uint8To16 => ElementType::U8,
            Kind::Int16Words => ElementType::I16,
            _ => ElementType::I8,
        }
    }
    fn bias(self) -> ElementType {
        match self {
            Kind::Float | Kind::Hybrid { .. } => ElementType::F32,
            Kind::Int16 { bias } => bias,
            _ => ElementType::I32,
        }
    }
    fn per_channel(self) -> bool {
        matches!(self, Kind::Int8 { per_channel: true } | Kind::Hybrid { per_channel: true, .. })
    }
}

/// A product as a convolution; FULLY_CONNECTED is one with a 1 × 1 filter.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub input: [usize; 4],
    pub filter: [usize; 4],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
    pub bias: bool,
    pub seed: u64,
    /// Rows and columns of the result of a TRANSPOSE_CONV, which loses `padding` before the first and has no dilation.
    pub transposed: Option<[usize; 2]>,
}

/// The operands and the type of the result, without shape.
pub struct Operands {
    pub x: Input,
    pub w: Input,
    pub bias: Option<Input>,
    pub result: TensorType,
}

impl Case {
    pub fn output(&self) -> [usize; 4] {
        let p = &self.padding;
        if let Some([h, w]) = self.transposed {
            return [self.input[0], h, w, self.filter[0]];
        }
        let out = |i: usize, pad: usize| (self.input[i + 1] + pad - (self.filter[i + 1] - 1) * self.dilation[i] - 1) / self.stride[i] + 1;
        [self.input[0], out(0, p.top + p.bottom), out(1, p.left + p.right), self.filter[0]]
    }

    pub fn operands(&self) -> Operands {
        let (kind, seed) = (self.kind, self.seed);
        let depth: usize = self.filter[1..].iter().product();
        let zero = |element: ElementType, seed: u64| match element {
            ElementType::I8 => (seed % 256) as i64 - 128,
            ElementType::U8 => (seed % 256) as i64,
            _ => 0,
        };
        let (x_zero, y_zero) = (zero(kind.input(), seed / 7), zero(kind.input(), seed / 11));
        let weight_zero = match kind {
            Kind::Int8Offset => (seed % 60) as i64 - 30,
            Kind::Uint8 | Kind::Uint8To16 => (seed % 256) as i64,
            _ => 0,
        };
        // A result that uses its range, most of it without being cut off.
        let spread = match kind {
            Kind::Int16 { .. } => 5e-2,
            Kind::Int16Words => 12.0,
            _ => 2e-2,
        };
        // The second is never the first.
        let scale = |i: usize| 0.01 + (seed.rotate_left(i as u32) % 100) as f32 * 1e-4 + i as f32 * 1e-5;
        let scales: Vec<f32> = (0..if kind.per_channel() { self.filter[0] } else { 1 }).map(scale).collect();
        let typed = |element: ElementType, shape: Vec<usize>, q: Quantization| match element {
            ElementType::F32 => TensorType::new(element, shape),
            _ => TensorType { element, shape, quantization: Some(Arc::new(q)) },
        };
        let fill = |ty: &TensorType, seed: u64| match ty.element {
            ElementType::F32 => f32_bytes(&eighths(seed, ty.element_count())),
            ElementType::I32 => noise(seed, ty.element_count()).flat_map(|n| (n as i32 % 4000).to_le_bytes()).collect(),
            ElementType::I64 => noise(seed, ty.element_count()).flat_map(|n| (n as i64 % 40000).to_le_bytes()).collect(),
            _ => bytes(seed, ty.size_bytes()),
        };
        let x = typed(kind.input(), self.input.to_vec(), Quantization::per_tensor(0.05, x_zero));
        let zero_points = vec![weight_zero; scales.len()];
        let w = typed(kind.weight(), self.filter.to_vec(), Quantization { scales, zero_points, axis: 0 });
        let result = match kind {
            Kind::Uint8To16 => TensorType::quantized(ElementType::I16, [], 1e-3, 0),
            _ => typed(kind.input(), vec![], Quantization::per_tensor(spread * (depth as f32).sqrt(), y_zero)),
        };
        let bias = TensorType::new(kind.bias(), [self.filter[0]]);
        let bias = self.bias.then(|| Input::constant(bias.clone(), fill(&bias, seed + 2)));
        Operands { x: Input::new(x.clone(), fill(&x, seed)), w: Input::constant(w.clone(), fill(&w, seed + 1)), bias, result }
    }

    /// Calls `f` with output index, group's first output channel, and the pairs of input and weight index that take part.
    fn sums(&self, mut f: impl FnMut(usize, &[(usize, usize)])) {
        let ([n, h, w, c], [o, fh, fw, d]) = (self.input, self.filter);
        let [_, oh, ow, _] = self.output();
        let filters = o / (c / d);
        for (b, oy, ox, oc) in (0..n * oh * ow * o).map(|i| (i / o / ow / oh, i / o / ow % oh, i / o % ow, i % o)) {
            let mut pairs = vec![];
            for (ky, kx) in (0..fh * fw).map(|t| (t / fw, t % fw)) {
                let place = |d: usize, out: usize, tap: usize, before: usize| match self.transposed {
                    Some(_) => (out + before).checked_sub(tap).filter(|i| i.is_multiple_of(self.stride[d])).map(|i| i / self.stride[d]),
                    None => (out * self.stride[d] + tap * self.dilation[d]).checked_sub(before),
                };
                let (y, x) = (place(0, oy, ky, self.padding.top), place(1, ox, kx, self.padding.left));
                let (Some(y), Some(x)) = (y, x) else { continue };
                if y < h && x < w {
                    let (xi, wi) = (((b * h + y) * w + x) * c + oc / filters * d, ((oc * fh + ky) * fw + kx) * d);
                    pairs.extend((0..d).map(|i| (xi + i, wi + i)));
                }
            }
            f(((b * oh + oy) * ow + ox) * o + oc, &pairs);
        }
    }

    /// What CONV_2D gives; and DEPTHWISE_CONV_2D, which is one of as many groups as there are channels.
    pub fn convolution(&self, p: &Operands) -> Want {
        let scale = |c: usize| p.w.ty.quantization.as_ref().expect("scales").scale(c);
        let (x, y) = (p.x.ty.scale(), p.result.scale());
        let pair = |c: usize| match self.kind {
            Kind::Uint8 => quantize_multiplier(convolution_multiplier_per_tensor(x.unwrap(), scale(c), y.unwrap())),
            _ => quantize_multiplier(convolution_multiplier(x.unwrap(), scale(c), y.unwrap())),
        };
        match self.kind {
            Kind::Float | Kind::Hybrid { .. } => Want::Floats(self.floats(p)),
            Kind::Int16 { bias } if bias == ElementType::I64 || !self.bias => Want::Integers(self.integers(p, &p.result, |sum, c| {
                let (m, s) = pair(c);
                multiply_by_quantized_multiplier_64(sum, m, s)
            })),
            _ => Want::Integers(self.integers(p, &p.result, |sum, c| {
                let (m, s) = pair(c);
                multiply_by_quantized_multiplier(sum as i32, m, s)
            })),
        }
    }

    pub fn fully_connected(&self, p: &Operands) -> Want {
        let scale = |c: usize| p.w.ty.quantization.as_ref().expect("scales").scale(c);
        let (x, y) = (p.x.ty.scale(), p.result.scale());
        match self.kind {
            Kind::Float | Kind::Hybrid { .. } => Want::Floats(self.floats(p)),
            Kind::Int16Words => Want::Integers(self.integers(p, &p.result, |sum, c| {
                let (m, s) = quantize_multiplier(convolution_multiplier_per_tensor(x.unwrap(), scale(c), y.unwrap()));
                multiply_by_quantized_multiplier_64(sum, m, s)
            })),
            _ => Want::Integers(
                self.integers(p, &p.result, |sum, c| multiply_by_real(sum, convolution_multiplier(x.unwrap(), scale(c), y.unwrap()))),
            ),
        }
    }

    /// Results that are floats, whatever the operator.
    pub fn floats(&self, p: &Operands) -> Vec<f32> {
        let (x, [o, ..]) = (f32s(&p.x.data), self.filter);
        let bias = p.bias.as_ref().map_or(vec![0.0; o], |b| f32s(&b.data));
        let (low, high) = activation_range_float(self.activation);
        let mut out = vec![0.0; self.output().iter().product()];
        match self.kind {
            Kind::Float => {
                let w = f32s(&p.w.data);
                self.sums(|i, pairs| out[i] = pairs.iter().map(|&(a, b)| x[a] * w[b]).sum::<f32>() + bias[i % o]);
            }
            Kind::Hybrid { asymmetric, .. } => {
                let w = integers(&p.w.ty, &p.w.data);
                let q = p.w.ty.quantization.as_ref().expect("scales");
                let row = x.len() / self.input[0].max(1);
                let rows: Vec<(Vec<i64>, f32, i64)> = x.chunks(row.max(1)).map(|r| quantize_row(r, asymmetric)).collect();
                self.sums(|i, pairs| {
                    let (_, scale, offset) = rows[i / (out_row(self))];
                    let sum: i64 = pairs.iter().map(|&(a, b)| (rows[a / row].0[a % row] - offset) * w[b]).sum();
                    out[i] = sum as f32 * (scale * q.scale(i % o)) + bias[i % o];
                });
            }
            _ => panic!("integers"),
        }
        out.iter().map(|v| v.max(low).min(high)).collect()
    }

    /// Results that are integers, rescaled by `rescale(sum, channel)`.
    pub fn integers(&self, p: &Operands, result: &TensorType, rescale: impl Fn(i64, usize) -> i32) -> Vec<i64> {
        let (x, w, o) = (integers(&p.x.ty, &p.x.data), integers(&p.w.ty, &p.w.data), self.filter[0]);
        let bias: Vec<i64> = match &p.bias {
            None => vec![0; o],
            Some(b) if b.ty.element == ElementType::I64 => b.data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            Some(b) => b.data.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        };
        let (xz, wz) = (p.x.ty.zero_point(), p.w.ty.zero_point());
        let zero = result.zero_point() as i32;
        let (low, high) =
            calculate_activation_range_quantized(self.activation, result.element, result.scale().expect("a scale"), zero).expect("a range");
        let mut out = vec![0; self.output().iter().product()];
        self.sums(|i, pairs| {
            let sum: i64 = pairs.iter().map(|&(a, b)| (x[a] - xz) * (w[b] - wz)).sum();
            out[i] = i64::from(rescale(sum + bias[i % o], i % o).saturating_add(zero).clamp(low, high));
        });
        out
    }
}

/// Results per row of activations that is quantised on its own.
fn out_row(case: &Case) -> usize {
    case.output()[1..].iter().product()
}

/// (integers, scale, offset) as the reference quantises a row.
fn quantize_row(row: &[f32], asymmetric: bool) -> (Vec<i64>, f32, i64) {
    let (low, high) = row.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
    let round = |v: f32| round_half_away_f32(v) as i64;
    if low == high {
        return (vec![0; row.len()], 1.0, 0);
    }
    if !asymmetric {
        let range = high.max(-low);
        return (row.iter().map(|v| round(v * (127.0 / range)).clamp(-127, 127)).collect(), range / 127.0, 0);
    }
    let scale = f64::from(high - low) / 255.0;
    let (from_low, from_high) = (-128.0 - f64::from(low) / scale, 127.0 - f64::from(high) / scale);
    let (low_error, high_error) = (128.0 + (f64::from(low) / scale).abs(), 127.0 + (f64::from(high) / scale).abs());
    let offset = round_half_away(if low_error < high_error { from_low } else { from_high }).clamp(-128.0, 127.0) as i64;
    let inverse = 1.0 / scale as f32;
    (row.iter().map(|v| (round(v * inverse) + offset).clamp(-128, 127)).collect(), scale as f32, offset)
}

/// Checks shape and results of `op` on every machine; integers must be equal, floats nearly so.
pub fn check(op: &Op, p: &Operands, shape: &[usize], want: &Want) {
    let slack = 1e-4;
    for machine in machines() {
        for goal in [Goal::Speed, Goal::Size] {
            // Without memory to spare, with enough for all activations in 16 bits, and for about a third of them.
            for spare in [0, 2 * p.x.data.len(), 2 * p.x.data.len() / 3] {
                let (got_shape, got) = run(op, p, &machine, goal, spare).unwrap_or_else(|d| panic!("{d}"));
                assert_eq!(got_shape, shape);
                let context = format!("{} {:?} {goal:?} {spare}", machine.name, machine.byte_dot);
                match want {
                    Want::Integers(want) => {
                        let ty = TensorType { shape: got_shape, ..p.result.clone() };
                        assert_eq!(&integers(&ty, &got), want, "{context}");
                    }
                    Want::Floats(want) => {
                        for (i, (got, want)) in f32s(&got).iter().zip(want).enumerate() {
                            assert!((got - want).abs() <= slack + 1e-5 * want.abs(), "{context}: {got} instead of {want} at {i}");
                        }
                    }
                }
            }
        }
    }
}

pub enum Want {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

/// The program of one operator, beside a tensor of `spare` bytes.
pub fn program(op: &Op, p: &Operands, machine: &Machine, goal: Goal, spare: usize) -> Program {
    lower(&graph(op, p, spare).expect("a good operator").0, machine, goal).unwrap_or_else(|d| panic!("{}", d[0]))
}

/// The shape that `infer` gives and the bytes that the lowered and proved program computes, beside a tensor of `spare` bytes.
pub fn run(op: &Op, p: &Operands, machine: &Machine, goal: Goal, spare: usize) -> Result<(Vec<usize>, Vec<u8>), Diagnostic> {
    let (graph, shape) = graph(op, p, spare)?;
    let mut result = vec![0xAA; graph.ty(graph.outputs[0]).size_bytes()];
    let mut padded = vec![0xAA; spare + 1];
    let program = lower(&graph, machine, goal).map_err(|mut d| d.remove(0))?;
    verify::verify(&program).unwrap_or_else(|e| panic!("{}: {}", machine.name, e[0]));
    let (mut inputs, mut outputs): (Vec<&[u8]>, Vec<&mut [u8]>) = (vec![&p.x.data], vec![&mut result]);
    inputs.extend([Some(&p.w), p.bias.as_ref()].into_iter().flatten().filter(|i| !i.constant).map(|i| &i.data[..]));
    if 0 < spare {
        inputs.push(&[0]);
        outputs.push(&mut padded);
    }
    interpret::run(&program, &inputs, &mut outputs).unwrap_or_else(|e| panic!("{e}"));
    Ok((shape, result))
}

/// A graph of that one operator and of two that have a tensor of `spare` bytes between them, and the shape of its result.
pub fn graph(op: &Op, p: &Operands, spare: usize) -> Result<(Graph, Vec<usize>), Diagnostic> {
    let inputs = [Some(&p.x), Some(&p.w), p.bias.as_ref()];
    let operands = inputs.iter().map(|i| i.map(|i| Operand { ty: &i.ty, data: i.constant.then_some(&i.data[..]) })).collect();
    let shape = op.infer(&Signature { inputs: operands, outputs: vec![&p.result] })?.remove(0);
    let mut graph = Graph { name: "test".into(), ..Graph::default() };
    let ids = inputs.map(|i| {
        i.map(|i| {
            let data = i.constant.then(|| i.data.clone().into());
            graph.add_value(Value { name: "operand".into(), ty: i.ty.clone(), data })
        })
    });
    let given = ids.iter().zip(&inputs).filter(|(_, i)| i.is_some_and(|i| !i.constant));
    graph.inputs.extend(given.filter_map(|(id, _)| *id));
    let ty = TensorType { shape: shape.clone(), ..p.result.clone() };
    let y = graph.add_value(Value { name: "y".into(), ty, data: None });
    graph.outputs.push(y);
    graph.nodes.push(Node { op: op.clone(), inputs: ids.to_vec(), outputs: vec![y], operator: 0, then: vec![] });
    if 0 < spare {
        let mut value = |bytes: usize| {
            let ty = TensorType { element: ElementType::I8, shape: vec![bytes], quantization: None };
            graph.add_value(Value { name: "beside".into(), ty, data: None })
        };
        let ids = [1, spare, spare + 1].map(&mut value);
        for (from, to, after) in [(ids[0], ids[1], spare - 1), (ids[1], ids[2], 1)] {
            let op = Op::Pad(pad::Attributes { before: vec![0], after: vec![after] });
            graph.nodes.push(Node { op, inputs: vec![Some(from)], outputs: vec![to], operator: 1, then: vec![] });
        }
        graph.inputs.push(ids[0]);
        graph.outputs.push(ids[2]);
    }
    Ok((graph, shape))
}

/// Everything that is expected was seen.
pub fn expect<S: Borrow<str> + Ord + Debug>(all: &BTreeSet<S>, expected: &[&str]) {
    println!("{all:#?}");
    let missing: Vec<&&str> = expected.iter().filter(|e| !all.contains(**e)).collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}
