//! Transposed convolutions: y[n, i·s + a − p, j·s + b − p, o] += x[n, i, j, c] · w[o, a, b, c], from the bias on, then clamped; NHWC. What falls
//! beside the result is dropped, and where nothing falls is the bias.
//!
//! f32; i8 and u8 with i32 sums, rounded twice; i16 with i8 weights, whose sums are i64 and rescaled by a 16-bit multiplier, or i32 where
//! the bias is; f32 with i8 weights, for which the image is quantised at run time. The result's shape is a constant; weights and bias may be computed at run time. Output positions that are equal modulo the stride see the same taps of the
//! filter, and no others: each such phase is a plain convolution, with stride 1, of the image with the taps of its own, last tap first.
//!
//! Differences from TensorFlow Lite: the bias's scale need not be the product of the others. An image may not be empty.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::gemm::direct::{self, Taps, Terms, Windows};
use crate::lower::gemm::hybrid::{self, Bytes};
use crate::lower::gemm::{self, Axis, Bias, Filter, Places, Product, Rescale};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::Target;
use crate::ops::attributes::{Activation, positive};
use crate::ops::family::{Family, family};
use crate::ops::moves::{self, Moves};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_schema as schema;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Of the result.
    pub shape: Vec<usize>,
    pub stride: [usize; 2],
    /// Rows and columns that are cut off before the result's first.
    pub before: [usize; 2],
    pub activation: Activation,
}
fields!(shape, stride, before, activation);

/// Half of what the reference takes for padding of the convolution from the result to the image; the rest comes after the last element.
fn before(padding: schema::Padding, input: usize, output: usize, filter: usize, stride: usize) -> Result<usize, Diagnostic> {
    let [input, output, filter, stride] = [input, output, filter, stride].map(|n| n as i64);
    let positions = match padding {
        schema::Padding::SAME => (output + stride - 1) / stride,
        schema::Padding::VALID => (output + stride - filter) / stride,
        other => {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "padding is not known")
                .expected("SAME or VALID")
                .found(format!("number {}", other.0)));
        }
    };
    if positions != input {
        return Err(Diagnostic::new(Code::OPERAND, "the shape of the result does not fit the image")
            .expected(format!("a size from which the padding and the stride of {stride} make {input}"))
            .found(format!("{output}, which becomes {positions}")));
    }
    Ok(((positions - 1) * stride + filter - output).max(0) as usize / 2)
}

pub struct Transposed {
    types: &'static [Row],
    decode: fn(&Source) -> Result<Attributes, Diagnostic>,
}

family! { Transposed:
    /// The shape of the result is an input.
    transpose_conv = Transposed {
        types: &[
            Row::Of(&[&[F32], &[F32, I8], &[F32]], &[&[F32]]),
            Row::Of(&[&[I8], &[I8], &[I32]], &[&[I8]]),
            Row::Of(&[&[U8], &[U8], &[I32]], &[&[U8]]),
            Row::Of(&[&[I16], &[I8], &[I32, I64]], &[&[I16]]),
        ],
        decode: super::Attributes::decode,
    };
    /// MediaPipe's: f32 with a bias, and a result of the size that follows from the padding; options are the structure that TensorFlow Lite has for
    /// transposed convolutions.
    convolution2dtransposebias [Arity { inputs: 3..=3, kept: Kept::All, outputs: 1..=1 }] =
        Transposed { types: &[Row::Same(&[F32])], decode: super::Attributes::with_bias };
}

