//! `check`: all problems of models at once, without writing anything.

use super::options::{CustomOptions, TargetOptions, distinct, input_shape};
use super::{Outcome, print, print_json, warn};
use crate::diagnostic::{Failure, Problem, shown};
use crate::files;
use crate::pipeline::{self, Options};
use crate::stages::Stages;
use clap::Args;
use cranelite_graph::import::InputKey;
use serde_json::json;
use std::path::PathBuf;

/// Lists every problem of models, with operator, tensor, reason and way out
#[derive(Args)]
pub struct CheckArgs {
    /// The .tflite files
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetOptions,
    /// Shape of an input instead of the model's; may be repeated
    #[arg(long = "input-shape", value_name = "NAME=1,96,96,3", value_parser = input_shape)]
    input_shapes: Vec<(InputKey, Vec<usize>)>,
    #[command(flatten)]
    custom: CustomOptions,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn check(args: CheckArgs) -> Outcome {
    let targets = args.target.or_baseline()?;
    let options = Options {
        input_shapes: distinct(args.input_shapes)?,
        custom: args.custom.functions()?,
        no_cpu_check: args.target.no_cpu_check,
        ..Options::default()
    };
    let (mut problems, mut left_out) = (vec![], vec![]);
    for file in &args.models {
        let model = files::read(file).map_err(|d| vec![d]);
        match model.and_then(|model| pipeline::compile(&model, &targets, &options, &mut Stages::none())) {
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
