//! A maker of small model files for tests of the import.
//!
//! Not a serialiser of graphs: it writes any nonsense that it is told to. The idea: a model is a plain value, so a test changes one field
//! of a good model and looks at what is said about it.

#![allow(dead_code)] // Not every test binary uses all of it.

use cranelite_schema::flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use cranelite_schema::{self as schema, ActivationFunctionType, BuiltinOperator, BuiltinOptions, TensorType};

pub type Builder = FlatBufferBuilder<'static>;

#[derive(Clone, Default)]
pub struct Model {
    pub version: u32,
    pub buffers: Vec<Buffer>,
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    /// Bytes behind the flatbuffer.
    pub tail: Vec<u8>,
    pub signatures: Vec<Signature>,
    /// Names, and numbers of buffers.
    pub metadata: Vec<(String, u32)>,
    /// Subgraphs behind the main one: tensors and operators of other models, whose buffers count behind this one's.
    pub called: Vec<Model>,
    /// Subgraphs without anything, behind those, by name.
    pub more_subgraphs: Vec<String>,
}

/// Names of tensors, by their indices.
#[derive(Clone, Default)]
pub struct Signature {
    pub key: String,
    pub subgraph: u32,
    pub inputs: Vec<(String, u32)>,
    pub outputs: Vec<(String, u32)>,
}

#[derive(Clone, Default)]
pub struct Buffer {
    pub data: Vec<u8>,
    pub offset: u64,
    pub size: u64,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub ty: TensorType,
    pub shape: Vec<i32>,
    pub shape_signature: Option<Vec<i32>>,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    pub quantized_dimension: i32,
    pub buffer: u32,
    pub is_variable: bool,
    pub external_buffer: u32,
    /// Of a matrix with sparse rows: where the list of each of them begins and ends, and all lists.
    pub lists: Option<[Vec<i32>; 2]>,
}

#[derive(Clone)]
pub struct Operator {
    pub code: i32,
    pub version: i32,
    /// Instead of the operator's own code, where set.
    pub opcode_index: Option<u32>,
    pub custom_code: Option<String>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub options: Options,
}

#[derive(Clone, Copy)]
pub enum Options {
    None,
    Conv2D {
        padding: schema::Padding,
        stride: i32,
        dilation: i32,
        activation: ActivationFunctionType,
    },
    DepthwiseConv2D {
        padding: schema::Padding,
        stride: i32,
        depth_multiplier: i32,
    },
    Pool2D {
        padding: schema::Padding,
        stride: i32,
        filter: i32,
    },
    Add,
    Sub,
    Mul,
    Concatenation {
        axis: i32,
    },
    FullyConnected,
    Softmax {
        beta: f32,
    },
    Reducer {
        keep_dims: bool,
    },
    Reshape,
    VarHandle {
        name: &'static str,
    },
    CallOnce {
        subgraph: i32,
    },
    Call {
        subgraph: i32,
    },
    If {
        then: i32,
        otherwise: i32,
    },
    While {
        test: i32,
        body: i32,
    },
    Shape {
        out_type: TensorType,
    },
    Rnn,
    /// Of a custom operator.
    Custom(&'static [u8]),
}

impl Model {
    pub fn new() -> Self {
        Model { version: 3, buffers: vec![Buffer::default()], ..Model::default() }
    }

    /// Adds a tensor; data may be empty.
    pub fn tensor(&mut self, name: &str, ty: TensorType, shape: &[i32], quantization: Option<(f32, i64)>, data: &[u8]) -> i32 {
        let mut buffer = 0;
        if !data.is_empty() {
            buffer = self.buffers.len() as u32;
            self.buffers.push(Buffer { data: data.to_vec(), ..Buffer::default() });
        }
        self.tensors.push(Tensor {
            name: name.into(),
            ty,
            shape: shape.to_vec(),
            shape_signature: None,
            scales: quantization.iter().map(|q| q.0).collect(),
            zero_points: quantization.iter().map(|q| q.1).collect(),
            quantized_dimension: 0,
            buffer,
            is_variable: false,
            external_buffer: 0,
            lists: None,
        });
        self.tensors.len() as i32 - 1
    }

