//! Functions of one number that need no rescaling.
//!
//! Not functions of quantised numbers (`curves.rs`). Integers wrap: the negative of the smallest one is itself.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::lower::pointwise::Pointwise;
use crate::tensor::ElementType::{Bool, F32, F64, I32, I64};
use crate::text::fields::fields;
use cranelite_tile::{Cond, KernelBuilder, Machine, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Map {
    types: &'static [Row],
    f: fn(&mut KernelBuilder, &Machine, Value) -> Value,
}

const FLOATS: &[Row] = &[Row::Same(&[F32])];

family! { Map:
    /// The smallest integer that is no less than x
    ceil = Map { types: FLOATS, f: |k, _, x| k.unary(Unary::Ceil, x) };
    /// The largest integer that is no more than x
    floor = Map { types: FLOATS, f: |k, _, x| k.unary(Unary::Floor, x) };
    /// Whether x is false
    logical_not = Map { types: &[Row::Same(&[Bool])], f: |k, _, x| {
        let one = k.int(k.ty(x), 1);
        k.xor(x, one)
    } };
    /// −x
    neg = Map { types: &[Row::Same(&[F32, I32, I64])], f: |k, _, x| k.neg(x) };
    /// To the nearest integer, halves to even ones
    round = Map { types: FLOATS, f: |k, _, x| k.unary(Unary::RoundEven, x) };
    /// −1, 0 or 1; of NaN NaN
    sign = Map { types: &[Row::Same(&[F32, F64, I32])], f: |k, _, x| {
        let ty = k.ty(x);
        let [one, zero, minus_one] = [1, 0, -1].map(|n| if ty.elem.is_float() { k.float(ty, n as f32) } else { k.int(ty, n) });
        let (is_positive, is_negative) = (k.compare(Cond::Gt, x, zero), k.compare(Cond::Lt, x, zero));
        let y = k.select(is_negative, minus_one, x);
        k.select(is_positive, one, y)
    } };
    /// √x
    sqrt = Map { types: FLOATS, f: |k, _, x| k.unary(Unary::Sqrt, x) };
    /// x · x
    square = Map { types: FLOATS, f: |k, _, x| k.mul(x, x) };
}

impl Family for Map {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn is_pointwise(&self, _: &Attributes, _: &Signature) -> bool {
        true
    }

    fn pointwise<'a>(&self, _: &Attributes, m: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let f = self.f;
        Ok(Some(Pointwise::elements(move |k, x| f(k, m, x[0]))))
    }
}
