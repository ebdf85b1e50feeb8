//! From a placed program to the bytes of an object file.
//!
//! Not an emitter of kernels and not a linker. The ideas: one function per kernel, compiled in parallel and put together in order,
//! so that the bytes do not depend on the threads; an object has one or more feature levels, each a whole program, and its entry points
//! check their arguments, choose a level and call its kernels as scheduled; several signatures are several such sets of programs, which have constants,
//! kernels, state and the choice in common; every symbol but the documented ones is local, and nothing is left undefined but the functions that
//! custom operators call.

mod apple;
mod call;
mod compile;
pub(crate) mod constants;
mod cpu;
mod entry;
pub mod foreign;
pub mod model;
mod parts;
pub(crate) mod plan;
pub(crate) mod prepare;
mod property;
pub(crate) mod schedule;
pub mod section;
pub mod self_test;
pub(crate) mod state;
mod unwind;
pub mod weights;
mod writer;

use crate::clif::{Arch, EmitError};
use crate::targets::{self, Target};
use crate::wide;
use compile::Compiled;
use constants::Constants;
use cranelift_codegen::ir::Function;
use cranelift_module::{DataDescription, FuncId, Linkage, Module, ModuleError};
use cranelift_object::ObjectModule;
use cranelite_tile::compress::Prepared;
use cranelite_tile::{BufferId, Foreign, Line, Program, Role};
use entry::{Ask, Choice, Entries};
use plan::{Facts, Form, Kind};
use prepare::Preparing;
use schedule::Body;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use target_lexicon::BinaryFormat;
use writer::Writer;

/// More constants than an object can have: code reaches them by 32-bit distances.
pub const MAX_CONST_BYTES: u64 = 1_900 << 20;
/// So many bytes after the last constant can be read.
const READABLE_AFTER_CONSTANTS: usize = 64;

/// A feature level of an object: a whole program, and the machines that it is for.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// Its scratch buffers have places.
    pub program: &'a Program,
    pub target: &'a Target,
}

/// One of a model's signatures: what a caller sees of it, and its programs.
#[derive(Clone, Default)]
pub struct Entry<'a> {
    /// Begins its names: the object's prefix, and more where there are several signatures.
    pub prefix: String,
    /// The model's name for it; empty where it has none.
    pub key: String,
    /// Of the file, for the descriptor.
    pub subgraph: u32,
    pub inputs: Vec<model::Tensor>,
    pub outputs: Vec<model::Tensor>,
    /// For the same targets, in the same order, as all others.
    pub levels: Vec<Level<'a>>,
    /// What its self-test expects, by level, vector and output.
    pub self_test: Vec<Vec<Vec<u64>>>,
    /// Of the integers in the inputs of that, so many of the lowest bits; all of them where none is said.
    pub self_test_bits: Option<u32>,
    /// By number in the model: what is said of them where code can be read.
    pub operators: BTreeMap<u32, Operator>,
    /// Of buffers of the first level that hold tensors: how many bytes a number in them has; none: not always the same.
    pub number_bytes: BTreeMap<BufferId, Option<u32>>,
}

