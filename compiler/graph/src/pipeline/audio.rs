//! Sound as the input of a model: the samples themselves, or features of their spectrum.
//!
//! Not the features' formulas (`audio/`). The idea: a stream. Each call brings samples, and as many new rows of features as there are whole steps in
//! them; what later rows or later calls need of the samples and of the rows is a state. Before the first sample there was silence.

mod micro_frontend;
mod spectra;

use super::chain::Chain;
use super::spec::{Audio, AudioFormat, Features, Input, MicroFrontend};
use super::{samples, wrong};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::quantize::{element_range, quantize, round_half_away};
use crate::tensor::ElementType::{F32, I8, I16, I32};
use crate::tensor::{ElementType, TensorType};

/// What a sample of 1.0 is as an integer.
const FULL: f32 = 32768.0;

/// In words.
pub fn described(audio: &Audio) -> String {
    let channels = if audio.channels == 1 { String::new() } else { format!(" of {} channels", audio.channels) };
    format!("{} samples{channels} at {} Hz", audio.samples, audio.rate)
}

/// The inputs of the graph that the sensor is: suffixes of their names, and types.
pub fn inputs(audio: &Audio) -> Result<Vec<(&'static str, TensorType)>, Diagnostic> {
    let Audio { rate, samples, channels, .. } = *audio;
    for (field, number, most) in [("rate", rate, 1 << 24), ("samples", samples, 1 << 24), ("channels", channels, 256)] {
        if number == 0 || most < number {
            return Err(wrong(field, "the number is not possible").expected(format!("1 to {most}")).found(number.to_string()));
        }
    }
    Ok(vec![("", TensorType::new(audio.format.element(), [samples * channels]))])
}

/// An input of the model, of exactly the type `to`. A model that has states wants what is new and nothing else.
pub fn make(
    chain: &mut Chain,
    audio: &Audio,
    values: ValueId,
    input: &Input,
    to: &TensorType,
    has_states: bool,
) -> Result<ValueId, Diagnostic> {
    let heard = mixed(chain, audio, values)?;
    match &input.features {
        None => raw(chain, audio, heard, input, to, has_states),
        Some(features) => from_features(chain, audio, heard, features, input, to, has_states),
    }
}

/// One channel: the mean of all, of integers rounded to the nearest one, halves to the even one. NaN is silence.
fn mixed(chain: &mut Chain, audio: &Audio, values: ValueId) -> Result<ValueId, Diagnostic> {
    let values = if audio.format == AudioFormat::F32 { chain.without_nan(values)? } else { values };
    if audio.channels == 1 {
        return Ok(values);
    }
    let rows = chain.reshape(values, &[audio.samples, audio.channels])?;
    let real = chain.cast(rows, F32)?;
    // Sums of so few integers are exact.
    let (sum, count) = (chain.sum_of(real, &[1])?, chain.float(audio.channels as f32));
    let mean = chain.div(sum, count)?;
    if audio.format == AudioFormat::F32 {
        return Ok(mean);
    }
    let mean = chain.round(mean)?;
    chain.cast(mean, I16)
}

/// Whether a model takes such elements as they are, without a scale.
fn is_plain_integer(to: &TensorType) -> bool {
    !to.element.is_float() && to.quantization.is_none()
}

/// The newest samples: from -1 to 1, or the sensor's integers where the model takes integers without a scale.
fn raw(chain: &mut Chain, audio: &Audio, heard: ValueId, input: &Input, to: &TensorType, has_states: bool) -> Result<ValueId, Diagnostic> {
    let window = to.element_count();
    if to.shape.iter().filter(|n| **n != 1).count() > 1 {
        return Err(wrong("from", "the model's input is no row of samples, so it needs features")
            .expected("an input with one dimension of more than 1")
            .found(format!("{:?}", to.shape))
            .help("say with `features` what becomes of the samples"));
    }
    if window < audio.samples || (has_states && window != audio.samples) {
        let why = if has_states { ", since it keeps a state itself and wants what is new" } else { " or fewer" };
        return Err(wrong("from", "the samples of a call are not as many as the model takes")
            .expected(format!("{window}{why}"))
            .found(audio.samples.to_string())
            .help("change `samples` of the sensor"));
    }
    let newest = if window == audio.samples { heard } else { samples::newest(chain, "samples", heard, window)? };
    if is_plain_integer(to) && audio.format == AudioFormat::I16 {
        if input.mean.is_some() || input.std.is_some() {
            let field = if input.mean.is_some() { "mean" } else { "std" };
            return Err(wrong(field, "the model takes the samples as integers, which have neither mean nor deviation"));
        }
        let x = chain.cast(newest, to.element)?;
        return if chain.ty(x).shape == to.shape { samples::copied(chain, x) } else { chain.reshape(x, &to.shape) };
    }
    let x = real(chain, audio, newest)?;
    let x = chain.normalize(x, input.mean.as_ref(), input.std.as_ref())?;
    chain.fit(x, to)
}

