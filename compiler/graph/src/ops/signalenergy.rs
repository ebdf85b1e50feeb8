//! SignalEnergy: re² + im² of each number of a spectrum from one index to another.
//!
//! i16, real parts and imaginary parts by turns, to u32. What is outside of the indices is zeros; the reference leaves it as it was.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I16, U32};
use crate::text::fields::fields;
use cranelite_tile::{Elem, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub start_index: usize,
    /// The first one that is left out.
    pub end_index: usize,
}
fields!(start_index, end_index);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[I16]], &[&[U32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes { start_index: o.needed("start_index")?, end_index: o.needed("end_index")? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let length = checks::vector("the spectrum", s.input(0)?)?;
        if length % 2 != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the spectrum is no list of complex numbers")
                .detail("input 0")
                .expected("an even length")
                .found(length.to_string()));
        }
        checks::at_most("end_index", self.end_index, length / 2)?;
        checks::at_most("start_index", self.start_index, self.end_index)?;
        Ok(vec![vec![length / 2]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (from, to, count) = (self.start_index, self.end_index, cx.output_type(node, 0).element_count());
        let lanes = cx.machine.lanes(Elem::I32);
        let mut k = KernelBuilder::new(format!("energy_{from}_{to}_{count}"));
        let (x, y) = (k.read("spectrum"), k.write("energy"));
        for (first, end) in [(0, from), (to, count)] {
            each_block(&mut k, end - first, lanes, 4, |k, b| {
                let zero = k.int(Elem::I32.x(b.lanes), 0);
                b.store(k, y.at((b.first.clone() + first) * 4), zero);
            });
        }
        each_block(&mut k, to - from, lanes, 4, |k, b| {
            let at = (b.first.clone() + from) * 4;
            let v = k.load_part(Elem::I16.x(2 * b.lanes), x.at(at.clone()), 2 * b.count);
            let zero = k.int(Elem::I32.x(b.lanes), 0);
            let sum = k.dot(2, zero, v, v);
            b.store(k, y.at(at), sum);
        });
        if count != 0 {
            let buffers = [cx.input(node, 0), cx.output(node, 0)];
            cx.call(k.finish(), &buffers, &[]);
        }
        Ok(())
    }
}
