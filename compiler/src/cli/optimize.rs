//! `optimize`: a smaller model out of a model, and what that costs.

use super::{Outcome, print, print_json};
use crate::diagnostic::{Failure, shown};
use crate::files::{self, Files};
use crate::optimize::prune::Pruning;
use crate::optimize::{self, Options, Per};
use crate::report::grouped;
use clap::Args;
use std::path::PathBuf;

/// Makes the weights of a model sparser or smaller, and says what that changes
///
/// Weights are constants of the operators that multiply by them: convolutions, FULLY_CONNECTED, BATCH_MATMUL, recurrent operators and lookups of
/// embeddings. The smallest become zero (--prune), which of several types of zero means the zero point. All else in the file stays as it is. A file does not
/// get smaller by zeros, but compresses; the compiler finds zeros by itself, wherever they come from. There is no training: the error on data shows
/// whether a model stands it.
#[derive(Args)]
pub struct OptimizeArgs {
    /// The model, a .tflite file
    model: PathBuf,
    /// The .tflite file that is written
    #[arg(short, long, value_name = "FILE.tflite")]
    output: PathBuf,
    /// Set the smallest weights to zero: a share of each tensor (0.75), or all but N of every M consecutive input channels (2:4); a last group that is shorter
    /// keeps N, too. Depthwise convolutions, which have few weights, are pruned by a share only, and if --only names them
    #[arg(long, value_name = "SHARE|N:M", value_parser = pruning)]
    prune: Option<Pruning>,
    /// What a share is of
    #[arg(long, value_enum, default_value_t = Per::Tensor, value_name = "WHAT")]
    per: Per,
    /// Change these weights alone: a tensor's name, an operator's number, or its name such as CONV_2D; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave these weights alone; may be repeated
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn command(args: OptimizeArgs) -> Outcome {
    if args.prune.is_none() {
        return Err(Failure::Usage("there is nothing to do: give --prune".into()));
    }
    let options = Options { prune: args.prune, per: args.per, only: args.only, skip: args.skip };
    let model = files::read(&args.model)?;
    let optimized = optimize::optimize(&model, &options).map_err(Failure::in_file(&args.model))?;
    let mut files = Files::default();
    files.keep(&args.model);
    files.add(args.output.clone(), optimized.model.as_slice());
    files.write()?;
    match args.json {
        true => print_json(&optimized.to_json()),
        false => {
            let size = |n: usize| grouped(n as u64);
            let sizes = format!("{} bytes, before {}", size(optimized.model.len()), size(optimized.bytes_before));
            print(&format!("{}{}: {sizes}\n", optimized.text(), shown(&args.output)));
        }
    }
    Ok(())
}

/// `0.75` or `2:4`.
fn pruning(text: &str) -> Result<Pruning, String> {
    /// Groups of more are shares.
    const MOST: usize = 256;
    if let Some((keep, of)) = text.split_once(':') {
        return match (keep.parse(), of.parse()) {
            (Ok(keep), Ok(of)) if 0 < keep && keep < of && of <= MOST => Ok(Pruning::Groups { keep, of }),
            _ => Err(format!("N:M keeps N of M weights: 0 < N < M, and M is {MOST} at most, as in 2:4")),
        };
    }
    let is_share = |share: &f64| 0.0 < *share && *share < 1.0;
    text.parse()
        .ok()
        .filter(is_share)
        .map(Pruning::Share)
        .ok_or_else(|| "a share is between 0 and 1, as 0.75; groups are N:M, as 2:4".into())
}
