//! `.eh_frame`: for every instruction of the object, where its caller is and what registers the caller had.
//!
//! For profilers, debuggers and `_Unwind_Backtrace`; nothing of ours throws. The ideas: rows begin where an instruction ends that moves the
//! stack pointer, so that every instruction is described, not calls alone. Cranelift says what its prologues do. Code that we assemble is read
//! back, so that nothing knows a frame but the code that makes it.

use super::Error;
use super::writer::Written;
use crate::clif::Arch;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInst;
use cranelift_object::ObjectProduct;
use cranelift_object::object::write::Relocation;
use cranelift_object::object::{RelocationFlags, SectionKind, elf};
use gimli::write::{
    Address, CallFrameInstruction, EhFrame, EndianVec, FrameDescriptionEntry, FrameTable, RelocateWriter, RelocationTarget,
};
use gimli::{AArch64, LittleEndian, Register, RiscV, X86_64};
use target_lexicon::Architecture;

/// What is true from an offset in the code on.
pub type Rows = Vec<(u32, CallFrameInstruction)>;

fn arch(isa: &dyn TargetIsa) -> Arch {
    match isa.triple().architecture {
        Architecture::X86_64 => Arch::X86,
        Architecture::Aarch64(_) => Arch::Arm,
        _ => Arch::Riscv,
    }
}

/// How Cranelift's functions begin and end on a machine.
struct Conventions {
    stack_pointer: Register,
    frame_pointer: Register,
    /// Has the return address, if that comes in a register.
    link: Option<Register>,
    /// How long before the frame is reported the stack pointer was moved: registers are stored in between.
    late_bytes: u32,
    /// The end of every function that has a frame.
    epilogue: &'static [u8],
    /// By how much the stack pointer is off the caller's from these offsets in it on; all registers are the caller's again. Before, the frame
    /// pointer says where the caller's frame is.
    places: &'static [(u32, i32)],
}

const X86: Conventions = Conventions {
    stack_pointer: X86_64::RSP,
    frame_pointer: X86_64::RBP,
    link: None,
    late_bytes: 0,
    epilogue: &[0x48, 0x89, 0xec, 0x5d, 0xc3], // mov rsp, rbp; pop rbp; ret
    places: &[(4, 8)],
};

const ARM: Conventions = Conventions {
    stack_pointer: AArch64::SP,
    frame_pointer: AArch64::X29,
    link: Some(AArch64::X30),
    late_bytes: 0,
    epilogue: &[0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6], // ldp x29, x30, [sp], #16; ret
    places: &[(4, 0)],
};

/// Its instructions have two bytes each here.
const RISCV: Conventions = Conventions {
    stack_pointer: RiscV::SP,
    frame_pointer: RiscV::X8,
    link: Some(RiscV::RA),
    late_bytes: 4,
    epilogue: &[0x02, 0x64, 0x41, 0x61, 0x82, 0x80], // ld fp, 0(sp); addi sp, sp, 16; ret
    places: &[(2, 16), (4, 0)],
};

