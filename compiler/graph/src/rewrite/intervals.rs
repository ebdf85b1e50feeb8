//! Between which integers each channel of each value is, whatever the inputs.
//!
//! Not a pass: `channels.rs` asks. The idea: operators say what becomes of intervals (`Operator::intervals`); where one does not, and its channels
//! are alike, it is lowered and interpreted for channels whose integers are few. What is not known is all that the type holds, so that
//! every interval is right and some are too wide.

use super::fold;
use crate::graph::{Graph, Node, Value, ValueId};
use crate::lower::requantize::Target;
use crate::ops::attributes::Activation;
use crate::ops::channels::{Channels, Interval, Intervals, count};
use crate::ops::{Op, Signature};
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Elements that one node is interpreted for at most, and all of them.
const MOST_COLUMNS: usize = 1 << 12;
const MOST_ELEMENTS: usize = 1 << 22;
/// Larger constants are too much to look at for what they say.
const LARGEST_CONSTANT: usize = 1 << 16;

/// Of values that have integers for real numbers; of the others, and where `is_wanted` says no, nothing is said.
pub fn of(graph: &Graph, is_wanted: &[bool]) -> Vec<Option<Intervals>> {
    let mut analysis = Analysis { graph, known: vec![None; graph.values.len()], elements: MOST_ELEMENTS };
    let is_asked = asked(graph);
    for (v, value) in graph.values.iter().enumerate().filter(|(v, _)| is_wanted[*v]) {
        analysis.known[v] = match &value.data {
            Some(data) if is_asked[v] => of_constant(&value.ty, data),
            _ => Interval::of(value.ty.element).map(Intervals::All),
        };
    }
    for node in graph.nodes.iter().filter(|n| n.then.is_empty() && n.outputs.len() == 1) {
        let y = node.outputs[0].0 as usize;
        if is_wanted[y] && analysis.known[y].is_some() {
            analysis.known[y] = analysis.node(node);
        }
    }
    analysis.known
}

/// Whether a value is read by a node that is not a product: weights are many, and their own operators look at them.
fn asked(graph: &Graph) -> Vec<bool> {
    let mut asked = vec![false; graph.values.len()];
    let sees = |n: &&Node| !matches!(n.op.channels(&graph.signature(n)), Channels::Product(_) | Channels::Whole);
    graph.nodes.iter().filter(sees).flat_map(Node::reads).for_each(|v| asked[v.0 as usize] = true);
    asked
}

fn of_constant(ty: &TensorType, data: &[u8]) -> Option<Intervals> {
    let all = Interval::of(ty.element)?;
    if LARGEST_CONSTANT < data.len() || data.is_empty() {
        return Some(Intervals::All(all));
    }
    Some(Intervals::new(columns(ty, data)))
}

/// The least and the largest integer of each channel.
fn columns(ty: &TensorType, data: &[u8]) -> Vec<Interval> {
    let channels = count(ty);
    let mut each: Vec<Option<Interval>> = vec![None; channels];
    for (i, n) in integers(ty.element, data).enumerate() {
        let so_far = &mut each[i % channels];
        *so_far = Some(so_far.map_or(Interval::new(n, n), |so_far| so_far.with(Interval::new(n, n))));
    }
    each.into_iter().flatten().collect()
}

fn integers(element: ElementType, data: &[u8]) -> impl Iterator<Item = i64> {
    data.chunks_exact(element.bytes().unwrap_or(1)).map(move |b| match (element, b) {
        (ElementType::I16, b) => i16::from_le_bytes([b[0], b[1]]).into(),
        (ElementType::U8, b) => b[0].into(),
        (_, b) => i64::from(b[0] as i8),
    })
}

struct Analysis<'g> {
    graph: &'g Graph,
    known: Vec<Option<Intervals>>,
    /// That may still be interpreted.
    elements: usize,
}

