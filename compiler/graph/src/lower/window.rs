//! Pooling: a window slides over an image and keeps the largest or the mean value, or the root of the mean square, channel by channel.
//!
//! Not convolution: there are no weights, and an empty image has an empty result. The idea: near the border a window loses taps;
//! outputs whose windows have equally many taps form rectangles, and every rectangle is one call of the same kernel, so nothing is guarded, filled or counted at run time.

use super::channels::{Block, each_block};
use super::requantize::{Target, clamp_float, elem};
use super::sizes::{Size, Sizes};
use super::{Context, Goal};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::ops::attributes::{Activation, Padding, Window, positive};
use crate::ops::checks::{image, same_quantization};
use crate::ops::{Signature, Source};
use crate::quantize::calculate_activation_range_quantized;
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Arg, BufferId, Cond, Elem, Index, Kernel, KernelBuilder, Machine, Param, Rounding, Unary, Value};

/// What the pooling operators have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooling {
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Max,
    Average,
    /// Of the mean of the squares.
    Root,
}

impl Kind {
    /// It is divided by the number of elements.
    fn divides(self) -> bool {
        self != Kind::Max
    }

    /// Lanes of a small kernel: a register of the largest elements that it computes with, or two.
    fn lanes(self, elem: Elem, machine: &Machine) -> usize {
        match (self, elem) {
            (Kind::Average, e) if e != Elem::F32 => 2 * machine.lanes(Elem::I32),
            (_, e) => machine.lanes(e),
        }
    }
}

/// Outputs next to each other along one axis whose windows have equally many taps inside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first output and how many there are.
    pub output: usize,
    pub count: usize,
    /// Where in the image the first output's taps begin, and how many they are. The next output's begin one stride further.
    pub input: usize,
    pub taps: usize,
}

/// Calls of one operator beyond which its border is not worth compiling.
const MAX_CALLS: usize = 1024;
/// Windows of at most so many taps are written out.
const MAX_UNROLLED: usize = 16;

impl Pooling {
    pub fn decode(source: &Source) -> Result<Pooling, Diagnostic> {
        let options = source
            .operator
            .builtin_options_as_pool_2_doptions()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        let filter = [positive("filter_height", options.filter_height())?, positive("filter_width", options.filter_width())?];
        let stride = [positive("stride_h", options.stride_h())?, positive("stride_w", options.stride_w())?];
        let [_, height, width, _] = image("the input", source.signature.input(0)?)?;
        let axis = |input, i: usize| Window { input, filter: filter[i], stride: stride[i], dilation: 1 };
        Ok(Pooling {
            filter,
            stride,
            padding: Padding::decode(options.padding(), axis(height, 0), axis(width, 1))?,
            activation: Activation::decode(options.fused_activation_function())?,
        })
    }