/// An operator of the model, as readers of code know it.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Its number, its name, its operands and its results.
    pub text: String,
    /// Multiply-accumulates.
    pub macs: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// First part of every exported name; a C identifier.
    pub prefix: String,
    /// The file, for the descriptor.
    pub source: model::Source,
    /// Of the only signature ([`emit`]), for the descriptor.
    pub inputs: Vec<model::Tensor>,
    pub outputs: Vec<model::Tensor>,
    /// Also export `PREFIX_profile`, which calls a hook before every call of a kernel.
    pub profile: bool,
    /// Also export `PREFIX_invoke_parallel`, which lets a caller's executor run calls that may run at the same time.
    pub parallel: bool,
    /// Of the only signature: also export `PREFIX_selftest`, which expects these hashes: by level, vector and output. None: empty.
    pub self_test: Vec<Vec<Vec<u64>>>,
    pub self_test_bits: Option<u32>,
    /// The section that the constants are in; none: with the object's other read-only data.
    pub const_section: Option<String>,
    /// The constants are the caller's, in a file beside the object; entry points have a parameter for them.
    pub weights: bool,
    /// Some constants are in memory of the caller's, where `PREFIX_prepare` decodes them once; entry points have the parameter for weights.
    pub prepared: Option<Arc<Prepared>>,
    /// Do not ask the CPU whether it has what the only level needs.
    pub no_cpu_check: bool,
    /// Also describe frames to profilers and debuggers, in `.eh_frame`.
    pub unwind: bool,
    /// Keep the text of the stages.
    pub clif: bool,
    pub asm: bool,
    /// Check what is handed to Cranelift; for tests.
    pub verify: bool,
    /// At most so many; 0 means as many as the machine has.
    pub threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the constants take {0} bytes and an object can hold {MAX_CONST_BYTES}; keep the weights outside with --weights")]
    TooManyConstants(u64),
    #[error("{0}")]
    Section(String),
    #[error("inputs and outputs in the arena are not at the same places at each level")]
    PlacesByLevel,
    #[error("states are not the same at each level and for each signature")]
    StateByLevel,
    #[error("there is not so much memory for the state")]
    StateTooLarge,
    #[error("with weights outside there are no constants to put into a section")]
    Combination,
    #[error("constants are in a file of weights or prepared, not both")]
    TwiceOutside,
    #[error("a self-test cannot know what functions of the user's compute")]
    ForeignSelfTest,
    #[error("the object cannot import {0:?}, which is a name of its own or no name of a C function")]
    Import(String),
    #[error("buffer {0} has no place in the arena")]
    Unplaced(String),
    #[error("{0} needs {1}, and on this target a program cannot ask the CPU for it; --no-cpu-check leaves that to you")]
    CannotAsk(String, &'static str),
    #[error("--unwind describes frames in .eh_frame, which is for ELF objects, and those of {0} are not ELF; leave out --unwind")]
    NoUnwind(String),
    #[error("{0} cannot be had in C yet; leave it out, or compile for a target with objects")]
    NotInC(&'static str),
    #[error("a frame cannot be described: {0}")]
    Frame(String),
    #[error("without a check of the CPU there is no choice between {0} levels; compile one level")]
    Unchecked(usize),
    #[error(transparent)]
    Target(#[from] targets::Error),
    #[error(transparent)]
    Emit(#[from] EmitError),
    #[error("Cranelift: {0}")]
    Cranelift(String),
}

impl From<ModuleError> for Error {
    fn from(e: ModuleError) -> Error {
        Error::Cranelift(e.to_string())
    }
}

/// An object file and what is to be said of it.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub code_bytes: u64,
    pub const_bytes: u64,
    /// What is enough for every level.
    pub arena_bytes: u64,
    pub arena_align: u32,
    /// 0 where the model keeps no state.
    pub state_bytes: u64,
    pub state_align: u32,
    /// One for each signature.
    pub entries: Vec<EntryFacts>,
    /// The file beside the object, if constants are there.
    pub weights: Option<Vec<u8>>,
    /// Of memory that the caller prepares; 0 where nothing is prepared.
    pub prepared_bytes: u64,
    /// Along the deepest path of calls from an entry point.
    pub stack_bytes: u32,
    /// Of all signatures.
    pub levels: Vec<LevelFacts>,
    pub clif: Option<String>,
    pub asm: Option<String>,
}

/// What one signature has in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFacts {
    pub arena_bytes: u64,
    pub arena_align: u32,
    pub stack_bytes: u32,
    pub io_places: IoPlaces,
    pub levels: Vec<LevelFacts>,
}

/// What one level has in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelFacts {
    pub name: String,
    /// What several levels have in common counts for each, code and constants.
    pub code_bytes: u64,
    pub const_bytes: u64,
    pub arena_bytes: u64,
    pub arena_align: u32,
    /// By number of kernel.
    pub kernels: Vec<KernelFacts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// Its local symbol, which names the first level that has it.
    pub symbol: String,
    pub code_bytes: u64,
    pub stack_bytes: u32,
    /// Why its vectors are split into those of 128 bits, where the level has longer ones.
    pub fallback: Option<String>,
}

/// Where in the arena inputs and outputs are, by position; empty where the caller has them elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoPlaces {
    pub inputs: Vec<u64>,
    pub outputs: Vec<u64>,
}

impl IoPlaces {
    pub fn of(program: &Program) -> Self {
        let own = program.buffers.iter().filter(|b| b.view.is_none());
        let places: BTreeMap<Role, u64> = own.filter_map(|b| Some((b.role, b.offset_bytes?))).collect();
        let of = |role: fn(u32) -> Role| (0..).map_while(|i| places.get(&role(i)).copied()).collect();
        IoPlaces { inputs: of(Role::Input), outputs: of(Role::Output) }
    }