impl Analysis<'_> {
    fn node(&mut self, node: &Node) -> Option<Intervals> {
        let s = self.graph.signature(node);
        let all = clamp(&node.op, s.output(0))?;
        // Of operands of other types nothing is known, and operators do not ask.
        let any = |v: ValueId| Interval::of(self.graph.ty(v).element).unwrap_or(Interval::new(i64::MIN, i64::MAX));
        let known = |v: &Option<ValueId>| match v {
            Some(v) => self.known[v.0 as usize].clone().unwrap_or(Intervals::All(any(*v))),
            None => Intervals::All(Interval::new(i64::MIN, i64::MAX)),
        };
        let operands: Vec<Intervals> = node.inputs.iter().map(known).collect();
        let said = if operands.is_empty() { None } else { node.op.intervals(&s, &operands) };
        let said = said.or_else(|| match node.op.channels(&s) {
            Channels::Same => self.interpreted(node, &s, &operands, all),
            _ => None,
        });
        Some(said.unwrap_or(Intervals::All(all)))
    }

    /// What the operator makes of channels whose integers are known, or are one of a few in a single operand.
    fn interpreted(&mut self, node: &Node, s: &Signature, operands: &[Intervals], all: Interval) -> Option<Intervals> {
        let (channels, alone) = (count(s.output(0)), node.op.is_elementwise());
        let types: Vec<&TensorType> = s.inputs.iter().flatten().map(|o| o.ty).collect();
        let per_tensor = |ty: &TensorType| ty.quantization.as_ref().is_none_or(|q| q.is_per_tensor());
        let fits =
            |ty: &&TensorType| (count(ty) == channels || alone && count(ty) == 1) && Interval::of(ty.element).is_some() && per_tensor(ty);
        if types.len() != operands.len() || !types.iter().all(fits) || !per_tensor(s.output(0)) {
            return None;
        }
        // Which columns are interpreted for channels of these intervals, and what is in them, operand by operand.
        let mut ranges: BTreeMap<Vec<Interval>, std::ops::Range<usize>> = BTreeMap::new();
        let mut contents: Vec<Vec<i64>> = vec![vec![]; operands.len()];
        let key = |c: usize| -> Vec<Interval> { operands.iter().zip(&types).map(|(x, ty)| x.at(c.min(count(ty) - 1))).collect() };
        for key in (0..channels).map(key) {
            let first = contents[0].len();
            let open: Vec<usize> = (0..key.len()).filter(|&i| key[i].point().is_none()).collect();
            let numbers = match open[..] {
                [] => 1,
                [i] if alone
                    && types[i].element != ElementType::I16
                    && (1 < key.len() || Some(key[i]) != Interval::of(types[i].element)) =>
                {
                    (key[i].high - key[i].low + 1) as usize
                }
                _ => continue,
            };
            if ranges.contains_key(&key) || MOST_COLUMNS < first + numbers {
                continue;
            }
            for (interval, contents) in key.iter().zip(&mut contents) {
                contents.extend((0..numbers as i64).map(|n| (interval.low + n).min(interval.high)));
            }
            ranges.insert(key, first..first + numbers);
        }
        let results = self.run(node, s, &contents).filter(|r| !r.is_empty())?;
        let of_range = |range: &std::ops::Range<usize>| results[range.clone()].iter().copied().reduce(Interval::with);
        Some(Intervals::new((0..channels).map(|c| ranges.get(&key(c)).and_then(of_range).unwrap_or(all)).collect()))
    }

    /// The results in each channel of operands that have one integer in each.
    fn run(&mut self, node: &Node, s: &Signature, contents: &[Vec<i64>]) -> Option<Vec<Interval>> {
        let (channels, alone) = (contents[0].len(), node.op.is_elementwise());
        let resized = |ty: &TensorType| {
            let mut shape = if alone { vec![channels] } else { ty.shape.clone() };
            *shape.last_mut()? = channels;
            Some(TensorType { shape, ..ty.clone() })
        };
        let mut small = Graph::default();
        let mut inputs = vec![];
        let spent: usize = s
            .inputs
            .iter()
            .flatten()
            .map(|o| o.ty)
            .chain([s.output(0)])
            .map(|ty| resized(ty).map(|ty| ty.element_count()))
            .sum::<Option<usize>>()?;
        self.elements = self.elements.checked_sub(spent).filter(|_| channels != 0)?;
        for (operand, contents) in s.inputs.iter().flatten().zip(contents) {
            let ty = resized(operand.ty)?;
            let row = ty.element.integer_bytes(contents.iter().copied());
            let data = Bytes::from(row.repeat(ty.element_count() / channels));
            inputs.push(Some(small.add_value(Value { name: String::new(), ty, data: Some(data) })));
        }
        let y = small.add_value(Value { name: String::new(), ty: resized(s.output(0))?, data: None });
        let mut node = Node { op: node.op.clone(), inputs, outputs: vec![y], operator: node.operator, then: vec![] };
        let mut op = node.op.clone();
        op.refit(&small.signature(&node));
        node.op = op;
        if node.op.infer(&small.signature(&node)).ok()? != [small.ty(y).shape.clone()] {
            return None;
        }
        let results = fold::interpreted(&small, &node)?;
        Some(columns(small.ty(y), results.first()?))
    }
}

/// All that an operator's result can be, by its type and the clamp at its end.
fn clamp(op: &Op, y: &TensorType) -> Option<Interval> {
    let all = Interval::of(y.element)?;
    let activation = op.clone().activation().map(|a| *a).or(op.clamp()).filter(|a| *a != Activation::None);
    let target = activation.and_then(|a| Target::new(y, a).ok()).filter(|t| t.low <= t.high);
    Some(target.map_or(all, |t| Interval::new(t.low.into(), t.high.into())))
}
