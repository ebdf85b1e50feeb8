//! Products whose weights are mostly zeros, with pixels in the lanes: of every output channel only the groups of weights that are not zeros
//! are multiplied.
//!
//! Not a format of the model's: weights are dense there or have been made dense by the import, and zeros are found whatever their origin. The idea:
//! a tile of pixels is transposed into scratch, word by word (a float, or the bytes or pairs that one operation multiplies at once), so that a vector is one
//! word of many pixels and a weight serves all of them. An output channel is then a list of weights and of where their words are; the sums are transposed
//! back, and become results as those of dense products do (`epilogue.rs`). Offsets come from a table whose values the verifier reads, so nothing is
//! compared when the program runs.
//!
//! Bytes are multiplied in their groups where hardly a group has a weight that is not zero, or one by one as floats where all sums are integers that floats hold:
//! then no weight is multiplied for its neighbours' sake.
//!
//! The depth is cut into blocks whose words of a tile stay in the first-level cache, and output channels into chunks whose sums stay in the second.
//!
//! Differences from the dense form: floats are summed in another order, as everywhere between machines, and what is infinite or not a number in the image is not
//! multiplied by zeros, where it would make NaNs. `--no-sparse` leaves all products dense.

mod kernels;
mod weights;

use super::epilogue::Epilogue;
use super::numbers::{Form, Numbers};
use super::select::cost::{END_OF_FLOATS, END_OF_INTEGERS, SIMPLE};
use super::tables::{self, Scales};
use super::{Product, Rescale};
use crate::diagnostic::Diagnostic;
use crate::lower::pointwise::Destination;
use crate::lower::{Context, Goal};
use crate::quantize::element_range;
use crate::tensor::ElementType;
use cranelite_tile::{BufferId, ByteDot, Elem, Machine};
use kernels::{Gather, Scatter, Sums};
use weights::Weights;

/// Words are four bytes.
const WORD_BYTES: usize = 4;

/// No square of words is smaller.
const LEAST_SIDE: usize = 4;

/// Vectors of pixels of a tile.
const VECTORS: [usize; 5] = [16, 8, 4, 2, 1];

/// Output channels whose sums are in scratch at once.
const CHUNK: usize = 32;

/// Costs in hundredths of a dense product of vectors of floats: of a list beside its weights, of a word to be transposed (and of one that becomes a float), of a sum that becomes a result, and of a
/// vector of sums that is stored, and loaded again for the next block of the depth.
const LIST_COST: usize = 3000;
const GATHER_COST: usize = 60;
const CONVERTED_COST: usize = 120;
const SCATTER_COST: usize = 90;
const SUM_COST: usize = 150;

/// Sums of smaller integers are exact in floats.
const EXACT: i64 = 1 << 24;

/// How words are multiplied.
#[derive(Clone, Copy, Debug)]
struct Arithmetic {
    words: Numbers,
    /// Weights in memory: those of floats, too, where they are integers.
    stored: Elem,
    /// What the tables of the product are for: those of integers, where words are integers as floats.
    tables: Numbers,
}

impl Arithmetic {
    fn own(p: &Product, n: &Numbers) -> Option<Arithmetic> {
        let is_short = n.accumulator == Elem::F32 || n.accumulator == Elem::I32;
        let has_sums = n.sum_factor(p.weight_zero_point) != 0;
        let is_possible = is_short && !has_sums && n.form != Form::Words && p.filter.shape[3].is_multiple_of(n.group);
        is_possible.then_some(Arithmetic { words: *n, stored: n.weight, tables: *n })
    }

    /// Integers as floats, if their sums are exact.
    fn floats(p: &Product) -> Option<Arithmetic> {
        let (low, high) = element_range(p.input)?;
        let most = i64::from(low).abs().max(i64::from(high).abs());
        let depth = p.filter.shape[3];
        let is_exact =
            |o: usize| p.filter.ints(o * depth..(o + 1) * depth).map(|w| (w - p.weight_zero_point).abs()).sum::<i64>() * most < EXACT;
        let memory = match p.input {
            ElementType::I8 => Elem::I8,
            ElementType::U8 => Elem::U8,
            _ => Elem::I16,
        };
        let tables = Numbers { memory, weight_shift: p.weight_zero_point, ..Numbers::words(Elem::I32) };
        let is_byte = |w: i64| i8::try_from(w - p.weight_zero_point).is_ok();
        let stored = if p.filter.ints(0..p.filter.shape[0] * depth).all(is_byte) { Elem::I8 } else { Elem::I16 };
        (0..p.filter.shape[0]).all(is_exact).then_some(Arithmetic { words: Numbers { memory, ..Numbers::FLOAT }, stored, tables })
    }

