//! The transforms of Winograd's minimal filtering, and the bound on their error.
//!
//! Not the calls that compute them (`winograd.rs`). The transforms are those of Toom and Cook at the points 0, ±p … and ∞. F(4×4) has p = 5/8 and 3/2: points of
//! the form ±c, ±1/c have small errors (Alam, Anderson, Barabasz, Gregg: Winograd Convolution for Deep Neural Networks: Efficient Point Selection, 2022), and these
//! make all constants of Aᵀ and Bᵀ numbers of 24 bits.

use super::super::pack::Filter;

pub const TAPS: usize = 3;

/// The bound on the error may be so many times that of the direct form. The error of random weights is two to three times as large then.
pub const MOST_EXCESS: f64 = 8.0;

/// F(m×m, 3×3) at the points 0, ±p for each p, and ∞.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Finite and not 0, without those of the other sign.
    pub points: &'static [f64],
}

pub const TRANSFORMS: [Transform; 2] = [Transform { points: &[1.0] }, Transform { points: &[0.625, 1.5] }];

/// Coefficients of ∏ (x² − p²), of 1, x², x⁴ …
pub fn even_polynomial(points: impl Iterator<Item = f64>) -> Vec<f64> {
    points.fold(vec![1.0], |c, p| {
        let shifted = std::iter::once(0.0).chain(c.iter().copied());
        shifted.zip(c.iter().copied().chain([0.0])).map(|(above, same)| above - p * p * same).collect()
    })
}

impl Transform {
    /// m: outputs along an axis.
    pub fn outputs(&self) -> usize {
        2 * self.points.len()
    }
    /// Inputs along an axis, and numbers that are multiplied.
    pub fn size(&self) -> usize {
        self.outputs() + TAPS - 1
    }
    pub fn positions(&self) -> usize {
        self.size() * self.size()
    }

    /// The finite points in the order of positions: 0, p, −p …
    pub fn finite(&self) -> Vec<f64> {
        std::iter::once(0.0).chain(self.points.iter().flat_map(|p| [*p, -p])).collect()
    }

    /// G.
    pub fn filter_matrix(&self) -> Vec<[f64; TAPS]> {
        let all = self.finite();
        let row = |p: &f64| {
            let n: f64 = all.iter().filter(|q| *q != p).map(|q| p - q).product();
            [1.0 / n, p / n, p * p / n]
        };
        all.iter().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }

    /// Bᵀ, as [`Parts::input`] computes it.
    pub fn input_matrix(&self) -> Vec<Vec<f64>> {
        let mut rows = vec![vec![0.0; self.size()]; self.size()];
        let ends = even_polynomial(self.points.iter().copied());
        let last = self.size() - 1;
        for (i, c) in ends.iter().enumerate() {
            (rows[0][2 * i], rows[last][2 * i + 1]) = (*c, *c);
        }
        for (j, p) in self.points.iter().enumerate() {
            for (i, c) in self.others(j).iter().enumerate() {
                for (row, sign) in [(2 * j + 1, 1.0), (2 * j + 2, -1.0)] {
                    (rows[row][2 * i + 2], rows[row][2 * i + 1]) = (*c, sign * p * c);
                }
            }
        }
        rows
    }

    /// Of all points but one.
    pub fn others(&self, j: usize) -> Vec<f64> {
        even_polynomial(self.points.iter().enumerate().filter(|(i, _)| *i != j).map(|(_, p)| *p))
    }

    /// Aᵀ, as [`Parts::output`] computes it.
    pub fn output_matrix(&self) -> Vec<Vec<f64>> {
        let power = |p: f64, i: usize| (0..i).map(|_| p).product::<f64>();
        let row = |i: usize| {
            let at_infinity = if i + 1 == self.outputs() { 1.0 } else { 0.0 };
            self.finite().into_iter().map(|p| power(p, i)).chain([at_infinity]).collect()
        };
        (0..self.outputs()).map(row).collect()
    }

