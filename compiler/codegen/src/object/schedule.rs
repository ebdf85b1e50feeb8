//! The body of a level: its kernels, called in order.
//!
//! Not the entry point, which has checked the pointers and the CPU before (`entry.rs`). The idea: calls that may run at the same time are a
//! function of their own, `void tasks(const void *context, uint32_t index)`, which makes one of them; the body calls it for
//! one index after the other, or the caller's executor does, on any threads. The context is on the stack of the body.
//!
//! Compiling a function takes longer than in proportion to its calls, so a body of many steps is divided into functions with its parameters, these
//! into others if there are many of them, and so on.

use super::constants::Place;
use super::entry::{EXECUTOR_FAILED, Kind, OK, refuse_if};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, UserFuncName, types,
};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{BufferId, Call, Program, Role, Step};
use std::collections::BTreeMap;

/// What the hook of a profile gets as the operator when there is none.
pub const NO_OPERATOR: u32 = u32::MAX;

/// A program and what its calls refer to.
pub struct Body<'a> {
    pub program: &'a Program,
    pub functions: Vec<FuncId>,
    pub data: BTreeMap<BufferId, Place>,
    /// Of the steps whose calls may run at the same time, by position.
    pub tasks: BTreeMap<usize, FuncId>,
    /// What each kind of body does, one after the other.
    pub parts: BTreeMap<Kind, Vec<Piece>>,
}

/// In one function at most.
pub const PIECES_LIMIT: usize = 256;

/// Something that a body does.
#[derive(Clone, Copy)]
pub enum Piece {
    /// A step of the schedule, and the number of its first call.
    Step(usize, u32),
    /// Several of them, by a function with the parameters of the body.
    Part(FuncId),
}

/// All steps.
pub fn pieces(program: &Program) -> Vec<Piece> {
    let mut number = 0;
    let mut piece = |(i, step): (usize, &Step)| {
        let first = number;
        number += step.calls().len() as u32;
        Piece::Step(i, first)
    };
    program.schedule.iter().enumerate().map(&mut piece).collect()
}

/// The parameters of every entry point, and of a body that is a function of its own.
#[derive(Clone, Copy)]
pub struct Arguments {
    /// Arrays of pointers; not used where inputs and outputs are in the arena.
    pub inputs: ir::Value,
    pub outputs: ir::Value,
    pub arena: ir::Value,
    /// Where constants are outside of the object.
    pub weights: Option<ir::Value>,
    /// `void (*hook)(void *user, uint32_t operator, uint32_t call)`, to be called before every call and once at the end, and `user`.
    pub hook: Option<[ir::Value; 2]>,
    /// `const cranelite_executor *`, where calls may run at the same time.
    pub executor: Option<ir::Value>,
}

/// The caller's function for profiles.
#[derive(Clone, Copy)]
struct Hook {
    signature: ir::SigRef,
    function: ir::Value,
    user: ir::Value,
}

impl Hook {
    fn of(c: &mut FuncCursor, module: &ObjectModule, arguments: Arguments) -> Option<Hook> {
        let [function, user] = arguments.hook?;
        let mut signature = Signature::new(module.isa().default_call_conv());
        signature.params = [types::I64, types::I32, types::I32].map(AbiParam::new).to_vec();
        Some(Hook { signature: c.func.import_signature(signature), function, user })
    }

    fn call(self, c: &mut FuncCursor, operator: Option<u32>, call: u32) {
        let [operator, call] = [operator.unwrap_or(NO_OPERATOR), call].map(|n| c.ins().iconst(types::I32, i64::from(n)));
        c.ins().call_indirect(self.signature, self.function, &[self.user, operator, call]);
    }
}

/// Functions that a function calls.
type Callees = BTreeMap<FuncId, ir::FuncRef>;

