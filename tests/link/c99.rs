//! Models as files in C, compiled by several compilers for several machines: TensorFlow Lite's answers, what objects need, what checkers say, and what is not there.
//!
//! What objects have beside (signatures, threads, weights, …) is tested for C by the same tests as for objects: `tools::IN_C` are machines like others.

use super::failed;
use anyhow::{Context, Result, anyhow, ensure};
use cranelite::array::Array;
use cranelite::cc;
use cranelite::fit;
use cranelite::foreign::{self, Tools};
use cranelite::limits::Limits;
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import;
use cranelite_graph::lower::{Goal, Preferences};
use cranelite_tests::models::{self, Case};
use cranelite_tests::suite::{self, Suite};
use cranelite_tests::tools::{STRICT, exists, is_required, output};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What C leaves undefined ends the program, and so does an access beyond an array.
const CHECKED: &[&str] = &["-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

/// How programs are made and run.
struct Compiler {
    name: &'static str,
    words: &'static [&'static str],
    options: &'static [&'static str],
    runner: &'static [&'static str],
}

/// The last for a machine whose numbers have the highest byte first.
#[rustfmt::skip] // A table.
const COMPILERS: [Compiler; 4] = [
    Compiler { name: "gcc", words: &["gcc"], options: CHECKED, runner: &[] },
    Compiler { name: "clang", words: &["clang"], options: CHECKED, runner: &[] },
    Compiler { name: "gcc_m32", words: &["gcc", "-m32", "-msse2", "-mfpmath=sse"], options: CHECKED, runner: &[] },
    Compiler { name: "powerpc", words: &["powerpc-linux-gnu-gcc", "-static"], options: &[], runner: &["qemu-ppc-static"] },
];

/// Cores without operating system: the compiler with its options, its nm, and functions that it may take from its own library for models of integers.
struct Core {
    name: &'static str,
    words: &'static [&'static str],
    nm: &'static str,
    helpers: &'static [&'static str],
}

/// Products and shifts of 64 bits, quotients of 32, and single floats, where there are no instructions.
const HELPERS_V6M: &[&str] = &[
    "__aeabi_lmul",
    "__aeabi_llsl",
    "__aeabi_lasr",
    "__aeabi_llsr",
    "__aeabi_idiv",
    "__aeabi_uidiv",
    "__aeabi_idivmod",
    "__aeabi_uidivmod",
    "__aeabi_f2iz",
    "__aeabi_i2f",
    "__aeabi_fadd",
    "__aeabi_fsub",
    "__aeabi_fmul",
    "__aeabi_fdiv",
    "__aeabi_fcmpeq",
    "__aeabi_fcmpge",
    "__aeabi_fcmplt",
    "__aeabi_fcmple",
    "__aeabi_fcmpgt",
];
const HELPERS_RV32: &[&str] = &[
    "__muldi3",
    "__ashldi3",
    "__ashrdi3",
    "__lshrdi3",
    "__fixsfsi",
    "__floatsisf",
    "__addsf3",
    "__subsf3",
    "__mulsf3",
    "__divsf3",
    "__eqsf2",
    "__nesf2",
    "__gesf2",
    "__gtsf2",
    "__lesf2",
    "__ltsf2",
    "__clzsi2",
];

#[rustfmt::skip] // A table.
const CORES: [Core; 4] = [
    Core { name: "cortex-m0plus", words: &["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"], nm: "arm-none-eabi-nm", helpers: HELPERS_V6M },
    Core { name: "cortex-m4", words: &["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard"], nm: "arm-none-eabi-nm", helpers: &[] },
    Core { name: "cortex-m55", words: &["arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"], nm: "arm-none-eabi-nm", helpers: &[] },
    Core { name: "rv32imc", words: &["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"], nm: "riscv64-unknown-elf-nm", helpers: HELPERS_RV32 },
];

/// Of each suite one of so many cases, by the hash of its name; CRANELITE_ALL=1 takes all.
const SUITES: [(&str, u64); 3] = [("conformance", 120), ("zoo", 15), ("zoo2", 15)];

