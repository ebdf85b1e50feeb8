//! RSQRT: 1 / √x.
//!
//! f32; i8 quantised per tensor, by a table of all 256 results, whose entries are fixed point; i16 by straight lines between 513 results,
//! with zero points 0. The reference stops at numbers below zero; here, as of zero, their result is the largest integer.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, table};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{lut_i16_f32, quantize_multiplier, rsqrt_i8, rsqrt_multiplier};
use crate::tensor::ElementType::{F32, I8, I16};
use crate::text::fields::fields;
use cranelite_tile::Unary;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, I16])];

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
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let scales = [x, y].map(|t| t.scale().unwrap_or(1.0));
        match y.element {
            I8 => {
                let scale = quantize_multiplier(rsqrt_multiplier(scales[0], scales[1]));
                let (from, to) = (x.zero_point() as i32, y.zero_point() as i32);
                table::bytes(cx, e, &std::array::from_fn(|q| rsqrt_i8(q as u8 as i8, from, scale, to) as u8));
            }
            I16 => {
                let largest = f32::from(i16::MAX) * scales[1];
                let f = |x: f32| if x <= 0.0 { largest } else { 1.0 / x.sqrt() };
                table::interpolated_i16(cx, e, &lut_i16_f32((scales[0], 0), (scales[1], 0), f));
            }
            _ => e.unroll(2).lower(cx, |k, x, _| {
                let (one, root) = (k.float(k.ty(x[0]), 1.0), k.unary(Unary::Sqrt, x[0]));
                k.div(one, root)
            }),
        }
        Ok(())
    }
}