    /// Of one turn of the dense product.
    fn dense_cost(p: &Product, n: &Numbers, machine: &Machine) -> usize {
        let product = match n.form {
            Form::Float => 100,
            _ if p.sums_in_pairs(machine) => machine.sparse.pairs,
            _ if p.multiplies_matrices(machine) => machine.sparse.matrices,
            _ => machine.sparse.dot,
        };
        product as usize * p.filter.shape[3].div_ceil(n.group)
    }

    /// The weight that adds nothing.
    fn zero(&self, p: &Product) -> i64 {
        if self.words.form == Form::Float { p.weight_zero_point } else { self.words.weight_shift }
    }

    /// Of the weights of a word.
    fn group_bytes(&self) -> usize {
        self.words.group * self.stored.bytes() as usize
    }

    /// Of one that is converted: half as much again and more.
    fn weight_cost(&self, machine: &Machine) -> usize {
        let cost = machine.sparse.weight as usize;
        if self.stored == self.words.weight { cost } else { cost * 8 / 5 }
    }

    fn product_cost(&self, machine: &Machine) -> usize {
        let costs = &machine.sparse;
        let product = if self.words.form == Form::Float { costs.product } else { costs.dot.max(costs.product) };
        product as usize
    }
}

/// How a product is computed.
#[derive(Debug)]
pub struct Plan {
    /// Of the time of the dense form.
    pub percent: usize,
    arithmetic: Arithmetic,
    lanes: usize,
    /// Of a whole tile.
    vectors: usize,
    /// Words of a block of the depth.
    block: usize,
    weights: Weights,
}

/// The plan, if it is a good deal cheaper than the dense product and there is memory for it.
pub fn plan(cx: &Context, p: &Product, numbers: &Numbers) -> Option<Plan> {
    let is_plain = p.rows.sees_itself() && p.columns.sees_itself() && p.groups() == 1 && p.batch == 1;
    let by_runs = matches!(cx.machine.byte_dot, ByteDot::Runs { .. });
    let (outputs, pixels) = (p.filter.shape[0], p.rows.output * p.columns.output);
    let lanes = cx.machine.lanes(Elem::I32);
    // Tiles are turns of a loop, in which what moves with the turns of a loop around it would move by tiles.
    if 0 < cx.scope.depth || cx.goal != Goal::Speed || !cx.machine.has_vectors() || by_runs || !is_plain || pixels < lanes {
        return None;
    }
    let dense = pixels * outputs.div_ceil(lanes) * Arithmetic::dense_cost(p, numbers, cx.machine);
    let all = [Arithmetic::own(p, numbers), Arithmetic::floats(p)];
    let mut best: Option<(usize, Arithmetic, usize, usize)> = None;
    for arithmetic in all.into_iter().flatten() {
        let words = p.filter.shape[3] / arithmetic.words.group;
        if !(LEAST_SIDE..=usize::from(u16::MAX)).contains(&words) {
            continue;
        }
        let groups = Weights::count(p, &arithmetic);
        let costs = Costs {
            pixels,
            words,
            outputs,
            groups,
            lanes,
            product: arithmetic.product_cost(cx.machine),
            weight: arithmetic.weight_cost(cx.machine),
            gather: if arithmetic.words.memory == arithmetic.words.operand || arithmetic.words.group != 1 {
                GATHER_COST
            } else {
                CONVERTED_COST
            },
        };
        // What weights take less, scratch may take.
        let dense_bytes = p.weights_bytes(numbers);
        let saved = dense_bytes.saturating_sub(groups * (arithmetic.group_bytes() + 2) + outputs * weights::LIST_BYTES);
        let most =
            cx.arena_bytes.map_or(saved, |limit| saved.min(limit.saturating_sub(cx.least_bytes) as usize)).max(cx.spare_bytes as usize);
        let fits = |v: &usize| scratch_words(words, outputs, v * lanes).iter().sum::<usize>() * WORD_BYTES <= most;
        // Blocks of equal length whose words stay in the first-level cache.
        let block = |vectors: usize| {
            let most = (cx.machine.l1_bytes as usize / (vectors * lanes * WORD_BYTES)).max(16);
            words.div_ceil(words.div_ceil(most))
        };
        let registers = cx.machine.vector_registers as usize;
        let is_useful = |v: &usize| *v == 1 || (*v < 2 * pixels.div_ceil(lanes) && *v + 3 <= registers);
        for vectors in VECTORS.into_iter().filter(is_useful).filter(fits) {
            let cost = costs.of(vectors, block(vectors));
            if best.is_none_or(|b| cost < b.0) {
                best = Some((cost, arithmetic, vectors, block(vectors)));
            }
        }
    }
    let (cost, arithmetic, vectors, block) = best.filter(|b| 10 * b.0 <= 9 * dense)?;
    // What becomes of sums is the same work in both forms, and part of the share.
    let end = if numbers.form == Form::Float { END_OF_FLOATS } else { END_OF_INTEGERS };
    let both = pixels * outputs.div_ceil(lanes) * (end * SIMPLE) as usize;
    Some(Plan {
        percent: 100 * (cost + both) / (dense + both),
        arithmetic,
        lanes,
        vectors,
        block,
        weights: Weights::new(p, &arithmetic, block, CHUNK),
    })
}