/// The rows of a function of Cranelift's.
pub fn of_clif(code: &[u8], prologue: &[(u32, UnwindInst)], isa: &dyn TargetIsa) -> Result<Rows, String> {
    let conventions = match arch(isa) {
        Arch::X86 => X86,
        Arch::Arm => ARM,
        Arch::Riscv => RISCV,
    };
    let fp = conventions.frame_pointer;
    let (mut rows, mut below_cfa, mut saved) = (vec![], 0, vec![]);
    for &(offset, ref instruction) in prologue {
        match *instruction {
            UnwindInst::PushFrameRegs { offset_upward_to_caller_sp } => {
                let bytes = offset_upward_to_caller_sp as i32;
                rows.push((offset - conventions.late_bytes, CallFrameInstruction::CfaOffset(bytes)));
                saved.push((offset, fp, -bytes));
                saved.extend(conventions.link.map(|link| (offset, link, 8 - bytes)));
            }
            UnwindInst::DefineNewFrame { offset_upward_to_caller_sp, offset_downward_to_clobbers } => {
                rows.push((offset, CallFrameInstruction::CfaRegister(fp)));
                below_cfa = (offset_upward_to_caller_sp + offset_downward_to_clobbers) as i32;
            }
            UnwindInst::SaveReg { clobber_offset, reg } => {
                let register = isa.map_regalloc_reg_to_dwarf(reg.into()).map_err(|e| e.to_string())?;
                saved.push((offset, Register(register), clobber_offset as i32 - below_cfa));
            }
            // The frame pointer says where the frame is; and return addresses are not signed unless it says that they are.
            UnwindInst::StackAlloc { .. } | UnwindInst::Aarch64SetPointerAuth { return_addresses: false } => {}
            ref other => return Err(format!("an instruction of the kind {other:?}")),
        }
    }
    if rows.is_empty() {
        return Ok(rows);
    }
    rows.extend(saved.iter().map(|&(offset, register, at)| (offset, CallFrameInstruction::Offset(register, at))));
    rows.sort_by_key(|row| row.0);
    // What looks like an epilogue inside of other instructions or constants does not matter: nothing is executed from there.
    for at in (0..code.len()).filter(|&at| code[at..].starts_with(conventions.epilogue)) {
        let mut row = |offset, row| rows.push((at as u32 + offset, row));
        let first = conventions.places[0].0;
        row(first, CallFrameInstruction::RememberState);
        saved.iter().for_each(|&(_, register, _)| row(first, CallFrameInstruction::Restore(register)));
        for &(offset, bytes) in conventions.places {
            row(offset, CallFrameInstruction::Cfa(conventions.stack_pointer, bytes));
        }
        row(conventions.epilogue.len() as u32, CallFrameInstruction::RestoreState);
    }
    Ok(rows)
}

/// The rows of code that we assembled, which ends with its only return; constants may follow.
pub fn of_assembled(code: &[u8], isa: &dyn TargetIsa) -> Result<Rows, String> {
    match arch(isa) {
        Arch::X86 => of_assembled_x86(code),
        Arch::Arm => Ok(of_assembled_arm(code)),
        Arch::Riscv => Err("there is no such code for RISC-V".into()),
    }
}

fn of_assembled_x86(code: &[u8]) -> Result<Rows, String> {
    use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register as R};
    // Those that a function must give back, as pushed by prologues.
    let number = |register| match register {
        R::RBX => Some(X86_64::RBX),
        R::RBP => Some(X86_64::RBP),
        R::R12 => Some(X86_64::R12),
        R::R13 => Some(X86_64::R13),
        R::R14 => Some(X86_64::R14),
        R::R15 => Some(X86_64::R15),
        _ => None,
    };
    // The return address.
    let mut bytes = 8;
    let mut rows = vec![];
    for i in Decoder::new(64, code, DecoderOptions::NONE) {
        let first = i.op0_register();
        let register = match i.mnemonic() {
            Mnemonic::Ret => return Ok(rows),
            Mnemonic::Push => {
                bytes += 8;
                number(first).map(|r| CallFrameInstruction::Offset(r, -bytes))
            }
            Mnemonic::Pop => {
                bytes -= 8;
                number(first).map(CallFrameInstruction::Restore)
            }
            Mnemonic::Sub if first == R::RSP => {
                bytes += i.immediate(1) as i32;
                None
            }
            Mnemonic::Add if first == R::RSP => {
                bytes -= i.immediate(1) as i32;
                None
            }
            _ if first == R::RSP || i.is_invalid() => return Err(format!("an instruction at {:#x} that moves the stack pointer", i.ip())),
            _ => continue,
        };
        let end = i.next_ip() as u32;
        rows.push((end, CallFrameInstruction::CfaOffset(bytes)));
        rows.extend(register.map(|r| (end, r)));
    }
    Err("code without a return".into())
}

