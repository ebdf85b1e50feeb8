//! Constants of few different numbers: each number is an index of 1 to 7 bits into a palette, or the distance to the least number, as of weights of
//! four bits in bytes.
//!
//! The idea: bits lie so that lanes need no shuffle. A block is eight runs of so many elements as lanes can be; the fields of an index, of 4, 2 and
//! 1 bits as its width is written in binary, are in bytes of their own, where a field of the `k`th run is in the `k`th part of each byte. So a run is loads, shifts
//! and masks, on any machine; one without vectors does the same byte by byte.

use crate::builder::KernelBuilder;
use crate::index::Index;
use crate::machine::Machine;
use crate::program::Kernel;
use crate::types::Elem;
use std::collections::BTreeSet;

pub const BITS_LIMIT: u32 = 7;
/// Runs of a block.
const RUNS: usize = 8;
/// Bytes before the blocks: the least number, or a palette of bytes if that is longer.
const HEAD_BYTES: usize = 16;
/// A table that is looked into by a byte has so many elements, or what is behind it is there to be read.
const TABLE_ELEMENTS: usize = 256;

/// What an index means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Means {
    /// The least byte plus the index.
    Distance,
    /// An entry of a palette, of so many bytes: 1, 2 or 4.
    Entry(u32),
}

/// How a constant is packed, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitForm {
    pub bits: u32,
    pub means: Means,
    /// Elements of a run.
    pub run: usize,
}

/// A constant in few bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitPacked {
    pub form: BitForm,
    /// The head and the blocks.
    pub bytes: Vec<u8>,
    /// Of elements of several bytes.
    pub palette: Option<Vec<u8>>,
    pub blocks: usize,
}

impl BitForm {
    fn element_bytes(self) -> usize {
        if let Means::Entry(bytes) = self.means { bytes as usize } else { 1 }
    }

    /// Where blocks begin.
    fn head_bytes(self) -> usize {
        if self.means == Means::Entry(1) { HEAD_BYTES.max(1 << self.bits) } else { HEAD_BYTES }
    }

    fn block_bytes(self) -> usize {
        self.bits as usize * self.run
    }

    /// Width of each field, the lowest bit that it has of an index, and where its bytes begin in a block.
    fn fields(self) -> impl Iterator<Item = (u32, u32, usize)> {
        let (mut low, mut at) = (0, 0);
        [4, 2, 1].into_iter().filter(move |width| self.bits & width != 0).map(move |width| {
            let field = (width, low, at);
            low += width;
            at += width as usize * self.run;
            field
        })
    }

    /// Bytes that the blocks decode to.
    pub fn decoded_bytes(self, blocks: usize) -> usize {
        blocks * RUNS * self.run * self.element_bytes()
    }
}

/// Bytes in a byte of a field of that width, and where the run with the number `k` is in it: the byte's number and the shift.
fn part(width: u32, k: usize) -> (usize, u8) {
    let in_byte = 8 / width as usize;
    (k / in_byte, (k % in_byte * width as usize) as u8)
}

/// In the fewest bits; none where the numbers are too many. `element_bytes`: 1, 2 or 4.
pub fn pack(data: &[u8], element_bytes: usize) -> Option<BitPacked> {
    if data.is_empty() || !data.len().is_multiple_of(element_bytes) {
        return None;
    }
    let mut numbers: BTreeSet<&[u8]> = BTreeSet::new();
    for element in data.chunks(element_bytes) {
        numbers.insert(element);
        // More than an index counts, but bytes may be near each other.
        if 1 << BITS_LIMIT < numbers.len() && 1 < element_bytes {
            return None;
        }
    }
    let width = |count: usize| count.next_power_of_two().trailing_zeros().max(1);
    let least = data.iter().map(|&b| b as i8).min()?;
    let span = data.iter().map(|&b| (b as i8).wrapping_sub(least) as u8).max()?;
    let (by_entry, by_distance) = (width(numbers.len()), width(usize::from(span) + 1));
    let is_distance = element_bytes == 1 && by_distance <= by_entry;
    let (bits, means) = if is_distance { (by_distance, Means::Distance) } else { (by_entry, Means::Entry(element_bytes as u32)) };
    if BITS_LIMIT < bits {
        return None;
    }
    let entries: Vec<&[u8]> = numbers.into_iter().collect();
    let index = |element: &[u8]| match means {
        Means::Distance => (element[0] as i8).wrapping_sub(least) as u8,
        Means::Entry(_) => entries.binary_search(&element).unwrap_or(0) as u8,
    };
    let indices: Vec<u8> = data.chunks(element_bytes).map(index).collect();
    let form = BitForm { bits, means, run: if indices.len() < 8192 { 16 } else { 64 } };
    let blocks = indices.len().div_ceil(RUNS * form.run);
    let mut bytes = vec![0; form.head_bytes() + blocks * form.block_bytes()];
    for (i, &index) in indices.iter().enumerate() {
        let (block, k, j) = (i / (RUNS * form.run), i / form.run % RUNS, i % form.run);
        for (width, low, at) in form.fields() {
            let (byte, shift) = part(width, k);
            let value = index >> low & ((1 << width) - 1);
            bytes[form.head_bytes() + block * form.block_bytes() + at + byte * form.run + j] |= value << shift;
        }
    }
    let mut palette = None;
    match means {
        Means::Distance => bytes[0] = least as u8,
        Means::Entry(1) => {
            entries.iter().enumerate().for_each(|(i, e)| bytes[i] = e[0]);
            bytes.resize(bytes.len().max(TABLE_ELEMENTS), 0);
        }
        Means::Entry(_) => {
            let mut all = entries.concat();
            all.resize(TABLE_ELEMENTS * element_bytes, 0);
            palette = Some(all);
        }
    }
    Some(BitPacked { form, bytes, palette, blocks })
}

