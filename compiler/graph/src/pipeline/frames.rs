//! Frames of a camera as the input of a model.
//!
//! No loops over pixels (`lower/frame.rs`). The idea: what a pipeline says of a frame is a place: a part of the frame, turned and mirrored, and then spread
//! over the model's input. A fixed place becomes tables of constants; one that an earlier model found is known with each call, and then an operator makes
//! the same tables. What numbers mean becomes a table of 256, so that no pixel is normalised twice, or in floats on the way to integers.

use super::chain::Chain;
use super::spec::{Crop, CropName, Fit, Frame, Input, OneOrMore, Order, Resizing, Stride};
use super::{Made, wrong};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::lower::frame;
use crate::ops::{self, Op};
use crate::quantize::resample::{self, Weights};
use crate::quantize::{element_range, quantize};
use crate::tensor::ElementType::{F32, I8, I16, I32, U8};
use crate::tensor::TensorType;

/// The most pixels of an axis.
const MOST_PIXELS: usize = 1 << 15;

/// In words.
pub fn described(frame: &Frame) -> String {
    let Frame { format, width, height, stride } = frame;
    let format = format!("{format:?}").to_lowercase();
    let rows = match stride {
        None => String::new(),
        Some(Stride::Bytes(bytes)) => format!(", rows of {bytes} bytes"),
        Some(Stride::Given { most }) => format!(", rows of {most} bytes at most"),
    };
    format!("{format}, {width} x {height} pixels{rows}")
}

fn layout(frame: &Frame) -> Result<frame::Frame, Diagnostic> {
    let Frame { format, width, height, stride } = *frame;
    for (field, size) in [("width", width), ("height", height)] {
        if !(1..=MOST_PIXELS).contains(&size) {
            return Err(wrong(field, "a frame cannot have so many pixels").expected(format!("1 to {MOST_PIXELS}")).found(size.to_string()));
        }
    }
    let mut layout = frame::Frame { format, width, height, stride: 0 };
    let least = layout.row_bytes();
    layout.stride = match stride {
        None => least,
        Some(Stride::Bytes(bytes) | Stride::Given { most: bytes }) => bytes,
    };
    if !(least..=1 << 20).contains(&layout.stride) {
        return Err(wrong("stride", "a row of the frame does not fit")
            .expected(format!("{least} to {} bytes", 1 << 20))
            .found(layout.stride.to_string()));
    }
    if 1 << 30 < layout.size_bytes() {
        return Err(wrong("height", "the frame is too large").expected("no more than a gigabyte"));
    }
    Ok(layout)
}

/// The inputs of the graph that the sensor is: suffixes of their names, and types: bytes u8 `[n]`, and i32 `[1]` where the stride is given.
pub fn inputs(frame: &Frame) -> Result<Vec<(&'static str, TensorType)>, Diagnostic> {
    let mut inputs = vec![("", TensorType::new(U8, [layout(frame)?.size_bytes()]))];
    if let Some(Stride::Given { .. }) = frame.stride {
        inputs.push(("_stride", TensorType::new(I32, [1])));
    }
    Ok(inputs)
}

/// How a model takes images.
struct Image {
    height: usize,
    width: usize,
    channels: usize,
    /// Channels are an axis before the rows.
    is_planar: bool,
}

impl Image {
    fn of(to: &TensorType) -> Result<Image, Diagnostic> {
        let of = |height, width, channels, is_planar| Image { height, width, channels, is_planar };
        let image = match to.shape[..] {
            [1, h, w, c @ (1 | 3)] | [h, w, c @ (1 | 3)] => Some(of(h, w, c, false)),
            [1, c @ (1 | 3), h, w] | [c @ 3, h, w] => Some(of(h, w, c, true)),
            // A single row is a list of numbers.
            [1, h, w] | [h, w] if 1 < h => Some(of(h, w, 1, false)),
            _ => None,
        };
        image.filter(|i| (1..=MOST_PIXELS).contains(&i.height) && (1..=MOST_PIXELS).contains(&i.width)).ok_or_else(|| {
            wrong("from", "the model's input is no image").expected("[1, height, width, 1 or 3]").found(format!("{:?}", to.shape))
        })
    }
}

/// One axis of the model's input, and what of the frame is spread over it.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// Of the model's input: all pixels, those that show the frame, and those before them.
    size: usize,
    inner: usize,
    before: usize,
    /// Of the frame along it: all pixels, those of the part, and those before them.
    extent: usize,
    part: usize,
    first: usize,
    reversed: bool,
}

