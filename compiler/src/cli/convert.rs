//! `convert`: a model of another tool becomes a .tflite model.

use super::options::{ConvertOptions, input_shape};
use super::{Outcome, print};
use crate::convert::{Quantised, Source};
use crate::diagnostic::{Failure, shown};
use crate::files::Files;
use crate::report::grouped;
use clap::Args;
use cranelite_graph::import::InputKey;
use std::path::PathBuf;

/// Converts a model of Keras, TensorFlow or PyTorch to a .tflite model
///
/// Its libraries do that, in the Python that CRANELITE_PYTHON names, or else python3. The other commands convert such models by themselves.
#[derive(Args)]
pub struct ConvertArgs {
    /// The file (.keras, .h5, a frozen graph .pb, a PyTorch program .pt2), or a SavedModel's folder
    model: PathBuf,
    /// The .tflite file
    #[arg(short, long, value_name = "FILE.tflite")]
    output: PathBuf,
    /// Convert this signature of a SavedModel instead of serving_default
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
    /// Shape of an input with open dimensions, of which the first one is 1 otherwise; may be repeated
    #[arg(long = "input-shape", value_name = "NAME=1,96,96,3", value_parser = input_shape)]
    input_shapes: Vec<(InputKey, Vec<usize>)>,
    #[command(flatten)]
    convert: ConvertOptions,
    /// Also write the .tflite model before it is quantised
    #[arg(long, value_name = "FILE.tflite", requires = "quantize")]
    keep_float: Option<PathBuf>,
}

pub fn convert(args: ConvertArgs) -> Outcome {
    let source = args.convert.read(&args.model, &args.input_shapes, args.signature.as_slice())?;
    let Some(converted) = &source.converted else {
        return Err(Failure::Usage(format!(
            "{} is no model that is converted; `cranelite help convert` says which are",
            shown(&args.model)
        )));
    };
    let mut files = Files::default();
    files.keep(&args.model);
    files.add(args.output.clone(), source.model.as_slice());
    if let (Some(path), Some(quantised)) = (args.keep_float, &converted.quantised) {
        files.add(path, quantised.reference.as_slice());
    }
    files.write()?;
    print(&format!("{}: {} bytes\n{}", shown(&args.output), grouped(source.model.len() as u64), comparison(&source)));
    Ok(())
}

/// How far a quantised model is from what it was before, operator by operator.
pub fn comparison(source: &Source) -> String {
    let Some(Quantised { reference: _, samples: _ }) = source.converted.as_ref().and_then(|c| c.quantised.as_ref()) else {
        return String::new();
    };
    // JOIN: the text of `crate::compare::compare(reference, &source.model, samples)`.
    String::new()
}
