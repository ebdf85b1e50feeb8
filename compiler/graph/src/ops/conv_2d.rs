//! CONV_2D: y[n, i, j, o] = clamp(bias[o] + Σ x[n, i·s + a·d − p, j·s + b·d − p, g + c] · w[o, a, b, c]); NHWC, padding adds nothing.
//!
//! f32; i8 and u8 with i32 sums, rounded twice; i16 with i8 weights, whose sums are i64 and rescaled by a 16-bit multiplier, or i32 where
//! the bias is; f32 with i8 weights, for which the input is quantised at run time, image by image. For i8 weights there may be i4, except
//! beside i16. Weights and bias may be computed at run time, but for those of i4, and the bias beside activations that are quantised. When the filter has fewer input channels than the image, output channels fall into as many
//! groups (g). A batch may be empty, an image may not, as in the reference.
//!
//! Differences from TensorFlow Lite: the bias may be absent, and it is not demanded that its scale be the product of the others. An int32
//! bias beside int16 activations is added as what it is; the reference kernels of LiteRT 2.3.0 read it as int64, beyond its end.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::gemm::direct::{self, Taps, Terms, Windows};
use crate::lower::gemm::hybrid::{self, Bytes};
use crate::lower::gemm::{self, Axis, Bias, Filter, Places, Product, Rescale};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::Target;
use crate::lower::{Context, narrow};
use crate::ops::attributes::{Activation, Padding, Window, positive};
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::moves::{self, Moves};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks, types};
use crate::tensor::ElementType::{F32, I4, I8, U8};
use crate::tensor::{ElementType, TensorType};
use crate::text::fields::fields;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
}
fields!(stride, dilation, padding, activation);

impl Attributes {
    /// Of integers.
    fn product(&self, w: &TensorType) -> channels::Product {
        channels::Product { weight_zero_point: weight_zero_point(w), is_padded: self.padding != Padding::default() }
    }

