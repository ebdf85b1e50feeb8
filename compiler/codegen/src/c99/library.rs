//! What kernels in C need beyond the operators of C: functions of a few lines, of which a file has those that it uses.
//!
//! The idea: each says what a tile operation means where C leaves something open or has nothing, without libc, libm, or a division of 64 bits. Compilers make
//! one instruction of most of them.

use super::kernel::words;
use super::{dots, lanes};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

struct Function {
    name: &'static str,
    needs: &'static [&'static str],
    text: &'static str,
}

const fn function(name: &'static str, needs: &'static [&'static str], text: &'static str) -> Function {
    Function { name, needs, text }
}

/// In an order in which each needs earlier ones only.
const FUNCTIONS: &[Function] = &[
    function("wrap_i8", &[], "int32_t wrap_i8(uint32_t x) { return (int32_t)(int8_t)(uint8_t)(x & 0xffu); }"),
    function("wrap_u8", &[], "int32_t wrap_u8(uint32_t x) { return (int32_t)(x & 0xffu); }"),
    function("wrap_i16", &[], "int32_t wrap_i16(uint32_t x) { return (int32_t)(int16_t)(uint16_t)(x & 0xffffu); }"),
    function("wrap_u16", &[], "int32_t wrap_u16(uint32_t x) { return (int32_t)(x & 0xffffu); }"),
    function("clamp", &[], "int32_t clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }"),
    function("clamp_i64", &[], "int64_t clamp_i64(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }"),
    function("i32_of_u32", &[], "int32_t i32_of_u32(uint32_t x, uint32_t high) { return (int32_t)(x > high ? high : x); }"),
    function(
        "u32_of_i64",
        &[],
        "uint32_t u32_of_i64(int64_t x) { return x < 0 ? 0u : x > INT64_C(0xffffffff) ? 0xffffffffu : (uint32_t)x; }",
    ),
    function(
        "div_i32",
        &[],
        "int32_t div_i32(int32_t a, int32_t b) { return b == 0 ? 0 : b == -1 ? (int32_t)(0u - (uint32_t)a) : a / b; }",
    ),
    function("rem_i32", &[], "int32_t rem_i32(int32_t a, int32_t b) { return b == 0 || b == -1 ? 0 : a % b; }"),
    function("div_u32", &[], "uint32_t div_u32(uint32_t a, uint32_t b) { return b == 0u ? 0u : a / b; }"),
    function("rem_u32", &[], "uint32_t rem_u32(uint32_t a, uint32_t b) { return b == 0u ? 0u : a % b; }"),
    function(
        "divide_u64",
        &[],
        "\
uint64_t divide_u64(uint64_t a, uint64_t b)
{
    /* Bit by bit: no division of 64 bits, which 32-bit machines take from a library. */
    uint64_t quotient = 0, remainder = 0;
    for (int32_t i = 63; i >= 0; i--) {
        const uint64_t carry = remainder >> 63;
        remainder = (remainder << 1) | ((a >> i) & 1u);
        if (carry != 0u || remainder >= b) {
            remainder -= b;
            quotient |= (uint64_t)1 << i;
        }
    }
    return quotient;
}",
    ),
    function(
        "div_i64",
        &["divide_u64"],
        "\
int64_t div_i64(int64_t a, int64_t b)
{
    const uint64_t x = a < 0 ? 0u - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0u - (uint64_t)b : (uint64_t)b;
    uint64_t quotient;
    if (b == 0) {
        return 0;
    }
    quotient = divide_u64(x, y);
    return (int64_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}",
    ),
    function(
        "rem_i64",
        &["div_i64"],
        "int64_t rem_i64(int64_t a, int64_t b) { return b == 0 ? 0 : (int64_t)((uint64_t)a - (uint64_t)div_i64(a, b) * (uint64_t)b); }",
    ),
    function(
        "leading_zeros",
        &[],
        "\
int32_t leading_zeros(uint32_t x, int32_t bits)
{
    /* Of the low `bits` bits. */
    uint32_t rest = x << (32 - bits);
    int32_t n = 0;
    while (n < bits && (rest & 0x80000000u) == 0u) {
        rest <<= 1;
        n++;
    }
    return n;
}",
    ),
    function(
        "leading_zeros_i64",
        &["leading_zeros"],
        "\
int64_t leading_zeros_i64(int64_t x)
{
    const uint32_t high = (uint32_t)((uint64_t)x >> 32);
    return high != 0u ? leading_zeros(high, 32) : 32 + leading_zeros((uint32_t)(uint64_t)x, 32);
}",
    ),
    function(
        "rounding_shr",
        &[],
        "\
int32_t rounding_shr(int32_t x, int32_t n)
{
    /* x / 2^n, halves away from zero. */
    const int32_t mask = (int32_t)(((uint32_t)1 << n) - 1u), rest = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> n) + (rest > threshold ? 1 : 0);
}",
    ),
    function(
        "rounding_shr_i64",
        &[],
        "\
int64_t rounding_shr_i64(int64_t x, int32_t n)
{
    const int64_t mask = (int64_t)(((uint64_t)1 << n) - 1u), rest = x & mask;
    const int64_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> n) + (rest > threshold ? 1 : 0);
}",
    ),
    function(
        "mul_high_round",
        &[],
        "\
int32_t mul_high_round(int32_t a, int32_t b)
{
    /* (2ab + 2^31) >> 32, saturating: one pair alone does not fit. */
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return (int32_t)(((int64_t)a * b + INT64_C(0x40000000)) >> 31);
}",
    ),
    function(
        "mul_high",
        &[],
        "\
int32_t mul_high(int32_t a, int32_t b)
{
#if defined(__arm__) && !defined(__thumb2__) && !defined(__ARM_ARCH_ISA_ARM)
    /* Without a long product: halves. */
    const uint32_t al = (uint32_t)a & 0xffffu, bl = (uint32_t)b & 0xffffu;
    const int32_t ah = a >> 16, bh = b >> 16;
    const int32_t middle = (int32_t)((uint32_t)ah * bl + ((al * bl) >> 16));
    const int32_t other = (int32_t)((uint32_t)(middle & 0xffff) + al * (uint32_t)bh);
    return ah * bh + (middle >> 16) + (other >> 16);
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}",
    ),
    function(
        "mul_high_add",
        &["mul_high"],
        "\
int32_t mul_high_add(int32_t a, int32_t b, int32_t c)
{
    /* c + ((a * b) >> 32) */
#if defined(CRANELITE_DSP)
    int32_t sum;
    __asm__(\"smmla %0, %1, %2, %3\" : \"=r\"(sum) : \"r\"(a), \"r\"(b), \"r\"(c));
    return sum;
#else
    return (int32_t)((uint32_t)mul_high(a, b) + (uint32_t)c);
#endif
}",
    ),
    function(
        "requantize_right",
        &["rounding_shr"],
        "\
int32_t requantize_right(int32_t x, int32_t multiplier, int32_t n)
{
    /* x * multiplier * 2^(-31 - n), rounded twice as the reference does; the multiplier is never -2^31. A multiplier of 0 has any shift. */
    if (multiplier == 0) {
        return 0;
    }
    return rounding_shr((int32_t)(((int64_t)x * multiplier + INT64_C(0x40000000)) >> 31), n);
}",
    ),
    function(
        "requantize",
        &["requantize_right"],
        "\
int32_t requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    if (multiplier == 0) {
        return 0;
    }
    return shift > 0 ? requantize_right((int32_t)((uint32_t)x << shift), multiplier, 0) : requantize_right(x, multiplier, -shift);
}",
    ),
    function(
        "bits_of_f32",
        &[],
        "uint32_t bits_of_f32(float x) { union { float number; uint32_t bits; } u; u.number = x; return u.bits; }",
    ),
    function(
        "f32_of_bits",
        &[],
        "float f32_of_bits(uint32_t x) { union { float number; uint32_t bits; } u; u.bits = x; return u.number; }",
    ),
    function(
        "bits_of_f64",
        &[],
        "uint64_t bits_of_f64(double x) { union { double number; uint64_t bits; } u; u.number = x; return u.bits; }",
    ),
    function(
        "f64_of_bits",
        &[],
        "double f64_of_bits(uint64_t x) { union { double number; uint64_t bits; } u; u.bits = x; return u.number; }",
    ),
    function("abs_f32", &["bits_of_f32", "f32_of_bits"], "float abs_f32(float x) { return f32_of_bits(bits_of_f32(x) & 0x7fffffffu); }"),
    function(
        "abs_f64",
        &["bits_of_f64", "f64_of_bits"],
        "double abs_f64(double x) { return f64_of_bits(bits_of_f64(x) & UINT64_C(0x7fffffffffffffff)); }",
    ),
    function(
        "trunc_f32",
        &["bits_of_f32", "f32_of_bits"],
        "\
float trunc_f32(float x)
{
    const uint32_t bits = bits_of_f32(x);
    const int32_t exponent = (int32_t)((bits >> 23) & 0xffu) - 127;
    if (exponent >= 23) {
        return x; /* whole, infinite or no number */
    }
    return f32_of_bits(exponent < 0 ? bits & 0x80000000u : bits & ~(0x7fffffu >> exponent));
}",
    ),
    function(
        "trunc_f64",
        &["bits_of_f64", "f64_of_bits"],
        "\
double trunc_f64(double x)
{
    const uint64_t bits = bits_of_f64(x);
    const int32_t exponent = (int32_t)((bits >> 52) & 0x7ffu) - 1023;
    if (exponent >= 52) {
        return x;
    }
    return f64_of_bits(exponent < 0 ? bits & UINT64_C(0x8000000000000000) : bits & ~(UINT64_C(0xfffffffffffff) >> exponent));
}",
    ),
    function(
        "floor_f32",
        &["trunc_f32"],
        "\
float floor_f32(float x)
{
    const float whole = trunc_f32(x);
    /* The sign of zero stays. */
    return whole > x ? whole - 1.0f : whole;
}",
    ),
    function(
        "floor_f64",
        &["trunc_f64"],
        "double floor_f64(double x) { const double whole = trunc_f64(x); return whole > x ? whole - 1.0 : whole; }",
    ),
    function(
        "ceil_f32",
        &["trunc_f32"],
        "float ceil_f32(float x) { const float whole = trunc_f32(x); return whole < x ? whole + 1.0f : whole; }",
    ),
    function(
        "ceil_f64",
        &["trunc_f64"],
        "double ceil_f64(double x) { const double whole = trunc_f64(x); return whole < x ? whole + 1.0 : whole; }",
    ),
    function(
        "round_even_f32",
        &["trunc_f32", "abs_f32", "bits_of_f32"],
        "\
float round_even_f32(float x)
{
    const float whole = trunc_f32(x), rest = abs_f32(x - whole);
    const float half = trunc_f32(whole * 0.5f) * 2.0f;
    float up;
    if (!(rest > 0.5f || (rest == 0.5f && half != whole))) {
        return whole;
    }
    up = whole + ((bits_of_f32(x) >> 31) != 0u ? -1.0f : 1.0f);
    return up;
}",
    ),
    function(
        "round_even_f64",
        &["trunc_f64", "abs_f64", "bits_of_f64"],
        "\
double round_even_f64(double x)
{
    const double whole = trunc_f64(x), rest = abs_f64(x - whole);
    const double half = trunc_f64(whole * 0.5) * 2.0;
    if (!(rest > 0.5 || (rest == 0.5 && half != whole))) {
        return whole;
    }
    return whole + ((bits_of_f64(x) >> 63) != 0u ? -1.0 : 1.0);
}",
    ),
    function(
        "sqrt_f32",
        &["bits_of_f32", "f32_of_bits"],
        "\
float sqrt_f32(float x)
{
    const uint32_t bits = bits_of_f32(x);
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    uint32_t fraction = bits & 0x7fffffu, root = 0, sum = 0, bit;
    if (bits == 0u || bits == 0x80000000u || bits == 0x7f800000u || x != x) {
        return x;
    }
    if (bits >= 0x80000000u) {
        return f32_of_bits(0x7fc00000u);
    }
    if (exponent == -127) {
        while ((fraction & 0x800000u) == 0u) {
            fraction <<= 1;
            exponent--;
        }
        exponent++;
    }
    fraction |= 0x800000u;
    if ((exponent & 1) != 0) {
        fraction <<= 1;
        exponent--;
    }
    /* Digit by digit, one more than the result has. */
    fraction <<= 1;
    for (bit = 0x1000000u; bit != 0u; bit >>= 1) {
        const uint32_t next = sum + bit;
        if (next <= fraction) {
            sum = next + bit;
            fraction -= next;
            root += bit;
        }
        fraction <<= 1;
    }
    root += root & (fraction != 0u ? 1u : 0u);
    return f32_of_bits((root >> 1) + ((uint32_t)(exponent / 2 + 126) << 23));
}",
    ),
    function(
        "sqrt_f64",
        &["bits_of_f64", "f64_of_bits"],
        "\
double sqrt_f64(double x)
{
    const uint64_t bits = bits_of_f64(x);
    int32_t exponent = (int32_t)(bits >> 52) - 1023;
    uint64_t fraction = bits & UINT64_C(0xfffffffffffff), root = 0, sum = 0, bit;
    if (x == 0.0 || bits == UINT64_C(0x7ff0000000000000) || x != x) {
        return x;
    }
    if ((bits >> 63) != 0u) {
        return f64_of_bits(UINT64_C(0x7ff8000000000000));
    }
    if (exponent == -1023) {
        while ((fraction & UINT64_C(0x10000000000000)) == 0u) {
            fraction <<= 1;
            exponent--;
        }
        exponent++;
    }
    fraction |= UINT64_C(0x10000000000000);
    if ((exponent & 1) != 0) {
        fraction <<= 1;
        exponent--;
    }
    fraction <<= 1;
    for (bit = UINT64_C(0x20000000000000); bit != 0u; bit >>= 1) {
        const uint64_t next = sum + bit;
        if (next <= fraction) {
            sum = next + bit;
            fraction -= next;
            root += bit;
        }
        fraction <<= 1;
    }
    root += root & (fraction != 0u ? 1u : 0u);
    return f64_of_bits((root >> 1) + ((uint64_t)(uint32_t)(exponent / 2 + 1022) << 52));
}",
    ),
    function(
        "i32_of_f32",
        &[],
        "int32_t i32_of_f32(float x) { return x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : (int32_t)x; }",
    ),
    function(
        "i32_of_f64",
        &[],
        "int32_t i32_of_f64(double x) { return x != x ? 0 : x >= 2147483648.0 ? INT32_MAX : x <= -2147483649.0 ? INT32_MIN : (int32_t)x; }",
    ),
    function(
        "u32_of_f32",
        &[],
        "uint32_t u32_of_f32(float x) { return !(x > 0.0f) ? 0u : x >= 4294967296.0f ? UINT32_MAX : (uint32_t)x; }",
    ),
    function("u32_of_f64", &[], "uint32_t u32_of_f64(double x) { return !(x > 0.0) ? 0u : x >= 4294967296.0 ? UINT32_MAX : (uint32_t)x; }"),
    function(
        "i64_of_f32",
        &[],
        "int64_t i64_of_f32(float x) { return x != x ? 0 : x >= 0x1p63f ? INT64_MAX : x < -0x1p63f ? INT64_MIN : (int64_t)x; }",
    ),
    function(
        "i64_of_f64",
        &[],
        "int64_t i64_of_f64(double x) { return x != x ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x; }",
    ),
    function(
        "fma_f32",
        &["bits_of_f64", "f64_of_bits"],
        "\
float fma_f32(float a, float b, float c)
{
    /* One rounding: the product is exact as a double, and the sum is rounded to odd before it becomes a float. */
    const double product = (double)a * (double)b, sum = product + (double)c, other = sum - product;
    const double rest = (product - (sum - other)) + ((double)c - other);
    uint64_t bits = bits_of_f64(sum);
    if ((bits & UINT64_C(0x7ff0000000000000)) == UINT64_C(0x7ff0000000000000) || rest == 0.0 || (bits & 1u) != 0u) {
        return (float)sum;
    }
    bits = (rest > 0.0) == (sum > 0.0) ? bits + 1u : bits - 1u;
    return (float)f64_of_bits(bits);
}",
    ),
    function("load_i8", &[], "int32_t load_i8(const uint8_t *p) { return (int32_t)(int8_t)p[0]; }"),
    function("load_u8", &[], "int32_t load_u8(const uint8_t *p) { return (int32_t)p[0]; }"),
    // Compilers for machines that read at aligned addresses only make calls of memcpy, and there may be no C library.
    function(
        "bytes_2",
        &[],
        "\
uint32_t bytes_2(const uint8_t *p)
{
#if defined(__GNUC__) && !defined(__riscv) && !defined(__XTENSA__) && (!defined(__arm__) || defined(__ARM_FEATURE_UNALIGNED))
    uint16_t x;
    __builtin_memcpy(&x, p, 2);
    return x;
#else
    /* In the machine's order, whichever that is. */
    union { uint16_t number; uint8_t bytes[2]; } u;
    u.bytes[0] = p[0];
    u.bytes[1] = p[1];
    return u.number;
#endif
}",
    ),
    function(
        "bytes_4",
        &[],
        "\
uint32_t bytes_4(const uint8_t *p)
{
#if defined(__GNUC__) && !defined(__riscv) && !defined(__XTENSA__) && (!defined(__arm__) || defined(__ARM_FEATURE_UNALIGNED))
    uint32_t x;
    __builtin_memcpy(&x, p, 4);
    return x;
#else
    union { uint32_t number; uint8_t bytes[4]; } u;
    u.bytes[0] = p[0];
    u.bytes[1] = p[1];
    u.bytes[2] = p[2];
    u.bytes[3] = p[3];
    return u.number;
#endif
}",
    ),
    function(
        "bytes_8",
        &["bytes_4"],
        "\
uint64_t bytes_8(const uint8_t *p)
{
    union { uint64_t number; uint32_t halves[2]; } u;
    u.halves[0] = bytes_4(p);
    u.halves[1] = bytes_4(p + 4);
    return u.number;
}",
    ),
    function("load_i16", &["bytes_2"], "int32_t load_i16(const uint8_t *p) { return (int32_t)(int16_t)(uint16_t)bytes_2(p); }"),
    function("load_u16", &["bytes_2"], "int32_t load_u16(const uint8_t *p) { return (int32_t)bytes_2(p); }"),
    function("load_i32", &["bytes_4"], "int32_t load_i32(const uint8_t *p) { return (int32_t)bytes_4(p); }"),
    function("load_u32", &["bytes_4"], "uint32_t load_u32(const uint8_t *p) { return bytes_4(p); }"),
    function("load_i64", &["bytes_8"], "int64_t load_i64(const uint8_t *p) { return (int64_t)bytes_8(p); }"),
    function("load_f32", &["bytes_4", "f32_of_bits"], "float load_f32(const uint8_t *p) { return f32_of_bits(bytes_4(p)); }"),
    function("load_f64", &["bytes_8", "f64_of_bits"], "double load_f64(const uint8_t *p) { return f64_of_bits(bytes_8(p)); }"),
    function("store_8", &[], "void store_8(uint8_t *p, int32_t x) { p[0] = (uint8_t)((uint32_t)x & 0xffu); }"),
    function(
        "store_16",
        &[],
        "\
void store_16(uint8_t *p, int32_t x)
{
    const uint16_t bits = (uint16_t)((uint32_t)x & 0xffffu);
#if defined(__GNUC__) && !defined(__riscv) && !defined(__XTENSA__) && (!defined(__arm__) || defined(__ARM_FEATURE_UNALIGNED))
    __builtin_memcpy(p, &bits, 2);
#else
    union { uint16_t number; uint8_t bytes[2]; } u;
    u.number = bits;
    p[0] = u.bytes[0];
    p[1] = u.bytes[1];
#endif
}",
    ),
    function(
        "store_u32",
        &[],
        "\
void store_u32(uint8_t *p, uint32_t x)
{
#if defined(__GNUC__) && !defined(__riscv) && !defined(__XTENSA__) && (!defined(__arm__) || defined(__ARM_FEATURE_UNALIGNED))
    __builtin_memcpy(p, &x, 4);
#else
    union { uint32_t number; uint8_t bytes[4]; } u;
    u.number = x;
    p[0] = u.bytes[0];
    p[1] = u.bytes[1];
    p[2] = u.bytes[2];
    p[3] = u.bytes[3];
#endif
}",
    ),
    function("store_i32", &["store_u32"], "void store_i32(uint8_t *p, int32_t x) { store_u32(p, (uint32_t)x); }"),
    function(
        "store_i64",
        &["store_u32"],
        "\
void store_i64(uint8_t *p, int64_t x)
{
    union { uint64_t number; uint32_t halves[2]; } u;
    u.number = (uint64_t)x;
    store_u32(p, u.halves[0]);
    store_u32(p + 4, u.halves[1]);
}",
    ),
    function("store_f32", &["store_u32", "bits_of_f32"], "void store_f32(uint8_t *p, float x) { store_u32(p, bits_of_f32(x)); }"),
    function("store_f64", &["store_i64", "bits_of_f64"], "void store_f64(uint8_t *p, double x) { store_i64(p, (int64_t)bits_of_f64(x)); }"),
];

