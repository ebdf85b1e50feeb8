//! The operators whose inner loops are looked at: one per schedule that takes time in networks.
//!
//! Not what their loops cost (`tests/ports.rs`, `tests/arm_cycles.rs`).

use crate::operator::{self as op, Element, Window};
use cranelite_graph::graph::Graph;

/// What multiplies, where something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    Integers,
    Floats,
    None,
}

use Element::{F32, I8, I16};
use Products::{Floats, Integers};

pub struct Case {
    pub name: &'static str,
    pub products: Products,
    pub graph: Graph,
}

pub fn cases() -> Vec<Case> {
    let square = |height, size, stride| Window { height, width: height, size, stride };
    let row = |pixels| Window { height: 1, width: pixels, size: 1, stride: 1 };
    let case = |name, products, graph| Case { name, products, graph };
    vec![
        case("int8 1x1, 32 channels, relu", Integers, op::convolution_with(I8, row(168), 32, 64, "relu")),
        case("int8 1x1, 32 channels", Integers, op::convolution(I8, row(168), 32, 64)),
        case("int8 1x1, 128 channels, relu", Integers, op::convolution_with(I8, row(168), 128, 64, "relu")),
        case("int8 1x1, 128 channels", Integers, op::convolution(I8, row(168), 128, 64)),
        case("int8 1x1, few pixels", Integers, op::convolution_with(I8, row(28), 512, 64, "relu")),
        case("int8 3x3, 32 channels, relu", Integers, op::convolution_with(I8, square(30, 3, 1), 32, 64, "relu")),
        case("int8 3x3, 3 channels, relu", Integers, op::convolution_with(I8, square(112, 3, 2), 3, 32, "relu")),
        case("f32 1x1, 32 channels, relu", Floats, op::convolution_with(F32, row(168), 32, 64, "relu")),
        case("f32 1x1, 128 channels, relu", Floats, op::convolution_with(F32, row(168), 128, 64, "relu")),
        case("f32 3x3, 32 channels, relu", Floats, op::convolution_with(F32, square(30, 3, 1), 32, 64, "relu")),
        case("f32 3x3, 3 channels, relu", Floats, op::convolution_with(F32, square(112, 3, 2), 3, 32, "relu")),
        case("int16 1x1, 32 channels", Integers, op::convolution(I16, row(168), 32, 64)),
        case("int16 1x1, 128 channels", Integers, op::convolution(I16, row(168), 128, 64)),
        case("int16 3x3, 32 channels", Integers, op::convolution(I16, square(30, 3, 1), 32, 64)),
        case("int8 depthwise 3x3", Integers, op::depthwise(I8, square(28, 3, 1), 128)),
        case("int8 depthwise 3x3, stride 2", Integers, op::depthwise(I8, square(28, 3, 2), 128)),
        case("f32 depthwise 3x3", Floats, op::depthwise(F32, square(28, 3, 1), 128)),
        case("f32 depthwise 3x3, stride 2", Floats, op::depthwise(F32, square(28, 3, 2), 128)),
        case("int8 fully connected", Integers, op::fully_connected(I8, 1, 256, 512)),
        case("f32 fully connected", Floats, op::fully_connected(F32, 1, 256, 512)),
        case("hybrid fully connected", Integers, op::hybrid(1, 256, 512)),
        case("hybrid fully connected, 56 rows", Integers, op::hybrid(56, 256, 512)),
        case("int8 add", Products::None, op::binary(I8, "add", &[1, 28, 28, 64])),
        case("f32 add", Products::None, op::binary(F32, "add", &[1, 28, 28, 64])),
        case("int8 average pool 2x2", Products::None, op::pool(I8, "average_pool_2d", square(28, 2, 2), 128)),
        case("int8 max pool 3x3, stride 2", Products::None, op::pool(I8, "max_pool_2d", square(29, 3, 2), 128)),
    ]
}
