//! SCATTER_ND: zeros, to which each update is added where a tuple of indices along the first axes says.
//!
//! f32 and integers, which wrap around, and truth values, of which any is enough. The shape of the result is a constant. A constant index beyond its
//! axis is refused; one that is only known at run time ends the invocation.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::scatter::Scatter;
use crate::lower::{Context, indices, moves};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{Bool, F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_tile::Binary;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Of the result.
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I8, U8, I16, I32, I64, Bool], &[&[I32], T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let rank = s.input(2)?.element_count();
        Ok(Attributes { shape: s.constant_counts(2, "the shape of the result", &[rank])? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (list, updates) = (s.input(0)?, s.input(1)?);
        let fits = list
            .shape
            .split_last()
            .is_some_and(|(&tuple, rows)| tuple <= self.shape.len() && updates.shape == [rows, &self.shape[tuple..]].concat());
        if !fits {
            return Err(Diagnostic::new(Code::OPERAND, "the updates do not fit indices and result")
                .detail("input 1")
                .expected("an update for each tuple of indices, of the axes that these leave")
                .found(format!("indices {:?}, updates {:?}, result {:?}", list.shape, updates.shape, self.shape)));
        }
        checks::sized(self.shape.clone())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (list, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let (&tuple, rows) = list.shape.split_last().expect("infer has seen the shape");
        let count: usize = rows.iter().product();
        let (sizes, run) = (&self.shape[..tuple], self.shape[tuple..].iter().product::<usize>());
        indices::in_axes(cx, node, 0, count, sizes)?;
        moves::fill(cx, node, 0);
        if y.element_count() == 0 || count == 0 {
            return Ok(());
        }
        let combine = if y.element == Bool { Binary::Or } else { Binary::Add };
        let (numbers, from, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        let scatter = Scatter { count, sizes: sizes.to_vec(), run, element: y.element, combine, neutral: None };
        scatter.lower(cx, (numbers, list.element), from, to);
        Ok(())
    }
}
