//! What a compilation came to: sizes, the memory plan beside its bounds, the operators.
//!
//! The idea: every stage leaves facts, and here they are told, as text and as JSON.

use crate::limits::peak;
use crate::pipeline::Compiled;
use crate::signature::Tensor;
use serde_json::{Value, json};
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
            line(format!("{:<12} \"{}\" {}{formula}", format!("{kind} {i}"), t.name, t.describe()));
        }
    }
    line(format!("operators    {}, {} multiply-accumulates", facts.operators.len(), grouped(facts.macs())));
    line(format!("parameters   {} bytes in the model", grouped(facts.parameter_bytes())));
    line(format!("constants    {} bytes", grouped(sizes.const_bytes)));
    line(format!("code         {} bytes", grouped(compiled.object.code_bytes)));
    line(format!("stack        {} bytes", grouped(sizes.stack_bytes.into())));
    line(format!("arena        {} bytes, aligned to {}", grouped(sizes.arena_bytes), sizes.arena_align));
    line(format!("  bound of the model     {} bytes (its tensors, operators in file order)", grouped(facts.arena_lower_bound_bytes)));
    line(format!("  bound of the program   {} bytes (with scratch)", grouped(largest.plan.lower_bound_bytes)));
    line("  alive at the peak".into());
    for (name, size) in peak(&largest.program, &largest.plan) {
        line(format!("    {:>12}  {name}", grouped(size)));
    }
    line(String::new());
    line(format!("{:>5}  {:<24} {:>15}  result", "index", "operator", "MACs"));
    for o in &facts.operators {
        line(format!("{:>5}  {:<24} {:>15}  {}", o.index, o.name, grouped(o.macs), o.result));
    }
    out
}

pub fn json(compiled: &Compiled) -> Value {
    let (sizes, facts, largest) = (&compiled.object, &compiled.facts, &compiled.largest().planned);
    let operators = facts.operators.iter().map(|o| json!({ "index": o.index, "name": o.name, "macs": o.macs, "result": o.result }));
    let peak: Vec<_> = peak(&largest.program, &largest.plan).iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect();
    json!({
        "target": compiled.triple(),
        "level": compiled.level_names(),
        "macs": facts.macs(),
        "parameter_bytes": facts.parameter_bytes(),
        "const_bytes": sizes.const_bytes,
        "code_bytes": compiled.object.code_bytes,
        "arena_bytes": sizes.arena_bytes,
        "arena_align": sizes.arena_align,
        "arena_lower_bound_bytes": facts.arena_lower_bound_bytes,
        "program_lower_bound_bytes": largest.plan.lower_bound_bytes,
        "state_bytes": 0,
        "stack_bytes": sizes.stack_bytes,
        "inputs": compiled.signature.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": compiled.signature.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "operators": operators.collect::<Vec<_>>(),
        "peak": peak,
    })
}

fn tensor(t: &Tensor) -> Value {
    let quantization = t.ty.quantization.as_deref();
    json!({
        "name": t.name,
        "identifier": t.identifier,
        "type": t.ty.element.name(),
        "shape": t.ty.shape,
        "bytes": t.ty.size_bytes(),
        "scales": quantization.map(|q| &q.scales),
        "zero_points": quantization.map(|q| &q.zero_points),
    })
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
