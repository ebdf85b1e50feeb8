//! The one entry point of generic callers: it takes a structure with everything that a call may have, `cranelite_call`, and calls the
//! typed entry point that has what is given.
//!
//! The idea: what an option adds is a field here, so any options combine, and a caller that knows no header can make every kind of call.

use super::entry;
use super::plan::{DISPATCH, Form, Kind, Parameter, call_place};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, types};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use std::collections::BTreeMap;

/// `int32_t call(const cranelite_call *call)`
pub fn function(module: &mut ObjectModule, entries: &BTreeMap<Kind, FuncId>, form: Form) -> Function {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = vec![AbiParam::new(module.isa().pointer_type())];
    signature.returns = vec![AbiParam::new(types::I32)];
    let (mut function, params) = entry::begin_function(signature);
    let mut c = entry::at_first_block(&mut function);
    let call = params[0];
    entry::refuse_if_any_null(&mut c, &[call]);
    let pointer_bytes = usize::from(module.isa().pointer_bytes());
    let size = c.ins().load(types::I32, MemFlagsData::trusted(), call, 0);
    let lacks_fields = c.ins().icmp_imm_u(IntCC::UnsignedLessThan, size, call_place(None, pointer_bytes) as i64);
    entry::refuse_if(&mut c, lacks_fields, entry::NULL_POINTER);
    let field = |c: &mut FuncCursor, module: &ObjectModule, p: Parameter| {
        let (ty, at) = (entry::of_width(p.width(), module), call_place(Some(p), pointer_bytes));
        c.ins().load(ty, MemFlagsData::trusted(), call, at as i32)
    };
    let common: Vec<(Parameter, ir::Value)> = Kind::Invoke.parameters(form).into_iter().map(|p| (p, field(&mut c, module, p))).collect();
    for (kind, asks) in DISPATCH {
        let Some(&entry) = entries.get(&kind) else { continue };
        let given = field(&mut c, module, asks);
        let (this, next) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        c.ins().brif(given, this, &[], next, &[]);
        c.insert_block(this);
        let value = |p: Parameter| match common.iter().find(|known| known.0 == p) {
            Some(known) => known.1,
            // 0 is no level here.
            None if p == Parameter::Level => c.ins().iadd_imm_s(given, -1),
            None if p == asks => given,
            None => field(&mut c, module, p),
        };
        let all: Vec<ir::Value> = kind.parameters(form).into_iter().map(value).collect();
        return_status_of(&mut c, module, entry, &all);
        c.insert_block(next);
    }
    let all: Vec<ir::Value> = common.into_iter().map(|known| known.1).collect();
    return_status_of(&mut c, module, entries[&Kind::Invoke], &all);
    function
}

fn return_status_of(c: &mut FuncCursor, module: &mut ObjectModule, entry: FuncId, params: &[ir::Value]) {
    let entry = module.declare_func_in_func(entry, c.func);
    let call = c.ins().call(entry, params);
    let status = c.func.dfg.first_result(call);
    c.ins().return_(&[status]);
}
