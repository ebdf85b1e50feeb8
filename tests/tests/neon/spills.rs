//! The order of instructions never costs innermost loops a register: where no value goes to the frame before it, none does after it.

use cranelite_codegen::{Target, neon};
use cranelite_graph::lower::{Goal, lower};
use cranelite_tests::hot;

const CORES: [&str; 3] = ["cortex-a53", "cortex-a55", "neoverse-v1"];

#[test]
fn none_in_innermost_loops() {
    let (mut functions, mut found) = (0, vec![]);
    for case in hot::cases() {
        for core in CORES {
            let target = Target::new("aarch64-unknown-linux-gnu", Some(core)).expect("a target");
            let features = target.neon.expect("the level has it");
            let program = lower(&case.graph, &target.machine, Goal::Speed).unwrap_or_else(|d| panic!("{}: {}", case.name, d[0]));
            for kernel in &program.kernels {
                let Ok(code) = neon::emit(kernel, features) else { continue };
                functions += 1;
                if 0 < code.inner_spills {
                    let before = neon::emit_unscheduled(kernel, features).map_or(0, |code| code.inner_spills);
                    if before == 0 {
                        found.push(format!("{} on {core}, kernel {}: {}", case.name, kernel.name, code.inner_spills));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{} of {functions}:\n{}", found.len(), found.join("\n"));
    assert!(CORES.len() * hot::cases().len() <= functions, "only {functions} functions");
}
