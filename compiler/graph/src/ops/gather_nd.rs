//! GATHER_ND: the parts of the input that tuples of indices along its first axes name.
//!
//! Any element type of whole bytes; indices of i16, i32 and i64. A constant index beyond its axis is refused; one that is only known
//! at run time ends the invocation.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::gather::Gather;
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I16, I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I16, I32, I64]], &[T])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match counted {
            [None, Some(_), ..] if s.input(1)?.rank() != 0 => Ok(vec![Some(Count::Of(1))]),
            _ => counts::none(s, counted),
        }
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, indices) = (s.input(0)?, s.input(1)?);
        let Some((&tuple, rows)) = indices.shape.split_last().filter(|(n, _)| **n <= x.rank() && 0 < x.rank()) else {
            return Err(Diagnostic::new(Code::OPERAND, "the indices do not fit the input")
                .detail("input 1")
                .expected(format!("a last dimension of at most {}", x.rank()))
                .found(format!("{:?}", indices.shape)));
        };
        checks::sized([rows, &x.shape[tuple..]].concat())
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, indices) = (cx.input_type(node, 0), cx.input_type(node, 1));
        let (&tuple, rows) = indices.shape.split_last().expect("infer has seen the shape");
        let gather = Gather {
            batches: 1,
            outer: 1,
            count: rows.iter().product(),
            sizes: x.shape[..tuple].to_vec(),
            run_bytes: x.shape[tuple..].iter().product::<usize>() * x.element.bytes().expect("infer has seen the type"),
        };
        gather.lower(cx, node, [0, 1])
    }
}
