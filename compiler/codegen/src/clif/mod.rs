//! The clif emitter: a tile kernel becomes one Cranelift function with 128-bit vectors, or scalars where the machine has none.
//!
//! It knows no operator and no model. The ideas: a tile value is a list of register-sized pieces (`pieces.rs`); addresses become
//! pointers that move with the loops (`loops.rs`, `memory.rs`); what a machine lacks in vector form is done lane by lane.
//!
//! Cranelift's optimiser stays off, because it reorders pure code with no regard for registers: the order of the text is the
//! schedule. What remains for the emitter to do is to move constants and addresses out of loops, which it does as it goes: code is
//! written at the *level* (depth of loops) to which it belongs.

mod arith;
mod convert;
mod dot;
mod fixed;
mod loops;
mod memory;
mod pieces;
mod round;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Function, InsertBuilder, InstBuilder, Signature, UserFuncName, types};
use cranelift_codegen::isa::CallConv;
use cranelite_tile::{Access, Base, Binary, Index, Kernel, Op, Scalar, Stmt, Type, Value, halves};
use loops::{CounterValue, Scope};
use std::collections::BTreeMap;

/// What the emitter must know of the instruction set beyond what Cranelift hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    pub arch: Arch,
    /// 128-bit vectors exist.
    pub vectors: bool,
    /// x86: shuffles of bytes.
    pub ssse3: bool,
    /// x86: rounding, widening, 32-bit minimum and signed multiplication of vectors.
    pub sse41: bool,
    /// x86: instructions with three operands.
    pub avx: bool,
    /// Fused multiply-add in hardware.
    pub fma: bool,
    /// Dot products of bytes in hardware: unsigned by signed on x86, signed by signed on Arm.
    pub byte_dot: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86,
    Arm,
    Riscv,
}

/// Why a kernel cannot be emitted; always a bug of a lowering or of a machine's data.
#[derive(Debug, thiserror::Error)]
#[error("kernel {kernel}: {what}")]
pub struct EmitError {
    pub kernel: String,
    pub what: String,
}

/// Signature of a kernel's function: a pointer per buffer, then an i64 per index parameter.
pub fn signature(kernel: &Kernel, call_conv: CallConv) -> Signature {
    let mut s = Signature::new(call_conv);
    s.params = vec![AbiParam::new(types::I64); kernel.args.len() + kernel.params.len()];
    s
}

pub fn emit(kernel: &Kernel, features: &Features, call_conv: CallConv) -> Result<Function, EmitError> {
    let expanded = halves::expanded(kernel);
    let kernel = expanded.as_ref().unwrap_or(kernel);
    let mut function = Function::with_name_signature(UserFuncName::default(), signature(kernel, call_conv));
    let entry = function.dfg.make_block();
    function.layout.append_block(entry);
    let inputs: Vec<ir::Value> =
        (0..kernel.args.len() + kernel.params.len()).map(|_| function.dfg.append_block_param(entry, types::I64)).collect();
    let (args, params) = inputs.split_at(kernel.args.len());
    let mut e = Emitter {
        kernel,
        features,
        values: vec![vec![]; kernel.types.len()],
        value_levels: vec![0; kernel.types.len()],
        defs: vec![None; kernel.types.len()],
        uses: vec![0; kernel.types.len()],
        params: params.to_vec(),
        counters: vec![None; kernel.counters.len()],
        row_levels: vec![0; kernel.rows as usize],
        table_maps: BTreeMap::new(),
        skipped: vec![false; kernel.types.len()],
        scopes: vec![Scope::default()],
        level: 0,
        movable: movable_args(kernel),
        error: None,
        cursor: FuncCursor::new(&mut function),
    };
    e.survey(&kernel.body);
    e.find_table_maps(&kernel.body);
    e.find_widened_loads(&kernel.body);
    e.cursor.goto_bottom(entry);
    for (i, &pointer) in args.iter().enumerate() {
        e.define_pointer(Base::Arg(cranelite_tile::Arg(i as u32)), &Index::default(), pointer);
    }
    e.stmts(&kernel.body);
    e.ins().return_(&[]);
    match e.error.take() {
        Some(what) => Err(EmitError { kernel: kernel.name.clone(), what }),
        None => Ok(function),
    }
}

/// Arguments whose memory cannot change during the function: loads from them may move and fold.
fn movable_args(kernel: &Kernel) -> Vec<bool> {
    let overwritten: Vec<_> = kernel.args.iter().filter_map(|a| a.in_place_of).collect();
    let movable =
        |(i, a): (usize, &cranelite_tile::KernelArg)| a.access == Access::Read && !overwritten.contains(&cranelite_tile::Arg(i as u32));
    kernel.args.iter().enumerate().map(movable).collect()
}

struct Emitter<'a> {
    kernel: &'a Kernel,
    features: &'a Features,
    cursor: FuncCursor<'a>,
    /// Pieces of every tile value, once defined.
    values: Vec<Vec<ir::Value>>,
    /// The level at which they were written.
    value_levels: Vec<usize>,
    /// The operation that defines a value, if one does.
    defs: Vec<Option<&'a Op>>,
    /// How often a value is used in the text.
    uses: Vec<u32>,
    params: Vec<ir::Value>,
    /// With the level at which they vary.
    counters: Vec<Option<(CounterValue, usize)>>,
    row_levels: Vec<usize>,
    /// By the stored value.
    table_maps: BTreeMap<u32, memory::TableMap<'a>>,
    /// Values that are part of a table map or a widening load, and not computed by themselves.
    skipped: Vec<bool>,
    /// The function's own and one per open loop, outermost first.
    scopes: Vec<Scope>,
    /// The scope that code is being written in.
    level: usize,
    movable: Vec<bool>,
    /// The first thing that could not be emitted.
    error: Option<String>,
}

