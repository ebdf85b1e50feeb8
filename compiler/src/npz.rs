//! Samples out of NumPy's `.npz` files: a ZIP archive of `.npy` arrays, one for each input of a model, with the samples along the first axis.
//!
//! The same as what `runtime-stub/python/cranelite/convert.py` takes to calibrate. The idea: nothing is trusted; what is unpacked has a budget.

use crate::array::{Array, Shape};
use crate::diagnostic::shown;
use crate::signature::Tensor;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::quantize;
use cranelite_graph::tensor::{ElementType, TensorType};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use rawzip::{CompressionMethod, ZipArchive, ZipVerification, crc32};
use std::path::Path;

/// Of all arrays together.
const UNPACKED_BYTES: u64 = 4 << 30;

/// An array for each input of a model, for each sample. Floats for a quantised input are rounded to its type.
pub fn samples(file: &Path, bytes: &[u8], inputs: &[Tensor]) -> Result<Vec<Vec<Array>>, Diagnostic> {
    let wrong = |message: String| Diagnostic::new(Code::INPUT, format!("{}: {message}", shown(file)));
    let arrays = arrays(bytes).map_err(|e| {
        wrong(format!("this is no .npz file of numbers: {e}")).help("write it with numpy.savez(FILE, NAME_OF_INPUT=array, ...)")
    })?;
    let find = |name: &str| arrays.iter().find(|(n, _)| n == name).map(|(_, a)| a);
    let by_name = inputs.iter().map(|t| find(&t.name)).collect::<Option<Vec<_>>>();
    let in_order = || (0..inputs.len()).map(|k| find(&format!("arr_{k}"))).collect::<Option<Vec<_>>>();
    let chosen = by_name.or_else(in_order).filter(|c| c.len() == arrays.len()).ok_or_else(|| {
        let expected: Vec<String> = inputs.iter().map(|t| format!("{} {}", quoted(&t.name), t.describe())).collect();
        let found: Vec<String> = arrays.iter().map(|(name, a)| format!("{} {}", quoted(name), a.describe())).collect();
        let found = if found.is_empty() { "no array".into() } else { found.join(", ") };
        wrong("the arrays are not those of the model's inputs".into())
            .expected(expected.join(", "))
            .found(found)
            .help("name each array as its input, or arr_0, arr_1, ... in their order")
    })?;
    let parts: Vec<Vec<Array>> = chosen
        .iter()
        .zip(inputs)
        .map(|(array, input)| {
            split(array, &input.ty).ok_or_else(|| {
                let inner = if input.ty.shape.first() == Some(&1) { &input.ty.shape[1..] } else { &input.ty.shape[..] };
                wrong(format!("samples for input {} do not fit it", quoted(&input.name)))
                    .expected(format!("{} of any number of samples, each {}", input.ty.element, Shape(inner)))
                    .found(array.describe())
            })
        })
        .collect::<Result<_, _>>()?;
    let count = parts.first().map_or(0, Vec::len);
    if count == 0 || parts.iter().any(|p| p.len() != count) {
        let found: Vec<String> = parts.iter().map(|p| p.len().to_string()).collect();
        return Err(wrong("the inputs have no samples, or different numbers of them".into()).found(found.join(", ")));
    }
    Ok((0..count).map(|k| parts.iter().map(|p| p[k].clone()).collect()).collect())
}

/// The samples of one input.
fn split(array: &Array, ty: &TensorType) -> Option<Vec<Array>> {
    let (&count, inner) = array.shape.split_first()?;
    let is_single = ty.shape.split_first().is_some_and(|(first, rest)| *first == 1 && rest == inner);
    if !is_single && inner != ty.shape {
        return None;
    }
    let data = match (array.element, ty.element) {
        (from, to) if from == to => array.data.clone(),
        (ElementType::F32, to) => {
            let (q, range) = (ty.quantization.as_ref().filter(|q| q.is_per_tensor())?, quantize::element_range(to)?);
            let numbers = array.data.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            to.integer_bytes(numbers.map(|x| quantize::quantize(x, q.scales[0], q.zero_points[0] as i32, range).into()))
        }
        _ => return None,
    };
    let size = ty.size_bytes();
    if size == 0 || data.len() != size * count {
        return None;
    }
    let sample = |data: &[u8]| Array { element: ty.element, shape: ty.shape.clone(), data: data.to_vec() };
    Some(data.chunks_exact(size).map(sample).collect())
}

/// All arrays of a file, with their names.
fn arrays(bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let told = |e: rawzip::Error| e.to_string();
    let zip = ZipArchive::from_slice(bytes).map_err(told)?;
    let (mut all, mut budget, mut entries) = (vec![], UNPACKED_BYTES, zip.entries());
    while let Some(entry) = entries.next_entry().map_err(told)? {
        let path = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let name = path.strip_suffix(".npy").ok_or_else(|| format!("{} is no .npy file", quoted(&path)))?;
        let (method, is_encrypted) = (entry.compression_method(), entry.flags().is_encrypted());
        let stored = zip.get_entry(entry.wayfinder()).map_err(told)?;
        let size = stored.claim_verifier().uncompressed_size;
        budget = budget.checked_sub(size).ok_or("it is too large when it is unpacked")?;
        let data = match method {
            _ if is_encrypted => return Err("it is encrypted".into()),
            CompressionMethod::STORE => stored.data().to_vec(),
            CompressionMethod::DEFLATE => {
                decompress_to_vec_with_limit(stored.data(), size as usize).map_err(|_| format!("{} cannot be unpacked", quoted(&path)))?
            }
            other => return Err(format!("{} is compressed by {other:?}", quoted(&path))),
        };
        let is = ZipVerification { crc: crc32(&data), uncompressed_size: data.len() as u64 };
        stored.claim_verifier().valid(is).map_err(told)?;
        all.push((name.into(), Array::parse(&data).map_err(|e| format!("{}: {e}", quoted(&path)))?));
    }
    Ok(all)
}