impl Attributes {
    fn with_bias(source: &Source) -> Result<Self, Diagnostic> {
        let [padding, stride_w, stride_h] = source.structure()?;
        let image = checks::image("the image", source.signature.input(0)?)?;
        let filter = checks::image("the filter", source.signature.input(1)?)?;
        let stride = [positive("stride_height", stride_h)?, positive("stride_width", stride_w)?];
        // Whatever else the padding is, the reference has none.
        let cut = |d: usize| match padding {
            1 => filter[d + 1].saturating_sub(image[d + 1].saturating_sub(1) % stride[d] + 1),
            _ => 0,
        };
        let size = |d: usize| {
            let whole = image[d + 1].saturating_sub(1).saturating_mul(stride[d]).saturating_add(filter[d + 1]);
            whole.saturating_sub(cut(d))
        };
        let shape = checks::sized(vec![image[0], size(0), size(1), filter[0]])?.remove(0);
        Ok(Attributes { shape, stride, before: [cut(0) / 2, cut(1) / 2], activation: Activation::None })
    }

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(options) = source.operator.builtin_options_as_transpose_conv_options() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        let (_, sizes) = source.signature.constant_integers(0, "the shape of the result")?;
        let shape: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok().filter(|n| *n <= i32::MAX as usize)).collect();
        let shape = shape.filter(|s| s.len() == 4).ok_or_else(|| {
            Diagnostic::new(Code::ATTRIBUTE, "the shape of the result is not that of images")
                .expected("batch, rows, columns, channels")
                .found(format!("{sizes:?}"))
        })?;
        let image = checks::image("the image", source.signature.input(2)?)?;
        let filter = checks::image("the filter", source.signature.input(1)?)?;
        let stride = [positive("stride_h", options.stride_h())?, positive("stride_w", options.stride_w())?];
        let before = |d: usize| before(options.padding(), image[d + 1], shape[d + 1], filter[d + 1], stride[d]);
        Ok(Attributes {
            before: [before(0)?, before(1)?],
            shape,
            stride,
            activation: Activation::decode(options.fused_activation_function())?,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, w, y) = (s.input(0)?, s.input(1)?, s.output(0));
        let (input, filter) = (checks::image("the image", x)?, checks::image("the filter", w)?);
        if input[1..].contains(&0) || filter.contains(&0) {
            return Err(
                Diagnostic::new(Code::OPERAND, "images and filters must not be empty").found(format!("image {input:?}, filter {filter:?}"))
            );
        }
        if input[3] != filter[3] {
            return Err(Diagnostic::new(Code::OPERAND, "channels of image and filter do not fit each other")
                .expected("as many in both")
                .found(format!("image {input:?}, filter {filter:?}")));
        }
        if self.shape.len() != 4 || self.shape[0] != input[0] || self.shape[3] != filter[0] {
            return Err(Diagnostic::new(Code::OPERAND, "the shape of the result does not fit image and filter")
                .expected(format!("[{}, rows, columns, {}]", input[0], filter[0]))
                .found(format!("{:?}", self.shape)));
        }
        if self.stride.contains(&0) || (0..2).any(|d| filter[d + 1] <= self.before[d]) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "strides or padding are out of range")
                .expected("strides of at least 1, and less padding than the filter has taps")
                .found(format!("strides {:?}, padding {:?}", self.stride, self.before)));
        }
        checks::bias(s, 2, filter[0])?;
        if x.element != F32 {
            checks::per_tensor("the image", x)?;
            checks::per_tensor("the result", y)?;
            Target::new(y, self.activation)?;
        }
        match w.element {
            U8 => drop(checks::per_tensor("the filter", w)?),
            I8 => {
                checks::per_channel_of("the filter", w, 0)?;
                checks::symmetric("the filter", w)?;
            }
            _ => {}
        }
        if x.element == I16 {
            checks::no_zero_point("the image", x)?;
            checks::no_zero_point("the result", y)?;
        }
        Ok(vec![self.shape.clone()])
    }

    fn macs(s: &Signature) -> u64 {
        let size = |i: usize| s.inputs[i].map_or(0, |o| o.ty.element_count());
        let channels = s.inputs[0].and_then(|o| o.ty.shape.last().copied()).unwrap_or(1);
        (size(0) / channels.max(1) * size(1)) as u64
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, w, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.own_type(node));
        let (input, filter, result) = (checks::image("the image", x)?, checks::image("the filter", w)?, checks::image("the result", y)?);
        let (bias, bias_in_memory) = Bias::in_memory(cx, node, 2)?;
        let is_hybrid = x.element == F32 && w.element != F32;
        if is_hybrid && bias_in_memory.is_some() {
            return Err(cx.not_constant(node, 2, "the bias of activations that are quantised at run time"));
        }
        if is_hybrid && cx.constant_input(node, 1).is_none() {
            return Err(cx.not_constant(node, 1, "the filter of activations that are quantised at run time"));
        }
        let mut from = cx.input(node, 0);
        let to = Destination::of_node(cx, node)?;
        if y.element_count() == 0 {
            return Ok(());
        }
        let i64_sums = node.input(2).is_none_or(|b| cx.graph.ty(b).element != I32);
        let (mut element, mut input_zero_point) = (x.element, if x.element == F32 { 0 } else { x.zero_point() });
        let rescale = match x.element {
            F32 if is_hybrid => {
                let bytes = Bytes::of_products(cx.machine);
                let rows = hybrid::Rows { count: input[0], len: input[1..].iter().product(), asymmetric: true };
                let q = hybrid::quantize_input(cx, node, rows, bytes);
                (from, element, input_zero_point) = (q.integers, bytes.element(), bytes.zero_point());
                let scales = (0..filter[0]).map(|c| w.quantization.as_ref().map_or(1.0, |q| q.scale(c))).collect();
                Rescale::Hybrid { scales, asymmetric: true, in_turn: true, per_pixel: false, factors: q.factors }
            }
            F32 => Rescale::Float,
            _ => Rescale::of_convolution(x, w, y, filter[0], i64_sums),
        };
        let target = if y.element == F32 { None } else { Some(Target::new(y, self.activation)?) };
        let weight_zero_point = if w.element == U8 { w.zero_point() } else { 0 };
        let phases = [0, 1].map(|d| Phase::all(input[d + 1], filter[d + 1], result[d + 1], self.stride[d], self.before[d]));
        let constant = cx.constant_input(node, 1).filter(|_| bias_in_memory.is_none());
        let Some(data) = constant else {
            let weights = direct::filter(cx, node, 1)?;
            let zero_points = [input_zero_point, weight_zero_point];
            let terms = Terms { elements: [element, w.element], zero_points, bias, rescale, activation: self.activation, target };
            for (row, column) in phases[0].iter().flat_map(|row| phases[1].iter().map(move |column| (row, column))) {
                // Those of a phase lie a stride apart in the filter, and come last first.
                let first = [row, column].map(|phase| phase.taps.first().copied().unwrap_or(0));
                let windows = Windows {
                    batch: input[0],
                    rows: row.axis,
                    columns: column.axis,
                    channels: input[3],
                    groups: 1,
                    outputs: filter[0],
                    filter_columns: filter[2],
                    taps: [0, 1].map(|d| Taps { first: first[d], step: -(self.stride[d] as i64) }),
                    bias: bias_in_memory,
                    terms: terms.clone(),
                };
                direct::windows(cx, &windows, [from, weights], &to)?;
            }
            return Ok(());
        };
        for row in &phases[0] {
            for column in &phases[1] {
                let data = Phase::filter([row, column], filter, data, w.element.bytes().unwrap_or(1), weight_zero_point as u8);
                let product = Product {
                    batch: input[0],
                    rows: row.axis,
                    columns: column.axis,
                    channels: input[3],
                    filter: Filter { element: w.element, shape: [filter[0], row.axis.filter, column.axis.filter, filter[3]], data: &data },
                    input: element,
                    input_zero_point,
                    weight_zero_point,
                    bias: bias.clone(),
                    rescale: rescale.clone(),
                    activation: self.activation,
                    target,
                };
                gemm::lower(cx, &product, from, &to)?;
            }
        }
        Ok(())
    }
}

