//! What a model's file says of its tensors, whatever is compiled of it.
//!
//! The idea: callers of TensorFlow Lite's interpreter name tensors by their numbers in the file, also those that a compiled model has not got.
//! Every number from the file is looked at before it leads anywhere.

use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};
use schema::{BuiltinOperator, TensorType};
use std::ops::Range;

pub struct File {
    pub subgraphs: Vec<Subgraph>,
    pub signatures: Vec<Signature>,
    /// It has resource variables, which all subgraphs share.
    pub has_resources: bool,
}

pub struct Subgraph {
    pub tensors: Vec<Tensor>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    pub operators: Vec<Operator>,
    /// Where in the file the place of the outputs is written.
    outputs_field: Option<usize>,
}

pub struct Tensor {
    pub name: String,
    pub shape: Vec<i32>,
    /// With -1 for what is open.
    pub shape_signature: Vec<i32>,
    pub ty: TensorType,
    pub is_variable: bool,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i32>,
    pub quantized_dimension: i32,
    /// Numbers of the tensors with scales and zero points of blocks, and how long these are.
    pub blocks: Option<(i32, i32, i32)>,
    pub sparsity: Option<Sparsity>,
    /// Where in the file its bytes are, if it is a constant.
    pub data: Option<Range<usize>>,
}

pub struct Sparsity {
    pub traversal_order: Vec<i32>,
    pub block_map: Option<Vec<i32>>,
    pub dimensions: Vec<Dimension>,
}

pub enum Dimension {
    Dense(i32),
    Sparse { segments: Vec<i32>, indices: Vec<i32> },
}

pub struct Operator {
    pub name: String,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

pub struct Signature {
    pub key: String,
    pub subgraph: usize,
    pub inputs: Vec<(String, usize)>,
    pub outputs: Vec<(String, usize)>,
}

impl File {
    /// `None` if the bytes are no model.
    pub fn read(bytes: &[u8]) -> Option<File> {
        if bytes.get(4..8) != Some(b"TFL3") {
            return None;
        }
        let options = schema::VerifierOptions {
            max_depth: 32,
            max_tables: bytes.len() / 4,
            max_apparent_size: bytes.len().saturating_mul(16).saturating_add(1 << 16),
            ignore_missing_null_terminator: true,
        };
        let model = schema::root_as_model_with_opts(&options, bytes).ok()?;
        let code =
            |c: schema::OperatorCode| (c.builtin_code().0.max(i32::from(c.deprecated_builtin_code())), c.custom_code().map(schema::text));
        let codes: Vec<_> = model.operator_codes().into_iter().flatten().map(code).collect();
        let subgraphs: Vec<_> =
            model.subgraphs().into_iter().flatten().map(|s| subgraph(bytes, &model, s, &codes)).collect::<Option<_>>()?;
        let signatures = model.signature_defs().into_iter().flatten().filter_map(|s| signature(s, &subgraphs)).collect();
        let has_resources = codes.iter().any(|(code, _)| *code == BuiltinOperator::VAR_HANDLE.0);
        (!subgraphs.is_empty()).then_some(File { subgraphs, signatures, has_resources })
    }