/// Its name in C; `None` if there is no such function.
pub fn name(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|f| f.name == name).map(|f| f.name)
}

/// The text of all functions that some code calls, itself or by way of others.
pub fn text_for(code: &str) -> String {
    let parametrised = |name: &str| dots::text(name).or_else(|| lanes::text(name));
    let named: BTreeMap<&str, String> = words(code).filter_map(|w| Some((w, parametrised(w)?))).collect();
    let named: String = named.into_values().collect();
    let all = format!("{named}{code}");
    let saturating: BTreeMap<&str, String> = words(&all).filter_map(|w| Some((w, saturate(w)?))).collect();
    let mut used: BTreeSet<usize> = BTreeSet::new();
    let mut add: Vec<&str> = words(&all).collect::<BTreeSet<_>>().into_iter().collect();
    while let Some(name) = add.pop() {
        if let Some(at) = FUNCTIONS.iter().position(|f| f.name == name)
            && used.insert(at)
        {
            add.extend(FUNCTIONS[at].needs);
        }
    }
    let mut out = String::new();
    for at in used {
        writeln!(out, "CRANELITE_STATIC {}\n", FUNCTIONS[at].text).expect("a string takes everything");
    }
    saturating.into_values().for_each(|text| out += &text);
    out += &named;
    if out.contains("CRANELITE_") {
        out.insert_str(0, CONDITIONS);
    }
    out
}

