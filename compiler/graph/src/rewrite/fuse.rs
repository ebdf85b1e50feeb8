//! Operators that work element by element become the last steps of the node that computes one of their operands.
//!
//! That node's result, as it would have been stored, is in registers: other operands are read where the result is written, and one
//! tensor is written and read less. They must be there before the node runs. ADD and SUB go into products, of two products into the
//! later one; functions of elements go into each other, where their operands may be broadcast, too.

use super::Uses;
use crate::graph::{Effect, Graph, Node, Then, ValueId};
use crate::ops::Op;

/// Steps after one node: each may have an operand of its own, whose address takes a register.
const STEPS_LIMIT: usize = 8;

pub fn run(graph: &mut Graph) -> bool {
    let mut uses = Uses::of(graph);
    let count = graph.nodes.len();
    for i in 0..count {
        if let Some((taker, v)) = taker(graph, &uses, i) {
            apply(graph, i, taker, v);
            // What takes one step may take the next.
            uses.set_producer(graph.nodes[taker].outputs[0], taker);
        }
    }
    graph.nodes.retain(|n| !n.is_left_behind());
    graph.nodes.len() != count
}

/// For the node at position `i`: the node that takes it, and the result of that.
fn taker(graph: &Graph, uses: &Uses, i: usize) -> Option<(usize, ValueId)> {
    let node = &graph.nodes[i];
    let is_function = node.outputs.len() == 1 && node.op.is_pointwise(&graph.signature(node));
    if !is_function || !node.then.is_empty() || graph.effect(node) != Effect::None {
        return None;
    }
    let result = node.outputs[0];
    let is_sum = matches!(node.op, Op::Add(_) | Op::Sub(_));
    let takers = |takes: &dyn Fn(usize, ValueId) -> bool| {
        node.reads().find_map(|v| {
            let p = uses.producer(v).filter(|p| graph.nodes[*p].then.len() < STEPS_LIMIT)?;
            let is_only_reader = !uses.inner_readers(v).is_empty() && uses.inner_readers(v).iter().all(|r| *r == i);
            let is_there = |w: ValueId| w == v || uses.producer(w).is_none_or(|q| q < p);
            let fits = is_only_reader && node.reads().all(is_there) && graph.ty(v).shape == graph.ty(result).shape;
            // A dimension that is counted at run time stays visible.
            let is_counted = graph.counts.contains_key(&v) || graph.counts.contains_key(&result);
            (fits && !is_counted && takes(p, v)).then_some((p, v))
        })
    };
    let into_product = |p: usize, v: ValueId| {
        let (shape, element) = (&graph.ty(v).shape, graph.ty(v).element);
        let alike = node.reads().all(|w| graph.ty(w).shape == *shape) && element == graph.ty(result).element;
        is_sum && alike && is_product(graph, &graph.nodes[p])
    };
    let into_function = |p: usize, v: ValueId| {
        let before = &graph.nodes[p];
        // What takes more memory than its operand does not exist any earlier.
        let grows = graph.ty(v).size_bytes() < graph.ty(result).size_bytes();
        let is_next = || (p + 1..i).all(|between| graph.nodes[between].is_left_behind());
        before.op.is_pointwise(&graph.signature(before)) && (!grows || is_next())
    };
    takers(&into_product).or_else(|| takers(&into_function))
}

/// The node that is left behind writes nothing.
fn apply(graph: &mut Graph, step: usize, taker: usize, v: ValueId) {
    let from = graph.ty(v).clone();
    let node = &mut graph.nodes[step];
    let (op, operator, outputs) = (node.op.clone(), node.operator, std::mem::take(&mut node.outputs));
    let inputs = std::mem::take(&mut node.inputs).into_iter().map(|w| w.filter(|w| *w != v)).collect();
    let taker = &mut graph.nodes[taker];
    taker.then.push(Then { op, from, inputs, operator });
    taker.outputs = outputs;
}

/// Products whose results go through registers one by one, each exactly once.
fn is_product(graph: &Graph, node: &Node) -> bool {
    matches!(node.op, Op::Conv2d(_) | Op::FullyConnected(_)) && node.input(1).is_some_and(|w| graph.ty(w).element_count() != 0)
}
