//! Rounding to integral floats.
//!
//! One instruction almost everywhere; SSE2 has none, and Cranelift would call a library.

use super::{Arch, Emitter};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{self, InstBuilder, types};
use cranelite_tile::Unary;

impl<'a> Emitter<'a> {
    pub(super) fn round(&mut self, op: Unary, x: ir::Value) -> ir::Value {
        if self.features.arch == Arch::X86 && !self.features.sse41 {
            return self.round_by_addition(op, x);
        }
        match op {
            Unary::Floor => self.ins().floor(x),
            Unary::Ceil => self.ins().ceil(x),
            Unary::Trunc => self.ins().trunc(x),
            _ => self.ins().nearest(x),
        }
    }

    /// Adding and subtracting 2^23 (2^52) rounds to the nearest, with ties to even; then one more or less where that went too far.
    /// Larger numbers are integral already. The sign is kept, for the sake of -0.
    fn round_by_addition(&mut self, op: Unary, x: ir::Value) -> ir::Value {
        let ty = self.value_type(x);
        let (vector, lane) = if ty.is_vector() { (ty, ty.lane_type()) } else { (ty.by(128 / ty.bits()).expect("a full register"), ty) };
        let v = if ty.is_vector() { x } else { self.ins().scalar_to_vector(vector, x) };
        let (ints, sign, limit, one) = if lane == types::F32 {
            (types::I32X4, i64::from(1u32 << 31), i64::from(8388608f32.to_bits()), i64::from(1f32.to_bits()))
        } else {
            (types::I64X2, i64::MIN, 4503599627370496f64.to_bits() as i64, 1f64.to_bits() as i64)
        };
        let [sign, limit, one] = [sign, limit, one].map(|bits| {
            let c = self.int_constant(ints, bits);
            self.cast(c, vector)
        });
        let negative = self.ins().band(v, sign);
        let magnitude = self.ins().fabs(v);
        let moved = self.ins().fadd(magnitude, limit);
        let nearest = self.ins().fsub(moved, limit);
        // Of the magnitude: floor and ceiling change places for negative numbers.
        let rounded = match op {
            Unary::RoundEven => nearest,
            Unary::Trunc => self.correct(nearest, magnitude, one, false),
            _ => {
                let signed = self.ins().bor(nearest, negative);
                self.correct(signed, v, one, op == Unary::Ceil)
            }
        };
        let rounded = self.ins().fabs(rounded);
        let rounded = self.ins().bor(rounded, negative);
        // False for NaN, which stays.
        let small = self.ins().fcmp(FloatCC::LessThan, magnitude, limit);
        let result = self.choose(small, rounded, v);
        if ty.is_vector() { result } else { self.ins().extractlane(result, 0) }
    }

    /// One more where `rounded` is below `x` (up), or one less where it is above.
    fn correct(&mut self, rounded: ir::Value, x: ir::Value, one: ir::Value, up: bool) -> ir::Value {
        let (ty, far) = (
            self.value_type(x),
            if up { self.ins().fcmp(FloatCC::LessThan, rounded, x) } else { self.ins().fcmp(FloatCC::GreaterThan, rounded, x) },
        );
        let far = self.cast(far, ty);
        let step = self.ins().band(far, one);
        if up { self.ins().fadd(rounded, step) } else { self.ins().fsub(rounded, step) }
    }
}
