//! Entropy coding of bytes: asymmetric numeral systems by range (rANS; Duda, "Asymmetric numeral systems", arXiv:1311.2540), one table of
//! frequencies for the bytes of a constant, whatever is before them.
//!
//! Not a format of other programs. The ideas: everything is 16-bit words in one archive for all constants of an object, so that one text of the kernel decodes each
//! of them (where it begins is a parameter, and what a position is clamped to is the archive's size); bytes go to [`STREAMS`] coders in turn, whose
//! chains of dependent operations a CPU runs beside each other; whatever the words say, a decoder takes so many steps, and its places are clamped or
//! bytes by their type.

use crate::builder::KernelBuilder;
use crate::machine::Machine;
use crate::program::{Cond, Kernel, Value};
use crate::types::Elem;

/// Coders of one constant, each with a state and words of its own.
pub const STREAMS: usize = 4;
/// Frequencies of all bytes together are `1 << SCALE_BITS`.
pub const SCALE_BITS: u32 = 11;
const SCALE: usize = 1 << SCALE_BITS;
/// States are at least this between two steps: what is less takes in a word.
const LEAST_STATE: u32 = 1 << 16;
/// Words of an archive that say where the streams of a constant begin.
pub const HEAD_WORDS: usize = 2 * STREAMS;
/// Words of a table of frequencies.
pub const TABLE_WORDS: usize = 256;
/// Bytes of memory for the tables that a decoder makes: the sums of frequencies below each byte, then the byte of every part of the scale.
pub const SCRATCH_BYTES: usize = 512 + SCALE + LANES_LIMIT;
/// So many parts of the scale are written at once, at most; what is too much for one byte is overwritten by the next.
const LANES_LIMIT: usize = 64;

/// How often each byte is expected, in parts of the scale. Every byte of what it codes has one part at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequencies(pub [u16; 256]);

impl Frequencies {
    /// As near to the counts as parts allow; none if nothing is counted.
    pub fn of(counts: &[u64; 256]) -> Option<Self> {
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let mut parts = [0u16; 256];
        for (part, &count) in parts.iter_mut().zip(counts) {
            let share = (u128::from(count) * SCALE as u128 / u128::from(total)) as u16;
            *part = if count == 0 { 0 } else { share.max(1) };
        }
        // What rounding has left over or taken too much: where a part more or less changes the length of the code least.
        let mut sum: usize = parts.iter().map(|&p| usize::from(p)).sum();
        while sum != SCALE {
            let rate = |i: &usize| counts[*i] as f64 / f64::from(parts[*i]);
            let used = (0..256).filter(|&i| counts[i] != 0);
            if sum < SCALE {
                let most = used.max_by(|a, b| rate(a).total_cmp(&rate(b))).expect("something is counted");
                parts[most] += 1;
                sum += 1;
            } else {
                let least =
                    used.filter(|&i| 1 < parts[i]).min_by(|a, b| rate(a).total_cmp(&rate(b))).expect("256 parts are fewer than all");
                parts[least] -= 1;
                sum -= 1;
            }
        }
        Some(Frequencies(parts))
    }

    /// About how many bytes a constant with these counts takes, without table and head; none where it has a byte that is not expected.
    pub fn cost_bytes(&self, counts: &[u64; 256]) -> Option<u64> {
        let mut bits = 0.0;
        for (&part, &count) in self.0.iter().zip(counts).filter(|(_, count)| **count != 0) {
            if part == 0 {
                return None;
            }
            bits += count as f64 * (f64::from(SCALE_BITS) - libm::log2(f64::from(part)));
        }
        Some(libm::ceil(bits / 8.0) as u64 + 4 * STREAMS as u64)
    }

    fn below(&self) -> [u32; 256] {
        let mut sum = 0;
        self.0.map(|part| {
            sum += u32::from(part);
            sum - u32::from(part)
        })
    }
}

pub fn counts(bytes: impl Iterator<Item = u8>) -> [u64; 256] {
    let mut counts = [0; 256];
    bytes.for_each(|b| counts[usize::from(b)] += 1);
    counts
}

/// The words of each stream: state, the higher word first, then what it takes in. The bytes are as many as all streams take in whole steps.
pub fn encode(bytes: &[u8], frequencies: &Frequencies) -> Vec<Vec<u16>> {
    let below = frequencies.below();
    let stream = |s: usize| {
        let (mut state, mut words) = (LEAST_STATE, vec![]);
        // A decoder undoes the steps of the encoder, the last one first.
        for &b in bytes.iter().skip(s).step_by(STREAMS).collect::<Vec<_>>().into_iter().rev() {
            let part = u32::from(frequencies.0[usize::from(b)]);
            if u64::from(part) << (32 - SCALE_BITS) <= u64::from(state) {
                words.push(state as u16);
                state >>= 16;
            }
            state = ((state / part) << SCALE_BITS) + state % part + below[usize::from(b)];
        }
        words.extend([state as u16, (state >> 16) as u16]);
        words.reverse();
        words
    };
    (0..STREAMS).map(stream).collect()
}

