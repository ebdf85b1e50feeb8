//! 64-bit Arm with NEON, which is always there and converts half floats; dot products and arithmetic of half floats (which no kernel has) since Cortex-A55, A75 and Neoverse N1, products of
//! matrices of bytes since Neoverse V1. The names of cores tune for them, too.

use super::Tuning;
use super::level::{Architecture, Feature, Level, Set};
use crate::clif::{Arch, Features};
use crate::neon;
use crate::neon::cores::{CORTEX_A53, CORTEX_A55, CORTEX_A510, Core};
use cranelite_tile::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "aarch64",
    features: &[
        Feature { name: "dotprod", flags: &["has_dotprod"], implies: &[] },
        Feature { name: "fp16", flags: &["has_fp16"], implies: &[] },
        // No CPU has it without the other.
        Feature { name: "i8mm", flags: &["has_i8mm"], implies: &["dotprod"] },
    ],
    note: "fp16 is arithmetic of half floats, which no kernel has; what is stored as half floats needs no feature",
    general_levels: 1,
    levels: &[
        Level { name: "generic", features: &[] },
        Level { name: "cortex-a53", features: &[] },
        Level { name: "cortex-a55", features: &["dotprod", "fp16"] },
        Level { name: "cortex-a72", features: &[] },
        Level { name: "cortex-a76", features: &["dotprod", "fp16"] },
        Level { name: "cortex-a78", features: &["dotprod", "fp16"] },
        Level { name: "cortex-x1", features: &["dotprod", "fp16"] },
        Level { name: "neoverse-n1", features: &["dotprod", "fp16"] },
        Level { name: "neoverse-v1", features: &["dotprod", "fp16", "i8mm"] },
        Level { name: "apple-m1", features: &["dotprod", "fp16"] },
    ],
    machine,
    wide: |_| None,
    neon: |set, tuning| {
        // An order for a core that keeps it costs others little.
        let core = match tuning {
            Tuning::Generic if set.contains("i8mm") => &CORTEX_A510,
            Tuning::Generic if set.contains("dotprod") => &CORTEX_A55,
            Tuning::Generic => &CORTEX_A53,
            _ => Core::named(tuning.name())?,
        };
        Some(neon::Features { dotprod: set.contains("dotprod"), i8mm: set.contains("i8mm"), core, is_tuned: tuning != Tuning::Generic })
    },
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

fn machine(set: &Set, name: &str, _: Tuning) -> Machine {
    let tile = MicroTile { rows: 8, vectors: 3, unroll: 1 };
    Machine {
        name: name.into(),
        vector_bytes: 16,
        vector_registers: 32,
        fma: true,
        fma_lane: true,
        dot_lanes: if set.contains("dotprod") { 2 } else { 1 },
        byte_dot: if set.contains("dotprod") { ByteDot::S8S8 } else { ByteDot::S8S8Pairs },
        high_multiply: true,
        mul_high_add: false,
        saturating_convert: true,
        half_floats: true,
        round: true,
        sparse: SparseCosts { product: 150, weight: 500, dot: if set.contains("dotprod") { 190 } else { 570 }, pairs: 340, matrices: 95 },
        // Without an instruction for it, a product of bytes is several.
        permutes: match set.contains("dotprod") {
            true => Permutes { bytes: 16, words: 0, cost: 100, long_cost: 0, simple: 50 },
            false => Permutes { bytes: 16, words: 0, cost: 30, long_cost: 0, simple: 15 },
        },
        tile_f32: tile,
        // Registers are left to load ahead into, and for what comes after the sums. Products of pairs take two registers of each operand.
        tile_i8: if set.contains("dotprod") { MicroTile { rows: 7, ..tile } } else { MicroTile { rows: 4, vectors: 4, unroll: 1 } },
        tile_matrix: set.contains("i8mm").then_some(MicroTile { rows: 6, vectors: 4, unroll: 1 }),
        tile_row: MicroTile { rows: 1, vectors: 8, unroll: 1 },
        l1_bytes: 32 << 10,
        l2_bytes: 512 << 10,
    }
}