/// saturate_TYPE_N: what is left of N bits, saturated.
fn saturate(name: &str) -> Option<String> {
    let (ty, n) = name.strip_prefix("saturate_")?.split_once('_')?;
    let n: u32 = n.parse().ok()?;
    let (instruction, low, high) = match ty {
        "i8" => ("ssat %0, #8", -128, 127),
        "u8" => ("usat %0, #8", 0, 255),
        "i16" => ("ssat %0, #16", -32768, 32767),
        _ => return None,
    };
    Some(format!(
        "CRANELITE_STATIC int32_t {name}(int32_t x)\n{{\n#if defined(CRANELITE_SAT)\n    int32_t y;\n    __asm__(\"{instruction}, %1, asr #{n}\" : \"=r\"(y) : \"r\"(x) : \"cc\");\n    return y;\n\
         #else\n    const int32_t y = x >> {n};\n    return y < {low} ? {low} : y > {high} ? {high} : y;\n#endif\n}}\n\n"
    ))
}

/// Which bodies a compiler takes.
const CONDITIONS: &str = "\
/* Functions that not all bodies need, and those whose numbers stay in registers. */
#if defined(__GNUC__)
#define CRANELITE_STATIC static inline __attribute__((unused))
#define CRANELITE_INLINE static inline __attribute__((always_inline))
#else
#define CRANELITE_STATIC static inline
#define CRANELITE_INLINE static inline
#endif
/* Instructions that Arm has and C does not. What they take of words has the lowest byte first. */
#if defined(__ARM_BIG_ENDIAN) && !defined(CRANELITE_NO_ASM)
#define CRANELITE_NO_ASM
#endif
#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_SAT) && !defined(CRANELITE_NO_ASM)
#define CRANELITE_SAT
#endif
#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && !defined(CRANELITE_NO_ASM)
#define CRANELITE_DSP
#endif
#if defined(__ARM_FEATURE_MVE) && !defined(CRANELITE_NO_ASM)
#include <arm_mve.h>
#define CRANELITE_MVE
#if defined(__GNUC__)
#define CRANELITE_MVE_LOOPS
#define CRANELITE_IN_ORDER(a, b) __asm__(\"\" : \"+w\"(a), \"+w\"(b))
#else
#define CRANELITE_IN_ORDER(a, b) (void)0
#endif
#endif
/* Whole loops are functions of assembly, which take all registers. They read words at any address, as these cores do unless CCR.UNALIGN_TRP is set; with CRANELITE_NO_ASM
   defined the C below is compiled. */
