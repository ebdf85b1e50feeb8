//! Products and sums of widened elements, and products by element.

use super::{add, bytes, check};
use cranelite_tests::called::Calls;
use cranelite_tile::*;

/// Types of elements, of their products and of sums.
const LENGTHS: [(Elem, Elem); 6] = [
    (Elem::I8, Elem::I16),
    (Elem::U8, Elem::U16),
    (Elem::U8, Elem::I16),
    (Elem::I16, Elem::I32),
    (Elem::U16, Elem::U32),
    (Elem::I8, Elem::I32),
];

/// What the operands of a product may come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FactorSource {
    Plain,
    Part,
    Upper,
    Lower,
    Group(usize),
    UpperOfLong,
}

const SOURCES: [FactorSource; 9] = [
    FactorSource::Plain,
    FactorSource::Part,
    FactorSource::Upper,
    FactorSource::Lower,
    FactorSource::Group(1),
    FactorSource::Group(2),
    FactorSource::Group(4),
    FactorSource::Group(8),
    FactorSource::UpperOfLong,
];

fn source(k: &mut KernelBuilder, x: Arg, elem: Elem, lanes: usize, source: FactorSource) -> Value {
    let (ty, size) = (elem.x(lanes), elem.bytes() as usize);
    match source {
        FactorSource::Plain => k.load(ty, x.at(3 * size)),
        FactorSource::Part => k.load_part(ty, x.at(0), lanes.div_ceil(2)),
        FactorSource::Upper | FactorSource::Lower => {
            let both = k.load(elem.x(2 * lanes), x.at(size));
            k.slice(both, if source == FactorSource::Upper { lanes } else { 0 }, lanes)
        }
        FactorSource::UpperOfLong => {
            let all = k.load(elem.x(4 * lanes), x.at(0));
            k.slice(all, 3 * lanes, lanes)
        }
        FactorSource::Group(group) => k.load_splat(ty, if lanes.is_multiple_of(group) { group } else { 1 }, x.at(5 * size)),
    }
}

/// Every shape of a sum of products, from operands of all kinds, of one register, of less and of more.
#[test]
fn of_widened_elements() {
    let mut calls = Calls::default();
    for (elem, long) in LENGTHS {
        let half = 8 / elem.bytes() as usize;
        for lanes in [half, 1, half / 2, 2 * half, 3 * half] {
            for (s, a) in SOURCES.into_iter().enumerate() {
                // Against all kinds where halves may count, against one else.
                let others = if lanes == half { SOURCES.to_vec() } else { vec![SOURCES[(s + lanes) % SOURCES.len()]] };
                for b in others {
                    let mut k = KernelBuilder::new(format!("{elem} {long} {lanes} {a:?} {b:?}"));
                    let (x, z, y) = (k.read("x"), k.read("z"), k.write("y"));
                    let (a, b) = (source(&mut k, x, elem, lanes, a), source(&mut k, z, elem, lanes, b));
                    let (wa, wb) = (k.widen(a, long), k.widen(b, long));
                    let ty = long.x(lanes);
                    let start = k.load(ty, z.at(0));
                    let mut all = vec![];
                    // A product with one reader, on either side; with two; a square, and what is only widened.
                    let p = k.mul(wa, wb);
                    all.push(k.add(start, p));
                    let p = k.mul(wb, wa);
                    all.push(k.add(p, start));
                    let p = k.mul(wa, wb);
                    all.extend([k.add(start, p), p]);
                    let (p, q) = (k.mul(wa, wb), k.mul(wa, wa));
                    all.push(k.add(p, q));
                    let p = k.mul(wa, wb);
                    all.push(k.add(p, p));
                    all.extend([k.add(start, wa), k.add(wb, start), k.add(wa, wb), k.sub(start, wa), k.mul(wa, start)]);
                    // Made before a loop, read in it and behind it.
                    let p = k.mul(wa, wb);
                    let sums = k.repeat("i", 3, 1, &[start, wa], |k, i, v| {
                        let own = k.load(elem.x(lanes), x.at(i * i64::from(elem.bytes())));
                        let own = k.widen(own, long);
                        let q = k.mul(own, wb);
                        let sum = k.add(v[0], p);
                        let sum = k.add(sum, q);
                        vec![k.add(sum, v[1]), k.add(v[1], own)]
                    });
                    all.extend(sums);
                    let size = i64::from(ty.bytes());
                    for (v, i) in all.iter().zip(0..) {
                        k.store(y.at(i * size), *v);
                    }
                    let out = vec![0xa5; all.len() * size as usize];
                    add(
                        &mut calls,
                        k.finish(),
                        &[],
                        vec![(elem, bytes(elem, 4 * lanes + 24)), (elem, bytes(elem, 4 * lanes + 24)), (long, out)],
                    );
                }
            }
        }
    }
    check(&calls);
}

