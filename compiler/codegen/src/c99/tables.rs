//! Constants as tables, each of numbers of the type that kernels read, so that they are right whatever the machine's order of bytes; or as a file beside.
//!
//! Not what is a constant and what several programs have in common: that is as for objects (`object/constants.rs`). A float is its bits, which are the same for
//! every compiler.

use super::elements::{self, Elements};
use super::text::{INDENT, word};
use crate::object::constants::Constants;
use crate::object::weights::{self, Expected};
use crate::object::{Entry, Level, Options, used};
use cranelite_tile::{BufferId, Elem, Role};
use std::collections::BTreeMap;
use std::fmt::Write;

pub struct Tables {
    /// Definitions.
    pub text: String,
    /// By program: a pointer to each constant.
    pub pointers: Vec<BTreeMap<BufferId, String>>,
    pub const_bytes: u64,
    /// By program.
    pub bytes_of: Vec<u64>,
    /// With constants outside: the file, and what code expects of it.
    pub file: Option<(Vec<u8>, Expected)>,
    pub order: Order,
}

/// What a file must know of the machine's order of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// There is a table of numbers of several widths.
    pub is_mixed: bool,
    /// There is a table of which it is not known which bytes are numbers together, or a kernel looks at the bytes of numbers.
    pub is_little: bool,
}

impl Tables {
    pub fn of(entries: &[Entry], options: &Options) -> Tables {
        let programs: Vec<Level> = entries.iter().map(|e| e.levels[0]).collect();
        let prepared = options.prepared.as_deref();
        // The last entry is what prepares.
        let constants = Constants::of(&programs, prepared.map(|p| (p, programs.len() - 1)));
        let mut tables =
            Tables { text: String::new(), pointers: vec![], const_bytes: 0, bytes_of: vec![], file: None, order: Order::default() };
        if options.weights {
            tables.const_bytes = constants.size_bytes(None);
            tables.bytes_of = (0..programs.len()).map(|n| constants.size_bytes(Some(&[n]))).collect();
            let (mut bytes, places) = constants.outside();
            let expected = weights::finish(&mut bytes);
            tables.file = Some((bytes, expected));
            let pointer = |i: &usize| format!("weights + {}", places[*i].offset_bytes);
            tables.pointers = constants.by_level.iter().map(|of| of.iter().map(|(id, i)| (*id, pointer(i))).collect()).collect();
            return tables;
        }
        let mut names: BTreeMap<(usize, Vec<Elem>), String> = BTreeMap::new();
        for (entry, of) in entries.iter().zip(&constants.by_level) {
            let level = entry.levels[0];
            let elements = elements::of(level.program, &used(level.program, Role::Const), &entry.number_bytes);
            let read = elements::read(level.program);
            let (mut pointers, mut own) = (BTreeMap::new(), BTreeMap::new());
            for (&id, &index) in of {
                let buffer = level.program.buffer(id);
                let data = buffer.data.as_deref().unwrap_or_default();
                if let Some(at) = constants.prepared_at(index) {
                    pointers.insert(id, format!("weights + {at}"));
                    continue;
                }
                if !read.contains(&id) {
                    pointers.insert(id, "NULL".into());
                    continue;
                }
                let numbers = tables.numbers(&elements[&id]);
                let count = names.len();
                let name = names.entry((index, numbers.clone())).or_insert_with(|| {
                    let name = format!("{}_c{count}_{}", options.prefix, unreserved(word(&buffer.name)));
                    let what = format!("{}: {} bytes", super::text::comment(&buffer.name), data.len());
                    tables.text += &table(&name, &what, data, &numbers);
                    tables.const_bytes += data.len() as u64;
                    name
                });
                pointers.insert(id, format!("(const uint8_t *){name}"));
                own.insert(name.clone(), data.len() as u64);
            }
            tables.bytes_of.push(own.values().sum());
            tables.pointers.push(pointers);
        }
        tables
    }

    /// The numbers of a table, one for all if they are alike.
    fn numbers(&mut self, elements: &Elements) -> Vec<Elem> {
        match elements {
            Elements::All(elem) => vec![*elem],
            Elements::Each(all) => {
                self.order.is_mixed = true;
                all.clone()
            }
            // Options of a custom operator: whatever their bytes mean, they are bytes to us.
            Elements::Unknown => vec![Elem::U8],
            Elements::Contradicting => {
                self.order.is_little = true;
                vec![Elem::U8]
            }
        }
    }
}

