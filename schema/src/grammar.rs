//! `tflite.fbs` as data: which fields its tables have, in order, and of which kind.
//!
//! Not flatc: only what this one text uses is understood, and a test compares what is found with the generated reader. The idea: who copies a file whole must
//! know every table of the format, and the schema's text has them all.

use std::collections::BTreeMap;

/// What is in a field of a table, or in an element of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many bytes, little endian.
    Scalar(usize),
    Text,
    Table(&'static str),
    /// Of the type that the field before has.
    Union(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Of the type of a union: that of the union and `_type`.
    pub name: &'static str,
    pub is_type: bool,
    pub is_vector: bool,
    pub kind: Kind,
    /// Of a vector of scalars, in bytes.
    pub alignment: usize,
}

/// All tables and unions.
#[derive(Debug, Default)]
pub struct Grammar {
    pub tables: BTreeMap<&'static str, Vec<Field>>,
    /// Tables by the number of the type, which begins with 1.
    pub unions: BTreeMap<&'static str, Vec<&'static str>>,
    /// Bytes of their integers.
    enums: BTreeMap<&'static str, usize>,
}

impl Grammar {
    /// Of .tflite files.
    pub fn of_models() -> Grammar {
        Grammar::parse(include_str!("../tflite.fbs"))
    }

    fn parse(text: &'static str) -> Grammar {
        let mut grammar = Grammar::default();
        // Enums and unions come before the tables that use them; what tables name may come later.
        let mut open = ("", "");
        for line in text.lines().map(|l| l.split("//").next().unwrap_or_default().trim()).filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace();
            match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
                (what @ ("enum" | "union" | "table"), name) => {
                    open = (what, name);
                    match what {
                        "enum" => drop(grammar.enums.insert(name, words.nth(1).and_then(scalar_bytes).unwrap_or(1))),
                        "union" => drop(grammar.unions.insert(name, vec![])),
                        _ => drop(grammar.tables.insert(name, vec![])),
                    }
                }
                _ => {
                    let fields = grammar.fields(line);
                    if let ("table", Some(all)) = (open.0, grammar.tables.get_mut(open.1)) {
                        all.extend(fields);
                    }
                    if let ("union", Some(all), false) = (open.0, grammar.unions.get_mut(open.1), line.starts_with('}')) {
                        all.extend(line.split([',', ' ']).next());
                    }
                }
            }
        }
        grammar
    }

    /// Of one line: two of a union.
    fn fields(&self, line: &'static str) -> Vec<Field> {
        let Some((name, rest)) = line.split_once(": ") else { return vec![] };
        let ty = rest.trim().split([' ', ';', '=']).next().unwrap_or_default();
        let element = ty.trim_matches(['[', ']']);
        let kind = match (scalar_bytes(element).or_else(|| self.enums.get(element).copied()), element) {
            (Some(bytes), _) => Kind::Scalar(bytes),
            (None, "string") => Kind::Text,
            (None, _) if self.unions.contains_key(element) => Kind::Union(element),
            (None, _) => Kind::Table(element),
        };
        let forced = rest.split_once("force_align:").and_then(|(_, n)| n.trim().split(')').next()?.parse().ok());
        let own = if let Kind::Scalar(bytes) = kind { bytes } else { 4 };
        let field = Field { name, is_type: false, is_vector: ty.starts_with('['), kind, alignment: forced.unwrap_or(own) };
        match kind {
            Kind::Union(_) => vec![Field { is_type: true, kind: Kind::Scalar(1), ..field }, field],
            _ => vec![field],
        }
    }
}

fn scalar_bytes(name: &str) -> Option<usize> {
    Some(match name {
        "bool" | "byte" | "ubyte" | "int8" | "uint8" => 1,
        "short" | "ushort" | "int16" | "uint16" => 2,
        "int" | "uint" | "float" | "int32" | "uint32" => 4,
        "long" | "ulong" | "double" | "int64" | "uint64" => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BuiltinOptions, BuiltinOptions2, Operator, Tensor};

    /// Every offset in the generated code, as `Table::VT_FIELD`, is that of a field here, but for those that are deprecated.
    #[test]
    fn as_generated() {
        let grammar = Grammar::of_models();
        let mut table = "";
        let mut count = 0;
        for line in include_str!("generated.rs").lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("impl<'a> ").and_then(|l| l.strip_suffix("<'a> {")) {
                table = name;
            }
            let Some(rest) = line.strip_prefix("pub const VT_") else { continue };
            let (name, offset) = rest.split_once(": ::flatbuffers::VOffsetT = ").expect("an offset");
            let offset: usize = offset.trim_end_matches(';').parse().expect("a number");
            let field = grammar.tables[table][(offset - 4) / 2];
            let wanted = if field.is_type { format!("{}_type", field.name) } else { field.name.into() };
            assert_eq!(name.to_lowercase().replace('_', ""), wanted.to_lowercase().replace('_', ""), "{table}");
            count += 1;
        }
        let deprecated = include_str!("../tflite.fbs").lines().filter(|l| l.contains(": ") && l.contains("(deprecated)")).count();
        assert_eq!(count + deprecated, grammar.tables.values().map(Vec::len).sum());
        let of = |table: &str, offset: u16| grammar.tables[table][usize::from(offset - 4) / 2];
        assert_eq!(of("Operator", Operator::VT_BUILTIN_OPTIONS).kind, Kind::Union("BuiltinOptions"));
        assert_eq!(of("Tensor", Tensor::VT_TYPE_).kind, Kind::Scalar(1));
        assert_eq!((grammar.tables["Buffer"][0].alignment, grammar.tables["OperatorCode"][3].kind), (16, Kind::Scalar(4)));
        assert!(grammar.unions.values().flatten().all(|member| grammar.tables.contains_key(member)));
        let names = |union: &str| grammar.unions[union].clone();
        let generated = |all: Vec<Option<&'static str>>| all.into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(names("BuiltinOptions"), generated((1..=BuiltinOptions::ENUM_MAX).map(|i| BuiltinOptions(i).variant_name()).collect()));
        // The one that is deprecated has no name there.
        assert_eq!(names("BuiltinOptions2").len(), usize::from(BuiltinOptions2::ENUM_MAX));
    }
}
