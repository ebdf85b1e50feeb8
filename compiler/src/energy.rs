//! How much energy an inference takes: an estimate from what the model does, and what the processor has counted.
//!
//! The estimate is no measurement of this machine: operations and bytes of the model, times what one of each took in a published table. It compares models,
//! and says where the energy goes. The measurement is RAPL's counters of the processor's packages, which Linux shows as files; whatever else the machine does
//! meanwhile is in it. The idea: both are said with where they come from, and what cannot be read is said in a line.

use crate::facts::{Arithmetic, Facts, Operator};
use cranelite_graph::tensor::ElementType;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the figures of [`per_mac_pj`], [`per_element_pj`] and [`Memory`] come from.
pub const SOURCE: &str = "45 nm at 0.9 V, M. Horowitz, Computing's energy problem, ISSCC 2014";

// Of that table, in picojoules.
const MULTIPLY_I8: f64 = 0.2;
const MULTIPLY_F32: f64 = 3.7;
const ADD_I8: f64 = 0.03;
const ADD_I32: f64 = 0.1;
const ADD_F32: f64 = 0.9;

/// A product and its addition to a sum of 32 bits.
fn per_mac_pj(arithmetic: Arithmetic) -> f64 {
    match arithmetic {
        Arithmetic::F32 => MULTIPLY_F32 + ADD_F32,
        Arithmetic::I8 => MULTIPLY_I8 + ADD_I32,
        // The table has 8 bits and 32; products grow with the square of the width.
        Arithmetic::I16 => 4.0 * MULTIPLY_I8 + ADD_I32,
    }
}

/// Whatever is done for an element of a result without products is an addition.
fn per_element_pj(element: ElementType) -> f64 {
    match element {
        ElementType::F32 | ElementType::F64 | ElementType::F16 | ElementType::BF16 => ADD_F32,
        ElementType::I8 | ElementType::U8 | ElementType::Bool => ADD_I8,
        _ => ADD_I32,
    }
}

/// What holds so many bytes. Each access is one of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Cache32KiB,
    Cache1MiB,
    Dram,
}

impl Memory {
    fn that_holds(bytes: u64) -> Memory {
        match bytes {
            0..=0x8000 => Memory::Cache32KiB,
            0x8001..=0x10_0000 => Memory::Cache1MiB,
            _ => Memory::Dram,
        }
    }

    fn per_byte_pj(self) -> f64 {
        let access = match self {
            Memory::Cache32KiB => 20.0,
            Memory::Cache1MiB => 100.0,
            // The middle of what the table gives.
            Memory::Dram => (1300.0 + 2600.0) / 2.0,
        };
        access / 8.0
    }

    fn name(self) -> &'static str {
        match self {
            Memory::Cache32KiB => "a cache of 32 KiB",
            Memory::Cache1MiB => "a cache of 1 MiB",
            Memory::Dram => "DRAM",
        }
    }
}

/// Bytes of memory that a model works in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    pub constants: u64,
    /// Arena, state, inputs and outputs.
    pub working: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    macs_uj: f64,
    elements_uj: f64,
    memory_uj: f64,
    weights: (u64, Memory),
    activations: (u64, Memory),
}

impl Estimate {
    /// Weights are read once, from what holds them and everything else; activations are in what holds them alone.
    pub fn of(facts: &Facts, sizes: Sizes) -> Estimate {
        let sum = |of: &dyn Fn(&Operator) -> f64| facts.operators.iter().map(of).sum::<f64>() * 1e-6;
        let bytes = |of: &dyn Fn(&Operator) -> u64| facts.operators.iter().map(of).sum::<u64>();
        let weights = (sizes.constants, Memory::that_holds(sizes.constants + sizes.working));
        let activations = (bytes(&|o| o.bytes - o.constant_bytes), Memory::that_holds(sizes.working));
        let moved = |(bytes, memory): (u64, Memory)| bytes as f64 * memory.per_byte_pj() * 1e-6;
        Estimate {
            macs_uj: sum(&|o| o.arithmetic.map_or(0.0, |a| o.computed_macs as f64 * per_mac_pj(a))),
            elements_uj: sum(&|o| if o.macs == 0 { o.elements.1 as f64 * per_element_pj(o.elements.0) } else { 0.0 }),
            memory_uj: moved(weights) + moved(activations),
            weights,
            activations,
        }
    }

    fn total_uj(&self) -> f64 {
        self.macs_uj + self.elements_uj + self.memory_uj
    }

    pub fn text(&self) -> String {
        let (weights, activations) = (self.weights, self.activations);
        format!(
            "energy, estimated: {}: {} for multiply-accumulates, {} for other operations, {} for {} of weights from {} and {} of activations in {} ({SOURCE})\n",
            joules(self.total_uj()),
            joules(self.macs_uj),
            joules(self.elements_uj),
            joules(self.memory_uj),
            kilobytes(weights.0),
            weights.1.name(),
            kilobytes(activations.0),
            activations.1.name(),
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "total_uj": self.total_uj(),
            "macs_uj": self.macs_uj,
            "other_operations_uj": self.elements_uj,
            "memory_uj": self.memory_uj,
            "weights_bytes": self.weights.0,
            "weights_from": self.weights.1.name(),
            "activations_bytes": self.activations.0,
            "activations_in": self.activations.1.name(),
            "source": SOURCE,
        })
    }
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1000.0)
}

