//! Depthwise convolution by loops over the taps, without padding: several outputs per input channel, or a very large filter.
//!
//! The idea: the outputs of one input channel are neighbours, so one input value, repeated in all lanes, meets a vector of weights. With
//! a single input channel the taps of a row are neighbours too, and one load brings a whole group of them.

use super::finish::{Finish, Order, Tables};
use super::pack::{Product, floats};
use super::{Convolution, Geometry, Source, Weights};
use crate::diagnostic::Diagnostic;
use crate::lower::Context;
use crate::lower::channels::{Block, each_block};
use crate::lower::math::mul_add;
use cranelite_tile::{Arg, BufferId, Elem, Index, Kernel, KernelBuilder, Machine, Value};

/// Outputs in a row that share the loads of weights.
const TILE: usize = 4;
/// Registers of sums per output.
const VECTORS: usize = 2;
/// Groups of taps in a row that are written out.
const MAX_UNROLLED: usize = 8;

pub fn lower(cx: &mut Context, conv: &mut Convolution, x: BufferId, y: BufferId) -> Result<(), Diagnostic> {
    let product = conv.prepare(cx, false)?;
    let g = &conv.geometry;
    // A vector may begin at any channel.
    let stride = g.out_channels() + VECTORS * cx.machine.lanes(Elem::I32);
    let channels: Vec<Option<usize>> = (0..stride).map(|c| Some(c).filter(|c| *c < g.out_channels())).collect();
    let packed = match (&conv.weights, product) {
        (Weights::Integer(w), Some(p)) => p.pack(g, w, &row_groups(g, p.group), &channels),
        (Weights::Integer(_), None) => unreachable!("integers have a product"),
        (Weights::Float(w), _) => floats(g, w, &channels),
    };
    let mut buffers = vec![x, y, cx.constant("weights", packed, 64), cx.constant("channels", conv.finish.tables(&channels), 64)];
    buffers.extend(conv.source.scales);
    let tile = TILE.min(g.out_width);
    let kernel = Spread { g, source: conv.source, product, finish: &conv.finish, stride, tile }.kernel(cx.machine);
    let whole = g.out_width / tile * tile;
    cx.call(kernel.clone(), &buffers, &[0, whole as i64]);
    if whole < g.out_width {
        cx.call(kernel, &buffers, &[(g.out_width - tile) as i64, tile as i64]);
    }
    Ok(())
}

/// The taps of every row of the filter in groups.
fn row_groups(g: &Geometry, group: usize) -> Vec<Vec<Option<usize>>> {
    let [height, width] = g.filter;
    let row = |ky: usize| {
        (0..width.div_ceil(group))
            .map(move |n| (0..group).map(|i| Some(n * group + i).filter(|kx| *kx < width).map(|kx| ky * width + kx)).collect())
    };
    (0..height).flat_map(row).collect()
}

struct Spread<'a> {
    g: &'a Geometry,
    source: Source,
    product: Option<Product>,
    finish: &'a Finish,
    /// Channels in the tables.
    stride: usize,
    tile: usize,
}

/// A vector of output channels of `tile` outputs.
struct Site<'a> {
    s: &'a Spread<'a>,
    machine: &'a Machine,
    x: Arg,
    weights: Arg,
    block: Block,
    /// First output channel.
    c: Index,
    /// Place of the first output's first tap in the input.
    from: Index,
}

