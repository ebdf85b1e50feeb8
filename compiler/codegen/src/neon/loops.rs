//! Statements: loops, rows, splits, clamped indices.
//!
//! The ideas: an address is a pointer that moves by a constant per iteration plus an offset in the instruction; a loop tests at its end, so what it carries is
//! what it leaves behind; a counter that nobody reads counts down to zero.

use super::forms::{self, Arrangement};
use super::inst::{Inst, Label};
use super::{Delayed, Emitter};
use crate::addresses::{self, CounterValue, counts_upward, pointer_key};
use crate::alloc::Virtual;
use crate::reciprocal::Reciprocal;
use cranelite_tile::{Base, Counter, Guard, Index, Loop, Row, Stmt};
use std::collections::BTreeMap;

/// Conditions as CSEL and B.cond number them.
pub(super) mod condition {
    pub const UNSIGNED_HIGHER_OR_SAME: i64 = 2;
    pub const LESS: i64 = 11;
    pub const GREATER: i64 = 12;
    pub const LESS_OR_EQUAL: i64 = 13;
}

impl<'a> Emitter<'a> {
    fn place_label(&mut self, label: Label) {
        self.insts.push(Inst::Label(label));
    }

    pub(super) fn stmts(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            if self.error.is_some() {
                return;
            }
            match s {
                Stmt::Let(v, op) => {
                    if !self.delay(*v, op) {
                        let pieces = self.op(*v, op);
                        self.values[v.0 as usize] = pieces;
                    }
                }
                Stmt::Store { place, value, count } => {
                    let pieces = self.pieces(*value);
                    self.store(place, self.ty(*value), &pieces, *count);
                }
                Stmt::Prefetch(place) => self.prefetch(place),
                Stmt::Loop(l) => self.emit_loop(l),
                Stmt::Row { row, arg, at, bytes: _, guards, fill } => self.row(*row, Base::Arg(*arg), at, guards, Base::Arg(*fill)),
                Stmt::Split { quotient, remainder, of, by } => self.split(*quotient, *remainder, of, *by),
                Stmt::Clamp { index, value, low, high, known } => {
                    let mut i = match self.delayed.remove(value) {
                        Some(Delayed::Index(mem)) => self.load_index(mem, self.ty(*value).elem),
                        other => {
                            if let Some(other) = other {
                                self.delayed.insert(*value, other);
                            }
                            let v = self.pieces(*value)[0];
                            self.scalar_to_general(self.ty(*value).elem, v)
                        }
                    };
                    self.read_counters.insert(*index);
                    if !*known {
                        let low = self.number(*low);
                        i = self.choose(i, low, condition::LESS);
                        let high = self.number(*high);
                        i = self.choose(i, high, condition::GREATER);
                    }
                    self.counters[index.0 as usize] = Some(CounterValue::Varies(i));
                }
            }
        }
    }

    /// `limit` where `i` compares like that with it, else `i`.
    fn choose(&mut self, i: Virtual, limit: Virtual, condition: i64) -> Virtual {
        self.put(&forms::CMP_X, Arrangement::None, &[i, limit], &[]);
        self.gen_op(&forms::CSEL, &[limit, i], &[condition])
    }

    fn row(&mut self, row: Row, arg: Base, at: &Index, guards: &[Guard], fill: Base) {
        let mut pointer = self.address(arg, at);
        let open: Vec<_> = guards
            .iter()
            .filter(|g| match (self.known(&g.index), g.limit.as_constant()) {
                (Some(i), Some(limit)) => !(0 <= i && i < limit),
                _ => true,
            })
            .collect();
        if !open.is_empty() {
            let fill = self.address(fill, &Index::default());
            for g in open {
                let index = self.index_value(&g.index);
                // Unsigned: negative indices are beyond every limit.
                match g.limit.as_constant().filter(|l| (0..4096).contains(l)) {
                    Some(limit) => self.put(&forms::CMP_IMM, Arrangement::None, &[index], &[limit]),
                    None => {
                        let limit = self.index_value(&g.limit);
                        self.put(&forms::CMP_X, Arrangement::None, &[index, limit], &[]);
                    }
                }
                pointer = self.gen_op(&forms::CSEL, &[fill, pointer], &[condition::UNSIGNED_HIGHER_OR_SAME]);
            }
        }
        self.pointers.last_mut().expect("the function's scope").insert((Base::Row(row), vec![]), pointer);
    }

    /// Multiplies by the reciprocal: exact for all that the verifier lets be split, which is below 2^63.
    fn split(&mut self, quotient: Counter, remainder: Counter, of: &Index, by: i64) {
        let of = self.index_value(of);
        let q = if by.count_ones() == 1 {
            self.gen_op(&forms::LSR_IMM, &[of], &[i64::from(by.trailing_zeros())])
        } else {
            let Reciprocal { multiplier, shift } = Reciprocal::of(by as u64);
            let multiplier = self.number(multiplier as i64);
            let high = self.gen_op(&forms::UMULH, &[of, multiplier], &[]);
            if shift == 0 { high } else { self.gen_op(&forms::LSR_IMM, &[high], &[i64::from(shift)]) }
        };
        let by = self.number(by);
        let rest = self.gen_op(&forms::MSUB, &[q, by, of], &[]);
        self.counters[quotient.0 as usize] = Some(CounterValue::Varies(q));
        self.counters[remainder.0 as usize] = Some(CounterValue::Varies(rest));
    }

    fn emit_loop(&mut self, l: &'a Loop) {
        let trips = l.count.as_constant().map(|n| (n.max(0) as u64).div_ceil(l.step as u64));
        match trips {
            Some(0) => {
                for c in &l.carried {
                    self.values[c.result.0 as usize] = self.pieces(c.init);
                }
                return;
            }
            Some(1) => {
                self.counters[l.counter.0 as usize] = Some(CounterValue::Zero);
                for c in &l.carried {
                    self.values[c.inside.0 as usize] = self.pieces(c.init);
                }
                self.stmts(&l.body);
                for c in &l.carried {
                    self.values[c.result.0 as usize] = self.pieces(c.next);
                }
                return;
            }
            _ => {}
        }

        let keys = addresses::moving_pointers(l, &self.counters);
        let mut moving = vec![];
        for (base, index) in &keys {
            let by = index.part_with(l.counter);
            let start = self.address(*base, &(index.clone() - by.clone()));
            let pointer = self.copy(start);
            moving.push((pointer, by));
        }
        let mut inside_of = vec![];
        for c in &l.carried {
            let init = self.pieces(c.init);
            let inside: Vec<Virtual> = init.iter().map(|&v| self.copy(v)).collect();
            self.values[c.inside.0 as usize] = inside.clone();
            inside_of.push(inside);
        }
        // Strides that depend on parameters or are long are computed once, outside.
        let steps: Vec<(Virtual, Step)> = moving.iter().map(|(p, by)| (*p, self.stride(by, l.step))).collect();

        let exit = self.label();
        let upward = counts_upward(&l.body, l.counter) || trips.is_none();
        let limit = trips.is_none().then(|| self.index_value(&l.count));
        let counter = self.general();
        let end = trips.map(|n| n as i64 * l.step);
        self.set_number(counter, trips.filter(|_| !upward).map_or(0, |n| n as i64));
        let limit = match (limit, end) {
            (Some(limit), _) => {
                self.put(&forms::CMP_IMM, Arrangement::None, &[limit], &[0]);
                self.refer(&forms::B_COND, &[], &[condition::LESS_OR_EQUAL], exit);
                Some(limit)
            }
            (None, Some(end)) if upward && 4096 <= end => Some(self.number(end)),
            _ => None,
        };
        let step = if l.step < 4096 { None } else { Some(self.number(l.step)) };
        let head = self.label();
        self.insts.push(Inst::LoopBegin);
        self.place_label(head);
        self.pointers.push(BTreeMap::new());
        self.available.push(BTreeMap::new());
        self.counters[l.counter.0 as usize] = Some(if upward { CounterValue::Varies(counter) } else { CounterValue::Unknown });
        for ((base, index), (pointer, _)) in keys.iter().zip(&moving) {
            self.pointers.last_mut().expect("just pushed").insert((*base, pointer_key(index)), *pointer);
        }
        self.stmts(&l.body);

        // All next values before any is overwritten.
        let carried: Vec<Virtual> = inside_of.iter().flatten().copied().collect();
        let mut moves = vec![];
        for (c, inside) in l.carried.iter().zip(&inside_of) {
            for (&to, from) in inside.iter().zip(self.pieces(c.next)) {
                let from = if from != to && carried.contains(&from) { self.copy(from) } else { from };
                moves.push((to, from));
            }
        }
        for (to, from) in moves {
            self.move_to(to, from);
        }
        for (pointer, step) in steps {
            match step {
                Step::Constant(n) => self.advance(pointer, n),
                Step::Varies(v) => self.put(&forms::ADD_X, Arrangement::None, &[pointer, pointer, v], &[]),
            }
        }
        match step {
            _ if !upward => {
                self.put(&forms::SUB_IMM, Arrangement::None, &[counter, counter], &[1]);
                self.refer(&forms::CBNZ, &[counter], &[], head);
            }
            step => {
                match step {
                    None => self.put(&forms::ADD_IMM, Arrangement::None, &[counter, counter], &[l.step]),
                    Some(step) => self.put(&forms::ADD_X, Arrangement::None, &[counter, counter, step], &[]),
                }
                match limit {
                    Some(limit) => self.put(&forms::CMP_X, Arrangement::None, &[counter, limit], &[]),
                    None => self.put(&forms::CMP_IMM, Arrangement::None, &[counter], &[end.unwrap_or(0)]),
                }
                self.refer(&forms::B_COND, &[], &[condition::LESS], head);
            }
        }
        self.pointers.pop();
        self.available.pop();
        self.insts.push(Inst::LoopEnd);
        self.place_label(exit);
        for (c, inside) in l.carried.iter().zip(inside_of) {
            self.values[c.result.0 as usize] = inside;
        }
    }

    /// Without the counters whose value is known to be 0.
    pub(super) fn reduced(&self, index: &Index) -> Index {
        addresses::reduced(index, &self.counters)
    }

    /// By how much the terms of one counter grow when it advances by `step`.
    fn stride(&mut self, by: &Index, step: i64) -> Step {
        let is_constant = by.terms().iter().all(|t| t.params.is_empty());
        let sum = by.terms().iter().fold(0i64, |sum, t| sum.wrapping_add(t.coefficient.wrapping_mul(step)));
        if is_constant && super::memory::is_immediate(sum) {
            return Step::Constant(sum);
        }
        let terms = by.terms().iter().map(|t| {
            let mut t = t.clone();
            t.counter = None;
            t.coefficient = t.coefficient.wrapping_mul(step);
            t
        });
        let index = Index::from_terms(terms.collect());
        Step::Varies(self.index_value(&index))
    }
}

/// What a pointer advances by.
enum Step {
    Constant(i64),
    Varies(Virtual),
}
