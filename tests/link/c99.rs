//! Models as files in C, compiled by several compilers: TensorFlow Lite's answers, and what is not there yet.

use super::failed;
use anyhow::{Context, Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::fit;
use cranelite::foreign::{self, Tools};
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Code;
use cranelite_graph::import;
use cranelite_tests::models::{self, Case};
use cranelite_tests::suite::{self, Suite};
use cranelite_tests::tools::{exists, is_required, output};
use libtest_mimic::Trial;
use std::fs;
use std::process::Command;

/// Whatever a compiler can say is an error.
const STRICT: [&str; 7] = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror"];
/// What C leaves undefined ends the program, and so does an access beyond an array.
const CHECKED: [&str; 2] = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

/// Of each suite one of so many cases, by the hash of its name; CRANELITE_ALL=1 takes all.
const SUITES: [(&str, u64); 3] = [("conformance", 60), ("zoo", 15), ("zoo2", 15)];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for compiler in ["gcc", "clang"] {
        let ignored = !exists(compiler) && !is_required();
        let own = move || own(compiler).map_err(failed);
        trials.push(Trial::test(format!("c99/own/{compiler}"), own).with_ignored_flag(ignored));
        for (folder, one_of) in SUITES {
            let suites = move || suites(folder, one_of, compiler).map_err(failed);
            trials.push(Trial::test(format!("c99/{folder}/{compiler}"), suites).with_ignored_flag(ignored || suite::shared().is_none()));
        }
    }
    trials.push(Trial::test("c99/refused", || refused().map_err(failed)));
    trials
}

fn compile(model: &[u8], import: import::Options, io: Io) -> Result<Compiled> {
    let options = Options { prefix: "model".into(), import, io, ..Options::default() };
    let target = Target::new("c99", None)?;
    pipeline::compile(model, &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// What a program with the file in C computes; each step by itself where their numbers decide about shapes.
fn run(model: &[u8], steps: Vec<Vec<Array>>, compiler: &str, options: &[&str]) -> Result<Vec<Vec<Array>>> {
    let fit::Fitted { import, steps, .. } = match fit::fit(model, import::Options::default(), steps.clone()) {
        Err(problems) if problems[0].code == Code::INPUT && 1 < steps.len() => {
            let mut all = vec![];
            for step in steps {
                all.extend(run(model, vec![step], compiler, options)?);
            }
            return Ok(all);
        }
        fitted => fitted.map_err(|e| anyhow!("{e:?}"))?,
    };
    let compiled = compile(model, import, Io::Caller)?;
    let linker = [compiler].iter().chain(options).map(ToString::to_string).collect();
    // The program around it gives no memory back.
    let runner = ["env", "ASAN_OPTIONS=detect_leaks=0"].map(String::from).to_vec();
    let outputs = foreign::run(&compiled, &Tools { linker, runner }, &steps).map_err(|e| anyhow!("{e}"))?;
    Ok(outputs.iter().map(|step| compiled.main().signature.own_outputs(step)).collect())
}

fn own(compiler: &str) -> Result<()> {
    for case in models::all() {
        for io in [Io::Caller, Io::Arena] {
            strict(&case, io, compiler).context(case.name)?;
        }
        let outputs = run(&case.model, case.inputs(), compiler, &CHECKED).with_context(|| case.name)?;
        case.judge(&outputs).with_context(|| case.name)?;
    }
    Ok(())
}

/// Nothing is said of the file by a compiler, it needs no library, and has no more names than objects have.
fn strict(case: &Case, io: Io, compiler: &str) -> Result<()> {
    let compiled = compile(&case.model, import::Options::default(), io)?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("model.c"), &compiled.object.bytes)?;
    fs::write(folder.path().join("model.h"), &compiled.header)?;
    output(Command::new(compiler).args(STRICT).args(["-O2", "-c", "model.c", "-o", "model.o"]).current_dir(&folder))?;
    let names = output(Command::new("nm").args(["-g", "--format=just-symbols", "model.o"]).current_dir(&folder))?;
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    ensure!(names == ["model_invoke", "model_model"], "{names:?}");
    Ok(())
}

fn suites(folder: &str, one_of: u64, compiler: &str) -> Result<()> {
    let suite = Suite::open(suite::shared().context("the suites")?.join(folder))?;
    let is_all = std::env::var_os("CRANELITE_ALL").is_some();
    let hash = |name: &str| name.bytes().fold(0xcbf29ce484222325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3)) >> 20;
    let (mut run_count, mut left_out) = (0, 0);
    for case in suite.cases.iter().filter(|c| is_all || hash(&c.name) % one_of == 0) {
        let model = suite.model(case)?;
        // Tables of millions of words take compilers minutes.
        if 1 << 20 < model.len() && !is_all {
            left_out += 1;
            continue;
        }
        let outputs = run(&model, suite.inputs(case)?, compiler, &CHECKED).with_context(|| case.name.clone())?;
        suite.judge(case, &outputs).with_context(|| case.name.clone())?;
        run_count += 1;
    }
    ensure!(0 < run_count, "{folder}: no case, and {left_out} are too large");
    Ok(())
}

/// One sentence each, and no file that lacks what was asked for.
fn refused() -> Result<()> {
    let model = &models::all()[0].model;
    let target = Target::new("c99", None)?;
    for (options, word) in [(Options { unwind: true, ..Options::default() }, "--unwind")] {
        let options = Options { prefix: "model".into(), ..options };
        let Err(problems) = pipeline::compile(model, std::slice::from_ref(&target), &options, &mut Stages::none()) else {
            return Err(anyhow!("{word} is accepted"));
        };
        ensure!(
            problems[0].message.starts_with(word) && problems[0].message.contains("cannot be had in C yet"),
            "{word}: {}",
            problems[0].message
        );
    }
    ensure!(Target::new("c99", Some("cortex-m4")).is_err());
    Ok(())
}
