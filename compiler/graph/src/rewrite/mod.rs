//! Rewrites of graphs: less to do for the same numbers.
//!
//! Not lowering: a rewrite knows no machine and keeps every integer, and every float bit for bit. The idea: one pass, one file, a
//! function that says whether it changed anything; they run in the order of [`PASSES`] until none does.

mod dead;

use crate::graph::Graph;

/// A pass: its name in tests and messages, and what it does. True when something changed.
pub type Pass = (&'static str, fn(&mut Graph) -> bool);

/// In the order in which they run.
pub const PASSES: &[Pass] = &[("dead", dead::run)];

/// Rounds of all passes; each is cheap, and one pass rarely makes work for an earlier one.
const MAX_ROUNDS: usize = 8;

/// Runs all passes.
pub fn all(graph: &mut Graph) {
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for (name, pass) in PASSES {
            changed |= pass(graph);
            debug_assert_eq!(crate::verify::verify(graph), Ok(()), "after pass {name}");
        }
        if !changed {
            return;
        }
    }
}
