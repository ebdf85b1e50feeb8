//! Custom operators that are functions of the user's: in programs of every kind, in a shared library, and in this process.

use super::failed;
use anyhow::{Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::files::Files;
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::loader::Library;
use cranelite_codegen::targets::Target;
use cranelite_graph::import;
use cranelite_graph::tensor::ElementType;
use cranelite_tests::models::custom;
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, X86, machines, output};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines() {
        let levels = if m.triple == X86 { "x86-64,x86-64-v3" } else { m.cpu };
        for cpu in [m.cpu, levels] {
            let trial = Trial::test(format!("custom/{}/{cpu}", m.name), move || linked(m, cpu).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
            if cpu == levels {
                break;
            }
        }
    }
    let here = MACHINES.iter().find(|m| m.runner.is_empty()).expect("this kind of machine");
    trials.push(Trial::test("custom/here", move || called_here(here).map_err(failed)).with_ignored_flag(here.is_to_be_ignored()));
    trials
}

fn compile(targets: &[Target], threads: usize) -> Result<Compiled> {
    let functions = [("Sum", "my_sum"), ("Check", "my_check")].map(|(name, symbol)| (name.to_string(), symbol.to_string()));
    let import = import::Options { custom: functions.to_vec(), ..import::Options::default() };
    let options = Options { prefix: "mine".into(), import, threads, profile: true, unwind: !targets[0].is_c(), ..Options::default() };
    pipeline::compile(&custom(), targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

fn written(m: &Machine, folder: &Path, compiled: &Compiled) -> Result<()> {
    let mut files = Files::default();
    files.add(folder.join("mine.o"), m.object(compiled)?);
    files.add(folder.join("mine.h"), compiled.header.clone());
    files.add(folder.join("cranelite_arena.h"), include_str!("../../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("custom.c"), include_str!("custom.c"));
    files.write().map_err(|e| anyhow!("{e:?}"))
}

fn linked(m: &Machine, cpu: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    written(m, folder, &compile(&Target::list(m.triple, Some(cpu))?, 2)?)?;
    let undefined = output(Command::new(m.nm).arg("-u").arg(folder.join("mine.o")))?;
    let names: Vec<&str> = undefined.split_whitespace().filter(|w| *w != "U").collect();
    ensure!(names == ["my_check", "my_sum"], "imports {undefined}");
    let cc =
        |arguments: &[&str]| output(Command::new(m.compiler).current_dir(folder).args(WARNINGS).args(["-std=c99", "-O1"]).args(arguments));
    // Of every kind of program, and with the functions in a library of their own, from which the model is far away.
    for kind in [&["-pie", "-fPIE"][..], &["-no-pie", "-fno-pie"], &["-static"]] {
        cc(&[&["custom.c", "mine.o", "-o", "program"], kind].concat())?;
        output(&mut m.run(&folder.join("program")))?;
    }
    // The model alone in a library, whose functions the program has.
    cc(&["-shared", "-Wl,-z,text", "mine.o", "-o", "libmodel.so"])?;
    cc(&["custom.c", "-rdynamic", "-L.", "-lmodel", "-Wl,-rpath,$ORIGIN", "-o", "program"])?;
    output(&mut m.run(&folder.join("program")))?;
    cc(&["-shared", "-fPIC", "-DLIBRARY", "custom.c", "-o", "libfunctions.so"])?;
    cc(&["-shared", "-Wl,-z,text", "mine.o", "-L.", "-lfunctions", "-Wl,-rpath,$ORIGIN", "-o", "libmodel.so"])?;
    Ok(())
}

/// As `run` and `bench` do it.
fn called_here(m: &Machine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let compiled = compile(&[Target::native()?], 1)?;
    written(m, folder, &compiled)?;
    let missing = Instance::new(&compiled).err().map(|d| (d.code.0, d.message));
    ensure!(missing.as_ref().is_some_and(|m| m.0 == "E0505" && m.1.contains("`my_")), "{missing:?}");
    output(Command::new(m.compiler).current_dir(folder).args(["-shared", "-fPIC", "-DLIBRARY", "custom.c", "-o", "libfunctions.so"]))?;
    let library = Library::open(&folder.join("libfunctions.so")).map_err(|e| anyhow!(e))?;
    ensure!(library.symbol("my_sum").is_some() && library.symbol("no_such").is_none());
    let mut instance = Instance::with_libraries(&compiled, vec![library]).map_err(|d| anyhow!("{d}"))?;
    let step = |first: f32| {
        let data = [first, 0.0, 1.0, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        vec![Array { element: ElementType::F32, shape: vec![1, 5], data }]
    };
    let outputs = instance.run(&[step(-1.0)]).map_err(|d| anyhow!("{d}"))?;
    let expected: Vec<u8> = [0.0f32, 4.5, 10.5, 16.5, 22.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    ensure!(outputs[0][0].data == expected && outputs[0][1].data == [255, 1, 1, 1, 1], "{outputs:?}");
    let failure = instance.run(&[step(1000.0)]).err().map(|d| (d.code.0, d.message));
    ensure!(failure.as_ref().is_some_and(|f| f.0 == "E0505" && f.1.contains("status 8")), "{failure:?}");
    Ok(())
}
