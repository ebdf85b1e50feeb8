//! Matrix products: convolutions and fully connected products of every element type, as one nest of loops.
//!
//! Not an operator: `ops/` says which numbers rescale the result, this folder how it is computed. The idea: a convolution is a matrix
//! product whose rows are read from the image where they are. Weights are packed into panels when the model is compiled; the output is
//! cut into rectangles whose pixels all see the same taps (`geometry.rs`), so that padding needs neither copies nor comparisons;
//! zero points end up in the number that an accumulator starts from (`numbers.rs`); and one generator (`kernel.rs`) writes the kernel
//! for whatever tile the machine prefers.

mod across;
mod ahead;
pub mod direct;
mod epilogue;
mod geometry;
pub mod hybrid;
mod kernel;
mod matrices;
mod numbers;
mod pack;
mod padded;
mod select;
mod shape;
mod small;
mod sparse;
mod sums;
mod tables;
mod winograd;

pub use geometry::{Axis, Places};
pub use pack::Filter;

use crate::diagnostic::{Code, Diagnostic};
use crate::lower::pointwise::Destination;
use crate::lower::requantize::{Rescaling, Target, sums_fit_32_bits};
use crate::lower::{Context, Goal};
use crate::ops::attributes::Activation;
use crate::quantize::steps::Reference;
use crate::quantize::{convolution_multiplier, convolution_multiplier_per_tensor, quantize_multiplier, wide_requantization};
use crate::tensor::{ElementType, TensorType};
use across::Across;
use cranelite_tile::{BufferId, ByteDot, Elem, Machine};
use epilogue::Epilogue;
use geometry::{Segment, grids};
use kernel::{Count, Counts, Spec, Strides};
use numbers::{Form, Numbers};
use pack::Depth;
use shape::{Block, Shape};
use tables::Scales;

/// How sums become results; one number per output channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Rescale {
    Float,
    /// Sums of 32 bits stay what they are.
    None,
    /// Of sums of at most 32 bits, or times a real factor.
    Sum(Vec<Reference>),
    /// (multiplier, shift) for 64-bit sums.
    Wide(Vec<(i32, i32)>),
    /// Scales of weights; the activations' come at run time: an f32 scale and an i32 offset for every pixel, or for every image.
    /// `in_turn`: the sum is multiplied by one and then by the other, else by their product.
    Hybrid {
        scales: Vec<f32>,
        asymmetric: bool,
        in_turn: bool,
        per_pixel: bool,
        factors: [BufferId; 2],
    },
}

impl Rescale {
    /// As the reference has it for the integer sums of convolutions, which are 64 bits wide for int16 if `i64_sums`. Weights of u8 have a factor of
    /// their own; beside those of i8, activations of u8 are moved ones (`ops/moves.rs`).
    pub fn of_convolution(x: &TensorType, w: &TensorType, y: &TensorType, channels: usize, i64_sums: bool) -> Rescale {
        let scale = |c: usize| w.quantization.as_ref().map_or(1.0, |q| q.scale(c));
        let (input_scale, output_scale) = (x.scale().unwrap_or(1.0), y.scale().unwrap_or(1.0));
        let multiplier = |c| quantize_multiplier(convolution_multiplier(input_scale, scale(c), output_scale));
        match (x.element, w.element) {
            (ElementType::U8, ElementType::U8) => {
                let real = convolution_multiplier_per_tensor(input_scale, scale(0), output_scale);
                let (multiplier, shift) = quantize_multiplier(real);
                Rescale::Sum(vec![Reference::Fixed(multiplier, shift); channels])
            }
            (ElementType::I16, _) if i64_sums => Rescale::Wide((0..channels).map(multiplier).collect()),
            _ => Rescale::Sum((0..channels).map(multiplier).map(|(m, s)| Reference::Fixed(m, s)).collect()),
        }
    }

