//! Words of the text form: names that need quotes, and the names of operations, each listed once for printing and parsing.

use crate::program::{Binary, Cond, Reduce, Rounding, Unary};

pub const UNARY: &[(Unary, &str)] = &[
    (Unary::Neg, "neg"),
    (Unary::Abs, "abs"),
    (Unary::Not, "not"),
    (Unary::Sqrt, "sqrt"),
    (Unary::Floor, "floor"),
    (Unary::Ceil, "ceil"),
    (Unary::RoundEven, "round_even"),
    (Unary::Trunc, "trunc"),
    (Unary::LeadingZeros, "leading_zeros"),
];

pub const BINARY: &[(Binary, &str)] = &[
    (Binary::Add, "add"),
    (Binary::Sub, "sub"),
    (Binary::Mul, "mul"),
    (Binary::Div, "div"),
    (Binary::Rem, "rem"),
    (Binary::And, "and"),
    (Binary::Or, "or"),
    (Binary::Xor, "xor"),
    (Binary::Min, "min"),
    (Binary::Max, "max"),
    (Binary::AddSat, "add_sat"),
    (Binary::SubSat, "sub_sat"),
    (Binary::Shl, "shl"),
    (Binary::Shr, "shr"),
    (Binary::MulHighRound, "mul_high_round"),
    (Binary::MulHigh, "mul_high"),
];

pub const COND: &[(Cond, &str)] =
    &[(Cond::Eq, "eq"), (Cond::Ne, "ne"), (Cond::Lt, "lt"), (Cond::Le, "le"), (Cond::Gt, "gt"), (Cond::Ge, "ge")];

pub const REDUCE: &[(Reduce, &str)] = &[(Reduce::Add, "reduce_add"), (Reduce::Min, "reduce_min"), (Reduce::Max, "reduce_max")];

pub const CONVERT: &[(Rounding, &str)] = &[(Rounding::TowardZero, "convert_toward_zero"), (Rounding::NearestEven, "convert_nearest_even")];

/// The word for `item`; every item is in its table.
pub fn word_of<T: PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|(t, _)| *t == item).map_or("?", |(_, w)| w)
}

pub fn item_of<T: Copy>(table: &[(T, &'static str)], word: &str) -> Option<T> {
    table.iter().find(|(_, w)| *w == word).map(|(t, _)| *t)
}

pub fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `r7` names row 7 and nothing else.
pub fn is_row(name: &str) -> bool {
    name.strip_prefix('r').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

pub fn name(name: &str) -> String {
    if is_word(name) { name.to_string() } else { quoted(name) }
}

/// In double quotes, everything unusual escaped as Rust does.
pub fn quoted(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\'' => out.push(c),
            // What Rust would escape nobody sees, or it changes how the rest is shown.
            c if 1 < c.escape_debug().len() => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What [`quoted`] was given, from the text behind its opening quote, and the text behind its closing one.
pub fn unquoted(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return Err("the closing quote is missing".into()),
            Some('"') => break,
            Some('\\') => match chars.next() {
                Some('n') => out.push('\n'),
                Some('u') => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    out.push(c.ok_or_else(|| format!("`\\u{{{code}}}` is not a character"))?);
                }
                Some(c @ ('"' | '\\')) => out.push(c),
                other => return Err(format!("unknown escape `\\{}`", other.map_or(String::new(), String::from))),
            },
            Some(c) => out.push(c),
        }
    }
    Ok((out, chars.as_str()))
}
