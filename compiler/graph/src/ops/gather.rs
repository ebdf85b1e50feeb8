//! GATHER: the elements along an axis that a list of indices names.
//!
//! Any element type of whole bytes; indices of i16, i32 and i64. The first `batch_dims` axes are common to input and indices. A constant
//! index beyond the axis is refused; one that is only known at run time ends the invocation.

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
pub struct Attributes {
    pub axis: usize,
    pub batch_dims: usize,
}
fields!(axis, batch_dims);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I16, I32, I64]], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let (axis, batch_dims) = source.operator.builtin_options_as_gather_options().map_or((0, 0), |o| (o.axis(), o.batch_dims()));
        let axis = checks::axis(axis.into(), s.input(0)?.rank())?;
        // As many as the indices have is possible.
        let batch_dims = match batch_dims {
            0 => 0,
            n => checks::axis(n.into(), s.input(1)?.rank() + 1 - usize::from(n < 0))?,
        };
        Ok(Attributes { axis, batch_dims })
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match counted {
            [None, Some(_), ..] if self.axis == 0 && self.batch_dims == 0 && s.input(1)?.rank() != 0 => Ok(vec![Some(Count::Of(1))]),
            _ => counts::none(s, counted),
        }
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, indices) = (s.input(0)?, s.input(1)?);
        checks::axes_exist(&[self.axis], x.rank())?;
        let fits = self.batch_dims <= self.axis && self.batch_dims <= indices.rank();
        if !fits || x.shape[..self.batch_dims] != indices.shape[..self.batch_dims] {
            return Err(Diagnostic::new(Code::OPERAND, "the indices do not fit the input")
                .detail("input 1")
                .expected(format!("{} dimensions, before axis {}, that are the same in both", self.batch_dims, self.axis))
                .found(format!("{:?} for {:?}", indices.shape, x.shape)));
        }
        checks::sized([&x.shape[..self.axis], &indices.shape[self.batch_dims..], &x.shape[self.axis + 1..]].concat())
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, indices) = (cx.input_type(node, 0), cx.input_type(node, 1));
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let gather = Gather {
            batches: product(&x.shape[..self.batch_dims]),
            outer: product(&x.shape[self.batch_dims..self.axis]),
            count: product(&indices.shape[self.batch_dims..]),
            sizes: vec![x.shape[self.axis]],
            run_bytes: product(&x.shape[self.axis + 1..]) * x.element.bytes().expect("infer has seen the type"),
        };
        gather.lower(cx, node, [0, 1])
    }
}
