//! The stencil: one output channel per input channel, vectors over channels, taps written out.
//!
//! The nest is image, output rows, channels, columns. Rows of the image come as guarded rows with a fill outside, columns through
//! `walk.rs`. Integers take the rows of a column together: neighbouring taps of a channel lie side by side in a vector, which then
//! meets the weights of every output that sees the column; so with a stride of one, two output rows share what was loaded. Floats
//! take many channels before the next pixel, because a cache line that is left half used may be gone on return.

use super::apart::Apart;
use super::finish::{Order, Tables};
use super::pack::{Product, floats};
use super::walk::{Axis, Column, Visitor, walk};
use super::{Convolution, Geometry, Weights};
use crate::diagnostic::Diagnostic;
use crate::lower::Context;
use crate::lower::math::mul_add;
use cranelite_tile::{Arg, BufferId, ByteDot, Elem, Guard, Index, Kernel, KernelBuilder, Machine, Place, Row, Value};
use std::collections::BTreeMap;

pub fn lower(cx: &mut Context, conv: &mut Convolution, x: BufferId, y: BufferId) -> Result<(), Diagnostic> {
    let product = conv.prepare(cx, true)?;
    let shape = Shape::choose(cx.machine, conv, product);
    let (g, source) = (&conv.geometry, conv.source);
    let units = product.map_or(vec![], |p| units(conv, p.group, shape.rows));
    let taps: Vec<Vec<Option<usize>>> = units.iter().map(|u| u.taps.clone()).collect();
    let (mut weights, mut tables) = (vec![], vec![]);
    for block in shape.blocks(g.channels) {
        weights.extend(match (&conv.weights, product) {
            (Weights::Integer(w), Some(p)) => p.pack(g, w, &taps, &block),
            (Weights::Integer(_), None) => unreachable!("integers have a product"),
            (Weights::Float(w), _) => floats(g, w, &block),
        });
        tables.extend(conv.finish.tables(&block));
    }
    let mut buffers = vec![x, y, cx.constant("weights", weights, 64), cx.constant("channels", tables, 64)];
    let fill = 0 < g.padding.top + g.padding.bottom;
    if fill {
        // Every element's zero is one byte, repeated: floats and 16 bits have 0.
        buffers.push(cx.fill(source.zero_point as u8, g.width * g.channels * source.elem.bytes() as usize));
    }
    buffers.extend(source.scales);
    let kernel = Stencil { conv, shape, product, units: &units, fill, machine: cx.machine }.kernel();
    let even = g.out_height / shape.rows * shape.rows;
    for (first, count) in [(0, even), (g.out_height - shape.rows, g.out_height - even)] {
        for r in shape.ranges(g.channels) {
            if 0 < count {
                // An odd last row is done as the last full pair; what that covers twice has the same results.
                let count = count.max(shape.rows);
                cx.call(kernel.clone(), &buffers, &[first, count, r.first, r.block, r.count, r.line].map(|v| v as i64));
            }
        }
    }
    Ok(())
}

/// What is done at once.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Channels in a vector, and how many of them exist.
    lanes: usize,
    count: usize,
    /// Channels that are done before the next columns.
    line: usize,
    /// Output rows, and outputs in a row.
    rows: usize,
    tile: usize,
    /// Columns stay in registers from one tile to the next.
    keep: bool,
}

/// Bytes of a pixel that are done before the next columns, at most: many whole cache lines, whose weights stay in the first cache.
const LINE_BYTES: usize = 1024;

