//! REVERSE_SEQUENCE: the first elements along an axis, from the last of them to the first; how many is said for each index of another
//! axis.
//!
//! Any element type of whole bytes. Where lengths are known at run time only, one that is longer than the axis ends the invocation, and a negative
//! one is none, as in the reference.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::lower::{copy, indices};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub batch_axis: usize,
    /// Per index of the batch axis, unless the second input says them.
    pub lengths: Vec<usize>,
}
fields!(axis, batch_axis, lengths);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T, &[I32, I64]], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let rank = s.input(0)?.rank();
        let (axis, batch_axis) =
            source.operator.builtin_options_as_reverse_sequence_options().map_or((0, 0), |o| (o.seq_dim(), o.batch_dim()));
        let (axis, batch_axis) = (checks::axis(axis.into(), rank)?, checks::axis(batch_axis.into(), rank)?);
        let lengths = match s.optional(1) {
            Some(o) if o.data.is_none() => vec![],
            _ => s.constant_counts(1, "the lengths", &[s.input(0)?.shape[batch_axis]])?,
        };
        Ok(Attributes { axis, batch_axis, lengths })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis, self.batch_axis], x.rank())?;
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let shape = s.optional(1).map_or(vec![self.lengths.len()], |lengths| lengths.ty.shape.clone());
        if self.axis == self.batch_axis || shape != [x.shape[self.batch_axis]] || x.shape[self.axis] < longest {
            return Err(Diagnostic::new(Code::OPERAND, "the lengths do not fit the input")
                .expected(format!("one for each index of axis {}, of at most the size of axis {}", self.batch_axis, self.axis))
                .found(format!("{:?} for {:?}", self.lengths, x.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn kept(&self) -> Kept {
        Kept::First(if self.lengths.is_empty() { 2 } else { 1 })
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        if node.input(1).is_some() {
            self.lower_at_run_time(cx, node);
            return Ok(());
        }
        let strides = moves::strides(&x.shape);
        let stride = strides[self.axis];
        let mut b = 0;
        for equal in self.lengths.chunk_by(|a, b| a == b) {
            let length = equal[0];
            let mut axes = moves::axes(&x.shape, &strides);
            axes[self.batch_axis].count = equal.len();
            let first = b * strides[self.batch_axis] as usize;
            let (turned, kept) = (first + length.saturating_sub(1) * stride as usize, first + length * stride as usize);
            axes[self.axis] = Axis { count: length, from: -stride, to: stride };
            moves::of_node(cx, node, (turned, first), &axes);
            axes[self.axis] = Axis { count: x.shape[self.axis] - length, from: stride, to: stride };
            moves::of_node(cx, node, (kept, kept), &axes);
            b += equal.len();
        }
        Ok(())
    }
}

impl Attributes {
    fn lower_at_run_time(&self, cx: &mut Context, node: &Node) {
        let x = cx.input_type(node, 0);
        let elem = indices::elem(cx.input_type(node, 1).element).expect("infer has seen the type");
        let (from, lengths, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        indices::check(cx, lengths, elem, x.shape[self.batch_axis], &[(None, x.shape[self.axis] as i64)]);
        if x.element_count() == 0 {
            return;
        }
        let (first, second) = (self.axis.min(self.batch_axis), self.axis.max(self.batch_axis));
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, middle) = (product(&x.shape[..first]), product(&x.shape[first + 1..second]));
        let run = product(&x.shape[second + 1..]) * x.element.bytes().expect("infer has seen the type");
        let lanes = cx.machine.lanes(Elem::U8);
        let mut k = KernelBuilder::new(format!("reverse_{}x{middle}x{}_{run}", x.shape[first], x.shape[second]));
        let (source, list, y) = (k.read("x"), k.read("lengths"), k.write("y"));
        copy::each(&mut k, "outer", outer, |k, o| {
            numbered(k, "i", x.shape[first], elem, |k, i, i_number| {
                copy::each(k, "middle", middle, |k, m| {
                    numbered(k, "j", x.shape[second], elem, |k, j, j_number| {
                        let (batch, number) = if first == self.axis { (&j, i_number) } else { (&i, j_number) };
                        let length = k.load(elem.x(1), list.at(batch.clone() * i64::from(elem.bytes())));
                        let one = k.int(elem.x(1), 1);
                        let last = k.sub(length, one);
                        let turned = k.sub(last, number);
                        let is_turned = k.compare(Cond::Lt, number, length);
                        let number = k.select(is_turned, turned, number);
                        let other = Index::from(k.clamped_index("from", number, 0, x.shape[self.axis] as i64 - 1));
                        let place = |i: &Index, j: &Index| {
                            let row = (o.clone() * x.shape[first] as i64 + i.clone()) * middle as i64 + m.clone();
                            (row * x.shape[second] as i64 + j.clone()) * run as i64
                        };
                        let at = if first == self.axis { place(&other, &j) } else { place(&i, &other) };
                        copy::run(k, lanes, run, (source, at), (y, place(&i, &j)));
                    });
                });
            });
        });
        cx.call(k.finish(), &[from, lengths, to], &[]);
    }
}

/// A loop whose turns know their number as a value, too.
fn numbered(k: &mut KernelBuilder, name: &str, count: usize, elem: Elem, body: impl FnOnce(&mut KernelBuilder, Index, Value)) {
    let [zero, one] = [0, 1].map(|n| k.int(elem.x(1), n));
    k.repeat(name, count, 1, &[zero], |k, i, number| {
        body(k, i.into(), number[0]);
        vec![k.add(number[0], one)]
    });
}
