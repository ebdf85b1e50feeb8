//! `--compress constants`: what is decoded when, and what each choice costs.
//!
//! Not the coders and not the calls that decode, which are `tile/src/compress`. The ideas: all programs of an object are packed together; a choice is a packing and a place where constants are
//! decoded; each is tried in full, so what the report says of flash, memory and time is counted and not guessed.

use crate::diagnostic::internal;
use clap::builder::PossibleValue;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_tile::compress::{self, Content, Inside, Kept, PackError, Packing, Prefer, Prepared};
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
    /// Nowhere: what has few numbers is looked up number by number in the products that it is for, and half floats become longer there.
    Products,
}

impl Compress {
    pub const ALL: [Compress; 4] = [Compress::Arena, Compress::Fastest, Compress::Smallest, Compress::Products];

    /// As the option has it.
    pub fn name(self) -> &'static str {
        match self {
            Compress::Arena => "constants",
            Compress::Fastest => "constants=fastest",
            Compress::Smallest => "constants=smallest",
            Compress::Products => "constants=products",
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
            Compress::Products => {
                "Only weights that products read so: at most 16 numbers, four bits each, or half floats; no memory beside"
            }
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
    let mut made = Made::default();
    let possible = compress::can_stay_packed(&programs(all));
    if let Some((data, kept)) = possible.iter().find(|(data, n)| !n.unpacked().starts_with(data)) {
        return Err(wrong(PackError::Differs(data.len(), kept.scheme().into())));
    }
    for other in Compress::ALL {
        let own = make(other, &contents, &possible, all, max_arena).map_err(wrong)?;
        choices.push(cost(other, &own, all));
        if other == how {
            made = own;
        }
    }
    let groups = groups(&made);
    for l in all.iter_mut() {
        compress::keep_packed(l.program, &made.kept);
    }
    let packing = made.packing;
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

fn programs<'a>(all: &'a [Lowered]) -> Vec<(&'a Program, &'a Machine)> {
    all.iter().map(|l| (&*l.program, l.machine)).collect()
}

/// What is done with constants: no bytes are in both.
#[derive(Clone, Default)]
struct Made {
    packing: Packing,
    /// What stays packed where it is read.
    kept: Kept,
}

/// Hundredths of the bytes with decoding ahead that staying packed may take, where that is quicker.
const WORTH_PERCENT: u64 = 110;

fn make(how: Compress, contents: &[Content], possible: &Kept, all: &[Lowered], max_arena: Option<u64>) -> Result<Made, PackError> {
    let (prefer, programs) = (how.prefer(), programs(all));
    // Those that stay packed are all that `keep` says; the others are decoded ahead.
    let pack = |keep: &dyn Fn(&[u8]) -> bool| {
        let kept: Kept = possible.iter().filter(|(data, _)| keep(data)).map(|(data, n)| (data.clone(), n.clone())).collect();
        let rest = contents.iter().filter(|c| !kept.contains_key(&c.data)).cloned().collect();
        Packing::of(rest, prefer).map(|packing| Made { packing, kept })
    };
    let made = match how {
        Compress::Products => return Ok(Made { kept: possible.clone(), packing: Packing::default() }),
        Compress::Fastest => return pack(&|data| is_free(&possible[data], all)),
        Compress::Arena => {
            let ahead = Packing::of(contents.to_vec(), prefer)?;
            let by_data = ahead.by_data();
            let within = match max_arena {
                Some(arena) => ahead.within(&programs, arena, prefer)?,
                None => ahead.clone(),
            };
            let has_room = within.by_data();
            pack(&|data| match by_data.get(data).filter(|_| has_room.contains_key(data)) {
                Some(&number) => {
                    let own = &possible[data];
                    let decoding = programs.iter().map(|(_, machine)| ahead.decoding_cost(number, machine)).max().unwrap_or(0);
                    let is_small = own.packed_bytes() * 100 <= ahead.constants[number].packed_bytes * WORTH_PERCENT;
                    is_small && own.added_cost <= decoding
                }
                None => true,
            })?
        }
        Compress::Smallest => {
            let ahead = Packing::of(contents.to_vec(), prefer)?;
            let (by_data, least) = (ahead.by_data(), none(all).arena_bytes);
            let needs = ahead.needs(&programs);
            let number = |data: &[u8]| by_data.get(data).copied();
            let is_smaller = |data: &[u8]| number(data).is_none_or(|n| possible[data].packed_bytes() <= ahead.constants[n].packed_bytes);
            let has_no_room = |data: &[u8]| number(data).is_none_or(|n| least < needs[n]);
            type Keeps<'a> = &'a dyn Fn(&[u8]) -> bool;
            let ways: [Keeps; 3] = [&is_smaller, &|data| is_smaller(data) || has_no_room(data), &|_| true];
            let mut best: Option<(u64, Made)> = None;
            for keep in ways {
                let made = pack(keep)?;
                let made = Made { packing: made.packing.fewest_in_all(&programs, prefer)?, ..made };
                let choice = cost(how, &made, all);
                let bytes = choice.const_bytes + choice.arena_bytes;
                if best.as_ref().is_none_or(|b| bytes < b.0) {
                    best = Some((bytes, made));
                }
            }
            best.map(|b| b.1).unwrap_or_default()
        }
    };
    match max_arena {
        Some(arena) => Ok(Made { packing: made.packing.within(&programs, arena, prefer)?, ..made }),
        None => Ok(made),
    }
}

/// Whether calls take no longer where a constant stays packed: it comes from beyond the second-level cache, each number once, and long vectors look numbers up
/// in less time than the other half of the bytes takes to arrive.
fn is_free(kept: &Inside, all: &[Lowered]) -> bool {
    let is_long = |m: &Machine| kept.is_half() || LONG_VECTOR_BYTES <= m.vector_bytes;
    let streams = |m: &Machine| u64::from(m.l2_bytes) < kept.packed_bytes() && is_long(m);
    kept.loads <= 1 && all.iter().all(|l| streams(l.machine))
}

/// Of the shortest vectors with which that has been measured.
const LONG_VECTOR_BYTES: u32 = 32;

fn none(all: &[Lowered]) -> Choice {
    Choice {
        how: None,
        const_bytes: const_bytes(all.iter().map(|l| &*l.program)),
        arena_bytes: all.iter().map(|l| arena::least_bytes(l.program)).max().unwrap_or(0),
        prepared_bytes: 0,
        decoding_percent: 0.0,
    }
}

fn cost(how: Compress, made: &Made, all: &[Lowered]) -> Choice {
    let (mut programs, mut percent): (Vec<Program>, f64) = (vec![], 0.0);
    let is_ahead = how == Compress::Fastest;
    for l in all {
        let mut program = l.program.clone();
        let before = compress::cost(&program);
        compress::keep_packed(&mut program, &made.kept);
        if !is_ahead {
            compress::into_scratch(&mut program, l.machine, &made.packing);
        }
        let added = compress::cost(&program).saturating_sub(before);
        percent = percent.max(100.0 * added as f64 / before.max(1) as f64);
        programs.push(program);
    }
    let (mut const_bytes, mut prepared_bytes) = (const_bytes(programs.iter()), 0);
    if is_ahead && !made.packing.constants.is_empty() {
        let saved: u64 = made.packing.constants.iter().map(|p| p.content.data.len() as u64).sum();
        const_bytes = (const_bytes + made.packing.size_bytes()).saturating_sub(saved);
        prepared_bytes = Prepared::of(made.packing.clone()).image.len() as u64;
    }
    Choice {
        how: Some(how),
        const_bytes,
        arena_bytes: programs.iter().map(arena::least_bytes).max().unwrap_or(0),
        prepared_bytes,
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
fn groups(made: &Made) -> Vec<Group> {
    let mut by_scheme: BTreeMap<String, Group> = BTreeMap::new();
    let mut add = |scheme: String, bytes: u64, packed_bytes: u64, bound_bytes: u64| {
        let group = by_scheme.entry(scheme.clone()).or_insert(Group { scheme, constants: 0, bytes: 0, packed_bytes: 0, bound_bytes: 0 });
        group.constants += 1;
        group.bytes += bytes;
        group.packed_bytes += packed_bytes;
        group.bound_bytes += bound_bytes;
    };
    for p in &made.packing.constants {
        add(p.scheme(), p.content.data.len() as u64, p.packed_bytes, compress::bound_bytes(&p.content));
    }
    for (data, n) in &made.kept {
        let content = Content { data: data.clone(), number_bytes: Some(n.number_bytes()) };
        add(n.scheme().into(), data.len() as u64, n.packed_bytes(), compress::bound_bytes(&content));
    }
    let mut all: Vec<Group> = by_scheme.into_values().collect();
    all.sort_by_key(|g| std::cmp::Reverse(g.bytes));
    all
}
