//! MUL: a · b with broadcasting and a fused activation.
//!
//! f32; i32 and i64, which wrap; i8, u8, i16 quantised per tensor: the exact product of the integers, requantised once, of bytes mostly in
//! f32 with the same results. The reference computes the multiplier in f32.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::proved::{Affine, byte_values, float_of_byte};
use crate::lower::requantize::{INTEGER, Scale, Target, clamp_float, clamp_integer, shift_range};
use crate::ops::attributes::Activation;
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{mul_multiplier, multiply_by_quantized_multiplier, quantize_multiplier};
use crate::tensor::ElementType::{F32, I16};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Elem, KernelBuilder, Machine, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
    pub pot_scale_int16: bool,
}
fields!(activation, pot_scale_int16);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL), Row::Same(types::WHOLE)];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let activation = match source.operator.builtin_options_as_mul_options() {
            Some(options) => Activation::decode(options.fused_activation_function())?,
            None => Activation::None,
        };
        Ok(Attributes { activation, pot_scale_int16: false })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            if y.element == I16 {
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

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        !checks::is_quantized(s.output(0).element)
    }

    fn pointwise<'a>(&self, _: &'a Machine, s: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let (activation, is_float) = (self.activation, s.output(0).element == F32);
        Ok(Some(Pointwise::elements(move |k, x| {
            let product = k.mul(x[0], x[1]);
            if is_float { clamp_float(k, product, activation) } else { clamp_integer(k, product, activation) }
        })))
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (inputs, output) = ([cx.input_type(node, 0), cx.input_type(node, 1)], cx.own_type(node));
        if !checks::is_quantized(output.element) {
            return pointwise::lower(cx, node);
        }
        let (multiplier, shift) = multiplier(inputs, output);
        let target = Target::new(output, self.activation)?;
        let e = Elementwise::of_node(cx, format!("mul_{}", output.element), node);
        let m = cx.machine;
        let affine = proved(m, inputs, (multiplier, shift), target);
        cx.note_rescaling(affine.as_ref().map_or(INTEGER, Affine::form), 1);
        match affine {
            Some(affine) => e.lower(cx, |k, x, _| {
                let factors = factors(k, x, inputs, Elem::I16).map(|f| float_of_byte(k, f));
                let product = k.mul(factors[0], factors[1]);
                affine.apply(k, m, &[product])
            }),
            None => e.lower(cx, |k, x, _| {
                let factors = factors(k, x, inputs, Elem::I32);
                let product = k.mul(factors[0], factors[1]);
                let scaled = Scale::constant(k, k.ty(product).lanes as usize, multiplier, shift).apply(k, product);
                target.apply(k, scaled)
            }),
        }
        Ok(())
    }
}

/// The integers less their zero points, as lanes of `elem`.
fn factors(k: &mut KernelBuilder, x: &[Value], inputs: [&TensorType; 2], elem: Elem) -> [Value; 2] {
    [0, 1].map(|i| {
        let wide = k.widen(x[i], elem);
        match inputs[i].zero_point() {
            0 => wide,
            z => {
                let z = k.int(k.ty(wide), z);
                k.sub(wide, z)
            }
        }
    })
}

/// The requantisation in f32, if it is the same for all products of bytes.
fn proved(m: &Machine, inputs: [&TensorType; 2], (multiplier, shift): (i32, i32), target: Target) -> Option<Affine> {
    let values = byte_values(target.elem).filter(|_| m.has_vectors())?;
    let mut products: Vec<i32> = vec![];
    for a in &values {
        products.extend(values.iter().map(|b| (a - inputs[0].zero_point() as i32) * (b - inputs[1].zero_point() as i32)));
    }
    products.sort_unstable();
    products.dedup();
    let wanted: Vec<i32> = products.iter().map(|&p| multiply_by_quantized_multiplier(p, multiplier, shift)).collect();
    let floats: Vec<f32> = products.iter().map(|&p| p as f32).collect();
    let factor = libm::scalbn(multiplier.into(), shift - 31);
    Affine::of_one(m, &floats, factor, &wanted, target)
}

fn multiplier(inputs: [&TensorType; 2], output: &TensorType) -> (i32, i32) {
    let [a, b, y] = [inputs[0], inputs[1], output].map(|t| t.scale().unwrap_or(1.0));
    quantize_multiplier(mul_multiplier(a, b, y))
}
