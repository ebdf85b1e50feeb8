//! CONV_2D: not written yet.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::attributes::{Activation, Padding};
use crate::ops::{Arity, Operator, Signature, Source};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
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
