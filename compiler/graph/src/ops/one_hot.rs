//! ONE_HOT: along a new axis, one element where the index is that of the input, and another elsewhere.
//!
//! Elements of 1, 2, 4 or 8 whole bytes; indices of i32 and i64, of which the low 32 bits count, as in the reference. The length of the
//! axis is a constant; the two elements need not be.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::channels::{Block, each_block};
use crate::lower::copy::container;
use crate::ops::counts::{self, Count};
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub depth: usize,
}
fields!(axis, depth);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 4..=4, kept: Kept::These(&[0, 2, 3]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::UP_TO_8_BYTES, &[&[I32, I64], T, T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let depth = checks::dimension("the depth", s.constant_integer(1, "the depth")?)?;
        let axis = source.operator.builtin_options_as_one_hot_options().map_or(0, |o| o.axis());
        Ok(Attributes { axis: checks::axis(axis.into(), s.input(0)?.rank() + 1)?, depth })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis], x.rank() + 1)?;
        for i in 1..3 {
            if s.input(i)?.element_count() != 1 {
                return Err(Diagnostic::new(Code::OPERAND, "what stands for on and off must be one element each")
                    .detail(format!("input {i}"))
                    .found(format!("{:?}", s.input(i)?.shape)));
            }
        }
        let mut shape = x.shape.clone();
        shape.insert(self.axis, self.depth);
        checks::sized(shape)
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match 0 < self.axis {
            true => counts::rows(s, counted, self.infer(s)),
            false => counts::none(s, counted),
        }
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if y.element_count() == 0 {
            return Ok(());
        }
        let elem = y.element.bytes().and_then(container).expect("infer has seen the type");
        let index = if x.element == I64 { Elem::I64 } else { Elem::I32 };
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, inner) = (product(&x.shape[..self.axis]), product(&x.shape[self.axis..]));
        let mut k = KernelBuilder::new(format!("one_hot_{elem}_{}x{inner}", self.depth));
        let (x, on, off, places, y) = (k.read("x"), k.read("on"), k.read("off"), k.read("places"), k.write("y"));
        let [on, off] = [on, off].map(|a| k.load(elem.x(1), a.at(0)));
        let lanes = cx.machine.lanes(if elem.bytes() == 8 { elem } else { Elem::I32 }).max(1);
        let size = i64::from(elem.bytes());
        let low_bits = |k: &mut KernelBuilder, v: Value| k.narrow(v, Elem::I32);
        let pick = |k: &mut KernelBuilder, b: &Block, index: Value, place: Value| {
            let hit = k.compare(Cond::Eq, index, place);
            let [on, off] = [on, off].map(|v| k.splat(v, b.lanes));
            let hit = if elem.bytes() == 4 { hit } else { as_wide(k, hit, elem) };
            k.select(hit, on, off)
        };
        k.each("outer", outer, 1, |k, o| {
            let at = o * (self.depth * inner) as i64;
            if inner == 1 {
                // Lanes are places along the new axis.
                let v = k.load(index.x(1), x.at(o * i64::from(index.bytes())));
                let v = low_bits(k, v);
                let v = k.splat(v, lanes);
                let first = k.load(Elem::I32.x(lanes), places.at(0));
                let store = |k: &mut KernelBuilder, place: Value, from: Index, count: usize| {
                    let v = pick(k, &Block { first: from.clone(), lanes, count }, v, place);
                    k.store_part(y.at((at.clone() + from) * size), v, count);
                };
                let whole = self.depth / lanes;
                let mut place = first;
                if 0 < whole {
                    let next = |k: &mut KernelBuilder, v: Value| {
                        let step = k.int(Elem::I32.x(lanes), lanes as i64);
                        k.add(v, step)
                    };
                    place = k.repeat("c", whole, 1, &[first], |k, c, v| {
                        store(k, v[0], c * lanes as i64, lanes);
                        vec![next(k, v[0])]
                    })[0];
                }
                if !self.depth.is_multiple_of(lanes) {
                    store(k, place, (whole * lanes).into(), self.depth % lanes);
                }
            } else {
                let zero = k.int(Elem::I32.x(1), 0);
                k.repeat("place", self.depth, 1, &[zero], |k, p, place| {
                    each_block(k, inner, lanes, 1, |k, b| {
                        let v = b.load(k, index, x.at((o * inner as i64 + b.first.clone()) * i64::from(index.bytes())));
                        let v = low_bits(k, v);
                        let place = k.splat(place[0], b.lanes);
                        let v = pick(k, &b, v, place);
                        b.store(k, y.at((at.clone() + p * inner as i64 + b.first.clone()) * size), v);
                    });
                    let one = k.int(Elem::I32.x(1), 1);
                    vec![k.add(place[0], one)]
                });
            }
        });
        let places = cx.constant_i32("places", &(0..lanes as i32).collect::<Vec<_>>());
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), places, cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// A mask of 32 bits as one of elements of another size.
fn as_wide(k: &mut KernelBuilder, mask: Value, elem: Elem) -> Value {
    let ty = Elem::I32.x(k.ty(mask).lanes as usize);
    let [zero, one] = [0, 1].map(|n| k.int(ty, n));
    let bit = k.select(mask, one, zero);
    let bit = if elem.bytes() == 8 { k.widen(bit, elem) } else { k.narrow(bit, elem) };
    let zero = k.int(k.ty(bit), 0);
    k.compare(Cond::Ne, bit, zero)
}
