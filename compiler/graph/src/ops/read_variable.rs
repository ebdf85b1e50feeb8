//! READ_VARIABLE: what was assigned to a variable last, in this invocation or an earlier one.
//!
//! Any element type of a fixed size. The import makes a state of the variable that the operand names, so that here the operand has the
//! variable's type. The result is a copy, unless nothing changes the variable afterwards.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::{Context, copy};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::SIZED)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let Some(state) = node.input(0) else { return Ok(()) };
        if !cx.changes_later(state) && cx.alias(node.outputs[0], state) {
            return Ok(());
        }
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        copy::whole(cx, from, to);
        Ok(())
    }
}