/// No name that a signature `c0` could have for something that the header declares.
fn unreserved(word: String) -> String {
    const DECLARED: [&str; 10] =
        ["invoke", "invoke_parallel", "profile", "selftest", "reset", "model", "check_weights", "prepare", "inputs", "outputs"];
    if DECLARED.contains(&word.as_str()) { word + "_data" } else { word }
}

/// `numbers`: one for all, or each.
pub fn table(name: &str, what: &str, data: &[u8], numbers: &[Elem]) -> String {
    let [elem] = *numbers else { return mixed(name, what, data, numbers) };
    let width = elem.bytes() as usize;
    let mut values: Vec<String> = data.chunks(width).map(|bytes| literal(elem, &padded(bytes))).collect();
    if values.is_empty() {
        // C has no array of nothing.
        values.push("0".into());
    }
    let per_line = [0, 24, 16, 0, 10, 0, 0, 0, 5][width];
    let bits = if elem.is_float() { ", floats as bits" } else { "" };
    let mut out = format!("/* {what}{bits} */\nCRANELITE_CONST static const {} {name}[{}] = {{\n", c_type(elem), values.len());
    for line in values.chunks(per_line) {
        writeln!(out, "{INDENT}{},", line.join(", ")).expect("a string takes everything");
    }
    out + "};\n\n"
}

/// Bytes, of which some are numbers together.
fn mixed(name: &str, what: &str, data: &[u8], numbers: &[Elem]) -> String {
    let (mut at, mut values) = (0, vec![]);
    for elem in numbers {
        let width = elem.bytes() as usize;
        let bytes: Vec<String> = data[at..at + width].iter().map(u8::to_string).collect();
        values.push(if width == 1 { bytes[0].clone() } else { format!("CRANELITE_{width}({})", bytes.join(", ")) });
        at += width;
    }
    let mut out = format!("/* {what}, numbers of several widths */\nCRANELITE_CONST static const uint8_t {name}[{}] = {{\n", data.len());
    for line in values.chunks(8) {
        writeln!(out, "{INDENT}{},", line.join(", ")).expect("a string takes everything");
    }
    out + "};\n\n"
}

fn padded(bytes: &[u8]) -> [u8; 8] {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    all
}

fn c_type(elem: Elem) -> &'static str {
    match elem {
        Elem::I8 => "int8_t",
        Elem::I16 => "int16_t",
        Elem::I32 => "int32_t",
        Elem::I64 => "int64_t",
        _ => ["", "uint8_t", "uint16_t", "", "uint32_t", "", "", "", "uint64_t"][elem.bytes() as usize],
    }
}

fn literal(elem: Elem, bytes: &[u8; 8]) -> String {
    let bits = u64::from_le_bytes(*bytes);
    match elem {
        Elem::I8 => (bits as i8).to_string(),
        Elem::I16 => (bits as i16).to_string(),
        Elem::I32 if bits as i32 == i32::MIN => "INT32_MIN".into(),
        Elem::I32 => (bits as i32).to_string(),
        Elem::I64 if bits as i64 == i64::MIN => "INT64_MIN".into(),
        Elem::I64 => format!("INT64_C({})", bits as i64),
        _ => match elem.bytes() {
            1 | 2 => format!("{bits}u"),
            4 if elem.is_float() => format!("{bits:#010x}u"),
            4 => format!("{bits}u"),
            _ => format!("UINT64_C({bits:#018x})"),
        },
    }
}

/// What tables of numbers of several widths are written with.
pub const MIXED: &str = "\
/* Bytes that are a number together, lowest first, in the machine's order. */
#if !defined(CRANELITE_BIG_ENDIAN) && !defined(CRANELITE_LITTLE_ENDIAN)
#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__)
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define CRANELITE_BIG_ENDIAN 1
#endif
#elif !defined(__LITTLE_ENDIAN__)
#error \"define CRANELITE_LITTLE_ENDIAN or CRANELITE_BIG_ENDIAN, since this compiler does not say which it is\"
#endif
#endif
#if defined(CRANELITE_BIG_ENDIAN)
#define CRANELITE_2(a, b) b, a
#define CRANELITE_4(a, b, c, d) d, c, b, a
#define CRANELITE_8(a, b, c, d, e, f, g, h) h, g, f, e, d, c, b, a
#else
#define CRANELITE_2(a, b) a, b
#define CRANELITE_4(a, b, c, d) a, b, c, d
#define CRANELITE_8(a, b, c, d, e, f, g, h) a, b, c, d, e, f, g, h
#endif

";

/// In place of a wrong result.
pub const LITTLE: &str = "\
#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error \"this model is for little-endian machines: something in it looks at the bytes of numbers\"
#endif
#endif

";
