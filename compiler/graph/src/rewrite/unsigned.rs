//! Activations of i8 become u8, elements and zero points moved by 128, for machines that multiply unsigned by signed bytes.
//!
//! Not one of the passes that every graph goes through: it depends on the machine, so each level has a graph of its own behind it. Without it a product flips the sign
//! of every byte in its inner loop. The idea: values that operators demand to have one type are a set that moves as a whole or stays
//! (`ops/moves.rs`); a product ties nothing, since it may read one type and write the other. What is the caller's, a state's, or an operator's that sees bytes
//! as they are, stays; if a set has such a value it moves only if flipping that once, by a node of its own, costs less than
//! flipping it in the loops, and makes no arena grow.

use super::links::Links;
use crate::graph::{Effect, Graph, Node, Value, ValueId};
use crate::lower::Goal;
use crate::lower::requantize::Target;
use crate::lower::spare::Spare;
use crate::ops::moves::{Moves, SIGN, moved};
use crate::ops::{Op, Signature, quantize};
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A loop flips a vector for two products of vectors, and a node that flips takes four instructions for one: so many multiply-adds are a byte that it flips.
const MACS_PER_BYTE: u64 = 8;
/// What a call costs, in bytes that are flipped.
const BYTES_PER_CALL: u64 = 4096;

/// In bodies, too. What a body reads and results in is the node's around it, and stays.
pub fn run(graph: &mut Graph) -> bool {
    run_in(graph, true)
}

/// `is_whole`: no body, so that what its arena has room for is known.
fn run_in(graph: &mut Graph, is_whole: bool) -> bool {
    let bodies = graph.nodes.iter_mut().filter_map(|n| n.op.bodies_mut()).flatten();
    let changed = bodies.fold(false, |changed, body| run_in(body, false) | changed);
    let search = Search::of(graph);
    let moves = search.sets(is_whole);
    if !moves.contains(&true) {
        return changed;
    }
    let Search { links: Links(roots), uses, constants, values, steps, .. } = search;
    let moves = |slot: usize| moves[roots[slot] as usize];
    let uses = uses.into_iter().filter(|u| moves(u.value.0 as usize)).collect();
    let constants = constants.into_iter().filter(|(_, slot)| moves(*slot)).map(|c| c.0).collect();
    let values = values.into_iter().enumerate().filter(|(v, _)| moves(*v)).map(|(v, lives)| (ValueId(v as u32), lives)).collect();
    let steps = steps.into_iter().filter(|(_, slot)| moves(*slot)).map(|s| s.0).collect();
    Change { uses, constants, values, steps }.apply(graph);
    true
}

/// Which operand: of which node, of which of the steps behind it (0 is the node's operator itself), at which position.
#[derive(Clone, Copy)]
struct Place {
    node: usize,
    step: usize,
    input: usize,
}

impl Place {
    fn of(self, nodes: &mut [Node]) -> &mut Option<ValueId> {
        let node = &mut nodes[self.node];
        match self.step {
            0 => &mut node.inputs[self.input],
            n => &mut node.then[n - 1].inputs[self.input],
        }
    }
}

/// An operand that moves if its value does.
#[derive(Clone, Copy)]
struct Use {
    place: Place,
    value: ValueId,
}

/// What is known of a value that may move.
#[derive(Clone, Copy, Default)]
struct Lives {
    /// Position of the node that writes it; a caller does what none does.
    producer: Option<usize>,
    /// It is written as i8, whatever becomes of it.
    is_written_signed: bool,
    /// First and last of the nodes that can read it moved.
    moved: Option<(usize, usize)>,
    /// First of those that cannot.
    signed: Option<usize>,
    is_output: bool,
}

/// A value that there is moved and not.
struct Flip {
    /// Before which node one is made of the other.
    at: usize,
    /// During which nodes both are in the arena.
    both: Option<(usize, usize)>,
}

