//! The commands for a program that has the compiler in its process, as the Python package does.
//!
//! The idea: words are options as on the command line, parsed by the same definitions, so an option means the same to both and is written once.
//! What differs is that a model may be bytes, and that nothing is printed.

use super::check::CheckArgs;
use super::compile::{self, CompileArgs, Made};
use super::convert::{self, Conversion};
use super::guarded;
use super::optimize::{self, Optimization};
use super::options::{LibraryOptions, ModelOptions, PreferenceOptions, TargetOptions, threads};
use crate::compare::Comparison;
use crate::convert::Source;
use crate::diagnostic::{Failure, Problem};
use crate::instance::Instance;
use crate::pipeline::{self, Compiled, Options};
use crate::stages::Stages;
use clap::{ArgAction, Args, Command};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An option of a command.
pub struct OptionFacts {
    /// Without dashes.
    pub name: String,
    pub kind: Kind,
    pub help: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Is there or is not.
    Flag,
    /// Has a value.
    Value,
    /// May be there several times.
    Repeated,
    /// Has values with commas between them.
    List,
}

/// A model that is to be called in this process.
#[derive(Args)]
pub struct LoadArgs {
    /// Where the model is from
    pub model: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    about: ModelOptions,
    #[command(flatten)]
    libraries: LibraryOptions,
    #[command(flatten)]
    prefer: PreferenceOptions,
    /// Divide long operators among so many threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads())]
    threads: u32,
    /// Take and give quantised inputs and outputs as floats: quantise on entry and dequantise on exit, as TensorFlow Lite does
    #[arg(long)]
    float_io: bool,
}

/// What a model is compiled for and how, and the libraries with the user's functions.
#[derive(Clone)]
pub struct Loading {
    pub targets: Vec<Target>,
    pub options: Options,
    libraries: LibraryOptions,
}

impl Loading {
    /// With the model's path; `model`: what is in its file.
    pub fn parse(words: Vec<OsString>, model: Vec<u8>) -> Result<(PathBuf, Vec<u8>, Loading), Failure> {
        let LoadArgs { model: path, target, about, libraries, prefer, threads, float_io } = parse("load", words)?;
        let targets = target.or_native()?;
        if targets[0].missing_here().is_none() {
            let message = format!("a model for {} does not run on this machine", targets[0].triple);
            return Err(Diagnostic::new(Code::CPU, message).help("leave the target out: the model is called in this process").into());
        }
        let (source, options) = about.open(&path, Some(model))?;
        let options = Options {
            compress: prefer.compress,
            prefer: prefer.into(),
            no_cpu_check: target.no_cpu_check,
            threads: threads as usize,
            float_io,
            ..options
        };
        Ok((path, source.model, Loading { targets, options, libraries }))
    }

    /// The model, loaded; inputs and outputs are the caller's.
    pub fn load(&self, path: &Path, model: &[u8]) -> Result<(Compiled, Instance), Failure> {
        guarded(|| {
            let compiled = pipeline::compile(model, &self.targets, &self.options, &mut Stages::none()).map_err(Failure::in_file(path))?;
            let instance = Instance::without_arrays(&compiled, self.libraries.open()?)?;
            // Where no level runs here, the first call would say so.
            if compiled.target_here().is_none() {
                crate::instance::check_status(&compiled.targets(), crate::instance::CPU_LACKS_FEATURE)?;
            }
            Ok((compiled, instance))
        })
    }
}

/// `words`: those behind the name of the command, the model's file among them.
pub fn compile(words: Vec<OsString>, model: Vec<u8>) -> Result<Made, Failure> {
    guarded(|| compile::make(parse::<CompileArgs>("compile", words)?, Some(model)))
}

