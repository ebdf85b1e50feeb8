//! Requantisation of bytes in f32, where it is proved to give the reference's integers.
//!
//! Not an approximation: a form that differs from the fixed point anywhere is not used. The idea: bytes have so few values (256, or
//! 65536 pairs) that every one of them is tried when the model is compiled, with the very operations that the kernel will execute.
//! For given factors each wanted integer bounds the addend from both sides; factors that leave the widest room for it are sought by
//! bisection, because the room is a concave function of each of them. It costs a third of the integer form.

use super::math::mul_add;
use super::requantize::Target;
use cranelite_tile::{Elem, KernelBuilder, Machine, Value};

/// Floats around this one have no bits behind the point, so that adding it rounds to the nearest integer, ties to even.
const ROUNDER: f32 = 12_582_912.0;

/// `round(Σ factor · term + addend)`, the products added from the last to the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    factors: Vec<f32>,
    addend: f32,
    /// The addend takes the sign of the only term; the zero point then comes after the rounding.
    signed: bool,
    target: Target,
}

fn scalar_mul_add(fma: bool, a: f32, b: f32, c: f32) -> f32 {
    if fma { libm::fmaf(a, b, c) } else { a * b + c }
}

/// Values of one or two terms, and between which integers the result for each pair must be.
struct Problem<'a> {
    terms: [&'a [f32]; 2],
    /// `bounds[i · len + j]` belongs to `terms[0][i]` and `terms[1][j]`.
    bounds: &'a [(f64, f64)],
    fma: bool,
}

/// Factors and addend.
type Solution = ([f32; 2], f32);

/// Where an addend may be.
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
    /// Its middle; somewhere inside if it has none, `None` if it is empty.
    fn middle(self) -> Option<f64> {
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => (self.low < self.high).then_some((self.low + self.high) / 2.0),
            (true, false) => Some(self.low + 0.5),
            (false, true) => Some(self.high - 0.5),
            (false, false) => Some(0.0),
        }
    }
}

