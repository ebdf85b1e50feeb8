//! Operators that a table replaces: a function of one byte, or of 16 bits by lines between entries.
//!
//! Not the contents of the tables, which `quantize/table.rs` computes. The idea: two neighbours of an interpolated table are packed
//! into one 32-bit entry, so that one look-up fetches a line.

use super::Context;
use super::elementwise::Elementwise;
use crate::quantize::LUT_I16_SIZE;
use cranelite_tile::{Arg, BufferId, Cond, Elem, KernelBuilder, Value};

/// Every byte of the first input by its entry.
pub fn bytes(cx: &mut Context, e: Elementwise, table: &[u8; 256]) {
    let table = cx.constant("table", table.to_vec(), 64);
    e.table(table).lower(cx, |k, x, tables| look_up_byte(k, tables[0], x[0]));
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

/// A constant of `logistic_i16`: beyond the table the curve is flat.
pub fn logistic_lines(cx: &mut Context, table: &[u16; 256]) -> BufferId {
    let mut lines: Vec<i32> = table.windows(2).map(|w| line(w[0].into(), i32::from(w[1]) - i32::from(w[0]))).collect();
    lines.push(line(0xFFFE, 0));
    cx.constant_i32("sigmoid", &lines)
}

/// `quantize::logistic_i16` of int16 lanes.
pub fn logistic_i16(k: &mut KernelBuilder, lines: Arg, x: Value, (multiplier, shift): (i32, i32)) -> Value {
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
    let (last, low) = (k.int(ty, 255), k.int(ty, 0x1FF));
    let step = k.shr_imm(magnitude, 9);
    let step = k.min(step, last);
    let index = k.narrow(step, Elem::U8);
    let line = k.lookup(Elem::I32, lines.at(0), index);
    let (place, rise, mask) = (k.and(magnitude, low), k.shr_imm(line, 16), k.int(ty, 0xFFFF));
    let start = k.and(line, mask);
    let start = k.shl_imm(start, 9);
    let product = k.mul(rise, place);
    let result = k.add(start, product);
    let (half, below_one, zero) = (k.int(ty, 1 << 9), k.int(ty, (1 << 25) + (1 << 9) - 1), k.int(ty, 0));
    let of_positive = k.add(result, half);
    let of_negative = k.sub(below_one, result);
    let negative = k.compare(Cond::Lt, scaled, zero);
    let result = k.select(negative, of_negative, of_positive);
    let result = k.shr_imm(result, 10);
    k.narrow(result, Elem::I16)
}
