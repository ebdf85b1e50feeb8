//! Who writes and who reads each value, and which value stands for which.
//!
//! A picture of one moment: a pass takes it once, because a picture costs as much as the graph is large, and keeps what it needs of it true itself.
//! Values that came later are nobody's here.

use crate::graph::{Graph, ValueId};
use smallvec::SmallVec;

/// Mostly one or two, which need no memory of their own.
type Readers = SmallVec<[usize; 2]>;

pub struct Uses {
    /// Position of the node that writes a value.
    producer: Vec<Option<usize>>,
    /// Positions of the nodes that read it, one for each time.
    readers: Vec<Readers>,
    is_output: Vec<bool>,
}

impl Uses {
    pub fn of(graph: &Graph) -> Self {
        let n = graph.values.len();
        let mut uses = Uses { producer: vec![None; n], readers: vec![Readers::new(); n], is_output: vec![false; n] };
        for (i, node) in graph.nodes.iter().enumerate() {
            for v in node.reads() {
                uses.readers[v.0 as usize].push(i);
            }
            for v in &node.outputs {
                uses.producer[v.0 as usize] = Some(i);
            }
        }
        for v in &graph.outputs {
            uses.is_output[v.0 as usize] = true;
        }
        uses
    }

    pub fn producer(&self, v: ValueId) -> Option<usize> {
        self.producer.get(v.0 as usize).copied().flatten()
    }

    pub fn set_producer(&mut self, v: ValueId, node: usize) {
        self.producer[v.0 as usize] = Some(node);
    }

    /// From now on others read `v` instead of `node`.
    pub fn hand_on(&mut self, v: ValueId, node: usize, others: &[usize]) {
        let readers = &mut self.readers[v.0 as usize];
        readers.retain(|r| *r != node);
        readers.extend_from_slice(others);
    }

    /// Readers of a value; none when it is an output of the graph, whose bytes the caller reads.
    pub fn inner_readers(&self, v: ValueId) -> &[usize] {
        match self.is_output.get(v.0 as usize) {
            Some(false) => &self.readers[v.0 as usize],
            _ => &[],
        }
    }
}

/// Values that are the same as other values.
pub struct Same {
    stand_in: Vec<ValueId>,
    is_produced: Vec<bool>,
    is_output: Vec<bool>,
}

impl Same {
    pub fn of(graph: &Graph) -> Self {
        let n = graph.values.len();
        let marked = |values: &mut dyn Iterator<Item = &ValueId>| {
            let mut marks = vec![false; n];
            values.for_each(|v| marks[v.0 as usize] = true);
            marks
        };
        Same {
            stand_in: (0..n as u32).map(ValueId).collect(),
            is_produced: marked(&mut graph.nodes.iter().flat_map(|n| &n.outputs)),
            is_output: marked(&mut graph.outputs.iter()),
        }
    }

    /// What stands for `v`.
    pub fn get(&self, v: ValueId) -> ValueId {
        self.stand_in[v.0 as usize]
    }

    /// From now on `new` stands for `old`, where that can be. The caller of the graph sees outputs' names, so an output's name moves to
    /// `new`; an input, a constant or another output has a name of its own to keep.
    pub fn replace(&mut self, graph: &mut Graph, old: ValueId, new: ValueId) -> bool {
        let (o, n) = (old.0 as usize, new.0 as usize);
        if self.is_output[o] {
            if !self.is_produced[n] || self.is_output[n] {
                return false;
            }
            self.is_output[n] = true;
            graph.values[n].name = graph.values[o].name.clone();
        }
        self.stand_in[o] = new;
        true
    }
}
