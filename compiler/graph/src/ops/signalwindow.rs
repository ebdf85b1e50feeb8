//! SignalWindow: samples times the weights of a window, y = clamp((x · w) >> shift).
//!
//! i16; the window is repeated over all samples, whose number is a multiple of its length, however they are shaped.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::copy::each;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::I16;
use crate::text::fields::fields;
use cranelite_tile::{Elem, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shift: usize,
}
fields!(shift);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[I16])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes { shift: source.named_options()?.needed("shift")? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let length = checks::vector("the window", s.input(1)?).map_err(|d| d.detail("input 1"))?;
        checks::at_most("shift", self.shift, 31)?;
        if x.rank() == 0 || length == 0 || x.element_count() % length != 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the samples are not a multiple of the window")
                .detail("input 0")
                .expected(format!("a multiple of {length} elements"))
                .found(format!("{:?}", x.shape)));
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (count, length) = (cx.input_type(node, 0).element_count(), cx.input_type(node, 1).element_count());
        if count == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("window_{length}"));
        let (x, w, y) = (k.read("x"), k.read("window"), k.write("y"));
        each(&mut k, "row", count / length, |k, row| {
            each_block(k, length, cx.machine.lanes(Elem::I32), 4, |k, b| {
                let at = (row.clone() * length as i64 + b.first.clone()) * 2;
                let [x, w] = [x.at(at.clone()), w.at(b.first.clone() * 2)].map(|place| {
                    let v = b.load(k, Elem::I16, place);
                    k.widen(v, Elem::I32)
                });
                let v = k.mul(x, w);
                let v = k.shr_imm(v, self.shift as u8);
                let v = k.narrow_sat(v, Elem::I16);
                b.store(k, y.at(at), v);
            });
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
