//! Graph to text.
//!
//! Not a report for people in a hurry: every value has its line. The idea: lines stand in the order of values' indices except that
//! nodes stand in their order, so the text reads in the order of execution.

use crate::graph::{Graph, Node, Value, ValueId};
use crate::ops::Op;
use crate::tensor::{ElementType, Quantization, TensorType};
use cranelite_tile::text::quoted;
use std::fmt::Write;

/// How much of constants to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constants {
    /// All bytes; the text can be parsed.
    Whole,
    /// Of more than `LIST_LENGTH` elements only the size and a hash.
    Shortened,
}

/// Constants up to this many elements are printed as lists of numbers.
const LIST_LENGTH: usize = 16;

pub fn print(graph: &Graph, constants: Constants) -> String {
    let mut out = format!("graph {}\ninputs{}\noutputs{}\n", quoted(&graph.name), ids(&graph.inputs), ids(&graph.outputs));
    let mut printed = vec![false; graph.values.len()];
    let mut produced = vec![false; graph.values.len()];
    for id in graph.nodes.iter().flat_map(|n| &n.outputs) {
        if let Some(p) = produced.get_mut(id.0 as usize) {
            *p = true;
        }
    }
    // Values without a producer come as late as they can: before the first node with a result after them or at the end.
    let mut next = 0;
    let mut leaves_before = |end: usize, out: &mut String| {
        while next < end {
            if !produced[next] && !std::mem::replace(&mut printed[next], true) {
                leaf(out, next, graph, constants);
            }
            next += 1;
        }
    };
    for n in &graph.nodes {
        let end = n.outputs.first().map_or(0, |o| o.0 as usize).min(graph.values.len());
        leaves_before(end, &mut out);
        node(&mut out, graph, n, constants);
    }
    leaves_before(graph.values.len(), &mut out);
    out
}

fn ids(ids: &[ValueId]) -> String {
    let items: Vec<String> = ids.iter().map(|v| format!(" %{}", v.0)).collect();
    items.join(",")
}

fn leaf(out: &mut String, index: usize, graph: &Graph, constants: Constants) {
    let value = &graph.values[index];
    let name = name(value);
    let state = graph.state(ValueId(index as u32));
    match &value.data {
        None if state.is_some() => {
            let data = state.and_then(|s| s.initial.as_ref()).map_or("zeros".into(), |data| data_text(&value.ty, data, constants));
            let _ = writeln!(out, "%{index} = state {}{name} {data}", type_text(&value.ty));
        }
        None => out.push_str(&format!("%{index}: {}{name}\n", type_text(&value.ty))),
        Some(data) => {
            let _ = writeln!(out, "%{index} = const {}{name} {}", type_text(&value.ty), data_text(&value.ty, data, constants));
        }
    }
}

fn node(out: &mut String, graph: &Graph, n: &Node, constants: Constants) {
    let results: Vec<String> = n
        .outputs
        .iter()
        .map(|v| match graph.values.get(v.0 as usize) {
            Some(value) => {
                let count = graph.counts.get(v).map_or(String::new(), |c| format!(" count %{}", c.0));
                format!("%{}: {}{}{count}", v.0, type_text(&value.ty), name(value))
            }
            None => format!("%{}: ?", v.0),
        })
        .collect();
    let assigned = if results.is_empty() { String::new() } else { format!("{} = ", results.join(", ")) };
    let _ = write!(out, "{assigned}{}", application(&n.op, &n.inputs, "none", n.operator));
    for t in &n.then {
        let _ = write!(out, " then {} {}", type_text(&t.from), application(&t.op, &t.inputs, "it", t.operator));
    }
    out.push('\n');
    for body in n.op.bodies() {
        let _ = write!(out, "body\n{}end\n", print(body, constants));
    }
}

/// An operator with its operands, and a word for those that are not values.
fn application(op: &Op, inputs: &[Option<ValueId>], absent: &str, operator: u32) -> String {
    let inputs: Vec<String> = inputs.iter().map(|i| i.map_or(format!(" {absent}"), |v| format!(" %{}", v.0))).collect();
    let fields: Vec<String> = op.fields().iter().map(|(name, f)| format!("{name}={f}")).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" {{{}}}", fields.join(", ")) };
    format!("{}{}{fields} @{operator}", op.name().to_ascii_lowercase(), inputs.join(","))
}

fn name(value: &Value) -> String {
    if value.name.is_empty() { String::new() } else { format!(" {}", quoted(&value.name)) }
}

/// Element type, shape and quantisation, such as `i8[1,4] q(0.1, 4)`.
pub fn type_text(ty: &TensorType) -> String {
    let shape: Vec<String> = ty.shape.iter().map(usize::to_string).collect();
    let quantization = ty.quantization.as_ref().map_or(String::new(), |q| format!(" {}", quantization_text(q)));
    format!("{}[{}]{quantization}", ty.element, shape.join(","))
}

fn quantization_text(q: &Quantization) -> String {
    if let ([scale], [zero_point], 0) = (q.scales.as_slice(), q.zero_points.as_slice(), q.axis) {
        return format!("q({scale:?}, {zero_point})");
    }
    let scales: Vec<String> = q.scales.iter().map(|s| format!("{s:?}")).collect();
    let zero_points: Vec<String> = q.zero_points.iter().map(i64::to_string).collect();
    format!("qc(axis={}, scales=[{}], zero_points=[{}])", q.axis, scales.join(", "), zero_points.join(", "))
}

fn data_text(ty: &TensorType, data: &[u8], constants: Constants) -> String {
    let short = ty.element_count() <= LIST_LENGTH;
    if short && let Some(list) = list_text(ty.element, data) {
        return list;
    }
    if !short && constants == Constants::Shortened {
        return format!("({} bytes, hash {:016x})", data.len(), hash(data));
    }
    let mut out = String::from("0x");
    for byte in data {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Numbers in brackets; `None` for types without such a form and for NaN, whose bits a decimal would lose.
fn list_text(element: ElementType, data: &[u8]) -> Option<String> {
    fn items<const N: usize>(data: &[u8], show: impl Fn([u8; N]) -> String) -> Option<Vec<String>> {
        data.chunks(N).map(|c| c.try_into().ok().map(&show)).collect()
    }
    let items = match element {
        ElementType::I8 => items(data, |b| i8::from_le_bytes(b).to_string()),
        ElementType::U8 => items(data, |b| u8::from_le_bytes(b).to_string()),
        ElementType::I16 => items(data, |b| i16::from_le_bytes(b).to_string()),
        ElementType::I32 => items(data, |b| i32::from_le_bytes(b).to_string()),
        ElementType::I64 => items(data, |b| i64::from_le_bytes(b).to_string()),
        ElementType::F32 => {
            if data.chunks(4).any(|c| c.try_into().is_ok_and(|b| f32::from_le_bytes(b).is_nan())) {
                return None;
            }
            items(data, |b| format!("{:?}", f32::from_le_bytes(b)))
        }
        _ => return None,
    }?;
    Some(format!("[{}]", items.join(", ")))
}

/// FNV-1a of 64 bits: stable over hosts and versions, good enough to see that constants differ.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3))
}
