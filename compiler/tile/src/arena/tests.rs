//! Placement against brute force and published instances, and plans of programs against the independent check.

use super::place::{Interval, Placement, items, place};
use super::search::{Outcome, search};
use proptest::prelude::*;

fn interval(size_bytes: u64, align: u64, first: usize, last: usize) -> Interval {
    Interval { size_bytes, align, first, last, in_place_of: None }
}

/// From first principles: every byte at every moment belongs to one interval, or to two where one takes the other's place.
fn is_sound(intervals: &[Interval], p: &Placement) {
    let mut owner = std::collections::BTreeMap::new();
    for (i, interval) in intervals.iter().enumerate() {
        let at = p.offsets_bytes[i];
        assert_eq!(at % interval.align, 0);
        assert!(interval.size_bytes == 0 || at + interval.size_bytes <= p.size_bytes);
        if let Some(of) = interval.in_place_of {
            assert_eq!(at, p.offsets_bytes[of]);
        }
        for moment in interval.first..=interval.last {
            for byte in at..at + interval.size_bytes {
                if let Some(other) = owner.insert((moment, byte), i) {
                    let shared = |new: usize, old: usize| intervals[new].in_place_of == Some(old) && moment == intervals[new].first;
                    assert!(shared(i, other) || shared(other, i), "{i} and {other} share byte {byte} at {moment}");
                }
            }
        }
    }
}

/// The same for many intervals, none in place of another one.
fn is_apart(intervals: &[Interval], p: &Placement) {
    for (i, a) in intervals.iter().enumerate() {
        let (from, to) = (p.offsets_bytes[i], p.offsets_bytes[i] + a.size_bytes);
        assert!(from % a.align == 0 && to <= p.size_bytes);
        for (j, b) in intervals[..i].iter().enumerate() {
            let other = p.offsets_bytes[j];
            assert!(a.last < b.first || b.last < a.first || to <= other || other + b.size_bytes <= from, "{i} and {j}");
        }
    }
}

/// The least size, by trying every order with every item as low as it can be.
fn brute_force(intervals: &[Interval]) -> u64 {
    fn go(intervals: &[Interval], offsets: &mut Vec<Option<u64>>, size: u64, best: &mut u64) {
        if *best <= size {
            return;
        }
        if offsets.iter().all(Option::is_some) {
            *best = size;
            return;
        }
        for i in 0..intervals.len() {
            if offsets[i].is_some() {
                continue;
            }
            let me = intervals[i];
            let overlaps = |o: &Interval| me.first <= o.last && o.first <= me.last;
            let tops =
                (0..intervals.len()).filter(|&j| overlaps(&intervals[j])).filter_map(|j| Some(offsets[j]? + intervals[j].size_bytes));
            let at = tops.max().unwrap_or(0).next_multiple_of(me.align);
            offsets[i] = Some(at);
            go(intervals, offsets, size.max(at + me.size_bytes), best);
            offsets[i] = None;
        }
    }
    let mut best = u64::MAX;
    go(intervals, &mut vec![None; intervals.len()], 0, &mut best);
    best
}

fn some_interval() -> impl Strategy<Value = Interval> {
    (0u64..9, 0u32..3, 0usize..6, 0usize..4).prop_map(|(size, align, first, duration)| interval(size, 1 << align, first, first + duration))
}

/// Each takes the place of the one before: (first moment, (duration, size) of each).
fn some_chain() -> impl Strategy<Value = (usize, Vec<(usize, u64)>)> {
    (0usize..6, prop::collection::vec((1usize..4, 0u64..9), 1..4))
}

fn linked(chains: &[(usize, Vec<(usize, u64)>)]) -> Vec<Interval> {
    let mut intervals: Vec<Interval> = vec![];
    for (first, links) in chains {
        let mut first = *first;
        for (n, &(duration, size)) in links.iter().enumerate() {
            let in_place_of = (0 < n).then(|| intervals.len() - 1);
            intervals.push(Interval { in_place_of, ..interval(size, 1, first, first + duration) });
            first += duration;
        }
    }
    intervals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn small_placements_are_the_best(intervals in prop::collection::vec(some_interval(), 0..7)) {
        let p = place(&intervals, 100_000);
        is_sound(&intervals, &p);
        let unit = intervals.iter().map(|i| i.align).min().unwrap_or(1);
        let best = if intervals.is_empty() { 0 } else { brute_force(&intervals).next_multiple_of(unit) };
        prop_assert!(p.lower_bound_bytes <= best);
        prop_assert_eq!((p.size_bytes, p.optimal), (best, true));
        // The search by itself, without what is greedy.
        let items = items(&intervals, unit);
        prop_assert!(matches!(search(&items, best, 100_000).0, Outcome::Found(_)));
        prop_assert!(best == 0 || matches!(search(&items, best - unit, 100_000).0, Outcome::Impossible));
    }

    #[test]
    fn placements_are_sound(
        chains in prop::collection::vec(some_chain(), 1..20),
        others in prop::collection::vec(some_interval(), 1..20),
    ) {
        let mut intervals = linked(&chains);
        intervals.extend(others);
        let p = place(&intervals, 2000);
        is_sound(&intervals, &p);
        prop_assert!(p.lower_bound_bytes <= p.size_bytes);
        prop_assert!(p.optimal || p.lower_bound_bytes < p.size_bytes);
        prop_assert_eq!(place(&intervals, 2000), p);
    }
}

