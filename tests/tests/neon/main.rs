//! The emitter for 64-bit Arm against the interpreter: what its functions leave in memory and registers, called one by one under an emulator with
//! forbidden pages around every buffer, for every core and set of instructions.

mod frames;
mod paths;
mod products;
mod random;
mod spills;
mod turns;

use cranelite_codegen::neon::Features;
use cranelite_tests::called::{Calls, features, with_all};
use cranelite_tests::matrix::{Matrix, Random};
use cranelite_tile::{Elem, Kernel};

/// Lanes, special ones among them.
fn bytes(elem: Elem, lanes: usize) -> Vec<u8> {
    let mut random = Random::new(lanes as u64);
    (0..lanes).flat_map(|_| random.lane(elem)).collect()
}

/// A kernel with its parameters and what its arguments hold, which no emission may refuse.
fn add(calls: &mut Calls, kernel: Kernel, params: &[i64], contents: Vec<(Elem, Vec<u8>)>) {
    let name = kernel.name.clone();
    let mut matrix = Matrix::default();
    matrix.kernel(kernel, params, contents);
    // Cores in turn, without dot products and with them, and one that has everything.
    let all = features();
    let of = |dotprod: bool| {
        let some: Vec<Features> = all.iter().copied().filter(|f| f.dotprod == dotprod).collect();
        some[calls.count / 2 % some.len()]
    };
    for features in [of(false), of(true), with_all()] {
        let is_emitted = calls.add(&name, matrix.case(), features).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(is_emitted, "{name} is refused: {:?}", calls.refused);
    }
}

/// Runs what was added; shows the first failures.
fn check(calls: &Calls) {
    let Some(wrong) = calls.wrong() else { return };
    let shown: Vec<String> = wrong.iter().take(2).map(|(what, program)| format!("{what}\n{program}")).collect();
    let all: Vec<&str> = wrong.iter().take(40).map(|(what, _)| what.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {} functions:\n{}\n{}", wrong.len(), calls.count, all.join("\n"), shown.join("\n"));
}
