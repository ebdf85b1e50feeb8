//! UNPACK: what lies at each index of an axis, as results of their own without the axis.
//!
//! Any element type of whole bytes. Along the outermost axis nothing is copied.

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
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1024 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let options = source.operator.builtin_options_as_unpack_options();
        checks::result_count(options.map_or(0, |o| o.num()), &source.signature)?;
        Ok(Attributes { axis: checks::axis(options.map_or(0, |o| o.axis()).into(), source.signature.input(0)?.rank())? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis], x.rank())?;
        let mut shape = x.shape.clone();
        if shape.remove(self.axis) != s.outputs.len() {
            return Err(Diagnostic::new(Code::OPERAND, "the number of results is not the size of the axis")
                .expected(x.shape[self.axis].to_string())
                .found(s.outputs.len().to_string()));
        }
        for y in &s.outputs {
            checks::same_quantization(x, y)?;
        }
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
