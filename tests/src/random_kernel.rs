//! Random small kernels, well-formed and in bounds, with buffers to run them on: what operations do together, in loops, rows and part
//! accesses, beyond what tests of single operations see.
//!
//! Not malformed kernels. The idea: a list of numbers decides every choice and zero is always the smallest one, so that a failing case shrinks
//! with the list; sizes of buffers follow from the accesses. No bit of a NaN reaches an integer, since emitters may differ in them.

use crate::differential::Case;
use crate::random_value::{Numbers, pick};
use cranelite_tile::*;
use proptest::prelude::*;

const INTS: [Elem; 7] = [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64];
const ELEMS: [Elem; 9] = [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64, Elem::F32, Elem::F64];
const LANES: [usize; 14] = [1, 4, 1, 2, 8, 16, 4, 3, 32, 5, 12, 64, 16, 48];
const LANES_LIMIT: usize = 64;
/// No index goes farther than about this.
const REACH_BYTES: i64 = 2000;

/// Lists of choices for [`case`].
pub fn choices() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..400)
}

/// One kernel on memory of its own, or one that works in place in the arena.
pub fn case(choices: &[u32]) -> Case {
    made(Maker::new(Numbers::new(choices)))
}

/// The same without tables, permutations and quotients of integers, for which units of vectors have no instructions.
pub fn common_case(choices: &[u32]) -> Case {
    made(Maker { is_common: true, ..Maker::new(Numbers::new(choices)) })
}

fn made(mut m: Maker) -> Case {
    if m.n.below(4) == 3 { in_place(m) } else { apart(m) }
}

fn apart(mut m: Maker) -> Case {
    let mut k = KernelBuilder::new("random");
    for name in ["a", "b"] {
        let elem = m.n.one_of(&ELEMS);
        let arg = k.read(name);
        m.args.push(ArgInfo { arg, elem, access: Access::Read, size: 0 });
    }
    for name in ["y", "z"] {
        let elem = m.n.one_of(&ELEMS);
        let (arg, access) = if m.n.below(2) == 0 { (k.write(name), Access::Write) } else { (k.read_write(name), Access::ReadWrite) };
        m.args.push(ArgInfo { arg, elem, access, size: 0 });
    }
    for name in ["n", "m"] {
        let value = m.n.below(4) as i64;
        m.params.push((k.param(name), value));
    }
    m.block(&mut k, 0);
    m.store(&mut k);
    let mut made = Made::new(m.n.seed());
    let buffers: Vec<BufferId> = m.args.iter().map(|a| made.argument(a)).collect();
    let params = m.params.iter().map(|p| p.1).collect();
    made.call(k.finish(), buffers, params);
    made.case
}

/// `y[i] = f(x[i], ...)` in the place of x, between two copies.
fn in_place(mut m: Maker) -> Case {
    let mut k = KernelBuilder::new("in_place");
    let (from, lanes) = (m.n.one_of(&ELEMS), m.n.one_of(&LANES));
    let narrower: Vec<Elem> = ELEMS.into_iter().filter(|e| e.bytes() <= from.bytes()).collect();
    let to = m.n.one_of(&narrower);
    let (x, b) = (k.read("x"), k.read("b"));
    let y = k.write_in_place("y", x);
    let elem = m.n.one_of(&ELEMS);
    m.args.push(ArgInfo { arg: b, elem, access: Access::Read, size: 0 });
    let count = 1 + m.n.below(4) as i64;
    k.each("i", count, 1, |k, i| {
        let v = k.load(from.x(lanes), x.at(i * i64::from(from.x(lanes).bytes())));
        m.values.push(v);
        let result = m.value(k, to.x(lanes), 4);
        k.store(y.at(i * i64::from(to.x(lanes).bytes())), result);
    });
    let mut made = Made::new(m.n.seed());
    let (x_size, y_size) = (count * i64::from(from.x(lanes).bytes()), count * i64::from(to.x(lanes).bytes()));
    let input = made.input(from, x_size);
    let x = made.buffer(Role::Scratch, from, x_size);
    made.call(copy(x_size), vec![input, x], vec![]);
    let b = made.argument(&m.args[0]);
    let y = made.buffer(Role::Scratch, to, y_size);
    made.call(k.finish(), vec![x, b, y], vec![]);
    let output = made.output(to, y_size);
    made.call(copy(y_size), vec![y, output], vec![]);
    arena::plan(&mut made.case.program);
    made.case
}

