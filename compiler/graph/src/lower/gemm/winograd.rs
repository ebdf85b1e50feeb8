//! Convolutions of 3 × 3 floats with fewer multiplications: Winograd's minimal filtering, F(2×2, 3×3) and F(4×4, 3×3).
//!
//! Not the product itself (`kernel.rs`). The idea: a tile of m × m outputs is Aᵀ[(G g Gᵀ) ∘ (Bᵀ x B)]A with the (m + 2)² inputs x that it sees.
//! Filters are transformed when the model is compiled; of a band of tiles the inputs are transformed into scratch, [position][tile][channel],
//! each position is a product of matrices, and each tile of sums becomes outputs. That is 16 multiplications for 4 outputs, or 36 for 16,
//! instead of 36 or 144. Bands are no larger than the arena has bytes to spare, and of those the cheapest.
//!
//! Differences from the direct form: results are rounded differently, within a bound that is found for every layer (`Transform::excess`); a NaN or an
//! infinity in the image, or a number so large that its transform overflows, makes NaNs of all outputs of the tiles that see it and not
//! only of those whose windows do. `--no-winograd` leaves all convolutions direct.

mod transform;

use super::epilogue::Epilogue;
use super::geometry::{Axis, Places, grids};
use super::kernel::{self, Count, Counts, Spec, Strides};
use super::numbers::Numbers;
use super::shape::{Block, Shape};
use super::{PREFETCH_BYTES, Product, Rescale, unrolled};
use crate::lower::math::mul_add;
use crate::lower::pointwise::{Destination, Output};
use crate::lower::requantize::clamp_float;
use crate::lower::{Context, Goal};
use crate::tensor::ElementType;
use cranelite_tile::{BufferId, Elem, Guard, Index, Kernel, KernelBuilder, Machine, Type, Value};
use std::ops::Range;
use transform::{MOST_EXCESS, TAPS, TRANSFORMS, Transform, even_polynomial, taps};

/// Tiles that are computed together: rows of tiles of all images one after the other, and columns of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Band {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Band {
    fn tiles(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// How a convolution is computed.
pub struct Plan {
    transform: Transform,
    shape: Shape,
    bands: Vec<Band>,
}

/// Vector operations for one tile and vector of channels: the transform of inputs and that of sums with all loads and stores.
fn transform_cost(t: &Transform) -> (usize, usize) {
    let (size, outputs, points) = (t.size(), t.outputs(), t.points.len());
    // Of one row: two polynomials, and two polynomials and two sums for each pair of points; then those of Aᵀ.
    let input = 2 * points + points * (2 * (points - 1) + 2);
    let output = points * (2 + outputs) + 2;
    (2 * size * input + 3 * size * size, (size + outputs) * output + size * size + 5 * outputs * outputs)
}

/// Vector operations for a sum beside its products: the start, the store, the loop.
const SUM_COST: usize = 4;

/// Vector operations in the time in which 64 bytes arrive that were not used for long, and such that were used before but do not stay in the
/// second-level cache.
const LINE_BYTES: usize = 64;
const FAR_LINE_COST: usize = 40;
const LINE_COST: usize = 16;

/// More bands are more calls than they are worth.
const MOST_BANDS: usize = 64;

/// The plan if it is a tenth cheaper than the direct form, there is memory for it and the error stays within its bound.
pub fn plan(cx: &Context, p: &Product) -> Option<Plan> {
    let is_plain = |a: &Axis| a.filter == TAPS && a.stride == 1 && a.dilation == 1 && a.places == Places::all(a.output);
    let is_float = p.input == ElementType::F32 && p.filter.element == ElementType::F32 && p.rescale == Rescale::Float;
    if !cx.winograd || cx.goal == Goal::Size || !is_float || p.groups() != 1 || !is_plain(&p.rows) || !is_plain(&p.columns) {
        return None;
    }
    let costs = Costs { cx, p, lanes: cx.machine.lanes(Elem::F32) };
    let direct = costs.direct();
    let plans = TRANSFORMS.iter().flat_map(|t| Plan::all_within(cx, p, *t));
    let mut cheaper: Vec<(usize, Plan)> = plans.map(|plan| (costs.of(&plan), plan)).filter(|(cost, _)| 10 * cost <= 9 * direct).collect();
    cheaper.sort_by_key(|(cost, _)| *cost);
    // The bound takes longer than anything else here, so nobody asks for it in vain, or twice.
    let mut known: Vec<(Transform, bool)> = vec![];
    let mut is_within = |t: Transform| match known.iter().find(|k| k.0 == t) {
        Some(k) => k.1,
        None => {
            let answer = t.is_within(MOST_EXCESS, &p.filter, cx.machine.fma);
            known.push((t, answer));
            answer
        }
    };
    cheaper.into_iter().map(|(_, plan)| plan).find(|plan| is_within(plan.transform))
}

/// What a convolution costs, in multiply-adds of vectors.
struct Costs<'a> {
    cx: &'a Context<'a>,
    p: &'a Product<'a>,
    lanes: usize,
}

