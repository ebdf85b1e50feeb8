//! PRELU: x, of negative numbers alpha · x, where alpha is a tensor that is broadcast to the shape of x.
//!
//! f32; i8, u8 quantised per tensor: positive numbers are rescaled, of negative ones the product of the integers.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::lower::requantize::{INTEGER, Scale, Target, shift_range};
use crate::ops::attributes::Activation;
use crate::ops::moves::Moves;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{leaky_multipliers, quantize_multiplier};
use crate::tensor::ElementType::{F32, I8, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, alpha, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            shift_range(&multipliers([x, alpha], y).map(|m| m.1))?;
        }
        let shape = checks::broadcast(&x.shape, &alpha.shape)?;
        if shape != x.shape {
            return Err(Diagnostic::new(Code::OPERAND, "alpha is larger than the input")
                .detail("input 1")
                .expected(format!("a shape that can be broadcast to {:?}", x.shape))
                .found(format!("{:?}", alpha.shape)));
        }
        Ok(vec![shape])
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (inputs, y) = ([cx.input_type(node, 0), cx.input_type(node, 1)], cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        if y.element == F32 {
            e.unroll(4).lower(cx, |k, x, _| {
                let (product, zero) = (k.mul(x[0], x[1]), k.float(k.ty(x[0]), 0.0));
                let is_positive = k.compare(Cond::Ge, x[0], zero);
                k.select(is_positive, x[0], product)
            });
            return Ok(());
        }
        let ([positive, negative], target) = (multipliers(inputs, y), Target::new(y, Activation::None)?);
        cx.note_rescaling(INTEGER, 1);
        e.lower(cx, |k, x, _| {
            let [input, alpha] = [0, 1].map(|i| {
                let wide = k.widen(x[i], Elem::I32);
                let zero_point = k.int(k.ty(wide), inputs[i].zero_point());
                k.sub(wide, zero_point)
            });
            let (ty, product) = (k.ty(input), k.mul(input, alpha));
            let up = Scale::constant(k, ty.lanes as usize, positive.0, positive.1).apply(k, input);
            let down = Scale::constant(k, ty.lanes as usize, negative.0, negative.1).apply(k, product);
            let zero = k.int(ty, 0);
            let is_positive = k.compare(Cond::Ge, input, zero);
            let scaled = k.select(is_positive, up, down);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

/// Of positive numbers and of products.
fn multipliers(inputs: [&TensorType; 2], y: &TensorType) -> [(i32, i32); 2] {
    let [x, alpha, y] = [inputs[0], inputs[1], y].map(|t| t.scale().unwrap_or(1.0));
    leaky_multipliers(x, alpha, y).map(quantize_multiplier)
}
