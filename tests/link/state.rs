//! Models that keep a state: header, Rust module, `run` in all its ways, reports.
//!
//! The model is a text of a tile program (tests/filetests/tile/run/recurrent.tile), put where a lowered model would be.

use super::failed;
use anyhow::{Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::facts::Facts;
use cranelite::files::Files;
use cranelite::foreign::{self, Tools};
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Compiled, Entry, Io, Level, Options, Planned};
use cranelite::signature::{Signature, Tensor};
use cranelite::stages::Stages;
use cranelite::{bindings, header, report};
use cranelite_codegen::object::model::Source;
use cranelite_codegen::object::{self, self_test};
use cranelite_codegen::targets::Target;
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tests::differential::expected_steps;
use cranelite_tests::suite::{self, Suite};
use cranelite_tests::tools::{Machine, WARNINGS, X86, exists, machines, output};
use cranelite_tile::{arena, interpret, text, verify};
use libtest_mimic::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const LEVELS: &str = "x86-64,x86-64-v3,x86-64-v4";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines() {
        for cpu in if m.triple == X86 { &["x86-64", LEVELS][..] } else { std::slice::from_ref(&m.cpu) } {
            let trial = Trial::test(format!("state/{}/{cpu}", m.name), move || in_c(m, cpu).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
        }
    }
    for m in machines() {
        let trial = Trial::test(format!("state/instances/{}", m.name), move || instances(m).map_err(failed));
        trials.push(trial.with_ignored_flag(m.is_to_be_ignored() || suite::shared().is_none()));
    }
    trials.push(Trial::test("state/rust", || in_rust().map_err(failed)).with_ignored_flag(!exists("rustc")));
    trials
}

/// As the pipeline would leave it.
pub fn compiled(targets: &[Target], options: Options) -> Result<Compiled> {
    let tensor = |name: &str| {
        let ty = TensorType::new(ElementType::I32, [5, 8]);
        Tensor {
            name: name.into(),
            tensor_name: name.into(),
            tensor_index: None,
            identifier: name.into(),
            ty,
            count: None,
            sensor: String::new(),
        }
    };
    let signature = Signature {
        inputs: vec![tensor("x")],
        outputs: vec![tensor("y")],
        own_output_count: 1,
        counts: vec![None],
        exposed: vec![],
        answers: vec![],
    };
    let mut levels = vec![];
    for target in targets {
        let mut program = text::parse(include_str!("../filetests/tile/run/recurrent.tile"))?;
        let plan = match options.io {
            Io::Caller => arena::plan(&mut program),
            Io::Arena => arena::plan_behind_io(&mut program, 16),
        };
        arena::check(&program).map_err(|e| anyhow!(e))?;
        verify::verify(&program).map_err(|e| anyhow!("{e:?}"))?;
        levels
            .push(Level { target: target.clone(), planned: Planned { program, plan, rescalings: vec![], number_bytes: BTreeMap::new() } });
    }
    let described = [&signature.inputs[0], &signature.outputs[0]].map(|t| vec![t.described()]);
    let [inputs, outputs] = described;
    let program = &levels[0].planned.program;
    let mut state = interpret::initial_state(program)?;
    let mut hashes = vec![];
    for vector in 0..if options.self_test { 3 } else { 0 } {
        let mut y = [0; 160];
        interpret::run_with_state(program, &[&self_test::input(&inputs, vector, 0, None)], &mut [&mut y], &mut state, |_, _| {})?;
        hashes.push(vec![self_test::hash(&y)]);
    }
    let emitted: Vec<object::Level> = levels.iter().map(|l| object::Level { program: &l.planned.program, target: &l.target }).collect();
    let object_options = object::Options {
        prefix: options.prefix.clone(),
        inputs,
        outputs,
        profile: options.profile,
        parallel: 1 < options.threads,
        weights: options.weights,
        self_test: if options.self_test { vec![hashes; targets.len()] } else { vec![] },
        // As if that were the file, and the state a variable tensor.
        source: Source::of(b"recurrent", [true].into_iter()),
        ..object::Options::default()
    };
    let object = match targets[0].is_c() {
        false => object::emit(&emitted, &object_options)?,
        true => {
            let object::Options { prefix, inputs, outputs, self_test, .. } = object_options.clone();
            let entry = object::Entry { prefix, inputs, outputs, self_test, levels: emitted, ..object::Entry::default() };
            cranelite_codegen::c99::emit(&[entry], &object_options, "kept.h")?
        }
    };
    let facts = Facts { operators: vec![], parameters: vec![], arena_lower_bound_bytes: 0 };
    let entries = vec![Entry { key: String::new(), subgraph: 0, word: None, prefix: options.prefix.clone(), signature, facts, levels }];
    let header = header::write(&options, &entries, targets, &object, &BTreeSet::new());
    Ok(Compiled {
        prefix: options.prefix,
        no_cpu_check: false,
        entries,
        left_out: vec![],
        compressed: None,
        threads: options.threads,
        symbols: BTreeSet::new(),
        object,
        header,
    })
}

