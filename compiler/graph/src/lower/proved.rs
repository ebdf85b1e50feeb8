//! Requantisation of bytes in f32, where it is proved to give the reference's integers.
//!
//! Not an approximation: a form that differs from the fixed point anywhere is not used. The idea: bytes have so few values (256, or
//! 65536 pairs) that every one of them is tried when the model is compiled, with the very operations that the kernel will execute.
//! For given factors each wanted integer bounds the addend from both sides; factors that leave the widest room for it are sought by
//! bisection, because the room is a concave function of each of them. It costs a third of the integer form.

use super::math::mul_add;
use super::requantize::Target;
use cranelite_tile::{Elem, KernelBuilder, Machine, Value};

/// Adding it leaves the nearest integer, ties to even, in the low bits of a float below 2^22.
const ROUND: f32 = 12_582_912.0;

/// `round(Σ factor · term + addend)`, the products added from the last to the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    factors: Vec<f32>,
    addend: f32,
    target: Target,
}

fn scalar_mul_add(fma: bool, a: f32, b: f32, c: f32) -> f32 {
    if fma { a.mul_add(b, c) } else { a * b + c }
}

/// Values of one or two terms, and the exact result for each pair, before the clamp.
struct Problem<'a> {
    terms: [&'a [f32]; 2],
    /// `wanted[i · len + j]` belongs to `terms[0][i]` and `terms[1][j]`.
    wanted: &'a [i32],
    target: Target,
    fma: bool,
}

/// Bounds of an addend.
#[derive(Clone, Copy)]
struct Room {
    low: f64,
    high: f64,
}

impl Room {
    const ALL: Room = Room { low: f64::NEG_INFINITY, high: f64::INFINITY };

    fn and(self, other: Room) -> Room {
        Room { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
    fn moved(self, by: f64) -> Room {
        Room { low: self.low + by, high: self.high + by }
    }
}

impl Problem<'_> {
    /// The room that each value of one term leaves to the addend and its own product, the other term having that factor.
    fn rooms(&self, which: usize, other_factor: f64) -> Vec<Room> {
        let [xs, ys] = self.terms;
        let mut rooms = vec![Room::ALL; self.terms[which].len()];
        for (i, row) in self.wanted.chunks(ys.len()).enumerate() {
            for (j, &w) in row.iter().enumerate() {
                // Beyond the clamp one side is free.
                let low = if self.target.low < w { f64::from(w) - 0.5 } else { f64::NEG_INFINITY };
                let high = if w < self.target.high { f64::from(w) + 0.5 } else { f64::INFINITY };
                let (own, other) = if which == 0 { (i, ys[j]) } else { (j, xs[i]) };
                rooms[own] = rooms[own].and(Room { low, high }.moved(-f64::from(other) * other_factor));
            }
        }
        rooms
    }

    fn room(&self, rooms: &[Room], which: usize, factor: f64) -> Room {
        let moved = rooms.iter().zip(self.terms[which]).map(|(r, &x)| r.moved(-f64::from(x) * factor));
        moved.fold(Room::ALL, Room::and)
    }

    /// The factor near the given one with the widest room.
    fn widest(&self, factors: [f64; 2], which: usize) -> f64 {
        let rooms = self.rooms(which, factors[1 - which]);
        let width = |f: f64| {
            let r = self.room(&rooms, which, f);
            r.high - r.low
        };
        let spread = factors[which].abs() / 128.0;
        let (mut low, mut high) = (factors[which] - spread, factors[which] + spread);
        for _ in 0..40 {
            let (third, other) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if width(third) < width(other) { low = third } else { high = other }
        }
        (low + high) / 2.0
    }

    /// The form with these factors, if it computes every result.
    fn prove(&self, factors: [f64; 2]) -> Option<Affine> {
        let [f, g] = factors.map(|f| f as f32);
        let Room { low, high } = self.room(&self.rooms(0, g.into()), 0, f.into());
        let addend = match (low.is_finite(), high.is_finite()) {
            (true, true) => (low + high) / 2.0,
            (true, false) => low + 0.5,
            (false, true) => high - 0.5,
            (false, false) => 0.0,
        } as f32;
        if high <= low {
            return None;
        }
        let [xs, ys] = self.terms;
        let inner: Vec<f32> = ys.iter().map(|&y| scalar_mul_add(self.fma, y, g, addend)).collect();
        let clamp = |n: i32| n.clamp(self.target.low, self.target.high);
        let right = xs.iter().zip(self.wanted.chunks(ys.len())).all(|(&x, row)| {
            let mut pairs = inner.iter().zip(row);
            pairs.all(|(&t, &w)| rounded(scalar_mul_add(self.fma, x, f, t)).map(clamp) == Some(clamp(w)))
        });
        right.then(|| Affine { factors: vec![f, g], addend, target: self.target })
    }

    fn solve(&self, factors: [f64; 2]) -> Option<Affine> {
        let mut factors = factors;
        for _ in 0..3 {
            if let Some(form) = self.prove(factors) {
                return Some(form);
            }
            for which in (0..2).filter(|&i| 1 < self.terms[i].len()) {
                factors[which] = self.widest(factors, which);
            }
        }
        self.prove(factors)
    }
}

impl Affine {
    /// For one term with these values: `wanted` are the exact results, before the clamp that `target` says.
    pub fn of_one(m: &Machine, term: &[f32], factor: f64, wanted: &[i32], target: Target) -> Option<Affine> {
        let mut form = Problem { terms: [term, &[0.0]], wanted, target, fma: m.fma }.solve([factor, 0.0])?;
        form.factors.truncate(1);
        Some(form)
    }

