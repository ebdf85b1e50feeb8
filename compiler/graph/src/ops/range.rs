//! RANGE: the numbers from a start to before a limit, by steps.
//!
//! i32, i64 and f32, of constants. Floats are added up one after the other, as in the reference. Not handled: numbers known only at run
//! time, which would decide the shape.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::requantize::elem;
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32, I64};
use crate::text::fields::{Field, FieldType, fields};
use cranelite_tile::KernelBuilder;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub start: Number,
    pub step: Number,
    pub count: usize,
}
fields!(start, step, count);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Integer(i64),
    Float(f32),
}

impl FieldType for Number {
    fn to_field(&self) -> Field {
        match *self {
            Number::Integer(v) => Field::Integer(v),
            Number::Float(v) => Field::Float(v),
        }
    }
    fn from_field(field: &Field) -> Option<Self> {
        match *field {
            Field::Integer(v) => Some(Number::Integer(v)),
            Field::Float(v) => Some(Number::Float(v)),
            _ => None,
        }
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I32, I64], &[T, T, T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let element = s.output(0).element;
        let mut numbers = vec![];
        for (i, what) in ["the start", "the limit", "the step"].into_iter().enumerate() {
            let (ty, data) = s.constant(i, what)?;
            if ty.element != element {
                return Err(Diagnostic::new(Code::TYPES, format!("{what} is not of the result's type"))
                    .detail(format!("input {i}"))
                    .expected(element.name())
                    .found(ty.element.name()));
            }
            if ty.rank() != 0 {
                return Err(Diagnostic::new(Code::OPERAND, format!("{what} must be a scalar"))
                    .detail(format!("input {i}"))
                    .found(format!("{:?}", ty.shape)));
            }
            numbers.push(match element {
                F32 => Number::Float(f32::from_le_bytes(data.try_into().expect("four bytes"))),
                _ => Number::Integer(s.constant_integer(i, what)?),
            });
        }
        let (start, limit, step) = (numbers[0], numbers[1], numbers[2]);
        let count = count(start, limit, step).ok_or_else(|| {
            Diagnostic::new(Code::ATTRIBUTE, "the range is not possible")
                .expected("a step that leads from the start to the limit, and fewer than 2147483648 numbers")
                .found(format!("from {} to {} by {}", start.to_field(), limit.to_field(), step.to_field()))
        })?;
        Ok(Attributes { start, step, count })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let is_float = s.output(0).element == F32;
        if [self.start, self.step].iter().any(|n| matches!(n, Number::Float(_)) != is_float) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the numbers are not of the result's type"));
        }
        let (low, high) = elem(s.output(0).element).map_or((0, 0), |e| e.int_range());
        if [self.start, self.step].iter().any(|n| matches!(n, Number::Integer(v) if !(low..=high).contains(v))) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the numbers do not fit the result's type"));
        }
        checks::dimension("the number of elements", i64::try_from(self.count).unwrap_or(i64::MAX))?;
        Ok(vec![vec![self.count]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if self.count == 0 {
            return Ok(());
        }
        let elem = elem(cx.output_type(node, 0).element).expect("infer has seen the type");
        let mut k = KernelBuilder::new(format!("range_{elem}_{}", self.count));
        let y = k.write("y");
        let [start, step] = [self.start, self.step].map(|n| match n {
            Number::Float(v) => k.float(elem.x(1), v),
            Number::Integer(v) => k.int(elem.x(1), v),
        });
        k.repeat("i", self.count, 1, &[start], |k, i, v| {
            k.store(y.at(i * i64::from(elem.bytes())), v[0]);
            vec![k.add(v[0], step)]
        });
        let y = cx.output(node, 0);
        cx.call(k.finish(), &[y], &[]);
        Ok(())
    }
}

/// How many numbers there are; `None` if the step leads away, or nowhere.
fn count(start: Number, limit: Number, step: Number) -> Option<usize> {
    let count = match (start, limit, step) {
        (Number::Float(start), Number::Float(limit), Number::Float(step)) => {
            let leads = (limit <= start && step < 0.0) || (start <= limit && 0.0 < step);
            let count = libm::ceilf(((limit - start) / step).abs());
            (leads && count < i32::MAX as f32).then_some(count as i128)?
        }
        (Number::Integer(start), Number::Integer(limit), Number::Integer(step)) => {
            let leads = (limit <= start && step < 0) || (start <= limit && 0 < step);
            let (span, step) = ((i128::from(limit) - i128::from(start)).abs(), i128::from(step).abs());
            leads.then(|| (span + step - 1) / step)?
        }
        _ => return None,
    };
    usize::try_from(count).ok().filter(|n| *n <= i32::MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_not_reached() {
        let integers = |a, b, c| count(Number::Integer(a), Number::Integer(b), Number::Integer(c));
        assert_eq!(
            [(0, 10, 3), (0, 9, 3), (5, 5, 1), (10, 0, -4)].map(|(a, b, c)| integers(a, b, c)),
            [Some(4), Some(3), Some(0), Some(3)]
        );
        assert_eq!([(0, 10, 0), (0, 10, -1), (10, 0, 1), (i64::MIN, i64::MAX, 1)].map(|(a, b, c)| integers(a, b, c)), [None; 4]);
        let floats = |a, b, c| count(Number::Float(a), Number::Float(b), Number::Float(c));
        assert_eq!(floats(0.0, 1.0, 0.3), Some(4));
        assert_eq!(floats(1.0, 0.0, -0.5), Some(2));
        assert_eq!([floats(0.0, 1.0, 0.0), floats(0.0, f32::NAN, 1.0), floats(0.0, f32::INFINITY, 1.0), floats(0.0, 1.0, -1.0)], [None; 4]);
    }
}
