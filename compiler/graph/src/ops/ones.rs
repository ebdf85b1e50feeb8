//! Ones: the same bytes with axes of size 1 added or left out.
//!
//! Any element type of a fixed size. The axes are known when the model is compiled.

use super::channels::{self, Channels, Intervals};
use super::counts::{self, Count};
use super::family::{Family, family};
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, moves};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

pub struct Ones {
    types: &'static [Row],
    /// The new shape.
    shape: fn(&Source) -> Result<Vec<usize>, Diagnostic>,
}

family! { Ones:
    /// One more axis; which one is a constant
    expand_dims [Arity { inputs: 2..=2, ..Ones::ARITY }] = Ones { types: &[Row::Same(types::SIZED)], shape: expanded };
    /// Without axes of size 1: those that are named, or all of them
    squeeze = Ones { types: &[Row::Same(types::SIZED)], shape: squeezed };
}

fn expanded(source: &Source) -> Result<Vec<usize>, Diagnostic> {
    let mut shape = source.signature.input(0)?.shape.clone();
    let axis = checks::axis(source.signature.constant_integer(1, "the axis")?, shape.len() + 1)?;
    shape.insert(axis, 1);
    Ok(shape)
}

fn squeezed(source: &Source) -> Result<Vec<usize>, Diagnostic> {
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
    Ok((0..x.rank()).filter(|&d| !is_left_out(d)).map(|d| x.shape[d]).collect())
}

impl Family for Ones {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes { shape: (self.shape)(source)? })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::same_elements(s.input(0)?, &a.shape)
    }

    fn counts(&self, a: &Attributes, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        // Of one row at most an axis of size 1 more or less could be either.
        match s.input(0)?.shape.first() {
            Some(1) => counts::none(s, counted),
            _ => counts::view(s, counted, &a.shape),
        }
    }

    fn is_view(&self) -> bool {
        true
    }

    fn channels(&self, _: &Attributes, _: &Signature) -> Channels {
        Channels::View
    }

    fn intervals(&self, _: &Attributes, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        channels::copied(Channels::View, s, operands)
    }

    fn refit(&self, a: &mut Attributes, s: &Signature) {
        a.shape.clone_from(&s.output(0).shape);
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::same_bytes(cx, node);
        Ok(())
    }
}
