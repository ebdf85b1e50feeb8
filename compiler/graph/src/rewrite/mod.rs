//! Rewrites of graphs: less to do for the same numbers.
//!
//! Not lowering: a rewrite knows no machine (but for one, behind all others) and keeps every integer, and every float bit for bit. The idea: one pass, one file, a
//! function that says whether it changed anything; they run in the order of [`PASSES`] until none does. Every change takes a node,
//! a reader of one or pixels of an image away, so that they end.

mod activation;
mod channels;
mod dead;
mod dilation;
pub(crate) mod fold;
mod forward;
mod fuse;
pub mod intervals;
mod links;
mod pad;
mod reshape;
mod share;
mod stride;
mod transpose;
mod unpack;
mod unsigned;
mod uses;

use crate::graph::Graph;
use cranelite_tile::{ByteDot, Machine};
pub use share::states as share_states;
use uses::{Same, Uses};

/// A pass: its name in tests and messages, and what it does. True when something changed.
pub type Pass = (&'static str, fn(&mut Graph) -> bool);

/// In the order in which they run.
pub const PASSES: &[Pass] = &[
    ("fold", fold::run),
    ("reshape", reshape::run),
    ("transpose", transpose::run),
    ("forward", forward::run),
    ("dilation", dilation::run),
    ("pad", pad::run),
    ("activation", activation::run),
    ("stride", stride::run),
    ("dead", dead::run),
    ("channels", channels::run),
    ("fuse", fuse::run),
];

/// Behind all passes, and of its own for each machine that wants it ([`for_machine`]).
pub const UNSIGNED: Pass = ("unsigned", unsigned::run);

/// The graph that a machine gets of one that all passes have seen, if that is another one.
pub fn for_machine(graph: &Graph, machine: &Machine) -> Option<Graph> {
    let mut graph = Some(graph).filter(|_| wants_unsigned(machine))?.clone();
    (UNSIGNED.1)(&mut graph).then_some(graph)
}

fn wants_unsigned(machine: &Machine) -> bool {
    match machine.byte_dot {
        ByteDot::U8S8 => machine.has_vectors(),
        ByteDot::Runs { unsigned, .. } => unsigned,
        _ => false,
    }
}

/// Runs all passes, in bodies before the graph around them; `observe` sees the graph, or the body, after each pass that changed it.
pub fn all(graph: &mut Graph, observe: impl FnMut(&'static str, &Graph)) {
    all_but(&[], graph, observe);
}

/// Runs all passes but those of these names.
pub fn all_but(left_out: &[&str], graph: &mut Graph, mut observe: impl FnMut(&'static str, &Graph)) {
    dead::states(graph);
    all_in(left_out, graph, &mut observe);
    dead::states(graph);
}

fn all_in(left_out: &[&str], graph: &mut Graph, observe: &mut impl FnMut(&'static str, &Graph)) {
    for body in graph.nodes.iter_mut().filter_map(|n| n.op.bodies_mut()).flatten() {
        all_in(left_out, body, observe);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (i, (name, pass)) in PASSES.iter().enumerate() {
            // The one before the last is for what the others leave, and the last one makes results disappear that the others may want to see.
            let waits = PASSES.len() <= i + 2 && changed;
            if !waits && !left_out.contains(name) && pass(graph) {
                changed = true;
                debug_assert_eq!(crate::verify::verify(graph), Ok(()), "after pass {name}");
                observe(name, graph);
            }
        }
    }
}