/// Samples from -1 to 1.
fn real(chain: &mut Chain, audio: &Audio, heard: ValueId) -> Result<ValueId, Diagnostic> {
    match audio.format {
        AudioFormat::F32 => Ok(heard),
        AudioFormat::I16 => {
            let (x, unit) = (chain.cast(heard, F32)?, chain.float(1.0 / FULL));
            chain.mul(x, unit)
        }
    }
}

/// Samples that overlap, and how many rows of features a call makes of them.
struct Frames {
    /// All samples that the rows of a call are made of.
    all: ValueId,
    rows: usize,
    /// In samples.
    window: usize,
    step: usize,
}

impl Frames {
    /// The samples of a row.
    fn row(&self, chain: &mut Chain, row: usize) -> Result<ValueId, Diagnostic> {
        chain.slice(self.all, &[row * self.step], &[self.window])
    }

    /// All of them, `[rows, window]`.
    fn all(&self, chain: &mut Chain) -> Result<ValueId, Diagnostic> {
        let mut rows = vec![];
        for row in 0..self.rows {
            let samples = self.row(chain, row)?;
            rows.push(chain.reshape(samples, &[1, self.window])?);
        }
        if rows.len() == 1 { Ok(rows[0]) } else { chain.concatenate(&rows, 0) }
    }
}

/// What a kind of features is.
struct Sizes {
    window_ms: f32,
    step_ms: f32,
    /// Numbers of a row, and the field that says it.
    numbers: usize,
    field: &'static str,
}

