//! What the dense form and slots cost, in hundredths of a product of vectors.
//!
//! Only numbers. The idea: instructions that do not overlap are added up, and what comes from memory at the same time takes as long as it takes:
//! the larger of the two counts. Both forms are measured with the same units, and what both do is left out.

use super::super::numbers::{Form, Numbers};
use super::super::shape::Shape;
use super::Product;
use super::packing::Packing;
use super::steps::Indices;
use crate::lower::Context;
use cranelite_tile::Elem;

/// 64 bytes of weights from the second-level cache, and from beyond.
const NEAR_LINE: u64 = 250;
const FAR_LINE: u64 = 1000;
const LINE_BYTES: u64 = 64;
/// A load that is no part of another instruction, or a simple operation beside it, in products of floats.
pub const SIMPLE: u64 = 50;
/// What becomes of a vector of sums: so many simple operations.
pub const END_OF_FLOATS: u64 = 4;
pub const END_OF_INTEGERS: u64 = 16;
/// Finding the next table: so many simple operations.
const FOUND: u64 = 10;

#[derive(Clone, Copy)]
pub struct Costs<'a> {
    pub cx: &'a Context<'a>,
    pub p: &'a Product<'a>,
    pub numbers: &'a Numbers,
    /// Of a product of the dense form.
    pub product: u64,
    /// Weights are beyond the second-level cache when they are needed, however few they are.
    pub is_far: bool,
    /// Of the second-level cache.
    pub l2_bytes: u64,
}

impl Costs<'_> {
    fn all_pixels(&self) -> u64 {
        (self.p.batch * self.p.rows.output * self.p.columns.output) as u64
    }

    fn lanes(&self) -> u64 {
        self.cx.machine.lanes(Elem::I32) as u64
    }

    /// Of what is computed and what comes from memory at the same time. How far memory is behind on machines with short vectors is not known: some
    /// stream as fast as they compute, so there it counts for nothing.
    fn together(&self, compute: u64, traffic: u64) -> u64 {
        if self.cx.machine.vector_bytes == 16 { compute } else { compute.max(traffic) }
    }

    /// `bytes` of weights that are read for each of so many tiles; of a panel at a time they stay where they are.
    fn traffic(&self, bytes: u64, panels: u64, tiles: u64) -> u64 {
        let machine = self.cx.machine;
        let line = |stay: u64| match stay {
            stay if stay * 2 <= u64::from(machine.l1_bytes) => 0,
            stay if stay <= self.l2_bytes => NEAR_LINE,
            _ => FAR_LINE,
        };
        let first = if self.is_far { FAR_LINE } else { line(bytes) };
        bytes / LINE_BYTES * (first + (tiles - 1) * line(bytes / panels.max(1)))
    }

    fn is_float(&self) -> bool {
        self.numbers.form == Form::Float
    }

    fn simple(&self) -> u64 {
        if self.is_float() { SIMPLE } else { self.cx.machine.permutes.simple.into() }
    }

    /// What becomes of a vector of sums.
    fn end(&self) -> u64 {
        self.simple() * if self.is_float() { END_OF_FLOATS } else { END_OF_INTEGERS }
    }

    pub fn dense(&self) -> u64 {
        let (machine, n, filter) = (self.cx.machine, self.numbers, &self.p.filter.shape);
        let pixels = self.all_pixels();
        let shape = Shape::new(machine, n, pixels as usize, filter[0], false);
        let panel = shape.blocks(filter[0])[0].vectors;
        let vectors = (filter[0] as u64).div_ceil(self.lanes());
        let groups = (filter[1..].iter().product::<usize>() as u64).div_ceil(n.group as u64);
        let tile = (shape.pixels(panel) as u64).min(pixels);
        // An operand that several products have in common is loaded once for all of them.
        let shared = self.simple() * groups * pixels * vectors / (panel as u64).max(tile);
        // Bytes that are widened when they are used.
        let is_short = self.p.has_short_weights(self.cx, n);
        let (size, widen) = if is_short { (1, self.simple()) } else { (u64::from(n.packed.bytes()), 0) };
        let compute = pixels * vectors * (groups * (self.product + widen) + self.end()) + shared;
        let bytes = vectors * self.lanes() * groups * n.group as u64 * size;
        self.together(compute, self.traffic(bytes, vectors.div_ceil(panel as u64), pixels.div_ceil(tile)))
    }

    pub fn of(&self, packing: &Packing) -> u64 {
        let (machine, n) = (self.cx.machine, self.numbers);
        let (pixels, tile) = (self.all_pixels(), self.pixels(packing) as u64);
        let tiles = pixels.div_ceil(tile);
        let (tables, slots) = packing.work();
        let (tables, slots, panels) = (tables as u64, slots as u64, packing.panels() as u64);
        let permute = u64::from(if 16 < packing.segment_bytes() { machine.permutes.long_cost } else { machine.permutes.cost });
        // Of bytes a product may be several instructions; of floats it is one.
        let permute = if self.is_float() { permute.max(100) } else { permute };
        // What is made of each slot, of each table, and after each permutation.
        let (slot_widens, widens) = match packing.indices {
            Indices::ShortWords => (permute, 0),
            Indices::ShortBytes => (self.simple(), self.simple()),
            Indices::Bytes | Indices::Words => (0, 0),
        };
        let is_wide = n.form == Form::Pairs && n.memory != n.operand && packing.indices == Indices::Bytes;
        let is_made = is_wide || n.form == Form::Bytes { flip: true };
        let table = self.simple() + if is_made { self.simple() } else { 0 };
        let found = if packing.is_sorted() { FOUND * self.simple() } else { self.simple() / 2 };
        let compute = pixels * (tables * table + slots * (100 + permute + widens) + panels * self.end())
            + tiles * (tables * found + slots * (self.simple() + slot_widens));
        let bytes = slots * packing.slot_bytes(self.lanes() as usize) as u64;
        self.together(compute, self.traffic(bytes, panels, tiles))
    }

    /// Pixels of a tile: accumulators and tables of all of them, indices, weights and two registers for what is made of them.
    pub fn pixels(&self, packing: &Packing) -> usize {
        let registers = self.cx.machine.vector_registers as usize;
        let most = if packing.most_slots() == 1 { registers - 6 } else { (registers - 4) / 2 };
        most.min(self.all_pixels() as usize).max(1)
    }
}