/// The problems of a model, none if it compiles; and what is left out of it then.
pub fn check(words: Vec<OsString>, model: Vec<u8>) -> Result<(Vec<Problem>, Vec<String>), Failure> {
    guarded(|| {
        let mut args: CheckArgs = parse("check", words)?;
        let file = std::mem::take(&mut args.models).into_iter().next();
        let targets = args.targets()?;
        let (source, options) = args.open(file.as_deref().unwrap_or(Path::new("model")), Some(model))?;
        Ok(match pipeline::compile(&source.model, &targets, &options, &mut Stages::none()) {
            Ok(compiled) => (vec![], compiled.left_out),
            Err(list) => (list.into_iter().map(|diagnostic| Problem { file: file.clone(), diagnostic }).collect(), vec![]),
        })
    })
}

/// The .tflite model of a model of another tool; and how far it is from the float model, where it was quantised on samples.
pub fn convert(words: Vec<OsString>) -> Result<(Source, Option<Comparison>), Failure> {
    guarded(|| {
        let source = parse::<Conversion>("convert", words)?.run()?;
        let comparison = convert::comparison(&source)?;
        Ok((source, comparison))
    })
}

/// A model with smaller weights, and what was changed: as text, and as JSON.
pub fn optimize(words: Vec<OsString>, model: Vec<u8>) -> Result<(Vec<u8>, String, Value), Failure> {
    guarded(|| {
        let (optimized, comparison) = parse::<Optimization>("optimize", words)?.run(Some(model))?;
        let (text, json) = (optimize::text(&optimized, comparison.as_ref()), optimize::json(&optimized, comparison.as_ref()));
        Ok((optimized.model, text, json))
    })
}

/// The options of `compile`, `check`, `convert`, `optimize` or `load`, in the order of their help; of another command none.
pub fn options(command: &str) -> Vec<OptionFacts> {
    let nothing = Command::new("cranelite");
    let definitions = match command {
        "compile" => CompileArgs::augment_args(nothing),
        "check" => CheckArgs::augment_args(nothing),
        "convert" => Conversion::augment_args(nothing),
        "optimize" => Optimization::augment_args(nothing),
        "load" => LoadArgs::augment_args(nothing),
        _ => nothing,
    };
    let facts = |a: &clap::Arg| {
        let kind = match a.get_action() {
            ArgAction::SetTrue => Kind::Flag,
            ArgAction::Append if a.get_value_delimiter().is_some() => Kind::List,
            ArgAction::Append => Kind::Repeated,
            _ => Kind::Value,
        };
        Some(OptionFacts { name: a.get_long()?.into(), kind, help: a.get_help().map(ToString::to_string).unwrap_or_default() })
    };
    definitions.get_arguments().filter_map(facts).filter(|o| o.name != "json").collect()
}

fn parse<T: Args>(command: &'static str, words: Vec<OsString>) -> Result<T, Failure> {
    let definition = T::augment_args(Command::new(command).no_binary_name(true).disable_help_flag(true));
    definition.try_get_matches_from(words).and_then(|matches| T::from_arg_matches(&matches)).map_err(|e| {
        // What follows speaks of a terminal.
        let text = e.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default();
        Failure::Usage(message.strip_prefix("error: ").unwrap_or(message).trim_end().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_command_line() {
        let kind = |command: &str, name: &str| options(command).into_iter().find(|o| o.name == name).map(|o| o.kind);
        assert_eq!(kind("compile", "const-section"), Some(Kind::Value));
        assert_eq!(kind("compile", "rust"), Some(Kind::Flag));
        assert_eq!(kind("compile", "emit"), Some(Kind::List));
        assert_eq!(kind("load", "input-shape"), Some(Kind::Repeated));
        assert_eq!((kind("check", "json"), kind("check", "signature")), (None, Some(Kind::Repeated)));
        assert_eq!(
            (kind("optimize", "prune"), kind("optimize", "only"), kind("optimize", "output")),
            (Some(Kind::Value), Some(Kind::Repeated), None)
        );
        assert!(options("targets").is_empty());
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let usage = |list: &[&str]| match Loading::parse(words(list), vec![]) {
            Err(Failure::Usage(message)) => message,
            _ => String::new(),
        };
        assert_eq!(usage(&["--threads=0", "m.tflite"]), "invalid value '0' for '--threads <N>': 0 is not in 1..=256");
        assert!(usage(&["--target=riscv64gc-unknown-none-elf", "m.tflite"]).is_empty());
    }
}
