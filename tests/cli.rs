//! The command line as its users see it: texts in `cli/*.txt`, each a session with commands and what they print.
//!
//! A line `$ cranelite ...` is a command, with variables of its environment before it (`$ NAME=value cranelite ...`); what follows is its standard
//! output, its standard error (after `! `) and its exit code (`= 1`) unless that is 0. `$ ls DIR` lists files. `CRANELITE_BLESS=1` rewrites the texts. The idea: this program is also `cranelite` when
//! asked to by an environment variable, so real processes are tested without knowing where cargo put the program.

#[path = "cli/count.rs"]
mod count;
#[cfg(unix)]
#[path = "cli/metrics.rs"]
mod metrics;
#[path = "cli/odd.rs"]
mod odd;

use anyhow::{Context, Result, bail, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;
use cranelite_tests::described;
use cranelite_tests::maker::{Activation, Code, Element, Maker};
use cranelite_tests::models;
use cranelite_tests::tools::{exists, is_required};
use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

const AS_PROGRAM: &str = "CRANELITE_TESTS_AS_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return cranelite::cli::main();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli");
    let mut sessions: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder cli")
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    sessions.sort();
    let trial = |path: PathBuf| {
        let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
        Trial::test(name, move || session(&path).map_err(|e| Failed::from(format!("{e:#}"))))
    };
    let mut trials: Vec<Trial> = sessions.into_iter().map(trial).collect();
    let no_emulator = !exists(EMULATOR) && !is_required() || cfg!(not(target_arch = "x86_64"));
    let older = || older_cpu().map_err(|e| Failed::from(format!("{e:#}")));
    trials.push(Trial::test("older_cpu", older).with_ignored_flag(no_emulator));
    trials.push(Trial::test("timings", || timings().map_err(|e| Failed::from(format!("{e:#}")))));
    trials.push(Trial::test("json", || json().map_err(|e| Failed::from(format!("{e:#}")))));
    trials
        .push(Trial::test("interrupted", || interrupted().map_err(|e| Failed::from(format!("{e:#}")))).with_ignored_flag(cfg!(not(unix))));
    #[cfg(unix)]
    trials.extend(metrics::trials());
    trials.extend(odd::trials());
    trials.extend(count::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn session(path: &Path) -> Result<()> {
    let expected = fs::read_to_string(path)?;
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    if expected.contains(".toml") {
        set_up_pipelines(folder.path())?;
    }
    if expected.contains("packable.tflite") {
        fs::write(folder.path().join("packable.tflite"), models::packable())?;
    }
    if expected.contains("metadata/") {
        set_up_metadata(folder.path())?;
    }
    let mut found = String::new();
    for line in expected.lines().filter(|l| l.starts_with("$ ") || l.starts_with('#')) {
        let is_after_comment = found.lines().last().is_none_or(|l| l.starts_with('#'));
        if !is_after_comment {
            found.push('\n');
        }
        writeln!(found, "{line}")?;
        if let Some(command) = line.strip_prefix("$ ") {
            found.push_str(&execute(command, folder.path())?);
        }
    }
    if std::env::var_os("CRANELITE_BLESS").is_some() {
        return Ok(fs::write(path, found)?);
    }
    if let Some((n, (found, expected))) = lines(&found).zip(lines(&expected)).enumerate().find(|(_, (f, e))| f != e) {
        bail!("{}:{}: not as blessed (CRANELITE_BLESS=1 rewrites)\n  expected: {expected}\n  found:    {found}", path.display(), n + 1);
    }
    Ok(())
}

/// With an end that differs from every line, so that a shorter text differs from a longer one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().chain(["\0"])
}

