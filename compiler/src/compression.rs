//! `--compress constants`: what is decoded when, and what each choice costs.
//!
//! Not the coders and not the calls that decode, which are `tile/src/compress`. The ideas: all programs of an object are packed together; a choice is a packing and a place where constants are
//! decoded; each is tried in full, so what the report says of flash, memory and time is counted and not guessed.

use crate::diagnostic::internal;
use clap::builder::PossibleValue;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_tile::compress::{self, Content, PackError, Packing, Prefer, Prepared};
use cranelite_tile::{BufferId, Line, Machine, Program, Role, arena};
use std::collections::{BTreeMap, BTreeSet};

/// Where constants that take fewer bytes otherwise are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compress {
    /// In the arena, each right before it is read, as many as there is arena for; coders that vectors decode where others save little more.
    Arena,
    /// Once, in memory of the caller's.
    Fastest,
    /// In the arena, those with which constants and arena together are smallest.
    Smallest,
}

impl Compress {
    pub const ALL: [Compress; 3] = [Compress::Arena, Compress::Fastest, Compress::Smallest];

    /// As the option has it.
    pub fn name(self) -> &'static str {
        match self {
            Compress::Arena => "constants",
            Compress::Fastest => "constants=fastest",
            Compress::Smallest => "constants=smallest",
        }
    }

    fn prefer(self) -> Prefer {
        if self == Compress::Arena { Prefer::Quick } else { Prefer::Small }
    }
}

impl clap::ValueEnum for Compress {
    fn value_variants<'a>() -> &'a [Self] {
        &Compress::ALL
    }
    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Compress::Arena => "Decode each in the arena before it is read",
            Compress::Fastest => "Decode all once, by PREFIX_prepare, into memory that calls then take: they take no longer",
            Compress::Smallest => "In the arena, so that constants and arena together are smallest",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// A program of the object, before its memory is planned.
pub struct Lowered<'a> {
    pub program: &'a mut Program,
    pub machine: &'a Machine,
    /// Of buffers that hold tensors: how many bytes a number in them has.
    pub number_bytes: &'a mut BTreeMap<BufferId, Option<u32>>,
}

/// What became of the constants.
#[derive(Clone, Debug)]
pub struct Compressed {
    pub how: Compress,
    /// The user did not ask for it, but for less flash.
    pub picked: bool,
    pub groups: Vec<Group>,
    pub choices: Vec<Choice>,
    /// With `Fastest`: what is decoded once.
    pub prepared: Option<Prepared>,
}

/// Constants that are packed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub scheme: String,
    pub constants: u64,
    pub bytes: u64,
    pub packed_bytes: u64,
    /// The least that coders of single bytes can reach.
    pub bound_bytes: u64,
}

/// What a choice costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// None: constants stay as they are.
    pub how: Option<Compress>,
    /// Of the object, without code.
    pub const_bytes: u64,
    /// The least that the programs need.
    pub arena_bytes: u64,
    /// Of the caller's, beside the arena.
    pub prepared_bytes: u64,
    /// Operations that decode in each call, in hundredths of all others, as the compiler counts them.
    pub decoding_percent: f64,
}

/// Packs what saves enough of the constants of all programs of an object. `is_c`: memory may have any order of bytes.
pub fn apply(how: Compress, all: &mut [Lowered], max_arena: Option<u64>, is_c: bool) -> Result<Compressed, Diagnostic> {
    let mut contents = BTreeMap::new();
    for l in all.iter() {
        for content in compress::candidates(l.program, l.number_bytes).into_values() {
            let known = contents.entry(content.data.clone()).or_insert_with(|| Some(content.clone()));
            // The same bytes may be other numbers elsewhere.
            if known.as_ref() != Some(&content) {
                *known = known.take().map(|k: Content| Content { number_bytes: None, ..k });
            }
        }
    }
    // What is no number of one width has no order of bytes that C could keep.
    let contents: Vec<Content> = contents.into_values().flatten().filter(|c| !is_c || c.number_bytes.is_some()).collect();
    let mut choices = vec![none(all)];
    let mut made = Packing::default();
    for other in Compress::ALL {
        let programs: Vec<(&Program, &Machine)> = all.iter().map(|l| (&*l.program, l.machine)).collect();
        let packing = pack(other, contents.clone(), &programs, max_arena).map_err(wrong)?;
        choices.push(cost(other, &packing, all));
        if other == how {
            made = packing;
        }
    }
    let packing = made;
    let groups = groups(&packing);
    let prepared = (how == Compress::Fastest && !packing.constants.is_empty()).then(|| Prepared::of(packing.clone()));
    if prepared.is_none() {
        for l in all.iter_mut() {
            for (buffer, number) in compress::into_scratch(l.program, l.machine, &packing) {
                let packed = &packing.constants[number];
                if is_c && packed.content.number_bytes.is_some() {
                    l.number_bytes.insert(buffer, packed.content.number_bytes);
                }
            }
        }
    }
    Ok(Compressed { how, picked: false, groups, choices, prepared })
}

