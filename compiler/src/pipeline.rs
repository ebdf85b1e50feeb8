//! Every phase from the bytes of a model to its outputs, in order.
//!
//! Nothing is decided here: each phase is a function of another crate or file. The idea: this file reads aloud.

use crate::diagnostic::internal;
use crate::facts::Facts;
use crate::signature::Signature;
use crate::stages::{Stage, Stages};
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::import::{self, InputKey};
use cranelite_graph::lower::{self, Goal};
use cranelite_graph::text::{Constants, print};
use cranelite_graph::{rewrite, verify};
use cranelite_tile::{self as tile, Machine, Program};

/// What the user decides.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub input_shapes: Vec<(InputKey, Vec<usize>)>,
    pub goal: Goal,
}

/// A model as a placed and proved program, for machines of one kind.
pub struct Planned {
    pub signature: Signature,
    pub facts: Facts,
    pub program: Program,
}

pub fn plan(model: &[u8], machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Planned, Vec<Diagnostic>> {
    stages.begin("reading the model");
    let mut graph = import::import(model, &import::Options { input_shapes: options.input_shapes.clone() })?;
    let (signature, facts) = (Signature::of(&graph), Facts::of(&graph));
    stages.add(Stage::Graph, "import", || print(&graph, Constants::Shortened));
    rewrite::all(&mut graph, |pass, graph| stages.add(Stage::Graph, pass, || print(graph, Constants::Shortened)));
    verify::verify(&graph).map_err(|e| vec![internal("the rewritten graph is not well-formed", e.join("; "))])?;
    stages.begin("lowering");
    let program = lower::lower(&graph, machine, options.goal)?;
    stages.add(Stage::Tile, "lower", || tile::text::print(&program));
    stages.begin("proving");
    tile::verify::verify(&program).map_err(|e| e.iter().map(|e| internal("the program is not proved", e)).collect::<Vec<_>>())?;
    Ok(Planned { signature, facts, program })
}
