//! SQUEEZE: the same bytes without axes of size 1: those that are named, or all of them.
//!
//! Any element type of a fixed size.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::SIZED)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let x = source.signature.input(0)?;
        let named = source.operator.builtin_options_as_squeeze_options().and_then(|o| o.squeeze_dims());
        let mut axes = vec![];
        for axis in named.into_iter().flatten() {
            axes.push(checks::axis(axis.into(), x.rank())?);
        }
        if let Some(&axis) = axes.iter().find(|a| x.shape[**a] != 1) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, format!("axis {axis} cannot be left out"))
                .expected("an axis of size 1")
                .found(format!("{:?}", x.shape)));
        }
        let is_left_out = |d: usize| if axes.is_empty() { x.shape[d] == 1 } else { axes.contains(&d) };
        Ok(Attributes { shape: (0..x.rank()).filter(|&d| !is_left_out(d)).map(|d| x.shape[d]).collect() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::same_elements(s.input(0)?, &self.shape)
    }

    fn is_view(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::same_bytes(cx, node);
        Ok(())
    }
}
