//! What a compilation came to: sizes, the memory plan beside its bounds, the operators.
//!
//! The idea: every stage leaves facts, and here they are told, as text and as JSON.

use crate::compression::{Choice, Compressed};
use crate::facts::Facts;
use crate::fallbacks::{self, Fallback};
use crate::limits::peak;
use crate::pipeline::{Compiled, Entry};
use crate::signature::Tensor;
use cranelite_codegen::object::{EntryFacts, LevelFacts};
use cranelite_graph::diagnostic::quoted;
use cranelite_tile::Line;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Several lines.
pub fn text(compiled: &Compiled) -> String {
    let sizes = &compiled.object;
    let mut out = format!("target       {} {}\n", compiled.triple(), compiled.level_names());
    if let [entry] = &compiled.entries[..] {
        out += &tensors(entry);
        out += &work(&entry.facts);
        out += &in_object(compiled);
        out += &arena(sizes.arena_bytes, sizes.arena_align, entry);
        out += &levels(&sizes.levels);
        return out + &plan(entry, &sizes.entries[0]);
    }
    out += &in_object(compiled);
    out += &format!("arena        {} bytes, aligned to {}, the largest\n", grouped(sizes.arena_bytes), sizes.arena_align);
    out += &levels(&sizes.levels);
    for (entry, sizes) in compiled.entries.iter().zip(&sizes.entries) {
        out += &format!("\nsignature    {}, in C {}_invoke\n", quoted(&entry.key), entry.prefix);
        out += &tensors(entry);
        out += &work(&entry.facts);
        out += &arena(sizes.arena_bytes, sizes.arena_align, entry);
        out += &plan(entry, sizes);
    }
    out
}

fn tensors(entry: &Entry) -> String {
    let mut out = String::new();
    for (kind, tensors) in [("input", &entry.signature.inputs), ("output", &entry.signature.outputs)] {
        for (i, t) in tensors.iter().enumerate() {
            let formula = t.formula().map(|f| format!(", {f}")).unwrap_or_default();
            let sensor = Some(format!(", {}", t.sensor)).filter(|_| !t.sensor.is_empty()).unwrap_or_default();
            out += &format!("{:<12} {}{} {}{formula}{sensor}\n", format!("{kind} {i}"), quoted(&t.name), t.of_tensor(), t.describe());
        }
    }
    out
}

fn work(facts: &Facts) -> String {
    let mut out = format!("operators    {}, {} multiply-accumulates\n", facts.operators.len(), grouped(facts.macs()));
    if facts.computed_macs() < facts.macs() {
        let percent = 100.0 * (1.0 - facts.computed_macs() as f64 / facts.macs() as f64);
        out += &format!("  computed   {} of them: the others, {percent:.1} %, change no output\n", grouped(facts.computed_macs()));
    }
    out + &format!("parameters   {} bytes in the model\n", grouped(facts.parameter_bytes()))
}

/// What is there once for all signatures.
fn in_object(compiled: &Compiled) -> String {
    let sizes = &compiled.object;
    let mut out = format!("constants    {} bytes\n", grouped(sizes.const_bytes));
    out += &compiled.compressed.as_ref().map(compressed).unwrap_or_default();
    for (what, bytes) in [("code", compiled.code_bytes()), ("stack", compiled.stack_bytes())] {
        out += &bytes.map_or(String::new(), |bytes| format!("{what:<12} {} bytes\n", grouped(bytes)));
    }
    if 1 < compiled.threads {
        let lines = compiled.entries.iter().map(|e| Line::of(&e.largest().planned.program.schedule));
        let (mut steps, mut divided) = (0, 0);
        for line in lines {
            steps += line.moments.len();
            divided += line.moments.iter().filter(|s| s.at_once).count();
        }
        out += &format!("threads      {}, for {divided} of {steps} steps\n", compiled.threads);
    }
    if 0 < sizes.state_bytes {
        out += &format!("state        {} bytes, aligned to {}\n", grouped(sizes.state_bytes), sizes.state_align);
    }
    out
}

