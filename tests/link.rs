//! Objects and headers as a user meets them: compiled into C programs with real compilers, and run.
//!
//! Each trial says what it needs; where a tool is missing it is reported as ignored.

#[path = "link/c99.rs"]
mod c99;
#[path = "link/combine.rs"]
mod combine;
#[path = "link/custom.rs"]
mod custom;
#[path = "link/float_io.rs"]
mod float_io;
#[path = "link/hardened.rs"]
mod hardened;
#[path = "link/indices.rs"]
mod indices;
#[path = "link/io_arena.rs"]
mod io_arena;
#[path = "link/levels.rs"]
mod levels;
#[path = "link/mobile.rs"]
mod mobile;
#[path = "link/names.rs"]
mod names;
#[path = "link/platforms.rs"]
mod platforms;
#[path = "link/section.rs"]
mod section;
#[path = "link/self_test.rs"]
mod self_test;
#[path = "link/shim.rs"]
mod shim;
#[path = "link/signatures.rs"]
mod signatures;
#[path = "link/state.rs"]
mod state;
#[path = "link/unwind.rs"]
mod unwind;
#[path = "link/watched.rs"]
mod watched;
#[path = "link/weights.rs"]
mod weights;
#[path = "link/xcframework.rs"]
mod xcframework;

use anyhow::{Context, Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::files::Files;
use cranelite::foreign;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::lower::Preferences;
use cranelite_tests::models::{self, Case};
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, X86, as_program, exists, machines, output};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::slice;

