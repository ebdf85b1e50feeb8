//! Loops, and which code is written outside of them.
//!
//! The ideas: an address `base + affine` is a pointer that moves by a constant per iteration; where many move alike they share one
//! offset (x86 adds it in the instruction). Constants, and what is computed from values of outside, leave the innermost loop.

use super::{Arch, Emitter};
use cranelift_codegen::cursor::Cursor;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, Block, BlockArg, InstBuilder};
use cranelite_tile::{Base, Counter, Index, Loop, Op, Param, Row, Stmt, Value};
use std::collections::BTreeMap;

/// A counter inside its loop.
#[derive(Clone, Copy)]
pub(super) enum CounterValue {
    /// The loop runs once.
    Zero,
    Varies(ir::Value),
}

/// An index in a form that can be ordered.
pub(super) type IndexKey = Vec<(Option<Counter>, Vec<Param>, i64)>;

pub(super) fn index_key(index: &Index) -> IndexKey {
    index.terms().iter().map(|t| (t.counter, t.params.to_vec(), t.coefficient)).collect()
}

/// The body of a function or a loop, and what has been computed in it.
#[derive(Default)]
pub(super) struct Scope {
    /// The jump that enters the loop: what the loop does not change is written before it.
    entry: Option<ir::Inst>,
    /// A loop without loops.
    innermost: bool,
    /// Pointers to `base[index]`; indices have no constant part.
    pub pointers: BTreeMap<(Base, IndexKey), ir::Value>,
    pub indices: BTreeMap<IndexKey, ir::Value>,
    pub constants: BTreeMap<[u8; 16], ir::Value>,
    /// Further forms of values, by number of value and name of the form.
    pub derived: BTreeMap<(u32, &'static str), Vec<ir::Value>>,
}

/// Addresses that advance alike with a loop's counter.
struct Moving {
    /// The terms with the counter.
    by: Index,
    addresses: Vec<(Base, Index)>,
}

impl<'a> Emitter<'a> {
    /// Runs `write` with the insertion point where code of that level goes: here, or before the loops further in.
    pub(super) fn at_level<R>(&mut self, level: usize, write: impl FnOnce(&mut Self) -> R) -> R {
        let (own, position) = (self.level, self.cursor.position());
        if level < own {
            let entry = self.scopes[level + 1].entry.expect("a loop has an entry");
            self.cursor.goto_inst(entry);
            self.level = level;
        }
        let result = write(self);
        self.level = own;
        self.cursor.set_position(position);
        result
    }

    /// Where code goes that needs nothing of levels beyond `needs`: out of an innermost loop, but no further, so that what
    /// outer code alone needs does not occupy registers in the loops within.
    pub(super) fn hoisted(&self, needs: usize) -> usize {
        if self.scopes[self.level].innermost && needs < self.level { self.level - 1 } else { self.level }
    }

    /// The level at which an operation is computed.
    pub(super) fn level_of(&self, op: &Op) -> usize {
        if op.place().is_some() {
            return self.level;
        }
        let needs = op.operands().iter().map(|v| self.value_levels[v.0 as usize]).max().unwrap_or(0);
        self.hoisted(needs)
    }

    /// A further form of a value, computed once and as far out as the value allows.
    pub(super) fn derive(&mut self, of: Value, form: &'static str, compute: impl FnOnce(&mut Self) -> Vec<ir::Value>) -> Vec<ir::Value> {
        let key = (of.0, form);
        if let Some(v) = self.scopes[..=self.level].iter().rev().find_map(|s| s.derived.get(&key)) {
            return v.clone();
        }
        let level = self.hoisted(self.value_levels[of.0 as usize]);
        let pieces = self.at_level(level, compute);
        self.scopes[level].derived.insert(key, pieces.clone());
        pieces
    }

    /// The level at which a counter varies.
    pub(super) fn counter_level(&self, c: Counter) -> usize {
        self.counters[c.0 as usize].map_or(0, |(_, level)| level)
    }

    /// The smallest level at which everything in `index` is known.
    pub(super) fn index_level(&self, index: &Index) -> usize {
        index.counters().filter_map(|c| self.counters[c.0 as usize]).map(|(_, level)| level).max().unwrap_or(0)
    }

