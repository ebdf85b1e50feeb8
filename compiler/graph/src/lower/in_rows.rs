//! Parts of rows that are read where they are, instead of being copied.
//!
//! The idea: SPLIT, SLICE, UNPACK and their like copy a part of every row of an array. When all calls are written, those that read the copy may read
//! the rows themselves (`cranelite_tile::strided`), if each of their accesses stays in one row, nobody changes the array or the copy later, and no
//! arena grows: the array lives as long as what is read of it.

use super::Context;
use cranelite_tile::arena;
use cranelite_tile::strided::{self, Rows};
use cranelite_tile::{Access, BufferId, Role, Step, View};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A step that does nothing but copy the rows of an array to a buffer, whole.
pub struct RowCopy {
    pub step: usize,
    pub to: BufferId,
    pub rows: Rows,
    /// What the array was a part of, then: if it has become a part of longer rows, these are no longer its rows.
    pub of: Option<View>,
}

/// Leaves out the copies that are not needed.
pub fn leave_out(cx: &mut Context) {
    let mut by_array: BTreeMap<BufferId, Vec<RowCopy>> = BTreeMap::new();
    for copy in std::mem::take(&mut cx.row_copies) {
        by_array.entry(copy.rows.of).or_default().push(copy);
    }
    // A part of a part before the part itself, whose views follow it.
    let mut by_array: Vec<Vec<RowCopy>> = by_array.into_values().collect();
    by_array.sort_by_key(|copies| Reverse(copies[0].step));
    for copies in by_array {
        // As for concatenations.
        let looks = 8 * (1 + copies.len()) * (cx.program.schedule.len() + cx.program.buffers.len());
        let Some(budget) = cx.join_budget.checked_sub(looks as u64) else { break };
        cx.join_budget = budget;
        let copies: Vec<RowCopy> = copies.into_iter().filter(|c| !changes_later(cx, c)).collect();
        if copies.is_empty() {
            continue;
        }
        // The array lives on for each of them, so that all may cost nothing where one does.
        if !leave_out_together(cx, &copies) && 1 < copies.len() {
            for one in copies.chunks(1) {
                leave_out_together(cx, one);
            }
        }
    }
    cx.program.schedule.retain(|s| !matches!(s, Step::Parallel(calls) if calls.is_empty()));
}

/// Whether a later call writes to the array or to the copy.
fn changes_later(cx: &Context, copy: &RowCopy) -> bool {
    let places = [cx.root(copy.rows.of), cx.root(copy.to)];
    let mut open: Vec<&Step> = cx.program.schedule[copy.step + 1..].iter().collect();
    while let Some(step) = open.pop() {
        open.extend(step.bodies().into_iter().flatten());
        for call in step.calls() {
            let args = &cx.program.kernel(call.kernel).args;
            let written = call.buffers.iter().zip(args).filter(|(_, a)| a.access != Access::Read);
            if written.into_iter().any(|(b, _)| places.contains(&cx.root(*b))) {
                return true;
            }
        }
    }
    false
}

/// Leaves out those copies whose readers can do without, if that makes no arena grow; says whether it did.
fn leave_out_together(cx: &mut Context, copies: &[RowCopy]) -> bool {
    let most = arena::least_bytes(&cx.program).max(cx.least_bytes);
    let before = (cx.program.schedule.clone(), cx.program.buffers.clone());
    for copy in copies {
        let role = |b: BufferId| cx.program.buffer(cx.root(b)).role;
        let is_another = cx.program.buffer(copy.rows.of).view != copy.of;
        if is_another || role(copy.to) != Role::Scratch || role(copy.rows.of) == Role::Const || cx.program.buffer(copy.to).view.is_some() {
            continue;
        }
        let step = std::mem::replace(&mut cx.program.schedule[copy.step], Step::Parallel(vec![]));
        let Some(calls) = strided::moved(&cx.program, copy.to, copy.rows) else {
            cx.program.schedule[copy.step] = step;
            continue;
        };
        let changes: Vec<_> = calls.into_iter().map(|moved| (moved.call, cx.kernel(moved.kernel), moved.params)).collect();
        let mut all = cx.program.calls_mut();
        for (number, kernel, params) in changes {
            (all[number].kernel, all[number].params) = (kernel, params);
        }
        strided::make_views(&mut cx.program, copy.to, copy.rows);
    }
    let is_affordable = arena::least_bytes(&cx.program) <= most;
    if !is_affordable {
        (cx.program.schedule, cx.program.buffers) = before;
    }
    is_affordable
}
