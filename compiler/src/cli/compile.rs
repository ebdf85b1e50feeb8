//! `compile`: a model becomes an object and a header.

use super::convert;
use super::options::{ModelOptions, ObjectOptions, PreferenceOptions, TargetOptions};
use super::{Outcome, print, print_json, warn};
use crate::bindings;
use crate::cc::Compiler;
use crate::compression::Compress;
use crate::convert::Source;
use crate::diagnostic::{Failure, shown};
use crate::files::Files;
use crate::pipeline::{self, Compiled, Options};
use crate::report::{self, grouped};
use crate::stages::{Stage, Stages};
use clap::Args;
use cranelite_graph::diagnostic::quoted;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Compiles a model to an object and a C header
#[derive(Args)]
pub struct CompileArgs {
    /// The model: a .tflite file, or one of Keras, TensorFlow or PyTorch, which is converted first
    pub model: PathBuf,
    /// Folder for PREFIX.o and PREFIX.h, or a file ending in .o with the header beside it
    #[arg(short, long, value_name = "DIR|FILE.o", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    about: ModelOptions,
    #[command(flatten)]
    prefer: PreferenceOptions,
    #[command(flatten)]
    object: ObjectOptions,
    /// Compile the file in C to PREFIX.o by this command, to which -c PREFIX.c -o PREFIX.o is added; sizes and stack are then known
    #[arg(long, value_name = "COMMAND", value_parser = Compiler::parse)]
    cc: Option<Compiler>,
    /// Write the constants to this file instead of the object: the program brings it into memory and passes its address
    #[arg(long, value_name = "FILE", conflicts_with = "const_section")]
    weights: Option<PathBuf>,
    /// Also write PREFIX.rs, a module for Rust programs; the crate cranelite-runtime has what it uses
    #[arg(long)]
    rust: bool,
    /// Also write the texts of these stages beside the object
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STAGE,...")]
    emit: Vec<Stage>,
    /// Write the texts of all stages into a folder, numbered
    #[arg(long, value_name = "DIR")]
    emit_all: Option<PathBuf>,
    /// Describe the frames of functions in .eh_frame, so that profilers and debuggers see through them; for ELF
    #[arg(long)]
    unwind: bool,
    /// Also write the .tflite model that a model of another tool was converted to
    #[arg(long, value_name = "FILE.tflite")]
    keep_tflite: Option<PathBuf>,
    /// Print what was made, or the problems, as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn compile(args: CompileArgs) -> Outcome {
    let (is_json, is_baseline, path) = (args.json, args.target.cpu.is_none(), args.model.clone());
    let made = make(args, None)?;
    warn(&path, &made.compiled.left_out);
    let comparison = convert::comparison(&made.source)?;
    made.files.write()?;
    if is_json {
        let mut facts = report::json(&made.compiled);
        facts["object"] = json!(made.object.to_string_lossy());
        facts["header"] = json!(made.header.to_string_lossy());
        facts["prefix"] = json!(made.compiled.prefix);
        if let Some(comparison) = comparison {
            facts["comparison"] = comparison.to_json();
        }
        print_json(&facts);
    } else {
        print(&comparison.map(|c| c.text(convert::MOST_OPERATORS)).unwrap_or_default());
        print(&summary(&made.compiled, &made.object, is_baseline));
    }
    Ok(())
}

/// A compiled model, and files that are to be written.
pub struct Made {
    pub compiled: Compiled,
    pub source: Source,
    pub files: Files,
    /// Where the object and the header go.
    pub object: PathBuf,
    pub header: PathBuf,
}

