//! TensorFlow Lite's C interface over objects (runtime-stub/tflite_shim): a program as its documentation shows it, its edges, threads, CMake, and the answers of
//! TensorFlow Lite itself where the suites are.

use super::{failed, state};
use anyhow::{Context, Result, anyhow, bail, ensure};
use cranelite::array::Array;
use cranelite::header;
use cranelite::instance::Instance;
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::import::{self, Signatures};
use cranelite_tests::maker::{Code, Element, Maker};
use cranelite_tests::models;
use cranelite_tests::suite::{self, Suite};
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, X86, exists, machines, output};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the suites: by their kinds of tensors and states, and such as people have.
const ZOO: [&str; 4] = ["ambiq_kws", "arduino_magic_wand_int8", "gen_tcn_har_256_int8", "dtln_model_quant_1"];
const CONFORMANCE: [&str; 6] = ["svdf_int8_010", "variables_f32_003", "where_f32_002", "unique_i32_008", "cv_dyn_where_f32", "abs_f32_000"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("shim/model_header", || model_header().map_err(failed))];
    for m in machines().filter(|m| !m.is_big_endian()) {
        for (what, test) in [("flow", flow as fn(&Machine) -> Result<()>), ("corners", corners), ("threads", threads)] {
            let trial = Trial::test(format!("shim/{what}/{}", m.name), move || test(m).map_err(failed));
            trials.push(trial.with_ignored_flag(m.is_to_be_ignored()));
        }
    }
    for (compiler, options) in [
        ("gcc", ["-std=c99", "-xc"]),
        ("clang", ["-std=c11", "-xc"]),
        ("g++", ["-std=c++98", "-xc++"]),
        ("g++", ["-std=c++20", "-xc++"]),
        ("clang++", ["-std=c++11", "-xc++"]),
    ] {
        let check = move || headers(compiler, &options).map_err(failed);
        trials.push(Trial::test(format!("shim/headers/{compiler}{}", options[0]), check).with_ignored_flag(!exists(compiler)));
    }
    let needs = MACHINES[0].is_to_be_ignored();
    trials.push(Trial::test("shim/suites", || suites().map_err(failed)).with_ignored_flag(needs || suite::shared().is_none()));
    trials.push(Trial::test("shim/cmake", || cmake().map_err(failed)).with_ignored_flag(needs || !exists("cmake")));
    trials
}

fn stub() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime-stub")
}

