//! How a constant that stays packed lies in memory: units of four bits, or half floats.
//!
//! Not which constants stay packed, which is `inside.rs`.

use super::half;
use crate::types::Elem;

/// Numbers of a palette, which is a table in a register.
pub const ENTRIES: usize = 16;

/// How a constant is packed, beside its bytes: the same in all programs that read it. Half floats are units of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InsideForm {
    /// Of the numbers: integers of 8 or 16 bits, or f32.
    pub elem: Elem,
    /// Of the vectors that are loaded.
    pub lanes: usize,
    /// Vectors of a unit: one or two.
    pub vectors: usize,
    pub means: InsideMeans,
}

/// What the bits of a number are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InsideMeans {
    /// Four: the number itself, with its sign.
    Number,
    /// Four: its place in a table.
    Entry,
    /// Sixteen: a half float.
    Half,
}

/// A constant that stays packed, and what that costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside {
    pub form: InsideForm,
    /// What four bits of a number are, by their value as an unsigned number.
    pub palette: [u8; ENTRIES],
    /// The numbers are those of four bits with a sign.
    pub is_int4: bool,
    pub bytes: Vec<u8>,
    /// What is added to the time of one run, in the units of [`super::cost`]; of the program where it is most.
    pub added_cost: u64,
    /// How often each number is loaded in one run, at most.
    pub loads: u64,
}

/// Of all half floats.
pub(super) const HALVES: InsideForm = InsideForm { elem: Elem::F32, lanes: 1, vectors: 1, means: InsideMeans::Half };

impl InsideForm {
    pub(super) fn number_bytes(self) -> usize {
        self.elem.bytes() as usize
    }
    pub(super) fn vector_bytes(self) -> i64 {
        (self.lanes * self.number_bytes()) as i64
    }
    /// Bytes of numbers that are one byte when they are packed.
    pub(super) fn ratio(self) -> i64 {
        if self.means == InsideMeans::Half { 2 } else { 2 * self.number_bytes() as i64 }
    }
    /// Of the table: bytes of the numbers' sign.
    pub(super) fn byte(self) -> Elem {
        if self.elem == Elem::U8 { Elem::U8 } else { Elem::I8 }
    }
    pub(super) fn unit(self) -> usize {
        self.vectors * self.lanes
    }
}

impl Inside {
    /// `None` where the numbers are too many. `tables`: whether there may be one; `wide`: numbers have 16 bits where they are used.
    pub(super) fn of(data: &[u8], elem: Elem, lanes: usize, vectors: usize, tables: bool, wide: bool) -> Option<Inside> {
        let number = |b: &[u8]| match b {
            [b] => Some(*b),
            [low, high] => (*high == if *low < 128 { 0 } else { 255 }).then_some(*low),
            _ => None,
        };
        let (mut seen, mut count, mut numbers) = ([false; 256], 0, vec![]);
        for b in data.chunks(elem.bytes() as usize) {
            let n = number(b)?;
            count += usize::from(!std::mem::replace(&mut seen[usize::from(n)], true));
            (count <= ENTRIES).then_some(())?;
            numbers.push(n);
        }
        let is_int4 = elem != Elem::U8 && seen.iter().zip(0..=255u8).all(|(seen, n)| !seen || (-8..8).contains(&(n as i8)));
        let means = if is_int4 && wide { InsideMeans::Number } else { InsideMeans::Entry };
        (means == InsideMeans::Number || tables && lanes.is_multiple_of(ENTRIES)).then_some(())?;
        let mut palette = [0; ENTRIES];
        match is_int4 {
            // One table for all constants of the kind.
            true => palette.iter_mut().zip((0..8).chain(248..=255)).for_each(|(p, n)| *p = n),
            false => palette.iter_mut().zip((0..=255).filter(|n| seen[usize::from(*n)])).for_each(|(p, n)| *p = n),
        }
        let form = InsideForm { elem, lanes, vectors, means };
        let index = |n: &u8| palette.iter().position(|p| p == n).expect("an entry") as u8;
        let half = form.unit() / 2;
        let mut bytes = vec![];
        for unit in numbers.chunks(2 * half) {
            let at = |i: usize| unit.get(i).map_or(0, index);
            bytes.extend((0..half).map(|i| at(i) | at(half + i) << 4));
        }
        Some(Inside { form, palette, is_int4, bytes, added_cost: 0, loads: 0 })
    }

    /// `None` where a number is no half float.
    pub(super) fn of_halves(data: &[u8]) -> Option<Inside> {
        Some(Inside { form: HALVES, palette: [0; ENTRIES], is_int4: false, bytes: half::pack(data)?, added_cost: 0, loads: 0 })
    }

    /// The numbers that kernels see: those of the constant, and behind them the first of the palette up to a whole unit.
    pub fn unpacked(&self) -> Vec<u8> {
        if self.form.means == InsideMeans::Half {
            return half::unpack(&self.bytes);
        }
        let half = self.form.unit() / 2;
        let entries = self.bytes.chunks(half).flat_map(|unit| unit.iter().map(|b| b & 15).chain(unit.iter().map(|b| b >> 4)));
        let numbers = entries.map(|i| self.palette[usize::from(i)]);
        match self.form.number_bytes() {
            1 => numbers.collect(),
            _ => numbers.flat_map(|n| i16::from(n as i8).to_le_bytes()).collect(),
        }
    }

    /// Of the object. Its table, too, although others may have the same.
    pub fn packed_bytes(&self) -> u64 {
        (self.bytes.len() + if self.form.means == InsideMeans::Entry { ENTRIES } else { 0 }) as u64
    }

    pub fn is_half(&self) -> bool {
        self.form.means == InsideMeans::Half
    }

    pub fn number_bytes(&self) -> u32 {
        self.form.elem.bytes()
    }

    pub fn scheme(&self) -> &'static str {
        match self.form.means {
            InsideMeans::Half => "half floats, in products",
            _ if self.is_int4 => "4 bits, in products",
            _ => "palette of 4 bits, in products",
        }
    }
}
