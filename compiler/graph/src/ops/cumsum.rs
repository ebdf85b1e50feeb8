//! CUMSUM: the sums of the elements along an axis up to each of them, or before it, from the first or from the last.
//!
//! f32, i32 and i64; the axis is a constant. Integers wrap.

use crate::diagnostic::Diagnostic;
use crate::graph::{Node, ValueId};
use crate::lower::{Context, scan};
use crate::ops::counts::{self, Count};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub exclusive: bool,
    pub reverse: bool,
}
fields!(axis, exclusive, reverse);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I32, I64])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let axis = checks::axis(s.constant_integer(1, "the axis")?, s.input(0)?.rank())?;
        let options = source.operator.builtin_options_as_cumsum_options();
        let (exclusive, reverse) = options.map_or((false, false), |o| (o.exclusive(), o.reverse()));
        Ok(Attributes { axis, exclusive, reverse })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis], x.rank())?;
        Ok(vec![x.shape.clone()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 0 < self.axis || !self.reverse {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        scan::sums(cx, node, self.axis, self.exclusive, self.reverse);
        Ok(())
    }
}
