//! Pixels that nobody reads are not computed: strides move towards the input.
//!
//! Where every reader of an image is a 1 x 1 convolution with the same stride and no padding (residual networks go down in size like that),
//! only every s-th row and column is read. Then the readers take all of a smaller image, and what makes it makes less: a convolution
//! multiplies its stride; an operator on elements has smaller inputs, of which at least one must become cheaper in turn, and a
//! STRIDED_SLICE picks the pixels of the others.

use super::Uses;
use crate::graph::{Graph, Node, Value, ValueId};
use crate::ops::strided_slice::Attributes as Slice;
use crate::ops::{Op, conv_2d};

/// Distances between the rows and between the columns that are read.
type Strides = [usize; 2];

pub fn run(graph: &mut Graph) -> bool {
    let values: Vec<ValueId> = graph.nodes.iter().filter_map(|n| n.outputs.first().copied()).collect();
    for v in values {
        let uses = Uses::of(graph);
        let readers = uses.inner_readers(v).to_vec();
        let Some(strides) = common_stride(graph, &readers, v) else { continue };
        let Some(producer) = uses.producer(v) else { continue };
        if !gets_cheaper(graph, &uses, producer) {
            continue;
        }
        for &r in &readers {
            if let Op::Conv2d(a) = &mut graph.nodes[r].op {
                a.stride = [1, 1];
            }
        }
        let mut picks = vec![];
        shrink(graph, &uses, producer, strides, &mut picks);
        // From the last to the first, so that positions stay true.
        picks.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, node) in picks {
            graph.nodes.insert(at, node);
        }
        return true;
    }
    false
}

/// The stride of all readers, if they are 1 x 1 convolutions of `image` that leave something out.
fn common_stride(graph: &Graph, readers: &[usize], image: ValueId) -> Option<Strides> {
    let stride = |&r: &usize| {
        let node: &Node = &graph.nodes[r];
        let Op::Conv2d(a) = &node.op else { return None };
        let filter = &graph.ty(node.input(1)?).shape;
        let plain = filter[1..3] == [1, 1] && a.padding == Default::default();
        (node.input(0) == Some(image) && plain && a.stride != [1, 1]).then_some(a.stride)
    };
    let first = stride(readers.first()?)?;
    readers.iter().all(|r| stride(r) == Some(first)).then_some(first)
}

/// Is making fewer pixels less work for the node, by more than picking pixels costs?
fn gets_cheaper(graph: &Graph, uses: &Uses, node: usize) -> bool {
    let n = &graph.nodes[node];
    if !n.then.is_empty() {
        return false;
    }
    match &n.op {
        Op::Conv2d(_) => !is_hybrid(graph, n),
        Op::Add(_) | Op::Mul(_) | Op::Sub(_) => {
            let shape = &graph.ty(n.outputs[0]).shape;
            let same = n.inputs.iter().flatten().all(|i| graph.ty(*i).shape == *shape && graph.value(*i).data.is_none());
            same && n.inputs.iter().flatten().any(|&i| sole_producer(uses, i, node).is_some_and(|p| gets_cheaper(graph, uses, p)))
        }
        Op::Relu(_) | Op::Relu6(_) => n.input(0).and_then(|i| sole_producer(uses, i, node)).is_some_and(|p| gets_cheaper(graph, uses, p)),
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

/// Makes a node compute every s-th row and column only. `picks` are new nodes and the positions in front of which they belong.
fn shrink(graph: &mut Graph, uses: &Uses, node: usize, strides: Strides, picks: &mut Vec<(usize, Node)>) {
    for d in [0, 1] {
        let y = graph.nodes[node].outputs[0];
        let size = &mut graph.value_mut(y).ty.shape[d + 1];
        *size = size.div_ceil(strides[d]);
    }
    if let Op::Conv2d(conv_2d::Attributes { stride, .. }) = &mut graph.nodes[node].op {
        *stride = [stride[0] * strides[0], stride[1] * strides[1]];
        return;
    }
    for i in 0..graph.nodes[node].inputs.len() {
        let Some(x) = graph.nodes[node].input(i) else { continue };
        match sole_producer(uses, x, node).filter(|&p| gets_cheaper(graph, uses, p)) {
            Some(p) => shrink(graph, uses, p, strides, picks),
            None => {
                let pick = pick(graph, x, strides, graph.nodes[node].operator);
                graph.nodes[node].inputs[i] = Some(pick.outputs[0]);
                picks.push((node, pick));
            }
        }
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
