//! Conversions between element types.
//!
//! The idea: lengths of elements change by factors of two, register by register.

use super::forms::{self, Arrangement, Form};
use super::ops::arrangement;
use super::{Emitter, piece_count};
use crate::alloc::Virtual;
use cranelite_tile::{Elem, Rounding, Type, Value};

/// The arrangement of half a register of elements of so many bytes.
pub(super) fn half(bytes: u32) -> Arrangement {
    match bytes {
        1 => Arrangement::B8,
        2 => Arrangement::H4,
        _ => Arrangement::S2,
    }
}

pub(super) fn whole(bytes: u32) -> Arrangement {
    match bytes {
        1 => Arrangement::B16,
        2 => Arrangement::H8,
        _ => Arrangement::S4,
    }
}

impl<'a> Emitter<'a> {
    /// Elements of `bytes` bytes to twice as many, `count` registers of them.
    fn lengthened(&mut self, signed: bool, bytes: u32, x: &[Virtual], count: usize) -> Vec<Virtual> {
        let (low, high) = if signed { (&forms::SSHLL_V, &forms::SSHLL2_V) } else { (&forms::USHLL_V, &forms::USHLL2_V) };
        (0..count)
            .map(|i| match i % 2 {
                0 => self.vec(low, half(bytes), &[x[i / 2]], &[0]),
                _ => self.vec(high, whole(bytes), &[x[i / 2]], &[0]),
            })
            .collect()
    }

    pub(super) fn widen(&mut self, to: Type, a: Value) -> Vec<Virtual> {
        let (from, x) = (self.ty(a), self.pieces(a));
        self.widened(to, from, x)
    }

    fn widened(&mut self, to: Type, from: Type, mut x: Vec<Virtual>) -> Vec<Virtual> {
        let mut bytes = from.elem.bytes();
        while bytes < to.elem.bytes() {
            let count = (to.lanes * bytes * 2).div_ceil(16) as usize;
            x = self.lengthened(from.elem.is_signed(), bytes, &x, count);
            bytes *= 2;
        }
        x
    }

