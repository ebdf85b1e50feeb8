//! From the bytes of a .tflite file to a graph.
//!
//! Not the meaning of operators: `ops/NAME.rs` decodes its own options and infers its own shapes. The idea: the file may be hostile,
//! so every offset, index, size, product and number is checked here once, and what comes out can be trusted by everything after. All
//! problems are collected: after one the walk goes on with what the file declares, and what cannot be known stays silent.
//!
//! Only the first subgraph is compiled, and those that it calls. Tensors and subgraphs that nothing uses may be of any kind, but not damaged; so may operators
//! whose results nothing uses, unless they may do more than compute these.

mod buffers;
mod file;
mod guess;
mod quantization;
mod signatures;
mod tensors;
mod variables;
mod walk;

use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::graph::{Graph, ValueId};
use bytes::Bytes;

/// What the user decides about a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs, instead of those in the file.
    pub input_shapes: Vec<(InputKey, Vec<usize>)>,
    /// Names of custom operators, and of the C functions that they are.
    pub custom: Vec<(String, String)>,
}

/// One of the model's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKey {
    /// In the model's signature, or the tensor's.
    Name(String),
    /// Position among the model's inputs.
    Index(usize),
}

impl From<&str> for InputKey {
    fn from(name: &str) -> Self {
        InputKey::Name(name.into())
    }
}

impl From<usize> for InputKey {
    fn from(index: usize) -> Self {
        InputKey::Index(index)
    }
}

/// A model as it was read.
#[derive(Clone, Debug)]
pub struct Imported {
    pub graph: Graph,
    /// What to call the graph's inputs and outputs, by position.
    pub input_names: Vec<String>,
    pub output_names: Vec<String>,
    /// In words, what of the file is neither in the graph nor needed for it.
    pub left_out: Vec<String>,
}

/// The graph of a model; the problems are all that were found.
pub fn import(bytes: &[u8], options: &Options) -> Result<Graph, Vec<Diagnostic>> {
    read(bytes, options).map(|imported| imported.graph)
}

/// A model with the names that people gave it.
pub fn read(bytes: &[u8], options: &Options) -> Result<Imported, Vec<Diagnostic>> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut file = file::File::open(&bytes).map_err(|d| vec![d])?;
    let unknown = file.set_functions(&options.custom);
    let problems = vec![];
    let names = signatures::read(&file);
    let mut variables = variables::Variables::read(&file);
    let main = walk::Walk::new(&file, 0, file.subgraph, problems);
    let (mut graph, used) = main.run(&names, &mut variables, options)?;
    let problems = variables.finish(&mut graph);
    if !problems.is_empty() {
        return Err(problems);
    }
    let or_tensors = |names: Vec<Option<String>>, values: &[ValueId]| {
        names.into_iter().zip(values).map(|(name, v)| name.unwrap_or_else(|| graph.value(*v).name.clone())).collect()
    };
    let (input_names, output_names) = (or_tensors(names.inputs, &graph.inputs), or_tensors(names.outputs, &graph.outputs));
    match crate::verify::verify(&graph) {
        Ok(()) => {
            let no_operator = |name: &str| format!("--custom names the custom operator {}, which the model has not", quoted(name));
            let left_out = signatures::left_out(&file, &used).into_iter().chain(unknown.into_iter().map(no_operator)).collect();
            Ok(Imported { graph, input_names, output_names, left_out })
        }
        Err(errors) => Err(errors.into_iter().map(|e| Diagnostic::new(Code::INTERNAL, e)).collect()),
    }
}
