//! What each operation does to one lane.
//!
//! Not control flow and not memory. The idea: a lane is a `u64` in canonical form: an integer extended by its own sign, the bits of
//! a float, 0 or 1 for a mask; so that comparing, widening and saturating are plain `i64` arithmetic.
//! `None` everywhere means that there is no such operation on this type.

use crate::program::{Binary, Cond, Reduce, Rounding, Scalar, Unary};
use crate::types::Elem;

/// The integer of that type that equals `v` modulo its range.
pub fn wrap(elem: Elem, v: i64) -> u64 {
    (match elem {
        Elem::I8 => i64::from(v as i8),
        Elem::U8 => i64::from(v as u8),
        Elem::I16 => i64::from(v as i16),
        Elem::U16 => i64::from(v as u16),
        Elem::I32 => i64::from(v as i32),
        Elem::U32 => i64::from(v as u32),
        _ => v,
    }) as u64
}

/// The nearest integer of that type.
pub fn saturate(elem: Elem, v: i64) -> u64 {
    let (low, high) = elem.int_range();
    v.clamp(low, high) as u64
}

/// The lane with those bits, the upper ones zero.
pub fn from_bits(elem: Elem, bits: u64) -> u64 {
    if elem.is_float() { bits } else { wrap(elem, bits as i64) }
}

pub fn constant(elem: Elem, scalar: Scalar) -> Option<u64> {
    match scalar {
        Scalar::Int(v) => {
            let (low, high) = elem.int_range();
            (elem.is_int() && low <= v && v <= high).then_some(v as u64)
        }
        Scalar::Float(bits) => (elem == Elem::F64 || elem == Elem::F32 && bits <= u64::from(u32::MAX)).then_some(bits),
    }
}

pub fn unary(op: Unary, elem: Elem, a: u64) -> Option<u64> {
    let v = a as i64;
    Some(match (elem, op) {
        (Elem::F32, _) => return single::unary(op, a),
        (Elem::F64, _) => return double::unary(op, a),
        (Elem::Mask(_), Unary::Not) => a ^ 1,
        (Elem::Mask(_), _) => return None,
        (_, Unary::Neg) => wrap(elem, v.wrapping_neg()),
        (_, Unary::Abs) => wrap(elem, v.wrapping_abs()),
        (_, Unary::Not) => wrap(elem, !v),
        (_, Unary::LeadingZeros) => u64::from((a << (64 - elem.bits())).leading_zeros().min(elem.bits())),
        _ => return None,
    })
}

pub fn binary(op: Binary, elem: Elem, a: u64, b: u64) -> Option<u64> {
    let (x, y) = (a as i64, b as i64);
    let bits = elem.bits();
    Some(match (elem, op) {
        (Elem::F32, _) => return single::binary(op, a, b),
        (Elem::F64, _) => return double::binary(op, a, b),
        (_, Binary::And) => a & b,
        (_, Binary::Or) => a | b,
        (_, Binary::Xor) => a ^ b,
        (Elem::Mask(_), _) => return None,
        (_, Binary::Add) => wrap(elem, x.wrapping_add(y)),
        (_, Binary::Sub) => wrap(elem, x.wrapping_sub(y)),
        (_, Binary::Mul) => wrap(elem, x.wrapping_mul(y)),
        (_, Binary::Div) => wrap(elem, if y == 0 { 0 } else { x.wrapping_div(y) }),
        (_, Binary::Rem) => wrap(elem, if y == 0 { 0 } else { x.wrapping_rem(y) }),
        (_, Binary::Min) => x.min(y) as u64,
        (_, Binary::Max) => x.max(y) as u64,
        (_, Binary::AddSat) if bits <= 16 => saturate(elem, x + y),
        (_, Binary::SubSat) if bits <= 16 => saturate(elem, x - y),
        (_, Binary::Shl) => shl(elem, a, b as u32),
        (_, Binary::Shr) => shr(elem, a, b as u32),
        (Elem::I32, Binary::MulHighRound) => i64::from(mul_high_round(x as i32, y as i32)) as u64,
        (Elem::I32, Binary::MulHigh) => ((x * y) >> 32) as u64,
        _ => return None,
    })
}

/// By `n` modulo the number of bits.
pub fn shl(elem: Elem, a: u64, n: u32) -> u64 {
    wrap(elem, (a << (n & (elem.bits() - 1))) as i64)
}
pub fn shr(elem: Elem, a: u64, n: u32) -> u64 {
    // Unsigned lanes have zeros above, so that one arithmetic shift serves both.
    (a as i64 >> (n & (elem.bits() - 1))) as u64
}