    pub fn operator(&mut self, code: BuiltinOperator, inputs: &[i32], output: i32, options: Options) {
        let (inputs, outputs) = (inputs.to_vec(), vec![output]);
        self.operators.push(Operator { code: code.0, version: 1, opcode_index: None, custom_code: None, inputs, outputs, options });
    }

    fn write(&self, b: &mut Builder, first_code: usize, first_buffer: usize) -> WIPOffset<schema::SubGraph<'static>> {
        let moved = |t: &Tensor| Tensor { buffer: if t.buffer == 0 { 0 } else { t.buffer + first_buffer as u32 }, ..t.clone() };
        let tensors: Vec<_> = self.tensors.iter().map(|t| moved(t).write(b)).collect();
        let operators: Vec<_> = self.operators.iter().enumerate().map(|(i, o)| o.write(b, (first_code + i) as u32)).collect();
        let args = schema::SubGraphArgs {
            tensors: Some(b.create_vector(&tensors)),
            operators: Some(b.create_vector(&operators)),
            inputs: Some(b.create_vector(&self.inputs)),
            outputs: Some(b.create_vector(&self.outputs)),
            ..Default::default()
        };
        schema::SubGraph::create(b, &args)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut b = Builder::new();
        let all = || std::iter::once(self).chain(&self.called);
        let codes: Vec<_> = all().flat_map(|m| &m.operators).map(|o| o.write_code(&mut b)).collect();
        let buffers: Vec<_> = all().flat_map(|m| &m.buffers).map(|x| x.write(&mut b)).collect();
        let (mut subgraphs, mut first_code, mut first_buffer) = (vec![], 0, 0);
        for m in all() {
            subgraphs.push(m.write(&mut b, first_code, first_buffer));
            (first_code, first_buffer) = (first_code + m.operators.len(), first_buffer + m.buffers.len());
        }
        for name in &self.more_subgraphs {
            let name = Some(b.create_string(name));
            subgraphs.push(schema::SubGraph::create(&mut b, &schema::SubGraphArgs { name, ..Default::default() }));
        }
        let signatures: Vec<_> = self.signatures.iter().map(|s| s.write(&mut b)).collect();
        let entry = |b: &mut Builder, (name, buffer): &(String, u32)| {
            let name = Some(b.create_string(name));
            schema::Metadata::create(b, &schema::MetadataArgs { name, buffer: *buffer })
        };
        let metadata: Vec<_> = self.metadata.iter().map(|m| entry(&mut b, m)).collect();
        let model = schema::ModelArgs {
            version: self.version,
            metadata: (!metadata.is_empty()).then(|| b.create_vector(&metadata)),
            subgraphs: Some(b.create_vector(&subgraphs)),
            signature_defs: Some(b.create_vector(&signatures)),
            operator_codes: Some(b.create_vector(&codes)),
            buffers: Some(b.create_vector(&buffers)),
            ..Default::default()
        };
        let model = schema::Model::create(&mut b, &model);
        schema::finish_model_buffer(&mut b, model);
        [b.finished_data(), &self.tail].concat()
    }
}

impl Signature {
    fn write(&self, b: &mut Builder) -> WIPOffset<schema::SignatureDef<'static>> {
        let names = |b: &mut Builder, all: &[(String, u32)]| {
            let one = |(name, tensor_index): &(String, u32)| {
                let name = Some(b.create_string(name));
                schema::TensorMap::create(b, &schema::TensorMapArgs { name, tensor_index: *tensor_index })
            };
            let all: Vec<_> = all.iter().map(one).collect();
            b.create_vector(&all)
        };
        let (inputs, outputs) = (Some(names(b, &self.inputs)), Some(names(b, &self.outputs)));
        let signature_key = Some(b.create_string(&self.key));
        schema::SignatureDef::create(b, &schema::SignatureDefArgs { inputs, outputs, signature_key, subgraph_index: self.subgraph })
    }
}

