//! From accumulators to results: bias, scale, clamp, narrow; and the tables per channel that this needs.
//!
//! Not the sums. The idea: one constant holds all tables, each as long as the channels rounded up to a vector, so that a kernel finds
//! every number of channel c at a constant distance from c.

use super::Source;
use crate::diagnostic::{Code, Diagnostic};
use crate::lower::requantize::{INTEGER_64, Numbers, Rescaling, Target, clamp_float, sums_fit_32_bits};
use crate::ops::attributes::Activation;
use crate::quantize::steps::Reference;
use crate::quantize::wide_requantization;
use cranelite_tile::{Arg, Binary, Elem, Index, KernelBuilder, Machine, Place, Value};

/// What becomes of a sum, by the type of the sum and of the result.
#[derive(Clone, Debug)]
pub enum Finish {
    /// f32 to f32. `bias_last`: the bias is added to the sum, as in the reference, and does not begin it.
    Float {
        bias: Vec<f32>,
        bias_last: bool,
        activation: Activation,
    },
    /// i32 to 8 or 16 bits with double rounding; in a kernel only as [`Finish::Rescaled`].
    Narrow {
        bias: Vec<i32>,
        references: Vec<Reference>,
        target: Target,
    },
    Rescaled {
        bias: Vec<i32>,
        rescaling: Rescaling,
        numbers: Numbers,
    },
    /// i32 to i16 by way of 64 bits, with (multiplier, shift); in a kernel mostly as [`Finish::Rescaled`].
    Wide {
        bias: Vec<i64>,
        scales: Vec<(i32, i32)>,
        target: Target,
    },
    /// i32 to f32, by scales of channels and of images.
    Hybrid {
        bias: Vec<f32>,
        scales: Vec<f32>,
        activation: Activation,
    },
}

/// Where a kernel finds the tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    pub arg: Arg,
    /// Bytes before the first table.
    pub before: usize,
    pub order: Order,
}

/// How channels follow each other in tables.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Every table has so many channels; a vector may begin at any of them.
    Whole(usize),
    /// All tables of so many channels, then those of the next: a vector begins at a multiple. So many bytes per channel in all.
    Blocks { lanes: usize, bytes: usize },
}

impl Tables {
    /// Channel `c` of a table whose entries of `bytes` bytes begin after `before` bytes per channel.
    pub fn at(&self, c: &Index, before: usize, bytes: usize) -> Place {
        self.arg.at(Index::from(self.before)
            + match self.order {
                Order::Whole(channels) => c.clone() * bytes as i64 + before * channels,
                Order::Blocks { lanes, bytes } => c.clone() * bytes as i64 + before * lanes,
            })
    }
}

impl Finish {
    /// The sum of channel c is below 2^31 in magnitude.
    pub fn wide(bias: &[i64], multipliers: &[i32], shifts: &[i32], target: Target) -> Result<Finish, Diagnostic> {
        let scales: Vec<(i32, i32)> = multipliers.iter().copied().zip(shifts.iter().copied()).collect();
        if scales.iter().any(|&(m, s)| i32::try_from(wide_requantization(m, s)[0]).is_err()) {
            return Err(Diagnostic::new(Code::SCALE, "the quotient of input and output scales is out of range").expected("below 2^15"));
        }
        Ok(Finish::Wide { bias: bias.to_vec(), scales, target })
    }

    /// Element type of the result.
    pub fn elem(&self) -> Elem {
        match self {
            Finish::Float { .. } | Finish::Hybrid { .. } => Elem::F32,
            Finish::Narrow { target, .. } | Finish::Wide { target, .. } => target.elem,
            Finish::Rescaled { rescaling, .. } => rescaling.elem(),
        }
    }

    /// Element type of the sums.
    pub fn sum(&self) -> Elem {
        if matches!(self, Finish::Float { .. }) { Elem::F32 } else { Elem::I32 }
    }