/// The header for programs that serve any model is what the headers of models have, too.
fn model_header() -> Result<()> {
    let path = stub().join("cranelite_model.h");
    if std::env::var_os("CRANELITE_BLESS").is_some() {
        fs::write(&path, header::of_any_model())?;
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    ensure!(text == header::of_any_model(), "CRANELITE_BLESS=1 writes runtime-stub/cranelite_model.h anew");
    Ok(())
}

fn compile(m: &Machine, prefix: &str, model: &[u8], options: Options) -> Result<Compiled> {
    let options = Options { prefix: prefix.into(), ..options };
    pipeline::compile(model, &[Target::new(m.triple, Some(m.cpu))?], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// A folder with objects, and what a program of them is compiled with.
struct Build<'a> {
    m: &'a Machine,
    folder: tempfile::TempDir,
    objects: Vec<String>,
    /// For the interface.
    definitions: Vec<String>,
    /// For the program, too.
    options: Vec<&'a str>,
}

impl<'a> Build<'a> {
    fn new(m: &'a Machine, objects: &[(&str, &Compiled)], options: &[&'a str]) -> Result<Build<'a>> {
        let folder = tempfile::tempdir()?;
        let (mut models, mut signatures, mut names) = (vec![], vec![], vec![]);
        for (name, compiled) in objects {
            fs::write(folder.path().join(format!("{name}.o")), m.object(compiled)?)?;
            names.push(format!("{name}.o"));
            if 1 < compiled.entries.len() { &mut signatures } else { &mut models }.push(*name);
        }
        let mut definitions = vec![];
        for (what, names) in [("MODELS", models), ("SIGNATURES", signatures)] {
            if !names.is_empty() {
                definitions.push(format!("-DCRANELITE_SHIM_{what}={}", names.join(",")));
            }
        }
        Ok(Build { m, folder, objects: names, definitions, options: options.to_vec() })
    }

    /// Compiles the interface, without warnings, and the program with it.
    fn program(&self, source: &str) -> Result<PathBuf> {
        let (folder, include) = (self.folder.path(), stub().join("tflite_shim/include"));
        fs::write(folder.join("main.c"), source)?;
        let compile = |arguments: &[&str]| {
            let mut compiler = Command::new(self.m.compiler);
            compiler.current_dir(folder).args(WARNINGS).args(["-Wconversion", "-std=c99", "-O1", "-g"]).args(&self.options);
            output(compiler.arg("-I").arg(&include).arg("-I").arg(stub().join("tflite_shim")).args(arguments))
        };
        let shim = stub().join("tflite_shim/tflite_shim.c");
        let definitions: Vec<&str> = self.definitions.iter().map(String::as_str).collect();
        compile(&[&definitions[..], &["-c", &shim.to_string_lossy(), "-o", "shim.o"]].concat())?;
        compile(&["-c", "main.c", "-o", "main.o"])?;
        let objects: Vec<&str> = self.objects.iter().map(String::as_str).collect();
        compile(&[&["main.o", "shim.o"][..], &objects, &["-o", "main", "-pthread"]].concat())?;
        Ok(folder.join("main"))
    }

    /// Runs the program of shim.c on a model's inputs: the outputs of each step.
    fn outputs(&self, program: &Path, path: &str, compiled: &Compiled, inputs: &[Vec<Array>], threads: u32) -> Result<Vec<Vec<Array>>> {
        let folder = self.folder.path();
        fs::write(folder.join("in"), inputs.iter().flatten().flat_map(|a| a.data.clone()).collect::<Vec<u8>>())?;
        let mut run = self.m.run(program);
        output(run.current_dir(folder).args([path, "in", "out", &inputs.len().to_string(), &threads.to_string()]))?;
        let bytes = fs::read(folder.join("out"))?;
        let mut at = 0;
        let mut number = |bytes: &[u8], skipped: usize| {
            at += skipped;
            let four = bytes.get(at..at + 4).context("outputs end early")?;
            at += 4;
            Ok::<_, anyhow::Error>((i32::from_le_bytes(four.try_into()?), at))
        };
        let (mut steps, mut skipped) = (vec![], 0);
        let signature = &compiled.main().signature;
        for _ in inputs {
            let mut outputs = vec![];
            for (tensor, described) in signature.outputs.iter().zip(&signature.described()[1]).take(signature.own_output_count) {
                let (ty, _) = number(&bytes, skipped)?;
                ensure!(ty as u32 == described.ty, "type {ty} instead of {}", described.ty);
                let rank = number(&bytes, 0)?.0;
                let shape = (0..rank).map(|_| Ok(number(&bytes, 0)?.0 as usize)).collect::<Result<Vec<_>>>()?;
                let (size, begin) = number(&bytes, 0)?;
                skipped = size as usize;
                let data = bytes.get(begin..begin + skipped).context("outputs end early")?.to_vec();
                outputs.push(Array { element: tensor.ty.element, shape, data });
            }
            steps.push(outputs);
        }
        ensure!(number(&bytes, skipped).is_err(), "outputs are left over");
        Ok(steps)
    }
}

/// The documented use: each model by its file and, where there is none, by its name; another file is refused.
fn flow(m: &Machine) -> Result<()> {
    let cases = models::all();
    let compiled = cases.iter().map(|c| compile(m, c.name, &c.model, Options::default())).collect::<Result<Vec<_>>>()?;
    let objects: Vec<(&str, &Compiled)> = cases.iter().map(|c| c.name).zip(&compiled).collect();
    let build = Build::new(m, &objects, &[])?;
    let program = build.program(include_str!("shim.c"))?;
    for (case, compiled) in cases.iter().zip(&compiled) {
        let path = format!("{}.tflite", case.name);
        fs::write(build.folder.path().join(&path), &case.model)?;
        for path in [&path, &format!("nowhere/{path}")] {
            let outputs = build.outputs(&program, path, compiled, &case.inputs(), 2)?;
            case.judge(&outputs).with_context(|| case.name)?;
        }
        let mut other = case.model.clone();
        *other.last_mut().context("bytes")? ^= 1;
        fs::write(build.folder.path().join(&path), other)?;
        let refused = build.outputs(&program, &path, compiled, &case.inputs(), 1).err().context("another file was taken for it")?;
        ensure!(format!("{refused:#}").contains("none of the 3 linked objects was compiled from"), "{refused:#}");
    }
    Ok(())
}

/// WHERE: at most six rows.
fn rows() -> Vec<u8> {
    let mut m = Maker::default();
    let (x, y) = (m.f32("x", &[2, 3], None), m.tensor("y", Element::INT64, &[6, 2], None, None));
    m.operator(Code::WHERE, &[x], &[y], None);
    m.finish(&[x], &[y])
}