    pub fn is_in_arena(&self) -> bool {
        !self.inputs.is_empty() || !self.outputs.is_empty()
    }
}

/// Compiles one or more levels of a model with one signature: an object for every CPU that one of them is for.
pub fn emit(levels: &[Level], options: &Options) -> Result<Object, Error> {
    let Options { prefix, inputs, outputs, self_test, self_test_bits, .. } = options.clone();
    let entry = Entry { prefix, inputs, outputs, levels: levels.to_vec(), self_test, self_test_bits, ..Entry::default() };
    emit_all(&[entry], options)
}

/// As [`emit`], of one or more signatures.
pub fn emit_all(entries: &[Entry], options: &Options) -> Result<Object, Error> {
    let (main, level_count) = (&entries[0].levels, entries[0].levels.len());
    let target = main[0].target;
    // One signature after the other.
    let programs: Vec<Level> = entries.iter().flat_map(|e| e.levels.iter().copied()).collect();
    let of_entry = |e: usize| e * level_count..(e + 1) * level_count;
    if let Some(section) = &options.const_section {
        section::check(section, &target.triple).map_err(Error::Section)?;
    }
    let places: Vec<IoPlaces> = entries.iter().map(|e| IoPlaces::of(e.levels[0].program)).collect();
    if entries.iter().zip(&places).any(|(e, places)| e.levels.iter().any(|l| IoPlaces::of(l.program) != *places)) {
        return Err(Error::PlacesByLevel);
    }
    if options.weights && options.const_section.is_some() {
        return Err(Error::Combination);
    }
    if options.weights && options.prepared.is_some() {
        return Err(Error::TwiceOutside);
    }
    if options.unwind && target.triple.binary_format != BinaryFormat::Elf {
        return Err(Error::NoUnwind(target.triple.to_string()));
    }
    let needed = needed(main, options)?;
    let preparing = options.prepared.as_deref().map(|p| Preparing::of(p, &main.iter().map(|l| &l.target.machine).collect::<Vec<_>>()));
    let all_programs: Vec<Level> =
        programs.iter().copied().chain(preparing.iter().flat_map(|p| p.levels(main.iter().map(|l| l.target)))).collect();
    let constants = Constants::of(&all_programs, options.prepared.as_deref().map(|p| (p, programs.len())));
    let const_bytes = constants.size_bytes(None);
    if MAX_CONST_BYTES < const_bytes && !options.weights {
        return Err(Error::TooManyConstants(const_bytes));
    }
    let arenas = programs.iter().map(|l| arena(l.program)).collect::<Result<Vec<_>, _>>()?;

    let mut writer = Writer::new(target, options)?;
    let prefixes: Vec<String> = entries
        .iter()
        .map(|e| e.prefix.clone())
        .chain(preparing.iter().map(|_| format!("{}.prepare", options.prefix)))
        .flat_map(|prefix| prefixes(main, &prefix))
        .collect();
    let mut file = None;
    // Whether constants are symbols of their own.
    let apart = options.const_section.is_none() && !options.weights && keeps_sections(target);
    let data = match &options.const_section {
        _ if options.weights => {
            let (mut bytes, places) = constants.outside();
            let expected = weights::finish(&mut bytes);
            file = Some((bytes, expected));
            places
        }
        None if apart => constants.define(&mut writer.module, &prefixes)?,
        section => constants.define_as_one(section.as_deref(), &mut writer.module, &format!("{}.constants", options.prefix))?,
    };
    let state = state::of(&programs)?;
    let has_weights = options.weights || preparing.is_some();
    let form = |e: usize| Form { io_in_arena: places[e].is_in_arena(), state: state.is_some(), weights: has_weights };
    let mut body_kinds: Vec<Kind> = kinds(main, options).map(Kind::body).collect();
    body_kinds.dedup();
    // The constants of a level are also those from which others are decoded.
    let of_level = |own: &[usize], level: usize| -> Vec<usize> {
        own.iter().copied().chain(preparing.iter().map(|_| programs.len() + level)).collect()
    };
    let (mut facts, mut bodies, mut deepest_calls) = (vec![], vec![], vec![]);
    let mut shared = Shared::new();
    for (n, level) in programs.iter().enumerate() {
        let (functions, kernels) = kernels(&mut writer, level, &prefixes[n], (1 < programs.len()).then_some(&mut shared), options)?;
        let data = constants.by_level[n].iter().map(|(&id, &index)| (id, data[index])).collect();
        let mut body = Body { program: level.program, functions, data, tasks: BTreeMap::new(), parts: BTreeMap::new() };
        let first = writer.written.len();
        let tasks_bytes = tasks(&mut writer, &mut body, &prefixes[n])?;
        let parts_bytes = parts::define(&mut writer, &mut body, &prefixes[n], &body_kinds, form(n / level_count))?;
        bodies.push(body);
        deepest_calls.push(kernels.iter().map(|k| k.stack_bytes).max().unwrap_or(0) + tasks_bytes + parts_bytes);
        let of_kernels: u64 = kernels.iter().map(|k| k.code_bytes).sum();
        facts.push(LevelFacts {
            name: level.target.level.clone(),
            code_bytes: of_kernels + writer.written[first..].iter().map(|w| w.code_bytes).sum::<u64>(),
            const_bytes: constants.size_bytes(Some(&of_level(&[n], n % level_count))),
            arena_bytes: arenas[n].0,
            arena_align: arenas[n].1,
            kernels,
        });
    }

    let ask = ask(&mut writer, target, &needed, &options.prefix)?;
    let ask_stack_bytes = ask.as_ref().map_or(0, |(_, stack_bytes)| *stack_bytes);
    let choice = Choice { order: Target::best_first(&main.iter().map(|l| l.target).collect::<Vec<_>>()), ask: ask.map(|a| a.0), needed };
    let expected = file.as_ref().map(|f| f.1).or(preparing.as_ref().map(|p| p.expected));
    let state_align = state.as_ref().map_or(1, |s| s.align);
    let state_bytes = state.as_ref().map_or(0, |s| s.initial.len() as u64);
    let mut offered: Vec<Offered> = vec![];
    for (e, entry) in entries.iter().enumerate() {
        let arena_align = arenas[of_entry(e)].iter().map(|a| a.1).max().unwrap_or(1);
        let arena_bytes = arenas[of_entry(e)].iter().map(|a| a.0).max().unwrap_or(0).next_multiple_of(u64::from(arena_align));
        let [inputs, outputs] = io_counts(entry.levels[0].program);
        let buffer_align = self_test::BUFFER_ALIGN;
        let facts_of_entries = Facts { form: form(e), inputs, outputs, arena_bytes, arena_align, state_align, buffer_align };
        let mut own = Entries { bodies: &bodies[of_entry(e)], facts: facts_of_entries, choice: &choice, weights: expected, invoke: None };
        let (mut ids, mut stack_bytes) = (BTreeMap::new(), 0);
        let mut functions: BTreeMap<Kind, Vec<FuncId>> = BTreeMap::new();
        let mut below = ask_stack_bytes.max(deepest_calls[of_entry(e)].iter().copied().max().unwrap_or(0));
        for kind in kinds(main, options) {
            // Several bodies are functions of their own; a single one is a part of the entry point.
            if 1 < level_count && !functions.contains_key(&kind.body()) {
                let mut of_levels = vec![];
                for n in of_entry(e) {
                    let function = entry::body(&bodies[n], kind.body(), form(e), &mut writer.module);
                    let (id, frame_bytes) = writer.function(format!("{}.{}", prefixes[n], kind.name()), Linkage::Local, function)?;
                    of_levels.push(id);
                    facts[n].code_bytes += writer.written.last().map_or(0, |w| w.code_bytes);
                    below = below.max(frame_bytes + deepest_calls[n]);
                }
                functions.insert(kind.body(), of_levels);
            }
            let function = own.build(kind, &mut writer.module, functions.get(&kind.body()).map(Vec::as_slice));
            let (id, frame_bytes) = writer.function(format!("{}_{}", entry.prefix, kind.name()), Linkage::Export, function)?;
            // Without an executor the parallel entry point calls the serial one, which comes first.
            stack_bytes = if kind == Kind::Parallel { stack_bytes + frame_bytes } else { stack_bytes.max(frame_bytes) };
            ids.insert(kind, id);
            own.invoke = ids.get(&Kind::Invoke).copied();
        }
        let invoke = functions.remove(&Kind::Invoke).unwrap_or_else(|| vec![ids[&Kind::Invoke]]);
        offered.push(Offered { own, ids, invoke, stack_bytes, below });
    }
    let prepare = match &preparing {
        None => None,
        Some(preparing) => {
            let part = |l: usize| prepare::Part {
                level: all_programs[programs.len() + l],
                prefix: &prefixes[programs.len() + l],
                data: constants.by_level[programs.len() + l].iter().map(|(&id, &index)| (id, data[index])).collect(),
            };
            let parts: Vec<prepare::Part> = (0..level_count).map(part).collect();
            let shared = (1 < all_programs.len()).then_some(&mut shared);
            Some(preparing.define(&mut writer, parts, &choice, shared, options)?)
        }
    };
    let reset = match &state {
        None => None,
        Some(state) => {
            let function = state::reset(state, &options.prefix, &mut writer.module)?;
            Some(writer.function(format!("{}_reset", options.prefix), Linkage::Export, function)?.0)
        }
    };
    if entries.iter().any(|e| !e.self_test.is_empty()) {
        let parts = SelfTestParts::define(&mut writer, &options.prefix, places.iter().any(IoPlaces::is_in_arena))?;
        for (e, (entry, offered)) in entries.iter().zip(&mut offered).enumerate() {
            let test = SelfTest { entry, prefixes: &prefixes[of_entry(e)], places: &places[e], reset, weights: has_weights };
            let (id, frame_bytes) = test.define(&mut writer, &parts, offered)?;
            offered.ids.insert(Kind::SelfTest, id);
            offered.stack_bytes += frame_bytes;
        }
    }
    let check_weights = match &expected {
        None => None,
        Some(expected) => {
            let hashing = self_test::hashing(&writer.module);
            let (hashing, _) = writer.function(format!("{}.hash", options.prefix), Linkage::Local, hashing)?;
            let function = expected.check(&mut writer.module, hashing);
            let (id, frame_bytes) = writer.function(format!("{}_check_weights", options.prefix), Linkage::Export, function)?;
            offered.iter_mut().for_each(|o| o.stack_bytes = o.stack_bytes.max(frame_bytes));
            Some(id)
        }
    };
    let prepare_stack_bytes = prepare.map_or(0, |p| p.1 + ask_stack_bytes);
    let mut models = vec![];
    for (e, (entry, offered)) in entries.iter().zip(&mut offered).enumerate() {
        let function = call::function(&mut writer.module, &offered.ids, form(e));
        let (call, call_frame_bytes) = writer.function(format!("{}.call", entry.prefix), Linkage::Local, function)?;
        offered.stack_bytes = (offered.stack_bytes + offered.below + call_frame_bytes).max(prepare_stack_bytes);
        let model = model::Model {
            name: &entry.prefix,
            source: options.source,
            key: &entry.key,
            subgraph: entry.subgraph,
            inputs: &entry.inputs,
            outputs: &entry.outputs,
            arena_bytes: offered.own.facts.arena_bytes,
            arena_align: offered.own.facts.arena_align,
            const_bytes,
            stack_bytes: offered.stack_bytes.into(),
            levels: &main.iter().map(|l| l.target.level.as_str()).collect::<Vec<_>>(),
            call,
            entries: &offered.ids,
            state_bytes,
            state_align,
            reset,
            places: &places[e],
            weights: expected.zip(check_weights),
            prepare: prepare.map(|p| p.0),
            self_test_bytes: if entry.self_test.is_empty() { 0 } else { self_test::places(&entry.inputs, &entry.outputs).1 },
        };
        models.push((entry.key.as_str(), model.define(&mut writer.module, &entry.prefix)?));
    }
    if 1 < entries.len() {
        model::define_signatures(&mut writer.module, &options.prefix, &models)?;
    }
    if apart {
        // Why last: sections keep the order of definition, so this is what follows the last constant.
        let mut end = DataDescription::new();
        end.define(vec![0; READABLE_AFTER_CONSTANTS].into());
        let id = writer.module.declare_data(&format!("{}.end", options.prefix), Linkage::Local, false, false)?;
        writer.module.define_data(id, &end)?;
    }

    let own_levels: Vec<Vec<LevelFacts>> = (0..entries.len()).map(|e| facts[of_entry(e)].to_vec()).collect();
    let in_all = |level: usize| {
        let numbers: Vec<usize> = (0..entries.len()).map(|e| e * level_count + level).collect();
        LevelFacts::in_all(numbers.iter().map(|n| &facts[*n]), constants.size_bytes(Some(&of_level(&numbers, level))))
    };
    let levels: Vec<LevelFacts> = (0..level_count).map(in_all).collect();
    let arena_align = offered.iter().map(|o| o.own.facts.arena_align).max().unwrap_or(1);
    let arena_bytes = offered.iter().map(|o| o.own.facts.arena_bytes).max().unwrap_or(0).next_multiple_of(u64::from(arena_align));
    let stack_bytes = offered.iter().map(|o| o.stack_bytes).max().unwrap_or(0);
    let entries = offered.iter().zip(places).zip(own_levels).map(|((o, io_places), levels)| EntryFacts {
        arena_bytes: o.own.facts.arena_bytes,
        arena_align: o.own.facts.arena_align,
        stack_bytes: o.stack_bytes,
        io_places,
        levels,
    });
    let entries = entries.collect();
    let Writer { module, written, isa, .. } = writer;
    let mut product = module.finish();
    if let Some(note) = property::note(target) {
        note.add(&mut product.object);
    }
    if let Some(version) = apple::build_version(&target.triple) {
        product.object.set_macho_build_version(version);
    }
    if options.unwind {
        unwind::add(&mut product, &written, &*isa)?;
    }
    Ok(Object {
        bytes: product.emit().map_err(|e| Error::Cranelift(e.to_string()))?,
        code_bytes: written.iter().map(|w| w.code_bytes).sum(),
        const_bytes,
        arena_bytes,
        arena_align,
        state_bytes,
        state_align,
        entries,
        weights: file.map(|f| f.0),
        prepared_bytes: preparing.map_or(0, |p| p.expected.size_bytes),
        stack_bytes,
        levels,
        clif: options.clif.then(|| written.iter().map(|w| format!("; {}\n{}\n", w.symbol, w.clif)).collect()),
        asm: options.asm.then(|| written.iter().map(|w| format!("{}:\n{}\n", w.symbol, w.asm)).collect()),
    })
}

