//! Statements: loops, rows, splits, clamped indices.
//!
//! The ideas: an address is a pointer that moves by a constant per iteration plus a displacement in the instruction; a loop tests at
//! its end, so what it carries is what it leaves behind; a counter that nobody reads counts down to zero.

use super::Emitter;
use super::asm::Mem;
use crate::addresses::{self, CounterValue, counts_upward, pointer_key};
use crate::alloc::{Event, Virtual};
use crate::reciprocal::Reciprocal;
use cranelite_tile::{Base, Counter, Index, Loop, Op, Row, Stmt, Value};
use iced_x86::code_asm::{CodeLabel, byte_ptr, ptr, qword_ptr, registers};
use std::collections::{BTreeMap, BTreeSet};

impl Emitter<'_> {
    pub(super) fn label(&mut self) -> CodeLabel {
        self.assembler.create_label()
    }

    pub(super) fn place_label(&mut self, label: CodeLabel) {
        self.push(&[], &[], move |s, _| {
            let mut here = label;
            s.set_label(&mut here)?;
            s.zero_bytes()
        });
    }

    pub(super) fn stmts(&mut self, stmts: &[Stmt]) {
        let used_here: BTreeSet<Value> = stmts.iter().flat_map(|s| if let Stmt::Let(_, op) = s { op.operands() } else { vec![] }).collect();
        for s in stmts {
            if self.error.is_some() {
                return;
            }
            match s {
                // It goes to a register of another kind.
                Stmt::Let(v, op) if self.leaves_to_index(*v, op) => {}
                Stmt::Let(v, Op::Interleave(a, b)) if self.facts.halved.contains(v) => {
                    self.values[v.0 as usize] = self.interleaved_halves(self.ty(*v).elem, *a, *b);
                }
                Stmt::Let(v, op) => {
                    if !self.fold(*v, op, used_here.contains(v)) {
                        self.values[v.0 as usize] = self.op(self.ty(*v), op);
                    }
                }
                Stmt::Store { place, value, count } => {
                    if !self.store_part(place, *value, *count) {
                        let pieces = self.pieces(*value);
                        self.store(place, self.ty(*value), &pieces, *count);
                    }
                }
                Stmt::Prefetch(place) => {
                    let mem = self.mem(place, 1);
                    self.push(&mem.registers(), &[], move |s, r| s.prefetcht0(byte_ptr(r.m(&mem))));
                }
                Stmt::Loop(l) => self.emit_loop(l),
                Stmt::Row { row, arg, at, bytes: _, guards, fill } => self.row(*row, Base::Arg(*arg), at, guards, Base::Arg(*fill)),
                Stmt::Split { quotient, remainder, of, by } => self.split(*quotient, *remainder, of, *by),
                Stmt::Clamp { index, value, low, high, known } => {
                    let i = self.general_of(*value);
                    self.read_counters.insert(*index);
                    if *known {
                        self.counters[index.0 as usize] = Some(CounterValue::Varies(i));
                        continue;
                    }
                    let (low, high) = (*low, *high);
                    let bound = self.general();
                    self.push(&[], &[bound], move |s, r| s.mov(r.q(bound), low));
                    self.push(&[i, bound], &[i], move |s, r| {
                        s.cmp(r.q(i), r.q(bound))?;
                        s.cmovl(r.q(i), r.q(bound))
                    });
                    let bound = self.general();
                    self.push(&[], &[bound], move |s, r| s.mov(r.q(bound), high));
                    self.push(&[i, bound], &[i], move |s, r| {
                        s.cmp(r.q(i), r.q(bound))?;
                        s.cmovg(r.q(i), r.q(bound))
                    });
                    self.counters[index.0 as usize] = Some(CounterValue::Varies(i));
                }
            }
        }
    }

    fn row(&mut self, row: Row, arg: Base, at: &Index, guards: &[cranelite_tile::Guard], fill: Base) {
        let inside = self.address(arg, at);
        let open: Vec<_> = guards
            .iter()
            .filter(|g| match (self.known(&g.index), g.limit.as_constant()) {
                (Some(i), Some(limit)) => !(0 <= i && i < limit),
                _ => true,
            })
            .collect();
        let mut pointer = inside;
        if !open.is_empty() {
            let fill = self.address(fill, &Index::default());
            pointer = self.general();
            self.move_to(pointer, inside, 8);
            for g in open {
                let index = self.index_value(&g.index);
                // Unsigned: negative indices are beyond every limit.
                match g.limit.as_constant().and_then(|l| i32::try_from(l).ok()) {
                    Some(limit) => self.push(&[index, pointer, fill], &[pointer], move |s, r| {
                        s.cmp(r.q(index), limit)?;
                        s.cmovae(r.q(pointer), r.q(fill))
                    }),
                    None => {
                        let limit = self.index_value(&g.limit);
                        self.push(&[index, limit, pointer, fill], &[pointer], move |s, r| {
                            s.cmp(r.q(index), r.q(limit))?;
                            s.cmovae(r.q(pointer), r.q(fill))
                        });
                    }
                }
            }
        }
        self.pointers.last_mut().expect("the function's scope").insert((Base::Row(row), vec![]), pointer);
    }

    /// Multiplies by the reciprocal: exact for all that the verifier lets be split, which is below 2^63.
    fn split(&mut self, quotient: Counter, remainder: Counter, of: &Index, by: i64) {
        let of = self.index_value(of);
        let q = self.general();
        if by.count_ones() == 1 {
            self.move_to(q, of, 8);
            let n = by.trailing_zeros();
            self.push(&[q], &[q], move |s, r| s.shr(r.q(q), n));
        } else {
            let Reciprocal { multiplier, shift } = Reciprocal::of(by as u64);
            let multiplier = self.pool_label(&multiplier.to_le_bytes());
            self.scratch_bytes = self.scratch_bytes.max(8);
            self.move_to(q, of, 8);
            // One factor is always in rdx, which may be anybody's.
            self.push(&[q], &[q], move |s, r| {
                let (rdx, kept) = (registers::rdx, r.m(&Mem::Scratch(0)));
                let is_own = r.q(q) == rdx;
                if !is_own {
                    s.mov(qword_ptr(kept), rdx)?;
                    s.mov(rdx, r.q(q))?;
                }
                // Both results in one register: it keeps the upper half.
                s.mulx(r.q(q), r.q(q), qword_ptr(ptr(multiplier)))?;
                if !is_own {
                    s.mov(rdx, qword_ptr(kept))?;
                }
                s.shr(r.q(q), shift)
            });
        }
        let (whole, rest) = (self.general(), self.general());
        let Ok(by) = i32::try_from(by) else { return self.fail("a split by more than 31 bits") };
        self.push(&[q], &[whole], move |s, r| s.imul_3(r.q(whole), r.q(q), by));
        self.move_to(rest, of, 8);
        self.push(&[rest, whole], &[rest], move |s, r| s.sub(r.q(rest), r.q(whole)));
        self.counters[quotient.0 as usize] = Some(CounterValue::Varies(q));
        self.counters[remainder.0 as usize] = Some(CounterValue::Varies(rest));
    }

    fn emit_loop(&mut self, l: &Loop) {
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
            let pointer = self.general();
            self.move_to(pointer, start, 8);
            moving.push((pointer, by));
        }
        let mut inside_of = vec![];
        for c in &l.carried {
            let sizes = self.piece_sizes(self.ty(c.init));
            let init = self.pieces(c.init);
            let inside: Vec<Virtual> = init.iter().zip(&sizes).map(|(&v, &size)| self.copy(v, size)).collect();
            self.values[c.inside.0 as usize] = inside.clone();
            inside_of.push((inside, sizes));
        }
        // Strides that depend on parameters are computed once, outside.
        let steps: Vec<(Virtual, Step)> = moving.iter().map(|(p, by)| (*p, self.stride(by, l.step))).collect();

        let exit = self.label();
        let upward = counts_upward(&l.body, l.counter) || trips.is_none();
        let counter = self.general();
        let limit = trips.is_none().then(|| self.index_value(&l.count));
        match trips {
            Some(n) if !upward => {
                let Ok(n) = i32::try_from(n) else { return self.fail("a loop of more than 2^31 iterations") };
                self.push(&[], &[counter], move |s, r| s.mov(r.d(counter), n));
            }
            _ => self.push(&[], &[counter], move |s, r| s.xor(r.d(counter), r.d(counter))),
        }
        if let Some(limit) = limit {
            self.push(&[limit], &[], move |s, r| {
                s.test(r.q(limit), r.q(limit))?;
                s.jle(exit)
            });
        }
        let head = self.label();
        self.marker(Event::LoopBegin);
        self.place_label(head);
        self.pointers.push(BTreeMap::new());
        self.counters[l.counter.0 as usize] = Some(if upward { CounterValue::Varies(counter) } else { CounterValue::Unknown });
        for ((base, index), (pointer, _)) in keys.iter().zip(&moving) {
            self.pointers.last_mut().expect("just pushed").insert((*base, pointer_key(index)), *pointer);
        }
        self.stmts(&l.body);

        // All next values before any is overwritten.
        let carried: Vec<Virtual> = inside_of.iter().flat_map(|i| i.0.clone()).collect();
        let mut moves = vec![];
        for (c, (inside, sizes)) in l.carried.iter().zip(&inside_of) {
            for ((&to, &size), from) in inside.iter().zip(sizes).zip(self.pieces(c.next)) {
                let from = if from != to && carried.contains(&from) { self.copy(from, size) } else { from };
                moves.push((to, from, size));
            }
        }
        for (to, from, size) in moves {
            self.move_to(to, from, size);
        }
        for (pointer, step) in steps {
            match step {
                Step::Constant(0) => {}
                Step::Constant(n) => self.push(&[pointer], &[pointer], move |s, r| s.add(r.q(pointer), n)),
                Step::Varies(v) => self.push(&[pointer, v], &[pointer], move |s, r| s.add(r.q(pointer), r.q(v))),
            }
        }
        let Ok(step) = i32::try_from(l.step) else { return self.fail("a step of more than 31 bits") };
        match (trips, limit) {
            (Some(_), _) if !upward => {
                self.push(&[counter], &[counter], move |s, r| s.sub(r.d(counter), 1));
                // On its own, so that a counter without register is stored before the jump; that leaves the flags alone.
                self.push(&[], &[], move |s, _| s.jne(head));
            }
            (Some(n), _) => {
                let Ok(end) = i32::try_from(n as i64 * l.step) else { return self.fail("a loop of more than 2^31 iterations") };
                self.push(&[counter], &[counter], move |s, r| s.add(r.q(counter), step));
                self.push(&[counter], &[], move |s, r| {
                    s.cmp(r.q(counter), end)?;
                    s.jl(head)
                });
            }
            (None, Some(limit)) => {
                self.push(&[counter], &[counter], move |s, r| s.add(r.q(counter), step));
                self.push(&[counter, limit], &[], move |s, r| {
                    s.cmp(r.q(counter), r.q(limit))?;
                    s.jl(head)
                });
            }
            (None, None) => self.fail("a loop without a limit"),
        }
        self.pointers.pop();
        self.marker(Event::LoopEnd);
        self.place_label(exit);
        for (c, (inside, _)) in l.carried.iter().zip(inside_of) {
            self.values[c.result.0 as usize] = inside;
        }
    }

    /// Without the counters whose value is known to be 0.
    pub(super) fn reduced(&self, index: &Index) -> Index {
        addresses::reduced(index, &self.counters)
    }

    /// By how much the terms of one counter grow when it advances by `step`.
    fn stride(&mut self, by: &Index, step: i64) -> Step {
        let constant = |t: &Index| {
            t.terms()
                .iter()
                .all(|t| t.params.is_empty())
                .then(|| t.terms().iter().fold(0i64, |sum, t| sum.wrapping_add(t.coefficient.wrapping_mul(step))))
        };
        if let Some(n) = constant(by).and_then(|n| i32::try_from(n).ok()) {
            return Step::Constant(n);
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
    Constant(i32),
    Varies(Virtual),
}
