//! One walk over the operators in the file's order, which is the order of execution.
//!
//! The idea: each operator is decoded and its results' shapes inferred as soon as its operands are known. When that fails, the shapes
//! that the file declares stand in, so that operators behind a faulty one are checked too. Shapes, axes and the like that operators compute from
//! constants, and from shapes, are computed here when an operator asks for them, by what folds constants later (`rewrite/fold.rs`).
//!
//! A subgraph that an operator calls is walked with the operands' shapes, and their bytes where these are constants, each time that it is called.
//! What surely runs once becomes part of the graph around it; a branch or the body of a loop becomes a graph of the operator's own.

use super::file::{File, OperatorCode};
use super::items::{Items, SetItem};
use super::signatures;
use super::tensors::{self, Content, Refusals, Tensor};
use super::variables::Variables;
use super::{InputKey, Options, decode};
use crate::diagnostic::{Code, Diagnostic, Place, Side, quoted};
use crate::graph::{self, Effect, Folding, Graph, Node, Origin, State, Value, ValueId};
use crate::lower::indices;
use crate::ops::counts::Count;
use crate::ops::{Control, Kept, Key, Op, Operand, Signature, Sizes, Source, dynamic_update_slice, pad};
use crate::rewrite::fold;
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;
use cranelite_schema as schema;
use schema::BuiltinOperator;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

mod decoding;

/// Elements of a vector of sizes, at most, and operators in a row that these go through.
const MOST_NUMBERS: usize = 16;
const NUMBERS_DEPTH: usize = 8;

/// Outputs that repeat others, at most: four bytes of the file each, but a copy, a pointer and a description in what is made of it.
const MOST_REPEATED: usize = 4096;

/// Subgraphs in subgraphs, at most: the compiler recurses for each.
const MOST_NESTED: usize = 24;
/// Operators of subgraphs that are called several times count each time: so many of them at most for each operator of the file, or so many.
const MOST_COPIES: usize = 16;
const FREE_COPIES: usize = 4096;

/// What the walks over the subgraphs of a file have in common.
pub struct Session {
    pub variables: Variables,
    /// Numbers of the subgraphs that are called.
    pub called: BTreeSet<usize>,
    /// Of those, the ones that a CALL_ONCE ran.
    initialised: BTreeSet<usize>,
    /// Positions of the model's inputs that are constants.
    pub settled: Vec<usize>,
    /// Bounds of sizes that are known at run time only, by name.
    max_dims: Vec<(String, usize)>,
    /// The same by position of the model's inputs, for what these decide.
    max_dims_by_input: BTreeMap<usize, usize>,
    /// Those that are being walked, outer ones first.
    path: Vec<usize>,
    /// Operators that may still be walked.
    operators_left: usize,
    first_operators: Arc<[u32]>,
}

impl Session {
    pub fn new(file: &File) -> Session {
        let counts: Vec<usize> =
            file.model.subgraphs().into_iter().flatten().map(|s| s.operators().map_or(0, |operators| operators.len())).collect();
        let mut next = 0;
        let first_operators = counts.iter().map(|n| (next as u32, next += n).0).collect::<Vec<u32>>();
        Session {
            variables: Variables::read(file),
            called: BTreeSet::new(),
            initialised: BTreeSet::new(),
            settled: vec![],
            max_dims: vec![],
            max_dims_by_input: BTreeMap::new(),
            path: vec![],
            operators_left: next.saturating_mul(MOST_COPIES).max(FREE_COPIES),
            first_operators: if 1 < counts.len() { first_operators.into() } else { Arc::default() },
        }
    }

    /// The main graph of another signature follows.
    pub fn begin_entry(&mut self) {
        self.variables.begin_entry();
        self.settled.clear();
        self.path.clear();
    }
}

/// What the inputs of a subgraph are.
pub enum Inputs<'o> {
    /// The caller's of the compiled model.
    Caller(&'o signatures::Signature, &'o Options),
    /// Operands of the operator that runs it.
    Operands(Vec<Argument>),
}

/// An operand that a subgraph gets, with its bytes if it is the same constant whenever the subgraph runs.
#[derive(Clone)]
pub struct Argument {
    ty: TensorType,
    data: Option<Bytes>,
    /// Which of the numbers behind all operands counts its first dimension.
    count: Option<usize>,
}

pub struct Walk<'f, 'a> {
    file: &'f File<'a>,
    /// Of the subgraph.
    number: usize,
    subgraph: schema::SubGraph<'a>,
    tensors: Vec<Tensor>,
    problems: Vec<Diagnostic>,
    graph: Graph,
    /// Tensors that are variables' states.
    handles: BTreeSet<usize>,
    /// An operator runs it.
    is_body: bool,
    /// Number of its first operator.
    first_operator: u32,
    /// The node that computes a value from nothing but constants, for those values.
    computable: BTreeMap<ValueId, usize>,
    /// A node has an effect.
    acts: bool,
}

impl<'f, 'a> Walk<'f, 'a> {
    pub fn new(file: &'f File<'a>, number: usize, subgraph: schema::SubGraph<'a>) -> Self {
        let mut problems = vec![];
        let name = subgraph.name().map(schema::text).filter(|n| !n.is_empty()).unwrap_or("main".into());
        let tensors = tensors::read(file, subgraph, &place(number), &mut problems);
        let graph = Graph { name, ..Graph::default() };
        Walk {
            file,
            number,
            subgraph,
            tensors,
            problems,
            graph,
            handles: BTreeSet::new(),
            is_body: false,
            first_operator: 0,
            computable: BTreeMap::new(),
            acts: false,
        }
    }

    pub fn run(mut self, inputs: Inputs, session: &mut Session) -> Result<Graph, Vec<Diagnostic>> {
        // One at least, so that nothing is walked again and again.
        let count = self.subgraph.operators().map_or(0, |operators| operators.len()).max(1);
        let problem = if session.path.contains(&self.number) {
            Some(Diagnostic::new(Code::FEATURE, format!("subgraph {} runs itself", self.number)).help("write it as a loop"))
        } else if MOST_NESTED <= session.path.len() {
            Some(Diagnostic::new(Code::FEATURE, "too many subgraphs within each other").expected(format!("at most {MOST_NESTED}")))
        } else if session.operators_left < count {
            let d = Diagnostic::new(Code::FEATURE, "subgraphs are run from so many places that the model becomes too large");
            Some(d.expected(format!("at most {FREE_COPIES} operators, or {MOST_COPIES} times as many as the file has")))
        } else {
            None
        };
        if let Some(d) = problem {
            return Err(vec![d]);
        }
        session.operators_left -= count;
        session.path.push(self.number);
        self.first_operator = session.first_operators.get(self.number).copied().unwrap_or(0);
        self.graph.first_operators = session.first_operators.clone();
        match inputs {
            Inputs::Caller(names, options) => self.inputs(names, options, session),
            Inputs::Operands(arguments) => {
                self.is_body = true;
                self.arguments(arguments);
            }
        }
        let is_needed = self.needed();
        let items = Items::find(self.file, self.subgraph, &self.tensors);
        for (i, o) in self.subgraph.operators().into_iter().flatten().enumerate() {
            let (code, i) = (self.file.codes.get(o.opcode_index() as usize).map(|c| c.code), i as u32);
            match code {
                Some(BuiltinOperator::VAR_HANDLE) => self.handle(i, o, &mut session.variables),
                Some(BuiltinOperator::CALL_ONCE) => self.call_once(i, o, session),
                Some(BuiltinOperator::CUSTOM) if self.file.codes.get(o.opcode_index() as usize).is_some_and(decode::is_decode) => {
                    self.decode_constants(i, o, is_needed[i as usize]);
                }
                _ if items.parts.contains(&(i as usize)) => {}
                _ => {
                    let node = match items.set.get(&(i as usize)) {
                        Some(item) => self.set_item(i, o, item),
                        None => self.operator(i, o, is_needed[i as usize], session),
                    };
                    if let Some(node) = node {
                        self.add_node(node);
                    }
                }
            }
        }
        session.path.pop();
        self.outputs(session.path.is_empty());
        self.name_ways_out(session);
        let Graph { nodes, values, .. } = &mut self.graph;
        nodes.retain(|n| n.op.has_effect() || n.outputs.iter().any(|v| values[v.0 as usize].data.is_none()));
        if self.problems.is_empty() { Ok(self.graph) } else { Err(self.problems) }
    }

    fn add_node(&mut self, node: Node) {
        self.acts |= self.graph.effect(&node) != Effect::None;
        if node.reads().all(|v| self.graph.value(v).data.is_some() || self.computable.contains_key(&v)) {
            self.computable.extend(node.outputs.iter().map(|&v| (v, self.graph.nodes.len())));
        }
        self.graph.nodes.push(node);
    }

    fn place(&self) -> Place {
        place(self.number)
    }

    fn operator_place(&self, index: u32, name: &str) -> Place {
        Place { operator: Some((index, name.into())), ..self.place() }
    }

