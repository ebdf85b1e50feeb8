//! Quantising f32 activations at run time, row by row, as the reference does before a product with integer weights.
//!
//! The idea: one pass for the range of a row, a few scalar operations for its scale and offset, one pass for the integers, which are written
//! as the product takes them. Operators that quantise the same value, such as those of query, key and value, share the result where that
//! makes no arena grow.

use crate::graph::Node;
use crate::lower::Context;
use crate::lower::requantize::{round_half_away, round_half_away_below};
use crate::tensor::ElementType;
use cranelite_tile::{Binary, BufferId, ByteDot, Cond, Elem, Kernel, KernelBuilder, Machine, Reduce, Unary, Value};

/// Activations quantised at run time: integers, and an f32 scale and an i32 offset for every row.
#[derive(Clone, Copy, Debug)]
pub struct Quantized {
    pub integers: BufferId,
    pub bytes: Bytes,
    pub factors: [BufferId; 2],
}

/// How the reference's signed bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bytes {
    Signed,
    /// 128 more.
    Unsigned,
}

impl Bytes {
    /// As products with packed weights take them.
    pub fn of_products(machine: &Machine) -> Bytes {
        if machine.has_vectors() && machine.byte_dot == ByteDot::U8S8 { Bytes::Unsigned } else { Bytes::Signed }
    }

    pub fn element(self) -> ElementType {
        if self == Bytes::Signed { ElementType::I8 } else { ElementType::U8 }
    }

    /// What stands for the reference's 0.
    pub fn zero_point(self) -> i64 {
        if self == Bytes::Signed { 0 } else { 128 }
    }
}

/// Rows of the same length of the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub count: usize,
    pub len: usize,
    /// Quantised with an offset.
    pub asymmetric: bool,
}

/// Quantises the first input of a node.
pub fn quantize_input(cx: &mut Context, node: &Node, rows: Rows, bytes: Bytes) -> Quantized {
    let value = node.input(0).expect("a required input, checked by infer");
    let key = (value, rows.len, rows.asymmetric, bytes);
    if let Some(q) = cx.quantized_before(key, (rows.count * (rows.len + 8)) as u64) {
        return q;
    }
    let input = cx.buffer(value);
    let q = quantize(cx, input, rows, bytes);
    cx.note_quantized(key, q);
    q
}

pub fn quantize(cx: &mut Context, input: BufferId, rows: Rows, bytes: Bytes) -> Quantized {
    let integers = cx.scratch("quantized", (rows.count * rows.len) as u64);
    let factors = ["scales", "offsets"].map(|name| cx.scratch(name, 4 * rows.count as u64));
    let kernel = kernel(cx.machine, rows, bytes);
    cx.call(kernel, &[input, integers, factors[0], factors[1]], &[rows.count as i64]);
    Quantized { integers, bytes, factors }
}

