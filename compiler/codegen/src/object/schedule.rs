//! The body of a level: its kernels, called in order.
//!
//! Not the entry point, which has checked the pointers and the CPU before (`entry.rs`).

use super::entry::OK;
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::{self, AbiParam, InstBuilder, MemFlagsData, Signature, types};
use cranelift_module::{DataId, FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{BufferId, Program, Role};
use std::collections::BTreeMap;

/// What the hook of a profile gets as the operator when there is none.
pub const NO_OPERATOR: u32 = u32::MAX;

/// A program and what its calls refer to.
pub struct Body<'a> {
    pub program: &'a Program,
    pub functions: Vec<FuncId>,
    pub data: BTreeMap<BufferId, DataId>,
}

/// The parameters of every entry point, and of a body that is a function of its own.
#[derive(Clone, Copy)]
pub struct Arguments {
    /// Arrays of pointers.
    pub inputs: ir::Value,
    pub outputs: ir::Value,
    pub arena: ir::Value,
    /// `void (*hook)(void *user, uint32_t operator, uint32_t call)`, to be called before every call and once at the end, and `user`.
    pub hook: Option<[ir::Value; 2]>,
}

impl Body<'_> {
    /// Calls all kernels and returns.
    pub fn write(&self, c: &mut FuncCursor, module: &mut ObjectModule, arguments: Arguments) {
        let conv = module.isa().default_call_conv();
        let hook = arguments.hook.map(|[hook, user]| {
            let mut signature = Signature::new(conv);
            signature.params = vec![AbiParam::new(types::I64), AbiParam::new(types::I32), AbiParam::new(types::I32)];
            (c.func.import_signature(signature), hook, user)
        });
        let call_hook = |c: &mut FuncCursor, operator: u32, call: u32| {
            if let Some((signature, hook, user)) = hook {
                let (operator, call) = (c.ins().iconst(types::I32, i64::from(operator)), c.ins().iconst(types::I32, i64::from(call)));
                c.ins().call_indirect(signature, hook, &[user, operator, call]);
            }
        };
        let mut refs = BTreeMap::new();
        for (n, call) in self.program.calls().enumerate() {
            call_hook(c, call.operator.unwrap_or(NO_OPERATOR), n as u32);
            let mut args: Vec<ir::Value> = call.buffers.iter().map(|&b| self.address(c, module, arguments, b)).collect();
            args.extend(call.params.iter().map(|&p| c.ins().iconst(types::I64, p)));
            let function = self.functions[call.kernel.0 as usize];
            let function = *refs.entry(function).or_insert_with(|| module.declare_func_in_func(function, c.func));
            c.ins().call(function, &args);
        }
        call_hook(c, NO_OPERATOR, self.program.calls().count() as u32);
        let ok = c.ins().iconst(types::I32, OK);
        c.ins().return_(&[ok]);
    }

    fn address(&self, c: &mut FuncCursor, module: &mut ObjectModule, arguments: Arguments, buffer: BufferId) -> ir::Value {
        let (root, offset) = self.program.root(buffer);
        let (base, offset) = match self.program.buffer(root).role {
            Role::Input(i) => (load_pointer(c, arguments.inputs, i), offset),
            Role::Output(i) => (load_pointer(c, arguments.outputs, i), offset),
            Role::Scratch => (arguments.arena, offset + self.program.buffer(root).offset_bytes.expect("checked: it is placed")),
            Role::Const => {
                let data = module.declare_data_in_func(self.data[&root], c.func);
                (c.ins().symbol_value(types::I64, data), offset)
            }
        };
        if offset == 0 { base } else { c.ins().iadd_imm_s(base, offset as i64) }
    }
}

/// The `i`th pointer of a structure of the caller's.
pub fn load_pointer(c: &mut FuncCursor, structure: ir::Value, i: u32) -> ir::Value {
    c.ins().load(types::I64, MemFlagsData::new().with_notrap().with_aligned(), structure, 8 * i as i32)
}
