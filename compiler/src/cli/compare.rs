//! `compare`: which operator of a quantised model loses the numbers.

use super::steps::Steps;
use super::{Outcome, print, print_json};
use crate::array::Array;
use crate::compare::{Compared, Source, compare};
use crate::diagnostic::Failure;
use crate::files;
use clap::Args;
use std::path::PathBuf;

/// Compares a quantised model with the float model that it was made from, operator by operator
///
/// Each --input ... --next-step is a sample, in the float model's types. An operator's own error is that of the operator run by itself, on what the float
/// model computed before it; its error in the model has those of all before it in it. Errors are relative to the float model's numbers, channel by
/// channel: 100 % means that nothing is left of them.
#[derive(Args)]
pub struct CompareArgs {
    /// The float model, a .tflite file
    float: PathBuf,
    /// The quantised model, a .tflite file
    quantised: PathBuf,
    #[command(flatten)]
    samples: Steps,
    /// Print so many operators
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
    /// Print one JSON object, with all operators
    #[arg(long)]
    pub json: bool,
}

pub fn command(args: CompareArgs) -> Outcome {
    if args.samples.0.iter().any(|s| s.signature.is_some()) {
        return Err(Failure::Usage("first subgraphs are compared: there is no --signature".into()));
    }
    let (float, quantised) = (files::read(&args.float)?, files::read(&args.quantised)?);
    let samples: Vec<Vec<Array>> = super::run::read_arrays(&args.samples)?;
    let comparison = compare(
        Source { file: &args.float, model: &float },
        Source { file: &args.quantised, model: &quantised },
        &samples,
        Compared::Quantised,
    )?;
    match args.json {
        true => print_json(&comparison.to_json()),
        false => print(&comparison.text(args.most)),
    }
    Ok(())
}
