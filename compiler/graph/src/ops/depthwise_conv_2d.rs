//! DEPTHWISE_CONV_2D: y[c·M + m] = clamp(bias + Σ x[c] · w[c·M + m]) over the taps of a window; NHWC, weights [1, rows, columns, C·M].
//!
//! f32; f32 with i8 weights, where the activations of each image are quantised at run time; i8 with i8 weights per channel or tensor; u8
//! with u8 weights; i16 with i8 weights and a bias of i64 (or of i32, with the rounding that CONV_2D has then). M follows from the shapes;
//! the attribute of that name in the model is not used, as in the reference. For i8 weights there may be i4, except beside i16. Weights
//! and bias may be computed at run time, but for i4, and beside activations that are quantised. A batch may be empty, an image may not, as in the reference.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::depthwise::{self, Convolution, Finish, Geometry, Source as Image, Weights};
use crate::lower::gemm::direct::{self, Taps, Terms, Windows};
use crate::lower::gemm::{self, Axis, Bias, Filter, Places, Product, Rescale};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::{Target, elem};
use crate::lower::{Context, narrow};
use crate::ops::attributes::{Activation, Padding, Window, positive};
use crate::ops::channels::{self, Channels, Intervals, Sum};
use crate::ops::moves::{self, Moves};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks, types};
use crate::quantize::steps::Reference;
use crate::quantize::{convolution_multiplier, convolution_multiplier_per_tensor, quantize_multiplier};
use crate::tensor::ElementType::{F32, I4, I8, I16, U8};
use crate::tensor::{ElementType, TensorType};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub depth_multiplier: usize,
    pub activation: Activation,
}
fields!(stride, dilation, padding, depth_multiplier, activation);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=3, kept: Kept::First(3), outputs: 1..=1 };
    const TYPES: &'static [types::Row] = types::CONVOLUTION;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let options = source
            .operator
            .builtin_options_as_depthwise_conv_2_doptions()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        let stride = [positive("stride_h", options.stride_h())?, positive("stride_w", options.stride_w())?];
        let dilation =
            [positive("dilation_h_factor", options.dilation_h_factor())?, positive("dilation_w_factor", options.dilation_w_factor())?];
        let shapes = Shapes::new(source.signature.input(0)?, source.signature.input(1)?)?;
        let axis = |i: usize| Window { input: shapes.image[1 + i], filter: shapes.filter[i], stride: stride[i], dilation: dilation[i] };
        Ok(Attributes {
            stride,
            dilation,
            padding: Padding::decode(options.padding(), axis(0), axis(1))?,
            depth_multiplier: shapes.multiplier,
            activation: Activation::decode(options.fused_activation_function())?,
        })
    }

    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, w, y) = (signature.input(0)?, signature.input(1)?, signature.output(0));
        let bias = signature.optional(2).map(|o| o.ty);
        let shapes = Shapes::new(x, w)?;
        check_scales(x, w, y)?;
        let channels = w.shape[3];
        if shapes.multiplier != self.depth_multiplier {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the depth multiplier contradicts the weights")
                .expected(shapes.multiplier.to_string())
                .found(self.depth_multiplier.to_string()));
        }
        if let Some(b) = bias.filter(|b| b.shape != [channels]) {
            return Err(Diagnostic::new(Code::OPERAND, "the bias does not fit the weights")
                .detail("input 2")
                .expected(format!("shape [{channels}]"))
                .found(format!("{:?}", b.shape)));
        }
        let axis =
            |i: usize| Window { input: shapes.image[1 + i], filter: shapes.filter[i], stride: self.stride[i], dilation: self.dilation[i] };
        let p = self.padding;
        match (axis(0).output(p.top, p.bottom), axis(1).output(p.left, p.right)) {
            (Some(h), Some(w)) => Ok(vec![vec![shapes.image[0], h, w, channels]]),
            _ => Err(Diagnostic::new(Code::OPERAND, "the filter is larger than the padded image")
                .expected(format!("at most {} × {} and the padding", shapes.image[1], shapes.image[2]))
                .found(format!("{} × {}, dilated by {} × {}", shapes.filter[0], shapes.filter[1], self.dilation[0], self.dilation[1]))),
        }
    }

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn macs(&self, signature: &Signature) -> u64 {
        let taps = signature.input(1).map_or(0, |w| w.shape[1] * w.shape[2]);
        signature.output(0).element_count() as u64 * taps as u64
    }

    fn channels(&self, s: &Signature) -> Channels {
        let (Ok(x), Ok(w)) = (s.input(0), s.input(1)) else { return Channels::Whole };
        match (x.element, channels::count(x)) {
            (F32, _) => Channels::Whole,
            _ if s.optional(1).is_some_and(|w| w.data.is_none()) => Channels::Whole,
            // One channel goes into all.
            (_, 1) => Channels::Same,
            (_, n) => Channels::Repeated(channels::count(w) / n),
        }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let (x, w, y) = (s.input(0).ok()?, s.input(1).ok()?, s.output(0));
        let (channels, bias) = (channels::count(w), s.optional(2));
        let i64_sums = bias.is_none_or(|b| b.ty.element != ElementType::I32);
        let rescale = Rescale::of_convolution(x, w, y, channels, i64_sums);
        let differences = channels::differences(&operands[0], x.zero_point(), self.padding != Padding::default());
        let mut sums: Vec<Sum> = channels::bias(bias, channels)?.into_iter().map(Sum::of).collect();
        let weights = channels::Weights::of(s.optional(1)?)?;
        let zero_point = w.zero_point();
        for (i, weight) in weights.numbers(0..w.element_count()).enumerate() {
            let channel = i % channels;
            sums[channel].add(weight - zero_point, differences.at(channel / self.depth_multiplier));
        }
        Some(channels::rescaled(sums.into_iter(), &rescale, Target::new(y, self.activation).ok()?))
    }

    fn refit(&mut self, s: &Signature) {
        if let (Ok(x), Ok(w)) = (s.input(0), s.input(1)) {
            self.depth_multiplier = channels::count(w) / channels::count(x);
        }
    }

    fn moves(&self, s: &Signature) -> Moves {
        moves::product(s)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.output_type(node, 0));
        if y.element_count() == 0 {
            return Ok(());
        }
        let shapes = Shapes::new(x, w)?;
        let geometry = Geometry {
            images: shapes.image[0],
            height: shapes.image[1],
            width: shapes.image[2],
            channels: shapes.image[3],
            multiplier: shapes.multiplier,
            out_height: y.shape[1],
            out_width: y.shape[2],
            filter: shapes.filter,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
        };
        if Windows::are_needed(cx, node) {
            return self.lower_at_run_time(cx, node, &geometry);
        }
        let (w, weights) = narrow::widened(w, constant(cx, node, 1, "the weights")?);
        let (w, weights) = (&*w, &*weights);
        let bias = match node.input(2) {
            Some(_) => Some(constant(cx, node, 2, "the bias")?),
            None => None,
        };
        let (input, output) = (cx.input(node, 0), cx.output(node, 0));
        let channels = geometry.out_channels();
        let hybrid = x.element == ElementType::F32 && w.element != ElementType::F32;
        if geometry.channels == 1 && 1 < channels && self.padding != Padding::default() && !hybrid {
            return self.lower_as_product(cx, node, &geometry, w, weights);
        }
        let (weights, weight_sums) = match w.element {
            ElementType::F32 => (Weights::Float(f32s(weights)), vec![]),
            _ => {
                let zero_point = w.zero_point() as i16;
                let integers: Vec<i16> = weights
                    .iter()
                    .map(|&b| if w.element == ElementType::I8 { i16::from(b as i8) } else { i16::from(b) } - zero_point)
                    .collect();
                let mut sums = vec![0u64; channels];
                integers.iter().enumerate().for_each(|(i, w)| sums[i % channels] += u64::from(w.unsigned_abs()));
                (Weights::Integer(integers), sums)
            }
        };
        let bias_f32s = || bias.map_or_else(|| vec![0.0; channels], f32s);
        if x.element == ElementType::F32 {
            let (finish, image, input) = match &weights {
                Weights::Float(_) => {
                    let image = Image { elem: cranelite_tile::Elem::F32, zero_point: 0, scales: None };
                    // Without fused multiply-add the sums are the reference's, bit for bit.
                    let bias_last = !cx.machine.fma;
                    (Finish::Float { bias: bias_f32s(), bias_last, activation: self.activation }, image, input)
                }
                Weights::Integer(_) => {
                    let quantization = w.quantization.as_ref().expect("checked by infer");
                    let scales = (0..channels).map(|c| quantization.scale(c)).collect();
                    let (image, values) = depthwise::quantize_at_run_time(cx, &geometry, input);
                    (Finish::Hybrid { bias: bias_f32s(), scales, activation: self.activation }, image, values)
                }
            };
            return Convolution { geometry, source: image, weights, finish }.lower(cx, input, output);
        }
        let target = Target::new(y, self.activation)?;
        let (multipliers, shifts): (Vec<i32>, Vec<i32>) = (0..channels).map(|c| multiplier(x, w, y, c)).unzip();
        let image = Image { elem: elem(x.element).expect("checked by infer"), zero_point: x.zero_point() as i32, scales: None };
        let finish = match (x.element, bias.map(|b| b.len() / channels)) {
            // The sums are kept in 32 bits.
            (ElementType::I16, None | Some(8)) => {
                if let Some(sum) = weight_sums.iter().find(|s| 65535 < **s) {
                    return Err(Diagnostic::new(Code::FEATURE, "the filter is too large for i16")
                        .expected("weights of at most 65535 per channel in all")
                        .found(sum.to_string())
                        .help("use a smaller filter, or quantise the layer to int8"));
                }
                let bias = bias.map_or_else(|| vec![0; channels], i64s);
                Finish::wide(&bias, &multipliers, &shifts, target)?
            }
            _ => Finish::Narrow {
                bias: bias.map_or_else(|| vec![0; channels], i32s),
                references: multipliers.into_iter().zip(shifts).map(|(m, s)| Reference::Fixed(m, s)).collect(),
                target,
            },
        };
        Convolution { geometry, source: image, weights, finish }.lower(cx, input, output)
    }
}