impl Shape {
    fn choose(machine: &Machine, conv: &Convolution, product: Option<Product>) -> Shape {
        let (g, elem) = (&conv.geometry, conv.source.elem);
        let (single, registers) = (machine.lanes(Elem::I32), machine.vector_registers as usize);
        if product.is_some_and(|p| p.apart) {
            // Their sums take half of the registers.
            let lanes = g.channels.next_power_of_two().min(machine.lanes(Elem::I16));
            let tile = (registers / (4 * lanes.div_ceil(single))).clamp(1, g.out_width);
            let tile = g.out_width.div_ceil(g.out_width.div_ceil(tile));
            return Shape { lanes, count: lanes.min(g.channels), line: lanes, rows: 1, tile, keep: false };
        }
        if product.is_some_and(|p| p.group == 1) {
            // Sums of so many channels are an operation of the emitter's.
            let vectors = matches!(machine.byte_dot, ByteDot::Runs { lanes: 4, .. });
            let lanes = if vectors && 8 <= g.channels { 8 } else { 4 };
            let line = g.channels.next_multiple_of(lanes);
            return Shape { lanes, count: g.channels.min(lanes), line, rows: 1, tile: 1, keep: false };
        }
        let rows = if product.is_some() && g.stride[0] == 1 && g.dilation[0] == 1 && 1 < g.out_height { 2 } else { 1 };
        let mut lanes = g.channels.next_power_of_two().min(single);
        if let Some(p) = product {
            // The columns of a tile take up to three quarters of the registers, the sums of a row at most an eighth.
            let columns = g.filter[1] * input_rows(conv, rows).div_ceil(p.group);
            let most = machine.lanes(elem).min(single * (registers * 3 / 4 / columns).clamp(1, registers / 8));
            // A vector costs so much to bring in, and so much per register of sums.
            let cost = |lanes: usize| g.channels.div_ceil(lanes) * (8 + 30 * lanes / single);
            let candidates = std::iter::successors(Some(single), |l| Some(l * 2)).take_while(|l| *l <= most.min(g.channels));
            lanes = candidates.min_by_key(|l| cost(*l)).unwrap_or(lanes);
        }
        let tile = if product.is_some() { 1 } else { (registers / 4).min(g.out_width) };
        let tile = g.out_width.div_ceil(g.out_width.div_ceil(tile));
        let lines = (g.channels * elem.bytes() as usize).div_ceil(LINE_BYTES);
        let line = if product.is_some() { lanes } else { g.channels.div_ceil(lines).next_multiple_of(lanes) };
        Shape { lanes, count: lanes.min(g.channels), line, rows, tile, keep: product.is_some() && g.dilation[1] == 1 }
    }

    /// Whole lines, the vectors of a rest, and a last vector that overlaps the one before.
    fn ranges(&self, channels: usize) -> Vec<Range> {
        let lines = channels / self.line * self.line;
        let vectors = (channels - lines) / self.lanes * self.lanes;
        let mut ranges = vec![];
        if 0 < lines {
            ranges.push(Range { first: 0, block: 0, count: lines, line: self.line });
        }
        if 0 < vectors {
            ranges.push(Range { first: lines, block: lines, count: vectors, line: vectors });
        }
        if lines + vectors < channels {
            let first = channels.saturating_sub(self.lanes);
            ranges.push(Range { first, block: lines + vectors, count: self.lanes, line: self.lanes });
        }
        ranges
    }

    /// The channels of every vector, in the order of their weights and tables.
    fn blocks(&self, channels: usize) -> Vec<Vec<Option<usize>>> {
        let mut blocks = vec![];
        for r in self.ranges(channels) {
            for first in (r.first..r.first + r.count).step_by(self.lanes) {
                blocks.push((first..first + self.lanes).map(|c| Some(c).filter(|c| *c < channels)).collect());
            }
        }
        blocks
    }
}

/// Channels of one call.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: usize,
    /// Where their weights and tables begin, in channels.
    block: usize,
    count: usize,
    line: usize,
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
fn input_rows(conv: &Convolution, rows: usize) -> usize {
    conv.geometry.filter[0] + rows - 1
}

