//! The largest of some numbers, and where they stand: the first of them, or several in order.
//!
//! Not a reduction of an operator's: a fragment for kernels that choose again and again, such as the suppression of boxes. The ideas: each lane
//! keeps its best number and the place of it; only at the end lanes are compared, and of equal ones the first place wins. Of several, a heap has
//! those that are the best so far, the worst on top, as in the partial sort of GNU's C++ library, step by step: it decides in which order equal
//! numbers are, and whoever wants the same order has to take the same steps. A queue is a heap with the best on top, as that library's.

use cranelite_tile::{Arg, Cond, Counter, Elem, Index, KernelBuilder, Machine, Reduce, Type, Value};

/// So many f32, of which so many are looked at at once.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub count: usize,
    pub lanes: usize,
}

impl Numbers {
    /// At least one of them.
    pub fn new(m: &Machine, count: usize) -> Self {
        Numbers { count, lanes: m.lanes(Elem::F32).min(1 << count.ilog2()) }
    }

    /// What `places` must be in [`Numbers::best`].
    pub fn places(m: &Machine) -> Vec<i32> {
        (0..m.lanes(Elem::F32) as i32).collect()
    }

    /// The best number and its place, as scalars: negative infinity and 0 if there is none above that. `load` gives those from a place on, and
    /// is asked for some of them twice. `more`: a counter of 0 or 1; where it is 0, most of the numbers are not looked at.
    pub fn best(
        self,
        k: &mut KernelBuilder,
        places: Arg,
        more: Option<Counter>,
        load: impl Fn(&mut KernelBuilder, Index) -> Value,
    ) -> (Value, Value) {
        let Numbers { count, lanes } = self;
        let ty = Elem::I32.x(lanes);
        let better = |k: &mut KernelBuilder, first: Index, [best, place, here]: [Value; 3]| {
            let next = load(k, first);
            let is_better = k.compare(Cond::Gt, next, best);
            [k.select(is_better, next, best), k.select(is_better, here, place)]
        };
        let lowest = k.float(Elem::F32.x(lanes), f32::NEG_INFINITY);
        let first = k.load(ty, places.at(0));
        let whole = (count / lanes) as i64;
        let turns = more.map_or(Index::from(whole), |more| more * whole);
        let found = k.repeat("n", turns, 1, &[lowest, first, first], |k, n, v| {
            let [best, place] = better(k, n * lanes as i64, [v[0], v[1], v[2]]);
            let step = k.int(ty, lanes as i64);
            vec![best, place, k.add(v[2], step)]
        });
        let (mut best, mut place) = (found[0], found[1]);
        if count % lanes != 0 {
            let start = k.int(ty, (count - lanes) as i64);
            let here = k.add(first, start);
            [best, place] = better(k, (count - lanes).into(), [best, place, here]);
        }
        if lanes == 1 {
            return (best, place);
        }
        let highest = k.reduce(Reduce::Max, best);
        let all = k.splat(highest, lanes);
        let is_highest = k.compare(Cond::Eq, best, all);
        let none = k.int(ty, i64::from(i32::MAX));
        let place = k.select(is_highest, place, none);
        (highest, k.reduce(Reduce::Min, place))
    }
}

const INT: Type = Type { elem: Elem::I32, lanes: 1 };

/// The places of the best of some numbers in memory, in order.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// So many f32, one at least.
    pub numbers: Arg,
    pub count: usize,
    /// So many i32 that are read and written; not more than there are numbers.
    pub places: Arg,
    pub most: usize,
    pub first: First,
}

/// What is on top of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Worst,
    Best,
}

impl Heap {
    /// Fills in the places, that of the largest number first.
    pub fn sort(self, k: &mut KernelBuilder) {
        let Heap { count, places, most, .. } = self;
        let [zero, one] = [0, 1].map(|n| k.int(INT, n));
        k.repeat("i", most, 1, &[zero], |k, i, v| {
            k.store(places.at(i * 4), v[0]);
            vec![k.add(v[0], one)]
        });
        let all = k.int(INT, most as i64);
        let last_parent = k.int(INT, most as i64 / 2 - 1);
        k.repeat("parent", most / 2, 1, &[last_parent], |k, _, v| {
            let place = self.at(k, v[0]);
            self.put(k, v[0], all, place);
            vec![k.sub(v[0], one)]
        });
        k.repeat("next", count - most, 1, &[all], |k, next, v| {
            let worst = self.at(k, zero);
            let (worst, number) = (self.number(k, worst), k.load(Elem::F32.x(1), self.numbers.at((next + most) * 4)));
            let is_better = k.compare(Cond::Gt, number, worst);
            let is_better = k.select(is_better, one, zero);
            let turns = k.clamped_index("better", is_better, 0, 1);
            k.each("put", turns, 1, |k, _| self.put(k, zero, all, v[0]));
            vec![k.add(v[0], one)]
        });
        let last = k.int(INT, most as i64 - 1);
        k.repeat("sorted", most - 1, 1, &[last], |k, _, v| {
            let (place, worst) = (self.at(k, v[0]), self.at(k, zero));
            let end = self.index(k, v[0]);
            k.store(places.at(end * 4), worst);
            self.put(k, zero, v[0], place);
            vec![k.sub(v[0], one)]
        });
    }

