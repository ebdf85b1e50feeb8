//! Products whose weights are mostly zeros, with output channels in lanes: activations are permuted to the weights that are not zero.
//!
//! Not the loops over panels and pixels, nor what becomes of sums (`kernel.rs`, `epilogue.rs`). The idea: a register holds a table of consecutive
//! activations of a pixel. Of each table every lane multiplies the activations whose weights in its channel are not zero, wherever in the
//! table they are: a *slot* is a vector of weights and a vector of indices into the table, both constant, and costs a permutation and a product.
//! A table takes as many slots as the lane with most weights has groups of them, so weights of which N of M are zero lose nothing. Tables that take
//! the same number of slots are done one after the other (`select/packing.rs`), so that the number is part of the code and no branch depends on it.
//!
//! Differences from the dense form: floats are summed in another order, so only where a multiply-add is fused anyway; and what is not finite
//! among activations does not become a NaN where it would be multiplied by zero. Where all would be as fast, the dense form is taken.

pub(super) mod cost;
mod packing;
pub(super) mod steps;

use super::geometry::{Axis, Segment, grids};
use super::kernel::{self, Count, Counts, Spec, Strides};
use super::numbers::{Form, Numbers};
use super::{Epilogue, Product, Rescale, tables, unrolled};
use crate::diagnostic::Diagnostic;
use crate::lower::pointwise::Destination;
use crate::lower::{Context, Goal};
use cost::Costs;
use cranelite_tile::{BufferId, ByteDot, Elem};
use packing::{Packed, Packing, Weights};
use std::ops::Range;

/// Of all weights at least so many percent are zeros; others are not looked at any further.
const LEAST_ZEROS: usize = 40;
/// The dense form is left if the other one takes at most so many percent of its time.
const MOST_PERCENT: u64 = 88;

/// How a product is computed.
pub struct Plan<'a> {
    /// Of the time of the dense form.
    pub percent: usize,
    /// The pixels that see all taps, and those that do not.
    inner: Product<'a>,
    borders: Vec<Product<'a>>,
    numbers: Numbers,
    /// Pixels of a tile.
    pixels: usize,
    /// Panels that are full, and the columns after them.
    blocks: Vec<(Range<usize>, Packed)>,
}

/// The plan, if it is clearly cheaper than the dense form.
pub fn plan<'a>(cx: &Context, p: &Product<'a>, numbers: &Numbers) -> Option<Plan<'a>> {
    let machine = cx.machine;
    if cx.goal == Goal::Size || !machine.has_vectors() || machine.permutes.bytes == 0 || matches!(machine.byte_dot, ByteDot::Runs { .. }) {
        return None;
    }
    let (lanes, filters) = (machine.lanes(Elem::I32), p.filter.shape[0]);
    let is_ordered = numbers.form == Form::Float && !machine.fma;
    let is_wide = numbers.form == Form::Words || numbers.accumulator == Elem::I64;
    let has_offset = numbers.weight_shift != 0 || p.weight_zero_point != 0;
    if p.groups() != 1 || filters < lanes || is_ordered || is_wide || has_offset {
        return None;
    }
    let (inner, borders) = parts(p)?;
    let p = &inner;
    let weights = Weights::of(&p.filter);
    if weights.zeros() * 100 < weights.len() * LEAST_ZEROS {
        return None;
    }
    let walks = |packing: Packing| {
        let tables = packing.tables(p, numbers)?;
        let counts = packing.counts(&weights, &tables, lanes);
        Some([false, true].map(|is_sorted| packing.with_walk(is_sorted, &tables, &counts)))
    };
    let choices = Packing::choices(machine, numbers, p.has_byte_weights()).into_iter().filter_map(walks).flatten().flatten();
    let product = match () {
        _ if p.sums_in_pairs(machine) => 100 * machine.sparse.pairs / machine.sparse.dot,
        _ if p.multiplies_matrices(machine) => 100 * machine.sparse.matrices / machine.sparse.dot,
        _ => 100,
    };
    // Whether weights come from afar is not certain where there are many.
    let costs = Costs { cx, p, numbers, product: product.into(), is_far: cx.constants_stream, l2_bytes: machine.l2_bytes.into() };
    // Some machines have caches twice as large.
    let near = Costs { is_far: false, l2_bytes: 2 * costs.l2_bytes, ..costs };
    let pays = |costs: &Costs, packing: &Packing| 100 * costs.of(packing) <= MOST_PERCENT * costs.dense();
    let paying = choices.filter(|packing| pays(&costs, packing) && pays(&near, packing));
    let packing = paying.min_by_key(|packing| costs.of(packing))?;
    let pixels = costs.pixels(&packing);
    let full = filters / lanes * lanes;
    let ranges = [0..full, full..filters];
    let blocks = ranges.into_iter().filter(|r| !r.is_empty()).map(|r| Some((r.clone(), packing.pack(&weights, r, lanes)?)));
    let blocks = blocks.collect::<Option<Vec<_>>>()?;
    let percent = (100 * costs.of(&packing) / costs.dense()) as usize;
    Some(Plan { percent, numbers: packing.numbers(numbers), inner, borders, pixels, blocks })
}