impl Buffer {
    fn write(&self, b: &mut Builder) -> WIPOffset<schema::Buffer<'static>> {
        let data = (!self.data.is_empty()).then(|| b.create_vector(&self.data));
        schema::Buffer::create(b, &schema::BufferArgs { data, offset: self.offset, size: self.size })
    }
}

impl Tensor {
    fn write(&self, b: &mut Builder) -> WIPOffset<schema::Tensor<'static>> {
        let quantization = schema::QuantizationParametersArgs {
            scale: Some(b.create_vector(&self.scales)),
            zero_point: Some(b.create_vector(&self.zero_points)),
            quantized_dimension: self.quantized_dimension,
            ..Default::default()
        };
        let quantization = schema::QuantizationParameters::create(b, &quantization);
        let tensor = schema::TensorArgs {
            name: Some(b.create_string(&self.name)),
            shape: Some(b.create_vector(&self.shape)),
            shape_signature: self.shape_signature.as_ref().map(|s| b.create_vector(s)),
            type_: self.ty,
            buffer: self.buffer,
            is_variable: self.is_variable,
            external_buffer: self.external_buffer,
            quantization: Some(quantization),
            sparsity: self.lists.as_ref().map(|lists| self.sparsity(b, lists)),
            ..Default::default()
        };
        schema::Tensor::create(b, &tensor)
    }

    fn sparsity(&self, b: &mut Builder, lists: &[Vec<i32>; 2]) -> WIPOffset<schema::SparsityParameters<'static>> {
        let rows = schema::DimensionMetadataArgs { dense_size: self.shape[0], ..Default::default() };
        let rows = schema::DimensionMetadata::create(b, &rows);
        let [segments, indices] = lists.clone().map(|values| {
            let values = Some(b.create_vector(&values));
            Some(schema::Int32Vector::create(b, &schema::Int32VectorArgs { values }).as_union_value())
        });
        let columns = schema::DimensionMetadataArgs {
            format: schema::DimensionType::SPARSE_CSR,
            array_segments_type: schema::SparseIndexVector::Int32Vector,
            array_segments: segments,
            array_indices_type: schema::SparseIndexVector::Int32Vector,
            array_indices: indices,
            ..Default::default()
        };
        let columns = schema::DimensionMetadata::create(b, &columns);
        let args = schema::SparsityParametersArgs {
            traversal_order: Some(b.create_vector(&[0, 1])),
            dim_metadata: Some(b.create_vector(&[rows, columns])),
            ..Default::default()
        };
        schema::SparsityParameters::create(b, &args)
    }
}

impl Operator {
    fn write(&self, b: &mut Builder, index: u32) -> WIPOffset<schema::Operator<'static>> {
        let (builtin_options_type, builtin_options) = self.options.write(b);
        let operator = schema::OperatorArgs {
            opcode_index: self.opcode_index.unwrap_or(index),
            inputs: Some(b.create_vector(&self.inputs)),
            outputs: Some(b.create_vector(&self.outputs)),
            builtin_options_type,
            builtin_options,
            custom_options: match self.options {
                Options::Custom(bytes) => Some(b.create_vector(bytes)),
                _ => None,
            },
            ..Default::default()
        };
        schema::Operator::create(b, &operator)
    }

    fn write_code(&self, b: &mut Builder) -> WIPOffset<schema::OperatorCode<'static>> {
        let code = schema::OperatorCodeArgs {
            deprecated_builtin_code: self.code.clamp(-128, 127) as i8,
            builtin_code: BuiltinOperator(self.code),
            version: self.version,
            custom_code: self.custom_code.as_ref().map(|c| b.create_string(c)),
        };
        schema::OperatorCode::create(b, &code)
    }
}

