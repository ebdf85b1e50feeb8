//! GELU: x · Φ(x), with the normal distribution, or an approximation of it by TANH.
//!
//! f32; i8, u8 quantised per tensor, by a table of all 256 results, which is computed in f32 as in the reference.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::{Context, math, table};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{gelu_f32, lut_8bit};
use crate::tensor::ElementType::{F32, I8, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::Machine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub approximate: bool,
}
fields!(approximate);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { approximate: source.operator.builtin_options_as_gelu_options().is_some_and(|o| o.approximate()) })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if checks::is_quantized(s.output(0).element) {
            checks::all_per_tensor(s)?;
        }
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.output(0).element == F32
    }

    fn pointwise<'a>(&self, m: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let f = if self.approximate { math::gelu_by_tanh } else { math::gelu };
        Ok(Some(Pointwise::elements(move |k, x| f(k, m, x[0])).unroll(1)))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.own_type(node));
        let parameters = |t: &TensorType| (t.scale().unwrap_or(1.0), t.zero_point() as i32);
        match lut_8bit(y.element, parameters(x), parameters(y), |x| gelu_f32(x, self.approximate)) {
            Some(entries) => {
                let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
                table::bytes(cx, e, &entries);
                Ok(())
            }
            None => pointwise::lower(cx, node),
        }
    }
}
