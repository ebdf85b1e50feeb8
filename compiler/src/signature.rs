//! What a caller must know of a model: names and types of its inputs and outputs, and how they are called in C.
//!
//! Taken from the graph as it was imported, before rewrites.

use crate::array::{Array, describe};
use crate::dump::Exposed;
use crate::names::{self, identifiers};
use cranelite_codegen::object::model;
use cranelite_graph::diagnostic::quoted;
use cranelite_graph::graph::{Graph, ValueId};
use cranelite_graph::import::Imported;
use cranelite_graph::pipeline::Answer;
use cranelite_graph::tensor::{ElementType, TensorType};

#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    pub inputs: Vec<Tensor>,
    /// The model's, then those that were added to show results of operators.
    pub outputs: Vec<Tensor>,
    pub own_output_count: usize,
    /// Of each of the model's outputs: the output that counts its first dimension, which is known at run time only.
    pub counts: Vec<Option<usize>>,
    pub exposed: Vec<Exposed>,
    /// Of outputs that a pipeline makes.
    pub answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// What the model's signature calls it, or the tensor's name.
    pub name: String,
    pub tensor_name: String,
    /// In its subgraph; of what is no tensor of the file none.
    pub tensor_index: Option<u32>,
    /// In C: unique among the inputs, or among the outputs.
    pub identifier: String,
    pub ty: TensorType,
    /// Identifier of the output that counts its first dimension.
    pub count: Option<String>,
    /// In words, what a sensor gives here; mostly empty.
    pub sensor: String,
}

impl Signature {
    pub fn of(imported: &Imported) -> Self {
        let Imported { graph, input_names, output_names, output_counts, .. } = imported;
        let mut inputs = tensors(graph, &graph.inputs, input_names, "input");
        let mut outputs = tensors(graph, &graph.outputs, output_names, "output");
        for (tensors, indices) in [(&mut inputs, &imported.input_tensors), (&mut outputs, &imported.output_tensors)] {
            tensors.iter_mut().zip(indices).for_each(|(tensor, index)| tensor.tensor_index = u32::try_from(*index).ok());
        }
        for (i, count) in output_counts.iter().enumerate() {
            outputs[i].count = count.map(|count| outputs[count].identifier.clone());
        }
        Signature {
            inputs,
            own_output_count: output_counts.len(),
            outputs,
            counts: output_counts.clone(),
            exposed: vec![],
            answers: vec![],
        }
    }

    /// What a pipeline says of inputs and outputs.
    pub fn note(&mut self, answers: Vec<Answer>, sensors: &[String]) {
        self.answers = answers;
        self.inputs.iter_mut().zip(sensors).for_each(|(input, sensor)| input.sensor.clone_from(sensor));
    }

    /// Inputs and outputs, for the object's description of itself.
    pub fn described(&self) -> [Vec<model::Tensor>; 2] {
        let [inputs, mut outputs] = [&self.inputs, &self.outputs].map(|all| all.iter().map(Tensor::described).collect::<Vec<_>>());
        for (output, count) in outputs.iter_mut().zip(&self.counts) {
            output.count = count.map(|at| at as u32);
        }
        [inputs, outputs]
    }

    /// The model's outputs, each as long as it is.
    pub fn own_outputs(&self, outputs: &[Array]) -> Vec<Array> {
        let one = |(i, output): (usize, &Array)| match self.counts.get(i).copied().flatten() {
            None => output.clone(),
            Some(count) => output.first_rows(outputs[count].data[..4].try_into().map_or(0, i32::from_le_bytes).max(0) as usize),
        };
        outputs.iter().take(self.own_output_count).enumerate().map(one).collect()
    }
}

/// Words for signatures, where there are several: macros of one's arena, self-test and tensors have names that no other's have.
pub fn words(keys: &[&str], signatures: &[Signature]) -> Vec<Option<String>> {
    if let [_] = keys {
        return vec![None];
    }
    let stems = |i: usize, word: &str| {
        let Signature { inputs, outputs, .. } = &signatures[i];
        let tensors = |kind: &str, all: &[Tensor]| all.iter().map(|t| format!("{word}_{kind}_{}", t.identifier)).collect::<Vec<_>>();
        // In C, and in Rust.
        let tensors = [("in", inputs), ("out", outputs), ("input", inputs), ("output", outputs)].map(|(kind, all)| tensors(kind, all));
        [&tensors.concat()[..], &["arena", "stack", "selftest"].map(|of| format!("{word}_{of}"))].concat()
    };
    names::signatures(keys, stems).into_iter().map(Some).collect()
}

pub fn tensors(graph: &Graph, values: &[ValueId], names: &[String], otherwise: &str) -> Vec<Tensor> {
    let identifiers = identifiers(&names.iter().map(String::as_str).collect::<Vec<_>>(), otherwise);
    let tensor = |((&v, name), identifier): ((&ValueId, &String), String)| {
        let value = graph.value(v);
        let (name, tensor_name) = (name.clone(), value.name.clone());
        Tensor { name, tensor_name, tensor_index: None, identifier, ty: value.ty.clone(), count: None, sensor: String::new() }
    };
    values.iter().zip(names).zip(identifiers).map(tensor).collect()
}

impl Tensor {
    /// For the object's description of itself.
    pub fn described(&self) -> model::Tensor {
        let (scale, zero_point) = self.quantization().unwrap_or_default();
        model::Tensor {
            name: self.name.clone(),
            identifier: self.identifier.clone(),
            tensor_name: self.tensor_name.clone(),
            tensor_index: self.tensor_index,
            count: None,
            dims: self.ty.shape.iter().map(|&d| d as i32).collect(),
            ty: type_number(self.ty.element),
            size_bytes: self.ty.size_bytes() as u64,
            scale,
            zero_point: zero_point as i32,
        }
    }

    /// ` of tensor "serving_default_x:0"`, where that is another name.
    pub fn of_tensor(&self) -> String {
        if self.name == self.tensor_name { String::new() } else { format!(" of tensor {}", quoted(&self.tensor_name)) }
    }

    /// `i8 [1,49,10,1]`
    pub fn describe(&self) -> String {
        describe(self.ty.element, &self.ty.shape)
    }

    /// `real = 0.5 * (q + 128)`, of tensors quantised as a whole.
    pub fn formula(&self) -> Option<String> {
        let (scale, zero_point) = self.quantization()?;
        let (sign, zero_point) = if zero_point < 0 { ('+', -zero_point) } else { ('-', zero_point) };
        Some(if zero_point == 0 { format!("real = {scale:?} * q") } else { format!("real = {scale:?} * (q {sign} {zero_point})") })
    }

    /// Scale and zero point, of tensors quantised as a whole.
    pub fn quantization(&self) -> Option<(f32, i64)> {
        let q = self.ty.quantization.as_ref().filter(|q| q.is_per_tensor())?;
        Some((q.scales[0], q.zero_points[0]))
    }
}

/// TensorFlow Lite's numbers (`TfLiteType`), 0 for types that it has none for.
fn type_number(element: ElementType) -> u32 {
    use ElementType::*;
    match element {
        F32 => 1,
        I32 => 2,
        U8 => 3,
        I64 => 4,
        String => 5,
        Bool => 6,
        I16 => 7,
        Complex64 => 8,
        I8 => 9,
        F16 => 10,
        F64 => 11,
        Complex128 => 12,
        U64 => 13,
        Resource => 14,
        Variant => 15,
        U32 => 16,
        U16 => 17,
        I4 => 18,
        BF16 => 19,
        I2 | U4 | F8E4M3 | F8E5M2 => 0,
    }
}
