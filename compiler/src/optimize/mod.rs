//! A smaller model out of a model: weights are pruned, and what is left of them takes fewer values.
//!
//! Not training, and not the compiler's own compression, which changes no number. The idea: the file stays as it is but for the bytes of weights, so whatever
//! reads it finds everything else in its place; and every change is told, with its error.

mod archive;
mod change;
pub mod layout;
pub mod narrow;
pub mod numbers;
pub mod palette;
pub mod prune;
mod report;
mod rewrite;
mod weights;

use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::constants::{self, StoredConstant};
use cranelite_graph::import::{self, Signatures};
use cranelite_graph::tensor::ElementType;
use cranelite_graph::tensor::TensorType;
use numbers::NumberFacts;
use prune::Pruning;
use rewrite::Retyped;
use std::collections::BTreeMap;
use weights::{Biases, WeightTensor};

/// What the user wants to be changed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub prune: Option<Pruning>,
    /// Bits of an index into the values that are left.
    pub palette: Option<u32>,
    /// The type that weights of floats get: i8 or i4; and i8 ones of integers: i4.
    pub weights: Option<ElementType>,
    /// What a share of weights and a palette are of.
    pub per: Per,
    /// Tensors by their names, operators by their numbers or names; all weights where there are none.
    pub only: Vec<String>,
    pub skip: Vec<String>,
}

/// What is looked at by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Per {
    /// All weights of a tensor together
    #[default]
    Tensor,
    /// The weights of each output channel
    Channel,
}

/// A model that was made smaller.
#[derive(Clone, Debug)]
pub struct Optimized {
    pub model: Vec<u8>,
    pub bytes_before: usize,
    pub changes: Vec<WeightChange>,
    pub left: Vec<LeftAlone>,
}

/// Whose weights they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightPlace {
    pub subgraph: usize,
    /// In the subgraph: the first operator that reads them.
    pub operator: u32,
    pub operator_name: String,
    pub tensor: String,
    pub shape: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct WeightChange {
    pub place: WeightPlace,
    /// Element types.
    pub elements: [ElementType; 2],
    pub before: NumberFacts,
    pub after: NumberFacts,
    /// Root mean square of the weights' error over that of the weights.
    pub error: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    pub place: WeightPlace,
    pub why: String,
}

/// What is wrong with a file wherever it is used.
const DAMAGE: [Code; 7] = [Code::FILE, Code::BROKEN, Code::VERSION, Code::INDEX, Code::QUANTIZATION, Code::DATA, Code::ORDER];

/// A model that others can run, even if this compiler cannot.
fn check(model: &[u8]) -> Result<(), Vec<Diagnostic>> {
    let options = import::Options { signatures: Signatures::All, ..import::Options::default() };
    let problems = import::read(model, &options).err().unwrap_or_default();
    let damage: Vec<Diagnostic> = problems.into_iter().filter(|d| DAMAGE.contains(&d.code)).collect();
    if damage.is_empty() { Ok(()) } else { Err(damage) }
}

/// The model with smaller weights.
pub fn optimize(model: &[u8], options: &Options) -> Result<Optimized, Vec<Diagnostic>> {
    check(model)?;
    let constants = constants::read(model).map_err(|d| vec![d])?;
    let (weights, biases) = (weights::find(&constants), Biases::find(&constants));
    unknown_names(options, &weights)?;
    let (mut changes, mut left, mut bytes, mut retyped) = (vec![], vec![], model.to_vec(), vec![]);
    for w in &weights {
        let place = w.place();
        let (steps, whys) = change::changed(model, &biases, w, options);
        left.extend(whys.into_iter().map(|why| LeftAlone { place: place.clone(), why }));
        let Some(change) = steps.filter(|c| c.before != c.after) else { continue };
        let (before, after) = (&change.before, &change.after);
        changes.push(WeightChange {
            place,
            elements: [before.ty.element, after.ty.element],
            before: before.facts(),
            after: after.facts(),
            error: before.error_of(after),
        });
        if before.ty == after.ty {
            bytes[w.constant.range.clone()].copy_from_slice(&after.bytes());
        } else {
            retyped.extend(w.retyped(&biases, &change));
        }
    }
    if changes.is_empty() {
        return Err(vec![nothing(&left)]);
    }
    changes.sort_by_key(|c| (c.place.subgraph, c.place.operator));
    left.sort_by_key(|l| (l.place.subgraph, l.place.operator));
    let types = expected_types(&constants, &retyped);
    if !retyped.is_empty() {
        bytes = rewrite::rewritten(&bytes, retyped).map_err(|d| vec![d])?;
    }
    // A file whose parts lie in each other would have become another one.
    check(&bytes)?;
    let found = constants::read(&bytes).map_err(|d| vec![d])?;
    if !found.iter().map(|c| (c.subgraph, c.tensor, &c.ty)).eq(types.iter().map(|(&(s, t), ty)| (s, t, ty))) {
        return Err(vec![Diagnostic::new(Code::BROKEN, "the bytes of a constant are parts of the file's tables, too")]);
    }
    Ok(Optimized { model: bytes, bytes_before: model.len(), changes, left })
}

/// Of all constants, when some have new types.
fn expected_types(constants: &[StoredConstant], retyped: &[Retyped]) -> BTreeMap<(usize, usize), TensorType> {
    let mut types: BTreeMap<_, _> = constants.iter().map(|c| ((c.subgraph, c.tensor), c.ty.clone())).collect();
    for r in retyped {
        types.extend(r.tensors.iter().map(|&at| (at, r.ty.clone())));
    }
    types
}

fn nothing(left: &[LeftAlone]) -> Diagnostic {
    let d = Diagnostic::new(Code::OPTIMIZE, "there is nothing to optimise");
    let found = if left.is_empty() { "no operator has constant weights".into() } else { report::reasons(left).join("\n") };
    d.found(found)
}

/// Names that no weights have are mistakes.
fn unknown_names(options: &Options, weights: &[WeightTensor]) -> Result<(), Vec<Diagnostic>> {
    let unknown = |option: &str, names: &[String]| {
        let unknown = names.iter().filter(|n| !weights.iter().any(|w| w.is_named(n)));
        let message = |n: &String| {
            let name = quoted(n);
            Diagnostic::new(Code::OPTIMIZE, format!("--{option} {name} names neither weights nor an operator that has some"))
                .help("give a tensor's name, an operator's number or its name, such as CONV_2D")
        };
        unknown.map(message).collect::<Vec<_>>()
    };
    let all = [unknown("only", &options.only), unknown("skip", &options.skip)].concat();
    if all.is_empty() { Ok(()) } else { Err(all) }
}
