//! Objects for systems that are not here, linked by real linkers: Mach-O by `ld64.lld`, COFF by `lld-link`, RISC-V by `ld.lld`.
//!
//! Apple's system library is a text stub of ours, since programs are only linked. What Windows' linker makes is also run: on Linux, mapped by a
//! program of ours (`windows.c`), with the calls of Windows. RISC-V runs under
//! qemu-user.

use super::failed;
use anyhow::{Context, Result, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::tools::{exists, is_required, output};
use libtest_mimic::Trial;
use object::macho::{self, MachHeader64};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::read::macho::MachHeader;
use object::{Endianness, Object, ObjectSection, elf};
use std::path::Path;
use std::process::Command;

/// Triple, clang's triple, and what the linker calls the architecture, the platform and its version.
pub const APPLE: [(&str, &str, &str, &str, &str); 5] = [
    ("aarch64-apple-darwin", "arm64-apple-macos12", "arm64", "macos", "12.0"),
    ("x86_64-apple-darwin", "x86_64-apple-macos12", "x86_64", "macos", "12.0"),
    ("aarch64-apple-ios", "arm64-apple-ios15", "arm64", "ios", "15.0"),
    ("aarch64-apple-ios-sim", "arm64-apple-ios15-simulator", "arm64", "ios-simulator", "15.0"),
    ("x86_64-apple-ios", "x86_64-apple-ios15-simulator", "x86_64", "ios-simulator", "15.0"),
];

const ANDROID: [&str; 2] = ["aarch64-linux-android", "x86_64-linux-android"];
/// Of memory, on newer devices.
const ANDROID_PAGE_BYTES: u64 = 16384;

const WINDOWS_LEVELS: [&str; 4] = ["x86-64", "x86-64-v3", "x86-64-v4+avx512vnni", "x86-64,x86-64-v2,x86-64-v3"];

pub fn trials() -> Vec<Trial> {
    let ignored = |tools: &[&str]| !tools.iter().all(|t| exists(t)) && !is_required();
    let no_apple = apple_linker().is_none() && !is_required();
    let apple = APPLE.map(|row| Trial::test(format!("platform/{}", row.0), move || apple(row).map_err(failed)).with_ignored_flag(no_apple));
    let no_windows = ignored(&["lld-link", "gcc"]) || cfg!(not(target_arch = "x86_64"));
    let windows = WINDOWS_LEVELS
        .map(|cpu| Trial::test(format!("platform/windows/{cpu}"), move || windows(cpu).map_err(failed)).with_ignored_flag(no_windows));
    let no_riscv = ignored(&["clang", "ld.lld", "qemu-riscv64-static"]);
    let riscv = ["riscv64gc-unknown-linux-gnu", "riscv64gc-unknown-none-elf"]
        .map(|triple| Trial::test(format!("platform/{triple}"), move || riscv(triple).map_err(failed)).with_ignored_flag(no_riscv));
    let no_android = ignored(&["ld.lld"]);
    let android = ANDROID
        .map(|triple| Trial::test(format!("platform/{triple}"), move || android(triple).map_err(failed)).with_ignored_flag(no_android));
    apple.into_iter().chain(windows).chain(riscv).chain(android).collect()
}

/// Distributions call it by one of these names.
pub fn apple_linker() -> Option<&'static str> {
    ["ld64.lld", "ld64.lld-19", "ld64.lld-16", "ld64.lld-15", "ld64.lld-14"].into_iter().find(|name| exists(name))
}

/// The digits as PREFIX.o and PREFIX.h in a folder.
fn digits(folder: &Path, triple: &str, cpu: Option<&str>, const_section: Option<&str>) -> Result<(Vec<Target>, Compiled)> {
    let model = include_bytes!("../../examples/digits/digits.tflite");
    let targets = Target::list(triple, cpu)?;
    let options = Options { prefix: "digits".into(), const_section: const_section.map(Into::into), ..Options::default() };
    let compiled = pipeline::compile(model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("digits.o"), compiled.object.bytes.clone());
    files.add(folder.join("digits.h"), compiled.header.clone());
    files.add(folder.join("test_digits.h"), include_str!("../../examples/digits/test_digits.h"));
    files.add(folder.join("windows.c"), include_str!("windows.c"));
    files.add(folder.join("bare.c"), include_str!("bare.c"));
    files.add(folder.join("right.h"), include_str!("right.h"));
    files.add(folder.join("main.c"), MAIN);
    files.add(folder.join("usr/lib/libSystem.tbd"), SYSTEM);
    files.write()?;
    Ok((targets, compiled))
}

const MAIN: &str = r#"
#include "digits.h"
static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];
const unsigned char follows[256] = {[0 ... 255] = 1};
int main(void) {
    static int8_t image[64], probabilities[10];
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    return digits_invoke(&in, &out, arena) + (int)digits_model.input_count + follows[in.image[0]];
}
"#;

/// All that a program of Apple's wants before its first line.
pub const SYSTEM: &str = "--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos, arm64-ios, arm64-ios-simulator, x86_64-ios-simulator ]
install-name: '/usr/lib/libSystem.B.dylib'
exports:
  - targets: [ x86_64-macos, arm64-macos, arm64-ios, arm64-ios-simulator, x86_64-ios-simulator ]
    symbols: [ dyld_stub_binder ]
...
";