fn from_features(
    chain: &mut Chain,
    audio: &Audio,
    heard: ValueId,
    features: &Features,
    input: &Input,
    to: &TensorType,
    has_states: bool,
) -> Result<ValueId, Diagnostic> {
    let sizes = match features {
        Features::MicroFrontend(f) => Sizes { window_ms: f.window_ms, step_ms: f.step_ms, numbers: f.channels, field: "features.channels" },
        Features::LogMel(s) => Sizes { window_ms: s.window_ms, step_ms: s.step_ms, numbers: s.mels, field: "features.mels" },
        Features::Mfcc(s) => Sizes { window_ms: s.window_ms, step_ms: s.step_ms, numbers: s.coefficients, field: "features.coefficients" },
    };
    let (window, step) = steps(audio, &sizes)?;
    let new = audio.samples / step;
    let rows = rows_of(&sizes, to)?;
    if rows < new || (has_states && rows != new) {
        let why = if has_states { ", since it keeps a state itself and wants what is new" } else { " or fewer" };
        return Err(wrong("features.step_ms", "the samples of a call make another number of rows than the model takes")
            .expected(format!("{rows} rows{why}: {:?}, rows of {}", to.shape, sizes.numbers))
            .found(format!("{new} rows of {} samples", audio.samples))
            .help(format!("let a call have {} samples", rows * step)));
    }
    let is_float = !matches!(features, Features::MicroFrontend(_));
    let heard = match (is_float, audio.format) {
        (false, AudioFormat::F32) => micro_frontend::integers(chain, heard)?,
        (true, AudioFormat::F32) => clipped(chain, heard)?,
        (false, AudioFormat::I16) => micro_frontend::with_opposite(chain, heard)?,
        (true, AudioFormat::I16) => heard,
    };
    // What earlier calls gave is kept as it came.
    let all = window - step + audio.samples;
    let all = if all == audio.samples { heard } else { samples::newest(chain, "samples", heard, all)? };
    let frames = Frames { all, rows: new, window, step };
    let (numbers, silence) = match features {
        Features::MicroFrontend(f) => (micro_frontend::features(chain, audio.rate, f, &frames)?, vec![0.0; f.channels]),
        Features::LogMel(s) => (spectra::log_mel(chain, audio, s, &frames)?, spectra::silence(s, None)),
        Features::Mfcc(s) => {
            let log_mel = spectra::log_mel(chain, audio, s, &frames)?;
            (spectra::cosines(chain, s, log_mel)?, spectra::silence(s, Some(s.coefficients)))
        }
    };
    let row_ty = TensorType { shape: vec![new, sizes.numbers], ..to.clone() };
    let made = match features {
        Features::MicroFrontend(f) if is_plain_integer(to) => {
            unscaled(input)?;
            if f.scale != MicroFrontend::default().scale || f.offset != 0.0 {
                return Err(wrong("features.scale", "the model takes the features as integers, which have no scale"));
            }
            chain.cast(numbers, to.element)?
        }
        Features::MicroFrontend(f) if is_micro_speech(f, to) && input.mean.is_none() && input.std.is_none() => {
            as_micro_speech(chain, numbers, &row_ty)?
        }
        Features::MicroFrontend(f) => {
            let (x, scale) = (chain.cast(numbers, F32)?, chain.float(f.scale));
            let mut x = chain.mul(x, scale)?;
            if f.offset != 0.0 {
                let offset = chain.float(f.offset);
                x = chain.add(x, offset)?;
            }
            let x = chain.normalize(x, input.mean.as_ref(), input.std.as_ref())?;
            chain.fit(x, &row_ty)?
        }
        _ if is_plain_integer(to) => {
            return Err(wrong("features", "the features are real numbers, and the model's input has integers without a scale")
                .found(to.element.name()));
        }
        _ => {
            let x = chain.normalize(numbers, input.mean.as_ref(), input.std.as_ref())?;
            chain.fit(x, &row_ty)?
        }
    };
    let newest = if rows == new {
        made
    } else {
        let silence = match features {
            Features::MicroFrontend(f) => silence.iter().map(|x| if is_plain_integer(to) { *x } else { x * f.scale + f.offset }).collect(),
            _ => silence,
        };
        let initial = at_first(&silence, rows - new, input, to);
        samples::newest_from(chain, "features", made, rows, Some(initial))?
    };
    if chain.ty(newest).shape == to.shape { samples::copied(chain, newest) } else { chain.reshape(newest, &to.shape) }
}

fn unscaled(input: &Input) -> Result<(), Diagnostic> {
    match (&input.mean, &input.std) {
        (None, None) => Ok(()),
        (mean, _) => {
            let field = if mean.is_some() { "mean" } else { "std" };
            Err(wrong(field, "the model takes integers without a scale, which have neither mean nor deviation"))
        }
    }
}

/// Window and step in samples.
fn steps(audio: &Audio, sizes: &Sizes) -> Result<(usize, usize), Diagnostic> {
    let whole = |field: &str, ms: f32| {
        let exact = f64::from(ms) * audio.rate as f64 / 1000.0;
        let nearest = round_half_away(exact);
        if !(1.0..=65536.0).contains(&nearest) || 1e-3 < (exact - nearest).abs() {
            return Err(wrong(field, "the milliseconds are no whole number of samples")
                .expected(format!("1 to 65536 samples at {} Hz", audio.rate))
                .found(format!("{ms} ms, {exact} samples")));
        }
        Ok(nearest as usize)
    };
    let (window, step) = (whole("features.window_ms", sizes.window_ms)?, whole("features.step_ms", sizes.step_ms)?);
    if window < step {
        return Err(wrong("features.step_ms", "the step is longer than the window")
            .expected(format!("{} ms or less", sizes.window_ms))
            .found(format!("{} ms", sizes.step_ms)));
    }
    if !audio.samples.is_multiple_of(step) {
        return Err(wrong("features.step_ms", "the samples of a call are no whole steps")
            .expected(format!("a multiple of {step} samples in each call"))
            .found(audio.samples.to_string())
            .help("change `samples` of the sensor, or the step"));
    }
    if sizes.numbers == 0 || 1024 < sizes.numbers {
        return Err(wrong(sizes.field, "the number is not possible").expected("1 to 1024").found(sizes.numbers.to_string()));
    }
    Ok((window, step))
}

