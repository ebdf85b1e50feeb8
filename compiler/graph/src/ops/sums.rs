//! Sums: a + b and a − b with broadcasting and a fused activation.
//!
//! f32; i32 and i64, which wrap; i8, u8, i16 quantised per tensor, in the fixed-point arithmetic of `lower/sum.rs`. As in the reference,
//! int16 whose scales are powers of two only shifts, if the model allows it. Beyond the reference: results whose scale is so small that the
//! sum grows are computed, where it aborts.

use super::attributes::Activation;
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::Diagnostic;
use crate::lower::pointwise::Pointwise;
use crate::lower::requantize::{Target, clamp_float, clamp_integer};
use crate::lower::sum;
use crate::tensor::ElementType::{F32, I32, I64};
use crate::text::fields::fields;
use cranelite_schema::{ActivationFunctionType, Operator};
use cranelite_tile::{Binary, Machine};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub pot_scale_int16: bool,
}
fields!(activation, pot_scale_int16);

pub struct Sum {
    types: &'static [Row],
    op: Binary,
    options: fn(&Operator) -> Option<(ActivationFunctionType, bool)>,
}

family! { Sum:
    /// a + b
    add = Sum {
        types: &[Row::Same(types::REAL), Row::Same(types::WHOLE)],
        op: Binary::Add,
        options: |o| o.builtin_options_as_add_options().map(|o| (o.fused_activation_function(), o.pot_scale_int16())),
    };
    /// a − b
    sub = Sum {
        types: &[Row::Same(types::REAL), Row::Same(types::WHOLE)],
        op: Binary::Sub,
        options: |o| o.builtin_options_as_sub_options().map(|o| (o.fused_activation_function(), o.pot_scale_int16())),
    };
}

impl Family for Sum {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        // Without options the reference reads zeros.
        let (activation, pot_scale_int16) = (self.options)(&source.operator).unwrap_or((ActivationFunctionType::NONE, false));
        Ok(Attributes { activation: Activation::decode(activation)?, pot_scale_int16 })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, z, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            sum::Sum::new([x, z], y, a.pot_scale_int16)?;
            Target::new(y, a.activation)?;
        }
        Ok(vec![checks::broadcast(&x.shape, &z.shape)?])
    }

    fn activation<'a>(&self, a: &'a mut Attributes) -> Option<&'a mut Activation> {
        Some(&mut a.activation)
    }

    fn is_pointwise(&self, _: &Attributes, _: &Signature) -> bool {
        true
    }

    fn pointwise<'a>(&self, a: &Attributes, m: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let (inputs, output) = ([s.input(0)?, s.input(1)?], s.output(0));
        let (op, activation) = (self.op, a.activation);
        Ok(Some(match output.element {
            F32 => Pointwise::elements(move |k, x| {
                let sum = k.binary(op, x[0], x[1]);
                clamp_float(k, sum, activation)
            }),
            I32 | I64 => Pointwise::elements(move |k, x| {
                let sum = k.binary(op, x[0], x[1]);
                clamp_integer(k, sum, activation)
            }),
            _ => sum::pointwise(m, inputs, output, op, a.pot_scale_int16, activation)?,
        }))
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        Moves::Together
    }
}
