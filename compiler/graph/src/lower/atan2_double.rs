//! The angle of a point whose coordinates are f64, nearly always the nearest number: the reference's library is off by 0.55 units in the last
//! place at most, so the results are the same but where its rounding fails.
//!
//! Not the angle of f32 coordinates, for which f64 is enough (`math.rs`). The idea: all is computed in pairs of doubles, whose sum has an error
//! near 2^-103 of the result, and is rounded once. Tables are short enough to be constants that are selected. Sums and products have their
//! rounding errors as exact numbers, so that machines with and without fused multiply-add get the same bits.

use super::math::copy_sign;
use cranelite_tile::{Cond, KernelBuilder, Machine, Unary, Value};

/// A head and a tail of at most half a unit in the head's last place: the sum of both is meant.
type Pair = [Value; 2];

/// The angle of the point (x, y), as C's `atan2`. The smaller coordinate through the larger one is q = tan(angle) ≤ 1. With c, the eighth that is
/// nearest to q, angle = arctan c + arctan t, where t = (q − c) / (1 + q · c) is at most 1/16.
pub fn atan2(k: &mut KernelBuilder, m: &Machine, y: Value, x: Value) -> Value {
    let ty = k.ty(x);
    let [zero, one, minus_one, infinity] = [0.0, 1.0, -1.0, f64::INFINITY].map(|c| k.double(ty, c));
    let (a, b) = (k.unary(Unary::Abs, y), k.unary(Unary::Abs, x));
    let (least, most) = (k.min(a, b), k.max(a, b));
    // Infinite points lie on axes or diagonals, and 0 on the axis of x.
    let (is_infinite, is_diagonal) = (k.compare(Cond::Eq, most, infinity), k.compare(Cond::Eq, least, infinity));
    let end = k.select(is_diagonal, one, zero);
    let (least, most) = (k.select(is_infinite, end, least), k.select(is_infinite, one, most));
    let tiny = k.double(ty, f64::from_bits(1));
    let most = k.max(most, tiny);
    let q = k.div(least, most);
    // Products and rounding errors then stay within the exponents.
    let [huge, small, raise, lower] = [500, -500, 600, -600].map(|e| k.double(ty, libm::scalbn(1.0, e)));
    let (is_huge, is_small) = (k.compare(Cond::Gt, most, huge), k.compare(Cond::Lt, most, small));
    let scale = k.select(is_huge, lower, one);
    let scale = k.select(is_small, raise, scale);
    let (least, most) = (k.mul(least, scale), k.mul(most, scale));

    let mut c = zero;
    let mut start = [zero; 2];
    for eighths in 1..=8 {
        let (from, eighth) = (k.double(ty, f64::from(2 * eighths - 1) / 16.0), k.double(ty, f64::from(eighths) / 8.0));
        let is_beyond = k.compare(Cond::Ge, q, from);
        c = k.select(is_beyond, eighth, c);
        let angle = constant(k, y, arctangent(eighths));
        start = [0, 1].map(|i| k.select(is_beyond, angle[i], start[i]));
    }
    // t is the tangent of the point turned back by arctan c, whose coordinates are exact but for the tail of the larger one.
    let back = k.neg(c);
    let (across, along) = (exact_product(k, m, back, most), exact_product(k, m, c, least));
    let (least, most) = (sum(k, [least, zero], across), sum(k, [most, zero], along));
    let t = quotient(k, m, least, most);
    let turned = arctangent_of_small(k, m, t);
    let angle = sum(k, start, turned);
    // A third of the cube of smaller ones is less than what separates a quotient from the next middle of two numbers: the quotient, which may
    // be denormal, is the angle.
    let limit = k.double(ty, libm::scalbn(1.0, -54));
    let is_quotient = k.compare(Cond::Lt, q, limit);
    let angle = [k.select(is_quotient, q, angle[0]), k.select(is_quotient, zero, angle[1])];

    // Counted from the nearest axis, one way or the other.
    let side = copy_sign(k, one, x);
    let (is_upright, is_left) = (k.compare(Cond::Gt, a, b), k.compare(Cond::Lt, side, zero));
    let (quarter, half) = (constant(k, y, 2 * arctangent(8)), constant(k, y, 4 * arctangent(8)));
    let axis = half.map(|v| k.select(is_left, v, zero));
    let axis = [0, 1].map(|i| k.select(is_upright, quarter[i], axis[i]));
    let is_back = k.xor(is_upright, is_left);
    let direction = k.select(is_back, minus_one, one);
    let angle = angle.map(|v| k.mul(v, direction));
    let angle = sum(k, axis, angle);
    let angle = copy_sign(k, angle[0], y);
    // NaN of one of them, which comparisons pass over.
    let any = k.add(a, b);
    let is_number = k.compare(Cond::Eq, any, any);
    k.select(is_number, angle, any)
}

