//! Few values for many weights: k-means in one dimension.
//!
//! Not about files or element types: numbers in, numbers out. The idea: clusters of numbers on a line are intervals, so all is done on the sorted numbers with
//! sums of what is before them. The best cut of at most 1024 pieces into intervals is found exactly; of more numbers than that, pieces are of equally many
//! numbers, and the centres then move to the means of what is nearest to them, from there and from a uniform palette, until nothing changes. Zeros
//! stay zeros: a value of the palette is theirs, since kernels leave them out.

use cranelite_graph::quantize::round_half_away;

/// What to make of numbers.
#[derive(Clone, Copy, Debug)]
pub struct PaletteRules {
    /// Values at most.
    pub most: usize,
    /// Whether values must be whole numbers, as those of quantised weights, which keep their scale.
    pub is_whole: bool,
}

/// Between which the first centres are found exactly.
const MOST_PIECES: usize = 1024;
/// Centres have come to rest long before.
const MOST_ROUNDS: usize = 50;

/// For each number the nearest of at most so many values, which are chosen for a small sum of squared errors. An error counts as much as `weight` says; `zero` is the number that
/// means nothing. Numbers must be finite.
pub fn palette(numbers: &[f32], weight: impl Fn(usize) -> f64, zero: f32, rules: PaletteRules) -> Vec<f32> {
    let line = Line::new(numbers, weight);
    if line.values.len() <= rules.most {
        return numbers.to_vec();
    }
    let fixed = line.values.contains(&zero).then_some(zero);
    let own = rules.most - usize::from(fixed.is_some());
    let others = fixed.map_or_else(|| line.clone(), |zero| line.without(zero));
    let starts = if own == 0 { vec![vec![]] } else { vec![others.best_cut(own), others.uniform(own)] };
    let settled = starts.into_iter().map(|centres| {
        let mut centres = line.settled(centres, fixed);
        if rules.is_whole {
            centres.iter_mut().for_each(|c| *c = round_half_away(f64::from(*c)) as f32);
            centres.dedup();
        }
        (line.cost(&centres), centres)
    });
    let (_, centres) = settled.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();
    numbers.iter().map(|x| centres[nearest(&centres, *x)]).collect()
}

/// The index of the sorted centre that is nearest; of two the smaller.
fn nearest(centres: &[f32], x: f32) -> usize {
    let above = centres.partition_point(|c| *c < x);
    match above {
        0 => 0,
        _ if above == centres.len() => above - 1,
        _ if x - centres[above - 1] <= centres[above] - x => above - 1,
        _ => above,
    }
}

/// Numbers in their order, each once.
#[derive(Clone)]
struct Line {
    values: Vec<f32>,
    /// Of the weights, the weighted values and the weighted squares, of all values before; one more than there are values.
    sums: Vec<[f64; 3]>,
}

