//! DIV: a / b with broadcasting and a fused activation.
//!
//! f32; i32, toward zero; i8, u8 quantised per tensor: the product of a and a fixed-point reciprocal of b, from a table, rescaled. The
//! reference stops where an integer is divided by zero; here the result is that of 0. Of quotients that are nearly
//! nothing it shifts by more than 31 bits, which means nothing in C++: the integers here are those that x86 makes of it.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{INTEGER, Target, clamp_float, clamp_integer};
use crate::lower::{Context, integers};
use crate::ops::attributes::Activation;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{div_multiplier, get_reciprocal, quantize_multiplier};
use crate::tensor::ElementType::{F32, I8, I32, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Binary, Cond, Elem, Machine, ShiftRange, Unary};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub activation: Activation,
}
fields!(activation);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8, I32])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let activation = match source.operator.builtin_options_as_div_options() {
            Some(options) => Activation::decode(options.fused_activation_function())?,
            None => Activation::None,
        };
        Ok(Attributes { activation })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            Target::new(y, self.activation)?;
            // A quotient has 23 bits of its own at least.
            let (_, shift) = multiplier([a, b], y);
            if 23 < shift {
                return Err(Diagnostic::new(Code::SCALE, "the quotient of input and output scales is out of range")
                    .expected("below 2^23")
                    .found(format!("about 2^{shift}")));
            }
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
        let activation = self.activation;
        Ok(Some(match s.output(0).element {
            F32 => Pointwise::elements(move |k, x| {
                let quotient = k.div(x[0], x[1]);
                clamp_float(k, quotient, activation)
            })
            .unroll(2),
            _ => Pointwise::elements(move |k, x| {
                let quotient = integers::divide(k, x[0], x[1], false);
                clamp_integer(k, quotient, activation)
            })
            .unroll(1),
        }))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (inputs, y) = ([cx.input_type(node, 0), cx.input_type(node, 1)], cx.own_type(node));
        if !checks::is_quantized(y.element) {
            return pointwise::lower(cx, node);
        }
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        self.quantized(cx, e, inputs, y)
    }
}

impl Attributes {
    fn quantized(&self, cx: &mut Context, e: Elementwise, inputs: [&TensorType; 2], y: &TensorType) -> Result<(), Diagnostic> {
        let ((multiplier, shift), target) = (multiplier(inputs, y), Target::new(y, self.activation)?);
        let reciprocals: Vec<(i32, i32)> = (0..256).map(|b| if b == 0 { (0, 0) } else { get_reciprocal(b, 31) }).collect();
        let factors: Vec<i32> = reciprocals.iter().map(|r| r.0).collect();
        let shifts: Vec<i32> = reciprocals.iter().map(|r| shift - r.1).collect();
        let (factors, shifts) = (cx.constant_i32("reciprocals", &factors), cx.constant_i32("shifts", &shifts));
        cx.note_rescaling(INTEGER, 1);
        e.table(factors).table(shifts).lower(cx, |k, x, tables| {
            let [a, b] = [0, 1].map(|i| {
                let wide = k.widen(x[i], Elem::I32);
                let zero_point = k.int(k.ty(wide), inputs[i].zero_point());
                k.sub(wide, zero_point)
            });
            let ty = k.ty(a);
            let (zero, one) = (k.int(ty, 0), k.int(ty, 1));
            let (is_negative, opposite) = (k.compare(Cond::Lt, b, zero), k.neg(a));
            let (a, b) = (k.select(is_negative, opposite, a), k.unary(Unary::Abs, b));
            let index = k.narrow(b, Elem::U8);
            let (factor, shift) = (k.lookup(Elem::I32, tables[0].at(0), index), k.lookup(Elem::I32, tables[1].at(0), index));
            // Raised as far as it goes.
            let sign = k.shr_imm(a, 31);
            let bits = k.xor(a, sign);
            let headroom = k.unary(Unary::LeadingZeros, bits);
            let headroom = k.sub(headroom, one);
            let raised = k.binary(Binary::Shl, a, headroom);
            let quotient = k.mul_high_round(raised, factor);
            let (shift, least, multiplier) = (k.sub(shift, headroom), k.int(ty, -31), k.int(ty, multiplier.into()));
            let possible = k.max(shift, least);
            let scaled = k.requantize(quotient, multiplier, possible, ShiftRange::Any);
            // Counts are taken modulo 32, and the mask of the remainder has all bits.
            let (product, count) = (k.mul_high_round(quotient, multiplier), k.neg(shift));
            let shifted = k.binary(Binary::Shr, product, count);
            let is_rounded = k.compare(Cond::Ge, product, zero);
            let rounded = k.select(is_rounded, one, zero);
            let beyond = k.add(shifted, rounded);
            let is_beyond = k.compare(Cond::Lt, shift, least);
            let scaled = k.select(is_beyond, beyond, scaled);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

fn multiplier(inputs: [&TensorType; 2], y: &TensorType) -> (i32, i32) {
    let [a, b, y] = [inputs[0], inputs[1], y].map(|t| t.scale().unwrap_or(1.0));
    quantize_multiplier(div_multiplier(a, b, y))
}
