//! FILL: an array of a shape whose elements are all one, the second input.
//!
//! Any element type of whole bytes. The shape is a constant; the element need not be.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::These(&[1]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let (ty, dimensions) = source.signature.constant_integers(0, "the shape")?;
        if ty.rank() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "the shape must be a vector").detail("input 0").found(format!("{:?}", ty.shape)));
        }
        Ok(Attributes { shape: dimensions.into_iter().map(|d| checks::dimension("a dimension", d)).collect::<Result<_, _>>()? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if x.rank() != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the element must be a scalar").detail("input 0").found(format!("{:?}", x.shape)));
        }
        checks::same_quantization(x, s.output(0))?;
        checks::sized(self.shape.clone())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let y = cx.output_type(node, 0);
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        let axis = Axis { count: y.element_count(), from: 0, to: 1 };
        moves::elements(cx, from, to, y.element.bytes().expect("infer has seen the type"), (0, 0), &[axis]);
        Ok(())
    }
}
