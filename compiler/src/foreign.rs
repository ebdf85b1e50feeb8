//! Runs a compiled model as a program: linked with a C compiler, executed by itself or by an emulator such as qemu-user.
//!
//! The idea: the program is a C main that reads raw inputs and writes raw outputs, and knows the model from its header alone, as any
//! user's program does.

use crate::array::Array;
use crate::files::{self, Files};
use crate::pipeline::Compiled;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::tensor::ElementType;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// How to link and how to run: a program and its first arguments.
pub struct Tools {
    /// One word at least.
    pub linker: Vec<String>,
    /// Empty when the machine can run the program itself.
    pub runner: Vec<String>,
}

/// Outputs of each step, in one process.
pub fn run(compiled: &Compiled, tools: &Tools, steps: &[Vec<Array>]) -> Result<Vec<Vec<Array>>, Diagnostic> {
    let folder = tempfile::tempdir().map_err(|e| Diagnostic::new(Code::FILE_ACCESS, format!("cannot create a folder: {e}")))?;
    let path = |name: &str| folder.path().join(name);
    let mut files = Files::default();
    let model = if compiled.targets()[0].is_c() { "model.c" } else { "model.o" };
    files.add(path(model), compiled.object.bytes.as_slice());
    files.add(path("model.h"), compiled.header.as_str());
    if compiled.prefix != "model" {
        // What a file in C includes.
        files.add(path(&format!("{}.h", compiled.prefix)), compiled.header.as_str());
    }
    files.add(path("main.c"), main_c(compiled));
    for (k, step) in steps.iter().enumerate() {
        for (i, array) in step.iter().enumerate() {
            files.add(path(&format!("in{k}.{i}")), array.data.as_slice());
        }
    }
    files.write()?;
    let mut link = command(&tools.linker, folder.path());
    execute(link.args(["-O1", "main.c", model, "-o", "main"]), "--linker")?;
    let words: Vec<OsString> = tools.runner.iter().map(OsString::from).chain([path("main").into()]).collect();
    execute(command(&words, folder.path()).arg(steps.len().to_string()), "--runner")?;
    let outputs = &compiled.main().signature.outputs;
    let output = |k: usize, i: usize| {
        let mut array = Array::zeros(&outputs[i].ty);
        array.data = files::read(&path(&format!("out{k}.{i}")))?;
        Ok(array)
    };
    (0..steps.len()).map(|k| (0..outputs.len()).map(|i| output(k, i)).collect()).collect()
}

/// Of one word at least.
fn command<W: AsRef<OsStr>>(words: &[W], folder: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(folder);
    command
}

fn execute(command: &mut Command, option: &str) -> Result<(), Diagnostic> {
    let what = match command.output() {
        Ok(out) if out.status.success() => return Ok(()),
        Ok(out) => format!("ends with {}:\n{}", out.status, String::from_utf8_lossy(&out.stderr).trim_end()),
        Err(e) => format!("does not start: {e}"),
    };
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    Err(Diagnostic::new(Code::TOOL, format!("`{}` {what}", words.join(" "))).help(format!("the command is what {option} gave")))
}

/// How many bytes have an order of their own: those of a number, or of each part of a complex one.
fn order_bytes(element: ElementType) -> usize {
    match element {
        ElementType::Complex64 => 4,
        ElementType::Complex128 => 8,
        ElementType::I2 | ElementType::I4 | ElementType::U4 => 1,
        element => element.bytes().unwrap_or(1),
    }
}

