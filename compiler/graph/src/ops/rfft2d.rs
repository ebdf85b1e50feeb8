//! RFFT2D: the discrete Fourier transform of real numbers along the two innermost axes, of which the columns after the middle are left out.
//!
//! f32 to complex numbers of f32. The lengths are constants, powers of two; rows and columns beyond the input are zeros, those beyond the lengths are left out.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, fourier};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{Complex64, F32};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Rows and columns that are transformed.
    pub lengths: [usize; 2],
}
fields!(lengths);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32]], &[&[Complex64]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let lengths = source.signature.constant_counts(1, "the lengths", &[2])?;
        Ok(Attributes { lengths: [lengths[0], lengths[1]] })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let [outer @ .., _, _] = &x.shape[..] else {
            return Err(Diagnostic::new(Code::OPERAND, "input has the wrong rank")
                .expected("at least 2 dimensions")
                .found(format!("{:?}", x.shape)));
        };
        if !self.lengths.iter().all(|n| n.is_power_of_two()) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the lengths of a transform must be powers of two")
                .found(format!("{:?}", self.lengths))
                .help("pad the input with zeros"));
        }
        checks::sized([outer, &[self.lengths[0], self.lengths[1] / 2 + 1]].concat())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if cx.output_type(node, 0).element_count() != 0 {
            fourier::real(cx, node, self.lengths);
        }
        Ok(())
    }
}
