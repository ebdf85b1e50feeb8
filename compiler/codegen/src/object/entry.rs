//! The entry point: checks the caller's pointers, then calls the kernels in order.
//!
//! `int32_t PREFIX_invoke(const void *const inputs[], void *const outputs[], void *arena)`: to the machine, the structures of the
//! generated header are arrays of pointers. Nothing of the caller's memory is touched unless all checks pass.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, UserFuncName, types};
use cranelift_module::{DataId, FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{BufferId, Program, Role};
use std::collections::BTreeMap;

/// Status codes; never renumbered.
pub const OK: i64 = 0;
pub const NULL_POINTER: i64 = 1;
pub const MISALIGNED_ARENA: i64 = 2;

/// What the hook of a profile gets as the operator when there is none.
pub const NO_OPERATOR: u32 = u32::MAX;

/// What calls refer to.
pub struct Names<'a> {
    pub functions: &'a [FuncId],
    pub data: &'a BTreeMap<BufferId, DataId>,
}

pub struct Shape {
    pub arena_bytes: u64,
    pub arena_align: u32,
    /// Two more parameters, `void (*hook)(void *user, uint32_t operator, uint32_t call)` and `void *user`: the hook is called before
    /// every call and once at the end.
    pub profile: bool,
}

pub fn build(program: &Program, module: &mut ObjectModule, names: &Names, shape: &Shape) -> Function {
    let conv = module.isa().default_call_conv();
    let mut signature = Signature::new(conv);
    signature.params = vec![AbiParam::new(types::I64); if shape.profile { 5 } else { 3 }];
    signature.returns = vec![AbiParam::new(types::I32)];
    let mut function = Function::with_name_signature(UserFuncName::default(), signature);
    let block = function.dfg.make_block();
    function.layout.append_block(block);
    let params: Vec<ir::Value> =
        function.signature.params.clone().iter().map(|p| function.dfg.append_block_param(block, p.value_type)).collect();
    let [inputs, outputs, arena] = [params[0], params[1], params[2]];
    let mut c = FuncCursor::new(&mut function);
    c.goto_bottom(block);

    // The structures, then what they hold.
    let counts = [Role::Input as fn(u32) -> Role, Role::Output]
        .map(|role| (0u32..).find(|&i| !program.buffers.iter().any(|b| b.role == role(i) && b.view.is_none())).expect("finitely many"));
    let mut pointers: Vec<ir::Value> = [inputs, outputs].into_iter().zip(counts).filter(|(_, n)| 0 < *n).map(|(p, _)| p).collect();
    if 0 < shape.arena_bytes {
        pointers.push(arena);
    }
    refuse_if_any_null(&mut c, &pointers);
    let mut held = vec![];
    for (structure, n) in [inputs, outputs].into_iter().zip(counts) {
        for i in 0..n {
            held.push(load_pointer(&mut c, structure, i));
        }
    }
    refuse_if_any_null(&mut c, &held);
    if 0 < shape.arena_bytes && 1 < shape.arena_align {
        let low = c.ins().band_imm_u(arena, i64::from(shape.arena_align - 1));
        let misaligned = c.ins().icmp_imm_u(IntCC::NotEqual, low, 0);
        refuse_if(&mut c, misaligned, MISALIGNED_ARENA);
    }

    let hook = shape.profile.then(|| {
        let mut signature = Signature::new(conv);
        signature.params = vec![AbiParam::new(types::I64), AbiParam::new(types::I32), AbiParam::new(types::I32)];
        c.func.import_signature(signature)
    });
    let call_hook = |c: &mut FuncCursor, operator: u32, call: u32| {
        if let Some(signature) = hook {
            let (operator, call) = (c.ins().iconst(types::I32, i64::from(operator)), c.ins().iconst(types::I32, i64::from(call)));
            c.ins().call_indirect(signature, params[3], &[params[4], operator, call]);
        }
    };
    let mut refs = BTreeMap::new();
    for (n, call) in program.calls().enumerate() {
        call_hook(&mut c, call.operator.unwrap_or(NO_OPERATOR), n as u32);
        let mut args = vec![];
        for &b in &call.buffers {
            let (root, offset) = program.root(b);
            let (base, offset) = match program.buffer(root).role {
                Role::Input(i) => (load_pointer(&mut c, inputs, i), offset),
                Role::Output(i) => (load_pointer(&mut c, outputs, i), offset),
                Role::Scratch => (arena, offset + program.buffer(root).offset_bytes.expect("checked: it is placed")),
                Role::Const => {
                    let data = module.declare_data_in_func(names.data[&root], c.func);
                    (c.ins().symbol_value(types::I64, data), offset)
                }
            };
            args.push(if offset == 0 { base } else { c.ins().iadd_imm_s(base, offset as i64) });
        }
        for &p in &call.params {
            args.push(c.ins().iconst(types::I64, p));
        }
        let function = names.functions[call.kernel.0 as usize];
        let function = *refs.entry(function).or_insert_with(|| module.declare_func_in_func(function, c.func));
        c.ins().call(function, &args);
    }
    call_hook(&mut c, NO_OPERATOR, program.calls().count() as u32);
    let ok = c.ins().iconst(types::I32, OK);
    c.ins().return_(&[ok]);
    function
}

fn load_pointer(c: &mut FuncCursor, structure: ir::Value, i: u32) -> ir::Value {
    c.ins().load(types::I64, MemFlagsData::new().with_notrap().with_aligned(), structure, 8 * i as i32)
}

fn refuse_if_any_null(c: &mut FuncCursor, pointers: &[ir::Value]) {
    let mut any: Option<ir::Value> = None;
    for &p in pointers {
        let null = c.ins().icmp_imm_u(IntCC::Equal, p, 0);
        any = Some(any.map_or(null, |a| c.ins().bor(a, null)));
    }
    if let Some(any) = any {
        refuse_if(c, any, NULL_POINTER);
    }
}

/// Returns `status` if the condition holds and goes on in a new block otherwise.
fn refuse_if(c: &mut FuncCursor, condition: ir::Value, status: i64) {
    let (refuse, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    c.ins().brif(condition, refuse, &[], go_on, &[]);
    c.func.layout.append_block(refuse);
    c.func.layout.set_cold(refuse);
    c.goto_bottom(refuse);
    let status = c.ins().iconst(types::I32, status);
    c.ins().return_(&[status]);
    c.func.layout.append_block(go_on);
    c.goto_bottom(go_on);
}