/// How many rows of features the model's input has: time, and features innermost, beside dimensions of 1; or both in one dimension.
fn rows_of(sizes: &Sizes, to: &TensorType) -> Result<usize, Diagnostic> {
    let numbers = sizes.numbers;
    let long: Vec<usize> = to.shape.iter().copied().filter(|n| *n != 1).collect();
    let rows = match long[..] {
        [] if numbers == 1 => Some(1),
        [all] if numbers == 1 => Some(all),
        [all] if all.is_multiple_of(numbers) => {
            // Several rows in one dimension: it must be the last one, or it might as well be the time of rows of one number.
            (all == numbers || to.shape.last() == Some(&all)).then_some(all / numbers)
        }
        [rows, last] if last == numbers => Some(rows),
        _ => None,
    };
    rows.filter(|n| *n != 0).ok_or_else(|| {
        wrong(sizes.field, "rows of so many features do not make the model's input")
            .expected(format!("{:?}", to.shape))
            .found(format!("rows of {numbers}, the newest last"))
    })
}

/// What micro_speech and microWakeWord have between the feature f and the model's i8: q = min((256 · f + 333) / 666 - 128, 127), the quotient cut off.
/// 666 is 25.6 · 26: features are divided by 25.6, and real numbers from 0 to 26 are the 256 integers. A model's own scale is near to 26 / 256 then; that of
/// its converter differs a little from it, and programs for it do not look at that. Where it is more than one percent off, QUANTIZE's rounding
/// with the model's own scale is taken.
fn is_micro_speech(f: &MicroFrontend, to: &TensorType) -> bool {
    let is_usual = f.scale == MicroFrontend::default().scale && f.offset == 0.0;
    let scale = 666.0 / 256.0 * f64::from(f.scale);
    let fits = |(own, zero_point): (f32, i64)| zero_point == -128 && (f64::from(own) / scale - 1.0).abs() < 0.01;
    is_usual && to.element == I8 && scale_of(to).is_some_and(fits)
}

/// Scale and zero point, if the whole tensor has one of them.
fn scale_of(ty: &TensorType) -> Option<(f32, i64)> {
    ty.quantization.as_ref().filter(|q| q.is_per_tensor()).map(|q| (q.scale(0), q.zero_point(0)))
}

fn as_micro_speech(chain: &mut Chain, numbers: ValueId, ty: &TensorType) -> Result<ValueId, Diagnostic> {
    let [scale, half, divisor, zero_point, most] = [256, 333, 666, -128, 127].map(|n| chain.integers(&[], &[n]));
    let x = chain.cast(numbers, I32)?;
    let x = chain.mul(x, scale)?;
    let x = chain.add(x, half)?;
    let x = chain.div(x, divisor)?;
    let x = chain.add(x, zero_point)?;
    let x = chain.minimum(x, most)?;
    chain.cast_to(x, ty)
}

/// Loud samples end at full volume.
fn clipped(chain: &mut Chain, x: ValueId) -> Result<ValueId, Diagnostic> {
    let (low, high) = (chain.float(-1.0), chain.float(1.0));
    let x = chain.maximum(x, low)?;
    chain.minimum(x, high)
}

/// Rows of features of silence, before there are others.
fn at_first(silence: &[f32], rows: usize, input: &Input, to: &TensorType) -> Vec<u8> {
    let each = |v: Option<&super::spec::OneOrMore>, otherwise: f32| {
        v.and_then(|v| v.per_channel(silence.len())).unwrap_or_else(|| vec![otherwise; silence.len()])
    };
    let (mean, std) = (each(input.mean.as_ref(), 0.0), each(input.std.as_ref(), 1.0));
    let row = silence.iter().zip(mean.iter().zip(&std)).flat_map(|(x, (mean, std))| element((x - mean) / std, to));
    let row: Vec<u8> = row.collect();
    row.repeat(rows)
}

/// The bytes of a real number in such a tensor.
fn element(x: f32, to: &TensorType) -> Vec<u8> {
    let Some((scale, zero_point)) = scale_of(to) else {
        return match to.element {
            F32 => x.to_le_bytes().into(),
            // Integers of features of silence are zeros.
            other => vec![0; TensorType::new(other, []).size_bytes()],
        };
    };
    let bytes = TensorType::new(to.element, []).size_bytes();
    match (to.element, element_range(to.element)) {
        (I8 | ElementType::U8 | I16, Some(range)) => quantize(x, scale, zero_point as i32, range).to_le_bytes()[..bytes].to_vec(),
        _ => vec![0; bytes],
    }
}
