//! Fixed-point arithmetic of 32-bit lanes: the rounding high multiply, rounding shifts, requantisation.
//!
//! The idea: products of even and odd lanes in 64 bits; (2ab + 2^31) >> 32 is (ab + 2^30) >> 31.

use super::Emitter;
use super::asm::{vvi, vvv, vvv_short};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Cond, Elem, ShiftRange, Unary};

impl Emitter<'_> {
    /// Saturates in the one case that overflows.
    pub(super) fn mul_high_round(&mut self, size: usize, a: Virtual, b: Virtual) -> Virtual {
        let product = self.mul_high_round_wrapping(size, a, b);
        // Only the product of the two smallest numbers becomes the smallest number.
        let smallest = self.int_constant(Elem::I32, i32::MIN.into(), size);
        let overflow = self.compare(Elem::I32, Cond::Eq, size, product, smallest);
        vvv!(self, vxorps, size, product, overflow)
    }

    pub(super) fn mul_high(&mut self, size: usize, a: Virtual, b: Virtual) -> Virtual {
        let (a_odd, b_odd) = (vvi!(self, vpsrlq, size, a, 32), vvi!(self, vpsrlq, size, b, 32));
        let (even, odd) = (vvv!(self, vpmuldq, size, a, b), vvv!(self, vpmuldq, size, a_odd, b_odd));
        let even = vvi!(self, vpsrlq, size, even, 32);
        let upper = self.constant(&0xffff_ffff_0000_0000u64.to_le_bytes(), size);
        let odd = vvv!(self, vandps, size, odd, upper);
        vvv!(self, vorps, size, even, odd)
    }

    fn mul_high_round_wrapping(&mut self, size: usize, a: Virtual, b: Virtual) -> Virtual {
        let (a_odd, b_odd) = (vvi!(self, vpsrlq, size, a, 32), vvi!(self, vpsrlq, size, b, 32));
        let (even, odd) = (vvv!(self, vpmuldq, size, a, b), vvv!(self, vpmuldq, size, a_odd, b_odd));
        let half = self.constant(&(1u64 << 30).to_le_bytes(), size);
        let (even, odd) = (vvv!(self, vpaddq, size, even, half), vvv!(self, vpaddq, size, odd, half));
        let even = vvi!(self, vpsrlq, size, even, 31);
        let odd = vvv!(self, vpaddq, size, odd, odd);
        if !self.features.avx512 {
            return vvv_short!(self, vpblendd, size, even, odd, 0xaa);
        }
        let upper = self.constant(&0xffff_ffff_0000_0000u64.to_le_bytes(), size);
        // upper ? odd : even
        self.push(&[odd, even, upper], &[odd], move |s, r| match size {
            16 => s.vpternlogd(r.x(odd), r.x(even), r.x(upper), 0xe4),
            32 => s.vpternlogd(r.y(odd), r.y(even), r.y(upper), 0xe4),
            _ => s.vpternlogd(r.z(odd), r.z(even), r.z(upper), 0xe4),
        });
        odd
    }

    /// Nearest, ties away from zero, of a high product that was not saturated. With y = (x − (x < 0)) >> (n − 1), which `shift` computes
    /// from x − (x < 0), it is (y >> 1) + (y & 1); the one product that wraps to the smallest number comes out as its saturated form would.
    fn rounding_shr_of_product(&mut self, size: usize, x: Virtual, shift: impl FnOnce(&mut Self, Virtual) -> Virtual) -> Virtual {
        let sign = vvi!(self, vpsrad, size, x, 31);
        let moved = vvv!(self, vpaddd, size, x, sign);
        let y = shift(self, moved);
        let one = self.int_constant(Elem::I32, 1, size);
        let odd = vvv!(self, vandps, size, y, one);
        let half = vvi!(self, vpsrad, size, y, 1);
        vvv!(self, vpaddd, size, half, odd)
    }

    pub(super) fn rounding_shr(&mut self, elem: Elem, size: usize, x: Virtual, n: u8) -> Virtual {
        if n == 0 {
            return x;
        }
        if elem != Elem::I32 {
            // Floor, and one more where the remainder is above half.
            let mask = (1i64 << n).wrapping_sub(1);
            let (mask, half, zero) = (self.int_constant(elem, mask, size), self.int_constant(elem, mask >> 1, size), self.zero());
            let remainder = vvv!(self, vandps, size, x, mask);
            let negative = self.compare(elem, Cond::Lt, size, x, zero);
            let threshold = self.binary(elem, Binary::Sub, size, half, negative);
            let more = self.compare(elem, Cond::Gt, size, remainder, threshold);
            let floor = self.shr(elem, size, x, n);
            return self.binary(elem, Binary::Sub, size, floor, more);
        }
        let count = self.int_constant(Elem::I32, n.into(), size);
        self.rounding_shr_by_lanes(size, x, count)
    }

    /// For any number and counts 0 to 31: floor, and one more where the remainder is above half.
    fn rounding_shr_by_lanes(&mut self, size: usize, x: Virtual, count: Virtual) -> Virtual {
        let ones = self.constant(&[0xff; 4], size);
        let above = vvv!(self, vpsllvd, size, ones, count);
        let mask = self.unary(Elem::I32, Unary::Not, size, above);
        let remainder = vvv!(self, vandps, size, x, mask);
        let negative = vvi!(self, vpsrld, size, x, 31);
        let half = vvi!(self, vpsrld, size, mask, 1);
        let threshold = vvv!(self, vpaddd, size, half, negative);
        let floor = vvv!(self, vpsravd, size, x, count);
        let more = self.compare(Elem::I32, Cond::Gt, size, remainder, threshold);
        vvv!(self, vpsubd, size, floor, more)
    }

    pub(super) fn requantize(&mut self, size: usize, x: Virtual, multiplier: Virtual, shift: Virtual, range: ShiftRange) -> Virtual {
        match range {
            ShiftRange::Uniform(n @ 0..) => {
                let x = if 0 < n { vvi!(self, vpslld, size, x, n as u32) } else { x };
                self.mul_high_round(size, x, multiplier)
            }
            ShiftRange::Uniform(n) => {
                let high = self.mul_high_round_wrapping(size, x, multiplier);
                let less = (-n - 1) as u32;
                self.rounding_shr_of_product(size, high, |e, v| if less == 0 { v } else { vvi!(e, vpsrad, size, v, less) })
            }
            ShiftRange::Right => {
                let high = self.mul_high_round_wrapping(size, x, multiplier);
                // −shift − 1
                let less = self.unary(Elem::I32, Unary::Not, size, shift);
                self.rounding_shr_of_product(size, high, |e, v| vvv!(e, vpsravd, size, v, less))
            }
            ShiftRange::Any => {
                let zero = self.zero();
                let left = self.binary(Elem::I32, Binary::Max, size, shift, zero);
                let negated = self.binary(Elem::I32, Binary::Sub, size, zero, shift);
                let right = self.binary(Elem::I32, Binary::Max, size, negated, zero);
                let x = vvv!(self, vpsllvd, size, x, left);
                let high = self.mul_high_round(size, x, multiplier);
                self.rounding_shr_by_lanes(size, high, right)
            }
        }
    }
}
