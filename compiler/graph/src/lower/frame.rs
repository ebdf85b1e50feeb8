//! Frames of a camera: pixels of any format as those of an image of another size, straight from the bytes.
//!
//! Not an operator: that is `ops/craneliteframe.rs`. The idea: a new pixel is a weighted mean of some pixels in a row of some rows, whose places and weights
//! are tables, one for each axis, so that cropping, turning, mirroring and resizing are numbers in tables and there is one kernel for all. Where a pixel
//! lies is the sum of a place along its column and one along its row, whatever the format is. Colours become RGB pixel by pixel, before the mean, as if the
//! frame had been converted first.

use super::Context;
use super::requantize::elem;
use crate::graph::Node;
use crate::ops::attributes::Format;
use crate::quantize::resample;
use crate::tensor::ElementType;
use cranelite_tile::{Arg, BufferId, Cond, Elem, Index, KernelBuilder, Value};

const INT: Elem = Elem::I32;

/// How the bytes of a frame lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub format: Format,
    pub width: usize,
    pub height: usize,
    /// Bytes from a row to the next one; of the first plane where there are several.
    pub stride: usize,
}

/// Planes of chroma, behind that of Y.
#[derive(Clone, Copy, Debug)]
struct Chroma {
    planes: usize,
    /// Bytes of a pair of U and V, or of one of them.
    step: usize,
    columns: usize,
    rows: usize,
}

impl Frame {
    fn pixel_bytes(&self) -> usize {
        match self.format {
            Format::Rgb8 | Format::Bgr8 => 3,
            Format::Rgba8 | Format::Bgra8 => 4,
            Format::Yuyv => 2,
            Format::Gray8 | Format::Nv12 | Format::Nv21 | Format::I420 => 1,
        }
    }

    /// The least that `stride` can be.
    pub fn row_bytes(&self) -> usize {
        let columns = if self.format == Format::Yuyv { self.width.next_multiple_of(2) } else { self.width };
        columns * self.pixel_bytes()
    }

    fn chroma(&self) -> Option<Chroma> {
        let (columns, rows) = (self.width.div_ceil(2), self.height.div_ceil(2));
        match self.format {
            Format::Nv12 | Format::Nv21 => Some(Chroma { planes: 1, step: 2, columns, rows }),
            Format::I420 => Some(Chroma { planes: 2, step: 1, columns, rows }),
            _ => None,
        }
    }

    /// Bytes of all planes.
    pub fn size_bytes(&self) -> usize {
        let chroma = self.chroma().map_or(0, |c| c.planes * c.rows * c.stride(self.stride));
        self.height * self.stride + chroma
    }
}

impl Chroma {
    /// From a row to the next one: half of that of Y for a byte, rounded up.
    fn stride(&self, of_luma: usize) -> usize {
        of_luma.div_ceil(2) * self.step
    }
    fn row_bytes(&self) -> usize {
        self.columns * self.step
    }
}

/// A frame becomes an image.
#[derive(Clone, Debug)]
pub struct Resampling<'a> {
    pub frame: Frame,
    /// Rows of the result are columns of the frame.
    pub transposed: bool,
    pub bgr: bool,
    /// The sum of weights of all pixels that a new one is made of.
    pub total: usize,
    /// Of halves; else up.
    pub ties_to_even: bool,
    /// What is where a table has a number below 0, by channel.
    pub fill: &'a [usize],
}

/// Where a pixel lies: of Y or all bytes, of U, of V.
#[derive(Clone, Default)]
struct Place {
    luma: Index,
    u: Index,
    v: Index,
}

/// What the kernel reads beside the tables.
struct Reading {
    x: Arg,
    /// Where rows begin, if they do not lie evenly.
    lines: Option<Arg>,
    size_bytes: usize,
    /// Lanes of the values that it makes: all channels of a pixel, and one more, or one channel.
    lanes: usize,
    /// What U and V weigh in all channels.
    chroma: Option<[Value; 2]>,
}