impl<'a> Emitter<'a> {
    fn ins<'c>(&'c mut self) -> InsertBuilder<'c, &'c mut FuncCursor<'a>> {
        self.cursor.ins()
    }

    fn fail(&mut self, what: impl Into<String>) {
        self.error.get_or_insert(what.into());
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    fn pieces(&self, v: Value) -> Vec<ir::Value> {
        self.values[v.0 as usize].clone()
    }

    /// The operation that defines `v`.
    fn def(&self, v: Value) -> Option<&'a Op> {
        self.defs[v.0 as usize]
    }

    /// Definitions and numbers of uses.
    fn survey(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            let mut count = |v: &Value| self.uses[v.0 as usize] += 1;
            match s {
                Stmt::Let(v, op) => {
                    op.operands().iter().for_each(count);
                    self.defs[v.0 as usize] = Some(op);
                }
                Stmt::Store { value, .. } | Stmt::Clamp { value, .. } => count(value),
                Stmt::Loop(l) => {
                    l.carried.iter().for_each(|c| {
                        count(&c.init);
                        count(&c.next);
                    });
                    self.survey(&l.body);
                }
                Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Prefetch(_) => {}
            }
        }
    }

    fn stmts(&mut self, stmts: &'a [Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let(v, _) if self.skipped[v.0 as usize] => self.value_levels[v.0 as usize] = self.level,
                Stmt::Let(v, op) => {
                    let level = self.level_of(op);
                    let pieces = self.at_level(level, |e| e.op(*v, op));
                    self.define(*v, level, pieces);
                }
                Stmt::Store { place, value, count } => match self.table_maps.remove(&value.0) {
                    Some(m) => self.map_through_table(&m),
                    None => self.store(place, *value, *count),
                },
                // Cranelift has no such instruction.
                Stmt::Prefetch(_) => {}
                Stmt::Loop(l) => self.emit_loop(l),
                Stmt::Row { row, arg, at, bytes: _, guards, fill } => {
                    let mut pointer = self.address(Base::Arg(*arg), at);
                    let mut holds = None;
                    for g in guards {
                        let (index, limit) = (self.index_value(&g.index), self.index_value(&g.limit));
                        // Unsigned: negative indices are beyond every limit.
                        let ok = self.ins().icmp(IntCC::UnsignedLessThan, index, limit);
                        holds = Some(match holds {
                            None => ok,
                            Some(h) => self.ins().band(h, ok),
                        });
                    }
                    if let Some(holds) = holds {
                        let fill = self.address(Base::Arg(*fill), &Index::default());
                        pointer = self.ins().select(holds, pointer, fill);
                    }
                    self.row_levels[row.0 as usize] = self.level;
                    self.define_pointer(Base::Row(*row), &Index::default(), pointer);
                }
                Stmt::Split { quotient, remainder, of, by } => {
                    let of = self.index_value(of);
                    let q = self.quotient(of, *by as u64);
                    let by = self.i64(*by);
                    let whole = self.ins().imul(q, by);
                    let r = self.ins().isub(of, whole);
                    self.counters[quotient.0 as usize] = Some((CounterValue::Varies(q), self.level));
                    self.counters[remainder.0 as usize] = Some((CounterValue::Varies(r), self.level));
                }
                Stmt::Clamp { index, value, low, high, known } => {
                    let (least, most) = if *known { (*low, *high) } else { self.range_of(*value) };
                    let v = self.pieces(*value)[0];
                    let mut v = self.extend_scalar(self.ty(*value).elem, v, types::I64);
                    if least < *low {
                        let low = self.i64(*low);
                        v = self.ins().smax(v, low);
                    }
                    if *high < most {
                        let high = self.i64(*high);
                        v = self.ins().smin(v, high);
                    }
                    self.counters[index.0 as usize] = Some((CounterValue::Varies(v), self.level));
                }
            }
        }
    }

    /// Between which integers a value lies, by its type or because it is masked by a constant.
    fn range_of(&self, v: Value) -> (i64, i64) {
        let of_type = self.ty(v).elem.int_range();
        let Some(&Op::Binary(Binary::And, a, b)) = self.def(v) else { return of_type };
        let mask = |v: Value| if let Some(&Op::Const(Scalar::Int(n))) = self.def(v) { Some(n).filter(|n| 0 <= *n) } else { None };
        mask(a).or(mask(b)).map_or(of_type, |most| (0, most))
    }

    fn define(&mut self, v: Value, level: usize, pieces: Vec<ir::Value>) {
        debug_assert_eq!(pieces.len(), self.piece_count(self.ty(v)), "{v:?} = {:?}", self.def(v));
        self.values[v.0 as usize] = pieces;
        self.value_levels[v.0 as usize] = level;
    }

    fn i64(&mut self, value: i64) -> ir::Value {
        self.ins().iconst(types::I64, value)
    }

    /// The amount of a shift.
    fn amount(&mut self, bits: u32) -> ir::Value {
        self.ins().iconst(types::I32, i64::from(bits))
    }
}
