//! Several signatures in one object: each has functions of its own, and they share constants, state and arena; as C programs see it, with other options, and as
//! a Rust module.

use super::failed;
use anyhow::{Result, anyhow, ensure};
use cranelite::bindings;
use cranelite::files::Files;
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::import::{self, Signatures};
use cranelite_tests::models;
use cranelite_tests::tools::{IN_C, MACHINES, Machine, WARNINGS, X86, exists, machines, output};
use libtest_mimic::Trial;
use std::path::Path;
use std::process::Command;

const LEVELS: &str = "x86-64,x86-64-v3,x86-64-v4+avx512vnni";
/// Words that the program is compiled with.
const COMBINATIONS: [&[&str]; 5] =
    [&[], &["LEVELS", "SELF_TEST"], &["WEIGHTS", "THREADS", "SELF_TEST"], &["IO_ARENA", "SELF_TEST"], &["IO_ARENA", "WEIGHTS", "LEVELS"]];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for m in machines() {
        // A level is an object's, and a file of weights is for little-endian machines.
        let has = |word: &str| !(word == "LEVELS" && m.is_c() || word == "WEIGHTS" && m.is_big_endian());
        for words in COMBINATIONS.into_iter().filter(|words| words.iter().all(|w| has(w))) {
            let trial = Trial::test(format!("signatures/{}/{}", m.name, words.join("+")), move || in_c(m, words).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
        }
        let trial = Trial::test(format!("signatures/alone/{}", m.name), move || alone(m).map_err(failed));
        trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
    }
    trials.push(Trial::test("signatures/names", || odd_names().map_err(failed)).with_ignored_flag(MACHINES[0].is_to_be_ignored()));
    let in_c = COMBINATIONS.iter().filter(|words| !words.contains(&"LEVELS")).map(|words| (&IN_C[0], *words));
    for (m, words) in COMBINATIONS.iter().map(|words| (&MACHINES[0], *words)).chain(in_c) {
        let name = format!("signatures/rust/{}/{}", m.name, words.join("+"));
        let trial = Trial::test(name, move || in_rust(m, words).map_err(failed));
        trials.push(trial.with_ignored_flag(!exists("rustc") || cfg!(not(target_arch = "x86_64"))));
    }
    trials
}

fn options(words: &[&str], signatures: Signatures) -> Options {
    let has = |word: &str| words.contains(&word);
    Options {
        prefix: "learner".into(),
        import: import::Options { signatures, ..import::Options::default() },
        io: if has("IO_ARENA") { Io::Arena } else { Io::Caller },
        weights: has("WEIGHTS"),
        threads: if has("THREADS") { 2 } else { 1 },
        self_test: has("SELF_TEST"),
        ..Options::default()
    }
}