fn joules(uj: f64) -> String {
    match uj {
        ..1e-4 => format!("{:.2} pJ", uj * 1e6),
        ..0.1 => format!("{:.2} nJ", uj * 1e3),
        ..1e3 => format!("{uj:.2} µJ"),
        _ => format!("{:.2} mJ", uj / 1e3),
    }
}

/// Names the folder with the counters, for tests.
const VARIABLE: &str = "CRANELITE_POWERCAP";
const FOLDER: &str = "/sys/class/powercap";

/// The counters of the processor's packages.
pub struct Meter {
    counters: Vec<Counter>,
}

/// Of microjoules, which begins at 0 again after the largest number.
struct Counter {
    file: PathBuf,
    largest: u64,
}

/// An energy that was counted.
pub struct Measured {
    pub uj: f64,
    pub runs: u64,
    packages: usize,
}

impl Meter {
    /// Of this machine, or in a line why it has none.
    pub fn of_machine() -> Result<Meter, String> {
        Meter::open(&std::env::var_os(VARIABLE).map_or_else(|| FOLDER.into(), PathBuf::from))
    }

    fn open(folder: &Path) -> Result<Meter, String> {
        let names = fs::read_dir(folder).map_err(|_| format!("there is no {}, where Linux shows RAPL's counters", folder.display()))?;
        // Parts of a package have a second colon (intel-rapl:0:0); intel-rapl-mmio:0 counts again what intel-rapl:0 does.
        let is_whole = |name: &str| name.strip_prefix("intel-rapl:").is_some_and(|n| n.parse::<u32>().is_ok());
        let mut domains: Vec<PathBuf> = names.flatten().filter(|e| is_whole(&e.file_name().to_string_lossy())).map(|e| e.path()).collect();
        domains.retain(|d| fs::read_to_string(d.join("name")).is_ok_and(|name| name.starts_with("package")));
        domains.sort();
        let counters = domains.into_iter().map(|d| {
            let file = d.join("energy_uj");
            number(&file).and_then(|_| number(&d.join("max_energy_range_uj"))).map(|largest| Counter { file, largest })
        });
        let counters: Vec<Counter> = counters.collect::<Result<_, _>>()?;
        if counters.is_empty() {
            return Err(format!("{} has no counter of a processor's package", folder.display()));
        }
        Ok(Meter { counters })
    }

    fn read(&self) -> Result<Vec<u64>, String> {
        self.counters.iter().map(|c| number(&c.file)).collect()
    }

    /// What was counted between two readings.
    fn between(&self, before: &[u64], after: &[u64]) -> u64 {
        let one = |((c, b), a): ((&Counter, &u64), &u64)| if b <= a { a - b } else { a + 1 + c.largest.saturating_sub(*b) };
        self.counters.iter().zip(before).zip(after).map(one).sum()
    }

    /// Of one call, from many.
    pub fn measure<E>(&self, at_least: Duration, mut call: impl FnMut() -> Result<(), E>) -> Result<Result<Measured, String>, E> {
        // The counters move every millisecond, and take hours to begin again, or minutes on large machines.
        const BETWEEN_READINGS: Duration = Duration::from_secs(1);
        let (mut runs, mut uj) = (0, 0);
        let mut last = match self.read() {
            Ok(numbers) => numbers,
            Err(why) => return Ok(Err(why)),
        };
        let start = Instant::now();
        while start.elapsed() < at_least || runs == 0 {
            let part = Instant::now();
            loop {
                call()?;
                runs += 1;
                if BETWEEN_READINGS.min(at_least) <= part.elapsed() {
                    break;
                }
            }
            let now = match self.read() {
                Ok(numbers) => numbers,
                Err(why) => return Ok(Err(why)),
            };
            uj += self.between(&last, &now);
            last = now;
        }
        if uj == 0 {
            return Ok(Err("the counters stand still".into()));
        }
        Ok(Ok(Measured { uj: uj as f64 / runs as f64, runs, packages: self.counters.len() }))
    }
}

fn number(file: &Path) -> Result<u64, String> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => format!("{shown} may only be read by root"),
        _ => format!("{shown} cannot be read: {e}"),
    })?;
    text.trim().parse().map_err(|_| format!("{shown} has no number"))
}

/// A line on what was measured, or why it was not.
pub fn measured_text(measured: &Result<Measured, String>) -> String {
    match measured {
        Ok(m) => {
            let packages = if m.packages == 1 { "processor" } else { "processors" };
            format!("energy, measured: {} of the whole {packages}, idle power included, from {} runs\n", joules(m.uj), m.runs)
        }
        Err(why) => format!("energy, not measured: {why}\n"),
    }
}

