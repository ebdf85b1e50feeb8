//! `PREFIX_selftest`: the object computes outputs of inputs that it makes itself, and compares their hashes with what they must be.
//!
//! This file is the only place that knows the inputs and the hash: as Rust, for whoever computes what is expected, and as code in the
//! object. The idea: integers that wrap around are the same everywhere; inputs need no memory but the caller's and no byte of the object.
//!
//! **Inputs.** Input `i` of `n` of vector `v` is a sequence of 64-bit words, little-endian, the last cut off where the tensor ends. Word `k`, from 0,
//! is `mix(((v * n + i) << 40) + (k + 1) * 0x9e3779b97f4a7c15)`, where `mix` is that of SplitMix64, and then `word & keep | set`: floats are
//! in ±[0.5, 1), Booleans 0 or 1, and everything else can be anything; of integers of 16 bits and more only the lowest bits, where the model picks
//! elements by them and others would be out of range.
//!
//! A model that keeps a state begins with what is in it at first, and goes on from vector to vector.
//!
//! **Hash.** Of the same words, the last filled up with zeros: `h = (h ^ word) * 0x9e3779b97f4a7c15; h ^= h >> 32`, from 0. Each step can be
//! undone, so outputs that differ in one word differ in their hashes.

use super::IoPlaces;
use super::entry::{OK, at_first_block, begin_function};
use super::model::Tensor;
use super::plan;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, types,
};
use cranelift_module::{FuncId, Module};
use cranelift_object::ObjectModule;

/// What `PREFIX_selftest` answers when an output is not as expected.
pub const SELF_TEST_FAILED: i64 = 7;
/// Of the caller's buffer, and of each tensor in it.
pub const BUFFER_ALIGN: u64 = 16;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: [(u32, u64); 2] = [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)];
const LAST_SHIFT: u32 = 31;
const HASH_SHIFT: u32 = 32;

/// Which bits of the words of an input are random, and which are set.
pub(super) fn masks(ty: u32, lowest: Option<u32>) -> (u64, u64) {
    let integers = |width: u32| match lowest.filter(|n| *n < width) {
        Some(n) => ((0..64).step_by(width as usize).fold(0, |all, at| all | ((1 << n) - 1) << at), 0),
        None => (u64::MAX, 0),
    };
    match ty {
        // Single and complex.
        1 | 8 => (0x807f_ffff_807f_ffff, 0x3f00_0000_3f00_0000),
        10 => (0x83ff_83ff_83ff_83ff, 0x3800_3800_3800_3800),
        // Double and complex.
        11 | 12 => (0x800f_ffff_ffff_ffff, 0x3fe0_0000_0000_0000),
        19 => (0x807f_807f_807f_807f, 0x3f00_3f00_3f00_3f00),
        6 => (0x0101_0101_0101_0101, 0),
        7 | 17 => integers(16),
        2 | 16 => integers(32),
        4 | 13 => integers(64),
        _ => (u64::MAX, 0),
    }
}

/// Where the sequence of an input begins.
pub(super) fn stream(vector: usize, input: usize, input_count: usize) -> u64 {
    ((vector * input_count + input) as u64) << 40
}

/// Input `input` of a vector; of integers so many of the lowest bits.
pub fn input(tensors: &[Tensor], vector: usize, input: usize, lowest: Option<u32>) -> Vec<u8> {
    let (mut state, (keep, set)) = (stream(vector, input, tensors.len()), masks(tensors[input].ty, lowest));
    let mut out = vec![0; tensors[input].size_bytes as usize];
    for chunk in out.chunks_mut(8) {
        state = state.wrapping_add(GOLDEN);
        let mut z = state;
        for (shift, factor) in MIX {
            z = (z ^ z >> shift).wrapping_mul(factor);
        }
        z ^= z >> LAST_SHIFT;
        chunk.copy_from_slice(&(z & keep | set).to_le_bytes()[..chunk.len()]);
    }
    out
}

/// The hash of an output.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0, |h, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let h = (h ^ u64::from_le_bytes(word)).wrapping_mul(GOLDEN);
        h ^ h >> HASH_SHIFT
    })
}

