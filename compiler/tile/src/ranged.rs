//! Kernels of which a call can do a part of a loop's iterations.
//!
//! No decisions here. The idea: a loop from 0 to its count becomes one from `first` on, for `count`, both index parameters; what stands beside it
//! and stores is put into loops of one iteration or none, so that one piece alone does it. Every iteration is what it was, so
//! results have the same bits.

use crate::cost;
use crate::index::{Counter, Index, Monomial, Param};
use crate::program::*;

/// Where a loop is: positions in the blocks from the outermost one inwards.
pub type Path = Vec<usize>;

/// A loop whose iterations can be divided among calls, as far as its form goes.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub path: Path,
    /// Of the counter.
    pub count: i64,
    pub step: i64,
    /// Costs: of all that is done in one iteration, of what every piece repeats, of what the first and the last piece do alone.
    pub iteration: u64,
    pub repeated: u64,
    pub lead: u64,
    pub tail: u64,
}

impl Candidate {
    pub fn iterations(&self) -> i64 {
        (self.count + self.step - 1) / self.step
    }
}

/// The loops of a call that carry nothing, around which nothing is carried, from the outermost on.
pub fn candidates(kernel: &Kernel, params: &[i64]) -> Vec<Candidate> {
    let mut found = vec![];
    let around = Candidate { path: vec![], count: 0, step: 1, iteration: 0, repeated: 0, lead: 0, tail: 0 };
    walk(kernel, params, &kernel.body, &around, 1, &mut found);
    found
}

/// Loops in loops that are looked at.
const DEPTH_LIMIT: usize = 4;

fn walk(kernel: &Kernel, params: &[i64], block: &[Stmt], around: &Candidate, times: u64, found: &mut Vec<Candidate>) {
    for (i, s) in block.iter().enumerate() {
        let Stmt::Loop(l) = s else { continue };
        let iterations = cost::iterations(l, params);
        let is_known = l.count.counters().next().is_none();
        if !is_known || !l.carried.is_empty() || iterations == 0 || !stores(s) {
            continue;
        }
        let mut c = around.clone();
        c.path.push(i);
        let mut possible = true;
        for (j, beside) in block.iter().enumerate().filter(|(j, _)| *j != i) {
            let cost = cost::of_stmt(kernel, params, beside).saturating_mul(times);
            match (stores(beside), j < i) {
                (false, _) => c.repeated += cost,
                (true, true) => {
                    possible &= defines_nothing(beside);
                    c.lead += cost;
                }
                (true, false) => c.tail += cost,
            }
        }
        if !possible {
            continue;
        }
        c.iteration = cost::of_iteration(kernel, params, l).saturating_mul(times);
        (c.count, c.step) = (l.count.evaluate(params, |_| 0).unwrap_or(0), l.step);
        if 1 < iterations {
            found.push(c.clone());
        }
        if c.path.len() < DEPTH_LIMIT {
            walk(kernel, params, &l.body, &c, times.saturating_mul(iterations), found);
        }
    }
}

fn stores(s: &Stmt) -> bool {
    match s {
        Stmt::Store { .. } => true,
        Stmt::Loop(l) => l.body.iter().any(stores),
        _ => false,
    }
}

/// Nothing that can be used after it.
fn defines_nothing(s: &Stmt) -> bool {
    match s {
        Stmt::Store { .. } => true,
        Stmt::Loop(l) => l.carried.is_empty(),
        _ => false,
    }
}

/// Parameters of a loop that can be done in pieces.
#[derive(Clone, Debug)]
struct Range {
    path: Path,
    first: Param,
    count: Param,
    /// 1 for the piece that does what stands before or after the loop, where something does.
    lead: Option<Param>,
    tail: Option<Param>,
}

/// A kernel some of whose loops can be done in pieces.
pub struct Ranged {
    pub kernel: Kernel,
    ranges: Vec<Range>,
}

impl Ranged {
    /// `paths` are those of candidates, each once.
    pub fn new(kernel: &Kernel, paths: &[Path]) -> Ranged {
        let mut ranged = Ranged { kernel: kernel.clone(), ranges: vec![] };
        for path in paths {
            let l = at(&kernel.body, path);
            let name = kernel.counters[l.counter.0 as usize].clone();
            // The loop's own parameter will do if nothing else is said with it.
            let own = match l.count.terms() {
                [Monomial { coefficient: 1, params, counter: None }] if params.len() == 1 && uses(&kernel.body, params[0]) == 1 => {
                    Some(params[0])
                }
                _ => None,
            };
            let mut new = |what: String| {
                let same = |n: &str| ranged.kernel.params.iter().any(|p| p == n);
                let name = (1..).map(|i| if i == 1 { what.clone() } else { format!("{what}_{i}") }).find(|n| !same(n));
                ranged.kernel.params.push(name.expect("one is free"));
                Param(ranged.kernel.params.len() as u32 - 1)
            };
            let (first, count) = (new(format!("first_{name}")), own.unwrap_or_else(|| new(format!("count_{name}"))));
            let (leads, tails) = beside(&kernel.body, path);
            let lead = leads.then(|| new(format!("before_{name}")));
            let tail = tails.then(|| new(format!("after_{name}")));
            ranged.ranges.push(Range { path: path.clone(), first, count, lead, tail });
        }
        let body = std::mem::take(&mut ranged.kernel.body);
        ranged.kernel.body = Rewrite { ranges: &ranged.ranges, counters: &mut ranged.kernel.counters }.block(body, &mut vec![]);
        ranged
    }