impl Problem<'_> {
    /// The room that each value of one term leaves to the addend and its own product, the other term having that factor.
    fn rooms(&self, which: usize, other_factor: f64) -> Vec<Room> {
        let [xs, ys] = self.terms;
        let mut rooms = vec![Room::ALL; self.terms[which].len()];
        for (i, row) in self.bounds.chunks(ys.len()).enumerate() {
            for (j, &(low, high)) in row.iter().enumerate() {
                let (own, other) = if which == 0 { (i, ys[j]) } else { (j, xs[i]) };
                let room = Room { low: low - 0.5, high: high + 0.5 };
                rooms[own] = rooms[own].and(room.moved(-f64::from(other) * other_factor));
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

    /// The solution with these factors, if it computes every result.
    fn prove(&self, factors: [f64; 2]) -> Option<Solution> {
        let [f, g] = factors.map(|f| f as f32);
        let addend = self.room(&self.rooms(0, g.into()), 0, f.into()).middle()? as f32;
        let solution = ([f, g], addend);
        self.holds(solution).then_some(solution)
    }

    /// The proof: the solution gives for every pair what it must.
    fn holds(&self, ([f, g], addend): Solution) -> bool {
        let [xs, ys] = self.terms;
        let inner: Vec<f32> = ys.iter().map(|&y| scalar_mul_add(self.fma, y, g, addend)).collect();
        xs.iter().zip(self.bounds.chunks(ys.len())).all(|(&x, row)| {
            inner.iter().zip(row).all(|(&t, &(low, high))| {
                let t = scalar_mul_add(self.fma, x, f, t);
                let n = f64::from(t + ROUNDER - ROUNDER);
                // The rounder's way of rounding.
                t.abs() < 4_194_304.0 && low <= n && n <= high
            })
        })
    }

    fn solve(&self, mut factors: [f64; 2]) -> Option<Solution> {
        for _ in 0..3 {
            if let Some(solution) = self.prove(factors) {
                return Some(solution);
            }
            for which in (0..2).filter(|&i| 1 < self.terms[i].len()) {
                factors[which] = self.widest(factors, which);
            }
        }
        self.prove(factors)
    }
}

/// Between which integers a result must be that is to become `wanted` after the clamp.
fn bounds(wanted: i32, target: Target) -> (f64, f64) {
    let w = f64::from(wanted);
    (
        if wanted <= target.low { f64::NEG_INFINITY } else { w.min(target.high.into()) },
        if target.high <= wanted { f64::INFINITY } else { w.max(target.low.into()) },
    )
}

impl Affine {
    /// For one term with these values: `wanted` are the exact results, before zero point and clamp.
    pub fn of_one(m: &Machine, term: &[f32], factor: f64, wanted: &[i32], target: Target) -> Option<Affine> {
        let shifted: Vec<_> = wanted.iter().map(|&w| bounds(w.saturating_add(target.zero_point), target)).collect();
        if let Some(([f, _], addend)) = (Problem { terms: [term, &[0.0]], bounds: &shifted, fma: m.fma }).solve([factor, 0.0]) {
            return Some(Affine { factors: vec![f], addend, signed: false, target: Target { zero_point: 0, ..target } });
        }
        // With the sign of the term all is as if the negative ones were positive.
        let z = f64::from(target.zero_point);
        let mirrored: Vec<_> =
            (shifted.iter().zip(term)).map(|(&(l, h), &x)| if x < 0.0 { (z - h, z - l) } else { (l - z, h - z) }).collect();
        let magnitudes: Vec<f32> = term.iter().map(|x| x.abs()).collect();
        let ([f, _], addend) = Problem { terms: [&magnitudes, &[0.0]], bounds: &mirrored, fma: m.fma }.solve([factor, 0.0])?;
        // Zero may have either sign.
        (0.0..0.5).contains(&addend).then_some(Affine { factors: vec![f], addend, signed: true, target })
    }

    /// The name in reports.
    pub fn form(&self) -> &'static str {
        if self.signed { "float_signed" } else { "float" }
    }

    /// For two terms, in all pairs: `wanted[i · len + j]` belongs to `terms[0][i]` and `terms[1][j]`.
    pub fn of_two(m: &Machine, terms: [&[f32]; 2], factors: [f64; 2], wanted: &[i32], target: Target) -> Option<Affine> {
        let bounds: Vec<_> = wanted.iter().map(|&w| bounds(w.saturating_add(target.zero_point), target)).collect();
        let (factors, addend) = Problem { terms, bounds: &bounds, fma: m.fma }.solve(factors)?;
        Some(Affine { factors: factors.to_vec(), addend, signed: false, target: Target { zero_point: 0, ..target } })
    }

    /// From f32 lanes, which hold the terms, to the target's element.
    pub fn apply(&self, k: &mut KernelBuilder, m: &Machine, terms: &[Value]) -> Value {
        let n = self.rounded(k, m, terms);
        self.target.apply(k, n)
    }

    /// What becomes of the i32 lanes of `rounded`.
    pub fn target(&self) -> Target {
        self.target
    }

    /// From f32 lanes, which hold the terms, to i32 lanes.
    pub fn rounded(&self, k: &mut KernelBuilder, m: &Machine, terms: &[Value]) -> Value {
        let ty = k.ty(terms[0]);
        let int = ty.with_elem(Elem::I32);
        let mut sum = k.float(ty, self.addend);
        if self.signed {
            let (bits, sign, addend) = (k.bitcast(terms[0], int), k.int(int, i32::MIN.into()), k.bitcast(sum, int));
            let sign = k.and(bits, sign);
            let signed = k.or(sign, addend);
            sum = k.bitcast(signed, ty);
        }
        for (&term, &factor) in terms.iter().zip(&self.factors).rev() {
            let factor = k.float(ty, factor);
            sum = mul_add(k, m, term, factor, sum);
        }
        // The integer is what the sum's last bits are above those of the rounder.
        let rounder = k.float(ty, ROUNDER);
        let rounded = k.add(sum, rounder);
        let (bits, base) = (k.bitcast(rounded, int), k.int(int, ROUNDER.to_bits().into()));
        k.sub(bits, base)
    }
}

/// `(Σ factor · term + addend) >> right` in 32 bits: the same for machines without vectors of floats, proved in the same way.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedAffine {
    factors: [i32; 2],
    addend: i32,
    right: u8,
    target: Target,
}

