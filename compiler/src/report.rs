//! What a compilation came to: sizes, the memory plan beside its bounds, the operators.
//!
//! The idea: every stage leaves facts, and here they are told, as text and as JSON.

use crate::fallbacks::{self, Fallback};
use crate::limits::peak;
use crate::pipeline::Compiled;
use crate::signature::Tensor;
use cranelite_graph::diagnostic::quoted;
use cranelite_tile::Line;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Several lines.
pub fn text(compiled: &Compiled) -> String {
    let (sizes, facts, largest) = (&compiled.object, &compiled.facts, &compiled.largest().planned);
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    line(format!("target       {} {}", compiled.triple(), compiled.level_names()));
    for (kind, tensors) in [("input", &compiled.signature.inputs), ("output", &compiled.signature.outputs)] {
        for (i, t) in tensors.iter().enumerate() {
            let formula = t.formula().map(|f| format!(", {f}")).unwrap_or_default();
            line(format!("{:<12} {}{} {}{formula}", format!("{kind} {i}"), quoted(&t.name), t.of_tensor(), t.describe()));
        }
    }
    line(format!("operators    {}, {} multiply-accumulates", facts.operators.len(), grouped(facts.macs())));
    line(format!("parameters   {} bytes in the model", grouped(facts.parameter_bytes())));
    line(format!("constants    {} bytes", grouped(sizes.const_bytes)));
    line(format!("code         {} bytes", grouped(compiled.object.code_bytes)));
    line(format!("stack        {} bytes", grouped(sizes.stack_bytes.into())));
    if 1 < compiled.threads {
        let steps = Line::of(&largest.program.schedule).moments;
        let divided = steps.iter().filter(|s| s.at_once).count();
        line(format!("threads      {}, for {divided} of {} steps", compiled.threads, steps.len()));
    }
    if 0 < sizes.state_bytes {
        line(format!("state        {} bytes, aligned to {}", grouped(sizes.state_bytes), sizes.state_align));
    }
    line(format!("arena        {} bytes, aligned to {}", grouped(sizes.arena_bytes), sizes.arena_align));
    line(format!("  bound of the model     {} bytes (its tensors, operators in file order)", grouped(facts.arena_lower_bound_bytes)));
    line(format!("  bound of the program   {} bytes (with scratch)", grouped(largest.plan.lower_bound_bytes)));
    for level in sizes.levels.iter().filter(|_| 1 < sizes.levels.len()) {
        let [arena, constants, code] = [level.arena_bytes, level.const_bytes, level.code_bytes].map(grouped);
        line(format!("level        {}: arena {arena} bytes, constants {constants} bytes, code {code} bytes", level.name));
    }
    line("  alive at the peak".into());
    for (name, size) in peak(&largest.program, &largest.plan) {
        line(format!("    {:>12}  {}", grouped(size), quoted(name)));
    }
    for (level, forms) in in_all(compiled) {
        line(format!("rescaling    {} (channels of {level})", rescalings(&forms)));
    }
    for (level, sizes) in compiled.levels.iter().zip(&sizes.levels) {
        for fallback in fallbacks::of(sizes, &level.planned.program, facts) {
            line(format!("128 bits     {} of {}", fallback.text(), sizes.name));
        }
    }
    line(String::new());
    let width = facts.operators.iter().map(|o| o.result.chars().count()).max().unwrap_or(0).max(6);
    line(format!("{:>5}  {:<24} {:>15}  {:<width$}  rescaling", "index", "operator", "MACs", "result"));
    let by_operator = by_operator(compiled);
    for o in &facts.operators {
        let mut forms: Vec<String> = by_operator.get(&o.index).into_iter().flat_map(BTreeMap::values).map(rescalings).collect();
        forms.dedup();
        let name = o.within.map_or(o.name.into(), |product| format!("{} (in {product})", o.name));
        let row = format!("{:>5}  {:<24} {:>15}  {:<width$}  {}", o.index, name, grouped(o.macs), o.result, forms.join("; "));
        line(row.trim_end().into());
    }
    out
}

