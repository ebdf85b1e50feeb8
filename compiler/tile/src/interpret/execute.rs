//! Walks a prepared kernel.
//!
//! The idea: the lanes of all values lie in one vector of cells, each value at its own place, so that an operation is a loop from
//! cells to cells and nothing is allocated.

use super::Fault;
use super::lanes::{self, from_bits, saturate, wrap};
use super::memory::Bound;
use super::prepare::{Address, Code, Lanes, Prepared};
use crate::program::*;
use crate::types::Elem;
use std::borrow::Cow;
use std::cell::Cell;

pub fn execute(kernel: &Kernel, prepared: &Prepared, memory: &mut Bound) -> Result<(), Fault> {
    let mut frame = Frame {
        values: &prepared.values,
        lanes: vec![Cell::new(0); prepared.lanes],
        counters: vec![0; kernel.counters.len()],
        rows: vec![RowAt { arg: 0, at: 0, bytes: 0 }; prepared.rows],
        round: vec![],
        memory,
    };
    frame.block(&prepared.code)
}

#[derive(Clone, Copy)]
struct RowAt {
    arg: usize,
    at: i64,
    bytes: i64,
}

struct Frame<'f, 'm, 'a> {
    values: &'f [Lanes],
    lanes: Vec<Cell<u64>>,
    counters: Vec<i64>,
    rows: Vec<RowAt>,
    /// Values on their way round a loop.
    round: Vec<u64>,
    memory: &'f mut Bound<'m, 'a>,
}

