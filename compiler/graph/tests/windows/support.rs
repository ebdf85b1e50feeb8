//! One operator on its own: a graph around it, lowered and interpreted.

use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::{Op, Operand, Signature};
use cranelite_graph::tensor::TensorType;
use cranelite_tile::{ByteDot, Machine, MicroTile, interpret, verify};

/// Machines that differ in everything a lowering may ask.
pub fn machines() -> Vec<Machine> {
    vec![
        Machine::example(0, ByteDot::S16S16, false, false),
        Machine::example(0, ByteDot::Runs { group: 4, lanes: 1, unsigned: false }, false, false),
        Machine::example(0, ByteDot::Runs { group: 4, lanes: 1, unsigned: true }, false, false),
        Machine::example(0, ByteDot::Runs { group: 16, lanes: 4, unsigned: false }, false, false),
        Machine::example(16, ByteDot::S16S16, false, false),
        Machine::example(16, ByteDot::U8S8, true, false),
        Machine::example(16, ByteDot::S8S8, true, true),
        with_matrices(),
        Machine::example(16, ByteDot::S8S8Pairs, true, true),
        Machine::example(32, ByteDot::S16S16, true, false),
        // All weights come from beyond the cache.
        Machine { l2_bytes: 1, ..Machine::example(32, ByteDot::S16S16, true, false) },
        Machine::example(32, ByteDot::U8S8, true, false),
        Machine::example(64, ByteDot::U8S8, true, false),
    ]
}

/// One that multiplies matrices of bytes.
pub fn with_matrices() -> Machine {
    let tile = MicroTile { rows: 6, vectors: 4, unroll: 1 };
    Machine { tile_matrix: Some(tile), ..Machine::example(16, ByteDot::S8S8, true, true) }
}

/// An operand: run-time input without data, else a constant.
pub struct Input {
    pub ty: TensorType,
    pub data: Vec<u8>,
    pub constant: bool,
}

impl Input {
    pub fn new(ty: TensorType, data: Vec<u8>) -> Input {
        assert_eq!(ty.size_bytes(), data.len());
        Input { ty, data, constant: false }
    }
    pub fn constant(ty: TensorType, data: Vec<u8>) -> Input {
        Input { constant: true, ..Input::new(ty, data) }
    }
}

/// The shape that `infer` gives and the bytes that the lowered program computes. `output` says element type and quantisation.
pub fn run(op: Op, inputs: &[Input], output: &TensorType, machine: &Machine) -> Result<(Vec<usize>, Vec<u8>), Diagnostic> {
    let operands = inputs.iter().map(|i| Some(Operand { ty: &i.ty, data: i.constant.then_some(&i.data[..]) })).collect();
    let shape = op.infer(&Signature { inputs: operands, outputs: vec![output] })?.remove(0);
    let mut graph = Graph { name: "test".into(), ..Graph::default() };
    for i in inputs {
        let data = i.constant.then(|| i.data.clone().into());
        let id = graph.add_value(Value { name: "x".into(), ty: i.ty.clone(), data });
        if !i.constant {
            graph.inputs.push(id);
        }
    }
    let ty = TensorType { shape: shape.clone(), ..output.clone() };
    let mut result = vec![0xAA; ty.size_bytes()];
    let y = graph.add_value(Value { name: "y".into(), ty, data: None });
    graph.outputs.push(y);
    graph.nodes.push(Node {
        op,
        inputs: (0..inputs.len() as u32).map(|i| Some(ValueId(i))).collect(),
        outputs: vec![y],
        operator: 0,
        then: vec![],
    });
    let arguments: Vec<&[u8]> = inputs.iter().filter(|i| !i.constant).map(|i| &i.data[..]).collect();
    let mut of = |goal: Goal| -> Result<Vec<u8>, Diagnostic> {
        let program = lower(&graph, machine, goal).map_err(|mut d| d.remove(0))?;
        verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}"));
        interpret::run(&program, &arguments, &mut [&mut result]).unwrap_or_else(|e| panic!("{e}"));
        Ok(result.clone())
    };
    let (result, small) = (of(Goal::Speed)?, of(Goal::Size)?);
    match output.element.is_float() {
        false => assert_eq!(result, small, "{} for size", machine.name),
        true => {
            for (a, b) in f32s(&result).iter().zip(f32s(&small)) {
                assert!(
                    a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-5 + 1e-5 * a.abs(),
                    "{} for size: {b} instead of {a}",
                    machine.name
                );
            }
        }
    }
    Ok((shape, result))
}

/// Numbers without a pattern, the same at every run.
pub fn noise(seed: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    })
}

pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    noise(seed, count).map(|n| n as u8).collect()
}

/// Small multiples of 1/8: sums of few products are exact, so that the order of additions does not matter.
pub fn eighths(seed: u64, count: usize) -> Vec<f32> {
    noise(seed, count).map(|n| (n % 129) as f32 / 8.0 - 8.0).collect()
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
pub fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
}

/// Elements of a tensor of integers.
pub fn integers(ty: &TensorType, bytes: &[u8]) -> Vec<i64> {
    use cranelite_graph::tensor::ElementType::*;
    match ty.element {
        I8 => bytes.iter().map(|&b| i64::from(b as i8)).collect(),
        U8 | Bool => bytes.iter().map(|&b| i64::from(b)).collect(),
        I16 => bytes.chunks_exact(2).map(|b| i64::from(i16::from_le_bytes([b[0], b[1]]))).collect(),
        I32 => bytes.chunks_exact(4).map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        other => panic!("{other}"),
    }
}
