//! EMBEDDING_LOOKUP_SPARSE: rows of a table, each times a weight, added up in the places of an array; f32.
//!
//! The shape of the array is a constant, of which the last axis is gone. Sums are divided by the sum of the weights (`mean`), or by the root of the
//! sum of their squares (`sqrtn`), for each run of numbers with the same place. Indices out of range end the invocation; the reference leaves out places
//! that are.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, indices};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::{Field, FieldType, fields};
use cranelite_schema as schema;
use cranelite_tile::{Arg, Cond, Elem, Index, KernelBuilder, Machine, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
    pub combiner: Combiner,
}
fields!(shape, combiner);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combiner {
    Sum,
    Mean,
    Sqrtn,
}

const NAMES: [(Combiner, &str); 3] = [(Combiner::Sum, "sum"), (Combiner::Mean, "mean"), (Combiner::Sqrtn, "sqrtn")];

impl FieldType for Combiner {
    fn to_field(&self) -> Field {
        Field::Word(NAMES.iter().find(|n| n.0 == *self).map_or("sum", |n| n.1).into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        NAMES.iter().find(|n| n.1 == word).map(|n| n.0)
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 5..=5, kept: Kept::These(&[0, 1, 3, 4]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I32], &[I32], &[F32], &[F32]], &[&[F32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let combiner = match source.operator.builtin_options_as_embedding_lookup_sparse_options().map(|o| o.combiner()) {
            None | Some(schema::CombinerType::SUM) => Combiner::Sum,
            Some(schema::CombinerType::MEAN) => Combiner::Mean,
            Some(schema::CombinerType::SQRTN) => Combiner::Sqrtn,
            Some(other) => {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "the combiner is not known")
                    .expected("SUM, MEAN or SQRTN")
                    .found(format!("number {}", other.0)));
            }
        };
        let rank = s.input(2)?.element_count();
        Ok(Attributes { shape: s.constant_counts(2, "the shape of the places", &[rank])?, combiner })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (ids, places, weights, table) = (s.input(0)?, s.input(1)?, s.input(2)?, s.input(3)?);
        let fits = ids.rank() == 1
            && weights.shape == ids.shape
            && !self.shape.is_empty()
            && places.shape == [ids.shape[0], self.shape.len()]
            && 2 <= table.rank();
        if !fits {
            return Err(Diagnostic::new(Code::OPERAND, "numbers of rows, places, weights and table do not fit each other")
                .expected("lists of equally many numbers, places and weights, and a table of at least 2 dimensions")
                .found(format!("{:?}, {:?} in {:?}, {:?} and {:?}", ids.shape, places.shape, self.shape, weights.shape, table.shape)));
        }
        checks::sized([&self.shape[..self.shape.len() - 1], &table.shape[1..]].concat())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (ids, table) = (cx.input_type(node, 0), cx.input_type(node, 3));
        let (count, rows, run) = (ids.element_count(), table.shape[0], table.shape[1..].iter().product::<usize>());
        let (places_shape, axes) = (&self.shape[..self.shape.len() - 1], self.shape.len());
        let buckets: usize = places_shape.iter().product();
        indices::in_axes(cx, node, 0, count, &[rows])?;
        let places = cx.input(node, 1);
        let ranges = places_shape.iter().map(|&size| (Some(0), size as i64 - 1)).chain([(None, i64::from(i32::MAX))]);
        indices::check(cx, places, Elem::I32, count, &ranges.collect::<Vec<_>>());
        if buckets * run == 0 {
            return Ok(());
        }
        crate::lower::moves::fill(cx, node, 0);
        if count == 0 {
            return Ok(());
        }
        let (int, float) = (Elem::I32.x(1), Elem::F32.x(1));
        let machine = cx.machine;
        let mut k = KernelBuilder::new(format!("embedding_lookup_sparse_{count}_{rows}x{run}_{buckets}"));
        let (ids, places, weights, x, y) = (k.read("ids"), k.read("places"), k.read("weights"), k.read("table"), k.read_write("y"));
        let [zero, one] = [0, 1].map(|n| k.int(int, n));
        let nothing = k.float(float, 0.0);
        let last = k.repeat("n", count, 1, &[zero, zero, nothing, nothing], |k, n, v| {
            let (current, has_some, total, squares) = (v[0], v[1], v[2], v[3]);
            let mut place = zero;
            for (j, &size) in places_shape.iter().enumerate() {
                let index = k.load(int, places.at((Index::from(n) * axes as i64 + j) * 4));
                let size = k.int(int, size as i64);
                let more = k.mul(place, size);
                place = k.add(more, index);
            }
            let is_other = k.compare(Cond::Ne, place, current);
            let other = k.select(is_other, has_some, zero);
            let turns = k.clamped_index("finished", other, 0, 1);
            k.each("finish", turns, 1, |k, _| self.finish(k, machine, y, (current, buckets), run, [total, squares]));
            let (total, squares) = (k.select(is_other, nothing, total), k.select(is_other, nothing, squares));
            let weight = k.load(float, weights.at(Index::from(n) * 4));
            let square = k.mul(weight, weight);
            let (total, squares) = (k.add(total, weight), k.add(squares, square));
            let id = k.load(int, ids.at(Index::from(n) * 4));
            let row = Index::from(k.clamped_index("row", id, 0, rows as i64 - 1)) * (4 * run as i64);
            let to = Index::from(k.clamped_index("place", place, 0, buckets as i64 - 1)) * (4 * run as i64);
            parts(k, machine, run, |k, first, lanes, exist| {
                let v = k.load_part(Elem::F32.x(lanes), x.at(row.clone() + first.clone() * 4), exist);
                let weight = k.splat(weight, lanes);
                let v = k.mul(v, weight);
                let place = y.at(to.clone() + first * 4);
                let before = k.load_part(Elem::F32.x(lanes), place.clone(), exist);
                let after = k.add(before, v);
                k.store_part(place, after, exist);
            });
            vec![place, one, total, squares]
        });
        self.finish(&mut k, machine, y, (last[0], buckets), run, [last[2], last[3]]);
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), cx.input(node, 3), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

impl Attributes {
    /// Divides the sum of a place, of which there are so many.
    fn finish(&self, k: &mut KernelBuilder, m: &Machine, y: Arg, place: (Value, usize), run: usize, [total, squares]: [Value; 2]) {
        let divisor = match self.combiner {
            Combiner::Sum => return,
            Combiner::Mean => total,
            Combiner::Sqrtn => k.unary(Unary::Sqrt, squares),
        };
        let to = Index::from(k.clamped_index("place", place.0, 0, place.1 as i64 - 1)) * (4 * run as i64);
        parts(k, m, run, |k, first, lanes, exist| {
            let place = y.at(to.clone() + first * 4);
            let v = k.load_part(Elem::F32.x(lanes), place.clone(), exist);
            let divisor = k.splat(divisor, lanes);
            let v = k.div(v, divisor);
            k.store_part(place, v, exist);
        });
    }
}

/// Vectors of a row of floats, none of which overlap: the first one's number, its lanes and how many of them there are.
fn parts(k: &mut KernelBuilder, m: &Machine, run: usize, mut part: impl FnMut(&mut KernelBuilder, Index, usize, usize)) {
    let lanes = m.lanes(Elem::F32);
    let whole = run / lanes * lanes;
    if 0 < whole {
        k.each("c", whole, lanes as i64, |k, c| part(k, c.into(), lanes, lanes));
    }
    if whole < run {
        part(k, whole.into(), (run - whole).next_power_of_two(), run - whole);
    }
}