impl Body<'_> {
    /// Calls all kernels and returns. `params`: those of the function.
    pub fn write(&self, c: &mut FuncCursor, module: &mut ObjectModule, kind: Kind, arguments: Arguments, params: &[ir::Value]) {
        self.write_pieces(c, module, arguments, params, &self.parts[&kind.body()]);
        if let Some(hook) = Hook::of(c, module, arguments) {
            hook.call(c, None, self.program.calls().count() as u32);
        }
        let ok = c.ins().iconst(types::I32, OK);
        c.ins().return_(&[ok]);
    }

    /// Goes on behind them.
    pub fn write_pieces(
        &self,
        c: &mut FuncCursor,
        module: &mut ObjectModule,
        arguments: Arguments,
        params: &[ir::Value],
        pieces: &[Piece],
    ) {
        let hook = Hook::of(c, module, arguments);
        let mut callees = Callees::new();
        let has_tasks = pieces.iter().any(|p| matches!(p, Piece::Step(i, _) if self.tasks.contains_key(i)));
        let context = (hook.is_none() && has_tasks).then(|| context(c, arguments));
        for &piece in pieces {
            let (step, first) = match piece {
                Piece::Step(step, first) => (step, first),
                Piece::Part(function) => {
                    let function = module.declare_func_in_func(function, c.func);
                    let call = c.ins().call(function, params);
                    if arguments.executor.is_some() {
                        let failed = c.func.dfg.first_result(call);
                        refuse_if(c, failed, EXECUTOR_FAILED);
                    }
                    continue;
                }
            };
            match (&self.program.schedule[step], context) {
                (Step::Parallel(calls), Some(context)) => {
                    at_once(c, module, self.tasks[&step], context, calls.len() as u32, arguments.executor);
                }
                (step, _) => {
                    for (call, n) in step.calls().iter().zip(first..) {
                        if let Some(hook) = hook {
                            hook.call(c, call.operator, n);
                        }
                        self.call(c, module, arguments, call, &mut callees);
                    }
                }
            }
        }
    }

    /// The function that makes one of some calls.
    pub fn tasks(&self, calls: &[Call], module: &mut ObjectModule) -> Function {
        let mut function = Function::with_name_signature(UserFuncName::default(), tasks_signature(module));
        let first = function.dfg.make_block();
        let [context, index] = [types::I64, types::I32].map(|ty| function.dfg.append_block_param(first, ty));
        let mut c = FuncCursor::new(&mut function);
        c.insert_block(first);
        let [inputs, outputs, arena, weights] = [0, 1, 2, 3].map(|i| load_pointer(&mut c, context, i));
        let arguments = Arguments { inputs, outputs, arena, weights: Some(weights), hook: None, executor: None };
        let blocks: Vec<ir::Block> = calls.iter().map(|_| c.func.dfg.make_block()).collect();
        let done = c.func.dfg.make_block();
        go_to(&mut c, index, 0, &blocks, done);
        let mut callees = Callees::new();
        for (&block, call) in blocks.iter().zip(calls) {
            c.insert_block(block);
            self.call(&mut c, module, arguments, call, &mut callees);
            c.ins().jump(done, &[]);
        }
        c.insert_block(done);
        c.ins().return_(&[]);
        function
    }

    fn call(&self, c: &mut FuncCursor, module: &mut ObjectModule, arguments: Arguments, call: &Call, callees: &mut Callees) {
        let mut args: Vec<ir::Value> = call.buffers.iter().map(|&b| self.address(c, module, arguments, b)).collect();
        args.extend(call.params.iter().map(|&p| c.ins().iconst(types::I64, p)));
        let function = self.functions[call.kernel.0 as usize];
        let function = *callees.entry(function).or_insert_with(|| module.declare_func_in_func(function, c.func));
        c.ins().call(function, &args);
    }

    fn address(&self, c: &mut FuncCursor, module: &mut ObjectModule, arguments: Arguments, buffer: BufferId) -> ir::Value {
        let (root, offset) = self.program.root(buffer);
        let buffer = self.program.buffer(root);
        let (base, offset) = match buffer.role {
            Role::Input(_) | Role::Output(_) if buffer.offset_bytes.is_some() => {
                (arguments.arena, offset + buffer.offset_bytes.unwrap_or(0))
            }
            Role::Input(i) => (load_pointer(c, arguments.inputs, i), offset),
            Role::Output(i) => (load_pointer(c, arguments.outputs, i), offset),
            Role::Scratch => (arguments.arena, offset + buffer.offset_bytes.expect("checked: it is placed")),
            Role::Const => {
                let place = self.data[&root];
                let base = match place.symbol {
                    Some(symbol) => {
                        let symbol = module.declare_data_in_func(symbol, c.func);
                        c.ins().symbol_value(types::I64, symbol)
                    }
                    None => arguments.weights.expect("a parameter where constants are outside"),
                };
                (base, offset + place.offset_bytes)
            }
        };
        if offset == 0 { base } else { c.ins().iadd_imm_s(base, offset as i64) }
    }
}