/// What became of constants, and what else could have.
fn compressed(c: &Compressed) -> String {
    let mut out = format!("  packed     {}{}\n", c.how.name(), if c.picked { ", for less flash" } else { "" });
    let width = c.groups.iter().map(|g| g.scheme.len()).max().unwrap_or(0);
    if c.groups.is_empty() {
        out += "    no constant takes enough fewer bytes\n";
    }
    for g in &c.groups {
        let [bytes, packed, bound] = [g.bytes, g.packed_bytes, g.bound_bytes].map(grouped);
        let constants = if g.constants == 1 { "constant" } else { "constants" };
        out +=
            &format!("    {:<width$}  {:>4} {constants} of {bytes} bytes in {packed} (entropy of bytes: {bound})\n", g.scheme, g.constants);
    }
    for choice in &c.choices {
        let [constants, arena, prepared] = [choice.const_bytes, choice.arena_bytes, choice.prepared_bytes].map(grouped);
        let prepared = if 0 < choice.prepared_bytes { format!(", prepared {prepared}") } else { String::new() };
        let decoding = if 0.0 < choice.decoding_percent {
            format!(", decoding {:.1} % of a call's other work", choice.decoding_percent)
        } else {
            String::new()
        };
        out += &format!("    {:<18} constants {constants} bytes, arena {arena}{prepared}{decoding}\n", choice_name(choice));
    }
    out
}

fn choice_name(choice: &Choice) -> &'static str {
    choice.how.map_or("as they are", |how| how.name())
}

fn compressed_json(c: &Compressed) -> Value {
    let groups = c.groups.iter().map(|g| {
        json!({
            "scheme": g.scheme,
            "constants": g.constants,
            "bytes": g.bytes,
            "packed_bytes": g.packed_bytes,
            "entropy_bytes": g.bound_bytes,
        })
    });
    let choices = c.choices.iter().map(|choice| {
        json!({
            "how": choice.how.map(|how| how.name()),
            "const_bytes": choice.const_bytes,
            "arena_bytes": choice.arena_bytes,
            "prepared_bytes": choice.prepared_bytes,
            "decoding_percent": choice.decoding_percent,
        })
    });
    json!({
        "how": c.how.name(),
        "picked": c.picked,
        "groups": groups.collect::<Vec<_>>(),
        "choices": choices.collect::<Vec<_>>(),
    })
}

fn arena(bytes: u64, align: u32, entry: &Entry) -> String {
    let (model, program) = (entry.facts.arena_lower_bound_bytes, entry.largest().planned.plan.lower_bound_bytes);
    format!(
        "arena        {} bytes, aligned to {align}\n  bound of the model     {} bytes (its tensors, operators in file order)\n  \
         bound of the program   {} bytes (with scratch)\n",
        grouped(bytes),
        grouped(model),
        grouped(program)
    )
}

fn levels(levels: &[LevelFacts]) -> String {
    let mut out = String::new();
    for level in levels.iter().filter(|_| 1 < levels.len()) {
        let [arena, constants, code] = [level.arena_bytes, level.const_bytes, level.code_bytes].map(grouped);
        out += &format!("level        {}: arena {arena} bytes, constants {constants} bytes, code {code} bytes\n", level.name);
    }
    out
}

/// The peak of the arena, and the operators.
fn plan(entry: &Entry, sizes: &EntryFacts) -> String {
    let (facts, largest) = (&entry.facts, &entry.largest().planned);
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    line("  alive at the peak".into());
    for (name, size) in peak(&largest.program, &largest.plan) {
        line(format!("    {:>12}  {}", grouped(size), quoted(name)));
    }
    for (level, forms) in in_all(entry) {
        line(format!("rescaling    {} (channels of {level})", rescalings(&forms)));
    }
    for (level, sizes) in entry.levels.iter().zip(&sizes.levels) {
        for fallback in fallbacks::of(sizes, &level.planned.program, facts) {
            line(format!("128 bits     {} of {}", fallback.text(), sizes.name));
        }
    }
    line(String::new());
    let width = facts.operators.iter().map(|o| o.result.chars().count()).max().unwrap_or(0).max(6);
    line(format!("{:>5}  {:<24} {:>15}  {:<width$}  rescaling", "index", "operator", "MACs", "result"));
    let by_operator = by_operator(entry);
    for o in &facts.operators {
        let mut forms: Vec<String> = by_operator.get(&o.index).into_iter().flat_map(BTreeMap::values).map(rescalings).collect();
        forms.dedup();
        forms = vec![forms.join("; ")];
        if 0 < o.dead_channels {
            forms.push(format!("({} of {} channels are dead)", grouped(o.dead_channels), grouped(o.channels)));
        }
        let name = o.within.map_or(o.name.into(), |product| format!("{} (in {product})", o.name));
        let row = format!("{:>5}  {:<24} {:>15}  {:<width$}  {}", o.index, name, grouped(o.macs), o.result, forms.join(" ").trim_start());
        line(row.trim_end().into());
    }
    out
}

