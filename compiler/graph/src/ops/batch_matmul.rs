//! BATCH_MATMUL: y[.., m, n] = Σ x[.., m, k] · w[.., k, n], either side transposed first if its `adj` says so; batches are broadcast.
//!
//! f32; i8 with i32 sums, rescaled to i8 with one rounding after the other, or given as they are; i16 with i64 sums, rescaled by a 16-bit
//! multiplier; f32 with i8 on the right, for which the left side is quantised at run time, row by row. Both sides may be computed at run
//! time; a right side that is one constant matrix is packed when the model is compiled.
//!
//! Differences from TensorFlow Lite: any rank from 2 on. Sums of bytes must fit 32 bits.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::gemm::direct::{self, Batch, Direct, Terms};
use crate::lower::gemm::hybrid::{self, Bytes};
use crate::lower::gemm::{self, Axis, Bias, Filter, Product, Rescale};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::Target;
use crate::ops::attributes::Activation;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::steps::Reference;
use crate::quantize::{convolution_multiplier_per_tensor, quantize_multiplier};
use crate::tensor::ElementType::{F32, I8, I16, I32};
use crate::tensor::TensorType;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub adj_x: bool,
    pub adj_y: bool,
    pub asymmetric_quantize_inputs: bool,
}
fields!(adj_x, adj_y, asymmetric_quantize_inputs);

/// Batches, and rows and columns of a matrix before it is transposed.
fn matrices(ty: &TensorType) -> Result<(&[usize], [usize; 2]), Diagnostic> {
    match ty.shape.as_slice() {
        [batches @ .., rows, columns] => Ok((batches, [*rows, *columns])),
        other => Err(Diagnostic::new(Code::OPERAND, "a side of the product is no matrix")
            .expected("2 dimensions or more")
            .found(format!("{other:?}"))),
    }
}

