//! The graph IR: nodes apply operators to typed values.
//!
//! Not the file (tensors, buffers and operator codes end at import) and not code. The idea: values are numbered, nodes stand in an
//! order in which they can be executed, every value has at most one producer, and constants carry their bytes.

use crate::diagnostic::{Code, Diagnostic};
use crate::ops::{Op, Operand, Signature};
use crate::tensor::TensorType;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The tensor's name in the model; may be empty, need not be unique.
    pub name: String,
    pub ty: TensorType,
    /// Bytes of a constant, little endian, exactly `ty.size_bytes()`; mostly a part of the model's file, which all of them share.
    pub data: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    /// `None` where an optional input is absent.
    pub inputs: Vec<Option<ValueId>>,
    pub outputs: Vec<ValueId>,
    /// Number of the model's operator it came from, for messages and reports: operators are numbered through all subgraphs.
    pub operator: u32,
    /// What becomes of its only result before that is stored.
    pub then: Vec<Then>,
}

/// An operator that works element by element, applied by the node that computes one of its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Then {
    pub op: Op,
    /// What the node has computed so far, which is nowhere in memory.
    pub from: TensorType,
    /// `None` is what the node has computed so far.
    pub inputs: Vec<Option<ValueId>>,
    pub operator: u32,
}

/// What a model keeps from one invocation to the next, for each instance of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What nodes read and write it as; it has no producer.
    pub value: ValueId,
    /// What is in it at first; zeros without. Of a body nothing: its states are those of the graph around it.
    pub initial: Option<Bytes>,
    pub origin: Origin,
}

/// What of the file a state is: the same in all graphs of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A resource variable, by number.
    Variable(u32),
    /// A variable tensor: its subgraph, and its index there.
    Tensor(u32, u32),
    /// What an operator keeps for itself: the operator's number, and which of those with this number it is.
    Operator(u32, u32),
}

impl Origin {
    /// Whether it is a tensor of the file: these are reset together, without the others.
    pub fn is_tensor(self) -> bool {
        matches!(self, Origin::Tensor(..))
    }
}

/// What a node does beside computing its results. Nothing that changes a state is removed, and nothing that has an effect moves across
/// a change of the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    None,
    ReadsState,
    /// Or may do anything, as functions of the user's.
    WritesState,
}

/// The model, or a body: what a node with control flow runs of its operands. The node's operands are then those that its operator hands on, one for
/// each of the body's inputs, and after them one for each of the body's states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    pub values: Vec<Value>,
    /// In an order in which they can be executed.
    pub nodes: Vec<Node>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    /// Ascending by value, so that one of them is found at once.
    pub states: Vec<State>,
    /// Of values whose first dimension is at most as long as their type says: the value, one i32 that a node computes, that counts it.
    pub counts: BTreeMap<ValueId, ValueId>,
    /// What computing nodes of constants may still cost; `None` while nothing was computed.
    pub folding: Option<Folding>,
    /// Number of the first operator of each subgraph of the file; empty where there is one.
    pub first_operators: Arc<[u32]>,
}

/// What the compiler may spend on nodes whose operands are constants, all in all: a small file must not fill the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folding {
    pub size_bytes: usize,
    /// Elements and multiply-accumulates.
    pub work: u64,
}

impl Folding {
    /// Results are so many times as large as the model's constants at most, or so large.
    pub const MOST_GROWTH: usize = 8;
    pub const FREE_BYTES: usize = 64 << 20;
    /// So much work for each byte of the model's constants at most, or so much.
    pub const WORK_PER_BYTE: u64 = 16;
    pub const FREE_WORK: u64 = 1 << 26;

