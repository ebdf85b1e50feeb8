//! Reductions: MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY and REDUCE_ALL of the elements along the given axes.
//!
//! The axes are a constant. Quantised integers are summed exactly and rescaled once, for MEAN by the quotient of the scales divided by
//! the number of elements; i16 has zero points 0. Where so many elements may have a sum beyond 32 bits it has 64, and is right where
//! the reference's wraps around. Products of quantised integers are rescaled after each factor, as in the reference. SUM takes i8 and
//! i16 for what they are, where LiteRT 2.3.0's reference kernel reads their bytes as u8. Sums and products of i32 and i64 wrap, the
//! mean is rounded toward zero. Of no elements the result is that which changes no other, except for MEAN and quantised products, which
//! are refused.

use super::channels::Channels;
use super::counts::{self, Count};
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::reduce::{Reduction, reduce};
use crate::tensor::ElementType::{Bool, F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Ascending, each at most once.
    pub axes: Vec<usize>,
    pub keep_dims: bool,
}
fields!(axes, keep_dims);

pub struct Reduce {
    types: &'static [Row],
    reduction: Reduction,
}

const NUMBERS: types::Set = &[F32, I8, U8, I16, I32, I64];

family! { Reduce:
    /// Σ x / n over n elements
    mean = Reduce { types: &[Row::Same(NUMBERS)], reduction: Reduction::Mean };
    /// Σ x
    sum = Reduce { types: &[Row::Same(NUMBERS)], reduction: Reduction::Sum };
    /// Π x
    reduce_prod = Reduce { types: &[Row::Same(&[F32, I8, I16, I32, I64])], reduction: Reduction::Product };
    /// The largest element.
    reduce_max = Reduce { types: &[Row::Same(NUMBERS)], reduction: Reduction::Largest };
    /// The smallest element.
    reduce_min = Reduce { types: &[Row::Same(NUMBERS)], reduction: Reduction::Least };
    /// Whether one is true.
    reduce_any = Reduce { types: &[Row::Same(&[Bool])], reduction: Reduction::Any };
    /// Whether all are true.
    reduce_all = Reduce { types: &[Row::Same(&[Bool])], reduction: Reduction::All };
}

impl Family for Reduce {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let (_, values) = source.signature.constant_integers(1, "the axes")?;
        let axes = checks::axes(&values, source.signature.input(0)?.rank())?;
        let keep_dims = source.operator.builtin_options_as_reducer_options().is_some_and(|o| o.keep_dims());
        Ok(Attributes { axes, keep_dims })
    }

    fn infer(&self, a: &Attributes, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (input, output) = (signature.input(0)?, signature.output(0));
        checks::axes_ascend(&a.axes, input.rank())?;
        if checks::is_quantized(input.element) {
            match self.reduction {
                Reduction::Largest | Reduction::Least => checks::same_quantization(input, output)?,
                _ => checks::all_per_tensor(signature)?,
            }
        }
        if input.element == I16 {
            checks::no_zero_point("the input", input)?;
            checks::no_zero_point("the output", output)?;
        }
        let sizes = input.shape.iter().enumerate();
        Ok(vec![match a.keep_dims {
            true => sizes.map(|(i, &d)| if a.axes.contains(&i) { 1 } else { d }).collect(),
            false => sizes.filter(|(i, _)| !a.axes.contains(i)).map(|(_, &d)| d).collect(),
        }])
    }

    fn counts(&self, a: &Attributes, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        if !matches!(counted, [Some(_), None]) || a.axes.first() != Some(&0) {
            return counts::rows(s, counted, self.infer(a, s));
        }
        let x = s.input(0)?;
        let by_count = match self.reduction {
            Reduction::Mean => x.element != F32,
            Reduction::Product => checks::is_quantized(x.element),
            _ => false,
        };
        if by_count {
            let d =
                Diagnostic::new(Code::FEATURE, "the number of elements is known at run time only, which decides how integers are rescaled");
            return Err(d.detail("input 0").help("compute it in f32"));
        }
        Ok(vec![None])
    }

    fn channels(&self, a: &Attributes, s: &Signature) -> Channels {
        let last = s.input(0).map_or(0, |x| x.rank().saturating_sub(1));
        if a.axes.contains(&last) { Channels::Whole } else { Channels::Same }
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        // Products are not of differences to the zero point alone.
        if self.reduction == Reduction::Product { Moves::None } else { Moves::Together }
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        reduce(cx, node, self.reduction, &a.axes)
    }
}
