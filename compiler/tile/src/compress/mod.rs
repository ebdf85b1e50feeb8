//! Constants in fewer bytes: they are packed when the model is compiled, and kernels write the bytes that they had before they are read.
//!
//! Not lossy, and nothing that a lowering knows of: a pass over lowered programs. The ideas: a constant that saves enough becomes packed constants, memory, and calls that decode
//! into it, which are tile IR as all others and so are proved, planned, interpreted and emitted everywhere; all programs of an object are packed together, so that what they
//! have in common stays common; what was packed is decoded again, and one wrong byte is an error of ours instead of a wrong object.

pub mod bits;
mod decoders;
mod form;
mod half;
mod inside;
mod needs;
mod place;
mod prepare;
pub mod rans;
mod rewrite;
#[cfg(test)]
mod tests;

pub use form::Inside;
pub use inside::{Kept, keep_packed, possible as can_stay_packed};
pub use place::{candidates, into_scratch};
pub use prepare::{PREPARED_HEADER_BYTES, Prepared};

use crate::machine::Machine;
use crate::program::Program;
use bits::{BitPacked, Means};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Smaller constants stay as they are: code that decodes them would take what they save.
pub const LEAST_BYTES: u64 = 1024;
/// An entropy coder, which takes several times as long, must save so many hundredths more than fields of bits.
const WORTH_PERCENT: u64 = 90;

/// What decides about the coder of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The fewest bytes, but a coder that vectors decode where another would save little more.
    Quick,
    /// The fewest bytes.
    Small,
}

impl Prefer {
    /// Of its bytes, what a constant must save at least: one so manyth.
    fn least_share(self) -> u64 {
        match self {
            Prefer::Quick => 8,
            Prefer::Small => 32,
        }
    }
}

/// A constant to be packed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    pub data: Bytes,
    /// Bytes of the numbers in it, if all have as many.
    pub number_bytes: Option<u32>,
}

/// Bytes of each number: one of `planes` in each.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plane {
    /// As they are.
    Raw(Vec<u8>),
    /// Where the archive has them, in words: where streams begin, and which table.
    Coded { head: usize, table: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Coded {
    Bits(BitPacked),
    /// Half floats, whole runs of them.
    Halves(Vec<u8>),
    Entropy {
        planes: Vec<Plane>,
        steps: usize,
    },
}

/// A constant that is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub content: Content,
    coded: Coded,
    /// Of the object: what is packed, and its share of tables.
    pub packed_bytes: u64,
    /// What is written where it is decoded: as many bytes as the constant has, or some more.
    pub decoded_bytes: u64,
}

impl Packed {
    /// How it is packed, in words.
    pub fn scheme(&self) -> String {
        match &self.coded {
            Coded::Bits(BitPacked { form, .. }) => match form.means {
                Means::Distance => format!("{} bits", form.bits),
                Means::Entry(bytes) => format!("palette of {} bits, {} bytes each", form.bits, bytes).replace(", 1 bytes each", ""),
            },
            Coded::Halves(_) => "half floats".into(),
            Coded::Entropy { planes, .. } if planes.len() == 1 => "entropy".into(),
            Coded::Entropy { planes, .. } => format!("entropy of {} planes", planes.len()),
        }
    }

    pub fn saved_bytes(&self) -> u64 {
        (self.content.data.len() as u64).saturating_sub(self.packed_bytes)
    }

    /// Whether bytes of longer numbers are written one by one: then memory is that of a little-endian machine.
    pub fn writes_parts(&self) -> bool {
        let own = self.content.number_bytes.unwrap_or(1);
        match &self.coded {
            Coded::Bits(BitPacked { form, .. }) => !matches!(form.means, Means::Entry(bytes) if bytes == own) && 1 < own,
            Coded::Halves(_) => !matches!(own, 1 | 4),
            Coded::Entropy { .. } => 1 < own,
        }
    }
}

/// All constants of an object that are packed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packing {
    pub constants: Vec<Packed>,
    /// What entropy coders have in common.
    archive: Vec<u16>,
}

