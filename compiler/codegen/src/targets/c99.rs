//! Machines that C is written for, and any machine with a C compiler: scalar code whose products of bytes are sums of a few terms, for
//! some fourteen registers.

use super::level::{Architecture, Level, Set};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "C99",
    features: &[],
    general_levels: 1,
    levels: &[Level { name: "portable", features: &[] }],
    machine,
    wide: |_| None,
    emitter,
};

/// Of all architectures in C, whose features are of different names.
pub(super) fn machine(set: &Set, name: &str) -> Machine {
    // Sixteen products into a sum of a register, four of which are rescaled together; else as many as fourteen registers take.
    let (byte_dot, tile_i8, tile_row) = if set.contains("mve") {
        let tile = MicroTile { rows: 1, vectors: 1, unroll: 1 };
        (ByteDot::Runs { group: 16, lanes: 4, unsigned: false }, tile, tile)
    } else if name.starts_with("cortex-m") && !set.contains("thumb2") {
        // Eight registers, and bytes with a sign have no addresses with constants.
        let tile = MicroTile { rows: 1, vectors: 4, unroll: 1 };
        (ByteDot::Runs { group: 4, lanes: 1, unsigned: true }, tile, tile)
    } else {
        let tile = |rows, vectors| MicroTile { rows, vectors, unroll: 1 };
        (ByteDot::Runs { group: 4, lanes: 1, unsigned: false }, tile(3, 2), tile(1, 4))
    };
    Machine {
        name: name.into(),
        vector_bytes: 0,
        vector_registers: 14,
        fma: false,
        fma_lane: false,
        byte_dot,
        high_multiply: true,
        mul_high_add: true,
        saturating_convert: true,
        round: false,
        tile_f32: MicroTile { rows: 2, vectors: 2, unroll: 1 },
        tile_i8,
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