/// arctan t of |t| ≤ 1/16 by Taylor's series, t − t³/3 + t⁵/5 − …; where a unit in the last place of a term does not matter, the term is a double.
fn arctangent_of_small(k: &mut KernelBuilder, m: &Machine, t: Pair) -> Pair {
    let square = product(k, m, t, t);
    let coefficient = |k: &mut KernelBuilder, n: u32| {
        let divisor = i128::from(2 * n + 1);
        constant(k, t[0], ONE / if n.is_multiple_of(2) { divisor } else { -divisor })
    };
    let [mut y, zero] = [coefficient(k, 12)[0], k.double(k.ty(t[0]), 0.0)];
    for n in (6..12).rev() {
        let (rest, c) = (k.mul(y, square[0]), coefficient(k, n)[0]);
        y = k.add(c, rest);
    }
    let mut y = [y, zero];
    for n in (1..6).rev() {
        let (rest, c) = (product(k, m, y, square), coefficient(k, n));
        y = sum(k, c, rest);
    }
    let y = product(k, m, y, square);
    let y = product(k, m, y, t);
    sum(k, t, y)
}

/// a + b with its rounding error, of |b| ≤ |a|, of a = 0, and where the difference is exact (Dekker).
fn exact_sum(k: &mut KernelBuilder, a: Value, b: Value) -> Pair {
    let s = k.add(a, b);
    let rest = k.sub(a, s);
    [s, k.add(rest, b)]
}

/// a · b with its rounding error (Dekker).
fn exact_product(k: &mut KernelBuilder, m: &Machine, a: Value, b: Value) -> Pair {
    let p = k.mul(a, b);
    if m.fma {
        let minus = k.neg(p);
        return [p, k.fma(a, b, minus)];
    }
    // Halves of 26 bits, so that their products are exact.
    let factor = k.double(k.ty(a), 134_217_729.0);
    let [[a_high, a_low], [b_high, b_low]] = [a, b].map(|v| {
        let scaled = k.mul(v, factor);
        let above = k.sub(scaled, v);
        let high = k.sub(scaled, above);
        [high, k.sub(v, high)]
    });
    let mut error = k.mul(a_high, b_high);
    error = k.sub(error, p);
    for (a, b) in [(a_high, b_low), (a_low, b_high), (a_low, b_low)] {
        let part = k.mul(a, b);
        error = k.add(error, part);
    }
    [p, error]
}

/// a + b, of heads as `exact_sum` takes them.
fn sum(k: &mut KernelBuilder, a: Pair, b: Pair) -> Pair {
    let (exact, tails) = (exact_sum(k, a[0], b[0]), k.add(a[1], b[1]));
    let tail = k.add(exact[1], tails);
    exact_sum(k, exact[0], tail)
}

fn product(k: &mut KernelBuilder, m: &Machine, a: Pair, b: Pair) -> Pair {
    let exact = exact_product(k, m, a[0], b[0]);
    let (crossed, other) = (k.mul(a[0], b[1]), k.mul(a[1], b[0]));
    let tails = k.add(crossed, other);
    let tail = k.add(exact[1], tails);
    exact_sum(k, exact[0], tail)
}

/// a / b: the quotient of the heads, and that of what it leaves.
fn quotient(k: &mut KernelBuilder, m: &Machine, a: Pair, b: Pair) -> Pair {
    let q = k.div(a[0], b[0]);
    let exact = exact_product(k, m, q, b[0]);
    let rest = k.sub(a[0], exact[0]);
    let rest = k.sub(rest, exact[1]);
    let tail = k.mul(q, b[1]);
    let tail = k.sub(a[1], tail);
    let rest = k.add(rest, tail);
    let correction = k.div(rest, b[0]);
    exact_sum(k, q, correction)
}

/// 1 as an integer.
const ONE: i128 = 1 << 118;

