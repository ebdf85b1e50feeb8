//! Sums, products, largest and smallest elements along any axes, and what is made of a sum: the mean.
//!
//! Not pooling (`window.rs`), whose sums overlap. The idea: axes are merged to runs that are kept or summed in turn; the innermost run
//! is a vector's lanes, either of different results or of one.

use super::channels::{Block, each_block};
use super::requantize::{INTEGER, Scale, Target, elem, shift_range};
use super::{Context, copy, counts, moves};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::ops::checks;
use crate::quantize::{mean_multiplier, product_multiplier, quantize_multiplier, requantize_multiplier, wide_requantization};
use cranelite_tile::{Arg, Binary, BufferId, Cond, Elem, Index, Kernel, KernelBuilder, Machine, Reduce, Type, Value};

/// Consecutive axes of the same kind as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    size: usize,
    summed: bool,
}

/// What becomes of a sum, or of what else elements are reduced to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finish {
    Nothing,
    /// A truth value.
    AtMostOne,
    /// As integers, toward zero.
    Quotient(u64),
    /// Divided by so many.
    Divide(f32),
    /// Less the zero points in it, rescaled.
    Rescale {
        zero_points: i64,
        multiplier: i32,
        shift: i32,
        target: Target,
    },
}

/// How two become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    Add,
    Mul,
    Min,
    Max,
}

/// What an operator makes of the elements along axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    Mean,
    Sum,
    Product,
    Least,
    Largest,
    All,
    Any,
}

impl Reduction {
    fn combine(self) -> Combine {
        match self {
            Reduction::Mean | Reduction::Sum => Combine::Add,
            Reduction::Product => Combine::Mul,
            Reduction::Least | Reduction::All => Combine::Min,
            Reduction::Largest | Reduction::Any => Combine::Max,
        }
    }

    /// The result of no elements, as bits; it takes part in that of some. The reference begins with the largest finite float.
    fn of_none(self, elem: Elem) -> i64 {
        let (low, high) = elem.int_range();
        let [one, least, largest] = match elem {
            Elem::F32 => [1.0f32, f32::MIN, f32::MAX].map(|v| v.to_bits().into()),
            _ => [1, low, high],
        };
        match self {
            Reduction::Mean | Reduction::Sum | Reduction::Any => 0,
            Reduction::Product | Reduction::All => one,
            Reduction::Least => largest,
            Reduction::Largest => least,
        }
    }
}

