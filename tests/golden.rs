//! TensorFlow Lite's answers against ours: every case of the suites beside the repository that we compile; those that we refuse are listed
//! in `refused.txt`.
//!
//! Every case runs on this machine for speed, the smaller ones also for size and at the baseline, and a sample of them, always the same
//! one, at the feature levels between that change code; `CRANELITE_ALL=1` runs all at all levels, `CRANELITE_FEW=1` a sixteenth for builds that are
//! slow. 64-bit Arm is emulated: the smaller ones without and with dot products, a sixteenth at other features and in the orders of its cores. `CRANELITE_BLESS=1` writes the list of refusals anew, and `fallbacks.txt`: what may have shorter vectors than the level's, which every
//! compilation is held to. Cases are compiled and run in this process, from the object that
//! `compile` would write. Without the suites there is nothing to do, and a line says so.

use anyhow::{Result, anyhow, bail, ensure};
use cranelite::array::Array;
use cranelite::fallbacks::{self, Fallback};
use cranelite::fit::{self, Fitted};
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Compiled, Options, Visible};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import;
use cranelite_graph::lower::Goal;
use cranelite_tests::batch::Batch;
use cranelite_tests::models;
use cranelite_tests::suite::{self, Case, Refusals, Suite};
use cranelite_tests::tools::{MACHINES, Machine};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

const SUITES: [&str; 4] = ["conformance", "field", "zoo", "zoo2"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let targets: Vec<Arc<Target>> = targets().into_iter().map(Arc::new).collect();
    let mut trials: Vec<Trial> = targets.iter().flat_map(|t| own_models(t.clone())).collect();
    trials.push(Trial::test("own/every_tensor", || every_tensor().map_err(failed)));
    match suite::shared() {
        None => eprintln!("no golden suites at ../shared or in CRANELITE_SHARED: only the models made here are run"),
        Some(shared) => match suites(&shared) {
            Ok((suites, refusals)) => trials.extend(suites.iter().flat_map(|s| of_suite(s, &refusals, &targets))),
            Err(e) => trials.push(Trial::test("suites", move || Err(failed(e)))),
        },
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn suites(shared: &Path) -> Result<(Vec<Arc<Suite>>, Arc<Refusals>)> {
    let suites = SUITES.iter().map(|s| Suite::open(shared.join(s)).map(Arc::new)).collect::<Result<Vec<_>>>()?;
    let list = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("refused.txt");
    if is_set("CRANELITE_BLESS") {
        std::fs::write(&list, format!("# {LIST}\n{}", refused(&suites)?.text()))?;
        std::fs::write(fallback_list(), format!("# {FALLBACK_LIST}\n{}", all_fallbacks(&suites)?))?;
    }
    Ok((suites, Arc::new(Refusals::parse(&std::fs::read_to_string(list)?)?)))
}

const LIST: &str =
    "Cases of the golden suites that are refused, with the code of the first problem: CRANELITE_BLESS=1 and tests/golden.rs write this.";

/// What is refused now, whatever the list says.
fn refused(suites: &[Arc<Suite>]) -> Result<Refusals> {
    let target = Target::native()?;
    let mut refusals = Refusals::default();
    for suite in suites {
        for case in &suite.cases {
            let (model, steps) = (suite.model(case)?, suite.inputs(case)?);
            if let Err(problems) = compile_for(&model, &steps, &target, "model", 1, Goal::Speed) {
                refusals.0.insert((suite.name(), case.name.clone()), problems[0].code.0.to_string());
            }
        }
    }
    Ok(refusals)
}

fn fallback_list() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fallbacks.txt")
}

const FALLBACK_LIST: &str = "Operators with kernels whose vectors may be of 128 bits where a level has longer ones, and why: CRANELITE_BLESS=1 and tests/golden.rs write this.";

/// What is split at any level now, as lines of the list.
fn all_fallbacks(suites: &[Arc<Suite>]) -> Result<String> {
    let mut all = BTreeSet::new();
    let targets = ["x86-64-v3", "x86-64-v4"].map(|l| Target::new("x86_64-unknown-linux-gnu", Some(l)));
    for target in targets.into_iter().collect::<Result<Vec<_>, _>>()? {
        for goal in [Goal::Speed, Goal::Size] {
            for suite in suites {
                for case in &suite.cases {
                    let runs = compile_for(&suite.model(case)?, &suite.inputs(case)?, &target, "model", 1, goal).unwrap_or_default();
                    all.extend(runs.iter().flat_map(|(compiled, _)| fallbacks_of(compiled)).map(|f| in_list(&f)));
                }
            }
        }
    }
    Ok(all.into_iter().map(|line| line + "\n").collect())
}

fn fallbacks_of(compiled: &Compiled) -> Vec<Fallback> {
    let levels = compiled.main().levels.iter().zip(&compiled.object.entries[0].levels);
    levels.flat_map(|(l, facts)| fallbacks::of(facts, &l.planned.program, &compiled.main().facts)).collect()
}

fn in_list(fallback: &Fallback) -> String {
    format!("{}: {}", fallback.operators.join(", "), fallback.reason)
}

/// Fails where the code of a kernel is split that the list does not have.
fn has_long_vectors(compiled: &Compiled) -> Result<()> {
    static LIST: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| std::fs::read_to_string(fallback_list()).unwrap_or_default().lines().map(String::from).collect());
    let new: Vec<String> = fallbacks_of(compiled).iter().map(in_list).filter(|line| !LIST.contains(line)).collect();
    ensure!(new.is_empty(), "vectors are split that were not: {}; CRANELITE_BLESS=1 accepts it", new.join("; "));
    Ok(())
}

