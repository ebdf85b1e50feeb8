//! The tile IR: a program is buffers, kernels and a schedule of calls; a kernel is structured vector code.
//!
//! Not a graph (no operator, no quantisation) and not machine code (no register, no instruction). The idea: everything an
//! emitter needs is explicit and everything an access touches is an [`Index`], so that one text serves every machine,
//! the interpreter gives it meaning, and the verifier proves that no access leaves its buffer.
//!
//! Arithmetic is total: integers wrap, division by zero gives 0, shift counts are masked, float-to-integer conversion
//! saturates (NaN gives 0), `min(a, b)` is `a < b ? a : b` and `max(a, b)` is `a > b ? a : b`. Memory order in the text is the meaning.
//! Addresses are in bytes.

use crate::index::{Counter, Index};
use crate::types::Type;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(pub u32);
/// A value of a kernel, in single assignment form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);
/// A buffer parameter of a kernel, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arg(pub u32);
/// A guarded row of a kernel: a pointer to so many bytes that are certainly readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub u32);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    pub name: String,
    pub buffers: Vec<Buffer>,
    pub kernels: Vec<Kernel>,
    /// A tree, executed from first to last.
    pub schedule: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The caller's, by position in the signature: only element aligned, unless planned into the arena.
    Input(u32),
    Output(u32),
    /// Bytes in the object. 64 further bytes after the last constant of an object are readable.
    Const,
    /// A place in the arena, decided by the planner.
    Scratch,
    /// A place in the caller's state, which survives an invocation.
    State,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub name: String,
    pub role: Role,
    pub size_bytes: u64,
    /// Power of two. Of an input or output: what the caller must guarantee.
    pub align: u32,
    /// Contents of a constant; what is in a state at first, if that is not zeros.
    pub data: Option<Bytes>,
    /// This buffer is the bytes of another one from `offset` on, and owns none.
    pub view: Option<View>,
    /// Offset in the arena, once planned (not of views): of scratch buffers, and of inputs and outputs where these are there too. Of states:
    /// in the caller's state.
    pub offset_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub parent: BufferId,
    pub offset_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Call(Call),
    /// Calls that may run at the same time and in any order: none writes what another one reads or writes.
    Parallel(Vec<Call>),
    /// The body, so many times, at least once. Parameters of the calls in it may advance from turn to turn.
    Repeat {
        count: u64,
        body: Vec<Step>,
    },
    /// One of two, by the first byte of a buffer: `then` unless it is 0.
    If {
        condition: BufferId,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    /// `test`, and while the first byte of the buffer is not 0 after it, `body` and `test` again.
    While {
        test: Vec<Step>,
        condition: BufferId,
        body: Vec<Step>,
    },
    /// Ends the invocation, with the status for an index out of range, unless the first four bytes of the buffer are 0.
    Check(BufferId),
}

impl Step {
    /// Its own calls, not those of steps inside of it.
    pub fn calls(&self) -> &[Call] {
        match self {
            Step::Call(c) => std::slice::from_ref(c),
            Step::Parallel(calls) => calls,
            _ => &[],
        }
    }
    /// The steps inside of it, in the order of the text.
    pub fn bodies(&self) -> [&[Step]; 2] {
        match self {
            Step::Call(_) | Step::Parallel(_) | Step::Check(_) => [&[], &[]],
            Step::Repeat { body, .. } => [body, &[]],
            Step::If { then, otherwise, .. } => [then, otherwise],
            Step::While { test, body, .. } => [test, body],
        }
    }
    pub fn bodies_mut(&mut self) -> Vec<&mut Vec<Step>> {
        match self {
            Step::Call(_) | Step::Parallel(_) | Step::Check(_) => vec![],
            Step::Repeat { body, .. } => vec![body],
            Step::If { then, otherwise, .. } => vec![then, otherwise],
            Step::While { test, body, .. } => vec![test, body],
        }
    }
}

/// Something that a schedule does at one place of its text: calls, or a look at a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub calls: &'a [Call],
    /// They may run at the same time.
    pub at_once: bool,
    /// A condition, or what a check looks at.
    pub looks_at: Option<BufferId>,
    /// Of the innermost `Repeat` around it; 1 if there is none.
    pub turns: u64,
}

