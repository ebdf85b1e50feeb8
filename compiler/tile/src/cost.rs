//! What a call costs, roughly: operations on vectors, in units of about an eighth of a nanosecond on a fast machine.
//!
//! Not a model of any machine. The idea: it only has to tell long calls from short ones and the pieces of a call from each other.

use crate::program::*;

/// What a loop costs per iteration, beside its body.
const ITERATION: u64 = 2;
/// Of loops whose count is read from memory.
const UNKNOWN_ITERATIONS: u64 = 16;

pub fn of_block(kernel: &Kernel, params: &[i64], stmts: &[Stmt]) -> u64 {
    stmts.iter().map(|s| of_stmt(kernel, params, s)).fold(0, u64::saturating_add)
}

pub fn of_stmt(kernel: &Kernel, params: &[i64], s: &Stmt) -> u64 {
    match s {
        Stmt::Let(v, op) => of_op(kernel, *v, op),
        Stmt::Store { value, .. } => vectors(kernel, *value),
        Stmt::Loop(l) => of_iteration(kernel, params, l).saturating_mul(iterations(l, params)),
        Stmt::Prefetch(_) => 1,
        Stmt::Row { .. } | Stmt::Split { .. } | Stmt::Clamp { .. } => 4,
    }
}

pub fn of_iteration(kernel: &Kernel, params: &[i64], l: &Loop) -> u64 {
    ITERATION.saturating_add(of_block(kernel, params, &l.body))
}

/// Where the number is not known, a few.
pub fn iterations(l: &Loop, params: &[i64]) -> u64 {
    if l.count.counters().next().is_some() {
        return UNKNOWN_ITERATIONS;
    }
    let count = l.count.evaluate(params, |_| 0).unwrap_or(0).max(0);
    count.unsigned_abs().div_ceil(l.step.max(1).unsigned_abs())
}

/// Registers that a value takes, where they are of 64 bytes.
fn vectors(kernel: &Kernel, v: Value) -> u64 {
    u64::from(kernel.ty(v).bytes()).div_ceil(64)
}

fn of_op(kernel: &Kernel, v: Value, op: &Op) -> u64 {
    let lanes = u64::from(kernel.ty(v).lanes);
    match op {
        Op::Const(_) => 0,
        Op::Lookup { .. } => lanes.div_ceil(2),
        Op::Unary(Unary::Sqrt, _) | Op::Binary(Binary::Div | Binary::Rem, ..) => 16 * vectors(kernel, v),
        Op::Requantize { .. } | Op::Reduce(..) | Op::MulWide(..) => 8 * vectors(kernel, v),
        Op::ReduceEach(_, all) => 3 * all.len() as u64,
        _ => vectors(kernel, v).max(op.operands().iter().map(|&o| vectors(kernel, o)).max().unwrap_or(0)),
    }
}
