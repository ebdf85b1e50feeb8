//! Arrays in NumPy's `.npy` format: what `run` reads and writes.
//!
//! Not a general reader: little-endian numbers in C order, the element types of tensors. The idea: an array is its type and its
//! bytes, exactly as a tensor lies in memory, so nothing is ever converted; and what the header says is either understood or refused.

use cranelite_graph::import::InputValue;
use cranelite_graph::tensor::{ElementType, TensorType};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub element: ElementType,
    pub shape: Vec<usize>,
    /// Little endian, C order.
    pub data: Vec<u8>,
}

impl From<Array> for InputValue {
    fn from(a: Array) -> InputValue {
        InputValue { element: a.element, shape: a.shape, data: a.data.into() }
    }
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

/// What NumPy calls a type, without the byte order; `None` for types that it does not have.
pub fn numpy_name(element: ElementType) -> Option<&'static str> {
    NAMES.iter().find(|(e, _)| *e == element).map(|(_, name)| *name)
}

impl Array {
    /// All bytes zero.
    pub fn zeros(ty: &TensorType) -> Array {
        Array { element: ty.element, shape: ty.shape.clone(), data: vec![0; ty.size_bytes()] }
    }

    /// The first of its rows.
    pub fn first_rows(&self, count: usize) -> Array {
        let rows = self.shape.first().copied().unwrap_or(1);
        let count = count.min(rows);
        let mut first = self.clone();
        first.data.truncate(self.data.len().checked_div(rows).unwrap_or(0) * count);
        first.shape[..1].fill(count);
        first
    }

    pub fn parse(bytes: &[u8]) -> Result<Array, String> {
        let (header, data) = split(bytes)?;
        let Header { descr, fortran_order, shape } = Header::parse(header).ok_or_else(|| {
            let start: String = header.trim_end().chars().take(100).collect();
            format!("the header is not understood: {start}")
        })?;
        let element = element(&descr)?;
        // With one long dimension both orders are the same.
        if fortran_order && 1 < shape.iter().filter(|&&d| d != 1).count() {
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
        let name = numpy_name(self.element)?;
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
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a .npy file")?;
    let parts = || {
        let (version, rest) = rest.split_at_checked(2)?;
        let (length, rest) = match version {
            [1, 0] => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), &rest[2..]),
            [2 | 3, 0] => (u32::from_le_bytes(*rest.first_chunk()?) as usize, &rest[4..]),
            _ => return Some(Err(format!("version {}.{} of the format is not supported", version[0], version[1]))),
        };
        let (header, data) = rest.split_at_checked(length)?;
        Some(std::str::from_utf8(header).map(|header| (header, data)).map_err(|_| "the header is no text".into()))
    };
    parts().unwrap_or_else(|| Err("the file ends within its header".into()))
}

/// What a header says: the text of a Python dictionary with these keys, in any order, and no others.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// `None` for what NumPy does not write.
    fn parse(text: &str) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut words = Words(text);
        words.expect("{")?;
        while !words.take("}") {
            let key = words.string()?;
            words.expect(":")?;
            match key {
                "descr" if descr.is_none() => descr = Some(words.value()?.into()),
                "fortran_order" if fortran_order.is_none() => fortran_order = Some(words.bool()?),
                "shape" if shape.is_none() => shape = Some(words.tuple()?),
                _ => return None,
            }
            if !words.take(",") {
                words.expect("}")?;
                break;
            }
        }
        let is_all = words.0.trim().is_empty();
        is_all.then_some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// The rest of a header's text.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn take(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        rest.inspect(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, word: &str) -> Option<()> {
        self.take(word).then_some(())
    }

    /// No string that is needed has anything to escape.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(string).filter(|s| !s.contains('\\'))
    }

    /// A string, or all of a list: the text of a structured type, to be named in an error.
    fn value(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        if !text.starts_with('[') {
            return self.string();
        }
        let end = text.find(']')? + 1;
        self.0 = &text[end..];
        Some(&text[..end])
    }

    fn bool(&mut self) -> Option<bool> {
        let value = self.take("True");
        (value || self.take("False")).then_some(value)
    }

    /// `(1, 5)`, `(5,)` or `()`.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.expect("(")?;
        let (inner, rest) = self.0.split_once(')')?;
        self.0 = rest;
        if inner.trim().is_empty() {
            return Some(vec![]);
        }
        // One number without a comma is no tuple.
        let inner = inner.trim().strip_suffix(',').or(inner.contains(',').then_some(inner))?;
        let number = |d: &str| Some(d.trim()).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
        inner.split(',').map(number).collect()
    }
}

