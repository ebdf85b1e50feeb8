//! What a call does beside computing: how much stack it overwrites, and which floating-point exceptions it raises.

use super::{failed, on_every_machine};
use anyhow::{Context, Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, X86, machines, output};
use libtest_mimic::Trial;
use std::process::Command;
use std::slice;

const X86_CPUS: [&str; 6] = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4+prefer256", "x86-64-v4", "x86-64-v4+avx512vnni"];

pub fn trials() -> Vec<Trial> {
    let mut trials = on_every_machine("watched", |m| !m.is_big_endian(), &X86_CPUS, watched);
    for m in machines().filter(|m| !m.is_big_endian()) {
        for cpu in if m.name == "x86_64" { &X86_CPUS[..] } else { slice::from_ref(&m.cpu) } {
            let runs = m.triple != X86 || Target::list(m.triple, Some(cpu)).is_ok_and(|t| t.iter().all(Target::runs_here));
            let all =
                move || models::exceptional().iter().try_for_each(|(name, model)| watched(m, cpu, model).context(*name)).map_err(failed);
            trials.push(Trial::test(format!("exceptions/{}/{cpu}", m.name), all).with_ignored_flag(m.is_to_be_ignored() || !runs));
        }
    }
    trials
}

/// The program in watched.c.
fn watched(m: &Machine, cpu: &str, model: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Options { prefix: "m".into(), ..Options::default() };
    let targets = Target::list(m.triple, Some(cpu))?;
    let mut compiled = pipeline::compile(model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.path().join("m.o"), m.object_with_stack(&mut compiled, &options)?);
    files.add(folder.path().join("m.h"), compiled.header);
    files.add(folder.path().join("watched.c"), include_str!("watched.c"));
    files.write()?;
    let mut link = Command::new(m.compiler);
    output(link.current_dir(&folder).args(WARNINGS).args(["-std=c11", "-O1", "watched.c", "m.o", "-o", "watched", "-lm"]))?;
    output(&mut m.run(&folder.path().join("watched")))?;
    Ok(())
}
