//! Sums along any axes, and what is made of a sum: the mean.
//!
//! Not pooling (`window.rs`), whose sums overlap. The idea: axes are merged to runs that are kept or summed in turn; the innermost run
//! is a vector's lanes, either of different results or of one.

use super::Context;
use super::channels::{Block, each_block};
use super::requantize::{INTEGER, Scale, Target, elem, shift_range};
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
    Rescale { zero_points: i64, multiplier: i32, shift: i32, target: Target },
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
    let zero_point = input.zero_point();
    let long = elem != Elem::F32 && !fits_32_bits(elem, zero_point, count);
    let finish = match elem {
        Elem::F32 => Finish::Divide(count as f32),
        _ => {
            let scale = |s: Option<f32>| s.ok_or_else(|| Diagnostic::new(Code::SCALE, "integers need one scale and zero point"));
            let real = requantize_multiplier(scale(input.scale())?, scale(output.scale())?);
            let (multiplier, shift) = quantize_multiplier(real);
            let (multiplier, shift) = mean_multiplier(multiplier, shift, count);
            shift_range(&[shift])?;
            if long && 0 < shift {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the output is too small for a mean of so many elements")
                    .expected("at least 1/65536 of the input's scale")
                    .found(format!("{real} of the output's scales for one of the input's")));
            }
            let (low, high) = elem.int_range();
            let target = Target { elem, zero_point: output.zero_point() as i32, low: low as i32, high: high as i32 };
            cx.note_rescaling(INTEGER, 1);
            Finish::Rescale { zero_points: zero_point.wrapping_mul(count as i64), multiplier, shift, target }
        }
    };
    let runs = runs(&input.shape, axes);
    let kernel = Mean { machine: cx.machine, elem, runs: &runs, wide: (MAX_NARROW as u64) < count, long, finish }.kernel();
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

/// So many 8-bit integers have a sum of 16 bits.
const MAX_NARROW: usize = 256;
/// So many 16-bit integers, or more of 8 bits, have a sum of 32 bits.
const MAX_SHORT: usize = 1 << 16;

/// Whether the sum of so many integers fits 32 bits once the zero points in it are taken away; what overflows before that wraps back.
fn fits_32_bits(elem: Elem, zero_point: i64, count: u64) -> bool {
    let (low, high) = elem.int_range();
    let reach = |difference: i64| i128::from(difference) * i128::from(count);
    i128::from(i32::MIN) <= reach(low - zero_point) && reach(high - zero_point) <= i128::from(i32::MAX)
}
/// Registers of sums that hide the time an addition takes.
const SUMS: usize = 8;

struct Mean<'a> {
    machine: &'a Machine,
    elem: Elem,
    runs: &'a [Run],
    /// The sum needs 32 bits even of 8-bit integers.
    wide: bool,
    /// The sum needs 64 bits.
    long: bool,
    finish: Finish,
}

