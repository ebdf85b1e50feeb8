//! The cases: operators of the sizes that networks have, and small ones of odd sizes for every kind.

use cranelite_graph::graph::Graph;
use cranelite_tests::operator::{self as op, Element, Window};

/// Made when it is wanted, because the large ones have megabytes of weights.
pub struct Case {
    pub name: String,
    /// Checked in every test.
    pub small: bool,
    pub graph: Box<dyn Fn() -> Graph>,
}

use Element::{F32, I8, I16, U8};

/// Output rows, input channels, filters, window, stride: of ResNet-50, MobileNets and the MLPerf Tiny models.
const CONVOLUTIONS: &[[usize; 5]] = &[
    [56, 64, 256, 1, 1],
    [56, 256, 64, 1, 1],
    [28, 512, 128, 1, 1],
    [28, 128, 512, 1, 1],
    [14, 1024, 256, 1, 1],
    [14, 512, 512, 1, 1],
    [7, 2048, 512, 1, 1],
    [7, 512, 2048, 1, 1],
    [112, 32, 64, 1, 1],
    [28, 256, 512, 1, 2],
    [56, 64, 64, 3, 1],
    [28, 128, 128, 3, 1],
    [14, 256, 256, 3, 1],
    [7, 512, 512, 3, 1],
    [28, 128, 128, 3, 2],
    [112, 3, 64, 7, 2],
    [112, 3, 32, 3, 2],
    [32, 16, 32, 3, 1],
    [8, 64, 64, 3, 1],
    [48, 16, 32, 1, 1],
    [12, 64, 64, 1, 1],
    [128, 64, 3, 7, 1],
    [80, 32, 2, 1, 1],
    [20, 256, 4, 1, 1],
    [64, 64, 1, 3, 1],
];

/// Output rows, channels, window, stride.
const DEPTHWISE: &[[usize; 4]] = &[
    [112, 32, 3, 1],
    [56, 128, 3, 1],
    [28, 256, 3, 1],
    [14, 512, 3, 1],
    [7, 1024, 3, 1],
    [48, 8, 3, 1],
    [48, 16, 3, 1],
    [28, 144, 3, 1],
    [56, 64, 3, 2],
    [14, 512, 3, 2],
    [28, 120, 5, 1],
];

/// Batch, depth, units.
const PRODUCTS: &[[usize; 3]] = &[[1, 2048, 1000], [1, 1024, 1000], [1, 640, 128], [16, 256, 256]];

pub fn all() -> Vec<Case> {
    let mut cases = small();
    for &e in &[F32, I8, U8, I16] {
        for &[out, channels, filters, size, stride] in CONVOLUTIONS {
            let name = format!("conv/{out}x{out}/{channels}-{filters}/{size}x{size}s{stride}");
            let w = square(out * stride, size, stride);
            add(&mut cases, e, name, false, move || op::convolution(e, w, channels, filters));
        }
        for &[out, channels, size, stride] in DEPTHWISE {
            let name = format!("depthwise/{out}x{out}/{channels}/{size}x{size}s{stride}");
            let w = square(out * stride, size, stride);
            add(&mut cases, e, name, false, move || op::depthwise(e, w, channels));
        }
        for &[batch, depth, units] in PRODUCTS {
            add(&mut cases, e, format!("fully_connected/{batch}/{depth}-{units}"), false, move || {
                op::fully_connected(e, batch, depth, units)
            });
        }
        let shape = [1, 56, 56, 64];
        for operation in ["add", "sub", "mul"] {
            add(&mut cases, e, format!("{operation}/56x56x64"), false, move || op::binary(e, operation, &shape));
        }
        for operation in ["relu", "relu6", "logistic"] {
            add(&mut cases, e, format!("{operation}/56x56x64"), false, move || op::unary(e, operation, "", &shape));
        }
        for shape in [[1, 1000], [256, 32]] {
            add(&mut cases, e, format!("softmax/{}x{}", shape[0], shape[1]), false, move || op::unary(e, "softmax", "beta=1.0", &shape));
        }
        for (operation, w, channels) in
            [("average_pool_2d", square(56, 2, 2), 64), ("max_pool_2d", square(112, 3, 2), 64), ("average_pool_2d", square(7, 7, 7), 1024)]
        {
            let name = format!("{operation}/{}x{}x{channels}/{}x{}s{}", w.height, w.width, w.size, w.size, w.stride);
            add(&mut cases, e, name, false, move || op::pool(e, operation, w, channels));
        }
        add(&mut cases, e, "mean/7x7x1024".into(), false, move || op::mean(e, 7, 7, 1024));
        add(&mut cases, e, "pad/56x56x64".into(), false, move || op::pad(e, 56, 56, 64));
        add(&mut cases, e, "concatenation/28x28x64+64".into(), false, move || op::concatenation(e, 28, 28, [64, 64]));
        if e != F32 {
            add(&mut cases, e, "quantize/56x56x64".into(), false, move || op::quantize(e, &shape));
            add(&mut cases, e, "dequantize/56x56x64".into(), false, move || op::dequantize(e, &shape));
        }
    }
    cases
}

