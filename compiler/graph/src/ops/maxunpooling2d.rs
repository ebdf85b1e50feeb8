//! MaxUnpooling2D: pixels back to where a pooling has found them, and zeros elsewhere.
//!
//! f32 pixels. There are two operators of this name. With f32 places it is MediaPipe's: a place is the number of a pixel in its window, by rows, cut
//! to an integer; what would lie outside of the result is left out. With i32 places it is TensorFlow Lite's: a place is one in an image of the result, whose
//! elements are counted through; one that is not in it ends the invocation, where the reference writes beyond. Of several pixels for
//! one place the last one counts. Options are the structure that TensorFlow Lite has for poolings.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::copy::each;
use crate::lower::indices;
use crate::lower::integers::divide;
use crate::lower::moves::{self, Axis};
use crate::ops::attributes::positive;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, KernelBuilder, Rounding};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    /// Of i32 places: the result has a stride for each pixel, else also the rest of the last window.
    pub is_same: bool,
}
fields!(filter, stride, is_same);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32], &[F32, I32]], &[&[F32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let [padding, stride_w, stride_h, filter_width, filter_height] = source.structure()?;
        if !(1..=2).contains(&padding) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "padding is not known").expected("1 or 2").found(padding.to_string()));
        }
        Ok(Attributes {
            filter: [positive("filter_height", filter_height)?, positive("filter_width", filter_width)?],
            stride: [positive("stride_height", stride_h)?, positive("stride_width", stride_w)?],
            is_same: padding == 1,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, places) = (s.input(0)?, s.input(1)?);
        let [n, height, width, channels] = checks::image("the image", x)?;
        checks::shape("the places", 1, places, &x.shape)?;
        if self.filter.contains(&0) || self.stride.contains(&0) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "windows and strides are at least 1"));
        }
        let size = |d: usize, size: usize| match places.element {
            I32 if self.is_same => size.saturating_mul(self.stride[d]),
            I32 => size.saturating_sub(1).saturating_mul(self.stride[d]).saturating_add(self.filter[d]),
            _ => size.saturating_mul(self.filter[d]),
        };
        let shape = checks::sized(vec![n, size(0, height), size(1, width), channels])?;
        // Places are computed in 32 bits.
        match shape[0].iter().product::<usize>() <= i32::MAX as usize {
            true => Ok(shape),
            false => Err(Diagnostic::new(Code::SHAPE, "the result is too large").found(format!("{:?}", shape[0]))),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let [n, height, width, channels] = checks::image("the image", cx.input_type(node, 0))?;
        let [_, rows, columns, _] = checks::image("the result", cx.output_type(node, 0))?;
        let (zeros, y) = (cx.fill(0, 4), cx.output(node, 0));
        moves::elements(cx, zeros, y, 4, (0, 0), &[Axis { count: n * rows * columns * channels, from: 0, to: 1 }]);
        if n * height * width * channels == 0 {
            return Ok(());
        }
        let element = cx.input_type(node, 1).element;
        let image = rows * columns * channels;
        if element == I32 {
            indices::in_axes(cx, node, 1, n * height * width * channels, &[image])?;
        }
        // The padding that the reference takes the result's for, of which half is before it.
        let before =
            |d: usize, size: usize| (((size - 1) * self.stride[d] + self.filter[d]).saturating_sub(size * self.filter[d]) / 2) as i64;
        let before = [before(0, height), before(1, width)];
        let int = Elem::I32.x(1);
        let mut k = KernelBuilder::new(format!("unpool_{height}x{width}x{channels}_{rows}x{columns}"));
        let (x, places, to) = (k.read("x"), k.read("places"), k.write("y"));
        each(&mut k, "n", n, |k, number| {
            let number = number.clone();
            let [zero, one] = [0, 1].map(|v| k.int(int, v));
            let [step_y, step_x] = self.stride.map(|s| k.int(int, s as i64));
            let [first_y, first_x] = before.map(|b| k.int(int, -b));
            k.repeat("y", height, 1, &[first_y], |k, iy, row| {
                k.repeat("x", width, 1, &[first_x], |k, ix, column| {
                    k.each("c", channels, 1, |k, c| {
                        let from = ((number.clone() * height as i64 + iy) * width as i64 + ix) * channels as i64 + c;
                        let v = k.load(Elem::F32.x(1), x.at(from.clone() * 4));
                        if element == I32 {
                            let place = k.load(int, places.at(from * 4));
                            let place = k.clamped_index("place", place, 0, image as i64 - 1);
                            k.store(to.at((number.clone() * image as i64 + place) * 4), v);
                            return;
                        }
                        let place = k.load(Elem::F32.x(1), places.at(from * 4));
                        let place = k.convert(place, Elem::I32, Rounding::TowardZero);
                        let filter = k.int(int, self.filter[1] as i64);
                        let down = divide(k, place, filter, false);
                        let whole = k.mul(down, filter);
                        let across = k.sub(place, whole);
                        let (y, x) = (k.add(row[0], down), k.add(column[0], across));
                        let [rows_, columns_] = [rows, columns].map(|n| k.int(int, n as i64));
                        let inside = [(y, rows_), (x, columns_)].map(|(v, end)| {
                            let (is_after, is_before) = (k.compare(Cond::Ge, v, zero), k.compare(Cond::Lt, v, end));
                            k.and(is_after, is_before)
                        });
                        let inside = k.and(inside[0], inside[1]);
                        let inside = k.select(inside, one, zero);
                        let times = k.clamped_index("inside", inside, 0, 1);
                        let (y, x) = (k.clamped_index("to_y", y, 0, rows as i64 - 1), k.clamped_index("to_x", x, 0, columns as i64 - 1));
                        k.each("put", times, 1, |k, _| {
                            let pixel = (number.clone() * rows as i64 + y) * columns as i64 + x;
                            k.store(to.at((pixel * channels as i64 + c) * 4), v);
                        });
                    });
                    vec![k.add(column[0], step_x)]
                });
                vec![k.add(row[0], step_y)]
            });
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), y];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
