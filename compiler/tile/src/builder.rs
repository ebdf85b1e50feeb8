//! The pleasant way to write kernels.
//!
//! Not a checker: types are inferred and asserted here because a wrong one is a bug of a lowering, but whether an access is in
//! bounds is the verifier's business. The idea: a lowering reads like the kernel's text; Rust loops unroll, `repeat` does not.

use crate::index::{Counter, Index, Param};
use crate::program::*;
use crate::types::{Elem, Type};

pub struct KernelBuilder {
    kernel: Kernel,
    /// Innermost last.
    blocks: Vec<Vec<Stmt>>,
    /// Where constants are read from, and what they are.
    pool: Option<(Arg, Vec<u8>)>,
    is_pooling: bool,
}

impl Arg {
    /// The address `index` bytes into the argument.
    pub fn at(self, index: impl Into<Index>) -> Place {
        Place { base: Base::Arg(self), at: index.into() }
    }
}
impl Row {
    /// The address `index` bytes into the row.
    pub fn at(self, index: impl Into<Index>) -> Place {
        Place { base: Base::Row(self), at: index.into() }
    }
}

impl KernelBuilder {
    pub fn new(name: impl Into<String>) -> Self {
        KernelBuilder {
            kernel: Kernel {
                name: name.into(),
                args: vec![],
                params: vec![],
                types: vec![],
                counters: vec![],
                rows: 0,
                body: vec![],
                foreign: None,
            },
            blocks: vec![vec![]],
            pool: None,
            is_pooling: false,
        }
    }

    pub fn finish(mut self) -> Kernel {
        assert_eq!(self.blocks.len(), 1);
        self.kernel.body = self.blocks.pop().expect("one block");
        self.kernel
    }

    /// A kernel without text that calls a function of the user's. `options`: which of its arguments has the operator's options.
    pub fn finish_foreign(self, symbol: &str, options: Option<Arg>) -> Kernel {
        Kernel { foreign: Some(Foreign { symbol: symbol.into(), options }), ..self.finish() }
    }

    pub fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    // Parameters

    pub fn read(&mut self, name: &str) -> Arg {
        self.arg(name, Access::Read, None)
    }
    pub fn write(&mut self, name: &str) -> Arg {
        self.arg(name, Access::Write, None)
    }
    pub fn read_write(&mut self, name: &str) -> Arg {
        self.arg(name, Access::ReadWrite, None)
    }
    /// A written argument that may be the same memory as `of`.
    pub fn write_in_place(&mut self, name: &str, of: Arg) -> Arg {
        self.arg(name, Access::Write, Some(of))
    }
    /// A read and written argument that may be the same memory as `of`.
    pub fn read_write_in_place(&mut self, name: &str, of: Arg) -> Arg {
        self.arg(name, Access::ReadWrite, Some(of))
    }
    fn arg(&mut self, name: &str, access: Access, in_place_of: Option<Arg>) -> Arg {
        self.kernel.args.push(KernelArg { name: name.into(), access, in_place_of });
        Arg(self.kernel.args.len() as u32 - 1)
    }
    pub fn param(&mut self, name: &str) -> Param {
        self.kernel.params.push(name.into());
        Param(self.kernel.params.len() as u32 - 1)
    }

    // Structure

    fn counter(&mut self, name: &str) -> Counter {
        self.kernel.counters.push(name.into());
        Counter(self.kernel.counters.len() as u32 - 1)
    }
    fn value(&mut self, ty: Type) -> Value {
        self.kernel.types.push(ty);
        Value(self.kernel.types.len() as u32 - 1)
    }
    fn push(&mut self, s: Stmt) {
        self.blocks.last_mut().expect("a block").push(s);
    }
    /// Appends an operation whose result type cannot be inferred.
    pub fn op(&mut self, ty: Type, op: Op) -> Value {
        let v = self.value(ty);
        self.push(Stmt::Let(v, op));
        v
    }

