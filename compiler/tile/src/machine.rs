//! What a lowering may know of the machine: data, never a name.
//!
//! Not a target triple and not an instruction set; `codegen/targets` fills this in. The idea: one kernel generator serves every
//! machine because everything in which machines differ that matters to it is a number here.

use crate::types::Elem;

/// The product of 8-bit integers that is cheap on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteDot {
    /// Unsigned a by signed b, groups of four (VPDPBUSD).
    U8S8,
    /// Signed by signed, groups of four (SDOT, or its NEON expansion).
    S8S8,
    /// As `S8S8`, but it is several instructions. Fewer are two products that are summed in 16 bits (SMULL, SMLAL) before that sum is added to one of 32 bits
    /// (SADALP): for weights of which no two are -128 in one such sum.
    S8S8Pairs,
    /// None: widen to 16 bits and use groups of two (PMADDWD).
    S16S16,
    /// None, and no vectors: whole runs of tiles are an operation of the emitter's, in which bytes of either sign are multiplied in groups of so many. Sums of
    /// so many columns are rescaled at once. Where signs cost, weights are moved to bytes without one, and activations where that is possible.
    Runs { group: u32, lanes: u32, unsigned: bool },
}

/// Accumulator tile of a matrix product: `rows` (MR) by `vectors` vectors of columns (NR = vectors · lanes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroTile {
    pub rows: u32,
    pub vectors: u32,
    /// Steps of k in the loop body.
    pub unroll: u32,
}

/// What lists of weights that are not zeros cost, in hundredths of a dense product of vectors of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseCosts {
    /// A product of vectors of floats, of which one is loaded for it alone.
    pub product: u32,
    /// A weight beside its products: where its words are, and itself in all lanes.
    pub weight: u32,
    /// A dense product of vectors of bytes, or of pairs.
    pub dot: u32,
    /// The same of bytes of which two products are summed in 16 bits ([`ByteDot::S8S8Pairs`]); elsewhere it is not looked at.
    pub pairs: u32,
    /// Where matrices are multiplied, for as many products as `dot`; elsewhere it is not looked at.
    pub matrices: u32,
}

/// What a permutation of the lanes of a register by indices can do ([`crate::Op::Permute`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permutes {
    /// Bytes of the largest segment, where elements are bytes; 0: there is no such instruction.
    pub bytes: u32,
    /// The same where elements have 32 bits.
    pub words: u32,
    /// What one costs beside a product of vectors, in percent of it: for segments of 16 bytes, and for longer ones.
    pub cost: u32,
    pub long_cost: u32,
    /// What a load or another simple operation costs, in percent of a product of integers, which may be several instructions.
    pub simple: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    /// Bytes of a vector register; 0 when the machine has none (all kernels then use one lane).
    pub vector_bytes: u32,
    pub vector_registers: u32,
    /// A fused multiply-add in one instruction; without it kernels multiply and add.
    pub fma: bool,
    /// Multiplying by one lane of a register costs no extra instruction (fma_lane).
    pub fma_lane: bool,
    /// The same of groups of bytes (dot_lane): so many groups of activations are loaded as one vector per pixel; 1: there is no such instruction.
    pub dot_lanes: u32,
    pub byte_dot: ByteDot,
    /// The rounded high half of a product of 32 bits is one instruction (SQRDMULH); without it, rescaling integers is cheaper as floats.
    pub high_multiply: bool,
    /// The high half of a product of 32 bits plus a number is cheap (S60LA), and floats are not: integers are rescaled by one product.
    pub mul_high_add: bool,
    /// A float becomes an integer in one instruction that saturates; else what does not fit becomes the least integer there (x86).
    pub saturating_convert: bool,
    /// Half floats become f32, and f32 half floats, in one instruction for each vector of f32; else in about a dozen.
    pub half_floats: bool,
    /// Rounding to an integral float is one instruction.
    pub round: bool,
    pub sparse: SparseCosts,
    pub permutes: Permutes,
    /// Tile for float products.
    pub tile_f32: MicroTile,
    /// Tile for byte products (or 16-bit products where `byte_dot` says so).
    pub tile_i8: MicroTile,
    /// Tile for products of matrices of signed bytes ([`crate::Op::DotMatrix`]), where one is an instruction beside that of `byte_dot`.
    pub tile_matrix: Option<MicroTile>,
    /// Tile for a single row (matrix by vector).
    pub tile_row: MicroTile,
    pub l1_bytes: u32,
    pub l2_bytes: u32,
}

