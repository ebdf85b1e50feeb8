//! Products of few output channels: the depth is in the lanes.
//!
//! Not the loops, which are those of all products (`kernel.rs`). The idea: where output channels are lanes, three channels leave most of a vector
//! empty. Here a vector is a run of activations as they lie in memory, and is multiplied by as many weights of one channel; each pixel and channel has
//! an accumulator, whose lanes are summed at the end, those of several pixels together, so that one vector of results is rescaled and stored. Sums
//! cost as much as some steps of the depth, so it pays where that is deep; how much is counted in vector instructions.

use super::numbers::{Form, Numbers};
use super::shape::Shape;
use super::{Product, Rescale};
use crate::lower::{Context, Goal};
use cranelite_tile::{Elem, Machine};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Across {
    /// Lanes of an accumulator.
    lanes: usize,
    /// Pixels of a tile.
    tile: usize,
    /// Pixels whose results are one vector.
    pub pixels: usize,
    /// Lanes of that, of which those beyond the results have no meaning.
    pub results: usize,
}

/// No machine has shorter vectors.
const LEAST_LANES: usize = 4;
/// What is gained must be more than this share of what it costs otherwise: one in so many.
const MARGIN: usize = 6;
/// Costs are in units of so many to an instruction.
const UNIT: usize = 64;

impl Across {
    /// If it is faster than `other`, whose lanes are output channels.
    pub fn new(cx: &Context, p: &Product, n: &Numbers, other: &Shape) -> Option<Across> {
        let (machine, outputs) = (cx.machine, p.filter.shape[0] / p.groups());
        let is_wide = n.form == Form::Words || n.accumulator == Elem::I64;
        // Without fused multiply-adds floats are summed as the reference does.
        let is_ordered = n.form == Form::Float && !machine.fma;
        let most = machine.lanes(Elem::I32);
        if cx.goal == Goal::Size
            || !machine.has_vectors()
            || is_wide
            || is_ordered
            || n.sum_factor(p.weight_zero_point) != 0
            || most < outputs
        {
            return None;
        }
        // Results of pixels beside each other are one run of memory, and stay one.
        let together = p.groups() == 1
            && p.columns.places.step == 1
            && !matches!(p.rescale, Rescale::Hybrid { per_pixel: true, .. })
            && !cx.is_joined_later();
        let lanes = std::iter::successors(Some(LEAST_LANES), |l| Some(2 * l)).take_while(|l| *l <= most);
        let results = |pixels: usize| (pixels * outputs).next_power_of_two().clamp(LEAST_LANES, most);
        let choices = lanes.flat_map(|lanes| {
            let most_together = if together { (most / outputs).min(p.columns.output) } else { 1 };
            (1..=most_together).flat_map(move |pixels| {
                let tiles = 1..=(machine.vector_registers as usize / outputs).clamp(1, p.rows.output * p.columns.output);
                tiles.map(move |tile| Across { lanes, tile, pixels, results: results(pixels) })
            })
        });
        let fitting = choices.filter(|a| a.pixels <= a.tile && a.shape(machine, n, outputs).pixels(outputs) == a.tile);
        let cost = Cost { machine, p, n, outputs };
        let best = fitting.min_by_key(|a| cost.of(a))?;
        let today = cost.of_lanes(other);
        (cost.of(&best) < today - today / MARGIN).then_some(best)
    }

    pub fn shape(&self, machine: &Machine, n: &Numbers, outputs: usize) -> Shape {
        Shape::across(machine, n, self.lanes, outputs, self.tile)
    }

    /// Elements that are multiplied at once.
    pub fn elements(&self, n: &Numbers) -> usize {
        self.lanes * n.group
    }

    /// The channel of each lane of results.
    pub fn channels(&self, channels: Range<usize>) -> Vec<Option<usize>> {
        let count = channels.len();
        (0..self.results).map(|lane| (lane < self.pixels * count).then(|| channels.start + lane % count)).collect()
    }

