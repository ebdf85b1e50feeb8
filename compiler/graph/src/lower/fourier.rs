//! Discrete Fourier transforms of lengths that are powers of two.
//!
//! The idea: Stockham's steps, each of which takes sums and differences of the two halves and puts them next to each other, so that numbers come out in
//! order and nothing is permuted. Real and imaginary parts are arrays of their own; what lies next to each other in a step are lanes, so that columns of an image are
//! transformed together.

use super::Context;
use super::channels::each_block;
use super::copy::each;
use crate::graph::Node;
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder};

/// Real and imaginary parts.
type Complex = [Arg; 2];

/// Transforms `n` rows of `inner` numbers along the first axis, back and forth between two arrays; in which of them the result is.
fn steps(k: &mut KernelBuilder, lanes: usize, arrays: [Complex; 2], (n, inner): (usize, usize), roots: Complex) -> usize {
    let (mut length, mut run, mut from) = (n, inner, 0);
    while 1 < length {
        let (half, to) = (length / 2, 1 - from);
        let (x, y) = (arrays[from], arrays[to]);
        if run == 1 && lanes <= half && length == n {
            k.each("p", half, lanes as i64, |k, p| {
                let ty = Elem::F32.x(lanes);
                let at = Index::from(p) * 4;
                let w = roots.map(|r| k.load(ty, r.at(at.clone())));
                let a = x.map(|x| k.load(ty, x.at(at.clone())));
                let b = x.map(|x| k.load(ty, x.at(at.clone() + half * 4)));
                let (sum, difference) = butterfly(k, a, b, w);
                for part in 0..2 {
                    let v = k.interleave(sum[part], difference[part]);
                    k.store(y[part].at(Index::from(p) * 8), v);
                }
            });
        } else {
            each(k, "p", half, |k, p| {
                let w = roots.map(|r| k.load(Elem::F32.x(1), r.at(p.clone() * (4 * (n / length)) as i64)));
                let row = |i: Index| i * (4 * run) as i64;
                each_block(k, run, lanes, 2, |k, b| {
                    let at = b.first.clone() * 4;
                    let first = x.map(|x| b.load(k, Elem::F32, x.at(row(p.clone()) + at.clone())));
                    let second = x.map(|x| b.load(k, Elem::F32, x.at(row(p.clone() + half) + at.clone())));
                    let w = w.map(|w| k.splat(w, b.lanes));
                    let (sum, difference) = butterfly(k, first, second, w);
                    for part in 0..2 {
                        b.store(k, y[part].at(row(p.clone() * 2) + at.clone()), sum[part]);
                        b.store(k, y[part].at(row(p.clone() * 2 + 1) + at.clone()), difference[part]);
                    }
                });
            });
        }
        (length, run, from) = (half, 2 * run, to);
    }
    from
}

type Pair = [cranelite_tile::Value; 2];

/// The sum, and the difference times a root of one.
fn butterfly(k: &mut KernelBuilder, a: Pair, b: Pair, w: Pair) -> (Pair, Pair) {
    let sum = [0, 1].map(|i| k.add(a[i], b[i]));
    let d = [0, 1].map(|i| k.sub(a[i], b[i]));
    let product = |k: &mut KernelBuilder, i: usize, j: usize| k.mul(d[i], w[j]);
    let (rr, ii, ri, ir) = (product(k, 0, 0), product(k, 1, 1), product(k, 0, 1), product(k, 1, 0));
    (sum, [k.sub(rr, ii), k.add(ri, ir)])
}

/// The roots of one that a transform needs: real parts, imaginary parts.
fn roots(cx: &mut Context, n: usize) -> [BufferId; 2] {
    let angle = |p: usize| -2.0 * std::f64::consts::PI * p as f64 / n as f64;
    let all = |f: fn(f64) -> f64| (0..(n / 2).max(1)).map(|p| f(angle(p)) as f32).collect::<Vec<f32>>();
    [cx.constant_f32("roots_re", &all(libm::cos)), cx.constant_f32("roots_im", &all(libm::sin))]
}

