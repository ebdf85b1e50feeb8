//! One walk over the operators in the file's order, which is the order of execution.
//!
//! The idea: each operator is decoded and its results' shapes inferred as soon as its operands are known. When that fails, the shapes
//! that the file declares stand in, so that operators behind a faulty one are checked too. Shapes, axes and the like that operators compute from
//! constants, and from shapes, are computed here when an operator asks for them, by what folds constants later (`rewrite/fold.rs`).

use super::file::{File, OperatorCode};
use super::signatures;
use super::tensors::{self, Content, Refusals, Tensor};
use super::variables::Variables;
use super::{InputKey, Options};
use crate::diagnostic::{Code, Diagnostic, Place, Side, quoted};
use crate::graph::{self, Effect, Folding, Graph, Node, Value, ValueId};
use crate::ops::{Kept, Key, Op, Operand, Signature, Source};
use crate::rewrite::fold;
use cranelite_schema as schema;
use schema::BuiltinOperator;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Outputs that repeat others, at most: four bytes of the file each, but a copy, a pointer and a description in what is made of it.
const MOST_REPEATED: usize = 4096;

pub struct Walk<'f, 'a> {
    file: &'f File<'a>,
    /// Of the subgraph.
    number: usize,
    subgraph: schema::SubGraph<'a>,
    tensors: Vec<Tensor<'a>>,
    problems: Vec<Diagnostic>,
    graph: Graph,
    /// Tensors that are variables' states.
    handles: BTreeSet<usize>,
    /// Numbers of the subgraphs that are called.
    called: BTreeSet<usize>,
    /// The node that computes a value from nothing but constants, for those values.
    computable: BTreeMap<ValueId, usize>,
}

