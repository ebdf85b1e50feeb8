//! The largest elements of rows, in order.
//!
//! Not a reduction. The idea: the result is a list that is in order all the time. Few elements get into it, so vectors are compared with the last
//! of the list, and only where one is larger its elements are looked at and put where they belong. Where the list is long, nearly all do, and moving what is
//! behind them takes most of the time: then each element is put where it belongs at once, which is how many are larger.

use super::channels::each_block;
use super::convert;
use super::copy::each;
use cranelite_tile::{Arg, Cond, Elem, Index, Kernel, KernelBuilder, Machine, Reduce, Value};

#[derive(Clone, Copy, Debug)]
pub struct Largest {
    pub elem: Elem,
    /// Of places.
    pub index: Elem,
    pub rows: usize,
    pub size: usize,
    /// How many of a row: one at least, and no more than there are.
    pub count: usize,
}

impl Largest {
    /// Whether [`Largest::ranked`] is faster: it compares all elements with all others, in vectors, and a list moves half of its elements for each of them,
    /// one by one, which takes about eight times as long.
    pub fn is_ranked(self, m: &Machine) -> bool {
        self.elem != Elem::I64 && 16 <= self.count && self.size * self.size / m.lanes(Elem::I32) <= 4 * self.count * self.count
    }

    /// As [`Largest::kernel`], by how many elements are larger. Its last argument is room for as many i32 as the list has elements.
    pub fn ranked(self, m: &Machine) -> Kernel {
        let mut k = KernelBuilder::new(format!("ranked_{}_{}_{}x{}", self.elem, self.index, self.size, self.count));
        let (x, y, places, taken) = (k.read("x"), k.write("y"), k.write("places"), k.read_write("taken"));
        let lanes = m.lanes(Elem::I32);
        each(&mut k, "row", self.rows, |k, row| {
            each_block(k, self.count, lanes, 4, |k, b| {
                let zero = k.int(Elem::I32.x(b.lanes), 0);
                b.store(k, taken.at(b.first.clone() * 4), zero);
            });
            let from = row.clone() * self.size as i64;
            let ranking = Ranking { of: self, x, lists: [y, places], taken, first: row * self.count as i64, lanes };
            let zero = k.int(self.index.x(1), 0);
            let whole = self.size / lanes * lanes;
            let next = k.repeat("block", whole, lanes as i64, &[zero], |k, block, number| {
                ranking.put(k, &from, block.into(), lanes, number[0]);
                let step = k.int(self.index.x(1), lanes as i64);
                vec![k.add(number[0], step)]
            })[0];
            if whole < self.size {
                ranking.put(k, &from, whole.into(), self.size - whole, next);
            }
        });
        k.finish()
    }

    /// Of elements, the largest ones, and their places.
    pub fn kernel(self, m: &Machine) -> Kernel {
        let mut k = KernelBuilder::new(format!("largest_{}_{}_{}x{}", self.elem, self.index, self.size, self.count));
        let (x, y, places) = (k.read("x"), k.read_write("y"), k.read_write("places"));
        let lists = [y, places];
        let lanes = m.lanes(self.elem);
        // What is read has been written.
        for (list, elem) in [(y, self.elem), (places, self.index)] {
            each_block(&mut k, self.rows * self.count * elem.bytes() as usize, m.lanes(Elem::U8), 4, |k, b| {
                let zero = k.int(Elem::U8.x(b.lanes), 0);
                b.store(k, list.at(b.first.clone()), zero);
            });
        }
        each(&mut k, "row", self.rows, |k, row| {
            let from = row.clone() * self.size as i64;
            let first = row * self.count as i64;
            let [zero, one] = [0, 1].map(|n| k.int(self.index.x(1), n));
            let next = k.repeat("i", self.count, 1, &[zero], |k, i, number| {
                let v = self.load(k, x, from.clone() + i);
                let last = self.put(k, lists, &first, i.into(), [v, number[0]]);
                self.store(k, lists, first.clone() + i, last);
                vec![k.add(number[0], one)]
            })[0];
            let rest = self.size - self.count;
            let whole = if lanes == 1 { 0 } else { rest / lanes * lanes };
            let next = k.repeat("block", whole, lanes as i64, &[next], |k, block, number| {
                let ty = self.elem.x(lanes);
                let v = k.load(ty, x.at(self.bytes(from.clone() + block + self.count)));
                let least = k.load_splat(ty, 1, y.at(self.bytes(first.clone() + (self.count - 1))));
                let is_larger = self.is_larger(k, v, least);
                let is_larger = k.reduce(Reduce::Max, is_larger);
                let any = k.clamped_index("any", is_larger, 0, 1);
                k.each("turn", any, 1, |k, _| {
                    k.repeat("lane", lanes, 1, &[number[0]], |k, lane, number| {
                        self.consider(k, x, lists, from.clone() + block + self.count + lane, &first, number[0]);
                        vec![k.add(number[0], one)]
                    });
                });
                let step = k.int(self.index.x(1), lanes as i64);
                vec![k.add(number[0], step)]
            })[0];
            k.repeat("i", rest - whole, 1, &[next], |k, i, number| {
                self.consider(k, x, lists, from.clone() + i + (self.count + whole), &first, number[0]);
                vec![k.add(number[0], one)]
            });
        });
        k.finish()
    }

    fn bytes(self, i: Index) -> Index {
        i * i64::from(self.elem.bytes())
    }
    fn load(self, k: &mut KernelBuilder, from: Arg, i: Index) -> Value {
        k.load(self.elem.x(1), from.at(self.bytes(i)))
    }
    fn store(self, k: &mut KernelBuilder, [y, places]: [Arg; 2], i: Index, [v, place]: [Value; 2]) {
        k.store(y.at(self.bytes(i.clone())), v);
        k.store(places.at(i * i64::from(self.index.bytes())), place);
    }

