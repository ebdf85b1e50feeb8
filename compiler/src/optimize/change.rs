//! What becomes of the weights of one tensor: pruned, then in a shorter type, then with fewer values.
//!
//! In this order, since zeros stay zeros in every type, and a palette is one of the numbers that are stored.

use super::layout::Layout;
use super::narrow;
use super::numbers::StoredNumbers;
use super::palette::{self, PaletteRules};
use super::prune::{self, Pruning};
use super::rewrite::Form;
use super::weights::{Biases, WeightTensor, has_bias};
use super::{Options, Per};
use cranelite_graph::import::constants::StoredConstant;
use cranelite_graph::quantize::round_half_away;
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use std::sync::Arc;

/// The numbers of weights before and after.
pub struct Change<'a> {
    pub before: StoredNumbers,
    pub after: StoredNumbers,
    /// The bias whose scales follow from those of the weights, where these have new ones: its new type and bytes.
    pub bias: Option<(&'a StoredConstant, TensorType)>,
    pub bias_bytes: Vec<u8>,
}

/// What becomes of weights, where they may be changed; and what of what is wanted is not done, and why.
pub fn changed<'a>(model: &[u8], biases: &Biases<'a>, w: &WeightTensor, options: &Options) -> (Option<Change<'a>>, Vec<String>) {
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
    let mut bias = None;
    if let Some(element) = options.weights {
        match narrower(model, biases, w, &after, element, is_wanted) {
            Ok((narrowed, rescaled)) => (after, bias) = (narrowed, rescaled),
            Err(why) => whys.push(format!("not of {element}: {why}")),
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
    let (bias, bias_bytes) = bias.map_or((None, vec![]), |(c, ty, bytes)| (Some((c, ty)), bytes));
    (Some(Change { before, after, bias, bias_bytes }), whys)
}

type NewBias<'a> = (&'a StoredConstant, TensorType, Vec<u8>);

/// Fewer are hardly worth the error, and converters leave them, too.
const FEW_WEIGHTS: usize = 1024;

/// Weights in a shorter type, and their bias where its scale is the product of theirs and another; or why they stay.
fn narrower<'a>(
    model: &[u8],
    biases: &Biases<'a>,
    w: &WeightTensor,
    numbers: &StoredNumbers,
    element: ElementType,
    is_wanted: bool,
) -> Result<(StoredNumbers, Option<NewBias<'a>>), String> {
    if numbers.stored.len() < FEW_WEIGHTS && !is_wanted {
        return Err(format!("it has fewer than {FEW_WEIGHTS} weights (--only changes them)"));
    }
    if numbers.ty.element.is_float() {
        return Ok((narrow::narrowed(numbers, &w.layout, element), None));
    }
    let is_symmetric = numbers.ty.quantization.as_ref().is_some_and(|q| q.zero_points.iter().all(|z| *z == 0));
    if (numbers.ty.element, element) != (ElementType::I8, ElementType::I4) || !is_symmetric {
        return Err(format!("its weights are {} already", numbers.ty.element));
    }
    let [reader] = &w.constant.readers[..] else { return Err("several operators read it".into()) };
    let form = biases.form(w.constant.subgraph, reader, &TensorType { element, ..numbers.ty.clone() });
    if 1 < w.same.len() || !matches!((form, reader.elements[0]), (Form::Taken(_), Some(ElementType::I8 | ElementType::F32))) {
        return Err("no kernel takes such weights there".into());
    }
    let after = narrow::narrowed_integers(numbers, element);
    if reader.elements[0] == Some(ElementType::F32) || !has_bias(reader) {
        return Ok((after, None));
    }
    let bias = biases.own(w.constant.subgraph, reader).filter(|c| c.ty.element == ElementType::I32);
    let bias = bias.ok_or("its bias is no constant of int32, or others read it, too")?;
    let integers = model[bias.range.clone()].chunks_exact(4).map(|c| i32::from_le_bytes([c[0], c[1], c[2], c[3]]));
    let (old, new) = numbers.ty.quantization.as_ref().zip(after.ty.quantization.as_ref()).ok_or("it has no scale")?;
    let ratio = |c: usize| f64::from(old.scale(c)) / f64::from(new.scale(c));
    let rescaled = integers.enumerate().map(|(c, b)| round_half_away(f64::from(b) * ratio(c)));
    let bytes = rescaled.flat_map(|b| (b as i32).to_le_bytes()).collect();
    let described = bias.ty.quantization.as_ref().map(|q| {
        let count = q.scales.len().max(new.scales.len());
        let scales = (0..count).map(|c| (f64::from(q.scale(c)) / ratio(c)) as f32).collect();
        Arc::new(Quantization { scales, zero_points: vec![0; count], axis: 0 })
    });
    Ok((after, Some((bias, TensorType { quantization: described, ..bias.ty.clone() }, bytes))))
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
        let weight = |k: usize| {
            let scale = f64::from(numbers.scale(part[k]));
            scale * scale
        };
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
