//! Pixels that nobody reads are not computed: strides move towards the input.
//!
//! Where every reader of an image is a 1 x 1 convolution without padding whose stride is a multiple of s (residual networks go down in size like
//! that), only every s-th row and column is read. Then the readers take all of a smaller image, and what makes it makes less: a convolution
//! multiplies its stride; an operator on elements has smaller inputs, of which at least one must become cheaper in turn, and a
//! STRIDED_SLICE picks the pixels of the others.
//!
//! Images are looked at from the last to the first, so that a stride moves all its way in one run.

use super::Uses;
use crate::graph::{Graph, Node, Value, ValueId};
use crate::ops::strided_slice::Attributes as Slice;
use crate::ops::{Op, conv_2d};

/// Distances between the rows and between the columns that are read.
type Strides = [usize; 2];

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    // A node that makes less is as cheap to make less of again, so this stays true.
    let mut gets_cheaper = Vec::with_capacity(graph.nodes.len());
    for i in 0..graph.nodes.len() {
        gets_cheaper.push(node_gets_cheaper(graph, &uses, &gets_cheaper, i));
    }
    let mut picks = vec![];
    let mut changed = false;
    for producer in (0..graph.nodes.len()).rev().filter(|&i| gets_cheaper[i]) {
        let readers = uses.inner_readers(graph.nodes[producer].outputs[0]);
        let Some(strides) = common_stride(graph, readers, graph.nodes[producer].outputs[0]) else { continue };
        for &r in readers {
            if let Op::Conv2d(a) = &mut graph.nodes[r].op {
                a.stride = [a.stride[0] / strides[0], a.stride[1] / strides[1]];
            }
        }
        shrink(graph, &uses, &gets_cheaper, producer, strides, &mut picks);
        changed = true;
    }
    insert(graph, picks);
    changed
}

/// Puts new nodes in front of those at their positions.
fn insert(graph: &mut Graph, mut picks: Vec<(usize, Node)>) {
    if picks.is_empty() {
        return;
    }
    picks.sort_by_key(|(at, _)| *at);
    let mut picks = picks.into_iter().peekable();
    for (i, node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
        while let Some((_, pick)) = picks.next_if(|(at, _)| *at == i) {
            graph.nodes.push(pick);
        }
        graph.nodes.push(node);
    }
}

/// What the strides of all readers are multiples of, if they are 1 x 1 convolutions of `image` that leave something out.
fn common_stride(graph: &Graph, readers: &[usize], image: ValueId) -> Option<Strides> {
    let stride = |&r: &usize| {
        let node: &Node = &graph.nodes[r];
        let Op::Conv2d(a) = &node.op else { return None };
        let filter = &graph.ty(node.input(1)?).shape;
        let plain = filter[1..3] == [1, 1] && a.padding == Default::default();
        (node.input(0) == Some(image) && plain).then_some(a.stride)
    };
    let mut common = stride(readers.first()?)?;
    for r in readers {
        let own = stride(r)?;
        common = [0, 1].map(|d| greatest_common_divisor(common[d], own[d]));
    }
    (common != [1, 1]).then_some(common)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Is making fewer pixels less work for a node, by more than picking pixels costs? `before`: of those before it.
fn node_gets_cheaper(graph: &Graph, uses: &Uses, before: &[bool], node: usize) -> bool {
    let n = &graph.nodes[node];
    if !n.then.is_empty() {
        return false;
    }
    let input_does = |v: ValueId| sole_producer(uses, v, node).is_some_and(|p| before[p]);
    match &n.op {
        Op::Conv2d(_) => !is_hybrid(graph, n),
        Op::Add(_) | Op::Mul(_) | Op::Sub(_) => {
            let shape = &graph.ty(n.outputs[0]).shape;
            let same = n.inputs.iter().flatten().all(|i| graph.ty(*i).shape == *shape && graph.value(*i).data.is_none());
            same && n.inputs.iter().flatten().any(|&i| input_does(i))
        }
        Op::Relu(_) | Op::Relu6(_) => n.input(0).is_some_and(input_does),
        _ => false,
    }
}

/// Quantised at run time as a whole: every pixel matters.
fn is_hybrid(graph: &Graph, n: &Node) -> bool {
    let element = |i: usize| n.input(i).map(|v| graph.ty(v).element);
    element(0) != element(1) && element(0).is_some_and(|e| e == crate::tensor::ElementType::F32)
}

/// Who writes a value that only `reader` reads, once.
fn sole_producer(uses: &Uses, v: ValueId, reader: usize) -> Option<usize> {
    uses.producer(v).filter(|_| uses.inner_readers(v) == [reader])
}

/// What is still to be made smaller.
enum Smaller {
    Node(usize),
    /// An input of a node, whose pixels are picked.
    Input(usize, usize),
}

/// Makes a node compute every s-th row and column only. `picks` are new nodes and the positions in front of which they belong.
fn shrink(graph: &mut Graph, uses: &Uses, gets_cheaper: &[bool], node: usize, strides: Strides, picks: &mut Vec<(usize, Node)>) {
    // Not by recursion: the way back to a convolution may be as long as the model.
    let mut to_do = vec![Smaller::Node(node)];
    while let Some(next) = to_do.pop() {
        let node = match next {
            Smaller::Node(node) => node,
            Smaller::Input(node, i) => {
                let Some(x) = graph.nodes[node].input(i) else { continue };
                let pick = pick(graph, x, strides, graph.nodes[node].operator);
                graph.nodes[node].inputs[i] = Some(pick.outputs[0]);
                picks.push((node, pick));
                continue;
            }
        };
        for d in [0, 1] {
            let y = graph.nodes[node].outputs[0];
            let size = &mut graph.value_mut(y).ty.shape[d + 1];
            *size = size.div_ceil(strides[d]);
        }
        if let Op::Conv2d(conv_2d::Attributes { stride, .. }) = &mut graph.nodes[node].op {
            *stride = [stride[0] * strides[0], stride[1] * strides[1]];
            continue;
        }
        let producer = |v| sole_producer(uses, v, node).filter(|&p| gets_cheaper[p]);
        let inputs = graph.nodes[node].inputs.iter().enumerate().rev().filter_map(|(i, v)| Some((i, (*v)?)));
        to_do.extend(inputs.map(|(i, v)| producer(v).map_or(Smaller::Input(node, i), Smaller::Node)));
    }
}

/// A node that takes every s-th row and column of `x`.
fn pick(graph: &mut Graph, x: ValueId, strides: Strides, operator: u32) -> Node {
    let mut ty = graph.ty(x).clone();
    let name = graph.value(x).name.clone();
    for d in [0, 1] {
        ty.shape[d + 1] = ty.shape[d + 1].div_ceil(strides[d]);
    }
    let count = ty.shape.clone();
    let op = Slice { first: vec![0; 4], stride: vec![1, strides[0] as i64, strides[1] as i64, 1], shape: count.clone(), count };
    let y = graph.add_value(Value { name, ty, data: None });
    Node { op: Op::StridedSlice(op), inputs: vec![Some(x)], outputs: vec![y], operator, then: vec![] }
}
