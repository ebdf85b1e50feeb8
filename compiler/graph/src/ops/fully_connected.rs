//! FULLY_CONNECTED: y[m, o] = clamp(bias[o] + Σ x[m, k] · w[o, k]); the input's dimensions are flattened to rows of as many numbers as the
//! weights have columns.
//!
//! f32; i8, u8 (also with an i16 result) and i16 with i8 weights, whose sums are multiplied by the real scale and rounded once; i16 with
//! i16 weights, whose i64 sums are rescaled by a 16-bit multiplier; f32 with i8 weights, for which the input is quantised at run time, row
//! by row. For i8 weights there may be i4, and i2 beside i8. Weights of whole bytes may be computed at run time, unless they are i8 beside
//! i16; so may the bias, which is optional, but for the one beside i16, or beside activations that are quantised at run time.
//!
//! Differences from TensorFlow Lite: the bias's scale need not be the product of the others. The model's types say what a number is, where
//! the reference kernels of LiteRT 2.3.0 read other memory: of i16 with i8 weights an i32 bias is added as what it is (they read i64,
//! beyond its end), of i16 with i16 weights an i64 bias (they read i32). An i8 weight of −128 beside f32 counts as −128, which not all
//! kernels there give. Without options i16 is refused, as there; sums of bytes must fit 32 bits.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::gemm::direct::{self, Direct, Terms};
use crate::lower::gemm::hybrid::{self, Bytes};
use crate::lower::gemm::{self, Axis, Bias, Filter, Product, Rescale};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::Target;
use crate::lower::{Context, copy, narrow};
use crate::ops::attributes::Activation;
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::moves::{self, Moves};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::steps::Reference;
use crate::quantize::{convolution_multiplier, convolution_multiplier_per_tensor, quantize_multiplier};
use crate::tensor::ElementType::{F32, I2, I4, I8, I16, I32, I64, U8};
use crate::tensor::{ElementType, TensorType};
use crate::text::fields::fields;
use cranelite_schema as schema;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub keep_num_dims: bool,
    pub asymmetric_quantize_inputs: bool,
}
fields!(activation, keep_num_dims, asymmetric_quantize_inputs);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=3, kept: Kept::First(3), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[
        Row::Of(&[&[F32], &[F32, I8, I4, I2], &[F32]], &[&[F32]]),
        Row::Of(&[&[I8], &[I8, I4, I2], &[I32]], &[&[I8]]),
        Row::Of(&[&[U8], &[U8], &[I32]], &[&[U8, I16]]),
        Row::Of(&[&[I16], &[I8, I4, I2, I16], &[I32, I64]], &[&[I16]]),
    ];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        // Without options the reference reads zeros.
        let Some(options) = source.operator.builtin_options_as_fully_connected_options() else {
            if source.signature.input(0)?.element == ElementType::I16 {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent")
                    .expected("options, which say the type of the bias of int16 products"));
            }
            return Ok(Attributes { activation: Activation::None, keep_num_dims: false, asymmetric_quantize_inputs: false });
        };
        if options.weights_format() != schema::FullyConnectedOptionsWeightsFormat::DEFAULT {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the order of the weights is not supported")
                .expected("DEFAULT")
                .found(options.weights_format().variant_name().unwrap_or("an unknown number")));
        }
        Ok(Attributes {
            activation: Activation::decode(options.fused_activation_function())?,
            keep_num_dims: options.keep_num_dims(),
            asymmetric_quantize_inputs: options.asymmetric_quantize_inputs(),
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, w, y) = (s.input(0)?, s.input(1)?, s.output(0));
        let &[units, depth] = w.shape.as_slice() else {
            return Err(Diagnostic::new(Code::OPERAND, "the weights have the wrong rank")
                .expected("2 dimensions")
                .found(format!("{:?}", w.shape)));
        };
        let element = x.element;
        checks::bias(s, 2, units)?;
        if element != F32 {
            checks::per_tensor("the input", x)?;
            checks::per_tensor("the output", y)?;
            Target::new(y, self.activation)?;
        }
        match w.element {
            U8 => drop(checks::per_tensor("the weights", w)?),
            I8 | I4 | I2 | I16 => checks::per_channel_of("the weights", w, 0)?,
            _ => {}
        }
        if element == I16 {
            checks::no_zero_point("the input", x)?;
            checks::no_zero_point("the output", y)?;
            checks::symmetric("the weights", w)?;
        }

        let fits = if self.keep_num_dims || depth == 0 { x.shape.last() == Some(&depth) } else { x.element_count() % depth == 0 };
        if !fits {
            return Err(Diagnostic::new(Code::OPERAND, "the input does not fit the weights")
                .expected(format!("rows of {depth} numbers"))
                .found(format!("shape {:?}", x.shape)));
        }
        let before = &x.shape[..x.rank().saturating_sub(1)];
        Ok(vec![if self.keep_num_dims {
            before.iter().copied().chain([units]).collect()
        } else {
            let rows = x.element_count().checked_div(depth).unwrap_or_else(|| before.iter().product());
            vec![rows, units]
        }])
    }

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn macs(&self, s: &Signature) -> u64 {
        let depth = s.inputs[1].and_then(|w| w.ty.shape.last().copied()).unwrap_or(0);
        (s.output(0).element_count() * depth) as u64
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 1 < s.input(0)?.rank() {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn channels(&self, s: &Signature) -> Channels {
        let (Ok(x), Ok(w)) = (s.input(0), s.input(1)) else { return Channels::Whole };
        let (depth, channels) = (channels::count(w), channels::count(x));
        match x.element == F32 || channels == 0 || depth == 0 || depth % channels != 0 {
            true => Channels::Whole,
            false => Channels::Product(product(x, w)),
        }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let (x, w, y) = (s.input(0).ok()?, s.input(1).ok()?, s.output(0));
        channels::of_product(product(x, w), s, &operands[0], &rescale(x, w, y), Target::new(y, self.activation).ok()?)
    }

    fn moves(&self, s: &Signature) -> Moves {
        moves::product(s)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.own_type(node));
        let (units, depth) = (w.shape[0], w.shape[1]);
        let data = cx.constant_input(node, 1);
        if data.is_none() && ((x.element, w.element) == (I16, I8) || matches!(w.element, I4 | I2)) {
            return Err(cx.not_constant(node, 1, "the weights"));
        }
        let (w, data) = match data {
            Some(data) => {
                let (w, data) = narrow::widened(w, data);
                (w, Some(data))
            }
            None => (Cow::Borrowed(w), None),
        };
        let (bias, bias_in_memory) = Bias::in_memory(cx, node, 2)?;
        if bias_in_memory.is_some() && x.element == ElementType::F32 && w.element != ElementType::F32 {
            return Err(cx.not_constant(node, 2, "the bias of activations that are quantised at run time"));
        }
        if bias_in_memory.is_some() && x.element == I16 {
            return Err(cx.not_constant(node, 2, "the bias of int16 activations"));
        }
        let mut from = cx.input(node, 0);
        if y.element_count() == 0 {
            return Ok(());
        }
        if depth == 0 {
            // The reference writes zeros, without the bias.
            let zeros = cx.constant("zeros", vec![0; y.size_bytes()], 64);
            let to = cx.output(node, 0);
            copy::whole(cx, zeros, to);
            return Ok(());
        }
        let rows = x.element_count() / depth;

        let channels = 0..units;
        let scale = |c: usize| w.quantization.as_ref().map_or(1.0, |q| q.scale(c));
        let (mut input, mut input_zero_point) = (x.element, if x.element == F32 { 0 } else { x.zero_point() });
        let rescale = match (x.element, w.element) {
            (ElementType::F32, ElementType::F32) => Rescale::Float,
            (ElementType::F32, _) => {
                let asymmetric = self.asymmetric_quantize_inputs;
                let bytes = if data.is_some() { Bytes::of_products(cx.machine) } else { Bytes::Signed };
                let q = hybrid::quantize_input(cx, node, hybrid::Rows { count: rows, len: depth, asymmetric }, bytes);
                (from, input, input_zero_point) = (q.integers, bytes.element(), bytes.zero_point());
                Rescale::Hybrid { scales: channels.map(scale).collect(), asymmetric, in_turn: false, per_pixel: true, factors: q.factors }
            }
            _ => rescale(x, &w, y),
        };
        let weight_zero_point = weight_zero_point(x, &w);
        let target = if y.element == ElementType::F32 { None } else { Some(Target::new(y, self.activation)?) };
        let activation = self.activation;
        let to = Destination::of_node(cx, node)?;
        let Some(data) = data.as_ref().filter(|_| bias_in_memory.is_none()) else {
            let weights = match &data {
                Some(data) => cx.constant("weights", data.to_vec(), 64),
                None => cx.input(node, 1),
            };
            let weights = direct::transposed(cx, weights, w.element, 1, units, depth);
            let (elements, zero_points) = ([input, w.element], [input_zero_point, weight_zero_point]);
            let terms = Terms { elements, zero_points, bias, rescale, activation, target };
            let product = Direct { batches: vec![], rows, depth, columns: units, bias: bias_in_memory, terms };
            return direct::lower(cx, &product, [from, weights], &to);
        };
        let product = Product {
            batch: 1,
            rows: Axis::plain(1),
            columns: Axis::plain(rows),
            channels: depth,
            filter: Filter { element: w.element, shape: [units, 1, 1, depth], data },
            input,
            input_zero_point,
            weight_zero_point,
            bias,
            rescale,
            activation,
            target,
        };
        gemm::lower(cx, &product, from, &to)
    }
}

