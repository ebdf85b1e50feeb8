//! What a pipeline answers, in the header: a structure of the outputs, a function that fills it in one call, and names of labels.
//!
//! Nothing of the object: these are inline functions around the entry point. The idea: the structure's members are the outputs themselves, so nothing is
//! copied, and whoever wants pointers still has them.

use super::{Part, c_type, comment};
use crate::pipeline::Io;
use crate::signature::Tensor;
use cranelite_graph::pipeline::Answer;
use std::fmt::Write;

impl Part<'_> {
    /// Structure, function and labels; empty without a pipeline.
    pub fn answers(&self) -> String {
        let answers = &self.entry.signature.answers;
        let mut out = String::new();
        for answer in answers.iter().filter(|a| !a.labels.is_empty()) {
            out += &self.labels(answer);
        }
        if !answers.is_empty() && self.options.io == Io::Caller {
            out += &self.result();
        }
        out
    }

    /// A word between the prefix and the rest, where there are several answers.
    fn word(&self, answer: &Answer) -> String {
        let several = 1 < self.entry.signature.answers.iter().filter(|a| !a.labels.is_empty()).count();
        if several { format!("_{}", crate::names::identifier(&answer.name, "answer")) } else { String::new() }
    }

    fn labels(&self, answer: &Answer) -> String {
        let (prefix, count) = (format!("{}{}", self.entry.prefix, self.word(answer)), answer.labels.len());
        let names: String = answer.labels.iter().map(|l| format!("        {},\n", string(l))).collect();
        format!(
            "enum {{ {}_LABEL_COUNT = {count} }};\n\n/* The name of a label; an empty one of numbers that are none, such as -1. */\n\
             static inline const char *{prefix}_label(int32_t label) {{\n    static const char *const names[{count}] = {{\n{names}    }};\n    \
             return 0 <= label && label < {count} ? names[label] : \"\";\n}}\n\n",
            prefix.to_ascii_uppercase()
        )
    }

    /// Members have the names of the answer's parts where there is one answer, and else those of the outputs.
    fn result(&self) -> String {
        let (prefix, signature) = (&self.entry.prefix, &self.entry.signature);
        let is_only = signature.answers.len() == 1 && signature.answers[0].parts.len() == signature.outputs.len();
        let (mut members, mut pointers) = (vec![], vec![]);
        for (i, t) in signature.outputs.iter().enumerate() {
            let part = signature.answers.iter().flat_map(|a| &a.parts).find(|(_, at)| *at == i).map(|(part, _)| *part);
            let name = part.filter(|_| is_only).unwrap_or(&t.identifier);
            let (dims, first) = dims(t);
            members.push((format!("{} {name}{dims};", c_type(t.ty.element)), about(part, t)));
            pointers.push(format!("&result->{name}{first}"));
        }
        let width = members.iter().map(|(m, _)| m.len()).max().unwrap_or(0);
        let mut out = String::from("typedef struct {\n");
        for (member, about) in members {
            writeln!(out, "    {member:<width$} /* {about} */").expect("a string takes everything");
        }
        writeln!(out, "}} {prefix}_result;\n").expect("a string takes everything");
        let mut parameters = vec![];
        let mut arguments = vec!["in", "&out", "arena"];
        if self.has_state {
            parameters.push(", void *state");
            arguments.push("state");
        }
        if self.has_weights {
            parameters.push(", const void *weights");
            arguments.push("weights");
        }
        let fields: String = signature.outputs.iter().zip(&pointers).map(|(t, p)| format!("    out.{} = {p};\n", t.identifier)).collect();
        out += &format!(
            "/* From what sensors give to the answer: as {prefix}_invoke, with the outputs in *result. */\n\
             static inline cranelite_status {prefix}_run(const {prefix}_inputs *in, {prefix}_result *result, void *arena{}) {{\n    \
             {prefix}_outputs out;\n{fields}    return {prefix}_invoke({});\n}}\n\n",
            parameters.concat(),
            arguments.join(", ")
        );
        out
    }
}

/// Of a member: what follows its name, and what leads to its first element. One element is no array.
fn dims(t: &Tensor) -> (String, String) {
    let shape = &t.ty.shape;
    if t.ty.element_count() == 1 {
        return (String::new(), String::new());
    }
    // What is packed or has two numbers in an element is an array of its bytes or numbers.
    let counted: usize = t.ty.size_bytes() / width(t).max(1);
    if counted != t.ty.element_count() || shape.contains(&0) {
        return (format!("[{}]", counted.max(1)), "[0]".into());
    }
    let dims: Vec<usize> = shape.iter().copied().skip_while(|d| *d == 1).collect();
    (dims.iter().map(|d| format!("[{d}]")).collect(), "[0]".repeat(dims.len()))
}

/// Bytes of an element of the C type.
fn width(t: &Tensor) -> usize {
    match c_type(t.ty.element) {
        "double" | "int64_t" | "uint64_t" => 8,
        "float" | "int32_t" | "uint32_t" => 4,
        "int16_t" | "uint16_t" => 2,
        _ => 1,
    }
}

fn about(part: Option<&str>, t: &Tensor) -> String {
    match part {
        Some("label") => "number of the class, best first; -1 is none".into(),
        Some("score") => "as the label".into(),
        Some("count") => "how many there are".into(),
        Some("box") => "left, top, right and bottom, in pixels of the frame".into(),
        Some("points") => "in pixels of the frame".into(),
        _ => comment(&t.describe()),
    }
}

/// A string of C that says just this, in every character set.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for b in text.bytes() {
        match b {
            b'"' | b'\\' | b'?' => out.extend(['\\', b.into()]),
            b' '..=b'~' => out.push(b.into()),
            _ => write!(out, "\\{b:03o}").expect("a string takes everything"),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_c() {
        assert_eq!(string("a\"b\\c??/\n\u{e9}9"), "\"a\\\"b\\\\c\\?\\?/\\012\\303\\2519\"");
    }
}