/// The pixels that see all taps, if they are most of them, and the others as products of their own.
fn parts<'a>(p: &Product<'a>) -> Option<(Product<'a>, Vec<Product<'a>>)> {
    let (rows, columns) = (p.rows.segments(), p.columns.segments());
    let all = |a: &Axis, s: &Segment| s.taps() == a.filter;
    let (row, column) = (rows.iter().find(|s| all(&p.rows, s))?, columns.iter().find(|s| all(&p.columns, s))?);
    let part = |rows: Axis, columns: Axis| Product { rows, columns, ..p.clone() };
    let above_and_below = rows.iter().filter(|s| *s != row).map(|s| part(p.rows.part(s), p.columns));
    let beside = columns.iter().filter(|s| *s != column).map(|s| part(p.rows.part(row), p.columns.part(s)));
    let borders: Vec<Product> = above_and_below.chain(beside).collect();
    let is_most = p.rows.output * p.columns.output <= 2 * row.len * column.len;
    let is_by_pixel = matches!(p.rescale, Rescale::Hybrid { per_pixel: true, .. });
    (is_most && (borders.is_empty() || !is_by_pixel)).then(|| (part(p.rows.part(row), p.columns.part(column)), borders))
}

/// Writes the calls.
pub fn lower(cx: &mut Context, plan: &Plan, input: BufferId, to: &Destination) -> Result<(), Diagnostic> {
    let (p, n, machine) = (&plan.inner, &plan.numbers, cx.machine);
    let (epilogue, scales) = p.epilogue(machine, n)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, p.filter.shape[0]);
    }
    let lanes = machine.lanes(Elem::I32);
    let (row, column) = (p.rows.segments()[0], p.columns.segments()[0]);
    for (channels, packed) in &plan.blocks {
        let class = tables::classes(p, n, &epilogue, channels.clone(), lanes, &[(row, column)], |_| 0).data;
        let scale = scales.table(&p.bias, channels.clone(), lanes);
        let mut buffers = vec![input, cx.constant("weights", packed.weights.clone(), 64), cx.constant("bias", class, 64)];
        if 0 < epilogue.scale_bytes() {
            buffers.push(cx.constant("scales", scale, 64));
        }
        if let Rescale::Hybrid { factors, .. } = &p.rescale {
            buffers.extend(factors);
        }
        buffers.push(cx.constant("indices", packed.indices.clone(), 64));
        if !packed.walk.is_empty() {
            buffers.push(cx.constant("walk", packed.walk.clone(), 64));
        }
        buffers.extend(to.buffers());
        let part = Part { p, to, plan, epilogue, lanes, channels, packed };
        part.write(cx, &buffers, &row, &column);
    }
    plan.borders.iter().try_for_each(|border| super::lower(cx, border, input, to))
}

