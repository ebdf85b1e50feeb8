//! SEGMENT_SUM: the rows of the first input that have the same number in the second one, added up.
//!
//! f32 and i32, which wraps around. Numbers begin with 0 and become larger by 1 at most. Where they are known at run time only, the number of sums is
//! counted, and other numbers end the invocation.

use super::counts::{self, Count};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::scatter::Scatter;
use crate::lower::{Context, copy, moves};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_tile::{Binary, Cond, Elem, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// How many there are; the most there can be if they are counted.
    pub segments: usize,
    pub is_counted: bool,
}
fields!(segments, is_counted);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I32], &[T, &[I32]], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        if s.optional(1).is_some_and(|o| o.data.is_none()) {
            return Ok(Attributes { segments: s.input(0)?.shape.first().copied().unwrap_or(0), is_counted: true });
        }
        let (_, numbers) = s.constant_integers(1, "the numbers of segments")?;
        let mut before = -1;
        for (i, &n) in numbers.iter().enumerate() {
            if n != before + 1 && (n != before || i == 0) {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "numbers of segments begin with 0 and become larger by 1 at most")
                    .detail("input 1")
                    .found(n.to_string()));
            }
            before = n;
        }
        Ok(Attributes { segments: (before + 1) as usize, is_counted: false })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, numbers) = (s.input(0)?, s.input(1)?);
        if x.rank() == 0 || numbers.shape != x.shape[..1] || x.shape[0] < self.segments {
            return Err(Diagnostic::new(Code::OPERAND, "the numbers of segments do not fit the input")
                .detail("input 1")
                .expected(format!("one for each row of {:?}", x.shape))
                .found(format!("{:?}", numbers.shape)));
        }
        let sums = checks::sized([&[self.segments], &x.shape[1..]].concat())?;
        Ok([sums, vec![vec![]]].concat().into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let none = counts::none(s, counted)?;
        Ok(if self.is_counted { vec![Some(Count::Own)] } else { none })
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let rows = x.shape[0];
        let numbers = cx.input(node, 1);
        if self.is_counted && rows == 0 {
            let (zero, to) = (cx.constant_i32("zero", &[0]), cx.output(node, 1));
            copy::whole(cx, zero, to);
        } else if self.is_counted {
            check(cx, node, rows);
        }
        if y.element_count() == 0 {
            return Ok(());
        }
        moves::fill(cx, node, 0);
        let (from, to) = (cx.input(node, 0), cx.output(node, 0));
        let run = y.shape[1..].iter().product();
        let scatter = Scatter { count: rows, sizes: vec![self.segments], run, element: y.element, combine: Binary::Add, neutral: None };
        scatter.lower(cx, (numbers, I32), from, to);
        Ok(())
    }
}

/// Counts segments, and ends the invocation unless their numbers are in order.
fn check(cx: &mut Context, node: &Node, rows: usize) {
    let int = Elem::I32.x(1);
    let mut k = KernelBuilder::new("segments");
    let (numbers, status, count) = (k.read("numbers"), k.write("status"), k.write("count"));
    let rows_left = k.param("rows");
    let (zero, one) = (k.int(int, 0), k.int(int, 1));
    let first = k.load(int, numbers.at(0));
    let is_bad = k.compare(Cond::Ne, first, zero);
    let bad = k.select(is_bad, one, zero);
    let last = k.repeat("i", rows_left, 1, &[first, bad], |k, i, v| {
        let n = k.load(int, numbers.at(i * 4 + 4));
        let next = k.add(v[0], one);
        let (is_other, is_not_next) = (k.compare(Cond::Ne, n, v[0]), k.compare(Cond::Ne, n, next));
        let is_bad = k.and(is_other, is_not_next);
        vec![n, k.select(is_bad, one, v[1])]
    });
    k.store(status.at(0), last[1]);
    let segments = k.add(last[0], one);
    k.store(count.at(0), segments);
    let found = cx.scratch("status", 4);
    let buffers = [cx.input(node, 1), found, cx.output(node, 1)];
    cx.call(k.finish(), &buffers, &[rows as i64 - 1]);
    cx.check(found);
}
