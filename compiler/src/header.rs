//! The C header beside an object: C99 and C++, with nothing but <stdint.h> and <stddef.h>.
//!
//! Not the layout of the model descriptor, which is its writer's (`codegen::object`). The idea: whoever includes it needs no other
//! documentation, and two headers in one program agree because what they share stands in both under the same guard.

mod answers;

use crate::names;
use crate::pipeline::{Entry, Io, Options};
use crate::signature::Tensor;
use cranelite_codegen::object::foreign::C_DECLARATIONS as CUSTOM_DECLARATIONS;
use cranelite_codegen::object::model::{C_DECLARATIONS, C_SIGNATURES};
use cranelite_codegen::object::{EntryFacts, Object, self_test, weights};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::quoted;
use cranelite_graph::tensor::ElementType;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What all headers share beside the description of models. Numbers of the status are never changed.
const STATUS: &str = "\
typedef int32_t cranelite_status;
enum {
    CRANELITE_OK = 0,
    CRANELITE_NULL_POINTER = 1,
    CRANELITE_MISALIGNED_ARENA = 2, /* or state, or weights, or the buffer of the self-test */
    CRANELITE_INDEX_OUT_OF_RANGE = 3, /* the outputs are unspecified */
    CRANELITE_CPU_LACKS_FEATURE = 4,
    CRANELITE_WRONG_WEIGHTS = 5,
    CRANELITE_EXECUTOR_FAILED = 6,
    CRANELITE_SELFTEST_FAILED = 7
};
";

/// What headers of all models share, as a header of its own: for programs that serve any model (runtime-stub/cranelite_model.h).
pub fn of_any_model() -> String {
    format!(
        "/* What an object says of itself, and how it is called, for programs that serve any model: the header of each model has the same. Made by a test of\n   \
         cranelite: do not edit. */\n\
         #ifndef CRANELITE_ANY_MODEL_H\n#define CRANELITE_ANY_MODEL_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{}{}\
         #ifdef __cplusplus\n}}\n#endif\n\n#endif\n",
        guarded("ABI", &format!("{STATUS}\n{C_DECLARATIONS}")),
        guarded("SIGNATURES", C_SIGNATURES),
    )
}

/// Declarations that stand once in a program, however many headers have them.
fn guarded(what: &str, text: &str) -> String {
    format!("#ifndef CRANELITE_{what}_1\n#define CRANELITE_{what}_1\n\n{text}\n#endif /* CRANELITE_{what}_1 */\n\n")
}

