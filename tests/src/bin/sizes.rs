//! Bytes of code, constants and arena of models at the feature levels of x86-64, each as an object of one level, beside 128-bit vectors with
//! all that the CPU has: `cargo run --release -p cranelite-tests --bin sizes -- MODEL...` prints a table.

use anyhow::Result;
use cranelite::pipeline::{self, Options};
use cranelite::report::grouped;
use cranelite::stages::Stages;
use cranelite_codegen::Target;
use std::path::{Path, PathBuf};

const LEVELS: [&str; 6] =
    ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v3+avxvnni", "x86-64-v4+avx512vnni", "x86-64-v4+avx512vnni+prefer128"];

fn main() -> Result<()> {
    let models: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if models.is_empty() {
        eprintln!("usage: sizes MODEL...");
        std::process::exit(2);
    }
    println!("| model | level | code | constants | arena |\n|---|---|--:|--:|--:|");
    models.iter().try_for_each(|m| rows(m))
}

fn rows(path: &Path) -> Result<()> {
    let model = std::fs::read(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    for level in LEVELS {
        let target = Target::new("x86_64-unknown-linux-gnu", Some(level))?;
        let compiled = pipeline::compile(&model, &[target], &Options::named_after(path), &mut Stages::none())
            .map_err(|d| anyhow::anyhow!("{}: {}", path.display(), d[0]))?;
        let [code, constants, arena] = [compiled.object.code_bytes, compiled.object.const_bytes, compiled.object.arena_bytes].map(grouped);
        println!("| {name} | {level} | {code} | {constants} | {arena} |");
    }
    Ok(())
}
