//! The depthwise convolution of least code: one kernel for all of a model whose channels fill its vectors.
//!
//! Not for speed. As in `gemm/small.rs`, what differs from operator to operator is an index parameter or in a table, every output is by
//! itself, and a row of padding stands in for what lies outside of the image. Integers take two rows of taps at a time: neighbours in a
//! vector of pairs, as the product of 16 bits wants them.

use super::finish::{Finish, Order, Tables};
use super::pack::{Product, floats};
use super::{Convolution, Weights};
use crate::diagnostic::Diagnostic;
use crate::lower::Context;
use crate::lower::math::mul_add;
use crate::lower::sizes::{Sizes, Way, Window};
use cranelite_tile::{BufferId, ByteDot, Elem, Kernel, KernelBuilder, Machine, Value};

/// Registers of sums.
const REGISTERS: usize = 4;

pub fn lower(cx: &mut Context, conv: &mut Convolution, x: BufferId, y: BufferId) -> Result<(), Diagnostic> {
    let product = match &conv.weights {
        Weights::Float(_) => None,
        Weights::Integer(w) => {
            let memory = if w.iter().all(|&w| i8::try_from(w).is_ok()) { Elem::I8 } else { Elem::I16 };
            let pairs =
                Product { group: 2, input: Elem::I16, weight: memory, flip: false, minus: 0, zero: conv.source.zero_point, apart: false };
            let taps = matches!(cx.machine.byte_dot, ByteDot::Runs { .. }) && conv.source.elem.bits() == 8;
            let product = if taps { Product::of_taps(conv.source, memory) } else { pairs };
            conv.finish.prepare(cx.machine, conv.source, product.zero, w, conv.geometry.out_channels())?;
            Some(product)
        }
    };
    if let Finish::Rescaled { rescaling, .. } = &mut conv.finish {
        *rescaling = rescaling.of_any_shift();
    }
    if let Some(form) = conv.finish.form() {
        cx.note_rescaling(form, conv.geometry.out_channels());
    }
    let g = &conv.geometry;
    let lanes = (REGISTERS * cx.machine.lanes(Elem::I32)).min(g.channels.next_power_of_two());
    let whole = g.channels / lanes * lanes;
    let mut ranges = vec![];
    if 0 < whole {
        ranges.push(0..whole);
    }
    if whole < g.channels {
        // A last vector that is not full overlaps the one before.
        ranges.push(g.channels.saturating_sub(lanes)..g.channels);
    }
    let element = u64::from(conv.source.elem.bytes());
    for range in ranges {
        let small = Small { conv, product, lanes, channels: range.len() };
        let all: Vec<Option<usize>> =
            (range.start..range.start + range.len().next_multiple_of(lanes)).map(|c| Some(c).filter(|c| range.contains(c))).collect();
        let (mut weights, mut tables) = (vec![], small.limits().unwrap_or_default());
        for block in all.chunks(lanes) {
            weights.extend(match (&conv.weights, product) {
                (Weights::Integer(w), Some(p)) => p.pack(g, w, &small.units(), block),
                (Weights::Integer(_), None) => unreachable!("integers have a product"),
                (Weights::Float(w), _) => floats(g, w, block),
            });
            tables.extend(conv.finish.tables(block));
        }
        let part = |cx: &mut Context, b: BufferId, bytes: u64| match range.start as u64 * bytes {
            0 => b,
            first => cx.view("channels", b, first, cx.size_bytes(b) - first),
        };
        let (x, y) = (part(cx, x, element), part(cx, y, conv.finish.elem().bytes().into()));
        let (weights, tables) = (cx.constant("weights", weights, 64), cx.constant("channels", tables, 64));
        let mut buffers = vec![x, y, weights, tables, cx.fill(conv.source.zero_point as u8, range.len() * element as usize)];
        buffers.extend(conv.source.scales);
        let (kernel, params) = small.kernel(cx.machine);
        cx.call(kernel, &buffers, &params);
    }
    Ok(())
}

struct Small<'a> {
    conv: &'a Convolution,
    product: Option<Product>,
    lanes: usize,
    channels: usize,
}