fn copy(size: i64) -> Kernel {
    let mut k = KernelBuilder::new("copy");
    let (x, y) = (k.read("x"), k.write("y"));
    k.each("i", size, 1, |k, i| {
        let v = k.load(Elem::U8.x(1), x.at(i));
        k.store(y.at(i), v);
    });
    k.finish()
}

/// The program around a kernel.
struct Made {
    case: Case,
    seed: u64,
}

impl Made {
    fn new(seed: u64) -> Self {
        let program = Program { name: "random".into(), ..Program::default() };
        Made { case: Case { program, inputs: vec![], outputs: vec![], elems: vec![] }, seed }
    }

    fn buffer(&mut self, role: Role, elem: Elem, size: i64) -> BufferId {
        let buffers = &mut self.case.program.buffers;
        let name = format!("b{}", buffers.len());
        let align = if role == Role::Scratch { 16 } else { elem.bytes() };
        buffers.push(Buffer { name, role, size_bytes: size as u64, align, data: None, view: None, offset_bytes: None });
        BufferId(buffers.len() as u32 - 1)
    }

    fn data(&mut self, elem: Elem, size: i64) -> Vec<u8> {
        let lanes = size as usize / elem.bytes() as usize + 1;
        let mut bytes: Vec<u8> =
            (0..lanes).flat_map(|_| pick(&mut self.seed, elem).to_le_bytes()[..elem.bytes() as usize].to_vec()).collect();
        bytes.truncate(size as usize);
        bytes
    }

    fn input(&mut self, elem: Elem, size: i64) -> BufferId {
        let bytes = self.data(elem, size);
        self.case.inputs.push(bytes);
        self.buffer(Role::Input(self.case.inputs.len() as u32 - 1), elem, size)
    }

    fn output(&mut self, elem: Elem, size: i64) -> BufferId {
        self.case.outputs.push(vec![0xa5; size as usize]);
        self.case.elems.push(elem);
        self.buffer(Role::Output(self.case.outputs.len() as u32 - 1), elem, size)
    }

    /// A buffer as large as the kernel's accesses need; one that may be read before it is written has contents.
    fn argument(&mut self, a: &ArgInfo) -> BufferId {
        let size = (a.size.max(1) as u64).next_multiple_of(a.elem.bytes().into()) as i64;
        match a.access {
            Access::Read if self.seed.is_multiple_of(3) => {
                let data = self.data(a.elem, size);
                let id = self.buffer(Role::Const, a.elem, size);
                self.case.program.buffers[id.0 as usize].data = Some(data.into());
                id
            }
            Access::Read => self.input(a.elem, size),
            Access::Write => self.output(a.elem, size),
            Access::ReadWrite => {
                let (first, id) = (self.input(a.elem, size), self.output(a.elem, size));
                self.call(copy(size), vec![first, id], vec![]);
                id
            }
        }
    }

    fn call(&mut self, kernel: Kernel, buffers: Vec<BufferId>, params: Vec<i64>) {
        let p = &mut self.case.program;
        p.kernels.push(kernel);
        let kernel = KernelId(p.kernels.len() as u32 - 1);
        p.schedule.push(Step::Call(Call { kernel, buffers, params, advance: vec![], operator: None }));
    }
}

pub(crate) struct ArgInfo {
    pub arg: Arg,
    pub elem: Elem,
    pub access: Access,
    /// Bytes that accesses reach so far.
    pub size: i64,
}