    /// What becomes of a sum of a channel, before the zero point is added. `None` of sums that are not integers, and of those that
    /// overflow on the way; of the others a larger one never has a smaller result.
    pub fn rescaled(&self, channel: usize, sum: i64) -> Option<i32> {
        match self {
            Rescale::Sum(references) => {
                let (reference, sum) = (references[channel], i32::try_from(sum).ok()?);
                let is_monotone = match reference {
                    Reference::Fixed(multiplier, shift) => 0 <= multiplier && shift <= 30 && sum.checked_mul(1 << shift.max(0)).is_some(),
                    Reference::Real(scale) => 0.0 <= scale,
                };
                is_monotone.then(|| reference.apply(sum))
            }
            Rescale::Wide(all) => {
                let (multiplier, shift) = all[channel];
                let [factor, addend, right] = wide_requantization(multiplier, shift);
                let scaled = sum.checked_mul(factor)?.checked_add(addend)? >> right;
                (0 <= factor && shift < 15).then_some(())?;
                i32::try_from(scaled).ok()
            }
            Rescale::Float | Rescale::None | Rescale::Hybrid { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Bias {
    None,
    Int(Vec<i64>),
    Float(Vec<f32>),
}

/// A convolution. Images are [batch, rows, columns, channels].
#[derive(Clone, Debug)]
pub struct Product<'a> {
    pub batch: usize,
    pub rows: Axis,
    pub columns: Axis,
    /// Of the input: a multiple of the filter's.
    pub channels: usize,
    pub filter: Filter<'a>,
    /// Element type of the input that is multiplied.
    pub input: ElementType,
    pub input_zero_point: i64,
    pub weight_zero_point: i64,
    pub bias: Bias,
    pub rescale: Rescale,
    pub activation: Activation,
    /// Of an integer result.
    pub target: Option<Target>,
}

/// More rectangles than this have filters whose kind no model has; each costs a call, and a table of so many biases at most.
const MOST_RECTANGLES: usize = 4096;
const MOST_BIASES: usize = 1 << 24;

/// Operations of a tile's depth up to which loops are unrolled.
fn unrolled(goal: Goal) -> usize {
    match goal {
        Goal::Speed => 96,
        Goal::Size => 16,
    }
}

/// Zeros are not worth a thought where fewer percent of the weights are zero: of so many weights, which is near enough.
const LEAST_ZEROS: usize = 20;
const LOOKED_AT: usize = 4096;

/// How far ahead of their use weights are asked for where they come from beyond the second-level cache: so long that they arrive in
/// time, and short enough that they are still there.
const PREFETCH_BYTES: i64 = 8 << 10;

/// The rectangles of output pixels that see the same taps.
fn rectangles(rows: &Axis, columns: &Axis, channels: usize) -> Result<Vec<(Segment, Segment)>, Diagnostic> {
    let (rows, columns) = (rows.segments(), columns.segments());
    let kinds = rows.len().saturating_mul(columns.len());
    if MOST_RECTANGLES < kinds || MOST_BIASES < kinds.saturating_mul(channels) {
        return Err(Diagnostic::new(Code::FEATURE, "the filter reaches over too much padding")
            .expected(format!("at most {MOST_RECTANGLES} kinds of border pixels"))
            .found(format!("{} by {}", rows.len(), columns.len()))
            .help("use a smaller filter, or no padding"));
    }
    Ok(rows.iter().flat_map(|r| columns.iter().map(move |c| (*r, *c))).collect())
}

/// Writes the calls from `input` to the destination.
pub fn lower(cx: &mut Context, product: &Product, input: BufferId, to: &Destination) -> Result<(), Diagnostic> {
    let product = &product.collapsed();
    let outputs = product.batch * product.rows.output * product.columns.output * product.filter.shape[0];
    if outputs == 0 {
        return Ok(());
    }
    if let Some(plan) = winograd::plan(cx, product) {
        winograd::lower(cx, product, &plan, input, to);
        return Ok(());
    }
    let mut numbers = product.numbers(cx.machine);
    if cx.sparse && product.has_zeros() {
        match (sparse::plan(cx, product, &numbers), select::plan(cx, product, &numbers)) {
            (Some(lists), selects) if selects.as_ref().is_none_or(|s| lists.percent <= s.percent) => {
                return sparse::lower(cx, product, &lists, input, to);
            }
            (_, Some(selects)) => return select::lower(cx, &selects, input, to),
            (_, None) => {}
        }
    }
    if let Some(bands) = padded::bands(cx, product) {
        return bands.iter().try_for_each(|band| {
            let copy = band.write(cx, product, input);
            lower(cx, band.unfolded.as_ref().unwrap_or(&band.product), copy, to)
        });
    }
    let rectangles = rectangles(&product.rows, &product.columns, product.filter.shape[0])?;
    if cx.goal == Goal::Size && small::is_possible(product, &numbers) {
        let short = numbers.form == Form::Pairs && product.has_byte_weights();
        return small::lower(cx, product, if short { numbers.with_short_weights() } else { numbers }, input, to);
    }
    let pixels = product.batch * product.rows.output * product.columns.output;
    if product.has_short_weights(cx, &numbers) {
        numbers = numbers.with_short_weights();
    }
    let single = numbers;
    if product.sums_in_pairs(cx.machine) {
        numbers = numbers.in_pairs();
    }
    let (epilogue, scales) = product.epilogue(cx.machine, &numbers)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, product.filter.shape[0]);
    }
    let filters = product.filter.shape[0] / product.groups();
    let has_sums = numbers.sum_factor(product.weight_zero_point) != 0;
    let mut shape = Shape::new(cx.machine, &numbers, pixels, filters, false);
    let across = Across::new(cx, product, &numbers, &shape);
    if let Some(across) = &across {
        shape = across.shape(cx.machine, &numbers, filters);
    }
    let sums_ahead = has_sums && sums::pays(cx, product, &single, shape.blocks(filters).iter().map(|b| b.panels).sum());
    if has_sums && !sums_ahead {
        shape = Shape::new(cx.machine, &numbers, pixels, filters, true);
    } else if across.is_none()
        && let Some(in_matrices) = matrices::shape(cx.machine, product, &numbers, &rectangles)
    {
        (numbers, shape) = (numbers.in_matrices(), in_matrices);
    }
    let mut blocks = shape.blocks(filters);
    // Panel by panel where every rectangle would fetch all weights again, from far away.
    if 1 < rectangles.len() && 4 * (cx.machine.l2_bytes as usize) < product.weights_bytes(&numbers) {
        blocks = blocks.iter().flat_map(|b| b.panels(shape.lanes)).collect();
    }
    let memory = numbers.memory;
    let bands = if across.is_some() { None } else { ahead::bands(cx, product, &numbers, &shape, &rectangles) };
    let (numbers, bands) = match bands {
        Some(bands) => (numbers.made(), bands),
        None => (numbers, vec![ahead::Band::whole(&rectangles)]),
    };
    let sums = sums_ahead.then(|| sums::write(cx, product, &single, input));
    let mut parts = vec![];
    for group in 0..product.groups() {
        for &block in &blocks {
            let common = Lowering { product, to, numbers, epilogue, shape: &shape, across, group, block, sums };
            parts.push((common, common.tables(cx, &scales, &rectangles)));
        }
    }
    let made = ahead::scratch(cx, &bands, numbers.operand);
    for band in &bands {
        if let Some(made) = made {
            ahead::make(cx, &numbers, memory, band, input, made);
        }
        for (part, tables) in &parts {
            part.write(cx, tables, band, made.unwrap_or(input));
        }
    }
    Ok(())
}

impl Product<'_> {
    /// Weights are bytes for the operation, too.
    fn has_byte_weights(&self) -> bool {
        self.filter.element == ElementType::I8 && self.weight_zero_point == 0
    }

