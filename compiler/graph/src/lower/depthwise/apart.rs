//! Integers where products of two operands half as long as the sum are cheap, and dot products of neighbours are not.
//!
//! Not the way along a row (`walk.rs`) nor the tables. The idea: a vector has as many channels of one tap as 16 bits of each fill a register, and needs no
//! shuffling, since taps of a channel need not lie beside each other. Of bytes the products of two taps are summed in 16 bits, and those sums in 32: SMULL,
//! SMLAL, and two SADDW for both taps; of 16 bits each product is added to a sum of 32 (SMLAL). The taps of two rows are taken together, so that those that are
//! left at the ends of both make a pair.

use super::pack::Product;
use super::stencil::{Channels, Site};
use super::walk::{Column, Visitor};
use cranelite_tile::{Elem, Index, KernelBuilder, Value};
use std::collections::BTreeMap;

/// A tap of the filter: row and column.
type Tap = [usize; 2];

pub struct Apart<'a> {
    pub site: &'a Site<'a>,
    pub product: Product,
    pub c: Channels,
}

/// All taps, each with the one that is summed with it.
fn pairs([height, width]: [usize; 2]) -> Vec<Vec<Tap>> {
    let mut all = vec![];
    for first in (0..height).step_by(2) {
        let rows = first..height.min(first + 2);
        let whole = width / 2 * 2;
        for row in rows.clone() {
            all.extend((0..whole).step_by(2).map(|kx| vec![[row, kx], [row, kx + 1]]));
        }
        if whole < width {
            all.push(rows.map(|row| [row, whole]).collect());
        }
    }
    all
}

impl Visitor for Apart<'_> {
    fn column(&self, _: &mut KernelBuilder, ix: &Index) -> Column {
        Column::At(ix.clone())
    }

    fn outside(&self, _: &mut KernelBuilder) -> Column {
        Column::Outside
    }

    fn tile(&self, k: &mut KernelBuilder, ox: &Index, count: usize, columns: &BTreeMap<usize, Column>) {
        let (g, p) = (&self.site.geometry(), self.product);
        let mut sums: Vec<Value> = (0..count).map(|_| self.site.start(k, &self.c)).collect();
        let mut loaded: BTreeMap<(usize, usize), Value> = BTreeMap::new();
        for pair in pairs(g.filter) {
            let weights: Vec<Value> = pair
                .iter()
                .map(|[ky, kx]| {
                    let w = self.site.weight(k, p.weight, 1, (ky * g.filter[1] + kx, g.taps()), &self.c);
                    self.widened(k, w)
                })
                .collect();
            for (i, sum) in sums.iter_mut().enumerate() {
                let mut both = None;
                for ([ky, kx], w) in pair.iter().zip(&weights) {
                    let d = i * g.stride[1] + kx * g.dilation[1];
                    let column = &columns[&d];
                    if p.zero == 0 && matches!(column, Column::Outside) {
                        continue;
                    }
                    let x = *loaded.entry((*ky, d)).or_insert_with(|| self.element(k, *ky, column));
                    if p.input == Elem::I16 {
                        *sum = k.dot(1, *sum, x, *w);
                    } else {
                        let product = k.mul(x, *w);
                        both = Some(both.map_or(product, |one| k.add(one, product)));
                    }
                }
                if let Some(both) = both {
                    let both = k.widen(both, Elem::I32);
                    *sum = k.add(*sum, both);
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            self.site.store(k, sum, 0, ox.clone() + i, &self.c);
        }
    }
}

impl Apart<'_> {
    /// The channels of a pixel; outside of the image they are what stands for zero.
    fn element(&self, k: &mut KernelBuilder, row: usize, column: &Column) -> Value {
        let v = match column {
            Column::At(ix) => {
                let v = self.site.load(k, row, ix, &self.c);
                self.product.operand(k, v)
            }
            _ => k.int(self.product.input.x(self.site.lanes()), self.product.zero.into()),
        };
        self.widened(k, v)
    }

    /// An operand, as long as its products.
    fn widened(&self, k: &mut KernelBuilder, v: Value) -> Value {
        if self.product.input == Elem::I16 { v } else { k.widen(v, Elem::I16) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tap_is_in_one_pair() {
        for filter in [[1, 1], [3, 3], [1, 4], [5, 2], [2, 7], [4, 5]] {
            let all: Vec<Tap> = pairs(filter).concat();
            let mut sorted = all.clone();
            sorted.sort();
            let taps: Vec<Tap> = (0..filter[0]).flat_map(|y| (0..filter[1]).map(move |x| [y, x])).collect();
            assert_eq!(sorted, taps);
            assert!(pairs(filter).iter().all(|p| p.len() <= 2));
            assert_eq!(pairs(filter).len(), all.len().div_ceil(2), "{filter:?}");
        }
    }
}
