//! Cells whose only memory is their last output (RNN): rules and kernels that all operators made of them share.
//!
//! h = activation(W x + R h + b). Not the walk over the steps (`recurrent.rs`).

use super::Context;
use super::gemm::Bias;
use super::recurrent::{self, Form, Sequence, Weights, each_cell, floats, not_empty, product, shaped, state_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::ops::attributes::Curve;
use crate::ops::{Signature, checks};
use crate::tensor::ElementType::F32;
use cranelite_tile::{BufferId, Elem, KernelBuilder};

/// Where the operands of a layer are among the inputs of an operator; weights, recurrent weights, bias and state follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    pub first: usize,
    /// A second input, and its weights.
    pub second: Option<[usize; 2]>,
}

/// One direction of one operator.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    at: Operands,
    curve: Curve,
    asymmetric: bool,
    pub inputs: usize,
    pub units: usize,
}

impl Layer {
    /// Everything that types say. `input`: which operand the sequence is.
    pub fn new(
        s: &Signature,
        sequence: &Sequence,
        input: usize,
        at: Operands,
        curve: Curve,
        asymmetric: bool,
    ) -> Result<Layer, Diagnostic> {
        let inputs = s.input(input)?.shape.last().copied().unwrap_or(0);
        let [weights, recurrent, bias, state] = [0, 1, 2, 3].map(|i| at.first + i);
        let w = s.input(weights)?;
        let units = w.shape.first().copied().unwrap_or(0);
        for (what, n) in [("the sequence", sequence.steps), ("the batch", sequence.batch), ("the input", inputs), ("the weights", units)] {
            not_empty(what, n)?;
        }
        let mut matrices = vec![(weights, inputs), (recurrent, units)];
        if let Some([second, second_weights]) = at.second {
            matrices.push((second_weights, s.input(second)?.shape.last().copied().unwrap_or(0)));
        }
        for (i, depth) in matrices {
            let ty = s.input(i)?;
            shaped("the weights", i, ty, &[units, depth])?;
            not_empty("the input", depth)?;
            if ty.element != w.element {
                return Err(Diagnostic::new(Code::TYPES, "weights of different types")
                    .detail(format!("input {i}"))
                    .expected(w.element.name())
                    .found(ty.element.name()));
            }
            if ty.element != F32 {
                checks::per_tensor("the weights", ty)?;
                checks::symmetric("the weights", ty)?;
            }
        }
        shaped("the bias", bias, s.input(bias)?, &[units])?;
        state_of("the state", state, s.input(state)?, sequence.batch * units)?;
        Ok(Layer { at, curve, asymmetric, inputs, units })
    }

    pub fn macs(&self, sequence: &Sequence) -> u64 {
        (sequence.steps * sequence.batch * self.units * (self.inputs + self.units)) as u64
    }

    /// Writes the calls of all steps. `output`: a tensor, the bytes of its rows, and where in them ours begin.
    pub fn lower(
        &self,
        cx: &mut Context,
        node: &Node,
        sequence: &Sequence,
        [input, second]: [Option<usize>; 2],
        output: (BufferId, usize, usize),
    ) -> Result<(), Diagnostic> {
        let (batch, units, m) = (sequence.batch, self.units, cx.machine);
        let [weights, recurrent] = [0, 1].map(|i| Weights::of_node(cx, node, &[self.at.first + i]));
        let (weights, recurrent) = (weights?, recurrent?);
        let bias = Bias::Float(floats(cx, node, &[self.at.first + 2])?.unwrap_or_default());
        let second = match (second, self.at.second) {
            (Some(second), Some([_, w])) => Some((cx.input(node, second), Weights::of_node(cx, node, &[w])?)),
            _ => None,
        };
        let (x, state) = (cx.input(node, input.unwrap_or(0)), cx.input(node, self.at.first + 3));
        let form = Form::Float { asymmetric: self.asymmetric };
        cx.repeat(sequence.steps, |cx| {
            let mut sums = vec![];
            let mut add = |cx: &mut Context, w: &Weights, bias: Bias, from: BufferId| {
                let to = cx.scratch("sums", (4 * batch * units) as u64);
                sums.push(to);
                product(cx, w, batch, form, bias, from, to)
            };
            let rows = sequence.rows(cx, x, 4 * weights.depth, 0, 4 * weights.depth);
            let from = sequence.gathered(cx, rows);
            add(cx, &weights, bias, from)?;
            if let Some((buffer, w)) = &second {
                let rows = sequence.rows(cx, *buffer, 4 * w.depth, 0, 4 * w.depth);
                let from = sequence.gathered(cx, rows);
                add(cx, w, Bias::None, from)?;
            }
            add(cx, &recurrent, Bias::None, state)?;
            let result = sequence.rows(cx, output.0, output.1, output.2, 4 * units);
            let mut k = KernelBuilder::new(format!("rnn_cells_{units}"));
            let args: Vec<_> = sums.iter().map(|_| k.read("sums")).collect();
            let (hidden, y) = (k.write("hidden"), k.write("y"));
            let distance = k.param("distance");
            each_cell(&mut k, batch, units, m.lanes(Elem::F32), |k, c| {
                let place = c.at(units, 0, 4);
                let all: Vec<_> = args.iter().map(|a| k.load_part(Elem::F32.x(c.lanes), a.at(place.clone()), c.count)).collect();
                let sum = all.into_iter().reduce(|a, b| k.add(a, b)).expect("a sum");
                let v = recurrent::apply(k, m, self.curve, sum);
                k.store_part(hidden.at(place.clone()), v, c.count);
                k.store_part(y.at(c.batch.clone() * distance + c.first.clone() * 4), v, c.count);
            });
            let buffers = [&sums[..], &[state, result.buffer]].concat();
            cx.call(k.finish(), &buffers, &[result.distance_bytes as i64]);
            Ok(())
        })
    }
}
