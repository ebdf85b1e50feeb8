//! The rules under "Invariants" of ARCHITECTURE.md, checked on the sources' text.
//!
//! Not a parser: comments and test modules are cut away, the rest is searched for words. The idea: a rule that nothing enforces is
//! broken within a month.

use std::fs;
use std::path::{Path, PathBuf};

/// Each crate's folder, and the crates of ours that it may use.
const CRATES: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("compiler/tile", &[]),
    ("compiler/graph", &["schema", "tile"]),
    ("compiler/codegen", &["tile"]),
    ("compiler", &["schema", "tile", "graph", "codegen"]),
];

struct Source {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
    /// Without comments and without the module of tests at the end.
    code: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Rust files of a folder of the repository.
fn sources(folder: &str) -> Vec<Source> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for path in entries.map(|e| e.expect("an entry of a folder").path()) {
            match path.is_dir() {
                true if !path.ends_with("target") => walk(&path, out),
                false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
                _ => {}
            }
        }
    }
    let root = root();
    let mut paths = vec![];
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file");
        let path = path.strip_prefix(&root).expect("a path below the root").to_string_lossy().replace('\\', "/");
        Source { code: code(&text), path, text }
    };
    paths.into_iter().map(source).collect()
}

fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Sources of the library or program in a crate's folder, without the crates inside.
fn library(folder: &str) -> Vec<Source> {
    let sources = sources(&format!("{folder}/src"));
    assert!(!sources.is_empty(), "no sources in {folder}");
    sources.into_iter().filter(|s| !is_test(&s.path)).collect()
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Lines of `sources` with one of `words`, except in files whose path contains one of `exceptions`.
fn finds(sources: &[Source], words: &[&str], exceptions: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for s in sources.iter().filter(|s| !exceptions.iter().any(|e| s.path.contains(e))) {
        for (i, line) in s.code.lines().enumerate() {
            found.extend(words.iter().filter(|w| has_word(line, w)).map(|w| format!("{}:{}: {w}", s.path, i + 1)));
        }
    }
    found
}

/// Whether `word` stands in the line and is not the end of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let starts_word = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| starts_word(at))
}

#[test]
fn words_are_found() {
    assert!(has_word("use std::fs;", "std::fs") && has_word("(std::fs", "std::fs"));
    assert!(!has_word("eprintln!()", "println!"));
    assert_eq!(code("a // b\n#[cfg(test)]\nmod tests {}"), "a \n".trim_end_matches('\n'));
}

#[test]
fn crates_import_downwards_only() {
    let mut found = vec![];
    for (folder, allowed) in CRATES {
        let names = ["schema", "tile", "graph", "codegen"];
        let forbidden: Vec<&str> = names.into_iter().filter(|n| !allowed.contains(n) && !folder.ends_with(n)).collect();
        let words: Vec<String> = forbidden.iter().map(|n| format!("cranelite_{n}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        found.extend(finds(&library(folder), &words, &[]));

        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap_or_default();
        found.extend(forbidden.iter().filter(|n| dependencies.contains(&format!("cranelite-{n}"))).map(|n| format!("{folder} needs {n}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_codegen_knows_cranelift() {
    let mut found = vec![];
    for folder in ["schema", "compiler/tile", "compiler/graph"] {
        found.extend(finds(&library(folder), &["cranelift", "target_lexicon", "iced_x86"], &[]));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn operators_do_not_use_each_other() {
    let names: Vec<String> = cranelite_graph::ops::TABLE.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let mut found = vec![];
    for s in library("compiler/graph").iter().filter(|s| s.path.contains("/src/ops/") && !s.path.ends_with("/ops/mod.rs")) {
        for name in names.iter().filter(|n| !s.path.ends_with(&format!("/{n}.rs"))) {
            let words = [format!("ops::{name}::"), format!("super::{name}::"), format!("ops::{name};"), format!("super::{name};")];
            found.extend(words.iter().filter(|w| has_word(&s.code, w)).map(|w| format!("{}: {w}", s.path)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_program_talks_to_the_world() {
    let words = [
        "std::fs",
        "std::io",
        "std::net",
        "std::process",
        "std::env",
        "std::time",
        "env::var",
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "dbg!",
        "SystemTime",
        "Instant::now",
    ];
    let mut found = vec![];
    for folder in ["schema", "compiler/tile", "compiler/graph", "compiler/codegen"] {
        // The loader gets memory from the system, and an error with it.
        found.extend(finds(&library(folder), &words, &["codegen/src/loader"]));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_host_decides_nothing() {
    let words =
        ["target_arch", "target_feature", "target_os", "target_pointer_width", "is_x86_feature_detected", "is_aarch64_feature_detected"];
    let mut found = vec![];
    for (folder, _) in CRATES {
        found.extend(finds(&library(folder), &words, &["codegen/src/loader", "codegen/src/targets"]));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What rounds has one home, with the reference's own rules.
#[test]
fn only_quantize_rounds() {
    let words = ["round()", "round_ties_even()", "libm::round", "libm::roundf", "libm::rint", "libm::rintf", "libm::roundeven"];
    let found = finds(&library("compiler/graph"), &words, &["graph/src/quantize"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn lowerings_name_no_machine() {
    let words = ["x86", "aarch64", "avx", "AVX", "neon", "Neon", "riscv", "RISC", "vnni", "VNNI", "sse4", "SSE"];
    let mut found = vec![];
    for folder in ["compiler/tile", "compiler/graph"] {
        // A message that names an option's values.
        found.extend(finds(&library(folder), &words, &["graph/src/diagnostic.rs"]));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_are_written_in_one_place() {
    let words = ["fs::write", "File::create", "File::create_new", "fs::rename", "create_dir", "remove_file", "remove_dir", "OpenOptions"];
    let found = finds(&library("compiler"), &words, &["compiler/src/files.rs"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// Every invariant of ARCHITECTURE.md has tests, as `FILE::FUNCTION`, and these exist.
#[test]
fn invariants_name_their_tests() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("\n## ").find(|s| s.starts_with("Invariants\n")).expect("a section");
    let mut found = vec![];
    for invariant in section.split("\n- ").skip(1) {
        let named: Vec<(&str, &str)> = invariant.split('`').filter(|w| w.contains(".rs::")).filter_map(|w| w.split_once("::")).collect();
        if named.is_empty() {
            found.push(format!("without a test: {invariant}"));
        }
        for (file, function) in named {
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {function}(")) {
                found.push(format!("there is no {file}::{function}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let found: Vec<String> = ["schema", "compiler", "tests", "runtime-stub", "examples"]
        .into_iter()
        .flat_map(sources)
        .filter(|s| !s.path.contains("schema/src/generated") && !s.text.starts_with("//! "))
        .map(|s| s.path)
        .collect();
    assert!(found.is_empty(), "files that do not open with //!: {found:#?}");
}
