//! `bench`: how long one call takes; with `--count`, how many instructions on another machine (`count.rs`).
//!
//! The idea: short calls are timed in batches so that the clock does not count, and the median is the figure.

use super::options::{LibraryOptions, ModelOptions, PreferenceOptions, TargetOptions, Words, min_ms, threads, words};
use super::{Outcome, count, per_operator, print, print_json, warn};
use crate::array::Array;
use crate::diagnostic::{Failure, internal};
use crate::energy::{self, Estimate, Meter, Sizes};
use crate::instance::Instance;
use crate::litert::{self, Request};
use crate::pipeline::{self, Compiled, Entry, Options};
use crate::signature::Tensor;
use crate::stages::Stages;
use clap::Args;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::tensor::ElementType;
use cranelite_tile::Step;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Times a model on this machine
#[derive(Args)]
pub struct BenchArgs {
    /// The model: a .tflite file, or one of Keras, TensorFlow or PyTorch, which is converted first
    pub(super) model: PathBuf,
    /// Feature level of this machine's architecture, by default all that this machine can; of several, the best that it has is timed. With --count, a level of
    /// the target's
    #[arg(long, value_name = "LEVEL,...")]
    pub(super) cpu: Option<String>,
    #[command(flatten)]
    pub(super) about: ModelOptions,
    #[command(flatten)]
    libraries: LibraryOptions,
    #[command(flatten)]
    pub(super) prefer: PreferenceOptions,
    /// Repeat for so long
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = min_ms())]
    min_ms: u64,
    /// Divide long operators among so many threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads())]
    threads: u32,
    /// Also time every operator on one thread, beside what the machine can do at most
    #[arg(long)]
    per_op: bool,
    /// Also say how much energy a call takes: an estimate, and what the processor counts where that can be read
    #[arg(long)]
    energy: bool,
    /// Also time LiteRT, of the Python package ai-edge-litert, on the same inputs in turn, and compare the outputs
    #[arg(long)]
    compare_litert: bool,
    /// Count instead the instructions that a call executes on 64-bit Arm, exactly and by operator, under an emulator that takes plugins, and
    /// model the cycles that cores take for them
    #[arg(long, conflicts_with_all = ["per_op", "energy", "compare_litert"])]
    count: bool,
    /// Triple of what is counted
    #[arg(long, value_name = "TRIPLE", requires = "count", default_value = "aarch64-unknown-linux-gnu")]
    pub(super) target: String,
    /// C compiler for the target, which links the program that is counted
    #[arg(long, value_name = "COMMAND", requires = "count", value_parser = words, default_value = "aarch64-linux-gnu-gcc")]
    pub(super) linker: Words,
    /// Emulator that runs it, with its options
    #[arg(long, value_name = "COMMAND", requires = "count", value_parser = words, default_value = "qemu-aarch64 -cpu max")]
    pub(super) runner: Words,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn bench(args: BenchArgs) -> Outcome {
    if args.count {
        return count::count(args);
    }
    let targets = TargetOptions { target: None, cpu: args.cpu, no_cpu_check: false }.or_native()?;
    let verbose = args.about.is_verbose();
    let (source, options) = args.about.open(&args.model, None)?;
    let options = Options {
        compress: args.prefer.compress,
        prefer: args.prefer.into(),
        profile: args.per_op,
        threads: args.threads as usize,
        ..options
    };
    let compiled = pipeline::compile(&source.model, &targets, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
    warn(&args.model, &compiled.left_out);
    if args.compare_litert {
        comparable(&compiled, &options)?;
    }
    let libraries = args.libraries.open()?;
    let (instance, load) = timed(|| Instance::with_libraries(&compiled, libraries));
    let mut instance = instance?;
    let at_least = Duration::from_millis(args.min_ms);
    let (arena_bytes, threads) = (compiled.object.arena_bytes, args.threads);
    let load_us = load.as_secs_f64() * 1e6;
    let several = 1 < compiled.entries.len();
    let (mut text, mut all, mut level) = (String::new(), vec![], "");
    for (i, entry) in compiled.entries.iter().enumerate() {
        instance.choose(i);
        let (inputs, first) = first_call(entry, &mut instance)?;
        let times = instance.with_calls(|call| measure(at_least, call))??;
        let target = compiled.target_here().ok_or_else(|| internal("the model ran at no level", compiled.level_names()))?;
        level = &target.level;
        let per_op = match args.per_op {
            true => {
                let (facts, targets) = (&entry.facts, compiled.targets());
                Some(instance.with(|bound| per_operator::measure(facts, &targets, target, bound, at_least))??)
            }
            false => None,
        };
        let (first_us, macs) = (first.as_secs_f64() * 1e6, entry.facts.macs());
        let mut facts = json!({
            "median_us": times.median_us,
            "min_us": times.min_us,
            "p90_us": times.p90_us,
            "runs": times.runs,
            "first_us": first_us,
            "macs": macs,
        });
        if let Some(operators) = &per_op {
            operators.add_to(&mut facts);
        }
        let (estimate, measured) = match args.energy {
            true => (Some(Estimate::of(&entry.facts, sizes(&compiled, i))), Some(measured(&mut instance, at_least)?)),
            false => (None, None),
        };
        if let (Some(estimate), Some(measured)) = (&estimate, &measured) {
            facts["energy"] = json!({ "estimated": estimate.json(), "measured": energy::measured_json(measured) });
        }
        let compared = match args.compare_litert {
            true => {
                let request = Request { model: &source.model, signature: &entry.signature, inputs: &inputs, threads, at_least, verbose };
                let outputs = first_outputs(entry, &mut Instance::with_libraries(&compiled, args.libraries.open()?)?, &inputs)?;
                let ours = |part| instance.with_calls(|call| measure(part, call))?.map(|times| times.median_us);
                Some(litert::compare(&request, &outputs, ours)?)
            }
            false => None,
        };
        if let Some(compared) = &compared {
            facts["litert"] = compared.json();
        }
        if several {
            facts["name"] = json!(entry.key);
            text += &format!("signature {}\n", quoted(&entry.key));
        }
        all.push(facts);
        text += &format!(
            "median {:.2} µs, least {:.2}, 90 % within {:.2}, of {} runs on {}; {:.2} G multiply-accumulates per second\n",
            times.median_us,
            times.min_us,
            times.p90_us,
            times.runs,
            level,
            macs as f64 / times.median_us / 1000.0
        );
        text += &format!("loaded in {load_us:.0} µs, first run {first_us:.1} µs\n");
        text += &estimate.map(|e| e.text()).unwrap_or_default();
        text += &measured.map(|m| energy::measured_text(&m)).unwrap_or_default();
        text += &compared.map(|c| c.text()).unwrap_or_default();
        text += &per_op.map(|o| o.text()).unwrap_or_default();
    }
    if args.json {
        let mut facts = if several { json!({ "signatures": all }) } else { all.swap_remove(0) };
        facts["load_us"] = json!(load_us);
        facts["arena_bytes"] = json!(arena_bytes);
        facts["level"] = json!(level);
        facts["threads"] = json!(threads);
        print_json(&facts);
    } else {
        print(&text);
    }
    Ok(())
}

/// Refuses what LiteRT would not run as it is compiled.
fn comparable(compiled: &Compiled, options: &Options) -> Outcome {
    let refused = |why: &str| Err(Failure::Usage(format!("--compare-litert runs the file's first subgraph as it is{why}")));
    match &compiled.entries[..] {
        [entry] if entry.subgraph == 0 && options.import.input_values.is_empty() => Ok(()),
        [entry] if entry.subgraph == 0 => refused(", so not with --input-value"),
        _ => refused("; leave out --signature and --all-signatures"),
    }
}

/// The outputs of the first call, each as long as it is.
fn first_outputs(entry: &Entry, instance: &mut Instance, inputs: &[Vec<u8>]) -> Result<Vec<Array>, Failure> {
    let arrays = entry.signature.inputs.iter().zip(inputs).map(|(t, data)| Array { data: data.clone(), ..Array::zeros(&t.ty) });
    let outputs = instance.run(&[arrays.collect()])?.swap_remove(0);
    Ok(entry.signature.own_outputs(&outputs))
}

/// The memory that a signature works in.
fn sizes(compiled: &Compiled, signature: usize) -> Sizes {
    let (object, entry) = (&compiled.object, &compiled.entries[signature]);
    let tensors = entry.signature.inputs.iter().chain(&entry.signature.outputs);
    let io: u64 = tensors.map(|t| t.ty.size_bytes() as u64).sum();
    Sizes { constants: object.const_bytes, working: object.entries[signature].arena_bytes + object.state_bytes + io }
}

/// What the processor counts for a call, or why that is not known.
fn measured(instance: &mut Instance, at_least: Duration) -> Result<Result<energy::Measured, String>, Failure> {
    match Meter::of_machine() {
        Ok(meter) => Ok(instance.with_calls(|call| meter.measure(at_least, call))??),
        Err(why) => Ok(Err(why)),
    }
}

/// Inputs full of numbers, of which the first that the signature takes are the ones.
pub(super) fn attempts(entry: &Entry) -> impl Iterator<Item = Vec<Vec<u8>>> {
    // What a loop counts to should not be anything.
    let has_loop = entry.levels.iter().any(|l| loops(&l.planned.program.schedule));
    let highest = [u64::MAX, 127, 31, 7, 1, 0].into_iter().skip(usize::from(has_loop));
    highest.map(|highest| entry.signature.inputs.iter().enumerate().map(|(i, t)| noise(t, i as u64, highest)).collect())
}

/// Why none of these did.
pub(super) fn out_of_range() -> Failure {
    let d = Diagnostic::new(Code::FEATURE, "the random inputs make indices that are out of range");
    d.help("time the model in a program of your own, with inputs that suit it").into()
}

/// Fills the inputs with numbers that the signature takes, and calls it for the first time.
fn first_call(entry: &Entry, instance: &mut Instance) -> Result<(Vec<Vec<u8>>, Duration), Failure> {
    for inputs in attempts(entry) {
        inputs.iter().enumerate().for_each(|(i, input)| instance.set_input(i, input));
        let (done, first) = instance.with_calls(|call| timed(call))?;
        match done {
            // An index in the data is out of range: smaller numbers may not be.
            Err(d) if d.code == Code::INPUT => {}
            done => return Ok(done.map(|()| (inputs, first))?),
        }
    }
    Err(out_of_range())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

/// Of one call.
struct Times {
    median_us: f64,
    min_us: f64,
    p90_us: f64,
    runs: u64,
}

/// A batch takes at least so long: a thousand times what reading the clock takes.
const BATCH: Duration = Duration::from_micros(40);
const MIN_SAMPLES: usize = 5;

fn measure<E>(at_least: Duration, mut call: impl FnMut() -> Result<(), E>) -> Result<Times, E> {
    let mut timed = |batch: u64| {
        let start = Instant::now();
        for _ in 0..batch {
            call()?;
        }
        Ok(start.elapsed())
    };
    let mut batch = 1;
    while timed(batch)? < BATCH {
        batch *= 2;
    }
    let (start, mut samples_us) = (Instant::now(), vec![]);
    while start.elapsed() < at_least || samples_us.len() < MIN_SAMPLES {
        samples_us.push(timed(batch)?.as_secs_f64() * 1e6 / batch as f64);
    }
    samples_us.sort_by(f64::total_cmp);
    let n = samples_us.len();
    Ok(Times { median_us: samples_us[n / 2], min_us: samples_us[0], p90_us: samples_us[n * 9 / 10], runs: n as u64 * batch })
}

/// Whether data decide how often a loop turns.
fn loops(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::While { .. }) || s.bodies().into_iter().any(loops))
}

/// Deterministic contents: floats from -1 to 1, any integers; those of 16 bits and more up to `highest`, if that is not all.
fn noise(tensor: &Tensor, seed: u64, highest: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32
    };
    let count = tensor.ty.element_count();
    match tensor.ty.element {
        ElementType::F32 => (0..count).flat_map(|_| (next() as i32 as f32 / 2147483648.0).to_le_bytes()).collect(),
        ElementType::Bool => (0..count).map(|_| (next() & 1) as u8).collect(),
        ElementType::I32 | ElementType::I64 | ElementType::I16 if highest != u64::MAX => {
            tensor.ty.element.integer_bytes((0..count).map(|_| (u64::from(next()) & highest) as i64))
        }
        _ => (0..tensor.ty.size_bytes()).map(|_| next() as u8).collect(),
    }
}
