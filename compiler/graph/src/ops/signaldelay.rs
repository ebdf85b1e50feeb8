//! SignalDelay: each row of samples so many samples later, rows of several invocations following each other. At first there are zeros.
//!
//! i16; the samples that are still to come are a state.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::moves::Axis;
use crate::lower::{Context, moves};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::I16;
use crate::tensor::TensorType;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub delay_length: usize,
}
fields!(delay_length);

impl Attributes {
    /// How many rows there are, and how long they are.
    fn rows(&self, x: &TensorType) -> Result<(usize, usize), Diagnostic> {
        let Some((&length, outer)) = x.shape.split_last() else {
            return Err(Diagnostic::new(Code::OPERAND, "input has the wrong rank").expected("at least 1 dimension").found("a scalar"));
        };
        Ok((outer.iter().product(), length))
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[I16])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { delay_length: source.named_options()?.needed("delay_length")? })
    }

    fn own_states(&self, s: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        let (rows, length) = self.rows(s.input(0)?)?;
        // What is delayed lies behind each other for a moment.
        checks::sized(vec![rows, self.delay_length.saturating_add(length)])?;
        Ok(vec![TensorType::new(I16, [rows, self.delay_length])])
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn writes(&self) -> Vec<usize> {
        vec![1]
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (rows, length) = self.rows(cx.input_type(node, 0))?;
        let delay = self.delay_length;
        let (x, late, y) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        let line = cx.scratch("line", 2 * (rows * (delay + length)) as u64);
        let all = delay + length;
        // So many of each row, which are so far apart.
        let mut copy = |from, to, first: (usize, usize), count: usize, apart: [usize; 2]| {
            let [a, b] = apart.map(|n| n as i64);
            moves::elements(cx, from, to, 2, first, &[Axis { count: rows, from: a, to: b }, Axis { count, from: 1, to: 1 }]);
        };
        copy(late, line, (0, 0), delay, [delay, all]);
        copy(x, line, (0, delay), length, [length, all]);
        copy(line, y, (0, 0), length, [all, length]);
        copy(line, late, (length, 0), delay, [all, delay]);
        Ok(())
    }
}