fn units(conv: &Convolution, group: usize, rows: usize) -> Vec<Unit> {
    let [height, width] = conv.geometry.filter;
    let mut units = vec![];
    if group == 1 {
        let single = |t: usize| Unit { row: 0, kx: t % width, group: t / width, taps: vec![Some(t)] };
        return (0..height * width).map(single).collect();
    }
    for row in 0..rows {
        for kx in 0..width {
            for n in 0..input_rows(conv, rows).div_ceil(group) {
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
    conv: &'a Convolution,
    shape: Shape,
    product: Option<Product>,
    units: &'a [Unit],
    fill: bool,
    machine: &'a Machine,
}

impl Stencil<'_> {
    fn kernel(&self) -> Kernel {
        let (g, source, shape) = (&self.conv.geometry, self.conv.source, self.shape);
        let mut k = KernelBuilder::new(format!("depthwise_{}_{}x{}_{}", source.elem, g.filter[0], g.filter[1], g.channels));
        let (x, y, weights, tables) = (k.read("x"), k.write("y"), k.read("weights"), k.read("channels"));
        let fill = self.fill.then(|| k.read("fill"));
        let scales = source.scales.map(|_| k.read("scales"));
        let [first, rows] = ["first_row", "rows"].map(|n| k.param(n));
        let [c0, block, channels, line] = ["first_channel", "first_block", "channels", "line"].map(|n| k.param(n));
        let (pixel, out_bytes) = (g.channels as i64 * i64::from(source.elem.bytes()), i64::from(self.conv.finish.elem().bytes()));
        let (row_bytes, out_row) = (g.width as i64 * pixel, (g.out_width * g.channels) as i64 * out_bytes);
        let axis = Axis {
            input: g.width,
            output: g.out_width,
            filter: g.filter[1],
            stride: g.stride[1],
            dilation: g.dilation[1],
            before: g.padding.left,
        };
        k.each("n", g.images, 1, |k, n| {
            k.each("oy", rows, shape.rows as i64, |k, oy| {
                let oy = oy + first;
                let input: Vec<Row> = (0..input_rows(self.conv, shape.rows))
                    .map(|r| {
                        let iy = oy.clone() * g.stride[0] as i64 + (r * g.dilation[0]) as i64 - g.padding.top;
                        let at = n * (g.height as i64 * row_bytes) + iy.clone() * row_bytes;
                        let guards = fill.map(|_| Guard { index: iy, limit: g.height.into() });
                        k.row(x, at, row_bytes, guards.into_iter().collect(), fill.unwrap_or(x))
                    })
                    .collect();
                let site = Site {
                    s: self,
                    rows: &input,
                    weights,
                    tables: Tables {
                        arg: tables,
                        before: 0,
                        order: Order::Blocks { lanes: shape.lanes, bytes: self.conv.finish.channel_bytes() },
                    },
                    y,
                    to: n * (g.out_height as i64 * out_row) + oy * out_row,
                    pixel,
                    out_bytes,
                    scale: scales.map(|s| s.at(n * 4)),
                };
                k.each("c", channels, shape.line as i64, |k, c| {
                    let c = Channels { x: c + c0, packed: c + block };
                    match self.product {
                        Some(product) if product.apart => walk(k, axis, shape.tile, shape.keep, &Apart { site: &site, product, c }),
                        Some(product) if 1 < product.group => walk(k, axis, shape.tile, shape.keep, &Integers { site: &site, product, c }),
                        product => walk(k, axis, shape.tile, shape.keep, &Taps { site: &site, product, c, line: line.into() }),
                    }
                });
            });
        });
        k.finish()
    }
}

/// Some output rows.
pub struct Site<'a> {
    s: &'a Stencil<'a>,
    rows: &'a [Row],
    weights: Arg,
    tables: Tables,
    y: Arg,
    /// Place of the first output.
    to: Index,
    pixel: i64,
    out_bytes: i64,
    scale: Option<Place>,
}

/// First channel of a vector: in images, and in weights and tables.
#[derive(Clone, Debug)]
pub struct Channels {
    x: Index,
    packed: Index,
}

impl Site<'_> {
    pub fn geometry(&self) -> &Geometry {
        &self.s.conv.geometry
    }

    pub fn lanes(&self) -> usize {
        self.s.shape.lanes
    }

    pub fn load(&self, k: &mut KernelBuilder, row: usize, ix: &Index, c: &Channels) -> Value {
        let (elem, shape) = (self.s.conv.source.elem, self.s.shape);
        let at = ix.clone() * self.pixel + c.x.clone() * i64::from(elem.bytes());
        k.load_part(elem.x(shape.lanes), self.rows[row].at(at), shape.count)
    }

    /// Weights of the `index`-th of `units` units: `group` of every channel.
    pub fn weight(&self, k: &mut KernelBuilder, elem: Elem, group: usize, (index, units): (usize, usize), c: &Channels) -> Value {
        let (bytes, lanes) = (group * elem.bytes() as usize, self.s.shape.lanes);
        let at = c.packed.clone() * (units * bytes) as i64 + index * lanes * bytes;
        k.load(elem.x(lanes * group), self.weights.at(at))
    }

    pub fn start(&self, k: &mut KernelBuilder, c: &Channels) -> Value {
        self.s.conv.finish.start(k, self.tables, &c.packed, self.s.shape.lanes)
    }

    pub fn store(&self, k: &mut KernelBuilder, sum: Value, row: usize, ox: Index, c: &Channels) {
        let g = &self.s.conv.geometry;
        let v = self.s.conv.finish.finish(k, self.tables, &c.packed, sum, self.scale.clone());
        let at = (ox + row * g.out_width) * (g.channels as i64 * self.out_bytes) + c.x.clone() * self.out_bytes;
        k.store_part(self.y.at(self.to.clone() + at), v, self.s.shape.count);
    }
}

