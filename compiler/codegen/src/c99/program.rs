//! The file in C of one or more signatures: what stands in it, in which order, and what is known of it.
//!
//! Not the header, which is the same as an object's. Kernels that are equal are there once, whichever signatures they are of.

use super::body::Body;
use super::describe::{self, About};
use super::elements::{self, Elements};
use super::entry::{self, Entries, Initial};
use super::kernel;
use super::library;
use super::self_test;
use super::tables::{self, Tables};
use super::text::{comment, word};
use crate::object::plan::{Facts, Form, Kind};
use crate::object::prepare::Preparing;
use crate::object::{
    Entry, EntryFacts, Error, IoPlaces, KernelFacts, Level, LevelFacts, Object, Operator, Options, self_test as tests, state,
};
use cranelite_tile::{BufferId, Elem, Kernel, KernelId, Program, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Kernels are hot that together have this share of the multiply-accumulates, in hundredths.
const HOT: u64 = 95;
/// So many operators of a kernel are named.
const NAMED: usize = 12;

/// `header`: the name of the header beside the file.
pub fn emit(entries: &[Entry], options: &Options, header: &str) -> Result<Object, Error> {
    for (is_asked, what) in [(options.unwind, "--unwind"), (1 < entries[0].levels.len(), "several levels")] {
        if is_asked {
            return Err(Error::NotInC(what));
        }
    }
    if options.weights && options.const_section.is_some() {
        return Err(Error::Combination);
    }
    let programs: Vec<Level> = entries.iter().map(|e| e.levels[0]).collect();
    if options.weights && options.prepared.is_some() {
        return Err(Error::TwiceOutside);
    }
    let target = programs[0].target;
    let preparing = options.prepared.as_deref().map(|p| Preparing::of(p, &[&target.machine]));
    // What prepares constants has tables and kernels as all others.
    let mut all: Vec<Entry> = entries.to_vec();
    all.extend(preparing.iter().map(|p| Entry {
        prefix: format!("{}_prepare", options.prefix),
        levels: p.levels(std::iter::once(target)).collect(),
        ..Entry::default()
    }));
    let tables = Tables::of(&all, options);
    let state = state::of(&programs)?;
    let kernels = kernels(&all, options)?;
    let kinds: Vec<Kind> = [(Kind::Invoke, true), (Kind::Profile, options.profile), (Kind::Parallel, options.parallel)]
        .into_iter()
        .filter_map(|(kind, is_there)| is_there.then_some(kind))
        .collect();
    let expected = tables.file.as_ref().map(|f| f.1).or(preparing.as_ref().map(|p| p.expected));
    let has_weights = options.weights || preparing.is_some();
    let state_bytes = state.as_ref().map_or(0, |s| s.initial.len() as u64);
    let state_align = state.as_ref().map_or(1, |s| s.align);

    let (mut functions, mut facts, mut order) = (String::new(), vec![], tables.order);
    if let Some(state) = &state {
        let initial = initial(&entries[0], &mut order);
        functions += &entry::reset(&options.prefix, state, &initial);
    }
    if let (Some(preparing), Some(n)) = (&preparing, all.len().checked_sub(1)) {
        // Numbers are compared and kept as they are on little-endian machines.
        order.is_little = true;
        let form = preparing.facts().form;
        let body = Body {
            program: &preparing.programs[0],
            prefix: &all[n].prefix,
            form,
            functions: &kernels.names[n],
            constants: &tables.pointers[n],
            operators: &BTreeMap::new(),
        };
        functions += &body.function(Kind::Invoke);
        functions += &entry::prepare(&options.prefix, &all[n].prefix);
    }
    if let Some(expected) = &expected {
        functions += &entry::check_weights(&options.prefix, expected);
    }
    for (n, entry) in entries.iter().enumerate() {
        let program = programs[n].program;
        order.is_little |= elements::sees_bytes(program, &entry.number_bytes);
        let places = IoPlaces::of(program);
        let (arena_bytes, arena_align) = crate::object::arena(program)?;
        let form = Form { io_in_arena: places.is_in_arena(), state: state.is_some(), weights: has_weights };
        let [inputs, outputs] = [entry.inputs.len() as u32, entry.outputs.len() as u32];
        let own = Facts { form, inputs, outputs, arena_bytes, arena_align, state_align, buffer_align: tests::BUFFER_ALIGN };
        let operators = entry.operators.iter().map(|(index, o)| (*index, o.text.clone())).collect();
        let body = Body {
            program,
            prefix: &entry.prefix,
            form,
            functions: &kernels.names[n],
            constants: &tables.pointers[n],
            operators: &operators,
        };
        let offered = Entries { entry, prefix: &options.prefix, facts: own, places: &places, weights: expected };
        for &kind in &kinds {
            functions += &body.function(kind);
            functions += &offered.function(kind);
        }
        if !entry.self_test.is_empty() {
            functions += &offered.function(Kind::SelfTest);
        }
        functions += &offered.call(&kinds);
        let about = About {
            entry,
            prefix: &options.prefix,
            source: options.source,
            facts: own,
            places: &places,
            kinds: &kinds,
            const_bytes: tables.const_bytes,
            state_bytes,
            weights: expected,
            prepares: preparing.is_some(),
        };
        functions += &about.text();
        let level = LevelFacts {
            name: programs[n].target.level.clone(),
            code_bytes: 0,
            const_bytes: tables.bytes_of[n],
            arena_bytes,
            arena_align,
            kernels: (0..program.kernels.len()).map(|k| kernels.facts(n, k)).collect(),
        };
        facts.push(EntryFacts { arena_bytes, arena_align, stack_bytes: 0, io_places: places, levels: vec![level] });
    }
    if 1 < entries.len() {
        functions += &describe::signatures(&options.prefix, entries);
    }
    let mut level = LevelFacts { const_bytes: tables.const_bytes, ..facts[0].levels[0].clone() };
    for other in &facts[1..] {
        level.arena_bytes = level.arena_bytes.max(other.arena_bytes);
        level.arena_align = level.arena_align.max(other.arena_align);
        level.kernels.extend(other.levels[0].kernels.iter().cloned());
    }
    let arena_align = level.arena_align;
    Ok(Object {
        bytes: file(header, options, &tables, order, &kernels.text, &functions).into_bytes(),
        const_bytes: tables.const_bytes,
        arena_bytes: level.arena_bytes.next_multiple_of(u64::from(arena_align)),
        arena_align,
        state_bytes,
        state_align,
        entries: facts,
        weights: tables.file.map(|f| f.0),
        prepared_bytes: preparing.map_or(0, |p| p.expected.size_bytes),
        levels: vec![level],
        ..Object::default()
    })
}

/// Everything in its order.
fn file(header: &str, options: &Options, tables: &Tables, order: tables::Order, kernels: &str, functions: &str) -> String {
    let uses = |name: &str| kernel::words(functions).any(|w| w == name);
    let mut shared = String::new();
    let (hash, fill) = (format!("{}_hash", options.prefix), format!("{}_fill", options.prefix));
    for (is_used, text) in [
        (uses(&hash) || uses(&fill), self_test::IS_BIG_ENDIAN.to_string()),
        (uses(&hash), self_test::hash(&options.prefix)),
        (uses(&fill), self_test::fill(&options.prefix)),
    ] {
        if is_used {
            shared += &text;
        }
    }
    let mut out = format!("{}\n#include \"{header}\"\n\n", head(options));
    if order.is_little {
        out += tables::LITTLE;
    }
    out += COMPILERS;
    if kernel::words(kernels).any(|w| matches!(w, "float" | "double")) {
        out += FLOATS;
    }
    out += &placement(options, tables, functions);
    if order.is_mixed {
        out += tables::MIXED;
    }
    if options.profile {
        out += entry::HOOK;
    }
    out += &library::text_for(&format!("{kernels}{functions}"));
    out + &shared + &tables.text + kernels + functions.trim_end_matches('\n') + "\n" + END
}

fn head(options: &Options) -> String {
    let rules: String = DEPARTURES.iter().map(|(rules, why)| format!("   {rules}: {why}.\n")).collect();
    format!(
        "/* Made by cranelite: do not edit. The model {}: its constants, a function for each kernel, the body that calls them, and what the header declares.\n   \
         Memory is the caller's, and every access was proved in bounds.\n\n   \
         Rules of MISRA C:2012 that this file departs from, where a checker can say, and why:\n{rules}*/",
        options.prefix
    )
}

/// Numbers of rules, and in our own words what the file does instead and why.
const DEPARTURES: [(&str, &str); 18] = [
    ("2.2", "an address may have a distance of 0, and a sum a term of 0"),
    ("2.4, 2.5, 8.7", "the header names more than one program uses"),
    ("2.7", "a kernel has the parameters of all kernels of its kind, used or not"),
    ("5.9", "short names of lanes, counters and rows come again in every function"),
    ("8.9", "a table stands outside of the only function that reads it, with the other tables"),
    ("8.13", "what only some kernels write has one type for all of them"),
    ("8.14", "pointers of kernels are restrict: what may overlap is known and is left without"),
    ("9.2, 9.3", "structures of the description have their members in one list"),
    (
        "10.1, 10.3, 10.4, 10.6, 10.7, 10.8",
        "sums wrap without sign and are then read with one, comparisons are kept as numbers, and counts of shifts are small numbers",
    ),
    ("11.3, 11.4, 11.5, 11.6, 11.8", "memory comes as void pointers of which the alignment is checked, and is read as bytes"),
    ("12.1, 12.3", "products, sums and comparisons stand without parentheses where C's order is meant"),
    ("13.4, 14.2", "loops count by their steps and have carried values"),
    ("14.3", "some conditions are the same for all numbers that a model can have"),
    ("15.4, 15.5", "a function returns as soon as an argument is refused"),
    ("17.8", "loops of products move on their own parameters"),
    ("18.4", "an address is a pointer and a distance that was proved"),
    ("19.2", "floats and their bits are read through unions, as are numbers and their bytes"),
    ("20.5, 20.9, 20.10, 20.12", "the preprocessor asks compilers what they are"),
];

/// What compilers are to leave as it is.
const COMPILERS: &str = "\
/* No product and sum become one operation, since results would be rounded differently; and no loop becomes a call of the C library. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#if defined(__has_attribute)
#if __has_attribute(no_builtin)
#pragma clang attribute push(__attribute__((no_builtin(\"memcpy\", \"memset\", \"memmove\", \"bcmp\"))), apply_to = function)
#define CRANELITE_POP 1
#endif
#endif
#elif defined(__GNUC__)
#pragma GCC optimize(\"fp-contract=off\", \"no-schedule-insns\", \"no-tree-loop-distribute-patterns\")
#endif

";

/// In place of other results.
const FLOATS: &str = "\
#if defined(__FLT_EVAL_METHOD__)
#if __FLT_EVAL_METHOD__ != 0
#error \"floats must be computed as floats: on 32-bit x86 with -msse2 -mfpmath=sse\"
#endif
#endif

";

const END: &str = "
#if defined(CRANELITE_POP)
#pragma clang attribute pop
#endif
";

/// Where tables and functions go.
fn placement(options: &Options, tables: &Tables, functions: &str) -> String {
    let mut out = String::new();
    if !tables.text.is_empty() || functions.contains("CRANELITE_CONST ") {
        let (section, otherwise) = match &options.const_section {
            Some(name) => (
                format!(", section(\"{name}\")"),
                format!("#error \"say by CRANELITE_CONST how this compiler puts a table into the section {name}\"\n"),
            ),
            None => (String::new(), "#define CRANELITE_CONST\n".into()),
        };
        out += &format!(
            "/* Stands before each table of constants: its alignment and section. */\n#if !defined(CRANELITE_CONST)\n#if defined(__GNUC__)\n\
             #define CRANELITE_CONST __attribute__((aligned(8){section}))\n#else\n{otherwise}#endif\n#endif\n\n"
        );
    }
    out + "/* Stands before each kernel in which most of the time is spent: a section of fast memory, say. */\n\
           #if !defined(CRANELITE_FAST_CODE)\n#define CRANELITE_FAST_CODE\n#endif\n\n"
}

/// What is in the states at first, where that is not zeros.
fn initial<'a>(entry: &Entry<'a>, order: &mut tables::Order) -> Vec<Initial<'a>> {
    let program: &'a Program = entry.levels[0].program;
    let states: BTreeMap<BufferId, &'a [u8]> = (0..program.buffers.len())
        .map(|i| BufferId(i as u32))
        .filter_map(|id| {
            let b = program.buffer(id);
            Some((id, b.data.as_deref().filter(|_| b.role == Role::State && b.view.is_none())?))
        })
        .collect();
    let elements = elements::of(program, &states.keys().copied().collect::<BTreeSet<_>>(), &entry.number_bytes);
    let mut all = vec![];
    for (id, data) in states {
        let numbers = match &elements[&id] {
            Elements::All(elem) => vec![*elem],
            Elements::Each(each) => {
                order.is_mixed = true;
                each.clone()
            }
            Elements::Unknown => vec![Elem::U8],
            Elements::Contradicting => {
                order.is_little = true;
                vec![Elem::U8]
            }
        };
        all.push(Initial { offset_bytes: program.buffer(id).offset_bytes.unwrap_or(0), data, numbers });
    }
    all
}

