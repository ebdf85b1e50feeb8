//! `--weights` beside the plain interface: the same outputs, no constants in the object, and other files are refused.

use super::on_every_machine;
use anyhow::{Result, anyhow, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::tools::{Machine, WARNINGS, output};
use libtest_mimic::Trial;
use std::process::Command;

const LEVELS: &str = "x86-64,x86-64-v3,x86-64-v4+avx512vnni";

pub fn trials() -> Vec<Trial> {
    // The file is for little-endian machines.
    on_every_machine("weights", |m| !m.is_big_endian(), &["x86-64", "x86-64-v3", LEVELS], same)
}

fn same(m: &Machine, cpu: &str, model: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    for (prefix, weights) in [("model", false), ("outside", true)] {
        let options = Options { prefix: prefix.into(), weights, self_test: weights, threads: 3, profile: true, ..Options::default() };
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
        !symbols.lines().any(|l| l.split(".c").nth(1).is_some_and(|n| n.parse::<u32>().is_ok())),
        "constants in the object:\n{symbols}"
    );
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "main.c", "model.o", "outside.o", "-o", "main"]);
    output(if cpu == LEVELS { link.arg("-DOUTSIDE_LEVELS") } else { &mut link })?;
    output(m.run(&folder.join("main")).current_dir(folder))?;
    Ok(())
}