fn main() -> ExitCode {
    if let Some(code) = as_program() {
        return code;
    }
    let mut trials = vec![];
    for m in machines() {
        let ignored = m.is_to_be_ignored();
        for (what, test) in [("program", program as fn(&Machine) -> Result<()>), ("symbols", symbols), ("run", run), ("threads", threads)] {
            let trial = Trial::test(format!("{what}/{}", m.name), move || test(m).map_err(failed));
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    for (compiler, options) in [
        ("gcc", ["-std=c99", "-xc"]),
        ("gcc", ["-std=c2x", "-xc"]),
        ("clang", ["-std=c99", "-xc"]),
        ("g++", ["-std=c++98", "-xc++"]),
        ("g++", ["-std=c++20", "-xc++"]),
        ("clang++", ["-std=c++11", "-xc++"]),
    ] {
        let check = move || header(compiler, &options).map_err(failed);
        trials.push(Trial::test(format!("header/{compiler}{}", options[0]), check).with_ignored_flag(!exists(compiler)));
    }
    trials.extend(combine::trials());
    trials.extend(custom::trials());
    trials.extend(float_io::trials());
    trials.extend(hardened::trials());
    trials.extend(io_arena::trials());
    trials.extend(levels::trials());
    trials.extend(mobile::trials());
    trials.extend(names::trials());
    trials.extend(platforms::trials());
    trials.extend(section::trials());
    trials.extend(unwind::trials());
    trials.extend(shim::trials());
    trials.extend(c99::trials());
    trials.extend(signatures::trials());
    trials.extend(state::trials());
    trials.extend(watched::trials());
    trials.extend(weights::trials());
    trials.extend(xcframework::trials());
    trials.extend(indices::trials());
    trials.extend(self_test::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The model that is divided for three threads.
fn divided(folder: &Path, m: &Machine) -> Result<Compiled> {
    let target = &Target::new(m.triple, Some(m.cpu))?;
    // A step for each operator, which the program counts.
    let prefer = Preferences { winograd: false, ..Preferences::default() };
    let options = Options { prefix: "divisible".into(), threads: 3, prefer, ..Options::default() };
    let compiled = pipeline::compile(&models::divisible(), std::slice::from_ref(target), &options, &mut Stages::none());
    let compiled = compiled.map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join("divisible.o"), m.object(&compiled)?);
    files.add(folder.join("divisible.h"), compiled.header.clone());
    files.add(folder.join("cranelite_arena.h"), include_str!("../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("cranelite_threads.h"), include_str!("../runtime-stub/cranelite_threads.h"));
    files.add(folder.join("threads.c"), include_str!("link/threads.c"));
    files.write()?;
    Ok(compiled)
}

/// The program in link/threads.c; where the machine is this one, also watched for data races.
fn threads(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let compiled = divided(folder.path(), m)?;
    ensure!(compiled.main().levels[0].planned.program.schedule.iter().any(|s| 2 < s.calls().len()), "nothing was divided");
    let undefined = output(Command::new(m.nm).arg("-u").arg(folder.path().join("divisible.o")))?;
    ensure!(undefined.is_empty(), "divisible needs {undefined}");
    let watched: &[&[&str]] = if m.runner.is_empty() { &[&[], &["-fsanitize=thread", "-g"]] } else { &[&[]] };
    for options in watched {
        let mut link = Command::new(m.compiler);
        link.current_dir(&folder).args(WARNINGS).args(["-std=c99", "-O1", "threads.c", "divisible.o", "-o", "threads"]);
        // Counters of 64 bits are functions of a library there.
        let more: &[&str] = if m.is_big_endian() { &["-latomic"] } else { &[] };
        output(link.args(*options).arg("-pthread").args(more))?;
        output(&mut m.run(&folder.path().join("threads")))?;
    }
    Ok(())
}

/// A trial of all models of ours for each machine, and on x86-64 for each of these levels or lists of levels.
fn on_every_machine(
    what: &str,
    is_for: fn(&Machine) -> bool,
    x86_cpus: &'static [&'static str],
    test: fn(&Machine, &str, &[u8]) -> Result<()>,
) -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines().filter(|m| is_for(m)) {
        for cpu in if m.name == "x86_64" { x86_cpus } else { slice::from_ref(&m.cpu) } {
            let runs = m.triple != X86 || Target::list(m.triple, Some(cpu)).is_ok_and(|t| t.iter().any(Target::runs_here));
            let all = move || {
                let own = models::all().into_iter().map(|case| (case.name, case.model));
                let mut all = own.chain([("two_headed", models::two_headed()), ("divisible", models::divisible())]);
                all.try_for_each(|(name, model)| test(m, cpu, &model).context(name)).map_err(failed)
            };
            let trial = Trial::test(format!("{what}/{}/{cpu}", m.name), all);
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored() || !runs));
        }
    }
    trials
}

fn failed(e: anyhow::Error) -> Failed {
    format!("{e:#}").into()
}

/// Writes NAME.o and NAME.h for all models made here.
fn compile_all(folder: &Path, m: &Machine, cpus: &str) -> Result<Vec<Case>> {
    let targets = Target::list(m.triple, Some(cpus))?;
    let cases = models::all();
    let mut files = Files::default();
    for case in &cases {
        let compiled = compile(case, &targets)?;
        files.add(folder.join(format!("{}.o", case.name)), m.object(&compiled)?);
        files.add(folder.join(format!("{}.h", case.name)), compiled.header);
    }
    files.add(folder.join("cranelite_arena.h"), include_str!("../runtime-stub/cranelite_arena.h"));
    files.write()?;
    Ok(cases)
}

fn compile(case: &Case, targets: &[Target]) -> Result<Compiled> {
    let options = Options { prefix: case.name.into(), made_from: "a \\test*/".into(), ..Options::default() };
    pipeline::compile(&case.model, targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// The program in link/program.c, with two models.
fn program(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cases = compile_all(folder.path(), m, m.cpu)?;
    let data: String = cases
        .iter()
        .filter(|c| c.name != "tiny_f32")
        .flat_map(|c| [("in", &c.steps[0].0), ("out", &c.steps[0].1)].map(|(kind, a)| array(&format!("{}_{kind}", c.name), a, m)))
        .collect();
    std::fs::write(folder.path().join("data.h"), data)?;
    std::fs::write(folder.path().join("program.c"), include_str!("link/program.c"))?;
    let mut link = Command::new(m.compiler);
    link.current_dir(&folder).args(WARNINGS).args(["-std=c99", "-O1", "program.c", "perceptron.o", "tiny_i8.o", "-o", "program"]);
    output(link.arg("-pthread"))?;
    output(&mut m.run(&folder.path().join("program")))?;
    Ok(())
}

/// In the machine's order of bytes.
fn array(name: &str, array: &Array, m: &Machine) -> String {
    let width = array.element.bytes().filter(|_| m.is_big_endian()).unwrap_or(1);
    let numbers: Vec<String> = array.data.chunks(width).flat_map(|number| number.iter().rev().map(u8::to_string)).collect();
    format!("static const unsigned char {name}[] = {{{}}};\n", numbers.join(","))
}

/// What `run --linker --runner` does.
fn run(m: &Machine) -> Result<()> {
    let owned = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    let tools = foreign::Tools { linker: owned(&[m.compiler]), runner: owned(m.runner) };
    let target = Target::new(m.triple, Some(m.cpu))?;
    for case in models::all() {
        let compiled = compile(&case, slice::from_ref(&target))?;
        case.judge(&foreign::run(&compiled, &tools, &case.inputs()).map_err(|d| anyhow!("{d}"))?)?;
    }
    Ok(())
}

/// No object needs anything; each offers exactly its entry point and its description.
fn symbols(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for case in compile_all(folder.path(), m, m.cpu)? {
        let object = folder.path().join(format!("{}.o", case.name));
        let undefined = output(Command::new(m.nm).arg("-u").arg(&object))?;
        ensure!(undefined.is_empty(), "{} needs {undefined}", case.name);
        let offered = output(Command::new(m.nm).args(["-g", "--defined-only", "--format=just-symbols"]).arg(&object))?;
        let mut offered: Vec<_> = offered.lines().collect();
        offered.sort_unstable();
        ensure!(offered == [format!("{}_invoke", case.name), format!("{}_model", case.name)], "{offered:?}");
    }
    Ok(())
}

/// All headers in one translation unit, twice, without a warning.
fn header(compiler: &str, options: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cases = compile_all(folder.path(), &MACHINES[0], "x86-64,x86-64-v3,x86-64-v4+avx512vnni")?;
    let source: String = cases.iter().chain(&cases).map(|c| format!("#include \"{}.h\"\n", c.name)).collect();
    divided(folder.path(), &MACHINES[0])?;
    let arena = "#include \"divisible.h\"\n#include \"cranelite_threads.h\"\n#include \"cranelite_arena.h\"\n\
                 CRANELITE_STATIC_ARENA(arena, TINY_I8);\nint main() { return arena[TINY_I8_LEVEL_COUNT + TINY_I8_LEVEL_X86_64_V4_AVX512VNNI]; }\n";
    std::fs::write(folder.path().join("all.c"), source + arena)?;
    output(Command::new(compiler).current_dir(&folder).args(WARNINGS).args(options).args(["-fsyntax-only", "all.c"]))?;
    Ok(())
}
