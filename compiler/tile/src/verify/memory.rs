//! Buffers, and what calls do with them as a whole.
//!
//! Not single accesses. The idea: every buffer is a range of bytes of a root (itself, if it is no view), and roots have ranges of the
//! arena once planned; whether two arguments share bytes is a question about ranges.

use super::Error;
use crate::program::*;
use std::collections::BTreeSet;

/// Bytes in all that a buffer may have: more is not addressable anyway, and sums of sizes must not overflow.
const SIZE_LIMIT_BYTES: u64 = 1 << 48;

pub fn check_buffers(program: &Program) -> Vec<Error> {
    let mut errors = vec![];
    let mut positions = BTreeSet::new();
    for (i, b) in program.buffers.iter().enumerate() {
        let mut fail = |message: &str| errors.push(Error::of_program(format!("b{i} {:?}: {message}", b.name)));
        if SIZE_LIMIT_BYTES < b.size_bytes || b.offset_bytes.is_some_and(|at| SIZE_LIMIT_BYTES < at) {
            fail("is too large or too far away");
        }
        if !b.align.is_power_of_two() {
            fail("the alignment must be a power of two");
        }
        match (&b.data, b.view, b.role) {
            (None, None, Role::Const) => fail("a constant must have data"),
            (Some(_), None, Role::Input(_) | Role::Output(_) | Role::Scratch) => fail("only a constant has data"),
            (Some(_), Some(_), _) => fail("a view has no data of its own"),
            (Some(d), None, Role::Const) if d.len() as u64 != b.size_bytes => fail("the data has another size"),
            _ => {}
        }
        if let Some(at) = b.offset_bytes {
            if b.view.is_some() || b.role == Role::Const {
                fail("only what is neither a view nor a constant has a place of its own in the arena");
            } else if !at.is_multiple_of(u64::from(b.align.max(1))) {
                fail("its place in the arena is not aligned");
            }
        }
        if let Some(v) = b.view {
            match (root(program, BufferId(i as u32)), program.buffers.get(v.parent.0 as usize)) {
                (Some(_), Some(p)) => {
                    if p.role != b.role {
                        fail("a view must have the role of what it is a view of");
                    }
                    if v.offset_bytes.checked_add(b.size_bytes).is_none_or(|end| p.size_bytes < end) {
                        fail("the view passes the end of what it is a view of");
                    }
                }
                _ => fail("a view of a buffer that does not exist, or of itself"),
            }
        }
        let is_callers = b.view.is_none() && matches!(b.role, Role::Input(_) | Role::Output(_));
        if is_callers && !positions.insert(b.role) {
            fail("has the position in the signature of another buffer");
        }
    }
    errors.truncate(super::ERRORS_LIMIT);
    errors
}

/// The buffer that owns the bytes and where in it they begin; `None` if the chain of views does not end or its offsets are too large.
fn root(program: &Program, mut id: BufferId) -> Option<(BufferId, u64)> {
    let mut offset = 0u64;
    for _ in 0..=program.buffers.len() {
        let b = program.buffers.get(id.0 as usize)?;
        match b.view {
            None => return Some((id, offset)),
            Some(v) => {
                offset = offset.checked_add(v.offset_bytes).filter(|o| *o <= SIZE_LIMIT_BYTES)?;
                id = v.parent;
            }
        }
    }
    None
}

/// Whether a call names as many existing buffers and as many parameters as its kernel has.
pub fn fits_kernel(program: &Program, kernel: &Kernel, call: &Call) -> bool {
    call.buffers.len() == kernel.args.len()
        && call.params.len() == kernel.params.len()
        && call.buffers.iter().all(|b| (b.0 as usize) < program.buffers.len())
}

/// Arguments of all calls, for a program of sound buffers.
pub fn check_schedule(program: &Program) -> Vec<Error> {
    let mut errors = vec![];
    // By root; the caller's inputs and constants have contents from the beginning.
    let mut written: Vec<bool> = program.buffers.iter().map(|b| matches!(b.role, Role::Input(_) | Role::Const)).collect();
    let mut number = 0;
    for step in &program.schedule {
        // What calls of one step write, none of them may read.
        let mut new = vec![];
        for call in step.calls() {
            check_call(program, call, number, &written, &mut new, &mut errors);
            number += 1;
        }
        new.into_iter().for_each(|root: BufferId| written[root.0 as usize] = true);
    }
    for (i, b) in program.buffers.iter().enumerate() {
        if matches!(b.role, Role::Output(_)) && b.view.is_none() && !written[i] && 0 < b.size_bytes {
            errors.push(Error::of_program(format!("b{i} {:?}: no call writes this output", b.name)));
        }
    }
    errors
}

