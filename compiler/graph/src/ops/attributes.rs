//! Attributes that several operators share: fused activations, padding as numbers, formats of images.
//!
//! Not the model's options: those are read here once and for all, so that behind `decode` a padding is four counts and never "SAME".

use crate::diagnostic::{Code, Diagnostic};
use cranelite_schema as schema;
use serde::{Deserialize, Serialize};

/// Clamp applied to an operator's result, before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    #[default]
    None,
    Relu,
    ReluN1To1,
    /// Of the operator RELU_0_TO_1 alone: the format has no such fused activation.
    Relu0To1,
    Relu6,
}

impl Activation {
    /// Of the runtime's number, which is the format's.
    pub fn of_runtime(activation: i32) -> Result<Self, Diagnostic> {
        match i8::try_from(activation) {
            Ok(a) => Activation::decode(schema::ActivationFunctionType(a)),
            Err(_) => Err(Diagnostic::new(Code::ATTRIBUTE, "fused activation is not supported").found(format!("number {activation}"))),
        }
    }
    pub fn decode(a: schema::ActivationFunctionType) -> Result<Self, Diagnostic> {
        Ok(match a {
            schema::ActivationFunctionType::NONE => Activation::None,
            schema::ActivationFunctionType::RELU => Activation::Relu,
            schema::ActivationFunctionType::RELU_N1_TO_1 => Activation::ReluN1To1,
            schema::ActivationFunctionType::RELU6 => Activation::Relu6,
            other => {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "fused activation is not supported")
                    .expected("NONE, RELU, RELU_N1_TO_1 or RELU6")
                    .found(other.variant_name().map_or_else(|| format!("number {}", other.0), str::to_string)));
            }
        })
    }
}

/// How bytes are pixels, in the order of memory. YUV is BT.601 with limited range, as cameras and OpenCV have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Rgb8,
    Bgr8,
    Rgba8,
    Bgra8,
    Gray8,
    /// Two pixels in four bytes: Y, U, Y, V. A row of odd width ends with a whole group of four.
    Yuyv,
    /// A plane of Y, then one of U and V in turn with half as many rows and columns, rounded up.
    Nv12,
    /// As NV12, V before U.
    Nv21,
    /// Planes of Y, U and V, the latter with half as many rows and columns, rounded up.
    I420,
}

/// What a recurrent operator makes of its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Curve {
    #[default]
    None,
    Relu,
    ReluN1To1,
    Relu6,
    Tanh,
}

impl Curve {
    pub fn decode(a: schema::ActivationFunctionType) -> Result<Self, Diagnostic> {
        Ok(match a {
            schema::ActivationFunctionType::NONE => Curve::None,
            schema::ActivationFunctionType::RELU => Curve::Relu,
            schema::ActivationFunctionType::RELU_N1_TO_1 => Curve::ReluN1To1,
            schema::ActivationFunctionType::RELU6 => Curve::Relu6,
            schema::ActivationFunctionType::TANH => Curve::Tanh,
            other => {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "fused activation is not supported")
                    .expected("NONE, RELU, RELU_N1_TO_1, RELU6 or TANH")
                    .found(other.variant_name().map_or_else(|| format!("number {}", other.0), str::to_string)));
            }
        })
    }
}

/// Rows and columns added around an image: zero points for integers, zeros for floats; nothing for pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

/// One dimension of a window sliding over an image.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub input: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
}

impl Window {
    /// Elements from the first tap to the last.
    fn span(self) -> usize {
        (self.filter.max(1) - 1).saturating_mul(self.dilation).saturating_add(1)
    }
    /// Positions of the window, `None` if the filter is larger than the padded image. An empty image has none, whatever pads it.
    pub fn output(self, before: usize, after: usize) -> Option<usize> {
        if self.input == 0 {
            return Some(0);
        }
        let span = (self.filter.checked_sub(1)?).checked_mul(self.dilation)?.checked_add(1)?;
        Some((self.input + before + after).checked_sub(span)? / self.stride + 1)
    }
}

impl Padding {
    /// As `decode`, of the runtime's number, which is one more than the format's.
    pub fn of_runtime(padding: i32, rows: Window, columns: Window) -> Result<Self, Diagnostic> {
        let format = i8::try_from(padding).ok().filter(|p| 0 < *p).map(|p| schema::Padding(p - 1));
        match format {
            Some(padding) => Padding::decode(padding, rows, columns),
            None => Err(Diagnostic::new(Code::ATTRIBUTE, "padding is not known").expected("1 or 2").found(padding.to_string())),
        }
    }
    /// TFLite's SAME (output = ceil(input / stride), the odd row after) or VALID. Follows `ComputePaddingHeightWidth`.
    pub fn decode(padding: schema::Padding, rows: Window, columns: Window) -> Result<Self, Diagnostic> {
        let same = |w: Window| {
            let output = w.input.div_ceil(w.stride);
            if output == 0 {
                return (0, 0);
            }
            let total = (output - 1).saturating_mul(w.stride).saturating_add(w.span()).saturating_sub(w.input);
            (total / 2, total - total / 2)
        };
        match padding {
            schema::Padding::SAME => {
                let ((top, bottom), (left, right)) = (same(rows), same(columns));
                Ok(Padding { top, bottom, left, right })
            }
            // Of such an empty image the reference's size is negative.
            schema::Padding::VALID if [rows, columns].iter().any(|w| w.input == 0 && 2 * w.stride <= w.span()) => {
                Err(Diagnostic::new(Code::OPERAND, "the filter is larger than the empty image"))
            }
            schema::Padding::VALID => Ok(Padding::default()),
            other => {
                Err(Diagnostic::new(Code::ATTRIBUTE, "padding is not known").expected("SAME or VALID").found(format!("number {}", other.0)))
            }
        }
    }
}

/// A stride, dilation or filter size of the model as a positive number of sane size.
pub fn positive(name: &str, value: i32) -> Result<usize, Diagnostic> {
    match usize::try_from(value) {
        Ok(v) if 0 < v && v <= 1 << 20 => Ok(v),
        _ => Err(Diagnostic::new(Code::ATTRIBUTE, format!("{name} is out of range")).expected("1 to 1048576").found(value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LiteRT's shapes for empty images: those of max pooling, which it can prepare.
    #[test]
    fn an_empty_image_has_no_positions() {
        let rows = |filter, stride| Window { input: 0, filter, stride, dilation: 1 };
        let columns = |filter, stride| Window { input: 4, filter, stride, dilation: 1 };
        for (padding, filter, stride, wide) in [
            (schema::Padding::SAME, 1, 1, 4),
            (schema::Padding::SAME, 3, 1, 4),
            (schema::Padding::SAME, 3, 2, 2),
            (schema::Padding::VALID, 1, 1, 4),
            (schema::Padding::VALID, 3, 2, 1),
        ] {
            let (rows, columns) = (rows(filter, stride), columns(filter, stride));
            let p = Padding::decode(padding, rows, columns).unwrap();
            assert_eq!((p.top, p.bottom), (0, 0));
            assert_eq!((rows.output(p.top, p.bottom), columns.output(p.left, p.right)), (Some(0), Some(wide)));
        }
        assert!(Padding::decode(schema::Padding::VALID, rows(3, 1), columns(3, 1)).is_err());
        // What a pass has added to an empty image makes no rows either.
        assert_eq!(rows(3, 1).output(2, 2), Some(0));
    }
}
