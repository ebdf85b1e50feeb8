//! What an object asks the CPU that it runs on: which features there are, as bits, answered by a function a few instructions long.
//!
//! Not the machine of the compiler (`loader/host.rs`). The idea: no library may be called, so the function asks the processor itself,
//! and only for what some level needs; a feature counts only when the operating system also saves its registers.

use super::Error;
use crate::clif::Arch;
use crate::targets::Target;
use iced_x86::IcedError;
use iced_x86::code_asm::{AsmRegister32, CodeAssembler, eax, ebx, ecx, esi, r8d, r9d, r10d, rbx, sil};
use target_lexicon::OperatingSystem;

/// Set in every answer, so that no answer is 0.
pub const KNOWN: u32 = 1 << 31;

/// The function `uint32_t (void)`.
pub struct Function {
    pub bytes: Vec<u8>,
    /// With the return address.
    pub stack_bytes: u32,
}

/// The bits that the code for a target needs: none for its baseline.
pub fn needed(target: &Target) -> Result<u32, Error> {
    let table: Vec<&str> = match target.features.arch {
        Arch::X86 => X86.iter().map(|f| f.name).collect(),
        Arch::Arm if answers(target) => ARM.iter().map(|f| f.name).collect(),
        Arch::Arm | Arch::Riscv => vec![],
    };
    target.beyond_baseline().into_iter().try_fold(0, |bits, feature| {
        let bit = table.iter().position(|f| *f == feature);
        bit.map(|bit| bits | 1 << bit).ok_or_else(|| Error::CannotAsk(target.level.clone(), feature))
    })
}

/// Answers [`KNOWN`] and those of the `wanted` bits that the CPU has.
pub fn function(target: &Target, wanted: u32) -> Function {
    match target.features.arch {
        Arch::X86 => Function { bytes: x86(wanted).expect("these instructions exist"), stack_bytes: 16 },
        Arch::Arm => {
            let linux: &[u32] = if is_linux(target) { &ARM_LINUX } else { &[] };
            let words = [BTI_C].into_iter().chain(linux.iter().copied()).chain(arm(wanted));
            Function { bytes: words.flat_map(u32::to_le_bytes).collect(), stack_bytes: if linux.is_empty() { 0 } else { 400 } }
        }
        Arch::Riscv => unreachable!("it has no features that can be asked for"),
    }
}

fn is_linux(target: &Target) -> bool {
    target.triple.operating_system == OperatingSystem::Linux
}

/// Whether a program on Arm may read the registers that describe the CPU: without operating system, and under Linux.
fn answers(target: &Target) -> bool {
    is_linux(target) || matches!(target.triple.operating_system, OperatingSystem::None_ | OperatingSystem::Unknown)
}

/// Where an indirect call may land: linkers put one between distant functions. Nothing to processors that do not know it.
const BTI_C: u32 = 0xd503_245f;

/// A feature of 64-bit Arm.
struct Field {
    name: &'static str,
    /// `mrs x1, REGISTER`, which describes the CPU in fields of four bits.
    read: u32,
    /// The lowest bit of the field, which is above 0, as a signed number, where the feature is.
    bit: u32,
}

const ID_AA64PFR0: u32 = 0xd538_0401;
const ID_AA64ISAR0: u32 = 0xd538_0601;
const ID_AA64ISAR1: u32 = 0xd538_0621;

/// A feature's bit in the answer is its place here. Registers that a kernel does not know of read as 0 to programs.
static ARM: [Field; 3] = [
    Field { name: "dotprod", read: ID_AA64ISAR0, bit: 44 },
    Field { name: "fp16", read: ID_AA64PFR0, bit: 20 },
    Field { name: "i8mm", read: ID_AA64ISAR1, bit: 52 },
];

/// Asks for the `wanted` features.
fn arm(wanted: u32) -> Vec<u32> {
    let mut words = vec![0x52b0_0000]; // mov w0, #0x80000000
    for (i, field) in (0..).zip(&ARM).filter(|(i, _)| wanted >> i & 1 == 1) {
        words.extend([
            field.read,
            0x9340_0021 | field.bit << 16 | (field.bit + 3) << 10, // sbfx x1, x1, #bit, #4
            0xf100_003f,                                           // cmp  x1, #0
            0x1a9f_d7e1,                                           // cset w1, gt
            0x2a01_0000 | i << 10,                                 // orr  w0, w0, w1, lsl #i
        ]);
    }
    words.push(0xd65f_03c0); // ret
    words
}

