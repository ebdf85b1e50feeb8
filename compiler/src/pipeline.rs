//! Every phase from the bytes of a model to its outputs, in order.
//!
//! Nothing is decided here: each phase is a function of another crate or file. The idea: this file reads aloud.

use crate::diagnostic::internal;
use crate::dump;
use crate::facts::Facts;
use crate::header;
use crate::limits::{self, Limits};
use crate::report;
use crate::signature::{Signature, Tensor};
use crate::stages::{Stage, Stages};
use crate::{names, plan_text};
use cranelite_codegen::object::{self, Object};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::import::{self, InputKey};
use cranelite_graph::lower::{self, Goal};
use cranelite_graph::text::{Constants, print};
use cranelite_graph::{rewrite, verify};
use cranelite_tile::arena::{self, Plan};
use cranelite_tile::{Machine, Program};
use std::path::Path;

/// What the user decides, beside the target.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Begins every name in C.
    pub prefix: String,
    /// The model's file name, for the header.
    pub made_from: String,
    pub input_shapes: Vec<(InputKey, Vec<usize>)>,
    pub goal: Goal,
    pub limits: Limits,
    pub profile: bool,
    /// Makes every result of an operator an output.
    pub every_tensor: bool,
}

/// A model as a placed and proved program, for machines of one kind.
pub struct Planned {
    pub signature: Signature,
    pub facts: Facts,
    pub program: Program,
    pub plan: Plan,
}

pub fn plan(model: &[u8], machine: &Machine, options: &Options, stages: &mut Stages) -> Result<Planned, Vec<Diagnostic>> {
    let import_options = import::Options { input_shapes: options.input_shapes.clone() };
    stages.begin("reading the model");
    let mut graph = import::import(model, &import_options)?;
    let (mut signature, facts) = (Signature::of(&graph), Facts::of(&graph));
    stages.add(Stage::Graph, "import", || print(&graph, Constants::Shortened));
    stages.begin("rewriting");
    rewrite::all(&mut graph, |pass, graph| stages.add(Stage::Graph, pass, || print(graph, Constants::Shortened)));
    verify::verify(&graph).map_err(|e| vec![internal("the rewritten graph is not well-formed", e.join("; "))])?;
    if options.every_tensor {
        dump::expose(&mut graph, &mut signature);
    }
    stages.begin("lowering");
    let mut program = lower::lower(&graph, machine, options.goal)?;
    stages.add(Stage::Tile, "lower", || cranelite_tile::text::print(&program));
    stages.begin("planning memory");
    let plan = arena::plan(&mut program);
    stages.add(Stage::Plan, "plan", || plan_text::print(&program, &plan));
    arena::check(&program).map_err(|e| vec![internal("the memory plan is wrong", e)])?;
    limits::arena(options.limits, &program, &plan)?;
    stages.begin("proving");
    cranelite_tile::verify::verify(&program).map_err(|e| e.iter().map(|e| internal("the program is not proved", e)).collect::<Vec<_>>())?;
    Ok(Planned { signature, facts, program, plan })
}

/// A model as an object, its header, and what is known of them.
pub struct Compiled {
    pub prefix: String,
    pub target: String,
    pub level: String,
    pub signature: Signature,
    pub facts: Facts,
    pub program: Program,
    pub plan: Plan,
    pub object: Object,
    pub header: String,
}

pub fn compile(model: &[u8], target: &Target, options: &Options, stages: &mut Stages) -> Result<Compiled, Vec<Diagnostic>> {
    let Planned { signature, facts, program, plan } = self::plan(model, &target.machine, options, stages)?;
    stages.begin("writing machine code");
    let object_options = object::Options {
        prefix: options.prefix.clone(),
        inputs: signature.inputs.iter().map(Tensor::described).collect(),
        outputs: signature.outputs.iter().map(Tensor::described).collect(),
        profile: options.profile,
        clif: stages.wants(Stage::Clif),
        asm: stages.wants(Stage::Asm),
        ..object::Options::default()
    };
    let mut object = object::emit(&program, target, &object_options).map_err(|e| vec![not_emitted(e)])?;
    stages.add(Stage::Clif, "emit", || object.clif.take().unwrap_or_default());
    stages.add(Stage::Asm, "emit", || object.asm.take().unwrap_or_default());
    limits::constants(options.limits, &facts, object.const_bytes)?;
    let header = header::write(options, &signature, &object);
    let compiled = Compiled {
        prefix: options.prefix.clone(),
        target: target.triple.to_string(),
        level: target.level.clone(),
        signature,
        facts,
        program,
        plan,
        object,
        header,
    };
    stages.add(Stage::Report, "report", || report::text(&compiled));
    Ok(compiled)
}

/// Too much for one object is the model's fault; anything else is ours.
fn not_emitted(e: object::Error) -> Diagnostic {
    match e {
        object::Error::TooManyConstants(_) => Diagnostic::new(Code::CONSTANTS, e.to_string()),
        e => internal("there is no machine code for the program", e),
    }
}

impl Options {
    /// Everything as usual, with names after the model's file.
    pub fn named_after(model: &Path) -> Self {
        let made_from = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = names::identifier(&model.file_stem().unwrap_or_default().to_string_lossy(), "model");
        Options { prefix, made_from, ..Options::default() }
    }
}
