//! What the hot loops of every schedule cost on cores of 64-bit Arm, as a table: `tests/arm_cycles.txt`, which `CRANELITE_BLESS=1` writes anew.
//!
//! Not a measurement: the scoreboard of `cranelite_codegen::neon` simulates pipes and latencies, and `neon/scoreboard/tests.rs` compares it with other models.
//! The idea: most of these cores are not at hand, and a change that costs cycles on one of them shows here as another number, on every machine.
//!
//! A row is a schedule, a column a core with the code that is compiled for it. `turn` is one turn of the innermost loop in which most is multiplied (where
//! nothing is, of the longest innermost loop); `around` is the loop around it that stores results, gone through once from its first instruction
//! to its last, with one turn of the inner loop. Each entry is cycles / bound = ratio; the bound is what the pipes and the width of the core need for these
//! instructions in whatever order, so the ratio is what is lost to their order and to latencies. `?3` stands for three instructions that the model does
//! not know. No caches, no mispredicted jumps.

use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use anyhow::{Context, Result, ensure};
use cranelite_codegen::neon::cores::{CORTEX_A53, CORTEX_A55, CORTEX_A72, CORTEX_A76, Core};
use cranelite_codegen::neon::kind::Kind;
use cranelite_codegen::neon::scoreboard::{self, is_within};
use cranelite_codegen::object::KernelFacts;
use cranelite_codegen::{Target, object};
use cranelite_graph::lower::{Goal, lower};
use cranelite_tests::hot::{Case, Products, cases};
use cranelite_tile::{Step, arena};
use std::path::Path;

const CORES: [&Core; 4] = [&CORTEX_A53, &CORTEX_A55, &CORTEX_A72, &CORTEX_A76];

fn is_product(products: Products, kind: Kind) -> bool {
    match products {
        Products::Integers => kind.multiplies(),
        Products::Floats => kind == Kind::FloatMultiplyAdd,
        Products::None => false,
    }
}

/// The words of a kernel in an object.
fn words(object: &[u8], kernel: &KernelFacts) -> Result<Vec<u32>> {
    let file = ::object::File::parse(object)?;
    let symbol = file.symbols().find(|s| s.name() == Ok(&kernel.symbol)).context("a symbol for the kernel")?;
    let section = file.section_by_index(symbol.section_index().context("a section")?)?;
    let start = (symbol.address() - section.address()) as usize;
    let bytes = &section.data()?[start..start + kernel.code_bytes as usize];
    Ok(bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect())
}

/// Names of stretches of code, and their words.
type Regions = Vec<(String, Vec<u32>)>;

/// The hot loops of a case on a core: name and entry.
fn entries(case: &Case, core: &'static Core) -> Result<Vec<(String, String)>> {
    let target = Target::new("aarch64-unknown-linux-gnu", Some(core.name))?;
    let mut program = lower(&case.graph, &target.machine, Goal::Speed).map_err(|d| anyhow::anyhow!("{}", d[0]))?;
    arena::plan(&mut program);
    let options = object::Options { prefix: "t".into(), ..object::Options::default() };
    let object = object::emit(&[object::Level { program: &program, target: &target }], &options)?;
    let kernels = &object.levels[0].kernels;
    ensure!(kernels.len() == program.kernels.len(), "a symbol for every kernel");
    let mut best: Option<(usize, Regions)> = None;
    for call in program.schedule.iter().flat_map(Step::calls) {
        let words = words(&object.bytes, &kernels[call.kernel.0 as usize])?;
        let code = scoreboard::decode(&words);
        let loops = scoreboard::loops(&words);
        let work = |l: &std::ops::Range<usize>| match case.products {
            Products::None => l.len(),
            products => code.steps[l.clone()].iter().filter(|s| is_product(products, s.kind)).count(),
        };
        let stores = |l: &std::ops::Range<usize>| code.steps[l.clone()].iter().any(|s| s.kind.stores());
        let innermost = loops.iter().filter(|l| !loops.iter().any(|m| is_within(m, l)));
        let Some(inner) = innermost.max_by_key(|l| (work(l), l.start)) else { continue };
        if work(inner) == 0 || best.as_ref().is_some_and(|b| b.0 >= work(inner)) {
            continue;
        }
        let mut regions = vec![(format!("{}: turn", case.name), words[inner.clone()].to_vec())];
        let around = loops.iter().filter(|l| is_within(inner, l) && stores(l)).min_by_key(|l| l.len());
        if let Some(around) = around.filter(|_| !stores(inner)) {
            regions.push((format!("{}: around", case.name), words[around.clone()].to_vec()));
        }
        best = Some((work(inner), regions));
    }
    let entry = |words: &[u32]| {
        let code = scoreboard::decode(words);
        let (cycles, bound) = (scoreboard::cycles(&code.steps, core), scoreboard::bound(&code.steps, core));
        let unknown = if code.unknown > 0 { format!(" ?{}", code.unknown) } else { String::new() };
        format!("{cycles:.1} / {bound:.1} = {:.2}{unknown}", cycles / bound)
    };
    Ok(best.map_or(vec![], |b| b.1).into_iter().map(|(name, words)| (name, entry(&words))).collect())
}

