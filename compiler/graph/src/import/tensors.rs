//! The tensors of the subgraph: names, types and constants as the file declares them.
//!
//! The idea: damage is a problem wherever it is, but a feature that is not supported is one only when something uses the tensor.

use super::file::File;
use super::palettes::ListedPalette;
use super::sparse::NotDense;
use super::{decode, quantization, sparse};
use crate::diagnostic::{Code, Diagnostic, Place, quoted};
use crate::graph::ValueId;
use crate::tensor::{ElementType, TensorType};
use crate::text::print::type_text;
use bytes::Bytes;
use cranelite_schema as schema;
use std::collections::BTreeSet;
use std::sync::Arc;

/// More dimensions than any operator takes; keeps hostile files from making us large vectors.
const MAX_RANK: usize = 16;
/// Offsets into a tensor fit 32 bits with a sign.
const MAX_TENSOR_SIZE_BYTES: usize = i32::MAX as usize;

pub struct Tensor {
    pub name: String,
    /// The shape is the file's until the producer's `infer` replaces it.
    pub ty: TensorType,
    pub shape_is_known: bool,
    pub data: Option<Bytes>,
    pub content: Content,
    /// Keeps what it holds from one invocation to the next.
    pub is_variable: bool,
    /// Why nothing may use it.
    pub refusal: Option<Diagnostic>,
    pub value: Option<ValueId>,
    /// The last operator that wrote it.
    pub writer: Option<u32>,
}

/// What becomes of the reason why nothing may use a tensor, when an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    Reported,
    /// The operator is not supported, which says enough.
    Dropped,
    /// Nobody needs the operator; another one may need the tensor.
    Left,
}

impl Tensor {
    /// The reason, once: of a tensor that is not known nothing is said.
    pub fn refused(&mut self, refusals: Refusals) -> Option<Diagnostic> {
        if refusals == Refusals::Left {
            return None;
        }
        self.content = Content::Unknown;
        self.refusal.take().filter(|_| refusals == Refusals::Reported)
    }
}

/// What a tensor holds at a moment of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing yet. Whether its declared type can stand in for the one that a faulty producer cannot give.
    Unwritten {
        declared: bool,
    },
    Constant,
    Input,
    Result,
    /// A variable tensor that has become a state.
    State,
    /// A problem made it so and has been reported; no more is said about it.
    Unknown,
}

pub fn read(file: &File, subgraph: schema::SubGraph, place: &Place, problems: &mut Vec<Diagnostic>) -> Vec<Tensor> {
    let (all, encoded) = (subgraph.tensors(), encoded(file, subgraph));
    let mut tensors = Vec::with_capacity(all.map_or(0, |t| t.len()));
    for (i, t) in all.into_iter().flatten().enumerate() {
        let palette = place.subgraph.and_then(|s| file.palettes.get(&(s as usize, i)));
        let (tensor, found) = tensor(file, t, palette, encoded.contains(&(i as i32)));
        let name = if tensor.name.is_empty() { String::new() } else { format!(" {}", quoted(&tensor.name)) };
        problems.extend(found.into_iter().map(|d| d.at(place.clone()).detail(format!("tensor {i}{name}"))));
        tensors.push(tensor);
    }
    tensors
}

/// Tensors that nothing but TFLM_DECODE reads. They are bytes: tools leave the quantisation there that the decoded ones have.
fn encoded(file: &File, subgraph: schema::SubGraph) -> BTreeSet<i32> {
    let (mut encoded, mut others) = (BTreeSet::new(), BTreeSet::new());
    if !file.codes.iter().any(decode::is_decode) {
        return encoded;
    }
    for o in subgraph.operators().into_iter().flatten() {
        let is_decode = file.codes.get(o.opcode_index() as usize).is_some_and(decode::is_decode);
        let readers = if is_decode { &mut encoded } else { &mut others };
        readers.extend(o.inputs().into_iter().flatten());
    }
    others.extend([subgraph.inputs(), subgraph.outputs()].into_iter().flatten().flatten());
    &encoded - &others
}

/// The type that the file declares, if nothing is wrong or open about it.
pub fn declared_type(file: &File, t: schema::Tensor) -> Option<TensorType> {
    let Declared { ty, shape_is_known, refusal, problems, .. } = declared(file, t, false);
    (problems.is_empty() && refusal.is_none() && shape_is_known).then_some(ty)
}