/// A schedule as a line: what it does in the order of the text, which parts of it may come again, and which may not come at all.
#[derive(Clone, Debug, Default)]
pub struct Line<'a> {
    pub moments: Vec<Moment<'a>>,
    /// Ranges of moments, an outer loop before those inside of it.
    pub loops: Vec<Range<usize>>,
    /// Ranges of moments that are one of two branches, or the body of a loop that may not be entered.
    pub optional: Vec<Range<usize>>,
}

impl<'a> Line<'a> {
    pub fn of(schedule: &'a [Step]) -> Self {
        let mut line = Line::default();
        line.add(schedule, 1);
        line
    }

    fn add(&mut self, steps: &'a [Step], turns: u64) {
        for step in steps {
            match step {
                Step::Call(_) | Step::Parallel(_) => {
                    let at_once = matches!(step, Step::Parallel(_));
                    self.moments.push(Moment { calls: step.calls(), at_once, looks_at: None, turns });
                }
                Step::Check(b) => self.look(*b),
                Step::Repeat { count, body } => self.repeated(|line| line.add(body, *count)),
                Step::If { condition, then, otherwise } => {
                    self.look(*condition);
                    self.maybe(then, turns);
                    self.maybe(otherwise, turns);
                }
                Step::While { test, condition, body } => self.repeated(|line| {
                    line.add(test, turns);
                    line.look(*condition);
                    line.maybe(body, turns);
                }),
            }
        }
    }

    fn look(&mut self, buffer: BufferId) {
        self.moments.push(Moment { calls: &[], at_once: false, looks_at: Some(buffer), turns: 1 });
    }

    fn repeated(&mut self, write: impl FnOnce(&mut Self)) {
        let (at, first) = (self.loops.len(), self.moments.len());
        self.loops.push(0..0);
        write(self);
        self.loops[at] = first..self.moments.len();
    }

    fn maybe(&mut self, steps: &'a [Step], turns: u64) {
        let first = self.moments.len();
        self.add(steps, turns);
        self.optional.push(first..self.moments.len());
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub kernel: KernelId,
    pub buffers: Vec<BufferId>,
    pub params: Vec<i64>,
    /// What each turn of the innermost `Repeat` around the call adds to each parameter; empty: nothing.
    pub advance: Vec<i64>,
    /// Which operator this call belongs to: an index into the model's operators, for reports and profiles.
    pub operator: Option<u32>,
}

impl Call {
    /// Some parameter is another one in the next turn.
    pub fn advances(&self) -> bool {
        self.advance.iter().any(|a| *a != 0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub name: String,
    pub args: Vec<KernelArg>,
    pub params: Vec<String>,
    /// Type of every value, by number.
    pub types: Vec<Type>,
    /// Name of every counter, by number.
    pub counters: Vec<String>,
    pub rows: u32,
    pub body: Vec<Stmt>,
    /// It has no text of its own, and calls a function that is not the compiler's.
    pub foreign: Option<Foreign>,
}

/// A C function of the user's: `int32_t symbol(const cranelite_custom_call *)`, which gets the arguments that are read as inputs and those that are
/// written as outputs, in their order. A status that is not 0 ends the invocation. What it does with memory is not proved: it must read the
/// inputs and the options alone, and write all of the outputs and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    pub symbol: String,
    /// The read argument that is no input but the operator's options.
    pub options: Option<Arg>,
}

impl Foreign {
    /// The most arguments of its kernel.
    pub const ARGS_LIMIT: usize = 1 << 10;

