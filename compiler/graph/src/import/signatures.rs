//! Signatures: what the model's makers call its inputs and outputs, which of them are compiled, and what of the file is left out.
//!
//! Names are for people, so nothing here is a problem: what a signature does not name bears its tensor's name.

use super::file::File;
use super::{InputKey, Options, Signatures};
use crate::diagnostic::{Code, Diagnostic, quoted};
use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

type Names<'a> = Vector<'a, ForwardsUOffset<schema::TensorMap<'a>>>;

/// More are not compiled into one object: a signature may be four bytes of the file.
const MOST_SIGNATURES: usize = 256;

/// What to call the model's inputs and outputs, by position; `None` is the tensor's own name.
pub struct Signature {
    pub inputs: Vec<Option<String>>,
    pub outputs: Vec<Option<String>>,
    /// Numbers of these tensors in their subgraph.
    pub input_tensors: Vec<i32>,
    pub output_tensors: Vec<i32>,
}

/// A subgraph that is compiled for callers, and the signature that it is compiled for.
pub struct Chosen<'a> {
    pub number: usize,
    pub subgraph: schema::SubGraph<'a>,
    signature: Option<schema::SignatureDef<'a>>,
}

/// The signatures that the user wants, or what the first subgraph is.
pub fn choose<'a>(file: &File<'a>, wanted: &Signatures) -> Result<Vec<Chosen<'a>>, Diagnostic> {
    let defined: Vec<_> = match wanted {
        Signatures::First => vec![],
        Signatures::All => file.signatures().collect(),
        Signatures::Named(keys) => keys.iter().map(|key| named(file, key)).collect::<Result<_, _>>()?,
    };
    if MOST_SIGNATURES < defined.len() {
        let d =
            Diagnostic::new(Code::FEATURE, "there are too many signatures for one object").expected(format!("at most {MOST_SIGNATURES}"));
        return Err(d.found(defined.len().to_string()).help("name those that are wanted: --signature NAME"));
    }
    if defined.is_empty() {
        let all: Vec<_> = file.signatures().filter(|s| s.subgraph_index() == 0).collect();
        let signature = if let [one] = all[..] { Some(one) } else { None };
        return Ok(vec![Chosen { number: 0, subgraph: file.subgraph, signature }]);
    }
    let chosen = |signature: schema::SignatureDef<'a>| {
        let number = signature.subgraph_index() as usize;
        let subgraph = file.model.subgraphs().filter(|all| number < all.len()).map(|all| all.get(number));
        let missing = || Diagnostic::new(Code::INDEX, format!("subgraph {number} of {} does not exist", titled(&signature)));
        Ok(Chosen { number, subgraph: subgraph.ok_or_else(missing)?, signature: Some(signature) })
    };
    defined.into_iter().map(chosen).collect()
}

fn named<'a>(file: &File<'a>, key: &str) -> Result<schema::SignatureDef<'a>, Diagnostic> {
    file.signatures().find(|s| s.signature_key().map(schema::text).as_deref() == Some(key)).ok_or_else(|| {
        let all: Vec<String> = file.signatures().filter_map(|s| Some(quoted(&schema::text(s.signature_key()?)))).collect();
        let d = Diagnostic::new(Code::INPUT, format!("the model has no signature {}", quoted(key)));
        d.expected(if all.is_empty() { "none: the model has no signatures".into() } else { all.join(", ") })
    })
}

