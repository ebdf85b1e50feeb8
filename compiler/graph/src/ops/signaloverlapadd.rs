//! SignalOverlapAdd: frames that overlap, added up to a row of samples, the next one a step further on; a row continues that of the invocation before.
//!
//! f32, and i16 whose sums saturate after each frame. What later frames are added to is a state.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::copy::each;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I16};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub frame_step: usize,
}
fields!(frame_step);

impl Attributes {
    /// How many rows of how many frames of how many samples.
    fn sizes(&self, s: &Signature) -> Result<[usize; 3], Diagnostic> {
        let x = s.input(0)?;
        let [outer @ .., frames, size] = &x.shape[..] else {
            return Err(Diagnostic::new(Code::OPERAND, "input has the wrong rank")
                .expected("at least 2 dimensions")
                .found(format!("{:?}", x.shape)));
        };
        checks::at_least("frame_step", self.frame_step, 1)?;
        checks::at_most("frame_step", self.frame_step, *size)?;
        Ok([outer.iter().product(), *frames, *size])
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I16])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        o.check_type(source.signature.input(0)?.element)?;
        Ok(Attributes { frame_step: o.needed("frame_step")? })
    }

    fn own_states(&self, s: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        let [rows, _, size] = self.sizes(s)?;
        Ok(vec![TensorType::new(s.input(0)?.element, [rows, size - self.frame_step])])
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, [_, frames, _]) = (s.input(0)?, self.sizes(s)?);
        checks::sized([&x.shape[..x.rank() - 2], &[frames * self.frame_step]].concat())
    }

    fn writes(&self) -> Vec<usize> {
        vec![1]
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let [rows, frames, size] = self.sizes(&cx.graph.signature(node))?;
        if rows * frames == 0 {
            return Ok(());
        }
        let step = self.frame_step;
        let later = size - step;
        let elem = if cx.input_type(node, 0).element == F32 { Elem::F32 } else { Elem::I16 };
        let (bytes, lanes) = (i64::from(elem.bytes()), cx.machine.lanes(elem));
        let mut k = KernelBuilder::new(format!("overlap_add_{elem}_{frames}x{size}_{step}"));
        let (x, before, y, sums) = (k.read("x"), k.read_write("before"), k.write("y"), k.read_write("sums"));
        let copy = |k: &mut KernelBuilder, (from, first): (Arg, Index), (to, at): (Arg, Index), count: usize| {
            each_block(k, count, lanes, 4, |k, b| {
                let v = b.load(k, elem, from.at((first.clone() + b.first.clone()) * bytes));
                b.store(k, to.at((at.clone() + b.first.clone()) * bytes), v);
            });
        };
        let add = |k: &mut KernelBuilder, a: Value, b: Value| k.binary(if elem == Elem::F32 { Binary::Add } else { Binary::AddSat }, a, b);
        each(&mut k, "row", rows, |k, row| {
            let kept = row.clone() * later as i64;
            each(k, "frame", frames, |k, frame| {
                let first = (row.clone() * frames as i64 + frame.clone()) * size as i64;
                // Behind what earlier frames have left there is nothing, to which the reference adds as well.
                for (from, count) in [(0, later), (later, step)] {
                    each_block(k, count, lanes, 4, |k, b| {
                        let at = b.first.clone() + from;
                        let v = b.load(k, elem, x.at((first.clone() + at.clone()) * bytes));
                        let old = match from == 0 && 0 < later {
                            true => b.load(k, elem, before.at((kept.clone() + at.clone()) * bytes)),
                            false if elem == Elem::F32 => k.float(k.ty(v), 0.0),
                            false => k.int(k.ty(v), 0),
                        };
                        let v = add(k, old, v);
                        b.store(k, sums.at(at * bytes), v);
                    });
                }
                let to = (row.clone() * frames as i64 + frame) * step as i64;
                copy(k, (sums, 0.into()), (y, to), step);
                copy(k, (sums, step.into()), (before, kept.clone()), later);
            });
        });
        let sums = cx.scratch("sums", (size as i64 * bytes) as u64);
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0), sums];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
