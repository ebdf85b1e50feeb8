//! Sums along any axes, and what is made of a sum: the mean.
//!
//! Not pooling (`window.rs`), whose sums overlap. The idea: axes are merged to runs that are kept or summed in turn; the innermost run
//! is a vector's lanes, either of different results or of one.

use super::Context;
use super::channels::{Block, each_block};
use super::requantize::{Scale, Target, elem, shift_range};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::quantize::{mean_multiplier, quantize_multiplier, requantize_multiplier};
use cranelite_tile::{Arg, Elem, Index, Kernel, KernelBuilder, Machine, Reduce, Type, Value};

/// Consecutive axes of the same kind as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    size: usize,
    summed: bool,
}

/// What becomes of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finish {
    /// Divided by so many.
    Divide(f32),
    /// Less the zero points in it, rescaled.
    Rescale { zero_points: i32, multiplier: i32, shift: i32, target: Target },
}

/// Writes the calls of a MEAN along `axes`.
pub fn mean(cx: &mut Context, node: &Node, axes: &[usize]) -> Result<(), Diagnostic> {
    let (input, output) = (cx.input_type(node, 0), cx.output_type(node, 0));
    if output.element_count() == 0 {
        return Ok(());
    }
    let elem = elem(input.element).expect("an element type that infer lets pass");
    let count = axes.iter().map(|&a| input.shape[a] as u64).product::<u64>();
    if count == 0 {
        return Err(Diagnostic::new(Code::OPERAND, "the mean of no element is not defined"));
    }
    let finish = match elem {
        Elem::F32 => Finish::Divide(count as f32),
        _ => {
            let scale = |s: Option<f32>| s.ok_or_else(|| Diagnostic::new(Code::SCALE, "integers need one scale and zero point"));
            let real = requantize_multiplier(scale(input.scale())?, scale(output.scale())?);
            let (multiplier, shift) = quantize_multiplier(real);
            let (multiplier, shift) = mean_multiplier(multiplier, shift, count);
            shift_range(&[shift])?;
            let (low, high) = elem.int_range();
            let target = Target { elem, zero_point: output.zero_point() as i32, low: low as i32, high: high as i32 };
            Finish::Rescale { zero_points: (input.zero_point() as i32).wrapping_mul(count as i32), multiplier, shift, target }
        }
    };
    let runs = runs(&input.shape, axes);
    let kernel = Mean { elem, runs: &runs, wide: 256 < count, finish }.kernel(cx.machine);
    let (x, y) = (cx.input(node, 0), cx.output(node, 0));
    cx.call(kernel, &[x, y], &[]);
    Ok(())
}

/// Axes of size 1 vanish; the innermost run always exists.
fn runs(shape: &[usize], axes: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for (i, &size) in shape.iter().enumerate().filter(|(_, size)| **size != 1) {
        let summed = axes.contains(&i);
        match runs.last_mut() {
            Some(last) if last.summed == summed => last.size *= size,
            _ => runs.push(Run { size, summed }),
        }
    }
    if runs.is_empty() {
        runs.push(Run { size: 1, summed: false });
    }
    runs
}

struct Mean<'a> {
    elem: Elem,
    runs: &'a [Run],
    /// The sum needs 32 bits even of 8-bit integers.
    wide: bool,
    finish: Finish,
}

