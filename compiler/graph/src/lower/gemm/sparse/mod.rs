//! Products whose weights are mostly zeros, with pixels in the lanes: of every output channel only the groups of weights that are not zeros
//! are multiplied.
//!
//! Not a format of the model's: weights are dense there or have been made dense by the import, and zeros are found whatever their origin. The idea:
//! a tile of pixels is transposed into scratch, word by word (a float, or the bytes or pairs that one operation multiplies at once), so that a vector is one
//! word of many pixels and a weight serves all of them. An output channel is then a list of weights and of where their words are; the sums are transposed
//! back, and become results as those of dense products do (`epilogue.rs`). Offsets come from a table whose values the verifier reads, so nothing is
//! compared when the program runs.
//!
//! The depth is cut into blocks whose words of a tile stay in the first-level cache, and output channels into chunks whose sums stay in the second.
//!
//! Differences from the dense form: floats are summed in another order, as everywhere between machines, and what is infinite or not a number in the image is not
//! multiplied by zeros, where it would make NaNs. `--no-sparse` leaves all products dense.

mod kernels;
mod weights;

use super::epilogue::Epilogue;
use super::numbers::{Form, Numbers};
use super::tables::{self, Scales};
use super::{Product, Rescale};
use crate::diagnostic::Diagnostic;
use crate::lower::pointwise::Destination;
use crate::lower::{Context, Goal};
use cranelite_tile::{BufferId, ByteDot, Elem};
use kernels::{Gather, Scatter, Sums};
use weights::Weights;

/// Words are four bytes.
const WORD_BYTES: usize = 4;

/// No square of words is smaller.
const LEAST_SIDE: usize = 4;

/// Vectors of pixels of a tile.
const VECTORS: [usize; 4] = [8, 4, 2, 1];

/// Output channels whose sums are in scratch at once.
const CHUNK: usize = 32;

/// Costs in hundredths of a product of vectors: a weight beside its products (its offset, its place, itself in all lanes), a list beside its weights, a word to be
/// transposed, a sum that becomes a result.
const WEIGHT_COST: usize = 200;
const LIST_COST: usize = 3000;
const GATHER_COST: usize = 60;
const SCATTER_COST: usize = 90;
/// And a vector of sums that is stored, and loaded again for the next block of the depth.
const SUM_COST: usize = 150;

/// How a product is computed.
#[derive(Debug)]
pub struct Plan {
    numbers: Numbers,
    lanes: usize,
    /// Of a whole tile.
    vectors: usize,
    /// Words of a block of the depth.
    block: usize,
    weights: Weights,
}