/// Channels are lanes of one value where a machine has so many.
const LANES: usize = 4;
/// BT.601 from 16 to 235 and 240 in 20 bits, OpenCV's numbers of COLOR_YUV2RGB: of Y, and of U and V in R, G and B.
const OF_Y: i64 = 1_220_542;
const OF_U: [i32; LANES] = [0, -409_993, 2_116_026, 0];
const OF_V: [i32; LANES] = [1_673_527, -852_492, 0, 0];

/// A table of places and one of weights along an axis of the result.
struct Axis {
    first: Arg,
    weights: Arg,
    taps: usize,
    /// Pixels of the frame along it.
    extent: usize,
    is_of_rows: bool,
}

/// A new pixel's place along an axis.
struct At {
    first: Index,
    /// As the table has it.
    raw: Value,
    number: Index,
    /// Of each pixel before, and its weight, where there are few.
    known: Vec<(Place, Option<Value>)>,
}

/// So many pixels are written one after the other, more are a loop.
const FEW: usize = 2;

/// `inputs`: bytes, first rows, their weights, first columns, their weights, values of bytes, and maybe the stride.
pub fn resample(cx: &mut Context, node: &Node, r: &Resampling) {
    let Resampling { frame, transposed, .. } = *r;
    let to = cx.output_type(node, 0);
    let [_, height, width, channels] = to.shape[..] else { unreachable!("infer gave the shape") };
    let stored = elem(to.element).unwrap_or(Elem::I32);
    let taps = [2, 4].map(|i| cx.input_type(node, i).shape[1]);
    let map_rows = cx.input_type(node, 5).shape[0];
    let is_same: Vec<u8> = (0..=255).collect();
    let has_map = to.element != ElementType::U8 || cx.constant_input(node, 5).is_none_or(|data| data.chunks(256).any(|c| c != is_same));
    let lines = node.input(6).map(|_| lines(cx, node, &frame));

    let name = format!("frame_{:?}_{height}x{width}x{channels}_{}x{}_{}", frame.format, taps[0], taps[1], to.element);
    let mut k = KernelBuilder::new(name.to_ascii_lowercase());
    let x = k.read("x");
    let extents = if transposed { [frame.width, frame.height] } else { [frame.height, frame.width] };
    let mut axis = |i: usize, names: [&str; 2]| {
        let [first, weights] = names.map(|n| k.read(n));
        Axis { first, weights, taps: taps[i], extent: extents[i], is_of_rows: (i == 0) != transposed }
    };
    let [rows, columns] = [axis(0, ["rows", "row_weights"]), axis(1, ["columns", "column_weights"])];
    let map = has_map.then(|| k.read("map"));
    let lines_arg = lines.map(|_| k.read("lines"));
    // A pixel's channels, as far as they differ, are one value or several.
    let lanes = if channels == 3 && frame.format != Format::Gray8 && LANES <= cx.machine.lanes(INT) { LANES } else { 1 };
    let count = if frame.format == Format::Gray8 || lanes == LANES { 1 } else { channels };
    let chroma_arg = (lanes == LANES && r.is_yuv()).then(|| k.read("chroma"));
    let y = k.write("y");
    k.each("oy", height, 1, |k, oy| {
        let chroma = chroma_arg.map(|arg| [0, 4 * LANES].map(|at| k.load(INT.x(LANES), arg.at(at))));
        let reading = Reading { x, lines: lines_arg, size_bytes: frame.size_bytes(), lanes, chroma };
        let row = r.at(k, &reading, &rows, oy.into());
        k.each("ox", width, 1, |k, ox| {
            let column = r.at(k, &reading, &columns, ox.into());
            let sums = r.taps(k, &reading, (&rows, &row), count, |k, from_row, sums| {
                let inner = r.taps(k, &reading, (&columns, &column), count, |k, from_column, sums| {
                    let pixel = r.pixel(k, &reading, from_row, from_column, count);
                    if r.total == 1 { pixel } else { add_weighted(k, sums, &pixel, from_column.1) }
                });
                if r.total == 1 { inner } else { add_weighted(k, sums, &inner, from_row.1) }
            });
            let mut pixel: Vec<Value> = sums.into_iter().map(|sum| r.mean(k, sum)).collect();
            if lanes == LANES {
                pixel = (0..channels).map(|i| k.lane(pixel[0], i)).collect();
            }
            pixel.resize(channels, pixel[0]);
            // Lanes have the order of memory.
            if r.bgr != (lanes == LANES && r.is_bgr()) {
                pixel.reverse();
            }
            let outside = (!r.fill.is_empty()).then(|| {
                let least = k.min(row.raw, column.raw);
                let zero = k.int(INT.x(1), 0);
                k.compare(Cond::Lt, least, zero)
            });
            let at = (Index::from(oy) * width as i64 + ox) * channels as i64;
            for (i, mut v) in pixel.into_iter().enumerate() {
                if let Some(outside) = outside {
                    let fill = k.int(INT.x(1), r.fill[i] as i64);
                    v = k.select(outside, fill, v);
                }
                let mut v = k.narrow_sat(v, Elem::U8);
                if let Some(map) = map {
                    let first = if map_rows == 1 { 0 } else { i * 256 };
                    v = k.lookup(stored, map.at(first as i64 * i64::from(stored.bytes())), v);
                }
                k.store(y.at((at.clone() + i) * i64::from(stored.bytes())), v);
            }
        });
    });
    let mut buffers: Vec<BufferId> = (0..5).map(|i| cx.input(node, i)).collect();
    if has_map {
        buffers.push(cx.input(node, 5));
    }
    buffers.extend(lines);
    buffers.extend(chroma_arg.map(|_| cx.constant_i32("chroma", &[OF_U, OF_V].concat())));
    buffers.push(cx.output(node, 0));
    cx.call(k.finish(), &buffers, &[]);
}

