//! ADD and SUB become the last step of the product that computes one of their operands.
//!
//! The product's result, as it would have been stored, is in registers: the other operand is read where the sum is written, and one
//! tensor is written and read less. The other operand must be there before the product is computed, so of two products the later one
//! takes the sum.

use super::Uses;
use crate::graph::{Graph, Node, Then, ValueId};
use crate::ops::Op;

/// Sums of one product: each has an operand of its own, whose address takes a register.
const SUMS_LIMIT: usize = 8;

pub fn run(graph: &mut Graph) -> bool {
    let mut uses = Uses::of(graph);
    let count = graph.nodes.len();
    for i in 0..count {
        if let Some((product, v)) = taker(graph, &uses, i) {
            apply(graph, i, product, v);
            // What takes one sum may take the next.
            uses.set_producer(graph.nodes[product].outputs[0], product);
        }
    }
    graph.nodes.retain(|n| !n.is_left_behind());
    graph.nodes.len() != count
}

/// For the sum at position `i`: the product that takes it, and its result.
fn taker(graph: &Graph, uses: &Uses, i: usize) -> Option<(usize, ValueId)> {
    let node = &graph.nodes[i];
    if !matches!(node.op, Op::Add(_) | Op::Sub(_)) || !node.then.is_empty() {
        return None;
    }
    node.reads().find_map(|v| {
        let p = uses.producer(v).filter(|p| uses.inner_readers(v) == [i] && takes(graph, &graph.nodes[*p]))?;
        let is_there = |w: ValueId| w == v || uses.producer(w).is_none_or(|q| q < p);
        let (ty, result) = (graph.ty(v), graph.ty(node.outputs[0]));
        let alike = ty.element == result.element && node.reads().all(|w| graph.ty(w).shape == ty.shape && is_there(w));
        alike.then_some((p, v))
    })
}

/// The node that is left behind writes nothing.
fn apply(graph: &mut Graph, sum: usize, product: usize, v: ValueId) {
    let from = graph.ty(v).clone();
    let node = &mut graph.nodes[sum];
    let (op, operator, outputs) = (node.op.clone(), node.operator, std::mem::take(&mut node.outputs));
    let inputs = std::mem::take(&mut node.inputs).into_iter().map(|w| w.filter(|w| *w != v)).collect();
    let product = &mut graph.nodes[product];
    product.then.push(Then { op, from, inputs, operator });
    product.outputs = outputs;
}

/// Products whose results go through registers one by one, each exactly once.
fn takes(graph: &Graph, node: &Node) -> bool {
    let is_product = matches!(node.op, Op::Conv2d(_) | Op::FullyConnected(_));
    is_product && node.then.len() < SUMS_LIMIT && node.input(1).is_some_and(|w| graph.ty(w).element_count() != 0)
}
