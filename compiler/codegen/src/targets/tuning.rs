//! Cores that code is tuned for beside the features it may use.
//!
//! Not what a core has (that is `level.rs` and its tables) and not its pipelines: here is only which core is meant. The idea: tuning changes the order of
//! instructions and the size of tiles, and never an answer, so levels with the same features run on the same CPUs whatever they are tuned for.

/// The core that code is tuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tuning {
    /// No core in particular.
    #[default]
    Generic,
    CortexA53,
    CortexA55,
    CortexA72,
    CortexA76,
    CortexA78,
    CortexX1,
    NeoverseN1,
    NeoverseV1,
    AppleM1,
}

impl Tuning {
    pub const CORES: [Tuning; 9] = [
        Tuning::CortexA53,
        Tuning::CortexA55,
        Tuning::CortexA72,
        Tuning::CortexA76,
        Tuning::CortexA78,
        Tuning::CortexX1,
        Tuning::NeoverseN1,
        Tuning::NeoverseV1,
        Tuning::AppleM1,
    ];

    /// The name of the level that tunes for it.
    pub fn name(self) -> &'static str {
        match self {
            Tuning::Generic => "generic",
            Tuning::CortexA53 => "cortex-a53",
            Tuning::CortexA55 => "cortex-a55",
            Tuning::CortexA72 => "cortex-a72",
            Tuning::CortexA76 => "cortex-a76",
            Tuning::CortexA78 => "cortex-a78",
            Tuning::CortexX1 => "cortex-x1",
            Tuning::NeoverseN1 => "neoverse-n1",
            Tuning::NeoverseV1 => "neoverse-v1",
            Tuning::AppleM1 => "apple-m1",
        }
    }

    /// Which core a level of that name tunes for.
    pub fn named(name: &str) -> Tuning {
        Tuning::CORES.into_iter().find(|core| core.name() == name).unwrap_or_default()
    }
}
