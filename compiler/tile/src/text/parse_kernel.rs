//! Text to kernel.
//!
//! The idea: names are resolved while reading, as the printer chose them: innermost visible counter, then parameter.

use super::names::*;
use super::parse::{Cursor, Lines, Problem};
use crate::index::{Counter, Index, Monomial, Param};
use crate::program::*;
use crate::types::{Elem, Type};
use std::collections::BTreeMap;

/// Loops in loops and brackets in brackets: far more than any kernel has, far less than the stack holds.
const DEPTH_LIMIT: usize = 64;
/// Values of one list, so that a text of a few bytes cannot ask for all memory.
const LIST_LIMIT: usize = 1 << 16;

const TERMS_LIMIT: usize = 1 << 10;
const TOO_LARGE: &str = "expected an index of 64 bits, found a larger number";

/// An index while it is read: coefficients by counter and parameters.
type Sum = BTreeMap<(Option<Counter>, Vec<Param>), i128>;

#[derive(Default)]
struct Reader {
    args: Vec<KernelArg>,
    params: Vec<String>,
    types: BTreeMap<u32, Type>,
    counters: BTreeMap<u32, String>,
    /// Counters that a bare name can mean, innermost last.
    visible: Vec<u32>,
    next_counter: u32,
    rows: u32,
    depth: usize,
    /// Counters named by number, to be checked when all are known: (line, number, name).
    numbered: Vec<(usize, u32, String)>,
    /// Of the line being read.
    line: usize,
    /// Carried values whose type is that of another one: (line, value, initial value).
    same_type: Vec<(usize, u32, u32)>,
}

/// A kernel whose first word has been read.
pub fn kernel<'a>(c: &mut Cursor<'a>, lines: &mut Lines<'a>) -> Result<Kernel, Problem> {
    let mut r = Reader { line: lines.number, ..Reader::default() };
    let name = c.name()?;
    let foreign = r.signature(c)?;
    let start = lines.number;
    let (body, next) = r.block(lines)?;
    if let Some(next) = next {
        return Err(format!("expected `next` only in loops, found it with {} values", next.len()).into());
    }
    r.inherit_types()?;
    let types = all(r.types, "value v").map_err(|m| Problem::on_line(start, m))?;
    for (line, n, name) in &r.numbered {
        if r.counters.get(n) != Some(name) {
            return Err(Problem::on_line(*line, format!("there is no counter {name} with number {n}")));
        }
    }
    let counters = all(r.counters, "counter ").map_err(|m| Problem::on_line(start, m))?;
    Ok(Kernel { name, args: r.args, params: r.params, types, counters, rows: r.rows, body, foreign })
}

/// The items by number; every number below the largest must be there.
fn all<T>(items: BTreeMap<u32, T>, what: &str) -> Result<Vec<T>, String> {
    match items.keys().enumerate().find(|(i, n)| *i as u32 != **n) {
        Some((i, n)) => Err(format!("{what}{i} is not defined, but {n} is")),
        None => Ok(items.into_values().collect()),
    }
}

impl Reader {
    fn signature(&mut self, c: &mut Cursor) -> Result<Option<Foreign>, String> {
        let mut in_place = vec![];
        c.expect("(")?;
        while !c.next_is(&[";", ")"]) {
            c.comma(self.args.is_empty())?;
            let name = c.name()?;
            c.expect(":")?;
            let access = match (c.take("read"), c.take("write")) {
                (true, false) => Access::Read,
                (false, true) => Access::Write,
                (true, true) => Access::ReadWrite,
                (false, false) => return Err(c.expected("`read` or `write`")),
            };
            if c.take("in") {
                c.expect("place")?;
                c.expect("of")?;
                // May name an argument further on.
                in_place.push((self.args.len(), c.clone()));
                self.arg_name(c)?;
            }
            self.args.push(KernelArg { name, access, in_place_of: None });
        }
        for (i, mut at) in in_place {
            self.args[i].in_place_of = Some(self.arg(&mut at)?);
        }
        if c.take(";") {
            while !c.next_is(&[")"]) {
                c.comma(self.params.is_empty())?;
                self.params.push(c.name()?);
            }
        }
        c.expect(")")?;
        let mut foreign = None;
        if c.take("foreign") {
            let symbol = c.name()?;
            let options = if c.take("options") { Some(self.arg(c)?) } else { None };
            foreign = Some(Foreign { symbol, options });
        }
        c.expect("{")?;
        c.expect_end()?;
        Ok(foreign)
    }

