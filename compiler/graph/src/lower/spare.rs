//! How many bytes of scratch every product may take to be faster.
//!
//! Not the plan of the arena. The idea: no arena is smaller than the tensors that are live between two nodes, or during a product, which cannot
//! work in place; what that bound, or a tenth more where speed is wanted, leaves beside the tensors of a node costs nothing.

use super::Goal;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;

/// By node.
pub fn bytes(graph: &Graph, goal: Goal) -> Vec<u64> {
    // Sums of the bytes that are live during a node, and between it and the next.
    let (mut during, mut after) = (vec![0u64; graph.nodes.len()], vec![0u64; graph.nodes.len()]);
    for (first, last, size_bytes) in lives(graph) {
        during[first..=last].iter_mut().for_each(|n| *n += size_bytes);
        after[first..last].iter_mut().for_each(|n| *n += size_bytes);
    }
    let is_product = |i: &usize| matches!(graph.nodes[*i].op, Op::Conv2d(_) | Op::FullyConnected(_));
    let products = (0..graph.nodes.len()).filter(is_product).map(|i| during[i]);
    let least = after.iter().copied().chain(products).max().unwrap_or(0);
    let most = match goal {
        Goal::Size => least,
        Goal::Speed => least + least / 10,
    };
    during.iter().map(|n| most.saturating_sub(*n)).collect()
}

/// Of every tensor in the arena: the nodes that produce it and use it last, and its bytes.
fn lives(graph: &Graph) -> Vec<(usize, usize, u64)> {
    let mut producer = vec![None; graph.values.len()];
    let mut last = vec![0; graph.values.len()];
    // Values that are another name for the bytes of one.
    let mut root: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        for v in node.inputs.iter().flatten() {
            last[root[v.0 as usize].0 as usize] = i;
        }
        for v in &node.outputs {
            match (&node.op, node.input(0)) {
                (Op::Reshape(_), Some(x)) if !graph.outputs.contains(v) => root[v.0 as usize] = root[x.0 as usize],
                _ => (producer[v.0 as usize], last[v.0 as usize]) = (Some(i), i),
            }
        }
    }
    let in_arena = |v: &ValueId| graph.value(*v).data.is_none() && !graph.inputs.contains(v) && !graph.outputs.contains(v);
    (0..graph.values.len() as u32)
        .map(ValueId)
        .filter(in_arena)
        .filter_map(|v| Some((producer[v.0 as usize]?, last[v.0 as usize], graph.ty(v).size_bytes() as u64)))
        .collect()
}
