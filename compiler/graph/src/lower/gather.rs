//! Copying runs of an array that other numbers choose.
//!
//! Not an operator: GATHER and GATHER_ND are. The idea: some axes of the source are replaced by tuples of indices; each is clamped to
//! its axis, so that every access is in bounds whatever the numbers are. What a clamp would change is refused: constants when the model is
//! compiled, others by a check ahead (`indices.rs`).

use super::copy::{self, each};
use super::{Context, indices};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use cranelite_tile::{Elem, Index, KernelBuilder};

/// The source is `batches` × `outer` × `sizes` × a run, the indices are `batches` × `count` × one per size, and the result is
/// `batches` × `outer` × `count` × a run.
#[derive(Clone, Debug)]
pub struct Gather {
    pub batches: usize,
    pub outer: usize,
    pub count: usize,
    /// Of the axes that indices replace.
    pub sizes: Vec<usize>,
    pub run_bytes: usize,
}

impl Gather {
    /// Gathers from one input of a node what another one names.
    pub fn lower(&self, cx: &mut Context, node: &Node, [source, list]: [usize; 2]) -> Result<(), Diagnostic> {
        if !self.check(cx, node, [source, list])? {
            return Ok(());
        }
        let elem = indices::elem(cx.input_type(node, list).element).expect("infer has seen the type");
        let shape: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        let mut k = KernelBuilder::new(format!("gather_{elem}_{}x{}_{}", shape.join("x"), self.run_bytes, self.count));
        let (x, indices, y) = (k.read("x"), k.read("indices"), k.write("y"));
        let machine = cx.machine;
        each(&mut k, "batch", self.batches, |k, b| {
            each(k, "n", self.count, |k, n| {
                let tuple = (b.clone() * self.count as i64 + n.clone()) * self.sizes.len() as i64;
                let mut from = Index::from(0);
                for (i, &size) in self.sizes.iter().enumerate() {
                    let v = k.load(elem.x(1), indices.at((tuple.clone() + i) * i64::from(elem.bytes())));
                    from = from * size as i64 + Index::from(k.clamped_index("index", v, 0, size as i64 - 1));
                }
                let all: usize = self.sizes.iter().product();
                each(k, "outer", self.outer, |k, o| {
                    let outer = b.clone() * self.outer as i64 + o;
                    let from = (outer.clone() * all as i64 + from.clone()) * self.run_bytes as i64;
                    let to = (outer * self.count as i64 + n.clone()) * self.run_bytes as i64;
                    copy::run(k, machine.lanes(Elem::U8), self.run_bytes, (x, from), (y, to));
                });
            });
        });
        let buffers = [cx.input(node, source), cx.input(node, list), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }

    /// False where there is nothing to gather; else the indices are in range, or the invocation ends.
    pub fn check(&self, cx: &mut Context, node: &Node, [source, list]: [usize; 2]) -> Result<bool, Diagnostic> {
        indices::in_axes(cx, node, list, self.batches * self.count, &self.sizes)
            .map_err(|d| if d.code == Code::OPERAND { d.detail(format!("input {source}")) } else { d })?;
        Ok(cx.output_type(node, 0).element_count() != 0)
    }
}