    /// VAR_HANDLE: from here on its result is the variable's state.
    fn handle(&mut self, index: u32, o: schema::Operator<'a>, variables: &mut Variables) {
        let place = self.operator_place(index, "VAR_HANDLE");
        let outputs: Vec<i32> = o.outputs().into_iter().flatten().collect();
        let [output] = outputs[..] else {
            let d = Diagnostic::new(Code::ARITY, "wrong number of outputs").expected("1").found(outputs.len().to_string());
            return self.problems.push(d.at(place));
        };
        let Some(t) = self.result(&place, index, 0, output, Refusals::Left) else { return };
        let variable = variables.of(o);
        if let Some(v) = variables.value(variable, &mut self.graph) {
            let tensor = &mut self.tensors[t];
            (tensor.ty, tensor.value, tensor.content) = (self.graph.ty(v).clone(), Some(v), Content::Result);
            (tensor.data, tensor.refusal) = (None, None);
            self.handles.insert(t);
        }
    }

    /// The subgraph that an operator names.
    fn named_subgraph(&self, number: i32) -> Result<(usize, schema::SubGraph<'a>), Diagnostic> {
        let found = usize::try_from(number).ok().zip(self.file.model.subgraphs());
        found
            .and_then(|(i, all)| (i < all.len()).then(|| (i, all.get(i))))
            .ok_or_else(|| Diagnostic::new(Code::INDEX, format!("subgraph {number} does not exist")))
    }

    /// CALL_ONCE: what the subgraph assigns is in the variables from the beginning.
    fn call_once(&mut self, index: u32, o: schema::Operator<'a>, session: &mut Session) {
        let place = self.operator_place(index, "CALL_ONCE");
        let number = o.builtin_options_as_call_once_options().map_or(0, |o| o.init_subgraph_index());
        let (number, subgraph) = match self.named_subgraph(number) {
            Ok(found) => found,
            Err(d) => return self.problems.push(d.at(place)),
        };
        let problem = if 1 < session.path.len() || number == self.number {
            Some(Diagnostic::new(Code::FEATURE, "CALL_ONCE is not in the model's main graph").expected("assignments of constants"))
        } else if self.acts {
            Some(Diagnostic::new(Code::FEATURE, "variables are used before they get what is in them at first"))
        } else {
            None
        };
        if let Some(d) = problem {
            return self.problems.push(d.at(place));
        }
        session.variables.call_once(number);
        if !session.initialised.insert(number) {
            return;
        }
        let problems = match self.walk(number, subgraph, vec![], session) {
            Err(problems) => problems,
            Ok((mut graph, variables)) => {
                while fold::run(&mut graph) {}
                session.variables.initialise(number, &graph, &variables).err().map(|d| d.at(place)).into_iter().collect()
            }
        };
        self.problems.extend(problems);
    }

    /// The graph of another subgraph, and which variables its states are.
    fn walk(
        &mut self,
        number: usize,
        subgraph: schema::SubGraph<'a>,
        arguments: Vec<Argument>,
        session: &mut Session,
    ) -> Result<(Graph, Vec<usize>), Vec<Diagnostic>> {
        session.called.insert(number);
        let values = session.variables.enter();
        let mut walk = Walk::new(self.file, number, subgraph);
        let depth = session.path.len();
        walk.graph.folding = self.graph.folding;
        let graph = walk.run(Inputs::Operands(arguments), session);
        session.path.truncate(depth);
        let variables = graph.as_ref().map(|g| session.variables.of_states(g)).unwrap_or_default();
        session.variables.leave(values);
        let graph = graph?;
        self.graph.folding = graph.folding;
        Ok((graph, variables))
    }

    /// The graphs that an operator chooses from.
    fn branches(
        &mut self,
        place: &Place,
        control: &Control,
        operands: Vec<ValueId>,
        session: &mut Session,
    ) -> Result<Bodies, Vec<Diagnostic>> {
        let (arguments, counts) = self.handed_on(control.first_input, &operands).map_err(|d| vec![d.at(place.clone())])?;
        let (mut graphs, states) = self.bodies(place, control, &arguments, session)?;
        let operator = self.operator_number(place);
        // Results whose sizes the branch decides are counted.
        let count = graphs.iter().map(|g| g.outputs.len()).min().unwrap_or(0);
        for i in 0..count {
            let shapes: Vec<&[usize]> = graphs.iter().map(|g| &g.ty(g.outputs[i]).shape[..]).collect();
            let is_counted = graphs.iter().any(|g| g.counts.contains_key(&g.outputs[i]));
            let fits = shapes.iter().all(|s| !s.is_empty() && s[1..] == shapes[0].get(1..).unwrap_or_default()[..]);
            let has_room = graphs.iter().all(|g| has_room(g.ty(g.outputs[i])));
            if fits && has_room && (is_counted || shapes.iter().any(|s| *s != shapes[0])) {
                let rows = shapes.iter().map(|s| s[0]).max().unwrap_or(0);
                for graph in &mut graphs {
                    count_result(graph, i, rows, operator).map_err(|d| vec![d.at(place.clone())])?;
                }
            }
        }
        Ok(Bodies { graphs, first: control.first_input, operands, further: [counts, states].concat() })
    }

    /// The condition and the body of a loop. Operands whose sizes change from turn to turn are counted, and have room for the most. Otherwise the
    /// operand that has no bound, if it could have one.
    fn turns(
        &mut self,
        place: &Place,
        control: &Control,
        at: &Application<'_, 'a>,
        mut operands: Vec<ValueId>,
        session: &mut Session,
    ) -> Result<Result<Bodies, Option<usize>>, Vec<Diagnostic>> {
        let here = |d: Diagnostic| vec![d.at(place.clone())];
        let (mut arguments, _) = self.handed_on(0, &operands).map_err(here)?;
        // Each has a count of its own, because each may become something else.
        let mut count = 0;
        for a in &mut arguments {
            a.count = a.count.map(|_| (count, count += 1).0);
        }
        // After the first turn operands are results, except for those that the last subgraph hands on as they are.
        let last = control.subgraphs.last().map(|s| self.named_subgraph(*s)).transpose().map_err(here)?;
        if let Some((_, last)) = last {
            let tensors = |tensors: Option<_>, i: usize| tensors.and_then(|t: schema::flatbuffers::Vector<i32>| t.iter().nth(i));
            for (i, a) in arguments.iter_mut().enumerate() {
                a.data.take_if(|_| tensors(last.inputs(), i) != tensors(last.outputs(), i));
            }
        }
        let operator = self.operator_number(place);
        let mut bounded: BTreeSet<usize> = BTreeSet::new();
        loop {
            let (mut graphs, states) = self.bodies(place, control, &arguments, session)?;
            let Some(body) = graphs.last_mut().filter(|b| operands.len() <= b.outputs.len()) else {
                return Ok(Ok(Bodies { graphs, first: 0, operands, further: states }));
            };
            let mut has_changed = false;
            for (i, argument) in arguments.iter_mut().enumerate() {
                let (before, after) = (&argument.ty.shape, &body.ty(body.outputs[i]).shape);
                let fits = !before.is_empty() && before.len() == after.len() && before[1..] == after[1..] && has_room(&argument.ty);
                let is_counted = argument.count.is_some();
                let changes = !is_counted && body.counts.contains_key(&body.outputs[i]) || before != after;
                // Of what is counted there may be fewer, and more where the user says how many.
                let is_bounded = is_counted && fits && (after[0] <= before[0] || bounded.contains(&i));
                if !changes || is_bounded {
                    continue;
                }
                if !fits {
                    return Ok(Err(None));
                }
                let result = Application { outputs: &at.outputs[i.min(at.outputs.len())..], ..*at };
                let sizes = OpenSizes { walk: &*self, session: &*session, at: &result };
                let most = if after[0] <= before[0] { Some(before[0]) } else { sizes.most().filter(|most| before[0] <= *most) };
                let Some(most) = most else { return Ok(Err(Some(i))) };
                (argument.ty.shape[0], argument.count, argument.data) = (most, Some(0), None);
                bounded.insert(i);
                has_changed = true;
            }
            if has_changed {
                let counted = arguments.iter_mut().filter_map(|a| a.count.as_mut());
                counted.enumerate().for_each(|(k, count)| *count = k);
                continue;
            }
            let mut counts = vec![];
            for (i, argument) in arguments.iter().enumerate().filter(|(_, a)| a.count.is_some()) {
                let rows = argument.ty.shape[0];
                // What is larger ends the invocation.
                let most = rows.max(body.ty(body.outputs[i]).shape.first().copied().unwrap_or(0));
                count_result(body, i, most, operator).map_err(here)?;
                let (first, before) = (self.graph.nodes.len(), operands[i]);
                let (v, count) = counted(&mut self.graph, before, rows, operator).map_err(here)?;
                for node in self.graph.nodes.split_off(first) {
                    self.add_node(node);
                }
                operands[i] = v;
                counts.push(count);
            }
            return Ok(Ok(Bodies { graphs, first: 0, operands, further: [counts, states].concat() }));
        }
    }

    fn operator_number(&self, place: &Place) -> u32 {
        self.first_operator + place.operator.as_ref().map_or(0, |o| o.0)
    }

