//! From a placed program to the bytes of an object file.
//!
//! Not an emitter of kernels and not a linker. The ideas: one function per kernel, compiled in parallel and put together in order,
//! so that the bytes do not depend on the threads; one entry point that checks its arguments and calls them as scheduled; every
//! symbol but the documented ones is local, and nothing is left undefined.

mod compile;
mod entry;
pub mod model;

use crate::clif::EmitError;
use crate::targets::{self, Target};
use compile::Compiled;
use cranelift_codegen::ir;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError, ModuleReloc, ModuleRelocTarget};
use cranelift_object::{ObjectBuilder, ObjectModule};
use cranelite_tile::{BufferId, Program, Role};
use std::collections::{BTreeMap, BTreeSet};

/// More constants than an object can have: code reaches them by 32-bit distances.
pub const MAX_CONST_BYTES: u64 = 1_900 << 20;
/// So many bytes after the last constant can be read.
const READABLE_AFTER_CONSTANTS: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// First part of every exported name; a C identifier.
    pub prefix: String,
    /// The signature, for the descriptor.
    pub inputs: Vec<model::Tensor>,
    pub outputs: Vec<model::Tensor>,
    /// Also export `PREFIX_profile`, which calls a hook before every call of a kernel.
    pub profile: bool,
    /// Keep the text of the stages.
    pub clif: bool,
    pub asm: bool,
    /// Check what is handed to Cranelift; for tests.
    pub verify: bool,
    /// At most so many; 0 means as many as the machine has.
    pub threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the constants take {0} bytes and an object can hold {MAX_CONST_BYTES}; keep the weights outside with --weights")]
    TooManyConstants(u64),
    #[error("buffer {0} has no place in the arena")]
    Unplaced(String),
    #[error(transparent)]
    Target(#[from] targets::Error),
    #[error(transparent)]
    Emit(#[from] EmitError),
    #[error("Cranelift: {0}")]
    Cranelift(String),
}

impl From<ModuleError> for Error {
    fn from(e: ModuleError) -> Error {
        Error::Cranelift(e.to_string())
    }
}

/// An object file and what is to be said of it.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub code_bytes: u64,
    pub const_bytes: u64,
    pub arena_bytes: u64,
    pub arena_align: u32,
    /// Along the deepest path of calls from the entry point.
    pub stack_bytes: u32,
    /// By number of kernel.
    pub kernels: Vec<KernelFacts>,
    pub clif: Option<String>,
    pub asm: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// Its local symbol.
    pub symbol: String,
    pub code_bytes: u64,
    pub stack_bytes: u32,
}

/// Compiles a program whose scratch buffers have places.
pub fn emit(program: &Program, target: &Target, options: &Options) -> Result<Object, Error> {
    let const_bytes: u64 = used(program, Role::Const).iter().map(|&b| program.buffer(b).size_bytes).sum();
    if MAX_CONST_BYTES < const_bytes {
        return Err(Error::TooManyConstants(const_bytes));
    }
    let (arena_bytes, arena_align) = arena(program)?;
    let isa = target.isa(options.verify)?;
    let text = compile::Text { clif: options.clif, asm: options.asm };
    let kernels = compile::kernels(program, target, &*isa, text, options.threads)?;

    let builder = ObjectBuilder::new(isa.clone(), options.prefix.clone(), cranelift_module::default_libcall_names())?;
    let mut module = ObjectModule::new(builder);
    let symbols = kernel_symbols(program, &options.prefix);
    let mut functions = vec![];
    for ((kernel, compiled), symbol) in program.kernels.iter().zip(&kernels).zip(&symbols) {
        let signature = crate::clif::signature(kernel, isa.default_call_conv());
        functions.push(define(&mut module, symbol, Linkage::Local, &signature, compiled)?);
    }
    let data = define_constants(&mut module, program, &options.prefix)?;
    let names = entry::Names { functions: &functions, data: &data };
    let mut object = Object { const_bytes, arena_bytes, arena_align, ..Object::default() };
    object.kernels = kernels
        .iter()
        .zip(symbols)
        .map(|(k, symbol)| KernelFacts { symbol, code_bytes: k.bytes.len() as u64, stack_bytes: k.stack_bytes })
        .collect();
    let deepest_kernel = object.kernels.iter().map(|k| k.stack_bytes).max().unwrap_or(0);

    let mut entries = vec![];
    for (name, profile) in [("invoke", false), ("profile", true)] {
        if profile && !options.profile {
            continue;
        }
        let function = entry::build(program, &mut module, &names, &entry::Shape { arena_bytes, arena_align, profile });
        let signature = function.signature.clone();
        let compiled = compile::function(function, &*isa, text).map_err(Error::Cranelift)?;
        let symbol = format!("{}_{name}", options.prefix);
        entries.push((define(&mut module, &symbol, Linkage::Export, &signature, &compiled)?, symbol, compiled));
    }
    let deepest_entry = entries.iter().map(|(.., c)| c.stack_bytes).max().unwrap_or(0);
    object.stack_bytes = deepest_entry + deepest_kernel;
    let model = model::Model {
        name: &options.prefix,
        inputs: &options.inputs,
        outputs: &options.outputs,
        arena_bytes,
        arena_align,
        const_bytes,
        stack_bytes: object.stack_bytes.into(),
        invoke: entries[0].0,
        profile: entries.get(1).map(|e| e.0),
    };
    model.define(&mut module, &options.prefix)?;
    // Why last: sections keep the order of definition, so this is what follows the last constant.
    let mut end = DataDescription::new();
    end.define(vec![0; READABLE_AFTER_CONSTANTS].into());
    let id = module.declare_data(&format!("{}.end", options.prefix), Linkage::Local, false, false)?;
    module.define_data(id, &end)?;

    let all = || kernels.iter().zip(&object.kernels).map(|(c, k)| (&k.symbol, c)).chain(entries.iter().map(|(_, s, c)| (s, c)));
    object.code_bytes = all().map(|(_, c)| c.bytes.len() as u64).sum();
    object.clif = options.clif.then(|| all().map(|(name, c)| format!("; {name}\n{}\n", c.clif)).collect());
    object.asm = options.asm.then(|| all().map(|(name, c)| format!("{name}:\n{}\n", c.asm)).collect());
    object.bytes = module.finish().emit().map_err(|e| Error::Cranelift(e.to_string()))?;
    Ok(object)
}