pub fn json(compiled: &Compiled) -> Value {
    let (sizes, facts, largest) = (&compiled.object, &compiled.facts, &compiled.largest().planned);
    let (by_operator, none) = (by_operator(compiled), ByLevel::new());
    let operators = facts.operators.iter().map(|o| {
        let rescaling = by_operator.get(&o.index).unwrap_or(&none);
        json!({ "index": o.index, "name": o.name, "macs": o.macs, "bytes": o.bytes, "result": o.result, "within": o.within, "rescaling": rescaling })
    });
    let peak: Vec<_> = peak(&largest.program, &largest.plan).iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect();
    let levels = sizes.levels.iter().zip(&compiled.levels).map(|(sizes, level)| {
        json!({
            "name": sizes.name,
            "features": level.target.required(),
            "code_bytes": sizes.code_bytes,
            "const_bytes": sizes.const_bytes,
            "arena_bytes": sizes.arena_bytes,
            "arena_align": sizes.arena_align,
            "program_lower_bound_bytes": level.planned.plan.lower_bound_bytes,
            "fallbacks": fallbacks::of(sizes, &level.planned.program, facts).iter().map(fallback).collect::<Vec<_>>(),
        })
    });
    json!({
        "left_out": compiled.left_out,
        "target": compiled.triple(),
        "level": compiled.level_names(),
        "macs": facts.macs(),
        "rescaling": in_all(compiled),
        "parameter_bytes": facts.parameter_bytes(),
        "const_bytes": sizes.const_bytes,
        "code_bytes": compiled.object.code_bytes,
        "arena_bytes": sizes.arena_bytes,
        "arena_align": sizes.arena_align,
        "arena_lower_bound_bytes": facts.arena_lower_bound_bytes,
        "program_lower_bound_bytes": largest.plan.lower_bound_bytes,
        "state_bytes": sizes.state_bytes,
        "state_align": sizes.state_align,
        "stack_bytes": sizes.stack_bytes,
        "threads": compiled.threads,
        "inputs": compiled.signature.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": compiled.signature.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "levels": levels.collect::<Vec<_>>(),
        "operators": operators.collect::<Vec<_>>(),
        "peak": peak,
    })
}

fn fallback(f: &Fallback) -> Value {
    json!({ "operators": f.operators, "reason": f.reason, "kernels": f.kernels })
}

fn tensor(t: &Tensor) -> Value {
    let quantization = t.ty.quantization.as_deref();
    json!({
        "name": t.name,
        "tensor": t.tensor_name,
        "identifier": t.identifier,
        "type": t.ty.element.name(),
        "shape": t.ty.shape,
        "bytes": t.ty.size_bytes(),
        "scales": quantization.map(|q| &q.scales),
        "zero_points": quantization.map(|q| &q.zero_points),
    })
}

/// How many channels are rescaled in which form, at each level where there are any.
type ByLevel<'a> = BTreeMap<&'a str, BTreeMap<&'static str, u64>>;

/// Of each operator that rescales.
fn by_operator(compiled: &Compiled) -> BTreeMap<u32, ByLevel<'_>> {
    let mut all: BTreeMap<u32, ByLevel> = BTreeMap::new();
    for level in &compiled.levels {
        for r in &level.planned.rescalings {
            let of_level = all.entry(r.operator).or_default().entry(level.target.level.as_str()).or_default();
            *of_level.entry(r.form).or_default() += r.channels;
        }
    }
    all
}

/// Of the whole model.
fn in_all(compiled: &Compiled) -> ByLevel<'_> {
    let mut all = ByLevel::new();
    for level in &compiled.levels {
        for r in &level.planned.rescalings {
            *all.entry(level.target.level.as_str()).or_default().entry(r.form).or_default() += r.channels;
        }
    }
    all
}

/// `float 16, integer 3`
fn rescalings(all: &BTreeMap<&str, u64>) -> String {
    all.iter().map(|(form, channels)| format!("{form} {}", grouped(*channels))).collect::<Vec<_>>().join(", ")
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if 0 < i && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_in_groups_of_three() {
        assert_eq!([0, 12, 999, 1000, 1234567].map(super::grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
