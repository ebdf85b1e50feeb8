//! x86-64 with 128-bit vectors: SSE2 and what came after.

use super::level::{Architecture, Feature, Level, Set};
use crate::clif::{Arch, Features};
use cranelite_tile::{ByteDot, Machine, MicroTile};

const fn feature(name: &'static str, flags: &'static [&'static str], implies: &'static [&'static str]) -> Feature {
    Feature { name, flags, implies }
}

const V2: &[&str] = &["sse4.2", "popcnt"];
const V3: &[&str] = &["sse4.2", "popcnt", "avx2", "fma", "bmi1", "bmi2", "lzcnt"];
const V4: &[&str] = &["sse4.2", "popcnt", "avx2", "fma", "bmi1", "bmi2", "lzcnt", "avx512vl", "avx512dq", "avx512bw"];

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "x86-64",
    features: &[
        feature("sse3", &["has_sse3"], &[]),
        feature("ssse3", &["has_ssse3"], &["sse3"]),
        feature("sse4.1", &["has_sse41"], &["ssse3"]),
        feature("sse4.2", &["has_sse42"], &["sse4.1"]),
        feature("popcnt", &["has_popcnt"], &[]),
        feature("lzcnt", &["has_lzcnt"], &[]),
        feature("bmi1", &["has_bmi1"], &[]),
        feature("bmi2", &["has_bmi2"], &[]),
        feature("avx", &["has_avx"], &["sse4.2"]),
        feature("avx2", &["has_avx2"], &["avx"]),
        feature("fma", &["has_fma"], &["avx"]),
        feature("avxvnni", &["has_avx_vnni"], &["avx2"]),
        feature("avx512f", &["has_avx512f"], &["avx2", "fma"]),
        feature("avx512vl", &["has_avx512vl"], &["avx512f"]),
        // Not for Cranelift: its 64-bit multiplication is slower than the products of 32 bits that are meant.
        feature("avx512dq", &[], &["avx512f"]),
        feature("avx512bw", &[], &["avx512f"]),
        feature("avx512vbmi", &["has_avx512vbmi"], &["avx512bw", "avx512vl"]),
        feature("avx512vnni", &["has_avx512vnni"], &["avx512vl"]),
    ],
    general_levels: 4,
    levels: &[
        Level { name: "x86-64", features: &[] },
        Level { name: "x86-64-v2", features: V2 },
        Level { name: "x86-64-v3", features: V3 },
        Level { name: "x86-64-v4", features: V4 },
        Level { name: "generic", features: &[] },
        Level { name: "nehalem", features: V2 },
        Level { name: "haswell", features: V3 },
        Level { name: "skylake", features: V3 },
        Level { name: "alderlake", features: &["sse4.2", "popcnt", "avx2", "fma", "bmi1", "bmi2", "lzcnt", "avxvnni"] },
        Level { name: "skylake-avx512", features: V4 },
        Level {
            name: "cascadelake",
            features: &["sse4.2", "popcnt", "fma", "bmi1", "bmi2", "lzcnt", "avx512vl", "avx512dq", "avx512bw", "avx512vnni"],
        },
        Level {
            name: "icelake-server",
            features: &["sse4.2", "popcnt", "fma", "bmi1", "bmi2", "lzcnt", "avx512dq", "avx512vnni", "avx512vbmi"],
        },
        Level {
            name: "sapphirerapids",
            features: &["sse4.2", "popcnt", "fma", "bmi1", "bmi2", "lzcnt", "avx512dq", "avx512vnni", "avx512vbmi", "avxvnni"],
        },
        Level { name: "znver3", features: V3 },
        Level { name: "znver4", features: &["sse4.2", "popcnt", "fma", "bmi1", "bmi2", "lzcnt", "avx512dq", "avx512vnni", "avx512vbmi"] },
        Level {
            name: "znver5",
            features: &["sse4.2", "popcnt", "fma", "bmi1", "bmi2", "lzcnt", "avx512dq", "avx512vnni", "avx512vbmi", "avxvnni"],
        },
    ],
    machine,
    emitter: |set| Features {
        arch: Arch::X86,
        vectors: true,
        ssse3: set.contains("ssse3"),
        sse41: set.contains("sse4.1"),
        avx: set.contains("avx"),
        fma: set.contains("fma"),
        byte_dot: has_vnni(set),
    },
};

fn has_vnni(set: &Set) -> bool {
    set.contains("avxvnni") || set.contains("avx512vnni")
}

fn machine(set: &Set, name: &str) -> Machine {
    Machine {
        name: name.into(),
        vector_bytes: 16,
        vector_registers: 16,
        fma: set.contains("fma"),
        fma_lane: false,
        byte_dot: if has_vnni(set) { ByteDot::U8S8 } else { ByteDot::S16S16 },
        high_multiply: false,
        round: set.contains("sse4.1"),
        tile_f32: MicroTile { rows: 12, vectors: 1, unroll: 2 },
        tile_i8: MicroTile { rows: 2, vectors: 5, unroll: 1 },
        tile_row: MicroTile { rows: 1, vectors: 8, unroll: 1 },
        l1_bytes: 32 << 10,
        l2_bytes: 1 << 20,
    }
}
