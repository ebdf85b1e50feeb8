//! CraneliteFramePart: of a box in a frame the tables with which CraneliteFrame makes an image of it. Of pipelines (`pipeline/frames.rs`); no model has it.
//!
//! f32 `[4]`: left, top, right and bottom in pixels. It grows around its middle, and is then the whole pixels that it touches in the frame; a box that is
//! empty there, or has a number that is none, is the whole frame. Results: first rows and their weights, first columns and theirs, as for a fixed part, and
//! f32 `[3,2]`, which takes (x, y, 1), x and y from 0 to 1 across the image, to pixels of the frame. Places are computed in f64, as OpenCV does.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks, only_of_pipelines};
use crate::quantize::resample::ONE;
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, Cond, Elem, Index, KernelBuilder, Rounding, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Of the frame.
    pub width: usize,
    pub height: usize,
    /// Of the image.
    pub rows: usize,
    pub columns: usize,
    pub grow: f32,
    /// Rows of the image are columns of the frame.
    pub transposed: bool,
    /// They run backwards in the frame.
    pub rows_reversed: bool,
    pub columns_reversed: bool,
    /// One pixel instead of two along each axis.
    pub nearest: bool,
    /// Both axes by the same factor; where that leaves bars, first rows and columns are -1.
    pub letterbox: bool,
}
fields!(width, height, rows, columns, grow, transposed, rows_reversed, columns_reversed, nearest, letterbox);

/// The most that all numbers of the computation are exact for.
const MOST: usize = 1 << 20;

