//! Convolutions of volumes, and their transposes.
//!
//! Not images (`gemm`). The idea: along each axis outputs next to each other, or a stride apart, see the same taps; each block of such outputs is one
//! call of one kernel, with as many taps as there are in the volume, so that nothing is guarded. Channels of the result are lanes, and a few outputs
//! of a row share the weights that are loaded.

use super::channels::each_block;
use super::moves::{self, Axis};
use super::requantize::clamp_float;
use super::{Context, Goal, math};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::ops::attributes::Activation;
use cranelite_tile::{BufferId, Elem, Index, KernelBuilder, Machine, Value};

/// One axis.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub input: usize,
    pub output: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
}

/// Numbers that begin somewhere and go on in equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Steps {
    first: i64,
    step: i64,
}

/// Outputs that see the same taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    count: usize,
    outputs: Steps,
    /// The place of the first tap in the input, by output; and from one tap to the next.
    inputs: Steps,
    taps: usize,
    tap_input: i64,
    tap_filter: Steps,
}

impl Way {
    /// Taps of an output: (filter, input).
    fn taps(&self, output: usize, is_transposed: bool) -> Vec<(i64, i64)> {
        let [output, stride, dilation, before] = [output, self.stride, self.dilation, self.before].map(|n| n as i64);
        let place = |f: i64| match is_transposed {
            false => Some(output * stride - before + f * dilation),
            true => {
                let place = output + before - f * dilation;
                (place.rem_euclid(stride) == 0).then(|| place.div_euclid(stride))
            }
        };
        let taps = (0..self.filter as i64).filter_map(|f| Some((f, place(f)?)));
        taps.filter(|(_, i)| (0..self.input as i64).contains(i)).collect()
    }

    fn runs(&self, is_transposed: bool) -> Vec<Run> {
        let mut runs: Vec<Run> = vec![];
        for output in 0..self.output {
            let taps = self.taps(output, is_transposed);
            let step = |of: fn(&(i64, i64)) -> i64| if let [a, b, ..] = &taps[..] { of(b) - of(a) } else { 0 };
            let (first, input) = taps.first().copied().unwrap_or_default();
            let this = Run {
                count: 1,
                outputs: Steps { first: output as i64, step: 0 },
                inputs: Steps { first: input, step: 0 },
                taps: taps.len(),
                tap_input: step(|t| t.1),
                tap_filter: Steps { first, step: step(|t| t.0) },
            };
            match runs.iter_mut().rev().find_map(|r| r.goes_on(&this).then_some(r)) {
                Some(run) => run.add(&this),
                None => runs.push(this),
            }
        }
        runs
    }
}

impl Run {
    fn goes_on(&self, next: &Run) -> bool {
        let same = (self.taps, self.tap_input, self.tap_filter) == (next.taps, next.tap_input, next.tap_filter);
        let count = self.count as i64;
        let reaches = |a: Steps, b: Steps| self.count == 1 || a.first + count * a.step == b.first;
        same && reaches(self.outputs, next.outputs) && reaches(self.inputs, next.inputs)
    }

    fn add(&mut self, next: &Run) {
        if self.count == 1 {
            self.outputs.step = next.outputs.first - self.outputs.first;
            self.inputs.step = next.inputs.first - self.inputs.first;
        }
        self.count += 1;
    }

    /// The first outputs and those from `n` on, where there are such.
    fn split(&self, n: usize) -> [Option<Run>; 2] {
        let from = |s: Steps| Steps { first: s.first + n as i64 * s.step, ..s };
        let rest = Run { count: self.count - n, outputs: from(self.outputs), inputs: from(self.inputs), ..*self };
        [Run { count: n, ..*self }, rest].map(|r| (0 < r.count).then_some(r))
    }
}

/// Outputs of a row that are computed at once, if there are so many: as many as have registers beside the weights and one input.
fn tile(machine: &Machine, goal: Goal, channels: usize, count: usize) -> usize {
    let vectors = channels.div_ceil(machine.lanes(Elem::F32)).min(VECTORS);
    let most = match goal {
        Goal::Size => 1,
        Goal::Speed => ((machine.vector_registers as usize).saturating_sub(vectors + 2) / vectors).clamp(1, 16),
    };
    // Equal tiles rather than a short one at the end.
    count.div_ceil(count.div_ceil(most))
}

/// Vectors of channels that are computed at once.
const VECTORS: usize = 2;

