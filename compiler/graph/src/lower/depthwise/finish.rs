//! From accumulators to results: bias, scale, clamp, narrow; and the tables per channel that this needs.
//!
//! Not the sums. The idea: one constant holds all tables, each as long as the channels rounded up to a vector, so that a kernel finds
//! every number of channel c at a constant distance from c.

use super::Source;
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::requantize::{FloatScale, Scale, Target, clamp_float, shift_range};
use crate::ops::attributes::Activation;
use crate::quantize::exact::{self, FloatForm};
use crate::quantize::wide_requantization;
use cranelite_tile::{Arg, Binary, Elem, Index, KernelBuilder, Machine, Place, ShiftRange, Value};

/// What becomes of a sum, by the type of the sum and of the result.
#[derive(Clone, Debug)]
pub enum Finish {
    /// f32 to f32.
    Float { bias: Vec<f32>, activation: Activation },
    /// i32 to 8 or 16 bits with double rounding.
    Narrow { bias: Vec<i32>, multipliers: Vec<i32>, shifts: Vec<i32>, range: ShiftRange, target: Target },
    /// The same in floats, by proof.
    Proved { bias: Vec<i32>, scales: Vec<exact::FloatScale>, form: FloatForm, target: Target },
    /// i32 to i16 by way of 64 bits.
    Wide { addends: Vec<i64>, multipliers: Vec<i32>, shifts: Vec<i64>, target: Target },
    /// i32 to f32, by scales of channels and of images.
    Hybrid { bias: Vec<f32>, scales: Vec<f32>, activation: Activation },
}

/// Where a kernel finds the tables, and how many channels each has.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    pub arg: Arg,
    pub channels: usize,
}

impl Tables {
    /// Channel `c` of a table whose entries of `bytes` bytes begin after `before` bytes per channel.
    fn at(&self, c: &Index, before: usize, bytes: i64) -> Place {
        self.arg.at(c.clone() * bytes + (before * self.channels) as i64)
    }
}

impl Finish {
    pub fn narrow(bias: Vec<i32>, multipliers: Vec<i32>, shifts: Vec<i32>, target: Target) -> Result<Finish, Diagnostic> {
        let range = shift_range(&shifts)?;
        Ok(Finish::Narrow { bias, multipliers, shifts, range, target })
    }

    /// The sum of channel c is below 2^31 in magnitude.
    pub fn wide(bias: &[i64], multipliers: &[i32], shifts: &[i32], target: Target) -> Result<Finish, Diagnostic> {
        let (mut addends, mut products, mut right) = (vec![], vec![], vec![]);
        for ((&bias, &multiplier), &shift) in bias.iter().zip(multipliers).zip(shifts) {
            let [m, addend, shift] = wide_requantization(multiplier, shift);
            let Ok(product) = i32::try_from(m) else {
                return Err(Diagnostic::new(Code::SCALE, "the quotient of input and output scales is out of range").expected("below 2^15"));
            };
            addends.push(bias.wrapping_mul(m).wrapping_add(addend));
            products.push(product);
            right.push(shift);
        }
        Ok(Finish::Wide { addends, multipliers: products, shifts: right, target })
    }

    /// Element type of the result.
    pub fn elem(&self) -> Elem {
        match self {
            Finish::Float { .. } | Finish::Hybrid { .. } => Elem::F32,
            Finish::Narrow { target, .. } | Finish::Proved { target, .. } | Finish::Wide { target, .. } => target.elem,
        }
    }

    /// Element type of the sums.
    pub fn sum(&self) -> Elem {
        if matches!(self, Finish::Float { .. }) { Elem::F32 } else { Elem::I32 }
    }

    /// For an input whose elements are 0 at `zero`, and products with elements that are 0 at `taken`: takes the sum of products of
    /// zeros off the bias, and looks for floats that rescale the sums.
    pub fn prepared(self, machine: &Machine, source: Source, taken: i32, weights: &[i16], channels: usize) -> Finish {
        let Finish::Narrow { mut bias, multipliers, shifts, range, target } = self else { return self };
        let (low, high) = source.elem.int_range();
        let zero = i64::from(source.zero_point);
        let mut reach = vec![];
        for (c, b) in bias.iter_mut().enumerate() {
            let (mut sum, mut least, mut most) = (0i32, i64::from(*b), i64::from(*b));
            for &w in weights.iter().skip(c).step_by(channels) {
                let ends = [(low - zero) * i64::from(w), (high - zero) * i64::from(w)];
                sum = sum.wrapping_add(w.into());
                least += ends[0].min(ends[1]);
                most += ends[0].max(ends[1]);
            }
            reach.push((least, most));
            *b = b.wrapping_sub(taken.wrapping_mul(sum));
        }
        match FloatScale::prove(machine, &reach, &multipliers, &shifts, target) {
            Some((scales, form)) => Finish::Proved { bias, scales, form, target },
            None => Finish::Narrow { bias, multipliers, shifts, range, target },
        }
    }