impl Mean<'_> {
    fn kernel(&self) -> Kernel {
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
                self.across(k, (x, y), &summed, inner.size, from, to)
            } else {
                self.along(k, (x, y), &summed, inner.size, from, to)
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
    fn along(&self, k: &mut KernelBuilder, (x, y): (Arg, Arg), summed: &[(usize, usize)], size: usize, from: Index, to: Index) {
        let bytes = i64::from(self.elem.bytes());
        let vectors = match self.elem {
            Elem::F32 => (self.machine.vector_registers as usize / 2).max(4),
            _ if self.long => 1,
            _ => 2,
        };
        each_block(k, size, self.lanes(), vectors, |k, b| {
            let sum = self.sum(k, &b, x, summed, from.clone() + b.first.clone());
            let v = self.finish(k, sum);
            b.store(k, y.at((to.clone() + b.first.clone()) * bytes), v);
        });
    }

    /// Lanes are parts of one result.
    fn across(&self, k: &mut KernelBuilder, (x, y): (Arg, Arg), summed: &[(usize, usize)], size: usize, from: Index, to: Index) {
        let lanes = self.lanes().min(size.next_power_of_two());
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
            let sum = if self.elem == Elem::F32 { sum } else { k.widen(sum, self.total()) };
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

    /// A register of elements, or of 32-bit sums where sums grow to 64 bits.
    fn lanes(&self) -> usize {
        self.machine.lanes(if self.long { Elem::I32 } else { self.elem })
    }

    /// Type of the sum of all integers.
    fn total(&self) -> Elem {
        if self.long { Elem::I64 } else { Elem::I32 }
    }

    fn accumulator(&self) -> Elem {
        match self.elem {
            Elem::F32 => Elem::F32,
            _ if self.long => Elem::I64,
            Elem::I8 if !self.wide => Elem::I16,
            Elem::U8 if !self.wide => Elem::U16,
            _ => Elem::I32,
        }
    }

    /// Sum of a block over loops of (count, element stride).
    fn sum(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index) -> Value {
        let (Some((&(count, stride), outer)), true) = (loops.split_last(), self.long || self.wide && self.elem.bits() == 8) else {
            return self.nest(k, b, x, loops, at);
        };
        // Runs that fit fewer bits are summed there.
        let most = if self.long { MAX_SHORT } else { MAX_NARROW };
        let whole = count / most * most;
        if whole == 0 {
            return self.nest(k, b, x, loops, at);
        }
        let split = [outer, &[(whole / most, most * stride), (most, stride)]].concat();
        let sum = self.nest(k, b, x, &split, at.clone());
        if whole == count {
            return sum;
        }
        let rest = self.nest(k, b, x, &[outer, &[(count - whole, stride)]].concat(), at + whole * stride);
        k.add(sum, rest)
    }

    fn nest(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index) -> Value {
        if self.long && loops.iter().map(|l| l.0).product::<usize>() <= MAX_SHORT {
            let sum = Mean { long: false, ..*self }.sum(k, b, x, loops, at);
            return k.widen(sum, Elem::I64);
        }
        let zero = zero(k, self.accumulator().x(b.lanes));
        match loops.split_first() {
            None => self.add(k, b, x, at, zero),
            Some((&inner, [])) => self.innermost(k, b, x, inner, at),
            Some((&(count, stride), inner)) => k.repeat("s", count, 1, &[zero], |k, s, v| {
                let fits = inner.iter().map(|l| l.0).product::<usize>() <= MAX_NARROW;
                let part = Mean { wide: self.wide && !fits, ..*self };
                let sum = part.nest(k, b, x, inner, at + s * stride as i64);
                let sum = k.widen(sum, k.ty(v[0]).elem);
                vec![k.add(v[0], sum)]
            })[0],
        }
    }

    /// The innermost loop, with several sums at a time that need not wait for each other.
    fn innermost(&self, k: &mut KernelBuilder, b: &Block, x: Arg, (count, stride): (usize, usize), at: Index) -> Value {
        let ty = self.accumulator().x(b.lanes);
        let registers = (ty.bytes() as usize).div_ceil(self.machine.vector_bytes.max(ty.elem.bytes()) as usize);
        let sums = (SUMS / registers).clamp(1, 4).min(count);
        let zeros: Vec<Value> = (0..sums).map(|_| zero(k, ty)).collect();
        let whole = count / sums * sums;
        let step = |i: usize| at.clone() + i * stride;
        let mut results = k.repeat("s", whole, sums as i64, &zeros, |k, s, v| {
            v.iter().enumerate().map(|(i, &v)| self.add(k, b, x, step(i) + s * stride as i64, v)).collect()
        });
        for i in whole..count {
            results[i - whole] = self.add(k, b, x, step(i), results[i - whole]);
        }
        results.into_iter().reduce(|a, b| k.add(a, b)).expect("at least one sum")
    }

    fn add(&self, k: &mut KernelBuilder, b: &Block, x: Arg, at: Index, so_far: Value) -> Value {
        let v = b.load(k, self.elem, x.at(at * i64::from(self.elem.bytes())));
        let v = if self.elem == Elem::F32 { v } else { k.widen(v, self.accumulator()) };
        k.add(so_far, v)
    }

    fn finish(&self, k: &mut KernelBuilder, sum: Value) -> Value {
        match self.finish {
            Finish::Divide(n) => {
                let n = k.float(k.ty(sum), n);
                k.div(sum, n)
            }
            Finish::Rescale { zero_points, multiplier, shift, target } => {
                let sum = k.widen(sum, self.total());
                let ty = k.ty(sum);
                // In 32 bits what overflows wraps back.
                let offset = k.int(ty, if self.long { zero_points } else { i64::from(zero_points as i32) });
                let x = k.sub(sum, offset);
                if self.long {
                    let x = rescale_long(k, x, multiplier, shift, target);
                    return target.apply(k, x);
                }
                let x = Scale::constant(k, ty.lanes as usize, multiplier, shift).apply(k, x);
                target.apply(k, x)
            }
        }
    }
}

/// From i64 lanes to i32 lanes: `multiply_long_by_quantized_multiplier`, clamped to what the target can tell apart.
fn rescale_long(k: &mut KernelBuilder, x: Value, multiplier: i32, shift: i32, target: Target) -> Value {
    let ty = k.ty(x);
    let [low_bits, multiplier, half] = [i64::from(i32::MAX), multiplier.into(), 1 << 30].map(|v| k.int(ty, v));
    let (upper, lower) = (k.shr_imm(x, 31), k.and(x, low_bits));
    let (upper, lower) = (k.mul(upper, multiplier), k.mul(lower, multiplier));
    let lower = k.add(lower, half);
    let lower = k.shr_imm(lower, 31);
    let product = k.add(upper, lower);
    let scaled = if shift == 0 { product } else { k.rounding_shr(product, -shift as u8) };
    let bounds = [target.low, target.high].map(|b| i64::from(b - target.zero_point));
    let scaled = k.clamp_int(scaled, bounds[0], bounds[1]);
    k.narrow(scaled, Elem::I32)
}

fn zero(k: &mut KernelBuilder, ty: Type) -> Value {
    if ty.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) }
}
