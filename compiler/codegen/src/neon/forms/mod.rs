//! AArch64's instructions, as far as the emitter uses them: one table, from which encoding, decoding, roles of registers and the listing follow.
//!
//! Not a selection of instructions and not a schedule. The idea: a row is a text, the bits that never vary, a kind and the allowed arrangements; the text
//! says where registers and numbers go (`template.rs`), so there is nothing else that could contradict it. A test has `llvm-mc` assemble what is printed.
//!
//! Names: `_V` takes an arrangement, which is always that of the shorter vectors (the sources of SMULL2, the result of XTN2: B16). `_LANE` takes an element of
//! 16 bits of its last vector, `_LANE_S` one of 32; of floats `_LANE` takes 32 bits, `_LANE_D` 64, `_LANE_H` 16. `_X` behind a load or store of a size adds two
//! registers; `_POST` adds the number to the address afterwards.

mod fields;
mod floats;
mod general;
mod memory;
mod template;
#[cfg(test)]
mod tests;
mod vectors;

use super::kind::Kind;
use crate::alloc::Class;
pub use fields::float_bits;
pub use floats::*;
pub use general::*;
pub use memory::*;
use std::sync::OnceLock;
use template::{Part, Template};
pub use vectors::*;

/// Lanes of a vector register: their length and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arrangement {
    None,
    B8,
    B16,
    H4,
    H8,
    S2,
    S4,
    D1,
    D2,
}

impl Arrangement {
    /// Bytes of one lane, as a power of two.
    pub fn log_lane_bytes(self) -> u32 {
        match self {
            Arrangement::None | Arrangement::B8 | Arrangement::B16 => 0,
            Arrangement::H4 | Arrangement::H8 => 1,
            Arrangement::S2 | Arrangement::S4 => 2,
            Arrangement::D1 | Arrangement::D2 => 3,
        }
    }
    pub fn lane_bits(self) -> u32 {
        8 << self.log_lane_bytes()
    }
    pub fn is_long(self) -> bool {
        matches!(self, Arrangement::B16 | Arrangement::H8 | Arrangement::S4 | Arrangement::D2)
    }
    pub fn bytes(self) -> u32 {
        if self.is_long() { 16 } else { 8 }
    }
    fn printed(self, which: char) -> String {
        let log = self.log_lane_bytes();
        let lanes = |bytes: u32, log: u32| format!("{}{}", bytes >> log, ['b', 'h', 's', 'd', 'q'][log as usize]);
        match which {
            'T' => lanes(self.bytes(), log),
            'W' => lanes(16, log + 1),
            'P' => lanes(self.bytes(), log + 1),
            _ => ['b', 'h', 's', 'd'][log as usize].to_string(),
        }
    }
}

/// How the arrangement is written into the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizing {
    /// Not at all.
    Fixed,
    /// Bit 30 says whether there are 16 bytes.
    Long,
    /// The same, and the length of lanes at bit 22.
    Lanes,
    /// At bit 10.
    LanesLow,
    /// As the lowest one from bit 16 on.
    LowestOne,
    /// Floats with three registers and with two: eight bytes at bit 22; 16 bits have a scheme of their own.
    Floats,
    FloatsOne,
    /// The shorter floats are of 32 bits at bit 22.
    FloatLengths,
}

impl Sizing {
    fn word(self, fixed: u32, arrangement: Arrangement) -> u32 {
        let (long, log) = (u32::from(arrangement.is_long()) << 30, arrangement.log_lane_bytes());
        match self {
            Sizing::Fixed => fixed,
            Sizing::Long => fixed | long,
            Sizing::Lanes => fixed | long | log << 22,
            Sizing::LanesLow => fixed | long | log << 10,
            Sizing::LowestOne => fixed | long | 1 << (16 + log),
            Sizing::Floats if log == 1 => fixed & !0x0020_c000 | 0x0040_0000 | long,
            Sizing::FloatsOne if log == 1 => fixed | 0x0058_0000 | long,
            Sizing::Floats | Sizing::FloatsOne => fixed | long | u32::from(log == 3) << 22,
            Sizing::FloatLengths => fixed | long | u32::from(log == 2) << 22,
        }
    }
}

/// What an instruction does with one of its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    pub class: Class,
    pub reads: bool,
    pub writes: bool,
    /// Only registers below this number will do.
    pub limit: u8,
}