impl Costs<'_> {
    fn vectors(&self) -> usize {
        self.p.filter.shape[0].div_ceil(self.lanes)
    }

    /// Of so many weights for every pair of channels.
    fn weights_bytes(&self, weights: usize) -> usize {
        4 * weights * self.p.channels * self.vectors() * self.lanes
    }

    /// From far away, unless all constants of the model are near.
    fn far(&self, bytes: usize) -> usize {
        if self.cx.constants_stream || self.cx.machine.l2_bytes as usize <= bytes { bytes / LINE_BYTES * FAR_LINE_COST } else { 0 }
    }

    fn direct(&self) -> usize {
        let p = self.p;
        // Padding has no taps.
        let taps = |a: &Axis| a.segments().iter().map(|s| s.len * s.taps()).sum::<usize>();
        let sums = taps(&p.rows) * taps(&p.columns) * p.channels + p.rows.output * p.columns.output * SUM_COST;
        // Weights arrive while others are used.
        let operations = p.batch * self.vectors() * sums;
        operations.max(self.far(self.weights_bytes(TAPS * TAPS)))
    }

    fn of(&self, plan: &Plan) -> usize {
        let (p, t, l2_bytes) = (self.p, &plan.transform, self.cx.machine.l2_bytes as usize);
        let tiles: usize = plan.bands.iter().map(Band::tiles).sum();
        let panels: usize = plan.shape.blocks(p.filter.shape[0]).iter().map(|b| b.panels).sum();
        let (weights, scratch) = (self.weights_bytes(t.positions()), plan.scratch_bytes(p).iter().sum::<usize>());
        let near = |bytes: usize, is_in_cache: bool| if is_in_cache { 0 } else { bytes / LINE_BYTES * LINE_COST };
        let again = near((plan.bands.len() - 1) * weights, weights + scratch <= l2_bytes);
        let inputs = near(panels * tiles * 4 * t.positions() * p.channels, scratch <= l2_bytes);
        let operations = tiles * self.vectors() * t.positions() * (p.channels + SUM_COST);
        let (input, output) = transform_cost(t);
        operations.max(self.far(weights) + again + inputs) + tiles * (p.channels.div_ceil(self.lanes) * input + self.vectors() * output)
    }
}

/// Bytes from position to position: so many lines of the cache that one tile's positions do not all meet in the same sets of it.
fn position_bytes(elements: usize) -> usize {
    LINE_BYTES * ((4 * elements).div_ceil(LINE_BYTES) | 1)
}

