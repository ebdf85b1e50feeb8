//! Elementwise operators, SOFTMAX and copies, lowered for several machines and interpreted, against scalar functions of `quantize`.

mod binary;
mod conversions;
mod copies;
mod normalize;
mod pointwise;
mod softmax;
#[allow(dead_code)]
#[path = "../windows/support.rs"]
mod support;
mod unary;

use cranelite_graph::diagnostic::Code;
use cranelite_graph::ops::{Op, Operand, Signature};
use cranelite_graph::quantize::element_range;
use cranelite_graph::tensor::{ElementType, TensorType};
use support::{Input, integers, machines, run};

/// Runs on all machines, which must agree, and gives the integers of the result.
fn run_integers(op: &Op, inputs: &[(TensorType, Vec<u8>)], output: &TensorType) -> (Vec<usize>, Vec<i64>) {
    let mut all = machines().into_iter().map(|m| {
        let inputs: Vec<Input> = inputs.iter().map(|(ty, data)| Input::new(ty.clone(), data.clone())).collect();
        let (shape, bytes) = run(op.clone(), &inputs, output, &m).unwrap_or_else(|d| panic!("{op:?}: {d}"));
        (m.name, shape, integers(output, &bytes))
    });
    let (first, shape, expected) = all.next().expect("a machine");
    all.for_each(|(name, _, got)| assert_eq!(got, expected, "{op:?} on {name} and {first}"));
    (shape, expected)
}

/// Every integer of an 8-bit type, by byte.
fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

fn zero_points(element: ElementType) -> Vec<i32> {
    let (low, high) = element_range(element).expect("an integer");
    vec![low, low.max(-3), 0, 17, high]
}

/// The code that `infer` refuses with; `None` if it accepts.
fn refusal(op: &Op, inputs: &[TensorType], output: &TensorType) -> Option<Code> {
    let inputs = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
    op.infer(&Signature { inputs, outputs: vec![output] }).err().map(|d| d.code)
}
