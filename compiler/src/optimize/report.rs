//! What was changed, for people and as JSON.

use super::numbers::NumberFacts;
use super::{LeftAlone, Optimized, WeightChange, WeightPlace};
use crate::array::Shape;
use crate::report::grouped;
use cranelite_graph::diagnostic::quoted;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

impl Optimized {
    /// Tensors that were changed, then what stays as it is.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
        let row = |[index, operator, shape, types, zeros, distinct, bytes, least, error, tensor]: [&str; 10]| {
            format!(
                "{index:>5}  {operator:<24} {shape:>17}  {types:<9} {zeros:>17}  {distinct:>15}  {bytes:>21}  {least:>10}  {error:>8}  {tensor}"
            )
        };
        line(row(["index", "operator", "shape", "type", "zeros", "distinct", "bytes", "at least", "error", "tensor"]));
        for c in &self.changes {
            let WeightPlace { operator_name, shape, tensor, .. } = &c.place;
            let [from, to] = c.elements.map(|e| e.name().to_string());
            line(row([
                &index(&c.place),
                operator_name,
                &Shape(shape).to_string(),
                &before_after(from, to),
                &before_after(percent(c.before.zero_share()), percent(c.after.zero_share())),
                &before_after(grouped(c.before.distinct as u64), grouped(c.after.distinct as u64)),
                &before_after(grouped(c.before.bytes as u64), grouped(c.after.bytes as u64)),
                &grouped(c.after.least_bytes as u64),
                &percent(c.error),
                &quoted(tensor),
            ]));
        }
        let (before, after) = (sum(&self.changes, |c| c.before), sum(&self.changes, |c| c.after));
        line(format!(
            "all: {} tensor{}, {} weights; zeros {}; {} bytes of weights, at least {} as a code of single weights (before {})",
            self.changes.len(),
            if self.changes.len() == 1 { "" } else { "s" },
            grouped(after.count as u64),
            before_after(percent(before.zero_share()), percent(after.zero_share())),
            before_after(grouped(before.bytes as u64), grouped(after.bytes as u64)),
            grouped(after.least_bytes as u64),
            grouped(before.least_bytes as u64),
        ));
        reasons(&self.left).into_iter().for_each(|reason| line(format!("left alone: {reason}")));
        out
    }

    pub fn to_json(&self) -> Value {
        let change = |c: &WeightChange| {
            let mut value = place(&c.place);
            value["type"] = json!({ "before": c.elements[0].name(), "after": c.elements[1].name() });
            value["weights"] = json!(c.before.count);
            value["before"] = facts(&c.before);
            value["after"] = facts(&c.after);
            value["error"] = json!(c.error);
            value
        };
        let left = |l: &LeftAlone| {
            let mut value = place(&l.place);
            value["why"] = json!(l.why);
            value
        };
        let (before, after) = (sum(&self.changes, |c| c.before), sum(&self.changes, |c| c.after));
        json!({
            "file_bytes": { "before": self.bytes_before, "after": self.model.len() },
            "changed": self.changes.iter().map(change).collect::<Vec<_>>(),
            "left_alone": self.left.iter().map(left).collect::<Vec<_>>(),
            "weights": after.count,
            "zeros": { "before": before.zeros, "after": after.zeros },
            "bytes": { "before": before.bytes, "after": after.bytes },
            "least_bytes": { "before": before.least_bytes, "after": after.least_bytes },
        })
    }
}

/// Why what stays as it is: each reason once, with some of the operators.
pub fn reasons(left: &[LeftAlone]) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut by_reason: BTreeMap<&str, Vec<&WeightPlace>> = BTreeMap::new();
    left.iter().for_each(|l| by_reason.entry(&l.why).or_default().push(&l.place));
    let reason = |(why, all): (&str, Vec<&WeightPlace>)| {
        let shown: Vec<String> = all.iter().take(SHOWN).map(|p| format!("{} {}", index(p), p.operator_name)).collect();
        let more = if SHOWN < all.len() { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
        format!("{}{more}: {why}", shown.join(", "))
    };
    by_reason.into_iter().map(reason).collect()
}

/// Of an operator; behind the number of its subgraph, but for the first.
fn index(p: &WeightPlace) -> String {
    if p.subgraph == 0 { p.operator.to_string() } else { format!("{}:{}", p.subgraph, p.operator) }
}

impl NumberFacts {
    fn zero_share(&self) -> f64 {
        self.zeros as f64 / self.count.max(1) as f64
    }
}

/// Of all tensors; distinct numbers of different tensors are not added.
fn sum(changes: &[WeightChange], of: impl Fn(&WeightChange) -> NumberFacts) -> NumberFacts {
    changes.iter().map(of).fold(NumberFacts::default(), |a, b| NumberFacts {
        count: a.count + b.count,
        zeros: a.zeros + b.zeros,
        distinct: 0,
        bytes: a.bytes + b.bytes,
        least_bytes: a.least_bytes + b.least_bytes,
    })
}

fn place(p: &WeightPlace) -> Value {
    json!({ "subgraph": p.subgraph, "index": p.operator, "operator": p.operator_name, "tensor": p.tensor, "shape": p.shape })
}

fn facts(f: &NumberFacts) -> Value {
    json!({ "zeros": f.zeros, "distinct": f.distinct, "bytes": f.bytes, "least_bytes": f.least_bytes })
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// One of both where they are the same.
fn before_after(before: String, after: String) -> String {
    if before == after { after } else { format!("{before} > {after}") }
}
