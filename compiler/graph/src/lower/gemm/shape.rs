//! How many pixels and columns a tile has, and how many steps of the depth a loop's body.
//!
//! Only numbers. The idea: the machine says which tile it likes; narrower panels get more pixels, until accumulators and
//! operands fill the registers.

use super::matrices;
use super::numbers::{Form, Numbers};
use cranelite_tile::{ByteDot, Elem, Machine};

/// Panels of equal width, of which all but the last are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First column.
    pub first: usize,
    pub panels: usize,
    pub vectors: usize,
    /// Columns of the last panel that exist; less than a panel has only if there is but one.
    pub last: usize,
}

impl Block {
    pub fn columns(&self, lanes: usize) -> usize {
        (self.panels - 1) * self.vectors * lanes + self.last
    }

    /// The panels as blocks of their own.
    pub fn panels(&self, lanes: usize) -> impl Iterator<Item = Block> + use<> {
        let (block, width) = (*self, self.vectors * lanes);
        (0..block.panels).map(move |p| Block {
            first: block.first + p * width,
            panels: 1,
            last: if p + 1 < block.panels { width } else { block.last },
            ..block
        })
    }
}

/// Pairs of 16 bits that are loaded and widened together.
const PAIRS: usize = 4;

/// No machine has shorter vectors.
const LEAST_LANES: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub lanes: usize,
    /// Vectors of a full panel.
    vectors: usize,
    /// Accumulator registers of a tile.
    accumulators: usize,
    registers: usize,
    /// Registers of one accumulator.
    size: usize,
    /// Groups of activations that are loaded as one vector per pixel and used lane by lane.
    block: usize,
    /// Then the weights of all of them are kept, or else the activations of all pixels.
    keeps_weights: bool,
    /// The sum of the activations takes one more accumulator per pixel.
    pub sums: bool,
    /// Groups in a row that one product takes.
    chain: usize,
    /// Pixels that one accumulator has sums of.
    pub together: usize,
    /// The depth is in the lanes.
    is_across: bool,
}

impl Shape {
    pub fn new(machine: &Machine, numbers: &Numbers, pixels: usize, columns: usize, sums: bool) -> Shape {
        let tile = match numbers.form {
            _ if pixels == 1 => machine.tile_row,
            Form::Float => machine.tile_f32,
            Form::ByteMatrices { .. } => machine.tile_matrix.unwrap_or(machine.tile_i8),
            _ => machine.tile_i8,
        };
        // Long vectors of few columns would mostly be zeros, which are stored and read as the others.
        let lanes = match machine.byte_dot {
            ByteDot::Runs { lanes, .. } if matches!(numbers.form, Form::Bytes { .. }) => lanes as usize,
            _ => machine.lanes(Elem::I32).min(columns.next_power_of_two().max(LEAST_LANES)),
        };
        let size = numbers.accumulator.bytes() as usize / 4;
        let most = (tile.vectors as usize / size).max(1);
        let panels = columns.div_ceil(lanes * most);
        Shape {
            lanes,
            vectors: columns.div_ceil(lanes).div_ceil(panels),
            accumulators: (tile.rows * tile.vectors) as usize,
            registers: machine.vector_registers as usize,
            size,
            block: Shape::block(machine, numbers),
            keeps_weights: Shape::keeps_weights(numbers),
            sums,
            chain: numbers.chain(),
            together: if numbers.are_matrices() { matrices::ROWS } else { 1 },
            is_across: false,
        }
    }

    /// Accumulators of `lanes` lanes, which are the depth: one for each column of each pixel of a tile.
    pub fn across(machine: &Machine, numbers: &Numbers, lanes: usize, columns: usize, pixels: usize) -> Shape {
        Shape {
            lanes,
            vectors: columns,
            accumulators: columns * pixels,
            registers: machine.vector_registers as usize,
            size: 1,
            block: 1,
            keeps_weights: false,
            sums: false,
            chain: numbers.chain(),
            together: 1,
            is_across: true,
        }
    }