impl Frame<'_, '_, '_> {
    fn block(&mut self, code: &[Code]) -> Result<(), Fault> {
        for c in code {
            self.step(c)?;
        }
        Ok(())
    }

    fn step(&mut self, code: &Code) -> Result<(), Fault> {
        match code {
            Code::Let { to, op, address } => self.operation(*to, op, address.as_ref())?,
            Code::Store { address, value, count } => self.store(address, *value, *count)?,
            Code::Loop { counter, count, step, carried, crossed, body } => {
                for c in *carried {
                    self.copy(c.init, c.inside);
                }
                let count = count.at(&self.counters)?;
                let mut i = 0;
                while i < count {
                    self.counters[*counter] = i;
                    self.block(body)?;
                    self.advance(carried, *crossed);
                    i = i.checked_add(*step).ok_or(Fault::IndexOverflow)?;
                }
                for c in *carried {
                    self.copy(c.inside, c.result);
                }
            }
            Code::Row { row, arg, at, bytes, guards, fill } => {
                let mut inside = true;
                for (index, limit) in guards {
                    let index = index.at(&self.counters)?;
                    inside &= 0 <= index && index < limit.at(&self.counters)?;
                }
                let (arg, at) = if inside { (*arg, at.at(&self.counters)?) } else { (*fill, 0) };
                let bytes = bytes.at(&self.counters)?;
                self.memory.read(arg, at, usize::try_from(bytes).map_err(|_| Fault::NegativeSize(bytes))?)?;
                self.rows[*row] = RowAt { arg, at, bytes };
            }
            Code::Split { quotient, remainder, of, by } => {
                let of = of.at(&self.counters)?;
                if of < 0 {
                    return Err(Fault::NegativeSize(of));
                }
                self.counters[*quotient] = of / by;
                self.counters[*remainder] = of % by;
            }
            Code::Clamp { index, value, low, high } => {
                self.counters[*index] = (self.get(*value)[0].get() as i64).clamp(*low, *high);
            }
        }
        Ok(())
    }

    fn get(&self, v: Value) -> &[Cell<u64>] {
        let Lanes { start, ty } = self.values[v.0 as usize];
        &self.lanes[start..start + ty.lanes as usize]
    }
    fn elem(&self, v: Value) -> Elem {
        self.values[v.0 as usize].ty.elem
    }

    fn copy(&self, from: Value, to: Value) {
        for (from, to) in self.get(from).iter().zip(self.get(to)) {
            to.set(from.get());
        }
    }

    fn advance(&mut self, carried: &[Carried], crossed: bool) {
        if !crossed {
            return carried.iter().for_each(|c| self.copy(c.next, c.inside));
        }
        let mut round = std::mem::take(&mut self.round);
        round.clear();
        for c in carried {
            round.extend(self.get(c.next).iter().map(Cell::get));
        }
        for (to, &from) in carried.iter().flat_map(|c| self.get(c.inside)).zip(&round) {
            to.set(from);
        }
        self.round = round;
    }

    /// The `count` bytes at `address + offset`.
    fn bytes(&self, address: &Address, offset: usize, count: usize) -> Result<Cow<'_, [u8]>, Fault> {
        let at = address.at.at(&self.counters)?.checked_add(offset as i64).ok_or(Fault::IndexOverflow)?;
        match address.base {
            Base::Arg(a) => self.memory.read(a.0 as usize, at, count),
            Base::Row(r) => {
                let row = self.rows[r.0 as usize];
                let inside = 0 <= at && at.checked_add(count as i64).is_some_and(|end| end <= row.bytes);
                if !inside {
                    return Err(Fault::OutOfRow { row: r.0, at, count, size: row.bytes });
                }
                self.memory.read(row.arg, row.at + at, count)
            }
        }
    }

    fn store(&mut self, address: &Address, value: Value, count: usize) -> Result<(), Fault> {
        let Base::Arg(arg) = address.base else { return Err(Fault::IllFormed("store to a row".into())) };
        let Lanes { start, ty } = self.values[value.0 as usize];
        let size = ty.elem.bytes() as usize;
        let at = address.at.at(&self.counters)?;
        let bytes = self.memory.write(arg.0 as usize, at, count * size)?;
        for (to, lane) in bytes.chunks_exact_mut(size).zip(&self.lanes[start..start + count]) {
            to.copy_from_slice(&lane.get().to_le_bytes()[..size]);
        }
        Ok(())
    }

    fn operation(&self, to: Value, op: &Op, address: Option<&Address>) -> Result<(), Fault> {
        self.try_operation(to, op, address)?.ok_or_else(|| Fault::IllFormed(format!("v{} = {op:?}", to.0)))
    }

    /// `None` when there is no such operation on these types.
    fn try_operation(&self, v: Value, op: &Op, address: Option<&Address>) -> Result<Option<()>, Fault> {
        let to = self.get(v);
        let elem = self.elem(v);
        let get = |v: Value| self.get(v);
        Ok(match *op {
            Op::Const(c) => lanes::constant(elem, c).map(|c| to.iter().for_each(|t| t.set(c))),
            Op::Load { count, .. } => {
                let Some(address) = address else { return Ok(None) };
                let count = count.map_or(to.len(), |c| c as usize);
                read_lanes(&self.bytes(address, 0, count * elem.bytes() as usize)?, elem, &to[..count]);
                to[count..].iter().for_each(|t| t.set(0));
                Some(())
            }
            Op::LoadSplat { group, count, .. } => {
                let Some(address) = address else { return Ok(None) };
                let (group, size) = (group as usize, elem.bytes() as usize);
                let count = count.map_or(group, |c| c as usize);
                let bytes = self.bytes(address, 0, count * size)?;
                for chunk in to.chunks(group) {
                    let here = count.min(chunk.len());
                    read_lanes(&bytes[..here * size], elem, &chunk[..here]);
                    chunk[here..].iter().for_each(|t| t.set(0));
                }
                Some(())
            }
            Op::Lookup { index, .. } => {
                let Some(address) = address else { return Ok(None) };
                if self.elem(index) != Elem::U8 || elem.is_mask() {
                    return Ok(None);
                }
                let size = elem.bytes() as usize;
                for (to, index) in to.iter().zip(get(index)) {
                    read_lanes(&self.bytes(address, index.get() as usize * size, size)?, elem, std::slice::from_ref(to));
                }
                Some(())
            }
            Op::Unary(op, a) if self.elem(a) == elem => map(to, get(a), |a| lanes::unary(op, elem, a)),
            Op::Unary(..) => None,
            Op::Binary(op, a, b) => zip(to, get(a), get(b), |a, b| lanes::binary(op, elem, a, b)),
            Op::ShlImm(a, n) if self.elem(a) == elem && elem.is_int() => map(to, get(a), |a| Some(lanes::shl(elem, a, n.into()))),
            Op::ShrImm(a, n) if self.elem(a) == elem && elem.is_int() => map(to, get(a), |a| Some(lanes::shr(elem, a, n.into()))),
            Op::RoundingShr(a, n) if self.elem(a) == elem && elem.is_signed() => {
                let n = u32::from(n) & (elem.bits() - 1);
                map(to, get(a), |a| Some(lanes::rounding_shr(a as i64, n) as u64))
            }
            Op::ShlImm(..) | Op::ShrImm(..) | Op::RoundingShr(..) => None,
            Op::Compare(cond, a, b) => {
                let from = self.elem(a);
                if elem != Elem::Mask(from.bits() as u8) {
                    return Ok(None);
                }
                zip(to, get(a), get(b), |a, b| lanes::compare(cond, from, a, b))
            }
            Op::Select(m, a, b) => {
                for (((to, m), a), b) in to.iter().zip(get(m)).zip(get(a)).zip(get(b)) {
                    to.set(if m.get() == 1 { a.get() } else { b.get() });
                }
                Some(())
            }
            Op::Fma(a, b, c) => zip3(to, get(a), get(b), get(c), |a, b, c| lanes::fma(elem, a, b, c)),
            Op::FmaLane { acc, a, lane, b } => {
                let a = get(a)[lane as usize].get();
                zip(to, get(acc), get(b), |acc, b| lanes::fma(elem, a, b, acc))
            }
            Op::MulWide(a, b) => {
                if (self.elem(a), self.elem(b), elem) != (Elem::I32, Elem::I32, Elem::I64) {
                    return Ok(None);
                }
                zip(to, get(a), get(b), |a, b| Some((a as i64 * b as i64) as u64))
            }
            Op::Dot { group, acc, a, b } => {
                let group = group as usize;
                if !dot_types(group, elem, self.elem(a), self.elem(b)) {
                    return Ok(None);
                }
                let groups = get(a).chunks_exact(group).zip(get(b).chunks_exact(group));
                for ((to, acc), (a, b)) in to.iter().zip(get(acc)).zip(groups) {
                    to.set(dot(acc.get(), a, b));
                }
                Some(())
            }
            Op::DotLane { group, acc, a, lane, b } => {
                let group = group as usize;
                if !dot_types(group, elem, self.elem(a), self.elem(b)) {
                    return Ok(None);
                }
                let a = &get(a)[lane as usize * group..][..group];
                for ((to, acc), b) in to.iter().zip(get(acc)).zip(get(b).chunks_exact(group)) {
                    to.set(dot(acc.get(), a, b));
                }
                Some(())
            }
            Op::DotMatrix { acc, a, b } => {
                let is_whole = to.len().is_multiple_of(4) && elem == Elem::I32;
                if !is_whole || !dot_types(4, elem, self.elem(a), self.elem(b)) {
                    return Ok(None);
                }
                let (a, b) = (get(a), get(b));
                for (n, (to, acc)) in to.iter().zip(get(acc)).enumerate() {
                    let (first, row, column) = (n / 4 * 16, n / 2 % 2 * 8, n % 2 * 8);
                    to.set(dot(acc.get(), &a[first + row..][..8], &b[first + column..][..8]));
                }
                Some(())
            }
            Op::Convert(a, rounding) => {
                let from = self.elem(a);
                map(to, get(a), |a| lanes::convert(from, elem, rounding, a))
            }
            Op::FromHalf(a) => {
                let is = (self.elem(a), elem) == (Elem::U16, Elem::F32);
                map(to, get(a), |a| is.then(|| half::f16::from_bits(a as u16).to_f32().to_bits().into()))
            }
            Op::ToHalf(a) => {
                let is = (self.elem(a), elem) == (Elem::F32, Elem::U16);
                map(to, get(a), |a| is.then(|| half::f16::from_f32(f32::from_bits(a as u32)).to_bits().into()))
            }
            Op::Widen(a) => {
                let from = self.elem(a);
                let wider = from.is_int() && elem.is_int() && from.bits() < elem.bits();
                map(to, get(a), |a| wider.then(|| wrap(elem, a as i64)))
            }
            Op::Narrow(a) => {
                let from = self.elem(a);
                let narrower = from.is_int() && elem.is_int() && elem.bits() < from.bits();
                map(to, get(a), |a| narrower.then(|| wrap(elem, a as i64)))
            }
            Op::NarrowSat(a) => {
                let from = self.elem(a);
                let narrower = from.is_int() && elem.is_int() && elem != from && elem.bits() <= from.bits();
                map(to, get(a), |a| narrower.then(|| saturate(elem, a as i64)))
            }
            Op::Bitcast(a) => {
                let from = self.elem(a);
                if from.is_mask() || elem.is_mask() {
                    return Ok(None);
                }
                bitcast(from, get(a), elem, to);
                Some(())
            }
            Op::Splat(a) => {
                let a = get(a)[0].get();
                to.iter().for_each(|t| t.set(a));
                Some(())
            }
            Op::Lane(a, lane) => map(to, &get(a)[lane as usize..], Some),
            Op::Slice(a, start) => map(to, &get(a)[start as usize..], Some),
            Op::Concat(a, b) => {
                let (low, high) = to.split_at(get(a).len());
                map(low, get(a), Some);
                map(high, get(b), Some)
            }
            Op::Interleave(a, b) => {
                for (pair, (a, b)) in to.chunks_exact(2).zip(get(a).iter().zip(get(b))) {
                    pair[0].set(a.get());
                    pair[1].set(b.get());
                }
                Some(())
            }
            Op::Deinterleave(a, parity) => {
                for (to, pair) in to.iter().zip(get(a).chunks_exact(2)) {
                    to.set(pair[parity as usize].get());
                }
                Some(())
            }
            Op::Repeat { a, times, start } => {
                for (i, to) in to.iter().enumerate() {
                    to.set(get(a)[(start as usize + i) / times as usize].get());
                }
                Some(())
            }
            Op::Permute { a, index, segment } => {
                if segment == 0 || elem.is_mask() {
                    return Ok(None);
                }
                let size = segment as usize;
                for ((to, table), index) in to.chunks(size).zip(get(a).chunks(size)).zip(get(index).chunks(size)) {
                    for (to, index) in to.iter().zip(index) {
                        let lane = index.get();
                        let from = usize::try_from(lane).ok().and_then(|i| table.get(i)).ok_or(Fault::Lane { lane, segment })?;
                        to.set(from.get());
                    }
                }
                Some(())
            }
            Op::Reduce(op, a) => {
                let Some(result) = reduced(op, elem, get(a)) else { return Ok(None) };
                to[0].set(result);
                (!elem.is_mask()).then_some(())
            }
            Op::ReduceEach(op, ref all) => {
                for (to, &a) in to.iter().zip(all) {
                    let Some(result) = reduced(op, elem, get(a)) else { return Ok(None) };
                    to.set(result);
                }
                (!elem.is_mask()).then_some(())
            }
            Op::Requantize { x, multiplier, shift, range } => {
                if elem != Elem::I32 {
                    return Ok(None);
                }
                for (((to, x), multiplier), shift) in to.iter().zip(get(x)).zip(get(multiplier)).zip(get(shift)) {
                    let (multiplier, shift) = (multiplier.get() as i32, shift.get() as i64);
                    let (low, high) = match range {
                        ShiftRange::Uniform(s) => (i64::from(s), i64::from(s)),
                        ShiftRange::Right => (-31, -1),
                        ShiftRange::Any => (-31, 30),
                    };
                    // Lanes that a partial load has cleared: nothing is promised of their shift, and nothing depends on it.
                    if multiplier == 0 {
                        to.set(0);
                        continue;
                    }
                    if multiplier == i32::MIN {
                        return Err(Fault::SmallestMultiplier);
                    }
                    if shift < low.max(-31) || high.min(30) < shift {
                        return Err(Fault::Shift { shift, low, high });
                    }
                    to.set(i64::from(lanes::requantize(x.get() as i32, multiplier, shift as i32)) as u64);
                }
                Some(())
            }
        })
    }
}

