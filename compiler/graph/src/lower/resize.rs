//! Images with other numbers of rows and columns.
//!
//! Not an operator: those are in `ops/resizes.rs`. The idea: which pixels a pixel is made of depends on its row and its column alone, so two short
//! tables say it, made when the model is compiled; the pixels are runs of channels. Pixels that are repeated or left out evenly are no table but
//! axes with distances (`moves.rs`).

use super::channels::each_block;
use super::copy;
use super::moves::{self, Axis};
use super::requantize::elem;
use super::{Context, math};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::quantize::places;
use crate::tensor::ElementType;
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder, Rounding, Value};

#[derive(Clone, Copy, Debug)]
pub struct Resize {
    /// Rows and columns.
    pub from: [usize; 2],
    pub to: [usize; 2],
    pub align_corners: bool,
    pub half_pixel_centers: bool,
    pub interpolates: bool,
}

impl Resize {
    fn axis(&self, i: usize) -> places::Axis {
        let Resize { align_corners, half_pixel_centers, .. } = *self;
        places::Axis { from: self.from[i], to: self.to[i], align_corners, half_pixel_centers }
    }

    /// Rounded places may lie behind the image, where the reference reads what is not there.
    pub fn check(&self, element: ElementType) -> Result<(), Diagnostic> {
        for i in 0..2 {
            let (axis, last) = (self.axis(i), self.to[i] - 1);
            let [before, after] = match element {
                _ if !self.interpolates => [axis.nearest(last); 2],
                ElementType::F32 | ElementType::U8 => axis.between_f32(last).pixels,
                _ => axis.between_i32(last).pixels,
            };
            if axis.from <= before.max(after) {
                return Err(Diagnostic::new(Code::FEATURE, "the new size is too large for the places of pixels to be in the image")
                    .expected(format!("fewer than {} pixels made of {}", axis.to, axis.from))
                    .help("resize in two steps"));
            }
        }
        Ok(())
    }
}

/// Batches, channels, and bytes of an element.
fn sizes(cx: &Context, node: &Node) -> (usize, usize, usize) {
    let ty = cx.output_type(node, 0);
    (ty.shape[0], ty.shape[3], ty.element.bytes().expect("infer has seen the type"))
}