pub fn write(options: &Options, entries: &[Entry], targets: &[Target], object: &Object, symbols: &BTreeSet<String>) -> String {
    let prefix = &options.prefix;
    let upper = prefix.to_ascii_uppercase();
    let mut out = String::new();
    let mut line = |text: &str| out.push_str(&format!("{text}\n"));
    let made = format!("Made by cranelite {} from {}: do not edit.", env!("CARGO_PKG_VERSION"), options.made_from);
    line(&format!("/* {} */", comment(&made)));
    line(&format!("#ifndef CRANELITE_MODEL_{upper}_H\n#define CRANELITE_MODEL_{upper}_H\n"));
    line("#include <stddef.h>\n#include <stdint.h>\n");
    line("#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    line(guarded("ABI", &format!("{STATUS}\n{C_DECLARATIONS}")).trim_end_matches('\n'));
    line("");
    let where_constants_are = match (options.weights, targets[0].is_c()) {
        (true, false) => "in a file beside the object",
        (true, true) => "in a file beside this one, for little-endian machines",
        (false, false) if 0 < object.prepared_bytes => "in the object, and decoded into memory of the caller's",
        (false, true) if 0 < object.prepared_bytes => {
            "in the file in C, and decoded into memory of the caller's, for little-endian machines"
        }
        (false, false) => "in the object",
        (false, true) => "in the file in C",
    };
    let is_c = targets[0].is_c();
    let stack = match (is_c, object.stack_bytes) {
        (false, _) => "the stack is what one call needs",
        (true, 0) => "what stack a call needs is the C compiler's to say",
        (true, _) => "the stack is what one call needs, as the C compiler says of each function, without those of its own library",
    };
    line(&format!("/* Memory: the caller provides the arena; constants are {where_constants_are}; {stack}. */"));
    line(
        "/* Floating-point exceptions: integer models raise none but that of inexact results; float models those of IEEE 754 that their numbers\n   \
         call for. The processor must round to nearest. */",
    );
    let several = 1 < entries.len();
    if several {
        line("/* These are enough for each signature; what one of them needs is with it. */");
    }
    for (name, value) in [
        ("ARENA_BYTES", object.arena_bytes),
        ("ARENA_ALIGN", u64::from(object.arena_align)),
        ("STATE_BYTES", object.state_bytes),
        ("STATE_ALIGN", u64::from(object.state_align)),
        ("CONST_BYTES", object.const_bytes),
    ] {
        line(&format!("#define {upper}_{name} {value}"));
    }
    if !is_c || 0 < object.stack_bytes {
        line(&format!("#define {upper}_STACK_BYTES {}", object.stack_bytes));
    }
    let weights_bytes = object.weights.as_ref().map_or(object.prepared_bytes, |file| file.len() as u64);
    if 0 < weights_bytes {
        line(&format!("#define {upper}_WEIGHTS_BYTES {weights_bytes}"));
        line(&format!("#define {upper}_WEIGHTS_ALIGN {}", weights::ALIGN));
    }
    let has_state = 0 < object.state_bytes;
    let parts: Vec<Part> = entries
        .iter()
        .zip(&object.entries)
        .map(|(entry, sizes)| Part { options, entry, sizes, has_state, has_weights: 0 < weights_bytes })
        .collect();
    if let [only] = &parts[..] {
        out += &only.tensors();
        out += &only.structures();
        out += &shared(options, object, symbols, false);
        out += &only.invoke();
        out += &only.answers();
        out += &weights(options, object);
        out += &levels(options, targets);
        out += &only.other_functions(targets);
    } else {
        out.push('\n');
        out += &shared(options, object, symbols, true);
        out += &weights(options, object);
        out += &levels(options, targets);
        for part in &parts {
            out += &part.heading();
            out += &part.tensors();
            out += &part.structures();
            out += &part.invoke();
            out += &part.other_functions(targets);
        }
        out += &format!(
            "{}enum {{ {upper}_SIGNATURE_COUNT = {} }};\n\n\
             /* All signatures, for callers that serve any model. */\n\
             extern const cranelite_signature {prefix}_signatures[{upper}_SIGNATURE_COUNT + 1];\n\n",
            guarded("SIGNATURES", C_SIGNATURES),
            parts.len()
        );
    }
    out += "#ifdef __cplusplus\n}\n#endif\n\n";
    out += &format!("#endif /* CRANELITE_MODEL_{upper}_H */\n");
    out
}

/// One signature.
struct Part<'a> {
    options: &'a Options,
    entry: &'a Entry,
    sizes: &'a EntryFacts,
    has_state: bool,
    has_weights: bool,
}