/// The first values have no sums yet.
fn add_weighted(k: &mut KernelBuilder, sums: &[Value], values: &[Value], weight: Option<Value>) -> Vec<Value> {
    let weight = weight.expect("several pixels have weights");
    let add = |(i, v): (usize, &Value)| {
        let v = k.mul(*v, weight);
        sums.get(i).map_or(v, |sum| k.add(*sum, v))
    };
    values.iter().enumerate().map(add).collect()
}

impl Resampling<'_> {
    /// What the tables say of pixel `number` of the result along an axis.
    fn at(&self, k: &mut KernelBuilder, reading: &Reading, axis: &Axis, number: Index) -> At {
        let raw = k.load(INT.x(1), axis.first.at(number.clone() * 4));
        let first = Index::from(k.clamped_index("first", raw, 0, (axis.extent - axis.taps) as i64));
        let mut at = At { first, raw, number, known: vec![] };
        if axis.taps <= FEW {
            at.known = (0..axis.taps).map(|tap| self.tap(k, reading, axis, &at, tap.into())).collect();
        }
        at
    }

    fn tap(&self, k: &mut KernelBuilder, reading: &Reading, axis: &Axis, at: &At, tap: Index) -> (Place, Option<Value>) {
        let weight = (self.total != 1).then(|| {
            let place = (at.number.clone() * axis.taps as i64 + tap.clone()) * 4;
            let weight = k.load(INT.x(1), axis.weights.at(place));
            if reading.lanes == 1 { weight } else { k.splat(weight, reading.lanes) }
        });
        let of = at.first.clone() + tap;
        (if axis.is_of_rows { self.line(k, reading, of) } else { self.column(k, of) }, weight)
    }

    /// Carries so many sums through all pixels that a new one is made of along an axis; there are none before the first where there are few.
    fn taps(
        &self,
        k: &mut KernelBuilder,
        reading: &Reading,
        (axis, at): (&Axis, &At),
        count: usize,
        mut body: impl FnMut(&mut KernelBuilder, &(Place, Option<Value>), &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        if axis.taps <= FEW {
            return at.known.iter().fold(vec![], |sums, tap| body(k, tap, &sums));
        }
        let zero = k.int(INT.x(reading.lanes), 0);
        k.repeat("tap", axis.taps, 1, &vec![zero; count], |k, tap, sums| {
            let tap = self.tap(k, reading, axis, at, tap.into());
            body(k, &tap, sums)
        })
    }

    /// Where a row of the frame begins.
    fn line(&self, k: &mut KernelBuilder, reading: &Reading, row: Index) -> Place {
        let Frame { height, stride, .. } = self.frame;
        let chroma = self.frame.chroma();
        let half = chroma.map(|c| (c, Index::from(k.split("chroma_row", row.clone(), 2).0)));
        if let Some(lines) = reading.lines {
            let mut line = |at: Index, bytes: usize| {
                let v = k.load(INT.x(1), lines.at(at * 4));
                Index::from(k.clamped_index("line", v, 0, (reading.size_bytes - bytes) as i64))
            };
            let luma = line(row, self.frame.row_bytes());
            let Some((c, half)) = half else { return Place { u: luma.clone(), v: luma.clone(), luma } };
            let u = line(half.clone() + height, c.row_bytes());
            let v = if c.planes == 1 { u.clone() } else { line(half + height + c.rows, c.row_bytes()) };
            return Place { luma, u, v };
        }
        let luma = row * stride as i64;
        let Some((c, half)) = half else { return Place { u: luma.clone(), v: luma.clone(), luma } };
        let u = half * c.stride(stride) as i64 + height * stride;
        let v = if c.planes == 1 { u.clone() } else { u.clone() + c.rows * c.stride(stride) };
        Place { luma, u, v }
    }

    /// How far from there a column of it lies.
    fn column(&self, k: &mut KernelBuilder, column: Index) -> Place {
        let luma = column.clone() * self.frame.pixel_bytes() as i64;
        if !self.is_yuv() {
            return Place { luma, ..Place::default() };
        }
        let half = Index::from(k.split("chroma_column", column, 2).0);
        let (u, v) = match self.frame.format {
            Format::Yuyv => (half.clone() * 4 + 1, half * 4 + 3),
            Format::Nv12 => (half.clone() * 2, half * 2 + 1),
            Format::Nv21 => (half.clone() * 2 + 1, half * 2),
            _ => (half.clone(), half),
        };
        Place { luma, u, v }
    }

    fn is_yuv(&self) -> bool {
        matches!(self.frame.format, Format::Yuyv | Format::Nv12 | Format::Nv21 | Format::I420)
    }

    fn is_bgr(&self) -> bool {
        matches!(self.frame.format, Format::Bgr8 | Format::Bgra8)
    }

    /// R, G and B, or the brightness alone, from 0 to 255; as lanes in the order of memory.
    fn pixel(
        &self,
        k: &mut KernelBuilder,
        reading: &Reading,
        (row, _): &(Place, Option<Value>),
        (column, _): &(Place, Option<Value>),
        count: usize,
    ) -> Vec<Value> {
        let int = INT.x(1);
        let byte = |k: &mut KernelBuilder, at: Index| {
            let v = k.load(Elem::U8.x(1), reading.x.at(at));
            k.widen(v, INT)
        };
        let luma = row.luma.clone() + column.luma.clone();
        if self.frame.format == Format::Gray8 {
            return vec![byte(k, luma)];
        }
        if !self.is_yuv() && reading.lanes == LANES {
            let v = k.load_part(Elem::U8.x(LANES), reading.x.at(luma), self.frame.pixel_bytes());
            return vec![k.widen(v, INT)];
        }
        if !self.is_yuv() {
            let mut rgb = [0, 1, 2].map(|i| byte(k, luma.clone() + i));
            if self.is_bgr() {
                rgb.reverse();
            }
            if count == 3 {
                return rgb.to_vec();
            }
            // OpenCV's numbers of COLOR_RGB2GRAY.
            let weights = [9798, 19235, 3735].map(|w| k.int(int, w));
            let half = k.int(int, 1 << 14);
            let sum = add_all(k, half, &rgb, &weights);
            return vec![k.shr_imm(sum, 15)];
        }
        let y = byte(k, luma);
        let (black, zero, scale, half) = (k.int(int, 16), k.int(int, 0), k.int(int, OF_Y), k.int(int, 1 << 19));
        let y = k.sub(y, black);
        let y = k.max(y, zero);
        let y = k.mul(y, scale);
        let y = k.add(y, half);
        let finish = |k: &mut KernelBuilder, v: Value| {
            let v = k.shr_imm(v, 20);
            k.clamp_int(v, 0, 255)
        };
        if count == 1 && reading.lanes == 1 {
            // The brightness of a pixel whose chroma is none.
            return vec![finish(k, y)];
        }
        let middle = k.int(int, 128);
        let uv = [(&row.u, &column.u), (&row.v, &column.v)].map(|(a, b)| {
            let v = byte(k, a.clone() + b.clone());
            k.sub(v, middle)
        });
        if let Some(weights) = reading.chroma {
            let [y, u, v] = [y, uv[0], uv[1]].map(|v| k.splat(v, LANES));
            let sum = add_all(k, y, &[u, v], &weights);
            return vec![finish(k, sum)];
        }
        let channel = |i: usize| {
            let parts = [(uv[0], OF_U[i]), (uv[1], OF_V[i])].into_iter().filter(|(_, w)| *w != 0);
            let (values, weights): (Vec<Value>, Vec<Value>) = parts.map(|(v, w)| (v, k.int(int, w.into()))).unzip();
            let sum = add_all(k, y, &values, &weights);
            finish(k, sum)
        };
        (0..3).map(channel).collect()
    }

    /// A sum divided by all weights, rounded.
    fn mean(&self, k: &mut KernelBuilder, sum: Value) -> Value {
        let int = k.ty(sum);
        if self.total == 1 {
            return sum;
        }
        let half = k.int(int, (self.total / 2) as i64);
        let sum = k.add(sum, half);
        let mean = if self.total.is_power_of_two() {
            k.shr_imm(sum, self.total.trailing_zeros() as u8)
        } else {
            let (factor, shift) = resample::divided(self.total);
            let factor = k.int(int, factor.into());
            let high = k.mul_high(sum, factor);
            k.shr_imm(high, shift)
        };
        if !self.ties_to_even || self.total % 2 == 1 {
            return mean;
        }
        let (total, one, zero) = (k.int(int, self.total as i64), k.int(int, 1), k.int(int, 0));
        let exact = k.mul(mean, total);
        let is_tie = k.compare(Cond::Eq, exact, sum);
        let odd = k.and(mean, one);
        let more = k.select(is_tie, odd, zero);
        k.sub(mean, more)
    }
}