#[test]
fn the_bound_counts_what_is_rounded_and_shared() {
    let at = |p: &Placement| (p.lower_bound_bytes, p.size_bytes);
    assert_eq!(at(&place(&[], 0)), (0, 0));
    assert_eq!(at(&place(&[interval(0, 16, 0, 3)], 0)), (0, 0));
    assert_eq!(at(&place(&[interval(1, 16, 0, 1), interval(17, 16, 1, 1)], 0)), (48, 48));
    // Twelve bytes become four in place, while another twelve begin: nothing is needed beyond 24.
    let chain = [interval(12, 4, 0, 1), Interval { in_place_of: Some(0), ..interval(4, 4, 1, 2) }, interval(12, 4, 1, 2)];
    assert_eq!(at(&place(&chain, 0)), (24, 24));
    let apart = chain.map(|i| Interval { in_place_of: None, ..i });
    assert_eq!(at(&place(&apart, 0)), (28, 28));
}

#[test]
fn what_greedy_misses_is_found() {
    // The 4 and the 5 want to be on the ground; but the 5 must be on the 3 for the 2 to come between.
    let intervals = [(2, 3, 6), (3, 0, 3), (4, 4, 6), (5, 0, 1)].map(|(size, first, last)| interval(size, 1, first, last));
    let none = place(&intervals, 0);
    let some = place(&intervals, 10_000);
    is_sound(&intervals, &some);
    assert_eq!((none.size_bytes, none.optimal), (9, false));
    assert_eq!((some.size_bytes, some.optimal), (8, true));
}

/// As many buffers as the largest models have: one level of the search for each must fit the stack.
#[test]
fn the_search_goes_deep() {
    let intervals: Vec<Interval> = (0..4000).map(|i| interval(1 + (i * 7919 % 97) as u64, 1, i, i + 3)).collect();
    let items = items(&intervals, 1);
    let (outcome, nodes) = search(&items, 97 * 5, 100_000);
    assert!(matches!(outcome, Outcome::Found(_)) && 4000 <= nodes);
}

/// Too many pairs to look at all: still sound, and not far from the bound.
#[test]
fn crowds_are_placed() {
    let random = |i: usize, n: usize| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33 & (n - 1);
    let mixed: Vec<Interval> = (0..3000)
        .map(|i| interval(1 + random(3 * i, 64) as u64, 1 << random(3 * i + 1, 4), random(3 * i + 2, 2048), 2048 + random(i, 2048)))
        .collect();
    let p = place(&mixed, 1000);
    is_apart(&mixed, &p);
    assert!(!p.optimal && p.size_bytes * 4 < p.lower_bound_bytes * 5, "{} of {}", p.size_bytes, p.lower_bound_bytes);
    // Nested, and one after the other: no byte is lost.
    for ends in [|i: usize| 6000 - i, |i: usize| 3000 + i] {
        let regular: Vec<Interval> = (0..3000).map(|i| interval(8, 8, i, ends(i))).collect();
        let p = place(&regular, 1000);
        is_apart(&regular, &p);
        assert_eq!((p.size_bytes, p.optimal), (24_000, true));
    }
}

/// The search has a stack of its own.
#[test]
fn a_small_stack_is_enough() {
    let work = || {
        let intervals: Vec<Interval> = (0..3500).map(|i| interval(1 + (i * 7919 % 97) as u64, 1, i, i + 3)).collect();
        is_apart(&intervals, &place(&intervals, 20_000));
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(work).unwrap().join().unwrap();
}

/// Minimalloc's published instances, each known to fit a megabyte; read when they lie beside this repository.
fn published() -> Option<std::path::PathBuf> {
    let folders = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|a| a.join("shared/minimalloc"));
    folders.into_iter().find(|f| f.exists())
}

#[test]
fn published_instances() {
    let Some(folder) = published() else { return };
    // A, E and I take luck or patience: see `all_published_instances`.
    for name in ["B", "C", "D", "F", "G", "H"] {
        solve(&folder, name, 60_000);
    }
}

#[test]
#[ignore = "takes minutes, nearly all of them for I"]
fn all_published_instances() {
    let Some(folder) = published() else { return };
    for name in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"] {
        solve(&folder, name, 30_000_000);
    }
}

fn solve(folder: &std::path::Path, name: &str, node_limit: u64) {
    let capacity = 1 << 20;
    let text = std::fs::read_to_string(folder.join(format!("{name}.{capacity}.csv"))).unwrap();
    let parse = |line: &str| {
        let f: Vec<u64> = line.split(',').map(|f| f.parse().unwrap()).collect();
        interval(f[3], 1, f[1] as usize, f[2] as usize - 1)
    };
    let intervals: Vec<Interval> = text.lines().skip(1).map(parse).collect();
    let items = items(&intervals, 1);
    let (outcome, nodes) = search(&items, capacity, node_limit);
    let Outcome::Found(offsets) = outcome else { panic!("{name} is not solved in {nodes} nodes") };
    println!("{name}: {nodes} nodes");
    let mut placed = vec![0; intervals.len()];
    items.iter().zip(offsets).for_each(|(item, offset)| placed[item.members[0]] = offset);
    for (i, a) in intervals.iter().enumerate() {
        assert!(placed[i] + a.size_bytes <= capacity);
        for (j, b) in intervals.iter().enumerate().skip(i + 1) {
            let apart = placed[i] + a.size_bytes <= placed[j] || placed[j] + b.size_bytes <= placed[i];
            assert!(a.last < b.first || b.last < a.first || apart, "{name}: {i} and {j}");
        }
    }
}
