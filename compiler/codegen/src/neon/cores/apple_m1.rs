//! Apple M1's performance core: eight micro-operations per cycle, four vector pipes that all do everything but divide.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 16;
const INTEGER: Pipes = 0b11_1111;
const MULTIPLY: Pipes = 0b11 << 4;
const BRANCH: Pipes = 0b11 << 6;
const LOAD: Pipes = 0b111 << 8;
const STORE: Pipes = 0b11 << 10;
const ANY: Pipes = 0b1111 << 12;
const DIVIDE: Pipes = 1 << 12;

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    match kind {
        K::Integer => Row::new(1, 1, &[(INTEGER, 1)]),
        K::IntegerShifted => Row::new(2, 1, &[(INTEGER, 1)]),
        K::Multiply | K::MultiplyHigh => Row::new(3, 1, &[(MULTIPLY, 1)]),
        K::Branch => Row::new(1, 1, &[(BRANCH, 1)]),
        K::Load | K::LoadPair | K::Prefetch => Row::new(4, 1, &[(LOAD, 1)]),
        K::LoadVector | K::LoadVectorLong | K::LoadVectorPair => Row::new(5, 1, &[(LOAD, 1)]),
        K::LoadVectorLongPair => Row::new(5, 1, &[(LOAD, 1), (LOAD, 1)]),
        K::LoadSplat | K::LoadLane => Row::new(7, 2, &[(LOAD, 1), (ANY, 1)]),
        K::Store | K::StorePair | K::StoreVector | K::StoreVectorLong | K::StoreVectorPair => Row::new(1, 1, &[(STORE, 1)]),
        K::StoreVectorLongPair | K::StoreLane => Row::new(1, 2, &[(STORE, 1), (STORE, 1)]),
        K::Logic | K::Add | K::AddLong | K::AddPairs | K::Shift | K::ShiftLong | K::ShiftByLanes => Row::new(2, 1, &[(ANY, 1)]),
        K::Permute | K::Zip | K::Table | K::FloatCompare => Row::new(2, 1, &[(ANY, 1)]),
        K::AddSaturating | K::AddPairsAccumulate | K::Across | K::ShiftNarrow | K::ShiftAccumulate => Row::new(3, 1, &[(ANY, 1)]),
        K::ShiftRound | K::ShiftRoundByLanes | K::Narrow => Row::new(3, 1, &[(ANY, 1)]),
        K::Product | K::ProductAccumulate | K::ProductLong | K::ProductLongAccumulate | K::ProductHigh => Row::new(3, 1, &[(ANY, 1)]),
        K::Dot | K::MatrixDot | K::FloatAdd | K::FloatConvert | K::FloatLength => Row::new(3, 1, &[(ANY, 1)]),
        K::FromGeneral => Row::new(8, 2, &[(LOAD, 1), (ANY, 1)]),
        K::ToGeneral => Row::new(8, 2, &[(STORE, 1), (ANY, 1)]),
        K::FloatMultiply | K::FloatMultiplyAdd => Row::new(4, 1, &[(ANY, 1)]),
        K::FloatDivide => Row::new(10, 1, &[(DIVIDE, 1)]),
        K::FloatRoot => Row::new(13, 1, &[(DIVIDE, 2)]),
    }
}
