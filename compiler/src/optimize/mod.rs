//! A smaller model out of a model: weights are pruned, and what is left of them takes fewer values.
//!
//! Not training, and not the compiler's own compression, which changes no number. The idea: the file stays as it is but for the bytes of weights, so whatever
//! reads it finds everything else in its place; and every change is told, with its error.

pub mod layout;
pub mod numbers;
pub mod palette;
pub mod prune;
mod report;

use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import::constants::{self, ConstantReader, StoredConstant};
use cranelite_graph::import::{self, Signatures};
use cranelite_graph::tensor::ElementType;
use layout::Layout;
use numbers::{NumberFacts, StoredNumbers};
use palette::PaletteRules;
use prune::Pruning;
use std::collections::BTreeMap;

/// What the user wants to be changed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub prune: Option<Pruning>,
    /// Bits of an index into the values that are left.
    pub palette: Option<u32>,
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
    let weights = weights(&constants);
    unknown_names(options, &weights)?;
    let (mut changes, mut left, mut bytes) = (vec![], vec![], model.to_vec());
    for w in &weights {
        let place = w.place();
        let (steps, whys) = changed(model, w, options);
        left.extend(whys.into_iter().map(|why| LeftAlone { place: place.clone(), why }));
        let Some((before, after)) = steps.filter(|(before, after)| before != after) else { continue };
        bytes[w.constant.range.clone()].copy_from_slice(&after.bytes());
        changes.push(WeightChange {
            place,
            elements: [before.ty.element, after.ty.element],
            before: before.facts(),
            after: after.facts(),
            error: before.error_of(&after),
        });
    }
    if changes.is_empty() {
        return Err(vec![nothing(&left)]);
    }
    // A file whose parts lie in each other would have become another one.
    check(&bytes)?;
    if constants::read(&bytes).as_ref() != Ok(&constants) {
        let d = Diagnostic::new(Code::BROKEN, "the bytes of a constant are parts of the file's tables, too");
        return Err(vec![d]);
    }
    Ok(Optimized { model: bytes, bytes_before: model.len(), changes, left })
}

fn nothing(left: &[LeftAlone]) -> Diagnostic {
    let d = Diagnostic::new(Code::CONSTANT, "there is nothing to optimise");
    let whys: Vec<String> = left.iter().take(3).map(|l| format!("{} {}: {}", l.place.operator, l.place.operator_name, l.why)).collect();
    match &whys[..] {
        [] => d.found("no operator with constant weights"),
        whys => d.found(whys.join("; ")),
    }
    .help("`cranelite optimize --help` says which weights are changed")
}

/// A constant that some operator has as weights.
struct WeightTensor<'a> {
    constant: &'a StoredConstant,
    reader: &'a ConstantReader,
    layout: Layout,
    /// Why it is not changed.
    refusal: Option<&'static str>,
}

impl WeightTensor<'_> {
    fn place(&self) -> WeightPlace {
        WeightPlace {
            subgraph: self.constant.subgraph,
            operator: self.reader.operator,
            operator_name: self.reader.name.clone(),
            tensor: self.constant.name.clone(),
            shape: self.constant.ty.shape.clone(),
        }
    }

    fn is_named(&self, name: &str) -> bool {
        let is_reader = |r: &ConstantReader| r.name == name || r.operator.to_string() == name;
        self.constant.name == name || self.constant.readers.iter().any(is_reader)
    }
}

/// All weights of a model; those of several tensors once.
fn weights(constants: &[StoredConstant]) -> Vec<WeightTensor<'_>> {
    let mut all: Vec<WeightTensor> = vec![];
    let mut by_buffer: BTreeMap<u32, Vec<&StoredConstant>> = BTreeMap::new();
    constants.iter().for_each(|c| by_buffer.entry(c.buffer).or_default().push(c));
    for constant in constants {
        let layout = |r: &ConstantReader| Layout::of(r, &constant.ty.shape);
        let Some((reader, layout)) = constant.readers.iter().find_map(|r| Some((r, layout(r)?))) else { continue };
        let same = &by_buffer[&constant.buffer];
        if !std::ptr::eq(same[0], constant) && Layout::is_of_weights(same[0]) {
            continue;
        }
        let refusal = if constant.is_sparse {
            Some("it is in the format's sparse form already")
        } else if constant.overlaps {
            Some("it shares bytes of the file with another constant")
        } else if same.iter().any(|c| c.ty != constant.ty || !c.readers.iter().all(|r| Layout::of(r, &c.ty.shape) == Some(layout.clone())))
        {
            Some("something else reads it, too")
        } else {
            None
        };
        all.push(WeightTensor { constant, reader, layout, refusal });
    }
    all
}