#if defined(CRANELITE_DSP)
#define CRANELITE_DSP_LOOPS
#endif
#if defined(__GNUC__) && defined(__ARM_ARCH_ISA_THUMB) && !defined(__thumb2__) && defined(__thumb__) && !defined(CRANELITE_NO_ASM)
#define CRANELITE_THUMB_LOOPS
#endif
#if defined(CRANELITE_DSP_LOOPS) || defined(CRANELITE_THUMB_LOOPS)
#define CRANELITE_UNUSED __attribute__((unused))
#if defined(__clang__)
#define CRANELITE_LOOP static __attribute__((naked, noinline))
#else
#define CRANELITE_LOOP static __attribute__((naked, noipa))
#endif
#endif

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_needs_earlier_ones() {
        for (i, f) in FUNCTIONS.iter().enumerate() {
            for needed in f.needs {
                assert!(FUNCTIONS[..i].iter().any(|g| g.name == *needed), "{} needs {needed}", f.name);
            }
            assert!(f.text.contains(&format!("{}(", f.name)), "{}", f.name);
            // All that it calls, and nothing else.
            let calls = FUNCTIONS.iter().filter(|g| g.name != f.name && f.text.contains(&format!("{}(", g.name)));
            assert!(calls.map(|g| g.name).eq(FUNCTIONS.iter().filter(|g| f.needs.contains(&g.name)).map(|g| g.name)), "{}", f.name);
        }
    }
}
