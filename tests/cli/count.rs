//! `bench --count`: that the emulator's plugin counts exactly, and that operators come to what a call executes.

use super::{command_of, set_up};
use anyhow::{Context, Result, ensure};
use cranelite_tests::tools::{exists, is_required, output};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::fs;
use std::process::Command;

const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";

/// Two loops of known length, each behind a mark of its own, from address 0x400000 on.
const LOOPS: &str = "
.text
.balign 8
    hint #34
    ret
    hint #34
    ret
.globl _start
_start:
    bl _start - 16
    mov x1, #1000
1:  subs x1, x1, #1
    b.ne 1b
    bl _start - 8
    mov x1, #50
2:  add x2, x2, x1
    subs x1, x1, #1
    b.ne 2b
    mov x8, #93
    mov x0, #0
    svc #0
";

pub fn trials() -> Vec<Trial> {
    let failed = |e: anyhow::Error| Failed::from(format!("{e:#}"));
    let has_tools = is_required() || [LINKER, EMULATOR, "cc"].iter().all(|tool| exists(tool));
    vec![
        Trial::test("count/exact", move || exact().map_err(failed)).with_ignored_flag(!has_tools),
        Trial::test("count/operators", move || operators().map_err(failed)).with_ignored_flag(!has_tools),
    ]
}

fn exact() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("loops.s"), LOOPS)?;
    fs::write(path("plugin.c"), include_str!("../../compiler/src/count/plugin.c"))?;
    let link = ["-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x400000", "loops.s", "-o", "loops"];
    output(Command::new(LINKER).args(link).current_dir(&folder))?;
    let counted = (1..=8).find_map(|version| {
        let version = format!("-DPLUGIN_VERSION={version}");
        let options = ["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", &version, "plugin.c", "-o", "plugin.so"];
        let plugin = "./plugin.so,out=counts,from=400010,to=400100,marks=400000,count=2";
        output(Command::new("cc").args(options).current_dir(&folder)).ok()?;
        output(Command::new(EMULATOR).args(["-plugin", plugin, "./loops"]).current_dir(&folder)).ok()?;
        fs::read_to_string(path("counts")).ok()
    });
    let counted = counted.context("the emulator takes no version of the plugin")?;
    let mut lines = counted.lines();
    let all: u64 = lines.next().context("a sum")?.parse()?;
    let mut groups = [0u64; 3];
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [group, instructions, executions] = [words[0], words[2], words[3]].map(|w| w.parse::<u64>());
        groups[group? as usize] += instructions? * executions?;
    }
    // What is behind a mark ends with the call of the next.
    ensure!(groups == [1, 1 + 2 * 1000 + 1, 1 + 3 * 50 + 3], "{groups:?}\n{counted}");
    ensure!(all == groups.iter().sum::<u64>() + 4, "{all}");
    Ok(())
}

fn operators() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let bench = |options: &str| -> Result<String> {
        let words = ["bench", "tiny_i8.tflite", "--count"].into_iter().chain(options.split_whitespace());
        output(&mut command_of(words, folder.path())?)
    };
    let number = |v: &Value| v.as_u64().context("a number");
    for (options, level, cores) in [
        ("", "generic", &["cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76"][..]),
        ("--cpu generic+dotprod", "generic+dotprod", &["cortex-a55", "cortex-a76"]),
        ("--cpu cortex-a53 --compress constants=fastest", "cortex-a53", &["cortex-a53"]),
        ("--cpu generic+i8mm", "generic+i8mm", &["neoverse-v1"]),
    ] {
        let found: Value = serde_json::from_str(&bench(&format!("{options} --json"))?)?;
        ensure!(found["level"] == level, "{found}");
        let operators = found["operators"].as_array().context("operators")?;
        let parts = || operators.iter().chain([&found["calls"]]);
        let sum = |of: &dyn Fn(&Value) -> Result<u64>| parts().map(of).sum::<Result<u64>>();
        ensure!(number(&found["instructions"])? == sum(&|part| number(&part["instructions"]))?, "{found}");
        ensure!(found["cycles"].as_object().is_some_and(|all| all.len() == cores.len()), "{found}");
        for core in cores {
            let cycles = number(&found["cycles"][core])?;
            ensure!(cycles == sum(&|part| number(&part["cycles"][core]))?, "{core}: {found}");
            // No core here executes more than eight instructions at once.
            ensure!(number(&found["instructions"])? <= 8 * cycles, "{core}: {found}");
        }
        // A vector has 16 bytes at most, and an instruction multiplies as many by two others.
        for o in operators {
            ensure!(number(&o["macs"])? <= 32 * number(&o["instructions"])?, "{o}");
        }
        let names: Vec<&str> = operators.iter().filter_map(|o| o["name"].as_str()).collect();
        ensure!(names.iter().any(|n| n.starts_with("CONV_2D")), "{names:?}");
    }
    // Two calls are the same: so are two runs.
    ensure!(bench("--cpu cortex-a72")? == bench("--cpu cortex-a72")?);
    let refused = |options: &str, what: &str| -> Result<()> {
        let words = ["bench", "tiny_i8.tflite", "--count"].into_iter().chain(options.split('|'));
        let out = command_of(words, folder.path())?.output()?;
        let text = String::from_utf8(out.stderr)?;
        ensure!(out.status.code() != Some(0) && text.contains(what), "{options}: {text}");
        Ok(())
    };
    refused("--cpu|cortex-a76|--runner|qemu-aarch64 -cpu cortex-a53", "error[E0602]")?;
    if exists("qemu-aarch64-static") {
        refused("--runner|qemu-aarch64-static", "qemu-user-static takes none")?;
    }
    Ok(())
}
