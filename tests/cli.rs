//! The command line as its users see it: texts in `cli/*.txt`, each a session with commands and what they print.
//!
//! A line `$ cranelite ...` is a command; what follows is its standard output, its standard error (after `! `) and its exit code (`= 1`)
//! unless that is 0. `$ ls DIR` lists files. `CRANELITE_BLESS=1` rewrites the texts. The idea: this program is also `cranelite` when
//! asked to by an environment variable, so real processes are tested without knowing where cargo put the program.

use anyhow::{Context, Result, bail, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;
use cranelite_tests::maker::{Activation, Code, Element, Maker};
use cranelite_tests::models;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const AS_PROGRAM: &str = "CRANELITE_TESTS_AS_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return cranelite::cli::main();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli");
    let mut sessions: Vec<PathBuf> = fs::read_dir(&folder).expect("the folder cli").map(|e| e.expect("a readable folder").path()).collect();
    sessions.sort();
    let trial = |path: PathBuf| {
        let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
        Trial::test(name, move || session(&path).map_err(|e| Failed::from(format!("{e:?}"))))
    };
    libtest_mimic::run(&Arguments::from_args(), sessions.into_iter().map(trial).collect()).exit_code()
}

fn session(path: &Path) -> Result<()> {
    let expected = fs::read_to_string(path)?;
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
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
    let mut words = command.split_whitespace();
    match words.next() {
        Some("cranelite") => {
            let out = Command::new(std::env::current_exe()?).args(words).current_dir(folder).env(AS_PROGRAM, "1").output()?;
            let mut text: String = String::from_utf8(out.stdout)?.lines().map(|l| format!("{}\n", portable(l))).collect();
            for line in String::from_utf8(out.stderr)?.lines() {
                writeln!(text, "! {line}")?;
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

/// Without what differs between machines.
fn portable(line: &str) -> &str {
    line.split_inclusive(':').next().filter(|l| l.starts_with("This machine")).unwrap_or(line)
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
    let x = |element, shape: &[usize]| {
        let size = shape.iter().product::<usize>() * if element == ElementType::F32 { 4 } else { 1 };
        Array { element, shape: shape.to_vec(), data: vec![0; size] }.to_npy().expect("a type that NumPy has")
    };
    write("x.npy", &x(ElementType::F32, &[1, 5]))?;
    write("x_i8.npy", &x(ElementType::I8, &[1, 5]))?;
    write("x_wide.npy", &x(ElementType::F32, &[1, 6]))?;
    write("x_batch.npy", &x(ElementType::F32, &[4, 5]))?;
    Ok(write("x.txt", b"1 2 3")?)
}

/// Two operators that are not supported, and one with element types that it does not take.
fn unsupported() -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 5], None);
    let [a, b] = ["a", "b"].map(|name| m.f32(name, &[1, 5], None));
    let c = m.tensor("c", Element::FLOAT64, &[1, 5], None, None);
    let d = m.tensor("d", Element::FLOAT64, &[1, 5], None, None);
    m.operator(Code::LSH_PROJECTION, &[x], &[a], None);
    m.operator(Code::EMBEDDING_LOOKUP_SPARSE, &[a], &[b], None);
    m.operator(Code::RELU, &[c], &[d], None);
    m.fully_connected(&[b, x], a, Activation::NONE);
    m.finish(&[x, c], &[d])
}
