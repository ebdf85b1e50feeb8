//! LOG_SOFTMAX: x − ln Σ e^x along the innermost axis.
//!
//! f32; i8 and u8 in gemmlowp's fixed point, to the scale 1/16 and the largest zero point.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, normalize};
use crate::ops::counts::{self, Count};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{SOFTMAX_SCALED_DIFF_INTEGER_BITS, log_softmax_reverse, preprocess_softmax_scaling};
use crate::tensor::ElementType::{F32, I8, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

/// So many exponentials of 1 in Q12 have a sum of 32 bits.
const LONGEST_ROW: usize = (1 << 12) - 1;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if x.rank() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "input is a scalar").expected("at least one dimension"));
        }
        if y.element == F32 {
            return Ok(vec![x.shape.clone()]);
        }
        checks::all_per_tensor(s)?;
        let parameters = checks::per_tensor("the output", y)?;
        let wanted = (1.0 / 16.0, if y.element == U8 { 255 } else { 127 });
        if parameters != wanted {
            return Err(Diagnostic::new(Code::SCALE, "quantisation of the output is not that of logarithms of probabilities")
                .expected(format!("scale {} and zero point {}", wanted.0, wanted.1))
                .found(format!("scale {} and zero point {}", parameters.0, parameters.1)));
        }
        let (scale, _) = checks::per_tensor("the input", x)?;
        let (multiplier, shift) = preprocess_softmax_scaling(1.0, scale, SOFTMAX_SCALED_DIFF_INTEGER_BITS);
        if log_softmax_reverse(multiplier, shift).is_none() {
            return Err(Diagnostic::new(Code::SCALE, "the scale of the input is too small or too large")
                .expected("between 2^-25 and 2^4")
                .found(scale.to_string()));
        }
        if x.shape.last().is_some_and(|&n| LONGEST_ROW < n) {
            return Err(Diagnostic::new(Code::FEATURE, "a row is too long: the sum of its exponentials may not fit 32 bits")
                .expected(format!("at most {LONGEST_ROW} bytes"))
                .found(format!("{:?}", x.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 1 < s.input(0)?.rank() {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        normalize::log_softmax(cx, node);
        Ok(())
    }
}
