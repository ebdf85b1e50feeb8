//! Exact search for a placement below a capacity.
//!
//! Not an optimiser: it answers yes, no, or that its nodes are used up. The idea: in a placement where nothing can be lowered every item stands on
//! the ground or on another, so items are placed from below to above, each as low as what is under it allows. A branch is cut
//! when some section of time cannot hold what is still to come, or when something else would have fitted wholly under what was
//! placed. Where no unplaced item crosses from one section to the next, what is before and after are separate problems.
//! (Moffitt, "MiniMalloc", ASPLOS 2023, searches in the same space.)
//!
//! Luck plays a large part: an unlucky order takes for ever where another takes a thousand steps. So there are many short attempts,
//! in orders of several kinds, with ever more nodes.

use super::place::Item;

pub enum Outcome {
    /// Offsets by item.
    Found(Vec<u64>),
    Impossible,
    GaveUp,
}

/// Which of several items that could be placed at one height comes first: the one with the greatest product of powers.
struct Taste {
    /// Of the largest sum of heights in a section that the item crosses.
    crowd: u64,
    duration: u64,
    height: u64,
    neighbours: u64,
    /// A random factor up to two to this, in 65536ths, after the first attempt.
    whim: u64,
}

const TASTES: [Taste; 6] = [
    Taste { crowd: 0, duration: 1, height: 1, neighbours: 0, whim: 20_000 },
    Taste { crowd: 1, duration: 1, height: 1, neighbours: 0, whim: 20_000 },
    Taste { crowd: 64, duration: 1, height: 0, neighbours: 0, whim: 20_000 },
    Taste { crowd: 64, duration: 0, height: 0, neighbours: 1, whim: 20_000 },
    Taste { crowd: 2, duration: 1, height: 0, neighbours: 1, whim: 150_000 },
    Taste { crowd: 2, duration: 1, height: 1, neighbours: 1, whim: 150_000 },
];

/// The outcome and how many nodes were looked at.
pub fn search(items: &[Item], capacity: u64, node_limit: u64) -> (Outcome, u64) {
    // Even the luckiest attempt needs a node for each item.
    let (mut used, mut budget, mut seed) = (0, (2 * items.len() as u64).max(1000), 1);
    for attempt in 0.. {
        for taste in &TASTES {
            let nodes = budget.min(node_limit - used);
            let mut search = Search::new(items, capacity, nodes);
            search.rank(|item, crowd| {
                let whim = if attempt == 0 { 0 } else { random(&mut seed) % taste.whim };
                let (duration, neighbours) = ((item.last() - item.first() + 1) as u64, item.neighbours.len() as u64 + 1);
                taste.crowd * log2(crowd)
                    + taste.duration * log2(duration)
                    + taste.height * log2(item.tallest)
                    + taste.neighbours * log2(neighbours)
                    + whim
            });
            let result = search.solve(&search.all(), (0, 0));
            used += nodes - search.nodes_left;
            match result {
                Some(true) => return (Outcome::Found(search.offsets), used),
                Some(false) => return (Outcome::Impossible, used),
                None if used < node_limit => {}
                None => return (Outcome::GaveUp, used),
            }
        }
        budget += budget / 10;
    }
    unreachable!("the attempts have no end")
}

/// In 65536ths, linear between powers of two: rising is all that matters, and being the same everywhere.
fn log2(v: u64) -> u64 {
    let v = u128::from(v.max(1));
    let whole = v.ilog2();
    (u128::from(whole) << 16) as u64 + (((v - (1 << whole)) << 16) >> whole) as u64
}

/// A linear congruential generator's upper bits.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

struct Search<'i> {
    items: &'i [Item],
    capacity: u64,
    nodes_left: u64,
    /// By item: its turn among those at one offset.
    rank: Vec<usize>,
    /// By item: as low as the placed items allow; of a placed one, its offset.
    offsets: Vec<u64>,
    is_placed: Vec<bool>,
    placed: Vec<usize>,
    /// Offsets as they were, to go back.
    trail: Vec<(usize, u64)>,
    /// By section: sum of the heights that are still to come.
    to_come: Vec<u64>,
    /// By section: how low what is still to come can begin.
    bottom: Vec<u64>,
}

impl<'i> Search<'i> {
    fn new(items: &'i [Item], capacity: u64, nodes_left: u64) -> Self {
        let sections = items.iter().map(|i| i.last() + 1).max().unwrap_or(0);
        let mut to_come = vec![0; sections];
        for &(first, last, height) in items.iter().flat_map(|i| &i.spans) {
            to_come[first..=last].iter_mut().for_each(|s| *s += height);
        }
        Search {
            items,
            capacity,
            nodes_left,
            rank: vec![0; items.len()],
            offsets: vec![0; items.len()],
            is_placed: vec![false; items.len()],
            placed: vec![],
            trail: vec![],
            to_come,
            bottom: vec![0; sections],
        }
    }