impl Lives {
    /// `None` of a value that moves as a whole, or of which nobody reads moved bytes.
    /// `is_view`: its bytes are those of another value.
    fn flip(&self, is_view: bool) -> Option<Flip> {
        if self.is_written_signed {
            let (first, last) = self.moved?;
            let at = self.producer.map_or(first, |p| p + 1);
            // It can take the place of what is read by nobody else.
            let is_alone = self.producer.is_some() && self.signed.is_none() && !self.is_output;
            return Some(Flip { at, both: (!is_alone).then_some((at, last)) });
        }
        let producer = self.producer?;
        let last = self.moved.map_or(producer, |m| m.1);
        if self.is_output {
            // What is a caller's was not in the arena before.
            return Some(Flip { at: producer + 1, both: Some((producer, last)) });
        }
        let at = self.signed?;
        Some(Flip { at, both: (at <= last || is_view).then_some((at, last.max(at))) })
    }
}

/// A slot is a value, by number, or behind all of them what a node has computed before one of its steps.
struct Search<'g> {
    graph: &'g Graph,
    links: Links,
    /// By slot: it cannot move, not even by a flip.
    stays: Vec<bool>,
    values: Vec<Lives>,
    uses: Vec<Use>,
    /// Constants that move with a slot.
    constants: Vec<(Place, usize)>,
    /// Slots behind those of values: node, and step whose operand it is.
    steps: Vec<((usize, usize), usize)>,
    /// Multiply-adds of products that read a slot and use each weight often; the others wait for weights.
    gains: Vec<(usize, u64)>,
}

/// An operand or a result.
#[derive(Clone, Copy)]
enum Part {
    Slot(usize),
    Constant,
    /// Not of i8.
    Other,
}

impl Part {
    fn slot(self) -> Option<usize> {
        if let Part::Slot(slot) = self { Some(slot) } else { None }
    }
}

impl<'g> Search<'g> {
    fn of(graph: &'g Graph) -> Self {
        let count = graph.values.len();
        let slots = count + graph.nodes.iter().map(|n| n.then.len()).sum::<usize>();
        let mut search = Search {
            graph,
            links: Links::new(slots),
            stays: vec![false; slots],
            values: vec![Lives::default(); count],
            uses: vec![],
            constants: vec![],
            steps: vec![],
            gains: vec![],
        };
        for (v, value) in graph.values.iter().enumerate() {
            search.stays[v] = value.ty.element == ElementType::I8 && moved(&value.ty).is_none();
        }
        for v in graph.states.iter().map(|s| s.value).chain(graph.counts.keys().copied()) {
            search.stays[v.0 as usize] = true;
        }
        for v in &graph.inputs {
            search.values[v.0 as usize].is_written_signed = true;
        }
        for v in &graph.outputs {
            search.values[v.0 as usize].is_output = true;
        }
        for i in 0..graph.nodes.len() {
            search.node(i);
        }
        for slot in 0..slots {
            let root = search.links.root(slot);
            search.links.0[slot] = root as u32;
            search.stays[root] |= search.stays[slot];
        }
        search
    }

    fn node(&mut self, i: usize) {
        let graph = self.graph;
        let node = &graph.nodes[i];
        // Slots of what the node has computed before each step.
        let first = graph.values.len() + self.steps.len();
        for (at, step) in node.then.iter().enumerate() {
            self.stays[first + at] = step.from.element == ElementType::I8 && moved(&step.from).is_none();
            self.steps.push(((i, at), first + at));
        }
        let from = |step: usize| match node.then.get(step) {
            Some(t) if t.from.element == ElementType::I8 => Some(vec![Part::Slot(first + step)]),
            Some(_) => Some(vec![Part::Other]),
            None => None,
        };
        for v in &node.outputs {
            self.values[v.0 as usize].producer = Some(i);
        }
        let outputs: Vec<Part> = node.outputs.iter().map(|v| self.part(*v)).collect();
        let acts = graph.effect(node) == Effect::WritesState;
        for step in 0..=node.then.len() {
            let (op, inputs, s) = match step {
                0 => (&node.op, &node.inputs, graph.signature(node)),
                n => (&node.then[n - 1].op, &node.then[n - 1].inputs, graph.signature_of_step(node, n - 1)),
            };
            let operand = |v: &Option<ValueId>| match v {
                Some(v) => self.part(*v),
                None if step == 0 => Part::Other,
                None => from(step - 1).map_or(Part::Other, |f| f[0]),
            };
            let operands: Vec<Part> = inputs.iter().map(operand).collect();
            let results = from(step).unwrap_or_else(|| outputs.clone());
            let moves = if acts { Moves::None } else { op.moves(&s) };
            let place = |input| Place { node: i, step, input };
            self.application(moves, op, &s, inputs, &operands, &results, place);
        }
    }

