//! Every phase from the bytes of a model to its outputs, in order.
//!
//! Nothing is decided here: each phase is a function of another crate or file. The idea: this file reads aloud.

use crate::cc::{self, Compiler};
use crate::compression::{self, Compress, Compressed};
use crate::diagnostic::internal;
use crate::dump;
use crate::facts::Facts;
use crate::float_io;
use crate::header;
use crate::limits::{self, Flash, Limits};
use crate::piping::Piping;
use crate::report;
use crate::self_test;
use crate::signature::{self, Signature};
use crate::stages::{Stage, Stages};
use crate::{names, plan_text};
use clap::ValueEnum;
use cranelite_codegen::object::model::Source;
use cranelite_codegen::object::{self, IoPlaces, Object};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::graph::{Graph, Node};
use cranelite_graph::import::{self, Imported};
use cranelite_graph::lower::{self, Goal, Lowered, Preferences, Rescaled};
use cranelite_graph::ops::Op;
use cranelite_graph::pipeline::Piped;
use cranelite_graph::text::{Constants, print};
use cranelite_graph::{rewrite, verify};
use cranelite_tile::arena::{self, Plan};
use cranelite_tile::compress::{PREPARED_HEADER_BYTES, Prepared};
use cranelite_tile::{BufferId, Machine, Program, parallel};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What the user decides, beside the target.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Begins every name in C.
    pub prefix: String,
    /// The model's file name, for the header.
    pub made_from: String,
    /// What is decided about the model itself.
    pub import: import::Options,
    /// What is before and after it.
    pub piping: Option<Piping>,
    pub prefer: Preferences,
    /// Whether constants are packed, and where they are decoded.
    pub compress: Option<Compress>,
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
    pub visible: Visible,
}

/// Which results of operators are outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visible {
    /// The model's own.
    #[default]
    Outputs,
    /// All that operators store.
    Tensors,
    /// Those of all operators, none of which computes another one's result, too.
    Operators,
    /// As `Operators`, and every operator reads inputs of the graph instead of results: each can be run by itself.
    Apart,
}

impl Visible {
    /// Whoever looks at tensors wants them whole and as they are; whoever compares operators wants them one by one.
    fn passes_left_out(self) -> &'static [&'static str] {
        match self {
            Visible::Outputs => &[],
            Visible::Tensors => &["channels"],
            Visible::Operators | Visible::Apart => &["channels", "fuse"],
        }
    }
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

/// What a file says, whatever the machine.
pub struct Module {
    /// One for each signature that is compiled.
    pub models: Vec<Model>,
    /// In words, what of the file is not compiled.
    pub left_out: Vec<String>,
}

/// One of its signatures.
pub struct Model {
    /// The file's name for it.
    pub key: String,
    /// Of the file.
    pub subgraph: u32,
    /// A word for it, where there are several.
    pub word: Option<String>,
    pub signature: Signature,
    pub facts: Facts,
    graph: Graph,
}

/// A model as a placed and proved program, for machines of one kind.
pub struct Planned {
    pub program: Program,
    pub plan: Plan,
    pub rescalings: Vec<Rescaled>,
    /// Of buffers that hold tensors: how many bytes a number in them has; none: not always the same.
    pub number_bytes: BTreeMap<BufferId, Option<u32>>,
}

