//! Any machine with a C compiler: scalar code whose products of bytes are sums of a few terms, for some fourteen registers.

use super::level::{Architecture, Level};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "C99",
    features: &[],
    general_levels: 1,
    levels: &[Level { name: "portable", features: &[] }],
    machine: |_, name| Machine {
        name: name.into(),
        vector_bytes: 0,
        vector_registers: 14,
        fma: false,
        fma_lane: false,
        byte_dot: ByteDot::S8S8,
        high_multiply: true,
        saturating_convert: true,
        round: false,
        tile_f32: MicroTile { rows: 2, vectors: 2, unroll: 1 },
        tile_i8: MicroTile { rows: 2, vectors: 2, unroll: 1 },
        tile_row: MicroTile { rows: 1, vectors: 4, unroll: 1 },
        l1_bytes: 16 << 10,
        l2_bytes: 64 << 10,
    },
    wide: |_| None,
    // Not used: no kernel of it goes through Cranelift.
    emitter: |_| Features { arch: Arch::Riscv, vectors: false, ssse3: false, sse41: false, avx: false, fma: false, byte_dot: false },
};
