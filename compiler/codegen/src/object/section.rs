//! Which names a section for constants can have, in each format of objects.
//!
//! Linkers and loaders know hundreds of names, and what has one of them is executed, filled with zeros, merged, dropped or read as something
//! else. Nobody can list them all, so the rule says what is allowed. The idea: such names never speak of kinds of memory or of weights. A
//! name of one's own says before its second dot what is there, in a word that is known here; or it lies under the name that the format
//! has for constants, where anything may follow.

use target_lexicon::{BinaryFormat, Triple};

/// Words for memory and for what is kept there, as they are or with digits behind them (`flash2`, `dram0`).
const WORDS: [&str; 36] = [
    "ai",
    "assets",
    "blob",
    "coefficients",
    "coeffs",
    "const",
    "constants",
    "constdata",
    "consts",
    "ddr",
    "ext",
    "extern",
    "external",
    "lut",
    "luts",
    "mem",
    "memory",
    "ml",
    "model",
    "models",
    "nand",
    "network",
    "nn",
    "nor",
    "npu",
    "nvm",
    "params",
    "parameters",
    "rdata",
    "rodata",
    "storage",
    "tensor",
    "tensors",
    "weight",
    "weights",
    "xip",
];
/// Ends of words for memory: `sdram`, `hyperflash`, `octospi`.
const ENDS: [&str; 7] = ["flash", "mem", "ram", "rom", "spi", "tcm", "weights"];
/// What linker scripts call memory that holds nothing when a program starts, anywhere in a name.
const ZEROS: [&str; 6] = ["bss", "nobits", "noinit", "noload", "uninit", "zero"];
/// Segments of Mach-O for data that is loaded with the program.
const SEGMENTS: [&str; 3] = ["__TEXT", "__DATA", "__DATA_CONST"];

/// What a name may take, more than anyone needs.
const MAX_NAME_BYTES: usize = 200;

/// Why constants cannot be in a section of that name.
pub fn check(name: &str, triple: &Triple) -> Result<(), String> {
    let refused = |why: String| Err(format!("the constants cannot be in the section `{}`: {why}", name.escape_debug()));
    let is_good = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.$-".contains(c));
    if words(name).any(|word| ZEROS.contains(&word.as_str())) {
        return refused("linker scripts keep such names for memory without contents; say .flash, for one".into());
    }
    if triple.binary_format == BinaryFormat::Macho {
        let [segment, section] = name.split(',').collect::<Vec<_>>()[..] else {
            return refused("a Mach-O object wants SEGMENT,SECTION, such as __DATA_CONST,__weights".into());
        };
        return if !is_good(segment) || !is_good(section) {
            refused("segment and section have letters, digits, `_`, `.`, `$` and `-`, such as __DATA_CONST,__weights".into())
        } else if 16 < segment.len() || 16 < section.len() {
            refused("names in a Mach-O object have at most 16 characters".into())
        } else if words(section).any(|word| word == "objc") {
            refused("the linker takes such sections for Objective-C's; say __DATA_CONST,__weights".into())
        } else if !SEGMENTS.contains(&segment) && !speaks_of_data(segment) || !speaks_of_data(section) {
            refused(format!(
                "{WANTED}, in the section, and in the segment unless it is {}; say __DATA_CONST,__weights",
                SEGMENTS.join(", ")
            ))
        } else {
            Ok(())
        };
    }
    let own = if triple.binary_format == BinaryFormat::Coff { ".rdata" } else { ".rodata" };
    let first = name.strip_prefix('.').unwrap_or(name).split(['.', '$']).next().unwrap_or_default();
    if !is_good(name) {
        refused("a name has letters, digits, `_`, `.`, `$` and `-`, such as .flash".into())
    } else if MAX_NAME_BYTES < name.len() {
        refused("it is longer than 200 characters".into())
    } else if speaks_of_data(first) {
        Ok(())
    } else {
        let separator = if own == ".rdata" { '$' } else { '.' };
        let bare = name.trim_start_matches(['.', '_', '$', '-']);
        refused(format!("{WANTED}, before its second dot, such as .flash; or say {own}{separator}{bare}, which may end in anything"))
    }
}

const WANTED: &str = "so that no linker takes it for a name that it knows, it must have a word for memory or its contents (flash, rom, ram, spi, \
                      tcm, xip, ext, mem, weights, model, const, rodata and the like)";

/// Its words in lower case, without digits behind them.
fn words(name: &str) -> impl Iterator<Item = String> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).map(|w| w.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase())
}

