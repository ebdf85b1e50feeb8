//! Element and vector types of tile values.
//!
//! Not the model's types: quantisation lives above, in the graph. Any number of lanes is legal; the emitter splits a long
//! vector over registers and pads a short one, so that a lowering names lanes by meaning and not by machine.

use std::fmt;

/// Lane type. Integers carry their sign, because widening, comparing, shifting and saturating depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    F32,
    F64,
    /// Result of a comparison of lanes of that many bits: true or false, with no bit pattern of its own.
    Mask(u8),
}

impl Elem {
    /// Bits of a lane; for a mask, of the lanes it was computed from.
    pub fn bits(self) -> u32 {
        match self {
            Elem::I8 | Elem::U8 => 8,
            Elem::I16 | Elem::U16 => 16,
            Elem::I32 | Elem::U32 | Elem::F32 => 32,
            Elem::I64 | Elem::F64 => 64,
            Elem::Mask(b) => u32::from(b),
        }
    }
    pub fn bytes(self) -> u32 {
        self.bits() / 8
    }
    pub fn is_float(self) -> bool {
        matches!(self, Elem::F32 | Elem::F64)
    }
    pub fn is_mask(self) -> bool {
        matches!(self, Elem::Mask(_))
    }
    pub fn is_int(self) -> bool {
        !self.is_float() && !self.is_mask()
    }
    pub fn is_signed(self) -> bool {
        matches!(self, Elem::I8 | Elem::I16 | Elem::I32 | Elem::I64)
    }
    /// Smallest and largest value of an integer type.
    pub fn int_range(self) -> (i64, i64) {
        match self {
            Elem::I8 => (-128, 127),
            Elem::U8 => (0, 255),
            Elem::I16 => (-32768, 32767),
            Elem::U16 => (0, 65535),
            Elem::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Elem::U32 => (0, i64::from(u32::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }
    /// The number in the bytes of one element of an integer type, the least significant first.
    pub fn int_of_bytes(self, bytes: &[u8]) -> i64 {
        let bits = bytes.iter().rev().fold(0i64, |bits, b| (bits << 8) | i64::from(*b));
        match self {
            Elem::I8 => i64::from(bits as i8),
            Elem::I16 => i64::from(bits as i16),
            Elem::I32 => i64::from(bits as i32),
            _ => bits,
        }
    }
    /// `lanes` of this type.
    pub fn x(self, lanes: usize) -> Type {
        Type { elem: self, lanes: lanes as u32 }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Elem::I8 => f.write_str("i8"),
            Elem::U8 => f.write_str("u8"),
            Elem::I16 => f.write_str("i16"),
            Elem::U16 => f.write_str("u16"),
            Elem::I32 => f.write_str("i32"),
            Elem::U32 => f.write_str("u32"),
            Elem::I64 => f.write_str("i64"),
            Elem::F32 => f.write_str("f32"),
            Elem::F64 => f.write_str("f64"),
            Elem::Mask(b) => write!(f, "m{b}"),
        }
    }
}

/// `elem × lanes`; one lane is a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type {
    pub elem: Elem,
    pub lanes: u32,
}

impl Type {
    pub fn bytes(self) -> u32 {
        self.elem.bytes() * self.lanes
    }
    pub fn with_elem(self, elem: Elem) -> Type {
        Type { elem, lanes: self.lanes }
    }
    pub fn with_lanes(self, lanes: u32) -> Type {
        Type { elem: self.elem, lanes }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.lanes == 1 { write!(f, "{}", self.elem) } else { write!(f, "{}x{}", self.elem, self.lanes) }
    }
}
