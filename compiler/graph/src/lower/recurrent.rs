//! What recurrent operators share: walking over the steps of a sequence, products with the weights of several gates, walking over cells.
//!
//! Not the cells (`lstm.rs`, `ops/`). The idea: the steps are the turns of one `repeat`, whose calls find what they take of the longer
//! tensors further on in every turn (`Context::moving`), so that the code is the same for any number of steps, and the products are those of any
//! other operator. Products come before the elementwise part: the weights of all gates stand one below the other, so that each is one call.

use super::gemm::hybrid::{self, Bytes};
use super::gemm::{self, Axis, Bias, Filter, Product, Rescale};
use super::math::{self, mul_add};
use super::pointwise::Destination;
use super::requantize::Target;
use super::{Context, copy};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::ops::attributes::{Activation, Curve};
use crate::quantize::steps::Reference;
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{BufferId, Elem, Index, KernelBuilder, Machine, Reduce, Unary, Value};

/// The order of the steps of a tensor [steps, batch, ..], or [batch, steps, ..].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub steps: usize,
    pub batch: usize,
    pub is_time_major: bool,
    /// From the last step to the first.
    pub is_backward: bool,
}

/// What belongs to a step: a row for every element of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub buffer: BufferId,
    pub row_bytes: usize,
    /// From one row to the next.
    pub distance_bytes: usize,
}

impl Sequence {
    /// Of the last axis but one, or two, of a tensor; a tensor of two axes is one step.
    pub fn of(x: &TensorType, is_time_major: bool) -> Option<Sequence> {
        let (steps, batch) = match (&x.shape[..], is_time_major) {
            ([batch, _], _) => (1, *batch),
            ([steps, batch, _], true) | ([batch, steps, _], false) => (*steps, *batch),
            _ => return None,
        };
        Some(Sequence { steps, batch, is_time_major, is_backward: false })
    }

    /// Inside of the `repeat` over the steps: of every row of `tensor_bytes`, those from `first_byte` on.
    pub fn rows(&self, cx: &mut Context, tensor: BufferId, tensor_bytes: usize, first_byte: usize, row_bytes: usize) -> Rows {
        let (step, distance_bytes) = match self.is_time_major || self.batch == 1 {
            true => (self.batch * tensor_bytes, tensor_bytes),
            false => (tensor_bytes, self.steps * tensor_bytes),
        };
        let first = first_byte + if self.is_backward { (self.steps - 1) * step } else { 0 };
        let size = (self.batch - 1) * distance_bytes + row_bytes;
        let step = if self.is_backward { -(step as i64) } else { step as i64 };
        Rows { buffer: cx.moving("step", tensor, first as u64, size as u64, step), row_bytes, distance_bytes }
    }

    /// The rows one after the other: where they are, or copied to where they are.
    pub fn gathered(&self, cx: &mut Context, rows: Rows) -> BufferId {
        if self.batch == 1 || rows.distance_bytes == rows.row_bytes {
            return rows.buffer;
        }
        let gathered = cx.scratch("rows", (self.batch * rows.row_bytes) as u64);
        copy::runs(cx, self.batch, rows.row_bytes, [rows.buffer, gathered], [rows.distance_bytes, rows.row_bytes]);
        gathered
    }

    /// Copies a state to the rows.
    pub fn scatter(&self, cx: &mut Context, from: BufferId, to: Rows) {
        copy::runs(cx, self.batch, to.row_bytes, [from, to.buffer], [to.row_bytes, to.distance_bytes]);
    }
}

/// Constant weights of several gates, one below the other.
#[derive(Clone, Debug)]
pub struct Weights {
    pub element: ElementType,
    pub rows: usize,
    pub depth: usize,
    pub data: Vec<u8>,
    /// Of every row.
    pub scales: Vec<f32>,
    pub zero_point: i64,
}

impl Weights {
    /// Of these inputs of a node, each [rows, depth].
    pub fn of_node(cx: &Context, node: &Node, inputs: &[usize]) -> Result<Weights, Diagnostic> {
        let ty = cx.input_type(node, inputs[0]);
        let mut w = Weights { element: ty.element, rows: 0, depth: ty.shape[1], data: vec![], scales: vec![], zero_point: 0 };
        for &i in inputs {
            let data = cx.constant_input(node, i).ok_or_else(|| cx.not_constant(node, i, "the weights"))?;
            let (rows, scale) = (cx.input_type(node, i).shape[0], cx.input_type(node, i).scale().unwrap_or(1.0));
            w.rows += rows;
            w.data.extend_from_slice(data);
            w.scales.extend(std::iter::repeat_n(scale, rows));
        }
        Ok(w)
    }

