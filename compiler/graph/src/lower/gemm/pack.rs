//! Weights in the order in which kernels read them.
//!
//! Direct functions, because weights are large and the interpreter is slow. The idea: a panel is all the weights of a few vectors of
//! columns, and in it the depth runs as the activations lie in memory: row of taps by row of taps, each one run or (where taps are
//! apart) one run per tap, cut into the groups that one operation takes.

use crate::tensor::ElementType;
use cranelite_tile::Elem;
use std::ops::Range;

/// Weights as the model has them: [output channel, row, column, input channel].
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    pub element: ElementType,
    pub shape: [usize; 4],
    pub data: &'a [u8],
}

impl Filter<'_> {
    fn index(&self, [o, y, x, c]: [usize; 4]) -> usize {
        let [_, h, w, d] = self.shape;
        ((o * h + y) * w + x) * d + c
    }

    /// An integer weight.
    pub fn int(&self, at: [usize; 4]) -> i64 {
        self.nth(self.index(at))
    }

    /// Integer weights in their order in memory.
    pub fn ints(self, range: Range<usize>) -> impl Iterator<Item = i64> {
        range.map(move |i| self.nth(i))
    }

    fn nth(&self, i: usize) -> i64 {
        match self.element {
            ElementType::I8 => i64::from(self.data[i] as i8),
            ElementType::U8 => i64::from(self.data[i]),
            ElementType::I16 => i64::from(i16::from_le_bytes([self.data[2 * i], self.data[2 * i + 1]])),
            other => unreachable!("weights of {other}"),
        }
    }

    /// Float weights of all channels of a tap.
    pub fn floats(self, [o, y, x]: [usize; 3]) -> impl Iterator<Item = f32> {
        let first = 4 * self.index([o, y, x, 0]);
        self.data[first..first + 4 * self.shape[3]].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))
    }

    fn float_bytes(&self, at: [usize; 4]) -> &[u8] {
        let i = 4 * self.index(at);
        &self.data[i..i + 4]
    }
}

/// How the taps of a row lie in memory and in a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Columns of the filter that are packed.
    pub taps: Range<usize>,
    pub channels: usize,
    /// Elements per group.
    pub group: usize,
    /// The taps of a row follow each other without gap, and so do their activations.
    pub merged: bool,
    /// A last group that is not full begins early enough to be read whole: the weights of what was read before are zero. Not
    /// possible where activations are summed.
    pub overlap: bool,
}

impl Depth {
    /// Elements of a run.
    pub fn run(&self) -> usize {
        if self.merged { self.taps.len() * self.channels } else { self.channels }
    }
    /// Runs in a row of taps.
    pub fn runs(&self) -> usize {
        if self.merged { 1 } else { self.taps.len() }
    }
    /// Groups of a run that are full.
    pub fn full(&self) -> usize {
        self.run() / self.group
    }
    /// Where the last group of a run begins that is not a full one, and how many elements of it exist.
    pub fn tail(&self) -> Option<(usize, usize)> {
        let (run, group) = (self.run(), self.group);
        let at = if self.overlap { run.saturating_sub(group) } else { run / group * group };
        (run % group != 0).then(|| (at, (run - at).min(group)))
    }
    /// Groups of a run in a panel.
    pub fn groups(&self) -> usize {
        self.run().div_ceil(self.group)
    }

    /// (column of the filter, channel) of element `i` of a group, if it takes part.
    fn element(&self, run: usize, group: usize, i: usize) -> Option<(usize, usize)> {
        let full = self.full();
        let e = match self.tail() {
            Some((at, _)) if group == full => at + i,
            _ => group * self.group + i,
        };
        let covered = group == full && e < full * self.group;
        if covered || self.run() <= e {
            return None;
        }
        Some(if self.merged { (self.taps.start + e / self.channels, e % self.channels) } else { (self.taps.start + run, e) })
    }
}

/// The panels of `columns` output channels from `first` on, each `width` columns wide, as `elem`; integers without their `shift`.
pub fn panels(filter: &Filter, depth: &Depth, first: usize, columns: usize, width: usize, elem: Elem, shift: i64) -> Vec<u8> {
    let size = columns.div_ceil(width) * width * filter.shape[1] * depth.runs() * depth.groups() * depth.group * elem.bytes() as usize;
    let mut out = Vec::with_capacity(size);
    for start in (0..columns).step_by(width) {
        for y in 0..filter.shape[1] {
            for run in 0..depth.runs() {
                for group in 0..depth.groups() {
                    let elements: Vec<_> = (0..depth.group).map(|i| depth.element(run, group, i)).collect();
                    for column in start..start + width {
                        for e in &elements {
                            let at = e.filter(|_| column < columns).map(|(x, c)| [first + column, y, x, c]);
                            match (elem, at) {
                                (Elem::F32, Some(at)) => out.extend_from_slice(filter.float_bytes(at)),
                                (Elem::I8 | Elem::U8, Some(at)) => out.push((filter.int(at) - shift) as i8 as u8),
                                (Elem::I16, Some(at)) => out.extend_from_slice(&((filter.int(at) - shift) as i16).to_le_bytes()),
                                (_, None) => out.extend(std::iter::repeat_n(0, elem.bytes() as usize)),
                                (other, _) => unreachable!("packed weights of {other}"),
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

/// Σ over the input channels of the weights without their `shift`, for every tap of an output channel, row by row.
pub fn tap_sums(filter: &Filter, channel: usize, shift: i64) -> Vec<i64> {
    let [_, h, w, d] = filter.shape;
    let first = channel * h * w;
    (first..first + h * w).map(|t| filter.ints(t * d..(t + 1) * d).map(|v| v - shift).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every element is in a run exactly once, at the place of the activation that it multiplies.
        #[test]
        fn a_run_holds_every_element_once(start in 0usize..3, taps in 1usize..5, channels in 1usize..9, group in 1usize..5, merged: bool, overlap: bool) {
            let d = Depth { taps: start..start + taps, channels, group, merged, overlap };
            let mut seen = vec![0; taps * channels];
            for run in 0..d.runs() {
                for g in 0..d.groups() {
                    let at = d.tail().filter(|_| g == d.full()).map_or(g * group, |t| t.0);
                    for i in 0..group {
                        if let Some((x, c)) = d.element(run, g, i) {
                            seen[(x - start) * channels + c] += 1;
                            let here = at + i + if merged { 0 } else { run * channels };
                            prop_assert_eq!(here, (x - start) * channels + c);
                        }
                    }
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
        }
    }
}
