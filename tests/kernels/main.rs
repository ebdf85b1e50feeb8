//! Checks and times what becomes of operators, in one place: no timing of a kernel that computes something else.
//!
//! `cargo test` checks the small cases. `cargo bench -p cranelite-tests --bench kernels -- [FILTER...] [--cpu LEVEL] [--min-ms N] [--json]`
//! checks and times all whose name contains one of the filters, at every feature level that this machine has or at those given. The
//! tile interpreter says what is right, bit for bit; integers must also be the same at every level. The machine's peak is measured
//! in turns with each kernel.

mod cases;

use anyhow::{Context, Result, bail, ensure};
use cases::Case;
use cranelite::facts::{Facts, Operator};
use cranelite::peaks::Probe;
use cranelite_codegen::{Target, loader, object};
use cranelite_graph::graph::Graph;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::tensor::ElementType;
use cranelite_tests::differential::{self, native_levels};
use cranelite_tests::guarded::{End, Guarded};
use cranelite_tile::{Elem, Program, arena};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Options {
    filters: Vec<String>,
    levels: Vec<String>,
    min_ms: u64,
    json: bool,
    /// Else only checks, of small cases.
    timing: bool,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(e) => {
            eprintln!("{e}\nusage: kernels [FILTER...] [--cpu LEVEL] [--min-ms N] [--json]");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// `--bench` comes from `cargo bench`; without it, options are those of any test and mean nothing here.
fn options(arguments: impl Iterator<Item = String>) -> Result<Options> {
    let arguments: Vec<String> = arguments.collect();
    let mut options = Options { min_ms: 30, timing: arguments.iter().any(|a| a == "--bench"), ..Options::default() };
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--cpu" => options.levels.push(value()?),
            "--min-ms" => options.min_ms = value()?.parse().context("--min-ms needs a number")?,
            a if a.starts_with('-') && options.timing => bail!("there is no option {a}"),
            a if a.starts_with('-') => {}
            _ => options.filters.push(argument),
        }
    }
    Ok(options)
}

fn levels(options: &Options) -> Result<Vec<Target>> {
    if options.levels.is_empty() {
        return Ok(native_levels());
    }
    let triple = Target::native()?.triple.to_string();
    options.levels.iter().map(|l| Ok(Target::new(&triple, Some(l))?)).collect()
}

fn run(options: &Options) -> Result<()> {
    let levels = levels(options)?;
    let wanted = |c: &Case| {
        (c.small || options.timing) && (options.filters.is_empty() || options.filters.iter().any(|f| c.name.contains(f.as_str())))
    };
    let cases: Vec<Case> = cases::all().into_iter().filter(wanted).collect();
    let (mut checks, mut out) = (0, std::io::stdout());
    for case in &cases {
        let graph = (case.graph)();
        let mut oracle = Oracle::default();
        for target in &levels {
            let name = || format!("{} at {}", case.name, target.level);
            let checked = oracle.check(&graph, target).with_context(name)?;
            checks += 1;
            if options.timing {
                let row = time(&graph, target, &checked, options).with_context(name)?;
                // A reader that has gone away ends the program.
                if writeln!(out, "{}", if options.json { row.json(case, target) } else { row.text(case, target) }).is_err() {
                    return Ok(());
                }
            }
        }
    }
    if !options.timing {
        println!("kernels: {} cases, {checks} checks at {} levels: all as the interpreter has it", cases.len(), levels.len());
    }
    Ok(())
}

/// What has been found out about a case at the levels so far.
#[derive(Default)]
struct Oracle {
    /// Programs and their outputs: several levels may have the same program.
    interpreted: Vec<(Program, Vec<Vec<u8>>)>,
}

impl Oracle {
    /// The case at that level, whose machine code does what the interpreter does.
    fn check(&mut self, graph: &Graph, target: &Target) -> Result<differential::Case> {
        let mut program = lower(graph, &target.machine, Goal::Speed).map_err(|d| anyhow::anyhow!("{}", d[0]))?;
        arena::plan(&mut program);
        cranelite_tile::verify::verify(&program).map_err(|e| anyhow::anyhow!("not proved: {}", e[0]))?;
        let inputs = graph.inputs.iter().zip(1..).map(|(&v, seed)| noise(graph.ty(v).element, graph.ty(v).size_bytes(), seed)).collect();
        let outputs = graph.outputs.iter().map(|&v| vec![0x5a; graph.ty(v).size_bytes()]).collect();
        let elems: Vec<Elem> = graph.outputs.iter().map(|&v| elem(graph.ty(v).element)).collect::<Result<_>>()?;
        let case = differential::Case { program, inputs, outputs, elems };
        let expected = match self.interpreted.iter().find(|(p, _)| *p == case.program) {
            Some((_, expected)) => expected.clone(),
            None => {
                let expected = differential::expected(&case).map_err(|e| anyhow::anyhow!("interpreter: {e}"))?;
                if let Some((_, first)) = self.interpreted.first().filter(|_| !case.elems.iter().any(|e| e.is_float())) {
                    ensure!(*first == expected, "other integers than at another level");
                }
                self.interpreted.push((case.program.clone(), expected.clone()));
                expected
            }
        };
        for (got, end) in differential::native(&case, target).map_err(anyhow::Error::msg)?.iter().zip(["first", "last"]) {
            if let Some(difference) = differential::difference(&case, &expected, got) {
                bail!("with buffers at the {end} end: {difference}");
            }
        }
        Ok(case)
    }
}

