//! `run`: executes a model on arrays.
//!
//! The idea: three engines take the same steps and give the same outputs: the object in this process, a linked program (for other
//! machines), and the interpreter of tile programs.

use super::options::{
    BoundOptions, ConvertOptions, CustomOptions, LibraryOptions, PipelineOptions, PreferenceOptions, TargetOptions, Words, read_array,
    threads, words,
};
use super::steps::Steps;
use super::{Outcome, complain, warn};
use crate::array::Array;
use crate::diagnostic::{Failure, internal, tidy};
use crate::files::Files;
use crate::fit::{self, Fitted};
use crate::foreign::{self, Tools};
use crate::instance::Instance;
use crate::pipeline::{self, Model, Options, Planned, Visible};
use crate::signature::Signature;
use crate::stages::Stages;
use clap::Args;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import::{self, Signatures};
use cranelite_tile::{ByteDot, Machine, interpret};
use std::path::PathBuf;

/// Runs a model on arrays
///
/// Reads one .npy file for each input, in the order of the model's inputs, and writes out0.npy, out1.npy, ... Arrays with other
/// shapes than the model's inputs compile the model for those shapes, and inputs that decide about shapes are compiled in, which a note on
/// standard error says.
#[derive(Args)]
pub struct RunArgs {
    /// The model: a .tflite file, or one of Keras, TensorFlow or PyTorch, which is converted first
    model: PathBuf,
    #[command(flatten)]
    steps: Steps,
    /// Folder for the outputs; step K > 0 writes sK.out0.npy, ...
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    bounds: BoundOptions,
    #[command(flatten)]
    custom: CustomOptions,
    #[command(flatten)]
    libraries: LibraryOptions,
    #[command(flatten)]
    convert: ConvertOptions,
    #[command(flatten)]
    pipeline: PipelineOptions,
    #[command(flatten)]
    prefer: PreferenceOptions,
    /// Divide long operators among so many threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads())]
    threads: u32,
    /// Also write the result of every operator
    #[arg(long, value_name = "DIR")]
    dump_tensors: Option<PathBuf>,
    /// C compiler that links the model into a program, which is run instead of the object in this process; needed for other machines
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    linker: Option<Words>,
    /// Emulator that runs that program, with its options: 'qemu-aarch64-static -L /usr/aarch64-linux-gnu'
    #[arg(long, value_name = "COMMAND", requires = "linker", value_parser = words)]
    runner: Option<Words>,
    /// Interpret the tile program instead of running machine code; for the target, or for vectors of so many bytes
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, hide = true, value_parser = vector_bytes)]
    interpret: Option<Option<u32>>,
}

