//! Constant weights of less than a byte, as bytes.
//!
//! The idea: they mean what bytes of the same numbers mean, so products know nothing of them. The file stays as small as it was, the object
//! has bytes.

use crate::tensor::{ElementType, TensorType};
use std::borrow::Cow;

/// Type and contents with i8 instead of i4 and i2; others as they are.
pub fn widened<'a>(ty: &'a TensorType, data: &'a [u8]) -> (Cow<'a, TensorType>, Cow<'a, [u8]>) {
    let bits = match ty.element {
        ElementType::I4 => 4,
        ElementType::I2 => 2,
        _ => return (Cow::Borrowed(ty), Cow::Borrowed(data)),
    };
    let per_byte = 8 / bits;
    // The lowest bits come first; shifts to the top and back copy the sign.
    let element = |i: usize| ((data[i / per_byte] << (8 - bits - i % per_byte * bits)) as i8 >> (8 - bits)) as u8;
    let bytes = (0..ty.element_count()).map(element).collect();
    (Cow::Owned(TensorType { element: ElementType::I8, ..ty.clone() }), Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_out() {
        let numbers = |element, count: usize, data: &[u8]| -> Vec<i8> {
            let ty = TensorType::new(element, [count]);
            let (ty, bytes) = widened(&ty, data);
            assert_eq!(ty.element, ElementType::I8);
            bytes.iter().map(|&b| b as i8).collect()
        };
        assert_eq!(numbers(ElementType::I4, 5, &[0x10, 0x87, 0x0f]), [0, 1, 7, -8, -1]);
        assert_eq!(numbers(ElementType::I2, 6, &[0b1110_0100, 0b0010]), [0, 1, -2, -1, -2, 0]);
        let ty = TensorType::new(ElementType::I8, [2]);
        assert_eq!(widened(&ty, &[1, 255]), (Cow::Borrowed(&ty), Cow::Borrowed(&[1, 255][..])));
    }
}
