//! Numbers inside of instruction words: which bits hold them and how they are written there.
//!
//! Not registers (`template.rs`). The idea: a field is a list of bits, the highest first, a scale, and what the bits mean; both directions stand
//! side by side, and whatever comes out of a word must lead back to it.

use super::Arrangement;

/// A number's place in a word.
#[derive(Debug)]
pub struct Field {
    name: &'static str,
    /// Numbers of the bits, the most significant first.
    pub bits: &'static [u8],
    pub meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Unsigned,
    Signed,
    /// In bytes, from the instruction itself.
    Distance,
    /// As in `condition`; the second form is inverted in the word.
    Condition,
    NotCondition,
    /// Every bit stands for a byte of ones.
    ByteMask,
    /// One of the 256 floats that fit into eight bits; the number is these bits.
    Float,
    /// A pattern of ones that repeats itself; the number is the mask.
    LogicalMask,
    /// Of a general register by 1 to 63 bits.
    GeneralLeft,
    /// Of lanes, by less than their length, and by at least one.
    Left,
    Right,
    /// A lane's number above a one that tells the length of the lanes.
    Lane,
    /// The same without the one, for the source of a move from lane to lane.
    FromLane,
    /// A byte's number in the vector.
    ByteOf,
}

const HIGH_12: &[u8] = &[21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10];

/// All fields by the names that templates use.
const FIELDS: &[Field] = &[
    field("u12", HIGH_12, Meaning::Unsigned),
    field("s9", &[20, 19, 18, 17, 16, 15, 14, 13, 12], Meaning::Signed),
    field("s7", &[21, 20, 19, 18, 17, 16, 15], Meaning::Signed),
    field("u6", &[15, 14, 13, 12, 11, 10], Meaning::Unsigned),
    field("u16", &[20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5], Meaning::Unsigned),
    field("half", &[22, 21], Meaning::Unsigned),
    field("shift", &[21, 20, 19, 18, 17, 16], Meaning::Unsigned),
    field("lsl", HIGH_12, Meaning::GeneralLeft),
    field("mask", &[22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10], Meaning::LogicalMask),
    field("to26", &[25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], Meaning::Distance),
    field("to19", &[23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5], Meaning::Distance),
    field("to21", &[23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 30, 29], Meaning::Distance),
    field("condition", &[15, 14, 13, 12], Meaning::Condition),
    field("inverted", &[15, 14, 13, 12], Meaning::NotCondition),
    field("branch", &[3, 2, 1, 0], Meaning::Condition),
    field("left", &[22, 21, 20, 19, 18, 17, 16], Meaning::Left),
    field("right", &[22, 21, 20, 19, 18, 17, 16], Meaning::Right),
    field("lane", &[20, 19, 18, 17, 16], Meaning::Lane),
    field("from", &[14, 13, 12, 11], Meaning::FromLane),
    field("lane_b", &[20, 19, 18, 17], Meaning::Unsigned),
    field("lane_h", &[20, 19, 18], Meaning::Unsigned),
    field("lane_s", &[20, 19], Meaning::Unsigned),
    field("lane_d", &[20], Meaning::Unsigned),
    field("hlm", &[11, 21, 20], Meaning::Unsigned),
    field("hl", &[11, 21], Meaning::Unsigned),
    field("hi", &[11], Meaning::Unsigned),
    field("memory_b", &[30, 12, 11, 10], Meaning::Unsigned),
    field("memory_h", &[30, 12, 11], Meaning::Unsigned),
    field("memory_s", &[30, 12], Meaning::Unsigned),
    field("memory_d", &[30], Meaning::Unsigned),
    field("byte", &[14, 13, 12, 11], Meaning::ByteOf),
    field("u8", &[18, 17, 16, 9, 8, 7, 6, 5], Meaning::Unsigned),
    field("bytes", &[18, 17, 16, 9, 8, 7, 6, 5], Meaning::ByteMask),
    field("float", &[18, 17, 16, 9, 8, 7, 6, 5], Meaning::Float),
    field("up2", &[14, 13], Meaning::Unsigned),
    field("up1", &[13], Meaning::Unsigned),
];

const fn field(name: &'static str, bits: &'static [u8], meaning: Meaning) -> Field {
    Field { name, bits, meaning }
}

pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.name == name)
}

/// Bits of the word in the order of the list.
pub fn scatter(bits: &[u8], raw: u32) -> u32 {
    bits.iter().rev().enumerate().fold(0, |word, (i, &bit)| word | (raw >> i & 1) << bit)
}

pub fn gather(bits: &[u8], word: u32) -> u32 {
    bits.iter().fold(0, |raw, &bit| raw << 1 | (word >> bit & 1))
}