    /// Whether C and linkers take it as the name of a function.
    pub fn is_symbol(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelArg {
    pub name: String,
    pub access: Access,
    /// This written argument may begin at the very byte where that read argument begins (in place).
    /// Without it the argument shares no byte with any other.
    pub in_place_of: Option<Arg>,
}

/// A memory address inside a buffer argument or a row, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub base: Base,
    pub at: Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    Arg(Arg),
    Row(Row),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    Let(Value, Op),
    /// Writes all lanes, or the first `count` of them and nothing beyond.
    Store {
        place: Place,
        value: Value,
        count: Option<u32>,
    },
    /// The bytes there will be read soon: a hint, which reads nothing and may point anywhere.
    Prefetch(Place),
    Loop(Box<Loop>),
    /// `row` = the `bytes` bytes at `arg[at]` if every guard holds, else the first `bytes` bytes of `fill`.
    Row {
        row: Row,
        arg: Arg,
        at: Index,
        bytes: Index,
        guards: Box<[Guard]>,
        fill: Arg,
    },
    /// `quotient · by + remainder = of`, with `0 <= remainder < by`; `of` is never negative.
    Split {
        quotient: Counter,
        remainder: Counter,
        of: Index,
        by: i64,
    },
    /// The only data-dependent index: `index = clamp(value, low, high)`; `value` is a scalar integer.
    Clamp {
        index: Counter,
        value: Value,
        low: i64,
        high: i64,
        /// The value is read from a table, a constant of every call, and the verifier has read there that it lies in `low..=high`: code
        /// need not compare it.
        known: bool,
    },
}

/// `0 <= index < limit`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    pub index: Index,
    pub limit: Index,
}

/// The counter runs 0, step, 2·step … below `count`, which may name parameters and counters: a clamped one makes a count from memory, of which
/// the most is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loop {
    pub counter: Counter,
    pub count: Index,
    pub step: i64,
    pub carried: Vec<Carried>,
    pub body: Vec<Stmt>,
}

/// A value that goes round a loop: `inside` is `init` in the first iteration and the last iteration's `next` afterwards;
/// `result` is its value after the loop (`init` if there was no iteration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Carried {
    pub init: Value,
    pub inside: Value,
    pub next: Value,
    pub result: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    Neg,
    /// Of the smallest signed integer: itself.
    Abs,
    /// Of integers: all bits; of masks: logical.
    Not,
    Sqrt,
    Floor,
    Ceil,
    RoundEven,
    Trunc,
    /// Count of leading zero bits, same type.
    LeadingZeros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Of integers: toward zero, by zero gives 0.
    Div,
    /// Sign of the dividend, by zero gives 0.
    Rem,
    /// And, or, xor: integers or masks.
    And,
    Or,
    Xor,
    Min,
    Max,
    /// Saturating, 8 and 16 bits.
    AddSat,
    SubSat,
    /// By a count per lane (masked to the lane's bits). `Shr` copies the sign bit of signed types.
    Shl,
    Shr,
    /// i32 × i32: saturating (2ab + 2^31) >> 32. TFLite's SaturatingRoundingDoublingHighMul, NEON's sqrdmulh.
    MulHighRound,
    /// i32 × i32: (ab) >> 32, the high half of the product. Arm's SMMUL; with a sum behind it, SMMLA.
    MulHigh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    TowardZero,
    NearestEven,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    Add,
    Min,
    Max,
}

