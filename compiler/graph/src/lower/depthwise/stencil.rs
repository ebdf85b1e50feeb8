//! The stencil: one output channel per input channel, vectors over channels, taps written out.
//!
//! The nest is image, output rows, channels, columns. Rows of the image come as guarded rows with a fill outside, columns through
//! `walk.rs`. Integers take the rows of a column together: neighbouring taps of a channel lie side by side in a vector, which then
//! meets the weights of every output that sees the column; so with a stride of one, two output rows share what was loaded.

use super::finish::{Finish, Tables};
use super::pack::{Product, floats};
use super::walk::{Axis, Column, Visitor, walk};
use super::{Geometry, Source, Weights};
use crate::lower::Context;
use crate::lower::math::mul_add;
use cranelite_tile::{Arg, BufferId, Elem, Guard, Index, Kernel, KernelBuilder, Machine, Row, Value};
use std::collections::BTreeMap;

pub fn lower(cx: &mut Context, g: &Geometry, source: Source, weights: &Weights, mut finish: Finish, x: BufferId, y: BufferId) {
    let product = weights.product(cx.machine, source);
    let shape = Shape::choose(cx.machine, g, source.elem, product.is_some());
    let stride = g.channels.max(shape.lanes);
    let packed = match (weights, product) {
        (Weights::Integer(w), Some(p)) => {
            finish = finish.prepared(cx.machine, source, p.zero, w, g.channels);
            let taps: Vec<Vec<Option<usize>>> = units(g, p.group, shape.rows).iter().map(|u| u.taps.clone()).collect();
            p.pack(g, w, &taps, stride)
        }
        (Weights::Float(w), _) => floats(w, g.channels, stride),
        (Weights::Integer(_), None) => unreachable!("integers have a product"),
    };
    let weights = cx.constant("weights", packed, 64);
    let tables = cx.constant("channels", finish.tables(stride), 64);
    let row_bytes = g.width * g.channels * source.elem.bytes() as usize;
    let mut buffers = vec![x, y, weights, tables];
    let fill = 0 < g.padding.top + g.padding.bottom;
    if fill {
        // Every element's zero is one byte, repeated: floats and 16 bits have 0.
        buffers.push(cx.fill(source.zero_point as u8, row_bytes));
    }
    buffers.extend(source.scales);
    let kernel = Stencil { g, shape, source, product, finish: &finish, stride, fill, machine: cx.machine }.kernel();
    let whole = g.channels.max(shape.lanes) / shape.lanes * shape.lanes;
    let even = g.out_height / shape.rows * shape.rows;
    for (first, count) in [(0, even), (g.out_height - shape.rows, g.out_height - even)] {
        for (channel, channels) in [(0, whole), (g.channels.saturating_sub(shape.lanes), g.channels.saturating_sub(whole))] {
            if 0 < count && 0 < channels {
                // A rest is done as the last full one; what it covers twice has the same results.
                let (rows, channels) = (count.max(shape.rows), channels.max(shape.lanes));
                cx.call(kernel.clone(), &buffers, &[first as i64, rows as i64, channel as i64, channels as i64]);
            }
        }
    }
}

/// What is done at once.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Channels in a vector, and how many of them exist.
    lanes: usize,
    count: usize,
    /// Output rows, and outputs in a row.
    rows: usize,
    tile: usize,
    /// Columns stay in registers from one tile to the next.
    keep: bool,
}

impl Shape {
    fn choose(machine: &Machine, g: &Geometry, elem: Elem, integer: bool) -> Shape {
        let (single, most) = (machine.lanes(Elem::I32), machine.lanes(elem));
        let mut lanes = g.channels.next_power_of_two().min(single);
        if single < g.channels {
            // A vector costs so much to bring in, and so much per register of sums.
            let cost = |lanes: usize| g.channels.div_ceil(lanes) * (8 + 30 * lanes / single);
            let candidates = std::iter::successors(Some(most), |l| Some(l / 2)).take_while(|l| single <= *l).filter(|l| *l <= g.channels);
            lanes = candidates.min_by_key(|l| cost(*l)).unwrap_or(single);
        }
        let rows = if integer && g.stride[0] == 1 && g.dilation[0] == 1 && 1 < g.out_height { 2 } else { 1 };
        let tile = if integer { 1 } else { (machine.vector_registers as usize / 4).min(g.out_width) };
        let tile = g.out_width.div_ceil(g.out_width.div_ceil(tile));
        Shape { lanes, count: lanes.min(g.channels), rows, tile, keep: integer && g.dilation[1] == 1 }
    }
}

