//! TensorFlow Lite's answers against ours: every supported case of the suites beside the repository, at every feature level of this
//! machine that changes code.
//!
//! Cases are compiled and run in this process, from the object that `compile` would write. Without the suites there is nothing to do,
//! and a line says so.

use anyhow::{Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::fit;
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::lower::Goal;
use cranelite_tests::batch::Batch;
use cranelite_tests::models;
use cranelite_tests::suite::{self, Case, Suite};
use cranelite_tests::tools::{MACHINES, Machine};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let targets: Vec<Arc<Target>> = targets().into_iter().map(Arc::new).collect();
    let mut trials: Vec<Trial> = targets.iter().flat_map(|t| own_models(t.clone())).collect();
    trials.push(Trial::test("own/every_tensor", || every_tensor().map_err(failed)));
    match suite::shared() {
        None => eprintln!("no golden suites at ../shared or in CRANELITE_SHARED: only the models made here are run"),
        Some(shared) => {
            for suite in ["conformance", "zoo"] {
                let suite = Arc::new(Suite::open(shared.join(suite)).expect("a readable suite"));
                trials.extend(targets.iter().flat_map(|t| golden(suite.clone(), t.clone(), Goal::Speed)));
                trials.extend(
                    [targets.first(), targets.last()].into_iter().flatten().flat_map(|t| golden(suite.clone(), t.clone(), Goal::Size)),
                );
                if suite.name() == "zoo" {
                    trials.extend(in_threads(suite.clone()));
                }
                for goal in [Goal::Speed, Goal::Size] {
                    trials.extend(MACHINES.iter().filter(|m| !m.runner.is_empty()).map(|m| emulated(suite.clone(), m, goal)));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
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

fn golden(suite: Arc<Suite>, target: Arc<Target>, goal: Goal) -> Vec<Trial> {
    let one = |index: usize| {
        let (suite, target) = (suite.clone(), target.clone());
        let case = suite.cases[index].name.clone();
        let ignored = is_reference_at_fault(&case);
        Trial::test(format!("{}/{}{}/{case}", suite.name(), target.level, suffix(goal)), move || {
            let case = &suite.cases[index];
            let judged = || suite.judge(case, &run(&suite.model(case)?, &suite.inputs(case)?, &target, goal)?);
            judged().map_err(failed)
        })
        .with_ignored_flag(ignored)
    };
    (0..suite.cases.len()).map(one).collect()
}

/// Whole models divided for several threads: the bits are those of one thread.
fn in_threads(suite: Arc<Suite>) -> Vec<Trial> {
    let one = |index: usize| {
        let suite = suite.clone();
        Trial::test(format!("threads/{}", suite.cases[index].name), move || {
            let test = || {
                let (case, target) = (&suite.cases[index], Target::native()?);
                let (model, steps) = (suite.model(case)?, suite.inputs(case)?);
                let run = |threads| {
                    Instance::new(&compile_for(&model, &steps, &target, "model", threads, Goal::Speed)?)?
                        .run(&steps)
                        .map_err(|e| anyhow!("{e}"))
                };
                let alone = run(1)?;
                for threads in 2..=4 {
                    ensure!(run(threads)? == alone, "{threads} threads compute something else");
                }
                Ok(())
            };
            test().map_err(failed)
        })
    };
    (0..suite.cases.len()).map(one).collect()
}

/// Cases whose recorded answers come from memory that does not belong to the model, and so cannot be had: CONV_2D of int16 with an int32
/// bias, which the reference reads as int64, beyond its end.
const REFERENCE_AT_FAULT: [&str; 3] = ["conv_2d_int16x8_061", "conv_2d_int16x8_065", "conv_2d_int16x8_068"];

fn is_reference_at_fault(case: &str) -> bool {
    REFERENCE_AT_FAULT.contains(&case)
}

/// Larger models take too long in an emulator.
const EMULATED_MACS_MAX: u64 = 8_000_000;

/// All smaller cases of a suite in one program for another machine.
fn emulated(suite: Arc<Suite>, machine: &'static Machine, goal: Goal) -> Trial {
    let name = format!("{}/{}{}", suite.name(), machine.name, suffix(goal));
    let test = move || {
        let target = Target::new(machine.triple, Some(machine.cpu))?;
        let cases: Vec<&Case> = suite.cases.iter().filter(|c| c.macs <= EMULATED_MACS_MAX && !is_reference_at_fault(&c.name)).collect();
        let mut batch = Batch::default();
        for case in &cases {
            let name = format!("m{}", batch.len());
            batch.add(compile_for(&suite.model(case)?, &suite.inputs(case)?, &target, &name, 1, goal)?, suite.inputs(case)?);
        }
        let outputs = batch.run(machine)?;
        let wrong: Vec<_> =
            cases.iter().zip(&outputs).filter_map(|(c, o)| suite.judge(c, o).err().map(|e| format!("{}: {e:#}", c.name))).collect();
        ensure!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        Ok(())
    };
    Trial::test(name, move || test().map_err(failed)).with_ignored_flag(machine.is_to_be_ignored())
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
        let options = Options { prefix: "model".into(), every_tensor: true, ..Options::default() };
        let compiled =
            pipeline::compile(&case.model, std::slice::from_ref(&target), &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        let outputs = Instance::new(&compiled)?.run(&case.inputs())?;
        let (own, exposed) = (compiled.signature.own_output_count, &compiled.signature.exposed);
        ensure!(own == 1 && 1 < outputs[0].len(), "{}: {} outputs", case.name, outputs[0].len());
        let last = exposed.last().map(|e| e.output);
        ensure!(last == Some(0), "{}: the last operator gives output {last:?}", case.name);
        ensure!((0..outputs[0].len()).all(|i| exposed.iter().any(|e| e.output == i)), "{}: an output has no name", case.name);
        case.judge(&outputs.into_iter().map(|o| o.into_iter().take(own).collect()).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Outputs of all steps, in one instance.
fn run(model: &[u8], steps: &[Vec<Array>], target: &Target, goal: Goal) -> Result<Vec<Vec<Array>>> {
    Ok(Instance::new(&compile_for(model, steps, target, "model", 1, goal)?)?.run(steps)?)
}

fn compile_for(model: &[u8], steps: &[Vec<Array>], target: &Target, prefix: &str, threads: usize, goal: Goal) -> Result<Compiled> {
    let problems = |list: Vec<Diagnostic>| anyhow!("{}", list.iter().map(|d| format!("{}: {d}", d.place)).collect::<Vec<_>>().join("; "));
    let input_shapes = fit::input_shapes(model, steps).map_err(problems)?;
    let options = Options { prefix: prefix.into(), input_shapes, threads, goal, ..Options::default() };
    pipeline::compile(model, std::slice::from_ref(target), &options, &mut Stages::none()).map_err(problems)
}