#[derive(Default)]
struct Kernels {
    text: String,
    /// By program, the functions of its kernels.
    names: Vec<BTreeMap<KernelId, String>>,
}

impl Kernels {
    fn facts(&self, program: usize, kernel: usize) -> KernelFacts {
        let symbol = self.names[program].get(&KernelId(kernel as u32)).cloned().unwrap_or_default();
        KernelFacts { symbol, ..KernelFacts::default() }
    }
}

/// One function, and who it is for.
struct Known<'a> {
    kernel: &'a Kernel,
    name: String,
    /// By signature and operator.
    operators: BTreeMap<(usize, u32), &'a Operator>,
    calls: u32,
    macs: u64,
}

/// The functions of all kernels that are called.
fn kernels(entries: &[Entry], options: &Options) -> Result<Kernels, Error> {
    let mut known: Vec<Known> = vec![];
    // Equal kernels have equally many of everything.
    let mut alike: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
    let mut names = vec![];
    for (e, entry) in entries.iter().enumerate() {
        let program = entry.levels[0].program;
        let (mut own, mut calls_of): (BTreeMap<KernelId, usize>, BTreeMap<u32, u64>) = Default::default();
        program.calls().filter_map(|c| c.operator).for_each(|o| *calls_of.entry(o).or_default() += 1);
        for call in program.calls() {
            let kernel = program.kernel(call.kernel);
            if kernel.foreign.is_some() {
                continue;
            }
            let at = *own.entry(call.kernel).or_insert_with(|| {
                let alike = alike.entry((kernel.types.len(), kernel.args.len(), kernel.body.len())).or_default();
                if let Some(at) = alike.iter().find(|at| known[**at].kernel.same_code(kernel)) {
                    return *at;
                }
                let name = format!("{}_k{}_{}", options.prefix, known.len(), word(&kernel.name));
                known.push(Known { kernel, name, operators: BTreeMap::new(), calls: 0, macs: 0 });
                alike.push(known.len() - 1);
                known.len() - 1
            });
            known[at].calls += 1;
            if let Some((index, operator)) = call.operator.and_then(|o| Some((o, entry.operators.get(&o)?))) {
                known[at].operators.insert((e, index), operator);
                known[at].macs += operator.macs / calls_of[&index];
            }
        }
        names.push(own);
    }
    let hot = hot(&known);
    let mut text = String::new();
    for (at, k) in known.iter().enumerate() {
        let place = if hot.contains(&at) { "CRANELITE_FAST_CODE " } else { "" };
        text += &format!("{}{place}{}\n", k.about(), kernel::function(k.kernel, &k.name)?);
    }
    let names = names.into_iter().map(|own| own.into_iter().map(|(id, at)| (id, known[at].name.clone())).collect()).collect();
    Ok(Kernels { text, names })
}

/// Numbers of the kernels in which most of the work is.
fn hot(known: &[Known]) -> BTreeSet<usize> {
    let all: u64 = known.iter().map(|k| k.macs).sum();
    let mut order: Vec<usize> = (0..known.len()).filter(|at| 0 < known[*at].macs).collect();
    order.sort_by_key(|at| std::cmp::Reverse(known[*at].macs));
    let (mut sum, mut hot) = (0, BTreeSet::new());
    for at in order {
        if all * HOT <= sum * 100 {
            break;
        }
        sum += known[at].macs;
        hot.insert(at);
    }
    hot
}

impl Known<'_> {
    /// A comment before the function.
    fn about(&self) -> String {
        let mut lines: Vec<String> = self.operators.values().map(|o| comment(&o.text)).collect();
        lines.dedup();
        let more = lines.len().saturating_sub(NAMED);
        lines.truncate(NAMED);
        if 0 < more {
            lines.push(format!("and {more} more"));
        }
        let calls = if self.calls == 1 { "one call".to_string() } else { format!("{} calls", self.calls) };
        let of = if lines.is_empty() { String::new() } else { format!(", for\n   {}", lines.join("\n   ")) };
        format!("/* {}: {calls}{of} */\n", comment(&self.kernel.name))
    }
}
