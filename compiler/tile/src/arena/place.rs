//! Where intervals of time and size go: pure geometry.
//!
//! Not programs. The idea: pack rectangles, each fixed in time and free in address, into the least height. Greedy placements come first; when the best
//! of them is above the bound that no placement can beat, a search (`search.rs`) closes the gap or proves that it cannot.

use super::search::{self, Outcome};

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
    let items = items(intervals, unit);
    let lower_bound_bytes = lower_bound(&items);
    let mut best = greedy(&items, lower_bound_bytes);
    let mut size_bytes = height(&items, &best);
    let mut nodes_left = node_limit;
    // The bound first, which can nearly always be reached; then halve what is between the last failure and the best.
    let (mut failed, mut proved, mut target) = (lower_bound_bytes.saturating_sub(unit), true, lower_bound_bytes);
    while failed + unit < size_bytes && 0 < nodes_left {
        let (outcome, nodes) = search::search(&items, target, nodes_left.div_ceil(2));
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

fn height(items: &[Item], offsets: &[u64]) -> u64 {
    items.iter().zip(offsets).map(|(item, offset)| offset + item.tallest).max().unwrap_or(0)
}

/// Chains of intervals in the same place become items; heights are rounded up to `unit`.
pub(super) fn items(intervals: &[Interval], unit: u64) -> Vec<Item> {
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
        let first = section(intervals[head].first);
        let last = section(members.iter().map(|&m| intervals[m].last).max().unwrap_or(0));
        let mut heights = vec![0; last - first + 1];
        for interval in members.iter().map(|&m| intervals[m]) {
            let size = interval.size_bytes.next_multiple_of(unit);
            heights[section(interval.first) - first..=section(interval.last) - first].iter_mut().for_each(|h| *h = size.max(*h));
        }
        let mut spans: Vec<(usize, usize, u64)> = vec![];
        for (s, height) in (first..).zip(heights) {
            match spans.last_mut() {
                Some(span) if span.2 == height => span.1 = s,
                _ => spans.push((s, s, height)),
            }
        }
        let align = members.iter().map(|&m| intervals[m].align).max().unwrap_or(1);
        let tallest = spans.iter().map(|s| s.2).max().unwrap_or(0);
        items.push(Item { align, members, spans, tallest, neighbours: vec![] });
    }
    for i in 0..items.len() {
        let neighbours = (0..items.len())
            .filter(|&j| j != i)
            .filter_map(|j| common(&items[i], &items[j]).map(|(above, below)| Neighbour { item: j, above, below }));
        items[i].neighbours = neighbours.collect();
    }
    items
}

/// Of two items that live at the same time: the heights of each while they do.
fn common(a: &Item, b: &Item) -> Option<(u64, u64)> {
    let mut both = None;
    for &(a_first, a_last, a_height) in &a.spans {
        for &(b_first, b_last, b_height) in &b.spans {
            if a_first <= b_last && b_first <= a_last {
                let (above, below) = both.unwrap_or((0, 0));
                both = Some((a_height.max(above), b_height.max(below)));
            }
        }
    }
    both
}

fn lower_bound(items: &[Item]) -> u64 {
    let sections = items.iter().map(|i| i.last() + 1).max().unwrap_or(0);
    let mut sums = vec![0; sections];
    for &(first, last, height) in items.iter().flat_map(|i| &i.spans) {
        sums[first..=last].iter_mut().for_each(|s| *s += height);
    }
    sums.into_iter().max().unwrap_or(0)
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
        let mut placed: Vec<(u64, Neighbour)> = item.neighbours.iter().filter_map(|n| Some((offsets[n.item]?, *n))).collect();
        placed.sort_by_key(|(offset, n)| (*offset, n.item));
        let mut at = 0;
        // Every obstacle moves it up, so the first place without one is the lowest.
        while let Some((offset, n)) = placed.iter().find(|(offset, n)| at < offset + n.below && *offset < at + n.above) {
            at = (offset + n.below).next_multiple_of(item.align);
        }
        offsets[i] = Some(at);
    }
    offsets.into_iter().map(|o| o.expect("every item is in the order")).collect()
}
