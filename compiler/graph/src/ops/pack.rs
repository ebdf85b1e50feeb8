//! PACK: the inputs, all of one shape, as what lies at each index of a new axis.
//!
//! Any element type of whole bytes; what cannot be written in its place is copied there.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::copy::Piece;
use crate::lower::{Context, join};
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
    const ARITY: Arity = Arity { inputs: 1..=1024, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let (count, axis) = source.operator.builtin_options_as_pack_options().map_or((0, 0), |o| (o.values_count(), o.axis()));
        if usize::try_from(count) != Ok(s.inputs.len()) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "values_count is not the number of inputs")
                .expected(s.inputs.len().to_string())
                .found(count.to_string()));
        }
        Ok(Attributes { axis: checks::axis(axis.into(), s.input(0)?.rank() + 1)? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let first = s.input(0)?;
        checks::axes_exist(&[self.axis], first.rank() + 1)?;
        for i in 0..s.inputs.len() {
            let x = s.input(i)?;
            if x.shape != first.shape {
                return Err(Diagnostic::new(Code::OPERAND, "all inputs must have one shape")
                    .detail(format!("input {i}"))
                    .expected(format!("{:?}", first.shape))
                    .found(format!("{:?}", x.shape)));
            }
            checks::same_quantization(x, s.output(0)).map_err(|d| d.detail(format!("input {i}")))?;
        }
        let mut shape = first.shape.clone();
        shape.insert(self.axis, s.inputs.len());
        checks::sized(shape)
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        if x.element_count() == 0 {
            return Ok(());
        }
        let rows: usize = x.shape[..self.axis].iter().product();
        let size_bytes = x.size_bytes() / rows;
        let mut pieces = vec![];
        for i in 0..node.inputs.len() {
            pieces.push(Piece { from: cx.input(node, i), offset: i * size_bytes, size_bytes, table: None, is_overwritten: false });
        }
        let to = cx.output(node, 0);
        join::rows(cx, node, rows, node.inputs.len() * size_bytes, pieces, to);
        Ok(())
    }
}
