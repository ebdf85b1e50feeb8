//! MEAN: y = Σ x / n over the n elements along the given axes.
//!
//! f32, i8, u8, i16; the axes are a constant. Integers are summed exactly and rescaled once, by the quotient of the scales divided by
//! n; i16 has zero points 0. Where so many elements may have a sum beyond 32 bits it has 64, and is right where the reference's wraps
//! around.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::reduce;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I16};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Ascending, each at most once.
    pub axes: Vec<usize>,
    pub keep_dims: bool,
}
fields!(axes, keep_dims);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let (_, values) = source.signature.constant_integers(1, "the axes")?;
        let axes = checks::axes(&values, source.signature.input(0)?.rank())?;
        let keep_dims = source.operator.builtin_options_as_reducer_options().is_some_and(|o| o.keep_dims());
        Ok(Attributes { axes, keep_dims })
    }

    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (input, output) = (signature.input(0)?, signature.output(0));
        checks::axes_exist(&self.axes, input.rank())?;
        if input.element != F32 {
            checks::all_per_tensor(signature)?;
        }
        if input.element == I16 {
            checks::no_zero_point("the input", input)?;
            checks::no_zero_point("the output", output)?;
        }
        let sizes = input.shape.iter().enumerate();
        Ok(vec![match self.keep_dims {
            true => sizes.map(|(i, &d)| if self.axes.contains(&i) { 1 } else { d }).collect(),
            false => sizes.filter(|(i, _)| !self.axes.contains(i)).map(|(_, &d)| d).collect(),
        }])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        reduce::mean(cx, node, &self.axes)
    }
}
