//! A requantisation as a short sequence of float operations, proved equal to the reference for every sum that can occur.
//!
//! Not an approximation: what cannot be proved is not used. The idea: the reference and the sequence are both monotone functions of the sum
//! that take at most 256 values, so they are equal everywhere if they agree on both sides of every step. The sequence is
//!
//! ```text
//! f = f32(x);  t = o, with the sign of f if `signed`;  if `fine`: t = f · l + t;  z = trunc(min(f · s + t, 2^31 − 128))
//! ```
//!
//! where the multiply-adds round once or twice as the machine does. A few operations instead of some twenty. Where the sums are known to stay
//! far from the ends of 32 bits ([`Coefficients::is_bounded`]) the minimum does nothing, and is left out.

use super::{multiply_by_quantized_multiplier, multiply_by_real};

/// The reference's function of an i32 sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reference {
    /// Multiplier and shift, rounded twice.
    Fixed(i32, i32),
    /// A real factor, rounded once.
    Real(f64),
}

impl Reference {
    pub fn apply(self, x: i32) -> i32 {
        match self {
            Reference::Fixed(multiplier, shift) => multiply_by_quantized_multiplier(x, multiplier, shift),
            Reference::Real(scale) => multiply_by_real(x.into(), scale),
        }
    }

    /// The real factor.
    pub fn scale(self) -> f64 {
        match self {
            Reference::Fixed(multiplier, shift) => libm::scalbn(f64::from(multiplier), shift - 31),
            Reference::Real(scale) => scale,
        }
    }
}

/// The kind of sequence; one for all channels of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub signed: bool,
    pub fine: bool,
    /// Multiply-adds round once.
    pub fma: bool,
}

/// Largest float below 2^31.
pub const LIMIT: f32 = 2147483520.0;

/// a · b + c, rounded once. The product is exact in double precision; a sum that is not gets an odd last bit, so that rounding it
/// to single precision is as if it were the only rounding.
fn fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    if error == 0.0 || bits & 1 == 1 || !sum.is_finite() {
        return sum as f32;
    }
    // One step toward the error.
    let outward = (0.0 < error) == (0.0 < sum);
    f64::from_bits(if outward { bits + 1 } else { bits - 1 }) as f32
}

/// The numbers of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficients {
    pub scale: f32,
    pub offset: f32,
    /// What `scale` lacks of the real scale; used by fine forms.
    pub low: f32,
}

impl Coefficients {
    /// No sum of the channel leads near the end of what an i32 holds, whatever is rounded: the minimum changes nothing.
    pub fn is_bounded(self, steps: &Steps) -> bool {
        let most = steps.least.unsigned_abs().max(steps.most.unsigned_abs()) as f64;
        let factor = f64::from(self.scale.abs()) + f64::from(self.low.abs());
        most * factor + f64::from(self.offset.abs()) <= f64::from(1 << 30)
    }

    /// What the operations compute, bit for bit.
    pub fn apply(self, form: Form, x: i32) -> i32 {
        self.sequence(form, x).min(LIMIT) as i32
    }

    /// What is limited and cut off at the end.
    fn sequence(self, form: Form, x: i32) -> f32 {
        let multiply_add = |a: f32, b: f32, c: f32| if form.fma { fma(a, b, c) } else { a * b + c };
        let f = x as f32;
        let mut t = if form.signed { self.offset.copysign(f) } else { self.offset };
        if form.fine {
            t = multiply_add(f, self.low, t);
        }
        multiply_add(f, self.scale, t)
    }
}

/// A requantisation of one channel: `clamp(reference(x) + zero_point, low, high)` for sums from `least` to `most`.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub reference: Reference,
    pub zero_point: i32,
    pub low: i32,
    pub high: i32,
    pub least: i64,
    pub most: i64,
}

impl Steps {
    /// The zero point that is added after the sequence. Without a sign everything below the lowest result becomes 0 or less.
    pub fn zero_point(&self, form: Form) -> i32 {
        if form.signed { self.zero_point } else { self.low }
    }

