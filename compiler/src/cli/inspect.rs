//! `inspect`: what a model is and what it needs.

use super::options::{ModelOptions, PreferenceOptions, TargetOptions};
use super::{Outcome, print, print_json, warn};
use crate::diagnostic::Failure;
use crate::metadata;
use crate::pipeline::{self, Options};
use crate::report;
use crate::stages::Stages;
use clap::Args;
use std::path::PathBuf;

/// Shows inputs, outputs, operators, parameters, multiply-accumulates and the memory plan of a model
#[derive(Args)]
pub struct InspectArgs {
    /// The model: a .tflite file, or one of Keras, TensorFlow or PyTorch, which is converted first
    model: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    about: ModelOptions,
    #[command(flatten)]
    prefer: PreferenceOptions,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn inspect(args: InspectArgs) -> Outcome {
    let targets = args.target.or_baseline()?;
    let (source, options) = args.about.open(&args.model, None)?;
    let options = Options { compress: args.prefer.compress, prefer: args.prefer.into(), no_cpu_check: args.target.no_cpu_check, ..options };
    let compiled = pipeline::compile(&source.model, &targets, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
    warn(&args.model, &compiled.left_out);
    if args.json {
        let mut facts = report::json(&compiled);
        facts["metadata"] = metadata::json(&source.model);
        print_json(&facts);
    } else {
        print(&(metadata::text(&source.model) + &report::text(&compiled)));
    }
    Ok(())
}
