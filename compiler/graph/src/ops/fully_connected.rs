//! FULLY_CONNECTED: not written yet.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::attributes::Activation;
use crate::ops::{Arity, Operator, Signature, Source};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub keep_num_dims: bool,
    pub asymmetric_quantize_inputs: bool,
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=3, kept: 3, outputs: 1 };
    const TYPES: &'static str = "";

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Err(Diagnostic::new(Code::OPERATOR, "operator is not supported"))
    }

    fn infer(&self, _: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Err(Diagnostic::new(Code::OPERATOR, "operator is not supported"))
    }

    fn lower(&self, _: &mut Context, _: &Node) -> Result<(), Diagnostic> {
        Err(Diagnostic::new(Code::OPERATOR, "operator is not supported"))
    }
}
