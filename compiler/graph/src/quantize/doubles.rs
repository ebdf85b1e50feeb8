//! A requantisation in doubles, where `steps.rs` finds none in singles: twice the work, but still far less than integers on machines
//! without a rounding high multiply.
//!
//! The proof is the same: the reference and the sequence are monotone and agree on both sides of every step. The sequence is
//!
//! ```text
//! f = f64(x);  t = f · s + o, where `signed` gives o the sign of f and then adds H;  z = upper half of t's bits − upper half of R's bits
//! ```
//!
//! with R = 1.5 · 2^20: near it the last 32 bits of a double lie behind the point, so the upper half counts integers, rounded down.
//! Without sign o includes R and the half that rounds to nearest; else H is that.

use super::steps::Steps;
use super::wide_requantization;

/// Doubles around this one have 32 bits behind the point.
pub const ROUNDER: f64 = 1_572_864.0;
/// The upper half of its bits.
pub const ROUNDER_HIGH: i32 = (ROUNDER.to_bits() >> 32) as i32;
/// What is added after an offset that has a sign.
pub const AFTER_SIGNED: f64 = ROUNDER + 0.5;

/// The kind of sequence; one for all channels of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub signed: bool,
    /// The multiply-add rounds once.
    pub fma: bool,
}

/// The numbers of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficients {
    pub scale: f64,
    pub offset: f64,
}

impl Coefficients {
    /// What the operations compute, if the sum is small enough for its upper half to be an integer.
    pub fn apply(self, form: Form, x: i32) -> Option<i32> {
        let f = f64::from(x);
        let offset = if form.signed { self.offset.copysign(f) } else { self.offset };
        let t = if form.fma { libm::fma(f, self.scale, offset) } else { f * self.scale + offset };
        let t = if form.signed { t + AFTER_SIGNED } else { t };
        // Of a sum that is too large it wraps, as in the code, and is not used.
        let z = ((t.to_bits() >> 32) as i32).wrapping_sub(ROUNDER_HIGH);
        ((t - ROUNDER).abs() < 524_288.0).then_some(z)
    }
}

fn coefficients(steps: &Steps, form: Form) -> Option<Coefficients> {
    let (scale, thresholds) = (steps.reference.scale(), steps.thresholds());
    // The offsets that put every step between the right two sums.
    let (mut least, mut below) = (0.0f64, 0.5f64);
    for &(j, x) in &thresholds {
        for (x, reached) in [(x, true), (x - 1, false)] {
            let missing = f64::from(j - steps.zero_point) - 0.5 - x as f64 * scale;
            match (form.signed && x < 0, reached) {
                (false, true) => least = least.max(missing),
                (false, false) => below = below.min(missing),
                (true, true) => below = below.min(-missing),
                (true, false) => least = least.max(-missing),
            }
        }
    }
    let middle = if thresholds.is_empty() { 0.0 } else { (least + below) * 0.5 };
    let c = Coefficients { scale, offset: if form.signed { middle } else { AFTER_SIGNED + middle } };
    (least <= below && holds(steps, &thresholds, form, c)).then_some(c)
}

/// The proof: the sequence gives what the reference gives on both sides of every step, and for the extreme sums.
fn holds(steps: &Steps, thresholds: &[(i32, i64)], form: Form, c: Coefficients) -> bool {
    let result = |x: i64| Some(c.apply(form, x as i32)?.saturating_add(steps.zero_point).clamp(steps.low, steps.high));
    let wanted = |x: i64| steps.reference.apply(x as i32).saturating_add(steps.zero_point).clamp(steps.low, steps.high);
    [steps.least, steps.most].into_iter().all(|x| result(x) == Some(wanted(x)))
        && thresholds.iter().all(|&(j, x)| result(x).is_some_and(|r| j <= r) && result(x - 1).is_some_and(|r| r < j))
}

/// The cheaper form that serves all channels, with their coefficients.
pub fn prove(channels: &[Steps], fma: bool) -> Option<(Form, Vec<Coefficients>)> {
    if !channels.iter().all(Steps::provable) {
        return None;
    }
    [false, true].into_iter().find_map(|signed| {
        let form = Form { signed, fma };
        let all: Option<Vec<Coefficients>> = channels.iter().map(|s| coefficients(s, form)).collect();
        all.map(|all| (form, all))
    })
}

/// Doubles around this one are integers: the low 32 bits of theirs are the low half of its bits.
pub const INTEGERS: f64 = 6_755_399_441_055_744.0;

