//! QUANTIZE of floats without a division, where that is proved to give the same integers.
//!
//! Not a correctly rounded quotient: only the integers count. The idea: a reciprocal of 48 bits in two floats makes of QUANTIZE
//! a monotone function, as the reference's is, so both are the same if they agree at the floats next to every half.

use super::{quantize, quantized_overflow};

/// `trunc((x · high + (x · low)) ± HALF)`, the first product and sum rounded once, together; the half has the sign of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quotient {
    pub high: f32,
    pub low: f32,
}

/// Just less than a half: added to what is just less than a half it gives no 1, and to a half, by rounding, it does.
pub const HALF: f32 = 0.499_999_97;

/// The first magnitude that does not fit 32 bits.
pub const OVERFLOW: f32 = 2_147_483_648.0;

impl Quotient {
    /// The numbers for a scale, if they quantise every float as the reference does.
    pub fn prove(scale: f32, zero_point: i32, range: (i32, i32)) -> Option<Quotient> {
        // Nothing that counts is denormal.
        if !(1e-20..1e20).contains(&scale) {
            return None;
        }
        let reciprocal = 1.0 / f64::from(scale);
        let nearest = reciprocal as f32;
        // From below, so that both products grow with x.
        let high = if f64::from(nearest) <= reciprocal { nearest } else { f32::from_bits(nearest.to_bits() - 1) };
        let low = (reciprocal - f64::from(high)) as f32;
        let candidate = Quotient { high, low };
        candidate.holds(scale, zero_point, range).then_some(candidate)
    }

    /// The proof: the same integers at the floats around every half.
    fn holds(self, scale: f32, zero_point: i32, range: (i32, i32)) -> bool {
        let halves = (range.0..=range.1 + 1).map(|n| (n - zero_point) as f32 - 0.5);
        halves.chain([OVERFLOW, -OVERFLOW]).all(|half| {
            let x = (half * scale).to_bits();
            (x - 3..=x + 3).map(f32::from_bits).all(|x| self.quantize(x, zero_point, range) == quantize(x, scale, zero_point, range))
        })
    }

    fn quantize(self, x: f32, zero_point: i32, range: (i32, i32)) -> i32 {
        let t = libm::fmaf(x, self.high, x * self.low) + HALF.copysign(x);
        match t.abs() < OVERFLOW {
            true => (t as i32).wrapping_add(zero_point).clamp(range.0, range.1),
            false => quantized_overflow(zero_point, range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::edges;

    #[test]
    fn every_proof_holds_elsewhere_too() {
        let mut found = 0;
        for i in 1..300 {
            let (scale, z) = (i as f32 * 0.00371, i % 200 - 100);
            let Some(q) = Quotient::prove(scale, z, (-128, 127)) else { continue };
            found += 1;
            for x in (-40_000..40_000).map(|x| x as f32 * 0.00637 * scale) {
                assert_eq!(q.quantize(x, z, (-128, 127)), quantize(x, scale, z, (-128, 127)), "{x} by {scale}");
            }
            for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.0, -0.0, 1e-40, -1e-40] {
                assert_eq!(q.quantize(x, z, (-128, 127)), quantize(x, scale, z, (-128, 127)), "{x} by {scale}");
            }
        }
        assert!(290 < found, "{found} of 299");
    }

    /// A constant that is moved until the proof refuses it is wrong by that last unit in the last place, and was right before.
    #[test]
    fn one_unit_too_far_is_refused() {
        let (z, range) = (7, (-128, 127));
        let mut refused = [0; 2];
        for i in 1..20 {
            let scale = i as f32 * 0.00371;
            let Some(found) = Quotient::prove(scale, z, range) else { continue };
            // Many floats around every half and at the overflow, and some everywhere.
            let same = |q: Quotient, x: f32| q.quantize(x, z, range) == quantize(x, scale, z, range);
            let critical = (-140..=140).map(|n| n as f32 + 0.5).chain([OVERFLOW, -OVERFLOW]).map(|n| (n * scale).to_bits());
            let floats: Vec<f32> = critical.flat_map(|x| x - 40..=x + 40).map(f32::from_bits).collect();
            let right = |q: Quotient| floats.iter().all(|&x| same(q, x)) && (-20_000..20_000).all(|n| same(q, n as f32 * 0.0083 * scale));
            for (constant, up) in [(0, false), (0, true), (1, false), (1, true)] {
                let with = |v: f32| if constant == 0 { Quotient { high: v, ..found } } else { Quotient { low: v, ..found } };
                let good = [found.high, found.low][constant];
                let Some((last, next)) = edges::f32(good, up, |v| with(v).holds(scale, z, range)) else { continue };
                assert!(right(with(last)), "{scale} {:?}", with(last));
                assert!(!right(with(next)), "{scale} {:?}", with(next));
                refused[constant] += 1;
            }
        }
        assert!(refused.iter().all(|n| 20 <= *n), "{refused:?}");
    }

    #[test]
    fn powers_of_two_and_int16() {
        assert_eq!(Quotient::prove(0.25, 0, (0, 255)), Some(Quotient { high: 4.0, low: 0.0 }));
        assert!(Quotient::prove(3.1e-4, 0, (-32768, 32767)).is_some());
        assert_eq!(Quotient::prove(1e-30, 0, (0, 255)), None);
    }
}
