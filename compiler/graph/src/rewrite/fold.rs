//! Nodes whose inputs are all constants are computed now.
//!
//! There is no second implementation of operators: a node is lowered by itself and its program interpreted, on one machine for all
//! targets. Large weights, for which that is too slow, go through the direct functions of `unpack.rs`; RESHAPE shares the bytes.
//! Results without bytes are constants whatever they are computed from.

use super::unpack;
use crate::graph::{Graph, Node};
use crate::lower::{Goal, lower};
use crate::ops::{Op, Operand, Signature};
use bytes::Bytes;
use cranelite_tile::{ByteDot, Machine, interpret};

/// Elements and multiply-accumulates that are interpreted at most, in one node and in a run of the pass.
const NODE_BUDGET: u64 = 1 << 20;
const RUN_BUDGET: u64 = 1 << 24;

/// Unpacked constants are at most so many times larger than all constants were: a hostile model may unpack the same ones again and again.
const GROWTH: usize = 8;

/// What a run of the pass may still spend.
struct Budget {
    work: u64,
    unpacked_size_bytes: usize,
}

pub fn run(graph: &mut Graph) -> bool {
    let count = graph.nodes.len();
    let mut budget = Budget { work: RUN_BUDGET, unpacked_size_bytes: graph.constants_size_bytes().saturating_mul(GROWTH) };
    let mut nodes = std::mem::take(&mut graph.nodes);
    nodes.retain(|n| match results(graph, n, &mut budget) {
        Some(results) => {
            for (v, data) in n.outputs.iter().zip(results) {
                graph.value_mut(*v).data = Some(data);
            }
            false
        }
        None => true,
    });
    graph.nodes = nodes;
    graph.nodes.len() != count
}

/// The bytes of a node's results, if they can be known.
fn results(graph: &Graph, node: &Node, budget: &mut Budget) -> Option<Vec<Bytes>> {
    if node.outputs.iter().all(|v| graph.ty(*v).size_bytes() == 0) {
        return Some(node.outputs.iter().map(|_| Bytes::new()).collect());
    }
    let inputs: Vec<_> = node.inputs.iter().flatten().map(|v| graph.value(*v)).collect();
    let first = inputs.first()?.data.as_ref()?;
    if inputs.iter().any(|v| v.data.is_none()) || !node.then.is_empty() {
        return None;
    }
    match &node.op {
        Op::Reshape(_) => return Some(vec![first.clone()]),
        Op::Dequantize(_) => {
            budget.unpacked_size_bytes = budget.unpacked_size_bytes.checked_sub(graph.ty(node.outputs[0]).size_bytes())?;
            if let Some(floats) = unpack::floats(&inputs[0].ty, first) {
                return Some(vec![floats.iter().flat_map(|f| f.to_le_bytes()).collect()]);
            }
        }
        _ => {}
    }
    let work = work(graph, node);
    budget.work = budget.work.checked_sub(work).filter(|_| work <= NODE_BUDGET)?;
    interpreted(graph, node)
}

fn work(graph: &Graph, node: &Node) -> u64 {
    let operand = |v| Operand { ty: graph.ty(v), data: None };
    let signature = Signature {
        inputs: node.inputs.iter().map(|v| v.map(operand)).collect(),
        outputs: node.outputs.iter().map(|v| graph.ty(*v)).collect(),
    };
    let values = node.inputs.iter().flatten().chain(&node.outputs);
    node.op.macs(&signature) + values.map(|v| graph.ty(*v).element_count() as u64).sum::<u64>()
}

/// A failure is not reported here: the node stays, and lowering it with the others will say why.
fn interpreted(graph: &Graph, node: &Node) -> Option<Vec<Bytes>> {
    let mut alone = Graph::default();
    let mut copy = |v| alone.add_value(graph.value(v).clone());
    let inputs = node.inputs.iter().map(|v| v.map(&mut copy)).collect();
    let outputs: Vec<_> = node.outputs.iter().map(|v| copy(*v)).collect();
    alone.outputs = outputs.clone();
    alone.nodes = vec![Node { op: node.op.clone(), inputs, outputs, operator: node.operator, then: vec![] }];

    let machine = Machine::example(16, ByteDot::S16S16, false, false);
    let program = lower(&alone, &machine, Goal::Size).ok()?;
    let mut results: Vec<Vec<u8>> = node.outputs.iter().map(|v| vec![0; graph.ty(*v).size_bytes()]).collect();
    let mut slices: Vec<&mut [u8]> = results.iter_mut().map(Vec::as_mut_slice).collect();
    interpret::run(&program, &[], &mut slices).ok()?;
    Some(results.into_iter().map(Bytes::from).collect())
}
