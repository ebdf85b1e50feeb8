//! Large models: time and memory grow no faster than the file, and a small stack is enough.
//!
//! Times are of the CPU, so that a busy machine matters little; `cargo run --release -p cranelite-tests --bin scale` prints a table for larger models.

use anyhow::{Result, ensure};
use cranelite_tests::scale::{SHAPES, SPARSE, Shape, as_cranelite, memory_limit_bytes, run};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::time::Duration;

const ITEMS: [usize; 2] = [1_000, 20_000];
/// Time for an item of the large model, compared with the small one. What a process takes before it reads a model counts for both.
const GROWTH: f64 = 2.0;
/// Differences below this are chance.
const UNSURE: Duration = Duration::from_millis(100);

/// As in the `cranelite` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = as_cranelite() {
        return code;
    }
    let trial = |s: &'static Shape, options: &'static [&'static str]| {
        let name = [&[s.name], options].concat().join(" ");
        Trial::test(name, move || grows(s, options).map_err(|e| Failed::from(format!("{e:#}"))))
    };
    let mut trials: Vec<Trial> = SHAPES.iter().map(|s| trial(s, &[])).collect();
    trials.push(trial(&SPARSE, &["--target", "aarch64-unknown-linux-gnu"]));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A shape whose items are kernels of their own has fewer of them.
fn grows(shape: &Shape, options: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut times = vec![];
    let items = ITEMS.map(|n| if shape.is_slow { n / 10 } else { n });
    for n in items {
        let model = (shape.make)(n);
        std::fs::write(folder.path().join("m.tflite"), &model)?;
        let used = run(&[&["compile", "m.tflite", "-o", "m.o"], options].concat(), folder.path())?;
        let limit = memory_limit_bytes(model.len() as u64);
        ensure!(used.memory_bytes <= limit, "{n} items: {} bytes of memory, not {limit}", used.memory_bytes);
        times.push(used.cpu_time);
    }
    let most = times[0].mul_f64(GROWTH * items[1] as f64 / items[0] as f64) + UNSURE;
    ensure!(times[1] <= most, "{items:?} items take {times:?}");
    Ok(())
}
