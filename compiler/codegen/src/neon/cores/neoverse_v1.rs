//! Neoverse V1: four vector pipes.
//!
//! Products of integers and conversions on the even ones, shifts on the odd ones, everything else on any.

use super::super::kind::Kind;
use super::{Pipes, Row};

pub const PIPES: u8 = 15;
const BRANCH: Pipes = 0b11;
const M0: Pipes = 1 << 2;
const MULTIPLY: Pipes = 0b11 << 2;
const INTEGER: Pipes = 0b1111 << 2;
/// The third takes no stores.
const LOAD: Pipes = 0b111 << 6;
const ADDRESS: Pipes = 0b11 << 6;
const DATA: Pipes = 0b11 << 9;
const ANY: Pipes = 0b1111 << 11;
const LOW: Pipes = 0b0011 << 11;
const EVEN: Pipes = 0b0101 << 11;
const ODD: Pipes = 0b1010 << 11;

pub fn row(kind: Kind) -> Row {
    use Kind as K;
    match kind {
        K::Integer | K::IntegerShifted => Row::new(1, 1, &[(INTEGER, 1)]),
        K::Multiply => Row::new(2, 1, &[(MULTIPLY, 1)]),
        K::MultiplyHigh => Row::new(3, 1, &[(MULTIPLY, 1)]),
        K::Branch => Row::new(1, 1, &[(BRANCH, 1)]),
        K::Load | K::Prefetch => Row::new(4, 1, &[(LOAD, 1)]),
        K::LoadPair => Row::new(4, 2, &[(LOAD, 1), (LOAD, 1)]),
        K::LoadVector | K::LoadVectorLong | K::LoadVectorPair => Row::new(6, 1, &[(LOAD, 1)]),
        K::LoadVectorLongPair => Row::new(6, 2, &[(LOAD, 1), (LOAD, 1)]),
        K::LoadSplat | K::LoadLane => Row::new(8, 2, &[(LOAD, 1), (ANY, 1)]),
        K::Store | K::StorePair => Row::new(1, 2, &[(ADDRESS, 1), (DATA, 1)]),
        K::StoreVector | K::StoreVectorLong | K::StoreVectorPair | K::StoreVectorLongPair => Row::new(2, 2, &[(ADDRESS, 1), (LOW, 1)]),
        K::StoreLane => Row::new(4, 2, &[(ADDRESS, 1), (LOW, 1)]),
        K::Logic | K::Add | K::AddLong | K::AddSaturating | K::AddPairs | K::Dot => Row::new(2, 1, &[(ANY, 1)]),
        K::Permute | K::Zip | K::FloatAdd | K::FloatCompare => Row::new(2, 1, &[(ANY, 1)]),
        K::MatrixDot | K::FloatMultiply => Row::new(3, 1, &[(ANY, 1)]),
        K::Table => Row::new(2, 2, &[(LOW, 1), (LOW, 1)]),
        K::Shift | K::ShiftLong | K::ShiftNarrow | K::ShiftByLanes | K::Across => Row::new(2, 1, &[(ODD, 1)]),
        K::AddPairsAccumulate | K::ShiftAccumulate | K::ShiftRound | K::ShiftRoundByLanes | K::Narrow => Row::new(4, 1, &[(ODD, 1)]),
        K::ProductLong => Row::new(3, 1, &[(EVEN, 1)]),
        K::Product | K::ProductAccumulate | K::ProductHigh | K::ProductLongAccumulate => Row::new(4, 1, &[(EVEN, 1)]),
        K::FromGeneral => Row::new(3, 1, &[(M0, 1)]),
        K::ToGeneral => Row::new(2, 1, &[(ANY, 1)]),
        K::FloatMultiplyAdd => Row::new(4, 1, &[(ANY, 1)]),
        K::FloatConvert | K::FloatLength => Row::new(4, 2, &[(EVEN, 1), (EVEN, 1)]),
        K::FloatDivide | K::FloatRoot => Row::new(10, 1, &[(EVEN, 7)]),
    }
}