pub fn read(model: &[u8], options: &Options, stages: &mut Stages) -> Result<Module, Vec<Diagnostic>> {
    stages.begin("reading the model");
    let import::Module { mut entries, left_out } = import::read(model, &options.import)?;
    let mut about = vec![];
    if let Some(piping) = &options.piping {
        let Piped { imported, answers, sensors } = piping.apply(model, entries, &options.import)?;
        entries = vec![imported];
        about.push((answers, sensors));
    }
    if options.float_io {
        entries.iter_mut().for_each(|e| float_io::apply(&mut e.graph));
    }
    let mut signatures: Vec<Signature> = entries.iter().map(Signature::of).collect();
    for (signature, (answers, sensors)) in signatures.iter_mut().zip(about) {
        signature.note(answers, &sensors);
    }
    let words = signature::words(&entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), &signatures);
    let mut models = vec![];
    for ((Imported { key, subgraph, graph, .. }, signature), word) in entries.into_iter().zip(signatures).zip(words) {
        models.push(Model { key, subgraph, word, signature, facts: Facts::of(&graph), graph });
    }
    for Model { word, graph, .. } in &mut models {
        stages.signature.clone_from(word);
        stages.add(Stage::Graph, "import", || print(graph, Constants::Shortened));
        stages.begin("rewriting");
        rewrite::all_but(options.visible.passes_left_out(), graph, |pass, graph| {
            stages.add(Stage::Graph, pass, || print(graph, Constants::Shortened))
        });
    }
    if 1 < models.len() {
        rewrite::share_states(&mut models.iter_mut().map(|m| &mut m.graph).collect::<Vec<_>>());
    }
    for Model { word, signature, facts, graph, .. } in &mut models {
        if word.is_some() {
            stages.signature.clone_from(word);
            stages.add(Stage::Graph, "share", || print(graph, Constants::Shortened));
        }
        verify::verify(graph).map_err(|e| vec![internal("the rewritten graph is not well-formed", e.join("; "))])?;
        facts.note_rewritten(graph);
        if options.visible == Visible::Apart {
            dump::cut(graph, signature);
        }
        if options.visible != Visible::Outputs {
            dump::expose(graph, signature);
        }
    }
    stages.signature = None;
    Ok(Module { models, left_out })
}

