//! 32-bit Arm of the M profile, in C: packed products of 16 bits since Cortex-M4, vectors (Helium) since Cortex-M55.

use super::c99::{self, Products};
use super::level::{Architecture, Feature, Level};
use target_lexicon::{Architecture as Of, ArmArchitecture as Arm, Triple};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "32-bit Arm",
    features: &[
        // All of Thumb: products of 64 bits, conditions on instructions, constants of 32 bits.
        Feature { name: "thumb2", flags: &[], implies: &[] },
        Feature { name: "dsp", flags: &[], implies: &["thumb2"] },
        Feature { name: "mve", flags: &[], implies: &["dsp"] },
    ],
    note: "",
    general_levels: 4,
    levels: &[
        Level { name: "cortex-m0plus", features: &[] },
        Level { name: "cortex-m3", features: &["thumb2"] },
        Level { name: "cortex-m4", features: &["dsp"] },
        Level { name: "cortex-m55", features: &["mve"] },
        Level { name: "cortex-m0", features: &[] },
        Level { name: "cortex-m1", features: &[] },
        Level { name: "cortex-m23", features: &[] },
        Level { name: "cortex-m7", features: &["dsp"] },
        Level { name: "cortex-m33", features: &["dsp"] },
        Level { name: "cortex-m35p", features: &["dsp"] },
        Level { name: "cortex-m52", features: &["mve"] },
        Level { name: "cortex-m85", features: &["mve"] },
    ],
    machine: |set, name, _| {
        let has = |feature| set.contains(feature);
        let products = match (has("mve"), has("thumb2")) {
            (true, _) => Products::Helium,
            (_, true) => Products::Scalars,
            _ => Products::Thumb,
        };
        c99::of(products, name)
    },
    wide: |_| None,
    neon: |_, _| None,
    emitter: c99::emitter,
};

/// The level that is meant where none is given, and what no CPU of the triple has.
pub(super) fn of(triple: &Triple) -> (&'static str, &'static [&'static str]) {
    match triple.architecture {
        Of::Arm(Arm::Thumbv8mMain) => ("cortex-m33", &[]),
        Of::Arm(Arm::Thumbv7em) => ("cortex-m4", &["mve"]),
        Of::Arm(Arm::Thumbv7m) => ("cortex-m3", &["dsp", "mve"]),
        _ => ("cortex-m0plus", &["thumb2", "dsp", "mve"]),
    }
}

/// C is written for the M profile; others have operating systems and NEON.
pub(super) fn is_m_profile(arm: Arm) -> bool {
    matches!(arm, Arm::Thumbv6m | Arm::Thumbv7m | Arm::Thumbv7em | Arm::Thumbv8mBase | Arm::Thumbv8mMain)
}
