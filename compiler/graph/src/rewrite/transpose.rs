//! TRANSPOSE of TRANSPOSE is one, and one that changes nothing is none (`forward.rs`).

use super::Uses;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    let mut changed = false;
    for i in 0..graph.nodes.len() {
        let before = |v: ValueId| uses.producer(v).filter(|p| matches!(graph.nodes[*p].op, Op::Transpose(_)));
        let (Op::Transpose(last), Some(first)) = (&graph.nodes[i].op, graph.nodes[i].input(0).and_then(before)) else { continue };
        let Op::Transpose(earlier) = &graph.nodes[first].op else { continue };
        let order = last.order.iter().map(|&axis| earlier.order[axis]).collect();
        let x = graph.nodes[first].inputs[0];
        graph.nodes[i].op = Op::Transpose(crate::ops::transpose::Attributes { order });
        graph.nodes[i].inputs[0] = x;
        changed = true;
    }
    changed
}