/// The fewest bytes of any coder that sees one byte at a time, with no table.
pub fn bound_bytes(content: &Content) -> u64 {
    let of_planes = |planes: usize| {
        let plane = |p: usize| {
            let counts = rans::counts(content.data.iter().copied().skip(p).step_by(planes));
            let total: u64 = counts.iter().sum();
            let bits = |&n: &u64| if n == 0 { 0.0 } else { n as f64 * libm::log2(total as f64 / n as f64) };
            libm::ceil(counts.iter().map(bits).sum::<f64>() / 8.0) as u64
        };
        (0..planes).map(plane).sum::<u64>()
    };
    let own = content.number_bytes.unwrap_or(1).clamp(1, 8) as usize;
    of_planes(1).min(of_planes(own))
}

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("a constant of {0} bytes, packed as {1}, decodes to other bytes")]
    Differs(usize, String),
}

impl Packing {
    /// Packs what saves enough. `contents`: each once.
    pub fn of(contents: Vec<Content>, prefer: Prefer) -> Result<Packing, PackError> {
        let mut packing = Packing::default();
        // A table for all that have none of their own.
        let mut all = [1u64; 256];
        for content in &contents {
            rans::counts(content.data.iter().copied()).iter().zip(&mut all).for_each(|(n, all)| *all += n);
        }
        let mut tables = Tables::default();
        if let Some(common) = rans::Frequencies::of(&all) {
            tables.known.push((common, None));
        }
        for content in contents {
            if let Some(packed) = pack(content, prefer, &mut tables, &mut packing.archive) {
                packing.constants.push(packed);
            }
        }
        for packed in &packing.constants {
            let decoded = packing.decoded(packed);
            if decoded.len() as u64 != packed.decoded_bytes || !decoded.starts_with(&packed.content.data) {
                return Err(PackError::Differs(packed.content.data.len(), packed.scheme()));
            }
        }
        Ok(packing)
    }

    /// Only those constants, by their numbers here; none of the other bytes.
    pub fn only(&self, keep: impl Fn(&Packed) -> bool, prefer: Prefer) -> Result<Packing, PackError> {
        Packing::of(self.constants.iter().filter(|p| keep(p)).map(|p| p.content.clone()).collect(), prefer)
    }

    /// Bytes of all that is packed.
    pub fn size_bytes(&self) -> u64 {
        self.constants.iter().map(|p| own_bytes(&p.coded)).sum::<usize>() as u64 + 2 * self.archive.len() as u64
    }

    /// What decoding a constant once takes, in the units of [`cost`].
    pub fn decoding_cost(&self, number: usize, machine: &Machine) -> u64 {
        let mut program = Program::default();
        let mut decoders = decoders::Decoders::new(self, machine);
        let memory = |program: &mut Program| place::add_scratch(program, String::new(), rans::SCRATCH_BYTES as u64, 64);
        let to = place::add_scratch(&mut program, String::new(), self.constants[number].decoded_bytes, 64);
        let calls = decoders.calls(&mut program, number, to, None, memory);
        program.schedule = calls.into_iter().map(crate::Step::Call).collect();
        cost(&program)
    }

    /// By what they were.
    pub fn by_data(&self) -> BTreeMap<&[u8], usize> {
        self.constants.iter().enumerate().map(|(i, p)| (&p.content.data[..], i)).collect()
    }

    /// What the kernels write.
    pub fn decoded(&self, packed: &Packed) -> Vec<u8> {
        match &packed.coded {
            Coded::Bits(b) => b.unpack(),
            Coded::Halves(halves) => half::unpack(halves),
            Coded::Entropy { planes, steps } => {
                let mut out = vec![0; planes.len() * steps * rans::STREAMS];
                for (p, plane) in planes.iter().enumerate() {
                    let bytes = match plane {
                        Plane::Raw(bytes) => bytes.clone(),
                        Plane::Coded { head, table } => rans::decode(&self.archive, *head, *table, *steps),
                    };
                    out.iter_mut().skip(p).step_by(planes.len()).zip(bytes).for_each(|(o, b)| *o = b);
                }
                out
            }
        }
    }

