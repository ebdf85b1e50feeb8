//! A requantisation as one product of integers, proved equal to the reference for every sum that can occur.
//!
//! Not an approximation: what cannot be proved is not used. The idea is that of `steps.rs`, for machines that have no vectors of floats but the high half of a
//! product of 32 bits: with a multiplier `m` and an addend `a` per channel, and two shifts for all,
//!
//! ```text
//! clamp((a + ((x << left) · m >> 32)) >> right, low, high)
//! ```
//!
//! is the result, zero point included. Where the reference rounds halves away from zero, or twice, `signed` forms have another addend for negative sums. Both sides are monotone functions of the sum `x`; each step of the reference says between which bounds `a` must lie so that the sequence
//! takes it between the same two sums, so that the proof finds the addend. On Arm with DSP that is LSL, SMMLA and SSAT, which shifts, too.

use super::steps::Steps;

/// The shifts of a sequence; the same for all channels of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    pub left: u8,
    pub right: u8,
    pub signed: bool,
}

/// The numbers of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coefficients {
    pub multiplier: i32,
    pub addend: i32,
    /// What is added to negative sums of signed forms, too.
    pub negative: i32,
}

impl Coefficients {
    /// What the operations compute, before the clamp.
    pub fn apply(self, form: Form, x: i32) -> i32 {
        let product = i64::from(x.wrapping_shl(form.left.into())) * i64::from(self.multiplier);
        let negative = if form.signed && x < 0 { self.negative } else { 0 };
        self.addend.wrapping_add((product >> 32) as i32).wrapping_add(negative) >> form.right
    }
}

/// Fraction bits of results, the preferred ones first: with 16 steps of 1/100 are told apart well, and sums may lead far beyond the range of results.
const RIGHT: [u8; 8] = [16, 14, 18, 12, 20, 10, 22, 8];

/// The first form that serves all channels, with their coefficients.
pub fn prove(channels: &[Steps]) -> Option<(Form, Vec<Coefficients>)> {
    if !channels.iter().all(Steps::provable) {
        return None;
    }
    let thresholds: Vec<Vec<(i32, i64)>> = channels.iter().map(Steps::thresholds).collect();
    let reach = channels.iter().map(|s| s.least.unsigned_abs().max(s.most.unsigned_abs())).max().unwrap_or(0);
    let room = (reach | 1).leading_zeros() as u8 - 33;
    // Kernels are shared by operators of equal shifts: rather one of few.
    let mut left: Vec<u8> = (0..=room).collect();
    left.sort_by_key(|l| (!l.is_multiple_of(4), !l.is_multiple_of(2), *l));
    let shifts = RIGHT.into_iter().flat_map(|right| left.iter().map(move |&left| (left, right)));
    let forms = [false, true].into_iter().flat_map(|signed| shifts.clone().map(move |(left, right)| Form { left, right, signed }));
    forms.into_iter().find_map(|form| {
        let all: Option<Vec<_>> = channels.iter().zip(&thresholds).map(|(s, t)| coefficients(form, s, t)).collect();
        all.map(|all| (form, all))
    })
}

/// Between which bounds an addend must lie.
#[derive(Clone, Copy)]
struct Room {
    least: i64,
    most: i64,
}

impl Room {
    fn middle(self) -> Option<i32> {
        i32::try_from(self.least + (self.most - self.least) / 2).ok().filter(|_| self.least <= self.most)
    }
}

