//! IF: one of two subgraphs, by a condition, of the same operands.
//!
//! The condition is one bool. Both branches must give results of the same shapes, but for first dimensions, which are counted where they differ; where
//! the condition is a constant, the import takes the branch that runs instead of the operator, and the other one need not compile.

use super::bodies::{self, of_bodies, runs_bodies};
use super::types::Row;
use super::{Arity, Control, Kept, Operator, Signature, Source};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, control};
use crate::tensor::ElementType;
use cranelite_schema as schema;
use cranelite_tile::Step;

of_bodies!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=usize::MAX, kept: Kept::All, outputs: 0..=usize::MAX };
    const TYPES: &'static [Row] = &[Row::Of(&[&[ElementType::Bool], bodies::ANY], &[bodies::ANY])];

    fn control(o: &schema::Operator) -> Option<Control> {
        let options = o.builtin_options_as_if_options();
        let subgraphs = options.map_or([0, 0], |o| [o.then_subgraph_index(), o.else_subgraph_index()]);
        let chosen = |element, bytes: &[u8]| (element == ElementType::Bool && bytes.len() == 1).then(|| usize::from(bytes[0] == 0));
        Some(Control { subgraphs: subgraphs.to_vec(), first_input: 1, chosen: Some(chosen) })
    }

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { bodies: source.bodies.clone() })
    }

    runs_bodies!(1);

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        one_condition(s)?;
        if self.bodies.len() != 2 {
            return Err(Diagnostic::new(Code::ARITY, "IF has two branches").found(self.bodies.len().to_string()));
        }
        bodies::results_of_any(s, 1, &self.bodies)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let condition = cx.input(node, 0);
        let then = control::branch(cx, node, 0, 1)?;
        let otherwise = control::branch(cx, node, 1, 1)?;
        cx.step(Step::If { condition, then, otherwise });
        Ok(())
    }
}

fn one_condition(s: &Signature) -> Result<(), Diagnostic> {
    let condition = s.input(0)?;
    if condition.element_count() != 1 {
        let d = Diagnostic::new(Code::OPERAND, "the condition must be one bool").detail("input 0");
        return Err(d.found(format!("shape {:?}", condition.shape)));
    }
    Ok(())
}
