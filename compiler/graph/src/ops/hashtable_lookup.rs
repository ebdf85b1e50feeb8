//! HASHTABLE_LOOKUP: for each number the row of a table that has it as its key, and whether there is one; else zeros.
//!
//! Any element type of whole bytes. Keys are ascending; of others the result is that of the reference's binary search, step by step.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::copy::each;
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, U8};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, Guard, Index, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::All, outputs: 2..=2 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[&[I32], &[I32], T], &[T, &[U8]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (list, keys, table) = (s.input(0)?, s.input(1)?, s.input(2)?);
        if list.rank() != 1 || keys.rank() != 1 || table.shape.first() != keys.shape.first() || keys.shape == [0] {
            return Err(Diagnostic::new(Code::OPERAND, "numbers, keys and table do not fit each other")
                .expected("two lists, and a row for each key, of which there is one")
                .found(format!("{:?}, {:?} and {:?}", list.shape, keys.shape, table.shape)));
        }
        Ok([checks::sized([&list.shape[..], &table.shape[1..]].concat())?, vec![list.shape.clone()]].concat())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (list, table) = (cx.input_type(node, 0), cx.input_type(node, 2));
        let (count, rows) = (list.element_count(), table.shape[0]);
        if count == 0 {
            return Ok(());
        }
        let run = table.shape[1..].iter().product::<usize>() * table.element.bytes().expect("infer has seen the type");
        let lanes = cx.machine.lanes(Elem::U8);
        let int = Elem::I32.x(1);
        let mut k = KernelBuilder::new(format!("hashtable_lookup_{rows}x{run}_{count}"));
        let (numbers, keys, x, zeros, y, hits) =
            (k.read("numbers"), k.read("keys"), k.read("table"), k.read("zeros"), k.write("y"), k.write("hits"));
        each(&mut k, "n", count, |k, n| {
            let wanted = k.load(int, numbers.at(n.clone() * 4));
            let [zero, one, none, end] = [0, 1, -1, rows as i64].map(|v| k.int(int, v));
            let found = k.repeat("step", rows.ilog2() as usize + 1, 1, &[zero, end, none], |k, _, v| {
                let (low, high, found) = (v[0], v[1], v[2]);
                let sum = k.add(low, high);
                let middle = k.shr_imm(sum, 1);
                let row = k.clamped_index("row", middle, 0, rows as i64 - 1);
                let key = k.load(int, keys.at(row * 4));
                // It wraps around, as in the reference.
                let difference = k.sub(wanted, key);
                let [is_below, is_above, is_it] = [Cond::Lt, Cond::Gt, Cond::Eq].map(|c| k.compare(c, difference, zero));
                let is_open = k.compare(Cond::Lt, low, high);
                let [is_below, is_above, is_it] = [is_below, is_above, is_it].map(|m| k.and(m, is_open));
                let found = k.select(is_it, middle, found);
                let after = k.add(middle, one);
                let (low, next_high) = (k.select(is_above, after, low), k.select(is_below, middle, high));
                let high = k.select(is_it, low, next_high);
                vec![low, high, found]
            })[2];
            let is_hit = k.compare(Cond::Ge, found, zero);
            let hit = crate::lower::convert::truth(k, is_hit);
            k.store(hits.at(n.clone()), hit);
            if run == 0 {
                return;
            }
            let row = Index::from(k.clamped_index("found", found, -1, rows as i64 - 1));
            let guard = Guard { index: row.clone(), limit: (rows as i64).into() };
            let row = k.row(x, row * run as i64, run as i64, vec![guard], zeros);
            each_block(k, run, lanes, 4, |k, b| {
                let v = b.load(k, Elem::U8, row.at(b.first.clone()));
                b.store(k, y.at(n.clone() * run as i64 + b.first.clone()), v);
            });
        });
        let zeros = cx.fill(0, run.max(1));
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), zeros, cx.output(node, 0), cx.output(node, 1)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