/// Those with which the sequence equals the reference for all sums of `steps`, if there are any.
fn coefficients(form: Form, steps: &Steps, thresholds: &[(i32, i64)]) -> Option<Coefficients> {
    let whole = |result: i32| i64::from(result) << form.right;
    if thresholds.is_empty() {
        return Some(Coefficients { multiplier: 0, addend: i32::try_from(whole(steps.constant())).ok()?, negative: 0 });
    }
    let multiplier = libm::round(libm::scalbn(steps.reference.scale(), 32 + i32::from(form.right) - i32::from(form.left)));
    if i32::MAX as f64 <= multiplier || multiplier < 1.0 {
        return None;
    }
    let multiplier = multiplier as i32;
    let high = |x: i64| ((x << form.left) * i64::from(multiplier)) >> 32;
    // No sum may leave 32 bits, not even one that is clamped. Of sums that are not negative, and of those that are.
    let all = Room { least: i64::from(i32::MIN) - high(steps.least), most: i64::from(i32::MAX) - high(steps.most) };
    let mut rooms = [all; 2];
    let mut at_least = |x: i64, sum: i64| {
        let room = &mut rooms[usize::from(form.signed && x < 0)];
        room.least = room.least.max(sum - high(x));
    };
    for &(result, x) in thresholds {
        at_least(x, whole(result));
    }
    // What is monotone on both sides of 0 is right everywhere if it is at all steps and at the ends of both.
    let ends = [steps.least, -1, 0, steps.most].into_iter().filter(|x| (steps.least..=steps.most).contains(x));
    let ends: Vec<(i64, i32)> = ends.map(|x| (x, steps.wanted(x))).collect();
    ends.iter().filter(|e| steps.low < e.1).for_each(|&(x, result)| at_least(x, whole(result)));
    let mut below = |x: i64, sum: i64| {
        let room = &mut rooms[usize::from(form.signed && x < 0)];
        room.most = room.most.min(sum - 1 - high(x));
    };
    for &(result, x) in thresholds {
        below(x - 1, whole(result));
    }
    ends.iter().filter(|e| e.1 < steps.high).for_each(|&(x, result)| below(x, whole(result + 1)));
    let addend = rooms[0].middle()?;
    let negative = if form.signed { rooms[1].middle()?.checked_sub(addend)? } else { 0 };
    Some(Coefficients { multiplier, addend, negative })
}

#[cfg(test)]
mod tests {
    use super::super::quantize_multiplier;
    use super::super::steps::Reference;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_proved_holds(scales in prop::collection::vec(prop_oneof![1e-4f64..0.99, 1e-6f64..1e-3], 1..4), fixed: bool, zero_point in -128i32..128, relu: bool, least in -3_000_000i64..100_000, length in 0i64..5_000_000, xs in prop::collection::vec(0.0f64..1.0, 200)) {
            let channels: Vec<Steps> = scales
                .iter()
                .map(|&scale| {
                    let (multiplier, shift) = quantize_multiplier(scale);
                    let reference = if fixed { Reference::Fixed(multiplier, shift) } else { Reference::Real(scale) };
                    Steps { reference, zero_point, low: if relu { zero_point.max(-128) } else { -128 }, high: 127, least, most: least + length }
                })
                .collect();
            if let Some((form, all)) = prove(&channels) {
                for (s, c) in channels.iter().zip(all) {
                    let ends = s.thresholds().into_iter().flat_map(|(_, x)| [x - 1, x]).chain([s.least, s.most]);
                    for x in xs.iter().map(|x| least + (x * length as f64) as i64).chain(ends) {
                        prop_assert_eq!(c.apply(form, x as i32).clamp(s.low, s.high), s.wanted(x), "{:?} {:?} of {}", form, c, x);
                    }
                }
            }
        }
    }

    /// Layers as networks have them are proved, whichever way the reference rounds; an addend beyond its bounds is wrong for some sum.
    #[test]
    fn common_layers_are_proved() {
        for (scale, reach) in [(0.0005, 1 << 21), (0.004, 1 << 18), (0.01, 1 << 17), (0.0001, 1 << 23), (0.05, 1 << 14), (0.683, 1 << 9)] {
            let (multiplier, shift) = quantize_multiplier(scale);
            for reference in [Reference::Fixed(multiplier, shift), Reference::Real(scale)] {
                let s = Steps { reference, zero_point: -7, low: -128, high: 127, least: -reach, most: reach };
                let (form, all) = prove(&[s]).unwrap_or_else(|| panic!("{s:?} is not proved"));
                for x in (-reach..=reach).map(|x| x as i32) {
                    assert_eq!(all[0].apply(form, x).clamp(s.low, s.high), s.wanted(x.into()), "{scale} {x}");
                }
                let wrong = |by: i32| {
                    let moved = Coefficients { addend: all[0].addend + by, ..all[0] };
                    (-reach..=reach).any(|x| moved.apply(form, x as i32).clamp(s.low, s.high) != s.wanted(x))
                };
                let unit = (scale * f64::from(1 << form.right)) as i32 + 2;
                assert!(wrong(unit) && wrong(-unit), "{scale}");
            }
        }
    }
}
