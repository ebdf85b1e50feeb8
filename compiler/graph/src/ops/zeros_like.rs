//! ZEROS_LIKE: zeros in the shape of the input.
//!
//! Any element type of whole bytes; the result is a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, moves};
use crate::ops::counts::Count;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let (x, y) = (source.signature.input(0)?, source.signature.output(0));
        if x.element != y.element {
            return Err(Diagnostic::new(Code::TYPES, "the result is not of the input's type")
                .expected(x.element.name())
                .found(y.element.name()));
        }
        Ok(Attributes { shape: x.shape.clone() })
    }

    fn counts(&self, _: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        Ok(vec![counted.first().copied().flatten().map(|_| Count::Of(0))])
    }

    fn infer(&self, _: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::sized(self.shape.clone())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::fill(cx, node, 0);
        Ok(())
    }
}
