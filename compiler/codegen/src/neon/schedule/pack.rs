//! Registers that are free in a part of every turn.
//!
//! Not the allocator, which gives a value that goes from turn to turn a register for all of the loop. The idea: such a value is read for the last time, and the
//! next one is loaded later; in between values of one turn have the register, under its name.

use super::graph::Node;
use super::list::{Around, Counts};

/// A register that goes from turn to turn: the number of what the turn finds in it, and of what it leaves in it.
pub type Carried = (u32, u32);

/// Values of one turn and the carried registers whose names they get, and how many registers too many the order needs then, summed over all instructions.
pub fn packed(nodes: &[Node], around: &Around, order: &[usize], carried: &[Carried], there: Counts) -> (Vec<(u32, u32)>, Counts) {
    let end = 2 * order.len() + 1;
    let mut spans: Vec<Option<(usize, usize)>> = around.before.iter().map(|b| b.then_some((0, 0))).collect();
    for (at, n) in order.iter().enumerate() {
        let step = &nodes[*n].timed;
        let all = step.reads.iter().map(|r| (*r, 2 * at)).chain(step.writes.iter().map(|w| (*w, 2 * at + 1)));
        for (r, at) in all {
            let span = spans[r as usize].get_or_insert((at, at));
            *span = (span.0.min(at), span.1.max(at));
        }
    }
    around.after.iter().zip(&mut spans).filter(|(after, _)| **after).for_each(|(_, s)| *s = Some((s.map_or(0, |s| s.0), end)));

    // From where on the register is free, and until when.
    let span = |r: u32| spans[r as usize].unwrap_or((0, 0));
    let mut holes: Vec<(u32, usize, usize)> = carried.iter().map(|&(old, new)| (old, span(old).1, span(new).0)).collect();
    let is_carried = |r: u32| carried.iter().any(|c| c.0 == r || c.1 == r);
    let mut values: Vec<(usize, usize, u32)> = vec![];
    let mut usage = vec![around.through; end + 1];
    let mut take = |r: u32, from: usize, to: usize| {
        let counts = &around.counts[r as usize];
        usage[from..=to].iter_mut().for_each(|u| u.iter_mut().zip(counts).for_each(|(u, c)| *u += c));
    };
    for (r, s) in spans.iter().enumerate() {
        let r = r as u32;
        match s {
            _ if is_carried(r) => {}
            Some((from, to)) if around.before[r as usize] || around.after[r as usize] => take(r, *from, *to),
            Some((from, to)) => values.push((*from, *to, r)),
            None => {}
        }
    }
    carried.iter().for_each(|c| take(c.0, 0, end));
    values.sort();
    let mut names = vec![];
    for (from, to, v) in values {
        let fits = |h: &&mut (u32, usize, usize)| h.1 < from && to < h.2 && around.counts[h.0 as usize] == around.counts[v as usize];
        // The one that is taken back first.
        match holes.iter_mut().filter(fits).min_by_key(|h| (h.2, std::cmp::Reverse(h.1))) {
            Some(hole) => {
                hole.1 = to;
                names.push((v, hole.0));
            }
            None => take(v, from, to),
        }
    }
    let mut excess = [0; 3];
    usage.iter().for_each(|u| (0..3).for_each(|c| excess[c] += (u[c] - there[c]).max(0)));
    (names, excess)
}