/// What the file says of a tensor.
struct Declared<'a> {
    ty: TensorType,
    shape_is_known: bool,
    /// What its buffer has.
    data: Option<&'a [u8]>,
    refusal: Option<Diagnostic>,
    problems: Vec<Diagnostic>,
}

/// `is_encoded` says that it is bytes, whatever scales it has.
fn declared<'a>(file: &File<'a>, t: schema::Tensor, is_encoded: bool) -> Declared<'a> {
    let mut problems = vec![];
    // The value, or the problem noted and a stand-in for the value.
    fn noted<T>(problems: &mut Vec<Diagnostic>, result: Result<T, Diagnostic>, stand_in: T) -> T {
        result.unwrap_or_else(|d| {
            problems.push(d);
            stand_in
        })
    }
    let element = noted(&mut problems, element_type(t.type_()), ElementType::F32);
    let shape = noted(&mut problems, shape(t, element), None);
    let quantization = noted(&mut problems, quantization::read(t.quantization().filter(|_| !is_encoded), element, shape.as_deref()), None);
    let data = noted(&mut problems, file.buffers.bytes(t.buffer()), None);

    let shape_is_known = shape.is_some();
    let ty = TensorType { element, shape: shape.unwrap_or_default(), quantization: quantization.map(Arc::new) };
    let refusal = refusal(t, element, data.is_some_and(|d| !d.is_empty()));
    Declared { ty, shape_is_known, data, refusal, problems }
}

/// With problems the tensor is `Unknown`.
fn tensor(file: &File, t: schema::Tensor, palette: Option<&ListedPalette>, is_encoded: bool) -> (Tensor, Vec<Diagnostic>) {
    let Declared { ty, shape_is_known, data, mut refusal, mut problems } = declared(file, t, is_encoded);
    let data = match (data, t.sparsity(), palette) {
        _ if !problems.is_empty() || refusal.is_some() => None,
        (Some(_), Some(_), Some(_)) | (None, _, Some(_)) => {
            let d = Diagnostic::new(Code::DATA, "a tensor that is compressed is no dense constant");
            problems.push(d.expected("a buffer with the indices of a palette"));
            None
        }
        // A buffer without bytes has no numbers: the constant is zeros.
        (bytes, Some(sparsity), None) if shape_is_known && t.buffer() != 0 => {
            let bytes = bytes.unwrap_or_default();
            let affordable = file.dense.take(ty.size_bytes()).map_err(NotDense::Refused);
            match affordable.and_then(|()| sparse::dense(&ty, sparsity, bytes)) {
                Ok(dense) => Some(Bytes::from(dense)),
                Err(NotDense::Damaged(d)) => {
                    problems.push(d);
                    None
                }
                Err(NotDense::Refused(d)) => {
                    refusal = Some(d);
                    None
                }
            }
        }
        (Some(bytes), None, Some(palette)) if shape_is_known => match file.dense.take(ty.size_bytes()) {
            Err(d) => {
                refusal = Some(d);
                None
            }
            Ok(()) => palette.decode(&ty, t, bytes).map_err(|(_, d)| problems.push(d)).ok().map(Bytes::from),
        },
        (data, ..) => match constant(&ty, shape_is_known, data) {
            Ok(data) => data.map(|bytes| file.bytes.slice_ref(bytes)),
            Err(d) => {
                problems.push(d);
                None
            }
        },
    };
    // No dimensions may be a scalar's or not known.
    let declared = shape_is_known && (0 < ty.rank() || t.has_rank()) && t.shape_signature().is_none_or(|s| s.iter().all(|d| 0 <= d));
    let content = match &data {
        _ if !problems.is_empty() => Content::Unknown,
        Some(bytes) if !bytes.is_empty() => Content::Constant,
        _ => Content::Unwritten { declared },
    };
    let name = t.name().map(schema::text).unwrap_or_default();
    (Tensor { name, ty, shape_is_known, data, content, is_variable: t.is_variable(), refusal, value: None, writer: None }, problems)
}

/// As many bytes as the type has; `None` for a tensor that is not constant.
fn constant<'a>(ty: &TensorType, shape_is_known: bool, bytes: Option<&'a [u8]>) -> Result<Option<&'a [u8]>, Diagnostic> {
    match bytes {
        Some(_) if !shape_is_known => Err(Diagnostic::new(Code::SHAPE, "the shape of a constant is open")),
        // Some tools pad constants.
        Some(bytes) if ty.size_bytes() <= bytes.len() => Ok(Some(&bytes[..ty.size_bytes()])),
        Some(bytes) => Err(Diagnostic::new(Code::DATA, "the constant is too short")
            .expected(format!("{} bytes for {}", ty.size_bytes(), type_text(ty)))
            .found(format!("{} bytes", bytes.len()))),
        // Nobody needs to write no bytes: such constants have empty buffers.
        None if shape_is_known && ty.size_bytes() == 0 => Ok(Some(&[])),
        None => Ok(None),
    }
}