impl Axis {
    /// Tables of first pixels and weights, of so many pixels each, and the sum of weights.
    fn tables(&self, resize: Resizing) -> (Vec<i32>, Vec<i32>, usize, usize) {
        let Axis { size, inner, before, extent, part, first, reversed } = *self;
        let (weights, sum): (Weights, usize) = match resize {
            Resizing::Nearest => (resample::nearest(part, inner), 1),
            Resizing::Bilinear => (resample::bilinear(part, inner), resample::ONE as usize),
            Resizing::Area => resample::area(part, inner),
        };
        let taps = weights.iter().map(Vec::len).max().unwrap_or(1);
        let mut firsts = vec![-1; size];
        let mut all = vec![0; size * taps];
        for (i, pixels) in weights.iter().enumerate() {
            let pixels: Vec<(usize, i32)> =
                pixels.iter().map(|&(p, w)| (if reversed { first + part - 1 - p } else { first + p }, w)).collect();
            let least = pixels.iter().map(|p| p.0).min().unwrap_or(0).min(extent - taps);
            firsts[before + i] = least as i32;
            for (pixel, weight) in pixels {
                all[(before + i) * taps + pixel - least] += weight;
            }
        }
        (firsts, all, taps, sum)
    }

    /// Factor and offset from 0 to 1 across the model's input to pixels of the frame.
    fn geometry(&self) -> [f32; 2] {
        let scale = self.part as f64 / self.inner as f64;
        let (factor, offset) = (self.size as f64 * scale, -(self.before as f64) * scale);
        let (first, end) = (self.first as f64, (self.first + self.part) as f64);
        let [factor, offset] = if self.reversed { [-factor, end - offset] } else { [factor, first + offset] };
        [factor as f32, offset as f32]
    }
}

/// How a frame is turned and mirrored.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Rows of the model's input are columns of the frame.
    transposed: bool,
    /// Rows and columns of the model's input that run backwards in the frame.
    reversed: [bool; 2],
}

impl Turn {
    fn of(input: &Input) -> Result<Turn, Diagnostic> {
        let (transposed, [rows, columns]) = match input.rotate {
            0 => (false, [false, false]),
            90 => (true, [false, true]),
            180 => (false, [true, true]),
            270 => (true, [true, false]),
            other => return Err(wrong("rotate", "a frame turns by quarters").expected("0, 90, 180 or 270").found(other.to_string())),
        };
        Ok(Turn { transposed, reversed: [rows, columns != input.mirror] })
    }
}

/// An input of the model, of exactly the type `to`. `values`: the sensor's inputs; `part`: f32 `[4]`, left, top, right and bottom in pixels of the frame.
pub fn make(
    chain: &mut Chain,
    frame: &Frame,
    values: &[ValueId],
    part: Option<ValueId>,
    input: &Input,
    to: &TensorType,
) -> Result<Made, Diagnostic> {
    let (layout, image, turn) = (layout(frame)?, Image::of(to)?, Turn::of(input)?);
    if input.features.is_some() {
        return Err(wrong("features", "a frame has no features of sound"));
    }
    let map = map(input, &image, to)?;
    let fill = fill(input, &image)?;
    let places = match part {
        Some(part) => found(chain, &layout, part, turn, &image, input)?,
        None => fixed(chain, &layout, turn, &image, input)?,
    };
    let has_bars = input.fit == Fit::Letterbox && places.has_bars;
    let op = Op::CraneliteFrame(ops::craneliteframe::Attributes {
        format: layout.format,
        width: layout.width,
        height: layout.height,
        stride: layout.stride,
        transposed: turn.transposed,
        channels: image.channels,
        bgr: image.channels == 3 && input.order == Order::Bgr,
        total: places.total,
        ties_to_even: places.ties_to_even,
        fill: if has_bars { fill } else { vec![] },
    });
    let map = chain.constant(TensorType::new(to.element, [map.len() / 256 / to.element.bytes().unwrap_or(1), 256]), map);
    let operands = [&[values[0]], &places.tables[..], &[map], &values[1..]].concat();
    let made = chain.apply(op, &operands, std::slice::from_ref(to))?[0];
    let made = if image.is_planar { chain.transpose(made, &[0, 3, 1, 2])? } else { made };
    let value = chain.reshape(made, &to.shape)?;
    Ok(Made { value, geometry: Some(places.geometry) })
}

/// Operands of the resampling.
struct Places {
    /// First rows and their weights, first columns and theirs.
    tables: Vec<ValueId>,
    total: usize,
    ties_to_even: bool,
    has_bars: bool,
    geometry: ValueId,
}

