//! EMBEDDING_LOOKUP: the rows of a table that a list of indices names.
//!
//! Any element type of whole bytes; for f32, rows of i8, u8, i4 and i2 times their scale, or the table's if it has one, without a zero point.
//! Beside that, u8 is read as i8, as the reference reads it. A constant index beyond the table is refused; one that is only known at run time ends the invocation.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::channels::each_block;
use crate::lower::gather::Gather;
use crate::lower::{Context, copy, narrow};
use crate::ops::counts::{self, Count};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I2, I4, I8, I32, U8};
use crate::text::fields::fields;
use cranelite_tile::{Elem, Index, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[&[I32], T], &[T]), Row::Of(&[&[I32], &[I8, U8, I4, I2]], &[&[F32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (indices, table) = (s.input(0)?, s.input(1)?);
        if indices.rank() != 1 || table.rank() < 2 {
            return Err(Diagnostic::new(Code::OPERAND, "the indices are no list, or the table has no rows")
                .expected("1 dimension, and at least 2")
                .found(format!("{:?} and {:?}", indices.shape, table.shape)));
        }
        if s.output(0).element != table.element {
            checks::per_channel_of("the table", table, 0)?;
        }
        checks::sized([&indices.shape[..], &table.shape[1..]].concat())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        counts::rows(s, counted, self.infer(s))
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (list, table, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.output_type(node, 0));
        let (rows, columns) = (table.shape[0], table.shape[1..].iter().product::<usize>());
        let count = list.element_count();
        let run_bytes = columns * y.element.bytes().expect("infer has seen the type");
        let gather = Gather { batches: 1, outer: 1, count, sizes: vec![rows], run_bytes };
        if y.element == table.element {
            return gather.lower(cx, node, [1, 0]);
        }
        let values = match (cx.constant_input(node, 1), table.element) {
            (None, I4 | I2) => return Err(cx.not_constant(node, 1, "a table of less than a byte per element")),
            (None, _) => cx.input(node, 1),
            (Some(data), _) => cx.constant("table", narrow::widened(table, data).1.into_owned(), 64),
        };
        if !gather.check(cx, node, [1, 0])? {
            return Ok(());
        }
        let quantization = table.quantization.as_ref().expect("checked by infer");
        let scales: Vec<f32> = (0..if quantization.is_per_tensor() { 1 } else { rows }).map(|row| quantization.scale(row)).collect();
        let lanes = cx.machine.lanes(Elem::F32);
        let mut k = KernelBuilder::new(format!("embedding_lookup_i8_{rows}x{columns}_{count}"));
        let (picks, x, factors, y) = (k.read("indices"), k.read("table"), k.read("scales"), k.write("y"));
        copy::each(&mut k, "n", count, |k, n| {
            let v = k.load(Elem::I32.x(1), picks.at(n.clone() * 4));
            let row = Index::from(k.clamped_index("row", v, 0, rows as i64 - 1));
            let scale = k.load(Elem::F32.x(1), factors.at(if scales.len() == 1 { 0.into() } else { row.clone() * 4 }));
            each_block(k, columns, lanes, 4, |k, b| {
                let v = b.load(k, Elem::I8, x.at(row.clone() * columns as i64 + b.first.clone()));
                let v = k.widen(v, Elem::I32);
                let v = k.to_float(v, Elem::F32);
                let scale = k.splat(scale, b.lanes);
                let v = k.mul(v, scale);
                b.store(k, y.at((n.clone() * columns as i64 + b.first.clone()) * 4), v);
            });
        });
        let scales = cx.constant_f32("scales", &scales);
        let buffers = [cx.input(node, 0), values, scales, cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
