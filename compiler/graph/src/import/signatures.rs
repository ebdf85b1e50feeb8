//! Signatures: what the model's makers call its inputs and outputs, and what of the file is left out.
//!
//! Names are for people, so nothing here is a problem: what a signature does not name bears its tensor's name.

use super::file::File;
use crate::diagnostic::quoted;
use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

type Names<'a> = Vector<'a, ForwardsUOffset<schema::TensorMap<'a>>>;

/// What to call the model's inputs and outputs, by position; `None` is the tensor's own name.
pub struct Signature {
    pub inputs: Vec<Option<String>>,
    pub outputs: Vec<Option<String>>,
}

/// The names are those of the main subgraph's signature, if there is exactly one.
pub fn read(file: &File) -> Signature {
    let all: Vec<_> = of_main(file).collect();
    let one = if let [one] = all[..] { Some(one) } else { None };
    Signature {
        inputs: names(file.subgraph.inputs(), one.and_then(|s| s.inputs())),
        outputs: names(file.subgraph.outputs(), one.and_then(|s| s.outputs())),
    }
}

/// In words, what of the file is not compiled or not used; `used` are the subgraphs that the first one calls.
pub fn left_out(file: &File, used: &BTreeSet<usize>) -> Vec<String> {
    let mut out = vec![];
    let main: Vec<String> = of_main(file).map(|s| named("signature", s.signature_key())).collect();
    if 1 < main.len() {
        out.push(format!(
            "the model's inputs and outputs bear their tensors' names, because there is more than one signature: {}",
            few(main)
        ));
    }
    let others = file.signatures().filter(|s| s.subgraph_index() != 0 && !used.contains(&(s.subgraph_index() as usize)));
    let mut parts: Vec<String> =
        others.map(|s| format!("{} of subgraph {}", named("signature", s.signature_key()), s.subgraph_index())).collect();
    let with_signature: BTreeSet<usize> = file.signatures().map(|s| s.subgraph_index() as usize).collect();
    let subgraphs =
        file.model.subgraphs().into_iter().flatten().enumerate().skip(1).filter(|(i, _)| !with_signature.contains(i) && !used.contains(i));
    parts.extend(subgraphs.map(|(i, s)| named(&format!("subgraph {i}"), s.name())));
    if !parts.is_empty() {
        out.push(format!("only the model's first subgraph is compiled; left out: {}", few(parts)));
    }
    out
}

fn of_main<'a>(file: &File<'a>) -> impl Iterator<Item = schema::SignatureDef<'a>> {
    file.signatures().filter(|s| s.subgraph_index() == 0)
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
