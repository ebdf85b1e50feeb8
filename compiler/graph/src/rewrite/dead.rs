//! Nodes whose results nobody reads and that have no other effect, and values that nobody names, are removed.
//!
//! The graph's inputs stay: they are the caller's interface. Values are renumbered, in their old order.

use crate::graph::{Graph, ValueId};

pub fn run(graph: &mut Graph) -> bool {
    let mut used = vec![false; graph.values.len()];
    for v in &graph.outputs {
        used[v.0 as usize] = true;
    }
    let count = graph.nodes.len();
    let mut kept = vec![];
    for n in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if n.op.has_effect() || n.outputs.iter().any(|v| used[v.0 as usize]) {
            for v in n.reads().chain(n.outputs.iter().copied()) {
                used[v.0 as usize] = true;
            }
            kept.push(n);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    for v in &graph.inputs {
        used[v.0 as usize] = true;
    }
    graph.states.retain(|s| used[s.value.0 as usize]);
    let changed = graph.nodes.len() != count || used.contains(&false);
    renumber(graph, &used);
    changed
}

fn renumber(graph: &mut Graph, used: &[bool]) {
    let mut next = 0;
    let ids: Vec<ValueId> = used.iter().map(|&u| (ValueId(next), next += u32::from(u)).0).collect();
    let mut keep = used.iter();
    graph.values.retain(|_| keep.next() == Some(&true));
    for n in &mut graph.nodes {
        n.reads_mut().for_each(|v| *v = ids[v.0 as usize]);
    }
    let states = graph.states.iter_mut().map(|s| &mut s.value);
    for v in graph.nodes.iter_mut().flat_map(|n| &mut n.outputs).chain(&mut graph.inputs).chain(&mut graph.outputs).chain(states) {
        *v = ids[v.0 as usize];
    }
}
