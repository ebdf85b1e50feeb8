//! Kernel to text.
//!
//! The ideas: lines are made one by one, each with the statement it begins, so that an error can show its statement as the whole
//! text does; an index is printed as the sum it is, except that a guarded row's address is written with its guards' indices.

use super::names::*;
use crate::index::{Counter, Index, Monomial, Param};
use crate::program::*;
use crate::types::{Elem, Type};
use std::collections::BTreeSet;

pub fn print_kernel(kernel: &Kernel) -> String {
    let mut printer = Printer::new(kernel);
    printer.whole();
    let mut out = String::new();
    for line in &printer.lines {
        out.push_str(&"  ".repeat(line.depth));
        out.push_str(&line.text);
        out.push('\n');
    }
    out
}

/// The line with which a statement of the kernel (that very one, not one like it) begins.
pub fn print_statement(kernel: &Kernel, statement: &Stmt) -> String {
    let mut printer = Printer::new(kernel);
    printer.whole();
    let found = printer.lines.into_iter().find(|l| l.statement.is_some_and(|s| std::ptr::eq(s, statement)));
    found.map_or_else(String::new, |l| l.text.trim_end_matches(" {").to_string())
}

/// An index as it reads where only the kernel's counters of the first such name are meant.
pub fn print_index(kernel: &Kernel, index: &Index) -> String {
    let mut printer = Printer::new(kernel);
    printer.visible = index.counters().map(|c| c.0).collect();
    printer.index(index)
}

struct Line<'a> {
    depth: usize,
    text: String,
    statement: Option<&'a Stmt>,
}

struct Printer<'a> {
    kernel: &'a Kernel,
    lines: Vec<Line<'a>>,
    depth: usize,
    /// Counters that can be named, innermost last.
    visible: Vec<u32>,
    /// Number that a counter declared next has if nothing is said.
    next_counter: u32,
    /// What has been defined, to find what has not.
    values: BTreeSet<u32>,
    counters: BTreeSet<u32>,
    rows: u32,
}

impl<'a> Printer<'a> {
    fn new(kernel: &'a Kernel) -> Self {
        Printer {
            kernel,
            lines: vec![],
            depth: 0,
            visible: vec![],
            next_counter: 0,
            values: BTreeSet::new(),
            counters: BTreeSet::new(),
            rows: 0,
        }
    }

    fn line(&mut self, text: String, statement: Option<&'a Stmt>) {
        self.lines.push(Line { depth: self.depth, text, statement });
    }

    fn whole(&mut self) {
        let k = self.kernel;
        let args = k.args.iter().map(|a| {
            let access = match a.access {
                Access::Read => "read",
                Access::Write => "write",
                Access::ReadWrite => "read write",
            };
            let place = a.in_place_of.map_or(String::new(), |of| format!(" in place of {}", self.arg(of)));
            format!("{}: {access}{place}", name(&a.name))
        });
        let args = args.collect::<Vec<_>>().join(", ");
        let params: Vec<String> = k.params.iter().map(|p| name(p)).collect();
        let params = if params.is_empty() { String::new() } else { format!("; {}", params.join(", ")) };
        let foreign = k.foreign.as_ref().map_or(String::new(), |f| {
            let options = f.options.map_or(String::new(), |arg| format!(" options {}", self.arg(arg)));
            format!(" foreign {}{options}", name(&f.symbol))
        });
        self.line(format!("kernel {}({args}{params}){foreign} {{", name(&k.name)), None);
        self.depth = 1;
        self.block(&k.body);
        self.unused();
        self.depth = 0;
        self.line("}".into(), None);
    }

    fn unused(&mut self) {
        let mut items = vec![];
        for (i, ty) in self.kernel.types.iter().enumerate() {
            if !self.values.contains(&(i as u32)) {
                items.push(format!("v{i}: {ty}"));
            }
        }
        for (i, n) in self.kernel.counters.iter().enumerate() {
            if !self.counters.contains(&(i as u32)) {
                items.push(format!("{}.{i}", name(n)));
            }
        }
        if self.rows < self.kernel.rows {
            items.push(format!("r{}", self.kernel.rows - 1));
        }
        if !items.is_empty() {
            self.line(format!("unused {}", items.join(", ")), None);
        }
    }

    fn block(&mut self, stmts: &'a [Stmt]) {
        let outside = self.visible.len();
        for s in stmts {
            match s {
                Stmt::Loop(l) => self.print_loop(s, l),
                _ => {
                    let text = self.simple(s);
                    self.line(text, Some(s));
                }
            }
        }
        self.visible.truncate(outside);
    }