impl Mean<'_> {
    fn kernel(&self, machine: &Machine) -> Kernel {
        let shape: Vec<String> = self.runs.iter().map(|r| format!("{}{}", if r.summed { "s" } else { "" }, r.size)).collect();
        let mut k = KernelBuilder::new(format!("mean_{}_{}", self.elem, shape.join("_")));
        let (x, y) = (k.read("x"), k.write("y"));
        let (inner, outer) = self.runs.split_last().expect("at least one run");
        // Element strides of the outer runs in the input; in the output of the kept ones.
        let mut stride = inner.size;
        let mut out_stride = if inner.summed { 1 } else { inner.size };
        let (mut kept, mut summed) = (vec![], vec![]);
        for r in outer.iter().rev() {
            if r.summed {
                summed.insert(0, (r.size, stride));
            } else {
                kept.insert(0, (r.size, stride, out_stride));
                out_stride *= r.size;
            }
            stride *= r.size;
        }
        self.each_kept(&mut k, &kept, 0.into(), 0.into(), &|k, from, to| {
            if inner.summed {
                self.across(k, machine, x, y, &summed, inner.size, from, to)
            } else {
                self.along(k, machine, x, y, &summed, inner.size, from, to)
            }
        });
        k.finish()
    }

    fn each_kept(
        &self,
        k: &mut KernelBuilder,
        runs: &[(usize, usize, usize)],
        from: Index,
        to: Index,
        body: &dyn Fn(&mut KernelBuilder, Index, Index),
    ) {
        match runs.split_first() {
            None => body(k, from, to),
            Some((&(size, stride, out_stride), inner)) => k.each("i", size, 1, |k, i| {
                self.each_kept(k, inner, from + i * stride as i64, to + i * out_stride as i64, body);
            }),
        }
    }

    /// Lanes are different results.
    #[allow(clippy::too_many_arguments)]
    fn along(
        &self,
        k: &mut KernelBuilder,
        machine: &Machine,
        x: Arg,
        y: Arg,
        summed: &[(usize, usize)],
        size: usize,
        from: Index,
        to: Index,
    ) {
        let bytes = i64::from(self.elem.bytes());
        let vectors = if self.elem == Elem::F32 { 4 } else { 2 };
        each_block(k, size, machine.lanes(self.elem), vectors, |k, b| {
            let sum = self.sum(k, &b, x, summed, from.clone() + b.first.clone());
            let v = self.finish(k, sum);
            b.store(k, y.at((to.clone() + b.first.clone()) * bytes), v);
        });
    }

    /// Lanes are parts of one result.
    #[allow(clippy::too_many_arguments)]
    fn across(
        &self,
        k: &mut KernelBuilder,
        machine: &Machine,
        x: Arg,
        y: Arg,
        summed: &[(usize, usize)],
        size: usize,
        from: Index,
        to: Index,
    ) {
        let lanes = machine.lanes(self.elem).min(size.next_power_of_two());
        let (whole, rest) = (size / lanes, size % lanes);
        let mut total: Option<Value> = None;
        let mut blocks = vec![];
        if 0 < whole {
            let mut with_vectors = summed.to_vec();
            with_vectors.push((whole, lanes));
            blocks.push((with_vectors, Block { first: 0.into(), lanes, count: lanes }));
        }
        if 0 < rest {
            blocks.push((summed.to_vec(), Block { first: (whole * lanes).into(), lanes, count: rest }));
        }
        for (loops, b) in blocks {
            let sum = self.sum(k, &b, x, &loops, from.clone() + b.first.clone());
            let sum = if self.elem == Elem::F32 { sum } else { k.widen(sum, Elem::I32) };
            total = Some(match total {
                None => sum,
                Some(t) => k.add(t, sum),
            });
        }
        let total = total.expect("a run is not empty");
        let total = if lanes == 1 { total } else { k.reduce(Reduce::Add, total) };
        let v = self.finish(k, total);
        k.store(y.at(to * i64::from(self.elem.bytes())), v);
    }

    fn accumulator(&self) -> Elem {
        match self.elem {
            Elem::F32 => Elem::F32,
            Elem::I8 if !self.wide => Elem::I16,
            Elem::U8 if !self.wide => Elem::U16,
            _ => Elem::I32,
        }
    }

    /// Sum of a block over loops of (count, element stride).
    fn sum(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index) -> Value {
        let ty = self.accumulator().x(b.lanes);
        let zero = zero(k, ty);
        self.nest(k, b, x, loops, at, zero)
    }

    fn nest(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index, so_far: Value) -> Value {
        let Some((&(count, stride), inner)) = loops.split_first() else {
            let v = b.load(k, self.elem, x.at(at * i64::from(self.elem.bytes())));
            let v = if self.elem == Elem::F32 { v } else { k.widen(v, self.accumulator()) };
            return k.add(so_far, v);
        };
        k.repeat("s", count, 1, &[so_far], |k, s, v| {
            // A run of 8-bit integers that fits 16 bits is summed there and added to the total as a whole.
            let narrow = Mean { wide: false, ..*self };
            if inner.is_empty() || self.accumulator() == narrow.accumulator() || 256 < inner.iter().map(|l| l.0).product::<usize>() {
                return vec![self.nest(k, b, x, inner, at + s * stride as i64, v[0])];
            }
            let part = narrow.sum(k, b, x, inner, at + s * stride as i64);
            let part = k.widen(part, Elem::I32);
            vec![k.add(v[0], part)]
        })[0]
    }

    fn finish(&self, k: &mut KernelBuilder, sum: Value) -> Value {
        match self.finish {
            Finish::Divide(n) => {
                let n = k.float(k.ty(sum), n);
                k.div(sum, n)
            }
            Finish::Rescale { zero_points, multiplier, shift, target } => {
                let sum = k.widen(sum, Elem::I32);
                let ty = k.ty(sum);
                let offset = k.int(ty, zero_points.into());
                let x = k.sub(sum, offset);
                let x = Scale::constant(k, ty.lanes as usize, multiplier, shift).apply(k, x);
                target.apply(k, x)
            }
        }
    }
}

fn zero(k: &mut KernelBuilder, ty: Type) -> Value {
    if ty.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) }
}