/// What the object has for one signature so far.
struct Offered<'a> {
    own: Entries<'a>,
    /// Functions that it exports.
    ids: BTreeMap<Kind, FuncId>,
    /// By level, what runs it.
    invoke: Vec<FuncId>,
    /// Of the exported functions, and of what they call.
    stack_bytes: u32,
    below: u32,
}

impl LevelFacts {
    /// Of several signatures at one level; of code, what they have in common counts once.
    fn in_all<'a>(signatures: impl Iterator<Item = &'a LevelFacts>, const_bytes: u64) -> LevelFacts {
        let (mut all, mut known) = (LevelFacts::default(), BTreeSet::new());
        for own in signatures {
            let again = own.kernels.iter().filter(|k| !known.insert(k.symbol.clone())).map(|k| k.code_bytes).sum::<u64>();
            all.code_bytes += own.code_bytes - again;
            all.arena_bytes = all.arena_bytes.max(own.arena_bytes);
            all.arena_align = all.arena_align.max(own.arena_align);
            all.kernels.extend(own.kernels.iter().cloned());
            all.name.clone_from(&own.name);
        }
        LevelFacts { const_bytes, ..all }
    }
}

/// How many inputs and outputs a program has.
fn io_counts(program: &Program) -> [u32; 2] {
    let mut counts = [0; 2];
    for b in program.buffers.iter().filter(|b| b.view.is_none()) {
        match b.role {
            Role::Input(i) => counts[0] = counts[0].max(i + 1),
            Role::Output(i) => counts[1] = counts[1].max(i + 1),
            _ => {}
        }
    }
    counts
}