    /// Loops that carry values are while-loops on x86 and loops of unknown trip count everywhere; others test at the end.
    ///
    /// Why: in a do-while-loop each accumulator is used twice, by the back edge and by the exit, and Cranelift then folds no load
    /// into its operation. On aarch64 there are no memory operands to fold.
    pub(super) fn emit_loop(&mut self, l: &'a Loop) {
        match trips(l) {
            Some(0) => {
                for c in &l.carried {
                    self.alias(c.result, c.init);
                }
                return;
            }
            Some(1) => {
                self.counters[l.counter.0 as usize] = Some((CounterValue::Zero, 0));
                for c in &l.carried {
                    self.alias(c.inside, c.init);
                }
                self.stmts(&l.body);
                for c in &l.carried {
                    self.alias(c.result, c.next);
                }
                return;
            }
            _ => {}
        }
        let test_first = trips(l).is_none() || (self.features.arch == Arch::X86 && !l.carried.is_empty());

        // What goes round: the counter, pointers or offsets, the carried pieces.
        let groups = self.moving(l);
        let zero = self.i64(0);
        let mut init = vec![zero];
        let mut strides = vec![];
        for g in &groups {
            if self.offset_is_counter(g, l.counter).is_some() {
                continue;
            }
            let stride = self.stride(&g.by, l.step);
            if self.shares_offset(g) {
                init.push(zero);
                strides.push(stride);
            } else {
                for (base, index) in &g.addresses {
                    let start = self.address(*base, &(index.clone() - g.by.clone()));
                    init.push(start);
                    strides.push(stride);
                }
            }
        }
        // Starts of addresses with a common offset are needed inside; written here they stay out of the loop.
        let starts: Vec<Vec<ir::Value>> = groups
            .iter()
            .map(|g| {
                if self.shares_offset(g) {
                    g.addresses.iter().map(|(b, i)| self.address(*b, &(i.clone() - g.by.clone()))).collect()
                } else {
                    vec![]
                }
            })
            .collect();
        for c in &l.carried {
            init.extend(self.pieces(c.init));
        }
        let limit = self.index_value(&l.count);

        let (head, exit) = (self.new_block(), self.new_block());
        let params: Vec<ir::Value> = init.iter().map(|&v| self.block_param(head, v)).collect();
        let entry = self.ins().jump(head, &block_args(&init));
        self.scopes.push(Scope { entry: Some(entry), innermost: !has_loop(&l.body), ..Scope::default() });
        self.level += 1;
        self.append_block(head);
        if test_first {
            let body = self.new_block();
            let go_on = self.ins().icmp(IntCC::SignedLessThan, params[0], limit);
            self.ins().brif(go_on, body, &[], exit, &[]);
            self.append_block(body);
        }
        self.counters[l.counter.0 as usize] = Some((CounterValue::Varies(params[0]), self.level));
        let mut moved = params[1..].iter();
        for (g, starts) in groups.iter().zip(&starts) {
            let offset = match self.offset_is_counter(g, l.counter) {
                Some(1) => Some(params[0]),
                Some(scale) => {
                    let bits = self.amount(scale.trailing_zeros());
                    Some(self.ins().ishl(params[0], bits))
                }
                None if self.shares_offset(g) => moved.next().copied(),
                None => None,
            };
            for (i, (base, index)) in g.addresses.iter().enumerate() {
                let pointer = match offset {
                    Some(offset) => self.ins().iadd(starts[i], offset),
                    None => *moved.next().expect("a parameter per pointer"),
                };
                self.define_pointer(*base, index, pointer);
            }
        }
        let mut rest = &params[1 + strides.len()..];
        for c in &l.carried {
            let (own, others) = rest.split_at(self.values[c.init.0 as usize].len());
            self.define(c.inside, self.level, own.to_vec());
            rest = others;
        }
        self.stmts(&l.body);

        let step = self.i64(l.step);
        let mut next = vec![self.ins().iadd(params[0], step)];
        for (&p, &stride) in params[1..].iter().zip(&strides) {
            next.push(self.ins().iadd(p, stride));
        }
        for c in &l.carried {
            next.extend(self.pieces(c.next));
        }
        if test_first {
            self.ins().jump(head, &block_args(&next));
            self.close(exit);
            for c in &l.carried {
                self.alias(c.result, c.inside);
            }
        } else {
            let results = &next[1 + strides.len()..];
            let out: Vec<ir::Value> = results.iter().map(|&v| self.block_param(exit, v)).collect();
            let go_on = self.ins().icmp(IntCC::SignedLessThan, next[0], limit);
            self.ins().brif(go_on, head, &block_args(&next), exit, &block_args(results));
            self.close(exit);
            let mut out = out.as_slice();
            for c in &l.carried {
                let (own, others) = out.split_at(self.values[c.init.0 as usize].len());
                self.define(c.result, self.level, own.to_vec());
                out = others;
            }
        }
    }