impl Spread<'_> {
    fn kernel(&self, machine: &Machine) -> Kernel {
        let g = self.g;
        let name = format!("depthwise_{}_{}x{}_{}x{}", self.source.elem, g.filter[0], g.filter[1], g.channels, g.multiplier);
        let mut k = KernelBuilder::new(name);
        let (x, y, weights, tables) = (k.read("x"), k.write("y"), k.read("weights"), k.read("channels"));
        let scales = self.source.scales.map(|_| k.read("scales"));
        let (first, columns) = (k.param("first_column"), k.param("columns"));
        let bytes = i64::from(self.source.elem.bytes());
        let (pixel, out_bytes) = (g.channels as i64 * bytes, i64::from(self.finish.elem().bytes()));
        let (row, out_pixel) = (g.width as i64 * pixel, g.out_channels() as i64 * out_bytes);
        let out_row = g.out_width as i64 * out_pixel;
        let tables = Tables { arg: tables, before: 0, order: Order::Whole(self.stride) };
        let block = |k: &mut KernelBuilder, from: Index, to: Index, c: Index, block: Block, n| {
            let site = Site { s: self, machine, x, weights, block, c, from };
            let mut sums: Vec<Value> = (0..self.tile).map(|_| self.finish.start(k, tables, &site.c, site.block.lanes)).collect();
            sums = k.repeat("ky", g.filter[0], 1, &sums, |k, ky, sums| site.row(k, ky.into(), sums));
            for (i, sum) in sums.into_iter().enumerate() {
                let v = self.finish.finish(k, tables, &site.c, sum, scales.map(|s| s.at(Index::from(n) * 4)));
                site.block.store(k, y.at(to.clone() + site.c.clone() * out_bytes + i as i64 * out_pixel), v);
            }
        };
        k.each("n", g.images, 1, |k, n| {
            k.each("oy", g.out_height, 1, |k, oy| {
                k.each("ox", columns, self.tile as i64, |k, ox| {
                    let ox = ox + first;
                    let from = n * (g.height as i64 * row) + oy * (g.stride[0] as i64 * row) + ox.clone() * (g.stride[1] as i64 * pixel);
                    let to = n * (g.out_height as i64 * out_row) + oy * out_row + ox * out_pixel;
                    let lanes = machine.lanes(Elem::I32);
                    if g.multiplier == 1 {
                        each_block(k, g.channels, lanes, VECTORS, |k, b| {
                            let c = b.first.clone();
                            block(k, from.clone() + c.clone() * bytes, to.clone(), c, b, n);
                        });
                    } else {
                        k.each("ic", g.channels, 1, |k, ic| {
                            each_block(k, g.multiplier, lanes, VECTORS, |k, b| {
                                let c = ic * g.multiplier as i64 + b.first.clone();
                                block(k, from.clone() + ic * bytes, to.clone(), c, b, n);
                            });
                        });
                    }
                });
            });
        });
        k.finish()
    }
}

impl Site<'_> {
    fn group(&self) -> usize {
        self.s.product.map_or(1, |p| p.group)
    }

    /// Adds the taps of row `ky` of the filter.
    fn row(&self, k: &mut KernelBuilder, ky: Index, sums: &[Value]) -> Vec<Value> {
        let (width, group) = (self.s.g.filter[1], self.group());
        let (whole, rest) = (width / group, width % group);
        let mut sums = sums.to_vec();
        if whole <= MAX_UNROLLED {
            for n in 0..whole {
                sums = self.taps(k, &ky, n.into(), group, &sums);
            }
        } else {
            sums = k.repeat("kx", whole, 1, &sums, |k, n, sums| self.taps(k, &ky, n.into(), group, sums));
        }
        if 0 < rest { self.taps(k, &ky, whole.into(), rest, &sums) } else { sums }
    }

    /// Adds the first `count` taps of the `n`-th group of row `ky`.
    fn taps(&self, k: &mut KernelBuilder, ky: &Index, n: Index, count: usize, sums: &[Value]) -> Vec<Value> {
        let (g, group) = (self.s.g, self.group());
        let groups = g.filter[1].div_ceil(group) as i64;
        let elem = self.s.product.map_or(Elem::F32, |p| p.weight);
        let bytes = group as i64 * i64::from(elem.bytes());
        let at = (ky.clone() * groups + n.clone()) * (self.s.stride as i64 * bytes) + self.c.clone() * bytes;
        let w = k.load(elem.x(self.block.lanes * group), self.weights.at(at));
        let bytes = i64::from(self.s.source.elem.bytes());
        let pixel = g.channels as i64 * bytes;
        let row = g.width as i64 * pixel;
        let first = self.from.clone() + ky.clone() * (g.dilation[0] as i64 * row) + n * (group as i64 * g.dilation[1] as i64 * pixel);
        let sum = |k: &mut KernelBuilder, (i, &sum): (usize, &Value)| {
            let x = self.operand(k, first.clone() + i as i64 * g.stride[1] as i64 * pixel, count);
            if self.s.product.is_none() { mul_add(k, self.machine, x, w, sum) } else { k.dot(group, sum, x, w) }
        };
        sums.iter().enumerate().map(|s| sum(k, s)).collect()
    }

    /// A group of taps of every lane's channel, of which the first `count` exist; the others meet weights of 0.
    fn operand(&self, k: &mut KernelBuilder, at: Index, count: usize) -> Value {
        let (g, group, elem, lanes) = (self.s.g, self.group(), self.s.source.elem, self.block.lanes);
        if g.channels == 1 && g.dilation[1] == 1 {
            let v = k.load_splat_part(elem.x(lanes * group), group, self.x.at(at), count);
            return self.s.product.map_or(v, |p| p.operand(k, v));
        }
        let step = g.channels as i64 * g.dilation[1] as i64 * i64::from(elem.bytes());
        let taps: Vec<Value> = (0..count)
            .map(|t| {
                let place = self.x.at(at.clone() + t as i64 * step);
                if g.multiplier == 1 { self.block.load(k, elem, place) } else { k.load_splat(elem.x(lanes), 1, place) }
            })
            .collect();
        match self.s.product {
            Some(p) => p.side_by_side(k, &taps),
            None => taps[0],
        }
    }
}
