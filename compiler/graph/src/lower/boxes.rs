//! Suppressing boxes that overlap better ones.
//!
//! Not an operator: those that detect objects share it. The idea: boxes are planes of numbers, so that one box is compared with a vector of
//! others, and one walk over all boxes both removes those that overlap the box that was chosen last and finds the best of the rest. Nothing is
//! sorted, and of equal scores the first box wins, as where a stable sort comes before.

pub mod corners;

use super::select::Numbers;
use cranelite_tile::{Arg, Cond, Counter, Elem, Index, KernelBuilder, Value};

/// Planes of boxes: y0, x0, y1, x1, area.
pub const PLANES: usize = 5;

/// Chooses boxes from the best one on, at most so many, each of which overlaps no better one that was chosen by more than `threshold`: the
/// common area over that of both together. What has no area overlaps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Suppression {
    pub boxes: Numbers,
    pub most: usize,
    pub threshold: f32,
}

impl Suppression {
    /// Gives how many are chosen. `planes` has [`PLANES`] numbers of each box; `scores` is negative infinity of what is no candidate, and of
    /// what was chosen or suppressed in the end. `chosen` gets the number and the score of each box in turn, and may get one of
    /// score negative infinity behind the last.
    pub fn write(
        self,
        k: &mut KernelBuilder,
        planes: Arg,
        scores: Arg,
        places: Arg,
        chosen: impl Fn(&mut KernelBuilder, Counter, Value, Value),
    ) -> Value {
        let Numbers { count, lanes } = self.boxes;
        let ty = Elem::F32.x(lanes);
        let [zero, one] = [0, 1].map(|n| k.int(Elem::I32.x(1), n));
        let nothing = k.float(Elem::F32.x(1), 0.0);
        let mut first = vec![one, zero];
        first.extend([nothing; PLANES]);
        let last = k.repeat("detection", self.most, 1, &first, |k, _, v| {
            let more = k.clamped_index("more", v[0], 0, 1);
            let before: Vec<Value> = v[2..].iter().map(|&x| if lanes == 1 { x } else { k.splat(x, lanes) }).collect();
            let (score, place) = self.boxes.best(k, places, Some(more), |k, first| {
                let these: Vec<Value> = (0..PLANES).map(|p| k.load(ty, planes.at((first.clone() + p * count) * 4))).collect();
                let overlap = self.overlap(k, &before, &these);
                let (score, removed) = (k.load(ty, scores.at(first.clone() * 4)), k.float(ty, f32::NEG_INFINITY));
                let left = k.select(overlap, removed, score);
                k.store(scores.at(first * 4), left);
                left
            });
            let number = k.clamped_index("number", v[1], 0, self.most as i64 - 1);
            chosen(k, number, place, score);
            let none = k.float(Elem::F32.x(1), f32::NEG_INFINITY);
            let found = k.compare(Cond::Gt, score, none);
            let [zero, one] = [0, 1].map(|n| k.int(Elem::I32.x(1), n));
            let found = k.select(found, one, zero);
            let place = k.clamped_index("box", place, 0, count as i64 - 1);
            k.store(scores.at(place * 4), none);
            let mut next = vec![found, k.add(v[1], found)];
            next.extend((0..PLANES).map(|p| k.load(Elem::F32.x(1), planes.at((Index::from(place) + p * count) * 4))));
            next
        });
        last[1]
    }

    /// Whether the second boxes overlap the first by too much.
    fn overlap(self, k: &mut KernelBuilder, a: &[Value], b: &[Value]) -> Value {
        let ty = k.ty(a[0]);
        let (zero, one, threshold) = (k.float(ty, 0.0), k.float(ty, 1.0), k.float(ty, self.threshold));
        let mut side = |from: usize, to: usize| {
            let (start, end) = (k.max(b[from], a[from]), k.min(b[to], a[to]));
            let length = k.sub(end, start);
            k.max(zero, length)
        };
        let (height, width) = (side(0, 2), side(1, 3));
        let common = k.mul(height, width);
        let both = k.add(a[4], b[4]);
        let together = k.sub(both, common);
        let (has_a, has_b) = (k.compare(Cond::Gt, a[4], zero), k.compare(Cond::Gt, b[4], zero));
        let have_area = k.and(has_a, has_b);
        let together = k.select(have_area, together, one);
        let share = k.div(common, together);
        let is_over = k.compare(Cond::Gt, share, threshold);
        k.and(is_over, have_area)
    }
}
