//! A buffer as so many bytes of every row of a longer one, so that its writers write where a concatenation would copy it to.
//!
//! Not a plan: which buffers is for lowerings to say. The idea: byte `a` of the buffer goes to `a / row · stride + a % row` of the longer one.
//! Where an access stays in one row, its index takes that way term by term: what counts whole rows counts strides, the rest stays as it
//! is. That an access stays in one row is proved as bounds are: for a kernel from which whole rows are left out, and a buffer of one row.

use crate::index::{Index, Monomial, Param};
use crate::program::*;
use crate::verify::{self, Memory};
use std::collections::BTreeSet;

/// Where the rows of a buffer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub of: BufferId,
    pub offset_bytes: u64,
    /// Of the buffer's rows, and of those of the longer one.
    pub row_bytes: u64,
    pub stride_bytes: u64,
}

impl Rows {
    /// Where byte `at` of the buffer goes.
    fn place(&self, at: u64) -> u64 {
        self.offset_bytes + self.moved(at as i64) as u64
    }

    /// The same, from the first.
    fn moved(&self, at: i64) -> i64 {
        let row = self.row_bytes as i64;
        at.div_euclid(row).saturating_mul(self.stride_bytes as i64).saturating_add(at.rem_euclid(row))
    }

    /// Rows lie one after the other in the longer buffer, too.
    fn is_run(&self, size_bytes: u64) -> bool {
        self.row_bytes == self.stride_bytes || size_bytes <= self.row_bytes
    }
}

/// A call that finds its buffers where they go: its number and what it becomes.
pub struct Moved {
    pub call: usize,
    pub kernel: Kernel,
    pub params: Vec<i64>,
}

/// What becomes of the calls that name `buffer` or a view of it when its rows go to others; `None` when that cannot be.
pub fn moved(program: &Program, buffer: BufferId, rows: Rows) -> Option<Vec<Moved>> {
    let b = program.buffer(buffer);
    let target = program.root(rows.of).0;
    if b.view.is_some() || b.role != Role::Scratch || target == buffer || rows.row_bytes == 0 || rows.stride_bytes < rows.row_bytes {
        return None;
    }
    let mut all = vec![];
    let line = Line::of(&program.schedule);
    if line.moments.iter().any(|m| m.looks_at.is_some_and(|b| program.root(b).0 == buffer)) {
        return None;
    }
    for (i, call) in line.moments.iter().flat_map(|m| m.calls).enumerate() {
        let kernel = program.kernel(call.kernel);
        let root = |b: &BufferId| program.root(*b).0;
        let named: BTreeSet<Arg> = (0u32..).zip(&call.buffers).filter(|(_, b)| root(b) == buffer).map(|(a, _)| Arg(a)).collect();
        if named.is_empty() {
            continue;
        }
        // Of what one call writes, its other arguments share no byte.
        let others = (0u32..).zip(&call.buffers).filter(|(_, b)| root(b) == target).map(|(a, _)| Arg(a));
        let others: Vec<Arg> = others.collect();
        let is_written = |a: &Arg| kernel.args[a.0 as usize].access != Access::Read;
        if !others.is_empty() && named.iter().chain(&others).any(is_written) {
            return None;
        }
        if !rows.is_run(b.size_bytes) {
            // What advances from turn to turn would have to advance by rows.
            if call.advances() {
                return None;
            }
            let (kernel, params) = moved_call(program, kernel, call, &named, &rows)?;
            all.push(Moved { call: i, kernel, params });
        }
    }
    Some(all)
}

/// Makes `buffer` and its views views of the longer buffer; [`moved`] must have said what becomes of the calls.
pub fn make_views(program: &mut Program, buffer: BufferId, rows: Rows) {
    let (root, first) = program.root(rows.of);
    let role = program.buffer(root).role;
    let views: Vec<(usize, u64)> = (0..program.buffers.len())
        .filter_map(|i| Some((i, program.root(BufferId(i as u32)))).filter(|(_, r)| r.0 == buffer).map(|(i, r)| (i, r.1)))
        .collect();
    for (i, offset) in views {
        let b = &mut program.buffers[i];
        let at = rows.place(offset);
        let end = if b.size_bytes == 0 { at } else { rows.place(offset + b.size_bytes - 1) + 1 };
        (b.role, b.align, b.size_bytes) = (role, 1, end - at);
        b.view = Some(View { parent: root, offset_bytes: first + at });
    }
}

