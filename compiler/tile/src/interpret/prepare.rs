//! A kernel made ready for one call: parameters put in, indexes as flat sums, lanes given their places.
//!
//! Not the verifier: of the kernel's form it checks only what execution relies on in order not to panic. The idea: everything that
//! does not change during a call is looked up once, so that execution is a walk over a tree that fits in a page.

use super::Fault;
use crate::index::{Counter, Index};
use crate::program::*;
use crate::types::Type;

/// `constant + Σ factor · counter`
#[derive(Debug)]
pub struct Affine {
    constant: i64,
    terms: Vec<(i64, usize)>,
}

impl Affine {
    pub fn at(&self, counters: &[i64]) -> Result<i64, Fault> {
        let mut sum = self.constant;
        for &(factor, counter) in &self.terms {
            sum = factor.checked_mul(counters[counter]).and_then(|v| sum.checked_add(v)).ok_or(Fault::IndexOverflow)?;
        }
        Ok(sum)
    }
}

#[derive(Debug)]
pub struct Address {
    pub base: Base,
    pub at: Affine,
}

/// Where a value's lanes are.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    pub start: usize,
    pub ty: Type,
}

#[derive(Debug)]
pub enum Code<'k> {
    Let {
        to: Value,
        op: &'k Op,
        address: Option<Address>,
    },
    Store {
        address: Address,
        value: Value,
        count: usize,
    },
    Loop {
        counter: usize,
        count: i64,
        step: i64,
        carried: &'k [Carried],
        /// Some next value is itself a carried one, so that all must be read before any is written.
        crossed: bool,
        body: Vec<Code<'k>>,
    },
    Row {
        row: usize,
        arg: usize,
        at: Affine,
        bytes: Affine,
        guards: Vec<(Affine, Affine)>,
        fill: usize,
    },
    Split {
        quotient: usize,
        remainder: usize,
        of: Affine,
        by: i64,
    },
    Clamp {
        index: usize,
        value: Value,
        low: i64,
        high: i64,
    },
}

pub struct Prepared<'k> {
    pub code: Vec<Code<'k>>,
    pub values: Vec<Lanes>,
    pub lanes: usize,
}

pub fn prepare<'k>(kernel: &'k Kernel, params: &[i64]) -> Result<Prepared<'k>, Fault> {
    if params.len() != kernel.params.len() {
        return Err(Fault::Parameters { expected: kernel.params.len(), given: params.len() });
    }
    let mut lanes = 0;
    let mut values = Vec::with_capacity(kernel.types.len());
    for &ty in &kernel.types {
        values.push(Lanes { start: lanes, ty });
        lanes += ty.lanes as usize;
    }
    let code = Prepare { kernel, params }.block(&kernel.body)?;
    Ok(Prepared { code, values, lanes })
}

struct Prepare<'k, 'p> {
    kernel: &'k Kernel,
    params: &'p [i64],
}

fn ill<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::IllFormed(what.into()))
}

