//! SHAPE: the dimensions of the input as a vector of i32 or i64.
//!
//! Of any tensor: shapes are known when a model is compiled, so the result is a constant.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::{Context, copy};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;
use cranelite_schema::TensorType;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[types::SIZED], &[&[I32, I64]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let options = source.operator.builtin_options_as_shape_options();
        checks::index_type(options.map_or(TensorType::FLOAT32, |o| o.out_type()), source.signature.output(0))?;
        Ok(Attributes { shape: source.signature.input(0)?.shape.clone() })
    }

    fn infer(&self, _: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        self.shape.iter().try_for_each(|&d| checks::dimension("a dimension", i64::try_from(d).unwrap_or(i64::MAX)).map(|_| ()))?;
        Ok(vec![vec![self.shape.len()]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let ty = cx.output_type(node, 0);
        copy::constant(cx, node, ty.element.integer_bytes(self.shape.iter().map(|&d| d as i64)));
        Ok(())
    }
}
