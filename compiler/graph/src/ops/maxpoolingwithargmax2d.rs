//! MaxPoolingWithArgmax2D, MediaPipe's: the largest pixel of each window, channel by channel, and which one it is.
//!
//! f32; the second result numbers the pixels of the window by rows, those outside of the image included, as floats a tenth above the number. Of equal
//! pixels the first one counts; NaN is skipped, and a window of nothing else gives the lowest finite number and pixel 0. Options are the structure that
//! TensorFlow Lite has for poolings.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::copy::each;
use crate::lower::requantize::clamp_float;
use crate::lower::window::Pooling;
use crate::ops::attributes::{Activation, Padding, Window, positive};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;
use cranelite_tile::{Arg, Cond, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
}
fields!(filter, stride, padding, activation);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let [padding, stride_w, stride_h, filter_width, filter_height, activation] = source.structure()?;
        let filter = [positive("filter_height", filter_height)?, positive("filter_width", filter_width)?];
        let stride = [positive("stride_height", stride_h)?, positive("stride_width", stride_w)?];
        let [_, height, width, _] = checks::image("the image", source.signature.input(0)?)?;
        let axis = |input, i: usize| Window { input, filter: filter[i], stride: stride[i], dilation: 1 };
        Ok(Attributes {
            filter,
            stride,
            padding: Padding::of_runtime(padding, axis(height, 0), axis(width, 1))?,
            activation: Activation::of_runtime(activation)?,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if self.filter.contains(&0) || self.stride.contains(&0) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "windows and strides are at least 1"));
        }
        let Attributes { filter, stride, padding, activation } = *self;
        let shape = Pooling { filter, stride, padding, activation }.infer(s)?.remove(0);
        Ok(vec![shape; 2])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let [_, height, width, _] = checks::image("the image", cx.input_type(node, 0))?;
        let [n, rows, columns, channels] = checks::image("the result", cx.output_type(node, 0))?;
        if n * rows * columns * channels == 0 {
            return Ok(());
        }
        // By position of the result: the first pixel of the window that is in the image, which one of the window it is, and how many there are.
        let windows = |count: usize, size: usize, d: usize, before: usize| -> Vec<i32> {
            let window = |i: usize| {
                let (from, to) = (i * self.stride[d], i * self.stride[d] + self.filter[d]);
                let (first, end) = (from.max(before), to.min(size + before));
                [first - before, first - from, end - first].map(|v| v as i32)
            };
            (0..count).flat_map(window).collect()
        };
        let tables = [windows(rows, height, 0, self.padding.top), windows(columns, width, 1, self.padding.left)];
        let [ys, xs] = tables.map(|t| cx.constant_i32("windows", &t));
        let mut k = KernelBuilder::new(format!("argmax_{height}x{width}x{channels}_{rows}x{columns}"));
        let (x, ys_arg, xs_arg) = (k.read("x"), k.read("rows"), k.read("columns"));
        let (y, places) = (k.write("y"), k.write("places"));
        let int = Elem::I32.x(1);
        let at = |k: &mut KernelBuilder, table: Arg, i: &Index| [0, 1, 2].map(|part| k.load(int, table.at(i.clone() * 12 + part * 4)));
        each(&mut k, "n", n, |k, image| {
            each(k, "oy", rows, |k, oy| {
                let [first_y, row, height_of] = at(k, ys_arg, &oy);
                let height_of = k.clamped_index("height", height_of, 0, self.filter[0] as i64);
                each(k, "ox", columns, |k, ox| {
                    let [first_x, column, width_of] = at(k, xs_arg, &ox);
                    let width_of = k.clamped_index("width", width_of, 0, self.filter[1] as i64);
                    let (one, filter) = (k.int(int, 1), k.int(int, self.filter[1] as i64));
                    let number = k.mul(row, filter);
                    let number = k.add(number, column);
                    let to = ((image.clone() * rows as i64 + oy.clone()) * columns as i64 + ox) * channels as i64;
                    each_block(k, channels, cx.machine.lanes(Elem::F32), 1, |k, b| {
                        let ty = Elem::F32.x(b.lanes);
                        let (lowest, zero) = (k.float(ty, f32::MIN), k.float(ty, 0.0));
                        let found = k.repeat("fy", height_of, 1, &[lowest, zero, first_y, number], |k, _, row: &[Value]| {
                            let iy = k.clamped_index("y", row[2], 0, height as i64 - 1);
                            let in_row = k.repeat("fx", width_of, 1, &[row[0], row[1], first_x, row[3]], |k, _, v| {
                                let ix = k.clamped_index("x", v[2], 0, width as i64 - 1);
                                let pixel = (image.clone() * height as i64 + iy) * width as i64 + ix;
                                let new = b.load(k, Elem::F32, x.at((pixel * channels as i64 + b.first.clone()) * 4));
                                let is_larger = k.compare(Cond::Gt, new, v[0]);
                                let place = k.to_float(v[3], Elem::F32);
                                let place = if b.lanes == 1 { place } else { k.splat(place, b.lanes) };
                                let (most, place) = (k.select(is_larger, new, v[0]), k.select(is_larger, place, v[1]));
                                vec![most, place, k.add(v[2], one), k.add(v[3], one)]
                            });
                            vec![in_row[0], in_row[1], k.add(row[2], one), k.add(row[3], filter)]
                        });
                        let most = clamp_float(k, found[0], self.activation);
                        let tenth = k.float(ty, 0.1);
                        let place = k.add(found[1], tenth);
                        b.store(k, y.at((to.clone() + b.first.clone()) * 4), most);
                        b.store(k, places.at((to.clone() + b.first.clone()) * 4), place);
                    });
                });
            });
        });
        let buffers = [cx.input(node, 0), ys, xs, cx.output(node, 0), cx.output(node, 1)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
