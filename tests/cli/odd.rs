//! What nobody types on purpose: odd command lines, paths that are no text, names that would move a terminal's cursor, endless files.

use super::{AS_PROGRAM, program, set_up};
use anyhow::{Context, Result, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;
use cranelite_tests::maker::{Activation, Code, Element, Maker};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
#[cfg(target_os = "linux")]
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<()>| Trial::test(name, move || test().map_err(|e| Failed::from(format!("{e:#}"))));
    vec![
        trial("odd/commands", commands),
        trial("odd/arrays", arrays),
        trial("odd/full", full).with_ignored_flag(!cfg!(target_os = "linux")),
        trial("odd/memory", memory).with_ignored_flag(!cfg!(target_os = "linux")),
        trial("odd/names", names),
        trial("odd/paths", paths).with_ignored_flag(!cfg!(target_os = "linux")),
        trial("odd/pipes", pipes).with_ignored_flag(!cfg!(unix)),
    ]
}

/// Exit codes and command lines; `''` is an empty word. Where a number would be the machine's, the target is told.
const COMMANDS: &str = "
2 ''
2 '' ''
2 --
2 -
2 compile ''
1 compile .
1 compile /dev/null
1 compile x.txt
1 compile perceptron.tflite/
1 compile perceptron.tflite/x
2 compile perceptron.tflite perceptron.tflite
2 compile perceptron.tflite -o ''
2 compile perceptron.tflite -o a -o b
1 compile perceptron.tflite -o /dev/null
1 compile perceptron.tflite -o /dev/null/x
1 compile perceptron.tflite -o x.npy
1 compile perceptron.tflite -o x.npy/x.o
1 compile perceptron.tflite -o folder.o
0 compile perceptron.tflite -o new/deep/er/../x.o
0 compile perceptron.tflite -o .o
0 compile perceptron.tflite -o ...o
2 compile perceptron.tflite --name ''
2 compile perceptron.tflite --name _
2 compile perceptron.tflite --name 1
2 compile perceptron.tflite --name int
2 compile perceptron.tflite --name char8_t
2 compile perceptron.tflite --name a/b
2 compile perceptron.tflite --name cranelite
2 compile perceptron.tflite --name a --name b
2 compile perceptron.tflite --input-shape ''
1 compile perceptron.tflite --input-shape =
1 compile perceptron.tflite --input-shape x=
2 compile perceptron.tflite --input-shape x=-1,5
2 compile perceptron.tflite --input-shape x=1,NaN
2 compile perceptron.tflite --input-shape x=1.5
2 compile perceptron.tflite --input-shape x=99999999999999999999
1 compile perceptron.tflite --input-shape x=9223372036854775807,5
1 compile perceptron.tflite --input-shape x=4294967296,5
1 compile perceptron.tflite --input-shape =1,5
1 compile perceptron.tflite --input-shape y=1,5
2 compile perceptron.tflite --input-shape x=1,5 --input-shape x=2,5
2 check perceptron.tflite --input-shape x=1,5 --input-shape x=1,5
2 inspect perceptron.tflite --input-shape x=1,5 --input-shape x=2,5
0 compile perceptron.tflite --input-shape x=5
1 compile perceptron.tflite --input-shape x=6
2 compile perceptron.tflite --opt ''
2 compile perceptron.tflite --opt fast
2 compile perceptron.tflite --threads ''
2 compile perceptron.tflite --threads 0
2 compile perceptron.tflite --threads -1
2 compile perceptron.tflite --threads 257
2 compile perceptron.tflite --threads 99999999999999999999
0 compile perceptron.tflite --threads 256
2 compile perceptron.tflite --max-arena ''
2 compile perceptron.tflite --max-arena -1
2 compile perceptron.tflite --max-arena NaN
2 compile perceptron.tflite --max-arena 1e9
2 compile perceptron.tflite --max-arena K
1 compile perceptron.tflite --max-arena 0
0 compile perceptron.tflite --max-arena 18446744073709551615
2 compile perceptron.tflite --max-arena 18446744073709551616
2 compile perceptron.tflite --max-arena 18014398509481984K
1 compile perceptron.tflite --max-const 0
2 compile perceptron.tflite --io ''
2 compile perceptron.tflite --weights w --const-section .x
2 compile perceptron.tflite --weights ''
1 compile perceptron.tflite --weights .
1 compile perceptron.tflite --weights /dev/null
1 compile perceptron.tflite --weights /dev/stdout
1 compile perceptron.tflite --weights folder
1 compile perceptron.tflite --weights x.npy/w
2 compile perceptron.tflite --weights perceptron.tflite
2 compile perceptron.tflite --weights folder/../perceptron.tflite
2 compile perceptron.tflite -o folder --weights folder/../folder/perceptron.o
2 compile perceptron.tflite -o folder --weights ./folder/perceptron.h
2 compile perceptron.tflite -o folder/a.o --weights folder/a.txt --emit report
2 compile perceptron.tflite --weights d/05-report.txt --emit-all d
2 compile perceptron.tflite --const-section ''
2 compile perceptron.tflite --emit ''
2 compile perceptron.tflite --emit tile,
2 compile perceptron.tflite --emit tile,nothing
0 compile perceptron.tflite --emit tile,tile --emit tile
1 compile perceptron.tflite --emit-all x.npy
2 compile perceptron.tflite --emit-all ''
2 compile perceptron.tflite --target ''
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu-and-more
2 compile perceptron.tflite --target wasm32-unknown-unknown
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu ''
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu ,
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu x86-64,
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu x86-64+
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu +avx2
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu cortex-m4
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu x86-64,x86-64
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu x86-64+avx2+no-avx2+avx2+mmx9
2 compile perceptron.tflite --target x86_64-unknown-linux-gnu --cpu x86-64,x86-64-v3 --no-cpu-check
2 compile perceptron.tflite --target aarch64-unknown-none-elf --cpu native
2 compile perceptron.tflite --json --json
2 compile perceptron.tflite --json=yes
1 compile unsupported.tflite --json
2 xcframework perceptron.tflite -o ''
2 xcframework perceptron.tflite -o .
2 xcframework perceptron.tflite -o folder/..
1 xcframework perceptron.tflite --platform ios -o x.npy/no.xcframework
2 xcframework perceptron.tflite --platform ''
2 xcframework perceptron.tflite --platform ios,,macos
2 xcframework perceptron.tflite --cpu arm64=
2 xcframework perceptron.tflite --cpu =
2 xcframework perceptron.tflite --platform macos --cpu x86_64=x86-64,x86-64
1 xcframework . --platform ios
1 xcframework unsupported.tflite --platform ios --json
0 xcframework perceptron.tflite --platform macos --cpu x86_64=x86-64,x86-64-v3 --json -o folder/new/p.xcframework
0 xcframework perceptron.tflite --platform macos -o folder/new/p.xcframework/
2 check ''
1 check .
1 check /dev/zero
1 check /dev/null /dev/zero .
0 check perceptron.tflite perceptron.tflite
0 check perceptron.tflite --input-shape x=0,5,7
2 check
1 inspect x.npy
0 inspect perceptron.tflite --input-shape x=0,5
0 inspect perceptron.tflite --input-shape x=0,5 --json
2 run perceptron.tflite
1 run perceptron.tflite --output-dir out
2 run perceptron.tflite --output-dir out --input ''
1 run perceptron.tflite --output-dir out --input .
1 run perceptron.tflite --output-dir out --input /dev/zero
1 run perceptron.tflite --output-dir out --input perceptron.tflite
1 run perceptron.tflite --output-dir out --next-step
1 run perceptron.tflite --output-dir out --input x.npy --next-step
2 run perceptron.tflite --output-dir '' --input x.npy
1 run perceptron.tflite --output-dir x.npy --input x.npy
2 run perceptron.tflite --output-dir folder/.. --input out0.npy
2 run perceptron.tflite --output-dir out --input x.npy --linker ''
2 run perceptron.tflite --output-dir out --input x.npy --linker '' --runner ''
2 run perceptron.tflite --output-dir out --input x.npy --linker cc --runner ''
2 run perceptron.tflite --output-dir out --input x.npy --runner x
1 run perceptron.tflite --output-dir out --input x.npy --linker .
1 run perceptron.tflite --output-dir out --input x.npy --linker false --runner nothing
2 run perceptron.tflite --output-dir out --input x.npy --interpret=
2 run perceptron.tflite --output-dir out --input x.npy --interpret=-16
2 run perceptron.tflite --output-dir out --input x.npy --interpret=7
2 run perceptron.tflite --output-dir out --input x.npy --interpret=4294967295
0 run perceptron.tflite --output-dir out --input x.npy --interpret=0
0 run perceptron.tflite --output-dir out --input x.npy --dump-tensors out
1 run perceptron.tflite --output-dir out --input x.npy --dump-tensors x.npy
2 run perceptron.tflite --output-dir out --input x.npy --threads 1000
2 bench perceptron.tflite --min-ms -1
2 bench perceptron.tflite --min-ms NaN
2 bench perceptron.tflite --min-ms 18446744073709551615
0 bench perceptron.tflite --min-ms 0 --threads 256
1 bench unsupported.tflite --min-ms 0 --json
2 hwbench --min-ms 18446744073709551615
2 hwbench x
0 explain
2 explain ''
0 explain e0901
2 explain E0901 E0901
2 completions
2 completions ''
2 man x
2 targets x
0 ops --json
0 targets --json
";

