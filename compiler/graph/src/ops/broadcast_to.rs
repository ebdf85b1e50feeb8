//! BROADCAST_TO: the input, repeated along axes of size 1 and along new outer axes, in a given shape.
//!
//! Any element type of whole bytes. Of a shape that is no constant, all but the first dimension must be known, along which the input is repeated; that
//! is then counted at run time, up to a bound that the user gives, and the invocation ends where it is larger.

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
    /// With the most that the first dimension can be if it is counted.
    pub shape: Vec<usize>,
    pub is_counted: bool,
}
fields!(shape, is_counted);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I32, I64]], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let ty = source.signature.input(1)?;
        if ty.rank() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "the shape must be a vector").detail("input 1").found(format!("{:?}", ty.shape)));
        }
        let (shape, is_counted) = source.dimensions(1, "the shape", |most| most)?;
        Ok(Attributes { shape, is_counted })
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
        if self.is_counted {
            counts::by_vector(s, 1, self.shape.len())?;
        }
        // What is as long as the result may be is no longer where that is shorter.
        let is_repeated = !self.is_counted || x.rank() < self.shape.len() || x.shape.first() == Some(&1);
        match checks::broadcast(&x.shape, &self.shape) {
            Ok(shape) if shape == self.shape && is_repeated => {
                Ok([checks::sized(shape)?, vec![vec![]]].concat().into_iter().take(s.outputs.len()).collect())
            }
            _ => Err(Diagnostic::new(Code::OPERAND, "the input cannot be broadcast to the shape")
                .expected("in every dimension, from the last, the same number, or 1 in the input")
                .found(format!("{:?} to {:?}", x.shape, self.shape))),
        }
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if self.is_counted {
            counted::by_vector(cx, node, 1, &self.shape, 1);
        }
        let x = cx.input_type(node, 0);
        let added = self.shape.len() - x.rank();
        let mut from = vec![0; added];
        from.extend(x.shape.iter().zip(moves::strides(&x.shape)).map(|(&d, stride)| if d == 1 { 0 } else { stride }));
        let axes: Vec<Axis> = moves::axes(&self.shape, &from);
        moves::of_node(cx, node, (0, 0), &axes);
        Ok(())
    }
}
