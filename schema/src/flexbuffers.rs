//! The options of custom operators: a flexbuffer whose root is a map of numbers by name.
//!
//! Not the whole format: strings, vectors and maps inside of the map are skipped, for no operator that is known here has any. The idea: every
//! access is checked when it is made, so bytes may be anything; what does not lie in them is [`Broken`].

/// The bytes are no flexbuffer, or none whose root is a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    /// Something that is no number.
    Other,
}

/// A map of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    bytes: &'a [u8],
    /// Where its values begin, how many there are, and how many bytes each has.
    values: usize,
    len: usize,
    width: usize,
    /// Where the offsets of its names begin, and how many bytes each has.
    keys: usize,
    key_width: usize,
}

const OUTSIDE: Broken = Broken("an offset points outside of the options");

impl<'a> Map<'a> {
    pub fn of(bytes: &'a [u8]) -> Result<Self, Broken> {
        let [.., packed, root_width] = *bytes else { return Err(Broken("the options are empty")) };
        let root_width = usize::from(root_width);
        if !matches!(root_width, 1 | 2 | 4 | 8) {
            return Err(Broken("the last byte is no width"));
        }
        if packed >> 2 != 9 {
            return Err(Broken("the root is no map"));
        }
        let root = (bytes.len() - 2).checked_sub(root_width).ok_or(OUTSIDE)?;
        let values = target(bytes, root, root_width)?;
        let width = 1 << (packed & 3);
        // Before the values: where the keys are, how wide they are, and how many.
        let before = |n: usize| values.checked_sub(n * width).ok_or(OUTSIDE);
        let len = size(unsigned(bytes, before(1)?, width)?)?;
        let key_width = size(unsigned(bytes, before(2)?, width)?)?;
        if !matches!(key_width, 1 | 2 | 4 | 8) {
            return Err(Broken("the width of the names is none"));
        }
        let keys = target(bytes, before(3)?, width)?;
        // A value takes its width, and a byte for its type; a name its offset.
        let fits = |from: usize, each: usize| len.checked_mul(each).and_then(|n| n.checked_add(from)).is_some_and(|end| end <= bytes.len());
        if !fits(values, width + 1) || !fits(keys, key_width) {
            return Err(OUTSIDE);
        }
        Ok(Map { bytes, values, len, width, keys, key_width })
    }

    /// The first number of that name; `None` where there is none, or a null.
    pub fn get(&self, name: &str) -> Result<Option<Number>, Broken> {
        // Where one key ends the next one begins.
        if name.contains('\0') {
            return Ok(None);
        }
        for i in 0..self.len {
            let key = target(self.bytes, self.keys + i * self.key_width, self.key_width)?;
            let key = self.bytes.get(key..).ok_or(OUTSIDE)?;
            if key.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                return self.value(i);
            }
        }
        Ok(None)
    }

    fn value(&self, i: usize) -> Result<Option<Number>, Broken> {
        let packed = *self.bytes.get(self.values + self.len * self.width + i).ok_or(OUTSIDE)?;
        let (mut at, mut width) = (self.values + i * self.width, self.width);
        // Numbers that are elsewhere, because they are wider than the others.
        if let 6..=8 = packed >> 2 {
            (at, width) = (target(self.bytes, at, width)?, 1 << (packed & 3));
        }
        Ok(match packed >> 2 {
            0 => None,
            1 | 6 => Some(Number::Integer(signed(self.bytes, at, width)?)),
            2 | 7 => Some(Number::Unsigned(unsigned(self.bytes, at, width)?)),
            3 | 8 => Some(Number::Float(float(self.bytes, at, width)?)),
            26 => Some(Number::Bool(unsigned(self.bytes, at, width)? != 0)),
            _ => Some(Number::Other),
        })
    }
}

/// Offsets count backwards from where they are.
fn target(bytes: &[u8], at: usize, width: usize) -> Result<usize, Broken> {
    at.checked_sub(size(unsigned(bytes, at, width)?)?).ok_or(OUTSIDE)
}

fn size(n: u64) -> Result<usize, Broken> {
    usize::try_from(n).map_err(|_| OUTSIDE)
}

fn unsigned(bytes: &[u8], at: usize, width: usize) -> Result<u64, Broken> {
    let found = at.checked_add(width).and_then(|end| bytes.get(at..end)).ok_or(OUTSIDE)?;
    Ok(found.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}

fn signed(bytes: &[u8], at: usize, width: usize) -> Result<i64, Broken> {
    let unused = 64 - 8 * width as u32;
    Ok((unsigned(bytes, at, width)? << unused) as i64 >> unused)
}

fn float(bytes: &[u8], at: usize, width: usize) -> Result<f64, Broken> {
    let bits = unsigned(bytes, at, width)?;
    match width {
        4 => Ok(f64::from(f32::from_bits(bits as u32))),
        8 => Ok(f64::from_bits(bits)),
        _ => Err(Broken("a float has neither 32 nor 64 bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// {"a": -3, "b": 0.5 (f32), "c": true, "d": null, "e": 200 (unsigned)}, written by hand with values of four bytes.
    fn example() -> Vec<u8> {
        let mut bytes = b"a\0b\0c\0d\0e\0\0\0".to_vec();
        let keys = bytes.len() + 4;
        bytes.extend(5u32.to_le_bytes());
        for i in 0..5 {
            bytes.extend((bytes.len() as u32 - 2 * i).to_le_bytes());
        }
        bytes.extend((bytes.len() as u32 - keys as u32).to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        let values = bytes.len();
        bytes.extend([(-3i32) as u32, 0.5f32.to_bits(), 1, 0, 200].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend([1 << 2 | 2, 3 << 2 | 2, 26 << 2, 0, 2 << 2 | 2]);
        let root = bytes.len() - values;
        bytes.extend([root as u8, 9 << 2 | 2, 1]);
        bytes
    }

    #[test]
    fn numbers_by_name() {
        let bytes = example();
        let map = Map::of(&bytes).expect("a map");
        assert_eq!(map.get("a"), Ok(Some(Number::Integer(-3))));
        assert_eq!(map.get("b"), Ok(Some(Number::Float(0.5))));
        assert_eq!(map.get("c"), Ok(Some(Number::Bool(true))));
        assert_eq!(map.get("d"), Ok(None));
        assert_eq!(map.get("e"), Ok(Some(Number::Unsigned(200))));
        assert_eq!((map.get("f"), map.get(""), map.get("a\0b")), (Ok(None), Ok(None), Ok(None)));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        let bytes = example();
        let look = |bytes: &[u8]| {
            if let Ok(map) = Map::of(bytes) {
                ["a", "b", "c", "d", "e", "f"].iter().for_each(|name| _ = map.get(name));
            }
        };
        (0..bytes.len()).for_each(|n| {
            look(&bytes[..n]);
            look(&bytes[n..]);
        });
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[at] = value;
                look(&changed);
                changed[(at * 7 + 3) % bytes.len()] ^= value;
                look(&changed);
            }
        }
        for (bytes, problem) in [(&b""[..], "empty"), (&[0, 9 << 2, 3], "width"), (&[0, 1 << 2, 1], "map"), (&[9, 9 << 2, 1], "outside")] {
            assert!(Map::of(bytes).is_err_and(|Broken(e)| e.contains(problem)), "{bytes:?}");
        }
    }
}
