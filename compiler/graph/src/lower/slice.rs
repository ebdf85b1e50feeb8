//! Reading every n-th element along the axes of an array.
//!
//! Not an operator: STRIDED_SLICE and rewrites that drop pixels end here. The idea: everything is bytes; inner axes that are taken
//! whole are one run, which is copied in vectors, and the axes outside of it are loops.

use super::Context;
use super::channels::each_block;
use super::copy::container;
use cranelite_tile::{Arg, BufferId, Elem, Index, Kernel, KernelBuilder, Machine};

/// One axis: its size, the first element taken, the distance to the next (negative: backwards), and how many are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub size: usize,
    pub first: usize,
    pub stride: i64,
    pub count: usize,
}

impl Axis {
    /// In memory the elements taken are one after the other.
    fn is_run(&self) -> bool {
        self.stride == 1 || self.count == 1
    }
}

/// Copies the elements of `from`, whose shape is the sizes of `axes`, to `to`. An element is so many bytes, a power of two up to 8.
pub fn slice(cx: &mut Context, from: BufferId, to: BufferId, axes: &[Axis], element_bytes: usize) {
    if axes.iter().all(|a| 0 < a.count) {
        let kernel = kernel(cx.machine, &merge(axes), element_bytes);
        cx.call(kernel, &[from, to], &[]);
    }
}

/// Fewer axes: one that is taken whole goes into the run outside of it.
fn merge(axes: &[Axis]) -> Vec<Axis> {
    let mut merged: Vec<Axis> = vec![];
    for &a in axes.iter().rev() {
        match merged.last_mut() {
            Some(i) if i.is_run() && i.count == i.size && a.is_run() => {
                *i = Axis { size: a.size * i.size, first: a.first * i.size, stride: 1, count: a.count * i.size };
            }
            _ => merged.push(a),
        }
    }
    merged.reverse();
    merged
}

fn kernel(machine: &Machine, axes: &[Axis], element_bytes: usize) -> Kernel {
    let shape: Vec<String> = axes.iter().map(|a| format!("{}x{}", a.count, a.stride.unsigned_abs())).collect();
    let mut k = KernelBuilder::new(format!("slice_{}", shape.join("_")));
    let (x, y) = (k.read("x"), k.write("y"));
    Writer { machine, x, y, element_bytes }.axis(&mut k, axes, 0.into(), 0.into());
    k.finish()
}

struct Writer<'a> {
    machine: &'a Machine,
    x: Arg,
    y: Arg,
    element_bytes: usize,
}

impl Writer<'_> {
    fn axis(&self, k: &mut KernelBuilder, axes: &[Axis], from: Index, to: Index) {
        let bytes = |sizes: fn(&Axis) -> usize, axes: &[Axis]| axes.iter().map(sizes).product::<usize>() * self.element_bytes;
        let Some((axis, inner)) = axes.split_first() else {
            let elem = container(self.element_bytes).expect("1, 2, 4 or 8 bytes");
            let v = k.load(elem.x(1), self.x.at(from));
            return k.store(self.y.at(to), v);
        };
        let (from_each, to_each) = (bytes(|a| a.size, inner), bytes(|a| a.count, inner));
        let from = from + axis.first * from_each;
        if inner.is_empty() && axis.is_run() {
            return each_block(k, axis.count * self.element_bytes, self.machine.lanes(Elem::U8), 4, |k, b| {
                let v = b.load(k, Elem::U8, self.x.at(from.clone() + b.first.clone()));
                b.store(k, self.y.at(to.clone() + b.first.clone()), v);
            });
        }
        if axis.count == 1 {
            return self.axis(k, inner, from, to);
        }
        k.each("i", axis.count, 1, |k, i| self.axis(k, inner, from + i * (axis.stride * from_each as i64), to + i * to_each as i64));
    }
}