/// What is known of the shift of a [`Op::Requantize`] when the kernel is made; TFLite's sign: positive is to the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShiftRange {
    /// This shift in every lane.
    Uniform(i8),
    /// -31..=-1 in every lane.
    Right,
    /// -31..=30.
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The same number in every lane.
    Const(Scalar),
    /// Consecutive lanes from memory; lanes from `count` on are zero and their bytes are not read.
    Load {
        place: Place,
        count: Option<u32>,
    },
    /// `group` consecutive elements, repeated to fill all lanes; of the group, elements from `count` on are zero and not read.
    LoadSplat {
        place: Place,
        group: u32,
        count: Option<u32>,
    },
    Unary(Unary, Value),
    Binary(Binary, Value, Value),
    /// Shifts by a constant.
    ShlImm(Value, u8),
    ShrImm(Value, u8),
    /// `x · 2^-n` rounded to nearest, ties away from zero: TFLite's RoundingDivideByPOT.
    RoundingShr(Value, u8),
    Compare(Cond, Value, Value),
    /// Lanes of the second where the mask is true, else of the third.
    Select(Value, Value, Value),
    /// `a · b + c` with one rounding.
    Fma(Value, Value, Value),
    /// `acc + a[lane] · b` with one rounding.
    FmaLane {
        acc: Value,
        a: Value,
        lane: u32,
        b: Value,
    },
    /// i32 × i32 -> i64, exact.
    MulWide(Value, Value),
    /// acc[i] + Σ over the group: a[i·group+g] · b[i·group+g]; products exact, sums wrap in 32 bits. Groups of 4 and 16: bytes; of 2 and 1: i16·i16.
    Dot {
        group: u32,
        acc: Value,
        a: Value,
        b: Value,
    },
    /// As [`Op::Dot`] with the lanes of `a` from `lane · group` on for every i.
    DotLane {
        group: u32,
        acc: Value,
        a: Value,
        lane: u32,
        b: Value,
    },
    /// Products of matrices of bytes. Of every 16 lanes, `a` and `b` hold two rows of eight; of every four, `acc` holds the sums of two rows for the two rows of
    /// `b`: `acc[4n + 2i + j] + Σ over k < 8: a[16n + 8i + k] · b[16n + 8j + k]`; products exact, sums wrap. Arm's SMMLA.
    DotMatrix {
        acc: Value,
        a: Value,
        b: Value,
    },
    /// Between float and integer or float widths; rounding of float to integer as given, saturating; to narrower floats to nearest even.
    Convert(Value, Rounding),
    /// Half floats (IEEE 754 binary16), whose bits are u16 lanes, to f32: exact. NaN keeps its payload as the upper bits and becomes quiet.
    FromHalf(Value),
    /// f32 to half floats as u16 lanes: to nearest, ties to even; what is too large becomes infinity. NaN keeps the upper bits of its payload and becomes quiet.
    ToHalf(Value),
    /// To an integer type with more bits, by value.
    Widen(Value),
    /// To an integer type with fewer bits: the low bits.
    Narrow(Value),
    /// To an integer type with fewer bits or other sign, saturating.
    NarrowSat(Value),
    /// Same bytes, other type.
    Bitcast(Value),
    /// A scalar in every lane.
    Splat(Value),
    /// One lane as a scalar.
    Lane(Value, u32),
    Concat(Value, Value),
    /// As many lanes as the result has, from `start` on.
    Slice(Value, u32),
    /// a0 b0 a1 b1 …
    Interleave(Value, Value),
    /// Every second lane, from 0 (even) or 1 (odd).
    Deinterleave(Value, u32),
    /// Lane i is lane (start + i) / times of the vector.
    Repeat {
        a: Value,
        times: u32,
        start: u32,
    },
    /// Lane i is lane `index[i]` of the segment that i lies in, where a segment is so many consecutive lanes (16, 32 or 64 bytes): each segment of `a`
    /// is a table. Elements of 8 or 32 bits, and indices of integers of as many, all of them below `segment`.
    Permute {
        a: Value,
        index: Value,
        segment: u32,
    },
    /// To a scalar. Fixed tree: while more than one lane is left, the upper half is combined onto the lower half (lanes are a power of two).
    Reduce(Reduce, Value),
    /// Several vectors of one type, each to the lane of its number, as [`Op::Reduce`] does.
    ReduceEach(Reduce, Box<[Value]>),
    /// For every lane of `index` (u8) the element at `place + index · size`: a table of 256 elements.
    Lookup {
        place: Place,
        index: Value,
    },
    /// TFLite's MultiplyByQuantizedMultiplier with double rounding on i32 lanes:
    /// RoundingDivideByPOT(MulHighRound(x << max(shift, 0), multiplier), max(-shift, 0)). No multiplier is -2^31 and every shift is in
    /// `range`, except that a lane whose multiplier is 0 gives 0 whatever its shift.
    Requantize {
        x: Value,
        multiplier: Value,
        shift: Value,
        range: ShiftRange,
    },
}

/// A constant, exact for its type: an integer's value or a float's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    Int(i64),
    /// Bits of an f32 in the low half, or of an f64, according to the type.
    Float(u64),
}