/// Calls of one operator beyond which its border is not worth compiling.
const MAX_CALLS: usize = 4096;

pub fn lower(
    cx: &mut Context,
    node: &Node,
    ways: &[Way; 3],
    [from, to]: [usize; 2],
    is_transposed: bool,
    activation: Activation,
) -> Result<(), Diagnostic> {
    let runs = ways.map(|w| w.runs(is_transposed));
    if MAX_CALLS < runs.iter().map(Vec::len).product() {
        return Err(Diagnostic::new(Code::FEATURE, "the windows of the convolution are of too many kinds")
            .expected("few outputs whose windows reach over the border, and small strides")
            .found(format!("{:?} kinds along the axes", runs.each_ref().map(Vec::len))));
    }
    let weights = if is_transposed { transposed(cx, node, ways, [from, to]) } else { cx.input(node, 1) };
    let batches = cx.output_type(node, 0).shape[0];
    let has_bias = node.input(2).is_some();
    let lanes = cx.machine.lanes(Elem::F32);
    let machine = cx.machine;
    let kernel = |tile: usize| {
        let mut k = KernelBuilder::new(format!("volume_f32_{from}x{to}_{tile}"));
        let (x, w) = (k.read("x"), k.read("w"));
        let bias = has_bias.then(|| k.read("bias"));
        let y = k.write("y");
        let names = |what: &str| ["d", "y", "x"].map(|axis| format!("{what}_{axis}"));
        let [counts, taps, x_steps, x_taps, w_taps, y_steps] =
            ["count", "taps", "x_step", "x_tap", "w_tap", "y_step"].map(|what| names(what).map(|n| k.param(&n)));
        let [batches, x_image, y_image, x0, w0, y0] = ["batches", "x_image", "y_image", "x0", "w0", "y0"].map(|n| k.param(n));
        k.each("n", batches, 1, |k, n| {
            k.each("od", counts[0], 1, |k, od| {
                k.each("oy", counts[1], 1, |k, oy| {
                    k.each("ox", counts[2], tile as i64, |k, ox| {
                        let sum = |first: Index, steps: [cranelite_tile::Param; 3]| first + od * steps[0] + oy * steps[1] + ox * steps[2];
                        let (seen, place) = (sum(n * x_image + x0, x_steps), sum(n * y_image + y0, y_steps));
                        each_block(k, to, lanes, VECTORS, |k, b| {
                            let zero = k.float(Elem::F32.x(b.lanes), 0.0);
                            let channel = b.first.clone() * 4;
                            let totals = k.repeat("kd", taps[0], 1, &vec![zero; tile], |k, kd, t| {
                                k.repeat("ky", taps[1], 1, t, |k, ky, t| {
                                    k.repeat("kx", taps[2], 1, t, |k, kx, t| {
                                        let at = seen.clone() + kd * x_taps[0] + ky * x_taps[1] + kx * x_taps[2];
                                        let weights = channel.clone() + w0 + kd * w_taps[0] + ky * w_taps[1] + kx * w_taps[2];
                                        k.repeat("ci", from, 1, t, |k, ci, t| {
                                            let weight = b.load(k, Elem::F32, w.at(weights.clone() + ci * (4 * to as i64)));
                                            let add = |(i, t): (i64, &Value)| {
                                                let at = at.clone() + ci * 4 + Index::from(x_steps[2]) * i;
                                                let v = k.load_splat(Elem::F32.x(b.lanes), 1, x.at(at));
                                                math::mul_add(k, machine, v, weight, *t)
                                            };
                                            (0..).zip(t).map(add).collect()
                                        })
                                    })
                                })
                            });
                            let bias = bias.map(|bias| b.load(k, Elem::F32, bias.at(channel.clone())));
                            for (i, total) in (0..).zip(totals) {
                                let total = bias.map_or(total, |bias| k.add(total, bias));
                                let total = clamp_float(k, total, activation);
                                b.store(k, y.at(place.clone() + channel.clone() + Index::from(y_steps[2]) * i), total);
                            }
                        });
                    });
                });
            });
        });
        k.finish()
    };
    // In bytes from one plane, row and column to the next.
    let strides = |sizes: [usize; 3], pixel: usize| [sizes[1] * sizes[2] * pixel * 4, sizes[2] * pixel * 4, pixel * 4].map(|n| n as i64);
    let (inputs, outputs, filters) = (ways.map(|w| w.input), ways.map(|w| w.output), ways.map(|w| w.filter));
    let (xs, ys, ws) = (strides(inputs, from), strides(outputs, to), strides(filters, from * to));
    let (x_image, y_image) = (xs[0] * inputs[0] as i64, ys[0] * outputs[0] as i64);
    let (x, y) = (cx.input(node, 0), cx.output(node, 0));
    let mut buffers: Vec<BufferId> = vec![x, weights];
    if has_bias {
        buffers.push(cx.input(node, 2));
    }
    buffers.push(y);
    for d in &runs[0] {
        for h in &runs[1] {
            let tiles = runs[2].iter().flat_map(|w| {
                let tile = tile(machine, cx.goal, to, w.count);
                let [all, rest] = w.split(w.count / tile * tile);
                [all.map(|w| (w, tile)), rest.map(|w| (w, w.count))]
            });
            for (w, tile) in tiles.flatten().collect::<Vec<_>>() {
                let axes = [d, h, &w];
                // Without taps along one axis there are none.
                let sees = axes.iter().all(|r| r.taps != 0);
                let each = |of: &dyn Fn(&Run) -> i64, steps: [i64; 3]| [0, 1, 2].map(|i| if sees { of(axes[i]) * steps[i] } else { 0 });
                let mut params: Vec<i64> = axes.iter().map(|r| r.count as i64).collect();
                params.extend(each(&|r| r.taps as i64, [1; 3]));
                params.extend(each(&|r| r.inputs.step, xs));
                params.extend(each(&|r| r.tap_input, xs));
                params.extend(each(&|r| r.tap_filter.step, ws));
                params.extend([0, 1, 2].map(|i| axes[i].outputs.step * ys[i]));
                let first = |of: &dyn Fn(&Run) -> i64, steps: [i64; 3]| each(of, steps).iter().sum::<i64>();
                let y0 = [0, 1, 2].map(|i| axes[i].outputs.first * ys[i]).iter().sum::<i64>();
                params.extend([batches as i64, if sees { x_image } else { 0 }, y_image]);
                params.extend([first(&|r| r.inputs.first, xs), first(&|r| r.tap_filter.first, ws), y0]);
                cx.call(kernel(tile), &buffers, &params);
            }
        }
    }
    Ok(())
}

