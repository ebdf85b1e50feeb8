//! From a placed program to the bytes of an object file.
//!
//! Not an emitter of kernels and not a linker. The ideas: one function per kernel, compiled in parallel and put together in order,
//! so that the bytes do not depend on the threads; an object has one or more feature levels, each a whole program, and its entry points
//! check their arguments, choose a level and call its kernels as scheduled; every symbol but the documented ones is local, and nothing
//! is left undefined but the functions that custom operators call.

mod call;
mod compile;
mod constants;
mod cpu;
mod entry;
pub mod foreign;
pub mod model;
mod parts;
mod plan;
mod property;
mod schedule;
pub mod section;
pub mod self_test;
mod state;
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
use cranelite_tile::{BufferId, Foreign, Line, Program, Role};
use entry::{Ask, Choice, Entries};
use plan::{Facts, Form, Kind};
use schedule::Body;
use std::collections::{BTreeMap, BTreeSet};
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

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// First part of every exported name; a C identifier.
    pub prefix: String,
    /// The signature, for the descriptor.
    pub inputs: Vec<model::Tensor>,
    pub outputs: Vec<model::Tensor>,
    /// Also export `PREFIX_profile`, which calls a hook before every call of a kernel.
    pub profile: bool,
    /// Also export `PREFIX_invoke_parallel`, which lets a caller's executor run calls that may run at the same time.
    pub parallel: bool,
    /// Also export `PREFIX_selftest`, which expects these hashes: by level, vector and output. None: empty.
    pub self_test: Vec<Vec<Vec<u64>>>,
    /// Of the integers in the inputs of that, so many of the lowest bits; all of them where none is said.
    pub self_test_bits: Option<u32>,
    /// The section that the constants are in; none: with the object's other read-only data.
    pub const_section: Option<String>,
    /// The constants are the caller's, in a file beside the object; entry points have a parameter for them.
    pub weights: bool,
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
    #[error("states are not the same at each level")]
    StateByLevel,
    #[error("there is not so much memory for the state")]
    StateTooLarge,
    #[error("with weights outside there are no constants to put into a section")]
    Combination,
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
    pub io_places: IoPlaces,
    /// The file beside the object, if constants are there.
    pub weights: Option<Vec<u8>>,
    /// Along the deepest path of calls from an entry point.
    pub stack_bytes: u32,
    pub levels: Vec<LevelFacts>,
    pub clif: Option<String>,
    pub asm: Option<String>,
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