impl Options {
    fn write(self, b: &mut Builder) -> (BuiltinOptions, Option<WIPOffset<UnionWIPOffset>>) {
        let (tag, offset) = match self {
            Options::None | Options::Custom(_) => return (BuiltinOptions::NONE, None),
            Options::Conv2D { padding, stride, dilation, activation } => {
                let args = schema::Conv2DOptionsArgs {
                    padding,
                    stride_w: stride,
                    stride_h: stride,
                    dilation_w_factor: dilation,
                    dilation_h_factor: dilation,
                    fused_activation_function: activation,
                    ..Default::default()
                };
                (BuiltinOptions::Conv2DOptions, schema::Conv2DOptions::create(b, &args).as_union_value())
            }
            Options::DepthwiseConv2D { padding, stride, depth_multiplier } => {
                let args = schema::DepthwiseConv2DOptionsArgs {
                    padding,
                    stride_w: stride,
                    stride_h: stride,
                    depth_multiplier,
                    ..Default::default()
                };
                (BuiltinOptions::DepthwiseConv2DOptions, schema::DepthwiseConv2DOptions::create(b, &args).as_union_value())
            }
            Options::Pool2D { padding, stride, filter } => {
                let args = schema::Pool2DOptionsArgs {
                    padding,
                    stride_w: stride,
                    stride_h: stride,
                    filter_width: filter,
                    filter_height: filter,
                    ..Default::default()
                };
                (BuiltinOptions::Pool2DOptions, schema::Pool2DOptions::create(b, &args).as_union_value())
            }
            Options::Add => (BuiltinOptions::AddOptions, schema::AddOptions::create(b, &Default::default()).as_union_value()),
            Options::Sub => (BuiltinOptions::SubOptions, schema::SubOptions::create(b, &Default::default()).as_union_value()),
            Options::Mul => (BuiltinOptions::MulOptions, schema::MulOptions::create(b, &Default::default()).as_union_value()),
            Options::Concatenation { axis } => {
                let args = schema::ConcatenationOptionsArgs { axis, ..Default::default() };
                (BuiltinOptions::ConcatenationOptions, schema::ConcatenationOptions::create(b, &args).as_union_value())
            }
            Options::FullyConnected => {
                let options = schema::FullyConnectedOptions::create(b, &Default::default());
                (BuiltinOptions::FullyConnectedOptions, options.as_union_value())
            }
            Options::Softmax { beta } => {
                let options = schema::SoftmaxOptions::create(b, &schema::SoftmaxOptionsArgs { beta });
                (BuiltinOptions::SoftmaxOptions, options.as_union_value())
            }
            Options::Reducer { keep_dims } => {
                let options = schema::ReducerOptions::create(b, &schema::ReducerOptionsArgs { keep_dims });
                (BuiltinOptions::ReducerOptions, options.as_union_value())
            }
            Options::Reshape => {
                let options = schema::ReshapeOptions::create(b, &Default::default());
                (BuiltinOptions::ReshapeOptions, options.as_union_value())
            }
            Options::VarHandle { name } => {
                let shared_name = Some(b.create_string(name));
                let options = schema::VarHandleOptions::create(b, &schema::VarHandleOptionsArgs { shared_name, ..Default::default() });
                (BuiltinOptions::VarHandleOptions, options.as_union_value())
            }
            Options::CallOnce { subgraph } => {
                let options = schema::CallOnceOptions::create(b, &schema::CallOnceOptionsArgs { init_subgraph_index: subgraph });
                (BuiltinOptions::CallOnceOptions, options.as_union_value())
            }
            Options::Call { subgraph } => {
                let options = schema::CallOptions::create(b, &schema::CallOptionsArgs { subgraph: subgraph as u32 });
                (BuiltinOptions::CallOptions, options.as_union_value())
            }
            Options::If { then, otherwise } => {
                let args = schema::IfOptionsArgs { then_subgraph_index: then, else_subgraph_index: otherwise };
                (BuiltinOptions::IfOptions, schema::IfOptions::create(b, &args).as_union_value())
            }
            Options::While { test, body } => {
                let args = schema::WhileOptionsArgs { cond_subgraph_index: test, body_subgraph_index: body };
                (BuiltinOptions::WhileOptions, schema::WhileOptions::create(b, &args).as_union_value())
            }
            Options::Shape { out_type } => {
                let options = schema::ShapeOptions::create(b, &schema::ShapeOptionsArgs { out_type });
                (BuiltinOptions::ShapeOptions, options.as_union_value())
            }
            Options::Rnn => {
                let options = schema::RNNOptions::create(b, &schema::RNNOptionsArgs::default());
                (BuiltinOptions::RNNOptions, options.as_union_value())
            }
        };
        (tag, Some(offset))
    }
}