/// What the kernels of [`tables`] and [`decoder`] write. `head` and `table`: where they are in the archive, in words.
pub fn decode(archive: &[u16], head: usize, table: usize, steps: usize) -> Vec<u8> {
    let word = |at: usize| u32::from(archive[at.min(archive.len() - 1)]);
    let frequencies: Vec<u32> = (0..256).map(|i| word(table + i)).collect();
    let (mut symbols, mut below, mut sum) = (vec![0u8; SCALE], [0u32; 256], 0usize);
    for (b, &part) in frequencies.iter().enumerate() {
        below[b] = sum as u32 & 0xffff;
        for i in 0..(part as usize).min(SCALE) {
            symbols[(sum + i).min(SCALE - 1)] = b as u8;
        }
        sum += part as usize;
    }
    let mut at: Vec<usize> = (0..STREAMS).map(|s| (word(head + 2 * s) << 16 | word(head + 2 * s + 1)) as usize).collect();
    let mut states: Vec<u32> = at.iter().map(|&at| word(at) << 16 | word(at.saturating_add(1))).collect();
    at.iter_mut().for_each(|at| *at = at.saturating_add(2));
    let mut bytes = Vec::with_capacity(steps * STREAMS);
    for _ in 0..steps {
        for s in 0..STREAMS {
            let part = states[s] & (SCALE as u32 - 1);
            let b = symbols[part as usize];
            let higher = (states[s] >> SCALE_BITS).wrapping_mul(frequencies[usize::from(b)]);
            states[s] = higher.wrapping_add(part).wrapping_sub(below[usize::from(b)]);
            if states[s] < LEAST_STATE {
                states[s] = states[s] << 16 | word(at[s]);
                at[s] = at[s].saturating_add(1);
            }
            bytes.push(b);
        }
    }
    bytes
}

/// Makes the tables of a decoder out of frequencies in the archive: `table` is where they are, in bytes.
pub fn tables(machine: &Machine) -> Kernel {
    let lanes = machine.lanes(Elem::U8).min(LANES_LIMIT);
    let mut k = KernelBuilder::new("unpack_tables");
    let (archive, scratch) = (k.read("archive"), k.write("tables"));
    let table = k.param("table");
    let (zero, byte) = (k.int(Elem::I32.x(1), 0), k.int(Elem::U8.x(1), 0));
    k.repeat("symbol", 256, 1, &[zero, byte], |k, symbol, carried| {
        let below = k.narrow(carried[0], Elem::U16);
        k.store(scratch.at(symbol * 2), below);
        let count = k.load(Elem::U16.x(1), archive.at(symbol * 2 + table));
        let parts = k.clamped_index("parts", count, 0, SCALE as i64);
        let byte = carried[1];
        let bytes = if lanes == 1 { byte } else { k.splat(byte, lanes) };
        k.repeat("part", parts, lanes as i64, &[carried[0]], |k, _, sum| {
            let place = k.clamped_index("place", sum[0], 0, SCALE as i64 - 1);
            k.store(scratch.at(place + 512), bytes);
            let more = k.int(Elem::I32.x(1), lanes as i64);
            vec![k.add(sum[0], more)]
        });
        let count = k.widen(count, Elem::I32);
        let one = k.int(Elem::U8.x(1), 1);
        vec![k.add(carried[0], count), k.add(byte, one)]
    });
    k.finish()
}

/// Decodes `steps` bytes of each stream to every `stride`th byte of `y` from `first` on. `head` and `table`: where they are in the archive, in bytes; the
/// archive has so many words.
pub fn decoder(archive_words: usize, stride: usize) -> Kernel {
    let mut k = KernelBuilder::new(format!("unpack_entropy_{stride}"));
    let (archive, scratch, y) = (k.read("archive"), k.read("tables"), k.write("y"));
    let [head, table, steps, first] = ["head", "table", "steps", "first"].map(|name| k.param(name));
    let stride = stride as i64;
    let last = archive_words as i64 - 1;
    let word = Elem::U32.x(1);
    let load_word = |k: &mut KernelBuilder, at: Value| {
        let place = k.clamped_index("word", at, 0, last);
        let w = k.load(Elem::U16.x(1), archive.at(place * 2));
        k.widen(w, Elem::U32)
    };
    let joined = |k: &mut KernelBuilder, high: Value, low: Value| {
        let high = k.shl_imm(high, 16);
        k.or(high, low)
    };
    let mut carried = vec![];
    for s in 0..STREAMS as i64 {
        let [high, low] = [0, 2].map(|part| {
            let w = k.load(Elem::U16.x(1), archive.at(head + (4 * s + part)));
            k.widen(w, Elem::U32)
        });
        let begin = joined(&mut k, high, low);
        let one = k.int(word, 1);
        let next = k.add(begin, one);
        let (high, low) = (load_word(&mut k, begin), load_word(&mut k, next));
        let next = k.add(next, one);
        carried.extend([joined(&mut k, high, low), next]);
    }
    k.repeat("step", steps, 1, &carried, |k, step, carried| {
        let mut next = vec![];
        for (s, of_stream) in carried.chunks(2).enumerate() {
            let (state, at) = (of_stream[0], of_stream[1]);
            let mask = k.int(word, SCALE as i64 - 1);
            let part = k.and(state, mask);
            let place = k.clamped_index("part", part, 0, SCALE as i64 - 1);
            let b = k.load(Elem::U8.x(1), scratch.at(place + 512));
            k.store(y.at(step * (stride * STREAMS as i64) + first + stride * s as i64), b);
            let frequency = k.lookup(Elem::U16, archive.at(table), b);
            let frequency = k.widen(frequency, Elem::U32);
            let below = k.lookup(Elem::U16, scratch.at(0), b);
            let below = k.widen(below, Elem::U32);
            let higher = k.shr_imm(state, SCALE_BITS as u8);
            let higher = k.mul(higher, frequency);
            let state = k.add(higher, part);
            let state = k.sub(state, below);
            let least = k.int(word, i64::from(LEAST_STATE));
            let is_low = k.compare(Cond::Lt, state, least);
            let w = load_word(k, at);
            let longer = joined(k, state, w);
            let one = k.int(word, 1);
            let after = k.add(at, one);
            next.extend([k.select(is_low, longer, state), k.select(is_low, after, at)]);
        }
        next
    });
    k.finish()
}