fn execute(command: &str, folder: &Path) -> Result<String> {
    let is_variable = |w: &&str| w.starts_with("CRANELITE_") && w.contains('=');
    let variables = command.split_whitespace().take_while(is_variable).filter_map(|w| w.split_once('='));
    let mut words = command.split_whitespace().skip_while(is_variable);
    match words.next() {
        Some("cranelite") => {
            let out = command_of(words, folder)?.envs(variables).output()?;
            let mut text: String = String::from_utf8(out.stdout)?.lines().map(|l| format!("{}\n", portable(l))).collect();
            for line in String::from_utf8(out.stderr)?.lines() {
                writeln!(text, "! {}", portable(line))?;
            }
            let code = out.status.code().context("ended by a signal")?;
            ensure!([0, 1, 2].contains(&code), "exit code {code}");
            if code != 0 {
                writeln!(text, "= {code}")?;
            }
            Ok(text)
        }
        Some("ls") => {
            let of = folder.join(words.next().unwrap_or("."));
            let mut names: Vec<_> = fs::read_dir(of)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
            names.sort();
            Ok(names.iter().map(|n| format!("{n}\n")).collect())
        }
        other => bail!("no command {other:?}"),
    }
}

/// Every command with --json prints one line, an object with the documented keys.
fn json() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    set_up_metadata(folder.path())?;
    for (command, keys) in [
        ("bench perceptron.tflite --json --min-ms 1 --threads 1", "median_us min_us p90_us runs load_us first_us arena_bytes macs level"),
        (
            "bench perceptron.tflite --json --min-ms 1 --per-op --cpu native",
            "median_us operators operators_us whole_us percent_of_peak peak_gops",
        ),
        ("hwbench --json --min-ms 1", "clock_ghz products reading"),
        (
            "inspect tiny_i8.tflite --json",
            "macs rescaling const_bytes code_bytes arena_bytes arena_lower_bound_bytes state_bytes stack_bytes inputs outputs levels operators",
        ),
        ("inspect metadata/scores.tflite --json --metadata", "metadata inputs outputs"),
        ("compile tiny_i8.tflite --json", "object header prefix arena_bytes"),
        (
            "optimize tiny_i8.tflite -o out/o.tflite --prune 0.5 --json",
            "file_bytes changed left_alone weights zeros bytes least_bytes comparison",
        ),
        ("check tiny_i8.tflite --json", "diagnostics"),
        ("check broken.tflite --json", "diagnostics error"),
        ("compile broken.tflite --json", "diagnostics error"),
        ("compile tiny_i8.tflite --target thumbv5te-none-eabi --json", "diagnostics error"),
    ] {
        let out = program(command.split(' '), folder.path())?;
        let out = String::from_utf8(out.stdout)?;
        ensure!(out.lines().count() == 1, "{command}: {out}");
        let value: serde_json::Value = serde_json::from_str(&out).with_context(|| out.clone())?;
        let missing: Vec<_> = keys.split(' ').filter(|k| value.get(k).is_none()).collect();
        ensure!(missing.is_empty(), "{command}: no {missing:?} in {out}");
    }
    rescalings(folder.path())
}

/// The report says in which form every channel of integers is rescaled: all 13 of `tiny_i8`, whatever the level.
fn rescalings(folder: &Path) -> Result<()> {
    for level in ["x86-64", "x86-64-v4+avx512vnni"] {
        let command = format!("inspect tiny_i8.tflite --json --target x86_64-unknown-linux-gnu --cpu {level}");
        let value: serde_json::Value = serde_json::from_slice(&program(command.split(' '), folder)?.stdout)?;
        let channels = |forms: &serde_json::Value| forms.as_object().map_or(0, |f| f.values().filter_map(|n| n.as_u64()).sum());
        let of_operators: Vec<u64> =
            value["operators"].as_array().context("operators")?.iter().map(|o| channels(&o["rescaling"][level])).collect();
        ensure!(of_operators == [5, 5, 0, 0, 3] && channels(&value["rescaling"][level]) == 13, "{level}: {value}");
    }
    Ok(())
}