    pub fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (input, output) = (signature.input(0)?, signature.output(0));
        if input.element != ElementType::F32 {
            same_quantization(input, output)?;
        }
        let [n, height, width, c] = image("the input", input)?;
        let [rows, columns] = self.windows(height, width);
        let p = self.padding;
        if self.filter[0] <= p.top.max(p.bottom) || self.filter[1] <= p.left.max(p.right) {
            return Err(Diagnostic::new(Code::OPERAND, "a window lies in the padding alone").expected("padding below the filter's size"));
        }
        match (rows.output(p.top, p.bottom), columns.output(p.left, p.right)) {
            (Some(h), Some(w)) => Ok(vec![vec![n, h, w, c]]),
            _ => Err(Diagnostic::new(Code::OPERAND, "the filter is larger than the padded image")
                .expected(format!("at most {height} × {width} and the padding"))
                .found(format!("{} × {}", self.filter[0], self.filter[1]))),
        }
    }

    fn windows(&self, height: usize, width: usize) -> [Window; 2] {
        [(height, 0), (width, 1)].map(|(input, i)| Window { input, filter: self.filter[i], stride: self.stride[i], dilation: 1 })
    }

    pub fn lower(&self, cx: &mut Context, node: &Node, kind: Kind) -> Result<(), Diagnostic> {
        let (input, output) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if output.element_count() == 0 {
            return Ok(());
        }
        let ([n, height, width, c], [_, out_height, out_width, _]) = (image("the input", input)?, image("the output", output)?);
        let [rows, columns] = self.windows(height, width);
        let (rows, columns) = (runs(rows, self.padding.top, out_height), runs(columns, self.padding.left, out_width));
        if MAX_CALLS < rows.len() * columns.len() {
            return Err(Diagnostic::new(Code::FEATURE, "the padding of the pooling is too wide")
                .expected("few outputs whose windows reach over the border")
                .found(format!("{} × {} kinds of windows", rows.len(), columns.len()))
                .help("pool with smaller windows, or without padding"));
        }
        let elem = elem(input.element).expect("an element type that infer lets pass");
        let range = match elem {
            Elem::F32 => (0, 0),
            _ => activation_range(self.activation, output)?,
        };
        let (x, y) = (cx.input(node, 0), cx.output(node, 0));
        let pixel = (c * elem.bytes() as usize) as i64;
        let (row, out_row) = (width as i64 * pixel, out_width as i64 * pixel);
        let parts = match cx.goal {
            Goal::Speed => vec![Part { x, y, channels: Channels::All(c) }],
            Goal::Size => Part::of_blocks(cx, [x, y], c, kind.lanes(elem, cx.machine), elem),
        };
        for r in &rows {
            for q in &columns {
                let taps = r.taps * q.taps;
                let most = largest_sum(elem, taps).filter(|_| kind.divides());
                if kind.divides() && most.is_none() {
                    return Err(Diagnostic::new(Code::FEATURE, "the window is too large: its sum does not fit 32 bits")
                        .help("pool in several steps with smaller windows, or take the MEAN where a window is the whole image"));
                }
                let unrolled = (taps <= MAX_UNROLLED && cx.goal == Goal::Speed).then_some([r.taps, q.taps]);
                let window_size = kind.divides().then(|| cx.constant_f32("window_size", &[taps as f32, f32::from_bits(taps as u32 / 2)]));
                for part in &parts {
                    let sum = Sum::of(elem, taps);
                    let spec = Spec { kind, elem, channels: part.channels, unrolled, sum, activation: self.activation, range };
                    let mut sizes = Sizes::default();
                    let kernel = spec.kernel(cx.machine, &mut sizes);
                    let mut params = vec![
                        n as i64,
                        r.count as i64,
                        q.count as i64,
                        height as i64 * row,
                        row,
                        self.stride[0] as i64 * row,
                        self.stride[1] as i64 * pixel,
                        r.input as i64 * row + q.input as i64 * pixel,
                        out_height as i64 * out_row,
                        out_row,
                        r.output as i64 * out_row + q.output as i64 * pixel,
                    ];
                    if unrolled.is_none() {
                        params.extend([r.taps as i64, q.taps as i64]);
                    }
                    params.extend(sizes.values);
                    let buffers: Vec<BufferId> = [part.x, part.y].into_iter().chain(window_size).collect();
                    cx.call(kernel, &buffers, &params);
                }
            }
        }
        Ok(())
    }
}

/// Channels of a kernel.
#[derive(Clone, Copy)]
enum Channels {
    /// So many, part of the code.
    All(usize),
    /// So many vectors, and how many channels a pixel has; `count` of a vector's lanes exist.
    Blocks { number: usize, lanes: usize, count: usize, of: usize },
}

/// Channels of a call, which are the first of their buffers.
struct Part {
    x: BufferId,
    y: BufferId,
    channels: Channels,
}

impl Part {
    /// Full vectors of channels, and a last one that overlaps the one before.
    fn of_blocks(cx: &mut Context, [x, y]: [BufferId; 2], channels: usize, lanes: usize, elem: Elem) -> Vec<Part> {
        let lanes = lanes.min(channels.next_power_of_two());
        let blocks = |number: usize| Channels::Blocks { number, lanes, count: lanes.min(channels), of: channels };
        let mut parts = vec![Part { x, y, channels: blocks((channels / lanes).max(1)) }];
        if lanes < channels && !channels.is_multiple_of(lanes) {
            let first = (channels - lanes) as u64 * u64::from(elem.bytes());
            let [x, y] = [x, y].map(|b| cx.view("channels", b, first, cx.size_bytes(b) - first));
            parts.push(Part { x, y, channels: blocks(1) });
        }
        parts
    }
}

/// Integers that the results are clamped to; without quantisation and activation, all of them.
fn activation_range(activation: Activation, ty: &TensorType) -> Result<(i32, i32), Diagnostic> {
    let (scale, zero_point) = (ty.scale().unwrap_or(1.0), ty.zero_point() as i32);
    if ty.quantization.is_none() && activation != Activation::None {
        return Err(Diagnostic::new(Code::SCALE, "a fused activation of integers needs a quantised result"));
    }
    calculate_activation_range_quantized(activation, ty.element, scale, zero_point)
        .ok_or_else(|| Diagnostic::new(Code::SCALE, "the fused activation does not fit the result's quantisation"))
}