/// The read is a trap in a program, which Linux answers since 4.11 and takes for an illegal instruction before. So the kernel is asked
/// for its version first: `uname` writes it as text to byte 130 of its answer. What follows is `arm`.
const ARM_LINUX: [u32; 23] = [
    0xd106_43ff, //       sub  sp, sp, #400
    0x9100_03e0, //       mov  x0, sp
    0xd280_1408, //       mov  x8, #160 (uname)
    0xd400_0001, //       svc  #0
    0x3942_0be1, //       ldrb w1, [sp, #130]
    0x3942_0fe2, //       ldrb w2, [sp, #131]
    0x3942_13e3, //       ldrb w3, [sp, #132]
    0x3942_17e4, //       ldrb w4, [sp, #133]
    0x9106_43ff, //       add  sp, sp, #400
    0xb500_0180, //       cbnz x0, none (it failed)
    0x7100_b85f, //       cmp  w2, #'.'
    0x5400_0181, //       b.ne ask (10 or later)
    0x7100_d03f, //       cmp  w1, #'4'
    0x5400_0148, //       b.hi ask (5 or later)
    0x5400_00e3, //       b.lo none
    0x5100_c084, //       sub  w4, w4, #'0'
    0x7100_249f, //       cmp  w4, #9
    0x5400_0088, //       b.hi none (4.9 or before)
    0x7100_c47f, //       cmp  w3, #'1'
    0x5400_0088, //       b.hi ask (4.20 or later)
    0x3500_0064, //       cbnz w4, ask (4.11 or later)
    0x52b0_0000, // none: mov  w0, #0x80000000
    0xd65f_03c0, //       ret
                 // ask:
];

/// Which registers the operating system must save.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Xmm,
    Ymm,
    Zmm,
}

struct Feature {
    name: &'static str,
    /// The question to CPUID, and register and bit of its answer.
    leaf: (u32, u32),
    register: AsmRegister32,
    bit: u32,
    state: State,
}

const fn feature(name: &'static str, leaf: (u32, u32), register: AsmRegister32, bit: u32, state: State) -> Feature {
    Feature { name, leaf, register, bit, state }
}

const BASIC: (u32, u32) = (1, 0);
const SEVEN: (u32, u32) = (7, 0);
const SEVEN_ONE: (u32, u32) = (7, 1);
const EXTENDED: (u32, u32) = (0x8000_0001, 0);

/// A feature's bit is its place here.
static X86: [Feature; 20] = [
    feature("sse3", BASIC, ecx, 0, State::Xmm),
    feature("ssse3", BASIC, ecx, 9, State::Xmm),
    feature("fma", BASIC, ecx, 12, State::Ymm),
    feature("sse4.1", BASIC, ecx, 19, State::Xmm),
    feature("sse4.2", BASIC, ecx, 20, State::Xmm),
    feature("popcnt", BASIC, ecx, 23, State::Xmm),
    feature("avx", BASIC, ecx, 28, State::Ymm),
    feature("f16c", BASIC, ecx, 29, State::Ymm),
    feature("bmi1", SEVEN, ebx, 3, State::Xmm),
    feature("avx2", SEVEN, ebx, 5, State::Ymm),
    feature("bmi2", SEVEN, ebx, 8, State::Xmm),
    feature("avx512f", SEVEN, ebx, 16, State::Zmm),
    feature("avx512dq", SEVEN, ebx, 17, State::Zmm),
    feature("avx512cd", SEVEN, ebx, 28, State::Zmm),
    feature("avx512bw", SEVEN, ebx, 30, State::Zmm),
    feature("avx512vl", SEVEN, ebx, 31, State::Zmm),
    feature("avx512vbmi", SEVEN, ecx, 1, State::Zmm),
    feature("avx512vnni", SEVEN, ecx, 11, State::Zmm),
    feature("avxvnni", SEVEN_ONE, eax, 4, State::Ymm),
    feature("lzcnt", EXTENDED, ecx, 5, State::Xmm),
];

/// The processor has XGETBV, and the operating system uses it: bit 27 of ecx.
const OSXSAVE: u32 = 1 << 27;
/// Bits of XCR0: xmm and ymm; masks and both halves of zmm too.
const YMM_SAVED: u32 = 0x06;
const ZMM_SAVED: u32 = 0xe6;

