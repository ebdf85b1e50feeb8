//! RESHAPE of RESHAPE is one, and so are all that give bytes another shape.
//!
//! Those that stay cost nothing where lowering can give the same bytes another name.

use super::Uses;
use crate::graph::Graph;

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    let mut changed = false;
    for i in 0..graph.nodes.len() {
        let input = |n: usize| graph.nodes[n].input(0).filter(|_| graph.nodes[n].op.is_view());
        // Earlier ones of a chain have been merged already.
        if let Some(source) = input(i).and_then(|x| input(uses.producer(x)?)) {
            graph.nodes[i].inputs[0] = Some(source);
            changed = true;
        }
    }
    changed
}
