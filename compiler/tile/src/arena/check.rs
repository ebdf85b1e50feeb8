//! Does a plan destroy anything? Asked of the placed program alone.
//!
//! Not the planner, and no line of it is used here, so that a mistake there is found here. The idea: at every step, every two
//! buffers that hold something then must be apart, but for an output that replaces its input. Buffers are looked at in the order in which they
//! begin to live, beside those that live then: these are apart, so whatever meets a new one is next to its place. Whether calls that
//! run at the same time then stay out of each other's way is the verifier's business.

use crate::program::*;
use std::collections::{BTreeMap, BTreeSet};

/// A buffer in the arena, from its first to its last step.
#[derive(Clone, Copy)]
struct Life {
    id: BufferId,
    start: u64,
    end: u64,
    first: usize,
    last: usize,
}

/// The first fault found, in words.
pub fn check(program: &Program) -> Result<(), String> {
    let mut lives = lives(program)?;
    lives.retain(|l| l.start < l.end);
    lives.sort_by_key(|l| (l.first, l.id));
    // What lives now, by start: no two of them meet. And by last step.
    let (mut now, mut ends): (BTreeMap<u64, Life>, BTreeSet<(usize, u64)>) = Default::default();
    // What lives in this very step and for the rest of it is in the same place as something of `now`.
    let (mut step, mut replaced): (usize, Vec<Life>) = (0, vec![]);
    for new in lives {
        if step < new.first {
            step = new.first;
            replaced.clear();
            while let Some(&(last, start)) = ends.first().filter(|e| e.0 < step) {
                ends.remove(&(last, start));
                now.remove(&start);
            }
        }
        let met: Vec<Life> = now.range(..new.end).rev().map(|(_, l)| *l).take_while(|l| new.start < l.end).collect();
        for &old in met.iter().chain(&replaced).filter(|l| l.start < new.end && new.start < l.end) {
            if !is_in_place(program, old, new) {
                return Err(fault(program, old, new));
            }
        }
        // In place they begin at the same byte, so there is one at most, and one of the two ends in this step.
        match met.first() {
            Some(&old) if old.last == step => {
                ends.remove(&(old.last, old.start));
                replaced.push(old);
            }
            Some(_) => {
                replaced.push(new);
                continue;
            }
            None => {}
        }
        now.insert(new.start, new);
        ends.insert((new.last, new.start));
    }
    Ok(())
}

/// What has a place, if every place is one that can be.
fn lives(program: &Program) -> Result<Vec<Life>, String> {
    let name = |id: BufferId| format!("`{}`", program.buffer(id).name);
    // By buffer: the first and the last step that names it, itself or through its views.
    let mut uses: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    for (step, calls) in program.schedule.iter().map(Step::calls).enumerate() {
        for &b in calls.iter().flat_map(|c| &c.buffers) {
            let of = &mut uses[owner(program, b).0 as usize];
            *of = Some((of.map_or(step, |(first, _)| first), step));
        }
    }
    let mut lives = vec![];
    for (id, uses) in (0..).map(BufferId).zip(uses) {
        let buffer = program.buffer(id);
        // What the caller writes must last until it is read, and what it reads until it does, after the last step.
        let (first, last) = match (buffer.role, uses) {
            (Role::Input(_), uses) => (0, uses.map_or(0, |u| u.1)),
            (Role::Output(_), uses) => (uses.map_or(0, |u| u.0), program.schedule.len()),
            (_, Some(uses)) => uses,
            _ => continue,
        };
        if buffer.view.is_some() {
            continue;
        }
        match (buffer.role, buffer.offset_bytes) {
            (Role::Scratch, None) => return Err(format!("{} has no place", name(id))),
            (Role::Scratch | Role::Input(_) | Role::Output(_), Some(start)) => {
                if start % u64::from(buffer.align) != 0 {
                    return Err(format!("{} is at {start}, not aligned to {}", name(id), buffer.align));
                }
                let end = start.checked_add(buffer.size_bytes).ok_or_else(|| format!("{} has no end", name(id)))?;
                lives.push(Life { id, start, end, first, last });
            }
            (_, Some(_)) => return Err(format!("{} is a constant, but has a place in the arena", name(id))),
            (_, None) => {}
        }
    }
    Ok(lives)
}

/// The steps in which both live.
fn common(a: Life, b: Life) -> (usize, usize) {
    (a.first.max(b.first), a.last.min(b.last))
}

/// Whether one of two that share bytes takes the other one's place, in the only step in which both live.
fn is_in_place(program: &Program, a: Life, b: Life) -> bool {
    let (from, to) = common(a, b);
    let replaces = |new: BufferId, old: BufferId| {
        // How often a call names a buffer, itself or through its views.
        let named = |id: BufferId, call: &Call| call.buffers.iter().filter(|&&b| owner(program, b) == id).count();
        let by = |call: &Call| {
            let position = |id| call.buffers.iter().position(|&x| x == id);
            let (Some(new_arg), Some(old_arg)) = (position(new), position(old)) else { return false };
            let allowed = program.kernel(call.kernel).args[new_arg].in_place_of == Some(Arg(old_arg as u32));
            allowed && named(new, call) == 1 && named(old, call) == 1
        };
        let mut naming = program.schedule.get(from).map_or(&[][..], Step::calls).iter().filter(|c| 0 < named(new, c)).peekable();
        naming.peek().is_some() && naming.all(by)
    };
    from == to && a.start == b.start && (a.last == b.first && replaces(b.id, a.id) || b.last == a.first && replaces(a.id, b.id))
}

fn fault(program: &Program, a: Life, b: Life) -> String {
    let ((from, to), shared_bytes) = (common(a, b), a.end.min(b.end) - a.start.max(b.start));
    let [a, b] = [a.id.min(b.id), a.id.max(b.id)].map(|id| &program.buffer(id).name);
    format!("`{a}` and `{b}` share {shared_bytes} bytes in steps {from}..={to}")
}

fn owner(program: &Program, mut id: BufferId) -> BufferId {
    while let Some(view) = program.buffer(id).view {
        id = view.parent;
    }
    id
}
