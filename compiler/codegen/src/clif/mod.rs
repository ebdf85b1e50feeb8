//! The clif emitter: a tile kernel becomes one Cranelift function with 128-bit vectors, or scalars where the machine has none.
//!
//! It optimises nothing that the text does not say and knows no operator. The ideas: a tile value is a list of register-sized
//! pieces (`pieces.rs`); addresses become moving pointers with constant displacements, one per loop and distinct stride
//! (`memory.rs`); whatever a machine lacks in vector form is done lane by lane.

mod arith;
mod fixed;
mod memory;
mod pieces;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Block, BlockArg, Function, InstBuilder, Signature, UserFuncName, types};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelite_tile::{Access, Base, Counter, Index, Kernel, Loop, Param, Row, Stmt, Type, Value};
use std::collections::BTreeMap;

/// What the emitter must know of the instruction set beyond what Cranelift hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    pub arch: Arch,
    /// 128-bit vectors exist.
    pub vectors: bool,
    /// x86: pshufb.
    pub ssse3: bool,
    /// x86: rounding, widening, 32-bit minimum and multiplication of vectors.
    pub sse41: bool,
    /// Fused multiply-add in hardware.
    pub fma: bool,
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

pub fn emit(kernel: &Kernel, features: &Features, config: TargetFrontendConfig) -> Result<Function, EmitError> {
    let mut function = Function::with_name_signature(UserFuncName::default(), signature(kernel, config.default_call_conv));
    let mut context = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut function, &mut context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let inputs = b.block_params(entry).to_vec();
    let (args, params) = inputs.split_at(kernel.args.len());
    let mut e = Emitter {
        kernel,
        features,
        values: vec![vec![]; kernel.types.len()],
        params: params.to_vec(),
        counters: vec![None; kernel.counters.len()],
        pointers: vec![BTreeMap::new()],
        movable: movable_args(kernel),
        error: None,
        b,
    };
    for (i, &pointer) in args.iter().enumerate() {
        e.define_pointer(Base::Arg(cranelite_tile::Arg(i as u32)), Index::default(), pointer);
    }
    e.stmts(&kernel.body);
    e.b.ins().return_(&[]);
    e.b.seal_all_blocks();
    let error = e.error.take();
    e.b.finalize(config);
    match error {
        Some(what) => Err(EmitError { kernel: kernel.name.clone(), what }),
        None => Ok(function),
    }
}

/// Arguments whose memory cannot change during the function: loads from them may move and fold.
fn movable_args(kernel: &Kernel) -> Vec<bool> {
    let overwritten: Vec<_> = kernel.args.iter().filter_map(|a| a.in_place_of).collect();
    kernel
        .args
        .iter()
        .enumerate()
        .map(|(i, a)| a.access == Access::Read && !overwritten.contains(&cranelite_tile::Arg(i as u32)))
        .collect()
}

/// A counter inside its loop.
#[derive(Clone, Copy)]
enum CounterValue {
    /// The loop runs once, or the split is trivial.
    Known(i64),
    Varies(ir::Value),
}

struct Emitter<'a> {
    kernel: &'a Kernel,
    features: &'a Features,
    b: FunctionBuilder<'a>,
    /// Pieces of every tile value, once defined.
    values: Vec<Vec<ir::Value>>,
    params: Vec<ir::Value>,
    counters: Vec<Option<CounterValue>>,
    /// Per open loop, outermost first: the pointers to `base[index]`; indices have no constant part.
    pointers: Vec<BTreeMap<(Base, PointerKey), ir::Value>>,
    movable: Vec<bool>,
    /// The first thing that could not be emitted.
    error: Option<String>,
}

/// An index in a form that can be ordered.
type PointerKey = Vec<(Option<Counter>, Vec<Param>, i64)>;

fn pointer_key(index: &Index) -> PointerKey {
    index.terms().iter().map(|t| (t.counter, t.params.clone(), t.coefficient)).collect()
}

