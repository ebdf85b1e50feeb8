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

/// Keywords of C up to C23 and of C++ up to C++26, with those of its technical specifications and the words that mean something at the
/// beginning of a line; and what <stdint.h> and <stddef.h> define.
const WORDS: &str = " alignas alignof and and_eq asm atomic atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case catch \
    char char16_t char32_t char8_t class compl concept const const_cast consteval constexpr constinit continue contract_assert co_await \
    co_return co_yield decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto if import \
    inline int int16_t int32_t int64_t int8_t long main max_align_t module mutable namespace new noexcept not not_eq nullptr nullptr_t offsetof \
    operator or or_eq private protected ptrdiff_t public reflexpr register reinterpret_cast requires restrict return short signed size_t sizeof \
    static static_assert static_cast struct switch synchronized template this thread_local throw true try typedef typeid typename typeof \
    typeof_unqual uint16_t uint32_t uint64_t uint8_t union unreachable unsigned using virtual void volatile wchar_t while xor xor_eq ";

/// Macros in lower case that stand without parentheses, and some with: of C, POSIX, Linux, Windows, macOS and Qt.
const MACROS: &str = " assert basename cdecl complex d_fileno emit environ errno exception_code exception_info far foreach forever h_addr h_errno huge \
    hyper i386 ifa_broadaddr ifa_dstaddr ifc_buf ifc_req ifr_addr ifr_bandwidth ifr_broadaddr ifr_data ifr_dstaddr ifr_flags ifr_hwaddr \
    ifr_ifindex ifr_map ifr_metric ifr_mtu ifr_name ifr_netmask ifr_newname ifr_qlen ifr_slave imaginary interface linux major makedev \
    math_errhandling max min minor msg_cbytes near nil noreturn pascal s6_addr s6_addr16 s6_addr32 s_addr s_host s_imp s_impno s_lh s_net \
    sa_handler sa_sigaction sched_priority si_addr si_addr_lsb si_arch si_band si_call_addr si_fd si_int si_lower si_overrun si_pid si_pkey \
    si_ptr si_status si_stime si_syscall si_timerid si_uid si_upper si_utime si_value sigcontext_struct sigev_notify_attributes \
    sigev_notify_function signals slots small st_atime st_birthtime st_ctime st_mtime stderr stdin stdout unix ";

/// <windows.h> numbers the parts of dialogs with macros such as `grp1`.
const DIALOGS: [&str; 13] = ["chx", "cmb", "ctl", "edt", "frm", "grp", "ico", "lst", "psh", "rad", "rct", "scr", "stc"];

/// Words of Rust, also those of other editions than 2024 and those that are kept for later, beyond what C and C++ have; and the types that a
/// module of that name would hide.
const RUST: &str = " Box Option Result Self String Vec abstract as async await become box crate dyn extern f128 f16 f32 f64 final fn gen i128 i16 i32 i64 i8 impl in isize let loop macro \
    match mod move mut override priv pub ref self str super trait type u128 u16 u32 u64 u8 unsafe unsized use usize where yield ";

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

/// Words for signatures, by their keys: what `stems` says begins a signature's names with, is the beginning of none of another's.
pub fn signatures(keys: &[&str], stems: impl Fn(usize, &str) -> Vec<String>) -> Vec<String> {
    let (mut out, mut taken) = (vec![], BTreeSet::new());
    for (i, key) in keys.iter().enumerate() {
        let mut id = identifier(key, &format!("signature{i}"));
        while out.contains(&id) || stems(i, &id).iter().any(|s| taken.contains(s)) {
            id = format!("{id}_{i}");
        }
        taken.extend(stems(i, &id));
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
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    [WORDS, MACROS].iter().any(|list| list.contains(&format!(" {word} ")))
        || DIALOGS.iter().any(|d| word.strip_prefix(d).is_some_and(is_number))
        || lower == "cranelite"
        || lower.starts_with("cranelite_")
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
        assert_eq!(["self", "Self", "core", "f32", "x"].map(in_rust), ["self_", "Self_", "core_", "f32_", "x"]);
        // `a` has an input `x_in_y`, and so `KWS_A_IN_X_IN_Y_COUNT`; `a_in_x` may not have that of an input `y`.
        let inputs = |i: usize, id: &str| vec![format!("{id}_in_{}", ["x_in_y", "y", "z"][i])];
        assert_eq!(signatures(&["a", "a_in_x", "A"], inputs), ["a", "a_in_x_1", "a_2"]);
        assert_eq!(signatures(&["", "3d", "train"], inputs), ["signature0", "signature1_3d", "train"]);
        assert_eq!(identifiers(&["grp1", "grp", "grp1x", "char8_t"], "input"), ["input0_grp1", "grp", "grp1x", "input3_char8_t"]);
    }
}
