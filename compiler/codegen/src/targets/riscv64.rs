//! 64-bit RISC-V with the G extensions, one lane at a time: Cranelift's vectors need V, and its dot products there are slow.

use super::level::{Architecture, Feature, Level};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "riscv64",
    features: &[
        Feature { name: "c", flags: &["has_zca", "has_zcd"], implies: &[] },
        Feature { name: "zba", flags: &["has_zba"], implies: &[] },
        Feature { name: "zbb", flags: &["has_zbb"], implies: &[] },
        Feature { name: "zbs", flags: &["has_zbs"], implies: &[] },
    ],
    note: "",
    general_levels: 1,
    levels: &[
        Level { name: "rv64gc", features: &["c"] },
        Level { name: "generic", features: &["c"] },
        Level { name: "rva22", features: &["c", "zba", "zbb", "zbs"] },
    ],
    machine: |_, name, _| {
        let tile = MicroTile { rows: 2, vectors: 4, unroll: 1 };
        Machine {
            name: name.into(),
            vector_bytes: 0,
            vector_registers: 32,
            fma: true,
            fma_lane: false,
            dot_lanes: 1,
            byte_dot: ByteDot::S8S8,
            high_multiply: false,
            mul_high_add: false,
            saturating_convert: true,
            half_floats: false,
            round: false,
            sparse: SparseCosts { product: 150, weight: 500, dot: 300, pairs: 0, matrices: 0 },
            permutes: Permutes::default(),
            tile_f32: tile,
            tile_i8: tile,
            tile_matrix: None,
            tile_row: MicroTile { rows: 1, vectors: 4, unroll: 1 },
            l1_bytes: 32 << 10,
            l2_bytes: 512 << 10,
        }
    },
    wide: |_| None,
    neon: |_, _| None,
    emitter: |_| Features { arch: Arch::Riscv, vectors: false, ssse3: false, sse41: false, avx: false, fma: true, byte_dot: false },
};
