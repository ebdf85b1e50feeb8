//! Checks of types and shapes that several operators share.
//!
//! Not rules of one operator: those are in its file. The idea: a check names what it wants and what it found, so that a message
//! says both.

use super::Signature;
use crate::diagnostic::{Code, Diagnostic};
use crate::quantize::element_range;
use crate::tensor::{ElementType, Quantization, TensorType};

pub fn is_quantized(element: ElementType) -> bool {
    matches!(element, ElementType::I8 | ElementType::U8 | ElementType::I16)
}

/// Quantisation with one scale and a zero point that the element type has: (scale, zero point).
pub fn per_tensor(what: &str, ty: &TensorType) -> Result<(f32, i32), Diagnostic> {
    let q = quantization(what, ty)?;
    if !q.is_per_tensor() {
        return Err(Diagnostic::new(Code::SCALE, format!("{what} is quantised per channel"))
            .expected("one scale")
            .found(format!("{} scales", q.scales.len())));
    }
    Ok((q.scales[0], q.zero_points[0] as i32))
}

/// All inputs and the output are quantised per tensor.
pub fn all_per_tensor(signature: &Signature) -> Result<(), Diagnostic> {
    for i in 0..signature.inputs.len() {
        per_tensor(&format!("input {i}"), signature.input(i)?)?;
    }
    per_tensor("the output", signature.output(0)).map(|_| ())
}

/// Quantisation, per tensor or per channel, whose numbers are possible.
pub fn quantization<'a>(what: &str, ty: &'a TensorType) -> Result<&'a Quantization, Diagnostic> {
    let Some(q) = ty.quantization.as_deref() else {
        return Err(Diagnostic::new(Code::SCALE, format!("{what} has no scale"))
            .expected(format!("a quantised {}", ty.element))
            .help("quantise the model as a whole, or use float tensors here"));
    };
    let impossible = |found: String| Diagnostic::new(Code::QUANTIZATION, format!("quantisation of {what} is not possible")).found(found);
    if q.scales.is_empty() || q.zero_points.is_empty() {
        return Err(impossible("no scale or no zero point".into()));
    }
    if 1 < q.scales.len() && ty.shape.get(q.axis) != Some(&q.scales.len()) {
        return Err(impossible(format!("{} scales along axis {} of shape {:?}", q.scales.len(), q.axis, ty.shape)));
    }
    if 1 < q.zero_points.len() && q.zero_points.len() != q.scales.len() {
        return Err(impossible(format!("{} zero points with {} scales", q.zero_points.len(), q.scales.len())));
    }
    // A channel of zeros may have the scale zero.
    let lowest = if q.is_per_tensor() { f32::from_bits(1) } else { 0.0 };
    if let Some(s) = q.scales.iter().find(|s| !(lowest <= **s && s.is_finite())) {
        return Err(impossible(format!("scale {s}")));
    }
    let (low, high) = element_range(ty.element).unwrap_or((0, 0));
    if let Some(z) = q.zero_points.iter().find(|z| !(i64::from(low)..=i64::from(high)).contains(z)) {
        return Err(impossible(format!("zero point {z}")));
    }
    Ok(q)
}

/// The zero point is 0, as of all int16 tensors.
pub fn no_zero_point(what: &str, ty: &TensorType) -> Result<(), Diagnostic> {
    match ty.zero_point() {
        0 => Ok(()),
        z => Err(Diagnostic::new(Code::SCALE, format!("zero point of {what} is not supported")).expected("0").found(z.to_string())),
    }
}

/// The common shape of two inputs, each dimension equal or 1 in one of them, aligned at the innermost.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Diagnostic> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |own| s[own]);
    (0..rank)
        .map(|d| match (dim(a, d), dim(b, d)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Diagnostic::new(Code::OPERAND, "shapes of the inputs cannot be broadcast to each other")
                .expected("in every dimension equal, or 1 in one of them")
                .found(format!("{a:?} and {b:?}"))),
        })
        .collect()
}

/// The optional bias of a product: one number per output channel.
pub fn bias(signature: &Signature, index: usize, channels: usize) -> Result<(), Diagnostic> {
    let Some(bias) = signature.optional(index) else { return Ok(()) };
    if bias.ty.element_count() != channels {
        return Err(Diagnostic::new(Code::OPERAND, "the bias does not fit the weights")
            .expected(format!("{channels} numbers"))
            .found(format!("shape {:?}", bias.ty.shape)));
    }
    Ok(())
}

/// All zero points are 0: weights of int8 and int16 products.
pub fn symmetric(what: &str, ty: &TensorType) -> Result<(), Diagnostic> {
    match ty.quantization.iter().flat_map(|q| &q.zero_points).find(|z| **z != 0) {
        None => Ok(()),
        Some(z) => Err(Diagnostic::new(Code::SCALE, format!("zero points of {what} are not supported")).expected("0").found(z.to_string())),
    }
}

/// Scales per tensor, or one per index of `axis`.
pub fn per_channel_of(what: &str, ty: &TensorType, axis: usize) -> Result<(), Diagnostic> {
    let q = quantization(what, ty)?;
    if !q.is_per_tensor() && q.axis != axis {
        return Err(Diagnostic::new(Code::SCALE, format!("{what} has scales along an axis that is not supported"))
            .expected(format!("axis {axis}"))
            .found(format!("axis {}", q.axis)));
    }
    Ok(())
}