pub fn measured_json(measured: &Result<Measured, String>) -> Value {
    match measured {
        Ok(m) => json!({ "package_uj": m.uj, "runs": m.runs }),
        Err(why) => json!({ "not_measured": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn operator(macs: u64, arithmetic: Option<Arithmetic>, elements: (ElementType, u64), bytes: u64, constant_bytes: u64) -> Operator {
        Operator {
            index: 0,
            name: "ADD",
            macs,
            bytes,
            constant_bytes,
            elements,
            arithmetic,
            operands: String::new(),
            result: String::new(),
            within: None,
            dead_channels: 0,
            channels: 1,
            computed_macs: macs,
        }
    }

    #[test]
    fn operations_and_bytes_by_the_table() {
        use ElementType::{F32, I8};
        let operators = vec![
            operator(1000, Some(Arithmetic::I8), (I8, 10), 1200, 1000),
            operator(1000, Some(Arithmetic::I16), (I8, 10), 0, 0),
            operator(1000, Some(Arithmetic::F32), (F32, 10), 0, 0),
            operator(0, None, (F32, 100), 800, 0),
            operator(0, None, (I8, 100), 0, 0),
        ];
        let facts = Facts { operators, parameters: vec![], arena_lower_bound_bytes: 0 };
        let estimate = |constants, working| Estimate::of(&facts, Sizes { constants, working });
        let is = |found: f64, pj: f64| assert!((found * 1e6 - pj).abs() < 1e-6, "{found} µJ is not {pj} pJ");
        let small = estimate(1000, 4000);
        is(small.macs_uj, 300.0 + 900.0 + 4600.0);
        is(small.elements_uj, 90.0 + 3.0);
        // 20 pJ for eight bytes: weights, and 200 and 800 of activations.
        is(small.memory_uj, (1000.0 + 1000.0) * 2.5);
        is(small.total_uj(), 5800.0 + 93.0 + 5000.0);
        // Weights do not fit beside the rest, which does.
        let middle = estimate(32_000, 1000);
        assert_eq!((middle.weights.1, middle.activations.1), (Memory::Cache1MiB, Memory::Cache32KiB));
        is(middle.memory_uj, 32_000.0 * 12.5 + 1000.0 * 2.5);
        let large = estimate(1 << 20, 1 << 16);
        assert_eq!((large.weights.1, large.activations.1), (Memory::Dram, Memory::Cache1MiB));
        is(large.memory_uj, f64::from(1 << 20) * 243.75 + 1000.0 * 12.5);
        assert_eq!([1.2e-5, 0.0123, 12.3, 12300.0].map(joules), ["12.00 pJ", "12.30 nJ", "12.30 µJ", "12.30 mJ"]);
    }

    fn domain(folder: &Path, path: &str, name: &str, uj: u64) {
        let domain = folder.join(path);
        fs::create_dir_all(&domain).unwrap();
        fs::write(domain.join("name"), format!("{name}\n")).unwrap();
        fs::write(domain.join("energy_uj"), format!("{uj}\n")).unwrap();
        fs::write(domain.join("max_energy_range_uj"), "999\n").unwrap();
    }

    #[test]
    fn packages_are_counted_once_and_over_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let why = |folder: &Path| Meter::open(folder).err().unwrap();
        assert!(why(&folder.join("none")).starts_with("there is no "));
        assert!(why(folder).ends_with("has no counter of a processor's package"));
        domain(folder, "intel-rapl:0", "package-0", 100);
        domain(folder, "intel-rapl:1", "package-1", 990);
        domain(folder, "intel-rapl:0:0", "core", 5);
        domain(folder, "intel-rapl:2", "psys", 5);
        domain(folder, "intel-rapl-mmio:0", "package-0", 5);
        let meter = Meter::open(folder).unwrap();
        assert_eq!(meter.read().unwrap(), [100, 990]);
        assert_eq!(meter.between(&[100, 990], &[130, 20]), 30 + 30);

        // Each call takes 7 µJ of one and 3 of the other, which runs over its end.
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            domain(folder, "intel-rapl:0", "package-0", (100 + 7 * calls.get()) % 1000);
            domain(folder, "intel-rapl:1", "package-1", (990 + 3 * calls.get()) % 1000);
            Ok::<(), ()>(())
        };
        let measured = meter.measure(Duration::ZERO, call).unwrap().unwrap();
        assert_eq!((measured.uj, measured.runs, measured.packages), (10.0, 1, 2));
        let still = meter.measure(Duration::ZERO, || Ok::<(), ()>(())).unwrap();
        assert_eq!(measured_text(&still), "energy, not measured: the counters stand still\n");
        assert!(meter.measure(Duration::ZERO, || Err(5)).is_err_and(|e| e == 5));

        fs::write(folder.join("intel-rapl:1/energy_uj"), "x").unwrap();
        assert!(why(folder).ends_with("intel-rapl:1/energy_uj has no number"));
        fs::remove_file(folder.join("intel-rapl:1/energy_uj")).unwrap();
        assert!(why(folder).contains("intel-rapl:1/energy_uj cannot be read"));
        assert!(meter.measure(Duration::ZERO, || Ok::<(), ()>(())).unwrap().is_err());
    }
}
