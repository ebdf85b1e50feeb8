//! Logarithms of a spectrum's sums over bands, and their cosine transform, in floats, as TensorFlow's `tf.signal` defines them.
//!
//! Not those of the micro frontend, which are integers. The idea: `tf.signal.stft` with its periodic Hann window and a transform of the next power of
//! two, the absolute value or its square, `linear_to_mel_weight_matrix`, ln(sum + floor), and `mfccs_from_log_mel_spectrograms`: all but the transform are products with constants.

use super::{Frames, real};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::ops::{Op, complex_abs, complexes, rfft2d};
use crate::pipeline::chain::Chain;
use crate::pipeline::spec::{Audio, Spectrum};
use crate::pipeline::wrong;
use crate::tensor::ElementType::{Complex64, F32};
use std::f64::consts::PI;

/// f32 `[rows, mels]`.
pub fn log_mel(chain: &mut Chain, audio: &Audio, s: &Spectrum, frames: &Frames) -> Result<ValueId, Diagnostic> {
    let half = audio.rate as f64 / 2.0;
    if !(0.0 <= s.lower_hz && s.lower_hz < s.upper_hz) {
        return Err(wrong("features.lower_hz", "the lowest frequency must be below the highest one")
            .expected(format!("0 to {}", s.upper_hz))
            .found(s.lower_hz.to_string()));
    }
    if half < f64::from(s.upper_hz) {
        return Err(wrong("features.upper_hz", "half the rate of the samples is the highest frequency that they have")
            .expected(format!("{half} or less"))
            .found(s.upper_hz.to_string()));
    }
    if !(s.floor.is_finite() && f32::MIN_POSITIVE <= s.floor) {
        return Err(wrong("features.floor", "it must be a positive number, since zero has no logarithm").found(s.floor.to_string()));
    }
    let fft = frames.window.next_power_of_two().max(2);
    let Frames { rows, window, .. } = *frames;
    let x = frames.all(chain)?;
    let x = real(chain, audio, x)?;
    let hann: Vec<f32> = (0..window).map(|i| hann(i, window)).collect();
    let hann = chain.floats(&[window], &hann);
    let x = chain.mul(x, hann)?;
    let x = chain.reshape(x, &[rows, 1, window])?;
    let x = chain.one(Op::Rfft2d(rfft2d::Attributes { lengths: [1, fft] }), &[x], Complex64)?;
    let x = chain.one(Op::ComplexAbs(complex_abs::Attributes(complexes::Attributes {})), &[x], F32)?;
    let mut x = chain.reshape(x, &[rows, fft / 2 + 1])?;
    if s.power {
        x = chain.square(x)?;
    }
    let (first, bins, weights) = mel_weights(audio.rate, fft / 2 + 1, s);
    let x = chain.columns(x, first, bins)?;
    let weights = chain.floats(&[bins, s.mels], &weights);
    let x = chain.product(x, weights)?;
    let floor = chain.float(s.floor);
    let x = chain.add(x, floor)?;
    chain.log(x)
}

fn hann(i: usize, length: usize) -> f32 {
    (0.5 - 0.5 * libm::cos(2.0 * PI * i as f64 / length as f64)) as f32
}

fn mel(hertz: f64) -> f64 {
    1127.0 * libm::log1p(hertz / 700.0)
}

/// The first of the frequencies with weights, how many there are, and the weights, `[frequencies, mels]`: triangles over the mel scale, 1 in the middle.
fn mel_weights(rate: usize, bins: usize, s: &Spectrum) -> (usize, usize, Vec<f32>) {
    let (low, high) = (mel(s.lower_hz.into()), mel(s.upper_hz.into()));
    let edge = |i: usize| low + (high - low) * i as f64 / (s.mels + 1) as f64;
    let weight = |bin: usize, band: usize| {
        let at = mel(rate as f64 / 2.0 * bin as f64 / (bins - 1) as f64);
        let [from, middle, to] = [0, 1, 2].map(|i| edge(band + i));
        ((at - from) / (middle - from)).min((to - at) / (to - middle)).max(0.0) as f32
    };
    // The constant has no weight.
    let row = |bin: usize| (0..s.mels).map(move |band| if bin == 0 { 0.0 } else { weight(bin, band) }).collect::<Vec<f32>>();
    let all: Vec<Vec<f32>> = (0..bins).map(row).collect();
    let is_used = |row: &Vec<f32>| row.iter().any(|w| *w != 0.0);
    let first = all.iter().position(is_used).unwrap_or(0);
    let end = all.iter().rposition(is_used).map_or(1, |last| last + 1);
    (first, end - first, all[first..end].concat())
}

/// f32 `[rows, coefficients]` of `[rows, mels]`.
pub fn cosines(chain: &mut Chain, s: &Spectrum, log_mel: ValueId) -> Result<ValueId, Diagnostic> {
    if s.coefficients > s.mels {
        return Err(wrong("features.coefficients", "there are no more coefficients than bands")
            .expected(format!("1 to {}", s.mels))
            .found(s.coefficients.to_string()));
    }
    let matrix: Vec<f32> = (0..s.mels).flat_map(|band| (0..s.coefficients).map(move |i| cosine(band, i, s.mels) as f32)).collect();
    let matrix = chain.floats(&[s.mels, s.coefficients], &matrix);
    chain.product(log_mel, matrix)
}

/// A number of the cosine transform of the second kind, divided by √(2 · length).
fn cosine(position: usize, i: usize, length: usize) -> f64 {
    2.0 * libm::cos(PI * i as f64 * (2 * position + 1) as f64 / (2 * length) as f64) / libm::sqrt(2.0 * length as f64)
}

/// What silence gives: the logarithms, or so many coefficients of them.
pub fn silence(s: &Spectrum, coefficients: Option<usize>) -> Vec<f32> {
    let log = libm::log(s.floor.into());
    match coefficients {
        None => vec![log as f32; s.mels],
        Some(count) => (0..count).map(|i| (0..s.mels).map(|band| log * cosine(band, i, s.mels)).sum::<f64>() as f32).collect(),
    }
}
