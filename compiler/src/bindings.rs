//! The Rust module beside an object: the same interface as the header, as types that leave no way to misuse it.
//!
//! Not the C header (`header.rs`). The idea: sizes are array types, inputs are shared and outputs exclusive borrows, the arena is a type of
//! its own; so the one unsafe call in the module keeps every duty that the header tells a C caller of. Several signatures are modules inside of it.

use crate::names::{self, in_rust};
use crate::pipeline::{Compiled, Entry};
use crate::signature::Tensor;
use cranelite_codegen::object::{IoPlaces, weights};
use cranelite_graph::diagnostic::quoted;
use cranelite_graph::pipeline::Answer;
use cranelite_graph::tensor::ElementType;
use std::fmt::Write;

/// Uses the crate `cranelite_runtime`.
pub fn write(compiled: &Compiled, made_from: &str) -> String {
    let (prefix, object) = (&compiled.prefix, &compiled.object);
    let module = in_rust(prefix);
    let mut out = format!("// Made by cranelite {} from {}: do not edit.\n", env!("CARGO_PKG_VERSION"), printable(made_from));
    let mut line = |text: &str| out.push_str(&format!("{text}\n"));
    let several = 1 < compiled.entries.len();
    line(&format!("#[allow(dead_code, non_snake_case, unused_imports)]\npub mod {module} {{"));
    line(if several { "    use ::cranelite_runtime::Error;\n" } else { USED });
    line(&format!("    pub const ARENA_BYTES: usize = {};", object.arena_bytes));
    line(&format!("    pub const CONST_BYTES: usize = {};", object.const_bytes));
    match compiled.stack_bytes() {
        Some(bytes) => line(&format!("    pub const STACK_BYTES: usize = {bytes};\n")),
        None => line(""),
    }
    line("    /// Memory for one call at a time. Nothing in it need survive between calls.");
    line(&format!("    #[repr(C, align({}))]", object.arena_align));
    line("    pub struct Arena([u8; ARENA_BYTES]);\n");
    line("    impl Arena {\n        pub const fn new() -> Self {\n            Arena([0; ARENA_BYTES])\n        }\n    }\n");
    line("    impl Default for Arena {\n        fn default() -> Self {\n            Self::new()\n        }\n    }\n");
    let has_state = 0 < object.state_bytes;
    if has_state {
        line(&format!("    pub const STATE_BYTES: usize = {};\n", object.state_bytes));
        line("    /// What an instance of the model keeps from call to call.");
        line(&format!("    #[repr(C, align({}))]\n    #[derive(Clone)]", object.state_align));
        line("    pub struct State([u8; STATE_BYTES]);\n");
        line(
            "    impl State {\n        pub fn new() -> Self {\n            let mut state = State([0; STATE_BYTES]);\n            state.reset();\n            state\n        }\n",
        );
        line("        /// What is in it at first, again.\n        pub fn reset(&mut self) {");
        line("            unsafe extern \"C\" {");
        line(&format!("                #[link_name = \"{prefix}_reset\"]"));
        line("                fn reset(state: *mut ::core::ffi::c_void) -> i32;\n            }");
        line("            // SAFETY: the state is as large and as aligned as the object wants it, which is all that could be refused.");
        line("            unsafe { reset(self.0.as_mut_ptr().cast()) };\n        }\n    }\n");
        line("    impl Default for State {\n        fn default() -> Self {\n            Self::new()\n        }\n    }\n");
    }
    if let Some(file) = &object.weights {
        weights(&mut line, prefix, file.len());
    }
    if 0 < object.prepared_bytes {
        prepared(&mut line, prefix, object.prepared_bytes);
    }
    let levels: Vec<String> = compiled.targets().into_iter().map(|t| t.level).collect();
    if 1 < levels.len() {
        line("    /// Names of the feature levels, by number.");
        line(&format!("    pub const LEVELS: [&str; {}] = {levels:?};\n", levels.len()));
    }
    for (i, entry) in compiled.entries.iter().enumerate() {
        let Some(word) = &entry.word else {
            out += &signature(compiled, i);
            continue;
        };
        let text = signature(compiled, i);
        let before = if i == 0 { "" } else { "\n" };
        out += &format!("{before}    /// Signature {}\n    pub mod {} {{\n", about_key(&entry.key), in_rust(word));
        shared_types(compiled).iter().for_each(|ty| out += &format!("        use super::{ty};\n"));
        out += &format!("    {USED}\n");
        for line in text.lines() {
            out += &if line.is_empty() { "\n".to_string() } else { format!("    {line}\n") };
        }
        out += "    }\n";
    }
    out += "}\n";
    out
}