/// A number that an instruction cannot hold, or as many operands as it does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{form} cannot have the registers {registers:?} and the numbers {numbers:?} as {arrangement:?}")]
pub struct Unencodable {
    pub form: &'static str,
    pub arrangement: Arrangement,
    pub registers: Vec<u8>,
    pub numbers: Vec<i64>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Form {
    name: &'static str,
    pub text: &'static str,
    pub kind: Kind,
    fixed: u32,
    sizing: Sizing,
    /// Those that it may have.
    pub arrangements: &'static [Arrangement],
    template: OnceLock<Template>,
}

impl PartialEq for Form {
    fn eq(&self, other: &Form) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Form {}

impl Form {
    const fn new(
        name: &'static str,
        text: &'static str,
        fixed: u32,
        kind: Kind,
        sizing: Sizing,
        arrangements: &'static [Arrangement],
    ) -> Form {
        Form { name, text, kind, fixed, sizing, arrangements, template: OnceLock::new() }
    }

    fn template(&self) -> &Template {
        self.template.get_or_init(|| Template::parse(self.text))
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    fn mnemonic(&self) -> &'static str {
        self.text.split([' ', '.']).next().unwrap_or_default()
    }

    /// By register, in the order of the text.
    pub fn roles(&'static self) -> &'static [Role] {
        &self.template().roles
    }

    /// Whether the last number is a distance in bytes, which the layout fills in.
    pub fn branches(&self) -> bool {
        self.template().parts.iter().any(|p| matches!(p, Part::Number { field, .. } if field.meaning == fields::Meaning::Distance))
    }

    pub fn sets_flags(&self) -> bool {
        matches!(self.mnemonic(), "cmp" | "cmn" | "tst" | "subs" | "adds" | "ands")
    }

    pub fn reads_flags(&self) -> bool {
        let is_condition = |m| matches!(m, fields::Meaning::Condition | fields::Meaning::NotCondition);
        self.template().parts.iter().any(|p| matches!(p, Part::Number { field, .. } if is_condition(field.meaning)))
    }

    /// Numbers of general registers are the architecture's, where 31 is the stack pointer or the zero register as the form says.
    pub fn encode(&self, arrangement: Arrangement, registers: &[u8], numbers: &[i64]) -> Result<u32, Unencodable> {
        let word = self.word(arrangement, registers, numbers);
        word.ok_or_else(|| Unencodable { form: self.name, arrangement, registers: registers.to_vec(), numbers: numbers.to_vec() })
    }

    fn word(&self, arrangement: Arrangement, registers: &[u8], numbers: &[i64]) -> Option<u32> {
        if !self.arrangements.contains(&arrangement) {
            return None;
        }
        let mut word = self.sizing.word(self.fixed, arrangement);
        let (mut registers, mut numbers) = (registers.iter(), numbers.iter());
        for part in &self.template().parts {
            match part {
                Part::Literal(_) | Part::Arrangement(_) => {}
                Part::Register { bits, again, .. } => {
                    let register = u32::from(*registers.next()?);
                    if register >> bits.len() != 0 {
                        return None;
                    }
                    word |= fields::scatter(bits, register) | again.map_or(0, |at| register << at);
                }
                Part::Number { field, scale } => {
                    word |= fields::scatter(field.bits, field.raw(*numbers.next()?, *scale, arrangement)?);
                }
            }
        }
        (registers.next().is_none() && numbers.next().is_none()).then_some(word)
    }

    /// As text; distances are added to `address` if there is one.
    pub fn print(&self, arrangement: Arrangement, registers: &[u8], numbers: &[i64], address: Option<i64>) -> String {
        self.template().print(arrangement, registers, numbers, address)
    }

    /// What a word is if it is of this form.
    fn read(&'static self, arrangement: Arrangement, word: u32) -> Option<Decoded> {
        let fixed = self.sizing.word(self.fixed, arrangement);
        if (word ^ fixed) & !self.template().variable != 0 {
            return None;
        }
        let mut out = Decoded { form: self, arrangement, registers: vec![], numbers: vec![] };
        for part in &self.template().parts {
            match part {
                Part::Literal(_) | Part::Arrangement(_) => {}
                Part::Register { bits, .. } => out.registers.push(fields::gather(bits, word) as u8),
                Part::Number { field, scale } => {
                    out.numbers.push(field.number(fields::gather(field.bits, word & !self.sizing_bits(arrangement)), *scale, arrangement));
                }
            }
        }
        (self.word(arrangement, &out.registers, &out.numbers) == Some(word)).then_some(out)
    }

    /// Bits of numbers that tell the arrangement instead.
    fn sizing_bits(&self, arrangement: Arrangement) -> u32 {
        if self.sizing == Sizing::LowestOne { 1 << (16 + arrangement.log_lane_bytes()) } else { 0 }
    }

    /// How many bits are the same in all words of this form: the more, the more special it is.
    fn certainty(&self) -> u32 {
        (!self.template().variable | self.template().repeated).count_ones()
    }
}

/// An instruction with its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub form: &'static Form,
    pub arrangement: Arrangement,
    pub registers: Vec<u8>,
    pub numbers: Vec<i64>,
}

/// All forms, the most special ones first.
pub fn all() -> &'static [&'static Form] {
    static ALL: OnceLock<Vec<&'static Form>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = [general::FORMS, memory::FORMS, vectors::FORMS, floats::FORMS].concat();
        all.sort_by_key(|f| std::cmp::Reverse(f.certainty()));
        all
    })
}

