//! The proof that every access of a call lies in its buffer or its row.
//!
//! Only for kernels of sound structure and types, called with as many buffers and parameters as they have. The idea: one walk
//! through the text with what is known of the counters there; loops are entered once, with all their iterations at a time.

use super::affine::{Affine, Domain, Fact, Given, Range};
use super::{CONST_SLACK_BYTES, ERRORS_LIMIT, Error};
use crate::index::Index;
use crate::program::*;
use crate::types::{Elem, Type};
use std::collections::BTreeMap;

/// How much of a buffer may be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory {
    pub readable_bytes: u64,
    pub size_bytes: u64,
}

impl Memory {
    pub fn of_bytes(size_bytes: u64) -> Self {
        Memory { readable_bytes: size_bytes, size_bytes }
    }
    pub fn of(program: &Program, buffer: BufferId) -> Self {
        let b = program.buffer(buffer);
        let slack = if b.role == Role::Const { CONST_SLACK_BYTES } else { 0 };
        Memory { readable_bytes: b.size_bytes.saturating_add(slack), size_bytes: b.size_bytes }
    }
}

/// Bytes that an operation reads at its place.
pub fn read_bytes(op: &Op, ty: Type) -> i128 {
    let elements = match op {
        Op::Load { count, .. } => count.unwrap_or(ty.lanes),
        Op::LoadSplat { group, count, .. } => count.unwrap_or(*group),
        // By the type of the index.
        Op::Lookup { .. } => 256,
        _ => 0,
    };
    i128::from(elements) * i128::from(ty.elem.bytes())
}

/// `0 <= index < limit`; `None` when a number is too large.
pub fn guard_facts(index: &Affine, limit: &Affine) -> Option<Vec<Fact>> {
    if let Some(limit) = limit.as_number() {
        return Some(vec![Fact { form: index.clone(), low: 0, high: limit - 1 }]);
    }
    let beyond = Fact { form: index.plus(-1, limit)?, low: i128::MIN, high: -1 };
    Some(vec![Fact { form: index.clone(), low: 0, high: i128::MAX }, beyond])
}

/// The least and the greatest of some elements of a table: its root, the type, the first element, the last place and the distance. None: not all are in the
/// table. Many calls have the same lists.
pub type Tables = BTreeMap<(BufferId, Elem, i128, i128, i128), Option<(i64, i64)>>;

/// One element of an argument, which begins at a byte of `low..=high` that is a multiple of `step` away from `one`.
struct Element {
    arg: Arg,
    low: i128,
    high: i128,
    step: i128,
    one: i128,
}

struct Prover<'a> {
    program: &'a Program,
    kernel: &'a Kernel,
    call: &'a Call,
    given: Given<'a>,
    memory: &'a [Memory],
    domain: Domain,
    /// Length in bytes of every row defined so far.
    rows: Vec<Option<Affine>>,
    /// Of values that are one element of an argument: where that may begin.
    elements: BTreeMap<Value, Element>,
    tables: &'a mut Tables,
    errors: Vec<Error>,
}

/// `turns`: how often the call is repeated.
pub fn prove(program: &Program, kernel: &Kernel, call: &Call, turns: u64, memory: &[Memory], tables: &mut Tables) -> Vec<Error> {
    let rows = vec![None; kernel.rows as usize];
    let given = Given::of(kernel, call, turns);
    let mut p =
        Prover { program, kernel, call, given, memory, domain: Domain::default(), rows, elements: BTreeMap::new(), tables, errors: vec![] };
    if let Some(known) = given.known() {
        p.domain.know(&known);
    } else if !call.advance.is_empty() {
        return vec![Error::of_kernel(kernel, None, TOO_LARGE.into())];
    }
    p.block(&kernel.body);
    p.errors
}

/// What an index that does not fit is called.
const TOO_LARGE: &str = "an index is too large to be proved";

impl<'a> Prover<'a> {
    fn fail(&mut self, s: &Stmt, message: String) {
        if self.errors.len() < ERRORS_LIMIT {
            self.errors.push(Error::of_kernel(self.kernel, Some(s), message));
        }
    }

    fn affine(&self, index: &Index) -> Option<Affine> {
        Affine::of(index, &self.given)
    }

    fn block(&mut self, stmts: &'a [Stmt]) {
        let facts = self.domain.fact_count();
        for s in stmts {
            if ERRORS_LIMIT <= self.errors.len() {
                break;
            }
            if self.stmt(s).is_none() {
                self.fail(s, TOO_LARGE.into());
            }
        }
        self.domain.keep_facts(facts);
    }

