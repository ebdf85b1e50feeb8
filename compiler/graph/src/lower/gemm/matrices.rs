//! The step of a product whose operation multiplies matrices of bytes: two pixels by two channels, eight elements of the depth at once.
//!
//! Not the loops and not the packing, which are those of all products with groups of eight. The idea: two rows of eight activations are the halves of one
//! register, a pair of channels lies packed as such a register, and an accumulator has four sums; of two accumulators beside each other the lower halves
//! are four channels of one pixel, and the upper halves those of the other. Where a tile has an odd number of pixels, the last one is multiplied twice.

use super::Product;
use super::geometry::Segment;
use super::kernel::{Cells, Step};
use super::numbers::{Form, Numbers};
use super::shape::Shape;
use cranelite_tile::{Elem, Index, KernelBuilder, Machine, Value};

/// Pixels and channels of an accumulator.
pub const ROWS: usize = 2;
/// Elements of the depth in a row.
pub const GROUP: usize = 8;
/// Rows of activations that are loaded as one vector, where their sign is right.
pub const BLOCK: usize = 2;
/// What is gained must be more than one part in so many.
const MARGIN: usize = 10;

/// The shape of a product of matrices, if the machine has them and they take fewer vector operations than the groups of four of `n`. Activations are not
/// summed by it.
pub fn shape(machine: &Machine, p: &Product, n: &Numbers, rectangles: &[(Segment, Segment)]) -> Option<Shape> {
    machine.tile_matrix?;
    if !matches!(n.form, Form::Bytes { .. }) || (n.operand, n.weight) != (Elem::I8, Elem::I8) {
        return None;
    }
    let filters = p.filter.shape[0] / p.groups();
    let shape = Shape::new(machine, &n.in_matrices(), p.batch * p.rows.output * p.columns.output, filters, false);
    let vectors = shape.blocks(filters)[0].vectors;
    let area = |(row, column): &(Segment, Segment)| row.len * column.len;
    let pixels: usize = rectangles.iter().map(area).sum();
    let pairs: usize = rectangles.iter().map(|r| area(r).div_ceil(ROWS)).sum();
    let (fours, eights) = (p.groups_of(n.group), p.groups_of(GROUP));
    // Besides products, the rows of pairs are brought together, and their results are taken apart.
    let of_pair = ROWS * vectors * eights + eights + ROWS * vectors;
    let today = pixels * vectors * fours;
    (pairs * of_pair < today - today / MARGIN).then_some(shape)
}

/// Vectors of the channels of each pixel, from accumulators with the sums of two pixels and two channels.
pub fn by_pixel(k: &mut KernelBuilder, cells: &Cells, acc: &[Value], pixels: usize) -> (Cells, Vec<Value>) {
    let to = Cells { pixels, columns: cells.columns / ROWS, sets: 1 };
    let mut out = vec![acc[0]; to.pixels * to.columns];
    for (pair, j) in (0..cells.pixels).flat_map(|pair| (0..to.columns).map(move |j| (pair, j))) {
        let [low, high] = [0, 1].map(|half| {
            let sets: Vec<Value> = (0..cells.sets).map(|set| acc[cells.index(set, pair, ROWS * j + half)]).collect();
            let sum = sets.into_iter().reduce(|a, b| k.add(a, b)).expect("one set");
            k.bitcast(sum, Elem::I64.x(2))
        });
        let both = k.interleave(low, high);
        let both = k.bitcast(both, Elem::I32.x(8));
        for m in (0..ROWS).filter(|m| ROWS * pair + m < pixels) {
            out[to.index(0, ROWS * pair + m, j)] = k.slice(both, 4 * m, 4);
        }
    }
    (to, out)
}

impl Step<'_> {
    /// So many groups, of each of which the first `count` elements exist; `x`: displacements of the pixels.
    #[allow(clippy::too_many_arguments)]
    pub fn matrices(
        &self,
        k: &mut KernelBuilder,
        cells: &Cells,
        x: &[i64],
        acc: &mut [Value],
        set: usize,
        a: &Index,
        w: &Index,
        (groups, count): (usize, usize),
    ) {
        let vectors = cells.columns / ROWS;
        let weights = |k: &mut KernelBuilder, g: usize, j: usize| -> [Value; ROWS] {
            let w = w.clone() + g as i64 * self.w_group();
            let first = self.packed(k, &w, j, ROWS * GROUP);
            let second = self.w.at(w + ((ROWS * j + 1) * ROWS * GROUP) as i64);
            [first, k.load(self.spec.numbers.packed.x(ROWS * GROUP), second)]
        };
        let mut update = |k: &mut KernelBuilder, g: usize, pair: usize, j: usize, a: Value, b: [Value; ROWS]| {
            for (half, b) in b.into_iter().enumerate() {
                let cell = &mut acc[cells.index((set + g) % cells.sets, pair, ROWS * j + half)];
                *cell = k.dot_matrix(*cell, a, b);
            }
        };
        let all: Vec<(usize, usize)> = (0..groups).flat_map(|g| (0..vectors).map(move |j| (g, j))).collect();
        if cells.by_column() {
            let rows: Vec<Vec<Value>> = x.chunks(ROWS).map(|pair| self.rows(k, pair, a, (groups, count))).collect();
            for (g, j) in all {
                let b = weights(k, g, j);
                rows.iter().enumerate().for_each(|(pair, rows)| update(k, g, pair, j, rows[g], b));
            }
        } else {
            let b: Vec<[Value; ROWS]> = all.iter().map(|&(g, j)| weights(k, g, j)).collect();
            for (pair, d) in x.chunks(ROWS).enumerate() {
                let rows = self.rows(k, d, a, (groups, count));
                all.iter().zip(&b).for_each(|(&(g, j), &b)| update(k, g, pair, j, rows[g], b));
            }
        }
    }

    /// Two rows of activations for each group.
    fn rows(&self, k: &mut KernelBuilder, pair: &[i64], a: &Index, (groups, count): (usize, usize)) -> Vec<Value> {
        let n = &self.spec.numbers;
        let row = n.operand.x(GROUP);
        let places: Vec<_> = pair.iter().map(|d| self.x(a.clone() + *d)).collect();
        if groups == 1 {
            let loaded: Vec<Value> = match places.len() {
                1 => vec![k.load_splat_part(n.operand.x(ROWS * GROUP), GROUP, places[0].clone(), count)],
                _ => places.into_iter().map(|place| k.load_part(row, place, count)).collect(),
            };
            let v = loaded.into_iter().reduce(|a, b| k.concat(a, b)).expect("a pixel");
            return vec![self.flip.map_or(v, |flip| k.xor(v, flip))];
        }
        let block = n.operand.x(BLOCK * GROUP);
        let load = |k: &mut KernelBuilder, place| {
            let v = k.load(block, place);
            k.bitcast(v, Elem::I64.x(BLOCK))
        };
        let loaded: Vec<Value> = places.into_iter().map(|place| load(k, place)).collect();
        let both = k.interleave(loaded[0], loaded[loaded.len() - 1]);
        let both = k.bitcast(both, n.operand.x(ROWS * BLOCK * GROUP));
        (0..BLOCK).map(|g| k.slice(both, g * ROWS * GROUP, ROWS * GROUP)).collect()
    }
}
