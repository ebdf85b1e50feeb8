//! SignalStacker: channels of several invocations next to each other, so many before the one in the middle and so many behind it, once in so many invocations.
//!
//! i16, and a bool that says whether this invocation gives a stack. At first the channels before are those of the first invocation. Where there is no stack
//! the result is what the last invocations had, where the reference leaves it as it was. The channels and how many are there are states.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::copy::{each, run};
use crate::lower::moves::Axis;
use crate::lower::{Context, moves};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{Bool, I16, I32};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub num_channels: usize,
    pub stacker_left_context: usize,
    pub stacker_right_context: usize,
    pub stacker_step: usize,
}
fields!(num_channels, stacker_left_context, stacker_right_context, stacker_step);

impl Attributes {
    /// So many invocations make a stack.
    fn stacked(&self) -> Result<usize, Diagnostic> {
        let most = i32::MAX as usize / 4;
        checks::at_most("stacker_left_context", self.stacker_left_context, most)?;
        checks::at_most("stacker_right_context", self.stacker_right_context, most)?;
        let stacked = self.stacker_left_context + self.stacker_right_context + 1;
        checks::sized(vec![self.num_channels, stacked])?;
        Ok(stacked)
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I16]], &[&[I16], &[Bool]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes {
            num_channels: o.needed("num_channels")?,
            stacker_left_context: o.needed("stacker_left_context")?,
            stacker_right_context: o.needed("stacker_right_context")?,
            stacker_step: o.needed("stacker_step")?,
        })
    }

    fn own_states(&self, _: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        Ok(vec![TensorType::new(I16, [self.stacked()? - 1, self.num_channels]), TensorType::new(I32, [])])
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        checks::shape("the channels", 0, s.input(0)?, &[self.num_channels])?;
        let stacked = self.stacked()?;
        if !(1..=stacked).contains(&self.stacker_step) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`stacker_step` is out of range")
                .expected(format!("1 to {stacked}"))
                .found(self.stacker_step.to_string()));
        }
        Ok(vec![vec![stacked * self.num_channels], vec![]])
    }

    fn writes(&self) -> Vec<usize> {
        vec![1, 2]
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (channels, stacked) = (self.num_channels, self.stacked()?);
        let (x, before, number) = (cx.input(node, 0), cx.input(node, 1), cx.input(node, 2));
        let [y, is_valid] = [0, 1].map(|i| cx.output(node, i));
        let int = Elem::I32.x(1);
        let lanes = cx.machine.lanes(Elem::U8);
        let mut k = KernelBuilder::new("stack");
        let (from, kept, count, valid) = (k.read("x"), k.read_write("before"), k.read_write("number"), k.write("valid"));
        // One more than there are, and 0 before the first invocation.
        let there = k.load(int, count.at(0));
        let [zero, one] = [0, 1].map(|n| k.int(int, n));
        let is_first = k.compare(Cond::Eq, there, zero);
        if 0 < channels && 1 < stacked {
            let turns = k.select(is_first, one, zero);
            let turns = k.clamped_index("first", turns, 0, 1);
            k.each("begin", turns, 1, |k, _| {
                each(k, "row", stacked - 1, |k, row| run(k, lanes, 2 * channels, (from, 0.into()), (kept, row * (2 * channels) as i64)));
            });
        }
        let (left, whole, step) =
            (k.int(int, self.stacker_left_context as i64 + 1), k.int(int, stacked as i64), k.int(int, self.stacker_step as i64));
        let there = k.select(is_first, left, there);
        let is_whole = k.compare(Cond::Ge, there, whole);
        let used = k.select(is_whole, step, zero);
        let rest = k.sub(there, used);
        let rest = k.add(rest, one);
        k.store(count.at(0), rest);
        let is_whole = k.select(is_whole, one, zero);
        let is_whole = k.narrow(is_whole, Elem::U8);
        k.store(valid.at(0), is_whole);
        cx.call(k.finish(), &[x, before, number, is_valid], &[]);
        let mut copy = |from, to, first: (usize, usize), count: usize| {
            moves::elements(cx, from, to, 2, first, &[Axis { count, from: 1, to: 1 }]);
        };
        copy(before, y, (0, 0), (stacked - 1) * channels);
        copy(x, y, (0, (stacked - 1) * channels), channels);
        copy(y, before, (channels, 0), (stacked - 1) * channels);
        Ok(())
    }
}
