//! The way along an output row: tiles of outputs, and the input columns that each of them needs.
//!
//! Not the arithmetic of a tile. The idea: columns outside the image are known when the kernel is made, so the first and the last tiles
//! stand by themselves and the loop between them has no borders; columns that the next tile needs again may stay in registers.

use cranelite_tile::{Index, KernelBuilder, Value};
use std::collections::BTreeMap;

/// One dimension of the convolution.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
}

/// A column of the input.
#[derive(Clone, Debug)]
pub enum Column {
    /// In registers: a value per row or group of rows.
    Values(Vec<Value>),
    /// In memory, at that index in its row.
    At(Index),
    /// Outside the image, and left out of the sums.
    Outside,
}

impl Column {
    /// Its values, if it is in registers.
    pub fn values(&self) -> &[Value] {
        if let Column::Values(v) = self { v } else { &[] }
    }
}

/// What a walk calls.
pub trait Visitor {
    /// The column at index `ix`, inside the image.
    fn column(&self, k: &mut KernelBuilder, ix: &Index) -> Column;
    /// A column outside the image.
    fn outside(&self, k: &mut KernelBuilder) -> Column;
    /// Computes and stores outputs `ox` to `ox + count`; `columns` are by distance from the first column of output `ox`.
    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>);
}

/// Visits all tiles of at most `tile` outputs, in order.
pub fn walk(k: &mut KernelBuilder, axis: Axis, tile: usize, keep: bool, v: &dyn Visitor) {
    Walk { axis, tile, keep, v, known: BTreeMap::new() }.all(k);
}

struct Walk<'a> {
    axis: Axis,
    tile: usize,
    keep: bool,
    v: &'a dyn Visitor,
    /// Columns in registers, by their index in the image.
    known: BTreeMap<i64, Column>,
}

impl Walk<'_> {
    fn all(&mut self, k: &mut KernelBuilder) {
        let whole = self.axis.output / self.tile;
        let first = (0..whole).find(|&t| self.is_inside(t)).unwrap_or(whole);
        let end = (first..whole).find(|&t| !self.is_inside(t)).unwrap_or(whole);
        // A loop of one or two tiles is not worth one.
        let (first, end) = if end - first < 3 { (whole, whole) } else { (first, end) };
        for t in 0..first {
            self.single(k, t * self.tile, self.tile);
        }
        if first < end {
            self.looped(k, first, end - first);
        }
        for t in end..whole {
            self.single(k, t * self.tile, self.tile);
        }
        if whole * self.tile < self.axis.output {
            self.single(k, whole * self.tile, self.axis.output - whole * self.tile);
        }
    }

    /// Index of the first column of an output.
    fn begin(&self, ox: usize) -> i64 {
        (ox * self.axis.stride) as i64 - self.axis.before as i64
    }

    /// Distances of the columns of so many outputs from the first, ascending.
    fn distances(&self, count: usize) -> Vec<usize> {
        let a = self.axis;
        let mut all: Vec<usize> = (0..count).flat_map(|o| (0..a.filter).map(move |f| o * a.stride + f * a.dilation)).collect();
        all.sort();
        all.dedup();
        all
    }

    fn is_inside(&self, tile: usize) -> bool {
        let (begin, last) = (self.begin(tile * self.tile), *self.distances(self.tile).last().expect("a filter has taps"));
        0 <= begin && begin + (last as i64) < self.axis.input as i64
    }

    fn single(&mut self, k: &mut KernelBuilder, ox: usize, count: usize) {
        let begin = self.begin(ox);
        let mut columns = BTreeMap::new();
        for d in self.distances(count) {
            let ix = begin + d as i64;
            let column = match self.known.get(&ix) {
                Some(c) => c.clone(),
                None if 0 <= ix && ix < self.axis.input as i64 => self.v.column(k, &ix.into()),
                None => self.v.outside(k),
            };
            columns.insert(d, column);
        }
        self.v.tile(k, &ox.into(), count, &columns);
        if self.keep {
            self.known = columns.into_iter().map(|(d, c)| (begin + d as i64, c)).collect();
        }
    }

    fn looped(&mut self, k: &mut KernelBuilder, first: usize, tiles: usize) {
        let advance = self.tile * self.axis.stride;
        let distances = self.distances(self.tile);
        // Columns that the tile before had further on.
        let kept: Vec<usize> = distances.iter().copied().filter(|d| self.keep && distances.contains(&(d + advance))).collect();
        let begin = self.begin(first * self.tile);
        let mut init = vec![];
        let mut widths = vec![];
        for &d in &kept {
            let ix = begin + d as i64;
            let column = self.known.get(&ix).cloned().unwrap_or_else(|| self.v.column(k, &ix.into()));
            widths.push(column.values().len());
            init.extend(column.values());
        }
        let (v, tile, stride) = (self.v, self.tile, self.axis.stride);
        let results = k.repeat("x", tiles * tile, tile as i64, &init, |k, x, carried| {
            let mut columns = BTreeMap::new();
            let mut rest = carried;
            for (&d, &width) in kept.iter().zip(&widths) {
                let (own, others) = rest.split_at(width);
                columns.insert(d, Column::Values(own.to_vec()));
                rest = others;
            }
            for &d in &distances {
                columns.entry(d).or_insert_with(|| v.column(k, &(x * stride as i64 + begin + d as i64)));
            }
            v.tile(k, &(x + first * tile), tile, &columns);
            kept.iter().flat_map(|d| columns[&(d + advance)].values().to_vec()).collect()
        });
        self.known.clear();
        let after = self.begin((first + tiles) * self.tile);
        let mut rest = results.as_slice();
        for (&d, &width) in kept.iter().zip(&widths) {
            let (own, others) = rest.split_at(width);
            self.known.insert(after + d as i64, Column::Values(own.to_vec()));
            rest = others;
        }
    }
}
