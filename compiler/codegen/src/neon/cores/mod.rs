//! What single cores do with instructions: one table per core, one row per kind.
//!
//! Not an instruction set (`forms.rs`) and not a simulator (`scoreboard.rs`). The idea: a core is its width, its pipes and how long each kind of instruction
//! takes them, and how long its result takes; what orders instructions and what counts cycles read the same rows.
//!
//! What the columns come from: the out-of-order cores from LLVM's models as `llvm-mca-19` reports them (Cortex-A72: AArch64SchedA57.td, which it shares;
//! Cortex-A76: AArch64SchedNeoverseN1.td; Neoverse V1: AArch64SchedNeoverseV1.td), so that figures can be compared with those of other programs by the same
//! tool. The in-order cores from AArch64SchedA55.td and AArch64SchedA53.td (latencies, the forwarding of sums) and from SLOTHY's
//! cortex_a55.py (pipes, pairs), both after Arm's Cortex-A55 Software Optimization Guide; that a lane from a general register goes beside a product is
//! what XNNPACK's kernels for these cores rely on. Apple M1: Dougall Johnson's measurements of Firestorm.

mod apple_m1;
mod cortex_a510;
mod cortex_a55;
mod cortex_a72;
mod cortex_a76;
mod neoverse_v1;

use super::kind::Kind;

/// A set of pipes, as bits.
pub type Pipes = u32;

/// How a core executes one kind of instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Cycles from issue until another instruction may read the result.
    pub latency: u8,
    /// The same for the sum of an instruction that adds to a register, when the reader adds to it too and is of the same kind: it is read late.
    pub accumulate: u8,
    /// What it takes of the core's width.
    pub micro_ops: u8,
    /// In-order cores: nothing else issues in this and the following cycles; 0 where another instruction may issue beside it.
    pub alone: u8,
    /// Each entry takes one pipe of a set for some cycles.
    pub uses: &'static [(Pipes, u8)],
}

impl Row {
    const fn new(latency: u8, micro_ops: u8, uses: &'static [(Pipes, u8)]) -> Row {
        Row { latency, accumulate: latency, micro_ops, alone: 0, uses }
    }
    const fn accumulate(self, accumulate: u8) -> Row {
        Row { accumulate, ..self }
    }
    const fn alone(self, alone: u8) -> Row {
        Row { alone, ..self }
    }
}

/// In which order instructions issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    InOrder,
    /// Any of so many micro-operations that have been dispatched and not yet retired.
    OutOfOrder {
        window: u16,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Core {
    pub name: &'static str,
    pub issue: Issue,
    /// Micro-operations that issue (in order) or are dispatched (out of order) per cycle.
    pub width: u8,
    /// Number of pipes.
    pub pipes: u8,
    row: fn(Kind) -> Row,
}

impl Core {
    pub fn row(&self, kind: Kind) -> Row {
        (self.row)(kind)
    }
    /// The core of a name that `--cpu` takes, or of the nearest to it that has a table.
    pub fn named(name: &str) -> Option<&'static Core> {
        Some(match name {
            "cortex-a53" => &CORTEX_A53,
            "cortex-a55" => &CORTEX_A55,
            "cortex-a72" => &CORTEX_A72,
            "cortex-a76" | "cortex-a78" | "cortex-x1" | "neoverse-n1" => &CORTEX_A76,
            "neoverse-v1" => &NEOVERSE_V1,
            "apple-m1" => &APPLE_M1,
            _ => return None,
        })
    }
}

pub static CORTEX_A53: Core =
    Core { name: "cortex-a53", issue: Issue::InOrder, width: 2, pipes: cortex_a55::PIPES, row: cortex_a55::row_a53 };
pub static CORTEX_A55: Core = Core { name: "cortex-a55", issue: Issue::InOrder, width: 2, pipes: cortex_a55::PIPES, row: cortex_a55::row };
pub static CORTEX_A510: Core =
    Core { name: "cortex-a510", issue: Issue::InOrder, width: 3, pipes: cortex_a510::PIPES, row: cortex_a510::row };
pub static CORTEX_A72: Core =
    Core { name: "cortex-a72", issue: Issue::OutOfOrder { window: 128 }, width: 3, pipes: cortex_a72::PIPES, row: cortex_a72::row };
pub static CORTEX_A76: Core =
    Core { name: "cortex-a76", issue: Issue::OutOfOrder { window: 128 }, width: 8, pipes: cortex_a76::PIPES, row: cortex_a76::row };
pub static NEOVERSE_V1: Core =
    Core { name: "neoverse-v1", issue: Issue::OutOfOrder { window: 256 }, width: 15, pipes: neoverse_v1::PIPES, row: neoverse_v1::row };
pub static APPLE_M1: Core =
    Core { name: "apple-m1", issue: Issue::OutOfOrder { window: 512 }, width: 8, pipes: apple_m1::PIPES, row: apple_m1::row };

pub static CORES: [&Core; 7] = [&CORTEX_A53, &CORTEX_A55, &CORTEX_A510, &CORTEX_A72, &CORTEX_A76, &NEOVERSE_V1, &APPLE_M1];
