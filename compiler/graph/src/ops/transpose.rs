//! TRANSPOSE: the axes in another order.
//!
//! Any element type of whole bytes. The permutation is a constant. Where only axes of size 1 change their places, nothing is copied.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, moves};
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Of each axis of the result, which one it is of the input.
    pub order: Vec<usize>,
}
fields!(order);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let rank = source.signature.input(0)?.rank();
        let (_, numbers) = source.signature.constant_integers(1, "the permutation")?;
        Ok(Attributes { order: numbers.into_iter().map(|a| checks::axis(a, rank)).collect::<Result<_, _>>()? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(Diagnostic::new(Code::OPERAND, "the permutation does not fit the input")
                .expected(format!("each of {} axes once", x.rank()))
                .found(format!("{:?}", self.order)));
        }
        Ok(vec![self.order.iter().map(|&d| x.shape[d]).collect()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match self.order.first() == Some(&0) {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn channels(&self, _: &Signature) -> Channels {
        if self.order.last() == Some(&(self.order.len() - 1)) { Channels::Same } else { Channels::Whole }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        channels::copied(self.channels(s), s, operands)
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let value = node.input(0).expect("a required input, checked by infer");
        let long = self.order.iter().filter(|d| x.shape[**d] != 1);
        if long.is_sorted() && cx.alias(node.outputs[0], value) {
            return Ok(());
        }
        let strides = moves::strides(&x.shape);
        let axes = moves::axes(&y.shape, &self.order.iter().map(|&d| strides[d]).collect::<Vec<_>>());
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        moves::elements(cx, from, to, x.element.bytes().expect("infer has seen the type"), (0, 0), &axes);
        Ok(())
    }
}