/// The program in shim_corners.c, also under sanitizers where the machine is this one.
fn corners(m: &Machine) -> Result<()> {
    let tiny = models::all().into_iter().find(|c| c.name == "tiny_i8").context("tiny_i8")?.model;
    let perceptron = models::all().swap_remove(0).model;
    let (picked, rows, learner) = (models::picked(), rows(), models::learner());
    let plain = Options::default;
    let signatures = |signatures| Options { import: import::Options { signatures, ..import::Options::default() }, ..plain() };
    let lonely = signatures(Signatures::Named(vec!["infer".into()]));
    let objects = [
        ("perceptron", compile(m, "perceptron", &perceptron, plain())?),
        ("tiny_i8", compile(m, "tiny_i8", &tiny, Options { io: Io::Arena, ..plain() })?),
        ("picked", compile(m, "picked", &picked, plain())?),
        ("rows", compile(m, "rows", &rows, plain())?),
        ("kept", state::compiled(&[Target::new(m.triple, Some(m.cpu))?], Options { prefix: "kept".into(), ..plain() })?),
        ("outside", compile(m, "outside", &tiny, Options { weights: true, ..plain() })?),
        ("learner", compile(m, "learner", &learner, signatures(Signatures::All))?),
        ("lonely", compile(m, "lonely", &learner, lonely)?),
    ];
    let objects: Vec<(&str, &Compiled)> = objects.iter().map(|(name, compiled)| (*name, compiled)).collect();
    let sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let kinds: [&[&str]; 2] = [&[], &sanitized];
    for sanitizers in &kinds[..if m.runner.is_empty() { 2 } else { 1 }] {
        let mut build = Build::new(m, &objects, sanitizers)?;
        build.definitions.extend(["malloc", "calloc"].map(|name| format!("-D{name}=failing_{name}")));
        let folder = build.folder.path();
        let mut other = tiny.clone();
        other[100] ^= 1;
        fs::create_dir(folder.join("other"))?;
        let weights = objects[5].1.object.weights.as_deref().context("weights")?;
        for (path, bytes) in [
            ("perceptron.tflite", &perceptron[..]),
            ("tiny_i8.tflite", &tiny),
            ("renamed.tflite", &tiny),
            ("other/tiny_i8.tflite", &other),
            ("picked.tflite", &picked),
            ("rows.tflite", &rows),
            ("learner.tflite", &learner),
            ("lonely.tflite", &learner),
            ("empty.tflite", &[]),
            ("outside.bin", weights),
        ] {
            fs::write(folder.join(path), bytes)?;
        }
        let program = build.program(include_str!("shim_corners.c"))?;
        output(m.run(&program).current_dir(folder))?;
    }
    Ok(())
}

/// A divided model with threads, and without; the same program without an object that is divided, and an interface without threads.
fn threads(m: &Machine) -> Result<()> {
    let model = models::divisible();
    let ty = |compiled: &Compiled| compiled.main().signature.inputs[0].ty.clone();
    let whole = compile(m, "divisible", &model, Options::default())?;
    let mut image = Array::zeros(&ty(&whole));
    image.data = (0..image.data.len() / 4).flat_map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0).to_le_bytes()).collect();
    let inputs = vec![vec![image]; 3];
    let mut expected: Option<Vec<Vec<Array>>> = None;
    let sanitized = ["-DCRANELITE_SHIM_THREADS", "-fsanitize=thread"];
    let kinds: &[(usize, &[&str])] = &[(1, &[]), (3, &[]), (1, &sanitized[..1]), (3, &sanitized[..1]), (3, &sanitized)];
    for (divided, options) in &kinds[..if m.runner.is_empty() { 5 } else { 4 }] {
        let compiled = compile(m, "divisible", &model, Options { threads: *divided, ..Options::default() })?;
        let build = Build::new(m, &[("divisible", &compiled)], options)?;
        let program = build.program(include_str!("shim.c"))?;
        for threads in [1, 3] {
            let outputs = build.outputs(&program, "nowhere/divisible.tflite", &compiled, &inputs, threads)?;
            ensure!(expected.get_or_insert_with(|| outputs.clone()) == &outputs, "{divided} pieces on {threads} threads with {options:?}");
        }
    }
    Ok(())
}