    /// Whether some of the weights are zeros, by some of them: at an odd distance, so that any N of M are met.
    fn has_zeros(&self) -> bool {
        let all = self.filter.shape.iter().product::<usize>();
        let places = (0..all).step_by((all / LOOKED_AT) | 1);
        let zeros = match self.filter.element {
            ElementType::F32 => {
                let weights = self.filter.data.as_chunks::<4>().0;
                places.clone().filter(|i| f32::from_le_bytes(weights[*i]) == 0.0).count()
            }
            _ => places.clone().filter(|i| self.filter.ints(*i..i + 1).eq([self.weight_zero_point])).count(),
        };
        places.len() * LEAST_ZEROS <= zeros * 100
    }

    /// As pairs the model's bytes are twice as many; where they stream, widening them costs less than fetching them.
    fn has_short_weights(&self, cx: &Context, numbers: &Numbers) -> bool {
        let pixels = self.batch * self.rows.output * self.columns.output;
        let streams = (cx.machine.l2_bytes as usize) < 2 * cx.constants_bytes;
        pixels == 1 && streams && numbers.form == Form::Pairs && self.has_byte_weights()
    }

    /// Whether two products of bytes are summed in 16 bits before they are added to a sum of 32: there are few enough weights of -128 that no two are in such
    /// a sum, since -128 · -128 twice is 2^15.
    fn sums_in_pairs(&self, machine: &Machine) -> bool {
        let numbers = self.numbers(machine);
        let depth: usize = self.filter.shape[1..].iter().product();
        let least = |o: usize| self.filter.ints(o * depth..(o + 1) * depth).filter(|w| w - numbers.weight_shift == -128).count();
        machine.byte_dot == ByteDot::S8S8Pairs
            && matches!(numbers.form, Form::Bytes { .. })
            && (0..self.filter.shape[0]).all(|o| least(o) <= 1)
    }