/// Sums over groups that are elements of a register, or not, because somebody else reads them.
#[test]
fn by_element() {
    let mut calls = Calls::default();
    for (a, b) in [(Elem::I8, Elem::I8), (Elem::U8, Elem::U8), (Elem::U8, Elem::I8), (Elem::I16, Elem::I16), (Elem::F32, Elem::F32)] {
        if (a, b) == (Elem::U8, Elem::U8) {
            continue;
        }
        let group = match a {
            Elem::F32 => 1,
            Elem::I16 => 2,
            _ => 4,
        };
        for lanes in [1, 2, 3, 4, 5, 8, 12] {
            for turns in [1, 2, 5] {
                for part in 1..=group {
                    let mut k = KernelBuilder::new(format!("{a} {b} x {lanes}, {turns} turns, {part} of a group"));
                    let (x, w, y) = (k.read("x"), k.read("w"), k.write("y"));
                    let sum = if a == Elem::F32 { Elem::F32.x(lanes) } else { Elem::I32.x(lanes) };
                    let zero = if a == Elem::F32 { k.float(sum, 0.5) } else { k.int(sum, 1) };
                    let size = i64::from(a.bytes());
                    let product = |k: &mut KernelBuilder, s, p, q| if a == Elem::F32 { k.fma(p, q, s) } else { k.dot(group, s, p, q) };
                    let all = k.repeat("i", turns, 1, &[zero; 5], |k, i, sums| {
                        let (tx, tw) = (a.x(lanes * group), b.x(lanes * group));
                        let weights = [0, 1].map(|n| k.load(tw, w.at(i * i64::from(2 * tw.bytes()) + n * i64::from(tw.bytes()))));
                        let groups: Vec<Value> = (0..3)
                            .map(|n| k.load_splat_part(tx, group, x.at(i * (4 * size * group as i64) + n * size * group as i64), part))
                            .collect();
                        let mut next: Vec<Value> = (0..3).map(|n| product(k, sums[n], groups[n], weights[0])).collect();
                        next[0] = product(k, next[0], groups[0], weights[1]);
                        // As the second operand, and both.
                        if a == b {
                            next[2] = product(k, next[2], weights[1], groups[2]);
                            next[1] = product(k, next[1], weights[0], weights[0]);
                        }
                        let again = k.load_splat_part(tx, group, x.at(i * (4 * size * group as i64)), part);
                        next.push(product(k, sums[3], again, weights[1]));
                        let row = k.load(a.x(4 * group), x.at(i * (4 * size * group as i64)));
                        next.push(match a {
                            Elem::F32 => k.fma_lane(sums[4], row, 2, weights[0]),
                            _ => k.dot_lane(group, sums[4], row, 2, weights[0]),
                        });
                        next
                    });
                    for (i, v) in all.into_iter().enumerate() {
                        k.store(y.at(i as i64 * i64::from(sum.bytes())), v);
                    }
                    let contents = vec![
                        (a, bytes(a, 4 * group * turns as usize)),
                        (b, bytes(b, 2 * lanes * group * turns as usize)),
                        (sum.elem, vec![0xa5; 5 * sum.bytes() as usize]),
                    ];
                    add(&mut calls, k.finish(), &[], contents);
                }
            }
        }
    }
    check(&calls);
}