/// `x · 2^-n`, ties away from zero.
pub fn rounding_shr(x: i64, n: u32) -> i64 {
    let mask = ((1u64 << n) - 1) as i64;
    let threshold = (mask >> 1) + i64::from(x < 0);
    (x >> n) + i64::from(threshold < x & mask)
}

pub fn mul_high_round(a: i32, b: i32) -> i32 {
    // Saturation is needed for one pair only, i32::MIN by itself.
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31).min(i64::from(i32::MAX)) as i32
}

pub fn requantize(x: i32, multiplier: i32, shift: i32) -> i32 {
    let shifted = x.wrapping_shl(shift.max(0) as u32);
    rounding_shr(i64::from(mul_high_round(shifted, multiplier)), (-shift).max(0) as u32) as i32
}

pub fn compare(cond: Cond, elem: Elem, a: u64, b: u64) -> Option<u64> {
    Some(u64::from(match elem {
        Elem::F32 => ordered(cond, &single::of(a), &single::of(b)),
        Elem::F64 => ordered(cond, &double::of(a), &double::of(b)),
        Elem::Mask(_) => return None,
        _ => ordered(cond, &(a as i64), &(b as i64)),
    }))
}

fn ordered<T: PartialOrd>(cond: Cond, a: &T, b: &T) -> bool {
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
    }
}

pub fn fma(elem: Elem, a: u64, b: u64, c: u64) -> Option<u64> {
    match elem {
        Elem::F32 => Some(single::lane(libm::fmaf(single::of(a), single::of(b), single::of(c)))),
        Elem::F64 => Some(double::lane(libm::fma(double::of(a), double::of(b), double::of(c)))),
        _ => None,
    }
}

pub fn convert(from: Elem, to: Elem, rounding: Rounding, a: u64) -> Option<u64> {
    Some(match (from, to) {
        (Elem::F32, Elem::F64) => double::lane(f64::from(single::of(a))),
        (Elem::F64, Elem::F32) => single::lane(double::of(a) as f32),
        (Elem::Mask(_), _) | (_, Elem::Mask(_)) => return None,
        // Every integer but U64 (which there is not) is its i64; `as` rounds it to nearest even, once.
        (_, Elem::F32) if from.is_int() => single::lane(a as i64 as f32),
        (_, Elem::F64) if from.is_int() => double::lane(a as i64 as f64),
        (Elem::F32, _) if to.is_int() => float_to_int(f64::from(single::of(a)), to, rounding),
        (Elem::F64, _) if to.is_int() => float_to_int(double::of(a), to, rounding),
        _ => return None,
    })
}

fn float_to_int(v: f64, to: Elem, rounding: Rounding) -> u64 {
    let whole = match rounding {
        Rounding::TowardZero => v,
        Rounding::NearestEven => v.round_ties_even(),
    };
    // `as` truncates, saturates at 64 bits and makes 0 of NaN.
    saturate(to, whole as i64)
}

pub fn reduce(op: Reduce, elem: Elem, lower: u64, upper: u64) -> Option<u64> {
    let op = match op {
        Reduce::Add => Binary::Add,
        Reduce::Min => Binary::Min,
        Reduce::Max => Binary::Max,
    };
    binary(op, elem, lower, upper)
}

macro_rules! float {
    ($name:ident, $float:ident, $bits:ident) => {
        mod $name {
            use crate::program::{Binary, Unary};

            pub fn of(lane: u64) -> $float {
                $float::from_bits(lane as $bits)
            }
            pub fn lane(v: $float) -> u64 {
                u64::from(v.to_bits())
            }
            pub fn unary(op: Unary, a: u64) -> Option<u64> {
                let v = of(a);
                Some(lane(match op {
                    Unary::Neg => -v,
                    Unary::Abs => v.abs(),
                    Unary::Sqrt => v.sqrt(),
                    Unary::Floor => v.floor(),
                    Unary::Ceil => v.ceil(),
                    Unary::RoundEven => v.round_ties_even(),
                    Unary::Trunc => v.trunc(),
                    Unary::Not | Unary::LeadingZeros => return None,
                }))
            }
            pub fn binary(op: Binary, a: u64, b: u64) -> Option<u64> {
                let (x, y) = (of(a), of(b));
                Some(match op {
                    Binary::Add => lane(x + y),
                    Binary::Sub => lane(x - y),
                    Binary::Mul => lane(x * y),
                    Binary::Div => lane(x / y),
                    // As comparisons: the second if either is NaN or both are zeros.
                    Binary::Min => {
                        if x < y {
                            a
                        } else {
                            b
                        }
                    }
                    Binary::Max => {
                        if x > y {
                            a
                        } else {
                            b
                        }
                    }
                    _ => return None,
                })
            }
        }
    };
}
float!(single, f32, u32);
float!(double, f64, u64);
