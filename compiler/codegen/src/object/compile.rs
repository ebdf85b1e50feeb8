//! Compiles functions, many at a time.
//!
//! The idea: kernels do not depend on each other, so threads take them one by one; results are kept by number, so the order in
//! which they come does not matter.

use super::Error;
use super::unwind::{self, Rows};
use crate::clif;
use crate::neon;
use crate::targets::Target;
use crate::wide;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_codegen::{CodegenError, Context};
use cranelift_module::{FuncId, ModuleReloc};
use cranelite_tile::{Kernel, Program};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use target_lexicon::Architecture;

/// Which texts to keep.
#[derive(Clone, Copy)]
pub struct Text {
    pub clif: bool,
    pub asm: bool,
}

pub struct Compiled {
    pub bytes: Vec<u8>,
    pub align: u32,
    pub relocs: Vec<ModuleReloc>,
    /// Its frame, with the return address.
    pub stack_bytes: u32,
    /// Whether there are constants of whole vectors, which want an alignment, behind the code.
    pub has_vectors: bool,
    /// Its frame, where wanted.
    pub rows: Rows,
    /// Why a kernel with vectors longer than those of `clif` is its all the same.
    pub fallback: Option<String>,
    pub clif: String,
    pub asm: String,
}

impl Compiled {
    /// Puts an instruction before all others.
    pub fn begin_with(&mut self, instruction: &[u8]) -> Result<(), String> {
        if self.has_vectors {
            return Err("a function with constants that must stay aligned".into());
        }
        self.bytes.splice(..0, instruction.iter().copied());
        self.relocs.iter_mut().for_each(|r| r.offset += instruction.len() as u32);
        self.rows.iter_mut().for_each(|(offset, _)| *offset += instruction.len() as u32);
        if !self.asm.is_empty() {
            self.asm = format!("  {instruction:02x?}\n{}", self.asm);
        }
        Ok(())
    }
}

/// How functions call those that nobody outside of the object calls. One convention on all systems with x86-64, since code that
/// is not Cranelift's knows one only.
pub fn inner_call_conv(isa: &dyn TargetIsa) -> CallConv {
    match isa.triple().architecture {
        Architecture::X86_64 => CallConv::SystemV,
        _ => isa.default_call_conv(),
    }
}

pub fn kernels(program: &Program, target: &Target, isa: &dyn TargetIsa, text: Text, threads: usize) -> Result<Vec<Compiled>, Error> {
    let kernels = &program.kernels;
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Compiled, Error>>>> = Mutex::new(kernels.iter().map(|_| None).collect());
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(kernel) = kernels.get(i) else { break };
            let result = self::kernel(kernel, target, isa, text);
            done.lock().unwrap_or_else(|e| e.into_inner())[i] = Some(result);
        }
    };
    std::thread::scope(|s| {
        for _ in 1..threads.min(kernels.len()) {
            s.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.into_iter().map(|r| r.expect("every kernel was taken")).collect()
}

fn kernel(kernel: &Kernel, target: &Target, isa: &dyn TargetIsa, text: Text) -> Result<Compiled, Error> {
    // Single integers are best where Cranelift has them, in general registers.
    let is_scalar = kernel.types.iter().all(|ty| ty.lanes == 1 && !ty.elem.is_float());
    let fallback = match target.wide.filter(|_| !is_scalar).map(|features| wide::emit(kernel, features)) {
        Some(Ok(code)) => return assembled(code.bytes, code.stack_bytes, isa, text, wide::listing),
        Some(Err(refused)) if kernel.types.iter().any(|ty| CLIF_VECTOR_BYTES < ty.bytes()) => Some(refused.what),
        _ => None,
    };
    if let Some(features) = target.neon.filter(|_| !is_scalar)
        && let Ok(code) = neon::emit(kernel, features)
    {
        return assembled(code.bytes, code.stack_bytes, isa, text, neon::forms::listing);
    }
    let function = clif::emit(kernel, &target.features, inner_call_conv(isa))?;
    let compiled = function_of(function, isa, text).map_err(|e| Error::Cranelift(format!("kernel {}: {e}", kernel.name)))?;
    Ok(Compiled { fallback, ..compiled })
}

/// A kernel that is not Cranelift's code.
fn assembled(bytes: Vec<u8>, stack_bytes: u32, isa: &dyn TargetIsa, text: Text, listing: fn(&[u8]) -> String) -> Result<Compiled, Error> {
    Ok(Compiled {
        align: 64,
        relocs: vec![],
        stack_bytes,
        has_vectors: true,
        rows: rows_of_assembled(&bytes, isa).map_err(Error::Frame)?,
        fallback: None,
        clif: String::new(),
        asm: if text.asm { listing(&bytes) } else { String::new() },
        bytes,
    })
}

/// The longest vectors that Cranelift has.
const CLIF_VECTOR_BYTES: u32 = 16;

pub fn function(function: Function, isa: &dyn TargetIsa, text: Text) -> Result<Compiled, String> {
    function_of(function, isa, text)
}

fn function_of(function: Function, isa: &dyn TargetIsa, text: Text) -> Result<Compiled, String> {
    let clif = if text.clif { function.display().to_string() } else { String::new() };
    let mut context = Context::for_function(function);
    context.set_disasm(text.asm);
    // Cranelift panics where it lacks a rule.
    let result =
        catch_unwind(AssertUnwindSafe(|| context.compile(isa, &mut ControlPlane::default()).map(|_| ()).map_err(|e| message(&e.inner))));
    result.map_err(|_| "panicked".to_string())??;
    let code = context.take_compiled_code().ok_or("no code")?;
    let frame = code.buffer.frame_layout().map_or(0, |f| f.frame_to_fp_offset);
    let rows = match isa.flags().unwind_info() {
        true => unwind::of_clif(code.buffer.data(), &code.buffer.unwind_info, isa)?,
        false => vec![],
    };
    // Which id does not matter: the writer puts the function's own where a relocation refers to it.
    let relocs = code.buffer.relocs().iter().map(|r| ModuleReloc::from_mach_reloc(r, &context.func, FuncId::from_u32(0))).collect();
    Ok(Compiled {
        align: code.buffer.alignment.max(isa.function_alignment().minimum).max(32),
        relocs,
        // Frame pointer and return address.
        stack_bytes: frame + 16,
        rows,
        has_vectors: context.func.dfg.constants.iter().any(|(_, c)| 8 < c.len()),
        fallback: None,
        clif,
        asm: code.vcode.clone().unwrap_or_default(),
        bytes: code.buffer.data().to_vec(),
    })
}

/// The rows of code that is not Cranelift's.
pub fn rows_of_assembled(bytes: &[u8], isa: &dyn TargetIsa) -> Result<Rows, String> {
    if isa.flags().unwind_info() { unwind::of_assembled(bytes, isa) } else { Ok(vec![]) }
}

fn message(e: &CodegenError) -> String {
    match e {
        CodegenError::Verifier(errors) => format!("verifier: {errors}"),
        e => e.to_string(),
    }
}