    fn print_loop(&mut self, s: &'a Stmt, l: &'a Loop) {
        let count = self.index(&l.count);
        let count = if l.count.terms().len() < 2 { count } else { format!("({count})") };
        let step = if l.step == 1 { String::new() } else { format!(" step {}", l.step) };
        let carry = if l.carried.is_empty() {
            String::new()
        } else {
            let init: Vec<Item> = l.carried.iter().map(|c| (c.init, None)).collect();
            let typed = |v: fn(&Carried) -> Value| l.carried.iter().map(|c| (v(c), self.other_type(v(c), c.init))).collect::<Vec<Item>>();
            format!(" carry {} = {} -> {}", values(&typed(|c| c.inside)), values(&init), values(&typed(|c| c.result)))
        };
        for c in &l.carried {
            self.values.extend([c.inside.0, c.result.0]);
        }
        let counter = self.declare(l.counter);
        self.line(format!("loop {counter} in 0..{count}{step}{carry} {{"), Some(s));
        let outside = self.visible.len();
        self.visible.push(l.counter.0);
        self.depth += 1;
        self.block(&l.body);
        if !l.carried.is_empty() {
            let next: Vec<Item> = l.carried.iter().map(|c| (c.next, None)).collect();
            self.line(format!("next {}", values(&next)), None);
        }
        self.depth -= 1;
        self.visible.truncate(outside);
        self.line("}".into(), None);
    }

    /// The type to print of a carried value: none if it is that of the initial value.
    fn other_type(&self, v: Value, init: Value) -> Option<String> {
        let (ty, init) = (self.kernel.types.get(v.0 as usize), self.kernel.types.get(init.0 as usize));
        (ty != init || ty.is_none()).then(|| ty.map_or("?".into(), Type::to_string))
    }

    fn simple(&mut self, s: &Stmt) -> String {
        match s {
            Stmt::Let(v, op) => {
                self.values.insert(v.0);
                let ty = self.kernel.types.get(v.0 as usize);
                format!("v{}: {} = {}", v.0, ty.map_or("?".into(), Type::to_string), self.op(op, ty.copied()))
            }
            Stmt::Store { place, value, count } => format!("store {} = v{}{}", self.place(place), value.0, first(*count)),
            Stmt::Prefetch(place) => format!("prefetch {}", self.place(place)),
            // Printed with its body.
            Stmt::Loop(_) => String::new(),
            Stmt::Row { row, arg, at, bytes, guards, fill } => {
                self.rows = self.rows.max(row.0.saturating_add(1));
                let at = self.guarded(at, guards);
                let holds: Vec<String> =
                    guards.iter().map(|g| format!("0 <= {} < {}", self.index(&g.index), self.index(&g.limit))).collect();
                let holds = if holds.is_empty() { String::new() } else { format!(" if {}", holds.join(", ")) };
                format!("row r{} = {}[{at}, {} bytes]{holds} else {}", row.0, self.arg(*arg), self.index(bytes), self.arg(*fill))
            }
            Stmt::Split { quotient, remainder, of, by } => {
                let of = self.index(of);
                let (q, r) = (self.declare(*quotient), self.declare(*remainder));
                self.visible.extend([quotient.0, remainder.0]);
                format!("split {q}, {r} = {of} by {by}")
            }
            Stmt::Clamp { index, value, low, high, known } => {
                let i = self.declare(*index);
                self.visible.push(index.0);
                let [word, range] = if *known { ["known", "in"] } else { ["clamp", "to"] };
                format!("{word} {i} = v{} {range} {low}..={high}", value.0)
            }
        }
    }