    /// The graphs that an operator runs, and the states that they all have after their inputs.
    fn bodies(
        &mut self,
        place: &Place,
        control: &Control,
        arguments: &[Argument],
        session: &mut Session,
    ) -> Result<(Vec<Graph>, Vec<ValueId>), Vec<Diagnostic>> {
        let here = |d: Diagnostic| vec![d.at(place.clone())];
        let subgraphs = control.subgraphs.iter().map(|s| self.named_subgraph(*s)).collect::<Result<Vec<_>, _>>().map_err(here)?;
        let (mut bodies, mut variables) = (vec![], vec![]);
        for (number, subgraph) in subgraphs {
            let (body, its) = self.walk(number, subgraph, arguments.to_vec(), session).map_err(|problems| of_caller(problems, place))?;
            bodies.push(body);
            variables.push(its);
        }
        let all: BTreeSet<usize> = variables.iter().flatten().copied().collect();
        for (body, its) in bodies.iter_mut().zip(variables) {
            session.variables.complete(body, &its, &all);
        }
        let states = all.into_iter().filter_map(|v| session.variables.value(v, &mut self.graph)).collect();
        Ok((bodies, states))
    }

    /// What an operator hands on of its inputs, from `first` on.
    fn operands(&mut self, first: usize, inputs: &[Option<usize>]) -> Result<Vec<ValueId>, Diagnostic> {
        let one = |(i, t): (usize, &Option<usize>)| match t {
            Some(t) => Ok(self.value(*t)),
            None => Err(Diagnostic::new(Code::ARITY, format!("input {i} is absent but not optional"))),
        };
        inputs.iter().enumerate().skip(first).map(one).collect()
    }

    /// What the subgraphs of an operator get of its inputs, from `first` on, and what counts that.
    fn handed_on(&mut self, first: usize, values: &[ValueId]) -> Result<(Vec<Argument>, Vec<ValueId>), Diagnostic> {
        let (mut arguments, mut counts) = (vec![], vec![]);
        for (i, &v) in values.iter().enumerate() {
            self.compute(v).map_err(|d| d.detail(format!("input {}", first + i)))?;
            let value = self.graph.value(v);
            let count = self.graph.counts.get(&v).map(|count| {
                counts.iter().position(|c| c == count).unwrap_or_else(|| {
                    counts.push(*count);
                    counts.len() - 1
                })
            });
            arguments.push(Argument { ty: value.ty.clone(), data: value.data.clone().filter(|_| count.is_none()), count });
        }
        Ok((arguments, counts))
    }

    /// What counts the first dimension of a tensor at run time.
    fn count_of(&self, t: usize) -> Option<ValueId> {
        self.graph.counts.get(&self.tensors[t].value?).copied()
    }

    /// The bytes of a constant, or of what was computed from constants.
    fn known_bytes(&self, t: usize) -> Option<Bytes> {
        let tensor = &self.tensors[t];
        let computed = || self.graph.value(tensor.value?).data.clone();
        tensor.data.clone().or_else(computed)
    }

    /// The elements of a short vector of integers, as far as they are known.
    fn numbers(&self, v: ValueId, depth: usize) -> Vec<Option<i64>> {
        let Value { ty, data, .. } = self.graph.value(v);
        let count = ty.element_count();
        if !matches!(ty.element, ElementType::I32 | ElementType::I64) || 1 < ty.rank() || MOST_NUMBERS < count {
            return vec![];
        }
        if let Some(data) = data {
            return indices::numbers(ty, data).into_iter().map(Some).collect();
        }
        let node = self.graph.nodes.iter().rev().find(|n| n.outputs.first() == Some(&v)).filter(|_| 0 < depth);
        let Some(node) = node else { return vec![None; count] };
        let of = |v: &Option<ValueId>| v.map_or(vec![], |v| self.numbers(v, depth - 1));
        let numbers: Vec<Option<i64>> = match &node.op {
            Op::Shape(s) => s.shape.iter().enumerate().map(|(d, n)| Some(*n as i64).filter(|_| 0 < d || !s.is_counted)).collect(),
            Op::Pack(_) | Op::Concatenation(_) => node.inputs.iter().flat_map(of).collect(),
            Op::StridedSlice(s) if s.first.len() == 1 => {
                let all = of(&node.input(0));
                let at = |i: usize| all.get((s.first[0] as i64 + i as i64 * s.stride[0]) as usize).copied().flatten();
                (0..count).map(at).collect()
            }
            op if op.is_view() || matches!(op, Op::Cast(_)) => of(&node.input(0)),
            _ => vec![],
        };
        if numbers.len() == count { numbers } else { vec![None; count] }
    }

    /// A subgraph whose operators stand for the operator that runs it, or for a turn of that; what it makes of the operands.
    fn inline(&mut self, place: &Place, number: i32, operands: &[ValueId], session: &mut Session) -> Result<Vec<ValueId>, Vec<Diagnostic>> {
        let here = |d: Diagnostic| vec![d.at(place.clone())];
        let (number, subgraph) = self.named_subgraph(number).map_err(here)?;
        let (arguments, counts) = self.handed_on(0, operands).map_err(here)?;
        let (body, variables) = self.walk(number, subgraph, arguments, session).map_err(|problems| of_caller(problems, place))?;
        if operands.iter().zip(&body.inputs).any(|(outer, inner)| !is_alike(self.graph.ty(*outer), body.ty(*inner))) {
            return Err(here(other_types()));
        }
        let states: Vec<ValueId> = variables.into_iter().filter_map(|v| session.variables.value(v, &mut self.graph)).collect();
        let first = self.graph.nodes.len();
        let results = self.graph.inline(body, &[operands, &counts].concat(), &states);
        for node in self.graph.nodes.split_off(first) {
            self.add_node(node);
        }
        Ok(results)
    }

    /// Values that nodes from `first` on have computed become the results of an operator.
    fn become_results(&mut self, place: &Place, outputs: &[usize], results: Vec<ValueId>, first: usize) -> Result<(), Vec<Diagnostic>> {
        let here = |d: Diagnostic| vec![d.at(place.clone())];
        if results.len() != outputs.len() {
            let d =
                Diagnostic::new(Code::ARITY, "the subgraph that is run has another number of outputs").expected(outputs.len().to_string());
            return Err(here(d.found(results.len().to_string())));
        }
        if outputs.iter().zip(&results).any(|(t, v)| !is_alike(&self.tensors[*t].ty, self.graph.ty(*v))) {
            return Err(here(other_types()));
        }
        let produced: BTreeSet<ValueId> = self.graph.nodes[first..].iter().flat_map(|n| n.outputs.clone()).collect();
        for (&t, v) in outputs.iter().zip(results) {
            let tensor = &mut self.tensors[t];
            (tensor.ty, tensor.value, tensor.content) = (self.graph.ty(v).clone(), Some(v), Content::Result);
            if produced.contains(&v) {
                self.graph.value_mut(v).name = tensor.name.clone();
            }
        }
        Ok(())
    }

    /// A loop whose operands change their shapes from turn to turn: as many turns one after the other as its condition, which must be computable, says.
    fn unroll(
        &mut self,
        place: &Place,
        control: &Control,
        operands: &[ValueId],
        session: &mut Session,
    ) -> Result<Vec<ValueId>, Vec<Diagnostic>> {
        let here = |d: Diagnostic| vec![d.at(place.clone())];
        let [test, body] = control.subgraphs[..] else {
            return Err(here(Diagnostic::new(Code::ARITY, "a loop has a condition and a body")));
        };
        let [(_, test_graph), (_, body_graph)] = [self.named_subgraph(test).map_err(here)?, self.named_subgraph(body).map_err(here)?];
        let handed_over = handed_over(body_graph);
        if handed_over.iter().any(|(i, _)| reads_input(test_graph, *i)) {
            let d = Diagnostic::new(Code::FEATURE, "the condition reads an operand that gets the number of one before it");
            return Err(here(d.help("copy the operand in the body before it is handed on")));
        }
        let first = self.graph.nodes.len();
        let mut values = operands.to_vec();
        loop {
            let results = self.inline(place, test, &values, session)?;
            let goes_on = match results[..] {
                [v] if self.graph.ty(v).element == ElementType::Bool && self.graph.ty(v).element_count() == 1 => v,
                _ => return Err(here(Diagnostic::new(Code::OPERAND, "the condition must give one bool"))),
            };
            self.compute(goes_on).map_err(here)?;
            match &self.graph.value(goes_on).data {
                Some(bytes) if bytes[0] == 0 => return Ok(values),
                Some(_) => {}
                None => {
                    let message =
                        "an operand of the loop has another shape after each turn, and how many there are is known at run time only";
                    let mut d = Diagnostic::new(Code::CONSTANT, message);
                    d.help = Some("give it the largest shape that it can have, and count how much of it is in use".into());
                    d.bounded = Some(String::new());
                    d.deciding = self.operands_behind(first, goes_on, operands);
                    return Err(here(d));
                }
            }
            values = self.inline(place, body, &values, session)?;
            if values.len() != operands.len() {
                let d = Diagnostic::new(Code::ARITY, "the body gives another number of results than it takes operands");
                return Err(here(d.expected(operands.len().to_string()).found(values.len().to_string())));
            }
            handed_over.iter().for_each(|&(i, j)| values[i] = values[j]);
        }
    }