    /// Arrays of a number of four bytes for each channel, one after the other, as arrays with one for each lane of results.
    pub fn spread(&self, data: &[u8], columns: usize) -> Vec<u8> {
        let number = |array: &[u8], lane: Option<usize>| lane.map_or([0; 4], |c| array[4 * c..][..4].try_into().expect("four bytes"));
        let arrays = data.chunks_exact(4 * columns);
        arrays.flat_map(|array| self.channels(0..columns).into_iter().flat_map(move |lane| number(array, lane))).collect()
    }
}

/// What a pixel costs: arithmetic and loads beside each other, then what becomes of sums.
struct Cost<'a> {
    machine: &'a Machine,
    p: &'a Product<'a>,
    n: &'a Numbers,
    outputs: usize,
}

impl Cost<'_> {
    /// Instructions of 64 bytes count half as much again: each takes two halves of a pipe, or multiplications are as many in a cycle and others fewer.
    fn of_vector(lanes: usize) -> usize {
        if lanes == 16 { UNIT + UNIT / 2 } else { UNIT }
    }

    fn pixels(&self) -> usize {
        self.p.batch * self.p.rows.output * self.p.columns.output
    }

    /// Instructions of a product.
    fn product(&self) -> usize {
        if matches!(self.n.form, Form::Pairs | Form::BytePairs { .. }) { 2 } else { 1 }
    }

    /// Instructions that make operands of what has been loaded. They count half: on some machines they are done beside products.
    fn prepare(&self) -> usize {
        usize::from(self.n.flips() || self.n.memory != self.n.operand && self.n.form == Form::Pairs)
    }

    /// Rescaling and storing a vector.
    fn epilogue(&self) -> usize {
        UNIT * if self.n.form == Form::Float { 3 } else { 12 }
    }

    /// Vectors of so many elements that a pixel sees.
    fn steps(&self, elements: usize) -> usize {
        let [_, rows, columns, channels] = self.p.filter.shape;
        let is_run = columns == 1 || (self.p.groups() == 1 && self.p.columns.dilation == 1);
        let merged = (columns * channels).div_ceil(elements);
        let by_tap = columns * channels.div_ceil(elements);
        rows * if is_run { merged } else { by_tap }
    }

    fn of(&self, a: &Across) -> usize {
        let size = Cost::of_vector(a.lanes);
        let arithmetic = size * self.outputs * self.product() + size * self.prepare() / 2;
        // Every tile reads all weights again.
        let weights = self.p.weights_bytes(self.n);
        let again = 1 < self.pixels() && (self.machine.l1_bytes as usize) < 2 * weights;
        let load = if a.lanes == 16 { 2 * UNIT } else { UNIT };
        let loads = load + if again { 4 } else { 1 } * load * self.outputs / a.tile;
        // Halves onto halves: of each by itself until they are as long as the vector of results, then of two together.
        let folds = 2 * (a.lanes / a.results).max(1).ilog2() as usize * a.pixels * self.outputs * UNIT;
        let together = 3 * (a.results.min(a.lanes) - 1) * a.results.div_ceil(a.lanes) * Cost::of_vector(a.results.min(a.lanes));
        let end = (folds + together + self.epilogue()) * a.tile.div_ceil(a.pixels);
        self.steps(a.elements(self.n)) * arithmetic.max(loads) + end / a.tile
    }

    fn of_lanes(&self, shape: &Shape) -> usize {
        let vectors = self.outputs.div_ceil(shape.lanes);
        let in_block = Shape::block(self.machine, self.n);
        // Bytes are widened ahead of several pixels.
        let is_ahead = self.n.form == Form::Pairs && shape.loads_groups(self.machine, self.n) && 1 < self.pixels();
        let prepare = if is_ahead { 0 } else { self.prepare() };
        let size = Cost::of_vector(shape.lanes);
        let arithmetic = size * vectors * self.product() + size * prepare / in_block / 2;
        let loads = UNIT / in_block;
        self.steps(self.n.group) * arithmetic.max(loads) + self.epilogue() * vectors
    }
}
