//! Where intervals of time and size go: pure geometry.
//!
//! Not programs. The idea: pack rectangles, each fixed in time and free in address, into the least height. Greedy placements come first; when the best
//! of them is above the bound that no placement can beat, a search (`search.rs`) closes the gap or proves that it cannot. Where too many live
//! at the same time for each to know the others, they are placed in the order in which they begin, in holes that others have left (`holes.rs`).

use super::holes;
use super::search::{self, Outcome};

/// More items are not searched.
const SEARCH_LIMIT: usize = 4000;
/// Items for which the search may look at all its nodes; they take the longer the more items there are.
const SEARCH_WHOLE: u64 = 1000;
/// Stack of the search, which descends for each item.
const STACK_BYTES: (usize, usize) = (128 << 10, 1 << 10);
/// Pairs of items that live at the same time: so many, and so many more for each item.
const PAIRS_LIMIT: (usize, usize) = (200_000, 16);

/// Bytes that are needed from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub size_bytes: u64,
    /// Power of two.
    pub align: u64,
    /// First and last moment, both inclusive.
    pub first: usize,
    pub last: usize,
    /// Takes the place of that interval, whose last moment is this one's first: both then begin at the same byte. No two take the same place.
    pub in_place_of: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// By interval.
    pub offsets_bytes: Vec<u64>,
    pub size_bytes: u64,
    /// The largest sum of bytes that are needed at one moment, each rounded up to the smallest alignment.
    pub lower_bound_bytes: u64,
    /// No placement of these intervals is smaller.
    pub optimal: bool,
}

/// Intervals that share a place, as one shape over sections of time in which nothing begins.
#[derive(Debug)]
pub(super) struct Item {
    pub align: u64,
    pub members: Vec<usize>,
    /// (first section, last section, height), without gaps.
    pub spans: Vec<(usize, usize, u64)>,
    pub tallest: u64,
    /// Those that live at the same time.
    pub neighbours: Vec<Neighbour>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub item: usize,
    /// How far above this item it must begin, if it is above.
    pub above: u64,
    /// And how far below, if it is below.
    pub below: u64,
}

impl Item {
    pub fn first(&self) -> usize {
        self.spans[0].0
    }
    pub fn last(&self) -> usize {
        self.spans[self.spans.len() - 1].1
    }
    fn area(&self) -> u128 {
        self.spans.iter().map(|&(first, last, height)| (last - first + 1) as u128 * u128::from(height)).sum()
    }
}

/// Places all intervals; the search looks at no more than `node_limit` partial placements.
pub fn place(intervals: &[Interval], node_limit: u64) -> Placement {
    let Some(unit) = intervals.iter().map(|i| i.align).min() else {
        return Placement { offsets_bytes: vec![], size_bytes: 0, lower_bound_bytes: 0, optimal: true };
    };
    let mut items = chains(intervals, unit);
    let lower_bound_bytes = lower_bound(&items);
    let is_crowded = !meet(&mut items);
    let mut best = if is_crowded { holes::place(&items) } else { greedy(&items, lower_bound_bytes) };
    let mut size_bytes = height(&items, &best);
    let is_searched = !is_crowded && items.len() <= SEARCH_LIMIT;
    let mut nodes_left = if is_searched { node_limit * SEARCH_WHOLE / SEARCH_WHOLE.max(items.len() as u64) } else { 0 };
    // The bound first, which can nearly always be reached; then halve what is between the last failure and the best.
    let (mut failed, mut proved, mut target) = (lower_bound_bytes.saturating_sub(unit), true, lower_bound_bytes);
    while failed + unit < size_bytes && 0 < nodes_left {
        let (outcome, nodes) = searched(&items, target, nodes_left.div_ceil(2));
        nodes_left = nodes_left.saturating_sub(nodes);
        match outcome {
            Outcome::Found(offsets) => {
                size_bytes = height(&items, &offsets);
                best = offsets;
            }
            Outcome::Impossible => (failed, proved) = (target, true),
            Outcome::GaveUp => (failed, proved) = (target, false),
        }
        let half = (size_bytes - failed) / 2;
        target = failed + (half - half % unit).max(unit);
    }
    let mut offsets_bytes = vec![0; intervals.len()];
    for (item, offset) in items.iter().zip(best) {
        item.members.iter().for_each(|&m| offsets_bytes[m] = offset);
    }
    Placement { offsets_bytes, size_bytes, lower_bound_bytes, optimal: proved && size_bytes <= failed + unit }
}