/// Products of matrices whose rows come from two places, from one, or from a register's half, in a loop: some sums are still needed as they were.
#[test]
fn of_matrices() {
    let mut calls = Calls::default();
    for (a, b) in [(Elem::I8, Elem::I8), (Elem::U8, Elem::U8), (Elem::U8, Elem::I8), (Elem::I8, Elem::U8)] {
        for registers in [1, 2, 3] {
            for (turns, part) in [(1, 8), (3, 8), (2, 1), (2, 5)] {
                let mut k = KernelBuilder::new(format!("{a} {b} x {registers}, {turns} turns, {part} of a row"));
                let (x, w, y) = (k.read("x"), k.read("w"), k.write("y"));
                let sum = Elem::I32.x(4 * registers);
                let start = k.load_splat(sum, 2, w.at(0));
                let rows = |k: &mut KernelBuilder, from: Arg, elem: Elem, at: Index| {
                    let two = [0, 24].map(|d| k.load_part(elem.x(8), from.at(at.clone() + d), part));
                    let mut all = k.concat(two[0], two[1]);
                    for n in 1..registers {
                        let more = match n {
                            1 => k.load_splat_part(elem.x(16), 8, from.at(at.clone() + 16), part),
                            _ => k.load(elem.x(16), from.at(at.clone() + 13)),
                        };
                        all = k.concat(all, more);
                    }
                    all
                };
                let sums = k.repeat("i", turns, 1, &[start; 4], |k, i, sums| {
                    let (p, q) = (rows(k, x, a, i * 32), rows(k, w, b, i * 32));
                    let again = k.dot_matrix(sums[1], p, q);
                    let mut next = vec![k.dot_matrix(sums[0], p, q), k.dot_matrix(again, p, q)];
                    next.push(k.add(sums[1], again));
                    next.push(if a == b { k.dot_matrix(sums[3], p, p) } else { k.add(sums[3], sums[0]) });
                    next
                });
                // The sums of each row of two accumulators beside each other.
                let halves = [0, 1].map(|n| k.bitcast(sums[n], Elem::I64.x(2 * registers)));
                let both = k.interleave(halves[0], halves[1]);
                let both = k.bitcast(both, Elem::I32.x(8 * registers));
                k.store(y.at(0), both);
                for n in [2, 3] {
                    k.store(y.at(n * i64::from(sum.bytes())), sums[n as usize]);
                }
                let length = 32 * turns as usize + 16;
                let out = vec![0xa5; 4 * sum.bytes() as usize];
                add(&mut calls, k.finish(), &[], vec![(a, bytes(a, length)), (b, bytes(b, length)), (Elem::I32, out)]);
            }
        }
    }
    check(&calls);
}

/// Shifts at the ends of their ranges, of the least and the greatest numbers.
#[test]
fn fixed_point() {
    let mut calls = Calls::default();
    let edges = [i32::MIN, i32::MIN + 1, -3, -2, -1, 0, 1, 2, 3, i32::MAX - 1, i32::MAX, 1 << 30, -(1 << 30), 1 << 16, 0x5555_5555, 7];
    let numbers = |all: &[i32]| all.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    for (range, low, high) in [(ShiftRange::Right, -31, -1), (ShiftRange::Any, -31, 30)] {
        for lanes in [1, 3, 4, 8] {
            let ty = Elem::I32.x(lanes);
            let mut k = KernelBuilder::new(format!("{range:?} x {lanes}"));
            let (x, m, s, y) = (k.read("x"), k.read("m"), k.read("s"), k.write("y"));
            let shifts: Vec<i32> = (low..=high).collect();
            k.each("shift", shifts.len(), 1, |k, i| {
                k.each("x", 16 - lanes + 1, 1, |k, j| {
                    let v = k.load(ty, x.at(j * 4));
                    let shift = k.load_splat(ty, 1, s.at(i * 4));
                    for n in 0..4 {
                        let multiplier = k.load_splat(ty, 1, m.at(4 * n));
                        let r = k.requantize(v, multiplier, shift, range);
                        let r = if lanes < 8 { r } else { k.slice(r, 4, 4) };
                        k.store(y.at(i * 1024 + j * 64 + 16 * n), r);
                    }
                });
            });
            let out = vec![0xa5; 1024 * shifts.len() + 64];
            let multipliers = [i32::MAX, 1 << 30, 1, i32::MIN + 1];
            let contents = vec![numbers(&edges), numbers(&multipliers), numbers(&shifts), out];
            add(&mut calls, k.finish(), &[], contents.into_iter().map(|c| (Elem::I32, c)).collect());
        }
    }
    check(&calls);
}
