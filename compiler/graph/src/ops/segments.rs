//! UNSORTED_SEGMENT_MAX, MIN, PROD and SUM: the parts of the first input that have the same number in the second one, combined.
//!
//! f32 and i32, which wraps around. How many segments there are is a constant. A part with a negative number belongs to none, and a number beyond
//! the last segment ends the invocation. A segment without parts is what changes nothing.

use super::family::{Family, family};
use super::types::{Row, T};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::moves::Axis;
use crate::lower::scatter::Scatter;
use crate::lower::{Context, indices, moves};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_tile::Binary;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// How many there are.
    pub segments: usize,
}
fields!(segments);

pub struct Segment {
    types: &'static [Row],
    combine: Binary,
    /// What changes nothing.
    neutral: (f32, i32),
}

const TYPES: &[Row] = &[Row::With(&[F32, I32], &[T, &[I32]], &[T])];

family! { Segment:
    /// The largest
    unsorted_segment_max = Segment { types: TYPES, combine: Binary::Max, neutral: (f32::MIN, i32::MIN) };
    /// The smallest
    unsorted_segment_min = Segment { types: TYPES, combine: Binary::Min, neutral: (f32::MAX, i32::MAX) };
    /// The product
    unsorted_segment_prod = Segment { types: TYPES, combine: Binary::Mul, neutral: (1.0, 1) };
    /// The sum
    unsorted_segment_sum = Segment { types: TYPES, combine: Binary::Add, neutral: (0.0, 0) };
}

impl Family for Segment {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(2), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let count = source.signature.constant_integer(2, "the number of segments")?;
        Ok(Attributes { segments: checks::dimension("the number of segments", count)? })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, numbers) = (s.input(0)?, s.input(1)?);
        if !x.shape.starts_with(&numbers.shape) {
            return Err(Diagnostic::new(Code::OPERAND, "the numbers of segments do not fit the input")
                .detail("input 1")
                .expected(format!("the first dimensions of {:?}", x.shape))
                .found(format!("{:?}", numbers.shape)));
        }
        checks::sized([&[a.segments], &x.shape[numbers.rank()..]].concat())
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (list, y) = (cx.input_type(node, 1), cx.output_type(node, 0));
        let count = list.element_count();
        let (from, numbers, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        indices::check(cx, numbers, indices::elem(list.element).expect("infer has seen the type"), count, &[(None, a.segments as i64 - 1)]);
        if y.element_count() == 0 {
            return Ok(());
        }
        let neutral = if y.element == F32 { self.neutral.0.to_le_bytes() } else { self.neutral.1.to_le_bytes() }.to_vec();
        let element = cx.constant("neutral", neutral.clone(), 64);
        moves::elements(cx, element, to, 4, (0, 0), &[Axis { count: y.element_count(), from: 0, to: 1 }]);
        let run = y.shape[1..].iter().product();
        let (sizes, combine) = (vec![a.segments], self.combine);
        Scatter { count, sizes, run, element: y.element, combine, neutral: Some(neutral) }.lower(cx, (numbers, I32), from, to);
        Ok(())
    }
}