    fn op(&self, op: &Op, ty: Option<Type>) -> String {
        let operands: Vec<String> = op.operands().iter().map(|v| format!("v{}", v.0)).collect();
        let plain = |word: &str| format!("{word} {}", operands.join(", "));
        let with = |word: &str, n: u32| format!("{word} {}, {n}", operands.join(", "));
        match op {
            Op::Const(Scalar::Int(v)) => format!("const {v}"),
            Op::Const(Scalar::Float(bits)) => format!("const {}", float(*bits, ty)),
            Op::Load { place, count } => format!("load {}{}", self.place(place), first(*count)),
            Op::LoadSplat { place, group, count } => {
                let group = if *group == 1 { String::new() } else { format!(" group {group}") };
                format!("load_splat {}{group}{}", self.place(place), first(*count))
            }
            Op::Unary(op, _) => plain(word_of(UNARY, *op)),
            Op::Binary(op, ..) => plain(word_of(BINARY, *op)),
            Op::ShlImm(_, n) => with("shl", u32::from(*n)),
            Op::ShrImm(_, n) => with("shr", u32::from(*n)),
            Op::RoundingShr(_, n) => with("rounding_shr", u32::from(*n)),
            Op::Compare(cond, ..) => plain(word_of(COND, *cond)),
            Op::Select(..) => plain("select"),
            Op::Fma(..) => plain("fma"),
            Op::FmaLane { acc, a, lane, b } => format!("fma_lane v{}, v{}[{lane}], v{}", acc.0, a.0, b.0),
            Op::MulWide(..) => plain("mul_wide"),
            Op::Dot { group, .. } => plain(&format!("dot.{group}")),
            Op::DotLane { group, acc, a, lane, b } => format!("dot_lane.{group} v{}, v{}[{lane}], v{}", acc.0, a.0, b.0),
            Op::DotMatrix { .. } => plain("dot_matrix"),
            Op::Convert(_, rounding) => plain(word_of(CONVERT, *rounding)),
            Op::FromHalf(_) => plain("from_half"),
            Op::ToHalf(_) => plain("to_half"),
            Op::Widen(_) => plain("widen"),
            Op::Narrow(_) => plain("narrow"),
            Op::NarrowSat(_) => plain("narrow_sat"),
            Op::Bitcast(_) => plain("bitcast"),
            Op::Splat(_) => plain("splat"),
            Op::Lane(_, n) => with("lane", *n),
            Op::Concat(..) => plain("concat"),
            Op::Slice(_, n) => with("slice", *n),
            Op::Interleave(..) => plain("interleave"),
            Op::Repeat { times, start, .. } => with("repeat", *times) + &format!(", {start}"),
            Op::Permute { segment, .. } => plain(&format!("permute.{segment}")),
            Op::Deinterleave(_, n) => with("deinterleave", *n),
            Op::Reduce(op, _) | Op::ReduceEach(op, _) => plain(word_of(REDUCE, *op)),
            Op::Lookup { place, index } => format!("lookup {}, v{}", self.place(place), index.0),
            Op::Requantize { range, .. } => {
                let range = match range {
                    ShiftRange::Uniform(n) => n.to_string(),
                    ShiftRange::Right => "right".into(),
                    ShiftRange::Any => "any".into(),
                };
                plain(&format!("requantize.{range}"))
            }
        }
    }

    fn arg(&self, arg: Arg) -> String {
        let Some(a) = self.kernel.args.get(arg.0 as usize) else {
            return format!("?.{}", arg.0);
        };
        let first = self.kernel.args.iter().position(|other| other.name == a.name);
        let plain = first == Some(arg.0 as usize) && is_word(&a.name) && !is_row(&a.name);
        if plain { a.name.clone() } else { format!("{}.{}", name(&a.name), arg.0) }
    }

    fn place(&self, place: &Place) -> String {
        let base = match place.base {
            Base::Arg(a) => self.arg(a),
            Base::Row(r) => format!("r{}", r.0),
        };
        format!("{base}[{}]", self.index(&place.at))
    }

    /// Text of a counter where it is declared.
    fn declare(&mut self, counter: Counter) -> String {
        self.counters.insert(counter.0);
        let number = std::mem::replace(&mut self.next_counter, counter.0.saturating_add(1));
        match self.kernel.counters.get(counter.0 as usize) {
            None => format!("?.{}", counter.0),
            Some(n) if is_word(n) && number == counter.0 => n.clone(),
            Some(n) => format!("{}.{}", name(n), counter.0),
        }
    }

    fn counter(&self, counter: Counter) -> String {
        let Some(n) = self.kernel.counters.get(counter.0 as usize) else {
            return format!("?.{}", counter.0);
        };
        let plain = is_word(n) && self.visible_as(n) == Some(counter.0);
        if plain { n.clone() } else { format!("{}.{}", name(n), counter.0) }
    }

    /// The counter that a bare name means.
    fn visible_as(&self, name: &str) -> Option<u32> {
        self.visible.iter().rev().copied().find(|&c| self.kernel.counters.get(c as usize).is_some_and(|n| n == name))
    }

    fn param(&self, param: Param) -> String {
        let Some(n) = self.kernel.params.get(param.0 as usize) else {
            return format!("?${}", param.0);
        };
        let first = self.kernel.params.iter().position(|other| other == n);
        let plain = is_word(n) && self.visible_as(n).is_none() && first == Some(param.0 as usize);
        if plain { n.clone() } else { format!("{}${}", name(n), param.0) }
    }

    /// Counters first, then parameters, the number last.
    fn index(&self, index: &Index) -> String {
        let mut out = String::new();
        for t in index.terms().iter().filter(|t| t.counter.is_some()).chain(index.terms().iter().filter(|t| t.counter.is_none())) {
            if !t.params.is_empty() || t.counter.is_some() {
                let factors = t.counter.map(|c| self.counter(c));
                self.term(&mut out, factors, t);
            }
        }
        match index.constant_part() {
            0 if !out.is_empty() => {}
            c => number(&mut out, c),
        }
        out
    }