    /// Which operands a value is computed from by nodes from `first` on.
    fn operands_behind(&self, first: usize, v: ValueId, operands: &[ValueId]) -> Vec<usize> {
        let mut behind = BTreeSet::from([v]);
        for node in self.graph.nodes[first..].iter().rev() {
            if node.outputs.iter().any(|v| behind.contains(v)) {
                behind.extend(node.reads());
            }
        }
        (0..operands.len()).filter(|i| behind.contains(&operands[*i])).collect()
    }

    /// Inputs of a subgraph that an operator runs.
    fn arguments(&mut self, arguments: Vec<Argument>) {
        let indices: Vec<i32> = self.subgraph.inputs().into_iter().flatten().collect();
        if indices.len() != arguments.len() {
            let named = indices.iter().filter_map(|i| usize::try_from(*i).ok());
            named.for_each(|i| _ = self.tensors.get_mut(i).map(|t| t.content = Content::Unknown));
            let d = Diagnostic::new(Code::ARITY, "wrong number of operands for the subgraph that is run");
            return self.problems.push(d.at(self.place()).expected(indices.len().to_string()).found(arguments.len().to_string()));
        }
        for t in &mut self.tensors {
            // Shapes in the file may have been computed from others.
            if let Content::Unwritten { declared } = &mut t.content {
                *declared = false;
            }
        }
        let mut counted = vec![];
        for (i, (index, argument)) in indices.into_iter().zip(arguments).enumerate() {
            let (place, role) = (self.place(), format!("subgraph input {i}"));
            let Some(index) = self.tensor_index(&place, &role, index) else { continue };
            let tensor = &mut self.tensors[index];
            let problem = match tensor.content {
                _ if tensor.refusal.is_some() => tensor.refusal.take(),
                Content::Unknown => continue,
                Content::Input => Some(Diagnostic::new(Code::ORDER, "the tensor is an input of the subgraph twice")),
                Content::Constant => Some(Diagnostic::new(Code::ORDER, "a constant cannot be an input of the subgraph")),
                _ if tensor.ty.element != argument.ty.element => {
                    let d = Diagnostic::new(Code::TYPES, "the subgraph that is run takes another element type");
                    Some(d.expected(tensor.ty.element.to_string()).found(argument.ty.element.to_string()))
                }
                Content::Result | Content::State | Content::Unwritten { .. } => None,
            };
            tensor.data = None;
            tensor.content = if problem.is_some() { Content::Unknown } else { Content::Input };
            if let Some(d) = problem {
                self.report(&place, &role, index, d);
                continue;
            }
            tensor.ty.shape = argument.ty.shape;
            let v = self.value(index);
            self.graph.inputs.push(v);
            counted.extend(argument.count.map(|count| (count, v)));
            if let Some(data) = argument.data {
                let Value { name, ty, .. } = self.graph.value(v).clone();
                self.tensors[index].value = Some(self.graph.add_value(Value { name, ty, data: Some(data) }));
            }
        }
        // Numbers that count operands are inputs behind these.
        let mut counts = BTreeMap::new();
        for (count, v) in counted {
            counts.entry(count).or_insert_with(Vec::new).push(v);
        }
        for values in counts.into_values() {
            let count = add_count(&mut self.graph, values[0], None);
            self.graph.inputs.push(count);
            self.graph.counts.extend(values.into_iter().map(|v| (v, count)));
        }
    }

    /// Of each operator, whether an output of the model depends on it or it may do more than compute its results.
    fn needed(&self) -> Vec<bool> {
        let mut tensors: BTreeSet<i32> = self.subgraph.outputs().into_iter().flatten().collect();
        let operators: Vec<_> = self.subgraph.operators().into_iter().flatten().collect();
        let mut is_needed = vec![false; operators.len()];
        for (o, is_needed) in operators.iter().zip(&mut is_needed).rev() {
            let outputs = o.outputs().unwrap_or_default();
            let is_pure = self.file.codes.get(o.opcode_index() as usize).is_some_and(is_pure);
            *is_needed = !is_pure || outputs.is_empty() || outputs.iter().any(|t| tensors.contains(&t));
            if *is_needed {
                tensors.extend(o.inputs().into_iter().flatten());
            }
        }
        is_needed
    }

    fn inputs(&mut self, names: &signatures::Signature, options: &Options, session: &mut Session) {
        let indices: Vec<i32> = self.subgraph.inputs().into_iter().flatten().collect();
        let shapes = self.given(names, &indices, &options.input_shapes, "a shape");
        let values = self.given(names, &indices, &options.input_values, "a value");
        self.bounds(names, &indices, &options.max_dims, session);
        if !shapes.is_empty() || !values.is_empty() {
            // Shapes in the file were computed from others.
            for t in &mut self.tensors {
                if let Content::Unwritten { declared } = &mut t.content {
                    *declared = false;
                }
            }
        }
        for (i, &index) in indices.iter().enumerate() {
            let place = self.place();
            let role = format!("model input {i}");
            let Some(index) = self.tensor_index(&place, &role, index) else { continue };
            let tensor = &mut self.tensors[index];
            let problem = match tensor.content {
                _ if tensor.refusal.is_some() => tensor.refusal.take(),
                Content::Unknown => continue,
                Content::Input => Some(Diagnostic::new(Code::ORDER, "the tensor is a model input twice")),
                Content::Constant => Some(Diagnostic::new(Code::ORDER, "a constant cannot be a model input")),
                Content::Result | Content::State | Content::Unwritten { .. } => None,
            };
            let value = values.get(&i).copied();
            let problem = problem.or_else(|| match value.map(|v| &v.shape).or(shapes.get(&i).copied()) {
                _ if value.is_some_and(|v| v.element != tensor.ty.element) => {
                    let d = Diagnostic::new(Code::INPUT, "the value that is given has another element type");
                    Some(d.expected(tensor.ty.element.to_string()).found(value.map_or(String::new(), |v| v.element.to_string())))
                }
                Some(shape) => {
                    tensor.ty.shape = shape.clone();
                    tensors::check_size(tensor.ty.element, shape).err()
                }
                None if !tensor.shape_is_known => Some(Diagnostic::new(Code::SHAPE, "the shape of a model input is open").help(format!(
                    "give it: --input-shape {}=1,...",
                    names.inputs.get(i).and_then(Option::as_ref).unwrap_or(&tensor.name)
                ))),
                None => None,
            });
            // What the file gave it is replaced at run time.
            tensor.data = None;
            tensor.content = if problem.is_some() { Content::Unknown } else { Content::Input };
            match problem {
                Some(d) => self.report(&place, &role, index, d),
                None => {
                    let v = self.value(index);
                    match value {
                        Some(value) => {
                            self.graph.value_mut(v).data = Some(value.data.clone());
                            session.settled.push(i);
                        }
                        None => self.graph.inputs.push(v),
                    }
                }
            }
        }
    }

    /// Which inputs the user gave bounds of what they decide.
    fn bounds(&mut self, names: &signatures::Signature, indices: &[i32], max_dims: &[(String, usize)], session: &mut Session) {
        session.max_dims = max_dims.to_vec();
        session.max_dims_by_input.clear();
        for (name, most) in max_dims {
            let tensor = |t: &i32| usize::try_from(*t).ok().and_then(|t| self.tensors.get(t));
            let is_named = |i: usize| names.inputs.get(i).and_then(Option::as_ref) == Some(name);
            let input = (0..indices.len()).find(|i| is_named(*i) || tensor(&indices[*i]).is_some_and(|t| t.name == *name));
            session.max_dims_by_input.extend(input.map(|i| (i, *most)));
            let mut tensors = self.file.model.subgraphs().into_iter().flatten().flat_map(|s| s.tensors().into_iter().flatten());
            if input.is_none() && !tensors.any(|t| t.name().is_some_and(|n| schema::text(n) == *name)) {
                let d = Diagnostic::new(Code::INPUT, format!("the model has no tensor {} whose size could have a bound", quoted(name)));
                self.problems.push(d.at(self.place()).help("`cranelite check` names those that need one"));
            }
        }
    }

