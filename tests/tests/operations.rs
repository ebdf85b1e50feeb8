//! Every operation on every type that has it, for several numbers of lanes: the same bits as the interpreter gives, at every feature
//! level of this machine and under emulators.

use cranelite_tests::matrix::{Matrix, Random};
use cranelite_tile::*;

const INTS: [Elem; 7] = [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64];
const FLOATS: [Elem; 2] = [Elem::F32, Elem::F64];

fn lanes_of(elem: Elem) -> [usize; 5] {
    let full = (16 / elem.bytes()) as usize;
    [1, 2, 3, full, 2 * full + 1]
}

#[test]
fn unary() {
    let mut m = Matrix::default();
    for elem in INTS.into_iter().chain(FLOATS) {
        for lanes in lanes_of(elem) {
            let ty = elem.x(lanes);
            for op in [
                Unary::Neg,
                Unary::Abs,
                Unary::Not,
                Unary::Sqrt,
                Unary::Floor,
                Unary::Ceil,
                Unary::RoundEven,
                Unary::Trunc,
                Unary::LeadingZeros,
            ] {
                let for_float = matches!(op, Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::RoundEven | Unary::Trunc);
                let for_int = matches!(op, Unary::Not | Unary::LeadingZeros);
                if !(for_float && elem.is_int() || for_int && elem.is_float()) {
                    m.add(format!("{op:?} {ty}"), &[ty], |k, v| k.unary(op, v[0]));
                }
            }
        }
    }
    m.check();
}

#[test]
fn binary() {
    let mut m = Matrix::default();
    for elem in INTS.into_iter().chain(FLOATS) {
        for lanes in lanes_of(elem) {
            let ty = elem.x(lanes);
            for op in [
                Binary::Add,
                Binary::Sub,
                Binary::Mul,
                Binary::Div,
                Binary::Rem,
                Binary::And,
                Binary::Or,
                Binary::Xor,
                Binary::Min,
                Binary::Max,
                Binary::AddSat,
                Binary::SubSat,
                Binary::Shl,
                Binary::Shr,
                Binary::MulHighRound,
                Binary::MulHigh,
            ] {
                let exists = match op {
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max => true,
                    Binary::AddSat | Binary::SubSat => elem.is_int() && elem.bits() <= 16,
                    Binary::MulHighRound | Binary::MulHigh => elem == Elem::I32,
                    _ => elem.is_int(),
                };
                if exists {
                    m.add(format!("{op:?} {ty}"), &[ty, ty], |k, v| k.binary(op, v[0], v[1]));
                }
            }
            for cond in [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Le, Cond::Gt, Cond::Ge] {
                m.add(format!("{cond:?} {ty}"), &[ty, ty], |k, v| k.compare(cond, v[0], v[1]));
                m.add(format!("select {cond:?} {ty}"), &[ty, ty, ty, ty], |k, v| {
                    let mask = k.compare(cond, v[0], v[1]);
                    k.select(mask, v[2], v[3])
                });
            }
            m.add(format!("masks {ty}"), &[ty, ty, ty], |k, v| {
                let (a, b) = (k.compare(Cond::Lt, v[0], v[1]), k.compare(Cond::Le, v[1], v[2]));
                let (and, or) = (k.and(a, b), k.or(a, b));
                let not = k.unary(Unary::Not, and);
                let x = k.xor(not, or);
                let neither = k.unary(Unary::Not, x);
                k.select(neither, v[0], v[1])
            });
        }
    }
    m.check();
}

