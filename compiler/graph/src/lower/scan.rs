//! Walking along one axis with what was seen so far: running sums, and where the largest or smallest element is.
//!
//! The idea: an array is outer × axis × inner; lanes are inner elements, each with a walk of its own. Where an axis that is searched is the
//! innermost one, lanes are its elements, and what they found is compared at the end.

use super::Context;
use super::channels::{Block, each_block};
use super::requantize::elem;
use crate::graph::Node;
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Cond, Elem, Index, Kernel, KernelBuilder, Reduce, Value};

/// Outer, axis and inner elements.
fn around(ty: &TensorType, axis: usize) -> [usize; 3] {
    let product = |sizes: &[usize]| sizes.iter().product();
    [product(&ty.shape[..axis]), ty.shape[axis], product(&ty.shape[axis + 1..])]
}

/// Calls `body` for blocks of inner elements of every outer element, with where in the input and in an array without the axis they begin.
fn each_walk(
    k: &mut KernelBuilder,
    [outer, axis, inner]: [usize; 3],
    lanes: usize,
    body: impl Fn(&mut KernelBuilder, Block, Index, Index),
) {
    k.each("outer", outer, 1, |k, o| {
        each_block(k, inner, lanes, 1, |k, b| {
            let (from, to) = (o * (axis * inner) as i64 + b.first.clone(), o * inner as i64 + b.first.clone());
            body(k, b, from, to);
        });
    });
}

/// Writes the call of a running sum along `axis`: of the elements up to each, or before it (`exclusive`), from the end (`reverse`).
pub fn sums(cx: &mut Context, node: &Node, axis: usize, exclusive: bool, reverse: bool) {
    let ty = cx.input_type(node, 0);
    if ty.element_count() == 0 {
        return;
    }
    let elem = elem(ty.element).expect("infer has seen the type");
    let sizes @ [_, count, inner] = around(ty, axis);
    let mut k = KernelBuilder::new(format!("cumsum_{elem}_{count}x{inner}"));
    let (x, y) = (k.read("x"), k.write("y"));
    let bytes = i64::from(elem.bytes());
    each_walk(&mut k, sizes, cx.machine.lanes(elem), |k, b, from, _| {
        let ty = elem.x(b.lanes);
        let zero = if elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) };
        k.repeat("i", count, 1, &[zero], |k, i, sum| {
            let i = if reverse { i * -1 + (count - 1) } else { i.into() };
            let at = (from + i * inner as i64) * bytes;
            let v = b.load(k, elem, x.at(at.clone()));
            let next = k.add(sum[0], v);
            b.store(k, y.at(at), if exclusive { sum[0] } else { next });
            vec![next]
        });
    });
    let (x, y) = (cx.input(node, 0), cx.output(node, 0));
    cx.call(k.finish(), &[x, y], &[]);
}

/// Writes the call that finds the first of the elements along `axis` of which none is greater (`Gt`) or less (`Lt`).
pub fn extremes(cx: &mut Context, node: &Node, axis: usize, better: Cond) {
    let (ty, y_ty) = (cx.input_type(node, 0), cx.output_type(node, 0));
    if y_ty.element_count() == 0 {
        return;
    }
    let element = elem(ty.element).expect("infer has seen the type");
    // Indices have 32 bits, and so have what is compared.
    let compared = if element == Elem::F32 { Elem::F32 } else { Elem::I32 };
    let index = if y_ty.element == ElementType::I64 { Elem::I64 } else { Elem::I32 };
    let sizes @ [_, count, inner] = around(ty, axis);
    let (x_buffer, y_buffer) = (cx.input(node, 0), cx.output(node, 0));
    let lanes = cx.machine.lanes(compared).min(1 << count.ilog2());
    if inner == 1 && LEAST_LANES <= lanes {
        let row = Row { element, compared, index, count, lanes, better };
        let places = cx.constant_i32("places", &(0..lanes as i32).collect::<Vec<_>>());
        cx.call(row.kernel(sizes[0]), &[x_buffer, places, y_buffer], &[]);
        return;
    }
    let mut k = KernelBuilder::new(format!("arg_{better:?}_{element}_{count}x{inner}").to_lowercase());
    let (x, y) = (k.read("x"), k.write("y"));
    let load = |k: &mut KernelBuilder, b: &Block, at: Index| -> Value {
        let v = b.load(k, element, x.at(at * i64::from(element.bytes())));
        if compared == Elem::F32 { v } else { k.widen(v, compared) }
    };
    each_walk(&mut k, sizes, cx.machine.lanes(compared), |k, b, from, to| {
        let first = load(k, &b, from.clone());
        let ty = Elem::I32.x(b.lanes);
        let mut found = k.int(ty, 0);
        if 1 < count {
            let [zero, one] = [0, 1].map(|n| k.int(ty, n));
            found = k.repeat("i", count - 1, 1, &[first, zero, one], |k, i, v| {
                let [best, at, here] = v else { unreachable!("three are carried") };
                let next = load(k, &b, from + inner + i * inner as i64);
                let is_better = k.compare(better, next, *best);
                let (best, at) = (k.select(is_better, next, *best), k.select(is_better, *here, *at));
                let one = k.int(ty, 1);
                vec![best, at, k.add(*here, one)]
            })[1];
        }
        let found = k.widen(found, index);
        b.store(k, y.at(to * i64::from(index.bytes())), found);
    });
    cx.call(k.finish(), &[x_buffer, y_buffer], &[]);
}

