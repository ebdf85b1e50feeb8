//! Loops, rows, splits, clamped indices, tables and in-place arguments: the same bits as the interpreter gives, on every machine there is.

use cranelite_tests::matrix::Matrix;
use cranelite_tile::*;

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 37 + i / 7 * 11) as u8).collect()
}

fn words(n: usize) -> Vec<u8> {
    (0..n as i32).flat_map(|i| (i * 1_000_003 - 5_000_000).to_le_bytes()).collect()
}

#[test]
fn loops_of_every_length() {
    let mut m = Matrix::default();
    // A carried sum, a pair that changes places, and a step that does not divide the count; known and unknown counts.
    for count in 0..7i64 {
        for step in [1, 2, 3] {
            for known in [true, false] {
                let mut k = KernelBuilder::new(format!("loop {count} step {step} known {known}"));
                let (x, out) = (k.read("x"), k.write("out"));
                let n: Index = if known { count.into() } else { k.param("n").into() };
                let ty = Elem::I32.x(4);
                let (zero, one) = (k.int(ty, 0), k.int(ty, 1));
                let r = k.repeat("i", n, step, &[zero, one, zero], |k, i, c| {
                    let v = k.load(ty, x.at(i * 16));
                    let (sum, fibonacci) = (k.add(c[0], v), k.add(c[1], c[2]));
                    vec![sum, fibonacci, c[1]]
                });
                for (i, v) in r.into_iter().enumerate() {
                    k.store(out.at(16 * i as i64), v);
                }
                let params = [count];
                m.kernel(k.finish(), if known { &[] } else { &params }, vec![(Elem::I32, words(28)), (Elem::I32, words(12))]);
            }
        }
    }
    // Nests: an inner loop of unknown length starts from the outer one's value, and single trips vanish.
    for (rows, columns) in [(0i64, 3i64), (1, 1), (2, 1), (1, 4), (3, 5)] {
        let mut k = KernelBuilder::new(format!("nest {rows} {columns}"));
        let (x, out) = (k.read("x"), k.write("out"));
        let (r, c) = (k.param("rows"), k.param("columns"));
        let zero = k.int(Elem::I32.x(1), 0);
        let sums = k.repeat("y", r, 1, &[zero], |k, y, outer| {
            let inner = k.repeat("x", c, 1, &[outer[0], zero], |k, i, inner| {
                let v = k.load(Elem::I32.x(1), x.at((y * c + i) * 4));
                let once = k.repeat("once", 1, 1, &[v], |k, _, v| vec![k.mul(v[0], v[0])]);
                vec![k.add(inner[0], v), k.xor(inner[1], once[0])]
            });
            k.store(out.at(y * 4 + 4), inner[1]);
            vec![inner[0]]
        });
        k.store(out.at(0), sums[0]);
        m.kernel(k.finish(), &[rows, columns], vec![(Elem::I32, words(16)), (Elem::I32, words(4))]);
    }
    m.check();
}

