//! From the bytes of a .tflite file to a graph.
//!
//! Not the meaning of operators: `ops/NAME.rs` decodes its own options and infers its own shapes. The idea: the file may be hostile,
//! so every offset, index, size, product and number is checked here once, and what comes out can be trusted by everything after. All
//! problems are collected: after one the walk goes on with what the file declares, and what cannot be known stays silent.
//!
//! One subgraph is compiled, the first or that of a signature, or those of several signatures, and those that they call. Tensors and subgraphs that nothing uses may be of any kind, but not damaged; so may operators
//! whose results nothing uses, unless they may do more than compute these.

mod buffers;
pub mod constants;
mod decode;
mod encodings;
mod file;
mod guess;
mod items;
pub mod metadata;
mod palettes;
mod quantization;
mod signatures;
mod sparse;
mod tensors;
mod variables;
mod walk;

use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::graph::{Graph, ValueId};
use crate::tensor::ElementType;
use bytes::Bytes;
use std::collections::BTreeSet;

/// What the user decides about a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs, instead of those in the file.
    pub input_shapes: Vec<(InputKey, Vec<usize>)>,
    /// Inputs that are constants of the compiled model, because they decide about shapes.
    pub input_values: Vec<(InputKey, InputValue)>,
    pub signatures: Signatures,
    /// The most that the first dimension of a tensor can be, by its name or that of an input that decides it, where that is known at run time only.
    pub max_dims: Vec<(String, usize)>,
    /// Names of custom operators, and of the C functions that they are.
    pub custom: Vec<(String, String)>,
}

/// Which of a model's signatures are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// The file's first subgraph, whatever its signature is.
    #[default]
    First,
    /// By their keys.
    Named(Vec<String>),
    /// Those of the file, or its first subgraph where it has none.
    All,
}

/// What an input always is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputValue {
    pub element: ElementType,
    pub shape: Vec<usize>,
    /// As a tensor's.
    pub data: Bytes,
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
pub struct Module {
    /// One for each signature that is compiled; what they keep, they share (`State::origin`).
    pub entries: Vec<Imported>,
    /// In words, what of the file is neither in the graphs nor needed for them.
    pub left_out: Vec<String>,
}

/// What is compiled for one signature.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The signature's own name; empty where it has none.
    pub key: String,
    /// Its number in the file.
    pub subgraph: u32,
    pub graph: Graph,
    /// What to call the graph's inputs and outputs, by position.
    pub input_names: Vec<String>,
    pub output_names: Vec<String>,
    /// Numbers of these tensors in the subgraph: of all inputs, and of the outputs that are the model's.
    pub input_tensors: Vec<i32>,
    pub output_tensors: Vec<i32>,
    /// Which of the graph's outputs counts the first dimension of each of the model's, if that is known at run time only; these stand after all others.
    pub output_counts: Vec<Option<usize>>,
}

/// The graph of a model, of the first signature that is wanted; the problems are all that were found.
pub fn import(bytes: &[u8], options: &Options) -> Result<Graph, Vec<Diagnostic>> {
    read(bytes, options).map(|mut module| module.entries.swap_remove(0).graph)
}

/// A model with the names that people gave it.
pub fn read(bytes: &[u8], options: &Options) -> Result<Module, Vec<Diagnostic>> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut file = file::File::open(&bytes).map_err(|d| vec![d])?;
    let unknown = file.set_functions(&options.custom);
    let chosen = signatures::choose(&file, &options.signatures).map_err(|d| vec![d])?;
    let mut session = walk::Session::new(&file);
    let (mut entries, mut problems, mut faulty) = (vec![], vec![], BTreeSet::new());
    for (entry, options) in chosen.iter().zip(signatures::given(&chosen, options)) {
        let names = entry.names();
        session.begin_entry();
        match walk::Walk::new(&file, entry.number, entry.subgraph).run(walk::Inputs::Caller(&names, &options), &mut session) {
            Ok(graph) => entries.push(named((entry.key(), entry.number as u32), graph, names, &session.settled)),
            // Of a subgraph with two signatures they are told once.
            Err(more) if faulty.insert(entry.number) => problems.extend(more),
            Err(_) => {}
        }
    }
    if problems.is_empty() {
        problems = session.variables.finish(&mut entries.iter_mut().map(|e| &mut e.graph).collect::<Vec<_>>());
    }
    if problems.is_empty() {
        let errors = entries.iter().filter_map(|e| crate::verify::verify(&e.graph).err()).flatten();
        problems.extend(errors.map(|e| Diagnostic::new(Code::INTERNAL, e)));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let no_operator = |name: &str| format!("--custom names the custom operator {}, which the model has not", quoted(name));
    let mut left_out = signatures::left_out(&file, &chosen, &options.signatures, &session.called);
    left_out.extend(unknown.into_iter().map(no_operator));
    Ok(Module { entries, left_out })
}

/// A graph whose inputs and outputs have names; those at the positions `settled` are constants.
fn named((key, subgraph): (String, u32), mut graph: Graph, mut names: signatures::Signature, settled: &[usize]) -> Imported {
    let mut positions = [0.., 0..];
    let mut is_left = |all: usize| !positions[all].next().is_some_and(|i| settled.contains(&i));
    names.inputs.retain(|_| is_left(0));
    names.input_tensors.retain(|_| is_left(1));
    let (input_tensors, output_tensors) = (names.input_tensors, names.output_tensors);
    let mut output_counts = vec![];
    for v in graph.outputs.clone() {
        let count = graph.counts.get(&v).copied();
        graph.outputs.extend(count);
        output_counts.push(count.map(|_| graph.outputs.len() - 1));
    }
    let or_tensors = |names: Vec<Option<String>>, values: &[ValueId]| {
        let named = names.into_iter().zip(values);
        named.map(|(name, v)| name.unwrap_or_else(|| graph.value(*v).name.clone())).collect::<Vec<String>>()
    };
    let (input_names, mut output_names) = (or_tensors(names.inputs, &graph.inputs), or_tensors(names.outputs, &graph.outputs));
    for i in (0..output_counts.len()).filter(|&i| output_counts[i].is_some()) {
        output_names.push(format!("{}_count", output_names[i]));
    }
    Imported { key, subgraph, graph, input_names, output_names, input_tensors, output_tensors, output_counts }
}
