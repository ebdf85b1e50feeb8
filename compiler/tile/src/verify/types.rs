//! The types of every operation's operands and result.
//!
//! Only for kernels of sound structure. The idea: one line per operation says what it needs; the message shows what there is.

use super::Error;
use crate::program::*;
use crate::types::{Elem, Type};

pub fn check(kernel: &Kernel) -> Vec<Error> {
    let mut errors = vec![];
    block(kernel, &kernel.body, &mut errors);
    errors.truncate(super::ERRORS_LIMIT);
    errors
}

fn block(kernel: &Kernel, stmts: &[Stmt], errors: &mut Vec<Error>) {
    let ty = |v: Value| kernel.ty(v);
    for s in stmts {
        if super::ERRORS_LIMIT <= errors.len() {
            return;
        }
        let mut fail = |message: String| errors.push(Error::of_kernel(kernel, Some(s), message));
        match s {
            Stmt::Let(v, op) => {
                if let Err(need) = operation(op, ty(*v), ty) {
                    let operands: Vec<String> = op.operands().iter().map(|&o| format!("v{}: {}", o.0, ty(o))).collect();
                    let given = if operands.is_empty() { String::new() } else { format!(", given {}", operands.join(", ")) };
                    fail(format!("needs {need}{given}"));
                }
            }
            Stmt::Store { value, count, .. } => {
                let t = ty(*value);
                if t.elem.is_mask() || t.lanes < count.unwrap_or(0) {
                    fail(format!("needs no mask and at most as many elements as lanes, given v{}: {t}", value.0));
                }
            }
            Stmt::Clamp { value, .. } => {
                let t = ty(*value);
                if t.lanes != 1 || !t.elem.is_int() {
                    fail(format!("needs one integer, given v{}: {t}", value.0));
                }
            }
            Stmt::Loop(l) => {
                for c in &l.carried {
                    let all = [c.init, c.inside, c.next, c.result];
                    if all.iter().any(|&v| ty(v) != ty(c.init)) {
                        let given: Vec<String> = all.iter().map(|&v| format!("v{}: {}", v.0, ty(v))).collect();
                        fail(format!("needs one type for a carried value, given {}", given.join(", ")));
                    }
                }
                block(kernel, &l.body, errors);
            }
            Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Prefetch(_) => {}
        }
    }
}

