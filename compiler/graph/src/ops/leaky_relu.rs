//! LEAKY_RELU: x, of negative numbers alpha · x.
//!
//! f32; i8, u8, i16 quantised per tensor, with a multiplier for each sign that the reference computes in f32. Bytes are looked up in a
//! table of all 256 results.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{INTEGER, Scale, Target, shift_range};
use crate::lower::{Context, table};
use crate::ops::attributes::Activation;
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{leaky_multipliers, multiply_by_quantized_multiplier, quantize_multiplier};
use crate::tensor::ElementType::{F32, I16};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, Machine};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub alpha: f32,
}
fields!(alpha);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { alpha: source.operator.builtin_options_as_leaky_relu_options().map_or(0.0, |o| o.alpha()) })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            checks::no_zero_points_of_words(x, y)?;
            if !self.alpha.is_finite() {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "alpha is not finite").found(self.alpha.to_string()));
            }
            shift_range(&self.multipliers(x, y).map(|m| m.1))?;
        }
        Ok(vec![x.shape.clone()])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.output(0).element == F32
    }

    fn pointwise<'a>(&self, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        let alpha = self.alpha;
        Ok(Some(Pointwise::elements(move |k, x| {
            let (alpha, zero) = (k.float(k.ty(x[0]), alpha), k.float(k.ty(x[0]), 0.0));
            let product = k.mul(x[0], alpha);
            let is_positive = k.compare(Cond::Gt, x[0], zero);
            k.select(is_positive, x[0], product)
        })))
    }

    fn moves(&self, s: &Signature) -> Moves {
        match s.input(0) {
            Ok(x) => Moves::by_table(x, s.output(0), |x, y| Some(self.table(x, y))),
            Err(_) => Moves::None,
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.own_type(node));
        if y.element == F32 {
            return pointwise::lower(cx, node);
        }
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        if y.element != I16 {
            table::bytes(cx, e, &self.table(x, y));
            return Ok(());
        }
        let [positive, negative] = self.multipliers(x, y);
        let target = Target::new(y, Activation::None)?;
        cx.note_rescaling(INTEGER, 1);
        e.lower(cx, |k, x, _| {
            let wide = k.widen(x[0], Elem::I32);
            let ty = k.ty(wide);
            let [up, down] = [positive, negative].map(|(m, s)| Scale::constant(k, ty.lanes as usize, m, s).apply(k, wide));
            let down = if self.alpha < 0.0 { k.neg(down) } else { down };
            let zero = k.int(ty, 0);
            let is_positive = k.compare(Cond::Ge, wide, zero);
            let scaled = k.select(is_positive, up, down);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

impl Attributes {
    /// The results of all bytes.
    fn table(&self, x: &TensorType, y: &TensorType) -> [u8; 256] {
        let ([positive, negative], from, to) = (self.multipliers(x, y), x.zero_point() as i32, y.zero_point() as i32);
        table::entries(y.element, |q| {
            let (multiplier, shift) = if from <= q { positive } else { negative };
            let scaled = multiply_by_quantized_multiplier(q - from, multiplier, shift);
            to.wrapping_add(if q < from && self.alpha < 0.0 { -scaled } else { scaled })
        })
    }

    /// Of positive and of negative numbers. The reference rounds as if the sign of alpha came afterwards.
    fn multipliers(&self, x: &TensorType, y: &TensorType) -> [(i32, i32); 2] {
        leaky_multipliers(x.scale().unwrap_or(1.0), self.alpha.abs(), y.scale().unwrap_or(1.0)).map(quantize_multiplier)
    }
}
