//! One walk over the operators in the file's order, which is the order of execution.
//!
//! The idea: each operator is decoded and its results' shapes inferred as soon as its operands are known. When that fails, the shapes
//! that the file declares stand in, so that operators behind a faulty one are checked too.

use super::file::{File, OperatorCode};
use super::signatures;
use super::tensors::{self, Content, Refusals, Tensor};
use super::{InputKey, Options, main_place};
use crate::diagnostic::{Code, Diagnostic, Place, Side, quoted};
use crate::graph::{Graph, Node, Value, ValueId};
use crate::ops::{Kept, Op, Operand, Signature, Source};
use cranelite_schema as schema;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Outputs that repeat others, at most: four bytes of the file each, but a copy, a pointer and a description in what is made of it.
const MOST_REPEATED: usize = 4096;

pub struct Walk<'f, 'a> {
    file: &'f File<'a>,
    names: &'f signatures::Signature,
    tensors: Vec<Tensor<'a>>,
    problems: Vec<Diagnostic>,
    graph: Graph,
}

impl<'f, 'a> Walk<'f, 'a> {
    pub fn new(file: &'f File<'a>, names: &'f signatures::Signature, tensors: Vec<Tensor<'a>>, problems: Vec<Diagnostic>) -> Self {
        let name = file.subgraph.name().map(schema::text).filter(|n| !n.is_empty()).unwrap_or("main".into());
        let graph = Graph { name, ..Graph::default() };
        Walk { file, names, tensors, problems, graph }
    }

    pub fn run(mut self, options: &Options) -> Result<Graph, Vec<Diagnostic>> {
        self.inputs(options);
        let is_needed = self.needed();
        for (i, o) in self.file.subgraph.operators().into_iter().flatten().enumerate() {
            let node = self.operator(i as u32, o, is_needed[i]);
            self.graph.nodes.extend(node);
        }
        self.outputs();
        if self.problems.is_empty() { Ok(self.graph) } else { Err(self.problems) }
    }

    /// Of each operator, whether an output of the model depends on it or it may do more than compute its results.
    fn needed(&self) -> Vec<bool> {
        let mut tensors: BTreeSet<i32> = self.file.subgraph.outputs().into_iter().flatten().collect();
        let operators: Vec<_> = self.file.subgraph.operators().into_iter().flatten().collect();
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

    fn inputs(&mut self, options: &Options) {
        let indices: Vec<i32> = self.file.subgraph.inputs().into_iter().flatten().collect();
        let shapes = self.given_shapes(&indices, options);
        if !shapes.is_empty() {
            // Shapes in the file were computed from others.
            for t in &mut self.tensors {
                if let Content::Unwritten { declared } = &mut t.content {
                    *declared = false;
                }
            }
        }
        for (i, &index) in indices.iter().enumerate() {
            let place = main_place();
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
                None if !tensor.shape_is_known => Some(
                    Diagnostic::new(Code::SHAPE, "the shape of a model input is open")
                        .help(format!("give it: --input-shape {}=1,...", self.names.inputs[i].as_ref().unwrap_or(&tensor.name))),
                ),
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
    fn given_shapes<'o>(&mut self, indices: &[i32], options: &'o Options) -> BTreeMap<usize, &'o [usize]> {
        let tensor_name =
            |i: usize| indices.get(i).and_then(|&t| self.tensors.get(usize::try_from(t).ok()?)).map_or("", |t| t.name.as_str());
        let name = |i: usize| self.names.inputs[i].as_deref().unwrap_or_else(|| tensor_name(i));
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
                    problems.push(d.at(main_place()).expected(names.join(", ")));
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
        let place = Place { operator: Some((index, name.clone())), ..main_place() };

        let supported = code.is_some_and(|c| Op::arity(c.code).is_some());
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
        let decoded = match code {
            None => {
                let found = format!("{} operator codes", self.file.codes.len());
                Err(Diagnostic::new(Code::INDEX, format!("operator code {} does not exist", o.opcode_index())).found(found))
            }
            Some(code) if !supported => Err(unsupported(code)),
            Some(code) if self.problems.len() == before && inputs.iter().flatten().chain(&outputs).all(known) => {
                self.decode(code, o, &inputs, &outputs).map(Some)
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
                self.problems.push(d.in_operator(index, &name, tensor_name));
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

    /// The operator, how many inputs it keeps, and the shapes of its results.
    fn decode(
        &self,
        code: &OperatorCode,
        o: schema::Operator<'a>,
        inputs: &[Option<usize>],
        outputs: &[usize],
    ) -> Result<(Op, Kept, Vec<Vec<usize>>), Diagnostic> {
        let arity = Op::arity(code.code).ok_or_else(|| unsupported(code))?;
        let newest = Op::newest_version(code.code);
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
        let operand = |t: &Option<usize>| t.map(|t| Operand { ty: &self.tensors[t].ty, data: self.tensors[t].data });
        let signature =
            Signature { inputs: inputs.iter().map(operand).collect(), outputs: outputs.iter().map(|&t| &self.tensors[t].ty).collect() };
        let source = Source { operator: o, version: code.version, signature };
        let op = Op::decode(code.code, &source)?;
        let mut signature = source.signature;
        signature.inputs = arity.kept.of(&signature.inputs);
        let shapes = op.infer(&signature).map_err(|d| arity.kept.in_model(d))?;
        for (i, (shape, ty)) in shapes.iter().zip(&signature.outputs).enumerate() {
            tensors::check_size(ty.element, shape).map_err(|d| d.detail(format!("output {i}")))?;
        }
        Ok((op, arity.kept, shapes))
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
        let indices = self.file.subgraph.outputs();
        if indices.is_none_or(|o| o.is_empty()) {
            self.problems.push(Diagnostic::new(Code::INDEX, "the model has no output").at(main_place()));
        }
        let count = indices.map_or(0, |o| o.len());
        let repeated = count - indices.into_iter().flatten().collect::<BTreeSet<i32>>().len();
        if MOST_REPEATED < repeated {
            let d = Diagnostic::new(Code::FEATURE, "too many outputs of the model are the same tensors as others")
                .expected(format!("at most {MOST_REPEATED} of them"))
                .found(format!("{repeated} of {count} outputs"))
                .help("make each tensor an output once, and let the caller copy it");
            self.problems.push(d.at(main_place()));
            return;
        }
        for (i, index) in indices.into_iter().flatten().enumerate() {
            let place = main_place();
            let role = format!("model output {i}");
            let Some(index) = self.tensor_index(&place, &role, index) else { continue };
            let tensor = &mut self.tensors[index];
            if let Some(d) = tensor.refusal.take() {
                self.report(&place, &role, index, d);
            } else if matches!(tensor.content, Content::Unwritten { .. }) && tensor.data.is_none() {
                let d = Diagnostic::new(Code::ORDER, "nothing writes a model output");
                self.report(&place, &role, index, d);
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
    c.code.variant_name().is_some() && !acts.contains(&c.code)
}

fn unsupported(c: &OperatorCode) -> Diagnostic {
    let name = operator_name(c);
    match c.code {
        schema::BuiltinOperator::CUSTOM => {
            Diagnostic::new(Code::FEATURE, "custom operators are not supported").help("convert the model with builtin operators only")
        }
        schema::BuiltinOperator::IF
        | schema::BuiltinOperator::WHILE
        | schema::BuiltinOperator::CALL
        | schema::BuiltinOperator::CALL_ONCE
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
