//! SignalFramer: frames of samples that overlap, the next one a step further on; a row of samples continues that of the invocation before.
//!
//! i16, and a bool that says whether there were enough samples for all frames of this invocation. The samples that later frames need are a state. Without
//! `prefill` the first frames are not complete: they begin with zeros, where the reference leaves the result as it was.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
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
    pub frame_size: usize,
    pub frame_step: usize,
    /// Before the first samples there are zeros, as many as the first frame wants.
    pub prefill: bool,
}
fields!(frame_size, frame_step, prefill);

/// Sizes in samples.
struct Sizes {
    rows: usize,
    length: usize,
    frames: usize,
    /// Before the samples of an invocation.
    kept: usize,
    /// So many steps make a frame complete.
    steps: usize,
}

impl Attributes {
    fn sizes(&self, s: &Signature) -> Result<Sizes, Diagnostic> {
        let x = s.input(0)?;
        checks::at_least("frame_step", self.frame_step, 1)?;
        checks::at_least("frame_size", self.frame_size, if self.prefill { self.frame_step } else { 1 })?;
        let Some((&length, outer)) = x.shape.split_last().filter(|(n, _)| self.frame_step <= **n && *n % self.frame_step == 0) else {
            return Err(Diagnostic::new(Code::OPERAND, "the samples of a row do not make whole steps")
                .detail("input 0")
                .expected(format!("a multiple of {} in each row", self.frame_step))
                .found(format!("{:?}", x.shape)));
        };
        let (rows, frames) = (outer.iter().product(), length / self.frame_step);
        let steps = self.frame_size.div_ceil(self.frame_step);
        let whole = steps.saturating_mul(self.frame_step);
        checks::sized(vec![rows, whole.saturating_add(length)])?;
        let kept = if self.prefill { self.frame_size } else { whole } - self.frame_step;
        Ok(Sizes { rows, length, frames, kept, steps })
    }
    /// Frames may not be complete, so steps are counted.
    fn counts(&self) -> bool {
        !self.prefill && self.frame_step < self.frame_size
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I16]], &[&[I16], &[Bool]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes { frame_size: o.needed("frame_size")?, frame_step: o.needed("frame_step")?, prefill: o.bool("prefill")? })
    }

    fn own_states(&self, s: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        let sizes = self.sizes(s)?;
        let mut states = vec![TensorType::new(I16, [sizes.rows, sizes.kept])];
        if self.counts() {
            states.push(TensorType::new(I32, []));
        }
        Ok(states)
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, sizes) = (s.input(0)?, self.sizes(s)?);
        let frames = [&x.shape[..x.rank() - 1], &[sizes.frames, self.frame_size]].concat();
        Ok(vec![checks::sized(frames)?.remove(0), vec![]])
    }

    fn writes(&self) -> Vec<usize> {
        if self.counts() { vec![1, 2] } else { vec![1] }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let Sizes { rows, length, frames, kept, steps } = self.sizes(&cx.graph.signature(node))?;
        let (size, step) = (self.frame_size, self.frame_step);
        let (x, before) = (cx.input(node, 0), cx.input(node, 1));
        let [y, is_valid] = [0, 1].map(|i| cx.output(node, i));
        let all = kept + length;
        let line = cx.scratch("line", 2 * (rows * all) as u64);
        let axis = |count: usize, from: usize, to: usize| Axis { count, from: from as i64, to: to as i64 };
        moves::elements(cx, before, line, 2, (0, 0), &[axis(rows, kept, all), axis(kept, 1, 1)]);
        moves::elements(cx, x, line, 2, (0, kept), &[axis(rows, length, all), axis(length, 1, 1)]);
        moves::elements(cx, line, y, 2, (0, 0), &[axis(rows, all, frames * size), axis(frames, step, size), axis(size, 1, 1)]);
        moves::elements(cx, line, before, 2, (length, 0), &[axis(rows, all, kept), axis(kept, 1, 1)]);
        let int = Elem::I32.x(1);
        let mut k = KernelBuilder::new("frames_are_valid");
        let counted = self.counts().then(|| k.read_write("steps"));
        let to = k.write("valid");
        let valid = match counted {
            Some(counted) => {
                // Steps before this invocation, counted no further than it matters.
                let (count, needed, more) = (k.load(int, counted.at(0)), k.int(int, steps as i64 - 1), k.int(int, frames as i64));
                let is_valid = k.compare(Cond::Ge, count, needed);
                let after = k.add(count, more);
                let after = k.min(after, needed);
                k.store(counted.at(0), after);
                let [one, zero] = [1, 0].map(|n| k.int(int, n));
                k.select(is_valid, one, zero)
            }
            None => k.int(int, 1),
        };
        let valid = k.narrow(valid, Elem::U8);
        k.store(to.at(0), valid);
        let mut buffers = vec![];
        if self.counts() {
            buffers.push(cx.input(node, 2));
        }
        buffers.push(is_valid);
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
