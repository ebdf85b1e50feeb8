//! Moving elements: from places along axes in one array to places along the same axes in another.
//!
//! Not an operator: transposes, slices, splits, tiles and fills end here. The idea: an axis is how many elements there are and how far
//! apart they are, in the source and in the result. Axes that continue each other are one, the result is written in order, and the
//! innermost axis says how: runs of bytes are copied in vectors, one element for all is a vector of it, and where another axis is a run
//! of the source, squares of elements are transposed in registers.

use super::channels::each_block;
use super::copy::{self, container};
use super::{Context, pad};
use crate::graph::Node;
use cranelite_tile::strided::Rows;
use cranelite_tile::{Arg, BufferId, Elem, Index, Kernel, KernelBuilder, Machine, Value};
use std::cmp::Ordering;

/// How many elements, and from one to the next how many elements further on in the source and in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub count: usize,
    /// Negative: backwards; 0: the same element again.
    pub from: i64,
    pub to: i64,
}

/// The axes of an array of this shape, in its order in memory in the result, from elements so far apart.
pub fn axes(shape: &[usize], from: &[i64]) -> Vec<Axis> {
    shape.iter().zip(from).zip(strides(shape)).map(|((&count, &from), to)| Axis { count, from, to }).collect()
}

/// How far apart the elements along each axis of an array are.
pub fn strides(shape: &[usize]) -> Vec<i64> {
    (0..shape.len()).map(|d| shape[d + 1..].iter().product::<usize>() as i64).collect()
}

/// Moves elements of so many bytes, 16 or a power of two below: the first one from element `first.0` of `from` to element `first.1` of `to`.
pub fn elements(cx: &mut Context, from: BufferId, to: BufferId, element_bytes: usize, first: (usize, usize), axes: &[Axis]) {
    if axes.iter().any(|a| a.count == 0) {
        return;
    }
    let mut axes = axes.to_vec();
    let mut unit_bytes = element_bytes;
    if container(element_bytes).is_none() {
        // Complex numbers of doubles.
        unit_bytes = element_bytes / 2;
        axes.iter_mut().for_each(|a| (a.from, a.to) = (2 * a.from, 2 * a.to));
        axes.push(Axis { count: 2, from: 1, to: 1 });
    }
    let axes = merge(axes);
    let kernel = Mover { machine: cx.machine, elem: container(unit_bytes).expect("1, 2, 4, 8 or 16 bytes") }.kernel(&axes);
    let place = |element: usize| (element * element_bytes) as i64;
    cx.call(kernel, &[from, to], &[place(first.0), place(first.1)]);
    if let &[Axis { count, from: stride, to: length }, Axis { count: run, from: 1, to: 1 }] = &axes[..] {
        let [row_bytes, stride_bytes] = [run, stride.max(0) as usize].map(|n| (n * unit_bytes) as u64);
        let is_whole = first.1 == 0 && cx.size_bytes(to) == count as u64 * row_bytes;
        if is_whole && length == run as i64 && row_bytes <= stride_bytes {
            cx.note_row_copy(to, Rows { of: from, offset_bytes: place(first.0) as u64, row_bytes, stride_bytes });
        }
    }
}

/// As `elements`, from the first input of a node to its result, which has elements of whole bytes.
pub fn of_node(cx: &mut Context, node: &Node, first: (usize, usize), axes: &[Axis]) {
    let element_bytes = cx.output_type(node, 0).element.bytes().expect("infer has seen the type");
    let (from, to) = (cx.input(node, 0), cx.output(node, 0));
    elements(cx, from, to, element_bytes, first, axes);
}

/// Makes all elements of a node's result one: the bits of an integer.
pub fn fill(cx: &mut Context, node: &Node, bits: i64) {
    let y = cx.output_type(node, 0);
    let element_bytes = y.element.bytes().expect("infer has seen the type");
    let mut bytes = y.element.integer_bytes([bits]);
    bytes.resize(element_bytes, 0);
    let (from, to) = (cx.constant("element", bytes, 64), cx.output(node, 0));
    elements(cx, from, to, element_bytes, (0, 0), &[Axis { count: y.element_count(), from: 0, to: 1 }]);
}

