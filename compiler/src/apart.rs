//! A place for every scratch buffer, none shared: stands in for the planner of arenas until that is there.
//!
//! Right, but not small.

use cranelite_tile::{BufferId, Program, Role};

pub struct Plan {
    pub arena_size_bytes: u64,
    pub lower_bound_bytes: u64,
    pub peak: Vec<BufferId>,
}

pub fn plan(program: &mut Program) -> Plan {
    let (mut end, mut peak) = (0, vec![]);
    for (i, b) in program.buffers.iter_mut().enumerate().filter(|(_, b)| b.role == Role::Scratch && b.view.is_none()) {
        let offset: u64 = end;
        b.offset_bytes = Some(offset.next_multiple_of(b.align.into()));
        end = offset.next_multiple_of(b.align.into()) + b.size_bytes;
        peak.push(BufferId(i as u32));
    }
    Plan { arena_size_bytes: end, lower_bound_bytes: end, peak }
}
