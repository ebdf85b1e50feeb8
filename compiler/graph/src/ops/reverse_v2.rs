//! REVERSE_V2: the elements along some axes, from the last to the first.
//!
//! Any element type of whole bytes. The axes are a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Ascending, each at most once.
    pub axes: Vec<usize>,
}
fields!(axes);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let (_, numbers) = s.constant_integers(1, "the axes")?;
        let axes = checks::axes(&numbers, s.input(0)?.rank())?;
        if axes.len() != numbers.len() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "an axis is named twice").detail("input 1").found(format!("{numbers:?}")));
        }
        Ok(Attributes { axes })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_ascend(&self.axes, x.rank())?;
        Ok(vec![x.shape.clone()])
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let mut from = moves::strides(&x.shape);
        let mut first = 0;
        for &d in &self.axes {
            first += x.shape[d].saturating_sub(1) * from[d] as usize;
            from[d] = -from[d];
        }
        moves::of_node(cx, node, (first, 0), &moves::axes(&x.shape, &from));
        Ok(())
    }
}
