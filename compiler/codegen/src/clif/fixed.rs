//! Saturating and fixed-point arithmetic, exactly as the reference rounds it.
//!
//! The idea: the high half of a 64-bit product does nearly everything. `RoundingDivideByPOT(y, e)` equals
//! `MulHighRound(y − [y < 0], 2^(31−e))` for e ≥ 1, which also serves shifts that differ between lanes: registers have none.

use super::{Arch, Emitter};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, types};
use cranelite_tile::{Binary, Elem, ShiftRange, Type, Value};

impl<'a> Emitter<'a> {
    pub(super) fn saturating(&mut self, op: Binary, ty: Type, x: ir::Value, y: ir::Value) -> ir::Value {
        if 16 < ty.elem.bits() {
            self.fail(format!("{op:?} of {ty}"));
            return x;
        }
        if !self.value_type(x).is_vector() {
            let (wide, (low, high)) = (types::I32, ty.elem.int_range());
            let (x, y) = (self.extend_scalar(ty.elem, x, wide), self.extend_scalar(ty.elem, y, wide));
            let v = if op == Binary::AddSat { self.ins().iadd(x, y) } else { self.ins().isub(x, y) };
            let (low, high) = (self.int_constant(wide, low), self.int_constant(wide, high));
            let v = self.ins().smax(v, low);
            let v = self.ins().smin(v, high);
            return self.reduce_scalar(v, ty.elem);
        }
        match (op, ty.elem.is_signed()) {
            (Binary::AddSat, true) => self.ins().sadd_sat(x, y),
            (Binary::AddSat, false) => self.ins().uadd_sat(x, y),
            (_, true) => self.ins().ssub_sat(x, y),
            (_, false) => self.ins().usub_sat(x, y),
        }
    }

    pub(super) fn mul_high_round(&mut self, ty: Type, a: &[ir::Value], b: &[ir::Value]) -> Vec<ir::Value> {
        self.zip(a, b, |e, x, y| {
            let high = e.high(x, y);
            if e.features.arch != Arch::X86 || !e.value_type(x).is_vector() {
                return high;
            }
            // Only the smallest number times itself overflows, and nothing else gives the smallest number.
            let smallest = e.int_constant(types::I32X4, i64::from(i32::MIN));
            let overflown = e.ins().icmp(IntCC::Equal, high, smallest);
            e.ins().bxor(high, overflown)
        })
        .into_iter()
        .take(self.piece_count(ty))
        .collect()
    }

    /// xy >> 32, lane by lane: no machine with vectors of this emitter's has lowerings that ask for it.
    pub(super) fn mul_high(&mut self, ty: Type, a: &[ir::Value], b: &[ir::Value]) -> Vec<ir::Value> {
        self.by_lane(ty, &[(ty, a), (ty, b)], |e, v| {
            let (x, y) = (e.ins().sextend(types::I64, v[0]), e.ins().sextend(types::I64, v[1]));
            let product = e.ins().imul(x, y);
            let high = e.ins().sshr_imm_u(product, 32);
            e.ins().ireduce(types::I32, high)
        })
    }

    /// (2xy + 2^31) >> 32. Vectors on x86 do not saturate.
    fn high(&mut self, x: ir::Value, y: ir::Value) -> ir::Value {
        if !self.value_type(x).is_vector() {
            let (x, y) = (self.ins().sextend(types::I64, x), self.ins().sextend(types::I64, y));
            let v = self.high_of_i64(x, y);
            return self.ins().ireduce(types::I32, v);
        }
        match (self.features.arch, self.features.sse41) {
            (Arch::X86, true) => {
                let (xl, yl) = (self.ins().swiden_low(x), self.ins().swiden_low(y));
                let low = self.ins().imul(xl, yl);
                let (xh, yh) = (self.ins().swiden_high(x), self.ins().swiden_high(y));
                let high = self.ins().imul(xh, yh);
                self.rounded_middle(low, high)
            }
            (Arch::X86, false) => {
                // Only unsigned products: a negative factor counts 2^32 too much, which is 2^32 · other / 2^31 in the result.
                let (xl, yl) = (self.ins().uwiden_low(x), self.ins().uwiden_low(y));
                let low = self.ins().imul(xl, yl);
                let (xh, yh) = (self.ins().uwiden_high(x), self.ins().uwiden_high(y));
                let high = self.ins().imul(xh, yh);
                let unsigned = self.rounded_middle(low, high);
                let (a, b) = (self.twice_if_negative(x, y), self.twice_if_negative(y, x));
                let v = self.ins().isub(unsigned, a);
                self.ins().isub(v, b)
            }
            _ => self.ins().sqmul_round_sat(x, y),
        }
    }