    /// What the user gave inputs, by their positions.
    fn given<'o, T>(
        &mut self,
        names: &signatures::Signature,
        indices: &[i32],
        given: &'o [(InputKey, T)],
        what: &str,
    ) -> BTreeMap<usize, &'o T> {
        let tensor_name =
            |i: usize| indices.get(i).and_then(|&t| self.tensors.get(usize::try_from(t).ok()?)).map_or("", |t| t.name.as_str());
        let name = |i: usize| names.inputs.get(i).and_then(Option::as_deref).unwrap_or_else(|| tensor_name(i));
        let (mut found, mut problems) = (BTreeMap::new(), vec![]);
        for (key, of_input) in given {
            let position = match key {
                InputKey::Index(i) => Some(*i).filter(|i| *i < indices.len()),
                InputKey::Name(n) => {
                    (0..indices.len()).find(|i| name(*i) == n).or_else(|| (0..indices.len()).find(|i| tensor_name(*i) == n))
                }
            };
            match position {
                Some(i) => {
                    found.insert(i, of_input);
                }
                None => {
                    let key = match key {
                        InputKey::Name(n) => quoted(n),
                        InputKey::Index(i) => i.to_string(),
                    };
                    let names: Vec<String> = (0..indices.len()).map(|i| quoted(name(i))).collect();
                    let d = Diagnostic::new(Code::INPUT, format!("the model has no input {key} to give {what}"));
                    problems.push(d.at(self.place()).expected(names.join(", ")));
                }
            }
        }
        self.problems.extend(problems);
        found
    }

    /// Positions of the subgraph's inputs that the tensors are computed from, before operator `end`.
    fn inputs_behind(&self, end: u32, tensors: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut behind: BTreeSet<i32> = tensors.into_iter().map(|t| t as i32).collect();
        let operators: Vec<_> = self.subgraph.operators().into_iter().flatten().take(end as usize).collect();
        for o in operators.into_iter().rev() {
            if o.outputs().into_iter().flatten().any(|t| behind.contains(&t)) {
                behind.extend(o.inputs().into_iter().flatten());
            }
        }
        let inputs = self.subgraph.inputs().into_iter().flatten().enumerate();
        inputs.filter(|(_, t)| behind.contains(t)).map(|(i, _)| i).collect()
    }

    /// The node, unless there is a problem with it or with what it reads. What it cannot be is no problem when nobody needs it.
    fn operator(&mut self, index: u32, o: schema::Operator<'a>, is_needed: bool, session: &mut Session) -> Option<Node> {
        let code = self.file.codes.get(o.opcode_index() as usize);
        let name = code.map_or_else(|| "?".to_string(), operator_name);
        let place = self.operator_place(index, &name);

        let control = code.and_then(|c| control(c, &o));
        let supported = control.is_some() || code.is_some_and(|c| Op::arity(c.key()).is_some());
        let refusals = match (is_needed, supported) {
            (false, _) => Refusals::Left,
            (true, false) => Refusals::Dropped,
            (true, true) => Refusals::Reported,
        };
        let before = self.problems.len();
        let inputs: Vec<Option<usize>> =
            o.inputs().into_iter().flatten().enumerate().map(|(i, t)| self.operand(&place, i, t, refusals)).collect();
        let outputs: Vec<usize> =
            o.outputs().into_iter().flatten().enumerate().filter_map(|(i, t)| self.result(&place, index, i, t, refusals)).collect();
        let known = |t: &usize| self.tensors[*t].content != Content::Unknown && self.tensors[*t].refusal.is_none();
        let takes_handles = matches!(code.map(|c| c.code), Some(BuiltinOperator::READ_VARIABLE | BuiltinOperator::ASSIGN_VARIABLE));
        let is_handle = |i: &usize| self.handles.contains(i);
        let misplaced = |(i, t): (usize, &Option<usize>)| t.as_ref().is_some_and(is_handle) != (takes_handles && i == 0);
        let decoded = match code {
            None => {
                let found = format!("{} operator codes", self.file.codes.len());
                Err(Diagnostic::new(Code::INDEX, format!("operator code {} does not exist", o.opcode_index())).found(found))
            }
            Some(code) if !supported => Err(unsupported(code)),
            Some(_) if self.problems.len() == before && inputs.iter().enumerate().any(misplaced) && inputs.iter().flatten().all(known) => {
                Err(Diagnostic::new(Code::TYPES, "variables are read and assigned by READ_VARIABLE and ASSIGN_VARIABLE only"))
            }
            Some(code) if self.problems.len() == before && inputs.iter().flatten().chain(&outputs).all(known) => {
                let computed = if is_needed { self.compute_attributes(code, &inputs) } else { Ok(()) };
                let at = Application { index, operator: o, inputs: &inputs, outputs: &outputs, is_computed: computed.is_ok() };
                let first_input = control.as_ref().map_or(0, |c| c.first_input);
                let run = control.map(|c| self.control(&place, &c, &at, session));
                match run.transpose() {
                    Ok(Some(Run::Inlined)) => return None,
                    Ok(Some(Run::Bodies(bodies))) => self.decode(code, &at, bodies, session).map(Some),
                    // What is not computed need not be wanted.
                    Ok(None) => self.decode(code, &at, Bodies::default(), session).map(Some).map_err(|d| match computed {
                        Err(exceeded) if d.code == Code::CONSTANT => exceeded,
                        _ => d,
                    }),
                    Err(mut problems) => {
                        // What a subgraph's inputs decide, those of this one do that its operands come from.
                        for d in problems.iter_mut().filter(|d| !d.deciding.is_empty()) {
                            let operand = |i: &usize| inputs.get(first_input + i).copied().flatten();
                            d.deciding = self.inputs_behind(index, d.deciding.iter().filter_map(operand));
                        }
                        self.problems.extend(problems);
                        Ok(None)
                    }
                }
            }
            Some(_) => Ok(None),
        };
        let decoded = decoded.unwrap_or_else(|d| {
            let operand = || inputs.get(d.place.detail.as_deref()?.strip_prefix("input ")?.parse::<usize>().ok()?).copied().flatten();
            let deciding = if d.code == Code::CONSTANT { self.inputs_behind(index, operand()) } else { vec![] };
            let tensor_name = |side, i: usize| {
                let tensor = match side {
                    Side::Input => *inputs.get(i)?,
                    Side::Output => outputs.get(i).copied(),
                };
                Some(self.tensors[tensor?].name.clone())
            };
            if is_needed {
                let mut d = d.in_operator(index, &name, tensor_name);
                d.deciding = deciding;
                d.place.subgraph = self.place().subgraph;
                self.problems.push(d);
            }
            None
        });
        for &t in &outputs {
            let tensor = &mut self.tensors[t];
            // An empty tensor looked like a constant.
            tensor.data = None;
            tensor.content = match tensor.content {
                // Where no problem has been reported, no node may follow that reads what none writes.
                Content::Unwritten { declared } if declared && is_needed || decoded.is_some() => Content::Result,
                _ => Content::Unknown,
            };
        }
        let Decoded { op, kept, shapes, first, operands, mut further, own_states, counts } = decoded?;
        for (&t, shape) in outputs.iter().zip(shapes) {
            self.tensors[t].ty.shape = shape;
        }
        let counted: Vec<Option<ValueId>> = inputs.iter().map(|t| self.count_of((*t)?)).collect();
        let mut inputs: Vec<Option<ValueId>> = kept.of(&inputs).into_iter().map(|t| t.map(|t| self.value(t))).collect();
        inputs.iter_mut().skip(first).zip(operands).for_each(|(input, v)| *input = Some(v));
        for ty in own_states {
            let name = format!("{}_state", outputs.first().map_or("", |&t| &self.tensors[t].name));
            let value = self.graph.add_value(Value { name, ty, data: None });
            // A new value, behind all others.
            let operator = self.first_operator + index;
            let of_operator = self.graph.states.iter().filter(|s| matches!(s.origin, Origin::Operator(other, _) if other == operator));
            let origin = Origin::Operator(operator, of_operator.count() as u32);
            self.graph.states.push(State { value, initial: None, origin });
            further.push(value);
        }
        inputs.extend(further.into_iter().map(Some));
        let mut outputs: Vec<ValueId> = outputs.iter().map(|&t| self.value(t)).collect();
        for (i, count) in counts.into_iter().enumerate() {
            let v = outputs[i];
            let count = match count {
                None => continue,
                Some(Count::Of(input)) => counted[input],
                Some(Count::Own) => {
                    let name = format!("{}_count", self.graph.value(v).name);
                    outputs.push(self.graph.add_value(Value { name, ty: TensorType::new(ElementType::I32, []), data: None }));
                    outputs.last().copied()
                }
            };
            self.graph.counts.extend(count.map(|count| (v, count)));
        }
        Some(Node { op, inputs, outputs, operator: self.first_operator + index, then: vec![] })
    }

    /// The node of three operators that set a list's item.
    fn set_item(&mut self, index: u32, o: schema::Operator<'a>, item: &SetItem) -> Option<Node> {
        const NAME: &str = "CONCATENATION";
        let place = self.operator_place(index, NAME);
        let mut inputs = vec![];
        for (i, t) in [item.list, item.item, item.first].into_iter().enumerate() {
            inputs.extend(self.operand(&place, i, t, Refusals::Reported));
        }
        let output = self.result(&place, index, 0, o.outputs().and_then(|all| all.iter().next())?, Refusals::Reported)?;
        let is_known = |t: &usize| self.tensors[*t].content != Content::Unknown && self.tensors[*t].refusal.is_none();
        let is_sound = inputs.len() == 3 && inputs.iter().chain([&output]).all(is_known);
        let op = Op::DynamicUpdateSlice(dynamic_update_slice::Attributes { is_checked: true });
        let shape = is_sound.then(|| {
            let [list, part] = [0, 1].map(|i| &self.tensors[inputs[i]].ty.shape);
            if part.first() != Some(&1) || part.get(1..) != list.get(1..) {
                let d = Diagnostic::new(Code::OPERAND, "what is put into a list is not one of its items");
                return Err(d.expected(format!("an item of {list:?}")).found(format!("{part:?}")));
            }
            let operand = |t: &usize| Some(Operand { ty: &self.tensors[*t].ty, data: None });
            op.infer(&Signature { inputs: inputs.iter().map(operand).collect(), outputs: vec![&self.tensors[output].ty] })
        });
        self.tensors[output].data = None;
        self.tensors[output].content = if matches!(shape, Some(Ok(_))) { Content::Result } else { Content::Unknown };
        match shape? {
            Ok(mut shapes) => self.tensors[output].ty.shape = shapes.remove(0),
            Err(d) => {
                self.problems.push(d.at(place));
                return None;
            }
        }
        let inputs = inputs.into_iter().map(|t| Some(self.value(t))).collect();
        Some(Node { op, inputs, outputs: vec![self.value(output)], operator: self.first_operator + index, then: vec![] })
    }

    /// Walks the subgraphs that an operator runs.
    fn control(
        &mut self,
        place: &Place,
        control: &Control,
        at: &Application<'_, 'a>,
        session: &mut Session,
    ) -> Result<Run, Vec<Diagnostic>> {
        let Application { inputs, outputs, .. } = *at;
        if let Some(t) = inputs.first().copied().flatten().filter(|_| 0 < control.first_input)
            && let Some(v) = self.tensors[t].value
        {
            self.compute(v).map_err(|d| vec![d.at(place.clone()).detail("input 0")])?;
        }
        let chosen = control.chosen.and_then(|chosen| match control.first_input {
            0 => Some(0),
            _ => {
                let t = inputs.first().copied().flatten()?;
                chosen(self.tensors[t].ty.element, &self.known_bytes(t)?)
            }
        });
        match chosen.and_then(|i| control.subgraphs.get(i).or(control.subgraphs.last())) {
            Some(&number) => {
                let operands = self.operands(control.first_input, inputs).map_err(|d| vec![d.at(place.clone())])?;
                let first = self.graph.nodes.len();
                let results = self.inline(place, number, &operands, session)?;
                self.become_results(place, outputs, results, first).map(|()| Run::Inlined)
            }
            None => {
                let operands = self.operands(control.first_input, inputs).map_err(|d| vec![d.at(place.clone())])?;
                if !control.is_loop() {
                    return self.branches(place, control, operands, session).map(Run::Bodies);
                }
                let open = match self.turns(place, control, at, operands.clone(), session)? {
                    Ok(bodies) => return Ok(Run::Bodies(bodies)),
                    Err(open) => open.and_then(|i| outputs.get(i)).map(|t| self.tensors[*t].name.clone()),
                };
                let first = self.graph.nodes.len();
                let results = self.unroll(place, control, &operands, session).map_err(|mut problems| {
                    problems.iter_mut().filter(|d| d.bounded.is_some()).for_each(|d| d.bounded.clone_from(&open));
                    problems
                })?;
                self.become_results(place, outputs, results, first).map(|()| Run::Inlined)
            }
        }
    }

    /// Computes the inputs that become attributes, where they are made of constants; the problem if there is too much to do.
    fn compute_attributes(&mut self, code: &OperatorCode, inputs: &[Option<usize>]) -> Result<(), Diagnostic> {
        let Some(arity) = Op::arity(code.key()) else { return Ok(()) };
        let kept: Vec<usize> = arity.kept.of(&(0..inputs.len()).collect::<Vec<_>>());
        for (i, t) in inputs.iter().enumerate().filter(|(i, _)| !kept.contains(i)) {
            if let Some(v) = t.and_then(|t| self.tensors[t].value) {
                self.compute(v).map_err(|d| d.detail(format!("input {i}")))?;
            }
        }
        Ok(())
    }

    /// Computes a value that is made of constants, and what it is made of.
    fn compute(&mut self, wanted: ValueId) -> Result<(), Diagnostic> {
        let (mut nodes, mut values) = (BTreeSet::new(), vec![wanted]);
        while let Some(v) = values.pop() {
            if let Some(&n) = self.computable.get(&v).filter(|_| self.graph.value(v).data.is_none())
                && nodes.insert(n)
            {
                values.extend(self.graph.nodes[n].reads());
            }
        }
        if nodes.is_empty() {
            return Ok(());
        }
        let constants = || graph::size_bytes_of_all(self.tensors.iter().filter_map(|t| t.data.as_deref()));
        let mut folding = self.graph.folding.unwrap_or_else(|| Folding::of_constants(constants()));
        self.graph.folding = Some(folding);
        while let Some(n) = nodes.pop_first() {
            let node = self.graph.nodes[n].clone();
            let is_affordable = fold::rest(&self.graph, &node, folding).is_some();
            let Some(results) = fold::results(&self.graph, &node, &mut folding) else {
                // Nothing is tried twice.
                nodes.insert(n);
                nodes.iter().flat_map(|n| &self.graph.nodes[*n].outputs).for_each(|v| _ = self.computable.remove(v));
                return if is_affordable { Ok(()) } else { Err(Folding::exceeded("what shapes and axes are made of")) };
            };
            for (v, data) in node.outputs.iter().zip(results) {
                self.graph.value_mut(*v).data = Some(data);
            }
            self.graph.folding = Some(folding);
        }
        Ok(())
    }

    fn decode(&self, code: &OperatorCode, at: &Application<'_, 'a>, bodies: Bodies, session: &Session) -> Result<Decoded, Diagnostic> {
        let Application { operator: o, inputs, outputs, .. } = *at;
        let arity = Op::arity(code.key()).ok_or_else(|| unsupported(code))?;
        let newest = Op::newest_version(code.key());
        if !(1..=newest).contains(&code.version) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "version of the operator is not known")
                .expected(format!("1 to {newest}"))
                .found(code.version.to_string()));
        }
        let count = |what: &str, expected: String, found: usize| {
            Err(Diagnostic::new(Code::ARITY, format!("wrong number of {what}")).expected(expected).found(found.to_string()))
        };
        if !arity.inputs.contains(&inputs.len()) {
            return count("inputs", range(&arity.inputs), inputs.len());
        }
        if !arity.outputs.contains(&outputs.len()) {
            return count("outputs", range(&arity.outputs), outputs.len());
        }
        let computed = |t: usize| self.graph.value(self.tensors[t].value?).data.as_deref();
        let operand = |t: &Option<usize>| {
            t.map(|t| Operand { ty: &self.tensors[t].ty, data: self.tensors[t].data.as_deref().or_else(|| computed(t)) })
        };
        let mut signature =
            Signature { inputs: inputs.iter().map(operand).collect(), outputs: outputs.iter().map(|&t| &self.tensors[t].ty).collect() };
        let Bodies { graphs, first, operands, further } = bodies;
        for (input, v) in signature.inputs.iter_mut().skip(first).zip(&operands) {
            *input = Some(Operand { ty: self.graph.ty(*v), data: self.graph.value(*v).data.as_deref() });
        }
        let operators_of = |number: i32| -> Result<Vec<BuiltinOperator>, Diagnostic> {
            let operators = self.named_subgraph(number)?.1.operators().into_iter().flatten();
            let codes = operators.map(|o| self.file.codes.get(o.opcode_index() as usize).map(|c| c.code));
            Ok(codes.map(|c| c.unwrap_or(BuiltinOperator::CUSTOM)).collect())
        };
        if code.symbol.is_some() {
            self.check_results_are_known(outputs)?;
        }
        let tensor = |t: i32| self.tensors.get(usize::try_from(t).ok()?).filter(|t| t.content != Content::Unknown).map(|t| &t.ty);
        let intermediates = o.intermediates().into_iter().flatten().map(tensor).collect();
        let counted: Vec<Option<ValueId>> = inputs.iter().map(|t| self.count_of((*t)?)).collect();
        let source = Source {
            operator: o,
            version: code.version,
            symbol: code.symbol.as_deref(),
            signature,
            bodies: graphs,
            intermediates,
            operators_of: &operators_of,
            counted: counted.iter().map(Option::is_some).collect(),
            sizes: &OpenSizes { walk: self, session, at },
        };
        let op = Op::decode(code.key(), &source)?;
        let mut signature = source.signature;
        let kept = op.kept();
        signature.inputs = kept.of(&signature.inputs);
        signature.inputs.extend(further.iter().map(|v| Some(Operand { ty: self.graph.ty(*v), data: None })));
        let own_states = op.own_states(&signature).map_err(|d| kept.in_model(d))?;
        if self.is_body && !own_states.is_empty() {
            return Err(Diagnostic::new(Code::FEATURE, "operators with a state in subgraphs that an operator runs are not supported")
                .help("move the operator into the main subgraph"));
        }
        signature.inputs.extend(own_states.iter().map(|ty| Some(Operand { ty, data: None })));
        self.check_states(&op, &kept.of(inputs), &further, own_states.len())?;
        let counts = op.counts(&signature, &counted)?;
        let shapes = op.infer(&signature).map_err(|d| kept.in_model(d))?;
        for (i, (shape, ty)) in shapes.iter().zip(&signature.outputs).enumerate() {
            tensors::check_size(ty.element, shape).map_err(|d| d.detail(format!("output {i}")))?;
        }
        Ok(Decoded { op, kept, shapes, first, operands, further, own_states, counts })
    }

    /// That what an operator changes are states, and each of them once.
    fn check_states(&self, op: &Op, inputs: &[Option<usize>], of_bodies: &[ValueId], own: usize) -> Result<(), Diagnostic> {
        let mut states = BTreeSet::new();
        for at in op.writes() {
            // Those that the operator keeps for itself are made for it.
            if 0 < own && inputs.len() + of_bodies.len() <= at {
                continue;
            }
            let of_input = |t: &Option<usize>| self.tensors[(*t)?].value;
            let state = inputs.get(at).map_or_else(|| of_bodies.get(at - inputs.len()).copied(), of_input);
            if !state.is_some_and(|v| self.graph.is_state(v) && states.insert(v)) {
                return Err(Diagnostic::new(Code::TYPES, "what the operator changes is no variable tensor of its own")
                    .detail(format!("input {at}"))
                    .expected("a variable tensor, which keeps what is in it from one invocation to the next"));
            }
        }
        Ok(())
    }

    /// Of an operator whose results have the shapes that the file says, and no others.
    fn check_results_are_known(&self, outputs: &[usize]) -> Result<(), Diagnostic> {
        for (i, &t) in outputs.iter().enumerate() {
            let t = &self.tensors[t];
            if !t.shape_is_known || t.content == (Content::Unwritten { declared: false }) {
                return Err(Diagnostic::new(Code::SHAPE, "the shape of a custom operator's result is not known")
                    .detail(format!("output {i}"))
                    .expected("the shape that the file gives it, with the inputs' shapes of the file")
                    .help("export the model with fixed shapes, and do not give its inputs others"));
            }
        }
        Ok(())
    }

    /// Index of an input's tensor that can be read.
    fn operand(&mut self, place: &Place, i: usize, index: i32, refusals: Refusals) -> Option<usize> {
        if index == -1 {
            return None;
        }
        let role = format!("input {i}");
        let index = self.tensor_index(place, &role, index)?;
        let tensor = &mut self.tensors[index];
        // Once is enough: after a problem the tensor is unknown, of which nothing is said.
        if tensor.refusal.is_some() {
            if let Some(d) = tensor.refused(refusals) {
                self.report(place, &role, index, d);
            }
        } else if let Content::Unwritten { .. } = tensor.content {
            match &tensor.data {
                // Without bytes; whoever writes it now comes too late.
                Some(_) => tensor.content = Content::Constant,
                None if tensor.is_variable && tensor.shape_is_known && !self.is_body => self.state(index),
                None if tensor.is_variable && self.is_body => {
                    tensor.content = Content::Unknown;
                    let d = Diagnostic::new(Code::FEATURE, "variable tensors of subgraphs that an operator runs are not supported");
                    self.report(place, &role, index, d.help("hand the state on from turn to turn, or keep it in a resource variable"));
                }
                None => {
                    tensor.content = Content::Unknown;
                    let d = Diagnostic::new(Code::ORDER, "nothing has written the tensor that is read");
                    self.report(place, &role, index, d.expected("a model input, a constant or the result of an earlier operator"));
                }
            }
        }
        Some(index)
    }

    /// Makes a state of a variable tensor. The reference sets all its bytes to the zero point of int8, or to zero.
    fn state(&mut self, index: usize) {
        let value = self.value(index);
        let tensor = &mut self.tensors[index];
        tensor.content = Content::State;
        let zero = if tensor.ty.element == ElementType::I8 { tensor.ty.zero_point() as u8 } else { 0 };
        let initial = (zero != 0).then(|| vec![zero; tensor.ty.size_bytes()].into());
        let origin = Origin::Tensor(self.number as u32, index as u32);
        self.graph.states.push(State { value, initial, origin });
    }

    /// Index of an output's tensor that can be written.
    fn result(&mut self, place: &Place, operator: u32, i: usize, index: i32, refusals: Refusals) -> Option<usize> {
        let role = format!("output {i}");
        let index = self.tensor_index(place, &role, index)?;
        let tensor = &mut self.tensors[index];
        let writer = tensor.writer.replace(operator);
        let problem = match tensor.content {
            _ if tensor.refusal.is_some() => tensor.refused(refusals),
            _ if writer == Some(operator) => Some(Diagnostic::new(Code::ORDER, "the tensor is written twice")),
            Content::Unwritten { .. } | Content::Unknown => None,
            Content::Constant => Some(Diagnostic::new(Code::ORDER, "a constant is written")),
            Content::Input => Some(Diagnostic::new(Code::ORDER, "a model input is written")),
            Content::Result => Some(Diagnostic::new(Code::ORDER, "the tensor is written twice")),
            Content::State => Some(
                Diagnostic::new(Code::ORDER, "an operator gives what an earlier one has read from a variable tensor")
                    .expected("variable tensors that are operands alone"),
            ),
        };
        if let Some(d) = problem {
            self.report(place, &role, index, d);
        }
        Some(index)
    }

    /// In the messages: which inputs of the model could be given.
    fn name_ways_out(&mut self, session: &Session) {
        if !session.path.is_empty() {
            return;
        }
        let names: Vec<String> = self
            .subgraph
            .inputs()
            .into_iter()
            .flatten()
            .map(|t| usize::try_from(t).ok().and_then(|t| self.tensors.get(t)).map_or(String::new(), |t| t.name.clone()))
            .collect();
        for d in &mut self.problems {
            let options: Vec<String> = d.deciding.iter().map(|i| format!("--input-value {}=FILE.npy", names[*i])).collect();
            let always = format!("if it is always the same, give it when the model is compiled: {}", options.join(" "));
            let decided = || d.deciding.first().map(|i| &names[*i]).filter(|name| !name.is_empty());
            let name = d.bounded.as_ref().and_then(|name| Some(name).filter(|name| !name.is_empty()).or_else(decided));
            let bound = name.map(|name| format!("if it has a bound, give that: --max-dim {name}=N"));
            let ways: Vec<String> = Some(always).filter(|_| !d.deciding.is_empty()).into_iter().chain(bound).collect();
            if !ways.is_empty() {
                d.help = Some(ways.join("; "));
            }
        }
    }

    fn outputs(&mut self, is_main: bool) {
        let indices = self.subgraph.outputs();
        if is_main && indices.is_none_or(|o| o.is_empty()) {
            self.problems.push(Diagnostic::new(Code::INDEX, "the model has no output").at(self.place()));
        }
        let count = indices.map_or(0, |o| o.len());
        let repeated = count - indices.into_iter().flatten().collect::<BTreeSet<i32>>().len();
        if MOST_REPEATED < repeated {
            let d = Diagnostic::new(Code::FEATURE, "too many outputs of the model are the same tensors as others")
                .expected(format!("at most {MOST_REPEATED} of them"))
                .found(format!("{repeated} of {count} outputs"))
                .help("make each tensor an output once, and let the caller copy it");
            self.problems.push(d.at(self.place()));
            return;
        }
        for (i, index) in indices.into_iter().flatten().enumerate() {
            let place = self.place();
            let role = format!("model output {i}");
            let Some(index) = self.tensor_index(&place, &role, index) else { continue };
            let tensor = &mut self.tensors[index];
            if let Some(d) = tensor.refusal.take() {
                self.report(&place, &role, index, d);
            } else if matches!(tensor.content, Content::Unwritten { .. }) && tensor.data.is_none() {
                let d = Diagnostic::new(Code::ORDER, "nothing writes a model output");
                self.report(&place, &role, index, d);
            } else if self.handles.contains(&index) {
                self.report(
                    &place,
                    &role,
                    index,
                    Diagnostic::new(Code::TYPES, "a variable is no result").expected("what READ_VARIABLE gives"),
                );
            } else if tensor.content != Content::Unknown {
                let v = self.value(index);
                self.graph.outputs.push(v);
            }
        }
    }

    /// The value of a tensor whose type is final.
    fn value(&mut self, index: usize) -> ValueId {
        if let Some(v) = self.tensors[index].value {
            return v;
        }
        let tensor = &self.tensors[index];
        // Constants share the file's bytes: however many tensors name the same ones, memory does not grow.
        let (name, ty, data) = (tensor.name.clone(), tensor.ty.clone(), tensor.data.clone());
        let v = self.graph.add_value(Value { name, ty, data });
        self.tensors[index].value = Some(v);
        v
    }

    fn tensor_index(&mut self, place: &Place, role: &str, index: i32) -> Option<usize> {
        let found = usize::try_from(index).ok().filter(|i| *i < self.tensors.len());
        if found.is_none() {
            let d = Diagnostic::new(Code::INDEX, format!("tensor {index} does not exist"));
            self.problems.push(d.at(place.clone()).detail(role).found(format!("{} tensors", self.tensors.len())));
        }
        found
    }

    fn report(&mut self, place: &Place, role: &str, index: usize, d: Diagnostic) {
        let name = &self.tensors[index].name;
        let name = if name.is_empty() { String::new() } else { format!(" {}", quoted(name)) };
        self.problems.push(d.at(place.clone()).detail(format!("{role}{name}")));
    }
}

