//! Writes small .tflite files: tensors, operators, done.
//!
//! Not a converter: no checks, so that it can also write what import must refuse.

use cranelite_schema::flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use cranelite_schema::*;

pub use cranelite_schema::{ActivationFunctionType as Activation, BuiltinOperator as Code, Padding, TensorType as Element};

/// Scales and zero points, and the axis of more than one.
#[derive(Clone, Debug, Default)]
pub struct Quantization {
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    pub axis: i32,
}

pub fn per_tensor(scale: f32, zero_point: i64) -> Quantization {
    Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 }
}

type Options = (BuiltinOptions, WIPOffset<UnionWIPOffset>);

pub struct Maker<'a> {
    /// Empty subgraphs behind all others, by name.
    pub more_subgraphs: Vec<String>,
    /// The model's metadata, in TensorFlow Lite's format (`described.rs` writes it).
    pub metadata: Option<Vec<u8>>,
    subgraphs: Vec<WIPOffset<SubGraph<'a>>>,
    signatures: Vec<WIPOffset<SignatureDef<'a>>>,
    builder: FlatBufferBuilder<'a>,
    buffers: Vec<WIPOffset<Buffer<'a>>>,
    tensors: Vec<WIPOffset<Tensor<'a>>>,
    operators: Vec<WIPOffset<Operator<'a>>>,
    /// With the names of custom operators.
    codes: Vec<(Code, String)>,
}

impl Default for Maker<'_> {
    fn default() -> Self {
        let mut builder = FlatBufferBuilder::new();
        let none = Buffer::create(&mut builder, &BufferArgs::default());
        Maker {
            more_subgraphs: vec![],
            metadata: None,
            subgraphs: vec![],
            signatures: vec![],
            builder,
            buffers: vec![none],
            tensors: vec![],
            operators: vec![],
            codes: vec![],
        }
    }
}

