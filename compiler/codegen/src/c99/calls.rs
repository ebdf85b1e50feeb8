//! Which function of a file calls which: what the stack of a call is made of.
//!
//! The idea: the file is our own, so its functions begin in the first column and end with a brace there, and whatever word in one is the name of another is a call.

use super::kernel::words;
use std::collections::{BTreeMap, BTreeSet};

/// By name, the functions that each function calls. Of several definitions under different conditions all count.
pub fn calls(file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut bodies: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open: Option<&str> = None;
    for line in file.lines() {
        if let Some(name) = open {
            bodies.entry(name).or_default().push(line);
            if line == "}" {
                open = None;
            }
            continue;
        }
        let is_head = line.starts_with(|c: char| c.is_ascii_alphabetic()) && !line.ends_with([';', '{']) && line.contains('(');
        let is_short = ["static", "CRANELITE_"].iter().any(|word| line.starts_with(word)) && line.contains(") {") && line.ends_with('}');
        if !is_head && !is_short {
            continue;
        }
        let Some(name) = line.split('(').next().and_then(|head| words(head).last()) else { continue };
        bodies.entry(name).or_default().push(line);
        open = (!is_short).then_some(name);
    }
    let names: BTreeSet<&str> = bodies.keys().copied().collect();
    let called = |name: &&str, lines: &Vec<&str>| -> BTreeSet<String> {
        let all = lines.iter().flat_map(|line| words(line)).filter(|w| w != name && names.contains(w));
        all.map(String::from).collect()
    };
    bodies.iter().map(|(name, lines)| (name.to_string(), called(name, lines))).collect()
}

/// By name, the bytes that functions in assembly push, which compilers do not count; of several definitions the most.
pub fn pushed_bytes(file: &str) -> BTreeMap<String, u32> {
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    let mut open: Option<(String, u32)> = None;
    for line in file.lines() {
        if line.starts_with("CRANELITE_LOOP ") {
            open = line.split('(').next().and_then(|head| words(head).last()).map(|name| (name.to_string(), 0));
        } else if line == "}" {
            if let Some((name, bytes)) = open.take() {
                let most = all.entry(name).or_default();
                *most = bytes.max(*most);
            }
        } else if let Some((_, bytes)) = &mut open {
            if let Some(list) = line.split_once("push {").and_then(|(_, rest)| rest.split_once('}')) {
                *bytes += 4 * list.0.split(", ").map(registers).sum::<u32>();
            }
            if let Some(moved) = line.split_once("[sp, #-").and_then(|(_, rest)| rest.split_once("]!")) {
                *bytes += moved.0.parse().unwrap_or(0);
            }
        }
    }
    all
}

/// Of one of a list, such as `r4-r11`.
fn registers(range: &str) -> u32 {
    let number = |register: &str| register.trim_start_matches('r').parse::<u32>().ok();
    match range.split_once('-').map(|(first, last)| (number(first), number(last))) {
        Some((Some(first), Some(last))) => last + 1 - first,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_assembly_pushes() {
        let file = "\
#if defined(A)
CRANELITE_LOOP void f(int32_t *sums CRANELITE_UNUSED)
{
    __asm__ volatile(
        \"push {r0, r4-r11, lr}\\n\\t\"
        \"str r4, [sp, #-8]!\\n\\t\"
        );
}
#elif defined(B)
CRANELITE_LOOP void f(int32_t *sums CRANELITE_UNUSED)
{
    __asm__ volatile(
        \"push {r4-r7, lr}\\n\\t\"
        );
}
#endif
\"push {r0}\"
";
        assert_eq!(pushed_bytes(file), BTreeMap::from([("f".to_string(), 48)]));
    }

    #[test]
    fn who_calls_whom() {
        let file = "\
#define CRANELITE_2(a, b) a, b
typedef void (*hook_type)(void *user);

static inline int32_t f(int32_t x) { return x; }

#if defined(A)
static inline int32_t g(int32_t x)
{
    return f(x);
}
#else
static inline int32_t g(int32_t x) { return h(x); }
#endif

CRANELITE_FAST_CODE static void h(void)
{
    if (g(1)) {
    }
}

const cranelite_model m = {
    h
};
";
        let all = calls(file);
        let of = |name: &str| all[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["f", "g", "h"]);
        assert_eq!((of("f"), of("g"), of("h")), (vec![], vec!["f", "h"], vec!["g"]));
    }
}
