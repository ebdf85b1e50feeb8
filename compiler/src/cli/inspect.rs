//! `inspect`: what a model is and what it needs.

use super::options::{CustomOptions, Opt, TargetOptions, distinct, input_shape};
use super::{Outcome, print, print_json, warn};
use crate::diagnostic::Failure;
use crate::files;
use crate::pipeline::{self, Options};
use crate::report;
use crate::stages::Stages;
use clap::Args;
use cranelite_graph::import::InputKey;
use std::path::PathBuf;

/// Shows inputs, outputs, operators, parameters, multiply-accumulates and the memory plan of a model
#[derive(Args)]
pub struct InspectArgs {
    /// The .tflite file
    model: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    /// Shape of an input instead of the model's; may be repeated
    #[arg(long = "input-shape", value_name = "NAME=1,96,96,3", value_parser = input_shape)]
    input_shapes: Vec<(InputKey, Vec<usize>)>,
    #[command(flatten)]
    custom: CustomOptions,
    /// What to prefer where speed costs memory or code
    #[arg(long, value_enum, default_value_t)]
    opt: Opt,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn inspect(args: InspectArgs) -> Outcome {
    let targets = args.target.or_baseline()?;
    let model = files::read(&args.model)?;
    let options = Options {
        input_shapes: distinct(args.input_shapes)?,
        custom: args.custom.functions()?,
        goal: args.opt.into(),
        no_cpu_check: args.target.no_cpu_check,
        ..Options::named_after(&args.model)
    };
    let compiled = pipeline::compile(&model, &targets, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
    warn(&args.model, &compiled.left_out);
    if args.json {
        print_json(&report::json(&compiled));
    } else {
        print(&report::text(&compiled));
    }
    Ok(())
}
