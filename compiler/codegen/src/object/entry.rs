//! The entry points: check the caller's pointers, find a level that the CPU has, then run that level's body.
//!
//! `int32_t PREFIX_invoke(const void *const inputs[], void *const outputs[], void *arena)`, with a state and weights where there are any: to the machine, the structures of the
//! generated header are arrays of pointers. Which there are, and what each checks, is in `plan.rs`. Nothing of the caller's memory is touched, and no instruction beyond the target's baseline
//! is executed, unless all checks pass. What calls the kernels of a level is in `schedule.rs`.

use super::compile::inner_call_conv;
use super::plan::{Check, ChosenBy, Exported, Facts, Form, Kind, Parameter, Pointer, Width};
use super::schedule::{Arguments, Body, Piece, load_pointer};
use super::weights::Expected;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, UserFuncName, types};
use cranelift_module::{DataId, FuncId, Module};
use cranelift_object::ObjectModule;

/// Status codes; never renumbered.
pub const OK: i64 = 0;
pub const NULL_POINTER: i64 = 1;
pub const MISALIGNED_ARENA: i64 = 2;
pub const INDEX_OUT_OF_RANGE: i64 = 3;
pub const CPU_LACKS_FEATURE: i64 = 4;
pub const EXECUTOR_FAILED: i64 = 6;
pub const CUSTOM_FAILED: i64 = 8;

/// What entry points know of the object.
pub struct Entries<'a> {
    pub bodies: &'a [Body<'a>],
    pub facts: Facts,
    pub choice: &'a Choice,
    /// What they want of weights that the caller has.
    pub weights: Option<Expected>,
    /// Once it is there: what runs without an executor.
    pub invoke: Option<FuncId>,
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
    let arguments = arguments(&mut c, &kind.parameters(form), &params);
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
    let arguments = arguments(&mut c, &kind.parameters(form), &params);
    body.write_pieces(&mut c, module, arguments, &params, turn, pieces);
    let ok = c.ins().iconst(types::I32, OK);
    c.ins().return_(&[ok]);
    function
}

impl Entries<'_> {
    /// `functions` run one level each; without them the body of the only level is written in place.
    pub fn build(&self, kind: Kind, module: &mut ObjectModule, functions: Option<&[FuncId]>) -> Function {
        let plan = Exported::new(kind, &self.facts);
        let (mut function, params) = begin(kind, self.facts.form, module);
        let mut c = at_first_block(&mut function);
        let of = |p: Parameter| params[plan.parameters.iter().position(|q| *q == p).expect("a parameter")];
        if let Some((parameter, _)) = plan.without {
            self.serial_without(&mut c, module, of(parameter), &params[..params.len() - 1]);
        }
        for check in &plan.checks {
            self.check(&mut c, check, &of);
        }
        match functions {
            None => {
                let features = self.choice.ask.as_ref().map(|ask| ask.features(&mut c, module));
                if let Some(lacks) = self.choice.lacks(&mut c, features, 0) {
                    refuse_if(&mut c, lacks, CPU_LACKS_FEATURE);
                }
                let arguments = arguments(&mut c, &plan.parameters, &params);
                self.bodies[0].write(&mut c, module, kind, arguments, &params);
            }
            Some(functions) => {
                let level = (plan.chosen_by == ChosenBy::Number).then(|| of(Parameter::Level));
                let passed: Vec<ir::Value> = plan.passed.iter().map(|&p| of(p)).collect();
                self.call_a_level(&mut c, module, level, functions, &passed);
            }
        }
        function
    }

    fn check(&self, c: &mut FuncCursor, check: &Check, of: &dyn Fn(Parameter) -> ir::Value) {
        match check {
            Check::NotNull(pointers) => {
                let mut value = |p: &Pointer| match *p {
                    Pointer::Of(p) => of(p),
                    Pointer::In(structure, i) => load_pointer(c, of(structure), i),
                };
                let values: Vec<ir::Value> = pointers.iter().map(&mut value).collect();
                refuse_if_any_null(c, &values);
            }
            Check::NoneNull(structure, count) => refuse_if_one_is_null(c, of(*structure), *count),
            Check::Aligned(p, align) => refuse_misaligned(c, of(*p), *align),
            Check::RightWeights => self.weights.expect("what is expected of weights").refuse_others(c, of(Parameter::Weights)),
        }
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
        let address = c.ins().symbol_value(module.isa().pointer_type(), word);
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
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = kind.parameters(form).into_iter().map(|p| AbiParam::new(of_width(p.width(), module))).collect();
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

pub fn of_width(width: Width, module: &ObjectModule) -> ir::Type {
    match width {
        Width::Word => types::I32,
        Width::Long => types::I64,
        Width::Pointer => module.isa().pointer_type(),
    }
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

/// The parameters of a body by what they mean.
fn arguments(c: &mut FuncCursor, parameters: &[Parameter], params: &[ir::Value]) -> Arguments {
    let of = |p: Parameter| parameters.iter().position(|q| *q == p).map(|i| params[i]);
    let arena = of(Parameter::Arena).expect("every function has one");
    let [inputs, outputs] = match of(Parameter::Inputs).zip(of(Parameter::Outputs)) {
        Some((inputs, outputs)) => [inputs, outputs],
        None => {
            let pointer = c.func.dfg.value_type(arena);
            [c.ins().iconst(pointer, 0); 2]
        }
    };
    Arguments {
        inputs,
        outputs,
        arena,
        state: of(Parameter::State),
        weights: of(Parameter::Weights),
        hook: of(Parameter::Hook).zip(of(Parameter::User)).map(|(hook, user)| [hook, user]),
        executor: of(Parameter::Executor),
    }
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
    let pointer = c.func.dfg.value_type(structure);
    let [at, null] = [pointer, types::I8].map(|ty| c.func.dfg.append_block_param(again, ty));
    let end = c.ins().iadd_imm_s(structure, i64::from(pointer.bytes()) * i64::from(count));
    let none = c.ins().iconst(types::I8, 0);
    c.ins().jump(again, &[structure, none].map(BlockArg::Value));
    c.insert_block(again);
    let found = load_pointer(c, at, 0);
    let is_null = c.ins().icmp_imm_u(IntCC::Equal, found, 0);
    let null = c.ins().bor(null, is_null);
    let next = c.ins().iadd_imm_s(at, i64::from(pointer.bytes()));
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
