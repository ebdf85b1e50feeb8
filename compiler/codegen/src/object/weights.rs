//! Constants in a file of their own, which the caller brings into memory: its format, and `PREFIX_check_weights`.
//!
//! A file begins with [`HEADER_BYTES`]: [`MAGIC`], the hash of everything after the header (`self_test.rs` has it) and the size of the file, as 64-bit
//! integers, then zeros. The idea: each call compares these three with what the code was made for, which costs nothing and catches a file of another
//! model; whether the bytes are whole is asked once, by the function that hashes them all.

use super::entry::{self, OK};
use super::self_test;
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, types};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;

pub const WRONG_WEIGHTS: i64 = 5;
pub const HEADER_BYTES: u64 = 64;
/// Of the file in memory.
pub const ALIGN: u64 = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"clweight");

/// What code expects of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub hash: u64,
    pub size_bytes: u64,
}

/// Fills in the header of a file, whose bytes are otherwise complete: a multiple of 8.
pub fn finish(file: &mut [u8]) -> Expected {
    let (header, contents) = file.split_at_mut(HEADER_BYTES as usize);
    let expected = Expected { hash: self_test::hash(contents), size_bytes: (header.len() + contents.len()) as u64 };
    for (at, value) in header.chunks_exact_mut(8).zip(expected.fields()) {
        at.copy_from_slice(&value.to_le_bytes());
    }
    expected
}

impl Expected {
    pub(crate) fn fields(&self) -> [u64; 3] {
        [MAGIC, self.hash, self.size_bytes]
    }

    /// Refuses weights that are misaligned or another file's; null was refused before.
    pub fn refuse_others(&self, c: &mut FuncCursor, weights: ir::Value) {
        entry::refuse_misaligned(c, weights, ALIGN);
        let mut any = c.ins().iconst(types::I64, 0);
        for (i, value) in self.fields().into_iter().enumerate() {
            let found = c.ins().load(types::I64, MemFlagsData::trusted(), weights, 8 * i as i32);
            let expected = c.ins().iconst(types::I64, value as i64);
            let differs = c.ins().bxor(found, expected);
            any = c.ins().bor(any, differs);
        }
        entry::refuse_if(c, any, WRONG_WEIGHTS);
    }

    /// `int32_t check_weights(const void *weights)`
    pub fn check(&self, module: &mut ObjectModule, hashing: FuncId) -> Function {
        let mut signature = Signature::new(module.isa().default_call_conv());
        signature.params = vec![AbiParam::new(module.isa().pointer_type())];
        signature.returns = vec![AbiParam::new(types::I32)];
        let (mut function, params) = entry::begin_function(signature);
        let mut c = entry::at_first_block(&mut function);
        let weights = params[0];
        entry::refuse_if_any_null(&mut c, &[weights]);
        self.refuse_others(&mut c, weights);
        let contents = c.ins().iadd_imm_s(weights, HEADER_BYTES as i64);
        let words = c.ins().iconst(types::I64, ((self.size_bytes - HEADER_BYTES) / 8) as i64);
        let hashing = module.declare_func_in_func(hashing, c.func);
        let call = c.ins().call(hashing, &[contents, words]);
        let found = c.func.dfg.first_result(call);
        let expected = c.ins().iconst(types::I64, self.hash as i64);
        let is_wrong = c.ins().icmp(IntCC::NotEqual, found, expected);
        entry::refuse_if(&mut c, is_wrong, WRONG_WEIGHTS);
        let ok = c.ins().iconst(types::I32, OK);
        c.ins().return_(&[ok]);
        function
    }
}
