//! Resource variables: what VAR_HANDLE names, and the states that they become.
//!
//! Not READ_VARIABLE and ASSIGN_VARIABLE, which are operators. The idea: a handle is a name that is known when the model is compiled, so
//! that every tensor that holds one is the variable's state itself. A variable has the type of what is read from it or assigned to it anywhere in the
//! file; what a CALL_ONCE assigns is in it from the beginning. Signatures that are compiled together share their variables, so what one of them assigns, others
//! may read; and as a CALL_ONCE would come later where the signature that has it is called later, they must agree on what is in a variable at first.

use super::file::File;
use super::tensors;
use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::graph::{Graph, Node, Origin, State, Value, ValueId};
use crate::ops::Op;
use crate::tensor::TensorType;
use bytes::Bytes;
use cranelite_schema as schema;
use schema::BuiltinOperator;
use std::collections::{BTreeMap, BTreeSet};

/// Container and name.
type Key = (String, String);

struct Variable {
    name: String,
    ty: Option<TensorType>,
    /// What subgraphs assign that a CALL_ONCE runs.
    initial: BTreeMap<usize, Bytes>,
    /// In the graph that is being built.
    value: Option<ValueId>,
}

/// Those of the whole file.
#[derive(Default)]
pub struct Variables {
    all: Vec<Variable>,
    by_key: BTreeMap<Key, usize>,
    /// Of each signature's graph: the subgraphs that a CALL_ONCE in it runs, and in which order.
    once: Vec<BTreeMap<usize, usize>>,
}

impl Variables {
    pub fn read(file: &File) -> Variables {
        let mut variables = Variables::default();
        for subgraph in file.model.subgraphs().into_iter().flatten() {
            let mut handles: BTreeMap<i32, usize> = BTreeMap::new();
            for o in subgraph.operators().into_iter().flatten() {
                let input = |i: usize| o.inputs().filter(|all| i < all.len()).map(|all| all.get(i));
                let output = o.outputs().filter(|all| !all.is_empty()).map(|all| all.get(0));
                let moved = match file.codes.get(o.opcode_index() as usize).map(|c| c.code) {
                    Some(BuiltinOperator::VAR_HANDLE) => {
                        handles.extend(output.map(|t| (t, variables.of(o))));
                        continue;
                    }
                    Some(BuiltinOperator::ASSIGN_VARIABLE) => input(1),
                    Some(BuiltinOperator::READ_VARIABLE) => output,
                    _ => continue,
                };
                let tensor = moved.and_then(|t| subgraph.tensors().filter(|all| (t as usize) < all.len()).map(|all| all.get(t as usize)));
                if let (Some(&v), Some(tensor)) = (input(0).and_then(|t| handles.get(&t)), tensor) {
                    let ty = &mut variables.all[v].ty;
                    *ty = ty.take().or_else(|| tensors::declared_type(file, tensor));
                }
            }
        }
        variables
    }

    /// The variable that a VAR_HANDLE names.
    pub fn of(&mut self, o: schema::Operator) -> usize {
        let options = o.builtin_options_as_var_handle_options();
        let text = |t: Option<_>| t.map(schema::text).unwrap_or_default();
        let key = (text(options.and_then(|o| o.container())), text(options.and_then(|o| o.shared_name())));
        let name = key.1.clone();
        *self.by_key.entry(key).or_insert_with(|| {
            self.all.push(Variable { name, ty: None, initial: BTreeMap::new(), value: None });
            self.all.len() - 1
        })
    }

    /// The variable's state in `graph`; `None` where nothing anywhere reads or assigns it.
    pub fn value(&mut self, variable: usize, graph: &mut Graph) -> Option<ValueId> {
        let v = &mut self.all[variable];
        let ty = v.ty.clone()?;
        let value = *v.value.get_or_insert_with(|| graph.add_value(Value { name: v.name.clone(), ty, data: None }));
        if !graph.is_state(value) {
            // A new value, behind all others.
            graph.states.push(State { value, initial: None, origin: Origin::Variable(variable as u32) });
        }
        Some(value)
    }

    /// The graph of another signature follows.
    pub fn begin_entry(&mut self) {
        self.enter();
        self.once.push(BTreeMap::new());
    }

    /// The graph of the signature runs this subgraph once, before it uses variables.
    pub fn call_once(&mut self, subgraph: usize) {
        let once = self.once.last_mut().expect("a signature has begun");
        let next = once.len();
        once.entry(subgraph).or_insert(next);
    }

    /// From now on values are those of another graph.
    pub fn enter(&mut self) -> Vec<Option<ValueId>> {
        self.all.iter_mut().map(|v| v.value.take()).collect()
    }

    /// Back in the graph that `enter` left.
    pub fn leave(&mut self, values: Vec<Option<ValueId>>) {
        for (v, value) in self.all.iter_mut().zip(values) {
            v.value = value;
        }
    }

    /// Which variables the states of a graph are, as long as values are those of that graph.
    pub fn of_states(&self, graph: &Graph) -> Vec<usize> {
        let by_value: BTreeMap<ValueId, usize> = self.all.iter().enumerate().filter_map(|(i, v)| Some((v.value?, i))).collect();
        graph.states.iter().filter_map(|s| by_value.get(&s.value).copied()).collect()
    }