/// The entry points that the object has.
fn kinds(levels: &[Level], options: &Options) -> impl Iterator<Item = Kind> {
    let (is_choice, has_profile, is_parallel) = (1 < levels.len(), options.profile, options.parallel);
    [Kind::Invoke, Kind::At, Kind::Profile, Kind::Parallel].into_iter().filter(move |kind| match kind {
        Kind::Invoke => true,
        Kind::At => is_choice,
        Kind::Profile => has_profile,
        Kind::Parallel => is_parallel,
        Kind::SelfTest => false,
    })
}

/// The bits of features that each level needs of the CPU.
fn needed(levels: &[Level], options: &Options) -> Result<Vec<u32>, Error> {
    match levels.len() {
        1 if options.no_cpu_check => Ok(vec![0]),
        n if options.no_cpu_check => Err(Error::Unchecked(n)),
        _ => levels.iter().map(|l| cpu::needed(l.target)).collect(),
    }
}

/// Whether linkers keep or drop sections as a whole. For Mach-O they do so with what lies between two symbols, and may put it in another order.
fn keeps_sections(target: &Target) -> bool {
    target.triple.binary_format != BinaryFormat::Macho
}

/// The beginnings of local names.
fn prefixes(levels: &[Level], prefix: &str) -> Vec<String> {
    if let [_] = levels {
        return vec![prefix.into()];
    }
    unique(levels.iter().map(|l| format!("{prefix}.{}", word(&l.target.level))))
}

