//! Scales and zero points of a tensor in the file, as rules on numbers.

use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::{ElementType, Quantization};
use cranelite_schema as schema;

/// `None` for a tensor that is not quantised. `shape` is `None` while it is not known.
pub fn read(
    q: Option<schema::QuantizationParameters>,
    element: ElementType,
    shape: Option<&[usize]>,
) -> Result<Option<Quantization>, Diagnostic> {
    let Some(range) = zero_point_range(element) else { return Ok(None) };
    let Some((q, scales)) = q.and_then(|q| Some((q, q.scale()?))).filter(|(_, s)| !s.is_empty()) else { return Ok(None) };
    let wrong = |message: &str| Diagnostic::new(Code::QUANTIZATION, message);

    let zero_points: Vec<i64> = q.zero_point().into_iter().flatten().collect();
    if zero_points.len() != scales.len() {
        let found = format!("{} scales and {} zero points", scales.len(), zero_points.len());
        return Err(wrong("scales and zero points differ in number").found(found));
    }
    if let Some(z) = zero_points.iter().find(|z| !range.contains(z)) {
        let expected = format!("{} to {}", range.start(), range.end());
        return Err(wrong(&format!("a zero point does not fit {element}")).expected(expected).found(z.to_string()));
    }
    let scales: Vec<f32> = scales.iter().collect();
    // One scale of zero is how the format's first version said that there is none; a channel of zeros may have the scale zero.
    if scales == [0.0] {
        return Ok(None);
    }
    if let Some((i, s)) = scales.iter().enumerate().find(|(_, s)| !(0.0 <= **s && **s < f32::INFINITY)) {
        // Kernels look at the scales of narrow types only.
        let is_narrow = element.bits().is_some_and(|b| b <= 16);
        return if is_narrow {
            Err(wrong("a scale is not a positive finite number").found(format!("{s:?} at index {i}")))
        } else {
            Ok(None)
        };
    }
    let axis = q.quantized_dimension();
    if scales.len() == 1 {
        return Ok(Some(Quantization { scales, zero_points, axis: 0 }));
    }
    let Some(shape) = shape else { return Err(wrong("per-channel scales of a tensor whose shape is not known")) };
    match usize::try_from(axis).ok().and_then(|a| Some((a, *shape.get(a)?))) {
        Some((axis, n)) if n == scales.len() => Ok(Some(Quantization { scales, zero_points, axis })),
        Some((axis, n)) => {
            Err(wrong("number of scales").expected(format!("1, or {n} for dimension {axis}")).found(scales.len().to_string()))
        }
        None => Err(wrong("the quantised dimension does not exist")
            .expected(format!("0 to {}", shape.len().saturating_sub(1)))
            .found(axis.to_string())),
    }
}

/// Zero points that an element type can hold; `None` for types that are not quantised.
fn zero_point_range(element: ElementType) -> Option<std::ops::RangeInclusive<i64>> {
    use ElementType::*;
    Some(match element {
        I2 => -2..=1,
        I4 => -8..=7,
        U4 => 0..=15,
        I8 => -128..=127,
        U8 => 0..=255,
        I16 => -32768..=32767,
        U16 => 0..=65535,
        I32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
        U32 => 0..=i64::from(u32::MAX),
        I64 | U64 => i64::MIN..=i64::MAX,
        _ => return None,
    })
}