    /// `None` when a number is too large.
    fn stmt(&mut self, s: &'a Stmt) -> Option<()> {
        match s {
            Stmt::Let(v, op) => {
                if let Some(place) = op.place() {
                    self.access(s, place, read_bytes(op, self.kernel.ty(*v)), false)?;
                    self.note_element(*v, op)?;
                }
            }
            Stmt::Store { place, value, count } => {
                let ty = self.kernel.ty(*value);
                let bytes = i128::from(count.unwrap_or(ty.lanes)) * i128::from(ty.elem.bytes());
                self.access(s, place, bytes, true)?;
            }
            // Not an access: nothing is read, wherever it points.
            Stmt::Prefetch(_) => {}
            Stmt::Loop(l) => {
                // With more turns a loop's accesses are more, so those of the most there can be are proved.
                let count = self.affine(&l.count)?;
                self.must_fit(s, "the count of a loop", &count);
                let most = self.domain.high(&count, i128::MIN);
                if 0 < most {
                    self.domain.set(l.counter.0, Range::of_loop(most, l.step)?);
                    self.block(&l.body);
                }
            }
            Stmt::Row { .. } => self.row(s)?,
            Stmt::Split { quotient, remainder, of, by } => {
                let of = self.affine(of)?;
                let low = self.domain.low(&of, 0);
                if low < 0 {
                    self.fail(s, format!("what is split may be {low}"));
                }
                self.must_fit(s, "what is split", &of);
                self.domain.split(quotient.0, remainder.0, &of, *by)?;
            }
            Stmt::Clamp { index, value, low, high, known } => {
                if *known && let Some(message) = self.contradiction(*value, *low, *high) {
                    self.fail(s, message);
                }
                self.domain.set(index.0, Range::new(i128::from(*low), i128::from(*high))?);
            }
        }
        Some(())
    }

    /// Emitters compute in 64 bits what is compared or divided. Addresses are sums modulo 2^64, of which the proof bounds the result: what
    /// lies between does not matter to them.
    fn must_fit(&mut self, s: &Stmt, what: &str, form: &Affine) {
        let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let (low, high) = (self.domain.low(form, least), self.domain.high(form, most));
        if low < least || most < high {
            self.fail(s, format!("{what} may be {}, which 64 bits do not hold", if low < least { low } else { high }));
        }
    }

    fn access(&mut self, s: &Stmt, place: &Place, bytes: i128, writes: bool) -> Option<()> {
        let at = self.affine(&place.at)?;
        if bytes == 0 {
            return Some(());
        }
        let problem = match place.base {
            Base::Arg(a) => self.in_buffer(s, a, &at, &Affine::number(bytes), &self.domain, writes),
            Base::Row(r) => self.in_row(r, &at, bytes),
        };
        if let Some(message) = problem {
            self.fail(s, message);
        }
        Some(())
    }

    fn note_element(&mut self, v: Value, op: &Op) -> Option<()> {
        let Op::Load { place: Place { base: Base::Arg(arg), at }, count: None } = op else { return Some(()) };
        let ty = self.kernel.ty(v);
        if ty.lanes == 1 && ty.elem.is_int() {
            let at = self.affine(at)?;
            let [low, high] = [self.domain.low(&at, i128::MAX), self.domain.high(&at, i128::MIN)];
            self.elements.insert(v, Element { arg: *arg, low, high, step: self.domain.step(&at), one: at.constant });
        }
        Some(())
    }

    /// Why an element of a table is not known to lie in `low..=high`: the table is read.
    fn contradiction(&mut self, value: Value, low: i64, high: i64) -> Option<String> {
        let Some(element) = self.elements.get(&value) else { return Some("is no element of a table".into()) };
        let name = &self.kernel.args[element.arg.0 as usize].name;
        let (root, offset) = self.program.root(self.call.buffers[element.arg.0 as usize]);
        let table = self.program.buffer(root);
        let (Role::Const, Some(data)) = (table.role, &table.data) else {
            return Some(format!("{name} is b{} {:?}, which is no constant", root.0, table.name));
        };
        let elem = self.kernel.ty(value).elem;
        let size = elem.bytes() as usize;
        // The access itself has been proved to lie in the table, so these are no more than its bytes.
        let step = element.step.max(1);
        let first = element.low.saturating_add(element.one.saturating_sub(element.low).rem_euclid(step));
        let [first, last] = [first, element.high].map(|at| at.saturating_add(i128::from(offset)));
        let range = *self.tables.entry((root, elem, first, last, step)).or_insert_with(|| {
            let (mut least, mut greatest, mut at) = (i64::MAX, i64::MIN, first);
            while at <= last {
                let bytes = usize::try_from(at).ok().and_then(|at| data.get(at..at.checked_add(size)?))?;
                let number = elem.int_of_bytes(bytes);
                (least, greatest) = (least.min(number), greatest.max(number));
                at += step;
            }
            Some((least, greatest))
        });
        match range {
            None => Some(format!("not all elements of {name} that may be read are known")),
            Some((least, _)) if least < low => Some(format!("{name}, b{} {:?}, has {least}", root.0, table.name)),
            Some((_, greatest)) if high < greatest => Some(format!("{name}, b{} {:?}, has {greatest}", root.0, table.name)),
            Some(_) => None,
        }
    }

