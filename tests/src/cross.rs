//! Cases on machines that are not this one, under qemu.
//!
//! Needs qemu-user, clang and the linker that comes with Rust; tests say so and pass when one is missing, unless
//! `CRANELITE_REQUIRE_TOOLS` is set.

use crate::differential::{Case, options};
use cranelite_codegen::object::{self, model};
use cranelite_codegen::{Target, clif::Arch};
use cranelite_tile::Role;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
        // A program cannot ask a RISC-V for its extensions.
        let options = object::Options { no_cpu_check: target.features.arch == Arch::Riscv, ..options(case) };
        let object = object::emit(&[object::Level { program: &case.program, target }], &options).map_err(|e| e.to_string())?;
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = |name: &str, contents: &[u8]| std::fs::write(dir.path().join(name), contents).map_err(|e| e.to_string());
        file("model.o", &object.bytes)?;
        file("model.h", model::C_DECLARATIONS.as_bytes())?;
        file("driver.c", include_bytes!("driver.c"))?;
        let mut clang = Command::new("clang");
        clang.arg(format!("--target={}", self.clang_target));
        if target.features.arch == Arch::Riscv {
            // Relaxation would need a linker script's symbol.
            clang.args(["-march=rv64gc", "-mabi=lp64d", "-mno-relax"]);
        }
        clang.args(["-O1", "-ffreestanding", "-fno-builtin", "-fno-pic", "-fno-stack-protector", "-nostdlibinc", "-c", "driver.c"]);
        finish(clang.current_dir(dir.path()))?;
        let mut lld = Command::new(&self.linker);
        finish(lld.args(["-flavor", "gnu", "-static", "-o", "run", "driver.o", "model.o"]).current_dir(dir.path()))?;

        let mut stdin = vec![];
        let align = |role: Role| case.program.buffers.iter().find(|b| b.role == role).map_or(1, |b| b.align);
        for _ in 0..2 {
            let inputs = case.inputs.iter().zip(0..).map(|(b, i)| (b, Role::Input(i)));
            for (bytes, role) in inputs.chain(case.outputs.iter().zip(0..).map(|(b, i)| (b, Role::Output(i)))) {
                stdin.extend(align(role).to_le_bytes());
                stdin.extend(bytes);
            }
        }
        let mut child = Command::new(self.qemu)
            .arg(dir.path().join("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut pipe = child.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || pipe.write_all(&stdin));
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        let _ = writer.join();
        if !out.status.success() {
            return Err(format!("{} ends with {}", self.qemu, out.status));
        }
        let mut bytes = out.stdout.as_slice();
        let mut take = || {
            let take = |b: &Vec<u8>| {
                let (own, rest) = bytes.split_at(b.len());
                bytes = rest;
                own.to_vec()
            };
            case.outputs.iter().map(take).collect::<Vec<_>>()
        };
        Ok([take(), take()])
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
