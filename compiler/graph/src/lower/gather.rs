//! Copying runs of an array that other numbers choose.
//!
//! Not an operator: GATHER and GATHER_ND are. The idea: some axes of the source are replaced by tuples of indices; each is clamped to
//! its axis, so that every access is in bounds whatever the numbers are. That they are in range is the operators' business: what a
//! clamp changes is not right.

use super::Context;
use super::channels::each_block;
use super::copy::container;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Arg, Elem, Index, KernelBuilder};

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
    /// Gathers from input 0 of a node what input 1 names.
    pub fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let ty = cx.input_type(node, 1);
        let Some(data) = cx.constant_input(node, 1) else {
            let help = "store the indices in the model; those known only at run time are not supported yet";
            return Err(cx.not_constant(node, 1, "the indices").help(help));
        };
        self.check(&numbers(ty, data))?;
        if cx.output_type(node, 0).element_count() == 0 {
            return Ok(());
        }
        let elem = index_elem(ty.element).expect("infer has seen the type");
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
                    self.run(k, machine.lanes(Elem::U8), (x, from), (y, to));
                });
            });
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }

    fn run(&self, k: &mut KernelBuilder, lanes: usize, (x, from): (Arg, Index), (y, to): (Arg, Index)) {
        if let Some(elem) = container(self.run_bytes) {
            let v = k.load(elem.x(1), x.at(from));
            return k.store(y.at(to), v);
        }
        each_block(k, self.run_bytes, lanes, 4, |k, b| {
            let v = b.load(k, Elem::U8, x.at(from.clone() + b.first.clone()));
            b.store(k, y.at(to.clone() + b.first.clone()), v);
        });
    }

    /// Constant indices are in range.
    fn check(&self, indices: &[i64]) -> Result<(), Diagnostic> {
        for (&index, &size) in indices.iter().zip(self.sizes.iter().cycle()) {
            if usize::try_from(index).ok().is_none_or(|i| size <= i) {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "an index is out of range")
                    .detail("input 1")
                    .expected(format!("0 to {}", size as i64 - 1))
                    .found(index.to_string()));
            }
        }
        Ok(())
    }
}

/// A loop, where there is more than one turn.
fn each(k: &mut KernelBuilder, name: &str, count: usize, body: impl FnOnce(&mut KernelBuilder, Index)) {
    match count {
        1 => body(k, 0.into()),
        _ => k.each(name, count, 1, |k, i| body(k, i.into())),
    }
}

fn index_elem(element: ElementType) -> Option<Elem> {
    match element {
        ElementType::I16 => Some(Elem::I16),
        ElementType::I32 => Some(Elem::I32),
        ElementType::I64 => Some(Elem::I64),
        _ => None,
    }
}

fn numbers(ty: &TensorType, data: &[u8]) -> Vec<i64> {
    let size = ty.element.bytes().expect("infer has seen the type");
    let number = |b: &[u8]| {
        let mut all = [if b[size - 1] < 128 { 0 } else { 255 }; 8];
        all[..size].copy_from_slice(b);
        i64::from_le_bytes(all)
    };
    data.chunks_exact(size).map(number).collect()
}