/// Ctrl-C ends Python too, and leaves nothing behind.
fn interrupted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary)?;
    let mut command = command_of(["compile", "net.keras", "-o", "out"], folder.path())?;
    command.env("CRANELITE_PYTHON", "./python").env("CRANELITE_TEST", "sleep").env("TMPDIR", &temporary);
    let mut child = command.spawn()?;
    let began = Instant::now();
    while !temporary.join("started").exists() {
        ensure!(began.elapsed() < Duration::from_secs(60), "Python was not started");
        thread::sleep(Duration::from_millis(10));
    }
    ensure!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success(), "no signal was sent");
    let status = child.wait()?;
    ensure!(status.code() == Some(130) && began.elapsed() < Duration::from_secs(50), "{status}");
    let left: Vec<_> = fs::read_dir(&temporary)?.map(|e| Ok(e?.file_name())).collect::<Result<_>>()?;
    ensure!(left == ["started"] && !folder.path().join("out").exists(), "{left:?}");
    Ok(())
}

const EMULATOR: &str = "qemu-x86_64-static";

/// On a CPU without AVX, code that needs it is refused by name, and of several levels one that runs is chosen.
fn older_cpu() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let run = |arguments: &str| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(EMULATOR);
        command.args(["-cpu", "Nehalem"]).arg(std::env::current_exe()?).args(arguments.split(' '));
        let out = command.current_dir(&folder).env(AS_PROGRAM, "1").output()?;
        Ok((out.status.code(), String::from_utf8(out.stdout)? + &String::from_utf8(out.stderr)?))
    };
    for command in ["run perceptron.tflite --input x.npy --output-dir out --cpu", "bench perceptron.tflite --min-ms 1 --per-op --cpu"] {
        for (cpu, lacks) in
            [("x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma lzcnt for x86-64-v3\n"), ("haswell,x86-64+avx", "avx for x86-64+avx")]
        {
            let (code, text) = run(&format!("{command} {cpu}"))?;
            let is_told = text.contains("error[E0602]") && text.contains(lacks) && text.contains("found:    x86-64-v2\n");
            ensure!(code == Some(2) && is_told, "{command} {cpu}: {code:?} {text}");
        }
        let (code, text) = run(&format!("{command} x86-64,x86-64-v3,x86-64-v2"))?;
        ensure!(code == Some(0) && (command.starts_with("run") || text.contains(" on x86-64-v2;")), "{code:?} {text}");
    }
    let (code, text) = run("run perceptron.tflite --input x.npy --output-dir out --cpu x86-64-v3 --no-cpu-check")?;
    ensure!(code == Some(2) && text.contains("error[E0602]"), "{code:?} {text}");
    Ok(())
}

/// What is printed of timings, without the numbers.
fn timings() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let lines = |command: &str| -> Result<Vec<String>> {
        let out = program(command.split(' '), folder.path())?;
        ensure!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?.lines().map(numberless).collect())
    };
    let found = lines("bench perceptron.tflite --per-op --min-ms 1")?;
    let expected = [
        "median N µs, least N, N % within N, of N runs on LEVEL; N G multiply-accumulates per second",
        "loaded in N µs, first run N µs",
        "index operator median share MACs speed of peak",
        "N FULLY_CONNECTED N µs N % N N GOP/s N %",
        "N FULLY_CONNECTED N µs N % N N GOP/s N %",
        "sum N µs; the whole takes N µs: N MACs, N GOP/s, N % of peak",
        "peak at this level fN N GOP/s; a MAC is two operations",
    ];
    ensure!(found == expected, "{found:#?}");
    let found = lines("bench tiny_i8.tflite --per-op --min-ms 1")?;
    ensure!(found.iter().any(|l| l == "N AVERAGE_POOL_ND N µs N % N GB/s"), "{found:#?}");
    let found = lines("hwbench --min-ms 1")?;
    let is = |line: Option<&String>, start: &str| line.is_some_and(|l| l.starts_with(start));
    ensure!(is(found.first(), "clock N GHz") && is(found.get(3), "bits fN GFLOP/s iN GOP/s iN GOP/s level"), "{found:#?}");
    ensure!(is(found.get(4), "N N N N ") && is(found.last(), "memory N GB/s (N KiB)"), "{found:#?}");
    Ok(())
}