/// A function and a word, if anything is to be asked of the CPU, and how much stack the function takes.
fn ask(writer: &mut Writer, target: &Target, needed: &[u32], prefix: &str) -> Result<Option<(Ask, u32)>, Error> {
    let wanted = needed.iter().fold(0, |all, bits| all | bits);
    if wanted == 0 {
        return Ok(None);
    }
    let cpu::Function { bytes, stack_bytes } = cpu::function(target, wanted);
    let asm = if writer.text.asm && target.features.arch == Arch::X86 { wide::listing(&bytes) } else { String::new() };
    let rows = compile::rows_of_assembled(&bytes, &*writer.isa).map_err(Error::Frame)?;
    let compiled =
        Compiled { bytes, align: 32, relocs: vec![], stack_bytes, has_vectors: false, rows, fallback: None, clif: String::new(), asm };
    let signature = entry::ask_signature(&writer.module);
    let function = writer.define(format!("{prefix}.cpu"), Linkage::Local, &signature, compiled)?;
    let mut description = DataDescription::new();
    description.define_zeroinit(4);
    description.set_align(4);
    let word = writer.module.declare_data(&format!("{prefix}.cpu_word"), Linkage::Local, true, false)?;
    writer.module.define_data(word, &description)?;
    Ok(Some((Ask { function, word }, stack_bytes)))
}