#[test]
fn shifts_by_constants() {
    let mut m = Matrix::default();
    for elem in INTS {
        for lanes in lanes_of(elem) {
            let ty = elem.x(lanes);
            let bits = elem.bits() as u8;
            for n in [0, 1, 2, bits / 2, bits - 1] {
                m.add(format!("shl {n} {ty}"), &[ty], |k, v| k.shl_imm(v[0], n));
                m.add(format!("shr {n} {ty}"), &[ty], |k, v| k.shr_imm(v[0], n));
                m.add(format!("shl by {n} {ty}"), &[ty], |k, v| {
                    let n = k.int(ty, n.into());
                    k.binary(Binary::Shl, v[0], n)
                });
                if elem.is_signed() {
                    m.add(format!("rounding shr {n} {ty}"), &[ty], |k, v| k.rounding_shr(v[0], n));
                }
            }
            m.add(format!("shr by one lane {ty}"), &[ty, elem.x(1)], |k, v| {
                let n = k.splat(v[1], lanes);
                k.binary(Binary::Shr, v[0], n)
            });
        }
    }
    m.check();
}

#[test]
fn conversions() {
    let mut m = Matrix::default();
    for from in INTS.into_iter().chain(FLOATS) {
        for to in INTS.into_iter().chain(FLOATS) {
            for lanes in [1, 2, 3, 4, 8, 16, 21] {
                let ty = from.x(lanes);
                if from != to && (from.is_float() || to.is_float()) {
                    for rounding in [Rounding::TowardZero, Rounding::NearestEven] {
                        m.add(format!("convert {rounding:?} {ty} to {to}"), &[ty], |k, v| k.convert(v[0], to, rounding));
                    }
                }
                if from.is_float() && to.is_int() {
                    m.add(format!("convert clamped {ty} to {to}"), &[ty], |k, v| {
                        let (low, high) = (k.float(ty, -1e6), k.float(ty, 1e6));
                        let x = k.max(v[0], low);
                        let x = k.min(x, high);
                        k.convert(x, to, Rounding::NearestEven)
                    });
                    m.add(format!("convert half clamped {ty} to {to}"), &[ty], |k, v| {
                        let (low, high) = (k.float(ty, -1e6), k.float(ty, 1e6));
                        let x = k.max(v[0], low);
                        let x = k.min(high, x);
                        k.convert(x, to, Rounding::NearestEven)
                    });
                }
                if (from, to) == (Elem::F32, Elem::I32) {
                    // What x86 does by itself, and what looks like it.
                    for (limit, lowest) in [(2147483648.0, -2147483648.0), (2147483648.0, 0.0), (1e6, -2147483648.0), (1e10, -2147483648.0)]
                    {
                        m.add(format!("convert cut at {limit} {lowest} {ty}"), &[ty], |k, v| {
                            let (limit, lowest) = (k.float(ty, limit), k.float(ty, lowest));
                            let magnitude = k.unary(Unary::Abs, v[0]);
                            let fits = k.compare(Cond::Lt, magnitude, limit);
                            let x = k.select(fits, v[0], lowest);
                            k.convert(x, to, Rounding::TowardZero)
                        });
                    }
                }
                if from.is_int() && to.is_int() {
                    if from.bits() < to.bits() {
                        m.add(format!("widen {ty} to {to}"), &[ty], |k, v| k.widen(v[0], to));
                    }
                    if to.bits() < from.bits() {
                        m.add(format!("narrow {ty} to {to}"), &[ty], |k, v| k.narrow(v[0], to));
                    }
                    if to.bits() <= from.bits() && from != to {
                        m.add(format!("narrow_sat {ty} to {to}"), &[ty], |k, v| k.narrow_sat(v[0], to));
                    }
                }
                let bytes = from.bytes() * lanes as u32;
                if bytes.is_multiple_of(to.bytes()) && from != to {
                    m.add(format!("bitcast {ty} to {to}"), &[ty], |k, v| k.bitcast(v[0], to.x((bytes / to.bytes()) as usize)));
                }
            }
        }
    }
    m.check();
}