    /// The parameters of a call that does the iterations of one loop that begin at `piece.start` and end before `piece.end`, or everything.
    pub fn params(&self, old: &Kernel, params: &[i64], piece: Option<(&Path, &std::ops::Range<i64>)>) -> Vec<i64> {
        let mut new = params.to_vec();
        new.resize(self.kernel.params.len(), 0);
        for r in &self.ranges {
            let all = at(&old.body, &r.path).count.evaluate(params, |_| 0).unwrap_or(0);
            let (first, end) = match piece {
                Some((path, range)) if *path == r.path => (range.start, range.end),
                _ => (0, all),
            };
            new[r.first.0 as usize] = first;
            new[r.count.0 as usize] = end - first;
            for (gate, open) in [(r.lead, first == 0), (r.tail, end == all)] {
                if let Some(p) = gate {
                    new[p.0 as usize] = i64::from(open);
                }
            }
        }
        new
    }
}

fn at<'k>(block: &'k [Stmt], path: &[usize]) -> &'k Loop {
    match (&block[path[0]], path) {
        (Stmt::Loop(l), [_]) => l,
        (Stmt::Loop(l), [_, rest @ ..]) => at(&l.body, rest),
        _ => unreachable!("the path of a loop"),
    }
}

/// Whether something stores before and after a loop, or before and after one around it.
fn beside(block: &[Stmt], path: &[usize]) -> (bool, bool) {
    let i = path[0];
    let (before, after) = (block[..i].iter().any(stores), block[i + 1..].iter().any(stores));
    match (&block[i], &path[1..]) {
        (Stmt::Loop(l), rest @ [_, ..]) => {
            let inside = beside(&l.body, rest);
            (before || inside.0, after || inside.1)
        }
        _ => (before, after),
    }
}

/// How often a block names a parameter.
fn uses(block: &[Stmt], param: Param) -> usize {
    let mut n = 0;
    for s in block {
        each_index(s, &mut |i| n += i.terms().iter().flat_map(|t| &t.params).filter(|p| **p == param).count());
    }
    n
}

fn each_index(s: &Stmt, f: &mut impl FnMut(&Index)) {
    match s {
        Stmt::Let(_, op) => op.place().into_iter().for_each(|p| f(&p.at)),
        Stmt::Store { place, .. } | Stmt::Prefetch(place) => f(&place.at),
        Stmt::Loop(l) => {
            f(&l.count);
            l.body.iter().for_each(|s| each_index(s, f));
        }
        Stmt::Row { at, bytes, guards, .. } => {
            [at, bytes].into_iter().for_each(&mut *f);
            guards.iter().flat_map(|g| [&g.index, &g.limit]).for_each(f);
        }
        Stmt::Split { of, .. } => f(of),
        Stmt::Clamp { .. } => {}
    }
}

fn each_index_mut(s: &mut Stmt, f: &mut impl FnMut(&mut Index)) {
    match s {
        Stmt::Let(_, Op::Load { place, .. } | Op::LoadSplat { place, .. } | Op::Lookup { place, .. }) => f(&mut place.at),
        Stmt::Let(..) => {}
        Stmt::Store { place, .. } | Stmt::Prefetch(place) => f(&mut place.at),
        Stmt::Loop(l) => {
            f(&mut l.count);
            l.body.iter_mut().for_each(|s| each_index_mut(s, f));
        }
        Stmt::Row { at, bytes, guards, .. } => {
            [at, bytes].into_iter().for_each(&mut *f);
            guards.iter_mut().flat_map(|g| [&mut g.index, &mut g.limit]).for_each(f);
        }
        Stmt::Split { of, .. } => f(of),
        Stmt::Clamp { .. } => {}
    }
}

struct Rewrite<'a> {
    ranges: &'a [Range],
    counters: &'a mut Vec<String>,
}

impl Rewrite<'_> {
    fn block(&mut self, block: Vec<Stmt>, path: &mut Path) -> Vec<Stmt> {
        let mut out: Vec<Stmt> = vec![];
        // Gates that close over the rest of the block.
        let mut open: Vec<(Param, usize)> = vec![];
        for (i, s) in block.into_iter().enumerate() {
            path.push(i);
            let through: Vec<&Range> = self.ranges.iter().filter(|r| r.path.starts_with(path)).collect();
            match s {
                Stmt::Loop(mut l) if !through.is_empty() => {
                    l.body = self.block(l.body, path);
                    if let Some(r) = through.iter().find(|r| r.path == *path) {
                        l.count = r.count.into();
                        let counter = l.counter;
                        l.body.iter_mut().for_each(|s| each_index_mut(s, &mut |index| *index = shifted(index, counter, r.first)));
                    }
                    for r in &through {
                        if let Some(gate) = r.lead {
                            out = out.into_iter().map(|s| if stores(&s) { self.gate(gate, vec![s]) } else { s }).collect();
                        }
                    }
                    out.push(Stmt::Loop(l));
                    open.extend(through.iter().filter_map(|r| Some((r.tail?, out.len()))));
                }
                s => out.push(s),
            }
            path.pop();
        }
        for (gate, from) in open.into_iter().rev() {
            let rest = out.split_off(from);
            if rest.iter().any(stores) {
                let gated = self.gate(gate, rest);
                out.push(gated);
            } else {
                out.extend(rest);
            }
        }
        out
    }

    fn gate(&mut self, count: Param, body: Vec<Stmt>) -> Stmt {
        self.counters.push("once".into());
        let counter = Counter(self.counters.len() as u32 - 1);
        Stmt::Loop(Loop { counter, count: count.into(), step: 1, carried: vec![], body }.into())
    }
}

/// The index with `counter + first` for `counter`.
fn shifted(index: &Index, counter: Counter, first: Param) -> Index {
    let part = index.part_with(counter);
    let moved = part.terms().iter().map(|t| Monomial { params: [&t.params[..], &[first]].concat().into(), counter: None, ..*t });
    index.clone() + Index::from_terms(moved.collect())
}
