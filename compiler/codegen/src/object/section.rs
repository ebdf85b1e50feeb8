//! Which names a section for constants can have, in each format of objects.
//!
//! The idea: a name that the format cannot hold, or that linkers treat as something else than data to be loaded, would lose the weights
//! without a word; it is refused here with one.

use target_lexicon::{BinaryFormat, Triple};

/// ELF and COFF: linkers know these, also as the beginnings of names with another dot, as code, zeros, or something not to be loaded.
const TAKEN: [&str; 17] = [
    ".text",
    ".init",
    ".fini",
    ".data",
    ".bss",
    ".tdata",
    ".tbss",
    ".comment",
    ".note",
    ".debug",
    ".eh_frame",
    ".symtab",
    ".strtab",
    ".shstrtab",
    ".rel",
    ".rela",
    ".drectve",
];
/// Mach-O: the same, by segment and section.
const TAKEN_BY_APPLE: [&str; 5] = ["__PAGEZERO", "__LINKEDIT", "__DWARF", "__LD", "__OBJC"];
const TAKEN_SECTIONS: [&str; 7] = ["__text", "__stubs", "__bss", "__common", "__unwind_info", "__eh_frame", "__cstring"];

/// What an ELF section's name may take, more than anyone needs.
const MAX_NAME_BYTES: usize = 200;

/// Why constants cannot be in a section of that name.
pub fn check(name: &str, triple: &Triple) -> Result<(), String> {
    let is_good = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.$-".contains(c));
    let refused = |why: &str| Err(format!("the constants cannot be in the section `{}`: {why}", name.escape_debug()));
    if triple.binary_format == BinaryFormat::Macho {
        return match name.split(',').collect::<Vec<_>>()[..] {
            [segment, section] if is_good(segment) && is_good(section) => {
                if 16 < segment.len() || 16 < section.len() {
                    refused("names in a Mach-O object have at most 16 characters")
                } else if TAKEN_BY_APPLE.contains(&segment) || TAKEN_SECTIONS.contains(&section) {
                    refused("the linker keeps that name for something else; say __DATA_CONST,__weights, for one")
                } else {
                    Ok(())
                }
            }
            _ => {
                refused("a Mach-O object wants SEGMENT,SECTION, of letters, digits, `_`, `.`, `$` and `-`, such as __DATA_CONST,__weights")
            }
        };
    }
    let begins = |taken: &str| name.strip_prefix(taken).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '$']));
    if !is_good(name) {
        refused("a name has letters, digits, `_`, `.`, `$` and `-`, such as .flash")
    } else if MAX_NAME_BYTES < name.len() {
        refused("it is longer than 200 characters")
    } else if TAKEN.iter().any(|taken| begins(taken)) {
        refused("linkers keep that name for something else; say .flash, for one")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_cannot_have_is_refused() {
        let [elf, mach, coff] =
            ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"].map(|t| t.parse::<Triple>().unwrap());
        for name in [".flash", "weights", ".rodata", ".rodata.kws", ".ext-flash.1", ".database", ".rdata$w", ".longer_than_eight"] {
            assert!(check(name, &elf).is_ok() && check(name, &coff).is_ok() && check(name, &mach).is_err(), "{name}");
        }
        for name in ["", " ", "a b", "a,b", "\"x\"", "für", "a\n", ".text", ".bss", ".bss.x", ".data.rel.ro", ".note.x", &"x".repeat(201)]
        {
            assert!(check(name, &elf).is_err() && check(name, &coff).is_err(), "{name}");
        }
        assert!(check("__TEXT,__weights", &mach).is_ok() && check("__DATA_CONST,__w", &mach).is_ok());
        for name in
            ["__TEXT", "__TEXT,", ",__w", "__TEXT,__w,regular", "__TEXT,__text", "__DATA,__bss", "__LINKEDIT,__w", "__SEVENTEEN_LETTRS,__w"]
        {
            assert!(check(name, &mach).is_err(), "{name}");
        }
    }
}
