//! From the bytes of a .tflite file to a graph.
//!
//! Not the meaning of operators: `ops/NAME.rs` decodes its own options and infers its own shapes. The idea: the file may be hostile,
//! so every offset, index, size, product and number is checked here once, and what comes out can be trusted by everything after. All
//! problems are collected: after one the walk goes on with what the file declares, and what cannot be known stays silent.
//!
//! Only the first subgraph is compiled. Tensors and subgraphs that nothing uses may be of any kind, but not damaged.

mod buffers;
mod file;
mod quantization;
mod tensors;
mod walk;

use crate::diagnostic::{Code, Diagnostic, Place};
use crate::graph::Graph;

/// What the user decides about a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs, instead of those in the file.
    pub input_shapes: Vec<(InputKey, Vec<usize>)>,
}

/// One of the model's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKey {
    /// The tensor's name.
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

/// Reads a model; the problems are all that were found.
pub fn import(bytes: &[u8], options: &Options) -> Result<Graph, Vec<Diagnostic>> {
    let file = file::File::open(bytes).map_err(|d| vec![d])?;
    let mut problems = vec![];
    let tensors = tensors::read(&file, &mut problems);
    let graph = walk::Walk::new(&file, tensors, problems).run(options)?;
    match crate::verify::verify(&graph) {
        Ok(()) => Ok(graph),
        Err(errors) => Err(errors.into_iter().map(|e| Diagnostic::new(Code::INTERNAL, e)).collect()),
    }
}

/// The subgraph that is compiled.
fn main_place() -> Place {
    Place { subgraph: Some(0), ..Place::default() }
}