/// Models of integers, of all kinds of microcontrollers' uses.
const OF_INTEGERS: [&str; 6] =
    ["mlperf_kws_int8", "mlperf_resnet8_int8", "mlperf_ad01_int8", "mlperf_vww_int8", "tflm_micro_speech_int8", "mww_v2_okay_nabu"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![];
    for compiler in &COMPILERS {
        let name = compiler.name;
        let ignored = !compiler.works() && !is_required();
        let own = move || own(compiler).map_err(failed);
        trials.push(Trial::test(format!("c99/own/{name}"), own).with_ignored_flag(ignored));
        for (folder, one_of) in SUITES {
            let suites = move || suites(folder, one_of, compiler).map_err(failed);
            trials.push(Trial::test(format!("c99/{folder}/{name}"), suites).with_ignored_flag(ignored || suite::shared().is_none()));
        }
    }
    for compiler in ["gcc", "clang"] {
        let ignored = !exists(compiler) && !is_required();
        let all = move || models::all().iter().try_for_each(|case| strict(case, compiler).context(case.name)).map_err(failed);
        trials.push(Trial::test(format!("c99/strict/{compiler}"), all).with_ignored_flag(ignored));
        let needs = move || needs_nothing(compiler).map_err(failed);
        trials.push(Trial::test(format!("c99/needs_nothing/{compiler}"), needs).with_ignored_flag(ignored || suite::shared().is_none()));
    }
    for core in &CORES {
        let ignored = !exists(core.words[0]) && !is_required();
        let all = move || on_core(core).map_err(failed);
        trials.push(Trial::test(format!("c99/core/{}", core.name), all).with_ignored_flag(ignored));
    }
    let misra = Trial::test("c99/misra", || misra().map_err(failed));
    trials.push(misra.with_ignored_flag(!exists("cppcheck") && !is_required()));
    let no_compiler = !exists("gcc") && !is_required();
    trials.push(Trial::test("c99/built", || built().map_err(failed)).with_ignored_flag(no_compiler));
    trials.push(Trial::test("c99/flash", || flash().map_err(failed)));
    trials.push(Trial::test("c99/refused", || refused().map_err(failed)));
    trials
}

impl Compiler {
    /// It is there, with what it needs to make programs, and so is the emulator.
    fn works(&self) -> bool {
        let Ok(folder) = tempfile::tempdir() else { return false };
        let file = folder.path().join("main.c");
        let is_written = fs::write(&file, "int main(void) { return 0; }\n").is_ok();
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]).args(self.options).arg(&file).arg("-o").arg(folder.path().join("main"));
        is_written && output(&mut command).is_ok() && self.runner.first().is_none_or(|r| exists(r))
    }
}