impl Attributes {
    /// Rows, depth and columns.
    fn sizes(&self, [a, b]: [usize; 2], [c, d]: [usize; 2]) -> Option<[usize; 3]> {
        let (rows, depth) = if self.adj_x { (b, a) } else { (a, b) };
        let (other, columns) = if self.adj_y { (d, c) } else { (c, d) };
        (depth == other).then_some([rows, depth, columns])
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] =
        &[Row::Of(&[&[F32], &[F32, I8]], &[&[F32]]), Row::Of(&[&[I8], &[I8]], &[&[I8, I32]]), Row::Of(&[&[I16], &[I16]], &[&[I16]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(options) = source.operator.builtin_options_as_batch_mat_mul_options() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        Ok(Attributes { adj_x: options.adj_x(), adj_y: options.adj_y(), asymmetric_quantize_inputs: options.asymmetric_quantize_inputs() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, w, y) = (s.input(0)?, s.input(1)?, s.output(0));
        let ((left, a), (right, b)) = (matrices(x)?, matrices(w)?);
        let Some([rows, _, columns]) = self.sizes(a, b) else {
            return Err(Diagnostic::new(Code::OPERAND, "the sides of the product do not fit each other")
                .expected("as many columns on the left as rows on the right, after transposing")
                .found(format!("{:?} and {:?}", x.shape, w.shape)));
        };
        if x.element != F32 {
            checks::per_tensor("the left side", x)?;
        }
        if w.element != F32 {
            checks::per_tensor("the right side", w)?;
        }
        if checks::is_quantized(y.element) {
            Target::new(y, Activation::None)?;
        }
        if x.element == I16 {
            [("the left side", x), ("the right side", w), ("the result", y)]
                .iter()
                .try_for_each(|(what, ty)| checks::no_zero_point(what, ty))?;
        }
        if x.element == F32 && w.element == I8 {
            checks::symmetric("the right side", w)?;
        }
        let mut shape = checks::broadcast(left, right)?;
        shape.extend([rows, columns]);
        Ok(vec![shape])
    }

    fn macs(&self, s: &Signature) -> u64 {
        let depth = s.inputs[0].and_then(|x| x.ty.shape.iter().rev().nth(if self.adj_x { 1 } else { 0 }).copied()).unwrap_or(0);
        (s.output(0).element_count() * depth) as u64
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.own_type(node));
        let ((left, a), (right, b)) = (matrices(x)?, matrices(w)?);
        let [rows, depth, columns] = self.sizes(a, b).expect("sizes that infer lets pass");
        let constant = cx.constant_input(node, 1);
        let to = Destination::of_node(cx, node)?;
        if y.element_count() == 0 {
            return Ok(());
        }
        let (left_count, right_count): (usize, usize) = (left.iter().product(), right.iter().product());
        let mut from = cx.input(node, 0);
        if self.adj_x {
            from = direct::transposed(cx, from, x.element, left_count, a[0], a[1]);
        }
        let real = || convolution_multiplier_per_tensor(x.scale().unwrap_or(1.0), w.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0));
        let packed = constant.filter(|_| right_count == 1 && 0 < depth);
        let mut zero_points = [x, w].map(|ty| if ty.element == F32 { 0 } else { ty.zero_point() });
        let (rescale, element) = match (x.element, w.element) {
            (F32, F32) => (Rescale::Float, F32),
            (F32, _) => {
                let asymmetric = self.asymmetric_quantize_inputs;
                let bytes = if packed.is_some() { Bytes::of_products(cx.machine) } else { Bytes::Signed };
                let q = hybrid::quantize(cx, from, hybrid::Rows { count: left_count * rows, len: depth, asymmetric }, bytes);
                (from, zero_points[0]) = (q.integers, bytes.zero_point());
                let scales = vec![w.scale().unwrap_or(1.0); columns];
                (Rescale::Hybrid { scales, asymmetric, in_turn: false, per_pixel: true, factors: q.factors }, bytes.element())
            }
            (I16, _) => (Rescale::Wide(vec![quantize_multiplier(real()); columns]), I16),
            _ if y.element == I32 => (Rescale::None, I8),
            _ => {
                let (multiplier, shift) = quantize_multiplier(real());
                (Rescale::Sum(vec![Reference::Fixed(multiplier, shift); columns]), I8)
            }
        };
        let target = if checks::is_quantized(y.element) { Some(Target::new(y, Activation::None)?) } else { None };

        if let Some(data) = packed {
            // Packing wants the depth of a column in one piece.
            let turned = (!self.adj_y).then(|| direct::transposed_bytes(data, w.element, depth, columns));
            let product = Product {
                batch: 1,
                rows: Axis::plain(1),
                columns: Axis::plain(left_count * rows),
                channels: depth,
                filter: Filter { element: w.element, shape: [columns, 1, 1, depth], data: turned.as_deref().unwrap_or(data) },
                input: element,
                input_zero_point: zero_points[0],
                weight_zero_point: zero_points[1],
                bias: Bias::None,
                rescale,
                activation: Activation::None,
                target,
            };
            return gemm::lower(cx, &product, from, &to);
        }
        let other = match constant {
            Some(data) if self.adj_y => cx.constant("transposed", direct::transposed_bytes(data, w.element, b[0], b[1]), 64),
            _ if self.adj_y => {
                let other = cx.input(node, 1);
                direct::transposed(cx, other, w.element, right_count, b[0], b[1])
            }
            _ => cx.input(node, 1),
        };
        let batches = &y.shape[..y.rank() - 2];
        let product = Direct {
            batches: (0..batches.len())
                .map(|d| Batch { count: batches[d], strides: [left, right].map(|s| stride(s, batches.len(), d)) })
                .collect(),
            rows,
            depth,
            columns,
            bias: None,
            terms: Terms { elements: [element, w.element], zero_points, bias: Bias::None, rescale, activation: Activation::None, target },
        };
        direct::lower(cx, &product, [from, other], &to)
    }
}

/// From one batch along dimension `d` of so many to the next, in matrices; 0 where there is but one.
fn stride(batches: &[usize], rank: usize, d: usize) -> usize {
    match (d + batches.len()).checked_sub(rank) {
        Some(own) if batches[own] != 1 => batches[own + 1..].iter().product(),
        _ => 0,
    }
}