/// What the operation needs, if it does not have it.
fn operation(op: &Op, to: Type, ty: impl Fn(Value) -> Type) -> Result<(), &'static str> {
    let elem = |v: Value| ty(v).elem;
    let lanes = |v: Value| u64::from(ty(v).lanes);
    let to_lanes = u64::from(to.lanes);
    let same = |vs: &[Value]| vs.iter().all(|&v| ty(v) == to);
    let is_number = !to.elem.is_mask();
    let (is_int, is_float) = (to.elem.is_int(), to.elem.is_float());
    let of_bits = |vs: &[Value]| vs.iter().all(|&v| elem(v).is_int()) && is_int;
    let (ok, need) = match *op {
        Op::Const(Scalar::Int(v)) => {
            let (low, high) = to.elem.int_range();
            (is_int && low <= v && v <= high, "an integer type that has this number")
        }
        Op::Const(Scalar::Float(bits)) => {
            (to.elem == Elem::F64 || (to.elem == Elem::F32 && bits <= u64::from(u32::MAX)), "a float of these bits")
        }
        Op::Load { count, .. } => (is_number && count.unwrap_or(0) <= to.lanes, "no mask and at most as many elements as lanes"),
        Op::LoadSplat { group, count, .. } => {
            let divides = 0 < group && to.lanes.is_multiple_of(group);
            (
                is_number && divides && count.unwrap_or(0) <= group,
                "no mask, a group that divides the lanes, and at most the group's elements",
            )
        }
        Op::Unary(u, a) => {
            let fits = match u {
                Unary::Neg | Unary::Abs => is_number,
                Unary::Not => !is_float,
                Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::RoundEven | Unary::Trunc => is_float,
                Unary::LeadingZeros => is_int,
            };
            (same(&[a]) && fits, "an operand of the result's type that has this operation")
        }
        Op::Binary(b, x, y) => {
            let fits = match b {
                Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max => is_number,
                Binary::Rem | Binary::Shl | Binary::Shr => is_int,
                Binary::And | Binary::Or | Binary::Xor => !is_float,
                Binary::AddSat | Binary::SubSat => is_int && to.elem.bits() <= 16,
                Binary::MulHighRound | Binary::MulHigh => to.elem == Elem::I32,
            };
            (same(&[x, y]) && fits, "operands of the result's type that has this operation")
        }
        Op::ShlImm(a, n) | Op::ShrImm(a, n) => {
            (same(&[a]) && is_int && u32::from(n) < to.elem.bits(), "integers of the result's type and a count below their bits")
        }
        Op::RoundingShr(a, n) => {
            let fits = to.elem.is_signed() && u32::from(n) < to.elem.bits();
            (same(&[a]) && fits, "signed integers of the result's type and a count below their bits")
        }
        Op::Compare(_, a, b) => {
            let mask = Elem::Mask(elem(a).bits() as u8);
            (ty(a) == ty(b) && !elem(a).is_mask() && to == ty(a).with_elem(mask), "two numbers of one type and a mask of their bits")
        }
        Op::Select(m, a, b) => {
            let mask = to.with_elem(Elem::Mask(to.elem.bits() as u8));
            (is_number && same(&[a, b]) && ty(m) == mask, "a mask of the result's bits and two numbers of its type")
        }
        Op::Fma(a, b, c) => (is_float && same(&[a, b, c]), "floats of the result's type"),
        Op::FmaLane { acc, a, lane, b } => {
            let fits = elem(a) == to.elem && u64::from(lane) < lanes(a);
            (is_float && same(&[acc, b]) && fits, "floats of the result's type and a lane that exists")
        }
        Op::MulWide(a, b) => {
            let from = to.with_elem(Elem::I32);
            (to.elem == Elem::I64 && ty(a) == from && ty(b) == from, "two i32 and an i64 result of as many lanes")
        }
        Op::Dot { group, acc, a, b } => {
            let fits = lanes(a) == to_lanes * u64::from(group) && lanes(b) == lanes(a);
            (to.elem == Elem::I32 && same(&[acc]) && fits && dot(group, elem(a), elem(b)), DOT)
        }
        Op::DotLane { group, acc, a, lane, b } => {
            let exists = (u64::from(lane) + 1) * u64::from(group) <= lanes(a);
            let fits = exists && lanes(b) == to_lanes * u64::from(group);
            (to.elem == Elem::I32 && same(&[acc]) && fits && dot(group, elem(a), elem(b)), DOT)
        }
        Op::DotMatrix { acc, a, b } => {
            let fits = to_lanes.is_multiple_of(4) && lanes(a) == 4 * to_lanes && lanes(b) == lanes(a);
            (
                to.elem == Elem::I32 && same(&[acc]) && fits && dot(4, elem(a), elem(b)),
                "four lanes of i32 for two rows of eight bytes of each side",
            )
        }
        Op::Convert(a, _) => {
            let numbers = is_number && !elem(a).is_mask() && (is_float || elem(a).is_float());
            (numbers && elem(a) != to.elem && lanes(a) == to_lanes, "two types of as many lanes, at least one of them float")
        }
        Op::FromHalf(a) => (ty(a) == to.with_elem(Elem::U16) && to.elem == Elem::F32, "u16 lanes and as many of f32"),
        Op::ToHalf(a) => (ty(a) == to.with_elem(Elem::F32) && to.elem == Elem::U16, "f32 lanes and as many of u16"),
        Op::Widen(a) => (of_bits(&[a]) && elem(a).bits() < to.elem.bits() && lanes(a) == to_lanes, "integers and a result of more bits"),
        Op::Narrow(a) => (of_bits(&[a]) && to.elem.bits() < elem(a).bits() && lanes(a) == to_lanes, "integers and a result of fewer bits"),
        Op::NarrowSat(a) => {
            let narrows = to.elem.bits() <= elem(a).bits() && to.elem != elem(a);
            (of_bits(&[a]) && narrows && lanes(a) == to_lanes, "integers and a result of fewer bits or other sign")
        }
        Op::Bitcast(a) => {
            let bytes = |t: Type| u64::from(t.elem.bytes()) * u64::from(t.lanes);
            (is_number && !elem(a).is_mask() && bytes(ty(a)) == bytes(to), "two types of as many bytes")
        }
        Op::Splat(a) => (is_number && elem(a) == to.elem && lanes(a) == 1, "one element of the result's type"),
        Op::Lane(a, lane) => {
            let fits = to.lanes == 1 && u64::from(lane) < lanes(a);
            (is_number && elem(a) == to.elem && fits, "a lane that exists, of the result's type")
        }
        Op::Concat(a, b) => {
            let fits = lanes(a) + lanes(b) == to_lanes;
            (is_number && elem(a) == to.elem && elem(b) == to.elem && fits, "vectors of the result's element and together of its lanes")
        }
        Op::Slice(a, start) => {
            let fits = u64::from(start) + to_lanes <= lanes(a);
            (is_number && elem(a) == to.elem && fits, "a vector of the result's element that has these lanes")
        }
        Op::Interleave(a, b) => {
            let fits = ty(a) == ty(b) && lanes(a) * 2 == to_lanes;
            (is_number && elem(a) == to.elem && fits, "two vectors of the result's element and half its lanes")
        }
        Op::Deinterleave(a, parity) => {
            let fits = lanes(a) == to_lanes * 2 && parity < 2;
            (is_number && elem(a) == to.elem && fits, "a vector of the result's element and twice its lanes, and 0 or 1")
        }
        Op::Repeat { a, times, start } => {
            let fits = times != 0 && (u64::from(start) + to_lanes - 1) / u64::from(times) < lanes(a);
            (is_number && elem(a) == to.elem && fits, "a vector of the result's element that has all lanes which are repeated")
        }
        Op::Permute { a, index, segment } => {
            let bits = elem(index).bits();
            let indices = elem(index).is_int() && bits == to.elem.bits() && lanes(index) == to_lanes && matches!(bits, 8 | 32);
            let bytes = u64::from(segment) * u64::from(to.elem.bytes());
            let fits = ty(a) == to && matches!(bytes, 16 | 32 | 64) && to_lanes.is_multiple_of(u64::from(segment));
            (
                is_number && fits && indices,
                "a vector of the result's type and as many integers of its 8 or 32 bits, in segments of 16, 32 or 64 bytes",
            )
        }
        Op::Reduce(_, a) => {
            let fits = to.lanes == 1 && ty(a).lanes.is_power_of_two();
            (is_number && elem(a) == to.elem && fits, "a vector of the result's element whose lanes are a power of two")
        }
        Op::ReduceEach(_, ref all) => {
            let alike = all.iter().all(|&v| ty(v) == ty(all[0])) && elem(all[0]) == to.elem;
            let fits = 1 < all.len() && all.len() as u64 == to_lanes && ty(all[0]).lanes.is_power_of_two();
            (is_number && fits && alike, "as many vectors as the result has lanes, of its element and of lanes that are a power of two")
        }
        Op::Lookup { index, .. } => {
            (is_number && elem(index) == Elem::U8 && lanes(index) == to_lanes, "u8 indices, as many as the result's lanes")
        }
        Op::Requantize { x, multiplier, shift, range } => {
            let shift_is_possible = !matches!(range, ShiftRange::Uniform(n) if !(-31..=30).contains(&n));
            (
                to.elem == Elem::I32 && same(&[x, multiplier, shift]) && shift_is_possible,
                "i32 of the result's lanes and a shift in -31..=30",
            )
        }
    };
    if ok { Ok(()) } else { Err(need) }
}

const DOT: &str = "an i32 accumulator and, for each of its lanes, 4 or 16 products of bytes or 1 or 2 of i16·i16";

fn dot(group: u32, a: Elem, b: Elem) -> bool {
    match (a, b) {
        (Elem::U8 | Elem::I8, Elem::U8 | Elem::I8) => matches!(group, 4 | 16),
        (Elem::I16, Elem::I16) => matches!(group, 1 | 2),
        _ => false,
    }
}
