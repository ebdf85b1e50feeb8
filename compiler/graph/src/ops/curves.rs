//! Curves: transcendental functions of one number.
//!
//! f32 in tile operations (`lower/math.rs`); i8, u8 quantised per tensor, by a table of all 256 results; i16 by straight lines between 513
//! results, with zero points 0. Tables are computed in f32, as in the reference, whose functions may differ by a unit in the last place.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, math, table};
use crate::quantize::{elu_f32, exp_f32, log_f32, lut_8bit, lut_i16_f32, real_range};
use crate::tensor::ElementType::{F32, I8, I16};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{KernelBuilder, Machine, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Curve {
    types: &'static [Row],
    float: fn(&mut KernelBuilder, &Machine, Value) -> Value,
    /// For tables: of a number, where the smallest result is the second.
    scalar: fn(f32, f32) -> f32,
}

family! { Curve:
    /// x, of negative numbers e^x − 1
    elu = Curve { types: &[Row::Same(&[F32, I8])], float: math::elu, scalar: |x, _| elu_f32(x) };
    /// e^x
    exp = Curve { types: &[Row::Same(&[F32, I8, I16])], float: math::exp, scalar: |x, _| exp_f32(x) };
    /// The natural logarithm; quantised, of zero and less the smallest integer
    log = Curve {
        types: &[Row::Same(&[F32, I8, I16])],
        float: math::log,
        scalar: |x, least| if x <= 0.0 { least } else { log_f32(x) },
    };
}

impl Family for Curve {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
        }
        if y.element == I16 {
            checks::no_zero_point("the input", x)?;
            checks::no_zero_point("the output", y)?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let parameters = |t: &TensorType| (t.scale().unwrap_or(1.0), t.zero_point() as i32);
        let least = real_range(y.element, parameters(y)).0;
        let scalar = |x: f32| (self.scalar)(x, least);
        match lut_8bit(y.element, parameters(x), parameters(y), scalar) {
            Some(entries) => table::bytes(cx, e, &entries),
            None if y.element == I16 => table::interpolated_i16(cx, e, &lut_i16_f32(parameters(x), parameters(y), scalar)),
            None => {
                let machine = cx.machine;
                e.unroll(2).lower(cx, |k, x, _| (self.float)(k, machine, x[0]));
            }
        }
        Ok(())
    }
}