impl Part<'_> {
    fn upper(&self) -> String {
        self.entry.prefix.to_ascii_uppercase()
    }

    /// Where there are several.
    fn heading(&self) -> String {
        let (upper, sizes) = (self.upper(), self.sizes);
        let title = comment(&format!("Signature {}.", quoted(&self.entry.key)));
        let is_known = !self.entry.levels[0].target.is_c() || 0 < sizes.stack_bytes;
        let stack = if is_known { format!("#define {upper}_STACK_BYTES {}\n", sizes.stack_bytes) } else { String::new() };
        format!(
            "/* {title} */\n#define {upper}_ARENA_BYTES {}\n#define {upper}_ARENA_ALIGN {}\n{stack}",
            sizes.arena_bytes, sizes.arena_align
        )
    }

    /// Macros.
    fn tensors(&self) -> String {
        let (mut out, upper, signature) = (String::new(), self.upper(), &self.entry.signature);
        let mut line = |text: &str| out.push_str(&format!("{text}\n"));
        let places = [&self.sizes.io_places.inputs, &self.sizes.io_places.outputs];
        for ((kind, tensors), places) in [("IN", &signature.inputs), ("OUT", &signature.outputs)].into_iter().zip(places) {
            for (i, t) in tensors.iter().enumerate() {
                line("");
                let name = format!("{upper}_{kind}_{}", t.identifier.to_ascii_uppercase());
                if let Some(place) = places.get(i) {
                    line(&format!("/* {}: {} */", c_type(t.ty.element), about(t)));
                    line(&format!("#define {name}_OFFSET {place}"));
                }
                line(&format!("#define {name}_COUNT {}", t.ty.element_count()));
                line(&format!("#define {name}_BYTES {}", t.ty.size_bytes()));
                if let Some((scale, zero_point)) = t.quantization() {
                    line(&format!("#define {name}_SCALE {scale:?}f"));
                    line(&format!("#define {name}_ZERO_POINT ({zero_point})"));
                }
            }
        }
        line("");
        if self.options.float_io {
            line("/* Real numbers: what the model quantises is quantised on entry, and made real again on exit. */");
        }
        out
    }

    /// Structures, and what is said of every call.
    fn structures(&self) -> String {
        let (prefix, upper, signature) = (&self.entry.prefix, self.upper(), &self.entry.signature);
        if self.options.io == Io::Arena {
            return format!(
                "/* Computes the outputs. {upper}_ARENA_BYTES bytes at `arena`, aligned to {upper}_ARENA_ALIGN, are overwritten. The caller writes each input to\n   \
                 its ..._OFFSET in the arena before every call, since calls overwrite it, and finds each output at its own after the call, until it writes to the arena or calls\n   \
                 again. Calls with different arenas may run at once. The floating-point environment must round to nearest and must not flush\n   \
                 denormal numbers to zero. */\n"
            );
        }
        format!(
            "{}\n{}\n/* Computes the outputs. {upper}_ARENA_BYTES bytes at `arena`, aligned to {upper}_ARENA_ALIGN, are overwritten; nothing in them need\n   \
             survive between calls. Inputs and outputs need the alignment of their elements only, and must overlap neither each other nor\n   \
             the arena. Calls with different arenas and outputs may run at once. The floating-point environment must round to nearest and\n   \
             must not flush denormal numbers to zero. */\n",
            structure(prefix, "inputs", &signature.inputs, "const "),
            structure(prefix, "outputs", &signature.outputs, "")
        )
    }

    /// Of every function that computes outputs.
    fn parameters(&self) -> String {
        let prefix = &self.entry.prefix;
        let io = match self.options.io {
            Io::Arena => String::new(),
            Io::Caller => format!("const {prefix}_inputs *in, const {prefix}_outputs *out, "),
        };
        let state = if self.has_state { ", void *state" } else { "" };
        let weights = if self.has_weights { ", const void *weights" } else { "" };
        format!("{io}void *arena{state}{weights}")
    }

    fn invoke(&self) -> String {
        format!("cranelite_status {}_invoke({});\n\n", self.entry.prefix, self.parameters())
    }

    fn other_functions(&self, targets: &[Target]) -> String {
        let (prefix, upper, parameters, options) = (&self.entry.prefix, self.upper(), self.parameters(), self.options);
        let mut out = String::new();
        let mut line = |text: &str| out.push_str(&format!("{text}\n"));
        if 1 < targets.len() {
            line(&format!(
                "/* {prefix}_invoke runs the best level that the CPU has; this runs that very level, or returns CRANELITE_CPU_LACKS_FEATURE if there\n   \
                 is no such level or the CPU lacks what it needs. Integers are the same at every level. */\n\
                 cranelite_status {prefix}_invoke_at(uint32_t level, {parameters});\n"
            ));
        }
        if 1 < options.threads {
            line(&format!(
                "/* As {prefix}_invoke, with the threads of an executor, or without where it is null; the results are the same. Divided for {} threads;\n   \
                 fewer do it as well. {upper}_STACK_BYTES is what each of them needs. */\n\
                 cranelite_status {prefix}_invoke_parallel({parameters},\n    \
                 const cranelite_executor *executor);\n",
                options.threads
            ));
        }
        if options.profile {
            line(&format!(
                "/* As {prefix}_invoke. Before each call of a kernel it calls `hook` with the index of the operator in the model, or with\n   \
                 UINT32_MAX where there is none, and with the number of the call; once more at the end. */\n\
                 cranelite_status {prefix}_profile({parameters},\n    \
                 void (*hook)(void *user, uint32_t op, uint32_t call), void *user);\n"
            ));
        }
        if options.self_test {
            line(&self.self_test());
        }
        line(&format!("/* The same facts as data, for callers that serve any model. */\nextern const cranelite_model {prefix}_model;\n"));
        out
    }

    /// The self-test, and its buffer.
    fn self_test(&self) -> String {
        let (prefix, upper, signature) = (&self.entry.prefix, self.upper(), &self.entry.signature);
        let weights = if self.has_weights { "const void *weights, " } else { "" };
        let (state, reset) = if self.has_state { ("void *state, ", ", and the state, which it resets") } else { ("", "") };
        let described = |tensors: &[Tensor]| tensors.iter().map(Tensor::described).collect::<Vec<_>>();
        let (_, bytes) = self_test::places(&described(&signature.inputs), &described(&signature.outputs));
        format!(
            "#define {upper}_SELFTEST_BYTES {bytes}\n#define {upper}_SELFTEST_ALIGN {}\n\n\
             /* Runs {prefix}_invoke's level on inputs that it makes itself, and compares hashes of the outputs with what they must be: CRANELITE_OK,\n   \
             or CRANELITE_SELFTEST_FAILED and the position of the first wrong output in {prefix}_outputs (UINT32_MAX if all are right) in\n   \
             *wrong_output, which may be null. {upper}_SELFTEST_BYTES bytes at `buffer`, aligned to {upper}_SELFTEST_ALIGN, are overwritten, and the arena{reset}. */\n\
             cranelite_status {prefix}_selftest(void *arena, {state}{weights}void *buffer, uint32_t *wrong_output);\n",
            self_test::BUFFER_ALIGN
        )
    }
}

