//! SLICE: so many elements along every axis, from a first one on.
//!
//! Any element type of whole bytes. Begin and size are constants; a size of −1 is all that is left. Part of the outermost axis alone is
//! no copy.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::{moves, slice};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

/// Per axis: the first element taken, and how many are.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub first: Vec<usize>,
    pub count: Vec<usize>,
}
fields!(first, count);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let x = s.input(0)?;
        let [begin, size] = [(1, "begin"), (2, "the size")].map(|(i, what)| {
            let (ty, numbers) = s.constant_integers(i, what)?;
            match ty.shape[..] {
                [n] if n == x.rank() => Ok(numbers),
                _ => Err(Diagnostic::new(Code::OPERAND, format!("{what} does not fit the input"))
                    .detail(format!("input {i}"))
                    .expected(format!("shape [{}]", x.rank()))
                    .found(format!("{:?}", ty.shape))),
            }
        });
        let mut a = Attributes { first: vec![], count: vec![] };
        for ((begin, size), &all) in begin?.into_iter().zip(size?).zip(&x.shape) {
            let first = checks::dimension("begin", begin)?;
            a.first.push(first);
            a.count.push(if size == -1 { all.saturating_sub(first) } else { checks::dimension("the size", size)? });
        }
        Ok(a)
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let fits = |d: usize| self.first[d].checked_add(self.count[d]).is_some_and(|end| end <= x.shape[d]);
        if [self.first.len(), self.count.len()] != [x.rank(); 2] || !(0..x.rank()).all(fits) {
            return Err(Diagnostic::new(Code::OPERAND, "the slice does not fit the input")
                .expected(format!("elements of {:?}", x.shape))
                .found(format!("{:?} from {:?} on", self.count, self.first)));
        }
        Ok(vec![self.count.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let element_bytes = x.element.bytes().expect("infer has seen the type");
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