impl Emitter<'_> {
    fn fail(&mut self, what: impl Into<String>) {
        self.error.get_or_insert(what.into());
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    fn pieces(&self, v: Value) -> Vec<ir::Value> {
        self.values[v.0 as usize].clone()
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for s in stmts {
            match s {
                Stmt::Let(v, op) => {
                    let pieces = self.op(self.ty(*v), op);
                    debug_assert_eq!(pieces.len(), self.piece_count(self.ty(*v)), "{op:?}");
                    self.values[v.0 as usize] = pieces;
                }
                Stmt::Store { place, value, count } => {
                    let pieces = self.pieces(*value);
                    self.store(place, self.ty(*value), &pieces, *count);
                }
                Stmt::Loop(l) => self.emit_loop(l),
                Stmt::Row { row, arg, at, bytes: _, guards, fill } => {
                    let inside = self.address(Base::Arg(*arg), at);
                    let mut pointer = inside;
                    if !guards.is_empty() {
                        let fill = self.address(Base::Arg(*fill), &Index::default());
                        let mut holds = None;
                        for g in guards {
                            let (index, limit) = (self.index_value(&g.index), self.index_value(&g.limit));
                            // Unsigned: negative indices are beyond every limit.
                            let ok = self.b.ins().icmp(IntCC::UnsignedLessThan, index, limit);
                            holds = Some(match holds {
                                None => ok,
                                Some(h) => self.b.ins().band(h, ok),
                            });
                        }
                        let holds = holds.expect("at least one guard");
                        pointer = self.b.ins().select(holds, inside, fill);
                    }
                    self.define_pointer(Base::Row(*row), Index::default(), pointer);
                }
                Stmt::Split { quotient, remainder, of, by } => {
                    let of = self.index_value(of);
                    let q = if by.count_ones() == 1 {
                        let n = self.b.ins().iconst(types::I64, i64::from(by.trailing_zeros()));
                        self.b.ins().ushr(of, n)
                    } else {
                        let by = self.b.ins().iconst(types::I64, *by);
                        self.b.ins().udiv(of, by)
                    };
                    let by = self.b.ins().iconst(types::I64, *by);
                    let whole = self.b.ins().imul(q, by);
                    let r = self.b.ins().isub(of, whole);
                    self.counters[quotient.0 as usize] = Some(CounterValue::Varies(q));
                    self.counters[remainder.0 as usize] = Some(CounterValue::Varies(r));
                }
                Stmt::Clamp { index, value, low, high } => {
                    let v = self.pieces(*value)[0];
                    let v = self.to_i64(self.ty(*value).elem, v);
                    let (low, high) = (self.b.ins().iconst(types::I64, *low), self.b.ins().iconst(types::I64, *high));
                    let below = self.b.ins().icmp(IntCC::SignedLessThan, v, low);
                    let v = self.b.ins().select(below, low, v);
                    let above = self.b.ins().icmp(IntCC::SignedGreaterThan, v, high);
                    let v = self.b.ins().select(above, high, v);
                    self.counters[index.0 as usize] = Some(CounterValue::Varies(v));
                }
            }
        }
    }

    /// Loops that carry values are while-loops on x86 and loops of unknown trip count everywhere; others test at the end.
    ///
    /// Why: in a do-while-loop each accumulator is used twice, by the back edge and by the exit, and Cranelift then folds no load
    /// into its operation. On aarch64 there are no memory operands to fold.
    fn emit_loop(&mut self, l: &Loop) {
        let trips = l.count.as_constant().map(|n| (n.max(0) as u64).div_ceil(l.step as u64));
        match trips {
            Some(0) => {
                for c in &l.carried {
                    self.values[c.result.0 as usize] = self.pieces(c.init);
                }
                return;
            }
            Some(1) => {
                self.counters[l.counter.0 as usize] = Some(CounterValue::Known(0));
                for c in &l.carried {
                    self.values[c.inside.0 as usize] = self.pieces(c.init);
                }
                self.stmts(&l.body);
                for c in &l.carried {
                    self.values[c.result.0 as usize] = self.pieces(c.next);
                }
                return;
            }
            _ => {}
        }
        let test_first = trips.is_none() || (self.features.arch == Arch::X86 && !l.carried.is_empty());

        // What goes round: the counter, the pointers, the carried pieces.
        let keys = self.moving_pointers(l);
        let zero = self.b.ins().iconst(types::I64, 0);
        let mut init = vec![zero];
        let mut strides = vec![];
        for (base, index) in &keys {
            let moving = index.part_with(l.counter);
            let start = index.clone() - moving.clone();
            init.push(self.address(*base, &start));
            strides.push(self.stride(&moving, l.step));
        }
        for c in &l.carried {
            init.extend(self.pieces(c.init));
        }
        let limit = self.index_value(&l.count);

        let (head, exit) = (self.b.create_block(), self.b.create_block());
        let params: Vec<ir::Value> = init
            .iter()
            .map(|&v| {
                let ty = self.b.func.dfg.value_type(v);
                self.b.append_block_param(head, ty)
            })
            .collect();
        self.jump(head, &init);
        self.b.switch_to_block(head);
        if test_first {
            let body = self.b.create_block();
            let go_on = self.b.ins().icmp(IntCC::SignedLessThan, params[0], limit);
            self.b.ins().brif(go_on, body, &[], exit, &[]);
            self.b.switch_to_block(body);
        }
        self.counters[l.counter.0 as usize] = Some(CounterValue::Varies(params[0]));
        self.pointers.push(BTreeMap::new());
        for ((base, index), &p) in keys.iter().zip(&params[1..]) {
            self.define_pointer(*base, index.clone(), p);
        }
        let mut rest = &params[1 + keys.len()..];
        for c in &l.carried {
            let (own, others) = rest.split_at(self.values[c.init.0 as usize].len());
            self.values[c.inside.0 as usize] = own.to_vec();
            rest = others;
        }
        self.stmts(&l.body);
        self.pointers.pop();

        let step = self.b.ins().iconst(types::I64, l.step);
        let mut next = vec![self.b.ins().iadd(params[0], step)];
        for (&p, &stride) in params[1..].iter().zip(&strides) {
            next.push(self.b.ins().iadd(p, stride));
        }
        for c in &l.carried {
            next.extend(self.pieces(c.next));
        }
        if test_first {
            self.jump(head, &next);
            for c in &l.carried {
                self.values[c.result.0 as usize] = self.pieces(c.inside);
            }
        } else {
            let results: Vec<ir::Value> = next[1 + keys.len()..].to_vec();
            let out: Vec<ir::Value> = results
                .iter()
                .map(|&v| {
                    let ty = self.b.func.dfg.value_type(v);
                    self.b.append_block_param(exit, ty)
                })
                .collect();
            let go_on = self.b.ins().icmp(IntCC::SignedLessThan, next[0], limit);
            let (next, results) = (block_args(&next), block_args(&results));
            self.b.ins().brif(go_on, head, &next, exit, &results);
            let mut out = out.as_slice();
            for c in &l.carried {
                let (own, others) = out.split_at(self.values[c.init.0 as usize].len());
                self.values[c.result.0 as usize] = own.to_vec();
                out = others;
            }
        }
        self.b.switch_to_block(exit);
    }

    fn jump(&mut self, block: Block, args: &[ir::Value]) {
        self.b.ins().jump(block, &block_args(args));
    }

    /// The pointers that advance with the loop's counter: every distinct variable part of an address in it, as far as it is known
    /// outside of the loops further in.
    fn moving_pointers(&self, l: &Loop) -> Vec<(Base, Index)> {
        let mut inner = vec![];
        let mut rows = vec![];
        let mut places = vec![];
        collect(&l.body, &mut inner, &mut rows, &mut places);
        let mut keys: Vec<(Base, Index)> = vec![];
        for (base, index) in places {
            if matches!(base, Base::Row(r) if rows.contains(&r)) {
                continue;
            }
            let index = self.reduced(&index.without_constant().retain_counters(|c| !inner.contains(&c)));
            if index.counters().any(|c| c == l.counter) && !keys.iter().any(|(b, i)| *b == base && *i == index) {
                keys.push((base, index));
            }
        }
        keys
    }

    /// Without the counters whose value is known to be 0, and without those that are no loop's and so have no moving pointer.
    fn reduced(&self, index: &Index) -> Index {
        index.retain_counters(|c| !matches!(self.counters[c.0 as usize], Some(CounterValue::Known(0))))
    }
}

fn block_args(values: &[ir::Value]) -> Vec<BlockArg> {
    values.iter().map(|&v| BlockArg::Value(v)).collect()
}

/// Counters and rows defined in `stmts`, and the addresses used there.
fn collect(stmts: &[Stmt], counters: &mut Vec<Counter>, rows: &mut Vec<Row>, places: &mut Vec<(Base, Index)>) {
    for s in stmts {
        match s {
            Stmt::Let(_, op) => places.extend(op.place().map(|p| (p.base, p.at.clone()))),
            Stmt::Store { place, .. } => places.push((place.base, place.at.clone())),
            Stmt::Loop(l) => {
                counters.push(l.counter);
                collect(&l.body, counters, rows, places);
            }
            Stmt::Row { row, arg, at, .. } => {
                rows.push(*row);
                places.push((Base::Arg(*arg), at.clone()));
            }
            Stmt::Split { quotient, remainder, .. } => counters.extend([*quotient, *remainder]),
            Stmt::Clamp { index, .. } => counters.push(*index),
        }
    }
}
