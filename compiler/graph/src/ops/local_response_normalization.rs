//! LOCAL_RESPONSE_NORMALIZATION: each channel times (bias + alpha · Σ x²)^−beta, summed over the channels next to it; NHWC, f32.
//!
//! As in the reference, the channels are those from `radius` before it to `radius` − 1 after it.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, normalize};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub radius: usize,
    pub bias: f32,
    pub alpha: f32,
    pub beta: f32,
}
fields!(radius, bias, alpha, beta);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_local_response_normalization_options() else {
            return Ok(Attributes { radius: 0, bias: 0.0, alpha: 0.0, beta: 0.0 });
        };
        // Of a negative radius there are no channels, as of 0.
        Ok(Attributes { radius: usize::try_from(o.radius()).unwrap_or(0), bias: o.bias(), alpha: o.alpha(), beta: o.beta() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::image("the input", x)?;
        if let Some(n) = [self.bias, self.alpha, self.beta].into_iter().find(|n| !n.is_finite()) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "bias, alpha and beta must be finite numbers").found(n.to_string()));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let Attributes { radius, bias, alpha, beta } = *self;
        normalize::local(cx, node, normalize::Local { radius, bias, alpha, beta });
        Ok(())
    }
}