#[test]
fn rows_and_splits() {
    let mut m = Matrix::default();
    // Many rows that move alike, inside and outside of the picture, with the fill in place of what is outside.
    for rows in [1usize, 2, 5, 14] {
        let mut k = KernelBuilder::new(format!("rows {rows}"));
        let (x, fill, out) = (k.read("x"), k.read("fill"), k.write("out"));
        let (height, stride) = (k.param("height"), k.param("stride"));
        k.each("y", height, 1, |k, y| {
            let rows: Vec<Row> = (0..rows as i64)
                .map(|m| {
                    let index = Index::from(y) + (m - 2);
                    let guards = vec![Guard { index: index.clone(), limit: height.into() }];
                    k.row(x, index * stride, stride, guards, fill)
                })
                .collect();
            let ty = Elem::U8.x(4);
            let zero = k.int(ty, 0);
            k.each("c", stride, 4, |k, c| {
                let sum = rows.iter().fold(zero, |sum, r| {
                    let v = k.load(ty, r.at(c));
                    k.add(sum, v)
                });
                k.store(out.at(y * stride + c), sum);
            });
        });
        m.kernel(k.finish(), &[6, 20], vec![(Elem::U8, bytes(120)), (Elem::U8, vec![200; 20]), (Elem::U8, vec![0; 120])]);
    }
    // Two guards, and a row of fixed place.
    let mut k = KernelBuilder::new("corner");
    let (x, fill, out) = (k.read("x"), k.read("fill"), k.write("out"));
    k.each("y", 5, 1, |k, y| {
        k.each("c", 5, 1, |k, c| {
            let (a, b) = (Index::from(y) - 1, Index::from(c) - 1);
            let guard = |index: &Index| Guard { index: index.clone(), limit: 4.into() };
            let row = k.row(x, a.clone() * 16 + b.clone() * 4, 4, vec![guard(&a), guard(&b)], fill);
            let v = k.load(Elem::I32.x(1), row.at(0));
            k.store(out.at(y * 20 + c * 4), v);
        });
    });
    m.kernel(k.finish(), &[], vec![(Elem::I32, words(16)), (Elem::I32, words(1)), (Elem::I32, words(25))]);
    // Quotients and remainders as addresses.
    for by in [1i64, 2, 3, 5, 7, 8, 10, 49, 1000] {
        let mut k = KernelBuilder::new(format!("split by {by}"));
        let (x, out) = (k.read("x"), k.write("out"));
        let scale = k.param("scale");
        k.each("i", 100, 1, |k, i| {
            let (q, r) = k.split("i", i * scale, by);
            let a = k.load(Elem::U8.x(1), x.at(q));
            let b = k.load(Elem::U8.x(1), x.at(r));
            let v = k.xor(a, b);
            k.store(out.at(i), v);
        });
        m.kernel(k.finish(), &[7], vec![(Elem::U8, bytes(1000)), (Elem::U8, vec![0; 100])]);
    }
    m.check();
}

#[test]
fn clamped_indices() {
    let mut m = Matrix::default();
    for elem in [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64] {
        let mut k = KernelBuilder::new(format!("clamp {elem}"));
        let (x, table, out) = (k.read("x"), k.read("table"), k.write("out"));
        k.each("i", 20, 1, |k, i| {
            let v = k.load(elem.x(1), x.at(i * i64::from(elem.bytes())));
            let at = k.clamped_index("at", v, -2, 17);
            let element = k.load(Elem::I32.x(4), table.at(at * 4 + 8));
            k.store(out.at(i * 16), element);
        });
        let mut indices = vec![];
        for i in 0..20i64 {
            let (low, high) = elem.int_range();
            let v = [low, high, -3, -2, -1, 0, 17, 18, 5, 100][i as usize % 10].clamp(low, high);
            indices.extend(&v.to_le_bytes()[..elem.bytes() as usize]);
        }
        m.kernel(k.finish(), &[], vec![(elem, indices), (Elem::I32, words(23)), (Elem::I32, words(80))]);
    }
    m.check();
}