/// The most special form that a word has.
pub fn decode(word: u32) -> Option<Decoded> {
    type Candidates = Vec<(&'static Form, Arrangement)>;
    /// Those whose first eight bits may be these.
    static BY_FIRST_BITS: OnceLock<Vec<Candidates>> = OnceLock::new();
    let candidates = BY_FIRST_BITS.get_or_init(|| {
        let of = |first: u32| {
            let all = all().iter().flat_map(|&form| form.arrangements.iter().map(move |&a| (form, a)));
            all.filter(|(form, a)| (form.sizing.word(form.fixed, *a) ^ first << 24) & !form.template().variable & 0xff << 24 == 0).collect()
        };
        (0..256).map(of).collect()
    });
    candidates[(word >> 24) as usize].iter().find_map(|(form, arrangement)| form.read(*arrangement, word))
}

/// The instructions as text, for people; what is none is a `.word`.
pub fn listing(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (i, word) in bytes.chunks(4).enumerate() {
        let mut four = [0; 4];
        four[..word.len()].copy_from_slice(word);
        let (word, address) = (u32::from_le_bytes(four), 4 * i as i64);
        let text = match decode(word) {
            Some(d) => d.form.print(d.arrangement, &d.registers, &d.numbers, Some(address)),
            None => format!(".word {word:#010x}"),
        };
        out.push_str(&format!("{address:6x}: {text}\n"));
    }
    out
}

/// Conditions by number.
pub mod condition {
    pub const EQ: i64 = 0;
    pub const NE: i64 = 1;
    /// Unsigned: at least, less.
    pub const HS: i64 = 2;
    pub const LO: i64 = 3;
    pub const MI: i64 = 4;
    pub const PL: i64 = 5;
    pub const VS: i64 = 6;
    pub const VC: i64 = 7;
    /// Unsigned: more, at most.
    pub const HI: i64 = 8;
    pub const LS: i64 = 9;
    /// Signed.
    pub const GE: i64 = 10;
    pub const LT: i64 = 11;
    pub const GT: i64 = 12;
    pub const LE: i64 = 13;
    pub(super) const NAMES: [&str; 16] = ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "nv"];
}

/// Rows with the same operands: `operands, how the arrangement is written, which there are { NAME "mnemonic" bits Kind; … }`.
macro_rules! forms {
    ($($operands:literal, $sizing:ident, $arrangements:ident { $($name:ident $mnemonic:literal $fixed:literal $kind:ident;)* })*) => {
        $($(
            pub static $name: Form = Form::new(
                stringify!($name), concat!($mnemonic, $operands), $fixed, Kind::$kind, Sizing::$sizing, lists::$arrangements,
            );
        )*)*
        pub(super) const FORMS: &[&Form] = &[$($(&$name,)*)*];
    };
}
use forms;

/// Lists of arrangements.
mod lists {
    use super::Arrangement::{self, B8, B16, D2, H4, H8, S2, S4};

    pub const NONE: &[Arrangement] = &[Arrangement::None];
    pub const BYTES: &[Arrangement] = &[B8, B16];
    pub const ALL: &[Arrangement] = &[B8, B16, H4, H8, S2, S4, D2];
    pub const BHS: &[Arrangement] = &[B8, B16, H4, H8, S2, S4];
    pub const BH: &[Arrangement] = &[B8, B16, H4, H8];
    pub const HS: &[Arrangement] = &[H4, H8, S2, S4];
    pub const H: &[Arrangement] = &[H4, H8];
    pub const S: &[Arrangement] = &[S2, S4];
    /// The lower and the upper halves of registers.
    pub const LOWER: &[Arrangement] = &[B8, H4, S2];
    pub const UPPER: &[Arrangement] = &[B16, H8, S4];
    pub const LOWER_H: &[Arrangement] = &[H4];
    pub const UPPER_H: &[Arrangement] = &[H8];
    pub const LOWER_S: &[Arrangement] = &[S2];
    pub const UPPER_S: &[Arrangement] = &[S4];
    pub const LOWER_HS: &[Arrangement] = &[H4, S2];
    pub const UPPER_HS: &[Arrangement] = &[H8, S4];
    /// Where all lanes become one.
    pub const ACROSS: &[Arrangement] = &[B8, B16, H4, H8, S4];
    /// One lane of a whole register.
    pub const ELEMENTS: &[Arrangement] = &[B16, H8, S4, D2];
    pub const FLOATS: &[Arrangement] = &[H4, H8, S2, S4, D2];
    pub const D: &[Arrangement] = &[D2];
}