/// Writes the calls of a reduction along `axes`.
pub fn reduce(cx: &mut Context, node: &Node, reduction: Reduction, axes: &[usize]) -> Result<(), Diagnostic> {
    let (input, output) = (cx.input_type(node, 0), cx.output_type(node, 0));
    if output.element_count() == 0 {
        return Ok(());
    }
    let elem = elem(input.element).expect("an element type that infer lets pass");
    let count = axes.iter().map(|&a| input.shape[a] as u64).product::<u64>();
    let is_quantized = checks::is_quantized(input.element);
    // How many rows there are is known at run time only; those beyond change nothing.
    let is_counted = axes.first() == Some(&0) && node.input(0).is_some_and(|v| cx.graph.counts.contains_key(&v));
    if count == 0 {
        return match reduction {
            Reduction::Mean => Err(Diagnostic::new(Code::OPERAND, "the mean of no element is not defined")),
            Reduction::Product if is_quantized => Err(Diagnostic::new(Code::OPERAND, "the quantised product of no element is not defined")),
            _ => {
                moves::fill(cx, node, reduction.of_none(elem));
                Ok(())
            }
        };
    }
    if reduction == Reduction::Product && is_quantized {
        return product(cx, node, axes, count);
    }
    let is_mean_or_sum = reduction.combine() == Combine::Add;
    // The reference has another loop for a result of all elements, which begins with the first of them.
    let is_all = axes.len() == input.rank();
    if is_all && count == 1 && !(is_mean_or_sum && is_quantized) {
        let (x, y) = (summed(cx, node, reduction, is_counted), cx.output(node, 0));
        copy::whole(cx, x, y);
        if is_counted && reduction == Reduction::Mean {
            counts::divide(cx, node, 1);
        }
        return Ok(());
    }
    let zero_point = input.zero_point();
    let long = match elem {
        Elem::F32 => false,
        _ if is_quantized => is_mean_or_sum && !fits_32_bits(elem, zero_point, count),
        _ => reduction == Reduction::Mean,
    };
    let finish = match elem {
        Elem::F32 if reduction == Reduction::Mean && is_counted => Finish::Nothing,
        Elem::F32 if reduction == Reduction::Mean => Finish::Divide(count as f32),
        _ if matches!(reduction, Reduction::All | Reduction::Any) => Finish::AtMostOne,
        _ if reduction == Reduction::Mean && !is_quantized => Finish::Quotient(count),
        _ if !is_mean_or_sum || !is_quantized => Finish::Nothing,
        _ => {
            let scale = |s: Option<f32>| s.ok_or_else(|| Diagnostic::new(Code::SCALE, "integers need one scale and zero point"));
            let real = requantize_multiplier(scale(input.scale())?, scale(output.scale())?);
            let (multiplier, shift) = quantize_multiplier(real);
            let (multiplier, shift) = match reduction {
                Reduction::Mean => mean_multiplier(multiplier, shift, count),
                _ => (multiplier, shift),
            };
            shift_range(&[shift])?;
            if long && 0 < shift {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the output is too small for a sum of so many elements")
                    .expected(if reduction == Reduction::Mean {
                        "at least 1/65536 of the input's scale"
                    } else {
                        "more than the input's scale"
                    })
                    .found(format!("{real} of the output's scales for one of the input's")));
            }
            let (low, high) = elem.int_range();
            let target = Target { elem, zero_point: output.zero_point() as i32, low: low as i32, high: high as i32 };
            cx.note_rescaling(INTEGER, 1);
            Finish::Rescale { zero_points: zero_point.wrapping_mul(count as i64), multiplier, shift, target }
        }
    };
    let runs = runs(&input.shape, axes);
    let start = match (reduction, is_all) {
        (Reduction::Least, true) if elem == Elem::F32 => f32::INFINITY.to_bits().into(),
        (Reduction::Largest, true) if elem == Elem::F32 => f32::NEG_INFINITY.to_bits().into(),
        _ => reduction.of_none(elem),
    };
    let reducer = Reducer {
        machine: cx.machine,
        elem,
        runs: &runs,
        combine: reduction.combine(),
        start,
        keeps_nan: is_all && elem == Elem::F32 && matches!(reduction, Reduction::Least | Reduction::Largest),
        wide: (MAX_NARROW as u64) < count,
        long,
        finish,
    };
    let kernel = reducer.kernel();
    let (x, y) = (summed(cx, node, reduction, is_counted), cx.output(node, 0));
    cx.call(kernel, &[x, y], &[]);
    if is_counted && reduction == Reduction::Mean {
        counts::divide(cx, node, count / input.shape[0] as u64);
    }
    Ok(())
}

/// What is reduced; elements of rows that do not exist change nothing.
fn summed(cx: &mut Context, node: &Node, reduction: Reduction, is_counted: bool) -> BufferId {
    let ty = cx.input_type(node, 0);
    let elem = elem(ty.element).expect("an element type that infer lets pass");
    let bits = match (reduction, elem) {
        _ if !is_counted => return cx.input(node, 0),
        (Reduction::Sum | Reduction::Mean, _) if checks::is_quantized(ty.element) => ty.zero_point(),
        (Reduction::Least, Elem::F32) => f32::INFINITY.to_bits().into(),
        (Reduction::Largest, Elem::F32) => f32::NEG_INFINITY.to_bits().into(),
        _ => reduction.of_none(elem),
    };
    let of_none = if matches!(reduction, Reduction::Least | Reduction::Largest) { reduction.of_none(elem) } else { bits };
    let [element, of_none] = [bits, of_none].map(i64::to_le_bytes);
    let size = elem.bytes() as usize;
    counts::without_rest(cx, node, [&element[..size], &of_none[..size]])
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

struct Reducer<'a> {
    machine: &'a Machine,
    elem: Elem,
    runs: &'a [Run],
    combine: Combine,
    /// What elements are combined with first, as bits.
    start: i64,
    /// The result is NaN where the first element is.
    keeps_nan: bool,
    /// The sum needs 32 bits even of 8-bit integers.
    wide: bool,
    /// The sum needs 64 bits.
    long: bool,
    finish: Finish,
}