    /// Statements up to the closing bracket, and the values of `next` if the block ends with it.
    fn block(&mut self, lines: &mut Lines) -> Result<(Vec<Stmt>, Option<Vec<Value>>), Problem> {
        let outside = self.visible.len();
        let (mut stmts, mut next) = (vec![], None);
        loop {
            let Some(mut c) = lines.read() else {
                return Err(Problem::on_line(self.line, "expected a `}` for this block, found the end of the text".into()));
            };
            self.line = lines.number;
            let located = |m: String| Problem::on_line(lines.number, m);
            if c.take("}") {
                c.expect_end().map_err(located)?;
                break;
            }
            if next.is_some() {
                return Err(located(c.expected("`}` after `next`")));
            }
            if c.take("next") {
                next = Some(self.values(&mut c).map_err(located)?.into_iter().map(|(v, _)| v).collect());
            } else if c.take("unused") {
                self.unused(&mut c).map_err(located)?;
            } else if c.take("loop") {
                stmts.push(self.read_loop(&mut c, lines)?);
                continue;
            } else {
                stmts.push(self.simple(&mut c).map_err(located)?);
            }
            c.expect_end().map_err(|m| Problem::on_line(lines.number, m))?;
        }
        self.visible.truncate(outside);
        Ok((stmts, next))
    }

    fn unused(&mut self, c: &mut Cursor) -> Result<(), String> {
        loop {
            // A counter has a number after its name, which may look like the others.
            let before = c.clone();
            if let Ok(v) = c.numbered("v", "")
                && c.take(":")
            {
                let ty = self.ty(c)?;
                self.define(v, ty)?;
            } else {
                *c = before.clone();
                match c.numbered("r", "") {
                    Ok(r) if !c.next_is(&["."]) => self.define_row(r)?,
                    _ => {
                        *c = before;
                        self.declare(c)?;
                    }
                }
            }
            if !c.take(",") {
                return Ok(());
            }
        }
    }

    fn read_loop(&mut self, c: &mut Cursor, lines: &mut Lines) -> Result<Stmt, Problem> {
        let line = lines.number;
        let mut l = self.loop_head(c).map_err(|m| Problem::on_line(line, m))?;
        self.depth += 1;
        if DEPTH_LIMIT < self.depth {
            return Err(Problem::on_line(line, format!("expected at most {DEPTH_LIMIT} loops in each other")));
        }
        let outside = self.visible.len();
        self.visible.push(l.counter.0);
        let (body, next) = self.block(lines)?;
        self.visible.truncate(outside);
        self.depth -= 1;
        let next = next.unwrap_or_default();
        if next.len() != l.carried.len() {
            let message = format!("expected {} values after `next`, found {}", l.carried.len(), next.len());
            return Err(Problem::on_line(self.line, message));
        }
        for (c, next) in l.carried.iter_mut().zip(next) {
            c.next = next;
        }
        l.body = body;
        Ok(Stmt::Loop(l.into()))
    }

    /// The line after the word `loop`; body and next values are still to come.
    fn loop_head(&mut self, c: &mut Cursor) -> Result<Loop, String> {
        let counter = self.declare(c)?;
        c.expect("in")?;
        c.expect("0..")?;
        let count = self.index(c)?;
        let step = if c.take("step") { c.number()? } else { 1 };
        let mut carried = vec![];
        if c.take("carry") {
            let inside = self.values(c)?;
            c.expect("=")?;
            let init = self.values(c)?;
            c.expect("->")?;
            let result = self.values(c)?;
            if inside.len() != init.len() || result.len() != init.len() {
                let (i, r) = (inside.len(), result.len());
                return Err(format!("expected equally many carried values, found {i} inside, {} initial and {r} results", init.len()));
            }
            for (((inside, inside_ty), (init, _)), (result, result_ty)) in inside.into_iter().zip(init).zip(result) {
                for (v, ty) in [(inside, inside_ty), (result, result_ty)] {
                    match ty {
                        Some(ty) => self.define(v.0, ty)?,
                        None => self.same_type.push((self.line, v.0, init.0)),
                    }
                }
                carried.push(Carried { init, inside, next: init, result });
            }
        }
        c.expect("{")?;
        c.expect_end()?;
        Ok(Loop { counter, count, step, carried, body: vec![] })
    }