/// An operator in the file, with the tensors that it reads and writes.
#[derive(Clone, Copy)]
struct Application<'w, 'a> {
    index: u32,
    operator: schema::Operator<'a>,
    inputs: &'w [Option<usize>],
    outputs: &'w [usize],
    /// What its attributes are made of has been computed as far as it can be.
    is_computed: bool,
}

/// What is known of the sizes that an operator is given.
struct OpenSizes<'w, 'f, 'a> {
    walk: &'w Walk<'f, 'a>,
    session: &'w Session,
    at: &'w Application<'w, 'a>,
}

impl Sizes for OpenSizes<'_, '_, '_> {
    fn numbers(&self, input: usize) -> Vec<Option<i64>> {
        let value = self.at.inputs.get(input).copied().flatten().and_then(|t| self.walk.tensors[t].value);
        value.filter(|_| self.at.is_computed).map_or(vec![], |v| self.walk.numbers(v, NUMBERS_DEPTH))
    }

    fn most(&self) -> Option<usize> {
        let Session { max_dims, max_dims_by_input, .. } = self.session;
        let own = max_dims.iter().find(|(name, _)| *name == self.name()).map(|(_, most)| *most);
        own.or_else(|| {
            let bounds = Some(max_dims_by_input).filter(|all| !all.is_empty() && !self.walk.is_body)?;
            let inputs = self.walk.inputs_behind(self.at.index, self.at.inputs.iter().copied().flatten());
            inputs.iter().filter_map(|i| bounds.get(i)).min().copied()
        })
    }

    fn name(&self) -> String {
        self.at.outputs.first().map_or(String::new(), |t| self.walk.tensors[*t].name.clone())
    }
}

