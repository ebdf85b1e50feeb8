//! The verifier of graphs: what every pass may rely on and must keep.
//!
//! Not a check of models: import reports those to the user. An error here is a mistake of ours. The idea: ids in range, one producer
//! for each value, nothing read before it is written, constants of the right size, and types that agree with `infer`.

use crate::graph::{Graph, Value, ValueId};
use crate::ops::{Operand, Signature};
use crate::text::print::type_text;

/// Every rule that the graph breaks, in words.
pub fn verify(graph: &Graph) -> Result<(), Vec<String>> {
    let mut errors = ids(graph);
    // Everything else indexes values.
    if errors.is_empty() {
        order(graph, &mut errors);
        for (i, v) in graph.values.iter().enumerate() {
            value(i, v, &mut errors);
        }
        if errors.is_empty() {
            types(graph, &mut errors);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn ids(graph: &Graph) -> Vec<String> {
    let in_range = |v: &&ValueId| graph.values.len() <= v.0 as usize;
    let of_graph =
        graph.inputs.iter().chain(&graph.outputs).filter(in_range).map(|v| format!("the graph names %{}, which does not exist", v.0));
    let of_nodes = graph.nodes.iter().enumerate().flat_map(|(i, n)| {
        let ids = n.inputs.iter().flatten().chain(&n.outputs);
        ids.filter(in_range).map(move |v| format!("node {i} {}: %{} does not exist", n.op.name(), v.0))
    });
    of_graph.chain(of_nodes).collect()
}

fn order(graph: &Graph, errors: &mut Vec<String>) {
    let mut written: Vec<bool> = graph.values.iter().map(|v| v.data.is_some()).collect();
    for &v in &graph.inputs {
        if std::mem::replace(&mut written[v.0 as usize], true) {
            errors.push(format!("input %{} is a constant or an input twice", v.0));
        }
    }
    for (i, n) in graph.nodes.iter().enumerate() {
        let name = n.op.name();
        errors.extend(
            n.inputs.iter().flatten().filter(|v| !written[v.0 as usize]).map(|v| format!("node {i} {name}: reads %{} too early", v.0)),
        );
        for v in &n.outputs {
            if std::mem::replace(&mut written[v.0 as usize], true) {
                errors.push(format!("node {i} {name}: writes %{}, which is an input, a constant or written already", v.0));
            }
        }
    }
    errors.extend(graph.outputs.iter().filter(|v| !written[v.0 as usize]).map(|v| format!("output %{} is never written", v.0)));
}

fn value(index: usize, v: &Value, errors: &mut Vec<String>) {
    if v.ty.element.bits().is_none() {
        errors.push(format!("%{index}: {} has no size", v.ty.element));
    }
    if let Some(data) = &v.data
        && data.len() != v.ty.size_bytes()
    {
        errors.push(format!("%{index}: {} bytes of data for {}", data.len(), type_text(&v.ty)));
    }
    if let Some(q) = &v.ty.quantization {
        let per_axis = v.ty.shape.get(q.axis) == Some(&q.scales.len());
        if q.zero_points.len() != q.scales.len() || (q.scales.len() != 1 && !per_axis) {
            errors.push(format!("%{index}: quantisation does not fit {}", type_text(&v.ty)));
        }
        if q.scales.iter().any(|s| !(0.0 <= *s && *s < f32::INFINITY)) {
            errors.push(format!("%{index}: a scale of {} is negative or not finite", type_text(&v.ty)));
        }
    }
}

fn types(graph: &Graph, errors: &mut Vec<String>) {
    for (i, n) in graph.nodes.iter().enumerate() {
        let operand = |v: ValueId| Operand { ty: graph.ty(v), data: graph.value(v).data.as_deref() };
        let signature = Signature {
            inputs: n.inputs.iter().map(|v| v.map(operand)).collect(),
            outputs: n.outputs.iter().map(|v| graph.ty(*v)).collect(),
        };
        match n.op.infer(&signature) {
            Ok(shapes) if shapes.len() != n.outputs.len() => {
                errors.push(format!("node {i} {}: {} results, infer gives {}", n.op.name(), n.outputs.len(), shapes.len()));
            }
            Ok(shapes) => {
                for (v, shape) in n.outputs.iter().zip(shapes).filter(|(v, shape)| graph.ty(**v).shape != *shape) {
                    errors.push(format!("node {i} {}: %{} is {}, infer gives {shape:?}", n.op.name(), v.0, type_text(graph.ty(*v))));
                }
            }
            Err(d) => errors.push(format!("node {i} {}: {d}", n.op.name())),
        }
    }
}