fn options() -> Options {
    Options { prefix: "kept".into(), made_from: "recurrent.tile".into(), threads: 2, profile: true, self_test: true, ..Options::default() }
}

fn steps() -> Vec<Vec<u8>> {
    (0..5).map(|step| (0..160).map(|i| (i * 37 + i / 7 * 11 + step * 101) as u8).collect()).collect()
}

fn in_c(m: &Machine, cpu: &str) -> Result<()> {
    let targets = Target::list(m.triple, Some(cpu))?;
    let compiled = compiled(&targets, options())?;
    ensure!((compiled.object.state_bytes, compiled.object.state_align) == (32, 16));
    let json = report::json(&compiled);
    ensure!(json["state_bytes"] == 32 && json["state_align"] == 16 && report::text(&compiled).contains("state        32 bytes"), "{json}");
    let inputs: Vec<Vec<Vec<u8>>> = steps().into_iter().map(|x| vec![x]).collect();
    let expected = expected_steps(&compiled.main().levels[0].planned.program, &inputs, &[vec![0; 160]]).map_err(|e| anyhow!(e))?;

    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    files.add(folder.join("kept.o"), m.object(&compiled)?);
    files.add(folder.join("kept.h"), compiled.header.as_str());
    files.add(folder.join("cranelite_arena.h"), include_str!("../../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("main.c"), include_str!("state.c"));
    let numbers = |bytes: &[u8]| -> String {
        let all = bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().expect("four bytes")));
        all.map(|n| if n == i32::MIN { "-2147483647 - 1,".into() } else { format!("{n},") }).collect()
    };
    let mut table = format!("#define STEPS {}\nstatic const struct {{ int32_t x[40], y[40]; }} steps[] = {{\n", expected.len());
    for (x, y) in inputs.iter().zip(&expected) {
        writeln!(table, "{{{{{}}}, {{{}}}}},", numbers(&x[0]), numbers(&y.outputs[0]))?;
    }
    files.add(folder.join("steps.h"), table + "};\n");
    files.write()?;
    let undefined = output(Command::new(m.nm).arg("-u").arg(folder.join("kept.o")))?;
    ensure!(undefined.is_empty(), "kept needs {undefined}");
    let mut link = Command::new(m.compiler);
    output(link.current_dir(folder).args(WARNINGS).args(["-std=c99", "-O1", "main.c", "kept.o", "-o", "main"]))?;
    output(&mut m.run(&folder.join("main")))?;

    // The two ways in which `run` runs objects.
    let array = |bytes: &Vec<u8>| Array { data: bytes.clone(), ..Array::zeros(&compiled.main().signature.inputs[0].ty) };
    let arrays: Vec<Vec<Array>> = inputs.iter().map(|step| step.iter().map(array).collect()).collect();
    let right = |found: Vec<Vec<Array>>| found.iter().zip(&expected).all(|(f, e)| f[0].data == e.outputs[0]);
    let runner = m.runner.iter().map(|w| w.to_string()).collect();
    let tools = Tools { linker: vec![m.compiler.into()], runner };
    ensure!(right(foreign::run(&compiled, &tools, &arrays).map_err(|e| anyhow!("{e:?}"))?), "linked");
    if targets.iter().any(Target::runs_here) {
        let mut instance = Instance::new(&compiled).map_err(|e| anyhow!("{e:?}"))?;
        ensure!(right(instance.run(&arrays).map_err(|e| anyhow!("{e:?}"))?), "in this process");
    }
    Ok(())
}

/// The module is sound Rust, and a program that uses it gives the same numbers, wherever inputs, outputs and weights are.
fn in_rust() -> Result<()> {
    for io in [Io::Caller, Io::Arena] {
        for weights in [false, true] {
            in_rust_with(Options { io, weights, ..options() })?;
        }
    }
    Ok(())
}