fn map(to: &[Cell<u64>], a: &[Cell<u64>], f: impl Fn(u64) -> Option<u64>) -> Option<()> {
    to.iter().zip(a).try_for_each(|(to, a)| {
        to.set(f(a.get())?);
        Some(())
    })
}

fn zip(to: &[Cell<u64>], a: &[Cell<u64>], b: &[Cell<u64>], f: impl Fn(u64, u64) -> Option<u64>) -> Option<()> {
    to.iter().zip(a).zip(b).try_for_each(|((to, a), b)| {
        to.set(f(a.get(), b.get())?);
        Some(())
    })
}

fn zip3(to: &[Cell<u64>], a: &[Cell<u64>], b: &[Cell<u64>], c: &[Cell<u64>], f: impl Fn(u64, u64, u64) -> Option<u64>) -> Option<()> {
    to.iter().zip(a).zip(b).zip(c).try_for_each(|(((to, a), b), c)| {
        to.set(f(a.get(), b.get(), c.get())?);
        Some(())
    })
}

fn dot_types(group: usize, to: Elem, a: Elem, b: Elem) -> bool {
    to == Elem::I32
        && match group {
            4 | 16 => matches!((a, b), (Elem::U8 | Elem::I8, Elem::U8 | Elem::I8)),
            1 | 2 => a == Elem::I16 && b == Elem::I16,
            _ => false,
        }
}