/// Of each image of real numbers, with zeros around it or less of it: so many rows, and half as many columns and one.
pub fn real(cx: &mut Context, node: &Node, [rows, columns]: [usize; 2]) {
    let x = cx.input_type(node, 0);
    let [outer @ .., height, width] = &x.shape[..] else { unreachable!("infer has seen the rank") };
    let (height, width, images) = (*height, *width, outer.iter().product::<usize>());
    let (seen, filled, kept) = (width.min(columns), height.min(rows), columns / 2 + 1);
    let lanes = cx.machine.lanes(Elem::F32);
    let mut k = KernelBuilder::new(format!("rfft_{height}x{width}_{rows}x{columns}"));
    let from = k.read("x");
    let roots_of = [k.read("roots_re"), k.read("roots_im")];
    let roots_of_columns = (1 < rows).then(|| [k.read("column_roots_re"), k.read("column_roots_im")]);
    let mut array = |name: &str| [k.read_write(&format!("{name}_re")), k.read_write(&format!("{name}_im"))];
    let row = [array("row"), array("other_row")];
    let image = (1 < rows).then(|| [array("image"), array("other_image")]);
    let y = k.write("y");
    // What is read has been written.
    let zero = |k: &mut KernelBuilder, parts: &[Arg], start: Index, count: usize| {
        for part in parts {
            each_block(k, count, lanes, 4, |k, b| {
                let zero = k.float(Elem::F32.x(b.lanes), 0.0);
                b.store(k, part.at((start.clone() + b.first.clone()) * 4), zero);
            });
        }
    };
    zero(&mut k, row.as_flattened(), 0.into(), columns);
    if let Some(image) = image {
        zero(&mut k, image.as_flattened(), 0.into(), rows * kept);
    }
    each(&mut k, "image", images, |k, n| {
        each(k, "row", filled, |k, i| {
            let start = (n.clone() * height as i64 + i.clone()) * width as i64;
            each_block(k, seen, lanes, 4, |k, b| {
                let v = b.load(k, Elem::F32, from.at((start.clone() + b.first.clone()) * 4));
                b.store(k, row[0][0].at(b.first.clone() * 4), v);
            });
            if seen < columns {
                zero(k, &row[0][..1], seen.into(), columns - seen);
            }
            zero(k, &row[0][1..], 0.into(), columns);
            let result = row[steps(k, lanes, row, (columns, 1), roots_of)];
            match image {
                Some(image) => {
                    for part in 0..2 {
                        each_block(k, kept, lanes, 4, |k, b| {
                            let v = b.load(k, Elem::F32, result[part].at(b.first.clone() * 4));
                            b.store(k, image[0][part].at((i.clone() * kept as i64 + b.first.clone()) * 4), v);
                        });
                    }
                }
                None => interleaved(k, lanes, result, y, n.clone() * kept as i64, kept),
            }
        });
        match (image, roots_of_columns) {
            (Some(image), Some(roots)) => {
                if filled < rows {
                    zero(k, &image[0], (filled * kept).into(), (rows - filled) * kept);
                }
                let result = image[steps(k, lanes, image, (rows, kept), roots)];
                interleaved(k, lanes, result, y, n * (rows * kept) as i64, rows * kept);
            }
            _ if filled == 0 => zero(k, &[y], n * (2 * kept) as i64, 2 * kept),
            _ => {}
        }
    });
    let mut buffers = vec![cx.input(node, 0)];
    buffers.extend(roots(cx, columns));
    if 1 < rows {
        buffers.extend(roots(cx, rows));
    }
    buffers.extend((0..4).map(|_| cx.scratch("row", 4 * columns as u64)));
    if 1 < rows {
        buffers.extend((0..4).map(|_| cx.scratch("image", 4 * (rows * kept) as u64)));
    }
    buffers.push(cx.output(node, 0));
    cx.call(k.finish(), &buffers, &[]);
}

/// Puts real and imaginary parts next to each other.
fn interleaved(k: &mut KernelBuilder, lanes: usize, x: Complex, y: Arg, to: Index, count: usize) {
    each_block(k, count, lanes, 2, |k, b| {
        let parts = x.map(|x| b.load(k, Elem::F32, x.at(b.first.clone() * 4)));
        let v = k.interleave(parts[0], parts[1]);
        k.store_part(y.at((to.clone() + b.first.clone()) * 8), v, 2 * b.count);
    });
}
