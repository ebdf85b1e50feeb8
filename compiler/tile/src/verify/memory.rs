//! Buffers, and what calls do with them as a whole.
//!
//! Not single accesses. The idea: every buffer is a range of bytes of a root (itself, if it is no view), and roots have ranges of the
//! arena once planned; whether two arguments share bytes is a question about ranges.

use super::Error;
use crate::program::*;
use std::collections::BTreeSet;

/// Bytes in all that a buffer may have: more is not addressable anyway, and sums of sizes must not overflow.
const SIZE_LIMIT_BYTES: u64 = 1 << 48;
/// Of one repetition: more would not end, and their numbers must fit where indices are proved.
const TURNS_LIMIT: u64 = 1 << 48;

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
            (Some(d), None, Role::State) if d.len() as u64 != b.size_bytes => fail("the data has another size"),
            (Some(d), None, Role::Const) if d.len() as u64 != b.size_bytes => fail("the data has another size"),
            _ => {}
        }
        if b.role == Role::State && b.view.is_none() && b.offset_bytes.is_none() {
            fail("a state must have a place");
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
    let mut states: Vec<(u64, u64, usize)> = vec![];
    for (i, b) in program.buffers.iter().enumerate().filter(|(_, b)| b.role == Role::State && b.view.is_none()) {
        states.extend(
            b.offset_bytes.filter(|at| *at <= SIZE_LIMIT_BYTES && 0 < b.size_bytes).map(|at| (at, at.saturating_add(b.size_bytes), i)),
        );
    }
    states.sort_unstable();
    for pair in states.windows(2).filter(|pair| pair[1].0 < pair[0].1) {
        errors.push(Error::of_program(format!("b{} and b{} share bytes of the state", pair[0].2, pair[1].2)));
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
        && (call.advance.is_empty() || call.advance.len() == call.params.len())
        && call.buffers.iter().all(|b| (b.0 as usize) < program.buffers.len())
}

/// Arguments of all calls, for a program of sound buffers.
pub fn check_schedule(program: &Program) -> Vec<Error> {
    let mut errors = vec![];
    // By root; the caller's inputs, constants and states have contents from the beginning.
    let mut written: Vec<bool> = program.buffers.iter().map(|b| matches!(b.role, Role::Input(_) | Role::Const | Role::State)).collect();
    check_steps(program, &program.schedule, false, &mut 0, &mut written, &mut errors);
    for (i, b) in program.buffers.iter().enumerate() {
        if matches!(b.role, Role::Output(_)) && b.view.is_none() && !written[i] && 0 < b.size_bytes {
            errors.push(Error::of_program(format!("b{i} {:?}: no call writes this output", b.name)));
        }
    }
    errors
}

/// `written`: which roots have contents before the steps, and then after them, whichever way is taken through them.
fn check_steps(program: &Program, steps: &[Step], repeated: bool, number: &mut usize, written: &mut Vec<bool>, errors: &mut Vec<Error>) {
    let looks_at = |id: BufferId, bytes: u64, written: &[bool], errors: &mut Vec<Error>| {
        let Some(b) = program.buffers.get(id.0 as usize) else {
            errors.push(Error::of_program(format!("b{} does not exist", id.0)));
            return;
        };
        let mut fail = |message: &str| errors.push(Error::of_program(format!("b{} {:?}: {message}", id.0, b.name)));
        if b.size_bytes < bytes {
            fail("is too small for what is looked at");
        }
        if !written[program.root(id).0.0 as usize] {
            fail("is looked at, but no earlier call has written it");
        }
    };
    for step in steps {
        match step {
            Step::Call(_) | Step::Parallel(_) => {
                // What calls of one step write, none of them may read.
                let mut new = vec![];
                for call in step.calls() {
                    if !repeated && call.advances() {
                        errors.push(Error::of_program("a parameter advances, but nothing is repeated".into()).in_call(*number, call));
                    }
                    let is_foreign = program.kernels.get(call.kernel.0 as usize).is_some_and(|k| k.foreign.is_some());
                    if is_foreign && matches!(step, Step::Parallel(_)) {
                        let message = "a foreign function may run beside other calls, of which nothing is known".into();
                        errors.push(Error::of_program(message).in_call(*number, call));
                    }
                    check_call(program, call, *number, written, &mut new, errors);
                    *number += 1;
                }
                new.into_iter().for_each(|root: BufferId| written[root.0 as usize] = true);
            }
            Step::Check(b) => looks_at(*b, 4, written, errors),
            Step::Repeat { count, body } => {
                if *count == 0 || TURNS_LIMIT < *count {
                    errors.push(Error::of_program(format!("what is repeated has 1 to {TURNS_LIMIT} turns, not {count}")));
                }
                check_steps(program, body, true, number, written, errors);
            }
            Step::If { condition, then, otherwise } => {
                looks_at(*condition, 1, written, errors);
                let mut other = written.clone();
                check_steps(program, then, repeated, number, written, errors);
                check_steps(program, otherwise, repeated, number, &mut other, errors);
                written.iter_mut().zip(other).for_each(|(w, o)| *w &= o);
            }
            Step::While { test, condition, body } => {
                check_steps(program, test, repeated, number, written, errors);
                looks_at(*condition, 1, written, errors);
                check_steps(program, body, repeated, number, &mut written.clone(), errors);
            }
        }
    }
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
    State,
}

/// The bytes of a buffer: space, start and end.
pub fn range(program: &Program, id: BufferId) -> (Space, u64, u64) {
    let (root, offset) = program.root(id);
    let size = program.buffer(id).size_bytes;
    match program.buffer(root).offset_bytes {
        Some(at) if program.buffer(root).role == Role::State => (Space::State, at + offset, at + offset + size),
        Some(at) => (Space::Arena, at + offset, at + offset + size),
        None => (Space::Buffer(root), offset, offset + size),
    }
}
