//! Names that C, C++ and Rust take.
//!
//! The idea: any file name and any tensor name becomes an identifier, predictably and without collisions; nothing is refused.
//!
//! An identifier has letters in lower case, digits and single underscores inside, and at most [`MAX_CHARS`] of them. So its upper case
//! is as unique as itself, and whatever a header puts around it (`KWS_IN_` and `_COUNT`) cannot make two of them equal, since no such end is
//! the end of another.

use std::collections::BTreeSet;

/// Longer names of tensors and files are cut.
pub const MAX_CHARS: usize = 100;

/// Words that C99, C11, C23 or C++ keep for themselves, what <stdint.h> and <stddef.h> define in lower case, and what headers of
/// systems are known to define as macros.
const RESERVED: &str = " alignas alignof and and_eq asm atomic auto bitand bitor bool break case catch char class compl concept const const_cast \
    consteval constexpr constinit continue contract_assert co_await co_return co_yield decltype default delete do double dynamic_cast else enum \
    explicit export extern false float for friend goto if import inline int int16_t int32_t int64_t int8_t long main module mutable namespace new \
    noexcept not not_eq nullptr offsetof operator or or_eq private protected public register reinterpret_cast requires restrict return \
    short signed size_t sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid \
    typename typeof typeof_unqual uint16_t uint32_t uint64_t uint8_t union unsigned using virtual void volatile wchar_t while xor xor_eq linux unix \
    assert complex emit environ errno far foreach hyper i386 imaginary interface major makedev max min minor near noreturn signals slots small \
    stderr stdin stdout ";

/// Words of Rust beyond those.
const RUST: &str = " abstract as async await become box crate dyn final fn gen impl in let loop macro match mod move mut override priv pub ref \
    self super trait type unsafe unsized use where yield ";

/// Crates that a module of that name would hide.
const CRATES: [&str; 4] = ["alloc", "core", "cranelite_runtime", "std"];

/// Never empty, never a reserved word, never with a digit first: `otherwise` stands for nothing and before what cannot stand alone.
pub fn identifier(text: &str, otherwise: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if c != '_' || !out.ends_with('_') && !out.is_empty() {
            out.push(c);
        }
    }
    out.truncate(MAX_CHARS);
    let out = out.trim_end_matches('_');
    if out.is_empty() {
        otherwise.into()
    } else if out.starts_with(|c: char| c.is_ascii_digit()) || is_reserved(out) {
        format!("{otherwise}_{out}")
    } else {
        out.into()
    }
}

/// Identifiers for a list of names: what would collide, or is empty, gets its position.
pub fn identifiers(names: &[&str], otherwise: &str) -> Vec<String> {
    let (mut out, mut taken) = (vec![], BTreeSet::new());
    for (i, name) in names.iter().enumerate() {
        let mut id = identifier(name, &format!("{otherwise}{i}"));
        while !taken.insert(id.clone()) {
            id = format!("{id}_{i}");
        }
        out.push(id);
    }
    out
}

/// What an identifier is in Rust, where it stands by itself; no other identifier ends in an underscore.
pub fn in_rust(identifier: &str) -> String {
    let is_word = RUST.contains(&format!(" {identifier} ")) || CRATES.contains(&identifier);
    if is_word { format!("{identifier}_") } else { identifier.into() }
}

/// What `--name` may be.
pub fn is_identifier(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic());
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !is_reserved(text) && text.len() <= 200
}

/// `cranelite` begins what headers share, in either case.
fn is_reserved(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    RESERVED.contains(&format!(" {word} ")) || lower == "cranelite" || lower.starts_with("cranelite_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        let cases = [
            ("kws", "kws"),
            ("MobileNet V1 (0.25).tflite", "mobilenet_v1_0_25_tflite"),
            ("serving_default_input_1:0", "serving_default_input_1_0"),
            ("3d", "model_3d"),
            ("für", "f_r"),
            ("__x__", "x"),
            ("", "model"),
            ("日本", "model"),
            ("int", "model_int"),
            ("Class", "model_class"),
            ("cranelite", "model_cranelite"),
            ("Cranelite-model", "model_cranelite_model"),
        ];
        for (name, expected) in cases {
            assert_eq!(identifier(name, "model"), expected);
            assert!(is_identifier(expected));
        }
        assert_eq!(identifier(&"ab/".repeat(100), "model"), format!("{}a", "ab_".repeat(33)));
        assert_eq!(identifiers(&["a", "A", "", "b", "", "in", "int"], "input"), ["a", "a_1", "input2", "b", "input4", "in", "input6_int"]);
        assert_eq!(identifiers(&["a", "a_2", "a"], "input"), ["a", "a_2", "a_2_2"]);
        for name in ["a-b", "_a", "", "while", "cranelite", "CRANELITE", "Cranelite_x"] {
            assert!(!is_identifier(name), "{name}");
        }
        assert_eq!(["self", "core", "x"].map(in_rust), ["self_", "core_", "x"]);
    }
}