impl Plan {
    /// With bands of different sizes that there is memory for, from the largest to the first of which the second-level cache has room for twice as much.
    fn all_within(cx: &Context, p: &Product, transform: Transform) -> Vec<Plan> {
        let m = transform.outputs();
        let (rows, columns) = (p.batch * p.rows.output.div_ceil(m), p.columns.output.div_ceil(m));
        let shape = Shape::new(cx.machine, &Numbers::FLOAT, rows * columns, p.filter.shape[0], false);
        // Rows in even parts, then parts of a row.
        let parts = |all: usize| (1..=all).map(move |count| all.div_ceil(count));
        let mut sizes: Vec<[usize; 2]> = parts(rows).map(|h| [h, columns]).chain(parts(columns).map(|w| [1, w])).collect();
        sizes.dedup();
        let mut plans = vec![];
        for [height, width] in sizes {
            let bytes = scratch_bytes(&transform, &shape, p, height * width).iter().sum::<usize>() as u64;
            if bytes <= cx.spare_bytes && rows.div_ceil(height) * columns.div_ceil(width) <= MOST_BANDS {
                let cut = |all: usize, step: usize| (0..all).step_by(step).map(move |at| at..(at + step).min(all));
                let bands = cut(rows, height).flat_map(|r| cut(columns, width).map(move |c| Band { rows: r.clone(), columns: c }));
                plans.push(Plan { transform, shape: shape.clone(), bands: bands.collect() });
                if bytes <= u64::from(cx.machine.l2_bytes / 2) {
                    break;
                }
            }
        }
        plans
    }

    /// Of the largest band.
    fn tiles(&self) -> usize {
        self.bands.iter().map(Band::tiles).max().unwrap_or(0)
    }

    fn scratch_bytes(&self, p: &Product) -> [usize; 2] {
        scratch_bytes(&self.transform, &self.shape, p, self.tiles())
    }
}

/// Of transformed inputs, and of one panel of sums.
fn scratch_bytes(t: &Transform, shape: &Shape, p: &Product, tiles: usize) -> [usize; 2] {
    let widest = shape.blocks(p.filter.shape[0])[0].vectors * shape.lanes;
    [p.channels, widest].map(|elements| t.positions() * position_bytes(tiles * elements))
}

/// Writes the calls.
pub fn lower(cx: &mut Context, p: &Product, plan: &Plan, input: BufferId, to: &Destination) {
    let [inputs, sums] = plan.scratch_bytes(p);
    let writer = Writer {
        p,
        plan,
        to,
        tiles: plan.tiles(),
        machine: cx.machine,
        input,
        inputs: cx.scratch("transformed", inputs as u64),
        sums: cx.scratch("sums", sums as u64),
    };
    let panels: Vec<Panel> = writer.panels(cx);
    for band in &plan.bands {
        writer.transform_inputs(cx, band);
        for panel in &panels {
            writer.multiply(cx, band, panel);
            writer.transform_sums(cx, band, panel);
        }
    }
}

/// A panel of output channels.
struct Panel {
    block: Block,
    /// [position][channel][column], and the bias.
    weights: BufferId,
    bias: BufferId,
}

struct Writer<'a> {
    p: &'a Product<'a>,
    plan: &'a Plan,
    to: &'a Destination<'a>,
    /// Of the largest band.
    tiles: usize,
    machine: &'a Machine,
    input: BufferId,
    inputs: BufferId,
    sums: BufferId,
}

/// Rows of tiles of one image, as part of a band.
struct Piece {
    image: usize,
    /// Row of tiles in the image, and how many.
    first: usize,
    rows: usize,
    /// Row of tiles in the band.
    at: usize,
}

