//! Memory and loops: parts of vectors, what is read again, what leaves loops, places that meet, indices from memory, far places, splits.

use super::{add, bytes, check};
use cranelite_tests::called::Calls;
use cranelite_tile::*;

const ELEMS: [Elem; 9] = [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64, Elem::F32, Elem::F64];

/// Every number of lanes of vectors of many lengths is read and written, and nothing beside them.
#[test]
fn parts_of_vectors() {
    let mut calls = Calls::default();
    for elem in ELEMS {
        let size = elem.bytes() as usize;
        for lanes in [1, 2, 3, 4, 8, 12, 16, 20, 24, 32, 48].into_iter().filter(|b| *b % size == 0).map(|b| b / size) {
            let ty = elem.x(lanes);
            let mut k = KernelBuilder::new(format!("parts of {ty}"));
            let (x, y, z) = (k.read("x"), k.write("y"), k.write("z"));
            let mut ends = [0, 0];
            for count in 1..=lanes {
                // The last place that there is for so many.
                let v = k.load_part(ty, x.at((lanes - count) * size), count);
                k.store(y.at(ends[0]), v);
                k.store_part(z.at(ends[1]), v, count);
                ends = [ends[0] + lanes * size, ends[1] + count * size];
                for group in [1, 2, 4, 8, 16].into_iter().filter(|g| lanes % g == 0 && g * size <= 16 && count <= *g) {
                    let v = k.load_splat_part(ty, group, x.at((lanes - count) * size), count);
                    k.store(y.at(ends[0]), v);
                    ends[0] += lanes * size;
                }
            }
            let contents = vec![(elem, bytes(elem, lanes)), (elem, vec![0xa5; ends[0]]), (elem, vec![0xa5; ends[1]])];
            add(&mut calls, k.finish(), &[], contents);
        }
    }
    check(&calls);
}

/// Loads at many places of memory that is written in between; the same place, others, and such that overlap.
#[test]
fn what_is_written_is_read_again() {
    let mut calls = Calls::default();
    for seed in 0..24usize {
        let mut k = KernelBuilder::new(format!("memory {seed}"));
        let (x, h, y) = (k.read("x"), k.read_write("h"), k.write("y"));
        let mut number = seed as u64 * 77 + 1;
        let mut below = move |n: u64| {
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((number >> 33) % n) as i64
        };
        k.each("i", 3, 1, |k, i| {
            let mut seen = vec![k.load(Elem::I32.x(4), x.at(i * 16))];
            for n in 0..30 {
                let (lanes, at) = ([1, 2, 4, 8][below(4) as usize], 4 * below(12));
                let ty = Elem::I32.x(lanes);
                let place = if below(2) == 0 { h.at(i * 4 + at) } else { h.at(i * -8 + (16 + at)) };
                match below(3) {
                    0 => {
                        let v = seen[below(seen.len() as u64) as usize];
                        k.store(place, v);
                    }
                    1 => {
                        let v = k.load_splat(ty, 1, place);
                        k.store(y.at(i * 1000 + 32 * n), v);
                    }
                    _ => {
                        let v = k.load(ty, place);
                        seen.push(v);
                        k.store(y.at(i * 1000 + 32 * n), v);
                    }
                }
            }
        });
        let contents = vec![(Elem::I32, bytes(Elem::I32, 12)), (Elem::I32, bytes(Elem::I32, 40)), (Elem::I32, vec![0xa5; 3000])];
        add(&mut calls, k.finish(), &[], contents);
    }
    check(&calls);
}

/// An operand that is overwritten, unrolled, by results that are shorter or as long.
#[test]
fn in_place() {
    let mut calls = Calls::default();
    for (from, to, lanes) in [(Elem::I32, Elem::I32, 4), (Elem::I32, Elem::I8, 4), (Elem::I16, Elem::I8, 8), (Elem::F32, Elem::F32, 7)] {
        for turns in [1, 2, 5] {
            let mut k = KernelBuilder::new(format!("{from} to {to} x {lanes}, {turns} turns"));
            let (x, b) = (k.read("x"), k.read("b"));
            let y = k.write_in_place("y", x);
            let size = |elem: Elem| (lanes * elem.bytes() as usize) as i64;
            k.each("i", turns, 1, |k, i| {
                for n in 0..4 {
                    let bias = k.load(from.x(lanes), b.at(n * size(from)));
                    let v = k.load(from.x(lanes), x.at(i * (4 * size(from)) + n * size(from)));
                    let sum = k.add(v, bias);
                    let sum = if from == to { sum } else { k.narrow_sat(sum, to) };
                    k.store(y.at(i * (4 * size(to)) + n * size(to)), sum);
                }
            });
            let count = 4 * lanes * turns as usize;
            add(&mut calls, k.finish(), &[], vec![(from, bytes(from, count)), (from, bytes(from, 4 * lanes)), (to, vec![])]);
        }
    }
    check(&calls);
}