    fn windows(&self, input: [usize; 4], filter: [usize; 4]) -> [Window; 2] {
        [0, 1].map(|d| Window { input: input[d + 1], filter: filter[d + 1], stride: self.stride[d], dilation: self.dilation[d] })
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=3, kept: Kept::First(3), outputs: 1..=1 };
    const TYPES: &'static [types::Row] = types::CONVOLUTION;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(options) = source.operator.builtin_options_as_conv_2_doptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let mut a = Attributes {
            stride: [positive("stride_h", options.stride_h())?, positive("stride_w", options.stride_w())?],
            dilation: [positive("dilation_h", options.dilation_h_factor())?, positive("dilation_w", options.dilation_w_factor())?],
            padding: Padding::default(),
            activation: Activation::decode(options.fused_activation_function())?,
        };
        let (input, filter) =
            (checks::image("the input", source.signature.input(0)?)?, checks::image("the filter", source.signature.input(1)?)?);
        let [rows, columns] = a.windows(input, filter);
        a.padding = Padding::decode(options.padding(), rows, columns)?;
        Ok(a)
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, w) = (s.input(0)?, s.input(1)?);
        let (input, filter) = (checks::image("the input", x)?, checks::image("the filter", w)?);
        if input[1..].contains(&0) || filter.contains(&0) {
            return Err(
                Diagnostic::new(Code::OPERAND, "images and filters must not be empty").found(format!("input {input:?}, filter {filter:?}"))
            );
        }
        let groups = input[3] / filter[3];
        if input[3] % filter[3] != 0 || filter[0] % groups != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "channels of input and filter do not fit each other")
                .expected("the filter's input channels divide the image's, and as many groups divide its output channels")
                .found(format!("input {input:?}, filter {filter:?}")));
        }

        let element = x.element;
        checks::bias(s, 2, filter[0])?;
        if element != F32 {
            checks::per_tensor("the input", x)?;
            checks::per_tensor("the output", s.output(0))?;
            Target::new(s.output(0), self.activation)?;
        }
        match w.element {
            U8 => drop(checks::per_tensor("the filter", w)?),
            I8 | I4 => {
                checks::per_channel_of("the filter", w, 0)?;
                checks::symmetric("the filter", w)?;
            }
            _ => {}
        }
        checks::no_zero_points_of_words(x, s.output(0))?;

        let p = &self.padding;
        let [rows, columns] = self.windows(input, filter);
        match (rows.output(p.top, p.bottom), columns.output(p.left, p.right)) {
            (Some(h), Some(w)) => Ok(vec![vec![input[0], h, w, filter[0]]]),
            _ => Err(Diagnostic::new(Code::OPERAND, "the filter is larger than the image")
                .found(format!("input {input:?}, filter {filter:?}, padding {p:?}, dilation {:?}", self.dilation))),
        }
    }

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn macs(&self, s: &Signature) -> u64 {
        let filter = s.inputs[1].map_or(&[][..], |w| &w.ty.shape);
        (s.output(0).element_count() * filter.iter().skip(1).product::<usize>()) as u64
    }

    fn channels(&self, s: &Signature) -> Channels {
        let (Ok(x), Ok(w)) = (s.input(0), s.input(1)) else { return Channels::Whole };
        match (x.element, channels::count(x) == channels::count(w)) {
            (F32, _) | (_, false) => Channels::Whole,
            _ => Channels::Product(self.product(w)),
        }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let (x, w, y) = (s.input(0).ok()?, s.input(1).ok()?, s.output(0));
        let rescale = Rescale::of_convolution(x, w, y, w.shape[0], has_i64_sums(s.optional(2).map(|b| b.ty)));
        channels::of_product(self.product(w), s, &operands[0], &rescale, Target::new(y, self.activation).ok()?)
    }

    fn moves(&self, s: &Signature) -> Moves {
        moves::product(s)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.own_type(node));
        let (input, filter, result) = (checks::image("the input", x)?, checks::image("the filter", w)?, checks::image("the output", y)?);
        let at_run_time = Windows::are_needed(cx, node);
        let (w, data) = match cx.constant_input(node, 1) {
            Some(data) => narrow::widened(w, data),
            None => (Cow::Borrowed(w), Cow::default()),
        };
        let (bias, bias_in_memory) = Bias::in_memory(cx, node, 2)?;
        if bias_in_memory.is_some() && x.element != w.element && x.element == ElementType::F32 {
            return Err(cx.not_constant(node, 2, "the bias of activations that are quantised at run time"));
        }
        let mut from = cx.input(node, 0);
        let to = Destination::of_node(cx, node)?;
        if y.element_count() == 0 {
            return Ok(());
        }

        let channels = 0..filter[0];
        let scale = |c: usize| w.quantization.as_ref().map_or(1.0, |q| q.scale(c));
        let i64_sums = has_i64_sums(node.input(2).map(|b| cx.graph.ty(b)));
        let (mut element, mut input_zero_point) = (x.element, if x.element == F32 { 0 } else { x.zero_point() });
        let rescale = match (x.element, w.element) {
            (ElementType::F32, ElementType::F32) => Rescale::Float,
            (ElementType::F32, _) => {
                // The reference takes an offset where scales differ, and for groups.
                let asymmetric = channels.clone().any(|c| scale(c) != scale(0)) || input[3] != filter[3];
                let bytes = if at_run_time { Bytes::Signed } else { Bytes::of_products(cx.machine) };
                let rows = hybrid::Rows { count: input[0], len: input[1..].iter().product(), asymmetric };
                let q = hybrid::quantize_input(cx, node, rows, bytes);
                (from, element, input_zero_point) = (q.integers, bytes.element(), bytes.zero_point());
                Rescale::Hybrid {
                    scales: channels.map(scale).collect(),
                    asymmetric,
                    in_turn: asymmetric,
                    per_pixel: false,
                    factors: q.factors,
                }
            }
            _ => Rescale::of_convolution(x, &w, y, filter[0], i64_sums),
        };
        let axis = |d: usize, before: usize| Axis {
            input: input[d + 1],
            filter: filter[d + 1],
            output: result[d + 1],
            stride: self.stride[d],
            dilation: self.dilation[d],
            before: before as i64,
            places: Places::all(result[d + 1]),
        };
        let (rows, columns) = (axis(0, self.padding.top), axis(1, self.padding.left));
        let weight_zero_point = weight_zero_point(&w);
        let target = if y.element == ElementType::F32 { None } else { Some(Target::new(y, self.activation)?) };
        let activation = self.activation;
        if at_run_time {
            let weights = direct::filter(cx, node, 1)?;
            let windows = Windows {
                batch: input[0],
                rows,
                columns,
                channels: input[3],
                groups: input[3] / filter[3],
                outputs: filter[0],
                filter_columns: filter[2],
                taps: [Taps::ALL; 2],
                bias: bias_in_memory,
                terms: Terms {
                    elements: [element, w.element],
                    zero_points: [input_zero_point, weight_zero_point],
                    bias,
                    rescale,
                    activation,
                    target,
                },
            };
            return direct::windows(cx, &windows, [from, weights], &to);
        }
        let product = Product {
            batch: input[0],
            rows,
            columns,
            channels: input[3],
            filter: Filter { element: w.element, shape: filter, data: &data },
            input: element,
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

fn weight_zero_point(w: &TensorType) -> i64 {
    if w.element == U8 { w.zero_point() } else { 0 }
}

/// Of int16, by the bias.
fn has_i64_sums(bias: Option<&TensorType>) -> bool {
    bias.is_none_or(|b| b.element != ElementType::I32)
}
