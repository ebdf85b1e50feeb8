//! ATAN2 of doubles, which is computed in pairs of them: the same bits with and without fused multiply-add, at every feature level of this
//! machine and under emulators.

use cranelite_codegen::Target;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::text;
use cranelite_tests::cross::Machine;
use cranelite_tests::differential::{self, Case, native_levels};
use cranelite_tests::random_value::pick;
use cranelite_tile::{Elem, arena, verify};

/// No multiple of any vector's length.
const POINTS: usize = 2003;

#[test]
fn all_levels_give_the_same_bits() {
    let operands = format!("inputs %0, %1\noutputs %2\n%0: f64[{POINTS}] \"y\"\n%1: f64[{POINTS}] \"x\"\n");
    let graph = text::parse(&format!("graph \"angles\"\n{operands}%2: f64[{POINTS}] \"angles\" = atan2 %0, %1 @0\n")).expect("a graph");
    let mut seed = 1;
    let inputs: Vec<Vec<u8>> = (0..2).map(|_| (0..POINTS).flat_map(|_| pick(&mut seed, Elem::F64).to_le_bytes()).collect()).collect();
    let elsewhere =
        [("aarch64-unknown-linux-gnu", "generic"), ("riscv64gc-unknown-linux-gnu", "rv64gc")].into_iter().filter_map(|(triple, cpu)| {
            let target = Target::new(triple, Some(cpu)).expect("a target");
            Some((Some(Machine::find(target.features.arch)?), target))
        });
    let mut first = None;
    for (machine, target) in native_levels().into_iter().map(|t| (None, t)).chain(elsewhere) {
        for goal in [Goal::Speed, Goal::Size] {
            let mut program = lower(&graph, &target.machine, goal).unwrap_or_else(|d| panic!("{}", d[0]));
            verify::verify(&program).unwrap_or_else(|e| panic!("{}", e[0]));
            arena::plan(&mut program);
            let case = Case { program, inputs: inputs.clone(), outputs: vec![vec![0x5a; 8 * POINTS]], elems: vec![Elem::F64] };
            let expected = first.get_or_insert_with(|| differential::expected(&case).expect("the interpreter runs it"));
            let interpreted = differential::expected(&case).expect("the interpreter runs it");
            let run = match &machine {
                None => differential::native(&case, &target),
                Some(machine) => machine.run(&case, &target),
            };
            for got in run.unwrap_or_else(|e| panic!("{}: {e}", target.level)).iter().chain([&interpreted]) {
                if let Some(difference) = differential::difference(&case, expected, got) {
                    panic!("{goal:?} at {}: {difference}", target.level);
                }
            }
        }
    }
}
