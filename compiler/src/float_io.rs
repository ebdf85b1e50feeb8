//! Inputs and outputs as real numbers, for `--float-io`.
//!
//! The idea: QUANTIZE and DEQUANTIZE stand at the edges of the graph before anything else looks at it, so numbers are those of the
//! reference's operators, and header, plan and report follow by themselves. What is not quantised as a whole stays as it is.

use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::ops::{Op, dequantize, quantize};
use cranelite_graph::tensor::ElementType::{F32, I8, I16, U8};
use cranelite_graph::tensor::TensorType;

/// The new operators have the numbers after the model's.
pub fn apply(graph: &mut Graph) {
    let mut operator = graph.nodes.iter().map(|n| n.operator + 1).max().unwrap_or(0);
    let mut node = |op, input, output| {
        operator += 1;
        Node { op, inputs: vec![Some(input)], outputs: vec![output], operator: operator - 1, then: vec![] }
    };
    let mut first = vec![];
    for i in 0..graph.inputs.len() {
        let quantized = graph.inputs[i];
        if let Some(real) = real(graph, quantized) {
            graph.inputs[i] = real;
            first.push(node(Op::Quantize(quantize::Attributes {}), real, quantized));
        }
    }
    graph.nodes.splice(0..0, first);
    for i in 0..graph.outputs.len() {
        let quantized = graph.outputs[i];
        if let Some(real) = real(graph, quantized) {
            graph.outputs[i] = real;
            graph.nodes.push(node(Op::Dequantize(dequantize::Attributes {}), quantized, real));
        }
    }
}

/// A new value of floats for one that is quantised as a whole.
fn real(graph: &mut Graph, quantized: ValueId) -> Option<ValueId> {
    let Value { name, ty, .. } = graph.value(quantized);
    let is_quantized = [I8, U8, I16].contains(&ty.element) && ty.quantization.as_ref().is_some_and(|q| q.is_per_tensor());
    let real = is_quantized.then(|| Value { name: name.clone(), ty: TensorType::new(F32, ty.shape.clone()), data: None })?;
    Some(graph.add_value(real))
}