/// Size (a multiple of the alignment, as `aligned_alloc` wants it) and alignment of the arena.
pub(crate) fn arena(program: &Program) -> Result<(u64, u32), Error> {
    let (mut bytes, mut align) = (0, 1);
    let io = program.buffers.iter().filter(|b| b.offset_bytes.is_some() && matches!(b.role, Role::Input(_) | Role::Output(_)));
    for b in used(program, Role::Scratch).into_iter().map(|b| program.buffer(b)).chain(io) {
        let offset = b.offset_bytes.ok_or_else(|| Error::Unplaced(b.name.clone()))?;
        bytes = bytes.max(offset + b.size_bytes);
        align = align.max(b.align);
    }
    Ok((bytes.next_multiple_of(u64::from(align)), align))
}

/// The buffers of that role that the schedule refers to, themselves or through their views.
pub(crate) fn used(program: &Program, role: Role) -> BTreeSet<BufferId> {
    let line = Line::of(&program.schedule);
    let named = line.moments.iter().flat_map(|m| m.calls.iter().flat_map(|c| &c.buffers).chain(&m.looks_at));
    let used = named.map(|&b| program.root(b).0);
    used.filter(|&b| program.buffer(b).role == role).collect()
}

/// Kernels of earlier levels, by alignment and machine code.
type Shared = BTreeMap<(u32, Vec<u8>), (FuncId, KernelFacts)>;

/// Compiles the kernels of a level, and defines those that no earlier level has; a single level shares none.
fn kernels(
    writer: &mut Writer,
    level: &Level,
    prefix: &str,
    shared: Option<&mut Shared>,
    options: &Options,
) -> Result<(Vec<FuncId>, Vec<KernelFacts>), Error> {
    let Level { program, target } = level;
    let compiled = compile::kernels(program, target, &*target.isa(options.verify, options.unwind)?, writer.text, options.threads)?;
    let symbols = unique(program.kernels.iter().map(|k| format!("{prefix}.{}", word(&k.name))));
    let (mut known, mut own) = (vec![], vec![]);
    for ((kernel, compiled), symbol) in program.kernels.iter().zip(compiled).zip(symbols) {
        if let Some(Foreign { symbol, .. }) = &kernel.foreign {
            if !Foreign::is_symbol(symbol) || symbol.strip_prefix(&options.prefix).is_some_and(|rest| rest.starts_with('_')) {
                return Err(Error::Import(symbol.clone()));
            }
            let id = writer.module.declare_function(symbol, Linkage::Import, &foreign::signature(&writer.module))?;
            known.push((id, KernelFacts { symbol: symbol.clone(), code_bytes: 0, stack_bytes: 0, fallback: None }));
            continue;
        }
        let key = shared.as_ref().map(|_| (compiled.align, compiled.bytes.clone()));
        let same = shared.as_ref().zip(key.as_ref()).and_then(|(shared, key)| shared.get(key));
        if let Some(same) = same.filter(|_| compiled.relocs.is_empty()) {
            known.push(same.clone());
            continue;
        }
        let code_bytes = compiled.bytes.len() as u64;
        let facts =
            KernelFacts { symbol: symbol.clone(), code_bytes, stack_bytes: compiled.stack_bytes, fallback: compiled.fallback.clone() };
        let signature = crate::clif::signature(kernel, compile::inner_call_conv(&*writer.isa));
        let id = writer.define(symbol, Linkage::Local, &signature, compiled)?;
        known.push((id, facts.clone()));
        own.extend(key.map(|key| (key, (id, facts))));
    }
    if let Some(shared) = shared {
        shared.extend(own);
    }
    Ok(known.into_iter().unzip())
}

