//! Compilers, emulators and other programs that tests use when they are there.

use anyhow::{Context, Result, anyhow, ensure};
use cranelite::cc::{self, Compiler};
use cranelite::pipeline::{self, Compiled, Options};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Warnings under which everything that users compile must be silent.
pub const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wcast-align"];

/// A kind of machine that objects are run on, by itself or emulated.
#[derive(Clone, Copy)]
pub struct Machine {
    pub name: &'static str,
    pub triple: &'static str,
    pub cpu: &'static str,
    pub compiler: &'static str,
    pub nm: &'static str,
    pub runner: &'static [&'static str],
}

const QEMU: &[&str] = &["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"];
pub const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";
const ARM_GCC: &str = "aarch64-linux-gnu-gcc";
const ARM_NM: &str = "aarch64-linux-gnu-nm";

#[rustfmt::skip] // A table.
pub const MACHINES: [Machine; 4] = [
    Machine { name: "x86_64", triple: X86, cpu: "x86-64", compiler: "gcc", nm: "nm", runner: &[] },
    Machine { name: "x86_64_clang", triple: X86, cpu: "x86-64", compiler: "clang", nm: "nm", runner: &[] },
    Machine { name: "aarch64", triple: ARM, cpu: "generic", compiler: ARM_GCC, nm: ARM_NM, runner: QEMU },
    Machine { name: "aarch64+dotprod", triple: ARM, cpu: "generic+dotprod", compiler: ARM_GCC, nm: ARM_NM, runner: QEMU },
];

const GCC_IN_C: Machine = Machine { name: "c99", triple: "c99", cpu: "portable", compiler: "gcc", nm: "nm", runner: &[] };
const POWERPC: &[&str] = &["qemu-ppc-static", "-L", "/usr/powerpc-linux-gnu"];

/// The same by way of C: compiled by these, the last for a machine whose numbers have the highest byte first.
#[rustfmt::skip] // A table.
pub const IN_C: [Machine; 3] = [
    GCC_IN_C,
    Machine { name: "c99_clang", compiler: "clang", ..GCC_IN_C },
    Machine { name: "c99_powerpc", compiler: "powerpc-linux-gnu-gcc", nm: "powerpc-linux-gnu-nm", runner: POWERPC, ..GCC_IN_C },
];

/// All kinds of machines, and C.
pub fn machines() -> impl Iterator<Item = &'static Machine> {
    MACHINES.iter().chain(&IN_C)
}

/// Whatever a compiler can say of a file in C is an error.
pub const STRICT: [&str; 7] = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror"];

impl Machine {
    pub fn is_c(&self) -> bool {
        self.triple == GCC_IN_C.triple
    }

    /// Numbers have the highest byte first.
    pub fn is_big_endian(&self) -> bool {
        self.name == "c99_powerpc"
    }

    /// What programs are linked with: the object, or what becomes of the file in C.
    pub fn object(&self, compiled: &Compiled) -> Result<Vec<u8>> {
        self.object_by(compiled, "-O2")
    }

    /// With that option; without optimising, every constant is read where it is.
    pub fn object_by(&self, compiled: &Compiled, option: &str) -> Result<Vec<u8>> {
        if !self.is_c() {
            return Ok(compiled.object.bytes.clone());
        }
        let words = [&[self.compiler][..], &STRICT, &[option, "-fPIC"]].concat();
        let compiler = Compiler::parse(&words.join(" ")).map_err(|e| anyhow!(e))?;
        let built = cc::build(&compiler, &compiled.prefix, &compiled.object.bytes, &compiled.header).map_err(|d| anyhow!("{d}"))?;
        Ok(built.object)
    }

    /// The same, and the header says what stack a call takes.
    pub fn object_with_stack(&self, compiled: &mut Compiled, options: &Options) -> Result<Vec<u8>> {
        if !self.is_c() {
            return self.object(compiled);
        }
        let compiler = Compiler::parse(&format!("{} -O2", self.compiler)).map_err(|e| anyhow!(e))?;
        pipeline::build(compiled, &compiler, options).map_err(|e| anyhow!("{e:?}"))
    }

    /// True when something is missing to run programs for it here, with a word about it; with `CRANELITE_REQUIRE_TOOLS` a test that
    /// needs it fails instead.
    pub fn is_to_be_ignored(&self) -> bool {
        let missing = self.missing();
        if missing.is_empty() || is_required() {
            return false;
        }
        eprintln!("{}: not tested, for want of {}", self.name, missing.join(", "));
        true
    }

    /// What is missing to link and run programs for it here.
    fn missing(&self) -> Vec<&'static str> {
        let tools = [self.compiler, self.nm].into_iter().chain(self.runner.first().copied());
        let mut missing: Vec<_> = tools.filter(|t| !exists(t)).collect();
        if self.runner.is_empty() && !self.is_c() && cfg!(target_arch = "x86_64") != (self.triple == X86) {
            missing.push("such a machine");
        }
        missing
    }

    /// The command that runs a program.
    pub fn run(&self, program: &Path) -> Command {
        let mut words = self.runner.iter().map(|w| w.as_ref()).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        command
    }
}

/// Whether a test that lacks a tool is to fail.
pub fn is_required() -> bool {
    std::env::var_os("CRANELITE_REQUIRE_TOOLS").is_some()
}

pub fn exists(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

const AS_PROGRAM: &str = "CRANELITE_TESTS_AS_PROGRAM";

/// What the command line does, where this is to be the program that [`cranelite_in`] made; else a test begins.
pub fn as_program() -> Option<ExitCode> {
    std::env::var_os(AS_PROGRAM).map(|_| cranelite::cli::main())
}

/// A program `cranelite` in a folder, which is this very test: its `main` asks [`as_program`] first.
pub fn cranelite_in(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("cranelite");
    fs::write(&program, format!("#!/bin/sh\n{AS_PROGRAM}=1 exec '{}' \"$@\"\n", std::env::current_exe()?.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
