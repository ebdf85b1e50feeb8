//! Constants in a section of their own, placed elsewhere by the linker: on this machine, and in firmware by a linker script.

use super::failed;
use anyhow::{Context, Result, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, exists, is_required, machines, output};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Command;

/// Where the tests put the constants: far from code, within its reach.
const FLASH: u64 = 0x4400_0000;

pub fn trials() -> Vec<Trial> {
    let elsewhere =
        machines().map(|m| Trial::test(format!("section/{}", m.name), || on(m).map_err(failed)).with_ignored_flag(m.is_to_be_ignored()));
    let tools = ["aarch64-linux-gnu-gcc", "qemu-system-aarch64", "readelf"];
    let is_ignored = !tools.iter().all(|t| exists(t)) && !is_required();
    let firmware = Trial::test("section/firmware", || firmware().map_err(failed)).with_ignored_flag(is_ignored);
    let no_linker = !["gcc", "readelf"].iter().all(|t| exists(t)) && !is_required();
    let names = Trial::test("section/names", || names().map_err(failed)).with_ignored_flag(no_linker || cfg!(not(target_arch = "x86_64")));
    elsewhere.chain([firmware, names]).collect()
}

/// The digits with all constants in `.flash`. Answers their size.
fn digits(folder: &Path, m: &Machine) -> Result<u64> {
    digits_in(".flash", folder, m)
}

/// The same with a section of that name.
fn digits_in(name: &str, folder: &Path, m: &Machine) -> Result<u64> {
    let options = Options { prefix: "digits".into(), const_section: Some(name.into()), ..Options::default() };
    let model = include_bytes!("../../examples/digits/digits.tflite");
    let targets = Target::list(m.triple, Some(m.cpu))?;
    let compiled = pipeline::compile(model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("digits.o"), m.object_by(&compiled, "-O0")?);
    files.add(folder.join("digits.h"), compiled.header.clone());
    files.add(folder.join("test_digits.h"), include_str!("../../examples/digits/test_digits.h"));
    files.add(folder.join("main.c"), include_str!("../../examples/digits/main.c"));
    files.write()?;
    Ok(compiled.object.const_bytes)
}

/// Address, size and alignment of the only section of that name.
fn section(file: &Path, name: &str) -> Result<[u64; 3]> {
    let text = output(Command::new("readelf").args(["-SW"]).arg(file))?;
    let rows: Vec<Vec<&str>> = text.lines().filter_map(|l| Some(l.split_once(']')?.1.split_whitespace().collect())).collect();
    let found: Vec<_> = rows.iter().filter(|r| r.first() == Some(&name)).collect();
    let [row] = found[..] else { anyhow::bail!("{} sections {name}:\n{text}", found.len()) };
    ensure!(row[1] == "PROGBITS" && row[6] == "A", "{name} is not loaded, or more than read: {row:?}");
    Ok([u64::from_str_radix(row[2], 16)?, u64::from_str_radix(row[4], 16)?, row[9].parse()?])
}

fn on(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let const_bytes = digits(folder, m)?;
    let [_, size, align] = section(&folder.join("digits.o"), ".flash")?;
    // Code in C reads no byte behind constants.
    let (after, least) = if m.is_c() { (0, 8) } else { (64, 64) };
    ensure!(
        const_bytes + after <= size && least <= align,
        "{size} bytes, aligned to {align}, for {const_bytes} of constants and {after} after them"
    );
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args([
        "-std=c11",
        "-O1",
        "main.c",
        "digits.o",
        "-o",
        "digits",
        "-no-pie",
        "-Wl,--gc-sections",
        "-lm",
    ]);
    output(link.arg(format!("-Wl,--section-start=.flash={FLASH:#x}")))?;
    let [address, linked, _] = section(&folder.join("digits"), ".flash")?;
    ensure!((address, linked) == (FLASH, size), "{linked} of {size} bytes at {address:#x}");
    let printed = output(&mut m.run(&folder.join("digits")))?;
    ensure!(printed.contains("347 of 360"), "{printed}");
    Ok(())
}

/// Names that are allowed go where the linker puts constants, with no script of anybody's, and the program runs.
fn names() -> Result<()> {
    let mut linkers = vec![&[][..]];
    if exists("ld.lld") && exists("clang") {
        linkers.push(&["-fuse-ld=lld"]);
    }
    for name in
        [".rodata", ".rodata.kws", ".xip", ".ext_flash", ".psram_rodata", ".dram0.rodata", "weights", ".qspi.init_array", ".rdata$z"]
    {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        digits_in(name, folder, &MACHINES[0])?;
        for linker in &linkers {
            let mut link = Command::new("gcc");
            link.current_dir(folder).args(["-std=c11", "-O1", "main.c", "digits.o", "-o", "digits", "-Wl,--gc-sections", "-lm"]);
            output(link.arg("-Wl,--fatal-warnings").args(*linker))?;
            let printed = output(&mut Command::new(folder.join("digits")))?;
            ensure!(printed.contains("347 of 360"), "{name}: {printed}");
        }
    }
    Ok(())
}

/// That example, with a second kind of memory in its linker script.
fn firmware() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    digits(folder, &Machine { triple: "aarch64-unknown-none-elf", ..MACHINES[2] })?;
    let script = include_str!("../../examples/firmware-aarch64/firmware.ld")
        .replace("LENGTH = 8M }", &format!("LENGTH = 8M FLASH (r) : ORIGIN = {FLASH:#x}, LENGTH = 1M }}"))
        .replace("PHDRS {", "PHDRS { flash PT_LOAD FLAGS(4);")
        .replace("    .rodata :", "    .flash : { *(.flash) } > FLASH :flash\n    .rodata :");
    std::fs::write(folder.join("firmware.ld"), script)?;
    std::fs::write(folder.join("main.c"), include_str!("../../examples/firmware-aarch64/main.c"))?;
    std::fs::write(folder.join("start.S"), include_str!("../../examples/firmware-aarch64/start.S"))?;
    let flags = ["-std=c11", "-O2", "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector", "-Wl,--build-id=none"];
    let files = ["-T", "firmware.ld", "start.S", "main.c", "digits.o", "-o", "firmware.elf"];
    output(Command::new("aarch64-linux-gnu-gcc").current_dir(folder).args(flags).args(files))?;
    let elf = folder.join("firmware.elf");
    ensure!(section(&elf, ".flash")?[0] == FLASH, "not in flash");
    let symbols = output(Command::new("aarch64-linux-gnu-nm").arg(&elf))?;
    let constants = symbols.lines().find(|l| l.ends_with(" digits.constants")).context("no symbol of the constants")?;
    ensure!(constants.starts_with(&format!("{FLASH:016x}")), "{constants}");
    let machine =
        ["-M", "virt", "-cpu", "cortex-a53", "-display", "none", "-nic", "none", "-chardev", "stdio,id=out", "-icount", "shift=0"];
    let semihosting = ["-semihosting-config", "enable=on,target=native,chardev=out"];
    let printed = output(Command::new("qemu-system-aarch64").args(machine).args(semihosting).arg("-kernel").arg(elf))?;
    ensure!(printed.contains("347 of 360"), "{printed}");
    Ok(())
}
