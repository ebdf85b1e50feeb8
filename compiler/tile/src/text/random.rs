//! Programs for tests of the text form: every statement, operation and name, whether it makes sense or not.
//!
//! The idea: a list of numbers decides every choice, so that a failing case shrinks with the list.

use super::names::{BINARY, COND, CONVERT, REDUCE, UNARY};
use crate::index::{Counter, Index, Monomial, Param};
use crate::program::*;
use crate::types::{Elem, Type};

const NAMES: &[&str] = &["i", "i", "k", "C", "x", "r1", "v3", "in", "next", "a b", "\"q\\\n\u{1}é", "", "step", "_"];
const ELEMS: &[Elem] =
    &[Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64, Elem::F32, Elem::F64, Elem::Mask(32), Elem::Mask(7)];

pub fn program(choices: &[u32]) -> Program {
    let mut r = Random { choices: choices.iter(), kernel: empty() };
    let mut p = Program { name: r.name(), ..Program::default() };
    for _ in 0..r.below(4) {
        p.buffers.push(r.buffer());
    }
    for _ in 0..1 + r.below(3) {
        p.kernels.push(r.whole_kernel());
    }
    let mut calls = vec![];
    for _ in 0..r.below(4) {
        let kernel = KernelId(r.below(p.kernels.len()) as u32);
        let k = p.kernel(kernel);
        let (args, params) = (k.args.len() + r.below(2), k.params.len() + r.below(2));
        let buffers = (0..args).map(|_| BufferId(r.number())).collect();
        let params = (0..params).map(|_| r.integer()).collect();
        let operator = r.maybe().then(|| r.number());
        calls.push(Call { kernel, buffers, params, advance: vec![], operator });
    }
    if r.maybe() {
        p.schedule.push(Step::Parallel(calls));
    } else {
        p.schedule.extend(calls.into_iter().map(Step::Call));
    }
    p
}

fn empty() -> Kernel {
    Kernel { name: String::new(), args: vec![], params: vec![], types: vec![], counters: vec![], rows: 0, body: vec![], foreign: None }
}

struct Random<'a> {
    choices: std::slice::Iter<'a, u32>,
    kernel: Kernel,
}

