//! Rows of the innermost dimension: walked over again and again by what is computed of each row as a whole.
//!
//! Not reductions in general (`reduce.rs`). The idea: every pass over a row is full vectors and one partial vector, in which a mask takes the
//! lanes beyond the row out of maximum and sum.

use super::{Context, Goal};
use crate::graph::Node;
use cranelite_tile::{Arg, BufferId, Cond, Counter, Elem, Index, KernelBuilder, Reduce, Type, Value};

/// The passes over one row of `depth` elements.
#[derive(Clone, Copy)]
pub struct Row {
    pub depth: usize,
    pub lanes: usize,
    pub mask: Arg,
    /// Of the ones, which are enough for a byte vector widened to 32 bits.
    pub mask_bytes: usize,
}

/// A row of at most so many full vectors is written out without a loop.
const UNROLLED: usize = 2;

impl Row {
    /// Full vectors, and elements in the partial one.
    pub fn parts(&self) -> (usize, usize) {
        (self.depth / self.lanes, self.depth % self.lanes)
    }

    /// All ones in the first `count` lanes of an integer type, zeros in the others.
    pub fn mask(&self, k: &mut KernelBuilder, ty: Type, count: usize) -> Value {
        let set = count * ty.elem.bytes() as usize;
        k.load(ty, self.mask.at(self.mask_bytes - set))
    }

    /// `x` in the first `count` lanes, `fill` beyond.
    pub fn masked(&self, k: &mut KernelBuilder, x: Value, count: usize, fill: Value) -> Value {
        let ty = k.ty(x);
        if count == ty.lanes as usize {
            return x;
        }
        let int = ty.with_elem(if ty.elem == Elem::F32 { Elem::I32 } else { ty.elem });
        let (mask, zero) = (self.mask(k, int, count), k.int(int, 0));
        let inside = k.compare(Cond::Ne, mask, zero);
        k.select(inside, x, fill)
    }

    /// Walks the row with carried values: `body` gets the element that a vector starts with and how many of its lanes count.
    pub fn walk(
        &self,
        k: &mut KernelBuilder,
        name: &str,
        init: &[Value],
        body: impl Fn(&mut KernelBuilder, Index, usize, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let (full, rest) = self.parts();
        let mut carried = init.to_vec();
        if full <= UNROLLED {
            for i in 0..full {
                carried = body(k, (i * self.lanes).into(), self.lanes, &carried);
            }
        } else {
            let step = self.lanes;
            carried = k.repeat(name, full * step, step as i64, init, |k, i, carried| body(k, i.into(), step, carried));
        }
        if 0 < rest {
            carried = body(k, (full * self.lanes).into(), rest, &carried);
        }
        carried
    }

    /// The largest element as a scalar; NaN is passed over.
    pub fn max(&self, k: &mut KernelBuilder, x: Arg, at: &Index, elem: Elem) -> Value {
        let ty = elem.x(self.lanes);
        let lowest = if elem == Elem::F32 { k.float(ty, f32::MIN) } else { k.int(ty, elem.int_range().0) };
        let max = self.walk(k, "max", &[lowest], |k, i, count, acc| {
            let v = k.load_part(ty, x.at(at.clone() + i * i64::from(elem.bytes())), count);
            let v = self.masked(k, v, count, lowest);
            vec![k.max(v, acc[0])]
        });
        k.reduce(Reduce::Max, max[0])
    }
}

/// A loop over rows if there are several.
pub fn each_row(k: &mut KernelBuilder, rows: usize, body: impl FnOnce(&mut KernelBuilder, Option<Counter>)) {
    if rows == 1 {
        body(k, None);
    } else {
        k.each("row", rows, 1, |k, r| body(k, Some(r)));
    }
}

pub fn row_start(row: Option<Counter>, depth: usize, elem: Elem) -> Index {
    row.map_or(Index::default(), |r| r * (depth as i64 * i64::from(elem.bytes())))
}

/// What the kernels of all types share: rows of the innermost dimension, the arguments x, mask and y.
pub struct Shape {
    pub rows: usize,
    pub depth: usize,
    pub lanes: usize,
    pub mask_bytes: usize,
}

impl Shape {
    /// `None` when there is nothing to do.
    pub fn of_node(cx: &Context, node: &Node, lanes_of: Elem) -> Option<Shape> {
        let shape = &cx.input_type(node, 0).shape;
        let depth = *shape.last()?;
        let rows = shape[..shape.len() - 1].iter().product();
        // One element at a time needs neither masks nor a rest.
        let lanes = if cx.goal == Goal::Size { 1 } else { cx.machine.lanes(lanes_of).min(depth.next_power_of_two()) };
        (0 < depth && 0 < rows).then_some(Shape { rows, depth, lanes, mask_bytes: 4 * cx.machine.lanes(Elem::U8) })
    }

    /// Ones, then zeros: a mask of any count of lanes starts somewhere in it.
    pub fn mask(&self, cx: &mut Context) -> BufferId {
        let bytes: Vec<u8> = [0xFF, 0].iter().flat_map(|&b| vec![b; self.mask_bytes]).collect();
        cx.constant("mask", bytes, 64)
    }

    pub fn row(&self, mask: Arg) -> Row {
        Row { depth: self.depth, lanes: self.lanes, mask, mask_bytes: self.mask_bytes }
    }
}