fn of_suite(suite: &Arc<Suite>, refusals: &Arc<Refusals>, targets: &[Arc<Target>]) -> Vec<Trial> {
    let compiled = |case: &Case| refusals.code(&suite.name(), &case.name).is_none();
    let mut trials = vec![];
    for (index, case) in suite.cases.iter().enumerate() {
        let (suite, refusals) = (suite.clone(), refusals.clone());
        if !compiled(case) && is_among(&case.name, if is_set("CRANELITE_FEW") { FEW } else { 1 }) {
            let name = format!("{}/refused/{}", suite.name(), case.name);
            trials.push(Trial::test(name, move || stays_refused(&suite, &suite.cases[index], &refusals).map_err(failed)));
            continue;
        }
        for (place, target) in targets.iter().enumerate() {
            let is_end = place == 0 || place + 1 == targets.len();
            for goal in [Goal::Speed, Goal::Size] {
                if compiled(case) && is_due(case, target, goal, place + 1 == targets.len(), is_end) {
                    trials.push(golden(suite.clone(), index, target.clone(), goal));
                }
            }
        }
    }
    if is_set("CRANELITE_FEW") {
        return trials;
    }
    let chosen = |is_chosen: &dyn Fn(&Case) -> bool| {
        (0..suite.cases.len()).filter(|&i| compiled(&suite.cases[i]) && is_chosen(&suite.cases[i])).collect()
    };
    if suite.name().starts_with("zoo") {
        let some: Vec<usize> = chosen(&|c| is_set("CRANELITE_ALL") || c.macs <= LARGE_MACS);
        trials.extend(some.into_iter().map(|i| in_threads(suite.clone(), i)));
    }
    let small: Vec<usize> = chosen(&|c| c.macs <= EMULATED_MACS_MAX);
    let large: Vec<usize> = chosen(&|c| is_set("CRANELITE_ALL") && EMULATED_MACS_MAX < c.macs);
    for goal in [Goal::Speed, Goal::Size] {
        for machine in MACHINES.into_iter().filter(|m| !m.runner.is_empty()) {
            trials.push(emulated(suite.clone(), "", small.clone(), machine, goal));
            trials.extend(large.iter().map(|&i| emulated(suite.clone(), &suite.cases[i].name, vec![i], machine, goal)));
        }
    }
    // Levels whose features few cases meet, and orders of instructions for cores.
    for cpu in ["generic+fp16", "generic+i8mm", "cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76", "neoverse-v1"] {
        let machine = Machine { name: cpu, cpu, ..*MACHINES.last().expect("64-bit Arm") };
        let is_due = |i: &usize| is_set("CRANELITE_ALL") || is_among(&format!("{}{cpu}", suite.cases[*i].name), FEW);
        let some: Vec<usize> = small.iter().copied().filter(is_due).collect();
        if !some.is_empty() {
            trials.push(emulated(suite.clone(), "", some, machine, Goal::Speed));
        }
        trials.extend(large.iter().map(|&i| emulated(suite.clone(), &suite.cases[i].name, vec![i], machine, Goal::Speed)));
    }
    trials
}

/// Models of more multiply-accumulates run on this machine alone, for speed.
const LARGE_MACS: u64 = 50_000_000;
/// One case out of so many runs at a level between the lowest and the highest.
const SAMPLE: u64 = 2;
/// One case out of so many runs when few are asked for.
const FEW: u64 = 16;

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