/// Makes all elements around an array, whose axes are so long without what goes before and after, the only one of `from`.
pub fn margin(cx: &mut Context, from: BufferId, to: BufferId, element_bytes: usize, axes: &[pad::Axis]) {
    let shape: Vec<usize> = axes.iter().map(|a| a.before + a.size + a.after).collect();
    let strides = strides(&shape);
    for (d, a) in axes.iter().enumerate() {
        for (start, count) in [(0, a.before), (a.before + a.size, a.after)] {
            // Of outer axes what is not margin, inner ones whole.
            let range = |i: usize| match i.cmp(&d) {
                Ordering::Less => (axes[i].before, axes[i].size),
                Ordering::Equal => (start, count),
                Ordering::Greater => (0, shape[i]),
            };
            let ranges: Vec<(usize, usize)> = (0..axes.len()).map(range).collect();
            let first: usize = ranges.iter().zip(&strides).map(|(r, &stride)| r.0 * stride as usize).sum();
            let moved: Vec<Axis> = ranges.iter().zip(&strides).map(|(r, &to)| Axis { count: r.1, from: 0, to }).collect();
            elements(cx, from, to, element_bytes, (0, first), &moved);
        }
    }
}

/// Makes the bytes of a node's first input its result.
pub fn same_bytes(cx: &mut Context, node: &Node) {
    let x = node.input(0).expect("a required input, checked by infer");
    if !cx.alias(node.outputs[0], x) {
        let (from, to) = (cx.buffer(x), cx.buffer(node.outputs[0]));
        copy::whole(cx, from, to);
    }
}

/// Gives each result of a node its part of the first input, one after the other along an axis.
pub fn along(cx: &mut Context, node: &Node, axis: usize) {
    let ty = cx.input_type(node, 0);
    if ty.element_count() == 0 {
        return;
    }
    let x = node.input(0).expect("a required input, checked by infer");
    let rows: usize = ty.shape[..axis].iter().product();
    let row_bytes = ty.size_bytes() / rows;
    let mut offset = 0;
    for &y in &node.outputs {
        let size_bytes = cx.graph.ty(y).size_bytes() / rows;
        // What is in one piece need not be copied.
        if 1 < rows || !cx.alias_part(y, x, offset) {
            let (from, to) = (cx.buffer(x), cx.buffer(y));
            let axes = [(rows, row_bytes, size_bytes), (size_bytes, 1, 1)];
            elements(cx, from, to, 1, (offset, 0), &axes.map(|(count, from, to)| Axis { count, from: from as i64, to: to as i64 }));
        }
        offset += size_bytes;
    }
}

/// As few axes as can be, in the order of the result.
fn merge(mut axes: Vec<Axis>) -> Vec<Axis> {
    axes.retain(|a| a.count != 1);
    axes.sort_by_key(|a| std::cmp::Reverse(a.to));
    let mut merged: Vec<Axis> = vec![];
    for a in axes {
        match merged.last_mut() {
            Some(outer) if outer.from == a.from * a.count as i64 && outer.to == a.to * a.count as i64 => {
                *outer = Axis { count: outer.count * a.count, ..a };
            }
            _ => merged.push(a),
        }
    }
    merged
}

struct Mover<'a> {
    machine: &'a Machine,
    elem: Elem,
}

/// Most rows of a square that is transposed in registers.
const SQUARE: usize = 8;