    /// Appends ` + first*coefficient*params`, or its difference.
    fn term(&self, out: &mut String, first: Option<String>, scale: &Monomial) {
        let mut factors: Vec<String> = first.into_iter().collect();
        let k = scale.coefficient.unsigned_abs();
        if k != 1 {
            factors.push(k.to_string());
        }
        factors.extend(scale.params.iter().map(|p| self.param(*p)));
        sign(out, scale.coefficient < 0);
        out.push_str(&if factors.is_empty() { "1".into() } else { factors.join("*") });
    }

    /// An address in which what is guarded shows: `(oy + ky - 1)*C*56 + …`.
    fn guarded(&self, at: &Index, guards: &[Guard]) -> String {
        let mut rest = at.clone();
        let mut out = String::new();
        for g in guards {
            let Some((scale, without)) = taken_out(&rest, &g.index) else { continue };
            let index = self.index(&g.index);
            let bare = g.index.terms().len() == 1 && g.index.terms()[0].coefficient == 1;
            let alone = scale.coefficient == 1 && scale.params.is_empty() && out.is_empty();
            self.term(&mut out, Some(if bare || alone { index } else { format!("({index})") }), &scale);
            rest = without;
        }
        if out.is_empty() {
            return self.index(&rest);
        }
        if rest.terms().is_empty() {
            return out;
        }
        let rest = self.index(&rest);
        match rest.strip_prefix('-') {
            Some(r) => format!("{out} - {r}"),
            None => format!("{out} + {rest}"),
        }
    }
}

/// `at = scale · guarded + rest`, where no counter of `guarded` is left in the rest.
fn taken_out(at: &Index, guarded: &Index) -> Option<(Monomial, Index)> {
    let lead = guarded.terms().iter().find(|t| t.counter.is_some() && t.params.is_empty())?;
    let term = at.terms().iter().find(|t| t.counter == lead.counter)?;
    let coefficient = term.coefficient.checked_div(lead.coefficient)?;
    if coefficient.checked_mul(lead.coefficient)? != term.coefficient {
        return None;
    }
    let scale = Monomial { coefficient, params: term.params.clone(), counter: None };
    // Far from where products wrap.
    let small = |i: &Index| i.terms().iter().all(|t| t.coefficient.unsigned_abs() < 1 << 31);
    if !small(at) || !small(guarded) {
        return None;
    }
    let scaled = scale.params.iter().fold(guarded.clone() * coefficient, |i, &p| i * p);
    let rest = at.clone() - scaled;
    let gone = guarded.counters().all(|g| rest.counters().all(|c| c != g));
    gone.then_some((scale, rest))
}

fn sign(out: &mut String, negative: bool) {
    out.push_str(match (out.is_empty(), negative) {
        (true, false) => "",
        (true, true) => "-",
        (false, false) => " + ",
        (false, true) => " - ",
    });
}

fn number(out: &mut String, n: i64) {
    sign(out, n < 0);
    out.push_str(&n.unsigned_abs().to_string());
}

fn first(count: Option<u32>) -> String {
    count.map_or(String::new(), |n| format!(" first {n}"))
}

/// A decimal number if it gives back the bits, else the bits.
fn float(bits: u64, ty: Option<Type>) -> String {
    match ty.map(|t| t.elem) {
        Some(Elem::F32) if bits <= u64::from(u32::MAX) && !f32::from_bits(bits as u32).is_nan() => {
            format!("{:?}", f32::from_bits(bits as u32))
        }
        Some(Elem::F64) if !f64::from_bits(bits).is_nan() => format!("{:?}", f64::from_bits(bits)),
        _ => format!("0x{bits:x}"),
    }
}

/// A value in a list and the type to print with it.
type Item = (Value, Option<String>);

/// A list in which runs are contracted: two equal values, or three in a row.
fn values(items: &[Item]) -> String {
    let mut out = vec![];
    let mut i = 0;
    while i < items.len() {
        let (v, ty) = &items[i];
        let run = |step: u32| {
            let same = |(k, (w, t)): (usize, &Item)| Some(w.0) == v.0.checked_add(k as u32 * step) && t == ty;
            items[i..].iter().enumerate().take_while(|&x| same(x)).count()
        };
        let (same, consecutive) = (run(0), run(1));
        let (n, text) = if 1 < same {
            (same, format!("v{} x{same}", v.0))
        } else if 2 < consecutive {
            (consecutive, format!("v{}..=v{}", v.0, v.0 + consecutive as u32 - 1))
        } else {
            (1, format!("v{}", v.0))
        };
        out.push(match ty {
            None => text,
            Some(ty) => format!("{text}: {ty}"),
        });
        i += n;
    }
    out.join(", ")
}
