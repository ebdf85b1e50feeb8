//! Models whose tensors and files have odd names, through compilers of C, C++ and Rust: nothing collides, whatever is used by name is there.

use super::failed;
use anyhow::{Result, anyhow, ensure};
use cranelite::bindings;
use cranelite::files::Files;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::maker::{Code, Maker};
use cranelite_tests::tools::{WARNINGS, X86, exists, is_required, output};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// File names, and what tensors are called there.
const ODD: [&str; 48] = [
    "cranelite",
    "cranelite_model",
    "CRANELITE_OK",
    "in",
    "out",
    "IN",
    "ARENA",
    "arena",
    "ARENA_BYTES",
    "x",
    "X",
    "x_1",
    "x_COUNT",
    "COUNT",
    "3d",
    "0",
    "",
    " ",
    "_",
    "__",
    "a__b",
    "日本語",
    "für",
    "\u{202e}txt",
    "a\nb",
    "*/ x /*",
    "??/",
    "\\",
    "\"",
    "int",
    "Class",
    "self",
    "Self",
    "type",
    "crate",
    "core",
    "std",
    "fn",
    "int8_t",
    "float",
    "errno",
    "stdin",
    "complex",
    "min",
    "none",
    "model_inputs",
    "inputs",
    "invoke",
];

pub fn trials() -> Vec<Trial> {
    let is_ignored = !["gcc", "g++", "rustc"].iter().all(|t| exists(t)) && !is_required();
    vec![Trial::test("names", || names().map_err(failed)).with_ignored_flag(is_ignored)]
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    /// An odd name, or one of random characters of a kind that names like to have, sometimes very long.
    fn name(&mut self) -> String {
        if self.below(3) != 0 {
            return ODD[self.below(ODD.len())].into();
        }
        let length = if self.below(4) == 0 { 300 } else { self.below(6) };
        (0..length).map(|_| ['a', 'B', '_', '/', ':', '7', 'é', ' ', '*', ';'][self.below(10)]).collect()
    }
}

/// Up to nine inputs, and as many outputs.
fn compiled(file: &str, random: &mut Random) -> Result<Compiled> {
    let mut m = Maker::default();
    let (mut inputs, mut outputs) = (vec![], vec![]);
    for _ in 0..1 + random.below(9) {
        let (x, y) = (m.f32(&random.name(), &[1, 2], None), m.f32(&random.name(), &[1, 2], None));
        m.operator(Code::RELU, &[x], &[y], None);
        inputs.push(x);
        outputs.push(y);
    }
    let made = Options::named_after(Path::new(&format!("{}.tflite", file.replace('/', "_"))));
    let options = Options { self_test: true, threads: 2, profile: true, ..made };
    let targets = [Target::new(X86, None)?];
    pipeline::compile(&m.finish(&inputs, &outputs), &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// A function that uses every name of a header.
fn user(c: &Compiled) -> Result<String> {
    let (prefix, upper) = (&c.prefix, c.prefix.to_uppercase());
    let mut out = format!("int use_{prefix}(const {prefix}_inputs *in, const {prefix}_outputs *out, void *arena);\n");
    writeln!(out, "int use_{prefix}(const {prefix}_inputs *in, const {prefix}_outputs *out, void *arena) {{\n    float sum = 0;")?;
    for (kind, tensors) in [("in", &c.signature.inputs), ("out", &c.signature.outputs)] {
        for t in tensors {
            let id = &t.identifier;
            writeln!(out, "    sum += {kind}->{id}[{upper}_{}_{}_COUNT - 1];", kind.to_uppercase(), id.to_uppercase())?;
        }
    }
    writeln!(out, "    return {prefix}_invoke(in, out, arena) + (int)sum + ({prefix}_model.abi_version == {upper}_ARENA_ALIGN);\n}}")?;
    Ok(out)
}

fn names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut random, mut files) = (folder.path(), Random(11), Files::default());
    let (mut source, mut modules, mut prefixes) = (String::new(), String::new(), BTreeSet::new());
    writeln!(
        source,
        "#include <assert.h>\n#include <errno.h>\n#include <math.h>\n#include <stdio.h>\n#include <signal.h>\n#include <sys/param.h>"
    )?;
    // Every odd name is a file's once, and random ones.
    for i in 0..ODD.len() + 12 {
        let file = ODD.get(i).map_or_else(|| random.name(), |name| name.to_string());
        let c = compiled(&file, &mut random)?;
        if !prefixes.insert(c.prefix.to_uppercase()) {
            continue;
        }
        files.add(folder.join(format!("{i}.h")), c.header.clone());
        files.add(folder.join(format!("{i}.rs")), bindings::write(&c, &file));
        writeln!(source, "#include \"{i}.h\"\n{}", user(&c)?)?;
        writeln!(modules, "include!(\"{i}.rs\");")?;
    }
    ensure!(20 < prefixes.len(), "{prefixes:?}");
    files.add(folder.join("all.c"), source);
    files.add(folder.join("all.rs"), modules);
    files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
    files.write()?;
    for (compiler, options) in
        [("gcc", ["-std=c99", "-xc"]), ("gcc", ["-std=c2x", "-xc"]), ("g++", ["-std=c++20", "-xc++"]), ("clang", ["-std=c11", "-xc"])]
    {
        if exists(compiler) || is_required() {
            output(Command::new(compiler).current_dir(folder).args(WARNINGS).args(options).args(["-fsyntax-only", "all.c"]))?;
        }
    }
    let rustc = |arguments: &[&str]| {
        let library = ["--edition=2024", "--crate-type=rlib", "--emit=metadata", "-Dwarnings"];
        output(Command::new("rustc").current_dir(folder).args(library).args(arguments))
    };
    rustc(&["--crate-name=cranelite_runtime", "runtime.rs"])?;
    rustc(&["--extern=cranelite_runtime=libcranelite_runtime.rmeta", "all.rs"])?;
    Ok(())
}