/// What COMPRESSION_METADATA lists of subgraph 0: tensor, buffer with the values, bits of an index.
pub fn listed(version: u32, tensors: &[(i32, u32, u8)]) -> Vec<u8> {
    use schema::compression::{LutTensor, LutTensorArgs, Metadata, MetadataArgs, Subgraph, SubgraphArgs};
    let mut b = Builder::new();
    let one = |b: &mut Builder, &(tensor, value_buffer, index_bitwidth): &(i32, u32, u8)| {
        LutTensor::create(b, &LutTensorArgs { tensor, value_buffer, index_bitwidth })
    };
    let tensors: Vec<_> = tensors.iter().map(|t| one(&mut b, t)).collect();
    let lut_tensors = Some(b.create_vector(&tensors));
    let subgraph = Subgraph::create(&mut b, &SubgraphArgs { lut_tensors });
    let subgraphs = Some(b.create_vector(&[subgraph]));
    let all = Metadata::create(&mut b, &MetadataArgs { schema_version: version, subgraphs });
    b.finish_minimal(all);
    b.finished_data().to_vec()
}

/// A header of TFLM_DECODE's ancillary data, and what is behind it.
pub fn ancillary(kind: u8, own: [u8; 3], data: &[u8]) -> Vec<u8> {
    let mut header = [kind, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[4..7].copy_from_slice(&own);
    [&header, data].concat()
}

/// The numbers 1 to 8 of int8, or half of them and zeros, as every kind of encoded constant, and x: tensor 1 is a palette of COMPRESSION_METADATA, operator 0
/// decodes 4, 7 and 10 of 2 and 3, 5 and 6, 8 and 9 (a palette for each of two rows, a Huffman code, what was pruned), 12 is made of the sparse 11.
pub fn compressed() -> Model {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::INT8, &[4], Some((1.0, 0)), &[]);
    // Three bits each: 0 to 7.
    let palette = m.tensor("palette", TensorType::INT8, &[2, 4], Some((1.0, 0)), &[0b0000_0101, 0b0011_1001, 0b0111_0111]);
    let decoded = |m: &mut Model, name: &str, scales: usize, stream: &[u8], ancillary: &[u8]| {
        let inputs = [("stream", stream), ("ancillary", ancillary)];
        let inputs = inputs.map(|(of, data)| m.tensor(&format!("{name} {of}"), TensorType::UINT8, &[data.len() as i32], None, data));
        let t = m.tensor(name, TensorType::INT8, &[2, 4], Some((1.0, 0)), &[]);
        m.tensors[t as usize].scales = vec![1.0; scales];
        m.tensors[t as usize].zero_points = vec![0; scales];
        [inputs[0], inputs[1], t]
    };
    let a = decoded(&mut m, "looked up", 2, &[0x1b, 0x1b], &ancillary(0, [1, 2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]));
    // Two bits, 00 to 10 for 1 to 3, and three more for 4 to 8 and 8 again.
    let entries: Vec<u16> = vec![0x9001, 0x9002, 0x9003, 0x1001, 0x9804, 0x9805, 0x9806, 0x9807, 0x9808, 0x9808, 0x9808, 0x9808];
    let entries: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
    let b = decoded(&mut m, "coded", 1, &[0b0001_1011, 0b0001_1001, 0b1101_0110, 0b1111_1000], &ancillary(1, [1, 0x10, 0], &entries));
    let c = decoded(&mut m, "pruned", 1, &[0b1010_1010], &ancillary(2, [1, 0, 0], &[1, 3, 5, 7]));
    let sparse = m.tensor("sparse", TensorType::INT8, &[2, 4], Some((1.0, 0)), &[1, 3, 6, 8]);
    m.tensors[sparse as usize].lists = Some([vec![0, 2, 4], vec![0, 2, 1, 3]]);
    let dense = m.tensor("dense", TensorType::INT8, &[2, 4], Some((1.0, 0)), &[]);
    let y = m.tensor("y", TensorType::INT8, &[4], Some((1.0, 0)), &[]);
    m.operator(BuiltinOperator::CUSTOM, &[a[0], a[1], b[0], b[1], c[0], c[1]], 0, Options::None);
    m.operators[0].outputs = vec![a[2], b[2], c[2]];
    m.operators[0].custom_code = Some("TFLM_DECODE".into());
    m.operator(BuiltinOperator::DENSIFY, &[sparse], dense, Options::None);
    m.operator(BuiltinOperator::RELU, &[x], y, Options::None);
    let (values, list) = (m.buffers.len() as u32, m.buffers.len() as u32 + 1);
    m.buffers.push(Buffer { data: (1..=8).collect(), ..Buffer::default() });
    m.buffers.push(Buffer { data: listed(1, &[(palette, values, 3)]), ..Buffer::default() });
    m.metadata.push(("COMPRESSION_METADATA".into(), list));
    (m.inputs, m.outputs) = (vec![x], vec![palette, a[2], b[2], c[2], dense, y]);
    m
}

