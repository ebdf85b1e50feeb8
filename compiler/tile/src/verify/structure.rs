//! The form of a kernel: numbers in range, each thing defined once and used only where it is visible.
//!
//! Not types and not bounds. The idea: one walk in the order of the text, in which leaving a block makes what it defined invisible.

use super::Error;
use crate::index::Index;
use crate::program::*;

/// Loops in loops, which later walks descend into without counting.
const DEPTH_LIMIT: usize = 64;
/// Lanes of a value: far more than any machine's registers hold.
const LANES_LIMIT: u32 = 1 << 16;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Undefined,
    Visible,
    /// Defined in a block that has ended.
    Left,
}

struct Checker<'a> {
    kernel: &'a Kernel,
    values: Vec<State>,
    counters: Vec<State>,
    rows: Vec<State>,
    /// What was defined, in order, to be left again.
    defined: Vec<Thing>,
    statement: Option<&'a Stmt>,
    errors: Vec<Error>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Thing {
    Value(Value),
    Counter(u32),
    Row(Row),
}

pub fn check(kernel: &Kernel) -> Vec<Error> {
    let mut c = Checker {
        kernel,
        values: vec![State::Undefined; kernel.types.len()],
        counters: vec![State::Undefined; kernel.counters.len()],
        // A number that nothing stands for must not cost memory.
        rows: vec![State::Undefined; kernel.rows.min(1 << 20) as usize],
        defined: vec![],
        statement: None,
        errors: vec![],
        depth: 0,
    };
    for (i, a) in kernel.args.iter().enumerate() {
        if let Some(of) = a.in_place_of {
            c.in_place(i, a, of);
        }
    }
    for (i, ty) in kernel.types.iter().enumerate() {
        let bits_are_possible = matches!(ty.elem.bits(), 8 | 16 | 32 | 64);
        if ty.lanes == 0 || LANES_LIMIT < ty.lanes || !bits_are_possible {
            c.fail(format!("v{i} has the impossible type {ty}"));
        }
    }
    c.block(&kernel.body);
    if let Some(foreign) = &kernel.foreign {
        c.statement = None;
        c.foreign(foreign);
    }
    c.errors
}

impl<'a> Checker<'a> {
    fn fail(&mut self, message: String) {
        if self.errors.len() < super::ERRORS_LIMIT {
            self.errors.push(Error::of_kernel(self.kernel, self.statement, message));
        }
    }

    fn in_place(&mut self, index: usize, arg: &KernelArg, of: Arg) {
        match self.kernel.args.get(of.0 as usize) {
            None => self.fail(format!("argument {} is in place of argument {}, which does not exist", arg.name, of.0)),
            Some(o) if of.0 as usize == index || o.access == Access::Write || arg.access == Access::Read => {
                self.fail(format!("argument {} cannot be in place of {}: one must be written and another one read", arg.name, o.name));
            }
            Some(_) => {}
        }
    }

    fn foreign(&mut self, foreign: &Foreign) {
        let kernel = self.kernel;
        if !kernel.body.is_empty() || !kernel.params.is_empty() {
            self.fail("a kernel that calls a foreign function has statements or parameters of its own".into());
        }
        if !Foreign::is_symbol(&foreign.symbol) {
            self.fail(format!("{:?} is no name of a C function", foreign.symbol));
        }
        if kernel.args.iter().any(|a| a.access == Access::ReadWrite || a.in_place_of.is_some()) {
            self.fail("an argument of a foreign function is an input or an output, in memory of its own".into());
        }
        if foreign.options.is_some_and(|o| kernel.args.get(o.0 as usize).is_none_or(|a| a.access != Access::Read)) {
            self.fail("the options of a foreign function are no argument that it reads".into());
        }
        if Foreign::ARGS_LIMIT < kernel.args.len() {
            self.fail(format!("a foreign function has more than {} arguments", Foreign::ARGS_LIMIT));
        }
    }

