//! Places items in the order in which they begin, each in the smallest hole that holds it.
//!
//! Not the best placement, but one in time that grows with the number of items, however many live at the same time.

use super::place::Item;
use std::collections::{BTreeMap, BTreeSet};

/// Holes that are large enough, but may not be when the alignment is counted.
const TRIES: usize = 8;

#[derive(Default)]
struct Holes {
    by_start: BTreeMap<u64, u64>,
    by_size: BTreeSet<(u64, u64)>,
    /// From here on everything is free.
    top: u64,
}

/// Offsets by item.
pub fn place(items: &[Item]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| (items[i].first(), std::cmp::Reverse(items[i].tallest)));
    let (mut holes, mut ends) = (Holes::default(), BTreeSet::new());
    let mut offsets = vec![0; items.len()];
    for i in order {
        let item = &items[i];
        while let Some(&(last, ended)) = ends.first().filter(|e: &&(usize, usize)| e.0 < item.first()) {
            ends.remove(&(last, ended));
            holes.give(offsets[ended], items[ended].tallest);
        }
        offsets[i] = holes.take(item.tallest, item.align);
        ends.insert((item.last(), i));
    }
    offsets
}

impl Holes {
    fn take(&mut self, size: u64, align: u64) -> u64 {
        let fits = |&&(hole, start): &&(u64, u64)| start.next_multiple_of(align) + size <= start + hole;
        if let Some(&(hole, start)) = self.by_size.range((size, 0)..).take(TRIES).find(fits) {
            self.remove(start, hole);
            let at = start.next_multiple_of(align);
            self.add(start, at - start);
            self.add(at + size, start + hole - at - size);
            return at;
        }
        let at = self.top.next_multiple_of(align);
        self.add(self.top, at - self.top);
        self.top = at + size;
        at
    }

    fn give(&mut self, mut start: u64, mut size: u64) {
        if let Some((&before, &hole)) = self.by_start.range(..start).next_back().filter(|(s, hole)| **s + **hole == start) {
            self.remove(before, hole);
            (start, size) = (before, size + hole);
        }
        if let Some(&hole) = self.by_start.get(&(start + size)) {
            self.remove(start + size, hole);
            size += hole;
        }
        if start + size == self.top {
            self.top = start;
        } else {
            self.add(start, size);
        }
    }

    fn add(&mut self, start: u64, size: u64) {
        if 0 < size {
            self.by_start.insert(start, size);
            self.by_size.insert((size, start));
        }
    }

    fn remove(&mut self, start: u64, size: u64) {
        self.by_start.remove(&start);
        self.by_size.remove(&(size, start));
    }
}
