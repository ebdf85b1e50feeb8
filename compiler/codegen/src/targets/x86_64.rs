//! x86-64: SSE2 and what came after, up to AVX-512.
//!
//! From AVX2 with FMA on, kernels are written for 256 or 512 bits and the wide emitter makes the code; below, for 128 bits.

use super::level::{Architecture, Feature, Level, Set};
use crate::clif::{Arch, Features};
use crate::wide;
use cranelite_tile::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};

const fn feature(name: &'static str, flags: &'static [&'static str], implies: &'static [&'static str]) -> Feature {
    Feature { name, flags, implies }
}

const V2: &[&str] = &["sse4.2", "popcnt"];
const V3: &[&str] = &["sse4.2", "popcnt", "avx2", "f16c", "fma", "bmi1", "bmi2", "lzcnt"];
const V4: &[&str] = &["sse4.2", "popcnt", "avx2", "f16c", "fma", "bmi1", "bmi2", "lzcnt", "avx512vl", "avx512dq", "avx512bw", "avx512cd"];

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
        // Not for Cranelift, which has no such instruction.
        feature("f16c", &[], &["avx"]),
        feature("fma", &["has_fma"], &["avx"]),
        feature("avxvnni", &["has_avx_vnni"], &["avx2"]),
        feature("avx512f", &["has_avx512f"], &["avx2", "f16c", "fma"]),
        feature("avx512vl", &["has_avx512vl"], &["avx512f"]),
        // Not for Cranelift: its 64-bit multiplication is slower than the products of 32 bits that are meant.
        feature("avx512dq", &[], &["avx512f"]),
        feature("avx512bw", &[], &["avx512f"]),
        // No CPU has these without the rest.
        feature("avx512vbmi", &["has_avx512vbmi"], &["avx512vl", "avx512dq", "avx512bw", "avx512cd"]),
        feature("avx512vnni", &["has_avx512vnni"], &["avx512vl", "avx512dq", "avx512bw", "avx512cd"]),
        feature("avx512cd", &[], &["avx512f"]),
        feature(PREFER_128, &[], &[]),
        feature(PREFER_256, &[], &[]),
    ],
    note: "",
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
        Level { name: "alderlake", features: &["sse4.2", "popcnt", "avx2", "f16c", "fma", "bmi1", "bmi2", "lzcnt", "avxvnni"] },
        Level { name: "skylake-avx512", features: V4 },
        Level { name: "cascadelake", features: &["popcnt", "bmi1", "bmi2", "lzcnt", "avx512vnni"] },
        Level { name: "icelake-server", features: &["popcnt", "bmi1", "bmi2", "lzcnt", "avx512vnni", "avx512vbmi"] },
        Level { name: "sapphirerapids", features: &["popcnt", "bmi1", "bmi2", "lzcnt", "avx512vnni", "avx512vbmi", "avxvnni"] },
        Level { name: "znver3", features: V3 },
        Level { name: "znver4", features: &["popcnt", "bmi1", "bmi2", "lzcnt", "avx512vnni", "avx512vbmi"] },
        Level { name: "znver5", features: &["popcnt", "bmi1", "bmi2", "lzcnt", "avx512vnni", "avx512vbmi", "avxvnni"] },
    ],
    machine: |set, name, _| machine(set, name),
    wide,
    neon: |_, _| None,
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

/// Not of a CPU: vectors no longer than that, whatever the CPU has.
const PREFER_128: &str = "prefer128";
const PREFER_256: &str = "prefer256";

fn wide(set: &Set) -> Option<wide::Features> {
    let has = |names: &[&str]| names.iter().all(|n| set.contains(n));
    if set.contains(PREFER_128) || !has(&["avx2", "fma", "bmi2"]) {
        return None;
    }
    let avx512 = has(&["avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"]);
    Some(wide::Features {
        avx512,
        vnni: set.contains(if avx512 { "avx512vnni" } else { "avxvnni" }),
        f16c: set.contains("f16c"),
        vbmi: avx512 && set.contains("avx512vbmi"),
        vector_bytes: if avx512 && !set.contains(PREFER_256) { 64 } else { 32 },
    })
}

fn machine(set: &Set, name: &str) -> Machine {
    let Some(wide) = wide(set) else { return machine_128(set, name) };
    let tile = |rows, vectors| MicroTile { rows, vectors, unroll: 1 };
    let tile_product = if wide.vector_bytes == 64 { tile(14, 2) } else { tile(6, 2) };
    Machine {
        vector_bytes: wide.vector_bytes as u32,
        vector_registers: if wide.avx512 { 32 } else { 16 },
        byte_dot: if wide.vnni { ByteDot::U8S8 } else { ByteDot::S16S16 },
        sparse: SparseCosts { product: 100, weight: 200, dot: if wide.vnni { 100 } else { 200 }, pairs: 0, matrices: 0 },
        // One port permutes 64 bytes, or across 16 of them, and two multiply; without VNNI a product is two instructions.
        permutes: Permutes {
            bytes: if wide.vbmi { wide.vector_bytes as u32 } else { 16 },
            words: wide.vector_bytes as u32,
            cost: match (wide.vector_bytes, wide.vnni) {
                (64, _) => 100,
                (_, true) => 75,
                (_, false) => 50,
            },
            long_cost: 100,
            simple: 50,
        },
        half_floats: set.contains("f16c"),
        tile_f32: tile_product,
        tile_i8: tile_product,
        tile_row: tile(1, 8),
        ..machine_128(set, name)
    }
}

fn machine_128(set: &Set, name: &str) -> Machine {
    let tile = |rows, vectors, unroll| MicroTile { rows, vectors, unroll };
    Machine {
        name: name.into(),
        vector_bytes: 16,
        vector_registers: 16,
        fma: set.contains("fma"),
        fma_lane: false,
        dot_lanes: 1,
        byte_dot: if has_vnni(set) { ByteDot::U8S8 } else { ByteDot::S16S16 },
        high_multiply: false,
        mul_high_add: false,
        saturating_convert: false,
        half_floats: false,
        round: set.contains("sse4.1"),
        sparse: SparseCosts { product: 130, weight: 400, dot: if has_vnni(set) { 100 } else { 200 }, pairs: 0, matrices: 0 },
        permutes: if set.contains("ssse3") {
            Permutes { bytes: 16, words: 0, cost: 50, long_cost: 0, simple: 50 }
        } else {
            Permutes::default()
        },
        // Without AVX a number in all lanes takes a shuffle, so it is used for several vectors, and a product overwrites a factor.
        tile_f32: match (set.contains("fma"), set.contains("avx")) {
            (true, _) => tile(12, 1, 2),
            (false, true) => tile(12, 1, 1),
            (false, false) => tile(3, 3, 1),
        },
        tile_i8: if set.contains("avx") { tile(2, 5, 2) } else { tile(3, 4, 2) },
        tile_matrix: None,
        tile_row: tile(1, 8, 1),
        l1_bytes: 32 << 10,
        l2_bytes: 1 << 20,
    }
}
