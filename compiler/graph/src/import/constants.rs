//! The constants of a file, where their bytes are, and which operators read them: for tools that change weights and leave the rest of a file as it is.
//!
//! Not a graph and no meaning: nothing is folded, nothing is renamed, and operators are names with numbers of inputs. The idea: who writes
//! into a copy of a file must know of every byte that it is one tensor's alone, so ranges are compared with those of all other buffers.

use super::file::{File, OperatorCode};
use super::tensors;
use crate::diagnostic::Diagnostic;
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;
use cranelite_schema as schema;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A tensor that has bytes in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConstant {
    pub subgraph: usize,
    /// In the subgraph.
    pub tensor: usize,
    pub name: String,
    pub ty: TensorType,
    pub buffer: u32,
    /// As many bytes of the file as the type has; those of the sparse form where it has one.
    pub range: Range<usize>,
    /// Whether the bytes are those of the format's sparse form.
    pub is_sparse: bool,
    /// Whether other buffers have some of the bytes, too, or the model's metadata is in it.
    pub overlaps: bool,
    /// In the order of the operators.
    pub readers: Vec<ConstantReader>,
}

/// An operator that reads a constant, or what a DENSIFY or a DEQUANTIZE makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantReader {
    /// In the subgraph.
    pub operator: u32,
    /// As in the format: `CONV_2D`, or the name of a custom operator.
    pub name: String,
    pub input: usize,
    /// Of the operator's inputs, where they are known.
    pub elements: Arc<[Option<ElementType>]>,
    /// The last dimension of its first input.
    pub channels: Option<usize>,
    /// Whether a BATCH_MATMUL reads this operand with its last two axes exchanged.
    pub is_transposed: bool,
    /// Whether there is a DENSIFY or a DEQUANTIZE between them.
    pub is_dequantized: bool,
}

/// All constants that operators read, by subgraph and tensor.
pub fn read(bytes: &[u8]) -> Result<Vec<StoredConstant>, Diagnostic> {
    let bytes = Bytes::copy_from_slice(bytes);
    let file = File::open(&bytes)?;
    let overlapping = overlapping(&file);
    let mut all = vec![];
    for (s, subgraph) in file.model.subgraphs().into_iter().flatten().enumerate() {
        let mut readers = readers(&file, subgraph);
        for (i, t) in subgraph.tensors().into_iter().flatten().enumerate() {
            let Ok(Some(data)) = file.buffers.bytes(t.buffer()) else { continue };
            let (Some(ty), Some(readers)) = (tensors::declared_type(&file, t), readers.remove(&i)) else { continue };
            let is_sparse = t.sparsity().is_some();
            let start = place(&bytes, data).start;
            let size = if is_sparse { data.len() } else { ty.size_bytes() };
            if size == 0 || t.is_variable() {
                continue;
            }
            all.push(StoredConstant {
                subgraph: s,
                tensor: i,
                name: t.name().map(schema::text).unwrap_or_default(),
                ty,
                buffer: t.buffer(),
                range: start..start + size,
                is_sparse,
                overlaps: overlapping.contains(&t.buffer()),
                readers,
            });
        }
    }
    Ok(all)
}

/// Where a part of the file's bytes is.
fn place(file: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - file.as_ptr() as usize;
    start..start + part.len()
}

/// Buffers that have bytes in common with another one.
fn overlapping(file: &File) -> BTreeSet<u32> {
    let count = file.model.buffers().map_or(0, |b| b.len() as u32);
    let range = |b: u32| file.buffers.bytes(b).ok().flatten().map(|data| (place(file.bytes, data), b));
    let mut ranges: Vec<(Range<usize>, u32)> = (0..count).filter_map(range).collect();
    ranges.sort_by_key(|(r, b)| (r.start, r.end, *b));
    let mut found = BTreeSet::new();
    // The one that reaches farthest of those before.
    let mut farthest: Option<(usize, u32)> = None;
    for (range, b) in ranges {
        if let Some((end, other)) = farthest.filter(|(end, _)| range.start < *end) {
            found.extend([other, b]);
            farthest = Some(if end < range.end { (range.end, b) } else { (end, other) });
        } else {
            farthest = Some((range.end, b));
        }
    }
    found.extend(file.model.metadata().into_iter().flatten().map(|m| m.buffer()));
    found
}

/// By tensor.
fn readers(file: &File, subgraph: schema::SubGraph) -> BTreeMap<usize, Vec<ConstantReader>> {
    let elements: Vec<Option<ElementType>> =
        subgraph.tensors().into_iter().flatten().map(|t| tensors::element_type(t.type_()).ok()).collect();
    let mut all: BTreeMap<usize, Vec<ConstantReader>> = BTreeMap::new();
    let last = |t: schema::Tensor| t.shape().filter(|s| !s.is_empty()).and_then(|s| usize::try_from(s.get(s.len() - 1)).ok());
    let channels: Vec<Option<usize>> = subgraph.tensors().into_iter().flatten().map(last).collect();
    // What is only made readable: results, and what they are made of, in the order of the operators.
    let (mut made, mut results) = (vec![], BTreeSet::new());
    for (o, operator) in subgraph.operators().into_iter().flatten().enumerate() {
        let name = file.codes.get(operator.opcode_index() as usize).map(name).unwrap_or_default();
        let inputs: Vec<Option<usize>> = operator.inputs().into_iter().flatten().map(|t| usize::try_from(t).ok()).collect();
        let of_inputs: Arc<[_]> = inputs.iter().map(|t| *elements.get((*t)?)?).collect();
        let result = operator.outputs().into_iter().flatten().next().and_then(|t| usize::try_from(t).ok());
        if let ("DENSIFY" | "DEQUANTIZE", [Some(from)], Some(to)) = (&name[..], &inputs[..], result)
            && results.insert(to)
        {
            made.push((*from, to));
        }
        let exchanged = operator.builtin_options_as_batch_mat_mul_options().map(|o| [o.adj_x(), o.adj_y()]).unwrap_or_default();
        for (input, tensor) in inputs.iter().enumerate() {
            let Some(tensor) = tensor else { continue };
            all.entry(*tensor).or_default().push(ConstantReader {
                operator: o as u32,
                name: name.clone(),
                input,
                elements: of_inputs.clone(),
                channels: inputs[0].and_then(|t| *channels.get(t)?),
                is_transposed: exchanged.get(input).is_some_and(|e| *e),
                is_dequantized: false,
            });
        }
    }
    for (from, to) in made.into_iter().rev() {
        let behind = all.get(&to).cloned().unwrap_or_default();
        if let Some(readers) = all.get_mut(&from) {
            readers.retain(|r| !matches!(&r.name[..], "DENSIFY" | "DEQUANTIZE"));
            readers.extend(behind.into_iter().map(|r| ConstantReader { is_dequantized: true, ..r }));
            readers.sort_by_key(|r| (r.operator, r.input));
        }
    }
    all
}

fn name(code: &OperatorCode) -> String {
    match (&code.custom, code.code.variant_name()) {
        (Some(custom), _) if code.code == schema::BuiltinOperator::CUSTOM => custom.clone(),
        (_, Some(name)) => name.into(),
        (_, None) => format!("operator {}", code.code.0),
    }
}