fn wrong(e: PackError) -> Diagnostic {
    internal("the constants are not what they were", e)
}

fn pack(how: Compress, contents: Vec<Content>, programs: &[(&Program, &Machine)], max_arena: Option<u64>) -> Result<Packing, PackError> {
    let prefer = how.prefer();
    let packing = Packing::of(contents, prefer)?;
    let packing = match how {
        Compress::Fastest => return Ok(packing),
        Compress::Arena => packing,
        Compress::Smallest => packing.fewest_in_all(programs, prefer)?,
    };
    match max_arena {
        Some(arena) => packing.within(programs, arena, prefer),
        None => Ok(packing),
    }
}

fn none(all: &[Lowered]) -> Choice {
    Choice {
        how: None,
        const_bytes: const_bytes(all.iter().map(|l| &*l.program)),
        arena_bytes: all.iter().map(|l| arena::least_bytes(l.program)).max().unwrap_or(0),
        prepared_bytes: 0,
        decoding_percent: 0.0,
    }
}

fn cost(how: Compress, packing: &Packing, all: &[Lowered]) -> Choice {
    if how == Compress::Fastest {
        let saved: u64 = packing.constants.iter().map(|p| p.content.data.len() as u64).sum();
        let prepared_bytes = if packing.constants.is_empty() { 0 } else { Prepared::of(packing.clone()).image.len() as u64 };
        let dense = none(all);
        return Choice {
            how: Some(how),
            const_bytes: (dense.const_bytes + packing.size_bytes()).saturating_sub(saved),
            prepared_bytes,
            ..dense
        };
    }
    let (mut programs, mut percent): (Vec<Program>, f64) = (vec![], 0.0);
    for l in all {
        let mut program = l.program.clone();
        let before = compress::cost(&program);
        compress::into_scratch(&mut program, l.machine, packing);
        let added = compress::cost(&program).saturating_sub(before);
        percent = percent.max(100.0 * added as f64 / before.max(1) as f64);
        programs.push(program);
    }
    Choice {
        how: Some(how),
        const_bytes: const_bytes(programs.iter()),
        arena_bytes: programs.iter().map(arena::least_bytes).max().unwrap_or(0),
        prepared_bytes: 0,
        decoding_percent: percent,
    }
}

/// Of all constants that the programs read, each once.
fn const_bytes<'a>(programs: impl Iterator<Item = &'a Program>) -> u64 {
    let mut all: BTreeSet<&'a [u8]> = BTreeSet::new();
    for program in programs {
        let line = Line::of(&program.schedule);
        let named = line.moments.iter().flat_map(|m| m.calls.iter().flat_map(|c| &c.buffers).chain(&m.looks_at));
        let roots: BTreeSet<BufferId> = named.map(|&b| program.root(b).0).collect();
        all.extend(roots.into_iter().map(|b| program.buffer(b)).filter(|b| b.role == Role::Const).filter_map(|b| b.data.as_deref()));
    }
    all.iter().map(|data| data.len() as u64).sum()
}

/// The largest first.
fn groups(packing: &Packing) -> Vec<Group> {
    let mut by_scheme: BTreeMap<String, Group> = BTreeMap::new();
    for packed in &packing.constants {
        let scheme = packed.scheme();
        let group = by_scheme.entry(scheme.clone()).or_insert(Group { scheme, constants: 0, bytes: 0, packed_bytes: 0, bound_bytes: 0 });
        group.constants += 1;
        group.bytes += packed.content.data.len() as u64;
        group.packed_bytes += packed.packed_bytes;
        group.bound_bytes += compress::bound_bytes(&packed.content);
    }
    let mut all: Vec<Group> = by_scheme.into_values().collect();
    all.sort_by_key(|g| std::cmp::Reverse(g.bytes));
    all
}