/// Some panels.
struct Part<'a> {
    p: &'a Product<'a>,
    to: &'a Destination<'a>,
    plan: &'a Plan<'a>,
    epilogue: Epilogue,
    lanes: usize,
    channels: &'a Range<usize>,
    packed: &'a Packed,
}

impl Part<'_> {
    fn write(&self, cx: &mut Context, buffers: &[BufferId], row: &Segment, column: &Segment) {
        let (p, n, epilogue, select) = (self.p, &self.plan.numbers, self.epilogue, &self.packed.select);
        let pixel = p.channels as i64 * i64::from(n.memory.bytes());
        let line = p.columns.input as i64 * pixel;
        let y_pixel = p.filter.shape[0] as i64 * i64::from(epilogue.output().bytes());
        let (rows, columns) = (&p.rows.places, &p.columns.places);
        let y_row = columns.count as i64 * y_pixel;
        let per_pixel = matches!(p.rescale, Rescale::Hybrid { per_pixel: true, .. });
        let strides = Strides {
            x_batch: p.rows.input as i64 * line,
            x_row: p.rows.stride as i64 * line,
            x_pixel: p.columns.stride as i64 * pixel,
            // The number of the panel says where its slots are.
            w_panel: 1,
            y_batch: rows.count as i64 * y_row,
            y_row: rows.step as i64 * y_row,
            y_pixel: columns.step as i64 * y_pixel,
            f_batch: if per_pixel { 0 } else { 4 },
            f_pixel: if per_pixel { 4 } else { 0 },
            ..Strides::default()
        };
        let x0 = p.rows.origin(row) as i64 * line + p.columns.origin(column) as i64 * pixel;
        let y0 =
            rows.first as i64 * y_row + columns.first as i64 * y_pixel + self.channels.start as i64 * i64::from(epilogue.output().bytes());
        for grid in grids(row.len, column.len, self.plan.pixels, 1, 1) {
            let mut counts: Counts = Default::default();
            let mut fixed = vec![];
            for (count, value) in [
                (Count::Panels, self.channels.len().div_ceil(self.lanes) as i64),
                (Count::Batches, p.batch as i64),
                (Count::Rows, grid.ny as i64),
                (Count::Columns, grid.nx as i64),
                (Count::TapRows, 1),
                (Count::Runs, 1),
                (Count::Groups, 0),
                (Count::Rest, 0),
                (Count::Input, x0 + grid.y as i64 * strides.x_row),
                (Count::Output, y0 + grid.y as i64 * strides.y_row),
                (Count::Factor, (grid.y * p.columns.output) as i64 * strides.f_pixel),
            ] {
                counts[count as usize] = value;
                let is_loop = matches!(count, Count::Panels | Count::Batches | Count::Rows | Count::Columns);
                if matches!(count, Count::TapRows | Count::Runs | Count::Groups | Count::Rest) || (is_loop && value == 1) {
                    fixed.push((count, value));
                }
            }
            fixed.extend([Count::Weights, Count::Class, Count::Scale].map(|c| (c, 0)));
            let form = if n.form == Form::Float { "f32" } else { "int" };
            let tile = grid.tile[0] * grid.tile[1];
            let spec = Spec {
                name: format!("product_{form}_{}x{}x{}_select", grid.tile[0], grid.tile[1], self.lanes),
                numbers: *n,
                epilogue,
                fma: cx.machine.fma,
                lanes: self.lanes,
                vectors: 1,
                columns: self.channels.len().min(self.lanes),
                across: None,
                tile: grid.tile,
                tail: grid.tail,
                strides,
                sum_factor: 0,
                sums_ahead: false,
                block: 1,
                step: 8,
                tail_group: None,
                fixed,
                unroll: select.is_unrolled(tile, unrolled(cx.goal)),
                at_once: if 16 < cx.machine.vector_bytes { 4 } else { 0 },
                prefetch_bytes: 0,
                select: Some(select.clone()),
            };
            cx.call(kernel::kernel(&spec, self.to), buffers, &spec.params(&counts));
        }
    }
}
