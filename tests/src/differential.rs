//! One program, run by the interpreter and as machine code: the bytes must be the same.
//!
//! The interpreter is the oracle; NaN is compared as NaN, whatever its payload. Every buffer of the caller stands against a forbidden page.

use crate::guarded::{End, Guarded};
use cranelite_codegen::object::{self, model};
use cranelite_codegen::{Target, loader};
use cranelite_graph::graph::Graph;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite;
use cranelite_graph::tensor::ElementType;
use cranelite_tile::{Buffer, Elem, Program, Role, arena, interpret, verify};

/// A program with its inputs, and what its outputs hold before it runs.
pub struct Case {
    pub program: Program,
    pub inputs: Vec<Vec<u8>>,
    pub outputs: Vec<Vec<u8>>,
    /// How the bytes of the outputs are to be understood.
    pub elems: Vec<Elem>,
}

/// The levels of x86-64 that this machine can run.
pub fn native_levels() -> Vec<Target> {
    let Ok(native) = Target::native() else { return vec![] };
    let triple = native.triple.to_string();
    let names: &[&str] = match native.features.arch {
        cranelite_codegen::clif::Arch::X86 => &[
            "x86-64",
            "x86-64+ssse3",
            "x86-64-v2",
            "x86-64-v3+prefer128",
            "x86-64-v3+avxvnni+prefer128",
            "x86-64-v4+avx512vnni+prefer128",
            "x86-64-v3",
            "x86-64-v3+avxvnni",
            "x86-64-v4",
            "x86-64-v4+prefer256",
            "x86-64-v4+avx512vnni+avx512vbmi",
        ],
        _ => &["generic", "generic+dotprod"],
    };
    names.iter().filter_map(|n| Target::new(&triple, Some(n)).ok()).filter(Target::runs_here).collect()
}

/// What the graph gives, interpreted, and compiled for some levels of this machine, which must be the same bits.
pub fn outputs_of(graph: &Graph, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut graph = graph.clone();
    rewrite::all(&mut graph, |_, _| {});
    let types: Vec<_> = graph.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
    let elem = |element| match element {
        ElementType::F32 => Elem::F32,
        ElementType::I8 => Elem::I8,
        _ => Elem::I32,
    };
    let mut answer: Option<Vec<Vec<u8>>> = None;
    for target in native_levels().iter().step_by(4) {
        for goal in [Goal::Speed, Goal::Size] {
            let mut program = lower(&graph, &target.machine, goal).unwrap_or_else(|d| panic!("{}", d[0]));
            verify::verify(&program).unwrap_or_else(|e| panic!("not proved: {}", e[0]));
            arena::plan(&mut program);
            let outputs = types.iter().map(|t| vec![0x5a; t.size_bytes()]).collect();
            let case = Case { program, inputs: inputs.to_vec(), outputs, elems: types.iter().map(|t| elem(t.element)).collect() };
            let interpreted = expected(&case).unwrap();
            for got in native(&case, target).unwrap() {
                if let Some(difference) = difference(&case, &interpreted, &got) {
                    panic!("{goal:?} at {}: {difference}", target.level);
                }
            }
            answer.get_or_insert(interpreted);
        }
    }
    answer.expect("this machine has a level")
}

pub fn options(program: &Program) -> object::Options {
    let tensors = |role: fn(u32) -> Role| {
        let find = |i: u32| program.buffers.iter().find(|b| b.role == role(i) && b.view.is_none());
        let tensor = |(i, b): (usize, &Buffer)| model::Tensor {
            name: b.name.clone(),
            identifier: format!("t{i}"),
            ty: 9,
            size_bytes: b.size_bytes,
            ..model::Tensor::default()
        };
        (0..).map_while(find).enumerate().map(tensor).collect()
    };
    object::Options {
        prefix: "test".into(),
        inputs: tensors(Role::Input),
        outputs: tensors(Role::Output),
        verify: true,
        ..object::Options::default()
    }
}

/// What one call of an instance gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub status: i32,
    /// Unspecified unless the status is 0.
    pub outputs: Vec<Vec<u8>>,
}

/// What the interpreter makes of calls in one instance. `outputs`: what is in them at first.
pub fn expected_steps(program: &Program, steps: &[Vec<Vec<u8>>], outputs: &[Vec<u8>]) -> Result<Vec<Step>, String> {
    let mut state = interpret::initial_state(program).map_err(|e| e.to_string())?;
    let one = |inputs: &Vec<Vec<u8>>| {
        let mut outputs = outputs.to_vec();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut refs: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        match interpret::run_with_state(program, &inputs, &mut refs, &mut state, |_, _| {}) {
            Ok(()) => Ok(Step { status: 0, outputs }),
            Err(e) if e.fault == interpret::Fault::OutOfRange => Ok(Step { status: 3, outputs }),
            Err(e) => Err(e.to_string()),
        }
    };
    steps.iter().map(one).collect()
}

/// How a model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Invoke,
    Parallel,
    Profile,
    At(u32),
}

