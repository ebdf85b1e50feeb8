//! STABLEHLO_CASE: one of several subgraphs, by its number, of the same operands; the last one where there is no such number.
//!
//! The number is one i32. All branches must give results of the same shapes, but for first dimensions, which are counted where they differ; a constant
//! number is resolved by the import.

use super::bodies::{self, of_bodies, runs_bodies};
use super::types::Row;
use super::{Arity, Control, Kept, Operator, Signature, Source};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, control};
use crate::tensor::ElementType;
use cranelite_schema as schema;

of_bodies!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=usize::MAX, kept: Kept::All, outputs: 0..=usize::MAX };
    const TYPES: &'static [Row] = &[Row::Of(&[&[ElementType::I32], bodies::ANY], &[bodies::ANY])];

    fn control(o: &schema::Operator) -> Option<Control> {
        let subgraphs = o.builtin_options_2_as_stablehlo_case_options().and_then(|o| o.branch_subgraph_indices());
        let chosen = |element, bytes: &[u8]| {
            let number = i32::from_le_bytes(bytes.try_into().ok().filter(|_| element == ElementType::I32)?);
            // What is negative is no number of a branch, either.
            Some(usize::try_from(number).unwrap_or(usize::MAX))
        };
        Some(Control { subgraphs: subgraphs.into_iter().flatten().collect(), first_input: 1, chosen: Some(chosen) })
    }

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { bodies: source.bodies.clone() })
    }

    runs_bodies!(1);

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let number = s.input(0)?;
        if number.element_count() != 1 {
            let d = Diagnostic::new(Code::OPERAND, "the number of the branch must be one number").detail("input 0");
            return Err(d.found(format!("shape {:?}", number.shape)));
        }
        // Each is a step inside of the one before.
        const MOST: usize = 64;
        if MOST < self.bodies.len() {
            let d = Diagnostic::new(Code::FEATURE, "too many branches").expected(format!("at most {MOST}"));
            return Err(d.found(self.bodies.len().to_string()));
        }
        bodies::results_of_any(s, 1, &self.bodies)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        control::branches(cx, node, self.bodies.len())
    }
}
