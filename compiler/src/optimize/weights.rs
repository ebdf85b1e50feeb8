//! Which constants are weights, and how what reads them takes another type.

use super::WeightPlace;
use super::change::Change;
use super::layout::Layout;
use super::rewrite::{Form, Reads, Retyped};
use cranelite_graph::import::constants::{ConstantReader, StoredConstant};
use cranelite_graph::tensor::{ElementType, TensorType};
use std::collections::BTreeMap;

/// A constant that some operator has as weights.
pub struct WeightTensor<'a> {
    pub constant: &'a StoredConstant,
    /// The first that has them as weights.
    pub reader: &'a ConstantReader,
    pub layout: Layout,
    /// All tensors that have the same bytes.
    pub same: Vec<&'a StoredConstant>,
    /// Why it is not changed.
    pub refusal: Option<&'static str>,
}

impl WeightTensor<'_> {
    pub fn place(&self) -> WeightPlace {
        WeightPlace {
            subgraph: self.constant.subgraph,
            operator: self.reader.operator,
            operator_name: self.reader.name.clone(),
            tensor: self.constant.name.clone(),
            shape: self.constant.ty.shape.clone(),
        }
    }

    /// What is written where their type changes.
    pub fn retyped(&self, change: &Change) -> Vec<Retyped> {
        let (ty, bytes) = (change.after.ty.clone(), change.after.bytes());
        let reads = |c: &&StoredConstant| {
            let (subgraph, tensor) = (c.subgraph, c.tensor);
            let form = |r: &ConstantReader| form(r, &ty);
            c.readers.iter().map(|r| Reads { subgraph, operator: r.operator, input: r.input, tensor, form: form(r) }).collect::<Vec<_>>()
        };
        let readers = self.same.iter().flat_map(reads).collect();
        let tensors = self.same.iter().map(|c| (c.subgraph, c.tensor)).collect();
        let weights = Retyped { buffer: self.constant.buffer, ty: ty.clone(), bytes, tensors, readers };
        let bias = change.bias.as_ref().map(|(c, bias)| Retyped {
            buffer: c.buffer,
            ty: bias.clone(),
            bytes: change.bias_bytes.clone(),
            tensors: vec![(c.subgraph, c.tensor)],
            readers: vec![],
        });
        [weights].into_iter().chain(bias).collect()
    }

    pub fn is_named(&self, name: &str) -> bool {
        let is_reader = |r: &ConstantReader| r.name == name || r.operator.to_string() == name;
        self.constant.name == name || self.constant.readers.iter().any(is_reader)
    }
}

/// All weights of a model; those of several tensors once.
pub fn find(constants: &[StoredConstant]) -> Vec<WeightTensor<'_>> {
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
        all.push(WeightTensor { constant, reader, layout, same: same.clone(), refusal });
    }
    all
}

/// How an operator takes integers instead of floats, or shorter integers. Those of no kernel for that multiply floats, as before.
pub fn form(reader: &ConstantReader, ty: &TensorType) -> Form {
    let is_four = ty.element == ElementType::I4;
    if reader.is_dequantized {
        return Form::Dequantized;
    }
    match (&reader.name[..], reader.elements[0]) {
        ("FULLY_CONNECTED", Some(ElementType::F32)) => Form::Taken(12),
        ("FULLY_CONNECTED", _) => Form::Taken(10),
        // Kernels for groups take floats alone.
        ("CONV_2D", Some(ElementType::F32)) if reader.channels != ty.shape.last().copied() => Form::Dequantize,
        ("CONV_2D", _) => Form::Taken(if is_four { 7 } else { 5 }),
        ("DEPTHWISE_CONV_2D", Some(ElementType::F32)) if is_four => Form::Dequantize,
        // The reference kernels' table has no version 7, which converters write for int4, but the kernel of 6 takes it.
        ("DEPTHWISE_CONV_2D", _) => Form::Taken(6),
        _ => Form::Dequantize,
    }
}
