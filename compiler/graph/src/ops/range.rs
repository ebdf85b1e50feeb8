//! RANGE: the numbers from a start to before a limit, by steps.
//!
//! i32, i64 and f32. Floats are added up one after the other, as in the reference. Where the numbers are constants, how many there are is known;
//! otherwise it is counted at run time, up to a bound that the user gives, and the invocation ends where there are more, or where the step leads away.
//! What is beyond the count goes on by steps, and means nothing. A span of i64 of more than 63 bits ends the invocation, too; the reference's wraps around.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::requantize::elem;
use crate::ops::counts::{self, Count};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32, I64};
use crate::text::fields::{Field, fields};
use cranelite_tile::{Cond, Elem, KernelBuilder, Rounding, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// How many numbers there are; the most there can be if they are counted.
    pub count: usize,
    pub is_counted: bool,
}
fields!(count, is_counted);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(i64),
    Float(f32),
}

impl Number {
    fn shown(self) -> Field {
        match self {
            Number::Integer(v) => Field::Integer(v),
            Number::Float(v) => Field::Float(v),
        }
    }
}

const NUMBERS: [&str; 3] = ["the start", "the limit", "the step"];

impl Operator for Attributes {
    // The start and the step, and the limit where numbers are counted.
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::These(&[0, 2]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I32, I64], &[T, T, T], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let element = s.output(0).element;
        let mut numbers = vec![];
        for (i, what) in NUMBERS.into_iter().enumerate() {
            let ty = s.input(i)?;
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
            numbers.push(match (element, s.constant(i, what)) {
                (_, Err(d)) => return Ok(Attributes { count: source.most(d)?, is_counted: true }),
                (F32, Ok((_, data))) => Number::Float(f32::from_le_bytes(data.try_into().expect("four bytes"))),
                _ => Number::Integer(s.constant_integer(i, what)?),
            });
        }
        let (start, limit, step) = (numbers[0], numbers[1], numbers[2]);
        let count = count(start, limit, step).ok_or_else(|| {
            Diagnostic::new(Code::ATTRIBUTE, "the range is not possible")
                .expected("a step that leads from the start to the limit, and fewer than 2147483648 numbers")
                .found(format!("from {} to {} by {}", start.shown(), limit.shown(), step.shown()))
        })?;
        Ok(Attributes { count, is_counted: false })
    }

    fn kept(&self) -> Kept {
        if self.is_counted { Kept::These(&[0, 2, 1]) } else { Self::ARITY.kept }
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        for (i, what) in ["the start", "the step", "the limit"].into_iter().enumerate().take(if self.is_counted { 3 } else { 2 }) {
            let ty = s.input(i)?;
            if ty.rank() != 0 {
                let d = Diagnostic::new(Code::OPERAND, format!("{what} must be a scalar")).detail(format!("input {i}"));
                return Err(d.found(format!("{:?}", ty.shape)));
            }
        }
        checks::dimension("the number of elements", i64::try_from(self.count).unwrap_or(i64::MAX))?;
        Ok([vec![self.count], vec![]].into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let none = counts::none(s, counted)?;
        Ok(if self.is_counted { vec![Some(Count::Own)] } else { none })
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let elem = elem(cx.output_type(node, 0).element).expect("infer has seen the type");
        if self.is_counted {
            self.count(cx, node, elem);
        }
        if self.count == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("range_{elem}_{}", self.count));
        let (start, step, y) = (k.read("start"), k.read("step"), k.write("y"));
        let [start, step] = [start, step].map(|arg| k.load(elem.x(1), arg.at(0)));
        k.repeat("i", self.count, 1, &[start], |k, i, v| {
            k.store(y.at(i * i64::from(elem.bytes())), v[0]);
            vec![k.add(v[0], step)]
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

impl Attributes {
    /// Counts the numbers, and ends the invocation where they are too many or the step leads away.
    fn count(&self, cx: &mut Context, node: &Node, elem: Elem) {
        let mut k = KernelBuilder::new(format!("range_count_{elem}_{}", self.count));
        let args = ["start", "step", "limit"].map(|name| k.read(name));
        let (count, status) = (k.write("count"), k.write("status"));
        let [start, step, limit] = args.map(|arg| k.load(elem.x(1), arg.at(0)));
        let (found, is_bad) = match elem {
            Elem::F32 => self.of_floats(&mut k, start, step, limit),
            _ => {
                let [start, step, limit] = [start, step, limit].map(|v| k.widen(v, Elem::I64));
                self.of_integers(&mut k, start, step, limit)
            }
        };
        k.store(count.at(0), found);
        k.store(status.at(0), is_bad);
        let result = cx.scratch("status", 4);
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), cx.output(node, 1), result];
        cx.call(k.finish(), &buffers, &[]);
        cx.check(result);
    }

    /// How many there are, and 1 if that cannot be.
    fn of_integers(&self, k: &mut KernelBuilder, start: Value, step: Value, limit: Value) -> (Value, Value) {
        let [zero, one, most] = [0, 1, self.count as i64].map(|n| k.int(Elem::I64.x(1), n));
        let is_up = k.compare(Cond::Gt, step, zero);
        let (low, high) = (k.select(is_up, start, limit), k.select(is_up, limit, start));
        let away = k.neg(step);
        let step = k.select(is_up, step, away);
        let span = k.sub(high, low);
        let whole = k.div(span, step);
        let rest = k.op(k.ty(span), cranelite_tile::Op::Binary(cranelite_tile::Binary::Rem, span, step));
        let has_rest = k.compare(Cond::Ne, rest, zero);
        let last = k.select(has_rest, one, zero);
        let found = k.add(whole, last);
        let leads_away = k.compare(Cond::Lt, high, low);
        let is_long = k.compare(Cond::Lt, span, zero);
        // Zero, or the least number of all, which has no opposite.
        let goes_nowhere = k.compare(Cond::Le, step, zero);
        let is_more = k.compare(Cond::Gt, found, most);
        let all = [is_long, goes_nowhere, is_more].into_iter().fold(leads_away, |all, bad| k.or(all, bad));
        let bad = k.select(all, one, zero);
        (k.narrow(found, Elem::I32), k.narrow(bad, Elem::I32))
    }

    fn of_floats(&self, k: &mut KernelBuilder, start: Value, step: Value, limit: Value) -> (Value, Value) {
        let int = Elem::I32.x(1);
        let [zero, one, most] = [0, 1, self.count as i64].map(|n| k.int(int, n));
        let none = k.float(Elem::F32.x(1), 0.0);
        let (is_up, is_down) = (k.compare(Cond::Gt, step, none), k.compare(Cond::Lt, step, none));
        let (rises, falls) = (k.compare(Cond::Le, start, limit), k.compare(Cond::Ge, start, limit));
        let (up, down) = (k.and(is_up, rises), k.and(is_down, falls));
        let leads = k.or(up, down);
        let span = k.sub(limit, start);
        let steps = k.div(span, step);
        let steps = k.unary(Unary::Abs, steps);
        let steps = k.unary(Unary::Ceil, steps);
        // What no i32 is as large as is never right, nor is what is no number.
        let largest = k.float(Elem::F32.x(1), 2_147_483_520.0);
        let fits = k.compare(Cond::Le, steps, largest);
        let is_right = k.and(leads, fits);
        let steps = k.select(is_right, steps, none);
        let found = k.convert(steps, Elem::I32, Rounding::TowardZero);
        let is_more = k.compare(Cond::Gt, found, most);
        let more = k.select(is_more, one, zero);
        (found, k.select(is_right, more, one))
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