/// The state and the user's functions.
fn shared(options: &Options, object: &Object, symbols: &BTreeSet<String>, several: bool) -> String {
    let (prefix, upper) = (&options.prefix, options.prefix.to_ascii_uppercase());
    let mut out = String::new();
    if 0 < object.state_bytes {
        let of_all = if several { " It is that of all signatures: what one of them changes, the others find." } else { "" };
        out += &format!(
            "/* What the model keeps from call to call: {upper}_STATE_BYTES bytes at `state`, aligned to {upper}_STATE_ALIGN, for each instance; it overlaps nothing\n   \
             else. This writes what is in it at first, before the first call and whenever the instance is to start afresh. Calls with\n   \
             different states, arenas and outputs may run at once, and go on from states of their own. A call that returns\n   \
             CRANELITE_INDEX_OUT_OF_RANGE or CRANELITE_EXECUTOR_FAILED leaves the state unspecified, too.{of_all} */\n\
             cranelite_status {prefix}_reset(void *state);\n\n"
        );
    }
    if !symbols.is_empty() {
        out += &format!("{}\n", custom(&upper, symbols));
    }
    out
}

/// What is said of weights outside.
fn weights(options: &Options, object: &Object) -> String {
    let (prefix, upper) = (&options.prefix, options.prefix.to_ascii_uppercase());
    if 0 < object.prepared_bytes {
        return format!(
            "/* `weights` is memory of the caller's, {upper}_WEIGHTS_BYTES bytes aligned to {upper}_WEIGHTS_ALIGN, into which this decodes constants, once, before the first\n   \
             call. Calls only read it: any number of them may share it. Memory that was not prepared is refused with CRANELITE_WRONG_WEIGHTS. */\n\
             cranelite_status {prefix}_prepare(void *weights);\n\n\
             /* Compares all that was prepared with what it must be: CRANELITE_OK, or CRANELITE_WRONG_WEIGHTS. */\n\
             cranelite_status {prefix}_check_weights(const void *weights);\n\n"
        );
    }
    if !options.weights {
        return String::new();
    }
    format!(
        "/* `weights` is the file that was written with the object, {upper}_WEIGHTS_BYTES bytes in memory aligned to {upper}_WEIGHTS_ALIGN, which are only read.\n   \
         CRANELITE_NULL_POINTER, CRANELITE_MISALIGNED_ARENA, or CRANELITE_WRONG_WEIGHTS if its header is another file's. This compares the contents, too: */\n\
         cranelite_status {prefix}_check_weights(const void *weights);\n\n"
    )
}

/// What the CPU must have, and the levels by number.
fn levels(options: &Options, targets: &[Target]) -> String {
    let mut out = needs(options, targets).map(|needs| format!("/* {needs} */\n\n")).unwrap_or_default();
    if targets.len() < 2 {
        return out;
    }
    let names: Vec<&str> = targets.iter().map(|t| t.level.as_str()).collect();
    let upper = options.prefix.to_ascii_uppercase();
    out += "enum {\n";
    for (i, id) in names::identifiers(&names, "level").iter().enumerate() {
        out += &format!("    {upper}_LEVEL_{} = {i}, /* {} */\n", id.to_ascii_uppercase(), comment(names[i]));
    }
    out += &format!("    {upper}_LEVEL_COUNT = {}\n}};\n\n", names.len());
    out
}

