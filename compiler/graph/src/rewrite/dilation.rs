//! SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND: that is a dilated convolution, and becomes one.
//!
//! Each image of the batch has every n-th row and column, so neighbours in it are n apart in the image; what is padded, and not cut off
//! again, is the padding of the convolution, which takes it for zero as `pad.rs` says. Sequences [n, rows, channels] go through images with a
//! RESHAPE before and after.

use super::Uses;
use super::pad::{Finite, adds_nothing};
use crate::graph::{Graph, ValueId};
use crate::ops::attributes::Padding;
use crate::ops::{Op, batch_to_space_nd, conv_2d, depthwise_conv_2d, reshape, space_to_batch_nd};

pub fn run(graph: &mut Graph) -> bool {
    let uses = Uses::of(graph);
    let mut finite = Finite::default();
    let count = graph.nodes.len();
    for i in 0..count {
        if let Some(found) = Found::at(graph, &uses, i, &mut finite) {
            found.apply(graph, i);
        }
    }
    graph.nodes.retain(|n| !n.is_left_behind());
    graph.nodes.len() != count
}

/// Positions of the nodes before a BATCH_TO_SPACE_ND, and what becomes of the convolution.
struct Found {
    space_to_batch: usize,
    /// Views before and after the convolution.
    views: Option<[usize; 2]>,
    convolution: usize,
    dilation: [usize; 2],
    padding: Padding,
}

impl Found {
    fn at(graph: &Graph, uses: &Uses, i: usize, finite: &mut Finite) -> Option<Found> {
        let Op::BatchToSpaceNd(batch_to_space_nd::Attributes(back)) = &graph.nodes[i].op else { return None };
        let before = |i: usize| {
            let v = graph.nodes[i].input(0)?;
            uses.producer(v).filter(|_| uses.inner_readers(v) == [i])
        };
        let is_view = |i: usize| graph.nodes[i].op.is_view();
        let is_sequence = back.block.len() == 1;
        let after = before(i)?;
        if is_sequence != is_view(after) {
            return None;
        }
        let convolution = if is_sequence { before(after)? } else { after };
        let first = before(convolution)?;
        let views = is_sequence.then_some([first, after]).filter(|v| is_view(v[0]));
        let space_to_batch = if views.is_some() { before(first)? } else { first };
        let Op::SpaceToBatchNd(space_to_batch_nd::Attributes(there)) = &graph.nodes[space_to_batch].op else { return None };
        let (stride, dilation, own) = match &graph.nodes[convolution].op {
            Op::Conv2d(a) => (a.stride, a.dilation, a.padding),
            Op::DepthwiseConv2d(a) => (a.stride, a.dilation, a.padding),
            _ => return None,
        };
        if !graph.nodes[convolution].then.is_empty() || back.block != there.block || is_sequence != views.is_some() || stride != [1, 1] {
            return None;
        }
        let node = &graph.nodes[convolution];
        let shape = |v: ValueId| &graph.ty(v).shape;
        let (image, weights) = (shape(node.input(0)?), shape(node.input(1)?));
        let (x, y) = (shape(graph.nodes[space_to_batch].input(0)?), shape(graph.nodes[i].outputs[0]));
        // Which of the convolution's axes is that of a sequence.
        let sequence_axis = if image[1] == 1 { 2 } else { 1 };
        let is_plain = |image: &[usize], sequence: &[usize]| {
            let mut expected = sequence.to_vec();
            expected.insert(3 - sequence_axis, 1);
            image == expected
        };
        let inner = (shape(graph.nodes[space_to_batch].outputs[0]), shape(node.outputs[0]), shape(graph.nodes[i].input(0)?));
        if is_sequence
            && !(is_plain(image, inner.0) && is_plain(inner.1, inner.2) && weights[3 - sequence_axis] == 1 && own == Padding::default())
        {
            return None;
        }
        let mut dilations = dilation;
        let mut ends = [(0, 0); 2];
        for d in 0..back.block.len() {
            let axis = if is_sequence { sequence_axis } else { d + 1 };
            let own = [(own.top, own.bottom), (own.left, own.right)][axis - 1];
            let block = back.block[d];
            dilations[axis - 1] = dilation[axis - 1].checked_mul(block)?;
            let span = (weights[axis].checked_sub(1)?).checked_mul(dilations[axis - 1])? + 1;
            let begin = (there.before[d] + own.0 * block).checked_sub(back.before[d])?;
            // So far behind the image the last window ends.
            let end = (y[d + 1].checked_sub(1)? + span).checked_sub(x[d + 1] + begin)?;
            if span <= begin.max(end) {
                return None;
            }
            ends[axis - 1] = (begin, end);
        }
        let padding = Padding { top: ends[0].0, bottom: ends[0].1, left: ends[1].0, right: ends[1].1 };
        adds_nothing(graph, node, finite).then_some(Found { space_to_batch, views, convolution, dilation: dilations, padding })
    }

    fn apply(self, graph: &mut Graph, i: usize) {
        let x = graph.nodes[self.space_to_batch].inputs[0];
        let result = std::mem::take(&mut graph.nodes[i].outputs);
        graph.nodes[i].inputs.clear();
        let node = &mut graph.nodes[self.convolution];
        if let Op::Conv2d(conv_2d::Attributes { padding, dilation, .. })
        | Op::DepthwiseConv2d(depthwise_conv_2d::Attributes { padding, dilation, .. }) = &mut node.op
        {
            (*padding, *dilation) = (self.padding, self.dilation);
        }
        let Some([first, last]) = self.views else {
            node.inputs[0] = x;
            node.outputs = result;
            return;
        };
        let (image, own) = (graph.nodes[first].outputs[0], graph.nodes[self.convolution].outputs[0]);
        // The sequence stays where it is among the axes of the image.
        let of_image = |graph: &Graph, image: ValueId, sequence: ValueId| {
            let (shape, s) = (&graph.ty(image).shape, &graph.ty(sequence).shape);
            if shape[1] == 1 { vec![s[0], 1, s[1], s[2]] } else { vec![s[0], s[1], 1, s[2]] }
        };
        for (view, value, sequence) in [(Some(first), image, x.expect("a required input")), (None, own, result[0])] {
            let shape = of_image(graph, value, sequence);
            graph.values[value.0 as usize].ty.shape = shape.clone();
            if let Some(view) = view {
                graph.nodes[view].op = Op::Reshape(reshape::Attributes { shape, is_checked: false });
                graph.nodes[view].inputs[0] = x;
            }
        }
        graph.nodes[last].op = Op::Reshape(reshape::Attributes { shape: graph.ty(result[0]).shape.clone(), is_checked: false });
        graph.nodes[last].outputs = result;
    }
}