fn element(descr: &str) -> Result<ElementType, String> {
    let unsupported = || {
        let way_out = match descr.as_bytes() {
            [b'>', ..] => "; store a.astype(a.dtype.newbyteorder('<'))",
            [b'|', b'O', ..] => "; store an array of numbers",
            [b'[', ..] => "; store one field of it",
            _ => "",
        };
        format!("element type {descr:?} is not supported{way_out}")
    };
    let (order, name) = descr.split_at_checked(1).ok_or_else(unsupported)?;
    let &(element, _) = NAMES.iter().find(|(_, n)| *n == name).ok_or_else(unsupported)?;
    // The order of single bytes is any. `=` would be that of the machine that wrote the file.
    let is_little = order == "<" || element.bits() == Some(8) && ["|", ">", "="].contains(&order);
    is_little.then_some(element).ok_or_else(unsupported)
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
        assert!(replaced("(2,2,)", "(2,-,)").contains("not understood"));
    }

    /// A file of that version with that header, and as many bytes of data.
    fn file(version: [u8; 2], header: &str, data: usize) -> Vec<u8> {
        let length = header.len() as u32;
        let length = if version[0] == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        [MAGIC, &version, &length, header.as_bytes(), &vec![1; data]].concat()
    }

    #[test]
    fn headers_as_numpy_and_others_write_them() {
        for (header, shape) in [
            ("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n", vec![2, 3]),
            ("{'descr': '<i2', 'fortran_order': False, 'shape': (6,), }", vec![6]),
            ("{\"shape\":(3,2),\"descr\":\"<i2\",\"fortran_order\":False}\n", vec![3, 2]),
            ("{ 'fortran_order' : True , 'shape' : ( 1 , 6 , 1 ) , 'descr' : '<i2' }", vec![1, 6, 1]),
            ("{'descr': '<i2', 'fortran_order': False, 'shape': (6, 1,)}", vec![6, 1]),
        ] {
            for version in [[1, 0], [2, 0], [3, 0]] {
                let array = Array::parse(&file(version, header, 12)).unwrap();
                assert_eq!((array.element, array.shape, array.data), (ElementType::I16, shape.clone(), vec![1; 12]), "{header}");
            }
        }
        let scalar = Array::parse(&file([1, 0], "{'descr': '|b1', 'fortran_order': False, 'shape': (), }", 1)).unwrap();
        assert_eq!((scalar.element, scalar.shape), (ElementType::Bool, vec![]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let header = |descr: &str, order: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
        for (what, text) in [
            (header("'<i2'", "1", "(2, 3)"), "not understood"),
            (header("'<i2'", "0", "(2, 3)"), "not understood"),
            (header("'<i2'", "'True'", "(2, 3)"), "not understood"),
            (header("'<i2'", "true", "(2, 3)"), "not understood"),
            (header("'<i2'", "False", "(6)"), "not understood"),
            (header("'<i2'", "False", "[2, 3]"), "not understood"),
            (header("'<i2'", "False", "(2, 3.0)"), "not understood"),
            (header("'<i2'", "False", "(2, +3)"), "not understood"),
            (header("'<i2'", "False", "(-2, -3)"), "not understood"),
            (header("'<i2'", "False", "(2,, 3)"), "not understood"),
            (header("'<i2'", "False", "(99999999999999999999, 3)"), "not understood"),
            (header("'<i2'", "False", "(9223372036854775807, 3)"), "too large"),
            (header("<i2", "False", "(2, 3)"), "not understood"),
            (header("'<i2'", "False", "(2, 3), 'more': 1"), "not understood"),
            (header("'<i2'", "False", "(2, 3), 'shape': (3, 2)"), "not understood"),
            (header("'<i2'", "False", "(2, 3)") + "x", "not understood"),
            ("{'descr': '<i2', 'shape': (2, 3)}".into(), "not understood"),
            ("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)".into(), "not understood"),
            ("".into(), "not understood"),
            (header("'<i2'", "True", "(2, 3)"), "Fortran"),
            (header("'>i2'", "False", "(2, 3)"), "newbyteorder"),
            (header("'=i2'", "False", "(2, 3)"), "not supported"),
            (header("'|O'", "False", "(2, 3)"), "array of numbers"),
            (header("'|S2'", "False", "(2, 3)"), "not supported"),
            (header("'<M8[ns]'", "False", "(2, 3)"), "not supported"),
            (header("''", "False", "(2, 3)"), "not supported"),
            (header("'é2'", "False", "(2, 3)"), "not supported"),
            (header("[('a', '<i2'), ('b', '<i2')]", "False", "(3,)"), "one field"),
            (header("'<i2'", "False", "(2, 2)"), "promises 8"),
            (header("'<i2'", "False", "(2, 4)"), "promises 16"),
        ] {
            let error = Array::parse(&file([1, 0], &what, 12)).unwrap_err();
            assert!(error.contains(text), "{what}: {error}");
        }
        let good = header("'<i2'", "False", "(2, 3)");
        assert!(Array::parse(&file([4, 0], &good, 12)).unwrap_err().contains("version 4.0"));
        assert!(Array::parse(&file([1, 1], &good, 12)).unwrap_err().contains("version 1.1"));
        let mut bytes = file([2, 0], &good, 12);
        bytes[8..12].copy_from_slice(&[0xff; 4]);
        assert!(Array::parse(&bytes).unwrap_err().contains("ends within its header"));
        bytes[8..12].copy_from_slice(&(good.len() as u32).to_le_bytes());
        bytes[12] = 0xff;
        assert!(Array::parse(&bytes).unwrap_err().contains("no text"));
    }
}
