//! `convert`: a model of another tool becomes a .tflite model.

use super::options::{ConvertOptions, input_shape};
use super::{Outcome, print};
use crate::compare::{self, Compared, Comparison};
use crate::convert::{Quantised, Source};
use crate::diagnostic::{Failure, shown};
use crate::files::Files;
use crate::report::grouped;
use clap::Args;
use cranelite_graph::import::InputKey;
use std::path::{Path, PathBuf};

/// Converts a model of Keras, TensorFlow or PyTorch to a .tflite model
///
/// Its libraries do that, in the Python that CRANELITE_PYTHON names, or else python3. The other commands convert such models by themselves.
#[derive(Args)]
pub struct ConvertArgs {
    /// The .tflite file
    #[arg(short, long, value_name = "FILE.tflite")]
    output: PathBuf,
    #[command(flatten)]
    conversion: Conversion,
    /// Also write the .tflite model before it is quantised
    #[arg(long, value_name = "FILE.tflite", requires = "quantize")]
    keep_float: Option<PathBuf>,
}

/// What is converted, and how.
#[derive(Args)]
pub struct Conversion {
    /// The file (.keras, .h5, a frozen graph .pb, a PyTorch program .pt2), or a SavedModel's folder
    model: PathBuf,
    /// Convert this signature of a SavedModel instead of serving_default
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
    /// Shape of an input with open dimensions, of which the first one is 1 otherwise; may be repeated
    #[arg(long = "input-shape", value_name = "NAME=1,96,96,3", value_parser = input_shape)]
    input_shapes: Vec<(InputKey, Vec<usize>)>,
    #[command(flatten)]
    convert: ConvertOptions,
}

impl Conversion {
    pub fn run(&self) -> Result<Source, Failure> {
        let source = self.convert.read(&self.model, None, &self.input_shapes, self.signature.as_slice())?;
        if source.converted.is_none() {
            let message = format!("{} is no model that is converted; `cranelite help convert` says which are", shown(&self.model));
            return Err(Failure::Usage(message));
        }
        Ok(source)
    }
}

pub fn convert(args: ConvertArgs) -> Outcome {
    let source = args.conversion.run()?;
    let comparison = comparison(&source)?.map(|c| c.text(MOST_OPERATORS)).unwrap_or_default();
    let mut files = Files::default();
    files.keep(&args.conversion.model);
    files.add(args.output.clone(), source.model.as_slice());
    let quantised = source.converted.as_ref().and_then(|c| c.quantised.as_ref());
    if let (Some(path), Some(quantised)) = (args.keep_float, quantised) {
        files.add(path, quantised.reference.as_slice());
    }
    files.write()?;
    print(&format!("{}: {} bytes\n{}", shown(&args.output), grouped(source.model.len() as u64), comparison));
    Ok(())
}

/// How many operators a comparison shows.
pub const MOST_OPERATORS: usize = 10;

/// How far a quantised model is from what it was before, operator by operator, on samples of its calibration data.
pub fn comparison(source: &Source) -> Result<Option<Comparison>, Failure> {
    let quantised = source.converted.as_ref().and_then(|c| c.quantised.as_ref());
    let Some(Quantised { reference, samples }) = quantised.filter(|q| !q.samples.is_empty()) else { return Ok(None) };
    let of = |file, model| compare::Source { file: Path::new(file), model };
    compare::compare(of("the float model", reference), of("the quantised model", &source.model), samples, Compared::Quantised).map(Some)
}
