//! Which weights become zero: those of the least magnitude, as a share of a tensor or in groups of N:M.
//!
//! Not about files or element types: magnitudes in, places out. The idea: zeros that are there already have the least magnitude of all and
//! count as pruned, so pruning twice changes nothing; of equal magnitudes the earlier ones stay, so the result does not depend on how it is found.

use super::layout::Layout;
use cranelite_graph::quantize::round_half_away;

/// What is kept, and of how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pruning {
    /// This share of the weights becomes zero, rounded to a whole number of them.
    Share(f64),
    /// Of every `of` consecutive input channels at most `keep` weights stay.
    Groups { keep: usize, of: usize },
}

/// How many of `count` weights become zero.
pub fn zeros_of(share: f64, count: usize) -> usize {
    (round_half_away(share * count as f64) as usize).min(count)
}

/// Which weights become zero, for a share of all of them together.
pub fn by_share(magnitudes: &[f32], share: f64) -> Vec<bool> {
    let mut pruned = vec![false; magnitudes.len()];
    let all: Vec<usize> = (0..magnitudes.len()).collect();
    mark(magnitudes, all, zeros_of(share, magnitudes.len()), &mut pruned);
    pruned
}

/// As `by_share`, for each output channel by itself.
pub fn by_share_of_channels(magnitudes: &[f32], layout: &Layout, share: f64) -> Vec<bool> {
    let mut pruned = vec![false; magnitudes.len()];
    let mut channels = vec![vec![]; layout.channels()];
    (0..magnitudes.len()).for_each(|i| channels[layout.channel_of(i)].push(i));
    for channel in channels {
        let zeros = zeros_of(share, channel.len());
        mark(magnitudes, channel, zeros, &mut pruned);
    }
    pruned
}

/// Which weights become zero so that of every `of` consecutive input channels, for one output channel and tap, at most `keep` are not zero. The last
/// group of a row is shorter where `of` does not divide it; as many may stay in it. `None` of weights that have no axis of input channels.
pub fn by_groups(magnitudes: &[f32], layout: &Layout, keep: usize, of: usize) -> Option<Vec<bool>> {
    let mut pruned = vec![false; magnitudes.len()];
    for row in layout.input_rows()? {
        let row: Vec<usize> = row.collect();
        for group in row.chunks(of) {
            mark(magnitudes, group.to_vec(), group.len().saturating_sub(keep), &mut pruned);
        }
    }
    Some(pruned)
}

/// Marks the `count` least of some weights.
fn mark(magnitudes: &[f32], mut places: Vec<usize>, count: usize, pruned: &mut [bool]) {
    if 0 < count && count < places.len() {
        places.select_nth_unstable_by(count - 1, |&a, &b| magnitudes[a].total_cmp(&magnitudes[b]).then(b.cmp(&a)));
    }
    places[..count].iter().for_each(|&i| pruned[i] = true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(pruned: &[bool]) -> usize {
        pruned.iter().filter(|p| **p).count()
    }

    /// No weight that stays is less than one that goes, among those at `places`.
    fn is_ordered(magnitudes: &[f32], pruned: &[bool], places: impl Iterator<Item = usize>) -> bool {
        let (gone, kept): (Vec<usize>, Vec<usize>) = places.partition(|&i| pruned[i]);
        let most = gone.iter().map(|&i| magnitudes[i]).fold(0.0, f32::max);
        kept.iter().all(|&i| most <= magnitudes[i])
    }

    #[test]
    fn of_equal_ones_the_first_stay() {
        assert_eq!(by_share(&[1.0, 1.0, 1.0, 1.0], 0.5), [false, false, true, true]);
        assert_eq!(by_share(&[0.0, 3.0, f32::NAN, 2.0], 0.75), [true, true, false, true]);
        let layout = Layout { shape: vec![1, 5], channel: Some(0), input: Some(1) };
        assert_eq!(by_groups(&[1.0, 2.0, 3.0, 0.0, 5.0], &layout, 1, 4), Some(vec![true, true, false, true, false]));
    }

    proptest! {
        #[test]
        fn a_share_is_exact(magnitudes in prop::collection::vec(0..50_u8, 1..200), share in 0.0..1.0_f64) {
            let magnitudes: Vec<f32> = magnitudes.into_iter().map(f32::from).collect();
            let pruned = by_share(&magnitudes, share);
            prop_assert_eq!(count(&pruned), round_half_away(share * magnitudes.len() as f64) as usize);
            prop_assert!(is_ordered(&magnitudes, &pruned, 0..magnitudes.len()));
        }

        #[test]
        fn a_share_of_channels_is_exact(seed: u64, outer in 1..4_usize, channels in 1..5_usize, inner in 1..9_usize, share in 0.0..1.0_f64) {
            let layout = Layout { shape: vec![outer, channels, inner], channel: Some(1), input: None };
            let magnitudes: Vec<f32> = (0..outer * channels * inner).map(|i| (seed.wrapping_mul(i as u64 + 1) >> 40) as f32).collect();
            let pruned = by_share_of_channels(&magnitudes, &layout, share);
            for c in 0..channels {
                let of_channel: Vec<usize> = (0..magnitudes.len()).filter(|&i| i / inner % channels == c).collect();
                let zeros = of_channel.iter().filter(|&&i| pruned[i]).count();
                prop_assert_eq!(zeros, round_half_away(share * (outer * inner) as f64) as usize);
                prop_assert!(is_ordered(&magnitudes, &pruned, of_channel.into_iter()));
            }
        }

        #[test]
        fn groups_hold(seed: u64, outer in 1..4_usize, inputs in 1..20_usize, inner in 1..4_usize, keep in 1..5_usize, more in 1..5_usize) {
            let (of, layout) = (keep + more, Layout { shape: vec![outer, inputs, inner], channel: Some(0), input: Some(1) });
            let magnitudes: Vec<f32> = (0..outer * inputs * inner).map(|i| (seed.wrapping_mul(i as u64 + 1) >> 60) as f32).collect();
            let pruned = by_groups(&magnitudes, &layout, keep, of).expect("an axis of inputs");
            for (o, n, first) in (0..outer).flat_map(|o| (0..inner).flat_map(move |n| (0..inputs).step_by(of).map(move |first| (o, n, first)))) {
                let group: Vec<usize> = (first..inputs.min(first + of)).map(|i| (o * inputs + i) * inner + n).collect();
                let kept = group.iter().filter(|&&i| !pruned[i]).count();
                prop_assert_eq!(kept, keep.min(group.len()));
                prop_assert!(is_ordered(&magnitudes, &pruned, group.into_iter()));
            }
        }
    }
}