/// Where inputs and outputs are in the caller's buffer, and its size.
pub fn places(inputs: &[Tensor], outputs: &[Tensor]) -> (Vec<u64>, u64) {
    let mut size = 0;
    let mut place = |t: &Tensor| {
        let at = size;
        size += t.size_bytes.next_multiple_of(BUFFER_ALIGN);
        at
    };
    let places = inputs.iter().chain(outputs).map(&mut place).collect();
    (places, size)
}

/// `void fill(void *to, uint64_t words, uint64_t state, uint64_t keep, uint64_t set)`
pub fn fill(module: &ObjectModule) -> Function {
    let (mut function, params) = begin(module, &[module.isa().pointer_type(), types::I64, types::I64, types::I64, types::I64], &[]);
    let [to, words, state, keep, set] = params[..] else { unreachable!("five parameters") };
    let mut c = at_first_block(&mut function);
    each_word(&mut c, to, words, state, |c, at, state| {
        let state = c.ins().iadd_imm_s(state, GOLDEN as i64);
        let mut z = state;
        for (shift, factor) in MIX {
            let high = c.ins().ushr_imm_u(z, i64::from(shift));
            let mixed = c.ins().bxor(z, high);
            z = c.ins().imul_imm_s(mixed, factor as i64);
        }
        let high = c.ins().ushr_imm_u(z, i64::from(LAST_SHIFT));
        let mixed = c.ins().bxor(z, high);
        let kept = c.ins().band(mixed, keep);
        let word = c.ins().bor(kept, set);
        c.ins().store(FLAGS, word, at, 0);
        state
    });
    c.ins().return_(&[]);
    function
}

/// `uint64_t hash(const void *from, uint64_t words)`
pub fn hashing(module: &ObjectModule) -> Function {
    let (mut function, params) = begin(module, &[module.isa().pointer_type(), types::I64], &[types::I64]);
    let mut c = at_first_block(&mut function);
    let zero = c.ins().iconst(types::I64, 0);
    let h = each_word(&mut c, params[0], params[1], zero, |c, at, h| {
        let word = c.ins().load(types::I64, FLAGS, at, 0);
        let mixed = c.ins().bxor(h, word);
        let h = c.ins().imul_imm_s(mixed, GOLDEN as i64);
        let high = c.ins().ushr_imm_u(h, i64::from(HASH_SHIFT));
        c.ins().bxor(h, high)
    });
    c.ins().return_(&[h]);
    function
}

/// `void copy(void *to, const void *from, uint64_t bytes)`
pub fn copying(module: &ObjectModule) -> Function {
    let pointer = module.isa().pointer_type();
    let (mut function, params) = begin(module, &[pointer, pointer, types::I64], &[]);
    let mut c = at_first_block(&mut function);
    each(&mut c, 1, params[1], params[2], params[0], |c, at, to| {
        let byte = c.ins().load(types::I8, FLAGS, at, 0);
        c.ins().store(FLAGS, byte, to, 0);
        c.ins().iadd_imm_s(to, 1)
    });
    c.ins().return_(&[]);
    function
}

/// Functions that a level's test calls.
pub struct Parts<'a> {
    pub fill: FuncId,
    pub hashing: FuncId,
    /// Runs the level.
    pub invoke: FuncId,
    /// Writes what is in the state at first, where the model keeps any.
    pub reset: Option<FuncId>,
    /// It has a parameter for weights.
    pub weights: bool,
    /// Of the inputs' integers, so many of the lowest bits.
    pub lowest: Option<u32>,
    /// Where inputs and outputs are in the arena, if they are there, and what copies outputs from there: what is behind them may be anything, while
    /// words are hashed.
    pub in_arena: Option<(&'a IoPlaces, FuncId)>,
}