/// All headers, by all of their paths, without a warning.
fn headers(compiler: &str, options: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut source = String::new();
    for name in ["c_api_experimental", "c_api", "c_api_types", "common"] {
        for path in ["tensorflow/lite/c", "tensorflow/lite/core/c", "tflite/c", "tflite/core/c"] {
            source += &format!("#include \"{path}/{name}.h\"\n");
        }
    }
    source += "#include \"tflite_shim.h\"\nint main(void) { TfLiteTensor t; t.data.f = 0; return t.data.raw != 0; }\n";
    fs::write(folder.path().join("all.c"), source)?;
    let mut check = Command::new(compiler);
    check.current_dir(&folder).args(WARNINGS).args(options).args(["-Wconversion", "-fsyntax-only", "all.c", "-I"]);
    output(check.arg(stub().join("tflite_shim/include")).arg("-I").arg(stub().join("tflite_shim")))?;
    Ok(())
}

/// TensorFlow Lite's answers, and those of `run`.
fn suites() -> Result<()> {
    let (m, shared) = (&MACHINES[0], suite::shared().context("the suites")?);
    for (folder, names) in [("zoo", &ZOO[..]), ("conformance", &CONFORMANCE)] {
        let suite = Suite::open(shared.join(folder))?;
        for name in names {
            let case = suite.cases.iter().find(|c| c.name == *name).with_context(|| format!("no case {name}"))?;
            let (model, inputs) = (suite.model(case)?, suite.inputs(case)?);
            let compiled = compile(m, "tested", &model, Options::default())?;
            let build = Build::new(m, &[("tested", &compiled)], &[])?;
            fs::write(build.folder.path().join("model.tflite"), &model)?;
            let program = build.program(include_str!("shim.c"))?;
            let outputs = build.outputs(&program, "model.tflite", &compiled, &inputs, 1).with_context(|| name.to_string())?;
            suite.judge(case, &outputs).with_context(|| name.to_string())?;
            let native = Target::new(X86, Some(m.cpu))?.runs_here();
            let mut instance = Instance::new(&compiled).map_err(|e| anyhow!("{e:?}"))?;
            if native {
                let run = instance.run(&inputs).map_err(|e| anyhow!("{e:?}"))?;
                let run: Vec<_> = run.iter().map(|step| compiled.main().signature.own_outputs(step)).collect();
                ensure!(run == outputs, "{name}: not what `run` gives");
            }
        }
    }
    Ok(())
}

/// `cranelite_add_tflite`, with objects that were compiled before.
fn cmake() -> Result<()> {
    let m = &MACHINES[0];
    let case = models::all().into_iter().find(|c| c.name == "tiny_i8").context("tiny_i8")?;
    let learner = Options { import: import::Options { signatures: Signatures::All, ..import::Options::default() }, ..Options::default() };
    let (tiny, learner) = (compile(m, "tiny_i8", &case.model, Options::default())?, compile(m, "learner", &models::learner(), learner)?);
    let build = Build::new(m, &[("tiny_i8", &tiny), ("learner", &learner)], &[])?;
    let folder = build.folder.path();
    for (path, text) in [
        ("main.c", include_str!("shim.c")),
        ("tiny_i8.h", &tiny.header),
        ("learner.h", &learner.header),
        (
            "CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.20)\nproject(app C)\nfind_package(Cranelite REQUIRED)\n\
             add_executable(app main.c)\nadd_executable(other main.c)\nset(CMAKE_C_STANDARD 99)\n\
             cranelite_add_model(app PREBUILT tiny_i8.o)\ncranelite_add_model(app PREBUILT learner.o)\ncranelite_add_tflite(app THREADS)\n\
             cranelite_add_model(other PREBUILT learner.o)\ncranelite_add_tflite(other)\n",
        ),
    ] {
        fs::write(folder.join(path), text)?;
    }
    let mut configure = Command::new("cmake");
    output(configure.current_dir(folder).args(["-S", ".", "-B", "b"]).arg(format!("-DCranelite_DIR={}", stub().join("cmake").display())))?;
    output(Command::new("cmake").current_dir(folder).args(["--build", "b"]))?;
    let outputs = build.outputs(&folder.join("b/app"), "nowhere/tiny_i8.tflite", &tiny, &case.inputs(), 2)?;
    case.judge(&outputs)?;
    let Err(refused) = build.outputs(&folder.join("b/other"), "nowhere/tiny_i8.tflite", &tiny, &case.inputs(), 2) else {
        bail!("a program has a model of another one")
    };
    ensure!(format!("{refused:#}").contains("none of the 1 linked objects has its name"), "{refused:#}");
    Ok(())
}