/// Left, top, width and height.
fn cropped(layout: &frame::Frame, turn: Turn, image: &Image, input: &Input) -> Result<[usize; 4], Diagnostic> {
    let frame::Frame { width, height, .. } = *layout;
    match input.crop {
        None => Ok([0, 0, width, height]),
        Some(Crop::Box([left, top, w, h])) => {
            let fits = |first: usize, count: usize, all: usize| 0 < count && first.checked_add(count).is_some_and(|end| end <= all);
            if !fits(left, w, width) || !fits(top, h, height) {
                return Err(wrong("crop", "the part is not in the frame")
                    .expected(format!("left, top, width and height within {width} x {height} pixels"))
                    .found(format!("[{left}, {top}, {w}, {h}]")));
            }
            Ok([left, top, w, h])
        }
        Some(Crop::Named(CropName::Center)) => {
            let (across, down) = if turn.transposed { (image.height, image.width) } else { (image.width, image.height) };
            let (mut w, mut h) = (width, height);
            if width * down <= height * across {
                h = (width * down / across).max(1);
            } else {
                w = (height * across / down).max(1);
            }
            Ok([(width - w) / 2, (height - h) / 2, w, h])
        }
    }
}

fn fixed(chain: &mut Chain, layout: &frame::Frame, turn: Turn, image: &Image, input: &Input) -> Result<Places, Diagnostic> {
    if input.grow.is_some() {
        return Err(wrong("grow", "without `within` there is no box that could grow"));
    }
    let [left, top, width, height] = cropped(layout, turn, image, input)?;
    let across = (layout.width, left, width);
    let down = (layout.height, top, height);
    let sides = if turn.transposed { [across, down] } else { [down, across] };
    let sizes = [image.height, image.width];
    let mut inner = sizes;
    if input.fit == Fit::Letterbox {
        let [rows, columns] = sides.map(|s| s.2);
        if rows * sizes[1] <= columns * sizes[0] {
            inner[0] = resample::in_proportion(rows, columns, sizes[1]).min(sizes[0]);
        } else {
            inner[1] = resample::in_proportion(columns, rows, sizes[0]).min(sizes[1]);
        }
    }
    let axes = [0, 1].map(|i| {
        let (extent, first, part) = sides[i];
        Axis { size: sizes[i], inner: inner[i], before: (sizes[i] - inner[i]) / 2, extent, part, first, reversed: turn.reversed[i] }
    });
    if input.resize == Resizing::Area && axes.iter().any(|a| a.part < a.inner) {
        return Err(wrong("resize", "`area` is for fewer pixels than before")
            .expected(format!("{} rows and {} columns at least, after turning", axes[0].inner, axes[1].inner))
            .found(format!("{} and {}", axes[0].part, axes[1].part))
            .help("`bilinear` enlarges"));
    }
    let mut tables = vec![];
    let (mut total, mut most) = (1_usize, 1);
    for axis in &axes {
        let (first, weights, taps, sum) = axis.tables(input.resize);
        tables.push(chain.integers(&[axis.size], &first));
        tables.push(chain.integers(&[axis.size, taps], &weights));
        total = total.saturating_mul(sum);
        most = most.max(taps);
    }
    if most == 1 {
        // Each pixel is another one, whatever it weighs.
        total = 1;
    }
    if resample::MOST_TOTAL < total {
        return Err(wrong("resize", "`area` from so many pixels is not exact in 32 bits")
            .expected(format!(
                "rows times columns, each divided by what they have in common with those of the model's input, no more than {}",
                resample::MOST_TOTAL
            ))
            .found(total.to_string())
            .help("`crop` a part whose sides have more in common with the model's input"));
    }
    let halves = axes.iter().all(|a| a.part == 2 * a.inner);
    let geometry = geometry(turn, axes.map(|a| a.geometry()));
    Ok(Places {
        tables,
        total,
        ties_to_even: input.resize == Resizing::Area && !halves,
        has_bars: inner != sizes,
        geometry: chain.floats(&[3, 2], &geometry),
    })
}

/// Of factors and offsets of rows and columns of the model's input.
fn geometry(turn: Turn, [rows, columns]: [[f32; 2]; 2]) -> [f32; 6] {
    if turn.transposed {
        [0.0, columns[0], rows[0], 0.0, rows[1], columns[1]]
    } else {
        [columns[0], 0.0, 0.0, rows[0], columns[1], rows[1]]
    }
}

/// Of a box that is known with each call.
fn found(chain: &mut Chain, layout: &frame::Frame, part: ValueId, turn: Turn, image: &Image, input: &Input) -> Result<Places, Diagnostic> {
    if input.crop.is_some() {
        return Err(wrong("crop", "the part of the frame is that of `within` already"));
    }
    if input.resize == Resizing::Area {
        return Err(wrong("resize", "`area` needs a part that is known when the model is compiled").expected("bilinear or nearest"));
    }
    let grow = input.grow.unwrap_or(1.0);
    if !(grow.is_finite() && 0.0 < grow) {
        return Err(wrong("grow", "it must be above 0").found(grow.to_string()));
    }
    let is_nearest = input.resize == Resizing::Nearest;
    let op = Op::CraneliteFramePart(ops::craneliteframepart::Attributes {
        width: layout.width,
        height: layout.height,
        rows: image.height,
        columns: image.width,
        grow,
        transposed: turn.transposed,
        rows_reversed: turn.reversed[0],
        columns_reversed: turn.reversed[1],
        nearest: is_nearest,
        letterbox: input.fit == Fit::Letterbox,
    });
    let integers = TensorType::new(I32, []);
    let results = [&vec![integers; 4][..], &[TensorType::new(F32, [])]].concat();
    let mut tables = chain.apply(op, &[part], &results)?;
    let geometry = tables.pop().expect("five results");
    let total = if is_nearest { 1 } else { (resample::ONE * resample::ONE) as usize };
    Ok(Places { tables, total, ties_to_even: false, has_bars: true, geometry })
}

