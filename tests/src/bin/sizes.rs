//! Bytes of code, constants, arena and stack of models, each as an object of one level: `cargo run --release -p cranelite-tests --bin sizes --
//! MODEL...` prints a table for the feature levels of x86-64, beside 128-bit vectors with all that the CPU has; with `--target TRIPLE` before the
//! models for that target's baseline. Each is compiled for speed and for size.

use anyhow::Result;
use cranelite::pipeline::{self, Options};
use cranelite::report::grouped;
use cranelite::stages::Stages;
use cranelite_codegen::Target;
use cranelite_graph::lower::Goal;
use std::path::{Path, PathBuf};

const LEVELS: [&str; 6] =
    ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v3+avxvnni", "x86-64-v4+avx512vnni", "x86-64-v4+avx512vnni+prefer128"];

fn main() -> Result<()> {
    let mut arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut triple = None;
    if arguments.first().is_some_and(|a| a.as_os_str() == "--target") && 1 < arguments.len() {
        triple = Some(arguments.remove(1).to_string_lossy().into_owned());
        arguments.remove(0);
    }
    if arguments.is_empty() {
        eprintln!("usage: sizes [--target TRIPLE] MODEL...");
        std::process::exit(2);
    }
    let targets: Vec<Target> = match triple {
        Some(triple) => vec![Target::new(&triple, None)?],
        None => LEVELS.iter().map(|l| Target::new("x86_64-unknown-linux-gnu", Some(l))).collect::<Result<_, _>>()?,
    };
    println!("| model | level | --opt | code | constants | arena | stack |\n|---|---|---|--:|--:|--:|--:|");
    arguments.iter().try_for_each(|m| rows(m, &targets))
}

fn rows(path: &Path, targets: &[Target]) -> Result<()> {
    let model = std::fs::read(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    for target in targets {
        for (opt, goal) in [("speed", Goal::Speed), ("size", Goal::Size)] {
            let options = Options { prefer: goal.into(), ..Options::named_after(path) };
            let compiled = pipeline::compile(&model, std::slice::from_ref(target), &options, &mut Stages::none())
                .map_err(|d| anyhow::anyhow!("{}: {}", path.display(), d[0]))?;
            let o = &compiled.object;
            let [code, constants, arena, stack] = [o.code_bytes, o.const_bytes, o.arena_bytes, o.stack_bytes.into()].map(grouped);
            println!("| {name} | {} | {opt} | {code} | {constants} | {arena} | {stack} |", target.level);
        }
    }
    Ok(())
}