/// The `i`th pointer of a structure of the caller's.
pub fn load_pointer(c: &mut FuncCursor, structure: ir::Value, i: u32) -> ir::Value {
    c.ins().load(types::I64, MemFlagsData::new().with_notrap().with_aligned(), structure, 8 * i as i32)
}

/// Goes to the block with the number `index`, the first having the number `first`, or to `none`. Halves the choice again and again, because the
/// indirect jump of a table would have to land on an instruction of its own where jumps are watched.
fn go_to(c: &mut FuncCursor, index: ir::Value, first: usize, blocks: &[ir::Block], none: ir::Block) {
    if blocks.len() < 2 {
        let block = blocks.first().copied().unwrap_or(none);
        let is_this = c.ins().icmp_imm_u(IntCC::Equal, index, first as i64);
        c.ins().brif(is_this, block, &[], none, &[]);
        return;
    }
    let (lower, upper) = blocks.split_at(blocks.len() / 2);
    let middle = first + lower.len();
    let is_lower = c.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, middle as i64);
    let [below, above] = [(); 2].map(|()| c.func.dfg.make_block());
    c.ins().brif(is_lower, below, &[], above, &[]);
    c.insert_block(below);
    go_to(c, index, first, lower, none);
    c.insert_block(above);
    go_to(c, index, middle, upper, none);
}

fn tasks_signature(module: &ObjectModule) -> Signature {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = vec![AbiParam::new(types::I64), AbiParam::new(types::I32)];
    signature
}

/// The address of what tasks find their buffers by: inputs, outputs, arena, and what means the arena once more where no weights are outside.
fn context(c: &mut FuncCursor, arguments: Arguments) -> ir::Value {
    let slot = c.func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 32, 3));
    for (i, value) in
        [arguments.inputs, arguments.outputs, arguments.arena, arguments.weights.unwrap_or(arguments.arena)].into_iter().enumerate()
    {
        c.ins().stack_store(types::I64, value, slot, 8 * i as i32);
    }
    c.ins().stack_addr(types::I64, slot, 0)
}

/// Calls `tasks` for all numbers below `count`, or lets the executor do so.
fn at_once(c: &mut FuncCursor, module: &mut ObjectModule, tasks: FuncId, context: ir::Value, count: u32, executor: Option<ir::Value>) {
    let tasks = module.declare_func_in_func(tasks, c.func);
    let count = c.ins().iconst(types::I32, i64::from(count));
    let Some(executor) = executor else {
        let (again, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        let index = c.func.dfg.append_block_param(again, types::I32);
        let first = c.ins().iconst(types::I32, 0);
        c.ins().jump(again, &[BlockArg::Value(first)]);
        c.insert_block(again);
        c.ins().call(tasks, &[context, index]);
        let next = c.ins().iadd_imm_s(index, 1);
        let more = c.ins().icmp(IntCC::UnsignedLessThan, next, count);
        c.ins().brif(more, again, &[BlockArg::Value(next)], go_on, &[]);
        c.insert_block(go_on);
        return;
    };
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = [types::I64, types::I64, types::I64, types::I32].map(AbiParam::new).to_vec();
    signature.returns = vec![AbiParam::new(types::I32)];
    let signature = c.func.import_signature(signature);
    let [run, user] = [0, 1].map(|i| load_pointer(c, executor, i));
    let tasks = c.ins().func_addr(types::I64, tasks);
    let call = c.ins().call_indirect(signature, run, &[user, tasks, context, count]);
    let failed = c.func.dfg.first_result(call);
    refuse_if(c, failed, EXECUTOR_FAILED);
}