/// The numbers of weights before and after, where they may be changed; and what of what is wanted is not done, and why.
fn changed(model: &[u8], w: &WeightTensor, options: &Options) -> (Option<(StoredNumbers, StoredNumbers)>, Vec<String>) {
    let is_named = |names: &[String]| names.iter().any(|n| w.is_named(n));
    let is_wanted = is_named(&options.only);
    let ty = &w.constant.ty;
    let before = match w.refusal {
        _ if is_named(&options.skip) => Err("as --skip says".into()),
        _ if !options.only.is_empty() && !is_wanted => Err("not one of --only".into()),
        Some(why) => Err(why.into()),
        None => StoredNumbers::read(ty, &model[w.constant.range.clone()])
            .filter(|n| n.stored.iter().all(|x| x.is_finite()))
            .ok_or_else(|| format!("weights of {} are not changed, nor are such that are not finite", ty.element)),
    };
    let before = match before {
        Ok(before) => before,
        Err(why) => return (None, vec![why]),
    };
    let (mut after, mut whys) = (before.clone(), vec![]);
    if let Some(pruning) = options.prune {
        match pruned(&before, &w.layout, pruning, options.per, is_wanted) {
            Ok(which) => after.set_to_zero(&which),
            Err(why) => whys.push(format!("not pruned: {why}")),
        }
    }
    if let Some(bits) = options.palette {
        after.stored = painted(&after, &w.layout, bits, options.per);
    }
    // As the type holds them.
    after = StoredNumbers::read(&after.ty, &after.bytes()).unwrap_or(after);
    if before == after && whys.is_empty() {
        whys.push("it is as wanted already".into());
    }
    (Some((before, after)), whys)
}

/// Numbers of a palette.
fn painted(numbers: &StoredNumbers, layout: &Layout, bits: u32, per: Per) -> Vec<f32> {
    let rules = PaletteRules { most: 1 << bits, is_whole: !numbers.ty.element.is_float() };
    let mut parts: Vec<Vec<usize>> = vec![vec![]; if per == Per::Channel { layout.channels() } else { 1 }];
    let count = parts.len();
    (0..numbers.stored.len()).for_each(|i| parts[if count == 1 { 0 } else { layout.channel_of(i) }].push(i));
    let mut painted = numbers.stored.clone();
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        let stored: Vec<f32> = part.iter().map(|&i| numbers.stored[i]).collect();
        let weight = |k: usize| f64::from(numbers.scale(part[k])).powi(2);
        let found = palette::palette(&stored, weight, numbers.zero(part[0]), rules);
        part.iter().zip(found).for_each(|(&i, x)| painted[i] = x);
    }
    painted
}

/// Which weights become zero, or why none does.
fn pruned(numbers: &StoredNumbers, layout: &Layout, pruning: Pruning, per: Per, is_wanted: bool) -> Result<Vec<bool>, String> {
    let magnitudes = numbers.magnitudes();
    match (pruning, layout.input) {
        (Pruning::Groups { .. }, None) => Err("its output channels have one input channel each: there are no groups of these".into()),
        (Pruning::Groups { of, .. }, Some(axis)) if layout.shape[axis] < of => {
            Err(format!("it has {} input channels, fewer than a group of {of}", layout.shape[axis]))
        }
        (Pruning::Groups { keep, of }, Some(_)) => Ok(prune::by_groups(&magnitudes, layout, keep, of).unwrap_or_default()),
        (Pruning::Share(_), None) if !is_wanted => {
            Err("its output channels have one input channel each: few weights, all needed (--only prunes them)".into())
        }
        (Pruning::Share(share), _) if per == Per::Channel => Ok(prune::by_share_of_channels(&magnitudes, layout, share)),
        (Pruning::Share(share), _) => Ok(prune::by_share(&magnitudes, share)),
    }
}

/// Names that no weights have are mistakes.
fn unknown_names(options: &Options, weights: &[WeightTensor]) -> Result<(), Vec<Diagnostic>> {
    let unknown = |option: &str, names: &[String]| {
        let unknown = names.iter().filter(|n| !weights.iter().any(|w| w.is_named(n)));
        let message = |n: &String| {
            let name = cranelite_graph::diagnostic::quoted(n);
            Diagnostic::new(Code::INPUT, format!("--{option} {name} names neither weights nor an operator that has some"))
                .help("give a tensor's name, an operator's number or its name, such as CONV_2D")
        };
        unknown.map(message).collect::<Vec<_>>()
    };
    let all = [unknown("only", &options.only), unknown("skip", &options.skip)].concat();
    if all.is_empty() { Ok(()) } else { Err(all) }
}
