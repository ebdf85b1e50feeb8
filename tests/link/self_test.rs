//! `--self-test` on the device: right as compiled, at every level; with a corrupt weight it names the output that is wrong.

use super::failed;
use anyhow::{Context, Result, anyhow, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, X86, machines, output};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Command;

const X86_LEVELS: [&str; 4] = ["x86-64", "x86-64-v3", "x86-64-v4+avx512vnni", "x86-64,x86-64-v3,x86-64-v4+avx512vnni"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines() {
        let cpus = if m.name == "x86_64" { &X86_LEVELS[..] } else { &[m.cpu] };
        for &cpu in cpus {
            let is_ignored = m.is_to_be_ignored() || m.triple == X86 && !runs(m.triple, cpu);
            let trial = Trial::test(format!("self_test/{}/{cpu}", m.name), move || self_test(m, cpu).map_err(failed));
            trials.push(trial.with_ignored_flag(is_ignored));
        }
    }
    trials
}

pub fn runs(triple: &str, cpus: &str) -> bool {
    Target::list(triple, Some(cpus)).is_ok_and(|targets| targets.iter().any(Target::runs_here))
}

fn self_test(m: &Machine, cpu: &str) -> Result<()> {
    for case in models::all() {
        run(m, cpu, &case.model).context(case.name)?;
    }
    let named = run(m, cpu, &models::two_headed())?;
    // The weights of each output are 95 and 133 bytes, and a few bits matter to no vector.
    ensure!(85 < named[0] && 123 < named[1], "{named:?}");
    Ok(())
}

/// How often a corrupt byte was found by the first output, by the second, and not.
fn run(m: &Machine, cpu: &str, model: &[u8]) -> Result<Vec<u64>> {
    let folder = tempfile::tempdir()?;
    let folder: &Path = folder.path();
    // A section whose name is an identifier: linkers say where it begins and ends.
    let options = Options { prefix: "model".into(), self_test: true, const_section: Some("constants".into()), ..Options::default() };
    let targets = Target::list(m.triple, Some(cpu))?;
    let compiled = pipeline::compile(model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("model.o"), m.object_by(&compiled, "-O0")?);
    files.add(folder.join("model.h"), compiled.header.clone());
    files.add(folder.join("cranelite_arena.h"), include_str!("../../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("main.c"), include_str!("self_test.c"));
    files.write()?;
    let mut link = Command::new(m.compiler);
    output(link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "main.c", "model.o", "-o", "main"]))?;
    let printed = output(&mut m.run(&folder.join("main")))?;
    let named = printed.lines().find_map(|l| l.strip_prefix("named ")).with_context(|| printed.clone())?;
    Ok(named.split(' ').map(str::parse).collect::<Result<_, _>>()?)
}