impl<'f, 'a> Walk<'f, 'a> {
    pub fn new(file: &'f File<'a>, number: usize, subgraph: schema::SubGraph<'a>, mut problems: Vec<Diagnostic>) -> Self {
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
            called: BTreeSet::new(),
            computable: BTreeMap::new(),
        }
    }

    /// The graph, and the numbers of the subgraphs that it has called.
    pub fn run(
        mut self,
        names: &signatures::Signature,
        variables: &mut Variables,
        options: &Options,
    ) -> Result<(Graph, BTreeSet<usize>), Vec<Diagnostic>> {
        self.inputs(names, options);
        let is_needed = self.needed();
        for (i, o) in self.subgraph.operators().into_iter().flatten().enumerate() {
            let (code, i) = (self.file.codes.get(o.opcode_index() as usize).map(|c| c.code), i as u32);
            match code {
                Some(BuiltinOperator::VAR_HANDLE) => self.handle(i, o, variables),
                Some(BuiltinOperator::CALL_ONCE) => self.call_once(i, o, variables),
                _ => {
                    if let Some(node) = self.operator(i, o, is_needed[i as usize]) {
                        self.add_node(node);
                    }
                }
            }
        }
        self.outputs();
        let Graph { nodes, values, .. } = &mut self.graph;
        nodes.retain(|n| n.op.has_effect() || n.outputs.iter().any(|v| values[v.0 as usize].data.is_none()));
        if self.problems.is_empty() { Ok((self.graph, self.called)) } else { Err(self.problems) }
    }

    fn add_node(&mut self, node: Node) {
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

    /// CALL_ONCE: what the subgraph assigns is in the variables from the beginning.
    fn call_once(&mut self, index: u32, o: schema::Operator<'a>, variables: &mut Variables) {
        let place = self.operator_place(index, "CALL_ONCE");
        let number = o.builtin_options_as_call_once_options().map_or(0, |o| o.init_subgraph_index());
        let found = usize::try_from(number).ok().zip(self.file.model.subgraphs());
        let Some((number, subgraph)) = found.and_then(|(i, all)| (i < all.len()).then(|| (i, all.get(i)))) else {
            let d = Diagnostic::new(Code::INDEX, format!("subgraph {number} does not exist"));
            return self.problems.push(d.at(place));
        };
        let problem = if self.number != 0 || number == 0 {
            Some(Diagnostic::new(Code::FEATURE, "the subgraph of a CALL_ONCE calls another one").expected("assignments of constants"))
        } else if self.graph.nodes.iter().any(|n| self.graph.effect(n) != Effect::None) {
            Some(Diagnostic::new(Code::FEATURE, "variables are used before they get what is in them at first"))
        } else {
            None
        };
        if let Some(d) = problem {
            return self.problems.push(d.at(place));
        }
        if !self.called.insert(number) {
            return;
        }
        let values = variables.enter();
        let names = signatures::Signature { inputs: vec![], outputs: vec![] };
        let assigned = Walk::new(self.file, number, subgraph, vec![]).run(&names, variables, &Options::default());
        let problems = match assigned {
            Err(problems) => problems,
            Ok((mut graph, _)) => {
                while fold::run(&mut graph) {}
                variables.initialise(&graph).err().map(|d| d.at(place)).into_iter().collect()
            }
        };
        self.problems.extend(problems);
        variables.leave(values);
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

    fn inputs(&mut self, names: &signatures::Signature, options: &Options) {
        let indices: Vec<i32> = self.subgraph.inputs().into_iter().flatten().collect();
        let shapes = self.given_shapes(names, &indices, options);
        if !shapes.is_empty() {
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
                Content::Result | Content::Unwritten { .. } => None,
            };
            let problem = problem.or_else(|| match shapes.get(&i) {
                Some(shape) => {
                    tensor.ty.shape = shape.to_vec();
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
                    self.graph.inputs.push(v);
                }
            }
        }
    }

    /// The shapes that the user chose, by position of the input.
    fn given_shapes<'o>(&mut self, names: &signatures::Signature, indices: &[i32], options: &'o Options) -> BTreeMap<usize, &'o [usize]> {
        let tensor_name =
            |i: usize| indices.get(i).and_then(|&t| self.tensors.get(usize::try_from(t).ok()?)).map_or("", |t| t.name.as_str());
        let name = |i: usize| names.inputs.get(i).and_then(Option::as_deref).unwrap_or_else(|| tensor_name(i));
        let mut shapes = BTreeMap::new();
        let mut problems = vec![];
        for (key, shape) in &options.input_shapes {
            let position = match key {
                InputKey::Index(i) => Some(*i).filter(|i| *i < indices.len()),
                InputKey::Name(n) => {
                    (0..indices.len()).find(|i| name(*i) == n).or_else(|| (0..indices.len()).find(|i| tensor_name(*i) == n))
                }
            };
            match position {
                Some(i) => {
                    shapes.insert(i, shape.as_slice());
                }
                None => {
                    let key = match key {
                        InputKey::Name(n) => quoted(n),
                        InputKey::Index(i) => i.to_string(),
                    };
                    let names: Vec<String> = (0..indices.len()).map(|i| quoted(name(i))).collect();
                    let d = Diagnostic::new(Code::INPUT, format!("the model has no input {key} to give a shape"));
                    problems.push(d.at(self.place()).expected(names.join(", ")));
                }
            }
        }
        self.problems.extend(problems);
        shapes
    }

    /// The node, unless there is a problem with it or with what it reads. What it cannot be is no problem when nobody needs it.
    fn operator(&mut self, index: u32, o: schema::Operator<'a>, is_needed: bool) -> Option<Node> {
        let code = self.file.codes.get(o.opcode_index() as usize);
        let name = code.map_or_else(|| "?".to_string(), operator_name);
        let place = self.operator_place(index, &name);

        let supported = code.is_some_and(|c| Op::arity(c.key()).is_some());
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
                // What is not computed need not be wanted.
                self.decode(code, o, &inputs, &outputs).map(Some).map_err(|d| match computed {
                    Err(exceeded) if d.code == Code::CONSTANT => exceeded,
                    _ => d,
                })
            }
            Some(_) => Ok(None),
        };
        let decoded = decoded.unwrap_or_else(|d| {
            let tensor_name = |side, i: usize| {
                let tensor = match side {
                    Side::Input => *inputs.get(i)?,
                    Side::Output => outputs.get(i).copied(),
                };
                Some(self.tensors[tensor?].name.clone())
            };
            if is_needed {
                let mut d = d.in_operator(index, &name, tensor_name);
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
        let (op, kept, shapes) = decoded?;
        for (&t, shape) in outputs.iter().zip(shapes) {
            self.tensors[t].ty.shape = shape;
        }
        let inputs = kept.of(&inputs).into_iter().map(|t| t.map(|t| self.value(t))).collect();
        let outputs = outputs.iter().map(|&t| self.value(t)).collect();
        Some(Node { op, inputs, outputs, operator: index, then: vec![] })
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
        let constants = || graph::size_bytes_of_all(self.tensors.iter().filter_map(|t| t.data));
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

    /// The operator, how many inputs it keeps, and the shapes of its results.
    fn decode(
        &self,
        code: &OperatorCode,
        o: schema::Operator<'a>,
        inputs: &[Option<usize>],
        outputs: &[usize],
    ) -> Result<(Op, Kept, Vec<Vec<usize>>), Diagnostic> {
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
        let operand =
            |t: &Option<usize>| t.map(|t| Operand { ty: &self.tensors[t].ty, data: self.tensors[t].data.or_else(|| computed(t)) });
        let signature =
            Signature { inputs: inputs.iter().map(operand).collect(), outputs: outputs.iter().map(|&t| &self.tensors[t].ty).collect() };
        if code.symbol.is_some() {
            self.check_results_are_known(outputs)?;
        }
        let source = Source { operator: o, version: code.version, symbol: code.symbol.as_deref(), signature };
        let op = Op::decode(code.key(), &source)?;
        let mut signature = source.signature;
        signature.inputs = arity.kept.of(&signature.inputs);
        let shapes = op.infer(&signature).map_err(|d| arity.kept.in_model(d))?;
        for (i, (shape, ty)) in shapes.iter().zip(&signature.outputs).enumerate() {
            tensors::check_size(ty.element, shape).map_err(|d| d.detail(format!("output {i}")))?;
        }
        Ok((op, arity.kept, shapes))
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
            match tensor.data {
                // Without bytes; whoever writes it now comes too late.
                Some(_) => tensor.content = Content::Constant,
                None => {
                    tensor.content = Content::Unknown;
                    let d = Diagnostic::new(Code::ORDER, "nothing has written the tensor that is read");
                    self.report(place, &role, index, d.expected("a model input, a constant or the result of an earlier operator"));
                }
            }
        }
        Some(index)
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
        };
        if let Some(d) = problem {
            self.report(place, &role, index, d);
        }
        Some(index)
    }

    fn outputs(&mut self) {
        let indices = self.subgraph.outputs();
        if self.number == 0 && indices.is_none_or(|o| o.is_empty()) {
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
        let (name, ty, bytes) = (tensor.name.clone(), tensor.ty.clone(), tensor.data);
        // Constants share the file's bytes: however many tensors name the same ones, memory does not grow.
        let data = bytes.map(|b| self.file.bytes.slice_ref(b));
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
    is_known_custom || c.code.variant_name().is_some() && !acts.contains(&c.code)
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
        schema::BuiltinOperator::IF
        | schema::BuiltinOperator::WHILE
        | schema::BuiltinOperator::CALL
        | schema::BuiltinOperator::STABLEHLO_WHILE
        | schema::BuiltinOperator::STABLEHLO_COMPOSITE => {
            Diagnostic::new(Code::FEATURE, format!("{name} calls other subgraphs, which is not supported yet"))
                .help("choose branches and unroll loops before the model is converted (Keras: unroll=True), or move them into the program")
        }
        code if code.variant_name().is_none() => Diagnostic::new(Code::OPERATOR, "the operator is not known").found(name),
        _ => Diagnostic::new(Code::OPERATOR, format!("{name} is not supported yet"))
            .help("replace it in the model, or split the model around it; `cranelite ops` lists what is supported"),
    }
}
