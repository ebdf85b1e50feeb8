//! The bytes of constants that TensorFlow Lite Micro has encoded: as palettes, by a Huffman code, or without what was pruned.
//!
//! Not where a file says that a constant is encoded (`decode.rs`, `palettes.rs`). The idea: one function for each encoding, which gives what the kernel of the
//! reference would (tensorflow/lite/micro/kernels/decode_state_*.cc, decompress_common.cc) wherever that reads nothing but the model, and says what is wrong where
//! the kernel would read behind it.

use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::{ElementType, TensorType};

/// Those of the reference.
const ELEMENTS: [ElementType; 6] =
    [ElementType::F32, ElementType::I8, ElementType::I16, ElementType::I32, ElementType::I64, ElementType::Bool];

/// Bits of an index into a palette, at most.
pub const MOST_BITS: u32 = 7;

/// Which elements of a tensor have tables or zero points of their own: those at an index of the first dimension, or of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableChannels {
    /// At least one; they divide the elements.
    pub count: usize,
    pub are_last: bool,
}

impl TableChannels {
    pub const ONE: TableChannels = TableChannels { count: 1, are_last: false };

    /// That of an element, out of so many.
    fn of(self, element: usize, elements: usize) -> usize {
        if self.are_last { element % self.count } else { element / (elements / self.count).max(1) }
    }
}

/// Which part of what is encoded a problem is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedPart {
    /// The indices, codes or marks.
    Stream,
    /// The values or tables.
    Tables,
    /// What the result is.
    Type,
}

/// What is wrong, and with what.
pub type EncodedProblem = (EncodedPart, Diagnostic);

fn wrong(part: EncodedPart, message: &str) -> (EncodedPart, Diagnostic) {
    (part, Diagnostic::new(Code::DATA, message))
}

/// Bytes of one element.
pub fn check_type(ty: &TensorType) -> Result<usize, EncodedProblem> {
    match ty.element.bytes().filter(|_| ELEMENTS.contains(&ty.element)) {
        Some(bytes) => Ok(bytes),
        None => {
            let d = Diagnostic::new(Code::TYPES, "the element type of an encoded constant is not supported");
            let all: Vec<&str> = ELEMENTS.iter().map(|e| e.name()).collect();
            Err((EncodedPart::Type, d.expected(all.join(", ")).found(ty.element.name())))
        }
    }
}

/// That there are as many bytes as so many bits need. More of them are no harm: some tools pad buffers.
fn check_stream(stream: &[u8], bits: usize) -> Result<(), EncodedProblem> {
    let needed = bits.div_ceil(8);
    if stream.len() < needed {
        let (part, d) = wrong(EncodedPart::Stream, "the encoded constant ends early");
        return Err((part, d.expected(format!("{needed} bytes")).found(stream.len().to_string())));
    }
    Ok(())
}

/// The number of so many bits, at most 16, at a bit, the highest of each byte first; what is behind the stream is zeros.
fn bits_at(stream: &[u8], first: usize, count: u32) -> usize {
    let byte = |i: usize| u32::from(stream.get(first / 8 + i).copied().unwrap_or(0));
    let word = byte(0) << 16 | byte(1) << 8 | byte(2);
    (word >> (24 - first as u32 % 8 - count) & ((1 << count) - 1)) as usize
}

/// Tables of values, and how wide the indices into them are.
#[derive(Clone, Copy, Debug)]
pub struct PaletteTables<'a> {
    pub bits: u32,
    /// Values of each table.
    pub stride: usize,
    /// One table after the other.
    pub values: &'a [u8],
    pub channels: TableChannels,
}

impl PaletteTables<'_> {
    /// All elements; `stream` has their indices.
    pub fn decode(&self, ty: &TensorType, stream: &[u8]) -> Result<Vec<u8>, EncodedProblem> {
        let bytes = check_type(ty)?;
        if !(1..=MOST_BITS).contains(&self.bits) {
            let (part, d) = wrong(EncodedPart::Tables, "indices of a palette have a width that is not possible");
            return Err((part, d.expected(format!("1 to {MOST_BITS} bits")).found(self.bits.to_string())));
        }
        if self.stride == 0 {
            return Err(wrong(EncodedPart::Tables, "a palette has no values"));
        }
        let needed = self.stride.saturating_mul(self.channels.count).saturating_mul(bytes);
        if self.values.len() < needed {
            let (part, d) = wrong(EncodedPart::Tables, "the values of a palette are not all there");
            let expected = format!("{} tables of {} values of {bytes} bytes", self.channels.count, self.stride);
            return Err((part, d.expected(expected).found(format!("{} bytes", self.values.len()))));
        }
        let count = ty.element_count();
        check_stream(stream, count.saturating_mul(self.bits as usize))?;
        let mut out = Vec::with_capacity(count * bytes);
        for i in 0..count {
            let index = bits_at(stream, i * self.bits as usize, self.bits);
            if self.stride <= index {
                let (part, d) = wrong(EncodedPart::Stream, "an index lies behind the palette");
                return Err((part, d.expected(format!("less than {}", self.stride)).found(format!("{index} of element {i}"))));
            }
            let at = (self.channels.of(i, count) * self.stride + index) * bytes;
            out.extend_from_slice(&self.values[at..at + bytes]);
        }
        Ok(out)
    }
}