    /// Sums of the weights of every row.
    pub fn sums(&self) -> Vec<i64> {
        self.data.chunks(self.depth).map(|row| row.iter().map(|&b| i64::from(b as i8)).sum()).collect()
    }
}

/// Numbers of f32 constants of a node, one after the other; nothing where one of them is absent.
pub fn floats(cx: &Context, node: &Node, inputs: &[usize]) -> Result<Option<Vec<f32>>, Diagnostic> {
    let bytes = constants(cx, node, inputs)?;
    Ok(bytes.map(|b| b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()))
}

/// The same of i32 constants.
pub fn integers(cx: &Context, node: &Node, inputs: &[usize]) -> Result<Option<Vec<i64>>, Diagnostic> {
    let bytes = constants(cx, node, inputs)?;
    Ok(bytes.map(|b| b.chunks_exact(4).map(|c| i32::from_le_bytes([c[0], c[1], c[2], c[3]]).into()).collect()))
}

fn constants(cx: &Context, node: &Node, inputs: &[usize]) -> Result<Option<Vec<u8>>, Diagnostic> {
    if inputs.iter().any(|&i| node.input(i).is_none()) {
        return Ok(None);
    }
    let mut bytes = vec![];
    for &i in inputs {
        bytes.extend_from_slice(cx.constant_input(node, i).ok_or_else(|| cx.not_constant(node, i, "an operand"))?);
    }
    Ok(Some(bytes))
}

/// How the vectors of a product are multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Floats, which are quantised first for integer weights, with an offset if `asymmetric`.
    Float { asymmetric: bool },
    /// Bytes of the weights' type and of this zero point, to sums of 32 bits.
    Sums { zero_point: i64 },
    /// i8 of this zero point, and sums by a multiplier and a shift to the target.
    Rescaled { zero_point: i64, scale: (i32, i32), target: Target },
}

/// Writes to `to` the products of `batch` vectors with the weights.
pub fn product(
    cx: &mut Context,
    w: &Weights,
    batch: usize,
    form: Form,
    bias: Bias,
    from: BufferId,
    to: BufferId,
) -> Result<(), Diagnostic> {
    let mut from = from;
    let (rescale, input, input_zero_point, target) = match form {
        Form::Float { .. } if w.element == ElementType::F32 => (Rescale::Float, ElementType::F32, 0, None),
        Form::Float { asymmetric } => {
            let bytes = Bytes::of_products(cx.machine);
            let q = hybrid::quantize(cx, from, hybrid::Rows { count: batch, len: w.depth, asymmetric }, bytes);
            from = q.integers;
            let rescale = Rescale::Hybrid { scales: w.scales.clone(), asymmetric, in_turn: false, per_pixel: true, factors: q.factors };
            (rescale, bytes.element(), bytes.zero_point(), None)
        }
        Form::Sums { zero_point } => (Rescale::None, w.element, zero_point, None),
        Form::Rescaled { zero_point, scale: (multiplier, shift), target } => {
            (Rescale::Sum(vec![Reference::Fixed(multiplier, shift); w.rows]), ElementType::I8, zero_point, Some(target))
        }
    };
    let product = Product {
        batch: 1,
        rows: Axis::plain(1),
        columns: Axis::plain(batch),
        channels: w.depth,
        filter: Filter { element: w.element, shape: [w.rows, 1, 1, w.depth], data: &w.data },
        input,
        input_zero_point,
        weight_zero_point: w.zero_point,
        bias,
        rescale,
        activation: Activation::None,
        target,
    };
    gemm::lower(cx, &product, from, &Destination::of_buffer(to))
}

/// Some cells next to each other, of one element of the batch.
#[derive(Clone, Debug)]
pub struct Cells {
    pub batch: Index,
    pub first: Index,
    pub lanes: usize,
    /// Of the lanes.
    pub count: usize,
}

impl Cells {
    /// In an array of rows of `row` elements, from element `from` of every row on.
    pub fn at(&self, row: usize, from: impl Into<Index>, element_bytes: i64) -> Index {
        self.batch.clone() * (row as i64 * element_bytes) + from.into() * element_bytes + self.first.clone() * element_bytes
    }
}

