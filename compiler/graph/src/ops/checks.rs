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

/// Of int16 operand and result the zero points are 0.
pub fn no_zero_points_of_words(x: &TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    if y.element != ElementType::I16 {
        return Ok(());
    }
    no_zero_point("the input", x)?;
    no_zero_point("the output", y)
}

/// How long a tensor of one dimension is.
pub fn vector(what: &str, ty: &TensorType) -> Result<usize, Diagnostic> {
    match ty.shape[..] {
        [n] => Ok(n),
        _ => Err(Diagnostic::new(Code::OPERAND, format!("{what} has the wrong rank"))
            .expected("1 dimension")
            .found(format!("{:?}", ty.shape))),
    }
}

/// An operand has this shape.
pub fn shape(what: &str, index: usize, ty: &TensorType, expected: &[usize]) -> Result<(), Diagnostic> {
    if ty.shape == expected {
        return Ok(());
    }
    Err(Diagnostic::new(Code::OPERAND, format!("the shape of {what} does not fit"))
        .detail(format!("input {index}"))
        .expected(format!("{expected:?}"))
        .found(format!("{:?}", ty.shape)))
}

/// A number of bits to shift by, or another attribute that is `most` at most.
pub fn at_most(name: &str, value: usize, most: usize) -> Result<(), Diagnostic> {
    if value <= most {
        return Ok(());
    }
    Err(Diagnostic::new(Code::ATTRIBUTE, format!("`{name}` is out of range")).expected(format!("at most {most}")).found(value.to_string()))
}

/// An attribute that is `least` at least.
pub fn at_least(name: &str, value: usize, least: usize) -> Result<(), Diagnostic> {
    if least <= value {
        return Ok(());
    }
    Err(Diagnostic::new(Code::ATTRIBUTE, format!("`{name}` is out of range"))
        .expected(format!("at least {least}"))
        .found(value.to_string()))
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

/// The same elements in another shape.
pub fn same_elements(x: &TensorType, shape: &[usize]) -> Result<Vec<Vec<usize>>, Diagnostic> {
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
        Some(count) if count == x.element_count() => Ok(vec![shape.to_vec()]),
        _ => Err(Diagnostic::new(Code::OPERAND, "the new shape does not fit the input")
            .expected(format!("a shape of {} elements", x.element_count()))
            .found(format!("{shape:?}"))),
    }
}

/// The number of results that the options of the model name is that of the results.
pub fn result_count(named: i32, s: &Signature) -> Result<(), Diagnostic> {
    if usize::try_from(named) == Ok(s.outputs.len()) {
        return Ok(());
    }
    Err(Diagnostic::new(Code::ATTRIBUTE, "the options name another number of results")
        .expected(s.outputs.len().to_string())
        .found(named.to_string()))
}

/// The type of indices that the options of the model name is that of the result.
pub fn index_type(named: cranelite_schema::TensorType, y: &TensorType) -> Result<(), Diagnostic> {
    let element = match named {
        cranelite_schema::TensorType::INT32 => Some(ElementType::I32),
        cranelite_schema::TensorType::INT64 => Some(ElementType::I64),
        _ => None,
    };
    if element == Some(y.element) {
        return Ok(());
    }
    Err(Diagnostic::new(Code::TYPES, "the options name another type of the result")
        .expected(y.element.name())
        .found(named.variant_name().map_or_else(|| format!("number {}", named.0), str::to_lowercase)))
}

/// Shape of an array with so many elements before and after it along each axis.
pub fn padded(shape: &[usize], before: &[usize], after: &[usize]) -> Result<Vec<Vec<usize>>, Diagnostic> {
    if [before.len(), after.len()] != [shape.len(); 2] {
        return Err(Diagnostic::new(Code::OPERAND, "one pair of paddings is needed per axis")
            .expected(format!("{} pairs", shape.len()))
            .found(format!("{} and {}", before.len(), after.len())));
    }
    sized(shape.iter().zip(before).zip(after).map(|((&d, &b), &a)| d.saturating_add(b).saturating_add(a)).collect())
}

/// The product of dimensions that an operator makes of others, which have not been checked.
pub fn sized(shape: Vec<usize>) -> Result<Vec<Vec<usize>>, Diagnostic> {
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))) {
        Some(count) if count < 1 << 48 => Ok(vec![shape]),
        _ => Err(Diagnostic::new(Code::SHAPE, "the result is too large").found(format!("{shape:?}"))),
    }
}

/// A dimension, count or multiple that an input of the model names.
pub fn dimension(what: &str, n: i64) -> Result<usize, Diagnostic> {
    usize::try_from(n)
        .ok()
        .filter(|n| *n <= i32::MAX as usize)
        .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, format!("{what} is out of range")).expected("0 to 2147483647").found(n.to_string()))
}

/// As `axes_exist`, of axes that are ascending, each at most once.
pub fn axes_ascend(axes: &[usize], rank: usize) -> Result<(), Diagnostic> {
    axes_exist(axes, rank)?;
    match axes.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => Err(Diagnostic::new(Code::ATTRIBUTE, "axes must be ascending, each at most once").found(format!("{axes:?}"))),
    }
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
