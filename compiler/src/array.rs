//! Arrays in NumPy's `.npy` format: what `run` reads and writes.
//!
//! Not a general reader: little-endian numbers in C order, the element types of tensors. The idea: an array is its type and its
//! bytes, exactly as a tensor lies in memory, so nothing is ever converted.

use cranelite_graph::tensor::{ElementType, TensorType};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub element: ElementType,
    pub shape: Vec<usize>,
    /// Little endian, C order.
    pub data: Vec<u8>,
}

/// (type, NumPy's name without the byte order).
const NAMES: [(ElementType, &str); 14] = {
    use ElementType::*;
    [
        (F16, "f2"),
        (F32, "f4"),
        (F64, "f8"),
        (I8, "i1"),
        (I16, "i2"),
        (I32, "i4"),
        (I64, "i8"),
        (U8, "u1"),
        (U16, "u2"),
        (U32, "u4"),
        (U64, "u8"),
        (Bool, "b1"),
        (Complex64, "c8"),
        (Complex128, "c16"),
    ]
};

const MAGIC: &[u8] = b"\x93NUMPY";

impl Array {
    /// All bytes zero.
    pub fn zeros(ty: &TensorType) -> Array {
        Array { element: ty.element, shape: ty.shape.clone(), data: vec![0; ty.size_bytes()] }
    }

    pub fn parse(bytes: &[u8]) -> Result<Array, String> {
        let (header, data) = split(bytes).ok_or("not a .npy file")?;
        let descr = field(header, "descr").ok_or("the header names no element type")?;
        let descr = descr.trim_matches(['\'', '"']);
        let element = element(descr).ok_or_else(|| format!("element type {descr:?} is not supported"))?;
        let shape = shape(field(header, "shape").ok_or("the header names no shape")?).ok_or("the header's shape is not readable")?;
        let fortran = field(header, "fortran_order").ok_or("the header does not say the order")? == "True";
        if fortran && 1 < shape.iter().filter(|&&d| d != 1).count() {
            return Err("the array is in Fortran order; store numpy.ascontiguousarray(a)".into());
        }
        let bits = element.bits().unwrap_or(0) as usize;
        let size = shape.iter().try_fold(bits / 8, |n, &d| n.checked_mul(d)).ok_or("the shape is too large")?;
        if data.len() != size {
            return Err(format!("{} bytes of data where the header promises {size}", data.len()));
        }
        Ok(Array { element, shape, data: data.to_vec() })
    }

    /// `None` for element types that NumPy does not have.
    pub fn to_npy(&self) -> Option<Vec<u8>> {
        let (_, name) = NAMES.iter().find(|(e, _)| *e == self.element)?;
        let order = if self.element.bits() == Some(8) { '|' } else { '<' };
        let shape: String = self.shape.iter().map(|d| format!("{d},")).collect();
        let mut header = format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({shape}), }}");
        // Magic, version and length take 10 bytes; the data is to start at a multiple of 64.
        let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
        header.extend(std::iter::repeat_n(' ', padded - header.len() - 1).chain(['\n']));
        let length = u16::try_from(header.len()).ok()?;
        Some([MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes(), &self.data].concat())
    }

    pub fn describe(&self) -> String {
        describe(self.element, &self.shape)
    }
}

/// `i8 [1,49,10,1]`
pub fn describe(element: ElementType, shape: &[usize]) -> String {
    format!("{element} {}", Shape(shape))
}

/// Prints `[1,49,10,1]`.
pub struct Shape<'a>(pub &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let dims: Vec<_> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", dims.join(","))
    }
}

/// Header text and data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    let (length, rest) = match version[0] {
        1 => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), &rest[2..]),
        2 | 3 => (u32::from_le_bytes(*rest.first_chunk()?) as usize, &rest[4..]),
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The value of a key of the header, which is the text of a Python dictionary.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}':")).or_else(|| header.find(&format!("\"{key}\":")))?;
    let value = header[at + key.len() + 3..].trim_start();
    let end = if value.starts_with('(') { value.find(')')? + 1 } else { value.find([',', '}'])? };
    Some(value[..end].trim())
}

fn element(descr: &str) -> Option<ElementType> {
    let (order, name) = descr.split_at_checked(1)?;
    let &(element, _) = NAMES.iter().find(|(_, n)| *n == name)?;
    (order == "<" || order == "=" || order == "|" && element.bits() == Some(8)).then_some(element)
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    inner.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_arrays_read_back() {
        for (element, _) in NAMES {
            for shape in [vec![], vec![0], vec![3], vec![2, 3, 1]] {
                let ty = TensorType::new(element, shape.clone());
                let data = (0..ty.size_bytes()).map(|i| i as u8).collect();
                let array = Array { element, shape, data };
                let bytes = array.to_npy().unwrap();
                assert_eq!((bytes.len() - array.data.len()) % 64, 0);
                assert_eq!(Array::parse(&bytes), Ok(array));
            }
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        let good = Array { element: ElementType::I16, shape: vec![2, 2], data: vec![0; 8] }.to_npy().unwrap();
        for length in 0..good.len() {
            assert!(Array::parse(&good[..length]).is_err(), "{length}");
        }
        let replaced = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut bytes = good.clone();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            Array::parse(&bytes).unwrap_err()
        };
        assert!(replaced("'<i2'", "'>i2'").contains("not supported"));
        assert!(replaced("False", " True").contains("Fortran"));
        assert!(replaced("(2,2,)", "(2,9,)").contains("36"));
        assert!(replaced("(2,2,)", "(2,-,)").contains("shape"));
    }
}
