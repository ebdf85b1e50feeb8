//! `hwbench`: what this machine can do at most, measured, so that figures of `bench` can be compared with it.
//!
//! The idea: bursts of all kernels take turns, and the best of each counts; what slows a machine down for a while then costs no figure.

use super::options::min_ms;
use super::{Outcome, print, print_json};
use crate::diagnostic::Failure;
use crate::facts::Arithmetic;
use crate::peaks::Probe;
use clap::Args;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Measures what this machine can do at most: products, reading, clock
#[derive(Args)]
pub struct HwbenchArgs {
    /// Repeat for so long
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = min_ms())]
    min_ms: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A figure, and the best burst so far.
struct Figure {
    probe: Probe,
    best: f64,
}

impl Figure {
    fn new(probe: Result<Probe, Diagnostic>) -> Result<Figure, Diagnostic> {
        Ok(Figure { probe: probe?, best: 0.0 })
    }

    fn burst(&mut self) -> Result<(), Diagnostic> {
        self.best = self.best.max(self.probe.burst()?);
        Ok(())
    }

    fn giga(&self) -> f64 {
        self.best / 1e9
    }
}

/// Products at one width of vectors.
struct Width {
    bits: u32,
    level: String,
    products: Vec<(Arithmetic, Figure)>,
}

/// Reading from one level of the memory.
struct Reading {
    from: String,
    size_bytes: usize,
    figure: Figure,
}

pub fn hwbench(args: HwbenchArgs) -> Outcome {
    let targets = targets()?;
    let mut widths = vec![];
    for target in &targets {
        let of = |a: &Arithmetic| Ok((*a, Figure::new(Probe::of_products(target, *a))?));
        let products = Arithmetic::ALL.iter().map(of).collect::<Result<_, Diagnostic>>()?;
        widths.push(Width { bits: 8 * target.machine.vector_bytes, level: target.level.clone(), products });
    }
    let widest = targets.last().expect("this machine is a target");
    let mut readings = vec![];
    for (from, size_bytes) in memories(&caches()) {
        readings.push(Reading { from, size_bytes, figure: Figure::new(Probe::of_reading(widest, size_bytes))? });
    }
    let baseline = Target::new(&widest.triple.to_string(), None).map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?;
    let mut clock = Figure::new(Probe::of_clock(&baseline))?;
    let (start, at_least) = (Instant::now(), Duration::from_millis(args.min_ms));
    loop {
        clock.burst()?;
        widths.iter_mut().flat_map(|w| &mut w.products).try_for_each(|(_, f)| f.burst())?;
        readings.iter_mut().try_for_each(|r| r.figure.burst())?;
        if at_least <= start.elapsed() {
            break;
        }
    }
    if args.json {
        print_json(&to_json(&clock, &widths, &readings));
    } else {
        print(&text(&clock, &widths, &readings));
    }
    Ok(())
}

/// This machine, at every width of vectors that it has, shortest first.
fn targets() -> Result<Vec<Target>, Failure> {
    let native = Target::native().map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?;
    let shorter = ["native+prefer128", "native+prefer256"];
    let mut all: Vec<Target> = shorter.iter().filter_map(|cpu| Target::new(&native.triple.to_string(), Some(cpu)).ok()).collect();
    all.retain(|t| t.machine.vector_bytes < native.machine.vector_bytes);
    all.push(native);
    all.dedup_by_key(|t| t.machine.vector_bytes);
    Ok(all)
}

/// Sizes of the caches of data, innermost first; what machines have had for long where the system does not say.
fn caches() -> Vec<usize> {
    let read = |index: usize, what: &str| {
        let text = std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}")).ok()?;
        Some(text.trim().to_string())
    };
    let size = |index| super::options::size_bytes(&read(index, "size")?).ok();
    let of_data = |i: &usize| read(*i, "type").is_some_and(|t| t != "Instruction");
    let found: Vec<usize> = (0..8).filter(of_data).filter_map(size).map(|b| b as usize).collect();
    if found.is_empty() { vec![32 << 10, 512 << 10, 8 << 20] } else { found }
}

/// How much to read so that it comes from where: half of a cache; of the memory, twice the largest.
fn memories(caches: &[usize]) -> Vec<(String, usize)> {
    let fits = |(i, &size): (usize, &usize)| (format!("L{}", i + 1), (size / 2).min(64 << 20) / 4096 * 4096);
    let memory = (2 * caches.last().copied().unwrap_or(0)).clamp(64 << 20, 1 << 30);
    caches.iter().enumerate().map(fits).chain([("memory".to_string(), memory)]).collect()
}

fn text(clock: &Figure, widths: &[Width], readings: &[Reading]) -> String {
    let mut out = format!("clock        {:.2} GHz\n\nproducts, each two operations\n", clock.giga());
    writeln!(out, "{:>5}  {:>12}  {:>12}  {:>12}  level", "bits", "f32 GFLOP/s", "i8 GOP/s", "i16 GOP/s").expect("a string");
    for w in widths {
        let figures: Vec<String> = w.products.iter().map(|(_, f)| format!("{:>12.1}", f.giga())).collect();
        writeln!(out, "{:>5}  {}  {}", w.bits, figures.join("  "), w.level).expect("a string");
    }
    out += "\nreading\n";
    for r in readings {
        writeln!(out, "{:<7} {:>9.1} GB/s  ({} KiB)", r.from, r.figure.giga(), r.size_bytes >> 10).expect("a string");
    }
    out
}

fn to_json(clock: &Figure, widths: &[Width], readings: &[Reading]) -> Value {
    let width = |w: &Width| {
        let mut figures = json!({ "bits": w.bits, "level": w.level });
        for (arithmetic, figure) in &w.products {
            figures[format!("{}_gops", arithmetic.name())] = json!(figure.giga());
        }
        figures
    };
    let reading = |r: &Reading| json!({ "from": r.from, "bytes": r.size_bytes, "gb_per_s": r.figure.giga() });
    json!({
        "clock_ghz": clock.giga(),
        "products": widths.iter().map(width).collect::<Vec<_>>(),
        "reading": readings.iter().map(reading).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_fits_where_it_is_said_to_be() {
        let memories = memories(&[48 << 10, 1 << 20, 32 << 20]);
        let sizes: Vec<(&str, usize)> = memories.iter().map(|(from, size)| (from.as_str(), size >> 10)).collect();
        assert_eq!(sizes, [("L1", 24), ("L2", 512), ("L3", 16 << 10), ("memory", 64 << 10)]);
    }
}