fn speaks_of_data(name: &str) -> bool {
    words(name).any(|word| WORDS.contains(&word.as_str()) || ENDS.iter().any(|end| word.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triples() -> [Triple; 3] {
        ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"].map(|t| t.parse().unwrap())
    }

    #[test]
    fn what_programs_use_is_allowed() {
        let [elf, mach, coff] = triples();
        for name in [
            ".flash",
            ".flash2",
            ".ext_flash",
            ".ext-flash.1",
            ".qspi_flash.rodata",
            ".ospi1",
            ".xip",
            ".xip.rodata",
            ".psram_rodata",
            ".dram0.rodata",
            ".sdram",
            ".ccmram",
            ".dtcm",
            ".irom0.literal",
            ".eeprom",
            ".nor",
            ".extmem.weights",
            ".ext_ram.data",
            ".kws_weights",
            "weights",
            "model_data",
            ".rodata",
            ".rodata.kws",
            ".rodata.init_array",
            ".rdata",
            ".rdata$kws",
            ".longer_than_eight_flash",
        ] {
            assert!(check(name, &elf).is_ok() && check(name, &coff).is_ok() && check(name, &mach).is_err(), "{name}");
        }
        for name in
            ["__TEXT,__weights", "__DATA_CONST,__weights", "__DATA,__const", "__TEXT,__kws_model", "__WEIGHTS,__weights", "__DATA,__flash"]
        {
            assert_eq!(check(name, &mach), Ok(()));
        }
    }

    /// Names with a meaning of their own to some linker, loader or tool, from their manuals and linker scripts.
    #[test]
    fn what_linkers_know_is_refused() {
        let [elf, mach, coff] = triples();
        let known = ".text .text.hot .text.unlikely .stub .init .fini .init_array .init_array.00100 .fini_array .preinit_array .ctors .ctors.65535 \
                     .dtors .jcr .plt .plt.got .plt.sec .got .got.plt .interp .dynamic .dynsym .dynstr .hash .symtab .symtab_shndx .strtab \
                     .shstrtab .rel.dyn .rela.dyn .rela.plt .relr.dyn .relro_padding .data .data1 .data.rel.ro .data.rel.ro.local .bss .bss.x \
                     .sbss .sdata .sdata2 .srodata .lbss .ldata .lrodata .tdata .tbss .tm_clone_table .eh_frame .eh_frame_hdr .eh_frame_entry \
                     .gcc_except_table .gcc_except_table.main .exception_ranges .sframe .note .note.gnu.property .note.ABI-tag .note.GNU-stack \
                     .comment .debug .debug_info .debug_frame .debug_ranges .debug_loc .zdebug_info .line .stab .stabstr .stab.index .gnu.attributes \
                     .gnu.warning.puts .gnu.lto_.opts .gnu.linkonce.t.x .gnu.hash .gnu.version .gnu.version_d .gnu.build.attributes .gnu_debuglink \
                     .gnu_debugaltlink .gnu_object_only .llvm.lto .llvmbc .llvmcmd .llvm_addrsig .deplibs .ARM.exidx .ARM.extab .ARM.attributes \
                     .riscv.attributes .mdebug .reginfo .MIPS.options .gptab .opd .toc .branch_lt .group .gdb_index .debug_gdb_scripts .discard \
                     .vectors .isr_vector .noinit .noinit.weights .ext_ram.bss .flash.noload .ctf .BTF .modinfo .exit .exitcall .initcall \
                     .CRT .CRT$XCU .CRT$XLB .tls .tls$ .idata .idata$2 .edata .pdata .xdata .xdata$x .reloc .rsrc .rsrc$01 .drectve .debug$S \
                     .debug$T .sxdata .gfids .gfids$y .giats$y .gljmp$y .gehcont$y .00cfg .voltbl .cormeta .vsdata .textbss .didat .orpc .buildid \
                     __libc_freeres_fn __libc_atexit __libc_IO_vtables __mcount_loc __jump_table set_sysinit_set PAGE INIT COMMON ABS \
                     .special .fast";
        for name in known.split_whitespace().chain([
            "",
            " ",
            ".",
            "a b",
            "a,b",
            "\"x\"",
            "für",
            "a\n",
            ".flash\0",
            &format!(".flash{}", "x".repeat(200)),
        ]) {
            assert!(check(name, &elf).is_err() && check(name, &coff).is_err(), "{name:?}");
        }
        let known = "__TEXT __TEXT, ,__w __TEXT,__weights,regular __TEXT,__text __TEXT,__stubs __TEXT,__stub_helper __TEXT,__cstring \
                     __TEXT,__literal8 __TEXT,__ustring __TEXT,__unwind_info __TEXT,__eh_frame __TEXT,__info_plist __TEXT,__init_offsets \
                     __TEXT,__constructor __TEXT,__swift5_types __DATA,__data __DATA,__bss __DATA,__common __DATA,__mod_init_func \
                     __DATA,__mod_term_func __DATA,__interpose __DATA,__thread_vars __DATA,__thread_data __DATA,__thread_bss __DATA,__got \
                     __DATA,__la_symbol_ptr __DATA,__nl_symbol_ptr __DATA,__cfstring __DATA,__objc_const __DATA,__objc_data __DATA,__dyld \
                     __DATA_CONST,__got __DATA_CONST,__auth_got __PAGEZERO,__weights __LINKEDIT,__weights __DWARF,__weights __LD,__compact_unwind \
                     __LLVM,__bitcode __LLVM,__weights __OBJC,__weights __RESTRICT,__restrict __IMPORT,__weights __AUTH,__weights \
                     __SEVENTEEN_LETTRS,__weights __DATA,__seventeen_weights .flash";
        for name in known.split_whitespace() {
            assert!(check(name, &mach).is_err(), "{name}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        let [elf, mach, coff] = triples();
        let message = |name, triple| check(name, triple).unwrap_err();
        assert!(message(".special", &elf).ends_with("or say .rodata.special, which may end in anything"));
        assert!(message(".special", &coff).ends_with("or say .rdata$special, which may end in anything"));
        assert!(message("__DATA,__special", &mach).ends_with("say __DATA_CONST,__weights"));
        for suggested in [".rodata.special", ".rdata$special"] {
            assert!(check(suggested, &elf).is_ok() && check(suggested, &coff).is_ok());
        }
    }
}
