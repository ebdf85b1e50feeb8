//! Checks of types and shapes that several operators share.
//!
//! Not rules of one operator: those are in its file. The idea: a check names what it wants and what it found, so that a message
//! says both.

use super::Signature;
use super::attributes::Activation;
use crate::diagnostic::{Code, Diagnostic};
use crate::quantize::element_range;
use crate::tensor::{ElementType, Quantization, TensorType};
use std::collections::BTreeSet;

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

/// All inputs and results are quantised per tensor.
pub fn all_per_tensor(signature: &Signature) -> Result<(), Diagnostic> {
    for i in 0..signature.inputs.len() {
        per_tensor(&format!("input {i}"), signature.input(i)?)?;
    }
    for (i, ty) in signature.outputs.iter().enumerate() {
        per_tensor(&if i == 0 { "the output".into() } else { format!("output {i}") }, ty)?;
    }
    Ok(())
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

/// Batch, rows, columns, channels.
pub fn image(what: &str, ty: &TensorType) -> Result<[usize; 4], Diagnostic> {
    ty.shape.as_slice().try_into().map_err(|_| {
        Diagnostic::new(Code::OPERAND, format!("{what} has the wrong rank")).expected("4 dimensions").found(format!("{:?}", ty.shape))
    })
}

/// An axis of a tensor of so many; negative ones count from the last.
pub fn axis(axis: i64, rank: usize) -> Result<usize, Diagnostic> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_front).ok().filter(|a| *a < rank).ok_or_else(|| {
        let expected = if rank == 0 { "none, of a scalar".into() } else { format!("-{rank} to {}", rank - 1) };
        Diagnostic::new(Code::ATTRIBUTE, "an axis is out of range").expected(expected).found(axis.to_string())
    })
}

/// The axes that an input of the model names, ascending, each once. A scalar has none, whatever is asked for.
pub fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, Diagnostic> {
    let all: Result<BTreeSet<usize>, Diagnostic> = axes.iter().filter(|_| rank != 0).map(|&a| axis(a, rank)).collect();
    Ok(all?.into_iter().collect())
}

/// Axes that are attributes exist.
pub fn axes_exist(axes: &[usize], rank: usize) -> Result<(), Diagnostic> {
    axes.iter().try_for_each(|&a| axis(i64::try_from(a).unwrap_or(i64::MAX), rank).map(|_| ()))
}

/// For operators that have an activation in the format, which the reference refuses.
pub fn no_activation(activation: Activation) -> Result<(), Diagnostic> {
    match activation {
        Activation::None => Ok(()),
        _ => Err(Diagnostic::new(Code::ATTRIBUTE, "fused activation is not supported").expected("NONE")),
    }
}

/// For operators that copy integers and so cannot change their meaning.
pub fn same_quantization(input: &TensorType, output: &TensorType) -> Result<(), Diagnostic> {
    match (&input.quantization, &output.quantization) {
        (Some(a), Some(b)) if !a.is_per_tensor() || !b.is_per_tensor() => {
            Err(Diagnostic::new(Code::SCALE, "quantisation per channel is not supported").expected("one scale and zero point"))
        }
        (Some(a), Some(b)) if a.zero_points[0] != b.zero_points[0] || 1e-3 * a.scales[0] < (a.scales[0] - b.scales[0]).abs() => {
            Err(Diagnostic::new(Code::SCALE, "input and output must have the same scale and zero point")
                .expected(format!("scale {} and zero point {}", a.scales[0], a.zero_points[0]))
                .found(format!("{} and {}", b.scales[0], b.zero_points[0])))
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!([-3, -1, 0, 2].map(|a| axis(a, 3).ok()), [Some(0), Some(2), Some(0), Some(2)]);
        assert!([-4, 3, i64::MIN, i64::MAX].iter().all(|&a| axis(a, 3).is_err()));
        assert!([-1, 0].iter().all(|&a| axis(a, 0).is_err()));
        assert_eq!(axes(&[2, -3, 0, 2], 3).ok(), Some(vec![0, 2]));
        assert!(axes(&[0, 3], 3).is_err());
        assert_eq!(axes(&[5], 0).ok(), Some(vec![]));
    }
}
