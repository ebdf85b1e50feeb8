//! RESHAPE: the same bytes under another shape.
//!
//! Any element type of a fixed size. The shape comes from the second input if that is an i32 vector, which must then be constant,
//! else from the options, and without those it is a scalar's, as in the reference; one dimension may be −1, or known at run time only: the invocation
//! ends unless it is the one that fits. What shares the bytes is never written while another operator still reads them, which LiteRT 2.3.0 does where
//! an ADD works in place on the result.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, copy, counts as counted, indices};
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType;
use crate::text::fields::{Field, FieldType, Fields, take};
use cranelite_tile::Elem;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
    /// A further input has the shape, which must be this one, but for a first dimension that is counted.
    pub is_checked: bool,
}

impl Fields for Attributes {
    fn fields(&self) -> Vec<(&'static str, Field)> {
        let checked = self.is_checked.then(|| ("is_checked", true.to_field()));
        [("shape", self.shape.to_field())].into_iter().chain(checked).collect()
    }
    fn from_fields(fields: &mut Vec<(String, Field)>) -> Result<Self, String> {
        let shape = take(fields, "shape")?;
        let is_checked = fields.iter().any(|(name, _)| name == "is_checked") && take(fields, "is_checked")?;
        Ok(Attributes { shape, is_checked })
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::SIZED, &[T, &[ElementType::I32]], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let operand = s.optional(1).map(|o| o.ty);
        let by_input = operand.is_some_and(|ty| ty.element == ElementType::I32 && ty.rank() == 1);
        let is_checked = by_input && operand.is_some() && s.constant(1, "the new shape").is_err();
        let wanted: Vec<i32> = if by_input {
            match s.constant(1, "the new shape") {
                Ok((_, data)) => data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
                Err(d) => one_open(&source.sizes.numbers(1)).ok_or(d)?,
            }
        } else {
            let shape = source.operator.builtin_options_as_reshape_options().and_then(|o| o.new_shape());
            match shape.map_or(vec![], |s| s.iter().collect::<Vec<_>>()) {
                s if s == [0] => vec![], // how old converters wrote scalars
                s => s,
            }
        };
        if source.counted[0] && wanted.first() != Some(&-1) {
            let d = Diagnostic::new(Code::CONSTANT, "the size of the operand is known at run time only, and not that of the result");
            return Err(d.detail("input 0").expected("-1 as the first dimension of the new shape").found(format!("{wanted:?}")));
        }
        let count = s.input(0)?.element_count();
        let shape = resolve(&wanted, count).map_err(|d| match operand.filter(|_| !by_input) {
            Some(ty) => Diagnostic::new(Code::OPERAND, "the operand with the new shape is not a vector of i32, so it is not used")
                .detail("input 1")
                .expected(format!("one dimension, or options with a shape of {count} elements"))
                .found(format!("{} of shape {:?}, and {wanted:?} in the options", ty.element, ty.shape)),
            None if wanted.is_empty() => Diagnostic::new(Code::ATTRIBUTE, "the new shape is neither an input nor an attribute"),
            None => d,
        })?;
        Ok(Attributes { shape, is_checked })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if self.is_checked && s.input(1)?.shape != [self.shape.len()] {
            let d = Diagnostic::new(Code::OPERAND, "the new shape has another number of dimensions").detail("input 1");
            return Err(d.expected(format!("{:?}", [self.shape.len()])).found(format!("{:?}", s.input(1)?.shape)));
        }
        let count = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(x.element_count()) {
            return Err(mismatch(&self.shape, x.element_count()));
        }
        Ok(vec![self.shape.clone()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        counts::view(s, &counted[..1], &self.shape)
    }

    fn kept(&self) -> Kept {
        Kept::First(if self.is_checked { 2 } else { 1 })
    }

    fn is_view(&self) -> bool {
        !self.is_checked
    }

    fn channels(&self, _: &Signature) -> Channels {
        if self.is_checked { Channels::Whole } else { Channels::View }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        channels::copied(self.channels(s), s, operands)
    }

    fn refit(&mut self, s: &Signature) {
        self.shape.clone_from(&s.output(0).shape);
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = node.input(0).expect("checked by infer");
        if self.is_checked {
            let shape = cx.input(node, 1);
            let count = counted::of(cx, x);
            let ranges =
                self.shape.iter().enumerate().map(|(d, &n)| (Some(if d == 0 && count.is_some() { 0 } else { n as i64 }), n as i64));
            indices::check(cx, shape, Elem::I32, 1, &ranges.collect::<Vec<_>>());
            if let Some(count) = count {
                counted::agree(cx, shape, count);
            }
        }
        if !cx.alias(node.outputs[0], x) {
            let (from, to) = (cx.buffer(x), cx.buffer(node.outputs[0]));
            copy::whole(cx, from, to);
        }
        Ok(())
    }
}

/// What is known of a shape, if that is all but one dimension of it.
fn one_open(known: &[Option<i64>]) -> Option<Vec<i32>> {
    let is_enough = known.iter().filter(|n| n.is_none()).count() == 1;
    let all = || known.iter().map(|n| i32::try_from(n.unwrap_or(-1)).ok()).collect::<Option<Vec<i32>>>();
    is_enough.then(all)?
}

/// The dimensions meant by `wanted` for that many elements.
fn resolve(wanted: &[i32], count: usize) -> Result<Vec<usize>, Diagnostic> {
    let bad = || mismatch(wanted, count);
    let known = wanted.iter().filter(|d| **d != -1).try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?)).ok_or_else(bad)?;
    let open = wanted.iter().filter(|d| **d == -1).count();
    let rest = match (open, known) {
        (0, _) => 0,
        // 0 / 0: the reference divides; nothing but an empty result fits.
        (1, 0) if count == 0 => 0,
        (1, 1..) if count.is_multiple_of(known) => count / known,
        _ => return Err(bad()),
    };
    if open == 0 && known != count {
        return Err(bad());
    }
    Ok(wanted.iter().map(|&d| usize::try_from(d).unwrap_or(rest)).collect())
}

fn mismatch(shape: &[impl std::fmt::Debug], count: usize) -> Diagnostic {
    Diagnostic::new(Code::OPERAND, "the new shape does not fit the input")
        .expected(format!("a shape of {count} elements, at most one dimension open (-1)"))
        .found(format!("{shape:?}"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn open_dimensions() {
        assert_eq!(resolve(&[3, -1], 12).ok(), Some(vec![3, 4]));
        assert_eq!(resolve(&[], 1).ok(), Some(vec![]));
        assert_eq!(resolve(&[3, 0], 0).ok(), Some(vec![3, 0]));
        assert_eq!(resolve(&[0, -1], 0).ok(), Some(vec![0, 0]));
        assert_eq!(resolve(&[-1], 0).ok(), Some(vec![0]));
        for (shape, count) in [(&[5, -1][..], 12), (&[-1, -1], 4), (&[0, -1], 4), (&[-2], 2), (&[i32::MAX; 4], 4), (&[2, 3], 7)] {
            assert!(resolve(shape, count).is_err(), "{shape:?} of {count}");
        }
    }
}