/// What the bytes of a pixel's channel stand for, in the model's numbers: 256 of all channels, or of each.
fn map(input: &Input, image: &Image, to: &TensorType) -> Result<Vec<u8>, Diagnostic> {
    let Image { channels, .. } = *image;
    let each = |field: &str, v: Option<&OneOrMore>, otherwise: f32| match v {
        None => Ok(vec![otherwise; channels]),
        Some(v) => v
            .per_channel(channels)
            .ok_or_else(|| wrong(field, "there must be one number, or one for each channel").expected(channels.to_string())),
    };
    let (mean, std) = (each("mean", input.mean.as_ref(), 0.0)?, each("std", input.std.as_ref(), 1.0)?);
    if let Some(bad) = std.iter().find(|s| !s.is_finite() || **s == 0.0) {
        return Err(wrong("std", "it must be a number other than 0").found(bad.to_string()));
    }
    if let Some(bad) = mean.iter().find(|m| !m.is_finite()) {
        return Err(wrong("mean", "it must be a finite number").found(bad.to_string()));
    }
    let mut maps: Vec<Vec<u8>> = vec![];
    for (mean, std) in mean.into_iter().zip(std) {
        let real = (0..=255_u8).map(|v| (f32::from(v) - mean) / std);
        maps.push(match to.element {
            F32 => real.flat_map(f32::to_le_bytes).collect(),
            U8 | I8 | I16 | I32 => numbers(real, to)?,
            other => {
                return Err(wrong("from", "a frame cannot become numbers of the type of the model's input")
                    .expected("f32, u8, i8, i16 or i32")
                    .found(other.name()));
            }
        });
    }
    let is_one = maps.windows(2).all(|m| m[0] == m[1]);
    Ok(if is_one { maps.swap_remove(0) } else { maps.concat() })
}

/// Integers, as QUANTIZE makes them of real numbers, or as CAST does where the type is not quantised.
fn numbers(real: impl Iterator<Item = f32>, to: &TensorType) -> Result<Vec<u8>, Diagnostic> {
    let (low, high) = element_range(to.element).unwrap_or((i32::MIN, i32::MAX));
    let integer = |real: f32| match &to.quantization {
        Some(q) if to.element != I32 => {
            if !q.is_per_tensor() {
                return Err(wrong("from", "the model's input has several scales").expected("one scale and zero point"));
            }
            Ok(quantize(real, q.scales[0], q.zero_points[0] as i32, (low, high)))
        }
        _ => Ok((real as i32).clamp(low, high)),
    };
    let all = real.map(integer).collect::<Result<Vec<i32>, Diagnostic>>()?;
    let ends = all.iter().filter(|v| **v == low || **v == high).count();
    if all.len() / 2 < ends {
        return Err(wrong("from", "most pixels from 0 to 255 are beyond what the model's input can be")
            .expected("`mean` and `std` with which the model was trained")
            .found(format!("{ends} of 256 become {low} or {high}"))
            .help("the model takes (pixel - mean) / std; for pixels from 0 to 1 `std` is 255"));
    }
    let bytes = to.element.bytes().unwrap_or(4);
    Ok(all.iter().flat_map(|v| v.to_le_bytes()[..bytes].to_vec()).collect())
}

/// The colour of bars, as the model takes channels.
fn fill(input: &Input, image: &Image) -> Result<Vec<usize>, Diagnostic> {
    let Some(fill) = &input.fill else { return Ok(vec![0; image.channels]) };
    if input.fit != Fit::Letterbox {
        return Err(wrong("fill", "there are no bars").expected("`fit = \"letterbox\"`"));
    }
    let colour = fill
        .per_channel(image.channels)
        .ok_or_else(|| wrong("fill", "there must be one number, or one for each channel").expected(image.channels.to_string()))?;
    if let Some(bad) = colour.iter().find(|v| !(0.0..=255.0).contains(*v) || v.fract() != 0.0) {
        return Err(wrong("fill", "a colour is made of integers from 0 to 255").found(bad.to_string()));
    }
    let mut colour: Vec<usize> = colour.into_iter().map(|v| v as usize).collect();
    if input.order == Order::Bgr {
        colour.reverse();
    }
    Ok(colour)
}