impl Attributes {
    /// Of the frame along rows and columns of the image.
    fn extents(&self) -> [usize; 2] {
        if self.transposed { [self.width, self.height] } else { [self.height, self.width] }
    }
    fn taps(&self) -> [usize; 2] {
        self.extents().map(|e| if self.nearest { 1 } else { e.min(2) })
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 5..=5 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32]], &[&[I32], &[I32], &[I32], &[I32], &[F32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Err(only_of_pipelines())
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::shape("the box", 0, s.input(0)?, &[4])?;
        for (name, size) in [("width", self.width), ("height", self.height), ("rows", self.rows), ("columns", self.columns)] {
            checks::at_least(name, size, 1)?;
            checks::at_most(name, size, MOST)?;
        }
        if !(self.grow.is_finite() && 0.0 < self.grow) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`grow` must be above 0").found(self.grow.to_string()));
        }
        let [rows, columns] = self.taps();
        Ok(vec![vec![self.rows], vec![self.rows, rows], vec![self.columns], vec![self.columns, columns], vec![3, 2]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let mut k = KernelBuilder::new(format!("frame_part_{}x{}", self.rows, self.columns));
        let x = k.read("box");
        let [rows, row_weights, columns, column_weights, geometry] =
            ["rows", "row_weights", "columns", "column_weights", "geometry"].map(|name| k.write(name));
        let [across, down] = self.sides(&mut k, x);
        let sides = if self.transposed { [across, down] } else { [down, across] };
        let fitted = self.fitted(&mut k, sides);
        let tables = [(rows, row_weights, self.rows_reversed), (columns, column_weights, self.columns_reversed)];
        let places = [0, 1].map(|i| {
            let (first, weights, reversed) = tables[i];
            let axis = Axis {
                part: sides[i],
                fitted: fitted[i],
                size: [self.rows, self.columns][i],
                extent: self.extents()[i],
                taps: self.taps()[i],
                reversed,
            };
            self.table(&mut k, &axis, first, weights);
            axis.geometry(&mut k)
        });
        let zero = k.float(Elem::F32.x(1), 0.0);
        let [[row_factor, row_first], [column_factor, column_first]] = places;
        let all = match self.transposed {
            true => [zero, column_factor, row_factor, zero, row_first, column_first],
            false => [column_factor, zero, zero, row_factor, column_first, row_first],
        };
        for (i, v) in all.into_iter().enumerate() {
            k.store(geometry.at(4 * i), v);
        }
        let buffers = [&[cx.input(node, 0)][..], &(0..5).map(|i| cx.output(node, i)).collect::<Vec<_>>()].concat();
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// Pixels of the frame along an axis, f64: the first one, and how many.
#[derive(Clone, Copy)]
struct Part {
    first: Value,
    count: Value,
}

/// Pixels of the image along an axis that show it, f64: how many, and how many are before them.
#[derive(Clone, Copy)]
struct Fitted {
    inner: Value,
    before: Value,
}

/// An axis of the image.
struct Axis {
    part: Part,
    fitted: Fitted,
    size: usize,
    /// Of the frame along it.
    extent: usize,
    taps: usize,
    reversed: bool,
}

fn number(k: &mut KernelBuilder, v: f64) -> Value {
    k.double(Elem::F64.x(1), v)
}

impl Attributes {
    /// The box in whole pixels, along the frame's rows and along its columns.
    fn sides(&self, k: &mut KernelBuilder, x: Arg) -> [Part; 2] {
        let float = Elem::F32.x(1);
        let sides = [(0, self.width), (1, self.height)].map(|(i, extent)| {
            let [mut low, mut high] = [i, i + 2].map(|i| k.load(float, x.at(4 * i)));
            if self.grow != 1.0 {
                let (half, factor) = (k.float(float, 0.5), k.float(float, 0.5 * self.grow));
                let (both, length) = (k.add(low, high), k.sub(high, low));
                let (middle, reach) = (k.mul(both, half), k.mul(length, factor));
                (low, high) = (k.sub(middle, reach), k.add(middle, reach));
            }
            let is_box = k.compare(Cond::Lt, low, high);
            let (zero, end) = (k.float(float, 0.0), k.float(float, extent as f32));
            let [low, high] = [(Unary::Floor, low), (Unary::Ceil, high)].map(|(round, v)| {
                let v = k.unary(round, v);
                let v = k.max(v, zero);
                k.min(v, end)
            });
            let is_inside = k.compare(Cond::Lt, low, high);
            (k.and(is_box, is_inside), [low, high], [zero, end])
        });
        let is_part = k.and(sides[0].0, sides[1].0);
        sides.map(|(_, part, whole)| {
            let [low, high] = [0, 1].map(|i| {
                let v = k.select(is_part, part[i], whole[i]);
                k.to_float(v, Elem::F64)
            });
            Part { first: low, count: k.sub(high, low) }
        })
    }

    /// How much of the image each axis takes.
    fn fitted(&self, k: &mut KernelBuilder, sides: [Part; 2]) -> [Fitted; 2] {
        let sizes = [self.rows, self.columns].map(|s| number(k, s as f64));
        let (half, one) = (number(k, 0.5), number(k, 1.0));
        if !self.letterbox {
            let before = number(k, 0.0);
            return sizes.map(|inner| Fitted { inner, before });
        }
        let (tall, wide) = (k.mul(sides[0].count, sizes[1]), k.mul(sides[1].count, sizes[0]));
        let is_wide = k.compare(Cond::Le, tall, wide);
        // By which the image's other axis is divided.
        let proportions = [(tall, sides[1].count), (wide, sides[0].count)];
        [0, 1].map(|i| {
            let (product, other) = proportions[i];
            let v = k.div(product, other);
            let v = k.add(v, half);
            let v = k.unary(Unary::Floor, v);
            let v = k.max(v, one);
            let v = k.min(v, sizes[i]);
            let inner = if i == 0 { k.select(is_wide, v, sizes[0]) } else { k.select(is_wide, sizes[1], v) };
            let bars = k.sub(sizes[i], inner);
            let before = k.mul(bars, half);
            Fitted { inner, before: k.unary(Unary::Floor, before) }
        })
    }

    /// Writes first pixels and their weights.
    fn table(&self, k: &mut KernelBuilder, axis: &Axis, firsts: Arg, weights: Arg) {
        let Axis { part, fitted, size, extent, taps, reversed } = *axis;
        let (zero, one, half) = (number(k, 0.0), number(k, 1.0), number(k, 0.5));
        let ratio = k.div(fitted.inner, part.count);
        let scale = k.div(one, ratio);
        let last = k.sub(part.count, one);
        let begin = k.sub(zero, fitted.before);
        k.repeat("i", size, 1, &[begin], |k, i, at| {
            let at = at[0];
            let (before, share) = if self.nearest {
                let place = k.mul(at, scale);
                let place = k.unary(Unary::Floor, place);
                let place = k.max(place, zero);
                (k.min(place, last), None)
            } else {
                let middle = k.add(at, half);
                let place = k.mul(scale, middle);
                let place = k.sub(place, half);
                let before = k.unary(Unary::Floor, place);
                let share = k.sub(place, before);
                let share = binary_with(k, Binary::Mul, share, f64::from(ONE));
                let share = k.unary(Unary::RoundEven, share);
                let (is_before, is_inner) = (k.compare(Cond::Lt, before, zero), k.compare(Cond::Lt, before, last));
                let share = k.select(is_inner, share, zero);
                let share = k.select(is_before, zero, share);
                let before = k.max(before, zero);
                (k.min(before, last), Some(share))
            };
            let mut first = if reversed {
                let end = k.add(part.first, last);
                let first = k.sub(end, before);
                if taps == 2 { k.sub(first, one) } else { first }
            } else {
                k.add(part.first, before)
            };
            let whole = f64::from(if self.nearest { 1 } else { ONE });
            let whole = number(k, whole);
            let mut all = vec![whole];
            if let Some(share) = share.filter(|_| taps == 2) {
                all[0] = k.sub(whole, share);
                all.push(share);
                if reversed {
                    all.reverse();
                }
                // One of both would be beyond the frame, and weighs nothing.
                let most = number(k, (extent - 2) as f64);
                let inside = k.max(first, zero);
                let inside = k.min(inside, most);
                let is_moved = k.compare(Cond::Ne, inside, first);
                all = vec![k.select(is_moved, all[1], all[0]), k.select(is_moved, all[0], all[1])];
                first = inside;
            }
            if self.letterbox {
                let none = number(k, -1.0);
                let (is_early, is_inner) = (k.compare(Cond::Lt, at, zero), k.compare(Cond::Lt, at, fitted.inner));
                first = k.select(is_inner, first, none);
                first = k.select(is_early, none, first);
            }
            let integer = |k: &mut KernelBuilder, v| k.convert(v, Elem::I32, Rounding::TowardZero);
            let first = integer(k, first);
            k.store(firsts.at(Index::from(i) * 4), first);
            for (tap, weight) in all.into_iter().enumerate() {
                let weight = integer(k, weight);
                k.store(weights.at((Index::from(i) * taps as i64 + tap) * 4), weight);
            }
            vec![k.add(at, one)]
        });
    }
}

fn binary_with(k: &mut KernelBuilder, op: Binary, a: Value, b: f64) -> Value {
    let b = number(k, b);
    k.binary(op, a, b)
}

impl Axis {
    /// Factor and offset, f32, from 0 to 1 across the image to pixels of the frame.
    fn geometry(&self, k: &mut KernelBuilder) -> [Value; 2] {
        let (scale, size, zero) = (k.div(self.part.count, self.fitted.inner), number(k, self.size as f64), number(k, 0.0));
        let (factor, skipped) = (k.mul(size, scale), k.mul(self.fitted.before, scale));
        let both = if self.reversed {
            let end = k.add(self.part.first, self.part.count);
            [k.sub(zero, factor), k.add(end, skipped)]
        } else {
            [factor, k.sub(self.part.first, skipped)]
        };
        both.map(|v| k.convert(v, Elem::F32, Rounding::NearestEven))
    }
}
