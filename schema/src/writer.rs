//! From tables in memory to the bytes of a file.
//!
//! The idea: offsets lead forward, so what has them is written before what they lead to, and their places are filled in then. Vectors lie at multiples of what the schema says
//! of them, as readers in C++ want it; flatc's builders for Rust do not keep that.

use crate::tree::{Node, Tree, Uncopied, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Offsets have 32 bits, of which some readers take one for a sign.
const MOST_BYTES: usize = i32::MAX as usize;

/// What is still to be written, and where the offset to it stands.
enum Part<'n, 'a> {
    Table(&'n Node<'a>),
    Tables(&'n [Node<'a>]),
    Texts(&'n [Cow<'a, [u8]>]),
    Bytes { data: &'n [u8], size: usize, alignment: usize, is_text: bool },
}

impl Tree<'_> {
    /// The bytes of a file.
    pub fn write(&self) -> Result<Vec<u8>, Uncopied> {
        let mut out = [&[0; 4], &b"TFL3"[..]].concat();
        let mut layouts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut parts = vec![(0, Part::Table(&self.model))];
        while let Some((place, part)) = parts.pop() {
            // Strictly inside of the limit, whatever a part adds.
            let size = if let Part::Bytes { data, .. } = &part { data.len() } else { 0 };
            if MOST_BYTES < out.len() + size + 64 {
                return Err(Uncopied::TooLarge);
            }
            let (at, inner) = match part {
                Part::Table(node) => table(&mut out, &mut layouts, node),
                Part::Tables(all) => vector(&mut out, all.iter().map(Part::Table)),
                Part::Texts(all) => vector(&mut out, all.iter().map(|data| Part::Bytes { data, size: 1, alignment: 4, is_text: true })),
                Part::Bytes { data, size, alignment, is_text } => {
                    pad(&mut out, alignment.max(4), 4);
                    let at = out.len();
                    out.extend(((data.len() / size) as u32).to_le_bytes());
                    out.extend(data);
                    out.extend(is_text.then_some(0));
                    (at, vec![])
                }
            };
            out[place..place + 4].copy_from_slice(&((at - place) as u32).to_le_bytes());
            // The last one is taken first.
            parts.extend(inner.into_iter().rev());
        }
        pad(&mut out, 16, 0);
        Ok(out)
    }
}

/// Makes `ahead` bytes end at a multiple of an alignment.
fn pad(out: &mut Vec<u8>, alignment: usize, ahead: usize) {
    let end = (out.len() + ahead).next_multiple_of(alignment);
    out.resize(end - ahead, 0);
}

type Parts<'n, 'a> = Vec<(usize, Part<'n, 'a>)>;

fn vector<'n, 'a>(out: &mut Vec<u8>, parts: impl ExactSizeIterator<Item = Part<'n, 'a>>) -> (usize, Parts<'n, 'a>) {
    pad(out, 4, 0);
    let at = out.len();
    out.extend((parts.len() as u32).to_le_bytes());
    let parts = parts.enumerate().map(|(i, part)| (at + 4 + 4 * i, part)).collect();
    out.resize(out.len() + 4 * Vec::len(&parts), 0);
    (at, parts)
}

fn table<'n, 'a>(out: &mut Vec<u8>, layouts: &mut BTreeMap<Vec<u8>, usize>, node: &'n Node<'a>) -> (usize, Parts<'n, 'a>) {
    let size = |v: &Value| if let Value::Scalar(_, size) = v { *size } else { 4 };
    let mut fields: Vec<(&usize, &Value)> = node.fields.iter().collect();
    // Long ones first, so that nothing lies between them but at the beginning.
    fields.sort_by_key(|(_, v)| std::cmp::Reverse(size(v)));
    let alignment = fields.first().map_or(4, |(_, v)| size(v).max(4));
    // The offset to the layout has four bytes; the table begins where what follows is aligned.
    let mut end = 4;
    let mut places = vec![0_u16; node.fields.keys().next_back().map_or(0, |last| last + 1)];
    for (position, v) in &fields {
        places[**position] = end as u16;
        end += size(v);
    }
    let layout: Vec<u8> = [4 + 2 * places.len() as u16, end as u16].iter().chain(&places).flat_map(|x| x.to_le_bytes()).collect();
    let layout_at = *layouts.entry(layout).or_insert_with_key(|layout| {
        pad(out, 2, 0);
        out.extend(layout);
        out.len() - layout.len()
    });
    pad(out, alignment, 4);
    let at = out.len();
    out.extend(((at - layout_at) as i32).to_le_bytes());
    let mut parts = vec![];
    for (_, value) in fields {
        let part = match value {
            Value::Scalar(bytes, size) => {
                out.extend(&bytes[..*size]);
                continue;
            }
            Value::Bytes { data, size, alignment, is_text } => Part::Bytes { data, size: *size, alignment: *alignment, is_text: *is_text },
            Value::Table(node) => Part::Table(node),
            Value::Tables(all) => Part::Tables(all),
            Value::Texts(all) => Part::Texts(all),
        };
        parts.push((out.len(), part));
        out.extend([0; 4]);
    }
    (at, parts)
}
