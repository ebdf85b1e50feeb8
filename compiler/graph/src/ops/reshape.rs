//! RESHAPE: the same bytes under another shape.
//!
//! Any element type of a fixed size. The shape comes from the second input if that is an i32 vector, which must then be constant,
//! else from the options, and without those it is a scalar's, as in the reference; one dimension may be −1. Not handled: a shape that is
//! only known at run time. What shares the bytes is never written while another operator still reads them, which LiteRT 2.3.0 does where
//! an ADD works in place on the result.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, copy};
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::SIZED)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let operand = s.optional(1).map(|o| o.ty);
        let by_input = operand.is_some_and(|ty| ty.element == ElementType::I32 && ty.rank() == 1);
        let wanted: Vec<i32> = if by_input {
            let (_, data) = s.constant(1, "the new shape")?;
            data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        } else {
            let shape = source.operator.builtin_options_as_reshape_options().and_then(|o| o.new_shape());
            match shape.map_or(vec![], |s| s.iter().collect::<Vec<_>>()) {
                s if s == [0] => vec![], // how old converters wrote scalars
                s => s,
            }
        };
        let count = s.input(0)?.element_count();
        let shape = resolve(&wanted, count).map_err(|d| match operand.filter(|_| !by_input) {
            Some(ty) => Diagnostic::new(Code::OPERAND, "the operand with the new shape is not a vector of i32, so it is not used")
                .detail("input 1")
                .expected(format!("one dimension, or options with a shape of {count} elements"))
                .found(format!("{} of shape {:?}, and {wanted:?} in the options", ty.element, ty.shape)),
            None if wanted.is_empty() => Diagnostic::new(Code::ATTRIBUTE, "the new shape is neither an input nor an attribute"),
            None => d,
        })?;
        Ok(Attributes { shape })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let count = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(x.element_count()) {
            return Err(mismatch(&self.shape, x.element_count()));
        }
        Ok(vec![self.shape.clone()])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        counts::view(s, counted, &self.shape)
    }

    fn is_view(&self) -> bool {
        true
    }

    fn channels(&self, _: &Signature) -> Channels {
        Channels::View
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        channels::copied(Channels::View, s, operands)
    }

    fn refit(&mut self, s: &Signature) {
        self.shape.clone_from(&s.output(0).shape);
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = node.input(0).expect("checked by infer");
        if !cx.alias(node.outputs[0], x) {
            let (from, to) = (cx.buffer(x), cx.buffer(node.outputs[0]));
            copy::whole(cx, from, to);
        }
        Ok(())
    }
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
