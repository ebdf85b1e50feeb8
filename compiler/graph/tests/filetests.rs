//! Rewrites, tested by texts: `tests/filetests/graph/NAME/*.graph` has a graph, a line `----`, and what the pass called NAME (or the
//! passes named in the first line, `# passes: a, b`) makes of it.
//!
//! Where both graphs can be lowered they are also run on random inputs, and must give the same bytes. `CRANELITE_BLESS=1` writes the part
//! behind the line anew; what it writes is read like any other change.

use cranelite_graph::graph::Graph;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite::{PASSES, UNSIGNED};
use cranelite_graph::tensor::ElementType;
use cranelite_graph::text::{Constants, parse, print};
use cranelite_graph::verify::verify;
use cranelite_tile::{ByteDot, Machine, interpret};
use std::fs;
use std::path::{Path, PathBuf};

const LINE: &str = "----\n";

#[test]
fn rewrites() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/graph");
    let mut count = 0;
    let mut failures = vec![];
    for folder in entries(&root) {
        for file in entries(&folder) {
            let pass = folder.file_name().expect("a name").to_string_lossy().to_string();
            if let Err(e) = one(&file, &pass) {
                failures.push(format!("{}: {e}", file.display()));
            }
            count += 1;
        }
    }
    assert!(0 < count, "no tests in {}", root.display());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What one pass leaves, others find: all together keep the numbers of every graph, too.
#[test]
fn all_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/graph");
    for file in entries(&root).iter().flat_map(|folder| entries(folder)) {
        let text = fs::read_to_string(&file).expect("a test");
        let before = parse(text.split_once(LINE).map_or(&text[..], |t| t.0)).expect("a graph");
        let mut after = before.clone();
        cranelite_graph::rewrite::all(&mut after, |pass, graph| {
            assert_eq!(verify(graph), Ok(()), "{pass} broke {}", file.display());
        });
        same_numbers(&before, &after).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("a folder of tests").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn one(file: &Path, pass: &str) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let (before_text, wanted) = text.split_once(LINE).unwrap_or((&text, ""));
    let before = parse(before_text).map_err(|e| e.to_string())?;
    verify(&before).map_err(|e| format!("not a graph: {e:?}"))?;

    let named = text.lines().next().and_then(|l| l.strip_prefix("# passes: ")).unwrap_or(pass);
    let mut after = before.clone();
    for name in named.split(", ") {
        let (_, run) = PASSES.iter().chain([&UNSIGNED]).find(|p| p.0 == name).ok_or_else(|| format!("no pass is called {name}"))?;
        let changed = run(&mut after);
        verify(&after).map_err(|e| format!("{name} broke the graph: {e:?}"))?;
        if changed == (after == before) {
            return Err(format!("{name} says changed = {changed}"));
        }
        if run(&mut after.clone()) && name != "pad" {
            return Err(format!("{name} has not finished after one run"));
        }
    }
    same_numbers(&before, &after)?;

    let got = print(&after, Constants::Whole);
    if got != wanted && std::env::var_os("CRANELITE_BLESS").is_some() {
        return fs::write(file, format!("{before_text}{LINE}{got}")).map_err(|e| e.to_string());
    }
    if got == wanted { Ok(()) } else { Err(format!("expected\n{wanted}\ngot\n{got}")) }
}

fn same_numbers(before: &Graph, after: &Graph) -> Result<(), String> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..4 {
        let inputs: Vec<Vec<u8>> = before
            .inputs
            .iter()
            .map(|v| {
                let ty = before.ty(*v);
                match ty.element {
                    // Small halves of both signs.
                    ElementType::F32 => (0..ty.element_count()).flat_map(|_| ((next() % 65) as f32 / 2.0 - 16.0).to_le_bytes()).collect(),
                    _ => (0..ty.size_bytes()).map(|_| next() as u8).collect(),
                }
            })
            .collect();
        let machines = [(0, false), (16, false), (32, true), (64, true)].map(|(vector_bytes, fma)| {
            let dot = if vector_bytes < 32 { ByteDot::S16S16 } else { ByteDot::U8S8 };
            Machine::example(vector_bytes, dot, fma, false)
        });
        for machine in &machines {
            if results(before, &inputs, machine)? != results(after, &inputs, machine)? {
                return Err(format!("the rewritten graph computes something else with {} bytes per vector", machine.vector_bytes));
            }
        }
    }
    Ok(())
}

fn results(graph: &Graph, inputs: &[Vec<u8>], machine: &Machine) -> Result<Vec<Vec<u8>>, String> {
    let program = lower(graph, machine, Goal::Speed).map_err(|p| format!("{p:?}"))?;
    cranelite_tile::verify::verify(&program).map_err(|e| format!("not proved: {}", e[0]))?;
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0; graph.ty(*v).size_bytes()]).collect();
    let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    interpret::run(&program, &inputs, &mut slices).map_err(|e| e.to_string())?;
    Ok(outputs)
}
