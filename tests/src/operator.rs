//! One operator as a graph with random constants, for checks and timings of what lowerings make of it.
//!
//! Not a model file: the graph's text is written here and parsed, so that any type and attribute can be had. The idea: scales are such that
//! results use their whole range without being cut off, whatever the size.

use cranelite_graph::graph::Graph;
use cranelite_graph::text;

/// Element types that operators are tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F32,
    I8,
    U8,
    I16,
}

use Element::{F32, I8, I16, U8};

impl Element {
    pub fn name(self) -> &'static str {
        match self {
            F32 => "f32",
            I8 => "i8",
            U8 => "u8",
            I16 => "i16",
        }
    }

    fn zero_point(self) -> i64 {
        match self {
            U8 => 131,
            I8 => 3,
            F32 | I16 => 0,
        }
    }

    /// A type with that scale, if it is quantised.
    fn ty(self, shape: &[usize], scale: f64) -> String {
        let quantization = if self == F32 { String::new() } else { format!(" q({:?}, {})", scale as f32, self.zero_point()) };
        format!("{}{shape:?}{quantization}", self.name())
    }
}

/// A graph in the making.
struct Text {
    lines: String,
    values: usize,
    inputs: Vec<usize>,
    random: u64,
}

/// Of activations.
const SCALE: f64 = 0.05;
const WEIGHT_SCALE: f64 = 0.003;

impl Text {
    fn new(seed: u64) -> Text {
        Text { lines: String::new(), values: 0, inputs: vec![], random: seed }
    }

    fn number(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.random >> 32) as u32
    }

    fn value(&mut self, line: String) -> usize {
        let n = self.values;
        self.lines += &format!("%{n}{line}\n");
        self.values += 1;
        n
    }

    fn input(&mut self, element: Element, shape: &[usize]) -> usize {
        let n = self.value(format!(": {} \"x{}\"", element.ty(shape, SCALE), self.values));
        self.inputs.push(n);
        n
    }

    fn constant(&mut self, ty: &str, name: &str, bytes: impl Iterator<Item = u8>) -> usize {
        let hex: String = bytes.map(|b| format!("{b:02x}")).collect();
        self.value(format!(" = const {ty} \"{name}\" 0x{hex}"))
    }

    /// Weights of that shape, their channels on that axis; of int8 with a scale for each channel if there are `channels`.
    fn weights(&mut self, element: Element, shape: &[usize], channels: Option<(usize, usize)>) -> usize {
        let count: usize = shape.iter().product();
        let numbers: Vec<u32> = (0..count).map(|_| self.number()).collect();
        match (element, channels) {
            (F32, _) => self.constant(&format!("f32{shape:?}"), "w", numbers.iter().flat_map(|n| float(*n).to_le_bytes())),
            (U8, _) => self.constant(&format!("u8{shape:?} q({WEIGHT_SCALE:?}, 128)"), "w", numbers.iter().map(|n| *n as u8)),
            (_, None) => self.constant(&format!("i8{shape:?} q({WEIGHT_SCALE:?}, 0)"), "w", numbers.iter().map(|n| symmetric(*n))),
            (_, Some((axis, count))) => {
                let scales: Vec<f32> = (0..count).map(|c| (WEIGHT_SCALE * (0.7 + 0.3 * (c % 7) as f64 / 6.0)) as f32).collect();
                let ty = format!("i8{shape:?} qc(axis={axis}, scales={scales:?}, zero_points={:?})", vec![0; count]);
                self.constant(&ty, "w", numbers.iter().map(|n| symmetric(*n)))
            }
        }
    }

    fn bias(&mut self, element: Element, count: usize) -> usize {
        let numbers: Vec<u32> = (0..count).map(|_| self.number()).collect();
        match element {
            F32 => self.constant(&format!("f32[{count}]"), "b", numbers.iter().flat_map(|n| float(*n).to_le_bytes())),
            I16 => self.constant(&format!("i64[{count}]"), "b", numbers.iter().flat_map(|n| i64::from(*n as i32 >> 16).to_le_bytes())),
            _ => self.constant(&format!("i32[{count}]"), "b", numbers.iter().flat_map(|n| (*n as i32 >> 16).to_le_bytes())),
        }
    }

    fn finish(mut self, result: String, operands: &[usize], operation: &str, attributes: &str) -> Graph {
        let list = |ids: &[usize]| ids.iter().map(|n| format!("%{n}")).collect::<Vec<_>>().join(", ");
        let attributes = if attributes.is_empty() { String::new() } else { format!(" {{{attributes}}}") };
        let y = self.value(format!(": {result} \"y\" = {operation} {}{attributes} @0", list(operands)));
        let text = format!("graph \"operator\"\ninputs {}\noutputs %{y}\n{}", list(&self.inputs), self.lines);
        text::parse(&text).unwrap_or_else(|e| panic!("{operation}: {e}\n{}", text.chars().take(400).collect::<String>()))
    }
}

