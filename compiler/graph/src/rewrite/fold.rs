//! Nodes whose inputs are all constants are computed now.
//!
//! There is no second implementation of operators: a node is lowered by itself and its program interpreted, on one machine for all
//! targets, whose long vectors make that fast. Weights that are only unpacked go through the direct functions of `unpack.rs`; RESHAPE
//! and the like share the bytes. Shapes, axes and the like that operators compute are wanted earlier: the import asks for them. Results without bytes are constants whatever they are computed from. What all this may cost is in `graph::Folding`;
//! a node beyond it stays, and lowering says so where it must not.

use super::unpack;
use crate::graph::{Folding, Graph, Node, ValueId};
use crate::lower::{Goal, lower};
use crate::ops::{Op, Operand, Signature};
use bytes::Bytes;
use cranelite_tile::{ByteDot, Machine, interpret};

/// What lowering a node costs, in elements that are interpreted.
const NODE_WORK: u64 = 1 << 14;

pub fn run(graph: &mut Graph) -> bool {
    let count = graph.nodes.len();
    let mut folding = graph.folding.unwrap_or_else(|| Folding::of(graph));
    let mut nodes = std::mem::take(&mut graph.nodes);
    nodes.retain(|n| match results(graph, n, &mut folding) {
        Some(results) => {
            for (v, data) in n.outputs.iter().zip(results) {
                graph.value_mut(*v).data = Some(data);
            }
            false
        }
        None => true,
    });
    graph.nodes = nodes;
    let changed = graph.nodes.len() != count;
    if changed {
        graph.folding = Some(folding);
    }
    changed
}

/// The bytes of a node's results, if they can be known.
pub fn results(graph: &Graph, node: &Node, folding: &mut Folding) -> Option<Vec<Bytes>> {
    // How often a loop turns is not known.
    if node.op.has_effect() || !node.op.bodies().is_empty() {
        return None;
    }
    let size_bytes: usize = node.outputs.iter().map(|v| graph.ty(*v).size_bytes()).sum();
    if size_bytes == 0 {
        return Some(node.outputs.iter().map(|_| Bytes::new()).collect());
    }
    let inputs: Vec<_> = node.inputs.iter().flatten().map(|v| graph.value(*v)).collect();
    if graph.reads(node).any(|v| graph.value(v).data.is_none()) || !node.then.is_empty() {
        return None;
    }
    // An operator whose inputs are all attributes has none.
    let first = inputs.first().and_then(|v| v.data.as_ref());
    if node.op.is_view() {
        return Some(vec![first?.clone()]);
    }
    let rest = rest(graph, node, *folding)?;
    let unpacked = match &node.op {
        Op::Dequantize(_) => unpack::floats(&inputs[0].ty, first?),
        _ => None,
    };
    let results = match unpacked {
        Some(floats) => vec![floats.iter().flat_map(|f| f.to_le_bytes()).collect()],
        None => interpreted(graph, node)?,
    };
    *folding = rest;
    Some(results)
}

/// What may be spent after a node has been computed; `None` if that takes more.
pub fn rest(graph: &Graph, node: &Node, folding: Folding) -> Option<Folding> {
    let size_bytes = node.outputs.iter().map(|v| graph.ty(*v).size_bytes()).sum();
    Some(Folding { size_bytes: folding.size_bytes.checked_sub(size_bytes)?, work: folding.work.checked_sub(work(graph, node))? })
}

fn work(graph: &Graph, node: &Node) -> u64 {
    let operand = |v| Operand { ty: graph.ty(v), data: None };
    let signature = Signature {
        inputs: node.inputs.iter().map(|v| v.map(operand)).collect(),
        outputs: node.outputs.iter().map(|v| graph.ty(*v)).collect(),
    };
    let values = node.inputs.iter().flatten().chain(&node.outputs);
    NODE_WORK + node.op.macs(&signature) + values.map(|v| graph.ty(*v).element_count() as u64).sum::<u64>()
}

