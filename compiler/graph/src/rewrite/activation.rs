//! RELU and its relatives become the fused activation of the operator before them.
//!
//! Floats: the clamp is the last thing either way, so results are the same bits. Integers: with the same scale and zero point on both
//! sides the operator RELU rescales by exactly one, and clamps to the numbers that the fused activation clamps to; with others
//! it rounds once more, and stays.

use super::Uses;
use crate::graph::Graph;
use crate::ops::attributes::Activation;

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    let mut changed = false;
    for i in 0..graph.nodes.len() {
        let relu = &graph.nodes[i];
        let Some(wanted) = relu.op.clamp().filter(|_| relu.then.is_empty()) else { continue };
        let (Some(x), y) = (relu.input(0), relu.outputs[0]) else { continue };
        let Some(p) = uses.producer(x).filter(|_| uses.inner_readers(x) == [i]) else { continue };
        if graph.ty(x) != graph.ty(y) {
            continue;
        }
        let Some(activation) = graph.nodes[p].last_op_mut().activation().filter(|a| **a == Activation::None) else { continue };
        *activation = wanted;
        // The node that is left behind writes a value that nobody reads.
        graph.nodes[p].outputs[0] = y;
        graph.nodes[i].outputs.clear();
        changed = true;
    }
    graph.nodes.retain(|n| !n.is_left_behind());
    changed
}