    /// For a model as it was imported.
    pub fn of(graph: &Graph) -> Folding {
        Folding::of_constants(graph.constants_size_bytes())
    }
    /// For a model with so many bytes of constants.
    pub fn of_constants(constants_bytes: usize) -> Folding {
        Folding {
            size_bytes: constants_bytes.saturating_mul(Folding::MOST_GROWTH).max(Folding::FREE_BYTES),
            work: (constants_bytes as u64).saturating_mul(Folding::WORK_PER_BYTE).max(Folding::FREE_WORK),
        }
    }
    /// The problem of what cannot be computed within the limits.
    pub fn exceeded(what: &str) -> Diagnostic {
        Diagnostic::new(Code::CONSTANT, format!("computing {what} from constants takes more than the compiler may spend"))
            .expected(format!(
                "{} MiB of such results, or {} times the model's constants; {} operations, or {} for each byte of the constants",
                Folding::FREE_BYTES >> 20,
                Folding::MOST_GROWTH,
                Folding::FREE_WORK,
                Folding::WORK_PER_BYTE
            ))
            .help("store the result in the model, instead of the operators that compute it")
    }
}

impl Graph {
    /// Operands of a node's operator and its results, before what becomes of them.
    pub fn signature<'a>(&'a self, node: &'a Node) -> Signature<'a> {
        let results = node.outputs.iter().map(|v| self.ty(*v)).collect();
        self.application(&node.inputs, None, node.then.first().map_or(results, |t| vec![&t.from]))
    }

    /// The same of step `index` of what becomes of its result.
    pub fn signature_of_step<'a>(&'a self, node: &'a Node, index: usize) -> Signature<'a> {
        let to = node.then.get(index + 1).map_or_else(|| self.ty(node.outputs[0]), |next| &next.from);
        let step = &node.then[index];
        self.application(&step.inputs, Some(&step.from), vec![to])
    }

    /// `it`: type of what operands that are not values stand for.
    fn application<'a>(&'a self, inputs: &[Option<ValueId>], it: Option<&'a TensorType>, outputs: Vec<&'a TensorType>) -> Signature<'a> {
        let operand = |v: &Option<ValueId>| match *v {
            Some(v) => Some(Operand { ty: self.ty(v), data: self.value(v).data.as_deref() }),
            None => it.map(|ty| Operand { ty, data: None }),
        };
        Signature { inputs: inputs.iter().map(operand).collect(), outputs }
    }

    pub fn state(&self, id: ValueId) -> Option<&State> {
        self.states.binary_search_by_key(&id, |s| s.value).ok().map(|i| &self.states[i])
    }
    pub fn is_state(&self, id: ValueId) -> bool {
        self.state(id).is_some()
    }
    pub fn effect(&self, node: &Node) -> Effect {
        match node.reads().any(|v| self.is_state(v)) {
            _ if node.op.has_effect() => Effect::WritesState,
            true => Effect::ReadsState,
            false => Effect::None,
        }
    }
    /// What a node reads, and what counts that.
    pub fn reads<'g>(&'g self, node: &'g Node) -> impl Iterator<Item = ValueId> + 'g {
        node.reads().flat_map(|v| [Some(v), self.counts.get(&v).copied()]).flatten()
    }
    /// Positions among `states` of those that some node changes.
    pub fn changed_states(&self) -> Vec<usize> {
        let changed: BTreeSet<ValueId> = self.nodes.iter().flat_map(Node::writes).collect();
        (0..self.states.len()).filter(|&i| changed.contains(&self.states[i].value)).collect()
    }
    /// The graph and all bodies in it, a node's before what is in them.
    pub fn with_bodies(&self) -> Vec<&Graph> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(&graph) = all.get(next) {
            all.extend(graph.nodes.iter().flat_map(|n| n.op.bodies()));
            next += 1;
        }
        all
    }
    /// Subgraph of the file, and index in it, of an operator.
    pub fn site(&self, operator: u32) -> (u32, u32) {
        let subgraph = self.first_operators.partition_point(|first| *first <= operator).saturating_sub(1);
        (subgraph as u32, operator - self.first_operators.get(subgraph).unwrap_or(&0))
    }
    /// Puts the nodes of `body` at the end of this graph's, its inputs being `inputs` and its states `states`; the values that are its outputs.
    pub fn inline(&mut self, body: Graph, inputs: &[ValueId], states: &[ValueId]) -> Vec<ValueId> {
        let mut ids: Vec<Option<ValueId>> = vec![None; body.values.len()];
        let own = body.inputs.iter().zip(inputs).chain(body.states.iter().map(|s| &s.value).zip(states));
        own.for_each(|(v, here)| ids[v.0 as usize] = Some(*here));
        for (id, value) in ids.iter_mut().zip(body.values).filter(|(id, _)| id.is_none()) {
            *id = Some(self.add_value(value));
        }
        let here = |v: ValueId| ids[v.0 as usize].expect("every value has an id here");
        self.counts.extend(body.counts.into_iter().map(|(v, count)| (here(v), here(count))));
        for mut node in body.nodes {
            node.reads_mut().for_each(|v| *v = here(*v));
            node.outputs.iter_mut().for_each(|v| *v = here(*v));
            self.nodes.push(node);
        }
        body.outputs.into_iter().map(here).collect()
    }
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }
    pub fn ty(&self, id: ValueId) -> &TensorType {
        &self.value(id).ty
    }
    pub fn add_value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() as u32 - 1)
    }
    /// Bytes of all constants; those that several of them share count once.
    pub fn constants_size_bytes(&self) -> usize {
        size_bytes_of_all(self.with_bodies().into_iter().flat_map(|g| &g.values).filter_map(|v| v.data.as_deref()))
    }
    /// By value, whether it is a constant, or would be if all nodes of constants were computed.
    pub fn computed_from_constants(&self) -> Vec<bool> {
        let mut constant: Vec<bool> = self.values.iter().map(|v| v.data.is_some()).collect();
        for n in self.nodes.iter().filter(|n| n.outputs.iter().all(|v| self.value(*v).data.is_none())) {
            let all = n.reads().all(|v| constant[v.0 as usize]);
            n.outputs.iter().for_each(|v| constant[v.0 as usize] = all);
        }
        constant
    }
}