fn is_due(case: &Case, target: &Target, goal: Goal, is_best: bool, is_end: bool) -> bool {
    if is_set("CRANELITE_ALL") {
        return true;
    }
    if LARGE_MACS < case.macs {
        return is_best && goal == Goal::Speed && !is_set("CRANELITE_FEW");
    }
    let one_of = if is_set("CRANELITE_FEW") { FEW } else { SAMPLE };
    is_end && !is_set("CRANELITE_FEW") || goal == Goal::Speed && is_among(&format!("{}{}", case.name, target.level), one_of)
}

/// One name in so many, always the same ones.
fn is_among(name: &str, one_of: u64) -> bool {
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    (hash ^ hash >> 32).is_multiple_of(one_of)
}

/// Levels of this machine that change code, each once.
fn targets() -> Vec<Target> {
    let native = Target::native().expect("this machine is a target");
    let triple = native.triple.to_string();
    let levels: &[&str] = match () {
        () if cfg!(target_arch = "x86_64") => {
            &["x86-64", "x86-64-v3+prefer128", "native+prefer128", "x86-64-v3", "x86-64-v3+avxvnni", "x86-64-v4", "native"]
        }
        () => &["generic", "native"],
    };
    let mut out: Vec<Target> = vec![];
    for level in levels {
        let target = Target::new(&triple, Some(level)).expect("a level of this architecture");
        if target.runs_here() && out.iter().all(|t| t.level != target.level) {
            out.push(target);
        }
    }
    out
}

/// What names of trials end in.
fn suffix(goal: Goal) -> &'static str {
    if goal == Goal::Size { "/size" } else { "" }
}

fn golden(suite: Arc<Suite>, index: usize, target: Arc<Target>, goal: Goal) -> Trial {
    let name = format!("{}/{}{}/{}", suite.name(), target.level, suffix(goal), suite.cases[index].name);
    Trial::test(name, move || {
        let case = &suite.cases[index];
        let judged = || suite.judge(case, &run(&suite.model(case)?, &suite.inputs(case)?, &target, goal)?);
        judged().map_err(failed)
    })
}

fn stays_refused(suite: &Suite, case: &Case, refusals: &Refusals) -> Result<()> {
    ensure!(!case.must_run, "it has to run, but is in the list of what is refused");
    match compile_for(&suite.model(case)?, &suite.inputs(case)?, &Target::native()?, "model", 1, Goal::Speed) {
        Ok(_) => bail!("it compiles now: CRANELITE_BLESS=1 takes it off the list of what is refused"),
        Err(problems) if Some(problems[0].code.0) == refusals.code(&suite.name(), &case.name) => Ok(()),
        Err(problems) => Err(text(problems).context("refused for another reason; CRANELITE_BLESS=1 accepts it")),
    }
}

/// Whole models divided for several threads: the bits are those of one thread.
fn in_threads(suite: Arc<Suite>, index: usize) -> Trial {
    Trial::test(format!("threads/{}", suite.cases[index].name), move || {
        let test = || {
            let (case, target) = (&suite.cases[index], Target::native()?);
            let (model, steps) = (suite.model(case)?, suite.inputs(case)?);
            let run =
                |threads| -> Result<_> { outputs(&compile_for(&model, &steps, &target, "model", threads, Goal::Speed).map_err(text)?) };
            let alone = run(1)?;
            for threads in 2..=4 {
                ensure!(run(threads)? == alone, "{threads} threads compute something else");
            }
            Ok(())
        };
        test().map_err(failed)
    })
}

/// Larger models take long in an emulator: each is a trial of its own, where all are asked for.
const EMULATED_MACS_MAX: u64 = 8_000_000;