/// All half floats, and floats about every place where rounding changes: NaN, too, has the same bits everywhere.
#[test]
fn half_floats() {
    let mut m = Matrix::default();
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    // Each half, and what is beside it and beside the middle between it and the next one.
    let near = |bits: u32| [0u32, 1, 0xfff, 0x1000, 0x1001, 0x1fff].map(|rest| bits | rest);
    let normal =
        (0..1u32 << 12).step_by(7).flat_map(|upper| near(upper << 20)).chain((0x38000..0x38c00).flat_map(|upper| near(upper << 13)));
    // Below the least normal half the last bit is worth 2^-24: middles have 12 to 23 zeros behind them.
    let small = (0..2048u32).map(|n| (n as f32 / (1u32 << 25) as f32).to_bits()).flat_map(|b| [b.saturating_sub(1), b, b + 1]);
    let ends = [65504f32, 65519.996, 65520.0, 65536.0, f32::MAX, f32::INFINITY].map(f32::to_bits);
    let nans = [0x7f80_0001, 0x7f80_1fff, 0x7f80_2000, 0x7fc0_0000, 0x7fc0_2000, 0x7fff_ffff];
    let mut r = Random::new(3);
    let random: Vec<u32> = (0..4096).map(|_| r.number() as u32).collect();
    let all = normal.chain(small).chain(ends).chain(nans).chain(random);
    let mut floats: Vec<u8> = all.flat_map(|b| [b, b | 1 << 31]).flat_map(u32::to_le_bytes).collect();
    floats.resize(floats.len().next_multiple_of(4 * 64 * 3), 0);
    for lanes in [1, 2, 3, 4, 8, 16, 64] {
        let count = 65536 / lanes;
        let mut k = KernelBuilder::new(format!("from_half {lanes}"));
        let (x, y) = (k.read("x"), k.write("y"));
        k.each("i", count, 1, |k, i| {
            let v = k.load(Elem::U16.x(lanes), x.at(i * (2 * lanes as i64)));
            let v = k.from_half(v);
            let v = k.bitcast(v, Elem::I32.x(lanes));
            k.store(y.at(i * (4 * lanes as i64)), v);
        });
        m.kernel(k.finish(), &[], vec![(Elem::U16, halves.clone()), (Elem::I32, vec![0; 4 * lanes * count])]);
        let count = floats.len() / 4 / lanes;
        let mut k = KernelBuilder::new(format!("to_half {lanes}"));
        let (x, y) = (k.read("x"), k.write("y"));
        k.each("i", count, 1, |k, i| {
            let v = k.load(Elem::F32.x(lanes), x.at(i * (4 * lanes as i64)));
            let v = k.to_half(v);
            k.store(y.at(i * (2 * lanes as i64)), v);
        });
        m.kernel(k.finish(), &[], vec![(Elem::F32, floats.clone()), (Elem::U16, vec![0; 2 * lanes * count])]);
    }
    for lanes in [5, 12, 21] {
        let (halves, floats) = (Elem::U16.x(lanes), Elem::F32.x(lanes));
        m.add(format!("from_half {halves}"), &[halves], |k, v| k.from_half(v[0]));
        m.add(format!("to_half {floats}"), &[floats], |k, v| k.to_half(v[0]));
        m.add(format!("from_half of half of {floats}"), &[floats], |k, v| {
            let half = k.to_half(v[0]);
            k.from_half(half)
        });
    }
    m.check();
}