fn in_rust_with(options: Options) -> Result<()> {
    let Ok(target) = Target::native() else { return Ok(()) };
    let (io, has_weights) = (options.io, options.weights);
    let compiled = compiled(&[target], options)?;
    let inputs: Vec<Vec<Vec<u8>>> = steps().into_iter().map(|x| vec![x]).collect();
    let expected = expected_steps(&compiled.main().levels[0].planned.program, &inputs, &[vec![0; 160]]).map_err(|e| anyhow!(e))?;
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    files.add(folder.join("kept.o"), compiled.object.bytes.as_slice());
    files.add(folder.join("kept.rs"), bindings::write(&compiled, "recurrent.tile"));
    let number =
        |bytes: &[u8]| format!("{:?}", bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>());
    let mut main = String::from(
        "include!(\"kept.rs\");\nfn main() {\n    let (mut a, mut b, mut arena) = (kept::State::new(), kept::State::default(), kept::Arena::new());\n    \
         b.reset();\n    #[allow(unused_assignments, unused_mut)]\n    let mut y = [0; 40];\n",
    );
    let mut weights = "";
    if let Some(file) = &compiled.object.weights {
        files.add(folder.join("weights.bin"), file.as_slice());
        weights = ", weights";
        main += "    static WEIGHTS: kept::WeightsMemory = kept::WeightsMemory(*include_bytes!(\"weights.bin\"));\n    \
                 let weights = kept::Weights::new(&WEIGHTS.0).unwrap();\n    \
                 assert!(matches!(kept::Weights::new(&WEIGHTS.0[64..]), Err(cranelite_runtime::Error::WrongWeights)));\n    \
                 let mut other = kept::WeightsMemory(WEIGHTS.0);\n    other.0[70] ^= 1;\n    \
                 assert!(kept::Weights::new(&other.0).is_err());\n";
    }
    ensure!(has_weights == !weights.is_empty());
    for (x, y) in inputs.iter().zip(&expected) {
        for state in ["a", "b"] {
            let (x, y) = (number(&x[0]), number(&y.outputs[0]));
            match io {
                Io::Caller => writeln!(
                    main,
                    "    kept::invoke(&kept::Inputs {{ x: &{x} }}, &mut kept::Outputs {{ y: &mut y }}, &mut arena, &mut {state}{weights}).unwrap();"
                )?,
                Io::Arena => writeln!(
                    main,
                    "    *arena.input_x() = {x};\n    kept::invoke(&mut arena, &mut {state}{weights}).unwrap();\n    y = *arena.output_y();"
                )?,
            }
            writeln!(main, "    assert_eq!(y, {y});")?;
        }
    }
    files.add(folder.join("main.rs"), main + "}\n");
    files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
    files.write()?;
    let rustc =
        |arguments: &[&str]| output(Command::new("rustc").current_dir(folder).args(["--edition=2024", "-Dwarnings"]).args(arguments));
    rustc(&["--crate-type=rlib", "--crate-name=cranelite_runtime", "runtime.rs"])?;
    rustc(&["--extern=cranelite_runtime=libcranelite_runtime.rlib", "-Clink-arg=kept.o", "main.rs"])?;
    output(&mut Command::new(Path::new(folder).join("main")))?;
    Ok(())
}

/// A streaming wake-word model of the suites, in C: 1,000 steps, two instances in turn, and one that starts afresh.
fn instances(m: &Machine) -> Result<()> {
    const STEPS: usize = 1000;
    let zoo = Suite::open(suite::shared().expect("the suites").join("zoo"))?;
    let case = zoo.cases.iter().find(|c| c.name == "mww_v2_okay_nabu").ok_or_else(|| anyhow!("no such model"))?;
    let options = Options { prefix: "kws".into(), ..Options::default() };
    let targets = Target::list(m.triple, Some(m.cpu))?;
    let compiled = pipeline::compile(&zoo.model(case)?, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let (x, y) = (&compiled.main().signature.inputs[0].ty, &compiled.main().signature.outputs[0].ty);
    // As loud as speech, and different in every step.
    let mut random = 1u32;
    let mut byte = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let inputs: Vec<Vec<Vec<u8>>> = (0..STEPS).map(|_| vec![(0..x.size_bytes()).map(|_| byte()).collect()]).collect();
    let outputs =
        expected_steps(&compiled.main().levels[0].planned.program, &inputs, &[vec![0; y.size_bytes()]]).map_err(|e| anyhow!(e))?;
    let mut steps = inputs.concat().concat();
    outputs.iter().for_each(|o| steps.extend(&o.outputs[0]));
    ensure!(outputs.iter().any(|o| o.outputs[0] != outputs[0].outputs[0]), "every step gives the same");

    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    files.add(folder.join("kws.o"), m.object(&compiled)?);
    files.add(folder.join("kws.h"), compiled.header.as_str());
    files.add(folder.join("main.c"), include_str!("instances.c"));
    files.add(folder.join("steps.bin"), steps);
    files.write()?;
    let mut link = Command::new(m.compiler);
    output(link.current_dir(folder).args(WARNINGS).args(["-std=c99", "-O1", "main.c", "kws.o", "-o", "main"]))?;
    output(m.run(&folder.join("main")).current_dir(folder))?;
    Ok(())
}