    /// Adds a place to a heap of `size` items.
    pub fn push(self, k: &mut KernelBuilder, size: Value, place: Value) {
        let top = k.int(INT, 0);
        self.rise(k, size, top, place);
    }

    /// The place on top of a heap of `size` items, of which it is no longer one; garbage if there is none.
    pub fn pop(self, k: &mut KernelBuilder, size: Value) -> Value {
        let [zero, one] = [0, 1].map(|n| k.int(INT, n));
        let (top, left) = (self.at(k, zero), k.sub(size, one));
        let last = self.at(k, left);
        self.put(k, zero, left, last);
        top
    }

    /// Puts a place into the heap's first `size` items where `hole` is free: down to a leaf, then up to where it belongs.
    fn put(self, k: &mut KernelBuilder, hole: Value, size: Value, place: Value) {
        let one = k.int(INT, 1);
        let top = hole;
        let hole = k.repeat("down", self.depth(), 1, &[hole], |k, _, v| {
            let double = k.add(v[0], v[0]);
            let left = k.add(double, one);
            let right = k.add(left, one);
            let (left_place, right_place) = (self.at(k, left), self.at(k, right));
            let (left_number, right_number) = (self.number(k, left_place), self.number(k, right_place));
            let (has_left, has_no_right) = (k.compare(Cond::Lt, left, size), k.compare(Cond::Ge, right, size));
            let is_left = self.is_below(k, right_number, left_number);
            let is_left = k.or(is_left, has_no_right);
            let (child, moved) = (k.select(is_left, left, right), k.select(is_left, left_place, right_place));
            self.store_if(k, has_left, v[0], moved);
            vec![k.select(has_left, child, v[0])]
        })[0];
        self.rise(k, hole, top, place);
    }

    /// Puts a place where `hole` is free, or above, no higher than `top`.
    fn rise(self, k: &mut KernelBuilder, hole: Value, top: Value, place: Value) {
        let (one, number) = (k.int(INT, 1), self.number(k, place));
        let hole = k.repeat("up", self.depth(), 1, &[hole], |k, _, v| {
            let before = k.sub(v[0], one);
            let parent = k.shr_imm(before, 1);
            let parent_place = self.at(k, parent);
            let parent_number = self.number(k, parent_place);
            let (is_below, is_better) = (k.compare(Cond::Gt, v[0], top), self.is_below(k, parent_number, number));
            let moves = k.and(is_below, is_better);
            self.store_if(k, moves, v[0], parent_place);
            vec![k.select(moves, parent, v[0])]
        })[0];
        let hole = self.index(k, hole);
        k.store(self.places.at(hole * 4), place);
    }

    fn depth(self) -> usize {
        self.most.ilog2() as usize + 1
    }
    fn is_below(self, k: &mut KernelBuilder, a: Value, b: Value) -> Value {
        k.compare(if self.first == First::Best { Cond::Lt } else { Cond::Gt }, a, b)
    }
    fn index(self, k: &mut KernelBuilder, item: Value) -> Counter {
        k.clamped_index("item", item, 0, self.most as i64 - 1)
    }
    /// An item of the heap.
    fn at(self, k: &mut KernelBuilder, item: Value) -> Value {
        let item = self.index(k, item);
        k.load(INT, self.places.at(item * 4))
    }
    fn number(self, k: &mut KernelBuilder, place: Value) -> Value {
        let place = k.clamped_index("place", place, 0, self.count as i64 - 1);
        k.load(Elem::F32.x(1), self.numbers.at(place * 4))
    }
    fn store_if(self, k: &mut KernelBuilder, condition: Value, item: Value, place: Value) {
        let old = self.at(k, item);
        let new = k.select(condition, place, old);
        let item = self.index(k, item);
        k.store(self.places.at(item * 4), new);
    }
}