    /// G g Gᵀ of every channel of an output channel, by position. With doubles: the only rounding that counts is that to a float afterwards.
    pub fn filter(&self, taps: &Taps) -> Vec<Vec<f64>> {
        let g = self.filter_matrix();
        let along: Vec<[Vec<f64>; TAPS]> = g.iter().map(|column| taps.each_ref().map(|row| combined(column, row))).collect();
        g.iter().flat_map(|row| along.iter().map(|column| combined(row, column))).collect()
    }

    /// How many times as large as that of the direct form the bound on the error of an output is, at most, for images of numbers within
    /// any limit X. `None` where a transformed weight is no float.
    ///
    /// Both by the usual model (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), as Barabasz, Anderson, Soodhalter and Gregg have it
    /// for Winograd's form (Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks, ACM TOMS 46(4), 2020): where
    /// every way from an input to the result has n roundings at most, the error is at most γₙ = nu / (1 − nu) times the same expression of
    /// absolute values. Direct: X Σ|w| with one rounding for each product and sum. Here: X |Aᵀ| (Σ |G g Gᵀ| ∘ (|Bᵀ|1)(|Bᵀ|1)ᵀ) |A|, whose ways
    /// go twice through each transform. As usual, no number becomes so small that it is denormal.
    pub fn excess(&self, filter: &Filter, fma: bool) -> Option<f64> {
        let channels = filter.shape[3];
        let gamma = |n: usize| {
            let nu = n as f64 * f64::from(f32::EPSILON) / 2.0;
            nu / (1.0 - nu)
        };
        let multiply_add = if fma { 1 } else { 2 };
        let depth = self.points.len() * multiply_add;
        // Through Bᵀ, of the weight, of the product and its sums, through Aᵀ with a difference before, of the bias.
        let roundings = 2 * depth + 1 + (channels + 1) + 2 * (depth + 1) + 1;
        let direct_roundings = TAPS * TAPS * channels + 1 + 1;
        let sums = |m: Vec<Vec<f64>>| m.iter().map(|row| row.iter().map(|v| v.abs()).sum()).collect::<Vec<f64>>();
        let (seen, a) = (sums(self.input_matrix()), self.output_matrix());
        let mut most = 0f64;
        for o in 0..filter.shape[0] {
            let taps = taps(filter, o);
            let direct: f64 = taps.iter().flatten().map(|all| sum_of_sizes(all)).sum();
            let transformed = self.filter(&taps);
            if !transformed.iter().flatten().all(|v| (*v as f32).is_finite()) {
                return None;
            }
            let by_position: Vec<f64> = transformed.iter().map(|all| sum_of_sizes(all)).collect();
            for y in 0..self.outputs() {
                for x in 0..self.outputs() {
                    let term = |p: usize| {
                        let (i, j) = (p / self.size(), p % self.size());
                        (a[y][i] * a[x][j]).abs() * seen[i] * seen[j] * by_position[p]
                    };
                    let bound: f64 = (0..self.positions()).map(term).sum();
                    if 0.0 < bound {
                        most = most.max(gamma(roundings) * bound / (gamma(direct_roundings) * direct));
                    }
                }
            }
        }
        Some(most)
    }

    /// Whether the bound on the error is at most so many times that of the direct form.
    pub fn is_within(&self, most: f64, filter: &Filter, fma: bool) -> bool {
        self.excess(filter, fma).is_some_and(|excess| excess <= most)
    }
}

/// Weights of an output channel: by row and column, of all channels.
type Taps = [[Vec<f64>; TAPS]; TAPS];

pub fn taps(filter: &Filter, output: usize) -> Taps {
    [0, 1, 2].map(|y| [0, 1, 2].map(|x| filter.floats([output, y, x]).map(f64::from).collect()))
}

/// The sum of three vectors, each times its factor.
fn combined(factors: &[f64; TAPS], [a, b, c]: &[Vec<f64>; TAPS]) -> Vec<f64> {
    a.iter().zip(b).zip(c).map(|((a, b), c)| factors[0] * a + factors[1] * b + factors[2] * c).collect()
}

