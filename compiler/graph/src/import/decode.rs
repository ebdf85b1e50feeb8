//! TFLM_DECODE: what the header of its ancillary data says, and which channels a constant has.
//!
//! Not the encodings (`encodings.rs`). The idea: the operator has pairs of inputs, encoded data and ancillary data, and a result for each pair, and all of them
//! are constants; so the results become constants when the model is read, and nothing is left of the operator. The header is that of
//! tensorflow/lite/micro/kernels/decode_state.h: type, version, two bytes of nothing, and 12 of the type's own. Custom types, which applications decode, are
//! refused.
//!
//! Which channels have tables of their own is what the result's quantisation says, as in the reference's kernel. The tools for Python write it into the header
//! as well, since they have an axis there, for a kernel that is to come; where header and quantisation contradict each other nothing is guessed.

use super::encodings::{EncodedPart, EncodedProblem, HuffmanTables, PaletteTables, PrunedValues, TableChannels};
use super::file::OperatorCode;
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::Key;
use crate::tensor::TensorType;
use cranelite_schema as schema;

/// The custom operator.
pub const NAME: &str = "TFLM_DECODE";

const HEADER_BYTES: usize = 16;
/// Newest versions of the header, and of what the types write into it.
const VERSION: u8 = 1;
/// Types from here on are the application's.
const FIRST_CUSTOM: u8 = 127;
/// Instead of an axis: one table.
const NO_AXIS: u8 = 15;

/// Whether an operator is this one, and no function of the user's.
pub fn is_decode(code: &OperatorCode) -> bool {
    code.key() == Key::Custom(NAME)
}

/// The bytes of a result. `t` is the result in the file, of type `ty`.
pub fn decode(ty: &TensorType, t: schema::Tensor, stream: &[u8], ancillary: &[u8]) -> Result<Vec<u8>, EncodedProblem> {
    let wrong = |code: Code, message: &str| (EncodedPart::Tables, Diagnostic::new(code, message));
    let Some((header, data)) = ancillary.split_first_chunk::<HEADER_BYTES>() else {
        let (part, d) = wrong(Code::DATA, "the ancillary data is too short");
        return Err((part, d.expected(format!("a header of {HEADER_BYTES} bytes")).found(ancillary.len().to_string())));
    };
    let [kind, version, _, _, own_version, parameters, stride, ..] = *header;
    let checked = |what: &str, version: u8| match version == VERSION {
        true => Ok(()),
        false => {
            let (part, d) = wrong(Code::FEATURE, &format!("the version of {what} is not known"));
            Err((part, d.expected(VERSION.to_string()).found(version.to_string())))
        }
    };
    checked("the ancillary data", version)?;
    match kind {
        0 => {
            checked("a palette", own_version)?;
            let (channels, _) = channels(t, ty)?;
            let palettes = PaletteTables { bits: u32::from(parameters & 7), stride: usize::from(stride), values: data, channels };
            check_axis(ty, &palettes, parameters >> 4)?;
            palettes.decode(ty, stream)
        }
        1 => {
            checked("a Huffman code", own_version)?;
            let first_bits = u32::from(parameters >> 4) + 1;
            HuffmanTables { is_wide: parameters & 1 == 1, first_bits, entries: data }.decode(ty, stream)
        }
        2 => {
            checked("what was pruned", own_version)?;
            let (channels, zero_points) = channels(t, ty)?;
            PrunedValues { values: data, zero_points: &zero_points, channels }.decode(ty, stream)
        }
        FIRST_CUSTOM.. => {
            let (part, d) = wrong(Code::FEATURE, "constants that an application decodes by itself are not supported");
            let d = d.expected("a palette (0), a Huffman code (1) or what was pruned (2)").found(format!("decode type {kind}"));
            Err((part, d.help("compile the model as it was before that encoding")))
        }
        _ => {
            let (part, d) = wrong(Code::FEATURE, "the decode type is not known");
            Err((part, d.expected("a palette (0), a Huffman code (1) or what was pruned (2)").found(kind.to_string())))
        }
    }
}

/// What of an encoded constant has tables or a zero point of its own, and the zero points. From the file, since floats may have scales there too.
fn channels(t: schema::Tensor, ty: &TensorType) -> Result<(TableChannels, Vec<i64>), EncodedProblem> {
    let q = t.quantization();
    let scales = q.and_then(|q| q.scale()).map_or(0, |s| s.len());
    let zero_points: Vec<i64> = q.and_then(|q| q.zero_point()).into_iter().flatten().collect();
    let Some(q) = q.filter(|_| 0 < scales && !zero_points.is_empty()) else { return Ok((TableChannels::ONE, vec![])) };
    if zero_points.len() != scales {
        let d = Diagnostic::new(Code::QUANTIZATION, "scales and zero points differ in number");
        return Err((EncodedPart::Type, d.found(format!("{scales} scales and {} zero points", zero_points.len()))));
    }
    Ok((of_quantization(q.quantized_dimension(), scales, ty, true)?, zero_points))
}

/// The channels of so many scales along an axis. `is_axis_of_one` says that even a single scale has to have an axis that is possible.
pub fn of_quantization(axis: i32, scales: usize, ty: &TensorType, is_axis_of_one: bool) -> Result<TableChannels, EncodedProblem> {
    let last = ty.rank() as i32 - 1;
    let are_last = 1 < scales && axis == last;
    if axis != 0 && !are_last && (1 < scales || is_axis_of_one) {
        let d = Diagnostic::new(Code::FEATURE, "the quantised dimension of an encoded constant is not supported");
        let expected = if 0 < last && 1 < scales { format!("0 or {last}") } else { "0".into() };
        return Err((EncodedPart::Type, d.expected(expected).found(axis.to_string())));
    }
    let size = ty.shape.get(axis.max(0) as usize).copied().unwrap_or(1);
    if 1 < scales && size != scales {
        let d = Diagnostic::new(Code::QUANTIZATION, "number of scales");
        return Err((EncodedPart::Type, d.expected(format!("1, or {size} for dimension {axis}")).found(scales.to_string())));
    }
    Ok(TableChannels { count: scales.max(1), are_last })
}

/// That the axis in the header of a palette is none, or that of the channels. Old tools have written 0 for all.
fn check_axis(ty: &TensorType, palettes: &PaletteTables, axis: u8) -> Result<(), EncodedProblem> {
    let TableChannels { count, are_last } = palettes.channels;
    let own = if are_last { ty.rank().saturating_sub(1) } else { 0 };
    let size = ty.shape.get(usize::from(axis)).copied();
    let fits = match axis {
        NO_AXIS => count == 1,
        // Where the first dimension has tables, they fill the data. Where they do not, 0 means nothing.
        0 => {
            let of_axis = size.unwrap_or(1);
            let bytes = of_axis.saturating_mul(palettes.stride).saturating_mul(ty.element.bytes().unwrap_or(1));
            of_axis <= count || palettes.values.len() < bytes
        }
        _ => size == Some(1) && count == 1 || count != 1 && usize::from(axis) == own,
    };
    if fits {
        return Ok(());
    }
    let d = Diagnostic::new(Code::FEATURE, "a palette's header and the quantisation of the result contradict each other");
    let expected = if count == 1 { "one table".into() } else { format!("{count} tables, along dimension {own}") };
    let found = if axis == NO_AXIS { "one table".into() } else { format!("tables along dimension {axis}") };
    let d = d.expected(expected).found(found);
    Err((EncodedPart::Tables, d.help("encode the constant per tensor, or along the dimension that it is quantised along")))
}