    /// `loop name in 0..count step step`, carrying nothing.
    pub fn each(&mut self, name: &str, count: impl Into<Index>, step: i64, body: impl FnOnce(&mut Self, Counter)) {
        self.repeat(name, count, step, &[], |k, i, _| {
            body(k, i);
            vec![]
        });
    }

    /// `loop name in 0..count step step carry init`: `body` gets the carried values and returns their next values; the result is
    /// their values after the loop. A loop of constant single trip is still a loop; callers that want none write none.
    pub fn repeat(
        &mut self,
        name: &str,
        count: impl Into<Index>,
        step: i64,
        init: &[Value],
        body: impl FnOnce(&mut Self, Counter, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let counter = self.counter(name);
        let inside: Vec<Value> = init.iter().map(|&v| self.value(self.kernel.ty(v))).collect();
        self.blocks.push(vec![]);
        let next = body(self, counter, &inside);
        assert_eq!(next.len(), init.len(), "carried values of loop {name}");
        let stmts = self.blocks.pop().expect("the loop's block");
        let mut carried = vec![];
        let mut results = vec![];
        for ((&init, &inside), &next) in init.iter().zip(&inside).zip(&next) {
            assert_eq!(self.ty(init), self.ty(next), "carried value of loop {name}");
            let result = self.value(self.ty(init));
            carried.push(Carried { init, inside, next, result });
            results.push(result);
        }
        self.push(Stmt::Loop(Loop { counter, count: count.into(), step, carried, body: stmts }.into()));
        results
    }

    pub fn row(&mut self, arg: Arg, at: impl Into<Index>, bytes: impl Into<Index>, guards: Vec<Guard>, fill: Arg) -> Row {
        let row = Row(self.kernel.rows);
        self.kernel.rows += 1;
        self.push(Stmt::Row { row, arg, at: at.into(), bytes: bytes.into(), guards: guards.into(), fill });
        row
    }
    pub fn prefetch(&mut self, place: Place) {
        self.push(Stmt::Prefetch(place));
    }
    /// (quotient, remainder)
    pub fn split(&mut self, name: &str, of: impl Into<Index>, by: i64) -> (Counter, Counter) {
        let (quotient, remainder) = (self.counter(&format!("{name}_q")), self.counter(&format!("{name}_r")));
        self.push(Stmt::Split { quotient, remainder, of: of.into(), by });
        (quotient, remainder)
    }
    /// A data-dependent index, forced into `low..=high`.
    pub fn clamped_index(&mut self, name: &str, value: Value, low: i64, high: i64) -> Counter {
        let index = self.counter(name);
        self.push(Stmt::Clamp { index, value, low, high, known: false });
        index
    }
    /// An index from a table of constants, one element at `place`, all of which lie in `low..=high`.
    pub fn known_index(&mut self, name: &str, elem: Elem, place: Place, low: i64, high: i64) -> Counter {
        let value = self.load(elem.x(1), place);
        let index = self.counter(name);
        self.push(Stmt::Clamp { index, value, low, high, known: true });
        index
    }

    // Memory

    pub fn load(&mut self, ty: Type, place: Place) -> Value {
        self.op(ty, Op::Load { place, count: None })
    }
    /// The first `count` lanes; the others are zero.
    pub fn load_part(&mut self, ty: Type, place: Place, count: usize) -> Value {
        let count = (count < ty.lanes as usize).then_some(count as u32);
        self.op(ty, Op::Load { place, count })
    }
    /// `group` consecutive elements repeated over all lanes.
    pub fn load_splat(&mut self, ty: Type, group: usize, place: Place) -> Value {
        self.op(ty, Op::LoadSplat { place, group: group as u32, count: None })
    }
    /// As `load_splat`, reading only the first `count` elements of the group; the others are zero.
    pub fn load_splat_part(&mut self, ty: Type, group: usize, place: Place, count: usize) -> Value {
        let part = (count < group).then_some(count as u32);
        self.op(ty, Op::LoadSplat { place, group: group as u32, count: part })
    }
    pub fn store(&mut self, place: Place, value: Value) {
        self.push(Stmt::Store { place, value, count: None });
    }
    /// Only the first `count` lanes.
    pub fn store_part(&mut self, place: Place, value: Value, count: usize) {
        let count = (count < self.ty(value).lanes as usize).then_some(count as u32);
        self.push(Stmt::Store { place, value, count });
    }

    // Values

    /// In what `write` writes, constants are read from `arg`, so that the text is the same whatever they are.
    pub fn with_pool(&mut self, arg: Arg, write: impl FnOnce(&mut Self)) {
        assert!(self.pool.is_none(), "one pool per kernel");
        (self.pool, self.is_pooling) = (Some((arg, vec![])), true);
        write(self);
        self.is_pooling = false;
    }
    /// What must be in the memory that constants are read from.
    pub fn pooled(&mut self) -> Vec<u8> {
        self.pool.take().map_or(vec![], |p| p.1)
    }
    pub fn is_pooling(&self) -> bool {
        self.is_pooling
    }

    fn constant(&mut self, ty: Type, value: Scalar) -> Value {
        let Some((arg, bytes)) = self.pool.as_mut().filter(|_| self.is_pooling) else { return self.op(ty, Op::Const(value)) };
        let (size, bits) = match value {
            Scalar::Int(v) => (ty.elem.bytes() as usize, v as u64),
            Scalar::Float(bits) => (ty.elem.bytes() as usize, bits),
        };
        bytes.resize(bytes.len().next_multiple_of(size), 0);
        let place = arg.at(bytes.len());
        bytes.extend(&bits.to_le_bytes()[..size]);
        self.op(ty, Op::LoadSplat { place, group: 1, count: None })
    }

    pub fn int(&mut self, ty: Type, value: i64) -> Value {
        debug_assert!(ty.elem.is_int());
        let (low, high) = ty.elem.int_range();
        assert!(low <= value && value <= high, "{value} is no {ty}");
        self.constant(ty, Scalar::Int(value))
    }
    pub fn float(&mut self, ty: Type, value: f32) -> Value {
        match ty.elem {
            Elem::F32 => self.constant(ty, Scalar::Float(u64::from(value.to_bits()))),
            Elem::F64 => self.constant(ty, Scalar::Float(f64::from(value).to_bits())),
            _ => panic!("{ty} is no float"),
        }
    }
    pub fn double(&mut self, ty: Type, value: f64) -> Value {
        assert_eq!(ty.elem, Elem::F64);
        self.constant(ty, Scalar::Float(value.to_bits()))
    }
    pub fn unary(&mut self, op: Unary, a: Value) -> Value {
        self.op(self.ty(a), Op::Unary(op, a))
    }
    pub fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(a), self.ty(b), "{op:?}");
        self.op(self.ty(a), Op::Binary(op, a, b))
    }
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Add, a, b)
    }
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Sub, a, b)
    }
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Mul, a, b)
    }
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Div, a, b)
    }
    pub fn min(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Min, a, b)
    }
    pub fn max(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Max, a, b)
    }
    pub fn and(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::And, a, b)
    }
    pub fn or(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Or, a, b)
    }
    pub fn xor(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Xor, a, b)
    }
    pub fn mul_high_round(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::MulHighRound, a, b)
    }
    pub fn mul_high(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::MulHigh, a, b)
    }
    pub fn shl_imm(&mut self, a: Value, n: u8) -> Value {
        self.op(self.ty(a), Op::ShlImm(a, n))
    }
    /// Copies the sign of signed types.
    pub fn shr_imm(&mut self, a: Value, n: u8) -> Value {
        self.op(self.ty(a), Op::ShrImm(a, n))
    }
    pub fn rounding_shr(&mut self, a: Value, n: u8) -> Value {
        self.op(self.ty(a), Op::RoundingShr(a, n))
    }
    pub fn neg(&mut self, a: Value) -> Value {
        self.unary(Unary::Neg, a)
    }
    pub fn compare(&mut self, cond: Cond, a: Value, b: Value) -> Value {
        let ty = self.ty(a);
        assert_eq!(ty, self.ty(b), "compare");
        self.op(ty.with_elem(Elem::Mask(ty.elem.bits() as u8)), Op::Compare(cond, a, b))
    }
    pub fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(a), self.ty(b), "select");
        assert_eq!(self.ty(mask), self.ty(a).with_elem(Elem::Mask(self.ty(a).elem.bits() as u8)), "mask of select");
        self.op(self.ty(a), Op::Select(mask, a, b))
    }
    pub fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        assert!(self.ty(a) == self.ty(b) && self.ty(b) == self.ty(c), "fma");
        self.op(self.ty(a), Op::Fma(a, b, c))
    }
    pub fn fma_lane(&mut self, acc: Value, a: Value, lane: usize, b: Value) -> Value {
        assert_eq!(self.ty(acc), self.ty(b), "fma_lane");
        self.op(self.ty(acc), Op::FmaLane { acc, a, lane: lane as u32, b })
    }
    pub fn mul_wide(&mut self, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(a), self.ty(b), "mul_wide");
        self.op(self.ty(a).with_elem(Elem::I64), Op::MulWide(a, b))
    }
    pub fn dot(&mut self, group: usize, acc: Value, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(acc).lanes as usize * group, self.ty(a).lanes as usize, "dot");
        assert_eq!(self.ty(a).lanes, self.ty(b).lanes, "dot");
        self.op(self.ty(acc), Op::Dot { group: group as u32, acc, a, b })
    }
    pub fn dot_lane(&mut self, group: usize, acc: Value, a: Value, lane: usize, b: Value) -> Value {
        assert_eq!(self.ty(acc).lanes as usize * group, self.ty(b).lanes as usize, "dot_lane");
        self.op(self.ty(acc), Op::DotLane { group: group as u32, acc, a, lane: lane as u32, b })
    }
    pub fn dot_matrix(&mut self, acc: Value, a: Value, b: Value) -> Value {
        assert!(self.ty(acc).lanes * 4 == self.ty(a).lanes && self.ty(a).lanes == self.ty(b).lanes, "dot_matrix");
        self.op(self.ty(acc), Op::DotMatrix { acc, a, b })
    }
    pub fn convert(&mut self, a: Value, to: Elem, rounding: Rounding) -> Value {
        self.op(self.ty(a).with_elem(to), Op::Convert(a, rounding))
    }
    /// Integer to float (nearest even) or between float widths.
    pub fn to_float(&mut self, a: Value, to: Elem) -> Value {
        self.convert(a, to, Rounding::NearestEven)
    }
    /// Half floats, as u16 lanes, to f32.
    pub fn from_half(&mut self, a: Value) -> Value {
        self.op(self.ty(a).with_elem(Elem::F32), Op::FromHalf(a))
    }
    pub fn to_half(&mut self, a: Value) -> Value {
        self.op(self.ty(a).with_elem(Elem::U16), Op::ToHalf(a))
    }
    pub fn widen(&mut self, a: Value, to: Elem) -> Value {
        if self.ty(a).elem == to { a } else { self.op(self.ty(a).with_elem(to), Op::Widen(a)) }
    }
    pub fn narrow(&mut self, a: Value, to: Elem) -> Value {
        if self.ty(a).elem == to { a } else { self.op(self.ty(a).with_elem(to), Op::Narrow(a)) }
    }
    pub fn narrow_sat(&mut self, a: Value, to: Elem) -> Value {
        if self.ty(a).elem == to { a } else { self.op(self.ty(a).with_elem(to), Op::NarrowSat(a)) }
    }
    pub fn bitcast(&mut self, a: Value, ty: Type) -> Value {
        assert_eq!(self.ty(a).bytes(), ty.bytes(), "bitcast");
        self.op(ty, Op::Bitcast(a))
    }
    pub fn splat(&mut self, scalar: Value, lanes: usize) -> Value {
        assert_eq!(self.ty(scalar).lanes, 1, "splat");
        self.op(self.ty(scalar).with_lanes(lanes as u32), Op::Splat(scalar))
    }
    pub fn lane(&mut self, a: Value, lane: usize) -> Value {
        assert!(lane < self.ty(a).lanes as usize, "lane");
        self.op(self.ty(a).with_lanes(1), Op::Lane(a, lane as u32))
    }
    pub fn concat(&mut self, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(a).elem, self.ty(b).elem, "concat");
        self.op(self.ty(a).with_lanes(self.ty(a).lanes + self.ty(b).lanes), Op::Concat(a, b))
    }
    pub fn slice(&mut self, a: Value, start: usize, lanes: usize) -> Value {
        assert!(start + lanes <= self.ty(a).lanes as usize, "slice");
        self.op(self.ty(a).with_lanes(lanes as u32), Op::Slice(a, start as u32))
    }
    pub fn interleave(&mut self, a: Value, b: Value) -> Value {
        assert_eq!(self.ty(a), self.ty(b), "interleave");
        self.op(self.ty(a).with_lanes(self.ty(a).lanes * 2), Op::Interleave(a, b))
    }
    pub fn deinterleave(&mut self, a: Value, parity: usize) -> Value {
        assert_eq!(self.ty(a).lanes % 2, 0, "deinterleave");
        self.op(self.ty(a).with_lanes(self.ty(a).lanes / 2), Op::Deinterleave(a, parity as u32))
    }
    /// So many lanes, from `start` on, of a vector whose every lane comes so many times.
    pub fn repeat_lanes(&mut self, a: Value, times: usize, start: usize, lanes: usize) -> Value {
        self.op(self.ty(a).with_lanes(lanes as u32), Op::Repeat { a, times: times as u32, start: start as u32 })
    }
    /// Each lane is the one of its segment, of `segment` lanes, that its index (below `segment`) says.
    pub fn permute(&mut self, a: Value, index: Value, segment: usize) -> Value {
        assert_eq!(self.ty(a).lanes, self.ty(index).lanes, "permute");
        self.op(self.ty(a), Op::Permute { a, index, segment: segment as u32 })
    }
    pub fn reduce(&mut self, op: Reduce, a: Value) -> Value {
        self.op(self.ty(a).with_lanes(1), Op::Reduce(op, a))
    }
    /// Each vector to a lane.
    pub fn reduce_each(&mut self, op: Reduce, all: &[Value]) -> Value {
        self.op(self.ty(all[0]).with_lanes(all.len() as u32), Op::ReduceEach(op, all.into()))
    }
    pub fn lookup(&mut self, elem: Elem, place: Place, index: Value) -> Value {
        assert_eq!(self.ty(index).elem, Elem::U8, "lookup");
        self.op(self.ty(index).with_elem(elem), Op::Lookup { place, index })
    }
    pub fn requantize(&mut self, x: Value, multiplier: Value, shift: Value, range: ShiftRange) -> Value {
        assert!(self.ty(x) == self.ty(multiplier) && self.ty(x) == self.ty(shift), "requantize");
        self.op(self.ty(x), Op::Requantize { x, multiplier, shift, range })
    }
    /// `value` forced into `low..=high`.
    pub fn clamp_int(&mut self, value: Value, low: i64, high: i64) -> Value {
        let ty = self.ty(value);
        let (l, h) = (self.int(ty, low), self.int(ty, high));
        let v = self.max(value, l);
        self.min(v, h)
    }
}