/// Loops that turn never, once and often, around what is the same in every turn, from memory that is there only if they turn.
#[test]
fn what_is_the_same_in_every_turn() {
    let mut calls = Calls::default();
    for (n, m) in [(0, 0), (0, 2), (3, 0), (1, 1), (1, 4), (5, 1), (3, 7)] {
        for constant in [false, true] {
            let mut k = KernelBuilder::new(format!("{n} by {m}, constant: {constant}"));
            let (x, table, scale, y) = (k.read("x"), k.read("table"), k.read("scale"), k.write("y"));
            let counts = [k.param("n"), k.param("m")];
            let count = |i: usize, value: i64| if constant { Index::constant(value) } else { counts[i].into() };
            let ty = Elem::I32.x(4);
            let zero = k.int(ty, 0);
            let (rows, columns) = (count(0, n), count(1, m));
            let sums = k.repeat("i", rows, 1, &[zero, zero], |k, i, outer| {
                let row = k.load(ty, scale.at(0));
                let inner = k.repeat("j", columns, 1, &[outer[0]], |k, j, inner| {
                    let v = k.load(ty, x.at(i * 32 + j * 16));
                    // The same in all turns, and in all turns of the outer loop.
                    let t = k.load(ty, table.at(16));
                    let u = k.load_splat(ty, 1, table.at(4));
                    let large = k.int(ty, 0x1234_5678);
                    let sum = k.add(v, t);
                    let sum = k.mul(sum, u);
                    let sum = k.xor(sum, large);
                    let w = k.add(t, u);
                    let sum = k.sub(sum, w);
                    vec![k.add(inner[0], sum)]
                });
                let t = k.load(ty, scale.at(16));
                let t = k.add(t, row);
                k.store(y.at(i * 16), inner[0]);
                let both = k.add(outer[1], t);
                vec![inner[0], both]
            });
            k.store(y.at(n * 16), sums[0]);
            k.store(y.at(n * 16 + 16), sums[1]);
            // A byte where nothing may be read.
            let there = |wanted: bool, bytes: usize| if wanted { bytes } else { 4 };
            let read = 0 < n && 0 < m;
            let sizes = [there(read, 32 * n as usize + 16 * m as usize), there(read, 32), there(0 < n, 32), n as usize * 16 + 32];
            let mut contents: Vec<_> = sizes.iter().map(|&s| (Elem::I32, bytes(Elem::I32, s / 4))).collect();
            contents[3].1.fill(0xa5);
            add(&mut calls, k.finish(), &[n, m], contents);
        }
    }
    check(&calls);
}

/// Counts and steps that instructions have and have not as numbers; carried values that change places.
#[test]
fn loops_of_many_turns() {
    let mut calls = Calls::default();
    for (count, step) in [(0, 1), (1, 1), (2, 1), (5, 2), (4095, 1), (4096, 1), (4097, 3), (70_000, 4095), (70_000, 4096), (70_000, 5000)] {
        for constant in [false, true] {
            let mut k = KernelBuilder::new(format!("{count} by {step}, constant: {constant}"));
            let (x, y) = (k.read("x"), k.write("y"));
            let n = k.param("n");
            let turns = if constant { Index::constant(count) } else { n.into() };
            let ty = Elem::I32.x(4);
            let init: Vec<Value> = (0..3).map(|i| k.load(ty, x.at(16 * i))).collect();
            let out = k.repeat("i", turns, step, &init, |k, i, v| {
                // The counter itself is wanted.
                let (_, rest) = k.split("s", Index::from(i), 3);
                let own = k.load(ty, x.at(rest * 16));
                let next = k.add(v[0], own);
                vec![v[1], v[2], next]
            });
            let again = k.repeat("j", count.min(9), 1, &[out[0], out[1], init[0]], |k, _, v| {
                let next = k.sub(v[0], v[2]);
                vec![next, v[0], v[1]]
            });
            for (i, v) in out.into_iter().chain(again).chain(init).enumerate() {
                k.store(y.at(16 * i), v);
            }
            add(&mut calls, k.finish(), &[count], vec![(Elem::I32, bytes(Elem::I32, 12)), (Elem::I32, vec![0xa5; 144])]);
        }
    }
    check(&calls);
}

