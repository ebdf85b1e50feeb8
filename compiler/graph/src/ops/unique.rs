//! UNIQUE: the different elements of a vector in the order in which they come first, and for each element which of them it is.
//!
//! There are at most as many as elements; how many is counted at run time. What is beyond means nothing. Zeros of both signs are equal, and a NaN equals nothing.

use super::counts::Count;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::channels::each_block;
use crate::lower::requantize::elem;
use crate::lower::{Context, convert, copy};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, I8, I16, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, Index, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I8, U8, I16, I32, I64], &[T], &[T, &[I32, I64], &[I32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        if x.rank() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "only a vector has different elements")
                .detail("input 0")
                .found(format!("{:?}", x.shape)));
        }
        Ok([x.shape.clone(), x.shape.clone(), vec![]].into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        super::counts::none(s, counted)?;
        Ok(vec![Some(Count::Own), None])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, numbers) = (cx.input_type(node, 0), cx.output_type(node, 1));
        let count = x.element_count();
        if count == 0 {
            let (zero, to) = (cx.constant_i32("zero", &[0]), cx.output(node, 2));
            copy::whole(cx, zero, to);
            return Ok(());
        }
        let [elem, number] = [x, numbers].map(|ty| elem(ty.element).expect("infer has seen the type"));
        let size = i64::from(elem.bytes());
        let mut k = KernelBuilder::new(format!("unique_{elem}_{number}_{count}"));
        let (x, y, places, counted) = (k.read("x"), k.read_write("y"), k.write("numbers"), k.write("count"));
        let lanes = cx.machine.lanes(Elem::U8);
        each_block(&mut k, count * elem.bytes() as usize, lanes, 4, |k, b| {
            let zero = k.int(Elem::U8.x(b.lanes), 0);
            b.store(k, y.at(b.first.clone()), zero);
        });
        let [none, minus_one, one] = [0, -1, 1].map(|n| k.int(Elem::I32.x(1), n));
        let found = k.repeat("i", count, 1, &[none], |k, i, found| {
            let v = k.load(elem.x(1), x.at(Index::from(i) * size));
            let known = k.clamped_index("known", found[0], 0, count as i64);
            let same = k.repeat("j", known, 1, &[minus_one, none], |k, j, same| {
                let w = k.load(elem.x(1), y.at(Index::from(j) * size));
                let is_same = k.compare(Cond::Eq, v, w);
                let flag = convert::truth(k, is_same);
                let flag = k.widen(flag, Elem::I32);
                let is_same = k.compare(Cond::Ne, flag, none);
                vec![k.select(is_same, same[1], same[0]), k.add(same[1], one)]
            })[0];
            // The next place is written anyway: it counts only if the element is new.
            let row = k.clamped_index("row", found[0], 0, count as i64 - 1);
            k.store(y.at(Index::from(row) * size), v);
            let is_new = k.compare(Cond::Lt, same, none);
            let place = k.select(is_new, found[0], same);
            let place = if number == Elem::I64 { k.widen(place, Elem::I64) } else { place };
            k.store(places.at(Index::from(i) * i64::from(number.bytes())), place);
            let step = k.select(is_new, one, none);
            vec![k.add(found[0], step)]
        });
        k.store(counted.at(0), found[0]);
        let buffers = [cx.input(node, 0), cx.output(node, 0), cx.output(node, 1), cx.output(node, 2)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