/// Floats, and integers tap by tap.
struct Taps<'a> {
    site: &'a Site<'a>,
    /// Of integers.
    product: Option<Product>,
    /// The line, and how many channels it has.
    c: Channels,
    line: Index,
}

impl Visitor for Taps<'_> {
    fn column(&self, _: &mut KernelBuilder, ix: &Index) -> Column {
        Column::At(ix.clone())
    }

    fn outside(&self, _: &mut KernelBuilder) -> Column {
        Column::Outside
    }

    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>) {
        let lanes = self.site.s.shape.lanes;
        if self.site.s.shape.line == lanes {
            return self.vector(k, ox, count, columns, &self.c);
        }
        k.each("v", self.line.clone(), lanes as i64, |k, v| {
            let c = Channels { x: self.c.x.clone() + v, packed: self.c.packed.clone() + v };
            self.vector(k, ox, count, columns, &c);
        });
    }
}

impl Taps<'_> {
    /// The channels from `c` on.
    fn vector(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>, c: &Channels) {
        let (site, g) = (self.site, &self.site.s.conv.geometry);
        let mut sums: Vec<Value> = (0..count).map(|_| site.start(k, c)).collect();
        for ky in 0..g.filter[0] {
            let row: BTreeMap<usize, Value> = columns
                .iter()
                .filter_map(|(d, column)| {
                    let Column::At(ix) = column else { return None };
                    let x = site.load(k, ky, ix, c);
                    Some((*d, self.product.map_or(x, |p| p.operand(k, x))))
                })
                .collect();
            for kx in 0..g.filter[1] {
                let w = match self.product {
                    None => site.weight(k, Elem::F32, 1, (ky * g.filter[1] + kx, g.taps()), c),
                    Some(p) => site.weight(k, p.weight, 1, (ky * g.filter[1] + kx, g.taps()), c),
                };
                for (i, sum) in sums.iter_mut().enumerate() {
                    if let Some(&x) = row.get(&(i * g.stride[1] + kx * g.dilation[1])) {
                        *sum = match self.product {
                            None => mul_add(k, site.s.machine, x, w, *sum),
                            Some(p) => k.dot(p.group, *sum, x, w),
                        };
                    }
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            site.store(k, sum, 0, ox.clone() + i, c);
        }
    }
}

struct Integers<'a> {
    site: &'a Site<'a>,
    product: Product,
    c: Channels,
}

impl Visitor for Integers<'_> {
    /// A vector per group of rows: the rows' elements of every channel side by side.
    fn column(&self, k: &mut KernelBuilder, ix: &Index) -> Column {
        let rows: Vec<Value> = (0..self.site.rows.len()).map(|r| self.site.load(k, r, ix, &self.c)).collect();
        Column::Values(rows.chunks(self.product.group).map(|group| self.product.side_by_side(k, group)).collect())
    }

    fn outside(&self, k: &mut KernelBuilder) -> Column {
        let ty = self.product.input.x(self.site.s.shape.lanes * self.product.group);
        let zero = k.int(ty, self.product.zero.into());
        Column::Values(vec![zero; self.site.rows.len().div_ceil(self.product.group)])
    }

    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>) {
        let (g, units, p) = (&self.site.s.conv.geometry, self.site.s.units, self.product);
        for i in 0..count {
            for row in 0..self.site.s.shape.rows {
                let mut sum = self.site.start(k, &self.c);
                for (index, u) in units.iter().enumerate().filter(|(_, u)| u.row == row) {
                    let column = columns[&(i * g.stride[1] + u.kx * g.dilation[1])].values();
                    let w = self.site.weight(k, p.weight, p.group, (index, units.len()), &self.c);
                    sum = k.dot(p.group, sum, column[u.group], w);
                }
                self.site.store(k, sum, row, ox.clone() + i, &self.c);
            }
        }
    }
}
