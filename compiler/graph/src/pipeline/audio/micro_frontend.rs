//! The features of TensorFlow Lite Micro's micro frontend: a spectrum in fixed point, its sums over bands, without noise, amplified, as logarithms.
//!
//! Not streams, nor what a model makes of the features (`audio.rs`). The idea: the operators are those of TFLM's signal library, which compute the
//! integers of the C library, so all that is here is the tables that the C library computes when it starts. They are computed in the same precision, since
//! a weight that is one off is another feature.

use super::{FULL, Frames};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::ops::{
    Op, signalenergy, signalfftautoscale, signalfilterbank, signalfilterbanklog, signalfilterbankspectralsubtraction,
    signalfilterbanksquareroot, signalpcan, signalrfft, signals, signalwindow,
};
use crate::pipeline::chain::Chain;
use crate::pipeline::spec::{MicroFrontend, Tables};
use crate::pipeline::wrong;
use crate::tensor::ElementType::{F32, I16, I32, U32, U64};
use crate::tensor::TensorType;

/// Bits behind the point of the window, of the bands' weights, of the noise's coefficients, and of a ratio of signal to noise.
const WINDOW_BITS: usize = 12;
const WEIGHT_BITS: usize = 12;
const NOISE_BITS: usize = 14;
const RATIO_BITS: usize = 12;

/// -32768 is as loud as -32767: it has no absolute value, at which the scaling before the transform goes wrong, in the C library in another
/// way than in TFLM's operators.
pub fn with_opposite(chain: &mut Chain, heard: ValueId) -> Result<ValueId, Diagnostic> {
    let lowest = chain.constant(TensorType::new(I16, []), (-i16::MAX).to_le_bytes().into());
    chain.maximum(heard, lowest)
}

/// Samples of f32 as those of i16: NaN is gone by then, and what is too loud is as loud as can be.
pub fn integers(chain: &mut Chain, heard: ValueId) -> Result<ValueId, Diagnostic> {
    let (full, low, high) = (chain.float(FULL), chain.float(1.0 - FULL), chain.float(FULL - 1.0));
    let x = chain.mul(heard, full)?;
    let x = chain.round(x)?;
    let x = chain.maximum(x, low)?;
    let x = chain.minimum(x, high)?;
    chain.cast(x, I16)
}

