//! ADD and SUB become the last step of the product that computes one of their operands.
//!
//! The product's result, as it would have been stored, is in registers: the other operand is read where the sum is written, and one
//! tensor is written and read less. The other operand must be there before the product is computed, so of two products the later one
//! takes the sum.

use super::Uses;
use crate::graph::{Graph, Node, Then, ValueId};
use crate::ops::Op;

pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut from = 0;
    // What takes one sum may take the next.
    while let Some((sum, product, v)) = next(graph, from) {
        apply(graph, sum, product, v);
        (from, changed) = (sum, true);
    }
    changed
}

fn next(graph: &Graph, from: usize) -> Option<(usize, usize, ValueId)> {
    let uses = Uses::of(graph);
    (from..graph.nodes.len()).find_map(|i| taker(graph, &uses, i))
}

/// For the sum at position `i`: the product that takes it, and its result.
fn taker(graph: &Graph, uses: &Uses, i: usize) -> Option<(usize, usize, ValueId)> {
    let node = &graph.nodes[i];
    if !matches!(node.op, Op::Add(_) | Op::Sub(_)) || !node.then.is_empty() {
        return None;
    }
    node.reads().find_map(|v| {
        let p = uses.producer(v).filter(|p| uses.inner_readers(v) == [i] && takes(graph, &graph.nodes[*p]))?;
        let is_there = |w: ValueId| w == v || uses.producer(w).is_none_or(|q| q < p);
        let (ty, result) = (graph.ty(v), graph.ty(node.outputs[0]));
        let alike = ty.element == result.element && node.reads().all(|w| graph.ty(w).shape == ty.shape && is_there(w));
        alike.then_some((i, p, v))
    })
}

fn apply(graph: &mut Graph, sum: usize, product: usize, v: ValueId) {
    let from = graph.ty(v).clone();
    let node = graph.nodes.remove(sum);
    let inputs = node.inputs.into_iter().map(|w| w.filter(|w| *w != v)).collect();
    let product = &mut graph.nodes[product];
    product.then.push(Then { op: node.op, from, inputs, operator: node.operator });
    product.outputs = node.outputs;
}

/// Products whose results go through registers one by one, each exactly once.
fn takes(graph: &Graph, node: &Node) -> bool {
    let is_product = matches!(node.op, Op::Conv2d(_) | Op::FullyConnected(_));
    is_product && node.input(1).is_some_and(|w| graph.ty(w).element_count() != 0)
}
