//! The entry points: check the caller's pointers, find a level that the CPU has, then run that level's body.
//!
//! `int32_t PREFIX_invoke(const void *const inputs[], void *const outputs[], void *arena)`, with a state and weights where there are any: to the machine, the structures of the
//! generated header are arrays of pointers. Nothing of the caller's memory is touched, and no instruction beyond the target's baseline
//! is executed, unless all checks pass. What calls the kernels of a level is in `schedule.rs`.

use super::compile::inner_call_conv;
use super::schedule::{Arguments, Body, Piece, load_pointer};
use super::self_test;
use super::weights::Expected;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, UserFuncName, types};
use cranelift_module::{DataId, FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::Role;

/// Status codes; never renumbered.
pub const OK: i64 = 0;
pub const NULL_POINTER: i64 = 1;
pub const MISALIGNED_ARENA: i64 = 2;
pub const INDEX_OUT_OF_RANGE: i64 = 3;
pub const CPU_LACKS_FEATURE: i64 = 4;
pub const EXECUTOR_FAILED: i64 = 6;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Inputs, outputs, arena; the best level that the CPU has.
    Invoke,
    /// The level's number before them.
    At,
    /// A hook and what is passed to it after them.
    Profile,
    /// An executor after them.
    Parallel,
    /// Arena (and state, and weights), a buffer for inputs and outputs, where to say which output is wrong.
    SelfTest,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::At => "invoke_at",
            Kind::Profile => "profile",
            Kind::Parallel => "invoke_parallel",
            Kind::SelfTest => "selftest",
        }
    }

    /// Which kind of body it runs.
    pub fn body(self) -> Kind {
        if self == Kind::At { Kind::Invoke } else { self }
    }
}

/// More pointers than these are checked by a loop.
const POINTERS_LIMIT: u32 = 64;

/// What entry points know of the object.
pub struct Entries<'a> {
    pub bodies: &'a [Body<'a>],
    pub arena_bytes: u64,
    pub arena_align: u32,
    pub state_align: u32,
    pub choice: Choice,
    pub form: Form,
    /// What they want of weights that the caller has.
    pub weights: Option<Expected>,
    /// Once it is there: what runs without an executor.
    pub invoke: Option<FuncId>,
}

/// Which parameters entry points have.
#[derive(Clone, Copy, Default)]
pub struct Form {
    /// Then there are none for inputs and outputs.
    pub io_in_arena: bool,
    /// One more after the arena.
    pub state: bool,
    /// And one after that.
    pub weights: bool,
}

/// How a level is chosen.
pub struct Choice {
    /// Bits of features that each level needs; 0: every CPU will do.
    pub needed: Vec<u32>,
    /// Numbers of levels, the best first.
    pub order: Vec<usize>,
    /// None if no level needs anything.
    pub ask: Option<Ask>,
}

/// How to find out what the CPU has.
pub struct Ask {
    /// The function of `cpu.rs`.
    pub function: FuncId,
    /// Its answer, once it was called. Every thread writes the same there, so it does not matter which is first.
    pub word: DataId,
}

/// A function that runs one level without any check.
pub fn body(body: &Body, kind: Kind, form: Form, module: &mut ObjectModule) -> Function {
    let (mut function, params) = begin(kind, form, module);
    let mut c = at_first_block(&mut function);
    let (arguments, _) = arguments(&mut c, kind, form, &params);
    body.write(&mut c, module, kind, arguments, &params);
    function
}

/// A function with the parameters of such a body, and the turn if it is `repeated`, for a part of what it does.
pub fn part(body: &Body, pieces: &[Piece], kind: Kind, form: Form, repeated: bool, module: &mut ObjectModule) -> Function {
    let mut signature = signature(kind, form, module);
    signature.params.extend(repeated.then(|| AbiParam::new(types::I64)));
    let (mut function, mut params) = begin_function(signature);
    let turn = if repeated { params.pop() } else { None };
    let mut c = at_first_block(&mut function);
    let (arguments, _) = arguments(&mut c, kind, form, &params);
    body.write_pieces(&mut c, module, arguments, &params, turn, pieces);
    let ok = c.ins().iconst(types::I32, OK);
    c.ins().return_(&[ok]);
    function
}