impl Machine {
    /// Lanes of `elem` in one register, at least one.
    pub fn lanes(&self, elem: Elem) -> usize {
        (self.vector_bytes / elem.bytes()).max(1) as usize
    }

    /// Bytes that are copied at once: a vector, or a word.
    pub fn copied_bytes(&self) -> usize {
        if matches!(self.byte_dot, ByteDot::Runs { .. }) { 4 } else { self.lanes(Elem::U8) }
    }

    /// Rows and columns of a square of words that is transposed in registers at the least cost: long vectors have an instruction that picks lanes of two, and
    /// of shorter ones a quarter or half of the steps is within 128 bits.
    pub fn square_words(&self) -> usize {
        if self.vector_bytes == 64 { 16 } else { 4 }
    }

    pub fn has_vectors(&self) -> bool {
        0 < self.vector_bytes
    }

    /// A machine of no particular make, for tests: vectors of that many bytes (0: none), the byte product and the multiply-adds given.
    pub fn example(vector_bytes: u32, byte_dot: ByteDot, fma: bool, fma_lane: bool) -> Machine {
        let tile = |rows, vectors| MicroTile { rows, vectors, unroll: 1 };
        let registers = if vector_bytes == 64 || fma_lane { 32 } else { 16 };
        let (tile_f32, tile_i8) = match (vector_bytes, fma_lane) {
            (0, _) if matches!(byte_dot, ByteDot::Runs { lanes: 1, unsigned: false, .. }) => (tile(2, 2), tile(3, 2)),
            (0, _) if matches!(byte_dot, ByteDot::Runs { lanes: 1, .. }) => (tile(2, 2), tile(1, 4)),
            (0, _) if matches!(byte_dot, ByteDot::Runs { .. }) => (tile(2, 2), tile(1, 1)),
            (0, _) => (tile(2, 2), tile(2, 2)),
            (_, true) if byte_dot == ByteDot::S8S8Pairs => (tile(8, 3), tile(4, 4)),
            (_, true) => (tile(8, 3), tile(8, 3)),
            (64, _) => (tile(14, 2), tile(14, 2)),
            (32, _) => (tile(6, 2), tile(6, 2)),
            _ => (tile(12, 1), tile(2, 5)),
        };
        Machine {
            name: format!("example-{vector_bytes}"),
            vector_bytes,
            vector_registers: registers,
            fma,
            fma_lane,
            dot_lanes: if fma_lane && byte_dot == ByteDot::S8S8 { 2 } else { 1 },
            byte_dot,
            high_multiply: fma_lane,
            mul_high_add: matches!(byte_dot, ByteDot::Runs { .. }),
            saturating_convert: fma_lane,
            half_floats: fma,
            round: true,
            sparse: SparseCosts {
                product: 100,
                weight: 200,
                dot: if byte_dot == ByteDot::S16S16 { 200 } else { 100 },
                pairs: 60,
                matrices: 60,
            },
            permutes: match vector_bytes {
                0 => Permutes::default(),
                16 => Permutes { bytes: 16, words: 0, cost: 100, long_cost: 0, simple: 50 },
                32 => Permutes { bytes: 16, words: 32, cost: 50, long_cost: 100, simple: 50 },
                _ => Permutes { bytes: 64, words: 64, cost: 100, long_cost: 100, simple: 50 },
            },
            tile_f32,
            tile_i8,
            tile_matrix: None,
            tile_row: tile(1, 8),
            l1_bytes: 32 << 10,
            l2_bytes: 1 << 20,
        }
    }
}
