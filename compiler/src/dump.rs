//! Makes the result of every operator visible, for `run --dump-tensors`, and every operator callable by itself, for `compare`.
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
    /// The operator's index in the model, and its name.
    pub operator: u32,
    pub name: &'static str,
    /// `op017.CONV_2D.0`: which of its results it is, too.
    pub file_stem: String,
}

/// Makes every operator read inputs of the graph instead of what others computed: each can be run by itself, on any operands. The inputs are added
/// behind the model's own, in the order of the operators, and have the names of the tensors that they stand for. What counts a dimension, or is counted, stays.
pub fn cut(graph: &mut Graph, signature: &mut Signature) {
    let counted: BTreeSet<_> = graph.counts.iter().flat_map(|(v, count)| [*v, *count]).collect();
    let computed: BTreeSet<_> = graph.nodes.iter().flat_map(|n| n.outputs.iter().copied()).filter(|v| !counted.contains(v)).collect();
    let own = graph.inputs.len();
    let mut replaced = BTreeMap::new();
    for at in 0..graph.nodes.len() {
        let reads: BTreeSet<_> = graph.nodes[at].reads().filter(|v| computed.contains(v)).collect();
        for v in reads {
            let stand_in = *replaced.entry(v).or_insert_with(|| {
                let value = graph.value(v).clone();
                let new = graph.add_value(value);
                graph.inputs.push(new);
                new
            });
            graph.nodes[at].reads_mut().filter(|operand| **operand == v).for_each(|operand| *operand = stand_in);
        }
    }
    let mut names: Vec<String> = signature.inputs.iter().map(|t| t.name.clone()).collect();
    names.extend(graph.inputs[own..].iter().map(|&v| graph.value(v).name.clone()));
    signature.inputs.extend(tensors(graph, &graph.inputs, &names, "input").into_iter().skip(own));
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
            let (operator, name) = (node.last_operator(), node.last_op().name());
            let mut file_stem = format!("op{operator:03}.{name}.{i}");
            while !stems.insert(file_stem.clone()) {
                file_stem.push('+');
            }
            exposed.push(Exposed { output, operator, name, file_stem });
        }
    }
    let own = signature.outputs.len();
    let mut names: Vec<String> = signature.outputs.iter().map(|t| t.name.clone()).collect();
    names.extend(graph.outputs[own..].iter().map(|&v| graph.value(v).name.clone()));
    signature.outputs.extend(tensors(graph, &graph.outputs, &names, "output").into_iter().skip(own));
    signature.exposed = exposed;
}
