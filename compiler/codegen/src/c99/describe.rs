//! `PREFIX_model`: what callers that serve any model find. Its fields are those of an object's (`object/model.rs`).

use super::kernel::float;
use super::text::{INDENT, quoted};
use crate::object::model::Source;
use crate::object::plan::{Facts, Kind};
use crate::object::self_test;
use crate::object::weights::Expected;
use crate::object::{Entry, IoPlaces};
use std::fmt::Write;

pub struct About<'a> {
    pub entry: &'a Entry<'a>,
    /// Begins the names of what signatures have in common.
    pub prefix: &'a str,
    pub source: Source,
    pub facts: Facts,
    pub places: &'a IoPlaces,
    pub kinds: &'a [Kind],
    pub const_bytes: u64,
    pub state_bytes: u64,
    pub weights: Option<Expected>,
    /// There is a function that writes them.
    pub prepares: bool,
}

impl About<'_> {
    pub fn text(&self) -> String {
        let Entry { prefix, inputs, outputs, .. } = self.entry;
        let mut out = String::new();
        for (what, tensors, places) in [("inputs", inputs, &self.places.inputs), ("outputs", outputs, &self.places.outputs)] {
            for (i, t) in tensors.iter().enumerate() {
                let dims: Vec<String> = t.dims.iter().map(i32::to_string).collect();
                let dims = if dims.is_empty() { "0".into() } else { dims.join(", ") };
                writeln!(out, "static const int32_t {prefix}_{what}_dims{i}[] = {{{dims}}};").expect("a string");
            }
            writeln!(out, "static const cranelite_tensor {prefix}_{what}_about[] = {{").expect("a string");
            for (i, t) in tensors.iter().enumerate() {
                let place = places.get(i).map_or("UINT64_MAX".into(), |p| format!("UINT64_C({p})"));
                writeln!(
                    out,
                    "{INDENT}{{{}, {prefix}_{what}_dims{i}, {}u, {}u, UINT64_C({}), {}, {}, {place}, {}, {}, {}}},",
                    quoted(&t.name),
                    t.dims.len(),
                    t.ty,
                    t.size_bytes,
                    float(t.scale),
                    t.zero_point,
                    quoted(&t.tensor_name),
                    t.tensor_index.map_or("-1".into(), |i| i.to_string()),
                    t.count.map_or("UINT32_MAX".into(), |i| format!("{i}u")),
                )
                .expect("a string");
            }
            if tensors.is_empty() {
                writeln!(out, "{INDENT}{{NULL, NULL, 0u, 0u, 0u, 0.0f, 0, 0u, NULL, -1, 0u}},").expect("a string");
            }
            out += "};\n";
        }
        let level = quoted(&self.entry.levels[0].target.level);
        out + &format!("static const char *const {prefix}_levels[] = {{{level}}};\n\n{}", self.model())
    }

    fn model(&self) -> String {
        let (prefix, facts) = (&self.entry.prefix, &self.facts);
        let offers: u32 = [(Kind::Parallel, 1), (Kind::Profile, 2)].iter().filter(|o| self.kinds.contains(&o.0)).map(|o| o.1).sum();
        let has_self_test = !self.entry.self_test.is_empty();
        let self_test_bytes = if has_self_test { self_test::places(&self.entry.inputs, &self.entry.outputs).1 } else { 0 };
        // One with other parameters is of no use to whoever does not know the model.
        let has_plain_self_test = has_self_test && self.weights.is_none() && !facts.form.state;
        let or_null = |has: bool, name: String| if has { name } else { "NULL".into() };
        let wide = |n: u64| format!("UINT64_C({n})");
        let stack = format!("{}_STACK_BYTES", prefix.to_ascii_uppercase());
        let before = [
            "1u".into(),
            "(uint32_t)sizeof(cranelite_model)".into(),
            "(uint32_t)sizeof(cranelite_tensor)".into(),
            format!("{}u", facts.arena_align),
            wide(facts.arena_bytes),
            wide(self.const_bytes),
            wide(self.state_bytes),
        ];
        let after = [
            quoted(prefix),
            format!("{prefix}_inputs_about"),
            format!("{prefix}_outputs_about"),
            format!("{}u", facts.inputs),
            format!("{}u", facts.outputs),
            format!("{prefix}_call"),
            or_null(facts.form.state, format!("{}_reset", self.prefix)),
            format!("{}u", if facts.form.state { facts.state_align } else { 1 }),
            format!("{offers}u"),
            "1u".into(),
            format!("{}u", self.source.keeps),
            format!("{prefix}_levels"),
            or_null(has_plain_self_test, format!("{prefix}_selftest")),
            wide(self_test_bytes),
            or_null(self.weights.is_some(), format!("{}_check_weights", self.prefix)),
            wide(self.weights.map_or(0, |w| w.size_bytes)),
            wide(self.source.bytes),
            wide(self.source.hash),
            or_null(!self.entry.key.is_empty(), quoted(&self.entry.key)),
            format!("{}u", self.entry.subgraph),
            "0u".into(),
            or_null(self.prepares, format!("{}_prepare", self.prefix)),
        ];
        format!(
            "const cranelite_model {prefix}_model = {{\n{INDENT}{},\n\
             #if defined({stack})\n{INDENT}{stack},\n#else\n{INDENT}0u, /* the stack is the C compiler's to say */\n#endif\n\
             {INDENT}{}\n}};\n\n",
            before.join(", "),
            after.join(", ")
        )
    }
}

/// `PREFIX_signatures`: names and descriptions, and two null pointers behind the last.
pub fn signatures(prefix: &str, entries: &[Entry]) -> String {
    let lines: String = entries.iter().map(|e| format!("{INDENT}{{{}, &{}_model}},\n", quoted(&e.key), e.prefix)).collect();
    format!("const cranelite_signature {prefix}_signatures[] = {{\n{lines}{INDENT}{{NULL, NULL}}\n}};\n\n")
}
