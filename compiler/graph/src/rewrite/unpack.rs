//! Constants of a compact type as floats: what DEQUANTIZE computes, for weights that are too large to interpret.
//!
//! A test compares it with the interpreted lowering. The product of scale and difference is exact in f64, so rounding it once to f32, as
//! the reference does, is what multiplying in f32 does.

use crate::tensor::{ElementType, TensorType};

/// `None` for types that this does not cover.
pub fn floats(ty: &TensorType, data: &[u8]) -> Option<Vec<f32>> {
    let integers: Vec<i32> = match ty.element {
        ElementType::F16 => return Some(data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
        ElementType::I8 => data.iter().map(|&b| i32::from(b as i8)).collect(),
        ElementType::U8 => data.iter().map(|&b| i32::from(b)).collect(),
        ElementType::I16 => data.chunks_exact(2).map(|b| i32::from(i16::from_le_bytes([b[0], b[1]]))).collect(),
        _ => ty.unpacked(data)?.into_iter().map(i32::from).collect(),
    };
    let q = ty.quantization.as_ref()?;
    // Elements that follow each other with the same scale, and how many scales there are.
    let (run, channels) = match q.is_per_tensor() {
        true => (1, 1),
        false => (ty.shape[q.axis + 1..].iter().product::<usize>(), ty.shape[q.axis]),
    };
    let float = |(i, x): (usize, &i32)| {
        let channel = i / run % channels;
        (x - q.zero_point(channel) as i32) as f32 * q.scale(channel)
    };
    Some(integers.iter().enumerate().map(float).collect())
}