/// Fewer elements are walked one by one.
const LEAST_LANES: usize = 4;

/// A search in consecutive elements.
struct Row {
    element: Elem,
    compared: Elem,
    index: Elem,
    count: usize,
    lanes: usize,
    better: Cond,
}

impl Row {
    fn kernel(&self, rows: usize) -> Kernel {
        let Row { element, compared, index, count, lanes, better } = *self;
        let mut k = KernelBuilder::new(format!("arg_{better:?}_{element}_{count}").to_lowercase());
        let (x, places, y) = (k.read("x"), k.read("places"), k.write("y"));
        let (ty, place) = (compared.x(lanes), Elem::I32.x(lanes));
        k.each("row", rows, 1, |k, row| {
            let load = |k: &mut KernelBuilder, lanes: usize, at: Index| {
                let at = (row * count as i64 + at) * i64::from(element.bytes());
                let v = k.load(element.x(lanes), x.at(at));
                if compared == Elem::F32 { v } else { k.widen(v, compared) }
            };
            // Nothing is better than nothing, and NaN is not, so that lanes without a better element stay at the end of the row.
            let worst = match better {
                Cond::Gt if compared == Elem::F32 => k.float(ty, f32::NEG_INFINITY),
                Cond::Gt => k.int(ty, i32::MIN.into()),
                _ if compared == Elem::F32 => k.float(ty, f32::INFINITY),
                _ => k.int(ty, i32::MAX.into()),
            };
            let (nowhere, step) = (k.int(place, count as i64), k.int(place, lanes as i64));
            let here = k.load(place, places.at(0));
            let consider = |k: &mut KernelBuilder, at: Index, here: Value, best: Value, found: Value| {
                let v = load(k, lanes, at);
                let is_better = k.compare(better, v, best);
                [k.select(is_better, v, best), k.select(is_better, here, found)]
            };
            let whole = count / lanes * lanes;
            let walked = k.repeat("i", whole, lanes as i64, &[worst, nowhere, here], |k, i, v| {
                let [best, found] = consider(k, i.into(), v[2], v[0], v[1]);
                vec![best, found, k.add(v[2], step)]
            });
            let (mut best, mut found) = (walked[0], walked[1]);
            if whole < count {
                let first = k.int(place, (count - lanes) as i64);
                let here = k.add(here, first);
                [best, found] = consider(k, (count - lanes).into(), here, best, found);
            }
            let top = k.reduce(if better == Cond::Gt { Reduce::Max } else { Reduce::Min }, best);
            let top = k.splat(top, lanes);
            let is_top = k.compare(Cond::Eq, best, top);
            let candidates = k.select(is_top, found, nowhere);
            let first = k.reduce(Reduce::Min, candidates);
            let (zero, end) = (k.int(Elem::I32.x(1), 0), k.int(Elem::I32.x(1), count as i64));
            let is_somewhere = k.compare(Cond::Lt, first, end);
            let mut result = k.select(is_somewhere, first, zero);
            if compared == Elem::F32 {
                // Nothing is better than NaN at the beginning.
                let v = load(k, 1, 0.into());
                let is_number = k.compare(Cond::Eq, v, v);
                result = k.select(is_number, result, zero);
            }
            let result = k.widen(result, index);
            k.store(y.at(row * i64::from(index.bytes())), result);
        });
        k.finish()
    }
}
