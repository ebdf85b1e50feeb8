//! Every phase from the bytes of a model to its outputs, in order.
//!
//! Nothing is decided here: each phase is a function of another crate or file. The idea: this file reads aloud.

use crate::diagnostic::internal;
use crate::dump;
use crate::facts::Facts;
use crate::float_io;
use crate::header;
use crate::limits::{self, Limits};
use crate::report;
use crate::self_test;
use crate::signature::{Signature, Tensor};
use crate::stages::{Stage, Stages};
use crate::{names, plan_text};
use clap::ValueEnum;
use cranelite_codegen::object::{self, IoPlaces, Object};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::graph::{Graph, Node};
use cranelite_graph::import::{self, Imported};
use cranelite_graph::lower::{self, Goal, Lowered, Rescaled};
use cranelite_graph::ops::Op;
use cranelite_graph::text::{Constants, print};
use cranelite_graph::{rewrite, verify};
use cranelite_tile::arena::{self, Plan};
use cranelite_tile::{Machine, Program, parallel};
use std::collections::BTreeSet;
use std::path::Path;

/// What the user decides, beside the target.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Begins every name in C.
    pub prefix: String,
    /// The model's file name, for the header.
    pub made_from: String,
    /// What is decided about the model itself.
    pub import: import::Options,
    pub goal: Goal,
    pub limits: Limits,
    pub profile: bool,
    pub io: Io,
    /// Quantised inputs and outputs are real numbers to the caller.
    pub float_io: bool,
    /// The object can compare its own outputs with what they must be.
    pub self_test: bool,
    /// Constants are in a file beside the object.
    pub weights: bool,
    /// The section of the object that the constants are in.
    pub const_section: Option<String>,
    /// The object does not ask the CPU whether it has what the only level needs.
    pub no_cpu_check: bool,
    /// The object describes its frames to profilers and debuggers.
    pub unwind: bool,
    /// For how many threads long operators are divided; 0 and 1 leave them whole.
    pub threads: usize,
    /// Makes every result of an operator an output.
    pub every_tensor: bool,
}

/// Where inputs and outputs are
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// Wherever the caller has them: the structures have pointers
    #[default]
    Caller,
    /// At fixed places in the arena, which others have before and after them
    Arena,
}

/// What a model says, whatever the machine.
pub struct Model {
    pub signature: Signature,
    pub facts: Facts,
    /// In words, what of the file is not compiled.
    pub left_out: Vec<String>,
    graph: Graph,
}

/// A model as a placed and proved program, for machines of one kind.
pub struct Planned {
    pub program: Program,
    pub plan: Plan,
    pub rescalings: Vec<Rescaled>,
}

pub fn read(model: &[u8], options: &Options, stages: &mut Stages) -> Result<Model, Vec<Diagnostic>> {
    stages.begin("reading the model");
    let mut imported = import::read(model, &options.import)?;
    if options.float_io {
        float_io::apply(&mut imported.graph);
    }
    let (mut signature, mut facts) = (Signature::of(&imported), Facts::of(&imported.graph));
    let Imported { mut graph, left_out, .. } = imported;
    stages.add(Stage::Graph, "import", || print(&graph, Constants::Shortened));
    stages.begin("rewriting");
    rewrite::all(&mut graph, |pass, graph| stages.add(Stage::Graph, pass, || print(graph, Constants::Shortened)));
    verify::verify(&graph).map_err(|e| vec![internal("the rewritten graph is not well-formed", e.join("; "))])?;
    facts.note_fused(&graph);
    if options.every_tensor {
        dump::expose(&mut graph, &mut signature);
    }
    Ok(Model { signature, facts, left_out, graph })
}