impl Maker<'_> {
    /// Index of a new tensor; with `data` a constant.
    pub fn tensor(&mut self, name: &str, element: Element, shape: &[i32], quantization: Option<Quantization>, data: Option<&[u8]>) -> i32 {
        let b = &mut self.builder;
        let buffer = data.map_or(0, |data| {
            let data = Some(b.create_vector(data));
            self.buffers.push(Buffer::create(b, &BufferArgs { data, ..Default::default() }));
            self.buffers.len() as u32 - 1
        });
        let quantization = quantization.map(|q| {
            let (scale, zero_point) = (Some(b.create_vector(&q.scales)), Some(b.create_vector(&q.zero_points)));
            let quantized_dimension = q.axis;
            QuantizationParameters::create(b, &QuantizationParametersArgs { scale, zero_point, quantized_dimension, ..Default::default() })
        });
        let (shape, name) = (Some(b.create_vector(shape)), Some(b.create_string(name)));
        self.tensors.push(Tensor::create(b, &TensorArgs { shape, type_: element, buffer, name, quantization, ..Default::default() }));
        self.tensors.len() as i32 - 1
    }

    pub fn f32(&mut self, name: &str, shape: &[i32], data: Option<&[f32]>) -> i32 {
        let data: Option<Vec<u8>> = data.map(|d| d.iter().flat_map(|v| v.to_le_bytes()).collect());
        self.tensor(name, Element::FLOAT32, shape, None, data.as_deref())
    }

    pub fn i8(&mut self, name: &str, shape: &[i32], quantization: Quantization, data: Option<&[i8]>) -> i32 {
        let data: Option<Vec<u8>> = data.map(|d| d.iter().map(|v| *v as u8).collect());
        self.tensor(name, Element::INT8, shape, Some(quantization), data.as_deref())
    }

    pub fn i32(&mut self, name: &str, shape: &[i32], quantization: Option<Quantization>, data: &[i32]) -> i32 {
        let data: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, Element::INT32, shape, quantization, Some(&data))
    }

    fn code(&mut self, code: Code, name: &str) -> u32 {
        let found = self.codes.iter().position(|c| c.0 == code && c.1 == name);
        found.unwrap_or_else(|| {
            self.codes.push((code, name.into()));
            self.codes.len() - 1
        }) as u32
    }

    /// A custom operator of that name.
    pub fn custom(&mut self, name: &str, inputs: &[i32], outputs: &[i32], options: &[u8]) {
        let opcode_index = self.code(Code::CUSTOM, name);
        let b = &mut self.builder;
        let (inputs, outputs, custom_options) =
            (Some(b.create_vector(inputs)), Some(b.create_vector(outputs)), Some(b.create_vector(options)));
        let args = OperatorArgs { opcode_index, inputs, outputs, custom_options, ..Default::default() };
        self.operators.push(Operator::create(b, &args));
    }

    pub fn operator(&mut self, code: Code, inputs: &[i32], outputs: &[i32], options: Option<Options>) {
        let opcode_index = self.code(code, "");
        let (inputs, outputs) = (Some(self.builder.create_vector(inputs)), Some(self.builder.create_vector(outputs)));
        let (builtin_options_type, builtin_options) = options.map_or((BuiltinOptions::NONE, None), |(t, o)| (t, Some(o)));
        let args = OperatorArgs { opcode_index, inputs, outputs, builtin_options_type, builtin_options, ..Default::default() };
        self.operators.push(Operator::create(&mut self.builder, &args));
    }

    /// Options that have no function here.
    pub fn options(&mut self, create: impl FnOnce(&mut FlatBufferBuilder) -> WIPOffset<UnionWIPOffset>) -> WIPOffset<UnionWIPOffset> {
        create(&mut self.builder)
    }

    pub fn conv_2d(&mut self, inputs: &[i32], output: i32, padding: Padding, stride: i32, activation: Activation) {
        let args =
            Conv2DOptionsArgs { padding, stride_w: stride, stride_h: stride, fused_activation_function: activation, ..Default::default() };
        let options = Conv2DOptions::create(&mut self.builder, &args).as_union_value();
        self.operator(Code::CONV_2D, inputs, &[output], Some((BuiltinOptions::Conv2DOptions, options)));
    }

    pub fn depthwise_conv_2d(&mut self, inputs: &[i32], output: i32, padding: Padding, stride: i32, activation: Activation) {
        let args = DepthwiseConv2DOptionsArgs {
            padding,
            stride_w: stride,
            stride_h: stride,
            depth_multiplier: 1,
            fused_activation_function: activation,
            ..Default::default()
        };
        let options = DepthwiseConv2DOptions::create(&mut self.builder, &args).as_union_value();
        self.operator(Code::DEPTHWISE_CONV_2D, inputs, &[output], Some((BuiltinOptions::DepthwiseConv2DOptions, options)));
    }

    /// A window of `size` by `size` that moves by its size.
    pub fn pool_2d(&mut self, code: Code, input: i32, output: i32, size: i32) {
        let args = Pool2DOptionsArgs {
            padding: Padding::VALID,
            stride_w: size,
            stride_h: size,
            filter_width: size,
            filter_height: size,
            ..Default::default()
        };
        let options = Pool2DOptions::create(&mut self.builder, &args).as_union_value();
        self.operator(code, &[input], &[output], Some((BuiltinOptions::Pool2DOptions, options)));
    }

    pub fn fully_connected(&mut self, inputs: &[i32], output: i32, activation: Activation) {
        let args = FullyConnectedOptionsArgs { fused_activation_function: activation, ..Default::default() };
        let options = FullyConnectedOptions::create(&mut self.builder, &args).as_union_value();
        self.operator(Code::FULLY_CONNECTED, inputs, &[output], Some((BuiltinOptions::FullyConnectedOptions, options)));
    }

    /// Of the last axis.
    pub fn concatenation(&mut self, inputs: &[i32], output: i32) {
        let options = ConcatenationOptions::create(&mut self.builder, &ConcatenationOptionsArgs { axis: -1, ..Default::default() });
        let options = Some((BuiltinOptions::ConcatenationOptions, options.as_union_value()));
        self.operator(Code::CONCATENATION, inputs, &[output], options);
    }

    pub fn softmax(&mut self, input: i32, output: i32) {
        let options = SoftmaxOptions::create(&mut self.builder, &SoftmaxOptionsArgs { beta: 1.0 }).as_union_value();
        self.operator(Code::SOFTMAX, &[input], &[output], Some((BuiltinOptions::SoftmaxOptions, options)));
    }

    /// A handle of a variable of its own.
    pub fn variable(&mut self, name: &str) -> i32 {
        let handle = self.tensor(name, Element::RESOURCE, &[], None, None);
        let shared_name = Some(self.builder.create_string(name));
        let args = VarHandleOptionsArgs { shared_name, ..Default::default() };
        let options = VarHandleOptions::create(&mut self.builder, &args).as_union_value();
        self.operator(Code::VAR_HANDLE, &[], &[handle], Some((BuiltinOptions::VarHandleOptions, options)));
        handle
    }

    /// Runs a subgraph once, before anything is read from variables.
    pub fn call_once(&mut self, subgraph: i32) {
        let options = CallOnceOptions::create(&mut self.builder, &CallOnceOptionsArgs { init_subgraph_index: subgraph }).as_union_value();
        self.operator(Code::CALL_ONCE, &[], &[], Some((BuiltinOptions::CallOnceOptions, options)));
    }

    /// A signature of the subgraph that is being written, with names for its tensors.
    pub fn signature(&mut self, key: &str, inputs: &[(&str, i32)], outputs: &[(&str, i32)]) {
        let b = &mut self.builder;
        let mut names = |all: &[(&str, i32)]| {
            let one = |(name, tensor): &(&str, i32)| {
                let name = Some(b.create_string(name));
                TensorMap::create(b, &TensorMapArgs { name, tensor_index: *tensor as u32 })
            };
            let all: Vec<_> = all.iter().map(one).collect();
            Some(b.create_vector(&all))
        };
        let (inputs, outputs) = (names(inputs), names(outputs));
        let signature_key = Some(b.create_string(key));
        let subgraph_index = self.subgraphs.len() as u32;
        self.signatures.push(SignatureDef::create(b, &SignatureDefArgs { inputs, outputs, signature_key, subgraph_index }));
    }

    /// Ends a subgraph, which has these inputs and outputs; the next one begins.
    pub fn end_subgraph(&mut self, inputs: &[i32], outputs: &[i32]) {
        let b = &mut self.builder;
        let (tensors, operators) = (Some(b.create_vector(&self.tensors)), Some(b.create_vector(&self.operators)));
        let (inputs, outputs) = (Some(b.create_vector(inputs)), Some(b.create_vector(outputs)));
        self.subgraphs.push(SubGraph::create(b, &SubGraphArgs { tensors, inputs, outputs, operators, ..Default::default() }));
        self.tensors.clear();
        self.operators.clear();
    }

    /// The file, with these tensors as the inputs and outputs of its last subgraph: mostly its only one, the model.
    pub fn finish(mut self, inputs: &[i32], outputs: &[i32]) -> Vec<u8> {
        self.end_subgraph(inputs, outputs);
        let b = &mut self.builder;
        let mut subgraphs = self.subgraphs;
        for name in &self.more_subgraphs {
            let name = Some(b.create_string(name));
            subgraphs.push(SubGraph::create(b, &SubGraphArgs { name, ..Default::default() }));
        }
        let subgraphs = Some(b.create_vector(&subgraphs));
        let mut codes = vec![];
        for (builtin_code, name) in &self.codes {
            let deprecated_builtin_code = builtin_code.0.min(127) as i8;
            let custom_code = (!name.is_empty()).then(|| b.create_string(name));
            let args = OperatorCodeArgs { deprecated_builtin_code, builtin_code: *builtin_code, version: 1, custom_code };
            codes.push(OperatorCode::create(b, &args));
        }
        let operator_codes = Some(b.create_vector(&codes));
        let metadata = self.metadata.map(|block| {
            let data = Some(b.create_vector(&block));
            self.buffers.push(Buffer::create(b, &BufferArgs { data, ..Default::default() }));
            let (name, buffer) = (Some(b.create_string("TFLITE_METADATA")), self.buffers.len() as u32 - 1);
            let entry = Metadata::create(b, &MetadataArgs { name, buffer });
            b.create_vector(&[entry])
        });
        let buffers = Some(b.create_vector(&self.buffers));
        let signature_defs = (!self.signatures.is_empty()).then(|| b.create_vector(&self.signatures));
        let args = ModelArgs { version: 3, operator_codes, subgraphs, buffers, signature_defs, metadata, ..Default::default() };
        let model = Model::create(b, &args);
        finish_model_buffer(b, model);
        b.finished_data().to_vec()
    }
}