/// How many bytes there are in slices of memory that may overlap.
pub fn size_bytes_of_all<'a>(slices: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut ranges: Vec<_> = slices.map(|d| (d.as_ptr() as usize, d.as_ptr() as usize + d.len())).collect();
    ranges.sort_unstable();
    let mut end = 0;
    let mut beyond = |(from, to): (usize, usize)| {
        let own = to.saturating_sub(from.max(end));
        end = end.max(to);
        own
    };
    ranges.into_iter().map(&mut beyond).sum()
}

impl Node {
    /// Whether another node gives what were its results, so that nothing is left for it to do.
    pub fn is_left_behind(&self) -> bool {
        self.outputs.is_empty() && !self.op.has_effect()
    }
    /// The states that it changes.
    pub fn writes(&self) -> impl Iterator<Item = ValueId> {
        self.op.writes().into_iter().filter_map(|at| self.input(at))
    }
    /// The input at `index`, `None` when absent.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }
    /// Every value that it reads, one for each time.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> {
        self.inputs.iter().chain(self.then.iter().flat_map(|t| &t.inputs)).copied().flatten()
    }
    pub fn reads_mut(&mut self) -> impl Iterator<Item = &mut ValueId> {
        self.inputs.iter_mut().chain(self.then.iter_mut().flat_map(|t| &mut t.inputs)).flatten()
    }
    /// The operator whose result is the node's.
    pub fn last_op(&self) -> &Op {
        self.then.last().map_or(&self.op, |t| &t.op)
    }
    pub fn last_operator(&self) -> u32 {
        self.then.last().map_or(self.operator, |t| t.operator)
    }
    pub fn last_op_mut(&mut self) -> &mut Op {
        self.then.last_mut().map_or(&mut self.op, |t| &mut t.op)
    }
}