impl Random<'_> {
    /// 0 once the list is at its end.
    fn number(&mut self) -> u32 {
        self.choices.next().copied().unwrap_or(0)
    }
    fn below(&mut self, n: usize) -> usize {
        self.number() as usize % n
    }
    fn maybe(&mut self) -> bool {
        self.below(2) == 1
    }
    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
    fn name(&mut self) -> String {
        self.one_of(NAMES).into()
    }
    fn integer(&mut self) -> i64 {
        let small = self.number() as i64 % 100;
        let large = (self.number() as i64) << 32;
        self.one_of(&[small, -small, large, i64::MIN, i64::MAX])
    }

    fn buffer(&mut self) -> Buffer {
        let data: Option<bytes::Bytes> = self.maybe().then(|| {
            let byte = self.number() as u8;
            let n = self.below(5);
            (0..n).map(|i| if i == 2 { byte.wrapping_add(self.below(2) as u8) } else { byte }).collect()
        });
        let (input, output) = (Role::Input(self.number()), Role::Output(self.number()));
        Buffer {
            name: self.name(),
            role: self.one_of(&[input, output, Role::Const, Role::Scratch]),
            size_bytes: data.as_ref().map_or(u64::from(self.number()), |d| d.len() as u64),
            align: self.number(),
            data,
            view: self.maybe().then(|| View { parent: BufferId(self.number()), offset_bytes: u64::from(self.number()) }),
            offset_bytes: self.maybe().then(|| u64::from(self.number())),
        }
    }

    fn whole_kernel(&mut self) -> Kernel {
        self.kernel = empty();
        self.kernel.name = self.name();
        for i in 0..1 + self.below(3) {
            let arg = KernelArg {
                name: self.name(),
                access: self.one_of(&[Access::Read, Access::Write, Access::ReadWrite]),
                in_place_of: self.maybe().then_some(Arg(i as u32 / 2)),
            };
            self.kernel.args.push(arg);
        }
        for _ in 0..self.below(3) {
            let name = self.name();
            self.kernel.params.push(name);
        }
        // Some that are used and declared nowhere.
        self.kernel.rows = self.below(2) as u32;
        for _ in 0..self.below(2) {
            self.counter();
        }
        self.new_value();
        let body = self.block(0);
        let mut kernel = std::mem::replace(&mut self.kernel, empty());
        kernel.body = body;
        kernel
    }

    fn counter(&mut self) -> Counter {
        let name = self.name();
        self.kernel.counters.push(name);
        Counter(self.kernel.counters.len() as u32 - 1)
    }
    fn new_value(&mut self) -> Value {
        let (elem, lanes) = (self.one_of(ELEMS), self.one_of(&[1, 4, 3, 64, 0]));
        self.kernel.types.push(Type { elem, lanes });
        Value(self.kernel.types.len() as u32 - 1)
    }
    fn value(&mut self) -> Value {
        Value(self.below(self.kernel.types.len()) as u32)
    }
    fn arg(&mut self) -> Arg {
        Arg(self.below(self.kernel.args.len()) as u32)
    }
    fn index(&mut self) -> Index {
        let mut terms = vec![];
        for _ in 0..self.below(4) {
            let (c, p) = (self.kernel.counters.len(), self.kernel.params.len());
            let params = (0..self.below(3)).filter(|_| 0 < p).map(|_| Param(self.below(p.max(1)) as u32)).collect();
            let counter = (0 < c && self.maybe()).then(|| Counter(self.below(c) as u32));
            terms.push(Monomial { coefficient: self.integer(), params, counter });
        }
        Index::from_terms(terms)
    }
    fn place(&mut self) -> Place {
        let row = Base::Row(Row(self.number()));
        let base = Base::Arg(self.arg());
        Place { base: self.one_of(&[base, row]), at: self.index() }
    }
    fn count(&mut self) -> Option<u32> {
        self.maybe().then(|| self.number())
    }

    fn block(&mut self, depth: usize) -> Vec<Stmt> {
        let n = self.below(6);
        (0..n).map(|_| self.stmt(depth)).collect()
    }

    fn stmt(&mut self, depth: usize) -> Stmt {
        match self.below(8) {
            5 => Stmt::Prefetch(self.place()),
            0 => Stmt::Store { place: self.place(), value: self.value(), count: self.count() },
            1 if depth < 4 => self.a_loop(depth),
            2 => {
                let row = Row(self.kernel.rows);
                self.kernel.rows += 1;
                let mut guards = vec![];
                for _ in 0..self.below(3) {
                    guards.push(Guard { index: self.index(), limit: self.index() });
                }
                // Often an address in terms of the guard.
                let at = match guards.first() {
                    Some(g) if self.maybe() => g.index.clone() * (self.number() as i64 % 9) + self.index(),
                    _ => self.index(),
                };
                Stmt::Row { row, arg: self.arg(), at, bytes: self.index(), guards: guards.into(), fill: self.arg() }
            }
            3 => {
                let of = self.index();
                Stmt::Split { quotient: self.counter(), remainder: self.counter(), of, by: self.integer() }
            }
            4 => {
                let value = self.value();
                Stmt::Clamp { index: self.counter(), value, low: self.integer(), high: self.integer(), known: self.maybe() }
            }
            _ => {
                let op = self.op();
                Stmt::Let(self.new_value(), op)
            }
        }
    }

    fn a_loop(&mut self, depth: usize) -> Stmt {
        let count = self.index();
        let n = self.below(4);
        let same = self.maybe();
        let first = self.value();
        let init: Vec<Value> = (0..n).map(|_| if same { first } else { self.value() }).collect();
        let like = |r: &mut Self| -> Vec<Value> {
            let other = r.below(4) == 3;
            let new = init.iter().map(|&v| {
                let ty = r.kernel.ty(v);
                let new = r.new_value();
                if !other {
                    r.kernel.types[new.0 as usize] = ty;
                }
                new
            });
            new.collect()
        };
        let (inside, result) = (like(self), like(self));
        // The printer takes counters as numbered in the order of the text unless told otherwise: here sometimes after the body's.
        let counter_first = self.maybe();
        let early = if counter_first { Some(self.counter()) } else { None };
        let body = self.block(depth + 1);
        let counter = early.unwrap_or_else(|| self.counter());
        let next: Vec<Value> = (0..n).map(|_| self.value()).collect();
        let carried = (0..n).map(|i| Carried { init: init[i], inside: inside[i], next: next[i], result: result[i] }).collect();
        Stmt::Loop(Loop { counter, count, step: self.integer(), carried, body }.into())
    }

    fn op(&mut self) -> Op {
        let (a, b, c) = (self.value(), self.value(), self.value());
        let n = self.number();
        let lane = self.below(256) as u8;
        match self.below(27) {
            0 => Op::Const(Scalar::Int(self.integer())),
            1 => Op::Load { place: self.place(), count: self.count() },
            2 => Op::LoadSplat { place: self.place(), group: self.below(4) as u32, count: self.count() },
            3 => Op::Unary(self.one_of(UNARY).0, a),
            4 => Op::Binary(self.one_of(BINARY).0, a, b),
            5 => Op::ShlImm(a, lane),
            6 => Op::ShrImm(a, lane),
            7 => Op::RoundingShr(a, lane),
            8 => Op::Compare(self.one_of(COND).0, a, b),
            9 => Op::Select(a, b, c),
            10 => Op::Fma(a, b, c),
            11 => Op::FmaLane { acc: a, a: b, lane: n, b: c },
            12 => Op::MulWide(a, b),
            13 if self.maybe() => Op::DotMatrix { acc: a, a: b, b: c },
            13 => Op::Dot { group: n, acc: a, a: b, b: c },
            14 => Op::DotLane { group: n, acc: a, a: b, lane: n, b: c },
            15 => Op::Convert(a, self.one_of(CONVERT).0),
            16 => self.one_of(&[Op::Widen(a), Op::Narrow(a), Op::NarrowSat(a), Op::Bitcast(a), Op::FromHalf(a), Op::ToHalf(a)]),
            17 => Op::Splat(a),
            18 => Op::Lane(a, n),
            19 => Op::Concat(a, b),
            20 => Op::Slice(a, n),
            21 if self.maybe() => Op::Permute { a, index: b, segment: n },
            21 => Op::Interleave(a, b),
            22 if self.maybe() => Op::Repeat { a, times: n, start: u32::from(lane) },
            22 => Op::Deinterleave(a, n),
            23 if self.maybe() => Op::ReduceEach(self.one_of(REDUCE).0, [a, b, c].into()),
            23 => Op::Reduce(self.one_of(REDUCE).0, a),
            24 => Op::Lookup { place: self.place(), index: a },
            25 => {
                let range = self.one_of(&[ShiftRange::Any, ShiftRange::Right, ShiftRange::Uniform(lane as i8)]);
                Op::Requantize { x: a, multiplier: b, shift: c, range }
            }
            _ => {
                let bits = self.integer() as u64;
                Op::Const(Scalar::Float(self.one_of(&[bits, bits & 0xffff_ffff, 0x3fc0_0000, 0x7fc0_0001, 0xff80_0000, 0x8000_0000])))
            }
        }
    }
}