impl Entries<'_> {
    /// `functions` run one level each; without them the body of the only level is written in place.
    pub fn build(&self, kind: Kind, module: &mut ObjectModule, functions: Option<&[FuncId]>) -> Function {
        let (mut function, params) = begin(kind, self.form, module);
        let mut c = at_first_block(&mut function);
        let (arguments, level) = arguments(&mut c, kind, self.form, &params);
        if let Some(executor) = arguments.executor {
            self.serial_without(&mut c, module, executor, &params[..params.len() - 1]);
        }
        self.refuse_wrong_pointers(&mut c, arguments);
        match functions {
            None => {
                let features = self.choice.ask.as_ref().map(|ask| ask.features(&mut c, module));
                if let Some(lacks) = self.choice.lacks(&mut c, features, 0) {
                    refuse_if(&mut c, lacks, CPU_LACKS_FEATURE);
                }
                self.bodies[0].write(&mut c, module, kind, arguments, &params);
            }
            Some(functions) => {
                let passed = if kind == Kind::At { &params[1..] } else { &params[..] };
                self.call_a_level(&mut c, module, level, functions, passed);
            }
        }
        function
    }

    /// Runs the level that `invoke` would run by one of `functions`, which test one level each.
    pub fn self_test(&self, module: &mut ObjectModule, functions: &[FuncId]) -> Function {
        let (mut function, params) = begin(Kind::SelfTest, self.form, module);
        let mut c = at_first_block(&mut function);
        let Some((&arena, rest)) = params.split_first() else { unreachable!("there is an arena") };
        let state = self.form.state.then(|| rest[0]);
        let (weights, buffer) = (self.weights.map(|expected| (expected, rest[rest.len() - 3])), rest[rest.len() - 2]);
        let wanted = (0 < self.arena_bytes).then_some(arena).into_iter().chain(state).chain(weights.map(|w| w.1)).chain([buffer]);
        refuse_if_any_null(&mut c, &wanted.collect::<Vec<_>>());
        self.refuse_misaligned_memory(&mut c, arena, state);
        refuse_misaligned(&mut c, buffer, self_test::BUFFER_ALIGN);
        if let Some((expected, weights)) = weights {
            expected.refuse_others(&mut c, weights);
        }
        self.call_a_level(&mut c, module, None, functions, &params);
        function
    }

    /// Calls the best of several functions, or the one with that number, and returns.
    fn call_a_level(
        &self,
        c: &mut FuncCursor,
        module: &mut ObjectModule,
        level: Option<ir::Value>,
        functions: &[FuncId],
        passed: &[ir::Value],
    ) {
        let features = self.choice.ask.as_ref().map(|ask| ask.features(c, module));
        let blocks: Vec<Block> = functions.iter().map(|_| c.func.dfg.make_block()).collect();
        match level {
            None => self.choice.best(c, features, &blocks),
            Some(level) => self.choice.pinned(c, features, level, &blocks),
        }
        for (&block, &function) in blocks.iter().zip(functions) {
            if !c.func.layout.is_block_inserted(block) {
                continue;
            }
            c.goto_bottom(block);
            let function = module.declare_func_in_func(function, c.func);
            let call = c.ins().call(function, passed);
            let status = c.func.dfg.first_result(call);
            c.ins().return_(&[status]);
        }
    }

    /// Without an executor, does what `invoke` does.
    fn serial_without(&self, c: &mut FuncCursor, module: &mut ObjectModule, executor: ir::Value, passed: &[ir::Value]) {
        let (serial, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        c.ins().brif(executor, go_on, &[], serial, &[]);
        c.insert_block(serial);
        let invoke = module.declare_func_in_func(self.invoke.expect("the first entry point"), c.func);
        let call = c.ins().call(invoke, passed);
        let status = c.func.dfg.first_result(call);
        c.ins().return_(&[status]);
        c.insert_block(go_on);
        let run = load_pointer(c, executor, 0);
        refuse_if_any_null(c, &[run]);
    }

    fn refuse_wrong_pointers(&self, c: &mut FuncCursor, arguments: Arguments) {
        let Arguments { inputs, outputs, arena, state, weights, .. } = arguments;
        // The structures, where there are any, then what they hold.
        let buffers = self.bodies[0].program.buffers.iter().filter(|b| b.view.is_none() && !self.form.io_in_arena);
        let mut counts = [0u32; 2];
        for b in buffers {
            match b.role {
                Role::Input(i) => counts[0] = counts[0].max(i + 1),
                Role::Output(i) => counts[1] = counts[1].max(i + 1),
                _ => {}
            }
        }
        let mut pointers: Vec<ir::Value> = [inputs, outputs].into_iter().zip(counts).filter(|(_, n)| 0 < *n).map(|(p, _)| p).collect();
        if 0 < self.arena_bytes || self.form.io_in_arena {
            pointers.push(arena);
        }
        pointers.extend(state);
        pointers.extend(weights);
        refuse_if_any_null(c, &pointers);
        let mut held = vec![];
        for (structure, n) in [inputs, outputs].into_iter().zip(counts) {
            if POINTERS_LIMIT < n {
                refuse_if_one_is_null(c, structure, n);
                continue;
            }
            for i in 0..n {
                held.push(load_pointer(c, structure, i));
            }
        }
        refuse_if_any_null(c, &held);
        self.refuse_misaligned_memory(c, arena, state);
        if let (Some(expected), Some(weights)) = (&self.weights, weights) {
            expected.refuse_others(c, weights);
        }
    }

    fn refuse_misaligned_memory(&self, c: &mut FuncCursor, arena: ir::Value, state: Option<ir::Value>) {
        if 0 < self.arena_bytes && 1 < self.arena_align {
            refuse_misaligned(c, arena, self.arena_align.into());
        }
        if let Some(state) = state {
            refuse_misaligned(c, state, self.state_align.into());
        }
    }
}