    /// Pairs of registers to one each: of elements twice as long as `bytes`.
    fn shortened(&mut self, forms: [&'static Form; 2], bytes: u32, x: &[Virtual]) -> Vec<Virtual> {
        x.chunks(2)
            .map(|c| {
                let low = self.vec(forms[0], half(bytes), &[c[0]], &[]);
                match c.get(1) {
                    Some(&second) => {
                        // The lower half stays: this changes what has just been made.
                        self.put(forms[1], whole(bytes), &[low, second], &[]);
                        low
                    }
                    None => low,
                }
            })
            .collect()
    }

    pub(super) fn narrow(&mut self, to: Type, a: Value) -> Vec<Virtual> {
        let (from, mut x) = (self.ty(a), self.pieces(a));
        let mut bytes = from.elem.bytes();
        while to.elem.bytes() < bytes {
            bytes /= 2;
            // Every second element of two registers.
            x = x
                .chunks(2)
                .map(|c| match c.get(1) {
                    Some(&second) => self.vec(&forms::UZP1_V, whole(bytes), &[c[0], second], &[]),
                    None => self.vec(&forms::XTN_V, half(bytes), &[c[0]], &[]),
                })
                .collect();
        }
        x
    }

    pub(super) fn narrow_sat(&mut self, to: Type, a: Value) -> Vec<Virtual> {
        let (from, x) = (self.ty(a), self.pieces(a));
        self.narrowed_saturating(to, from, x)
    }

    fn narrowed_saturating(&mut self, to: Type, from: Type, mut x: Vec<Virtual>) -> Vec<Virtual> {
        let (signed, to_signed) = (from.elem.is_signed(), to.elem.is_signed());
        let mut bytes = from.elem.bytes();
        if bytes == to.elem.bytes() && signed != to_signed {
            if bytes == 8 {
                return vec![self.unsupported("saturation", from.elem)];
            }
            let (limit, form) = if signed { (0, &forms::SMAX_V) } else { (to.elem.int_range().1, &forms::UMIN_V) };
            let limit = self.int_constant(from.elem, limit);
            return x.into_iter().map(|v| self.both(form, from.elem, v, limit)).collect();
        }
        if !signed && to_signed {
            let limit = self.int_constant(from.elem, to.elem.int_range().1);
            x = x.into_iter().map(|v| self.both(&forms::UMIN_V, from.elem, v, limit)).collect();
        }
        while to.elem.bytes() < bytes {
            bytes /= 2;
            let forms = match (signed, to_signed || to.elem.bytes() < bytes) {
                (true, true) => [&forms::SQXTN_V, &forms::SQXTN2_V],
                (true, false) => [&forms::SQXTUN_V, &forms::SQXTUN2_V],
                (false, _) => [&forms::UQXTN_V, &forms::UQXTN2_V],
            };
            x = self.shortened(forms, bytes, &x);
        }
        x
    }

    pub(super) fn convert(&mut self, to: Type, a: Value, rounding: Rounding) -> Vec<Virtual> {
        let (from, x) = (self.ty(a), self.pieces(a));
        match (from.elem.is_float(), to.elem.is_float()) {
            (true, true) => self.float_to_float(to, from, x),
            (false, true) => self.int_to_float(to, from, x),
            (true, false) => self.float_to_int(to, from, x, rounding),
            (false, false) => vec![self.unsupported("conversion", from.elem)],
        }
    }

    fn float_to_float(&mut self, to: Type, from: Type, x: Vec<Virtual>) -> Vec<Virtual> {
        match (from.elem, to.elem) {
            (Elem::F32, Elem::F64) => (0..piece_count(to))
                .map(|i| match i % 2 {
                    0 => self.vec(&forms::FCVTL_V, Arrangement::S2, &[x[i / 2]], &[]),
                    _ => self.vec(&forms::FCVTL2_V, Arrangement::S4, &[x[i / 2]], &[]),
                })
                .collect(),
            (Elem::F64, Elem::F32) => self.shortened([&forms::FCVTN_V, &forms::FCVTN2_V], 4, &x),
            _ => x,
        }
    }

    pub(super) fn widen_half(&mut self, to: Type, a: Value) -> Vec<Virtual> {
        let x = self.pieces(a);
        (0..piece_count(to))
            .map(|i| match i % 2 {
                0 => self.vec(&forms::FCVTL_V, Arrangement::H4, &[x[i / 2]], &[]),
                _ => self.vec(&forms::FCVTL2_V, Arrangement::H8, &[x[i / 2]], &[]),
            })
            .collect()
    }

    pub(super) fn narrow_half(&mut self, a: Value) -> Vec<Virtual> {
        let x = self.pieces(a);
        self.shortened([&forms::FCVTN_V, &forms::FCVTN2_V], 2, &x)
    }

    fn int_to_float(&mut self, to: Type, from: Type, x: Vec<Virtual>) -> Vec<Virtual> {
        let form = if from.elem == Elem::U32 { &forms::UCVTF_V } else { &forms::SCVTF_V };
        if from.elem == Elem::I64 && to.elem == Elem::F32 {
            // By way of a double it would be rounded twice.
            return vec![self.unsupported("conversion to floats", from.elem)];
        }
        let wide = match (to.elem, from.elem) {
            (Elem::F32, Elem::U32) => Elem::U32,
            (Elem::F32, _) => Elem::I32,
            (_, _) => Elem::I64,
        };
        let form = if to.elem == Elem::F64 { &forms::SCVTF_V } else { form };
        let words = self.widened(from.with_elem(wide), from, x);
        words.into_iter().map(|v| self.vec(form, arrangement(to.elem), &[v], &[])).collect()
    }

    /// FCVT saturates, and makes 0 of NaN.
    fn float_to_int(&mut self, to: Type, from: Type, x: Vec<Virtual>, rounding: Rounding) -> Vec<Virtual> {
        let x = match rounding {
            Rounding::TowardZero => x,
            Rounding::NearestEven => {
                if from.elem == Elem::F32 && to.elem != Elem::U32 && to.elem != Elem::I64 {
                    let words: Vec<Virtual> = x.into_iter().map(|v| self.vec(&forms::FCVTNS_V, Arrangement::S4, &[v], &[])).collect();
                    return if to.elem == Elem::I32 { words } else { self.narrowed_saturating(to, from.with_elem(Elem::I32), words) };
                }
                x.into_iter().map(|v| self.vec(&forms::FRINTN_V, arrangement(from.elem), &[v], &[])).collect()
            }
        };
        match (from.elem, to.elem) {
            (Elem::F32, Elem::U32) => x.into_iter().map(|v| self.vec(&forms::FCVTZU_V, Arrangement::S4, &[v], &[])).collect(),
            (Elem::F32, Elem::I64) => {
                let doubles = self.float_to_float(from.with_elem(Elem::F64), from, x);
                doubles.into_iter().map(|v| self.vec(&forms::FCVTZS_V, Arrangement::D2, &[v], &[])).collect()
            }
            (Elem::F32, _) => {
                let words: Vec<Virtual> = x.into_iter().map(|v| self.vec(&forms::FCVTZS_V, Arrangement::S4, &[v], &[])).collect();
                if to.elem == Elem::I32 { words } else { self.narrowed_saturating(to, from.with_elem(Elem::I32), words) }
            }
            (_, Elem::I64) => x.into_iter().map(|v| self.vec(&forms::FCVTZS_V, Arrangement::D2, &[v], &[])).collect(),
            (_, Elem::U32) => {
                let longs: Vec<Virtual> = x.into_iter().map(|v| self.vec(&forms::FCVTZU_V, Arrangement::D2, &[v], &[])).collect();
                self.shortened([&forms::UQXTN_V, &forms::UQXTN2_V], 4, &longs)
            }
            _ => {
                let longs: Vec<Virtual> = x.into_iter().map(|v| self.vec(&forms::FCVTZS_V, Arrangement::D2, &[v], &[])).collect();
                self.narrowed_saturating(to, from.with_elem(Elem::I64), longs)
            }
        }
    }
}
