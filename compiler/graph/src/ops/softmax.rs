//! SOFTMAX: e^(β·x) along the innermost axis, divided by its sum.
//!
//! f32; i8, u8 to themselves or i16 in gemmlowp's fixed point (Q5.26 exponentials, a Newton reciprocal); i16 by interpolated tables.
//! The scale of quantised results is fixed, as in the reference: 1/256, for i16 from i16 1/32768, for i16 from bytes 1/65536. Where
//! the reference aborts, because more than 500 elements are nearly as large as the largest, the result is what its formula means. Without
//! options β is 0, as there; bytes need a β that is not as good as 0, or the reference cannot prepare. A row of i16 must be so short that
//! the sum of its exponentials fits 32 bits.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::requantize::shift_range;
use crate::lower::{Context, softmax};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::softmax_multiplier_i16;
use crate::tensor::ElementType::{F32, I8, I16, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub beta: f32,
}
fields!(beta);

/// Bytes are multiplied by β · scale in Q5.26, with a multiplier of more than 1.
const SMALLEST_DIFFERENCE: f64 = 1.0 / (1u64 << 26) as f64;
/// So many exponentials of 1 in Q0.15 have a sum of 32 bits.
const LONGEST_ROW_I16: usize = i32::MAX as usize / 32767;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL), Row::Of(&[&[I8, U8]], &[&[I16]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { beta: source.operator.builtin_options_as_softmax_options().map_or(0.0, |o| o.beta()) })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        let (from, to) = (x.element, y.element);
        if x.rank() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "input is a scalar").expected("at least one dimension"));
        }
        if !self.beta.is_finite() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "beta is not a number").found(self.beta.to_string()));
        }
        if from == F32 {
            return Ok(vec![x.shape.clone()]);
        }
        if self.beta < 0.0 {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "beta of a quantised softmax is negative").found(self.beta.to_string()));
        }
        checks::all_per_tensor(s)?;
        let differences = f64::from(self.beta) * f64::from(checks::per_tensor("the input", x)?.0);
        if from != I16 && differences <= SMALLEST_DIFFERENCE {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "beta of a softmax of bytes is too small: all results would be equal")
                .expected(format!("more than {SMALLEST_DIFFERENCE:e} when multiplied by the scale of the input"))
                .found(format!("beta {} and scale {}", self.beta, x.scale().unwrap_or(0.0)))
                .help("a beta of 0 mostly means that the options of the operator are absent: 1 is usual"));
        }
        let (scale, zero_point) = checks::per_tensor("the output", y)?;
        let (wanted, zero) = match (from, to) {
            (I16, _) => (1.0 / 32768.0, 0),
            (_, I16) => (1.0 / 65536.0, -32768),
            (_, U8) => (1.0 / 256.0, 0),
            _ => (1.0 / 256.0, -128),
        };
        // The reference's tolerance, and its checks; of the others the result's meaning would be lost.
        if 0.001 * wanted < (scale - wanted).abs() || zero_point != zero {
            return Err(Diagnostic::new(Code::SCALE, "quantisation of the output is not that of probabilities")
                .expected(format!("scale {wanted} and zero point {zero}"))
                .found(format!("scale {scale} and zero point {zero_point}")));
        }
        if from == I16 {
            checks::no_zero_point("the input", x)?;
            if x.shape.last().is_some_and(|&n| LONGEST_ROW_I16 < n) {
                return Err(Diagnostic::new(Code::FEATURE, "a row of the softmax is too long: its sum may not fit 32 bits")
                    .expected(format!("at most {LONGEST_ROW_I16} elements of i16"))
                    .found(format!("{:?}", x.shape)));
            }
            shift_range(&[softmax_multiplier_i16(self.beta, x.scale().unwrap_or(1.0)).1])?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 1 < s.input(0)?.rank() {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        softmax::lower(cx, node, self.beta);
        Ok(())
    }
}