    /// Gives carried values their types, outer loops first.
    fn inherit_types(&mut self) -> Result<(), Problem> {
        for (line, v, init) in std::mem::take(&mut self.same_type) {
            let ty = self.types.get(&init).copied();
            let ty = ty.ok_or_else(|| Problem::on_line(line, format!("expected a value for v{v}, but v{init} is not defined before")))?;
            self.line = line;
            self.define(v, ty).map_err(|m| Problem::on_line(line, m))?;
        }
        Ok(())
    }

    fn define(&mut self, v: u32, ty: Type) -> Result<(), String> {
        match self.types.insert(v, ty) {
            Some(before) if before != ty => Err(format!("expected v{v} to have one type, found {before} and {ty}")),
            _ => Ok(()),
        }
    }

    fn define_row(&mut self, row: u32) -> Result<(), String> {
        self.rows = self.rows.max(row.checked_add(1).ok_or("expected a smaller row number")?);
        Ok(())
    }

    fn simple(&mut self, c: &mut Cursor) -> Result<Stmt, String> {
        if let Ok(v) = c.numbered("v", "") {
            c.expect(":")?;
            let ty = self.ty(c)?;
            self.define(v, ty)?;
            c.expect("=")?;
            return Ok(Stmt::Let(Value(v), self.op(c, ty)?));
        }
        if c.take("store") {
            let place = self.place(c)?;
            c.expect("=")?;
            return Ok(Stmt::Store { place, value: value(c)?, count: first(c)? });
        }
        if c.take("prefetch") {
            return Ok(Stmt::Prefetch(self.place(c)?));
        }
        if c.take("row") {
            let row = c.numbered("r", "a row such as `r0`")?;
            self.define_row(row)?;
            c.expect("=")?;
            let arg = self.arg(c)?;
            c.expect("[")?;
            let at = self.index(c)?;
            c.expect(",")?;
            let bytes = self.index(c)?;
            c.expect("bytes")?;
            c.expect("]")?;
            let mut guards = vec![];
            if c.take("if") {
                while guards.is_empty() || c.take(",") {
                    c.expect("0")?;
                    c.expect("<=")?;
                    let index = self.index(c)?;
                    c.expect("<")?;
                    guards.push(Guard { index, limit: self.index(c)? });
                }
            }
            c.expect("else")?;
            return Ok(Stmt::Row { row: Row(row), arg, at, bytes, guards: guards.into(), fill: self.arg(c)? });
        }
        if c.take("split") {
            let quotient = self.declare(c)?;
            c.expect(",")?;
            let remainder = self.declare(c)?;
            c.expect("=")?;
            let of = self.index(c)?;
            c.expect("by")?;
            self.visible.extend([quotient.0, remainder.0]);
            return Ok(Stmt::Split { quotient, remainder, of, by: c.number()? });
        }
        for (word, range, known) in [("clamp", "to", false), ("known", "in", true)] {
            if c.take(word) {
                let index = self.declare(c)?;
                c.expect("=")?;
                let value = value(c)?;
                c.expect(range)?;
                let low = c.number()?;
                c.expect("..=")?;
                self.visible.push(index.0);
                return Ok(Stmt::Clamp { index, value, low, high: c.number()?, known });
            }
        }
        Err(c.expected("a statement"))
    }

