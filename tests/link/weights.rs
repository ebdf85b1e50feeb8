//! `--weights` beside the plain interface: the same outputs, no constants in the object, and other files are refused. So it is with constants that are decoded once.

use super::{failed, on_every_machine};
use anyhow::{Result, anyhow, ensure};
use cranelite::compression::Compress;
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, machines, output};
use libtest_mimic::Trial;
use std::process::Command;

const LEVELS: &str = "x86-64,x86-64-v3,x86-64-v4+avx512vnni";

pub fn trials() -> Vec<Trial> {
    // The file is for little-endian machines.
    let mut trials =
        on_every_machine("weights", |m| !m.is_big_endian(), &["x86-64", "x86-64-v3", LEVELS], |m, cpu, model| same(m, cpu, model, false));
    for m in machines().filter(|m| !m.is_big_endian()) {
        let test = move || same(m, m.cpu, &models::packable(), true).map_err(failed);
        trials.push(Trial::test(format!("prepared/{}", m.name), test).with_ignored_flag(m.is_to_be_ignored()));
    }
    trials
}

/// `prepared`: constants are decoded once instead.
fn same(m: &Machine, cpu: &str, model: &[u8], prepared: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    for (prefix, weights) in [("model", false), ("outside", true)] {
        let compress = (weights && prepared).then_some(Compress::Fastest);
        let (self_test, weights) = (weights, weights && !prepared);
        let options = Options { prefix: prefix.into(), weights, compress, self_test, threads: 3, profile: true, ..Options::default() };
        let targets = Target::list(m.triple, Some(cpu))?;
        let compiled = pipeline::compile(model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        ensure!(compiled.object.weights.is_some() == weights);
        files.add(folder.join(format!("{prefix}.o")), m.object(&compiled)?);
        files.add(folder.join(format!("{prefix}.h")), compiled.header);
        if let Some(weights) = compiled.object.weights {
            ensure!(weights.len().is_multiple_of(64) && weights.ends_with(&[0; 64]), "the end cannot be read beyond");
            files.add(folder.join("weights.bin"), weights);
        }
    }
    files.add(folder.join("main.c"), include_str!("weights.c"));
    files.write()?;
    let symbols = output(Command::new(m.nm).arg(folder.join("outside.o")))?;
    ensure!(
        prepared || !symbols.lines().any(|l| l.split(".c").nth(1).is_some_and(|n| n.parse::<u32>().is_ok())),
        "constants in the object:\n{symbols}"
    );
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "main.c", "model.o", "outside.o", "-o", "main"]);
    link.args((cpu == LEVELS).then_some("-DOUTSIDE_LEVELS")).args(prepared.then_some("-DOUTSIDE_PREPARED"));
    output(&mut link)?;
    output(m.run(&folder.join("main")).current_dir(folder))?;
    Ok(())
}
