//! The text of a form, taken apart: what is literal, which registers, which numbers.
//!
//! Not a parser of assembly. The text is written once in the table, with `<…>` for what varies, and this is all that knows the notation:
//!
//! - `<vd>`: a register, by how it is printed and where it stands in the word. Printed as `v`, `q`, `d`, `s`, `h` or `b`; `e` and `l` as a scalar of the
//!   arrangement's elements or of elements twice as long; `x` and `w` where 31 is the zero register, `p` where it is the stack pointer, `g` as `w`, or `x`
//!   for elements of eight bytes. Places: `d` and `t` at bit 0, `n` at 5, `a` and `u` at 10, `m` at 16, `k` at 16 with four bits only, `nm` at 5 and 16.
//! - `<=vd>` is written, `<+vd>` is read and written; other registers are read.
//! - `<T>`: the arrangement. `<W>`: 16 bytes of elements twice as long. `<P>`: as many bytes of such. `<E>`: the letter of its elements.
//! - Anything else is a number: a name out of `fields.rs`, with `*4` behind it if it is a multiple.

use super::fields::{self, Field};
use super::{Arrangement, Role};
use crate::alloc::Class;

#[derive(Debug)]
pub enum Part {
    Literal(&'static str),
    Register { printed: char, bits: &'static [u8], again: Option<u8> },
    Number { field: &'static Field, scale: i64 },
    Arrangement(char),
}

#[derive(Debug)]
pub struct Template {
    pub parts: Vec<Part>,
    pub roles: Vec<Role>,
    /// Bits that registers and numbers take.
    pub variable: u32,
    /// Bits that repeat others.
    pub repeated: u32,
}

impl Template {
    pub fn parse(text: &'static str) -> Template {
        let mut out = Template { parts: vec![], roles: vec![], variable: 0, repeated: 0 };
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('<') {
            let (item, tail) = tail.split_once('>').expect("a closing bracket");
            out.parts.push(Part::Literal(literal));
            out.item(item);
            rest = tail;
        }
        out.parts.push(Part::Literal(rest));
        out
    }

    fn item(&mut self, item: &'static str) {
        let (name, scale) = item.split_once('*').map_or((item, 1), |(name, scale)| (name, scale.parse().expect("a scale")));
        if let "T" | "W" | "P" | "E" = item {
            self.parts.push(Part::Arrangement(item.as_bytes()[0] as char));
        } else if let Some(field) = fields::find(name) {
            self.variable |= fields::scatter(field.bits, u32::MAX);
            self.parts.push(Part::Number { field, scale });
        } else {
            self.register(item);
        }
    }

    fn register(&mut self, item: &'static str) {
        let name = item.trim_start_matches(['=', '+']);
        let printed = name.chars().next().expect("a register");
        let (bits, again): (&'static [u8], _) = match &name[1..] {
            "d" | "t" => (&[4, 3, 2, 1, 0], None),
            "n" => (&[9, 8, 7, 6, 5], None),
            "a" | "u" => (&[14, 13, 12, 11, 10], None),
            "m" => (&[20, 19, 18, 17, 16], None),
            "k" => (&[19, 18, 17, 16], None),
            "nm" => (&[9, 8, 7, 6, 5], Some(16)),
            other => unreachable!("the register {other}"),
        };
        self.variable |= fields::scatter(bits, u32::MAX) | again.map_or(0, |at| 31 << at);
        self.repeated |= again.map_or(0, |at| 31 << at);
        let class = if "xwpg".contains(printed) { Class::General } else { Class::Vector };
        self.roles.push(Role { class, reads: !item.starts_with('='), writes: name != item, limit: 1 << bits.len() });
        self.parts.push(Part::Register { printed, bits, again });
    }

    /// The text with its registers and numbers; distances are added to `address` if there is one.
    pub fn print(&self, arrangement: Arrangement, registers: &[u8], numbers: &[i64], address: Option<i64>) -> String {
        use std::fmt::Write;
        let (mut registers, mut numbers) = (registers.iter(), numbers.iter());
        let mut out = String::new();
        for part in &self.parts {
            let _ = match part {
                Part::Literal(text) => write!(out, "{text}"),
                Part::Arrangement(which) => write!(out, "{}", arrangement.printed(*which)),
                Part::Register { printed, .. } => {
                    let number = registers.next().copied().unwrap_or_default();
                    let log = arrangement.log_lane_bytes();
                    let letter = match printed {
                        'p' => 'x',
                        'g' if log == 3 => 'x',
                        'g' => 'w',
                        'e' => ['b', 'h', 's', 'd'][log as usize],
                        'l' => ['h', 's', 'd', 'q'][log as usize],
                        other => *other,
                    };
                    match (printed, number) {
                        ('p', 31) => write!(out, "sp"),
                        ('x' | 'w' | 'g', 31) => write!(out, "{letter}zr"),
                        _ => write!(out, "{letter}{number}"),
                    }
                }
                Part::Number { field, .. } => {
                    let number = numbers.next().copied().unwrap_or_default();
                    match (field.meaning, address) {
                        (fields::Meaning::Distance, Some(address)) => write!(out, "{:#x}", address + number),
                        (fields::Meaning::Distance, None) => write!(out, "#{number}"),
                        (fields::Meaning::Condition | fields::Meaning::NotCondition, _) => {
                            write!(out, "{}", super::condition::NAMES[number as usize & 15])
                        }
                        (fields::Meaning::LogicalMask, _) => write!(out, "{number:#x}"),
                        (fields::Meaning::ByteMask, _) => write!(out, "{:#x}", fields::byte_mask(number)),
                        (fields::Meaning::Float, _) => write!(out, "{:.8}", fields::float(number)),
                        _ => write!(out, "{number}"),
                    }
                }
            };
        }
        out
    }
}
