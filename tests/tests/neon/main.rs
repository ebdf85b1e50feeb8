//! The emitter for 64-bit Arm against the interpreter: what its functions leave in memory and registers, called one by one under an emulator with
//! forbidden pages around every buffer, for every core and set of instructions.

mod paths;
mod random;
mod spills;

use cranelite_tests::called::Calls;

/// Runs what was added; the first failures.
fn check(calls: &Calls) {
    let Some(wrong) = calls.wrong() else { return };
    let shown: Vec<String> = wrong.iter().take(3).map(|(what, program)| format!("{what}\n{program}")).collect();
    assert!(wrong.is_empty(), "{} of {} functions:\n{}", wrong.len(), calls.count, shown.join("\n"));
}