impl Small<'_> {
    /// The result's zero point and range, where they are read from memory.
    fn limits(&self) -> Option<Vec<u8>> {
        if let Finish::Rescaled { rescaling, .. } = &self.conv.finish { Some(rescaling.target().limits().to_vec()) } else { None }
    }

    /// Rows of taps that are taken at once.
    fn rows(&self) -> usize {
        self.product.map_or(1, |p| p.group)
    }

    /// The taps of every turn.
    fn units(&self) -> Vec<Vec<Option<usize>>> {
        let [height, width] = self.conv.geometry.filter;
        let unit = |first: usize, kx: usize| (first..first + self.rows()).map(|ky| Some(ky * width + kx).filter(|_| ky < height)).collect();
        (0..height).step_by(self.rows()).flat_map(|ky| (0..width).map(move |kx| (ky, kx))).map(|(ky, kx)| unit(ky, kx)).collect()
    }

    fn kernel(&self, machine: &Machine) -> (Kernel, Vec<i64>) {
        let (g, source, finish, lanes) = (&self.conv.geometry, self.conv.source, &self.conv.finish, self.lanes);
        let mut k = KernelBuilder::new(format!("depthwise_{}", source.elem));
        let (x, y, weights, tables, fill) = (k.read("x"), k.write("y"), k.read("weights"), k.read("channels"), k.read("fill"));
        let scales = source.scales.map(|_| k.read("scales"));
        let mut sizes = Sizes::default();
        let blocks = sizes.given(&mut k, "blocks", self.channels.div_ceil(lanes));
        let channels = sizes.given(&mut k, "channels", g.channels);
        let way = |i: usize, input, output, before, taps| Way { input, output, stride: g.stride[i], dilation: g.dilation[i], before, taps };
        let ways = [
            way(0, g.height, g.out_height, g.padding.top, g.filter[0].div_ceil(self.rows())),
            way(1, g.width, g.out_width, g.padding.left, g.filter[1]),
        ];
        let window = Window::new(&mut k, &mut sizes, g.images, ways, g.out_width);
        let count = self.channels.min(lanes);
        let (element, out_element) = (i64::from(source.elem.bytes()), i64::from(finish.elem().bytes()));
        let limits = self.limits();
        let before = limits.as_ref().map_or(0, Vec::len);
        let tables = Tables { arg: tables, before, order: Order::Blocks { lanes, bytes: finish.channel_bytes() } };
        let memory = self.product.map_or(Elem::F32, |p| p.weight);
        let group = lanes as i64 * self.rows() as i64;
        let bytes = blocks.times(count as i64 * element);
        window.each(&mut k, |k, pixel| {
            blocks.each(k, "block", |k, b| {
                let c = b.clone() * lanes as i64;
                let start = finish.start(k, tables, &c, lanes);
                let first = window.taps[0].times(window.taps[1].times(b));
                let sum = k.repeat("ky", window.taps[0].index(), 1, &[start], |k, ky, sum| {
                    k.repeat("kx", window.taps[1].index(), 1, sum, |k, kx, sum| {
                        let unit = first.clone() + window.taps[1].times(ky) + kx;
                        let w = k.load(memory.x(group as usize), weights.at(unit * (group * i64::from(memory.bytes()))));
                        let rows: Vec<Value> = (0..self.rows())
                            .map(|i| {
                                let tap = [ky * self.rows() as i64 + i, kx.into()];
                                let row = window.row(k, x, pixel, tap, |i| channels.times(i * element), bytes.clone(), fill);
                                k.load_part(source.elem.x(lanes), row.at(c.clone() * element), count)
                            })
                            .collect();
                        vec![match self.product {
                            None => mul_add(k, machine, rows[0], w, sum[0]),
                            Some(p) => {
                                let w = k.widen(w, p.input);
                                let x = p.side_by_side(k, &rows);
                                k.dot(p.group, sum[0], x, w)
                            }
                        }]
                    })
                })[0];
                let image = scales.map(|s| s.at(pixel.image.clone() * 4));
                let v = match finish {
                    Finish::Rescaled { rescaling, .. } => {
                        let scaled = rescaling.apply(k, sum, |i, size| tables.at(&c, 4 + i * size, size));
                        rescaling.target().apply_from(k, scaled, |i| tables.arg.at(i))
                    }
                    _ => finish.finish(k, tables, &c, sum, image),
                };
                let at = channels.times(pixel.number.clone() * out_element) + c * out_element;
                k.store_part(y.at(at), v, count);
            });
        });
        (k.finish(), sizes.values)
    }
}