/// The test of one level, which checks no pointer: `int32_t test(void *arena, [void *state,] [const void *weights,] void *buffer, uint32_t *wrong_output)`.
/// `expected` has the hashes by vector and output.
pub fn of_level(module: &mut ObjectModule, parts: &Parts, inputs: &[Tensor], outputs: &[Tensor], expected: &[Vec<u64>]) -> Function {
    let count = 3 + usize::from(parts.weights) + usize::from(parts.reset.is_some());
    let (mut function, params) = begin(module, &[module.isa().pointer_type(); 5][..count], &[types::I32]);
    let [ref passed @ .., buffer, answer] = params[..] else { unreachable!("three parameters at least") };
    let mut c = at_first_block(&mut function);
    if let Some(reset) = parts.reset {
        let reset = module.declare_func_in_func(reset, c.func);
        c.ins().call(reset, &passed[1..2]);
    }
    let [fill, hashing, invoke] = [parts.fill, parts.hashing, parts.invoke].map(|f| module.declare_func_in_func(f, c.func));
    let (places, _) = places(inputs, outputs);
    let addresses: Vec<ir::Value> = places.iter().map(|&at| c.ins().iadd_imm_s(buffer, at as i64)).collect();
    let (mut of_inputs, of_outputs) = addresses.split_at(inputs.len());
    let pointer = module.isa().pointer_type();
    let in_arena = parts.in_arena.map(|(io, copy)| {
        let [inputs, outputs] = [&io.inputs, &io.outputs]
            .map(|places| places.iter().map(|&at| c.ins().iadd_imm_s(passed[0], at as i64)).collect::<Vec<ir::Value>>());
        (inputs, outputs, module.declare_func_in_func(copy, c.func))
    });
    let mut structures = vec![];
    match &in_arena {
        // As aligned as words, so that what is filled beyond them is nobody's.
        Some((inputs, ..)) => of_inputs = inputs,
        None => structures = [of_inputs, of_outputs].map(|pointers| structure(&mut c, pointer, pointers)).to_vec(),
    }
    let constant = |c: &mut FuncCursor, value: u64| c.ins().iconst(types::I64, value as i64);
    let words = |c: &mut FuncCursor, t: &Tensor| constant(c, plan::words(t));
    let wrong: Vec<ir::Block> = outputs.iter().map(|_| c.func.dfg.make_block()).collect();
    for vector in plan::vectors(inputs, expected, parts.lowest) {
        for (f, &at) in vector.fills.iter().zip(of_inputs) {
            let numbers = [f.words, f.start, f.keep, f.set].map(|x| constant(&mut c, x));
            c.ins().call(fill, &[&[at], &numbers[..]].concat());
        }
        // What is hashed was written by this very call, or is zero.
        for (t, &at) in outputs.iter().zip(of_outputs) {
            let (words, zero) = (words(&mut c, t), constant(&mut c, 0));
            c.ins().call(fill, &[at, words, zero, zero, zero]);
        }
        let call = c.ins().call(invoke, &[&structures[..], passed].concat());
        let status = c.func.dfg.first_result(call);
        let (failed, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
        c.ins().brif(status, failed, &[], go_on, &[]);
        c.insert_block(failed);
        c.ins().return_(&[status]);
        c.insert_block(go_on);
        if let Some((_, found, copy)) = &in_arena {
            for ((t, &to), &from) in outputs.iter().zip(of_outputs).zip(found) {
                let bytes = constant(&mut c, t.size_bytes);
                c.ins().call(*copy, &[to, from, bytes]);
            }
        }
        for (o, (t, &at)) in outputs.iter().zip(of_outputs).enumerate() {
            let words = words(&mut c, t);
            let call = c.ins().call(hashing, &[at, words]);
            let found = c.func.dfg.first_result(call);
            let expected = constant(&mut c, vector.expected[o]);
            let is_wrong = c.ins().icmp(IntCC::NotEqual, found, expected);
            let next = c.func.dfg.make_block();
            c.ins().brif(is_wrong, wrong[o], &[], next, &[]);
            c.insert_block(next);
        }
    }
    finish(&mut c, answer, u32::MAX, OK);
    for (o, block) in wrong.into_iter().enumerate() {
        c.insert_block(block);
        finish(&mut c, answer, o as u32, SELF_TEST_FAILED);
    }
    function
}

const FLAGS: MemFlagsData = MemFlagsData::trusted();

/// Stores the number where the caller wants it, and returns.
fn finish(c: &mut FuncCursor, answer: ir::Value, output: u32, status: i64) {
    let (store, done) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    c.ins().brif(answer, store, &[], done, &[]);
    c.insert_block(store);
    let output = c.ins().iconst(types::I32, i64::from(output));
    c.ins().store(FLAGS, output, answer, 0);
    c.ins().jump(done, &[]);
    c.insert_block(done);
    let status = c.ins().iconst(types::I32, status);
    c.ins().return_(&[status]);
}

/// The address of an array of pointers on the stack.
fn structure(c: &mut FuncCursor, pointer: ir::Type, pointers: &[ir::Value]) -> ir::Value {
    let slot =
        c.func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, pointer.bytes() * pointers.len().max(1) as u32, 3));
    for (i, &p) in pointers.iter().enumerate() {
        c.ins().stack_store(pointer, p, slot, pointer.bytes() as i32 * i as i32);
    }
    c.ins().stack_addr(pointer, slot, 0)
}

