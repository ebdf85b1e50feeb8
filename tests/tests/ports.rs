//! What the hot loops of every schedule cost on the ports of several CPUs, as a table: `tests/ports.txt`, which `CRANELITE_BLESS=1` writes anew.
//!
//! Not a measurement: `llvm-mca` simulates the core's dispatch, ports and latencies. The idea: most of these CPUs are not at hand, and a
//! change that costs time on one of them shows here as another number, on every machine.
//!
//! A row is a schedule, a column a CPU with the code that it would run. `turn` is one turn of the innermost loop; `tile` one turn of the
//! loop around it that stores results, everything in it included (what is executed is followed by `trace.rs`). Each entry is cycles /
//! bound = ratio: the cycles in the steady state, turn after turn, and those that the model's ports need for the products in it alone, with the
//! loads that are their operands. Where there are no products the bound is that of the busiest port: what is lost to latency shows.
//!
//! What is modelled: ports, micro-operations, latencies, the width of dispatch, sizes of queues. What is not: caches, the decoders, mispredicted
//! jumps, stores that later loads read, the frequency. The models have errors of their own, so entries are to be compared with those of the
//! same column: in LLVM 19, Sapphire Rapids has products of 512 bits on one port instead of two and Ice Lake those of floats, and Zen 4 has those of
//! bytes at half its rate. Read Ice Lake's column for bytes, and Skylake's for floats.

use anyhow::{Context, Result, ensure};
use cranelite_codegen::{Target, object};
use cranelite_graph::graph::Graph;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::moves::{self, Moves};
use cranelite_graph::tensor::ElementType;
use cranelite_tests::hot::{Case, Products, cases};
use cranelite_tests::tools;
use cranelite_tests::trace::{self, Trace};
use cranelite_tile::{ByteDot, Step, arena};
use iced_x86::Mnemonic;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

const TOOL: &str = "llvm-mca-19";

/// As LLVM calls them, and the level that they run.
const CPUS: &[(&str, &str)] = &[
    ("skylake-avx512", "skylake-avx512"),
    ("icelake-server", "icelake-server"),
    ("sapphirerapids", "sapphirerapids"),
    ("alderlake", "alderlake"),
    ("haswell", "x86-64-v3"),
    ("znver2", "x86-64-v3"),
    ("znver3", "x86-64-v3"),
    ("znver4", "znver4"),
];

fn is_product(products: Products, m: Mnemonic) -> bool {
    use Mnemonic as M;
    match products {
        Products::Integers => matches!(m, M::Vpdpbusd | M::Vpdpwssd | M::Vpmaddwd | M::Vpmaddubsw | M::Vpmulld | M::Vpmullw),
        Products::Floats => matches!(m, M::Vfmadd132ps | M::Vfmadd213ps | M::Vfmadd231ps),
        Products::None => false,
    }
}

/// A part of what a call executes.
struct Region {
    name: String,
    text: String,
    products: Option<String>,
}

impl Region {
    fn new(name: String, trace: &Trace, executed: &[usize], products: Products) -> Region {
        let alone: Vec<usize> = executed.iter().copied().filter(|n| is_product(products, trace.code[*n].mnemonic())).collect();
        Region { name, text: trace.text(executed), products: (!alone.is_empty()).then(|| trace.text(&alone)) }
    }
}

/// As `rewrite::for_machine` makes it in the middle of a network: activations are unsigned where the operator takes them so.
fn unsigned(graph: &Graph) -> Graph {
    let mut own = graph.clone();
    for node in graph.nodes.iter().filter(|n| n.op.moves(&graph.signature(n)) != Moves::None) {
        for v in node.inputs.iter().flatten().chain(&node.outputs).filter(|v| graph.value(**v).data.is_none()) {
            let ty = moves::moved(graph.ty(*v)).filter(|_| graph.ty(*v).element == ElementType::I8);
            own.value_mut(*v).ty = ty.unwrap_or_else(|| graph.ty(*v).clone());
        }
    }
    own
}

/// The call with most products, or most instructions.
fn hot(graph: &Graph, products: Products, level: &str) -> Result<Trace> {
    let target = Target::new(tools::X86, Some(level))?;
    let graph = if target.machine.byte_dot == ByteDot::U8S8 { unsigned(graph) } else { graph.clone() };
    let mut program = lower(&graph, &target.machine, Goal::Speed).map_err(|d| anyhow::anyhow!("{}", d[0]))?;
    arena::plan(&mut program);
    let options = object::Options { prefix: "t".into(), ..object::Options::default() };
    let object = object::emit(&[object::Level { program: &program, target: &target }], &options)?;
    let kernels = &object.levels[0].kernels;
    ensure!(kernels.len() == program.kernels.len(), "a symbol for every kernel");
    let mut best: Option<(usize, Trace)> = None;
    for call in program.schedule.iter().flat_map(Step::calls) {
        let code = trace::code(&object.bytes, &kernels[call.kernel.0 as usize])?;
        let name = &program.kernels[call.kernel.0 as usize].name;
        let trace = trace::run(code, call.buffers.len(), &call.params).with_context(|| name.clone())?;
        let work = match products {
            Products::None => trace.executed.len(),
            _ => count(&trace, &trace.executed, products),
        };
        if best.as_ref().is_none_or(|b| b.0 < work) {
            best = Some((work, trace));
        }
    }
    Ok(best.context("a call")?.1)
}

