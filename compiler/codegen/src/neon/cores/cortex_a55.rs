//! Cortex-A55 and Cortex-A53: two instructions per cycle, in order.
//!
//! The idea: vectors of 16 bytes take both halves of the vector unit, so that one vector operation goes with one that is none (a load of up to 8 bytes, an
//! addition of general registers). Loads of 16 bytes go alone and take two cycles.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 8;
const ALU: Pipes = 0b11;
const MAC: Pipes = 1 << 2;
const LOAD: Pipes = 1 << 3;
const STORE: Pipes = 1 << 4;
const BRANCH: Pipes = 1 << 5;
const VECTOR: &[(Pipes, u8)] = &[(1 << 6, 1), (1 << 7, 1)];

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    let vector = |latency| Row::new(latency, 1, VECTOR);
    match kind {
        K::Integer => Row::new(1, 1, &[(ALU, 1)]),
        K::IntegerShifted => Row::new(2, 1, &[(ALU, 1)]),
        K::Multiply => Row::new(3, 1, &[(MAC, 1)]).accumulate(1),
        K::MultiplyHigh => Row::new(4, 1, &[(MAC, 1)]),
        K::Branch => Row::new(1, 1, &[(BRANCH, 1)]),
        K::Load | K::LoadVector | K::LoadSplat | K::LoadLane | K::Prefetch => Row::new(3, 1, &[(LOAD, 1)]),
        K::LoadPair | K::LoadVectorPair => Row::new(4, 1, &[(LOAD, 2)]).alone(2),
        K::LoadVectorLong => Row::new(4, 1, &[(LOAD, 2)]).alone(2),
        K::LoadVectorLongPair => Row::new(6, 1, &[(LOAD, 4)]).alone(4),
        K::Store | K::StorePair | K::StoreVector | K::StoreLane => Row::new(1, 1, &[(STORE, 1)]),
        // Stores of vectors do not follow each other at once.
        K::StoreVectorLong | K::StoreVectorPair => Row::new(1, 1, &[(STORE, 2)]),
        K::StoreVectorLongPair => Row::new(1, 1, &[(STORE, 4)]),
        K::Logic => vector(1),
        K::Add | K::Shift | K::ShiftLong | K::ShiftNarrow | K::ShiftByLanes | K::Permute | K::Zip | K::Table => vector(2),
        K::AddLong | K::AddSaturating | K::AddPairs | K::Across | K::ShiftAccumulate | K::ShiftRound | K::ShiftRoundByLanes => vector(3),
        K::AddPairsAccumulate => vector(4).accumulate(1),
        K::Narrow | K::Product | K::ProductLong | K::ProductHigh => vector(4),
        K::ProductAccumulate | K::ProductLongAccumulate | K::Dot | K::MatrixDot => vector(4).accumulate(1),
        K::FromGeneral => Row::new(3, 1, &[]),
        K::ToGeneral => Row::new(3, 1, &[(1 << 6 | 1 << 7, 1)]),
        K::FloatAdd | K::FloatMultiply | K::FloatMultiplyAdd | K::FloatCompare | K::FloatConvert | K::FloatLength => vector(4),
        K::FloatDivide => Row::new(13, 1, &[(1 << 6, 10), (1 << 7, 10)]),
        K::FloatRoot => Row::new(12, 1, &[(1 << 6, 9), (1 << 7, 9)]),
    }
}

/// Cortex-A53: loads take a cycle more and share their pipe with stores; products of floats are added late.
pub fn row_a53(kind: Kind) -> Row {
    use Kind as K;
    let a55 = row(kind);
    match kind {
        K::Load
        | K::LoadVector
        | K::LoadSplat
        | K::LoadLane
        | K::LoadPair
        | K::LoadVectorPair
        | K::LoadVectorLong
        | K::LoadVectorLongPair => Row { latency: a55.latency + 1, ..a55 },
        K::Store | K::StorePair | K::StoreVector | K::StoreLane => Row::new(1, 1, &[(LOAD, 1)]),
        K::StoreVectorLong | K::StoreVectorPair => Row::new(1, 1, &[(LOAD, 2)]),
        K::StoreVectorLongPair => Row::new(1, 1, &[(LOAD, 4)]),
        K::FloatMultiplyAdd => Row::new(8, 1, VECTOR).accumulate(4),
        K::FloatDivide => Row::new(18, 1, &[(1 << 6, 14), (1 << 7, 14)]),
        K::FloatRoot => Row::new(17, 1, &[(1 << 6, 13), (1 << 7, 13)]),
        _ => a55,
    }
}