/// Registers that a function must give back are stored right after the first step of the stack pointer, and are the caller's again with the last one.
fn of_assembled_arm(code: &[u8]) -> Rows {
    use crate::neon::forms::{self, Decoded, Form};
    const SP: u8 = 31;
    let is = |d: &Decoded, forms: [&'static Form; 2]| forms.contains(&d.form);
    let (mut bytes, mut rows, mut saved, mut is_saving) = (0, vec![], vec![], true);
    for (i, word) in code.chunks_exact(4).enumerate() {
        let Some(d) = forms::decode(u32::from_le_bytes(word.try_into().expect("four bytes"))) else {
            is_saving = false;
            continue;
        };
        let end = 4 * (i as u32 + 1);
        let steps = d.registers == [SP, SP];
        let number = d.numbers.first().map_or(0, |&n| n as i32);
        let moved = match () {
            () if d.form == &forms::RET => break,
            () if steps && d.form == &forms::SUB_IMM => number,
            () if steps && d.form == &forms::SUB_IMM_LSL12 => number << 12,
            () if steps && d.form == &forms::ADD_IMM => -number,
            () if steps && d.form == &forms::ADD_IMM_LSL12 => -number << 12,
            () => 0,
        };
        if moved != 0 {
            bytes += moved;
            rows.push((end, CallFrameInstruction::CfaOffset(bytes)));
            if bytes == 0 {
                rows.extend(saved.drain(..).map(|register| (end, CallFrameInstruction::Restore(register))));
            }
        }
        let is_general = is(&d, [&forms::STP_X, &forms::STR_X]);
        let is_store = d.registers.last() == Some(&SP) && (is_general || is(&d, [&forms::STP_D, &forms::STR_D]));
        // Behind the landing pad and the first step.
        is_saving &= i == 0 || is_store || (moved != 0 && rows.len() == 1);
        if is_saving && is_store {
            let first = if is_general { AArch64::X0 } else { AArch64::V0 };
            for (k, register) in d.registers[..d.registers.len() - 1].iter().enumerate() {
                let register = Register(first.0 + u16::from(*register));
                rows.push((end, CallFrameInstruction::Offset(register, number + 8 * k as i32 - bytes)));
                saved.push(register);
            }
        }
    }
    rows
}

/// Puts the section that describes all functions into an ELF object.
pub fn add(product: &mut ObjectProduct, written: &[Written], isa: &dyn TargetIsa) -> Result<(), Error> {
    let failed = |what: String| Error::Frame(what);
    let mut cie = isa.create_systemv_cie().ok_or_else(|| failed("unknown to Cranelift".into()))?;
    // A distance: the section is the same wherever the program is loaded.
    cie.fde_address_encoding = gimli::constants::DW_EH_PE_pcrel | gimli::constants::DW_EH_PE_sdata4;
    let mut table = FrameTable::default();
    let cie = table.add_cie(cie);
    for (symbol, function) in written.iter().enumerate() {
        let mut fde = FrameDescriptionEntry::new(Address::Symbol { symbol, addend: 0 }, function.code_bytes as u32);
        function.rows.iter().for_each(|(offset, row)| fde.add_instruction(*offset, row.clone()));
        table.add_fde(cie, fde);
    }
    let mut frames = EhFrame(Section { bytes: EndianVec::new(LittleEndian), relocations: vec![] });
    table.write_eh_frame(&mut frames).map_err(|e| failed(e.to_string()))?;
    let Section { bytes, relocations } = frames.0;
    let section = product.object.add_section(vec![], b".eh_frame".to_vec(), SectionKind::ReadOnlyData);
    product.object.append_section_data(section, bytes.slice(), 8);
    let r_type = match arch(isa) {
        Arch::X86 => elf::R_X86_64_PC32,
        Arch::Arm => elf::R_AARCH64_PREL32,
        Arch::Riscv => elf::R_RISCV_32_PCREL,
    };
    for relocation in relocations {
        let RelocationTarget::Symbol(function) = relocation.target else { return Err(failed("a reference to a section".into())) };
        let function = product.object.symbol(product.function_symbol(written[function].id));
        let at = function.value as i64;
        let code = function.section.id().ok_or_else(|| failed("a function without a section".into()))?;
        // By the section's symbol: in a library, the name of a function may become that of another.
        let symbol = product.object.section_symbol(code);
        let addend = at + relocation.addend;
        let relocation = Relocation { offset: relocation.offset as u64, symbol, addend, flags: RelocationFlags::Elf { r_type } };
        product.object.add_relocation(section, relocation).map_err(|e| failed(e.to_string()))?;
    }
    Ok(())
}

/// A section that is being written.
struct Section {
    bytes: EndianVec<LittleEndian>,
    relocations: Vec<gimli::write::Relocation>,
}

impl RelocateWriter for Section {
    type Writer = EndianVec<LittleEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }
    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }
    fn relocate(&mut self, relocation: gimli::write::Relocation) {
        self.relocations.push(relocation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::cpu;
    use crate::targets::Target;
    use iced_x86::code_asm::{CodeAssembler, qword_ptr, rax, rbx, rsp};

    #[test]
    fn assembled_code_is_read_back() {
        let mut a = CodeAssembler::new(64).unwrap();
        a.push(rbx).unwrap(); // 1 byte
        a.sub(rsp, 64).unwrap(); // 4
        // A move between places of the frame.
        a.push(qword_ptr(rsp + 16)).unwrap(); // 4
        a.pop(qword_ptr(rsp + 24)).unwrap(); // 4
        a.add(rsp, 64).unwrap(); // 4
        a.pop(rbx).unwrap(); // 1
        a.vzeroupper().unwrap();
        a.ret().unwrap();
        // Constants that look like code.
        a.db(&[0x53, 0x5b]).unwrap();
        use CallFrameInstruction::{CfaOffset, Offset, Restore};
        let rows = [
            (1, CfaOffset(16)),
            (1, Offset(X86_64::RBX, -16)),
            (5, CfaOffset(80)),
            (9, CfaOffset(88)),
            (13, CfaOffset(80)),
            (17, CfaOffset(16)),
            (18, CfaOffset(8)),
            (18, Restore(X86_64::RBX)),
        ];
        assert_eq!(of_assembled_x86(&a.assemble(0).unwrap()).unwrap(), rows);

        let asks = cpu::function(&Target::new("aarch64-unknown-linux-gnu", Some("generic+dotprod")).unwrap(), 1);
        assert_eq!(of_assembled_arm(&asks.bytes), [(8, CfaOffset(400)), (40, CfaOffset(0))]);
    }

    #[test]
    fn functions_for_arm_are_read_back() {
        use crate::neon::forms::{self, Arrangement, Form};
        use CallFrameInstruction::{CfaOffset, Offset, Restore};
        let code: [(&Form, &[u8], &[i64]); 14] = [
            (&forms::SUB_IMM, &[31, 31], &[32]),
            (&forms::STP_X, &[19, 20, 31], &[0]),
            (&forms::STR_D, &[8, 31], &[16]),
            (&forms::SUB_IMM_LSL12, &[31, 31], &[1]),
            (&forms::SUB_IMM, &[31, 31], &[16]),
            // Two that have no register, one of them again.
            (&forms::STR_X, &[19, 31], &[0]),
            (&forms::LDR_X, &[19, 31], &[8]),
            (&forms::ADD_IMM_LSL12, &[31, 31], &[1]),
            (&forms::ADD_IMM, &[31, 31], &[16]),
            (&forms::LDP_X, &[19, 20, 31], &[0]),
            (&forms::LDR_D, &[8, 31], &[16]),
            (&forms::ADD_IMM, &[31, 31], &[32]),
            (&forms::RET, &[], &[]),
            // A constant.
            (&forms::SUB_IMM, &[31, 31], &[32]),
        ];
        let words = code.map(|(form, registers, numbers)| form.encode(Arrangement::None, registers, numbers).unwrap());
        let (x19, x20, d8) = (AArch64::X19, AArch64::X20, AArch64::V8);
        let rows = [
            (4, CfaOffset(32)),
            (8, Offset(x19, -32)),
            (8, Offset(x20, -24)),
            (12, Offset(d8, -16)),
            (16, CfaOffset(32 + 4096)),
            (20, CfaOffset(48 + 4096)),
            (32, CfaOffset(48)),
            (36, CfaOffset(32)),
            (48, CfaOffset(0)),
            (48, Restore(x19)),
            (48, Restore(x20)),
            (48, Restore(d8)),
        ];
        assert_eq!(of_assembled_arm(&words.map(u32::to_le_bytes).concat()), rows);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let mut a = CodeAssembler::new(64).unwrap();
        a.mov(rsp, rax).unwrap();
        a.ret().unwrap();
        assert!(of_assembled_x86(&a.assemble(0).unwrap()).is_err());
        assert!(of_assembled_x86(&[0x90]).is_err());
    }
}