/// Calls of one instance of an object for this machine, each buffer with one end against a forbidden page.
pub fn native_steps(
    object: &object::Object,
    program: &Program,
    steps: &[Vec<Vec<u8>>],
    outputs: &[Vec<u8>],
    entry: Entry,
    end: End,
) -> Result<Vec<Step>, String> {
    let loaded = loader::Loaded::load(&object.bytes).map_err(|e| e.to_string())?;
    let model = loaded.model("test").ok_or("no model")?;
    let align = |role: Role| program.buffers.iter().find(|b| b.role == role).map_or(1, |b| b.align as usize);
    let mut state = Guarded::new(&vec![0x5a; model.state_bytes], model.state_align.max(16), end);
    model.reset(&mut state);
    let mut pool = loader::Pool::new(2).map_err(|e| e.to_string())?;
    let mut one = |inputs: &Vec<Vec<u8>>| {
        let guard = |b: &Vec<u8>, role: Role| Guarded::new(b, align(role), end);
        let inputs: Vec<Guarded> = inputs.iter().zip(0..).map(|(b, i)| guard(b, Role::Input(i))).collect();
        let mut outputs: Vec<Guarded> = outputs.iter().zip(0..).map(|(b, i)| guard(b, Role::Output(i))).collect();
        let mut arena = Guarded::new(&vec![0x5a; model.arena_bytes], model.arena_align.max(16), end);
        let mut weights = object.weights.as_ref().map(|w| Guarded::new(w, 64, end));
        if 0 < object.prepared_bytes {
            let mut memory = Guarded::new(&vec![0x5a; model.weights_bytes], 64, end);
            if model.prepare(&mut memory) != Some(0) {
                return Err("the weights are not prepared".into());
            }
            weights = Some(memory);
        }
        let input_refs: Vec<&[u8]> = inputs.iter().map(|g| &**g).collect();
        let mut output_refs: Vec<&mut [u8]> = outputs.iter_mut().map(|g| &mut **g).collect();
        let mut bound = model.bind_with_state(&input_refs, &mut output_refs, &mut arena, &mut state);
        if let Some(weights) = &weights {
            bound.set_weights(weights);
        }
        let status = match entry {
            Entry::Invoke => Some(bound.invoke()),
            Entry::Parallel => bound.invoke_parallel(&mut pool),
            Entry::Profile => bound.profile(&mut |_, _| {}),
            Entry::At(level) => bound.invoke_at(level),
        };
        let status = status.ok_or("no such entry point")?;
        Ok(Step { status, outputs: outputs.iter().map(|g| g.to_vec()).collect() })
    };
    steps.iter().map(&mut one).collect()
}

/// What the interpreter makes of a case.
pub fn expected(case: &Case) -> Result<Vec<Vec<u8>>, String> {
    let mut outputs = case.outputs.clone();
    let inputs: Vec<&[u8]> = case.inputs.iter().map(Vec::as_slice).collect();
    let mut refs: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    interpret::run(&case.program, &inputs, &mut refs).map_err(|e| e.to_string())?;
    Ok(outputs)
}

/// Runs a case as code for this machine, with each end of the buffers against a forbidden page.
pub fn native(case: &Case, target: &Target) -> Result<[Vec<Vec<u8>>; 2], String> {
    let object = object::emit(&[object::Level { program: &case.program, target }], &options(&case.program)).map_err(|e| e.to_string())?;
    loaded(case, &object)
}

/// Runs a case as an object for this machine.
pub fn loaded(case: &Case, object: &object::Object) -> Result<[Vec<Vec<u8>>; 2], String> {
    let loaded = loader::Loaded::load(&object.bytes).map_err(|e| e.to_string())?;
    let model = loaded.model("test").ok_or("no model")?;
    let first = run(case, &model, End::First)?;
    Ok([first, run(case, &model, End::Last)?])
}

fn run(case: &Case, model: &loader::Model, end: End) -> Result<Vec<Vec<u8>>, String> {
    let align = |role: Role| case.program.buffers.iter().find(|b| b.role == role).map_or(1, |b| b.align as usize);
    let guard = |b: &Vec<u8>, role: Role| Guarded::new(b, align(role), end);
    let inputs: Vec<Guarded> = case.inputs.iter().zip(0..).map(|(b, i)| guard(b, Role::Input(i))).collect();
    let mut outputs: Vec<Guarded> = case.outputs.iter().zip(0..).map(|(b, i)| guard(b, Role::Output(i))).collect();
    let mut arena = Guarded::new(&vec![0x5a; model.arena_bytes], model.arena_align.max(16), end);
    let input_refs: Vec<&[u8]> = inputs.iter().map(|g| &**g).collect();
    let mut output_refs: Vec<&mut [u8]> = outputs.iter_mut().map(|g| &mut **g).collect();
    match model.bind(&input_refs, &mut output_refs, &mut arena).invoke() {
        0 => Ok(outputs.iter().map(|g| g.to_vec()).collect()),
        status => Err(format!("status {status}")),
    }
}

/// The first difference, if there is one.
pub fn difference(case: &Case, expected: &[Vec<u8>], got: &[Vec<u8>]) -> Option<String> {
    let all = expected.iter().zip(got).zip(&case.elems).enumerate();
    all.map(|(n, ((want, have), elem))| Some(format!("output {n} {}", difference_of(*elem, want, have)?))).find_map(|d| d)
}

/// The first element that differs.
pub fn difference_of(elem: Elem, expected: &[u8], got: &[u8]) -> Option<String> {
    let size = elem.bytes() as usize;
    let mut all = expected.chunks(size).zip(got.chunks(size)).enumerate();
    let (i, (w, h)) = all.find(|(_, (w, h))| w != h && !(is_nan(elem, w) && is_nan(elem, h)))?;
    Some(format!("element {i}: expected {}, got {}", show(elem, w), show(elem, h)))
}

fn is_nan(elem: Elem, bytes: &[u8]) -> bool {
    match elem {
        Elem::F32 => f32::from_le_bytes(bytes.try_into().unwrap_or_default()).is_nan(),
        Elem::F64 => f64::from_le_bytes(bytes.try_into().unwrap_or_default()).is_nan(),
        _ => false,
    }
}

fn show(elem: Elem, bytes: &[u8]) -> String {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    match elem {
        Elem::F32 => format!("{:?} ({bits:#010x})", f32::from_bits(bits as u32)),
        Elem::F64 => format!("{:?} ({bits:#018x})", f64::from_bits(bits)),
        _ => format!("{bits:#x}"),
    }
}
