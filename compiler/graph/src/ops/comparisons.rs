//! Comparisons of two numbers at the same place, with broadcasting.
//!
//! f32 (with NaN only "not equal" is true); whole numbers; bool for equality; i8, u8 quantised per tensor, in the fixed point of the
//! reference: (q − zero point) · 2^8 is multiplied by the scale and rounded, so that with small scales different integers may be equal.
//! int16 is so where it is quantised and compared for equality; else as it is, so that both operands have one scale and zero point. Beyond the reference: scales of 1 and more, where it aborts or shifts by
//! negative numbers.

use super::family::{Family, family};
use super::types::{Row, T};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::convert;
use crate::lower::pointwise::Pointwise;
use crate::lower::requantize::Scale;
use crate::quantize::{element_range, multiply_by_quantized_multiplier, quantize_multiplier};
use crate::tensor::ElementType::{self, Bool, F32, I8, I16, I32, I64, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, KernelBuilder, Machine, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Comparison {
    types: &'static [Row],
    cond: Cond,
}

const ORDERED: &[Row] = &[Row::With(&[F32, I8, U8, I16, I32, I64], &[T, T], &[&[Bool]])];
const EQUATED: &[Row] = &[Row::With(&[F32, I8, U8, I16, I32, I64, Bool], &[T, T], &[&[Bool]])];

family! { Comparison:
    /// a = b
    equal = Comparison { types: EQUATED, cond: Cond::Eq };
    /// a > b
    greater = Comparison { types: ORDERED, cond: Cond::Gt };
    /// a ≥ b
    greater_equal = Comparison { types: ORDERED, cond: Cond::Ge };
    /// a < b
    less = Comparison { types: ORDERED, cond: Cond::Lt };
    /// a ≤ b
    less_equal = Comparison { types: ORDERED, cond: Cond::Le };
    /// a ≠ b
    not_equal = Comparison { types: EQUATED, cond: Cond::Ne };
}

impl Family for Comparison {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b) = (s.input(0)?, s.input(1)?);
        match self.is_scaled(a) {
            true => {
                // Differences of 9 bits, or 17, raised by 8.
                let most = if a.element == I16 { 5 } else { 13 };
                for (what, ty) in [("input 0", a), ("input 1", b)] {
                    let (scale, _) = checks::per_tensor(what, ty)?;
                    if most < Common::of(ty).shift {
                        return Err(Diagnostic::new(Code::SCALE, format!("the scale of {what} is too large to compare"))
                            .expected(format!("below {}", 1 << most))
                            .found(scale.to_string()));
                    }
                }
            }
            false => checks::same_quantization(a, b)?,
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn is_pointwise(&self, _: &Attributes, _: &Signature) -> bool {
        true
    }

    fn pointwise<'a>(&self, _: &Attributes, _: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let (a, b, cond) = (s.input(0)?, s.input(1)?, self.cond);
        let common = [a, b].map(Common::of);
        let is_plain = !self.is_scaled(a) || (common[0] == common[1] && common[0].is_injective(a.element));
        Ok(Some(
            Pointwise::elements(move |k, x| {
                let [a, b] = if is_plain { [x[0], x[1]] } else { [0, 1].map(|i| common[i].apply(k, x[i])) };
                let mask = k.compare(cond, a, b);
                convert::truth(k, mask)
            })
            .unroll(1),
        ))
    }
}

impl Comparison {
    /// Whether integers of this type are compared in the fixed point of the reference.
    fn is_scaled(&self, ty: &TensorType) -> bool {
        match ty.element {
            I8 | U8 => true,
            I16 => ty.quantization.is_some() && matches!(self.cond, Cond::Eq | Cond::Ne),
            _ => false,
        }
    }
}

/// How an integer comes to the scale in which it is compared.
#[derive(Clone, Copy, PartialEq)]
struct Common {
    zero_point: i32,
    multiplier: i32,
    shift: i32,
}

impl Common {
    fn of(ty: &TensorType) -> Common {
        let (multiplier, shift) = quantize_multiplier(ty.scale().unwrap_or(1.0).into());
        Common { zero_point: ty.zero_point() as i32, multiplier, shift }
    }

    fn scalar(self, q: i32) -> i32 {
        multiply_by_quantized_multiplier((q - self.zero_point) << 8, self.multiplier, self.shift)
    }

    /// Whether different integers stay so, and in order.
    fn is_injective(self, element: ElementType) -> bool {
        let (low, high) = element_range(element).expect("a quantised type");
        (low..high).all(|q| self.scalar(q) < self.scalar(q + 1))
    }

    fn apply(self, k: &mut KernelBuilder, x: Value) -> Value {
        let wide = k.widen(x, Elem::I32);
        let zero_point = k.int(k.ty(wide), self.zero_point.into());
        let moved = k.sub(wide, zero_point);
        let raised = k.shl_imm(moved, 8);
        Scale::constant(k, k.ty(wide).lanes as usize, self.multiplier, self.shift).apply(k, raised)
    }
}