/// Defines the functions of a level's steps whose calls may run at the same time. Answers the largest frame.
fn tasks(writer: &mut Writer, body: &mut Body, prefix: &str) -> Result<u32, Error> {
    let (mut largest, mut number) = (0, 0);
    for moment in Line::of(&body.program.schedule).moments {
        let first = number;
        number += moment.calls.len() as u32;
        if moment.at_once {
            let function = body.tasks(moment.calls, &mut writer.module);
            let (id, frame_bytes) = writer.function(format!("{prefix}.tasks{first}"), Linkage::Local, function)?;
            largest = largest.max(frame_bytes);
            body.tasks.insert(first, id);
        }
    }
    Ok(largest)
}

/// Functions that all self-tests of an object call.
struct SelfTestParts {
    fill: FuncId,
    hashing: FuncId,
    /// Where inputs and outputs are in the arena.
    copy: Option<FuncId>,
}

impl SelfTestParts {
    fn define(writer: &mut Writer, prefix: &str, in_arena: bool) -> Result<Self, Error> {
        let mut part = |name: &str, make: fn(&ObjectModule) -> Function| {
            let function = make(&writer.module);
            Ok::<_, Error>(writer.function(format!("{prefix}.selftest_{name}"), Linkage::Local, function)?.0)
        };
        let (fill, hashing) = (part("fill", self_test::fill)?, part("hash", self_test::hashing)?);
        Ok(SelfTestParts { fill, hashing, copy: if in_arena { Some(part("copy", self_test::copying)?) } else { None } })
    }
}

/// The self-test of a signature.
struct SelfTest<'s> {
    entry: &'s Entry<'s>,
    /// By level.
    prefixes: &'s [String],
    places: &'s IoPlaces,
    reset: Option<FuncId>,
    weights: bool,
}

impl SelfTest<'_> {
    /// Defines `PREFIX_selftest`, with a function for each level that runs it by its `invoke`. Answers how much stack both take.
    fn define(&self, writer: &mut Writer, parts: &SelfTestParts, offered: &Offered) -> Result<(FuncId, u32), Error> {
        let Entry { prefix, inputs, outputs, self_test, self_test_bits, .. } = self.entry;
        let in_arena = parts.copy.filter(|_| self.places.is_in_arena()).map(|copy| (self.places, copy));
        let (mut own, mut largest) = (vec![], 0);
        for ((prefix, &invoke), expected) in self.prefixes.iter().zip(&offered.invoke).zip(self_test) {
            let SelfTestParts { fill, hashing, .. } = *parts;
            let (reset, weights, lowest) = (self.reset, self.weights, *self_test_bits);
            let parts = self_test::Parts { fill, hashing, invoke, reset, weights, in_arena, lowest };
            let function = self_test::of_level(&mut writer.module, &parts, inputs, outputs, expected);
            let (id, frame_bytes) = writer.function(format!("{prefix}.selftest"), Linkage::Local, function)?;
            own.push(id);
            largest = largest.max(frame_bytes);
        }
        let function = offered.own.build(Kind::SelfTest, &mut writer.module, Some(&own));
        let (id, frame_bytes) = writer.function(format!("{prefix}_selftest"), Linkage::Export, function)?;
        Ok((id, largest + frame_bytes))
    }
}

/// Letters, digits and underscores.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A number is appended to names that were seen before.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.enumerate().map(|(i, name)| if seen.insert(name.clone()) { name } else { format!("{name}.{i}") }).collect()
}
