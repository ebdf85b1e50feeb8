//! WHERE: the indices of all elements that are not zero, in their order.
//!
//! A row of the result has one index for each axis of the input. There are at most as many rows as elements; how many is counted at run time. Rows
//! beyond are zeros.

use super::counts::Count;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::channels::each_block;
use crate::lower::requantize::elem;
use crate::lower::{Context, convert, copy};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{Bool, F32, I8, I32, I64, U8, U32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Cond, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[Bool, F32, I8, U8, I32, U32, I64]], &[&[I64], &[I32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if x.rank() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "a scalar has no indices").detail("input 0"));
        }
        let rows = checks::sized(vec![x.element_count(), x.rank()])?;
        Ok([rows, vec![vec![]]].concat().into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        super::counts::none(s, counted)?;
        Ok(vec![Some(Count::Own)])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let (count, rank) = (x.element_count(), x.rank());
        if count == 0 {
            let (zero, to) = (cx.constant_i32("zero", &[0]), cx.output(node, 1));
            copy::whole(cx, zero, to);
            return Ok(());
        }
        let elem = if x.element == Bool { Elem::U8 } else { elem(x.element).expect("infer has seen the type") };
        let shape: Vec<String> = x.shape.iter().map(usize::to_string).collect();
        let mut k = KernelBuilder::new(format!("where_{}_{}", x.element, shape.join("x")));
        let scan = Scan { x: k.read("x"), y: k.write("y"), elem, shape: x.shape.clone(), count };
        let counted = k.write("count");
        let lanes = cx.machine.lanes(Elem::U8);
        each_block(&mut k, count * rank * 8, lanes, 4, |k, b| {
            let zero = k.int(Elem::U8.x(b.lanes), 0);
            b.store(k, scan.y.at(b.first.clone()), zero);
        });
        let none = k.int(Elem::I32.x(1), 0);
        let found = scan.axis(&mut k, Index::from(0), &[], none);
        k.store(counted.at(0), found);
        let buffers = [cx.input(node, 0), cx.output(node, 0), cx.output(node, 1)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

struct Scan {
    x: Arg,
    y: Arg,
    elem: Elem,
    shape: Vec<usize>,
    count: usize,
}

impl Scan {
    /// Everything below `indices`, which belong to element `at` of those axes; how many rows there are, before and after.
    fn axis(&self, k: &mut KernelBuilder, at: Index, indices: &[Value], found: Value) -> Value {
        let Some(&size) = self.shape.get(indices.len()) else { return self.element(k, at, indices, found) };
        let zero = k.int(Elem::I64.x(1), 0);
        let results = k.repeat(&format!("i{}", indices.len()), size, 1, &[zero, found], |k, i, carried| {
            let indices = [indices, &carried[..1]].concat();
            let found = self.axis(k, at.clone() * size as i64 + i, &indices, carried[1]);
            let one = k.int(Elem::I64.x(1), 1);
            vec![k.add(carried[0], one), found]
        });
        results[1]
    }

    /// The next row is written anyway: zeros, unless the element is not zero.
    fn element(&self, k: &mut KernelBuilder, at: Index, indices: &[Value], found: Value) -> Value {
        let ty = self.elem.x(1);
        let v = k.load(ty, self.x.at(at * i64::from(self.elem.bytes())));
        let zero = if self.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) };
        let is_one = k.compare(Cond::Ne, v, zero);
        let flag = convert::truth(k, is_one);
        let step = k.widen(flag, Elem::I32);
        let factor = k.widen(step, Elem::I64);
        let row = k.clamped_index("row", found, 0, self.count as i64 - 1);
        for (d, &index) in indices.iter().enumerate() {
            let index = k.mul(index, factor);
            k.store(self.y.at(Index::from(row) * (8 * indices.len() as i64) + 8 * d as i64), index);
        }
        k.add(found, step)
    }
}
