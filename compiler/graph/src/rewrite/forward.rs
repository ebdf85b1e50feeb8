//! Operators that change nothing are passed by: their readers read what they read.
//!
//! - RESHAPE and QUANTIZE to the same type, PAD by nothing, TRANSPOSE to the same order, CONCATENATION of one.
//! - QUANTIZE of DEQUANTIZE with the same scale and zero point: the float is within a millionth of the integer that it came from.
//!
//! The other way round, DEQUANTIZE of QUANTIZE, loses bits and stays.

use super::{Same, Uses};
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Op;
use crate::ops::attributes::Activation;

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    let mut same = Same::of(graph);
    let mut nodes = std::mem::take(&mut graph.nodes);
    let count = nodes.len();
    let mut kept: Vec<Node> = Vec::with_capacity(count);
    let mut position = vec![None; count];
    for (i, mut node) in nodes.drain(..).enumerate() {
        for v in node.reads_mut() {
            *v = same.get(*v);
        }
        let producer = |v: ValueId| uses.producer(v).and_then(|p: usize| kept.get(position[p]?));
        let source = source(graph, &node, producer);
        let passed = node.outputs.len() == 1
            && source.is_some_and(|x| graph.ty(x) == graph.ty(node.outputs[0]) && same.replace(graph, node.outputs[0], x));
        if !passed {
            position[i] = Some(kept.len());
            kept.push(node);
        }
    }
    graph.nodes = kept;
    for v in &mut graph.outputs {
        *v = same.get(*v);
    }
    graph.nodes.len() != count
}

/// The value whose bytes are the node's result if their types are equal.
fn source<'n>(graph: &Graph, node: &Node, producer: impl Fn(ValueId) -> Option<&'n Node>) -> Option<ValueId> {
    let x = node.input(0).filter(|_| node.then.is_empty())?;
    match &node.op {
        op if op.is_view() => Some(x),
        Op::Pad(pad) if pad.before.iter().chain(&pad.after).all(|&n| n == 0) => Some(x),
        Op::Transpose(t) if t.order.is_sorted() => Some(x),
        Op::Concatenation(c) if node.inputs.len() == 1 && c.activation == Activation::None => Some(x),
        Op::Quantize(_) if graph.ty(x) == graph.ty(node.outputs[0]) => Some(x),
        Op::Quantize(_) => {
            let before = producer(x).filter(|p| p.then.is_empty() && matches!(p.op, Op::Dequantize(_)))?;
            // The largest difference from a zero point has 17 bits.
            let is_far_from_overflow = (graph.ty(node.outputs[0]).scale()? * 131072.0).is_finite();
            before.input(0).filter(|_| is_far_from_overflow)
        }
        _ => None,
    }
}
