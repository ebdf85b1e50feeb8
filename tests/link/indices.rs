//! Indices in the data, on every machine: right ones pick, wrong ones end the call with status 3 and touch nothing but the caller's buffers.

use super::{failed, self_test};
use anyhow::{Context, Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, X86, machines, output};
use libtest_mimic::Trial;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines() {
        let cpus = if m.name == "x86_64" { &["x86-64", "x86-64-v3", "x86-64-v4+avx512vnni"][..] } else { std::slice::from_ref(&m.cpu) };
        for &cpu in cpus {
            let is_ignored = m.is_to_be_ignored() || m.triple == X86 && !self_test::runs(m.triple, cpu);
            let trial = Trial::test(format!("indices/{}/{cpu}", m.name), move || picks(m, cpu).map_err(failed));
            trials.push(trial.with_ignored_flag(is_ignored));
        }
    }
    trials
}

fn picks(m: &Machine, cpu: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let target = Target::new(m.triple, Some(cpu))?;
    // The integers of the self-test are as small as the rows of the table want them.
    let options = Options { prefix: "picked".into(), self_test: true, threads: 2, profile: true, ..Options::default() };
    let compiled = pipeline::compile(&models::picked(), &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("picked.o"), m.object(&compiled)?);
    files.add(folder.join("picked.h"), compiled.header);
    files.add(folder.join("main.c"), include_str!("indices.c"));
    files.write()?;
    let mut link = Command::new(m.compiler);
    output(link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "main.c", "picked.o", "-o", "main"]))?;
    output(&mut m.run(&folder.join("main"))).context("the program")?;
    Ok(())
}
