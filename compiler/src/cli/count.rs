//! `bench --count`: how many instructions a call executes on another machine, operator by operator.
//!
//! Not their counting (`crate::count`): here are the options, the table and the JSON.

use super::bench::{self, BenchArgs};
use super::{Outcome, print, print_json, warn};
use crate::count::{Counted, Counter, Model, Taken, Uncounted};
use crate::diagnostic::Failure;
use crate::facts::Facts;
use crate::foreign::Tools;
use crate::pipeline::{self, Options};
use crate::report::grouped;
use crate::stages::Stages;
use cranelite_codegen::neon::cores::Core;
use cranelite_codegen::targets::{Target, Tuning};
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
                let table = Table::of(&counted, &entry.facts, cores(target));
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

/// The core that the level is tuned for; else those that are common and can run it.
fn cores(target: &Target) -> Vec<&'static Core> {
    let common = match target.tuning {
        Tuning::Generic => vec![Tuning::CortexA53, Tuning::CortexA55, Tuning::CortexA72, Tuning::CortexA76],
        core => return Core::named(core.name()).into_iter().collect(),
    };
    let has_all = |core: &Tuning| {
        let core = Target::new(&target.name(), Some(core.name())).map(|t| t.required()).unwrap_or_default();
        target.required().iter().all(|f| core.contains(f))
    };
    let mut able: Vec<Tuning> = common.into_iter().filter(has_all).collect();
    if able.is_empty() {
        able.push(Tuning::NeoverseV1);
    }
    able.into_iter().filter_map(|core| Core::named(core.name())).collect()
}

struct Row {
    /// What belongs to no operator has no index.
    index: Option<u32>,
    name: String,
    macs: u64,
    instructions: u64,
    taken: Taken,
}

struct Table {
    cores: Vec<&'static Core>,
    rows: Vec<Row>,
    /// What calls kernels.
    calls: Row,
    /// All of these.
    whole: Row,
}

impl Table {
    fn of(counted: &Counted, facts: &Facts, cores: Vec<&'static Core>) -> Table {
        let mut model = Model::new(&cores, (counted.code.0, &counted.code.1));
        let mut rows: Vec<Row> = vec![];
        for (index, executed) in &counted.operators {
            let of_model = index.and_then(|index| facts.operators.iter().find(|o| o.index == index));
            rows.push(Row {
                index: *index,
                name: of_model.map_or("copies".into(), |o| facts.names(o.index)),
                macs: of_model.map_or(0, |o| o.computed_macs),
                instructions: executed.instructions(),
                taken: model.of(executed),
            });
        }
        let of = |name: &str, macs, instructions, taken| Row { index: None, name: name.into(), macs, instructions, taken };
        let calls = of("calls of these", 0, counted.calls.instructions(), model.of(&counted.calls));
        let all = || rows.iter().chain([&calls]);
        let cycles = (0..cores.len()).map(|core| all().map(|r| r.taken.cycles[core]).sum()).collect();
        let taken = Taken { cycles, unknown: all().map(|r| r.taken.unknown).sum() };
        let whole = of("sum", all().map(|r| r.macs).sum(), counted.instructions(), taken);
        Table { cores, rows, calls, whole }
    }

    fn json(&self, target: &Target) -> Value {
        let cycles = |r: &Row| self.cores.iter().zip(&r.taken.cycles).map(|(c, n)| (c.name.to_string(), json!(n))).collect::<Value>();
        let row =
            |r: &Row| json!({ "index": r.index, "name": r.name, "macs": r.macs, "instructions": r.instructions, "cycles": cycles(r) });
        json!({
            "target": target.name(),
            "level": target.level,
            "instructions": self.whole.instructions,
            "cycles": cycles(&self.whole),
            "guessed_instructions": self.whole.taken.unknown,
            "calls": { "instructions": self.calls.instructions, "cycles": cycles(&self.calls) },
            "operators": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn text(&self, target: &Target) -> String {
        let mut out = format!("one call at {} of {}: instructions, and modelled cycles\n", target.level, target.name());
        let cores: String = self.cores.iter().map(|c| format!(" {:>13}", c.name)).collect();
        out +=
            &format!("{:>5}  {:<24} {:>15} {:>7} {:>15} {:>9}{cores}\n", "index", "operator", "instructions", "share", "MACs", "per MAC");
        out.extend(self.rows.iter().chain([&self.calls, &self.whole]).map(|r| self.line(r)));
        if self.whole.taken.unknown != 0 {
            let share = 100.0 * self.whole.taken.unknown as f64 / self.whole.instructions as f64;
            out += &format!("{share:.1} % of the instructions are of kinds that the model guesses\n");
        }
        out
    }

    fn line(&self, row: &Row) -> String {
        let share = 100.0 * row.instructions as f64 / self.whole.instructions as f64;
        let index = row.index.map(|i| i.to_string()).unwrap_or_default();
        let (macs, each) = match row.macs {
            0 => Default::default(),
            macs => (grouped(macs), format!("{:.3}", row.instructions as f64 / macs as f64)),
        };
        let cycles: String = row.taken.cycles.iter().map(|n| format!(" {:>13}", grouped(*n))).collect();
        format!("{index:>5}  {:<24} {:>15} {share:>5.1} % {macs:>15} {each:>9}{cycles}\n", row.name, grouped(row.instructions))
    }
}
