//! What the self-test of an object must find: hashes of outputs, computed by the interpreter of tile programs.
//!
//! Not the inputs and not the hash, which the object has too (`codegen::object::self_test`). The idea: the text of a program fixes every
//! rounding, so what is computed here holds for floats as well, level by level.

use crate::diagnostic::internal;
use crate::instance::check_memory;
use crate::pipeline::Planned;
use crate::signature::{Signature, Tensor};
use crate::stages::Stages;
use cranelite_codegen::object::self_test::{hash, input};
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::tensor::ElementType;
use cranelite_tile::interpret::{self, Fault};

const VECTORS: usize = 3;
/// The interpreter is slow: models with more multiply-accumulates get one vector.
const MACS_FOR_ALL_VECTORS: u64 = 300_000_000;

/// How many of the lowest bits integers of inputs keep: fewer and fewer, until what they pick is in range.
const LOWEST: [Option<u32>; 9] = [None, Some(7), Some(6), Some(5), Some(4), Some(3), Some(2), Some(1), Some(0)];

/// What is expected by level, vector and output, and how many bits the integers of inputs have for that.
pub struct Expected {
    pub hashes: Vec<Vec<Vec<u64>>>,
    pub lowest: Option<u32>,
}

pub fn expected(levels: &[&Planned], signature: &Signature, macs: u64, stages: &mut Stages) -> Result<Expected, Diagnostic> {
    for lowest in LOWEST {
        let all = levels.iter().map(|planned| of_level(planned, signature, macs, lowest, stages));
        if let Some(hashes) = all.collect::<Result<Option<_>, _>>()? {
            return Ok(Expected { hashes, lowest });
        }
    }
    Err(Diagnostic::new(Code::FEATURE, "the inputs of the self-test make indices that are out of range, or loops that do not end soon")
        .help("compile without --self-test"))
}

/// By vector and output; none if an index is out of range or a loop does not end soon.
fn of_level(
    planned: &Planned,
    signature: &Signature,
    macs: u64,
    lowest: Option<u32>,
    stages: &mut Stages,
) -> Result<Option<Vec<Vec<u64>>>, Diagnostic> {
    let inputs: Vec<_> = signature.inputs.iter().map(Tensor::described).collect();
    let vectors = if macs <= MACS_FOR_ALL_VECTORS { VECTORS } else { 1 };
    let sizes = signature.inputs.iter().chain(&signature.outputs).map(|t| t.ty.size_bytes());
    check_memory(sizes.fold(planned.plan.arena_size_bytes as usize, usize::saturating_add))?;
    let mut state = interpret::initial_state(&planned.program).map_err(|e| internal("the tile program fails", e))?;
    let calls = planned.program.calls().count();
    let mut one = |vector: usize| {
        let inputs: Vec<Vec<u8>> = (0..inputs.len()).map(|i| input(&inputs, vector, i, lowest)).collect();
        let mut outputs: Vec<Vec<u8>> = signature.outputs.iter().map(|t| vec![0; t.ty.size_bytes()]).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let done = interpret::run_with_state(&planned.program, &inputs, &mut slices, &mut state, |i, _| {
            stages.begin(format!("computing the self-test: {} of {}", vector * calls + i + 1, vectors * calls));
        });
        match done {
            Ok(()) => {}
            Err(e) if matches!(e.fault, Fault::OutOfRange | Fault::TooManyTurns) => return Ok(None),
            Err(e) => return Err(internal("the tile program fails", e)),
        }
        if let Some((t, _)) = signature.outputs.iter().zip(&outputs).find(|(t, bytes)| has_nan(t.ty.element, bytes)) {
            let message = format!(
                "output {} has a NaN for the inputs of the self-test, and the bits of a NaN depend on the machine",
                quoted(&t.name)
            );
            return Err(Diagnostic::new(Code::FEATURE, message).help("compile without --self-test"));
        }
        Ok(Some(outputs.iter().map(|bytes| hash(bytes)).collect()))
    };
    (0..vectors).map(&mut one).collect()
}

fn has_nan(element: ElementType, bytes: &[u8]) -> bool {
    use ElementType::*;
    // Sign, exponent and mantissa as an integer: beyond infinity is no number.
    let beyond = |size: usize, infinity: u64| {
        bytes.chunks_exact(size).any(|b| {
            let bits = b.iter().rev().fold(0, |bits, &b| bits << 8 | u64::from(b));
            infinity < bits & (u64::MAX >> (65 - 8 * size))
        })
    };
    match element {
        F32 | Complex64 => beyond(4, 0x7f80_0000),
        F64 | Complex128 => beyond(8, 0x7ff0_0000_0000_0000),
        F16 => beyond(2, 0x7c00),
        BF16 => beyond(2, 0x7f80),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_seen_and_nothing_else() {
        for x in [0.0, -1.0, f32::INFINITY, -f32::INFINITY, f32::MAX] {
            assert!(!has_nan(ElementType::F32, &[1.0, x].map(f32::to_le_bytes).concat()));
        }
        for x in [f32::NAN, -f32::NAN] {
            assert!(has_nan(ElementType::F32, &[1.0, x].map(f32::to_le_bytes).concat()));
        }
        assert!(has_nan(ElementType::F64, &f64::NAN.to_le_bytes()) && !has_nan(ElementType::F64, &f64::NEG_INFINITY.to_le_bytes()));
        assert!(has_nan(ElementType::F16, &[0x01, 0xfc]) && !has_nan(ElementType::F16, &[0x00, 0xfc]));
        assert!(!has_nan(ElementType::I8, &[0xff; 8]));
    }
}
