//! Functions of two numbers at the same place, with broadcasting: integers are taken as they are.
//!
//! Not sums and products of quantised numbers, which are rescaled. Quantised operands and results have one scale and zero point, which the
//! reference leaves unchecked. Integers wrap.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::tensor::ElementType::{self, Bool, F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_tile::{KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Pair {
    types: &'static [Row],
    f: fn(&mut KernelBuilder, Value, Value) -> Value,
}

const ORDERED: &[ElementType] = &[F32, I8, U8, I16, I32, I64];
const TRUTHS: &[Row] = &[Row::Same(&[Bool])];

family! { Pair:
    /// a where both are true
    logical_and = Pair { types: TRUTHS, f: |k, a, b| k.and(a, b) };
    /// Whether one of them is true
    logical_or = Pair { types: TRUTHS, f: |k, a, b| k.or(a, b) };
    /// a if it is larger, else b: NaN of a gives b
    maximum = Pair { types: &[Row::Same(ORDERED)], f: |k, a, b| k.max(a, b) };
    /// a if it is smaller, else b: NaN of a gives b
    minimum = Pair { types: &[Row::Same(ORDERED)], f: |k, a, b| k.min(a, b) };
}

impl Family for Pair {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (a, b, y) = (s.input(0)?, s.input(1)?, s.output(0));
        for x in [a, b] {
            checks::same_quantization(x, y)?;
        }
        Ok(vec![checks::broadcast(&a.shape, &b.shape)?])
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let element = cx.output_type(node, 0).element;
        Elementwise::of_node(cx, node.op.kernel_name(element), node).unroll(4).lower(cx, |k, x, _| (self.f)(k, x[0], x[1]));
        Ok(())
    }
}
