//! The graph IR: nodes apply operators to typed values.
//!
//! Not the file (tensors, buffers and operator codes end at import) and not code. The idea: values are numbered, nodes stand in an
//! order in which they can be executed, every value has at most one producer, and constants carry their bytes.

use crate::diagnostic::{Code, Diagnostic};
use crate::ops::Op;
use crate::tensor::TensorType;
use bytes::Bytes;

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
    /// Index of the model's operator it came from, for messages and reports.
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
    /// What is in it at first; zeros without.
    pub initial: Option<Bytes>,
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

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    pub values: Vec<Value>,
    /// In an order in which they can be executed.
    pub nodes: Vec<Node>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    pub states: Vec<State>,
    /// What computing nodes of constants may still cost; `None` while nothing was computed.
    pub folding: Option<Folding>,
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
    pub fn is_state(&self, id: ValueId) -> bool {
        self.states.iter().any(|s| s.value == id)
    }
    pub fn effect(&self, node: &Node) -> Effect {
        match node.reads().any(|v| self.is_state(v)) {
            _ if node.op.has_effect() => Effect::WritesState,
            true => Effect::ReadsState,
            false => Effect::None,
        }
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
        size_bytes_of_all(self.values.iter().filter_map(|v| v.data.as_deref()))
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