/// Sizes that no vector divides, and some that all do.
fn small() -> Vec<Case> {
    let mut cases = vec![];
    for &e in &[F32, I8, U8, I16] {
        for (w, channels, filters) in [
            (Window { height: 5, width: 9, size: 3, stride: 1 }, 3, 5),
            (Window { height: 7, width: 6, size: 3, stride: 2 }, 16, 64),
            (Window { height: 6, width: 11, size: 1, stride: 1 }, 21, 37),
            (Window { height: 1, width: 30, size: 1, stride: 1 }, 64, 96),
            (Window { height: 6, width: 13, size: 5, stride: 1 }, 24, 3),
            (Window { height: 4, width: 9, size: 3, stride: 2 }, 70, 1),
            (Window { height: 1, width: 37, size: 1, stride: 1 }, 200, 2),
        ] {
            let name = format!("small/conv/{}x{}/{channels}-{filters}/{1}x{1}s{2}", w.height, w.size, w.stride);
            add(&mut cases, e, name, true, move || op::convolution(e, w, channels, filters));
        }
        for (w, channels) in [
            (Window { height: 6, width: 7, size: 3, stride: 1 }, 8),
            (Window { height: 7, width: 9, size: 3, stride: 2 }, 70),
            (Window { height: 6, width: 6, size: 5, stride: 1 }, 16),
        ] {
            let name = format!("small/depthwise/{}x{}x{channels}/{2}x{2}s{3}", w.height, w.width, w.size, w.stride);
            add(&mut cases, e, name, true, move || op::depthwise(e, w, channels));
        }
        for [batch, depth, units] in [[1, 35, 19], [1, 256, 64], [5, 40, 66], [1, 301, 1], [9, 160, 2]] {
            let name = format!("small/fully_connected/{batch}/{depth}-{units}");
            add(&mut cases, e, name, true, move || op::fully_connected(e, batch, depth, units));
        }
        let shape = [3, 101];
        for operation in ["add", "sub", "mul"] {
            add(&mut cases, e, format!("small/{operation}"), true, move || op::binary(e, operation, &shape));
        }
        for operation in ["relu", "relu6", "logistic"] {
            add(&mut cases, e, format!("small/{operation}"), true, move || op::unary(e, operation, "", &shape));
        }
        add(&mut cases, e, "small/softmax".into(), true, move || op::unary(e, "softmax", "beta=1.0", &shape));
        for operation in ["average_pool_2d", "max_pool_2d"] {
            let w = Window { height: 7, width: 8, size: 3, stride: 2 };
            add(&mut cases, e, format!("small/{operation}"), true, move || op::pool(e, operation, w, 21));
        }
        add(&mut cases, e, "small/mean".into(), true, move || op::mean(e, 3, 5, 35));
        add(&mut cases, e, "small/pad".into(), true, move || op::pad(e, 3, 5, 7));
        add(&mut cases, e, "small/concatenation".into(), true, move || op::concatenation(e, 3, 5, [7, 35]));
        if e != F32 {
            add(&mut cases, e, "small/quantize".into(), true, move || op::quantize(e, &shape));
            add(&mut cases, e, "small/dequantize".into(), true, move || op::dequantize(e, &shape));
        }
    }
    cases
}

fn square(height: usize, size: usize, stride: usize) -> Window {
    Window { height, width: height, size, stride }
}

fn add(cases: &mut Vec<Case>, element: Element, name: String, small: bool, graph: impl Fn() -> Graph + 'static) {
    cases.push(Case { name: format!("{name}/{}", element.name()), small, graph: Box::new(graph) });
}