/// (scale, offset) of the rescaling that rounds once, for sums from `least` to `most`: `x · scale + offset` is exact, and adding [`INTEGERS`]
/// rounds it. The offset decides halves, which the reference rounds up, and nothing else.
pub fn once(multiplier: i32, shift: i32, (least, most): (i64, i64)) -> Option<[f64; 2]> {
    let [product, addend, shift] = wide_requantization(multiplier, shift);
    let fits = |x: i64| i32::try_from(x).is_ok();
    // Products of 32 by 16 bits, and one bit more.
    let exact = (0..1 << 16).contains(&product) && 0 < shift && fits(least) && fits(most);
    let result = |x: i64| (x * product + addend) >> shift;
    let shift = i32::try_from(shift).ok()?;
    (exact && fits(result(least)) && fits(result(most))).then(|| [libm::scalbn(product as f64, -shift), libm::scalbn(0.5, -shift)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::steps::Reference;
    use crate::quantize::{edges, multiply_by_quantized_multiplier_64, quantize_multiplier};
    use proptest::prelude::*;

    fn steps(scale: f64, zero_point: i32, low: i32, reach: i64) -> Steps {
        let (multiplier, shift) = quantize_multiplier(scale);
        Steps { reference: Reference::Fixed(multiplier, shift), zero_point, low, high: low + 255, least: -reach, most: reach }
    }

    proptest! {
        #[test]
        fn one_rounding_is_exact(scale in 1e-9f64..4.0, xs in prop::collection::vec(any::<i32>(), 100), halves: bool) {
            let (multiplier, shift) = quantize_multiplier(scale);
            // Sums that end in a half have many trailing zeros.
            for x in xs.iter().map(|x| if halves { x >> 16 << 14 } else { *x }) {
                let Some([scale, offset]) = once(multiplier, shift, (x.into(), x.into())) else { continue };
                for fma in [false, true] {
                    let t = if fma { libm::fma(x.into(), scale, offset) } else { f64::from(x) * scale + offset };
                    let got = (t + INTEGERS).to_bits() as i32;
                    prop_assert_eq!(got, multiply_by_quantized_multiplier_64(x.into(), multiplier, shift), "{}", x);
                }
            }
        }

        #[test]
        fn what_is_proved_holds(scale in 1e-6f64..0.9, zero_point in -128i32..128, low in -128i32..0, reach in 1i64..1 << 25, xs in prop::collection::vec(-1.0f64..1.0, 200)) {
            let s = steps(scale, zero_point, low, reach);
            for form in [false, true].into_iter().flat_map(|signed| [false, true].map(|fma| Form { signed, fma })) {
                let Some(c) = coefficients(&s, form) else { continue };
                for x in xs.iter().flat_map(|x| [(x * reach as f64) as i32, (x * 300.0f64.min(reach as f64)) as i32]) {
                    let want = s.reference.apply(x).saturating_add(zero_point).clamp(s.low, s.high);
                    let got = c.apply(form, x).map(|z| z.saturating_add(zero_point).clamp(s.low, s.high));
                    prop_assert_eq!(got, Some(want), "{:?} {:?} of {}", form, c, x);
                }
            }
        }
    }

    /// A constant that is moved until the proof refuses it is wrong by that last unit in the last place, and was right before.
    #[test]
    fn one_unit_too_far_is_refused() {
        for form in [false, true].into_iter().flat_map(|signed| [false, true].map(|fma| Form { signed, fma })) {
            let mut refused = [0; 2];
            for i in 0..6 {
                let s = steps(0.31 * libm::exp2(-1.3 * f64::from(i)), if form.signed { 3 } else { -128 }, -128, 30_000);
                let thresholds = s.thresholds();
                let Some(found) = coefficients(&s, form) else { continue };
                let right = |c: Coefficients| {
                    (s.least..=s.most).all(|x| {
                        let want = s.reference.apply(x as i32).saturating_add(s.zero_point).clamp(s.low, s.high);
                        c.apply(form, x as i32).map(|z| z.saturating_add(s.zero_point).clamp(s.low, s.high)) == Some(want)
                    })
                };
                for (constant, up) in [(0, false), (0, true), (1, false), (1, true)] {
                    let with =
                        |v: f64| if constant == 0 { Coefficients { scale: v, ..found } } else { Coefficients { offset: v, ..found } };
                    let good = [found.scale, found.offset][constant];
                    let Some((last, next)) = edges::f64(good, up, |v| holds(&s, &thresholds, form, with(v))) else { continue };
                    assert!(right(with(last)), "{form:?} {s:?} {:?}", with(last));
                    assert!(!right(with(next)), "{form:?} {s:?} {:?}", with(next));
                    refused[constant] += 1;
                }
            }
            assert!(refused.iter().all(|n| 4 <= *n), "{form:?}: {refused:?}");
        }
    }

    /// Unlike in singles, every channel has a proof that stays below the limits, with and without fused operations.
    #[test]
    fn all_scales_are_proved() {
        for fma in [false, true] {
            for i in 0..300 {
                let scale = libm::exp2(-2.0 - f64::from(i) / 20.0);
                assert!(prove(&[steps(scale, 3, -128, 1 << 20)], fma).is_some(), "{scale}");
                assert_eq!(prove(&[steps(scale, -128, -128, 1 << 20)], fma).map(|p| p.0.signed), Some(false), "{scale}");
            }
            // The sums reach beyond 2^19 results.
            assert_eq!(prove(&[steps(0.5, 0, -128, 1 << 21)], fma), None);
        }
    }
}
