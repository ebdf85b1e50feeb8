//! TILE: the input repeated along every axis.
//!
//! Any element type of whole bytes. How often is a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub multiples: Vec<usize>,
}
fields!(multiples);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        Ok(Attributes { multiples: s.constant_counts(1, "the multiples", &[s.input(0)?.rank()])? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if self.multiples.len() != x.rank() {
            return Err(Diagnostic::new(Code::OPERAND, "one multiple is needed per axis")
                .expected(x.rank().to_string())
                .found(self.multiples.len().to_string()));
        }
        checks::sized(x.shape.iter().zip(&self.multiples).map(|(&d, &m)| d.saturating_mul(m)).collect())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let (from, to) = (moves::strides(&x.shape), moves::strides(&y.shape));
        let axes = (0..x.rank()).flat_map(|d| {
            let repeated = Axis { count: self.multiples[d], from: 0, to: to[d] * x.shape[d] as i64 };
            [repeated, Axis { count: x.shape[d], from: from[d], to: to[d] }]
        });
        moves::of_node(cx, node, (0, 0), &axes.collect::<Vec<_>>());
        Ok(())
    }
}