    /// For two terms, in all pairs: `wanted[i · len + j]` belongs to `terms[0][i]` and `terms[1][j]`.
    pub fn of_two(m: &Machine, terms: [&[f32]; 2], factors: [f64; 2], wanted: &[i32], target: Target) -> Option<Affine> {
        Problem { terms, wanted, target, fma: m.fma }.solve(factors)
    }

    /// From f32 lanes, which hold the terms, to the target's element.
    pub fn apply(&self, k: &mut KernelBuilder, m: &Machine, terms: &[Value]) -> Value {
        let ty = k.ty(terms[0]);
        let mut sum = k.float(ty, self.addend);
        for (&term, &factor) in terms.iter().zip(&self.factors).rev() {
            let factor = k.float(ty, factor);
            sum = mul_add(k, m, term, factor, sum);
        }
        let round = k.float(ty, ROUND);
        let shifted = k.add(sum, round);
        let int = ty.with_elem(Elem::I32);
        let (bits, base) = (k.bitcast(shifted, int), k.int(int, ROUND.to_bits().into()));
        let n = k.sub(bits, base);
        Target { zero_point: 0, ..self.target }.apply(k, n)
    }
}

/// The nearest integer as the kernel computes it; `None` where its way does not work.
fn rounded(t: f32) -> Option<i32> {
    (t.abs() < 4_194_304.0).then(|| (t + ROUND).to_bits() as i32 - ROUND.to_bits() as i32)
}

/// Lanes of bytes as f32.
pub fn float_of_byte(k: &mut KernelBuilder, x: Value) -> Value {
    let x = k.widen(x, Elem::I32);
    k.to_float(x, Elem::F32)
}

/// All values of an 8-bit type, from the smallest to the largest; `None` of others.
pub fn byte_values(elem: Elem) -> Option<Vec<i32>> {
    let (low, high) = elem.int_range();
    (elem.bits() == 8).then(|| (low as i32..=high as i32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::ByteDot;

    const BYTES: Target = Target { elem: Elem::I8, zero_point: 0, low: -128, high: 127 };

    #[test]
    fn a_form_is_found_or_refused() {
        let m = Machine::example(16, ByteDot::U8S8, true, false);
        let x: Vec<f32> = (-128..128).map(|v| v as f32).collect();
        let magnitude: Vec<i32> = (-128..128i32).map(i32::abs).collect();
        assert_eq!(Affine::of_one(&m, &x, 1.0, &magnitude, BYTES), None);
        // Halves away from zero: a slightly larger factor does that on both sides.
        let away: Vec<i32> = (-128..128).map(|v| libm::round(v as f64 * 0.5) as i32).collect();
        let found = Affine::of_one(&m, &x, 0.5, &away, BYTES).expect("a form");
        assert!(0.5 < found.factors[0] && found.factors[0] < 0.5 + 0.5 / 128.0);
        // Halves up: the addend must tip them.
        let up: Vec<i32> = (-128..128).map(|v| libm::floor(v as f64 * 0.5 + 0.5) as i32).collect();
        let found = Affine::of_one(&m, &x, 0.5, &up, BYTES).expect("a form");
        assert!(0.0 < found.addend && found.addend < 0.5);
    }

    /// Sums of random scales in the reference's arithmetic are nearly always proved.
    #[test]
    fn most_sums_have_a_form() {
        use crate::quantize::{multiply_by_quantized_multiplier, quantize_multiplier};
        let m = Machine::example(16, ByteDot::U8S8, true, false);
        let x: Vec<f32> = (-128..128).map(|v| v as f32).collect();
        let mut seed = 1u32;
        let mut scale = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            0.01 + f64::from(seed >> 8) * 1e-8
        };
        let mut proved = 0;
        for _ in 0..20 {
            let (a, b, y) = (scale(), scale(), scale());
            let twice = 2.0 * a.max(b);
            let [f, g, r] = [a / twice, b / twice, twice / (f64::from(1 << 20) * y)].map(quantize_multiplier);
            let term = |v: i32, (m, s)| multiply_by_quantized_multiplier(v << 20, m, s);
            let wanted: Vec<i32> = (-128..128)
                .flat_map(|v| (-128..128).map(move |w| multiply_by_quantized_multiplier(term(v, f) + term(w, g), r.0, r.1)))
                .collect();
            let form = Affine::of_two(&m, [&x, &x], [a / y, b / y], &wanted, BYTES);
            proved += usize::from(form.is_some());
        }
        assert!(18 <= proved, "{proved} of 20");
    }

    #[test]
    fn large_intermediate_values_are_refused() {
        let m = Machine::example(16, ByteDot::U8S8, true, false);
        assert_eq!(Affine::of_one(&m, &[0.0, 5e6], 1.0, &[0, 127], BYTES), None);
        assert!(Affine::of_one(&m, &[0.0, 4e6], 1.0, &[0, 127], BYTES).is_some());
    }
}
