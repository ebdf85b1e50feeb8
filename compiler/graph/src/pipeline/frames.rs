//! Frames of a camera as the input of a model.

use super::chain::Chain;
use super::spec::{Frame, Input};
use super::{Made, wrong};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::tensor::TensorType;

/// In words.
pub fn described(frame: &Frame) -> String {
    format!("{:?} {} x {}", frame.format, frame.width, frame.height)
}

/// The inputs of the graph that the sensor is: suffixes of their names, and types: bytes u8 `[n]`, and i32 `[1]` where the stride is given.
pub fn inputs(_frame: &Frame) -> Result<Vec<(&'static str, TensorType)>, Diagnostic> {
    Err(wrong("format", "frames are not supported yet"))
}

/// An input of the model, of exactly the type `to`. `values`: the sensor's inputs; `part`: f32 `[4]`, left, top, right and bottom in pixels of the frame.
pub fn make(
    _chain: &mut Chain,
    _frame: &Frame,
    _values: &[ValueId],
    _part: Option<ValueId>,
    _input: &Input,
    _to: &TensorType,
) -> Result<Made, Diagnostic> {
    Err(wrong("from", "frames are not supported yet"))
}
