//! Models with several signatures: which are compiled, what is given to their inputs, and the variables that they share.

mod model;

use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::graph::Origin;
use cranelite_graph::import::{self, Module, Options, Signatures};
use cranelite_graph::rewrite;
use cranelite_schema::{BuiltinOperator, TensorType};
use model::{Model, Signature};

const N: i32 = 3;

/// READ_VARIABLE of a variable, ADD of `x`, and perhaps ASSIGN_VARIABLE of the sum; before that perhaps CALL_ONCE of a subgraph.
fn main_graph(variable: &'static str, assigns: bool, once: Option<i32>) -> Model {
    let mut m = Model::new();
    if let Some(subgraph) = once {
        m.operator(BuiltinOperator::CALL_ONCE, &[], 0, model::Options::CallOnce { subgraph });
        m.operators[0].outputs.clear();
    }
    let handle = m.tensor("handle", TensorType::RESOURCE, &[], None, &[]);
    let [x, old, new] = ["x", "old", "new"].map(|name| m.tensor(name, TensorType::FLOAT32, &[N], None, &[]));
    m.operator(BuiltinOperator::VAR_HANDLE, &[], handle, model::Options::VarHandle { name: variable });
    m.operator(BuiltinOperator::READ_VARIABLE, &[handle], old, model::Options::None);
    m.operator(BuiltinOperator::ADD, &[old, x], new, model::Options::Add);
    if assigns {
        m.operator(BuiltinOperator::ASSIGN_VARIABLE, &[handle, new], 0, model::Options::None);
        m.operators.last_mut().expect("an operator").outputs.clear();
    }
    (m.inputs, m.outputs) = (vec![x], vec![new]);
    m
}

