//! Operators that a table replaces: a function of one byte, or of 16 bits by lines between entries.
//!
//! Not the contents of the tables, which `quantize/table.rs` computes. The idea: two neighbours of an interpolated table are packed
//! into one 32-bit entry, so that one look-up fetches a line.

use super::Context;
use super::elementwise::Elementwise;
use crate::quantize::{LUT_I16_SIZE, element_range};
use crate::tensor::ElementType;
use cranelite_tile::{Arg, BufferId, Cond, Elem, KernelBuilder, Value};

/// Every byte of the first input by its entry.
pub fn bytes(cx: &mut Context, e: Elementwise, table: &[u8; 256]) {
    let table = cx.constant("table", table.to_vec(), 64);
    e.table(table).lower(cx, |k, x, tables| look_up_byte(k, tables[0], x[0]));
}

/// The table of an 8-bit function from integer to integer, clamped to the type.
pub fn entries(element: ElementType, f: impl Fn(i32) -> i32) -> [u8; 256] {
    let (low, high) = element_range(element).expect("bytes");
    let mut table = [0; 256];
    for q in low..=high {
        table[q as u8 as usize] = f(q).clamp(low, high) as u8;
    }
    table
}

/// The entry of each byte lane, as the same type.
pub fn look_up_byte(k: &mut KernelBuilder, table: Arg, x: Value) -> Value {
    let ty = k.ty(x);
    let index = k.bitcast(x, ty.with_elem(Elem::U8));
    let y = k.lookup(Elem::U8, table.at(0), index);
    k.bitcast(y, ty)
}

/// A line: its value at the start in the low half, its rise in the high half.
fn line(start: i32, rise: i32) -> i32 {
    start & 0xFFFF | rise << 16
}

/// A constant of `look_up_i16`.
pub fn lines_i16(cx: &mut Context, name: &str, table: &[i16; LUT_I16_SIZE]) -> BufferId {
    let lines: Vec<i32> = table.windows(2).map(|w| line(w[0].into(), i32::from(w[1]) - i32::from(w[0]))).collect();
    cx.constant_i32(name, &lines)
}

/// `quantize::lut_lookup_i16` of i32 lanes that hold int16 values: i32 lanes.
pub fn look_up_i16(k: &mut KernelBuilder, lines: Arg, x: Value) -> Value {
    let ty = k.ty(x);
    let step = k.shr_imm(x, 7);
    let index = k.narrow(step, Elem::U8);
    // The steps of negative values come first, as bytes they are the same 256.
    let (below, above) = (k.lookup(Elem::I32, lines.at(0), index), k.lookup(Elem::I32, lines.at(4 * 256), index));
    let zero = k.int(ty, 0);
    let negative = k.compare(Cond::Lt, x, zero);
    let line = k.select(negative, below, above);
    let (low, half) = (k.int(ty, 0x7F), k.int(ty, 64));
    let (place, rise) = (k.and(x, low), k.shr_imm(line, 16));
    let product = k.mul(rise, place);
    let sum = k.add(product, half);
    let sum = k.shr_imm(sum, 7);
    let start = k.shl_imm(line, 16);
    let start = k.shr_imm(start, 16);
    k.add(start, sum)
}

/// Every int16 of the first input by `quantize::lut_lookup_i16`.
pub fn interpolated_i16(cx: &mut Context, e: Elementwise, table: &[i16; LUT_I16_SIZE]) {
    let lines = lines_i16(cx, "table", table);
    e.table(lines).lower(cx, |k, x, tables| {
        let wide = k.widen(x[0], Elem::I32);
        let y = look_up_i16(k, tables[0], wide);
        k.narrow(y, Elem::I16)
    });
}

/// A constant of `logistic_i16` and `tanh_i16`: beyond the table the curve is flat.
pub fn sigmoid_lines(cx: &mut Context, table: &[u16; 256], beyond: i32) -> BufferId {
    let mut lines: Vec<i32> = table.windows(2).map(|w| line(w[0].into(), i32::from(w[1]) - i32::from(w[0]))).collect();
    lines.push(line(beyond, 0));
    cx.constant_i32("sigmoid", &lines)
}

/// The sigmoid of int16 lanes in steps of 2^-`place_bits`, of which the table has 256, for their magnitude: the scaled numbers, and i32
/// lanes with `place_bits` bits more than the table.
fn sigmoid_i16(k: &mut KernelBuilder, lines: Arg, x: Value, (multiplier, shift): (i32, i32), place_bits: u8) -> (Value, Value) {
    let ty = k.ty(x).with_elem(Elem::I32);
    let wide = k.widen(x, Elem::I32);
    let multiplier = k.int(ty, multiplier.into());
    let mut scaled = k.mul(wide, multiplier);
    if 0 < shift {
        let half = k.int(ty, 1 << (shift - 1));
        scaled = k.add(scaled, half);
        scaled = k.shr_imm(scaled, shift as u8);
    }
    let magnitude = k.unary(cranelite_tile::Unary::Abs, scaled);
    let (last, low) = (k.int(ty, 255), k.int(ty, (1 << place_bits) - 1));
    let step = k.shr_imm(magnitude, place_bits);
    let step = k.min(step, last);
    let index = k.narrow(step, Elem::U8);
    let line = k.lookup(Elem::I32, lines.at(0), index);
    let (place, rise, mask) = (k.and(magnitude, low), k.shr_imm(line, 16), k.int(ty, 0xFFFF));
    let start = k.and(line, mask);
    let start = k.shl_imm(start, place_bits);
    let product = k.mul(rise, place);
    (scaled, k.add(start, product))
}

/// Where `of` is negative `sum - x`, elsewhere `x + addend`, without the lowest bits, as int16.
fn mirrored(k: &mut KernelBuilder, of: Value, x: Value, addend: i64, sum: i64, bits: u8) -> Value {
    let ty = k.ty(x);
    let (addend, sum, zero) = (k.int(ty, addend), k.int(ty, sum), k.int(ty, 0));
    let of_positive = k.add(x, addend);
    let of_negative = k.sub(sum, x);
    let negative = k.compare(Cond::Lt, of, zero);
    let result = k.select(negative, of_negative, of_positive);
    let result = k.shr_imm(result, bits);
    k.narrow(result, Elem::I16)
}

/// `quantize::logistic_i16` of int16 lanes.
pub fn logistic_i16(k: &mut KernelBuilder, lines: Arg, x: Value, scale: (i32, i32)) -> Value {
    let (scaled, result) = sigmoid_i16(k, lines, x, scale, 9);
    mirrored(k, scaled, result, 1 << 9, (1 << 25) + (1 << 9) - 1, 10)
}

/// `quantize::tanh_i16` of int16 lanes.
pub fn tanh_i16(k: &mut KernelBuilder, lines: Arg, x: Value, scale: (i32, i32)) -> Value {
    let (scaled, result) = sigmoid_i16(k, lines, x, scale, 8);
    mirrored(k, scaled, result, (1 << 7) - (1 << 23), (1 << 23) + (1 << 7) - 1, 8)
}