/// A number in units of 1 / `ONE` for all lanes of vectors such as `like`.
fn constant(k: &mut KernelBuilder, like: Value, v: i128) -> Pair {
    parts(v).map(|part| k.double(k.ty(like), part))
}

/// The nearest double, and the one that is nearest to what is left.
fn parts(v: i128) -> [f64; 2] {
    let (high, unit) = (v as f64, 1.0 / ONE as f64);
    let low = v - high as i128;
    [high * unit, low as f64 * unit]
}

/// arctan (k / 8) by Euler's series, in which each term is 2n / (2n + 1) · x² / (1 + x²) of the one before. Off by 500 units at most.
fn arctangent(k: i32) -> i128 {
    let (k, mut sum) = (i128::from(k), 0);
    let mut term = (8 * k * ONE) / (64 + k * k);
    let mut n = 0;
    while term != 0 {
        sum += term;
        n += 2;
        term = term * (k * k) / (64 + k * k) * n / (n + 1);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::{ByteDot, Elem, interpret};
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

    /// The angles of points (y, x) on machines with and without fma, which are the same.
    fn angles(points: &[[f64; 2]]) -> Vec<f64> {
        let [a, b] = [true, false].map(|fma| {
            let m = Machine::example(16, ByteDot::S16S16, fma, false);
            let mut k = KernelBuilder::new("f");
            let (points_arg, out) = (k.read("points"), k.write("angles"));
            k.each("i", points.len(), 1, |k, i| {
                let [y, x] = [0, 8].map(|at| k.load(Elem::F64.x(1), points_arg.at(i * 16 + at)));
                let angle = atan2(k, &m, y, x);
                k.store(out.at(i * 8), angle);
            });
            let bytes = points.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
            let mut buffers = vec![bytes, vec![0; 8 * points.len()]];
            interpret::call(&k.finish(), &[], &mut buffers).expect("within bounds");
            buffers[1].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect::<Vec<_>>()
        });
        for (i, point) in points.iter().enumerate() {
            assert!(a[i].to_bits() == b[i].to_bits() || a[i].is_nan() && b[i].is_nan(), "{point:?}: {:e} and {:e}", a[i], b[i]);
        }
        a
    }

    /// arctan (n / d) by Gregory's series, n / d − (n / d)³ / 3 + …
    fn gregory(n: i128, d: i128) -> i128 {
        let (mut power, mut sum, mut i) = (ONE / d * n, 0, 1);
        while power != 0 {
            sum += if i % 4 == 1 { power / i } else { -power / i };
            power = power / (d * d) * (n * n);
            i += 2;
        }
        sum
    }

    #[test]
    fn constants_are_those_of_other_series() {
        for k in 0..8 {
            assert!((arctangent(k) - gregory(k.into(), 8)).abs() < 1 << 14, "{k}");
        }
        // Machin's formula.
        let pi = 16 * gregory(1, 5) - 4 * gregory(1, 239);
        assert!((4 * arctangent(8) - pi).abs() < 1 << 14);
        assert_eq!(parts(4 * arctangent(8)), [PI, 1.224_646_799_147_353_2e-16]);
    }

    #[test]
    fn special_points() {
        let (infinity, most, tiny, first) = (f64::INFINITY, f64::MAX, f64::from_bits(1), f64::MIN_POSITIVE);
        // Of denormal results that lie in the middle between two numbers the even one.
        let table = [
            [0.0, 1.0, 0.0],
            [0.0, -1.0, PI],
            [0.0, 0.0, 0.0],
            [0.0, -0.0, PI],
            [0.0, infinity, 0.0],
            [0.0, -infinity, PI],
            [1.0, 0.0, FRAC_PI_2],
            [1.0, -0.0, FRAC_PI_2],
            [tiny, 0.0, FRAC_PI_2],
            [infinity, 0.0, FRAC_PI_2],
            [infinity, -most, FRAC_PI_2],
            [infinity, infinity, FRAC_PI_4],
            [infinity, -infinity, 2.356_194_490_192_345],
            [1.0, infinity, 0.0],
            [most, infinity, 0.0],
            [most, -infinity, PI],
            [most, most, FRAC_PI_4],
            [most, -tiny, FRAC_PI_2],
            [tiny, most, 0.0],
            [tiny, -most, PI],
            [tiny, tiny, FRAC_PI_4],
            [tiny, -tiny, 2.356_194_490_192_345],
            [tiny, 1.0, tiny],
            [tiny, 2.0, 0.0],
            [3.0 * tiny, 2.0, 2.0 * tiny],
            [tiny, 0.5, 2.0 * tiny],
            [first, 4.0, first / 4.0],
            [first, 1.0 / 4.0, first * 4.0],
            [first, first, FRAC_PI_4],
        ];
        let signs = [1.0, -1.0];
        let points: Vec<[f64; 2]> = table.iter().flat_map(|[y, x, _]| signs.map(|s| [s * y, *x])).collect();
        let wanted = table.iter().flat_map(|[_, _, angle]| signs.map(|s| s * angle));
        for ((point, got), want) in points.iter().zip(angles(&points)).zip(wanted) {
            assert_eq!(got.to_bits(), want.to_bits(), "{point:?}: {got:e} for {want:e}");
        }
        let nan = f64::NAN;
        let points = [[nan, 1.0], [1.0, nan], [nan, 0.0], [0.0, -nan], [infinity, nan], [nan, -infinity], [nan, nan]];
        assert!(angles(&points).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn hard_points_are_rounded_correctly() {
        let points = HARD.map(|[y, x, _]| [y, x].map(f64::from_bits));
        for (point, (got, [_, _, want])) in points.iter().zip(angles(&points).into_iter().zip(HARD)) {
            assert_eq!(got.to_bits(), want, "{point:?}: {got:e} for {:e}", f64::from_bits(want));
        }
    }

    #[test]
    fn all_points_are_within_a_unit_in_the_last_place() {
        let mut state = 1u64;
        let mut next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        };
        // Any bits, then exponents near each other.
        let any: Vec<[f64; 2]> = (0..3000).map(|_| [next(), next()].map(f64::from_bits)).collect();
        let near = (0..7000).map(|_| {
            let (exponent, distance) = (next() % 2000, next() % 40);
            [exponent, exponent + distance].map(|e| f64::from_bits((next() & 0x800f_ffff_ffff_ffff) | e << 52))
        });
        let near: Vec<[f64; 2]> = near.flat_map(|[a, b]| [[a, b], [b, a]]).collect();
        let points = [any, near].concat();
        for ([y, x], got) in points.iter().zip(angles(&points)) {
            let want = libm::atan2(*y, *x);
            let is_near = got.to_bits().abs_diff(want.to_bits()) <= 1;
            assert!(is_near || got.is_nan() && want.is_nan(), "{y:e}, {x:e}: {got:e} for {want:e}");
        }
    }

    /// y, x and the angle. The angles lie close to the middle between two numbers: the closest of many random points, and quotients that are
    /// nearly such a middle. Computed with 230 bits.
    #[rustfmt::skip] // A table.
    const HARD: [[u64; 3]; 40] = [
        [0x4143_4ba5_9ccb_d114, 0xbff3_181e_b7fd_00d9, 0x3ff9_21fb_d2ee_5d07],
        [0xc08e_c5ea_b765_df3e, 0x3ff6_d87c_8d51_f28e, 0xbff9_1c0a_ea61_c316],
        [0xc084_faad_6c1c_11d5, 0xbff5_4c3b_e96c_e77a, 0xbff9_2a1a_6d29_5c96],
        [0xbeef_039a_2243_4386, 0xbff3_e8a6_7784_b19f, 0xc009_21f5_1912_2e02],
        [0x3ff5_e021_669b_21ed, 0x3ffe_e22e_0e07_22b8, 0x3fe3_b8a6_2c35_c057],
        [0xc03b_895e_41cd_1c30, 0xbffb_6c56_bd16_534c, 0xbffa_2099_5cf9_3f11],
        [0x404c_2249_441d_2dd1, 0xbff7_75e7_7bc6_163b, 0x3ff9_8cb2_01f1_d2ac],
        [0xbed0_5b3c_a0bc_b479, 0x3ff9_5f1f_05c5_cb45, 0xbec4_a12b_b72b_2eb6],
        [0x3f33_b7e0_b877_7c04, 0x3fff_12dc_9bb8_9a65, 0x3f24_4e5b_80da_8357],
        [0xbed8_8dd5_d900_6b3d, 0xbff5_01b7_d04f_e9fc, 0xc009_21f8_fdce_7bfe],
        [0xc136_1c7f_5f4a_19fd, 0xbfff_fa1e_ebcd_aa95, 0xbff9_21fc_c67d_49d9],
        [0x3ebc_a085_c45d_fa68, 0xbff7_d286_4f17_6d82, 0x4009_21fa_ba73_4564],
        [0xbffc_8c7e_dac1_0701, 0x3ffb_76c4_dcf4_38ad, 0xbfe9_c0a0_6cf2_ce97],
        [0x3ffd_25d4_ba53_0199, 0xbff9_a00e_9b4d_a6f9, 0x4002_55f4_ec6a_8325],
        [0x3ffa_7c21_e3be_e9a5, 0xbff3_98c1_20ec_afe0, 0x4001_a99a_d54e_f9c3],
        [0xbff5_82bf_1009_2c18, 0x3ff3_30a1_808f_e870, 0xbfea_f496_1c61_6332],
        [0x3fff_0bb8_8229_81e7, 0x3ff5_5228_2c43_7066, 0x3fef_0228_425b_255c],
        [0xbffd_28eb_4c5e_2d60, 0xbff9_aace_5173_498b, 0xc002_5733_0483_36ed],
        [0x3ffd_f1de_4dd3_e72b, 0x3ff4_c1ef_fc0e_81dc, 0x3fee_de6e_d6a6_9c62],
        [0x3ff4_fa33_d3b3_696c, 0xbff7_1eec_d6a1_788e, 0x4003_3cf4_27b1_3493],
        [0x4308_f2fa_796a_9440, 0x459a_7d4e_1ded_2b08, 0x3d5e_23a4_848e_df50],
        [0x42f9_7f7d_9bda_9020, 0x4578_4c37_e6e5_2ce8, 0x3d70_ca56_8f3d_045a],
        [0x431c_778f_1ec2_0d0c, 0x4605_c28e_7a87_cbf6, 0x3d04_ee80_abe4_5166],
        [0x4330_2ab4_b881_c659, 0x4583_3b8d_a721_c9a1, 0x3d9a_e623_eb57_d2cf],
        [0x4301_1ef9_9be8_1260, 0x45a1_9d0d_0ccd_5e98, 0x3d4f_1af2_4adb_8dd2],
        [0x42f8_0749_563d_62d0, 0x45a2_101a_1b5c_17c8, 0x3d45_48c5_305b_cfa4],
        [0x4310_380c_4601_8b60, 0x45c9_e537_bf8f_c354, 0x3d34_0adb_b713_1bc1],
        [0x4328_7b91_9f0a_e512, 0x4594_1dba_9861_009d, 0x3d83_791c_0256_c2da],
        [0x4311_fd54_bd24_5bac, 0x4585_784f_3dfb_d2cc, 0x3d7a_d009_740f_92c2],
        [0x4319_5cb0_3c79_fdc4, 0x45c1_73ba_5689_da5a, 0x3d47_407a_5bf4_7552],
        [0x42d1_0a33_1e3d_2800, 0x4592_f572_eefc_ac40, 0x3d2c_c2d5_8b5e_8b28],
        [0x433a_9863_c561_9e8d, 0x458c_6392_31d7_909d, 0x3d9d_fa69_42e5_bada],
        [0x4334_62f0_61b1_83fd, 0x45bb_805e_a1b2_2a21, 0x3d67_b8a0_da29_ecf0],
        [0x4322_0ffd_2a44_2c54, 0x45e2_b878_e9d7_8722, 0x3d2e_e000_dbe6_5147],
        [0xbfcf_abf4_31a9_97b2, 0x4000_3293_2f58_3011, 0xbfbf_218b_70d1_ecd4],
        [0x4010_b188_5561_f738, 0x4023_280d_6000_37c4, 0x3fda_4c5c_9214_fa19],
        [0xbff2_262e_9177_5adf, 0x4013_0553_491a_c7c2, 0xbfcd_f931_6a67_4136],
        [0x3fe4_c7cf_e22a_79fe, 0x4011_a317_fa01_a53b, 0x3fc2_b793_d2e4_8d93],
        [0x3ff3_174c_9710_8fb3, 0x4018_8f32_57f8_c9e4, 0x3fc8_9196_011c_38e8],
        [0xc012_924f_f04c_f899, 0x3fe9_2c0d_07c1_ae36, 0xbff6_728a_0036_aee9],
    ];
}