impl Line {
    fn new(numbers: &[f32], weight: impl Fn(usize) -> f64) -> Line {
        // Adding 0 makes one of both zeros.
        let mut order: Vec<(f32, usize)> = numbers.iter().enumerate().map(|(i, x)| (x + 0.0, i)).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut values, mut sums, mut sum) = (vec![], vec![], [0.0; 3]);
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            values.push(group[0].0);
            sums.push(sum);
            let (x, w) = (f64::from(group[0].0), group.iter().map(|(_, i)| weight(*i)).sum::<f64>());
            sum = [sum[0] + w, sum[1] + w * x, sum[2] + w * x * x];
        }
        sums.push(sum);
        Line { values, sums }
    }

    /// As if one value were not there.
    fn without(&self, value: f32) -> Line {
        let mut without = self.clone();
        if let Some(at) = self.values.iter().position(|x| *x == value) {
            let own = self.sums_of(at, at + 1);
            without.values.remove(at);
            without.sums.remove(at + 1);
            without.sums[at + 1..].iter_mut().for_each(|sum| (0..3).for_each(|k| sum[k] -= own[k]));
        }
        without
    }

    fn sums_of(&self, from: usize, to: usize) -> [f64; 3] {
        [0, 1, 2].map(|k| self.sums[to][k] - self.sums[from][k])
    }

    /// The mean of some values.
    fn mean(&self, from: usize, to: usize) -> f32 {
        let [weight, sum, _] = self.sums_of(from, to);
        // Values without a weight are of no importance.
        let mean = if 0.0 < weight { (sum / weight) as f32 } else { self.values[from] };
        mean.clamp(self.values[from], self.values[to - 1])
    }

    /// The squared errors of some values for which their mean stands.
    fn spread(&self, from: usize, to: usize) -> f64 {
        if to <= from + 1 {
            return 0.0;
        }
        let [weight, sum, squares] = self.sums_of(from, to);
        if 0.0 < weight { (squares - sum * sum / weight).max(0.0) } else { 0.0 }
    }

    /// The squared errors of all values for which the nearest centres stand.
    fn cost(&self, centres: &[f32]) -> f64 {
        let of = |(from, to, k): (usize, usize, usize)| {
            let ([weight, sum, squares], c) = (self.sums_of(from, to), f64::from(centres[k]));
            squares - 2.0 * c * sum + c * c * weight
        };
        self.intervals(centres).map(of).sum()
    }

    /// Which values are nearest to which centre; centres without values are left out.
    fn intervals<'a>(&'a self, centres: &'a [f32]) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        let mut from = 0;
        let interval = move |k: usize| {
            let to = from + self.values[from..].partition_point(|x| nearest(centres, *x) <= k);
            (std::mem::replace(&mut from, to), to, k)
        };
        (0..centres.len()).map(interval).filter(|(from, to, _)| from < to)
    }

    /// Centres at equal distances.
    fn uniform(&self, count: usize) -> Vec<f32> {
        let (low, high) = (f64::from(self.values[0]), f64::from(self.values[self.values.len() - 1]));
        (0..count).map(|k| (low + (high - low) * (k as f64 + 0.5) / count as f64) as f32).collect()
    }

    /// The means of the intervals of least cost, cut between pieces.
    fn best_cut(&self, count: usize) -> Vec<f32> {
        let size = self.values.len().div_ceil(MOST_PIECES);
        let mut ends: Vec<usize> = (0..self.values.len()).step_by(size).collect();
        let pieces = ends.len();
        ends.push(self.values.len());
        let cost = |from: usize, to: usize| self.spread(ends[from], ends[to]);
        // The least cost of the pieces before each, and where the last interval of that begins; for one more interval in each round.
        let mut least: Vec<f64> = (0..=pieces).map(|to| cost(0, to)).collect();
        let mut begins: Vec<Vec<u16>> = vec![];
        for _ in 1..count.min(pieces) {
            let mut next = vec![(0.0, 0); pieces + 1];
            cut(&least, &cost, &mut next, (0, pieces), (0, pieces));
            least = next.iter().map(|n| n.0).collect();
            begins.push(next.iter().map(|n| n.1 as u16).collect());
        }
        let (mut centres, mut to) = (vec![], pieces);
        for begin in begins.iter().rev().map(Some).chain([None]) {
            let from = begin.map_or(0, |b| usize::from(b[to]));
            if from < to {
                centres.push(self.mean(ends[from], ends[to]));
            }
            to = from;
        }
        centres.reverse();
        centres
    }

    /// Centres where moving them to the means of the values that are nearest to them changes nothing any more. One that is fixed is added, and stays.
    fn settled(&self, mut centres: Vec<f32>, fixed: Option<f32>) -> Vec<f32> {
        centres.extend(fixed);
        centres.sort_unstable_by(f32::total_cmp);
        centres.dedup();
        for _ in 0..MOST_ROUNDS {
            let mean = |(from, to, k): (usize, usize, usize)| if fixed == Some(centres[k]) { centres[k] } else { self.mean(from, to) };
            let mut next: Vec<f32> = self.intervals(&centres).map(mean).collect();
            // No value may be near to what is fixed but itself.
            next.extend(fixed.filter(|zero| !next.contains(zero)));
            next.sort_unstable_by(f32::total_cmp);
            next.dedup();
            if next == centres {
                break;
            }
            centres = next;
        }
        centres
    }
}

