//! What is known of a model before it is compiled: its operators, their multiply-accumulates, the memory its tensors need.
//!
//! Taken from the graph as it was imported, so that figures are those of the model and not of what became of it.

use crate::array::describe;
use cranelite_codegen::object;
use cranelite_graph::graph::{Graph, Node, ValueId};
use cranelite_graph::ops::channels::count;
use cranelite_graph::ops::{Operand, Signature};
use cranelite_graph::tensor::ElementType;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub operators: Vec<Operator>,
    /// Names and bytes of constant tensors, largest first.
    pub parameters: Vec<(String, u64)>,
    /// The largest sum of tensors that are alive at once when the operators run in the model's order, each rounded up to 16 bytes.
    /// Inputs and outputs are the caller's and do not count.
    pub arena_lower_bound_bytes: u64,
}

/// The numbers that are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arithmetic {
    F32,
    /// Bytes, also where floats are quantised to bytes at run time.
    I8,
    /// Words, or words by bytes.
    I16,
}

impl Arithmetic {
    pub const ALL: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::I8, Arithmetic::I16];

    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::I8 => "i8",
            Arithmetic::I16 => "i16",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// In the model, whose operators are numbered through all subgraphs. What a loop runs counts as one turn.
    pub index: u32,
    pub name: &'static str,
    pub macs: u64,
    /// Of its operands and results: what it must read and write at least.
    pub bytes: u64,
    /// Of these, those of constants.
    pub constant_bytes: u64,
    /// Of its results: the type of the first, and of all how many.
    pub elements: (ElementType, u64),
    /// What its multiply-accumulates are made of, if it has any.
    pub arithmetic: Option<Arithmetic>,
    /// As `result`, those that are there.
    pub operands: String,
    /// `i8 [1,12]`
    pub result: String,
    /// The operator whose kernels compute this one's result, too.
    pub within: Option<u32>,
    /// Channels of its result that are not computed, since they are the same for every input or nobody reads them, and of how many.
    pub dead_channels: u64,
    pub channels: u64,
    /// Multiply-accumulates that are left of its own when the graph is rewritten.
    pub computed_macs: u64,
}

impl Facts {
    pub fn of(graph: &Graph) -> Self {
        let graphs = graph.with_bodies();
        let nodes = graphs.iter().flat_map(|&g| g.nodes.iter().map(move |n| (g, n)));
        let operators = nodes.map(|(graph, n)| Operator {
            index: n.operator,
            name: n.op.name(),
            macs: n.op.macs(&signature(graph, n)),
            dead_channels: 0,
            channels: n.outputs.first().map_or(1, |v| count(graph.ty(*v))) as u64,
            computed_macs: n.op.macs(&signature(graph, n)),
            bytes: n.inputs.iter().flatten().chain(&n.outputs).map(|&v| graph.ty(v).size_bytes() as u64).sum(),
            constant_bytes: {
                let constants = n.inputs.iter().flatten().map(|v| graph.value(*v)).filter(|v| v.data.is_some());
                constants.map(|v| v.ty.size_bytes() as u64).sum()
            },
            elements: {
                let element = n.outputs.first().map_or(ElementType::F32, |v| graph.ty(*v).element);
                (element, n.outputs.iter().map(|v| graph.ty(*v).element_count() as u64).sum())
            },
            arithmetic: arithmetic(graph, n),
            operands: described(graph, n.inputs.iter().flatten()),
            result: described(graph, n.outputs.iter()),
            within: None,
        });
        let constants = graphs.iter().flat_map(|g| &g.values).filter_map(|v| Some((v.name.clone(), v.data.as_ref()?.len() as u64)));
        let mut parameters: Vec<_> = constants.collect();
        parameters.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Facts { operators: operators.collect(), parameters, arena_lower_bound_bytes: arena_lower_bound_bytes(graph) }
    }