/// What is visible where the kernel goes on.
pub(crate) struct Maker<'c> {
    pub n: Numbers<'c>,
    pub args: Vec<ArgInfo>,
    pub values: Vec<Value>,
    /// With their largest value; none is negative.
    counters: Vec<(Counter, i64)>,
    params: Vec<(Param, i64)>,
    /// With the argument and the bytes.
    rows: Vec<(Row, i64)>,
    /// Only operations that units of vectors have.
    pub is_common: bool,
}

impl<'c> Maker<'c> {
    fn new(n: Numbers<'c>) -> Self {
        Maker { n, args: vec![], values: vec![], counters: vec![], params: vec![], rows: vec![], is_common: false }
    }

    fn block(&mut self, k: &mut KernelBuilder, depth: usize) {
        let (values, counters, rows) = (self.values.len(), self.counters.len(), self.rows.len());
        for _ in 0..1 + self.n.below(3) {
            match self.n.below(8) {
                1..=3 if depth < 3 => self.repeat(k, depth),
                4 => self.row(k),
                5 if !self.counters.is_empty() => {
                    let (of, max) = self.index(1);
                    let by = 1 + self.n.below(5) as i64;
                    let (q, r) = k.split("s", of, by);
                    self.counters.extend([(q, max / by), (r, max.min(by - 1))]);
                }
                6 => {
                    let elem = self.n.one_of(&INTS);
                    let v = self.value(k, elem.x(1), 2);
                    let low = self.n.below(3) as i64;
                    let high = low + self.n.below(4) as i64;
                    self.counters.push((k.clamped_index("c", v, low, high), high));
                }
                _ => self.store(k),
            }
        }
        if 0 < depth {
            self.values.truncate(values);
        }
        self.counters.truncate(counters);
        self.rows.truncate(rows);
    }

    fn repeat(&mut self, k: &mut KernelBuilder, depth: usize) {
        let step = 1 + self.n.below(3) as i64;
        let number = self.n.below(4) as i64;
        let (count, value) = match self.n.below(3) {
            0 => (Index::constant(number), number),
            1 => (self.params[0].0 + number, self.params[0].1 + number),
            _ => (self.params[1].0 * number, self.params[1].1 * number),
        };
        let types: Vec<Type> = (0..self.n.below(4)).map(|_| self.ty()).collect();
        let init: Vec<Value> = types.iter().map(|&t| self.value(k, t, 1)).collect();
        let (values, counters) = (self.values.len(), self.counters.len());
        let results = k.repeat("i", count, step, &init, |k, i, inside| {
            self.counters.push((i, (value - 1).max(0) / step * step));
            self.values.extend(inside);
            self.block(k, depth + 1);
            let next = types.iter().map(|&t| self.value(k, t, 2)).collect();
            self.values.truncate(values);
            self.counters.truncate(counters);
            next
        });
        self.values.extend(results);
    }

    /// A row that is left at either end when a counter is.
    fn row(&mut self, k: &mut KernelBuilder) {
        let bytes = 1 + self.n.below(40) as i64;
        let (a, fill) = (self.readable(), self.readable());
        let unit = i64::from(self.args[a].elem.bytes());
        let (mut at, mut end, mut guards) = (Index::constant(self.n.below(3) as i64 * unit), 3 * unit, vec![]);
        if !self.counters.is_empty() {
            let (counter, _) = self.n.one_of(&self.counters);
            let limit = 1 + self.n.below(4) as i64;
            let stride = unit * self.n.below(5) as i64;
            let index = Index::from(counter) - self.n.below(3) as i64;
            at = at + index.clone() * stride;
            end += (limit - 1) * stride;
            guards.push(Guard { index, limit: limit.into() });
        }
        self.reach(a, end + bytes);
        self.reach(fill, bytes);
        let row = k.row(self.args[a].arg, at, bytes, guards, self.args[fill].arg);
        self.rows.push((row, bytes));
    }

    fn reach(&mut self, arg: usize, end: i64) {
        self.args[arg].size = self.args[arg].size.max(end);
    }

