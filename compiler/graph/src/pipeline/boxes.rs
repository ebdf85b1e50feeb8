//! Boxes around objects, and points in the frame, of a model's numbers.

use super::chain::Chain;
use super::spec::{Detections, Keypoints};
use super::wrong;
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use std::collections::BTreeMap;

/// What detections are, best first.
pub struct Boxes {
    /// i32 `[1]`: how many there are.
    pub count: ValueId,
    /// f32 `[most, 4]`: left, top, right and bottom, in pixels of the frame, or from 0 to 1 where the model's input is no frame.
    pub boxes: ValueId,
    /// i32 `[most]`.
    pub labels: ValueId,
    /// f32 `[most]`.
    pub scores: ValueId,
    /// f32 `[most, points, 2]`, of models that say such with each box.
    pub points: Option<ValueId>,
}

impl Boxes {
    /// Names and values of the answer's parts.
    pub fn parts(&self) -> Vec<(&'static str, ValueId)> {
        let parts = [("count", self.count), ("box", self.boxes), ("label", self.labels), ("score", self.scores)];
        parts.into_iter().chain(self.points.map(|p| ("points", p))).collect()
    }
}

/// `outputs`: the model's, by name; `geometry`: see [`super::Made`].
pub fn detections(
    _chain: &mut Chain,
    _outputs: &BTreeMap<&str, ValueId>,
    _detections: &Detections,
    _geometry: Option<ValueId>,
) -> Result<Boxes, Diagnostic> {
    Err(wrong("boxes", "detections are not supported yet"))
}

/// f32 `[4]`: the best box; all zeros where there is none.
pub fn best(_chain: &mut Chain, _boxes: &Boxes) -> Result<ValueId, Diagnostic> {
    Err(wrong("boxes", "detections are not supported yet"))
}

/// f32 `[count, dims]`: in pixels of the frame, or relative to the first.
pub fn keypoints(
    _chain: &mut Chain,
    _outputs: &BTreeMap<&str, ValueId>,
    _keypoints: &Keypoints,
    _geometry: Option<ValueId>,
) -> Result<ValueId, Diagnostic> {
    Err(wrong("from", "keypoints are not supported yet"))
}

/// f32 `[4]`: the smallest box around points.
pub fn around(_chain: &mut Chain, _points: ValueId) -> Result<ValueId, Diagnostic> {
    Err(wrong("from", "keypoints are not supported yet"))
}
