//! The one entry point of generic callers: it takes a structure with everything that a call may have, `cranelite_call`, and calls the
//! typed entry point that has what is given.
//!
//! The idea: what an option adds is a field here, so any options combine, and a caller that knows no header can make every kind of call.

use super::entry::{self, Form, Kind};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, types};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use std::collections::BTreeMap;

/// Places of the fields, with 64-bit pointers.
const LEVEL: i32 = 4;
const INPUTS: i32 = 8;
const OUTPUTS: i32 = 16;
const ARENA: i32 = 24;
const STATE: i32 = 32;
const WEIGHTS: i32 = 40;
const EXECUTOR: i32 = 48;
const HOOK: i32 = 56;
const USER: i32 = 64;
pub const CALL_BYTES: u32 = 72;

/// `int32_t call(const cranelite_call *call)`
pub fn function(module: &mut ObjectModule, entries: &BTreeMap<Kind, FuncId>, form: Form) -> Function {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = vec![AbiParam::new(types::I64)];
    signature.returns = vec![AbiParam::new(types::I32)];
    let (mut function, params) = entry::begin_function(signature);
    let mut c = entry::at_first_block(&mut function);
    let call = params[0];
    entry::refuse_if_any_null(&mut c, &[call]);
    let size = field(&mut c, types::I32, call, 0);
    let lacks_fields = c.ins().icmp_imm_u(IntCC::UnsignedLessThan, size, i64::from(CALL_BYTES));
    entry::refuse_if(&mut c, lacks_fields, entry::NULL_POINTER);
    let mut common = vec![];
    if !form.io_in_arena {
        common.extend([INPUTS, OUTPUTS]);
    }
    common.push(ARENA);
    common.extend(form.state.then_some(STATE));
    common.extend(form.weights.then_some(WEIGHTS));
    let common: Vec<ir::Value> = common.into_iter().map(|at| field(&mut c, types::I64, call, at)).collect();
    for (kind, ty, at) in [(Kind::Profile, types::I64, HOOK), (Kind::Parallel, types::I64, EXECUTOR), (Kind::At, types::I32, LEVEL)] {
        let Some(&entry) = entries.get(&kind) else { continue };
        let given = field(&mut c, ty, call, at);
        let (this, next) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        c.ins().brif(given, this, &[], next, &[]);
        c.insert_block(this);
        let all = match kind {
            Kind::Profile => [&common[..], &[given, field(&mut c, types::I64, call, USER)]].concat(),
            Kind::At => [&[c.ins().iadd_imm_s(given, -1)], &common[..]].concat(),
            _ => [&common[..], &[given]].concat(),
        };
        return_status_of(&mut c, module, entry, &all);
        c.insert_block(next);
    }
    return_status_of(&mut c, module, entries[&Kind::Invoke], &common);
    function
}

fn field(c: &mut FuncCursor, ty: ir::Type, call: ir::Value, at: i32) -> ir::Value {
    c.ins().load(ty, MemFlagsData::trusted(), call, at)
}

fn return_status_of(c: &mut FuncCursor, module: &mut ObjectModule, entry: FuncId, params: &[ir::Value]) {
    let entry = module.declare_func_in_func(entry, c.func);
    let call = c.ins().call(entry, params);
    let status = c.func.dfg.first_result(call);
    c.ins().return_(&[status]);
}