const USED: &str = "    use ::cranelite_runtime::{Error, Quantization, Tensor};\n";

/// What modules of signatures take from the one around them.
fn shared_types(compiled: &Compiled) -> Vec<&'static str> {
    let object = &compiled.object;
    let all = [("Arena", true), ("State", 0 < object.state_bytes), ("Weights", object.weights.is_some() || 0 < object.prepared_bytes)];
    all.into_iter().filter(|t| t.1).map(|t| t.0).collect()
}

/// What a signature has of its own.
fn signature(compiled: &Compiled, number: usize) -> String {
    let (entry, object) = (&compiled.entries[number], &compiled.object);
    let places = &object.entries[number].io_places;
    let mut out = String::new();
    let mut line = |text: &str| out.push_str(&format!("{text}\n"));
    for (kind, tensors) in [("INPUT", &entry.signature.inputs), ("OUTPUT", &entry.signature.outputs)] {
        for t in tensors {
            line(&format!("    pub const {kind}_{}: Tensor = {};", t.identifier.to_ascii_uppercase(), tensor(t)));
        }
    }
    labels(&mut line, &entry.signature.answers);
    let (inputs, outputs) = (&entry.signature.inputs, &entry.signature.outputs);
    // What stands for inputs and outputs: as parameters of ours, of the object's function, and in its call.
    let (mut taken, mut declared, mut passed) = (vec![], vec![], vec![]);
    if places.is_in_arena() {
        let of = entry.word.as_ref().map(|word| format!("{word}_")).unwrap_or_default();
        in_arena(&mut line, entry, places, &of);
    } else {
        for (name, tensors, reference) in [("Inputs", inputs, "&'a "), ("Outputs", outputs, "&'a mut ")] {
            let lifetime = if tensors.is_empty() { "" } else { "<'a>" };
            line(&format!("\n    pub struct {name}{lifetime} {{"));
            for t in tensors {
                line(&format!("        /// {}", about(t)));
                line(&format!("        pub {}: {reference}{},", in_rust(&t.identifier), array(t)));
            }
            line("    }");
        }
        let lifetime = |tensors: &[Tensor]| if tensors.is_empty() { "" } else { "<'_>" };
        taken.push(format!("inputs: &Inputs{}", lifetime(inputs)));
        taken.push(format!("outputs: &mut Outputs{}", lifetime(outputs)));
        declared.extend(["inputs: *const *const c_void", "outputs: *const *mut c_void"]);
        passed.extend(["inputs.as_ptr()", "outputs.as_ptr()"]);
    }
    taken.push("arena: &mut Arena".into());
    declared.push("arena: *mut c_void");
    passed.push("arena.0.as_mut_ptr().cast::<c_void>()");
    if 0 < object.state_bytes {
        taken.push("state: &mut State".into());
        declared.push("state: *mut c_void");
        passed.push("state.0.as_mut_ptr().cast::<c_void>()");
    }
    if object.weights.is_some() || 0 < object.prepared_bytes {
        taken.push("weights: Weights<'_>".into());
        declared.push("weights: *const c_void");
        passed.push("weights.0.as_ptr().cast::<c_void>()");
    }
    let mut function = |name: &str, about: &str| {
        line(&format!("\n    /// {about}"));
        line(&format!("    pub fn {name}({}) -> Result<(), Error> {{", taken.join(", ")));
        line("        use ::core::ffi::c_void;");
        line("        unsafe extern \"C\" {");
        line(&format!("            #[link_name = \"{}_{name}\"]", entry.prefix));
        line(&format!("            fn {name}({}) -> i32;", declared.join(", ")));
        line("        }");
        if !places.is_in_arena() {
            let pointers = |of: &str, tensors: &[Tensor], method: &str| {
                let all: Vec<String> =
                    tensors.iter().map(|t| format!("{of}.{}.{method}().cast::<c_void>()", in_rust(&t.identifier))).collect();
                all.join(", ")
            };
            line(&format!("        let inputs: [*const c_void; {}] = [{}];", inputs.len(), pointers("inputs", inputs, "as_ptr")));
            line(&format!("        let outputs: [*mut c_void; {}] = [{}];", outputs.len(), pointers("outputs", outputs, "as_mut_ptr")));
        }
        line(
            "        // SAFETY: the arrays are as long as the object wants them, the arena is aligned, and no two exclusive borrows overlap.",
        );
        line(&format!("        Error::check(unsafe {{ {name}({}) }})\n    }}", passed.join(", ")));
        if name == "invoke" {
            taken.insert(0, "level: u32".into());
            declared.insert(0, "level: u32");
            passed.insert(0, "level");
        }
    };
    function(
        "invoke",
        "Computes the outputs. The floating-point environment must round to nearest and keep denormal numbers, as Rust's does.",
    );
    if 1 < entry.levels.len() {
        function("invoke_at", "As `invoke`, at the level with that number and no other.");
    }
    out
}

