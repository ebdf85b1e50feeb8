//! What must be refused, and with which code.

use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, Operand, Signature, conv_2d, fully_connected};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use std::sync::Arc;

use ElementType::*;

fn convolution() -> Op {
    Op::Conv2d(conv_2d::Attributes { stride: [1, 1], dilation: [1, 1], padding: Padding::default(), activation: Activation::None })
}
fn fully_connected(keep_num_dims: bool) -> Op {
    let activation = Activation::None;
    Op::FullyConnected(fully_connected::Attributes { activation, keep_num_dims, asymmetric_quantize_inputs: false })
}

fn float(shape: &[usize]) -> TensorType {
    TensorType::new(F32, shape)
}
fn quantized(element: ElementType, shape: &[usize]) -> TensorType {
    TensorType::quantized(element, shape, 0.1, 0)
}
fn per_channel(element: ElementType, shape: &[usize], axis: usize, zero_point: i64) -> TensorType {
    let n = shape[axis];
    let q = Quantization { scales: vec![0.1; n], zero_points: vec![zero_point; n], axis };
    TensorType { element, shape: shape.to_vec(), quantization: Some(Arc::new(q)) }
}

fn infer(op: &Op, inputs: &[&TensorType], output: &TensorType) -> Result<Vec<Vec<usize>>, Code> {
    let inputs = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
    op.infer(&Signature { inputs, outputs: vec![output] }).map_err(|d| d.code)
}

#[test]
fn convolutions() {
    let op = convolution();
    let (x, w, b) = (float(&[1, 8, 8, 6]), float(&[4, 3, 3, 6]), float(&[4]));
    assert_eq!(infer(&op, &[&x, &w, &b], &float(&[])), Ok(vec![vec![1, 6, 6, 4]]));
    assert_eq!(infer(&op, &[&float(&[0, 8, 8, 6]), &w, &b], &float(&[])), Ok(vec![vec![0, 6, 6, 4]]));
    for (x, w, b, code) in [
        (float(&[8, 8, 6]), w.clone(), b.clone(), Code::OPERAND),
        (x.clone(), float(&[4, 3, 6]), b.clone(), Code::OPERAND),
        (x.clone(), float(&[4, 0, 3, 6]), b.clone(), Code::OPERAND),
        (float(&[1, 8, 8, 0]), float(&[4, 3, 3, 0]), b.clone(), Code::OPERAND),
        (x.clone(), float(&[4, 3, 3, 5]), b.clone(), Code::OPERAND),
        // Three groups, four output channels.
        (x.clone(), float(&[4, 3, 3, 2]), b.clone(), Code::OPERAND),
        (x.clone(), float(&[4, 9, 3, 6]), b.clone(), Code::OPERAND),
        (x.clone(), w.clone(), float(&[5]), Code::OPERAND),
        (x.clone(), w.clone(), quantized(I32, &[4]), Code::TYPES),
        (x.clone(), quantized(U8, &[4, 3, 3, 6]), b.clone(), Code::TYPES),
        (x.clone(), quantized(I2, &[4, 3, 3, 6]), b.clone(), Code::TYPES),
        (TensorType::new(F16, [1, 8, 8, 6]), w.clone(), b.clone(), Code::TYPES),
    ] {
        assert_eq!(infer(&op, &[&x, &w, &b], &float(&[])), Err(code), "{x:?} {w:?} {b:?}");
    }

    let (x, b, y) = (quantized(I8, &[1, 8, 8, 6]), quantized(I32, &[4]), quantized(I8, &[]));
    let shape = [4, 3, 3, 6];
    assert!(infer(&op, &[&x, &per_channel(I8, &shape, 0, 0), &b], &y).is_ok());
    for w in [per_channel(I8, &shape, 3, 0), per_channel(I8, &shape, 0, 1), TensorType::new(I8, shape)] {
        assert_eq!(infer(&op, &[&x, &w, &b], &y), Err(Code::SCALE), "{w:?}");
    }
    let w = quantized(I8, &shape);
    assert_eq!(infer(&op, &[&x, &w, &b], &quantized(U8, &[])), Err(Code::TYPES));
    assert_eq!(infer(&op, &[&x, &w, &TensorType::new(I64, [4])], &y), Err(Code::TYPES));
    let x = TensorType::quantized(I16, [1, 8, 8, 6], 0.1, 1);
    assert_eq!(infer(&op, &[&x, &w, &TensorType::new(I64, [4])], &quantized(I16, &[])), Err(Code::SCALE));
}