pub fn plan(model: &Model, machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Planned, Vec<Diagnostic>> {
    stages.begin("lowering");
    let Lowered { mut program, rescalings } = lower::lower_reported(&model.graph, machine, options.goal)?;
    parallel::divide(&mut program, options.threads);
    stages.add(Stage::Tile, "lower", || cranelite_tile::text::print(&program));
    let plan = place(&mut program, options, stages, |program| match options.io {
        Io::Caller => arena::plan(program),
        Io::Arena => arena::plan_with_io(program, io_align(machine)),
    })?;
    Ok(Planned { program, plan, rescalings })
}

fn io_align(machine: &Machine) -> u32 {
    machine.vector_bytes.max(16)
}

/// Gives a program's buffers their places, and proves it with them.
fn place(
    program: &mut Program,
    options: &Options,
    stages: &mut Stages,
    plan: impl FnOnce(&mut Program) -> Plan,
) -> Result<Plan, Vec<Diagnostic>> {
    stages.begin("planning memory");
    let plan = plan(program);
    stages.add(Stage::Plan, "plan", || plan_text::print(program, &plan));
    arena::check(program).map_err(|e| vec![internal("the memory plan is wrong", e)])?;
    limits::arena(options.limits, program, &plan, stages.level.as_deref())?;
    stages.begin("proving");
    cranelite_tile::verify::verify(program).map_err(|e| e.iter().map(|e| internal("the program is not proved", e)).collect::<Vec<_>>())?;
    Ok(plan)
}

/// Puts inputs and outputs that are in the arena at the same places at all levels: the caller has one set of them.
fn agree_on_places(levels: &mut [Level], options: &Options, stages: &mut Stages) -> Result<(), Vec<Diagnostic>> {
    let places = |l: &Level| IoPlaces::of(&l.planned.program);
    if levels.windows(2).all(|two| places(&two[0]) == places(&two[1])) {
        return Ok(());
    }
    let align = levels.iter().map(|l| io_align(&l.target.machine)).max().unwrap_or(16);
    for level in levels {
        stages.level = Some(level.target.level.clone());
        level.planned.plan = place(&mut level.planned.program, options, stages, |program| arena::plan_behind_io(program, align))?;
    }
    Ok(())
}

/// A model as an object, its header, and what is known of them.
pub struct Compiled {
    pub prefix: String,
    pub no_cpu_check: bool,
    pub signature: Signature,
    pub facts: Facts,
    /// In words, what of the file is not compiled.
    pub left_out: Vec<String>,
    /// By number, as in the object.
    pub levels: Vec<Level>,
    /// For how many it is divided.
    pub threads: usize,
    /// The user's functions that custom operators call.
    pub symbols: BTreeSet<String>,
    pub object: Object,
    pub header: String,
}

/// One feature level of an object.
pub struct Level {
    pub target: Target,
    pub planned: Planned,
}

/// Several targets are levels of one triple.
pub fn compile(model: &[u8], targets: &[Target], options: &Options, stages: &mut Stages) -> Result<Compiled, Vec<Diagnostic>> {
    let model = read(model, options, stages)?;
    let symbols: BTreeSet<String> = model.graph.nodes.iter().filter_map(symbol).collect();
    let is_own = |s: &String| s.strip_prefix(&options.prefix).is_some_and(|rest| rest.starts_with('_'));
    if let Some(symbol) = symbols.iter().find(|s| is_own(s)) {
        let message = format!("the function {symbol} of a custom operator begins as the model's own names do");
        return Err(vec![Diagnostic::new(Code::CUSTOM, message).help("give the function or the model (--name) another name")]);
    }
    if options.self_test && !symbols.is_empty() {
        let message = "a self-test cannot know what the functions of custom operators compute";
        return Err(vec![Diagnostic::new(Code::CUSTOM, message).help("compile without --self-test")]);
    }
    if options.self_test {
        limits::self_test(&model.signature)?;
    }
    let mut levels = vec![];
    for target in targets {
        stages.level = (1 < targets.len()).then(|| target.level.clone());
        levels.push(Level { target: target.clone(), planned: plan(&model, &target.machine, options, stages)? });
    }
    agree_on_places(&mut levels, options, stages)?;
    stages.level = None;
    let Model { signature, facts, left_out, graph } = model;
    drop(graph);
    let tested: Vec<&Planned> = levels.iter().filter(|_| options.self_test).map(|l| &l.planned).collect();
    let self_test = self_test::expected(&tested, &signature, facts.macs(), stages).map_err(|d| vec![d])?;
    stages.begin("writing machine code");
    let object_options = object::Options {
        prefix: options.prefix.clone(),
        inputs: signature.inputs.iter().map(Tensor::described).collect(),
        outputs: signature.outputs.iter().map(Tensor::described).collect(),
        profile: options.profile,
        self_test: self_test.hashes,
        self_test_bits: self_test.lowest,
        const_section: options.const_section.clone(),
        weights: options.weights,
        no_cpu_check: options.no_cpu_check,
        unwind: options.unwind,
        parallel: 1 < options.threads,
        clif: stages.wants(Stage::Clif),
        asm: stages.wants(Stage::Asm),
        ..object::Options::default()
    };
    let object_levels: Vec<_> = levels.iter().map(|l| object::Level { program: &l.planned.program, target: &l.target }).collect();
    let mut object = object::emit(&object_levels, &object_options).map_err(|e| vec![not_emitted(e)])?;
    stages.add(Stage::Clif, "emit", || object.clif.take().unwrap_or_default());
    stages.add(Stage::Asm, "emit", || object.asm.take().unwrap_or_default());
    limits::constants(options.limits, &facts, object.const_bytes)?;
    let header = header::write(options, &signature, targets, &object, &symbols);
    let compiled = Compiled {
        prefix: options.prefix.clone(),
        no_cpu_check: options.no_cpu_check,
        threads: options.threads.max(1),
        symbols,
        signature,
        facts,
        left_out,
        levels,
        object,
        header,
    };
    stages.add(Stage::Report, "report", || report::text(&compiled));
    Ok(compiled)
}

impl Compiled {
    pub fn triple(&self) -> String {
        self.levels[0].target.triple.to_string()
    }

    /// All names, as `--cpu` takes them.
    pub fn level_names(&self) -> String {
        self.levels.iter().map(|l| l.target.level.as_str()).collect::<Vec<_>>().join(",")
    }

    pub fn targets(&self) -> Vec<Target> {
        self.levels.iter().map(|l| l.target.clone()).collect()
    }

    /// The one that the entry point chooses on this machine.
    pub fn level_here(&self) -> Option<&Level> {
        let order = Target::best_first(&self.levels.iter().map(|l| &l.target).collect::<Vec<_>>());
        order.into_iter().map(|i| &self.levels[i]).find(|l| l.target.runs_here())
    }

    /// The one that needs the largest arena.
    pub fn largest(&self) -> &Level {
        self.levels.iter().max_by_key(|l| l.planned.plan.arena_size_bytes).expect("there is a level")
    }
}

/// The user's function that a node calls.
fn symbol(node: &Node) -> Option<String> {
    match &node.op {
        Op::Custom(a) => Some(a.symbol.clone()),
        _ => None,
    }
}

/// Too much for one object is the model's fault, and an unanswerable question the target's; anything else is ours.
fn not_emitted(e: object::Error) -> Diagnostic {
    match e {
        object::Error::TooManyConstants(_) => Diagnostic::new(Code::CONSTANTS, e.to_string()),
        object::Error::CannotAsk(..) | object::Error::NoUnwind(_) => Diagnostic::new(Code::TARGET, e.to_string()),
        e => internal("there is no machine code for the program", e),
    }
}

impl Options {
    /// Everything as usual, with names after the model's file.
    pub fn named_after(model: &Path) -> Self {
        let made_from = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = names::identifier(&model.file_stem().unwrap_or_default().to_string_lossy(), "model");
        Options { prefix, made_from, ..Options::default() }
    }
}