    /// Makes `v` another name of `of`.
    fn alias(&mut self, v: Value, of: Value) {
        let pieces = self.pieces(of);
        let level = self.value_levels[of.0 as usize].min(self.level);
        self.define(v, level, pieces);
    }

    fn close(&mut self, exit: Block) {
        self.scopes.pop();
        self.level -= 1;
        self.append_block(exit);
    }

    fn new_block(&mut self) -> Block {
        self.cursor.func.dfg.make_block()
    }

    fn append_block(&mut self, block: Block) {
        self.cursor.func.layout.append_block(block);
        self.cursor.goto_bottom(block);
    }

    /// A parameter of the type of `like`.
    fn block_param(&mut self, block: Block, like: ir::Value) -> ir::Value {
        let ty = self.cursor.func.dfg.value_type(like);
        self.cursor.func.dfg.append_block_param(block, ty)
    }

    /// Several pointers that move alike: on x86 they are addresses of the form `start + offset`.
    fn shares_offset(&self, g: &Moving) -> bool {
        self.features.arch == Arch::X86 && 1 < g.addresses.len()
    }

    /// The loop's own counter, scaled, serves as their offset.
    fn offset_is_counter(&self, g: &Moving, counter: Counter) -> Option<i64> {
        let [t] = g.by.terms() else { return None };
        let scales = t.params.is_empty() && t.counter == Some(counter) && [1, 2, 4, 8].contains(&t.coefficient);
        (scales && self.shares_offset(g)).then_some(t.coefficient)
    }

    /// The addresses that advance with the loop's counter: every distinct variable part of an address in it, as far as it is known
    /// outside of the loops further in.
    fn moving(&self, l: &Loop) -> Vec<Moving> {
        let (mut inner, mut rows, mut places) = (vec![], vec![], vec![]);
        collect(&l.body, &mut inner, &mut rows, &mut places);
        let mut groups: Vec<Moving> = vec![];
        for (base, index) in places {
            if matches!(base, Base::Row(r) if rows.contains(&r)) {
                continue;
            }
            let index = self.reduced(&index.without_constant().retain_counters(|c| !inner.contains(&c)));
            let by = index.part_with(l.counter);
            if by.terms().is_empty() {
                continue;
            }
            let at = groups.iter().position(|g| g.by == by).unwrap_or_else(|| {
                groups.push(Moving { by, addresses: vec![] });
                groups.len() - 1
            });
            let addresses = &mut groups[at].addresses;
            if !addresses.iter().any(|(b, i)| *b == base && *i == index) {
                addresses.push((base, index));
            }
        }
        groups
    }

    /// Without the counters whose value is known to be 0.
    pub(super) fn reduced(&self, index: &Index) -> Index {
        index.retain_counters(|c| !matches!(self.counters[c.0 as usize], Some((CounterValue::Zero, _))))
    }

    /// By how much `moving`, terms of one counter, grows when the counter advances by `step`.
    fn stride(&mut self, moving: &Index, step: i64) -> ir::Value {
        let terms = moving.terms().iter().cloned().map(|mut t| {
            t.coefficient = t.coefficient.wrapping_mul(step);
            t.counter = None;
            t
        });
        self.index_value(&Index::from_terms(terms.collect()))
    }
}

/// How often a loop runs, if that is in the text.
fn trips(l: &Loop) -> Option<u64> {
    l.count.as_constant().map(|n| (n.max(0) as u64).div_ceil(l.step as u64))
}

fn has_loop(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Loop(l) if trips(l) == Some(1) => has_loop(&l.body),
        Stmt::Loop(l) => trips(l) != Some(0),
        _ => false,
    })
}

fn block_args(values: &[ir::Value]) -> Vec<BlockArg> {
    values.iter().map(|&v| BlockArg::Value(v)).collect()
}

/// Counters and rows defined in `stmts`, and the addresses used there.
fn collect(stmts: &[Stmt], counters: &mut Vec<Counter>, rows: &mut Vec<Row>, places: &mut Vec<(Base, Index)>) {
    for s in stmts {
        match s {
            Stmt::Let(_, op) => places.extend(op.place().map(|p| (p.base, p.at.clone()))),
            Stmt::Store { place, .. } => places.push((place.base, place.at.clone())),
            Stmt::Loop(l) => {
                counters.push(l.counter);
                collect(&l.body, counters, rows, places);
            }
            Stmt::Row { row, arg, at, .. } => {
                rows.push(*row);
                places.push((Base::Arg(*arg), at.clone()));
            }
            Stmt::Split { quotient, remainder, .. } => counters.extend([*quotient, *remainder]),
            Stmt::Clamp { index, .. } => counters.push(*index),
            Stmt::Prefetch(_) => {}
        }
    }
}