impl Family for Transposed {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 3..=4, kept: Kept::These(&[2, 1, 3]), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        (self.decode)(source)
    }

    fn infer(&self, a: &Attributes, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        a.infer(signature)
    }

    fn macs(&self, _: &Attributes, signature: &Signature) -> u64 {
        Attributes::macs(signature)
    }

    fn activation<'a>(&self, a: &'a mut Attributes) -> Option<&'a mut Activation> {
        Some(&mut a.activation)
    }

    fn moves(&self, _: &Attributes, s: &Signature) -> Moves {
        moves::product(s)
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        a.lower(cx, node)
    }
}

/// Output positions of one axis that are equal modulo the stride, as a convolution.
struct Phase {
    axis: Axis,
    /// The taps of the filter that they see, last first; of none one that is outside everywhere.
    taps: Vec<usize>,
}

impl Phase {
    fn all(input: usize, filter: usize, output: usize, stride: usize, before: usize) -> Vec<Phase> {
        let phase = |first: usize| {
            // Position `first + t · stride` sees element `begin + t − i` through tap `least + i · stride`.
            let (begin, least) = ((first + before) / stride, (first + before) % stride);
            let taps: Vec<usize> = (least..filter).step_by(stride).rev().collect();
            let places = Places { first, step: stride, count: output };
            let positions = (output - first).div_ceil(stride);
            let (before, taps_seen) =
                if taps.is_empty() { (-(input as i64), 1) } else { (taps.len() as i64 - 1 - begin as i64, taps.len()) };
            Phase { axis: Axis { input, filter: taps_seen, output: positions, stride: 1, dilation: 1, before, places }, taps }
        };
        (0..stride.min(output)).map(phase).collect()
    }

    /// The taps of a phase of rows and one of columns; `zero` where there is none.
    fn filter(
        [rows, columns]: [&Phase; 2],
        [filters, height, width, channels]: [usize; 4],
        data: &[u8],
        element: usize,
        zero: u8,
    ) -> Vec<u8> {
        let pixel = channels * element;
        if rows.taps.is_empty() || columns.taps.is_empty() {
            return vec![zero; filters * rows.axis.filter * columns.axis.filter * pixel];
        }
        let taps = |o: usize| rows.taps.iter().flat_map(move |y| columns.taps.iter().map(move |x| (o * height + y) * width + x));
        (0..filters).flat_map(taps).flat_map(|tap| &data[tap * pixel..][..pixel]).copied().collect()
    }
}
