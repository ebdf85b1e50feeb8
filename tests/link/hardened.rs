//! Objects in programs whose indirect calls and returns the processor watches (IBT and SHSTK on x86-64, BTI on 64-bit Arm).
//!
//! Linkers say of every object whether it lets the program have that; the code is looked at, since few processors watch, and on Arm the
//! emulator does.

use super::{divided, failed};
use anyhow::{Context, Result, anyhow, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::tools::{MACHINES, Machine, exists, is_required, output};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let test = |name: &str, tools: &[&str], run: fn() -> Result<()>| {
        let is_ignored = !tools.iter().all(|t| exists(t)) && !is_required();
        Trial::test(format!("hardened/{name}"), move || run().map_err(failed)).with_ignored_flag(is_ignored)
    };
    vec![
        test("x86_64", &["ld", "ld.lld", "readelf", "objdump"], x86),
        test("aarch64", &["aarch64-linux-gnu-ld", "ld.lld", "readelf", "aarch64-linux-gnu-objdump"], arm),
        test("aarch64/run", &["clang", "ld.lld", "qemu-aarch64-static"], arm_runs),
    ]
}

fn x86() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    divided(folder, &Machine { cpu: "x86-64-v3", ..MACHINES[0] })?;
    for link in [&["ld", "-z", "cet-report=error"][..], &["ld.lld", "-z", "force-ibt", "-z", "shstk"]] {
        let notes = linked(folder, link)?;
        ensure!(notes.contains("x86 feature: IBT, SHSTK"), "{notes}");
    }
    let code = output(Command::new("objdump").current_dir(folder).args(["-d", "--no-show-raw-insn", "divisible.o"]))?;
    let mut may_be_called_through_a_pointer = 0;
    for (name, first) in functions(&code) {
        if name.contains(".tasks") || !name.contains('.') {
            may_be_called_through_a_pointer += 1;
            ensure!(first.contains("endbr64"), "{name} begins with {first}");
        }
    }
    ensure!(3 < may_be_called_through_a_pointer, "{code}");
    // Such a jump would have to land on an instruction of its own.
    ensure!(!code.lines().any(|l| l.contains("jmp") && l.contains('*')), "an indirect jump");
    Ok(())
}

fn arm() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    divided(folder, &MACHINES[3])?;
    for link in [&["aarch64-linux-gnu-ld", "-z", "force-bti"][..], &["ld.lld", "-z", "force-bti"]] {
        let notes = linked(folder, link)?;
        ensure!(notes.contains("AArch64 feature: BTI"), "{notes}");
    }
    let code = output(Command::new("aarch64-linux-gnu-objdump").current_dir(folder).args(["-d", "--no-show-raw-insn", "divisible.o"]))?;
    let all = functions(&code);
    ensure!(3 < all.len(), "{code}");
    for (name, first) in all {
        ensure!(first.contains("bti\tc") || first.contains("paciasp"), "{name} begins with {first}");
    }
    Ok(())
}

/// What the linker makes of the object alone, as `readelf` tells its notes. The linker must have nothing to say.
fn linked(folder: &Path, link: &[&str]) -> Result<String> {
    let files = ["--fatal-warnings", "-shared", "divisible.o", "-o", "divisible.so"];
    output(Command::new(link[0]).current_dir(folder).args(&link[1..]).args(files)).with_context(|| link.join(" "))?;
    output(Command::new("readelf").current_dir(folder).args(["-nW", "divisible.so"]))
}

/// Names and first instructions.
fn functions(code: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = code.lines().collect();
    lines.windows(2).filter_map(|w| Some((w[0].strip_suffix(">:")?.split_once('<')?.1, w[1]))).collect()
}

/// A program of which every page is watched; the model is called through a pointer.
fn arm_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let target = Target::new("aarch64-unknown-linux-gnu", None)?;
    let options = Options { prefix: "digits".into(), ..Options::default() };
    let model = include_bytes!("../../examples/digits/digits.tflite");
    let compiled = pipeline::compile(model, &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("digits.o"), compiled.object.bytes);
    files.add(folder.join("digits.h"), compiled.header);
    files.add(folder.join("test_digits.h"), include_str!("../../examples/digits/test_digits.h"));
    files.add(folder.join("right.h"), include_str!("right.h"));
    files.add(folder.join("bare.c"), include_str!("bare.c"));
    files.write()?;
    let flags =
        ["--target=aarch64-linux-gnu", "-mbranch-protection=bti", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding"];
    output(Command::new("clang").current_dir(folder).args(flags).args(["-c", "bare.c", "-o", "bare.o"]))?;
    output(Command::new("ld.lld").current_dir(folder).args(["--fatal-warnings", "-z", "force-bti", "-o", "app", "bare.o", "digits.o"]))?;
    output(Command::new("qemu-aarch64-static").current_dir(folder).args(["-cpu", "max", "./app"]))?;
    Ok(())
}
