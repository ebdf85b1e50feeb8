//! FILL: an array of a shape whose elements are all one, the second input.
//!
//! Any element type of whole bytes; the element need not be a constant. Of a shape that is not, all but the first dimension must be known; that is
//! then counted at run time, up to a bound that the user gives, and the invocation ends where it is larger.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::moves::{self, Axis};
use crate::lower::{Context, counts as counted};
use crate::ops::counts::{self, Count};
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
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::These(&[1]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I32, I64]], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let ty = s.input(0)?;
        if ty.rank() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "the shape must be a vector").detail("input 0").found(format!("{:?}", ty.shape)));
        }
        let (shape, is_counted) = source.dimensions(0, "the shape", |most| most)?;
        Ok(Attributes { shape, is_counted })
    }

    fn kept(&self) -> Kept {
        if self.is_counted { Kept::These(&[1, 0]) } else { Self::ARITY.kept }
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if x.rank() != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the element must be a scalar").detail("input 0").found(format!("{:?}", x.shape)));
        }
        checks::same_quantization(x, s.output(0))?;
        if self.is_counted {
            counts::by_vector(s, 1, self.shape.len())?;
        }
        Ok([checks::sized(self.shape.clone())?, vec![vec![]]].concat().into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let none = counts::none(s, counted)?;
        Ok(if self.is_counted { vec![Some(Count::Own)] } else { none })
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let y = cx.output_type(node, 0);
        if self.is_counted {
            counted::by_vector(cx, node, 1, &self.shape, 1);
        }
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        let axis = Axis { count: y.element_count(), from: 0, to: 1 };
        moves::elements(cx, from, to, y.element.bytes().expect("infer has seen the type"), (0, 0), &[axis]);
        Ok(())
    }
}