/// Sums of bytes that may not fit 32 bits, by weights that are as large as can be.
#[test]
fn sums_beyond_32_bits() {
    use cranelite_graph::graph::{Graph, Node, Value, ValueId};
    use cranelite_graph::lower::{Goal, lower};
    use cranelite_tile::{ByteDot, Machine};
    for (depth, code) in [((1 << 17) - 1, None), (1 << 17, Some(Code::FEATURE))] {
        let mut graph = Graph { name: "sums".into(), ..Graph::default() };
        let mut value = |ty, data| graph.add_value(Value { name: "".into(), ty, data });
        let x = value(TensorType::quantized(I8, [1, depth], 0.1, 0), None);
        let w = value(TensorType::quantized(I8, [1, depth], 0.1, 0), Some(vec![0x80; depth].into()));
        let y = value(TensorType::quantized(I8, [1, 1], 100.0, 0), None);
        let inputs = vec![Some(x), Some(w), None::<ValueId>];
        graph.nodes.push(Node { op: fully_connected(false), inputs, outputs: vec![y], operator: 0, then: vec![] });
        (graph.inputs, graph.outputs) = (vec![x], vec![y]);
        let got = lower(&graph, &Machine::example(16, ByteDot::U8S8, false, false), Goal::Speed);
        assert_eq!(got.err().map(|d| d[0].code), code, "{depth}");
    }
}

#[test]
fn fully_connected_products() {
    let op = fully_connected(false);
    let (x, w, b) = (float(&[2, 6]), float(&[4, 6]), float(&[4]));
    assert_eq!(infer(&op, &[&x, &w, &b], &float(&[])), Ok(vec![vec![2, 4]]));
    assert_eq!(infer(&op, &[&x, &w], &float(&[])), Ok(vec![vec![2, 4]]));
    assert_eq!(infer(&op, &[&float(&[2, 3, 4]), &w, &b], &float(&[])), Ok(vec![vec![4, 4]]));
    assert_eq!(infer(&fully_connected(true), &[&float(&[2, 3, 6]), &w, &b], &float(&[])), Ok(vec![vec![2, 3, 4]]));
    // No depth: the reference writes zeros.
    assert_eq!(infer(&op, &[&float(&[2, 3, 0]), &float(&[4, 0]), &b], &float(&[])), Ok(vec![vec![6, 4]]));
    for (op, x, w, b, code) in [
        (&op, float(&[2, 5]), w.clone(), b.clone(), Code::OPERAND),
        (&fully_connected(true), float(&[2, 12]), w.clone(), b.clone(), Code::OPERAND),
        (&fully_connected(true), float(&[]), float(&[4, 1]), b.clone(), Code::OPERAND),
        (&op, x.clone(), float(&[4, 2, 3]), b.clone(), Code::OPERAND),
        (&op, x.clone(), float(&[4, 0]), b.clone(), Code::OPERAND),
        (&op, x.clone(), w.clone(), float(&[3]), Code::OPERAND),
        (&op, x.clone(), quantized(U8, &[4, 6]), b.clone(), Code::TYPES),
        (&op, x.clone(), per_channel(I8, &[4, 6], 1, 0), b.clone(), Code::SCALE),
    ] {
        assert_eq!(infer(op, &[&x, &w, &b], &float(&[])), Err(code), "{x:?} {w:?} {b:?}");
    }
    let x = quantized(I16, &[2, 6]);
    let w = TensorType::quantized(I8, [4, 6], 0.1, 3);
    assert_eq!(infer(&op, &[&x, &w], &quantized(I16, &[])), Err(Code::SCALE));
    assert_eq!(infer(&op, &[&quantized(I8, &[2, 6]), &w], &quantized(I16, &[])), Err(Code::TYPES));
}