/// Calls `body` for all cells of all elements of the batch, each once.
pub fn each_cell(k: &mut KernelBuilder, batch: usize, cells: usize, lanes: usize, body: impl Fn(&mut KernelBuilder, &Cells)) {
    let (full, rest) = (cells / lanes * lanes, cells % lanes);
    let row = |k: &mut KernelBuilder, batch: Index| {
        if lanes < full {
            k.each("cell", full, lanes as i64, |k, cell| body(k, &Cells { batch: batch.clone(), first: cell.into(), lanes, count: lanes }));
        } else if 0 < full {
            body(k, &Cells { batch: batch.clone(), first: 0.into(), lanes, count: lanes });
        }
        if 0 < rest {
            body(k, &Cells { batch, first: full.into(), lanes, count: rest });
        }
    };
    match batch {
        1 => row(k, 0.into()),
        _ => k.each("row", batch, 1, |k, b| row(k, b.into())),
    }
}

/// A curve of float lanes.
pub fn apply(k: &mut KernelBuilder, m: &Machine, curve: Curve, x: Value) -> Value {
    let ty = k.ty(x);
    let (low, high) = match curve {
        Curve::None => return x,
        Curve::Tanh => return math::tanh(k, m, x),
        Curve::Relu => (0.0, None),
        Curve::ReluN1To1 => (-1.0, Some(1.0)),
        Curve::Relu6 => (0.0, Some(6.0)),
    };
    let low = k.float(ty, low);
    let x = k.max(low, x);
    let Some(high) = high else { return x };
    let high = k.float(ty, high);
    k.min(high, x)
}

/// Float or integer lanes between −limit and limit.
pub fn clip(k: &mut KernelBuilder, x: Value, limit: f32) -> Value {
    let ty = k.ty(x);
    let (low, high) = match ty.elem.is_float() {
        true => (k.float(ty, -limit), k.float(ty, limit)),
        false => (k.int(ty, -limit as i64), k.int(ty, limit as i64)),
    };
    let x = k.max(low, x);
    k.min(high, x)
}

/// The normalisation of float rows of `gates`: (x − mean) / deviation · coefficient + bias, in place, of `cells` elements from an offset on, which
/// is a parameter.
pub fn normalize(cx: &mut Context, batch: usize, row: usize, cells: usize, first: usize, [gates, coefficients, bias]: [BufferId; 3]) {
    let m = cx.machine;
    let (lanes, scalar) = (m.lanes(Elem::F32), Elem::F32.x(1));
    let full = cells / lanes * lanes;
    let mut k = KernelBuilder::new(format!("normalize_f32_{cells}"));
    let (x, coefficient, bias_arg) = (k.read_write("x"), k.read("coefficient"), k.read("bias"));
    let (gate, constants) = (k.param("gate"), k.param("constants"));
    k.each("row", batch, 1, |k, b| {
        let at = |i: Index| b * (4 * row as i64) + i * 4 + gate;
        // A sum over all elements of what `f` makes of them.
        let sum = |k: &mut KernelBuilder, f: &dyn Fn(&mut KernelBuilder, Value) -> Value| {
            let add = |k: &mut KernelBuilder, i: Index, lanes: usize, sum: Value| {
                let v = k.load(Elem::F32.x(lanes), x.at(at(i)));
                let v = f(k, v);
                vec![k.add(sum, v)]
            };
            let (zeros, zero) = (k.float(Elem::F32.x(lanes), 0.0), k.float(scalar, 0.0));
            let total = match full {
                0 => zero,
                _ => {
                    let sums = k.repeat("i", full, lanes as i64, &[zeros], |k, i, s| add(k, i.into(), lanes, s[0]));
                    if lanes == 1 { sums[0] } else { k.reduce(Reduce::Add, sums[0]) }
                }
            };
            match cells - full {
                0 => total,
                rest => k.repeat("rest", rest, 1, &[total], |k, i, s| add(k, Index::from(i) + full, 1, s[0]))[0],
            }
        };
        let count = k.float(scalar, cells as f32);
        let total = sum(k, &|_, v| v);
        let mean = k.div(total, count);
        let squares = sum(k, &|k, v| {
            let mean = k.splat_to(mean, v);
            let d = k.sub(v, mean);
            k.mul(d, d)
        });
        let (variance, least, one) = (k.div(squares, count), k.float(scalar, 1e-8), k.float(scalar, 1.0));
        let variance = k.add(variance, least);
        let root = k.unary(Unary::Sqrt, variance);
        let inverse = k.div(one, root);
        each_cell(k, 1, cells, lanes, |k, c| {
            let place = x.at(at(c.first.clone()));
            let [v, factor, bias] =
                [place.clone(), coefficient.at(c.first.clone() * 4 + constants), bias_arg.at(c.first.clone() * 4 + constants)]
                    .map(|p| k.load_part(Elem::F32.x(c.lanes), p, c.count));
            let (mean, inverse) = (k.splat_to(mean, v), k.splat_to(inverse, v));
            let v = k.sub(v, mean);
            let v = k.mul(v, inverse);
            let v = mul_add(k, m, v, factor, bias);
            k.store_part(place, v, c.count);
        });
    });
    let bytes = 4 * (first * cells) as i64;
    cx.call(k.finish(), &[gates, coefficients, bias], &[bytes, bytes]);
}

