//! Operators of one or two numbers at the same place, against the same in Rust.

use crate::support::{Input, bytes, integers, machines, run};
use crate::{all_bytes, refusal, run_integers, zero_points};
use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::Op;
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::ElementType::{self, *};
use cranelite_graph::tensor::TensorType;
use cranelite_graph::text::fields::Field;

fn op(name: &str) -> Op {
    Op::from_fields(name, &mut vec![]).expect("an operator without attributes")
}

fn with(name: &str, field: &str, value: Field) -> Op {
    Op::from_fields(name, &mut vec![(field.into(), value)]).expect("an operator with an attribute")
}

/// Numbers as a tensor of integers, bool or floats.
fn tensor(element: ElementType, values: &[f64]) -> (TensorType, Vec<u8>) {
    let one = |v: f64| match element {
        F64 => v.to_le_bytes().to_vec(),
        F32 => (v as f32).to_le_bytes().to_vec(),
        F16 => half::f16::from_f64(v).to_le_bytes().to_vec(),
        Complex64 => [(v as f32).to_le_bytes(), 7f32.to_le_bytes()].concat(),
        _ => (v as i64).to_le_bytes()[..element.bytes().expect("bytes")].to_vec(),
    };
    (TensorType::new(element, [values.len()]), values.iter().flat_map(|&v| one(v)).collect())
}

/// The elements as f64; i64 only below 2^53.
fn numbers(element: ElementType, data: &[u8]) -> Vec<f64> {
    let one = |b: &[u8]| match element {
        F64 => f64::from_le_bytes(b.try_into().unwrap()),
        F32 | Complex64 => f32::from_le_bytes(b[..4].try_into().unwrap()).into(),
        F16 => half::f16::from_le_bytes(b.try_into().unwrap()).to_f64(),
        I8 => (b[0] as i8).into(),
        U8 | Bool => b[0].into(),
        I16 => i16::from_le_bytes(b.try_into().unwrap()).into(),
        U16 => u16::from_le_bytes(b.try_into().unwrap()).into(),
        I32 => i32::from_le_bytes(b.try_into().unwrap()).into(),
        U32 => u32::from_le_bytes(b.try_into().unwrap()).into(),
        _ => i64::from_le_bytes(b.try_into().unwrap()) as f64,
    };
    data.chunks_exact(element.bytes().expect("bytes")).map(one).collect()
}

/// The results of every machine.
fn results(op: &Op, inputs: &[(TensorType, Vec<u8>)], y: &TensorType) -> Vec<Vec<u8>> {
    let one = |m| {
        let inputs: Vec<Input> = inputs.iter().map(|(ty, data)| Input::new(ty.clone(), data.clone())).collect();
        run(op.clone(), &inputs, y, &m).unwrap_or_else(|d| panic!("{op:?}: {d}")).1
    };
    machines().into_iter().map(one).collect()
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

/// Of all pairs of values, against a function; floats may be off by `error` of the result.
fn check_pairs(name: &str, element: ElementType, to: ElementType, values: &[f64], error: f64, f: impl Fn(f64, f64) -> f64) {
    let n = values.len();
    let (mut a, mut b) = (vec![], vec![]);
    for &x in values {
        a.extend(vec![x; n]);
        b.extend(values);
    }
    let inputs = [tensor(element, &a), tensor(element, &b)];
    let [x, z] = [0, 1].map(|i| numbers(element, &inputs[i].1));
    for got in results(&op(name), &inputs, &TensorType::new(to, [])) {
        for (i, got) in numbers(to, &got).into_iter().enumerate() {
            let want = f(x[i], z[i]);
            let close = error != 0.0 && (got - want).abs() <= error * want.abs() + 1e-37;
            assert!(same(got, want) || close, "{name} of {} and {}: {got:e} for {want:e}", x[i], z[i]);
        }
    }
}

/// The same of one operand.
fn check(op: &Op, element: ElementType, values: &[f64], error: f64, f: impl Fn(f64) -> f64) {
    let x = tensor(element, values);
    let values = numbers(element, &x.1);
    for got in results(op, &[x], &TensorType::new(element, [])) {
        for (&x, got) in values.iter().zip(numbers(element, &got)) {
            let want = f(x);
            let close = error != 0.0 && (got - want).abs() <= error * want.abs() + 1e-37;
            assert!(same(got, want) || close, "{op:?} of {x:e}: {got:e} for {want:e}");
        }
    }
}

const SPECIAL: [f64; 17] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.0,
    1.5,
    1e-40,
    -1e-40,
    16_777_216.0,
    3e38,
    -3e38,
    -7.75,
];
/// Of short integers, too; the odd count leaves a rest in every vector.
const INTEGERS: [f64; 13] = [0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 7.0, -7.0, 100.0, -100.0, 127.0, -128.0, 64.0];