impl FixedAffine {
    /// As [`Affine::of_two`], of integers. The name in reports is [`FixedAffine::FORM`].
    pub fn of_two(terms: [&[i32]; 2], factors: [f64; 2], wanted: &[i32], target: Target) -> Option<FixedAffine> {
        let bounds: Vec<_> = wanted.iter().map(|&w| bounds(w.saturating_add(target.zero_point), target)).collect();
        let floats = terms.map(|t| t.iter().map(|&v| v as f32).collect::<Vec<f32>>());
        let best = Problem { terms: [&floats[0], &floats[1]], bounds: &bounds, fma: true }.solve(factors);
        let factors = best.map_or(factors, |(factors, _)| factors.map(f64::from));
        (8..=22).rev().find_map(|right| {
            let scale = f64::from(1 << right);
            let factors = factors.map(|f| libm::floor(f * scale + 0.5) as i64);
            let (mut low, mut high) = (i64::from(i32::MIN), i64::from(i32::MAX));
            let (mut least, mut most) = (0, 0);
            for (&x, row) in terms[0].iter().zip(bounds.chunks(terms[1].len())) {
                for (&y, &(from, to)) in terms[1].iter().zip(row) {
                    let sum = i64::from(x) * factors[0] + i64::from(y) * factors[1];
                    (least, most) = (sum.min(least), sum.max(most));
                    if from.is_finite() {
                        low = low.max(((from as i64) << right) - sum);
                    }
                    if to.is_finite() {
                        high = high.min(((to as i64 + 1) << right) - 1 - sum);
                    }
                }
            }
            // No sum leaves 32 bits, neither with the addend nor without it, nor a single product.
            let fits = |v: i64| i32::try_from(v).is_ok();
            let addend = low + (high - low) / 2;
            let singles = terms.iter().zip(factors).all(|(t, f)| t.iter().all(|&v| fits(i64::from(v) * f)));
            let sound = low <= high && singles && [least, most, least + addend, most + addend, addend].into_iter().all(fits);
            let factors = factors.map(|f| i32::try_from(f).unwrap_or(0));
            sound.then_some(FixedAffine { factors, addend: addend as i32, right, target: Target { zero_point: 0, ..target } })
        })
    }

    pub const FORM: &str = "product";

    pub fn target(&self) -> Target {
        self.target
    }

    /// From i32 lanes, which hold the terms, to i32 lanes.
    pub fn rounded(&self, k: &mut KernelBuilder, terms: [Value; 2]) -> Value {
        let ty = k.ty(terms[0]);
        let mut sum = k.int(ty, self.addend.into());
        for (term, factor) in terms.into_iter().zip(self.factors).filter(|t| t.1 != 0) {
            let factor = k.int(ty, factor.into());
            let product = k.mul(term, factor);
            sum = k.add(sum, product);
        }
        k.shr_imm(sum, self.right)
    }
}

/// Integers in i32 lanes, which they may be in already.
pub fn i32_lanes(k: &mut KernelBuilder, x: Value) -> Value {
    if k.ty(x).elem == Elem::I32 { x } else { k.widen(x, Elem::I32) }
}