/// A loop over 64-bit words that carries a value.
fn each_word(
    c: &mut FuncCursor,
    from: ir::Value,
    words: ir::Value,
    first: ir::Value,
    body: impl FnOnce(&mut FuncCursor, ir::Value, ir::Value) -> ir::Value,
) -> ir::Value {
    each(c, 8, from, words, first, body)
}

/// A loop over pieces of so many bytes that carries a value.
fn each(
    c: &mut FuncCursor,
    bytes: i64,
    from: ir::Value,
    count: ir::Value,
    first: ir::Value,
    body: impl FnOnce(&mut FuncCursor, ir::Value, ir::Value) -> ir::Value,
) -> ir::Value {
    let (head, turn, done) = (c.func.dfg.make_block(), c.func.dfg.make_block(), c.func.dfg.make_block());
    let [at, left, carried] = [from, count, first].map(|v| {
        let ty = c.func.dfg.value_type(v);
        c.func.dfg.append_block_param(head, ty)
    });
    c.ins().jump(head, &[from, count, first].map(BlockArg::Value));
    c.insert_block(head);
    c.ins().brif(left, turn, &[], done, &[]);
    c.insert_block(turn);
    let next = body(c, at, carried);
    let (at, left) = (c.ins().iadd_imm_s(at, bytes), c.ins().iadd_imm_s(left, -1));
    c.ins().jump(head, &[at, left, next].map(BlockArg::Value));
    c.insert_block(done);
    carried
}

fn begin(module: &ObjectModule, params: &[ir::Type], returns: &[ir::Type]) -> (Function, Vec<ir::Value>) {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = params.iter().map(|&ty| AbiParam::new(ty)).collect();
    signature.returns = returns.iter().map(|&ty| AbiParam::new(ty)).collect();
    begin_function(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(ty: u32, size_bytes: u64) -> Tensor {
        Tensor { ty, size_bytes, ..Tensor::default() }
    }

    /// SplitMix64 from 0 and from 1 << 40 begins so in every other implementation.
    #[test]
    fn inputs_are_as_documented() {
        let tensors = [tensor(9, 19), tensor(1, 12)];
        assert_eq!(input(&tensors, 0, 0, None)[..16], [0xe220a8397b1dcdafu64, 0x6e789e6aa1b965f4].map(u64::to_le_bytes).concat());
        assert_ne!(input(&tensors, 0, 0, None), input(&tensors, 1, 0, None));
        let (mut sum, tensors) = (0.0, [tensor(1, 40_000)]);
        for float in input(&tensors, 0, 0, None).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())) {
            assert!(0.5 <= float.abs() && float.abs() < 1.0);
            sum += float;
        }
        assert!(f32::abs(sum) < 300.0, "{sum}");
        assert!(input(&[tensor(6, 50)], 0, 0, None).iter().all(|&b| b < 2));
        // Integers of 16, 32 and 64 bits below 8; bytes can be anything.
        for (ty, width) in [(7, 2), (2, 4), (4, 8)] {
            let bytes = input(&[tensor(ty, 800)], 0, 0, Some(3));
            assert!(bytes.chunks_exact(width).all(|b| b[0] < 8 && b[1..].iter().all(|&b| b == 0)));
            assert!(bytes.chunks_exact(width).any(|b| b[0] == 7));
        }
        assert_eq!(input(&[tensor(9, 50)], 0, 0, Some(3)), input(&[tensor(9, 50)], 0, 0, None));
    }

    #[test]
    fn one_changed_byte_changes_the_hash() {
        let bytes: Vec<u8> = (0..45).collect();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[i] ^= 1 << bit;
                assert_ne!(hash(&bytes), hash(&other));
            }
        }
    }
}
