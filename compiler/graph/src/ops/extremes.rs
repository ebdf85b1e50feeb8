//! ARG_MAX and ARG_MIN: the index of the first largest or smallest element along an axis.
//!
//! f32, i8, u8, i16, i32 and bool; the axis is a constant. NaN is neither larger nor smaller than any number.

use super::counts::{self, Count};
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, scan};
use crate::tensor::ElementType::{Bool, F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_schema::{Operator, TensorType};
use cranelite_tile::Cond;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
}
fields!(axis);

pub struct Extreme {
    types: &'static [Row],
    output_type: fn(&Operator) -> Option<TensorType>,
    better: Cond,
}

const ELEMENTS: types::Set = &[F32, I8, U8, I16, I32, Bool];

family! { Extreme:
    /// The largest element.
    arg_max = Extreme {
        types: &[Row::Of(&[ELEMENTS], &[&[I32, I64]])],
        output_type: |o| o.builtin_options_as_arg_max_options().map(|o| o.output_type()),
        better: Cond::Gt,
    };
    /// The smallest element.
    arg_min = Extreme {
        types: &[Row::Of(&[ELEMENTS], &[&[I32, I64]])],
        output_type: |o| o.builtin_options_as_arg_min_options().map(|o| o.output_type()),
        better: Cond::Lt,
    };
}

impl Family for Extreme {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let s = &source.signature;
        checks::index_type((self.output_type)(&source.operator).unwrap_or(TensorType::FLOAT32), s.output(0))?;
        Ok(Attributes { axis: checks::axis(s.constant_integer(1, "the axis")?, s.input(0)?.rank())? })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[a.axis], x.rank())?;
        let mut shape = x.shape.clone();
        if shape.remove(a.axis) == 0 && !shape.contains(&0) {
            return Err(Diagnostic::new(Code::OPERAND, "the axis has no elements").detail("input 0").found(format!("{:?}", x.shape)));
        }
        Ok(vec![shape])
    }

    fn counts(&self, a: &Attributes, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 0 < a.axis {
            true => counts::rows(s, counted, self.infer(a, s)),
            false => counts::none(s, counted),
        }
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        Moves::Apart
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        scan::extremes(cx, node, a.axis, self.better);
        Ok(())
    }
}
