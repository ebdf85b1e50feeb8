//! COMPRESSION_METADATA: which tensors TensorFlow Lite Micro's older compression has made palettes of.
//!
//! Not what a palette's elements are (`encodings.rs`). The idea: the list is read once, with the file; whoever reads a tensor asks whether it is in there, and
//! decodes it (tensorflow/lite/micro/compression/metadata.fbs, micro_allocator.cc). What is in the list but cannot be is a problem of the file: its tensors
//! would be read as if they were dense.

use super::buffers::Buffers;
use super::encodings::{EncodedPart, EncodedProblem, PaletteTables, TableChannels};
use super::{decode, file};
use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::TensorType;
use cranelite_schema as schema;
use cranelite_schema::compression as format;
use std::collections::BTreeMap;

const KEY: &[u8] = b"COMPRESSION_METADATA";
/// The newest that is known.
const VERSION: u32 = 1;
/// Values of a table, where there are several: what the reference keeps in a byte.
const MOST_VALUES: usize = 255;

/// A tensor that is a palette.
#[derive(Clone, Copy, Debug)]
pub struct ListedPalette<'a> {
    bits: u32,
    values: &'a [u8],
}

/// By the numbers of the subgraph and of the tensor.
pub type ListedPalettes<'a> = BTreeMap<(usize, usize), ListedPalette<'a>>;

fn wrong(place: impl Into<String>, code: Code, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, message).detail(place).help("compress the model again, or compile it as it was before")
}

/// All palettes of a model.
pub fn read<'a>(model: schema::Model<'a>, buffers: &Buffers<'a>) -> Result<ListedPalettes<'a>, Diagnostic> {
    let mut all = ListedPalettes::new();
    let Some(entry) = model.metadata().into_iter().flatten().find(|m| m.name().is_some_and(|n| n.bytes() == KEY)) else { return Ok(all) };
    let whole = "COMPRESSION_METADATA";
    let data = buffers.bytes(entry.buffer()).map_err(|d| wrong(whole, d.code, d.message))?;
    let Some(data) = data else { return Err(wrong(whole, Code::BROKEN, "the list of compressed tensors is empty")) };
    // In memory of its own, whose first byte lies where numbers may.
    let data = data.to_vec();
    let list = format::root_as_metadata_with_opts(&file::verifier(data.len()), &data).map_err(|e| {
        let d = file::broken(e);
        let inside = d.place.detail.map_or(String::new(), |inside| format!(", {inside}"));
        wrong(format!("{whole}{inside}"), Code::BROKEN, d.message.replace("the file", "the list of compressed tensors"))
    })?;
    if VERSION < list.schema_version() {
        let d = wrong(whole, Code::VERSION, "the version of the compression is not known");
        return Err(d.expected(format!("{VERSION} at most")).found(list.schema_version().to_string()));
    }
    let of_model = model.subgraphs();
    let Some(subgraphs) = list.subgraphs().filter(|s| !s.is_empty()) else {
        return Err(wrong(format!("{whole}, subgraphs"), Code::BROKEN, "the list of compressed tensors is empty"));
    };
    for (s, of) in subgraphs.iter().enumerate() {
        let place = format!("{whole}, subgraphs[{s}]");
        let Some(subgraph) = of_model.filter(|all| s < all.len()).map(|all| all.get(s)) else {
            let count = of_model.map_or(0, |all| all.len());
            return Err(wrong(place, Code::INDEX, format!("subgraph {s} does not exist")).found(format!("{count} subgraphs")));
        };
        let Some(tensors) = of.lut_tensors().filter(|t| !t.is_empty()) else {
            return Err(wrong(place, Code::BROKEN, "the list of compressed tensors is empty"));
        };
        for (i, t) in tensors.iter().enumerate() {
            let place = format!("{place}.lut_tensors[{i}]");
            let count = subgraph.tensors().map_or(0, |all| all.len());
            let Some(number) = usize::try_from(t.tensor()).ok().filter(|n| *n < count) else {
                return Err(wrong(place, Code::INDEX, format!("tensor {} does not exist", t.tensor())).found(format!("{count} tensors")));
            };
            let values = buffers.bytes(t.value_buffer()).map_err(|d| wrong(place.clone(), d.code, d.message))?;
            let Some(values) = values else {
                let d = wrong(place, Code::DATA, "the palette has no values");
                return Err(d.found(format!("buffer {}", t.value_buffer())));
            };
            let palette = ListedPalette { bits: u32::from(t.index_bitwidth()), values };
            if all.insert((s, number), palette).is_some() {
                return Err(wrong(place, Code::DATA, format!("tensor {number} is compressed twice")));
            }
        }
    }
    Ok(all)
}

impl ListedPalette<'_> {
    /// The bytes of a tensor `t` of type `ty` whose buffer has the indices.
    pub fn decode(&self, ty: &TensorType, t: schema::Tensor, stream: &[u8]) -> Result<Vec<u8>, EncodedProblem> {
        let bytes = super::encodings::check_type(ty)?;
        if t.shape().is_none() {
            return Err((
                EncodedPart::Type,
                Diagnostic::new(Code::FEATURE, "compressed scalars are not supported, nor are they in TensorFlow Lite Micro"),
            ));
        }
        let q = t.quantization();
        let scales = q.and_then(|q| q.scale()).map_or(0, |s| s.len());
        let axis = q.map_or(0, |q| q.quantized_dimension());
        let channels = if 1 < scales { decode::of_quantization(axis, scales, ty, false)? } else { TableChannels::ONE };
        let stride = self.values.len() / bytes / channels.count;
        let fits = self.values.len() == stride * bytes * channels.count && stride <= MOST_VALUES;
        if 1 < channels.count && !fits {
            let d = Diagnostic::new(Code::DATA, "the values of a palette cannot be divided among the channels");
            let expected = format!("{} tables of at most {MOST_VALUES} values of {bytes} bytes", channels.count);
            return Err((EncodedPart::Tables, d.expected(expected).found(format!("{} bytes", self.values.len()))));
        }
        PaletteTables { bits: self.bits, stride, values: self.values, channels }.decode(ty, stream)
    }
}