impl Choice {
    /// Goes to the block of the first level in order that the CPU has.
    fn best(&self, c: &mut FuncCursor, features: Option<ir::Value>, blocks: &[Block]) {
        for &level in &self.order {
            let Some(lacks) = self.lacks(c, features, level) else {
                c.ins().jump(blocks[level], &[]);
                c.func.layout.append_block(blocks[level]);
                return;
            };
            let next = c.func.dfg.make_block();
            c.ins().brif(lacks, next, &[], blocks[level], &[]);
            c.func.layout.append_block(blocks[level]);
            c.func.layout.append_block(next);
            c.goto_bottom(next);
        }
        refuse(c, CPU_LACKS_FEATURE);
    }

    /// Goes to the block of the level with that number if there is one and the CPU has it.
    fn pinned(&self, c: &mut FuncCursor, features: Option<ir::Value>, number: ir::Value, blocks: &[Block]) {
        for (level, &block) in blocks.iter().enumerate() {
            let (this, next) = (c.func.dfg.make_block(), c.func.dfg.make_block());
            let is_this = c.ins().icmp_imm_u(IntCC::Equal, number, level as i64);
            c.ins().brif(is_this, this, &[], next, &[]);
            c.func.layout.append_block(this);
            c.goto_bottom(this);
            if let Some(lacks) = self.lacks(c, features, level) {
                refuse_if(c, lacks, CPU_LACKS_FEATURE);
            }
            c.ins().jump(block, &[]);
            c.func.layout.append_block(block);
            c.func.layout.append_block(next);
            c.goto_bottom(next);
        }
        refuse(c, CPU_LACKS_FEATURE);
    }

    /// Not 0 if the CPU lacks something that a level needs; none if the level needs nothing.
    fn lacks(&self, c: &mut FuncCursor, features: Option<ir::Value>, level: usize) -> Option<ir::Value> {
        let needed = self.needed[level];
        let features = features.filter(|_| needed != 0)?;
        let absent = c.ins().bnot(features);
        Some(c.ins().band_imm_u(absent, i64::from(needed)))
    }
}

