//! DYNAMIC_UPDATE_SLICE: the first input, with the second one in place of a part of it, which begins where the third says.
//!
//! Any element type of whole bytes. A beginning from which the part would leave the array is moved to the nearest one from which it does not, as in
//! the reference. Where nobody else needs the first input, the part is written into it.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::part::Part;
use crate::lower::{Context, copy, indices};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// The first of the indices must be in range, or the invocation ends; for a list whose item a loop sets (`import/items.rs`).
    pub is_checked: bool,
}
fields!(is_checked);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, T, &[I32, I64]], &[T])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { is_checked: false })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, part, first) = (s.input(0)?, s.input(1)?, s.input(2)?);
        if part.rank() != x.rank() || part.shape.iter().zip(&x.shape).any(|(n, all)| all < n) {
            return Err(Diagnostic::new(Code::OPERAND, "the part does not fit the array")
                .detail("input 1")
                .expected(format!("at most the elements of {:?}", x.shape))
                .found(format!("{:?}", part.shape)));
        }
        if first.shape != [x.rank()] {
            return Err(Diagnostic::new(Code::OPERAND, "the first indices do not fit the array")
                .detail("input 2")
                .expected(format!("shape [{}]", x.rank()))
                .found(format!("{:?}", first.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, part) = (cx.input_type(node, 0), cx.input_type(node, 1));
        let elem = indices::elem(cx.input_type(node, 2).element).expect("infer has seen the type");
        let [array, other, first] = [0, 1, 2].map(|i| cx.input(node, i));
        let value = node.input(0).expect("a required input, checked by infer");
        if self.is_checked && !x.shape.is_empty() {
            indices::in_axes(cx, node, 2, 1, &x.shape[..1])?;
        }
        let mut to = array;
        if !cx.may_overwrite(node, array) || !cx.alias(node.outputs[0], value) {
            to = cx.output(node, 0);
            copy::whole(cx, array, to);
        }
        if part.element_count() == 0 {
            return Ok(());
        }
        let element_bytes = x.element.bytes().expect("infer has seen the type");
        Part { shape: x.shape.clone(), count: part.shape.clone(), element_bytes }.put(cx, (first, elem), other, to);
        Ok(())
    }
}
