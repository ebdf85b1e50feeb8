//! Graphs of one model's signatures get the same states in the same order, so that these have the same places in all programs.
//!
//! Not a pass: it changes no node. What no signature uses any more is in none of them.

use super::dead;
use crate::graph::{Graph, Node, Origin, State, Value, ValueId};
use std::collections::BTreeMap;

pub fn states(graphs: &mut [&mut Graph]) {
    let mut all: BTreeMap<Origin, (Value, State)> = BTreeMap::new();
    for graph in graphs.iter() {
        for s in &graph.states {
            all.entry(s.origin).or_insert_with(|| (graph.value(s.value).clone(), s.clone()));
        }
    }
    for graph in graphs {
        let own: BTreeMap<Origin, ValueId> = graph.states.drain(..).map(|s| (s.origin, s.value)).collect();
        let mut stand_in: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for (origin, (value, state)) in &all {
            // A new value, behind all others.
            let value = graph.add_value(value.clone());
            stand_in.extend(own.get(origin).map(|old| (*old, value)));
            graph.states.push(State { value, ..state.clone() });
        }
        let reads = graph.nodes.iter_mut().flat_map(Node::reads_mut);
        reads.chain(&mut graph.outputs).for_each(|v| *v = stand_in.get(v).copied().unwrap_or(*v));
        dead::run(graph);
    }
}