/// The plan, if it is a good deal cheaper than the dense product and there is memory for it.
pub fn plan(cx: &Context, p: &Product) -> Option<Plan> {
    let numbers = p.numbers(cx.machine);
    let is_short = numbers.accumulator == Elem::F32 || numbers.accumulator == Elem::I32;
    let is_plain = p.rows.sees_itself() && p.columns.sees_itself() && p.groups() == 1 && p.batch == 1;
    let by_runs = matches!(cx.machine.byte_dot, ByteDot::Runs { .. });
    let has_sums = numbers.sum_factor(p.weight_zero_point) != 0;
    let per_image = matches!(p.rescale, Rescale::Hybrid { per_pixel: false, .. });
    let plain = cx.sparse && cx.goal == Goal::Speed && cx.machine.has_vectors() && !by_runs && is_plain && is_short;
    let (depth, pixels) = (p.filter.shape[3], p.rows.output * p.columns.output);
    let words = depth / numbers.group;
    let lanes = cx.machine.lanes(Elem::I32);
    if !plain || has_sums || per_image || numbers.form == Form::Words || !depth.is_multiple_of(numbers.group) || words < LEAST_SIDE || usize::from(u16::MAX) < words || pixels < lanes {
        return None;
    }
    let zeros = Weights::count(p, &numbers);
    let dense = 100 * pixels * words * p.filter.shape[0].div_ceil(lanes);
    let costs = Costs { pixels, words, outputs: p.filter.shape[0], groups: zeros, lanes };
    // What weights take less, scratch may take.
    let dense_bytes = words * p.filter.shape[0] * WORD_BYTES;
    let saved = dense_bytes.saturating_sub(zeros * (WORD_BYTES + 2) + p.filter.shape[0] * 8);
    let most = (cx.spare_bytes as usize).max(saved);
    let fits = |v: &usize| scratch_words(words, p.filter.shape[0], v * lanes).iter().sum::<usize>() * WORD_BYTES <= most;
    // Blocks of equal length whose words stay in the first-level cache.
    let block = |vectors: usize| {
        let most = (cx.machine.l1_bytes as usize / (vectors * lanes * WORD_BYTES)).max(16);
        words.div_ceil(words.div_ceil(most))
    };
    let most_vectors = pixels.div_ceil(lanes);
    let candidates = VECTORS.into_iter().filter(|v| *v == 1 || *v < 2 * most_vectors).filter(fits);
    let (cost, vectors) = candidates.map(|v| (costs.of(v, block(v)), v)).min()?;
    (10 * cost <= 9 * dense).then(|| {
        let block = block(vectors);
        Plan { numbers, lanes, vectors, block, weights: Weights::new(p, &numbers, block, CHUNK, Sums::sets(vectors)) }
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
}

impl Costs {
    fn of(&self, vectors: usize, block: usize) -> usize {
        let tiles = self.pixels.div_ceil(vectors * self.lanes);
        let blocks = self.words.div_ceil(block);
        let product = 100 * vectors.max(4);
        let lists = tiles * self.outputs * blocks * (LIST_COST + SUM_COST * vectors) + tiles * self.groups * (product + WEIGHT_COST);
        // Few lanes: those that move words are the same on all machines.
        lists + tiles * vectors * self.lanes * (self.words * GATHER_COST + self.outputs * SCATTER_COST)
    }
}

/// Writes the calls from `input` to the destination.
pub fn lower(cx: &mut Context, p: &Product, plan: &Plan, input: BufferId, to: &Destination) -> Result<(), Diagnostic> {
    let (n, outputs) = (&plan.numbers, p.filter.shape[0]);
    let (epilogue, scales) = p.epilogue(cx.machine, n)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, outputs);
    }
    let pixels = p.rows.output * p.columns.output;
    let words = p.filter.shape[3] / n.group;
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
        let class = tables::classes(p, &plan.numbers, epilogue, 0..outputs, plan.lanes, &all, |_| 0).data;
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
        let (p, plan, n) = (self.p, self.plan, &self.plan.numbers);
        let Buffers { input, words, sums } = self.buffers;
        let row = plan.vectors * plan.lanes;
        let x_pixel = p.channels * n.memory.bytes() as usize;
        let pixels = p.rows.output * p.columns.output;
        let lanes = tile.vectors * plan.lanes;
        let side = cx.machine.square_words();
        let side_of_words = if self.words < side { LEAST_SIDE } else { side };
        let gather = Gather { numbers: *n, side: side_of_words, words: self.words, row, x_pixel, present: lanes.min(pixels - tile.first), lanes };
        // What a tile lacks comes from the pixels before it where there are any.
        let before = (lanes.saturating_sub(pixels - tile.first)).min(tile.first);
        let gather = Gather { present: gather.present + before, ..gather };
        let x0 = ((tile.first - before) * x_pixel) as i64;
        cx.call_advancing(gather.kernel(), &[input, words], &[x0], &[(tile.step * x_pixel) as i64]);
        let outputs = p.filter.shape[0];
        let y_element = self.epilogue.output().bytes() as usize;
        for (c, first) in (0..outputs).step_by(CHUNK).enumerate() {
            let count = CHUNK.min(outputs - first);
            for b in 0..self.words.div_ceil(plan.block) {
                let list = plan.weights.of(c, b);
                let kernel = Sums {
                    numbers: *n,
                    fma: cx.machine.fma,
                    lanes: plan.lanes,
                    vectors: tile.vectors,
                    sets: plan.weights.sets,
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
                numbers: *n,
                epilogue: self.epilogue,
                side,
                lanes: plan.lanes,
                row,
                first: before,
                pixels: tile.pixels,
                columns: count,
                y_pixel: outputs * y_element,
                per_pixel: matches!(p.rescale, Rescale::Hybrid { .. }),
                at_once: if 16 < cx.machine.vector_bytes { 4 } else { 0 },
            };
            let mut buffers = vec![sums, self.tables.class];
            buffers.extend(self.tables.scale);
            if let Rescale::Hybrid { factors, .. } = &p.rescale {
                buffers.extend(factors);
            }
            buffers.extend(self.to.buffers());
            let class = first * self.epilogue.class_bytes(n.accumulator);
            let scale = first * self.epilogue.scale_bytes();
            let y0 = tile.first * scatter.y_pixel + first * y_element;
            let mut params = vec![class as i64, scale as i64, y0 as i64];
            let mut advance = vec![0, 0, (tile.step * scatter.y_pixel) as i64];
            if scatter.per_pixel {
                params.push(4 * tile.first as i64);
                advance.push(4 * tile.step as i64);
            }
            cx.call_advancing(scatter.kernel(self.to), &buffers, &params, &advance);
        }
    }
}
