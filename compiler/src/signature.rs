//! What a caller must know of a model: names and types of its inputs and outputs, and how they are called in C.
//!
//! Taken from the graph as it was imported, before rewrites.

use crate::array::describe;
use crate::names::identifiers;
use cranelite_graph::graph::{Graph, ValueId};
use cranelite_graph::tensor::TensorType;

#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// As in the model.
    pub name: String,
    /// In C: unique among the inputs, or among the outputs.
    pub identifier: String,
    pub ty: TensorType,
}

impl Signature {
    pub fn of(graph: &Graph) -> Self {
        Signature { inputs: tensors(graph, &graph.inputs, "input"), outputs: tensors(graph, &graph.outputs, "output") }
    }
}

fn tensors(graph: &Graph, values: &[ValueId], otherwise: &str) -> Vec<Tensor> {
    let values: Vec<_> = values.iter().map(|&v| graph.value(v)).collect();
    let names: Vec<&str> = values.iter().map(|v| v.name.as_str()).collect();
    let identifiers = identifiers(&names, otherwise);
    values.iter().zip(identifiers).map(|(v, identifier)| Tensor { name: v.name.clone(), identifier, ty: v.ty.clone() }).collect()
}

impl Tensor {
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