/// One space between words, `N` instead of numbers, no name of a level.
fn numberless(line: &str) -> String {
    let mut out = String::new();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = match line.split_once(" runs on ").and_then(|(before, after)| Some((before, after.split_once(';')?.1))) {
        Some((before, after)) => format!("{before} runs on LEVEL;{after}"),
        None => line,
    };
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_ascii_digit() {
            out.push(c);
            continue;
        }
        let mut end = c;
        while let Some(&next) = rest.peek().filter(|n| n.is_ascii_digit() || ['.', ','].contains(n)) {
            end = next;
            rest.next();
        }
        out.push('N');
        out.extend((!end.is_ascii_digit()).then_some(end));
    }
    out
}

fn program<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>, folder: &Path) -> Result<std::process::Output> {
    Ok(command_of(words, folder)?.output()?)
}

fn command_of<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>, folder: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir(folder).env(AS_PROGRAM, "1");
    Ok(command)
}

/// Without what differs between machines or follows from each change of generated code: features, and numbers of bytes.
fn portable(line: &str) -> String {
    if line.starts_with("This machine") {
        return "This machine (--cpu native): ...".into();
    }
    let words: Vec<&str> = line.split(' ').collect();
    let is_number = |w: &str| w.starts_with(|c: char| c.is_ascii_digit()) && w.chars().all(|c| c.is_ascii_digit() || c == ',');
    let is_size = |i: usize| {
        is_number(words[i]) && (line.starts_with("arena ") || words.get(i + 1).is_some_and(|w| w.trim_end_matches(',') == "bytes"))
    };
    if !(0..words.len()).any(is_size) {
        return line.into();
    }
    let words = (0..words.len()).map(|i| if is_size(i) { "N" } else { words[i] });
    words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The files that sessions use.
fn set_up(folder: &Path) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes);
    for case in models::all() {
        write(&format!("{}.tflite", case.name), &case.model)?;
    }
    let perceptron = &models::all()[0];
    write("broken.tflite", &perceptron.model[..perceptron.model.len() / 2])?;
    write("text.tflite", b"this is a text")?;
    write("unsupported.tflite", &unsupported())?;
    write("two_subgraphs.tflite", &two_subgraphs())?;
    write("custom.tflite", &models::custom())?;
    write("learner.tflite", &models::learner())?;
    let x = |element, shape: &[usize]| {
        let size = shape.iter().product::<usize>() * if element == ElementType::F32 { 4 } else { 1 };
        Array { element, shape: shape.to_vec(), data: vec![0; size] }.to_npy().expect("a type that NumPy has")
    };
    write("x.npy", &x(ElementType::F32, &[1, 5]))?;
    write("x_12.npy", &x(ElementType::F32, &[1, 12]))?;
    write("one.npy", &x(ElementType::F32, &[1]))?;
    write("x_i8.npy", &x(ElementType::I8, &[1, 5]))?;
    write("x_wide.npy", &x(ElementType::F32, &[1, 6]))?;
    write("x_batch.npy", &x(ElementType::F32, &[4, 5]))?;
    write("x.txt", b"1 2 3")?;
    write("net.keras", b"PK\x03\x04")?;
    fs::create_dir(folder.join("saved"))?;
    write("saved/saved_model.pb", b"\x08\x01\x12")?;
    write("net.npz", b"PK\x03\x04")?;
    // Two samples.
    let samples =
        Array { element: ElementType::F32, shape: vec![2, 5], data: (1..=10).flat_map(|i| (i as f32 * 0.25).to_le_bytes()).collect() };
    write("x.npz", &described::archived(vec![], &[("x.npy", samples.to_npy().expect("a type that NumPy has"), true)]))?;
    // It also stands in for a Python that is there and is none.
    write("python", PYTHON.as_bytes())?;
    #[cfg(unix)]
    fs::set_permissions(folder.join("python"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// What a Python does that gets the converter's script: what CRANELITE_TEST says. `tests/convert/run.py` has the real one.
const PYTHON: &str = r#"#!/bin/sh
[ "$1" = -c ] && echo 3.13.1 /usr/bin/python3 && exit
shift 2
cd "$(dirname "$0")"
case $CRANELITE_TEST in
    arguments) printf ' %s' "$@" >&2; exit 1 ;;
    module) echo "ModuleNotFoundError: No module named 'tensorflow'" >&2; exit 1 ;;
    other) echo "ModuleNotFoundError: No module named 'litert_torch.inner'" >&2; exit 1 ;;
    sleep) touch "$CRANELITE_FOLDER/../started"; exec sleep 60 ;;
    crash) echo "phase quantising the model (int8)"; kill -KILL $$ ;;
    refused)
        printf '{"code": "E0507", "message": "no", "expected": "e", "found": "f\\u001b", "help": null}' > "$CRANELITE_FOLDER/problem.json"
        exit 1 ;;
    *)
        echo "phase converting the model"
        echo "note calibration: 20 samples of net.npz"
        for name in model reference; do cp perceptron.tflite "$CRANELITE_FOLDER/$name.tflite"; done ;;
