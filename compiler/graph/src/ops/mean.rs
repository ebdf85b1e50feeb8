//! MEAN: y = Σ x / n over the n elements along the given axes.
//!
//! f32, i8, u8, i16; the axes are a constant. Integers are summed exactly and rescaled once, by the quotient of the scales divided by
//! n; i16 has zero points 0. Where so many elements may have a sum beyond 32 bits it has 64, and is right where the reference's wraps
//! around.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::reduce;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, I8, I16, U8};
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
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8, I16])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let rank = source.signature.input(0)?.rank() as i64;
        let (_, values) = source.signature.constant_integers(1, "the axes")?;
        let mut axes = vec![];
        // A scalar has no axis, whatever is asked for.
        for a in values.into_iter().filter(|_| rank != 0) {
            let axis = if a < 0 { a + rank } else { a };
            if axis < 0 || rank <= axis {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "an axis is out of range")
                    .expected(format!("{} to {}", -rank, rank - 1))
                    .found(a.to_string()));
            }
            axes.push(axis as usize);
        }
        axes.sort();
        axes.dedup();
        let keep_dims = source.operator.builtin_options_as_reducer_options().is_some_and(|o| o.keep_dims());
        Ok(Attributes { axes, keep_dims })
    }

    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (input, output) = (signature.input(0)?, signature.output(0));
        if let Some(axis) = self.axes.iter().find(|a| input.rank() <= **a) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "an axis is out of range")
                .expected(format!("below {}", input.rank()))
                .found(axis.to_string()));
        }
        if input.element != F32 {
            for ty in [input, output] {
                if !ty.quantization.as_ref().is_some_and(|q| q.is_per_tensor()) {
                    return Err(
                        Diagnostic::new(Code::SCALE, "integers need one scale and zero point").found(format!("{:?}", ty.quantization))
                    );
                }
                if input.element == I16 && ty.zero_point() != 0 {
                    return Err(Diagnostic::new(Code::SCALE, "the zero point of i16 must be 0").found(ty.zero_point().to_string()));
                }
            }
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