    /// What is wrong with `bytes` bytes at `at` of an argument.
    fn in_buffer(&self, s: &Stmt, arg: Arg, at: &Affine, bytes: &Affine, domain: &Domain, writes: bool) -> Option<String> {
        let m = self.memory[arg.0 as usize];
        let limit = i128::from(if writes { m.size_bytes } else { m.readable_bytes });
        let Some(end) = at.plus(1, bytes) else { return Some(TOO_LARGE.into()) };
        let (low, high) = (domain.low(at, 0), domain.high(&end, limit));
        if 0 <= low && high <= limit {
            return None;
        }
        let buffer = self.call.buffers[arg.0 as usize];
        let b = self.program.buffer(buffer);
        let verb = match s {
            Stmt::Row { .. } => "may reach",
            _ if writes => "may write",
            _ => "may read",
        };
        let name = &self.kernel.args[arg.0 as usize].name;
        let slack = limit - i128::from(b.size_bytes);
        let slack = if slack == 0 { String::new() } else { format!(" and {slack} readable ones after them") };
        Some(format!("{verb} bytes {low}..{high} of {name}, b{} {:?}, which has {}{slack}", buffer.0, b.name, b.size_bytes))
    }

    fn in_row(&self, row: Row, at: &Affine, bytes: i128) -> Option<String> {
        let Some(length) = &self.rows[row.0 as usize] else {
            return Some(format!("the length of r{} is not known", row.0));
        };
        let left = length.plus(-1, at).and_then(|l| l.plus_number(-bytes));
        let Some(left) = left else { return Some(TOO_LARGE.into()) };
        let (low, least_left) = (self.domain.low(at, 0), self.domain.low(&left, 0));
        if 0 <= low && 0 <= least_left {
            return None;
        }
        Some(match length.as_number() {
            Some(length) => format!("may read bytes {low}..{} of r{}, which has {length}", length - least_left, row.0),
            None if low < 0 => format!("may read from byte {low} of r{} on", row.0),
            None => format!("may read {} bytes past the end of r{}", -least_left, row.0),
        })
    }

    fn row(&mut self, s: &Stmt) -> Option<()> {
        let Stmt::Row { row, arg, at, bytes, guards, fill } = s else { return Some(()) };
        let (at, bytes) = (self.affine(at)?, self.affine(bytes)?);
        let least = self.domain.low(&bytes, 0);
        if least < 0 {
            self.fail(s, format!("the length of the row may be {least}"));
        }
        self.rows[row.0 as usize] = Some(bytes.clone());
        let mut inside = self.domain.clone();
        let (mut always, mut possible) = (true, true);
        for g in guards {
            let (index, limit) = (self.affine(&g.index)?, self.affine(&g.limit)?);
            self.must_fit(s, "the index of a guard", &index);
            self.must_fit(s, "the limit of a guard", &limit);
            let beyond = index.plus(-1, &limit)?;
            let least = self.domain.low(&limit, 0);
            if least < 0 {
                // Emitters compare without sign.
                self.fail(s, format!("the limit of a guard may be {least}"));
            }
            always &= 0 <= self.domain.low(&index, 0) && self.domain.high(&beyond, -1) < 0;
            for fact in guard_facts(&index, &limit)? {
                possible &= inside.learn(fact);
            }
        }
        if possible
            && inside.narrow()
            && let Some(message) = self.in_buffer(s, *arg, &at, &bytes, &inside, false)
        {
            self.fail(s, message);
        }
        let fill_size = i128::from(self.memory[fill.0 as usize].size_bytes);
        let most = self.domain.high(&bytes, fill_size);
        if !always && fill_size < most {
            let name = &self.kernel.args[fill.0 as usize].name;
            self.fail(s, format!("the row may have {most} bytes, but {name} has only {fill_size} to fill it"));
        }
        Some(())
    }
}
