//! ADD_N: the sum of all operands, added in their order.
//!
//! f32, i32 (which wraps). Operands have one shape.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::{Elementwise, Operand};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

/// Operands of one kernel: each needs a register for its address.
const OPERANDS: usize = 4;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1024, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I32])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let shape = &s.input(0)?.shape;
        for i in 1..s.inputs.len() {
            let other = &s.input(i)?.shape;
            if other != shape {
                return Err(Diagnostic::new(Code::OPERAND, "all operands must have the same shape")
                    .detail(format!("input {i}"))
                    .expected(format!("{shape:?}"))
                    .found(format!("{other:?}")));
            }
        }
        Ok(vec![shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let name = node.op.kernel_name(cx.output_type(node, 0).element);
        let sum = |k: &mut KernelBuilder, x: &[Value], _: &[Arg]| x[1..].iter().fold(x[0], |sum, &v| k.add(sum, v));
        if node.inputs.len() <= OPERANDS {
            Elementwise::of_node(cx, name, node).unroll(2).lower(cx, sum);
            return Ok(());
        }
        // The sum so far is where the result will be.
        let y = Operand::of_value(cx, node.outputs[0]);
        let operands: Vec<Operand> = node.inputs.iter().flatten().map(|&v| Operand::of_value(cx, v)).collect();
        let (first, others) = operands.split_at(OPERANDS);
        Elementwise::new(name.clone(), first.to_vec(), y.clone()).unroll(2).lower(cx, sum);
        for some in others.chunks(OPERANDS - 1) {
            let inputs = [std::slice::from_ref(&y), some].concat();
            Elementwise::new(name.clone(), inputs, y.clone()).in_place(0).unroll(2).lower(cx, sum);
        }
        Ok(())
    }
}