/// From -1 to 1.
fn float(n: u32) -> f32 {
    n as i32 as f32 / 2147483648.0
}

fn symmetric(n: u32) -> u8 {
    (n as i8).max(-127) as u8
}

/// The scale of a sum of `depth` products, so that one in twenty results is cut off.
fn sum_scale(element: Element, depth: usize) -> f64 {
    let results = if element == I16 { 16384.0 } else { 64.0 };
    let activation = if element == I16 { 18918.0 } else { 74.0 };
    SCALE * WEIGHT_SCALE * 74.0 * activation * libm::sqrt(depth as f64) / results
}

/// Sizes of a convolution of a square image with SAME padding.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub height: usize,
    pub width: usize,
    pub size: usize,
    pub stride: usize,
}

impl Window {
    fn out(self, input: usize) -> usize {
        input.div_ceil(self.stride)
    }

    /// Above and below, left and right.
    fn padding(self) -> [usize; 4] {
        let of = |input: usize| ((self.out(input) - 1) * self.stride + self.size).saturating_sub(input);
        let (rows, columns) = (of(self.height), of(self.width));
        [rows / 2, rows.div_ceil(2), columns / 2, columns.div_ceil(2)]
    }

    fn attributes(self) -> String {
        format!("stride=[{0},{0}], dilation=[1,1], padding={1:?}", self.stride, self.padding())
    }
}

pub fn convolution(element: Element, w: Window, channels: usize, filters: usize) -> Graph {
    convolution_with(element, w, channels, filters, "none")
}

/// With an activation, after which integers begin at their least.
pub fn convolution_with(element: Element, w: Window, channels: usize, filters: usize, activation: &str) -> Graph {
    let mut t = Text::new(channels as u64);
    let depth = w.size * w.size * channels;
    let x = t.input(element, &[1, w.height, w.width, channels]);
    let filter = t.weights(element, &[filters, w.size, w.size, channels], Some((0, filters)));
    let bias = t.bias(element, filters);
    let shape = [1, w.out(w.height), w.out(w.width), filters];
    let y = match (element, activation) {
        (_, "none") | (F32 | I16, _) => element.ty(&shape, sum_scale(element, depth)),
        (I8, _) => format!("i8{shape:?} q({:?}, -128)", (sum_scale(element, depth) / 2.0) as f32),
        (U8, _) => format!("u8{shape:?} q({:?}, 0)", (sum_scale(element, depth) / 2.0) as f32),
    };
    t.finish(y, &[x, filter, bias], "conv_2d", &format!("{}, activation={activation}", w.attributes()))
}

pub fn depthwise(element: Element, w: Window, channels: usize) -> Graph {
    let mut t = Text::new(channels as u64);
    let x = t.input(element, &[1, w.height, w.width, channels]);
    let filter = t.weights(element, &[1, w.size, w.size, channels], Some((3, channels)));
    let bias = t.bias(element, channels);
    let y = element.ty(&[1, w.out(w.height), w.out(w.width), channels], sum_scale(element, w.size * w.size));
    t.finish(y, &[x, filter, bias], "depthwise_conv_2d", &format!("{}, depth_multiplier=1, activation=none", w.attributes()))
}

