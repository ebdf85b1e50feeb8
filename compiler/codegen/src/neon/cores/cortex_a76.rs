//! Cortex-A76, which is the core of Neoverse N1; Cortex-A78 and X1 come near to it.
//!
//! Two vector pipes: products of integers and conversions on the first, shifts on the second, everything else on either. The width is that of dispatch in
//! LLVM's model; the decoder's four instructions per cycle are not in it.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 10;
const BRANCH: Pipes = 1;
const MULTIPLY: Pipes = 1 << 3;
const INTEGER: Pipes = 0b110 | MULTIPLY;
const LOAD: Pipes = 0b11 << 4;
const DATA: Pipes = 0b11 << 6;
const V0: Pipes = 1 << 8;
const V1: Pipes = 1 << 9;
const EITHER: Pipes = V0 | V1;

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    match kind {
        K::Integer | K::IntegerShifted => Row::new(1, 1, &[(INTEGER, 1)]),
        K::Multiply => Row::new(2, 1, &[(MULTIPLY, 1)]),
        K::MultiplyHigh => Row::new(5, 1, &[(MULTIPLY, 3)]),
        K::Branch => Row::new(1, 1, &[(BRANCH, 1)]),
        K::Load | K::Prefetch => Row::new(4, 1, &[(LOAD, 1)]),
        K::LoadPair => Row::new(4, 2, &[(LOAD, 1), (LOAD, 1)]),
        K::LoadVector | K::LoadVectorLong => Row::new(5, 2, &[(LOAD, 1), (INTEGER, 1)]),
        K::LoadVectorPair => Row::new(5, 3, &[(LOAD, 1), (LOAD, 1), (INTEGER, 1)]),
        K::LoadVectorLongPair => Row::new(7, 3, &[(LOAD, 1), (LOAD, 1), (INTEGER, 1)]),
        K::LoadSplat | K::LoadLane => Row::new(7, 2, &[(LOAD, 1), (EITHER, 1)]),
        K::Store => Row::new(1, 2, &[(LOAD, 1), (DATA, 1)]),
        K::StorePair => Row::new(1, 3, &[(LOAD, 1), (LOAD, 1), (DATA, 1)]),
        K::StoreVector | K::StoreLane => Row::new(2, 2, &[(LOAD, 1), (EITHER, 1)]),
        K::StoreVectorLong | K::StoreVectorPair => Row::new(2, 4, &[(LOAD, 1), (LOAD, 1), (EITHER, 1), (EITHER, 1)]),
        K::StoreVectorLongPair => Row::new(3, 6, &[(LOAD, 2), (LOAD, 2), (EITHER, 1), (EITHER, 1)]),
        K::Logic | K::Add | K::AddLong | K::AddSaturating | K::AddPairs | K::Dot | K::MatrixDot => Row::new(2, 1, &[(EITHER, 1)]),
        K::Permute | K::Zip | K::Table | K::FloatAdd | K::FloatCompare => Row::new(2, 1, &[(EITHER, 1)]),
        K::Shift | K::ShiftLong | K::ShiftNarrow | K::ShiftByLanes | K::ToGeneral => Row::new(2, 1, &[(V1, 1)]),
        K::Across => Row::new(3, 1, &[(V1, 1)]),
        K::AddPairsAccumulate | K::ShiftAccumulate | K::ShiftRound | K::ShiftRoundByLanes | K::Narrow => Row::new(4, 1, &[(V1, 1)]),
        K::Product | K::ProductAccumulate | K::ProductHigh => Row::new(5, 2, &[(V0, 2)]),
        K::ProductLong | K::ProductLongAccumulate => Row::new(4, 1, &[(V0, 1)]),
        K::FromGeneral => Row::new(3, 1, &[(MULTIPLY, 1)]),
        K::FloatMultiply => Row::new(3, 1, &[(EITHER, 1)]),
        K::FloatMultiplyAdd => Row::new(4, 1, &[(EITHER, 1)]),
        K::FloatConvert | K::FloatLength => Row::new(4, 2, &[(V0, 2)]),
        K::FloatDivide | K::FloatRoot => Row::new(10, 1, &[(V0, 7)]),
    }
}