impl Ask {
    /// What the CPU has, from the word, or from the CPU while the word is 0.
    fn features(&self, c: &mut FuncCursor, module: &mut ObjectModule) -> ir::Value {
        let flags = MemFlagsData::new().with_notrap().with_aligned();
        let word = module.declare_data_in_func(self.word, c.func);
        let address = c.ins().symbol_value(types::I64, word);
        let cached = c.ins().load(types::I32, flags, address, 0);
        let (ask, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        let features = c.func.dfg.append_block_param(go_on, types::I32);
        c.ins().brif(cached, go_on, &[BlockArg::Value(cached)], ask, &[]);
        c.func.layout.append_block(ask);
        c.func.layout.set_cold(ask);
        c.goto_bottom(ask);
        let function = module.declare_func_in_func(self.function, c.func);
        let call = c.ins().call(function, &[]);
        let answer = c.func.dfg.first_result(call);
        c.ins().store(flags, answer, address, 0);
        c.ins().jump(go_on, &[BlockArg::Value(answer)]);
        c.func.layout.append_block(go_on);
        c.goto_bottom(go_on);
        features
    }
}

/// The signature of the function of `cpu.rs`.
pub fn ask_signature(module: &ObjectModule) -> Signature {
    let mut signature = Signature::new(inner_call_conv(module.isa()));
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

/// An empty function of a kind with its first block.
fn begin(kind: Kind, form: Form, module: &ObjectModule) -> (Function, Vec<ir::Value>) {
    begin_function(signature(kind, form, module))
}

pub fn signature(kind: Kind, form: Form, module: &ObjectModule) -> Signature {
    let io: &[ir::Type] = if form.io_in_arena || kind == Kind::SelfTest { &[] } else { &[types::I64; 2] };
    let weights: &[ir::Type] = if form.weights { &[types::I64] } else { &[] };
    let (first, last): (&[ir::Type], &[ir::Type]) = match kind {
        Kind::Invoke => (&[], &[]),
        Kind::At => (&[types::I32], &[]),
        Kind::Profile | Kind::SelfTest => (&[], &[types::I64; 2]),
        Kind::Parallel => (&[], &[types::I64]),
    };
    let mut signature = Signature::new(module.isa().default_call_conv());
    let state: &[ir::Type] = if form.state { &[types::I64] } else { &[] };
    signature.params = [first, io, &[types::I64], state, weights, last].concat().into_iter().map(AbiParam::new).collect();
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

/// An empty function with its first block.
pub fn begin_function(signature: Signature) -> (Function, Vec<ir::Value>) {
    let mut function = Function::with_name_signature(UserFuncName::default(), signature);
    let block = function.dfg.make_block();
    function.layout.append_block(block);
    let params = function.signature.params.clone().iter().map(|p| function.dfg.append_block_param(block, p.value_type)).collect();
    (function, params)
}

pub fn at_first_block(function: &mut Function) -> FuncCursor<'_> {
    let block = function.layout.entry_block().expect("it has one");
    let mut c = FuncCursor::new(function);
    c.goto_bottom(block);
    c
}

/// The parameters by what they mean, and the level's number if it is one.
fn arguments(c: &mut FuncCursor, kind: Kind, form: Form, params: &[ir::Value]) -> (Arguments, Option<ir::Value>) {
    let mut rest = params.iter().copied();
    let mut next = || rest.next().expect("begin made it so");
    let level = (kind == Kind::At).then(&mut next);
    let [inputs, outputs] = if form.io_in_arena { [c.ins().iconst(types::I64, 0); 2] } else { [next(), next()] };
    let arena = next();
    let state = form.state.then(&mut next);
    let weights = form.weights.then(&mut next);
    let hook = (kind == Kind::Profile).then(|| [next(), next()]);
    let executor = (kind == Kind::Parallel).then(next);
    (Arguments { inputs, outputs, arena, state, weights, hook, executor }, level)
}

pub fn refuse_if_any_null(c: &mut FuncCursor, pointers: &[ir::Value]) {
    let mut any: Option<ir::Value> = None;
    for &p in pointers {
        let null = c.ins().icmp_imm_u(IntCC::Equal, p, 0);
        any = Some(any.map_or(null, |a| c.ins().bor(a, null)));
    }
    if let Some(any) = any {
        refuse_if(c, any, NULL_POINTER);
    }
}

/// Of the first `count` pointers of a structure, at least one.
fn refuse_if_one_is_null(c: &mut FuncCursor, structure: ir::Value, count: u32) {
    let (again, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    let [at, null] = [types::I64, types::I8].map(|ty| c.func.dfg.append_block_param(again, ty));
    let end = c.ins().iadd_imm_s(structure, 8 * i64::from(count));
    let none = c.ins().iconst(types::I8, 0);
    c.ins().jump(again, &[structure, none].map(BlockArg::Value));
    c.insert_block(again);
    let pointer = load_pointer(c, at, 0);
    let is_null = c.ins().icmp_imm_u(IntCC::Equal, pointer, 0);
    let null = c.ins().bor(null, is_null);
    let next = c.ins().iadd_imm_s(at, 8);
    let more = c.ins().icmp(IntCC::NotEqual, next, end);
    c.ins().brif(more, again, &[next, null].map(BlockArg::Value), go_on, &[]);
    c.insert_block(go_on);
    refuse_if(c, null, NULL_POINTER);
}

pub fn refuse_misaligned(c: &mut FuncCursor, pointer: ir::Value, align: u64) {
    let low = c.ins().band_imm_u(pointer, align as i64 - 1);
    let misaligned = c.ins().icmp_imm_u(IntCC::NotEqual, low, 0);
    refuse_if(c, misaligned, MISALIGNED_ARENA);
}

/// Returns `status` if the condition holds and goes on in a new block otherwise.
pub fn refuse_if(c: &mut FuncCursor, condition: ir::Value, status: i64) {
    let (refusal, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    c.ins().brif(condition, refusal, &[], go_on, &[]);
    c.func.layout.append_block(refusal);
    c.func.layout.set_cold(refusal);
    c.goto_bottom(refusal);
    refuse(c, status);
    c.func.layout.append_block(go_on);
    c.goto_bottom(go_on);
}

/// Returns a status that is not 0.
pub fn return_if(c: &mut FuncCursor, status: ir::Value) {
    let (failed, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    c.ins().brif(status, failed, &[], go_on, &[]);
    c.func.layout.append_block(failed);
    c.func.layout.set_cold(failed);
    c.goto_bottom(failed);
    c.ins().return_(&[status]);
    c.func.layout.append_block(go_on);
    c.goto_bottom(go_on);
}

fn refuse(c: &mut FuncCursor, status: i64) {
    let status = c.ins().iconst(types::I32, status);
    c.ins().return_(&[status]);
}