pub fn fully_connected(element: Element, batch: usize, depth: usize, units: usize) -> Graph {
    let mut t = Text::new(depth as u64);
    let x = t.input(element, &[batch, depth]);
    let weights = t.weights(element, &[units, depth], None);
    let bias = t.bias(element, units);
    let y = element.ty(&[batch, units], sum_scale(element, depth));
    t.finish(y, &[x, weights, bias], "fully_connected", "activation=none, keep_num_dims=false, asymmetric_quantize_inputs=false")
}

/// A fully connected operator of floats with int8 weights.
pub fn hybrid(batch: usize, depth: usize, units: usize) -> Graph {
    let mut t = Text::new(depth as u64);
    let x = t.input(F32, &[batch, depth]);
    let weights = t.weights(I8, &[units, depth], None);
    let bias = t.bias(F32, units);
    let y = F32.ty(&[batch, units], 0.0);
    t.finish(y, &[x, weights, bias], "fully_connected", "activation=none, keep_num_dims=false, asymmetric_quantize_inputs=false")
}

/// ADD, SUB or MUL of two tensors of one shape.
pub fn binary(element: Element, operation: &str, shape: &[usize]) -> Graph {
    let mut t = Text::new(1);
    let (a, b) = (t.input(element, shape), t.input(element, shape));
    let scale = if operation == "mul" { SCALE * SCALE * 74.0 } else { SCALE * 1.4 };
    t.finish(element.ty(shape, scale), &[a, b], operation, "activation=relu, pot_scale_int16=false")
}

/// An operator of one tensor with the same shape and no attributes but these.
pub fn unary(element: Element, operation: &str, attributes: &str, shape: &[usize]) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(element, shape);
    let y = match (operation, element) {
        ("logistic" | "softmax", I8) => format!("i8{shape:?} q(0.00390625, -128)"),
        ("logistic" | "softmax", U8) => format!("u8{shape:?} q(0.00390625, 0)"),
        ("logistic" | "softmax", I16) => format!("i16{shape:?} q(0.000030517578125, 0)"),
        _ => element.ty(shape, SCALE * 0.8),
    };
    t.finish(y, &[x], operation, attributes)
}

/// Pooling of windows without padding.
pub fn pool(element: Element, operation: &str, w: Window, channels: usize) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(element, &[1, w.height, w.width, channels]);
    let out = |n: usize| (n - w.size) / w.stride + 1;
    let y = element.ty(&[1, out(w.height), out(w.width), channels], SCALE);
    let attributes = format!("filter=[{0},{0}], stride=[{1},{1}], padding=[0,0,0,0], activation=none", w.size, w.stride);
    t.finish(y, &[x], operation, &attributes)
}

/// The mean of an image's pixels.
pub fn mean(element: Element, height: usize, width: usize, channels: usize) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(element, &[1, height, width, channels]);
    t.finish(element.ty(&[1, channels], SCALE * 0.2), &[x], "mean", "axes=[1,2], keep_dims=false")
}

pub fn quantize(element: Element, shape: &[usize]) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(F32, shape);
    t.finish(element.ty(shape, 0.01), &[x], "quantize", "")
}

pub fn dequantize(element: Element, shape: &[usize]) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(element, shape);
    t.finish(F32.ty(shape, 0.0), &[x], "dequantize", "")
}

/// An image with a border of one pixel around it.
pub fn pad(element: Element, height: usize, width: usize, channels: usize) -> Graph {
    let mut t = Text::new(1);
    let x = t.input(element, &[1, height, width, channels]);
    t.finish(element.ty(&[1, height + 2, width + 2, channels], SCALE), &[x], "pad", "before=[0,1,1,0], after=[0,1,1,0]")
}

/// Two images side by side in their channels.
pub fn concatenation(element: Element, height: usize, width: usize, channels: [usize; 2]) -> Graph {
    let mut t = Text::new(1);
    let inputs = channels.map(|c| t.input(element, &[1, height, width, c]));
    let y = element.ty(&[1, height, width, channels[0] + channels[1]], SCALE);
    t.finish(y, &inputs, "concatenation", "axis=3, activation=none")
}
