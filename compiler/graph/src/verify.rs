//! The verifier of graphs: what every pass may rely on and must keep.
//!
//! Not a check of models: import reports those to the user. An error here is a mistake of ours. The idea: ids in range, one producer
//! for each value, nothing read before it is written, constants of the right size, and types that agree with `infer`; and all of it in the
//! bodies, too.

use crate::graph::{Graph, Value, ValueId};
use crate::ops::{Op, Signature};
use crate::tensor::ElementType;
use crate::text::print::type_text;

/// Every rule that the graph, or a body in it, breaks, in words.
pub fn verify(graph: &Graph) -> Result<(), Vec<String>> {
    let errors: Vec<String> = graph.with_bodies().into_iter().flat_map(of_one).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn of_one(graph: &Graph) -> Vec<String> {
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
    errors
}

fn ids(graph: &Graph) -> Vec<String> {
    let in_range = |v: &&ValueId| graph.values.len() <= v.0 as usize;
    let of_graph = graph
        .inputs
        .iter()
        .chain(&graph.outputs)
        .chain(graph.states.iter().map(|s| &s.value))
        .chain(graph.counts.iter().flat_map(|(v, count)| [v, count]))
        .filter(in_range)
        .map(|v| format!("the graph names %{}, which does not exist", v.0));
    let of_nodes = graph.nodes.iter().enumerate().flat_map(|(i, n)| {
        let ids = n.reads().chain(n.outputs.iter().copied());
        ids.filter(|v| in_range(&v)).map(move |v| format!("node {i} {}: %{} does not exist", n.op.name(), v.0))
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
    if !graph.states.is_sorted_by_key(|s| s.value) {
        errors.push("the states are not in the order of their values".into());
    }
    for s in &graph.states {
        if std::mem::replace(&mut written[s.value.0 as usize], true) {
            errors.push(format!("state %{} is a constant, an input or a state twice", s.value.0));
        }
        if s.initial.as_ref().is_some_and(|data| data.len() != graph.ty(s.value).size_bytes()) {
            errors.push(format!("state %{} does not have as many bytes at first as later", s.value.0));
        }
    }
    for (v, count) in &graph.counts {
        let ty = graph.ty(*count);
        if ty.element != ElementType::I32 || ty.element_count() != 1 || graph.ty(*v).rank() == 0 {
            errors.push(format!("%{}: its first dimension cannot be counted by {}", v.0, type_text(ty)));
        }
    }
    for (i, n) in graph.nodes.iter().enumerate() {
        let name = n.op.name();
        for at in n.op.writes() {
            if !n.input(at).is_some_and(|v| graph.is_state(v)) {
                errors.push(format!("node {i} {name}: writes its input {at}, which is no state"));
            }
        }
        errors.extend(n.reads().filter(|v| !written[v.0 as usize]).map(|v| format!("node {i} {name}: reads %{} too early", v.0)));
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
        application(i, &n.op, &graph.signature(n), errors);
        for (at, t) in n.then.iter().enumerate() {
            application(i, &t.op, &graph.signature_of_step(n, at), errors);
        }
    }
}

fn application(node: usize, op: &Op, signature: &Signature, errors: &mut Vec<String>) {
    let outputs = &signature.outputs;
    match op.infer_rewritten(signature) {
        Ok(shapes) if shapes.len() != outputs.len() => {
            errors.push(format!("node {node} {}: {} results, infer gives {}", op.name(), outputs.len(), shapes.len()));
        }
        Ok(shapes) => {
            for (ty, shape) in outputs.iter().zip(shapes).filter(|(ty, shape)| ty.shape != *shape) {
                errors.push(format!("node {node} {}: a result is {}, infer gives {shape:?}", op.name(), type_text(ty)));
            }
        }
        Err(d) => errors.push(format!("node {node} {}: {d}", op.name())),
    }
}