    pub fn blocks(&self, columns: usize) -> Vec<Block> {
        if self.is_across {
            return vec![Block { first: 0, panels: 1, vectors: columns, last: columns }];
        }
        let width = self.vectors * self.lanes;
        let (full, rest) = (columns / width, columns % width);
        let mut all = vec![];
        if 0 < full {
            all.push(Block { first: 0, panels: full, vectors: self.vectors, last: width });
        }
        if 0 < rest {
            all.push(Block { first: full * width, panels: 1, vectors: rest.div_ceil(self.lanes), last: rest });
        }
        all
    }

    /// Most pixels of a tile that is so many vectors wide.
    pub fn pixels(&self, vectors: usize) -> usize {
        let columns = (vectors + self.sums as usize) * self.together;
        let registers = |pixels: usize| {
            let rows = pixels / self.together;
            if 1 < self.together {
                // Besides those of a step one is loaded, or two are brought together. What has the other sign may still be moved ahead.
                let operands = matrices::BLOCK * if rows <= columns { rows } else { columns + 1 };
                return rows * columns + operands + 2;
            }
            let operands = match (self.block, self.keeps_weights) {
                (2.., true) => self.block * vectors + 2,
                (2.., false) => pixels + 1,
                _ if pixels <= columns => pixels + 1,
                _ => vectors + 1,
            };
            // One for a constant of the operation, and sums that are in the making.
            pixels * columns * self.size + operands * self.chain + self.chain
        };
        let most = (self.accumulators / (vectors * self.size)).max(1);
        (1..=most).rev().find(|&p| p % self.together == 0 && registers(p) <= self.registers).unwrap_or(1)
    }

    /// Whether the activations of every group are loaded on their own, into all lanes.
    pub fn loads_groups(&self, machine: &Machine, numbers: &Numbers) -> bool {
        machine.has_vectors() && Shape::block(machine, numbers) == 1
    }

    /// Whether a block of groups is multiplied pixel by pixel: few registers hold activations, and all of them weights.
    pub fn keeps_weights(numbers: &Numbers) -> bool {
        matches!(numbers.form, Form::Bytes { .. })
    }

    /// Groups that are loaded as one vector per pixel.
    pub fn block(machine: &Machine, numbers: &Numbers) -> usize {
        match numbers.form {
            Form::Float if machine.fma_lane => machine.lanes(Elem::F32),
            Form::ByteMatrices { flip: false } => matrices::BLOCK,
            Form::Bytes { flip: false } if machine.has_vectors() => machine.dot_lanes as usize,
            // Groups of a register's worth; lanes of a shorter vector cost more to spread than groups do to load.
            Form::Pairs if machine.lanes(Elem::I16) == PAIRS * numbers.group => PAIRS,
            _ => 1,
        }
    }

    /// (block, groups per step of the loop) for runs of so many full groups and tiles of so many accumulators.
    pub fn steps(&self, machine: &Machine, numbers: &Numbers, groups: usize, accumulators: usize, unroll: bool) -> (usize, usize) {
        let block = Some(Shape::block(machine, numbers)).filter(|b| *b <= groups && !self.is_across).unwrap_or(1);
        // Several sums in turn where one tile has too few accumulators to hide the latency of an operation.
        let sets = if matches!(machine.byte_dot, ByteDot::Runs { .. }) { 1 } else { (8 / accumulators).clamp(1, 4) };
        let tile = if numbers.form == Form::Float { machine.tile_f32 } else { machine.tile_i8 };
        let wanted = self.chain * if unroll { sets } else { sets.max(tile.unroll as usize) };
        let least = block.max(if self.chain <= groups { self.chain } else { 1 });
        let step = wanted.max(block).next_multiple_of(least);
        (block, if step <= groups { step } else { least })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panels of few columns are hardly wider than those.
    #[test]
    fn few_columns_have_narrow_panels() {
        for (machine, columns, stored) in [(64, 3, 4), (64, 5, 8), (32, 2, 4), (16, 3, 4), (64, 16, 16), (64, 33, 48), (0, 3, 3)] {
            let machine = Machine::example(machine, ByteDot::U8S8, true, false);
            let shape = Shape::new(&machine, &Numbers::FLOAT, 1, columns, false);
            let wide: usize = shape.blocks(columns).iter().map(|b| b.panels * b.vectors * shape.lanes).sum();
            assert_eq!(wide, stored, "{columns} columns on {}", machine.name);
        }
    }
}