    /// The greatest weight of (item, its crowd) is first.
    fn rank(&mut self, mut weight: impl FnMut(&Item, u64) -> u64) {
        let crowd = |i: &Item| self.to_come[i.first()..=i.last()].iter().copied().max().unwrap_or(0);
        let mut order: Vec<(std::cmp::Reverse<u64>, usize)> =
            self.items.iter().enumerate().map(|(n, i)| (std::cmp::Reverse(weight(i, crowd(i))), n)).collect();
        order.sort_unstable();
        order.iter().enumerate().for_each(|(turn, &(_, i))| self.rank[i] = turn);
    }

    /// Sorted by first section.
    fn all(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.items.len()).collect();
        all.sort_by_key(|&i| self.items[i].first());
        all
    }

    /// Places `todo` (sorted by first section), none before `after` = (offset, rank). False when that cannot be, none when out of nodes;
    /// then some of it may be placed.
    fn solve(&mut self, mut todo: &[usize], after: (u64, usize)) -> Option<bool> {
        loop {
            if todo.is_empty() {
                return Some(true);
            }
            self.nodes_left = self.nodes_left.checked_sub(1)?;
            let (part, rest) = self.split(todo);
            if rest.is_empty() {
                break;
            }
            if !self.solve(part, after)? {
                return Some(false);
            }
            todo = rest;
        }
        let Some(limit) = self.limit(todo, after) else { return Some(false) };
        let mut candidates: Vec<(u64, usize, usize)> = todo.iter().map(|&i| (self.offsets[i], self.rank[i], i)).collect();
        candidates.retain(|&(offset, rank, _)| after <= (offset, rank) && offset < limit);
        candidates.sort_unstable();
        let mut rest = Vec::with_capacity(todo.len());
        for (offset, rank, i) in candidates {
            let (placed, trail) = (self.placed.len(), self.trail.len());
            self.put(i);
            rest.clear();
            rest.extend(todo.iter().copied().filter(|&j| j != i));
            if self.solve(&rest, (offset, rank))? {
                return Some(true);
            }
            self.back(placed, trail);
        }
        Some(false)
    }

    /// The items up to the first moment that none crosses, and those after it.
    fn split<'t>(&self, todo: &'t [usize]) -> (&'t [usize], &'t [usize]) {
        let mut end = self.items[todo[0]].last();
        for (n, &i) in todo.iter().enumerate() {
            if end < self.items[i].first() {
                return todo.split_at(n);
            }
            end = end.max(self.items[i].last());
        }
        (todo, &[])
    }

    /// Nothing needs to be placed as high as this, because something else would fit wholly under it. None if `todo` does not fit.
    fn limit(&mut self, todo: &[usize], after: (u64, usize)) -> Option<u64> {
        let end = todo.iter().map(|&i| self.items[i].last()).max()?;
        let sections = self.items[todo[0]].first()..=end;
        self.bottom[sections.clone()].fill(u64::MAX);
        let mut limit = u64::MAX;
        for &i in todo {
            let (item, at) = (&self.items[i], self.offsets[i]);
            limit = limit.min(at + item.tallest);
            let at = if after <= (at, self.rank[i]) {
                at
            } else {
                // Its turn is over, unless something comes under it.
                let under = item.neighbours.iter().filter(|n| !self.is_placed[n.item]);
                under.map(|n| self.offsets[n.item].max(after.0) + n.below).min()?
            };
            if self.capacity < at + item.tallest {
                return None;
            }
            for &(first, last, _) in &item.spans {
                self.bottom[first..=last].iter_mut().for_each(|b| *b = at.min(*b));
            }
        }
        let mut fits = sections.map(|s| self.bottom[s].saturating_add(self.to_come[s]) <= self.capacity || self.to_come[s] == 0);
        fits.all(|f| f).then_some(limit)
    }

    fn put(&mut self, i: usize) {
        let item = &self.items[i];
        self.is_placed[i] = true;
        self.placed.push(i);
        for &(first, last, height) in &item.spans {
            self.to_come[first..=last].iter_mut().for_each(|s| *s -= height);
        }
        for n in &item.neighbours {
            let at = (self.offsets[i] + n.above).next_multiple_of(self.items[n.item].align);
            if !self.is_placed[n.item] && self.offsets[n.item] < at {
                self.trail.push((n.item, self.offsets[n.item]));
                self.offsets[n.item] = at;
            }
        }
    }

    /// Undoes all since there were so many placed and so many changed.
    fn back(&mut self, placed: usize, trail: usize) {
        for i in self.placed.drain(placed..) {
            self.is_placed[i] = false;
            for &(first, last, height) in &self.items[i].spans {
                self.to_come[first..=last].iter_mut().for_each(|s| *s += height);
            }
        }
        for (i, offset) in self.trail.drain(trail..).rev() {
            self.offsets[i] = offset;
        }
    }
}
