//! LOGISTIC: 1 / (1 + e^−x).
//!
//! f32; i8, u8 by a table of all 256 results; i16 by straight lines between the entries of a table, as the reference. The scale of
//! quantised results is fixed: 1/256, of int16 1/32768 with zero points 0. An int16 scale whose multiplier does not fit 32 bits is refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, math, table};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{LOGISTIC_I16_SCALE_END, logistic_f32, logistic_multiplier_i16, lut_8bit, sigmoid_table_u16};
use crate::tensor::ElementType::I16;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let element = s.output(0).element;
        if checks::is_quantized(element) {
            checks::all_per_tensor(s)?;
            let wanted = if element == I16 { 1.0 / 32768.0 } else { 1.0 / 256.0 };
            let (scale, _) = checks::per_tensor("the output", s.output(0))?;
            if scale != wanted {
                let message = "scale of the output is not that of probabilities";
                return Err(Diagnostic::new(Code::SCALE, message).expected(wanted.to_string()).found(scale.to_string()));
            }
            if element == I16 {
                checks::no_zero_point("the input", s.input(0)?)?;
                checks::no_zero_point("the output", s.output(0))?;
                let (scale, _) = checks::per_tensor("the input", s.input(0)?)?;
                if scale >= LOGISTIC_I16_SCALE_END {
                    // The reference converts the multiplier to an int32, and such a conversion means nothing.
                    return Err(Diagnostic::new(Code::SCALE, "the scale of the input is too large")
                        .expected(format!("less than {LOGISTIC_I16_SCALE_END}"))
                        .found(scale.to_string()));
                }
            }
        }
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, format!("logistic_{}", x.element), node);
        let parameters = |t: &crate::tensor::TensorType| (t.scale().unwrap_or(1.0), t.zero_point() as i32);
        match lut_8bit(x.element, parameters(x), parameters(y), logistic_f32) {
            Some(entries) => table::bytes(cx, e, &entries),
            None if x.element == I16 => {
                let lines = table::sigmoid_lines(cx, &sigmoid_table_u16(), 0xFFFE);
                let scale = logistic_multiplier_i16(parameters(x).0);
                e.table(lines).lower(cx, |k, x, tables| table::logistic_i16(k, tables[0], x[0], scale));
            }
            None => {
                let machine = cx.machine;
                e.unroll(2).lower(cx, |k, x, _| math::logistic(k, machine, x[0]));
            }
        }
        Ok(())
    }
}