/// The search, on a stack that is large enough for it whatever the caller's is.
fn searched(items: &[Item], target: u64, node_limit: u64) -> (Outcome, u64) {
    let (some, each) = STACK_BYTES;
    let builder = std::thread::Builder::new().stack_size(some + each * items.len());
    std::thread::scope(|s| match builder.spawn_scoped(s, || search::search(items, target, node_limit)) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        // Without memory for it the greedy placement stays.
        Err(_) => (Outcome::GaveUp, node_limit),
    })
}

fn height(items: &[Item], offsets: &[u64]) -> u64 {
    items.iter().zip(offsets).map(|(item, offset)| offset + item.tallest).max().unwrap_or(0)
}

/// Chains of intervals in the same place become items, which do not know their neighbours yet; heights are rounded up to `unit`.
fn chains(intervals: &[Interval], unit: u64) -> Vec<Item> {
    // A section is a time in which something begins and then something ends: all that live in it live together at some moment.
    let mut events: Vec<(usize, bool)> = intervals.iter().flat_map(|i| [(i.first, false), (i.last, true)]).collect();
    events.sort_unstable();
    let ends = events.windows(2).filter(|e| e[0].1 && !e[1].1).map(|e| e[0].0).collect::<Vec<usize>>();
    let section = |moment: usize| ends.partition_point(|&end| end < moment);
    let mut next: Vec<Option<usize>> = vec![None; intervals.len()];
    for (i, interval) in intervals.iter().enumerate() {
        if let Some(of) = interval.in_place_of {
            assert!(intervals[of].last == interval.first && next[of].is_none(), "interval {i} cannot take the place of {of}");
            next[of] = Some(i);
        }
    }
    let mut items = vec![];
    for head in (0..intervals.len()).filter(|&i| intervals[i].in_place_of.is_none()) {
        let members: Vec<usize> = std::iter::successors(Some(head), |&m| next[m]).collect();
        if members.iter().all(|&m| intervals[m].size_bytes == 0) {
            continue;
        }
        let mut spans: Vec<(usize, usize, u64)> = vec![];
        for interval in members.iter().map(|&m| intervals[m]) {
            let (first, last) = (section(interval.first), section(interval.last));
            then(&mut spans, first, last, interval.size_bytes.next_multiple_of(unit));
        }
        let align = members.iter().map(|&m| intervals[m].align).max().unwrap_or(1);
        let tallest = spans.iter().map(|s| s.2).max().unwrap_or(0);
        items.push(Item { align, members, spans, tallest, neighbours: vec![] });
    }
    items
}

/// The next member of a chain: it begins in the last section of the one before, which is as high as the higher of the two.
fn then(spans: &mut Vec<(usize, usize, u64)>, mut first: usize, last: usize, height: u64) {
    match spans.last_mut() {
        Some(before) if before.1 == first && height < before.2 => first += 1,
        Some(before) if before.1 == first && before.0 == first && before.2 < height => {
            spans.pop();
        }
        Some(before) if before.1 == first && before.2 < height => before.1 -= 1,
        _ => {}
    }
    match spans.last_mut() {
        Some(before) if before.2 == height => before.1 = last.max(before.1),
        _ if first <= last => spans.push((first, last, height)),
        _ => {}
    }
}

#[cfg(test)]
pub(super) fn items(intervals: &[Interval], unit: u64) -> Vec<Item> {
    let mut items = chains(intervals, unit);
    assert!(meet(&mut items), "too many pairs");
    items
}