fn table() -> Result<String> {
    let cases = cases();
    let mut columns = vec![];
    for core in CORES {
        let all = cases.iter().map(|c| entries(c, core).with_context(|| format!("{} on {}", c.name, core.name)));
        columns.push(all.collect::<Result<Vec<_>>>()?.concat());
    }
    let names: Vec<String> = cases.iter().flat_map(|c| ["turn", "around"].map(|kind| format!("{}: {kind}", c.name))).collect();
    let names: Vec<&String> = names.iter().filter(|n| columns.iter().flatten().any(|(name, _)| name == *n)).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> =
        columns.iter().map(|c: &Vec<(String, String)>| c.iter().map(|e| e.1.len()).max().unwrap_or(0).max(10)).collect();
    let line = |first: &str, entries: Vec<&str>| {
        let cells: Vec<String> = entries.iter().zip(&widths).map(|(e, w)| format!("{e:>w$}")).collect();
        format!("{first:width$} | {}\n", cells.join(" | "))
    };
    let mut out = format!("{HEAD}\n\n{}", line("", CORES.map(|c| c.name).to_vec()));
    for name in names {
        let cell = |c: &'_ Vec<(String, String)>| c.iter().find(|(n, _)| n == name).map_or("-".to_string(), |e| e.1.clone());
        let cells: Vec<String> = columns.iter().map(cell).collect();
        out += &line(name, cells.iter().map(String::as_str).collect());
    }
    Ok(out)
}

const HEAD: &str =
    "Cycles of hot loops / what their instructions need in any order = ratio, modelled (tests/tests/arm_cycles.rs says what they mean).
CRANELITE_BLESS=1 cargo test --release -p cranelite-tests --test arm_cycles writes this file anew.";

#[test]
fn as_blessed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("arm_cycles.txt");
    let found = table().unwrap_or_else(|e| panic!("{e:#}"));
    if std::env::var_os("CRANELITE_BLESS").is_some() {
        std::fs::write(&path, found).expect("a writable file");
        return;
    }
    let blessed = std::fs::read_to_string(&path).unwrap_or_default();
    let rows = |table: &str| table.lines().filter(|l| l.contains('|')).map(str::to_string).collect::<Vec<_>>();
    let (old, new) = (rows(&blessed), rows(&found));
    let gone = old.iter().filter(|l| !new.contains(l)).map(|l| format!("was {l}"));
    let changes: Vec<String> = new.iter().filter(|l| !old.contains(l)).map(|l| format!("now {l}")).chain(gone).collect();
    assert!(
        changes.is_empty() && old.len() == new.len(),
        "other cycles than tests/arm_cycles.txt has; CRANELITE_BLESS=1 accepts them:\n{}",
        changes.join("\n")
    );
}
