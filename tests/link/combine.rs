//! Options together: places in the arena, weights outside, several levels, a state, threads with profile, and the self-test, every two of them in some
//! object; equal outputs in all.

use super::{failed, state};
use anyhow::{Context, Result, anyhow};
use cranelite::files::Files;
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, X86, output};
use libtest_mimic::Trial;
use std::process::Command;

#[derive(Clone, Copy)]
struct Combination {
    io_in_arena: bool,
    weights: bool,
    levels: bool,
}

impl Combination {
    // The other two depend on these three, so that any two options come with and without each other.
    fn threads(self) -> bool {
        self.io_in_arena ^ self.weights
    }
    fn self_test(self) -> bool {
        self.threads() ^ self.levels
    }

    /// With the words that the program is compiled with.
    fn parts(self) -> impl Iterator<Item = (&'static str, bool)> {
        let all = [
            ("IO_ARENA", self.io_in_arena),
            ("WEIGHTS", self.weights),
            ("LEVELS", self.levels),
            ("THREADS", self.threads()),
            ("SELF_TEST", self.self_test()),
        ];
        all.into_iter()
    }

    fn options(self, prefix: &str) -> Options {
        Options {
            prefix: prefix.into(),
            io: if self.io_in_arena { Io::Arena } else { Io::Caller },
            weights: self.weights,
            threads: if self.threads() { 3 } else { 1 },
            profile: self.threads(),
            self_test: self.self_test(),
            ..Options::default()
        }
    }

    fn cpus(self, m: &Machine) -> &'static str {
        match (m.triple == X86, self.levels) {
            (true, true) => "x86-64-v3,x86-64,x86-64-v4+avx512vnni",
            (true, false) => "x86-64",
            (false, true) => "generic+dotprod,generic",
            (false, false) => "generic",
        }
    }
}

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in MACHINES.iter().filter(|m| ["x86_64", "aarch64"].contains(&m.name)) {
        for bits in 0..8 {
            let [io_in_arena, weights, levels] = [1, 2, 4].map(|bit| bits & bit != 0);
            let c = Combination { io_in_arena, weights, levels };
            let words: Vec<&str> = c.parts().filter(|p| p.1).map(|p| p.0).collect();
            let trial = Trial::test(format!("combine/{}/{}", m.name, words.join("+")), move || all(m, c).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
        }
    }
    trials
}

fn all(m: &Machine, c: Combination) -> Result<()> {
    let targets = Target::list(m.triple, Some(c.cpus(m)))?;
    let own = models::all().into_iter().map(|case| (case.name, case.model));
    for (name, model) in own.chain([("two_headed", models::two_headed()), ("divisible", models::divisible())]) {
        let compile =
            |options| pipeline::compile(&model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}")).context(name);
        let plain = Options { prefix: "plain".into(), ..Options::default() };
        same(m, c, &compile(plain)?, &compile(c.options("combined"))?).context(name)?;
    }
    let plain = Options { prefix: "plain".into(), ..Options::default() };
    same(m, c, &state::compiled(&targets, plain)?, &state::compiled(&targets, c.options("combined"))?).context("with a state")
}

fn same(m: &Machine, c: Combination, plain: &Compiled, combined: &Compiled) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    for compiled in [plain, combined] {
        files.add(folder.join(format!("{}.o", compiled.prefix)), compiled.object.bytes.as_slice());
        files.add(folder.join(format!("{}.h", compiled.prefix)), compiled.header.as_str());
    }
    if let Some(weights) = &combined.object.weights {
        files.add(folder.join("weights.bin"), weights.as_slice());
    }
    files.add(folder.join("main.c"), include_str!("combine.c"));
    files.write()?;
    let defined = c.parts().chain([("STATE", 0 < combined.object.state_bytes)]).filter(|p| p.1).map(|p| format!("-D{}", p.0));
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args(defined).args(["-std=c11", "-O1", "main.c", "plain.o", "combined.o", "-o", "main"]);
    output(&mut link)?;
    output(m.run(&folder.join("main")).current_dir(folder))?;
    Ok(())
}
