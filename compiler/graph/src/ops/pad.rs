//! PAD: y = x with elements that stand for zero before and after it, along every axis.
//!
//! All element types of whole bytes. The fill is the result's zero point for quantised i8, u8 and i16, and 0 otherwise. The paddings
//! are a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::copy::container;
use crate::lower::pad::{Axis, pad};
use crate::ops::channels::{Channels, Interval, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::quantize::element_range;
use crate::tensor::ElementType::{BF16, Bool, F16, F32, I8, I16, I32, I64, U8, U16, U32, U64};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::Scalar;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub before: Vec<usize>,
    pub after: Vec<usize>,
}
fields!(before, after);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, Bool])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let (ty, values) = source.signature.constant_integers(1, "the paddings")?;
        let rank = source.signature.input(0)?.rank();
        if ty.shape != [rank, 2] {
            return Err(Diagnostic::new(Code::OPERAND, "the paddings do not fit the input")
                .detail("input 1")
                .expected(format!("shape [{rank}, 2]"))
                .found(format!("{:?}", ty.shape)));
        }
        let mut numbers = vec![];
        for n in values {
            numbers.push(usize::try_from(n).ok().filter(|n| *n <= i32::MAX as usize).ok_or_else(|| {
                Diagnostic::new(Code::ATTRIBUTE, "a padding is out of range").expected("0 to 2147483647").found(n.to_string())
            })?);
        }
        Ok(Attributes { before: numbers.iter().copied().step_by(2).collect(), after: numbers.iter().copied().skip(1).step_by(2).collect() })
    }

    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (input, output) = (signature.input(0)?, signature.output(0));
        if self.before.len() != input.rank() || self.after.len() != input.rank() {
            return Err(Diagnostic::new(Code::OPERAND, "one pair of paddings is needed per axis")
                .expected(format!("{} pairs", input.rank()))
                .found(format!("{} and {}", self.before.len(), self.after.len())));
        }
        fill(output)?;
        let mut elements = 1usize;
        let mut shape = vec![];
        for ((&size, &before), &after) in input.shape.iter().zip(&self.before).zip(&self.after) {
            let padded = size.checked_add(before).and_then(|s| s.checked_add(after));
            let total = padded.and_then(|p| elements.checked_mul(p)).filter(|e| *e < 1 << 48);
            let (Some(padded), Some(total)) = (padded, total) else {
                return Err(Diagnostic::new(Code::SHAPE, "the padded tensor is too large"));
            };
            elements = total;
            shape.push(padded);
        }
        Ok(vec![shape])
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match [&self.before, &self.after].iter().all(|n| n.first() == Some(&0)) {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn channels(&self, _: &Signature) -> Channels {
        if (self.before.last(), self.after.last()) == (Some(&0), Some(&0)) { Channels::Same } else { Channels::Whole }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let y = s.output(0);
        let zero = if y.quantization.is_some() { y.zero_point() } else { 0 };
        (self.channels(s) == Channels::Same).then(|| operands[0].map(|x| x.with(Interval::new(zero, zero))))
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (input, output) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let elem = input.element.bytes().and_then(container).expect("an element type that infer lets pass");
        let fill = fill(output)?;
        let axes: Vec<Axis> = input
            .shape
            .iter()
            .zip(self.before.iter().zip(&self.after))
            .map(|(&size, (&before, &after))| Axis { size, before, after })
            .collect();
        let (x, y) = (cx.input(node, 0), cx.output(node, 0));
        pad(cx, x, y, &axes, elem, fill);
        Ok(())
    }
}

/// What stands for zero, as bits of the container.
fn fill(ty: &TensorType) -> Result<Scalar, Diagnostic> {
    let zero_point = if ty.quantization.is_some() && matches!(ty.element, I8 | U8 | I16) { ty.zero_point() } else { 0 };
    let range = element_range(ty.element).map_or((0, 0), |(low, high)| (low.into(), high.into()));
    if zero_point < range.0 || range.1 < zero_point {
        return Err(Diagnostic::new(Code::SCALE, "the zero point does not fit the element type").found(zero_point.to_string()));
    }
    let bits = match ty.element {
        I8 => zero_point as u8 as i64,
        I16 => zero_point as u16 as i64,
        _ => zero_point,
    };
    Ok(Scalar::Int(bits))
}
