//! Does a plan destroy anything? Asked of the placed program alone.
//!
//! Not the planner, and no line of it is used here, so that a mistake there is found here. The idea: at every step, every two
//! buffers that hold something then must be apart, but for an output that replaces its input. Whether calls that run at the same time
//! then stay out of each other's way is the verifier's business.

use crate::program::*;

/// The first fault found, in words.
pub fn check(program: &Program) -> Result<(), String> {
    let steps: Vec<&[Call]> = program.schedule.iter().map(Step::calls).collect();
    let name = |id: BufferId| format!("`{}`", program.buffer(id).name);
    // Which calls name a buffer, itself or through its views.
    let named = |id: BufferId, call: &Call| call.buffers.iter().filter(|&&b| owner(program, b) == id).count();
    let uses = |id: BufferId, step: &[Call]| step.iter().any(|c| 0 < named(id, c));
    let mut live: Vec<(BufferId, u64, u64, usize, usize)> = vec![];
    for id in (0..program.buffers.len() as u32).map(BufferId) {
        let buffer = program.buffer(id);
        let first = steps.iter().position(|s| uses(id, s));
        let last = steps.iter().rposition(|s| uses(id, s));
        // What the caller writes must last until it is read, and what it reads until it does, after the last step.
        let (first, last) = match (buffer.role, first, last) {
            (Role::Input(_), _, last) => (0, last.unwrap_or(0)),
            (Role::Output(_), first, _) => (first.unwrap_or(0), steps.len()),
            (_, Some(first), Some(last)) => (first, last),
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
                live.push((id, start, end, first, last));
            }
            (_, Some(_)) => return Err(format!("{} is a constant, but has a place in the arena", name(id))),
            (_, None) => {}
        }
    }
    for (n, &(a, a_start, a_end, a_first, a_last)) in live.iter().enumerate() {
        for &(b, b_start, b_end, b_first, b_last) in &live[n + 1..] {
            let shared_bytes = a_end.min(b_end).saturating_sub(a_start.max(b_start));
            let (from, to) = (a_first.max(b_first), a_last.min(b_last));
            if shared_bytes == 0 || to < from {
                continue;
            }
            let replaces = |new: BufferId, old: BufferId| {
                let by = |call: &Call| {
                    let position = |id| call.buffers.iter().position(|&x| x == id);
                    let (Some(new_arg), Some(old_arg)) = (position(new), position(old)) else { return false };
                    let allowed = program.kernel(call.kernel).args[new_arg].in_place_of == Some(Arg(old_arg as u32));
                    allowed && named(new, call) == 1 && named(old, call) == 1
                };
                steps[from].iter().filter(|c| 0 < named(new, c)).all(by)
            };
            let in_place = from == to && a_start == b_start && (a_last == b_first && replaces(b, a) || b_last == a_first && replaces(a, b));
            if !in_place {
                return Err(format!("{} and {} share {shared_bytes} bytes in steps {from}..={to}", name(a), name(b)));
            }
        }
    }
    Ok(())
}

fn owner(program: &Program, mut id: BufferId) -> BufferId {
    while let Some(view) = program.buffer(id).view {
        id = view.parent;
    }
    id
}
