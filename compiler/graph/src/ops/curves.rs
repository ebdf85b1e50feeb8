//! Curves: functions of one number that quantised tensors take by a table.
//!
//! f32 in tile operations (`lower/math.rs`); i8, u8 quantised per tensor, by a table of all 256 results; i16 by straight lines between
//! entries of a table, with zero points 0. Where a row says nothing else, tables are computed in f32, as in the reference, whose functions may
//! differ by a unit in the last place.

use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::{Context, math, table};
use crate::quantize::{
    HardSwish, LOGISTIC_I16_SCALE_END, checked_log2, elu_f32, exp_f32, log_f32, logistic_f32, logistic_multiplier_i16, lut_8bit,
    lut_i16_f32, quantize_multiplier, real_range, rsqrt_i8, rsqrt_multiplier, sigmoid_table_u16, tanh_f32, tanh_multiplier_i16,
};
use crate::tensor::ElementType::{F32, I8, I16, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{KernelBuilder, Machine, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

/// The result of every byte.
type Table = [u8; 256];

pub struct Curve {
    types: &'static [Row],
    float: fn(&mut KernelBuilder, &Machine, Value) -> Value,
    /// What else there is to check of quantised operand and result.
    check: fn(&TensorType, &TensorType) -> Result<(), Diagnostic>,
    /// Lowers quantised operand and result.
    quantized: fn(&mut Context, Elementwise, &TensorType, &TensorType),
    /// The results of all bytes, where i8 and u8 have them by the same arithmetic.
    table: Option<fn(&TensorType, &TensorType) -> Option<Table>>,
}

family! { Curve:
    /// x, of negative numbers e^x − 1
    elu = Curve {
        types: &[Row::Same(&[F32, I8])],
        float: math::elu,
        check: |_, _| Ok(()),
        quantized: |cx, e, x, y| tabulated(cx, e, x, y, elu_f32),
        table: None,
    };
    /// e^x
    exp = Curve {
        types: &[Row::Same(&[F32, I8, I16])],
        float: math::exp,
        check: |_, _| Ok(()),
        quantized: |cx, e, x, y| tabulated(cx, e, x, y, exp_f32),
        table: None,
    };
    /// x · min(max(x + 3, 0), 6) / 6; quantised, in the 16-bit fixed point of the reference, which demands an output scale that is not much
    /// smaller than that of the input
    hard_swish = Curve {
        types: &[Row::Same(&[F32, I8, U8])],
        float: hard_swish_f32,
        check: hard_swish_scales,
        quantized: |cx, e, x, y| table::bytes(cx, e, &hard_swish_table(x, y).expect("infer has checked the scales")),
        table: Some(hard_swish_table),
    };
    /// The natural logarithm; quantised, of zero and less the smallest integer
    log = Curve {
        types: &[Row::Same(&[F32, I8, I16])],
        float: math::log,
        check: |_, _| Ok(()),
        quantized: |cx, e, x, y| {
            let least = real_range(y.element, parameters(y)).0;
            tabulated(cx, e, x, y, |x| if x <= 0.0 { least } else { log_f32(x) });
        },
        table: None,
    };
    /// 1 / (1 + e^−x); the scale of quantised results is 1/256, of int16 1/32768. An int16 scale whose multiplier does not fit 32 bits is
    /// refused
    logistic = Curve {
        types: &[Row::Same(types::REAL)],
        float: math::logistic,
        check: logistic_scales,
        quantized: logistic_table,
        table: Some(|x, y| lut_8bit(x.element, parameters(x), parameters(y), logistic_f32)),
    };
    /// 1 / √x; int8 in fixed point. The reference stops at numbers below zero; here, as of zero, their result is the largest integer
    rsqrt = Curve {
        types: &[Row::Same(&[F32, I8, I16])],
        float: rsqrt_f32,
        check: |_, _| Ok(()),
        quantized: rsqrt_table,
        table: None,
    };
    /// (e^x − e^−x) / (e^x + e^−x); int16 by the table of LOGISTIC, with the scale 1/32768 of results. An int16 scale whose multiplier does
    /// not fit 32 bits is refused
    tanh = Curve {
        types: &[Row::Same(types::REAL)],
        float: math::tanh,
        check: tanh_scales,
        quantized: tanh_table,
        table: Some(|x, y| lut_8bit(x.element, parameters(x), parameters(y), tanh_f32)),
    };
}

impl Family for Curve {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            checks::no_zero_points_of_words(x, y)?;
            (self.check)(x, y)?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn is_pointwise(&self, _: &Attributes, s: &Signature) -> bool {
        s.output(0).element == F32
    }

    fn pointwise<'a>(&self, _: &Attributes, m: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let f = self.float;
        Ok(Some(Pointwise::elements(move |k, x| f(k, m, x[0])).unroll(2)))
    }

    fn moves(&self, _: &Attributes, s: &Signature) -> Moves {
        match (s.input(0), self.table) {
            (Ok(x), Some(table)) if x.element == I8 => Moves::by_table(x, s.output(0), table),
            _ => Moves::None,
        }
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.own_type(node));
        if y.element == F32 {
            return pointwise::lower(cx, node);
        }
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        (self.quantized)(cx, e, x, y);
        Ok(())
    }
}

