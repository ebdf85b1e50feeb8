//! From the accumulators of one pixel to its stored columns.
//!
//! The idea: what differs per column lies in two tables that go along with the weights, one for all pixels (`scale`) and one for pixels
//! that see the same taps (`class`); both hold, panel by panel, one array after the other.

use crate::lower::pointwise::Output;
use crate::lower::requantize::{INTEGER_64, Rescaling, Target, WideScale, clamp_float};
use crate::ops::attributes::Activation;
use cranelite_tile::{Arg, Elem, Index, KernelBuilder, Place, Value};

/// How accumulators become elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epilogue {
    /// f32 accumulators, clamped.
    Float { activation: Activation },
    /// i32 as they are, or f32, whose elements are as large.
    Plain,
    /// i32 or i64, rescaled to 8 or 16 bits.
    Sum(Rescaling),
    /// i32 or i64, 16-bit multiplier.
    Wide { target: Target },
    /// i32 times the scale of the activations, plus an f32 bias. Activations quantised with an offset need the sum of the weights too.
    /// `in_turn`: multiplied by the scale of the weights and then by that of the activations, else by the product of both.
    Hybrid { asymmetric: bool, in_turn: bool, activation: Activation },
}

impl Epilogue {
    pub fn output(&self) -> Elem {
        match self {
            Epilogue::Float { .. } | Epilogue::Hybrid { .. } => Elem::F32,
            Epilogue::Plain => Elem::I32,
            Epilogue::Sum(rescaling) => rescaling.elem(),
            Epilogue::Wide { target } => target.elem,
        }
    }

    /// How integer results are rescaled.
    pub fn form(&self) -> Option<&'static str> {
        match self {
            Epilogue::Float { .. } | Epilogue::Plain | Epilogue::Hybrid { .. } => None,
            Epilogue::Sum(rescaling) => Some(rescaling.form()),
            Epilogue::Wide { .. } => Some(INTEGER_64),
        }
    }

    /// Bytes per column in the table of a class: the start of the accumulator, the sum of the weights.
    pub fn class_bytes(&self, accumulator: Elem) -> usize {
        let sum = matches!(self, Epilogue::Hybrid { asymmetric: true, .. });
        accumulator.bytes() as usize + if sum { 4 } else { 0 }
    }

    /// Bytes per column in the table of scales.
    pub fn scale_bytes(&self) -> usize {
        match self {
            Epilogue::Float { .. } | Epilogue::Plain => 0,
            Epilogue::Sum(rescaling) => rescaling.channel_bytes(),
            Epilogue::Hybrid { .. } => 8,
            Epilogue::Wide { .. } => 24,
        }
    }
}

/// Where the last steps find their numbers, at the first column of a panel.
pub(super) struct Tables {
    pub class: Option<(Arg, Index)>,
    pub scale: Option<(Arg, Index)>,
    /// Scale and offset of the activations, of this pixel.
    pub factor: Option<(Place, Place)>,
}

impl Tables {
    fn scale(&self, at: usize) -> Place {
        let (arg, index) = self.scale.as_ref().expect("a table of scales");
        arg.at(index.clone() + at as i64)
    }
    fn class(&self, at: usize) -> Place {
        let (arg, index) = self.class.as_ref().expect("a table of classes");
        arg.at(index.clone() + at as i64)
    }
}

impl Epilogue {
    /// Stores the first `columns` of the vectors of accumulators at byte `at`.
    pub(super) fn store(&self, k: &mut KernelBuilder, tables: &Tables, acc: &[Value], columns: usize, y: &Output, at: Index) {
        let (results, target) = self.results(k, tables, acc);
        y.store(k, &at, &results, target, columns);
    }

    /// The results of one pixel, and what becomes of integers when they are stored.
    pub(super) fn results(&self, k: &mut KernelBuilder, tables: &Tables, acc: &[Value]) -> (Vec<Value>, Option<Target>) {
        let lanes = k.ty(acc[0]).lanes as usize;
        let width = lanes * acc.len();
        let i32s = Elem::I32.x(lanes);
        let results = acc
            .iter()
            .enumerate()
            .map(|(j, &acc)| match *self {
                Epilogue::Float { activation } => clamp_float(k, acc, activation),
                Epilogue::Plain => acc,
                Epilogue::Sum(rescaling) => rescaling.apply(k, acc, |i, size| tables.scale(size * (i * width + j * lanes))),
                Epilogue::Wide { .. } => {
                    let at = |i: usize| tables.scale(8 * (i * width + j * lanes));
                    let acc = k.widen(acc, Elem::I64);
                    WideScale::load(k, lanes, [at(0), at(1), at(2)]).apply(k, acc)
                }
                Epilogue::Hybrid { asymmetric, in_turn, activation } => {
                    let (factor, offset) = tables.factor.clone().expect("the scale of the activations");
                    let acc = if asymmetric {
                        let offset = k.load_splat(i32s, 1, offset);
                        let sums = k.load(i32s, tables.class(4 * (width + j * lanes)));
                        let moved = k.mul(offset, sums);
                        k.sub(acc, moved)
                    } else {
                        acc
                    };
                    let f32s = Elem::F32.x(lanes);
                    let x = k.to_float(acc, Elem::F32);
                    let scale = k.load(f32s, tables.scale(4 * j * lanes));
                    let factor = k.load_splat(f32s, 1, factor);
                    let bias = k.load(f32s, tables.scale(4 * (width + j * lanes)));
                    let product = if in_turn {
                        let scaled = k.mul(x, scale);
                        k.mul(scaled, factor)
                    } else {
                        let scale = k.mul(factor, scale);
                        k.mul(x, scale)
                    };
                    let sum = k.add(product, bias);
                    clamp_float(k, sum, activation)
                }
            })
            .collect();
        let target = match *self {
            Epilogue::Float { .. } | Epilogue::Plain | Epilogue::Hybrid { .. } => None,
            Epilogue::Sum(rescaling) => Some(rescaling.target()),
            Epilogue::Wide { target } => Some(target),
        };
        (results, target)
    }
}
