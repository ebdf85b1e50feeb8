//! Cortex-A510: three instructions per cycle, in order, with two vector units of 16 bytes and two loads per cycle.
//!
//! The rows are those of LLVM's AArch64SchedA510.td as `llvm-mca-19` reports them. No `--cpu` names it: it is the core with products of matrices that an
//! order of instructions matters to.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 9;
const ALU: Pipes = 0b111;
const MAC: Pipes = 1 << 3;
const LOAD: Pipes = 0b11 << 4;
const STORE: Pipes = 1 << 6;
const VECTOR: Pipes = 0b11 << 7;

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    let vector = |latency| Row::new(latency, 1, &[(VECTOR, 1)]);
    match kind {
        K::Integer | K::Branch => Row::new(1, 1, &[(ALU, 1)]),
        K::IntegerShifted => Row::new(2, 1, &[(ALU, 1)]),
        K::Multiply | K::MultiplyHigh => Row::new(5, 1, &[(MAC, 2)]),
        K::Load | K::LoadVector | K::LoadVectorLong | K::Prefetch => Row::new(2, 1, &[(LOAD, 1)]),
        K::LoadPair | K::LoadVectorPair | K::LoadVectorLongPair => Row::new(3, 1, &[(LOAD, 2)]),
        K::LoadSplat | K::LoadLane => Row::new(3, 1, &[(LOAD, 1)]),
        K::Store | K::StorePair | K::StoreVector | K::StoreVectorLong | K::StoreVectorPair | K::StoreVectorLongPair | K::StoreLane => {
            Row::new(1, 1, &[(STORE, 1)])
        }
        K::Logic | K::Add | K::Shift | K::ShiftByLanes | K::ShiftRoundByLanes | K::ShiftAccumulate | K::ShiftRound => vector(3),
        K::AddLong | K::AddPairs | K::Across => vector(3),
        K::AddPairsAccumulate => Row::new(7, 1, &[(VECTOR, 1)]),
        K::FloatDivide => Row::new(10, 1, &[(VECTOR, 5)]),
        K::FloatRoot => Row::new(9, 1, &[(VECTOR, 5)]),
        _ => vector(4),
    }
}
