//! The reader of .tflite files: `tflite.fbs`, `metadata.fbs` and `compression.fbs`, the file formats as facts, and the code that flatc makes of them.
//!
//! What it is not: no checks beyond the flatbuffer verifier's, no meaning of operators, no IO. An index, a shape, a scale or an enum value read
//! here may be anything; the import of `cranelite-graph` checks them. The builders are part of the generated code and serve the makers
//! of small test models.
//!
//! Hold in mind:
//! - A file is read in two steps: [`model_buffer_has_identifier`] (it panics on fewer than 8 bytes, so look at the length first), then
//!   [`root_as_model_with_opts`], which verifies every offset but not the identifier. A `Model` from `root_as_model_unchecked` is trusted blindly.
//! - Enums are open: a newtype over the integer with associated constants, so unknown values arrive as they are and `variant_name()` is `None`.
//!   Unknown union tags pass the verifier too.
//! - Strings are read as bytes: files do not promise UTF-8. [`text`] makes them readable.
//! - An absent vector, string or table is `None`; an absent scalar is its default. `Some` of an empty vector is the same thing to TFLite.
//!
//! After a change of a schema run `schema/regenerate.sh`, which says what it needs. A test fails while the two are out of step.

// Written by a machine, kept as it comes.
#[rustfmt::skip]
#[allow(clippy::extra_unused_lifetimes, clippy::missing_safety_doc)]
mod generated;

#[rustfmt::skip]
#[allow(clippy::extra_unused_lifetimes, clippy::missing_safety_doc)]
mod generated_metadata;

#[rustfmt::skip]
#[allow(clippy::extra_unused_lifetimes, clippy::missing_safety_doc)]
mod generated_compression;

pub mod flexbuffers;
pub mod grammar;
pub mod tree;
mod writer;

pub use flatbuffers::{self, InvalidFlatbuffer, VerifierOptions};
pub use generated::tflite::*;

/// What models say for people and programs around them (`metadata.fbs`).
pub mod metadata {
    pub use crate::generated_metadata::tflite::*;
}

/// Which tensors TensorFlow Lite Micro has compressed (`compression.fbs`).
pub mod compression {
    pub use crate::generated_compression::tflite::*;
}

/// Stands for a 64-bit number where the verifier only has to find its bytes: files may have vectors of them at multiples of 4, and
/// reading needs no alignment.
pub(crate) struct AnyEightBytes {
    _bytes: [u8; 8],
}

impl flatbuffers::SimpleToVerifyInSlice for AnyEightBytes {}

/// A table of which nothing is known but that it is one.
struct AnyTable;

impl flatbuffers::Verifiable for AnyTable {
    fn run_verifier(v: &mut flatbuffers::Verifier, pos: usize) -> Result<(), InvalidFlatbuffer> {
        v.visit_table(pos)?.finish();
        Ok(())
    }
}

/// What generated code asks of the verifier instead of `visit_union`.
pub(crate) trait VisitUnions<'buf>: Sized {
    /// A union of which a file may have the type or the value alone, as where options are left out: readers then find neither, since a value without a
    /// type is of type `NONE`.
    fn visit_union_or_half<Key, V>(
        self,
        key_name: &'static str,
        key: flatbuffers::VOffsetT,
        value_name: &'static str,
        value: flatbuffers::VOffsetT,
        required: bool,
        verify: V,
    ) -> Result<Self, InvalidFlatbuffer>
    where
        Key: flatbuffers::Follow<'buf> + flatbuffers::Verifiable,
        V: FnOnce(Key::Inner, &mut flatbuffers::Verifier, usize) -> Result<(), InvalidFlatbuffer>;
}

