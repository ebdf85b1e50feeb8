//! TANH: (e^x − e^−x) / (e^x + e^−x).
//!
//! f32; i8, u8 quantised per tensor, by a table of all 256 results; i16 by straight lines between the entries of the table of LOGISTIC, as
//! the reference, with the scale 1/32768 of results and zero points 0. An int16 scale whose multiplier does not fit 32 bits is refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, math, table};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{LOGISTIC_I16_SCALE_END, checked_log2, lut_8bit, sigmoid_table_u16, tanh_f32, tanh_multiplier_i16};
use crate::tensor::ElementType::I16;
use crate::tensor::TensorType;
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
        let (x, y) = (s.input(0)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
        }
        if y.element == I16 {
            checks::no_zero_point("the input", x)?;
            checks::no_zero_point("the output", y)?;
            let ((from, _), (to, _)) = (checks::per_tensor("the input", x)?, checks::per_tensor("the output", y)?);
            if checked_log2(to) != Some((-15, true)) {
                let message = "scale of the output is not that of a hyperbolic tangent";
                return Err(Diagnostic::new(Code::SCALE, message).expected("1/32768").found(to.to_string()));
            }
            if from >= LOGISTIC_I16_SCALE_END {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the input is too large")
                    .expected(format!("less than {LOGISTIC_I16_SCALE_END}"))
                    .found(from.to_string()));
            }
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let parameters = |t: &TensorType| (t.scale().unwrap_or(1.0), t.zero_point() as i32);
        match lut_8bit(x.element, parameters(x), parameters(y), tanh_f32) {
            Some(entries) => table::bytes(cx, e, &entries),
            None if x.element == I16 => {
                let lines = table::sigmoid_lines(cx, &sigmoid_table_u16(), 0xFFFF);
                let scale = tanh_multiplier_i16(parameters(x).0);
                e.table(lines).lower(cx, |k, x, tables| table::tanh_i16(k, tables[0], x[0], scale));
            }
            None => {
                let machine = cx.machine;
                e.unroll(2).lower(cx, |k, x, _| math::tanh(k, machine, x[0]));
            }
        }
        Ok(())
    }
}
