//! SignalFftAutoScale: samples shifted up by as many bits as their largest absolute value leaves free, and how many bits that are.
//!
//! i16 to i16 and i32. Of -32768 the absolute value is itself in the reference, which begins anew behind it; so does this.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I16, I32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, Cond, Elem, Index, KernelBuilder, Reduce, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I16]], &[&[I16], &[I32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![vec![checks::vector("the samples", s.input(0)?)?], vec![]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let count = cx.input_type(node, 0).element_count();
        let lanes = cx.machine.lanes(Elem::I16).min(1 << count.max(1).ilog2());
        let int = Elem::I32.x(1);
        let mut k = KernelBuilder::new(format!("auto_scale_{count}"));
        let (x, y, scale) = (k.read("x"), k.write("y"), k.write("scale"));
        let largest = largest(&mut k, x, count, lanes);
        let [zero, one, most] = [0, 1, 15].map(|n| k.int(int, n));
        let (zeros, bits) = (k.unary(Unary::LeadingZeros, largest), k.int(int, 32));
        let used = k.sub(bits, zeros);
        let free = k.sub(most, used);
        let free = k.max(free, zero);
        let is_silent = k.compare(Cond::Eq, largest, zero);
        let free = k.select(is_silent, zero, free);
        k.store(scale.at(0), free);
        let factor = k.binary(Binary::Shl, one, free);
        let factor = k.narrow(factor, Elem::I16);
        each_block(&mut k, count, cx.machine.lanes(Elem::I16), 4, |k, b| {
            let (v, factor) = (b.load(k, Elem::I16, x.at(b.first.clone() * 2)), k.splat(factor, b.lanes));
            let v = k.mul(v, factor);
            b.store(k, y.at(b.first.clone() * 2), v);
        });
        let buffers = [cx.input(node, 0), cx.output(node, 0), cx.output(node, 1)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// The reference's largest absolute value.
fn largest(k: &mut KernelBuilder, x: Arg, count: usize, lanes: usize) -> Value {
    let (int, ty) = (Elem::I32.x(1), Elem::I16.x(lanes));
    let (zero, nothing) = (k.int(int, 0), k.int(ty, 0));
    if count == 0 {
        return zero;
    }
    // The largest absolute value, and the smallest number.
    let look = |k: &mut KernelBuilder, first: Index, v: &[Value]| {
        let next = k.load(ty, x.at(first * 2));
        let size = k.unary(Unary::Abs, next);
        vec![k.max(v[0], size), k.min(v[1], next)]
    };
    let mut found = k.repeat("n", (count / lanes) as i64, 1, &[nothing, nothing], |k, n, v| look(k, n * lanes as i64, v));
    if !count.is_multiple_of(lanes) {
        found = look(k, (count - lanes).into(), &found);
    }
    let mut scalar = |v: Value, op: Reduce| {
        let v = if lanes == 1 { v } else { k.reduce(op, v) };
        k.widen(v, Elem::I32)
    };
    let (size, smallest) = (scalar(found[0], Reduce::Max), scalar(found[1], Reduce::Min));
    // With a number that has no absolute value, one after the other.
    let (lowest, one) = (k.int(int, i16::MIN.into()), k.int(int, 1));
    let is_lowest = k.compare(Cond::Eq, smallest, lowest);
    let again = k.select(is_lowest, one, zero);
    let again = k.clamped_index("again", again, 0, 1);
    let first = k.select(is_lowest, zero, size);
    k.repeat("i", again * count as i64, 1, &[first], |k, i, v| {
        let next = k.load(Elem::I16.x(1), x.at(i * 2));
        let next = k.widen(next, Elem::I32);
        let (less, above) = (k.neg(next), k.compare(Cond::Gt, next, v[0]));
        let below = k.compare(Cond::Gt, less, v[0]);
        let kept = k.narrow(less, Elem::I16);
        let kept = k.widen(kept, Elem::I32);
        let kept = k.select(below, kept, v[0]);
        vec![k.select(above, next, kept)]
    })[0]
}