/// Every command ends as it must, with a message that is not about a bug, and leaves what was there as it was.
fn commands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    fs::create_dir_all(folder.path().join("folder"))?;
    fs::create_dir(folder.path().join("folder.o"))?;
    fs::copy(folder.path().join("x.npy"), folder.path().join("out0.npy"))?;
    let inputs = ["perceptron.tflite", "x.npy", "out0.npy"];
    let read = || inputs.iter().map(|name| fs::read(folder.path().join(name))).collect::<Result<Vec<_>, _>>();
    let before = read()?;
    let mut wrong = vec![];
    for line in COMMANDS.lines().filter(|l| !l.is_empty()) {
        // An output of an earlier command is no input of this one.
        fs::write(folder.path().join("out0.npy"), &before[2])?;
        let (expected, words) = line.split_once(' ').context("a code and words")?;
        let out = program(words.split(' ').map(|w| w.trim_matches('\'')), folder.path())?;
        let text = shown(&out);
        let is_said = out.status.success() || !out.stderr.is_empty();
        if out.status.code() != expected.parse().ok() || text.contains("error[E0901]") || !is_said {
            wrong.push(format!("{line}: {:?}\n{text}", out.status.code()));
        }
        harmless(&text, "").with_context(|| line.to_string())?;
        ensure!(read()? == before, "{line}: an input is not what it was");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn shown(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// No character moves a cursor, turns text round or is not seen.
fn harmless(text: &str, allowed: &str) -> Result<()> {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let found: Vec<char> = text.chars().filter(|c| *c != '\n' && !allowed.contains(*c) && is_harmful(*c)).collect();
    ensure!(found.is_empty(), "{found:?} in {text:?}");
    ensure!(!text.lines().any(|l| l.trim_start().starts_with(FAKE)), "a name made a line of its own: {text}");
    Ok(())
}

/// What begins a line only where a name has made one.
const FAKE: &str = "error: all is lost";

const EVIL: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "a\nerror: all is lost\nb",
    "\r\u{8}\u{7f}\u{9b}31m\u{85}",
    "\u{202e}txt\u{2066}\u{2069}\u{61c}",
    "zero\u{200b}\u{200d}\u{feff}width\u{ad}",
    "line\u{2028}error: all is lost\u{2029}",
    "*/ int x; /* ??/\nerror: all is lost \\",
    "`<b>` [x](y) \"'\u{e0041}",
];

/// Two layers, with names of that list from `first` on, of floats or of nothing but NaN.
fn evil(first: usize, nan: bool) -> Vec<u8> {
    let mut m = Maker::default();
    let name = |i: usize| EVIL[(first + i) % EVIL.len()];
    let weights = vec![if nan { f32::NAN } else { 0.5 }; 30];
    let x = m.f32(name(0), &[1, 5], None);
    let (w1, h) = (m.f32(name(1), &[6, 5], Some(&weights)), m.f32(name(2), &[1, 6], None));
    let (w2, y) = (m.f32(name(3), &[5, 6], Some(&weights)), m.f32(name(4), &[1, 5], None));
    m.fully_connected(&[x, w1], h, Activation::RELU);
    m.fully_connected(&[h, w2], y, Activation::NONE);
    m.finish(&[x], &[y])
}

/// Operators that are not supported or do not fit, on tensors with such names.
fn refused(first: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let name = |i: usize| EVIL[(first + i) % EVIL.len()];
    let x = m.f32(name(0), &[1, 5], None);
    let (a, w) = (m.f32(name(1), &[1, 5], None), m.f32(name(2), &[3, 7], Some(&[1.0; 21])));
    let (b, c) = (m.f32(name(3), &[1, 3], None), m.tensor(name(4), Element::FLOAT64, &[1, 3], None, None));
    m.operator(Code::SKIP_GRAM, &[x], &[a], None);
    m.fully_connected(&[a, w], b, Activation::NONE);
    m.operator(Code::RELU, &[b], &[c], None);
    m.operator(Code::RELU, &[w], &[a], None);
    m.finish(&[x], &[c])
}

/// Names of tensors, files and folders reach no terminal, no comment and no JSON as they are.
fn names() -> Result<()> {
    for first in 0..EVIL.len() {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        set_up(folder)?;
        // A file's name can have no `/`, and not every system takes every character.
        let odd = if cfg!(unix) { EVIL[first].replace('/', "") } else { "odd".into() };
        let model = |kind: &str| format!("{kind}{odd}.tflite");
        fs::write(folder.join(model("good")), evil(first, false))?;
        fs::write(folder.join(model("nan")), evil(first, true))?;
        fs::write(folder.join(model("bad")), refused(first))?;
        let (good, nan, bad, out) = (model("good"), model("nan"), model("bad"), format!("out{odd}"));
        let (shape, missing) = (format!("{}=1,5", EVIL[first]), format!("{}=1,5", EVIL[(first + 1) % EVIL.len()]));
        let x = "x.npy";
        let commands: [(i32, &[&str]); 29] = [
            (0, &["check", &good]),
            (0, &["check", &good, "--json"]),
            (1, &["check", &bad, &good, &out]),
            (1, &["check", &bad, "--json"]),
            (1, &["check", &out, "--json"]),
            (0, &["inspect", &good]),
            (0, &["inspect", &good, "--json"]),
            (0, &["inspect", &good, "--input-shape", &shape]),
            (1, &["inspect", &good, "--input-shape", &missing]),
            (1, &["inspect", &bad, "--json"]),
            (0, &["compile", &good, "-o", &out, "--rust", "--emit", "graph,tile,plan,clif,asm,report", "--self-test"]),
            (0, &["compile", &good, "-o", &out, "--json", "--profile", "--threads", "2"]),
            (0, &["compile", &good, "-o", &out, "--emit-all", &out, "--io", "arena", "--name", "placed"]),
            (1, &["compile", &good, "-o", &out, "--max-arena", "1"]),
            (1, &["compile", &good, "-o", &out, "--max-arena", "1", "--json"]),
            (1, &["compile", &good, "-o", &out, "--max-const", "1"]),
            (1, &["compile", &nan, "-o", &out, "--self-test"]),
            (2, &["compile", &good, "-o", &out, "--weights", &good]),
            (2, &["compile", &good, "-o", &out, "--weights", &good, "--json"]),
            (1, &["compile", &bad, "-o", &out, "--json"]),
            (0, &["run", &good, "--input", x, "--output-dir", &out, "--dump-tensors", &out]),
            (0, &["run", &good, "--input", "x_batch.npy", "--output-dir", &out]),
            (1, &["run", &good, "--output-dir", &out]),
            (1, &["run", &good, "--input", "x_i8.npy", "--output-dir", &out]),
            (1, &["run", &good, "--input", "x_wide.npy", "--output-dir", &out]),
            (1, &["run", &good, "--input", &good, "--input", &out, "--output-dir", &out]),
            (1, &["run", &good, "--input", x, "--output-dir", &out, "--linker", "\u{1b}[31mcc"]),
            (0, &["bench", &good, "--min-ms", "0", "--per-op"]),
            (0, &["bench", &good, "--min-ms", "0", "--json"]),
        ];
        for (code, words) in commands {
            let out = program(words, folder)?;
            let text = shown(&out);
            ensure!(out.status.code() == Some(code), "{words:?}: {:?}\n{text}", out.status.code());
            harmless(&text, "").with_context(|| format!("{words:?}"))?;
            if words.contains(&"--json") {
                let json: Value = serde_json::from_slice(&out.stdout).with_context(|| format!("{words:?}: {text}"))?;
                let name = json.pointer("/inputs/0/name").and_then(Value::as_str);
                ensure!(name.is_none_or(|n| n == EVIL[first]), "{words:?}: {json}");
            }
        }
        let mut texts = 0;
        for entry in fs::read_dir(folder.join(&out))? {
            let path = entry?.path();
            if let Ok(text) = fs::read_to_string(&path) {
                harmless(&text, "\t").with_context(|| path.display().to_string())?;
                texts += 1;
            }
        }
        ensure!(10 < texts, "{texts} texts");
    }
    Ok(())
}

/// Every command takes paths that are no text, and says so of them what can be said.
#[cfg(target_os = "linux")]
fn paths() -> Result<()> {
    let odd = |name: &str| -> OsString {
        let bytes = name.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect();
        std::os::unix::ffi::OsStringExt::from_vec(bytes)
    };
    let folder = tempfile::tempdir()?;
    let folder = &folder.path().join(odd("in?"));
    fs::create_dir(folder)?;
    set_up(folder)?;
    for (from, to) in [("perceptron.tflite", "m?.tflite"), ("broken.tflite", "b?.tflite"), ("x.npy", "x?.npy"), ("x.txt", "x?.txt")] {
        fs::rename(folder.join(from), folder.join(odd(to)))?;
    }
    let has_cc = cranelite_tests::tools::exists("cc");
    for (code, words, written) in [
        (0, "check m?.tflite", ""),
        (0, "check m?.tflite --json", ""),
        (1, "check b?.tflite m?.tflite missing?.tflite", ""),
        (1, "check b?.tflite missing?.tflite --json", ""),
        (0, "inspect m?.tflite", ""),
        (0, "inspect m?.tflite --json", ""),
        (1, "inspect b?.tflite --json", ""),
        (0, "compile m?.tflite -o out?", "out?/m.o out?/m.h"),
        (0, "compile m?.tflite -o o?.o --json --rust", "o?.o o?.h o?.rs"),
        (0, "compile m?.tflite -o ?/? --json --emit report --emit-all all?", "?/?/m.o ?/?/m.txt all?/05-report.txt"),
        (0, "compile m?.tflite -o w --weights w?.bin --json", "w/m.h w?.bin"),
        (1, "compile b?.tflite -o out? --json", ""),
        (1, "compile m?.tflite -o x?.npy --json", ""),
        (2, "compile m?.tflite -o out? --weights out?/m.o --json", ""),
        (2, "compile m?.tflite -o out? --name ?", ""),
        (2, "compile m?.tflite --input-shape x?=1,5", ""),
        (2, "compile m?.tflite --target x?", ""),
        (2, "?", ""),
        (0, "run m?.tflite --input x?.npy --output-dir run? --dump-tensors dump?", "run?/out0.npy dump?/op000.FULLY_CONNECTED.0.npy"),
        (1, "run m?.tflite --input x?.txt --output-dir no?", ""),
        (1, "run m?.tflite --input missing?.npy --output-dir no?", ""),
        (2, "run m?.tflite --input x?.npy --output-dir no? --linker ?", ""),
        (if has_cc { 0 } else { 1 }, "run m?.tflite --input x?.npy --output-dir cc? --linker cc", if has_cc { "cc?/out0.npy" } else { "" }),
        (0, "bench m?.tflite --min-ms 0", ""),
        (0, "bench m?.tflite --min-ms 0 --json", ""),
        (1, "bench b?.tflite --min-ms 0 --json", ""),
    ] {
        // Temporary files are in such a folder, too.
        let mut command = Command::new(std::env::current_exe()?);
        let out = command.args(words.split(' ').map(odd)).current_dir(folder).env(AS_PROGRAM, "1").env("TMPDIR", folder).output()?;
        let text = shown(&out);
        ensure!(out.status.code() == Some(code) && !text.contains("error[E0901]"), "{words}: {:?}\n{text}", out.status.code());
        if words.contains("--json") {
            serde_json::from_slice::<Value>(&out.stdout).with_context(|| format!("{words}: {text}"))?;
        }
        for name in written.split_whitespace() {
            ensure!(folder.join(odd(name)).is_file(), "{words}: no {name}\n{text}");
        }
        ensure!(!folder.join(odd("no?")).exists(), "{words}: a folder is left behind");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn paths() -> Result<()> {
    Ok(())
}

/// A model may come out of a pipe, but not without end.
fn pipes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let model = fs::read(folder.path().join("perceptron.tflite"))?;
    for (is_endless, code, says) in [(false, 0, "no problems"), (true, 1, "more than 256 MiB")] {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["check", "/dev/stdin"]).current_dir(&folder).env(AS_PROGRAM, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        let written = if is_endless { (0..1 << 12).try_for_each(|_| stdin.write_all(&[0; 1 << 18])) } else { stdin.write_all(&model) };
        drop(stdin);
        ensure!(written.map_err(|e| e.kind()).err() == is_endless.then_some(ErrorKind::BrokenPipe), "how much was read");
        let out = child.wait_with_output()?;
        ensure!(out.status.code() == Some(code) && shown(&out).contains(says), "{:?}: {}", out.status, shown(&out));
    }
    Ok(())
}

/// What cannot be printed is not lost without a word.
#[cfg(target_os = "linux")]
fn full() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let run = |words: &[&str], out: Stdio, err: Stdio| -> Result<Output> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).current_dir(&folder).env(AS_PROGRAM, "1").stdout(out).stderr(err);
        Ok(command.spawn()?.wait_with_output()?)
    };
    let full = || -> Result<Stdio> { Ok(fs::File::options().write(true).open("/dev/full")?.into()) };
    for words in [&["inspect", "perceptron.tflite"][..], &["check", "perceptron.tflite", "--json"], &["man"]] {
        let out = run(words, full()?, Stdio::piped())?;
        let is_told = shown(&out).starts_with("error[E0502]: cannot write to standard output");
        ensure!(out.status.code() == Some(1) && is_told, "{words:?}: {:?} {}", out.status, shown(&out));
    }
    let out = run(&["check", "broken.tflite"], Stdio::null(), full()?)?;
    ensure!(out.status.code() == Some(1), "{:?}", out.status);
    // A reader that goes away wants no more.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let out = run(&["man"], writer.into(), Stdio::piped())?;
    ensure!(out.status.success() && out.stderr.is_empty(), "{:?} {}", out.status, shown(&out));
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn full() -> Result<()> {
    Ok(())
}