#[test]
fn comparisons() {
    type Row = (&'static str, fn(f64, f64) -> bool);
    let rows: [Row; 6] = [
        ("equal", |a, b| a == b),
        ("not_equal", |a, b| a != b),
        ("less", |a, b| a < b),
        ("less_equal", |a, b| a <= b),
        ("greater", |a, b| a > b),
        ("greater_equal", |a, b| a >= b),
    ];
    for (name, f) in rows {
        check_pairs(name, F32, Bool, &SPECIAL, 0.0, |a, b| f(a, b).into());
        for element in [I16, I32, I64] {
            check_pairs(name, element, Bool, &INTEGERS, 0.0, |a, b| f(a, b).into());
        }
        // Words of a scale so small that integers become equal, which only equality sees.
        if matches!(name, "equal" | "not_equal") {
            let scale = 2.9e-5f32;
            let [a, b] = [[201, 1], [1, 201]].map(|shape| TensorType::quantized(I16, shape, scale, 0));
            let values: Vec<i64> = (900..1101).collect();
            let data: Vec<u8> = values.iter().flat_map(|v| (*v as i16).to_le_bytes()).collect();
            let (_, got) = run_integers(&op(name), &[(a, data.clone()), (b, data)], &TensorType::new(Bool, []));
            let (m, s) = quantize_multiplier(scale.into());
            let scaled = |x: i64| multiply_by_quantized_multiplier((x as i32) << 8, m, s);
            for (i, got) in got.into_iter().enumerate() {
                let (x, z) = (values[i / 201], values[i % 201]);
                assert_eq!(got, f(scaled(x).into(), scaled(z).into()).into(), "{name} of {x} and {z}");
            }
        }
        // Bytes of one scale, of different ones, and of some so small that integers become equal.
        for element in [I8, U8] {
            let z = zero_points(element);
            for q in [[(0.1, z[1]), (0.1, z[1])], [(0.1, z[0]), (0.037, z[4])], [(1e-4, z[2]), (1e-4, z[2])], [(2.5, z[3]), (0.5, z[1])]] {
                let [a, b] = [([256, 1], q[0]), ([1, 256], q[1])].map(|(s, (scale, z))| TensorType::quantized(element, s, scale, z.into()));
                let values = integers(&b, &all_bytes());
                let (_, got) = run_integers(&op(name), &[(a, all_bytes()), (b, all_bytes())], &TensorType::new(Bool, []));
                let scaled = |x: i64, (scale, z): (f32, i32)| {
                    let (m, s) = quantize_multiplier(scale.into());
                    multiply_by_quantized_multiplier((x as i32 - z) << 8, m, s)
                };
                for (i, got) in got.into_iter().enumerate() {
                    let (x, z) = (values[i / 256], values[i % 256]);
                    let want = f(scaled(x, q[0]).into(), scaled(z, q[1]).into());
                    assert_eq!(got, want.into(), "{name} {element} {q:?} of {x} and {z}");
                }
            }
        }
    }
    for (name, f) in &rows[..2] {
        check_pairs(name, Bool, Bool, &[0.0, 1.0], 0.0, |a, b| f(a, b).into());
    }
}

#[test]
fn pairs_of_integers() {
    for element in [I8, I16, I32, I64] {
        check_pairs("maximum", element, element, &INTEGERS, 0.0, f64::max);
        check_pairs("minimum", element, element, &INTEGERS, 0.0, f64::min);
        check_pairs("stablehlo_maximum", element, element, &INTEGERS, 0.0, f64::max);
        check_pairs("stablehlo_and", element, element, &INTEGERS, 0.0, |a, b| (a as i64 & b as i64) as f64);
        let wrap = |v: i64| match element {
            I8 => f64::from(v as i8),
            I16 => f64::from(v as i16),
            I32 => f64::from(v as i32),
            _ => v as f64,
        };
        check_pairs("stablehlo_add", element, element, &INTEGERS, 0.0, |a, b| wrap((a + b) as i64));
        check_pairs("stablehlo_multiply", element, element, &INTEGERS, 0.0, |a, b| wrap(a as i64 * b as i64));
        check_pairs("floor_mod", element, element, &INTEGERS, 0.0, |a, b| if b == 0.0 { a } else { a - b * (a / b).floor() });
        if element != I64 {
            check_pairs("floor_div", element, element, &INTEGERS, 0.0, |a, b| if b == 0.0 { 0.0 } else { wrap((a / b).floor() as i64) });
            check_pairs("bitwise_xor", element, element, &INTEGERS, 0.0, |a, b| (a as i64 ^ b as i64) as f64);
            let last = element.bits().unwrap() as i64 - 1;
            check_pairs("right_shift", element, element, &INTEGERS, 0.0, |a, b| (a as i64 >> (b as i64).clamp(0, last)) as f64);
        }
    }
    check_pairs("pow", I32, I32, &[0.0, 1.0, 2.0, 3.0, 31.0, 40.0], 0.0, |a, b| (a as i32).wrapping_pow(b as u32).into());
    check_pairs("squared_difference", I32, I32, &INTEGERS, 0.0, |a, b| (a - b) * (a - b));
    for (name, f) in [("logical_and", f64::min as fn(f64, f64) -> f64), ("logical_or", f64::max)] {
        check_pairs(name, Bool, Bool, &[0.0, 1.0], 0.0, f);
    }
    for element in [U8, U16, U32] {
        check_pairs("right_shift", element, element, &[0.0, 1.0, 7.0, 9.0, 200.0, 255.0], 0.0, |a, b| {
            (a as i64 >> (b as i64).min(element.bits().unwrap() as i64 - 1)) as f64
        });
    }
}

#[test]
fn integer_sums_wrap_and_are_clamped() {
    let values = [0.0, 1.0, -1.0, 5.0, 7.0, -9.0, 2_147_483_647.0, -2_147_483_648.0, 100_000.0];
    type Row = (&'static str, fn(i32, i32) -> i32);
    let rows: [Row; 3] = [("add", i32::wrapping_add), ("sub", i32::wrapping_sub), ("mul", i32::wrapping_mul)];
    for (name, f) in rows {
        for (activation, low, high) in [("none", i32::MIN, i32::MAX), ("relu", 0, i32::MAX), ("relu6", 0, 6), ("relu_n1_to_1", -1, 1)] {
            let fields = [("activation", Field::Word(activation.into())), ("pot_scale_int16", Field::Bool(false))];
            let op = Op::from_fields(name, &mut fields.map(|(n, f)| (n.into(), f)).into()).unwrap();
            let [a, b] = [[9, 1], [1, 9]].map(|shape| (TensorType::new(I32, shape), tensor(I32, &values).1));
            for got in results(&op, &[a, b], &TensorType::new(I32, [])) {
                for (i, got) in numbers(I32, &got).into_iter().enumerate() {
                    let want = f(values[i / 9] as i32, values[i % 9] as i32).clamp(low, high);
                    assert_eq!(got, want.into(), "{name} {activation} of {} and {}", values[i / 9], values[i % 9]);
                }
            }
        }
    }
    let op = Op::from_fields("div", &mut vec![("activation".into(), Field::Word("none".into()))]).unwrap();
    let [a, b] = [[9, 1], [1, 9]].map(|shape| (TensorType::new(I32, shape), tensor(I32, &values).1));
    for got in results(&op, &[a, b], &TensorType::new(I32, [])) {
        for (i, got) in numbers(I32, &got).into_iter().enumerate().filter(|(i, _)| (i / 9, i % 9) != (7, 2)) {
            assert_eq!(got, (values[i / 9] as i32).checked_div(values[i % 9] as i32).unwrap_or(0).into());
        }
    }
}

#[test]
fn pairs_of_floats() {
    check_pairs("maximum", F32, F32, &SPECIAL, 0.0, |a, b| if a > b { a } else { b });
    check_pairs("minimum", F32, F32, &SPECIAL, 0.0, |a, b| if a < b { a } else { b });
    check_pairs("stablehlo_maximum", F32, F32, &SPECIAL, 0.0, |a, b| if a < b { b } else { a });
    check_pairs("squared_difference", F32, F32, &SPECIAL, 0.0, |a, b| {
        let d = a as f32 - b as f32;
        (d * d).into()
    });
    check_pairs("pow", F32, F32, &SPECIAL, 1e-6, |a, b| (libm::pow(a, b) as f32).into());
    check_pairs("atan2", F32, F32, &SPECIAL, 1e-7, libm::atan2);
    check_pairs("atan2", F64, F64, &SPECIAL, 3e-16, libm::atan2);
    check_pairs("floor_div", F32, F32, &SPECIAL, 0.0, |a, b| ((a / b).floor() as f32).into());
    check_pairs("floor_mod", F32, F32, &SPECIAL, 0.0, |a, b| {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { (rest as f32 + b as f32).into() } else { rest }
    });
}

#[test]
fn functions_of_floats() {
    let line = (-2000..2000).map(|i| f64::from(i) * 0.037).chain(SPECIAL).chain([1e10, 1e30, -1e30, 8388609.0]);
    let all: Vec<f64> = line.collect();
    for (name, error, f) in [
        ("abs", 0.0, f64::abs as fn(f64) -> f64),
        ("neg", 0.0, |x| -x),
        ("floor", 0.0, f64::floor),
        ("ceil", 0.0, f64::ceil),
        ("round", 0.0, f64::round_ties_even),
        ("sign", 0.0, |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        }),
        ("sqrt", 6e-8, f64::sqrt),
        ("rsqrt", 2e-7, |x| 1.0 / x.sqrt()),
        ("square", 6e-8, |x| (x * x) as f32 as f64),
        ("tanh", 4e-7, libm::tanh),
        ("log", 3e-7, libm::log),
        ("sin", 1e-6, libm::sin),
        ("cos", 1e-6, libm::cos),
        ("elu", 4e-7, |x| if x < 0.0 { libm::expm1(x) } else { x }),
    ] {
        check(&op(name), F32, &all, error, f);
    }
    check(&op("neg"), I64, &INTEGERS, 0.0, |x| -x);
    check(&op("abs"), I32, &INTEGERS, 0.0, f64::abs);
    check(&op("sign"), I32, &INTEGERS, 0.0, f64::signum_or_zero);
    check(&op("logical_not"), Bool, &[0.0, 1.0, 1.0], 0.0, |x| 1.0 - x);
    check(&with("leaky_relu", "alpha", Field::Float(0.25)), F32, &all, 0.0, |x| if x > 0.0 { x } else { f64::from(0.25 * x as f32) });
    let some: Vec<f64> = all.iter().copied().filter(|x| x.abs() < 12.0).collect();
    check(&with("gelu", "approximate", Field::Bool(false)), F32, &some, 1e-5, |x| {
        0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    });
}

trait Sign {
    fn signum_or_zero(self) -> f64;
}
impl Sign for f64 {
    fn signum_or_zero(self) -> f64 {
        if self == 0.0 { 0.0 } else { self.signum() }
    }
}

/// Every type into every other.
#[test]
fn casts() {
    let all = [F32, F16, F64, I8, U8, I16, U16, I32, U32, I64, Bool, Complex64];
    let floats: Vec<f64> =
        SPECIAL.into_iter().chain([300.7, -300.7, 70000.5, 65519.0, 65520.0, 6e-5, 3e-8, 2147483648.0, 3e9, 5e9, -5e9, 255.9]).collect();
    let whole =
        [0.0, 1.0, 255.0, -1.0, 127.0, -128.0, 300.0, 70000.0, 16_777_217.0, 2_147_483_647.0, 4_294_967_295.0, 3_000_000_001.0, -5e9];
    for from in all {
        let is_float = from.is_float() || from == Complex64;
        let x = match from {
            Bool => tensor(from, &[0.0, 1.0, 1.0]),
            _ if is_float => tensor(from, &floats),
            _ => tensor(from, &whole),
        };
        let values = numbers(from, &x.1);
        for to in all.into_iter().filter(|&to| to != from) {
            let want = |v: f64| match to {
                F64 => v,
                F32 | Complex64 => (v as f32).into(),
                F16 => half::f16::from_f32(v as f32).to_f64(),
                Bool => f64::from(v != 0.0),
                _ if is_float => {
                    let (low, high) = match to {
                        U32 => (0.0, u32::MAX.into()),
                        I64 => (i64::MIN as f64, i64::MAX as f64),
                        _ => element_range(to).map(|(l, h)| (l.into(), h.into())).unwrap(),
                    };
                    if v.is_nan() { high } else { v.trunc().clamp(low, high) }
                }
                _ => numbers(to, &tensor(to, &[v]).1)[0],
            };
            for got in results(&op("cast"), std::slice::from_ref(&x), &TensorType::new(to, [])) {
                for (&v, got) in values.iter().zip(numbers(to, &got)) {
                    assert!(same(got, want(v)), "{from} {v} as {to}: {got} for {}", want(v));
                }
            }
        }
    }
}

#[test]
fn tables_of_bytes() {
    for element in [I8, U8] {
        let z = zero_points(element);
        for (from, to) in [((0.05, z[1]), (1.0 / 128.0, z[2])), ((0.02, z[0]), (0.03, z[0])), ((0.3, z[3]), (0.1, z[4]))] {
            let [x, y] = [from, to].map(|(s, z)| TensorType::quantized(element, [256], s, z.into()));
            let (low, high) = element_range(element).unwrap();
            let of = |op: &Op, f: &dyn Fn(i32) -> i32| {
                let want: Vec<i64> = integers(&x, &all_bytes()).into_iter().map(|q| f(q as i32).clamp(low, high).into()).collect();
                assert_eq!(run_integers(op, &[(x.clone(), all_bytes())], &y).1, want, "{op:?} {from:?} {to:?}");
            };
            let curve = |f: fn(f32) -> f32| {
                move |q: i32| {
                    let rescaled = round_half_away_f32(f(from.0 * (q - from.1) as f32) * (1.0 / to.0));
                    (rescaled + to.1 as f32) as i32
                }
            };
            of(&op("tanh"), &curve(tanh_f32));
            of(&with("gelu", "approximate", Field::Bool(true)), &curve(|x| gelu_f32(x, true)));
            for alpha in [0.2f32, -0.5] {
                let [up, down] = leaky_multipliers(from.0, alpha.abs(), to.0).map(quantize_multiplier);
                of(&with("leaky_relu", "alpha", Field::Float(alpha)), &|q| {
                    let d = q - from.1;
                    let (m, s) = if d < 0 { down } else { up };
                    let scaled = multiply_by_quantized_multiplier(d, m, s);
                    to.1 + if d < 0 && alpha < 0.0 { -scaled } else { scaled }
                });
            }
            if element == I8 {
                of(&op("exp"), &curve(exp_f32));
                of(&op("elu"), &curve(elu_f32));
                let (m, s) = quantize_multiplier(relu_multiplier(from.0, to.0));
                of(&op("abs"), &|q| multiply_by_quantized_multiplier((q - from.1).abs(), m, s) + to.1);
                let scale = quantize_multiplier(rsqrt_multiplier(from.0, to.0));
                of(&op("rsqrt"), &|q| rsqrt_i8(q as i8, from.1, scale, to.1).into());
            }
        }
    }
}

#[test]
fn all_of_int16() {
    let data: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    for from in [1.0 / 4096.0, 1.0 / 2048.0, 3.1e-4, 1e-6] {
        let [x, y] = [from, 1.0 / 32768.0].map(|s| TensorType::quantized(I16, [1 << 16], s, 0));
        let (table, (m, s)) = (sigmoid_table_u16(), tanh_multiplier_i16(from));
        let want: Vec<i64> = (i16::MIN..=i16::MAX).map(|q| tanh_i16(q, m, s, &table).into()).collect();
        assert_eq!(run_integers(&op("tanh"), &[(x.clone(), data.clone())], &y).1, want, "{from}");
        let table = lut_i16_f32((from, 0), (1.0 / 32768.0, 0), exp_f32);
        let want: Vec<i64> = (i16::MIN..=i16::MAX).map(|q| lut_lookup_i16(q, &table).into()).collect();
        assert_eq!(run_integers(&op("exp"), &[(x, data.clone())], &y).1, want, "{from}");
    }
}

#[test]
fn all_pairs_of_bytes() {
    for q in [[(0.1, 3), (0.037, -7), (0.2, -128)], [(0.02, 0), (0.02, 0), (0.001, 0)], [(0.5, -128), (0.25, -128), (0.1, 5)]] {
        let [a, b, y] =
            [([256, 1], q[0]), ([1, 256], q[1]), ([256, 256], q[2])].map(|(shape, (s, z))| TensorType::quantized(I8, shape, s, z.into()));
        let values = integers(&b, &all_bytes());
        let clamped = |x: i32| i64::from(x.clamp(-128, 127));
        let pairs = |op: &Op, f: &dyn Fn(i32, i32) -> i64| {
            let (_, got) = run_integers(op, &[(a.clone(), all_bytes()), (b.clone(), all_bytes())], &y);
            for (i, got) in got.into_iter().enumerate() {
                let (x, z) = (values[i / 256] as i32, values[i % 256] as i32);
                assert_eq!(got, f(x - q[0].1, z - q[1].1), "{op:?} {q:?} of {x} and {z}");
            }
        };
        let [first, second, square] = squared_difference_multipliers(q[0].0, q[1].0, q[2].0).map(quantize_multiplier);
        pairs(&op("squared_difference"), &|x, z| {
            let d =
                multiply_by_quantized_multiplier(x << 7, first.0, first.1) - multiply_by_quantized_multiplier(z << 7, second.0, second.1);
            clamped(multiply_by_quantized_multiplier(d * d, square.0, square.1) + q[2].1)
        });
        let (m, s) = quantize_multiplier(div_multiplier(q[0].0, q[1].0, q[2].0));
        pairs(&with("div", "activation", Field::Word("none".into())), &|x, z| {
            let (x, z) = if z < 0 { (-x, -z) } else { (x, z) };
            if z == 0 {
                return clamped(q[2].1);
            }
            let (inverse, bits) = get_reciprocal(z, 31);
            let headroom = (x ^ (x >> 31)).leading_zeros() as i32 - 1;
            let (quotient, shift) = (saturating_rounding_doubling_high_mul(x << headroom, inverse), s - bits - headroom);
            let scaled = match shift {
                ..-31 => {
                    let product = saturating_rounding_doubling_high_mul(quotient, m);
                    (product >> (-shift & 31)) + i32::from(0 <= product)
                }
                _ => multiply_by_quantized_multiplier(quotient, m, shift),
            };
            clamped(scaled + q[2].1)
        });
        let [up, down] = leaky_multipliers(q[0].0, q[1].0, q[2].0).map(quantize_multiplier);
        let (x, y) = (TensorType { shape: vec![256, 256], ..a.clone() }, y.clone());
        let data: Vec<u8> = (0..=255).flat_map(|b: u8| [b; 256]).collect();
        let (_, got) = run_integers(&op("prelu"), &[(x, data), (b.clone(), all_bytes())], &y);
        for (i, got) in got.into_iter().enumerate() {
            let (x, z) = (values[i / 256] as i32 - q[0].1, values[i % 256] as i32 - q[1].1);
            let scaled = if 0 <= x {
                multiply_by_quantized_multiplier(x, up.0, up.1)
            } else {
                multiply_by_quantized_multiplier(x * z, down.0, down.1)
            };
            assert_eq!(got, clamped(scaled + q[2].1), "{q:?} of {x} and {z}");
        }
    }
}

#[test]
fn selections() {
    for element in [F32, I8, I16, I32, I64, Bool] {
        let bytes_each = element.bytes().unwrap();
        for (name, condition, a, b, shape) in [
            ("select", vec![3, 5], vec![3, 5], vec![3, 5], [3, 5]),
            ("select", vec![3], vec![3, 5], vec![3, 5], [3, 5]),
            ("select", vec![], vec![3, 5], vec![3, 5], [3, 5]),
            ("select_v2", vec![3, 1], vec![5], vec![3, 5], [3, 5]),
        ] {
            let count = |s: &[usize]| s.iter().product::<usize>();
            let truths: Vec<u8> = (0..count(&condition)).map(|i| (i % 3 == 1).into()).collect();
            let [x, z] = [&a, &b].map(|s| bytes(s.len() as u64, count(s) * bytes_each).iter().map(|v| v & 1).collect::<Vec<u8>>());
            let q = |s: &Vec<usize>| TensorType { quantization: None, ..TensorType::new(element, s.clone()) };
            let inputs = [(TensorType::new(Bool, condition.clone()), truths.clone()), (q(&a), x.clone()), (q(&b), z.clone())];
            for got in results(&op(name), &inputs, &TensorType::new(element, [])) {
                for i in 0..15 {
                    let at = |s: &[usize]| match s {
                        [] => 0,
                        [3] | [3, 1] => i / 5,
                        [5] => i % 5,
                        _ => i,
                    };
                    let (from, data) = if truths[at(&condition)] != 0 { (at(&a), &x) } else { (at(&b), &z) };
                    assert_eq!(got[i * bytes_each..][..bytes_each], data[from * bytes_each..][..bytes_each], "{name} {element} {shape:?}");
                }
            }
        }
    }
}

#[test]
fn sums_of_many() {
    for n in [1, 2, 4, 5, 9] {
        let inputs: Vec<_> = (0..n).map(|i| tensor(I32, &[f64::from(i), -3.0, 1e9, 7.0, 2e9])).collect();
        let want = [
            f64::from(n * (n - 1) / 2),
            f64::from(-3 * n),
            (1_000_000_000i32).wrapping_mul(n).into(),
            f64::from(7 * n),
            (2_000_000_000i32).wrapping_mul(n).into(),
        ];
        for got in results(&op("add_n"), &inputs, &TensorType::new(I32, [])) {
            assert_eq!(numbers(I32, &got), want);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let f = |shape: &[usize]| TensorType::new(F32, shape);
    let q = |e, s: f32, z: i64| TensorType::quantized(e, [4], s, z);
    let (b, pair) = (TensorType::new(Bool, [4]), |ty: &TensorType| [ty.clone(), ty.clone()]);
    assert_eq!(refusal(&op("maximum"), &[q(I8, 0.1, 0), q(I8, 0.2, 0)], &q(I8, 0.1, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("maximum"), &[f(&[2]), f(&[3])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("atan2"), &[f(&[1]), f(&[3])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("less"), &pair(&b), &b), Some(Code::TYPES));
    assert_eq!(refusal(&op("less"), &pair(&TensorType::new(I8, [4])), &b), Some(Code::SCALE));
    assert_eq!(refusal(&op("less"), &pair(&q(I8, 1e4, 0)), &b), Some(Code::SCALE));
    assert_eq!(refusal(&op("less"), &[q(I16, 0.1, 0), q(I16, 0.2, 0)], &b), Some(Code::SCALE));
    assert_eq!(refusal(&op("less"), &[q(I16, 0.1, 0), q(I16, 0.1, 0)], &b), None);
    assert_eq!(refusal(&op("squared_difference"), &pair(&q(I8, 1e10, 0)), &q(I8, 1e-10, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("tanh"), &[q(I16, 1e-4, 0)], &q(I16, 1e-4, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("tanh"), &[q(I16, 1e-4, 3)], &q(I16, 1.0 / 32768.0, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("tanh"), &[q(I16, 1e6, 0)], &q(I16, 1.0 / 32768.0, 0)), Some(Code::SCALE));
    for name in ["rsqrt", "exp", "log", "abs"] {
        assert_eq!(refusal(&op(name), &[q(I16, 0.1, 0)], &q(I16, 0.1, 1)), Some(Code::SCALE), "{name}");
        assert_eq!(refusal(&op(name), &[TensorType::new(I8, [4])], &TensorType::new(I8, [4])), Some(Code::SCALE), "{name}");
    }
    assert_eq!(refusal(&op("abs"), &[q(I8, 1e20, 0)], &q(I8, 1e-20, 0)), Some(Code::SCALE));
    let leaky = |alpha| with("leaky_relu", "alpha", Field::Float(alpha));
    assert_eq!(refusal(&leaky(f32::INFINITY), &[q(I8, 0.1, 0)], &q(I8, 0.1, 0)), Some(Code::ATTRIBUTE));
    assert_eq!(refusal(&leaky(1e20), &[q(I8, 0.1, 0)], &q(I8, 0.1, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&leaky(0.1), &[q(I16, 0.1, 1)], &q(I16, 0.1, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("prelu"), &[f(&[1, 3]), f(&[2, 3])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("prelu"), &pair(&q(I8, 1e10, 0)), &q(I8, 1e-10, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("hard_swish"), &[q(I8, 1.0, 0)], &q(I8, 1e-4, 0)), Some(Code::SCALE));
    let div = with("div", "activation", Field::Word("none".into()));
    assert_eq!(refusal(&div, &[q(I8, 1e10, 0), q(I8, 1.0, 0)], &q(I8, 1.0, 0)), Some(Code::SCALE));
    assert_eq!(refusal(&op("add_n"), &[f(&[2]), f(&[1])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("select"), &[b.clone(), f(&[4]), f(&[1])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("select"), &[b.clone(), f(&[3, 4]), f(&[3, 4])], &f(&[])), Some(Code::OPERAND));
    assert_eq!(refusal(&op("select_v2"), &[b, q(I8, 0.1, 0), q(I8, 0.2, 0)], &q(I8, 0.1, 0)), Some(Code::SCALE));
}
