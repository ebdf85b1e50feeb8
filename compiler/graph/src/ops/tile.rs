//! TILE: the input repeated along every axis.
//!
//! Any element type of whole bytes. How often is a constant, or known but for the first axis: the result is then counted at run time, up to a bound
//! that the user gives, and the invocation ends where it is larger.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::moves::{self, Axis};
use crate::lower::{Context, counts as counted};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// With the most that the first one can be if it is known at run time only.
    pub multiples: Vec<usize>,
    pub is_counted: bool,
}
fields!(multiples, is_counted);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I32, I64]], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let (x, multiples) = (s.input(0)?, s.input(1)?);
        if multiples.shape != [x.rank()] {
            return Err(Diagnostic::new(Code::OPERAND, "the multiples cannot be of this shape")
                .detail("input 1")
                .expected(format!("{:?}", [x.rank()]))
                .found(format!("{:?}", multiples.shape)));
        }
        let rows = x.shape.first().copied().unwrap_or(1);
        let (multiples, is_counted) = source.dimensions(1, "the multiples", |most| most / rows.max(1))?;
        Ok(Attributes { multiples, is_counted })
    }

    fn kept(&self) -> Kept {
        Kept::First(if self.is_counted { 2 } else { 1 })
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let none = counts::none(s, counted)?;
        Ok(if self.is_counted { vec![Some(Count::Own)] } else { none })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if self.multiples.len() != x.rank() {
            return Err(Diagnostic::new(Code::OPERAND, "one multiple is needed per axis")
                .expected(x.rank().to_string())
                .found(self.multiples.len().to_string()));
        }
        if self.is_counted {
            counts::by_vector(s, 1, self.multiples.len())?;
        }
        let shape = checks::sized(x.shape.iter().zip(&self.multiples).map(|(&d, &m)| d.saturating_mul(m)).collect())?;
        Ok([shape, vec![vec![]]].concat().into_iter().take(s.outputs.len()).collect())
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if self.is_counted {
            counted::by_vector(cx, node, 1, &self.multiples, x.shape[0]);
        }
        let (from, to) = (moves::strides(&x.shape), moves::strides(&y.shape));
        let axes = (0..x.rank()).flat_map(|d| {
            let repeated = Axis { count: self.multiples[d], from: 0, to: to[d] * x.shape[d] as i64 };
            [repeated, Axis { count: x.shape[d], from: from[d], to: to[d] }]
        });
        moves::of_node(cx, node, (0, 0), &axes.collect::<Vec<_>>());
        Ok(())
    }
}
