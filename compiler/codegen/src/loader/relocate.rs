//! Relocations of the two architectures that hosts have, and what else depends on the host.

use object::elf;
use object::{Architecture, RelocationFlags};

pub fn is_for_this_machine(architecture: Architecture) -> bool {
    match architecture {
        Architecture::X86_64 => cfg!(target_arch = "x86_64"),
        Architecture::Aarch64 => cfg!(target_arch = "aarch64"),
        _ => false,
    }
}

/// Writes `value`, the target's address and addend, into the instruction or datum at `place`, whose address is `address`.
pub fn apply(memory: &mut [u8], place: usize, address: u64, value: u64, flags: RelocationFlags) -> Result<(), String> {
    let RelocationFlags::Elf { r_type } = flags else { return Err("a relocation that is not ELF's".into()) };
    let distance = value.wrapping_sub(address) as i64;
    let far = || "a relocation out of reach".to_string();
    if cfg!(target_arch = "aarch64") {
        let word = u32::from_le_bytes(memory[place..place + 4].try_into().expect("four bytes"));
        let word = match r_type {
            elf::R_AARCH64_ABS64 => {
                memory[place..place + 8].copy_from_slice(&value.to_le_bytes());
                return Ok(());
            }
            elf::R_AARCH64_ADR_PREL_PG_HI21 => {
                let pages = ((value & !0xfff).wrapping_sub(address & !0xfff) as i64) >> 12;
                if !(-(1 << 20)..1 << 20).contains(&pages) {
                    return Err(far());
                }
                let pages = pages as u32;
                word | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5
            }
            elf::R_AARCH64_ADD_ABS_LO12_NC => word | ((value & 0xfff) as u32) << 10,
            elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => {
                if !(-(1 << 27)..1 << 27).contains(&distance) {
                    return Err(far());
                }
                word | (distance >> 2) as u32 & 0x3ff_ffff
            }
            other => return Err(format!("a relocation of type {other}")),
        };
        memory[place..place + 4].copy_from_slice(&word.to_le_bytes());
        return Ok(());
    }
    match r_type {
        elf::R_X86_64_64 => memory[place..place + 8].copy_from_slice(&value.to_le_bytes()),
        elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => {
            let distance = i32::try_from(distance).map_err(|_| far())?;
            memory[place..place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        other => return Err(format!("a relocation of type {other}")),
    }
    Ok(())
}

pub const JUMP_BYTES: usize = 16;

/// Code that goes to an address anywhere, which follows it.
pub fn jump(address: u64) -> [u8; JUMP_BYTES] {
    let mut code = [0; JUMP_BYTES];
    let instructions: &[u8] = match cfg!(target_arch = "aarch64") {
        // ldr x16, .+8; br x16
        true => &[0x50, 0x00, 0x00, 0x58, 0x00, 0x02, 0x1f, 0xd6],
        // jmp [rip + 2]; ud2
        false => &[0xff, 0x25, 0x02, 0x00, 0x00, 0x00, 0x0f, 0x0b],
    };
    code[..8].copy_from_slice(instructions);
    code[8..].copy_from_slice(&address.to_le_bytes());
    code
}

/// Makes written code visible to the instruction fetch, which on Arm does not happen by itself.
pub fn publish(_memory: &[u8]) {
    #[cfg(target_arch = "aarch64")]
    for line in _memory.chunks(4) {
        // SAFETY: cleans and invalidates cache lines of memory that we own; no line is shorter than four bytes.
        unsafe {
            std::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", in(reg) line.as_ptr());
        }
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier.
    unsafe {
        std::arch::asm!("dsb ish", "isb");
    }
}

/// Makes whole pages of a mapping of ours writable, and not executable.
#[cfg(unix)]
pub fn make_writable(start: *const u8, size_bytes: usize) -> Result<(), String> {
    const READ_WRITE: i32 = 1 | 2;
    unsafe extern "C" {
        fn mprotect(address: *mut u8, size: usize, protection: i32) -> i32;
    }
    // SAFETY: the pages are mapped and nothing of Rust's refers to them.
    let failed = unsafe { mprotect(start.cast_mut(), size_bytes, READ_WRITE) } != 0;
    if failed { Err(std::io::Error::last_os_error().to_string()) } else { Ok(()) }
}

#[cfg(not(unix))]
pub fn make_writable(_: *const u8, _: usize) -> Result<(), String> {
    Err("this host cannot change how memory may be used".into())
}
