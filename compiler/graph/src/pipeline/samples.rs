//! Series of numbers, such as those of an accelerometer: the newest ones of them, as a model takes them.
//!
//! Not sound, which has spectra (`audio.rs`). The idea: what was given before is kept as it came, in the state, so that a window costs no more than its
//! numbers; all that is computed is computed of the window.

use super::chain::Chain;
use super::spec::{AudioFormat, Input, Samples};
use super::wrong;
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::tensor::{ElementType, TensorType};

impl AudioFormat {
    pub fn element(self) -> ElementType {
        match self {
            AudioFormat::I16 => ElementType::I16,
            AudioFormat::F32 => ElementType::F32,
        }
    }
}

/// In words.
pub fn described(sensor: &Samples) -> String {
    let window = sensor.window.map_or(String::new(), |w| format!(", of which the model sees the newest {w}"));
    format!("{} samples of {} numbers{window}", sensor.count, sensor.channels)
}

/// The inputs of the graph that the sensor is: suffixes of their names, and types.
pub fn inputs(sensor: &Samples) -> Result<Vec<(&'static str, TensorType)>, Diagnostic> {
    let Samples { count, channels, window, .. } = *sensor;
    for (field, number) in [("count", count), ("channels", channels)] {
        if number == 0 {
            return Err(wrong(field, "there must be one at least"));
        }
    }
    if count.checked_mul(channels).is_none_or(|n| 1 << 28 < n)
        || window.is_some_and(|w| w.checked_mul(channels).is_none_or(|n| 1 << 28 < n))
    {
        return Err(wrong("count", "there are too many samples"));
    }
    if window.is_some_and(|w| w < count) {
        return Err(wrong("window", "the window is shorter than the samples of one call").expected(format!("{count} or more")));
    }
    Ok(vec![("", TensorType::new(sensor.format.element(), [count, channels]))])
}

/// An input of the model of the newest samples.
pub fn make(chain: &mut Chain, sensor: &Samples, values: ValueId, input: &Input, to: &TensorType) -> Result<ValueId, Diagnostic> {
    let Samples { count, channels, .. } = *sensor;
    let window = sensor.window.unwrap_or(count);
    let newest = if window == count { values } else { newest(chain, "samples", values, window)? };
    if to.element_count() != window * channels {
        return Err(wrong("from", "the samples are not as many as the numbers of the model's input")
            .expected(format!("{} numbers: {:?}", to.element_count(), to.shape))
            .found(format!("{window} samples of {channels}"))
            .help("change the sensor's window or channels"));
    }
    let mut x = chain.cast(newest, ElementType::F32)?;
    if sensor.format == AudioFormat::F32 {
        x = chain.without_nan(x)?;
    }
    if let Some(scale) = sensor.scale {
        let scale = chain.float(scale);
        x = chain.mul(x, scale)?;
    }
    finish(chain, x, input, to)
}

/// The last `window` rows of all that was ever given, with zeros before the first: kept in a state.
pub fn newest(chain: &mut Chain, name: &str, values: ValueId, window: usize) -> Result<ValueId, Diagnostic> {
    newest_from(chain, name, values, window, None)
}

/// With these bytes before the first row: of as many rows as there are before those of the first call.
pub fn newest_from(chain: &mut Chain, name: &str, values: ValueId, window: usize, initial: Option<Vec<u8>>) -> Result<ValueId, Diagnostic> {
    let ty = chain.ty(values).clone();
    let (count, row) = (ty.shape[0], ty.shape[1..].to_vec());
    let shape = |rows: usize| [&[rows][..], &row].concat();
    let kept = window - count;
    let state = chain.state(name, TensorType { shape: shape(kept), ..ty.clone() }, initial);
    let before = chain.read(state)?;
    let all = chain.concatenate(&[before, values], 0)?;
    let first = [&[count][..], &vec![0; row.len()]].concat();
    let rest = chain.slice(all, &first, &shape(kept))?;
    chain.assign(state, rest)?;
    Ok(all)
}

/// An input of the model of what an earlier model found.
pub fn convert(chain: &mut Chain, value: ValueId, input: &Input, to: &TensorType) -> Result<ValueId, Diagnostic> {
    let from = chain.ty(value);
    if from.element_count() != to.element_count() {
        return Err(wrong("from", "the earlier model's numbers are not as many as those of the model's input")
            .expected(format!("{} numbers: {:?}", to.element_count(), to.shape))
            .found(format!("{:?}", from.shape)));
    }
    if from.element == to.element && from.quantization == to.quantization && input.mean.is_none() && input.std.is_none() {
        // A view of its own, since the model's input may be given another name.
        let shape = to.shape.clone();
        return if from.shape == shape { copied(chain, value) } else { chain.reshape(value, &shape) };
    }
    let x = chain.real(value)?;
    finish(chain, x, input, to)
}

/// The same numbers as a value of their own.
pub fn copied(chain: &mut Chain, value: ValueId) -> Result<ValueId, Diagnostic> {
    let shape = chain.ty(value).shape.clone();
    let flat = chain.reshape(value, &[shape.iter().product(), 1])?;
    chain.reshape(flat, &shape)
}

/// Normalises, and gives them the model's type.
fn finish(chain: &mut Chain, x: ValueId, input: &Input, to: &TensorType) -> Result<ValueId, Diagnostic> {
    let x = chain.normalize(x, input.mean.as_ref(), input.std.as_ref())?;
    chain.fit(x, to)
}
