//! How many bytes of scratch every product may take to be faster.
//!
//! Not the plan of the arena. The idea: no arena is smaller than the tensors that are live between two nodes, or during a product, which works
//! in place of an operand of its last step at most; what that bound, or a tenth more where speed is wanted, leaves beside the tensors of a
//! node costs nothing.

use super::Goal;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;

pub struct Spare {
    pub by_node: Vec<u64>,
    /// No arena is smaller.
    pub least_bytes: u64,
}

impl Spare {
    pub fn of(graph: &Graph, goal: Goal) -> Spare {
        let lives = Lives::of(graph);
        // Sums of the bytes that are live during a node, and between it and the next.
        let (mut begin, mut end) = (vec![0u64; graph.nodes.len()], vec![0u64; graph.nodes.len()]);
        for (first, last, size_bytes) in lives.in_arena(graph) {
            begin[first] += size_bytes;
            end[last] += size_bytes;
        }
        let (mut during, mut after, mut live) = (vec![], vec![], 0);
        for (begin, end) in begin.into_iter().zip(end) {
            during.push(live + begin);
            live = live + begin - end;
            after.push(live);
        }
        during.iter_mut().enumerate().for_each(|(i, n)| *n -= lives.shared(graph, i));
        let is_product = |i: &usize| matches!(graph.nodes[*i].op, Op::Conv2d(_) | Op::FullyConnected(_));
        let products = (0..graph.nodes.len()).filter(is_product).map(|i| during[i]);
        let least_bytes = after.iter().copied().chain(products).max().unwrap_or(0);
        let most = match goal {
            Goal::Size => least_bytes,
            Goal::Speed => least_bytes + least_bytes / 10,
        };
        Spare { by_node: during.iter().map(|n| most.saturating_sub(*n)).collect(), least_bytes }
    }
}

/// By value: the value whose bytes it names, the node that produces it, the last that uses it.
struct Lives {
    root: Vec<ValueId>,
    producer: Vec<Option<usize>>,
    last: Vec<usize>,
    /// Inputs and outputs of the graph.
    is_callers: Vec<bool>,
}

impl Lives {
    fn of(graph: &Graph) -> Lives {
        let count = graph.values.len();
        let [mut is_output, mut is_callers] = [vec![false; count], vec![false; count]];
        graph.outputs.iter().for_each(|v| is_output[v.0 as usize] = true);
        graph.inputs.iter().chain(&graph.outputs).for_each(|v| is_callers[v.0 as usize] = true);
        let root = (0..count as u32).map(ValueId).collect();
        let mut all = Lives { root, producer: vec![None; count], last: vec![0; count], is_callers };
        for (i, node) in graph.nodes.iter().enumerate() {
            for v in node.reads() {
                let root = all.root(v);
                all.last[root.0 as usize] = i;
            }
            for v in &node.outputs {
                match node.input(0).filter(|_| node.op.is_view()) {
                    Some(x) if !is_output[v.0 as usize] => all.root[v.0 as usize] = all.root(x),
                    _ => (all.producer[v.0 as usize], all.last[v.0 as usize]) = (Some(i), i),
                }
            }
        }
        all
    }

    fn root(&self, v: ValueId) -> ValueId {
        self.root[v.0 as usize]
    }

    /// Node that produces a value, node that uses it last, and its bytes.
    fn life(&self, graph: &Graph, v: ValueId) -> Option<(usize, usize, u64)> {
        let first = self.producer[v.0 as usize].filter(|_| !self.is_callers[v.0 as usize])?;
        Some((first, self.last[v.0 as usize], graph.ty(v).size_bytes() as u64))
    }

    fn in_arena(&self, graph: &Graph) -> Vec<(usize, usize, u64)> {
        (0..graph.values.len() as u32).filter_map(|v| self.life(graph, ValueId(v))).collect()
    }

    /// Bytes that the result of node `i` shares with an operand of what becomes of it.
    fn shared(&self, graph: &Graph, i: usize) -> u64 {
        let node = &graph.nodes[i];
        let own: Vec<ValueId> = node.inputs.iter().flatten().map(|v| self.root(*v)).collect();
        let result = node.outputs.first().and_then(|v| self.life(graph, *v)).map_or(0, |l| l.2);
        let operands = node.then.iter().flat_map(|t| &t.inputs).flatten().map(|v| self.root(*v)).filter(|v| !own.contains(v));
        operands.filter_map(|v| self.life(graph, v)).filter(|l| l.1 == i).map(|l| l.2.min(result)).max().unwrap_or(0)
    }
}