/// `r8d` collects the answer, `r9d` is the low half of XCR0, `r10d` the highest leaf.
fn x86(wanted: u32) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let wants = |leaf: (u32, u32)| (0..X86.len()).any(|i| wanted >> i & 1 == 1 && X86[i].leaf == leaf);
    let bits_of = |state| (0..X86.len()).filter(|&i| X86[i].state == state).fold(0u32, |bits, i| bits | 1 << i);
    // Puts what the answer in eax to edx says of the features of a leaf into r8d.
    let collect = |a: &mut CodeAssembler, leaf| {
        for (i, f) in X86.iter().enumerate().filter(|(i, f)| wanted >> i & 1 == 1 && f.leaf == leaf) {
            a.xor(esi, esi)?;
            a.test(f.register, (1u32 << f.bit) as i32)?;
            a.setne(sil)?;
            a.shl(esi, i as u32)?;
            a.or(r8d, esi)?;
        }
        Ok::<(), IcedError>(())
    };
    let ask = |a: &mut CodeAssembler, leaf: (u32, u32)| {
        a.mov(eax, leaf.0)?;
        a.mov(ecx, leaf.1)?;
        a.cpuid()
    };
    // CPUID overwrites it, and it is the caller's.
    a.push(rbx)?;
    a.mov(r8d, KNOWN)?;
    a.xor(r9d, r9d)?;
    ask(&mut a, (0, 0))?;
    a.mov(r10d, eax)?;
    ask(&mut a, BASIC)?;
    collect(&mut a, BASIC)?;
    let mut saved = a.create_label();
    a.test(ecx, OSXSAVE as i32)?;
    a.je(saved)?;
    a.xor(ecx, ecx)?;
    a.xgetbv()?;
    a.mov(r9d, eax)?;
    a.set_label(&mut saved)?;
    if wants(SEVEN) || wants(SEVEN_ONE) {
        let mut absent = a.create_label();
        a.cmp(r10d, 7)?;
        a.jb(absent)?;
        ask(&mut a, SEVEN)?;
        a.mov(r10d, eax)?;
        collect(&mut a, SEVEN)?;
        if wants(SEVEN_ONE) {
            a.cmp(r10d, 1)?;
            a.jb(absent)?;
            ask(&mut a, SEVEN_ONE)?;
            collect(&mut a, SEVEN_ONE)?;
        }
        a.set_label(&mut absent)?;
    }
    if wants(EXTENDED) {
        let mut absent = a.create_label();
        ask(&mut a, (0x8000_0000, 0))?;
        a.cmp(eax, EXTENDED.0 as i32)?;
        a.jb(absent)?;
        ask(&mut a, EXTENDED)?;
        collect(&mut a, EXTENDED)?;
        a.set_label(&mut absent)?;
    }
    // What the operating system does not save is not there.
    let mut done = a.create_label();
    a.mov(eax, r9d)?;
    a.and(eax, ZMM_SAVED as i32)?;
    a.cmp(eax, ZMM_SAVED as i32)?;
    a.je(done)?;
    a.and(r8d, !bits_of(State::Zmm) as i32)?;
    a.and(r9d, YMM_SAVED as i32)?;
    a.cmp(r9d, YMM_SAVED as i32)?;
    a.je(done)?;
    a.and(r8d, !bits_of(State::Ymm) as i32)?;
    a.set_label(&mut done)?;
    a.mov(eax, r8d)?;
    a.pop(rbx)?;
    a.ret()?;
    a.assemble(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets;

    #[test]
    fn every_feature_can_be_asked_for() {
        for (triple, levels) in [("x86_64-unknown-linux-gnu", 0), ("aarch64-unknown-linux-gnu", 1)] {
            let levels = &targets::list()[levels];
            for feature in &levels.features {
                let target = Target::new(triple, Some(&format!("{}+{feature}", levels.levels[0].name))).unwrap();
                assert_eq!(needed(&target).unwrap() == 0, feature.starts_with("prefer"), "{feature}");
            }
            assert_eq!(needed(&Target::new(triple, None).unwrap()).unwrap(), 0);
        }
        // Other operating systems do not let a program ask.
        let error = needed(&Target::new("aarch64-unknown-netbsd", Some("generic+dotprod")).unwrap()).unwrap_err();
        assert!(error.to_string().contains("--no-cpu-check"), "{error}");
        let riscv = |cpu| needed(&Target::new("riscv64gc-unknown-linux-gnu", Some(cpu)).unwrap());
        assert_eq!(riscv("rv64gc").unwrap(), 0);
        assert!(riscv("rva22").unwrap_err().to_string().contains("--no-cpu-check"));
    }

    /// What nobody wants costs nothing.
    #[test]
    fn only_wanted_leaves_are_asked() {
        let bit = |name| 1 << X86.iter().position(|f| f.name == name).unwrap();
        let cpuids = |wanted| x86(wanted).unwrap().windows(2).filter(|w| *w == [0x0f, 0xa2]).count();
        let wanted = [bit("sse3"), bit("avx2"), bit("avxvnni"), bit("lzcnt"), (1 << X86.len()) - 1];
        assert_eq!(wanted.map(cpuids), [2, 3, 4, 4, 6]);
    }
}
