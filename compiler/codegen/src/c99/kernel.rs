//! A tile kernel as a C function.
//!
//! Not the calls of kernels and not constants (`program.rs`). The ideas: a lane is a variable, constant unless it goes round a loop, of a type that holds its
//! number: small integers are `int32_t`, as C computes with them anyway; what C leaves open (overflow, shifts, conversions out of range) is
//! a function of the library (`library.rs`), and what it defines is an operator of C. An index is an expression of `ptrdiff_t`.

use super::dots::Run;
use super::lanes::{Tap, Taps, TapsCall, rescale_name};
use super::library;
use crate::clif::EmitError;
use cranelite_tile::{
    Access, Arg, Base, Binary, Cond, Counter, Elem, Index, Kernel, Loop, Op, Place, Reduce, Rounding, Scalar, ShiftRange, Stmt, Type,
    Unary, Value, halves,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The parameters of a kernel's function: a pointer per buffer, then a `ptrdiff_t` per index parameter.
pub fn parameters(kernel: &Kernel) -> String {
    let overlaps = |i: usize| kernel.args.iter().enumerate().any(|(j, a)| a.in_place_of.is_some_and(|of| j == i || of.0 as usize == i));
    let pointers = kernel.args.iter().enumerate().map(|(i, a)| {
        let constant = if a.access == Access::Read { "const " } else { "" };
        let restrict = if overlaps(i) { "" } else { "restrict " };
        format!("{constant}uint8_t *{restrict}a{i}_{}", a.name)
    });
    let params = kernel.params.iter().enumerate().map(|(i, name)| format!("ptrdiff_t p{i}_{name}"));
    let all: Vec<String> = pointers.chain(params).collect();
    if all.is_empty() { "void".into() } else { all.join(", ") }
}

/// `static void NAME(...) { ... }`
pub fn function(kernel: &Kernel, name: &str) -> Result<String, EmitError> {
    let expanded = halves::expanded(kernel);
    let kernel = expanded.as_ref().unwrap_or(kernel);
    let mut e = Emitter {
        kernel,
        out: String::new(),
        depth: 1,
        uses: vec![0; kernel.types.len()],
        definitions: vec![None; kernel.types.len()],
        arrays: BTreeMap::new(),
        tables: 0,
        taps: None,
        changes: 0,
        defined: vec![0; kernel.types.len()],
        error: None,
        sums: 0,
    };
    e.count(&kernel.body);
    e.stmts(&kernel.body);
    if let Some(what) = e.error {
        return Err(EmitError { kernel: kernel.name.clone(), what });
    }
    let body = without_unused(&e.out);
    let names: BTreeSet<&str> = words(&body).collect();
    let args = kernel.args.iter().enumerate().map(|(i, a)| format!("a{i}_{}", a.name));
    let params = kernel.params.iter().enumerate().map(|(i, p)| format!("p{i}_{p}"));
    let unused: String = args.chain(params).filter(|n| !names.contains(n.as_str())).map(|name| format!("    (void){name};\n")).collect();
    Ok(format!("static void {name}({})\n{{\n{unused}{body}}}\n", parameters(kernel)))
}

/// Without definitions that nobody needs: lanes of vectors, mostly. What a definition needs stands before it, so one way back finds all, unless it goes
/// round a loop.
fn without_unused(body: &str) -> String {
    let mut lines: Vec<&str> = body.lines().collect();
    loop {
        let before = lines.len();
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        lines.iter().flat_map(|line| words(line)).for_each(|w| *counts.entry(w).or_default() += 1);
        // How often a variable is written, its definition included.
        let mut writes: BTreeMap<&str, u32> = BTreeMap::new();
        lines.iter().filter_map(|line| written(line)).for_each(|name| *writes.entry(name).or_default() += 1);
        let mut kept: Vec<&str> = vec![];
        for line in lines.into_iter().rev() {
            match written(line) {
                Some(name) if counts[name] == writes[name] => {
                    words(line).for_each(|w| *counts.entry(w).or_default() -= 1);
                    *writes.entry(name).or_default() -= 1;
                }
                _ => kept.push(line),
            }
        }
        kept.reverse();
        lines = kept;
        if lines.len() == before {
            return lines.iter().map(|line| format!("{line}\n")).collect();
        }
    }
}

/// The variable that a line defines, or gives another value.
fn written(line: &str) -> Option<&str> {
    let (left, _) = line.trim().strip_suffix(';')?.split_once(" = ")?;
    // A table of lanes.
    let left = if left.starts_with("const ") { left.split('[').next()? } else { left };
    let name = left.rsplit([' ', '*']).next()?;
    (!left.contains(['(', '['])).then_some(name)
}

pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

pub fn c_type(elem: Elem) -> &'static str {
    match elem {
        Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 | Elem::I32 | Elem::Mask(_) => "int32_t",
        Elem::U32 => "uint32_t",
        Elem::I64 => "int64_t",
        Elem::F32 => "float",
        Elem::F64 => "double",
    }
}

fn suffix(elem: Elem) -> &'static str {
    match elem {
        Elem::I8 => "i8",
        Elem::U8 => "u8",
        Elem::I16 => "i16",
        Elem::U16 => "u16",
        Elem::I32 => "i32",
        Elem::U32 => "u32",
        Elem::I64 => "i64",
        Elem::F32 => "f32",
        Elem::F64 => "f64",
        Elem::Mask(_) => "mask",
    }
}

struct Emitter<'a> {
    kernel: &'a Kernel,
    out: String,
    depth: usize,
    uses: Vec<u32>,
    /// What each value is, where it is an operation's.
    definitions: Vec<Option<&'a Op>>,
    /// Values whose lanes are elements of an array that a function changes: its name, and the first of them.
    arrays: BTreeMap<Value, (String, usize)>,
    /// Arrays whose elements are chosen by lanes so far.
    tables: usize,
    /// Taps that have not been emitted yet.
    taps: Option<Taps>,
    /// How often memory may have changed so far, and when each value was defined by that count.
    changes: u32,
    defined: Vec<u32>,
    error: Option<String>,
    /// How many parts of sums have names.
    sums: usize,
}