    /// The file with other outputs of a subgraph.
    pub fn with_outputs(&self, bytes: &[u8], subgraph: usize, tensors: &[usize]) -> Option<Vec<u8>> {
        let at = self.subgraphs[subgraph].outputs_field?;
        let mut bytes = bytes.to_vec();
        // A list at the end, and a field that leads there.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let distance = u32::try_from(bytes.len() - at).ok()?;
        bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        bytes.extend(u32::try_from(tensors.len()).ok()?.to_le_bytes());
        tensors.iter().for_each(|&t| bytes.extend((t as i32).to_le_bytes()));
        Some(bytes)
    }
}

impl Subgraph {
    /// Its outputs, and then the other results of operators that are numbers.
    pub fn all_results(&self) -> Vec<usize> {
        let mut all = self.outputs.clone();
        let mut is_known = vec![false; self.tensors.len()];
        self.outputs.iter().for_each(|&t| is_known[t] = true);
        for t in self.operators.iter().flat_map(|o| &o.outputs).filter_map(|&t| usize::try_from(t).ok()).filter(|&t| t < self.tensors.len())
        {
            let tensor = &self.tensors[t];
            let is_number = ![TensorType::RESOURCE, TensorType::STRING, TensorType::VARIANT].contains(&tensor.ty);
            if is_number && !tensor.is_variable && !std::mem::replace(&mut is_known[t], true) {
                all.push(t);
            }
        }
        all
    }
}

/// `None` if it names tensors that are not there.
fn subgraph(bytes: &[u8], model: &schema::Model, s: schema::SubGraph, codes: &[(i32, Option<String>)]) -> Option<Subgraph> {
    let tensors: Vec<Tensor> = s.tensors().into_iter().flatten().map(|t| tensor(bytes, model, t)).collect();
    let numbers = |all: Option<Vector<i32>>| {
        all.into_iter().flatten().map(|t| usize::try_from(t).ok().filter(|&t| t < tensors.len())).collect::<Option<Vec<_>>>()
    };
    let (inputs, outputs) = (numbers(s.inputs())?, numbers(s.outputs())?);
    let operator = |o: schema::Operator| {
        let name = match codes.get(o.opcode_index() as usize) {
            Some((code, custom)) if *code == BuiltinOperator::CUSTOM.0 => custom.clone().unwrap_or("UnknownCustomOp".into()),
            Some((code, _)) => BuiltinOperator(*code).variant_name().map_or_else(|| code.to_string(), String::from),
            None => String::new(),
        };
        Operator { name, inputs: o.inputs().into_iter().flatten().collect(), outputs: o.outputs().into_iter().flatten().collect() }
    };
    let operators = s.operators().into_iter().flatten().map(operator).collect();
    // Tables say at which distance from their beginning a field is; 0 if they have it not.
    let table = s._tab;
    let field = table.vtable().get(schema::SubGraph::VT_OUTPUTS);
    let outputs_field = (field != 0).then(|| table.loc() + field as usize);
    Some(Subgraph { tensors, inputs, outputs, operators, outputs_field })
}

fn tensor(bytes: &[u8], model: &schema::Model, t: schema::Tensor) -> Tensor {
    let shape: Vec<i32> = t.shape().into_iter().flatten().collect();
    let signature: Vec<i32> = t.shape_signature().into_iter().flatten().collect();
    let q = t.quantization();
    let scales: Vec<f32> = q.and_then(|q| q.scale()).into_iter().flatten().collect();
    let mut zero_points: Vec<i32> = q.and_then(|q| q.zero_point()).into_iter().flatten().map(|z| z as i32).collect();
    // Where one zero point is all, there is one for each scale to callers.
    if zero_points.len() == 1 && 1 < scales.len() {
        zero_points = vec![zero_points[0]; scales.len()];
    }
    if scales.is_empty() {
        zero_points.clear();
    }
    let blocks = q.and_then(|q| q.details_as_blockwise_quantization()).map(|b| (b.scales(), b.zero_points(), b.block_size()));
    Tensor {
        name: t.name().map(schema::text).unwrap_or_default(),
        shape_signature: if signature.is_empty() { shape.clone() } else { signature },
        shape,
        ty: t.type_(),
        is_variable: t.is_variable(),
        quantized_dimension: q.filter(|_| !scales.is_empty()).map_or(0, |q| q.quantized_dimension()),
        scales,
        zero_points,
        blocks,
        sparsity: t.sparsity().map(sparsity),
        data: data(bytes, model, t.buffer()),
    }
}

fn data(bytes: &[u8], model: &schema::Model, buffer: u32) -> Option<Range<usize>> {
    let all = model.buffers().filter(|all| (buffer as usize) < all.len())?;
    let buffer = all.get(buffer as usize);
    let range = match buffer.data().filter(|d| !d.is_empty()) {
        Some(data) => {
            let at = data.bytes().as_ptr().addr() - bytes.as_ptr().addr();
            at..at + data.len()
        }
        None if 1 < buffer.offset() => {
            let at = usize::try_from(buffer.offset()).ok()?;
            at..at.checked_add(usize::try_from(buffer.size()).ok()?)?
        }
        None => return None,
    };
    (!range.is_empty() && range.end <= bytes.len()).then_some(range)
}

fn sparsity(s: schema::SparsityParameters) -> Sparsity {
    let dimension = |d: schema::DimensionMetadata| match d.format() {
        schema::DimensionType::SPARSE_CSR => {
            let [segments, indices] = [
                (d.array_segments_as_int_32_vector(), d.array_segments_as_uint_16_vector(), d.array_segments_as_uint_8_vector()),
                (d.array_indices_as_int_32_vector(), d.array_indices_as_uint_16_vector(), d.array_indices_as_uint_8_vector()),
            ]
            .map(|(long, short, bytes)| {
                let long = long.and_then(|v| v.values()).into_iter().flatten();
                let short = short.and_then(|v| v.values()).into_iter().flatten().map(i32::from);
                long.chain(short).chain(bytes.and_then(|v| v.values()).into_iter().flatten().map(i32::from)).collect()
            });
            Dimension::Sparse { segments, indices }
        }
        _ => Dimension::Dense(d.dense_size()),
    };
    Sparsity {
        traversal_order: s.traversal_order().into_iter().flatten().collect(),
        block_map: s.block_map().map(|all| all.iter().collect()),
        dimensions: s.dim_metadata().into_iter().flatten().map(dimension).collect(),
    }
}

/// `None` if it names what is not there.
fn signature(s: schema::SignatureDef, subgraphs: &[Subgraph]) -> Option<Signature> {
    let subgraph = s.subgraph_index() as usize;
    let count = subgraphs.get(subgraph)?.tensors.len();
    let names = |all: Option<Vector<ForwardsUOffset<schema::TensorMap>>>| {
        let mut named: Vec<(String, usize)> = all
            .into_iter()
            .flatten()
            .map(|m| Some((m.name().map(schema::text)?, usize::try_from(m.tensor_index()).ok().filter(|&t| t < count)?)))
            .collect::<Option<_>>()?;
        // As in the runtime, where they are in a map.
        named.sort();
        Some(named)
    };
    Some(Signature { key: s.signature_key().map(schema::text)?, subgraph, inputs: names(s.inputs())?, outputs: names(s.outputs())? })
}
