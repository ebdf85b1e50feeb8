//! Cases on machines that are not this one, under qemu.
//!
//! Needs qemu-user, clang and the linker that comes with Rust; tests say so and pass when one is missing, unless
//! `CRANELITE_REQUIRE_TOOLS` is set.

use crate::differential::{Case, Step, options};
use cranelite_codegen::object::{self, model};
use cranelite_codegen::{Target, clif::Arch};
use cranelite_tile::{Program, Role};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What runs code for an architecture here.
pub struct Machine {
    qemu: &'static str,
    clang_target: &'static str,
    linker: PathBuf,
}

impl Machine {
    /// `None`, with a word about it, if something is not installed.
    pub fn find(arch: Arch) -> Option<Machine> {
        let (qemu, clang_target) = match arch {
            Arch::Arm => ("qemu-aarch64-static", "aarch64-linux-gnu"),
            Arch::Riscv => ("qemu-riscv64-static", "riscv64-linux-gnu"),
            Arch::X86 => return None,
        };
        let linker = linker().unwrap_or_default();
        let works = |program: &Path| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if works(Path::new(qemu)) && works(Path::new("clang")) && linker.exists() {
            return Some(Machine { qemu, clang_target, linker });
        }
        assert!(std::env::var_os("CRANELITE_REQUIRE_TOOLS").is_none(), "{qemu}, clang or rust-lld is missing");
        eprintln!("not run: {qemu}, clang or rust-lld is missing");
        None
    }

    /// Runs a case as code for `target`, with each end of the buffers against a forbidden page.
    pub fn run(&self, case: &Case, target: &Target) -> Result<[Vec<Vec<u8>>; 2], String> {
        let of = |steps: Vec<Step>| match steps.into_iter().next() {
            Some(Step { status: 0, outputs }) => Ok(outputs),
            step => Err(format!("status {:?}", step.map(|s| s.status))),
        };
        let [first, last] = self.run_steps(&case.program, std::slice::from_ref(&case.inputs), &case.outputs, target)?;
        Ok([of(first)?, of(last)?])
    }

    /// Calls a program once for each step, in one instance. `outputs`: what is in them at first.
    pub fn run_steps(
        &self,
        program: &Program,
        steps: &[Vec<Vec<u8>>],
        outputs: &[Vec<u8>],
        target: &Target,
    ) -> Result<[Vec<Step>; 2], String> {
        // A program cannot ask a RISC-V for its extensions.
        let options = object::Options { no_cpu_check: target.features.arch == Arch::Riscv, ..options(program) };
        let object = object::emit(&[object::Level { program, target }], &options).map_err(|e| e.to_string())?;
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = |name: &str, contents: &[u8]| std::fs::write(dir.path().join(name), contents).map_err(|e| e.to_string());
        file("model.o", &object.bytes)?;
        file("model.h", model::C_DECLARATIONS.as_bytes())?;
        let run = self.program(dir.path(), include_bytes!("driver.c"), &["model.o"])?;

        let mut stdin = vec![];
        let align = |role: Role| program.buffers.iter().find(|b| b.role == role).map_or(1, |b| b.align);
        for _ in 0..2 {
            (0..steps[0].len() as u32).for_each(|i| stdin.extend(align(Role::Input(i)).to_le_bytes()));
            for (bytes, i) in outputs.iter().zip(0..) {
                stdin.extend(align(Role::Output(i)).to_le_bytes());
                stdin.extend(bytes);
            }
            stdin.extend((steps.len() as u32).to_le_bytes());
            stdin.extend(steps.iter().flatten().flatten());
        }
        let (status, stdout) = self.execute(&run, stdin)?;
        if !status.success() {
            return Err(format!("{} ends with {status}", self.qemu));
        }
        let mut bytes = stdout.as_slice();
        let mut take = |size: usize| {
            let (own, rest) = bytes.split_at(size);
            bytes = rest;
            own.to_vec()
        };
        let mut step = || {
            let status = i32::from_le_bytes(take(4).try_into().expect("four bytes"));
            Step { status, outputs: outputs.iter().map(|b| take(b.len())).collect() }
        };
        let mut all = || steps.iter().map(|_| step()).collect();
        Ok([all(), all()])
    }

    /// A program of one file in C, which needs no library, and objects in the same folder.
    pub fn program(&self, folder: &Path, c: &[u8], objects: &[&str]) -> Result<PathBuf, String> {
        std::fs::write(folder.join("driver.c"), c).map_err(|e| e.to_string())?;
        let mut clang = Command::new("clang");
        clang.arg(format!("--target={}", self.clang_target));
        if self.clang_target.starts_with("riscv") {
            // Relaxation would need a linker script's symbol.
            clang.args(["-march=rv64gc", "-mabi=lp64d", "-mno-relax"]);
        }
        clang.args(["-O1", "-ffreestanding", "-fno-builtin", "-fno-pic", "-fno-stack-protector", "-nostdlibinc", "-c", "driver.c"]);
        finish(clang.current_dir(folder))?;
        let mut lld = Command::new(&self.linker);
        finish(lld.args(["-flavor", "gnu", "-static", "-o", "run", "driver.o"]).args(objects).current_dir(folder))?;
        Ok(folder.join("run"))
    }

    /// Runs a program: how it ends, and what it writes.
    pub fn execute(&self, program: &Path, stdin: Vec<u8>) -> Result<(ExitStatus, Vec<u8>), String> {
        let mut child =
            Command::new(self.qemu).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let mut pipe = child.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || pipe.write_all(&stdin));
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        let _ = writer.join();
        Ok((out.status, out.stdout))
    }
}

fn linker() -> Option<PathBuf> {
    let text = |args: &[&str]| {
        let out = Command::new("rustc").args(args).output().ok()?;
        String::from_utf8(out.stdout).ok()
    };
    let host = text(&["-vV"])?.lines().find_map(|l| l.strip_prefix("host: ").map(String::from))?;
    Some(PathBuf::from(text(&["--print", "sysroot"])?.trim()).join(format!("lib/rustlib/{host}/bin/rust-lld")))
}

fn finish(command: &mut Command) -> Result<(), String> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr))) }
}
