//! ADD: a + b with broadcasting and a fused activation.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::lower::requantize::clamp_float;
use crate::ops::attributes::Activation;
use crate::ops::{Arity, Operator, Signature, Source, checks};
use crate::tensor::ElementType;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub pot_scale_int16: bool,
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: 2, outputs: 1 };
    const TYPES: &'static str = "f32";

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        // Without options the reference reads zeros.
        let Some(options) = source.operator.builtin_options_as_add_options() else {
            return Ok(Attributes { activation: Activation::None, pot_scale_int16: false });
        };
        Ok(Attributes { activation: Activation::decode(options.fused_activation_function())?, pot_scale_int16: options.pot_scale_int16() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::one_element(s, &[ElementType::F32])?;
        Ok(vec![checks::broadcast(&s.input(0)?.shape, &s.input(1)?.shape)?])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        Elementwise::of_node(cx, "add_f32", node).unroll(4).lower(cx, |k, x, _| {
            let sum = k.add(x[0], x[1]);
            clamp_float(k, sum, self.activation)
        });
        Ok(())
    }
}