/// For all ends in `to` the best beginning of a last interval, which is in `from`: that of a later end is not an earlier one, so the middle end divides both.
fn cut(least: &[f64], cost: &impl Fn(usize, usize) -> f64, out: &mut [(f64, usize)], to: (usize, usize), from: (usize, usize)) {
    if to.1 < to.0 {
        return;
    }
    let middle = usize::midpoint(to.0, to.1);
    let candidates = (from.0..=from.1.min(middle)).map(|begin| (least[begin] + cost(begin, middle), begin));
    out[middle] = candidates.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((least[middle], middle));
    let begin = out[middle].1;
    if let Some(before) = middle.checked_sub(1) {
        cut(least, cost, out, (to.0, before), (from.0, begin));
    }
    cut(least, cost, out, (middle + 1, to.1), (begin, from.1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOATS: PaletteRules = PaletteRules { most: 4, is_whole: false };

    fn distinct(numbers: &[f32]) -> usize {
        let mut all: Vec<u32> = numbers.iter().map(|x| (x + 0.0).to_bits()).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    fn error(numbers: &[f32], others: &[f32]) -> f64 {
        numbers.iter().zip(others).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum()
    }

    /// The least error of any cut of the sorted numbers into intervals.
    fn least(numbers: &[f32], most: usize) -> f64 {
        let mut all: Vec<f64> = numbers.iter().map(|x| f64::from(*x)).collect();
        all.sort_by(f64::total_cmp);
        let spread = |of: &[f64]| {
            let mean = of.iter().sum::<f64>() / of.len() as f64;
            of.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>()
        };
        let mut best: Vec<f64> = (0..=all.len()).map(|to| if to == 0 { 0.0 } else { spread(&all[..to]) }).collect();
        for _ in 1..most {
            best = (0..=all.len())
                .map(|to| (0..to).map(|from| best[from] + spread(&all[from..to])).fold(if to == 0 { 0.0 } else { f64::MAX }, f64::min))
                .collect();
        }
        best[all.len()]
    }

    #[test]
    fn clusters_are_found() {
        let numbers = [1.0, 1.5, 10.0, 10.5, 20.0, 20.5, 30.0, 30.5];
        assert_eq!(palette(&numbers, |_| 1.0, 0.0, FLOATS), [1.25, 1.25, 10.25, 10.25, 20.25, 20.25, 30.25, 30.25]);
        // Few values are left as they are, and zeros are always.
        assert_eq!(palette(&[3.0, 1.0, 2.0], |_| 1.0, 0.0, FLOATS), [3.0, 1.0, 2.0]);
        assert_eq!(palette(&[0.0, 0.25, 1.0, 2.0], |_| 1.0, 0.0, PaletteRules { most: 2, ..FLOATS }), [0.0, 0.0, 1.5, 1.5]);
        assert_eq!(palette(&[0.0, 1.0], |_| 1.0, 0.0, PaletteRules { most: 1, ..FLOATS }), [0.0, 0.0]);
        // What weighs more is nearer.
        let rules = PaletteRules { most: 1, ..FLOATS };
        assert_eq!(palette(&[1.0, 4.0], |i| [2.0, 1.0][i], 0.0, rules), [2.0, 2.0]);
        assert_eq!(palette(&[1.0, 4.0], |i| [2.0, 1.0][i], 0.0, PaletteRules { is_whole: true, ..rules }), [2.0, 2.0]);
    }

    #[test]
    fn many_numbers_are_cut_in_pieces() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f64 + 0.5) / f64::from(1 << 24)
        };
        let normal = (0..20_000).map(|_| libm::sqrt(-2.0 * libm::log(next())) * libm::cos(std::f64::consts::TAU * next()));
        let numbers: Vec<f32> = normal.map(|x| x as f32).collect();
        for (bits, known) in [(1, 0.363), (2, 0.118), (3, 0.0345), (4, 0.0095)] {
            let found = palette(&numbers, |_| 1.0, 0.0, PaletteRules { most: 1 << bits, is_whole: false });
            // What the best quantiser of a normal distribution leaves of the variance: Max, "Quantizing for minimum distortion", 1960.
            let share = error(&numbers, &found) / error(&numbers, &vec![0.0; numbers.len()]);
            assert!(distinct(&found) <= 1 << bits && (share - known).abs() < 0.05 * known, "{bits} bits: {share}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn few_values_and_the_best_ones(numbers in prop::collection::vec(1..1000_u16, 1..40), bits in 1..4_u32) {
            let numbers: Vec<f32> = numbers.into_iter().map(|x| f32::from(x) / 8.0).collect();
            let found = palette(&numbers, |_| 1.0, 0.0, PaletteRules { most: 1 << bits, is_whole: false });
            prop_assert!(distinct(&found) <= 1 << bits);
            let least = least(&numbers, 1 << bits);
            prop_assert!(error(&numbers, &found) <= least * 1.0001 + 1e-3, "{} {least}", error(&numbers, &found));
        }

        #[test]
        fn zeros_stay_and_whole_numbers_are_whole(numbers in prop::collection::vec(-128..128_i16, 1..300), bits in 1..8_u32, zero in -128..128_i16) {
            let (numbers, zero): (Vec<f32>, f32) = (numbers.into_iter().map(f32::from).collect(), zero.into());
            let found = palette(&numbers, |_| 1.0, zero, PaletteRules { most: 1 << bits, is_whole: true });
            prop_assert!(distinct(&found) <= 1 << bits);
            prop_assert!(found.iter().all(|x| x.fract() == 0.0));
            prop_assert!(numbers.iter().zip(&found).all(|(x, y)| *x != zero || *y == zero));
        }

        #[test]
        fn not_worse_than_a_uniform_one(numbers in prop::collection::vec(1..30000_u16, 2..1500), bits in 1..8_u32) {
            let numbers: Vec<f32> = numbers.into_iter().map(f32::from).collect();
            let found = palette(&numbers, |_| 1.0, 0.0, PaletteRules { most: 1 << bits, is_whole: false });
            let uniform = Line::new(&numbers, |_| 1.0).uniform(1 << bits);
            let by_uniform: Vec<f32> = numbers.iter().map(|x| uniform[nearest(&uniform, *x)]).collect();
            prop_assert!(error(&numbers, &found) <= error(&numbers, &by_uniform) * 1.0001);
        }
    }
}
