//! STABLEHLO_GATHER: slices of an array that begin where tuples of indices say.
//!
//! Any element type of 1, 2, 4 or 8 bytes. A slice that would reach beyond the array begins earlier.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::slices::{Slices, Tuples};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Axes of the result that are axes of slices.
    pub offset_dims: Vec<usize>,
    /// Axes of slices of one element that are left out.
    pub collapsed_slice_dims: Vec<usize>,
    /// Of each index of a tuple, which axis of the array it is an index of.
    pub start_index_map: Vec<usize>,
    /// Along which axis of the indices a tuple lies; beyond the last one, each index is a tuple.
    pub index_vector_dim: usize,
    pub slice_sizes: Vec<usize>,
}
fields!(offset_dims, collapsed_slice_dims, start_index_map, index_vector_dim, slice_sizes);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::UP_TO_8_BYTES, &[T, &[I32, I64]], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source
            .operator
            .builtin_options_2_as_stablehlo_gather_options()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        let list = |what: &str, list: Option<Vec<i64>>| -> Result<Vec<usize>, Diagnostic> {
            list.unwrap_or_default().into_iter().map(|n| checks::dimension(what, n)).collect()
        };
        Ok(Attributes {
            offset_dims: list("one of offset_dims", o.offset_dims().map(|l| l.iter().collect()))?,
            collapsed_slice_dims: list("one of collapsed_slice_dims", o.collapsed_slice_dims().map(|l| l.iter().collect()))?,
            start_index_map: list("one of start_index_map", o.start_index_map().map(|l| l.iter().collect()))?,
            index_vector_dim: checks::dimension("index_vector_dim", o.index_vector_dim())?,
            slice_sizes: list("one of slice_sizes", o.slice_sizes().map(|l| l.iter().collect()))?,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, list) = (s.input(0)?, s.input(1)?);
        let tuples = Tuples::new(&list.shape, self.index_vector_dim, &self.start_index_map, x.rank())?;
        let slices = Slices::new(&x.shape, &self.slice_sizes, &self.collapsed_slice_dims, &self.offset_dims, tuples)?;
        checks::sized(slices.shape())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, list) = (cx.input_type(node, 0), cx.input_type(node, 1));
        let tuples = Tuples::new(&list.shape, self.index_vector_dim, &self.start_index_map, x.rank())?;
        Slices::new(&x.shape, &self.slice_sizes, &self.collapsed_slice_dims, &self.offset_dims, tuples)?.gather(cx, node);
        Ok(())
    }
}
