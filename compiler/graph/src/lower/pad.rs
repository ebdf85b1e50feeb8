//! Writing an array with a margin: copies of rows, and fills around them.
//!
//! Not an operator: PAD is one caller, depthwise convolutions with few input channels are another. The idea: axes without padding
//! are merged with their inner neighbour, everything is bytes, and every byte of the result is written once, in order.

use super::Context;
use super::channels::each_block;
use cranelite_tile::{BufferId, Elem, Index, Kernel, KernelBuilder, Machine, Scalar, Type};

/// One axis: its size without padding, and what goes before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub size: usize,
    pub before: usize,
    pub after: usize,
}

/// Copies `from` with shape `axes` (sizes) into `to` with elements equal to `fill` around it. Both have elements of type `elem`.
pub fn pad(cx: &mut Context, from: BufferId, to: BufferId, axes: &[Axis], elem: Elem, fill: Scalar) {
    let axes = merge(axes, elem.bytes() as usize);
    if axes.iter().all(|a| 0 < a.before + a.size + a.after) {
        let kernel = kernel(cx.machine, &axes, elem, fill);
        cx.call(kernel, &[from, to], &[]);
    }
}

/// In bytes, with padding on all axes but perhaps the outermost.
fn merge(axes: &[Axis], element_bytes: usize) -> Vec<Axis> {
    let mut merged = vec![Axis { size: element_bytes, before: 0, after: 0 }];
    for a in axes.iter().rev() {
        let inner = merged.last_mut().expect("at least one axis");
        if inner.before + inner.after == 0 {
            *inner = Axis { size: a.size * inner.size, before: a.before * inner.size, after: a.after * inner.size };
        } else {
            merged.push(*a);
        }
    }
    merged.reverse();
    merged
}

fn kernel(machine: &Machine, axes: &[Axis], elem: Elem, fill: Scalar) -> Kernel {
    let shape: Vec<String> = axes.iter().map(|a| format!("{}p{}p{}", a.before, a.size, a.after)).collect();
    let mut k = KernelBuilder::new(format!("pad_{}", shape.join("_")));
    let (x, y) = (k.read("x"), k.write("y"));
    let writer = Writer { x, y, lanes: machine.lanes(elem).max(machine.copied_bytes() / elem.bytes() as usize), elem, fill };
    writer.axis(&mut k, axes, 0.into(), 0.into());
    k.finish()
}

struct Writer {
    x: cranelite_tile::Arg,
    y: cranelite_tile::Arg,
    lanes: usize,
    elem: Elem,
    fill: Scalar,
}

impl Writer {
    fn axis(&self, k: &mut KernelBuilder, axes: &[Axis], from: Index, to: Index) {
        let Some((axis, inner)) = axes.split_first() else { return };
        let stride: usize = inner.iter().map(|a| a.before + a.size + a.after).product();
        self.fill(k, to.clone(), axis.before * stride);
        let start = to.clone() + axis.before * stride;
        if inner.is_empty() {
            self.copy(k, from, start, axis.size);
        } else {
            let from_stride: usize = inner.iter().map(|a| a.size).product();
            k.each("i", axis.size, 1, |k, i| self.axis(k, inner, from + i * from_stride as i64, start + i * stride as i64));
        }
        self.fill(k, to + (axis.before + axis.size) * stride, axis.after * stride);
    }

    fn copy(&self, k: &mut KernelBuilder, from: Index, to: Index, bytes: usize) {
        each_block(k, bytes / self.elem.bytes() as usize, self.lanes, 4, |k, b| {
            let at = b.first.clone() * i64::from(self.elem.bytes());
            let v = b.load(k, self.elem, self.x.at(from.clone() + at.clone()));
            b.store(k, self.y.at(to.clone() + at), v);
        });
    }

    fn fill(&self, k: &mut KernelBuilder, to: Index, bytes: usize) {
        each_block(k, bytes / self.elem.bytes() as usize, self.lanes, 4, |k, b| {
            let v = k.op(Type { elem: self.elem, lanes: b.lanes as u32 }, cranelite_tile::Op::Const(self.fill));
            b.store(k, self.y.at(to.clone() + b.first.clone() * i64::from(self.elem.bytes())), v);
        });
    }
}