fn kernel(machine: &Machine, Rows { len, asymmetric, .. }: Rows, bytes: Bytes) -> Kernel {
    let mut k = KernelBuilder::new(format!("quantize_{}_{len}", if asymmetric { "asymmetric" } else { "symmetric" }));
    let (x, q, scale, offset) = (k.read("x"), k.write("q"), k.write("scale"), k.write("offset"));
    let rows = k.param("rows");
    // Several registers at once, since each step depends on the one before.
    let ty = Elem::F32.x(if machine.has_vectors() { 4 * machine.lanes(Elem::F32) } else { 1 });
    let lanes = ty.lanes as usize;
    let (full, rest) = ((len / lanes * lanes) as i64, len % lanes);
    k.each("row", rows, 1, |k, row| {
        // The range includes 0, so that lanes beyond the end do no harm.
        let zero = k.float(ty, 0.0);
        let widen = |k: &mut KernelBuilder, v: Value, (low, high): (Value, Value)| {
            if asymmetric {
                (k.min(v, low), k.max(v, high))
            } else {
                let size = k.unary(Unary::Abs, v);
                (low, k.max(size, high))
            }
        };
        let range = k.repeat("i", full, lanes as i64, &[zero, zero], |k, i, range| {
            let v = k.load(ty, x.at(row * (4 * len as i64) + i * 4));
            let (low, high) = widen(k, v, (range[0], range[1]));
            vec![low, high]
        });
        let mut range = (range[0], range[1]);
        if 0 < rest {
            let v = k.load_part(ty, x.at(row * (4 * len as i64) + 4 * full), rest);
            range = widen(k, v, range);
        }
        let (low, high) = (k.reduce(Reduce::Min, range.0), k.reduce(Reduce::Max, range.1));
        let (s, inverse, o) = if asymmetric { with_offset(k, low, high) } else { without_offset(k, high) };
        k.store(scale.at(row * 4), s);
        k.store(offset.at(row * 4), o);

        let inverse = k.splat(inverse, lanes);
        let (least, zero_point) = (if asymmetric { -128 } else { -127 }, bytes.zero_point());
        let moved_by = k.int(Elem::I32.x(1), zero_point);
        let o = k.add(o, moved_by);
        let o = if lanes == 1 { o } else { k.narrow(o, Elem::I16) };
        let o = k.splat(o, lanes);
        let stored = if bytes == Bytes::Signed { Elem::I8 } else { Elem::U8 };
        let integers = |k: &mut KernelBuilder, v: Value| {
            let scaled = k.mul(v, inverse);
            // What is more ends at the largest byte in any case.
            let rounded = round_half_away_below(k, scaled, 32768.0);
            if lanes == 1 {
                let moved = k.add(rounded, o);
                let clamped = k.clamp_int(moved, least + zero_point, 127 + zero_point);
                return k.narrow(clamped, stored);
            }
            let mut q = k.narrow_sat(rounded, Elem::I16);
            if !asymmetric {
                // Numbers whose quotients are infinite, since they are so small, would become -128.
                let least = k.int(Elem::I16.x(lanes), least);
                q = k.max(q, least);
            }
            let moved = k.binary(Binary::AddSat, q, o);
            k.narrow_sat(moved, stored)
        };
        k.each("j", full, lanes as i64, |k, j| {
            let v = k.load(ty, x.at(row * (4 * len as i64) + j * 4));
            let v = integers(k, v);
            k.store(q.at(row * (len as i64) + j), v);
        });
        if 0 < rest {
            let v = k.load_part(ty, x.at(row * (4 * len as i64) + 4 * full), rest);
            let v = integers(k, v);
            k.store_part(q.at(row * (len as i64) + full), v, rest);
        }
    });
    k.finish()
}

/// (scale, 1 / scale, offset 0) of numbers up to `largest` in size; a row of zeros has scale 1.
fn without_offset(k: &mut KernelBuilder, largest: Value) -> (Value, Value, Value) {
    let ty = Elem::F32.x(1);
    let (zero, levels) = (k.float(ty, 0.0), k.float(ty, 127.0));
    let empty = k.compare(Cond::Eq, largest, zero);
    // Before the divisions, which must not raise exceptions: both quotients are 1 then.
    let largest = k.select(empty, levels, largest);
    let (scale, inverse) = (k.div(largest, levels), k.div(levels, largest));
    let offset = k.int(Elem::I32.x(1), 0);
    (scale, inverse, offset)
}

/// (scale, 1 / scale, offset) of numbers between `low` and `high`, one of which may be 0 but not positive or negative respectively.
pub fn with_offset(k: &mut KernelBuilder, low: Value, high: Value) -> (Value, Value, Value) {
    let (single, double) = (Elem::F32.x(1), Elem::F64.x(1));
    // The difference is one of floats, as in the reference; the rest is in doubles.
    let (range, most) = (k.sub(high, low), k.float(single, 255.0));
    // Before the divisions, which must not raise exceptions: the scale is 1 then.
    let empty = k.compare(Cond::Eq, low, high);
    let range = k.select(empty, most, range);
    let [low, high, range] = [low, high, range].map(|v| k.to_float(v, Elem::F64));
    let (first, last, levels) = (k.double(double, -128.0), k.double(double, 127.0), k.double(double, 255.0));
    let scale = k.div(range, levels);
    let (low, high) = (k.div(low, scale), k.div(high, scale));
    // Of the offsets that map the lowest and the highest number exactly, the one with the smaller error.
    let (from_low, from_high) = (k.sub(first, low), k.sub(last, high));
    let (low, high) = (k.unary(Unary::Abs, low), k.unary(Unary::Abs, high));
    let (most, least) = (k.double(double, 128.0), k.double(double, 127.0));
    let (low_error, high_error) = (k.add(most, low), k.add(least, high));
    let smaller = k.compare(Cond::Lt, low_error, high_error);
    let offset = k.select(smaller, from_low, from_high);
    let offset = round_half_away(k, offset);
    let offset = k.clamp_int(offset, -128, 127);

    let scale = k.to_float(scale, Elem::F32);
    let (one, none) = (k.float(single, 1.0), k.int(Elem::I32.x(1), 0));
    let inverse = k.div(one, scale);
    let offset = k.select(empty, none, offset);
    (scale, inverse, offset)
}