fn apple((triple, clang, architecture, platform, version): (&str, &str, &str, &str, &str)) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    // One of them has its constants in a section of their own.
    let (_, compiled) = digits(folder, triple, None, (platform == "ios").then_some("__DATA_CONST,__weights"))?;
    ensure!(says_platform(&compiled.object.bytes, platform)?, "{triple}: the object does not say that it is for {platform}");
    let in_folder = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder);
        command
    };
    let flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector", "-c", "main.c", "-o", "main.o"];
    output(in_folder("clang").arg(format!("--target={clang}")).args(flags))?;
    let linker = apple_linker().context("no ld64.lld")?;
    let platform = ["-platform_version", platform, version, version];
    let link = ["-syslibroot", ".", "-lSystem", "-fatal_warnings", "-dead_strip", "-o", "app", "digits.o", "main.o"];
    output(in_folder(linker).args(["-arch", architecture]).args(platform).args(link))?;
    let app = std::fs::read(folder.join("app"))?;
    ensure!(app.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]), "not a 64-bit Mach-O image");
    // What nobody names is dropped, but for the readable bytes after the constants; the program's own follow.
    let buffers = compiled.main().levels[0].planned.program.buffers.iter();
    let constants: Vec<&[u8]> = buffers.filter_map(|b| b.data.as_deref()).filter(|d| 64 <= d.len()).collect();
    let find = |data: &[u8]| app.windows(data.len()).position(|w| w == data).map(|at| at + data.len());
    let ends: Vec<usize> = constants.iter().filter_map(|d| find(d)).collect();
    ensure!(!ends.is_empty() && ends.len() == constants.len(), "{} of {} constants", ends.len(), constants.len());
    let last = ends.into_iter().max().unwrap_or(0);
    ensure!(app[last..last + 64].iter().all(|&b| b == 0), "{:?} after the constants", &app[last..last + 64]);
    Ok(())
}

/// Whether the object has a command that names this platform, and an oldest version of it that is no later than the program's.
pub fn says_platform(object: &[u8], platform: &str) -> Result<bool> {
    let number = match platform {
        "macos" => macho::PLATFORM_MACOS,
        "ios" => macho::PLATFORM_IOS,
        _ => macho::PLATFORM_IOSSIMULATOR,
    };
    let header = MachHeader64::<Endianness>::parse(object, 0)?;
    let mut commands = header.load_commands(header.endian()?, object, 0)?;
    while let Some(command) = commands.next()? {
        if let Some(version) = command.build_version()? {
            let oldest = version.minos.get(header.endian()?) >> 16;
            return Ok(version.platform.get(header.endian()?) == number && (10..=15).contains(&oldest));
        }
    }
    Ok(false)
}

fn riscv(triple: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    digits(folder, triple, None, None)?;
    let in_folder = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder);
        command
    };
    let target = ["--target=riscv64", "-march=rv64gc", "-mabi=lp64d", "-mno-relax"];
    let flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-c", "bare.c", "-o", "bare.o"];
    output(in_folder("clang").args(target).args(flags))?;
    output(in_folder("ld.lld").args(["--fatal-warnings", "-z", "text", "-o", "app", "bare.o", "digits.o"]))?;
    output(in_folder("qemu-riscv64-static").arg("./app"))?;
    Ok(())
}

/// A library that a program loads: every address in it is a distance, or in data that the loader may write. No part of the object wants to begin at a
/// multiple of more than a page, and no part of the library shares a page with one of other rights.
fn android(triple: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (_, compiled) = digits(folder, triple, None, None)?;
    let object = object::File::parse(&*compiled.object.bytes)?;
    ensure!(object.sections().all(|s| s.align() <= 64), "a section wants to begin at a multiple of more than a cache line");
    for (option, expected) in [("max-page-size=16384", true), ("max-page-size=4096", false)] {
        let link = ["-shared", "--fatal-warnings", "-z", "text", "-z", "separate-loadable-segments", "-z", option, "-o", "libdigits.so"];
        output(Command::new("ld.lld").current_dir(folder).args(link).arg("digits.o"))?;
        ensure!(is_for_pages(&std::fs::read(folder.join("libdigits.so"))?)? == expected, "{triple}: {option}");
    }
    Ok(())
}

/// Whether every part of a library that is loaded can begin at a page of 16 KiB, and no two lie in one.
pub fn is_for_pages(library: &[u8]) -> Result<bool> {
    let library = ElfFile64::<Endianness>::parse(library)?;
    let endian = library.endian();
    let mut end = 0;
    for part in library.elf_program_headers().iter().filter(|p| p.p_type(endian) == elf::PT_LOAD) {
        let (align, address, offset) = (part.p_align(endian), part.p_vaddr(endian), part.p_offset(endian));
        if align < ANDROID_PAGE_BYTES || (address % align) != (offset % align) || address / ANDROID_PAGE_BYTES < end {
            return Ok(false);
        }
        end = (address + part.p_memsz(endian)).div_ceil(ANDROID_PAGE_BYTES);
    }
    Ok(0 < end)
}

fn windows(cpu: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (targets, _) = digits(folder, "x86_64-pc-windows-msvc", Some(cpu), (cpu == "x86-64-v3").then_some(".longer_than_eight_rom"))?;
    let in_folder = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder);
        command
    };
    let image = ["/dll", "/noentry", "/nodefaultlib", "/base:0x180000000", "/fixed", "/wx"];
    output(in_folder("lld-link").args(image).args(["/export:digits_invoke", "/export:digits_model,DATA", "/out:digits.dll", "digits.o"]))?;
    output(in_folder("gcc").args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "windows.c", "-o", "windows"]))?;
    if targets.iter().any(Target::runs_here) {
        let printed = output(in_folder("./windows").arg("digits.dll"))?;
        ensure!(printed.trim() == "347", "{printed} digits right instead of 347");
    }
    Ok(())
}