/// Names of classes, by their number, of what a pipeline answers.
fn labels(line: &mut impl FnMut(&str), answers: &[Answer]) {
    let labelled: Vec<&Answer> = answers.iter().filter(|a| !a.labels.is_empty()).collect();
    for answer in &labelled {
        let of = if labelled.len() == 1 {
            String::new()
        } else {
            format!("{}_", names::identifier(&answer.name, "answer").to_ascii_uppercase())
        };
        let all: Vec<String> = answer.labels.iter().map(|l| format!("\"{}\"", l.escape_default())).collect();
        line("    /// Names of classes, by their number; -1 is none.");
        line(&format!("    pub const {of}LABELS: [&str; {}] = [{}];", all.len(), all.join(", ")));
    }
}

/// Within the quotes of code.
fn about_key(key: &str) -> String {
    format!("`{}`", printable(&quoted(key)).replace('`', "_"))
}

/// The type of constants that are outside.
fn weights(line: &mut impl FnMut(&str), prefix: &str, bytes: usize) {
    let align = weights::ALIGN;
    line(&format!("    pub const WEIGHTS_BYTES: usize = {bytes};\n"));
    line("    /// Memory for the file that was written with the object, as aligned as it must be.");
    line(&format!("    #[repr(C, align({align}))]\n    pub struct WeightsMemory(pub [u8; WEIGHTS_BYTES]);\n"));
    line("    /// The contents of that file.\n    #[derive(Clone, Copy)]\n    pub struct Weights<'a>(&'a [u8]);\n");
    line("    impl<'a> Weights<'a> {");
    line(&format!("        /// Reads all bytes, and refuses those of another file, or what is not aligned to {align}."));
    line("        pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {");
    line("            unsafe extern \"C\" {");
    line(&format!("                #[link_name = \"{prefix}_check_weights\"]"));
    line("                fn check_weights(weights: *const ::core::ffi::c_void) -> i32;\n            }");
    line("            if bytes.len() != WEIGHTS_BYTES {\n                return Err(Error::WrongWeights);\n            }");
    line("            // SAFETY: there are as many bytes as the object reads.");
    line("            Error::check(unsafe { check_weights(bytes.as_ptr().cast()) })?;\n            Ok(Weights(bytes))\n        }\n    }\n");
}

