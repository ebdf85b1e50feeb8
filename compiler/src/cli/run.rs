//! `run`: executes a model on arrays.

use super::Outcome;
use super::steps::Steps;
use crate::array::Array;
use crate::diagnostic::{Failure, internal};
use crate::files::{self, Files};
use crate::fit;
use crate::pipeline::{self, Options};
use crate::stages::Stages;
use clap::Args;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_tile::{ByteDot, Machine, interpret};
use std::path::PathBuf;

/// Runs a model on arrays
///
/// Reads one .npy file for each input, in the order of the model's inputs, and writes out0.npy, out1.npy, ... Arrays with other
/// shapes than the model's inputs compile the model for those shapes.
#[derive(Args)]
pub struct RunArgs {
    /// The .tflite file
    model: PathBuf,
    #[command(flatten)]
    steps: Steps,
    /// Folder for the outputs; step K > 0 writes sK.out0.npy, ...
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// Interpret the tile program instead of running machine code, for vectors of so many bytes
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "16", hide = true)]
    interpret: Option<u32>,
}

pub fn run(args: RunArgs) -> Outcome {
    let model = files::read(&args.model)?;
    let steps = read_arrays(&args.steps)?;
    let input_shapes = fit::input_shapes(&model, &steps).map_err(Failure::in_file(&args.model))?;
    let options = Options { input_shapes, ..Options::default() };
    let machine = Machine::example(args.interpret.unwrap_or(16), ByteDot::S8S8, true, false);
    let planned = pipeline::plan(&model, &machine, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
    let mut files = Files::default();
    for (k, step) in steps.iter().enumerate() {
        let inputs: Vec<&[u8]> = step.iter().map(|a| a.data.as_slice()).collect();
        let mut outputs: Vec<Array> = planned.signature.outputs.iter().map(|t| Array::zeros(&t.ty)).collect();
        let mut bytes: Vec<&mut [u8]> = outputs.iter_mut().map(|a| a.data.as_mut_slice()).collect();
        interpret::run(&planned.program, &inputs, &mut bytes).map_err(|e| internal("the tile program fails", e))?;
        for (i, output) in outputs.iter().enumerate() {
            let name = if k == 0 { format!("out{i}.npy") } else { format!("s{k}.out{i}.npy") };
            files.add(args.output_dir.join(name), to_npy(output)?);
        }
    }
    Ok(files.write()?)
}

/// All arrays of all steps, or every file that is none.
fn read_arrays(Steps(steps): &Steps) -> Result<Vec<Vec<Array>>, Failure> {
    let mut problems = vec![];
    let mut read = |path: &PathBuf| {
        let array = files::read(path)
            .and_then(|bytes| Array::parse(&bytes).map_err(|e| Diagnostic::new(Code::INPUT, format!("{}: {e}", path.display()))));
        array.map_err(|d| problems.push(d)).ok()
    };
    let arrays = steps.iter().map(|step| step.iter().filter_map(&mut read).collect()).collect();
    if problems.is_empty() { Ok(arrays) } else { Err(problems.into()) }
}

fn to_npy(array: &Array) -> Result<Vec<u8>, Diagnostic> {
    array.to_npy().ok_or_else(|| Diagnostic::new(Code::FEATURE, format!(".npy files have no element type {}", array.element)))
}
