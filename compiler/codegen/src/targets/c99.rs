//! Machines that C is written for, and any machine with a C compiler: scalar code whose products of bytes are sums of a few terms, for
//! some fourteen registers.

use super::Tuning;
use super::level::{Architecture, Level, Set};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "C99",
    features: &[],
    note: "",
    general_levels: 1,
    levels: &[Level { name: "portable", features: &[] }],
    machine,
    wide: |_| None,
    neon: |_, _| None,
    emitter,
};

/// Of architectures in C without products of their own.
pub(super) fn machine(_: &Set, name: &str, _: Tuning) -> Machine {
    of(Products::Scalars, name)
}

/// What a core multiplies bytes with.
pub(super) enum Products {
    /// One by one, or two by two as SMLAD does: as many sums as fourteen registers take.
    Scalars,
    /// One by one with eight registers, and bytes with a sign have no addresses with constants.
    Thumb,
    /// Sixteen into a sum of a register, four of which are rescaled together.
    Helium,
}

pub(super) fn of(products: Products, name: &str) -> Machine {
    let tile = |rows, vectors| MicroTile { rows, vectors, unroll: 1 };
    let (byte_dot, tile_i8, tile_row) = match products {
        Products::Scalars => (ByteDot::Runs { group: 4, lanes: 1, unsigned: false }, tile(3, 2), tile(1, 4)),
        Products::Thumb => (ByteDot::Runs { group: 4, lanes: 1, unsigned: true }, tile(1, 4), tile(1, 4)),
        Products::Helium => (ByteDot::Runs { group: 16, lanes: 4, unsigned: false }, tile(1, 1), tile(1, 1)),
    };
    Machine {
        name: name.into(),
        vector_bytes: 0,
        vector_registers: 14,
        fma: false,
        fma_lane: false,
        dot_lanes: 1,
        byte_dot,
        high_multiply: true,
        mul_high_add: true,
        saturating_convert: true,
        half_floats: false,
        round: false,
        sparse: SparseCosts { product: 200, weight: 500, dot: 200, pairs: 0, matrices: 0 },
        permutes: Permutes::default(),
        tile_f32: tile(2, 2),
        tile_i8,
        tile_matrix: None,
        tile_row,
        // All memory is as near.
        l1_bytes: 1 << 28,
        l2_bytes: 1 << 28,
    }
}

/// Not used: no kernel of theirs goes through Cranelift.
pub(super) fn emitter(_: &Set) -> Features {
    Features { arch: Arch::Riscv, vectors: false, ssse3: false, sse41: false, avx: false, fma: false, byte_dot: false }
}
