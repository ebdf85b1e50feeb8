//! Of which pixels those of a resized image are made, and how much each of them counts, as OpenCV rounds it.
//!
//! Not the sums (`lower/frame.rs`), and not the resizing that models have (`places.rs`). One axis at a time: integer weights of a few pixels in a row,
//! whose sum is the same for all new pixels, so that a mean is a sum and one division by a constant.

/// So many parts are 1 in weights between two pixels.
pub const ONE: i32 = 256;
/// The most that the products of both axes' sums may be: a sum of bytes with such weights fits 32 bits and is divided exactly.
pub const MOST_TOTAL: usize = 1 << 22;

/// What new pixels of an axis are made of: for each of them pixels and their weights, none of which is 0.
pub type Weights = Vec<Vec<(usize, i32)>>;

/// INTER_NEAREST.
pub fn nearest(from: usize, to: usize) -> Weights {
    let scale = 1.0 / (to as f64 / from as f64);
    (0..to).map(|i| vec![((libm::floor(i as f64 * scale) as usize).min(from - 1), 1)]).collect()
}

/// INTER_LINEAR_EXACT: weights in parts of [`ONE`].
pub fn bilinear(from: usize, to: usize) -> Weights {
    let scale = 1.0 / (to as f64 / from as f64);
    let between = |i: usize| {
        let place = scale * (i as f64 + 0.5) - 0.5;
        let before = libm::floor(place);
        if before < 0.0 {
            return vec![(0, ONE)];
        }
        let first = before as usize;
        if from <= first + 1 {
            return vec![(from - 1, ONE)];
        }
        let part = libm::rint((place - before) * f64::from(ONE)) as i32;
        [(first, ONE - part), (first + 1, part)].into_iter().filter(|(_, w)| *w != 0).collect()
    };
    (0..to).map(between).collect()
}

/// INTER_AREA of no more pixels than before: what lies under each new pixel, in parts of which each has as many as the second number says.
pub fn area(from: usize, to: usize) -> (Weights, usize) {
    let both = gcd(from, to);
    // Of each pixel before and of each new one.
    let (parts, all) = (to / both, from / both);
    let under = |i: usize| {
        let (begin, end) = (i * all, (i + 1) * all);
        (begin / parts..end.div_ceil(parts)).map(|p| (p, (end.min((p + 1) * parts) - begin.max(p * parts)) as i32)).collect()
    };
    ((0..to).map(under).collect(), all)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How to divide by a constant: `x / d` is the high half of the product with the first number, shifted right by the second, for d from 3 to
/// [`MOST_TOTAL`] and x from 0 below 256 d. The factor is 2^k / d, rounded up, and has 31 bits, so its error, which is less than 1, makes less than
/// x / 2^k, and that less than 1 / d.
pub fn divided(d: usize) -> (i32, u8) {
    let mut k = 32;
    while (1_u64 << (k + 1)).div_ceil(d as u64) < 1 << 31 {
        k += 1;
    }
    ((1_u64 << k).div_ceil(d as u64) as i32, k - 32)
}

/// Width or height of what has the shape `of` (the other side is `other_of`) where its other side is `other`: rounded, and 1 at least.
pub fn in_proportion(of: usize, other_of: usize, other: usize) -> usize {
    ((2 * of * other + other_of) / (2 * other_of)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_one_sum() {
        for from in 1..40 {
            for to in 1..40 {
                assert!(bilinear(from, to).iter().all(|w| w.iter().map(|w| w.1).sum::<i32>() == ONE && w.iter().all(|w| w.0 < from)));
                assert!(nearest(from, to).iter().all(|w| w[0].0 < from));
                if to <= from {
                    let (weights, all) = area(from, to);
                    assert!(weights.iter().all(|w| w.iter().all(|w| 0 < w.1 && w.0 < from)));
                    assert!(weights.iter().all(|w| w.iter().map(|w| w.1).sum::<i32>() == all as i32));
                }
            }
        }
    }

    #[test]
    fn division_is_exact() {
        let divisors = (3..2000).chain([MOST_TOTAL - 1, MOST_TOTAL, 1 << 21, 3_000_017]);
        for d in divisors {
            let (factor, shift) = divided(d);
            for q in [0, 1, 2, 127, 128, 254, 255] {
                for x in [q * d, q * d + 1, q * d + d / 2, q * d + d - 1] {
                    assert_eq!(((x as i64 * i64::from(factor)) >> 32 >> shift) as usize, x / d, "{x} / {d}");
                }
            }
        }
    }
}