/// Compiles one or more levels of a model: an object for every CPU that one of them is for.
pub fn emit(levels: &[Level], options: &Options) -> Result<Object, Error> {
    if let Some(section) = &options.const_section {
        section::check(section, &levels[0].target.triple).map_err(Error::Section)?;
    }
    let places = IoPlaces::of(levels[0].program);
    if levels.iter().any(|l| IoPlaces::of(l.program) != places) {
        return Err(Error::PlacesByLevel);
    }
    if options.weights && options.const_section.is_some() {
        return Err(Error::Combination);
    }
    if options.unwind && levels[0].target.triple.binary_format != BinaryFormat::Elf {
        return Err(Error::NoUnwind(levels[0].target.triple.to_string()));
    }
    let needed = needed(levels, options)?;
    let constants = Constants::of(levels);
    let const_bytes = constants.size_bytes(None);
    if MAX_CONST_BYTES < const_bytes && !options.weights {
        return Err(Error::TooManyConstants(const_bytes));
    }
    let arenas = levels.iter().map(|l| arena(l.program)).collect::<Result<Vec<_>, _>>()?;
    let arena_align = arenas.iter().map(|a| a.1).max().unwrap_or(1);
    let arena_bytes = arenas.iter().map(|a| a.0).max().unwrap_or(0).next_multiple_of(u64::from(arena_align));

    let mut writer = Writer::new(levels[0].target, options)?;
    let prefixes = prefixes(levels, &options.prefix);
    let mut file = None;
    // Whether constants are symbols of their own.
    let apart = options.const_section.is_none() && !options.weights && keeps_sections(levels[0].target);
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
    let state = state::of(levels)?;
    let form = Form { io_in_arena: places.is_in_arena(), state: state.is_some(), weights: options.weights };
    let mut body_kinds: Vec<Kind> = kinds(levels, options).map(Kind::body).collect();
    body_kinds.dedup();
    let (mut facts, mut bodies, mut deepest_calls) = (vec![], vec![], vec![]);
    let mut shared = Shared::new();
    for (n, level) in levels.iter().enumerate() {
        let (functions, kernels) = kernels(&mut writer, level, &prefixes[n], (1 < levels.len()).then_some(&mut shared), options)?;
        let data = constants.by_level[n].iter().map(|(&id, &index)| (id, data[index])).collect();
        let mut body = Body { program: level.program, functions, data, tasks: BTreeMap::new(), parts: BTreeMap::new() };
        let first = writer.written.len();
        let tasks_bytes = tasks(&mut writer, &mut body, &prefixes[n])?;
        let parts_bytes = parts::define(&mut writer, &mut body, &prefixes[n], &body_kinds, form)?;
        bodies.push(body);
        deepest_calls.push(kernels.iter().map(|k| k.stack_bytes).max().unwrap_or(0) + tasks_bytes + parts_bytes);
        let of_kernels: u64 = kernels.iter().map(|k| k.code_bytes).sum();
        facts.push(LevelFacts {
            name: level.target.level.clone(),
            code_bytes: of_kernels + writer.written[first..].iter().map(|w| w.code_bytes).sum::<u64>(),
            const_bytes: constants.size_bytes(Some(n)),
            arena_bytes: arenas[n].0,
            arena_align: arenas[n].1,
            kernels,
        });
    }

    let ask = ask(&mut writer, levels[0].target, &needed, &options.prefix)?;
    let ask_stack_bytes = ask.as_ref().map_or(0, |(_, stack_bytes)| *stack_bytes);
    let choice = Choice { order: Target::best_first(&levels.iter().map(|l| l.target).collect::<Vec<_>>()), ask: ask.map(|a| a.0), needed };
    let expected = file.as_ref().map(|f| f.1);
    let state_align = state.as_ref().map_or(1, |s| s.align);
    let state_bytes = state.as_ref().map_or(0, |s| s.initial.len() as u64);
    let [inputs, outputs] = io_counts(levels[0].program);
    let buffer_align = self_test::BUFFER_ALIGN;
    let facts_of_entries = Facts { form, inputs, outputs, arena_bytes, arena_align, state_align, buffer_align };
    let mut entries = Entries { bodies: &bodies, facts: facts_of_entries, choice, weights: expected, invoke: None };
    let (mut ids, mut stack_bytes) = (BTreeMap::new(), 0);
    let mut functions: BTreeMap<Kind, Vec<FuncId>> = BTreeMap::new();
    let mut below = ask_stack_bytes.max(deepest_calls.iter().copied().max().unwrap_or(0));
    for kind in kinds(levels, options) {
        // Several bodies are functions of their own; a single one is a part of the entry point.
        if 1 < levels.len() && !functions.contains_key(&kind.body()) {
            let mut own = vec![];
            for (n, (body, facts)) in bodies.iter().zip(&mut facts).enumerate() {
                let prefix = &prefixes[n];
                let function = entry::body(body, kind.body(), form, &mut writer.module);
                let (id, frame_bytes) = writer.function(format!("{prefix}.{}", kind.name()), Linkage::Local, function)?;
                own.push(id);
                facts.code_bytes += writer.written.last().map_or(0, |w| w.code_bytes);
                below = below.max(frame_bytes + deepest_calls[n]);
            }
            functions.insert(kind.body(), own);
        }
        let function = entries.build(kind, &mut writer.module, functions.get(&kind.body()).map(Vec::as_slice));
        let (id, frame_bytes) = writer.function(format!("{}_{}", options.prefix, kind.name()), Linkage::Export, function)?;
        // Without an executor the parallel entry point calls the serial one, which comes first.
        stack_bytes = if kind == Kind::Parallel { stack_bytes + frame_bytes } else { stack_bytes.max(frame_bytes) };
        ids.insert(kind, id);
        entries.invoke = ids.get(&Kind::Invoke).copied();
    }
    let reset = match &state {
        None => None,
        Some(state) => {
            let function = state::reset(state, &options.prefix, &mut writer.module)?;
            Some(writer.function(format!("{}_reset", options.prefix), Linkage::Export, function)?.0)
        }
    };
    if !options.self_test.is_empty() {
        let invoke: Vec<FuncId> = functions.get(&Kind::Invoke).cloned().unwrap_or_else(|| vec![ids[&Kind::Invoke]]);
        let (id, frame_bytes) = self_tests(&mut writer, &entries, options, &prefixes, &invoke, reset, &places)?;
        ids.insert(Kind::SelfTest, id);
        stack_bytes += frame_bytes;
    }
    let check_weights = match &expected {
        None => None,
        Some(expected) => {
            let hashing = self_test::hashing(&writer.module);
            let (hashing, _) = writer.function(format!("{}.hash", options.prefix), Linkage::Local, hashing)?;
            let function = expected.check(&mut writer.module, hashing);
            let (id, frame_bytes) = writer.function(format!("{}_check_weights", options.prefix), Linkage::Export, function)?;
            stack_bytes = stack_bytes.max(frame_bytes);
            Some(id)
        }
    };
    let function = call::function(&mut writer.module, &ids, form);
    let (call, call_frame_bytes) = writer.function(format!("{}.call", options.prefix), Linkage::Local, function)?;
    stack_bytes += below + call_frame_bytes;
    let model = model::Model {
        name: &options.prefix,
        inputs: &options.inputs,
        outputs: &options.outputs,
        arena_bytes,
        arena_align,
        const_bytes,
        stack_bytes: stack_bytes.into(),
        levels: &levels.iter().map(|l| l.target.level.as_str()).collect::<Vec<_>>(),
        call,
        entries: &ids,
        state_bytes,
        state_align,
        reset,
        places: &places,
        weights: expected.zip(check_weights),
        self_test_bytes: if options.self_test.is_empty() { 0 } else { self_test::places(&options.inputs, &options.outputs).1 },
    };
    model.define(&mut writer.module, &options.prefix)?;
    if apart {
        // Why last: sections keep the order of definition, so this is what follows the last constant.
        let mut end = DataDescription::new();
        end.define(vec![0; READABLE_AFTER_CONSTANTS].into());
        let id = writer.module.declare_data(&format!("{}.end", options.prefix), Linkage::Local, false, false)?;
        writer.module.define_data(id, &end)?;
    }

    let Writer { module, written, isa, .. } = writer;
    let mut product = module.finish();
    if let Some(note) = property::note(levels[0].target) {
        note.add(&mut product.object);
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
        io_places: places,
        weights: file.map(|f| f.0),
        stack_bytes,
        levels: facts,
        clif: options.clif.then(|| written.iter().map(|w| format!("; {}\n{}\n", w.symbol, w.clif)).collect()),
        asm: options.asm.then(|| written.iter().map(|w| format!("{}:\n{}\n", w.symbol, w.asm)).collect()),
    })
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
fn arena(program: &Program) -> Result<(u64, u32), Error> {
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
fn used(program: &Program, role: Role) -> BTreeSet<BufferId> {
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

/// Defines `PREFIX_selftest`, with a function for each level that runs it by its `invoke`. Answers how much stack both take.
fn self_tests(
    writer: &mut Writer,
    entries: &Entries,
    options: &Options,
    prefixes: &[String],
    invoke: &[FuncId],
    reset: Option<FuncId>,
    places: &IoPlaces,
) -> Result<(FuncId, u32), Error> {
    let mut part = |name: &str, make: fn(&ObjectModule) -> Function| {
        let function = make(&writer.module);
        Ok::<_, Error>(writer.function(format!("{}.selftest_{name}", options.prefix), Linkage::Local, function)?.0)
    };
    let (fill, hashing) = (part("fill", self_test::fill)?, part("hash", self_test::hashing)?);
    let in_arena = if places.is_in_arena() { Some((places, part("copy", self_test::copying)?)) } else { None };
    let (mut own, mut largest) = (vec![], 0);
    for ((prefix, &invoke), expected) in prefixes.iter().zip(invoke).zip(&options.self_test) {
        let parts = self_test::Parts { fill, hashing, invoke, reset, weights: options.weights, in_arena, lowest: options.self_test_bits };
        let function = self_test::of_level(&mut writer.module, &parts, &options.inputs, &options.outputs, expected);
        let (id, frame_bytes) = writer.function(format!("{prefix}.selftest"), Linkage::Local, function)?;
        own.push(id);
        largest = largest.max(frame_bytes);
    }
    let function = entries.build(Kind::SelfTest, &mut writer.module, Some(&own));
    let (id, frame_bytes) = writer.function(format!("{}_selftest", options.prefix), Linkage::Export, function)?;
    Ok((id, largest + frame_bytes))
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