    /// Makes `all` of these variables the states of a body that has `own` ones, in their order.
    pub fn complete(&self, body: &mut Graph, own: &[usize], all: &BTreeSet<usize>) {
        let mut stand_in: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let states = std::mem::take(&mut body.states);
        for &variable in all {
            let Variable { name, ty, .. } = &self.all[variable];
            // A new value, behind all others.
            let value =
                body.add_value(Value { name: name.clone(), ty: ty.clone().expect("a variable with a value has a type"), data: None });
            let old = own.iter().position(|v| *v == variable).map(|i| states[i].value);
            stand_in.extend(old.map(|old| (old, value)));
            body.states.push(State { value, initial: None, origin: Origin::Variable(variable as u32) });
        }
        let reads = body.nodes.iter_mut().flat_map(Node::reads_mut);
        reads.chain(&mut body.outputs).for_each(|v| *v = stand_in.get(v).copied().unwrap_or(*v));
    }

    /// What the graph of a CALL_ONCE's subgraph, whose constants are computed, assigns; its states are the variables `own`.
    pub fn initialise(&mut self, subgraph: usize, graph: &Graph, own: &[usize]) -> Result<(), Diagnostic> {
        for n in &graph.nodes {
            let assigned = match n.op {
                Op::AssignVariable(_) => n.input(1).and_then(|v| graph.value(v).data.clone()),
                _ => None,
            };
            let variable = graph.states.iter().zip(own).find(|(s, _)| Some(s.value) == n.input(0)).map(|(_, v)| *v);
            let (Some(data), Some(variable)) = (assigned, variable) else {
                return Err(Diagnostic::new(Code::CONSTANT, "what is assigned at the beginning is not known when the model is compiled")
                    .expected("ASSIGN_VARIABLE of constants")
                    .found(n.op.name())
                    .help("assign constants when the model is converted"));
            };
            self.all[variable].initial.insert(subgraph, data);
        }
        Ok(())
    }

    /// Writes into the states of all signatures' graphs what is in them at first. Without that, nothing may be read before it is assigned, by another
    /// signature if need be.
    pub fn finish(&self, graphs: &mut [&mut Graph]) -> Vec<Diagnostic> {
        let changed: Vec<BTreeSet<Origin>> =
            graphs.iter().map(|g| g.changed_states().into_iter().map(|at| g.states[at].origin).collect()).collect();
        let mut problems = vec![];
        let used: BTreeSet<Origin> = graphs.iter().flat_map(|g| &g.states).map(|s| s.origin).collect();
        let mut initial: BTreeMap<Origin, Bytes> = BTreeMap::new();
        for (v, origin) in self.all.iter().zip((0..).map(Origin::Variable)).filter(|(_, origin)| used.contains(origin)) {
            match self.initial(v, |entry| changed[entry].contains(&origin)) {
                Ok(found) => initial.extend(found.map(|data| (origin, data))),
                Err(d) => problems.push(d),
            }
        }
        for (i, graph) in graphs.iter_mut().enumerate() {
            // Who uses each state first.
            let mut first: BTreeMap<ValueId, usize> = BTreeMap::new();
            for (at, n) in graph.nodes.iter().enumerate() {
                n.reads().filter(|v| graph.is_state(*v)).for_each(|v| _ = first.entry(v).or_insert(at));
            }
            for at in 0..graph.states.len() {
                let State { value, origin, .. } = graph.states[at];
                let Origin::Variable(number) = origin else { continue };
                graph.states[at].initial = initial.get(&origin).cloned();
                let is_assigned = || (0..changed.len()).any(|other| other != i && changed[other].contains(&origin));
                let user = first.get(&value).map(|at| &graph.nodes[*at]);
                if let Some(n) = user.filter(|n| !initial.contains_key(&origin) && !assigns(n, value) && !is_assigned()) {
                    let name = quoted(&self.all[number as usize].name);
                    let d = Diagnostic::new(Code::ORDER, format!("the variable {name} is read before anything is assigned to it"));
                    let help = "let the model assign it at the beginning (CALL_ONCE), or compile a signature that assigns it with this one";
                    problems.push(d.help(help).in_node(graph, n));
                }
            }
        }
        problems
    }

    /// What is in a variable at first, if the signatures agree on that: one that does not say it must not change the variable.
    fn initial(&self, v: &Variable, changes: impl Fn(usize) -> bool) -> Result<Option<Bytes>, Diagnostic> {
        let mut said: Option<Vec<usize>> = None;
        let mut agree = true;
        for once in &self.once {
            let mut by: Vec<usize> = v.initial.keys().copied().filter(|s| once.contains_key(s)).collect();
            by.sort_by_key(|s| once[s]);
            if !by.is_empty() {
                agree &= *said.get_or_insert_with(|| by.clone()) == by;
            }
        }
        let is_silent = |once: &BTreeMap<usize, usize>| !v.initial.keys().any(|s| once.contains_key(s));
        agree &= said.is_none() || !(0..self.once.len()).any(|entry| is_silent(&self.once[entry]) && changes(entry));
        if !agree {
            let message = format!("the signatures do not agree on what is in the variable {} at first", quoted(&v.name));
            let help = "let each signature that changes it run the same CALL_ONCE, or compile the signatures into objects of their own";
            return Err(Diagnostic::new(Code::ORDER, message).help(help));
        }
        Ok(said.and_then(|by| v.initial.get(by.last()?)).cloned())
    }
}

fn assigns(n: &Node, state: ValueId) -> bool {
    n.writes().any(|v| v == state)
}