fn compile(triple: &str, cpu: &str, options: &Options) -> Result<Compiled> {
    let targets = Target::list(triple, Some(cpu))?;
    pipeline::compile(&models::learner(), &targets, options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

fn cpu(m: &Machine, words: &[&str]) -> &'static str {
    match (m.triple == X86, words.contains(&"LEVELS")) {
        (true, true) => LEVELS,
        (false, true) => "generic,generic+dotprod",
        _ => m.cpu,
    }
}

fn named(keys: &[&str]) -> Signatures {
    Signatures::Named(keys.iter().map(|k| k.to_string()).collect())
}

/// The program in signatures.c.
fn in_c(m: &Machine, words: &[&str]) -> Result<()> {
    let cpu = cpu(m, words);
    let mut together = compile(m.triple, cpu, &options(words, Signatures::All))?;
    // In any order, and by name.
    let again = compile(m.triple, cpu, &options(words, named(&["update", "infer", "tick"])))?;
    ensure!(together.object.bytes == again.object.bytes && together.header == again.header, "not the same by name");
    let of_alone = Options { prefix: "alone".into(), ..options(&[], named(&["infer"])) };
    let mut alone = compile(m.triple, cpu, &of_alone)?;
    ensure!(alone.entries.len() == 1 && alone.header.contains("alone_invoke(") && !alone.header.contains("SIGNATURE"), "{}", alone.header);
    // Weights, biases and the 1 that `tick` adds, and nothing twice.
    let update = compile(m.triple, cpu, &options(&[], named(&["update"])))?;
    let (both, one) = (together.object.const_bytes, update.object.const_bytes);
    ensure!(one <= both && both <= one + 64, "{both} bytes of constants instead of {one}");

    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    for (compiled, options) in [(&mut together, &options(words, Signatures::All)), (&mut alone, &of_alone)] {
        files.add(folder.join(format!("{}.o", compiled.prefix)), m.object_with_stack(compiled, options)?);
        files.add(folder.join(format!("{}.h", compiled.prefix)), compiled.header.as_str());
    }
    if let Some(weights) = &together.object.weights {
        files.add(folder.join("weights.bin"), weights.as_slice());
    }
    let numbers = |name: &str, numbers: &[f32]| {
        let all: Vec<String> = numbers.iter().map(|n| format!("{n:?}f")).collect();
        format!("static const float {name}[] = {{{}}};\n", all.join(", "))
    };
    let [v, w, b] = models::learner_numbers();
    files.add(folder.join("numbers.h"), numbers("first_v", &v) + &numbers("weights_w", &w) + &numbers("biases", &b));
    files.add(folder.join("cranelite_arena.h"), include_str!("../../runtime-stub/cranelite_arena.h"));
    files.add(folder.join("main.c"), include_str!("signatures.c"));
    files.write()?;
    let defined = words.iter().map(|w| format!("-D{w}"));
    let mut link = Command::new(m.compiler);
    link.current_dir(folder).args(WARNINGS).args(defined).args(["-std=c11", "-O1", "main.c", "learner.o", "alone.o", "-o", "main"]);
    output(&mut link)?;
    output(m.run(&folder.join("main")).current_dir(folder))?;
    Ok(())
}

/// One signature compiled by its name is the model as it always was, whatever others the file has; and the object exports what is documented.
fn alone(m: &Machine) -> Result<()> {
    let one = |signatures| compile(m.triple, m.cpu, &options(&[], signatures));
    let (first, named_first) = (one(Signatures::First)?, one(named(&["update"]))?);
    ensure!(first.object.bytes == named_first.object.bytes && first.header == named_first.header, "another object by name");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("learner.o");
    let symbols = |compiled: &Compiled| -> Result<Vec<String>> {
        std::fs::write(&path, m.object(compiled)?)?;
        let undefined = output(Command::new(m.nm).arg("-u").arg(&path))?;
        ensure!(undefined.is_empty(), "it needs {undefined}");
        let offered = output(Command::new(m.nm).args(["-g", "--defined-only", "--format=just-symbols"]).arg(&path))?;
        let mut all: Vec<String> = offered.lines().map(String::from).collect();
        all.sort_unstable();
        Ok(all)
    };
    ensure!(symbols(&first)? == ["learner_invoke", "learner_model", "learner_reset"]);
    let found = symbols(&one(named(&["infer", "update"]))?)?;
    let expected = [
        "learner_infer_invoke",
        "learner_infer_model",
        "learner_reset",
        "learner_signatures",
        "learner_update_invoke",
        "learner_update_model",
    ];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// Whatever signatures are called, their names in C, C++ and Rust are names, and each its own.
fn odd_names() -> Result<()> {
    for keys in [["while", "*/ \"x\\", ""], ["a", "a_in_x", "A"], ["reset", "model", "signatures"], ["self", "3d", "arena"]] {
        let model = models::learner_named(keys);
        let options = Options { self_test: true, ..options(&["IO_ARENA"], Signatures::All) };
        let targets = Target::list(X86, Some("x86-64"))?;
        let compiled = pipeline::compile(&model, &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
        let calls: String = compiled.entries.iter().map(|e| format!("    if ({}_invoke(NULL, NULL) != 1) return 1;\n", e.prefix)).collect();
        let folder = tempfile::tempdir()?;
        let (folder, mut files) = (folder.path(), Files::default());
        files.add(folder.join("learner.o"), compiled.object.bytes.as_slice());
        files.add(folder.join("learner.h"), compiled.header.as_str());
        files.add(folder.join("main.c"), format!("#include \"learner.h\"\n\nint main(void)\n{{\n{calls}    return 0;\n}}\n"));
        files.add(folder.join("lib.rs"), bindings::write(&compiled, "learner.tflite"));
        files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
        files.write()?;
        for compiler in [&["gcc", "-std=c99"][..], &["g++", "-std=c++98", "-xc++"]] {
            let mut link = Command::new(compiler[0]);
            output(link.current_dir(folder).args(&compiler[1..]).args(WARNINGS).args(["main.c", "-xnone", "learner.o", "-o", "main"]))?;
            output(&mut Command::new(folder.join("main")))?;
        }
        if exists("rustc") {
            let rustc = |arguments: &[&str]| {
                output(
                    Command::new("rustc").current_dir(folder).args(["--edition=2024", "-Dwarnings", "--crate-type=rlib"]).args(arguments),
                )
            };
            rustc(&["--crate-name=cranelite_runtime", "runtime.rs"])?;
            rustc(&["--extern=cranelite_runtime=libcranelite_runtime.rlib", "lib.rs"])?;
        }
    }
    Ok(())
}

/// A program around the Rust module.
fn in_rust(m: &Machine, words: &[&str]) -> Result<()> {
    let has = |word: &str| words.contains(&word);
    let compiled = compile(m.triple, if has("LEVELS") { LEVELS } else { m.cpu }, &options(words, Signatures::All))?;
    let weights = if has("WEIGHTS") { ", weights" } else { "" };
    let call = |signature: &str, function: &str, output: &str, x: &str, y: &str| {
        let level = if function == "invoke_at" { "0, " } else { "" };
        let path = format!("learner::{signature}");
        if has("IO_ARENA") {
            format!(
                "    *arena.{signature}_input_x() = {x};\n    {path}::{function}({level}&mut arena, &mut state{weights}).unwrap();\n    \
                 {y} = *arena.{signature}_output_{output}();\n"
            )
        } else {
            format!(
                "    {path}::{function}({level}&{path}::Inputs {{ x: &{x} }}, &mut {path}::Outputs {{ {output}: &mut {y} }}, &mut arena, \
                 &mut state{weights}).unwrap();\n"
            )
        }
    };
    let mut main = String::from("include!(\"learner.rs\");\n\n");
    if has("WEIGHTS") {
        main += "static WEIGHTS: learner::WeightsMemory = learner::WeightsMemory(*include_bytes!(\"weights.bin\"));\n\n";
    }
    main += "#[allow(unused_assignments)]\nfn main() {\n    let (mut arena, mut state) = (learner::Arena::new(), learner::State::new());\n";
    if has("WEIGHTS") {
        main += "    let weights = learner::Weights::new(&WEIGHTS.0).unwrap();\n";
    }
    main += "    let (mut y, mut same, mut n) = ([0f32; 8], [1f32; 8], [0f32; 1]);\n";
    main += &call("update", "invoke", "y", "[2.0; 12]", "y");
    main += &call("infer", "invoke", "y", "[0.0; 12]", "same");
    main += &call("tick", "invoke", "sum", "[0.5]", "n");
    main += &call("tick", "invoke", "sum", "[0.5]", "n");
    main += "    assert_eq!((y, n), (same, [102.5]));\n    assert_ne!(y, [0.0; 8]);\n";
    if has("LEVELS") {
        main += "    assert_eq!(learner::LEVELS[0], \"x86-64\");\n";
        main += &call("infer", "invoke_at", "y", "[0.0; 12]", "same");
        main += "    assert_eq!(y, same);\n";
    }
    main += "    state.reset();\n";
    main += &call("tick", "invoke", "sum", "[0.5]", "n");
    main += "    assert_eq!(n, [101.5]);\n    assert_eq!((learner::update::INPUT_X.shape, learner::update::INPUT_X.bytes), (&[1, 12][..], 48));\n}\n";

    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    files.add(folder.join("learner.o"), m.object(&compiled)?);
    files.add(folder.join("learner.rs"), bindings::write(&compiled, "learner.tflite"));
    files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
    if let Some(weights) = &compiled.object.weights {
        files.add(folder.join("weights.bin"), weights.as_slice());
    }
    files.add(folder.join("main.rs"), main);
    files.write()?;
    let rustc =
        |arguments: &[&str]| output(Command::new("rustc").current_dir(folder).args(["--edition=2024", "-Dwarnings"]).args(arguments));
    rustc(&["--crate-type=rlib", "--crate-name=cranelite_runtime", "runtime.rs"])?;
    rustc(&["--extern=cranelite_runtime=libcranelite_runtime.rlib", "-Clink-arg=learner.o", "main.rs"])?;
    output(&mut Command::new(Path::new(folder).join("main")))?;
    Ok(())
}