impl<'a> Emitter<'a> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("    ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    fn lane(&self, v: Value, lane: usize) -> String {
        if let Some((array, first)) = self.arrays.get(&v) {
            return format!("{array}[{}]", first + lane);
        }
        if self.ty(v).lanes == 1 { format!("v{}", v.0) } else { format!("v{}_{lane}", v.0) }
    }

    fn lanes(&self, v: Value) -> Vec<String> {
        (0..self.ty(v).lanes as usize).map(|i| self.lane(v, i)).collect()
    }

    fn count(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let(v, op) => {
                    self.definitions[v.0 as usize] = Some(op);
                    op.operands().iter().for_each(|v| self.uses[v.0 as usize] += 1);
                }
                Stmt::Store { value, .. } | Stmt::Clamp { value, .. } => self.uses[value.0 as usize] += 1,
                Stmt::Loop(l) => {
                    for c in &l.carried {
                        self.uses[c.init.0 as usize] += 1;
                        self.uses[c.next.0 as usize] += 1;
                    }
                    self.count(&l.body);
                }
                Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Prefetch(_) => {}
            }
        }
    }

    fn counter(c: Counter) -> String {
        format!("i{}", c.0)
    }

    /// A product or a sum has parentheses, so that it can stand anywhere.
    fn index(&mut self, index: &Index) -> String {
        let mut text = String::new();
        for t in index.terms() {
            let mut factors: Vec<String> = vec![];
            for p in &t.params {
                factors.push(format!("p{}_{}", p.0, self.kernel.params[p.0 as usize]));
            }
            factors.extend(t.counter.map(Self::counter));
            let (negative, size) = (t.coefficient < 0, t.coefficient.unsigned_abs());
            if size != 1 || factors.is_empty() {
                factors.push(size.to_string());
            }
            let sign = match (text.is_empty(), negative) {
                (true, false) => "",
                (true, true) => "-",
                (false, false) => " + ",
                (false, true) => " - ",
            };
            write!(text, "{sign}{}", factors.join(" * ")).expect("a string takes everything");
        }
        match text.len() {
            0 => "0".into(),
            _ if text.contains(' ') || text.starts_with('-') => format!("({text})"),
            _ => text,
        }
    }

    fn arg(&mut self, a: Arg) -> String {
        format!("a{}_{}", a.0, self.kernel.args[a.0 as usize].name)
    }

    /// A pointer to `bytes` after a place.
    fn pointer(&mut self, place: &Place, bytes: usize) -> String {
        let base = match place.base {
            Base::Arg(a) => self.arg(a),
            Base::Row(r) => format!("r{}", r.0),
        };
        let at = place.at.clone() + bytes;
        if at.as_constant() == Some(0) { base } else { format!("{base} + {}", self.index(&at)) }
    }

    fn load(&mut self, elem: Elem, pointer: &str) -> String {
        self.call(&format!("load_{}", suffix(elem)), &[pointer.into()])
    }

    fn call(&mut self, function: &str, arguments: &[String]) -> String {
        match library::name(function) {
            Some(name) => format!("{name}({})", arguments.join(", ")),
            None => {
                self.error.get_or_insert(format!("no function {function}"));
                String::new()
            }
        }
    }

    fn fail<T: Default>(&mut self, what: String) -> T {
        self.error.get_or_insert(what);
        T::default()
    }

    fn stmts(&mut self, stmts: &'a [Stmt]) {
        let mut skip = 0;
        for (i, s) in stmts.iter().enumerate() {
            if 0 < skip {
                skip -= 1;
                continue;
            }
            if let Stmt::Loop(l) = s
                && let Some(run) = Run::of_loop(self.kernel, l, &self.definitions)
            {
                self.flush();
                // A last group of its own belongs to it.
                let last = Run::of_group(self.kernel, &stmts[i + 1..], &self.uses, &self.definitions);
                match last.and_then(|(last, length)| Some((run.clone().and(last)?, length))) {
                    Some((whole, length)) => {
                        self.run(&whole);
                        skip = length;
                    }
                    None => self.run(&run),
                }
                continue;
            }
            if let Some((run, length)) = Run::of_group(self.kernel, &stmts[i..], &self.uses, &self.definitions) {
                self.flush();
                self.run(&run);
                skip = length - 1;
                continue;
            }
            // Taps wait for others until somebody needs them, or memory changes.
            let is_quiet = match (s, &self.taps) {
                (_, None) | (Stmt::Let(_, Op::Dot { group: 1, .. }), _) => true,
                (Stmt::Let(_, op), Some(taps)) => !op.operands().contains(&taps.after),
                _ => false,
            };
            if !is_quiet {
                self.flush();
            }
            match s {
                Stmt::Let(v, _) if self.uses[v.0 as usize] == 0 => {}
                Stmt::Let(v, op) => {
                    self.defined[v.0 as usize] = self.changes;
                    if self.tap(*v, op) {
                        continue;
                    }
                    let values = self.op(*v, op);
                    let ty = c_type(self.ty(*v).elem);
                    for (lane, value) in values.into_iter().enumerate() {
                        let name = self.lane(*v, lane);
                        self.line(&format!("const {ty} {name} = {value};"));
                    }
                }
                Stmt::Store { place, value, count: None } if self.rescale(place, *value) || self.copy(place, *value) => self.changes += 1,
                Stmt::Store { place, value, count } => {
                    self.changes += 1;
                    let ty = self.ty(*value);
                    let function = match ty.elem {
                        Elem::I8 | Elem::U8 => "store_8".into(),
                        Elem::I16 | Elem::U16 => "store_16".into(),
                        elem => format!("store_{}", suffix(elem)),
                    };
                    for i in 0..count.unwrap_or(ty.lanes) as usize {
                        let pointer = self.pointer(place, i * ty.elem.bytes() as usize);
                        let lane = self.lane(*value, i);
                        let call = self.call(&function, &[pointer, lane]);
                        self.line(&format!("{call};"));
                    }
                }
                Stmt::Prefetch(_) => {}
                Stmt::Loop(l) => self.emit_loop(l),
                Stmt::Row { row, arg, at, bytes: _, guards, fill } => {
                    let own = self.pointer(&Place { base: Base::Arg(*arg), at: at.clone() }, 0);
                    let text = if guards.is_empty() {
                        own
                    } else {
                        let conditions: Vec<String> = guards
                            .iter()
                            .map(|g| {
                                let (index, limit) = (self.index(&g.index), self.index(&g.limit));
                                format!("0 <= {index} && {index} < {limit}")
                            })
                            .collect();
                        let fill = self.arg(*fill);
                        format!("({}) ? {own} : {fill}", conditions.join(" && "))
                    };
                    self.line(&format!("const uint8_t *const r{} = {text};", row.0));
                }
                Stmt::Split { quotient, remainder, of, by } => {
                    let of = self.index(of);
                    let (q, r) = (Self::counter(*quotient), Self::counter(*remainder));
                    self.line(&format!("const ptrdiff_t {q} = {of} / {by};"));
                    self.line(&format!("const ptrdiff_t {r} = {of} - {q} * {by};"));
                }
                Stmt::Clamp { index, value, known: true, .. } => {
                    let v = self.lane(*value, 0);
                    self.line(&format!("const ptrdiff_t {} = (ptrdiff_t){v};", Self::counter(*index)));
                }
                Stmt::Clamp { index, value, low, high, known: false } => {
                    let elem = self.ty(*value).elem;
                    let v = self.lane(*value, 0);
                    let name = Self::counter(*index);
                    let (least, most) = elem.int_range();
                    let literal = |n: i64| number(elem, n.clamp(least, most));
                    // No comparison that the type decides.
                    let mut clamped = v.clone();
                    if *high < most {
                        let high = literal(*high);
                        clamped = format!("{v} > {high} ? {high} : {clamped}");
                    }
                    if least < *low {
                        let low = literal(*low);
                        clamped = format!("{v} < {low} ? {low} : {clamped}");
                    }
                    self.line(&format!("const ptrdiff_t {name} = (ptrdiff_t)({clamped});"));
                }
            }
        }
        // Those of a block are done at its end.
        self.flush();
    }

    /// A run of products, whose sums are an array from then on.
    fn run(&mut self, run: &Run) {
        let before: Vec<String> = run.before.iter().flat_map(|v| self.lanes(*v)).collect();
        let array = format!("s{}", run.after[0].0);
        self.line(&format!("int32_t {array}[{}] = {{{}}};", before.len(), before.join(", ")));
        let (row, column) = (self.pointer(&run.row, 0), self.pointer(&run.column, 0));
        let [groups, segments] = [&run.groups, &run.segments].map(|i| self.index(i));
        self.line(&format!("{}({array}, {row}, {column}, {groups}, {segments});", run.shape.name()));
        let mut first = 0;
        for v in &run.after {
            self.arrays.insert(*v, (array.clone(), first));
            first += self.ty(*v).lanes as usize;
        }
    }

    /// The operation that defines a value, if memory is still as it was then.
    fn recent(&self, v: Value) -> Option<&'a Op> {
        self.definitions[v.0 as usize].filter(|_| self.defined[v.0 as usize] == self.changes)
    }

    /// Takes a dot product of groups of one as a tap, which is emitted with others later.
    fn tap(&mut self, v: Value, op: &'a Op) -> bool {
        let Op::Dot { group: 1, acc, .. } = op else { return false };
        let constant = |v: Value| self.definitions[v.0 as usize].filter(|op| matches!(op, Op::Const(_)));
        let recent = |v: Value| self.recent(v).or_else(|| constant(v));
        let Some(tap) = Tap::of(op, self.ty(v).lanes as usize, |v| self.ty(v).elem, recent) else { return false };
        if let Some(taps) = &mut self.taps
            && taps.after == *acc
            && self.uses[acc.0 as usize] == 1
            && taps.push(v, &tap)
        {
            return true;
        }
        self.flush();
        self.taps = Some(Taps::new(*acc, v, tap));
        true
    }

    /// Emits the taps that wait.
    fn flush(&mut self) {
        let Some(taps) = self.taps.take() else { return };
        let TapsCall { name, column, zero_point, rows } = taps.call();
        let array = format!("s{}", taps.after.0);
        let lanes = self.ty(taps.after).lanes;
        let start = match self.recent(taps.before) {
            Some(Op::Load { place, count: None }) => self.pointer(place, 0),
            _ => {
                let before = self.lanes(taps.before);
                self.line(&format!("const int32_t start{}[{lanes}] = {{{}}};", taps.after.0, before.join(", ")));
                format!("(const uint8_t *)start{}", taps.after.0)
            }
        };
        self.line(&format!("int32_t {array}[{lanes}];"));
        let mut arguments = vec![array.clone(), start, self.pointer(&column, 0), zero_point.to_string()];
        arguments.extend(rows.iter().map(|row| self.pointer(row, 0)));
        self.line(&format!("{name}({});", arguments.join(", ")));
        self.arrays.insert(taps.after, (array, 0));
    }

    /// Whether no byte is written before it is read, where so many are moved from the lowest on.
    fn moves_in_order(&self, from: &Place, to: &Place, bytes: usize) -> bool {
        let Base::Arg(target) = to.base else { return false };
        let arg = |a: Arg| &self.kernel.args[a.0 as usize];
        let memory = |a: Arg| arg(a).in_place_of.unwrap_or(a);
        match from.base {
            Base::Arg(source) if memory(source) != memory(target) => true,
            Base::Arg(_) => (to.at.clone() - from.at.clone()).as_constant().is_some_and(|d| d <= 0 || bytes as i64 <= d),
            Base::Row(_) => arg(target).access == Access::Write && arg(target).in_place_of.is_none(),
        }
    }

    /// Bytes that are only moved: by words.
    fn copy(&mut self, to: &Place, value: Value) -> bool {
        let ty = self.ty(value);
        let bytes = ty.bytes() as usize;
        let Some(Op::Load { place: from, count: None }) = self.recent(value) else { return false };
        if bytes == ty.elem.bytes() as usize || !bytes.is_multiple_of(4) || !self.moves_in_order(from, to, bytes) {
            return false;
        }
        for i in (0..bytes).step_by(4) {
            let (from, to) = (self.pointer(from, i), self.pointer(to, i));
            let word = self.call("bytes_4", &[from]);
            let store = self.call("store_u32", &[to, word]);
            self.line(&format!("{store};"));
        }
        true
    }

    /// Sums that are rescaled by one product, and stored as bytes: four by four as a function.
    fn rescale(&mut self, place: &Place, value: Value) -> bool {
        let Type { elem, lanes } = self.ty(value);
        if !matches!(elem, Elem::I8 | Elem::U8) || !lanes.is_multiple_of(4) {
            return false;
        }
        let parts: Option<Vec<_>> = (0..lanes as usize).step_by(4).map(|lane| self.rescaled(value, lane)).collect();
        let Some(parts) = parts else { return false };
        for (i, (x, lane, left, right, tables)) in parts.into_iter().enumerate() {
            let sums = match self.arrays.get(&x) {
                Some((array, first)) => format!("{array} + {}", first + lane),
                None => {
                    let (name, all) = (format!("x{}_{}", value.0, 4 * i), self.lanes(x)[lane..][..4].join(", "));
                    self.line(&format!("const int32_t {name}[4] = {{{all}}};"));
                    name
                }
            };
            let mut arguments = vec![self.pointer(place, 4 * i), sums];
            arguments.extend(tables.iter().map(|t| self.pointer(t, 4 * lane)));
            self.line(&format!("{}({});", rescale_name(elem, left, right, tables.len() == 3), arguments.join(", ")));
        }
        true
    }

    /// The sums behind four lanes from `lane` on, the first of them, the shifts to the left and to the right, and where multipliers and addends are.
    fn rescaled(&self, v: Value, lane: usize) -> Option<(Value, usize, u8, u8, Vec<&'a Place>)> {
        let elem = self.ty(v).elem;
        let four = |v: Value, lane: usize| -> Option<(Value, usize)> {
            let (of, first) = self.origin(v, lane);
            (1..4).all(|i| self.origin(v, lane + i) == (of, first + i)).then_some((of, first))
        };
        let definition = |v: Value| self.definitions[v.0 as usize];
        let (mut v, mut lane) = four(v, lane)?;
        while let Some(Op::NarrowSat(wide)) = definition(v)
            && self.ty(v).elem.int_range().0 <= elem.int_range().0
            && elem.int_range().1 <= self.ty(v).elem.int_range().1
        {
            (v, lane) = four(*wide, lane)?;
        }
        let Some(Op::ShrImm(sum, right)) = definition(v).filter(|_| self.ty(v).elem == Elem::I32) else { return None };
        let Some(Op::Binary(Binary::Add, a, b)) = definition(*sum) else { return None };
        let load = |v: Value| match self.recent(v) {
            Some(Op::Load { place, count: None }) => Some(place),
            _ => None,
        };
        let (sum, negative) = match definition(*b) {
            Some(Op::Binary(Binary::And, table, sign)) => (definition(*a)?, Some((*table, definition(*sign)?))),
            _ => (definition(*sum)?, None),
        };
        let Op::Binary(Binary::Add, high, addend) = sum else { return None };
        let Some(Op::Binary(Binary::MulHigh, raised, multiplier)) = definition(*high) else { return None };
        let Some(Op::ShlImm(x, left)) = definition(*raised) else { return None };
        let mut tables = vec![load(*multiplier)?, load(*addend)?];
        if let Some((table, sign)) = negative {
            if *sign != Op::ShrImm(*x, 31) {
                return None;
            }
            tables.push(load(table)?);
        }
        (*right != 0).then_some((*x, lane, *left, *right, tables))
    }

    fn emit_loop(&mut self, l: &'a Loop) {
        self.changes += 1;
        for c in &l.carried {
            for (lane, init) in self.lanes(c.init).into_iter().enumerate() {
                let (ty, name) = (c_type(self.ty(c.inside).elem), self.lane(c.inside, lane));
                self.line(&format!("{ty} {name} = {init};"));
            }
        }
        let (i, count) = (Self::counter(l.counter), self.index(&l.count));
        self.line(&format!("for (ptrdiff_t {i} = 0; {i} < {count}; {i} += {}) {{", l.step));
        self.depth += 1;
        self.stmts(&l.body);
        // A value may take the place of another one that is still needed.
        let inside: Vec<Value> = l.carried.iter().map(|c| c.inside).collect();
        let is_crossed = l.carried.iter().any(|c| c.next != c.inside && inside.contains(&c.next));
        let mut last = vec![];
        for c in &l.carried {
            for (lane, next) in self.lanes(c.next).into_iter().enumerate() {
                let (ty, name) = (c_type(self.ty(c.inside).elem), self.lane(c.inside, lane));
                if is_crossed {
                    self.line(&format!("const {ty} next_{name} = {next};"));
                    last.push(format!("{name} = next_{name};"));
                } else if name != next {
                    last.push(format!("{name} = {next};"));
                }
            }
        }
        last.iter().for_each(|text| self.line(text));
        self.depth -= 1;
        self.line("}");
        for c in &l.carried {
            if self.uses[c.result.0 as usize] == 0 {
                continue;
            }
            for (lane, inside) in self.lanes(c.inside).into_iter().enumerate() {
                let (ty, name) = (c_type(self.ty(c.result).elem), self.lane(c.result, lane));
                self.line(&format!("const {ty} {name} = {inside};"));
            }
        }
    }

    /// An expression for each lane.
    fn op(&mut self, v: Value, op: &'a Op) -> Vec<String> {
        let Type { elem, lanes } = self.ty(v);
        let lanes = lanes as usize;
        let size = elem.bytes() as usize;
        let zero = || number_of(elem, 0);
        match op {
            Op::Const(c) => vec![self.constant(elem, *c); lanes],
            Op::Load { place, count } => {
                let count = count.map_or(lanes, |c| c as usize);
                (0..lanes)
                    .map(|i| {
                        if count <= i {
                            return zero();
                        }
                        let pointer = self.pointer(place, i * size);
                        self.load(elem, &pointer)
                    })
                    .collect()
            }
            Op::LoadSplat { place, group, count } => {
                let (group, count) = (*group as usize, count.map_or(*group as usize, |c| c as usize));
                (0..lanes)
                    .map(|i| {
                        if count <= i % group {
                            return zero();
                        }
                        let pointer = self.pointer(place, i % group * size);
                        self.load(elem, &pointer)
                    })
                    .collect()
            }
            Op::Lookup { place, index } => {
                let indices = self.lanes(*index);
                let base = self.pointer(place, 0);
                indices.iter().map(|i| self.load(elem, &format!("{base} + {i} * {size}"))).collect()
            }
            Op::Unary(op, a) => self.lanes(*a).into_iter().map(|a| self.unary(*op, elem, a)).collect(),
            Op::Binary(Binary::Add, high, c) if matches!(self.definitions[high.0 as usize], Some(Op::Binary(Binary::MulHigh, ..))) => {
                let Some(Op::Binary(_, a, b)) = self.definitions[high.0 as usize] else { unreachable!("just seen") };
                let (a, b, c) = (self.lanes(*a), self.lanes(*b), self.lanes(*c));
                (0..lanes).map(|i| self.call("mul_high_add", &[a[i].clone(), b[i].clone(), c[i].clone()])).collect()
            }
            Op::Binary(op, a, b) => {
                let (a, b) = (self.lanes(*a), self.lanes(*b));
                a.into_iter().zip(b).map(|(a, b)| self.binary(*op, elem, a, b)).collect()
            }
            Op::ShlImm(a, n) => {
                self.lanes(*a).into_iter().map(|a| self.shift("shl", elem, a, (u32::from(*n) & (elem.bits() - 1)).to_string())).collect()
            }
            Op::ShrImm(a, n) => {
                self.lanes(*a).into_iter().map(|a| self.shift("shr", elem, a, (u32::from(*n) & (elem.bits() - 1)).to_string())).collect()
            }
            Op::RoundingShr(a, n) => {
                let n = u32::from(*n) & (elem.bits() - 1);
                let function = if elem == Elem::I64 { "rounding_shr_i64" } else { "rounding_shr" };
                self.lanes(*a).into_iter().map(|a| self.call(function, &[a, n.to_string()])).collect()
            }
            Op::Compare(cond, a, b) => {
                let operator = match cond {
                    Cond::Eq => "==",
                    Cond::Ne => "!=",
                    Cond::Lt => "<",
                    Cond::Le => "<=",
                    Cond::Gt => ">",
                    Cond::Ge => ">=",
                };
                self.lanes(*a).into_iter().zip(self.lanes(*b)).map(|(a, b)| format!("{a} {operator} {b}")).collect()
            }
            Op::Select(m, a, b) => {
                let (m, a, b) = (self.lanes(*m), self.lanes(*a), self.lanes(*b));
                (0..lanes).map(|i| format!("{} != 0 ? {} : {}", m[i], a[i], b[i])).collect()
            }
            Op::Fma(a, b, c) => {
                let (a, b, c) = (self.lanes(*a), self.lanes(*b), self.lanes(*c));
                (0..lanes).map(|i| self.call(&format!("fma_{}", suffix(elem)), &[a[i].clone(), b[i].clone(), c[i].clone()])).collect()
            }
            Op::FmaLane { acc, a, lane, b } => {
                let (acc, a, b) = (self.lanes(*acc), self.lane(*a, *lane as usize), self.lanes(*b));
                (0..lanes).map(|i| self.call(&format!("fma_{}", suffix(elem)), &[a.clone(), b[i].clone(), acc[i].clone()])).collect()
            }
            Op::MulWide(a, b) => self.lanes(*a).into_iter().zip(self.lanes(*b)).map(|(a, b)| format!("(int64_t){a} * {b}")).collect(),
            Op::Dot { group, acc, a, b } => {
                let (acc, a, b, group) = (self.lanes(*acc), self.lanes(*a), self.lanes(*b), *group as usize);
                (0..lanes).map(|i| self.dot(&acc[i], &a[i * group..][..group], &b[i * group..][..group])).collect()
            }
            Op::DotLane { group, acc, a, lane, b } => {
                let (acc, a, b, group) = (self.lanes(*acc), self.lanes(*a), self.lanes(*b), *group as usize);
                let a = &a[*lane as usize * group..][..group];
                (0..lanes).map(|i| self.dot(&acc[i], a, &b[i * group..][..group])).collect()
            }
            Op::DotMatrix { acc, a, b } => {
                let (acc, a, b) = (self.lanes(*acc), self.lanes(*a), self.lanes(*b));
                let rows = |i: usize| (i / 4 * 16 + i / 2 % 2 * 8, i / 4 * 16 + i % 2 * 8);
                (0..lanes).map(|i| self.dot(&acc[i], &a[rows(i).0..][..8], &b[rows(i).1..][..8])).collect()
            }
            Op::Convert(a, rounding) => {
                let from = self.ty(*a).elem;
                self.lanes(*a).into_iter().map(|a| self.convert(from, elem, *rounding, a)).collect()
            }
            // Written out before.
            Op::FromHalf(_) | Op::ToHalf(_) => self.fail("conversion of half floats".into()),
            Op::Widen(a) => {
                let from = self.ty(*a).elem;
                self.lanes(*a).into_iter().map(|a| widened(from, elem, a)).collect()
            }
            Op::Narrow(a) => {
                let from = self.ty(*a).elem;
                self.lanes(*a).into_iter().map(|a| self.wrapped(from, elem, a)).collect()
            }
            Op::NarrowSat(a) => {
                let lanes = 0..lanes;
                lanes.map(|lane| self.narrowed(*a, lane, elem)).collect()
            }
            Op::Bitcast(a) => self.bitcast(*a, elem, lanes),
            Op::Splat(a) => vec![self.lane(*a, 0); lanes],
            Op::Lane(a, lane) => vec![self.lane(*a, *lane as usize)],
            Op::Slice(a, start) => self.lanes(*a)[*start as usize..][..lanes].to_vec(),
            Op::Concat(a, b) => [self.lanes(*a), self.lanes(*b)].concat(),
            Op::Interleave(a, b) => self.lanes(*a).into_iter().zip(self.lanes(*b)).flat_map(|(a, b)| [a, b]).collect(),
            Op::Deinterleave(a, parity) => self.lanes(*a).into_iter().skip(*parity as usize).step_by(2).collect(),
            Op::Repeat { a, times, start } => {
                let a = self.lanes(*a);
                (0..lanes).map(|i| a[(*start as usize + i) / *times as usize].clone()).collect()
            }
            Op::Permute { a, index, segment } => {
                let (segment, a, index) = (*segment as usize, self.lanes(*a), self.lanes(*index));
                let tables: Vec<String> = a
                    .chunks(segment)
                    .map(|lanes| {
                        self.tables += 1;
                        let name = format!("t{}", self.tables);
                        self.line(&format!("const {} {name}[{segment}] = {{{}}};", c_type(elem), lanes.join(", ")));
                        name
                    })
                    .collect();
                index.iter().enumerate().map(|(i, at)| format!("{}[{at} & {}]", tables[i / segment], segment - 1)).collect()
            }
            Op::Reduce(op, a) => vec![self.reduced(*op, elem, *a)],
            Op::ReduceEach(op, all) => {
                let mut results: Vec<String> = all.iter().map(|a| self.reduced(*op, elem, *a)).collect();
                results.truncate(lanes);
                results
            }
            Op::Requantize { x, multiplier, shift, range } => {
                let (x, multiplier, shift) = (self.lanes(*x), self.lanes(*multiplier), self.lanes(*shift));
                (0..lanes)
                    .map(|i| {
                        let (x, m, s) = (x[i].clone(), multiplier[i].clone(), shift[i].clone());
                        match range {
                            ShiftRange::Uniform(s) if *s < 0 => self.call("requantize_right", &[x, m, (-i32::from(*s)).to_string()]),
                            ShiftRange::Right => self.call("requantize_right", &[x, m, format!("-{s}")]),
                            _ => self.call("requantize", &[x, m, s]),
                        }
                    })
                    .collect()
            }
        }
    }

    /// The value and the lane of it that a lane is a copy of.
    fn origin(&self, mut v: Value, mut lane: usize) -> (Value, usize) {
        loop {
            (v, lane) = match self.definitions[v.0 as usize] {
                Some(Op::Concat(a, b)) => match lane.checked_sub(self.ty(*a).lanes as usize) {
                    Some(lane) => (*b, lane),
                    None => (*a, lane),
                },
                Some(Op::Slice(a, start)) => (*a, *start as usize + lane),
                _ => return (v, lane),
            }
        }
    }

    /// A lane as a saturated integer of another type.
    fn narrowed(&mut self, v: Value, lane: usize, elem: Elem) -> String {
        let (mut v, mut lane) = self.origin(v, lane);
        // By way of a type that has all its numbers is the same at once.
        while let Some(Op::NarrowSat(wide)) = self.definitions[v.0 as usize]
            && self.ty(v).elem.int_range().0 <= elem.int_range().0
            && elem.int_range().1 <= self.ty(v).elem.int_range().1
        {
            (v, lane) = self.origin(*wide, lane);
        }
        let from = self.ty(v).elem;
        if let (Some(Op::ShrImm(x, n)), Elem::I8 | Elem::U8 | Elem::I16) = (self.definitions[v.0 as usize], elem)
            && from == Elem::I32
            && *n != 0
        {
            return format!("saturate_{}_{n}({})", suffix(elem), self.lane(*x, lane));
        }
        let text = self.lane(v, lane);
        self.saturated(from, elem, text)
    }

    fn constant(&mut self, elem: Elem, c: Scalar) -> String {
        match c {
            Scalar::Int(n) => number(elem, n),
            Scalar::Float(bits) if elem == Elem::F32 => {
                let x = f32::from_bits(bits as u32);
                if x.is_finite() {
                    return float(x);
                }
                self.call("f32_of_bits", &[format!("UINT32_C({:#x})", bits as u32)])
            }
            Scalar::Float(bits) => {
                let x = f64::from_bits(bits);
                if x.is_finite() { hexadecimal(x) } else { self.call("f64_of_bits", &[format!("UINT64_C({bits:#x})")]) }
            }
        }
    }

    fn unary(&mut self, op: Unary, elem: Elem, a: String) -> String {
        if elem.is_float() {
            let name = match op {
                Unary::Neg => return format!("-{a}"),
                Unary::Abs => "abs",
                Unary::Sqrt => "sqrt",
                Unary::Floor => "floor",
                Unary::Ceil => "ceil",
                Unary::RoundEven => "round_even",
                Unary::Trunc => "trunc",
                Unary::Not | Unary::LeadingZeros => return self.fail(format!("{op:?} of floats")),
            };
            return self.call(&format!("{name}_{}", suffix(elem)), &[a]);
        }
        match (op, elem) {
            (Unary::Not, Elem::Mask(_)) => format!("!{a}"),
            (Unary::Not, _) => self.wrapped(elem, elem, format!("~{a}")),
            (Unary::Neg, _) => self.binary(Binary::Sub, elem, number_of(elem, 0), a),
            (Unary::Abs, _) if elem.is_signed() => {
                let negative = self.binary(Binary::Sub, elem, number_of(elem, 0), a.clone());
                format!("{a} < 0 ? {negative} : {a}")
            }
            (Unary::Abs, _) => a,
            (Unary::LeadingZeros, Elem::I64) => self.call("leading_zeros_i64", &[a]),
            (Unary::LeadingZeros, _) => {
                let count = self.call("leading_zeros", &[format!("(uint32_t){a}"), elem.bits().to_string()]);
                if elem == Elem::U32 { format!("(uint32_t){count}") } else { count }
            }
            _ => self.fail(format!("{op:?} of {elem}")),
        }
    }

    fn binary(&mut self, op: Binary, elem: Elem, a: String, b: String) -> String {
        let is_small = matches!(elem, Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16);
        let arithmetic = |operator: &str| format!("{a} {operator} {b}");
        match op {
            Binary::Min => return format!("{a} < {b} ? {a} : {b}"),
            Binary::Max => return format!("{a} > {b} ? {a} : {b}"),
            Binary::And => return arithmetic("&"),
            Binary::Or => return arithmetic("|"),
            Binary::Xor => return arithmetic("^"),
            _ => {}
        }
        if elem.is_float() {
            return match op {
                Binary::Add => arithmetic("+"),
                Binary::Sub => arithmetic("-"),
                Binary::Mul => arithmetic("*"),
                Binary::Div => arithmetic("/"),
                _ => self.fail(format!("{op:?} of {elem}")),
            };
        }
        let operator = match op {
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::AddSat => return self.saturated(Elem::I32, elem, format!("({a} + {b})")),
            Binary::SubSat => return self.saturated(Elem::I32, elem, format!("({a} - {b})")),
            Binary::Div => return self.divide("div", elem, a, b),
            Binary::Rem => return self.divide("rem", elem, a, b),
            Binary::Shl => return self.shift("shl", elem, a, format!("({b} & {})", elem.bits() - 1)),
            Binary::Shr => return self.shift("shr", elem, a, format!("({b} & {})", elem.bits() - 1)),
            Binary::MulHigh => return self.call("mul_high", &[a, b]),
            Binary::MulHighRound => return self.call("mul_high_round", &[a, b]),
            _ => return self.fail(format!("{op:?} of {elem}")),
        };
        match elem {
            // No sum of small integers leaves 32 bits, and a product of two of them is a number of 32 bits without sign.
            _ if is_small && op != Binary::Mul => self.wrapped(Elem::I32, elem, format!("({a} {operator} {b})")),
            Elem::U32 => arithmetic(operator),
            Elem::I64 => format!("(int64_t)((uint64_t){a} {operator} (uint64_t){b})"),
            _ if is_small => self.wrapped(Elem::U32, elem, format!("((uint32_t){a} {operator} (uint32_t){b})")),
            _ => format!("(int32_t)((uint32_t){a} {operator} (uint32_t){b})"),
        }
    }

    fn divide(&mut self, name: &str, elem: Elem, a: String, b: String) -> String {
        let of = match elem {
            Elem::U32 => "u32",
            Elem::I64 => "i64",
            _ => "i32",
        };
        let quotient = self.call(&format!("{name}_{of}"), &[a, b]);
        if matches!(elem, Elem::I8 | Elem::I16) { self.wrapped(Elem::I32, elem, quotient) } else { quotient }
    }

    fn shift(&mut self, name: &str, elem: Elem, a: String, n: String) -> String {
        match (name, elem) {
            ("shr", _) => format!("{a} >> {n}"),
            (_, Elem::I64) => format!("(int64_t)((uint64_t){a} << {n})"),
            (_, Elem::U32) => format!("{a} << {n}"),
            (_, Elem::I32) => format!("(int32_t)((uint32_t){a} << {n})"),
            _ => self.wrapped(Elem::U32, elem, format!("((uint32_t){a} << {n})")),
        }
    }

    fn dot(&mut self, acc: &str, a: &[String], b: &[String]) -> String {
        // Products of bytes, and of two pairs of words, as 32 bits that wrap.
        let products: Vec<String> = a.iter().zip(b).map(|(a, b)| format!("(uint32_t)({a} * {b})")).collect();
        format!("(int32_t)((uint32_t){acc} + {})", products.join(" + "))
    }

    fn convert(&mut self, from: Elem, to: Elem, rounding: Rounding, a: String) -> String {
        match (from, to) {
            (Elem::F32, Elem::F64) => format!("(double){a}"),
            (Elem::F64, Elem::F32) => format!("(float){a}"),
            (_, Elem::F32 | Elem::F64) => format!("({}){a}", c_type(to)),
            _ => {
                let rounded = match rounding {
                    Rounding::TowardZero => a,
                    Rounding::NearestEven => self.call(&format!("round_even_{}", suffix(from)), &[a]),
                };
                let (low, high) = to.int_range();
                match to {
                    Elem::I64 => self.call(&format!("i64_of_{}", suffix(from)), &[rounded]),
                    Elem::U32 => self.call(&format!("u32_of_{}", suffix(from)), &[rounded]),
                    Elem::I32 => self.call(&format!("i32_of_{}", suffix(from)), &[rounded]),
                    _ => {
                        let whole = self.call(&format!("i32_of_{}", suffix(from)), &[rounded]);
                        self.call("clamp", &[whole, number(Elem::I32, low), number(Elem::I32, high)])
                    }
                }
            }
        }
    }

    /// The low bits of an integer as another one.
    fn wrapped(&mut self, from: Elem, to: Elem, a: String) -> String {
        match to {
            Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 => {
                let a = if from == Elem::U32 { a } else { format!("(uint32_t){a}") };
                self.call(&format!("wrap_{}", suffix(to)), &[a])
            }
            Elem::I32 => format!("(int32_t){a}"),
            Elem::U32 => format!("(uint32_t){a}"),
            _ => a,
        }
    }

    fn saturated(&mut self, from: Elem, to: Elem, a: String) -> String {
        let (low, high) = to.int_range();
        match (from, to) {
            (Elem::I64, Elem::U32) => self.call("u32_of_i64", &[a]),
            (Elem::I64, _) => {
                let clamped = self.call("clamp_i64", &[a, format!("INT64_C({low})"), format!("INT64_C({high})")]);
                format!("(int32_t){clamped}")
            }
            (Elem::U32, _) => {
                let high = format!("UINT32_C({high})");
                self.call("i32_of_u32", &[a, high])
            }
            (_, Elem::U32) => format!("{a} < 0 ? 0u : (uint32_t){a}"),
            _ => self.call("clamp", &[a, number(Elem::I32, low), number(Elem::I32, high)]),
        }
    }

    fn bitcast(&mut self, a: Value, to: Elem, lanes: usize) -> Vec<String> {
        let (from, names) = (self.ty(a).elem, self.lanes(a));
        let (from_bytes, to_bytes) = (from.bytes() as usize, to.bytes() as usize);
        // By way of integers without sign.
        let bits: Vec<String> = names.into_iter().map(|a| self.bits(from, a)).collect();
        (0..lanes)
            .map(|i| {
                let whole = if from_bytes == to_bytes {
                    bits[i].clone()
                } else if from_bytes < to_bytes {
                    let many = to_bytes / from_bytes;
                    let wide = if to_bytes == 8 { "(uint64_t)" } else { "" };
                    let parts: Vec<String> = (0..many)
                        .map(|k| {
                            if k == 0 {
                                format!("{wide}{}", bits[i * many])
                            } else {
                                format!("({wide}{} << {})", bits[i * many + k], 8 * from_bytes * k)
                            }
                        })
                        .collect();
                    format!("({})", parts.join(" | "))
                } else {
                    let many = from_bytes / to_bytes;
                    let narrow = if from_bytes == 8 { "(uint32_t)" } else { "" };
                    let shift = 8 * to_bytes * (i % many);
                    if shift == 0 { format!("{narrow}{}", bits[i / many]) } else { format!("{narrow}({} >> {shift})", bits[i / many]) }
                };
                self.of_bits(to, whole)
            })
            .collect()
    }

    /// As `uint32_t`, the upper bits zero, or as `uint64_t`.
    fn bits(&mut self, elem: Elem, a: String) -> String {
        match elem {
            Elem::I8 => format!("((uint32_t){a} & 0xffu)"),
            Elem::I16 => format!("((uint32_t){a} & 0xffffu)"),
            Elem::U8 | Elem::U16 | Elem::I32 => format!("(uint32_t){a}"),
            Elem::U32 => a,
            Elem::I64 => format!("(uint64_t){a}"),
            Elem::F32 => self.call("bits_of_f32", &[a]),
            Elem::F64 => self.call("bits_of_f64", &[a]),
            Elem::Mask(_) => self.fail("bits of a mask".into()),
        }
    }

    fn of_bits(&mut self, elem: Elem, bits: String) -> String {
        match elem {
            Elem::F32 => self.call("f32_of_bits", &[bits]),
            Elem::F64 => self.call("f64_of_bits", &[bits]),
            Elem::I64 => format!("(int64_t){bits}"),
            Elem::I32 => format!("(int32_t){bits}"),
            Elem::U32 => bits,
            Elem::Mask(_) => self.fail("a mask of bits".into()),
            _ => self.wrapped(Elem::U32, elem, bits),
        }
    }

    fn reduced(&mut self, op: Reduce, elem: Elem, a: Value) -> String {
        let op = match op {
            Reduce::Add => Binary::Add,
            Reduce::Min => Binary::Min,
            Reduce::Max => Binary::Max,
        };
        let mut left = self.lanes(a);
        // With names for what is combined, so that texts stay short.
        while 1 < left.len() {
            let upper = left.split_off(left.len() / 2);
            let count = left.len();
            for (i, up) in upper.into_iter().enumerate() {
                let combined = self.binary(op, elem, left[i].clone(), up);
                if count == 1 {
                    left[i] = combined;
                    continue;
                }
                let name = format!("sum{}", self.sums);
                self.sums += 1;
                self.line(&format!("const {} {name} = {combined};", c_type(elem)));
                left[i] = name;
            }
        }
        left.swap_remove(0)
    }
}

