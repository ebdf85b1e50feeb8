//! SQUARED_DIFFERENCE: (a − b)² with broadcasting.
//!
//! f32; i32, which wraps; i8 quantised per tensor: both operands are raised by 7 bits and brought to twice the larger of their scales, as in
//! ADD, the square of the difference is brought to the scale of the result. Beyond the reference: results whose scale is so small that the
//! square grows are computed, where it aborts.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::requantize::{INTEGER, Scale, Target, shift_range};
use crate::ops::attributes::Activation;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::{quantize_multiplier, squared_difference_multipliers};
use crate::tensor::ElementType::{F32, I8, I32};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Elem, Machine};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, I32])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        if y.element == I8 {
            checks::all_per_tensor(s)?;
            shift_range(&multipliers([a, b], y).map(|m| m.1))?;
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn is_pointwise(&self, s: &Signature) -> bool {
        s.output(0).element != I8
    }

    fn pointwise<'a>(&self, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(Pointwise::elements(|k, x| {
            let difference = k.sub(x[0], x[1]);
            k.mul(difference, difference)
        })))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (inputs, y) = ([cx.input_type(node, 0), cx.input_type(node, 1)], cx.own_type(node));
        if y.element != I8 {
            return pointwise::lower(cx, node);
        }
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let ([a, b, square], target) = (multipliers(inputs, y), Target::new(y, Activation::None)?);
        cx.note_rescaling(INTEGER, 1);
        e.lower(cx, |k, x, _| {
            let lanes = k.ty(x[0]).lanes as usize;
            let terms = [a, b].into_iter().enumerate().map(|(i, (multiplier, shift))| {
                let wide = k.widen(x[i], Elem::I32);
                let zero_point = k.int(k.ty(wide), inputs[i].zero_point());
                let moved = k.sub(wide, zero_point);
                let raised = k.shl_imm(moved, 7);
                Scale::constant(k, lanes, multiplier, shift).apply(k, raised)
            });
            let terms: Vec<_> = terms.collect();
            let difference = k.sub(terms[0], terms[1]);
            let product = k.mul(difference, difference);
            let scaled = Scale::constant(k, lanes, square.0, square.1).apply(k, product);
            target.apply(k, scaled)
        });
        Ok(())
    }
}

/// Of both operands and of the square.
fn multipliers(inputs: [&TensorType; 2], y: &TensorType) -> [(i32, i32); 3] {
    let [a, b, y] = [inputs[0], inputs[1], y].map(|t| t.scale().unwrap_or(1.0));
    squared_difference_multipliers(a, b, y).map(quantize_multiplier)
}
