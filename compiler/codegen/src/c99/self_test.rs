//! `PREFIX_selftest`, in C: inputs and hashes are as for objects (`object/self_test.rs`).
//!
//! Words of inputs and of what is hashed are numbers of the tensor's type one after the other, the first in the lowest bits; so where the highest byte of a number comes
//! first, bytes change their places inside of numbers.

use super::text::Text;
use crate::object::model::Tensor;
use crate::object::plan::{self, Facts};
use crate::object::self_test::places;
use crate::object::{Entry, IoPlaces};

/// Of an element, as far as the order of its bytes goes.
fn width(t: &Tensor) -> u32 {
    match t.ty {
        1 | 2 | 8 | 16 => 4,
        4 | 11 | 12 | 13 => 8,
        7 | 10 | 17 | 19 => 2,
        _ => 1,
    }
}

/// What hashes; also for weights.
pub fn hash(prefix: &str) -> String {
    format!(
        "\
static uint64_t {prefix}_hash(const uint8_t *from, size_t words, size_t width)
{{
    /* Numbers of `width` bytes, eight bytes at a time, the first number in the lowest bits. */
    const size_t flip = is_big_endian() != 0u ? width - 1u : 0u;
    uint64_t h = 0u;
    for (size_t k = 0u; k < words; k++) {{
        uint64_t word = 0u;
        for (size_t i = 0u; i < 8u; i++) {{
            word |= (uint64_t)from[(8u * k) + (i ^ flip)] << (8u * i);
        }}
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }}
    return h;
}}

"
    )
}

/// What makes inputs.
pub fn fill(prefix: &str) -> String {
    format!(
        "\
static void {prefix}_fill(uint8_t *to, size_t words, uint64_t start, uint64_t keep, uint64_t set, size_t width)
{{
    /* The sequence of SplitMix64, of which bits are kept and others set. */
    const size_t flip = is_big_endian() != 0u ? width - 1u : 0u;
    uint64_t state = start;
    for (size_t k = 0u; k < words; k++) {{
        uint64_t z;
        state += UINT64_C(0x9e3779b97f4a7c15);
        z = (state ^ (state >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z = ((z ^ (z >> 31)) & keep) | set;
        for (size_t i = 0u; i < 8u; i++) {{
            to[(8u * k) + (i ^ flip)] = (uint8_t)((z >> (8u * i)) & 0xffu);
        }}
    }}
}}

"
    )
}

/// Whether the highest byte of a number comes first.
pub const IS_BIG_ENDIAN: &str = "\
static uint32_t is_big_endian(void)
{
    union { uint16_t number; uint8_t bytes[2]; } u;
    u.number = 1u;
    return u.bytes[1];
}

";

/// What the function does when its arguments are right.
pub fn body(text: &mut Text, entry: &Entry, prefix: &str, facts: &Facts, places_in_arena: &IoPlaces) {
    let (inputs, outputs) = (&entry.inputs, &entry.outputs);
    let (at, _) = places(inputs, outputs);
    let vectors = plan::vectors(inputs, &entry.self_test[0], entry.self_test_bits);
    let (of_inputs, of_outputs) = at.split_at(inputs.len());
    let in_arena = facts.form.io_in_arena;
    text.line("uint8_t *const memory = (uint8_t *)buffer;");
    let list = |what: &str, places: &[u64], base: &str, ty: &str| {
        let all: Vec<String> = places.iter().map(|at| if *at == 0 { base.to_string() } else { format!("{base} + {at}") }).collect();
        format!("{ty}const {what}[] = {{{}}};", all.join(", "))
    };
    let inputs_base = if in_arena { "(uint8_t *)arena" } else { "memory" };
    if !inputs.is_empty() {
        text.line(list("to", if in_arena { &places_in_arena.inputs } else { of_inputs }, inputs_base, "uint8_t *"));
        if !in_arena {
            text.line(list("inputs", of_inputs, "memory", "const uint8_t *"));
        }
    }
    if !outputs.is_empty() {
        text.line(list("outputs", of_outputs, "memory", "uint8_t *"));
        if in_arena {
            text.line(list("found", &places_in_arena.outputs, "(const uint8_t *)arena", "const uint8_t *"));
        }
    }
    text.line("cranelite_status status;");
    if facts.form.state {
        text.line(format!("status = {prefix}_reset(state);"));
        text.refuse("status != CRANELITE_OK", "status");
    }
    let wide = |n: u64| format!("UINT64_C({n:#018x})");
    for vector in vectors {
        for (i, (f, t)) in vector.fills.iter().zip(inputs).enumerate() {
            let numbers = format!("{}u, {}, {}, {}, {}u", f.words, wide(f.start), wide(f.keep), wide(f.set), width(t));
            text.line(format!("{prefix}_fill(to[{i}], {numbers});"));
        }
        // What is hashed was written by this very call, or is zero.
        for (o, t) in outputs.iter().enumerate() {
            text.line(format!("{prefix}_fill(outputs[{o}], {}u, 0u, 0u, 0u, 1u);", plan::words(t)));
        }
        let passed: Vec<String> = super::body::parameters(facts.form, plan::Kind::Invoke)
            .iter()
            .map(|(_, name)| match *name {
                "in" if inputs.is_empty() => "NULL".into(),
                "out" if outputs.is_empty() => "NULL".into(),
                "in" => "inputs".into(),
                "out" => "outputs".into(),
                "weights" => "(const uint8_t *)weights".into(),
                name => format!("(uint8_t *){name}"),
            })
            .collect();
        text.line(format!("status = {}_body({});", entry.prefix, passed.join(", ")));
        text.refuse("status != CRANELITE_OK", "status");
        for (o, t) in outputs.iter().enumerate() {
            if in_arena {
                text.open(format!("for (size_t i = 0u; i < {}u; i++)", t.size_bytes));
                text.line(format!("outputs[{o}][i] = found[{o}][i];"));
                text.close();
            }
        }
        for (o, (t, expected)) in outputs.iter().zip(&vector.expected).enumerate() {
            text.open(format!("if ({prefix}_hash(outputs[{o}], {}u, {}u) != {})", plan::words(t), width(t), wide(*expected)));
            text.open("if (wrong_output != NULL)");
            text.line(format!("*wrong_output = {o}u;"));
            text.close();
            text.line("return CRANELITE_SELFTEST_FAILED;");
            text.close();
        }
    }
    text.open("if (wrong_output != NULL)");
    text.line("*wrong_output = UINT32_MAX;");
    text.close();
    text.line("return CRANELITE_OK;");
}