struct Decoded {
    op: Op,
    kept: Kept,
    /// Of the results.
    shapes: Vec<Vec<usize>>,
    /// Inputs from a position on that are other values than the tensors'.
    first: usize,
    operands: Vec<ValueId>,
    /// What its bodies read and write beside its inputs.
    further: Vec<ValueId>,
    /// What it keeps for itself.
    own_states: Vec<TensorType>,
    /// Of the results.
    counts: Vec<Option<Count>>,
}

/// What became of the subgraphs that an operator runs.
enum Run {
    /// The graph has their operators.
    Inlined,
    /// Graphs of the operator's own.
    Bodies(Bodies),
}

/// The graphs that an operator runs, and of what.
#[derive(Default)]
struct Bodies {
    graphs: Vec<Graph>,
    /// Position of the first of the inputs that they get.
    first: usize,
    /// These inputs, some of which have got room for more rows.
    operands: Vec<ValueId>,
    /// What the graphs read and write beside these: what counts operands, and states.
    further: Vec<ValueId>,
}

/// Which subgraphs an operator runs.
fn control(code: &OperatorCode, o: &schema::Operator) -> Option<Control> {
    let always = |subgraph: i32| Some(Control { subgraphs: vec![subgraph], first_input: 0, chosen: Some(|_, _| Some(0)) });
    match code.code {
        BuiltinOperator::CALL => always(o.builtin_options_as_call_options().map_or(0, |o| o.subgraph() as i32)),
        BuiltinOperator::STABLEHLO_COMPOSITE => {
            always(o.builtin_options_2_as_stable_hlocomposite_options().map_or(-1, |o| o.decomposition_subgraph_index()))
        }
        _ => Op::control(code.key(), o),
    }
}

