//! Compiles and runs model after model in one process: `run_many [--cpu LEVEL,...] [--opt speed,size]`.
//!
//! Standard input and output hold frames: a count, then as many strings of bytes, each behind its length; counts and lengths are u32 in
//! little endian. A frame of the input is a model and the arrays of its inputs as `.npy`. For each there is a frame of the output per
//! pair of level and goal, in their order: `ok` and the arrays of the outputs, `refused` and the problems, or `panic` and its message.

use anyhow::{Context, Result, bail, ensure};
use cranelite::array::Array;
use cranelite::fit::{self, Fitted};
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::import;
use cranelite_graph::lower::Goal;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn main() -> Result<()> {
    let (mut levels, mut goals) = ("x86-64,native".to_string(), "speed,size".to_string());
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--cpu" => levels = value,
            "--opt" => goals = value,
            _ => bail!("unknown option {option}"),
        }
    }
    let triple = Target::native()?.triple.to_string();
    let targets: Vec<Target> = levels.split(',').map(|level| Ok(Target::new(&triple, Some(level))?)).collect::<Result<_>>()?;
    for target in &targets {
        ensure!(target.runs_here(), "this machine cannot run {}", target.level);
    }
    let goals: Vec<Goal> = goals.split(',').map(goal).collect::<Result<_>>()?;
    std::panic::set_hook(Box::new(|_| ()));
    let (mut from, mut to) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    while let Some(case) = read(&mut from)? {
        for target in &targets {
            for &goal in &goals {
                write(&mut to, &answer(&case, target, goal))?;
            }
        }
        to.flush()?;
    }
    Ok(())
}

fn goal(name: &str) -> Result<Goal> {
    match name {
        "speed" => Ok(Goal::Speed),
        "size" => Ok(Goal::Size),
        _ => bail!("--opt takes speed and size, not {name}"),
    }
}

fn answer(case: &[Vec<u8>], target: &Target, goal: Goal) -> Vec<Vec<u8>> {
    match catch_unwind(AssertUnwindSafe(|| run(case, target, goal))) {
        Ok(Ok(outputs)) => [b"ok".to_vec()].into_iter().chain(outputs).collect(),
        Ok(Err(problem)) => vec![b"refused".to_vec(), problem.into_bytes()],
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|m| m.to_string()));
            vec![b"panic".to_vec(), message.unwrap_or_default().into_bytes()]
        }
    }
}

/// The outputs as `.npy`, or the problems, one per line.
fn run(case: &[Vec<u8>], target: &Target, goal: Goal) -> Result<Vec<Vec<u8>>, String> {
    let (model, arrays) = case.split_first().ok_or("an empty frame")?;
    let problems = |list: Vec<Diagnostic>| list.iter().map(|d| format!("{}: {d}", d.place)).collect::<Vec<_>>().join("\n");
    let steps = vec![arrays.iter().map(|a| Array::parse(a)).collect::<Result<Vec<_>, _>>()?];
    let Fitted { import, steps, .. } = fit::fit(model, import::Options::default(), steps).map_err(problems)?;
    let options = Options { prefix: "model".into(), import, prefer: goal.into(), ..Options::default() };
    let compiled = pipeline::compile(model, std::slice::from_ref(target), &options, &mut Stages::none()).map_err(problems)?;
    let outputs = Instance::new(&compiled).and_then(|mut i| i.run(&steps)).map_err(|d| problems(vec![d]))?;
    let outputs = outputs.iter().map(|o| compiled.main().signature.own_outputs(o)).collect::<Vec<_>>();
    outputs.iter().flatten().map(|a| a.to_npy().ok_or_else(|| format!("NumPy has no {}", a.element))).collect()
}

/// `None` at the end of the input.
fn read(from: &mut impl Read) -> io::Result<Option<Vec<Vec<u8>>>> {
    match number(from) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
        count => (0..count?).map(|_| string(from)).collect::<io::Result<_>>().map(Some),
    }
}

fn number(from: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

fn string(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; number(from)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write(to: &mut impl Write, strings: &[Vec<u8>]) -> io::Result<()> {
    to.write_all(&(strings.len() as u32).to_le_bytes())?;
    for string in strings {
        to.write_all(&(string.len() as u32).to_le_bytes())?;
        to.write_all(string)?;
    }
    Ok(())
}