    fn twice_if_negative(&mut self, sign: ir::Value, x: ir::Value) -> ir::Value {
        let bits = self.amount(31);
        let negative = self.ins().sshr(sign, bits);
        let twice = self.ins().iadd(x, x);
        self.ins().band(negative, twice)
    }

    /// Bits 31 to 62 of four 64-bit products plus 2^30.
    fn rounded_middle(&mut self, low: ir::Value, high: ir::Value) -> ir::Value {
        let (half, bits) = (self.int_constant(types::I64X2, 1 << 30), self.amount(31));
        let [low, high] = [low, high].map(|v| {
            let v = self.ins().iadd(v, half);
            let v = self.ins().ushr(v, bits);
            self.cast(v, types::I32X4)
        });
        self.shuffle(low, high, 4, |i| 2 * i)
    }

    fn high_of_i64(&mut self, x: ir::Value, y: ir::Value) -> ir::Value {
        let product = self.ins().imul(x, y);
        let sum = self.ins().iadd_imm_s(product, 1 << 30);
        let bits = self.amount(31);
        let v = self.ins().sshr(sum, bits);
        let largest = self.i64(i64::from(i32::MAX));
        self.ins().smin(v, largest)
    }

    /// x / 2^n, to nearest with ties away from zero.
    pub(super) fn rounding_shr(&mut self, ty: Type, a: &[ir::Value], n: u8) -> Vec<ir::Value> {
        let n = n & (ty.elem.bits() - 1) as u8;
        if n == 0 {
            return a.to_vec();
        }
        if !ty.elem.is_signed() {
            return self.map(a, |e, x| e.half_up(x, n, false));
        }
        self.map(a, |e, x| {
            // The quotient toward minus infinity, and one more if the remainder is above half, or is half and x not negative.
            let (piece, sign) = (e.value_type(x), e.amount(ty.elem.bits() - 1));
            let bits = e.amount(n.into());
            let down = e.ins().sshr(x, bits);
            let (mask, half) = (e.int_constant(piece, (1 << n) - 1), e.int_constant(piece, (1 << (n - 1)) - 1));
            let remainder = e.ins().band(x, mask);
            let negative = e.ins().sshr(x, sign);
            let threshold = e.ins().isub(half, negative);
            let above = e.ins().icmp(IntCC::SignedGreaterThan, remainder, threshold);
            if piece.is_vector() {
                e.ins().isub(down, above)
            } else {
                let one = if piece == types::I8 { above } else { e.ins().uextend(piece, above) };
                e.ins().iadd(down, one)
            }
        })
    }

    /// (x + 2^(n-1)) >> n without overflow: with t = x >> (n-1), half of t rounded up is t - (t >> 1).
    fn half_up(&mut self, x: ir::Value, n: u8, signed: bool) -> ir::Value {
        let shift = |e: &mut Self, x, n: u8| {
            let bits = e.amount(n.into());
            match (n, signed) {
                (0, _) => x,
                (_, true) => e.ins().sshr(x, bits),
                (_, false) => e.ins().ushr(x, bits),
            }
        };
        let t = shift(self, x, n - 1);
        let half = shift(self, t, 1);
        self.ins().isub(t, half)
    }

