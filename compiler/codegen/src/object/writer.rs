//! Puts compiled functions into the object and keeps what is to be said of each.

use super::compile::{self, Compiled, Text};
use super::unwind::Rows;
use super::{Error, Options};
use crate::targets::Target;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{Function, Signature};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, ModuleRelocTarget};
use cranelift_object::{ObjectBuilder, ObjectModule};
use target_lexicon::Architecture;

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

pub struct Writer {
    pub module: ObjectModule,
    /// Of the target's baseline: for everything that is not a kernel.
    pub isa: OwnedTargetIsa,
    pub text: Text,
    /// Functions whose address may be taken, which is all but kernels, begin with what an indirect call must find. Cranelift does so
    /// for Arm.
    pub landing_pads: bool,
    pub written: Vec<Written>,
}

/// A function in the object.
pub struct Written {
    pub id: FuncId,
    pub symbol: String,
    pub code_bytes: u64,
    /// Its frame, where wanted.
    pub rows: Rows,
    /// Its texts, where wanted.
    pub clif: String,
    pub asm: String,
}

impl Writer {
    pub fn new(target: &Target, options: &Options) -> Result<Self, Error> {
        let isa = target.baseline_isa(options.verify, options.unwind)?;
        let builder = ObjectBuilder::new(isa.clone(), options.prefix.clone(), cranelift_module::default_libcall_names())?;
        let text = Text { clif: options.clif, asm: options.asm };
        Ok(Writer { module: ObjectModule::new(builder), isa, text, landing_pads: target.has_landing_pads(), written: vec![] })
    }

    /// Also answers how much stack its frame takes.
    pub fn function(&mut self, symbol: String, linkage: Linkage, function: Function) -> Result<(FuncId, u32), Error> {
        let signature = function.signature.clone();
        let mut compiled = compile::function(function, &*self.isa, self.text).map_err(Error::Cranelift)?;
        if self.landing_pads && self.isa.triple().architecture == Architecture::X86_64 {
            compiled.begin_with(&ENDBR64).map_err(Error::Cranelift)?;
        }
        let stack_bytes = compiled.stack_bytes;
        Ok((self.define(symbol, linkage, &signature, compiled)?, stack_bytes))
    }

    pub fn define(&mut self, symbol: String, linkage: Linkage, signature: &Signature, c: Compiled) -> Result<FuncId, Error> {
        let id = self.module.declare_function(&symbol, linkage, signature)?;
        if let Some(r) = c.relocs.iter().find(|r| matches!(r.name, ModuleRelocTarget::LibCall(_))) {
            return Err(Error::Cranelift(format!("{symbol} would need a library: {:?}", r.name)));
        }
        // What refers to a place in the function itself (RISC-V does) was compiled before the function had a number.
        let own = |mut r: ModuleReloc| {
            if let ModuleRelocTarget::FunctionOffset(function, _) = &mut r.name {
                *function = id;
            }
            r
        };
        // What another object defines may be far away, or in a library: linkers know how to get there from such a call only.
        let module = &self.module;
        let imported = |mut r: ModuleReloc| {
            let is_imported = |id: FuncId| module.declarations().get_function_decl(id).linkage == Linkage::Import;
            if let ModuleRelocTarget::User { namespace: 0, index } = r.name
                && r.kind == Reloc::X86CallPCRel4
                && is_imported(FuncId::from_u32(index))
            {
                r.kind = Reloc::X86CallPLTRel4;
            }
            r
        };
        let relocs: Vec<ModuleReloc> = c.relocs.into_iter().map(own).map(imported).collect();
        self.module.define_function_bytes(id, u64::from(c.align), &c.bytes, &relocs)?;
        let code_bytes = c.bytes.len() as u64;
        self.written.push(Written { id, symbol, code_bytes, rows: c.rows, clif: c.clif, asm: c.asm });
        Ok(id)
    }
}
