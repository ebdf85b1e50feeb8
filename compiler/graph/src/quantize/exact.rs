//! Float arithmetic that gives the very integers of the fixed-point rescaling, by proof.
//!
//! Not an approximation: where no such floats exist there is none, and the integer sequence stays. The idea: both are monotone step
//! functions of the accumulator, so they are equal everywhere if they agree on both sides of each step, and between two bounds of
//! eight bits there are at most 255 steps. The reference rounds twice, which moves every step away from zero by half of what the
//! right shift cuts off; the offset stands for that.

use super::multiply_by_quantized_multiplier;

/// Numbers around this one have no bits behind the point, so adding it rounds to the nearest integer, halves to even.
pub const ROUNDER: f32 = 12_582_912.0;

/// The integer nearest to `x · scale + offset`, where the offset may take the sign of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatScale {
    pub scale: f32,
    pub offset: f32,
}

/// In which operations it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatForm {
    /// The offset has the sign of x.
    pub signed: bool,
    /// Product and sum are rounded once, together.
    pub fused: bool,
}

impl FloatScale {
    pub fn apply(self, x: i32, form: FloatForm) -> i32 {
        (self.sum(x, form) + ROUNDER - ROUNDER) as i32
    }

    fn sum(self, x: i32, form: FloatForm) -> f32 {
        let offset = if form.signed && x < 0 { -self.offset } else { self.offset };
        if form.fused { libm::fmaf(x as f32, self.scale, offset) } else { x as f32 * self.scale + offset }
    }
}

/// Floats that rescale every accumulator of `reach` as multiplier and shift do, after a clamp to `range`.
pub fn float_scale(reach: (i64, i64), multiplier: i32, shift: i32, range: (i32, i32), form: FloatForm) -> Option<FloatScale> {
    let (first, last) = (i32::try_from(reach.0).ok()?, i32::try_from(reach.1).ok()?);
    // Bits that a left shift pushes out would make steps downwards.
    let room = |x: i32| x.unsigned_abs().leading_zeros() as i32 - 1;
    if last < first || room(first).min(room(last)) <= shift {
        return None;
    }
    let clamped = |y: i32| y.clamp(range.0, range.1);
    let fixed = |x: i32| clamped(multiply_by_quantized_multiplier(x, multiplier, shift));
    // (x, y): the first accumulator that gives at least y.
    let mut steps = vec![];
    let mut x = first;
    for y in fixed(first) + 1..=fixed(last) {
        let mut end = last;
        while x < end {
            let middle = (i64::from(x) + i64::from(end)).div_euclid(2) as i32;
            if fixed(middle) < y { x = middle + 1 } else { end = middle }
        }
        steps.push((x, y));
    }
    let proved = |s: FloatScale| {
        // The rounding needs |sum| < 2^22.
        let small = [first, last].iter().all(|&x| s.sum(x, form).abs() < 4_194_304.0);
        let at = |x: i32| clamped(s.apply(x, form));
        small && at(first) == fixed(first) && at(last) == fixed(last) && steps.iter().all(|&(x, y)| at(x - 1) < y && y <= at(x))
    };
    let real = libm::scalbn(f64::from(multiplier), shift - 31);
    let nearest = real as f32;
    for ulps in (0..=8).flat_map(|n| [n, -n]).skip(1) {
        let scale = f32::from_bits(nearest.to_bits().checked_add_signed(ulps)?);
        // Every step says between which bounds the offset lies.
        let (mut low, mut high) = (0.0f64, 0.5f64);
        if steps.is_empty() {
            (low, high) = (0.0, libm::scalbn(1.0, shift.min(0)));
        }
        let mut bound = |x: i32, y: i32, reached: bool| {
            let missing = f64::from(y) - 0.5 - f64::from(x as f32) * f64::from(scale);
            match (form.signed && x < 0, reached) {
                (false, true) => low = low.max(missing),
                (false, false) => high = high.min(missing),
                (true, true) => high = high.min(-missing),
                (true, false) => low = low.max(-missing),
            }
        };
        for &(x, y) in &steps {
            bound(x, y, true);
            bound(x - 1, y, false);
        }
        if low <= high {
            for part in [0.5, 0.25, 0.75, 0.1, 0.9] {
                let s = FloatScale { scale, offset: (low + (high - low) * part) as f32 };
                if proved(s) {
                    return Some(s);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forms() -> impl Iterator<Item = FloatForm> {
        [false, true].into_iter().flat_map(|signed| [false, true].map(|fused| FloatForm { signed, fused }))
    }

    proptest! {
        #[test]
        fn what_is_proved_is_equal(multiplier in 1i32 << 30..=i32::MAX, shift in -14..3, reach in 1i64..1 << 25, low in -255..1, at in 0i64..1 << 20) {
            for form in forms() {
                let range = (low, low + 255);
                let Some(s) = float_scale((-reach, reach), multiplier, shift, range, form) else { continue };
                let step = (2 * reach / 4000).max(1);
                let all = (-reach..=reach).step_by(step as usize).chain((at - 500).max(-reach)..(at + 500).min(reach));
                for x in all.map(|x| x as i32) {
                    let fixed = multiply_by_quantized_multiplier(x, multiplier, shift).clamp(range.0, range.1);
                    prop_assert_eq!(s.apply(x, form).clamp(range.0, range.1), fixed, "{} by {:?} {:?}", x, s, form);
                }
            }
        }
    }

    #[test]
    fn usual_scales_have_floats() {
        let share = |shift: i32, range: (i32, i32), form: FloatForm| {
            let multipliers = (0..100u64).map(|i| ((1u64 << 30) + i * 10_737_418 + i * i) as i32);
            multipliers.filter(|&m| float_scale((-1 << 21, 1 << 21), m, shift, range, form).is_some()).count()
        };
        let form = |signed, fused| FloatForm { signed, fused };
        for shift in [-1, -4, -7] {
            assert!(95 <= share(shift, (0, 255), form(false, true)), "{shift}");
            assert!(95 <= share(shift, (-128, 127), form(true, true)), "{shift}");
            assert!(90 <= share(shift, (-128, 127), form(true, false)), "{shift}");
        }
        // Steps on both sides of zero need both signs.
        assert!(share(-7, (-128, 127), form(false, true)) <= 5);
    }

    #[test]
    fn nothing_is_proved_beyond_the_limits() {
        let form = FloatForm { signed: true, fused: true };
        assert_eq!(float_scale((-1 << 40, 0), 1 << 30, -3, (-128, 127), form), None);
        assert_eq!(float_scale((0, 1 << 30), 1 << 30, 3, (-128, 127), form), None);
        assert_eq!(float_scale((1, 0), 1 << 30, -3, (-128, 127), form), None);
        // One value, no step.
        assert!(float_scale((-3, 3), 1 << 30, -9, (-128, 127), form).is_some());
        assert!(float_scale((0, 0), 0, 0, (-128, 127), form).is_some());
    }
}
