//! CAST: the same number in another element type.
//!
//! Between all floats, integers, bool and c64, of which the real part counts. Floats to integers are cut off toward zero; what does not fit
//! becomes the nearest number that there is, and NaN the largest, as in LiteRT. Integers to shorter ones lose the upper bits. True is what is
//! not zero, NaN too. The types that the options name are not looked at, as in the reference.

use crate::diagnostic::Diagnostic;
use crate::lower::convert;
use crate::lower::pointwise::Pointwise;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{self, Bool, Complex64, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32};
use crate::text::fields::fields;
use cranelite_tile::Machine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

const NUMBERS: &[ElementType] = &[F32, F16, F64, I8, U8, I16, U16, I32, U32, I64, Bool, Complex64];

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[NUMBERS], &[NUMBERS])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn is_pointwise(&self, _: &Signature) -> bool {
        true
    }

    fn pointwise<'a>(&self, _: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let (from, to) = (s.input(0)?.element, s.output(0).element);
        Ok(Some(Pointwise::elements(move |k, x| convert::cast(k, x[0], from, to)).unroll(1)))
    }
}