impl Chosen<'_> {
    /// The signature's own name; empty where it has none.
    pub fn key(&self) -> String {
        self.signature.and_then(|s| s.signature_key()).map(schema::text).unwrap_or_default()
    }

    /// The names are those of the signature.
    pub fn names(&self) -> Signature {
        Signature {
            inputs: names(self.subgraph.inputs(), self.signature.and_then(|s| s.inputs())),
            outputs: names(self.subgraph.outputs(), self.signature.and_then(|s| s.outputs())),
            input_tensors: self.subgraph.inputs().into_iter().flatten().collect(),
            output_tensors: self.subgraph.outputs().into_iter().flatten().collect(),
        }
    }

    /// Whether the user may mean one of its inputs.
    fn has(&self, key: &InputKey) -> bool {
        let InputKey::Name(name) = key else { return true };
        let tensors = self.subgraph.tensors().unwrap_or_default();
        let tensor_name =
            |t: i32| Some(schema::text(usize::try_from(t).ok().filter(|t| *t < tensors.len()).map(|t| tensors.get(t))?.name()?));
        self.names().inputs.iter().flatten().any(|n| n == name)
            || self.subgraph.inputs().into_iter().flatten().any(|t| tensor_name(t).as_ref() == Some(name))
    }
}

/// What the user gave the inputs of each signature: an input is looked for in all of them, and where none has it in the first one, which says so.
pub fn given(chosen: &[Chosen], options: &Options) -> Vec<Options> {
    fn of<T: Clone>(given: &[(InputKey, T)], chosen: &[Chosen], at: usize) -> Vec<(InputKey, T)> {
        let is_meant = |key: &InputKey| chosen[at].has(key) || at == 0 && !chosen.iter().any(|c| c.has(key));
        given.iter().filter(|(key, _)| chosen.len() == 1 || is_meant(key)).cloned().collect()
    }
    let own = |at: usize| Options {
        input_shapes: of(&options.input_shapes, chosen, at),
        input_values: of(&options.input_values, chosen, at),
        max_dims: {
            // Names of tensors count everywhere.
            let is_meant = |name: &str| chosen[at].has(&name.into()) || !chosen.iter().any(|c| c.has(&name.into()));
            options.max_dims.iter().filter(|(name, _)| is_meant(name)).cloned().collect()
        },
        ..options.clone()
    };
    (0..chosen.len()).map(own).collect()
}

/// In words, what of the file is not compiled or not used; `used` are the subgraphs that the compiled ones call.
pub fn left_out(file: &File, compiled: &[Chosen], wanted: &Signatures, used: &BTreeSet<usize>) -> Vec<String> {
    let mut out = vec![];
    let main: Vec<String> = file.signatures().filter(|s| s.subgraph_index() == 0).map(|s| titled(&s)).collect();
    if 1 < main.len() && compiled.iter().any(|c| c.signature.is_none()) {
        out.push(format!(
            "the model's inputs and outputs bear their tensors' names, because there is more than one signature: {}",
            few(main)
        ));
    }
    let is_used = |i: &usize| used.contains(i) || compiled.iter().any(|c| c.number == *i);
    let others = file.signatures().filter(|s| !is_used(&(s.subgraph_index() as usize)));
    let mut parts: Vec<String> = others.map(|s| format!("{} of subgraph {}", titled(&s), s.subgraph_index())).collect();
    let other_keys = !parts.is_empty();
    let with_signature: BTreeSet<usize> = file.signatures().map(|s| s.subgraph_index() as usize).collect();
    let subgraphs = file.model.subgraphs().into_iter().flatten().enumerate().filter(|(i, _)| !is_used(i) && !with_signature.contains(i));
    parts.extend(subgraphs.map(|(i, s)| titled_as(&format!("subgraph {i}"), s.name())));
    if !parts.is_empty() {
        let what = match (wanted, compiled) {
            (Signatures::First, _) => "the model's first subgraph is".to_string(),
            (_, [_]) => "one signature is".into(),
            (_, several) => format!("{} signatures are", several.len()),
        };
        let how = if other_keys { " (--signature chooses others, also several)" } else { "" };
        out.push(format!("only {what} compiled{how}; left out: {}", few(parts)));
    }
    out
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

fn titled(signature: &schema::SignatureDef) -> String {
    titled_as("signature", signature.signature_key())
}

fn titled_as(what: &str, name: Option<Vector<u8>>) -> String {
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