/// Of integers.
fn rescale(x: &TensorType, w: &TensorType, y: &TensorType) -> Rescale {
    let (input_scale, output_scale) = (x.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0));
    let scale = |c: usize| w.quantization.as_ref().map_or(1.0, |q| q.scale(c));
    let real = |c| convolution_multiplier(input_scale, scale(c), output_scale);
    let channels = 0..w.shape[0];
    if (x.element, w.element) != (I16, I16) {
        return Rescale::Sum(channels.map(real).map(Reference::Real).collect());
    }
    let multiplier = |c| {
        let real = if is_per_tensor(w) { convolution_multiplier_per_tensor(input_scale, scale(c), output_scale) } else { real(c) };
        quantize_multiplier(real)
    };
    Rescale::Wide(channels.map(multiplier).collect())
}

fn is_per_tensor(w: &TensorType) -> bool {
    w.quantization.as_ref().is_none_or(|q| q.is_per_tensor())
}

/// Weights quantised per channel have none in the reference, nor have those of quantised activations.
fn weight_zero_point(x: &TensorType, w: &TensorType) -> i64 {
    if is_per_tensor(w) && x.element != F32 { w.zero_point() } else { 0 }
}

/// Of integers.
fn product(x: &TensorType, w: &TensorType) -> channels::Product {
    channels::Product { weight_zero_point: weight_zero_point(x, w), is_padded: false }
}
