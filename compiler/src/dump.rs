//! Makes the result of every operator visible, for `run --dump-tensors`.
//!
//! The idea: every tensor between operators becomes one more output of the model. Nothing is added to the generated code's duties, it
//! works on every target, and what is seen is what the kernels computed; only fusions in the graph hide tensors, because after them
//! these exist no more.

use crate::signature::{Signature, tensors};
use cranelite_graph::graph::Graph;
use std::collections::{BTreeMap, BTreeSet};

/// A result of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposed {
    /// Position among the outputs of the signature.
    pub output: usize,
    /// `op017.CONV_2D.0`: the operator's index in the model, its name, which of its results.
    pub file_stem: String,
}

/// Adds outputs to the graph and to its signature.
pub fn expose(graph: &mut Graph, signature: &mut Signature) {
    let (mut exposed, mut stems): (Vec<Exposed>, _) = (vec![], BTreeSet::new());
    // By value: where among the outputs it is first.
    let mut position = BTreeMap::new();
    for (i, &v) in graph.outputs.iter().enumerate() {
        position.entry(v).or_insert(i);
    }
    for node in &graph.nodes {
        for (i, &v) in node.outputs.iter().enumerate() {
            let output = *position.entry(v).or_insert_with(|| {
                graph.outputs.push(v);
                graph.outputs.len() - 1
            });
            let mut file_stem = format!("op{:03}.{}.{i}", node.last_operator(), node.last_op().name());
            while !stems.insert(file_stem.clone()) {
                file_stem.push('+');
            }
            exposed.push(Exposed { output, file_stem });
        }
    }
    let own = signature.outputs.len();
    let mut names: Vec<String> = signature.outputs.iter().map(|t| t.name.clone()).collect();
    names.extend(graph.outputs[own..].iter().map(|&v| graph.value(v).name.clone()));
    signature.outputs.extend(tensors(graph, &graph.outputs, &names, "output").into_iter().skip(own));
    signature.exposed = exposed;
}