/// A model that needs more memory than there is is told of, and does not end the program.
fn memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut m = Maker::default();
    let (x, y) = (m.f32("x", &[1, 500_000, 1000], None), m.f32("y", &[1, 500_000, 1000], None));
    m.operator(Code::RELU, &[x], &[y], None);
    fs::write(folder.path().join("huge.tflite"), m.finish(&[x], &[y]))?;
    for words in ["bench huge.tflite --min-ms 0", "compile huge.tflite --self-test"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 1500000; exec \"$0\" \"$@\""]).arg(std::env::current_exe()?).args(words.split(' '));
        let out = command.current_dir(&folder).env(AS_PROGRAM, "1").output()?;
        let is_told = shown(&out).contains("more than this machine gives");
        ensure!(out.status.code() == Some(1) && is_told, "{words}: {:?} {}", out.status, shown(&out));
    }
    Ok(())
}

/// An array whose order is not understood is not taken for another one; one of another shape is told of.
fn arrays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let mut m = Maker::default();
    let (image, y) = (m.f32("image", &[1, 4, 6, 1], None), m.f32("y", &[1, 4, 6, 1], None));
    m.operator(Code::RELU, &[image], &[y], None);
    fs::write(folder.path().join("image.tflite"), m.finish(&[image], &[y]))?;
    let own = Array { element: ElementType::F32, shape: vec![1, 4, 6, 1], data: vec![0; 96] };
    let npy = |array: &Array| array.to_npy().context("a type that NumPy has");
    let good = npy(&own)?;
    let with = |from: &str, to: &str| -> Result<Vec<u8>> {
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).context("that text")?;
        Ok([&good[..at], to.as_bytes(), &good[at + from.len()..]].concat())
    };
    let swapped = Array { shape: vec![1, 6, 4, 1], ..own.clone() };
    let batch = Array { shape: vec![2, 4, 6, 1], data: vec![0; 192], ..own.clone() };
    for (array, code, says) in [
        (good.clone(), 0, ""),
        (with("False", "1    ")?, 1, "not understood"),
        (with("False", "True ")?, 1, "Fortran"),
        (with("<f4", ">f4")?, 1, "newbyteorder"),
        (good[..good.len() - 1].to_vec(), 1, "promises 96"),
        ([&good[..], &[0]].concat(), 1, "promises 96"),
        (
            npy(&swapped)?,
            0,
            "note: compiled for input 0 \"image\" of shape [1,6,4,1], not for the model's own, [1,4,6,1], which has the same dimensions in another order\n",
        ),
        (npy(&batch)?, 0, "note: compiled for input 0 \"image\" of shape [2,4,6,1], not for the model's own, [1,4,6,1]\n"),
    ] {
        fs::write(folder.path().join("array.npy"), &array)?;
        let out = program(["run", "image.tflite", "--input", "array.npy", "--output-dir", "out"], folder.path())?;
        let text = shown(&out);
        let is_told = if code == 0 { text == says } else { text.contains(says) };
        ensure!(out.status.code() == Some(code) && is_told, "{says}: {:?}\n{text}", out.status.code());
    }
    Ok(())
}