esac
"#;

/// The files that only sessions about pipelines use.
fn set_up_pipelines(folder: &Path) -> Result<()> {
    let two = Array { element: ElementType::F32, shape: vec![2], data: vec![0; 8] };
    fs::write(folder.join("two.npy"), two.to_npy().expect("a type that NumPy has"))?;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/pipelines"))? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    Ok(())
}

/// Models that say what they are, and that lie about it.
fn set_up_metadata(folder: &Path) -> Result<()> {
    let mut all = vec![
        ("scores", described::scoring(&described::scores(), &[1, 5], 3)),
        ("image", described::scoring(&described::image(), &[1, 4, 4, 1], 2)),
        ("sound", described::scoring(&described::sound(), &[1, 16], 3)),
        ("boxes", described::boxing(&described::boxes())),
    ];
    for lie in described::LIES {
        let mut of = described::scores();
        (lie.change)(&mut of);
        all.push((lie.name, described::scoring(&of, &[1, 5], 3)));
    }
    let mut damaged = all[0].1.clone();
    let at = damaged.windows(4).position(|w| w == b"M001").expect("metadata");
    damaged[at - 4..at].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    all.push(("damaged", damaged));
    fs::create_dir(folder.join("metadata"))?;
    for (name, bytes) in all {
        fs::write(folder.join(format!("metadata/{name}.tflite")), bytes)?;
    }
    Ok(())
}

/// The second one is not compiled.
fn two_subgraphs() -> Vec<u8> {
    let mut m = Maker::default();
    m.more_subgraphs.push("second".into());
    let [x, y] = ["x", "y"].map(|name| m.f32(name, &[1, 5], None));
    m.operator(Code::RELU, &[x], &[y], None);
    m.finish(&[x], &[y])
}

/// Operators that are not supported, some of one kind, and one with element types that it does not take.
fn unsupported() -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 5], None);
    let [a, b] = ["a", "b"].map(|name| m.f32(name, &[1, 5], None));
    let c = m.tensor("c", Element::FLOAT64, &[1, 5], None, None);
    let d = m.tensor("d", Element::FLOAT64, &[1, 5], None, None);
    m.operator(Code::SKIP_GRAM, &[x], &[a], None);
    m.operator(Code::CONCAT_EMBEDDINGS, &[a], &[b], None);
    m.operator(Code::RELU, &[c], &[d], None);
    m.fully_connected(&[b, x], a, Activation::NONE);
    let e: Vec<i32> = ["e0", "e1", "e2"].map(|name| m.f32(name, &[1, 5], None)).to_vec();
    e.iter().for_each(|&e| m.operator(Code::SKIP_GRAM, &[x], &[e], None));
    // Nobody needs its result, so it is no problem.
    let dead = m.f32("dead", &[1, 5], None);
    m.operator(Code::SKIP_GRAM, &[x], &[dead], None);
    m.finish(&[x, c], &[vec![d, b], e].concat())
}
