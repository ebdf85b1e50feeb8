//! Nodes whose results nobody reads and that have no other effect, and values that nobody names, are removed.
//!
//! The graph's inputs stay: they are the caller's interface; so do states, of which a body has as many as the node around it hands on. Values are renumbered, in their old order.

use crate::graph::{Graph, ValueId};
use std::collections::BTreeSet;

pub fn run(graph: &mut Graph) -> bool {
    let mut used = vec![false; graph.values.len()];
    for v in &graph.outputs {
        used[v.0 as usize] = true;
    }
    let count = graph.nodes.len();
    let mut kept = vec![false; count];
    for (n, kept) in graph.nodes.iter().zip(&mut kept).rev() {
        *kept = n.op.has_effect() || n.outputs.iter().any(|v| used[v.0 as usize]);
        if *kept {
            for v in graph.reads(n).chain(n.outputs.iter().copied()) {
                used[v.0 as usize] = true;
            }
        }
    }
    let mut kept = kept.into_iter();
    graph.nodes.retain(|_| kept.next() == Some(true));
    for v in graph.inputs.iter().chain(graph.states.iter().map(|s| &s.value)) {
        used[v.0 as usize] = true;
    }
    graph.counts.retain(|v, _| used[v.0 as usize]);
    let changed = graph.nodes.len() != count || used.contains(&false);
    renumber(graph, &used);
    changed
}

/// Removes the states of a model that no node reads or changes.
pub fn states(graph: &mut Graph) {
    let used: BTreeSet<ValueId> = graph.nodes.iter().flat_map(|n| n.reads()).chain(graph.outputs.iter().copied()).collect();
    graph.states.retain(|s| used.contains(&s.value));
}

fn renumber(graph: &mut Graph, used: &[bool]) {
    let mut next = 0;
    let ids: Vec<ValueId> = used.iter().map(|&u| (ValueId(next), next += u32::from(u)).0).collect();
    let mut keep = used.iter();
    graph.values.retain(|_| keep.next() == Some(&true));
    for n in &mut graph.nodes {
        n.reads_mut().for_each(|v| *v = ids[v.0 as usize]);
    }
    graph.counts = graph.counts.iter().map(|(v, count)| (ids[v.0 as usize], ids[count.0 as usize])).collect();
    let states = graph.states.iter_mut().map(|s| &mut s.value);
    for v in graph.nodes.iter_mut().flat_map(|n| &mut n.outputs).chain(&mut graph.inputs).chain(&mut graph.outputs).chain(states) {
        *v = ids[v.0 as usize];
    }
}