/// Each pixel is another one.
pub fn nearest(cx: &mut Context, node: &Node, resize: Resize) {
    let (images, channels, bytes) = sizes(cx, node);
    let [rows, columns] = [0, 1].map(|i| (0..resize.to[i]).map(|p| resize.axis(i).nearest(p)).collect::<Vec<usize>>());
    let (row, out_row) = (resize.from[1] * channels, resize.to[1] * channels);
    let even = evenly(&rows, row, out_row).zip(evenly(&columns, channels, channels));
    if let Some(((first_row, rows), (first_column, columns))) = even {
        let image = Axis { count: images, from: (resize.from[0] * row) as i64, to: (resize.to[0] * out_row) as i64 };
        let axes = [&[image][..], &rows, &columns, &[Axis { count: channels, from: 1, to: 1 }]].concat();
        moves::of_node(cx, node, (first_row + first_column, 0), &axes);
        return;
    }
    let lanes = cx.machine.lanes(Elem::U8);
    let [height, width] = resize.from;
    let run = channels * bytes;
    let mut k = KernelBuilder::new(format!("resize_nearest_{height}x{width}_{}x{}_{run}", resize.to[0], resize.to[1]));
    let (x, list_y, list_x, y) = (k.read("x"), k.read("rows"), k.read("columns"), k.write("y"));
    copy::each(&mut k, "n", images, |k, n| {
        copy::each(k, "oy", resize.to[0], |k, oy| {
            let iy = pick(k, list_y, oy.clone() * 4, height);
            copy::each(k, "ox", resize.to[1], |k, ox| {
                let ix = pick(k, list_x, ox.clone() * 4, width);
                let from = ((n.clone() * height as i64 + iy.clone()) * width as i64 + ix) * run as i64;
                let to = ((n.clone() * resize.to[0] as i64 + oy.clone()) * resize.to[1] as i64 + ox) * run as i64;
                copy::run(k, lanes, run, (x, from), (y, to));
            });
        });
    });
    let [list_y, list_x] = [rows, columns].map(|list| pixels(cx, list));
    let buffers = [cx.input(node, 0), list_y, list_x, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

/// Pixels that are each repeated so often, or so far apart: the first one's place and axes, for pixels of so many elements.
fn evenly(pixels: &[usize], from: usize, to: usize) -> Option<(usize, Vec<Axis>)> {
    let count = pixels.len();
    let times = pixels.iter().take_while(|p| **p == pixels[0]).count();
    let step = pixels.get(times).map_or(0, |p| p - pixels[0]);
    let is_even = count.is_multiple_of(times) && pixels.iter().enumerate().all(|(i, p)| *p == pixels[0] + i / times * step);
    let axes = vec![
        Axis { count: count / times, from: (step * from) as i64, to: (times * to) as i64 },
        Axis { count: times, from: 0, to: to as i64 },
    ];
    is_even.then_some((pixels[0] * from, axes))
}

fn pixels(cx: &mut Context, list: Vec<usize>) -> BufferId {
    cx.constant_i32("pixels", &list.into_iter().map(|p| p as i32).collect::<Vec<_>>())
}

/// A pixel in a table, which is below `size` and so is not changed.
fn pick(k: &mut KernelBuilder, list: Arg, at: Index, size: usize) -> Index {
    let v = k.load(Elem::I32.x(1), list.at(at));
    k.clamped_index("pixel", v, 0, size as i64 - 1).into()
}

/// How four pixels become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    /// Floats.
    Float,
    /// u8, in floats as the reference does, step by step.
    Byte,
    /// i8, in 32 bits.
    Integer,
    /// i16, in doubles, which are exact.
    Double,
}

impl Sum {
    fn of(element: ElementType) -> Sum {
        match element {
            ElementType::F32 => Sum::Float,
            ElementType::U8 => Sum::Byte,
            ElementType::I8 => Sum::Integer,
            _ => Sum::Double,
        }
    }
    /// What it is computed in.
    fn elem(self) -> Elem {
        match self {
            Sum::Float | Sum::Byte => Elem::F32,
            Sum::Integer => Elem::I32,
            Sum::Double => Elem::F64,
        }
    }
    /// Before and after, per pixel of an axis.
    fn weights(self, axis: places::Axis) -> (Vec<usize>, Vec<u8>) {
        let mut all = (vec![], vec![]);
        for i in 0..axis.to {
            match self {
                Sum::Float | Sum::Byte => {
                    let between = axis.between_f32(i);
                    all.0.extend(between.pixels);
                    all.1.extend(between.weights.iter().flat_map(|w| w.to_le_bytes()));
                }
                Sum::Integer => {
                    let between = axis.between_i32(i);
                    all.0.extend(between.pixels);
                    all.1.extend(between.weights.iter().flat_map(|w| w.to_le_bytes()));
                }
                Sum::Double => {
                    let between = axis.between_i32(i);
                    all.0.extend(between.pixels);
                    all.1.extend(between.weights.iter().flat_map(|w| (f64::from(*w) / f64::from(places::ONE)).to_le_bytes()));
                }
            }
        }
        all
    }
}

/// Each pixel is the mean of the four around its place, by how near they are.
pub fn bilinear(cx: &mut Context, node: &Node, resize: Resize) {
    let (images, channels, bytes) = sizes(cx, node);
    let element = cx.output_type(node, 0).element;
    let (sum, stored) = (Sum::of(element), elem(element).expect("infer has seen the type"));
    let ([height, width], [out_height, out_width]) = (resize.from, resize.to);
    let machine = cx.machine;
    let lanes = machine.lanes(sum.elem());
    let wide = i64::from(sum.elem().bytes());
    let mut k = KernelBuilder::new(format!("resize_bilinear_{element}_{height}x{width}_{out_height}x{out_width}_{channels}"));
    let (x, list_y, weights_y, list_x, weights_x) =
        (k.read("x"), k.read("rows"), k.read("row_weights"), k.read("columns"), k.read("column_weights"));
    let y = k.write("y");
    copy::each(&mut k, "n", images, |k, n| {
        copy::each(k, "oy", out_height, |k, oy| {
            let rows = [0, 1].map(|i| pick(k, list_y, oy.clone() * 8 + i * 4, height));
            let wy = [0, 1].map(|i| k.load(sum.elem().x(1), weights_y.at(oy.clone() * (2 * wide) + i * wide)));
            copy::each(k, "ox", out_width, |k, ox| {
                let columns = [0, 1].map(|i| pick(k, list_x, ox.clone() * 8 + i * 4, width));
                let wx = [0, 1].map(|i| k.load(sum.elem().x(1), weights_x.at(ox.clone() * (2 * wide) + i * wide)));
                let pixel = |row: usize, column: usize| {
                    ((n.clone() * height as i64 + rows[row].clone()) * width as i64 + columns[column].clone()) * (channels * bytes) as i64
                };
                let to = ((n.clone() * out_height as i64 + oy.clone()) * out_width as i64 + ox) * (channels * bytes) as i64;
                // In the order of the reference's sum.
                const CORNERS: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 1), (1, 1)];
                let both = CORNERS.map(|(row, column)| if sum == Sum::Byte { wy[row] } else { k.mul(wy[row], wx[column]) });
                each_block(k, channels, lanes, 2, |k, b| {
                    let at = b.first.clone() * bytes as i64;
                    let mut total: Option<Value> = None;
                    for (i, (row, column)) in CORNERS.into_iter().enumerate() {
                        let v = b.load(k, stored, x.at(pixel(row, column) + at.clone()));
                        let v = match sum {
                            Sum::Float => v,
                            _ => k.widen(v, Elem::I32),
                        };
                        let v = if sum.elem() == k.ty(v).elem { v } else { k.to_float(v, sum.elem()) };
                        let weight = k.splat(both[i], b.lanes);
                        total = Some(match (sum, total) {
                            (Sum::Byte, total) => {
                                let column = k.splat(wx[column], b.lanes);
                                let v = k.mul(v, weight);
                                let v = k.mul(v, column);
                                total.map_or(v, |t| k.add(t, v))
                            }
                            (Sum::Integer, Some(t)) => {
                                let v = k.mul(v, weight);
                                k.add(t, v)
                            }
                            (_, Some(t)) => math::mul_add(k, machine, v, weight, t),
                            (_, None) => k.mul(v, weight),
                        });
                    }
                    let total = total.expect("four corners");
                    let v = sum.finish(k, total, stored);
                    b.store(k, y.at(to.clone() + at), v);
                });
            });
        });
    });
    let mut tables = vec![];
    for i in 0..2 {
        let (list, weights) = sum.weights(resize.axis(i));
        tables.extend([pixels(cx, list), cx.constant("weights", weights, 64)]);
    }
    let buffers = [&[cx.input(node, 0)][..], &tables, &[cx.output(node, 0)]].concat();
    cx.call(k.finish(), &buffers, &[]);
}

impl Sum {
    fn finish(self, k: &mut KernelBuilder, total: Value, stored: Elem) -> Value {
        match self {
            Sum::Float => total,
            Sum::Byte => {
                let half = k.float(k.ty(total), 0.5);
                let v = k.add(total, half);
                let v = k.convert(v, Elem::I32, Rounding::TowardZero);
                k.narrow_sat(v, stored)
            }
            Sum::Integer => {
                let v = k.rounding_shr(total, 20);
                k.narrow_sat(v, stored)
            }
            Sum::Double => {
                let v = super::requantize::round_half_away(k, total);
                k.narrow_sat(v, stored)
            }
        }
    }
}
