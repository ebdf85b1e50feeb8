//! An array with copies of one number before, after and between its elements; less than nothing before or after takes elements away.
//!
//! Not `pad.rs`, whose number is a constant and which takes nothing away. The idea: which elements remain and where they are is a matter of each axis
//! alone, so that they move along axes with distances, after the rest has been filled.

use super::moves::{self, Axis};
use super::{Context, pad};
use cranelite_tile::BufferId;

/// One axis of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spaced {
    pub size: usize,
    /// Of the elements that remain: the first one, how many, where the first is, and how far apart they are.
    first: usize,
    count: usize,
    place: usize,
    step: usize,
}

impl Spaced {
    /// Of an axis of so many elements that become `step` apart. `None` where less than nothing is left, or too much for memory.
    pub fn new(size: usize, before: i64, after: i64, step: usize) -> Option<Spaced> {
        let (count, apart) = (i64::try_from(size).ok()?, i64::try_from(step).ok()?);
        let inside = if count == 0 { 0 } else { (count - 1).checked_mul(apart)?.checked_add(1)? };
        let whole = inside.checked_add(before)?.checked_add(after)?;
        let first = before.min(0).checked_neg()?.checked_add(apart - 1)? / apart;
        let end = whole.checked_sub(1)?.checked_sub(before)?.div_euclid(apart).checked_add(1)?.clamp(0, count);
        let first = first.min(end);
        let place = if first < end { before.checked_add(first.checked_mul(apart)?)? } else { 0 };
        let size = usize::try_from(whole).ok()?;
        Some(Spaced { size, first: first as usize, count: (end - first) as usize, place: usize::try_from(place).ok()?, step })
    }

    /// Does the axis stay what it is?
    pub fn is_same(&self) -> bool {
        self.first == 0 && self.place == 0 && self.count == self.size
    }
}

/// Writes an array of elements of so many bytes, whose shape is `shape`, with the only element of `fill` around and between them.
pub fn lower(cx: &mut Context, [from, fill, to]: [BufferId; 3], bytes: usize, shape: &[usize], axes: &[Spaced]) {
    let result: Vec<usize> = axes.iter().map(|a| a.size).collect();
    let is_empty = axes.iter().any(|a| a.count == 0);
    if is_empty || axes.iter().any(|a| 1 < a.step && 1 < a.count) {
        let all = Axis { count: result.iter().product(), from: 0, to: 1 };
        moves::elements(cx, fill, to, bytes, (0, 0), &[all]);
    } else {
        let margins = axes.iter().map(|a| pad::Axis { size: a.count, before: a.place, after: a.size - a.place - a.count });
        moves::margin(cx, fill, to, bytes, &margins.collect::<Vec<_>>());
    }
    if is_empty {
        return;
    }
    let (old, new) = (moves::strides(shape), moves::strides(&result));
    let sum = |of: fn(&Spaced) -> usize, strides: &[i64]| axes.iter().zip(strides).map(|(a, s)| of(a) * *s as usize).sum::<usize>();
    let first = (sum(|a| a.first, &old), sum(|a| a.place, &new));
    let moved = axes.iter().zip(old.iter().zip(&new)).map(|(a, (&from, &to))| Axis { count: a.count, from, to: to * a.step as i64 });
    moves::elements(cx, from, to, bytes, first, &moved.collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_that_remain() {
        let spaced = |size, before, after, step| {
            Spaced::new(size, before, after, step).map(|s| {
                let mut all = vec![-1; s.size];
                (0..s.count).for_each(|i| all[s.place + i * s.step] = (s.first + i) as i32);
                all
            })
        };
        assert_eq!(spaced(3, 1, 2, 1), Some(vec![-1, 0, 1, 2, -1, -1]));
        assert_eq!(spaced(3, 0, 0, 3), Some(vec![0, -1, -1, 1, -1, -1, 2]));
        assert_eq!(spaced(3, -1, 1, 3), Some(vec![-1, -1, 1, -1, -1, 2, -1]));
        assert_eq!(spaced(3, -3, -1, 3), Some(vec![1, -1, -1]));
        assert_eq!(spaced(3, -4, -2, 3), Some(vec![-1]));
        assert_eq!(spaced(2, 4, -5, 2), Some(vec![-1, -1]));
        assert_eq!(spaced(3, -2, -1, 1), Some(vec![]));
        assert_eq!(spaced(3, -2, -2, 1), None);
        assert_eq!(spaced(0, 1, 1, 4), Some(vec![-1, -1]));
        assert_eq!(spaced(usize::MAX, 1, 1, 4), None);
    }
}