pub fn run(mut args: RunArgs) -> Outcome {
    let in_model = |list| Failure::in_file(&args.model)(list);
    let (names, numbers) = args.steps.signatures();
    let model = args.convert.read(&args.model, None, &[], &names)?.model;
    let steps = read_arrays(&args.steps)?;
    let signatures = if names.is_empty() { Signatures::First } else { Signatures::Named(names.clone()) };
    let about = import::Options {
        signatures,
        custom: args.custom.functions()?,
        max_dims: std::mem::take(&mut args.bounds).bounds()?,
        ..import::Options::default()
    };
    let piping = args.pipeline.read()?;
    let fitted = match &piping {
        // Arrays are what sensors give (`fit_sensors`), and say nothing of the model's shapes.
        Some(_) => Ok(Fitted { import: about, steps, notes: vec![] }),
        None if names.len() < 2 => fit::fit(&model, about, steps),
        None => fit::fit_several(&model, about, steps, &numbers),
    };
    let Fitted { import, mut steps, notes } = fitted.map_err(in_model)?;
    notes.iter().for_each(|note| complain(&format!("{}\n", tidy(note))));
    let options = Options {
        import,
        piping,
        compress: args.prefer.compress,
        prefer: args.prefer.into(),
        no_cpu_check: args.target.no_cpu_check,
        threads: args.threads as usize,
        visible: if args.dump_tensors.is_some() { Visible::Tensors } else { Visible::Outputs },
        ..Options::named_after(&args.model)
    };
    if options.piping.is_some() {
        let module = pipeline::read(&model, &options, &mut Stages::none()).map_err(in_model)?;
        fit::fit_sensors(&module.models[0].signature, &mut steps)?;
    }
    let (outputs, signatures) = match args.interpret {
        Some(vector_bytes) => {
            let example = |bytes| Machine::example(bytes, ByteDot::S8S8, true, false);
            let own = || match &args.target.or_native()?[..] {
                [target] => Ok(target.machine.clone()),
                _ => Err(Failure::Usage("one level is interpreted, not several".into())),
            };
            let machine = vector_bytes.map_or_else(own, |bytes| Ok(example(bytes)))?;
            let module = pipeline::read(&model, &options, &mut Stages::none()).map_err(in_model)?;
            warn(&args.model, &module.left_out);
            let plan = |model: &Model| pipeline::plan(model, &machine, &options, &mut Stages::none());
            let planned = module.models.iter().map(plan).collect::<Result<Vec<_>, _>>().map_err(in_model)?;
            let signatures: Vec<Signature> = module.models.into_iter().map(|m| m.signature).collect();
            (interpreted(&planned, &signatures, &steps, &numbers)?, signatures)
        }
        None => {
            let targets = args.target.or_native()?;
            let compiled = pipeline::compile(&model, &targets, &options, &mut Stages::none()).map_err(in_model)?;
            warn(&args.model, &compiled.left_out);
            let outputs = match tools(&args) {
                Some(_) if 1 < names.len() => {
                    let message = "a linked program runs one signature: run steps of several in this process, without --linker";
                    return Err(Failure::Usage(message.into()));
                }
                Some(tools) => foreign::run(&compiled, &tools, &steps)?,
                None if targets[0].missing_here().is_none() => {
                    let (triple, level) = (compiled.triple(), compiled.level_names());
                    let message = format!("{triple} {level} does not run on this machine: give --linker and --runner");
                    return Err(Failure::Usage(message));
                }
                None => Instance::with_libraries(&compiled, args.libraries.open()?)?.run_each(&steps, &numbers)?,
            };
            (outputs, compiled.entries.into_iter().map(|e| e.signature).collect())
        }
    };
    let mut files = Files::default();
    files.keep(&args.model);
    args.steps.0.iter().flat_map(|s| &s.inputs).for_each(|array| files.keep(array));
    for (k, outputs) in outputs.iter().enumerate() {
        let signature = &signatures[numbers[k]];
        let step = if k == 0 { String::new() } else { format!("s{k}.") };
        for (i, output) in signature.own_outputs(outputs).iter().enumerate() {
            files.add(args.output_dir.join(format!("{step}out{i}.npy")), to_npy(output)?);
        }
        for e in &signature.exposed {
            let folder = args.dump_tensors.as_ref().expect("tensors are exposed for this option alone");
            files.add(folder.join(format!("{step}{}.npy", e.file_stem)), to_npy(&outputs[e.output])?);
        }
    }
    Ok(files.write()?)
}

/// `None` when the object runs in this process.
fn tools(args: &RunArgs) -> Option<Tools> {
    let Words(linker) = args.linker.clone()?;
    Some(Tools { linker, runner: args.runner.clone().map(|Words(runner)| runner).unwrap_or_default() })
}

/// The vectors that lowerings know.
fn vector_bytes(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|bytes| [0, 16, 32, 64].contains(bytes)).ok_or_else(|| "vectors have 0, 16, 32 or 64 bytes".into())
}

/// `numbers`: those of the steps' signatures.
fn interpreted(
    planned: &[Planned],
    signatures: &[Signature],
    steps: &[Vec<Array>],
    numbers: &[usize],
) -> Result<Vec<Vec<Array>>, Diagnostic> {
    let failed = |e| internal("the tile program fails", e);
    let mut state = interpret::initial_state(&planned[0].program).map_err(failed)?;
    let one = |(step, &number): (&Vec<Array>, &usize)| {
        let inputs: Vec<&[u8]> = step.iter().map(|a| a.data.as_slice()).collect();
        let mut outputs: Vec<Array> = signatures[number].outputs.iter().map(|t| Array::zeros(&t.ty)).collect();
        let mut bytes: Vec<&mut [u8]> = outputs.iter_mut().map(|a| a.data.as_mut_slice()).collect();
        interpret::run_with_state(&planned[number].program, &inputs, &mut bytes, &mut state, |_, _| {}).map_err(failed)?;
        Ok(outputs)
    };
    steps.iter().zip(numbers).map(one).collect()
}

/// All arrays of all steps, or every file that is none.
pub fn read_arrays(Steps(steps): &Steps) -> Result<Vec<Vec<Array>>, Failure> {
    let mut problems = vec![];
    let mut read = |path: &PathBuf| read_array(path).map_err(|d| problems.push(d)).ok();
    let arrays = steps.iter().map(|step| step.inputs.iter().filter_map(&mut read).collect()).collect();
    if problems.is_empty() { Ok(arrays) } else { Err(problems.into()) }
}

fn to_npy(array: &Array) -> Result<Vec<u8>, Diagnostic> {
    array.to_npy().ok_or_else(|| {
        Diagnostic::new(Code::FEATURE, format!(".npy files have no element type {}", array.element))
            .help("let the model end in a CAST to a type that they have")
    })
}
