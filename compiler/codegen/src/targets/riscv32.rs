//! 32-bit RISC-V with products (M), in C: microcontrollers such as ESP32-C3 and -C6. Most have no floating point.

use super::c99;
use super::level::{Architecture, Feature, Level};
use target_lexicon::{Architecture as Of, Riscv32Architecture as Riscv, Triple};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "riscv32",
    features: &[
        Feature { name: "c", flags: &[], implies: &[] },
        Feature { name: "a", flags: &[], implies: &[] },
        Feature { name: "f", flags: &[], implies: &[] },
    ],
    note: "",
    general_levels: 4,
    levels: &[
        Level { name: "rv32im", features: &[] },
        Level { name: "rv32imc", features: &["c"] },
        Level { name: "rv32imac", features: &["a", "c"] },
        Level { name: "rv32imafc", features: &["a", "c", "f"] },
        Level { name: "generic", features: &[] },
    ],
    machine: c99::machine,
    wide: |_| None,
    neon: |_, _| None,
    emitter: c99::emitter,
};

/// The level that is meant where none is given, and what no CPU of the triple has.
pub(super) fn of(triple: &Triple) -> (&'static str, &'static [&'static str]) {
    match triple.architecture {
        Of::Riscv32(Riscv::Riscv32gc | Riscv::Riscv32imafc) => ("rv32imafc", &[]),
        Of::Riscv32(Riscv::Riscv32imac) => ("rv32imac", &["f"]),
        Of::Riscv32(Riscv::Riscv32imc) => ("rv32imc", &["a", "f"]),
        Of::Riscv32(Riscv::Riscv32ima) => ("rv32im+a", &["c", "f"]),
        _ => ("rv32im", &["a", "c", "f"]),
    }
}

/// Without M every product is a call.
pub(super) fn has_products(riscv: Riscv) -> bool {
    !matches!(riscv, Riscv::Riscv32 | Riscv::Riscv32i)
}