/// Taps that one dot product takes: of output row `row`, column `kx`, and the rows of one group.
#[derive(Clone, Debug)]
struct Unit {
    row: usize,
    kx: usize,
    group: usize,
    /// Index of each tap in the filter, where there is one.
    taps: Vec<Option<usize>>,
}

/// Input rows (by steps of the dilation) that `rows` output rows see.
fn input_rows(g: &Geometry, rows: usize) -> usize {
    g.filter[0] + rows - 1
}

fn units(g: &Geometry, group: usize, rows: usize) -> Vec<Unit> {
    let [height, width] = g.filter;
    let mut units = vec![];
    for row in 0..rows {
        for kx in 0..width {
            for n in 0..input_rows(g, rows).div_ceil(group) {
                let tap = |i: usize| (n * group + i).checked_sub(row).filter(|ky| *ky < height).map(|ky| ky * width + kx);
                let taps: Vec<Option<usize>> = (0..group).map(tap).collect();
                if taps.iter().any(Option::is_some) {
                    units.push(Unit { row, kx, group: n, taps });
                }
            }
        }
    }
    units
}

struct Stencil<'a> {
    g: &'a Geometry,
    shape: Shape,
    source: Source,
    product: Option<Product>,
    finish: &'a Finish,
    /// Channels in the tables.
    stride: usize,
    fill: bool,
    machine: &'a Machine,
}

impl Stencil<'_> {
    fn kernel(&self) -> Kernel {
        let (g, shape) = (self.g, self.shape);
        let mut k = KernelBuilder::new(format!("depthwise_{}_{}x{}_{}", self.source.elem, g.filter[0], g.filter[1], g.channels));
        let (x, y, w, tables) = (k.read("x"), k.write("y"), k.read("weights"), k.read("channels"));
        let fill = self.fill.then(|| k.read("fill"));
        let [first, rows, c0, channels] = ["first_row", "rows", "first_channel", "channels"].map(|n| k.param(n));
        let pixel = g.channels as i64 * i64::from(self.source.elem.bytes());
        let (row_bytes, out_pixel) = (g.width as i64 * pixel, g.channels as i64 * i64::from(self.finish.elem().bytes()));
        let out_row = g.out_width as i64 * out_pixel;
        let axis = Axis {
            input: g.width,
            output: g.out_width,
            filter: g.filter[1],
            stride: g.stride[1],
            dilation: g.dilation[1],
            before: g.padding.left,
        };
        let scales = self.source.scales.map(|_| k.read("scales"));
        k.each("n", g.images, 1, |k, n| {
            k.each("oy", rows, shape.rows as i64, |k, oy| {
                let oy = oy + first;
                let input: Vec<Row> = (0..input_rows(g, shape.rows))
                    .map(|r| {
                        let iy = oy.clone() * g.stride[0] as i64 + (r * g.dilation[0]) as i64 - g.padding.top;
                        let at = n * (g.height as i64 * row_bytes) + iy.clone() * row_bytes;
                        let guards = fill.map(|_| Guard { index: iy, limit: g.height.into() });
                        k.row(x, at, row_bytes, guards.into_iter().collect(), fill.unwrap_or(x))
                    })
                    .collect();
                k.each("c", channels, shape.lanes as i64, |k, c| {
                    let c = c + c0;
                    let site = Site {
                        s: self,
                        rows: &input,
                        weights: w,
                        tables: Tables { arg: tables, channels: self.stride },
                        y,
                        to: n * (g.out_height as i64 * out_row) + oy.clone() * out_row + c.clone() * i64::from(self.finish.elem().bytes()),
                        c,
                        pixel,
                        out_pixel,
                        scale: scales.map(|s| s.at(n * 4)),
                    };
                    match self.product {
                        Some(product) => walk(k, axis, shape.tile, shape.keep, &Integers { site, product }),
                        None => walk(k, axis, shape.tile, shape.keep, &Floats { site }),
                    }
                });
            });
        });
        k.finish()
    }
}

/// A vector of channels in some output rows.
struct Site<'a> {
    s: &'a Stencil<'a>,
    rows: &'a [Row],
    weights: Arg,
    tables: Tables,
    y: Arg,
    /// Place of the first output.
    to: Index,
    /// First channel.
    c: Index,
    pixel: i64,
    out_pixel: i64,
    scale: Option<cranelite_tile::Place>,
}