    /// Changes a word of the archive, as a fault of memory would.
    #[cfg(test)]
    fn damage(&mut self, word: usize, value: u16) {
        self.archive[word] = value;
    }
}

/// Tables of frequencies, and where in the archive they are, once they are there.
#[derive(Default)]
struct Tables {
    known: Vec<(rans::Frequencies, Option<usize>)>,
}

/// Of tables in the archive, so many are tried for another constant.
const TRIED: usize = 32;

impl Tables {
    /// The cheapest for these counts: its number, and about how many bytes are added by it and what it codes.
    fn cheapest(&mut self, counts: &[u64; 256]) -> Option<(usize, u64)> {
        let own = rans::Frequencies::of(counts)?;
        let table_bytes = 2 * rans::TABLE_WORDS as u64;
        let mut best = (None, own.cost_bytes(counts)? + table_bytes);
        let first = self.known.len().saturating_sub(TRIED);
        for (i, (frequencies, at)) in self.known.iter().enumerate().filter(|(i, _)| *i == 0 || first <= *i) {
            let new_bytes = if at.is_none() { table_bytes } else { 0 };
            if let Some(bytes) = frequencies.cost_bytes(counts).map(|b| b + new_bytes).filter(|b| *b <= best.1) {
                best = (Some(i), bytes);
            }
        }
        let number = best.0.unwrap_or_else(|| {
            self.known.push((own, None));
            self.known.len() - 1
        });
        Some((number, best.1))
    }
}

fn pack(content: Content, prefer: Prefer, tables: &mut Tables, archive: &mut Vec<u16>) -> Option<Packed> {
    let data = &content.data;
    let own = content.number_bytes.unwrap_or(1) as usize;
    let widths: &[usize] = if own == 1 { &[1] } else { &[1, 2, 4] };
    let by_bits = widths.iter().filter_map(|w| bits::pack(data, *w)).min_by_key(BitPacked::size_bytes).map(Coded::Bits);
    let by_halves = matches!(content.number_bytes, None | Some(4)).then(|| half::pack(data)).flatten();
    let by_halves = by_halves.map(|halves| Coded::Halves(half::padded(halves)));
    // What vectors decode.
    let quick = [by_bits, by_halves].into_iter().flatten().min_by_key(own_bytes);
    let dense = data.len() as u64;
    let limit = dense - (dense / prefer.least_share()).max(64).min(dense);
    // Of entropy coders: how many planes, and the table of each that is coded.
    let before = tables.known.len();
    let mut by_entropy: Option<(Vec<Option<usize>>, u64)> = None;
    for planes in if own == 1 { vec![1] } else { vec![1, own] } {
        let count = data.len().div_ceil(planes * rans::STREAMS) * rans::STREAMS;
        let mut total = 4 * rans::HEAD_WORDS as u64;
        let mut of_planes = vec![];
        for p in 0..planes {
            let counts = counts_padded(data, p, planes, count);
            match tables.cheapest(&counts).filter(|(_, bytes)| *bytes < count as u64) {
                Some((table, bytes)) => {
                    of_planes.push(Some(table));
                    total += bytes;
                }
                None => {
                    of_planes.push(None);
                    total += count as u64;
                }
            }
        }
        if by_entropy.as_ref().is_none_or(|(_, bytes)| total < *bytes) {
            by_entropy = Some((of_planes, total));
        }
    }
    let bits_bytes = quick.as_ref().map(|b| own_bytes(b) as u64).filter(|b| *b <= limit);
    let entropy = by_entropy.filter(|(planes, bytes)| *bytes <= limit && planes.iter().any(Option::is_some));
    let is_entropy = match (bits_bytes, entropy.as_ref().map(|e| e.1)) {
        (None, None) => {
            tables.known.truncate(before.max(1));
            return None;
        }
        (bits, entropy) if bits.is_none() || entropy.is_none() => bits.is_none(),
        (Some(bits), Some(entropy)) => match prefer {
            Prefer::Quick => entropy * 100 < bits * WORTH_PERCENT,
            Prefer::Small => entropy < bits,
        },
        _ => false,
    };
    let archive_before = archive.len();
    let (coded, decoded_bytes) = match (is_entropy, entropy, quick) {
        (true, Some((tables_of, _)), _) => {
            let planes = tables_of.len();
            let steps = data.len().div_ceil(planes * rans::STREAMS);
            let mut all = vec![];
            for (p, table) in tables_of.iter().enumerate() {
                let bytes = padded(data, p, planes, steps * rans::STREAMS);
                all.push(match table {
                    None => Plane::Raw(bytes),
                    Some(table) => {
                        let (frequencies, at) = &mut tables.known[*table];
                        let table = *at.get_or_insert_with(|| {
                            archive.extend(frequencies.0);
                            archive.len() - rans::TABLE_WORDS
                        });
                        Plane::Coded { head: append(archive, &rans::encode(&bytes, frequencies)), table }
                    }
                });
            }
            let decoded = planes * steps * rans::STREAMS;
            (Coded::Entropy { planes: all, steps }, decoded)
        }
        (_, _, Some(Coded::Bits(b))) => {
            let decoded = b.form.decoded_bytes(b.blocks);
            (Coded::Bits(b), decoded)
        }
        (_, _, Some(Coded::Halves(halves))) => {
            let decoded = 2 * halves.len();
            (Coded::Halves(halves), decoded)
        }
        _ => return None,
    };
    // Tables that were only tried.
    while tables.known.last().is_some_and(|(_, at)| at.is_none()) && 1 < tables.known.len() {
        tables.known.pop();
    }
    let packed_bytes = (own_bytes(&coded) + 2 * (archive.len() - archive_before)) as u64;
    Some(Packed { content, coded, packed_bytes, decoded_bytes: decoded_bytes as u64 })
}

