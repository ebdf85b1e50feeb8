//! Models as programs for microcontrollers, booted in an emulator.
//!
//! The rig is `cortex_m/measure.py`, which also measures and takes whole suites; here are a few models of the golden suites on each core, the
//! same ones every time, and whether the rig counts right. Without the suites, the firmware among the examples is all that boots.

use anyhow::{Result, ensure};
use cranelite_tests::suite::shared;
use cranelite_tests::tools::{as_program, cranelite_in, exists, is_required};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Names of the rig, how many models, and what it needs.
#[rustfmt::skip] // A table.
const CORES: [(&str, usize, [&str; 2]); 10] = [
    ("m4", 10, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("m0", 6, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("m3", 1, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("m4soft", 1, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("m55soft", 1, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("rv32imc", 1, ["riscv64-unknown-elf-gcc", "qemu-system-riscv32"]),
    ("rv32imafc", 1, ["riscv64-unknown-elf-gcc", "qemu-system-riscv32"]),
    ("m7", 4, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("m55", 6, ["arm-none-eabi-gcc", "qemu-system-arm"]),
    ("rv32", 6, ["riscv64-unknown-elf-gcc", "qemu-system-riscv32"]),
];

fn main() -> ExitCode {
    if let Some(code) = as_program() {
        return code;
    }
    let trials = CORES.iter().flat_map(|(core, count, tools)| {
        let sample = format!("sample:{count}");
        let missing = missing(tools);
        let trial = move |name: &str, arguments: Vec<String>| {
            let trial = Trial::test(format!("{core}_{name}"), move || rig(core, &arguments).map_err(|e| Failed::from(format!("{e:?}"))));
            trial.with_ignored_flag(missing)
        };
        let counts = trial("counts_instructions", vec!["--check-clock".into()]);
        let suites = shared().map(|_| {
            let words = ["--quick", "--opt", "speed,size", "--model", &sample].map(String::from);
            trial("has_the_golden_outputs", words.to_vec())
        });
        suites.into_iter().chain([counts])
    });
    let wake_words = shared().map(|_| {
        let names = ["mww_v2_okay_nabu", "mww_v2_vad", "mww_v1_alexa"].map(String::from);
        Trial::test("wake_words_have_the_golden_outputs", move || {
            python("wake_word.py", &names).map_err(|e| Failed::from(format!("{e:?}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.chain(wake_words).collect()).exit_code()
}

/// Whether something is, and no test needs to fail for that.
fn missing(tools: &[&str]) -> bool {
    let missing: Vec<&str> = tools.iter().copied().filter(|t| !exists(t)).collect();
    if !missing.is_empty() {
        eprintln!("not tested, for want of {}", missing.join(", "));
    }
    !missing.is_empty() && !is_required()
}

fn rig(core: &str, arguments: &[String]) -> Result<()> {
    python("measure.py", &[&["--core".into(), core.into()], arguments].concat())
}

/// Runs one of the scripts beside this file.
fn python(script: &str, arguments: &[String]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("cortex_m").join(script)).args(arguments);
    if let Some(shared) = shared() {
        command.env("CRANELITE_SHARED", shared);
    }
    let out = command.env("CRANELITE", cranelite_in(folder.path())?).output()?;
    let text = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(out.status.success(), "{text}");
    eprintln!("{text}");
    Ok(())
}