/// `None` when a dimension is open.
fn shape(t: schema::Tensor, element: ElementType) -> Result<Option<Vec<usize>>, Diagnostic> {
    let Some(shape) = t.shape() else { return Ok(Some(vec![])) };
    if MAX_RANK < shape.len() {
        let d = Diagnostic::new(Code::SHAPE, "too many dimensions");
        return Err(d.expected(format!("at most {MAX_RANK}")).found(shape.len().to_string()));
    }
    if let Some(d) = shape.iter().find(|d| *d < -1) {
        return Err(Diagnostic::new(Code::SHAPE, "a dimension is negative").found(d.to_string()));
    }
    let Some(shape) = shape.iter().map(|d| usize::try_from(d).ok()).collect::<Option<Vec<usize>>>() else { return Ok(None) };
    check_size(element, &shape)?;
    Ok(Some(shape))
}

/// That sizes, and products of any of the dimensions, stay far from overflow.
pub fn check_size(element: ElementType, shape: &[usize]) -> Result<(), Diagnostic> {
    let bits = element.bits().unwrap_or(8) as usize;
    let product = shape.iter().try_fold(bits, |n, &d| n.checked_mul(d.max(1)));
    if product.is_some_and(|bits| bits <= 8 * MAX_TENSOR_SIZE_BYTES) {
        return Ok(());
    }
    Err(Diagnostic::new(Code::SHAPE, "the tensor is too large")
        .expected(format!("at most {MAX_TENSOR_SIZE_BYTES} bytes"))
        .found(type_text(&TensorType::new(element, shape))))
}

fn refusal(t: schema::Tensor, element: ElementType, has_bytes: bool) -> Option<Diagnostic> {
    let feature = |message: &str| Some(Diagnostic::new(Code::FEATURE, message));
    if element.bits().is_none() {
        let d = Diagnostic::new(Code::TYPES, format!("tensors of {element} are not supported"));
        return Some(d.help("keep text, tables and other resources outside of the model: cut it off behind them before it is converted"));
    }
    if t.sparsity().is_some() && t.buffer() == 0 {
        return feature("sparse tensors that are no constants are not supported").map(|d| d.help("export the model with dense weights"));
    }
    if t.is_variable() && has_bytes {
        return feature("variable tensors that are not zero at first are not supported, nor are they in TensorFlow Lite");
    }
    if t.external_buffer() != 0 {
        return feature("constants in another file are not supported").map(|d| d.help("export the model as one file"));
    }
    if t.quantization().is_some_and(|q| q.details_type() == schema::QuantizationDetails::BlockwiseQuantization) {
        return feature("blockwise quantisation is not supported").map(|d| d.help("quantise per tensor or per channel"));
    }
    None
}

pub fn element_type(t: schema::TensorType) -> Result<ElementType, Diagnostic> {
    use ElementType::*;
    Ok(match t {
        schema::TensorType::FLOAT32 => F32,
        schema::TensorType::FLOAT16 => F16,
        schema::TensorType::INT32 => I32,
        schema::TensorType::UINT8 => U8,
        schema::TensorType::INT64 => I64,
        schema::TensorType::STRING => String,
        schema::TensorType::BOOL => Bool,
        schema::TensorType::INT16 => I16,
        schema::TensorType::COMPLEX64 => Complex64,
        schema::TensorType::INT8 => I8,
        schema::TensorType::FLOAT64 => F64,
        schema::TensorType::COMPLEX128 => Complex128,
        schema::TensorType::UINT64 => U64,
        schema::TensorType::RESOURCE => Resource,
        schema::TensorType::VARIANT => Variant,
        schema::TensorType::UINT32 => U32,
        schema::TensorType::UINT16 => U16,
        schema::TensorType::INT4 => I4,
        schema::TensorType::BFLOAT16 => BF16,
        schema::TensorType::INT2 => I2,
        schema::TensorType::UINT4 => U4,
        schema::TensorType::FLOAT8_E4M3FN => F8E4M3,
        schema::TensorType::FLOAT8_E5M2 => F8E5M2,
        other => return Err(Diagnostic::new(Code::TYPES, "element type is not known").found(format!("number {}", other.0))),
    })
}