    /// For an input whose elements are 0 at `zero_point` and products whose first operands are 0 at `zero`: takes the products with
    /// `zero` off the bias, and chooses how the sums that can occur are rescaled.
    pub fn prepare(&mut self, machine: &Machine, source: Source, zero: i32, weights: &[i16], channels: usize) -> Result<(), Diagnostic> {
        // Between which bounds the sum of a channel lies, and the sum of its weights.
        let (low, high) = source.elem.int_range();
        let (low, high) = (low - i64::from(source.zero_point), high - i64::from(source.zero_point));
        let reach = |bias: i64, c: usize| {
            let (mut sum, mut least, mut most) = (0i32, bias, bias);
            for w in weights.iter().skip(c).step_by(channels).map(|&w| i64::from(w)) {
                sum = sum.wrapping_add(w as i32);
                least = least.saturating_add((low * w).min(high * w));
                most = most.saturating_add((low * w).max(high * w));
            }
            (sum, (least, most))
        };
        match self {
            Finish::Narrow { bias, references, target } => {
                let all: Vec<_> = bias.iter().enumerate().map(|(c, b)| reach((*b).into(), c)).collect();
                if source.elem != Elem::I16 {
                    let sums = bias.iter().zip(&all).map(|(b, a)| (i64::from(*b), a.1));
                    sums_fit_32_bits(sums, weights.len() / channels)?;
                }
                let bias = bias.iter().zip(&all).map(|(b, (sum, _))| b.wrapping_sub(zero.wrapping_mul(*sum))).collect();
                let reach: Vec<(i64, i64)> = all.iter().map(|a| a.1).collect();
                let (rescaling, numbers) = Rescaling::new(machine, references, &reach, *target)?;
                *self = Finish::Rescaled { bias, rescaling, numbers };
            }
            Finish::Wide { bias, scales, target } if zero == 0 => {
                let reach: Vec<(i64, i64)> = bias.iter().enumerate().map(|(c, b)| reach(*b, c).1).collect();
                let short: Result<Vec<i32>, _> = bias.iter().map(|b| i32::try_from(*b)).collect();
                if let (Some((rescaling, numbers)), Ok(bias)) = (Rescaling::once(machine, scales, &reach, *target), short) {
                    *self = Finish::Rescaled { bias, rescaling, numbers };
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How integer results are rescaled, once prepared.
    pub fn form(&self) -> Option<&'static str> {
        match self {
            Finish::Float { .. } | Finish::Hybrid { .. } | Finish::Narrow { .. } => None,
            Finish::Rescaled { rescaling, .. } => Some(rescaling.form()),
            Finish::Wide { .. } => Some(INTEGER_64),
        }
    }

    /// Bytes per channel of all tables.
    pub fn channel_bytes(&self) -> usize {
        match self {
            Finish::Narrow { .. } => unreachable!("prepared"),
            Finish::Float { .. } => 4,
            Finish::Rescaled { rescaling, .. } => 4 + rescaling.channel_bytes(),
            Finish::Wide { .. } => 20,
            Finish::Hybrid { .. } => 8,
        }
    }

    /// The tables of these channels, one after the other.
    pub fn tables(&self, channels: &[Option<usize>]) -> Vec<u8> {
        fn table<T: Copy, const N: usize>(channels: &[Option<usize>], values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            channels.iter().flat_map(|c| bytes(values[c.unwrap_or(0)])).collect()
        }
        match self {
            Finish::Narrow { .. } => unreachable!("prepared"),
            Finish::Float { bias, .. } => table(channels, bias, f32::to_le_bytes),
            Finish::Rescaled { bias, numbers, .. } => [table(channels, bias, i32::to_le_bytes), numbers.table(channels)].concat(),
            Finish::Wide { bias, scales, .. } => {
                let numbers: Vec<[i64; 3]> = scales.iter().map(|&(m, s)| wide_requantization(m, s)).collect();
                let addends: Vec<i64> =
                    bias.iter().zip(&numbers).map(|(b, [m, addend, _])| b.wrapping_mul(*m).wrapping_add(*addend)).collect();
                let shifts: Vec<i64> = numbers.iter().map(|n| n[2]).collect();
                let multipliers: Vec<i32> = numbers.iter().map(|n| n[0] as i32).collect();
                [
                    table(channels, &addends, i64::to_le_bytes),
                    table(channels, &shifts, i64::to_le_bytes),
                    table(channels, &multipliers, i32::to_le_bytes),
                ]
                .concat()
            }
            Finish::Hybrid { bias, scales, .. } => {
                [table(channels, bias, f32::to_le_bytes), table(channels, scales, f32::to_le_bytes)].concat()
            }
        }
    }

    /// What the sums of `lanes` channels from `c` on begin with.
    pub fn start(&self, k: &mut KernelBuilder, t: Tables, c: &Index, lanes: usize) -> Value {
        match self {
            Finish::Float { bias_last: true, .. } => k.float(Elem::F32.x(lanes), 0.0),
            Finish::Float { .. } => k.load(Elem::F32.x(lanes), t.at(c, 0, 4)),
            Finish::Narrow { .. } | Finish::Rescaled { .. } => k.load(Elem::I32.x(lanes), t.at(c, 0, 4)),
            Finish::Wide { .. } | Finish::Hybrid { .. } => k.int(Elem::I32.x(lanes), 0),
        }
    }

    /// The results; `image` is the place of the image's scale where the activations were quantised at run time.
    pub fn finish(&self, k: &mut KernelBuilder, t: Tables, c: &Index, sum: Value, image: Option<Place>) -> Value {
        let lanes = k.ty(sum).lanes as usize;
        match self {
            Finish::Float { activation, bias_last, .. } => {
                let sum = if *bias_last {
                    let bias = k.load(Elem::F32.x(lanes), t.at(c, 0, 4));
                    k.add(sum, bias)
                } else {
                    sum
                };
                clamp_float(k, sum, *activation)
            }
            Finish::Narrow { .. } => unreachable!("prepared"),
            Finish::Rescaled { rescaling, .. } => {
                let scaled = rescaling.apply(k, sum, |i, size| t.at(c, 4 + i * size, size));
                rescaling.target().apply(k, scaled)
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