#[test]
fn lanes() {
    let mut m = Matrix::default();
    for elem in INTS.into_iter().chain(FLOATS) {
        let full = (16 / elem.bytes()) as usize;
        for lanes in [1, 2, 3, 4, full, full + 1, 2 * full, 3 * full] {
            let ty = elem.x(lanes);
            m.add(format!("splat {ty}"), &[elem.x(1)], |k, v| k.splat(v[0], lanes));
            for other in [1, 2, full, lanes] {
                m.add(format!("concat {ty} {other}"), &[ty, elem.x(other)], |k, v| k.concat(v[0], v[1]));
            }
            m.add(format!("interleave {ty}"), &[ty, ty], |k, v| k.interleave(v[0], v[1]));
            for lane in [0, lanes / 2, lanes - 1] {
                m.add(format!("lane {lane} {ty}"), &[ty], |k, v| k.lane(v[0], lane));
                for length in [1, 2, lanes - lane] {
                    if lane + length <= lanes {
                        m.add(format!("slice {lane} {length} {ty}"), &[ty], |k, v| k.slice(v[0], lane, length));
                    }
                }
            }
            for (times, start) in [(1, 1), (2, 0), (3, 0), (3, 2), (7, 12)] {
                let from = elem.x((start + lanes - 1) / times + 1);
                m.add(format!("repeat {times} from {start} {ty}"), &[from], |k, v| k.repeat_lanes(v[0], times, start, lanes));
            }
            for bytes in [16, 32, 64].into_iter().filter(|b| matches!(elem.bits(), 8 | 32) && (*b / elem.bytes() as usize) <= 64) {
                let (segment, indices) = (bytes / elem.bytes() as usize, if elem.bits() == 8 { Elem::U8 } else { Elem::I32 });
                let ty = elem.x(segment * lanes.min(3));
                m.add(format!("permute {segment} {ty}"), &[ty, ty.with_elem(indices)], |k, v| {
                    let most = k.int(ty.with_elem(indices), segment as i64 - 1);
                    let index = k.and(v[1], most);
                    k.permute(v[0], index, segment)
                });
            }
            if lanes.is_multiple_of(2) {
                for parity in [0, 1] {
                    m.add(format!("deinterleave {parity} {ty}"), &[ty], |k, v| k.deinterleave(v[0], parity));
                }
            }
            if lanes.is_power_of_two() {
                for op in [Reduce::Add, Reduce::Min, Reduce::Max] {
                    m.add(format!("reduce {op:?} {ty}"), &[ty], |k, v| k.reduce(op, v[0]));
                    for count in [2, 3, 4, 5, 8, 15, 16, 17] {
                        m.add(format!("reduce {op:?} {count} of {ty}"), &vec![ty; count], |k, v| k.reduce_each(op, v));
                    }
                }
            }
        }
    }
    m.check();
}

#[test]
fn products() {
    let mut m = Matrix::default();
    for lanes in [1, 2, 3, 4, 5, 8, 20] {
        let acc = Elem::I32.x(lanes);
        for (group, a, b) in [(4, Elem::U8, Elem::I8), (4, Elem::I8, Elem::I8), (2, Elem::I16, Elem::I16)] {
            let (ta, tb) = (a.x(lanes * group), b.x(lanes * group));
            m.add(format!("dot {group} {a} {b} x {lanes}"), &[acc, ta, tb], |k, v| k.dot(group, v[0], v[1], v[2]));
            for lane in [0, 1, 5] {
                m.add(format!("dot_lane {lane} {group} {a} {b} x {lanes}"), &[acc, a.x(6 * group), tb], |k, v| {
                    k.dot_lane(group, v[0], v[1], lane, v[2])
                });
            }
        }
        if lanes.is_multiple_of(4) {
            for (a, b) in [(Elem::I8, Elem::I8), (Elem::U8, Elem::I8), (Elem::I8, Elem::U8), (Elem::U8, Elem::U8)] {
                let types = [acc, a.x(4 * lanes), b.x(4 * lanes)];
                m.add(format!("dot_matrix {a} {b} x {lanes}"), &types, |k, v| k.dot_matrix(v[0], v[1], v[2]));
            }
        }
        m.add(format!("mul_wide {lanes}"), &[acc, acc], |k, v| k.mul_wide(v[0], v[1]));
        let f = Elem::F32.x(lanes);
        m.add(format!("fma {f}"), &[f, f, f], |k, v| k.fma(v[0], v[1], v[2]));
        for lane in [0, 1, 5] {
            m.add(format!("fma_lane {lane} {f}"), &[f, Elem::F32.x(6), f], |k, v| k.fma_lane(v[0], v[1], lane, v[2]));
        }
        m.add(format!("fma_lane scalar {f}"), &[f, Elem::F32.x(1), f], |k, v| k.fma_lane(v[0], v[1], 0, v[2]));
    }
    m.check();
}