fn add_all(k: &mut KernelBuilder, first: Value, values: &[Value], weights: &[Value]) -> Value {
    values.iter().zip(weights).fold(first, |sum, (v, w)| {
        let v = k.mul(*v, *w);
        k.add(sum, v)
    })
}

/// Where rows begin, if the stride is known at run time only: i32, of all planes. A stride that is too small or too large ends the invocation.
fn lines(cx: &mut Context, node: &Node, frame: &Frame) -> BufferId {
    let (int, chroma) = (INT.x(1), frame.chroma());
    let rows = frame.height + chroma.map_or(0, |c| c.planes * c.rows);
    let (lines, status) = (cx.scratch("lines", 4 * rows as u64), cx.scratch("status", 4));
    let mut k = KernelBuilder::new("frame_lines");
    let (x, y, z) = (k.read("stride"), k.write("lines"), k.write("status"));
    let stride = k.load(int, x.at(0));
    let inside = k.clamp_int(stride, frame.row_bytes() as i64, frame.stride as i64);
    let (zero, one) = (k.int(int, 0), k.int(int, 1));
    let is_wrong = k.compare(Cond::Ne, stride, inside);
    let is_wrong = k.select(is_wrong, one, zero);
    k.store(z.at(0), is_wrong);
    let plane = |k: &mut KernelBuilder, begin: Value, first: usize, count: usize, stride: Value| {
        k.repeat("row", count, 1, &[begin], |k, row, at| {
            k.store(y.at((Index::from(row) + first) * 4), at[0]);
            vec![k.add(at[0], stride)]
        })[0]
    };
    let end = plane(&mut k, zero, 0, frame.height, inside);
    if let Some(c) = chroma {
        let half = k.add(inside, one);
        let half = k.shr_imm(half, 1);
        let stride = if c.step == 2 { k.shl_imm(half, 1) } else { half };
        (0..c.planes).fold(end, |begin, p| plane(&mut k, begin, frame.height + p * c.rows, c.rows, stride));
    }
    let stride = cx.input(node, 6);
    cx.call(k.finish(), &[stride, lines, status], &[]);
    cx.check(status);
    lines
}