    fn block(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            self.statement = Some(s);
            self.stmt(s);
        }
    }

    /// Makes invisible what was defined after the first `from` things.
    fn leave(&mut self, from: usize) {
        for thing in self.defined.drain(from..) {
            match thing {
                Thing::Value(v) => self.values[v.0 as usize] = State::Left,
                Thing::Counter(c) => self.counters[c as usize] = State::Left,
                Thing::Row(r) => self.rows[r.0 as usize] = State::Left,
            }
        }
    }

    fn define(&mut self, thing: Thing) {
        let (name, state) = match thing {
            Thing::Value(v) => (format!("v{}", v.0), self.values.get_mut(v.0 as usize)),
            Thing::Counter(c) => (format!("counter {c}"), self.counters.get_mut(c as usize)),
            Thing::Row(r) => (format!("r{}", r.0), self.rows.get_mut(r.0 as usize)),
        };
        match state {
            None => self.fail(format!("{name} is not among the numbers that the kernel declares")),
            Some(s) if *s != State::Undefined => self.fail(format!("{name} is defined twice")),
            Some(s) => {
                *s = State::Visible;
                self.defined.push(thing);
            }
        }
    }

    fn uses(&mut self, thing: Thing) {
        let (name, state) = match thing {
            Thing::Value(v) => (format!("v{}", v.0), self.values.get(v.0 as usize)),
            Thing::Counter(c) => {
                let name = self.kernel.counters.get(c as usize).map_or(format!("counter {c}"), |n| format!("counter {n}"));
                (name, self.counters.get(c as usize))
            }
            Thing::Row(r) => (format!("r{}", r.0), self.rows.get(r.0 as usize)),
        };
        match state {
            Some(State::Visible) => {}
            Some(State::Left) => self.fail(format!("{name} is used outside of the block that defines it")),
            Some(State::Undefined) | None => self.fail(format!("{name} is used before it is defined")),
        }
    }

    fn index(&mut self, index: &Index) {
        for t in index.terms() {
            for p in &t.params {
                if self.kernel.params.len() <= p.0 as usize {
                    self.fail(format!("parameter {} does not exist", p.0));
                }
            }
            if let Some(c) = t.counter {
                self.uses(Thing::Counter(c.0));
            }
        }
    }

    /// An argument, and whether it is written.
    fn arg(&mut self, arg: Arg, writes: bool) {
        match self.kernel.args.get(arg.0 as usize) {
            None => self.fail(format!("argument {} does not exist", arg.0)),
            Some(a) if writes && a.access == Access::Read => self.fail(format!("argument {} may only be read", a.name)),
            Some(a) if !writes && a.access == Access::Write => self.fail(format!("argument {} may only be written", a.name)),
            Some(_) => {}
        }
    }

    fn reads(&mut self, place: &Place) {
        match place.base {
            Base::Arg(a) => self.arg(a, false),
            Base::Row(r) => self.uses(Thing::Row(r)),
        }
        self.index(&place.at);
    }

    fn stmt(&mut self, s: &'a Stmt) {
        match s {
            Stmt::Let(v, op) => {
                op.operands().into_iter().for_each(|o| self.uses(Thing::Value(o)));
                if let Some(place) = op.place() {
                    self.reads(place);
                }
                self.define(Thing::Value(*v));
            }
            Stmt::Store { place, value, .. } => {
                match place.base {
                    Base::Arg(a) => self.arg(a, true),
                    Base::Row(r) => self.fail(format!("r{} is a row, and rows are only read", r.0)),
                }
                self.index(&place.at);
                self.uses(Thing::Value(*value));
            }
            // What may only be written may be asked for, too.
            Stmt::Prefetch(place) => {
                match place.base {
                    Base::Arg(a) => self.arg(a, self.kernel.args.get(a.0 as usize).is_some_and(|a| a.access == Access::Write)),
                    Base::Row(r) => self.uses(Thing::Row(r)),
                }
                self.index(&place.at);
            }
            Stmt::Loop(l) => self.check_loop(s, l),
            Stmt::Row { row, arg, at, bytes, guards, fill } => {
                self.arg(*arg, false);
                self.arg(*fill, false);
                [at, bytes].into_iter().for_each(|i| self.index(i));
                for g in guards {
                    self.index(&g.index);
                    self.index(&g.limit);
                }
                self.define(Thing::Row(*row));
            }
            Stmt::Split { quotient, remainder, of, by } => {
                self.index(of);
                if *by < 1 {
                    self.fail(format!("the divisor is {by}"));
                }
                self.define(Thing::Counter(quotient.0));
                self.define(Thing::Counter(remainder.0));
            }
            Stmt::Clamp { index, value, low, high, .. } => {
                self.uses(Thing::Value(*value));
                if high < low {
                    self.fail(format!("{low}..={high} is empty"));
                }
                self.define(Thing::Counter(index.0));
            }
        }
    }

    fn check_loop(&mut self, s: &'a Stmt, l: &'a Loop) {
        if DEPTH_LIMIT <= self.depth {
            return self.fail(format!("more than {DEPTH_LIMIT} loops in each other"));
        }
        self.index(&l.count);
        if l.step < 1 {
            self.fail(format!("the step is {}", l.step));
        }
        l.carried.iter().for_each(|c| self.uses(Thing::Value(c.init)));
        let outside = self.defined.len();
        self.define(Thing::Counter(l.counter.0));
        l.carried.iter().for_each(|c| self.define(Thing::Value(c.inside)));
        self.depth += 1;
        self.block(&l.body);
        self.depth -= 1;
        self.statement = Some(s);
        l.carried.iter().for_each(|c| self.uses(Thing::Value(c.next)));
        self.leave(outside);
        l.carried.iter().for_each(|c| self.define(Thing::Value(c.result)));
    }
}