/// The type of constants that are decoded once.
fn prepared(line: &mut impl FnMut(&str), prefix: &str, bytes: u64) {
    let align = weights::ALIGN;
    line(&format!("    pub const WEIGHTS_BYTES: usize = {bytes};\n"));
    line("    /// Memory for the constants, as aligned as it must be.");
    line(&format!("    #[repr(C, align({align}))]\n    pub struct WeightsMemory(pub [u8; WEIGHTS_BYTES]);\n"));
    line(
        "    /// The constants, decoded; any number of calls may share them.\n    #[derive(Clone, Copy)]\n    pub struct Weights<'a>(&'a [u8]);\n",
    );
    line("    impl<'a> Weights<'a> {");
    line("        /// Decodes all constants.");
    line("        pub fn prepare(memory: &'a mut WeightsMemory) -> Result<Self, Error> {");
    line("            unsafe extern \"C\" {");
    line(&format!("                #[link_name = \"{prefix}_prepare\"]"));
    line("                fn prepare(weights: *mut ::core::ffi::c_void) -> i32;\n            }");
    line("            // SAFETY: the memory is as large and as aligned as the object wants it.");
    line(
        "            Error::check(unsafe { prepare(memory.0.as_mut_ptr().cast()) })?;\n            Ok(Weights(&memory.0))\n        }\n    }\n",
    );
}

/// Methods of the arena that give inputs and outputs in it; their names begin with `of`.
fn in_arena(line: &mut impl FnMut(&str), entry: &Entry, places: &IoPlaces, of: &str) {
    line("\n    /// A call overwrites inputs, and writing an input may overwrite outputs.\n    impl Arena {");
    for (t, at) in entry.signature.inputs.iter().zip(&places.inputs) {
        let ty = array(t);
        line(&format!("        /// Input {}", about(t)));
        line(&format!("        pub fn {of}input_{}(&mut self) -> &mut {ty} {{", t.identifier));
        line(
            "            // SAFETY: the array lies within the arena, which is as aligned as it must be, and any bytes are a value of its type.",
        );
        line(&format!("            unsafe {{ &mut *self.0.as_mut_ptr().add({at}).cast::<{ty}>() }}\n        }}"));
    }
    for (t, at) in entry.signature.outputs.iter().zip(&places.outputs) {
        let ty = array(t);
        line(&format!("        /// Output {}", about(t)));
        line(&format!("        pub fn {of}output_{}(&self) -> &{ty} {{", t.identifier));
        line("            // SAFETY: as above.");
        line(&format!("            unsafe {{ &*self.0.as_ptr().add({at}).cast::<{ty}>() }}\n        }}"));
    }
    line("    }");
}

fn tensor(t: &Tensor) -> String {
    let quantization = match t.quantization() {
        Some((scale, zero_point)) => format!("Some(Quantization {{ scale: {scale:?}, zero_point: {zero_point} }})"),
        None => "None".into(),
    };
    format!("Tensor {{ name: {:?}, shape: &{:?}, bytes: {}, quantization: {quantization} }}", t.name, t.ty.shape, t.ty.size_bytes())
}

fn about(t: &Tensor) -> String {
    let mut out = t.describe();
    if let Some(more) = t.formula() {
        write!(out, " {more}").expect("a string takes everything");
    }
    // Within the quotes of code, where nothing is a link or a tag.
    format!("`{} {}`", printable(&out), printable(&quoted(&t.name)).replace('`', "_"))
}

fn array(t: &Tensor) -> String {
    use ElementType::*;
    let bits = t.ty.element.bits().unwrap_or(8) as usize;
    let (element, count) = match t.ty.element {
        F32 => ("f32", t.ty.element_count()),
        F64 => ("f64", t.ty.element_count()),
        I8 => ("i8", t.ty.element_count()),
        I16 => ("i16", t.ty.element_count()),
        I32 => ("i32", t.ty.element_count()),
        I64 => ("i64", t.ty.element_count()),
        U16 | F16 | BF16 => ("u16", t.ty.element_count()),
        U32 => ("u32", t.ty.element_count()),
        U64 => ("u64", t.ty.element_count()),
        Complex64 => ("f32", 2 * t.ty.element_count()),
        Complex128 => ("f64", 2 * t.ty.element_count()),
        // Bytes: what is smaller is packed.
        _ => ("u8", (t.ty.element_count() * bits).div_ceil(8)),
    };
    format!("[{element}; {count}]")
}

/// One line, for a comment, in which nothing changes the direction of text.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '_' }).collect()
}
