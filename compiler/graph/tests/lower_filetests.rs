//! Lowerings as data: `tests/filetests/lower/NAME.graph` becomes `NAME.tile`, which `CRANELITE_BLESS=1` rewrites.
//!
//! The first line names the machine: `# machine: 32 bytes u8s8 fma`. Every program is proved. The texts that ARCHITECTURE.md shows are
//! these files, so a reader sees what the verifier accepts.

use cranelite_graph::lower::{Goal, Rescaled, lower, lower_reported};
use cranelite_graph::text;
use cranelite_tile::{ByteDot, Machine};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn blessing() -> bool {
    std::env::var_os("CRANELITE_BLESS").is_some()
}

fn machine(line: &str) -> Machine {
    let words: Vec<&str> = line.trim_start_matches("# machine:").split_whitespace().collect();
    let bytes = words[0].parse().expect("bytes of a vector");
    let dot = match words[2] {
        "u8s8" => ByteDot::U8S8,
        "s8s8" => ByteDot::S8S8,
        _ => ByteDot::S16S16,
    };
    Machine::example(bytes, dot, words.contains(&"fma"), words.contains(&"fma_lane"))
}

#[test]
fn lowerings() {
    let mut sources: Vec<PathBuf> = fs::read_dir(root().join("tests/filetests/lower"))
        .expect("the folder")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "graph"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty());
    for source in sources {
        let graph = fs::read_to_string(&source).expect("a text");
        let machine = machine(graph.lines().next().expect("a first line"));
        let graph = text::parse(&graph).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
        let program = lower(&graph, &machine, Goal::Speed).unwrap_or_else(|e| panic!("{}: {e:?}", source.display()));
        cranelite_tile::verify::verify(&program).unwrap_or_else(|e| panic!("{}: {}", source.display(), e[0]));
        let found = cranelite_tile::text::display(&program);
        let path = source.with_extension("tile");
        // Not written when it is the same: another test copies these files at the same time.
        if blessing() && fs::read_to_string(&path).ok().as_deref() != Some(&found) {
            fs::write(&path, &found).expect("a writable folder");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "{}: another program than {}; CRANELITE_BLESS=1 accepts it:\n{found}", source.display(), path.display());
    }
}

/// What the report says of a rescaling is what the kernels do: only integers need the operation that machines lack.
#[test]
fn rescalings_are_told() {
    let graph = fs::read_to_string(root().join("tests/filetests/lower/conv_2d.graph")).expect("a text");
    let graph = text::parse(&graph).expect("a graph");
    for (machine, form) in [
        ("64 bytes u8s8 fma", "float"),
        ("16 bytes s16s16", "float"),
        ("16 bytes s8s8 fma fma_lane", "integer"),
        ("0 bytes s16s16", "integer"),
    ] {
        let lowered = lower_reported(&graph, &self::machine(machine), Goal::Speed).expect("a program");
        assert_eq!(lowered.rescalings, [Rescaled { operator: 0, form, channels: 16 }], "{machine}");
        let text = cranelite_tile::text::display(&lowered.program);
        assert_eq!((text.contains("requantize"), text.contains("convert_toward_zero")), (form == "integer", form == "float"), "{machine}");
    }
}

/// A comment `<!-- FILE -->` before a block of ARCHITECTURE.md says that the block is that file.
#[test]
fn architecture_shows_these_programs() {
    let path = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path).expect("ARCHITECTURE.md");
    let mut out = String::new();
    let mut rest = text.as_str();
    let mut shown = 0;
    while let Some(at) = rest.find("<!-- tests/") {
        let name_end = at + rest[at..].find(" -->").expect("the end of the comment");
        let name = &rest[at + 5..name_end];
        let open = name_end + rest[name_end..].find("```text\n").expect("a block") + 8;
        let close = open + rest[open..].find("```").expect("the end of the block");
        out += &rest[..open];
        out += &fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        rest = &rest[close..];
        shown += 1;
    }
    out += rest;
    if blessing() {
        fs::write(&path, &out).expect("ARCHITECTURE.md can be written");
    } else {
        assert!(out == text, "ARCHITECTURE.md shows other programs than tests/filetests/lower has; CRANELITE_BLESS=1 copies them");
    }
    assert_eq!(shown, 3);
}

/// The README's table of operators is the one in the code.
#[test]
fn readme_lists_the_operators() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).expect("README.md");
    let (begin, end) = ("<!-- made by `cranelite ops`; a test compares -->\n", "<!-- end -->");
    let (before, rest) = text.split_once(begin).expect("where the table begins");
    let (_, after) = rest.split_once(end).expect("where the table ends");
    let resolved = cranelite_graph::ops::RESOLVED.iter().map(|(name, text)| format!("| {name} | {text} |\n"));
    let rows: String = cranelite_graph::ops::TABLE
        .iter()
        .filter(|(name, _)| !cranelite_graph::ops::is_own(name))
        .map(|(name, types)| format!("| {name} | {types} |\n"))
        .chain(resolved)
        .collect();
    let out = format!("{before}{begin}| operator | element types |\n|---|---|\n{rows}{end}{after}");
    if blessing() {
        fs::write(&path, &out).expect("README.md can be written");
    } else {
        assert!(out == text, "README.md has another table than `cranelite ops`; CRANELITE_BLESS=1 copies it");
    }
}