impl Mover<'_> {
    fn kernel(&self, axes: &[Axis]) -> Kernel {
        let shape: Vec<String> = axes.iter().map(|a| a.count.to_string()).collect();
        let mut k = KernelBuilder::new(format!("move_{}_{}", self.elem, shape.join("x")));
        let (x, y) = (k.read("x"), k.write("y"));
        let first = [k.param("from"), k.param("to")];
        self.nest(&mut k, axes, x, first[0].into(), y, first[1].into());
        k.finish()
    }

    fn bytes(&self, elements: i64) -> i64 {
        elements * i64::from(self.elem.bytes())
    }

    fn nest(&self, k: &mut KernelBuilder, axes: &[Axis], x: Arg, from: Index, y: Arg, to: Index) {
        let at = |i: Index, stride: i64| i * self.bytes(stride);
        match axes {
            [] => {
                let v = k.load(self.elem.x(1), x.at(from));
                k.store(y.at(to), v);
            }
            [Axis { count, from: 1, to: 1 }] => {
                each_block(k, self.bytes(*count as i64) as usize, self.machine.copied_bytes(), 4, |k, b| {
                    let v = b.load(k, Elem::U8, x.at(from.clone() + b.first.clone()));
                    b.store(k, y.at(to.clone() + b.first.clone()), v);
                })
            }
            [Axis { count, from: 0, to: 1 }] => {
                let v = k.load(self.elem.x(1), x.at(from));
                each_block(k, *count, self.machine.lanes(self.elem), 4, |k, b| {
                    let v = k.splat(v, b.lanes);
                    b.store(k, y.at(to.clone() + at(b.first.clone(), 1)), v);
                });
            }
            // The axis along which the source is a run goes next to the innermost, which is one of the result.
            [outer @ .., inner]
                if 1 < outer.len()
                    && self.is_square(inner)
                    && outer.iter().any(|a| self.is_run(a))
                    && !self.is_run(&outer[outer.len() - 1]) =>
            {
                let run = outer.iter().position(|a| self.is_run(a)).expect("one is");
                let mut moved = outer.to_vec();
                let run = moved.remove(run);
                moved.extend([run, *inner]);
                self.nest(k, &moved, x, from, y, to);
            }
            [run, inner] if self.is_square(inner) && self.is_run(run) => self.transpose(k, run, inner, x, &from, y, &to),
            [axis, inner @ ..] => k.each("i", axis.count, 1, |k, i| {
                let (from, to) = (from + at(i.into(), axis.from), to + at(i.into(), axis.to));
                self.nest(k, inner, x, from, y, to);
            }),
        }
    }

    /// Rows of a square, of 16 bytes at most.
    fn side(&self) -> usize {
        SQUARE.min(16 / self.elem.bytes() as usize)
    }
    fn is_square(&self, inner: &Axis) -> bool {
        0 < self.machine.vector_bytes && inner.to == 1 && inner.from != 1 && self.side() <= inner.count
    }
    fn is_run(&self, axis: &Axis) -> bool {
        axis.from == 1 && self.side() <= axis.count
    }

    /// Two axes: along `run` the source is consecutive, along `inner` the result.
    #[allow(clippy::too_many_arguments)]
    fn transpose(&self, k: &mut KernelBuilder, run: &Axis, inner: &Axis, x: Arg, from: &Index, y: Arg, to: &Index) {
        let side = self.side();
        let square = |k: &mut KernelBuilder, i: Index, j: Index| {
            let ty = self.elem.x(side);
            let source = from.clone() + i.clone() * self.bytes(1) + j.clone() * self.bytes(inner.from);
            let result = to.clone() + i * self.bytes(run.to) + j * self.bytes(1);
            let rows: Vec<Value> = (0..side as i64).map(|r| k.load(ty, x.at(source.clone() + self.bytes(r * inner.from)))).collect();
            for (r, v) in (0..).zip(transposed(k, rows)) {
                k.store(y.at(result.clone() + self.bytes(r * run.to)), v);
            }
        };
        // The last square overlaps the one before.
        let each = |k: &mut KernelBuilder, name: &str, count: usize, body: &dyn Fn(&mut KernelBuilder, Index)| {
            let whole = count / side * side;
            k.each(name, whole, side as i64, |k, i| body(k, i.into()));
            if whole < count {
                body(k, (count - side).into());
            }
        };
        each(k, "i", run.count, &|k, i| each(k, "j", inner.count, &|k, j| square(k, i.clone(), j)));
    }
}

/// The columns of a square whose rows are these: each step makes of the first and the second half of the rows pairs, and so halves how far apart
/// the elements of a column are.
pub fn transposed(k: &mut KernelBuilder, mut rows: Vec<Value>) -> Vec<Value> {
    let side = rows.len();
    for _ in 0..side.ilog2() {
        let pairs = (0..side / 2).map(|i| k.interleave(rows[i], rows[i + side / 2])).collect::<Vec<_>>();
        rows = pairs.into_iter().flat_map(|v| [k.slice(v, 0, side), k.slice(v, side, side)]).collect();
    }
    rows
}