impl<'k> Prepare<'k, '_> {
    fn block(&self, stmts: &'k [Stmt]) -> Result<Vec<Code<'k>>, Fault> {
        stmts.iter().map(|s| self.stmt(s)).collect()
    }

    fn stmt(&self, stmt: &'k Stmt) -> Result<Code<'k>, Fault> {
        Ok(match stmt {
            Stmt::Let(to, op) => {
                let ty = self.ty(*to)?;
                for v in op.operands() {
                    self.ty(v)?;
                }
                if !fits(op, ty, |v| self.kernel.ty(v)) {
                    return ill(format!("value {} : {ty} = {op:?}", to.0));
                }
                Code::Let { to: *to, op, address: op.place().map(|p| self.address(p)).transpose()? }
            }
            Stmt::Store { place, value, count } => {
                let lanes = self.ty(*value)?.lanes;
                if lanes < count.unwrap_or(0) || self.ty(*value)?.elem.is_mask() || matches!(place.base, Base::Row(_)) {
                    return ill(format!("{stmt:?}"));
                }
                Code::Store { address: self.address(place)?, value: *value, count: count.unwrap_or(lanes) as usize }
            }
            Stmt::Loop(l) => {
                for c in &l.carried {
                    let ty = self.ty(c.init)?;
                    if ty != self.ty(c.inside)? || ty != self.ty(c.next)? || ty != self.ty(c.result)? {
                        return ill(format!("{c:?}"));
                    }
                }
                let count = self.affine(&l.count)?;
                if l.step <= 0 || !count.terms.is_empty() {
                    return ill(format!("loop to {:?} by {}", l.count, l.step));
                }
                Code::Loop {
                    counter: self.counter(l.counter)?,
                    count: count.constant,
                    step: l.step,
                    carried: &l.carried,
                    crossed: l.carried.iter().any(|a| l.carried.iter().any(|b| a.next == b.inside)),
                    body: self.block(&l.body)?,
                }
            }
            Stmt::Row { row, arg, at, bytes, guards, fill } => Code::Row {
                row: self.row(*row)?,
                arg: self.arg(*arg)?,
                at: self.affine(at)?,
                bytes: self.affine(bytes)?,
                guards: guards.iter().map(|g| Ok((self.affine(&g.index)?, self.affine(&g.limit)?))).collect::<Result<_, Fault>>()?,
                fill: self.arg(*fill)?,
            },
            Stmt::Split { quotient, remainder, of, by } => {
                if *by <= 0 {
                    return ill(format!("split by {by}"));
                }
                Code::Split { quotient: self.counter(*quotient)?, remainder: self.counter(*remainder)?, of: self.affine(of)?, by: *by }
            }
            Stmt::Clamp { index, value, low, high } => {
                let ty = self.ty(*value)?;
                if ty.lanes != 1 || !ty.elem.is_int() || high < low {
                    return ill(format!("{stmt:?}"));
                }
                Code::Clamp { index: self.counter(*index)?, value: *value, low: *low, high: *high }
            }
        })
    }

    fn ty(&self, v: Value) -> Result<Type, Fault> {
        self.kernel.types.get(v.0 as usize).copied().ok_or_else(|| Fault::IllFormed(format!("value {}", v.0)))
    }
    fn counter(&self, c: Counter) -> Result<usize, Fault> {
        if (c.0 as usize) < self.kernel.counters.len() { Ok(c.0 as usize) } else { ill(format!("counter {}", c.0)) }
    }
    fn arg(&self, a: Arg) -> Result<usize, Fault> {
        if (a.0 as usize) < self.kernel.args.len() { Ok(a.0 as usize) } else { ill(format!("argument {}", a.0)) }
    }
    fn row(&self, r: Row) -> Result<usize, Fault> {
        if r.0 < self.kernel.rows { Ok(r.0 as usize) } else { ill(format!("row {}", r.0)) }
    }
    fn address(&self, place: &Place) -> Result<Address, Fault> {
        match place.base {
            Base::Arg(a) => self.arg(a)?,
            Base::Row(r) => self.row(r)?,
        };
        Ok(Address { base: place.base, at: self.affine(&place.at)? })
    }

    fn affine(&self, index: &Index) -> Result<Affine, Fault> {
        let mut affine = Affine { constant: 0, terms: vec![] };
        for t in index.terms() {
            let mut factor = t.coefficient;
            for p in &t.params {
                let Some(&value) = self.params.get(p.0 as usize) else { return ill(format!("parameter {}", p.0)) };
                factor = factor.checked_mul(value).ok_or(Fault::IndexOverflow)?;
            }
            match t.counter {
                Some(c) => affine.terms.push((factor, self.counter(c)?)),
                None => affine.constant = affine.constant.checked_add(factor).ok_or(Fault::IndexOverflow)?,
            }
        }
        Ok(affine)
    }
}

/// Whether the numbers of lanes suit each other. Wrong element types are found in execution.
fn fits(op: &Op, to: Type, ty: impl Fn(Value) -> Type) -> bool {
    let n = |v: Value| u64::from(ty(v).lanes);
    let to_lanes = u64::from(to.lanes);
    let all = |vs: &[Value]| vs.iter().all(|&v| n(v) == to_lanes);
    let part = |count: &Option<u32>, of: u32| count.unwrap_or(0) <= of && 0 < of && !to.elem.is_mask();
    0 < to.lanes
        && match *op {
            Op::Const(_) => true,
            Op::Load { count, .. } => part(&count, to.lanes),
            Op::LoadSplat { group, count, .. } => part(&count, group),
            Op::Unary(_, a)
            | Op::ShlImm(a, _)
            | Op::ShrImm(a, _)
            | Op::RoundingShr(a, _)
            | Op::Convert(a, _)
            | Op::Widen(a)
            | Op::Narrow(a)
            | Op::NarrowSat(a)
            | Op::Lookup { index: a, .. } => all(&[a]),
            Op::Binary(_, a, b) => all(&[a, b]) && ty(a) == to && ty(b) == to,
            Op::Compare(_, a, b) => all(&[a, b]) && ty(a) == ty(b),
            Op::MulWide(a, b) => all(&[a, b]),
            Op::Select(m, a, b) => all(&[m, a, b]) && ty(m).elem.is_mask() && ty(a) == to && ty(b) == to,
            Op::Fma(a, b, c) => all(&[a, b, c]) && ty(a) == to && ty(b) == to && ty(c) == to,
            Op::FmaLane { acc, a, lane, b } => ty(acc) == to && ty(b) == to && ty(a).elem == to.elem && u64::from(lane) < n(a),
            Op::Dot { group, acc, a, b } => ty(acc) == to && 0 < group && n(a) == to_lanes * u64::from(group) && n(b) == n(a),
            Op::DotLane { group, acc, a, lane, b } => {
                let (group, lane) = (u64::from(group), u64::from(lane));
                ty(acc) == to && 0 < group && (lane + 1) * group <= n(a) && n(b) == to_lanes * group
            }
            Op::Bitcast(a) => u64::from(ty(a).elem.bits()) * n(a) == u64::from(to.elem.bits()) * to_lanes,
            Op::Splat(a) => n(a) == 1 && ty(a).elem == to.elem,
            Op::Lane(a, lane) => to_lanes == 1 && u64::from(lane) < n(a) && ty(a).elem == to.elem,
            Op::Concat(a, b) => n(a) + n(b) == to_lanes && ty(a).elem == to.elem && ty(b).elem == to.elem,
            Op::Slice(a, start) => u64::from(start) + to_lanes <= n(a) && ty(a).elem == to.elem,
            Op::Interleave(a, b) => n(a) * 2 == to_lanes && ty(a) == ty(b) && ty(a).elem == to.elem,
            Op::Deinterleave(a, parity) => n(a) == to_lanes * 2 && parity < 2 && ty(a).elem == to.elem,
            Op::Reduce(_, a) => to_lanes == 1 && ty(a).lanes.is_power_of_two() && ty(a).elem == to.elem,
            Op::Requantize { x, multiplier, shift, .. } => ty(x) == to && ty(multiplier) == to && ty(shift) == to,
        }
}