#[test]
fn fixed_point() {
    let mut m = Matrix::default();
    // No multiplier is -2^31; shifts are in their range.
    for lanes in [1, 2, 3, 4, 8, 13] {
        let ty = Elem::I32.x(lanes);
        for shift in -31..=30i8 {
            m.add_with(format!("requantize uniform {shift} x {lanes}"), &[ty, ty], no_smallest, |k, v| {
                let s = k.int(ty, shift.into());
                k.requantize(v[0], v[1], s, ShiftRange::Uniform(shift))
            });
        }
        for (range, low, high) in [(ShiftRange::Right, -31, -1), (ShiftRange::Any, -31, 30)] {
            for _ in 0..20 {
                m.add(format!("requantize {range:?} x {lanes}"), &[ty, ty, ty], |k, v| {
                    // Into the range, and never -2^31.
                    let most = k.int(ty, i64::from(i32::MIN + 1));
                    let multiplier = k.max(v[1], most);
                    let shift = k.clamp_int(v[2], low, high);
                    k.requantize(v[0], multiplier, shift, range)
                });
            }
        }
    }
    m.check();
}

/// Any number but -2^31.
fn no_smallest(r: &mut Random, ty: Type) -> Vec<u8> {
    let bytes = r.lane(ty.elem);
    if bytes == i32::MIN.to_le_bytes() { i32::MAX.to_le_bytes().to_vec() } else { bytes }
}

#[test]
fn memory() {
    let mut m = Matrix::default();
    for elem in INTS.into_iter().chain(FLOATS) {
        for lanes in [1, 2, 3, 4, 7, 8, 15, 16, 17, 33] {
            let ty = elem.x(lanes);
            m.add(format!("copy {ty}"), &[ty], |_, v| v[0]);
            m.add(format!("constant {ty}"), &[ty], |k, v| {
                let c = if elem.is_float() { k.float(ty, -1.25) } else { k.int(ty, elem.int_range().1) };
                k.max(v[0], c)
            });
        }
    }
    m.check();
}

/// Parts of vectors that are stored where they were read, one right behind the other.
#[test]
fn parts_in_place() {
    let mut m = Matrix::default();
    for elem in [Elem::I8, Elem::I16, Elem::I32, Elem::F32] {
        for lanes in [4, 16, 64 / elem.bytes() as usize] {
            for count in 1..=lanes {
                let mut k = KernelBuilder::new(format!("{count} of {lanes} {elem} in place"));
                let x = k.read("x");
                let y = k.write_in_place("y", x);
                let bytes = (count * elem.bytes() as usize) as i64;
                k.each("i", 5, 1, |k, i| {
                    let v = k.load_part(elem.x(lanes), x.at(i * bytes), count);
                    let twice = k.add(v, v);
                    k.store_part(y.at(i * bytes), twice, count);
                });
                let numbers = (0..5 * count).flat_map(|i| match elem {
                    Elem::F32 => (i as f32 / 4.0).to_le_bytes().to_vec(),
                    _ => (37 * i + 1).to_le_bytes()[..elem.bytes() as usize].to_vec(),
                });
                m.kernel(k.finish(), &[], vec![(elem, numbers.collect()), (elem, vec![])]);
            }
        }
    }
    m.check();
}

/// Operands that come from memory which is aligned to their elements only.
#[test]
fn comparisons_of_unaligned_floats() {
    let mut m = Matrix::default();
    for elem in FLOATS {
        let lanes = 16 / elem.bytes() as usize;
        for cond in [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Le, Cond::Gt, Cond::Ge] {
            // One lane in front moves every other vector off its alignment.
            let wide = elem.x(lanes + 1);
            m.add(format!("unaligned {cond:?} {wide}"), &[wide, wide], |k, v| {
                let (a, b) = (k.slice(v[0], 0, lanes), k.slice(v[1], 0, lanes));
                k.compare(cond, a, b)
            });
        }
    }
    m.check();
}
