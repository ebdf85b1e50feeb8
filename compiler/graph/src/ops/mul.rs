//! MUL: a · b with broadcasting and a fused activation.
//!
//! f32; i8, u8, i16 quantised per tensor: the exact product of the integers, requantised once. The reference computes the multiplier
//! in f32.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::lower::requantize::{Scale, Target, clamp_float, shift_range};
use crate::ops::attributes::Activation;
use crate::ops::{Arity, Operator, Signature, Source, checks};
use crate::quantize::{mul_multiplier, quantize_multiplier};
use crate::tensor::ElementType::{F32, I8, I16, U8};
use crate::tensor::TensorType;
use cranelite_tile::Elem;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub pot_scale_int16: bool,
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: 2, outputs: 1 };
    const TYPES: &'static str = "f32, i8, u8, i16";

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let activation = match source.operator.builtin_options_as_mul_options() {
            Some(options) => Activation::decode(options.fused_activation_function())?,
            None => Activation::None,
        };
        Ok(Attributes { activation, pot_scale_int16: false })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let element = checks::one_element(s, &[F32, I8, U8, I16])?;
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(element) {
            checks::all_per_tensor(s)?;
            if element == I16 {
                // A product of differences would not fit 32 bits.
                for (what, ty) in [("input 0", a), ("input 1", b), ("the output", y)] {
                    checks::no_zero_point(what, ty)?;
                }
            }
            shift_range(&[multiplier([a, b], y).1])?;
            Target::new(y, self.activation)?;
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (inputs, output) = ([cx.input_type(node, 0), cx.input_type(node, 1)], cx.output_type(node, 0));
        if output.element == F32 {
            Elementwise::of_node(cx, "mul_f32", node).unroll(4).lower(cx, |k, x, _| {
                let product = k.mul(x[0], x[1]);
                clamp_float(k, product, self.activation)
            });
            return Ok(());
        }
        let (multiplier, shift) = multiplier(inputs, output);
        let target = Target::new(output, self.activation)?;
        Elementwise::of_node(cx, format!("mul_{}", output.element), node).lower(cx, |k, x, _| {
            let factors = [0, 1].map(|i| {
                let wide = k.widen(x[i], Elem::I32);
                let zero_point = k.int(k.ty(wide), inputs[i].zero_point());
                k.sub(wide, zero_point)
            });
            let product = k.mul(factors[0], factors[1]);
            let scaled = Scale::constant(k, k.ty(product).lanes as usize, multiplier, shift).apply(k, product);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

fn multiplier(inputs: [&TensorType; 2], output: &TensorType) -> (i32, i32) {
    let [a, b, y] = [inputs[0], inputs[1], output].map(|t| t.scale().unwrap_or(1.0));
    quantize_multiplier(mul_multiplier(a, b, y))
}
