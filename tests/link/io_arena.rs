//! `--io arena` beside the plain interface: the same outputs, on every machine and at every level.

use super::failed;
use anyhow::{Context, Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, X86, output};
use libtest_mimic::Trial;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in &MACHINES {
        let cpus = if m.name == "x86_64" { &["x86-64", "x86-64-v3", "x86-64-v4+avx512vnni"][..] } else { &[m.cpu] };
        for &cpu in cpus {
            let runs = m.triple != X86 || Target::new(m.triple, Some(cpu)).is_ok_and(|t| t.runs_here());
            let trial = Trial::test(format!("io_arena/{}/{cpu}", m.name), move || io_arena(m, cpu).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored() || !runs));
        }
    }
    trials
}

fn io_arena(m: &Machine, cpu: &str) -> Result<()> {
    let own = models::all().into_iter().map(|case| (case.name, case.model));
    for (name, model) in own.chain([("two_headed", models::two_headed()), ("divisible", models::divisible())]) {
        same(m, cpu, &model).context(name)?;
    }
    Ok(())
}

fn same(m: &Machine, cpu: &str, model: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files, mut first) = (folder.path(), Files::default(), vec![]);
    for (prefix, io) in [("model", Io::Caller), ("placed", Io::Arena)] {
        let options = Options { prefix: prefix.into(), io, threads: 3, profile: true, ..Options::default() };
        let target = Target::new(m.triple, Some(cpu))?;
        let compiled = pipeline::compile(model, &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        files.add(folder.join(format!("{prefix}.o")), compiled.object.bytes);
        files.add(folder.join(format!("{prefix}.h")), compiled.header);
        let name = |id: &str| id.to_uppercase();
        let (input, output) = (name(&compiled.signature.inputs[0].identifier), name(&compiled.signature.outputs[0].identifier));
        first = vec![format!("-DFIRST_INPUT=PLACED_IN_{input}_OFFSET"), format!("-DFIRST_OUTPUT=PLACED_OUT_{output}_OFFSET")];
    }
    files.add(folder.join("main.c"), include_str!("io_arena.c"));
    files.write()?;
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args(first).args(["-std=c11", "-O1", "main.c", "model.o", "placed.o", "-o", "main"]);
    output(&mut link)?;
    println!("{}", output(&mut m.run(&folder.join("main")))?.trim());
    Ok(())
}