/// y = v + x, v = y, where the variable v has the numbers `first` at first, if there are any.
pub fn accumulator(first: Option<[f32; 2]>) -> Model {
    use BuiltinOperator as B;
    let assign = |m: &mut Model, v: i32, x: i32| {
        m.operator(B::ASSIGN_VARIABLE, &[v, x], 0, Options::None);
        m.operators.last_mut().unwrap().outputs = vec![];
    };
    let handle = |m: &mut Model| {
        let v = m.tensor("v", TensorType::RESOURCE, &[], None, &[]);
        m.operator(B::VAR_HANDLE, &[], v, Options::VarHandle { name: "sum" });
        v
    };
    let mut m = Model::new();
    if let Some(first) = first {
        m.operator(B::CALL_ONCE, &[], 0, Options::CallOnce { subgraph: 1 });
        m.operators[0].outputs = vec![];
        let mut begin = Model::new();
        let v = handle(&mut begin);
        let bytes: Vec<u8> = first.iter().flat_map(|f| f.to_le_bytes()).collect();
        let c = begin.tensor("c", TensorType::FLOAT32, &[2], None, &bytes);
        assign(&mut begin, v, c);
        m.called = vec![begin];
    }
    let x = m.tensor("x", TensorType::FLOAT32, &[2], None, &[]);
    let v = handle(&mut m);
    let old = m.tensor("old", TensorType::FLOAT32, &[2], None, &[]);
    let y = m.tensor("y", TensorType::FLOAT32, &[2], None, &[]);
    m.operator(B::READ_VARIABLE, &[v], old, Options::None);
    m.operator(B::ADD, &[old, x], y, Options::Add);
    assign(&mut m, v, y);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

fn i32_bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// x -> RESHAPE -> y, and another RESHAPE of y to z: the smallest model with something of everything.
pub fn two_reshapes() -> Model {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::FLOAT32, &[2, 6], None, &[]);
    let s = m.tensor("s", TensorType::INT32, &[2], None, &i32_bytes(&[3, -1]));
    let y = m.tensor("y", TensorType::FLOAT32, &[3, 4], None, &[]);
    let t = m.tensor("t", TensorType::INT32, &[1], None, &i32_bytes(&[12]));
    let z = m.tensor("z", TensorType::FLOAT32, &[12], None, &[]);
    m.operator(BuiltinOperator::RESHAPE, &[x, s], y, Options::Reshape);
    m.operator(BuiltinOperator::RESHAPE, &[y, t], z, Options::Reshape);
    (m.inputs, m.outputs) = (vec![x], vec![z]);
    m
}

