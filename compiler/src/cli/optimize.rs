//! `optimize`: a smaller model out of a model, and what that costs.

use super::convert::MOST_OPERATORS;
use super::{Outcome, print, print_json};
use crate::compare::{Compared, Comparison, Source, compare};
use crate::diagnostic::{Failure, shown};
use crate::files::{self, Files};
use crate::npz;
use crate::optimize::prune::Pruning;
use crate::optimize::{self, Optimized, Options, Per};
use crate::pipeline;
use crate::report::grouped;
use crate::stages::Stages;
use clap::{Args, ValueEnum};
use cranelite_graph::tensor::ElementType;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Makes the weights of a model sparser or smaller, and says what that changes
///
/// Weights are constants of the operators that multiply by them: convolutions, FULLY_CONNECTED, BATCH_MATMUL, recurrent operators and lookups of
/// embeddings. The smallest become zero (--prune), which for integers
/// is their zero point; what is left takes few values (--palette). All else in the file stays as it is. A file does not
/// get smaller by zeros, but compresses; the compiler finds zeros by itself, wherever they come from. There is no training: the error on data shows
/// whether a model stands it.
#[derive(Args)]
pub struct OptimizeArgs {
    /// The .tflite file that is written
    #[arg(short, long, value_name = "FILE.tflite")]
    output: PathBuf,
    #[command(flatten)]
    what: Optimization,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is optimised, and how.
#[derive(Args)]
pub struct Optimization {
    /// The model, a .tflite file
    model: PathBuf,
    /// Set the smallest weights to zero: a share of each tensor (0.75), or all but N of every M consecutive input channels (2:4); a last group that is shorter
    /// keeps N, too. Depthwise convolutions, which have few weights, are pruned by a share only, and if --only names them
    #[arg(long, value_name = "SHARE|N:M", value_parser = pruning)]
    prune: Option<Pruning>,
    /// Leave so few values that an index into them has BITS bits: the best ones by k-means. Those of quantised weights are integers of the same scale;
    /// zeros stay zeros
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..=7))]
    palette: Option<u32>,
    /// Store weights of floats as integers, each output channel with a scale: FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D then quantise their inputs at run time,
    /// all others get weights from a DEQUANTIZE. With int4 also those of int8 models, whose biases follow. Tensors of fewer than 1024 weights stay, unless --only
    /// names them
    #[arg(long, value_name = "TYPE", value_enum)]
    weights: Option<WeightType>,
    /// What a share and a palette are of
    #[arg(long, value_enum, default_value_t = Per::Tensor, value_name = "WHAT")]
    per: Per,
    /// Change these weights alone: a tensor's name, an operator's number, or its name such as CONV_2D; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave these weights alone; may be repeated
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Show the error on these samples, operator by operator: an .npz file with an array for each input (by its name, or arr_0, arr_1, ...; samples along the
    /// first axis)
    #[arg(long, value_name = "FILE.npz")]
    calibrate: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum WeightType {
    Int8,
    Int4,
}

impl Optimization {
    /// The smaller model, and its error on samples where there are some; `given`: what is in the model's file, where that is known.
    pub fn run(&self, given: Option<Vec<u8>>) -> Result<(Optimized, Option<Comparison>), Failure> {
        if self.prune.is_none() && self.palette.is_none() && self.weights.is_none() {
            return Err(Failure::Usage("there is nothing to do: give --prune, --palette or --weights".into()));
        }
        let weights = self.weights.map(|t| match t {
            WeightType::Int8 => ElementType::I8,
            WeightType::Int4 => ElementType::I4,
        });
        let (only, skip) = (self.only.clone(), self.skip.clone());
        let options = Options { prune: self.prune, palette: self.palette, weights, per: self.per, only, skip };
        let model = given.map_or_else(|| files::read(&self.model), Ok)?;
        let optimized = optimize::optimize(&model, &options).map_err(Failure::in_file(&self.model))?;
        let comparison = self.calibrate.as_deref().map(|samples| self.error(&model, &optimized, samples)).transpose()?;
        Ok((optimized, comparison))
    }

    /// The optimised model beside the one that it was made from, on samples of its inputs.
    fn error(&self, model: &[u8], optimized: &Optimized, samples: &Path) -> Result<Comparison, Failure> {
        let module = pipeline::read(model, &pipeline::Options::named_after(&self.model), &mut Stages::none());
        let inputs = &module.map_err(Failure::in_file(&self.model))?.models[0].signature.inputs;
        let samples = npz::samples(samples, &files::read(samples)?, inputs)?;
        let of = |file, model| Source { file, model };
        compare(of(&self.model, model), of(Path::new("the optimised model"), &optimized.model), &samples, Compared::Optimised)
    }
}

/// What is told of it.
pub fn json(optimized: &Optimized, comparison: Option<&Comparison>) -> Value {
    let mut told = optimized.to_json();
    told["comparison"] = comparison.map_or(Value::Null, Comparison::to_json);
    told
}

pub fn text(optimized: &Optimized, comparison: Option<&Comparison>) -> String {
    optimized.text() + &comparison.map(|c| c.text(MOST_OPERATORS)).unwrap_or_default()
}

pub fn command(args: OptimizeArgs) -> Outcome {
    let (optimized, comparison) = args.what.run(None)?;
    let mut files = Files::default();
    files.keep(&args.what.model);
    args.what.calibrate.iter().for_each(|samples| files.keep(samples));
    files.add(args.output.clone(), optimized.model.as_slice());
    files.write()?;
    if args.json {
        print_json(&json(&optimized, comparison.as_ref()));
    } else {
        let [after, before] = [optimized.model.len(), optimized.bytes_before].map(|n| grouped(n as u64));
        let told = text(&optimized, comparison.as_ref());
        print(&format!("{told}{}: {after} bytes, before {before} bytes\n", shown(&args.output)));
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