    /// Notes what has become of operators in the graph that is lowered: which are part of others, and which compute less.
    pub fn note_rewritten(&mut self, graph: &Graph) {
        let graphs = graph.with_bodies();
        let nodes = || graphs.iter().flat_map(|&g| g.nodes.iter().map(move |n| (g, n)));
        let within: BTreeMap<u32, u32> = nodes().flat_map(|(_, n)| n.then.iter().map(|t| (t.operator, n.operator))).collect();
        // What passes put in the place of an operator has its index, but not its name.
        let left: BTreeMap<(u32, &str), _> = nodes().map(|(g, n)| ((n.operator, n.op.name()), (g, n))).collect();
        for o in &mut self.operators {
            o.within = within.get(&o.index).copied().or(o.within);
            let Some((graph, node)) = left.get(&(o.index, o.name)) else {
                o.computed_macs = 0;
                continue;
            };
            let channels = node.outputs.first().map_or(o.channels, |v| count(graph.ty(*v)) as u64);
            o.dead_channels = o.channels.saturating_sub(channels);
            o.computed_macs = o.macs.min(node.op.macs(&signature(graph, node)));
        }
    }

    /// What each is, where code can be read: its number, its name and those of operators that its kernels compute as well, operands and results.
    pub fn about_operators(&self) -> BTreeMap<u32, object::Operator> {
        let text = |o: &Operator| {
            let what = format!("{} {}", o.index, self.names(o.index));
            if o.operands.is_empty() { format!("{what} -> {}", o.result) } else { format!("{what} {} -> {}", o.operands, o.result) }
        };
        self.operators.iter().map(|o| (o.index, object::Operator { text: text(o), macs: o.computed_macs })).collect()
    }

    /// The name of an operator with those of which its kernels compute the results, too: `CONV_2D, ADD`.
    pub fn names(&self, index: u32) -> String {
        let all = self.operators.iter().filter(|o| o.index == index || o.within == Some(index));
        all.map(|o| o.name).collect::<Vec<_>>().join(", ")
    }

    pub fn parameter_bytes(&self) -> u64 {
        self.parameters.iter().map(|(_, bytes)| bytes).sum()
    }

    pub fn macs(&self) -> u64 {
        self.operators.iter().map(|o| o.macs).sum()
    }

    pub fn computed_macs(&self) -> u64 {
        self.operators.iter().map(|o| o.computed_macs).sum()
    }
}

fn described<'a>(graph: &Graph, values: impl Iterator<Item = &'a ValueId>) -> String {
    values.map(|&v| describe(graph.ty(v).element, &graph.ty(v).shape)).collect::<Vec<_>>().join(", ")
}

fn arithmetic(graph: &Graph, node: &Node) -> Option<Arithmetic> {
    if node.op.macs(&signature(graph, node)) == 0 {
        return None;
    }
    // The first operand and the weights, of which optional ones may be absent.
    let mut elements = node.inputs.iter().flatten().map(|v| graph.ty(*v).element);
    let (x, w) = (elements.next()?, elements.next()?);
    Some(match (x, w) {
        (ElementType::F32, ElementType::F32) => Arithmetic::F32,
        (ElementType::I16, _) => Arithmetic::I16,
        _ => Arithmetic::I8,
    })
}

fn signature<'a>(graph: &'a Graph, node: &Node) -> Signature<'a> {
    let operand = |v| Operand { ty: graph.ty(v), data: graph.value(v).data.as_deref() };
    Signature { inputs: node.inputs.iter().map(|i| i.map(operand)).collect(), outputs: node.outputs.iter().map(|&o| graph.ty(o)).collect() }
}

fn arena_lower_bound_bytes(graph: &Graph) -> u64 {
    let mut is_callers: Vec<bool> = graph.values.iter().map(|v| v.data.is_some()).collect();
    graph.inputs.iter().chain(&graph.outputs).for_each(|v| is_callers[v.0 as usize] = true);
    // Index of the last node that uses a value; the caller's and constants have none.
    let mut last_use = vec![None; graph.values.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for v in node.outputs.iter().copied().chain(node.inputs.iter().copied().flatten()) {
            last_use[v.0 as usize] = (!is_callers[v.0 as usize]).then_some(at);
        }
    }
    let size = |v| (graph.ty(v).size_bytes() as u64).next_multiple_of(16);
    let (mut live, mut peak) = (0, 0);
    let mut ends = vec![0; graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for &v in &node.outputs {
            if let Some(last) = last_use[v.0 as usize] {
                live += size(v);
                ends[last] += size(v);
            }
        }
        peak = peak.max(live);
        live -= ends[at];
    }
    peak
}
