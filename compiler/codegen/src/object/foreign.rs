//! Calls of functions that the user has: what they get, and how.
//!
//! Not the function, of which nothing is known but its name. The idea: one structure on the stack of the body describes the tensors by pointer and
//! size, so that another field changes no prototype; the call is one that linkers redirect if the function is in another library, as those of C are.

use super::entry::{CUSTOM_FAILED, refuse_if};
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::{self, AbiParam, InstBuilder, Signature, StackSlotData, StackSlotKind, types};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{Access, Foreign, Kernel};

/// What headers of models with custom operators declare.
pub const C_DECLARATIONS: &str = "\
enum { CRANELITE_CUSTOM_FAILED = 8 }; /* a function of a custom operator has not returned 0 */

typedef struct {
    const void *data; /* aligned to its elements */
    size_t bytes;
} cranelite_custom_input;

typedef struct {
    void *data; /* aligned to its elements; overlaps no input and no other output */
    size_t bytes;
} cranelite_custom_output;

/* What the function of a custom operator gets; all of it is there until it returns. */
typedef struct {
    uint32_t struct_size; /* sizeof(cranelite_custom_call) in the object; fields beyond it do not exist there */
    uint32_t input_count;
    uint32_t output_count;
    uint32_t reserved;
    const cranelite_custom_input *inputs; /* in the operator's order */
    const cranelite_custom_output *outputs;
    const void *options; /* the bytes of the operator's custom_options; null if there are none */
    size_t options_bytes;
} cranelite_custom_call;
";

const CALL_BYTES: u32 = 48;
const TENSOR_BYTES: u32 = 16;

pub fn signature(module: &ObjectModule) -> Signature {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = vec![AbiParam::new(types::I64)];
    signature.returns = vec![AbiParam::new(types::I32)];
    signature
}

/// Calls the function with the kernel's arguments, each an address and so many bytes; a status that is not 0 ends the invocation.
pub fn call(
    c: &mut FuncCursor,
    module: &mut ObjectModule,
    (function, kernel, foreign): (FuncId, &Kernel, &Foreign),
    arguments: &[(ir::Value, u64)],
) {
    let is_options = |i: usize| foreign.options.is_some_and(|arg| arg.0 as usize == i);
    let of = |access: Access| -> Vec<(ir::Value, u64)> {
        let own = kernel.args.iter().zip(arguments).enumerate().filter(|(i, (arg, _))| arg.access == access && !is_options(*i));
        own.map(|(_, (_, &argument))| argument).collect()
    };
    let (inputs, outputs) = (of(Access::Read), of(Access::Write));
    let size_bytes = CALL_BYTES + TENSOR_BYTES * (inputs.len() + outputs.len()) as u32;
    let slot = c.func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size_bytes, 3));
    let put = |c: &mut FuncCursor, at: u32, value: ir::Value| _ = c.ins().stack_store(types::I64, value, slot, at as i32);
    let word = |c: &mut FuncCursor, value: u64| c.ins().iconst(types::I64, value as i64);
    // Two fields of 32 bits are one number of 64: all targets are little endian.
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let (outputs_at, inputs_at) = (CALL_BYTES + TENSOR_BYTES * inputs.len() as u32, CALL_BYTES);
    for (at, value) in [(0, pair(CALL_BYTES, inputs.len() as u32)), (8, pair(outputs.len() as u32, 0))] {
        let value = word(c, value);
        put(c, at, value);
    }
    for (at, tensors) in [(16, inputs_at), (24, outputs_at)] {
        let address = c.ins().stack_addr(types::I64, slot, tensors as i32);
        put(c, at, address);
    }
    let options = foreign.options.and_then(|arg| arguments.get(arg.0 as usize).copied());
    let (address, size_bytes) = options.unwrap_or_else(|| (word(c, 0), 0));
    let size_bytes = word(c, size_bytes);
    put(c, 32, address);
    put(c, 40, size_bytes);
    for (i, &(address, size_bytes)) in inputs.iter().chain(&outputs).enumerate() {
        let at = CALL_BYTES + TENSOR_BYTES * i as u32;
        let size_bytes = word(c, size_bytes);
        put(c, at, address);
        put(c, at + 8, size_bytes);
    }
    let structure = c.ins().stack_addr(types::I64, slot, 0);
    let function = module.declare_func_in_func(function, c.func);
    // As near as anything: what is not, linkers reach by a jump of their own.
    c.func.dfg.ext_funcs[function].colocated = true;
    let call = c.ins().call(function, &[structure]);
    let status = c.func.dfg.first_result(call);
    refuse_if(c, status, CUSTOM_FAILED);
}
