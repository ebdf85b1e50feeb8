//! ASSIGN_VARIABLE: a variable keeps a tensor until something else is assigned to it.
//!
//! Any element type of a fixed size. The import makes a state of the variable that the first operand names. A variable has one type and
//! shape; that LiteRT lets an assignment change the shape is refused, since states are planned when the model is compiled.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, copy};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 0..=0 };
    const TYPES: &'static [Row] = &[Row::Same(types::SIZED)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (variable, value) = (s.input(0)?, s.input(1)?);
        if variable.shape != value.shape {
            return Err(Diagnostic::new(Code::OPERAND, "the value that is assigned has another shape than the variable")
                .detail("input 1")
                .expected(format!("{:?}", variable.shape))
                .found(format!("{:?}", value.shape)));
        }
        Ok(vec![])
    }

    fn writes(&self) -> Vec<usize> {
        vec![0]
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (to, from) = (cx.input(node, 0), cx.input(node, 1));
        if to != from {
            copy::whole(cx, from, to);
        }
        Ok(())
    }
}
