//! Functions of two numbers at the same place, with broadcasting: integers are taken as they are.
//!
//! Not sums and products of quantised numbers, which are rescaled. Quantised operands and results have one scale and zero point, which the
//! reference leaves unchecked. Integers wrap.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::pointwise::Pointwise;
use crate::lower::{atan2_double, integers, math};
use crate::tensor::ElementType::{Bool, F32, F64, I8, I16, I32, I64, U8, U16, U32};
use crate::text::fields::fields;
use cranelite_tile::{Elem, KernelBuilder, Machine, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Pair {
    types: &'static [Row],
    /// Otherwise both have one shape.
    broadcasts: bool,
    f: fn(&mut KernelBuilder, &Machine, Value, Value) -> Value,
}

const ORDERED: &[Row] = &[Row::Same(&[F32, I8, U8, I16, I32, I64])];
const TRUTHS: &[Row] = &[Row::Same(&[Bool])];
const SHORT: &[Row] = &[Row::Same(&[I8, U8, I16, U16, I32, U32])];
const STABLEHLO: &[Row] = &[Row::Same(&[F32, I8, U8, I16, I32, U32, I64])];

family! { Pair:
    /// The angle of the point (b, a); of f64 the nearest number, where the one beside it may be that of the reference
    atan2 = Pair { types: &[Row::Same(&[F32, F64])], broadcasts: false, f: |k, m, y, x| match k.ty(y).elem {
        Elem::F32 => math::atan2(k, m, y, x),
        _ => atan2_double::atan2(k, m, y, x),
    } };
    /// The bits in which a and b differ
    bitwise_xor = Pair { types: SHORT, broadcasts: true, f: |k, _, a, b| k.xor(a, b) };
    /// a / b, rounded down; the reference stops where an integer is divided by zero, here that gives 0
    floor_div = Pair { types: &[Row::Same(&[F32, I8, I16, I32])], broadcasts: true, f: |k, _, a, b| match k.ty(a).elem {
        Elem::F32 => math::floor_quotient(k, a, b),
        _ => integers::divide(k, a, b, true),
    } };
    /// What is left of a after division by b, with the sign of b; the reference stops at integer zeros, where here a is left
    floor_mod = Pair { types: &[Row::Same(&[F32, I8, I16, I32, I64])], broadcasts: true, f: |k, _, a, b| match k.ty(a).elem {
        Elem::F32 => math::floor_modulo(k, a, b),
        _ => integers::modulo(k, a, b),
    } };
    /// a where both are true
    logical_and = Pair { types: TRUTHS, broadcasts: true, f: |k, _, a, b| k.and(a, b) };
    /// Whether one of them is true
    logical_or = Pair { types: TRUTHS, broadcasts: true, f: |k, _, a, b| k.or(a, b) };
    /// a if it is larger, else b: NaN of a gives b
    maximum = Pair { types: ORDERED, broadcasts: true, f: |k, _, a, b| k.max(a, b) };
    /// a if it is smaller, else b: NaN of a gives b
    minimum = Pair { types: ORDERED, broadcasts: true, f: |k, _, a, b| k.min(a, b) };
    /// a to the power of b; the reference stops at negative powers of integers
    pow = Pair { types: &[Row::Same(&[F32, I32])], broadcasts: true, f: |k, m, a, b| match k.ty(a).elem {
        Elem::F32 => math::pow(k, m, a, b),
        _ => integers::power(k, a, b),
    } };
    /// a moved by b bits to the right, b being brought into the range of such counts
    right_shift = Pair { types: SHORT, broadcasts: true, f: |k, _, a, b| integers::shift_right(k, a, b) };
    /// a + b
    stablehlo_add = Pair { types: STABLEHLO, broadcasts: false, f: |k, _, a, b| k.add(a, b) };
    /// The bits that a and b have in common
    stablehlo_and = Pair { types: &[Row::Same(&[Bool, I8, I16, I32, I64])], broadcasts: false, f: |k, _, a, b| k.and(a, b) };
    /// b if it is larger, else a: NaN of b gives a
    stablehlo_maximum = Pair { types: STABLEHLO, broadcasts: false, f: |k, _, a, b| k.max(b, a) };
    /// b if it is smaller, else a: NaN of b gives a
    stablehlo_minimum = Pair { types: STABLEHLO, broadcasts: false, f: |k, _, a, b| k.min(b, a) };
    /// a · b
    stablehlo_multiply = Pair { types: STABLEHLO, broadcasts: false, f: |k, _, a, b| match k.ty(a).elem {
        Elem::F32 => k.mul(a, b),
        _ => integers::multiply(k, a, b),
    } };
    /// a moved by b bits to the left
    stablehlo_shift_left = Pair { types: &[Row::Same(&[I8, I16, I32])], broadcasts: false, f: |k, _, a, b| integers::shift_left(k, a, b) };
}

impl Family for Pair {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        for x in [a, b] {
            checks::same_quantization(x, y)?;
        }
        if !self.broadcasts && a.shape != b.shape {
            return Err(Diagnostic::new(Code::OPERAND, "both operands must have the same shape")
                .expected(format!("{:?}", a.shape))
                .found(format!("{:?}", b.shape)));
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn is_pointwise(&self, _: &Attributes, _: &Signature) -> bool {
        true
    }

    fn pointwise<'a>(&self, _: &Attributes, m: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let f = self.f;
        Ok(Some(Pointwise::elements(move |k, x| f(k, m, x[0], x[1])).unroll(1)))
    }
}