/// A failure is not reported here: the node stays, and lowering it with the others will say why.
pub(super) fn interpreted(graph: &Graph, node: &Node) -> Option<Vec<Bytes>> {
    let mut alone = Graph::default();
    let mut copy = |v| alone.add_value(graph.value(v).clone());
    let inputs: Vec<Option<ValueId>> = node.inputs.iter().map(|v| v.map(&mut copy)).collect();
    let outputs: Vec<_> = node.outputs.iter().map(|v| copy(*v)).collect();
    for (v, own) in node.inputs.iter().zip(&inputs) {
        if let (Some(count), Some(own)) = (v.and_then(|v| graph.counts.get(&v)), own) {
            let count = alone.add_value(graph.value(*count).clone());
            alone.counts.insert(*own, count);
        }
    }
    alone.outputs = outputs.clone();
    alone.nodes = vec![Node { op: node.op.clone(), inputs, outputs, operator: node.operator, then: vec![] }];

    let machine = Machine::example(64, ByteDot::S16S16, false, false);
    let program = lower(&alone, &machine, Goal::Size).ok()?;
    let mut results: Vec<Vec<u8>> = node.outputs.iter().map(|v| vec![0; graph.ty(*v).size_bytes()]).collect();
    let mut slices: Vec<&mut [u8]> = results.iter_mut().map(Vec::as_mut_slice).collect();
    interpret::run(&program, &[], &mut slices).ok()?;
    Some(results.into_iter().map(Bytes::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::graph::Value;
    use crate::tensor::{ElementType, TensorType};
    use crate::text::parse;

    /// FULLY_CONNECTED whose weights are the product of two constants, without their bytes.
    fn product_of_constants(a: [usize; 2], b: [usize; 2], w: [usize; 2]) -> Graph {
        let text = format!(
            "graph \"g\"\ninputs %x\noutputs %y\n%x: f32[1,{1}]\n%a = const f32[1] [1.0]\n%b = const f32[1] [1.0]\n\
             %w: f32[1] = mul %a, %b {{activation=none, pot_scale_int16=false}} @0\n\
             %y: f32[1,{0}] = fully_connected %x, %w, none {{activation=none, keep_num_dims=false, asymmetric_quantize_inputs=false}} @1\n",
            w[0], w[1]
        );
        let mut graph = parse(&text).expect("a graph");
        let floats = |n: usize| -> Bytes { (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect() };
        let weights = graph.nodes[0].outputs[0];
        let [first, second] = [0, 1].map(|i| graph.nodes[0].input(i).expect("an operand"));
        for (v, shape, constant) in [(first, a, true), (second, b, true), (weights, w, false)] {
            let value = graph.value_mut(v);
            value.ty.shape = shape.to_vec();
            value.data = constant.then(|| floats(shape[0] * shape[1]));
        }
        graph
    }

    #[test]
    fn large_constants_are_computed() {
        let mut graph = product_of_constants([725, 725], [725, 725], [725, 725]);
        let weights = graph.nodes[0].outputs[0];
        assert!(run(&mut graph));
        assert_eq!(graph.nodes.len(), 1);
        let data = graph.value(weights).data.clone().expect("a constant");
        let expected: Vec<u8> = (0..725 * 725).flat_map(|i| (i as f32 * i as f32).to_le_bytes()).collect();
        assert!(data[..] == expected[..]);
    }

    /// A few bytes that stand for many stay what they are, and the message says why.
    #[test]
    fn there_is_a_limit_and_it_is_named() {
        let mut graph = product_of_constants([4200, 1], [1, 4200], [4200, 4200]);
        // As the bias, which must be a constant where activations are quantised at run time; no byte of the weights is read before that is seen.
        let ty = TensorType::quantized(ElementType::I8, [4200 * 4200, 1], 0.5, 0);
        let weights = graph.add_value(Value { name: "weights".into(), ty, data: Some(Bytes::new()) });
        let bias = graph.nodes[1].inputs[1];
        graph.nodes[1].inputs = vec![graph.nodes[1].inputs[0], Some(weights), bias];
        assert!(!run(&mut graph));
        let problems = lower(&graph, &Machine::example(16, ByteDot::S16S16, false, false), Goal::Speed).expect_err("no bias");
        assert_eq!(problems[0].code, Code::CONSTANT);
        assert!(problems[0].to_string().contains("computing the bias of activations"), "{}", problems[0]);
    }

    /// What one run has computed is no reason for the next one to compute more.
    #[test]
    fn the_limit_does_not_grow() {
        let mut graph = product_of_constants([725, 725], [725, 725], [725, 725]);
        let before = Folding::of(&graph).size_bytes;
        run(&mut graph);
        assert_eq!(graph.folding.expect("something was computed").size_bytes, before - 4 * 725 * 725);
    }
}