impl Attributes {
    /// With weights or a bias that are no constants: a convolution with as many groups as there are input channels.
    fn lower_at_run_time(&self, cx: &mut Context, node: &Node, g: &Geometry) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.output_type(node, 0));
        if x.element == ElementType::F32 && w.element != ElementType::F32 || w.element == I4 {
            let index = if cx.constant_input(node, 1).is_none() { 1 } else { 2 };
            return Err(cx.not_constant(node, index, "what is multiplied with activations that are quantised at run time, or of i4,"));
        }
        let fixed = || (0..g.out_channels()).map(|c| multiplier(x, w, y, c));
        let i64_sums = node.input(2).is_none_or(|b| cx.graph.ty(b).element != ElementType::I32);
        let rescale = match x.element {
            ElementType::F32 => Rescale::Float,
            ElementType::I16 if i64_sums => Rescale::Wide(fixed().collect()),
            _ => Rescale::Sum(fixed().map(|(m, s)| Reference::Fixed(m, s)).collect()),
        };
        let (bias, bias_in_memory) = Bias::in_memory(cx, node, 2)?;
        let [rows, columns] = axes(g);
        let windows = Windows {
            batch: g.images,
            rows,
            columns,
            channels: g.channels,
            groups: g.channels,
            outputs: g.out_channels(),
            filter_columns: g.filter[1],
            taps: [Taps::ALL; 2],
            bias: bias_in_memory,
            terms: Terms {
                elements: [x.element, w.element],
                zero_points: [x, w].map(|ty| if ty.element == ElementType::F32 { 0 } else { ty.zero_point() }),
                bias,
                rescale,
                activation: self.activation,
                target: if y.element == ElementType::F32 { None } else { Some(Target::new(y, self.activation)?) },
            },
        };
        // One input channel after the other, with its outputs, is how the weights lie already.
        let (from, weights, to) = (cx.input(node, 0), cx.input(node, 1), Destination::of_node(cx, node)?);
        direct::windows(cx, &windows, [from, weights], &to)
    }

    /// With one input channel it is an ordinary convolution, whose schedule needs no padded copy of the image.
    fn lower_as_product(&self, cx: &mut Context, node: &Node, g: &Geometry, w: &TensorType, weights: &[u8]) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let (channels, size) = (g.out_channels(), (w.element.bits().unwrap_or(8) / 8) as usize);
        // From [ky][kx][channel] to [channel][ky][kx].
        let transposed: Vec<u8> =
            (0..channels).flat_map(|c| (0..g.taps()).flat_map(move |t| &weights[(t * channels + c) * size..][..size])).copied().collect();
        let fixed = || (0..channels).map(|c| multiplier(x, w, y, c));
        let i64_sums = node.input(2).is_none_or(|b| cx.graph.ty(b).element != ElementType::I32);
        let rescale = match x.element {
            ElementType::F32 => Rescale::Float,
            ElementType::I16 if i64_sums => Rescale::Wide(fixed().collect()),
            _ => Rescale::Sum(fixed().map(|(m, s)| Reference::Fixed(m, s)).collect()),
        };
        let [rows, columns] = axes(g);
        let product = Product {
            batch: g.images,
            rows,
            columns,
            channels: 1,
            filter: Filter { element: w.element, shape: [channels, g.filter[0], g.filter[1], 1], data: &transposed },
            input: x.element,
            input_zero_point: if x.element == ElementType::F32 { 0 } else { x.zero_point() },
            weight_zero_point: if w.element == ElementType::U8 { w.zero_point() } else { 0 },
            bias: Bias::of_node(cx, node, 2)?,
            rescale,
            activation: self.activation,
            target: if y.element == ElementType::F32 { None } else { Some(Target::new(y, self.activation)?) },
        };
        let (from, to) = (cx.input(node, 0), Destination::of_node(cx, node)?);
        gemm::lower(cx, &product, from, &to)
    }
}

