//! Sound as the input of a model.

use super::chain::Chain;
use super::spec::{Audio, Input};
use super::wrong;
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::tensor::TensorType;

/// In words.
pub fn described(audio: &Audio) -> String {
    format!("{} samples at {} Hz", audio.samples, audio.rate)
}

/// The inputs of the graph that the sensor is: suffixes of their names, and types.
pub fn inputs(audio: &Audio) -> Result<Vec<(&'static str, TensorType)>, Diagnostic> {
    Ok(vec![("", TensorType::new(audio.format.element(), [audio.samples * audio.channels]))])
}

/// An input of the model, of exactly the type `to`.
pub fn make(_chain: &mut Chain, _audio: &Audio, _samples: ValueId, _input: &Input, _to: &TensorType) -> Result<ValueId, Diagnostic> {
    Err(wrong("from", "sound is not supported yet"))
}