    /// An argument whose bytes may be read as anything: none that the kernel writes.
    fn readable(&mut self) -> usize {
        let all: Vec<usize> = (0..self.args.len()).filter(|&a| self.args[a].access == Access::Read).collect();
        self.n.one_of(&all)
    }

    /// A multiple of `unit` that is never negative, and its largest value.
    fn index(&mut self, unit: i64) -> (Index, i64) {
        let start = self.n.below(4) as i64 * unit;
        let (mut index, mut max) = (Index::constant(start), start);
        for _ in 0..self.n.below(3).min(self.counters.len()) {
            let (counter, most) = self.n.one_of(&self.counters);
            let mut term = counter * (unit * self.n.one_of(&[1, 2, 4, 3, 16]));
            let mut reach = term.terms()[0].coefficient * most;
            if self.n.below(5) == 4 && !self.params.is_empty() {
                let (param, value) = self.n.one_of(&self.params);
                (term, reach) = (term * param, reach * value);
            }
            if REACH_BYTES < max + reach {
                continue;
            }
            // Backwards now and then, from where it ends.
            index = if self.n.below(5) == 4 && term.terms()[0].params.is_empty() { index + reach - term } else { index + term };
            max += reach;
        }
        (index, max)
    }

    fn place(&mut self, arg: usize, bytes: i64) -> Place {
        let (index, max) = self.index(i64::from(self.args[arg].elem.bytes()));
        self.reach(arg, max + bytes);
        self.args[arg].arg.at(index)
    }

    /// Integers into buffers of integers, floats into buffers of such floats.
    fn store(&mut self, k: &mut KernelBuilder) {
        let all: Vec<usize> = (0..self.args.len()).filter(|&a| self.args[a].access != Access::Read).collect();
        let arg = self.n.one_of(&all);
        let elem = if self.args[arg].elem.is_float() { self.args[arg].elem } else { self.n.one_of(&INTS) };
        let ty = elem.x(self.n.one_of(&LANES));
        let v = self.value(k, ty, 4);
        let count = if self.n.below(3) == 2 { 1 + self.n.below(ty.lanes as usize) } else { ty.lanes as usize };
        let place = self.place(arg, count as i64 * i64::from(elem.bytes()));
        if self.n.below(4) == 3 {
            k.prefetch(self.args[arg].arg.at(place.at.clone() + (self.n.below(3) as i64 - 1) * 4096));
        }
        k.store_part(place, v, count);
    }

    fn ty(&mut self) -> Type {
        let elem = self.n.one_of(&ELEMS);
        elem.x(self.n.one_of(&LANES))
    }

    /// A value of that type: any expression, no deeper than `fuel`.
    pub fn value(&mut self, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
        if fuel == 0 || self.n.below(5) == 0 {
            return self.leaf(k, ty);
        }
        let v = crate::random_value::operation(self, k, ty, fuel - 1);
        self.values.push(v);
        v
    }

    fn leaf(&mut self, k: &mut KernelBuilder, ty: Type) -> Value {
        let same: Vec<Value> = self.values.iter().copied().filter(|&v| k.ty(v) == ty).collect();
        match self.n.below(6) {
            0 | 1 if !same.is_empty() => self.n.one_of(&same),
            2.. if !ty.elem.is_mask() => self.load(k, ty),
            _ => self.constant(k, ty),
        }
    }

    pub fn constant(&mut self, k: &mut KernelBuilder, ty: Type) -> Value {
        let mut seed = self.n.seed();
        match ty.elem {
            Elem::Mask(bits) => {
                let ints = ty.with_elem(match bits {
                    8 => Elem::I8,
                    16 => Elem::I16,
                    32 => Elem::I32,
                    _ => Elem::I64,
                });
                let (a, b) = (self.constant(k, ints), self.constant(k, ints));
                k.compare(Cond::Le, a, b)
            }
            e if e.is_float() => k.op(ty, Op::Const(Scalar::Float(pick(&mut seed, e)))),
            e => {
                let bits = 64 - e.bits();
                let raw = pick(&mut seed, e) << bits;
                k.int(ty, if e.is_signed() { raw as i64 >> bits } else { (raw >> bits) as i64 })
            }
        }
    }