impl Writer<'_> {
    fn panels(&self, cx: &mut Context) -> Vec<Panel> {
        let (p, t, shape) = (self.p, &self.plan.transform, &self.plan.shape);
        let outputs = p.filter.shape[0];
        let blocks: Vec<Block> = shape.blocks(outputs).iter().flat_map(|b| b.panels(shape.lanes)).collect();
        let panel = |block: Block| {
            let width = block.vectors * shape.lanes;
            let columns: Vec<Vec<Vec<f64>>> = (0..block.last).map(|column| t.filter(&taps(&p.filter, block.first + column))).collect();
            let mut packed = vec![0f32; t.positions() * p.channels * width];
            for (i, row) in packed.chunks_exact_mut(width).enumerate() {
                let (position, channel) = (i / p.channels, i % p.channels);
                row.iter_mut().zip(&columns).for_each(|(v, column)| *v = column[position][channel] as f32);
            }
            let bias = p.bias.bytes(Elem::F32, block.first..block.first + block.last, width);
            Panel { block, weights: cx.constant_f32("weights", &packed), bias: cx.constant("bias", bias, 64) }
        };
        blocks.into_iter().map(panel).collect()
    }

    fn pieces(&self, band: &Band) -> Vec<Piece> {
        let all = self.p.rows.output.div_ceil(self.plan.transform.outputs());
        let mut pieces = vec![];
        let mut row = band.rows.start;
        while row < band.rows.end {
            let rows = (all - row % all).min(band.rows.end - row);
            pieces.push(Piece { image: row / all, first: row % all, rows, at: row - band.rows.start });
            row += rows;
        }
        pieces
    }

    /// Columns of tiles that are alike.
    fn runs<K: PartialEq>(columns: &Range<usize>, kind: impl Fn(usize) -> K) -> Vec<(Range<usize>, K)> {
        let mut runs: Vec<(Range<usize>, K)> = vec![];
        for column in columns.clone() {
            match runs.last_mut().filter(|(_, k)| *k == kind(column)) {
                Some((run, _)) => run.end = column + 1,
                None => runs.push((column..column + 1, kind(column))),
            }
        }
        runs
    }

    fn transform_inputs(&self, cx: &mut Context, band: &Band) {
        let (p, t) = (self.p, &self.plan.transform);
        let (m, size) = (t.outputs() as i64, t.size() as i64);
        // Columns of a tile that are in the image.
        let exists = |column: usize| {
            let begin = column as i64 * m - p.columns.before;
            [-begin, p.columns.input as i64 - begin].map(|end| end.clamp(0, size))
        };
        let line = p.columns.input * p.channels * 4;
        let last_row = p.rows.output.div_ceil(t.outputs()) as i64 * m + TAPS as i64 - 1 - p.rows.before;
        let is_padded = 0 < p.rows.before || (p.rows.input as i64) < last_row;
        let mut buffers = vec![self.input, self.inputs];
        if is_padded {
            buffers.push(cx.fill(0, line));
        }
        for (run, exists) in Writer::runs(&band.columns, exists) {
            let kernel = self.input_kernel(band, exists, is_padded);
            let x0 = (run.start as i64 * m - p.columns.before) * 4 * p.channels as i64;
            for piece in self.pieces(band) {
                let tile = piece.at * band.columns.len() + run.start - band.columns.start;
                let params =
                    [piece.image as i64, piece.first as i64, piece.rows as i64, run.len() as i64, x0, (4 * tile * p.channels) as i64];
                cx.call(kernel.clone(), &buffers, &params);
            }
        }
    }

    /// The transform of tiles of which the columns `exists[0]..exists[1]` are in the image.
    fn input_kernel(&self, band: &Band, exists: [i64; 2], is_padded: bool) -> Kernel {
        let (p, t) = (self.p, &self.plan.transform);
        let m = t.outputs() as i64;
        let mut k = KernelBuilder::new(format!("winograd_input_{m}x{m}_{}", p.channels));
        let (x, y) = (k.read("x"), k.write("y"));
        let fill = if is_padded { Some(k.read("fill")) } else { None };
        let [image, first, rows, columns, x0, y0] = ["image", "first", "rows", "columns", "x0", "y0"].map(|n| k.param(n));
        let pixel = 4 * p.channels as i64;
        let (line, tile_row) = (p.columns.input as i64 * pixel, band.columns.len() as i64 * pixel);
        let position = position_bytes(self.tiles * p.channels) as i64;
        k.each("row", rows, 1, |k, row| {
            let input: Vec<_> = (0..t.size() as i64)
                .map(|r| {
                    let iy = (row + first) * m + r - p.rows.before;
                    let at = Index::default() + iy.clone() * line + Index::from(image) * (p.rows.input as i64 * line);
                    let guards = fill.map(|_| Guard { index: iy, limit: p.rows.input.into() });
                    k.row(x, at, line, guards.into_iter().collect(), fill.unwrap_or(x))
                })
                .collect();
            k.each("column", columns, 1, |k, column| {
                each_vector(k, self.machine, p.channels, |k, ty, c, count| {
                    let parts = Parts { t, machine: self.machine, ty };
                    let load = |k: &mut KernelBuilder, i: usize, j: usize| {
                        let at = column * (m * pixel) + x0 + c.clone() + j as i64 * pixel;
                        let inside = exists[0] <= j as i64 && (j as i64) < exists[1];
                        inside.then(|| k.load_part(ty, input[i].at(at), count))
                    };
                    for part in 0..parts.count() {
                        // Rows of Bᵀ x, column by column.
                        let columns: Vec<Vec<Option<Value>>> =
                            (0..t.size()).map(|j| parts.input(k, part, &mut |k, i| load(k, i, j))).collect();
                        for (n, i) in parts.places(part).enumerate() {
                            for along in 0..parts.count() {
                                let values = parts.input(k, along, &mut |_, j| columns[j][n]);
                                for (v, j) in values.into_iter().zip(parts.places(along)) {
                                    let v = v.unwrap_or_else(|| k.float(ty, 0.0));
                                    let at = (i * t.size() + j) as i64 * position;
                                    k.store_part(y.at(row * tile_row + column * pixel + c.clone() + y0 + at), v, count);
                                }
                            }
                        }
                    }
                });
            });
        });
        k.finish()
    }

    /// The sums of a panel: for each position a product of its inputs and weights.
    fn multiply(&self, cx: &mut Context, band: &Band, panel: &Panel) {
        let (p, t, shape, machine) = (self.p, &self.plan.transform, &self.plan.shape, self.machine);
        let (n, vectors) = (Numbers::FLOAT, panel.block.vectors);
        let width = (vectors * shape.lanes) as i64;
        let strides = Strides {
            x_batch: position_bytes(self.tiles * p.channels) as i64,
            x_pixel: 4 * p.channels as i64,
            w_batch: 4 * p.channels as i64 * width,
            y_batch: position_bytes(self.tiles * width as usize) as i64,
            y_pixel: 4 * width,
            ..Strides::default()
        };
        let buffers = [self.inputs, panel.weights, cx.fill(0, 4 * width as usize), self.sums];
        for grid in grids(1, band.tiles(), shape.pixels(vectors), vectors, 1) {
            let accumulators = grid.tile[1] * vectors;
            let unroll = p.channels * accumulators <= unrolled(cx.goal);
            let (block, step) = shape.steps(machine, &n, p.channels, accumulators, unroll);
            let rest = p.channels % step;
            let mut counts: Counts = Default::default();
            let mut fixed = vec![];
            for (count, value) in [
                (Count::Panels, 1),
                (Count::Batches, t.positions()),
                (Count::Rows, 1),
                (Count::Columns, grid.nx),
                (Count::TapRows, 1),
                (Count::Runs, 1),
                (Count::Groups, p.channels - rest),
                (Count::Rest, rest),
            ] {
                counts[count as usize] = value as i64;
                let depth = matches!(count, Count::Groups | Count::Rest);
                if value == 1 && !depth || unroll && depth || count == Count::Rest && value == 0 {
                    fixed.push((count, value as i64));
                }
            }
            let streams = cx.constants_stream || cx.machine.l2_bytes <= cx.size_bytes(panel.weights) as u32;
            let spec = Spec {
                name: format!("product_f32_1x{}x{width}", grid.tile[1]),
                numbers: n,
                epilogue: Epilogue::Plain,
                fma: machine.fma,
                lanes: shape.lanes,
                vectors,
                columns: width as usize,
                tile: grid.tile,
                tail: grid.tail,
                strides,
                sum_factor: 0,
                sums_ahead: false,
                block,
                step,
                tail_group: None,
                fixed,
                unroll,
                at_once: 0,
                across: None,
                prefetch_bytes: if streams { PREFETCH_BYTES } else { 0 },
                select: None,
            };
            cx.call(kernel::kernel(&spec, &Destination::of_buffer(self.sums)), &buffers, &spec.params(&counts));
        }
    }

    /// From the sums of a panel to outputs.
    fn transform_sums(&self, cx: &mut Context, band: &Band, panel: &Panel) {
        let (p, m, outputs) = (self.p, self.plan.transform.outputs(), self.p.filter.shape[0]);
        let exist = |all: usize, tile: usize| m.min(all - tile * m);
        let width = panel.block.vectors * self.plan.shape.lanes;
        let mut buffers = vec![self.sums, panel.bias];
        buffers.extend(self.to.buffers());
        for (run, columns) in Writer::runs(&band.columns, |c| exist(p.columns.output, c)) {
            for piece in self.pieces(band) {
                for (part, rows) in Writer::runs(&(piece.first..piece.first + piece.rows), |r| exist(p.rows.output, r)) {
                    let kernel = self.output_kernel(band, &panel.block, [rows, columns]);
                    let tile = (piece.at + part.start - piece.first) * band.columns.len() + run.start - band.columns.start;
                    let pixel = (piece.image * p.rows.output + part.start * m) * p.columns.output + run.start * m;
                    let params = [part.len(), run.len(), 4 * tile * width, 4 * (pixel * outputs + panel.block.first)];
                    cx.call(kernel, &buffers, &params.map(|v| v as i64));
                }
            }
        }
    }

    /// Of tiles of which so many rows and columns are in the result.
    fn output_kernel(&self, band: &Band, block: &Block, exist: [usize; 2]) -> Kernel {
        let (p, t, lanes) = (self.p, &self.plan.transform, self.plan.shape.lanes);
        let m = t.outputs() as i64;
        let mut k = KernelBuilder::new(format!("winograd_output_{m}x{m}_{}", block.vectors * lanes));
        let (x, bias) = (k.read("x"), k.read("bias"));
        let y = Output::declare(&mut k, self.to);
        let [rows, columns, x0, y0] = ["rows", "columns", "x0", "y0"].map(|n| k.param(n));
        let (tile, pixel) = ((4 * block.vectors * lanes) as i64, 4 * p.filter.shape[0] as i64);
        let (tile_row, line) = (band.columns.len() as i64 * tile, p.columns.output as i64 * pixel);
        let position = position_bytes(self.tiles * block.vectors * lanes) as i64;
        let parts = Parts { t, machine: self.machine, ty: Elem::F32.x(lanes) };
        k.each("row", rows, 1, |k, row| {
            k.each("column", columns, 1, |k, column| {
                for first in (0..block.last).step_by(lanes) {
                    let (c, count) = (4 * first as i64, lanes.min(block.last - first));
                    let bias = k.load(parts.ty, bias.at(c));
                    let load = |k: &mut KernelBuilder, i: usize, j: usize| {
                        let at = (i * t.size() + j) as i64 * position;
                        k.load(parts.ty, x.at(row * tile_row + column * tile + x0 + (c + at)))
                    };
                    for parity in 0..2 {
                        let columns: Vec<Vec<Value>> =
                            (0..t.size()).map(|j| parts.output(k, parity, exist[0], &mut |k, i| load(k, i, j))).collect();
                        for (n, i) in (parity..exist[0]).step_by(2).enumerate() {
                            for parity in 0..2 {
                                let values = parts.output(k, parity, exist[1], &mut |_, j| columns[j][n]);
                                for (v, j) in values.into_iter().zip((parity..).step_by(2)) {
                                    let sum = k.add(v, bias);
                                    let v = clamp_float(k, sum, p.activation);
                                    let at = i as i64 * line + j as i64 * pixel + c;
                                    y.store(k, &(row * (m * line) + column * (m * pixel) + y0 + at), &[v], None, count);
                                }
                            }
                        }
                    }
                }
            });
        });
        k.finish()
    }
}

