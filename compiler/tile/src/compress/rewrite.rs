//! Kernels written anew for an argument whose numbers are packed: four bits each, or half floats.
//!
//! Not which kernels and which constants, which is `inside.rs`. The idea: each load of a vector becomes the load of its unit, unless that is at hand, and operations that make its numbers;
//! everything else of the kernel stays.

use super::form::{ENTRIES, InsideForm, InsideMeans};
use super::inside::is_number;
use crate::index::{Index, Param};
use crate::program::*;
use crate::types::{Elem, Type};

/// Writes a kernel anew for an argument that is packed. Behind its arguments is the table then, and behind its parameters those that `halved` names, divided.
pub(super) struct Rewriter<'a> {
    kernel: Kernel,
    arg: Arg,
    form: InsideForm,
    seconds: std::slice::Iter<'a, bool>,
    /// The table, and ones where the low four bits are.
    table: Option<[Value; 2]>,
    /// Parameters that new ones are a share of.
    halved: Vec<Param>,
    /// How many parameters there were.
    params: u32,
}

impl Rewriter<'_> {
    pub(super) fn rewrite(kernel: &Kernel, arg: Arg, form: InsideForm, seconds: &[bool]) -> (Kernel, Vec<Param>) {
        let mut new = kernel.clone();
        let body = std::mem::take(&mut new.body);
        let suffix = if form.means == InsideMeans::Half { "_halves" } else { "_nibbles" };
        if !new.name.ends_with(suffix) {
            new.name += suffix;
        }
        let params = new.params.len() as u32;
        let mut r = Rewriter { kernel: new, arg, form, seconds: seconds.iter(), table: None, halved: vec![], params };
        let mut out = vec![];
        if form.means == InsideMeans::Entry {
            let name = format!("{}_palette", r.kernel.args[arg.0 as usize].name);
            r.kernel.args.push(KernelArg { name, access: Access::Read, in_place_of: None });
            let place = Arg(r.kernel.args.len() as u32 - 1).at(0);
            let table = r.op(&mut out, form.byte().x(form.lanes), Op::LoadSplat { place, group: ENTRIES as u32, count: None });
            let mask = r.op(&mut out, Elem::U8.x(form.unit() / 2), Op::Const(Scalar::Int(15)));
            r.table = Some([table, mask]);
        }
        out.extend(r.block(body));
        r.kernel.body = out;
        (r.kernel, r.halved)
    }

    fn value(&mut self, ty: Type) -> Value {
        self.kernel.types.push(ty);
        Value(self.kernel.types.len() as u32 - 1)
    }

    fn op(&mut self, out: &mut Vec<Stmt>, ty: Type, op: Op) -> Value {
        let v = self.value(ty);
        out.push(Stmt::Let(v, op));
        v
    }

    fn block(&mut self, stmts: Vec<Stmt>) -> Vec<Stmt> {
        // Units that are loaded in this block.
        let mut units: Vec<(Index, Value)> = vec![];
        let mut out = vec![];
        let mut stmts = stmts.into_iter();
        while let Some(s) = stmts.next() {
            match s {
                Stmt::Let(v, op) if self.form.means == InsideMeans::Half && op.place().is_some_and(|p| p.base == Base::Arg(self.arg)) => {
                    let halves = self.kernel.ty(v).with_elem(Elem::U16);
                    let op = self.of_halves(op);
                    let halves = self.op(&mut out, halves, op);
                    out.push(Stmt::Let(v, Op::FromHalf(halves)));
                }
                Stmt::Let(v, Op::Load { place, .. }) if place.base == Base::Arg(self.arg) => {
                    let v = match (self.form.means, self.form.elem, stmts.as_slice().first()) {
                        // Wide as they are made.
                        (InsideMeans::Number, Elem::I8, Some(Stmt::Let(wide, _))) => {
                            let wide = *wide;
                            stmts.next();
                            wide
                        }
                        _ => v,
                    };
                    self.load(&mut out, &mut units, v, &place.at);
                }
                Stmt::Prefetch(place) if place.base == Base::Arg(self.arg) => {
                    let at = self.divided(&place.at, 0);
                    out.push(Stmt::Prefetch(Place { at, ..place }));
                }
                Stmt::Loop(mut l) => {
                    l.body = self.block(std::mem::take(&mut l.body));
                    out.push(Stmt::Loop(l));
                }
                other => out.push(other),
            }
        }
        out
    }

    /// The load of half floats instead of floats.
    fn of_halves(&mut self, op: Op) -> Op {
        let mut divided = |place: Place| Place { at: self.divided(&place.at, 0), ..place };
        match op {
            Op::Load { place, count } => Op::Load { place: divided(place), count },
            other => unreachable!("{other:?} is no load"),
        }
    }

    fn load(&mut self, out: &mut Vec<Stmt>, units: &mut Vec<(Index, Value)>, v: Value, at: &Index) {
        let (form, is_second) = (self.form, self.seconds.next().copied().unwrap_or(false));
        let at = self.divided(at, if is_second { form.vector_bytes() } else { 0 });
        // Bytes, or bytes in numbers of 16 bits.
        let (byte, half) = (if self.table.is_some() { Elem::U8 } else { Elem::I8 }, form.unit() / 2);
        let known = units.iter().find(|u| u.0 == at).map(|u| u.1);
        let unit = known.unwrap_or_else(|| {
            let place = Place { base: Base::Arg(self.arg), at: at.clone() };
            let mut unit = self.op(out, byte.x(half), Op::Load { place, count: None });
            if self.table.is_none() {
                unit = self.op(out, Elem::I16.x(half), Op::Widen(unit));
            }
            units.push((at, unit));
            unit
        });
        let (low, high) = (form.vectors == 1 || !is_second, form.vectors == 1 || is_second);
        let low = low.then(|| self.low(out, unit));
        let high = high.then_some(Op::ShrImm(unit, 4));
        let number = |r: &mut Self, out: &mut Vec<Stmt>, nibbles: Op| {
            let Some([a, _]) = r.table else {
                out.push(Stmt::Let(v, nibbles));
                return;
            };
            let index = r.op(out, Elem::U8.x(form.lanes), nibbles);
            let looked_up = Op::Permute { a, index, segment: ENTRIES as u32 };
            if form.elem == form.byte() {
                out.push(Stmt::Let(v, looked_up));
            } else {
                let number = r.op(out, form.byte().x(form.lanes), looked_up);
                out.push(Stmt::Let(v, Op::Widen(number)));
            }
        };
        match (low, high) {
            (Some(low), Some(high)) => {
                let ty = self.kernel.ty(unit);
                let (low, high) = (self.op(out, ty, low), self.op(out, ty, high));
                number(self, out, Op::Concat(low, high));
            }
            (Some(one), None) | (None, Some(one)) => number(self, out, one),
            (None, None) => {}
        }
    }

    /// The low four bits.
    fn low(&mut self, out: &mut Vec<Stmt>, unit: Value) -> Op {
        match self.table {
            Some([_, mask]) => Op::Binary(Binary::And, unit, mask),
            None => {
                let bits = self.kernel.ty(unit).elem.bits() as u8 - 4;
                let up = self.op(out, self.kernel.ty(unit), Op::ShlImm(unit, bits));
                Op::ShrImm(up, bits)
            }
        }
    }

    /// Where a place is when it is packed, `before` bytes ahead of it in the numbers.
    fn divided(&mut self, at: &Index, before: i64) -> Index {
        let ratio = self.form.ratio();
        let mut terms = vec![];
        for t in (at.clone() - Index::constant(before)).terms() {
            let mut t = t.clone();
            match t.coefficient % ratio == 0 || is_number(&t) {
                true => t.coefficient /= ratio,
                false => t.params = t.params.iter().map(|p| self.halved(*p)).collect(),
            }
            terms.push(t);
        }
        Index::from_terms(terms)
    }

    fn halved(&mut self, p: Param) -> Param {
        let number = self.halved.iter().position(|h| *h == p).unwrap_or_else(|| {
            self.halved.push(p);
            let name = format!("{}_packed", self.kernel.params[p.0 as usize]);
            self.kernel.params.push(name);
            self.halved.len() - 1
        });
        Param(self.params + number as u32)
    }
}