/// Lanes of bytes as f32.
pub fn float_of_byte(k: &mut KernelBuilder, x: Value) -> Value {
    let x = i32_lanes(k, x);
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
    use crate::quantize::edges;
    use cranelite_tile::{ByteDot, interpret};

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

    /// A constant that is moved until the proof refuses it is wrong by that last unit in the last place: some pair of bytes, through the
    /// very operations of a kernel, becomes another integer.
    #[test]
    fn one_unit_too_far_is_refused() {
        let x: Vec<f32> = (-128..128).map(|v| v as f32).collect();
        let pairs = || x.iter().flat_map(|&a| x.iter().map(move |&b| (a, b)));
        for fma in [false, true] {
            let wanted: Vec<i32> = pairs().map(|(a, b)| libm::floor(f64::from(a) * 0.4137 - f64::from(b) * 0.2911 + 0.5) as i32).collect();
            let target = Target { zero_point: 5, ..BYTES };
            let all: Vec<_> = wanted.iter().map(|&w| bounds(w + 5, target)).collect();
            let problem = Problem { terms: [&x, &x], bounds: &all, fma };
            let (factors, addend) = problem.solve([0.4137, -0.2911]).expect("a form");
            let machine = Machine::example(16, ByteDot::U8S8, fma, false);
            for (constant, up) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
                let with = |v: f32| match constant {
                    0 => ([v, factors[1]], addend),
                    1 => ([factors[0], v], addend),
                    _ => (factors, v),
                };
                let good = [factors[0], factors[1], addend][constant];
                let (last, next) = edges::f32(good, up, |v| problem.holds(with(v))).expect("an end");
                for (v, right) in [(last, true), (next, false)] {
                    let (factors, addend) = with(v);
                    let target = Target { zero_point: 0, ..target };
                    let affine = Affine { factors: factors.to_vec(), addend, signed: false, target };
                    let expected: Vec<i32> = wanted.iter().map(|w| (w + 5).clamp(-128, 127)).collect();
                    assert_eq!(through_a_kernel(&affine, &machine) == expected, right, "{fma} {constant} {up} {v:e}");
                }
            }
        }
    }

    /// The same of a form with sign.
    #[test]
    fn one_unit_too_far_is_refused_with_sign() {
        let x: Vec<f32> = (-128..128).map(|v| v as f32).collect();
        let target = Target { zero_point: 5, ..BYTES };
        let wanted: Vec<i32> = (-128..128i32).map(|v| libm::floor(f64::from(v.abs()) * 0.4137 + 0.5) as i32 * v.signum()).collect();
        let mirrored: Vec<_> = (x.iter().zip(&wanted))
            .map(|(&x, &w)| {
                let (low, high) = bounds(w + 5, target);
                if x < 0.0 { (5.0 - high, 5.0 - low) } else { (low - 5.0, high - 5.0) }
            })
            .collect();
        let magnitudes: Vec<f32> = x.iter().map(|x| x.abs()).collect();
        for fma in [false, true] {
            let problem = Problem { terms: [&magnitudes, &[0.0]], bounds: &mirrored, fma };
            let ([factor, _], addend) = problem.solve([0.4137, 0.0]).expect("a form");
            let machine = Machine::example(16, ByteDot::U8S8, fma, false);
            for (constant, up) in [(0, false), (0, true), (1, false), (1, true)] {
                let with = |v: f32| if constant == 0 { (v, addend) } else { (factor, v) };
                let accepted = |v| problem.holds(([with(v).0, 0.0], with(v).1));
                let (last, next) = edges::f32([factor, addend][constant], up, accepted).expect("an end");
                for (v, right) in [(last, true), (next, false)] {
                    let affine = Affine { factors: vec![with(v).0], addend: with(v).1, signed: true, target };
                    let expected: Vec<i32> = wanted.iter().map(|w| (w + 5).clamp(-128, 127)).collect();
                    assert_eq!(through_a_kernel(&affine, &machine)[..256] == expected, right, "{fma} {constant} {up} {v:e}");
                }
            }
        }
    }

    /// What a kernel makes of all pairs of int8, or for each of them of the second alone.
    fn through_a_kernel(affine: &Affine, machine: &Machine) -> Vec<i32> {
        let mut k = KernelBuilder::new("pairs");
        let (x, y) = (k.read("x"), k.write("y"));
        let ty = Elem::I8.x(16);
        k.each("a", 256, 1, |k, a| {
            let first = k.load_splat(ty, 1, x.at(a));
            k.each("b", 256, 16, |k, b| {
                let second = k.load(ty, x.at(b));
                let terms = [float_of_byte(k, first), float_of_byte(k, second)];
                let result = affine.apply(k, machine, &terms[2 - affine.factors.len()..]);
                k.store(y.at(a * 256 + b), result);
            });
        });
        let mut buffers = [(-128..=127i8).map(|v| v as u8).collect(), vec![0; 65536]];
        interpret::call(&k.finish(), &[], &mut buffers).expect("a good kernel");
        buffers[1].iter().map(|&v| i32::from(v as i8)).collect()
    }

    #[test]
    fn large_intermediate_values_are_refused() {
        let m = Machine::example(16, ByteDot::U8S8, true, false);
        assert_eq!(Affine::of_one(&m, &[0.0, 5e6], 1.0, &[0, 127], BYTES), None);
        assert!(Affine::of_one(&m, &[0.0, 4e6], 1.0, &[0, 127], BYTES).is_some());
    }
}