    /// As bytes 0 and 1. Everything is larger than NaN, but NaN.
    fn is_larger(self, k: &mut KernelBuilder, v: Value, than: Value) -> Value {
        let is_larger = k.compare(Cond::Gt, v, than);
        let is_larger = convert::truth(k, is_larger);
        if !self.elem.is_float() {
            return is_larger;
        }
        let (is_number, is_nan) = (k.compare(Cond::Eq, v, v), k.compare(Cond::Ne, than, than));
        let both = k.and(is_number, is_nan);
        let both = convert::truth(k, both);
        k.or(is_larger, both)
    }

    /// Puts an element into a full list if it is larger than the last one.
    fn consider(self, k: &mut KernelBuilder, x: Arg, lists: [Arg; 2], at: Index, first: &Index, place: Value) {
        let v = self.load(k, x, at);
        let least = self.load(k, lists[0], first.clone() + (self.count - 1));
        let is_larger = self.is_larger(k, v, least);
        let turns = k.clamped_index("larger", is_larger, 0, 1);
        k.each("put", turns, 1, |k, _| {
            self.put(k, lists, first, self.count.into(), [v, place]);
        });
    }

    /// Puts an element and its place where they belong in a list of so many; what falls off its end.
    fn put(self, k: &mut KernelBuilder, lists: [Arg; 2], first: &Index, count: Index, item: [Value; 2]) -> [Value; 2] {
        let none = k.int(Elem::U8.x(1), 0);
        let last = k.repeat("j", count, 1, &[item[0], item[1], none], |k, j, carried| {
            let at = first.clone() + j;
            let there = self.load(k, lists[0], at.clone());
            let there_place = k.load(self.index.x(1), lists[1].at(at.clone() * i64::from(self.index.bytes())));
            // What is behind the new one moves on, whatever it is.
            let is_larger = self.is_larger(k, carried[0], there);
            let moves = k.or(is_larger, carried[2]);
            let (mask, index_mask) = (convert::mask(k, moves, self.elem), convert::mask(k, moves, self.index));
            let here = [k.select(mask, carried[0], there), k.select(index_mask, carried[1], there_place)];
            let next = [k.select(mask, there, carried[0]), k.select(index_mask, there_place, carried[1])];
            self.store(k, lists, at, here);
            vec![next[0], next[1], moves]
        });
        [last[0], last[1]]
    }
}

/// A row whose elements are put where they belong.
struct Ranking {
    of: Largest,
    x: Arg,
    lists: [Arg; 2],
    /// How many elements have been put for each rank, of which equal ones have the same.
    taken: Arg,
    /// Of the list.
    first: Index,
    lanes: usize,
}

impl Ranking {
    /// Elements as f32 or i32.
    fn wide(&self, k: &mut KernelBuilder, v: Value) -> Value {
        if self.of.elem.is_float() || self.of.elem == Elem::I32 { v } else { k.widen(v, Elem::I32) }
    }

    /// Some elements next to each other, the first of which has the number.
    fn put(&self, k: &mut KernelBuilder, from: &Index, block: Index, count: usize, number: Value) {
        let of = self.of;
        let (ty, ranks) = (of.elem.x(self.lanes), Elem::I32.x(self.lanes));
        let raw = k.load_part(ty, self.x.at(of.bytes(from.clone() + block)), count);
        let own = self.wide(k, raw);
        let is_nan = of.elem.is_float().then(|| k.compare(Cond::Ne, own, own));
        let [zeros, ones] = [0, 1].map(|n| k.int(ranks, n));
        let rank = k.repeat("j", of.size, 1, &[zeros], |k, j, rank| {
            let other = k.load_splat(ty, 1, self.x.at(of.bytes(from.clone() + j)));
            let other = self.wide(k, other);
            let mut is_larger = k.compare(Cond::Gt, other, own);
            if let Some(is_nan) = is_nan {
                let is_number = k.compare(Cond::Eq, other, other);
                let both = k.and(is_number, is_nan);
                is_larger = k.or(is_larger, both);
            }
            let more = k.select(is_larger, ones, zeros);
            vec![k.add(rank[0], more)]
        })[0];
        let end = k.int(Elem::I32.x(1), of.count as i64);
        for lane in 0..count {
            let at = |k: &mut KernelBuilder, v: Value| if self.lanes == 1 { v } else { k.lane(v, lane) };
            let (rank, v) = (at(k, rank), at(k, raw));
            let offset = k.int(of.index.x(1), lane as i64);
            let place = k.add(number, offset);
            // Within the list, and still where equal ones are before it.
            let left = k.sub(end, rank);
            let turns = k.clamped_index("ranks", left, 0, 1);
            k.each("rank", turns, 1, |k, _| {
                let rank = k.clamped_index("rank", rank, 0, of.count as i64 - 1);
                let before = k.load(Elem::I32.x(1), self.taken.at(rank * 4));
                let one = k.int(Elem::I32.x(1), 1);
                let more = k.add(before, one);
                k.store(self.taken.at(rank * 4), more);
                let left = k.sub(left, before);
                let turns = k.clamped_index("puts", left, 0, 1);
                k.each("put", turns, 1, |k, _| {
                    let slot = k.sub(end, left);
                    let slot = k.clamped_index("slot", slot, 0, of.count as i64 - 1);
                    of.store(k, self.lists, self.first.clone() + slot, [v, place]);
                });
            });
        }
    }
}