    pub(super) fn provable(&self) -> bool {
        let sums = i64::from(i32::MIN) < self.least && self.least <= self.most && self.most <= i64::from(i32::MAX);
        sums && (0.0..1.0).contains(&self.reference.scale()) && self.low <= self.high && self.high - self.low <= 255
    }

    /// For every step that is taken between `least` and `most`: the result that is reached, and the smallest sum that reaches it.
    pub(super) fn thresholds(&self) -> Vec<(i32, i64)> {
        let scale = self.reference.scale();
        let result = |x: i64| self.reference.apply(x as i32).saturating_add(self.zero_point);
        let (first, last) = (result(self.least).max(self.low), result(self.most).min(self.high));
        (first + 1..=last)
            .map(|j| {
                let estimate = (f64::from(j - self.zero_point) - 0.5) / scale;
                let mut x = estimate.clamp(self.least as f64 + 1.0, self.most as f64) as i64;
                // The estimate is at most a few sums off.
                while result(x) < j {
                    x += 1;
                }
                while j <= result(x - 1) {
                    x -= 1;
                }
                (j, x)
            })
            .collect()
    }

    /// What a sum must become.
    pub(super) fn wanted(&self, x: i64) -> i32 {
        self.reference.apply(x as i32).saturating_add(self.zero_point).clamp(self.low, self.high)
    }

    /// What a sequence must give for all sums when the reference takes no step.
    pub(super) fn constant(&self) -> i32 {
        self.wanted(self.least)
    }
}

/// The search for one channel's coefficients.
struct Search {
    steps: Steps,
    thresholds: Vec<(i32, i64)>,
}

impl Search {
    /// Coefficients with which the sequence equals the reference, if some are found.
    fn coefficients(&self, form: Form) -> Option<Coefficients> {
        let scale = self.steps.reference.scale();
        if self.thresholds.is_empty() {
            let z = self.steps.constant() - self.steps.zero_point(form);
            let c = Coefficients { scale: 0.0, offset: z.abs() as f32 + 0.5, low: 0.0 };
            return self.holds(form, c).then_some(c);
        }
        let (least, below) = self.offsets(form, scale);
        // Far from possible: a form that is not of the right kind.
        if scale < least - below {
            return None;
        }
        let scales: Vec<f64> = if form.fine {
            vec![self.best_scale(form, scale)]
        } else {
            let nearest = (scale as f32).to_bits();
            [0i32, -1, 1, -2, 2, -3, 3].iter().map(|u| f32::from_bits(nearest.wrapping_add_signed(*u)).into()).collect()
        };
        scales.into_iter().find_map(|s| {
            let (least, below) = self.offsets(form, s);
            let c = Coefficients { scale: s as f32, offset: ((least + below) * 0.5) as f32, low: (s - f64::from(s as f32)) as f32 };
            (least < below && self.holds(form, c)).then_some(c)
        })
    }

    /// The scale near `scale` that leaves most room for the offset. The room is a concave function of the scale.
    fn best_scale(&self, form: Form, scale: f64) -> f64 {
        let room = |s: f64| {
            let (least, below) = self.offsets(form, s);
            below - least
        };
        let (mut low, mut high) = (scale * (1.0 - libm::exp2(-18.0)), scale * (1.0 + libm::exp2(-18.0)));
        for _ in 0..30 {
            let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if room(a) < room(b) { low = a } else { high = b }
        }
        (low + high) * 0.5
    }

    /// The offsets that put every step between the right two sums, but for rounding within the sequence.
    fn offsets(&self, form: Form, scale: f64) -> (f64, f64) {
        let (mut least, mut below) = (f64::NEG_INFINITY, f64::INFINITY);
        for &(j, x) in &self.thresholds {
            let z = f64::from(j - self.steps.zero_point(form));
            let (at, before) = (x as f64 * scale, (x - 1) as f64 * scale);
            // What rounds to the next integer away from zero: numbers from half a unit in the last place before it.
            let size = if form.signed && z <= 0.0 { 1.0 - z } else { z };
            let edge = size - (size - f64::from((size as f32).next_down())) * 0.5;
            // Of negative sums the offset is subtracted.
            let (low, high) = if form.signed && z <= 0.0 { (edge + before, edge + at) } else { (edge - at, edge - before) };
            (least, below) = (least.max(low), below.min(high));
        }
        (least, below)
    }

