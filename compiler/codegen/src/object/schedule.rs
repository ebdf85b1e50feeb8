//! The body of a level: its kernels, called as the schedule says.
//!
//! Not the entry point, which has checked the pointers and the CPU before (`entry.rs`). The ideas: what the schedule repeats is a loop here, and what it
//! decides is a branch, so the code does not grow with the number of turns. Calls that may run at the same time are a
//! function of their own, `void tasks(const void *context, uint32_t index)`, which makes one of them; the body calls it for
//! one index after the other, or the caller's executor does, on any threads. The context is on the stack of the body.
//!
//! Compiling a function takes longer than in proportion to its calls, so a body of many steps is divided into functions with its parameters, these
//! into others if there are many of them, and so on (`parts.rs`).

use super::constants::Place;
use super::entry::{self, EXECUTOR_FAILED, INDEX_OUT_OF_RANGE, OK, refuse_if};
use super::foreign;
use super::plan::Kind;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, UserFuncName, types,
};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{BufferId, Call, Foreign, Program, Role, Step};
use std::collections::BTreeMap;

/// What the hook of a profile gets as the operator when there is none.
pub const NO_OPERATOR: u32 = u32::MAX;

/// A program and what its calls refer to.
pub struct Body<'a> {
    pub program: &'a Program,
    pub functions: Vec<FuncId>,
    pub data: BTreeMap<BufferId, Place>,
    /// Of the steps whose calls may run at the same time, by the number of the first of these.
    pub tasks: BTreeMap<u32, FuncId>,
    /// What each kind of body does, one after the other.
    pub parts: BTreeMap<Kind, Vec<Piece<'a>>>,
}