fn count(trace: &Trace, executed: &[usize], products: Products) -> usize {
    executed.iter().filter(|n| is_product(products, trace.code[**n].mnemonic())).count()
}

/// One turn of the innermost loop in which most is done, and of the loop around it that stores.
fn regions(case: &Case, level: &str) -> Result<Vec<Region>> {
    let trace = hot(&case.graph, case.products, level)?;
    let work = |executed: &[usize]| match case.products {
        Products::None => executed.len(),
        _ => count(&trace, executed, case.products),
    };
    let loops = trace.loops();
    let contains = |a: &Range<usize>, b: &Range<usize>| a.start <= b.start && b.end <= a.end && a != b;
    let total = |l: &Range<usize>| trace.turns(l).iter().map(|t| work(t)).sum::<usize>();
    let innermost = loops.iter().filter(|l| !loops.iter().any(|m| contains(l, m)));
    // Where products are not in an inner loop there is none to show.
    let whole = total(&(0..trace.code.len() + 1)).max(work(&trace.executed));
    let inner = innermost.max_by_key(|l| total(l)).filter(|l| whole < 4 * total(l)).context("a loop")?;
    let stores = |l: &Range<usize>| trace.code[l.clone()].iter().any(trace::is_store);
    let around = loops.iter().filter(|l| *l == inner || contains(l, inner)).filter(|l| stores(l)).min_by_key(|l| l.len());
    let largest = |l: &Range<usize>| trace.turns(l).into_iter().max_by_key(|t| work(t)).map(<[usize]>::to_vec);
    let region = |kind: &str, executed: &[usize]| Region::new(format!("{}: {kind}", case.name), &trace, executed, case.products);
    let mut out = vec![];
    if around != Some(inner) {
        out.push(region("turn", &largest(inner).context("a turn")?));
    }
    let tile = match around {
        Some(l) => largest(l).context("a turn")?,
        // Called once for every tile.
        None => trace.executed.clone(),
    };
    out.push(region("tile", &tile));
    Ok(out)
}

/// Cycles of each text when it is executed again and again, and what the busiest port needs for it.
fn simulate(cpu: &str, texts: &[&str], iterations: usize) -> Result<Vec<(f64, f64)>> {
    let mut source = String::new();
    for (n, text) in texts.iter().enumerate() {
        source += &format!("# LLVM-MCA-BEGIN r{n}\n{text}# LLVM-MCA-END\n");
    }
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, source.as_bytes())?;
    let views = ["--instruction-info=0", "--resource-pressure=0", "--json"];
    let mut command = Command::new(TOOL);
    command.args([format!("-mcpu={cpu}"), format!("-iterations={iterations}")]).args(views).arg(file.path());
    let json: serde_json::Value = serde_json::from_str(&tools::output(&mut command)?)?;
    let regions = json["CodeRegions"].as_array().context("regions")?;
    ensure!(regions.len() == texts.len(), "{cpu}: {} regions of {}", regions.len(), texts.len());
    let numbers = |r: &serde_json::Value| {
        let of = |key: &str| r["SummaryView"][key].as_f64().with_context(|| key.to_string());
        Ok((of("TotalCycles")? / of("Iterations")?, of("BlockRThroughput")?))
    };
    regions.iter().map(numbers).collect()
}

/// Name and entry of every row.
fn column(cpu: &str, regions: &[Region]) -> Result<Vec<(String, String)>> {
    // What fills the queues at first is a small part of so many instructions.
    const INSTRUCTIONS: usize = 40_000;
    let mut out = vec![];
    for iterations in [100, 20, 5] {
        let of = |r: &&Region| [100, 20].into_iter().find(|n| n * r.text.lines().count() <= INSTRUCTIONS).unwrap_or(5) == iterations;
        let regions: Vec<&Region> = regions.iter().filter(of).collect();
        let texts: Vec<&str> = regions.iter().map(|r| r.text.as_str()).collect();
        let products: Vec<&str> = regions.iter().map(|r| r.products.as_deref().unwrap_or(&r.text)).collect();
        let (all, alone) = (simulate(cpu, &texts, iterations)?, simulate(cpu, &products, 1)?);
        for ((region, (cycles, _)), (_, bound)) in regions.iter().zip(all).zip(alone) {
            out.push((region.name.clone(), format!("{cycles:.1} / {bound:.1} = {:.2}", cycles / bound)));
        }
    }
    Ok(out)
}