/// Every operator of int8 in one chain, from floats to floats.
pub fn every_operator() -> Model {
    let (same, valid) = (schema::Padding::SAME, schema::Padding::VALID);
    let mut m = Model::new();
    let q = Some((0.05, 3));
    let unit = Some((1.0 / 256.0, -128));
    let i8s = |m: &mut Model, name: &str, shape: &[i32]| m.tensor(name, TensorType::INT8, shape, q, &[]);

    let x = m.tensor("x", TensorType::FLOAT32, &[1, 6, 6, 3], None, &[]);
    let a = i8s(&mut m, "quantized", &[1, 6, 6, 3]);
    m.operator(BuiltinOperator::QUANTIZE, &[x], a, Options::None);
    let paddings = m.tensor("paddings", TensorType::INT32, &[4, 2], None, &i32_bytes(&[0, 0, 1, 1, 1, 1, 0, 0]));
    let b = i8s(&mut m, "padded", &[1, 8, 8, 3]);
    m.operator(BuiltinOperator::PAD, &[a, paddings], b, Options::None);

    let w = m.tensor("conv/w", TensorType::INT8, &[4, 3, 3, 3], None, &[7; 108]);
    let last = m.tensors.last_mut().unwrap();
    (last.scales, last.zero_points) = (vec![0.01, 0.02, 0.03, 0.04], vec![0; 4]);
    let bias = m.tensor("conv/bias", TensorType::INT32, &[4], None, &i32_bytes(&[1, -2, 3, -4]));
    let c = i8s(&mut m, "conv", &[1, 6, 6, 4]);
    let conv = Options::Conv2D { padding: valid, stride: 1, dilation: 1, activation: ActivationFunctionType::RELU };
    m.operator(BuiltinOperator::CONV_2D, &[b, w, bias], c, conv);

    let w = m.tensor("dw/w", TensorType::INT8, &[1, 3, 3, 4], Some((0.02, 0)), &[5; 36]);
    let d = i8s(&mut m, "dw", &[1, 6, 6, 4]);
    let dw = Options::DepthwiseConv2D { padding: same, stride: 1, depth_multiplier: 1 };
    m.operator(BuiltinOperator::DEPTHWISE_CONV_2D, &[c, w, -1], d, dw);

    let e = i8s(&mut m, "max", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::MAX_POOL_2D, &[d], e, Options::Pool2D { padding: valid, stride: 2, filter: 2 });
    let f = i8s(&mut m, "average", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::AVERAGE_POOL_2D, &[e], f, Options::Pool2D { padding: same, stride: 1, filter: 2 });
    let g = i8s(&mut m, "sum", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::ADD, &[f, e], g, Options::Add);
    let k = m.tensor("k", TensorType::INT8, &[4], q, &[1, 2, 3, 4]);
    let h = i8s(&mut m, "product", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::MUL, &[g, k], h, Options::Mul);
    let i = i8s(&mut m, "difference", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::SUB, &[h, g], i, Options::Sub);
    let j = i8s(&mut m, "relu", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::RELU, &[i], j, Options::None);
    let l = i8s(&mut m, "relu6", &[1, 3, 3, 4]);
    m.operator(BuiltinOperator::RELU6, &[j], l, Options::None);
    let n = i8s(&mut m, "both", &[1, 3, 3, 8]);
    m.operator(BuiltinOperator::CONCATENATION, &[l, j], n, Options::Concatenation { axis: -1 });
    let axes = m.tensor("axes", TensorType::INT32, &[2], None, &i32_bytes(&[1, 2]));
    let o = i8s(&mut m, "mean", &[1, 1, 1, 8]);
    m.operator(BuiltinOperator::MEAN, &[n, axes], o, Options::Reducer { keep_dims: true });
    let shape = m.tensor("shape", TensorType::INT32, &[2], None, &i32_bytes(&[1, -1]));
    let p = i8s(&mut m, "flat", &[1, 8]);
    m.operator(BuiltinOperator::RESHAPE, &[o, shape], p, Options::Reshape);
    let w = m.tensor("fc/w", TensorType::INT8, &[5, 8], Some((0.02, 0)), &[0xfd; 40]);
    let bias = m.tensor("fc/bias", TensorType::INT32, &[5], None, &i32_bytes(&[9, 8, 7, 6, 5]));
    let r = i8s(&mut m, "fc", &[1, 5]);
    m.operator(BuiltinOperator::FULLY_CONNECTED, &[p, w, bias], r, Options::FullyConnected);
    let s = m.tensor("logistic", TensorType::INT8, &[1, 5], unit, &[]);
    m.operator(BuiltinOperator::LOGISTIC, &[r], s, Options::None);
    let t = m.tensor("real", TensorType::FLOAT32, &[1, 5], None, &[]);
    m.operator(BuiltinOperator::DEQUANTIZE, &[s], t, Options::None);
    let y = m.tensor("y", TensorType::FLOAT32, &[1, 5], None, &[]);
    m.operator(BuiltinOperator::SOFTMAX, &[t], y, Options::Softmax { beta: 1.0 });
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

/// A flexbuffer with the options of TFLite_Detection_PostProcess: 4-byte values, or 8-byte ones for doubles that others point to.
pub const DETECTION_OPTIONS: &[u8] = include_bytes!("detection.flexbuffer");

/// Three boxes of two classes and a background.
#[allow(dead_code)]
/// A map of integers as a flexbuffer whose values have four bytes; names in the order of the alphabet.
pub fn named_options(numbers: &[(&str, i32)]) -> &'static [u8] {
    assert!(numbers.is_sorted());
    let count = numbers.len() as u32;
    let (mut bytes, mut names) = (vec![], vec![]);
    for (name, _) in numbers {
        names.push(bytes.len());
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(count.to_le_bytes());
    let keys = bytes.len();
    names.iter().for_each(|at| bytes.extend((bytes.len() as u32 - *at as u32).to_le_bytes()));
    bytes.extend((bytes.len() as u32 - keys as u32).to_le_bytes());
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    let values = bytes.len();
    numbers.iter().for_each(|(_, n)| bytes.extend(n.to_le_bytes()));
    bytes.extend(numbers.iter().map(|_| 1 << 2 | 2));
    let root = bytes.len() - values;
    bytes.extend([root as u8, 9 << 2 | 2, 1]);
    bytes.leak()
}

/// A custom operator between inputs and results, and its options.
pub fn custom(name: &str, options: &'static [u8], inputs: &[(TensorType, &[i32])], outputs: &[(TensorType, &[i32])]) -> Model {
    let mut m = Model::new();
    m.inputs = inputs.iter().map(|(ty, shape)| m.tensor("x", *ty, shape, None, &[])).collect();
    m.outputs = outputs.iter().map(|(ty, shape)| m.tensor("y", *ty, shape, None, &[])).collect();
    m.operator(BuiltinOperator::CUSTOM, &m.inputs.clone(), m.outputs[0], Options::Custom(options));
    m.operators[0].outputs = m.outputs.clone();
    m.operators[0].custom_code = Some(name.into());
    m
}

pub fn detection() -> Model {
    let mut m = Model::new();
    let boxes = m.tensor("boxes", TensorType::FLOAT32, &[1, 3, 4], None, &[]);
    let scores = m.tensor("scores", TensorType::FLOAT32, &[1, 3, 3], None, &[]);
    let anchors: Vec<u8> = (0..12).flat_map(|i| (0.1 * i as f32).to_le_bytes()).collect();
    let anchors = m.tensor("anchors", TensorType::FLOAT32, &[3, 4], None, &anchors);
    let outputs = [&[1, 4, 4][..], &[1, 4], &[1, 4], &[1]].map(|shape| m.tensor("y", TensorType::FLOAT32, shape, None, &[]));
    m.operator(BuiltinOperator::CUSTOM, &[boxes, scores, anchors], outputs[0], Options::Custom(DETECTION_OPTIONS));
    m.operators[0].outputs = outputs.to_vec();
    m.operators[0].custom_code = Some("TFLite_Detection_PostProcess".into());
    (m.inputs, m.outputs) = (vec![boxes, scores], outputs.to_vec());
    m
}
