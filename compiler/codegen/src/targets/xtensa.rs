//! Xtensa as in ESP32, in C. The chip is the triple's vendor.

use super::c99;
use super::level::{Architecture, Feature, Level};
use target_lexicon::Triple;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "xtensa",
    features: &[
        Feature { name: "fpu", flags: &[], implies: &[] },
        // Vectors of 128 bits, which C compilers do not make.
        Feature { name: "pie", flags: &[], implies: &["fpu"] },
    ],
    note: "",
    general_levels: 3,
    levels: &[
        Level { name: "esp32s2", features: &[] },
        Level { name: "esp32", features: &["fpu"] },
        Level { name: "esp32s3", features: &["pie"] },
    ],
    machine: c99::machine,
    wide: |_| None,
    neon: |_, _| None,
    emitter: c99::emitter,
};

/// The level that is meant where none is given, and what no CPU of the triple has.
pub(super) fn of(triple: &Triple) -> (&'static str, &'static [&'static str]) {
    match triple.vendor.as_str() {
        "esp32s3" => ("esp32s3", &[]),
        "esp32" => ("esp32", &["pie"]),
        "esp32s2" => ("esp32s2", &["fpu", "pie"]),
        // Any other core: what all have.
        _ => ("esp32s2", &[]),
    }
}