/// Size (a multiple of the alignment, as `aligned_alloc` wants it) and alignment of the arena.
fn arena(program: &Program) -> Result<(u64, u32), Error> {
    let (mut bytes, mut align) = (0, 1);
    for b in used(program, Role::Scratch).into_iter().map(|b| program.buffer(b)) {
        let offset = b.offset_bytes.ok_or_else(|| Error::Unplaced(b.name.clone()))?;
        bytes = bytes.max(offset + b.size_bytes);
        align = align.max(b.align);
    }
    Ok((bytes.next_multiple_of(u64::from(align)), align))
}

/// The buffers of that role that calls refer to, themselves or through their views.
fn used(program: &Program, role: Role) -> BTreeSet<BufferId> {
    let used = program.calls().flat_map(|c| &c.buffers).map(|&b| program.root(b).0);
    used.filter(|&b| program.buffer(b).role == role).collect()
}

fn define_constants(module: &mut ObjectModule, program: &Program, prefix: &str) -> Result<BTreeMap<BufferId, DataId>, Error> {
    let mut ids = BTreeMap::new();
    for id in used(program, Role::Const) {
        let buffer = program.buffer(id);
        let mut description = DataDescription::new();
        description.define(buffer.data.as_deref().unwrap_or_default().into());
        description.set_align(u64::from(buffer.align.max(64)));
        let data = module.declare_data(&format!("{prefix}.c{}", id.0), Linkage::Local, false, false)?;
        module.define_data(data, &description)?;
        ids.insert(id, data);
    }
    Ok(ids)
}

/// A local name per kernel, all different.
fn kernel_symbols(program: &Program, prefix: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    program
        .kernels
        .iter()
        .enumerate()
        .map(|(i, k)| {
            let name: String = k.name.chars().map(clean).collect();
            let symbol = format!("{prefix}.{name}");
            if seen.insert(symbol.clone()) { symbol } else { format!("{symbol}.{i}") }
        })
        .collect()
}

fn define(module: &mut ObjectModule, symbol: &str, linkage: Linkage, signature: &ir::Signature, c: &Compiled) -> Result<FuncId, Error> {
    let id = module.declare_function(symbol, linkage, signature)?;
    if let Some(r) = c.relocs.iter().find(|r| matches!(r.name, ModuleRelocTarget::LibCall(_))) {
        return Err(Error::Cranelift(format!("{symbol} would need a library: {:?}", r.name)));
    }
    let relocs: Vec<ModuleReloc> = c.relocs.clone();
    module.define_function_bytes(id, u64::from(c.align), &c.bytes, &relocs)?;
    Ok(id)
}
