//! WHILE: a subgraph again and again, of its own results, as long as another one of the same operands gives true.
//!
//! The condition is one bool. Operands keep their shapes from turn to turn, but for first dimensions that are counted: more rows than there is room
//! for end the invocation. Where shapes change otherwise, the import writes the turns one after the other, if it knows how many there are. What the body hands on as it is stays where it is; all else has one place, which the body's results are copied to unless
//! they can be computed there.
//!
//! The reference copies results one after the other to where the operands are: of operands that change places the later one gets what the earlier one
//! has become, not what it was, except in the condition. The import writes that into the body's outputs, so that from then on all change at once.

use super::bodies::{self, of_bodies, runs_bodies};
use super::types::Row;
use super::{Arity, Control, Kept, Operator, Signature, Source};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Graph, Node, ValueId};
use crate::lower::{Context, control};
use crate::tensor::ElementType;
use crate::text::print::type_text;
use cranelite_schema as schema;

of_bodies!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 0..=usize::MAX, kept: Kept::All, outputs: 0..=usize::MAX };
    const TYPES: &'static [Row] = &[Row::Of(&[bodies::ANY], &[bodies::ANY])];

    fn control(o: &schema::Operator) -> Option<Control> {
        let options = o.builtin_options_as_while_options();
        let subgraphs = options.map_or([0, 0], |o| [o.cond_subgraph_index(), o.body_subgraph_index()]);
        Some(Control { subgraphs: subgraphs.to_vec(), first_input: 0, chosen: None })
    }

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let mut bodies = source.bodies.clone();
        if let [test, body] = &mut bodies[..] {
            in_turn(test, body)?;
        }
        Ok(Attributes { bodies })
    }

    runs_bodies!(0);

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let [test, body] = &self.bodies[..] else {
            return Err(Diagnostic::new(Code::ARITY, "WHILE has a condition and a body").found(self.bodies.len().to_string()));
        };
        bodies::takes(s, 0, test)?;
        bodies::takes(s, 0, body)?;
        bodies::gives(s, body)?;
        let condition = test.outputs.iter().map(|v| test.ty(*v)).collect::<Vec<_>>();
        if !matches!(condition[..], [ty] if ty.element == ElementType::Bool && ty.element_count() == 1) {
            let found: Vec<String> = condition.into_iter().map(type_text).collect();
            let found = if found.is_empty() { "no output".into() } else { found.join(", ") };
            return Err(Diagnostic::new(Code::OPERAND, "the condition must give one bool").found(found));
        }
        if body.inputs.len() != body.outputs.len() {
            let d = Diagnostic::new(Code::ARITY, "the body gives another number of results than it takes operands");
            return Err(d.expected(body.inputs.len().to_string()).found(body.outputs.len().to_string()));
        }
        for (i, (before, after)) in body.inputs.iter().zip(&body.outputs).enumerate() {
            let (before, after) = (body.ty(*before), body.ty(*after));
            let is_counted = [(body, body.inputs[i]), (body, body.outputs[i])].iter().all(|(b, v)| b.counts.contains_key(v));
            // More rows than there is room for end the invocation.
            let fits = is_counted && before.shape[1..] == after.shape[1..] && before.shape[0] <= after.shape[0];
            if before.element != after.element || before.shape != after.shape && !fits {
                return Err(Diagnostic::new(Code::OPERAND, "an operand of the loop has another shape after a turn")
                    .detail(format!("input {i}"))
                    .expected(type_text(before))
                    .found(type_text(after))
                    .help("give it the largest shape that it can have, and count how much of it is in use"));
            }
        }
        Ok(body.inputs.iter().map(|v| body.ty(*v).shape.clone()).collect())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        control::repeat(cx, node)
    }
}

/// A result that is an operand before it becomes what that operand becomes.
fn in_turn(test: &Graph, body: &mut Graph) -> Result<(), Diagnostic> {
    for i in 0..body.outputs.len().min(body.inputs.len()) {
        let Some(j) = body.inputs[..i].iter().position(|v| *v == body.outputs[i]) else { continue };
        if body.outputs[j] == body.inputs[j] {
            continue;
        }
        if body.counts.contains_key(&body.outputs[i]) {
            let d = Diagnostic::new(Code::FEATURE, "an operand whose size changes gets the number of one before it")
                .detail(format!("input {i}"));
            return Err(d.help("copy the operand in the body before it is handed on"));
        }
        let is_read = |v: &ValueId| test.outputs.contains(v) || test.nodes.iter().any(|n| n.reads().any(|r| r == *v));
        if test.inputs.get(i).is_some_and(is_read) {
            return Err(Diagnostic::new(Code::FEATURE, "the condition reads an operand that gets the number of one before it")
                .detail(format!("input {i}"))
                .help("copy the operand in the body before it is handed on"));
        }
        body.outputs[i] = body.outputs[j];
    }
    Ok(())
}
