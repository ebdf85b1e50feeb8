//! TOPK_V2: the largest elements of each row of the innermost axis, in order, and where they are; of equal ones the first is the first.
//!
//! How many is a constant; none if that is negative. NaN comes after all numbers.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::requantize::elem;
use crate::lower::{Context, largest};
use crate::ops::counts::{self, Count};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// How many.
    pub count: usize,
}
fields!(count);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I8, U8, I16, I32, I64], &[T], &[T, &[I32, I16]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let count = source.signature.constant_integer(1, "the number of elements")?;
        Ok(Attributes { count: checks::dimension("the number of elements", count.max(0))? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let Some((&size, rows)) = x.shape.split_last() else {
            return Err(Diagnostic::new(Code::OPERAND, "input is a scalar").expected("at least one dimension"));
        };
        if size < self.count {
            return Err(Diagnostic::new(Code::OPERAND, "a row has fewer elements than are asked for")
                .expected(format!("at most {size}"))
                .found(self.count.to_string()));
        }
        if s.output(1).element == I16 && i16::MAX as usize <= size {
            return Err(Diagnostic::new(Code::TYPES, "a row is too long for indices of i16").found(format!("{:?}", x.shape)));
        }
        let shape = [rows, &[self.count]].concat();
        Ok(vec![shape.clone(), shape])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 1 < s.input(0)?.rank() {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y, places) = (cx.input_type(node, 0), cx.output_type(node, 0), cx.output_type(node, 1));
        if y.element_count() == 0 {
            return Ok(());
        }
        let [elem, index] = [x, places].map(|ty| elem(ty.element).expect("infer has seen the type"));
        let size = *x.shape.last().expect("infer has seen the shape");
        let rows = y.element_count() / self.count;
        let mut buffers = vec![cx.input(node, 0), cx.output(node, 0), cx.output(node, 1)];
        let largest = largest::Largest { elem, index, rows, size, count: self.count };
        if largest.is_ranked(cx.machine) {
            buffers.push(cx.scratch("taken", 4 * self.count as u64));
            cx.call(largest.ranked(cx.machine), &buffers, &[]);
        } else {
            cx.call(largest.kernel(cx.machine), &buffers, &[]);
        }
        Ok(())
    }
}