/// Indices from memory: of every integer type, from memory that stays and that changes, for one reader and for several.
#[test]
fn indices_from_memory() {
    let mut calls = Calls::default();
    for elem in ELEMS.into_iter().filter(|e| e.is_int()) {
        for known in [false, true] {
            let mut k = KernelBuilder::new(format!("indices of {elem}, known: {known}"));
            let (x, index, h, y) = (k.read("x"), k.read("index"), k.read_write("h"), k.write("y"));
            let (ty, size) = (Elem::I32.x(4), i64::from(elem.bytes()));
            k.each("i", 6, 1, |k, i| {
                let at = index.at(i * size);
                let c = if known {
                    k.known_index("c", elem, at.clone(), 0, 7)
                } else {
                    let v = k.load(elem.x(1), at.clone());
                    k.clamped_index("c", v, 2, 5)
                };
                // One with another reader, and one that a store overtakes.
                let seen = k.load(elem.x(1), at);
                let d = k.clamped_index("d", seen, 0, 7);
                let before = k.load(elem.x(1), h.at(i * size));
                k.store(h.at(i * size), seen);
                let e = k.clamped_index("e", before, 0, 7);
                k.each("j", 2, 1, |k, j| {
                    let all = [c, d, e].map(|c| k.load(ty, x.at(c * 16 + j * 16)));
                    let sum = k.add(all[0], all[1]);
                    let sum = k.sub(sum, all[2]);
                    k.store(y.at(i * 32 + j * 16), sum);
                });
            });
            let indices = |edges: bool| {
                let (low, high) = elem.int_range();
                let all = if edges { [low, high, 3, 7, 0, 5] } else { [1, 7, 0, 3, 2, 5] };
                all.iter().flat_map(|n| n.to_le_bytes()[..size as usize].to_vec()).collect::<Vec<u8>>()
            };
            let contents =
                vec![(Elem::I32, bytes(Elem::I32, 36)), (elem, indices(!known)), (elem, indices(true)), (Elem::I32, vec![0xa5; 192])];
            add(&mut calls, k.finish(), &[], contents);
        }
    }
    check(&calls);
}

/// Offsets on both sides of what loads, stores and additions have as numbers. The parameter brings them back into the buffer.
#[test]
fn far_places() {
    let mut calls = Calls::default();
    let far = [0, 1, 255, 256, 257, 4095, 4096, 4097, 16380, 16384, 65520, 65536, 65537, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, 1 << 40];
    for at in far.into_iter().flat_map(|n: i64| [n, -n]) {
        let mut k = KernelBuilder::new(format!("far {at}"));
        let (x, y) = (k.read("x"), k.write("y"));
        let p = k.param("p");
        let mut end = 0;
        for (elem, lanes) in [(Elem::I8, 1), (Elem::I16, 1), (Elem::I32, 1), (Elem::I64, 1), (Elem::I8, 16), (Elem::I8, 23), (Elem::I32, 8)]
        {
            let ty = elem.x(lanes);
            for v in [k.load(ty, x.at(Index::from(p) + at)), k.load_splat(ty, 1, x.at(Index::from(p) + (at + 1)))] {
                k.store(y.at(Index::from(p) + (at + end)), v);
                end += i64::from(ty.bytes());
            }
        }
        // Strides, too.
        k.each("i", 2, 1, |k, i| {
            let v = k.load(Elem::I32.x(4), x.at(i * at + (i * p + 3)));
            k.store(y.at(i * at + (i * p + i * 16 + end)), v);
        });
        end += 32;
        add(&mut calls, k.finish(), &[-at], vec![(Elem::I8, bytes(Elem::I8, 48)), (Elem::I8, vec![0xa5; end as usize])]);
    }
    check(&calls);
}

/// Quotients and remainders of large numbers, each shown by the byte that it chooses.
#[test]
fn splits() {
    let mut calls = Calls::default();
    for by in [1i64, 2, 3, 7, 10, 28, 1000, 65_537, (1 << 31) - 1] {
        let mut k = KernelBuilder::new(format!("split by {by}"));
        let (x, y) = (k.read("x"), k.write("y"));
        let params: Vec<Param> = ["of", "quotient", "remainder"].map(|name| k.param(name)).into();
        let (quotient, remainder) = k.split("s", Index::from(params[0]), by);
        let byte = Elem::U8.x(1);
        for i in 0..12 {
            let v = k.load(byte, x.at(Index::from(params[1]) * -1 + Index::from(quotient) + i));
            k.store(y.at(i), v);
        }
        let v = k.load(byte, x.at(Index::from(params[2]) * -1 + Index::from(remainder) + 3));
        k.store(y.at(12), v);
        let kernel = k.finish();
        for of in [0, 1, by, (1 << 31) + 1, (1 << 53) - 1, 1 << 56, i64::MAX / by * by - 1, i64::MAX - 1, i64::MAX] {
            let contents = vec![(Elem::U8, bytes(Elem::U8, 16)), (Elem::U8, vec![0; 13])];
            add(&mut calls, kernel.clone(), &[of, of / by, of % by], contents);
        }
    }
    check(&calls);
}
