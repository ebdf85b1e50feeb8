//! STABLEHLO_SCATTER: an array with slices of another one combined with its own, where tuples of indices say.
//!
//! f32, f64 and integers, which wrap around; a subgraph of no operator (the new number) or of one says how: STABLEHLO_ADD, STABLEHLO_MULTIPLY, STABLEHLO_MAXIMUM or
//! STABLEHLO_MINIMUM. What would lie beyond the array is left out.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::slices::{Slices, Tuples};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, F64, I8, I16, I32, I64, U8, U16, U32};
use crate::text::fields::{Field, FieldType, fields};
use cranelite_schema::BuiltinOperator as B;
use cranelite_tile::Binary;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Axes of the updates that are axes of slices.
    pub update_window_dims: Vec<usize>,
    /// Axes of the array that slices do not have, being one element long.
    pub inserted_window_dims: Vec<usize>,
    /// Of each index of a tuple, which axis of the array it is an index of.
    pub scatter_dims_to_operand_dims: Vec<usize>,
    /// Along which axis of the indices a tuple lies; beyond the last one, each index is a tuple.
    pub index_vector_dim: usize,
    pub combine: Combine,
}
fields!(update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, index_vector_dim, combine);

/// What becomes of an update and what is there; none: the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combine(pub Option<Binary>);

const NAMES: [(Combine, &str); 5] = [
    (Combine(None), "update"),
    (Combine(Some(Binary::Add)), "add"),
    (Combine(Some(Binary::Mul)), "mul"),
    (Combine(Some(Binary::Max)), "max"),
    (Combine(Some(Binary::Min)), "min"),
];

impl FieldType for Combine {
    fn to_field(&self) -> Field {
        Field::Word(NAMES.iter().find(|n| n.0 == *self).map_or("update", |n| n.1).into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        NAMES.iter().find(|n| n.1 == word).map(|n| n.0)
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, F64, I8, U8, I16, U16, I32, U32, I64], &[T, &[I32, I64], T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source
            .operator
            .builtin_options_2_as_stablehlo_scatter_options()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        let combine = match (source.operators_of)(o.update_computation_subgraph_index())?[..] {
            [] => None,
            [B::STABLEHLO_ADD] => Some(Binary::Add),
            [B::STABLEHLO_MULTIPLY] => Some(Binary::Mul),
            [B::STABLEHLO_MAXIMUM] => Some(Binary::Max),
            [B::STABLEHLO_MINIMUM] => Some(Binary::Min),
            _ => {
                return Err(Diagnostic::new(Code::FEATURE, "the subgraph of the updates is no function that is known")
                    .expected("no operator, or one: STABLEHLO_ADD, STABLEHLO_MULTIPLY, STABLEHLO_MAXIMUM or STABLEHLO_MINIMUM"));
            }
        };
        let list = |what: &str, list: Option<Vec<i64>>| -> Result<Vec<usize>, Diagnostic> {
            list.unwrap_or_default().into_iter().map(|n| checks::dimension(what, n)).collect()
        };
        let dims = o.scatter_dims_to_operand_dims().map(|l| l.iter().collect());
        Ok(Attributes {
            update_window_dims: list("one of update_window_dims", o.update_window_dims().map(|l| l.iter().collect()))?,
            inserted_window_dims: list("one of inserted_window_dims", o.inserted_window_dims().map(|l| l.iter().collect()))?,
            scatter_dims_to_operand_dims: list("one of scatter_dims_to_operand_dims", dims)?,
            index_vector_dim: checks::dimension("index_vector_dim", o.index_vector_dim())?,
            combine: Combine(combine),
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, list, updates) = (s.input(0)?, s.input(1)?, s.input(2)?);
        let slices = self.slices(&x.shape, &list.shape, &updates.shape)?;
        if slices.shape() != updates.shape {
            return Err(Diagnostic::new(Code::OPERAND, "the updates do not fit indices and input")
                .detail("input 2")
                .expected(format!("{:?}", slices.shape()))
                .found(format!("{:?}", updates.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let [x, list, updates] = [0, 1, 2].map(|i| cx.input_type(node, i));
        self.slices(&x.shape, &list.shape, &updates.shape)?.scatter(cx, node, self.combine.0);
        Ok(())
    }
}

impl Attributes {
    fn slices(&self, x: &[usize], list: &[usize], updates: &[usize]) -> Result<Slices, Diagnostic> {
        let tuples = Tuples::new(list, self.index_vector_dim, &self.scatter_dims_to_operand_dims, x.len())?;
        // The axes that slices do not have are one element long.
        let mut sizes = self.update_window_dims.iter().map(|&d| updates.get(d).copied().unwrap_or(0));
        let is_inserted = |d: &usize| self.inserted_window_dims.contains(d);
        let sizes: Vec<usize> = (0..x.len()).map(|d| if is_inserted(&d) { 1 } else { sizes.next().unwrap_or(0) }).collect();
        Slices::new(x, &sizes, &self.inserted_window_dims, &self.update_window_dims, tuples)
    }
}
