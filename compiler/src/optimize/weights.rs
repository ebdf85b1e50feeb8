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
    pub fn retyped(&self, biases: &Biases, change: &Change) -> Vec<Retyped> {
        let (ty, bytes) = (change.after.ty.clone(), change.after.bytes());
        let reads = |c: &&StoredConstant| {
            let (subgraph, tensor) = (c.subgraph, c.tensor);
            let form = |r: &ConstantReader| biases.form(subgraph, r, &ty);
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
    let is_of_weights = |c: &StoredConstant| c.readers.iter().any(|r| Layout::of(r, &c.ty.shape).is_some());
    let mut by_buffer: BTreeMap<u32, Vec<&StoredConstant>> = BTreeMap::new();
    constants.iter().for_each(|c| by_buffer.entry(c.buffer).or_default().push(c));
    let weights = by_buffer.into_values().filter_map(|same| {
        let constant = *same.iter().find(|c| is_of_weights(c))?;
        let (reader, layout) = constant.readers.iter().find_map(|r| Some((r, Layout::of(r, &constant.ty.shape)?)))?;
        let is_same =
            |c: &&StoredConstant| c.ty == constant.ty && c.readers.iter().all(|r| Layout::of(r, &c.ty.shape).as_ref() == Some(&layout));
        let refusal = if constant.is_sparse {
            Some("it is in the format's sparse form already")
        } else if constant.overlaps {
            Some("other parts of the file have the same bytes")
        } else if !same.iter().all(is_same) {
            Some("something else reads it, too")
        } else {
            None
        };
        Some(WeightTensor { constant, reader, layout, same, refusal })
    });
    weights.collect()
}

/// What of all constants decides about other types of weights.
pub struct Biases<'a> {
    /// By subgraph and operator.
    by_operator: BTreeMap<(usize, u32), &'a StoredConstant>,
    /// How many tensors have a buffer.
    tensors: BTreeMap<u32, usize>,
}

impl<'a> Biases<'a> {
    pub fn find(constants: &'a [StoredConstant]) -> Biases<'a> {
        let (mut by_operator, mut tensors) = (BTreeMap::new(), BTreeMap::new());
        for c in constants {
            *tensors.entry(c.buffer).or_default() += 1;
            by_operator.extend(c.readers.iter().filter(|r| r.input == 2).map(|r| ((c.subgraph, r.operator), c)));
        }
        Biases { by_operator, tensors }
    }

    /// The bias of an operator, where it is one that nobody else reads.
    pub fn own(&self, subgraph: usize, reader: &ConstantReader) -> Option<&'a StoredConstant> {
        let bias = self.by_operator.get(&(subgraph, reader.operator))?;
        let is_own = bias.readers.len() == 1 && self.tensors[&bias.buffer] == 1 && !bias.overlaps && !bias.is_sparse;
        is_own.then_some(bias)
    }

    /// Whether an operator has none, or one that is a constant.
    fn are_known(&self, subgraph: usize, reader: &ConstantReader) -> bool {
        !has_bias(reader) || self.by_operator.contains_key(&(subgraph, reader.operator))
    }

    /// How an operator takes integers instead of floats, or shorter integers. Those of no kernel for that multiply floats, as before.
    pub fn form(&self, subgraph: usize, reader: &ConstantReader, ty: &TensorType) -> Form {
        let is_four = ty.element == ElementType::I4;
        if reader.is_dequantized {
            return Form::Dequantized;
        }
        match (&reader.name[..], reader.elements[0]) {
            (_, Some(ElementType::F32)) if !self.are_known(subgraph, reader) => Form::Dequantize,
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
}

/// Of convolutions and FULLY_CONNECTED.
pub fn has_bias(reader: &ConstantReader) -> bool {
    matches!(reader.elements.get(2), Some(Some(_)))
}
