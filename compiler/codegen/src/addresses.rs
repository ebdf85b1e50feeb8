//! Addresses as emitters of assembled code see them: what counters are in a loop, and which pointers move with it.
//!
//! Not tied to an instruction set. The idea: an address is a pointer that moves with a loop plus an offset in the instruction, so before a loop's code is written
//! its text says which pointers it will want.

use crate::alloc::Virtual;
use cranelite_tile::{Base, Counter, Index, Loop, Param, Row, Stmt};

/// A counter inside its loop.
#[derive(Clone, Copy)]
pub enum CounterValue {
    /// The loop runs once.
    Zero,
    Varies(Virtual),
    /// No register counts upward.
    Unknown,
}

/// An index in a form that can be ordered.
pub type PointerKey = Vec<(Option<Counter>, Vec<Param>, i64)>;

pub fn pointer_key(index: &Index) -> PointerKey {
    index.terms().iter().map(|t| (t.counter, t.params.to_vec(), t.coefficient)).collect()
}

/// Without the counters whose value is known to be 0.
pub fn reduced(index: &Index, counters: &[Option<CounterValue>]) -> Index {
    index.retain_counters(|c| !matches!(counters[c.0 as usize], Some(CounterValue::Zero)))
}

/// The pointers that advance with the loop's counter: every distinct variable part of an address in it, as far as it is known outside of the loops further in.
pub fn moving_pointers(l: &Loop, counters: &[Option<CounterValue>]) -> Vec<(Base, Index)> {
    let mut found = Addresses::default();
    found.collect(&l.body);
    let mut keys: Vec<(Base, Index)> = vec![];
    for (base, index) in found.places {
        if matches!(base, Base::Row(r) if found.rows.contains(&r)) {
            continue;
        }
        let index = reduced(&index.without_constant().retain_counters(|c| !found.counters.contains(&c)), counters);
        if index.counters().any(|c| c == l.counter) && !keys.iter().any(|(b, i)| *b == base && *i == index) {
            keys.push((base, index));
        }
    }
    keys
}

/// Is the counter's own value needed, beside the pointers that move with it?
pub fn counts_upward(stmts: &[Stmt], counter: Counter) -> bool {
    let has = |i: &Index| i.counters().any(|c| c == counter);
    stmts.iter().any(|s| match s {
        Stmt::Loop(l) => has(&l.count) || counts_upward(&l.body, counter),
        Stmt::Row { guards, .. } => guards.iter().any(|g| has(&g.index) || has(&g.limit)),
        Stmt::Split { of, .. } => has(of),
        _ => false,
    })
}

/// Counters and rows defined in some statements, and the addresses used there.
#[derive(Default)]
struct Addresses {
    counters: Vec<Counter>,
    rows: Vec<Row>,
    places: Vec<(Base, Index)>,
}

impl Addresses {
    fn collect(&mut self, stmts: &[Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let(_, op) => self.places.extend(op.place().map(|p| (p.base, p.at.clone()))),
                Stmt::Store { place, .. } | Stmt::Prefetch(place) => self.places.push((place.base, place.at.clone())),
                Stmt::Loop(l) => {
                    self.counters.push(l.counter);
                    self.collect(&l.body);
                }
                Stmt::Row { row, arg, at, .. } => {
                    self.rows.push(*row);
                    self.places.push((Base::Arg(*arg), at.clone()));
                }
                Stmt::Split { quotient, remainder, .. } => self.counters.extend([*quotient, *remainder]),
                Stmt::Clamp { index, .. } => self.counters.push(*index),
            }
        }
    }
}