/// A scalar in all lanes of another value.
pub trait SplatTo {
    fn splat_to(&mut self, scalar: Value, like: Value) -> Value;
}

impl SplatTo for KernelBuilder {
    fn splat_to(&mut self, scalar: Value, like: Value) -> Value {
        match self.ty(like).lanes {
            1 => scalar,
            lanes => self.splat(scalar, lanes as usize),
        }
    }
}

/// What both directions of an operator read and write, by position: with a second input that has no weights, the backward one reads that.
#[derive(Clone, Copy, Debug)]
pub struct Both {
    pub second: usize,
    /// Of the second input, forward.
    pub second_weights: usize,
    pub merge_outputs: bool,
}

impl Both {
    /// The inputs, and the second ones: forward, backward.
    pub fn inputs(&self, has: impl Fn(usize) -> bool) -> [[Option<usize>; 2]; 2] {
        let second = has(self.second).then_some(self.second);
        match second {
            Some(second) if !has(self.second_weights) => [[Some(0), None], [Some(second), None]],
            _ => [[Some(0), second], [Some(0), second]],
        }
    }

    /// Of the rows of both directions: the result, the bytes of its rows, where the direction's begin.
    pub fn output(&self, cx: &mut Context, node: &Node, row_bytes: [usize; 2], is_backward: bool) -> (BufferId, usize, usize) {
        match (self.merge_outputs, is_backward) {
            (true, _) => (cx.output(node, 0), row_bytes[0] + row_bytes[1], if is_backward { row_bytes[0] } else { 0 }),
            (false, _) => (cx.output(node, is_backward as usize), row_bytes[is_backward as usize], 0),
        }
    }

    pub fn shapes(&self, x: &TensorType, outputs: [usize; 2]) -> Vec<Vec<usize>> {
        let shape = |n: usize| vec![x.shape[0], x.shape[1], n];
        if self.merge_outputs { vec![shape(outputs[0] + outputs[1])] } else { outputs.map(shape).to_vec() }
    }
}

/// Sizes of a dimension that nothing is made of are refused: sequences of no steps, vectors without elements.
pub fn not_empty(what: &str, size: usize) -> Result<(), Diagnostic> {
    match size {
        0 => Err(Diagnostic::new(Code::OPERAND, format!("{what} is empty"))),
        _ => Ok(()),
    }
}

/// Shape of an operand, or what is wrong with it.
pub fn shaped(what: &str, input: usize, ty: &TensorType, shape: &[usize]) -> Result<(), Diagnostic> {
    if ty.shape == shape {
        return Ok(());
    }
    Err(Diagnostic::new(Code::OPERAND, format!("the shape of {what} is wrong"))
        .detail(format!("input {input}"))
        .expected(format!("{shape:?}"))
        .found(format!("{:?}", ty.shape)))
}

/// That a state has so many elements, in whatever shape.
pub fn state_of(what: &str, input: usize, ty: &TensorType, elements: usize) -> Result<(), Diagnostic> {
    if ty.element_count() == elements {
        return Ok(());
    }
    Err(Diagnostic::new(Code::OPERAND, format!("the size of {what} is wrong"))
        .detail(format!("input {input}"))
        .expected(format!("{elements} elements"))
        .found(format!("{:?}", ty.shape)))
}
