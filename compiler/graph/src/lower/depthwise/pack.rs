//! How weights lie in memory for a kernel, and which product of integers it uses.
//!
//! The idea: a dot product takes 1, 2 or 4 neighbouring elements of each channel, so taps are interleaved by groups of as many; the
//! channels of one group of taps are consecutive, so that a vector of channels is one load.

use super::{Geometry, Source};
use cranelite_tile::{ByteDot, Elem, KernelBuilder, Machine, Value};

/// The integer product of a kernel: its operands, how many taps it sums, and how the input becomes the first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    pub group: usize,
    pub input: Elem,
    pub weight: Elem,
    /// Bytes are moved by 128 from one signedness to the other.
    pub flip: bool,
    /// What is subtracted from the input to make it the first operand, and what then stands for zero in it.
    pub minus: i32,
    pub zero: i32,
    /// Vectors are of one tap each, which need not lie beside others (`apart.rs`).
    pub apart: bool,
}

impl Product {
    /// The best product of `machine` that is exact for these operands.
    pub fn choose(machine: &Machine, source: Source, weights: &[i16]) -> Product {
        let byte = source.elem.bits() == 8 && weights.iter().all(|&w| i8::try_from(w).is_ok());
        let input = match machine.byte_dot {
            ByteDot::U8S8 => Elem::U8,
            ByteDot::S8S8 | ByteDot::S8S8Pairs => Elem::I8,
            ByteDot::S16S16 => Elem::I16,
            ByteDot::Runs { .. } if byte => return Product::of_taps(source, Elem::I16),
            ByteDot::Runs { .. } => Elem::I16,
        };
        if !byte || input == Elem::I16 {
            return Product { group: 2, input: Elem::I16, weight: Elem::I16, flip: false, minus: 0, zero: source.zero_point, apart: false };
        }
        let zero = match (source.elem, input) {
            (Elem::I8, Elem::U8) => source.zero_point + 128,
            (Elem::U8, Elem::I8) => source.zero_point - 128,
            _ => source.zero_point,
        };
        Product { group: 4, input, weight: Elem::I8, flip: source.elem != input, minus: 0, zero, apart: false }
    }

    /// Tap by tap: differences to the zero point, which need no care at borders and no other bias, times weights of that type in memory.
    pub fn of_taps(source: Source, weight: Elem) -> Product {
        Product { group: 1, input: Elem::I16, weight, flip: false, minus: source.zero_point, zero: 0, apart: false }
    }

    /// The product for vectors of one tap each, where that is faster: of pairs of bytes whose sums have 16 bits, if they fit, since no channel has more than
    /// one weight of -128; else of 16 bits.
    pub fn apart(self, machine: &Machine, source: Source, weights: &[i16], channels: usize) -> Product {
        if !machine.has_vectors() || !matches!(machine.byte_dot, ByteDot::S8S8 | ByteDot::S8S8Pairs) {
            return self;
        }
        let fits = |c: usize| weights.iter().skip(c).step_by(channels).filter(|w| **w == -128).count() <= 1;
        match self.input {
            Elem::I8 if machine.byte_dot == ByteDot::S8S8 => self,
            Elem::I8 if (0..channels).all(fits) => Product { group: 1, apart: true, ..self },
            _ => Product { minus: 0, zero: source.zero_point, apart: true, ..Product::of_taps(source, Elem::I16) },
        }
    }

    /// Elements as they were loaded, as the first operand.
    pub fn operand(&self, k: &mut KernelBuilder, v: Value) -> Value {
        let ty = k.ty(v);
        if self.minus != 0 {
            let wide = k.widen(v, self.input);
            let minus = k.int(ty.with_elem(self.input), self.minus.into());
            return k.sub(wide, minus);
        }
        if ty.elem == self.input {
            v
        } else if self.flip {
            let bytes = k.bitcast(v, ty.with_elem(Elem::U8));
            let top = k.int(ty.with_elem(Elem::U8), 128);
            let moved = k.xor(bytes, top);
            k.bitcast(moved, ty.with_elem(self.input))
        } else {
            k.widen(v, self.input)
        }
    }

    /// The elements of up to `group` vectors, channel by channel, as the first operand. The last vector stands in for missing ones, whose
    /// weights are 0.
    pub fn side_by_side(&self, k: &mut KernelBuilder, vectors: &[Value]) -> Value {
        let at = |i: usize| vectors[i.min(vectors.len() - 1)];
        let v = match self.group {
            1 => at(0),
            2 => k.interleave(at(0), at(1)),
            _ => {
                let (even, odd) = (k.interleave(at(0), at(2)), k.interleave(at(1), at(3)));
                k.interleave(even, odd)
            }
        };
        self.operand(k, v)
    }

    /// Groups of taps, each with a weight for every one of `channels` and every tap, 0 where there is none.
    pub fn pack(&self, g: &Geometry, weights: &[i16], groups: &[Vec<Option<usize>>], channels: &[Option<usize>]) -> Vec<u8> {
        let mut bytes = vec![];
        for group in groups {
            assert_eq!(group.len(), self.group);
            for c in channels {
                for tap in group {
                    let w = tap.zip(*c).map_or(0, |(t, c)| weights[t * g.out_channels() + c]);
                    match self.weight {
                        Elem::I8 => bytes.push(w as i8 as u8),
                        _ => bytes.extend(w.to_le_bytes()),
                    }
                }
            }
        }
        bytes
    }
}

/// Weights of floats: taps, each with one for every one of `channels`.
pub fn floats(g: &Geometry, weights: &[f32], channels: &[Option<usize>]) -> Vec<u8> {
    let row = |tap: &[f32]| channels.iter().flat_map(|c| c.map_or(0.0, |c| tap[c]).to_le_bytes()).collect::<Vec<u8>>();
    weights.chunks_exact(g.out_channels()).flat_map(row).collect()
}
