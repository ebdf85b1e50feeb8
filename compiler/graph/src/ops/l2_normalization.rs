//! L2_NORMALIZATION: each row of the innermost axis divided by its length, which is taken to be 0.000001 at least.
//!
//! f32; i8 and u8, to the scale 1/128, by a root in fixed point. The format's activation is refused, as in the reference.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, normalize};
use crate::ops::attributes::Activation;
use crate::ops::counts::{self, Count};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

/// Squares of so many differences of bytes have a sum of 32 bits.
const LONGEST_ROW: usize = i32::MAX as usize / (255 * 255);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let options = source.operator.builtin_options_as_l2_norm_options();
        checks::no_activation(options.map_or(Ok(Activation::None), |o| Activation::decode(o.fused_activation_function()))?)?;
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if x.rank() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "input is a scalar").expected("at least one dimension"));
        }
        if y.element != F32 {
            checks::all_per_tensor(s)?;
            let parameters = checks::per_tensor("the output", y)?;
            let wanted = (1.0 / 128.0, if y.element == U8 { 128 } else { 0 });
            if parameters != wanted {
                return Err(Diagnostic::new(Code::SCALE, "quantisation of the output is not that of numbers between -1 and 1")
                    .expected(format!("scale {} and zero point {}", wanted.0, wanted.1))
                    .found(format!("scale {} and zero point {}", parameters.0, parameters.1)));
            }
            if x.shape.last().is_some_and(|&n| LONGEST_ROW < n) {
                return Err(Diagnostic::new(Code::FEATURE, "a row is too long: the sum of its squares may not fit 32 bits")
                    .expected(format!("at most {LONGEST_ROW} bytes"))
                    .found(format!("{:?}", x.shape)));
            }
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
        normalize::l2(cx, node);
        Ok(())
    }
}