impl<'buf> VisitUnions<'buf> for flatbuffers::TableVerifier<'_, '_, 'buf> {
    fn visit_union_or_half<Key, V>(
        mut self,
        key_name: &'static str,
        key: flatbuffers::VOffsetT,
        value_name: &'static str,
        value: flatbuffers::VOffsetT,
        required: bool,
        verify: V,
    ) -> Result<Self, InvalidFlatbuffer>
    where
        Key: flatbuffers::Follow<'buf> + flatbuffers::Verifiable,
        V: FnOnce(Key::Inner, &mut flatbuffers::Verifier, usize) -> Result<(), InvalidFlatbuffer>,
    {
        match (self.deref(key)?, self.deref(value)?) {
            (Some(_), None) => self.visit_field::<Key>(key_name, key, false),
            (None, Some(_)) => self.visit_field::<flatbuffers::ForwardsUOffset<AnyTable>>(value_name, value, false),
            _ => self.visit_union::<Key, V>(key_name, key, value_name, value, required, verify),
        }
    }
}

/// A string of a file, for people: bytes that are not UTF-8 are escaped, as `\xe9`.
pub fn text(string: flatbuffers::Vector<u8>) -> String {
    let chunk = |c: std::str::Utf8Chunk| format!("{}{}", c.valid(), c.invalid().escape_ascii());
    string.bytes().utf8_chunks().map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flatbuffers::FlatBufferBuilder;

    /// FNV-1a, 64 bits, without carriage returns: the same as in `regenerate.sh`.
    fn fnv1a64(text: &str) -> u64 {
        text.bytes().filter(|&b| b != b'\r').fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn generated_code_is_in_step() {
        let files = [
            ("tflite", include_str!("../tflite.fbs"), include_str!("generated.rs")),
            ("metadata", include_str!("../metadata.fbs"), include_str!("generated_metadata.rs")),
            ("compression", include_str!("../compression.fbs"), include_str!("generated_compression.rs")),
        ];
        for (name, schema, code) in files {
            let wanted = format!("// {name}.fbs fnv1a64 {:016x}", fnv1a64(schema));
            let stamp = code.lines().next();
            assert_eq!(stamp, Some(&wanted[..]), "the code of {name}.fbs was not made from it as it is now: run schema/regenerate.sh");
        }
    }

    /// One CONV_2D: int8 activations, per-channel weights, a second subgraph without anything.
    fn tiny_model() -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let tensor = |b: &mut FlatBufferBuilder<'static>, name: &str, shape: &[i32], buffer, scale: &[f32], zero_point: &[i64]| {
            let name = Some(b.create_string(name));
            let shape = Some(b.create_vector(shape));
            let (scale, zero_point) = (Some(b.create_vector(scale)), Some(b.create_vector(zero_point)));
            let quantization =
                Some(QuantizationParameters::create(b, &QuantizationParametersArgs { scale, zero_point, ..Default::default() }));
            Tensor::create(b, &TensorArgs { shape, type_: TensorType::INT8, buffer, name, quantization, ..Default::default() })
        };
        let tensors = [
            tensor(&mut b, "x", &[1, 4, 4, 1], 0, &[0.5], &[-3]),
            tensor(&mut b, "w", &[2, 1, 1, 1], 1, &[0.25, 0.125], &[0, 0]),
            tensor(&mut b, "y", &[1, 2, 2, 2], 0, &[1.0], &[7]),
        ];
        let options =
            Conv2DOptions::create(&mut b, &Conv2DOptionsArgs { padding: Padding::VALID, stride_w: 2, stride_h: 2, ..Default::default() });
        let (op_inputs, op_outputs) = (Some(b.create_vector(&[0, 1, -1])), Some(b.create_vector(&[2])));
        let operator = Operator::create(
            &mut b,
            &OperatorArgs {
                inputs: op_inputs,
                outputs: op_outputs,
                builtin_options_type: BuiltinOptions::Conv2DOptions,
                builtin_options: Some(options.as_union_value()),
                ..Default::default()
            },
        );
        let (tensors, operators) = (Some(b.create_vector(&tensors)), Some(b.create_vector(&[operator])));
        let (inputs, outputs) = (Some(b.create_vector(&[0])), Some(b.create_vector(&[2])));
        let main = SubGraph::create(&mut b, &SubGraphArgs { tensors, inputs, outputs, operators, ..Default::default() });
        let empty = SubGraph::create(&mut b, &SubGraphArgs::default());
        let subgraphs = Some(b.create_vector(&[main, empty]));
        let code = OperatorCode::create(
            &mut b,
            &OperatorCodeArgs { deprecated_builtin_code: 3, builtin_code: BuiltinOperator::CONV_2D, version: 5, ..Default::default() },
        );
        let operator_codes = Some(b.create_vector(&[code]));
        let none = Buffer::create(&mut b, &BufferArgs::default());
        let data = Some(b.create_vector(&[1u8, 0xff]));
        let weights = Buffer::create(&mut b, &BufferArgs { data, ..Default::default() });
        let buffers = Some(b.create_vector(&[none, weights]));
        let model = Model::create(&mut b, &ModelArgs { version: 3, operator_codes, subgraphs, buffers, ..Default::default() });
        finish_model_buffer(&mut b, model);
        b.finished_data().to_vec()
    }

    #[test]
    fn reads_what_the_builders_wrote() {
        let bytes = tiny_model();
        assert!(model_buffer_has_identifier(&bytes));
        let model = root_as_model_with_opts(&VerifierOptions::default(), &bytes).unwrap();
        assert_eq!(model.version(), 3);
        assert!(model.signature_defs().is_none() && model.description().is_none());

        let code = model.operator_codes().unwrap().get(0);
        assert_eq!((code.builtin_code(), code.deprecated_builtin_code(), code.version()), (BuiltinOperator::CONV_2D, 3, 5));
        let buffers = model.buffers().unwrap();
        assert!(buffers.get(0).data().is_none());
        assert_eq!(buffers.get(1).data().unwrap().bytes(), [1, 0xff]);

        let subgraphs = model.subgraphs().unwrap();
        assert_eq!(subgraphs.len(), 2);
        assert!(subgraphs.get(1).tensors().is_none());
        let main = subgraphs.get(0);
        let tensors = main.tensors().unwrap();
        let names: Vec<_> = tensors.iter().map(|t| text(t.name().unwrap())).collect();
        assert_eq!(names, ["x", "w", "y"]);
        let w = tensors.get(1);
        assert_eq!((w.type_(), w.buffer(), w.is_variable(), w.external_buffer()), (TensorType::INT8, 1, false, 0));
        assert_eq!(w.shape().unwrap().iter().collect::<Vec<_>>(), [2, 1, 1, 1]);
        let q = w.quantization().unwrap();
        assert_eq!(q.scale().unwrap().iter().collect::<Vec<_>>(), [0.25, 0.125]);
        assert_eq!((q.quantized_dimension(), q.details_type()), (0, QuantizationDetails::NONE));

        let operator = main.operators().unwrap().get(0);
        assert_eq!(operator.inputs().unwrap().iter().collect::<Vec<_>>(), [0, 1, -1]);
        assert_eq!((operator.builtin_options_2_type(), operator.debug_metadata_index()), (BuiltinOptions2::NONE, -1));
        assert!(operator.builtin_options_as_pool_2_doptions().is_none());
        let options = operator.builtin_options_as_conv_2_doptions().unwrap();
        assert_eq!((options.padding(), options.stride_w(), options.stride_h()), (Padding::VALID, 2, 2));
        assert_eq!((options.dilation_w_factor(), options.fused_activation_function()), (1, ActivationFunctionType::NONE));
    }

    #[test]
    fn broken_files_are_refused_or_readable() {
        let bytes = tiny_model();
        let read = |bytes: &[u8]| root_as_model_with_opts(&VerifierOptions::default(), bytes).map(|model| format!("{model:?}"));
        for length in 0..bytes.len() / 2 {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes of {}", bytes.len());
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[position] ^= 1 << bit;
                let _ = read(&bytes); // must not panic
            }
        }
    }

    /// As the options' type or value is left out of the operator: its entry in the table of fields becomes 0.
    #[test]
    fn a_union_may_have_one_half() {
        for left_out in [Operator::VT_BUILTIN_OPTIONS_TYPE, Operator::VT_BUILTIN_OPTIONS] {
            let mut bytes = tiny_model();
            let operator = |bytes: &[u8]| {
                let model = root_as_model_with_opts(&VerifierOptions::default(), bytes).unwrap();
                model.subgraphs().unwrap().get(0).operators().unwrap().get(0)._tab.loc()
            };
            let at = operator(&bytes);
            let to_fields = i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let entry = (at as i32 - to_fields) as usize + usize::from(left_out);
            assert_ne!(bytes[entry..entry + 2], [0, 0]);
            bytes[entry..entry + 2].fill(0);
            let model = root_as_model_with_opts(&VerifierOptions::default(), &bytes).unwrap();
            let operator = model.subgraphs().unwrap().get(0).operators().unwrap().get(0);
            assert!(operator.builtin_options_as_conv_2_doptions().is_none());
            assert!(!format!("{model:?}").is_empty());
        }
        // A value that is no table.
        let mut bytes = tiny_model();
        let model = root_as_model_with_opts(&VerifierOptions::default(), &bytes).unwrap();
        let tab = model.subgraphs().unwrap().get(0).operators().unwrap().get(0)._tab;
        let (at, to_fields) = (tab.loc(), i32::from_le_bytes(bytes[tab.loc()..tab.loc() + 4].try_into().unwrap()));
        let entry = |field: u16| (at as i32 - to_fields) as usize + usize::from(field);
        let value = entry(Operator::VT_BUILTIN_OPTIONS);
        let offset = at + usize::from(u16::from_le_bytes([bytes[value], bytes[value + 1]]));
        let key = entry(Operator::VT_BUILTIN_OPTIONS_TYPE);
        bytes[key..key + 2].fill(0);
        bytes[offset..offset + 4].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
        assert!(root_as_model_with_opts(&VerifierOptions::default(), &bytes).is_err());
    }

    #[test]
    fn vectors_of_long_numbers_need_no_alignment() {
        let bytes = tiny_model();
        // Four more bytes after the identifier move everything.
        let mut moved = [&bytes[..8], &[0; 4], &bytes[8..]].concat();
        moved[0] += 4;
        assert_eq!(bytes[..4], [moved[0] - 4, moved[1], moved[2], moved[3]]);
        let read = |bytes: &[u8]| {
            let model = root_as_model_with_opts(&VerifierOptions::default(), bytes).unwrap();
            let tensors = model.subgraphs().unwrap().get(0).tensors().unwrap();
            let of = |t: Tensor| t.quantization().unwrap().zero_point().unwrap().iter().collect::<Vec<_>>();
            tensors.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(read(&moved), [vec![-3], vec![0, 0], vec![7]]);
    }

    #[test]
    fn numbers_that_files_depend_on() {
        assert_eq!((TensorType::ENUM_MAX, BuiltinOperator::ENUM_MAX), (22, 209));
        assert_eq!((BuiltinOptions::ENUM_MAX, BuiltinOptions2::ENUM_MAX), (126, 23));
        assert_eq!((BuiltinOperator::CUMSUM.0, BuiltinOperator::STABLEHLO_COMPOSITE.0), (128, 206));
        assert_eq!((BuiltinOptions::WhileOptions.0, BuiltinOptions::RightShiftOptions.0), (93, 126));
        assert_eq!((Operator::VT_BUILTIN_OPTIONS_2_TYPE, Operator::VT_DEBUG_METADATA_INDEX), (26, 30));
        assert_eq!((Buffer::VT_SIZE, Tensor::VT_EXTERNAL_BUFFER, Model::VT_EXTERNAL_BUFFERS), (8, 24, 22));
        assert_eq!(BuiltinOperator(210).variant_name(), None);
    }
}
