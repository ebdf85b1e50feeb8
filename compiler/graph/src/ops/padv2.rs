//! PADV2: y = x with elements equal to a given one before and after it, along every axis.
//!
//! Any element type of whole bytes. The paddings are a constant; the element need not be.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::moves::{self, Axis};
use crate::lower::{Context, pad};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub before: Vec<usize>,
    pub after: Vec<usize>,
}
fields!(before, after);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::These(&[0, 2]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let numbers = s.constant_counts(1, "the paddings", &[s.input(0)?.rank(), 2])?;
        Ok(Attributes { before: numbers.iter().copied().step_by(2).collect(), after: numbers.iter().copied().skip(1).step_by(2).collect() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, value, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if value.element_count() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "what is put around the input must be one element")
                .detail("input 1")
                .found(format!("{:?}", value.shape)));
        }
        checks::same_quantization(x, y)?;
        checks::same_quantization(value, y)?;
        checks::padded(&x.shape, &self.before, &self.after)
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let axis = |d: usize| pad::Axis { size: x.shape[d], before: self.before[d], after: self.after[d] };
        let axes: Vec<pad::Axis> = (0..x.rank()).map(axis).collect();
        let (value, to) = (cx.input(node, 1), cx.output(node, 0));
        moves::margin(cx, value, to, y.element.bytes().expect("infer has seen the type"), &axes);
        let strides = moves::strides(&y.shape);
        let first: usize = self.before.iter().zip(&strides).map(|(&n, &stride)| n * stride as usize).sum();
        let inner = moves::strides(&x.shape).into_iter().zip(strides).zip(&x.shape);
        let inner: Vec<Axis> = inner.map(|((from, to), &count)| Axis { count, from, to }).collect();
        moves::of_node(cx, node, (0, first), &inner);
        Ok(())
    }
}