/// Vectors of channels: whole ones, and a last one that overlaps the one before; or one that is not full. `body` gets where one begins, in
/// bytes, and how many of its channels exist.
fn each_vector(k: &mut KernelBuilder, machine: &Machine, channels: usize, body: impl Fn(&mut KernelBuilder, Type, Index, usize)) {
    let lanes = machine.lanes(Elem::F32).min(channels.next_power_of_two());
    let ty = Elem::F32.x(lanes);
    if channels < lanes {
        return body(k, ty, Index::default(), channels);
    }
    match channels / lanes {
        1 => body(k, ty, Index::default(), lanes),
        n => k.each("c", n, 1, |k, c| body(k, ty, c * (4 * lanes as i64), lanes)),
    }
    if !channels.is_multiple_of(lanes) {
        body(k, ty, Index::from(4 * (channels - lanes)), lanes);
    }
}

/// The transforms of a line of vectors, in parts that have operations in common, so that few registers are needed at once.
struct Parts<'a> {
    t: &'a Transform,
    machine: &'a Machine,
    ty: Type,
}

impl Parts<'_> {
    /// Of Bᵀ: the row of 0, the two rows of each pair of points, the row of ∞.
    fn count(&self) -> usize {
        self.t.points.len() + 2
    }

    /// The rows of a part.
    fn places(&self, part: usize) -> Range<usize> {
        match part {
            0 => 0..1,
            _ if part == self.count() - 1 => self.t.size() - 1..self.t.size(),
            _ => 2 * part - 1..2 * part + 1,
        }
    }

    /// `c` · `x` + `sum`; `None` is zero.
    fn add_product(&self, k: &mut KernelBuilder, c: f64, x: Option<Value>, sum: Option<Value>) -> Option<Value> {
        let Some(x) = x else { return sum };
        match (c, sum) {
            (1.0, None) => Some(x),
            (1.0, Some(sum)) => Some(k.add(sum, x)),
            (-1.0, Some(sum)) => Some(k.sub(sum, x)),
            (_, sum) => {
                let c = k.float(self.ty, c as f32);
                Some(match sum {
                    None => k.mul(c, x),
                    Some(sum) => mul_add(k, self.machine, c, x, sum),
                })
            }
        }
    }

    /// Σ `c[i]` · `x(i)`, the last coefficient being 1.
    fn polynomial(&self, k: &mut KernelBuilder, c: &[f64], mut x: impl FnMut(&mut KernelBuilder, usize) -> Option<Value>) -> Option<Value> {
        (0..c.len()).rev().fold(None, |sum, i| {
            let x = x(k, i);
            self.add_product(k, c[i], x, sum)
        })
    }

    /// Rows of Bᵀ x.
    fn input(
        &self,
        k: &mut KernelBuilder,
        part: usize,
        x: &mut dyn FnMut(&mut KernelBuilder, usize) -> Option<Value>,
    ) -> Vec<Option<Value>> {
        let ends = even_polynomial(self.t.points.iter().copied());
        if part == 0 {
            return vec![self.polynomial(k, &ends, |k, i| x(k, 2 * i))];
        }
        if part == self.count() - 1 {
            return vec![self.polynomial(k, &ends, |k, i| x(k, 2 * i + 1))];
        }
        let (p, others) = (self.t.points[part - 1], self.t.others(part - 1));
        let even = self.polynomial(k, &others, |k, i| x(k, 2 * i + 2));
        let odd = self.polynomial(k, &others, |k, i| x(k, 2 * i + 1));
        vec![self.add_product(k, p, odd, even), self.add_product(k, -p, odd, even)]
    }

    /// Every second row of Aᵀ m from `parity` on, below `count`.
    fn output(
        &self,
        k: &mut KernelBuilder,
        parity: usize,
        count: usize,
        m: &mut dyn FnMut(&mut KernelBuilder, usize) -> Value,
    ) -> Vec<Value> {
        if count <= parity {
            return vec![];
        }
        let pairs: Vec<Option<Value>> = (0..self.t.points.len())
            .map(|j| {
                let (a, b) = (m(k, 2 * j + 1), m(k, 2 * j + 2));
                Some(if parity == 0 { k.add(a, b) } else { k.sub(a, b) })
            })
            .collect();
        let row = |i: usize| {
            let start = match i {
                0 => Some(m(k, 0)),
                _ if i + 1 == self.t.outputs() => Some(m(k, self.t.size() - 1)),
                _ => None,
            };
            let power = |p: f64| (0..i).map(|_| p).product::<f64>();
            let terms = self.t.points.iter().zip(&pairs);
            terms.fold(start, |sum, (p, v)| self.add_product(k, power(*p), *v, sum)).expect("a pair of points")
        };
        (parity..count).step_by(2).map(row).collect()
    }
}