/// The number that counts the first dimension of a value: known, or not yet.
fn add_count(graph: &mut Graph, of: ValueId, known: Option<usize>) -> ValueId {
    let name = format!("{}_count", graph.value(of).name);
    let data = known.map(|n| (n as i32).to_le_bytes().to_vec().into());
    graph.add_value(Value { name, ty: TensorType::new(ElementType::I32, []), data })
}

/// Whether a value of this type can be given room for more rows.
fn has_room(ty: &TensorType) -> bool {
    let nothing = vec![0; ty.rank()];
    let pad = Op::Pad(pad::Attributes { before: nothing.clone(), after: nothing });
    let signature = Signature { inputs: vec![Some(Operand { ty, data: None })], outputs: vec![ty] };
    pad.infer(&signature).is_ok() && ty.quantization.as_ref().is_none_or(|q| q.is_per_tensor())
}

/// A value with room for so many rows, behind its own, and what counts these.
fn counted(graph: &mut Graph, v: ValueId, rows: usize, operator: u32) -> Result<(ValueId, ValueId), Diagnostic> {
    let Value { name, ty, .. } = graph.value(v).clone();
    let own = ty.shape[0];
    let count = graph.counts.get(&v).copied().unwrap_or_else(|| add_count(graph, v, Some(own)));
    if rows <= own {
        return Ok((v, count));
    }
    let mut after = vec![0; ty.rank()];
    after[0] = rows - own;
    let op = Op::Pad(pad::Attributes { before: vec![0; ty.rank()], after });
    let shape = op.infer(&Signature { inputs: vec![Some(Operand { ty: &ty, data: None })], outputs: vec![&ty] })?.remove(0);
    tensors::check_size(ty.element, &shape)?;
    let padded = graph.add_value(Value { name, ty: TensorType { shape, ..ty }, data: None });
    graph.nodes.push(Node { op, inputs: vec![Some(v)], outputs: vec![padded], operator, then: vec![] });
    graph.counts.insert(padded, count);
    Ok((padded, count))
}

/// Makes a result of a body one with so many rows at most, which a further result counts.
fn count_result(body: &mut Graph, i: usize, rows: usize, operator: u32) -> Result<(), Diagnostic> {
    let (v, count) = counted(body, body.outputs[i], rows, operator)?;
    body.outputs[i] = v;
    body.outputs.push(count);
    body.counts.insert(v, count);
    Ok(())
}

/// Results of a loop's body that are operands, and which results these become: an operand before the result that changes, as in WHILE.
fn handed_over(body: schema::SubGraph) -> Vec<(usize, usize)> {
    let [inputs, outputs] = [body.inputs(), body.outputs()].map(|all| all.into_iter().flatten().collect::<Vec<i32>>());
    let before = |i: usize| inputs[..i.min(inputs.len())].iter().position(|t| *t == outputs[i]);
    let over = |i: usize| before(i).filter(|j| outputs[*j] != inputs[*j]).map(|j| (i, j));
    (0..outputs.len()).filter_map(over).collect()
}

fn reads_input(subgraph: schema::SubGraph, input: usize) -> bool {
    let Some(tensor) = subgraph.inputs().and_then(|all| all.iter().nth(input)) else { return false };
    let operators = subgraph.operators().into_iter().flatten();
    let mut reads = operators.flat_map(|o| o.inputs().into_iter().flatten()).chain(subgraph.outputs().into_iter().flatten());
    reads.any(|t| t == tensor)
}

/// Of one element type and quantisation.
fn is_alike(a: &TensorType, b: &TensorType) -> bool {
    (a.element, &a.quantization) == (b.element, &b.quantization)
}

fn other_types() -> Diagnostic {
    Diagnostic::new(Code::TYPES, "the subgraph that is run has other types or scales than the operator that runs it")
}

/// Problems of a subgraph; those without a place are of the operator that runs it.
fn of_caller(problems: Vec<Diagnostic>, place: &Place) -> Vec<Diagnostic> {
    problems.into_iter().map(|d| if d.place == Place::default() { d.at(place.clone()) } else { d }).collect()
}

fn place(subgraph: usize) -> Place {
    Place { subgraph: Some(subgraph as u32), ..Place::default() }
}

/// As in a sentence.
fn range(counts: &RangeInclusive<usize>) -> String {
    match (counts.start(), counts.end()) {
        (low, high) if low == high => low.to_string(),
        (low, &usize::MAX) => format!("at least {low}"),
        (low, high) => format!("{low} to {high}"),
    }
}

fn operator_name(c: &OperatorCode) -> String {
    match (c.code.variant_name(), &c.custom) {
        (Some("CUSTOM"), Some(name)) if Op::arity(c.key()).is_some() => name.clone(),
        (Some("CUSTOM"), Some(name)) => format!("CUSTOM {}", quoted(name)),
        (Some(name), _) => name.to_string(),
        (None, _) => format!("number {}", c.code.0),
    }
}

/// False for what calls other subgraphs or foreign code, writes state, or is not known.
fn is_pure(c: &OperatorCode) -> bool {
    use schema::BuiltinOperator as B;
    let acts = [
        B::CUSTOM,
        B::DELEGATE,
        B::CALL,
        B::CALL_ONCE,
        B::IF,
        B::WHILE,
        B::ASSIGN_VARIABLE,
        B::HASHTABLE_IMPORT,
        B::STABLEHLO_CUSTOM_CALL,
        B::STABLEHLO_COMPOSITE,
        B::STABLEHLO_WHILE,
        B::STABLEHLO_CASE,
        B::PLACEHOLDER_FOR_GREATER_OP_CODES,
    ];
    let is_known_custom = matches!(c.key(), Key::Custom(_)) && Op::arity(c.key()).is_some();
    is_known_custom || decode::is_decode(c) || c.code.variant_name().is_some() && !acts.contains(&c.code)
}

fn unsupported(c: &OperatorCode) -> Diagnostic {
    let name = operator_name(c);
    match c.code {
        schema::BuiltinOperator::CUSTOM => {
            let d = Diagnostic::new(Code::FEATURE, "the custom operator is not supported");
            match &c.custom {
                Some(name) if !name.is_empty() => d.help(format!(
                    "--custom {name}=symbol makes it a call of your own C function `symbol`; or convert the model with builtin operators only"
                )),
                _ => d.help("convert the model with builtin operators only"),
            }
        }
        code if code.variant_name().is_none() => Diagnostic::new(Code::OPERATOR, "the operator is not known").found(name),
        _ => Diagnostic::new(Code::OPERATOR, format!("{name} is not supported yet"))
            .help("replace it in the model, or split the model around it; `cranelite ops` lists what is supported"),
    }
}
