//! SLICE: so many elements along every axis, from a first one on.
//!
//! Any element type of whole bytes. The size is a constant; −1 is all that is left. Part of the outermost axis alone is no copy. Where the first
//! ones are known at run time only, and are not where so many elements follow, the invocation ends. So it does where it is only the number along the
//! first axis that is known at run time only, of which there are no more than are left: these are counted, and a −1 there is refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::part::Part;
use crate::lower::{Context, counts as counted, indices, moves, slice};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::tensor::TensorType;
use crate::text::fields::{Field, FieldType, Fields, take};

/// Per axis: the first element taken, and how many are. The first ones may be the second input instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub first: Vec<usize>,
    pub count: Vec<usize>,
    /// The second input is the size, and the first of its numbers at most that of `count`.
    pub is_counted: bool,
}

impl Fields for Attributes {
    fn fields(&self) -> Vec<(&'static str, Field)> {
        let counted = self.is_counted.then(|| ("is_counted", true.to_field()));
        [("first", self.first.to_field()), ("count", self.count.to_field())].into_iter().chain(counted).collect()
    }
    fn from_fields(fields: &mut Vec<(String, Field)>) -> Result<Self, String> {
        let (first, count) = (take(fields, "first")?, take(fields, "count")?);
        let is_counted = fields.iter().any(|(name, _)| name == "is_counted") && take(fields, "is_counted")?;
        Ok(Attributes { first, count, is_counted })
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I32, I64]], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let x = s.input(0)?;
        let numbers = |i: usize, what: &str| {
            let (ty, numbers) = s.constant_integers(i, what)?;
            one_per_axis(x, ty, what).map_err(|d| d.detail(format!("input {i}")))?;
            Ok::<_, Diagnostic>(numbers)
        };
        let mut a = Attributes { first: vec![], count: vec![], is_counted: false };
        let size: Vec<i64> = match numbers(2, "the size") {
            Err(d) if d.code == Code::CONSTANT => {
                let known = source.sizes.numbers(2);
                let rest = known.split_first().filter(|(first, rest)| first.is_none() && rest.iter().all(Option::is_some)).ok_or(d)?.1;
                a.is_counted = true;
                std::iter::once(-1).chain(rest.iter().copied().flatten()).collect()
            }
            size => size?,
        };
        one_per_axis(x, s.input(2)?, "the size").map_err(|d| d.detail("input 2"))?;
        // How much is left is known where the beginning is.
        if s.optional(1).is_some_and(|o| o.data.is_none()) && !size.contains(&-1) {
            a.count = size.into_iter().map(|n| checks::dimension("the size", n)).collect::<Result<_, _>>()?;
            return Ok(a);
        }
        for ((begin, size), &all) in numbers(1, "begin")?.into_iter().zip(size).zip(&x.shape) {
            let first = checks::dimension("begin", begin)?;
            a.first.push(first);
            a.count.push(if size == -1 { all.saturating_sub(first) } else { checks::dimension("the size", size)? });
        }
        Ok(a)
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if self.is_counted {
            counts::by_vector(s, 1, self.count.len())?;
        }
        if let Some(first) = s.optional(1).filter(|_| !self.is_counted) {
            one_per_axis(x, first.ty, "begin").map_err(|d| d.detail("input 1"))?;
            if self.count.len() != x.rank() || self.count.iter().zip(&x.shape).any(|(n, all)| all < n) {
                return Err(Diagnostic::new(Code::OPERAND, "the slice does not fit the input")
                    .expected(format!("at most the elements of {:?}", x.shape))
                    .found(format!("{:?}", self.count)));
            }
            return Ok(vec![self.count.clone()]);
        }
        let fits = |d: usize| self.first[d].checked_add(self.count[d]).is_some_and(|end| end <= x.shape[d]);
        if [self.first.len(), self.count.len()] != [x.rank(); 2] || !(0..x.rank()).all(fits) {
            return Err(Diagnostic::new(Code::OPERAND, "the slice does not fit the input")
                .expected(format!("elements of {:?}", x.shape))
                .found(format!("{:?} from {:?} on", self.count, self.first)));
        }
        Ok([self.count.clone(), vec![]].into_iter().take(s.outputs.len()).collect())
    }

    fn kept(&self) -> Kept {
        match self.is_counted {
            true => Kept::These(&[0, 2]),
            false => Kept::First(if self.first.len() == self.count.len() { 1 } else { 2 }),
        }
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let none = counts::none(s, counted)?;
        Ok(if self.is_counted { vec![Some(Count::Own)] } else { none })
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let element_bytes = x.element.bytes().expect("infer has seen the type");
        if self.is_counted {
            // What the others are is known.
            counted::by_vector(cx, node, 1, &self.count[..1], 1);
        } else if node.input(1).is_some() {
            let elem = indices::elem(cx.input_type(node, 1).element).expect("infer has seen the type");
            let (from, first, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
            let ranges: Vec<_> = x.shape.iter().zip(&self.count).map(|(&all, &n)| (Some(0), (all - n) as i64)).collect();
            indices::check(cx, first, elem, 1, &ranges);
            if !self.count.contains(&0) {
                Part { shape: x.shape.clone(), count: self.count.clone(), element_bytes }.take(cx, (first, elem), from, to);
            }
            return Ok(());
        }
        // Of axes before which there is one index, and behind which all are taken, the elements are one piece.
        let piece = self.count.iter().position(|n| *n != 1).unwrap_or(x.rank());
        let is_piece = (piece + 1..x.rank()).all(|d| self.count[d] == x.shape[d]);
        let first: usize = self.first.iter().zip(moves::strides(&x.shape)).map(|(&n, stride)| n * stride as usize).sum();
        let value = node.input(0).expect("a required input, checked by infer");
        if is_piece && cx.alias_part(node.outputs[0], value, first * element_bytes) {
            return Ok(());
        }
        let axis = |d: usize| slice::Axis { size: x.shape[d], first: self.first[d], stride: 1, count: self.count[d] };
        let axes: Vec<slice::Axis> = (0..x.rank()).map(axis).collect();
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        slice::slice(cx, from, to, &axes, element_bytes);
        Ok(())
    }
}

fn one_per_axis(x: &TensorType, numbers: &TensorType, what: &str) -> Result<(), Diagnostic> {
    match numbers.shape[..] {
        [n] if n == x.rank() => Ok(()),
        _ => Err(Diagnostic::new(Code::OPERAND, format!("{what} does not fit the input"))
            .expected(format!("shape [{}]", x.rank()))
            .found(format!("{:?}", numbers.shape))),
    }
}