fn elem(element: ElementType) -> Result<Elem> {
    cranelite_graph::lower::requantize::elem(element).context("an element type of results")
}

/// Floats from -1 to 1, any integers.
fn noise(element: ElementType, size_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32
    };
    match element {
        ElementType::F32 => (0..size_bytes / 4).flat_map(|_| (next() as i32 as f32 / 2147483648.0).to_le_bytes()).collect(),
        _ => (0..size_bytes).map(|_| next() as u8).collect(),
    }
}

/// One line of the result.
struct Row {
    us: f64,
    macs: u64,
    elements: usize,
    percent_of_peak: Option<f64>,
}

/// A batch takes at least so long.
const BATCH: Duration = Duration::from_micros(100);

fn time(graph: &Graph, target: &Target, case: &differential::Case, options: &Options) -> Result<Row> {
    let object = object::emit(&[object::Level { program: &case.program, target }], &differential::options(&case.program))?;
    let loaded = loader::Loaded::load(&object.bytes)?;
    let model = loaded.model("test").context("no model")?;
    let aligned = |bytes: &Vec<u8>| Guarded::new(bytes, 64, End::First);
    let inputs: Vec<Guarded> = case.inputs.iter().map(aligned).collect();
    let mut outputs: Vec<Guarded> = case.outputs.iter().map(aligned).collect();
    let mut arena = Guarded::new(&vec![0; model.arena_bytes], model.arena_align.max(64), End::First);
    let inputs: Vec<&[u8]> = inputs.iter().map(|g| &**g).collect();
    let mut outputs: Vec<&mut [u8]> = outputs.iter_mut().map(|g| &mut **g).collect();
    let mut bound = model.bind(&inputs, &mut outputs, &mut arena);
    let facts = Facts::of(graph);
    let Operator { macs, arithmetic, .. } = facts.operators[0];
    let mut probe = arithmetic.map(|a| Probe::of_products(target, a)).transpose().map_err(|d| anyhow::anyhow!("{d}"))?;
    let mut timed = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| assert_eq!(bound.invoke(), 0, "a status"));
        start.elapsed()
    };
    let mut calls = 1;
    while timed(calls) < BATCH {
        calls *= 2;
    }
    let (start, mut times_us, mut percents) = (Instant::now(), vec![], vec![]);
    while times_us.len() < 5 || start.elapsed() < Duration::from_millis(options.min_ms) {
        let us = timed(calls).as_secs_f64() * 1e6 / f64::from(calls);
        if let Some(probe) = &mut probe {
            let peak = probe.burst().map_err(|d| anyhow::anyhow!("{d}"))?;
            percents.push(100.0 * 2e6 * macs as f64 / us / peak);
        }
        times_us.push(us);
    }
    let elements = graph.outputs.iter().map(|&v| graph.ty(v).element_count()).sum();
    Ok(Row { us: median(times_us).unwrap_or(0.0), macs, elements, percent_of_peak: median(percents) })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Row {
    fn gops(&self) -> f64 {
        2.0 * self.macs as f64 / self.us / 1e3
    }

    fn ns_per_element(&self) -> f64 {
        self.us * 1e3 / self.elements as f64
    }

    fn text(&self, case: &Case, target: &Target) -> String {
        let speed = match self.percent_of_peak {
            Some(percent) => format!("{:>8.1} GOP/s {percent:>5.1} % of peak", self.gops()),
            None => format!("{:>8.4} ns per element", self.ns_per_element()),
        };
        format!("{:<44} {:<32} {:>10.2} µs {speed}", case.name, target.level, self.us)
    }

    fn json(&self, case: &Case, target: &Target) -> String {
        let gops = self.percent_of_peak.map(|_| self.gops());
        json!({
            "case": case.name,
            "level": target.level,
            "us": self.us,
            "macs": self.macs,
            "gops": gops,
            "percent_of_peak": self.percent_of_peak,
            "ns_per_element": self.ns_per_element(),
        })
        .to_string()
    }
}
