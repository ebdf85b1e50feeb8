//! PAD becomes the padding of the convolutions that read it.
//!
//! A convolution takes what lies outside its image for zero: 0.0 in floats, the zero point in integers, which is what PAD writes. So a tap
//! on padding adds nothing either way, if the weights are finite. Only rows and columns can move, and less than a filter covers.

use super::Uses;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Op;
use crate::ops::attributes::Padding;
use crate::tensor::ElementType;
use std::collections::BTreeMap;

pub fn run(graph: &mut Graph) -> bool {
    let mut uses = Uses::of(graph);
    let mut changed = false;
    let mut finite = Finite::default();
    // From the last to the first: what has taken one PAD may take the one before.
    for i in (0..graph.nodes.len()).rev() {
        let (Some(padding), Some(x)) = (rows_and_columns(&graph.nodes[i]), graph.nodes[i].input(0)) else { continue };
        let y = graph.nodes[i].outputs[0];
        let (from, to) = (graph.ty(x), graph.ty(y));
        let readers = uses.inner_readers(y).to_vec();
        // Of an empty image a convolution makes nothing, of padding it does.
        let empty = from.shape.contains(&0);
        if empty || from.element != to.element || from.quantization != to.quantization || readers.is_empty() {
            continue;
        }
        let Some(sums) = readers.iter().map(|&r| combined(graph, &graph.nodes[r], y, padding, &mut finite)).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        for (&r, sum) in readers.iter().zip(sums) {
            let node = &mut graph.nodes[r];
            if let Op::Conv2d(crate::ops::conv_2d::Attributes { padding, .. })
            | Op::DepthwiseConv2d(crate::ops::depthwise_conv_2d::Attributes { padding, .. }) = &mut node.op
            {
                *padding = sum;
                node.inputs[0] = Some(x);
            }
        }
        uses.hand_on(x, i, &readers);
        changed = true;
    }
    changed
}

/// What a PAD adds to an image, if it adds nothing to batch and channels.
fn rows_and_columns(node: &Node) -> Option<Padding> {
    let Op::Pad(pad) = &node.op else { return None };
    match (&pad.before[..], &pad.after[..]) {
        ([0, top, left, 0], [0, bottom, right, 0]) => Some(Padding { top: *top, bottom: *bottom, left: *left, right: *right }),
        _ => None,
    }
}

/// The padding of a convolution of `image` that does a PAD's work too; `None` when it is none or must not.
fn combined(graph: &Graph, node: &Node, image: ValueId, more: Padding, finite: &mut Finite) -> Option<Padding> {
    let (own, dilation) = match &node.op {
        Op::Conv2d(a) => (a.padding, a.dilation),
        Op::DepthwiseConv2d(a) => (a.padding, a.dilation),
        _ => return None,
    };
    if node.input(0) != Some(image) || node.reads().filter(|v| *v == image).count() != 1 {
        return None;
    }
    let w = graph.ty(node.input(1)?);
    let span = |axis: usize, dilation: usize| w.shape[axis].saturating_sub(1) * dilation + 1;
    let sum =
        Padding { top: own.top + more.top, bottom: own.bottom + more.bottom, left: own.left + more.left, right: own.right + more.right };
    let covered = sum.top.max(sum.bottom) < span(1, dilation[0]) && sum.left.max(sum.right) < span(2, dilation[1]);
    (covered && adds_nothing(graph, node, finite)).then_some(sum)
}

/// Of weights, whether they are finite: looked at once, however many nodes ask.
pub type Finite = BTreeMap<ValueId, bool>;

/// Whether zeros in an image add nothing to the results of a convolution.
pub fn adds_nothing(graph: &Graph, node: &Node, finite: &mut Finite) -> bool {
    let (Some(x), Some(weights)) = (node.input(0), node.input(1)) else { return false };
    let mut weights_are_finite = || {
        let all = |data: &[u8]| data.chunks_exact(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite());
        *finite.entry(weights).or_insert_with(|| graph.value(weights).data.as_deref().is_some_and(all))
    };
    match (graph.ty(x).element, graph.ty(weights).element) {
        (ElementType::F32, ElementType::F32) => weights_are_finite(),
        // Float images with integer weights are quantised as a whole, padding included.
        (ElementType::F32, _) => false,
        _ => true,
    }
}
