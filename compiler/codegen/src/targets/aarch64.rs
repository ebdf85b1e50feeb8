//! 64-bit Arm with NEON, which is always there; dot products since Cortex-A55, A75 and Neoverse N1.

use super::level::{Architecture, Feature, Level, Set};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "aarch64",
    features: &[Feature { name: "dotprod", flags: &["has_dotprod"], implies: &[] }],
    general_levels: 1,
    levels: &[
        Level { name: "generic", features: &[] },
        Level { name: "cortex-a53", features: &[] },
        Level { name: "cortex-a72", features: &[] },
        Level { name: "cortex-a55", features: &["dotprod"] },
        Level { name: "cortex-a76", features: &["dotprod"] },
        Level { name: "neoverse-n1", features: &["dotprod"] },
        Level { name: "apple-m1", features: &["dotprod"] },
    ],
    machine,
    wide: |_| None,
    emitter: |set| Features {
        arch: Arch::Arm,
        vectors: true,
        ssse3: false,
        sse41: false,
        avx: false,
        fma: true,
        byte_dot: set.contains("dotprod"),
    },
};

fn machine(set: &Set, name: &str) -> Machine {
    let tile = MicroTile { rows: 8, vectors: 3, unroll: 1 };
    Machine {
        name: name.into(),
        vector_bytes: 16,
        vector_registers: 32,
        fma: true,
        fma_lane: true,
        byte_dot: ByteDot::S8S8,
        high_multiply: true,
        mul_high_add: false,
        saturating_convert: true,
        round: true,
        sparse: SparseCosts { product: 150, weight: 500, dot: if set.contains("dotprod") { 190 } else { 570 } },
        // Without an instruction for it, a product of bytes is several.
        permutes: match set.contains("dotprod") {
            true => Permutes { bytes: 16, words: 0, cost: 100, long_cost: 0, simple: 50 },
            false => Permutes { bytes: 16, words: 0, cost: 30, long_cost: 0, simple: 15 },
        },
        tile_f32: tile,
        tile_i8: tile,
        tile_row: MicroTile { rows: 1, vectors: 8, unroll: 1 },
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
    }
}