/// Several sums at once, since one addition waits for the one before.
fn sum_of_sizes(all: &[f64]) -> f64 {
    let (chunks, rest) = all.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += v.abs());
    }
    sums.iter().sum::<f64>() + rest.iter().map(|v| v.abs()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::ElementType;

    fn filter(data: &[u8], outputs: usize, channels: usize) -> Filter<'_> {
        Filter { element: ElementType::F32, shape: [outputs, TAPS, TAPS, channels], data }
    }

    fn bytes(weights: impl Iterator<Item = f32>) -> Vec<u8> {
        weights.flat_map(f32::to_le_bytes).collect()
    }

    /// Weights without a pattern, between -1 and 1.
    fn noise(count: usize) -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(1664525).wrapping_add(1013904223));
        bytes(std::iter::successors(Some(1u32), next).take(count).map(|n| (n as i32 >> 8) as f32 / (1 << 23) as f32))
    }

    #[test]
    fn transforms_give_convolutions() {
        for t in TRANSFORMS {
            let (a, b, g) = (t.output_matrix(), t.input_matrix(), t.filter_matrix());
            // Each tap and each input by themselves.
            for (i, tap) in (0..t.outputs()).flat_map(|i| [0, 1, 2].map(|tap| (i, tap))) {
                let sum = |x: usize| a[i].iter().zip(&g).zip(&b).map(|((a, g), b)| a * g[tap] * b[x]).sum::<f64>();
                for (x, sum) in (0..t.size()).map(|x| (x, sum(x))) {
                    let expected = if x == i + tap { 1.0 } else { 0.0 };
                    assert!((sum - expected).abs() < 1e-14, "{t:?}: {sum} for output {i}, tap {tap}, input {x}");
                }
            }
        }
    }

    /// Otherwise the bound would have to count their roundings.
    #[test]
    fn constants_of_kernels_are_floats() {
        for t in TRANSFORMS {
            for v in [t.input_matrix(), t.output_matrix()].into_iter().flatten().flatten() {
                assert_eq!(f64::from(v as f32), v, "{t:?}");
            }
            assert!(t.points.iter().all(|p| f64::from(*p as f32) == *p), "{t:?}");
        }
    }

    #[test]
    fn the_bound_depends_on_the_weights() {
        let [small, large] = TRANSFORMS;
        let random = noise(16 * 9 * 64);
        let random = filter(&random, 16, 64);
        assert!(small.excess(&random, true).is_some_and(|e| 0.3 < e && e < 0.6));
        let excess = large.excess(&random, true).expect("floats");
        assert!(3.0 < excess && excess < 6.0, "{excess}");
        // What is accepted ends exactly there.
        assert!(large.is_within(excess, &random, true) && !large.is_within(excess * 0.999, &random, true));
        // Without a fused operation there are more roundings.
        assert!(excess < large.excess(&random, false).expect("floats"));
        // The scale of the weights plays no part, and neither do channels that are nothing.
        let scaled = bytes(random.data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b) * 1024.0).chain([0.0; 9 * 64]));
        assert_eq!(large.excess(&filter(&scaled, 17, 64), true), Some(excess));
        // One tap of few channels is the worst.
        let corner = bytes((0..9 * 4).map(|i| if i < 4 { 1.0 } else { 0.0 }));
        assert!(!large.is_within(MOST_EXCESS, &filter(&corner, 1, 4), true));
        assert!(small.is_within(MOST_EXCESS, &filter(&corner, 1, 4), true));
    }

    #[test]
    fn weights_that_are_no_floats_stay_direct() {
        for w in [f32::NAN, f32::INFINITY, f32::MAX] {
            let data = bytes((0..9 * 4).map(|_| w));
            let [small, large] = TRANSFORMS;
            assert_eq!(small.excess(&filter(&data, 1, 4), true), None, "{w}");
            assert_eq!(large.excess(&filter(&data, 1, 4), true), None, "{w}");
        }
    }
}
