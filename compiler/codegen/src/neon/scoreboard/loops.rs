//! Loops of machine code that was not made here, or was: found by their branches back.

use std::ops::Range;

/// How many instructions a branch goes forward, or back if negative; nothing for calls, returns and all else.
fn distance(word: u32) -> Option<i64> {
    let field = |bits: u32, at: u32| i64::from(((word >> at) << (32 - bits)) as i32 >> (32 - bits));
    match word >> 24 {
        0x14..=0x17 => Some(field(26, 0)),
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => Some(field(19, 5)),
        0x36 | 0x37 | 0xb6 | 0xb7 => Some(field(14, 5)),
        _ => None,
    }
}

/// The loops, from where a branch goes back to up to the branch. Several branches back to one place are one loop.
pub fn loops(words: &[u32]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = vec![];
    for (at, word) in words.iter().enumerate() {
        let back = distance(*word).filter(|d| *d <= 0).and_then(|d| at.checked_sub(d.unsigned_abs() as usize));
        match back.map(|start| (start, out.iter_mut().find(|l| l.start == start))) {
            Some((_, Some(other))) => other.end = at + 1,
            Some((start, None)) => out.push(start..at + 1),
            None => {}
        }
    }
    out
}

/// Is the first loop within the second?
pub fn is_within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    inner != outer && outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_back_are_loops() {
        // nop; L: nop; M: nop; b.ne M; tbz x3, #5, L; b L; cbz x0 forward; bl back
        let words = [0xd503_201f, 0xd503_201f, 0xd503_201f, 0x54ff_ffe1, 0x362f_ffa3, 0x17ff_fffc, 0xb400_0040, 0x97ff_fffd];
        assert_eq!(loops(&words), [2..4, 1..6]);
        assert!(is_within(&(2..4), &(1..6)) && !is_within(&(1..6), &(1..6)));
    }
}