/// Everything but writing. `model`: what is in the model's file, if it was read.
pub fn make(args: CompileArgs, model: Option<Vec<u8>>) -> Result<Made, Failure> {
    let targets = args.target.or_baseline()?;
    args.object.check(&targets[0])?;
    if args.cc.is_some() && !targets[0].is_c() {
        let message = format!("--cc compiles a file in C, and for {} an object is written: leave it out", targets[0].name());
        return Err(Failure::Usage(message));
    }
    if args.weights.is_some() && args.prefer.compress == Some(Compress::Fastest) {
        let message = "--weights has constants in a file, and --compress constants=fastest in memory that is prepared: give one of them";
        return Err(Failure::Usage(message.into()));
    }
    let (source, options) = args.about.open(&args.model, model)?;
    let options = Options {
        compress: args.prefer.compress,
        prefer: args.prefer.into(),
        weights: args.weights.is_some(),
        no_cpu_check: args.target.no_cpu_check,
        unwind: args.unwind,
        ..args.object.applied(options)
    };
    let prefix = &options.prefix;
    let mut stages = Stages::new(&args.emit, args.emit_all.is_some());
    let mut compiled = pipeline::compile(&source.model, &targets, &options, &mut stages).map_err(Failure::in_file(&args.model))?;
    let built = match &args.cc {
        None => None,
        Some(compiler) => Some(pipeline::build(&mut compiled, compiler, &options).map_err(Failure::from)?),
    };
    let extension = if targets[0].is_c() { "c" } else { "o" };
    let is_file = args.output.extension().is_some_and(|e| e == extension);
    let object = if is_file { args.output } else { args.output.join(format!("{prefix}.{extension}")) };
    let header = object.with_extension("h");
    let mut files = Files::default();
    files.keep(&args.model);
    files.add(object.clone(), compiled.object.bytes.clone());
    files.add(header.clone(), compiled.header.clone());
    if let Some(built) = built {
        files.add(object.with_extension("o"), built);
    }
    if let (Some(path), Some(bytes)) = (&args.weights, &compiled.object.weights) {
        files.add(path.clone(), bytes.clone());
    }
    if let Some(path) = args.keep_tflite {
        if source.converted.is_none() {
            return Err(Failure::Usage(format!("--keep-tflite is for models that are converted, and {} is none", shown(&args.model))));
        }
        files.add(path, source.model.as_slice());
    }
    if args.rust {
        files.add(object.with_extension("rs"), bindings::write(&compiled, &options.made_from));
    }
    for (i, text) in stages.texts.iter().enumerate() {
        let of = text.signature.iter().chain(&text.level).map(String::as_str);
        let extension = of.chain([text.stage.extension()]).collect::<Vec<_>>().join(".");
        if args.emit.contains(&text.stage) {
            files.add(object.with_extension(&extension), text.text.clone());
        }
        if let Some(folder) = &args.emit_all {
            files.add(folder.join(format!("{i:02}-{}.{extension}", text.after)), text.text.clone());
        }
    }
    Ok(Made { compiled, source, files, object, header })
}

fn summary(compiled: &Compiled, object: &Path, is_baseline: bool) -> String {
    let sizes = &compiled.object;
    let baseline = if is_baseline && !compiled.is_c() { " (the target's baseline; --cpu native compiles for this machine)" } else { "" };
    let (triple, levels) = (compiled.triple(), compiled.level_names());
    let mut out = format!("{}: {triple} {levels}{baseline}\n", shown(object));
    out += &format!("arena {} bytes, constants {}", grouped(sizes.arena_bytes), grouped(sizes.const_bytes));
    for (what, bytes) in [("code", compiled.code_bytes()), ("stack", compiled.stack_bytes())] {
        out += &bytes.map_or(String::new(), |bytes| format!(", {what} {}", grouped(bytes)));
    }
    out.push('\n');
    if let Some(c) = &compiled.compressed {
        let why = if c.picked { ", which keeps --max-flash" } else { "" };
        let bytes: u64 = c.groups.iter().map(|g| g.bytes).sum();
        let packed: u64 = c.groups.iter().map(|g| g.packed_bytes).sum();
        out += &match c.groups.is_empty() {
            true => format!("no constant takes enough fewer bytes to be packed (--compress {})\n", c.how.name()),
            false => {
                format!("packed {} bytes of constants in {} bytes (--compress {}{why})\n", grouped(bytes), grouped(packed), c.how.name())
            }
        };
    }
    if 0 < sizes.prepared_bytes {
        out += &format!("prepared {} bytes, once, by {}_prepare\n", grouped(sizes.prepared_bytes), compiled.prefix);
    }
    if 0 < sizes.state_bytes {
        out += &format!("state {} bytes for each instance\n", grouped(sizes.state_bytes));
    }
    for (e, sizes) in compiled.entries.iter().zip(&sizes.entries).filter(|_| 1 < sizes.entries.len()) {
        out += &format!("signature {}: {}_invoke, arena {} bytes\n", quoted(&e.key), e.prefix, grouped(sizes.arena_bytes));
    }
    for (i, level) in sizes.levels.iter().enumerate().filter(|_| 1 < sizes.levels.len()) {
        let [arena, constants, code] = [level.arena_bytes, level.const_bytes, level.code_bytes].map(grouped);
        out += &format!("level {i} {}: arena {arena} bytes, constants {constants} bytes, code {code} bytes\n", level.name);
    }
    out
}