impl BitPacked {
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + self.palette.as_ref().map_or(0, Vec::len)
    }

    /// What the kernel writes.
    pub fn unpack(&self) -> Vec<u8> {
        let (form, mut out) = (self.form, vec![]);
        for i in 0..self.blocks * RUNS * form.run {
            let (block, k, j) = (i / (RUNS * form.run), i / form.run % RUNS, i % form.run);
            let index = form.fields().fold(0, |index, (width, low, at)| {
                let (byte, shift) = part(width, k);
                let b = self.bytes[form.head_bytes() + block * form.block_bytes() + at + byte * form.run + j];
                index | (b >> shift & (((1u16 << width) - 1) as u8)) << low
            });
            match form.means {
                Means::Distance => out.push(self.bytes[0].wrapping_add(index)),
                Means::Entry(1) => out.push(self.bytes[usize::from(index)]),
                Means::Entry(n) => {
                    let palette = self.palette.as_deref().unwrap_or_default();
                    out.extend(&palette[usize::from(index) * n as usize..][..n as usize]);
                }
            }
        }
        out
    }
}

/// Unpacks `blocks` blocks. The arguments are the packed bytes, a palette of elements of several bytes, and what is written.
pub fn unpacker(form: BitForm, machine: &Machine) -> Kernel {
    let means = match form.means {
        Means::Distance => "distance".to_string(),
        Means::Entry(bytes) => format!("palette{}", 8 * bytes),
    };
    let mut k = KernelBuilder::new(format!("unpack_{means}_{}_{}", form.bits, form.run));
    let packed = k.read("packed");
    let palette = matches!(form.means, Means::Entry(2 | 4)).then(|| k.read("palette"));
    let y = k.write("y");
    let blocks = k.param("blocks");
    let (lanes, size) = (machine.lanes(Elem::U8).min(form.run), form.element_bytes() as i64);
    let (head, block_bytes, run) = (form.head_bytes() as i64, form.block_bytes() as i64, form.run as i64);
    k.each("block", blocks, 1, |k, block| {
        k.each("j", form.run, lanes as i64, |k, j| {
            let ty = Elem::U8.x(lanes);
            let mut loaded = vec![];
            for (width, _, at) in form.fields() {
                let all: Vec<_> = (0..width as i64)
                    .map(|byte| k.load(ty, packed.at(block * block_bytes + j + (head + at as i64 + byte * run))))
                    .collect();
                loaded.push(all);
            }
            for of_run in 0..RUNS {
                let mut index = None;
                for ((width, low, _), loaded) in form.fields().zip(&loaded) {
                    let (byte, shift) = part(width, of_run);
                    let mut v = loaded[byte];
                    if 0 < shift {
                        v = k.shr_imm(v, shift);
                    }
                    if u32::from(shift) + width < 8 {
                        let mask = k.int(ty, (1 << width) - 1);
                        v = k.and(v, mask);
                    }
                    if 0 < low {
                        v = k.shl_imm(v, low as u8);
                    }
                    index = Some(index.map_or(v, |index| k.or(index, v)));
                }
                let index = index.expect("a bit at least");
                let place: Index = block * (RUNS as i64 * run * size) + j * size + of_run as i64 * run * size;
                let value = match form.means {
                    Means::Distance => {
                        let least = k.load_splat(ty, 1, packed.at(0));
                        k.add(index, least)
                    }
                    Means::Entry(1) => k.lookup(Elem::U8, packed.at(0), index),
                    Means::Entry(2) => k.lookup(Elem::U16, palette.expect("of several bytes").at(0), index),
                    Means::Entry(_) => k.lookup(Elem::U32, palette.expect("of several bytes").at(0), index),
                };
                k.store(y.at(place), value);
            }
        });
    });
    k.finish()
}
