//! Concatenation: what its operands' producers can write where it belongs is not copied.
//!
//! The idea: an operand that nobody needs afterwards becomes part of the result, whose bytes then live from the operand's first on; its producers'
//! indices change for that (`cranelite_tile::strided`). It costs memory where the result is long and others live meanwhile, so operands
//! become parts only as long as the arena need not grow: those written first are the first to be copied. What is copied goes
//! from the last row to the first where the result can begin where its longest operand begins.

use super::Context;
use super::copy::{self, Piece};
use crate::graph::Node;
use cranelite_tile::arena::{self, Joining};
use cranelite_tile::strided::{self, Rows};
use cranelite_tile::{Access, BufferId};
use std::collections::BTreeSet;

/// Calls and buffers that all concatenations of a model may look at to find out what can be written in its place, a second or two at most. Where there
/// are so many of them that this is used up, the others are copied.
pub const BUDGET: u64 = 1 << 24;

/// Writes `count` rows of `row_bytes` to `to`, each the pieces, which are operands of `node`.
pub fn rows(cx: &mut Context, node: &Node, count: usize, row_bytes: usize, mut pieces: Vec<Piece>, to: BufferId) {
    let free: Vec<bool> = pieces.iter().map(|p| p.table.is_none() && cx.is_last_read(node, p.from)).collect();
    // For each piece: what becomes of the calls, whether it is apart from others, when it is first written, and whether it is affordable.
    let looks = 4 * pieces.len() * (cx.program.schedule.len() + cx.program.buffers.len());
    let budget = cx.join_budget.checked_sub(looks as u64);
    cx.join_budget = budget.unwrap_or(cx.join_budget);
    let longest = (0..pieces.len()).filter(|&i| free[i]).max_by_key(|&i| pieces[i].size_bytes);
    if let Some(i) = longest {
        pieces[i].is_overwritten = true;
    }
    let place = |p: &Piece| Rows { of: to, offset_bytes: p.offset as u64, row_bytes: p.size_bytes as u64, stride_bytes: row_bytes as u64 };
    let possible = pieces.iter().zip(free).filter(|(p, free)| {
        *free
            && budget.is_some()
            && cx.size_bytes(p.from) == (p.size_bytes * count) as u64
            && strided::moved(&cx.program, p.from, place(p)).is_some()
    });
    let parts = affordable(cx, &pieces, apart(cx, possible.map(|(p, _)| *p).collect()), to);
    for p in &mut pieces {
        // The result lives before its longest operand dies.
        p.is_overwritten &= parts.is_empty();
        if parts.contains(&p.from)
            && let Some(calls) = strided::moved(&cx.program, p.from, place(p))
        {
            let changes: Vec<_> = calls.into_iter().map(|moved| (moved.call, cx.kernel(moved.kernel), moved.params)).collect();
            let mut all = cx.program.calls_mut();
            for (number, kernel, params) in changes {
                (all[number].kernel, all[number].params) = (kernel, params);
            }
            strided::make_views(&mut cx.program, p.from, place(p));
        }
    }
    pieces.retain(|p| cx.program.root(p.from).0 != to);
    copy::rows(cx, count, row_bytes, &pieces, to);
}

/// Of pieces that one call writes and uses, the longest: its arguments share no memory.
fn apart(cx: &Context, mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by_key(|p| std::cmp::Reverse(p.size_bytes));
    let (mut chosen, mut buffers): (Vec<Piece>, BTreeSet<BufferId>) = (vec![], BTreeSet::new());
    for p in pieces {
        let is_chosen = |b: &BufferId| buffers.contains(&cx.program.root(*b).0);
        let meets = cx.program.calls().any(|call| {
            let args = &cx.program.kernel(call.kernel).args;
            let named = |is: &dyn Fn(&BufferId) -> bool| {
                let accesses = call.buffers.iter().zip(args).filter(|(b, _)| is(b)).map(|(_, a)| a.access);
                accesses.collect::<Vec<Access>>()
            };
            let (own, others) = (named(&|b| cx.program.root(*b).0 == p.from), named(&is_chosen));
            !own.is_empty() && !others.is_empty() && own.iter().chain(&others).any(|a| *a != Access::Read)
        });
        if !meets {
            buffers.insert(p.from);
            chosen.push(p);
        }
    }
    chosen
}

/// The most of them, those that are written last, for which the arena need not be larger.
fn affordable(cx: &Context, pieces: &[Piece], parts: Vec<Piece>, to: BufferId) -> Vec<BufferId> {
    if parts.is_empty() {
        return vec![];
    }
    let root = |b: &BufferId| cx.program.root(*b).0;
    let first = |p: &Piece| cx.program.calls().position(|c| c.buffers.iter().any(|b| root(b) == p.from));
    let mut parts: Vec<(Option<usize>, BufferId)> = parts.iter().map(|p| (first(p), p.from)).collect();
    parts.sort_unstable();
    let parts: Vec<BufferId> = parts.into_iter().map(|p| p.1).collect();
    let overwritten = pieces.iter().find(|p| p.is_overwritten).map(|p| p.from);
    let least_bytes = |parts: &[BufferId]| {
        let copied: Vec<BufferId> = pieces.iter().map(|p| root(&p.from)).filter(|b| !parts.contains(b)).collect();
        let joining = Joining { whole: to, parts, copied: &copied, overwritten };
        arena::least_bytes_joining(&cx.program, &joining, |b| cx.is_read_later(b))
    };
    let most = least_bytes(&[]).max(cx.least_bytes);
    let skipped = (0..parts.len()).find(|&n| least_bytes(&parts[n..]) <= most);
    skipped.map_or(vec![], |n| parts[n..].to_vec())
}
