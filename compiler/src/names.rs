//! Names that C takes.
//!
//! The idea: any file name and any tensor name becomes an identifier, predictably and without collisions; nothing is refused.

/// Words that C99, C11, C23 or C++ keep for themselves, and what <stdint.h> and <stddef.h> define in lower case.
const RESERVED: &str = " alignas alignof and and_eq asm atomic auto bitand bitor bool break case catch char class compl concept const const_cast \
    consteval constexpr constinit continue co_await co_return co_yield decltype default delete do double dynamic_cast else enum explicit \
    export extern false float for friend goto if import inline int int16_t int32_t int64_t int8_t long main module mutable namespace new \
    noexcept not not_eq nullptr offsetof operator or or_eq private protected public register reinterpret_cast requires restrict return \
    short signed size_t sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid \
    typename typeof typeof_unqual uint16_t uint32_t uint64_t uint8_t union unsigned using virtual void volatile wchar_t while xor xor_eq linux unix ";

/// Letters of ASCII, digits and single underscores; never empty, never a reserved word, never with a digit first.
pub fn identifier(text: &str, otherwise: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if c != '_' || !out.ends_with('_') && !out.is_empty() {
            out.push(c);
        }
    }
    let out = out.trim_end_matches('_');
    if out.is_empty() {
        otherwise.into()
    } else if out.starts_with(|c: char| c.is_ascii_digit()) {
        format!("{otherwise}_{out}")
    } else if is_reserved(out) {
        format!("{out}_")
    } else {
        out.into()
    }
}

/// Identifiers for a list of names: what would collide, or is empty, gets its position.
pub fn identifiers(names: &[&str], otherwise: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    for (i, name) in names.iter().enumerate() {
        let mut id = identifier(name, &format!("{otherwise}{i}"));
        while out.contains(&id) {
            id = format!("{id}_{i}");
        }
        out.push(id);
    }
    out
}

/// What `--name` may be.
pub fn is_identifier(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic());
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !is_reserved(text) && text.len() <= 200
}

fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&format!(" {word} ")) || word.starts_with("cranelite_")
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
            ("int", "int_"),
            ("Class", "class_"),
        ];
        for (name, expected) in cases {
            assert_eq!(identifier(name, "model"), expected);
            assert!(is_identifier(expected));
        }
        assert_eq!(identifiers(&["a", "A", "", "b", ""], "input"), ["a", "a_1", "input2", "b", "input4"]);
        assert!(!is_identifier("a-b") && !is_identifier("_a") && !is_identifier("") && !is_identifier("while"));
    }
}
