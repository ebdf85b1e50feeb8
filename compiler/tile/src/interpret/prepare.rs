//! A kernel made ready for one call: parameters put in, indexes as flat sums, lanes given their places.
//!
//! For kernels of right form and types only. The idea: everything that does not change during a call is looked up once, so that execution
//! is a walk over a small tree.

use super::Fault;
use crate::index::Index;
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
        count: Affine,
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
    pub rows: usize,
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
    let mut rows = 0;
    let code = Prepare { kernel, params, rows: &mut rows }.block(&kernel.body)?;
    Ok(Prepared { code, values, lanes, rows })
}

struct Prepare<'k, 'p> {
    kernel: &'k Kernel,
    params: &'p [i64],
    rows: &'p mut usize,
}

impl<'k> Prepare<'k, '_> {
    fn block(&mut self, stmts: &'k [Stmt]) -> Result<Vec<Code<'k>>, Fault> {
        let does_something = |s: &&Stmt| !matches!(s, Stmt::Prefetch(_));
        stmts.iter().filter(does_something).map(|s| self.stmt(s)).collect()
    }

    fn stmt(&mut self, stmt: &'k Stmt) -> Result<Code<'k>, Fault> {
        Ok(match stmt {
            Stmt::Let(to, op) => Code::Let { to: *to, op, address: op.place().map(|p| self.address(p)).transpose()? },
            Stmt::Store { place, value, count } => {
                let count = count.unwrap_or(self.kernel.ty(*value).lanes) as usize;
                Code::Store { address: self.address(place)?, value: *value, count }
            }
            Stmt::Loop(l) => Code::Loop {
                counter: l.counter.0 as usize,
                count: self.affine(&l.count)?,
                step: l.step,
                carried: &l.carried,
                crossed: l.carried.iter().any(|a| l.carried.iter().any(|b| a.next == b.inside)),
                body: self.block(&l.body)?,
            },
            Stmt::Prefetch(_) => unreachable!("left out above"),
            Stmt::Row { row, arg, at, bytes, guards, fill } => {
                *self.rows = (row.0 as usize + 1).max(*self.rows);
                Code::Row {
                    row: row.0 as usize,
                    arg: arg.0 as usize,
                    at: self.affine(at)?,
                    bytes: self.affine(bytes)?,
                    guards: guards.iter().map(|g| Ok((self.affine(&g.index)?, self.affine(&g.limit)?))).collect::<Result<_, Fault>>()?,
                    fill: fill.0 as usize,
                }
            }
            Stmt::Split { quotient, remainder, of, by } => {
                Code::Split { quotient: quotient.0 as usize, remainder: remainder.0 as usize, of: self.affine(of)?, by: *by }
            }
            Stmt::Clamp { index, value, low, high, known: _ } => {
                Code::Clamp { index: index.0 as usize, value: *value, low: *low, high: *high }
            }
        })
    }

    fn address(&self, place: &Place) -> Result<Address, Fault> {
        Ok(Address { base: place.base, at: self.affine(&place.at)? })
    }

    fn affine(&self, index: &Index) -> Result<Affine, Fault> {
        let mut affine = Affine { constant: 0, terms: vec![] };
        for t in index.terms() {
            let mut factor = t.coefficient;
            for p in &t.params {
                factor = factor.checked_mul(self.params[p.0 as usize]).ok_or(Fault::IndexOverflow)?;
            }
            match t.counter {
                Some(c) => affine.terms.push((factor, c.0 as usize)),
                None => affine.constant = affine.constant.checked_add(factor).ok_or(Fault::IndexOverflow)?,
            }
        }
        Ok(affine)
    }
}
