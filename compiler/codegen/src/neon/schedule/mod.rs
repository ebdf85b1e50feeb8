//! The order of instructions, for a core.
//!
//! Not their selection and not the allocation of registers, which comes after. The ideas: code between labels, branches and the borders of loops is put in
//! an order that a core executes in few cycles (`list.rs`), tried with several limits on the values that live at once; of the orders that need no more
//! registers than there are, the one that the scoreboard finds best is taken, and the original one when none is better.

mod graph;
mod list;
#[cfg(test)]
mod tests;

use super::cores::Core;
use super::scoreboard::{self, Timed};
use crate::alloc::Registers;
use graph::{Graph, Node};
use list::Around;

/// An order of the run for a core. A run that is a loop's whole body is judged by its cycles per turn.
fn best(nodes: &[Node], around: &Around, core: &'static Core, registers: Registers, is_loop: bool) -> Vec<usize> {
    let original: Vec<usize> = (0..nodes.len()).collect();
    if nodes.len() < 3 {
        return original;
    }
    let cost = |order: &[usize]| {
        let steps: Vec<Timed> = order.iter().map(|n| nodes[*n].timed.clone()).collect();
        if is_loop && nodes.len() < 400 { scoreboard::turns_of(&steps, core, 6) } else { f64::from(scoreboard::once(&steps, core)) }
    };
    let there = [i32::from(registers.vector), i32::from(registers.general)];
    let needed = list::pressure(nodes, around, &original);
    let graph = Graph::new(nodes, core);
    let steps: Vec<Timed> = nodes.iter().map(|n| n.timed.clone()).collect();
    let bound = scoreboard::bound(&steps, core);
    let mut best = (cost(&original), original);
    for less in [0, 1, 2, 4, 7, 11] {
        let order = list::order(nodes, &graph, around, core, there.map(|r| r - less));
        let most = list::pressure(nodes, around, &order);
        if (0..2).any(|c| most[c] > there[c].max(needed[c])) {
            continue;
        }
        let cycles = cost(&order);
        if cycles < best.0 {
            best = (cycles, order);
        }
        if best.0 <= 1.02 * bound {
            break;
        }
    }
    best.1
}
