//! `bench --count`: how many instructions a call executes on another machine, operator by operator.
//!
//! Not their counting (`crate::count`): here are the options, the table and the JSON.

use super::bench::{self, BenchArgs};
use super::{Outcome, print, print_json, warn};
use crate::count::{Counted, Counter, Uncounted};
use crate::diagnostic::Failure;
use crate::facts::Facts;
use crate::foreign::Tools;
use crate::pipeline::{self, Options};
use crate::report::grouped;
use crate::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::{Value, json};
use target_lexicon::{Architecture, OperatingSystem};

pub fn count(args: BenchArgs) -> Outcome {
    let targets = Target::list(&args.target, args.cpu.as_deref()).map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?;
    let [target] = &targets[..] else {
        return Err(Failure::Usage("--count runs one level: give --cpu one of them".into()));
    };
    let is_known =
        matches!(target.triple.architecture, Architecture::Aarch64(_)) && target.triple.operating_system == OperatingSystem::Linux;
    if !is_known {
        return Err(Failure::Usage(format!("--count is for aarch64-unknown-linux-gnu, not for {}", target.name())));
    }
    let (source, options) = args.about.open(&args.model, None)?;
    // The whole interface of one thread, in which a hook tells operators apart.
    let options = Options { compress: args.prefer.compress, prefer: args.prefer.into(), profile: true, threads: 1, ..options };
    let compiled = pipeline::compile(&source.model, &targets, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
    warn(&args.model, &compiled.left_out);
    let [entry] = &compiled.entries[..] else {
        return Err(Failure::Usage("--count calls one signature: leave out --all-signatures".into()));
    };
    if let Some(symbol) = compiled.symbols.first() {
        return Err(Failure::Usage(format!("--count cannot link {symbol}, which a custom operator calls")));
    }
    let tools = Tools { linker: args.linker.0, runner: args.runner.0 };
    let counter = Counter::new(&compiled, &tools)?;
    for inputs in bench::attempts(entry) {
        match counter.count(&inputs) {
            Err(Uncounted::OutOfRange) => {}
            Err(Uncounted::Failed(d)) => return Err(d.into()),
            Ok(counted) => {
                let table = Table::of(&counted, &entry.facts);
                match args.json {
                    true => print_json(&table.json(target)),
                    false => print(&table.text(target)),
                }
                return Ok(());
            }
        }
    }
    Err(bench::out_of_range())
}

struct Row {
    /// What belongs to no operator has no index.
    index: Option<u32>,
    name: String,
    macs: u64,
    instructions: u64,
}

struct Table {
    rows: Vec<Row>,
    /// Of what calls kernels.
    calls: u64,
    instructions: u64,
}

impl Table {
    fn of(counted: &Counted, facts: &Facts) -> Table {
        let mut rows: Vec<Row> = vec![];
        for (index, executed) in &counted.operators {
            let of_model = index.and_then(|index| facts.operators.iter().find(|o| o.index == index));
            rows.push(Row {
                index: *index,
                name: of_model.map_or("copies".into(), |o| facts.names(o.index)),
                macs: of_model.map_or(0, |o| o.computed_macs),
                instructions: executed.instructions(),
            });
        }
        Table { rows, calls: counted.calls.instructions(), instructions: counted.instructions() }
    }

    fn json(&self, target: &Target) -> Value {
        let row = |r: &Row| json!({ "index": r.index, "name": r.name, "macs": r.macs, "instructions": r.instructions });
        json!({
            "target": target.name(),
            "level": target.level,
            "instructions": self.instructions,
            "calls_instructions": self.calls,
            "operators": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn text(&self, target: &Target) -> String {
        let mut out = format!("{} instructions in a call, at {} of {}\n", grouped(self.instructions), target.level, target.name());
        out += &format!("{:>5}  {:<24} {:>15} {:>7} {:>15} {:>9}\n", "index", "operator", "instructions", "share", "MACs", "per MAC");
        for r in &self.rows {
            let index = r.index.map(|i| i.to_string()).unwrap_or_default();
            let (macs, each) = match r.macs {
                0 => Default::default(),
                macs => (grouped(macs), format!("{:.3}", r.instructions as f64 / macs as f64)),
            };
            out += &self.line(&index, &r.name, r.instructions, &macs, &each);
        }
        out + &self.line("", "calls of these", self.calls, "", "")
    }

    fn line(&self, index: &str, name: &str, instructions: u64, macs: &str, each: &str) -> String {
        let share = 100.0 * instructions as f64 / self.instructions as f64;
        let line = format!("{index:>5}  {name:<24} {:>15} {share:>5.1} % {macs:>15} {each:>9}", grouped(instructions));
        format!("{}\n", line.trim_end())
    }
}
