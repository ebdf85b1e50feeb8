//! Every access of a call, as affine forms over counters of known range.
//!
//! Not a judgement. The idea: one walk through the text with the call's parameters put in; what is read and written is noted together with
//! what is known there of the counters. Loops are entered once, with all their iterations at a time.

use super::affine::{Affine, Domain, Fact, Given, Known, Range};
use super::bounds::{guard_facts, read_bytes};
use crate::index::Index;
use crate::program::*;

/// A loop or statement that defines counters, seen from a place inside or after it.
#[derive(Clone, Debug)]
pub enum Binding {
    Loop { counter: u32, range: Range },
    Statement(Known),
}

impl Binding {
    /// Counters are defined once, so each binding is known by its first.
    pub fn first(&self) -> Option<u32> {
        match self {
            Binding::Loop { counter, .. } => Some(*counter),
            Binding::Statement(k) => k.ranges.first().map(|r| r.0),
        }
    }
    pub fn binds(&self, c: u32) -> bool {
        match self {
            Binding::Loop { counter, .. } => *counter == c,
            Binding::Statement(k) => k.ranges.iter().any(|r| r.0 == c),
        }
    }
}

/// An access.
#[derive(Clone)]
pub struct Event<'a> {
    pub statement: &'a Stmt,
    /// Position in the text.
    pub position: usize,
    pub arg: Arg,
    pub at: Affine,
    pub bytes: i128,
    pub scope: Vec<Binding>,
    /// Known here only: the guards of a row.
    pub guards: Vec<Fact>,
}

/// The reads and the writes of arguments, in the order of the text.
pub struct Accesses<'a> {
    pub reads: Vec<Event<'a>>,
    pub stores: Vec<Event<'a>>,
}

/// For a kernel and parameters whose bounds have been proved. `None` when a number is too large.
pub fn collect<'a>(kernel: &'a Kernel, given: &Given) -> Option<Accesses<'a>> {
    let rows = vec![None; kernel.rows as usize];
    let mut walk = Walk { kernel, given, position: 0, domain: Domain::default(), scope: vec![], rows, reads: vec![], stores: vec![] };
    // Not a loop: what is said of one turn is said of each.
    if let Some(known) = given.known() {
        walk.domain.know(&known);
        walk.scope.push(Binding::Statement(known));
    }
    walk.block(&kernel.body)?;
    Some(Accesses { reads: walk.reads, stores: walk.stores })
}

#[derive(Clone)]
struct RowAt {
    arg: Arg,
    at: Affine,
    fill: Arg,
    guards: Vec<Fact>,
}

struct Walk<'a, 'p> {
    kernel: &'a Kernel,
    given: &'p Given<'p>,
    position: usize,
    domain: Domain,
    scope: Vec<Binding>,
    /// Of the rows so far.
    rows: Vec<Option<RowAt>>,
    reads: Vec<Event<'a>>,
    stores: Vec<Event<'a>>,
}

impl<'a> Walk<'a, '_> {
    fn affine(&self, index: &Index) -> Option<Affine> {
        Affine::of(index, self.given)
    }

    /// `None` when a number is too large.
    fn block(&mut self, stmts: &'a [Stmt]) -> Option<()> {
        let (facts, bindings) = (self.domain.fact_count(), self.scope.len());
        for s in stmts {
            self.position += 1;
            self.stmt(s)?;
        }
        self.domain.keep_facts(facts);
        self.scope.truncate(bindings);
        Some(())
    }

    fn stmt(&mut self, s: &'a Stmt) -> Option<()> {
        match s {
            Stmt::Let(v, op) => {
                if let Some(place) = op.place() {
                    let bytes = read_bytes(op, self.kernel.ty(*v));
                    self.read(s, place, bytes)?;
                }
            }
            Stmt::Store { place, value, count } => {
                let ty = self.kernel.ty(*value);
                let bytes = i128::from(count.unwrap_or(ty.lanes)) * i128::from(ty.elem.bytes());
                if let Base::Arg(arg) = place.base {
                    let event = self.event(s, arg, self.affine(&place.at)?, bytes, &[]);
                    self.stores.push(event);
                }
            }
            Stmt::Prefetch(_) => {}
            Stmt::Loop(l) => {
                let count = self.domain.high(&self.affine(&l.count)?, i128::MIN);
                if 0 < count {
                    let range = Range::of_loop(count, l.step)?;
                    self.domain.set(l.counter.0, range);
                    self.scope.push(Binding::Loop { counter: l.counter.0, range });
                    self.block(&l.body)?;
                    self.scope.pop();
                }
            }
            Stmt::Row { row, arg, at, bytes, guards, fill } => {
                let mut facts = vec![];
                for g in guards {
                    facts.extend(guard_facts(&self.affine(&g.index)?, &self.affine(&g.limit)?)?);
                }
                // Its bytes must be those of its time, whether all of them are loaded or not.
                let most = self.domain.high(&self.affine(bytes)?, i128::MIN);
                let from_arg = self.event(s, *arg, self.affine(at)?, most, &facts);
                let from_fill = self.event(s, *fill, Affine::number(0), most, &[]);
                self.reads.extend([from_arg, from_fill]);
                self.rows[row.0 as usize] = Some(RowAt { arg: *arg, at: self.affine(at)?, fill: *fill, guards: facts });
            }
            Stmt::Split { quotient, remainder, of, by } => {
                let of = self.affine(of)?;
                let known = self.domain.split(quotient.0, remainder.0, &of, *by)?;
                self.scope.push(Binding::Statement(known));
            }
            Stmt::Clamp { index, low, high, .. } => {
                let ranges = vec![(index.0, Range::new(i128::from(*low), i128::from(*high))?)];
                let known = Known { ranges, fact: None };
                self.domain.know(&known);
                self.scope.push(Binding::Statement(known));
            }
        }
        Some(())
    }

    fn event(&self, statement: &'a Stmt, arg: Arg, at: Affine, bytes: i128, guards: &[Fact]) -> Event<'a> {
        Event { statement, position: self.position, arg, at, bytes, scope: self.scope.clone(), guards: guards.to_vec() }
    }

    fn read(&mut self, s: &'a Stmt, place: &Place, bytes: i128) -> Option<()> {
        let at = self.affine(&place.at)?;
        match place.base {
            Base::Arg(arg) => self.reads.push(self.event(s, arg, at, bytes, &[])),
            Base::Row(r) => {
                let row = self.rows[r.0 as usize].as_ref()?;
                let from_arg = self.event(s, row.arg, row.at.plus(1, &at)?, bytes, &row.guards);
                let from_fill = self.event(s, row.fill, at, bytes, &[]);
                self.reads.extend([from_arg, from_fill]);
            }
        }
        Some(())
    }
}