    /// Whether the taps of a row are one run in groups of so many elements. Padding the groups of every tap wastes little when there are many channels, else
    /// each segment gets its own weights.
    fn merges_taps(&self, group: usize) -> bool {
        let [_, _, taps, channels] = self.filter.shape;
        let few = channels.is_multiple_of(group) || channels < 4 * group;
        taps == 1 || (self.groups() == 1 && self.columns.dilation == 1 && few)
    }

    /// Groups of so many elements that all taps of a pixel have.
    fn groups_of(&self, group: usize) -> usize {
        let [_, rows, taps, channels] = self.filter.shape;
        rows * if self.merges_taps(group) { (taps * channels).div_ceil(group) } else { taps * channels.div_ceil(group) }
    }

    /// Whether bytes are multiplied as matrices in the dense form.
    fn multiplies_matrices(&self, machine: &Machine) -> bool {
        let numbers = self.numbers(machine);
        machine.tile_matrix.is_some()
            && numbers.sum_factor(self.weight_zero_point) == 0
            && rectangles(&self.rows, &self.columns, self.filter.shape[0])
                .is_ok_and(|all| matrices::shape(machine, self, &numbers, &all).is_some())
    }

    /// Of one group.
    fn weights_bytes(&self, numbers: &Numbers) -> usize {
        self.filter.shape.iter().product::<usize>() / self.groups() * numbers.packed.bytes() as usize
    }

    pub fn groups(&self) -> usize {
        self.channels / self.filter.shape[3]
    }

    /// The same product with the fewest loops: an image of which every pixel sees only itself is one long row.
    fn collapsed(&self) -> Product<'_> {
        let mut p = self.clone();
        if p.rows.sees_itself() && p.columns.sees_itself() {
            let mut pixels = p.rows.output * p.columns.output;
            if !matches!(p.rescale, Rescale::Hybrid { per_pixel: false, .. }) {
                pixels *= p.batch;
                p.batch = 1;
            }
            (p.rows, p.columns) = (Axis::plain(1), Axis::plain(pixels));
        }
        p
    }

    fn numbers(&self, machine: &Machine) -> Numbers {
        match (self.input, self.filter.element) {
            (ElementType::F32, _) => Numbers::FLOAT,
            (ElementType::I16, ElementType::I16) => Numbers::WORDS_64,
            (ElementType::I16, _) => {
                // Convolutions with a bias of 32 bits have such sums in the reference.
                let fixed = |r: &Reference| matches!(r, Reference::Fixed(..));
                let short =
                    matches!(&self.rescale, Rescale::Sum(r) if r.iter().all(fixed)) || tables::fits_32_bits(&self.filter, &self.bias);
                Numbers::words(if short { Elem::I32 } else { Elem::I64 })
            }
            (activation, weight) => {
                let numbers = Numbers::bytes(machine, activation, weight, self.weight_zero_point);
                if matches!(self.rescale, Rescale::Hybrid { .. }) { numbers.with_signed_weights(weight) } else { numbers }
            }
        }
    }

    fn epilogue(&self, machine: &Machine, numbers: &Numbers) -> Result<(Epilogue, Scales), Diagnostic> {
        let activation = self.activation;
        let target = || self.target.expect("the target of an integer result");
        let fit = |reach: &[(i64, i64)]| {
            let sums = reach.iter().enumerate().map(|(o, r)| (self.bias.int(o), *r));
            sums_fit_32_bits(sums, self.filter.shape[1..].iter().product())
        };
        Ok(match &self.rescale {
            Rescale::Float => (Epilogue::Float { activation }, Scales::None),
            Rescale::None => {
                fit(&tables::reach(self))?;
                (Epilogue::Plain, Scales::None)
            }
            Rescale::Sum(references) => {
                let reach = tables::reach(self);
                if self.input != ElementType::I16 {
                    fit(&reach)?;
                }
                let (rescaling, numbers) = Rescaling::new(machine, references, &reach, target())?;
                (Epilogue::Sum(rescaling), Scales::Sum(numbers))
            }
            Rescale::Wide(all) => {
                let short = numbers.accumulator == Elem::I32;
                match Rescaling::once(machine, all, &tables::reach(self), target()).filter(|_| short) {
                    Some((rescaling, numbers)) => (Epilogue::Sum(rescaling), Scales::Sum(numbers)),
                    None => (Epilogue::Wide { target: target() }, Scales::Wide(all.clone())),
                }
            }
            Rescale::Hybrid { scales, asymmetric, in_turn, .. } => {
                (Epilogue::Hybrid { asymmetric: *asymmetric, in_turn: *in_turn, activation }, Scales::Hybrid(scales.clone()))
            }
        })
    }
}