fn table() -> Result<String> {
    let cases = cases();
    let mut names: Vec<String> = cases.iter().flat_map(|c| ["turn", "tile"].map(|kind| format!("{}: {kind}", c.name))).collect();
    let (mut columns, mut of_level) = (vec![], BTreeMap::new());
    for (cpu, level) in CPUS {
        if !of_level.contains_key(level) {
            let all = cases.iter().map(|c| regions(c, level).with_context(|| format!("{} at {level}", c.name)));
            of_level.insert(level, all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>());
        }
        columns.push(column(cpu, &of_level[level])?);
    }
    names.retain(|n| columns.iter().flatten().any(|(name, _)| name == n));
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let entry = |column: &[(String, String)], name: &str| column.iter().find(|(n, _)| n == name).map_or("-".into(), |(_, e)| e.clone());
    let widths: Vec<usize> =
        columns.iter().zip(CPUS).map(|(c, (cpu, _))| c.iter().map(|e| e.1.len()).chain([cpu.len()]).max().unwrap_or(0)).collect();
    let line = |first: &str, entries: &[String]| {
        let cells: Vec<String> = entries.iter().zip(&widths).map(|(e, w)| format!("{e:>w$}")).collect();
        format!("{first:width$} | {}\n", cells.join(" | "))
    };
    let mut out = format!("{HEAD}\n\n");
    out += &line("", &CPUS.iter().map(|(cpu, _)| cpu.to_string()).collect::<Vec<_>>());
    for name in &names {
        out += &line(name, &columns.iter().map(|c| entry(c, name)).collect::<Vec<_>>());
    }
    Ok(out)
}

const HEAD: &str =
    "Cycles of hot loops / what their products alone need = ratio, by llvm-mca-19 (tests/tests/ports.rs says what they mean).
CRANELITE_BLESS=1 cargo test --release -p cranelite-tests --test ports writes this file anew.";

/// The entries of a table: row, column, cycles, text.
fn entries(table: &str) -> Vec<(String, String, Option<f64>, String)> {
    let mut lines = table.lines().filter(|l| l.contains('|')).map(|l| l.split('|').map(|c| c.trim().to_string()).collect::<Vec<_>>());
    let Some(head) = lines.next() else { return vec![] };
    let of_line = |cells: Vec<String>| {
        let row = cells[0].clone();
        let entry = move |(cpu, text): (&String, &String)| {
            (row.clone(), cpu.clone(), text.split(" = ").nth(1).and_then(|r| r.parse().ok()), text.clone())
        };
        head[1..].iter().zip(&cells[1..]).map(entry).collect::<Vec<_>>()
    };
    lines.flat_map(of_line).collect()
}

#[test]
fn as_blessed() {
    if !tools::exists(TOOL) {
        assert!(!tools::is_required(), "{TOOL} is missing: Debian's package llvm-19 has it");
        eprintln!("ports: not tested, for want of {TOOL}");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ports.txt");
    let found = table().unwrap_or_else(|e| panic!("{e:#}"));
    if std::env::var_os("CRANELITE_BLESS").is_some() {
        std::fs::write(&path, found).expect("a writable file");
        return;
    }
    let blessed = std::fs::read_to_string(&path).unwrap_or_default();
    if blessed == found {
        return;
    }
    let (old, new) = (entries(&blessed), entries(&found));
    let mut changes = vec![];
    for (row, cpu, ratio, text) in &new {
        let before = old.iter().find(|o| &o.0 == row && &o.1 == cpu);
        match before {
            Some((_, _, _, was)) if was == text => {}
            Some((_, _, old, was)) => {
                let word = match (old, ratio) {
                    (Some(old), Some(new)) if old < new => "worse",
                    (Some(old), Some(new)) if new < old => "better",
                    _ => "other code",
                };
                changes.push(format!("{word}: {row} on {cpu}: {text}, was {was}"));
            }
            None => changes.push(format!("new: {row} on {cpu}: {text}")),
        }
    }
    for (row, cpu, ..) in old.iter().filter(|o| !new.iter().any(|n| (&n.0, &n.1) == (&o.0, &o.1))) {
        changes.push(format!("gone: {row} on {cpu}"));
    }
    changes.sort_by_key(|c| !c.starts_with("worse"));
    panic!("other cycles than tests/ports.txt has; CRANELITE_BLESS=1 accepts them:\n{}", changes.join("\n"));
}