/// The windows of one axis, in order; those that lie in the image as a whole are one run.
pub fn runs(window: Window, before: usize, outputs: usize) -> Vec<Run> {
    let mut runs = vec![];
    let mut output = 0;
    while output < outputs {
        let begin = (output * window.stride) as i64 - before as i64;
        let (first, end) = (begin.max(0) as usize, (begin + window.filter as i64).min(window.input as i64));
        let taps = (end - first as i64).max(0) as usize;
        let whole = taps == window.filter;
        let count = if whole { ((window.input - window.filter - first) / window.stride + 1).min(outputs - output) } else { 1 };
        runs.push(Run { output, count, input: first, taps });
        output += count;
    }
    runs
}

/// Largest magnitude of the sum of `taps` elements with half their number; `None` if an i32 cannot hold it. Of floats nothing.
fn largest_sum(elem: Elem, taps: usize) -> Option<u64> {
    let most = match elem {
        Elem::F32 => 0,
        Elem::I8 => 128,
        Elem::U8 => 255,
        _ => 32768,
    };
    let sum = (taps as u64).checked_mul(most)?.checked_add(taps as u64 / 2)?;
    (sum < 1 << 31).then_some(sum)
}

/// How a mean is summed up and divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    elem: Elem,
    /// The division is exact in this type.
    quotient: Elem,
}

impl Sum {
    fn of(elem: Elem, taps: usize) -> Sum {
        let accumulator = match elem {
            Elem::F32 => Elem::F32,
            // 256 · −128 and 257 · 255 are the last sums that fit.
            Elem::I8 if taps <= 256 => Elem::I16,
            Elem::U8 if taps <= 257 => Elem::U16,
            _ => Elem::I32,
        };
        // A correctly rounded quotient of integers truncates to the right integer while dividend and divisor together stay below
        // 2^24, because no quotient lies so close below an integer that it could be rounded up to it.
        let exact = largest_sum(elem, taps).is_some_and(|s| s + (taps as u64) < 1 << 24);
        Sum { elem: accumulator, quotient: if exact { Elem::F32 } else { Elem::F64 } }
    }
}

struct Spec {
    kind: Kind,
    elem: Elem,
    channels: Channels,
    /// Rows and columns of the window where they are part of the code; otherwise they are the last two parameters.
    unrolled: Option<[usize; 2]>,
    sum: Sum,
    activation: Activation,
    range: (i32, i32),
}

impl Spec {
    /// The sizes are the last parameters.
    fn kernel(&self, machine: &Machine, sizes: &mut Sizes) -> Kernel {
        let name = match self.kind {
            Kind::Max => "max_pool",
            Kind::Average => "average_pool",
            Kind::Root => "l2_pool",
        };
        let mut k = KernelBuilder::new(match self.channels {
            Channels::All(n) => format!("{name}_{}_{n}", self.elem),
            Channels::Blocks { .. } => format!("{name}_{}", self.elem),
        });
        let (x, y) = (k.read("x"), k.write("y"));
        let size = self.kind.divides().then(|| k.read("window_size"));
        let [images, rows, columns] = ["images", "rows", "columns"].map(|n| k.param(n));
        let [image, row, row_step, column_step, x0] = ["image", "row", "row_step", "column_step", "x0"].map(|n| k.param(n));
        let [out_image, out_row, y0] = ["out_image", "out_row", "y0"].map(|n| k.param(n));
        let taps: [Index; 2] = match self.unrolled {
            Some([h, w]) => [h.into(), w.into()],
            None => [k.param("taps_y").into(), k.param("taps_x").into()],
        };
        let element = i64::from(self.elem.bytes());
        let (blocks, channels) = match self.channels {
            Channels::All(n) => (None, Size::Fixed(n as i64)),
            Channels::Blocks { number, of, .. } => (Some(sizes.given(&mut k, "blocks", number)), sizes.given(&mut k, "channels", of)),
        };
        let pixel = |i: Index| channels.times(i * element);
        let registers = machine.vector_registers as usize;
        let vectors = if self.kind == Kind::Average && self.elem != Elem::F32 { registers / 8 } else { registers / 4 }.max(1);
        k.each("n", images, 1, |k, n| {
            k.each("oy", rows, 1, |k, oy| {
                k.each("ox", columns, 1, |k, ox| {
                    let from = n * image + oy * row_step + ox * column_step + x0;
                    let to = n * out_image + oy * out_row + pixel(ox.into()) + y0;
                    let block = |k: &mut KernelBuilder, b: Block| {
                        let c = b.first.clone() * element;
                        let v = self.reduce(k, &b, x, from.clone() + c.clone(), row, pixel, &taps);
                        let v = self.finish(k, v, size);
                        b.store(k, y.at(to.clone() + c), v);
                    };
                    match (self.channels, blocks) {
                        (Channels::Blocks { lanes, count, .. }, Some(blocks)) => {
                            blocks.each(k, "block", |k, b| block(k, Block { first: b * lanes as i64, lanes, count }));
                        }
                        (Channels::All(n), _) => each_block(k, n, machine.lanes(self.elem), vectors, block),
                        (Channels::Blocks { .. }, None) => unreachable!("blocks are a parameter"),
                    }
                });
            });
        });
        k.finish()
    }