    /// The proof: the sequence gives what the reference gives on both sides of every step, and for the extreme sums.
    fn holds(&self, form: Form, c: Coefficients) -> bool {
        let steps = &self.steps;
        let result = |x: i64| c.apply(form, x as i32).saturating_add(steps.zero_point(form)).clamp(steps.low, steps.high);
        self.thresholds.iter().all(|&(j, x)| j <= result(x) && result(x - 1) < j)
            && [steps.least, steps.most].into_iter().all(|x| result(x) == steps.wanted(x))
    }
}

/// The cheapest form that serves all channels, with their coefficients.
pub fn prove(channels: &[Steps], fma: bool) -> Option<(Form, Vec<Coefficients>)> {
    if !channels.iter().all(Steps::provable) {
        return None;
    }
    let all: Vec<Search> = channels.iter().map(|s| Search { steps: *s, thresholds: s.thresholds() }).collect();
    [(false, false), (false, true), (true, false), (true, true)].into_iter().find_map(|(signed, fine)| {
        let form = Form { signed, fine, fma };
        let coefficients: Option<Vec<Coefficients>> = all.iter().map(|c| c.coefficients(form)).collect();
        coefficients.map(|c| (form, c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{edges, quantize_multiplier};
    use proptest::prelude::*;

    const FORMS: [Form; 8] = {
        let mut all = [Form { signed: false, fine: false, fma: false }; 8];
        let mut i = 0;
        while i < 8 {
            all[i] = Form { signed: i & 1 != 0, fine: i & 2 != 0, fma: i & 4 != 0 };
            i += 1;
        }
        all
    };

    fn reference() -> impl Strategy<Value = Reference> {
        (prop_oneof![1e-4f64..0.99, 1e-9f64..1e-4], any::<bool>()).prop_map(|(scale, fixed)| {
            let (multiplier, shift) = quantize_multiplier(scale);
            if fixed { Reference::Fixed(multiplier, shift) } else { Reference::Real(scale) }
        })
    }

    proptest! {
        #[test]
        fn what_is_proved_holds(reference in reference(), zero_point in -128i32..128, relu: bool, least in -3_000_000i64..2_000_000_000, length in 0i64..5_000_000, xs in prop::collection::vec(0.0f64..1.0, 200)) {
            let steps = Steps { reference, zero_point, low: if relu { zero_point } else { -128 }, high: 127, least, most: least + length };
            let search = Search { steps, thresholds: steps.thresholds() };
            for form in FORMS {
                if let Some(c) = search.coefficients(form) {
                    for x in &xs {
                        let x = (least + (x * length as f64) as i64) as i32;
                        let want = reference.apply(x).saturating_add(zero_point).clamp(steps.low, steps.high);
                        let got = c.apply(form, x).saturating_add(steps.zero_point(form)).clamp(steps.low, steps.high);
                        prop_assert_eq!(got, want, "{:?} {:?} of {}", form, c, x);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fma_rounds_once(a in -1e6f32..1e6, b in -1.0f32..1.0, c in -300.0f32..300.0, shift in 0i32..40) {
            let c = libm::scalbnf(c, -shift);
            prop_assert_eq!(fma(a, b, c).to_bits(), libm::fmaf(a, b, c).to_bits());
        }
    }

    /// A constant that is moved until the proof refuses it is wrong by that last unit in the last place, and was right before.
    #[test]
    fn one_unit_too_far_is_refused() {
        for form in FORMS {
            let mut refused = [0; 3];
            for i in 0..12 {
                let scale = 0.31 * libm::exp2(-0.7 * f64::from(i));
                let (multiplier, shift) = quantize_multiplier(scale);
                let reference = if i % 2 == 0 { Reference::Fixed(multiplier, shift) } else { Reference::Real(scale) };
                let steps =
                    Steps { reference, zero_point: if form.signed { 3 } else { -128 }, low: -128, high: 127, least: -30_000, most: 30_000 };
                let search = Search { steps, thresholds: steps.thresholds() };
                let Some(found) = search.coefficients(form) else { continue };
                let right = |c: Coefficients| {
                    (steps.least..=steps.most).all(|x| {
                        let want = reference.apply(x as i32).saturating_add(steps.zero_point).clamp(steps.low, steps.high);
                        c.apply(form, x as i32).saturating_add(steps.zero_point(form)).clamp(steps.low, steps.high) == want
                    })
                };
                for (constant, up) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
                    if constant == 2 && !form.fine {
                        continue;
                    }
                    let with = |v: f32| match constant {
                        0 => Coefficients { scale: v, ..found },
                        1 => Coefficients { offset: v, ..found },
                        _ => Coefficients { low: v, ..found },
                    };
                    let good = [found.scale, found.offset, found.low][constant];
                    let Some((last, next)) = edges::f32(good, up, |v| search.holds(form, with(v))) else { continue };
                    assert!(right(with(last)), "{form:?} {steps:?} {:?}", with(last));
                    assert!(!right(with(next)), "{form:?} {steps:?} {:?}", with(next));
                    refused[constant] += 1;
                }
            }
            let constants = if form.fine { 3 } else { 2 };
            assert!(refused[..constants].iter().all(|n| 4 <= *n), "{form:?}: {refused:?}");
        }
    }

    /// What is called bounded never meets the minimum, up to the last sum that is.
    #[test]
    fn bounded_sums_need_no_minimum() {
        for (scale, low, offset) in [(0.75f32, 0.0f32, 0.5f32), (0.999, -3e-8, 200.0), (0.001, 1e-10, 0.5)] {
            let c = Coefficients { scale, offset, low };
            let bounded = |most: i64| {
                let steps = Steps { reference: Reference::Real(scale.into()), zero_point: 0, low: -128, high: 127, least: -most, most };
                c.is_bounded(&steps)
            };
            let (mut good, mut bad) = (0, i64::from(i32::MAX) + 1);
            while 1 < bad - good {
                let middle = (good + bad) / 2;
                if bounded(middle) { good = middle } else { bad = middle }
            }
            assert!(scale < 0.5 || (1 << 29 < good && good < 3 << 29), "{scale}: {good}");
            for form in FORMS {
                for x in [good, -good, good - 1, 1 - good] {
                    let t = c.sequence(form, x as i32);
                    assert!(t.abs() < LIMIT && t as i32 == c.apply(form, x as i32), "{form:?} {c:?} of {x}");
                }
            }
        }
    }

    /// Every sum, for a few channels.
    #[test]
    fn exhaustive() {
        for scale in [0.0123, 0.00071, 0.3, 0.004] {
            for reference in [Reference::Real(scale), {
                let (m, s) = quantize_multiplier(scale);
                Reference::Fixed(m, s)
            }] {
                for (zero_point, low) in [(-128, -128), (3, -128), (3, 3)] {
                    let steps = Steps { reference, zero_point, low, high: 127, least: -600_000, most: 600_000 };
                    let (form, c) = prove(&[steps], true).expect("a form");
                    for x in -600_000..=600_000 {
                        let want = reference.apply(x).saturating_add(zero_point).clamp(low, 127);
                        assert_eq!(
                            c[0].apply(form, x).saturating_add(steps.zero_point(form)).clamp(low, 127),
                            want,
                            "{reference:?} {form:?} {x}"
                        );
                    }
                }
            }
        }
    }

    /// Most channels that occur can be proved.
    #[test]
    fn most_scales_are_proved() {
        let mut rest = [0; 2];
        let mut state = 1u64;
        for _ in 0..2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let scale = libm::exp2(-5.0 - 7.0 * (state >> 40) as f64 / (1u64 << 24) as f64);
            let (multiplier, shift) = quantize_multiplier(scale);
            for (i, low) in [-128, 0].into_iter().enumerate() {
                let steps =
                    Steps { reference: Reference::Fixed(multiplier, shift), zero_point: 0, low, high: 127, least: -1 << 23, most: 1 << 23 };
                rest[i] += prove(&[steps], true).is_none() as usize;
            }
        }
        assert!(rest[0] < 20 && rest[1] < 20, "{rest:?} of 2000 cannot be proved");
    }
}
