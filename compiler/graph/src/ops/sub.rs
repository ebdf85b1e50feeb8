//! SUB: a − b with broadcasting and a fused activation.
//!
//! f32; i8, u8, i16 quantised per tensor, in the fixed-point arithmetic of `lower/sum.rs`. As in the reference, int16 whose scales
//! are powers of two only shifts, if the model allows it.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{Target, clamp_float};
use crate::lower::{Context, sum};
use crate::ops::attributes::Activation;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;
use cranelite_tile::{Binary, Machine};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub pot_scale_int16: bool,
}
fields!(activation, pot_scale_int16);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        // Without options the reference reads zeros.
        let Some(options) = source.operator.builtin_options_as_sub_options() else {
            return Ok(Attributes { activation: Activation::None, pot_scale_int16: false });
        };
        Ok(Attributes { activation: Activation::decode(options.fused_activation_function())?, pot_scale_int16: options.pot_scale_int16() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            sum::Sum::new([a, b], y, self.pot_scale_int16)?;
            Target::new(y, self.activation)?;
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn pointwise<'a>(&self, m: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let (inputs, output, activation) = ([s.input(0)?, s.input(1)?], s.output(0), self.activation);
        Ok(Some(match output.element {
            F32 => Pointwise::floats(move |k, x| {
                let difference = k.sub(x[0], x[1]);
                clamp_float(k, difference, activation)
            }),
            _ => sum::pointwise(m, inputs, output, Binary::Sub, self.pot_scale_int16, activation)?,
        }))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        pointwise::lower(cx, self, "sub", node)
    }
}