fn widened(from: Elem, to: Elem, a: String) -> String {
    match (from, to) {
        (_, Elem::I64) => format!("(int64_t){a}"),
        (_, Elem::U32) => format!("(uint32_t){a}"),
        // A signed byte as a word without sign.
        (Elem::I8, Elem::U16) => format!("(int32_t)((uint32_t){a} & 0xffffu)"),
        _ => a,
    }
}

fn number_of(elem: Elem, n: i64) -> String {
    match elem {
        Elem::F32 => format!("{n}.0f"),
        Elem::F64 => format!("{n}.0"),
        _ => number(elem, n),
    }
}

/// A literal of the type that such a lane has.
fn number(elem: Elem, n: i64) -> String {
    match elem {
        Elem::U32 => format!("{n}u"),
        Elem::I64 if n == i64::MIN => "INT64_MIN".into(),
        Elem::I64 if n < 0 => format!("(-INT64_C({}))", -n),
        Elem::I64 => format!("INT64_C({n})"),
        _ if n == i64::from(i32::MIN) => "INT32_MIN".into(),
        _ if n < 0 => format!("({n})"),
        _ => n.to_string(),
    }
}

pub fn float(x: f32) -> String {
    let text = hexadecimal(f64::from(x));
    text.strip_suffix(')').map_or_else(|| format!("{text}f"), |inner| format!("{inner}f)"))
}

/// Exact, as C99 has it.
fn hexadecimal(x: f64) -> String {
    let (sign, x) = if x.is_sign_negative() { ("-", -x) } else { ("", x) };
    if x == 0.0 {
        return if sign.is_empty() { "0.0".into() } else { "(-0.0)".into() };
    }
    let bits = x.to_bits();
    let (mut exponent, mut fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    if exponent == 0 {
        // Denormal: the first bit leads.
        let zeros = i64::from(fraction.leading_zeros()) - 11;
        exponent = 1 - zeros;
        fraction = (fraction << zeros) & ((1 << 52) - 1);
    }
    let digits = format!("{fraction:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let text = format!("{sign}0x1{point}{digits}p{}", exponent - 1023);
    if sign.is_empty() { text } else { format!("({text})") }
}
