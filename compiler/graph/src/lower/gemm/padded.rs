//! Images with their padding written out before a product, band by band of the output.
//!
//! Not the product. The idea: where the tile of a run of bytes is an operation of the emitter's, borders cost code: each kind of border is a kernel of its own, with a
//! table of biases and, for few channels, weights of its own. A copy of the rows that a band of output rows sees, with zero points around it, needs one of each. A band is
//! as large as the arena has bytes to spare, as for `ahead.rs`. Where the bytes of a row of taps are few, most of their last group is nothing: then all taps of each
//! pixel are written one after the other, and the product is one of single pixels.

use super::{Axis, Filter, Places, Product, Rescale};
use crate::lower::pad::{Axis as Margin, pad};
use crate::lower::{Context, Goal, moves};
use crate::tensor::ElementType;
use cranelite_tile::{BufferId, ByteDot, Elem, Scalar};

/// More bands than this are more calls than they are worth.
const MOST_BANDS: usize = 64;

/// Some output rows.
pub struct Band<'a> {
    /// Their product, whose image is the copy.
    pub product: Product<'a>,
    /// The rows of the image that are copied, and how many of padding are before and after them.
    first: usize,
    rows: Margin,
    columns: Margin,
    /// The product of single pixels that it is once its taps are written one after the other.
    pub unfolded: Option<Product<'a>>,
}

/// What comes before and after the elements of an axis that the outputs from `start` on see: where these elements begin, and the margins.
fn seen(a: &Axis, start: usize, len: usize) -> (usize, Margin) {
    let begin = (start * a.stride) as i64 - a.before;
    let end = begin + ((len - 1) * a.stride + (a.filter - 1) * a.dilation + 1) as i64;
    let inside = |at: i64| at.clamp(0, a.input as i64);
    let (first, last) = (inside(begin), inside(end));
    let margin =
        Margin { size: (last - first) as usize, before: (first - begin.min(first)) as usize, after: (end.max(last) - last) as usize };
    // What begins behind the image has padding alone.
    let margin = if last == first { Margin { size: 0, before: 0, after: (end - begin) as usize } } else { margin };
    (first as usize, margin)
}

fn total(m: &Margin) -> usize {
    m.before + m.size + m.after
}

/// The bands of a product, if it has padding, if there is memory for that, and if it pays.
pub fn bands<'a>(cx: &Context, p: &Product<'a>) -> Option<Vec<Band<'a>>> {
    let is_byte = matches!(p.input, ElementType::I8 | ElementType::U8);
    let has_borders = 1 < p.rows.segments().len() || 1 < p.columns.segments().len();
    let ByteDot::Runs { group, .. } = cx.machine.byte_dot else { return None };
    let unfolds = unfolds(p, group as usize);
    // What padding is worth is known at run time only where activations are quantised then.
    let is_fixed = !matches!(p.rescale, Rescale::Hybrid { .. });
    if !is_byte || !is_fixed || cx.goal != Goal::Speed || p.batch != 1 || !(has_borders || unfolds) {
        return None;
    }
    // Rows are copied whole, whether or not somebody sees their ends.
    let (_, margin) = seen(&p.columns, 0, p.columns.output);
    let columns = Margin { size: p.columns.input, before: usize::try_from(p.columns.before).ok()?, after: margin.after };
    (1..=MOST_BANDS.min(p.rows.output)).find_map(|count| {
        let len = p.rows.output.div_ceil(count);
        let bands: Vec<Band> =
            (0..p.rows.output).step_by(len).map(|start| band(p, start, len.min(p.rows.output - start), columns, unfolds)).collect();
        bands.iter().all(|b| b.bytes(p) as u64 <= cx.spare_bytes).then_some(bands)
    })
}

/// Whether a sixth of the groups of a window are spared where all its taps follow each other, and the copy is for enough outputs.
fn unfolds(p: &Product, group: usize) -> bool {
    let [outputs, height, width, channels] = p.filter.shape;
    let run = width * channels;
    let (apart, together) = (height * run.div_ceil(group), (height * run).div_ceil(group));
    p.groups() == 1 && 1 < height && p.columns.dilation == 1 && 8 <= outputs && 6 * together <= 5 * apart
}

fn band<'a>(p: &Product<'a>, start: usize, len: usize, columns: Margin, unfolds: bool) -> Band<'a> {
    let (first, rows) = seen(&p.rows, start, len);
    let places = p.rows.places;
    let places = Places { first: places.first + start * places.step, ..places };
    let product = Product {
        rows: Axis { input: total(&rows), output: len, before: 0, places, ..p.rows },
        columns: Axis { input: total(&columns), before: 0, ..p.columns },
        ..p.clone()
    };
    let [outputs, height, width, channels] = p.filter.shape;
    let depth = height * width * channels;
    let single = |a: &Axis| Axis { input: a.output, filter: 1, stride: 1, dilation: 1, ..*a };
    let unfolded = unfolds.then(|| Product {
        rows: single(&product.rows),
        columns: single(&product.columns),
        channels: depth,
        filter: Filter { shape: [outputs, 1, 1, depth], ..p.filter },
        ..product.clone()
    });
    Band { product, first, rows, columns, unfolded }
}

impl Band<'_> {
    fn is_padded(&self) -> bool {
        [self.rows, self.columns].iter().any(|m| 0 < m.before + m.after)
    }

    /// Of scratch.
    fn bytes(&self, p: &Product) -> usize {
        let padded = if self.is_padded() { total(&self.rows) * total(&self.columns) * p.channels } else { 0 };
        padded + self.unfolded.as_ref().map_or(0, |u| u.rows.input * u.columns.input * u.channels)
    }

    /// Writes the copy of what the band of `p` sees of the image.
    pub fn write(&self, cx: &mut Context, p: &Product, image: BufferId) -> BufferId {
        let line = p.columns.input * p.channels;
        let skipped = (self.first * line) as u64;
        let from = if skipped == 0 { image } else { cx.view("rows", image, skipped, cx.size_bytes(image) - skipped) };
        let copy = if self.is_padded() {
            let copy = cx.scratch("padded", (total(&self.rows) * total(&self.columns) * p.channels) as u64);
            let pixel = Margin { size: p.channels, before: 0, after: 0 };
            let elem = if p.input == ElementType::U8 { Elem::U8 } else { Elem::I8 };
            pad(cx, from, copy, &[self.rows, self.columns, pixel], elem, Scalar::Int(p.input_zero_point));
            copy
        } else {
            from
        };
        let Some(unfolded) = &self.unfolded else { return copy };
        let (rows, columns, depth) = (&self.product.rows, &self.product.columns, unfolded.channels);
        let matrix = cx.scratch("unfolded", (rows.output * columns.output * depth) as u64);
        let (line, run) = (columns.input * p.channels, columns.filter * p.channels);
        let axis = |count: usize, from: usize, to: usize| moves::Axis { count, from: from as i64, to: to as i64 };
        let axes = [
            axis(rows.output, rows.stride * line, columns.output * depth),
            axis(columns.output, columns.stride * p.channels, depth),
            axis(rows.filter, rows.dilation * line, run),
            axis(run, 1, 1),
        ];
        moves::elements(cx, copy, matrix, 1, (0, 0), &axes);
        matrix
    }
}