    fn load(&mut self, k: &mut KernelBuilder, ty: Type) -> Value {
        let (size, lanes) = (i64::from(ty.elem.bytes()), ty.lanes as usize);
        // Emitters refuse other groups.
        let groups: Vec<usize> = [1, 2, 4, 8, 16].into_iter().filter(|&g| lanes.is_multiple_of(g) && g * size as usize <= 16).collect();
        let group = if self.n.below(3) == 2 { Some(self.n.one_of(&groups)) } else { None };
        let most = group.unwrap_or(lanes);
        let count = if self.n.below(3) == 2 { 1 + self.n.below(most) } else { most };
        let bytes = count as i64 * size;
        let rows: Vec<(Row, i64)> = self.rows.iter().copied().filter(|r| bytes <= r.1).collect();
        let place = if !rows.is_empty() && self.n.below(2) == 0 {
            let (row, of) = self.n.one_of(&rows);
            row.at(self.n.below((of - bytes + 1) as usize) as i64)
        } else {
            // Of an argument that is also written only what it is meant to hold: another type could show the bits of a NaN.
            let may = |a: &ArgInfo| match a.access {
                Access::Read => true,
                Access::Write => false,
                Access::ReadWrite => a.elem == ty.elem || !a.elem.is_float(),
            };
            let all: Vec<usize> = (0..self.args.len()).filter(|&a| may(&self.args[a])).collect();
            let arg = self.n.one_of(&all);
            self.place(arg, bytes)
        };
        let v = match group {
            Some(group) => k.load_splat_part(ty, group, place, count),
            None => k.load_part(ty, place, count),
        };
        self.values.push(v);
        v
    }

    /// 256 elements of an argument.
    pub fn table(&mut self, elem: Elem) -> Place {
        let arg = self.readable();
        self.place(arg, 256 * i64::from(elem.bytes()))
    }

    pub fn lanes_limit(&self) -> usize {
        LANES_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stmts: &[Stmt], seen: &mut std::collections::BTreeSet<String>) {
        let first_word = |debug: String| debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string();
        for s in stmts {
            seen.insert(first_word(format!("{s:?}")));
            match s {
                Stmt::Let(_, Op::Unary(op, _)) => drop(seen.insert(format!("{op:?}"))),
                Stmt::Let(_, Op::Binary(op, ..)) => drop(seen.insert(format!("{op:?}"))),
                Stmt::Let(_, op) => drop(seen.insert(first_word(format!("{op:?}")))),
                Stmt::Loop(l) => names(&l.body, seen),
                _ => {}
            }
        }
    }

    #[test]
    fn everything_occurs() {
        let (mut seen, mut number) = (std::collections::BTreeSet::new(), 1u32);
        for _ in 0..1000 {
            let choices: Vec<u32> = std::iter::repeat_with(|| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                number >> 8
            })
            .take(200)
            .collect();
            case(&choices).program.kernels.iter().for_each(|k| names(&k.body, &mut seen));
        }
        let all = "Let Store Loop Row Split Clamp Const Load LoadSplat ShlImm ShrImm RoundingShr Compare Select Fma FmaLane MulWide Dot DotLane DotMatrix \
                   Convert FromHalf ToHalf Widen Narrow NarrowSat Bitcast Splat Lane Concat Slice Interleave Deinterleave Repeat Permute Reduce ReduceEach Lookup Requantize \
                   Neg Abs Not Sqrt Floor Ceil RoundEven Trunc LeadingZeros \
                   Add Sub Mul Div Rem And Or Xor Min Max AddSat SubSat Shl Shr MulHighRound MulHigh";
        let missing: Vec<&str> = all.split_whitespace().filter(|&n| !seen.contains(n)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
