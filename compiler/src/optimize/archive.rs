//! The ZIP archive behind a model, which has the files that its metadata names: lists of labels and the like.
//!
//! Not read, only moved. The idea: archives are found from the end of a file; most count their places from the file's beginning, and these are counted anew.

use cranelite_graph::diagnostic::{Code, Diagnostic};
use std::ops::Range;

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
/// Of the last record, without a comment, which is as long as its last two bytes say.
const END_BYTES: usize = 22;
const MOST_COMMENT_BYTES: usize = 1 << 16;
const ENTRY_BYTES: usize = 46;

/// A new model with the archive of an old one behind it.
pub fn moved(old: &[u8], mut model: Vec<u8>) -> Result<Vec<u8>, Diagnostic> {
    let from = old.len().saturating_sub(END_BYTES + MOST_COMMENT_BYTES);
    let is_end = |at: &usize| old[*at..].starts_with(END) && number(old, at + 20, 2).is_some_and(|n| at + END_BYTES + n == old.len());
    let Some(end) = (from..old.len()).rev().find(is_end) else { return Ok(model) };
    let parts = Parts::find(old, end).ok_or_else(|| {
        Diagnostic::new(Code::METADATA, "the archive behind the model is damaged")
            .help("change the file with --prune and --palette alone, which keep all else as it is")
    })?;
    let start = model.len();
    model.extend(&old[parts.whole.start..]);
    if parts.is_from_file {
        // Both are far below 4 GiB.
        let again = |at: usize| (at - parts.whole.start + start, at);
        for place in parts.places {
            let (new, at) = again(place);
            let moved = number(old, at, 4).unwrap_or(0) - parts.whole.start + start;
            model[new..new + 4].copy_from_slice(&(moved as u32).to_le_bytes());
        }
    }
    Ok(model)
}

struct Parts {
    whole: Range<usize>,
    /// Whether numbers of bytes count from the file's beginning, not from the archive's.
    is_from_file: bool,
    /// Where these numbers stand.
    places: Vec<usize>,
}

impl Parts {
    fn find(file: &[u8], end: usize) -> Option<Parts> {
        let (count, size, offset) = (number(file, end + 10, 2)?, number(file, end + 12, 4)?, number(file, end + 16, 4)?);
        let directory = end.checked_sub(size)?;
        let base = directory.checked_sub(offset)?;
        let (mut at, mut first, mut places) = (directory, directory, vec![end + 16]);
        for _ in 0..count {
            if !file.get(at..end)?.starts_with(ENTRY) {
                return None;
            }
            places.push(at + 42);
            first = first.min(base + number(file, at + 42, 4)?);
            let lengths = [28, 30, 32].map(|field| number(file, at + field, 2));
            at += ENTRY_BYTES + lengths.into_iter().sum::<Option<usize>>()?;
        }
        (at == end).then_some(Parts { whole: first..file.len(), is_from_file: base == 0, places })
    }
}

fn number(file: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = file.get(at..at + size)?;
    Some(bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
}
