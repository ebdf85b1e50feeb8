//! `--io arena` beside the plain interface: the same outputs, on every machine and at every level.

use super::on_every_machine;
use anyhow::{Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::tools::{Machine, WARNINGS, output};
use libtest_mimic::Trial;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    on_every_machine("io_arena", |_| true, &["x86-64", "x86-64-v3", "x86-64-v4+avx512vnni"], same)
}

fn same(m: &Machine, cpu: &str, model: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files, mut first) = (folder.path(), Files::default(), vec![]);
    for (prefix, io) in [("model", Io::Caller), ("placed", Io::Arena)] {
        let options = Options { prefix: prefix.into(), io, threads: 3, profile: true, ..Options::default() };
        let target = Target::new(m.triple, Some(cpu))?;
        let compiled = pipeline::compile(model, &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        files.add(folder.join(format!("{prefix}.o")), m.object(&compiled)?);
        files.add(folder.join(format!("{prefix}.h")), compiled.header.as_str());
        let name = |id: &str| id.to_uppercase();
        let (input, output) =
            (name(&compiled.main().signature.inputs[0].identifier), name(&compiled.main().signature.outputs[0].identifier));
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