    pub(super) fn requantize(&mut self, ty: Type, x: Value, multiplier: Value, shift: Value, range: ShiftRange) -> Vec<ir::Value> {
        debug_assert_eq!(ty.elem, Elem::I32);
        let (pieces, multipliers) = (self.pieces(x), self.pieces(multiplier));
        if let ShiftRange::Uniform(n) = range {
            return self.zip(&pieces, &multipliers, |e, x, m| {
                let bits = e.amount(n.max(0) as u32);
                let x = if 0 < n { e.ins().ishl(x, bits) } else { x };
                let y = e.high(x, m);
                if n < 0 { e.divide_by_power(y, n.unsigned_abs()) } else { y }
            });
        }
        if self.is_scalar(ty) {
            let shifts = self.pieces(shift);
            return (0..pieces.len()).map(|i| self.requantize_scalar(pieces[i], multipliers[i], shifts[i], range)).collect();
        }
        let powers = self.derive(shift, "2^(31-right)", |e| {
            let shifts = e.pieces(shift);
            e.map(&shifts, |e, s| {
                // Shifts to the left do not use it, and 2^31 would be no integer.
                let least = e.int_constant(types::I32X4, -1);
                let s = if range == ShiftRange::Any { e.ins().smin(s, least) } else { s };
                e.power_of_two(s, 31)
            })
        });
        if range == ShiftRange::Right {
            return (0..pieces.len())
                .map(|i| {
                    let y = self.high(pieces[i], multipliers[i]);
                    self.divide_by_powers(y, powers[i])
                })
                .collect();
        }
        let lefts = self.derive(shift, "2^left", |e| {
            let shifts = e.pieces(shift);
            e.map(&shifts, |e, s| {
                let zero = e.zero(types::I32X4);
                let s = e.ins().smax(s, zero);
                e.power_of_two(s, 0)
            })
        });
        let shifts = self.pieces(shift);
        (0..pieces.len())
            .map(|i| {
                let x = self.ins().imul(pieces[i], lefts[i]);
                let y = self.high(x, multipliers[i]);
                let z = self.divide_by_powers(y, powers[i]);
                let zero = self.zero(types::I32X4);
                let right = self.ins().icmp(IntCC::SignedLessThan, shifts[i], zero);
                self.choose(right, z, y)
            })
            .collect()
    }

    /// 2^(n + add) for exponents up to 30, made as a float.
    fn power_of_two(&mut self, n: ir::Value, add: i64) -> ir::Value {
        let (bias, bits) = (self.int_constant(types::I32X4, 127 + add), self.amount(23));
        let exponent = self.ins().iadd(n, bias);
        let float = self.ins().ishl(exponent, bits);
        let float = self.cast(float, types::F32X4);
        if self.features.arch == Arch::X86 {
            self.ins().x86_cvtt2dq(types::I32X4, float)
        } else {
            self.ins().fcvt_to_sint_sat(types::I32X4, float)
        }
    }

    /// y / 2^e for e ≥ 1 and y a result of [`Emitter::high`] that did not overflow.
    fn divide_by_power(&mut self, y: ir::Value, e: u8) -> ir::Value {
        if self.features.arch == Arch::Arm && self.value_type(y).is_vector() {
            let power = self.int_constant(types::I32X4, 1 << (31 - e));
            return self.divide_by_powers(y, power);
        }
        let y = self.toward_minus_infinity(y);
        self.half_up(y, e, true)
    }

    fn divide_by_powers(&mut self, y: ir::Value, powers: ir::Value) -> ir::Value {
        let y = self.toward_minus_infinity(y);
        self.high(y, powers)
    }

    /// y - [y < 0]: rounding a half upwards afterwards is rounding it away from zero. Never overflows here.
    fn toward_minus_infinity(&mut self, y: ir::Value) -> ir::Value {
        let bits = self.amount(31);
        let negative = self.ins().sshr(y, bits);
        self.ins().iadd(y, negative)
    }

    fn requantize_scalar(&mut self, x: ir::Value, multiplier: ir::Value, shift: ir::Value, range: ShiftRange) -> ir::Value {
        let (zero, one) = (self.ins().iconst(types::I32, 0), self.i64(1));
        let left = self.ins().smax(shift, zero);
        let x = if range == ShiftRange::Any { self.ins().ishl(x, left) } else { x };
        let (x, m) = (self.ins().sextend(types::I64, x), self.ins().sextend(types::I64, multiplier));
        let y = self.high_of_i64(x, m);
        // Right shifts as for one register, with 64 bits to spare.
        let right = self.ins().ineg(shift);
        let right = self.ins().smax(right, zero);
        let power = self.ins().ishl(one, right);
        let bits = self.amount(1);
        let half = self.ins().ushr(power, bits);
        let sign = self.amount(63);
        let negative = self.ins().sshr(y, sign);
        let sum = self.ins().iadd(y, half);
        let sum = self.ins().iadd(sum, negative);
        let z = self.ins().sshr(sum, right);
        let rounds = self.ins().icmp_imm_s(IntCC::SignedGreaterThan, right, 0);
        let z = self.ins().select(rounds, z, y);
        self.ins().ireduce(types::I32, z)
    }
}