/// Rows and columns as those of a convolution.
fn axes(g: &Geometry) -> [Axis; 2] {
    let axis = |d: usize, input, output, before: usize| Axis {
        input,
        filter: g.filter[d],
        output,
        stride: g.stride[d],
        dilation: g.dilation[d],
        before: before as i64,
        places: Places::all(output),
    };
    [axis(0, g.height, g.out_height, g.padding.top), axis(1, g.width, g.out_width, g.padding.left)]
}

/// The parts of the shapes that everything follows from.
struct Shapes {
    image: [usize; 4],
    filter: [usize; 2],
    multiplier: usize,
}

impl Shapes {
    fn new(x: &TensorType, w: &TensorType) -> Result<Shapes, Diagnostic> {
        let image = checks::image("the image", x).map_err(|d| d.detail("input 0"))?;
        let [one, rows, columns, channels] = checks::image("the filter", w).map_err(|d| d.detail("input 1"))?;
        if image[1..].contains(&0) {
            return Err(Diagnostic::new(Code::OPERAND, "the image is empty")
                .detail("input 0")
                .expected("at least one row, column and channel")
                .found(format!("{:?}", x.shape)));
        }
        if one != 1 || rows == 0 || columns == 0 || channels == 0 || image[3] == 0 || channels % image[3] != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the weights do not fit the image")
                .detail("input 1")
                .expected(format!("[1, rows, columns, a multiple of {}]", image[3]))
                .found(format!("{:?}", w.shape)));
        }
        Ok(Shapes { image, filter: [rows, columns], multiplier: channels / image[3] })
    }
}