/// The columns of one block of one group.
#[derive(Clone, Copy)]
struct Lowering<'a> {
    product: &'a Product<'a>,
    to: &'a Destination<'a>,
    numbers: Numbers,
    epilogue: Epilogue,
    shape: &'a Shape,
    across: Option<Across>,
    group: usize,
    block: Block,
    /// A number per pixel that is added to its sums.
    sums: Option<BufferId>,
}

/// The constants of a block.
struct Constants {
    class: BufferId,
    /// From the class of a rectangle to the next.
    class_stride: usize,
    scale: Option<BufferId>,
    weights: Vec<(Depth, BufferId)>,
}

impl Lowering<'_> {
    fn tables(&self, cx: &mut Context, scales: &Scales, rectangles: &[(Segment, Segment)]) -> Constants {
        let (p, n) = (self.product, &self.numbers);
        let first = self.group * (p.filter.shape[0] / p.groups()) + self.block.first;
        let columns = self.block.columns(self.shape.lanes);
        let width = if self.across.is_some() { columns } else { self.block.vectors * self.shape.lanes };
        let mut classes = tables::classes(p, n, &self.epilogue, first..first + columns, width, rectangles, |r| self.absent(r));
        let mut scale = scales.table(&p.bias, first..first + columns, width);
        if let Some(across) = self.across {
            classes.data = across.spread(&classes.data, columns);
            scale = scales.panel(&p.bias, &across.channels(first..first + columns));
        }
        let class_stride = if classes.uniform { 0 } else { classes.data.len() / rectangles.len() };
        let class = cx.constant("bias", classes.data, 64);
        let scale = (0 < self.epilogue.scale_bytes()).then(|| cx.constant("scales", scale, 64));
        let mut weights: Vec<(Depth, BufferId)> = vec![];
        for (_, column) in rectangles {
            let depth = self.depth(column);
            if !weights.iter().any(|w| w.0 == depth) {
                let panels = pack::panels(&p.filter, &depth, first, columns, width, n.packed, n.weight_shift);
                weights.push((depth, cx.constant("weights", panels, 64)));
            }
        }
        Constants { class, class_stride, scale, weights }
    }

    /// The calls for a band of the output; `input` holds what the band says.
    fn write(&self, cx: &mut Context, constants: &Constants, band: &ahead::Band, input: BufferId) {
        for piece in &band.pieces {
            let depth = self.depth(&piece.column);
            let weights = constants.weights.iter().find(|w| w.0 == depth).expect("the weights of every kind of depth").1;
            let mut buffers = vec![input, weights, constants.class];
            buffers.extend(constants.scale);
            if let Rescale::Hybrid { factors, .. } = &self.product.rescale {
                buffers.extend(factors);
            }
            buffers.extend(self.sums);
            buffers.extend(self.to.buffers());
            let class = (piece.rectangle * constants.class_stride) as i64;
            self.rectangle(cx, &buffers, &piece.row, &piece.column, &depth, class, band.elements.start);
        }
    }

    /// How the depth is packed for pixels that see the taps of a segment. Where channels fill whole groups, one packing serves all.
    fn depth(&self, column: &Segment) -> Depth {
        let (p, group) = (self.product, self.across.map_or(self.numbers.group, |a| a.elements(&self.numbers)));
        let (taps, channels) = (p.filter.shape[2], p.filter.shape[3]);
        let whole = channels.is_multiple_of(group);
        let merged = p.merges_taps(group);
        let own = merged && !whole && 0 < column.taps();
        // What is read twice is multiplied by zero, which floats are not always undone by.
        let overlap = !self.shape.sums && self.numbers.form != Form::Float;
        Depth { taps: if own { column.first..column.end } else { 0..taps }, channels, group, merged, overlap }
    }

    /// Elements beyond the ends of runs that take part in the sum of a pixel's activations, as zeros in memory.
    fn absent(&self, (row, column): &(Segment, Segment)) -> usize {
        let depth = self.depth(column);
        let runs = row.taps() * if depth.merged { 1 } else { column.taps() };
        depth.tail().filter(|_| 0 < column.taps()).map_or(0, |(_, count)| runs * (depth.group - count))
    }

    fn pixels(&self) -> usize {
        self.product.batch * self.product.rows.output * self.product.columns.output
    }

    /// `absent`: elements of the input before the buffer's first.
    #[allow(clippy::too_many_arguments)]
    fn rectangle(&self, cx: &mut Context, buffers: &[BufferId], row: &Segment, column: &Segment, depth: &Depth, class: i64, absent: usize) {
        let (p, n, machine) = (self.product, &self.numbers, cx.machine);
        let lanes = self.shape.lanes;
        let element = i64::from(n.memory.bytes());
        let pixel = (p.channels as i64) * element;
        let line = p.columns.input as i64 * pixel;
        let group_bytes = (self.block.vectors * lanes * n.group) as i64 * i64::from(n.packed.bytes());
        let w_run = depth.groups() as i64 * group_bytes;
        let w_tap_row = depth.runs() as i64 * w_run;
        let y_element = i64::from(self.epilogue.output().bytes());
        let (rows, columns) = (&p.rows.places, &p.columns.places);
        let y_pixel = p.filter.shape[0] as i64 * y_element;
        let y_row = columns.count as i64 * y_pixel;
        let per_pixel = self.sums.is_some() || matches!(p.rescale, Rescale::Hybrid { per_pixel: true, .. });
        let strides = Strides {
            x_batch: p.rows.input as i64 * line,
            x_row: p.rows.stride as i64 * line,
            x_pixel: p.columns.stride as i64 * pixel,
            x_tap_row: p.rows.dilation as i64 * line,
            x_run: p.columns.dilation as i64 * pixel,
            w_panel: p.filter.shape[1] as i64 * w_tap_row,
            w_batch: 0,
            w_tap_row,
            w_run,
            y_batch: rows.count as i64 * y_row,
            y_row: rows.step as i64 * y_row,
            y_pixel: columns.step as i64 * y_pixel,
            f_batch: if per_pixel { 0 } else { 4 },
            f_pixel: if per_pixel { 4 } else { 0 },
        };

        let nothing = row.taps() == 0 || column.taps() == 0;
        let (tap_rows, runs) = match (nothing, depth.merged) {
            (true, _) => (0, 0),
            (false, true) => (row.taps(), 1),
            (false, false) => (row.taps(), column.taps()),
        };
        // Of a packing that serves all segments, a segment takes the groups of its taps.
        let shared = depth.merged && depth.taps.len() == p.filter.shape[2] && depth.tail().is_none();
        let full = if shared { column.taps() * depth.channels / depth.group } else { depth.full() };
        let skipped = match (shared, depth.merged) {
            (true, _) => (column.first * depth.channels / depth.group) as i64 * group_bytes,
            (false, true) => 0,
            (false, false) => column.first as i64 * w_run,
        };
        let origin = p.rows.origin(row) as i64 * line + p.columns.origin(column) as i64 * pixel - absent as i64 * element;
        let x0 = if nothing { 0 } else { origin } + (self.group * depth.channels) as i64 * element;
        let w0 = if nothing { 0 } else { row.first as i64 * w_tap_row + skipped };

        let pixels = self.shape.pixels(self.block.vectors);
        for grid in grids(row.len, column.len, pixels, self.block.vectors, self.shape.together) {
            let tile = grid.tile[0] * grid.tile[1];
            let sum = self.shape.sums as usize;
            let operations = tap_rows * runs * depth.groups().max(full) * tile * (self.block.vectors + sum);
            // What is an operation of the emitter's stands in a loop, and kernels serve many rectangles.
            let by_runs = matches!(machine.byte_dot, ByteDot::Runs { .. });
            let unroll = !by_runs && operations <= unrolled(cx.goal);
            let (block, step) = self.shape.steps(machine, n, full, tile * (self.block.vectors + sum), unroll);
            let rest = full % step;
            let y = (row.start + grid.y) as i64;
            let first = self.group * (p.filter.shape[0] / p.groups()) + self.block.first;
            let y0 = (rows.first as i64 + y * rows.step as i64) * y_row + (columns.first + column.start * columns.step) as i64 * y_pixel;
            let mut counts: Counts = Default::default();
            let values = [
                (Count::Panels, self.block.panels as i64),
                (Count::Batches, p.batch as i64),
                (Count::Rows, grid.ny as i64),
                (Count::Columns, grid.nx as i64),
                (Count::TapRows, tap_rows as i64),
                (Count::Runs, runs as i64),
                (Count::Groups, (full - rest) as i64),
                (Count::Rest, rest as i64),
                (Count::Input, x0 + grid.y as i64 * strides.x_row),
                (Count::Weights, w0),
                (Count::Class, class),
                (Count::Scale, 0),
                (Count::Output, y0 + first as i64 * y_element),
                (Count::Factor, (y * p.columns.output as i64 + column.start as i64) * strides.f_pixel),
            ];
            let mut fixed = vec![];
            for (count, value) in values {
                counts[count as usize] = value;
                let depth = matches!(count, Count::TapRows | Count::Runs | Count::Groups | Count::Rest);
                let loops = matches!(count, Count::Panels | Count::Batches | Count::Rows | Count::Columns | Count::TapRows | Count::Runs);
                let shared = by_runs && count != Count::Batches;
                let length = by_runs
                    && (matches!(count, Count::Groups | Count::Rest) || (matches!(count, Count::Runs | Count::TapRows) && value == 1));
                if (unroll && depth) || length || (loops && value == 1 && !shared) || (count == Count::Rest && value == 0) {
                    fixed.push((count, value));
                }
            }
            let form = if n.form == Form::Float { "f32" } else { "int" };
            let width =
                if self.across.is_some() { format!("{}_across", self.block.vectors) } else { (self.block.vectors * lanes).to_string() };
            let spec = Spec {
                name: format!("product_{form}_{}x{}x{width}", grid.tile[0], grid.tile[1]),
                numbers: *n,
                epilogue: self.epilogue,
                fma: machine.fma,
                lanes,
                vectors: self.block.vectors,
                columns: self.block.last,
                across: self.across,
                tile: grid.tile,
                tail: grid.tail,
                strides,
                sum_factor: if self.shape.sums { n.sum_factor(p.weight_zero_point) } else { 0 },
                sums_ahead: self.sums.is_some(),
                block,
                step,
                tail_group: depth.tail().filter(|_| !nothing),
                fixed,
                unroll,
                // Packing works in quarters of 128 bits, so results of longer registers have to be put in order: four registers as one.
                at_once: if 16 < machine.vector_bytes && lanes == machine.lanes(n.accumulator) { 4 } else { 0 },
                prefetch_bytes: if cx.constants_stream && 1 < self.pixels() && self.across.is_none() { PREFETCH_BYTES } else { 0 },
                select: None,
            };
            cx.call(kernel::kernel(&spec, self.to), buffers, &spec.params(&counts));
        }
    }
}
