//! SPLIT: the parts of the input along an axis, all equally long.
//!
//! Any element type of whole bytes. The axis is a constant. Parts along the outermost axis are no copies.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
}
fields!(axis);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::These(&[1]), outputs: 1..=1024 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let number = source.operator.builtin_options_as_split_options().map_or(0, |o| o.num_splits());
        checks::result_count(number, s)?;
        Ok(Attributes { axis: checks::axis(s.constant_integer(0, "the axis")?, s.input(1)?.rank())? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis], x.rank())?;
        let mut shape = x.shape.clone();
        if !shape[self.axis].is_multiple_of(s.outputs.len()) {
            return Err(Diagnostic::new(Code::OPERAND, "the input has no equal parts")
                .detail("input 0")
                .expected(format!("a multiple of {} along axis {}", s.outputs.len(), self.axis))
                .found(format!("{shape:?}")));
        }
        shape[self.axis] /= s.outputs.len();
        Ok(vec![shape; s.outputs.len()])
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::along(cx, node, self.axis);
        Ok(())
    }
}