fn check_scales(x: &TensorType, w: &TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    let bad = |what: &str, found: std::string::String| Err(Diagnostic::new(Code::SCALE, what).found(found));
    for ty in [x, y].into_iter().filter(|t| t.element != F32) {
        match &ty.quantization {
            Some(q) if !q.is_per_tensor() => {
                return bad("quantisation of images per channel is not supported", format!("{} scales", q.scales.len()));
            }
            Some(q) if ty.element == I16 && q.zero_points[0] != 0 => {
                return bad("the zero point of i16 must be 0", q.zero_points[0].to_string());
            }
            Some(_) => {}
            None => return bad("integers need a scale and a zero point", "none".into()),
        }
    }
    if w.element == F32 {
        return Ok(());
    }
    let Some(q) = &w.quantization else { return bad("the weights need scales", "none".into()) };
    if !q.is_per_tensor() && (q.axis != 3 || q.scales.len() != w.shape[3] || w.element == U8) {
        return bad(
            "the weights' scales must be one, or for i8 one per output channel",
            format!("{} along axis {}", q.scales.len(), q.axis),
        );
    }
    match q.zero_points.iter().find(|z| matches!(w.element, I8 | I4) && **z != 0 || **z < 0 || 255 < **z) {
        Some(z) => bad("the zero point of the weights must be 0, or for u8 fit them", z.to_string()),
        None => Ok(()),
    }
}

/// Multiplier and shift of output channel `c`.
fn multiplier(x: &TensorType, w: &TensorType, y: &TensorType, c: usize) -> (i32, i32) {
    let (x, y) = (x.scale().expect("checked by infer"), y.scale().expect("checked by infer"));
    let scale = w.quantization.as_ref().expect("checked by infer").scale(c);
    quantize_multiplier(match w.element {
        ElementType::U8 => convolution_multiplier_per_tensor(x, scale, y),
        _ => convolution_multiplier(x, scale, y),
    })
}

fn constant<'a>(cx: &Context<'a>, node: &Node, index: usize, what: &str) -> Result<&'a [u8], Diagnostic> {
    cx.constant_input(node, index).map(|d| &d[..]).ok_or_else(|| cx.not_constant(node, index, what))
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
}
fn i32s(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
}
fn i64s(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes"))).collect()
}