/// What a signature has of its own is in the object itself where it is the only one, and else under `signatures`.
pub fn json(compiled: &Compiled) -> Value {
    let sizes = &compiled.object;
    // A file in C is as large as its compiler makes it.
    let known = |bytes: u64| Some(bytes).filter(|bytes| 0 < *bytes || !compiled.is_c());
    let level_of = |at: usize| {
        let (sizes, target) = (&sizes.levels[at], &compiled.main().levels[at].target);
        let of_entries = compiled.entries.iter().zip(&compiled.object.entries);
        let fallbacks = of_entries.clone().flat_map(|(e, sizes)| fallbacks::of(&sizes.levels[at], &e.levels[at].planned.program, &e.facts));
        json!({
            "name": sizes.name,
            "features": target.required(),
            "code_bytes": known(sizes.code_bytes),
            "const_bytes": sizes.const_bytes,
            "arena_bytes": sizes.arena_bytes,
            "arena_align": sizes.arena_align,
            "program_lower_bound_bytes": compiled.entries.iter().map(|e| e.levels[at].planned.plan.lower_bound_bytes).max(),
            "fallbacks": fallbacks.map(|f| fallback(&f)).collect::<Vec<_>>(),
        })
    };
    let mut all = json!({
        "left_out": compiled.left_out,
        "target": compiled.triple(),
        "level": compiled.level_names(),
        "const_bytes": sizes.const_bytes,
        "code_bytes": compiled.code_bytes(),
        "arena_bytes": sizes.arena_bytes,
        "arena_align": sizes.arena_align,
        "state_bytes": sizes.state_bytes,
        "state_align": sizes.state_align,
        "stack_bytes": compiled.stack_bytes(),
        "threads": compiled.threads,
        "levels": (0..sizes.levels.len()).map(level_of).collect::<Vec<_>>(),
    });
    if let Some(c) = &compiled.compressed {
        all["compressed"] = compressed_json(c);
    }
    let mut own: Vec<Value> = compiled.entries.iter().map(signature).collect();
    if let [only] = &mut own[..] {
        all.as_object_mut().expect("an object").append(only.as_object_mut().expect("an object"));
        return all;
    }
    for ((own, entry), sizes) in own.iter_mut().zip(&compiled.entries).zip(&sizes.entries) {
        own["name"] = json!(entry.key);
        own["prefix"] = json!(entry.prefix);
        own["arena_bytes"] = json!(sizes.arena_bytes);
        own["stack_bytes"] = json!(known(sizes.stack_bytes.into()));
    }
    all["signatures"] = json!(own);
    all
}

fn signature(entry: &Entry) -> Value {
    let (facts, largest) = (&entry.facts, &entry.largest().planned);
    let (by_operator, none) = (by_operator(entry), ByLevel::new());
    let operators = facts.operators.iter().map(|o| {
        let rescaling = by_operator.get(&o.index).unwrap_or(&none);
        json!({
            "index": o.index,
            "name": o.name,
            "macs": o.macs,
            "computed_macs": o.computed_macs,
            "bytes": o.bytes,
            "result": o.result,
            "dead_channels": o.dead_channels,
            "within": o.within,
            "rescaling": rescaling,
        })
    });
    let peak: Vec<_> = peak(&largest.program, &largest.plan).iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect();
    json!({
        "macs": facts.macs(),
        "computed_macs": facts.computed_macs(),
        "rescaling": in_all(entry),
        "parameter_bytes": facts.parameter_bytes(),
        "arena_lower_bound_bytes": facts.arena_lower_bound_bytes,
        "program_lower_bound_bytes": largest.plan.lower_bound_bytes,
        "inputs": entry.signature.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": entry.signature.outputs.iter().map(tensor).collect::<Vec<_>>(),
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
fn by_operator(entry: &Entry) -> BTreeMap<u32, ByLevel<'_>> {
    let mut all: BTreeMap<u32, ByLevel> = BTreeMap::new();
    for level in &entry.levels {
        for r in &level.planned.rescalings {
            let of_level = all.entry(r.operator).or_default().entry(level.target.level.as_str()).or_default();
            *of_level.entry(r.form).or_default() += r.channels;
        }
    }
    all
}

/// Of all of them.
fn in_all(entry: &Entry) -> ByLevel<'_> {
    let mut all = ByLevel::new();
    for level in &entry.levels {
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