/// What the CPU must have, if not every CPU of the target will do.
fn needs(options: &Options, targets: &[Target]) -> Option<String> {
    let all: Vec<String> = targets.iter().map(|t| t.beyond_baseline().join(" ")).collect();
    if all.iter().any(String::is_empty) {
        return None;
    }
    let otherwise = if options.no_cpu_check { "this is not checked" } else { "others get CRANELITE_CPU_LACKS_FEATURE" };
    Some(format!("Only for CPUs with {}; {otherwise}.", all.join(", or with ")))
}

/// The functions that the program must have.
fn custom(upper: &str, symbols: &BTreeSet<String>) -> String {
    let prototypes: String = symbols.iter().map(|s| format!("int32_t {s}(const cranelite_custom_call *call);\n")).collect();
    format!(
        "#ifndef CRANELITE_CUSTOM_1\n#define CRANELITE_CUSTOM_1\n\n{CUSTOM_DECLARATIONS}\n#endif /* CRANELITE_CUSTOM_1 */\n\n\
         /* The program has these functions, which custom operators of the model call; {upper}_STACK_BYTES does not count their stack. They read their\n   \
         inputs and options, write all of their outputs, and write nothing else; calls that run at once call them at once. 0 goes on; anything\n   \
         else ends the invocation with CRANELITE_CUSTOM_FAILED, and outputs and state are unspecified. That the compiler has proved its own code\n   \
         to stay in its memory says nothing of what they do. */\n{prototypes}"
    )
}

fn structure(prefix: &str, what: &str, tensors: &[Tensor], qualifier: &str) -> String {
    let mut out = String::from("typedef struct {\n");
    let fields: Vec<_> = tensors.iter().map(|t| format!("{qualifier}{} *{};", c_type(t.ty.element), t.identifier)).collect();
    let width = fields.iter().map(String::len).max().unwrap_or(0);
    for (t, field) in tensors.iter().zip(&fields) {
        writeln!(out, "    {field:<width$} /* {} */", about(t)).expect("a string takes everything");
    }
    if tensors.is_empty() {
        out.push_str("    const void *none; /* the model has none; C wants a member */\n");
    }
    writeln!(out, "}} {prefix}_{what};").expect("a string takes everything");
    out
}

/// For a comment.
fn about(t: &Tensor) -> String {
    let rows = t.count.as_ref().map(|count| format!("with as many rows as *{count} says;"));
    let sensor = Some(format!("{},", t.sensor)).filter(|_| !t.sensor.is_empty());
    let about: Vec<String> = sensor
        .into_iter()
        .chain([t.describe()])
        .chain(rows)
        .chain(t.formula())
        .chain([format!("{}{}", quoted(&t.name), t.of_tensor())])
        .collect();
    comment(&about.join(" "))
}

/// Text that can stand in a comment of C: no end, no beginning, no line splice, no trigraph, one line.
fn comment(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() && !"\\?".contains(c) { c } else { '_' }).collect();
    plain.replace("*/", "*_").replace("/*", "/_")
}

fn c_type(element: ElementType) -> &'static str {
    use ElementType::*;
    match element {
        F32 => "float",
        F64 => "double",
        I8 => "int8_t",
        I16 => "int16_t",
        I32 => "int32_t",
        I64 => "int64_t",
        F16 | BF16 | U16 => "uint16_t",
        U32 => "uint32_t",
        U64 => "uint64_t",
        // Real and imaginary part in turn.
        Complex64 => "float",
        Complex128 => "double",
        I2 | I4 | U4 | U8 | Bool | F8E4M3 | F8E5M2 | String | Resource | Variant => "uint8_t",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_comment() {
        for text in ["a*/b", "/*", "*/*", "/*/", "??/", "a\\\nb", "ü\0"] {
            let text = comment(text);
            assert!(!text.contains("*/") && !text.contains("/*") && !text.contains(['\\', '?', '\n', '\0']), "{text}");
        }
    }
}