/// Filters whose channels are the other way round.
fn transposed(cx: &mut Context, node: &Node, ways: &[Way; 3], [from, to]: [usize; 2]) -> BufferId {
    let taps: usize = ways.iter().map(|w| w.filter).product();
    if let Some(data) = cx.constant_input(node, 1) {
        let number = |tap: usize, i: usize, o: usize| &data[((tap * to + o) * from + i) * 4..][..4];
        let all = (0..taps).flat_map(|tap| (0..from).flat_map(move |i| (0..to).map(move |o| (tap, i, o))));
        let bytes: Vec<u8> = all.flat_map(|(tap, i, o)| number(tap, i, o).to_vec()).collect();
        return cx.constant("filter", bytes, 64);
    }
    let (source, weights) = (cx.input(node, 1), cx.scratch("filter", (taps * from * to * 4) as u64));
    let axes = [
        Axis { count: taps, from: (from * to) as i64, to: (from * to) as i64 },
        Axis { count: from, from: 1, to: to as i64 },
        Axis { count: to, from: from as i64, to: 1 },
    ];
    moves::elements(cx, source, weights, 4, (0, 0), &axes);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_see_the_same() {
        let way = Way { input: 5, output: 5, filter: 3, stride: 1, dilation: 1, before: 1 };
        let of = |way: Way, is_transposed| way.runs(is_transposed).iter().map(|r| (r.outputs.first, r.count, r.taps)).collect::<Vec<_>>();
        assert_eq!(of(way, false), [(0, 1, 2), (1, 3, 3), (4, 1, 2)]);
        // A transposed one has a run for each output modulo the stride.
        let way = Way { input: 4, output: 8, stride: 2, before: 0, ..way };
        assert_eq!(of(way, true), [(0, 1, 1), (1, 4, 1), (2, 3, 2)]);
        // Between filters that are smaller than the stride nothing is seen.
        let way = Way { input: 2, output: 6, filter: 1, stride: 3, ..way };
        assert_eq!(of(way, true), [(0, 2, 1), (1, 2, 0), (4, 2, 0)]);
    }
}
