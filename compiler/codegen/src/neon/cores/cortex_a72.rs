//! Cortex-A72: three micro-operations per cycle, two vector pipes.
//!
//! LLVM has no model of its own for it and takes that of Cortex-A57; so does this.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 8;
const BRANCH: Pipes = 1;
const INTEGER: Pipes = 0b110;
const MULTIPLY: Pipes = 1 << 3;
const LOAD: Pipes = 1 << 4;
const STORE: Pipes = 1 << 5;
const W: Pipes = 1 << 6;
const X: Pipes = 1 << 7;
const EITHER: Pipes = W | X;

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    match kind {
        K::Integer => Row::new(1, 1, &[(INTEGER, 1)]),
        K::IntegerShifted => Row::new(2, 1, &[(MULTIPLY, 1)]),
        K::Multiply => Row::new(3, 1, &[(MULTIPLY, 1)]).accumulate(1),
        K::MultiplyHigh => Row::new(6, 1, &[(MULTIPLY, 1)]),
        K::Branch => Row::new(1, 1, &[(BRANCH, 1)]),
        K::Load | K::Prefetch => Row::new(4, 1, &[(LOAD, 1)]),
        K::LoadPair => Row::new(4, 2, &[(LOAD, 1)]),
        K::LoadVector | K::LoadVectorLong => Row::new(5, 1, &[(LOAD, 1)]),
        K::LoadVectorPair => Row::new(5, 2, &[(LOAD, 1)]),
        K::LoadVectorLongPair => Row::new(6, 3, &[(LOAD, 1), (LOAD, 1)]),
        K::LoadSplat | K::LoadLane => Row::new(8, 2, &[(LOAD, 1), (EITHER, 1)]),
        K::Store | K::StoreVector | K::StoreLane => Row::new(1, 1, &[(STORE, 1)]),
        K::StorePair | K::StoreVectorPair => Row::new(2, 2, &[(STORE, 2)]),
        K::StoreVectorLong => Row::new(2, 3, &[(STORE, 2), (INTEGER, 1)]),
        K::StoreVectorLongPair => Row::new(4, 5, &[(STORE, 4), (INTEGER, 1)]),
        K::Logic | K::Add | K::AddLong | K::AddSaturating | K::AddPairs => Row::new(3, 1, &[(EITHER, 1)]),
        K::Shift | K::ShiftLong | K::ShiftNarrow | K::Permute => Row::new(3, 1, &[(EITHER, 1)]),
        K::AddPairsAccumulate | K::ShiftAccumulate => Row::new(4, 1, &[(X, 1)]).accumulate(1),
        K::Across => Row::new(7, 2, &[(W, 1), (X, 1)]),
        K::ShiftRound | K::Narrow => Row::new(4, 1, &[(X, 1)]),
        K::ShiftByLanes => Row::new(4, 2, &[(X, 2)]),
        K::ShiftRoundByLanes => Row::new(5, 2, &[(X, 2)]),
        K::Product | K::ProductHigh => Row::new(6, 2, &[(W, 2)]),
        K::ProductAccumulate => Row::new(6, 2, &[(W, 2)]).accumulate(2),
        K::ProductLong => Row::new(5, 1, &[(W, 1)]),
        K::ProductLongAccumulate => Row::new(5, 1, &[(W, 1)]).accumulate(1),
        // It has none; LLVM's row for instructions that it does not know.
        K::Dot | K::MatrixDot => Row::new(3, 1, &[(EITHER, 1)]),
        K::Zip | K::Table => Row::new(6, 3, &[(EITHER, 1), (EITHER, 1), (EITHER, 1)]),
        K::FromGeneral => Row::new(8, 2, &[(LOAD, 1), (EITHER, 1)]),
        K::ToGeneral => Row::new(6, 2, &[(LOAD, 1), (INTEGER, 1)]),
        K::FloatAdd | K::FloatMultiply | K::FloatCompare | K::FloatConvert => Row::new(5, 2, &[(W, 1), (X, 1)]),
        K::FloatMultiplyAdd => Row::new(10, 1, &[(W, 1), (X, 1)]).accumulate(4),
        K::FloatLength => Row::new(8, 3, &[(EITHER, 1), (EITHER, 1), (EITHER, 1)]),
        K::FloatDivide | K::FloatRoot => Row::new(34, 2, &[(W, 34)]),
    }
}