/// `[rows, channels]`: i16, or f32 of whole numbers where there is no logarithm.
pub fn features(chain: &mut Chain, rate: usize, f: &MicroFrontend, frames: &Frames) -> Result<ValueId, Diagnostic> {
    let fft = frames.window.next_power_of_two();
    if !(64..=2048).contains(&fft) {
        return Err(wrong("features.window_ms", "the window is too short or too long")
            .expected("33 to 2048 samples")
            .found(frames.window.to_string()));
    }
    let correction = fft.ilog2() as usize - WEIGHT_BITS / 2;
    if f.smoothing_bits < correction || 16 < f.smoothing_bits {
        return Err(wrong("features.smoothing_bits", "the number is not possible")
            .expected(format!("{correction} to 16"))
            .found(f.smoothing_bits.to_string()));
    }
    if f.scale_shift > 10 {
        return Err(wrong("features.scale_shift", "the number is not possible").expected("0 to 10").found(f.scale_shift.to_string()));
    }
    if !f.scale.is_finite() || !f.offset.is_finite() {
        let field = if f.scale.is_finite() { "features.offset" } else { "features.scale" };
        return Err(wrong(field, "it must be a finite number"));
    }
    let least = correction + RATIO_BITS;
    if f.pcan && !(least..=30).contains(&f.gain_bits) {
        return Err(wrong("features.gain_bits", "the number is not possible")
            .expected(format!("{least} to 30"))
            .found(f.gain_bits.to_string()));
    }
    if f.pcan && !(0.0 < f.pcan_offset && f.pcan_offset.is_finite() && f.pcan_strength.is_finite()) {
        return Err(wrong("features.pcan_offset", "strength and offset of the gain must be finite numbers, and the offset more than 0"));
    }
    let bands = Bands::new(rate, fft, f)?;
    let subtraction = Op::SignalFilterBankSpectralSubtraction(subtraction(f)?);
    let noise = chain.state("noise", TensorType::new(U32, [f.channels]), None);
    let i16s = |chain: &mut Chain, numbers: &[i16]| {
        chain.constant(TensorType::new(I16, [numbers.len()]), numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    };
    let (window, weights, rest) = (i16s(chain, &hann(frames.window, f.tables)), i16s(chain, &bands.weights), i16s(chain, &bands.rest));
    let gains = f.pcan.then(|| i16s(chain, &gains(f, f.smoothing_bits - correction)));
    let mut rows = vec![];
    for row in 0..frames.rows {
        let x = frames.row(chain, row)?;
        let x = chain.one(Op::SignalWindow(signalwindow::Attributes { shift: WINDOW_BITS }), &[x, window], I16)?;
        let types = [I16, I32].map(|e| TensorType::new(e, []));
        let scaled = chain.apply(Op::SignalFftAutoScale(signalfftautoscale::Attributes {}), &[x], &types)?;
        let (x, shift) = (scaled[0], scaled[1]);
        let x = chain.one(Op::SignalRfft(signalrfft::Attributes(signals::Attributes { fft_length: fft })), &[x], I16)?;
        let energy = signalenergy::Attributes { start_index: bands.start, end_index: bands.end };
        let x = chain.one(Op::SignalEnergy(energy), &[x], U32)?;
        let sums = signalfilterbank::Attributes {
            num_channels: f.channels,
            frequency_starts: bands.frequencies.clone(),
            weight_starts: bands.places.clone(),
            widths: bands.widths.clone(),
        };
        let x = chain.one(Op::SignalFilterBank(sums), &[x, weights, rest], U64)?;
        let x = chain.one(Op::SignalFilterBankSquareRoot(signalfilterbanksquareroot::Attributes {}), &[x, shift], U32)?;
        let types = [U32, U32].map(|e| TensorType::new(e, []));
        let quiet = chain.apply_on(subtraction.clone(), &[x], &[noise], &types)?;
        let mut x = quiet[0];
        if let Some(gains) = gains {
            let op = Op::SignalPcan(signalpcan::Attributes { snr_shift: f.gain_bits - correction - RATIO_BITS });
            x = chain.one(op, &[x, quiet[1], gains], U32)?;
        }
        x = if f.log {
            let log = signalfilterbanklog::Attributes { output_scale: 1 << f.scale_shift, input_correction_bits: correction };
            chain.one(Op::SignalFilterBankLog(log), &[x], I16)?
        } else {
            let (real, most) = (chain.cast(x, F32)?, chain.float(65535.0));
            chain.minimum(real, most)?
        };
        rows.push(chain.reshape(x, &[1, f.channels])?);
    }
    if rows.len() == 1 { Ok(rows[0]) } else { chain.concatenate(&rows, 0) }
}

/// A Hann window whose samples are in the middle of their steps.
fn hann(length: usize, tables: Tables) -> Vec<i16> {
    let unit = 1 << WINDOW_BITS;
    let single = |i: usize| {
        let step = std::f32::consts::PI * 2.0 / length as f32;
        let weight = 0.5 - 0.5 * libm::cosf(step * (i as f32 + 0.5));
        libm::floorf(weight * unit as f32 + 0.5) as i16
    };
    let double = |i: usize| {
        let step = std::f64::consts::PI * 2.0 / length as f64;
        let weight = 0.5 - 0.5 * libm::cos(step * (i as f64 + 0.5));
        libm::rint(weight * f64::from(unit)) as i16
    };
    (0..length).map(|i| if tables == Tables::Library { single(i) } else { double(i) }).collect()
}

/// Which frequencies belong to which channel, and with which weights.
struct Bands {
    /// Frequencies from one index to another are used at all.
    start: usize,
    end: usize,
    /// By channel, and one more before them: first frequency, first weight, and how many.
    frequencies: Vec<usize>,
    places: Vec<usize>,
    widths: Vec<usize>,
    /// What of a frequency belongs to its channel, and what to the next one.
    weights: Vec<i16>,
    rest: Vec<i16>,
}

fn mel(hertz: f32) -> f32 {
    1127.0 * libm::log1pf(hertz / 700.0)
}

impl Bands {
    fn new(rate: usize, fft: usize, f: &MicroFrontend) -> Result<Self, Diagnostic> {
        let half = rate as f32 / 2.0;
        if !(0.0 <= f.lower_hz && f.lower_hz < f.upper_hz) {
            return Err(wrong("features.lower_hz", "the lowest frequency must be below the highest one")
                .expected(format!("0 to {}", f.upper_hz))
                .found(f.lower_hz.to_string()));
        }
        if half < f.upper_hz {
            return Err(wrong("features.upper_hz", "half the rate of the samples is the highest frequency that they have")
                .expected(format!("{half} or less"))
                .found(f.upper_hz.to_string()));
        }
        let spacing = 0.5 * rate as f32 / (fft / 2) as f32;
        // What is constant in the samples is left out.
        let start = (1.5 + f.lower_hz / spacing) as usize;
        let (low, high) = (mel(f.lower_hz), mel(f.upper_hz));
        let width = (high - low) / (f.channels + 1) as f32;
        let mut bands = Bands { start, end: start, frequencies: vec![], places: vec![], widths: vec![], weights: vec![], rest: vec![] };
        let mut before = low;
        for channel in 0..=f.channels {
            let center = low + width * (channel + 1) as f32;
            bands.frequencies.push(bands.end);
            bands.places.push(bands.weights.len());
            while mel(bands.end as f32 * spacing) <= center {
                let weight = (center - mel(bands.end as f32 * spacing)) / (center - before);
                bands.weights.push(fixed(weight, f));
                bands.rest.push(fixed(1.0 - weight, f));
                bands.end += 1;
            }
            bands.widths.push(bands.weights.len() - bands.places[channel]);
            before = center;
        }
        if fft / 2 < bands.end {
            return Err(wrong("features.upper_hz", "the highest band has frequencies that the samples do not have")
                .expected(format!("less than {half}"))
                .found(f.upper_hz.to_string()));
        }
        Ok(bands)
    }
}

/// Rounded, or cut off.
fn fixed(weight: f32, f: &MicroFrontend) -> i16 {
    let half = if f.tables == Tables::Library { 0.5 } else { 0.0 };
    libm::floorf(weight * (1 << WEIGHT_BITS) as f32 + half) as i16
}

fn subtraction(f: &MicroFrontend) -> Result<signalfilterbankspectralsubtraction::Attributes, Diagnostic> {
    let unit = 1 << NOISE_BITS;
    let part = |field: &str, x: f32| match (0.0..=1.0).contains(&x) {
        true => Ok((x * unit as f32) as usize),
        false => Err(wrong(format!("features.{field}"), "it must be a part of one").expected("0 to 1").found(x.to_string())),
    };
    let (even, odd) = (part("even_smoothing", f.even_smoothing)?, part("odd_smoothing", f.odd_smoothing)?);
    Ok(signalfilterbankspectralsubtraction::Attributes {
        num_channels: f.channels,
        smoothing: even,
        one_minus_smoothing: unit - even,
        alternate_smoothing: odd,
        alternate_one_minus_smoothing: unit - odd,
        min_signal_remaining: part("min_signal_remaining", f.min_signal_remaining)?,
        smoothing_bits: f.smoothing_bits,
        spectral_subtraction_bits: NOISE_BITS,
        clamping: false,
    })
}

/// By noise: of 0 and 1 the gain, and for each further number of bits a parabola through those at both ends and in the middle.
fn gains(f: &MicroFrontend, input_bits: usize) -> Vec<i16> {
    let gain = |noise: u32| -> i16 {
        let noise = noise as f32 / (1u32 << input_bits) as f32;
        let power = libm::powf(noise + f.pcan_offset, -f.pcan_strength);
        let gain = (1u32 << f.gain_bits) as f32 * power;
        if gain > f32::from(i16::MAX) { i16::MAX } else { (gain + 0.5) as i16 }
    };
    let mut table = vec![gain(0), gain(1)];
    for bits in 2..=32u32 {
        let first = 1u32 << (bits - 1);
        let last = if bits == 32 { first + (first - 1) } else { 2 * first };
        let [start, middle, end] = [first, first + (first >> 1), last].map(|noise| i32::from(gain(noise)));
        let linear = 4 * (middle - start) - (end - start);
        table.extend([start as i16, linear as i16, (end - start - linear) as i16, 0]);
    }
    // Of the last parabola no fourth number is there.
    table.pop();
    table
}
