//! What Rust programs need beside a compiled model: its statuses as errors, what its tensors mean, and a macro that brings the model in.
//!
//! Not an interpreter, and nothing of this is needed to run a model: functions here are a few lines each. Without std and without heap.
//! The idea: `cranelite-build` writes a module with typed tensors and the one unsafe call; what all such modules share is here.
//!
//! ```ignore
//! cranelite_runtime::include_model!("kws"); // build.rs: cranelite_build::compile("kws.tflite")
//!
//! let mut arena = kws::Arena::new();
//! let mut scores = [0; 12];
//! kws::invoke(&kws::Inputs { input_1: &features }, &mut kws::Outputs { identity: &mut scores }, &mut arena)?;
//! ```
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

/// Includes the module that `cranelite-build` wrote for the model with this name.
#[macro_export]
macro_rules! include_model {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

/// Why a call did not compute its outputs. The numbers are the statuses of the C interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The weights are not aligned as the model wants them (status 2).
    Misaligned,
    /// An index that the model computed lies outside of its tensor (status 3); the outputs are unspecified.
    IndexOutOfRange,
    /// The CPU lacks a feature that the model was compiled for (status 4).
    CpuLacksFeature,
    /// The weights are not those of the model (status 5).
    WrongWeights,
    /// The caller's threads failed (status 6).
    ExecutorFailed,
    /// An output of the self-test is wrong (status 7).
    SelfTestFailed,
    /// Any other number; the types of the generated module leave no way to it.
    Status(i32),
}

impl Error {
    /// For generated modules: what a function of the object returned.
    pub fn check(status: i32) -> Result<(), Error> {
        match status {
            0 => Ok(()),
            2 => Err(Error::Misaligned),
            3 => Err(Error::IndexOutOfRange),
            4 => Err(Error::CpuLacksFeature),
            5 => Err(Error::WrongWeights),
            6 => Err(Error::ExecutorFailed),
            7 => Err(Error::SelfTestFailed),
            other => Err(Error::Status(other)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Misaligned => f.write_str("the weights are not aligned"),
            Error::IndexOutOfRange => f.write_str("an index computed by the model is out of range"),
            Error::CpuLacksFeature => f.write_str("the CPU lacks a feature that the model was compiled for"),
            Error::WrongWeights => f.write_str("the weights are not those of the model"),
            Error::ExecutorFailed => f.write_str("the executor failed"),
            Error::SelfTestFailed => f.write_str("the self-test failed"),
            Error::Status(n) => write!(f, "status {n}"),
        }
    }
}

impl core::error::Error for Error {}

/// What is known of an input or output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// As in the model.
    pub name: &'static str,
    pub shape: &'static [usize],
    /// How many it has.
    pub bytes: usize,
    /// Of tensors that are quantised as a whole.
    pub quantization: Option<Quantization>,
}

/// real = scale · (q − zero_point)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    pub scale: f32,
    pub zero_point: i32,
}

impl Quantization {
    pub fn real(&self, q: impl Into<i32>) -> f32 {
        self.scale * (q.into() - self.zero_point) as f32
    }

    /// The nearest integer, halves away from zero, as far as the type reaches; NaN becomes the zero point.
    pub fn quantize<Q: Quantized>(&self, real: f32) -> Q {
        let steps = f64::from(real / self.scale);
        // A cast cuts, saturates, and makes 0 of NaN.
        let nearest = (steps + if steps < 0.0 { -0.5 } else { 0.5 }) as i64;
        Q::saturated(nearest.saturating_add(i64::from(self.zero_point)))
    }
}

/// Integers that stand for real numbers.
pub trait Quantized: Copy {
    fn saturated(q: i64) -> Self;
}

macro_rules! quantized {
    ($($t:ty)*) => {
        $(impl Quantized for $t {
            fn saturated(q: i64) -> Self {
                q.clamp(<$t>::MIN.into(), <$t>::MAX.into()) as $t
            }
        })*
    };
}
quantized!(i8 u8 i16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantisation_rounds_to_the_nearest() {
        let q = Quantization { scale: 0.5, zero_point: -3 };
        assert_eq!([0.0, 0.24, 0.25, -0.25, -0.24, 1.0].map(|x| q.quantize::<i8>(x)), [-3, -3, -2, -4, -3, -1]);
        assert_eq!([1e30, -1e30, f32::INFINITY, f32::NAN].map(|x| q.quantize::<i8>(x)), [127, -128, 127, -3]);
        assert_eq!(q.quantize::<u8>(-10.0), 0);
        assert_eq!((q.real(-3i8), q.real(1i8)), (0.0, 2.0));
        for v in i8::MIN..=i8::MAX {
            assert_eq!(q.quantize::<i8>(q.real(v)), v);
        }
    }

    #[test]
    fn statuses_keep_their_numbers() {
        assert_eq!(Error::check(0), Ok(()));
        assert_eq!(
            [2, 3, 4, 5, 6, 1].map(|s| Error::check(s).unwrap_err()),
            [
                Error::Misaligned,
                Error::IndexOutOfRange,
                Error::CpuLacksFeature,
                Error::WrongWeights,
                Error::ExecutorFailed,
                Error::Status(1)
            ]
        );
    }
}
