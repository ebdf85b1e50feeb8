//! Compilers, emulators and other programs that tests use when they are there.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Warnings under which everything that users compile must be silent.
pub const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wcast-align"];

/// A kind of machine that objects are run on, by itself or emulated.
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

impl Machine {
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
        if self.runner.is_empty() && cfg!(target_arch = "x86_64") != (self.triple == X86) {
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
