//! `check`: all problems of models at once, without writing anything.

use super::options::{ModelOptions, TargetOptions};
use super::{Outcome, print, print_json, warn};
use crate::diagnostic::{Failure, Problem, shown};
use crate::files;
use crate::pipeline::{self, Options};
use crate::stages::Stages;
use clap::Args;
use cranelite_codegen::targets::Target;
use serde_json::json;
use std::path::PathBuf;

/// Lists every problem of models, with operator, tensor, reason and way out
#[derive(Args)]
pub struct CheckArgs {
    /// The .tflite files
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
    /// How models are compiled, and for what.
    pub fn options(self) -> Result<(Vec<Target>, Options), Failure> {
        let targets = self.target.or_baseline()?;
        Ok((targets, Options { import: self.about.read()?, no_cpu_check: self.target.no_cpu_check, ..Options::default() }))
    }
}

pub fn check(mut args: CheckArgs) -> Outcome {
    let (models, is_json) = (std::mem::take(&mut args.models), args.json);
    let (targets, options) = args.options()?;
    let (mut problems, mut left_out) = (vec![], vec![]);
    for file in &models {
        let model = files::read(file).map_err(|d| vec![d]);
        match model.and_then(|model| pipeline::compile(&model, &targets, &options, &mut Stages::none())) {
            Ok(compiled) => {
                warn(file, &compiled.left_out);
                left_out.extend(compiled.left_out.iter().map(|what| json!({ "file": file.to_string_lossy(), "message": what })));
                if !is_json {
                    print(&format!("{}: no problems\n", shown(file)));
                }
            }
            Err(list) => problems.extend(list.into_iter().map(|diagnostic| Problem { file: Some(file.clone()), diagnostic })),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Problems(problems));
    }
    if is_json {
        print_json(&json!({ "diagnostics": [], "left_out": left_out }));
    }
    Ok(())
}
