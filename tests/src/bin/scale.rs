//! Time and memory for models of many operators, tensors or outputs: `cargo run --release -p cranelite-tests --bin scale -- [SHAPE...]` prints a
//! table; `--items 1000,100000` are how many there are, and `--make SHAPE N FILE` writes a model. Times are of the CPU, of all threads together.

use anyhow::{Context, Result, bail, ensure};
use cranelite_tests::scale::{self, SHAPES, Shape, Used, memory_limit_bytes};
use std::path::Path;
use std::process::{Command, ExitCode};

/// As in the `cranelite` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<ExitCode> {
    if let Some(code) = scale::as_cranelite() {
        return Ok(code);
    }
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, name, n, file] = &arguments[..]
        && option == "--make"
    {
        std::fs::write(file, (shape(name)?.make)(n.parse()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut items = vec![1_000, 10_000, 100_000];
    if arguments.first().is_some_and(|a| a == "--items") && 1 < arguments.len() {
        items = arguments[1].split(',').map(|n| n.parse().with_context(|| format!("`{n}` is no number"))).collect::<Result<_>>()?;
        arguments.drain(..2);
    }
    let shapes: Vec<&Shape> =
        if arguments.is_empty() { SHAPES.iter().collect() } else { arguments.iter().map(|n| shape(n)).collect::<Result<_>>()? };
    println!("| shape | items | file | check | compile | native | µs per item | of the first | memory | allowed |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let folder = tempfile::tempdir()?;
    for s in shapes {
        let mut first = None;
        for &n in &items {
            if let Err(e) = row(s, n, folder.path(), &mut first) {
                println!("| {} | {n} | {e:#} |", s.name);
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn shape(name: &str) -> Result<&'static Shape> {
    match SHAPES.iter().find(|s| s.name == name) {
        Some(s) => Ok(s),
        None => bail!("no shape {name}; there are\n{}", SHAPES.iter().map(|s| format!("{:<13} {}\n", s.name, s.about)).collect::<String>()),
    }
}

/// `first`: microseconds per item of the smallest model, by command.
fn row(s: &Shape, n: usize, folder: &Path, first: &mut Option<Vec<f64>>) -> Result<()> {
    // In a process of its own, whose memory is given back.
    let mut make = Command::new(std::env::current_exe()?);
    make.args(["--make", s.name, &n.to_string(), "m.tflite"]).current_dir(folder);
    ensure!(make.status()?.success(), "no model");
    let file_bytes = std::fs::metadata(folder.join("m.tflite"))?.len();
    let commands: [&[&str]; 3] =
        [&["check", "m.tflite"], &["compile", "m.tflite", "-o", "m.o"], &["compile", "m.tflite", "--cpu", "native", "-o", "m.o"]];
    let used: Vec<Used> = commands.iter().map(|c| scale::run(c, folder)).collect::<Result<_>>()?;
    let each: Vec<f64> = used.iter().map(|u| u.cpu_time.as_secs_f64() * 1e6 / n as f64).collect();
    let base = first.get_or_insert_with(|| each.clone());
    let growth: Vec<String> = each.iter().zip(base).map(|(e, b)| format!("{:.2}", e / *b)).collect();
    let each: Vec<String> = each.iter().map(|e| format!("{e:.0}")).collect();
    let [check, compile, native] = [0, 1, 2].map(|i| used[i].cpu_time.as_secs_f64());
    let memory = used.iter().map(|u| u.memory_bytes).max().unwrap_or(0);
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "| {} | {n} | {:.1} MiB | {check:.2} s | {compile:.2} s | {native:.2} s | {} | {} | {:.0} MiB | {:.0} MiB |",
        s.name,
        mib(file_bytes),
        each.join(" "),
        growth.join(" "),
        mib(memory),
        mib(memory_limit_bytes(file_bytes))
    );
    Ok(())
}