impl Reducer<'_> {
    fn kernel(&self) -> Kernel {
        let shape: Vec<String> = self.runs.iter().map(|r| format!("{}{}", if r.summed { "s" } else { "" }, r.size)).collect();
        let name = match (self.combine, self.finish) {
            (Combine::Add, Finish::Nothing) => "sum",
            (Combine::Add, _) => "mean",
            (Combine::Mul, _) => "product",
            (Combine::Min, _) => "least",
            (Combine::Max, _) => "largest",
        };
        let mut k = KernelBuilder::new(format!("{name}_{}_{}", self.elem, shape.join("_")));
        let (x, y) = (k.read("x"), k.write("y"));
        self.write(&mut k, &|k, inner, summed, size, from, to| {
            if inner.summed { self.across(k, (x, y), summed, size, from, to) } else { self.along(k, (x, y), summed, size, from, to) }
        });
        k.finish()
    }

    /// Calls `body` with the innermost run, the loops of others that are summed, and where in input and output they begin.
    #[allow(clippy::type_complexity)]
    fn write(&self, k: &mut KernelBuilder, body: &dyn Fn(&mut KernelBuilder, &Run, &[(usize, usize)], usize, Index, Index)) {
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
        self.each_kept(k, &kept, 0.into(), 0.into(), &|k, from, to| body(k, inner, &summed, inner.size, from, to));
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
        // Lanes beyond the last element are zeros, which only sums do not see.
        let is_sum = self.combine == Combine::Add;
        let lanes = self.lanes().min(if is_sum { size.next_power_of_two() } else { 1 << size.ilog2() });
        let (whole, mut rest) = (size / lanes, size % lanes);
        let mut total: Option<Value> = None;
        let mut blocks = vec![];
        if 0 < whole {
            let mut with_vectors = summed.to_vec();
            with_vectors.push((whole, lanes));
            blocks.push((with_vectors, Block { first: 0.into(), lanes, count: lanes }));
        }
        while 0 < rest {
            let (lanes, count) = if is_sum { (lanes, rest) } else { (1 << rest.ilog2(), 1 << rest.ilog2()) };
            blocks.push((summed.to_vec(), Block { first: (size - rest).into(), lanes, count }));
            rest -= count;
        }
        for (loops, b) in blocks {
            let sum = self.sum(k, &b, x, &loops, from.clone() + b.first.clone());
            let sum = if self.widens() { k.widen(sum, self.total()) } else { sum };
            let sum = if is_sum { sum } else { self.all_lanes(k, sum) };
            total = Some(match total {
                None => sum,
                Some(t) => self.combine(k, t, sum),
            });
        }
        let total = total.expect("a run is not empty");
        let total = self.all_lanes(k, total);
        let mut v = self.finish(k, total);
        if self.keeps_nan {
            let first = k.load(self.elem.x(1), x.at(from * i64::from(self.elem.bytes())));
            let is_nan = k.compare(Cond::Ne, first, first);
            v = k.select(is_nan, first, v);
        }
        k.store(y.at(to * i64::from(self.elem.bytes())), v);
    }

    fn all_lanes(&self, k: &mut KernelBuilder, mut v: Value) -> Value {
        let reduce = match self.combine {
            _ if k.ty(v).lanes == 1 => return v,
            Combine::Add => Reduce::Add,
            Combine::Min => Reduce::Min,
            Combine::Max => Reduce::Max,
            Combine::Mul => {
                while let lanes @ 2.. = k.ty(v).lanes as usize {
                    let (low, high) = (k.slice(v, 0, lanes / 2), k.slice(v, lanes / 2, lanes / 2));
                    v = k.mul(low, high);
                }
                return v;
            }
        };
        k.reduce(reduce, v)
    }

    fn combine(&self, k: &mut KernelBuilder, a: Value, b: Value) -> Value {
        let op = match self.combine {
            Combine::Add => Binary::Add,
            Combine::Mul => Binary::Mul,
            Combine::Min => Binary::Min,
            Combine::Max => Binary::Max,
        };
        // Where one is NaN, the second stays.
        k.binary(op, a, b)
    }

    fn start(&self, k: &mut KernelBuilder, ty: Type) -> Value {
        if ty.elem.is_float() { k.float(ty, f32::from_bits(self.start as u32)) } else { k.int(ty, self.start) }
    }

    /// Sums of quantised integers need more bits than these, and so do sums that are divided.
    fn widens(&self) -> bool {
        self.elem != Elem::F32 && !matches!(self.finish, Finish::Nothing | Finish::AtMostOne)
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
            _ if !self.widens() => self.elem,
            _ if self.long => Elem::I64,
            Elem::I8 if !self.wide => Elem::I16,
            Elem::U8 if !self.wide => Elem::U16,
            _ => Elem::I32,
        }
    }

    /// Sum of a block over loops of (count, element stride).
    fn sum(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index) -> Value {
        let is_split = self.widens() && self.elem.bits() <= 16 && (self.long || self.wide && self.elem.bits() == 8);
        let (Some((&(count, stride), outer)), true) = (loops.split_last(), is_split) else {
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
        self.combine(k, sum, rest)
    }

    fn nest(&self, k: &mut KernelBuilder, b: &Block, x: Arg, loops: &[(usize, usize)], at: Index) -> Value {
        if self.long && self.elem.bits() <= 16 && loops.iter().map(|l| l.0).product::<usize>() <= MAX_SHORT {
            let sum = Reducer { long: false, ..*self }.sum(k, b, x, loops, at);
            return k.widen(sum, Elem::I64);
        }
        let zero = self.start(k, self.accumulator().x(b.lanes));
        match loops.split_first() {
            None => self.add(k, b, x, at, zero),
            Some((&inner, [])) => self.innermost(k, b, x, inner, at),
            Some((&(count, stride), inner)) => k.repeat("s", count, 1, &[zero], |k, s, v| {
                let fits = inner.iter().map(|l| l.0).product::<usize>() <= MAX_NARROW;
                let part = Reducer { wide: self.wide && !fits, ..*self };
                let sum = part.nest(k, b, x, inner, at + s * stride as i64);
                let sum = if self.widens() { k.widen(sum, k.ty(v[0]).elem) } else { sum };
                vec![self.combine(k, sum, v[0])]
            })[0],
        }
    }

    /// The innermost loop, with several sums at a time that need not wait for each other.
    fn innermost(&self, k: &mut KernelBuilder, b: &Block, x: Arg, (count, stride): (usize, usize), at: Index) -> Value {
        let ty = self.accumulator().x(b.lanes);
        let registers = (ty.bytes() as usize).div_ceil(self.machine.vector_bytes.max(ty.elem.bytes()) as usize);
        let sums = (SUMS / registers).clamp(1, 4).min(count);
        let zeros: Vec<Value> = (0..sums).map(|_| self.start(k, ty)).collect();
        let whole = count / sums * sums;
        let step = |i: usize| at.clone() + i * stride;
        let mut results = k.repeat("s", whole, sums as i64, &zeros, |k, s, v| {
            v.iter().enumerate().map(|(i, &v)| self.add(k, b, x, step(i) + s * stride as i64, v)).collect()
        });
        for i in whole..count {
            results[i - whole] = self.add(k, b, x, step(i), results[i - whole]);
        }
        results.into_iter().reduce(|a, b| self.combine(k, a, b)).expect("at least one sum")
    }

    fn add(&self, k: &mut KernelBuilder, b: &Block, x: Arg, at: Index, so_far: Value) -> Value {
        let v = b.load(k, self.elem, x.at(at * i64::from(self.elem.bytes())));
        let v = if self.widens() { k.widen(v, self.accumulator()) } else { v };
        // The sum first, as people write it; of what is NaN, the second stays.
        if self.combine == Combine::Add { k.add(so_far, v) } else { self.combine(k, v, so_far) }
    }

    fn finish(&self, k: &mut KernelBuilder, sum: Value) -> Value {
        match self.finish {
            Finish::Nothing => sum,
            Finish::AtMostOne => {
                let one = k.int(k.ty(sum), 1);
                k.min(sum, one)
            }
            Finish::Quotient(count) => {
                let sum = k.widen(sum, Elem::I64);
                let count = k.int(k.ty(sum), count as i64);
                let quotient = k.div(sum, count);
                k.narrow(quotient, self.elem)
            }
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

/// The product of quantised integers: rescaled after each factor, in the order of the input, and once more at the end.
fn product(cx: &mut Context, node: &Node, axes: &[usize], count: u64) -> Result<(), Diagnostic> {
    let (input, output) = (cx.input_type(node, 0), cx.output_type(node, 0));
    let ((scale, zero_point), (out_scale, out_zero_point)) =
        (checks::per_tensor("the input", input)?, checks::per_tensor("the output", output)?);
    let elem = elem(input.element).expect("an element type that infer lets pass");
    let (multiplier, shift) = quantize_multiplier(product_multiplier(scale, out_scale, count));
    let [multiplier, addend, shift] = wide_requantization(multiplier, shift);
    let (low, high) = elem.int_range();
    let target = Target { elem, zero_point: out_zero_point, low: low as i32, high: high as i32 };
    cx.note_rescaling(INTEGER, 1);
    let runs = runs(&input.shape, axes);
    let finish = Finish::Nothing;
    let reducer = Reducer {
        machine: cx.machine,
        elem,
        runs: &runs,
        combine: Combine::Mul,
        start: 1,
        keeps_nan: false,
        wide: false,
        long: false,
        finish,
    };
    let shape: Vec<String> = runs.iter().map(|r| format!("{}{}", if r.summed { "s" } else { "" }, r.size)).collect();
    let mut k = KernelBuilder::new(format!("product_{elem}_{}", shape.join("_")));
    let (x, y) = (k.read("x"), k.write("y"));
    let bytes = i64::from(elem.bytes());
    let rescale = |k: &mut KernelBuilder, v: Value| {
        let ty = k.ty(v);
        let [multiplier, addend] = [multiplier, addend].map(|v| k.int(ty, v));
        let v = k.mul(v, multiplier);
        let v = k.add(v, addend);
        let v = if shift == 0 { v } else { k.shr_imm(v, shift as u8) };
        k.narrow(v, Elem::I32)
    };
    let factor = |k: &mut KernelBuilder, b: &Block, at: Index| {
        let v = b.load(k, elem, x.at(at * bytes));
        let v = k.widen(v, Elem::I32);
        let zero_point = k.int(k.ty(v), zero_point.into());
        k.sub(v, zero_point)
    };
    let machine = cx.machine;
    reducer.write(&mut k, &|k, inner, summed, size, from, to| {
        let mut loops = summed.to_vec();
        if inner.summed {
            loops.push((size, 1));
        }
        let each = |k: &mut KernelBuilder, b: Block| {
            let from = from.clone() + b.first.clone();
            let first = factor(k, &b, from.clone());
            let all = loops.iter().map(|l| l.0).product::<usize>();
            let product = if all == 1 {
                first
            } else {
                // The first factor begins the product instead of rescaling one: 1 stands for the whole of it.
                let is_first = k.int(Elem::I32.x(b.lanes), 1);
                factors(k, &loops, from, &[first, is_first], &|k, at, v| {
                    let (so_far, is_first) = (v[0], v[1]);
                    let next = factor(k, &b, at);
                    let product = k.mul_wide(so_far, next);
                    let product = rescale(k, product);
                    let zero = k.int(k.ty(is_first), 0);
                    let mask = k.compare(Cond::Ne, is_first, zero);
                    vec![k.select(mask, so_far, product), zero]
                })[0]
            };
            let wide = k.widen(product, Elem::I64);
            let scaled = rescale(k, wide);
            let v = target.apply(k, scaled);
            b.store(k, y.at((to.clone() + b.first.clone()) * bytes), v);
        };
        if inner.summed {
            each(k, Block { first: 0.into(), lanes: 1, count: 1 });
        } else {
            each_block(k, size, machine.lanes(Elem::I32), 1, each);
        }
    });
    let (x, y) = (cx.input(node, 0), cx.output(node, 0));
    cx.call(k.finish(), &[x, y], &[]);
    Ok(())
}

/// What the innermost loop does at an element with the values that it carries.
type Body<'a> = dyn Fn(&mut KernelBuilder, Index, &[Value]) -> Vec<Value> + 'a;

/// Loops in each other, of (count, element stride), that carry values.
fn factors(k: &mut KernelBuilder, loops: &[(usize, usize)], at: Index, init: &[Value], body: &Body) -> Vec<Value> {
    match loops.split_first() {
        None => body(k, at, init),
        Some((&(count, stride), inner)) => k.repeat("s", count, 1, init, |k, s, v| factors(k, inner, at + s * stride as i64, v, body)),
    }
}
