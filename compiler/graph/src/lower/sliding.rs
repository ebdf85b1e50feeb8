//! A window that slides over an array of any axes, whose elements become one number.
//!
//! Not pooling (`window.rs`), which knows images and their borders. The idea: outputs next to each other along the innermost axis are lanes, where the
//! window moves by one element there; axes that the window does not look along are one with that.

use super::channels::{Block, each_block};
use super::copy::each;
use super::requantize::elem;
use super::{Context, convert};
use crate::tensor::ElementType;
use cranelite_tile::{Arg, Binary, BufferId, Cond, Elem, Index, KernelBuilder, Type, Value};

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    Add,
    Mul,
    Min,
    Max,
    /// Whether both are not zero.
    All,
    /// Whether one of them is not.
    Any,
}

#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub window: usize,
    pub stride: usize,
    pub dilation: usize,
}

impl Axis {
    /// The window sees one element of it, and moves to the next.
    fn is_plain(&self) -> bool {
        self.window == 1 && self.stride == 1
    }
}

/// Axes as one, where both are plain and go on where the other ends.
fn merged(axes: &[Axis]) -> Vec<Axis> {
    let mut merged: Vec<Axis> = vec![];
    for &a in axes {
        match merged.last_mut() {
            Some(last) if last.is_plain() && a.is_plain() && a.input == a.output => {
                (last.input, last.output) = (last.input * a.input, last.output * a.output);
            }
            _ => merged.push(a),
        }
    }
    merged
}

struct Reduce {
    elem: Elem,
    combine: Combine,
    axes: Vec<Axis>,
    x: Arg,
    start: Arg,
}

/// `start` is what every window begins with.
pub fn reduce(cx: &mut Context, from: BufferId, start: BufferId, to: BufferId, element: ElementType, axes: &[Axis], combine: Combine) {
    let elem = elem(element).expect("infer has seen the type");
    let axes = merged(axes);
    let shape: Vec<String> = axes.iter().map(|a| format!("{}w{}s{}d{}", a.input, a.window, a.stride, a.dilation)).collect();
    let mut k = KernelBuilder::new(format!("reduce_window_{elem}_{}", shape.join("_")));
    let (x, first) = (k.read("x"), k.read("start"));
    let y = k.write("y");
    let lanes = cx.machine.lanes(elem);
    let r = Reduce { elem, combine, axes, x, start: first };
    r.outputs(&mut k, 0, (0.into(), 0.into()), y, lanes);
    cx.call(k.finish(), &[from, start, to], &[]);
}

impl Reduce {
    fn bytes(&self) -> i64 {
        i64::from(self.elem.bytes())
    }

    /// All outputs below those of the axes before `d`.
    fn outputs(&self, k: &mut KernelBuilder, d: usize, (from, to): (Index, Index), y: Arg, lanes: usize) {
        let axis = self.axes[d];
        if d + 1 < self.axes.len() {
            each(k, "o", axis.output, |k, o| {
                let from = (from + o.clone() * axis.stride as i64) * self.axes[d + 1].input as i64;
                self.outputs(k, d + 1, (from, (to + o) * self.axes[d + 1].output as i64), y, lanes);
            });
        } else if axis.stride == 1 {
            each_block(k, axis.output, lanes, 4, |k, b| {
                let v = self.window(k, &b, from.clone() + b.first.clone());
                b.store(k, y.at((to.clone() + b.first.clone()) * self.bytes()), v);
            });
        } else {
            each(k, "o", axis.output, |k, o| {
                let one = Block { first: 0.into(), lanes: 1, count: 1 };
                let v = self.window(k, &one, from + o.clone() * axis.stride as i64);
                k.store(y.at((to + o) * self.bytes()), v);
            });
        }
    }

    /// What windows whose first element is number `from`, and those next to it, become.
    fn window(&self, k: &mut KernelBuilder, b: &Block, from: Index) -> Value {
        let ty = self.elem.x(b.lanes);
        let start = k.load_splat(ty, 1, self.start.at(0));
        let taps: Vec<(usize, i64)> = (0..self.axes.len())
            .map(|d| {
                let below: usize = self.axes[d + 1..].iter().map(|a| a.input).product();
                (self.axes[d].window, (self.axes[d].dilation * below) as i64)
            })
            .filter(|t| 1 < t.0)
            .collect();
        self.taps(k, b, ty, &taps, from, start)
    }

    fn taps(&self, k: &mut KernelBuilder, b: &Block, ty: Type, taps: &[(usize, i64)], at: Index, so_far: Value) -> Value {
        let Some(((count, step), inner)) = taps.split_first() else {
            let v = b.load(k, self.elem, self.x.at(at * self.bytes()));
            return self.apply(k, ty, so_far, v);
        };
        k.repeat("tap", *count, 1, &[so_far], |k, i, so_far| vec![self.taps(k, b, ty, inner, at + i * *step, so_far[0])])[0]
    }

    fn apply(&self, k: &mut KernelBuilder, ty: Type, a: Value, b: Value) -> Value {
        match self.combine {
            Combine::Add => k.add(a, b),
            Combine::Mul => k.mul(a, b),
            // Of equal zeros the first; what NaN is compared with is not passed over.
            Combine::Min | Combine::Max if self.elem.is_float() => {
                let cond = if self.combine == Combine::Min { Cond::Le } else { Cond::Ge };
                let is_first = k.compare(cond, a, b);
                k.select(is_first, a, b)
            }
            Combine::Min => k.min(a, b),
            Combine::Max => k.max(a, b),
            Combine::All | Combine::Any => {
                let zero = if self.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) };
                let [a, b] = [a, b].map(|v| {
                    let mask = k.compare(Cond::Ne, v, zero);
                    convert::truth(k, mask)
                });
                let both = k.binary(if self.combine == Combine::All { Binary::And } else { Binary::Or }, a, b);
                let mask = convert::mask(k, both, self.elem);
                let one = if self.elem.is_float() { k.float(ty, 1.0) } else { k.int(ty, 1) };
                k.select(mask, one, zero)
            }
        }
    }
}
