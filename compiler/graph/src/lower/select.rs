//! The largest of some numbers, and where the first that is as large stands.
//!
//! Not a reduction of an operator's: a fragment for kernels that choose again and again, such as the suppression of boxes. The idea: each lane
//! keeps its best number and the place of it; only at the end lanes are compared, and of equal ones the first place wins.

use cranelite_tile::{Arg, Cond, Counter, Elem, Index, KernelBuilder, Machine, Reduce, Value};

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