/// What is packed, but for the archive.
fn own_bytes(coded: &Coded) -> usize {
    match coded {
        Coded::Bits(b) => b.size_bytes(),
        Coded::Halves(halves) => halves.len(),
        Coded::Entropy { planes, .. } => planes.iter().map(|p| if let Plane::Raw(bytes) = p { bytes.len() } else { 0 }).sum(),
    }
}

/// A plane's bytes, its last one repeated up to `count`.
fn padded(data: &[u8], plane: usize, planes: usize, count: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = data.iter().copied().skip(plane).step_by(planes).collect();
    let last = bytes.last().copied().unwrap_or(0);
    bytes.resize(count, last);
    bytes
}

fn counts_padded(data: &[u8], plane: usize, planes: usize, count: usize) -> [u64; 256] {
    let mut counts = rans::counts(data.iter().copied().skip(plane).step_by(planes));
    let seen: u64 = counts.iter().sum();
    let last = data.iter().skip(plane).step_by(planes).next_back().copied().unwrap_or(0);
    counts[usize::from(last)] += count as u64 - seen;
    counts
}

/// Streams behind what is there, and before them where each begins. Answers where that is.
fn append(archive: &mut Vec<u16>, streams: &[Vec<u16>]) -> usize {
    let head = archive.len();
    let mut at = head + rans::HEAD_WORDS;
    for s in streams {
        archive.extend([(at >> 16) as u16, at as u16]);
        at += s.len();
    }
    archive.extend(streams.iter().flatten());
    head
}

/// What a program's calls cost in all, roughly, in units of about an eighth of a nanosecond on a fast machine.
pub fn cost(program: &Program) -> u64 {
    let mut known = BTreeMap::new();
    let of = |m: &crate::Moment| {
        let mut sum = 0u64;
        for call in m.calls {
            let kernel = program.kernel(call.kernel);
            let key = (call.kernel, call.params.clone());
            sum = sum.saturating_add(*known.entry(key).or_insert_with(|| crate::cost::of_block(kernel, &call.params, &kernel.body)));
        }
        sum.saturating_mul(m.turns)
    };
    crate::Line::of(&program.schedule).moments.iter().map(of).fold(0, u64::saturating_add)
}