/// ASSIGN_VARIABLE of constants.
fn first(assigned: &[(&'static str, f32)]) -> Model {
    let mut m = Model::new();
    for &(name, value) in assigned {
        let handle = m.tensor("handle", TensorType::RESOURCE, &[], None, &[]);
        let data = [value; N as usize].map(f32::to_le_bytes).concat();
        let constant = m.tensor("first", TensorType::FLOAT32, &[N], None, &data);
        m.operator(BuiltinOperator::VAR_HANDLE, &[], handle, model::Options::VarHandle { name });
        m.operator(BuiltinOperator::ASSIGN_VARIABLE, &[handle, constant], 0, model::Options::None);
        m.operators.last_mut().expect("an operator").outputs.clear();
    }
    m
}

/// Subgraphs with a signature each, and some without.
fn together(signed: Vec<(&str, Model)>, others: Vec<Model>) -> Model {
    let signature = |(i, key): (usize, &str)| Signature {
        key: key.into(),
        subgraph: i as u32,
        inputs: vec![(format!("{key}_x"), 1)],
        outputs: vec![(format!("{key}_y"), 3)],
    };
    let signatures = signed.iter().map(|s| s.0).enumerate().map(signature).collect();
    let mut all = signed.into_iter().map(|s| s.1);
    let main = all.next().expect("one at least");
    Model { signatures, called: all.chain(others).collect(), ..main }
}

fn read(m: &Model, signatures: Signatures) -> Result<Module, Vec<Diagnostic>> {
    import::read(&m.bytes(), &Options { signatures, ..Options::default() })
}

fn named(keys: &[&str]) -> Signatures {
    Signatures::Named(keys.iter().map(|k| k.to_string()).collect())
}

fn problem(m: &Model, signatures: Signatures) -> String {
    let problems = read(m, signatures).expect_err("a problem");
    problems.iter().map(|d| format!("{} {d}; {}", d.code.0, d.help.as_deref().unwrap_or_default())).collect()
}

#[test]
fn signatures_are_chosen() {
    let m = together(
        vec![("a", main_graph("v", true, Some(3))), ("b", main_graph("v", false, Some(3))), ("c", main_graph("n", true, Some(3)))],
        vec![first(&[("v", 1.0), ("n", 2.0)])],
    );
    let keys = |signatures| {
        let module = read(&m, signatures).unwrap();
        let names = module.entries.iter().map(|e| format!("{} {} {}", e.key, e.input_names.concat(), e.output_names.concat()));
        (names.collect::<Vec<_>>().join(", "), module.left_out.concat())
    };
    let all = "a a_x a_y, b b_x b_y, c c_x c_y".to_string();
    assert_eq!(keys(Signatures::All), (all.clone(), String::new()));
    assert_eq!(keys(named(&["a", "b", "c"])), (all, String::new()));
    let what = "only 2 signatures are compiled (--signature chooses others, also several); left out: signature \"a\" of subgraph 0";
    assert_eq!(keys(named(&["c", "b"])), ("c c_x c_y, b b_x b_y".into(), what.into()));
    assert_eq!(keys(Signatures::First).0, "a a_x a_y");
    assert!(problem(&m, named(&["a", "d"])).contains("no signature \"d\""));

    // Two of one subgraph.
    let mut m = m;
    m.signatures[2].subgraph = 0;
    let module = read(&m, Signatures::All).unwrap();
    assert_eq!(module.entries[0].graph, module.entries[2].graph);
    assert_eq!((&module.entries[0].input_names[0][..], &module.entries[2].input_names[0][..]), ("a_x", "c_x"));
    // What is wrong with it is told once.
    m.operators[2].code = BuiltinOperator::SKIP_GRAM.0;
    assert_eq!(read(&m, Signatures::All).expect_err("a problem").len(), 1);
    m.signatures[2].subgraph = 9;
    assert!(problem(&m, Signatures::All).contains("subgraph 9 of signature \"c\" does not exist"));
    m.signatures[2].subgraph = 0;
    m.signatures.resize(300, m.signatures[0].clone());
    assert!(problem(&m, Signatures::All).contains("too many signatures"));
    // Where there are none, the first subgraph.
    m.operators[2].code = BuiltinOperator::READ_VARIABLE.0;
    m.signatures.clear();
    assert_eq!(read(&m, Signatures::All).unwrap().entries.len(), 1);
}

#[test]
fn inputs_are_found_in_any_signature() {
    let relu = |shape: &[i32]| {
        let mut m = Model::new();
        let [_, x, _, y] = ["-", "x", "-", "y"].map(|name| m.tensor(name, TensorType::FLOAT32, shape, None, &[]));
        m.operator(BuiltinOperator::RELU, &[x], y, model::Options::None);
        (m.inputs, m.outputs) = (vec![x], vec![y]);
        m
    };
    let m = together(vec![("a", relu(&[2])), ("b", relu(&[3]))], vec![]);
    let shapes = |name: &str| {
        let input_shapes = vec![(name.into(), vec![5])];
        let module = import::read(&m.bytes(), &Options { input_shapes, signatures: Signatures::All, ..Options::default() })?;
        Ok::<_, Vec<Diagnostic>>(module.entries.iter().map(|e| e.graph.ty(e.graph.inputs[0]).shape[0]).collect::<Vec<_>>())
    };
    assert_eq!(shapes("b_x").unwrap(), [2, 5]);
    // By the tensor's name, of both.
    assert_eq!(shapes("x").unwrap(), [5, 5]);
    let problems = shapes("z").unwrap_err();
    assert!(problems.len() == 1 && problems[0].message.contains("no input \"z\""), "{problems:?}");
}

#[test]
fn variables_are_shared() {
    let m = together(
        vec![("a", main_graph("v", true, Some(3))), ("b", main_graph("n", false, Some(3))), ("c", main_graph("v", false, Some(3)))],
        vec![first(&[("n", 2.0), ("v", 1.0)])],
    );
    let mut module = read(&m, Signatures::All).unwrap();
    let origins = |module: &Module| {
        let of = |e: &import::Imported| e.graph.states.iter().map(|s| s.origin).collect::<Vec<_>>();
        module.entries.iter().map(of).collect::<Vec<_>>()
    };
    let [v, n] = [0, 1].map(Origin::Variable);
    assert_eq!(origins(&module), [vec![v], vec![n], vec![v]]);
    module.entries.iter_mut().for_each(|e| rewrite::all(&mut e.graph, |_, _| {}));
    rewrite::share_states(&mut module.entries.iter_mut().map(|e| &mut e.graph).collect::<Vec<_>>());
    assert_eq!(origins(&module), vec![vec![v, n]; 3]);
    for e in &module.entries {
        cranelite_graph::verify::verify(&e.graph).unwrap();
        let initial: Vec<f32> =
            e.graph.states.iter().map(|s| f32::from_le_bytes(s.initial.as_deref().unwrap()[..4].try_into().unwrap())).collect();
        assert_eq!(initial, [1.0, 2.0]);
    }
}

/// A CALL_ONCE runs when its signature is called for the first time, and what is compiled has it done before all: that is the same only where no signature
/// changes a variable that another one's CALL_ONCE would change again.
#[test]
fn what_is_in_variables_at_first_is_the_same_for_all() {
    let of = |a: Option<i32>, b_assigns: bool, b: Option<i32>| {
        let others = vec![first(&[("v", 1.0)]), first(&[("v", 1.0)])];
        together(vec![("a", main_graph("v", true, a)), ("b", main_graph("v", b_assigns, b))], others)
    };
    let said = "do not agree on what is in the variable \"v\" at first";
    assert!(read(&of(Some(2), true, Some(2)), Signatures::All).is_ok());
    assert!(problem(&of(Some(2), true, Some(3)), Signatures::All).contains(said));
    assert!(problem(&of(Some(2), false, Some(3)), Signatures::All).contains(said));
    assert!(problem(&of(Some(2), true, None), Signatures::All).contains(said));
    // What is only read there may be read before, where the reference would not.
    let module = read(&of(Some(2), false, None), Signatures::All).unwrap();
    assert_eq!(module.entries[1].graph.states[0].initial, module.entries[0].graph.states[0].initial);
    assert!(problem(&of(None, false, Some(2)), Signatures::All).contains(said));

    // Without any, another signature must assign it.
    let mut m = of(None, false, None);
    assert!(problem(&m, named(&["b"])).contains("compile a signature that assigns it with this one"));
    let places: Vec<String> = read(&m, Signatures::All).expect_err("a problem").iter().map(|d| d.place.to_string()).collect();
    assert_eq!(places, ["subgraph 0, operator 1 READ_VARIABLE"]);
    // It assigns what it does not read.
    m.operators[1].code = BuiltinOperator::ASSIGN_VARIABLE.0;
    m.operators.truncate(3);
    (m.operators[1].inputs, m.operators[1].outputs) = (vec![0, 1], vec![]);
    m.operators[2].inputs = vec![1, 1];
    let module = read(&m, Signatures::All).unwrap();
    assert!(module.entries.iter().all(|e| e.graph.states.len() == 1 && e.graph.states[0].initial.is_none()));
}