impl Site<'_> {
    fn load(&self, k: &mut KernelBuilder, row: usize, ix: &Index) -> Value {
        let (elem, shape) = (self.s.source.elem, self.s.shape);
        let at = ix.clone() * self.pixel + self.c.clone() * i64::from(elem.bytes());
        k.load_part(elem.x(shape.lanes), self.rows[row].at(at), shape.count)
    }

    /// Weights of the `index`-th unit: `group` of every channel.
    fn weight(&self, k: &mut KernelBuilder, elem: Elem, group: usize, index: usize) -> Value {
        let bytes = group * elem.bytes() as usize;
        let at = self.c.clone() * bytes as i64 + index * self.s.stride * bytes;
        k.load(elem.x(self.s.shape.lanes * group), self.weights.at(at))
    }

    fn start(&self, k: &mut KernelBuilder) -> Value {
        self.s.finish.start(k, self.tables, &self.c, self.s.shape.lanes)
    }

    fn store(&self, k: &mut KernelBuilder, sum: Value, row: usize, ox: Index) {
        let v = self.s.finish.finish(k, self.tables, &self.c, sum, self.scale.clone());
        let at = self.to.clone() + ox * self.out_pixel + (row * self.s.g.out_width) as i64 * self.out_pixel;
        k.store_part(self.y.at(at), v, self.s.shape.count);
    }
}

struct Floats<'a> {
    site: Site<'a>,
}

impl Visitor for Floats<'_> {
    /// A vector per row.
    fn column(&self, k: &mut KernelBuilder, ix: &Index) -> Column {
        Some((0..self.site.rows.len()).map(|r| self.site.load(k, r, ix)).collect())
    }

    fn outside(&self, _: &mut KernelBuilder) -> Column {
        None
    }

    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>) {
        let g = self.site.s.g;
        let mut sums: Vec<Value> = (0..count).map(|_| self.site.start(k)).collect();
        for ky in 0..g.filter[0] {
            for kx in 0..g.filter[1] {
                let w = self.site.weight(k, Elem::F32, 1, ky * g.filter[1] + kx);
                for (i, sum) in sums.iter_mut().enumerate() {
                    if let Some(column) = &columns[&(i * g.stride[1] + kx * g.dilation[1])] {
                        *sum = mul_add(k, self.site.s.machine, column[ky], w, *sum);
                    }
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            self.site.store(k, sum, 0, ox.clone() + i);
        }
    }
}

struct Integers<'a> {
    site: Site<'a>,
    product: Product,
}

impl Visitor for Integers<'_> {
    /// A vector per group of rows: the rows' elements of every channel side by side.
    fn column(&self, k: &mut KernelBuilder, ix: &Index) -> Column {
        let rows: Vec<Value> = (0..self.site.rows.len()).map(|r| self.site.load(k, r, ix)).collect();
        let side_by_side = |group: &[Value]| {
            // The last row stands in for rows beyond; their weights are 0.
            let row = |i: usize| group[i.min(group.len() - 1)];
            let v = match self.product.group {
                4 => {
                    let (even, odd) = (k.interleave(row(0), row(2)), k.interleave(row(1), row(3)));
                    k.interleave(even, odd)
                }
                _ => k.interleave(row(0), row(1)),
            };
            self.product.operand(k, v)
        };
        Some(rows.chunks(self.product.group).map(side_by_side).collect())
    }

    fn outside(&self, k: &mut KernelBuilder) -> Column {
        let ty = self.product.input.x(self.site.s.shape.lanes * self.product.group);
        let zero = k.int(ty, self.product.zero.into());
        Some(vec![zero; self.site.rows.len().div_ceil(self.product.group)])
    }

    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>) {
        let (g, shape, p) = (self.site.s.g, self.site.s.shape, self.product);
        let units = units(g, p.group, shape.rows);
        for i in 0..count {
            for row in 0..shape.rows {
                let mut sum = self.site.start(k);
                for (index, u) in units.iter().enumerate().filter(|(_, u)| u.row == row) {
                    let column = columns[&(i * g.stride[1] + u.kx * g.dilation[1])].as_ref().expect("a value outside too");
                    let w = self.site.weight(k, p.weight, p.group, index);
                    sum = k.dot(p.group, sum, column[u.group], w);
                }
                self.site.store(k, sum, row, ox.clone() + i);
            }
        }
    }
}