    fn op(&mut self, c: &mut Cursor, ty: Type) -> Result<Op, String> {
        let mut at_word = c.clone();
        let word = c.word();
        let two = |c: &mut Cursor| -> Result<(Value, Value), String> {
            let a = value(c)?;
            c.expect(",")?;
            Ok((a, value(c)?))
        };
        let three = |c: &mut Cursor| -> Result<(Value, Value, Value), String> {
            let (a, b) = two(c)?;
            c.expect(",")?;
            Ok((a, b, value(c)?))
        };
        let with_number = |c: &mut Cursor| -> Result<(Value, u32), String> {
            let a = value(c)?;
            c.expect(",")?;
            Ok((a, c.number()?))
        };
        let with_lane = |c: &mut Cursor| -> Result<(Value, Value, u32, Value), String> {
            let (acc, a) = two(c)?;
            c.expect("[")?;
            let lane = c.number()?;
            c.expect("]")?;
            c.expect(",")?;
            Ok((acc, a, lane, value(c)?))
        };
        if let Some(op) = item_of(UNARY, word) {
            return Ok(Op::Unary(op, value(c)?));
        }
        if let Some(cond) = item_of(COND, word) {
            let (a, b) = two(c)?;
            return Ok(Op::Compare(cond, a, b));
        }
        if let Some(op) = item_of(REDUCE, word) {
            let first = value(c)?;
            let mut all = vec![first];
            while c.take(",") {
                all.push(value(c)?);
            }
            return Ok(if all.len() == 1 { Op::Reduce(op, first) } else { Op::ReduceEach(op, all.into()) });
        }
        if let Some(rounding) = item_of(CONVERT, word) {
            return Ok(Op::Convert(value(c)?, rounding));
        }
        Ok(match word {
            "const" => Op::Const(scalar(c, ty)?),
            "load" => Op::Load { place: self.place(c)?, count: first(c)? },
            "load_splat" => {
                let place = self.place(c)?;
                let group = if c.take("group") { c.number()? } else { 1 };
                Op::LoadSplat { place, group, count: first(c)? }
            }
            "shl" | "shr" => {
                let a = value(c)?;
                c.expect(",")?;
                match (word, value(c)) {
                    ("shl", Ok(n)) => Op::Binary(Binary::Shl, a, n),
                    ("shl", Err(_)) => Op::ShlImm(a, c.number()?),
                    (_, Ok(n)) => Op::Binary(Binary::Shr, a, n),
                    (_, Err(_)) => Op::ShrImm(a, c.number()?),
                }
            }
            "rounding_shr" => {
                let a = value(c)?;
                c.expect(",")?;
                Op::RoundingShr(a, c.number()?)
            }
            "select" => {
                let (m, a, b) = three(c)?;
                Op::Select(m, a, b)
            }
            "fma" => {
                let (x, y, z) = three(c)?;
                Op::Fma(x, y, z)
            }
            "fma_lane" => {
                let (acc, a, lane, b) = with_lane(c)?;
                Op::FmaLane { acc, a, lane, b }
            }
            "mul_wide" => {
                let (a, b) = two(c)?;
                Op::MulWide(a, b)
            }
            "dot" => {
                c.expect(".")?;
                let group = c.number()?;
                let (acc, a, b) = three(c)?;
                Op::Dot { group, acc, a, b }
            }
            "dot_lane" => {
                c.expect(".")?;
                let group = c.number()?;
                let (acc, a, lane, b) = with_lane(c)?;
                Op::DotLane { group, acc, a, lane, b }
            }
            "dot_matrix" => {
                let (acc, a, b) = three(c)?;
                Op::DotMatrix { acc, a, b }
            }
            "from_half" => Op::FromHalf(value(c)?),
            "to_half" => Op::ToHalf(value(c)?),
            "widen" => Op::Widen(value(c)?),
            "narrow" => Op::Narrow(value(c)?),
            "narrow_sat" => Op::NarrowSat(value(c)?),
            "bitcast" => Op::Bitcast(value(c)?),
            "splat" => Op::Splat(value(c)?),
            "repeat" => {
                let (a, times) = with_number(c)?;
                c.expect(",")?;
                Op::Repeat { a, times, start: c.number()? }
            }
            "permute" => {
                c.expect(".")?;
                let segment = c.number()?;
                let (a, index) = two(c)?;
                Op::Permute { a, index, segment }
            }
            "lane" => {
                let (a, n) = with_number(c)?;
                Op::Lane(a, n)
            }
            "concat" => {
                let (a, b) = two(c)?;
                Op::Concat(a, b)
            }
            "slice" => {
                let (a, n) = with_number(c)?;
                Op::Slice(a, n)
            }
            "interleave" => {
                let (a, b) = two(c)?;
                Op::Interleave(a, b)
            }
            "deinterleave" => {
                let (a, n) = with_number(c)?;
                Op::Deinterleave(a, n)
            }
            "lookup" => {
                let place = self.place(c)?;
                c.expect(",")?;
                Op::Lookup { place, index: value(c)? }
            }
            "requantize" => {
                c.expect(".")?;
                let range = if c.take("right") {
                    ShiftRange::Right
                } else if c.take("any") {
                    ShiftRange::Any
                } else {
                    ShiftRange::Uniform(c.number()?)
                };
                let (x, multiplier, shift) = three(c)?;
                Op::Requantize { x, multiplier, shift, range }
            }
            _ => match item_of(BINARY, word) {
                Some(op) => {
                    let (a, b) = two(c)?;
                    Op::Binary(op, a, b)
                }
                None => return Err(at_word.expected("an operation")),
            },
        })
    }

