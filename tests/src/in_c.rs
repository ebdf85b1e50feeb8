//! Programs as C, compiled for this machine: objects like any other.

use crate::tools::STRICT;
use cranelite_codegen::object::{Entry, Level, Object, Options, model};
use cranelite_codegen::{Target, c99};
use cranelite_tile::Program;
use std::fs;
use std::process::Command;

/// The loader knows neither tables of addresses nor functions of others, which loops would become; and random kernels compare what is the same.
const FOR_LOADER: [&str; 5] =
    ["-Wno-tautological-compare", "-fPIC", "-fno-asynchronous-unwind-tables", "-fno-builtin", "-fno-stack-protector"];

/// `compiler`: a program and its options.
pub fn object(program: &Program, options: &Options, compiler: &[&str]) -> Result<Object, String> {
    let target = Target::new("c99", None).map_err(|e| e.to_string())?;
    let entry = Entry {
        prefix: options.prefix.clone(),
        inputs: options.inputs.clone(),
        outputs: options.outputs.clone(),
        levels: vec![Level { program, target: &target }],
        ..Entry::default()
    };
    let mut object = c99::emit(&[entry], options, "test.h").map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).map_err(|e| e.to_string());
    write("test.h", header(options, !program.state().is_none_or(|s| s.initial.is_empty()), options.prepared.is_some()).as_bytes())?;
    write("test.c", &object.bytes)?;
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(STRICT).arg("-c").args(FOR_LOADER).args(["test.c", "-o", "test.o"]).current_dir(folder.path());
    let done = command.output().map_err(|e| format!("{}: {e}", compiler[0]))?;
    if !done.status.success() {
        return Err(format!("{}\n{}", String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&object.bytes)));
    }
    object.bytes = fs::read(folder.path().join("test.o")).map_err(|e| e.to_string())?;
    Ok(object)
}

/// The part of a model's header that its file in C needs.
fn header(options: &Options, has_state: bool, has_prepared: bool) -> String {
    let prefix = &options.prefix;
    let structure = |name: &str, constant: &str, tensors: &[model::Tensor]| {
        let members: String = tensors.iter().map(|t| format!("    {constant}void *{};\n", t.identifier)).collect();
        let members = if members.is_empty() { "    const void *none;\n".into() } else { members };
        format!("typedef struct {{\n{members}}} {prefix}_{name};\n")
    };
    let state = if has_state { ", void *state" } else { "" };
    let reset = if has_state { format!("cranelite_status {prefix}_reset(void *state);\n") } else { String::new() };
    let (weights, prepare) = match has_prepared {
        true => (
            ", const void *weights",
            format!(
                "cranelite_status {prefix}_prepare(void *weights);\ncranelite_status {prefix}_check_weights(const void *weights);\n\
                 enum {{ CRANELITE_WRONG_WEIGHTS = 5 }};\n"
            ),
        ),
        false => ("", String::new()),
    };
    format!(
        "#include <stddef.h>\n#include <stdint.h>\ntypedef int32_t cranelite_status;\n\
         enum {{ CRANELITE_OK, CRANELITE_NULL_POINTER, CRANELITE_MISALIGNED_ARENA, CRANELITE_INDEX_OUT_OF_RANGE }};\n\
         {}{}{}{reset}{prepare}cranelite_status {prefix}_invoke(const {prefix}_inputs *in, const {prefix}_outputs *out, void *arena{state}{weights});\n\
         extern const cranelite_model {prefix}_model;\n",
        model::C_DECLARATIONS,
        structure("inputs", "const ", &options.inputs),
        structure("outputs", "", &options.outputs),
    )
}