/// Something that a body does.
#[derive(Clone)]
pub enum Piece<'a> {
    /// Calls one after the other, or at the same time, and the number of the first.
    Calls(&'a Step, u32),
    Check(BufferId),
    Repeat(u64, Vec<Piece<'a>>),
    If(BufferId, [Vec<Piece<'a>>; 2]),
    While(BufferId, [Vec<Piece<'a>>; 2]),
    /// Several of them, by a function with the parameters of the body, and the turn where there is one.
    Part(Part),
}

#[derive(Clone, Copy)]
pub struct Part {
    pub function: FuncId,
    /// Of its frame and of those of parts in it.
    pub stack_bytes: u32,
    /// Its status may be another one than that all is well.
    pub may_fail: bool,
}

impl<'a> Piece<'a> {
    /// All steps. `number`: that of the first call, and then of the first one after them.
    pub fn of(steps: &'a [Step], number: &mut u32) -> Vec<Piece<'a>> {
        let mut piece = |step: &'a Step| match step {
            Step::Call(_) | Step::Parallel(_) => {
                let first = *number;
                *number += step.calls().len() as u32;
                Piece::Calls(step, first)
            }
            Step::Check(b) => Piece::Check(*b),
            Step::Repeat { count, body } => Piece::Repeat(*count, Piece::of(body, number)),
            Step::If { condition, .. } => Piece::If(*condition, step.bodies().map(|body| Piece::of(body, number))),
            Step::While { condition, .. } => Piece::While(*condition, step.bodies().map(|body| Piece::of(body, number))),
        };
        steps.iter().map(&mut piece).collect()
    }

    pub fn bodies(&self) -> &[Vec<Piece<'a>>] {
        match self {
            Piece::Calls(..) | Piece::Check(_) | Piece::Part(_) => &[],
            Piece::Repeat(_, body) => std::slice::from_ref(body),
            Piece::If(_, bodies) | Piece::While(_, bodies) => bodies,
        }
    }
    pub fn bodies_mut(&mut self) -> &mut [Vec<Piece<'a>>] {
        match self {
            Piece::Calls(..) | Piece::Check(_) | Piece::Part(_) => &mut [],
            Piece::Repeat(_, body) => std::slice::from_mut(body),
            Piece::If(_, bodies) | Piece::While(_, bodies) => bodies,
        }
    }

    /// Whether it is so of this piece or of one inside of it.
    pub fn any(&self, is: &dyn Fn(&Piece) -> bool) -> bool {
        is(self) || self.bodies().iter().flatten().any(|p| p.any(is))
    }
}

/// The parameters of every entry point, and of a body that is a function of its own.
#[derive(Clone, Copy)]
pub struct Arguments {
    /// Arrays of pointers; not used where inputs and outputs are in the arena.
    pub inputs: ir::Value,
    pub outputs: ir::Value,
    pub arena: ir::Value,
    /// Where the model keeps any.
    pub state: Option<ir::Value>,
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
        signature.params = [module.isa().pointer_type(), types::I32, types::I32].map(AbiParam::new).to_vec();
        Some(Hook { signature: c.func.import_signature(signature), function, user })
    }

    fn call(self, c: &mut FuncCursor, operator: Option<u32>, call: u32) {
        let [operator, call] = [operator.unwrap_or(NO_OPERATOR), call].map(|n| c.ins().iconst(types::I32, i64::from(n)));
        c.ins().call_indirect(self.signature, self.function, &[self.user, operator, call]);
    }
}

/// Functions that a function calls.
type Callees = BTreeMap<FuncId, ir::FuncRef>;

/// Where pieces are written.
struct Writing<'w, 'c> {
    c: &'w mut FuncCursor<'c>,
    module: &'w mut ObjectModule,
    arguments: Arguments,
    /// Those of the function, without the turn.
    params: &'w [ir::Value],
    hook: Option<Hook>,
    context: Option<ir::Value>,
    callees: Callees,
}

impl<'a> Body<'a> {
    /// Calls all kernels and returns. `params`: those of the function.
    pub fn write(&self, c: &mut FuncCursor, module: &mut ObjectModule, kind: Kind, arguments: Arguments, params: &[ir::Value]) {
        self.write_pieces(c, module, arguments, params, None, &self.parts[&kind.body()]);
        if let Some(hook) = Hook::of(c, module, arguments) {
            hook.call(c, None, self.program.calls().count() as u32);
        }
        let ok = c.ins().iconst(types::I32, OK);
        c.ins().return_(&[ok]);
    }

    /// Goes on behind them. `turn`: of the innermost repetition that they are in.
    pub fn write_pieces(
        &self,
        c: &mut FuncCursor,
        module: &mut ObjectModule,
        arguments: Arguments,
        params: &[ir::Value],
        turn: Option<ir::Value>,
        pieces: &[Piece],
    ) {
        let hook = Hook::of(c, module, arguments);
        let has_tasks = pieces.iter().any(|p| p.any(&|p| matches!(p, Piece::Calls(_, first) if self.tasks.contains_key(first))));
        let context = (hook.is_none() && has_tasks).then(|| context(c, arguments));
        self.pieces(&mut Writing { c, module, arguments, params, hook, context, callees: Callees::new() }, pieces, turn);
    }

    fn pieces(&self, w: &mut Writing, pieces: &[Piece], turn: Option<ir::Value>) {
        for piece in pieces {
            match piece {
                Piece::Part(part) => {
                    let function = w.module.declare_func_in_func(part.function, w.c.func);
                    let params: Vec<ir::Value> = w.params.iter().copied().chain(turn).collect();
                    let call = w.c.ins().call(function, &params);
                    if part.may_fail {
                        let status = w.c.func.dfg.first_result(call);
                        entry::return_if(w.c, status);
                    }
                }
                Piece::Calls(step, first) => match (step, w.context) {
                    (Step::Parallel(calls), Some(context)) => {
                        if let Some(turn) = turn.filter(|_| calls.iter().any(Call::advances)) {
                            let place = turn_place(w.c.func.dfg.value_type(context).bytes());
                            w.c.ins().store(MemFlagsData::trusted(), turn, context, place as i32);
                        }
                        at_once(w.c, w.module, self.tasks[first], context, calls.len() as u32, w.arguments.executor);
                    }
                    _ => {
                        for (call, n) in step.calls().iter().zip(*first..) {
                            if let Some(hook) = w.hook {
                                hook.call(w.c, call.operator, n);
                            }
                            match &self.program.kernel(call.kernel).foreign {
                                None => self.call(w.c, w.module, w.arguments, call, turn, &mut w.callees),
                                Some(foreign) => self.call_foreign(w, call, foreign),
                            }
                        }
                    }
                },
                Piece::Check(status) => {
                    let found = self.look(w, types::I32, *status);
                    refuse_if(w.c, found, INDEX_OUT_OF_RANGE);
                }
                Piece::Repeat(count, body) => {
                    let (again, go_on) = (w.c.func.dfg.make_block(), w.c.func.dfg.make_block());
                    // Down to 0: the number of turns is in no comparison, so the code is as long for any.
                    let left = w.c.func.dfg.append_block_param(again, types::I64);
                    let all = w.c.ins().iconst(types::I64, *count as i64);
                    w.c.ins().jump(again, &[BlockArg::Value(all)]);
                    open(w.c, again);
                    let all = w.c.ins().iconst(types::I64, *count as i64);
                    let turn = w.c.ins().isub(all, left);
                    self.pieces(w, body, Some(turn));
                    let next = w.c.ins().iadd_imm_s(left, -1);
                    w.c.ins().brif(next, again, &[BlockArg::Value(next)], go_on, &[]);
                    open(w.c, go_on);
                }
                Piece::If(condition, bodies) => {
                    let [then, otherwise, go_on] = [(); 3].map(|()| w.c.func.dfg.make_block());
                    let condition = self.look(w, types::I8, *condition);
                    w.c.ins().brif(condition, then, &[], otherwise, &[]);
                    for (block, body) in [then, otherwise].into_iter().zip(bodies) {
                        open(w.c, block);
                        self.pieces(w, body, turn);
                        w.c.ins().jump(go_on, &[]);
                    }
                    open(w.c, go_on);
                }
                Piece::While(condition, [test, body]) => {
                    let [again, inside, go_on] = [(); 3].map(|()| w.c.func.dfg.make_block());
                    w.c.ins().jump(again, &[]);
                    open(w.c, again);
                    self.pieces(w, test, turn);
                    let condition = self.look(w, types::I8, *condition);
                    w.c.ins().brif(condition, inside, &[], go_on, &[]);
                    open(w.c, inside);
                    self.pieces(w, body, turn);
                    w.c.ins().jump(again, &[]);
                    open(w.c, go_on);
                }
            }
        }
    }

    /// What is at the beginning of a buffer now.
    fn look(&self, w: &mut Writing, ty: ir::Type, buffer: BufferId) -> ir::Value {
        let address = self.address(w.c, w.module, w.arguments, buffer);
        w.c.ins().load(ty, MemFlagsData::new().with_notrap(), address, 0)
    }

    /// The function that makes one of some calls.
    pub fn tasks(&self, calls: &[Call], module: &mut ObjectModule) -> Function {
        let mut function = Function::with_name_signature(UserFuncName::default(), tasks_signature(module));
        let first = function.dfg.make_block();
        let [context, index] = [module.isa().pointer_type(), types::I32].map(|ty| function.dfg.append_block_param(first, ty));
        let mut c = FuncCursor::new(&mut function);
        c.insert_block(first);
        let [inputs, outputs, arena, state, weights] = [0, 1, 2, 3, 4].map(|i| load_pointer(&mut c, context, i));
        let arguments = Arguments { inputs, outputs, arena, state: Some(state), weights: Some(weights), hook: None, executor: None };
        let blocks: Vec<ir::Block> = calls.iter().map(|_| c.func.dfg.make_block()).collect();
        let done = c.func.dfg.make_block();
        go_to(&mut c, index, 0, &blocks, done);
        let mut callees = Callees::new();
        for (&block, call) in blocks.iter().zip(calls) {
            c.insert_block(block);
            let place = turn_place(c.func.dfg.value_type(context).bytes());
            let flags = MemFlagsData::new().with_notrap().with_aligned();
            let turn = call.advances().then(|| c.ins().load(types::I64, flags, context, place as i32));
            self.call(&mut c, module, arguments, call, turn, &mut callees);
            c.ins().jump(done, &[]);
        }
        c.insert_block(done);
        c.ins().return_(&[]);
        function
    }

    fn call(
        &self,
        c: &mut FuncCursor,
        module: &mut ObjectModule,
        arguments: Arguments,
        call: &Call,
        turn: Option<ir::Value>,
        callees: &mut Callees,
    ) {
        let mut args: Vec<ir::Value> = call.buffers.iter().map(|&b| self.address(c, module, arguments, b)).collect();
        for (i, &param) in call.params.iter().enumerate() {
            let advance = call.advance.get(i).copied().filter(|a| *a != 0);
            args.push(match advance {
                Some(advance) => {
                    let turn = turn.expect("proved: what advances is repeated");
                    let sum = c.ins().imul_imm_s(turn, advance);
                    c.ins().iadd_imm_s(sum, param)
                }
                None => c.ins().iconst(types::I64, param),
            });
        }
        let function = self.functions[call.kernel.0 as usize];
        let function = *callees.entry(function).or_insert_with(|| module.declare_func_in_func(function, c.func));
        c.ins().call(function, &args);
    }

    fn call_foreign(&self, w: &mut Writing, call: &Call, foreign: &Foreign) {
        let argument = |&b: &BufferId| (self.address(w.c, w.module, w.arguments, b), self.program.buffer(b).size_bytes);
        let arguments: Vec<(ir::Value, u64)> = call.buffers.iter().map(argument).collect();
        let function = self.functions[call.kernel.0 as usize];
        foreign::call(w.c, w.module, (function, self.program.kernel(call.kernel), foreign), &arguments);
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
            Role::State => (arguments.state.expect("a parameter where there is a state"), offset + buffer.offset_bytes.expect("checked")),
            Role::Const => {
                let place = self.data[&root];
                let base = match place.symbol {
                    Some(symbol) => {
                        let symbol = module.declare_data_in_func(symbol, c.func);
                        c.ins().symbol_value(module.isa().pointer_type(), symbol)
                    }
                    None => arguments.weights.expect("a parameter where constants are outside"),
                };
                (base, offset + place.offset_bytes)
            }
        };
        if offset == 0 { base } else { c.ins().iadd_imm_s(base, offset as i64) }
    }
}

/// Goes on in a block at the end of the function.
fn open(c: &mut FuncCursor, block: ir::Block) {
    c.func.layout.append_block(block);
    c.goto_bottom(block);
}

/// The `i`th pointer of a structure of the caller's.
pub fn load_pointer(c: &mut FuncCursor, structure: ir::Value, i: u32) -> ir::Value {
    let pointer = c.func.dfg.value_type(structure);
    c.ins().load(pointer, MemFlagsData::new().with_notrap().with_aligned(), structure, (pointer.bytes() * i) as i32)
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
    signature.params = vec![AbiParam::new(module.isa().pointer_type()), AbiParam::new(types::I32)];
    signature
}

/// How many pointers the context of tasks has.
const POINTERS: u32 = 5;

/// Where in the context the turn is behind them, if it is of use.
fn turn_place(pointer_bytes: u32) -> u32 {
    (POINTERS * pointer_bytes).next_multiple_of(8)
}

/// The address of what tasks find their buffers by: inputs, outputs, arena, and what means the arena once more where there is no state or no weights
/// are outside; then there is room for the turn.
fn context(c: &mut FuncCursor, arguments: Arguments) -> ir::Value {
    let Arguments { inputs, outputs, arena, state, weights, .. } = arguments;
    let pointer = c.func.dfg.value_type(arena);
    let bytes = pointer.bytes();
    let slot = c.func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, turn_place(bytes) + 8, 3));
    for (i, value) in [inputs, outputs, arena, state.unwrap_or(arena), weights.unwrap_or(arena)].into_iter().enumerate() {
        c.ins().stack_store(pointer, value, slot, bytes as i32 * i as i32);
    }
    c.ins().stack_addr(pointer, slot, 0)
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
    let pointer = module.isa().pointer_type();
    signature.params = [pointer, pointer, pointer, types::I32].map(AbiParam::new).to_vec();
    signature.returns = vec![AbiParam::new(types::I32)];
    let signature = c.func.import_signature(signature);
    let [run, user] = [0, 1].map(|i| load_pointer(c, executor, i));
    let tasks = c.ins().func_addr(pointer, tasks);
    let call = c.ins().call_indirect(signature, run, &[user, tasks, context, count]);
    let failed = c.func.dfg.first_result(call);
    refuse_if(c, failed, EXECUTOR_FAILED);
}