impl Field {
    /// The bits of a number, or nothing if they cannot hold it. `scale` is how many units one step of the number is.
    pub fn raw(&self, number: i64, scale: i64, arrangement: Arrangement) -> Option<u32> {
        let count = self.bits.len() as u32;
        let lane = i64::from(arrangement.lane_bits());
        let log = arrangement.log_lane_bytes();
        let fits = |n: i64| (0..1 << count).contains(&n).then_some(n as u32);
        match self.meaning {
            Meaning::Unsigned if number % scale == 0 => fits(number / scale),
            Meaning::Signed | Meaning::Distance if number % scale == 0 => {
                let steps = number / scale;
                (-(1 << (count - 1))..1 << (count - 1)).contains(&steps).then_some(steps as u32 & ((1 << count) - 1))
            }
            Meaning::Unsigned | Meaning::Signed | Meaning::Distance => None,
            Meaning::Condition => (0..14).contains(&number).then_some(number as u32),
            Meaning::NotCondition => (0..14).contains(&number).then_some(number as u32 ^ 1),
            Meaning::ByteMask | Meaning::Float => fits(number),
            Meaning::LogicalMask => logical(number as u64),
            Meaning::GeneralLeft => (1..64).contains(&number).then(|| ((64 - number) << 6 | (63 - number)) as u32),
            Meaning::Left => (0..lane).contains(&number).then_some((lane + number) as u32),
            Meaning::Right => (1..=lane).contains(&number).then_some((2 * lane - number) as u32),
            Meaning::Lane => (0..16 >> log).contains(&number).then_some((number as u32) << (log + 1)),
            Meaning::FromLane => (0..16 >> log).contains(&number).then_some((number as u32) << log),
            Meaning::ByteOf => (0..i64::from(arrangement.bytes())).contains(&number).then_some(number as u32),
        }
    }

    /// The number that bits stand for. Bits that stand for none give one that does not lead back to them.
    pub fn number(&self, raw: u32, scale: i64, arrangement: Arrangement) -> i64 {
        let count = self.bits.len() as u32;
        let lane = i64::from(arrangement.lane_bits());
        let log = arrangement.log_lane_bytes();
        let n = i64::from(raw);
        match self.meaning {
            Meaning::Unsigned | Meaning::ByteMask | Meaning::Float | Meaning::Condition | Meaning::ByteOf => n * scale,
            Meaning::Signed | Meaning::Distance => (i64::from((raw << (32 - count)) as i32) >> (32 - count)) * scale,
            Meaning::NotCondition => n ^ 1,
            Meaning::LogicalMask => mask(raw) as i64,
            Meaning::GeneralLeft => 63 - (n & 63),
            Meaning::Left => n - lane,
            Meaning::Right => 2 * lane - n,
            Meaning::Lane => n >> (log + 1),
            Meaning::FromLane => n >> log,
        }
    }
}

/// N, immr and imms of a mask: a run of ones, rotated, in elements of 2 to 64 bits that repeat.
fn logical(mask: u64) -> Option<u32> {
    if mask == 0 || mask == u64::MAX {
        return None;
    }
    let size = [2, 4, 8, 16, 32, 64].into_iter().find(|&size| mask.rotate_right(size) == mask)?;
    let element = mask & u64::MAX >> (64 - size);
    let ones = element.count_ones();
    let turn = |by: u32| if by == 0 { element } else { (element >> by | element << (size - by)) & u64::MAX >> (64 - size) };
    let start = (0..size).find(|&by| turn(by) == (1 << ones) - 1)?;
    let (rotation, n) = ((size - start) % size, u32::from(size == 64));
    let length = !(size * 2 - 1) & 0x3f | (ones - 1);
    Some(n << 12 | rotation << 6 | length)
}

fn mask(raw: u32) -> u64 {
    let (n, rotation, length) = (raw >> 12, raw >> 6 & 0x3f, raw & 0x3f);
    let Some(log) = (n << 6 | !length & 0x3f).checked_ilog2() else { return 0 };
    let size = 1 << log;
    let (ones, rotation) = (length & (size - 1), rotation & (size - 1));
    if size < 2 || ones == size - 1 {
        return 0;
    }
    let element = (1u64 << (ones + 1)) - 1;
    let turned = if rotation == 0 { element } else { (element >> rotation | element << (size - rotation)) & u64::MAX >> (64 - size) };
    (0..64 / size).fold(0, |all, i| all | turned << (i * size))
}

/// The value of a float of eight bits.
pub fn float(bits: i64) -> f32 {
    let (sign, exponent, fraction) = (bits >> 7 & 1, bits >> 4 & 7, bits & 15);
    let exponent = (exponent ^ 4) as i32 - 3;
    let size = (16 + fraction) as f32 / 16.0 * if exponent < 0 { 1.0 / (1 << -exponent) as f32 } else { (1 << exponent) as f32 };
    if sign == 1 { -size } else { size }
}

/// The eight bits of a float that has such.
pub fn float_bits(value: f32) -> Option<i64> {
    (0..256).find(|&bits| float(bits).to_bits() == value.to_bits())
}

/// Eight bits as a mask of bytes.
pub fn byte_mask(bits: i64) -> u64 {
    (0..8).filter(|i| bits >> i & 1 == 1).fold(0, |mask, i| mask | 0xff << (8 * i))
}