/// Cases of a suite, or the one that is named, in one program for another machine.
fn emulated(suite: Arc<Suite>, case: &str, indices: Vec<usize>, machine: Machine, goal: Goal) -> Trial {
    let name = [format!("{}/{}{}", suite.name(), machine.name, suffix(goal)), case.into()].join("/");
    let name = name.trim_end_matches('/').to_string();
    let is_ignored = machine.is_to_be_ignored();
    let test = move || {
        let target = Target::new(machine.triple, Some(machine.cpu))?;
        let cases: Vec<&Case> = indices.iter().map(|&i| &suite.cases[i]).collect();
        let (mut batch, mut counts) = (Batch::default(), vec![]);
        for case in &cases {
            let (name, steps) = (format!("m{}", batch.len()), suite.inputs(case)?);
            let runs = compile_for(&suite.model(case)?, &steps, &target, &name, 1, goal).map_err(text)?;
            counts.push(runs.len());
            runs.into_iter().for_each(|(compiled, steps)| batch.add(compiled, steps));
        }
        let mut all = batch.run(&machine)?.into_iter();
        let outputs: Vec<Vec<Vec<Array>>> = counts.into_iter().map(|n| all.by_ref().take(n).flatten().collect()).collect();
        let wrong: Vec<_> =
            cases.iter().zip(&outputs).filter_map(|(c, o)| suite.judge(c, o).err().map(|e| format!("{}: {e:#}", c.name))).collect();
        ensure!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        Ok(())
    };
    Trial::test(name, move || test().map_err(failed)).with_ignored_flag(is_ignored)
}

fn failed(e: anyhow::Error) -> Failed {
    format!("{e:#}").into()
}

fn own_models(target: Arc<Target>) -> Vec<Trial> {
    let one = |case: models::Case| {
        let target = target.clone();
        Trial::test(format!("own/{}/{}", target.level, case.name), move || {
            let judged = || case.judge(&run(&case.model, &case.inputs(), &target, Goal::Speed)?);
            judged().map_err(failed)
        })
    };
    models::all().into_iter().map(one).collect()
}

/// What `run --dump-tensors` does: results of operators become outputs, and the model's own outputs stay as they are.
fn every_tensor() -> Result<()> {
    let target = Target::native()?;
    for case in models::all() {
        let options = Options { prefix: "model".into(), visible: Visible::Tensors, ..Options::default() };
        let compiled =
            pipeline::compile(&case.model, std::slice::from_ref(&target), &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        let outputs = Instance::new(&compiled)?.run(&case.inputs())?;
        let (own, exposed) = (compiled.main().signature.own_output_count, &compiled.main().signature.exposed);
        ensure!(own == 1 && 1 < outputs[0].len(), "{}: {} outputs", case.name, outputs[0].len());
        let last = exposed.last().map(|e| e.output);
        ensure!(last == Some(0), "{}: the last operator gives output {last:?}", case.name);
        ensure!((0..outputs[0].len()).all(|i| exposed.iter().any(|e| e.output == i)), "{}: an output has no name", case.name);
        case.judge(&outputs.iter().map(|o| compiled.main().signature.own_outputs(o)).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Outputs of all steps, in one instance.
fn run(model: &[u8], steps: &[Vec<Array>], target: &Target, goal: Goal) -> Result<Vec<Vec<Array>>> {
    let runs = compile_for(model, steps, target, "model", 1, goal).map_err(text)?;
    runs.iter().try_for_each(|(compiled, _)| has_long_vectors(compiled))?;
    outputs(&runs)
}

fn outputs(runs: &[Runnable]) -> Result<Vec<Vec<Array>>> {
    let mut all = vec![];
    for (compiled, steps) in runs {
        all.extend(Instance::new(compiled)?.run(steps)?.iter().map(|o| compiled.main().signature.own_outputs(o)));
    }
    Ok(all)
}

fn text(problems: Vec<Diagnostic>) -> anyhow::Error {
    anyhow!("{}", problems.iter().map(|d| format!("{}: {d}", d.place)).collect::<Vec<_>>().join("; "))
}

/// A compiled model, and the arrays that it takes in each step.
type Runnable = (Compiled, Vec<Vec<Array>>);

/// A model for some steps, and what they give it; each step by itself where their numbers decide about shapes.
fn compile_for(
    model: &[u8],
    steps: &[Vec<Array>],
    target: &Target,
    prefix: &str,
    threads: usize,
    goal: Goal,
) -> Result<Vec<Runnable>, Vec<Diagnostic>> {
    let one = |prefix: String, steps: &[Vec<Array>]| -> Result<Runnable, Vec<Diagnostic>> {
        let Fitted { import, steps, .. } = fit::fit(model, import::Options::default(), steps.to_vec())?;
        let options = Options { prefix, import, threads, prefer: goal.into(), ..Options::default() };
        Ok((pipeline::compile(model, std::slice::from_ref(target), &options, &mut Stages::none())?, steps))
    };
    match one(prefix.into(), steps) {
        Err(problems) if problems[0].code == Code::INPUT && 1 < steps.len() => {
            steps.chunks(1).enumerate().map(|(k, step)| one(format!("{prefix}_{k}"), step)).collect()
        }
        all => Ok(vec![all?]),
    }
}
