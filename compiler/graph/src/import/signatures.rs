//! Signatures: what the model's makers call its inputs and outputs, and what of the file is left out.
//!
//! Names are for people, so nothing here is a problem: what a signature does not name bears its tensor's name.

use super::file::File;
use crate::diagnostic::{Code, Diagnostic, quoted};
use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

type Names<'a> = Vector<'a, ForwardsUOffset<schema::TensorMap<'a>>>;

/// What to call the model's inputs and outputs, by position; `None` is the tensor's own name.
pub struct Signature {
    pub inputs: Vec<Option<String>>,
    pub outputs: Vec<Option<String>>,
}

/// The subgraph of a signature, or the first one.
pub fn subgraph<'a>(file: &File<'a>, key: Option<&str>) -> Result<(usize, schema::SubGraph<'a>), Diagnostic> {
    let Some(key) = key else { return Ok((0, file.subgraph)) };
    let found = file.signatures().find(|s| s.signature_key().map(schema::text).as_deref() == Some(key));
    let Some(signature) = found else {
        let all: Vec<String> = file.signatures().filter_map(|s| Some(quoted(&schema::text(s.signature_key()?)))).collect();
        let d = Diagnostic::new(Code::INPUT, format!("the model has no signature {}", quoted(key)));
        return Err(d.expected(if all.is_empty() { "none: the model has no signatures".into() } else { all.join(", ") }));
    };
    let number = signature.subgraph_index() as usize;
    let subgraph = file.model.subgraphs().filter(|all| number < all.len()).map(|all| all.get(number));
    let missing = || Diagnostic::new(Code::INDEX, format!("subgraph {number} of signature {} does not exist", quoted(key)));
    Ok((number, subgraph.ok_or_else(missing)?))
}

/// The names are those of the signature, or those of the subgraph's only one.
pub fn read(file: &File, number: usize, subgraph: schema::SubGraph, key: Option<&str>) -> Signature {
    let all: Vec<_> = of_subgraph(file, number, key).collect();
    let one = if let [one] = all[..] { Some(one) } else { None };
    Signature {
        inputs: names(subgraph.inputs(), one.and_then(|s| s.inputs())),
        outputs: names(subgraph.outputs(), one.and_then(|s| s.outputs())),
    }
}

/// In words, what of the file is not compiled or not used; `used` are the subgraphs that the compiled one calls.
pub fn left_out(file: &File, compiled: usize, key: Option<&str>, used: &BTreeSet<usize>) -> Vec<String> {
    let mut out = vec![];
    let main: Vec<String> = of_subgraph(file, compiled, key).map(|s| named("signature", s.signature_key())).collect();
    if 1 < main.len() {
        out.push(format!(
            "the model's inputs and outputs bear their tensors' names, because there is more than one signature: {}",
            few(main)
        ));
    }
    let is_used = |i: &usize| *i == compiled || used.contains(i);
    let others = file.signatures().filter(|s| !is_used(&(s.subgraph_index() as usize)));
    let mut parts: Vec<String> =
        others.map(|s| format!("{} of subgraph {}", named("signature", s.signature_key()), s.subgraph_index())).collect();
    let other_keys = !parts.is_empty();
    let with_signature: BTreeSet<usize> = file.signatures().map(|s| s.subgraph_index() as usize).collect();
    let subgraphs = file.model.subgraphs().into_iter().flatten().enumerate().filter(|(i, _)| !is_used(i) && !with_signature.contains(i));
    parts.extend(subgraphs.map(|(i, s)| named(&format!("subgraph {i}"), s.name())));
    if !parts.is_empty() {
        let what = if key.is_some() { "one signature" } else { "the model's first subgraph" };
        let how = if other_keys { " (--signature chooses another one)" } else { "" };
        out.push(format!("only {what} is compiled{how}; left out: {}", few(parts)));
    }
    out
}

fn of_subgraph<'a>(file: &File<'a>, number: usize, key: Option<&str>) -> impl Iterator<Item = schema::SignatureDef<'a>> {
    let is_key = move |s: &schema::SignatureDef| key.is_none_or(|key| s.signature_key().map(schema::text).as_deref() == Some(key));
    file.signatures().filter(move |s| s.subgraph_index() as usize == number && is_key(s))
}

/// A tensor that is several outputs has several names, one after the other.
fn names(tensors: Option<Vector<i32>>, names: Option<Names>) -> Vec<Option<String>> {
    let mut by_tensor: BTreeMap<i64, VecDeque<String>> = BTreeMap::new();
    for map in names.into_iter().flatten() {
        let name = map.name().map(schema::text).filter(|n| !n.is_empty());
        by_tensor.entry(map.tensor_index().into()).or_default().extend(name);
    }
    tensors.into_iter().flatten().map(|t| by_tensor.get_mut(&t.into())?.pop_front()).collect()
}

fn named(what: &str, name: Option<Vector<u8>>) -> String {
    match name.map(schema::text).filter(|n| !n.is_empty()) {
        Some(name) => format!("{what} {}", quoted(&name)),
        None => what.into(),
    }
}

/// The first of them, and how many more there are.
fn few(all: Vec<String>) -> String {
    const SHOWN: usize = 5;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