    fn ty(&self, c: &mut Cursor) -> Result<Type, String> {
        let mut before = c.clone();
        let word = c.word();
        let (elem, lanes) = word.split_once('x').unwrap_or((word, "1"));
        let elem = match elem {
            "i8" => Some(Elem::I8),
            "u8" => Some(Elem::U8),
            "i16" => Some(Elem::I16),
            "u16" => Some(Elem::U16),
            "i32" => Some(Elem::I32),
            "u32" => Some(Elem::U32),
            "i64" => Some(Elem::I64),
            "f32" => Some(Elem::F32),
            "f64" => Some(Elem::F64),
            _ => elem.strip_prefix('m').and_then(|b| b.parse().ok()).map(Elem::Mask),
        };
        match (elem, lanes.parse()) {
            (Some(elem), Ok(lanes)) => Ok(Type { elem, lanes }),
            _ => Err(before.expected("a type such as `i8x16`")),
        }
    }

    /// A list of values, with the types that are written.
    fn values(&self, c: &mut Cursor) -> Result<Vec<(Value, Option<Type>)>, String> {
        let mut out = vec![];
        loop {
            let first = value(c)?.0;
            let (last, times) = if c.take("..=") { (value(c)?.0, 1) } else { (first, if c.take("x") { c.number::<usize>()? } else { 1 }) };
            let length = (u64::from(last) + 1).saturating_sub(u64::from(first)).saturating_mul(times as u64);
            if length == 0 || (LIST_LIMIT - out.len()) as u64 <= length {
                return Err(format!("expected between 1 and {LIST_LIMIT} values, found a run of {length}"));
            }
            let ty = if c.take(":") { Some(self.ty(c)?) } else { None };
            for _ in 0..times {
                out.extend((first..=last).map(|v| (Value(v), ty)));
            }
            if !c.take(",") {
                return Ok(out);
            }
        }
    }

    /// A new counter.
    fn declare(&mut self, c: &mut Cursor) -> Result<Counter, String> {
        let name = c.name()?;
        let number = if c.take(".") { c.number()? } else { self.next_counter };
        self.next_counter = number.checked_add(1).ok_or("expected a smaller counter number")?;
        match self.counters.insert(number, name.clone()) {
            Some(before) if before != name => Err(format!("expected one name for counter {number}, found {before} and {name}")),
            _ => Ok(Counter(number)),
        }
    }

    /// Name and number of an argument.
    fn arg_name(&self, c: &mut Cursor) -> Result<(String, Option<u32>), String> {
        let name = c.name()?;
        let number = if c.take(".") { Some(c.number()?) } else { None };
        Ok((name, number))
    }

    fn arg(&self, c: &mut Cursor) -> Result<Arg, String> {
        let mut before = c.clone();
        let (name, number) = self.arg_name(c)?;
        let found = match number {
            None => self.args.iter().position(|a| a.name == name),
            Some(n) => self.args.get(n as usize).filter(|a| a.name == name).map(|_| n as usize),
        };
        found.map(|i| Arg(i as u32)).ok_or_else(|| before.expected("an argument of the kernel"))
    }

    fn place(&mut self, c: &mut Cursor) -> Result<Place, String> {
        let mut as_row = c.clone();
        let base = match as_row.numbered("r", "") {
            Ok(r) if !as_row.rest.starts_with('.') => {
                *c = as_row;
                Base::Row(Row(r))
            }
            _ => Base::Arg(self.arg(c)?),
        };
        c.expect("[")?;
        let at = self.index(c)?;
        c.expect("]")?;
        Ok(Place { base, at })
    }

    fn index(&mut self, c: &mut Cursor) -> Result<Index, String> {
        let mut terms = vec![];
        for (key, coefficient) in self.sum(c, 0)? {
            // Checked, because an `Index` would wrap.
            let coefficient = i64::try_from(coefficient).map_err(|_| format!("expected an index of 64 bits, found {coefficient}"))?;
            terms.push(Monomial { coefficient, params: key.1.into(), counter: key.0 });
        }
        Ok(Index::from_terms(terms))
    }

