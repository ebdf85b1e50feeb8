//! Selection: elements of one tensor or of another.
//!
//! Elements are taken as they are, so quantised operands and results have one scale and zero point.

use super::family::{Family, family};
use super::types::{Row, T};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::{Elementwise, Operand};
use crate::lower::pointwise::{self, Pointwise};
use crate::lower::{Context, convert};
use crate::tensor::ElementType::{Bool, F32, I8, I16, I32, I64, U8, U32};
use crate::text::fields::fields;
use cranelite_tile::{KernelBuilder, Machine, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Select {
    types: &'static [Row],
    broadcasts: bool,
}

const TYPES: &[Row] = &[Row::With(&[F32, I8, U8, I16, I32, U32, I64, Bool], &[&[Bool], T, T], &[T])];

family! { Select:
    /// a where the condition is true, else b, all of one shape; a condition of one dimension chooses along the first one
    select = Select { types: TYPES, broadcasts: false };
    /// a where the condition is true, else b, with broadcasting
    select_v2 = Select { types: TYPES, broadcasts: true };
}

impl Family for Select {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(3), outputs: 1..=1 };
    const IS_ELEMENTWISE: bool = true;

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (condition, a, b, y) = (s.input(0)?, s.input(1)?, s.input(2)?, s.output(0));
        for x in [a, b] {
            checks::same_quantization(x, y)?;
        }
        if self.broadcasts {
            let both = checks::broadcast(&a.shape, &b.shape)?;
            return Ok(vec![checks::broadcast(&condition.shape, &both)?]);
        }
        if a.shape != b.shape {
            return Err(Diagnostic::new(Code::OPERAND, "both choices must have the same shape")
                .expected(format!("{:?}", a.shape))
                .found(format!("{:?}", b.shape)));
        }
        if condition.shape != a.shape && condition_shape(&condition.shape, &a.shape).is_none() {
            return Err(Diagnostic::new(Code::OPERAND, "the condition does not fit the choices")
                .expected(format!("shape {:?}, or one element for each index of its first dimension", a.shape))
                .found(format!("{:?}", condition.shape)));
        }
        Ok(vec![a.shape.clone()])
    }

    fn is_pointwise(&self, _: &Attributes, s: &Signature) -> bool {
        // Else it chooses along the first dimension.
        self.broadcasts || s.inputs[0].is_some_and(|condition| condition.ty.shape == s.output(0).shape)
    }

    fn pointwise<'a>(&self, _: &Attributes, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(Some(Pointwise::elements(select).unroll(1)))
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (condition, y) = (cx.input_type(node, 0), cx.own_type(node));
        if self.is_pointwise(a, &cx.graph.signature(node)) {
            return pointwise::lower(cx, node);
        }
        let mut e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        let operand = Operand::of_value(cx, node.inputs[0].expect("a condition, checked by infer"));
        let shape = condition_shape(&condition.shape, &y.shape).expect("a shape that infer lets pass");
        e = e.reshape_input(0, Operand { shape, ..operand });
        e.lower(cx, |k, x, _| select(k, x));
        Ok(())
    }
}

fn select(k: &mut KernelBuilder, x: &[Value]) -> Value {
    let mask = convert::mask(k, x[0], k.ty(x[1]).elem);
    k.select(mask, x[1], x[2])
}

/// The shape as which a condition for whole parts of the choices is broadcast to them.
fn condition_shape(condition: &[usize], choices: &[usize]) -> Option<Vec<usize>> {
    match condition {
        [] | [1] => Some(vec![1; choices.len()]),
        [n] if choices.first() == Some(n) => Some([vec![*n], vec![1; choices.len() - 1]].concat()),
        _ => None,
    }
}