    /// Largest value or sum of the window at `at`.
    #[allow(clippy::too_many_arguments)]
    fn reduce(
        &self,
        k: &mut KernelBuilder,
        b: &Block,
        x: Arg,
        at: Index,
        row: Param,
        pixel: impl Fn(Index) -> Index,
        taps: &[Index; 2],
    ) -> Value {
        let start = match (self.kind, self.elem) {
            (Kind::Max, Elem::F32) => k.float(Elem::F32.x(b.lanes), f32::MIN),
            (Kind::Max, e) => k.int(e.x(b.lanes), e.int_range().0),
            (Kind::Average | Kind::Root, Elem::F32) => k.float(Elem::F32.x(b.lanes), 0.0),
            (Kind::Average | Kind::Root, _) => k.int(self.sum.elem.x(b.lanes), 0),
        };
        let tap = |k: &mut KernelBuilder, so_far: Value, offset: Index| {
            let v = b.load(k, self.elem, x.at(offset));
            match self.kind {
                Kind::Max => k.max(v, so_far),
                Kind::Average if self.elem == Elem::F32 => k.add(so_far, v),
                Kind::Root => {
                    let square = k.mul(v, v);
                    k.add(so_far, square)
                }
                Kind::Average => {
                    let v = k.widen(v, self.sum.elem);
                    k.add(so_far, v)
                }
            }
        };
        let Some([height, width]) = self.unrolled else {
            let [height, width] = taps;
            return k.repeat("ky", height.clone(), 1, &[start], |k, ky, v| {
                k.repeat("kx", width.clone(), 1, v, |k, kx, v| vec![tap(k, v[0], at.clone() + ky * row + pixel(kx.into()))])
            })[0];
        };
        let mut v = start;
        for ky in 0..height {
            for kx in 0..width {
                v = tap(k, v, at.clone() + Index::from(row) * ky as i64 + pixel(kx.into()));
            }
        }
        v
    }

    /// Divides a sum, clamps and narrows.
    fn finish(&self, k: &mut KernelBuilder, v: Value, size: Option<Arg>) -> Value {
        let lanes = k.ty(v).lanes as usize;
        let (low, high) = self.range;
        let target = Target { elem: self.elem, zero_point: 0, low, high };
        match (self.elem, size) {
            (Elem::F32, None) => clamp_float(k, v, self.activation),
            (Elem::F32, Some(size)) => {
                let n = k.load_splat(Elem::F32.x(lanes), 1, size.at(0));
                let mean = k.div(v, n);
                let mean = if self.kind == Kind::Root { k.unary(Unary::Sqrt, mean) } else { mean };
                clamp_float(k, mean, self.activation)
            }
            (_, None) => target.clamp(k, v),
            (_, Some(size)) => {
                // (sum ± n / 2) / n toward zero: halves away from zero.
                let sum = k.widen(v, Elem::I32);
                let half = k.load_splat(Elem::I32.x(lanes), 1, size.at(4));
                let zero = k.int(Elem::I32.x(lanes), 0);
                let positive = k.compare(Cond::Gt, sum, zero);
                let (up, down) = (k.add(sum, half), k.sub(sum, half));
                let dividend = k.select(positive, up, down);
                let dividend = k.to_float(dividend, self.sum.quotient);
                let n = k.load_splat(Elem::F32.x(lanes), 1, size.at(0));
                let n = if self.sum.quotient == Elem::F32 { n } else { k.to_float(n, self.sum.quotient) };
                let mean = k.div(dividend, n);
                let mean = k.convert(mean, Elem::I32, Rounding::TowardZero);
                target.apply(k, mean)
            }
        }
    }
}