    fn sum(&mut self, c: &mut Cursor, depth: usize) -> Result<Sum, String> {
        let mut sum = Sum::new();
        let mut negative = c.take("-");
        loop {
            for (key, coefficient) in self.product(c, depth)? {
                let s: &mut i128 = sum.entry(key).or_default();
                let sum = if negative { s.checked_sub(coefficient) } else { s.checked_add(coefficient) };
                *s = sum.ok_or(TOO_LARGE)?;
            }
            negative = match (c.take("+"), c.take("-")) {
                (true, false) => false,
                (false, true) => true,
                _ => return Ok(sum),
            };
        }
    }

    fn product(&mut self, c: &mut Cursor, depth: usize) -> Result<Sum, String> {
        let mut product = self.factor(c, depth)?;
        while c.take("*") {
            let factor = self.factor(c, depth)?;
            let mut next = Sum::new();
            for ((counter, params), a) in &product {
                for ((other, more), b) in &factor {
                    if counter.is_some() && other.is_some() {
                        return Err("expected an index linear in the counters, found a product of two".into());
                    }
                    let mut params = [params.as_slice(), more.as_slice()].concat();
                    params.sort();
                    let s = next.entry((counter.or(*other), params)).or_default();
                    *s = a.checked_mul(*b).and_then(|ab| s.checked_add(ab)).ok_or(TOO_LARGE)?;
                }
            }
            if TERMS_LIMIT < next.len() {
                return Err("expected a shorter index".into());
            }
            product = next;
        }
        Ok(product)
    }

    fn factor(&mut self, c: &mut Cursor, depth: usize) -> Result<Sum, String> {
        if c.take("(") {
            if DEPTH_LIMIT < depth {
                return Err(format!("expected at most {DEPTH_LIMIT} brackets in each other"));
            }
            let inner = self.sum(c, depth + 1)?;
            c.expect(")")?;
            return Ok(inner);
        }
        let one = |coefficient: i128, params, counter| Sum::from([((counter, params), coefficient)]);
        if c.rest.trim_start().starts_with(|d: char| d.is_ascii_digit()) {
            return Ok(one(i128::from(c.number::<u64>()?), vec![], None));
        }
        let mut before = c.clone();
        let Ok(name) = c.name() else {
            return Err(before.expected("an index"));
        };
        if c.rest.starts_with("..") {
            // Not a number: the end of a range follows.
        } else if c.take(".") {
            let n = c.number()?;
            self.numbered.push((self.line, n, name));
            return Ok(one(1, vec![], Some(Counter(n))));
        } else if c.take("$") {
            let n: u32 = c.number()?;
            return match self.params.get(n as usize) {
                Some(p) if *p == name => Ok(one(1, vec![Param(n)], None)),
                _ => Err(before.expected("a parameter")),
            };
        }
        if let Some(&n) = self.visible.iter().rev().find(|n| self.counters.get(n) == Some(&name)) {
            return Ok(one(1, vec![], Some(Counter(n))));
        }
        match self.params.iter().position(|p| *p == name) {
            Some(n) => Ok(one(1, vec![Param(n as u32)], None)),
            None => Err(before.expected("a counter or parameter")),
        }
    }
}

fn value(c: &mut Cursor) -> Result<Value, String> {
    Ok(Value(c.numbered("v", "a value such as `v0`")?))
}

fn first(c: &mut Cursor) -> Result<Option<u32>, String> {
    if c.take("first") { Ok(Some(c.number()?)) } else { Ok(None) }
}

fn scalar(c: &mut Cursor, ty: Type) -> Result<Scalar, String> {
    let mut before = c.clone();
    let word = c.while_chars(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
    let bits = match (word.strip_prefix("0x"), ty.elem) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (None, Elem::F32) if !is_integer(word) => word.parse::<f32>().ok().map(|f| u64::from(f.to_bits())),
        (None, Elem::F64) if !is_integer(word) => word.parse::<f64>().ok().map(f64::to_bits),
        _ => return word.parse().map(Scalar::Int).map_err(|_| before.expected("a number")),
    };
    bits.map(Scalar::Float).ok_or_else(|| before.expected("a number"))
}

fn is_integer(word: &str) -> bool {
    word.strip_prefix('-').unwrap_or(word).bytes().all(|b| b.is_ascii_digit())
}