fn dot(acc: u64, a: &[Cell<u64>], b: &[Cell<u64>]) -> u64 {
    let sum: i64 = a.iter().zip(b).map(|(a, b)| a.get() as i64 * b.get() as i64).sum();
    wrap(Elem::I32, acc as i64 + sum)
}

/// As many lanes as there are bytes for.
fn read_lanes(bytes: &[u8], elem: Elem, to: &[Cell<u64>]) {
    let size = elem.bytes() as usize;
    for (to, bytes) in to.iter().zip(bytes.chunks_exact(size)) {
        let mut all = [0; 8];
        all[..size].copy_from_slice(bytes);
        to.set(from_bits(elem, u64::from_le_bytes(all)));
    }
}

/// The upper half onto the lower half, until one lane is left.
fn reduced(op: Reduce, elem: Elem, lanes: &[Cell<u64>]) -> Option<u64> {
    let mut left: Vec<u64> = lanes.iter().map(Cell::get).collect();
    while 1 < left.len() {
        let upper = left.split_off(left.len() / 2);
        for (low, up) in left.iter_mut().zip(upper) {
            *low = lanes::reduce(op, elem, *low, up)?;
        }
    }
    Some(left[0])
}

fn bitcast(from: Elem, a: &[Cell<u64>], elem: Elem, to: &[Cell<u64>]) {
    if from.bits() == elem.bits() {
        let mask = u64::MAX >> (64 - elem.bits());
        map(to, a, |a| Some(from_bits(elem, a & mask)));
        return;
    }
    let size = from.bytes() as usize;
    let bytes: Vec<u8> = a.iter().flat_map(|a| a.get().to_le_bytes().into_iter().take(size)).collect();
    read_lanes(&bytes, elem, to);
}