fn main_c(compiled: &Compiled) -> String {
    let prefix = &compiled.prefix;
    let upper = prefix.to_ascii_uppercase();
    let calls = |function: &str, kind: &str, structure: &str, tensors: &[crate::signature::Tensor]| -> String {
        let call = |(i, t): (usize, &crate::signature::Tensor)| {
            let width = order_bytes(t.ty.element);
            format!("        {function}(\"{kind}\", k, {i}, (void *){structure}.{}, {}, {width});\n", t.identifier, t.ty.size_bytes())
        };
        tensors.iter().enumerate().map(call).collect()
    };
    let allocate = |structure: &str, tensors: &[crate::signature::Tensor]| -> String {
        tensors.iter().map(|t| format!("    {structure}.{} = memory({});\n", t.identifier, t.ty.size_bytes())).collect()
    };
    let needs = |t: &Target| format!("{} needs {}", t.level, t.beyond_baseline().join(" "));
    let lacks = format!("the CPU lacks a feature; {}", compiled.targets().iter().map(needs).collect::<Vec<_>>().join("; "));
    let (inputs, outputs) = (&compiled.main().signature.inputs, &compiled.main().signature.outputs);
    let (mut state, mut reset, mut passed) = (String::new(), String::new(), String::new());
    if 0 < compiled.object.state_bytes {
        state = format!("    char *state = memory({upper}_STATE_BYTES + {upper}_STATE_ALIGN);\n");
        reset = format!(
            "    state += ({upper}_STATE_ALIGN - (size_t)state % {upper}_STATE_ALIGN) % {upper}_STATE_ALIGN;\n    if ({prefix}_reset(state)) return 8;\n"
        );
        passed = ", state".into();
    }
    if 0 < compiled.object.prepared_bytes {
        state += &format!("    char *weights = memory({upper}_WEIGHTS_BYTES + {upper}_WEIGHTS_ALIGN);\n");
        reset += &format!(
            "    weights += ({upper}_WEIGHTS_ALIGN - (size_t)weights % {upper}_WEIGHTS_ALIGN) % {upper}_WEIGHTS_ALIGN;\n    \
             if ({prefix}_prepare(weights) || {prefix}_check_weights(weights)) return 9;\n"
        );
        passed += ", weights";
    }
    format!(
        r#"#include "model.h"
#include <stdio.h>
#include <stdlib.h>

static void *memory(size_t bytes)
{{
    void *p = malloc(bytes + 1);
    if (!p) exit(3);
    return p;
}}

static FILE *file(const char *kind, int step, int index, const char *mode)
{{
    char name[64];
    FILE *f;
    sprintf(name, "%s%d.%d", kind, step, index);
    f = fopen(name, mode);
    if (!f) exit(4);
    return f;
}}

/* Numbers of `width` bytes in files have the lowest byte first. */
static void order(unsigned char *data, size_t bytes, size_t width)
{{
    const int one = 1;
    size_t i, k;
    if (*(const char *)&one == 1) return;
    for (i = 0; i + width <= bytes; i += width) {{
        for (k = 0; k < width / 2; k++) {{
            unsigned char byte = data[i + k];
            data[i + k] = data[i + width - 1 - k];
            data[i + width - 1 - k] = byte;
        }}
    }}
}}

static void get(const char *kind, int step, int index, void *data, size_t bytes, size_t width)
{{
    FILE *f = file(kind, step, index, "rb");
    if (fread(data, 1, bytes, f) != bytes) exit(5);
    fclose(f);
    order(data, bytes, width);
}}

static void put(const char *kind, int step, int index, void *data, size_t bytes, size_t width)
{{
    FILE *f = file(kind, step, index, "wb");
    order(data, bytes, width);
    if (fwrite(data, 1, bytes, f) != bytes || fclose(f)) exit(6);
}}

int main(int argc, char **argv)
{{
    {prefix}_inputs in = {{0}};
    {prefix}_outputs out = {{0}};
    char *arena = memory({upper}_ARENA_BYTES + {upper}_ARENA_ALIGN);
{state}    int k, steps = argc < 2 ? 0 : atoi(argv[1]);
    (void)get, (void)put;
{reset}    arena += ({upper}_ARENA_ALIGN - (size_t)arena % {upper}_ARENA_ALIGN) % {upper}_ARENA_ALIGN;
{}{}    for (k = 0; k < steps; k++) {{
        int status;
{}        status = (int){prefix}_invoke(&in, &out, arena{passed});
        if (status) return fprintf(stderr, "status %d%s\n", status, status == 4 ? ": {lacks}" : ""), 7;
{}    }}
    return 0;
}}
"#,
        allocate("in", inputs),
        allocate("out", outputs),
        calls("get", "in", "in", inputs),
        calls("put", "out", "out", outputs),
    )
}