#[test]
fn tables() {
    let mut m = Matrix::default();
    for elem in [Elem::I8, Elem::U8, Elem::I16, Elem::I32, Elem::F32, Elem::I64] {
        let size = elem.bytes() as usize;
        for lanes in [1usize, 3, 8, 16, 20] {
            for variant in ["stored", "part", "used twice", "signed"] {
                let mut k = KernelBuilder::new(format!("table {elem} x {lanes} {variant}"));
                let (x, table, out) = (k.read("x"), k.read("table"), k.write("out"));
                let count = if variant == "part" { lanes.div_ceil(2) } else { lanes };
                k.each("i", 5, 1, |k, i| {
                    let from = x.at(i * lanes as i64);
                    let index = if variant == "signed" {
                        let v = k.load(Elem::I8.x(lanes), from);
                        k.bitcast(v, Elem::U8.x(lanes))
                    } else {
                        k.load_part(Elem::U8.x(lanes), from, count)
                    };
                    let mut v = k.lookup(elem, table.at(0), index);
                    if variant == "used twice" {
                        v = k.add(v, v);
                    }
                    k.store_part(out.at(i * (lanes * size) as i64), v, count);
                });
                let contents = vec![(Elem::U8, bytes(5 * lanes)), (elem, bytes(256 * size)), (elem, vec![7; 5 * lanes * size])];
                m.kernel(k.finish(), &[], contents);
            }
        }
    }
    // In place: element for element, and so that a later one must still see the input.
    let mut k = KernelBuilder::new("table in place");
    let (x, table) = (k.read("x"), k.read("table"));
    let y = k.write_in_place("y", x);
    k.each("i", 4, 1, |k, i| {
        let v = k.load(Elem::U8.x(16), x.at(i * 16));
        let v = k.lookup(Elem::U8, table.at(0), v);
        k.store(y.at(i * 16), v);
    });
    m.kernel(k.finish(), &[], vec![(Elem::U8, bytes(64)), (Elem::U8, bytes(256)), (Elem::U8, vec![])]);
    let mut k = KernelBuilder::new("pairs in place");
    let (x, table) = (k.read("x"), k.read("table"));
    let y = k.write_in_place("y", x);
    let a = k.load(Elem::U8.x(16), x.at(0));
    let b = k.load(Elem::U8.x(16), x.at(16));
    let (a, b) = (k.lookup(Elem::U8, table.at(0), a), k.lookup(Elem::U8, table.at(0), b));
    k.store(y.at(16), a);
    k.store(y.at(0), b);
    m.kernel(k.finish(), &[], vec![(Elem::U8, bytes(32)), (Elem::U8, bytes(256)), (Elem::U8, vec![])]);
    m.check();
}

#[test]
fn spread_groups() {
    let mut m = Matrix::default();
    for elem in [Elem::I8, Elem::U8, Elem::I16, Elem::I32, Elem::F32, Elem::I64, Elem::F64] {
        let size = elem.bytes() as usize;
        for (group, lanes) in
            [(1usize, 1usize), (1, 4), (1, 17), (2, 4), (2, 16), (3, 9), (4, 8), (4, 16), (4, 20), (8, 16), (16, 32), (5, 5)]
        {
            for count in [group, group.div_ceil(2)] {
                let mut k = KernelBuilder::new(format!("spread {count} of {group} {elem} x {lanes}"));
                let (x, out) = (k.read("x"), k.write("out"));
                k.each("i", 3, 1, |k, i| {
                    let v = k.load_splat_part(elem.x(lanes), group, x.at(i * (count * size) as i64), count);
                    k.store(out.at(i * (lanes * size) as i64), v);
                });
                m.kernel(k.finish(), &[], vec![(elem, bytes(3 * count * size)), (elem, vec![1; 3 * lanes * size])]);
            }
        }
    }
    m.check();
}

#[test]
fn in_place_arithmetic() {
    let mut m = Matrix::default();
    for step in [4i64, 16] {
        let mut k = KernelBuilder::new(format!("in place by {step}"));
        let (x, z) = (k.read("x"), k.read("z"));
        let y = k.write_in_place("y", x);
        let n = k.param("n");
        k.each("i", n, step, |k, i| {
            let ty = Elem::I8.x(step as usize);
            // Widened loads must not move behind the store.
            let (a, b) = (k.load(ty, x.at(i)), k.load(ty, z.at(i)));
            let (wide, other) = (k.widen(a, Elem::I16), k.widen(b, Elem::I16));
            let sum = k.add(wide, other);
            let narrow = k.narrow_sat(sum, Elem::I8);
            k.store(y.at(i), narrow);
            let again = k.add(wide, wide);
            let again = k.narrow_sat(again, Elem::I8);
            k.store(y.at(i), again);
        });
        m.kernel(k.finish(), &[48], vec![(Elem::I8, bytes(48)), (Elem::I8, bytes(48)), (Elem::I8, vec![])]);
    }
    m.check();
}
