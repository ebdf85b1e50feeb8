//! Division of indices by a constant, as a multiplication: both emitters use the same numbers.
//!
//! Not for values of kernels, which have divisions of their own.

/// `v / by` is the upper half of `v * multiplier`, shifted right, for every `v` below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reciprocal {
    pub multiplier: u64,
    pub shift: u32,
}

impl Reciprocal {
    /// `by` is not a power of two: for these a shift alone will do, and the multiplier would need 65 bits.
    pub fn of(by: u64) -> Reciprocal {
        let bits = by.ilog2() + 1;
        // Too large by at most 1, so the quotient by less than v / 2^(63 + bits), which is below 1 / by.
        let multiplier = ((1u128 << (63 + bits)) / u128::from(by) + 1) as u64;
        Reciprocal { multiplier, shift: bits - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_divides_up_to_63_bits() {
        let most = (1u64 << 63) - 1;
        for by in [3, 5, 6, 7, 641, 1000, 65_537, (1 << 31) - 1, (1 << 32) + 1, (1 << 62) - 1, (1 << 62) + 1, most] {
            let Reciprocal { multiplier, shift } = Reciprocal::of(by);
            let last = most / by * by;
            let around = |v: u64| v.saturating_sub(2)..=v.saturating_add(2).min(most);
            for v in [0, by, 2 * by.min(most / 2), 1 << 31, 1 << 32, 1 << 53, 1 << 56, last - last.min(by), last, most]
                .map(around)
                .into_iter()
                .flatten()
            {
                let high = ((u128::from(v) * u128::from(multiplier)) >> 64) as u64;
                assert_eq!(high >> shift, v / by, "{v} / {by}");
            }
        }
    }
}