    /// The tables for so many channels; those beyond the real ones repeat the last.
    pub fn tables(&self, channels: usize) -> Vec<u8> {
        fn table<T: Copy, const N: usize>(out: &mut Vec<u8>, channels: usize, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
            for c in 0..channels {
                out.extend(bytes(values[c.min(values.len() - 1)]));
            }
        }
        let mut out = vec![];
        let o = &mut out;
        match self {
            Finish::Float { bias, .. } => table(o, channels, bias, f32::to_le_bytes),
            Finish::Narrow { bias, multipliers, shifts, range, .. } => {
                table(o, channels, bias, i32::to_le_bytes);
                table(o, channels, multipliers, i32::to_le_bytes);
                if !matches!(range, ShiftRange::Uniform(_)) {
                    table(o, channels, shifts, i32::to_le_bytes);
                }
            }
            Finish::Proved { bias, scales, .. } => {
                table(o, channels, bias, i32::to_le_bytes);
                table(o, channels, scales, |s| s.scale.to_le_bytes());
                table(o, channels, scales, |s| s.offset.to_le_bytes());
            }
            Finish::Wide { addends, multipliers, shifts, .. } => {
                table(o, channels, addends, i64::to_le_bytes);
                table(o, channels, shifts, i64::to_le_bytes);
                table(o, channels, multipliers, i32::to_le_bytes);
            }
            Finish::Hybrid { bias, scales, .. } => {
                table(o, channels, bias, f32::to_le_bytes);
                table(o, channels, scales, f32::to_le_bytes);
            }
        }
        out
    }

    /// What the sums of `lanes` channels from `c` on begin with.
    pub fn start(&self, k: &mut KernelBuilder, t: Tables, c: &Index, lanes: usize) -> Value {
        match self {
            Finish::Float { .. } => k.load(Elem::F32.x(lanes), t.at(c, 0, 4)),
            Finish::Narrow { .. } | Finish::Proved { .. } => k.load(Elem::I32.x(lanes), t.at(c, 0, 4)),
            Finish::Wide { .. } | Finish::Hybrid { .. } => k.int(Elem::I32.x(lanes), 0),
        }
    }

    /// The results; `image` is the place of the image's scale where the activations were quantised at run time.
    pub fn finish(&self, k: &mut KernelBuilder, t: Tables, c: &Index, sum: Value, image: Option<Place>) -> Value {
        let lanes = k.ty(sum).lanes as usize;
        match self {
            Finish::Float { activation, .. } => clamp_float(k, sum, *activation),
            Finish::Narrow { range, target, .. } => {
                let scale = Scale::load(k, lanes, t.at(c, 4, 4), t.at(c, 8, 4), *range);
                let scaled = scale.apply(k, sum);
                target.apply(k, scaled)
            }
            Finish::Proved { form, target, .. } => {
                let scale = FloatScale::load(k, lanes, t.at(c, 4, 4), t.at(c, 8, 4), *form);
                let scaled = scale.apply(k, sum, target.zero_point);
                Target { zero_point: 0, ..*target }.apply(k, scaled)
            }
            Finish::Wide { target, .. } => {
                let addend = k.load(Elem::I64.x(lanes), t.at(c, 0, 8));
                let shift = k.load(Elem::I64.x(lanes), t.at(c, 8, 8));
                let multiplier = k.load(Elem::I32.x(lanes), t.at(c, 16, 4));
                let product = k.mul_wide(sum, multiplier);
                let moved = k.add(product, addend);
                let shifted = k.binary(Binary::Shr, moved, shift);
                let scaled = k.narrow(shifted, Elem::I32);
                target.apply(k, scaled)
            }
            Finish::Hybrid { activation, .. } => {
                let ty = Elem::F32.x(lanes);
                let bias = k.load(ty, t.at(c, 0, 4));
                let channel = k.load(ty, t.at(c, 4, 4));
                let image = k.load_splat(ty, 1, image.expect("a scale per image"));
                let scale = k.mul(channel, image);
                let sum = k.to_float(sum, Elem::F32);
                let scaled = k.mul(sum, scale);
                let v = k.add(scaled, bias);
                clamp_float(k, v, *activation)
            }
        }
    }
}