/// `written`: which roots have contents before the step; `new`: those that its calls write.
fn check_call(program: &Program, call: &Call, i: usize, written: &[bool], new: &mut Vec<BufferId>, errors: &mut Vec<Error>) {
    let Some(kernel) = program.kernels.get(call.kernel.0 as usize) else {
        errors.push(Error::of_program(format!("kernel {} does not exist", call.kernel.0)).in_call(i, call));
        return;
    };
    let mut fail = |message| errors.push(Error::of_kernel(kernel, None, message).in_call(i, call));
    if !fits_kernel(program, kernel, call) {
        let (args, params) = (kernel.args.len(), kernel.params.len());
        fail(format!("needs {args} existing buffers and {params} parameters, given {} and {}", call.buffers.len(), call.params.len()));
        return;
    }
    for (a, (arg, &id)) in kernel.args.iter().zip(&call.buffers).enumerate() {
        let b = program.buffer(id);
        let name = || format!("{} is b{} {:?}", arg.name, id.0, b.name);
        let (root, _) = program.root(id);
        if arg.access != Access::Read && matches!(b.role, Role::Input(_) | Role::Const) {
            fail(format!("{}, which must not be written", name()));
        }
        let reads_first = match arg.access {
            Access::Read => true,
            Access::Write => false,
            Access::ReadWrite => first_access(&kernel.body, Arg(a as u32)) == Some(Access::Read),
        };
        if reads_first && !written[root.0 as usize] && 0 < b.size_bytes {
            fail(format!("{}, which no earlier call has written", name()));
        }
    }
    for (arg, &id) in kernel.args.iter().zip(&call.buffers) {
        if arg.access != Access::Read {
            new.push(program.root(id).0);
        }
    }
    for (a, b) in shared(program, kernel, call) {
        let (x, y) = (&kernel.args[a], &kernel.args[b]);
        fail(format!("{} and {} share memory, which the kernel does not allow", x.name, y.name));
    }
}
/// What the text does first with an argument.
fn first_access(stmts: &[Stmt], arg: Arg) -> Option<Access> {
    stmts.iter().find_map(|s| match s {
        Stmt::Let(_, op) => op.place().is_some_and(|p| p.base == Base::Arg(arg)).then_some(Access::Read),
        Stmt::Row { arg: a, fill, .. } => (*a == arg || *fill == arg).then_some(Access::Read),
        Stmt::Store { place, .. } => (place.base == Base::Arg(arg)).then_some(Access::Write),
        Stmt::Loop(l) => first_access(&l.body, arg),
        Stmt::Split { .. } | Stmt::Clamp { .. } | Stmt::Prefetch(_) => None,
    })
}

/// Pairs of arguments, at least one of them written, that share bytes though the kernel does not say that they begin together.
fn shared(program: &Program, kernel: &Kernel, call: &Call) -> Vec<(usize, usize)> {
    let ranges: Vec<(Space, u64, u64)> = call.buffers.iter().map(|&b| range(program, b)).collect();
    let mut pairs = vec![];
    for a in 0..ranges.len() {
        for b in a + 1..ranges.len() {
            let (x, y) = (&kernel.args[a], &kernel.args[b]);
            let ((space, start, end), (other_space, other_start, other_end)) = (ranges[a], ranges[b]);
            let overlap = space == other_space && start.max(other_start) < end.min(other_end);
            let in_place = x.in_place_of == Some(Arg(b as u32)) || y.in_place_of == Some(Arg(a as u32));
            let both_read = x.access == Access::Read && y.access == Access::Read;
            if overlap && !both_read && !(in_place && start == other_start) {
                pairs.push((a, b));
            }
        }
    }
    pairs
}

/// Where bytes are: in a buffer, or in the arena once planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Space {
    Buffer(BufferId),
    Arena,
}

/// The bytes of a buffer: space, start and end.
pub fn range(program: &Program, id: BufferId) -> (Space, u64, u64) {
    let (root, offset) = program.root(id);
    let size = program.buffer(id).size_bytes;
    match program.buffer(root).offset_bytes {
        Some(at) => (Space::Arena, at + offset, at + offset + size),
        None => (Space::Buffer(root), offset, offset + size),
    }
}
