//! `check`: all problems of models at once, without writing anything.

use super::options::{ModelOptions, TargetOptions};
use super::{Outcome, print, print_json, warn};
use crate::convert::Source;
use crate::diagnostic::{Failure, Problem, shown};
use crate::pipeline::{self, Options};
use crate::stages::Stages;
use clap::Args;
use cranelite_codegen::targets::Target;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Lists every problem of models, with operator, tensor, reason and way out
#[derive(Args)]
pub struct CheckArgs {
    /// The models: .tflite files, or models of Keras, TensorFlow or PyTorch, which are converted first
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    about: ModelOptions,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl CheckArgs {
    /// A model, converted if it is one of another tool, and how it is compiled; `given`: what is in its file, where that is known.
    pub fn open(&self, file: &Path, given: Option<Vec<u8>>) -> Result<(Source, Options), Failure> {
        let (source, options) = self.about.clone().open(file, given)?;
        Ok((source, Options { no_cpu_check: self.target.no_cpu_check, ..options }))
    }

    pub fn targets(&self) -> Result<Vec<Target>, Failure> {
        self.target.or_baseline()
    }
}

pub fn check(args: CheckArgs) -> Outcome {
    let targets = args.targets()?;
    let (mut problems, mut left_out) = (vec![], vec![]);
    for file in &args.models {
        let (source, options) = match args.open(file, None) {
            Ok(opened) => opened,
            Err(Failure::Problems(list)) => {
                problems.extend(list);
                continue;
            }
            Err(usage) => return Err(usage),
        };
        match pipeline::compile(&source.model, &targets, &options, &mut Stages::none()) {
            Ok(compiled) => {
                warn(file, &compiled.left_out);
                left_out.extend(compiled.left_out.iter().map(|what| json!({ "file": file.to_string_lossy(), "message": what })));
                if !args.json {
                    print(&format!("{}: no problems\n", shown(file)));
                }
            }
            Err(list) => problems.extend(list.into_iter().map(|diagnostic| Problem { file: Some(file.clone()), diagnostic })),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Problems(problems));
    }
    if args.json {
        print_json(&json!({ "diagnostics": [], "left_out": left_out }));
    }
    Ok(())
}