/// A Huffman code as tables: an entry is a symbol, or says how many bits more are looked up in which other table.
#[derive(Clone, Copy, Debug)]
pub struct HuffmanTables<'a> {
    /// Of 32 bits each, little-endian, or else of 16.
    pub is_wide: bool,
    /// Which index the first table.
    pub first_bits: u32,
    pub entries: &'a [u8],
}

/// One of them: its highest bit says that it is a symbol, the next four how many bits more there are, or how many of the last ones the symbol has.
struct CodeEntry {
    is_symbol: bool,
    count: u32,
    /// The symbol, or the place of the next table behind the entry.
    value: usize,
}

impl HuffmanTables<'_> {
    /// All elements; `stream` has their codes.
    pub fn decode(&self, ty: &TensorType, stream: &[u8]) -> Result<Vec<u8>, EncodedProblem> {
        let elements: &[ElementType] = if self.is_wide { &[ElementType::I8, ElementType::I16] } else { &[ElementType::I8] };
        let Some(bytes) = ty.element.bytes().filter(|_| elements.contains(&ty.element)) else {
            let d = Diagnostic::new(Code::TYPES, "the element type of a constant with a Huffman code is not supported");
            let expected = if self.is_wide { "i8, i16" } else { "i8, or a table of 32 bits" };
            return Err((EncodedPart::Type, d.expected(expected).found(ty.element.name())));
        };
        let (count, available) = (ty.element_count(), stream.len().saturating_mul(8));
        let mut out = Vec::with_capacity(count * bytes);
        let mut at = 0;
        for i in 0..count {
            let ends_early = || {
                let (part, d) = wrong(EncodedPart::Stream, "the encoded constant ends early");
                (part, d.expected(format!("{count} symbols")).found(format!("{i}")))
            };
            let (mut bits, mut place) = (self.first_bits, bits_at(stream, at, self.first_bits));
            let symbol = loop {
                let entry = self.entry(place)?;
                if entry.is_symbol {
                    at += bits.min(entry.count) as usize;
                    break entry.value;
                }
                at += bits as usize;
                if available < at {
                    return Err(ends_early());
                }
                bits = entry.count + 1;
                place += entry.value + bits_at(stream, at, bits);
            };
            if available < at {
                return Err(ends_early());
            }
            out.extend_from_slice(&symbol.to_le_bytes()[..bytes]);
        }
        Ok(out)
    }

    fn entry(&self, place: usize) -> Result<CodeEntry, EncodedProblem> {
        let (bytes, value_bits) = if self.is_wide { (4, 27) } else { (2, 11) };
        let found = place.checked_mul(bytes).and_then(|at| self.entries.get(at..)?.get(..bytes));
        let Some(found) = found else {
            let (part, d) = wrong(EncodedPart::Tables, "a code leads behind the tables of the Huffman code");
            return Err((part, d.expected(format!("{} entries", self.entries.len() / bytes)).found(format!("entry {place}"))));
        };
        let word = found.iter().rev().fold(0, |word, b| word << 8 | u32::from(*b));
        Ok(CodeEntry {
            is_symbol: word >> (value_bits + 4) == 1,
            count: word >> value_bits & 15,
            value: (word & ((1 << value_bits) - 1)) as usize,
        })
    }
}

/// What is left of a tensor, and what stands where nothing is.
#[derive(Clone, Copy, Debug)]
pub struct PrunedValues<'a> {
    pub values: &'a [u8],
    /// One for each channel.
    pub zero_points: &'a [i64],
    pub channels: TableChannels,
}

impl PrunedValues<'_> {
    /// All elements; `marks` has a bit for each, which is set where there is a value.
    pub fn decode(&self, ty: &TensorType, marks: &[u8]) -> Result<Vec<u8>, EncodedProblem> {
        let bytes = check_type(ty)?;
        if ty.element != ElementType::I8 && self.zero_points.iter().any(|z| *z != 0) {
            let d = Diagnostic::new(Code::QUANTIZATION, "zero points of a pruned constant that is not of i8 must be zero");
            return Err((EncodedPart::Type, d.found(format!("{:?}", self.zero_points.iter().find(|z| **z != 0).unwrap_or(&0)))));
        }
        let count = ty.element_count();
        check_stream(marks, count)?;
        let mut values = self.values.chunks_exact(bytes);
        let mut out = Vec::with_capacity(count * bytes);
        for i in 0..count {
            if bits_at(marks, i, 1) == 0 {
                let zero = self.zero_points.get(self.channels.of(i, count)).copied().unwrap_or(0);
                out.extend_from_slice(&zero.to_le_bytes()[..bytes]);
                continue;
            }
            let Some(value) = values.next() else {
                let (part, d) = wrong(EncodedPart::Tables, "the values of a pruned constant are not all there");
                let found = self.values.len() / bytes;
                return Err((
                    part,
                    d.expected(format!("one for each set bit, of which element {i} has one more")).found(format!("{found}")),
                ));
            };
            out.extend_from_slice(value);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