impl Op {
    /// The values an operation uses, in textual order.
    pub fn operands(&self) -> Vec<Value> {
        match *self {
            Op::Const(_) | Op::Load { .. } | Op::LoadSplat { .. } => vec![],
            Op::Unary(_, a)
            | Op::ShlImm(a, _)
            | Op::ShrImm(a, _)
            | Op::RoundingShr(a, _)
            | Op::Convert(a, _)
            | Op::FromHalf(a)
            | Op::ToHalf(a)
            | Op::Widen(a)
            | Op::Narrow(a)
            | Op::NarrowSat(a)
            | Op::Bitcast(a)
            | Op::Splat(a)
            | Op::Lane(a, _)
            | Op::Slice(a, _)
            | Op::Deinterleave(a, _)
            | Op::Repeat { a, .. }
            | Op::Reduce(_, a)
            | Op::Lookup { index: a, .. } => vec![a],
            Op::Binary(_, a, b) | Op::Compare(_, a, b) | Op::MulWide(a, b) | Op::Concat(a, b) | Op::Interleave(a, b) => vec![a, b],
            Op::Permute { a, index, .. } => vec![a, index],
            Op::Select(a, b, c) | Op::Fma(a, b, c) => vec![a, b, c],
            Op::FmaLane { acc, a, b, .. } | Op::Dot { acc, a, b, .. } | Op::DotLane { acc, a, b, .. } | Op::DotMatrix { acc, a, b } => {
                vec![acc, a, b]
            }
            Op::Requantize { x, multiplier, shift, .. } => vec![x, multiplier, shift],
            Op::ReduceEach(_, ref all) => all.to_vec(),
        }
    }

    /// The memory an operation reads, if any.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Op::Load { place, .. } | Op::LoadSplat { place, .. } | Op::Lookup { place, .. } => Some(place),
            _ => None,
        }
    }
}

impl Kernel {
    pub fn ty(&self, v: Value) -> Type {
        self.types[v.0 as usize]
    }

    /// The same code under any name: kernels for which this is equal are emitted once.
    pub fn same_code(&self, other: &Kernel) -> bool {
        self.args == other.args
            && self.params.len() == other.params.len()
            && self.types == other.types
            && self.rows == other.rows
            && self.body == other.body
            && self.foreign == other.foreign
    }

    /// Gives memory back that its lists have reserved: a program may keep thousands of kernels.
    pub fn shrink_to_fit(&mut self) {
        self.args.shrink_to_fit();
        self.params.shrink_to_fit();
        self.types.shrink_to_fit();
        self.counters.shrink_to_fit();
        shrink_to_fit(&mut self.body);
    }
}

fn shrink_to_fit(block: &mut Vec<Stmt>) {
    block.shrink_to_fit();
    for s in block {
        if let Stmt::Loop(l) = s {
            shrink_to_fit(&mut l.body);
        }
    }
}

/// What the caller keeps from one invocation to the next, for each instance of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is in it at first: as many bytes as it has, a multiple of the alignment.
    pub initial: Vec<u8>,
    /// A power of two; 1 where there is no state.
    pub align: u32,
}

impl Program {
    /// A new state behind the last that was added. Without `initial` its bytes are 0 at first.
    pub fn add_state(&mut self, name: &str, size_bytes: u64, align: u32, initial: Option<Bytes>) -> BufferId {
        let end = self.states().next_back().map_or(0, |b| b.offset_bytes.unwrap_or(0) + b.size_bytes);
        let offset_bytes = Some(end.next_multiple_of(u64::from(align)));
        self.buffers.push(Buffer { name: name.into(), role: Role::State, size_bytes, align, data: initial, view: None, offset_bytes });
        BufferId(self.buffers.len() as u32 - 1)
    }
    fn states(&self) -> impl DoubleEndedIterator<Item = &Buffer> {
        self.buffers.iter().filter(|b| b.role == Role::State && b.view.is_none())
    }
    /// All states together, for a program of sound buffers. `None` when there is not so much memory.
    pub fn state(&self) -> Option<State> {
        let mut state = State { initial: vec![], align: self.states().map(|b| b.align.max(8)).max().unwrap_or(1) };
        let end = self.states().map(|b| b.offset_bytes.unwrap_or(0) + b.size_bytes).max().unwrap_or(0);
        let size = usize::try_from(end.next_multiple_of(u64::from(state.align))).ok()?;
        state.initial.try_reserve_exact(size).ok()?;
        state.initial.resize(size, 0);
        for (b, data) in self.states().filter_map(|b| Some((b, b.data.as_ref()?))) {
            state.initial[b.offset_bytes.unwrap_or(0) as usize..][..data.len()].copy_from_slice(data);
        }
        Some(state)
    }