    fn part(&self, v: ValueId) -> Part {
        let value = self.graph.value(v);
        match value.ty.element {
            ElementType::I8 if value.data.is_some() => Part::Constant,
            ElementType::I8 => Part::Slot(v.0 as usize),
            _ => Part::Other,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn application(
        &mut self,
        moves: Moves,
        op: &Op,
        s: &Signature,
        inputs: &[Option<ValueId>],
        operands: &[Part],
        results: &[Part],
        place: impl Fn(usize) -> Place,
    ) {
        let clamps_alike = |(i, part): (usize, &Part)| !matches!(part, Part::Slot(_)) || is_clamped_alike(op, s.output(i));
        let is_alike = moves != Moves::None && results.iter().enumerate().all(clamps_alike);
        let moves = if is_alike { moves } else { Moves::None };
        let slots: Vec<usize> = operands.iter().chain(results).filter_map(|part| part.slot()).collect();
        let Some(&anchor) = slots.first() else { return };
        if moves == Moves::Together {
            slots.iter().for_each(|slot| self.links.link(*slot, anchor));
        }
        for (i, (part, value)) in operands.iter().zip(inputs).enumerate() {
            let at = place(i);
            let moves_here = moves == Moves::Together || i == 0 && moves != Moves::None;
            match (*part, *value) {
                (Part::Slot(_), Some(value)) => {
                    let lives = &mut self.values[value.0 as usize];
                    match moves_here {
                        true => lives.moved = Some((lives.moved.map_or(at.node, |m| m.0), at.node)),
                        false => lives.signed = lives.signed.or(Some(at.node)),
                    }
                    self.uses.extend(moves_here.then_some(Use { place: at, value }));
                }
                (Part::Slot(slot), None) => self.stays[slot] |= !moves_here,
                (Part::Constant, Some(v)) if moves == Moves::Together => {
                    self.stays[anchor] |= moved(self.graph.ty(v)).is_none();
                    self.constants.push((at, anchor));
                }
                _ => {}
            }
        }
        for slot in results.iter().filter_map(|part| part.slot()) {
            match self.values.get_mut(slot) {
                Some(value) => value.is_written_signed |= moves == Moves::None,
                None => self.stays[slot] |= moves == Moves::None,
            }
        }
        if let (Moves::Product, Some(Part::Slot(slot))) = (moves, operands.first()) {
            let weights = s.optional(1).map_or(0, |w| w.ty.element_count() as u64);
            let macs = op.macs(s);
            self.gains.push((*slot, if 2 * weights <= macs { macs } else { 0 }));
        }
    }

    /// By root: whether the set moves.
    fn sets(&self, is_whole: bool) -> Vec<bool> {
        let root = |slot: usize| self.links.0[slot] as usize;
        let mut gains: BTreeMap<usize, u64> = BTreeMap::new();
        for (slot, gain) in self.gains.iter().filter(|(slot, _)| !self.stays[root(*slot)]) {
            let sum = gains.entry(root(*slot)).or_default();
            *sum = sum.saturating_add(*gain);
        }
        let mut flips: BTreeMap<usize, Vec<(Flip, u64)>> = BTreeMap::new();
        for (v, lives) in self.values.iter().enumerate().filter(|(v, _)| gains.contains_key(&root(*v))) {
            let value = &self.graph.values[v];
            if let Some(flip) = lives.flip(lives.producer.is_some_and(|p| self.graph.nodes[p].op.is_view())) {
                flips.entry(root(v)).or_default().push((flip, value.ty.size_bytes() as u64));
            }
        }
        let mut moves = vec![false; self.stays.len()];
        let mut spare: Option<Vec<u64>> = None;
        for (root, gain) in gains {
            let flips = flips.remove(&root).unwrap_or_default();
            let cost = flips.iter().map(|(_, bytes)| MACS_PER_BYTE * (bytes + BYTES_PER_CALL)).sum::<u64>();
            moves[root] = cost <= gain && flips.iter().all(|f| f.0.both.is_none());
            if !moves[root] && cost <= gain && is_whole {
                let spare = spare.get_or_insert_with(|| Spare::of(self.graph, Goal::Size).by_node);
                let mut left = spare.clone();
                let mut take = |(flip, bytes): &(Flip, u64)| {
                    let (first, last) = flip.both?;
                    left.get_mut(first..=last)?.iter_mut().try_for_each(|n| n.checked_sub(*bytes).map(|rest| *n = rest))
                };
                moves[root] = flips.iter().filter(|f| f.0.both.is_some()).all(|f| take(f).is_some());
                if moves[root] {
                    *spare = left;
                }
            }
        }
        moves
    }
}

/// Whether the clamp at the end of an operator moves with its result: its bounds wrap around where scales are very small.
fn is_clamped_alike(op: &Op, y: &TensorType) -> bool {
    let Some(activation) = op.clone().activation().map(|a| *a).or(op.clamp()) else { return true };
    let range = |ty: &TensorType| Target::new(ty, activation).ok().map(|t| (t.low, t.high));
    match (range(y), moved(y).and_then(|ty| range(&ty))) {
        (Some(stays), Some(moves)) => (stays.0 + 128, stays.1 + 128) == moves,
        _ => false,
    }
}

/// What moves, and where.
struct Change {
    uses: Vec<Use>,
    constants: Vec<Place>,
    values: Vec<(ValueId, Lives)>,
    steps: Vec<(usize, usize)>,
}

impl Change {
    fn apply(self, graph: &mut Graph) {
        for (node, step) in self.steps {
            let from = &mut graph.nodes[node].then[step].from;
            *from = moved(from).unwrap_or_else(|| from.clone());
        }
        let mut constants: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for place in self.constants {
            let v = place.of(&mut graph.nodes).expect("an operand");
            let moved = *constants.entry(v).or_insert_with(|| graph.add_value(moved_value(graph.value(v))));
            *place.of(&mut graph.nodes) = Some(moved);
        }
        // The moved bytes of values that there are twice.
        let mut twins: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let mut flips: BTreeMap<usize, Vec<Node>> = BTreeMap::new();
        for (v, lives) in self.values {
            let Some(Flip { at, .. }) = lives.flip(false) else {
                if !lives.is_written_signed {
                    let ty = moved(graph.ty(v)).expect("a type that moves");
                    graph.value_mut(v).ty = ty;
                }
                continue;
            };
            let twin = graph.add_value(moved_value(graph.value(v)));
            twins.insert(v, twin);
            let (from, to) = if lives.is_written_signed { (v, twin) } else { (twin, v) };
            if let Some(producer) = lives.producer.filter(|_| !lives.is_written_signed) {
                graph.nodes[producer].outputs.iter_mut().filter(|y| **y == v).for_each(|y| *y = twin);
            }
            let operator = match lives.producer {
                Some(p) if p + 1 == at => graph.nodes[p].last_operator(),
                _ => graph.nodes[at].operator,
            };
            let op = Op::Quantize(quantize::Attributes {});
            flips.entry(at).or_default().push(Node { op, inputs: vec![Some(from)], outputs: vec![to], operator, then: vec![] });
        }
        for Use { place, value } in self.uses {
            if let Some(twin) = twins.get(&value) {
                *place.of(&mut graph.nodes) = Some(*twin);
            }
        }
        let count = graph.nodes.len();
        let nodes = std::mem::replace(&mut graph.nodes, Vec::with_capacity(count + twins.len()));
        for (i, node) in nodes.into_iter().enumerate() {
            graph.nodes.extend(flips.remove(&i).unwrap_or_default());
            graph.nodes.push(node);
        }
        graph.nodes.extend(flips.remove(&count).unwrap_or_default());
    }
}

fn moved_value(value: &Value) -> Value {
    let data = value.data.as_ref().map(|data| data.iter().map(|b| b ^ SIGN).collect::<Vec<u8>>());
    Value { name: value.name.clone(), ty: moved(&value.ty).expect("a type that moves"), data: data.map(Bytes::from) }
}