/// Words of scratch: the transposed tile with a row of zeros, and the sums of a chunk with what the last square reads beyond.
fn scratch_words(words: usize, outputs: usize, pixels: usize) -> [usize; 2] {
    [(words + 1) * pixels, outputs.min(CHUNK) * pixels + 16]
}

struct Costs {
    pixels: usize,
    words: usize,
    outputs: usize,
    /// Groups of weights that are not zeros.
    groups: usize,
    lanes: usize,
    /// Of a vector, and of a weight beside its vectors.
    product: usize,
    weight: usize,
    /// Of a word.
    gather: usize,
}

impl Costs {
    fn of(&self, vectors: usize, block: usize) -> usize {
        let tiles = self.pixels.div_ceil(vectors * self.lanes);
        let blocks = self.words.div_ceil(block);
        // Few sums do not hide the latency of their operations.
        let product = self.product * vectors.max(4);
        let lists = tiles * self.outputs * blocks * (LIST_COST + SUM_COST * vectors) + tiles * self.groups * (product + self.weight);
        // Few lanes: those that move words are the same on all machines.
        lists + tiles * vectors * self.lanes * (self.words * self.gather + self.outputs * SCATTER_COST)
    }
}

/// Writes the calls from `input` to the destination.
pub fn lower(cx: &mut Context, p: &Product, plan: &Plan, input: BufferId, to: &Destination) -> Result<(), Diagnostic> {
    let outputs = p.filter.shape[0];
    let (epilogue, scales) = p.epilogue(cx.machine, &plan.arithmetic.tables)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, outputs);
    }
    let pixels = p.rows.output * p.columns.output;
    let words = p.filter.shape[3] / plan.arithmetic.words.group;
    let whole = plan.vectors * plan.lanes;
    let scratch = scratch_words(words, outputs, whole).map(|words| (words * WORD_BYTES) as u64);
    let buffers = Buffers { input, words: cx.scratch("pixels in lanes", scratch[0]), sums: cx.scratch("sums of pixels", scratch[1]) };
    let tables = Tables::new(cx, p, plan, &epilogue, &scales);
    let lowering = Lowering { p, plan, epilogue, to, buffers, tables, words };
    let (tiles, rest) = (pixels / whole, pixels % whole);
    match tiles {
        0 => {}
        1 => lowering.tile(cx, Tile { first: 0, pixels: whole, vectors: plan.vectors, step: 0 }),
        _ => cx.repeat(tiles, |cx| {
            lowering.tile(cx, Tile { first: 0, pixels: whole, vectors: plan.vectors, step: whole });
            Ok(())
        })?,
    }
    if 0 < rest {
        let vectors = rest.div_ceil(plan.lanes);
        lowering.tile(cx, Tile { first: tiles * whole, pixels: rest, vectors, step: 0 });
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Buffers {
    input: BufferId,
    words: BufferId,
    sums: BufferId,
}

/// Pixels from `first` on; in a loop those of each turn begin so many after those of the last.
#[derive(Clone, Copy)]
struct Tile {
    first: usize,
    pixels: usize,
    vectors: usize,
    step: usize,
}

/// The constants of all chunks.
struct Tables {
    class: BufferId,
    scale: Option<BufferId>,
    places: BufferId,
    weights: BufferId,
    lists: BufferId,
}

impl Tables {
    fn new(cx: &mut Context, p: &Product, plan: &Plan, epilogue: &Epilogue, scales: &Scales) -> Tables {
        let outputs = p.filter.shape[0];
        let all = super::rectangles(&p.rows, &p.columns, outputs).expect("one kind of pixel");
        let class = tables::classes(p, &plan.arithmetic.tables, epilogue, 0..outputs, plan.lanes, &all, |_| 0).data;
        let scale = scales.table(&p.bias, 0..outputs, plan.lanes);
        let scale = (0 < epilogue.scale_bytes()).then(|| cx.constant("scales", scale, 64));
        Tables {
            class: cx.constant("bias", class, 64),
            scale,
            places: cx.constant("places", plan.weights.words.clone(), 64),
            weights: cx.constant("weights", plan.weights.groups.clone(), 64),
            lists: cx.constant("lists", plan.weights.lists.clone(), 64),
        }
    }
}

struct Lowering<'a> {
    p: &'a Product<'a>,
    plan: &'a Plan,
    epilogue: Epilogue,
    to: &'a Destination<'a>,
    buffers: Buffers,
    tables: Tables,
    words: usize,
}