    /// The constants, by root, whose values the proof relies on.
    pub fn tables(&self) -> BTreeSet<BufferId> {
        fn tables(stmts: &[Stmt], loads: &mut BTreeMap<Value, Arg>, all: &mut BTreeSet<Arg>) {
            for s in stmts {
                match s {
                    Stmt::Let(v, Op::Load { place: Place { base: Base::Arg(arg), .. }, .. }) => drop(loads.insert(*v, *arg)),
                    Stmt::Clamp { value, known: true, .. } => all.extend(loads.get(value)),
                    Stmt::Loop(l) => tables(&l.body, loads, all),
                    _ => {}
                }
            }
        }
        let of_kernel = |k: &Kernel| {
            let mut all = BTreeSet::new();
            tables(&k.body, &mut BTreeMap::new(), &mut all);
            all
        };
        let by_kernel: Vec<BTreeSet<Arg>> = self.kernels.iter().map(of_kernel).collect();
        let of_call = |c: &Call| by_kernel[c.kernel.0 as usize].iter().map(|a| self.root(c.buffers[a.0 as usize]).0).collect::<Vec<_>>();
        self.calls().flat_map(of_call).collect()
    }

    /// For constants that may be others when the program runs: an index from a table is compared with its range there.
    pub fn distrust_constants(&mut self) {
        fn distrust(stmts: &mut [Stmt]) {
            for s in stmts {
                match s {
                    Stmt::Clamp { known, .. } => *known = false,
                    Stmt::Loop(l) => distrust(&mut l.body),
                    _ => {}
                }
            }
        }
        self.kernels.iter_mut().for_each(|k| distrust(&mut k.body));
    }

    /// Kernels of which others have been made are called no longer.
    pub fn remove_unused_kernels(&mut self) {
        let used: BTreeSet<KernelId> = self.calls().map(|c| c.kernel).collect();
        let mut number = 0;
        self.kernels.retain(|_| {
            number += 1;
            used.contains(&KernelId(number - 1))
        });
        let numbers: BTreeMap<KernelId, KernelId> = used.iter().zip(0..).map(|(&old, new)| (old, KernelId(new))).collect();
        for c in self.calls_mut() {
            c.kernel = numbers[&c.kernel];
        }
    }

    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }
    pub fn kernel(&self, id: KernelId) -> &Kernel {
        &self.kernels[id.0 as usize]
    }
    /// The buffer that owns the bytes of `id`, and where in it they begin.
    pub fn root(&self, mut id: BufferId) -> (BufferId, u64) {
        let mut offset = 0;
        while let Some(v) = self.buffer(id).view {
            offset += v.offset_bytes;
            id = v.parent;
        }
        (id, offset)
    }
    /// All calls in the order of their numbers, to be changed.
    pub fn calls_mut(&mut self) -> Vec<&mut Call> {
        fn collect<'a>(steps: &'a mut [Step], calls: &mut Vec<&'a mut Call>) {
            for step in steps {
                match step {
                    Step::Call(c) => calls.push(c),
                    Step::Parallel(all) => calls.extend(all),
                    _ => step.bodies_mut().into_iter().for_each(|body| collect(body, calls)),
                }
            }
        }
        let mut calls = vec![];
        collect(&mut self.schedule, &mut calls);
        calls
    }
    /// In the order of the text; a call's position in it is its number.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        let mut open = vec![self.schedule.iter()];
        let steps = std::iter::from_fn(move || {
            loop {
                let Some(step) = open.last_mut()?.next() else {
                    open.pop();
                    continue;
                };
                open.extend(step.bodies().into_iter().rev().map(<[Step]>::iter));
                return Some(step);
            }
        });
        steps.flat_map(Step::calls)
    }
}