fn compile(model: &[u8], import: import::Options, io: Io) -> Result<Compiled> {
    let options = Options { prefix: "model".into(), import, io, ..Options::default() };
    let target = Target::new("c99", None)?;
    pipeline::compile(model, &[target], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// What a program with the file in C computes; each step by itself where their numbers decide about shapes.
fn run(model: &[u8], steps: Vec<Vec<Array>>, compiler: &Compiler) -> Result<Vec<Vec<Array>>> {
    let fit::Fitted { import, steps, .. } = match fit::fit(model, import::Options::default(), steps.clone()) {
        Err(problems) if problems[0].code == Code::INPUT && 1 < steps.len() => {
            let mut all = vec![];
            for step in steps {
                all.extend(run(model, vec![step], compiler)?);
            }
            return Ok(all);
        }
        fitted => fitted.map_err(|e| anyhow!("{e:?}"))?,
    };
    let compiled = compile(model, import, Io::Caller)?;
    let linker = compiler.words.iter().chain(compiler.options).map(ToString::to_string).collect();
    // The program around it gives no memory back.
    let runner = ["env", "ASAN_OPTIONS=detect_leaks=0"].iter().chain(compiler.runner).map(ToString::to_string).collect();
    let outputs = foreign::run(&compiled, &Tools { linker, runner }, &steps).map_err(|e| anyhow!("{e}"))?;
    Ok(outputs.iter().map(|step| compiled.main().signature.own_outputs(step)).collect())
}

fn own(compiler: &Compiler) -> Result<()> {
    for case in models::all() {
        let outputs = run(&case.model, case.inputs(), compiler).with_context(|| case.name)?;
        case.judge(&outputs).with_context(|| case.name)?;
    }
    Ok(())
}

/// With everything that can be asked for.
fn full(model: &[u8], io: Io, goal: Goal) -> Result<Compiled> {
    let options = Options {
        prefix: "model".into(),
        io,
        threads: 2,
        profile: true,
        self_test: true,
        prefer: Preferences::from(goal),
        ..Options::default()
    };
    pipeline::compile(model, &[Target::new("c99", None)?], &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// Writes model.c and model.h.
fn write(folder: &Path, compiled: &Compiled) -> Result<()> {
    fs::write(folder.join("model.c"), &compiled.object.bytes)?;
    Ok(fs::write(folder.join("model.h"), &compiled.header)?)
}

/// Nothing is said of the file by a compiler, it needs no library, and has no more names than objects have.
fn strict(case: &Case, compiler: &str) -> Result<()> {
    for io in [Io::Caller, Io::Arena] {
        for (compiled, expected) in [
            (compile(&case.model, import::Options::default(), io)?, &["model_invoke", "model_model"][..]),
            (
                full(&case.model, io, Goal::Size)?,
                &["model_invoke", "model_invoke_parallel", "model_model", "model_profile", "model_selftest"],
            ),
        ] {
            let folder = tempfile::tempdir()?;
            write(folder.path(), &compiled)?;
            output(Command::new(compiler).args(STRICT).args(["-O2", "-c", "model.c", "-o", "model.o"]).current_dir(&folder))?;
            let names = output(Command::new("nm").args(["-g", "--format=just-symbols", "model.o"]).current_dir(&folder))?;
            let mut names: Vec<&str> = names.lines().collect();
            names.sort_unstable();
            ensure!(names == expected, "{names:?}");
        }
    }
    Ok(())
}

/// However compilers optimise, no loop becomes a call of the C library.
fn needs_nothing(compiler: &str) -> Result<()> {
    let states = ["mww_v2_okay_nabu", "dtln_model_quant_1"];
    for name in OF_INTEGERS.iter().chain(&states) {
        let Some(model) = of_zoo(name)? else { continue };
        let folder = tempfile::tempdir()?;
        write(folder.path(), &full(&model, Io::Caller, Goal::Speed)?)?;
        for level in ["-O1", "-O2", "-O3", "-Os"] {
            output(Command::new(compiler).args([level, "-c", "model.c", "-o", "model.o"]).current_dir(&folder))?;
            let undefined = output(Command::new("nm").args(["-u", "model.o"]).current_dir(&folder))?;
            ensure!(undefined.is_empty(), "{name} needs {undefined} with {level}");
        }
    }
    Ok(())
}

/// None where the suites lack it.
fn of_zoo(name: &str) -> Result<Option<Vec<u8>>> {
    for folder in ["zoo", "zoo2"] {
        let Some(shared) = suite::shared() else { return Ok(None) };
        let suite = Suite::open(shared.join(folder))?;
        if let Some(case) = suite.cases.iter().find(|c| c.name == name) {
            return Ok(Some(suite.model(case)?));
        }
    }
    Ok(None)
}

/// Compiled without a word, and for models of integers with no function of others but those of the core's compiler.
fn on_core(core: &Core) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let build = |compiled: &Compiled, options: &[&str]| -> Result<Vec<String>> {
        write(folder.path(), compiled)?;
        let mut command = Command::new(core.words[0]);
        command.args(&core.words[1..]).args(STRICT).args(options).args(["-c", "model.c", "-o", "model.o"]).current_dir(&folder);
        output(&mut command)?;
        let undefined = output(Command::new(core.nm).args(["-u", "--format=just-symbols", "model.o"]).current_dir(&folder))?;
        Ok(undefined.lines().map(|l| l.trim().to_string()).collect())
    };
    for case in models::all() {
        let undefined = build(&full(&case.model, Io::Caller, Goal::Size)?, &["-O2"]).context(case.name)?;
        ensure!(undefined.iter().all(|name| name.starts_with("__")), "{} needs {undefined:?}", case.name);
    }
    for name in OF_INTEGERS {
        let Some(model) = of_zoo(name)? else { continue };
        for level in ["-O2", "-Os"] {
            let undefined = build(&compile(&model, import::Options::default(), Io::Caller)?, &[level])?;
            ensure!(undefined.iter().all(|n| core.helpers.contains(&n.as_str())), "{name} needs {undefined:?} with {level}");
        }
    }
    Ok(())
}

/// By the user's compiler: sizes and stack are known then, and in the header; what the compiler says of a failure is told.
fn built() -> Result<()> {
    let model = &models::all()[0].model;
    let options = Options { prefix: "model".into(), ..Options::default() };
    let once = |command: &str, flash_bytes: Option<u64>| -> Result<(Compiled, Vec<u8>), Vec<Diagnostic>> {
        let options = Options { limits: Limits { flash_bytes, ..Limits::default() }, ..options.clone() };
        let target = Target::new("c99", None).expect("a target");
        let mut compiled = pipeline::compile(model, &[target], &options, &mut Stages::none())?;
        let object = pipeline::build(&mut compiled, &cc::Compiler::parse(command).expect("a command"), &options)?;
        Ok((compiled, object))
    };
    let (compiled, object) = once("gcc -O2 -DA='1 2'", None).map_err(|e| anyhow!("{e:?}"))?;
    let (Some(code), Some(stack)) = (compiled.code_bytes(), compiled.stack_bytes()) else { return Err(anyhow!("no sizes")) };
    ensure!(100 < code && 16 < stack && object.starts_with(b"\x7fELF"), "code {code}, stack {stack}");
    ensure!(compiled.header.contains(&format!("#define MODEL_STACK_BYTES {stack}\n")), "{}", compiled.header);
    // Neither a compiler that puts code off until programs are linked, nor one without the option for the stack.
    let put_off = once("gcc -O2 -flto", None).map_err(|e| anyhow!("{e:?}"))?.0;
    ensure!(put_off.code_bytes().is_some_and(|bytes| 100 < bytes));
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("cc.sh");
    fs::write(&script, "case \"$*\" in *-fstack-usage*) echo unknown option >&2; exit 1;; esac\nexec gcc \"$@\"\n")?;
    let silent = once(&format!("sh '{}'", script.display()), None).map_err(|e| anyhow!("{e:?}"))?.0;
    ensure!(silent.code_bytes().is_some() && silent.stack_bytes().is_none() && !silent.header.contains("STACK_BYTES"));
    let message = |command: &str, flash| once(command, flash).err().map(|e| (e[0].code.0, e[0].to_string())).unwrap_or_default();
    let (code, text) = message("gcc -no-such-option", None);
    ensure!(
        code == "E0503" && text.contains("no-such-option") && text.contains("-c model.c -o model.o") && !text.contains("/tmp"),
        "{text}"
    );
    let (code, text) = message("gcc -O2", Some(compiled.object.const_bytes + 10));
    ensure!(code == "E0403" && text.contains("code and constants are larger") && text.contains("too many"), "{text}");
    Ok(())
}

/// Constants alone where nobody has compiled the file, and both in an object.
fn flash() -> Result<()> {
    let model = &models::all()[0].model;
    for (triple, what) in [("c99", "the constants alone are larger"), ("x86_64-unknown-linux-gnu", "code and constants are larger")] {
        let of = |flash_bytes| {
            let limits = Limits { flash_bytes: Some(flash_bytes), ..Limits::default() };
            let options = Options { prefix: "model".into(), limits, ..Options::default() };
            pipeline::compile(model, &[Target::new(triple, None).expect("a target")], &options, &mut Stages::none())
        };
        let object = of(1 << 20).map_err(|e| anyhow!("{e:?}"))?.object;
        let all = object.code_bytes + object.const_bytes;
        ensure!(of(all).is_ok());
        let problems = of(all - 1).err().context("accepted")?;
        ensure!(problems[0].code == Code::FLASH && problems[0].message.starts_with(what), "{problems:?}");
        ensure!(problems[0].found.as_ref().is_some_and(|found| found.contains("1 too many")), "{problems:?}");
    }
    Ok(())
}

/// Of the rules that the addon of cppcheck knows, the file departs from those alone that it says.
fn misra() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for case in models::all().iter().filter(|c| ["tiny_i8", "perceptron"].contains(&c.name)) {
        let compiled = full(&case.model, Io::Caller, Goal::Size)?;
        write(folder.path(), &compiled)?;
        let mut command = Command::new("cppcheck");
        // What the compiler's own headers define.
        let defined = [
            "-D__GNUC__=12",
            "-DUINT64_C(x)=x##ull",
            "-DINT64_C(x)=x##ll",
            "-DUINT32_C(x)=x##u",
            "-D__BYTE_ORDER__=1234",
            "-D__ORDER_LITTLE_ENDIAN__=1234",
            "-D__ORDER_BIG_ENDIAN__=4321",
            "-U__clang__",
            "-U__FLT_EVAL_METHOD__",
            "-U__ARM_BIG_ENDIAN",
            "-UCRANELITE_CONST",
            "-UCRANELITE_FAST_CODE",
        ];
        command.args(["--addon=misra", "--std=c99", "--quiet", "--template={id} {file}:{line}"]).args(defined).arg("model.c");
        let out = command.current_dir(&folder).output().context("cppcheck")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let file = String::from_utf8_lossy(&compiled.object.bytes).into_owned();
        let head = file.split("#include").next().unwrap_or_default();
        let allowed: Vec<&str> = head.lines().filter_map(|l| l.split_once(": ")).flat_map(|(rules, _)| rules.trim().split(", ")).collect();
        let mut found = 0;
        for line in said.lines().filter(|l| !l.is_empty()) {
            let rule = line.split_whitespace().next().and_then(|id| id.strip_prefix("misra-c2012-"));
            let rule = rule.with_context(|| format!("{}: {line}", case.name))?;
            ensure!(allowed.contains(&rule), "{}: {line}", case.name);
            found += 1;
        }
        ensure!(0 < found, "the addon says nothing at all");
    }
    Ok(())
}

fn suites(folder: &str, one_of: u64, compiler: &Compiler) -> Result<()> {
    let suite = Suite::open(suite::shared().context("the suites")?.join(folder))?;
    let is_all = std::env::var_os("CRANELITE_ALL").is_some();
    let hash = |name: &str| name.bytes().fold(0xcbf29ce484222325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3)) >> 20;
    let (mut run_count, mut left_out) = (0, 0);
    for case in suite.cases.iter().filter(|c| is_all || hash(&c.name) % one_of == 0) {
        let model = suite.model(case)?;
        // Tables of many words take compilers long, of millions minutes.
        if 400_000 < model.len() && !is_all {
            left_out += 1;
            continue;
        }
        let outputs = run(&model, suite.inputs(case)?, compiler).with_context(|| case.name.clone())?;
        suite.judge(case, &outputs).with_context(|| case.name.clone())?;
        run_count += 1;
    }
    ensure!(0 < run_count, "{folder}: no case, and {left_out} are too large");
    Ok(())
}

/// One sentence each, and no file that lacks what was asked for.
fn refused() -> Result<()> {
    let model = &models::all()[0].model;
    let target = Target::new("c99", None)?;
    let word = "--unwind";
    let options = Options { prefix: "model".into(), unwind: true, ..Options::default() };
    let Err(problems) = pipeline::compile(model, std::slice::from_ref(&target), &options, &mut Stages::none()) else {
        return Err(anyhow!("{word} is accepted"));
    };
    ensure!(
        problems[0].message.starts_with(word) && problems[0].message.contains("cannot be had in C yet"),
        "{word}: {}",
        problems[0].message
    );
    ensure!(Target::new("c99", Some("cortex-m4")).is_err());
    Ok(())
}