/// One program of a model, planned.
pub fn plan(model: &Model, machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Planned, Vec<Diagnostic>> {
    let mut planned = lower(model, machine, options, stages)?;
    compress(&mut [(&mut planned, machine)], options, false, stages)?;
    planned.plan = place_anywhere(&mut planned.program, machine, options, stages)?;
    Ok(planned)
}

/// A program whose memory is not planned yet.
fn lower(model: &Model, machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Planned, Vec<Diagnostic>> {
    stages.begin("lowering");
    let is_usual = options.visible == Visible::Outputs;
    let own = if is_usual { rewrite::for_machine(&model.graph, machine) } else { None };
    if let Some(graph) = &own {
        stages.add(Stage::Graph, rewrite::UNSIGNED.0, || print(graph, Constants::Shortened));
        verify::verify(graph).map_err(|e| vec![internal("the rewritten graph is not well-formed", e.join("; "))])?;
    }
    let prefer = lower::Preferences { in_bands: options.threads < 2, arena_bytes: options.limits.arena_bytes, ..options.prefer };
    let Lowered { mut program, rescalings, number_bytes } = lower::lower_reported(own.as_ref().unwrap_or(&model.graph), machine, prefer)?;
    parallel::divide(&mut program, options.threads);
    if options.weights {
        // The file may be another one.
        program.distrust_constants();
    }
    stages.add(Stage::Tile, "lower", || cranelite_tile::text::print(&program));
    Ok(Planned { program, plan: Plan::default(), rescalings, number_bytes })
}

/// Packs the constants of all programs of an object, if the user wants that.
fn compress(
    all: &mut [(&mut Planned, &Machine)],
    options: &Options,
    is_c: bool,
    stages: &mut Stages,
) -> Result<Option<Compressed>, Vec<Diagnostic>> {
    let Some(how) = options.compress else { return Ok(None) };
    stages.begin("packing constants");
    let mut lowered: Vec<compression::Lowered> = all
        .iter_mut()
        .map(|(planned, machine)| compression::Lowered { program: &mut planned.program, machine, number_bytes: &mut planned.number_bytes })
        .collect();
    compression::apply(how, &mut lowered, options.limits.arena_bytes, is_c).map(Some).map_err(|d| vec![d])
}

fn place_anywhere(program: &mut Program, machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Plan, Vec<Diagnostic>> {
    place(program, options, stages, |program| match options.io {
        Io::Caller => arena::plan(program),
        Io::Arena => arena::plan_with_io(program, io_align(machine)),
    })
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
    limits::arena(options.limits, program, &plan, &stages.place())?;
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
    /// One for each signature, as in the object.
    pub entries: Vec<Entry>,
    /// In words, what of the file is not compiled.
    pub left_out: Vec<String>,
    /// What became of constants, where they are packed.
    pub compressed: Option<Compressed>,
    /// For how many it is divided.
    pub threads: usize,
    /// The user's functions that custom operators call.
    pub symbols: BTreeSet<String>,
    pub object: Object,
    pub header: String,
}

/// One signature of an object.
pub struct Entry {
    /// The model's name for it.
    pub key: String,
    /// Of the file.
    pub subgraph: u32,
    /// A word for it, where there are several.
    pub word: Option<String>,
    /// Begins its names in C: the object's prefix, and a word for the signature where there are several.
    pub prefix: String,
    pub signature: Signature,
    pub facts: Facts,
    /// By number, as in the object.
    pub levels: Vec<Level>,
}

/// One feature level of an object.
pub struct Level {
    pub target: Target,
    pub planned: Planned,
}

/// Several targets are levels of one triple. Where there is a limit of flash that is not kept, constants are packed as it takes, unless the user has decided about that.
pub fn compile(model: &[u8], targets: &[Target], options: &Options, stages: &mut Stages) -> Result<Compiled, Vec<Diagnostic>> {
    let mut tried = compile_so(model, targets, options, stages);
    if options.limits.flash_bytes.is_none() || options.compress.is_some() || options.weights {
        return tried;
    }
    // Not decoded once: that is another interface, and as much memory as the constants are.
    for how in [Compress::Products, Compress::Arena, Compress::Smallest] {
        match &tried {
            Err(problems) if problems.iter().all(|d| d.code == Code::FLASH) => {}
            _ => break,
        }
        let packed = Options { compress: Some(how), ..options.clone() };
        stages.texts.clear();
        tried = compile_so(model, targets, &packed, stages);
        if let Ok(Compiled { compressed: Some(c), .. }) = &mut tried {
            c.picked = true;
        }
    }
    tried
}

fn compile_so(model: &[u8], targets: &[Target], options: &Options, stages: &mut Stages) -> Result<Compiled, Vec<Diagnostic>> {
    let Module { models, left_out } = read(model, options, stages)?;
    let symbols: BTreeSet<String> = models.iter().flat_map(|m| &m.graph.nodes).filter_map(symbol).collect();
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
        models.iter().try_for_each(|m| limits::self_test(&m.signature))?;
    }
    let states = models.iter().flat_map(|m| &m.graph.states);
    let source = Source::of(model, states.map(|s| s.origin.is_tensor()));
    let mut entries = vec![];
    for model in models {
        entries.push(entry(model, targets, options, stages)?);
    }
    let mut programs: Vec<(&mut Planned, &Machine)> =
        entries.iter_mut().flat_map(|e| &mut e.levels).map(|l| (&mut l.planned, &l.target.machine)).collect();
    let compressed = compress(&mut programs, options, targets[0].is_c(), stages)?;
    for e in &mut entries {
        place_levels(e, options, compressed.is_some(), stages)?;
    }
    let mut object_entries = vec![];
    for e in &entries {
        let tested: Vec<&Planned> = e.levels.iter().filter(|_| options.self_test).map(|l| &l.planned).collect();
        let self_test = self_test::expected(&tested, &e.signature, e.facts.macs(), stages).map_err(|d| vec![d])?;
        let [inputs, outputs] = e.signature.described();
        object_entries.push(object::Entry {
            prefix: e.prefix.clone(),
            key: e.key.clone(),
            subgraph: e.subgraph,
            inputs,
            outputs,
            levels: e.levels.iter().map(|l| object::Level { program: &l.planned.program, target: &l.target }).collect(),
            self_test: self_test.hashes,
            self_test_bits: self_test.lowest,
            operators: if targets[0].is_c() { e.facts.about_operators() } else { BTreeMap::new() },
            number_bytes: e.levels[0].planned.number_bytes.clone(),
        });
    }
    stages.begin("writing machine code");
    let object_options = object::Options {
        prefix: options.prefix.clone(),
        source,
        profile: options.profile,
        const_section: options.const_section.clone(),
        weights: options.weights,
        prepared: prepared(compressed.as_ref(), targets)?,
        no_cpu_check: options.no_cpu_check,
        unwind: options.unwind,
        parallel: 1 < options.threads,
        clif: stages.wants(Stage::Clif),
        asm: stages.wants(Stage::Asm),
        ..object::Options::default()
    };
    let emitted = match targets[0].is_c() {
        true => cranelite_codegen::c99::emit(&object_entries, &object_options, &format!("{}.h", options.prefix)),
        false => object::emit_all(&object_entries, &object_options),
    };
    let mut object = emitted.map_err(|e| vec![not_emitted(e)])?;
    stages.add(Stage::Clif, "emit", || object.clif.take().unwrap_or_default());
    stages.add(Stage::Asm, "emit", || object.asm.take().unwrap_or_default());
    limits::constants(options.limits, entries.iter().map(|e| &e.facts), object.const_bytes)?;
    let packed = compressed.as_ref().filter(|c| !c.groups.is_empty()).map(|c| c.how.name());
    flash(&entries, &object, options, packed, (!targets[0].is_c()).then_some(object.code_bytes), object.const_bytes)?;
    let header = header::write(options, &entries, targets, &object, &symbols);
    let compiled = Compiled {
        prefix: options.prefix.clone(),
        no_cpu_check: options.no_cpu_check,
        threads: options.threads.max(1),
        symbols,
        entries,
        left_out,
        compressed,
        object,
        header,
    };
    stages.add(Stage::Report, "report", || report::text(&compiled));
    Ok(compiled)
}

/// The programs of a signature, their memory not planned. What is dropped on the way is not needed for machine code.
fn entry(model: Model, targets: &[Target], options: &Options, stages: &mut Stages) -> Result<Entry, Vec<Diagnostic>> {
    stages.signature.clone_from(&model.word);
    let mut levels = vec![];
    for target in targets {
        stages.level = (1 < targets.len()).then(|| target.level.clone());
        levels.push(Level { target: target.clone(), planned: lower(&model, &target.machine, options, stages)? });
    }
    (stages.signature, stages.level) = (None, None);
    let Model { key, subgraph, word, signature, facts, .. } = model;
    let prefix = word.iter().fold(options.prefix.clone(), |prefix, word| format!("{prefix}_{word}"));
    Ok(Entry { key, subgraph, word, prefix, signature, facts, levels })
}

/// What is decoded once; it is proved as all else is.
fn prepared(compressed: Option<&Compressed>, targets: &[Target]) -> Result<Option<Arc<Prepared>>, Vec<Diagnostic>> {
    let Some(prepared) = compressed.and_then(|c| c.prepared.clone()) else { return Ok(None) };
    for target in targets {
        let program = prepared.program(&target.machine, &[0; PREPARED_HEADER_BYTES as usize]);
        cranelite_tile::verify::verify(&program)
            .map_err(|e| e.iter().map(|e| internal("the program that prepares constants is not proved", e)).collect::<Vec<_>>())?;
    }
    Ok(Some(Arc::new(prepared)))
}

/// Plans the memory of a signature's programs.
fn place_levels(entry: &mut Entry, options: &Options, is_packed: bool, stages: &mut Stages) -> Result<(), Vec<Diagnostic>> {
    stages.signature.clone_from(&entry.word);
    let several = 1 < entry.levels.len();
    for level in &mut entry.levels {
        stages.level = several.then(|| level.target.level.clone());
        if is_packed {
            stages.add(Stage::Tile, "compress", || cranelite_tile::text::print(&level.planned.program));
        }
        level.planned.plan = place_anywhere(&mut level.planned.program, &level.target.machine, options, stages)?;
    }
    agree_on_places(&mut entry.levels, options, stages)?;
    (stages.signature, stages.level) = (None, None);
    Ok(())
}

/// Whether all of it fits into the flash that there is.
fn flash(
    entries: &[Entry],
    object: &Object,
    options: &Options,
    packed: Option<&'static str>,
    code_bytes: Option<u64>,
    const_bytes: u64,
) -> Result<(), Vec<Diagnostic>> {
    let levels: Vec<(&str, u64)> = object.levels.iter().map(|l| (l.name.as_str(), l.code_bytes)).collect();
    let const_bytes = if options.weights { 0 } else { const_bytes };
    let is_for_size = options.prefer.goal == Goal::Size;
    limits::flash(options.limits, entries.iter().map(|e| &e.facts), Flash { code_bytes, const_bytes, levels: &levels, is_for_size, packed })
}

/// Compiles a file in C by the user's compiler; then sizes and stack are known, and stand in the header.
pub fn build(compiled: &mut Compiled, compiler: &Compiler, options: &Options) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let prefixes: Vec<String> = compiled.entries.iter().map(|e| e.prefix.clone()).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let once = |compiled: &Compiled| cc::build(compiler, &compiled.prefix, &compiled.object.bytes, &compiled.header).map_err(|d| vec![d]);
    let mut built = once(compiled)?;
    built.note(&mut compiled.object, &prefixes);
    if let Some(sizes) = built.sizes {
        let packed = compiled.compressed.as_ref().filter(|c| !c.groups.is_empty()).map(|c| c.how.name());
        flash(&compiled.entries, &compiled.object, options, packed, Some(sizes.code_bytes), sizes.data_bytes)?;
    }
    if 0 < compiled.object.stack_bytes {
        // The description has the stack from the header.
        compiled.header = header::write(options, &compiled.entries, &compiled.targets(), &compiled.object, &compiled.symbols);
        built = once(compiled)?;
    }
    Ok(built.object)
}

impl Compiled {
    /// What is in place of an object is a file in C.
    pub fn is_c(&self) -> bool {
        self.main().levels[0].target.is_c()
    }

    /// None: of a file in C its compiler decides, and it has not been asked.
    pub fn code_bytes(&self) -> Option<u64> {
        Some(self.object.code_bytes).filter(|bytes| 0 < *bytes || !self.is_c())
    }

    /// As with code.
    pub fn stack_bytes(&self) -> Option<u64> {
        Some(self.object.stack_bytes.into()).filter(|bytes| 0 < *bytes || !self.is_c())
    }

    pub fn triple(&self) -> String {
        self.main().levels[0].target.name()
    }

    /// The first signature; mostly the only one.
    pub fn main(&self) -> &Entry {
        &self.entries[0]
    }

    /// All names, as `--cpu` takes them.
    pub fn level_names(&self) -> String {
        self.main().levels.iter().map(|l| l.target.level.as_str()).collect::<Vec<_>>().join(",")
    }

    pub fn targets(&self) -> Vec<Target> {
        self.main().levels.iter().map(|l| l.target.clone()).collect()
    }

    /// The one that the entry points choose on this machine.
    pub fn target_here(&self) -> Option<&Target> {
        let levels = &self.main().levels;
        let order = Target::best_first(&levels.iter().map(|l| &l.target).collect::<Vec<_>>());
        order.into_iter().map(|i| &levels[i].target).find(|t| t.runs_here())
    }
}

impl Entry {
    /// The level that needs the largest arena.
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
        object::Error::CannotAsk(..) | object::Error::NoUnwind(_) | object::Error::NotInC(_) => {
            Diagnostic::new(Code::TARGET, e.to_string())
        }
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
