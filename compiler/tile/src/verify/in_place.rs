//! The proof that an argument which may be overwritten in place is read, at each byte, before that byte is written.
//!
//! Only where the kernel allows it (`in_place_of`), and then for every call, shared or not: the planner relies on it. The idea: a store
//! and a read that comes later are of the same iteration of the loops around both but further down in the text, or of a later
//! iteration of one of these loops and any iteration of those further in. For each of these cases the two places are
//! forms over two sets of counters, of which the outer ones are common, and their distance must be proved.

use super::affine::{Affine, Domain, Fact, Known, Range};
use super::bounds::{guard_facts, read_bytes};
use super::{ERRORS_LIMIT, Error};
use crate::index::Index;
use crate::program::*;

/// A loop or statement that defines counters, seen from a place inside or after it.
#[derive(Clone, Debug)]
enum Binding {
    Loop { counter: u32, range: Range },
    Statement(Known),
}

impl Binding {
    /// Counters are defined once, so each binding is known by its first.
    fn first(&self) -> Option<u32> {
        match self {
            Binding::Loop { counter, .. } => Some(*counter),
            Binding::Statement(k) => k.ranges.first().map(|r| r.0),
        }
    }
    fn binds(&self, c: u32) -> bool {
        match self {
            Binding::Loop { counter, .. } => *counter == c,
            Binding::Statement(k) => k.ranges.iter().any(|r| r.0 == c),
        }
    }
}

#[derive(Clone)]
struct Event<'a> {
    statement: &'a Stmt,
    /// Position in the text.
    position: usize,
    arg: Arg,
    at: Affine,
    bytes: i128,
    scope: Vec<Binding>,
    /// Known here only: the guards of a row.
    guards: Vec<Fact>,
}

/// For a kernel and parameters whose bounds have been proved.
pub fn prove(kernel: &Kernel, params: &[i64]) -> Vec<Error> {
    let pairs = kernel.args.iter().enumerate().filter_map(|(i, a)| Some((Arg(i as u32), a.in_place_of?)));
    let pairs: Vec<(Arg, Arg)> = pairs.collect();
    if pairs.is_empty() {
        return vec![];
    }
    let rows = vec![None; kernel.rows as usize];
    let mut walk = Walk { kernel, params, position: 0, domain: Domain::default(), scope: vec![], rows, reads: vec![], stores: vec![] };
    if walk.block(&kernel.body).is_none() {
        return vec![Error::of_kernel(kernel, None, "an index is too large to be proved".into())];
    }
    let mut errors = vec![];
    for (written, read) in pairs {
        for store in walk.stores.iter().filter(|s| s.arg == written) {
            for load in walk.reads.iter().filter(|r| r.arg == read) {
                if errors.len() < ERRORS_LIMIT && !read_before_written(kernel, store, load) {
                    let (w, r) = (&kernel.args[written.0 as usize].name, &kernel.args[read.0 as usize].name);
                    let by = crate::text::print_statement(kernel, store.statement);
                    let message = format!("{w} may be in place of {r}, but `{by}` may write earlier what is read here");
                    errors.push(Error::of_kernel(kernel, Some(load.statement), message));
                }
            }
        }
    }
    errors
}

#[derive(Clone)]
struct RowAt {
    arg: Arg,
    at: Affine,
    fill: Arg,
    guards: Vec<Fact>,
}

/// Collects the accesses.
struct Walk<'a> {
    kernel: &'a Kernel,
    params: &'a [i64],
    position: usize,
    domain: Domain,
    scope: Vec<Binding>,
    /// Of the rows so far.
    rows: Vec<Option<RowAt>>,
    reads: Vec<Event<'a>>,
    stores: Vec<Event<'a>>,
}

impl<'a> Walk<'a> {
    fn affine(&self, index: &Index) -> Option<Affine> {
        Affine::of(index, self.params)
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
            Stmt::Loop(l) => {
                let count = self.affine(&l.count)?.as_number()?;
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

/// Whether no byte of `store` is read by `load` at a later time.
fn read_before_written(kernel: &Kernel, store: &Event, load: &Event) -> bool {
    let same = |(a, b): &(&Binding, &Binding)| a.first() == b.first();
    let common = store.scope.iter().zip(&load.scope).take_while(same).count();
    let later = (0..common).filter(|&i| matches!(store.scope[i], Binding::Loop { .. })).all(|i| apart(kernel, store, load, i, true));
    later && (load.position < store.position || apart(kernel, store, load, common, false))
}

/// Whether the places of the two never meet when the first `shared` bindings are the same for both and, if `later`, the next one is
/// a loop of which the load sees a later iteration.
fn apart(kernel: &Kernel, store: &Event, load: &Event, shared: usize, later: bool) -> bool {
    let others = &load.scope[shared..];
    let name = |c: u32| if others.iter().any(|b| b.binds(c)) { c + kernel.counters.len() as u32 } else { c };
    let mut domain = Domain::default();
    let mut reached = true;
    let mut bind = |b: &Binding, name: &dyn Fn(u32) -> u32| match b {
        Binding::Loop { counter, range } => domain.set(name(*counter), *range),
        Binding::Statement(k) => {
            let ranges = k.ranges.iter().map(|&(c, r)| (name(c), r)).collect();
            reached &= domain.know(&Known { ranges, fact: k.fact.as_ref().map(|f| f.renamed(name)) });
        }
    };
    store.scope.iter().for_each(|b| bind(b, &|c| c));
    others.iter().for_each(|b| bind(b, &name));
    for g in &load.guards {
        reached &= domain.learn(g.renamed(name));
    }
    if later && let Binding::Loop { counter, range } = &store.scope[shared] {
        let Some(ahead) = Affine::counter(name(*counter)).plus(-1, &Affine::counter(*counter)) else { return false };
        reached &= domain.learn(Fact { form: ahead, low: range.step, high: i128::MAX });
    }
    if !reached || !domain.narrow() {
        return true;
    }
    let ahead = load.at.renamed(name).plus(-1, &store.at);
    let after = ahead.clone().and_then(|d| d.plus_number(-store.bytes));
    let before = ahead.and_then(|d| Affine::number(-load.bytes).plus(-1, &d));
    [after, before].into_iter().flatten().any(|d| 0 <= domain.low(&d, 0))
}