fn moved_call(program: &Program, kernel: &Kernel, call: &Call, named: &BTreeSet<Arg>, rows: &Rows) -> Option<(Kernel, Vec<i64>)> {
    if kernel.foreign.is_some() {
        return None;
    }
    let mut way = Way { rows, params: &call.params, moved: BTreeSet::new(), kept: BTreeSet::new(), possible: true };
    // The same text with other indices, and with whole rows left out.
    let (mut new, mut in_row) = (kernel.clone(), kernel.clone());
    change(&mut new.body, named, &mut |index| *index = way.index(index, false));
    change(&mut in_row.body, named, &mut |index| *index = way.index(index, true));
    let mut others = BTreeSet::new();
    each_other_index(&kernel.body, named, &mut |index: &Index| others.extend(index.terms().iter().flat_map(|t| t.params.iter().copied())));
    let private = |p: &Param| !others.contains(p) && !way.kept.contains(p);
    if !way.possible || !way.moved.iter().all(private) {
        return None;
    }
    let given = |to: fn(&Rows, i64) -> i64| -> Vec<i64> {
        (0u32..).zip(&call.params).map(|(p, &v)| if way.moved.contains(&Param(p)) { to(rows, v) } else { v }).collect()
    };
    let params = given(Rows::moved);
    let memory: Vec<Memory> = (0u32..)
        .zip(&call.buffers)
        .map(|(a, &b)| match named.contains(&Arg(a)) {
            true => Memory::of_bytes(rows.row_bytes - program.root(b).1 % rows.row_bytes),
            false => Memory::of(program, b),
        })
        .collect();
    let within = Call { params: given(|rows, v| v.rem_euclid(rows.row_bytes as i64)), ..call.clone() };
    if !verify::is_in_bounds(program, &in_row, &within, 1, &memory) {
        return None;
    }
    for i in 0..new.args.len() {
        let of = new.args[i].in_place_of;
        if named.contains(&Arg(i as u32)) || of.is_some_and(|of| named.contains(&of)) {
            new.args[i].in_place_of = None;
        }
    }
    Some((new, params))
}

/// How indices change.
struct Way<'a> {
    rows: &'a Rows,
    params: &'a [i64],
    /// Parameters with other values, and those whose values must stay.
    moved: BTreeSet<Param>,
    kept: BTreeSet<Param>,
    possible: bool,
}

impl Way<'_> {
    /// An index into the longer buffer, or into a row.
    fn index(&mut self, index: &Index, in_row: bool) -> Index {
        let row = self.rows.row_bytes as i64;
        let terms = index.terms().iter().filter_map(|t| {
            let mut t = t.clone();
            if t.counter.is_none() && t.params.is_empty() {
                t.coefficient = if in_row { t.coefficient.rem_euclid(row) } else { self.rows.moved(t.coefficient) };
            } else if t.coefficient % row == 0 {
                self.kept.extend(&t.params);
                if in_row {
                    return None;
                }
                t.coefficient = self.rows.moved(t.coefficient);
            } else {
                self.param(&t);
            }
            Some(t)
        });
        Index::from_terms(terms.collect())
    }

    /// A term whose factor is no whole row: its parameter may be one, or stay in a row.
    fn param(&mut self, t: &Monomial) {
        let row = self.rows.row_bytes as i64;
        let value = |p: &Param| self.params[p.0 as usize];
        if (0..row).contains(&t.params.iter().fold(t.coefficient, |k, p| k.saturating_mul(value(p)))) {
            return self.kept.extend(&t.params);
        }
        let is_offset = t.counter.is_none() && t.coefficient == 1 && t.params.len() == 1;
        // Of products, one factor: none can be said to be the stride where several could.
        let (moved, kept): (Vec<Param>, Vec<Param>) = t.params.iter().partition(|p| is_offset || value(p) % row == 0);
        self.possible &= moved.len() == 1 || t.params.is_empty();
        self.moved.extend(moved);
        self.kept.extend(kept);
    }
}

/// Changes every index into the arguments.
pub(crate) fn change(stmts: &mut [Stmt], args: &BTreeSet<Arg>, f: &mut impl FnMut(&mut Index)) {
    let is_named = |p: &Place| matches!(p.base, Base::Arg(a) if args.contains(&a));
    for s in stmts {
        match s {
            Stmt::Let(_, Op::Load { place: p, .. } | Op::LoadSplat { place: p, .. } | Op::Lookup { place: p, .. })
            | Stmt::Store { place: p, .. }
            | Stmt::Prefetch(p)
                if is_named(p) =>
            {
                f(&mut p.at);
            }
            Stmt::Loop(l) => change(&mut l.body, args, f),
            Stmt::Row { arg, at, .. } if args.contains(arg) => f(at),
            Stmt::Let(..) | Stmt::Store { .. } | Stmt::Prefetch(_) | Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Clamp { .. } => {}
        }
    }
}

/// Looks at every index but those into the arguments.
fn each_other_index(stmts: &[Stmt], args: &BTreeSet<Arg>, f: &mut impl FnMut(&Index)) {
    let is_other = |base: Base| !matches!(base, Base::Arg(a) if args.contains(&a));
    for s in stmts {
        match s {
            Stmt::Let(_, op) => op.place().into_iter().filter(|p| is_other(p.base)).for_each(|p| f(&p.at)),
            Stmt::Store { place, .. } | Stmt::Prefetch(place) if is_other(place.base) => f(&place.at),
            Stmt::Loop(l) => {
                f(&l.count);
                each_other_index(&l.body, args, f);
            }
            Stmt::Row { arg, at, bytes, guards, .. } => {
                if is_other(Base::Arg(*arg)) {
                    f(at);
                }
                f(bytes);
                guards.iter().flat_map(|g| [&g.index, &g.limit]).for_each(&mut *f);
            }
            Stmt::Split { of, .. } => f(of),
            Stmt::Store { .. } | Stmt::Prefetch(_) | Stmt::Clamp { .. } => {}
        }
    }
}