/// Tells all items their neighbours, by number; false if these are too many.
fn meet(items: &mut [Item]) -> bool {
    let (some, each) = PAIRS_LIMIT;
    let limit = some + each * items.len();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| items[i].first());
    let mut pairs: Vec<(usize, usize)> = vec![];
    let mut live: Vec<usize> = vec![];
    for &i in &order {
        live.retain(|&j| items[i].first() <= items[j].last());
        if limit < pairs.len() + live.len() {
            return false;
        }
        pairs.extend(live.iter().map(|&j| (i.min(j), i.max(j))));
        live.push(i);
    }
    pairs.sort_unstable();
    // Those with lower numbers first.
    for turn in [false, true] {
        for &(low, high) in &pairs {
            let (i, j) = if turn { (low, high) } else { (high, low) };
            let (above, below) = common(&items[i], &items[j]);
            items[i].neighbours.push(Neighbour { item: j, above, below });
        }
    }
    true
}

/// Of two items that live at the same time: the heights of each while they do.
fn common(a: &Item, b: &Item) -> (u64, u64) {
    let (first, last) = (a.first().max(b.first()), a.last().min(b.last()));
    let height = |item: &Item| {
        let spans = &item.spans[item.spans.partition_point(|s| s.1 < first)..];
        spans.iter().take_while(|s| s.0 <= last).map(|s| s.2).max().unwrap_or(0)
    };
    (height(a), height(b))
}

fn lower_bound(items: &[Item]) -> u64 {
    let sections = items.iter().map(|i| i.last() + 1).max().unwrap_or(0);
    let (mut more, mut less) = (vec![0; sections], vec![0; sections]);
    for &(first, last, height) in items.iter().flat_map(|i| &i.spans) {
        more[first] += height;
        less[last] += height;
    }
    let (mut sum, mut most) = (0u64, 0);
    for (more, less) in more.into_iter().zip(less) {
        sum += more;
        most = sum.max(most);
        sum -= less;
    }
    most
}

/// The best of placing the items one by one, each as low as it can be, in several orders.
fn greedy(items: &[Item], good_enough: u64) -> Vec<u64> {
    type Key = fn(&Item) -> (std::cmp::Reverse<u128>, usize);
    use std::cmp::Reverse;
    let orders: [Key; 4] = [
        |i| (Reverse(u128::from(i.tallest)), i.first()),
        |i| (Reverse(i.area()), i.first()),
        |i| (Reverse((i.last() - i.first()) as u128), i.first()),
        |i| (Reverse(0), i.first()),
    ];
    let mut best: Option<(u64, Vec<u64>)> = None;
    for key in orders {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&i| key(&items[i]));
        let offsets = one_by_one(items, &order);
        let height = height(items, &offsets);
        if best.as_ref().is_none_or(|(h, _)| height < *h) {
            best = Some((height, offsets));
        }
        if height <= good_enough {
            break;
        }
    }
    best.map_or(vec![], |(_, offsets)| offsets)
}

fn one_by_one(items: &[Item], order: &[usize]) -> Vec<u64> {
    let mut offsets: Vec<Option<u64>> = vec![None; items.len()];
    for &i in order {
        let item = &items[i];
        // Where it cannot begin, from one byte (at which it still can) to another: in that order every one moves it up at most once.
        let obstacle = |n: &Neighbour| offsets[n.item].map(|at| (i128::from(at) - i128::from(n.above), at + n.below));
        let mut obstacles: Vec<(i128, u64)> = item.neighbours.iter().filter_map(obstacle).collect();
        obstacles.sort_unstable();
        let mut at = 0;
        for (from, to) in obstacles {
            if from < i128::from(at) && at < to {
                at = to.next_multiple_of(item.align);
            }
        }
        offsets[i] = Some(at);
    }
    offsets.into_iter().map(|o| o.expect("every item is in the order")).collect()
}
