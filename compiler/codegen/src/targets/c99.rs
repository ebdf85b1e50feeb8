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
pub(super) fn machine(_: &Set, name: &str) -> Machine {
    Machine {
        name: name.into(),
        vector_bytes: 0,
        vector_registers: 14,
        fma: false,
        fma_lane: false,
        byte_dot: ByteDot::Runs { group: 4 },
        high_multiply: true,
        mul_high_add: true,
        saturating_convert: true,
        round: false,
        tile_f32: MicroTile { rows: 2, vectors: 2, unroll: 1 },
        tile_i8: MicroTile { rows: 3, vectors: 2, unroll: 1 },
        tile_row: MicroTile { rows: 1, vectors: 4, unroll: 1 },
        // All memory is as near.
        l1_bytes: 1 << 28,
        l2_bytes: 1 << 28,
    }
}

/// Not used: no kernel of theirs goes through Cranelift.
pub(super) fn emitter(_: &Set) -> Features {
    Features { arch: Arch::Riscv, vectors: false, ssse3: false, sse41: false, avx: false, fma: false, byte_dot: false }
}