impl Lowering<'_> {
    fn tile(&self, cx: &mut Context, tile: Tile) {
        let (p, plan) = (self.p, self.plan);
        let Arithmetic { words: n, tables: t, stored } = plan.arithmetic;
        let Buffers { input, words, sums } = self.buffers;
        let row = plan.vectors * plan.lanes;
        let x_pixel = p.channels * n.memory.bytes() as usize;
        let pixels = p.rows.output * p.columns.output;
        let lanes = tile.vectors * plan.lanes;
        let side = cx.machine.square_words();
        let side_of_words = if self.words < side { LEAST_SIDE } else { side };
        // What a tile lacks comes from the pixels before it where there are any.
        let left = pixels - tile.first;
        let before = lanes.saturating_sub(left).min(tile.first);
        let present = lanes.min(left) + before;
        let gather = Gather { numbers: n, side: side_of_words, words: self.words, row, x_pixel, present, lanes };
        let x0 = ((tile.first - before) * x_pixel) as i64;
        cx.call_advancing(gather.kernel(), &[input, words], &[x0], &[(tile.step * x_pixel) as i64]);
        let outputs = p.filter.shape[0];
        let y_element = self.epilogue.output().bytes() as usize;
        for (c, first) in (0..outputs).step_by(CHUNK).enumerate() {
            let count = CHUNK.min(outputs - first);
            for b in 0..self.words.div_ceil(plan.block) {
                let list = plan.weights.of(c, b);
                let kernel = Sums {
                    numbers: n,
                    stored,
                    fma: cx.machine.fma,
                    lanes: plan.lanes,
                    vectors: tile.vectors,
                    row,
                    channels: outputs.min(CHUNK),
                    adds: 0 < b,
                    words: self.words,
                    most: plan.weights.most,
                };
                let params = [count as i64, list as i64];
                cx.call(kernel.kernel(), &[words, self.tables.places, self.tables.weights, self.tables.lists, sums], &params);
            }
            let scatter = Scatter {
                sums: n.accumulator,
                accumulator: t.accumulator,
                epilogue: self.epilogue,
                side,
                lanes: plan.lanes,
                row,
                first: before,
                pixels: tile.pixels,
                columns: count,
                y_pixel: outputs * y_element,
                factor_step: match p.rescale {
                    Rescale::Hybrid { per_pixel, .. } => Some(if per_pixel { 4 } else { 0 }),
                    _ => None,
                },
                at_once: if 16 < cx.machine.vector_bytes { 4 } else { 0 },
            };
            let mut buffers = vec![sums, self.tables.class];
            buffers.extend(self.tables.scale);
            if let Rescale::Hybrid { factors, .. } = &p.rescale {
                buffers.extend(factors);
            }
            buffers.extend(self.to.buffers());
            let class = first * self.epilogue.class_bytes(t.accumulator);
            let scale = first * self.epilogue.scale_bytes();
            let y0 = tile.first * scatter.y_pixel + first * y_element;
            let mut params = vec![class as i64, scale as i64, y0 as i64];
            let mut advance = vec![0, 0, (tile.step * scatter.y_pixel) as i64];
            if let Some(step) = scatter.factor_step {
                params.push(step * tile.first as i64);
                advance.push(step * tile.step as i64);
            }
            cx.call_advancing(scatter.kernel(self.to), &buffers, &params, &advance);
        }
    }
}
