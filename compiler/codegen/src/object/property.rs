//! What an ELF object says of its code to the linker: that indirect calls land where the processor wants them to (IBT on x86-64, BTI on
//! 64-bit Arm), and that returns go where calls came from (SHSTK).
//!
//! A program has such a property when all of its objects have it; one without the note takes it from all.

use crate::clif::Arch;
use crate::targets::Target;
use cranelift_object::object::write::Object;
use cranelift_object::object::{SectionFlags, SectionKind, elf};

pub struct Note {
    /// Number and bits of the property.
    property: (u32, u32),
}

/// The note for code for a target, if there is one.
pub fn note(target: &Target) -> Option<Note> {
    let property = match target.features.arch {
        Arch::X86 => (elf::GNU_PROPERTY_X86_FEATURE_1_AND, elf::GNU_PROPERTY_X86_FEATURE_1_IBT | elf::GNU_PROPERTY_X86_FEATURE_1_SHSTK),
        Arch::Arm => (elf::GNU_PROPERTY_AARCH64_FEATURE_1_AND, elf::GNU_PROPERTY_AARCH64_FEATURE_1_BTI),
        Arch::Riscv => return None,
    };
    target.has_landing_pads().then_some(Note { property })
}

impl Note {
    pub fn add(&self, object: &mut Object) {
        let section = object.add_section(vec![], b".note.gnu.property".to_vec(), SectionKind::Note);
        // Sizes of name and contents, type, name; a property, its size, its bits, and zeros up to 8 bytes.
        let words = [4, 16, elf::NT_GNU_PROPERTY_TYPE_0, u32::from_le_bytes(*b"GNU\0"), self.property.0, 4, self.property.1, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        object.section_mut(section).flags = SectionFlags::Elf { sh_flags: elf::SHF_ALLOC.into() };
        object.append_section_data(section, &bytes, 8);
    }
}