fn parameters(t: &TensorType) -> (f32, i32) {
    (t.scale().unwrap_or(1.0), t.zero_point() as i32)
}

/// By a table of `f`: of all bytes, or of 513 numbers with straight lines between their results.
fn tabulated(cx: &mut Context, e: Elementwise, x: &TensorType, y: &TensorType, f: impl Fn(f32) -> f32) {
    match lut_8bit(y.element, parameters(x), parameters(y), &f) {
        Some(entries) => table::bytes(cx, e, &entries),
        None => table::interpolated_i16(cx, e, &lut_i16_f32(parameters(x), parameters(y), &f)),
    }
}

fn hard_swish_f32(k: &mut KernelBuilder, _: &Machine, x: Value) -> Value {
    let ty = k.ty(x);
    let (zero, three, six) = (k.float(ty, 0.0), k.float(ty, 3.0), k.float(ty, 6.0));
    let moved = k.add(x, three);
    let moved = k.max(zero, moved);
    let bounded = k.min(six, moved);
    let product = k.mul(x, bounded);
    k.div(product, six)
}

fn hard_swish_scales(x: &TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    match HardSwish::new(parameters(x), parameters(y)) {
        Some(_) => Ok(()),
        None => Err(Diagnostic::new(Code::SCALE, "the scale of the output is too small for that of the input")
            .expected("more than 1/128 of it")
            .found(format!("{} and {}", parameters(y).0, parameters(x).0))),
    }
}

fn hard_swish_table(x: &TensorType, y: &TensorType) -> Option<[u8; 256]> {
    let numbers = HardSwish::new(parameters(x), parameters(y))?;
    Some(table::entries(y.element, |q| numbers.apply(q)))
}

fn logistic_scales(x: &TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    let wanted = if y.element == I16 { 1.0 / 32768.0 } else { 1.0 / 256.0 };
    if parameters(y).0 != wanted {
        return Err(Diagnostic::new(Code::SCALE, "scale of the output is not that of probabilities")
            .expected(wanted.to_string())
            .found(parameters(y).0.to_string()));
    }
    multiplier_fits(x)
}

fn logistic_table(cx: &mut Context, e: Elementwise, x: &TensorType, y: &TensorType) {
    match lut_8bit(x.element, parameters(x), parameters(y), logistic_f32) {
        Some(entries) => table::bytes(cx, e, &entries),
        None => {
            let lines = table::sigmoid_lines(cx, &sigmoid_table_u16(), 0xFFFE);
            let scale = logistic_multiplier_i16(parameters(x).0);
            e.table(lines).lower(cx, |k, x, tables| table::logistic_i16(k, tables[0], x[0], scale));
        }
    }
}

fn tanh_scales(x: &TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    if y.element == I16 && checked_log2(parameters(y).0) != Some((-15, true)) {
        return Err(Diagnostic::new(Code::SCALE, "scale of the output is not that of a hyperbolic tangent")
            .expected("1/32768")
            .found(parameters(y).0.to_string()));
    }
    multiplier_fits(x)
}

fn tanh_table(cx: &mut Context, e: Elementwise, x: &TensorType, y: &TensorType) {
    match lut_8bit(x.element, parameters(x), parameters(y), tanh_f32) {
        Some(entries) => table::bytes(cx, e, &entries),
        None => {
            let lines = table::sigmoid_lines(cx, &sigmoid_table_u16(), 0xFFFF);
            let scale = tanh_multiplier_i16(parameters(x).0);
            e.table(lines).lower(cx, |k, x, tables| table::tanh_i16(k, tables[0], x[0], scale));
        }
    }
}

/// The reference converts the multiplier of int16 numbers to an int32, and where it is larger such a conversion means nothing.
fn multiplier_fits(x: &TensorType) -> Result<(), Diagnostic> {
    let scale = parameters(x).0;
    if x.element != I16 || scale < LOGISTIC_I16_SCALE_END {
        return Ok(());
    }
    Err(Diagnostic::new(Code::SCALE, "the scale of the input is too large")
        .expected(format!("less than {LOGISTIC_I16_SCALE_END}"))
        .found(scale.to_string()))
}

fn rsqrt_f32(k: &mut KernelBuilder, _: &Machine, x: Value) -> Value {
    let (one, root) = (k.float(k.ty(x), 1.0), k.unary(Unary::Sqrt, x));
    k.div(one, root)
}

fn rsqrt_table(cx: &mut Context, e: Elementwise, x: &TensorType, y: &TensorType) {
    let ((from_scale, from), (to_scale, to)) = (parameters(x), parameters(y));
    if y.element == I8 {
        let scale = quantize_multiplier(rsqrt_multiplier(from_scale, to_scale));
        return table::bytes(cx, e, &std::array::from_fn(|q| rsqrt_i8(q as u8 as i8, from, scale, to) as u8));
    }
    let largest = f32::from(i16::MAX) * to_scale;
    let f = |x: f32| if x <= 0.0 { largest } else { 1.0 / x.sqrt() };
    table::interpolated_i16(cx, e, &lut_i16_f32((from_scale, 0), (to_scale, 0), f));
}
