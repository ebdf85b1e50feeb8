//! `--float-io` beside the plain interface: the same outputs, on every machine.

use super::failed;
use anyhow::{Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, machines, output};
use libtest_mimic::Trial;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let trial = |m: &'static Machine| Trial::test(format!("float_io/{}", m.name), || float_io(m).map_err(failed));
    machines().map(|m| trial(m).with_ignored_flag(m.is_to_be_ignored())).collect()
}

fn float_io(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    for (prefix, float_io) in [("model", false), ("real", true)] {
        let options = Options { prefix: prefix.into(), float_io, ..Options::default() };
        let target = Target::new(m.triple, Some(m.cpu))?;
        let compiled = pipeline::compile(&models::two_headed(), &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        files.add(folder.join(format!("{prefix}.o")), m.object(&compiled)?);
        files.add(folder.join(format!("{prefix}.h")), compiled.header);
    }
    files.add(folder.join("cranelite_arena.h"), include_str!("../../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("main.c"), include_str!("float_io.c"));
    files.write()?;
    let mut link = Command::new(m.compiler);
    output(link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "main.c", "model.o", "real.o", "-o", "main", "-lm"]))?;
    output(&mut m.run(&folder.join("main")))?;
    Ok(())
}
